"""What the messages of the simulated day of `fillrate buffers demo` say, every one of them.

Proves decisions 0184 and 0190: a number and a destination or why there is none, minutes of the notice's own direction
and within the hour, no instruction with nothing in it, whole packages to three lanes at most.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import polars as pl
import pytest

from fillrate_assets import settings
from fillrate_assets.buffers import schema
from fillrate_assets.buffers.report.notice_text import Links, Past, render_messages
from fillrate_assets.buffers.rules.notification_routing import route_notices
from fillrate_assets.buffers.rules.policy import Policy
from fillrate_assets.notifications.rendering import render_text
from fillrate_assets.sample.buffers_loader import Floors
from fillrate_assets.sample.floor.detection import run_ticks

POLICY: Final = Policy()
OTHER: Final = {"OVERFLOW": "runs empty", "STARVATION": "overflows"}
NOTHING: Final = re.compile(
    r"\b(Move|Divert|Open \S+ for)( 0\b| nobody| no one)|\b0 of \d|\b0 (associates|to )", re.IGNORECASE
)


def run_ticks_of(floors: Floors, ticks: Sequence[datetime]) -> tuple[list[str], pl.DataFrame]:
    """Run ticks of a day; the text of every message, and the notices in them."""
    masters = floors.masters
    made = run_ticks(floors.world.feeds, masters, since=ticks[0], until=ticks[-1], policy=POLICY)
    sent, texts = schema.NOTICES.make_empty().collect(), []
    for at in ticks:
        alerts, recommended = (rows.filter(snapshot_ts=at) for rows in (made.alerts, made.recommendations))
        due, lost = route_notices(alerts, recommended, masters.alert_routes, sent, now=at, policy=POLICY)
        assert lost.is_empty()
        rendered = render_messages(due, masters.warehouses, Links(), labels=masters.labels, past=Past(alerts, sent))
        texts += [render_text(message) for message in rendered]
        sent = pl.concat([sent, due])
    return texts, sent


def list_mistakes(notice: dict[str, Any]) -> Iterator[str]:
    """List what is wrong with a notice that requests an action."""
    minutes, quantity = notice["minutes_left"], notice["quantity"]
    if minutes is not None and not 0 <= minutes <= POLICY.trend.horizon_minutes:
        yield "minutes beyond the hour"
    if OTHER[notice["direction"]] in (notice["explanation"] or ""):
        yield "words of the other direction"
    has_place = notice["target_unit"] is not None or notice["action"] == "THROTTLE"
    if not (quantity is not None and has_place) and not any(
        notice[name] for name in ("missing_inputs", "limited_by", "winner")
    ):
        yield "no number and destination, and no reason"
    if quantity == 0 and notice["action"] != "THROTTLE":
        yield "an action with 0"
    if notice["action"] == "REBALANCE" and notice["target_unit"] is not None:
        shares = [float(share.split()[0].replace(",", "")) for share in notice["target_unit"].split(", ")]
        if len(shares) > POLICY.quantities.max_recipients or any(share < 1 or share % 1 for share in shares):
            yield "shares of less than a package, or to more than three lanes"


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], pl.DataFrame]:
    floors = Floors(settings.load(home=tmp_path_factory.mktemp("floors")), warehouses=2, hours=5)
    # The two hours and a half in which most goes wrong.
    return run_ticks_of(floors, floors.ticks[:30])


def test_every_notice_that_requests_an_action_can_be_followed(day: tuple[list[str], pl.DataFrame]) -> None:
    requests = day[1].filter(pl.col("label") != "CLEARED", pl.col("direction") != "DATA")
    assert requests.height > 20
    assert requests.filter(pl.col("severity").is_in(["ACT", "EMERGENCY"])).height == requests.height
    mistakes = [(row["notice_id"], what) for row in requests.iter_rows(named=True) for what in list_mistakes(row)]
    assert mistakes == []


def test_no_text_has_an_instruction_with_nothing_in_it(day: tuple[list[str], pl.DataFrame]) -> None:
    texts = day[0]
    assert len(texts) > 10
    assert [text for text in texts if NOTHING.search(text)] == []
    assert [text for text in texts if any(int(found) > 60 for found in re.findall(r" in (\d+) min", text))] == []
