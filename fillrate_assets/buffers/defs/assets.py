"""The assets of the buffers: each is a stage of the tick, for every tick of its run, and describes the last one."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from time import perf_counter
from typing import Final

import dagster as dg
import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.buffer_store import BufferStore
from fillrate_assets.buffers.defs import metadata
from fillrate_assets.buffers.defs.alert_dispatch import AlertDispatch
from fillrate_assets.buffers.defs.challenger_run import Bounds, ChallengerRun
from fillrate_assets.buffers.defs.tick_run import LATE, Context, TickRun, find_tick_run
from fillrate_assets.buffers.history_store import HistoryStore
from fillrate_assets.buffers.policy_store import PolicyStore
from fillrate_assets.buffers.report import policy_backtest
from fillrate_assets.buffers.rules import scorecard as feedback_rules
from fillrate_assets.buffers.rules import tick
from fillrate_assets.buffers.rules.path_signals import load_time_zone
from fillrate_assets.buffers.rules.policy import TICK_MINUTES, Promotion
from fillrate_assets.buffers.sources.floor_feeds import FloorFeeds
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.notifications.platform_outbox import Outbox
from fillrate_assets.orchestration.asset_options import configure_asset
from fillrate_assets.orchestration.partition_events import add_partition_metadata
from fillrate_assets.orchestration.partitions import EASTERNMOST, define_dc_ship_date, make_key
from fillrate_assets.orchestration.retries import make_retry_policy, translate_failures
from fillrate_assets.orchestration.ui_metadata import Metadata, make_column_metadata
from fillrate_assets.settings import Settings
from fillrate_assets.storage.lake import Lake

AREA: Final = "buffers"
"""Prefix of the asset keys, and their group."""

OWNERS: Final = ["team:floor-operations"]
JOB: Final = "buffer_tick"
SCORED_DAYS: Final = 7
"""How many operating days a scorecard looks back over."""

_RETRIES: Final = 2
_RETRY_SECONDS: Final = 5
"""A tick is worth little after the next one began."""


@dg.asset(
    key_prefix=AREA,
    group_name=AREA,
    owners=OWNERS,
    pool="floor_feeds",
    kinds={"polars"},
    metadata=make_column_metadata(schema.SIGNALS),
)
@translate_failures()
def buffer_signals(
    context: dg.AssetExecutionContext,
    floor_feeds: dg.ResourceParam[FloorFeeds],
    buffer_store: dg.ResourceParam[BufferStore],
    policies: dg.ResourceParam[PolicyStore],
    lake: dg.ResourceParam[Lake],
) -> dg.MaterializeResult[None]:
    """Signals of the floor: a row for each path and pool and tick, with its level in packages, its flows and people.

    A partition is a DC and an operating day: the date that the clock of the warehouse shows. The dimension is
    named `ship_date` in both areas.
    """
    run = _find_run(context, buffer_store, policies, lake)
    look_back = tick.compute_look_back(run.policy)
    errors, seconds = {}, 0.0
    for at in run.ticks:
        began = perf_counter()
        feeds = floor_feeds.read(snapshot_ts=at, look_back=look_back, warehouses=_select_warehouses(run))
        seconds += perf_counter() - began
        errors = dict(feeds.errors)
        for feed, problem in errors.items():
            context.log.error("%s at %s: %s", feed, at, problem)
        tick.sense(feeds, run.masters, run.tick_store, snapshot_ts=at, policy=run.policy)
    of_run: Metadata = {"feeds_failed": ", ".join(errors) or "none", "seconds_of_queries": round(seconds, 2)}
    return _describe_days(
        context, run, run.read_latest(schema.SIGNALS), lambda rows, _: metadata.summarize_signals(rows), of_run
    )


@dg.asset(
    key_prefix=AREA,
    group_name=AREA,
    owners=OWNERS,
    deps=[buffer_signals],
    kinds={"polars", "parquet"},
    metadata=make_column_metadata(schema.UNIT_TIMESERIES),
)
@translate_failures()
def unit_timeseries(
    context: dg.AssetExecutionContext,
    buffer_store: dg.ResourceParam[BufferStore],
    policies: dg.ResourceParam[PolicyStore],
    lake: dg.ResourceParam[Lake],
) -> dg.MaterializeResult[None]:
    """Operational units: how full each is at a tick, how fast it fills or empties, who works there, how good its data.

    A partition is a DC and an operating day: the date that the clock of the warehouse shows. The dimension is
    named `ship_date` in both areas.
    """
    run = _find_run(context, buffer_store, policies, lake)
    for at in run.ticks:
        tick.roll_up(run.masters, run.tick_store, snapshot_ts=at, policy=run.policy)
    return _describe_days(
        context, run, run.read_latest(schema.UNIT_TIMESERIES), lambda rows, _: metadata.summarize_units(rows)
    )


@dg.asset(
    key_prefix=AREA,
    group_name=AREA,
    owners=OWNERS,
    deps=[unit_timeseries],
    kinds={"polars", "parquet"},
    metadata=make_column_metadata(schema.RECOMMENDATIONS),
)
@translate_failures()
def buffer_recommendations(
    context: dg.AssetExecutionContext,
    buffer_store: dg.ResourceParam[BufferStore],
    policies: dg.ResourceParam[PolicyStore],
    lake: dg.ResourceParam[Lake],
) -> dg.MaterializeResult[None]:
    """Verdicts: what each unit is at a tick and needs by itself, and what remains of that once conflicts are resolved.

    A partition is a DC and an operating day: the date that the clock of the warehouse shows. The dimension is
    named `ship_date` in both areas.
    """
    run = _find_run(context, buffer_store, policies, lake)
    for at in run.ticks:
        tick.recommend(run.tick_store, snapshot_ts=at, policy=run.policy)
    return _describe_days(
        context, run, run.read_latest(schema.RECOMMENDATIONS), lambda rows, _: metadata.summarize_recommendations(rows)
    )


@dg.asset(
    key_prefix=AREA,
    group_name=AREA,
    owners=OWNERS,
    deps=[buffer_recommendations],
    kinds={"polars", "parquet"},
    metadata=make_column_metadata(schema.ALERTS),
)
@translate_failures()
def buffer_alerts(
    context: dg.AssetExecutionContext,
    buffer_store: dg.ResourceParam[BufferStore],
    policies: dg.ResourceParam[PolicyStore],
    lake: dg.ResourceParam[Lake],
    delivery: dg.ResourceParam[AlertDispatch],
    buffer_history: dg.ResourceParam[HistoryStore],
) -> dg.MaterializeResult[None]:
    """Alerts: what the floor is notified of at a tick, and what is suppressed, with the reason; the outbox sends them.

    A partition is a DC and an operating day: the date that the clock of the warehouse shows. The dimension is
    named `ship_date` in both areas.
    """
    run = _find_run(context, buffer_store, policies, lake)
    for at in run.ticks:
        tick.alert(run.masters, run.tick_store, snapshot_ts=at, policy=run.policy)
    now = datetime.now(UTC)
    began = perf_counter()
    dispatched = delivery.dispatch(run.everything, run.tick_store, policy=run.policy, now=now, show=context.log.info)
    # A tick of long ago proves nothing.
    if run.ticks and now - run.ticks[-1] <= LATE:
        delivery.ping(run.ticks[-1], run.everything.warehouses.filter("active").height, now=now)
    delivered_after = perf_counter() - began
    # After the alerts, which cannot wait for it.
    rows = sum(
        buffer_history.sync(run.tick_store, at, members=run.masters.unit_members, labels=run.masters.labels, now=now)
        for at in run.ticks
    )
    recommended = run.read_latest(schema.RECOMMENDATIONS)
    alerts = run.read_beside(schema.ALERTS, recommended)
    sent = dispatched.delivered
    of_run: Metadata = {
        "notices": dispatched.notices,
        "unroutable": dispatched.unroutable,
        "messages_sent": sent.sent,
        "messages_to_retry": sent.failed,
        "messages_left": sent.left,
        "messages_given_up": sent.given_up,
        "seconds_of_delivery": round(delivered_after, 2),
        "history_rows": rows,
        "seconds_of_history": round(perf_counter() - began - delivered_after, 2),
    }
    return _describe_days(
        context, run, recommended, lambda rows, day: metadata.summarize_alerts(alerts[day], rows), of_run
    )


@dg.asset(
    key_prefix=AREA,
    group_name=AREA,
    owners=OWNERS,
    deps=[buffer_alerts],
    kinds={"polars", "parquet"},
    metadata=make_column_metadata(schema.ANSWERS_OF_DAY),
)
@translate_failures()
def buffer_feedback(
    context: dg.AssetExecutionContext,
    buffer_store: dg.ResourceParam[BufferStore],
    policies: dg.ResourceParam[PolicyStore],
    lake: dg.ResourceParam[Lake],
) -> dg.MaterializeResult[None]:
    """Feedback: what the floor answered to alerts, a row for each answer.

    A partition is a DC and an operating day: the date that the clock of the warehouse shows. The dimension is
    named `ship_date` in both areas.
    """
    run = _find_run(context, buffer_store, policies, lake)
    answers = _select_days(buffer_store.read_feedback(_find_begin(run)), "answered_at", run)
    rows = schema.ANSWERS_OF_DAY.conform(answers.lazy()).sort(schema.ANSWERS_OF_DAY.key).collect()
    lake.write(schema.ANSWERS_OF_DAY, rows, run.days)
    return _describe_days(context, run, _split_by_day(rows, run), lambda part, _: metadata.summarize_feedback(part))


@dg.asset(
    key_prefix=AREA,
    group_name=AREA,
    owners=OWNERS,
    deps=[buffer_feedback],
    kinds={"polars", "parquet"},
    metadata=make_column_metadata(schema.SCORECARD_OF_DAY),
)
@translate_failures()
def algorithm_scorecard(
    context: dg.AssetExecutionContext,
    buffer_store: dg.ResourceParam[BufferStore],
    policies: dg.ResourceParam[PolicyStore],
    lake: dg.ResourceParam[Lake],
    delivery: dg.ResourceParam[AlertDispatch],
    outbox: dg.ResourceParam[Outbox],
    floor_feeds: dg.ResourceParam[FloorFeeds],
) -> dg.MaterializeResult[None]:
    """Scorecard: how right the alerts of seven days were, by the floor's answers: precision, recall, false alarms.

    A partition is a DC and an operating day: the date that the clock of the warehouse shows. The dimension is
    named `ship_date` in both areas.
    """
    run = _find_run(context, buffer_store, policies, lake)
    since = _find_begin(run) - timedelta(days=SCORED_DAYS - 1)
    answers = buffer_store.read_feedback(since)
    notices = delivery.notices.read_since(since)
    _roll_back_if_worse(context, run, policies, outbox, notices, answers)
    _run_challengers(context, run, floor_feeds)
    _promote_if_better(context, run, policies, outbox, buffer_store)
    cards = [_compute_scorecard(run, dc, day, notices, answers) for dc, day in run.days]
    rows = pl.concat([schema.SCORECARD_OF_DAY.make_empty().collect(), *cards]).sort(schema.SCORECARD_OF_DAY.key)
    lake.write(schema.SCORECARD_OF_DAY, rows, run.days)
    return _describe_days(context, run, _split_by_day(rows, run), lambda part, _: metadata.summarize_scorecard(part))


ASSETS: Final = (
    buffer_signals,
    unit_timeseries,
    buffer_recommendations,
    buffer_alerts,
    buffer_feedback,
    algorithm_scorecard,
)


def build(settings: Settings, feeds_kind: str) -> list[dg.AssetsDefinition]:
    """Add what follows from settings to the assets.

    Args:
        settings: where partitions begin.
        feeds_kind: database kind of the feeds, for the UI's badges.

    """
    return [
        configure_asset(
            asset,
            retry_policy=make_retry_policy(_RETRIES, _RETRY_SECONDS),
            partitions_def=define_dc_ship_date(settings.first_ship_date, EASTERNMOST),
            # Every tick of a day again takes minutes.
            backfill_policy=dg.BackfillPolicy.multi_run(1),
            kinds={feeds_kind} if asset.op.pool else set(),
        )
        for asset in ASSETS
    ]


def _find_run(context: Context, store: BufferStore, policies: PolicyStore, lake: Lake) -> TickRun:
    return find_tick_run(context, store, policies, lake, now=datetime.now(UTC))


def _run_challengers(context: dg.AssetExecutionContext, run: TickRun, feeds: FloorFeeds) -> None:
    """Run every challenger; what goes wrong with one is logged and stops nothing."""
    for policy, beside in run.tracks[1:]:
        try:
            trial = ChallengerRun(policy, beside, feeds, run.masters, run.ticks, _select_warehouses(run))
            problem = trial.run(Bounds())
        except Exception as error:  # noqa: BLE001 - nothing of a challenger may stop the run of the champion
            problem = repr(error)
        if problem:
            context.log.error("challenger %s: %s", policy.version, problem)


def _roll_back_if_worse(
    context: dg.AssetExecutionContext,
    run: TickRun,
    policies: PolicyStore,
    outbox: Outbox,
    notices: pl.DataFrame,
    answers: pl.DataFrame,
) -> None:
    """Give a promoted policy's place back to the one it replaced, if it is less precise than that one surely was."""
    contenders, now = run.contenders, datetime.now(UTC)
    ours = notices.filter(pl.col("policy_version") == run.policy.version)
    if contenders.replaced is None or not feedback_rules.needs_rollback(
        ours, answers, precision_low=contenders.precision_low, promotion=Promotion(), now=now
    ):
        return
    policies.roll_back(contenders, by="platform", now=now)
    subject = f"buffers: policy {run.policy.version} gave its place back to {contenders.replaced}"
    body = (
        f"Of its alerts of the last {Promotion().rollback_days} days, fewer than {contenders.precision_low:.1%} were"
        " about real problems. To do: read algorithm_scorecard and what the floor answered."
    )
    context.log.error("%s", subject)
    outbox.send(subject, body, key=f"roll back:{run.policy.version}:{now:%Y-%m-%d}", now=now)


def _promote_if_better(
    context: dg.AssetExecutionContext,
    run: TickRun,
    policies: PolicyStore,
    outbox: Outbox,
    store: BufferStore,
) -> None:
    """Promote a challenger that is better by what the floor answered, where a setting allows it: once a day."""
    if not policies.promotes_automatically or not any(at.hour == 0 and at.minute < TICK_MINUTES for at in run.ticks):
        return
    now = datetime.now(UTC)
    for policy, beside in run.tracks[1:]:
        try:
            evidence = policy_backtest.collect_evidence(
                run.tick_store, beside, store, policies, policy.version, now=now
            )
            if not evidence.promoted:
                context.log.info("challenger %s: %s", policy.version, "; ".join(evidence.objections))
                continue
            policies.promote(policy.version, evidence, by="platform", now=now)
        except Exception:
            # Nothing of a challenger may stop the run of the champion.
            context.log.exception("challenger %s", policy.version)
            continue
        subject = f"buffers: policy {policy.version} took the place of {run.policy.version}"
        body = "\n".join(
            [*policy_backtest.ChallengerTrial(evidence).lines, "To do: nothing; it is rolled back if worse."]
        )
        context.log.info("%s", subject)
        outbox.send(subject, body, key=f"promote:{policy.version}:{now:%Y-%m-%d}", now=now)
        return


def _select_warehouses(run: TickRun) -> list[str] | None:
    """Return the warehouses to read from the feeds; None, which is quicker, where these are all that are watched."""
    here, watched = (each.warehouses.filter("active")["warehouse"] for each in (run.masters, run.everything))
    return None if len(here) == len(watched) else here.to_list()


def _describe_days(
    context: dg.AssetExecutionContext,
    run: TickRun,
    rows: dict[PartitionKey, pl.DataFrame],
    describe: Callable[[pl.DataFrame, PartitionKey], Metadata],
    of_run: Mapping[str, float | str] | None = None,
) -> dg.MaterializeResult[None]:
    """Describe each day as it is, whichever tick was its last; below that, of the run."""
    whole = {**(of_run or {}), "ticks_computed": len(run.ticks), "seconds": round(perf_counter() - run.began, 2)}
    described = {
        str(make_key(*day)): {**(describe(rows[day], day) if day in rows else _NOTHING), **whole} for day in run.days
    }
    add_partition_metadata(context, described)
    return dg.MaterializeResult()


_NOTHING: Final[Metadata] = {"dagster/partition_row_count": 0, "state": "no tick of this day yet"}


def _find_begin(run: TickRun) -> datetime:
    """Return a moment before any of the run's operating days began anywhere."""
    return datetime.combine(min(day for _, day in run.days), datetime.min.time(), UTC) - timedelta(days=1)


def _select_days(rows: pl.DataFrame, moment: str, run: TickRun) -> pl.DataFrame:
    """Select rows of the run's days, with their dc and ship_date as `_add_operating_day` adds them."""
    days = pl.DataFrame(run.days, schema={"dc": pl.String, "ship_date": pl.Date}, orient="row")
    return _add_operating_day(rows, moment, run).join(days, on=["dc", "ship_date"], how="semi")


def _add_operating_day(rows: pl.DataFrame, moment: str, run: TickRun) -> pl.DataFrame:
    """Add dc and ship_date to rows of the run's warehouses: the date of a moment at the warehouse's own time."""
    clocks = run.masters.warehouses.select("warehouse", "dc", "time_zone")
    placed = [
        part.with_columns(
            pl.col(moment).dt.convert_time_zone(load_time_zone(str(zone)).key).dt.date().alias("ship_date")
        )
        for (zone,), part in rows.join(clocks, on="warehouse").group_by("time_zone", maintain_order=True)
    ]
    empty = rows.clear().with_columns(dc=pl.lit(None, pl.String), time_zone=None, ship_date=pl.lit(None, pl.Date))
    return pl.concat([empty, *placed], how="diagonal_relaxed")


def _split_by_day(rows: pl.DataFrame, run: TickRun) -> dict[PartitionKey, pl.DataFrame]:
    return {day: rows.filter(pl.col("dc") == day.dc, pl.col("ship_date") == day.ship_date) for day in run.days}


def _compute_scorecard(run: TickRun, dc: str, day: date, notices: pl.DataFrame, answers: pl.DataFrame) -> pl.DataFrame:
    """Compute how right the alerts of a DC were, of the days up to one."""
    here = run.masters.warehouses.filter(pl.col("dc") == dc)
    within = pl.col("ship_date").is_between(day - timedelta(days=SCORED_DAYS - 1), day)
    heard = answers.join(here, on="warehouse", how="semi")
    missed_elsewhen = _add_operating_day(feedback_rules.select_missed_problems(heard), "episode_ts", run).filter(
        ~within
    )
    heard = heard.join(missed_elsewhen, on="rec_id", how="anti")
    card = feedback_rules.compute_scorecard(notices.filter(pl.col("dc") == dc, within), heard)
    return schema.SCORECARD_OF_DAY.conform(card.lazy().with_columns(dc=pl.lit(dc), ship_date=pl.lit(day))).collect()
