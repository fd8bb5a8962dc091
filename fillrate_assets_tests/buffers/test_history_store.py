"""The history of ticks that dashboards query, on each database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import polars as pl
import pytest
import sqlalchemy as sa

from fillrate_assets.buffers import history_store, schema
from fillrate_assets.buffers.history_store import HistoryStore
from fillrate_assets.buffers.rules.tick import TICK, InMemoryTickStore
from fillrate_assets.core.errors import SourceUnavailable
from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.storage import bulk_insert
from fillrate_assets_tests.factories import buffers_frames, feed_rows
from fillrate_assets_tests.factories.buffers_frames import make_alerts, make_recommendations, make_units

NOW: Final = buffers_frames.TICK
QUIET: Final = {"action": None, "verdict": "CLEAR"}
MEMBERS: Final = feed_rows.make_members(
    {"unit_id": "W1_LANE_A", "path": "A"},
    {"unit_id": "W1_LANE_B", "path": "B"},
    {"unit_id": "W1_PICK_TOTAL", "path": "A"},
)
LABELS: Final = {"W1_LANE_A": "Lane 12"}


def make_ticks(**alert: Any) -> InMemoryTickStore:  # noqa: ANN401 - any column of an alert
    """Make a tick: lane A is full, lane B and two totals are quiet; one of these is of another DC."""
    names = ("W1_LANE_A", "W1_LANE_B", "W1_PICK_TOTAL", "W2_PICK_TOTAL")
    units = [{"unit_id": name, "dc": "NYC" if name.startswith("W2") else "CHI"} for name in names]
    said = [{**unit, **({} if unit["unit_id"] == "W1_LANE_A" else QUIET)} for unit in units]
    signals = feed_rows.make_signals(
        *({"path": path, "dc": "CHI", "snapshot_ts": NOW, "ship_date": NOW.date()} for path in ("A", "B"))
    )
    store = InMemoryTickStore()
    for frame, rows in (
        (schema.SIGNALS, signals),
        (schema.UNIT_TIMESERIES, make_units(*units)),
        (schema.RECOMMENDATIONS, make_recommendations(*said)),
        (schema.ALERTS, make_alerts({"unit_id": "W1_LANE_A", "unit_type": "LANE", **alert})),
    ):
        store.write(frame, rows, NOW)
    return store


@pytest.fixture
def history(store: RecordStore) -> HistoryStore:
    return HistoryStore(store.database, 30)


def sync(history: HistoryStore, ticks: InMemoryTickStore, *, days: float = 0) -> int:
    return history.sync(ticks, NOW, members=MEMBERS, labels=LABELS, now=NOW + timedelta(days=days))


def query(history: HistoryStore, statement: str) -> list[tuple[Any, ...]]:
    """Query as a dashboard does, with plain SQL."""
    database = history.database
    with database.engine.connect() as connection:
        if database.schema:
            connection.execute(sa.text(f"SET LOCAL search_path TO {database.schema}"))
        return [tuple(row) for row in connection.execute(sa.text(statement)).all()]


def read_all(history: HistoryStore) -> dict[str, list[tuple[Any, ...]]]:
    tables = ("tick", "unit", "signal", "recommendation", "alert")
    statements = {
        name: str(sa.select(sa.literal_column("*")).select_from(sa.table(f"buffer_{name}_history"))) for name in tables
    }
    return {name: sorted(query(history, statement), key=str) for name, statement in statements.items()}


def test_dashboards_query_what_is_not_quiet_and_every_total(history: HistoryStore) -> None:
    assert sync(history, make_ticks()) == 2 + 3 + 1 + 1 + 1
    assert query(history, "SELECT unit_id, unit_label, state, fill_percent FROM buffer_units ORDER BY unit_id") == [
        ("W1_LANE_A", "Lane 12", "ACT", 50.0),
        ("W1_PICK_TOTAL", None, "CLEAR", 50.0),
        ("W2_PICK_TOTAL", None, "CLEAR", 50.0),
    ]
    assert query(history, "SELECT path, level FROM buffer_signals") == [("A", 50.0)]
    assert query(history, "SELECT unit_id, verdict, quantity FROM buffer_recommendations") == [
        ("W1_LANE_A", "ACT", 4.0)
    ]
    assert query(history, "SELECT unit_label, label, quantity, explanation FROM buffer_alerts") == [
        ("Lane 12", "NEW", 4.0, "PICK TOTAL: 94.0 % full.")
    ]
    assert query(history, "SELECT units, act, clear, open_episodes, notified FROM buffer_ticks") == [(4, 1, 3, 1, 1)]


def test_an_alert_of_another_action_has_no_quantity_of_the_one_recommended(history: HistoryStore) -> None:
    sync(history, make_ticks(action="THROTTLE"))
    assert query(history, "SELECT action, quantity FROM buffer_alerts") == [("THROTTLE", None)]


def test_the_same_tick_again_changes_nothing(history: HistoryStore) -> None:
    sync(history, make_ticks())
    before = read_all(history)
    assert sync(history, make_ticks()) == 0
    assert read_all(history) == before


def test_a_tick_that_is_computed_anew_is_replaced_in_the_dcs_that_changed(history: HistoryStore) -> None:
    sync(history, make_ticks())
    before = read_all(history)
    assert sync(history, make_ticks(label="ONGOING")) == 1 + 2 + 1 + 1 + 1
    assert query(history, "SELECT label FROM buffer_alerts") == [("ONGOING",)]
    after = read_all(history)
    assert [len(rows) for rows in after.values()] == [len(rows) for rows in before.values()]
    assert after["unit"] == before["unit"]


def test_a_tick_is_there_as_a_whole_or_as_it_was(history: HistoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    sync(history, make_ticks())
    before, insert = read_all(history), bulk_insert.insert

    def break_at_last(connection: sa.Connection, table: sa.Table, rows: pl.DataFrame) -> None:
        if table is history_store.ALERTS:
            msg = "the server is gone"
            raise sa.exc.OperationalError(msg, {}, Exception(msg))
        insert(connection, table, rows)

    monkeypatch.setattr(bulk_insert, "insert", break_at_last)
    with pytest.raises(SourceUnavailable, match="buffer history"):
        sync(history, make_ticks(label="ONGOING"))
    assert read_all(history) == before


@pytest.mark.parametrize(("days", "age", "rows"), [(30, 30, 8), (30, 30.01, 0), (0, 0, 0)])
def test_a_tick_is_stored_for_so_many_days(store: RecordStore, days: int, age: float, rows: int) -> None:
    history = HistoryStore(store.database, days)
    assert sync(history, make_ticks(), days=age) == rows


def test_older_ticks_are_deleted_with_the_next(history: HistoryStore) -> None:
    sync(history, make_ticks())
    sync(history, make_ticks(), days=30)
    assert read_all(history)["tick"]
    later = InMemoryTickStore()
    at = NOW + timedelta(days=30) + TICK
    assert history.sync(later, at, members=MEMBERS, labels=LABELS, now=at) == 0
    assert not any(read_all(history).values())
