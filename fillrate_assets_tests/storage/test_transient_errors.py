"""Which errors are worth a retry, by what each driver raises."""

from __future__ import annotations

import importlib

import oracledb
import pymssql
import pytest
from sqlalchemy.exc import DBAPIError

from fillrate_assets.storage.transient_errors import (
    ORACLE,
    SQL_SERVER,
    KnownErrors,
    is_transient,
    is_transient_sql_server,
)


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        pytest.param(pymssql.OperationalError(1205, b"Transaction was deadlocked"), True, id="deadlock"),
        pytest.param(pymssql.OperationalError(3960, b"Snapshot isolation"), True, id="snapshot conflict"),
        pytest.param(pymssql.OperationalError(3961, b"Snapshot isolation"), True, id="table altered under a snapshot"),
        *[
            pytest.param(pymssql.OperationalError((number, b"Azure SQL")), True, id=f"Azure {number}")
            for number in (10928, 10929, 40197, 40501, 40613, 49918, 49919, 49920)
        ],
        pytest.param(
            pymssql.OperationalError("Cannot commit transaction: (1205, b'Transaction was deadlocked')"),
            True,
            id="deadlock at a commit",
        ),
        pytest.param(
            pymssql.OperationalError("Cannot start transaction: (40613, b'Database is not available')"),
            True,
            id="not available at a begin",
        ),
        pytest.param(
            pymssql.OperationalError("Cannot commit transaction: (547, b'The statement conflicted')"),
            False,
            id="constraint at a commit",
        ),
        pytest.param(pymssql.OperationalError(1222, b"Lock request time out"), True, id="lock timeout"),
        pytest.param(pymssql.OperationalError((20009, b"Unable to connect")), True, id="not reached"),
        pytest.param(pymssql.OperationalError(20003, b"timed out"), True, id="timeout"),
        pytest.param(pymssql.OperationalError((18456, b"Login failed for user 'writer'")), False, id="wrong password"),
        pytest.param(pymssql.OperationalError((4060, b"Cannot open database")), False, id="unknown database"),
        pytest.param(pymssql.ProgrammingError(208, b"Invalid object name"), False, id="absent table"),
        pytest.param(pymssql.OperationalError(2628, b"String data would be truncated"), False, id="value too long"),
        pytest.param(pymssql.OperationalError("no number"), False, id="no number"),
        pytest.param(pymssql.OperationalError(), False, id="nothing said"),
    ],
)
def test_sql_server(error: Exception, passes: bool) -> None:  # noqa: FBT001 - the expected answer
    wrapped = DBAPIError.instance("SELECT 1", None, error, pymssql.Error)
    assert isinstance(wrapped, DBAPIError)
    assert is_transient(wrapped, "mssql") is passes


@pytest.mark.parametrize(
    ("code", "passes"),
    [
        ("ORA-00060", True),
        ("ORA-08177", True),
        ("ORA-01555", True),
        ("DPY-4024", True),
        ("ORA-00942", False),
        ("ORA-00904", False),
        ("ORA-01017", False),
        ("ORA-28000", False),
    ],
)
def test_oracle(code: str, passes: bool) -> None:  # noqa: FBT001 - the expected answer
    class Reported:
        full_code = code

    wrapped = DBAPIError.instance("SELECT 1", None, oracledb.DatabaseError(Reported()), oracledb.Error)
    assert isinstance(wrapped, DBAPIError)
    assert is_transient(wrapped, "oracle") is passes


def test_a_connection_that_was_lost_may_pass_on_every_database() -> None:
    error = pymssql.InterfaceError("Connection is closed.")
    for backend in ("mssql", "oracle", "postgresql"):
        lost = DBAPIError.instance("SELECT 1", None, error, pymssql.Error, connection_invalidated=True)
        assert isinstance(lost, DBAPIError)
        assert is_transient(lost, backend)


def list_codes(tables: tuple[KnownErrors, ...]) -> list[tuple[int | str, bool]]:
    return [(code, table.transient) for table in tables for code in table.meanings]


def wrap(error: Exception, base: type[Exception]) -> DBAPIError:
    wrapped = DBAPIError.instance("SELECT 1", None, error, base)
    assert isinstance(wrapped, DBAPIError)
    return wrapped


@pytest.mark.parametrize(("number", "passes"), list_codes(SQL_SERVER))
def test_each_known_error_of_sql_server(number: int, passes: bool) -> None:  # noqa: FBT001 - the expected answer
    for arguments in ((number, b"as set"), ((number, b"as set"),)):
        assert is_transient(wrap(pymssql.OperationalError(*arguments), pymssql.Error), "mssql") is passes


@pytest.mark.parametrize(("code", "passes"), list_codes(ORACLE))
def test_each_known_error_of_oracle(code: str, passes: bool) -> None:  # noqa: FBT001 - the expected answer
    assert is_transient(wrap(make_oracle_error(f"{code}: as set"), oracledb.Error), "oracle") is passes


def make_oracle_error(message: str) -> oracledb.Error:
    """An error as the driver makes it of a message, in the class that it gives it."""
    prefix, _, number = message.partition(":")[0].partition("-")
    error = importlib.import_module("oracledb.errors")._Error(message, code=int(number) if prefix == "ORA" else 0)  # noqa: SLF001 - as the driver
    made: oracledb.Error = error.exc_type(error)
    return made


@pytest.mark.parametrize(
    ("message", "passes"),
    [
        ("ORA-01089: immediate shutdown in progress", True),
        ("ORA-03113: end-of-file on communication channel", True),
        ("ORA-12514: the service is not registered", True),
        ("ORA-12757: the instance does not know of the service", True),
        ("DPY-6005: cannot connect to database", True),
        ("ORA-00942: table or view does not exist", False),
        ("ORA-01017: invalid credential", False),
        ("ORA-01722: unable to convert string value to a number", False),
        ("DPY-6002: the distinguished name (DN) on the server certificate does not match", False),
        ("DPY-6006: the name on the server certificate does not match", False),
    ],
)
def test_what_oracles_driver_itself_takes_for_recoverable(message: str, passes: bool) -> None:  # noqa: FBT001 - as above
    assert is_transient(wrap(make_oracle_error(message), oracledb.Error), "oracle") is passes


def test_every_known_error_has_a_source_and_a_meaning() -> None:
    for table in (*SQL_SERVER, *ORACLE):
        assert table.source
        assert all(table.meanings.values())
    assert len(list_codes(SQL_SERVER)) == len(dict(list_codes(SQL_SERVER)))


_REFUSED = b"DB-Lib error message 20009, severity 9:\nUnable to connect: TDS server is unavailable\n"


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        pytest.param(pymssql.OperationalError((18456, _REFUSED)), True, id="the number is of an earlier call"),
        pytest.param(
            pymssql.OperationalError((40613, b"DB-Lib error message 20014, severity 11:\nLogin incorrect\n")),
            False,
            id="so is this",
        ),
        pytest.param(
            pymssql.OperationalError((18456, b"Login failed.DB-Lib error message 20018, severity 14:\nGeneral\n")),
            False,
            id="the server says why",
        ),
        pytest.param(
            pymssql.OperationalError((18456, b"DB-Lib error message 20018, severity 14:\nGeneral\n")),
            False,
            id="refused again, and the driver drops why",
        ),
        pytest.param(pymssql.InterfaceError("Not connected to any MS SQL server"), True, id="not connected"),
    ],
)
def test_the_text_of_a_call_counts_where_its_number_is_stale(error: Exception, passes: bool) -> None:  # noqa: FBT001
    assert is_transient_sql_server(error) is passes
