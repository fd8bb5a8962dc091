"""Why a run starts: the sources are ahead of the ledger."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

import dagster as dg
import polars as pl

from fillrate_assets import partitions
from fillrate_assets.connections.instock_warehouse import InstockWarehouse
from fillrate_assets.connections.order_system import OrderSystem
from fillrate_assets.connections.record_store import RecordStore
from fillrate_assets.connections.shipping_records import ShippingRecords
from fillrate_assets.connections.sql import Window
from fillrate_assets.connections.watermark import Watermark
from fillrate_assets.fillrate import changes
from fillrate_assets.fillrate.changes import WATERMARKED, Attempt, Pair, Plan
from fillrate_assets.settings import Settings

INTERVAL_SECONDS: Final = 300


def new_orders(
    context: dg.SensorEvaluationContext,
    settings: dg.ResourceParam[Settings],
    order_system: dg.ResourceParam[OrderSystem],
    shipping_records: dg.ResourceParam[ShippingRecords],
    instock_warehouse: dg.ResourceParam[InstockWarehouse],
    record_store: dg.ResourceParam[RecordStore],
    watermark: dg.ResourceParam[Watermark],
) -> dg.SensorResult:
    """Request runs for DCs and ship dates with new or corrected orders, shipments or snapshots, and dependants."""
    now = datetime.now(UTC)
    marks = {source: watermark.read(source) for source in WATERMARKED}
    active = record_store.dcs().filter("active")["dc"].to_list()
    ask = {"orders": order_system.changes, "shipments": shipping_records.changes}
    seen = {source: ask[source](_window(active, mark, settings, now)) for source, mark in marks.items()}
    seen["snapshots"] = instock_warehouse.changes(_snapshot_window(active, settings, now))
    plan = changes.plan(
        seen,
        record_store.ledger().filter(pl.col("dc").is_in(active)),
        read_cursor(context.cursor),
        now=now,
        retry_delay=timedelta(minutes=settings.retry_minutes),
    )
    for source, moment in plan.watermarks.items():
        if moment != marks[source]:
            watermark.move(source, moment, previous=marks[source])
    if plan.requests:
        return _result(context, plan)
    return dg.SensorResult(skip_reason=plan.reason or _nothing_new(marks), cursor=write_cursor(plan.attempts))


def build(job_name: str) -> list[dg.SensorDefinition]:
    """The sensors of the main job."""
    return [
        dg.sensor(
            job_name=job_name,
            minimum_interval_seconds=INTERVAL_SECONDS,
            default_status=dg.DefaultSensorStatus.STOPPED,
        )(new_orders)
    ]


def read_cursor(cursor: str | None) -> dict[Pair, Attempt]:
    """What earlier ticks requested."""
    entries = json.loads(cursor) if cursor else []
    return {
        (dc, date.fromisoformat(day)): Attempt(version, number, datetime.fromisoformat(at))
        for dc, day, version, number, at in entries
    }


def write_cursor(attempts: Mapping[Pair, Attempt]) -> str:
    """What this tick leaves to the next."""
    return json.dumps(
        [
            [dc, day.isoformat(), attempt.version, attempt.number, attempt.requested_at.isoformat()]
            for (dc, day), attempt in sorted(attempts.items())
        ]
    )


def _window(dcs: Sequence[str], mark: datetime | None, settings: Settings, now: datetime) -> Window:
    if mark is None:
        return Window(dcs, None, settings.first_ship_date, now.date())
    since = mark - timedelta(minutes=settings.overlap_minutes)
    # Orders placed ahead become due as days pass: look at those that did since the watermark as well.
    return Window(dcs, since, max(since.date(), settings.first_ship_date), now.date())


def _snapshot_window(dcs: Sequence[str], settings: Settings, now: datetime) -> Window:
    first = now.date() - timedelta(days=settings.snapshot_days)
    return Window(dcs, None, max(first, settings.first_ship_date), now.date())


def _result(context: dg.SensorEvaluationContext, plan: Plan) -> dg.SensorResult:
    known = set(context.instance.get_dynamic_partitions(partitions.DC.name or ""))
    new = sorted({request.dc for request in plan.requests} - known)
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                run_key=request.run_key,
                tags={
                    **partitions.range_tags(request.dc, request.first, request.last),
                    partitions.CHANGED_TAG: ",".join(day.isoformat() for day in request.changed),
                },
            )
            for request in plan.requests
        ],
        dynamic_partitions_requests=[partitions.DC.build_add_request(new)] if new else [],
        cursor=write_cursor(plan.attempts),
    )


def _nothing_new(marks: Mapping[str, datetime | None]) -> str:
    told = [f"{source} since {mark:%Y-%m-%d %H:%M} UTC" for source, mark in marks.items() if mark]
    return f"no new {', no new '.join(told)}" if told else "the sources hold nothing yet"
