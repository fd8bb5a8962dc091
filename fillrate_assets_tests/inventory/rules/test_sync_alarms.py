"""What people hear of how changes go to the DCs."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from fillrate_assets.inventory.rules.sync_alarms import ReplicaSync, SyncStatus, find_alarms
from fillrate_assets_tests.factories.stock_changes import NOON

GOOD = ReplicaSync("DC01", 1_000, 100, 0, timedelta(seconds=0.3), timedelta(seconds=2))


def make_replica(**changed: Any) -> ReplicaSync:  # noqa: ANN401 - fields of one
    return replace(GOOD, **changed)


@pytest.mark.parametrize(
    ("replicas", "unread_since", "dead_letters", "alarms"),
    [
        ((), None, 0, {}),
        ((GOOD,), NOON, 0, {}),
        ((GOOD,), NOON - timedelta(seconds=60), 0, {}),
        (
            (GOOD,),
            NOON - timedelta(minutes=3),
            0,
            {
                "stream_age": "7 changes were not read of the stream, the oldest for 3 min:"
                " see that `fillrate inventory worker` runs"
            },
        ),
        ((make_replica(latency=timedelta(seconds=5)),), None, 0, {}),
        (
            (GOOD, make_replica(name="DC02", latency=timedelta(seconds=5.25), longest=timedelta(seconds=90))),
            None,
            0,
            {"sync_latency": "changes take more than 5 s to their copies: DC02: 5.2 s, the longest 90.0 s"},
        ),
        ((make_replica(failed=11),), None, 0, {}),
        (
            (make_replica(failed=12),),
            None,
            0,
            {"sync_errors": "more than 1 % of what is sent fails: DC01: 12 of 100 requests"},
        ),
        (
            (make_replica(applied=0, requests=3, failed=3, latency=None),),
            None,
            0,
            {"sync_errors": "more than 1 % of what is sent fails: DC01: 3 of 3 requests"},
        ),
        (
            (),
            None,
            2,
            {"sync_dead_letters": "2 batches of changes were given up: `fillrate inventory dead-letters` lists them"},
        ),
    ],
)
def test_alarms_begin_above_their_limits(
    replicas: tuple[ReplicaSync, ...], unread_since: datetime | None, dead_letters: int, alarms: dict[str, str]
) -> None:
    status = SyncStatus(replicas, 7 if unread_since else 0, unread_since, dead_letters)
    assert find_alarms(status, now=NOON) == alarms


def test_changes_that_wait_for_a_dc_are_an_alarm_after_a_minute() -> None:
    waiting = {f"DC0{minutes}": NOON - timedelta(minutes=minutes) for minutes in (1, 2, 3)}
    assert find_alarms(SyncStatus((), 0, None, 0, waiting), now=NOON) == {
        "queue_replica": "changes wait for DCs: DC02: 2 min; DC03: 3 min:"
        " see their systems, and that a worker serves them"
    }
