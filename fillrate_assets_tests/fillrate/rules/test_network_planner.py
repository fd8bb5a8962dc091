"""When the DCs are compared, and which days follow what came of it (decision 0353)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final

import pytest

from fillrate_assets.fillrate.rules.network_factor import compute_network_versions, find_unfollowed_days
from fillrate_assets.fillrate.rules.network_planner import NetworkPlan, plan_networks
from fillrate_assets_tests.factories.fillrate_frames import (
    DAY,
    PROCESSED_AT,
    Row,
    make_calendar,
    make_factor_weights,
    make_network_days,
    make_network_factors,
)
from fillrate_assets_tests.factories.rows import make_out_records

WAIT: Final = timedelta(hours=4)
WEEK_AGO: Final = DAY - timedelta(days=7)
NEW: Final = {"compared_version": None}
MOVED: Final = {"usual_version": "v"}
BOTH_A_WEEK_AGO: Final[list[Row]] = [{"dc": dc, "ship_date": WEEK_AGO} for dc in ("DC01", "DC02")]


def plan(
    *days: Row, now: datetime = PROCESSED_AT, in_progress: Collection[date] = (), closed: bool = False
) -> NetworkPlan:
    calendar = make_calendar({"dc": "DC02", "open": not closed}).collect()
    frame = make_network_days(*days).collect()
    return plan_networks(frame, now=now, wait=WAIT, calendar=calendar, in_progress=in_progress)


@pytest.mark.parametrize(
    ("days", "due"),
    [
        # Nothing moved.
        ([{}, {"dc": "DC02"}], ()),
        # Never compared, or compared before one of them moved.
        ([NEW, {"dc": "DC02", **NEW}], (DAY,)),
        ([{}, {"dc": "DC02", **NEW}], (DAY,)),
        ([{}, {"dc": "DC02", **MOVED}], (DAY,)),
        # Each date by itself.
        ([{}, {"dc": "DC02"}, {"dc": "DC02", "ship_date": WEEK_AGO, **MOVED}], (WEEK_AGO,)),
        ([], ()),
    ],
)
def test_a_date_is_due_once_what_is_usual_of_a_dc_came_or_moved(days: list[Row], due: tuple[date, ...]) -> None:
    assert plan(*days) == NetworkPlan(due, {})


@pytest.mark.parametrize(
    ("waited", "due", "waiting"),
    [
        (timedelta(0), (), {DAY: ("DC02",)}),
        (timedelta(hours=3, minutes=59), (), {DAY: ("DC02",)}),
        (timedelta(hours=4), (DAY,), {}),
    ],
)
def test_a_date_waits_for_dcs_that_are_late(
    waited: timedelta, due: tuple[date, ...], waiting: dict[date, tuple[str, ...]]
) -> None:
    found = plan(*BOTH_A_WEEK_AGO, {"usual_at": PROCESSED_AT, **NEW}, now=PROCESSED_AT + waited)
    assert found == NetworkPlan(due, waiting)


def test_the_wait_begins_with_the_first_dc() -> None:
    third = {"dc": "DC03", "usual_at": PROCESSED_AT + timedelta(hours=3), **NEW}
    assert plan(*BOTH_A_WEEK_AGO, NEW, third, now=PROCESSED_AT + WAIT).due == (DAY,)


def test_a_dc_that_observed_nothing_is_late_unless_its_calendar_calls_the_day_closed() -> None:
    days = [*BOTH_A_WEEK_AGO, NEW, {"dc": "DC02", "observed_items": 0, **NEW}]
    assert plan(*days).waiting == {DAY: ("DC02",)}
    assert plan(*days, closed=True).due == (DAY,)


def test_a_date_that_runs_compute_is_due_once_they_have_ended() -> None:
    days: list[Row] = [NEW, {"dc": "DC02", **NEW}]
    assert plan(*days, in_progress=[DAY]) == NetworkPlan((), {})
    assert plan(*days, in_progress=[WEEK_AGO]).due == (DAY,)


@pytest.mark.parametrize(
    ("days", "version"),
    [
        # Learned from nothing: the weight is 0.
        ([{}], "f 0.0000"),
        # 60 / (100 + 2 x 10) of the day before.
        ([{}, {"ship_date": DAY - timedelta(days=1)}], "f 0.5000"),
        # Not compared that day, so nothing to learn from.
        ([{}, {"ship_date": DAY - timedelta(days=1), **NEW}], "f 0.0000"),
        # No item has a factor: nothing to follow.
        ([{"factors_version": None}, {"ship_date": DAY - timedelta(days=1)}], None),
    ],
)
def test_a_version_is_that_of_the_factors_and_the_weight(days: list[Row], version: str | None) -> None:
    found = compute_network_versions(make_network_days(*days)).filter(ship_date=DAY).collect()
    assert found["network_version"].to_list() == [version]


@pytest.mark.parametrize(
    ("record", "is_unfollowed"),
    [
        ({"network_factor": "1.2", "network_dcs": 7, "factor_weight": "0.5"}, False),
        ({"network_factor": "1.1", "network_dcs": 7, "factor_weight": "0.5"}, True),
        ({"network_factor": "1.2", "network_dcs": 6, "factor_weight": "0.5"}, True),
        ({"network_factor": "1.2", "network_dcs": 7, "factor_weight": "0.4"}, True),
        # Another item, that no other DC had: it has no factor, and so no weight.
        ({"item": "B"}, False),
        # In stock, or older than method 2.
        ({"network_factor": None, "network_dcs": None, "factor_weight": None}, False),
    ],
)
def test_records_made_with_other_factors_or_another_weight_are_found(record: Row, *, is_unfollowed: bool) -> None:
    factors = make_network_factors({"network_factor": "1.2"})
    weights = make_factor_weights({"factor_weight": "0.5"})
    exact = {
        name: Decimal(value) if isinstance(value, str) and name != "item" else value for name, value in record.items()
    }
    records = make_out_records({"ship_date": DAY, **exact})
    found = find_unfollowed_days(records.lazy(), factors, weights).collect()
    assert found.rows() == ([("DC01", DAY)] if is_unfollowed else [])
