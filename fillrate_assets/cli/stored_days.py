"""What the record store, the lake and Dagster know of each day, compared."""

from __future__ import annotations

import dagster as dg
import polars as pl

from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.defs.assets import published_records
from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.fillrate.rules.stored_days import find_disagreements
from fillrate_assets.orchestration import partitions
from fillrate_assets.settings import Settings
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.lake import Lake


def compare_stores(settings: Settings, instance: dg.DagsterInstance) -> tuple[int, pl.DataFrame]:
    """Compare the three; return how many days the ledger has, and what `find_disagreements` finds."""
    ledger = RecordStore(Database.from_settings(settings)).read_ledger()
    lake = Lake(settings.storage.lake_root)
    days = pl.Schema({"dc": pl.String(), "ship_date": pl.Date()})
    held = lake.scan(schema.LOST_CASES).group_by("dc", "ship_date").agg(records=pl.len().cast(pl.Int64)).collect()
    # A day without records is a file without rows.
    files = pl.DataFrame(lake.list_partitions(schema.LOST_CASES), schema=days, orient="row")
    stored = files.join(held, on=["dc", "ship_date"], how="left").with_columns(pl.col("records").fill_null(0))
    keys = sorted(map(partitions.parse_key, instance.get_materialized_partitions(published_records.key)))
    shown = pl.DataFrame(keys, schema=days, orient="row")
    return ledger.height, find_disagreements(ledger, stored, shown)
