"""The assets of the main job: each is a call of a rule plus what it tells about the result."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Final

import dagster as dg
import polars as pl

from fillrate_assets.core import partition_key
from fillrate_assets.core.partition_key import DcDateRange, PartitionKey
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.defs import metadata
from fillrate_assets.fillrate.record_store import DayPublication, PublishResult, RecordStore
from fillrate_assets.fillrate.rules import failure_messages, item_master_changes, rolling_baseline, service_metrics
from fillrate_assets.fillrate.rules import line_classification as line_rules
from fillrate_assets.fillrate.rules import lost_cases as lost_case_rules
from fillrate_assets.fillrate.rules.change_planner import NOTHING_PROCESSED, VERSIONS
from fillrate_assets.fillrate.rules.quality_gate import find_held_days
from fillrate_assets.fillrate.rules.rolling_baseline import LOOK_BACK_DAYS
from fillrate_assets.fillrate.sources.instock_warehouse import InstockWarehouse
from fillrate_assets.fillrate.sources.order_system import OrderSystem
from fillrate_assets.fillrate.sources.shipping_records import ShippingRecords
from fillrate_assets.notifications.outbox import Outbox
from fillrate_assets.orchestration import partitions
from fillrate_assets.orchestration.lake_io_manager import Replacement
from fillrate_assets.orchestration.partition_events import add_partition_metadata
from fillrate_assets.orchestration.retries import retry_policy, typed_failures
from fillrate_assets.orchestration.ui_metadata import Metadata, by_day, column_schema
from fillrate_assets.settings import Settings
from fillrate_assets.storage.lake import Lake

GROUP: Final = "fillrate"
OWNERS: Final = ["team:supply-analytics"]
FRAMES: Final = {
    frame.name: frame
    for frame in (
        schema.ORDER_LINES,
        schema.SHIPMENT_LINES,
        schema.INSTOCK_SNAPSHOTS,
        schema.ITEMS,
        schema.CLASSIFIED_LINES,
        schema.ITEM_DAYS,
        schema.ROLLING_AVERAGES,
        schema.LOST_CASES,
        schema.FILL_RATES,
    )
}
"""What the lake stores, by asset name."""

SOURCES: Final = ("orders", "shipments", "instock_snapshots")
MONTH: Final = 31
"""Days that are computed at a time: a year at once needs several times the memory and is no faster."""

_NAMED: Final = 20


def orders(context: dg.AssetExecutionContext, order_system: dg.ResourceParam[OrderSystem]) -> Replacement:
    """Order lines as the order system holds them, every version."""
    return _read(context, order_system.read_order_lines)


def shipments(context: dg.AssetExecutionContext, shipping_records: dg.ResourceParam[ShippingRecords]) -> Replacement:
    """Shipment lines as the shipping records hold them, every version."""
    return _read(context, shipping_records.read_shipment_lines)


def instock_snapshots(
    context: dg.AssetExecutionContext, instock_warehouse: dg.ResourceParam[InstockWarehouse]
) -> Replacement:
    """The day's instock record of every stocked item."""

    def read() -> Iterator[tuple[pl.DataFrame, list[PartitionKey]]]:
        days = sorted(partitions.changed_days(context))
        # One query for all the days that are computed at a time, wherever they lie: a query has a price of its own.
        for begin in range(0, len(days), MONTH):
            asked = days[begin : begin + MONTH]
            answer = instock_warehouse.read(asked)
            scanned = {} if answer.bytes_scanned is None else {"query_bytes_scanned": answer.bytes_scanned}
            _tell(context, answer.rows, asked, metadata.source, scanned)
            yield answer.rows, asked

    return Replacement(read())


def items(
    context: dg.AssetExecutionContext,
    order_system: dg.ResourceParam[OrderSystem],
    record_store: dg.ResourceParam[RecordStore],
    lake: dg.ResourceParam[Lake],
    outbox: dg.ResourceParam[Outbox],
) -> pl.DataFrame:
    """The item master, effective-dated: type, vendor, department, pack size, contract."""
    found = order_system.read_items().sort("item", "valid_from")
    _tell_changed(lake.stored_whole(schema.ITEMS), found, record_store.read_ledger(), outbox)
    kinds = dict(found.group_by("item_type").len().iter_rows())
    context.add_asset_metadata({"dagster/row_count": found.height, "items": found["item"].n_unique(), **kinds})
    return found


def classified_lines(
    context: dg.AssetExecutionContext,
    record_store: dg.ResourceParam[RecordStore],
    orders: pl.LazyFrame,
    shipments: pl.LazyFrame,
    instock_snapshots: pl.LazyFrame,
    items: pl.LazyFrame,
) -> Replacement:
    """What became of every order line: counted, excluded, rejected or superseded, and why."""
    zones = dict(record_store.read_dcs().select("dc", "time_zone").iter_rows())

    def classified(span: DcDateRange) -> pl.DataFrame:
        ordered, shipped, stocked = (_of(frame, span) for frame in (orders, shipments, instock_snapshots))
        judged = line_rules.classify_lines(ordered, shipped, items, zones)
        return pl.concat([judged, line_rules.classify_snapshot_rejects(stocked)]).collect()

    return Replacement(_computed(context, partitions.changed_days(context), classified, metadata.lines))


def item_days(
    context: dg.AssetExecutionContext,
    classified_lines: pl.LazyFrame,
    instock_snapshots: pl.LazyFrame,
    items: pl.LazyFrame,
) -> Replacement:
    """Ordered and shipped cases per item and day, beside its instock record."""

    def summed(span: DcDateRange) -> pl.DataFrame:
        return line_rules.compute_item_days(_of(classified_lines, span), _of(instock_snapshots, span), items).collect()

    return Replacement(_computed(context, partitions.changed_days(context), summed, metadata.item_days))


def rolling_averages(context: dg.AssetExecutionContext, item_days: pl.LazyFrame) -> Replacement:
    """Mean daily ordered cases on the in-stock ship days before each ship date."""

    def averaged(span: DcDateRange) -> pl.DataFrame:
        return rolling_baseline.compute_rolling_averages(
            item_days.filter(pl.col("dc") == span.dc), span.ship_dates
        ).collect()

    return Replacement(_computed(context, partitions.all_days(context), averaged, metadata.averages))


def lost_cases(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    record_store: dg.ResourceParam[RecordStore],
    classified_lines: pl.LazyFrame,
    item_days: pl.LazyFrame,
    rolling_averages: pl.LazyFrame,
) -> Replacement:
    """Of everything ordered, what did not ship, and on which path; held days keep their last good records."""
    held = _held(context, settings, classified_lines, item_days)
    waivers = record_store.read_waivers().lazy()
    add_partition_metadata(context, {partitions.key(dc, day): {"held": reason} for (dc, day), reason in held.items()})

    def lost(span: DcDateRange) -> pl.DataFrame:
        records = lost_case_rules.compute_lost_cases(_of(item_days, span), _of(rolling_averages, span), waivers)
        return records.sort("dc", "ship_date", "item").collect()

    judged = [day for day in partitions.all_days(context) if day not in held]
    return Replacement(_computed(context, judged, lost, metadata.lost_cases))


def fill_rates(context: dg.AssetExecutionContext, classified_lines: pl.LazyFrame) -> Replacement:
    """Case, line and order fill, on-time and OTIF per day: DC, department, vendor, customer."""

    def rated(span: DcDateRange) -> pl.DataFrame:
        return service_metrics.compute_fill_rates(_of(classified_lines, span)).collect()

    return Replacement(_computed(context, partitions.changed_days(context), rated, metadata.fill_rates))


def published_records(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    record_store: dg.ResourceParam[RecordStore],
    lake: dg.ResourceParam[Lake],
    outbox: dg.ResourceParam[Outbox],
    orders: pl.LazyFrame,
    shipments: pl.LazyFrame,
    instock_snapshots: pl.LazyFrame,
    classified_lines: pl.LazyFrame,
    item_days: pl.LazyFrame,
    lost_cases: pl.LazyFrame,
) -> dg.MaterializeResult[None]:
    """The records that stand, with their rejects, restatements and the ledger, a transaction a day."""
    held = _held(context, settings, classified_lines, item_days)
    rejects = by_day(line_rules.select_rejects(classified_lines).collect())
    versions = _versions(*(_of_run(context, frame) for frame in (orders, shipments, instock_snapshots)))
    now, read_at = datetime.now(UTC), _read_at(context)
    changed = set(partitions.changed_days(context))
    computed = changed - _outdated(lake, changed)
    told: dict[str, Metadata] = {}
    for span in partition_key.cut_into_ranges(partitions.all_days(context), MONTH):
        records = by_day(_of(lost_cases, span).collect())
        days = [
            DayPublication(
                *day,
                records.get(day, schema.LOST_CASES.empty().collect()),
                rejects.get(day, schema.REJECTS.empty().collect()),
                versions.get(day, _NOTHING_PROCESSED),
                held.get(day),
                read_at if day in changed else None,
                only_depends=day not in computed,
            )
            for day in span.partition_keys
        ]
        outcomes = record_store.publish(days, run_id=context.run.run_id, now=now)
        for day, outcome in zip(days, outcomes, strict=True):
            told[partitions.key(day.dc, day.ship_date)] = _standing(day, outcome)
            if outcome.newly_held:
                url = failure_messages.build_run_url(settings.notifications.ui_url, context.run.run_id)
                subject, body = failure_messages.format_held_day(
                    day.dc, day.ship_date, str(day.held), outcome.records, url
                )
                outbox.send(subject, body, key=f"held:{day.dc}:{day.ship_date}:{context.run.run_id}", now=now)
    add_partition_metadata(context, told)
    return dg.MaterializeResult(metadata={"days_changed": sum(bool(each["changed"]) for each in told.values())})


def build(settings: Settings, kinds: dict[str, str]) -> list[dg.AssetsDefinition]:
    """The assets over a partitions definition.

    Args:
        settings: where partitions begin, how many a run of a backfill has, and how failures are retried.
        kinds: database kind by resource, for the UI's badges. A step that reads or writes a system is in the pool of
            the resource's name, which caps the connections of all runs to it.

    """
    by_day = partitions.dc_ship_date(settings.first_ship_date)
    retries = retry_policy(settings.sensor.step_max_retries, settings.sensor.step_retry_delay_seconds)
    before = dg.AssetIn(partition_mapping=partitions.look_back(LOOK_BACK_DAYS))
    look_back = {"item_days": before}

    def partitioned(
        compute: Callable[..., object], system: str | None = None, ins: dict[str, dg.AssetIn] | None = None
    ) -> dg.AssetsDefinition:
        frame = FRAMES.get(compute.__name__, schema.LOST_CASES)
        return dg.asset(
            partitions_def=by_day,
            backfill_policy=dg.BackfillPolicy.multi_run(settings.sensor.max_days_per_run),
            group_name=GROUP,
            owners=OWNERS,
            kinds={kinds[system] if system else "parquet", "polars"},
            pool=system,
            ins=ins,
            io_manager_key="lake_io_manager",
            metadata=column_schema(frame),
            retry_policy=retries,
        )(typed_failures(compute))

    return [
        partitioned(orders, "order_system"),
        partitioned(shipments, "shipping_records"),
        partitioned(instock_snapshots, "instock_warehouse"),
        dg.asset(
            group_name=GROUP,
            owners=OWNERS,
            kinds={kinds["order_system"], "polars"},
            pool="order_system",
            io_manager_key="lake_io_manager",
            metadata=column_schema(schema.ITEMS),
            retry_policy=retries,
        )(typed_failures(items)),
        partitioned(classified_lines),
        partitioned(item_days),
        partitioned(rolling_averages, ins=look_back),
        # Not for what they read: so a backfill of some days reaches the records of the 28 days that depend on them.
        partitioned(lost_cases, ins=look_back),
        partitioned(fill_rates),
        partitioned(published_records, "record_store", ins={**look_back, **dict.fromkeys(SOURCES, before)}),
    ]


_NOTHING_PROCESSED: Final = pl.DataFrame(
    [NOTHING_PROCESSED], schema={name: schema.LEDGER.polars[name] for name in NOTHING_PROCESSED}
)


def _read(context: dg.AssetExecutionContext, source: Callable[[str, date, date], pl.DataFrame]) -> Replacement:
    """Read the run's changed ship dates from a source."""

    def rows(span: DcDateRange) -> pl.DataFrame:
        return source(span.dc, span.first, span.last)

    return Replacement(_computed(context, partitions.changed_days(context), rows, metadata.source))


def _computed(
    context: dg.AssetExecutionContext,
    days: Iterable[PartitionKey],
    compute: Callable[[DcDateRange], pl.DataFrame],
    describe: Callable[[pl.DataFrame], Metadata],
) -> Iterator[tuple[pl.DataFrame, list[PartitionKey]]]:
    """Compute days a month at a time, as the lake asks for them, and tell about each."""
    for span in partition_key.cut_into_ranges(days, MONTH):
        rows = compute(span)
        _tell(context, rows, span.partition_keys, describe)
        yield rows, span.partition_keys


def _tell(
    context: dg.AssetExecutionContext,
    rows: pl.DataFrame,
    days: Iterable[PartitionKey],
    describe: Callable[[pl.DataFrame], Metadata],
    of_all: Metadata | None = None,
) -> None:
    """Tell of each day's rows, and of each day what is said of all of them."""
    parts, empty = by_day(rows), rows.clear()
    told: dict[str, Metadata] = {partitions.key(*day): describe(parts.get(day, empty)) | (of_all or {}) for day in days}
    add_partition_metadata(context, told)


def _held(
    context: dg.AssetExecutionContext, settings: Settings, classified_lines: pl.LazyFrame, item_days: pl.LazyFrame
) -> dict[PartitionKey, str]:
    """Which days of the run must not be judged."""
    lines, days = _of_run(context, classified_lines), _of_run(context, item_days)
    return find_held_days(lines, days, settings.health.max_reject_share, settings.health.max_missing_share)


def _of_run(context: dg.AssetExecutionContext, frame: pl.LazyFrame) -> pl.LazyFrame:
    """The days of a run, without those that a look-back brings along."""
    return frame.filter(pl.col("ship_date").is_in(sorted({day for _, day in partitions.all_days(context)})))


def _tell_changed(before: pl.DataFrame | None, after: pl.DataFrame, ledger: pl.DataFrame, outbox: Outbox) -> None:
    """Tell of items that changed for days before today that are published: those are not judged again by themselves."""
    now, first = datetime.now(UTC), ledger["ship_date"].min()
    if before is None or not isinstance(first, date):
        return
    change = item_master_changes.find_item_changes(before, after, first=first, last=now.date() - timedelta(days=1))
    if change is None:
        return
    named = ", ".join(change.items[:_NAMED]) + (", ..." if len(change.items) > _NAMED else "")
    digest = hashlib.sha256(repr(change).encode()).hexdigest()[:16]
    outbox.send(
        f"items changed for published days: {len(change.items)}",
        f"{named}; to judge these days again: fillrate run --from {change.first} --to {change.last}",
        key=f"items:{now.date()}:{digest}",
        now=now,
    )


def _read_at(context: dg.AssetExecutionContext) -> datetime | None:
    """When this run began; None if it reads no sources itself, because an earlier run did."""
    steps = context.run.step_keys_to_execute
    if steps is not None and not set(SOURCES) <= set(steps):
        return None
    record = context.instance.get_run_record_by_id(context.run.run_id)
    return datetime.fromtimestamp(record.start_time, UTC) if record and record.start_time else None


def _outdated(lake: Lake, days: Iterable[PartitionKey]) -> set[PartitionKey]:
    """Days of which a run stored newer sources, or lines, and ended before it computed what follows from them."""
    order = (tuple(FRAMES[name] for name in SOURCES), (schema.CLASSIFIED_LINES,), (schema.ITEM_DAYS,))
    written = [[lake.written_at(frame, days) for frame in frames] for frames in order]
    return {
        day
        for earlier, (later,) in pairwise(written)
        for at in earlier
        for day in at.keys() & later.keys()
        if at[day] > later[day]
    }


def _standing(day: DayPublication, outcome: PublishResult) -> Metadata:
    return {
        "state": f"HELD: {outcome.held}" if outcome.held else "PUBLISHED",
        "records": outcome.records,
        "changed": outcome.changed,
        "restated_values": outcome.restated,
        "rejects": day.rejects.height,
    }


def _versions(
    orders: pl.LazyFrame, shipments: pl.LazyFrame, snapshots: pl.LazyFrame
) -> dict[PartitionKey, pl.DataFrame]:
    """What of the sources each day's records were computed from, as the ledger keeps it."""
    key = ["dc", "ship_date"]
    changed = pl.max_horizontal("processed_at", "moved_at")
    sources = {
        "orders": (orders, changed),
        "shipments": (shipments, changed),
        "snapshots": (snapshots, pl.col("snapshot_at")),
    }
    told = [
        rows.group_by(key).agg(
            moment.max().alias(VERSIONS[source][0]), pl.len().cast(pl.Int64).alias(VERSIONS[source][1])
        )
        for source, (rows, moment) in sources.items()
    ]
    counts = pl.col([rows for _, rows in VERSIONS.values()])
    known = pl.concat(told, how="align").with_columns(counts.fill_null(0)).collect()
    return {day: row.select(_NOTHING_PROCESSED.columns) for day, row in by_day(known).items()}


def _of(frame: pl.LazyFrame, span: DcDateRange) -> pl.LazyFrame:
    return frame.filter(pl.col("dc") == span.dc, pl.col("ship_date").is_between(span.first, span.last))
