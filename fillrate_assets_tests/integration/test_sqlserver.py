"""The main job with a real SQL Server for shipping records and record store. Set FILLRATE_TEST_SQLSERVER_URL to run it.

    FILLRATE_TEST_SQLSERVER_URL='mssql+pymssql://user:password@host:1433/master'

The login must be allowed to create databases (role dbcreator): the tests make one of their own and drop it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from threading import Barrier, Thread
from typing import Any
from uuid import uuid4

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa

from fillrate_assets.core.errors import FillrateError, PermanentFailure, SourceUnavailable
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.record_store import DCS, RecordStore
from fillrate_assets.fillrate.sources.line_versions import ChangeWindow
from fillrate_assets.fillrate.sources.shipping_records import ShippingRecords
from fillrate_assets.fillrate.watermark import WATERMARKS
from fillrate_assets.settings import SourceTable
from fillrate_assets.storage import bulk_insert, sql
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.conftest import TINY, copy_home
from fillrate_assets_tests.factories.rows import AT, DAY
from fillrate_assets_tests.fixtures.home import Home
from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS
from fillrate_assets_tests.fixtures.servers import (
    QUANTITIES,
    ServerTables,
    assert_a_wrong_password_is_permanent_and_not_shown,
    assert_the_main_job_is_the_same,
    connect_servers,
    onboard,
    read_quantities_back,
    require_url,
)

SERVER, pytestmark = require_url("FILLRATE_TEST_SQLSERVER_URL")


@pytest.fixture
def url() -> Iterator[str]:
    """An empty database."""
    name = f"fillrate_test_{uuid4().hex}"
    engine = sa.create_engine(SERVER, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield sa.make_url(SERVER).set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"ALTER DATABASE {name} SET SINGLE_USER WITH ROLLBACK IMMEDIATE")
            connection.exec_driver_sql(f"DROP DATABASE {name}")


def test_the_main_job_gives_the_same_on_sql_server(url: str, tmp_path: Path, instance: dg.DagsterInstance) -> None:
    embedded = Home(tmp_path / "embedded" / "home")
    embedded.generate(TINY)
    tables = ServerTables(url, ("order_lines", "shipment_lines", "items"), "their")
    tables.fill(embedded)
    urls = dict.fromkeys(
        ("sources__order_system_url", "sources__shipping_records_url", "storage__record_store_url"), url
    )
    served = connect_servers(Home(copy_home(embedded.directory, tmp_path)), tables, **urls)
    onboard(embedded, served)
    assert_the_main_job_is_the_same(instance, embedded, served, tables)
    with sql.get_engine(url).connect() as connection:
        rows = connection.exec_driver_sql("SELECT dc, ship_date, ordered_cases, fill_rate FROM fill_rate_daily").all()
    totals = pl.concat([embedded.store.read_totals(dc, TINY.first, TINY.last) for dc in TINY.dc_codes])
    assert {(dc, day): ordered for dc, day, ordered, _ in rows} == {
        (dc, day): ordered for dc, day, ordered, _ in totals.rows()
    }
    assert all(rate is None or Decimal(0) <= rate <= Decimal(1) for *_, rate in rows)


@pytest.mark.parametrize("kind", [sa.Numeric(18, 4), sa.Unicode(40)])
def test_a_quantity_never_passes_through_a_float(url: str, kind: sa.types.TypeEngine[Any]) -> None:
    assert read_quantities_back(url, "order_lines", kind) == list(QUANTITIES)


def test_the_migrations_can_be_repeated(url: str) -> None:
    store = RecordStore(Database(url))
    store.database.upgrade()
    store.database.upgrade()
    assert store.read_ledger().is_empty()


def test_an_absent_table_is_permanent(url: str) -> None:
    with pytest.raises(PermanentFailure, match="Invalid object name 'ledger'"):
        RecordStore(Database(url)).read_ledger()


def test_a_wrong_password_is_permanent_and_not_shown() -> None:
    assert_a_wrong_password_is_permanent_and_not_shown(SERVER, "Login failed")


def test_an_unknown_database_is_permanent() -> None:
    url = sa.make_url(SERVER).set(database=f"absent_{uuid4().hex}").render_as_string(hide_password=False)
    with pytest.raises(PermanentFailure, match="refused"):
        RecordStore(Database(url)).read_ledger()


def test_a_deadlock_may_pass(url: str) -> None:
    Database(url).upgrade()
    with sql.get_engine(url).begin() as connection:
        connection.execute(WATERMARKS.insert(), [{"name": name, "moment": DAY} for name in ("a", "b")])
    barrier, met = Barrier(2), []

    def session(first: str, second: str) -> None:
        try:
            with sql.translate_errors("watermark", url), sql.get_engine(url).begin() as connection:
                for name in (first, second):
                    connection.execute(WATERMARKS.update().where(WATERMARKS.c.name == name).values(moment=DAY))
                    if name == first:
                        barrier.wait(PATIENCE_SECONDS)
        except FillrateError as error:
            met.append(error)

    threads = [Thread(target=session, args=names) for names in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    (error,) = met
    assert isinstance(error, SourceUnavailable)
    assert "deadlock" in str(error)


_NEEDED = ("dc", "ship_date", "order_id", "line_no", "shipped_qty", "processed_at", "source_seq")
_ABSENT = {column.name: "" for column in schema.SHIPMENT_LINES.source_columns if column.name not in _NEEDED}


def _make_shipments(url: str, key: str, moment: str, *rows: str) -> ShippingRecords:
    declared = f"dc {key}, ship_date {moment}, order_id {key}, line_no NUMERIC(9,0), shipped_qty FLOAT"
    with sql.get_engine(url).begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE shipment_lines ({declared}, processed_at {moment}, source_seq INT)")
        for row in rows:
            connection.exec_driver_sql(f"INSERT INTO shipment_lines VALUES ({row})")  # noqa: S608 - our own
    return ShippingRecords(url, {"shipment_lines": SourceTable(columns=_ABSENT)})


def _speak_german(connection: Any, _: object) -> None:  # noqa: ANN401 - a driver's connection
    cursor = connection.cursor()
    cursor.execute("SET LANGUAGE German")
    cursor.close()


@pytest.mark.parametrize("moment", ["DATETIME", "SMALLDATETIME", "DATETIME2(7)", "DATETIMEOFFSET"])
@pytest.mark.parametrize("german", [False, True])
def test_times_of_every_type_are_compared_and_read(url: str, moment: str, *, german: bool) -> None:
    if german:
        sa.event.listen(sql.get_engine(url, statement_seconds=sql.STATEMENT_SECONDS), "connect", _speak_german)
    row = f"'DC01', '{DAY:%Y%m%d} 14:30', 'O1', 1, 2.5, '{DAY:%Y%m%d} 18:00', 1"
    shipments = _make_shipments(url, "NVARCHAR(20)", moment, row)
    found = shipments.read_shipment_lines("DC01", DAY, DAY)
    assert found.select("ship_date", "shipped_qty", "processed_at").rows() == [(DAY, Decimal("2.5"), AT)]
    before = AT - timedelta(hours=1) + timedelta(microseconds=123456)
    for since in (None, before):
        assert shipments.read_changes(ChangeWindow(["DC01"], since, DAY, DAY)).rows() == [("DC01", DAY, AT, 1)]


@pytest.mark.parametrize("key", ["NUMERIC(18,0)", "FLOAT", "BIGINT", "CHAR(12)", "NCHAR(12)"])
def test_keys_of_every_type_are_found_and_written_as_codes(url: str, key: str) -> None:
    row = f"'4711', '{DAY:%Y%m%d}', '900001', 1, 1e28, '{DAY:%Y%m%d} 18:00', 1"
    shipments = _make_shipments(url, key, "DATETIME2(6)", row)
    (line,) = shipments.read_shipment_lines("4711", DAY, DAY).to_dicts()
    assert (line["dc"], line["order_id"], line["line_no"], line["shipped_qty"]) == ("4711", "900001", 1, None)
    assert line["problem"] == "shipped_qty '1e+28' is not a number"


def test_a_unique_identifier_is_a_code(url: str) -> None:
    code = "00000000-0000-0000-0000-0000000000FF"
    row = f"'{code}', '{DAY:%Y%m%d}', '{code}', 1, 1, '{DAY:%Y%m%d} 18:00', 1"
    shipments = _make_shipments(url, "UNIQUEIDENTIFIER", "DATETIME2(6)", row)
    assert shipments.read_shipment_lines(code, DAY, DAY)["order_id"].to_list() == [code]


def test_codes_that_differ_in_case_are_two_and_texts_fit_their_columns(url: str) -> None:
    Database(url).upgrade()
    names = bulk_insert.clip_texts(pl.Series("name", ["😀" * 200, "Ä" * 300]), 255)
    rows = pl.DataFrame({"dc": ["a1", "A1"], "name": names, "time_zone": ["UTC"] * 2, "active": [True] * 2})
    with sql.get_engine(url).begin() as connection:
        bulk_insert.insert(connection, DCS, rows)
        found = connection.execute(sa.select(DCS.c.dc, DCS.c.name).where(DCS.c.dc == "A1")).all()
    assert found == [("A1", "Ä" * 255)]
