"""Alerts -> messages on their way: what to tell is written into the outbox first, and sent from there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import quote

import polars as pl

from fillrate_assets.buffers import messages, schema
from fillrate_assets.buffers.messages import Links
from fillrate_assets.buffers.policy import Policy
from fillrate_assets.buffers.signals import clock
from fillrate_assets.buffers.tick import Kept, Masters
from fillrate_assets.connections.channels import Channels
from fillrate_assets.connections.notices import Delivered, Notices
from fillrate_assets.partitions import key


@dataclass(frozen=True)
class Told:
    """What came of telling people."""

    delivered: Delivered
    notices: int
    """Notices that are new in the outbox."""

    unroutable: int
    """What no route takes."""


@dataclass(frozen=True)
class Delivery:
    """How alerts reach people."""

    notices: Notices
    channels: Channels
    every_label: bool = False
    """Whether all that is suppressed is shown as well, with every unit, as development does."""

    platform_channel: str = ""
    """Who is told once an hour that ticks run."""

    ui_url: str = ""
    feedback: Callable[[str, datetime], str] | None = field(default=None, repr=False)
    """The signed address at which an alert is answered, by its rec_id and the time of sending; None leaves it out."""

    def tell(self, masters: Masters, kept: Kept, *, policy: Policy, now: datetime) -> Told:
        """Tell what is due of the last 10 minutes, and send what waits in the outbox.

        Args:
            masters: all warehouses, and the routes of this moment.
            kept: what ticks made.
            policy: how old a notice may be.
            now: UTC.

        Raises:
            SourceUnavailable: the record store did not answer. What was sent stays sent.

        """
        since = now - timedelta(minutes=policy.suppression.max_send_minutes)
        alerts = kept.read(schema.ALERTS, since, now).collect()
        asked = kept.read(schema.RECOMMENDATIONS, since, now)
        if not self.every_label:
            asked = asked.filter(pl.col("unit_id").is_in(alerts["unit_id"].unique().to_list()))
        recommendations = asked.collect()
        told, lost = messages.notices(
            alerts,
            recommendations,
            masters.alert_routes,
            self.notices.sent(alerts),
            now=now,
            policy=policy,
            every_label=self.every_label,
        )
        self.notices.keep(told, lost, now=now)

        def word(rows: pl.DataFrame) -> list[messages.Message]:
            shown = recommendations if self.every_label else None
            return messages.messages(rows, masters.warehouses, self._links(masters, now), recommendations=shown)

        delivered = self.notices.deliver(self.channels.send, word=word, policy=policy, now=now)
        return Told(delivered, told.height, lost.height)

    def ping(self, last_tick: datetime, warehouses: int, *, now: datetime) -> None:
        """Tell the platform's own channel once an hour that ticks run: its silence means that none does."""
        self.notices.ping(
            self.channels.send, self.platform_channel, last_tick=last_tick, warehouses=warehouses, now=now
        )

    def _links(self, masters: Masters, now: datetime) -> Links:
        places = {row["warehouse"]: row for row in masters.warehouses.iter_rows(named=True)}

        def chart(unit_id: str, snapshot_ts: datetime) -> str:
            place = places[unit_id.partition("_")[0]]
            day = snapshot_ts.astimezone(clock(place["time_zone"])).date()
            return f"{self.ui_url.rstrip('/')}/assets/unit_timeseries?partition={quote(str(key(place['dc'], day)))}"

        answer = self.feedback
        return Links(
            chart if self.ui_url else None, (lambda rec_id: answer(rec_id, now)) if answer is not None else None
        )
