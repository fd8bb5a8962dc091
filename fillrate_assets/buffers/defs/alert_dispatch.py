"""Alerts -> messages on their way: what to tell is written into the outbox first, and sent from there."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from urllib.parse import quote

import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.defs.tick_run import clock_date
from fillrate_assets.buffers.notice_store import NoticeStore
from fillrate_assets.buffers.report import notice_text
from fillrate_assets.buffers.report.notice_text import Links
from fillrate_assets.buffers.rules import notification_routing
from fillrate_assets.buffers.rules.policy import Policy
from fillrate_assets.buffers.rules.tick import MasterData, TickStore
from fillrate_assets.core.errors import FillrateError
from fillrate_assets.notifications.notifiers.dispatch import Notifiers
from fillrate_assets.notifications.outbox import DeliveryResult
from fillrate_assets.notifications.signed_links import LinkSigner
from fillrate_assets.orchestration.partitions import make_key

_LOG: Final = logging.getLogger("fillrate.delivery")


@dataclass(frozen=True)
class DispatchResult:
    """What came of telling people."""

    delivered: DeliveryResult
    notices: int
    """Notices that are new in the outbox."""

    unroutable: int
    """What no route takes."""


@dataclass(frozen=True)
class AlertDispatch:
    """How alerts reach people."""

    notices: NoticeStore
    channels: Notifiers
    every_label: bool = False
    """Whether all that is suppressed is shown as well, with every unit, as development does."""

    platform_channel: str = ""
    """Who is notified once an hour that ticks run."""

    ui_url: str = ""
    go_on: timedelta = timedelta(seconds=30)
    """For how long a tick tries again to send what a channel did not take; the next tick goes on."""

    signer: Callable[[], LinkSigner | None] = field(default=lambda: None, repr=False)
    """What signs the links by which the floor answers, made when it is needed; None leaves them out."""

    def tell(self, masters: MasterData, kept: TickStore, *, policy: Policy, now: datetime) -> DispatchResult:
        """Tell what is due of the last 10 minutes, and send what waits in the outbox.

        Args:
            masters: all warehouses, and the routes of this moment.
            kept: what ticks made.
            policy: how old a notice may be.
            now: UTC.

        Raises:
            SourceUnavailable: the record store did not answer. What was sent stays sent.

        """
        begun = time.monotonic()
        since = now - timedelta(minutes=policy.suppression.max_send_minutes)
        alerts = kept.read(schema.ALERTS, since, now).collect()
        asked = kept.read(schema.RECOMMENDATIONS, since, now)
        if not self.every_label:
            asked = asked.filter(pl.col("unit_id").is_in(alerts["unit_id"].unique().to_list()))
        recommendations = asked.collect()
        told, lost = notification_routing.route_notices(
            alerts,
            recommendations,
            masters.alert_routes,
            self.notices.sent(alerts),
            now=now,
            policy=policy,
            every_label=self.every_label,
        )
        self.notices.keep(told, lost, now=now)

        shown = recommendations if self.every_label else None
        links = self._links(masters, now)

        def word(rows: pl.DataFrame) -> list[notice_text.NoticeMessage]:
            return notice_text.render_messages(rows, masters.warehouses, links, recommendations=shown)

        later = now + timedelta(seconds=time.monotonic() - begun)
        delivered = self.notices.deliver(self.channels.send, word=word, policy=policy, now=later, go_on=self.go_on)
        return DispatchResult(delivered, told.height, lost.height)

    def ping(self, last_tick: datetime, warehouses: int, *, now: datetime) -> None:
        """Tell the platform's own channel once an hour that ticks run: its silence means that none does."""
        self.notices.ping(
            self.channels.send, self.platform_channel, last_tick=last_tick, warehouses=warehouses, now=now
        )

    def _signer(self) -> LinkSigner | None:
        try:
            return self.signer()
        except FillrateError as error:
            # An alert without a link is better than none.
            _LOG.error("alerts go without a link to answer them: %s", error)
            return None

    def _links(self, masters: MasterData, now: datetime) -> Links:
        places = {row["warehouse"]: row for row in masters.warehouses.iter_rows(named=True)}

        def chart(unit_id: str, snapshot_ts: datetime) -> str:
            asset, place = (
                f"{self.ui_url.rstrip('/')}/assets/buffers/unit_timeseries",
                places.get(unit_id.partition("_")[0]),
            )
            if place is None:
                return asset
            day = make_key(place["dc"], clock_date(place["time_zone"], snapshot_ts))
            return f"{asset}?view=partitions&partition={quote(str(day))}"

        signer = self._signer()
        return Links(chart if self.ui_url else None, partial(signer.make_alert_url, now=now) if signer else None)
