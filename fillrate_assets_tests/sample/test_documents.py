"""The history against the input contracts and the rules: what it must contain, and nothing else."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import polars as pl
import pytest

from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.rules import quality_gate, service_metrics
from fillrate_assets.sample.documents import INSTOCK_SNAPSHOTS, ORDER_LINES, SHIPMENT_LINES, TRUTH
from fillrate_assets.sample.network import Network, draw_master_data, simulate_activity
from fillrate_assets_tests.factories.history import LINE_KEY, SMALL, History


def test_frames_have_the_columns_of_the_input_contracts(history: History) -> None:
    made = history.activity
    assert made.order_lines.schema == ORDER_LINES
    assert made.shipment_lines.schema == SHIPMENT_LINES
    assert made.instock_snapshots.schema == INSTOCK_SNAPSHOTS
    assert made.truth.schema == TRUTH
    text = [name for name, dtype in ORDER_LINES.items() if dtype == pl.String]
    assert {"ordered_qty", "pack_size", "requested_date"} <= set(text)
    assert SHIPMENT_LINES["shipped_qty"] == INSTOCK_SNAPSHOTS["on_hand_cases"] == pl.String


def test_dcs_are_closed_on_sundays(history: History) -> None:
    for table, column in (("order_lines", "ship_date"), ("instock_snapshots", "snapshot_date"), ("truth", "ship_date")):
        days = getattr(history.activity, table)[column].unique().sort().to_list()
        assert days == SMALL.ship_days
    assert all(day.isoweekday() != 7 for day in SMALL.ship_days)


def test_versions_of_a_line_differ_in_their_sequence_and_time(history: History) -> None:
    for frame in (history.activity.order_lines, history.activity.shipment_lines):
        assert not frame.select(pl.struct(*LINE_KEY, "processed_at").is_duplicated()).to_series().any()
        assert not frame.select(pl.struct("dc", "source_seq").is_duplicated()).to_series().any()
        repeated = frame.filter(pl.struct(LINE_KEY).is_duplicated()).sort(*LINE_KEY, "processed_at")
        assert repeated.filter(pl.col("source_seq").diff().over(LINE_KEY) < 0).is_empty()


def test_every_shipment_has_its_order_line_on_the_same_ship_date(history: History) -> None:
    key = [*LINE_KEY, "ship_date"]
    assert history.activity.shipment_lines.join(history.activity.order_lines, on=key, how="anti").is_empty()


def test_stores_send_orders_of_some_tens_of_lines() -> None:
    day = Network().first
    orders = simulate_activity(Network(), "DC01", day, day).order_lines
    assert orders["customer"].n_unique() == 60
    per_order = orders.group_by("order_id").len()["len"]
    assert 20 < per_order.median() < 40  # type: ignore[operator]


def test_only_the_intended_rows_cannot_be_read(history: History) -> None:
    orders, shipments = history.orders, history.shipments
    unreadable = r"^(ordered|shipped)_qty '(\d+x|NaN)' is not a number$"
    for frame in (orders, shipments):
        problems = frame["problem"].drop_nulls()
        assert 0 < problems.len() < 0.002 * frame.height
        assert problems.str.contains(unreadable).all()
    assert history.snapshots["problem"].null_count() == history.snapshots.height


@pytest.mark.parametrize(
    ("disposition", "reason", "low", "high"),
    [
        ("COUNTED", None, 0.95, 0.99),
        ("SUPERSEDED", "a later version of the line exists", 0.005, 0.02),
        ("EXCLUDED", "cancelled by the customer", 0.004, 0.016),
        ("EXCLUDED", "substitute: credited to the line it replaces", 0.0001, 0.002),
        ("EXCLUDED", "BACKORDER line: its demand counts elsewhere", 0.0015, 0.006),
        ("EXCLUDED", "SPAWNED line: its demand counts elsewhere", 0.0003, 0.003),
        ("EXCLUDED", "BLANKET line: its demand counts elsewhere", 0.0001, 0.002),
        ("EXCLUDED", "DROP_SHIP line: its demand counts elsewhere", 0.0003, 0.003),
        ("REJECTED", "a credit: never netted against demand", 0.0003, 0.003),
        ("REJECTED", "negative quantity: a return or credit, never netted against demand", 0.0001, 0.002),
        ("REJECTED", "no item", 0.00003, 0.001),
        ("REJECTED", "item 99999 is not in force on the ship date", 0.00003, 0.001),
        ("REJECTED", "unit PAL is neither cases nor eaches", 0.00003, 0.001),
        ("REJECTED", "unit is not cases and there is no pack size", 0.00003, 0.001),
        ("REJECTED", "ordered_qty 'NaN' is not a number", 0.00003, 0.001),
        ("REJECTED", "ordered_qty '_x' is not a number", 0.00003, 0.001),
    ],
)
def test_every_disposition_occurs_at_its_rate(
    history: History, disposition: str, reason: str | None, low: float, high: float
) -> None:
    orders = history.lines.filter(source_table="order_lines").with_columns(
        pl.col("reason").str.replace(r"'\d+x'", "'_x'")
    )
    found = orders.filter(pl.col("disposition") == disposition, pl.col("reason").eq_missing(reason))
    assert low < found.height / orders.height < high


def test_nothing_is_classified_for_another_reason_than_intended(history: History) -> None:
    assert history.lines.filter(source_table="order_lines")["reason"].str.replace(r"'\d+x'", "'_x'").n_unique() == 16
    shipments = history.lines.filter(source_table="shipment_lines")
    assert set(shipments.filter(disposition="SUPERSEDED")["reason"]) == {"a later version of the line exists"}
    shipments = shipments.filter(disposition="REJECTED")
    assert not shipments["reason"].str.contains("no order line|negative").any()


@pytest.mark.parametrize(
    ("status", "cancel_reason", "low", "high"),
    [
        ("OPEN", None, 0.00003, 0.001),
        ("CANCELLED", "CUSTOMER", 0.004, 0.016),
        ("CANCELLED", "WAREHOUSE", 0.0003, 0.003),
        ("CANCELLED", "NO_STOCK", 0.0005, 0.01),
        ("CANCELLED", None, 0.00005, 0.003),
        ("SHIPPED", None, 0.97, 0.995),
    ],
)
def test_lines_end_in_every_status(
    history: History, status: str, cancel_reason: str | None, low: float, high: float
) -> None:
    orders = history.activity.order_lines
    found = orders.filter(pl.col("status") == status, pl.col("cancel_reason").eq_missing(cancel_reason))
    assert low < found.height / orders.height < high


def test_a_substitute_ships_another_item_for_a_line_that_did_not_ship(history: History) -> None:
    orders = history.activity.order_lines
    substitutes = orders.filter(line_type="SUBSTITUTE")
    original = orders.select(*LINE_KEY, pl.col("item").alias("replaced"))
    replaced = substitutes.join(
        original, left_on=["dc", "order_id", "substitute_for_line"], right_on=LINE_KEY, how="left"
    )
    assert replaced["replaced"].null_count() == 0
    assert (replaced["replaced"] != replaced["item"]).all()
    assert history.item_days["sub_cases"].sum() > 0


def test_every_line_that_is_demand_orders_something(history: History) -> None:
    counted = history.lines.filter(disposition="COUNTED")
    assert (counted["ordered_cases"] > 0).all()


def test_some_eaches_rely_on_the_pack_size_of_the_item(history: History) -> None:
    eaches = history.activity.order_lines.filter(uom="EA")
    assert 0.02 < eaches.height / history.activity.order_lines.height < 0.04
    assert 0.2 < eaches["pack_size"].null_count() / eaches.height < 0.4


def test_short_shipments_say_why_in_every_code(history: History) -> None:
    codes = history.activity.shipment_lines.group_by("reason_code").len()
    assert set(codes["reason_code"]) == {None, "01", "07", "09", "11", "12", "13", "17", "ZZ"}
    full = history.lines.filter(pl.col("shipped_cases") == pl.col("ordered_cases"))
    assert full["reason_code"].null_count() == full.height


def test_over_shipments_are_rare(history: History) -> None:
    counted = history.lines.filter(disposition="COUNTED")
    assert 0.001 < counted.filter(pl.col("over_cases") > 0).height / counted.height < 0.006


def test_lines_are_corrected_days_later_and_some_move_to_another_ship_date(history: History) -> None:
    late = pl.col("processed_at").dt.date() - pl.col("ship_date") > timedelta(days=1)
    corrections = pl.concat(
        frame.filter(late).select(*LINE_KEY, "ship_date", "processed_at")
        for frame in (history.activity.order_lines, history.activity.shipment_lines)
    )
    delay = (corrections["processed_at"].dt.date() - corrections["ship_date"]).dt.total_days()
    assert 20 < corrections.height < 2 * len(SMALL.ship_days)
    assert delay.is_between(3, 13).all()
    orders, shipments = history.activity.order_lines, history.activity.shipment_lines
    moved = orders.filter(pl.col("ship_date").n_unique().over(LINE_KEY) > 1)
    assert 4 < moved.height < 40
    last = moved.sort("processed_at").unique(LINE_KEY, keep="last", maintain_order=True)
    assert last.join(shipments, on=[*LINE_KEY, "ship_date", "processed_at"], how="anti").is_empty()


def test_nothing_is_processed_after_the_day_that_follows_the_history(history: History) -> None:
    end = datetime.combine(SMALL.last + timedelta(days=2), time(), UTC)
    for frame in (history.activity.order_lines, history.activity.shipment_lines):
        assert (frame["processed_at"] < end).all()
        assert (frame["processed_at"].dt.date() > frame["ship_date"]).all()


def test_trucks_arrive_after_they_leave_and_before_the_sources_hear_of_it(history: History) -> None:
    shipments = history.activity.shipment_lines
    assert (shipments["shipped_at"] < shipments["delivered_at"]).all()
    assert (shipments["delivered_at"] < shipments["processed_at"]).all()


def test_one_snapshot_of_the_network_never_arrived(history: History) -> None:
    dc, day = SMALL.snapshot_gap
    assert (dc, day) == ("DC03", date(2026, 10, 26))
    present = set(history.activity.instock_snapshots.select("dc", "snapshot_date").unique().iter_rows())
    expected = {(dc, day) for dc in SMALL.dc_codes for day in SMALL.ship_days}
    assert expected - present == {(dc, day)}
    assert Network().snapshot_gap[0] == "DC04"


def test_only_the_partition_without_a_snapshot_is_held(history: History) -> None:
    held = quality_gate.find_snapshot_gaps(history.item_days.lazy()).collect()
    assert [(*SMALL.snapshot_gap, "no instock snapshot for the day")] == held.rows()


def test_no_partition_exceeds_the_reject_rate(history: History) -> None:
    rates = quality_gate.count_rejected_rows(history.lines.lazy()).collect()
    assert rates.height == SMALL.dcs * len(SMALL.ship_days)
    assert quality_gate.find_days_of_rejects(history.lines.lazy()) == {}
    assert quality_gate.find_doubts(history.lines.lazy()) == {}


def test_every_path_and_flag_of_the_method_occurs(history: History) -> None:
    dc, day = SMALL.snapshot_gap
    records = history.records.filter((pl.col("dc") != dc) | (pl.col("ship_date") != day))
    share = dict(records.group_by("path").agg(pl.len() / records.height).iter_rows())
    assert share["STOCK_IN"] > 0.8
    assert 0.01 < share["STOCK_OUT"] < 0.06
    assert 0.06 < share["FLOW"] < 0.2
    assert 0.002 < share["MISSING"] < 0.01
    assert 0 < records["phantom_stock"].sum() < 0.015 * records.height
    assert 0 < records["flag_conflict"].sum() < 0.005 * records.height
    assert records["imputed"].any()
    assert records["contract_lost_cases"].sum() > 0
    assert set(records["baseline_source"]) == set(schema.BASELINE_SOURCES)


def test_a_waiver_is_in_force_during_the_history(history: History) -> None:
    waived = history.records.filter(
        pl.col("contract_committed"), pl.col("path") == "FLOW", pl.col("reason_code") == "12", pl.col("lost_cases") > 0
    )
    week = draw_master_data(SMALL).waivers.row(0, named=True)
    during = pl.col("ship_date").is_between(week["valid_from"], week["valid_to"])
    assert (waived.filter(during)["contract_lost_cases"] == 0).all()
    assert waived.filter(during).height > 0
    assert (waived.filter(~during)["contract_lost_cases"] > 0).all()


def test_stock_runs_out_for_one_to_six_days_at_a_time(history: History) -> None:
    truth = history.activity.truth.join(history.items.filter(item_type="STOCK").collect(), on="item", how="semi")
    assert 0.02 < truth["out"].mean() < 0.05  # type: ignore[operator]
    spells = (
        truth.sort("dc", "item", "ship_date")
        .with_columns((~pl.col("out")).cum_sum().over("dc", "item").alias("spell"))
        .filter("out")
        .group_by("dc", "item", "spell")
        .len()["len"]
    )
    assert set(range(1, 6)) <= set(spells)
    assert spells.quantile(0.99) <= 6  # type: ignore[operator]


def test_stores_order_less_of_what_is_out_and_never_more_than_they_want(history: History) -> None:
    days = history.activity.truth.join(
        history.records.filter(path="STOCK_OUT"), on=["dc", "ship_date", "item"]
    ).with_columns((pl.col("demand_cases") - pl.col("ordered_cases")).alias("suppressed"))
    wanted = days.filter(pl.col("demand_cases") > 0)
    assert 0.3 < (wanted["ordered_cases"] == 0).mean() < 0.7  # type: ignore[operator]
    assert wanted.filter(pl.col("suppressed") > 0, pl.col("ordered_cases") > 0).height > 0
    assert days.filter(pl.col("suppressed") < 0).height < 0.01 * days.height


def test_what_is_in_stock_is_ordered_as_wanted(history: History) -> None:
    days = history.activity.truth.join(history.records, on=["dc", "ship_date", "item"]).filter(path="STOCK_IN")
    different = days.filter(pl.col("demand_cases") != pl.col("ordered_cases")).height
    assert different < 0.005 * days.height  # corrections, and items that were wrongly flagged the day before


def test_stocked_items_are_ordered_on_most_days_and_fast_movers_by_several_stores() -> None:
    day = Network().first
    one_day = simulate_activity(Network(), "DC01", day, day)
    assert 0.65 < (one_day.truth["demand_cases"] > 0).mean() < 0.85  # type: ignore[operator]
    normal = one_day.order_lines.filter(line_type="NORMAL", status="SHIPPED")
    stores = normal.group_by("item").agg(pl.col("customer").n_unique())
    assert 0.1 < (stores["customer"] > 1).mean() < 0.5  # type: ignore[operator]


def test_service_looks_like_that_of_a_real_network(history: History) -> None:
    total = service_metrics.compute_service(history.lines.lazy(), []).collect().row(0, named=True)
    assert 0.95 < total["case_fill_rate"] < 0.985
    assert 0.94 < total["line_fill_rate"] < 0.985
    assert total["order_fill_rate"] < 0.7
    assert 0.5 < total["on_time_rate"] < 0.7
    assert total["otif_rate"] < total["order_fill_rate"]
