"""What no one acknowledges goes to who is on call, and what the schedule lacks. Proves decision 0303."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import polars as pl
import pytest

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules import escalation, on_call
from fillrate_assets_tests.factories.buffers_frames import (
    POLICY,
    Row,
    make_acknowledgements,
    make_alerts,
    make_notices,
    make_on_call,
    make_recommendations,
    make_tick,
)

KEY: Final = "W1_PICK_TOTAL.OVERFLOW.1"
W1: Final = {"warehouse": "W1", "channel": "slack:w1", "person": "Ana"}
CHI: Final = {"dc": "CHI", "channel": "slack:chi", "person": "Lee"}
STEPS: Final = make_on_call(W1, CHI, {})
NO_ONE: Final = make_acknowledgements()
SENT: Final = make_notices({})


def escalate(
    number: int,
    *,
    known: pl.DataFrame = NO_ONE,
    people: pl.DataFrame = STEPS,
    sent: pl.DataFrame = SENT,
    **row: Any,  # noqa: ANN401 - a column has any type
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Escalate at a tick what was sent at tick 0, and is suppressed by its window now."""
    at = {"snapshot_ts": make_tick(number)}
    alerts = make_alerts({"label": "SUPPRESSED", "reason": "WINDOW", **at, **row})
    found, lost = escalation.escalate(
        alerts, make_recommendations(at), people, known, sent, now=make_tick(number), policy=POLICY
    )
    schema.NOTICES.validate(found)
    schema.UNDELIVERED_NOTICES.validate(lost)
    return found, lost


@pytest.mark.parametrize(
    ("number", "given", "expected"),
    [
        (2, {}, []),
        (3, {}, [(1, "slack:w1")]),
        (6, {}, [(1, "slack:w1"), (2, "slack:chi")]),
        (30, {}, [(1, "slack:w1"), (2, "slack:chi"), (3, "slack:kim")]),
        # A scope without anyone takes no step.
        (3, {"people": make_on_call({})}, [(1, "slack:kim")]),
        (3, {"people": make_on_call({**W1, "to_ts": make_tick(3)}, CHI)}, [(1, "slack:chi")]),
        (3, {"people": make_on_call({**W1, "from_ts": make_tick(4)}, CHI)}, [(1, "slack:chi")]),
        (
            3,
            {"people": make_on_call(W1, {**W1, "channel": "slack:two", "person": "Bo"})},
            [(1, "slack:two"), (1, "slack:w1")],
        ),
        (3, {"people": make_on_call({"warehouse": "W2"}, {"dc": "DC02"})}, []),
        (3, {"people": make_on_call()}, []),
        # Someone knows: of what is as bad.
        (3, {"known": make_acknowledgements({})}, []),
        (3, {"known": make_acknowledgements({"severity": "WARN"})}, [(1, "slack:w1")]),
        (3, {"known": make_acknowledgements({"episode": 2})}, [(1, "slack:w1")]),
        # It has got worse since; from then on it counts anew.
        (3, {"known": make_acknowledgements({}), "severity": "EMERGENCY", "label": "ONGOING", "reason": None}, []),
        # It needs no action now, or people stopped it.
        (3, {"reason": "HYSTERESIS", "severity": None}, []),
        (3, {"reason": "SNOOZED"}, []),
        (3, {"reason": "SUBSUMED_BY"}, []),
        (3, {"label": "CLEARED", "reason": None, "is_open": False}, []),
        (3, {"severity": "WARN"}, []),
        # It was never sent.
        (3, {"sent": make_notices()}, []),
    ],
)
def test_each_step_goes_to_who_is_on_call_in_a_wider_scope(
    number: int, given: dict[str, Any], expected: list[tuple[int, str]]
) -> None:
    found, _ = escalate(number, **given)
    steps = [(f"{KEY}.unacknowledged{step}", channel) for step, channel in expected]
    assert found.select("notice_id", "channel").rows() == steps
    assert set(found["reason"]) <= {"UNACKNOWLEDGED"}


def test_what_gets_worse_after_an_acknowledgement_is_escalated_from_then_on() -> None:
    worse = make_notices({}, {"notice_id": "N2", "severity": "EMERGENCY", "seq": 2, "snapshot_ts": make_tick(4)})
    given: dict[str, Any] = {
        "known": make_acknowledgements({}),
        "sent": worse,
        "severity": "EMERGENCY",
        "label": "ONGOING",
    }
    counts = [escalate(number, reason=None, **given)[0].height for number in (4, 6, 7, 10)]
    assert counts == [0, 0, 1, 2]


def test_a_step_is_sent_once() -> None:
    first, _ = escalate(3)
    sent = pl.concat([SENT, first])
    assert [escalate(number, sent=sent)[0].height for number in (3, 4, 6)] == [0, 0, 1]


def test_the_notice_says_how_long_and_who() -> None:
    (row,) = escalate(3)[0].iter_rows(named=True)
    assert row["explanation"] == "Not acknowledged for 15 min; on call: Ana. PICK TOTAL: 94.0 % full."
    assert (row["quantity"], row["label"], row["rec_id"]) == (4.0, "ONGOING", f"{KEY}.1")


def test_where_no_one_is_on_call_it_is_said_once() -> None:
    people = make_on_call({"warehouse": "W2"})
    _, lost = escalate(9, people=people)
    assert lost.select("notice_id", "problem").rows() == [
        (f"{KEY}.unacknowledged1", "No one has acknowledged it, and no one is on call for it: add a row to on_call")
    ]


def test_a_policy_may_escalate_nothing() -> None:
    policy = replace(POLICY, suppression=replace(POLICY.suppression, acknowledge_ticks=0))
    at = {"snapshot_ts": make_tick(9)}
    found, lost = escalation.escalate(
        make_alerts(at), make_recommendations(at), STEPS, NO_ONE, SENT, now=make_tick(9), policy=policy
    )
    assert (found.height, lost.height) == (0, 0)


# --- the schedule in words


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([{"to_ts": None}], []),
        ([], ["No one is on call from Sat 14 Mar 14:00 to Sat 14 Mar 16:00 UTC."]),
        ([{"to_ts": make_tick(6)}], ["No one is on call from Sat 14 Mar 14:30 to Sat 14 Mar 16:00 UTC."]),
        (
            [{"to_ts": make_tick(6)}, {**CHI, "from_ts": make_tick(12), "to_ts": make_tick(24)}],
            ["No one is on call from Sat 14 Mar 14:30 to Sat 14 Mar 15:00 UTC."],
        ),
        # Of different scopes, the narrow one comes first.
        ([{}, CHI], []),
        (
            [{}, {"channel": "slack:lee", "person": "Lee", "from_ts": make_tick(12)}],
            ["Kim and Lee share it from Sat 14 Mar 15:00 to Sat 14 Mar 16:00 UTC: each is notified."],
        ),
    ],
)
def test_gaps_and_overlaps_are_said_in_words(rows: list[Row], expected: list[str]) -> None:
    mine = on_call.select_rows(make_on_call(*rows), "CHI", "W1")
    assert list(on_call.list_problems(mine, make_tick(0), make_tick(24))) == expected


def test_the_schedule_of_a_warehouse_is_its_own_then_its_dcs_then_everyones() -> None:
    rows = make_on_call({}, CHI, W1, {"warehouse": "W2"}, {"dc": "DC02"})
    assert on_call.select_rows(rows, "CHI", "W1")["person"].to_list() == ["Ana", "Lee", "Kim"]
