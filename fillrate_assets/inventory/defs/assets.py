"""The stock as external assets, and the reconciliation of every two hours with its checks."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import dagster as dg
import polars as pl

from fillrate_assets.inventory import schema
from fillrate_assets.inventory.defs.resources import StockNetwork
from fillrate_assets.inventory.reconcile import Reconciled
from fillrate_assets.inventory.rules.reconciliation import measure_accuracy
from fillrate_assets.notifications.platform_outbox import Outbox
from fillrate_assets.orchestration.asset_options import declare_health_asset
from fillrate_assets.orchestration.ui_metadata import make_column_metadata, make_table

AREA: Final = "inventory"
OWNERS: Final = ["team:inventory"]
JOB: Final = "inventory_reconciliation"
HEALTH_JOB: Final = "inventory_health"
_HOURS: Final = 2
_FORMAT: Final = "%Y-%m-%dT%H:%M"
_MAX_AGE: Final = timedelta(hours=2.5)
_LISTED: Final = 50

STOCK: Final = dg.AssetSpec(
    [AREA, "stock"],
    description="What every DC has of every item, and what of it orders have reserved. Orders and counts write it.",
    metadata=make_column_metadata(schema.STOCK),
    group_name=AREA,
    owners=OWNERS,
)
CHANGES: Final = dg.AssetSpec(
    [AREA, "stock_changes"],
    deps=[STOCK],
    description="The stream and the ledger: each version of each count, written with it.",
    metadata=make_column_metadata(schema.STOCK_CHANGES),
    group_name=AREA,
    owners=OWNERS,
)
COPIES: Final = dg.AssetSpec(
    [AREA, "copies"],
    deps=[CHANGES],
    description="What every DC knows of the stock of all. `fillrate inventory worker` sends it.",
    metadata=make_column_metadata(schema.REPLICAS),
    group_name=AREA,
    owners=OWNERS,
)
EXTERNAL: Final = (STOCK, CHANGES, COPIES)
RECONCILIATION: Final = dg.AssetKey([AREA, "reconciliation"])
FED: Final = dg.AssetKey(["fillrate", "instock_snapshots"])
"""The asset of fill rates that may be read from the feed of snapshots, which reconciliations write."""

ANSWERED, EXPLAINED = "dcs_answer", "source_explains_itself"


def make_partitions(first: date) -> dg.TimeWindowPartitionsDefinition:
    """Make the windows of two hours, UTC, from a day on."""
    return dg.TimeWindowPartitionsDefinition(
        start=f"{first}T00:00", fmt=_FORMAT, cron_schedule=f"0 */{_HOURS} * * *", timezone="UTC"
    )


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
        description="Compares every copy of every count with the source, and repairs what differs.",
        metadata=make_column_metadata(schema.STORED_FINDINGS),
        check_specs=[
            dg.AssetCheckSpec(ANSWERED, asset=RECONCILIATION, description="Every DC answered."),
            dg.AssetCheckSpec(
                EXPLAINED,
                asset=RECONCILIATION,
                description="Counts are the sums of their changes, and reserved is what orders have open.",
            ),
        ],
    )
    def reconciliation(
        context: dg.AssetExecutionContext,
        stock_network: dg.ResourceParam[StockNetwork],
        outbox: dg.ResourceParam[Outbox],
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        """Reconcile now, for the window that is going on or has just ended."""
        now = datetime.now(UTC)
        window = context.partition_time_window
        if not window.start <= now < window.end + timedelta(hours=_HOURS):
            msg = (
                f"it compares what is there now: materialize the window of {now:{_FORMAT}}, not {context.partition_key}"
            )
            raise dg.Failure(msg, allow_retries=False)
        done = stock_network.reconcile(now)
        problems = {ANSWERED: _describe_failures(done), EXPLAINED: _describe_doubts(done)}
        for name, problem in problems.items():
            if problem is not None:
                outbox.send(f"inventory: {name}", problem, key=f"inventory:{name}:{now:%Y-%m-%dT%H}", now=now)
        yield dg.MaterializeResult(metadata=_describe(done))
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
        ended = context.scheduled_execution_time - timedelta(hours=_HOURS)
        key = make_partitions(first).get_partition_key_for_timestamp(ended.timestamp())
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


HEALTH: Final = declare_health_asset(
    [AREA, "inventory_health"], "Whether copies are compared at all.", deps=[RECONCILIATION], owners=OWNERS
)


@dg.asset_check(asset=HEALTH.key, description="Copies were compared in the last two and a half hours.")
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
        outbox.send("inventory: reconciliation_age", problem, key=f"inventory:age:{now:%Y-%m-%dT%H}", now=now)
    return dg.AssetCheckResult(passed=passed, description=problem)


def _describe(done: Reconciled) -> dict[str, Any]:
    compared = int(done.summary["compared"].sum())
    described: dict[str, Any] = {
        "compared": compared,
        "discrepancies": compared - int(done.summary["matching"].sum()),
        "repaired": done.repaired,
        "by DC": make_table(done.summary.drop("at", "failure")),
        "findings": make_table(done.findings.head(_LISTED)),
        "items with most discrepancies": make_table(_rank_items(done.findings)),
    }
    if done.accuracy is not None:
        described["accuracy, %"] = round(100 * done.accuracy, 4)
        described["discrepancy rate, %"] = round(100 * (1 - done.accuracy), 4)
    return described


def _rank_items(findings: pl.DataFrame) -> pl.DataFrame:
    wrong = measure_accuracy(findings, "item").filter(pl.col("discrepancies") > 0)
    return wrong.select("item", "discrepancies").sort("discrepancies", "item", descending=[True, False]).head(10)


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
