"""A source that does not answer as it should is an error that says what to do; it is never an empty frame."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from fillrate_assets.core.errors import FillrateError, PermanentFailure, SourceUnavailable
from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.fillrate.sources import line_versions
from fillrate_assets.fillrate.sources.instock_warehouse import InstockWarehouse
from fillrate_assets.fillrate.sources.order_system import OrderSystem
from fillrate_assets.fillrate.sources.shipping_records import ShippingRecords
from fillrate_assets.fillrate.watermark import DatabaseWatermark
from fillrate_assets.settings import SourceTable
from fillrate_assets.storage import sql
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.factories.rows import DAY, make_order_lines, make_shipment_lines, make_snapshots
from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS

Read = Callable[[Path], object]

WINDOW = line_versions.ChangeWindow(["DC01"], None, DAY, DAY)
SQLITE: list[tuple[str, Read]] = [
    ("order system", lambda file: OrderSystem(f"sqlite:///{file}").read_order_lines("DC01", DAY, DAY)),
    ("order system", lambda file: OrderSystem(f"sqlite:///{file}").read_changes(WINDOW)),
    ("order system", lambda file: OrderSystem(f"sqlite:///{file}").read_items()),
    ("shipping records", lambda file: ShippingRecords(f"sqlite:///{file}").read_shipment_lines("DC01", DAY, DAY)),
    ("shipping records", lambda file: ShippingRecords(f"sqlite:///{file}").read_changes(WINDOW)),
    ("record store", lambda file: RecordStore(Database(f"sqlite:///{file}")).read_ledger()),
    ("record store", lambda file: RecordStore(Database(f"sqlite:///{file}")).read_records("DC01", DAY)),
    ("watermark", lambda file: DatabaseWatermark(Database(f"sqlite:///{file}")).read("orders")),
]
DUCKDB: list[tuple[str, Read]] = [
    ("instock warehouse", lambda file: InstockWarehouse(f"duckdb:///{file}").read_snapshots("DC01", DAY, DAY)),
]


@pytest.mark.parametrize(("system", "read"), SQLITE + DUCKDB)
def test_an_absent_database_says_how_to_make_one(tmp_path: Path, system: str, read: Read) -> None:
    file = tmp_path / "absent.db"
    with pytest.raises(PermanentFailure, match=f"^{system}: there is no {file}; run `fillrate demo`"):
        read(file)
    assert not file.exists()


@pytest.mark.parametrize(("system", "read"), SQLITE)
def test_an_absent_table_is_named(tmp_path: Path, system: str, read: Read) -> None:
    file = tmp_path / "empty.db"
    sqlite3.connect(file).close()
    file.touch()
    with pytest.raises(PermanentFailure, match=rf"^{system} \(sqlite.*no such table"):
        read(file)


@pytest.mark.parametrize(("system", "read"), DUCKDB)
def test_an_absent_table_of_the_warehouse_is_named(tmp_path: Path, system: str, read: Read) -> None:
    file = tmp_path / "empty.duckdb"
    with sa.create_engine(f"duckdb:///{file}", poolclass=sa.NullPool).begin() as connection:
        connection.exec_driver_sql("CREATE TABLE other (x INTEGER)")
    with pytest.raises(PermanentFailure, match=rf"^{system} \(duckdb.*instock_snapshots does not exist"):
        read(file)


def test_an_absent_column_is_named(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/orders.db"
    OrderSystem(url).create()
    mapping = {"order_lines": SourceTable(columns={"ordered_qty": "QTY"})}
    with pytest.raises(PermanentFailure, match=r"no such column: .*QTY"):
        OrderSystem(url, mapping).read_order_lines("DC01", DAY, DAY)


@pytest.mark.parametrize(("system", "read"), SQLITE + DUCKDB)
def test_a_file_that_is_no_database_is_an_error(tmp_path: Path, system: str, read: Read) -> None:
    file = tmp_path / "broken"
    file.write_bytes(b"not a database at all, but long enough to look like one " * 100)
    with pytest.raises(FillrateError, match=f"^{system} "):
        read(file)


def test_a_locked_database_is_an_error_that_may_pass(tmp_path: Path) -> None:
    file = tmp_path / "orders.db"
    orders = OrderSystem(f"sqlite:///{file}?timeout=1")
    orders.create()
    orders.append(make_order_lines({}))
    assert orders.read_order_lines("DC01", DAY, DAY).height == 1
    # Another process has the file to itself: two SQLite libraries in one process do not see each other's locks.
    holder = subprocess.Popen([sys.executable, "-c", _HOLD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - our own code
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(SourceUnavailable, match=r"^order system \(sqlite.* does not answer: .*locked"):
            orders.read_order_lines("DC01", DAY, DAY)
    finally:
        holder.communicate(b"\n", timeout=PATIENCE_SECONDS)
    assert orders.read_order_lines("DC01", DAY, DAY).height == 1


_HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA locking_mode=EXCLUSIVE")
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.readline()
"""


def test_a_server_that_does_not_answer_is_an_error_that_hides_its_password() -> None:
    # Nothing listens on port 1; the driver does not matter.
    url = "mssql+pymssql://reader:secret@127.0.0.1:1/shipping?login_timeout=1&timeout=1"
    with pytest.raises(FillrateError, match=r"^shipping records ") as raised:
        ShippingRecords(url).read_shipment_lines("DC01", DAY, DAY)
    assert isinstance(raised.value, SourceUnavailable)
    assert "secret" not in str(raised.value)
    assert "reader:***@127.0.0.1" in str(raised.value)


@pytest.mark.parametrize("url", ["nothing://here", "sqlite+nothing:///x"])
def test_a_url_of_no_known_database_is_named(url: str) -> None:
    with pytest.raises(PermanentFailure, match="cannot use database URL"):
        sql.get_engine(url)


def test_systems_show_no_url() -> None:
    assert "secret" not in repr(OrderSystem("oracle+oracledb://reader:secret@host/db"))


def test_appending_nothing_touches_nothing(tmp_path: Path) -> None:
    OrderSystem(f"sqlite:///{tmp_path}/absent.db").append(make_order_lines())
    assert list(tmp_path.iterdir()) == []


def test_columns_are_appended_by_name(tmp_path: Path) -> None:
    for system in ("sqlite", "duckdb"):
        url = f"{system}:///{tmp_path}/{system}.db"
        table = sa.Table("pairs", sa.MetaData(), sa.Column("THEIRS", sa.String, key="ours"), sa.Column("b", sa.Integer))
        table.metadata.create_all(sql.get_engine(url))
        sql.append("embedded system", url, table, pl.DataFrame({"b": [1, 2], "ours": ["x", None]}))
        found = sql.read(system, url, sa.select(table.c.ours, table.c.b).order_by(table.c.b))
        assert found.rows() == [("x", 1), (None, 2)], system


def test_the_arrow_driver_waits_for_a_locked_file(tmp_path: Path) -> None:
    file = tmp_path / "locked.db"
    with sql.open_sqlite_cursor(f"sqlite:///{file}", "a look") as cursor:
        cursor.execute("PRAGMA busy_timeout")
        assert cursor.fetchall() == [(60_000,)]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://reader:hunter2@127.0.0.1:1/orders?connect_timeout=hunter2",
        "oracle+oracledb://reader:hunter2@127.0.0.1:1/orders?nothing=hunter2",
        "mssql+pymssql://reader:hunter2@127.0.0.1:1/orders?timeout=hunter2",
        "postgresql+psycopg://reader:hunter2@127.0.0.1:1/orders?options=hunter2",
    ],
)
def test_what_a_driver_says_of_its_options_shows_none_of_them(url: str) -> None:
    with pytest.raises(FillrateError, match=r"order system|database URL") as raised:
        OrderSystem(url).read_order_lines("DC01", DAY, DAY)
    assert "hunter2" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(
    ("make", "table", "columns"),
    [
        (lambda folder: OrderSystem(f"sqlite:///{folder}/o.db"), "order_lines", ["schedule_line", "problem"]),
        (
            lambda folder: ShippingRecords(f"sqlite:///{folder}/s.db"),
            "shipment_lines",
            ["schedule_line", "shipment_id"],
        ),
        (lambda folder: InstockWarehouse(f"duckdb:///{folder}/i.duckdb"), "instock_snapshots", ["on_hand_cases"]),
    ],
)
def test_a_table_of_an_older_version_gets_the_columns_that_it_lacks(
    make: Callable[[Path], OrderSystem | ShippingRecords | InstockWarehouse],
    table: str,
    columns: list[str],
    tmp_path: Path,
) -> None:
    system = make(tmp_path)
    rows = {"order_lines": make_order_lines, "shipment_lines": make_shipment_lines, "instock_snapshots": make_snapshots}
    for name in columns:
        system.create()
        with sql.get_engine(system.url).begin() as connection:
            connection.exec_driver_sql(f"ALTER TABLE {table} DROP COLUMN {name}")
    system.append(rows[table]({}).drop(columns, strict=False))
    system.create()
    system.append(rows[table]({}))
    match system:
        case OrderSystem():
            found = system.read_order_lines("DC01", DAY, DAY)
        case ShippingRecords():
            found = system.read_shipment_lines("DC01", DAY, DAY)
        case InstockWarehouse():
            found = system.read_snapshots("DC01", DAY, DAY)
    assert found.height == 2


def test_a_table_that_lacks_what_every_row_must_have_is_refused(tmp_path: Path) -> None:
    orders = OrderSystem(f"sqlite:///{tmp_path}/o.db")
    orders.create()
    with sql.get_engine(orders.url).begin() as connection:
        connection.exec_driver_sql("DROP INDEX order_lines_by_key")
        connection.exec_driver_sql("ALTER TABLE order_lines DROP COLUMN line_no")
    with pytest.raises(PermanentFailure, match="order_lines lacks line_no: load its files into a new home"):
        orders.create()
