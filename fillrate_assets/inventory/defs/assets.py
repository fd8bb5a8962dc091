"""The stock as external assets, and the reconciliation of every two hours with its checks."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Final

import dagster as dg

from fillrate_assets.core.runbooks import name_runbook
from fillrate_assets.inventory import schema
from fillrate_assets.inventory.defs.metadata import describe_reconciliation, describe_sync
from fillrate_assets.inventory.defs.resources import StockNetwork
from fillrate_assets.inventory.reconcile import Reconciled
from fillrate_assets.inventory.rules.sync_alarms import find_alarms
from fillrate_assets.notifications.platform_outbox import Outbox
from fillrate_assets.orchestration.asset_options import declare_external_asset, declare_health_asset
from fillrate_assets.orchestration.ui_metadata import make_column_metadata

AREA: Final = "inventory"
OWNERS: Final = ["team:inventory"]
JOB: Final = "inventory_reconciliation"
SENSOR: Final = "inventory_summary"
HEALTH_JOB: Final = "inventory_health"
_HOURS: Final = 2
_WINDOW_OF: Final = timedelta(hours=_HOURS)
_LATEST: Final = timedelta(hours=2, minutes=15)
"""After the end of its window, a comparison of now is no longer one of it."""

_FORMAT: Final = "%Y-%m-%dT%H:%M"
_WINDOW: Final = timedelta(minutes=5)
_MAX_AGE: Final = timedelta(hours=2.5)

STOCK: Final = declare_external_asset(
    [AREA, "stock"],
    "What every DC has of every item, and what of it orders have reserved. Orders and counts write it.",
    columns=make_column_metadata(schema.STOCK),
    owners=OWNERS,
)
CHANGES: Final = declare_external_asset(
    [AREA, "stock_changes"],
    "The stream and the ledger: each version of each count, written with it.",
    columns=make_column_metadata(schema.STOCK_CHANGES),
    deps=[STOCK],
    owners=OWNERS,
)
COPIES: Final = declare_external_asset(
    [AREA, "copies"],
    "What every DC knows of the stock of all. `fillrate inventory worker` sends it.",
    columns=make_column_metadata(schema.REPLICAS),
    deps=[CHANGES],
    owners=OWNERS,
)
EXTERNAL: Final = (STOCK, CHANGES, COPIES)
RECONCILIATION: Final = dg.AssetKey([AREA, "reconciliation"])
FED: Final = dg.AssetKey(["fillrate", "instock_snapshots"])
"""The asset of fill rates that may be read from the feed of snapshots, which reconciliations write."""

ANSWERED, EXPLAINED, AGE = "dcs_answer", "source_explains_itself", "reconciliation_age"
_DESCRIPTIONS: Final = {
    ANSWERED: "Every DC answered.",
    EXPLAINED: "Counts are the sums of their changes, and reserved is what orders have open.",
}


def make_partitions(first: date) -> dg.TimeWindowPartitionsDefinition:
    """Make the windows of two hours, UTC, from a day on."""
    return dg.TimeWindowPartitionsDefinition(
        start=f"{first}T00:00", fmt=_FORMAT, cron_schedule=f"0 */{_HOURS} * * *", timezone="UTC"
    )


def find_last_window(first: date, now: datetime) -> str:
    """Find the window that has ended last."""
    key = make_partitions(first).get_partition_key_for_timestamp((now - _WINDOW_OF).timestamp())
    assert isinstance(key, str)  # noqa: S101 - of a definition without dimensions
    return key


def build(first: date, kind: str) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """Build the assets.

    Args:
        first: day of the first window.
        kind: of the record store.

    """
    partitions = make_partitions(first)

    @dg.asset(
        key=RECONCILIATION,
        deps=[STOCK, COPIES],
        partitions_def=partitions,
        group_name=AREA,
        owners=OWNERS,
        kinds={kind, "polars"},
        description="Compares every copy of every count with the source, and repairs what differs. The plots of its"
        " metadata show accuracy and discrepancies by DC and what was found, by class; the rows are in"
        " `reconciliation_findings`.",
        metadata=make_column_metadata(schema.STORED_FINDINGS),
        check_specs=[
            dg.AssetCheckSpec(name, asset=RECONCILIATION, description=f"{text} Runbook: `{name_runbook(name)}`")
            for name, text in _DESCRIPTIONS.items()
        ],
    )
    def reconciliation(
        context: dg.AssetExecutionContext,
        stock_network: dg.ResourceParam[StockNetwork],
        outbox: dg.ResourceParam[Outbox],
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        """Reconcile now, for the window that is going on or has just ended."""
        now = datetime.now(UTC)
        if not timedelta(0) <= now - context.partition_time_window.end < _LATEST:
            last = find_last_window(first, now)
            msg = (
                f"it compares what is there now: materialize the window of {last}, not that of {context.partition_key}"
            )
            raise dg.Failure(msg, allow_retries=False)
        done = stock_network.reconcile(now)
        problems = {ANSWERED: _describe_failures(done), EXPLAINED: _describe_doubts(done)}
        for name, problem in problems.items():
            if problem is not None:
                _notify(outbox, name, problem, now)
        yield dg.MaterializeResult(metadata=describe_reconciliation(done))
        for name, problem in problems.items():
            yield dg.AssetCheckResult(
                check_name=name, asset_key=RECONCILIATION, passed=problem is None, description=problem
            )

    return [*(spec.replace_attributes(kinds={kind}) for spec in EXTERNAL), reconciliation]


def build_schedules(first: date) -> list[dg.ScheduleDefinition]:
    """Reconcile at the end of each window, and see every quarter of an hour that it was done."""
    stopped = dg.DefaultScheduleStatus.STOPPED

    @dg.schedule(
        name=JOB,
        job_name=JOB,
        cron_schedule=f"0 */{_HOURS} * * *",
        execution_timezone="UTC",
        description="Every two hours: compares the copies of all DCs with the stock, and repairs what differs.",
        default_status=stopped,
    )
    def reconcile(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        """Request the window that has just ended."""
        key = find_last_window(first, context.scheduled_execution_time)
        return dg.RunRequest(run_key=key, partition_key=key)

    health = dg.ScheduleDefinition(
        name=HEALTH_JOB,
        job_name=HEALTH_JOB,
        cron_schedule="*/15 * * * *",
        execution_timezone="UTC",
        description="Every quarter of an hour: whether copies were compared in the last two and a half hours.",
        default_status=stopped,
    )
    return [reconcile, health]


@dg.sensor(
    name=SENSOR,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Summarizes once a minute how changes went to the DCs, and sends alarms. It starts no run.",
)
def inventory_summary(
    context: dg.SensorEvaluationContext,
    stock_network: dg.ResourceParam[StockNetwork],
    outbox: dg.ResourceParam[Outbox],
) -> dg.SensorResult:
    """Summarize the last minutes, and notify people of what is wrong, once an hour."""
    now = datetime.now(UTC)
    status = stock_network.read_sync(now, _WINDOW)
    for name, found in find_alarms(status, now=now).items():
        _notify(outbox, name, found, now)
    metadata = describe_sync(status)
    shown = json.dumps(metadata, sort_keys=True)
    if shown == context.cursor or not (status.replicas or status.unread):
        return dg.SensorResult(skip_reason=dg.SkipReason("nothing happened since the summary before"))
    return dg.SensorResult(asset_events=[dg.AssetMaterialization(COPIES.key, metadata=metadata)], cursor=shown)


def _notify(outbox: Outbox, name: str, found: str, now: datetime) -> None:
    """Notify people of what is wrong and what to do about it, once an hour."""
    text = f"{found}\nRunbook: {name_runbook(name)}"
    outbox.send(f"inventory: {name}", text, key=f"inventory:{name}:{now:%Y-%m-%dT%H}", now=now)


HEALTH: Final = declare_health_asset(
    [AREA, "inventory_health"], "Whether copies are compared at all.", deps=[RECONCILIATION], owners=OWNERS
)


@dg.asset_check(
    asset=HEALTH.key,
    name=AGE,
    description=f"Copies were compared in the last two and a half hours. Runbook: `{name_runbook(AGE)}`",
)
def reconciliation_age(
    stock_network: dg.ResourceParam[StockNetwork], outbox: dg.ResourceParam[Outbox]
) -> dg.AssetCheckResult:
    """Compare the time of the last reconciliation with now; where there was none, that is a failure as well."""
    now, last = datetime.now(UTC), stock_network.store.read_last_time()
    passed = last is not None and now - last <= _MAX_AGE
    problem = None
    if not passed:
        when = "never" if last is None else f"last at {last:%Y-%m-%d %H:%M} UTC"
        problem = f"copies were compared {when}: see that the schedule {JOB} is on and its runs succeed"
        _notify(outbox, AGE, problem, now)
    return dg.AssetCheckResult(passed=passed, description=problem)


def _describe_failures(done: Reconciled) -> str | None:
    named = [f"{name}: {failure}" for name, failure in sorted(done.failures.items())]
    return f"{'; '.join(named)}: what it lacks is sent when it answers again" if named else None


def _describe_doubts(done: Reconciled) -> str | None:
    doubts = done.findings.filter(action="REVIEW").sort("dc", "item")
    if doubts.is_empty():
        return None
    first = doubts.row(0, named=True)
    name = f"{first['finding']} of {first['item']} in {first['dc']}"
    return f"{name} ({len(doubts)} in all): `fillrate inventory explain {first['item']} {first['dc']}` has its changes"
