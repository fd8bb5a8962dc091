"""Assets that workers outside Dagster write, and the sensor that summarizes once a minute what they did.

Never one Dagster event per order: a summary has what happened since the one before it, and nothing where nothing did.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import dagster as dg

from fillrate_assets.core.runbooks import name_runbook
from fillrate_assets.fulfillment import schema
from fillrate_assets.fulfillment.defs.resources import FulfillmentPipeline
from fillrate_assets.fulfillment.report.lifecycle_picture import embed_picture
from fillrate_assets.fulfillment.rules.alarms import EVENTS, PipelineStatus, find_alarms
from fillrate_assets.fulfillment.rules.lifecycles import LIFECYCLES
from fillrate_assets.notifications.platform_outbox import Outbox
from fillrate_assets.orchestration.asset_options import declare_external_asset
from fillrate_assets.orchestration.ui_metadata import make_column_metadata

AREA: Final = "fulfillment"
OWNERS: Final = ["team:fulfillment"]
SENSOR: Final = "fulfillment_summary"
_EVERY: Final = timedelta(minutes=1)
_DRAWINGS: Final = {
    f"lifecycle of an {name}": dg.MetadataValue.md(embed_picture(machine)) for name, machine in LIFECYCLES.items()
}

ACCEPTED_EVENTS: Final = declare_external_asset(
    [AREA, "accepted_events"],
    "Events that were accepted and enqueued. The intake writes them.",
    columns=make_column_metadata(schema.ACCEPTED_EVENTS),
    owners=OWNERS,
)
TRANSITIONS: Final = declare_external_asset(
    [AREA, "transitions"],
    "The log: what each event did to its order. Workers write it.",
    columns={**make_column_metadata(schema.TRANSITIONS), **_DRAWINGS},
    deps=[ACCEPTED_EVENTS],
    owners=OWNERS,
)
EFFECTS: Final = declare_external_asset(
    [AREA, "effects"],
    "What transitions request of other systems, and what became of it. Workers write it.",
    columns=make_column_metadata(schema.EFFECTS),
    deps=[TRANSITIONS],
    owners=OWNERS,
)
ORDER_LINES: Final = declare_external_asset(
    [AREA, "order_lines"],
    "The feed: every version of the lines of orders, for fill rates. Workers write it.",
    columns=make_column_metadata(schema.FEED_ORDER_LINES),
    deps=[TRANSITIONS],
    owners=OWNERS,
)
SHIPMENT_LINES: Final = declare_external_asset(
    [AREA, "shipment_lines"],
    "The feed: every version of the lines of shipments, for fill rates. Workers write it.",
    columns=make_column_metadata(schema.FEED_SHIPMENT_LINES),
    deps=[TRANSITIONS],
    owners=OWNERS,
)
FEED: Final = {
    dg.AssetKey(["fillrate", "orders"]): ORDER_LINES,
    dg.AssetKey(["fillrate", "shipments"]): SHIPMENT_LINES,
}
"""By asset of fill rates, the table of this area that it may be read from."""

ASSETS: Final = (ACCEPTED_EVENTS, TRANSITIONS, EFFECTS, ORDER_LINES, SHIPMENT_LINES)


def build(kind: str) -> list[dg.AssetSpec]:
    """Add the kind of database that has them."""
    return [spec.replace_attributes(kinds={kind}) for spec in ASSETS]


@dg.sensor(
    name=SENSOR,
    minimum_interval_seconds=int(_EVERY.total_seconds()),
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Summarizes once a minute what the workers of fulfillment did, and sends alarms. It starts no run.",
)
def fulfillment_summary(
    context: dg.SensorEvaluationContext,
    fulfillment_pipeline: dg.ResourceParam[FulfillmentPipeline],
    outbox: dg.ResourceParam[Outbox],
) -> dg.SensorResult:
    """Summarize what happened since the summary before, and notify people of what is wrong, once an hour."""
    now = datetime.now(UTC)
    status = fulfillment_pipeline.read_status(now - _EVERY, now)
    for name, found in find_alarms(status, fulfillment_pipeline.limits, now=now).items():
        text = f"{found}\nRunbook: {name_runbook(name)}"
        outbox.send(f"fulfillment: {name}", text, key=f"fulfillment:{name}:{now:%Y-%m-%dT%H}", now=now)
    before = _read_cursor(context.cursor)
    counts = {"last_seq": status.last_seq, "effects": status.pending_effects, "dead_letters": status.dead_letters}
    if counts == before:
        return dg.SensorResult(skip_reason=dg.SkipReason("nothing happened since the summary before"))
    return dg.SensorResult(asset_events=[*summarize(status, before, now)], cursor=json.dumps(counts))


def summarize(status: PipelineStatus, before: Mapping[str, int], now: datetime) -> Iterator[dg.AssetMaterialization]:
    """Summarize a status as events of the assets.

    Args:
        status: the pipeline now.
        before: what the summary before counted; empty for the first one.
        now: UTC.

    """
    yield dg.AssetMaterialization(TRANSITIONS.key, metadata=_describe_transitions(status, before.get("last_seq", 0)))
    yield dg.AssetMaterialization(EFFECTS.key, metadata=_describe_effects(status, now))
    yield dg.AssetMaterialization(ACCEPTED_EVENTS.key, metadata={"waiting": status.waiting.get(EVENTS, 0)})
    for spec in (ORDER_LINES, SHIPMENT_LINES):
        rows = status.fed.get(spec.key.path[-1], 0)
        if rows or not before:
            yield dg.AssetMaterialization(spec.key, metadata={"rows in the last minute": rows})


def _read_cursor(cursor: str | None) -> dict[str, int]:
    """Read what the summary before counted; one that cannot be read counts as none."""
    try:
        found = json.loads(cursor or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _describe_transitions(status: PipelineStatus, before: int) -> dict[str, Any]:
    described: dict[str, Any] = {
        "applied": status.last_seq - before,
        "applied in all": status.last_seq,
        "waiting": sum(status.waiting.values()),
        "parked": status.parked,
    }
    if status.slowest is not None:
        described["slowest, s"] = round(status.slowest.total_seconds(), 3)
    return described


def _describe_effects(status: PipelineStatus, now: datetime) -> dict[str, Any]:
    described: dict[str, Any] = {
        "not done": status.pending_effects,
        "dead letters": status.dead_letters,
        **{f"waiting for {queue}": count for queue, count in sorted(status.waiting.items())},
    }
    if status.oldest_effect is not None:
        described["oldest, s"] = round((now - status.oldest_effect).total_seconds(), 3)
    for each in status.failures:
        described[f"failed: {each.function}: {each.failure}"] = each.effects
    return described
