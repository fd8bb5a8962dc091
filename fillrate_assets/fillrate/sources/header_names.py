"""Header names that mean a column of a contract, though they are not called like it: which a mapping may name.

Which header is called like a column belongs to `storage.header_names`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from fillrate_assets.storage.header_names import WORDS, normalize

_DECISIVE: Final = frozenset(
    {
        *("uom", "pack_size", "status", "cancel_reason", "line_type", "schedule_line", "substitute_for_line"),
        *("shipment_id", "requested_date", "shipped_at", "delivered_at", "processed_at", "source_seq"),
        *("contract_committed", "valid_from", "valid_to", "snapshot_at"),
    }
)
"""Columns that a contract can lack, and whose absence changes numbers."""


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
    by_words = {frozenset(WORDS.findall(header.casefold())): header for header in headers}
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


def describe_near_misses(table: str, near: Mapping[str, str]) -> str:
    """Describe what to write into the mapping for headers that come near."""
    said = [f'column {header} is near to {name}: say {name} = "{header}"' for name, header in near.items()]
    ignored = ", ".join(f'"{header}"' for header in near.values())
    return f"{'; '.join(said)} in [{table}.columns] of the mapping, or ignore = [{ignored}] in [{table}]"
