"""What must be true of stock buffers, checked on every partition of a run; the failing ones are named."""

from datetime import timedelta
from typing import Final

import dagster as dg
import polars as pl

from fillrate_assets.core.decimals import format_percent
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.orchestration import partitions
from fillrate_assets.orchestration.asset_options import configure_check
from fillrate_assets.orchestration.day_tables import make_contract_check
from fillrate_assets.orchestration.retries import translate_failures
from fillrate_assets.orchestration.ui_metadata import make_check_result, split_by_day
from fillrate_assets.replenishment import schema
from fillrate_assets.replenishment.defs.assets import (
    ASSETS,
    TABLES,
    stock_buffer_recommendations,
    stock_buffer_scores,
)
from fillrate_assets.replenishment.defs.resources import Supply
from fillrate_assets.replenishment.rules.scoring import find_missed_targets
from fillrate_assets.settings import Settings
from fillrate_assets.storage.lake import Lake

SCORED_DAYS: Final = 28
"""Days whose periods are looked at together: those of one day have the same weather."""

MAX_SHARE_WITHOUT_NUMBER: Final = 0.20
"""Above this share, a list of what to order leaves out more than seldom sold items."""

_NAMED: Final = 5


@dg.asset_check(asset=stock_buffer_recommendations)
@translate_failures()
def items_without_number(context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Lake]) -> dg.AssetCheckResult:
    """Most items have a number; of the others it is said why."""
    rows = (
        lake.read(schema.RECOMMENDATIONS, partitions.list_days(context)).select("dc", "ship_date", "reason").collect()
    )
    low = {}
    for day, part in split_by_day(rows).items():
        without = part["reason"].count()
        if without > MAX_SHARE_WITHOUT_NUMBER * part.height:
            reasons = part["reason"].drop_nulls().value_counts(sort=True).iter_rows()
            named = ", ".join(f"{reason} {count:,}" for reason, count in reasons)
            low[day] = f"{without:,} of {part.height:,} items have no number ({named})"
    return make_check_result(
        context, low, "expected in the first weeks of a DC; later, look for gaps in its history", warn=True
    )


@dg.asset_check(asset=stock_buffer_recommendations)
@translate_failures()
def rejected_terms(context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Lake]) -> dg.AssetCheckResult:
    """No terms or positions were rejected that numbers would be made of."""
    rows = (
        lake.read(schema.RECOMMENDATIONS, partitions.list_days(context))
        .filter(pl.col("rejected").is_not_null())
        .select("dc", "ship_date", "item", "rejected")
        .sort("item")
        .collect()
    )
    touched = {
        day: f"{part.height:,} items, {', '.join(part['item'].head(_NAMED))}: {part['rejected'][0]}"
        for day, part in split_by_day(rows).items()
    }
    return make_check_result(
        context, touched, "correct the file and load it again: `fillrate replenishment load`", warn=True
    )


@dg.asset_check(asset=stock_buffer_scores)
@translate_failures()
def service_reached(context: dg.AssetCheckExecutionContext, supply: dg.ResourceParam[Supply]) -> dg.AssetCheckResult:
    """Over the four weeks to each day, every target was reached within three points."""
    days = partitions.list_days(context)
    first = min(day for _, day in days) - timedelta(days=SCORED_DAYS - 1)
    dcs = sorted({dc for dc, _ in days})
    service = supply.recommendations.read_service(dcs, first, max(day for _, day in days)).lazy()
    missed = {}
    for dc, day in days:
        weeks = service.filter(
            pl.col("dc") == dc, pl.col("ship_date").is_between(day - timedelta(days=SCORED_DAYS - 1), day)
        )
        found = find_missed_targets(weeks).collect()
        if found.height:
            missed[PartitionKey(dc, day)] = "; ".join(
                f"{format_percent(row['reached'])} of {row['periods']:,} periods served for a target of"
                f" {format_percent(row['quantile'])}"
                for row in found.iter_rows(named=True)
            )
    return make_check_result(
        context,
        missed,
        "see `fillrate replenishment score`: lead times that are too short, or demand that drifts",
        warn=True,
    )


CHECKS: Final = (
    *(make_contract_check(asset, TABLES[asset.key]) for asset in ASSETS),
    items_without_number,
    rejected_terms,
    service_reached,
)


def build(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """Add the partitions, which begin where settings say, to the checks."""
    by_day = partitions.define_dc_ship_date(settings.first_ship_date)
    return [configure_check(check, partitions_def=by_day) for check in CHECKS]
