"""Values of systems that no loader has judged (decision 0162)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest

from fillrate_assets import settings
from fillrate_assets.definitions import make_systems
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.rules.line_classification import classify_lines
from fillrate_assets.fillrate.sources.instock_warehouse import InstockWarehouse
from fillrate_assets.fillrate.sources.shipping_records import ShippingRecords
from fillrate_assets.fillrate.sources.source_values import SourceValues
from fillrate_assets_tests.factories import fillrate_frames
from fillrate_assets_tests.factories.rows import AT, DAY, make_order_lines
from fillrate_assets_tests.fixtures import tds_server
from fillrate_assets_tests.fixtures.tds_server import Offset, Rows, TdsServer

CHICAGO: Final = {"DC01": "America/Chicago"}
BUSINESS: Final = SourceValues((2000, 2100), lambda: CHICAGO)
NAMES: Final = ("dc", "ship_date", "order_id", "line_no", "shipped_qty", "delivered_at", "processed_at", "source_seq")
IMPOSSIBLE: Final = "is not a time (YYYY-MM-DD HH:MM:SS, UTC) of the years 2000 to 2100"
PROCESSED: Final = AT.replace(tzinfo=None)


@pytest.fixture
def server() -> Iterator[TdsServer]:
    with tds_server.start_server() as running:
        yield running


def _read(server: TdsServer, *rows: dict[str, Any], values: SourceValues = BUSINESS) -> list[dict[str, Any]]:
    line = dict(zip(NAMES, ("DC01", DAY, "O1", 1, Decimal(1), None, PROCESSED, 1), strict=True))
    answer = Rows(NAMES, [tuple({**line, **row}[name] for name in NAMES) for row in rows])
    server.answer = lambda text: answer if "shipment_lines" in text else None
    records = ShippingRecords(server.url, values=values)
    found = records.read_shipment_lines("DC01", DAY, DAY)
    schema.SHIPMENT_LINES.validate(found)
    return found.to_dicts()


@pytest.mark.parametrize(
    ("delivered", "moment"),
    [
        pytest.param(DAY, datetime(2026, 2, 10, 6, tzinfo=UTC), id="a date"),
        pytest.param(datetime(2026, 2, 10), datetime(2026, 2, 10, 6, tzinfo=UTC), id="a midnight"),  # noqa: DTZ001
        pytest.param(datetime(2026, 2, 10, 1), datetime(2026, 2, 10, 1, tzinfo=UTC), id="a time"),  # noqa: DTZ001
        pytest.param(
            Offset(2026, 2, 10, tzinfo=timezone(timedelta(hours=-6))), datetime(2026, 2, 10, 6, tzinfo=UTC), id="a zone"
        ),
        pytest.param(datetime(1900, 1, 1), None, id="a sentinel"),  # noqa: DTZ001
    ],
)
def test_an_arrival_without_a_time_is_a_day_of_the_dc(server: TdsServer, delivered: Any, moment: datetime) -> None:  # noqa: ANN401
    (line,) = _read(server, {"delivered_at": delivered})
    assert (line["delivered_at"], line["problem"]) == (moment, None)


def test_whether_an_arrival_has_a_time_does_not_depend_on_other_rows(server: TdsServer) -> None:
    clock, midnight = datetime(2026, 2, 10, 9), datetime(2026, 2, 10)  # noqa: DTZ001
    alone = _read(server, {"delivered_at": midnight})
    assert _read(server, {"delivered_at": midnight}, {"delivered_at": clock, "order_id": "O2"})[:1] == alone


def test_a_day_of_arrival_is_compared_as_a_day(server: TdsServer) -> None:
    """Midnight UTC is the day before in Chicago, where a line one day late would then be in time."""
    late = DAY + timedelta(days=1)
    for arrived, on_time in ((DAY, True), (late, False)):
        shipments = pl.DataFrame(_read(server, {"delivered_at": arrived}), schema=schema.SHIPMENT_LINES.polars)
        orders = fillrate_frames.make_order_lines({"ship_date": DAY, "requested_date": DAY, "ordered_qty": 1})
        lines = classify_lines(orders, shipments.lazy(), fillrate_frames.make_items({}), CHICAGO).collect()
        assert lines["on_time"].to_list() == [on_time]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        pytest.param(
            {"delivered_at": datetime(1999, 12, 31)},  # noqa: DTZ001
            f"delivered_at '1999-12-31 00:00:00.000000' {IMPOSSIBLE}",
            id="an arrival",
        ),
        pytest.param(
            {"processed_at": datetime(2999, 1, 1)},  # noqa: DTZ001
            f"processed_at '2999-01-01 00:00:00.000000' {IMPOSSIBLE}",
            id="a version",
        ),
    ],
)
def test_a_year_that_cannot_be_rejects_the_value_and_says_so(
    server: TdsServer, row: dict[str, Any], problem: str
) -> None:
    (line,) = _read(server, row)
    assert line["problem"] == problem
    wider = SourceValues((1990, 3000), lambda: CHICAGO)
    assert [each["problem"] for each in _read(server, row, values=wider)] == [None]


def test_a_version_that_cannot_be_read_is_the_earliest_of_its_line(server: TdsServer) -> None:
    rows = _read(server, {"processed_at": datetime(2999, 1, 1), "shipped_qty": Decimal(9)}, {})  # noqa: DTZ001
    shipments = pl.DataFrame(rows, schema=schema.SHIPMENT_LINES.polars).lazy()
    orders = fillrate_frames.make_order_lines({"ship_date": DAY})
    lines = classify_lines(orders, shipments, fillrate_frames.make_items({})).collect()
    assert lines.filter(source_table="order_lines")["shipped_cases"].to_list() == [1]
    assert lines.filter(source_table="shipment_lines")["disposition"].to_list() == ["SUPERSEDED"]


def test_only_what_the_home_holds_was_judged_by_a_loader(tmp_path: Path) -> None:
    company = f"duckdb:///{tmp_path}/theirs.duckdb"
    made = make_systems(settings.load(home=tmp_path / "home", sources__instock_warehouse_url=company))
    assert made["order_system"].values == SourceValues()
    assert made["instock_warehouse"].values.years == (2000, 2100)


def test_a_warehouse_has_the_same_years(tmp_path: Path) -> None:
    warehouse = InstockWarehouse(f"duckdb:///{tmp_path}/stock.duckdb", values=BUSINESS)
    warehouse.create()
    taken = [datetime(2999, 1, 1, tzinfo=UTC), AT]
    warehouse.append(
        pl.DataFrame(
            {"dc": "DC01", "snapshot_date": DAY, "item": ["A", "B"], "instock": "Y", "snapshot_at": taken},
        )
    )
    found = warehouse.read_snapshots("DC01", DAY, DAY).sort("item")
    assert found["snapshot_at"].to_list() == [None, AT]
    assert [problem is None for problem in found["problem"]] == [False, True]


def test_dates_of_orders_that_stand_for_none_are_none() -> None:
    rows = make_order_lines({"requested_date": "9999-12-31"}, {"requested_date": "1753-01-01"}).with_columns(
        pl.col("requested_date").str.to_date()
    )
    found = BUSINESS.parse(rows, schema.ORDER_LINES, table="order_lines", required=(), optional=["requested_date"])
    assert found["requested_date"].to_list() == [None, None]
    assert found["problem"].null_count() == 2
