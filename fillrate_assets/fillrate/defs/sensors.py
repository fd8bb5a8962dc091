"""What is watched: sources ahead of the ledger start runs, DCs get partition keys, failed runs are reported."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, TypeVar

import dagster as dg
import polars as pl

from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.fillrate.defs import exports
from fillrate_assets.fillrate.defs.assets import orders, published_records
from fillrate_assets.fillrate.defs.source_versions import Sources
from fillrate_assets.fillrate.network_store import NetworkStore
from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.fillrate.rules import change_planner
from fillrate_assets.fillrate.rules.change_planner import Attempt, Plan
from fillrate_assets.fillrate.rules.dc_partitions import plan_onboarding
from fillrate_assets.fillrate.rules.failure_messages import FailedRun, format_failure
from fillrate_assets.fillrate.watermark import Watermark
from fillrate_assets.notifications.platform_outbox import Outbox
from fillrate_assets.orchestration import partitions
from fillrate_assets.orchestration.asset_options import name_step
from fillrate_assets.orchestration.partition_events import find_backfill_keys
from fillrate_assets.orchestration.retries import find_root_cause
from fillrate_assets.settings import Settings

INTERVAL_SECONDS: Final = 300
PRIORITY_TAG: Final = "dagster/priority"
_FIRST_YEAR: Final = 2000

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T", list[Any], dict[str, Any])


def new_orders(
    context: dg.SensorEvaluationContext,
    settings: dg.ResourceParam[Settings],
    sources: dg.ResourceParam[Sources],
    record_store: dg.ResourceParam[RecordStore],
    network_store: dg.ResourceParam[NetworkStore],
    watermark: dg.ResourceParam[Watermark],
) -> dg.SensorResult:
    """Request runs for DCs and ship dates with new or corrected orders, shipments or snapshots, and dependants.

    Also for days of which what other DCs sold has moved since.
    """
    now = datetime.now(UTC)
    stored = sources.read_watermarks()
    marks = sources.bound(stored, now)
    for source in [source for source, mark in marks.items() if mark != stored[source]]:
        text = "the watermark of %s, %s, is later than anything there: everything is compared with the ledger"
        context.log.warning(text, source, stored[source])
    active = record_store.read_active_dcs()
    found, network = sources.read_changes(active, marks, now), network_store.read_unfollowed(active)
    plan = change_planner.plan_runs(
        found,
        _read_ledger(record_store, found, network).filter(pl.col("dc").is_in(active)),
        _begin_anew_if_unreadable(context, lambda: read_cursor(context.cursor, now)),
        now=now,
        retry_delay=timedelta(minutes=settings.sensor.partition_retry_delay_minutes),
        max_requests=settings.sensor.max_runs_per_sensor_tick,
        in_progress=_find_days_in_progress(context.instance),
        network=network,
    )
    if plan.left_out:
        context.log.info("%d more runs wait for the next tick: max_runs_per_sensor_tick is exceeded", plan.left_out)
    for source, moment in plan.watermarks.items():
        if moment != stored[source]:
            watermark.move(source, moment, previous=stored[source])
    if plan.requests:
        return _make_result(context, plan)
    return dg.SensorResult(skip_reason=plan.reason or _explain_skip(marks, found), cursor=write_cursor(plan.attempts))


def dcs(
    context: dg.SensorEvaluationContext,
    settings: dg.ResourceParam[Settings],
    record_store: dg.ResourceParam[RecordStore],
) -> dg.SensorResult:
    """Give active DCs of the record store a partition key, and take it from those that are inactive for long."""
    now = datetime.now(UTC)
    inactive = _begin_anew_if_unreadable(context, lambda: read_inactive_since(context.cursor, now))
    decided = plan_onboarding(
        record_store.read_active_dcs(),
        partitions.list_dcs(context.instance),
        partitions.find_runs_by_dc(context.instance, queued=True),
        inactive,
        now=now,
        retention=timedelta(days=settings.sensor.dc_retention_days),
    )
    cursor = json.dumps({dc: since.isoformat() for dc, since in decided.inactive_since.items()})
    if decided.reason:
        return dg.SensorResult(skip_reason=decided.reason, cursor=cursor)
    add = [partitions.DC.build_add_request(list(decided.add))] if decided.add else []
    remove = [partitions.DC.build_delete_request(list(decided.remove))] if decided.remove else []
    return dg.SensorResult(dynamic_partitions_requests=[*add, *remove], cursor=cursor)


def run_failures(
    context: dg.RunFailureSensorContext,
    settings: dg.ResourceParam[Settings],
    outbox: dg.ResourceParam[Outbox],
) -> None:
    """Notify people of each run that failed: once, with its DC, ship dates, step, cause and what to do."""
    subject, body = format_failure(_describe_failure(context), settings.notifications.ui_url)
    # Dagster does not come back to a run whose message could not be stored; it is in the log of the tick at least.
    context.log.error("%s\n%s", subject, body)
    outbox.send(subject, body, key=f"run failed:{context.dagster_run.run_id}", now=datetime.now(UTC))


def build(job_name: str) -> list[dg.SensorDefinition]:
    """Return the sensors: of the main job, of the table of DCs, of failed runs, of exports."""
    stopped = dg.DefaultSensorStatus.STOPPED

    def make_sensor(evaluate: Callable[..., dg.SensorResult], job_name: str | None = None) -> dg.SensorDefinition:
        return dg.sensor(
            job_name=job_name,
            description=evaluate.__doc__,
            minimum_interval_seconds=INTERVAL_SECONDS,
            default_status=stopped,
        )(evaluate)

    failures = dg.run_failure_sensor(
        name=run_failures.__name__,
        description=run_failures.__doc__,
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=stopped,
    )
    exported = dg.AutomationConditionSensorDefinition(
        exports.NAME,
        target=dg.AssetSelection.assets(exports.exports),
        description="Exports the days whose records were published since, as one backfill.",
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=stopped,
    )
    return [make_sensor(new_orders, job_name), make_sensor(dcs), failures(run_failures), exported]


def read_cursor(cursor: str | None, now: datetime) -> dict[PartitionKey, Attempt]:
    """Return what earlier ticks requested.

    Raises:
        ValueError: the cursor is not one of this sensor.

    """
    attempts = {}
    for entry in _parse(cursor, list):
        match entry:
            case [str(dc), str(day), str(version), int(number), str(at)] if number >= 1:
                attempts[PartitionKey(dc, date.fromisoformat(day))] = Attempt(version, number, _parse_past(at, now))
            case _:
                msg = f"{entry!r} is no attempt"
                raise ValueError(msg)
    return attempts


def read_inactive_since(cursor: str | None, now: datetime) -> dict[str, datetime]:
    """Return since when DCs are inactive.

    Raises:
        ValueError: the cursor is not one of this sensor.

    """
    return {dc: _parse_past(since, now) for dc, since in _parse(cursor, dict).items()}


def _begin_anew_if_unreadable(context: dg.SensorEvaluationContext, read: Callable[[], dict[K, V]]) -> dict[K, V]:
    """Read a cursor; one that cannot be read is logged, and replaced at the end of this tick."""
    try:
        return read()
    except (ValueError, RecursionError) as error:
        context.log.warning("the cursor cannot be read, and is begun anew: %s", error)
        return {}


def _parse(cursor: str | None, shape: type[T]) -> T:
    found = json.loads(cursor) if cursor else shape()
    if not isinstance(found, shape):
        msg = f"it is no {shape.__name__}"
        raise ValueError(msg)  # noqa: TRY004 - as of any other text that is no cursor
    return found


def _parse_past(text: object, now: datetime) -> datetime:
    """Parse a time with a zone; one that has not come, as after a clock was put right, is now."""
    moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    if moment is None or moment.tzinfo is None or moment.year < _FIRST_YEAR:
        msg = f"{text!r} is no time"
        raise ValueError(msg)
    return min(moment, now)


def write_cursor(attempts: Mapping[PartitionKey, Attempt]) -> str:
    """Encode what this tick leaves to the next."""
    return json.dumps(
        [
            [dc, day.isoformat(), attempt.version, attempt.number, attempt.requested_at.isoformat()]
            for (dc, day), attempt in sorted(attempts.items())
        ]
    )


def _read_ledger(record_store: RecordStore, found: Mapping[str, pl.DataFrame], network: pl.DataFrame) -> pl.DataFrame:
    """Read the ledger of the days that snapshots are compared of, and of DCs with an older day that may be due."""
    due: list[tuple[str, date]] = [*record_store.read_held_days()]
    due += [pair for pairs in (network, *found.values()) for pair in pairs.select("dc", "ship_date").iter_rows()]
    since = found["snapshots"]["ship_date"].min()
    first = since if isinstance(since, date) else None
    return record_store.read_ledger_of({dc for dc, day in due if first is None or day < first}, first)


def _find_days_in_progress(instance: dg.DagsterInstance) -> set[PartitionKey]:
    """Return what runs and backfills are about to read and publish; between its runs a backfill has none."""
    read, published = orders.key, published_records.key
    backfilled = find_backfill_keys(instance, read, published)
    return partitions.find_days_in_progress(instance, read) | set(map(partitions.parse_key, backfilled))


def _make_result(context: dg.SensorEvaluationContext, plan: Plan) -> dg.SensorResult:
    known = set(partitions.list_dcs(context.instance))
    new = sorted({request.dc for request in plan.requests} - known)
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                run_key=request.run_key,
                tags={
                    # Before the runs of a backfill, which may be many.
                    PRIORITY_TAG: "1",
                    **partitions.make_range_tags(request.dc, request.first, request.last),
                    partitions.CHANGED_TAG: partitions.make_changed_tag(request.changed),
                },
            )
            for request in plan.requests
        ],
        dynamic_partitions_requests=[partitions.DC.build_add_request(new)] if new else [],
        cursor=write_cursor(plan.attempts),
    )


def _describe_failure(context: dg.RunFailureSensorContext) -> FailedRun:
    run = context.dagster_run
    steps = [event for event in context.get_step_failure_events() if event.step_failure_data.error]
    errors = [event.step_failure_data.error for event in steps]
    # Of a run whose process died there is no more than a message.
    ended = getattr(context.failure_event.event_specific_data, "error", None)
    error = next((error for error in [*errors, ended] if error), None)
    kind, cause = find_root_cause(error) if error else ("", context.failure_event.message or "no error was reported")
    scope = partitions.find_rectangle(run.tags)
    return FailedRun(
        run_id=run.run_id,
        job=run.job_name,
        dcs=scope.dcs(context.instance) if scope else [],
        first=scope.first if scope else None,
        last=scope.last if scope else None,
        steps=[name_step(event.step_key or "") for event in steps],
        kind=kind,
        cause=cause,
        requested_again=partitions.CHANGED_TAG in run.tags,
    )


def _explain_skip(marks: Mapping[str, datetime | None], found: Mapping[str, pl.DataFrame]) -> str:
    looked = [f"{source} since {mark:%Y-%m-%d %H:%M} UTC" for source, mark in marks.items() if mark]
    if looked:
        return f"no new {', no new '.join(looked)}"
    if any(not versions.is_empty() for versions in found.values()):
        return "everything that the sources hold is published"
    return "the sources hold nothing yet"
