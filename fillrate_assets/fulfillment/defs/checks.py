"""Checks of the pipeline, run every quarter of an hour whatever happened: they also notice what did not."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import dagster as dg

from fillrate_assets.core.runbooks import name_runbook
from fillrate_assets.fulfillment import replay
from fillrate_assets.fulfillment.defs.assets import AREA, EFFECTS, OWNERS
from fillrate_assets.fulfillment.defs.resources import FulfillmentPipeline
from fillrate_assets.fulfillment.pipeline_store import read_last_seq
from fillrate_assets.fulfillment.rules.alarms import find_alarms
from fillrate_assets.orchestration.asset_options import declare_health_asset

JOB: Final = "fulfillment_health"
_EVERY: Final = timedelta(minutes=15)
_SAMPLE: Final = 2_000
"""Transitions whose orders are folded: the newest."""

_DESCRIPTIONS: Final = {
    "lag": "Events are applied soon after they are accepted.",
    "effect_age": "Effects are done soon after they are stored.",
    "stuck_orders": "No order or party is in a state for longer than the settings say.",
    "dead_letters": "No job was given up.",
    "parked_events": "No event is parked.",
    "conflicting_events": "No event of the last day contradicts one that is known.",
}

PIPELINE: Final = declare_health_asset(
    [AREA, "pipeline_health"], "Whether orders go on.", deps=[EFFECTS], owners=OWNERS
)
"""What the checks hang on."""


@dg.multi_asset_check(
    name="pipeline_status",
    specs=[
        dg.AssetCheckSpec(name, asset=PIPELINE.key, description=f"{text} Runbook: `{name_runbook(name)}`")
        for name, text in _DESCRIPTIONS.items()
    ],
    can_subset=True,
)
def pipeline_status(
    context: dg.AssetCheckExecutionContext, fulfillment_pipeline: dg.ResourceParam[FulfillmentPipeline]
) -> Iterator[dg.AssetCheckResult]:
    """Compare the status of the pipeline with the limits of the settings."""
    now = datetime.now(UTC)
    status = fulfillment_pipeline.read_status(now - _EVERY, now)
    found = find_alarms(status, fulfillment_pipeline.limits, now=now)
    for name in sorted(key.name for key in context.op_execution_context.selected_asset_check_keys):
        yield dg.AssetCheckResult(
            check_name=name, asset_key=PIPELINE.key, passed=name not in found, description=found.get(name)
        )


@dg.asset_check(
    asset=PIPELINE.key,
    description="The orders that changed last are where their logs say, and so are their lines in the feed. Runbook:"
    f" `{name_runbook('log_explains_orders')}`",
)
def log_explains_orders(fulfillment_pipeline: dg.ResourceParam[FulfillmentPipeline]) -> dg.AssetCheckResult:
    """Fold the logs of the orders that changed last: each is where its log says, and so are its lines in the feed."""
    database = fulfillment_pipeline.database
    since = max(1, read_last_seq(database) - _SAMPLE)
    result = replay.verify(database, replay.ReplayScope(since=since))
    named = result.problems
    return dg.AssetCheckResult(
        passed=not named,
        description=f"{named[0]} ({len(named)} in all): run the job fulfillment_replay" if named else None,
        metadata={"orders": result.orders, "events": result.events},
    )


CHECKS: Final = (pipeline_status, log_explains_orders)


def select_checks() -> dg.AssetSelection:
    """Select the checks."""
    return dg.AssetSelection.checks(*CHECKS)


def build_schedule() -> dg.ScheduleDefinition:
    """Run the checks every quarter of an hour."""
    return dg.ScheduleDefinition(
        name=JOB,
        job_name=JOB,
        cron_schedule="*/15 * * * *",
        execution_timezone="UTC",
        description="Every quarter of an hour: lag, effects, stuck orders, dead letters, and the log.",
        default_status=dg.DefaultScheduleStatus.STOPPED,
    )
