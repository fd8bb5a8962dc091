"""The four paths, the contract overlay and when not to calculate: methodology sections 2, 4 and 5."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, Final

import polars as pl
import pytest

from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.rules import lost_cases, quality_gate
from fillrate_assets_tests.factories.fillrate_frames import (
    DAY,
    Row,
    make_averages,
    make_calendar,
    make_factor_weights,
    make_item_days,
    make_network_factors,
    make_waivers,
    make_weekday_indices,
    take_only_row,
)

NO_BASELINE: Final = {"baseline_cases": None, "baseline_n": 2, "baseline_source": "NONE"}
OUT: Final = {"instock": "N"}
UNSEEN: Final = {"instock": None}
FLOW: Final = {"item_type": "FLOW"}


def compute_record(day: Row, average: Row | None = None, waived: tuple[Row, ...] = (), **method_2: Any) -> Row:  # noqa: ANN401 - as of the rule
    """Compute the record of one item-day; its baseline is 38 cases unless given."""
    frame = lost_cases.compute_lost_cases(
        make_item_days(day), make_averages(average or {}), make_waivers(*waived), make_calendar({}), **method_2
    )
    schema.LOST_CASES.validate(frame.collect())
    return take_only_row(frame)


def make_quantities(ordered: int, shipped: int) -> dict[str, Any]:
    return {"ordered_cases": ordered, "shipped_cases": shipped, "lines": int(ordered > 0)}


@pytest.mark.parametrize(
    ("day", "path"),
    [
        ({"instock": "Y"}, "STOCK_IN"),
        (OUT, "STOCK_OUT"),
        (UNSEEN, "MISSING"),
        ({**FLOW, "instock": "Y"}, "FLOW"),
        ({**FLOW, **OUT}, "FLOW"),
        ({**FLOW, **UNSEEN}, "FLOW"),
    ],
)
def test_flow_precedes_missing_precedes_the_snapshot(day: Row, path: str) -> None:
    assert compute_record(day)["path"] == path


@pytest.mark.parametrize(
    ("day", "confirmed", "estimated", "imputed"),
    [
        ({**make_quantities(50, 20)}, 30, 0, False),
        ({**make_quantities(0, 0), "lines": 1}, 0, 0, False),
        ({**OUT, **make_quantities(20, 5)}, 15, 18, False),
        ({**OUT, **make_quantities(38, 38)}, 0, 0, False),
        ({**OUT, **make_quantities(50, 0)}, 50, 0, False),
        ({**OUT, **make_quantities(0, 0)}, 0, 38, False),
        ({**FLOW, **OUT, **make_quantities(20, 5)}, 15, 0, False),
        ({**FLOW, **UNSEEN, **make_quantities(20, 0)}, 20, 0, False),
        ({**UNSEEN, **make_quantities(20, 1)}, 19, 0, False),
        ({**UNSEEN, **make_quantities(20, 0)}, 20, 18, True),
        ({**UNSEEN, **make_quantities(50, 0)}, 50, 0, True),
        ({**UNSEEN, **make_quantities(0, 0), "lines": 1}, 0, 0, False),
    ],
)
def test_each_path_loses_what_its_rule_says(day: Row, confirmed: int, estimated: int, imputed: object) -> None:
    row = compute_record(day)
    assert (row["confirmed_cases"], row["estimated_cases"], row["imputed"]) == (confirmed, estimated, imputed)
    assert row["lost_cases"] == confirmed + estimated


@pytest.mark.parametrize("day", [{**OUT, **make_quantities(20, 5)}, {**UNSEEN, **make_quantities(20, 0)}])
def test_without_a_baseline_nothing_is_estimated(day: Row) -> None:
    row = compute_record(day, NO_BASELINE)
    assert (row["estimated_cases"], row["baseline_cases"], row["baseline_n"]) == (0, None, 2)


def test_an_item_that_was_never_observed_has_no_baseline() -> None:
    row = compute_record({**OUT, **make_quantities(20, 5)}, {"item": "B"})
    assert (row["estimated_cases"], row["baseline_n"], row["baseline_source"]) == (0, 0, "NONE")


def test_a_flow_item_shows_no_baseline() -> None:
    row = compute_record(FLOW)
    assert (row["baseline_cases"], row["baseline_n"], row["baseline_source"]) == (None, 0, "NONE")


def test_an_estimate_keeps_four_places() -> None:
    row = compute_record({**OUT, **make_quantities(20, 5)}, {"baseline_cases": "38.3333"})
    assert (row["estimated_cases"], row["lost_cases"]) == (Decimal("18.3333"), Decimal("33.3333"))


@pytest.mark.parametrize(
    ("day", "belongs"),
    [
        ({"lines": 1}, True),
        ({"lines": 1, **OUT}, True),
        ({"lines": 0, **OUT}, True),
        ({"lines": 0, "instock": "Y"}, False),
        ({"lines": 0, **OUT, **FLOW}, False),
    ],
)
def test_the_driving_set_is_what_was_ordered_and_what_was_out(day: Row, belongs: object) -> None:
    row = {**make_quantities(0, 0), **day}
    frame = lost_cases.compute_lost_cases(make_item_days(row), make_averages({}), make_waivers(), make_calendar({}))
    assert (not frame.collect().is_empty()) is belongs


@pytest.mark.parametrize(
    ("others", "calendar", "charged"),
    [
        ((), (), []),
        ((), ({"open": False},), []),
        ((), ({"open": True},), ["A"]),
        (({"item": "B", "lines": 1, **make_quantities(10, 0)},), (), ["A", "B"]),
        (({"item": "B", "lines": 0, "dc": "DC02", "ship_date": DAY},), (), []),
    ],
)
def test_an_item_that_is_out_is_charged_on_ship_days_only(
    others: tuple[Row, ...], calendar: tuple[Row, ...], charged: list[str]
) -> None:
    days = make_item_days({"lines": 0, **OUT, **make_quantities(0, 0)}, *others)
    frame = lost_cases.compute_lost_cases(days, make_averages({}), make_waivers(), make_calendar(*calendar)).collect()
    assert sorted(frame["item"]) == charged


@pytest.mark.parametrize(
    ("day", "fill", "with_subs", "demand_fill"),
    [
        (make_quantities(0, 0), None, None, None),
        ({**OUT, **make_quantities(0, 0)}, None, None, "0"),
        (make_quantities(30, 30), "1", "1", "1"),
        (make_quantities(30, 0), "0", "0", "0"),
        (make_quantities(30, 20), "0.6667", "0.6667", "0.6667"),
        ({**make_quantities(30, 20), "sub_cases": 5}, "0.6667", "0.8333", "0.6667"),
        ({**make_quantities(30, 20), "sub_cases": 50}, "0.6667", "1", "0.6667"),
        ({**OUT, **make_quantities(20, 10)}, "0.5", "0.5", "0.2632"),
    ],
)
def test_fill_rates_are_ratios_of_sums_and_null_without_orders(
    day: Row, fill: str | None, with_subs: str | None, demand_fill: str | None
) -> None:
    row = compute_record({"lines": 1, **day, **({"lines": 1} if day.get("instock") is None else {})})
    rates = [row[name] for name in ("fill_rate", "fill_rate_with_subs", "demand_fill_rate")]
    assert rates == [rate and Decimal(rate) for rate in (fill, with_subs, demand_fill)]


@pytest.mark.parametrize(
    ("day", "phantom", "conflict"),
    [
        (make_quantities(20, 0), True, False),
        (make_quantities(20, 1), False, False),
        ({**make_quantities(0, 0), "lines": 1}, False, False),
        ({**OUT, **make_quantities(20, 20)}, False, True),
        ({**OUT, **make_quantities(20, 19)}, False, False),
        ({**OUT, **make_quantities(0, 0)}, False, False),
        ({**UNSEEN, **make_quantities(20, 0)}, False, False),
    ],
)
def test_a_snapshot_that_shipping_contradicts_is_flagged(day: Row, phantom: object, conflict: object) -> None:
    row = compute_record(day)
    assert (row["phantom_stock"], row["flag_conflict"]) == (phantom, conflict)


@pytest.mark.parametrize(
    ("day", "code"),
    [
        (make_quantities(20, 20), None),
        ({**make_quantities(20, 19), "reason_code": "11"}, "11"),
        ({**OUT, **make_quantities(20, 0), "reason_code": "17"}, "17"),
        ({**OUT, **make_quantities(20, 0)}, "01"),
        ({**UNSEEN, **make_quantities(20, 0)}, "01"),
        ({**FLOW, **make_quantities(20, 0)}, "12"),
        (make_quantities(20, 0), "07"),
        ({**make_quantities(20, 10), "sub_cases": 3}, "09"),
        (make_quantities(20, 10), "ZZ"),
        ({**make_quantities(20, 10), "reason_code": ""}, "ZZ"),
    ],
)
def test_the_reason_is_what_shipping_says_else_what_the_path_says(day: Row, code: str | None) -> None:
    assert compute_record(day)["reason_code"] == code


@pytest.mark.parametrize(
    ("day", "contract_lost"),
    [
        (make_quantities(20, 10), 0),
        ({**OUT, **make_quantities(20, 10)}, 28),
        ({**FLOW, **make_quantities(20, 10)}, 10),
        ({**UNSEEN, **make_quantities(20, 0)}, 38),
        ({**UNSEEN, **make_quantities(20, 10)}, 0),
    ],
)
def test_a_committed_contract_loses_what_supply_caused(day: Row, contract_lost: int) -> None:
    committed, free = compute_record({**day, "contract_committed": True}), compute_record(day)
    assert (committed["contract_lost_cases"], free["contract_lost_cases"]) == (contract_lost, 0)
    assert committed["lost_cases"] == free["lost_cases"]


@pytest.mark.parametrize(
    ("waiver", "contract_lost"),
    [
        ({"reason_code": "12"}, 0),
        ({"reason_code": "01"}, 10),
        ({"reason_code": "12", "valid_from": date(2024, 5, 16), "valid_to": date(2024, 5, 16)}, 0),
        ({"reason_code": "12", "valid_from": date(2024, 5, 17)}, 10),
        ({"reason_code": "12", "valid_to": date(2024, 5, 15)}, 10),
    ],
)
def test_a_waiver_lifts_the_contract_loss_while_it_is_valid(waiver: Row, contract_lost: int) -> None:
    row = compute_record({**FLOW, **make_quantities(20, 10), "contract_committed": True}, waived=(waiver,))
    assert (row["contract_lost_cases"], row["lost_cases"]) == (contract_lost, 10)


def test_overlapping_waivers_do_not_double_a_record() -> None:
    waived = ({"reason_code": "12"}, {"reason_code": "12", "valid_from": date(2024, 5, 1)})
    assert (
        compute_record({**FLOW, **make_quantities(20, 10), "contract_committed": True}, waived=waived)["lost_cases"]
        == 10
    )


@pytest.mark.parametrize("method", [1, 2])
def test_every_record_says_whose_estimate_it_is(method: int) -> None:
    assert compute_record({}, method=method)["method_version"] == method


# A level of 36 x 1.25 for the weekday x (1 + 0.5 x 0.2) = 49.5.
FOLLOWED: Final[dict[str, Any]] = {
    "indices": make_weekday_indices({"weekday_index": "1.25"}),
    "factors": make_network_factors({"network_factor": "1.2", "network_dcs": 3}),
    "weights": make_factor_weights({"factor_weight": "0.5"}),
}


@pytest.mark.parametrize(
    ("day", "method_1", "method_2"),
    [
        ({**OUT, **make_quantities(20, 0)}, 18, Decimal("29.5")),
        ({**OUT, **make_quantities(0, 0)}, 38, Decimal("49.5")),
        # Something shipped, so the orders were in.
        ({**OUT, **make_quantities(20, 5)}, 18, 0),
        ({**OUT, **make_quantities(60, 0)}, 0, 0),
        ({**UNSEEN, **make_quantities(30, 0)}, 8, Decimal("19.5")),
    ],
)
def test_both_methods_estimate_what_was_out_and_one_counts(day: Row, method_1: int, method_2: Decimal | int) -> None:
    day = {**day, "contract_committed": True}
    for method, estimated in ((1, method_1), (2, method_2)):
        row = compute_record(day, {"level_cases": 36}, method=method, **FOLLOWED)
        assert (row["method_1_cases"], row["method_2_cases"], row["estimated_cases"]) == (method_1, method_2, estimated)
        assert row["lost_cases"] == row["confirmed_cases"] + estimated == row["contract_lost_cases"]
        assert (row["level_cases"], row["week_n"], row["month_n"], row["weekday_index"]) == (36, 6, 24, Decimal("1.25"))
        followed = ("network_factor", "network_dcs", "factor_weight", "expected_cases")
        assert [row[name] for name in followed] == [Decimal("1.2"), 3, Decimal("0.5"), Decimal("49.5")]


@pytest.mark.parametrize(
    "day",
    [make_quantities(10, 8), {**FLOW, **OUT, **make_quantities(10, 8)}, {**UNSEEN, **make_quantities(10, 8)}],
)
def test_what_was_not_out_has_no_estimates(day: Row) -> None:
    for method in (1, 2):
        row = compute_record(day, method=method, **FOLLOWED)
        assert {row[column.name] for column in schema.ESTIMATES} == {None}
        assert row["estimated_cases"] == 0


def test_with_too_little_history_nothing_is_expected() -> None:
    known = {**NO_BASELINE, "level_cases": None, "week_n": 1, "month_n": 2}
    row = compute_record({**OUT, **make_quantities(12, 0)}, known)
    assert (row["level_cases"], row["week_n"], row["month_n"], row["expected_cases"]) == (None, 1, 2, None)
    assert (row["method_1_cases"], row["method_2_cases"]) == (0, 0)


def test_an_item_that_was_never_observed_has_no_observations() -> None:
    row = compute_record({**OUT, "item": "B"})
    assert (row["level_cases"], row["week_n"], row["month_n"], row["method_2_cases"]) == (None, 0, 0, 0)


def find_held_reasons(days: pl.LazyFrame, max_missing_share: float = 0.2) -> list[str]:
    return quality_gate.find_snapshot_gaps(days, max_missing_share).collect()["reason"].to_list()


def test_a_day_without_a_snapshot_is_held() -> None:
    assert find_held_reasons(make_item_days(UNSEEN, {"item": "B", **UNSEEN})) == ["no instock snapshot for the day"]


@pytest.mark.parametrize(
    ("missing", "reasons"),
    [(2, []), (3, ["3 of 10 items have no instock record"]), (10, ["no instock snapshot for the day"])],
)
def test_too_many_missing_items_hold_the_day(missing: int, reasons: list[str]) -> None:
    days = [{"item": str(n), "instock": None if n < missing else "Y"} for n in range(10)]
    assert find_held_reasons(make_item_days(*days)) == reasons


def test_the_share_of_missing_items_is_configurable() -> None:
    days = make_item_days(UNSEEN, {"item": "B"})
    assert (find_held_reasons(days), find_held_reasons(days, 0.5)) == (["1 of 2 items have no instock record"], [])


def test_flow_items_need_no_instock_record() -> None:
    assert find_held_reasons(make_item_days({}, {"item": "B", **FLOW, **UNSEEN})) == []


def test_a_day_on_which_nothing_was_ordered_or_out_is_not_held() -> None:
    assert find_held_reasons(make_item_days({"lines": 0})) == []


def test_each_dc_and_day_is_held_on_its_own() -> None:
    days = make_item_days({}, {"dc": "DC02", **UNSEEN}, {"ship_date": date(2024, 5, 17), **UNSEEN})
    frame = quality_gate.find_snapshot_gaps(days).collect()
    assert frame.select("dc", "ship_date").rows() == [("DC01", date(2024, 5, 17)), ("DC02", date(2024, 5, 16))]
