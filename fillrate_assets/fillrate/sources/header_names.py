"""Header names: which column of a file a contract means, whatever its case, blanks and underscores.

Names that only come near are said, never taken: what they mean is for the mapping to say.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Final

_SEPARATORS: Final = re.compile(r"[\s_\-./]+")
_WORDS: Final = re.compile(r"[^\W_]+")
_DECISIVE: Final = frozenset(
    {
        *("uom", "pack_size", "status", "cancel_reason", "line_type", "schedule_line", "substitute_for_line"),
        *("shipment_id", "requested_date", "shipped_at", "delivered_at", "processed_at", "source_seq"),
        *("contract_committed", "valid_from", "valid_to", "snapshot_at"),
    }
)
"""Columns that a contract can lack, and whose absence changes numbers."""
_NEAR: Final = 0.84
"""Two letters that changed places, or one of six that is wrong; `shipped_at` and `ship_date` are far from it."""


def normalize(name: str) -> str:
    """Normalize a header name: without case, blanks and underscores."""
    return _SEPARATORS.sub("", unicodedata.normalize("NFKC", name).casefold())


def find_header(wanted: str, headers: Sequence[str]) -> list[str]:
    """Find the headers that are called as is wanted: exactly, else without regard to case, blanks and underscores."""
    if wanted in headers:
        return [wanted]
    return [header for header in headers if normalize(header) == normalize(wanted)]


def find_near_misses(absent: Collection[str], headers: Sequence[str]) -> dict[str, str]:
    """Find headers that may be misspelt: contract name -> header."""
    by_name = {normalize(header): header for header in headers}
    near = {name: get_close_matches(normalize(name), by_name, 1, _NEAR) for name in absent}
    return {name: by_name[found[0]] for name, found in near.items() if found}


def find_known_names(
    absent: Collection[str], names: Mapping[str, Collection[str]], headers: Sequence[str]
) -> dict[str, str]:
    """Find headers that other systems give to a column that changes numbers: contract name -> header.

    Args:
        absent: columns of the contract that no header is called.
        names: what systems call them.
        headers: headers that nothing reads.

    """
    by_name = {normalize(header): header for header in headers}
    by_words = {frozenset(_WORDS.findall(header.casefold())): header for header in headers}
    found = {}
    for column in absent:
        if column not in _DECISIVE:
            continue
        of_name = next((by_name[name] for name in map(normalize, names.get(column, ())) if name in by_name), None)
        words = {*column.split("_")}
        with_more = next((header for others, header in by_words.items() if words < others), None)
        if header := of_name or with_more:
            found[column] = header
    return found


def is_typo(wanted: str, header: str) -> bool:
    """Return whether a header is one name misspelt, not another that has a word more."""
    return len(_WORDS.findall(header)) <= len(_WORDS.findall(wanted))


def describe_near_misses(table: str, near: Mapping[str, str]) -> str:
    """Describe what to write into the mapping for headers that come near."""
    said = [f'column {header} is near to {name}: say {name} = "{header}"' for name, header in near.items()]
    ignored = ", ".join(f'"{header}"' for header in near.values())
    return f"{'; '.join(said)} in [{table}.columns] of the mapping, or ignore = [{ignored}] in [{table}]"
