"""Substitutes that ship on another date than the line they replace (decision 0160)."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import polars as pl
import pytest

from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.rules.pipeline import Calculation, Inputs, calculate
from fillrate_assets_tests.factories.fillrate_frames import (
    DAY,
    PROCESSED_AT,
    Row,
    make_calendar,
    make_items,
    make_order_lines,
    make_shipment_lines,
    make_snapshots,
    make_waivers,
)

NEXT: Final = DAY + timedelta(days=1)
LATER: Final = DAY + timedelta(days=2)
NEWER: Final = PROCESSED_AT + timedelta(hours=1)
SHORT: Final = {"line_no": 1}
INSTEAD: Final = {"line_no": 2, "item": "B", "ship_date": NEXT, "line_type": "SUBSTITUTE", "substitute_for_line": 1}


def _calculate(orders: tuple[Row, ...], shipments: tuple[Row, ...]) -> Calculation:
    days = [{"ship_date": day} for day in (DAY, NEXT, LATER)]
    return calculate(
        Inputs(
            make_order_lines(*orders),
            make_shipment_lines(*shipments),
            make_snapshots(*days),
            make_items({}, {"item": "B", "pack_size": 12}),
            make_waivers(),
            make_calendar(),
            schema.REJECTS.make_empty(),
            {},
        )
    )


def _sum_by_day(found: Calculation) -> dict[int, float]:
    """Sum what substitutes of item A shipped, by days after the first."""
    credited = found.records.filter(pl.col("sub_cases") > 0).select("ship_date", "sub_cases").iter_rows()
    return {(day - DAY).days: float(cases) for day, cases in credited}


@pytest.mark.parametrize(
    ("orders", "shipped", "credited"),
    [
        pytest.param((SHORT, INSTEAD), {"ship_date": NEXT}, {0: 5}, id="after it"),
        pytest.param(
            ({**SHORT, "ship_date": LATER}, INSTEAD), {"line_no": 2, "ship_date": NEXT}, {2: 5}, id="before it"
        ),
        pytest.param((SHORT, {**INSTEAD, "line_type": " substitute "}), {"ship_date": NEXT}, {0: 5}, id="as written"),
        pytest.param((SHORT, {**INSTEAD, "line_type": "NORMAL"}), {"ship_date": NEXT}, {}, id="no substitute"),
        pytest.param(
            (SHORT, {**INSTEAD, "order_id": "O2"}), {"order_id": "O2", "ship_date": NEXT}, {}, id="of another order"
        ),
        pytest.param((SHORT, {**INSTEAD, "dc": "DC02"}), {"dc": "DC02", "ship_date": NEXT}, {}, id="of another DC"),
        pytest.param(
            ({**SHORT, "schedule_line": 1}, {**SHORT, "schedule_line": 2, "ship_date": NEXT}, INSTEAD),
            {"ship_date": NEXT},
            {1: 5},
            id="its own ship date goes before others",
        ),
        pytest.param(
            ({**SHORT, "schedule_line": 1, "ship_date": LATER}, {**SHORT, "schedule_line": 2}, INSTEAD),
            {"ship_date": NEXT},
            {0: 5},
            id="of other ship dates the first",
        ),
        pytest.param(
            (SHORT, INSTEAD, {**INSTEAD, "ship_date": LATER, "processed_at": NEWER}),
            {"ship_date": LATER},
            {0: 5},
            id="a substitute that moved",
        ),
        pytest.param(
            (SHORT, {**SHORT, "ship_date": LATER, "processed_at": NEWER}, INSTEAD),
            {"ship_date": NEXT},
            {2: 5},
            id="for a line that moved",
        ),
        pytest.param(
            (SHORT, INSTEAD, {**INSTEAD, "ordered_qty": 9}),
            {"ship_date": NEXT},
            {},
            id="rows that contradict each other",
        ),
    ],
)
def test_a_substitute_is_credited_to_its_line_whenever_it_ships(
    orders: tuple[Row, ...], shipped: Row, credited: dict[int, float]
) -> None:
    numbered = tuple({**row, "source_seq": 1} for row in orders)
    assert _sum_by_day(_calculate(numbered, ({"shipped_qty": 5, "line_no": 2, **shipped},))) == credited


def test_what_a_substitute_shipped_counts_in_cases_and_shows_where_it_is_credited() -> None:
    orders = (SHORT, {**INSTEAD, "ordered_qty": 120, "uom": "EA"})
    parts = [
        {"line_no": 2, "ship_date": NEXT, "uom": "EA", "shipment_id": name, "shipped_qty": 24} for name in ("S1", "S2")
    ]
    found = _calculate(orders, tuple(parts))
    (row,) = found.lines.filter(source_table="substitutes").to_dicts()
    assert (row["ship_date"], row["line_no"], row["item"], row["sub_cases"]) == (DAY, 2, "B", 4)
    assert row["reason"] == "substitute that ships on 2024-05-17: credited to line 1"
    assert found.lines.filter(source_table="order_lines", ship_date=NEXT)["disposition"].to_list() == ["EXCLUDED"]
    (record,) = found.records.filter(item="A", ship_date=DAY).to_dicts()
    assert (float(record["fill_rate"]), float(record["fill_rate_with_subs"])) == (0, 0.4)


def test_substitutes_of_both_dates_add_up() -> None:
    here = {"line_no": 3, "item": "B", "line_type": "SUBSTITUTE", "substitute_for_line": 1}
    shipments = ({"line_no": 2, "ship_date": NEXT, "shipped_qty": 3}, {"line_no": 3, "shipped_qty": 4})
    assert _sum_by_day(_calculate((SHORT, INSTEAD, here), shipments)) == {0: 7}
