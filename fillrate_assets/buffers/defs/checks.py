"""What must be true of a tick, checked on every DC of its run; and that ticks run at all."""

from datetime import UTC, datetime, timedelta
from typing import Final

import dagster as dg
import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.buffer_store import BufferStore
from fillrate_assets.buffers.defs.alert_dispatch import AlertDispatch
from fillrate_assets.buffers.defs.assets import AREA, OWNERS, buffer_alerts, buffer_recommendations, unit_timeseries
from fillrate_assets.buffers.defs.tick_run import LATE, TickRun, find_tick_run, list_operating_days
from fillrate_assets.buffers.policy_store import PolicyStore
from fillrate_assets.buffers.rules import notification_routing
from fillrate_assets.buffers.tick_store import LakeTickStore
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.core.text_columns import format_text
from fillrate_assets.notifications.notifiers.channel import redact_channel
from fillrate_assets.notifications.platform_outbox import Outbox
from fillrate_assets.orchestration.asset_options import configure_check, declare_health_asset
from fillrate_assets.orchestration.partitions import EASTERNMOST, define_dc_ship_date
from fillrate_assets.orchestration.ui_metadata import make_check_result, make_table
from fillrate_assets.settings import Settings
from fillrate_assets.storage.lake import Lake

JOB: Final = "buffer_heartbeat"
_NAMED: Final = 5
_SHOWN: Final = 100


@dg.asset_check(asset=buffer_recommendations, blocking=True)
def unknown_units_not_reported_clear(
    context: dg.AssetCheckExecutionContext,
    buffer_store: dg.ResourceParam[BufferStore],
    policies: dg.ResourceParam[PolicyStore],
    lake: dg.ResourceParam[Lake],
) -> dg.AssetCheckResult:
    """No unit of which nothing is known is called clear."""
    found = {
        day: _name_first(rows.filter(pl.col("quality") == "UNKNOWN", pl.col("verdict") == "CLEAR")["unit_id"])
        for day, rows in _find_run(context, buffer_store, policies, lake).read_latest(schema.RECOMMENDATIONS).items()
    }
    return make_check_result(
        context, _select_failing(found), "a rule is wrong: stop alerting by it, and report it", blocking=True
    )


@dg.asset_check(asset=unit_timeseries)
def warehouse_coverage(
    context: dg.AssetCheckExecutionContext,
    buffer_store: dg.ResourceParam[BufferStore],
    policies: dg.ResourceParam[PolicyStore],
    lake: dg.ResourceParam[Lake],
) -> dg.AssetCheckResult:
    """Every active warehouse has units in the tick, whatever its feeds say."""
    run = _find_run(context, buffer_store, policies, lake)
    missing: dict[PartitionKey, str] = {}
    for last in run.ticks[-1:]:
        present = run.tick_store.read(schema.UNIT_TIMESERIES, last, last).select("warehouse").unique().collect()
        watched = run.masters.warehouses.filter("active")
        absent = watched.join(present, on="warehouse", how="anti")
        for dc, day in list_operating_days(absent, last):
            missing[PartitionKey(dc, day)] = _name_first(absent.filter(pl.col("dc") == dc)["warehouse"])
    return make_check_result(context, _select_failing(missing), "give the warehouse its rows in unit_member")


@dg.asset_check(asset=unit_timeseries)
def master_data_valid(
    context: dg.AssetCheckExecutionContext,
    buffer_store: dg.ResourceParam[BufferStore],
    policies: dg.ResourceParam[PolicyStore],
    lake: dg.ResourceParam[Lake],
) -> dg.AssetCheckResult:
    """Every row of the tables that people change can be used."""
    run = _find_run(context, buffer_store, policies, lake)
    last = [run.tick_store.read(schema.UNIT_REJECTS, at, at).collect() for at in run.ticks[-1:]]
    members = [
        rows.select(
            pl.lit(schema.UNIT_MEMBERS.name).alias("table"),
            pl.concat_str("unit_id", "path", "role", separator=", ").alias("key"),
            "reason",
        )
        for rows in last
    ]
    rejects = pl.concat([run.everything.rejects, *members])
    named = _name_first(rejects.select(format_text("{} ({}): {}", "table", "key", "reason")).to_series())
    found = dict.fromkeys(run.days, named)
    shown = {"rows": rejects.height, "rejected": make_table(rejects.head(_SHOWN))}
    return make_check_result(
        context, _select_failing(found), "mend the row with SQL; the next tick reads it anew", warn=True, shown=shown
    )


@dg.asset_check(asset=buffer_alerts)
def alerts_have_route(
    context: dg.AssetCheckExecutionContext,
    buffer_store: dg.ResourceParam[BufferStore],
    policies: dg.ResourceParam[PolicyStore],
    lake: dg.ResourceParam[Lake],
    delivery: dg.ResourceParam[AlertDispatch],
) -> dg.AssetCheckResult:
    """Every notice has a channel: those of routes exist, there is a default, and nothing was lost for want of one."""
    run, now = _find_run(context, buffer_store, policies, lake), datetime.now(UTC)
    lost = delivery.notices.read_undelivered(now - timedelta(days=1))
    found = {day: _name_first(lost.filter(pl.col("dc") == day.dc)["rec_id"]) for day in run.days}
    routes = run.everything.alert_routes
    if unknown := delivery.find_unknown_channels(routes):
        named = ", ".join(map(redact_channel, unknown))
        found = {day: f"no such channel: {named}; {lost}" for day, lost in found.items()}
    usable = notification_routing.select_usable_routes(routes, unknown, fallback="", now=now)
    if not notification_routing.has_default_route(usable, now=now):
        found = {day: f"there is no default route; {lost}" for day, lost in found.items()}
    return make_check_result(
        context, _select_failing(found), "add a row to alert_route for *, *, * that takes ACT, or mend its channel"
    )


TICKS: Final = declare_health_asset(
    [AREA, "tick_health"], "Whether ticks run at all.", deps=[buffer_alerts], owners=OWNERS
)
"""What the heartbeat hangs on."""


@dg.asset_check(asset=TICKS.key)
def heartbeat(
    buffer_store: dg.ResourceParam[BufferStore],
    lake: dg.ResourceParam[Lake],
    outbox: dg.ResourceParam[Outbox],
) -> dg.AssetCheckResult:
    """Require a tick within the last quarter of an hour, for every DC that has an active warehouse."""
    now = datetime.now(UTC)
    late = {}
    for dc, day in list_operating_days(buffer_store.read_warehouses(), now):
        tick_store = LakeTickStore(lake, (dc,))
        # A tick without alerts is filed under its date in UTC.
        about = (day - timedelta(days=1), day + timedelta(days=1))
        ticks = [at for at in tick_store.list_ticks(schema.ALERTS, [dc], *about) if at <= now]
        if not ticks or now - ticks[-1] > LATE:
            late[dc] = f"{dc}: last tick {ticks[-1]:%Y-%m-%d %H:%M} UTC" if ticks else f"{dc}: no tick yet"
    advice = "see that the schedule buffer_ticks is on, that the daemon runs, and why its last run failed"
    if late:
        body = "\n".join([*late.values(), f"To do: {advice}."])
        outbox.send(f"buffers: no tick for {len(late)} DCs", body, key=f"heartbeat:{now:%Y-%m-%dT%H}", now=now)
    return dg.AssetCheckResult(passed=not late, description=f"{'; '.join(late.values())}: {advice}" if late else None)


CHECKS: Final = (unknown_units_not_reported_clear, warehouse_coverage, master_data_valid, alerts_have_route)
"""Of each DC and operating day."""


def build(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """Add the partitions, which begin where settings say, to the checks of a day; the heartbeat has none."""
    by_day = define_dc_ship_date(settings.first_ship_date, EASTERNMOST)
    return [*(configure_check(check, partitions_def=by_day) for check in CHECKS), heartbeat]


def select_heartbeat() -> dg.AssetSelection:
    """Select the check that ticks run: a job of its own, and no part of a tick."""
    return dg.AssetSelection.checks(heartbeat)


def _find_run(context: dg.AssetCheckExecutionContext, store: BufferStore, policies: PolicyStore, lake: Lake) -> TickRun:
    return find_tick_run(context, store, policies, lake, now=datetime.now(UTC))


def _name_first(found: pl.Series) -> str:
    """Return the first of them, and how many more there are; '' where there is none."""
    names = found.unique().sort().to_list()
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _select_failing(found: dict[PartitionKey, str]) -> dict[PartitionKey, str]:
    return {day: what for day, what in found.items() if what}
