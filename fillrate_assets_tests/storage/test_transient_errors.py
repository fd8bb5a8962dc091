"""Which errors are worth a retry, by what each driver raises."""

from __future__ import annotations

import oracledb
import pymssql
import pytest
from sqlalchemy.exc import DBAPIError

from fillrate_assets.storage.transient_errors import is_transient


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
