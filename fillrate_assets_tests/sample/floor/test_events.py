"""What is drawn: feeds that stop one after the other, staff that is shown late after a break, jams that last."""

from __future__ import annotations

import numpy as np
import pytest

from fillrate_assets.buffers.schema import FEEDS
from fillrate_assets.sample.floor.events import Event, draw
from fillrate_assets.sample.floor.schema import Kind
from fillrate_assets_tests.factories.simulated_floors import run_floor

FLOOR = run_floor()


def draw_many(kind: Kind) -> list[tuple[Event, ...]]:
    """Draw one of a kind, often."""
    return [draw(FLOOR.layout, FLOOR.roster, (kind,), 1, np.random.default_rng(seed)) for seed in range(50)]


def test_feeds_stop_one_after_the_other_and_are_back_together() -> None:
    drawn = draw_many(Kind.FEED_STOP)
    assert {len(events) for events in drawn} == {1, 2, 3}
    for events in drawn:
        starts = [event.start for event in events]
        assert starts == sorted(set(starts))
        assert len({event.end for event in events}) == 1
        assert len({event.target for event in events} & set(FEEDS)) == len(events)


def test_staff_is_shown_late_after_a_break() -> None:
    for (event,) in draw_many(Kind.LATE_RETURN):
        assert FLOOR.roster.shift[event.start] >= 0
        assert not FLOOR.roster.working[event.start]
        assert FLOOR.roster.working[event.start - 1]


def test_a_long_jam_outlasts_half_an_hour() -> None:
    assert min(event.minutes for (event,) in draw_many(Kind.LONG_JAM)) > 30


@pytest.mark.parametrize(("kind", "strengths"), [(Kind.CLOCK_SKEW, {-2, -1, 1, 2})])
def test_a_clock_is_whole_hours_ahead_or_behind(kind: Kind, strengths: set[float]) -> None:
    assert {event.strength for (event,) in draw_many(kind)} == strengths


def test_a_sensor_drifts_up_or_down() -> None:
    strengths = [event.strength for (event,) in draw_many(Kind.DRIFTING_SENSOR)]
    assert min(strengths) < -0.2
    assert max(strengths) > 0.2
