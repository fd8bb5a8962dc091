"""What holds for any course of events: ticks that never ran, changed actions, lost conflicts and missing data."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules import alert_suppression
from fillrate_assets.buffers.rules.alert_suppression import EPISODE, KEY
from fillrate_assets_tests.factories import buffers_frames
from fillrate_assets_tests.factories.buffers_frames import POLICY, make_tick
from fillrate_assets_tests.fixtures.examples import take_examples

NOTHING: Final = schema.ALERTS.make_empty().collect()
UNITS: Final = ("W1_PICK_TOTAL", "W1_PACK_TOTAL")

# Ticks come in stretches: an hour of missing data would never come about one tick at a time.
said = st.tuples(
    st.sampled_from(
        ["EMERGENCY", "ACT", "ACT", "WARN", "HYSTERESIS", "CLEAR", "CLEAR", "NOT_STAFFED", "UNKNOWN", None]
    ),
    st.sampled_from(["MOVE_STAFF", "THROTTLE"]),
    st.sampled_from(["KEPT", "KEPT", "KEPT", "OVERRIDDEN", "SAME_PATHS", "CAUSED_BY_ACTION"]),
)
stretch = st.tuples(st.lists(said, min_size=len(UNITS), max_size=len(UNITS)), st.sampled_from([1, 1, 1, 2, 3, 13]))
courses = st.lists(st.one_of(stretch, stretch, stretch, st.tuples(st.none(), st.sampled_from([1, 2, 13]))), max_size=7)
Course = Sequence[tuple[Sequence[tuple[str | None, str, str]] | None, int]]


def make_recommended(course: Course) -> pl.DataFrame:
    """`RECOMMENDATIONS`: of a stretch without units no tick ran, of a unit without a verdict there is no row."""
    rows: list[dict[str, Any]] = []
    number = 0
    for units, length in course:
        for _ in range(length):
            for unit, (verdict, action, resolution) in zip(UNITS, units or [], strict=False):
                wanted = action if verdict in schema.SEVERITIES else None
                how = resolution if wanted else "KEPT"
                row = {"unit_id": unit, "verdict": verdict, "action": wanted, "resolution": how}
                if how == "SAME_PATHS":
                    row |= {"resolution": "OVERRIDDEN", "resolution_rule": "R1"}
                rows += [{**row, "snapshot_ts": make_tick(number)}] if verdict else []
            number += 1
    return buffers_frames.make_recommendations(*rows)


def replay(recommendations: pl.DataFrame) -> pl.DataFrame:
    return alert_suppression.replay(recommendations, NOTHING, policy=POLICY)


@given(courses, st.integers(0, 100))
@settings(max_examples=take_examples(8))
def test_the_order_of_rows_says_nothing(course: Course, seed: int) -> None:
    rows = make_recommended(course)
    history = replay(rows)
    assert replay(rows.sample(fraction=1, shuffle=True, seed=seed)).equals(history)
    now = buffers_frames.make_recommendations({"snapshot_ts": make_tick(200)})
    shuffled = history.sample(fraction=1, shuffle=True, seed=seed)
    first, second = (
        alert_suppression.compute_alerts(now, before, snapshot_ts=make_tick(200), policy=POLICY)
        for before in (history, shuffled)
    )
    assert first.equals(second)


@given(courses, st.integers(0, 20))
@settings(max_examples=take_examples(10))
def test_a_tick_that_runs_late_or_again_changes_nothing_once_later_ones_are_replayed(course: Course, late: int) -> None:
    """Without the late tick first; then it and the later ones, over whatever those had left."""
    rows = make_recommended(course)
    in_order = replay(rows)
    without = replay(rows.filter(pl.col("snapshot_ts") != make_tick(late)))
    again = rows.filter(pl.col("snapshot_ts") >= make_tick(late))
    earlier = without.filter(pl.col("snapshot_ts") < make_tick(late))
    assert pl.concat([earlier, alert_suppression.replay(again, without, policy=POLICY)]).equals(in_order)
    assert pl.concat([earlier, alert_suppression.replay(again, in_order, policy=POLICY)]).equals(in_order)


@given(courses)
@settings(max_examples=take_examples(8))
def test_sixty_minutes_of_history_are_enough(course: Course) -> None:
    """But to see that an open episode was left by a longer gap: nothing is known of it, so it is new."""
    rows = make_recommended(course)
    whole = replay(rows)
    for (snapshot_ts,), now in rows.sort("snapshot_ts").group_by("snapshot_ts", maintain_order=True):
        age = pl.lit(snapshot_ts) - pl.col("snapshot_ts")
        hour = whole.filter(age > pl.duration(minutes=0), age <= pl.duration(minutes=60))
        expected = whole.filter(pl.col("snapshot_ts") == snapshot_ts)
        found = alert_suppression.compute_alerts(now, hour, snapshot_ts=snapshot_ts, policy=POLICY)
        forgotten = pl.col("reason").is_in(["HISTORY_GAP", "EXPIRED_NO_DATA"])
        known = expected.filter(~forgotten.fill_null(value=False)).select(KEY)
        compared = ["label", "reason", "episode", "opened_ts", "seq", "is_open", "clear_count", "openings"]
        same = [frame.join(known, on=KEY, how="semi").sort(KEY).select(*KEY, *compared) for frame in (found, expected)]
        assert same[0].equals(same[1])


@given(courses)
@settings(max_examples=take_examples(15))
def test_every_course_of_events_is_notified_as_it_must_be(course: Course) -> None:
    rows = make_recommended(course)
    alerts = replay(rows)
    schema.ALERTS.validate(alerts)
    _assert_emergencies_are_always_sent(rows, alerts)
    _assert_an_action_that_changes_is_sent_as_a_change(alerts)
    _episodes_begin_with_new_and_end_with_cleared(alerts)
    _nothing_is_cleared_on_missing_data(rows, alerts)
    _open_episodes_have_a_row_at_every_tick_that_ran(rows, alerts)


def _assert_emergencies_are_always_sent(rows: pl.DataFrame, alerts: pl.DataFrame) -> None:
    elsewhere = (pl.col("resolution_rule") == "R1").fill_null(value=False)
    emergencies = rows.filter(pl.col("verdict") == "EMERGENCY", ~elsewhere)
    heard = emergencies.join(alerts, on=[*KEY, "snapshot_ts"], how="inner")
    assert heard.height == emergencies.height
    assert set(heard["label"]) <= {"NEW", "ONGOING"}


def _assert_an_action_that_changes_is_sent_as_a_change(alerts: pl.DataFrame) -> None:
    """And nothing else is."""
    sent = alerts.filter(pl.col("label").is_in(["NEW", "ONGOING"])).sort("snapshot_ts")
    for episode in sent.partition_by(EPISODE):
        for before, after in pairwise(episode.iter_rows(named=True)):
            changed = before["action"] != after["action"] and after["severity"] != "WARN"
            assert (after["reason"] == "CHANGED") == (changed and after["reason"] != "ESCALATED")


def _episodes_begin_with_new_and_end_with_cleared(alerts: pl.DataFrame) -> None:
    for episode in alerts.sort("snapshot_ts").partition_by(EPISODE):
        labels = [label for label in episode["label"] if label != "SUPPRESSED"]
        unnotified = "NEW" not in labels
        end = ["CLEARED"] if "CLEARED" in labels else []
        assert labels == (end if unnotified else ["NEW", *["ONGOING"] * (len(labels) - 1 - len(end)), *end])
        assert episode["is_open"].to_list()[:-1] == [True] * (episode.height - 1)
        assert episode["seq"][-1] == (0 if unnotified else len(labels))
        assert episode["opened_ts"].to_list() == [episode["snapshot_ts"][0]] * episode.height
    for key in alerts.sort("snapshot_ts").partition_by(KEY):
        assert key["episode"].is_sorted()


def _nothing_is_cleared_on_missing_data(rows: pl.DataFrame, alerts: pl.DataFrame) -> None:
    """The unit was clear at this tick and at the one before."""
    clear = {
        (row["unit_id"], row["snapshot_ts"]) for row in rows.filter(pl.col("verdict") == "CLEAR").iter_rows(named=True)
    }
    for row in alerts.filter(pl.col("label") == "CLEARED").iter_rows(named=True):
        previous = row["snapshot_ts"] - (make_tick(1) - make_tick(0))
        assert {(row["unit_id"], row["snapshot_ts"]), (row["unit_id"], previous)} <= clear


def _open_episodes_have_a_row_at_every_tick_that_ran(rows: pl.DataFrame, alerts: pl.DataFrame) -> None:
    ran = sorted(set(rows["snapshot_ts"]))
    following = dict(pairwise(ran))
    rows_there = set(alerts.select(*KEY, "snapshot_ts").rows())
    for *key, snapshot_ts in alerts.filter("is_open").select(*KEY, "snapshot_ts").rows():
        assert snapshot_ts not in following or (*key, following[snapshot_ts]) in rows_there
