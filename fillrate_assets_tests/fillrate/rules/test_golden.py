"""The worked examples of the methodology (section 7), from order lines to lost cases."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

import polars as pl
import pytest

from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.rules import item_days, line_classification, lost_cases, rolling_baseline
from fillrate_assets_tests.factories import fillrate_frames
from fillrate_assets_tests.factories.fillrate_frames import DAY, PROCESSED_AT, Row

H_A: Final = "05-09 40 Y, 05-10 50 Y, 05-11 30 Y, 05-13 60 Y, 05-14 0 Y, 05-15 48 Y"
H_A_CORRECTED: Final = H_A.replace("05-14 0", "05-14 24")
H_B: Final = "05-09 40 Y, 05-10 50 Y, 05-11 5 N, 05-13 0 N, 05-14 0 N, 05-15 30 Y"
OUT_FROM_0504_TO_0513: Final = ", ".join(f"05-{day:02} 0 N" for day in range(4, 14) if day not in {5, 12})
H_C: Final = f"04-30 12 Y, 05-02 24 Y, 05-03 18 Y, {OUT_FROM_0504_TO_0513}, 05-14 30 Y, 05-15 36 Y"
H_D: Final = "05-14 30 Y, 05-15 36 Y"

LATER: Final = PROCESSED_AT + timedelta(hours=1)
CORRECTED_AND_CANCELLED: Final = (
    {"line_no": 901, "ordered_qty": 10, "shipped": 10},
    {"line_no": 901, "ordered_qty": 10, "shipped": 8, "processed_at": LATER},
    {"ordered_qty": 6, "status": "CANCELLED", "cancel_reason": "CUSTOMER"},
    {"ordered_qty": 5, "status": "CANCELLED", "cancel_reason": "NO_STOCK"},
    {"ordered_qty": -3},
)
EACHES: Final = ({"ordered_qty": 30, "shipped": 18, "uom": "EA", "pack_size": 12},)


def make_history(*quantities: tuple[int, int]) -> tuple[dict[str, int], ...]:
    return tuple({"ordered_qty": ordered, "shipped": shipped} for ordered, shipped in quantities)


# item: history, item fields, snapshot of the day, lines of the day
INPUTS: Final[dict[str, tuple[str, Row, str | None, tuple[Row, ...]]]] = {
    "1": (H_A, {"contract_committed": True}, "Y", make_history((100, 92))),
    "2": (H_A, {"contract_committed": True}, "N", make_history((20, 0))),
    "3": (H_A, {}, "N", ()),
    "4": (H_A, {}, "N", make_history((55, 15))),
    "5": (H_B, {}, "N", make_history((10, 0))),
    "6": (H_C, {}, "N", ()),
    "7": (H_D, {}, "N", make_history((12, 0))),
    "8": (H_A, {"item_type": "FLOW", "contract_committed": True}, "N", make_history((120, 96))),
    "9": (H_A, {}, None, make_history((30, 24))),
    "10": (H_A, {}, None, make_history((30, 0))),
    "11": ("", {}, "Y", make_history((10, 14), (20, 15))),
    "12": ("", {}, "Y", CORRECTED_AND_CANCELLED),
    "13": (H_A_CORRECTED, {"contract_committed": True}, "N", make_history((20, 0))),
    "14": ("", {}, "Y", EACHES),
}

# item: path, O, S, A, n, source, confirmed, estimated, lost, fill, contract_lost, over
EXPECTED: Final = {
    "1": ("STOCK_IN", "100", "92", "38", 6, "W7", "8", "0", "8", "0.92", "0", "0"),
    "2": ("STOCK_OUT", "20", "0", "38", 6, "W7", "20", "18", "38", "0", "38", "0"),
    "3": ("STOCK_OUT", "0", "0", "38", 6, "W7", "0", "38", "38", None, "0", "0"),
    "4": ("STOCK_OUT", "55", "15", "38", 6, "W7", "40", "0", "40", "0.2727", "0", "0"),
    "5": ("STOCK_OUT", "10", "0", "40", 3, "W7", "10", "30", "40", "0", "0", "0"),
    "6": ("STOCK_OUT", "0", "0", "24", 5, "EXT28", "0", "24", "24", None, "0", "0"),
    "7": ("STOCK_OUT", "12", "0", None, 2, "NONE", "12", "0", "12", "0", "0", "0"),
    "8": ("FLOW", "120", "96", None, 0, "NONE", "24", "0", "24", "0.8", "24", "0"),
    "9": ("MISSING", "30", "24", "38", 6, "W7", "6", "0", "6", "0.8", "0", "0"),
    "10": ("MISSING", "30", "0", "38", 6, "W7", "30", "8", "38", "0", "0", "0"),
    "11": ("STOCK_IN", "30", "25", None, 0, "NONE", "5", "0", "5", "0.8333", "0", "4"),
    "12": ("STOCK_IN", "15", "8", None, 0, "NONE", "7", "0", "7", "0.5333", "0", "0"),
    "13": ("STOCK_OUT", "20", "0", "42", 6, "W7", "20", "22", "42", "0", "42", "0"),
    "14": ("STOCK_IN", "2.5", "1.5", None, 0, "NONE", "1", "0", "1", "0.6", "0", "0"),
}
COLUMNS: Final = (
    *("path", "ordered_cases", "shipped_cases", "baseline_cases", "baseline_n", "baseline_source"),
    *("confirmed_cases", "estimated_cases", "lost_cases", "fill_rate", "contract_lost_cases", "over_cases"),
)


@pytest.fixture(scope="module")
def records() -> dict[str, dict[str, Any]]:
    """The lost-case record of each worked example, all of them computed in one network."""
    orders, shipments, snapshots = _make_filler()
    for item, (history, _, instock, today) in INPUTS.items():
        for entry in filter(None, history.split(", ")):
            day, ordered, flag = entry.split()
            past = date.fromisoformat(f"2024-{day}")
            if ordered != "0":
                _sell(orders, shipments, {"item": item, "ship_date": past, "ordered_qty": ordered, "shipped": ordered})
            snapshots.append({"item": item, "ship_date": past, "instock": flag})
        for line in today:
            _sell(orders, shipments, {"item": item, "ship_date": DAY, **line})
        if instock:
            snapshots.append({"item": item, "ship_date": DAY, "instock": instock})
    master = fillrate_frames.make_items(
        {"item": "FILLER"}, *({"item": item, **case[1]} for item, case in INPUTS.items())
    )
    judged = line_classification.classify_lines(
        fillrate_frames.make_order_lines(*orders), fillrate_frames.make_shipment_lines(*shipments), master
    )
    days = item_days.compute_item_days(judged, fillrate_frames.make_snapshots(*snapshots), master).collect()
    averages = rolling_baseline.compute_rolling_averages(days.lazy(), [DAY])
    frame = lost_cases.compute_lost_cases(
        days.lazy().filter(pl.col("ship_date") == DAY), averages, fillrate_frames.make_waivers()
    ).collect()
    schema.LOST_CASES.validate(frame)
    return {row["item"]: row for row in frame.to_dicts()}


@pytest.mark.parametrize("case", EXPECTED)
def test_a_worked_example_comes_out_to_the_digit(case: str, records: dict[str, dict[str, Any]]) -> None:
    expected = [Decimal(v) if isinstance(v, str) and v[0].isdigit() else v for v in EXPECTED[case]]
    assert [records[case][name] for name in COLUMNS] == expected


def _make_filler() -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """Make an item that ships on every day but Sunday 05-12, so that those days are ship days of the DC."""
    orders: list[dict[str, Any]] = []
    shipments: list[dict[str, Any]] = []
    for back in range(1, 29):
        day = DAY - timedelta(days=back)
        if day.isoweekday() != 7:
            _sell(orders, shipments, {"item": "FILLER", "ship_date": day, "ordered_qty": 1, "shipped": 1})
    return orders, shipments, []


def _sell(orders: list[dict[str, Any]], shipments: list[dict[str, Any]], line: Row) -> None:
    """Add an order line, and what shipped of it if it says so."""
    order = {"line_no": len(orders) + 1, "source_seq": len(orders) + 1, **line}
    shipped = order.pop("shipped", None)
    orders.append(order)
    if shipped is not None:
        shared = ("line_no", "source_seq", "ship_date", "uom", "processed_at")
        shipments.append({**{name: order[name] for name in shared if name in order}, "shipped_qty": shipped})
