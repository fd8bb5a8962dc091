"""Checks of the whole platform, run once a day whatever ran: they also notice what did not run."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import dagster as dg
import polars as pl

from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.fillrate.defs.assets import AREA, OWNERS, published_records
from fillrate_assets.fillrate.defs.source_versions import Sources
from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.fillrate.rules import health
from fillrate_assets.fillrate.sources.line_versions import ChangeWindow
from fillrate_assets.notifications.platform_outbox import Outbox
from fillrate_assets.orchestration.asset_options import declare_health_asset
from fillrate_assets.settings import Settings

JOB: Final = "health_checks"
PLATFORM: Final = declare_health_asset(
    [AREA, "platform_health"],
    "Whether the platform as a whole is up to date.",
    deps=[published_records],
    owners=OWNERS,
)
"""What the checks hang on."""

_NAMED: Final = 20
_LONGEST_DUE: Final = timedelta(days=3)
"""Wherever a DC is, its latest day that is due is not older than that."""


@dg.asset_check(asset=PLATFORM.key)
def no_day_left_behind(
    settings: dg.ResourceParam[Settings],
    sources: dg.ResourceParam[Sources],
    record_store: dg.ResourceParam[RecordStore],
    outbox: dg.ResourceParam[Outbox],
) -> dg.AssetCheckResult:
    """No day is held, and no day's sources have been ahead of its records for long."""
    now = datetime.now(UTC)
    active = record_store.read_active_dcs()
    found = health.find_unpublished_days(
        sources.read_changes(active, sources.bound(sources.read_watermarks(), now), now),
        record_store.read_ledger().filter(pl.col("dc").is_in(active)),
        now=now,
        max_ahead=timedelta(hours=settings.health.max_unpublished_age_hours),
    )
    advice = "correct the feed of a held day; for others, see that the sensor new_orders is on and its runs succeed"
    return _report("no_day_left_behind", _label_days(found), advice, outbox, now)


@dg.asset_check(asset=PLATFORM.key)
def complete_by_deadline(
    settings: dg.ResourceParam[Settings],
    sources: dg.ResourceParam[Sources],
    record_store: dg.ResourceParam[RecordStore],
    outbox: dg.ResourceParam[Outbox],
) -> dg.AssetCheckResult:
    """Each active DC's latest due day, by its own clock, has its snapshot and is published, unless it was closed."""
    now = datetime.now(UTC)
    dcs = record_store.read_dcs()
    active = dcs.filter("active")["dc"].to_list()
    window = ChangeWindow(active, None, now.date() - _LONGEST_DUE, now.date())
    found = health.find_incomplete_days(
        dcs,
        set(map(PartitionKey._make, sources.order_system.read_changes(window).select("dc", "ship_date").iter_rows())),
        set(
            map(
                PartitionKey._make, sources.instock_warehouse.read_changes(window).select("dc", "ship_date").iter_rows()
            )
        ),
        record_store.read_ledger().filter(pl.col("dc").is_in(active)),
        now=now,
        deadline=settings.health.completeness_deadline,
    )
    advice = "have the snapshot delivered, or see why the day's run did not start or did not succeed"
    return _report("complete_by_deadline", _label_days(found), advice, outbox, now)


@dg.asset_check(asset=PLATFORM.key)
def fresh_sources(
    settings: dg.ResourceParam[Settings],
    sources: dg.ResourceParam[Sources],
    record_store: dg.ResourceParam[RecordStore],
    outbox: dg.ResourceParam[Outbox],
) -> dg.AssetCheckResult:
    """Require that each source has brought something new within hours."""
    now = datetime.now(UTC)
    active = record_store.read_active_dcs()
    found = health.find_stale_sources(
        sources.read_latest_changes(active, now),
        now=now,
        max_age=timedelta(hours=settings.health.max_source_silence_hours),
    )
    return _report("fresh_sources", found, "see whether the feed into that system still runs", outbox, now, warn=True)


CHECKS: Final = (no_day_left_behind, complete_by_deadline, fresh_sources)


def select_checks() -> dg.AssetSelection:
    """Select the health checks: a job of their own, and no part of a run over ship dates."""
    return dg.AssetSelection.checks(*CHECKS)


def build_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """Run the checks once a day."""
    return dg.ScheduleDefinition(
        name=JOB,
        job_name=JOB,
        cron_schedule=settings.health.checks_cron,
        execution_timezone="UTC",
        description="Once a day: days left behind, days incomplete at their deadline, and silent sources.",
        default_status=dg.DefaultScheduleStatus.STOPPED,
    )


def _label_days(found: Mapping[PartitionKey, str]) -> dict[str, str]:
    return {f"{dc} {day}": reason for (dc, day), reason in sorted(found.items())}


def _report(
    check: str, found: Mapping[str, str], advice: str, outbox: Outbox, now: datetime, *, warn: bool = False
) -> dg.AssetCheckResult:
    """Return the verdict, and notify people of the same findings once."""
    named = [f"{what}: {reason}" for what, reason in found.items()]
    more = f" (+{len(named) - 1} more)" if len(named) > 1 else ""
    if named:
        digest = hashlib.sha256("\n".join(named).encode()).hexdigest()[:16]
        body = "\n".join([*named[:_NAMED], *([f"and {len(named) - _NAMED} more"] if len(named) > _NAMED else [])])
        outbox.send(f"{check}: {len(named)} found", f"{body}\nTo do: {advice}.", key=f"{check}:{digest}", now=now)
    return dg.AssetCheckResult(
        passed=not named,
        severity=dg.AssetCheckSeverity.WARN if warn else dg.AssetCheckSeverity.ERROR,
        description=f"{named[0]}{more}: {advice}" if named else None,
        metadata={"found": len(named), "which": "; ".join(named[:_NAMED]) or "none"},
    )
