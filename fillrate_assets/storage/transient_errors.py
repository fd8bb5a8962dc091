"""Classification of drivers' errors: those that may pass by themselves, as of a server that is busy, or a deadlock.

What is not known to pass does not: a wrong password or a missing table is the same at every retry.
"""

from __future__ import annotations

import re
from typing import Final

from sqlalchemy.exc import DBAPIError, OperationalError

_POSTGRESQL: Final = ("08", "40", "53", "55P03", "57", "58")
"""SQLSTATE: connection, transaction rolled back (deadlock, serialization), resources, lock, shutdown, I/O."""

_POSTGRESQL_REFUSES: Final = ("authentication failed", "does not exist", "no pg_hba.conf entry", "permission denied")
"""A connection that was refused has no SQLSTATE, only a text; in another language it counts as one that may pass."""

_ORACLE: Final = {
    "DPY-1001",  # not connected
    "DPY-4011",  # the connection was closed
    "DPY-4024",  # call timeout
    "ORA-00018",  # most sessions
    "ORA-00020",  # most processes
    "ORA-00054",  # locked
    "ORA-00060",  # deadlock
    "ORA-01555",  # snapshot too old
    "ORA-02391",  # most sessions of the user
    "ORA-08177",  # cannot serialize
}
"""Beside what the driver itself calls operational: not reached, no such service (yet), starting, stopping."""

_SQL_SERVER: Final = {
    1204,  # no lock left
    1205,  # deadlock
    1222,  # lock timeout
    3960,  # snapshot conflict
    3961,  # snapshot conflict: the table was altered
    701,  # out of memory
    8645,  # no memory for the query in time
    10928,  # Azure: most workers
    10929,  # Azure: busy
    40197,  # Azure: failing over
    40501,  # Azure: busy
    40613,  # Azure: not available
    49918,  # Azure: not enough resources
    49919,  # Azure: too many operations
    49920,  # Azure: busy
}
_DB_LIBRARY: Final = range(20_000, 20_300)
"""Errors of the client library of pymssql: not reached, timed out, connection dead."""

_TRANSACTION: Final = re.compile(r"Cannot \w+ transaction: \((\d+),")
"""How pymssql quotes the server's error at a begin or a commit."""


def is_transient(error: DBAPIError, backend: str) -> bool:
    """Return whether the same call may succeed later.

    Args:
        error: a driver's error as SQLAlchemy raises it.
        backend: the dialect's name.

    """
    if error.connection_invalidated:
        return True
    if backend in {"postgresql", "redshift"}:
        return _is_transient_postgresql(error)
    if backend == "oracle":
        return isinstance(error, OperationalError) or getattr(_get_first(error.orig), "full_code", None) in _ORACLE
    if backend == "mssql":
        number = _extract_number(_get_first(error.orig))
        return number in _SQL_SERVER or number in _DB_LIBRARY
    if backend == "sqlite":
        absent = any(text in str(error.orig) for text in ("no such table", "no such column"))
        return isinstance(error, OperationalError) and not absent
    # DuckDB's name for a file that another process holds.
    return isinstance(error, OperationalError) or type(error.orig).__name__ == "IOException"


def _is_transient_postgresql(error: DBAPIError) -> bool:
    state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)  # psycopg 3, psycopg 2
    if state is not None:
        return str(state).startswith(_POSTGRESQL)
    text = str(error.orig)
    return isinstance(error, OperationalError) and not any(refusal in text for refusal in _POSTGRESQL_REFUSES)


def _extract_number(first: object) -> object:
    """Extract the number from pymssql's first argument: a number, a tuple, or a text at a begin or a commit."""
    if isinstance(first, tuple):
        return first[0]
    if isinstance(first, str) and (quoted := _TRANSACTION.match(first)):
        return int(quoted[1])
    return first


def _get_first(error: BaseException | None) -> object:
    """Return the first argument of a driver's error."""
    return error.args[0] if error is not None and error.args else None
