"""Spelling of database URLs: what can be misread is refused before anything is connected or shown.

An unquoted `@` or `/` in a password makes a host or a database of its rest, which drivers and logs then name.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

_SECRET: Final = re.compile(r"\{secret://[^{}]+\}")
_AUTHORITY: Final = re.compile(r"([^:@]*(:[^@]*)?@)?(\[[0-9A-Fa-f:.%]+\]|[^:@\[\]]*)(:[0-9]*)?")
_EMBEDDED: Final = ("sqlite", "duckdb")
EXPECTED: Final = (
    "it is not dialect+driver://user:password@host/database; in a user or a password, write % as %25, @ as %40, / as"
    " %2F, : as %3A and ? as %3F"
)


def is_clear(url: str) -> bool:
    """Return whether a URL can be read in one way only.

    Args:
        url: as SQLAlchemy writes it; `{secret://name#key}` may stand for its password.

    """
    dialect, separator, rest = _SECRET.sub("secret", url).partition("://")
    located, _, query = rest.partition("?")
    authority, _, database = located.partition("/")
    if not separator or not _AUTHORITY.fullmatch(authority):
        return False
    if not authority and dialect.partition("+")[0] in _EMBEDDED:
        return True
    return "@" not in database and "@" not in query and all("=" in part for part in query.split("&") if part)


def locate_file(dialect: str, path: str) -> str:
    """Return the URL of an embedded database, whatever characters its path has."""
    return f"{dialect}:///{quote_path(path)}"


def quote_path(path: str) -> str:
    """Return a path as it is written in the URL of an embedded database."""
    return quote(path, safe=" +/")
