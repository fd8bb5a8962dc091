"""One small network, its history, and what the rules make of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import polars as pl
from polars.testing import assert_frame_equal

from fillrate_assets.core import parsing
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.rules import item_days, line_classification, lost_cases, rolling_baseline
from fillrate_assets.sample.network import Activity, Network, draw_master_data, simulate_activity

SMALL = Network(seed=7, dcs=3, items=300, days=40)
TABLES = [field.name for field in fields(Activity)]
LINE_KEY = ["dc", "order_id", "line_no"]


def merge_activities(parts: list[Activity]) -> Activity:
    return Activity(**{name: pl.concat([getattr(part, name) for part in parts]) for name in TABLES})


def assert_same(left: Activity, right: Activity) -> None:
    for name in TABLES:
        assert_frame_equal(getattr(left, name), getattr(right, name))


@dataclass(frozen=True)
class History:
    """A network's activity, and what the rules make of it."""

    network: Network

    @cached_property
    def activity(self) -> Activity:
        return merge_activities([simulate_activity(self.network, dc) for dc in self.network.dc_codes])

    def select_dc(self, dc: str) -> Activity:
        return Activity(**{name: getattr(self.activity, name).filter(dc=dc) for name in TABLES})

    @cached_property
    def items(self) -> pl.LazyFrame:
        return draw_master_data(self.network).items.lazy()

    @cached_property
    def orders(self) -> pl.DataFrame:
        return parsing.parse_frame(self.activity.order_lines.lazy(), schema.ORDER_LINES, table="order_lines").collect()

    @cached_property
    def shipments(self) -> pl.DataFrame:
        raw = self.activity.shipment_lines.lazy()
        return parsing.parse_frame(raw, schema.SHIPMENT_LINES, table="shipment_lines").collect()

    @cached_property
    def snapshots(self) -> pl.DataFrame:
        raw = self.activity.instock_snapshots.lazy().rename({"snapshot_date": "ship_date"})
        return parsing.parse_frame(raw, schema.INSTOCK_SNAPSHOTS, table="instock_snapshots").collect()

    @cached_property
    def lines(self) -> pl.DataFrame:
        zones = dict(draw_master_data(self.network).dcs.select("dc", "time_zone").iter_rows())
        return line_classification.classify_lines(
            self.orders.lazy(), self.shipments.lazy(), self.items, zones
        ).collect()

    @cached_property
    def item_days(self) -> pl.DataFrame:
        return item_days.compute_item_days(self.lines.lazy(), self.snapshots.lazy(), self.items).collect()

    @cached_property
    def records(self) -> pl.DataFrame:
        averages = rolling_baseline.compute_rolling_averages(self.item_days.lazy(), self.network.ship_days)
        waivers = draw_master_data(self.network).waivers.lazy()
        return lost_cases.compute_lost_cases(self.item_days.lazy(), averages, waivers).collect()
