"""What the floor answers, how right the alerts were, and when a challenger takes over."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules import scorecard
from fillrate_assets.buffers.rules.policy import Promotion
from fillrate_assets.buffers.rules.scorecard import PromotionEvidence
from fillrate_assets_tests.factories import buffers_frames
from fillrate_assets_tests.factories.buffers_frames import EPISODE_KEY, TICK, Row, make_tick

PROMOTION: Final = Promotion(resamples=200)
ANY_ANSWER: Final = replace(PROMOTION, min_rollback_answers=1)
MISSED: Final = {"answer": "MISSED_PROBLEM", "episode_key": None}


def make_answers(*said: tuple[str, str, float]) -> pl.DataFrame:
    """Make answers to one episode: who, what, at which tick."""
    rows = [{"responder": who, "answer": what, "answered_at": make_tick(when)} for who, what, when in said]
    return buffers_frames.make_feedback(*rows)


# --- what was answered

MAJORITIES: Final[dict[str, tuple[list[tuple[str, str, float]], tuple[int, bool | None, bool | None]]]] = {
    "right": ([("kim", "CORRECT", 1)], (1, True, True)),
    "no problem": ([("kim", "NO_PROBLEM", 1)], (1, False, False)),
    "wrong action": ([("kim", "WRONG_ACTION", 1)], (1, True, False)),
    "wrong quantity": ([("kim", "WRONG_QTY", 1)], (1, True, False)),
    "too late: there was a problem": ([("kim", "TOO_LATE", 1)], (1, True, True)),
    "already known: there was a problem": ([("kim", "ALREADY_KNOWN", 1)], (1, True, True)),
    "two against one": (
        [("kim", "CORRECT", 1), ("lee", "NO_PROBLEM", 1), ("ana", "NO_PROBLEM", 1)],
        (3, False, False),
    ),
    "a tie is no majority": ([("kim", "CORRECT", 1), ("lee", "NO_PROBLEM", 1)], (2, None, None)),
    "whether there was a problem comes first": (
        [
            *[("kim", "NO_PROBLEM", 1), ("lee", "NO_PROBLEM", 1)],
            *[("ana", "CORRECT", 1), ("bob", "WRONG_QTY", 1), ("eve", "TOO_LATE", 1)],
        ],
        (5, True, True),
    ),
    "right and wrong tie: not right": ([("kim", "CORRECT", 1), ("lee", "WRONG_QTY", 1)], (2, True, False)),
    "the last answer of a responder counts": ([("kim", "NO_PROBLEM", 1), ("kim", "CORRECT", 2)], (1, True, True)),
    "the last, in whatever order they are stored": ([("kim", "CORRECT", 2), ("kim", "NO_PROBLEM", 1)], (1, True, True)),
}


@pytest.mark.parametrize(("said", "expected"), MAJORITIES.values(), ids=MAJORITIES)
def test_the_majority_of_an_episode(
    said: list[tuple[str, str, float]], expected: tuple[int, bool | None, bool | None]
) -> None:
    assert scorecard.compute_majorities(make_answers(*said)).rows() == [(EPISODE_KEY, *expected)]


def test_all_notices_of_an_episode_are_answered_at_once() -> None:
    said = buffers_frames.make_feedback(
        {"rec_id": "R1", "answer": "NO_PROBLEM"}, {"rec_id": "R2", "answered_at": make_tick(2)}
    )
    assert scorecard.compute_majorities(said).rows() == [(EPISODE_KEY, 1, True, True)]


def test_missed_problems_are_counted_once_until_taken_back() -> None:
    said = buffers_frames.make_feedback(
        {**MISSED, "rec_id": "M1"},
        {**MISSED, "rec_id": "M1", "responder": "lee"},
        {**MISSED, "rec_id": "M2"},
        {"rec_id": "M2", "episode_key": None, "answer": "NO_PROBLEM", "answered_at": make_tick(2)},
        {**MISSED, "rec_id": "M3", "direction": "DATA"},
    )
    assert scorecard.select_missed_problems(said)["rec_id"].to_list() == ["M1"]
    assert scorecard.compute_majorities(said).is_empty()


def test_an_audit_looks_at_silent_units_alone_and_one_seed_gives_one_sample() -> None:
    units = [f"W1_PACK_L{number}" for number in range(20)]
    alerts = buffers_frames.make_alerts(
        {"unit_id": "W1_PACK_L3"}, {"unit_id": "W1_PACK_L4", "label": "SUPPRESSED", "seq": 0}
    )
    sample = scorecard.sample_silent_units(units, alerts, count=5, seed=7)
    assert sample == scorecard.sample_silent_units(units[::-1], alerts, count=5, seed=7)
    assert len(set(sample)) == 5
    assert set(scorecard.sample_silent_units(units, alerts, count=50, seed=7)) == set(units) - {"W1_PACK_L3"}
    assert len({tuple(scorecard.sample_silent_units(units, alerts, count=5, seed=seed)) for seed in range(5)}) > 1


# --- the scorecard


def test_the_scorecard() -> None:
    """Five episodes, of which three are answered with a majority."""
    said = {1: ["CORRECT"], 2: ["WRONG_QTY"], 3: ["NO_PROBLEM"], 4: ["CORRECT", "NO_PROBLEM"], 5: []}
    alerts = buffers_frames.make_alerts(
        *[{"episode": episode, "snapshot_ts": make_tick(10 * episode)} for episode in said],
        {"episode": 1, "label": "ONGOING", "seq": 2, "snapshot_ts": make_tick(13), "policy_version": "later"},
    )
    given = [
        {
            "episode_key": f"W1_PICK_TOTAL.OVERFLOW.{episode}",
            "answer": answer,
            "responder": f"{number}",
            "rec_id": f"R{episode}",
        }
        for episode, answers in said.items()
        for number, answer in enumerate(answers)
    ]
    rows = scorecard.compute_scorecard(alerts, buffers_frames.make_feedback(*given, {**MISSED, "rec_id": "M1"}))
    schema.SCORECARD.validate(rows)
    (row,) = rows.iter_rows(named=True)
    counts = ("episodes", "answered", "true_positives", "false_positives", "wrong_actions", "missed")
    assert [row[name] for name in counts] == [5, 3, 2, 1, 1, 1]
    assert row["detection_precision"] == pytest.approx(2 / 3)
    assert row["action_precision"] == pytest.approx(1 / 3)
    assert row["response_rate"] == pytest.approx(3 / 5)
    assert row["detection_low"] < row["detection_precision"] < row["detection_high"]
    assert row["recall"] == pytest.approx(2 / 3)
    assert (row["recall_low"], row["recall_high"]) == (row["detection_low"], row["detection_high"])


@pytest.mark.parametrize(
    "alert",
    [
        {"severity": "WARN"},
        {"direction": "DATA", "action": "CHECK_DATA"},
        {"label": "SUPPRESSED", "reason": "WINDOW"},
        {"label": "CLEARED", "severity": None},
    ],
)
def test_what_production_does_not_send_as_a_problem_is_not_scored(alert: Row) -> None:
    assert scorecard.compute_scorecard(buffers_frames.make_alerts(alert), buffers_frames.make_feedback({})).is_empty()


def test_the_scorecard_separates_warehouses_types_and_versions() -> None:
    units: list[Row] = [
        {},
        {"warehouse": "W2", "unit_id": "W2_PICK_TOTAL"},
        {"unit_id": "W1_PACK_L1", "unit_type": "LANE"},
        {"unit_id": "W1_PACK_TOTAL", "policy_version": "v2"},
    ]
    rows = scorecard.compute_scorecard(buffers_frames.make_alerts(*units), buffers_frames.make_feedback())
    assert rows.select("episodes", "answered", "detection_precision", "response_rate").rows() == [(1, 0, None, 0.0)] * 4


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # R. G. Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17 (1998),
    # table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_wilson_interval(successes: int, trials: int, low: float, high: float) -> None:
    ends = scorecard.derive_wilson_interval(pl.col("successes"), pl.col("trials"))
    found = pl.DataFrame({"successes": [successes], "trials": [trials]}).select(low=ends[0], high=ends[1])
    assert found.row(0) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 10_000), st.data())
def test_an_interval_holds_its_share_and_lies_within_0_and_1(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    ends = scorecard.derive_wilson_interval(pl.col("successes"), pl.col("trials"))
    low, high = pl.DataFrame({"successes": [successes], "trials": [trials]}).select(low=ends[0], high=ends[1]).row(0)
    assert 0 <= low <= successes / trials + 1e-12
    assert successes / trials - 1e-12 <= high <= 1


# --- champion and challenger


def make_alerts(*events: int, **columns: Any) -> pl.DataFrame:  # noqa: ANN401 - a column has any type
    """Make `ALERTS`: one episode for each event, 10 a day in another unit each, notified at its onset."""
    return buffers_frames.make_alerts(*[{**_make_event(number), **columns} for number in events])


def _make_event(number: int, minutes: float = 0) -> dict[str, Any]:
    onset = TICK + timedelta(days=number // 10, hours=number % 10)
    unit = {"unit_id": f"W1_PACK_L{number % 10}", "unit_type": "LANE", "episode": number, "opened_ts": onset}
    return {**unit, "snapshot_ts": onset + timedelta(minutes=minutes)}


def make_judged(real: range, false: range, missed: range | tuple[()] = ()) -> pl.DataFrame:
    """Make `FEEDBACK` on events: real problems, false alarms, and problems without an alert."""
    rows: list[dict[str, Any]] = []
    for answer, numbers in (("CORRECT", real), ("NO_PROBLEM", false)):
        rows += [
            {
                **{key: _make_event(number)[key] for key in ("unit_id", "unit_type")},
                "rec_id": f"R{number}",
                "answer": answer,
                "episode_key": f"W1_PACK_L{number % 10}.OVERFLOW.{number}",
                "episode_ts": _make_event(number)["opened_ts"],
            }
            for number in numbers
        ]
    for number in missed:
        event = _make_event(number)
        unit = {"unit_id": event["unit_id"], "unit_type": "LANE", "episode_ts": event["opened_ts"]}
        rows.append({**MISSED, **unit, "rec_id": f"M{number}"})
    return buffers_frames.make_feedback(*rows)


def compare(
    champion: pl.DataFrame, challenger: pl.DataFrame, said: pl.DataFrame, *, days: int = 30
) -> PromotionEvidence:
    until = TICK + timedelta(days=days)
    return scorecard.compare_policies(champion, challenger, said, since=TICK, until=until, promotion=PROMOTION, seed=11)


# 240 episodes, every sixth a false alarm of the champion's, and 20 problems that it missed.
FALSE: Final = range(0, 240, 6)
REAL: Final = [number for number in range(240) if number % 6]
SAID: Final = pl.concat(
    [make_judged(range(n, n + 1), range(0)) for n in REAL] + [make_judged(range(0), FALSE, range(240, 260))]
)
CHAMPION: Final = make_alerts(*range(240))
BETTER: Final = make_alerts(*REAL, *range(240, 250))
"""No false alarm, and half of what the champion missed."""


def test_a_better_challenger_is_promoted_on_evidence() -> None:
    evidence = compare(CHAMPION, BETTER, SAID)
    assert evidence.objections == ()
    assert evidence.promoted
    assert (evidence.days, evidence.episodes, evidence.missed_emergencies) == (30, 240, 0)
    assert evidence.champion_f1 == pytest.approx(2 * 200 / (2 * 200 + 40 + 20))
    assert evidence.challenger_f1 == pytest.approx(2 * 210 / (2 * 210 + 10))
    assert 0 < evidence.difference_low < evidence.challenger_f1 - evidence.champion_f1 < evidence.difference_high
    assert (evidence.champion_messages, evidence.challenger_messages) == (240, 210)
    assert evidence.champion_precision_low == pytest.approx(0.7810, abs=1e-3)


def test_one_seed_gives_one_answer_whatever_the_order_of_rows() -> None:
    shuffled = [frame.sample(fraction=1, shuffle=True, seed=3) for frame in (CHAMPION, BETTER, SAID)]
    assert compare(CHAMPION, BETTER, SAID) == compare(*shuffled)


def test_the_champion_is_no_better_than_itself() -> None:
    evidence = compare(CHAMPION, CHAMPION, SAID)
    assert (evidence.difference_low, evidence.difference_high, evidence.worst_loss) == (0, 0, 0)
    assert evidence.objections == ("F1 may be no better: +0.000 to +0.000",)


def test_to_send_nothing_where_there_was_nothing_is_right() -> None:
    evidence = compare(make_alerts(3), make_alerts(), make_judged(range(0), range(3, 4)))
    assert (evidence.champion_f1, evidence.challenger_f1) == (0, 1)


def test_without_answers_nothing_is_promoted() -> None:
    evidence = compare(CHAMPION, BETTER, buffers_frames.make_feedback())
    assert evidence.worst_unit_type is None
    assert evidence.champion_precision_low is None
    assert [words.split(" ", 1)[1] for words in evidence.objections] == [
        "labelled episodes are less than 200",
        "may be no better: +0.000 to +0.000",
    ]


GOOD: Final = PromotionEvidence(
    promotion=PROMOTION,
    since=TICK,
    until=TICK + timedelta(days=14),
    seed=1,
    episodes=200,
    champion_f1=0.8,
    challenger_f1=0.9,
    difference_low=0.01,
    difference_high=0.2,
    worst_unit_type="LANE",
    worst_loss=0.90 - 0.85,
    missed_emergencies=0,
    champion_messages=100,
    challenger_messages=110,
    champion_precision_low=0.8,
)
OBJECTIONS: Final[list[tuple[dict[str, Any], str]]] = [
    ({"until": TICK + timedelta(days=14, minutes=-5)}, "13 days are less than 14"),
    ({"episodes": 199}, "199 labelled episodes are less than 200"),
    ({"difference_low": 0.0}, "F1 may be no better: +0.000 to +0.200"),
    ({"worst_loss": 0.0501}, "F1 of LANE is 0.050 worse"),
    ({"missed_emergencies": 1}, "1 emergencies would have been missed"),
    ({"challenger_messages": 111}, "111 messages instead of 100"),
]


def test_each_condition_holds_at_its_limit() -> None:
    assert GOOD.promoted


@pytest.mark.parametrize(("changed", "objection"), OBJECTIONS)
def test_each_condition_objects_alone(changed: dict[str, Any], objection: str) -> None:
    evidence = replace(GOOD, **changed)
    assert evidence.objections == (objection,)
    assert not evidence.promoted


def test_a_unit_type_that_gets_worse_is_found() -> None:
    """Lanes get better; of five TOTAL units the challenger alerts on three."""
    totals = {"unit_type": "TOTAL", "direction": "STARVATION"}
    champion, challenger = (
        pl.concat([make_alerts(*lanes), make_alerts(*numbers, **totals)])
        for lanes, numbers in ((range(240), range(5)), (REAL, range(3)))
    )
    keys = pl.col("episode_key").str.replace("OVERFLOW", "STARVATION")
    said = make_judged(range(5), range(0)).with_columns(
        keys, pl.lit("TOTAL").alias("unit_type"), pl.lit("STARVATION").alias("direction")
    )
    evidence = compare(champion, challenger, pl.concat([SAID, said]))
    assert evidence.worst_unit_type == "TOTAL"
    assert evidence.worst_loss == pytest.approx(1 - 2 * 3 / (2 * 3 + 2))


@pytest.mark.parametrize(
    ("minutes", "alerted"), [(-30.5, False), (-30, True), (-5, True), (0, True), (5, True), (5.5, False)]
)
def test_an_alert_counts_from_30_minutes_before_the_onset_to_5_after(minutes: float, *, alerted: bool) -> None:
    challenger = buffers_frames.make_alerts(_make_event(3, minutes))
    events = scorecard.label_events(make_alerts(3), challenger, make_judged(range(3, 4), range(0)), PROMOTION)
    schema.LABELLED.validate(events)
    assert events.select("real", "champion", "challenger").rows() == [(True, True, alerted)]


@pytest.mark.parametrize(
    "alert",
    [
        {"seq": 0},
        {"is_open": False, "label": "CLEARED"},
        {"peak_notified_severity": "WARN"},
        {"direction": "STARVATION"},
        {"unit_id": "W1_PACK_L9"},
    ],
)
def test_what_was_not_sent_about_the_event_does_not_count(alert: Row) -> None:
    events = scorecard.label_events(
        make_alerts(3), make_alerts(3, **alert), make_judged(range(3, 4), range(0)), PROMOTION
    )
    assert events["challenger"].to_list() == [False]


@pytest.mark.parametrize("answer", ["CORRECT", None, "NO_PROBLEM"])
@pytest.mark.parametrize("alerted", [True, False])
def test_an_emergency_is_missed_unless_sent_or_a_false_alarm(answer: str | None, *, alerted: bool) -> None:
    champion = make_alerts(3, severity="EMERGENCY")
    said = (
        make_judged(range(3, 4), range(0)).with_columns(pl.lit(answer).alias("answer"))
        if answer
        else buffers_frames.make_feedback()
    )
    evidence = compare(champion, make_alerts(3) if alerted else make_alerts(4), said)
    assert evidence.missed_emergencies == (0 if alerted or answer == "NO_PROBLEM" else 1)


def test_what_is_outside_the_trial_does_not_count() -> None:
    assert compare(CHAMPION, BETTER, SAID, days=5).episodes == 50


# --- rollback


@pytest.mark.parametrize(
    ("right", "wrong", "now", "expected"),
    [
        (4, 1, TICK + timedelta(days=6), False),  # 0.8 is not below 0.8
        (3, 1, TICK + timedelta(days=6), True),
        (0, 0, TICK + timedelta(days=6), False),
        (0, 4, TICK + timedelta(days=8), False),  # older than 7 days
    ],
)
def test_a_promoted_challenger_goes_when_it_is_less_precise_than_the_champion_was(
    right: int, wrong: int, now: datetime, *, expected: bool
) -> None:
    said = make_judged(range(right), range(right, right + wrong))
    rolled_back = scorecard.needs_rollback(
        make_alerts(*range(5)), said, precision_low=GOOD.champion_precision_low, promotion=ANY_ANSWER, now=now
    )
    assert rolled_back is expected


@pytest.mark.parametrize(("answers", "expected"), [(19, False), (20, True)])
def test_fewer_than_twenty_answers_roll_nothing_back(answers: int, expected: bool) -> None:  # noqa: FBT001
    assert (
        scorecard.needs_rollback(
            make_alerts(*range(answers)),
            make_judged(range(0), range(answers)),
            precision_low=0.9,
            promotion=Promotion(),
            now=TICK + timedelta(days=6),
        )
        is expected
    )
