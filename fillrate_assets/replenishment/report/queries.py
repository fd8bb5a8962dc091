"""Stock buffers as commands, workbooks and pages read them: the latest of each DC, or those of a day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import polars as pl

from fillrate_assets.core.decimals import to_cases, to_units
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.replenishment import schema
from fillrate_assets.replenishment.recommendation_store import RecommendationStore
from fillrate_assets.replenishment.report.explain import LostOutOfStock
from fillrate_assets.replenishment.rules.decisions import score_decisions, select_decisions_in_force
from fillrate_assets.replenishment.rules.scoring import LISTED, ListOf, list_savings
from fillrate_assets.settings import Settings
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.lake import Lake

QUARTER_DAYS: Final = 91
SAVINGS_DAYS: Final = 7
"""Ship dates of which a weekly list has the recommendations."""


@dataclass(frozen=True)
class FillRateTables:
    """What stock buffers read of fill rates in the lake."""

    lost_cases: TableSchema
    """dc, ship_date, item, confirmed_cases, estimated_cases, lost_cases, and what `lacks_stock` needs."""

    items: TableSchema
    """item, valid_from, description, pack_size."""

    lacks_stock: pl.Expr
    """Whether a row of the lost cases is one for want of stock, which more of it would have saved."""


@dataclass(frozen=True)
class StockBuffers:
    """Recommendations, what was lost for want of them, and what buyers did."""

    store: RecommendationStore
    lake: Lake
    tables: FillRateTables

    @classmethod
    def from_settings(cls, settings: Settings, tables: FillRateTables) -> StockBuffers:
        """Open those of an environment."""
        return cls(RecommendationStore(Database.from_settings(settings)), Lake(settings.storage.lake_root), tables)

    def read(
        self,
        dcs: Sequence[str] | None = None,
        day: date | None = None,
        *,
        item: str | None = None,
        vendor: str | None = None,
        department: str | None = None,
    ) -> pl.DataFrame:
        """Read `RECOMMENDATIONS`: the latest of each DC, or those of a ship date."""
        if day is None:
            return self.store.read_latest(dcs, item=item, vendor=vendor, department=department)
        rows = self.lake.scan(schema.RECOMMENDATIONS, dcs, day, day)
        wanted = {"item": item, "vendor": vendor, "department": department}
        return (
            rows.filter(*(pl.col(name) == value for name, value in wanted.items() if value is not None))
            .sort(schema.RECOMMENDATIONS.key)
            .collect()
        )

    def find(self, dc: str, item: str, day: date | None = None) -> dict[str, Any]:
        """Find the recommendation of an item at a DC, the latest or that of a ship date.

        Raises:
            PermanentFailure: there is none.

        """
        rows = self.read([dc], day, item=item)
        if rows.height:
            return rows.row(0, named=True)
        latest = self.store.find_latest().get(dc)
        made = f"the latest of {dc} are of {latest}" if latest else f"none were made of {dc} yet"
        of_day = f" of {day}" if day else ""
        msg = f"there is no recommendation{of_day} for item {item} at {dc}; {made}: `fillrate replenishment run`"
        raise PermanentFailure(msg)

    def read_lost(self, dcs: Sequence[str] | None, first: date, last: date, item: str | None = None) -> pl.LazyFrame:
        """Read what was lost for want of stock: dc, item, ship_date, confirmed, estimated and lost cases."""
        rows = self.lake.scan(self.tables.lost_cases, dcs, first, last).filter(
            self.tables.lacks_stock, pl.col("lost_cases") > 0
        )
        if item is not None:
            rows = rows.filter(pl.col("item") == item)
        return rows.select("dc", "item", "ship_date", "confirmed_cases", "estimated_cases", "lost_cases")

    def read_lost_before(self, dc: str, item: str, day: date) -> LostOutOfStock:
        """Read what an item lost for want of stock in the quarter before a ship date."""
        lost = self.read_lost([dc], day - timedelta(days=QUARTER_DAYS), day - timedelta(days=1), item)
        sums = [to_cases(to_units(f"{name}_cases").sum()).alias(name) for name in ("confirmed", "estimated")]
        confirmed, estimated = lost.select(sums).collect().row(0)
        return LostOutOfStock("in the 13 weeks before", confirmed, estimated)

    def read_savings(self, dcs: Sequence[str] | None, last: date, of: ListOf, listed: int = LISTED) -> pl.DataFrame:
        """Read `SAVINGS`, the list of each buyer: of the recommendations whose period ended in the week to a day.

        What an order would have saved shows once its period is past: it was made as long before.
        """
        first = last - timedelta(days=SAVINGS_DAYS - 1)
        ends = pl.col("ship_date") + pl.duration(days="protection_days") - pl.duration(days=1)
        names = {*schema.SAVINGS.names, "lead_time_days", "protection_days"} - {"lost_cases", "saved_cases"}
        # Most periods end within a month; a longer one is looked for as far back as it is measured.
        longest = self.lake.scan(schema.RECOMMENDATIONS, dcs, last, last).select(pl.col("protection_days").max())
        days = longest.collect().item() or 0
        since = first - timedelta(days=days)
        made = self.lake.scan(schema.RECOMMENDATIONS, dcs, since, last).filter(
            ends.is_between(first, last), pl.col("gap_cases") > 0
        )
        lost = schema.LOST_DAYS.conform(self.read_lost(dcs, since, last))
        return list_savings(made.select(sorted(names)), lost, of, listed).collect()

    def read_decided_service(self, dcs: Sequence[str] | None, first: date | None, last: date | None) -> pl.DataFrame:
        """Read `DECIDED_SERVICE` of decisions about recommendations of these ship dates."""
        log = self.store.read_decisions(dcs, first=first)
        if last is not None:
            log = log.filter(pl.col("ship_date") <= last)
        decided = select_decisions_in_force(log.lazy())
        begin = log["ship_date"].min()
        scores = schema.SCORES.make_empty()
        if isinstance(begin, date):
            scores = self.lake.scan(schema.SCORES, log["dc"].unique().sort().to_list(), begin)
        return score_decisions(decided, scores).collect()

    def read_pack_sizes(self) -> pl.DataFrame:
        """Read the latest pack size and description of each item: item, description, pack_size."""
        master = self.lake.read_whole(self.tables.items).sort("valid_from").unique("item", keep="last")
        return master.select("item", "description", "pack_size").collect()
