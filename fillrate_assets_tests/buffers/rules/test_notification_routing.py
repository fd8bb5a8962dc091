"""Who is notified of what, in which words."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

import polars as pl
import pytest

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.report import notice_text
from fillrate_assets.buffers.report.notice_text import Links
from fillrate_assets.buffers.rules import notification_routing, verdicts
from fillrate_assets.notifications import rendering
from fillrate_assets.notifications.notifiers.slack import render_slack
from fillrate_assets.notifications.notifiers.teams import render_teams
from fillrate_assets.notifications.rendering import Message
from fillrate_assets_tests.factories import buffers_frames
from fillrate_assets_tests.factories.buffers_frames import NO_HISTORY, NO_POOLS, NO_REJECTS, POLICY, Row, make_tick

NONE_SENT: Final = schema.NOTICES.make_empty().collect()
DEFAULT: Final = buffers_frames.make_routes({})
NO_LINKS: Final = Links()
NOW: Final = make_tick(1)
SUPPRESSED: Final = {"label": "SUPPRESSED", "reason": "WINDOW", "snapshot_ts": make_tick(1)}
CLEARED: Final = {"label": "CLEARED", "severity": None, "is_open": False, "seq": 2, "snapshot_ts": make_tick(1)}


def route_alerts(
    *alerts: Row,
    recommendations: pl.DataFrame | None = None,
    routes: pl.DataFrame = DEFAULT,
    sent: pl.DataFrame = NONE_SENT,
    now: datetime = NOW,
    every_label: bool = False,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    rows = buffers_frames.make_alerts(*alerts)
    said = (
        buffers_frames.make_recommendations({}, {"snapshot_ts": make_tick(1)})
        if recommendations is None
        else recommendations
    )
    routed, lost = notification_routing.route_notices(
        rows, said, routes, sent, now=now, policy=POLICY, every_label=every_label
    )
    schema.NOTICES.validate(routed)
    schema.UNDELIVERED_NOTICES.validate(lost)
    return routed, lost


def make_sent(*alerts: Row, routes: pl.DataFrame = DEFAULT) -> pl.DataFrame:
    """Return what the outbox has after these alerts were sent in time."""
    return route_alerts(*alerts, routes=routes)[0]


# --- who is notified of what

NOTIFIED: Final[dict[str, tuple[Row, bool]]] = {
    "new": ({}, True),
    "goes on": ({"label": "ONGOING", "seq": 2}, True),
    "emergency": ({"severity": "EMERGENCY"}, True),
    "warning": ({"severity": "WARN", "peak_notified_severity": "WARN"}, False),
    "suppressed": ({"label": "SUPPRESSED", "reason": "HYSTERESIS"}, False),
    "not notified yet": (
        {"label": "SUPPRESSED", "reason": "SUBSUMED_BY", "seq": 0, "peak_notified_severity": None},
        False,
    ),
    "cleared, never notified": ({**CLEARED, "seq": 0, "peak_notified_severity": None}, False),
}


@pytest.mark.parametrize(("alert", "in_production"), NOTIFIED.values(), ids=NOTIFIED)
def test_production_sends_what_is_to_be_done_and_development_everything(alert: Row, *, in_production: bool) -> None:
    everything = buffers_frames.make_routes({"min_severity": "WARN"})
    assert route_alerts(alert, routes=everything)[0].height == in_production
    assert route_alerts(alert, routes=everything, every_label=True)[0].height == 1


def test_a_healthy_network_sends_nothing() -> None:
    routed, lost = route_alerts()
    assert routed.is_empty()
    assert lost.is_empty()
    assert notice_text.render_messages(routed, buffers_frames.make_warehouses({}), NO_LINKS) == []


@pytest.mark.parametrize(("ticks", "count"), [(0, 1), (2, 1), (2.01, 0), (12, 0)])
def test_nothing_older_than_10_minutes_is_sent(ticks: float, count: int) -> None:
    assert route_alerts({}, now=make_tick(ticks))[0].height == count


def test_what_the_outbox_has_is_not_sent_again() -> None:
    assert route_alerts({}, sent=make_sent({}))[0].is_empty()


def test_a_changed_route_sends_no_old_news_and_all_that_comes_after_it() -> None:
    both = buffers_frames.make_routes({"channel": "a"}, {"channel": "b"})
    sent = make_sent({}, routes=buffers_frames.make_routes({"channel": "a"}))
    assert route_alerts({}, routes=both, sent=sent)[0].is_empty()
    later: Row = {"label": "ONGOING", "seq": 2, "snapshot_ts": make_tick(1)}
    routed, _ = route_alerts({}, later, routes=both, sent=sent)
    assert routed.select("channel", "seq").rows() == [("a", 2), ("b", 2)]


def test_cleared_goes_to_those_who_were_notified_even_if_routes_changed() -> None:
    sent = make_sent({}, routes=buffers_frames.make_routes({"channel": "slack:old"}))
    routed, lost = route_alerts(CLEARED, sent=sent, routes=buffers_frames.make_routes({"channel": "slack:new"}))
    assert routed.select("label", "channel", "severity").rows() == [("CLEARED", "slack:old", "ACT")]
    assert lost.is_empty()


def test_cleared_is_sent_only_if_new_was() -> None:
    assert route_alerts(CLEARED)[0].is_empty()
    assert route_alerts(CLEARED, sent=make_sent({"episode": 2}))[0].is_empty()


def test_what_no_tick_sent_in_time_is_sent_with_the_next() -> None:
    """The tick that made it NEW ran too late: nothing of the episode was sent."""
    routed, _ = route_alerts(SUPPRESSED)
    assert routed.select("label", "reason", "seq").rows() == [("NEW", None, 1)]
    assert route_alerts(SUPPRESSED, sent=routed)[0].is_empty()


@pytest.mark.parametrize("routes", [DEFAULT, buffers_frames.make_routes()], ids=["a route", "no route"])
def test_what_two_ticks_owe_is_sent_once_as_it_is_now(routes: pl.DataFrame) -> None:
    """The tick that made it NEW sent nothing, or no one took it, and it is not ten minutes old at the next one."""
    both = route_alerts({}, SUPPRESSED, routes=routes)
    assert [rows.select("notice_id", "label", "snapshot_ts").rows() for rows in both if rows.height] == [
        [("W1_PICK_TOTAL.OVERFLOW.1.1", "NEW", make_tick(1))]
    ]


def test_a_later_notice_that_no_tick_sent_in_time_goes_on() -> None:
    routed, _ = route_alerts({**SUPPRESSED, "seq": 2}, sent=make_sent({}))
    assert routed.select("label", "seq").rows() == [("ONGOING", 2)]


EVERYTHING: Final = buffers_frames.make_routes({"min_severity": "WARN"})
WARNED: Final[Row] = {"severity": "WARN", "peak_notified_severity": "WARN"}
WORSE: Final[Row] = {"label": "ONGOING", "reason": "ESCALATED", "seq": 2, "snapshot_ts": make_tick(1)}
GONE_ON: Final = ("ONGOING", "ESCALATED", 2)


@pytest.mark.parametrize(
    ("alerts", "every_label", "expected"),
    [
        ((WARNED, WORSE), False, [("NEW", None, 2)]),
        ((WARNED, WORSE), True, [("NEW", None, 1), GONE_ON]),
        ((WORSE,), False, [("NEW", None, 2)]),
        (({}, {**WORSE, "severity": "EMERGENCY"}), False, [("NEW", None, 1), GONE_ON]),
        (({"reason": "HISTORY_GAP"},), False, [("NEW", "HISTORY_GAP", 1)]),
    ],
)
def test_the_first_that_is_sent_of_an_episode_is_new(
    alerts: tuple[Row, ...], expected: list[tuple[str, str | None, int]], *, every_label: bool
) -> None:
    routed, _ = route_alerts(*alerts, routes=EVERYTHING, every_label=every_label)
    assert routed.select("label", "reason", "seq").rows() == expected
    assert route_alerts(*alerts, routes=EVERYTHING, every_label=every_label, sent=routed)[0].is_empty()


def test_what_was_sent_of_an_episode_goes_on() -> None:
    """Development was notified of the warning."""
    routed, _ = route_alerts(WORSE, sent=route_alerts(WARNED, routes=EVERYTHING, every_label=True)[0])
    assert routed.select("label", "reason", "seq").rows() == [GONE_ON]


def test_an_episode_that_began_as_a_warning_is_cleared_for_those_who_were_notified() -> None:
    ended = {**CLEARED, "seq": 3}
    assert route_alerts(ended, sent=make_sent(WARNED))[0].is_empty()
    assert route_alerts(ended, sent=make_sent(WARNED, WORSE))[0].select("label", "seq").rows() == [("CLEARED", 3)]


def test_quantities_are_those_of_the_alerts_own_action() -> None:
    """The unit's action changed: what the new one needs says nothing of the old one."""
    other = buffers_frames.make_recommendations({"action": "THROTTLE"})
    row = {"label": "SUPPRESSED", "reason": "HYSTERESIS", "severity": None}
    routed, _ = route_alerts(row, recommendations=other, every_label=True)
    assert routed.select("quantity", "target_unit", "explanation").rows() == [(None, None, "PICK TOTAL: 94.0 % full.")]


@pytest.mark.parametrize(
    ("throttle", "what"),
    [
        ({"quantity": 700.0}, "Release the throttle step by step: at most 700 packages/hour for now."),
        ({"action": None, "quantity": None}, "Release the throttle."),
    ],
)
def test_a_throttle_that_is_cleared_is_released_as_far_as_the_tick_recommends(throttle: Row, what: str) -> None:
    clear = {"verdict": "CLEAR", "action": "THROTTLE", "quantity_unit": "packages/hour", "snapshot_ts": make_tick(1)}
    said = buffers_frames.make_recommendations({**clear, **throttle})
    sent = make_sent({"action": "THROTTLE"})
    routed, _ = route_alerts({**CLEARED, "action": "THROTTLE"}, recommendations=said, sent=sent)
    (message,) = notice_text.render_messages(routed, buffers_frames.make_warehouses({}), NO_LINKS)
    assert [(entry.heading, entry.what) for entry in message.sections] == [("PICK TOTAL: cleared", what)]


def test_without_a_recommendation_a_notice_has_no_reason() -> None:
    row = {"label": "SUPPRESSED", "reason": "DATA_STALE", "severity": None}
    routed, _ = route_alerts(row, recommendations=schema.RECOMMENDATIONS.make_empty().collect(), every_label=True)
    assert routed["explanation"].to_list() == [None]


def test_ids_name_the_notice_and_what_is_suppressed_has_its_tick_too() -> None:
    routed, _ = route_alerts({}, {**SUPPRESSED, "reason": "HYSTERESIS"}, every_label=True)
    assert routed.select("rec_id", "notice_id").rows() == [
        ("W1_PICK_TOTAL.OVERFLOW.1.1", "W1_PICK_TOTAL.OVERFLOW.1.1"),
        ("W1_PICK_TOTAL.OVERFLOW.1.1", "W1_PICK_TOTAL.OVERFLOW.1.1@20260314T1405Z"),
    ]


# --- routes

ROUTES: Final[dict[str, tuple[list[Row], list[str]]]] = {
    "the default": ([{"channel": "a"}], ["a"]),
    "a warehouse before the default": ([{"channel": "a"}, {"channel": "b", "warehouse": "W1"}], ["b"]),
    "another warehouse": ([{"channel": "a"}, {"channel": "b", "warehouse": "W2"}], ["a"]),
    "a warehouse before a pool": ([{"channel": "a", "pool": "PICK"}, {"channel": "b", "warehouse": "W1"}], ["b"]),
    "a pool before a unit type": ([{"channel": "a", "unit_type": "TOTAL"}, {"channel": "b", "pool": "PICK"}], ["b"]),
    "pool and unit type before the pool": (
        [{"channel": "a", "pool": "PICK"}, {"channel": "b", "pool": "PICK", "unit_type": "TOTAL"}],
        ["b"],
    ),
    "warehouse and unit type before the warehouse": (
        [{"channel": "a", "warehouse": "W1"}, {"channel": "b", "warehouse": "W1", "unit_type": "TOTAL"}],
        ["b"],
    ),
    "equally specific: all": ([{"channel": "a"}, {"channel": "b"}], ["a", "b"]),
    "the same channel twice: once": ([{"channel": "a"}, {"channel": "a", "min_severity": "WARN"}], ["a"]),
    "a more specific row for emergencies alone leaves the rest": (
        [{"channel": "a"}, {"channel": "b", "warehouse": "W1", "min_severity": "EMERGENCY"}],
        ["a"],
    ),
    "not yet": ([{"channel": "a"}, {"channel": "b", "warehouse": "W1", "active_from": make_tick(1.01)}], ["a"]),
    "from now on": ([{"channel": "a"}, {"channel": "b", "warehouse": "W1", "active_from": make_tick(1)}], ["b"]),
    "no longer": ([{"channel": "a"}, {"channel": "b", "warehouse": "W1", "active_to": make_tick(1)}], ["a"]),
    "still": ([{"channel": "a"}, {"channel": "b", "warehouse": "W1", "active_to": make_tick(1.01)}], ["b"]),
}


@pytest.mark.parametrize(("rows", "channels"), ROUTES.values(), ids=ROUTES)
def test_the_most_specific_route_wins(rows: list[Row], channels: list[str]) -> None:
    routed, lost = route_alerts({}, routes=buffers_frames.make_routes(*rows))
    assert routed["channel"].to_list() == channels
    assert lost.is_empty()


@pytest.mark.parametrize(
    "route", [None, {"warehouse": "W2"}, {"min_severity": "EMERGENCY"}, {"active_to": make_tick(0)}]
)
def test_what_no_route_takes_is_undelivered(route: Row | None) -> None:
    routed, lost = route_alerts({}, routes=buffers_frames.make_routes(*([route] if route else [])))
    assert routed.is_empty()
    assert lost.select("notice_id", "warehouse").rows() == [("W1_PICK_TOTAL.OVERFLOW.1.1", "W1")]
    assert "add a row" in lost["problem"][0]


@pytest.mark.parametrize(
    ("route", "there"),
    [
        ({}, True),
        ({"min_severity": "WARN"}, True),
        ({"min_severity": "EMERGENCY"}, False),
        ({"pool": "PICK"}, False),
        ({"active_to": make_tick(0)}, False),
    ],
)
def test_a_default_route_takes_whatever_is_to_act_on(route: Row, *, there: bool) -> None:
    assert notification_routing.has_default_route(buffers_frames.make_routes(route), now=make_tick(0)) is there


UNKNOWN: Final = "slack:flor"


@pytest.mark.parametrize(
    ("rows", "fallback", "channels"),
    [
        ([{"channel": "a"}, {"channel": UNKNOWN, "warehouse": "W1"}], "", ["a"]),
        ([{"channel": "a"}, {"channel": "b", "pool": "PICK"}, {"channel": UNKNOWN, "warehouse": "W1"}], "", ["b"]),
        ([{"channel": UNKNOWN}], "platform", ["platform"]),
        ([{"channel": UNKNOWN}, {"channel": "b", "warehouse": "W1"}], "platform", ["b"]),
        ([{"channel": UNKNOWN}], "", []),
        ([{"channel": "b", "warehouse": "W2"}], "platform", []),
    ],
)
def test_what_goes_to_an_unknown_channel_falls_back_to_the_default(
    rows: list[Row], fallback: str, channels: list[str]
) -> None:
    routes = notification_routing.select_usable_routes(
        buffers_frames.make_routes(*rows), {UNKNOWN}, fallback=fallback, now=NOW
    )
    schema.ALERT_ROUTES.validate(routes)
    assert route_alerts({}, routes=routes)[0]["channel"].to_list() == channels


# --- words


def render_notices(*notices: Row, **columns: Any) -> Message:  # noqa: ANN401 - a column has any type
    rows = [{"notice_id": f"N{number}", **row, **columns} for number, row in enumerate(notices or ({},))]
    (message,) = notice_text.render_messages(
        buffers_frames.make_notices(*rows), buffers_frames.make_warehouses({}), NO_LINKS
    )
    return message


PER_MINUTE: Final = {"quantity_unit": "packages/minute"}
WHAT: Final[dict[str, tuple[Row, str]]] = {
    "move": ({}, "Move 4 associates from INDUCT to PICK until 09:30."),
    "move one": ({"quantity": 1}, "Move 1 associate from INDUCT to PICK until 09:30."),
    "move, how many is not known": (
        {"quantity": None},
        "Move associates from INDUCT to PICK until 09:30 (how many is not known).",
    ),
    "move, nothing else is known": (
        {"quantity": None, "source_unit": None, "target_unit": None, "until_ts": None},
        "Move associates (how many is not known).",
    ),
    "throttle": (
        {"action": "THROTTLE", "quantity": 1250, "quantity_unit": "packages/hour", "source_unit": None},
        "Throttle PICK TOTAL to 1,250 packages/hour until 09:30.",
    ),
    "throttle to nothing": (
        {"action": "THROTTLE", "quantity": 0, "quantity_unit": "packages/hour", "until_ts": None},
        "Throttle INDUCT to 0 packages/hour.",
    ),
    "divert": (
        {"action": "REBALANCE", **PER_MINUTE, "quantity": 12.5, "target_unit": "8.0 to PACK L2, 4.5 to PACK L3"},
        "Divert 12.5 packages/minute from INDUCT until 09:30 to siblings: 8.0 to PACK L2, 4.5 to PACK L3.",
    ),
    "divert one": (
        {"action": "REBALANCE", **PER_MINUTE, "quantity": 1, "until_ts": None, "target_unit": None},
        "Divert 1 package/minute from INDUCT.",
    ),
    "divert nothing": (
        {"action": "REBALANCE", **PER_MINUTE, "quantity": 0, "source_unit": None, "target_unit": None},
        "The measure in force stays.",
    ),
    "divert, how many is not known": (
        {"action": "REBALANCE", "quantity": None, "until_ts": None, "target_unit": None},
        "Divert packages from INDUCT (how many is not known).",
    ),
    "no one is left to move": ({"quantity": 0, "until_ts": None}, "The measure in force stays."),
    "no one is left to move, and why": (
        {"quantity": None, "limited_by": "NO_SURPLUS"},
        "No pool can spare anyone.",
    ),
    "a throttle, as no one is left to move": (
        {"action": "THROTTLE", "quantity": 900, "quantity_unit": "packages/hour", "limited_by": "NO_SURPLUS"},
        "Throttle INDUCT to 900 packages/hour until 09:30: no pool can spare anyone.",
    ),
    "move, an input is missing": (
        {"quantity": None, "missing_inputs": "headcount (STAFFING)"},
        "Move associates from INDUCT to PICK until 09:30 (how many is not known without headcount (STAFFING)).",
    ),
    "lost to another": (
        {"quantity": None, "winner": "W1_PACK_TOTAL OVERFLOW"},
        "Its own action gave way to W1_PACK_TOTAL OVERFLOW.",
    ),
    "open a lane": (
        {"action": "OPEN_LANE", **PER_MINUTE, "quantity": 9.5, "target_unit": "W1_PACK_L4", "unit_id": "W1_PACK_L1"},
        "Open W1_PACK_L4 for 9.5 packages/minute of PACK L1 until 09:30.",
    ),
    "open a lane, nothing else is known": (
        {"action": "OPEN_LANE", "quantity": None, "target_unit": None, "until_ts": None},
        "Open a lane for packages of PICK TOTAL (how many is not known).",
    ),
    "check the data": (
        {"action": "CHECK_DATA", "unit_id": "W1_DATA_OCCUPANCY", "direction": "DATA"},
        "Check feed of levels.",
    ),
    "cleared": ({"label": "CLEARED"}, "Send the moved associates back."),
}


@pytest.mark.parametrize(("notice", "what"), WHAT.values(), ids=WHAT)
def test_what_to_do_in_words(notice: Row, what: str) -> None:
    assert render_notices(notice).sections[0].what == what


def test_times_are_utc_where_the_time_zone_does_not_exist() -> None:
    (message,) = notice_text.render_messages(
        buffers_frames.make_notices({}), buffers_frames.make_warehouses({"time_zone": "Chicago"}), NO_LINKS
    )
    assert message.subject == "PICK TOTAL, Chicago West 14:00 UTC: full in 4 min"


HEADINGS: Final[list[tuple[Row, str]]] = [
    ({}, "PICK TOTAL: full in 4 min - ACT, new"),
    ({"minutes_left": 0.3}, "PICK TOTAL: full now - ACT, new"),
    ({"minutes_left": 61}, "PICK TOTAL: too full - ACT, new"),
    ({"minutes_left": 0, "direction": "STARVATION"}, "PICK TOTAL: empty now - ACT, new"),
    ({"minutes_left": None, "direction": "STARVATION"}, "PICK TOTAL: too empty - ACT, new"),
    ({"named_units": "W1_PICK_A, W1_PICK_B"}, "PICK A, PICK B in PICK TOTAL: full in 4 min - ACT, new"),
    (
        {"named_units": ",".join(f"W1_PICK_{name}" for name in "ABCD")},
        "PICK TOTAL (4 paths): full in 4 min - ACT, new",
    ),
    (
        {"severity": "EMERGENCY", "label": "ONGOING", "reason": "ESCALATED"},
        "PICK TOTAL: full in 4 min - EMERGENCY, still (worse than at the last notice)",
    ),
    (
        {"label": "SUPPRESSED", "reason": "WINDOW"},
        "PICK TOTAL: full in 4 min - ACT, suppressed (notified shortly before)",
    ),
    ({"label": "CLEARED", "minutes_left": None}, "PICK TOTAL: cleared"),
    (
        {"direction": "DATA", "minutes_left": None, "unit_id": "W1_DATA_FLOW"},
        "Feed of flows: no usable data - ACT, new",
    ),
]


@pytest.mark.parametrize(("notice", "heading"), HEADINGS)
def test_the_heading_says_what_and_how_urgent(notice: Row, heading: str) -> None:
    assert render_notices(notice).sections[0].heading == heading


@pytest.mark.parametrize("reason", schema.REASONS)
def test_every_reason_has_words(reason: str) -> None:
    heading = render_notices({"label": "SUPPRESSED", "reason": reason}).sections[0].heading
    assert "suppressed (" in heading
    assert reason not in heading


@pytest.mark.parametrize("action", schema.ACTIONS)
def test_every_action_has_words(action: str) -> None:
    assert render_notices({"action": action}).sections[0].what.endswith(".")
    assert render_notices({"action": action, "label": "CLEARED"}).sections[0].what.endswith(".")


@pytest.mark.parametrize(("resolution", "winner"), [("OVERRIDDEN", "W1_PACK_TOTAL OVERFLOW"), ("CHANGED", None)])
def test_an_emergency_that_lost_says_to_whom_and_one_that_changed_says_what_is_left(
    resolution: str, winner: str | None
) -> None:
    said = buffers_frames.make_recommendations(
        {"verdict": "EMERGENCY", "resolution": resolution, "winner": "W1_PACK_TOTAL OVERFLOW"}
    )
    routed, _ = route_alerts({"severity": "EMERGENCY"}, recommendations=said)
    assert routed["winner"].to_list() == [winner]


def test_one_message_per_warehouse_channel_and_tick() -> None:
    where = [("W1", "a", 0), ("W1", "a", 0), ("W1", "b", 0), ("W2", "a", 0), ("W1", "a", 1)]
    rows = buffers_frames.make_notices(
        *[
            {"warehouse": warehouse, "channel": channel, "snapshot_ts": make_tick(number), "notice_id": f"N{n}"}
            for n, (warehouse, channel, number) in enumerate(where)
        ]
    )
    made = notice_text.render_messages(rows, buffers_frames.make_warehouses({}), NO_LINKS)
    found = [(message.warehouse, message.channel, message.snapshot_ts, len(message.sections)) for message in made]
    assert found == [
        ("W1", "a", make_tick(0), 2),
        ("W1", "a", make_tick(1), 1),
        ("W1", "b", make_tick(0), 1),
        ("W2", "a", make_tick(0), 1),
    ]


def test_the_most_urgent_comes_first_whatever_the_order() -> None:
    rows: list[Row] = [
        {"label": "SUPPRESSED", "reason": "WINDOW", "severity": "EMERGENCY", "unit_id": "W1_PICK_F"},
        {"label": "CLEARED", "severity": "EMERGENCY", "unit_id": "W1_PICK_E"},
        {"unit_id": "W1_PICK_D", "unit_type": "LANE", "minutes_left": 1},
        {"unit_id": "W1_PICK_C", "minutes_left": None},
        {"unit_id": "W1_PICK_B", "minutes_left": 3, "label": "ONGOING"},
        {"unit_id": "W1_PICK_A", "severity": "EMERGENCY", "unit_type": "LANE"},
    ]
    for order in (rows, rows[::-1]):
        message = render_notices(*order)
        assert [entry.heading.partition(":")[0][-1] for entry in message.sections] == list("ABCDEF")
        assert message.subject == "PICK A and 5 more, Chicago West 09:00 CDT: full in 4 min"


def test_what_to_do_is_said_once_and_at_the_warehouses_own_time() -> None:
    """The reason gives numbers; the instruction comes before it."""
    full = buffers_frames.make_units(
        {"fill": 0.95, "inflow_rate": 30.0}, {"unit_id": "W1_SORT_TOTAL", "headcount": 16.0}
    )
    judged = verdicts.compute_verdicts(full, NO_POOLS, NO_REJECTS, NO_HISTORY, policy=POLICY)
    requested = judged.row(by_predicate=pl.col("action") == "MOVE_STAFF", named=True)
    message = render_notices({name: requested[name] for name in schema.NOTICES.names if name in requested})
    assert rendering.render_text(message).splitlines()[3:] == [
        "  Move 6 associates from SORT to PICK until 09:30.",
        "  Why: 95.0 % full (limit 93 %).",
    ]


def test_of_an_unknown_warehouse_times_are_utc() -> None:
    (message,) = notice_text.render_messages(
        buffers_frames.make_notices({}), buffers_frames.make_warehouses({"warehouse": "W9"}), NO_LINKS
    )
    assert message.subject == "PICK TOTAL, W1 14:00 UTC: full in 4 min"
    assert message.sections[0].what.endswith("until 14:30.")


# --- layout

LINKS: Final = Links(
    lambda unit_id, snapshot_ts: f"https://charts.example/{unit_id}?at={snapshot_ts:%H%M}",
    lambda rec_id: f"https://feedback.example/{rec_id}",
)


def test_plain_text() -> None:
    said = buffers_frames.make_recommendations(
        {},
        {"unit_id": "W1_PACK_L2", "verdict": "CLEAR", "action": None},
        {"unit_id": "W1_PACK_L2", "verdict": "UNKNOWN", "action": None, "direction": "STARVATION"},
        {"unit_id": "W1_PACK_L1", "verdict": "CLEAR", "action": None},
        {"unit_id": "W1_PACK_L3", "verdict": "CLEAR", "action": None},
    )
    (message,) = notice_text.render_messages(
        buffers_frames.make_notices({}), buffers_frames.make_warehouses({}), LINKS, recommendations=said
    )
    expected = """\
PICK TOTAL, Chicago West 09:00 CDT: full in 4 min

PICK TOTAL: full in 4 min - ACT, new
  Move 4 associates from INDUCT to PICK until 09:30.
  Why: 94.0 % full.
  Chart: https://charts.example/W1_PICK_TOTAL?at=1400
  Feedback: https://feedback.example/R1

Nothing is sent about
  UNKNOWN: W1_PACK_L2
  CLEAR: W1_PACK_L1, W1_PACK_L3"""
    assert rendering.render_text(message) == expected


def test_slack_blocks() -> None:
    (message,) = notice_text.render_messages(
        buffers_frames.make_notices({"explanation": "a < b & c"}), buffers_frames.make_warehouses({}), LINKS
    )
    said = (
        "*PICK TOTAL: full in 4 min - ACT, new*\n"
        "Move 4 associates from INDUCT to PICK until 09:30.\n"
        "a &lt; b &amp; c\n"
        "<https://charts.example/W1_PICK_TOTAL?at=1400|Chart> | <https://feedback.example/R1|Feedback>"
    )
    subject = "PICK TOTAL, Chicago West 09:00 CDT: full in 4 min"
    assert render_slack(message) == {
        "text": subject,
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": subject}},
            {"type": "section", "text": {"type": "mrkdwn", "text": said}},
        ],
    }


def test_a_teams_card() -> None:
    (message,) = notice_text.render_messages(
        buffers_frames.make_notices({"severity": "EMERGENCY"}), buffers_frames.make_warehouses({}), LINKS
    )
    (attachment,) = render_teams(message)["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert attachment["content"]["type"] == "AdaptiveCard"
    links = "[Chart](https://charts.example/W1_PICK_TOTAL?at=1400) | [Feedback](https://feedback.example/R1)"
    assert [line["text"] for line in attachment["content"]["body"]] == [
        "PICK TOTAL, Chicago West 09:00 CDT: full in 4 min",
        "PICK TOTAL: full in 4 min - EMERGENCY, new",
        f"Move 4 associates from INDUCT to PICK until 09:30.\n\n94.0 % full.\n\n{links}",
    ]
    assert attachment["content"]["body"][1]["color"] == "Attention"


def test_cards_stay_within_what_slack_and_teams_take_and_text_has_all() -> None:
    rows = [{"unit_id": f"W1_PICK_P{number:02}", "explanation": "why " * 200} for number in range(60)]
    (message,) = notice_text.render_messages(
        buffers_frames.make_notices(*[{**row, "notice_id": f"N{n}"} for n, row in enumerate(rows)]),
        buffers_frames.make_warehouses({}),
        LINKS,
    )
    slack, teams = render_slack(message), render_teams(message)
    assert len(slack["blocks"]) <= 50
    assert len(json.dumps(slack["blocks"])) < 13_000
    assert len(json.dumps(teams)) < 28 * 1024
    for card in (slack, teams):
        assert "and 50 more: PICK P10: full in 4 min - ACT, new" in json.dumps(card)
    assert rendering.render_text(message).count("Feedback: ") == 60


def test_a_long_subject_is_cut_in_a_slack_header_alone() -> None:
    (message,) = notice_text.render_messages(
        buffers_frames.make_notices({}), buffers_frames.make_warehouses({"name": "x" * 200}), NO_LINKS
    )
    header = render_slack(message)["blocks"][0]["text"]["text"]
    assert len(header) == 150
    assert header.endswith("...")
    assert render_slack(message)["text"] == message.subject
