"""Header names: which column of a file a contract means, whatever its case, blanks and underscores.

Names that only come near are said, never taken: what they mean is for people to say.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from typing import Final

WORDS: Final = re.compile(r"[^\W_]+")
_SEPARATORS: Final = re.compile(r"[\s_\-./]+")
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


def is_typo(wanted: str, header: str) -> bool:
    """Return whether a header is one name misspelt, not another that has a word more."""
    return len(WORDS.findall(header)) <= len(WORDS.findall(wanted))
