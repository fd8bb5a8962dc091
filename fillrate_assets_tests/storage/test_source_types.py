"""Values of other people's tables: keys in number columns, padded codes, days with a time, types that nothing holds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import polars as pl
import pytest
import sqlalchemy as sa

from fillrate_assets.core import parsing
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.record_store import DCS
from fillrate_assets.fillrate.sources.instock_warehouse import InstockWarehouse
from fillrate_assets.fillrate.sources.line_versions import ChangeWindow
from fillrate_assets.fillrate.sources.order_system import OrderSystem
from fillrate_assets.settings import SourceTable
from fillrate_assets.storage import bulk_insert, sql
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.row_frames import to_frame
from fillrate_assets_tests.factories.rows import AT, DAY, make_order_lines, make_snapshots
from fillrate_assets_tests.fixtures.postgres import Postgres

NEEDED: Final = ("dc", "ship_date", "order_id", "line_no", "item", "ordered_qty", "processed_at", "source_seq")
ABSENT: Final = {column.name: "" for column in schema.ORDER_LINES.source_columns if column.name not in NEEDED}
LINE: Final = {
    "dc": "'DC01'",
    "ship_date": f"'{DAY}'",
    "order_id": "'O1'",
    "line_no": "1",
    "item": "'A'",
    "ordered_qty": "10",
    "processed_at": f"'{AT:%Y-%m-%d %H:%M:%S}'",
    "source_seq": "1",
}
TYPES: Final = {
    "dc": "VARCHAR(20)",
    "ship_date": "DATE",
    "order_id": "VARCHAR(40)",
    "line_no": "INTEGER",
    "item": "VARCHAR(40)",
    "ordered_qty": "NUMERIC(18,4)",
    "processed_at": "TIMESTAMP",
    "source_seq": "INTEGER",
}

Make = Callable[..., OrderSystem]


@pytest.fixture
def make_source(postgres: Postgres) -> Make:
    """Makes a table of order lines in PostgreSQL: types by column, then rows of SQL literals by column."""
    url = postgres.create_database(f"types_{uuid4().hex[:8]}")

    def make(types: dict[str, str], *rows: dict[str, str]) -> OrderSystem:
        columns = {**TYPES, **types}
        declared = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        with sql.get_engine(url).begin() as connection:
            connection.exec_driver_sql(f"CREATE TABLE order_lines ({declared})")
            for row in rows:
                values = {**LINE, **row}
                listed = ", ".join(f"CAST({values[name]} AS {columns[name]})" for name in columns)
                connection.exec_driver_sql(f"INSERT INTO order_lines VALUES ({listed})")  # noqa: S608 - our own
        return OrderSystem(url, {"order_lines": SourceTable(columns=ABSENT)})

    return make


@pytest.mark.parametrize("kind", ["NUMERIC(18,0)", "NUMERIC(38,10)", "NUMERIC", "DOUBLE PRECISION", "BIGINT"])
def test_a_key_in_a_number_column_is_written_without_a_fraction(make_source: Make, kind: str) -> None:
    source = make_source(
        dict.fromkeys(("dc", "order_id", "item"), kind),
        {"dc": "4711", "order_id": "900001", "item": "123456789"},
        {"dc": "4712", "order_id": "900002", "item": "5"},
    )
    found = source.read_order_lines("4711", DAY, DAY)
    assert found.select("dc", "order_id", "item").rows() == [("4711", "900001", "123456789")]
    for since in (None, AT - timedelta(days=1)):
        changes = source.read_changes(ChangeWindow(["4711", "4712"], since, DAY, DAY))
        assert changes.rows() == [("4711", DAY, AT, 1), ("4712", DAY, AT, 1)]


def test_a_padded_key_is_the_key(make_source: Make) -> None:
    source = make_source(dict.fromkeys(("dc", "order_id", "item"), "CHAR(12)"), {"item": "'Ä-😀1'"})
    found = source.read_order_lines("DC01", DAY, DAY)
    assert found.select("dc", "order_id", "item").rows() == [("DC01", "O1", "Ä-😀1")]
    assert source.read_changes(ChangeWindow(["DC01"], None, DAY, DAY)).rows() == [("DC01", DAY, AT, 1)]


@pytest.mark.parametrize("kind", ["TIMESTAMP", "TIMESTAMPTZ"])
def test_a_ship_date_with_a_time_is_its_day(make_source: Make, kind: str) -> None:
    source = make_source({"ship_date": kind}, *_lines_at_all_hours())
    _assert_each_day_is_whole(source)


def _lines_at_all_hours() -> list[dict[str, str]]:
    times = ("00:00:00", "14:30:00", "23:59:59.999999")
    return [
        {"order_id": f"'O{number}{place}'", "ship_date": f"'{DAY + timedelta(days=number)} {at}'"}
        for number in range(2)
        for place, at in enumerate(times)
    ]


def _assert_each_day_is_whole(source: OrderSystem) -> None:
    days = [DAY, DAY + timedelta(days=1)]
    for day in days:
        assert source.read_order_lines("DC01", day, day)["ship_date"].to_list() == [day] * 3
    assert source.read_order_lines("DC01", *days)["moved_at"].null_count() == 6
    for since in (None, AT - timedelta(days=1), AT + timedelta(days=1)):
        changes = source.read_changes(ChangeWindow(["DC01"], since, *days))
        assert changes.select("dc", "ship_date", "lines").rows() == [("DC01", day, 3) for day in days]
    assert source.read_changes(ChangeWindow(["DC01"], None, DAY, DAY))["lines"].to_list() == [3]


def test_a_ship_date_with_a_time_is_its_day_in_an_embedded_file(tmp_path: Path) -> None:
    source = OrderSystem(f"sqlite:///{tmp_path}/orders.db")
    source.create()
    source.append(
        make_order_lines(
            *[
                {"order_id": f"O{day}{place}", "ship_date": DAY + timedelta(days=day)}
                for day in range(2)
                for place in range(3)
            ]
        )
    )
    with sql.get_engine(source.url).begin() as connection:
        connection.exec_driver_sql(
            "UPDATE order_lines SET ship_date = ship_date || CASE substr(order_id, 3)"
            " WHEN '0' THEN '' WHEN '1' THEN ' 14:30:00.000000' ELSE 'T23:59:59' END"
        )
    _assert_each_day_is_whole(source)


def test_a_line_that_only_changes_its_hour_has_not_moved(make_source: Make) -> None:
    later = {
        "source_seq": "2",
        "ship_date": f"'{DAY} 16:00'",
        "processed_at": f"'{AT + timedelta(hours=1):%Y-%m-%d %H:%M}'",
    }
    source = make_source({"ship_date": "TIMESTAMP"}, {"ship_date": f"'{DAY} 14:30'"}, later)
    assert source.read_order_lines("DC01", DAY, DAY)["moved_at"].to_list() == [None, None]
    elsewhere = {**later, "ship_date": f"'{DAY + timedelta(days=1)} 00:01'"}
    with sql.get_engine(source.url).begin() as connection:
        connection.exec_driver_sql("DROP TABLE order_lines")
    moved = make_source({"ship_date": "TIMESTAMP"}, {"ship_date": f"'{DAY} 14:30'"}, elsewhere)
    assert moved.read_order_lines("DC01", DAY, DAY)["moved_at"].to_list() == [AT + timedelta(hours=1)]


def test_a_snapshot_date_with_a_time_is_its_day(tmp_path: Path) -> None:
    warehouse = InstockWarehouse(f"duckdb:///{tmp_path}/stock.duckdb")
    warehouse.create()
    days = [DAY, DAY + timedelta(days=1), DAY + timedelta(days=3)]
    warehouse.append(make_snapshots(*[{"snapshot_date": day, "item": item} for day in days for item in "AB"]))
    with sql.get_engine(warehouse.url).begin() as connection:
        connection.exec_driver_sql("ALTER TABLE instock_snapshots ALTER snapshot_date TYPE TIMESTAMP")
        connection.exec_driver_sql(
            "UPDATE instock_snapshots SET snapshot_date = snapshot_date + INTERVAL 86399 SECOND WHERE item = 'A'"
        )
    found = warehouse.read_snapshots("DC01", DAY, DAY + timedelta(days=1)).sort("ship_date", "item")
    assert found.select("ship_date", "item").rows() == [(day, item) for day in days[:2] for item in "AB"]
    changes = warehouse.read_changes(ChangeWindow(["DC01"], None, DAY, DAY + timedelta(days=5)))
    assert changes.select("ship_date", "lines").rows() == [(day, 2) for day in days]


def test_what_no_contract_holds_is_rejected_by_its_row(make_source: Make) -> None:
    odd = {"ordered_qty": "DOUBLE PRECISION", "item": "UUID", "processed_at": "TIMESTAMPTZ"}
    source = make_source(
        odd,
        {"item": "'00000000-0000-0000-0000-0000000000ff'"},
        {"order_id": "'O2'", "ordered_qty": "1e28", "item": "NULL"},
        {"order_id": "'O3'", "ordered_qty": "'NaN'", "item": "NULL"},
    )
    found = source.read_order_lines("DC01", DAY, DAY).sort("order_id")
    assert found["item"].to_list() == ["00000000-0000-0000-0000-0000000000FF", None, None]
    assert found["ordered_qty"].to_list() == [Decimal(10), None, None]
    assert found["problem"].to_list() == [
        None,
        "ordered_qty '1e+28' is not a number",
        "ordered_qty 'NaN' is not a number",
    ]


def test_a_time_that_python_has_no_value_for_is_rejected_by_its_row(make_source: Make) -> None:
    source = make_source({"processed_at": "TIMESTAMPTZ"}, {}, {"order_id": "'O2'", "processed_at": "'infinity'"})
    found = source.read_order_lines("DC01", DAY, DAY).sort("order_id")
    assert found["processed_at"].to_list() == [AT, None]
    assert "processed_at 'infinity' is not a time" in found["problem"][1]


def test_a_quotient_is_rounded_once(make_source: Make) -> None:
    source = make_source(
        {"ordered_qty": "NUMERIC"}, {"ordered_qty": "(1 / 3.0)"}, {"order_id": "'O2'", "ordered_qty": "0.00005"}
    )
    found = source.read_order_lines("DC01", DAY, DAY).sort("order_id")
    assert found["ordered_qty"].to_list() == [Decimal("0.3333"), Decimal("0.0001")]


def test_rows_become_a_frame_without_losing_a_digit() -> None:
    zoned = datetime(2026, 2, 10, 12, tzinfo=UTC)
    rows: list[tuple[Any, ...]] = [
        (1, Decimal("0.1"), 4711.0, zoned, b"\x01\xff", Decimal("NaN"), "x", date(2026, 1, 1)),
        (2**70, Decimal(3), None, None, None, Decimal("2.50"), 7.0, "2026-01-02"),
    ]
    frame = to_frame(["big", "exact", "float", "at", "bytes", "odd", "mixed", "dates"], rows)
    assert frame["big"].to_list() == [1, 2**70]
    assert frame["exact"].to_list() == [Decimal("0.1"), Decimal(3)]
    assert frame["at"].to_list() == [zoned, None]
    assert frame["bytes"].to_list() == ["01FF", None]
    assert frame["odd"].to_list() == ["NaN", "2.5"]
    assert frame["mixed"].to_list() == ["x", "7"]
    assert frame["dates"].to_list() == ["2026-01-01", "2026-01-02"]
    assert to_frame(["nothing"], [(None,)]).rows() == [(None,)]


def test_a_column_of_a_type_that_the_contract_cannot_take_is_text() -> None:
    odd = pl.DataFrame({"ordered_qty": [timedelta(1)], "item": [b"ab"], "uom": [[1]], "pack_size": [DAY]})
    found = parsing.parse_source_rows(odd, schema.ORDER_LINES, table="order_lines")
    assert found.select("item", "uom", "ordered_qty").rows() == [("6162", "[1]", None)]
    assert found["problem"].to_list() == [
        f"ordered_qty '1 day, 0:00:00' is not a number; pack_size '{DAY}' is not a number"
    ]


@pytest.mark.parametrize(
    ("text", "clipped"),
    [("😀" * 3, "😀" * 2), ("abcde", "abcd"), ("ab😀c", "ab😀"), ("abc😀", "abc"), ("äöüß", "äöüß"), (None, None)],
)
def test_a_text_is_clipped_as_sql_server_counts_it(text: str | None, clipped: str | None) -> None:
    assert bulk_insert.clip_texts(pl.Series("reason", [text], pl.String), 4).to_list() == [clipped]


def test_a_code_of_200_characters_fits_our_tables_and_differs_by_case(postgres: Postgres) -> None:
    database = Database(postgres.create_database(f"codes_{uuid4().hex[:8]}"))
    database.upgrade()
    codes = ["ä" * 200, "Ä" * 200]
    with database.begin() as connection:
        rows = {"name": None, "time_zone": "UTC", "active": True}
        connection.execute(DCS.insert(), [{"dc": code, **rows} for code in codes])
        assert set(connection.execute(sa.select(DCS.c.dc)).scalars()) == set(codes)
        kinds = {
            f"{table}.{column['name']}": column["type"]
            for table in (
                "lost_cases",
                "ledger",
                "dcs",
                "waivers",
                "rejects",
                "dc_locks",
                "dc_calendar",
                "loader_rejects",
            )
            for column in sa.inspect(connection).get_columns(table)
        }
    lengths = {name: getattr(kind, "length", None) for name, kind in kinds.items() if name.endswith((".dc", ".item"))}
    assert set(lengths.values()) == {200}, lengths
