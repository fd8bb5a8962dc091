"""What of the pipeline's status people hear of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from fillrate_assets.fulfillment.rules.alarms import (
    AlarmLimits,
    Failures,
    PipelineStatus,
    StuckState,
    find_alarms,
)

NOW: Final = datetime(2026, 2, 10, 12, tzinfo=UTC)
LIMITS: Final = AlarmLimits(timedelta(seconds=60), timedelta(minutes=15), {"PACKED": timedelta(hours=24)})
OLD: Final = NOW - timedelta(minutes=16)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, {}),
        ({"slowest": timedelta(seconds=60), "waiting": {"events": 5}, "oldest_effect": NOW}, {}),
        ({"waiting": {"events": 0, "carrier": 9}}, {}),
        ({"waiting": {"events": 5}}, {"lag": "5 events wait, and none was applied: see that a worker runs"}),
        (
            {"slowest": timedelta(seconds=61), "waiting": {"events": 1200}},
            {
                "lag": "an event was applied 61 s after it was accepted, 1,200 wait: see that the workers run, and what"
                " slows them down"
            },
        ),
        (
            {"oldest_effect": OLD, "pending_effects": 3, "failures": (Failures("carrier", "no answer", 2),)},
            {
                "effect_age": "3 effects are not done, the oldest for 16 min (carrier: no answer (2)): see the target,"
                " and that a worker runs that has it"
            },
        ),
        (
            {"stuck": (StuckState("order", "PACKED", 2, "O7", NOW - timedelta(hours=30)),)},
            {"stuck_orders": "2 order in PACKED, O7 for 30 h: `fillrate fulfillment explain` says what each waits for"},
        ),
        (
            {"dead_letters": 1, "parked": 2, "conflicting": 1},
            {
                "dead_letters": "1 job was given up: `fillrate fulfillment dead-letters` lists them",
                "parked_events": "2 events are parked: `fillrate fulfillment parked` lists them",
                "conflicting_events": "1 event says something else under an id that is known: see rejected_events",
            },
        ),
    ],
)
def test_people_hear_of_what_is_wrong_and_of_nothing_else(status: dict[str, Any], expected: dict[str, str]) -> None:
    assert find_alarms(PipelineStatus(last_seq=9, **status), LIMITS, now=NOW) == expected
