"""Substitutes that ship on another date than the line they replace, from the order system and the shipping records.

Which line gets their cases is a rule (`rules.substitutes`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import polars as pl

from fillrate_assets.core.partition_key import DcDateRange, PartitionKey
from fillrate_assets.fillrate.rules.substitutes import SubstitutesElsewhere, place_substitutes, select_shipments_of
from fillrate_assets.fillrate.sources.order_system import OrderSystem
from fillrate_assets.fillrate.sources.shipping_records import ShippingRecords


@dataclass(frozen=True)
class SubstituteReader:
    """The two systems that know of substitutes what was ordered, and what shipped."""

    order_system: OrderSystem
    shipping_records: ShippingRecords

    def read(self, span: DcDateRange) -> SubstitutesElsewhere | None:
        """Read the substitutes for lines of some ship dates that ship on other dates themselves; None without any.

        Raises:
            SourceUnavailable: a system did not answer.

        """
        orders = self.order_system.read_split_orders(span.dc, span.first, span.last)
        if orders.is_empty():
            return None
        placed = (
            place_substitutes(orders.lazy())
            .filter(pl.col("replaced_ship_date").is_between(span.first, span.last))
            .collect()
        )
        first, last = placed["ship_date"].min(), placed["ship_date"].max()
        if not isinstance(first, date) or not isinstance(last, date):
            return None
        named = placed["order_id"].unique().sort().to_list()
        shipped = self.shipping_records.read_shipments_of(named, span.dc, first, last)
        return SubstitutesElsewhere(placed.lazy(), select_shipments_of(shipped.lazy(), placed.lazy()))

    def find_other_days(self, spans: Iterable[DcDateRange]) -> set[PartitionKey]:
        """Find the other ship dates of orders in which a line of some dates may replace one, or be replaced."""
        found: set[PartitionKey] = set()
        for span in spans:
            orders = self.order_system.read_split_orders(span.dc, span.first, span.last)
            found |= set(map(PartitionKey._make, orders.select("dc", "ship_date").unique().iter_rows()))
            found -= set(span.partition_keys)
        return found
