"""Alerts -> messages on their way: what is due is routed, rendered and written into the outbox, and sent from there."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from itertools import product
from typing import Any, Final
from urllib.parse import quote

import polars as pl

from fillrate_assets.buffers import control_schema, schema
from fillrate_assets.buffers.defs.tick_run import get_clock_date
from fillrate_assets.buffers.notice_store import NoticeStore
from fillrate_assets.buffers.report import notice_text
from fillrate_assets.buffers.report.notice_text import Links
from fillrate_assets.buffers.rules import escalation, notification_routing
from fillrate_assets.buffers.rules.alert_suppression import EPISODE
from fillrate_assets.buffers.rules.policy import Policy
from fillrate_assets.buffers.rules.tick import MasterData, TickStore
from fillrate_assets.core.errors import FillrateError
from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.notifications.delivery import DeliveryResult
from fillrate_assets.notifications.notifiers.console import Show
from fillrate_assets.notifications.notifiers.dispatch import Notifiers
from fillrate_assets.notifications.platform_outbox import Outbox
from fillrate_assets.notifications.rendering import Message
from fillrate_assets.notifications.signed_links import LinkSigner
from fillrate_assets.orchestration.partitions import make_key

_LOG: Final = logging.getLogger("fillrate.alerts")


@dataclass(frozen=True)
class DispatchResult:
    """What came of a dispatch."""

    delivered: DeliveryResult
    notices: int
    """Notices that are new in the outbox."""

    unroutable: int
    """What no route takes."""


@dataclass(frozen=True)
class AlertDispatch:
    """How alerts reach people."""

    notices: NoticeStore
    notifiers: Notifiers
    every_label: bool = False
    """Whether all that is suppressed is shown as well, with every unit, as development does."""

    platform_channel: str = ""
    """Who is notified once an hour that ticks run, and of what no route takes for want of a known channel."""

    shows: tuple[Show, ...] = field(default=(), repr=False)
    """Where messages to the console are shown, as a terminal."""

    outbox: Outbox | None = None
    """Where the platform is notified of routes to unknown channels; None notifies no one."""

    ui_url: str = ""
    retry_for: timedelta = timedelta(seconds=30)
    """For how long a tick tries again to send what a channel did not take; the next tick goes on."""

    signer: Callable[[], LinkSigner | None] = field(default=lambda: None, repr=False)
    """What signs the links by which the floor answers, made when it is needed; None leaves them out."""

    def dispatch(
        self, masters: MasterData, tick_store: TickStore, *, policy: Policy, now: datetime, show: Show | None = None
    ) -> DispatchResult:
        """Write the notices that are due of the last 10 minutes, and send what waits in the outbox.

        Routes are checked first. One to an unknown channel counts for nothing, and the platform is notified of it once.

        Args:
            masters: all warehouses, and the routes of this moment.
            tick_store: what ticks made.
            policy: how old a notice may be.
            now: UTC.
            show: where messages to the console are shown besides.

        Raises:
            SourceUnavailable: the record store did not answer. What was sent stays sent.

        """
        begun = time.monotonic()
        lifetime = timedelta(minutes=policy.suppression.max_send_minutes)
        since = now - lifetime
        alerts = tick_store.read(schema.ALERTS, since, now).collect()
        recommended = tick_store.read(schema.RECOMMENDATIONS, since, now)
        if not self.every_label:
            recommended = recommended.filter(pl.col("unit_id").is_in(alerts["unit_id"].unique().to_list()))
        recommendations = recommended.collect()
        sent = self.notices.read_for_alerts(alerts)
        due, lost = notification_routing.route_notices(
            alerts,
            recommendations,
            self.check_routes(masters.alert_routes, now=now),
            sent,
            now=now,
            policy=policy,
            every_label=self.every_label,
        )
        late, unreached = escalation.escalate(
            alerts,
            recommendations,
            self.check_on_call(masters.on_call, now=now),
            masters.acknowledgements,
            sent,
            now=now,
            policy=policy,
        )
        # A channel that is sent the problem anyway gets the step with the next tick, not twice in one message.
        news = due.filter(pl.col("label") != "SUPPRESSED")
        late = late.join(news, on=[*EPISODE, "channel"], how="anti")
        due, lost = pl.concat([due, late]), pl.concat([lost, unreached])
        shown = recommendations if self.every_label else None

        def render(notices: pl.DataFrame) -> Sequence[Message]:
            links = self._build_links(masters, now)
            past = notice_text.Past(alerts, sent)
            return notice_text.render_messages(
                notices, masters.warehouses, links, recommendations=shown, labels=masters.labels, past=past
            )

        self.notices.write(due, lost, render=render, lifetime=lifetime, now=now)
        # Channels are sent to in threads; what shows a message may live in this one alone.
        texts: list[str] = []
        notifiers = replace(self.notifiers, shows=(texts.append,))
        later = now + timedelta(seconds=time.monotonic() - begun)
        delivered = self.notices.deliver(notifiers.send, now=later, retry_for=self.retry_for)
        for text, each in product(texts, [*self.shows, *([show] if show else [])]):
            each(text)
        return DispatchResult(delivered, due.height, lost.height)

    def check_routes(self, routes: pl.DataFrame, *, now: datetime) -> pl.DataFrame:
        """Return the routes to known channels; notify the platform once of each of the others.

        Raises:
            SourceUnavailable: the record store did not answer.

        """
        problems = self.find_unknown_channels(routes)
        if not problems:
            return routes
        for row in routes.filter(pl.col("channel").is_in(list(problems))).iter_rows(named=True):
            self._notify_unknown_channel(row, problems[row["channel"]], now)
        return notification_routing.select_usable_routes(routes, problems, fallback=self.platform_channel, now=now)

    def check_on_call(self, on_call: pl.DataFrame, *, now: datetime) -> pl.DataFrame:
        """Return who is on call at a known channel; notify the platform once of each of the others.

        Raises:
            SourceUnavailable: the record store did not answer.

        """
        problems = self.find_unknown_channels(on_call)
        for row in on_call.filter(pl.col("channel").is_in(list(problems))).iter_rows(named=True):
            scope = f"{row['person']}, dc {row['dc']}, warehouse {row['warehouse']}"
            body = f"The row of on_call of {scope}: {problems[row['channel']]}. To do: mend the row with SQL."
            self._notify_platform(row, control_schema.ON_CALL, f"buffers: {scope} cannot be reached", body, now)
        return on_call.filter(~pl.col("channel").is_in(list(problems)))

    def find_unknown_channels(self, rows: pl.DataFrame) -> dict[str, str]:
        """Find the channels of routes, or of who is on call, that nothing can be sent to, and why."""
        channels = rows["channel"].unique().sort()
        return {channel: problem for channel in channels if (problem := self.notifiers.find_problem(channel))}

    def _notify_unknown_channel(self, route: dict[str, Any], problem: str, now: datetime) -> None:
        scope = ", ".join(str(route[name]) for name in ("warehouse", "pool", "unit_type", "min_severity"))
        body = (
            f"The row of alert_route for {scope}, set by {route['updated_by'] or 'someone'}: {problem}. Its alerts go"
            " by the next row that takes them, at last by the default. To do: mend the row with SQL; the next tick"
            " obeys."
        )
        subject = f"buffers: alerts of {scope} are routed to an unknown channel"
        self._notify_platform(route, schema.ALERT_ROUTES, subject, body, now)

    def _notify_platform(self, row: dict[str, Any], table: TableSchema, subject: str, body: str, now: datetime) -> None:
        """Notify the platform of a row with an unknown channel, once."""
        if self.outbox is None:
            _LOG.error("%s", body)
            return
        # Digested: a URL in place of a channel is a credential.
        key = sha256("\n".join(str(row[name]) for name in table.key).encode()).hexdigest()
        # The outbox logs what is new: a row that stays wrong is not repeated at every tick.
        self.outbox.send(subject, body, key=f"unknown channel:{key}", now=now)

    def ping(self, last_tick: datetime, warehouses: int, *, now: datetime) -> None:
        """Send the platform's own channel a heartbeat once an hour: its silence means that no tick runs."""
        self.notices.ping(
            self.notifiers.send, self.platform_channel, last_tick=last_tick, warehouses=warehouses, now=now
        )

    def _make_signer(self) -> LinkSigner | None:
        try:
            return self.signer()
        except FillrateError as error:
            # An alert without a link is better than none.
            _LOG.error("alerts go without a link to answer them: %s", error)
            return None

    def _build_links(self, masters: MasterData, now: datetime) -> Links:
        """Build the links of messages that are written now: by these, the floor may answer for some days from now."""
        signer = self._make_signer()
        if signer is not None:
            return Links(signer.make_chart_url, partial(signer.make_alert_url, now=now))
        return Links(partial(self._make_asset_url, masters) if self.ui_url else None)

    def _make_asset_url(self, masters: MasterData, unit_id: str, snapshot_ts: datetime) -> str:
        """Make the URL of a day's units in Dagster's UI, where there is no control room."""
        asset = f"{self.ui_url.rstrip('/')}/assets/buffers/unit_timeseries"
        place = masters.warehouses.filter(warehouse=unit_id.partition("_")[0])
        if place.is_empty():
            return asset
        dc, time_zone = place.select("dc", "time_zone").row(0)
        day = make_key(dc, get_clock_date(time_zone, snapshot_ts))
        return f"{asset}?view=partitions&partition={quote(str(day))}"
