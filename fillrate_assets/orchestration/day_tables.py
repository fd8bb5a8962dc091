"""What assets by DC and ship date have in common: days that are replaced in the lake, and the check of their contract.

What the rows of a day are belongs to the areas.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import dagster as dg
import polars as pl

from fillrate_assets.core.errors import ContractViolation
from fillrate_assets.core.partition_key import DcDateRange, PartitionKey, cut_into_ranges
from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.orchestration import partitions
from fillrate_assets.orchestration.asset_options import configure_asset
from fillrate_assets.orchestration.partition_events import add_partition_metadata
from fillrate_assets.orchestration.retries import make_retry_policy, translate_failures
from fillrate_assets.orchestration.ui_metadata import Metadata, make_check_result, split_by_day
from fillrate_assets.settings import Settings
from fillrate_assets.storage.lake import Lake

MONTH: Final = 31
"""Days that are computed at a time: a year at once needs several times the memory and is no faster."""


def configure_stored_asset(
    asset: dg.AssetsDefinition, settings: Settings, kinds: Mapping[str, str], *, by_day: bool = True
) -> dg.AssetsDefinition:
    """Return an asset that is stored in the lake with the options that come from settings.

    Args:
        asset: of `@dg.asset`.
        settings: where partitions begin, how many days a run of a backfill has, and how failures are retried.
        kinds: database kind by the asset's pool, for the UI's badges.
        by_day: whether it has a partition for each DC and ship date.

    """
    return configure_asset(
        asset,
        retry_policy=make_retry_policy(settings.sensor.step_max_retries, settings.sensor.step_retry_delay_seconds),
        partitions_def=partitions.define_dc_ship_date(settings.first_ship_date) if by_day else None,
        backfill_policy=dg.BackfillPolicy.multi_run(settings.sensor.max_days_per_run) if by_day else None,
        kinds={kinds[asset.op.pool]} if asset.op.pool else set(),
    )


def replace_days(
    context: dg.AssetExecutionContext,
    lake: Lake,
    table: TableSchema,
    days: Iterable[PartitionKey],
    compute: Callable[[DcDateRange], pl.DataFrame],
    describe: Callable[[pl.DataFrame], Metadata],
) -> dg.MaterializeResult[None]:
    """Compute days a month at a time, replace them in the lake, and describe each in the UI.

    Args:
        context: of the asset.
        lake: where the days are.
        table: schema of their rows.
        days: the days to replace.
        compute: makes the rows of some days of a DC.
        describe: makes the metadata of a day's rows.

    """
    for span in cut_into_ranges(days, MONTH):
        rows = compute(span)
        lake.write(table, rows, span.partition_keys)
        add_day_metadata(context, rows, span.partition_keys, describe)
    return dg.MaterializeResult()


def add_day_metadata(
    context: dg.AssetExecutionContext,
    rows: pl.DataFrame,
    days: Iterable[PartitionKey],
    describe: Callable[[pl.DataFrame], Metadata],
    of_all: Metadata | None = None,
) -> None:
    """Add metadata to each day: what its rows say, and what holds of all of them."""
    parts, empty = split_by_day(rows), rows.clear()
    described: dict[str, Metadata] = {
        partitions.make_key(*day): describe(parts.get(day, empty)) | (of_all or {}) for day in days
    }
    add_partition_metadata(context, described)


def make_contract_check(
    asset: dg.AssetsDefinition,
    table: TableSchema,
    find_more: Callable[[pl.DataFrame], list[str]] | None = None,
    more: str = "",
) -> dg.AssetChecksDefinition:
    """Make the blocking check of an asset's contract.

    Args:
        asset: the asset.
        table: its schema.
        find_more: finds what else is wrong with rows that keep the schema.
        more: what that is about, for the UI.

    """

    def find_problems(rows: pl.DataFrame) -> list[str]:
        try:
            table.validate(rows)
        except ContractViolation as violation:
            return [str(violation)]
        return find_more(rows) if find_more is not None else []

    @dg.asset_check(
        asset=asset, name="contract", blocking=True, description=f"Columns, dtypes, nulls, codes and keys{more}."
    )
    @translate_failures()
    def check(context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Lake]) -> dg.AssetCheckResult:
        rows = lake.read(table, partitions.list_days(context)).collect()
        broken = {}
        if find_problems(rows):
            parts = split_by_day(rows)
            broken = {day: "; ".join(problems) for day, part in parts.items() if (problems := find_problems(part))}
        return make_check_result(
            context, broken, "what is stored was damaged: materialize the day again", blocking=True
        )

    return check
