from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from fillrate_assets.core.errors import FillrateError, PermanentFailure
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.rules import line_classification
from fillrate_assets.fillrate.sources.line_versions import ChangeWindow
from fillrate_assets.fillrate.sources.order_system import OrderSystem
from fillrate_assets.fillrate.sources.shipping_records import ShippingRecords
from fillrate_assets.settings import SourceTable
from fillrate_assets.storage import sql
from fillrate_assets_tests.factories.rows import AT, DAY, make_items, make_order_lines, make_shipment_lines

MINUTE = timedelta(minutes=1)
NEXT = DAY + timedelta(days=1)
YEARS = timedelta(days=3650)


@pytest.fixture
def orders(tmp_path: Path) -> OrderSystem:
    made = OrderSystem(f"sqlite:///{tmp_path}/systems/orders.db")
    made.create()
    return made


def _make_version(seq: int, **values: Any) -> dict[str, Any]:  # noqa: ANN401 - any column
    return {"source_seq": seq, "processed_at": AT + seq * MINUTE, **values}


def _read_changes(orders: OrderSystem, since: datetime | None, first: date, last: date) -> list[tuple[object, ...]]:
    return list(orders.read_changes(ChangeWindow(["DC01", "DC02"], since, first, last)).iter_rows())


def test_lines_come_back_as_the_contract_types_them(orders: OrderSystem) -> None:
    orders.append(
        make_order_lines(
            {"ordered_qty": "12.5", "pack_size": "6", "requested_date": "2026-02-12", "substitute_for_line": "3"},
            {"line_no": 2, "customer": None, "item": None, "ordered_qty": None, "cancel_reason": "CUSTOMER"},
        )
    )
    found = orders.read_order_lines("DC01", DAY, DAY).sort("line_no")
    schema.ORDER_LINES.validate(found)
    first, second = found.to_dicts()
    assert (first["ordered_qty"], first["pack_size"]) == (Decimal("12.5"), Decimal(6))
    assert (first["requested_date"], first["substitute_for_line"]) == (date(2026, 2, 12), 3)
    assert (first["processed_at"], first["moved_at"], first["problem"]) == (AT, None, None)
    assert (second["item"], second["ordered_qty"], second["cancel_reason"]) == (None, None, "CUSTOMER")


def test_only_the_requested_dc_and_dates_are_read(orders: OrderSystem) -> None:
    days = [DAY + timedelta(days=number) for number in range(4)]
    orders.append(make_order_lines(*[{"dc": dc, "ship_date": day} for dc in ("DC01", "DC02") for day in days]))
    found = orders.read_order_lines("DC02", days[1], days[2])
    assert found.select("dc", "ship_date").sort("ship_date").rows() == [("DC02", days[1]), ("DC02", days[2])]


def test_every_version_of_a_line_is_read(orders: OrderSystem) -> None:
    orders.append(make_order_lines(_make_version(1, ordered_qty="10"), _make_version(2, ordered_qty="8")))
    found = orders.read_order_lines("DC01", DAY, DAY)
    assert sorted(found["ordered_qty"]) == [Decimal(8), Decimal(10)]
    assert found["moved_at"].to_list() == [None, None]


def test_an_unreadable_value_is_reported_and_the_rest_of_the_row_read(orders: OrderSystem) -> None:
    orders.append(make_order_lines({"ordered_qty": "12x", "requested_date": "soon"}))
    (line,) = orders.read_order_lines("DC01", DAY, DAY).to_dicts()
    assert (line["item"], line["ordered_qty"], line["requested_date"]) == ("A", None, None)
    assert line["problem"] == "ordered_qty '12x' is not a number; requested_date 'soon' is not a date (YYYY-MM-DD)"


@pytest.mark.parametrize(
    ("versions", "moved"),
    [
        pytest.param([_make_version(1), _make_version(2, ship_date=NEXT)], {1: 2}, id="to another date"),
        pytest.param([_make_version(2, ship_date=NEXT), _make_version(1)], {1: 2}, id="whatever arrives first"),
        pytest.param(
            [_make_version(1), _make_version(2, ship_date=NEXT), _make_version(3)], {1: 2, 2: 3}, id="there and back"
        ),
        pytest.param([_make_version(1), _make_version(2)], {}, id="a new version of the same date"),
        pytest.param(
            [_make_version(1, processed_at=AT), _make_version(2, processed_at=AT, ship_date=NEXT)],
            {1: 0},
            id="a tie in time",
        ),
        pytest.param([_make_version(1), _make_version(2, ship_date=NEXT, line_no=2)], {}, id="another line"),
        pytest.param([_make_version(1), _make_version(2, ship_date=NEXT, order_id="O2")], {}, id="another order"),
        pytest.param([_make_version(1), _make_version(2, ship_date=NEXT, dc="DC02")], {}, id="another DC"),
    ],
)
def test_a_row_says_when_its_line_moved_to_another_ship_date(
    orders: OrderSystem, versions: list[dict[str, Any]], moved: dict[int, int]
) -> None:
    orders.append(make_order_lines(*versions))
    found = orders.read_order_lines("DC01", DAY, NEXT).select("source_seq", "moved_at").iter_rows()
    assert {seq: at for seq, at in found if at is not None} == {seq: AT + by * MINUTE for seq, by in moved.items()}


def test_changes_since_a_moment_count_all_versions_of_their_pairs(orders: OrderSystem) -> None:
    orders.append(
        make_order_lines(
            _make_version(1),
            _make_version(5, line_no=2),
            _make_version(2, ship_date=NEXT),
            _make_version(9, ship_date=NEXT, line_no=2, dc="DC02"),
        )
    )
    far = DAY + YEARS
    assert _read_changes(orders, AT + 4 * MINUTE, far, far) == [
        ("DC01", DAY, AT + 5 * MINUTE, 2),
        ("DC02", NEXT, AT + 9 * MINUTE, 1),
    ]
    assert _read_changes(orders, AT + 9 * MINUTE, far, far) == []


def test_a_line_that_moved_changes_the_date_it_left_and_the_date_it_has(orders: OrderSystem) -> None:
    orders.append(make_order_lines(_make_version(1), _make_version(1, line_no=2), _make_version(5, ship_date=NEXT)))
    far = DAY + YEARS
    assert _read_changes(orders, AT + 4 * MINUTE, far, far) == [
        ("DC01", DAY, AT + 5 * MINUTE, 2),
        ("DC01", NEXT, AT + 5 * MINUTE, 1),
    ]


def test_pairs_that_become_due_are_found_however_old_their_orders_are(orders: OrderSystem) -> None:
    orders.append(make_order_lines(*[_make_version(1, ship_date=DAY + timedelta(days=ahead)) for ahead in range(4)]))
    since = AT + YEARS
    assert [day for _, day, *_ in _read_changes(orders, since, DAY + timedelta(days=1), DAY + timedelta(days=2))] == [
        DAY + timedelta(days=1),
        DAY + timedelta(days=2),
    ]


def test_nothing_that_is_not_due_or_of_another_dc_is_found(orders: OrderSystem) -> None:
    tomorrow = DAY + timedelta(days=1)
    orders.append(
        make_order_lines(
            _make_version(1),
            _make_version(2, ship_date=tomorrow, line_no=2),
            _make_version(3, dc="DC09"),
            _make_version(4, line_no=3),
        )
    )
    assert [(dc, day) for dc, day, *_ in _read_changes(orders, None, DAY, DAY)] == [("DC01", DAY)]
    assert [(dc, day) for dc, day, *_ in _read_changes(orders, AT - MINUTE, DAY, DAY)] == [("DC01", DAY)]


def test_all_versions_of_an_item_are_replaced_and_other_items_stay(orders: OrderSystem) -> None:
    half = {"item": "B", "pack_size": Decimal("2.5"), "valid_to": DAY}
    orders.replace_items(make_items({"item": "A"}, half, {"item": "B", "valid_from": NEXT}))
    orders.replace_items(make_items({**half, "contract_committed": True}))
    found = orders.read_items().sort("item")
    schema.ITEMS.validate(found)
    assert found.equals(make_items({"item": "A"}, {**half, "contract_committed": True}))


def test_a_source_may_lack_a_column_that_is_not_required(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/orders.db"
    orders = OrderSystem(url, {"order_lines": SourceTable(columns={"cancel_reason": "", "customer": ""})})
    orders.create()
    with sql.get_engine(url).begin() as connection:
        columns = {row[1] for row in connection.exec_driver_sql("pragma table_info(order_lines)")}
    assert not columns & {"cancel_reason", "customer"}
    orders.append(make_order_lines(_make_version(1)).drop("cancel_reason", "customer"))
    (line,) = orders.read_order_lines("DC01", DAY, DAY).to_dicts()
    assert (line["customer"], line["cancel_reason"], line["ordered_qty"]) == (None, None, Decimal(10))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"order_id": ""},
            "sources.source_tables.order_lines.columns leaves out order_id, which every source must have",
        ),
        ({"ordered_qty": ""}, "order_lines: column ordered_qty is missing"),
        (
            {"orderid": "ORDER"},
            "sources.source_tables.order_lines.columns names orderid, which the contract does not have",
        ),
    ],
)
def test_a_mapping_that_cannot_work_is_refused(columns: dict[str, str], message: str, orders: OrderSystem) -> None:
    mapped = OrderSystem(orders.url, {"order_lines": SourceTable(columns=columns)})
    with pytest.raises(FillrateError, match=message):
        mapped.read_order_lines("DC01", DAY, DAY)


def test_a_source_may_use_names_of_its_own(tmp_path: Path) -> None:
    names = {"dc": "WHSE", "ship_date": "SHIP_DT", "ordered_qty": "QTY_ORD", "processed_at": "LAST_UPD"}
    theirs = {"order_lines": SourceTable(name="OE_LINES", columns=names)}
    url = f"sqlite:///{tmp_path}/orders.db"
    orders = OrderSystem(url, theirs)
    orders.create()
    orders.append(make_order_lines(_make_version(1), _make_version(2, ship_date=NEXT)))
    assert pl.read_database_uri("SELECT WHSE, QTY_ORD FROM OE_LINES", url, engine="adbc").rows() == [("DC01", "10")] * 2
    assert orders.read_order_lines("DC01", DAY, NEXT).select("dc", "ordered_qty").rows() == [("DC01", Decimal(10))] * 2
    assert len(_read_changes(orders, AT, DAY + YEARS, DAY + YEARS)) == 2
    with pytest.raises(PermanentFailure, match="order_lines"):
        OrderSystem(url).read_order_lines("DC01", DAY, DAY)


def test_a_moved_line_counts_once_whether_its_dates_are_judged_together_or_alone(
    orders: OrderSystem, tmp_path: Path
) -> None:
    shipping = ShippingRecords(f"sqlite:///{tmp_path}/systems/shipping.db")
    shipping.create()
    days = [DAY, NEXT, NEXT + timedelta(days=1)]
    orders.append(
        make_order_lines(
            # Moved on and moved back; moved after it had shipped; moved twice; never moved.
            *[_make_version(1), _make_version(2, ship_date=days[1]), _make_version(3, ordered_qty="9")],
            *[_make_version(1, line_no=2), _make_version(4, line_no=2, ship_date=days[1])],
            *[_make_version(seq, line_no=3, ship_date=day) for seq, day in enumerate(days, start=1)],
            _make_version(1, line_no=4, ship_date=days[1]),
        )
    )
    shipping.append(
        make_shipment_lines(
            _make_version(5, shipped_qty="7"),
            *[
                _make_version(1, line_no=2, shipped_qty="10"),
                _make_version(5, line_no=2, shipped_qty="6", ship_date=days[1]),
            ],
            _make_version(4, line_no=3, shipped_qty="10", ship_date=days[2]),
            _make_version(4, line_no=4, shipped_qty="10", ship_date=days[1]),
        )
    )
    together = _classify(orders, shipping, days[0], days[-1])
    alone = pl.concat([_classify(orders, shipping, day, day) for day in days])
    columns = ["dc", "ship_date", "order_id", "line_no", "disposition", "reason", "ordered_cases", "shipped_cases"]
    assert alone.select(columns).sort(columns).equals(together.select(columns).sort(columns))
    counted = together.filter(disposition="COUNTED").sort("line_no")
    assert counted.select("line_no", "ship_date", "ordered_cases", "shipped_cases").rows() == [
        (1, days[0], Decimal(9), Decimal(7)),
        (2, days[1], Decimal(10), Decimal(6)),
        (3, days[2], Decimal(10), Decimal(10)),
        (4, days[1], Decimal(10), Decimal(10)),
    ]
    assert set(together["disposition"]) == {"COUNTED", "SUPERSEDED"}


def _classify(orders: OrderSystem, shipping: ShippingRecords, first: date, last: date) -> pl.DataFrame:
    return line_classification.classify_lines(
        orders.read_order_lines("DC01", first, last).lazy(),
        shipping.read_shipment_lines("DC01", first, last).lazy(),
        make_items({}).lazy(),
    ).collect()


def test_moments_are_utc(orders: OrderSystem) -> None:
    orders.append(make_order_lines({"processed_at": datetime(2026, 2, 10, 23, 59, 59, 999999, UTC)}))
    assert orders.read_order_lines("DC01", DAY, DAY)["processed_at"].to_list() == [
        datetime(2026, 2, 10, 23, 59, 59, 999999, UTC)
    ]


def test_a_line_that_moved_is_a_change_whatever_the_source_calls_its_columns(tmp_path: Path) -> None:
    theirs = {"order_lines": SourceTable(columns={"dc": "SITE", "ship_date": "SHIPS", "processed_at": "CHANGED"})}
    orders = OrderSystem(f"sqlite:///{tmp_path}/orders.db", theirs)
    orders.create()
    orders.append(make_order_lines(_make_version(1), _make_version(2, ship_date=NEXT)))
    moved = [("DC01", DAY, AT + 2 * MINUTE, 1), ("DC01", NEXT, AT + 2 * MINUTE, 1)]
    assert _read_changes(orders, AT + MINUTE, NEXT, NEXT) == moved


def test_the_latest_change_is_that_of_the_latest_row_whatever_its_dc(orders: OrderSystem) -> None:
    assert orders.read_latest_change() is None
    orders.append(make_order_lines({}, {"dc": "DC02", "processed_at": AT + timedelta(minutes=1)}, {"line_no": 2}))
    assert orders.read_latest_change() == AT + timedelta(minutes=1)
