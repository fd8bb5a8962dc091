"""Feeds that fail in every warehouse at once: each is notified in time, once, and nothing is called clear by it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from fillrate_assets.buffers.rules.notification_routing import MANY_WAREHOUSES
from fillrate_assets.buffers.rules.policy import Policy
from fillrate_assets.buffers.rules.tick import align_to_grid
from fillrate_assets.sample.floor import feed_faults
from fillrate_assets.sample.floor.detection import run_ticks
from fillrate_assets.sample.floor.worlds import join_worlds, rename_world
from fillrate_assets.sample.names import SITES

SEED = 4101
FAULTS = {fault.name: fault for fault in feed_faults.list_faults()}
NOTICE_MINUTES = 20
SETTLING_MINUTES = 40
"""Ticks before the fault: sensors are compared for as long, and the jams have begun."""


CASES = {
    "OCCUPANCY an hour ahead": MANY_WAREHOUSES,
    "FLOW stopped": 1,
    "every sensor stuck": 1,
    "every sensor drifts down": MANY_WAREHOUSES,
}
"""In how many warehouses a feed fails."""


@pytest.fixture(scope="module")
def results() -> dict[str, feed_faults.FaultResult]:
    """What came of each fault; all are of the same afternoon."""
    start = feed_faults.find_start(seed=SEED)
    _, until = feed_faults.find_ticks(start)
    since = align_to_grid(start + timedelta(minutes=feed_faults.BEGIN_MINUTE - SETTLING_MINUTES))
    worlds = {
        f"F{number}-": feed_faults.simulate_fault(FAULTS[name], warehouses=warehouses, seed=SEED)
        for number, (name, warehouses) in enumerate(CASES.items())
    }
    joined = join_worlds(worlds)
    made = run_ticks(joined.feeds, joined.masters, since=since, until=until, policy=Policy())
    own = [rename_world(world, prefix) for prefix, world in worlds.items()]
    return {
        name: feed_faults.measure_fault(
            FAULTS[name],
            made.restrict_to(world.masters.warehouses["warehouse"].to_list()),
            world,
            start=start,
            policy=Policy(),
        )
        for name, world in zip(CASES, own, strict=True)
    }


@pytest.mark.sweep
@pytest.mark.parametrize(("name", "warehouses"), [*CASES.items()])
def test_a_feed_that_fails_everywhere_is_notified_in_time_and_clears_nothing(
    results: dict[str, feed_faults.FaultResult], name: str, warehouses: int
) -> None:
    result = results[name]
    assert result.notified == result.warehouses == warehouses
    assert max(result.minutes) <= feed_faults.compute_expiry(FAULTS[name], Policy()) + NOTICE_MINUTES
    assert (result.false_clears, result.messages) == (0, 1)


def test_every_feed_stops_and_has_a_wrong_clock() -> None:
    assert len({(fault.feed, fault.event.kind, fault.event.strength) for fault in FAULTS.values()}) == len(FAULTS) == 15


def test_the_warehouses_have_one_time_zone() -> None:
    numbers = feed_faults.list_numbers(2 * len(SITES))
    assert len(set(numbers)) == len(numbers)
    assert {SITES[(number - 1) % len(SITES)].time_zone for number in numbers} == {SITES[0].time_zone}
