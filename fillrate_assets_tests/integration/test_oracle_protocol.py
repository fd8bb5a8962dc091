"""The order system through Oracle's own driver and protocol, without an Oracle: a Mirror answers for PostgreSQL.

The Mirror knows no VARCHAR2 and no NUMBER without PostgreSQL's orafce, so the tables are made in PostgreSQL itself.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from threading import Thread
from typing import Final
from uuid import uuid4

import pytest
import sqlalchemy as sa

from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.sources.line_versions import ChangeWindow
from fillrate_assets.fillrate.sources.order_system import OrderSystem
from fillrate_assets.settings import SourceTable
from fillrate_assets.storage import sql
from fillrate_assets_tests.conftest import TINY
from fillrate_assets_tests.factories.rows import AT, DAY
from fillrate_assets_tests.fixtures.home import Home
from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS
from fillrate_assets_tests.fixtures.postgres import Postgres
from fillrate_assets_tests.fixtures.servers import (
    QUANTITIES,
    ServerTables,
    assert_a_wrong_password_is_permanent_and_not_shown,
)

USER: Final = "reader"
PASSWORD: Final = "s3cret-of-mirror"  # noqa: S105 - of a server that is reached from here alone
_DUAL: Final = "CREATE VIEW oracle.dual AS SELECT 'X'::varchar AS dummy"


@pytest.fixture
def database(postgres: Postgres) -> str:
    """The URL of the database behind the Mirror, as the user whose tables it shows."""
    name = f"mirror {uuid4()}"
    url = sa.make_url(postgres.create_database(name))
    role = f"{USER}_{uuid4().hex[:8]}"
    with sql.get_engine(url.render_as_string(hide_password=False)).begin() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
        for schema in (USER, "oracle"):
            connection.exec_driver_sql(f"CREATE SCHEMA {schema} AUTHORIZATION {role}")
        connection.exec_driver_sql(_DUAL)
    return url.set(username=role, password=PASSWORD).render_as_string(hide_password=False)


@pytest.fixture
def mirror(database: str) -> Iterator[str]:
    """The URL of a Mirror, as of an Oracle."""
    behind = sa.make_url(database)
    info = f"host={behind.query['host']} dbname='{behind.database}' user={behind.username} password={PASSWORD}"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("seerdb-mirror")
    process = subprocess.Popen(  # noqa: S603 - a package's own program
        [program, "--port", str(port), "postgres", info],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "MIRROR_USERS": f"{USER}:{PASSWORD}"},
    )
    assert process.stderr is not None
    with process.stderr as log:
        said = next((line for line in log if "listening" in line), None)
        rest = Thread(target=log.read)
        rest.start()
        try:
            assert said is not None
            yield f"oracle+oracledb://{USER}:{PASSWORD}@127.0.0.1:{port}/?service_name=mirror"
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)
            rest.join(PATIENCE_SECONDS)


def test_the_order_system_reads_the_same_through_oracles_driver(mirror: str, database: str, tmp_path: Path) -> None:
    embedded = Home(tmp_path / "home")
    embedded.generate(TINY)
    tables = ServerTables(database, ("order_lines", "items"), "their", USER, zoned=False)
    tables.fill(embedded)
    served = OrderSystem(mirror, ServerTables(mirror, ("order_lines", "items"), "their").mapping)
    orders = embedded.systems.order_system
    for dc in TINY.dc_codes:
        key = ["order_id", "line_no", "source_seq"]
        expected = orders.read_order_lines(dc, TINY.first, TINY.last).sort(key)
        assert served.read_order_lines(dc, TINY.first, TINY.last).sort(key).equals(expected)
    assert served.read_items().sort("item", "valid_from").equals(orders.read_items().sort("item", "valid_from"))
    for since in (None, datetime(2026, 3, 14, 12, 30, 15, 123456, UTC)):
        window = ChangeWindow(TINY.dc_codes, since, TINY.first, TINY.last)
        assert served.read_changes(window).equals(orders.read_changes(window))


@pytest.mark.parametrize("kind", ["NUMERIC(18,4)", "NUMERIC", "TEXT"])
def test_a_quantity_never_passes_through_a_float(mirror: str, database: str, kind: str) -> None:
    with sql.get_engine(database).begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE {USER}.amounts (n INTEGER, quantity {kind})")
        statement = sa.text(f"INSERT INTO {USER}.amounts VALUES (:n, CAST(:quantity AS {kind}))")  # noqa: S608
        for number, quantity in enumerate(QUANTITIES):
            connection.execute(statement, {"n": number, "quantity": quantity if quantity is None else str(quantity)})
    amounts = sa.table("amounts", sa.column("n"), sa.column("quantity"))
    found = sql.read("order system", mirror, sa.select(amounts.c.n, amounts.c.quantity)).sort("n")["quantity"]
    assert not found.dtype.is_float()
    assert [None if value is None else Decimal(value) for value in found] == list(QUANTITIES)


def test_an_absent_table_is_permanent(mirror: str) -> None:
    with pytest.raises(PermanentFailure, match="ORA-00942"):
        OrderSystem(mirror, {"order_lines": SourceTable(name="absent")}).read_order_lines("DC01", DAY, DAY)


def test_a_wrong_password_is_permanent_and_not_shown(mirror: str) -> None:
    assert_a_wrong_password_is_permanent_and_not_shown(mirror, "ORA-01017")


def test_a_server_that_is_down_may_come_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(SourceUnavailable, match="DPY-6005"):
        OrderSystem(f"oracle+oracledb://{USER}:{PASSWORD}@127.0.0.1:{port}/?service_name=mirror").read_items()


def test_a_statement_that_takes_too_long_may_pass(mirror: str, database: str) -> None:
    with sql.get_engine(database).begin() as connection:
        connection.exec_driver_sql(f"CREATE VIEW {USER}.slow AS SELECT pg_sleep(30)::text AS waited")
    slow = sa.table("slow", sa.column("waited"))
    # The Mirror does not stop on request, so the driver gives the connection up.
    with pytest.raises(SourceUnavailable, match=r"DPY-4024|DPY-4011"):
        sql.read("order system", mirror, sa.select(slow.c.waited), statement_seconds=1)


_LINES: Final = """CREATE TABLE {user}.order_lines (
    dc {key}, ship_date TIMESTAMP, order_id {key}, line_no NUMERIC(9,0), item {key},
    ordered_qty {quantity}, processed_at {moment}, source_seq INTEGER, requested_date TIMESTAMP)"""
_NEEDED: Final = ("dc", "ship_date", "order_id", "line_no", "item", "ordered_qty", "processed_at", "source_seq")
_ABSENT: Final = {column.name: "" for column in schema.ORDER_LINES.source_columns if column.name not in _NEEDED}


def _make_lines(database: str, key: str, moment: str, *rows: str, quantity: str = "NUMERIC") -> None:
    with sql.get_engine(database).begin() as connection:
        connection.exec_driver_sql(_LINES.format(user=USER, key=key, moment=moment, quantity=quantity))
        for row in rows:
            connection.exec_driver_sql(f"INSERT INTO {USER}.order_lines VALUES ({row})")  # noqa: S608 - our own


@pytest.mark.parametrize(("key", "dc"), [("NUMERIC(10,0)", "4711"), ("CHAR(12)", "DC01"), ("NUMERIC", "4711")])
def test_keys_of_any_type_are_found_and_written_as_codes(mirror: str, database: str, key: str, dc: str) -> None:
    row = f"'{dc}', '{DAY} 23:59:59', '4711', 1, '4711', 1 / 3.0, '2026-02-10 18:00:00', 1, NULL"
    _make_lines(database, key, "TIMESTAMP", row)
    orders = OrderSystem(mirror, {"order_lines": SourceTable(columns=_ABSENT)})
    (line,) = orders.read_order_lines(dc, DAY, DAY).to_dicts()
    assert (line["dc"], line["order_id"], line["item"], line["ship_date"]) == (dc, "4711", "4711", DAY)
    # A quotient has more digits than any decimal.
    assert line["ordered_qty"] == Decimal("0.3333")
    assert orders.read_changes(ChangeWindow([dc], None, DAY, DAY)).rows() == [(dc, DAY, AT, 1)]


@pytest.mark.parametrize("quantity", ["NUMERIC", "NUMERIC(10,2)"])
def test_a_date_before_the_year_1_rejects_its_row_and_no_other(mirror: str, database: str, quantity: str) -> None:
    at = "'2026-02-10 18:00:00.5'"
    _make_lines(
        database,
        "VARCHAR(10)",
        "TIMESTAMP",
        f"'DC01', '{DAY}', 'O1', 1, 'A', 10, {at}, 1, '4712-01-01 BC'",
        f"'DC01', '{DAY}', 'O2', 1, 'A', 10, {at}, 1, '2026-02-12'",
        f"'DC01', '{DAY}', 'O3', 1, 'A', 10, '0044-03-15 BC', 1, NULL",
        quantity=quantity,
    )
    columns = {name: theirs for name, theirs in _ABSENT.items() if name != "requested_date"}
    orders = OrderSystem(mirror, {"order_lines": SourceTable(columns=columns)})
    first, second, third = orders.read_order_lines("DC01", DAY, DAY).sort("order_id").to_dicts()
    assert first["problem"] == "requested_date '4712-01-01 BC' is not a date (YYYY-MM-DD)"
    assert (second["problem"], second["requested_date"].day) == (None, 12)
    assert second["processed_at"] == AT.replace(microsecond=500_000)
    assert third["problem"].startswith("processed_at '0044-03-15 BC' is not a time")


def test_times_with_a_zone_are_utc_wherever_the_process_is(
    mirror: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = f"'DC01', '{DAY}', 'O1', 1, 'A', 10, '2026-02-10 19:00:00+01', 1, NULL"
    _make_lines(database, "VARCHAR(10)", "TIMESTAMPTZ", row)
    orders = OrderSystem(mirror, {"order_lines": SourceTable(columns=_ABSENT)})
    for zone in ("Pacific/Auckland", "America/New_York", "UTC"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        try:
            assert orders.read_order_lines("DC01", DAY, DAY)["processed_at"].to_list() == [AT]
            assert orders.read_latest_change() == AT
        finally:
            monkeypatch.undo()
            time.tzset()


def test_an_error_names_the_system_and_its_host(mirror: str) -> None:
    with pytest.raises(
        PermanentFailure, match=r"^order system \(oracle.*@127\.0\.0\.1:\d+/\?service_name=mirror\) refused"
    ):
        OrderSystem(mirror, {"order_lines": SourceTable(name="absent")}).read_latest_change()
