"""The history of a DC: what its days add up to, a month at a time, so that reports and pages over a year are quick."""

from datetime import UTC, datetime
from typing import Final

import dagster as dg

from fillrate_assets.fillrate.defs.assets import AREA, OWNERS, classified_lines, lost_cases
from fillrate_assets.fillrate.fact_schema import FACTS, ITEM_FACTS
from fillrate_assets.fillrate.report.history import find_due_months, read_stored, write_history
from fillrate_assets.orchestration import partitions
from fillrate_assets.orchestration.asset_options import configure_asset
from fillrate_assets.orchestration.partition_events import add_partition_metadata
from fillrate_assets.orchestration.retries import make_retry_policy, translate_failures
from fillrate_assets.orchestration.run_concurrency import DcLock
from fillrate_assets.orchestration.ui_metadata import Metadata, describe_columns, make_column_metadata
from fillrate_assets.settings import Settings
from fillrate_assets.storage.lake import Lake

JOB: Final = "history"
_MINUTES: Final = 15


@dg.asset(
    key_prefix=AREA,
    group_name=AREA,
    owners=OWNERS,
    deps=[classified_lines, lost_cases],
    kinds={"duckdb", "parquet"},
    metadata={
        **make_column_metadata(ITEM_FACTS.schema),
        **{f"{name}_columns": describe_columns(each.schema) for name, each in FACTS.items() if each is not ITEM_FACTS},
    },
)
@translate_failures()
def history(context: dg.AssetExecutionContext, dc_lock: dg.ResourceParam[DcLock], lake: dg.ResourceParam[Lake]) -> None:
    """Add up lines, orders and lost cases by month, in the lake; reports and pages add up those.

    A partition is a DC: a run writes those of its months of which a day changed. Days that changed since are read
    themselves, so that no number is ever old.
    """
    dcs = context.partition_keys
    dc_lock.acquire(context, dcs)
    described: dict[str, Metadata] = {}
    for dc in dcs:
        written = write_history(lake, dc, datetime.now(UTC))
        months = ", ".join(f"{key.month:%Y-%m}" for key in written)
        described[dc] = {"months_written": months or "none", "days": sum(written.values())}
    add_partition_metadata(context, described)


def build(settings: Settings) -> dg.AssetsDefinition:
    """Add what follows from settings to the asset."""
    return configure_asset(
        history,
        retry_policy=make_retry_policy(settings.sensor.step_max_retries, settings.sensor.step_retry_delay_seconds),
        partitions_def=partitions.DC,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )


def build_schedule() -> dg.ScheduleDefinition:
    """Write the history of what was published in the last minutes."""

    @dg.schedule(
        name=JOB,
        job_name=JOB,
        cron_schedule=f"*/{_MINUTES} * * * *",
        execution_timezone="UTC",
        description="Every quarter of an hour: writes the months of which a day changed.",
        default_status=dg.DefaultScheduleStatus.STOPPED,
    )
    def follow(
        context: dg.ScheduleEvaluationContext, lake: dg.ResourceParam[Lake]
    ) -> list[dg.RunRequest] | dg.SkipReason:
        """Request a run for each DC of which a month is due."""
        due = {dc for dc, _ in find_due_months(read_stored(lake))} & {*partitions.list_dcs(context.instance)}
        if not due:
            return dg.SkipReason("every month of the history is as its days are")
        # The queue lets one run at a time work on a DC.
        return [dg.RunRequest(partition_key=dc, tags={partitions.DC_TAG: dc}) for dc in sorted(due)]

    return follow
