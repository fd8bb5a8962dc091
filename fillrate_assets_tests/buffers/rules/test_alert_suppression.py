"""The state table, as sequences of ticks: what a unit is at each, and what is said.

Proves decisions 0060 and 0185.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import polars as pl
import pytest

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules import alert_suppression
from fillrate_assets.buffers.rules.policy import Suppression
from fillrate_assets_tests.factories import buffers_frames
from fillrate_assets_tests.factories.buffers_frames import POLICY, make_tick

NOTHING: Final = schema.ALERTS.make_empty().collect()
OTHER: Final = {"unit_id": "W1_PACK_TOTAL", "verdict": "CLEAR", "action": None}
"""A unit that is well: with it alone, a tick ran and says nothing of any other unit."""

INPUTS: Final[dict[str, dict[str, Any]]] = {
    "OVERRIDDEN": {
        "resolution": "OVERRIDDEN",
        "action": None,
        "original_action": "MOVE_STAFF",
        "winner": "W1_INDUCT_I1 OVERFLOW",
    },
    "OVERRIDDEN_EMERGENCY": {"verdict": "EMERGENCY", "resolution": "OVERRIDDEN"},
    "CAUSED_BY_ACTION": {"resolution": "CAUSED_BY_ACTION"},
    "THROTTLE": {"action": "THROTTLE"},
    "THROTTLE_EMERGENCY": {"verdict": "EMERGENCY", "action": "THROTTLE"},
}


def make_ticks(said: str, **columns: Any) -> pl.DataFrame:  # noqa: ANN401 - a column has any type
    """Recommendations of one unit, a word for each tick: '-' never ran, 'ABSENT' ran without a row of the unit."""
    rows = []
    for number, word in enumerate(said.split()):
        if word == "-":
            continue
        rows.append({**OTHER, "snapshot_ts": make_tick(number)})
        if word != "ABSENT":
            silent = {"action": None} if word not in {*schema.SEVERITIES, *INPUTS} else {}
            what = INPUTS.get(word, {"verdict": word, **silent})
            rows.append({"snapshot_ts": make_tick(number), **columns, **what})
    return buffers_frames.make_recommendations(*rows)


def list_labels(rows: pl.DataFrame, ticks: int, action: str | None = "MOVE_STAFF") -> list[str]:
    """A word for each tick: the reason if suppressed, else the label and why; '.' where there is no row.

    Of one action, or of any.
    """
    words = dict.fromkeys(range(ticks), ".")
    for row in (rows if action is None else rows.filter(action=action)).iter_rows(named=True):
        number = round((row["snapshot_ts"] - make_tick(0)).total_seconds() / 300)
        why = f"({row['reason']})" if row["reason"] else ""
        words[number] = row["reason"] if row["label"] == "SUPPRESSED" else f"{row['label']}{why}"
    return list(words.values())


def replay(said: str, **columns: Any) -> pl.DataFrame:  # noqa: ANN401 - a column has any type
    rows = alert_suppression.replay(make_ticks(said, **columns), NOTHING, policy=POLICY)
    schema.ALERTS.validate(rows)
    return rows


HOUR: Final = " ".join(["UNKNOWN"] * 12)
NIGHT: Final = " ".join(["NOT_STAFFED"] * 12)
STALE: Final = " ".join(["DATA_STALE"] * 12)
BREAK: Final = " ".join(["NOT_STAFFED"] * 12)
MISSED: Final = " ".join(["-"] * 11)
NO_ROWS: Final = " ".join(["."] * 11)

TABLE: Final = {
    "a healthy unit says nothing": ("CLEAR HYSTERESIS UNKNOWN NOT_STAFFED ABSENT", ". . . . ."),
    "closed, action: new": ("ACT", "NEW"),
    "closed, warning: new, for development to see": ("WARN", "NEW"),
    "closed, emergency: new": ("EMERGENCY", "NEW"),
    "open, window not elapsed, then elapsed": ("ACT ACT ACT ACT ACT", "NEW WINDOW WINDOW ONGOING WINDOW"),
    "emergency: at every tick": ("EMERGENCY EMERGENCY EMERGENCY", "NEW ONGOING ONGOING"),
    "worse than the peak: at once": ("WARN ACT EMERGENCY", "NEW ONGOING(ESCALATED) ONGOING(ESCALATED)"),
    "as bad as the peak, after it was less: window": ("EMERGENCY ACT ACT ACT", "NEW WINDOW WINDOW ONGOING"),
    "an emergency that returns is sent within the window": ("EMERGENCY ACT EMERGENCY", "NEW WINDOW ONGOING"),
    "lost: suppressed, and new when it surfaces": (
        "OVERRIDDEN OVERRIDDEN ACT ACT",
        "SUBSUMED_BY SUBSUMED_BY NEW WINDOW",
    ),
    "lost while open: suppressed, goes on later": (
        "ACT OVERRIDDEN OVERRIDDEN ACT",
        "NEW SUBSUMED_BY SUBSUMED_BY ONGOING",
    ),
    "lost and clear: never sent": ("OVERRIDDEN CLEAR CLEAR ACT", "SUBSUMED_BY CLEARING CLEARED NEW"),
    "a lost emergency is sent": ("OVERRIDDEN_EMERGENCY OVERRIDDEN_EMERGENCY", "NEW ONGOING"),
    "our own throttle's consequence is suppressed": ("CAUSED_BY_ACTION ACT", "CONSEQUENCE_OF NEW"),
    "between: hysteresis, and the clear ticks start again": (
        "ACT CLEAR HYSTERESIS CLEAR CLEAR",
        "NEW CLEARING HYSTERESIS CLEARING CLEARED",
    ),
    "a warning after an action is between, and takes no window": (
        "ACT WARN WARN WARN ACT",
        "NEW HYSTERESIS HYSTERESIS HYSTERESIS ONGOING",
    ),
    "warnings alone have their own window": ("WARN WARN WARN WARN", "NEW WINDOW WINDOW ONGOING"),
    "clear twice": ("ACT CLEAR CLEAR CLEAR", "NEW CLEARING CLEARED ."),
    "action while clearing goes on": ("ACT CLEAR ACT ACT CLEAR CLEAR", "NEW CLEARING WINDOW ONGOING CLEARING CLEARED"),
    "unknown: stale, and the clear ticks start again": (
        "ACT CLEAR UNKNOWN CLEAR CLEAR",
        "NEW CLEARING DATA_STALE CLEARING CLEARED",
    ),
    "a unit without a row is unknown": (
        "ACT CLEAR ABSENT CLEAR CLEAR",
        "NEW CLEARING DATA_STALE CLEARING CLEARED",
    ),
    "a tick that never ran is unknown": ("ACT CLEAR - CLEAR CLEAR", "NEW CLEARING . CLEARING CLEARED"),
    "unknown for 55 minutes, known again: goes on": (
        f"ACT {HOUR.removesuffix(' UNKNOWN')} ACT",
        f"NEW {STALE.removesuffix(' DATA_STALE')} ONGOING",
    ),
    "unknown for 60 minutes: expired, and no more rows": (
        f"ACT {HOUR} UNKNOWN UNKNOWN",
        f"NEW {STALE} EXPIRED_NO_DATA .",
    ),
    "expired, then clear: not sent": (f"ACT {HOUR} UNKNOWN CLEAR CLEAR", f"NEW {STALE} EXPIRED_NO_DATA . ."),
    "expired, then bad again: new": (f"ACT {HOUR} UNKNOWN ACT", f"NEW {STALE} EXPIRED_NO_DATA NEW"),
    "a break is unknown, with its own reason": ("ACT NOT_STAFFED ACT ACT", "NEW NOT_STAFFED WINDOW ONGOING"),
    "a night ends an episode, not as cleared": (f"ACT {NIGHT} NOT_STAFFED ACT", f"NEW {BREAK} EXPIRED_NO_DATA NEW"),
    "no tick for 60 minutes: goes on": (f"ACT {MISSED} ACT", f"NEW {NO_ROWS} ONGOING"),
    "no tick for more than 60 minutes: new": (f"ACT {MISSED} - ACT", f"NEW {NO_ROWS} . NEW(HISTORY_GAP)"),
    "an emergency after the gap: new": (f"ACT {MISSED} - EMERGENCY", f"NEW {NO_ROWS} . NEW(HISTORY_GAP)"),
    "lost after the gap: suppressed, and new when it surfaces": (
        f"ACT {MISSED} - OVERRIDDEN ACT",
        f"NEW {NO_ROWS} . SUBSUMED_BY NEW",
    ),
    "clear after the gap: expired": (f"ACT {MISSED} - CLEAR CLEAR", f"NEW {NO_ROWS} . EXPIRED_NO_DATA ."),
    "unknown and missed ticks add up": (f"ACT UNKNOWN {MISSED} CLEAR", f"NEW DATA_STALE {NO_ROWS} EXPIRED_NO_DATA"),
    "reopened within the window: suppressed until it has elapsed": (
        "ACT ACT ACT ACT CLEAR CLEAR ACT ACT",
        "NEW WINDOW WINDOW ONGOING CLEARING CLEARED NEW WINDOW",
    ),
    "reopened, then worse than now sent, though not than before": (
        "EMERGENCY CLEAR CLEAR ACT EMERGENCY",
        "NEW CLEARING CLEARED NEW ONGOING(ESCALATED)",
    ),
    "an emergency reopens at once": ("EMERGENCY CLEAR CLEAR EMERGENCY", "NEW CLEARING CLEARED NEW"),
}


@pytest.mark.parametrize(("said", "expected"), TABLE.values(), ids=TABLE)
def test_the_state_table(said: str, expected: str) -> None:
    assert list_labels(replay(said), len(said.split())) == expected.split()


REOPENED: Final = {
    "as bad: suppressed until the window has elapsed": ("ACT CLEAR CLEAR ACT ACT", "NEW CLEARING CLEARED {} NEW"),
    "worse: sent at once": ("WARN CLEAR CLEAR ACT", "NEW CLEARING CLEARED NEW"),
    "an emergency: sent at once": ("ACT CLEAR CLEAR EMERGENCY", "NEW CLEARING CLEARED NEW"),
    "clear again before it was sent": (
        "ACT CLEAR CLEAR ACT CLEAR CLEAR",
        "NEW CLEARING CLEARED {} CLEARING CLEARED",
    ),
    "as a warning: sent when the window has elapsed": ("ACT CLEAR CLEAR WARN WARN", "NEW CLEARING CLEARED {} NEW"),
    "suppressed, then worse": ("WARN CLEAR CLEAR WARN ACT", "NEW CLEARING CLEARED {} NEW"),
}


@pytest.mark.parametrize(("said", "expected"), REOPENED.values(), ids=REOPENED)
def test_what_reopens_within_the_window(said: str, expected: str) -> None:
    rows = replay(said, action="THROTTLE")
    assert list_labels(rows, len(said.split()), "THROTTLE") == expected.format("REOPEN_IN_WINDOW").split()


@pytest.mark.parametrize(
    ("action", "window"),
    [("MOVE_STAFF", 3), ("THROTTLE", 4), ("REBALANCE", 6), ("OPEN_LANE", 6), ("CHECK_DATA", 12)],
)
def test_windows_by_action(action: str, window: int) -> None:
    rows = list_labels(replay(" ".join(["ACT"] * (window + 1)), action=action), window + 1, action)
    assert rows == ["NEW", *["WINDOW"] * (window - 1), "ONGOING"]


def test_flapping_keeps_a_reopening_back_for_two_windows() -> None:
    """The third opening is at tick 6; the last notice was at tick 3."""
    said = "ACT CLEAR CLEAR ACT CLEAR CLEAR ACT ACT ACT ACT"
    assert list_labels(replay(said), 10)[6:] == ["FLAPPING", "FLAPPING", "FLAPPING", "NEW"]


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [("ACT", [*["WINDOW"] * 5, "ONGOING"]), ("CLEAR", [*["CLEARING"] * 5, "CLEARED"]), ("EMERGENCY", None)],
)
def test_flapping_doubles_the_window_and_needs_six_clear_ticks(verdict: str, expected: list[str] | None) -> None:
    """Tick 0 sent the third opening; an emergency knows no window."""
    before = buffers_frames.make_alerts({"openings": [make_tick(-3), make_tick(-1), make_tick(0)]})
    rows = alert_suppression.replay(make_ticks(f"- {' '.join([verdict] * 6)}"), before, policy=POLICY)
    assert list_labels(rows, 7)[1:] == (expected or ["ONGOING(ESCALATED)", *["ONGOING"] * 5])


def test_an_opening_of_60_minutes_ago_does_not_count() -> None:
    before = buffers_frames.make_alerts({"openings": [make_tick(-11), make_tick(-1), make_tick(0)]})
    rows = alert_suppression.replay(make_ticks("- CLEAR CLEAR"), before, policy=POLICY)
    assert list_labels(rows, 3)[1:] == ["CLEARING", "CLEARED"]
    assert rows["openings"].to_list() == [[make_tick(-1), make_tick(0)]] * 2


CHANGES: Final = {
    "another action: one problem, sent once it is not at once": (
        "ACT THROTTLE THROTTLE THROTTLE",
        "NEW WINDOW ONGOING(CHANGED) WINDOW",
    ),
    "and it ends once, as one": ("ACT ACT THROTTLE CLEAR CLEAR", "NEW WINDOW ONGOING(CHANGED) CLEARING CLEARED"),
    "back again before it was sent: nothing": ("ACT THROTTLE ACT ACT", "NEW WINDOW WINDOW ONGOING"),
    "two that take turns are sent every other tick": (
        "ACT THROTTLE THROTTLE ACT ACT THROTTLE THROTTLE",
        "NEW WINDOW ONGOING(CHANGED) WINDOW ONGOING(CHANGED) WINDOW ONGOING(CHANGED)",
    ),
    "a warning requests nothing": ("THROTTLE WARN WARN WARN", "NEW HYSTERESIS HYSTERESIS HYSTERESIS"),
    "worse comes first": ("ACT THROTTLE_EMERGENCY", "NEW ONGOING(ESCALATED)"),
    "another action soon after the end: new": ("ACT CLEAR CLEAR THROTTLE", "NEW CLEARING CLEARED NEW"),
}


@pytest.mark.parametrize(("said", "expected"), CHANGES.values(), ids=CHANGES)
def test_an_action_that_changes_is_one_problem(said: str, expected: str) -> None:
    rows = replay(said)
    assert list_labels(rows, len(said.split()), None) == expected.split()


def test_what_ends_is_what_the_floor_was_notified_of() -> None:
    rows = replay("ACT ACT THROTTLE ACT CLEAR CLEAR")
    assert rows.select("action", "notified_action").rows()[-3:] == [
        ("MOVE_STAFF", "THROTTLE"),
        ("THROTTLE", "THROTTLE"),
        ("THROTTLE", "THROTTLE"),
    ]


def test_another_direction_of_the_unit_is_another_matter() -> None:
    starving = {"direction": "STARVATION", "verdict": "CLEAR", "action": None, "snapshot_ts": make_tick(1)}
    rows = alert_suppression.replay(
        buffers_frames.make_recommendations({}, {"snapshot_ts": make_tick(1)}, starving), NOTHING, policy=POLICY
    )
    assert list_labels(rows, 2) == ["NEW", "WINDOW"]


@pytest.mark.parametrize(
    ("unit_type", "direction", "action"),
    [
        ("TOTAL", "OVERFLOW", "MOVE_STAFF"),
        ("INDUCT", "OVERFLOW", "THROTTLE"),
        ("PACK", "OVERFLOW", "REBALANCE"),
        ("LANE", "OVERFLOW", "REBALANCE"),
        ("TOTAL", "DATA", "CHECK_DATA"),
    ],
)
def test_an_alarm_without_an_action_is_sent_under_the_usual_one(unit_type: str, direction: str, action: str) -> None:
    row = {"unit_type": unit_type, "direction": direction, "action": None, "verdict": "EMERGENCY"}
    rows = alert_suppression.compute_alerts(
        buffers_frames.make_recommendations(row), NOTHING, snapshot_ts=make_tick(0), policy=POLICY
    )
    assert rows.select("action", "label").rows() == [(action, "NEW")]


def test_state_rides_on_the_rows() -> None:
    rows = replay("OVERRIDDEN ACT UNKNOWN EMERGENCY CLEAR CLEAR")
    state = rows.select("is_open", "last_notified_ts", "peak_notified_severity", "clear_count", "seq").rows()
    assert state == [
        (True, None, None, 0, 0),
        (True, make_tick(1), "ACT", 0, 1),
        (True, make_tick(1), "ACT", 0, 1),
        (True, make_tick(3), "EMERGENCY", 0, 2),
        (True, make_tick(3), "EMERGENCY", 1, 2),
        (False, make_tick(3), "EMERGENCY", 2, 3),
    ]
    assert rows["opened_ts"].unique().to_list() == [make_tick(0)]
    assert rows["episode"].n_unique() == 1
    assert rows["unknown_since_ts"].to_list() == [None, None, make_tick(2), None, None, None]
    assert rows["severity"].to_list() == ["ACT", "ACT", None, "EMERGENCY", None, None]


def test_an_episode_that_was_not_sent_ends_with_seq_0_which_is_not_sent() -> None:
    last = replay("OVERRIDDEN CLEAR CLEAR").row(-1, named=True)
    assert (last["label"], last["seq"]) == ("CLEARED", 0)


def test_episodes_are_never_numbered_twice_though_history_is_forgotten() -> None:
    """In every hour of ten there is one alert; each is made without any history."""
    recommended = [buffers_frames.make_recommendations({"snapshot_ts": make_tick(13 * hour)}) for hour in range(10)]
    numbers = [
        alert_suppression.compute_alerts(rows, NOTHING, snapshot_ts=rows["snapshot_ts"][0], policy=POLICY)["episode"][0]
        for rows in recommended
    ]
    assert sorted(set(numbers)) == numbers


def test_every_episode_has_a_number_of_its_own() -> None:
    numbers = replay("ACT CLEAR CLEAR ACT CLEAR CLEAR ACT")["episode"].to_list()
    assert [number - numbers[0] for number in numbers] == [0, 0, 0, 1, 1, 1, 2]


def test_what_a_replayed_tick_had_said_before_is_forgotten() -> None:
    """At first it had requested a throttle."""
    stale = alert_suppression.replay(make_ticks("THROTTLE"), NOTHING, policy=POLICY)
    rows = alert_suppression.replay(make_ticks("ACT ACT"), stale, policy=POLICY)
    assert list_labels(rows, 2) == ["NEW", "WINDOW"]
    assert list_labels(rows, 2, "THROTTLE") == [".", "."]


def test_a_late_tick_that_opens_an_episode_earlier_keeps_its_number() -> None:
    """So the notice that was already sent for its later opening is not sent again."""
    in_time, late = make_ticks("- CLEAR ACT"), make_ticks("- ACT ACT")
    first, second = (alert_suppression.replay(rows, NOTHING, policy=POLICY) for rows in (in_time, late))
    assert first.select("episode", "seq").row(0) == second.select("episode", "seq").row(0)


def test_a_unit_without_a_row_is_filed_under_its_warehouses_operating_day() -> None:
    day = make_tick(0).date().replace(day=15)
    other = buffers_frames.make_recommendations({**OTHER, "snapshot_ts": make_tick(1), "ship_date": day})
    rows = alert_suppression.compute_alerts(
        other, buffers_frames.make_alerts({}), snapshot_ts=make_tick(1), policy=POLICY
    )
    assert rows.select("unit_id", "ship_date", "reason").rows() == [("W1_PICK_TOTAL", day, "DATA_STALE")]


def test_without_any_row_of_its_warehouse_a_unit_stays_where_it_was() -> None:
    nothing = schema.RECOMMENDATIONS.make_empty().collect()
    rows = alert_suppression.compute_alerts(
        nothing, buffers_frames.make_alerts({}), snapshot_ts=make_tick(1), policy=POLICY
    )
    schema.ALERTS.validate(rows)
    assert rows.select("warehouse", "ship_date", "reason").rows() == [("W1", make_tick(0).date(), "DATA_STALE")]


def test_rows_of_the_tick_and_of_later_ones_are_not_looked_at() -> None:
    later = buffers_frames.make_alerts({}, {"snapshot_ts": make_tick(3), "label": "ONGOING"})
    rows = alert_suppression.compute_alerts(
        buffers_frames.make_recommendations({}), later, snapshot_ts=make_tick(0), policy=POLICY
    )
    assert rows["label"].to_list() == ["NEW"]


def test_the_policy_decides() -> None:
    policy = replace(POLICY, suppression=replace(Suppression(), move_staff=1, clear_ticks=1))
    rows = alert_suppression.replay(make_ticks("ACT ACT CLEAR"), NOTHING, policy=policy)
    assert list_labels(rows, 3) == ["NEW", "ONGOING", "CLEARED"]
    assert rows["policy_version"].unique().to_list() == [policy.version]


def test_nothing_to_replay() -> None:
    nothing = schema.RECOMMENDATIONS.make_empty().collect()
    assert alert_suppression.replay(nothing, buffers_frames.make_alerts({}), policy=POLICY).equals(NOTHING)
