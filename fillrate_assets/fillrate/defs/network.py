"""The comparison of DCs: one asset for each ship date, its check, its job, and the sensor that requests it."""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

import dagster as dg
import polars as pl

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.core.partition_key import PartitionKey, cut_into_ranges
from fillrate_assets.fillrate import demand_schema
from fillrate_assets.fillrate.defs.assets import AREA, OWNERS, usual_demand
from fillrate_assets.fillrate.network_store import NetworkStore
from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.fillrate.rules import network_factor
from fillrate_assets.fillrate.rules.network_planner import NetworkPlan, plan_networks
from fillrate_assets.fillrate.rules.rolling_baseline import LOOK_BACK_DAYS
from fillrate_assets.orchestration import partitions
from fillrate_assets.orchestration.asset_options import configure_asset, configure_check
from fillrate_assets.orchestration.partition_events import add_partition_metadata
from fillrate_assets.orchestration.retries import make_retry_policy, translate_failures
from fillrate_assets.orchestration.ui_metadata import Metadata, make_column_metadata, split_by_day
from fillrate_assets.settings import Settings
from fillrate_assets.storage.lake import Lake

JOB: Final = "network"
INTERVAL_SECONDS: Final = 300
DATES_AT_ONCE: Final = 7
"""Ship dates that are compared at a time: of ten DCs, as many rows as two months of one."""

_KEY: Final = ["dc", "ship_date"]


@dg.asset(
    key_prefix=AREA,
    group_name=AREA,
    owners=OWNERS,
    pool="record_store",
    deps=[dg.AssetDep(usual_demand, partition_mapping=partitions.define_all_dcs())],
    kinds={"polars", "parquet"},
    metadata=make_column_metadata(demand_schema.NETWORK_FACTORS),
)
@translate_failures()
def network_factors(
    context: dg.AssetExecutionContext,
    network_store: dg.ResourceParam[NetworkStore],
    record_store: dg.ResourceParam[RecordStore],
    lake: dg.ResourceParam[Lake],
) -> dg.MaterializeResult[None]:
    """Factors of the network: what of each item sold at the other DCs, over what is usual there, where it was out.

    A partition is a ship date. DCs of which nothing is known yet are left out, and named.
    """
    dates = list_dates(context)
    plan = _find_late(record_store, network_store, dates)
    described: dict[str, Metadata] = {}
    for begin in range(0, len(dates), DATES_AT_ONCE):
        compared = dates[begin : begin + DATES_AT_ONCE]
        for day, (dcs, changed) in compare_dcs(lake, network_store, compared, record_store.read_active_dcs()).items():
            described[day.isoformat()] = {"dcs": dcs, "days_changed": changed, "late": ", ".join(plan.get(day, ()))}
    add_partition_metadata(context, described)
    return dg.MaterializeResult()


def compare_dcs(
    lake: Lake, network_store: NetworkStore, dates: Sequence[date], dcs: Collection[str]
) -> dict[date, tuple[int, int]]:
    """Compare the DCs on ship dates: write the factors of each where they changed, and what the weights need.

    What is usual is read after its versions: of what a DC's run writes meanwhile, the version here is the older one,
    by which it shows that the date is due again.

    Returns:
        By date, how many DCs were compared, and of how many something changed.

    Raises:
        PermanentFailure: the lake has lost what is usual of a DC.

    """
    known = network_store.read(list(dcs), min(dates), max(dates)).filter(pl.col("ship_date").is_in(dates))
    days = [PartitionKey(dc, day) for dc, day in known.select(_KEY).iter_rows()]
    found = lake.read(demand_schema.USUAL_DEMAND, days).collect()
    observed = known.filter(pl.col("observed_items") > 0)
    if lost := observed.join(found, on=_KEY, how="anti").sort(_KEY).rows(named=True):
        of_day = f"{lost[0]['dc']} {lost[0]['ship_date']}"
        msg = f"the lake has lost {demand_schema.USUAL_DEMAND.name} of {of_day}: run the day again"
        raise PermanentFailure(msg)
    with_factors = network_factor.compare_usual_demand(found.lazy()).collect().lazy()
    fits = network_factor.compute_factor_fits(with_factors).collect()
    followed = split_by_day(network_factor.select_followed(with_factors).collect())
    versions = {day: network_factor.compute_version(followed[day]) if day in followed else None for day in days}
    unreadable = lake.find_unreadable(demand_schema.NETWORK_FACTORS, days)
    nothing = demand_schema.NETWORK_FACTORS.make_empty().collect()
    for day, before in zip(days, known["factors_version"], strict=True):
        if versions[day] != before or day in unreadable:
            lake.write(demand_schema.NETWORK_FACTORS, followed.get(day, nothing), [day])
    compared = (
        known.select(*_KEY, pl.col("usual_version").alias("compared_version"))
        .with_columns(pl.Series("factors_version", list(versions.values()), pl.String))
        .join(fits, on=_KEY, how="left")
    )
    changed = Counter(day for _, day in network_store.record_comparison(compared))
    return {day: (of_date, changed[day]) for day, of_date in Counter(day for _, day in days).items()}


@dg.asset_check(asset=network_factors)
@translate_failures()
def late_dcs(
    context: dg.AssetCheckExecutionContext,
    network_store: dg.ResourceParam[NetworkStore],
    record_store: dg.ResourceParam[RecordStore],
) -> dg.AssetCheckResult:
    """Every DC that ships on the weekday took part in the factors of the date."""
    late = _find_late(record_store, network_store, list_dates(context))
    named = "; ".join(f"{day}: {', '.join(dcs)}" for day, dcs in late.items())
    advice = ": their day is restated, and that of the others, once they come" if late else ""
    return dg.AssetCheckResult(
        passed=not late, severity=dg.AssetCheckSeverity.WARN, description=f"{named}{advice}" or None
    )


def network(
    context: dg.SensorEvaluationContext,
    settings: dg.ResourceParam[Settings],
    network_store: dg.ResourceParam[NetworkStore],
    record_store: dg.ResourceParam[RecordStore],
) -> dg.SensorResult:
    """Request the comparison of DCs on ship dates of which usual demand of a DC came or moved."""
    now = datetime.now(UTC)
    days = network_store.read_moved(record_store.read_active_dcs(), timedelta(days=LOOK_BACK_DAYS))
    plan = plan_networks(
        days,
        now=now,
        wait=timedelta(hours=settings.estimate.network_wait_hours),
        calendar=record_store.read_calendar(),
        in_progress=partitions.find_dates_in_progress(context.instance, JOB),
    )
    if not plan.due:
        return dg.SensorResult(skip_reason=_explain_skip(plan))
    # A run that failed is requested again: a key is good until the next retry is due.
    attempt = int(now.timestamp()) // (60 * settings.sensor.partition_retry_delay_minutes)

    def make_request(first: date, last: date) -> dg.RunRequest:
        usual = days.filter(pl.col("ship_date").is_between(first, last)).select("dc", "ship_date", "usual_version")
        digest = hashlib.sha256(repr(usual.rows()).encode()).hexdigest()[:16]
        return dg.RunRequest(run_key=f"{first}:{last}:{digest}:{attempt}", tags=partitions.make_date_tags(first, last))

    return dg.SensorResult(run_requests=[make_request(*span) for span in cut_dates(plan.due)])


def build(settings: Settings) -> list[dg.AssetsDefinition]:
    """Add what follows from settings to the asset."""
    return [
        configure_asset(
            network_factors,
            retry_policy=make_retry_policy(settings.sensor.step_max_retries, settings.sensor.step_retry_delay_seconds),
            partitions_def=partitions.define_ship_date(settings.first_ship_date),
            backfill_policy=dg.BackfillPolicy.single_run(),
        )
    ]


def build_check(settings: Settings) -> dg.AssetChecksDefinition:
    """Add the partitions, which begin where settings say, to the check."""
    return configure_check(late_dcs, partitions_def=partitions.define_ship_date(settings.first_ship_date))


def build_sensor() -> dg.SensorDefinition:
    """Return the sensor, which is off until someone switches it on."""
    return dg.sensor(
        job_name=JOB,
        description=network.__doc__,
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.STOPPED,
    )(network)


def list_dates(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> list[date]:
    """List the ship dates of a run."""
    return partitions.find_dates(context.op_execution_context.run.tags)


def cut_dates(dates: Iterable[date]) -> list[tuple[date, date]]:
    """Cut dates into ranges without gaps."""
    return [(span.first, span.last) for span in cut_into_ranges([("", day) for day in dates])]


def _find_late(
    record_store: RecordStore, network_store: NetworkStore, dates: Iterable[date]
) -> dict[date, tuple[str, ...]]:
    """Find the DCs that are late, by ship date."""
    wanted = sorted(dates)
    look_back = wanted[0] - timedelta(days=LOOK_BACK_DAYS)
    days = network_store.read(record_store.read_active_dcs(), look_back, wanted[-1])
    found = network_factor.find_late_dcs(days.lazy(), wanted, record_store.read_calendar().lazy()).collect()
    by_date = found.group_by("ship_date", maintain_order=True).agg("dc")
    return {day: tuple(dcs) for day, dcs in by_date.iter_rows()}


def _explain_skip(plan: NetworkPlan) -> str:
    if not plan.waiting:
        return "the factors of every ship date are those of its DCs"
    day, dcs = min(plan.waiting.items())
    return f"{len(plan.waiting)} ship dates wait for DCs that are late, e.g. {day} for {', '.join(dcs)}"
