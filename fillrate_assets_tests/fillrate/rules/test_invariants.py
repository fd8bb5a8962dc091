"""What holds for every input, however messy."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.rules import (
    item_days,
    line_classification,
    lost_cases,
    rolling_baseline,
    row_versions,
    shipments,
)
from fillrate_assets_tests.factories import fillrate_frames
from fillrate_assets_tests.factories.fillrate_frames import (
    DAY,
    PROCESSED_AT,
    Row,
    make_counted_lines,
    make_item_days,
    take_only_row,
)

DCS: Final = ("DC01", "DC02")
DAYS: Final = [DAY + timedelta(days=n) for n in range(4)]
MASTER: Final = fillrate_frames.make_items(
    {"pack_size": 6},
    {"item_type": "FLOW", "valid_from": DAYS[2]},
    {"item": "B", "contract_committed": True},
    {"item": "C", "valid_from": DAYS[1], "valid_to": DAYS[2]},
)


@dataclass(frozen=True)
class Network:
    """Rows of the three sources."""

    orders: tuple[Row, ...]
    shipments: tuple[Row, ...]
    snapshots: tuple[Row, ...]


def _draw_line_keys() -> st.SearchStrategy[dict[str, Any]]:
    """Draw a line of an order; its versions may ship on different dates, and not the same in both systems."""
    fields = st.tuples(st.sampled_from(DCS), st.sampled_from(DAYS), st.integers(1, 8), st.integers(0, 3))
    return fields.map(
        lambda drawn: {
            "dc": drawn[0],
            "ship_date": drawn[1],
            "order_id": "O1",
            "line_no": drawn[2],
            "processed_at": PROCESSED_AT + timedelta(hours=drawn[3]),
        }
    )


def _merge_fields(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(_draw_line_keys(), st.fixed_dictionaries(fields)).map(lambda parts: {**parts[0], **parts[1]})


def _draw_rows(
    row: st.SearchStrategy[dict[str, Any]], *, least: int = 0
) -> st.SearchStrategy[tuple[dict[str, Any], ...]]:
    """Draw up to 40 rows, any number as often as any other: of lists, Hypothesis makes most as short as six."""
    return st.integers(least, 40).flatmap(lambda size: st.lists(row, min_size=size, max_size=size)).map(tuple)


ORDERS: Final = _merge_fields(
    item=st.sampled_from(["A", "A", "B", "B", "C", "D", None]),
    ordered_qty=st.integers(-2, 30),
    uom=st.sampled_from(["CS", "CS", "cs ", "EA", "KG", None]),
    status=st.sampled_from(["SHIPPED", "SHIPPED", "CANCELLED", "open"]),
    cancel_reason=st.sampled_from(["CUSTOMER", "NO_STOCK", None]),
    line_type=st.sampled_from(["NORMAL", "NORMAL", None, "SUBSTITUTE", "BACKORDER", "CREDIT"]),
    substitute_for_line=st.sampled_from([1, 2, None]),
    source_seq=st.integers(1, 3),
)
PLAIN_ORDERS: Final = _merge_fields(
    customer=st.sampled_from(["C1", " ", None]),
    item=st.sampled_from(["A", "B"]),
    ordered_qty=st.integers(0, 30),
    uom=st.sampled_from(["CS", "CASE", None]),
    pack_size=st.sampled_from([0, 12, None]),
    status=st.sampled_from(["OPEN", "SHIPPED", None]),
    cancel_reason=st.sampled_from(["CUSTOMER", "NO_STOCK", None]),
    line_type=st.sampled_from(["NORMAL", None]),
    substitute_for_line=st.sampled_from([1, None]),
    requested_date=st.sampled_from([None, DAYS[0], DAYS[3]]),
    schedule_line=st.sampled_from([None, 1]),
    source_seq=st.just(1),
)
SHIPMENTS: Final = _merge_fields(
    shipped_qty=st.integers(-1, 40),
    uom=st.sampled_from(["CS", "CS", "EA", "KG"]),
    source_seq=st.integers(1, 3),
    shipment_id=st.sampled_from([None, None, "S1", "S2"]),
    shipped_at=st.sampled_from([None, PROCESSED_AT, PROCESSED_AT + timedelta(hours=1)]),
)
SNAPSHOTS: Final = st.fixed_dictionaries(
    {
        "dc": st.sampled_from(DCS),
        "ship_date": st.sampled_from(DAYS),
        "item": st.sampled_from(["A", "B", "C", "D"]),
        "instock": st.sampled_from(["Y", "Y", "N", "?"]),
        "snapshot_at": st.sampled_from([PROCESSED_AT, PROCESSED_AT + timedelta(hours=1), None]),
    }
)
NETWORKS: Final = st.builds(
    Network,
    _draw_rows(ORDERS, least=1),
    _draw_rows(SHIPMENTS),
    _draw_rows(SNAPSHOTS),
)
HISTORIES: Final = st.lists(
    st.fixed_dictionaries(
        {
            "item": st.sampled_from(["A", "B"]),
            "ship_date": st.integers(0, 40).map(lambda n: DAY + timedelta(days=n)),
            "ordered_cases": st.integers(0, 50),
            "shipped_cases": st.integers(0, 2),
            "instock": st.sampled_from(["Y", "Y", "N", None]),
        }
    ),
    unique_by=lambda day: (day["item"], day["ship_date"]),
    max_size=60,
)
QUANTITIES: Final = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=30)
MODERATE: Final = settings(max_examples=20, deadline=None)
LARGE: Final = settings(max_examples=8, deadline=None)
"""For networks: an example costs what its queries cost, whatever their rows."""


def classify(network: Network) -> pl.DataFrame:
    orders, shipments = (
        fillrate_frames.make_order_lines(*network.orders),
        fillrate_frames.make_shipment_lines(*network.shipments),
    )
    return line_classification.classify_lines(orders, shipments, MASTER).collect()


def compute_days(network: Network) -> pl.DataFrame:
    classified = classify(network).lazy()
    return collect_sorted(
        item_days.compute_item_days(classified, fillrate_frames.make_snapshots(*network.snapshots), MASTER)
    )


def compute_records(days: pl.DataFrame, ship_dates: Sequence[date]) -> pl.DataFrame:
    """Compute lost cases, with the baselines of the 28 days before them."""
    judged = days.lazy().filter(pl.col("ship_date").is_in(list(ship_dates)))
    averages = rolling_baseline.compute_rolling_averages(days.lazy(), ship_dates)
    return collect_sorted(lost_cases.compute_lost_cases(judged, averages, fillrate_frames.make_waivers()))


def collect_sorted(frame: pl.LazyFrame) -> pl.DataFrame:
    return frame.sort("dc", "ship_date", "item").collect()


def select_day(rows: Sequence[Row], day: date) -> tuple[Row, ...]:
    return tuple(row for row in rows if row["ship_date"] == day)


def select_requested(rows: Sequence[Row], day: date) -> tuple[Row, ...]:
    """Select the lines of one day as their system hands them over, with what their versions on other days say."""

    def compare(line: Row) -> Row:
        versions = [row for row in rows if _get_identity(row) == _get_identity(line) and row["ship_date"] != day]
        later = [row["processed_at"] for row in versions if _get_age(row) > _get_age(line)]
        rivals = [row["ship_date"] for row in versions if _get_age(row) == _get_age(line)]
        return {"moved_at": max(later, default=None), "rival_ship_date": max(rivals, default=None)}

    return tuple({**row, **compare(row)} for row in select_day(rows, day))


def _get_age(line: Row) -> tuple[Any, ...]:
    return line["processed_at"], line["source_seq"]


def _get_identity(line: Row) -> tuple[Any, ...]:
    shipment = line.get("shipment_id")
    left_at = line.get("shipped_at") if shipment is None else None
    return line["dc"], line["order_id"], line["line_no"], shipment, left_at


@LARGE
@given(NETWORKS)
def test_no_order_line_is_silently_dropped(network: Network) -> None:
    classified = classify(network)
    schema.CLASSIFIED_LINES.validate(classified)
    ours = classified.filter(source_table="order_lines")
    key = ("dc", "ship_date", "order_id", "line_no", "item")
    assert Counter(ours.select(key).rows()) == Counter(tuple(row[name] for name in key) for row in network.orders)
    current = ours.filter(pl.col("disposition") != "SUPERSEDED")
    assert current.select(row_versions.LINE_KEY).n_unique() == ours.select(row_versions.LINE_KEY).n_unique()
    apart = current.filter(pl.col("reason").ne_missing(row_versions.CONTRADICTS))
    assert not apart.select(row_versions.LINE_KEY).is_duplicated().any()


@LARGE
@given(NETWORKS, st.lists(PLAIN_ORDERS, min_size=1, max_size=40))
def test_plain_lines_and_shipments_come_out_as_if_they_were_judged(network: Network, plain: list[Row]) -> None:
    lines = Network((*network.orders, *plain), network.shipments, network.snapshots)
    names = schema.CLASSIFIED_LINES.names
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(line_classification, "_is_plain_line", lambda: pl.lit(value=False))
        patched.setattr(shipments, "_is_plain_shipment", lambda: pl.lit(value=False))
        judged = classify(lines)
    assert_frame_equal(classify(lines).sort(names), judged.sort(names))


@LARGE
@given(NETWORKS)
def test_no_shipment_line_is_silently_dropped(network: Network) -> None:
    classified = classify(network)
    used, unused = classified["shipments"].sum(), classified.filter(source_table="shipment_lines").height
    assert used + unused == len(network.shipments)


@LARGE
@given(NETWORKS)
def test_ordered_is_shipped_plus_confirmed(network: Network) -> None:
    records = compute_records(compute_days(network), DAYS)
    schema.LOST_CASES.validate(records)
    ordered, shipped, confirmed = pl.col("ordered_cases"), pl.col("shipped_cases"), pl.col("confirmed_cases")
    held = records.select(
        balanced=(ordered == shipped + confirmed).all(),
        adds_up=(pl.col("lost_cases") == confirmed + pl.col("estimated_cases")).all(),
        never_negative=(pl.min_horizontal(shipped, confirmed, "estimated_cases", "over_cases", "sub_cases") >= 0).all(),
        contract_within=(pl.col("contract_lost_cases") <= pl.col("lost_cases")).all(),
    )
    assert held.row(0) == (True, True, True, True)


@LARGE
@given(NETWORKS, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_no_record(network: Network, chance: random.Random) -> None:
    shuffled = Network(*(tuple(chance.sample(rows, len(rows))) for rows in vars(network).values()))
    days = compute_days(network)
    assert_frame_equal(compute_days(shuffled), days)
    assert_frame_equal(compute_records(compute_days(shuffled), DAYS), compute_records(days, DAYS))


@LARGE
@given(NETWORKS)
def test_rows_that_come_twice_change_no_record(network: Network) -> None:
    doubled = Network(*(rows + rows[::2] for rows in vars(network).values()))
    days = compute_days(network)
    assert_frame_equal(compute_days(doubled), days)
    assert_frame_equal(compute_records(compute_days(doubled), DAYS), compute_records(days, DAYS))


@LARGE
@given(NETWORKS)
def test_running_again_gives_the_identical_frame(network: Network) -> None:
    names = schema.CLASSIFIED_LINES.names
    assert_frame_equal(classify(network).sort(names), classify(network).sort(names))
    assert_frame_equal(compute_records(compute_days(network), DAYS), compute_records(compute_days(network), DAYS))


@LARGE
@given(NETWORKS)
def test_day_by_day_gives_the_same_item_days_as_all_at_once(network: Network) -> None:
    apart = [
        compute_days(
            Network(
                select_requested(network.orders, day),
                select_requested(network.shipments, day),
                select_day(network.snapshots, day),
            )
        )
        for day in DAYS
    ]
    assert_frame_equal(collect_sorted(pl.concat(apart).lazy()), compute_days(network))


@MODERATE
@given(HISTORIES)
def test_day_by_day_gives_the_same_records_as_all_at_once(history: list[dict[str, Any]]) -> None:
    days = make_item_days(
        *({**day, "shipped_cases": min(day["shipped_cases"], day["ordered_cases"])} for day in history)
    )
    ship_dates = [DAY + timedelta(days=n) for n in range(28, 41)]
    apart = []
    for ship_date in ship_dates:
        back = pl.col("ship_date").is_between(ship_date - timedelta(days=28), ship_date)
        apart.append(compute_records(days.filter(back).collect(), [ship_date]))
    assert_frame_equal(collect_sorted(pl.concat(apart).lazy()), compute_records(days.collect(), ship_dates))


@MODERATE
@given(HISTORIES, st.integers(0, 40), st.integers(0, 50))
def test_a_correction_reaches_its_own_day_and_the_28_after_it(
    history: list[dict[str, Any]], corrected: int, ordered: int
) -> None:
    day = DAY + timedelta(days=corrected)
    others = [row for row in history if (row["item"], row["ship_date"]) != ("A", day)]
    dates = [DAY + timedelta(days=n) for n in range(75)]
    before = compute_records(make_item_days(*history).collect(), dates)
    after = compute_records(make_item_days(*others, {"ship_date": day, "ordered_cases": ordered}).collect(), dates)
    reached = pl.col("ship_date").is_between(day, day + timedelta(days=28))
    assert_frame_equal(before.filter(~reached), after.filter(~reached))


@LARGE
@given(QUANTITIES)
def test_an_over_shipment_never_hides_a_short(quantities: list[tuple[int, int]]) -> None:
    quantities = [(1, 1), *quantities]
    orders = fillrate_frames.make_order_lines(*({"ordered_qty": ordered} for ordered, _ in quantities))
    shipments = fillrate_frames.make_shipment_lines(*({"shipped_qty": shipped} for _, shipped in quantities))
    classified = line_classification.classify_lines(orders, shipments, fillrate_frames.make_items({}))
    record = take_only_row(
        lost_cases.compute_lost_cases(
            item_days.compute_item_days(classified, fillrate_frames.make_snapshots({}), fillrate_frames.make_items({})),
            fillrate_frames.make_averages(),
            fillrate_frames.make_waivers(),
        )
    )
    assert record["confirmed_cases"] == sum(max(ordered - shipped, 0) for ordered, shipped in quantities)
    assert record["over_cases"] == sum(max(shipped - ordered, 0) for ordered, shipped in quantities)


@MODERATE
@given(QUANTITIES)
def test_item_days_add_up_to_the_lines(quantities: list[tuple[int, int]]) -> None:
    rows = ({"ordered_cases": max(pair), "shipped_cases": min(pair), "item": "AB"[pair[0] % 2]} for pair in quantities)
    days = item_days.compute_item_days(
        make_counted_lines(*rows), fillrate_frames.make_snapshots(), fillrate_frames.make_items({}, {"item": "B"})
    ).collect()
    sums = days.select("lines", "ordered_cases", "shipped_cases").sum().row(0)
    assert sums == (len(quantities), sum(map(max, quantities)), sum(map(min, quantities)))
