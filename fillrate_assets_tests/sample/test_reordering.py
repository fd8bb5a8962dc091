"""The closed loop on a small world."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from fillrate_assets.core.decimals import PLACES
from fillrate_assets.sample.reordering import OWN, Policy, World, draw_world, run_policies

FIRST = date(2026, 1, 5)


@pytest.fixture(scope="module")
def world() -> World:
    return draw_world(1, 100, FIRST, 32)


def test_items_that_are_put_away_have_terms_and_demand_on_ship_days(world: World) -> None:
    supply = world.supply
    assert {
        len(each) for each in (world.items, supply.lead_days, supply.multiple, supply.minimum, world.demand[0])
    } == {world.items.height}
    assert 70 < world.items.height < 100
    closed = np.array([day.isoweekday() == 7 for day in world.days])
    assert not world.demand[closed].any()
    assert world.demand[~closed].any(axis=1).all()
    assert (supply.multiple >= PLACES).all()


def test_every_item_is_reviewed_on_a_ship_day_of_each_week(world: World) -> None:
    week = [FIRST + timedelta(days=offset) for offset in range(6)]
    assert np.any([world.supply.select_reviewed(day) for day in week], axis=0).all()


def test_deliveries_are_late_by_vendor_and_the_same_for_every_policy(world: World) -> None:
    supply = replace(world.supply, late_share=0.5)
    delays = supply.draw_delays(FIRST)
    assert (delays == supply.draw_delays(FIRST)).all()
    assert {len(set(delays[supply.vendor == vendor])) for vendor in set(supply.vendor)} == {1}
    assert not world.supply.draw_delays(FIRST).any()
    assert world.supply.lead_deviation_days == 0
    assert supply.lead_deviation_days == pytest.approx(2**0.5)


def test_policies_are_side_by_side_and_the_more_they_hold_the_less_they_lose(world: World) -> None:
    policies = (OWN, Policy("cover", 9), Policy("buffers", 0.6), Policy("buffers", 0.97))
    own, more, low, high = run_policies(world, policies, warm_up_days=10, settling_days=8)
    assert {outcome.demand_cases for outcome in (own, more, low, high)} == {world.demand[18:].sum() / PLACES}
    for less, most in ((own, more), (low, high)):
        assert most.mean_stock_cases > less.mean_stock_cases
        assert most.lost_cases < less.lost_cases
