"""SQL Server's driver against a server that speaks its protocol: what is sent, and what its errors become."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.fillrate import record_store
from fillrate_assets.fillrate.sources.line_versions import ChangeWindow
from fillrate_assets.fillrate.sources.shipping_records import ShippingRecords
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql_functions import BINARY_COLLATION
from fillrate_assets.storage.tables import METADATA
from fillrate_assets_tests.factories.rows import AT, DAY
from fillrate_assets_tests.fixtures import tds_server
from fillrate_assets_tests.fixtures.tds_server import Offset, Rows, SqlError, TdsServer

WINDOW = ChangeWindow(["DC01"], AT + timedelta(microseconds=123456), DAY, DAY)
NAMES = ("dc", "ship_date", "order_id", "line_no", "shipped_qty", "processed_at", "source_seq")


@pytest.fixture
def server() -> Iterator[TdsServer]:
    with tds_server.start_server() as running:
        yield running


def _answer_queries(server: TdsServer, answer: Rows | SqlError) -> None:
    server.answer = lambda text: answer if "shipment_lines" in text else None


def _read(server: TdsServer) -> Any:  # noqa: ANN401 - a frame, or nothing
    return ShippingRecords(server.url).read_shipment_lines("DC01", DAY, DAY)


def _find_query(server: TdsServer) -> str:
    (query,) = [text for text in server.batches if "shipment_lines" in text]
    return query


def test_dates_and_times_are_sent_with_their_type_in_no_logins_order(server: TdsServer) -> None:
    _answer_queries(server, Rows(["dc", "ship_date", "processed_at", "lines"]))
    ShippingRecords(server.url).read_changes(WINDOW)
    query = _find_query(server)
    assert f"ship_date >= CAST(N'{DAY}' AS DATE)" in query
    assert f"ship_date < CAST(N'{DAY + timedelta(days=1)}' AS DATE)" in query
    assert "processed_at > CAST(N'2026-02-10T18:00:00.123456' AS DATETIME2(6))" in query
    # A literal without a type would be read as DATETIME is: by the login's language, and without six digits.
    assert f"'{DAY} " not in query
    assert "BETWEEN" not in query
    assert "SET LANGUAGE us_english SET DATEFORMAT ymd" in server.batches


def test_codes_are_compared_with_their_case(server: TdsServer) -> None:
    _answer_queries(server, Rows(NAMES))
    _read(server)
    query = _find_query(server)
    for name in ("dc", "order_id"):
        sides = [
            f"CAST({table}.{name} AS NVARCHAR(255)) COLLATE {BINARY_COLLATION}" for table in ("later", "shipment_lines")
        ]
        assert " = ".join(sides) in query
        assert f"later.{name} = shipment_lines.{name}" in query


def test_values_of_any_type_are_read(server: TdsServer) -> None:
    offset = Offset(2026, 2, 10, 20, tzinfo=timezone(timedelta(hours=2)))
    line = ("4711", DAY, uuid.UUID(int=255), Decimal(1), Decimal("2.5"), offset, 1.0)
    _answer_queries(server, Rows(NAMES, [line, ("4711", DAY, None, Decimal(2), None, offset, 1.0)]))
    found = _read(server)
    assert found["order_id"].to_list() == ["00000000-0000-0000-0000-0000000000FF", None]
    assert found["line_no"].to_list() == [1, 2]
    assert found["shipped_qty"].to_list() == [Decimal("2.5"), None]
    assert found["processed_at"].to_list() == [datetime(2026, 2, 10, 18, tzinfo=UTC)] * 2


def test_keys_in_number_columns_have_no_fraction(server: TdsServer) -> None:
    _answer_queries(server, Rows(NAMES, [(Decimal(4711), DAY, 900001.0, 7.0, 1e28, AT.replace(tzinfo=None), 1)]))
    (line,) = _read(server).to_dicts()
    assert (line["dc"], line["order_id"], line["line_no"], line["shipped_qty"]) == ("4711", "900001", 7, None)
    assert line["problem"] == "shipped_qty '1e+28' is not a number"


@pytest.mark.parametrize("number", [596, 976, 983, 1205, 4221, 8628, 41302, 42109])
def test_an_error_that_may_pass_is_no_answer(server: TdsServer, number: int) -> None:
    _answer_queries(server, SqlError(number))
    with pytest.raises(
        SourceUnavailable, match=rf"shipping records \(mssql.*127\.0\.0\.1.* does not answer: \({number}"
    ):
        _read(server)


def test_an_absent_table_is_refused(server: TdsServer) -> None:
    _answer_queries(server, SqlError(208, "Invalid object name 'shipment_lines'."))
    with pytest.raises(PermanentFailure, match=r"refused: .*Invalid object name"):
        _read(server)


def test_a_server_that_is_down_is_no_refusal_after_a_refused_login(server: TdsServer) -> None:
    """The driver gives every later failure the number of the refused login."""
    server.login_error = SqlError(18456, "Login failed for user 'reader'.", severity=14)
    with pytest.raises(PermanentFailure, match="18456"):
        _read(server)
    down = server.url.replace(str(server.port), "1")
    with pytest.raises(SourceUnavailable, match=r"does not answer: .*20009"):
        ShippingRecords(down).read_shipment_lines("DC01", DAY, DAY)
    server.login_error = None
    _answer_queries(server, Rows(NAMES))
    assert _read(server).is_empty()


@pytest.mark.parametrize(("number", "error"), [(596, SourceUnavailable), (208, PermanentFailure)])
def test_a_rollback_that_fails_too_does_not_hide_why(server: TdsServer, number: int, error: type[Exception]) -> None:
    def answer(text: str) -> SqlError | None:
        if "ledger" in text:
            return SqlError(number, "the first error")
        return (
            SqlError(3903, "no transaction")
            if "ROLLBACK" in text and any("ledger" in each for each in server.batches)
            else None
        )

    server.answer = answer
    with pytest.raises(error, match="the first error"), Database(server.url).begin() as connection:
        connection.execute(sa.select(record_store.LEDGER.c.dc))


def test_every_text_of_our_tables_is_compared_exactly() -> None:
    dialect = sa.make_url("mssql+pymssql://").get_dialect()()
    for table in METADATA.tables.values():
        ddl = str(sa.schema.CreateTable(table).compile(dialect=dialect))
        assert ddl.count("NVARCHAR") == ddl.count(f"COLLATE {BINARY_COLLATION}"), ddl


_RUN = """
import sys
from datetime import date
import sqlalchemy as sa
from fillrate_assets.fillrate.sources.instock_warehouse import InstockWarehouse
from fillrate_assets.fillrate.sources.shipping_records import ShippingRecords
warehouse = InstockWarehouse("duckdb:///" + sys.argv[2])
warehouse.create()
print(warehouse.read_snapshots("DC01", date(2026, 2, 10), date(2026, 2, 10)).height)
print(ShippingRecords(sys.argv[1]).read_shipment_lines("DC01", date(2026, 2, 10), date(2026, 2, 10)).height)
"""


def test_a_process_that_read_says_nothing_when_it_ends(server: TdsServer, tmp_path: Any) -> None:  # noqa: ANN401 - a path
    _answer_queries(server, Rows(NAMES, [("DC01", date(2026, 2, 10), "O1", 1, Decimal(1), AT.replace(tzinfo=None), 1)]))
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-X", "dev", "-c", _RUN, server.url, str(tmp_path / "stock.duckdb")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        timeout=120,
    )
    assert done.stdout.split() == ["0", "1"]
    assert done.stderr == ""
