"""Episodes of the history as incidents, and how they are found."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from fillrate_assets.buffers import history_schema
from fillrate_assets.buffers.history_store import ALERTS
from fillrate_assets.buffers.report.incidents import IncidentFilter, list_incidents
from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.storage import bulk_insert
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.factories.buffers_frames import Row, make_alerts, make_tick
from fillrate_assets_tests.fixtures.embedded import create_database


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A store with three incidents of two warehouses."""
    database = create_database(f"sqlite:///{tmp_path_factory.mktemp('incidents')}/records.db")
    store_alerts(database, *FIRST, SECOND, ELSEWHERE)
    return database


def store_alerts(database: Database, *rows: Row) -> None:
    alerts = make_alerts(*rows).lazy().with_columns(unit_label=pl.lit("Pick wall"))
    with database.begin() as connection:
        bulk_insert.insert(connection, ALERTS, history_schema.ALERT_HISTORY.conform(alerts).collect())


FIRST: list[Row] = [
    {"snapshot_ts": make_tick(0)},
    {"snapshot_ts": make_tick(1), "severity": "EMERGENCY", "label": "ONGOING", "seq": 2},
    {"snapshot_ts": make_tick(2), "label": "SUPPRESSED", "reason": "MAINTENANCE", "seq": 2},
    {"snapshot_ts": make_tick(3), "severity": None, "label": "CLEARED", "is_open": False, "seq": 3},
]
SECOND: Row = {"episode": 7, "snapshot_ts": make_tick(9), "opened_ts": make_tick(9)}
ELSEWHERE: Row = {"warehouse": "W2", "unit_id": "W2_PICK_TOTAL", "snapshot_ts": make_tick(4), "opened_ts": make_tick(4)}


def test_an_episode_is_one_incident_from_its_opening_to_its_end(store: RecordStore) -> None:
    store_alerts(store.database, *FIRST, SECOND)
    chosen = IncidentFilter(make_tick(0), make_tick(20))
    later, first = list_incidents(store.database, chosen, limit=9)
    assert (first.opened, first.last, first.is_open, first.worst) == (make_tick(0), make_tick(3), False, "EMERGENCY")
    assert (first.notices, first.silenced_ticks, first.unit_label, first.why) == (3, 1, "Pick wall", None)
    assert (later.opened, later.is_open, later.worst) == (make_tick(9), True, "ACT")
    assert [each.opened for each in list_incidents(store.database, chosen, limit=1, offset=1)] == [make_tick(0)]


@pytest.mark.parametrize(
    ("given", "opened"),
    [
        ({}, [9, 4, 0]),
        ({"warehouses": ["W1"]}, [9, 0]),
        ({"warehouses": []}, []),
        ({"warehouse": "W2"}, [4]),
        ({"unit": "w2_"}, [4]),
        ({"words": ["wall", "w1"]}, [9, 0]),
        ({"severity": "EMERGENCY"}, [0]),
        ({"is_open": True}, [9, 4]),
        ({"is_open": False}, [0]),
        # What was open at the begin, and what opened before the end.
        ({"since": make_tick(3)}, [9, 4, 0]),
        ({"since": make_tick(3.5)}, [9, 4]),
        ({"until": make_tick(4)}, [0]),
    ],
)
def test_incidents_are_found_by_place_words_time_severity_and_state(
    searched: Database, given: dict[str, Any], opened: list[int]
) -> None:
    chosen = IncidentFilter(**{"since": make_tick(0), "until": make_tick(20), **given})
    assert [each.opened for each in list_incidents(searched, chosen, limit=9)] == [make_tick(n) for n in opened]
