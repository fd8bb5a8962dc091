"""What the sources hold beside what was processed, as the sensor and the health checks look at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from fillrate_assets.fillrate.rules.change_planner import WATERMARKED, is_usable
from fillrate_assets.fillrate.sources.instock_warehouse import InstockWarehouse
from fillrate_assets.fillrate.sources.line_versions import ChangeWindow
from fillrate_assets.fillrate.sources.order_system import OrderSystem
from fillrate_assets.fillrate.sources.shipping_records import ShippingRecords
from fillrate_assets.fillrate.watermark import Watermark
from fillrate_assets.settings import Settings


@dataclass(frozen=True)
class Sources:
    """The three sources, and how far the sensor has looked at them."""

    settings: Settings
    order_system: OrderSystem
    shipping_records: ShippingRecords
    instock_warehouse: InstockWarehouse
    watermark: Watermark

    def read_watermarks(self) -> dict[str, datetime | None]:
        """Read how far the sensor has looked, by source; None before its first tick."""
        return {source: self.watermark.read(source) for source in WATERMARKED}

    def bound(self, marks: Mapping[str, datetime | None], now: datetime) -> dict[str, datetime | None]:
        """Return the watermarks, None for one behind which changes may hide: then everything is looked at."""
        read = {"orders": self.order_system.read_latest_change, "shipments": self.shipping_records.read_latest_change}
        overlap = timedelta(minutes=self.settings.sensor.watermark_overlap_minutes)
        return {
            source: mark if mark is None or is_usable(mark, latest=read[source](), now=now, overlap=overlap) else None
            for source, mark in marks.items()
        }

    def read_changes(
        self, dcs: Sequence[str], marks: Mapping[str, datetime | None], now: datetime
    ) -> dict[str, pl.DataFrame]:
        """Read what may have changed since the watermarks, as `PAIR_VERSIONS` by source."""
        lines = {"orders": self.order_system.read_changes, "shipments": self.shipping_records.read_changes}
        changed = {source: lines[source](self._define_line_window(dcs, mark, now)) for source, mark in marks.items()}
        return changed | {"snapshots": self.instock_warehouse.read_changes(self._define_snapshot_window(dcs, now))}

    def read_latest_changes(self, dcs: Sequence[str], now: datetime) -> dict[str, datetime | None]:
        """Read the latest change of each source, by source; of snapshots, within the days that are compared."""
        taken = self.instock_warehouse.read_changes(self._define_snapshot_window(dcs, now))["processed_at"].max()
        return {
            "orders": self.order_system.read_latest_change(),
            "shipments": self.shipping_records.read_latest_change(),
            "snapshots": taken if isinstance(taken, datetime) else None,
        }

    def _define_snapshot_window(self, dcs: Sequence[str], now: datetime) -> ChangeWindow:
        first = now.date() - timedelta(days=self.settings.sensor.snapshot_lookback_days)
        return ChangeWindow(dcs, None, max(first, self.settings.first_ship_date), now.date())

    def _define_line_window(self, dcs: Sequence[str], mark: datetime | None, now: datetime) -> ChangeWindow:
        if mark is None:
            return ChangeWindow(dcs, None, self.settings.first_ship_date, now.date())
        since = mark - timedelta(minutes=self.settings.sensor.watermark_overlap_minutes)
        # Orders placed ahead become due as days pass: look at those that did since the watermark as well.
        return ChangeWindow(dcs, since, max(since.date(), self.settings.first_ship_date), now.date())
