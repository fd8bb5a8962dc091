from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.sources.line_versions import ChangeWindow
from fillrate_assets.fillrate.sources.shipping_records import ShippingRecords
from fillrate_assets.settings import SourceTable
from fillrate_assets_tests.factories.rows import AT, DAY, make_shipment_lines

MINUTE = timedelta(minutes=1)


@pytest.fixture
def shipping(tmp_path: Path) -> ShippingRecords:
    made = ShippingRecords(f"sqlite:///{tmp_path}/shipping.db")
    made.create()
    return made


def test_shipments_come_back_as_the_contract_types_them(shipping: ShippingRecords) -> None:
    rows = {"shipped_qty": "0.5", "shipped_at": "2026-02-10 17:30", "delivered_at": "2026-02-10T21:00:00Z"}
    shipping.append(make_shipment_lines({**rows, "reason_code": "11"}))
    found = shipping.read_shipment_lines("DC01", DAY, DAY)
    schema.SHIPMENT_LINES.validate(found)
    (line,) = found.to_dicts()
    assert (line["shipped_qty"], line["reason_code"], line["problem"]) == (Decimal("0.5"), "11", None)
    assert line["shipped_at"] == datetime(2026, 2, 10, 17, 30, tzinfo=UTC)
    assert line["delivered_at"] == datetime(2026, 2, 10, 21, tzinfo=UTC)


def test_an_unreadable_value_is_reported_and_the_rest_of_the_row_read(shipping: ShippingRecords) -> None:
    shipping.append(make_shipment_lines({"shipped_qty": "NaN", "shipped_at": "noon"}))
    (line,) = shipping.read_shipment_lines("DC01", DAY, DAY).to_dicts()
    assert (line["order_id"], line["shipped_qty"], line["shipped_at"]) == ("O1", None, None)
    assert line["problem"].startswith("shipped_qty 'NaN' is not a number; shipped_at 'noon' is not a time")


def test_only_the_requested_dc_and_dates_are_read(shipping: ShippingRecords) -> None:
    days = [DAY + timedelta(days=number) for number in range(4)]
    shipping.append(make_shipment_lines(*[{"dc": dc, "ship_date": day} for dc in ("DC01", "DC02") for day in days]))
    found = shipping.read_shipment_lines("DC02", days[1], days[2])
    assert found.select("dc", "ship_date").sort("ship_date").rows() == [("DC02", days[1]), ("DC02", days[2])]


def test_changes_are_the_pairs_shipped_since_or_due(shipping: ShippingRecords) -> None:
    next_day = DAY + timedelta(days=1)
    shipping.append(
        make_shipment_lines(
            {}, {"line_no": 2, "processed_at": AT + MINUTE}, {"ship_date": next_day}, {"dc": "DC02", "line_no": 3}
        )
    )
    far = DAY + timedelta(days=999)
    assert shipping.read_changes(ChangeWindow(["DC01"], AT, far, far)).rows() == [("DC01", DAY, AT + MINUTE, 2)]
    assert shipping.read_changes(ChangeWindow(["DC01"], None, next_day, far)).rows() == [("DC01", next_day, AT, 1)]


def test_a_source_may_use_names_of_its_own(tmp_path: Path) -> None:
    theirs = {"shipment_lines": SourceTable(name="PICKS", columns={"shipped_qty": "QTY"})}
    shipping = ShippingRecords(f"sqlite:///{tmp_path}/shipping.db", theirs)
    shipping.create()
    shipping.append(make_shipment_lines({"shipped_qty": "3"}))
    assert shipping.read_shipment_lines("DC01", DAY, DAY)["shipped_qty"].to_list() == [Decimal(3)]


def test_the_latest_change_is_that_of_the_latest_row_whatever_its_dc(shipping: ShippingRecords) -> None:
    assert shipping.read_latest_change() is None
    shipping.append(make_shipment_lines({}, {"dc": "DC02", "processed_at": AT + MINUTE}, {"line_no": 2}))
    assert shipping.read_latest_change() == AT + MINUTE
