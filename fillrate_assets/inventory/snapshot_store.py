"""The feed of instock snapshots in the record store: what each DC had at the first comparison of its day.

By the contract of the instock warehouse. Readers know the table alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import polars as pl
import sqlalchemy as sa

from fillrate_assets.core.codes import MAX_LENGTH
from fillrate_assets.inventory import schema
from fillrate_assets.storage.bulk_insert import insert
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.tables import declare_table

_SYSTEM: Final = "feed of snapshots"
SNAPSHOTS: Final = declare_table(
    schema.FEED_SNAPSHOTS,
    sa.Index("feed_instock_snapshots_by_day", "snapshot_date", "dc"),
    lengths={"dc": MAX_LENGTH, "item": MAX_LENGTH, "instock": 1, "on_hand_cases": 32, "problem": 1000},
)


def choose_utc_date(_dc: str, moment: datetime) -> date:
    """Return the date in UTC, where nothing else is known of a DC."""
    return moment.date()


@dataclass(frozen=True)
class SnapshotFeed:
    """The snapshots of an environment."""

    database: Database
    choose_date: Callable[[str, datetime], date] = choose_utc_date
    """Returns the business date of a DC at a moment."""

    def write(self, dc: str, copies: pl.DataFrame, *, at: datetime) -> bool:
        """Write the snapshot of a DC's day, if there is none yet; return whether it was written.

        Args:
            dc: the DC.
            copies: shape of `schema.REPLICAS`, as the DC has them; those of its own stock count.
            at: when they were read, UTC.

        """
        day = self.choose_date(dc, at)
        there = sa.select(SNAPSHOTS.c.item).where(SNAPSHOTS.c.dc == dc, SNAPSHOTS.c.snapshot_date == day).limit(1)
        own = copies.filter(~pl.col("deleted"), dc=dc)
        rows = own.select(
            "dc",
            pl.lit(day).alias("snapshot_date"),
            "item",
            pl.when(pl.col("on_hand_cases") > 0).then(pl.lit("Y")).otherwise(pl.lit("N")).alias("instock"),
            pl.col("on_hand_cases").cast(pl.String),
            pl.lit(at).alias("snapshot_at"),
            pl.lit(None, pl.String).alias("problem"),
        )
        with self.database.begin(_SYSTEM) as connection:
            if rows.is_empty() or connection.execute(there).first() is not None:
                return False
            insert(connection, SNAPSHOTS, schema.FEED_SNAPSHOTS.conform(rows.lazy()).collect())
        return True
