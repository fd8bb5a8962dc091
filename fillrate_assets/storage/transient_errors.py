"""Classification of drivers' errors: those that may pass by themselves, as of a server that is busy, or a deadlock.

What is not known to pass does not: a wrong password or a missing table is the same at every retry. The tables say of
each code what it means and where its vendor says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy.exc import DBAPIError, OperationalError


@dataclass(frozen=True)
class KnownErrors:
    """Errors of one database, what each means, and the documentation that says so."""

    source: str
    transient: bool
    meanings: Mapping[int | str, str]


_AZURE: Final = "learn.microsoft.com/azure/azure-sql/database/troubleshoot-common-connectivity-issues"
_ENGINE: Final = "learn.microsoft.com/sql/relational-databases/errors-events/database-engine-events-and-errors"
_RETRY_LIST: Final = "learn.microsoft.com/dotnet/api/microsoft.data.sqlclient.sqlconfigurableretryfactory"
_MEMORY_OPTIMIZED: Final = (
    "learn.microsoft.com/sql/relational-databases/in-memory-oltp/transactions-with-memory-optimized-tables"
)

SQL_SERVER: Final = (
    KnownErrors(
        _AZURE,
        transient=True,
        meanings={
            4221: "login to a secondary that waits for its versions of rows",
            10928: "most workers are in use",
            10929: "too busy for more than the guaranteed minimum",
            40197: "failing over, or an update of the service",
            40501: "the service is busy",
            40613: "the database is not available",
            42109: "the database warms up",
            49918: "not enough resources",
            49919: "too many operations of this kind",
            49920: "too many operations",
        },
    ),
    KnownErrors(
        _RETRY_LIST,
        transient=True,
        meanings={
            64: "connected, and then lost at login",
            121: "the semaphore's time is over: the network is gone",
            233: "connected, and then closed at login: too busy, or too little memory",
            997: "connected, and then an overlapped operation was in progress at login",
            1204: "no lock is left",
            1205: "chosen as the victim of a deadlock",
            1222: "waited for a lock for too long",
            3960: "snapshot conflict",
            3966: "the version of a row that a snapshot needs is gone",
            10053: "the connection was aborted on this machine",
            10054: "the connection was closed by the server",
            10060: "the server did not respond in time",
        },
    ),
    KnownErrors(
        _ENGINE,
        transient=True,
        meanings={
            596: "the session is being killed, e.g. at a failover",
            701: "out of memory",
            921: "the database is not recovered yet",
            922: "the database is being recovered",
            976: "the replica of the availability group does not take connections now",
            983: "the replica of the availability group is neither primary nor readable now",
            3961: "snapshot conflict: the table was altered",
            6005: "the server shuts down",
            8628: "waited for memory to optimize the query for too long",
            8645: "waited for memory to run the query for too long",
            8651: "less memory than the query needs at least",
            18401: "the server is being upgraded",
        },
    ),
    KnownErrors(
        _MEMORY_OPTIMIZED,
        transient=True,
        meanings=dict.fromkeys(range(41301, 41326), "conflict, validation or dependency of memory-optimized rows"),
    ),
    KnownErrors(
        "include/sybdb.h of FreeTDS, which pymssql is built on",
        transient=True,
        meanings={
            20001: "a read was out of step with the server",
            20002: "the connection failed",
            20003: "the connection timed out",
            20004: "a read from the server failed",
            20006: "a write to the server failed",
            20008: "no socket could be opened",
            20009: "the server is unavailable or does not exist",
            20010: "not enough memory",
            20011: "most connections of this process are in use",
            20013: "the host's name is not known, now",
            20017: "the server closed the connection",
            20020: "an answer was out of step",
            20022: "a cancellation could not be sent",
            20047: "the connection is dead",
            20056: "the connection could not be closed",
        },
    ),
    KnownErrors(
        "include/sybdb.h of FreeTDS",
        transient=False,
        meanings={
            20012: "the server's name is not in the configuration",
            20014: "the password is wrong",
            20049: "a value does not fit",
        },
    ),
)

_ORACLE_HELP: Final = "docs.oracle.com/error-help/db/"
_ORACLE_DRIVER: Final = "errors.py of python-oracledb"

ORACLE: Final = (
    KnownErrors(
        _ORACLE_HELP,
        transient=True,
        meanings={
            "ORA-00018": "most sessions are in use",
            "ORA-00020": "most processes are in use",
            "ORA-00054": "locked",
            "ORA-00060": "deadlock",
            "ORA-00376": "a data file cannot be read now",
            "ORA-01035": "only administrators may connect now",
            "ORA-01109": "the database is not open",
            "ORA-01115": "a block of a data file could not be read",
            "ORA-01219": "the database is not open: only fixed tables can be read",
            "ORA-01555": "the snapshot is too old",
            "ORA-01652": "no space in a temporary tablespace",
            "ORA-02391": "most sessions of the user are in use",
            "ORA-02399": "the session was open for longer than its profile allows",
            "ORA-04031": "no shared memory is left",
            "ORA-08103": "the object was rebuilt while it was read",
            "ORA-08177": "transactions could not be serialized",
            "ORA-12801": "a process of a parallel query failed",
            "ORA-30006": "waited for a busy resource for too long",
        },
    ),
    KnownErrors(
        _ORACLE_DRIVER,
        transient=True,
        meanings={
            "DPY-1001": "not connected",
            "DPY-4011": "the database or the network closed the connection",
            "DPY-4024": "the call took too long",
            "DPY-4033": "the session was idle for too long",
        },
    ),
    KnownErrors(
        _ORACLE_DRIVER,
        transient=False,
        meanings={
            "DPY-6002": "the certificate is not that of the server that was named",
            "DPY-6006": "the name is not that of the server's certificate",
        },
    ),
)
"""Beside what the driver itself calls operational or recoverable: not reached, no such service (yet), starting."""

POSTGRESQL: Final = (
    KnownErrors(
        "postgresql.org/docs/current/errcodes-appendix.html",
        transient=True,
        meanings={
            "08": "connection",
            "40": "transaction rolled back: deadlock, serialization",
            "53": "too few resources",
            "55P03": "locked",
            "57": "shutdown, cancelled",
            "58": "input or output",
        },
    ),
)
"""Beginnings of SQLSTATE."""

_POSTGRESQL_REFUSES: Final = ("authentication failed", "does not exist", "no pg_hba.conf entry", "permission denied")
"""A connection that was refused has no SQLSTATE, only a text; in another language it counts as one that may pass."""

_CONNECTION_LOST: Final = (
    "Connection to the database failed for an unknown reason",
    "Could not set connection properties",
    "Not connected to any MS SQL server",
)
"""What pymssql says without a number."""

_SEE_SERVER_MESSAGE: Final = 20018
"""DB-Library's number for "see the server's message"."""

_TRANSACTION: Final = re.compile(r"Cannot \w+ transaction: \((\d+),")
"""How pymssql quotes the server's error at a begin or a commit."""

_LIBRARY_ONLY: Final = re.compile(r"DB-Lib error message (\d+),")
"""How the text of an error begins to which no server said anything."""


def _collect(tables: Iterable[KnownErrors], *, transient: bool) -> frozenset[int | str]:
    return frozenset(code for table in tables if table.transient is transient for code in table.meanings)


_SQL_SERVER_PASSES: Final = _collect(SQL_SERVER, transient=True)
_ORACLE_PASSES: Final = _collect(ORACLE, transient=True)
_ORACLE_LASTS: Final = _collect(ORACLE, transient=False)
_POSTGRESQL_PASSES: Final = tuple(str(code) for code in _collect(POSTGRESQL, transient=True))


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
        return _is_transient_oracle(error)
    if backend == "mssql":
        return error.orig is not None and is_transient_sql_server(error.orig)
    if backend == "sqlite":
        absent = any(text in str(error.orig) for text in ("no such table", "no such column"))
        return isinstance(error, OperationalError) and not absent
    # DuckDB's name for a file that another process holds.
    return isinstance(error, OperationalError) or type(error.orig).__name__ == "IOException"


def is_transient_sql_server(error: BaseException) -> bool:
    """Return whether the same call may succeed later, of an error of pymssql or of the module below it."""
    return _extract_number(error) in _SQL_SERVER_PASSES or str(error).startswith(_CONNECTION_LOST)


def _is_transient_postgresql(error: DBAPIError) -> bool:
    state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)  # psycopg 3, psycopg 2
    if state is not None:
        return str(state).startswith(_POSTGRESQL_PASSES)
    text = str(error.orig)
    return isinstance(error, OperationalError) and not any(refusal in text for refusal in _POSTGRESQL_REFUSES)


def _is_transient_oracle(error: DBAPIError) -> bool:
    """Classify by the driver's code and by the server's, which the driver replaces where it has one of its own."""
    first = error.orig.args[0] if error.orig is not None and error.orig.args else None
    codes = {getattr(first, "full_code", None), f"ORA-{getattr(first, 'code', 0) or 0:05}"}
    if codes & _ORACLE_LASTS:
        return False
    if codes & _ORACLE_PASSES or getattr(first, "isrecoverable", False):
        return True
    return isinstance(error, OperationalError)


def _extract_number(error: BaseException) -> int | None:
    """Extract the number of an error from what pymssql raises: a number, a tuple, or a text at a begin or a commit.

    It never forgets the number of the first connection that a server refused, and gives it to each later one that
    fails with no greater severity. The text is always that of this call: if it begins with the client library's own
    message, that number counts. Where a server refused again, the text does not say why: it is taken to be as before.
    """
    number, text = (*error.args, None, None)[:2]
    if isinstance(number, tuple):
        number, text = (*number, None)[:2]
    if isinstance(number, str):
        quoted = _TRANSACTION.match(number)
        return int(quoted[1]) if quoted else None
    said = _LIBRARY_ONLY.match(text.decode(errors="replace") if isinstance(text, bytes) else str(text))
    if said and int(said[1]) != _SEE_SERVER_MESSAGE:
        return int(said[1])
    return number if isinstance(number, int) else None
