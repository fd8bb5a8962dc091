"""Messages as people get them: twenty in golden files, and any number of siblings within what channels take.

`FILLRATE_TEST_WRITE_GOLDEN=1` writes the golden files anew; look at what changed before it is committed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fillrate_assets.buffers.report.notice_text import Links, NoticeMessage, Past, render_messages
from fillrate_assets.buffers.rules import notification_routing
from fillrate_assets.notifications.notifiers import slack, teams
from fillrate_assets.notifications.rendering import MAX_SMS, Message, Section, render_sms, render_text, to_gsm
from fillrate_assets_tests.factories import buffers_frames
from fillrate_assets_tests.factories.buffers_frames import Row, make_tick

GOLDEN: Final = Path(__file__).parent.parent / "golden"
WRITES: Final = bool(os.environ.get("FILLRATE_TEST_WRITE_GOLDEN"))
LINKS: Final = Links(
    lambda unit_id, _: f"https://charts.example/{unit_id}", lambda rec_id: f"https://ask.example/{rec_id}"
)
LABELS: Final = {
    "W1_PICK_TOTAL": "Pick total",
    "W1_PACK_TOTAL": "Pack total",
    "W1_PACK_L2": "Lane 12",
    "W1_PACK_L3": "Lane 13",
    "W1_PACK_L4": "Lane 14",
    "W1_INDUCT_A": "Robot cell A",
}
EMERGENCY: Final[Row] = {"severity": "EMERGENCY"}
THROTTLE: Final[Row] = {
    "unit_id": "W1_INDUCT_A",
    "unit_type": "INDUCT",
    "action": "THROTTLE",
    "quantity": 900.0,
    "quantity_unit": "packages/hour",
    "source_unit": None,
    "target_unit": None,
    "explanation": "INDUCT A: 96.0 % full (limit 90 %). Throttled to 900.",
}
DIVERT: Final[Row] = {
    "unit_id": "W1_PACK_L2",
    "unit_type": "PACK",
    "action": "REBALANCE",
    "quantity": 480.0,
    "quantity_unit": "packages/hour",
    "source_unit": None,
    "target_unit": "300 to PACK L3, 180 to PACK L4",
    "explanation": "PACK L2: 88.0 % full (limit 80 %), 31 points fuller than the median of its group (limit 25).",
}
STARVED: Final[Row] = {
    "unit_id": "W1_PACK_TOTAL",
    "direction": "STARVATION",
    "target_unit": "PACK",
    "explanation": "PACK TOTAL: 4.0 % full (limit 7 %), its people have 31 % of what they could take (limit 70 %).",
}
DATA: Final[Row] = {
    "unit_id": "W1_DATA_STAFFING",
    "direction": "DATA",
    "action": "CHECK_DATA",
    "quantity": None,
    "minutes_left": None,
    "source_unit": None,
    "target_unit": None,
    "until_ts": None,
    "explanation": "STAFFING: 12 of 12 units cannot be known, for up to 20 staffed min (limit 15 min).",
}
CLEARED: Final[Row] = {"label": "CLEARED", "minutes_left": None, "seq": 2}
ONGOING: Final[Row] = {"label": "ONGOING", "seq": 2}

MESSAGES: Final[dict[str, Sequence[Row]]] = {
    "01-total-full-soon": [{}],
    "02-total-full-now": [{**EMERGENCY, "minutes_left": 0.0}],
    "03-total-names-its-paths": [{**EMERGENCY, "minutes_left": 0.0, "named_units": "W1_PACK_L2, W1_PACK_L3"}],
    "04-no-one-can-be-spared": [{"quantity": None, "limited_by": "NO_SURPLUS"}],
    "05-throttle-as-no-one-can-be-spared": [{**THROTTLE, "limited_by": "NO_SURPLUS"}],
    "06-measure-in-force-stays": [{**THROTTLE, "quantity": None, "limited_by": "IN_FORCE"}],
    "07-input-is-missing": [{"quantity": None, "missing_inputs": "headcount (STAFFING)"}],
    "08-jam": [{**THROTTLE, **EMERGENCY, "minutes_left": None, "quantity": 0.0}],
    "09-divert-to-siblings": [DIVERT],
    "10-open-a-lane": [{**DIVERT, "action": "OPEN_LANE", "target_unit": "W1_PACK_L4"}],
    "11-starving": [{**STARVED, "minutes_left": 0.0}],
    "12-starving-soon": [{**STARVED, "minutes_left": 4.4}],
    "13-starving-for-an-unknown-while": [{**STARVED, "minutes_left": None}],
    "14-feed-stops": [DATA],
    "15-cleared": [{**CLEARED}],
    "16-throttle-released-step-by-step": [{**THROTTLE, **CLEARED}],
    "17-worse-than-before": [{**ONGOING, **EMERGENCY, "reason": "ESCALATED"}],
    "18-several-at-once": [{**EMERGENCY, "minutes_left": 0.0}, DIVERT, {**THROTTLE, **ONGOING}, {**STARVED, **CLEARED}],
    "19-still-open-besides": [DIVERT],
    "20-feed-stops-in-many-warehouses": [
        {**DATA, "warehouse": f"W{number}", "unit_id": f"W{number}_DATA_FLOW"} for number in range(1, 31)
    ],
}


def render(rows: Sequence[Row], past: Past | None = None) -> list[NoticeMessage]:
    notices = buffers_frames.make_notices(
        *({"notice_id": f"N{n}", "rec_id": f"R{n}", **row} for n, row in enumerate(rows))
    )
    return render_messages(notices, buffers_frames.make_warehouses({}), LINKS, labels=LABELS, past=past)


def make_past() -> Past:
    """Make what the channel knows: 20 minutes ago it was sent that Pack total overflows, which it still does."""
    opened = make_tick(-4)
    episode: Row = {"unit_id": "W1_PACK_TOTAL", "opened_ts": opened}
    sent = buffers_frames.make_notices({"unit_id": "W1_PACK_TOTAL", "snapshot_ts": opened})
    return Past(buffers_frames.make_alerts(episode), sent)


def show(message: Message) -> str:
    """Show a message in every form that has one."""
    cards = [
        json.dumps(card, indent=1, ensure_ascii=False)
        for card in (slack.render_slack(message), teams.render_teams(message))
    ]
    parts = {"text": render_text(message), "sms": render_sms(message), "slack": cards[0], "teams": cards[1]}
    return "".join(f"=== {name}\n{text}\n\n" for name, text in parts.items())


@pytest.mark.parametrize(("name", "rows"), MESSAGES.items(), ids=MESSAGES)
def test_a_message_reads_as_it_did(name: str, rows: Sequence[Row]) -> None:
    knows = name.startswith(("17", "18", "19"))
    (message,) = render(rows, make_past() if knows else None)
    file = GOLDEN / f"{name}.txt"
    if WRITES:
        file.write_text(show(message))
    assert show(message) == file.read_text()


# --- what is in a message


def test_the_first_line_says_what_and_where_and_when_it_is_there() -> None:
    assert render([{**EMERGENCY, "minutes_left": 0.0}])[0].subject == "Pick total, Chicago West 09:00 CDT: full now"


def test_what_is_new_since_the_last_message_is_one_line() -> None:
    rows = [DIVERT, {**THROTTLE, **ONGOING}, {**STARVED, **CLEARED}, {**ONGOING, "reason": "ESCALATED"}]
    (message,) = render(rows, make_past())
    assert message.news == "Since 08:40: new Lane 12 (PACK L2); worse Pick total; cleared Pack total."
    assert render([ONGOING], make_past())[0].news == "Since 08:40: nothing new."
    assert render([DIVERT])[0].news == ""


def test_what_is_still_open_and_not_in_the_message_is_one_line() -> None:
    assert render([DIVERT], make_past())[0].still_open == "Still open: Pack total since 08:40."
    of_another_channel = make_past().sent.with_columns(channel=pl.lit("slack:other"))
    assert render([DIVERT], Past(make_past().alerts, of_another_channel))[0].still_open == ""
    assert render([{"unit_id": "W1_PACK_TOTAL"}], make_past())[0].still_open == ""


@pytest.mark.parametrize(("warehouses", "messages"), [(1, 1), (2, 1), (300, 1)])
def test_a_feed_that_stops_in_many_warehouses_is_one_message(warehouses: int, messages: int) -> None:
    rows = [{**DATA, "warehouse": f"W{n}", "unit_id": f"W{n}_DATA_FLOW"} for n in range(warehouses)]
    assert len(render(rows)) == messages


def test_a_feed_that_stops_in_many_warehouses_takes_no_other_notice_of_theirs_with_it() -> None:
    rows = [{**DATA, "warehouse": f"W{n}", "unit_id": f"W{n}_DATA_FLOW"} for n in range(1, 10)]
    assert [message.warehouse for message in render([*rows, {}])] == ["*", "W1"]
    assert notification_routing.MANY_WAREHOUSES == 2


# --- what channels take

TEXT: Final = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=700)
SECTIONS: Final = st.builds(
    Section,
    TEXT,
    TEXT,
    TEXT,
    urgent=st.booleans(),
    links=st.lists(st.tuples(st.just("Chart"), st.integers(1, 3000).map(lambda n: f"https://c.example/{'x' * n}"))).map(
        tuple
    ),
)
ANY_MESSAGE: Final = st.builds(
    Message, TEXT, st.lists(SECTIONS, max_size=40).map(tuple), news=TEXT, still_open=TEXT, body=st.just("")
)


def assert_within_limits(message: Message) -> None:
    """Assert what Slack, Teams and SMS document; of Slack, what it refuses besides."""
    blocks: list[dict[str, Any]] = slack.render_slack(message)["blocks"]
    assert len(blocks) <= 50
    assert len(blocks[0]["text"]["text"]) <= 150
    assert all(len(block["text"]["text"]) <= 3000 for block in blocks if block["type"] == "section")
    assert all(len(each["text"]) <= 3000 for block in blocks if "elements" in block for each in block["elements"])
    assert len(slack.render_slack(message)["text"]) <= 4000
    assert len(json.dumps(teams.render_teams(message), ensure_ascii=False).encode()) <= 28 * 1024
    sms = render_sms(message)
    assert len(sms) <= MAX_SMS == 160
    assert to_gsm(sms) == sms


@given(ANY_MESSAGE)
def test_any_message_is_within_what_channels_take(message: Message) -> None:
    assert_within_limits(message)


@settings(max_examples=10)
@given(st.integers(1, 100), st.integers(0, 400))
def test_any_number_of_notices_and_siblings_is_within_what_channels_take(notices: int, siblings: int) -> None:
    shares = ", ".join(f"{number} to PACK L{number}" for number in range(siblings))
    named = ", ".join(f"W1_PACK_L{number}" for number in range(siblings)) or None
    rows = [{**DIVERT, "unit_id": f"W1_PACK_L{n}", "target_unit": shares, "named_units": named} for n in range(notices)]
    (message,) = render(rows)
    assert_within_limits(message)
    assert len(json.dumps(slack.render_slack(message)["blocks"])) < 13_000
    assert "Lane 12 (PACK L2)" in render_text(message) or siblings < 3


def test_an_sms_is_of_characters_that_every_telephone_has() -> None:
    assert to_gsm("Köln [A]: 4 → 5, naïve, “x” 你") == "Köln (A): 4 ? 5, naive, ?x? ?"
