"""What people stop, and for how long. Proves decision 0302."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules import alert_suppression
from fillrate_assets.buffers.rules.silences import join_silences, list_occurrences, select_controls, select_in_force
from fillrate_assets_tests.buffers.rules.test_alert_suppression import list_labels, make_ticks
from fillrate_assets_tests.factories.buffers_frames import (
    POLICY,
    Row,
    make_acknowledgements,
    make_silences,
    make_tick,
    make_units,
)

ZONES: Final = {"W1": "America/Chicago"}
NO_ALERTS: Final = schema.ALERTS.make_empty().collect()
NO_ONE: Final = make_acknowledgements()
NO_SILENCE: Final = make_silences()
SNOOZED: Final = make_silences({})
MAINTAINED: Final = make_silences({"kind": "MAINTENANCE"})
FIRST: Final = int(
    alert_suppression.compute_alerts(make_ticks("ACT"), NO_ALERTS, snapshot_ts=make_tick(0), policy=POLICY)["episode"][
        0
    ]
)
KNOWN: Final = make_acknowledgements({"episode": FIRST})


def replay(said: str, known: pl.DataFrame, silences: pl.DataFrame, **columns: Any) -> pl.DataFrame:  # noqa: ANN401
    """Compute ticks in their order, each with what it obeys."""
    made = NO_ALERTS
    for (at,), rows in make_ticks(said, **columns).sort("snapshot_ts").group_by("snapshot_ts", maintain_order=True):
        assert isinstance(at, datetime)
        controls = select_controls(known, silences, ZONES, at)
        alerts = alert_suppression.compute_alerts(rows, made, snapshot_ts=at, policy=POLICY, controls=controls)
        made = pl.concat([made, alerts])
    schema.ALERTS.validate(made)
    return made


@pytest.mark.parametrize(
    ("said", "known", "silences", "expected"),
    [
        # An acknowledgement stops repeats for their window from then on.
        ("ACT ACT ACT ACT ACT ACT", KNOWN, NO_SILENCE, "NEW WINDOW WINDOW ACKNOWLEDGED ONGOING WINDOW"),
        ("ACT ACT EMERGENCY", KNOWN, NO_SILENCE, "NEW WINDOW ONGOING(ESCALATED)"),
        ("EMERGENCY EMERGENCY EMERGENCY", KNOWN, NO_SILENCE, "NEW ONGOING ONGOING"),
        ("ACT CLEAR CLEAR ACT", KNOWN, NO_SILENCE, "NEW CLEARING CLEARED NEW"),
        # What is worse than what was acknowledged is not.
        (
            "ACT ACT ACT ACT",
            make_acknowledgements({"episode": FIRST, "severity": "WARN"}),
            NO_SILENCE,
            "NEW WINDOW WINDOW ONGOING",
        ),
        ("ACT ACT ACT ACT", make_acknowledgements({"episode": FIRST + 1}), NO_SILENCE, "NEW WINDOW WINDOW ONGOING"),
        # A snooze stops what is no emergency; the problem is new once it is over.
        ("ACT ACT EMERGENCY ACT", NO_ONE, SNOOZED, "SNOOZED SNOOZED NEW SNOOZED"),
        ("ACT ACT", NO_ONE, make_silences({"to_ts": make_tick(1)}), "SNOOZED NEW"),
        ("ACT ACT", NO_ONE, make_silences({"ended_at": make_tick(1), "ended_by": "Kim"}), "SNOOZED NEW"),
        ("ACT ACT ACT ACT", NO_ONE, make_silences({"created_at": make_tick(2)}), "NEW WINDOW SNOOZED SNOOZED"),
        ("ACT CLEAR CLEAR", NO_ONE, make_silences({"created_at": make_tick(1)}), "NEW CLEARING CLEARED"),
        ("ACT CLEAR CLEAR", NO_ONE, SNOOZED, "SNOOZED CLEARING CLEARED"),
        # Maintenance stops an emergency as well.
        ("EMERGENCY EMERGENCY", NO_ONE, MAINTAINED, "MAINTENANCE MAINTENANCE"),
        (
            "EMERGENCY ACT",
            NO_ONE,
            pl.concat([SNOOZED, MAINTAINED.with_columns(silence_id=pl.lit("M"))]),
            "MAINTENANCE MAINTENANCE",
        ),
    ],
)
def test_what_is_sent_of_what_people_stopped(
    said: str, known: pl.DataFrame, silences: pl.DataFrame, expected: str
) -> None:
    assert list_labels(replay(said, known, silences), len(said.split())) == expected.split()


@pytest.mark.parametrize(
    ("scope", "units"),
    [
        ({"unit_id": "*"}, ["W1_PACK_L1", "W1_PICK_TOTAL"]),
        ({"unit_id": "*", "pool": "PACK"}, ["W1_PACK_L1"]),
        ({"pool": "PICK"}, ["W1_PICK_TOTAL"]),
        ({}, ["W1_PICK_TOTAL"]),
        ({"warehouse": "W3", "unit_id": "*"}, []),
    ],
)
def test_a_silence_is_of_a_warehouse_a_pool_or_a_unit(scope: Row, units: list[str]) -> None:
    rows = make_units({}, {"unit_id": "W1_PACK_L1"}, {"unit_id": "W2_PICK_TOTAL"})
    found = join_silences(rows, select_in_force(make_silences(scope), ZONES, make_tick(0)))
    assert sorted(found["unit_id"]) == units


WEEKLY: Final = {"to_ts": None, "from_ts": make_tick(-30000), "created_at": make_tick(-30000), "weekdays": "6,7"}


@pytest.mark.parametrize(
    ("starts", "ends", "since", "until", "expected"),
    [
        # An ordinary Saturday in March, by Chicago's clock.
        (time(8), time(10), "2026-03-14T00:00", "2026-03-15T00:00", ["03-14T13:00 03-14T15:00"]),
        # Over midnight: it began the day before.
        (time(22), time(6), "2026-03-14T06:00", "2026-03-14T12:00", []),
        (time(22), time(6), "2026-03-15T06:00", "2026-03-15T12:00", ["03-15T03:00 03-15T11:00"]),
        # A whole day.
        (time(0), time(0), "2026-03-14T12:00", "2026-03-14T13:00", ["03-14T05:00 03-15T05:00"]),
        # 8 March: the clock goes from 2:00 to 3:00.
        (time(1), time(4), "2026-03-08T06:30", "2026-03-09T00:00", ["03-08T07:00 03-08T09:00"]),
        (time(1, 30), time(2, 30), "2026-03-08T06:30", "2026-03-09T00:00", ["03-08T07:30 03-08T08:30"]),
        # 1 November: the hour from 1:00 comes twice.
        (time(0, 30), time(3), "2026-11-01T05:00", "2026-11-02T00:00", ["11-01T05:30 11-01T09:00"]),
        (time(1), time(1, 30), "2026-11-01T05:00", "2026-11-02T00:00", ["11-01T06:00 11-01T06:30"]),
    ],
)
def test_a_weekly_silence_goes_by_the_warehouses_own_clock(
    starts: time, ends: time, since: str, until: str, expected: list[str]
) -> None:
    row = {**WEEKLY, "starts": starts, "ends": ends}
    span = [datetime.fromisoformat(each).replace(tzinfo=UTC) for each in (since, until)]
    found = list_occurrences(row, ZoneInfo(ZONES["W1"]), span[0], span[1])
    assert [f"{begin:%m-%dT%H:%M} {end:%m-%dT%H:%M}" for begin, end in found] == expected


def test_a_weekly_silence_ends_with_its_last_day_and_says_until_when_it_is_on() -> None:
    # Tick 0 is 9:00 there, on a Saturday.
    hours = {**WEEKLY, "starts": time(8), "ends": time(10)}
    last = make_tick(6)
    rows = make_silences(hours, {**hours, "to_ts": last}, {**hours, "to_ts": make_tick(0)}, {**hours, "weekdays": "1"})
    found = select_in_force(rows, ZONES, make_tick(0))
    assert found.select("silence_id", "until_ts").rows() == [("S0", make_tick(12)), ("S1", last)]


verdicts = st.lists(
    st.sampled_from(["WARN", "ACT", "EMERGENCY", "CLEAR", "UNKNOWN", "HYSTERESIS"]), min_size=1, max_size=9
)
moments = st.integers(-2, 9)


@given(verdicts, moments, st.sampled_from(schema.SEVERITIES))
@settings(max_examples=10, deadline=None)
def test_an_acknowledgement_never_stops_what_is_new_worse_or_an_emergency(
    said: list[str], at: int, severity: str
) -> None:
    text, known = (
        " ".join(said),
        make_acknowledgements({"episode": FIRST, "acknowledged_at": make_tick(at), "severity": severity}),
    )
    freely, knowing = (replay(text, each, NO_SILENCE) for each in (NO_ONE, known))
    stopped = knowing.filter(reason="ACKNOWLEDGED")
    rank = schema.SEVERITIES.index
    for row in stopped.iter_rows(named=True):
        assert rank(row["severity"]) <= min(rank(severity), rank(row["peak_notified_severity"]), rank("ACT"))
        assert row["seq"] > 0
        assert timedelta(0) <= row["snapshot_ts"] - make_tick(at) < timedelta(minutes=30)
    assert freely.filter(label="NEW").height == knowing.filter(label="NEW").height


@given(verdicts, moments, st.integers(1, 8), st.none() | st.integers(0, 8))
@settings(max_examples=10, deadline=None)
def test_a_snooze_never_outlives_its_end(said: list[str], begins: int, length: int, ended: int | None) -> None:
    end = begins + (length if ended is None else min(ended, length))
    span = {"created_at": make_tick(begins), "from_ts": make_tick(begins), "to_ts": make_tick(begins + length)}
    early = {} if ended is None else {"ended_at": make_tick(begins + ended), "ended_by": "Kim"}
    rows = replay(" ".join(said), NO_ONE, make_silences({**span, **early}))
    stopped = rows.filter(reason="SNOOZED")
    assert all(make_tick(begins) <= at < make_tick(end) for at in stopped["snapshot_ts"])
    assert "EMERGENCY" not in set(stopped["severity"])
    inside = rows.filter(pl.col("snapshot_ts") >= make_tick(begins), pl.col("snapshot_ts") < make_tick(end))
    assert not (set(inside.filter(pl.col("label").is_in(["NEW", "ONGOING"]))["severity"]) - {"EMERGENCY"})
