"""The assets of fill rates: each reads, calls a rule, stores the rows in the lake, and describes them in the UI."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Final

import dagster as dg
import polars as pl

from fillrate_assets.core import partition_key
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.core.partition_key import DcDateRange, PartitionKey
from fillrate_assets.fillrate import demand_schema, schema
from fillrate_assets.fillrate.defs import metadata
from fillrate_assets.fillrate.defs.lake_repair import LakeRepair
from fillrate_assets.fillrate.network_store import NetworkStore
from fillrate_assets.fillrate.record_store import DayPublication, PublishResult, RecordStore
from fillrate_assets.fillrate.report.doubts import describe_days
from fillrate_assets.fillrate.report.queries import find_gated_days
from fillrate_assets.fillrate.rules import (
    failure_messages,
    item_master_changes,
    network_factor,
    rolling_baseline,
    service_metrics,
    weekday_index,
)
from fillrate_assets.fillrate.rules import item_days as item_day_rules
from fillrate_assets.fillrate.rules import lost_cases as lost_case_rules
from fillrate_assets.fillrate.rules import rejects as reject_rules
from fillrate_assets.fillrate.rules.change_planner import NOTHING_PROCESSED, VERSIONS
from fillrate_assets.fillrate.rules.line_classification import credit_substitutes
from fillrate_assets.fillrate.rules.pipeline import classify_sources
from fillrate_assets.fillrate.rules.quality_gate import find_doubts
from fillrate_assets.fillrate.rules.rolling_baseline import LOOK_BACK_DAYS
from fillrate_assets.fillrate.rules.substitutes import SOURCE_TABLE
from fillrate_assets.fillrate.sources.instock_warehouse import InstockWarehouse
from fillrate_assets.fillrate.sources.order_system import OrderSystem
from fillrate_assets.fillrate.sources.shipping_records import ShippingRecords
from fillrate_assets.fillrate.sources.substitutes import SubstituteReader
from fillrate_assets.notifications.platform_outbox import Outbox
from fillrate_assets.orchestration import partitions
from fillrate_assets.orchestration.day_tables import MONTH, add_day_metadata, configure_stored_asset, replace_days
from fillrate_assets.orchestration.lake_io_manager import LakeInput
from fillrate_assets.orchestration.partition_events import add_partition_metadata
from fillrate_assets.orchestration.retries import translate_failures
from fillrate_assets.orchestration.run_concurrency import DcLock
from fillrate_assets.orchestration.ui_metadata import Metadata, make_column_metadata, split_by_day
from fillrate_assets.settings import Settings
from fillrate_assets.storage.lake import Lake

AREA: Final = "fillrate"
"""Prefix of the asset keys, and their group."""

OWNERS: Final = ["team:supply-analytics"]
_NAMED: Final = 20


_LOOK_BACK: Final = dg.AssetIn(partition_mapping=partitions.define_look_back(LOOK_BACK_DAYS))


@dg.asset(
    key_prefix=AREA,
    group_name=AREA,
    owners=OWNERS,
    pool="order_system",
    kinds={"polars"},
    metadata=make_column_metadata(schema.ORDER_LINES),
)
@translate_failures()
def orders(
    context: dg.AssetExecutionContext,
    dc_lock: dg.ResourceParam[DcLock],
    order_system: dg.ResourceParam[OrderSystem],
    lake: dg.ResourceParam[Lake],
) -> dg.MaterializeResult[None]:
    """Order lines of the order system: a row for each version of a line, in the line's unit of measure.

    A partition is a DC and a ship date, the DC's business date on which the line ships.
    """
    dc_lock.acquire(context)

    def read(span: DcDateRange) -> pl.DataFrame:
        return order_system.read_order_lines(span.dc, span.first, span.last)

    return replace_days(
        context, lake, schema.ORDER_LINES, partitions.list_changed_days(context), read, metadata.summarize_source
    )


@dg.asset(
    key_prefix=AREA,
    group_name=AREA,
    owners=OWNERS,
    pool="shipping_records",
    kinds={"polars"},
    metadata=make_column_metadata(schema.SHIPMENT_LINES),
)
@translate_failures()
def shipments(
    context: dg.AssetExecutionContext,
    dc_lock: dg.ResourceParam[DcLock],
    shipping_records: dg.ResourceParam[ShippingRecords],
    lake: dg.ResourceParam[Lake],
) -> dg.MaterializeResult[None]:
    """Shipment lines of the shipping records: a row for each version of a line, in the line's unit of measure.

    A partition is a DC and the ship date of the order line.
    """
    dc_lock.acquire(context)

    def read(span: DcDateRange) -> pl.DataFrame:
        return shipping_records.read_shipment_lines(span.dc, span.first, span.last)

    return replace_days(
        context, lake, schema.SHIPMENT_LINES, partitions.list_changed_days(context), read, metadata.summarize_source
    )


@dg.asset(
    key_prefix=AREA,
    group_name=AREA,
    owners=OWNERS,
    pool="instock_warehouse",
    kinds={"polars"},
    metadata=make_column_metadata(schema.INSTOCK_SNAPSHOTS),
)
@translate_failures()
def instock_snapshots(
    context: dg.AssetExecutionContext,
    dc_lock: dg.ResourceParam[DcLock],
    instock_warehouse: dg.ResourceParam[InstockWarehouse],
    lake: dg.ResourceParam[Lake],
) -> dg.MaterializeResult[None]:
    """Instock records: a row for each stocked item and day, in stock or not, with cases on hand.

    A partition is a DC and the day of the snapshot.
    """
    dc_lock.acquire(context)
    days = sorted(partitions.list_changed_days(context))
    # One query for all the days that are computed at a time, wherever they lie: a query has a price of its own.
    for begin in range(0, len(days), MONTH):
        requested = days[begin : begin + MONTH]
        answer = instock_warehouse.read(requested)
        scanned = {} if answer.bytes_scanned is None else {"query_bytes_scanned": answer.bytes_scanned}
        lake.write(schema.INSTOCK_SNAPSHOTS, answer.rows, requested)
        add_day_metadata(context, answer.rows, requested, metadata.summarize_source, scanned)
    return dg.MaterializeResult()


@dg.asset(
    key_prefix=AREA,
    group_name=AREA,
    owners=OWNERS,
    pool="order_system",
    kinds={"polars"},
    metadata=make_column_metadata(schema.ITEMS),
)
@translate_failures()
def items(
    context: dg.AssetExecutionContext,
    dc_lock: dg.ResourceParam[DcLock],
    order_system: dg.ResourceParam[OrderSystem],
    record_store: dg.ResourceParam[RecordStore],
    lake: dg.ResourceParam[Lake],
    outbox: dg.ResourceParam[Outbox],
) -> dg.MaterializeResult[None]:
    """Item master: a row for each item and period, with type, vendor, department, pack size and contract.

    It is not partitioned: every run reads all of it, and later assets take what was in force on the ship date.
    """
    dc_lock.acquire(context)
    found = order_system.read_items().sort("item", "valid_from")
    _report_changed_items(lake.read_whole_if_stored(schema.ITEMS), found, record_store.read_ledger(), outbox)
    lake.write_whole(schema.ITEMS, found)
    kinds = dict(found.group_by("item_type").len().iter_rows())
    return dg.MaterializeResult(
        metadata={"dagster/row_count": found.height, "items": found["item"].n_unique(), **kinds}
    )


@dg.asset(
    key_prefix=AREA,
    group_name=AREA,
    owners=OWNERS,
    kinds={"polars", "parquet"},
    metadata=make_column_metadata(schema.CLASSIFIED_LINES),
)
@translate_failures()
def classified_lines(
    context: dg.AssetExecutionContext,
    dc_lock: dg.ResourceParam[DcLock],
    settings: dg.ResourceParam[Settings],
    record_store: dg.ResourceParam[RecordStore],
    lake: dg.ResourceParam[Lake],
    lake_repair: dg.ResourceParam[LakeRepair],
    orders: LakeInput,
    shipments: LakeInput,
    instock_snapshots: LakeInput,
    items: LakeInput,
) -> dg.MaterializeResult[None]:
    """Classified order lines, in cases: whether each is counted, excluded, rejected or superseded, and why.

    A partition is a DC and a ship date.
    """
    dc_lock.acquire(context)
    zones = record_store.read_time_zones()
    master = items.read()
    lake_repair.restore(context, master)
    sources = [each.read() for each in (orders, shipments, instock_snapshots)]
    complete = settings.sources.shipment_times_complete

    def classify(span: DcDateRange) -> pl.DataFrame:
        ordered, shipped, stocked = (_select_range(frame, span) for frame in sources)
        elsewhere = lake_repair.substitutes.read(span)
        return classify_sources(
            ordered, shipped, stocked, master, zones, times_complete=complete, elsewhere=elsewhere
        ).collect()

    return replace_days(
        context,
        lake,
        schema.CLASSIFIED_LINES,
        partitions.list_changed_days(context),
        classify,
        metadata.summarize_lines,
    )


@dg.asset(
    key_prefix=AREA,
    group_name=AREA,
    owners=OWNERS,
    kinds={"polars", "parquet"},
    metadata=make_column_metadata(schema.ITEM_DAYS),
)
@translate_failures()
def item_days(
    context: dg.AssetExecutionContext,
    dc_lock: dg.ResourceParam[DcLock],
    lake: dg.ResourceParam[Lake],
    classified_lines: LakeInput,
    instock_snapshots: LakeInput,
    items: LakeInput,
) -> dg.MaterializeResult[None]:
    """Ordered and shipped cases: a row for each item and day, beside its instock record.

    A partition is a DC and a ship date.
    """
    dc_lock.acquire(context)
    lines, snapshots, master = (each.read() for each in (classified_lines, instock_snapshots, items))

    def compute(span: DcDateRange) -> pl.DataFrame:
        return item_day_rules.compute_item_days(
            _select_range(lines, span), _select_range(snapshots, span), master
        ).collect()

    return replace_days(
        context, lake, schema.ITEM_DAYS, partitions.list_changed_days(context), compute, metadata.summarize_item_days
    )


@dg.asset(
    key_prefix=AREA,
    group_name=AREA,
    owners=OWNERS,
    ins={"item_days": _LOOK_BACK},
    kinds={"polars", "parquet"},
    metadata=make_column_metadata(schema.ROLLING_AVERAGES),
)
@translate_failures()
def rolling_averages(
    context: dg.AssetExecutionContext,
    dc_lock: dg.ResourceParam[DcLock],
    record_store: dg.ResourceParam[RecordStore],
    lake: dg.ResourceParam[Lake],
    item_days: LakeInput,
) -> dg.MaterializeResult[None]:
    """Baselines: an item's mean daily ordered cases on the in-stock ship days before a ship date, and its level.

    A partition is a DC and a ship date; it looks back over the 28 days before it.
    """
    dc_lock.acquire(context)
    observed, calendar = item_days.read(), record_store.read_calendar().lazy()

    def compute(span: DcDateRange) -> pl.DataFrame:
        of_dc = observed.filter(pl.col("dc") == span.dc)
        return rolling_baseline.compute_rolling_averages(of_dc, span.ship_dates, calendar).collect()

    return replace_days(
        context, lake, schema.ROLLING_AVERAGES, partitions.list_days(context), compute, metadata.summarize_averages
    )


@dg.asset(
    key_prefix=AREA,
    group_name=AREA,
    owners=OWNERS,
    ins={"item_days": _LOOK_BACK},
    kinds={"polars", "parquet"},
    metadata=make_column_metadata(demand_schema.WEEKDAY_INDICES),
)
@translate_failures()
def weekday_indices(
    context: dg.AssetExecutionContext,
    dc_lock: dg.ResourceParam[DcLock],
    record_store: dg.ResourceParam[RecordStore],
    lake: dg.ResourceParam[Lake],
    item_days: LakeInput,
) -> dg.MaterializeResult[None]:
    """Weekdays: what each department orders on a day of the week, over its mean of all days.

    A partition is a DC and a ship date; it looks back over the 28 days before it.
    """
    dc_lock.acquire(context)
    observed, calendar = item_days.read(), record_store.read_calendar().lazy()

    def compute(span: DcDateRange) -> pl.DataFrame:
        of_dc = observed.filter(pl.col("dc") == span.dc)
        return weekday_index.compute_weekday_indices(of_dc, span.ship_dates, calendar).collect()

    days = partitions.list_days(context)
    return replace_days(context, lake, demand_schema.WEEKDAY_INDICES, days, compute, metadata.summarize_weekdays)


# The look-back is not for what it reads: with it, a backfill of some days reaches the 28 days after.
@dg.asset(
    key_prefix=AREA,
    group_name=AREA,
    owners=OWNERS,
    ins={"item_days": _LOOK_BACK},
    kinds={"polars", "parquet"},
    metadata=make_column_metadata(demand_schema.USUAL_DEMAND),
)
@translate_failures()
def usual_demand(
    context: dg.AssetExecutionContext,
    dc_lock: dg.ResourceParam[DcLock],
    record_store: dg.ResourceParam[RecordStore],
    network_store: dg.ResourceParam[NetworkStore],
    lake: dg.ResourceParam[Lake],
    item_days: LakeInput,
    rolling_averages: LakeInput,
    weekday_indices: LakeInput,
) -> dg.MaterializeResult[None]:
    """Usual demand: what each item orders on such a weekday, and what it did where it was in stock.

    A partition is a DC and a ship date. The DCs are compared by it, once all of a date are there.
    """
    dc_lock.acquire(context)
    days, averages, indices = (each.read() for each in (item_days, rolling_averages, weekday_indices))
    calendar = record_store.read_calendar().lazy()
    for span in partition_key.cut_into_ranges(partitions.list_days(context), MONTH):
        of_days, levels, of_weekday = (_select_range(frame, span) for frame in (days, averages, indices))
        usual = network_factor.compute_usual_demand(of_days, levels, of_weekday, calendar)
        rows = usual.collect()
        lake.write(demand_schema.USUAL_DEMAND, rows, span.partition_keys)
        # After what it is about: a comparison that reads in between is due again.
        network_store.record_usual(_describe_usual(rows, span.partition_keys), now=datetime.now(UTC))
        add_day_metadata(context, rows, span.partition_keys, metadata.summarize_usual)
    return dg.MaterializeResult()


# As of usual demand.
@dg.asset(
    key_prefix=AREA,
    group_name=AREA,
    owners=OWNERS,
    ins={"item_days": _LOOK_BACK},
    kinds={"polars", "parquet"},
    metadata=make_column_metadata(schema.LOST_CASES),
)
@translate_failures()
def lost_cases(
    context: dg.AssetExecutionContext,
    dc_lock: dg.ResourceParam[DcLock],
    settings: dg.ResourceParam[Settings],
    record_store: dg.ResourceParam[RecordStore],
    lake: dg.ResourceParam[Lake],
    classified_lines: LakeInput,
    item_days: LakeInput,
    rolling_averages: LakeInput,
    weekday_indices: LakeInput,
    network_store: dg.ResourceParam[NetworkStore],
) -> dg.MaterializeResult[None]:
    """Lost cases: a row for each item and day with what did not ship, and on which path it was lost.

    A partition is a DC and a ship date. A day that the quality gate holds retains its last good rows.
    """
    dc_lock.acquire(context)
    lines, days = classified_lines.read(), item_days.read()
    averages, indices = rolling_averages.read(), weekday_indices.read()
    followed = _read_network(lake, network_store, partitions.list_days(context))
    held = _find_held(context, settings, record_store, lines, days)
    waivers, calendar = record_store.read_waivers().lazy(), record_store.read_calendar().lazy()
    add_partition_metadata(
        context, {partitions.make_key(dc, day): {"held": reason} for (dc, day), reason in held.items()}
    )
    _describe_doubts(context, lines, partitions.list_days(context), held)

    def compute(span: DcDateRange) -> pl.DataFrame:
        records = lost_case_rules.compute_lost_cases(
            _select_range(days, span),
            _select_range(averages, span),
            waivers,
            calendar,
            indices=_select_range(indices, span),
            factors=_select_range(followed.factors, span),
            weights=followed.weights,
            method=settings.estimate.method,
        )
        return records.sort("dc", "ship_date", "item").collect()

    judged = [day for day in partitions.list_days(context) if day not in held]
    return replace_days(context, lake, schema.LOST_CASES, judged, compute, metadata.summarize_lost_cases)


@dg.asset(
    key_prefix=AREA,
    group_name=AREA,
    owners=OWNERS,
    kinds={"polars", "parquet"},
    metadata=make_column_metadata(schema.FILL_RATES),
)
@translate_failures()
def fill_rates(
    context: dg.AssetExecutionContext,
    dc_lock: dg.ResourceParam[DcLock],
    lake: dg.ResourceParam[Lake],
    classified_lines: LakeInput,
) -> dg.MaterializeResult[None]:
    """Service of a day as shares: case, line and order fill, on time, and OTIF, by DC, department, vendor and customer.

    A partition is a DC and a ship date.
    """
    dc_lock.acquire(context)
    lines = classified_lines.read()
    _describe_doubts(context, lines, partitions.list_changed_days(context), {})

    def compute(span: DcDateRange) -> pl.DataFrame:
        return service_metrics.compute_fill_rates(_select_range(lines, span)).collect()

    return replace_days(
        context, lake, schema.FILL_RATES, partitions.list_changed_days(context), compute, metadata.summarize_fill_rates
    )


SOURCES: Final = {
    orders.key: schema.ORDER_LINES,
    shipments.key: schema.SHIPMENT_LINES,
    instock_snapshots.key: schema.INSTOCK_SNAPSHOTS,
}
"""The assets that read the sources by ship date, with their schemas."""


@dg.asset(
    key_prefix=AREA,
    group_name=AREA,
    owners=OWNERS,
    pool="record_store",
    # A backfill of a day then reads the sources of the days before it as well.
    ins=dict.fromkeys(("orders", "shipments", "instock_snapshots", "item_days"), _LOOK_BACK),
    kinds={"polars"},
    metadata=make_column_metadata(schema.LOST_CASES),
)
@translate_failures()
def published_records(
    context: dg.AssetExecutionContext,
    dc_lock: dg.ResourceParam[DcLock],
    settings: dg.ResourceParam[Settings],
    record_store: dg.ResourceParam[RecordStore],
    lake: dg.ResourceParam[Lake],
    outbox: dg.ResourceParam[Outbox],
    lake_repair: dg.ResourceParam[LakeRepair],
    network_store: dg.ResourceParam[NetworkStore],
    orders: LakeInput,
    shipments: LakeInput,
    instock_snapshots: LakeInput,
    classified_lines: LakeInput,
    item_days: LakeInput,
    lost_cases: LakeInput,
) -> dg.MaterializeResult[None]:
    """Lost cases in the record store, in cases, with rejects, restatements and the ledger: a transaction for each day.

    A partition is a DC and a ship date. A day that the quality gate holds is not published anew.
    """
    dc_lock.acquire(context)
    lines, judged = classified_lines.read(), lost_cases.read()
    held = _find_held(context, settings, record_store, lines, item_days.read())
    doubts = find_doubts(_select_run_days(context, lines))
    rejects = split_by_day(reject_rules.select_rejects(lines).collect())
    versions = _compute_versions(
        *(_select_run_days(context, source.read()) for source in (orders, shipments, instock_snapshots))
    )
    followed = _read_network(lake, network_store, partitions.list_days(context))
    unfollowed = followed.find_unfollowed(_select_run_days(context, judged))
    now, read_at = datetime.now(UTC), _find_read_time(context)
    changed = set(partitions.list_changed_days(context))
    computed = changed - _find_outdated(lake, changed)
    described: dict[str, Metadata] = {}
    for span in partition_key.cut_into_ranges(partitions.list_days(context), MONTH):
        records = split_by_day(_select_range(judged, span).collect())
        days = [
            DayPublication(
                *day,
                records.get(day, schema.LOST_CASES.make_empty().collect()),
                rejects.get(day, schema.REJECTS.make_empty().collect()),
                versions.get(day, _NOTHING_PROCESSED),
                held.get(day),
                read_at if day in changed else None,
                doubts.get(day),
                None if day in unfollowed else followed.versions.get(day),
                only_depends=day not in computed,
            )
            for day in span.partition_keys
        ]
        outcomes = record_store.publish(days, run_id=context.run.run_id, now=now)
        for day, outcome in zip(days, outcomes, strict=True):
            described[partitions.make_key(day.dc, day.ship_date)] = _describe_publication(day, outcome)
            if outcome.newly_held:
                url = failure_messages.build_run_url(settings.notifications.ui_url, context.run.run_id)
                subject, body = failure_messages.format_held_day(
                    day.dc, day.ship_date, str(day.held), outcome.records, url
                )
                outbox.send(subject, body, key=f"held:{day.dc}:{day.ship_date}:{context.run.run_id}", now=now)
    record_store.await_substitutes(_find_newly_substituted(record_store, lake, lake_repair.substitutes, changed))
    add_partition_metadata(context, described)
    return dg.MaterializeResult(metadata={"days_changed": sum(bool(each["changed"]) for each in described.values())})


COMPUTED: Final = (
    classified_lines,
    item_days,
    rolling_averages,
    weekday_indices,
    usual_demand,
    lost_cases,
    fill_rates,
)
"""The assets in the lake that rules compute, by DC and ship date."""

ASSETS: Final = (orders, shipments, instock_snapshots, items, *COMPUTED, published_records)
TABLES: Final = {
    **SOURCES,
    items.key: schema.ITEMS,
    classified_lines.key: schema.CLASSIFIED_LINES,
    item_days.key: schema.ITEM_DAYS,
    rolling_averages.key: schema.ROLLING_AVERAGES,
    weekday_indices.key: demand_schema.WEEKDAY_INDICES,
    usual_demand.key: demand_schema.USUAL_DEMAND,
    lost_cases.key: schema.LOST_CASES,
    fill_rates.key: schema.FILL_RATES,
}
"""Schemas of what the lake stores, by asset key; the records that are published are in the record store."""


def build(settings: Settings, kinds: Mapping[str, str]) -> list[dg.AssetsDefinition]:
    """Add what follows from settings to the assets.

    Args:
        settings: where partitions begin, how many days a run of a backfill has, and how failures are retried.
        kinds: database kind by system, for the UI's badges.

    """
    return [configure_stored_asset(asset, settings, kinds, by_day=asset is not items) for asset in ASSETS]


_NOTHING_PROCESSED: Final = pl.DataFrame(
    [NOTHING_PROCESSED], schema={name: schema.LEDGER.polars[name] for name in NOTHING_PROCESSED}
)


def _find_held(
    context: dg.AssetExecutionContext,
    settings: Settings,
    record_store: RecordStore,
    classified_lines: pl.LazyFrame,
    item_days: pl.LazyFrame,
) -> dict[PartitionKey, str]:
    """Find the days of the run that the quality gate holds, with reasons."""
    lines, days = _select_run_days(context, classified_lines), _select_run_days(context, item_days)
    return find_gated_days(settings, record_store, partitions.list_days(context), lines, days)


def _select_run_days(context: dg.AssetExecutionContext, frame: pl.LazyFrame) -> pl.LazyFrame:
    """Return the days of a run, without those that a look-back brings along."""
    return frame.filter(pl.col("ship_date").is_in(sorted({day for _, day in partitions.list_days(context)})))


def _report_changed_items(
    before: pl.DataFrame | None, after: pl.DataFrame, ledger: pl.DataFrame, outbox: Outbox
) -> None:
    """Report items that changed for published days before today: those are not judged again by themselves."""
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


def _find_read_time(context: dg.AssetExecutionContext) -> datetime | None:
    """Return when this run began to read the sources, or an earlier one for it; None if that is not known."""
    if (read_at := context.run.tags.get(partitions.READ_TAG)) is not None:
        return datetime.fromisoformat(read_at)
    steps = context.run.step_keys_to_execute
    if steps is not None and not {source.to_python_identifier() for source in SOURCES} <= set(steps):
        return None
    record = context.instance.get_run_record_by_id(context.run.run_id)
    return datetime.fromtimestamp(record.start_time, UTC) if record and record.start_time else None


def _find_newly_substituted(
    record_store: RecordStore, lake: Lake, substitutes: SubstituteReader, changed: set[PartitionKey]
) -> list[PartitionKey]:
    """Find published days of which a run of other days found other substitutes than their lines were credited with."""
    others = substitutes.find_other_days(partition_key.cut_into_ranges(changed, MONTH)) - changed
    if not others:
        return []
    published = record_store.read_ledger().filter(pl.col("state") == "PUBLISHED").select("dc", "ship_date")
    there = set(map(PartitionKey._make, published.iter_rows())) & set(lake.list_partitions(schema.CLASSIFIED_LINES))
    master = lake.read_whole(schema.ITEMS)
    return [day for day in sorted(others & there) if not _has_its_substitutes(lake, substitutes, day, master)]


def _has_its_substitutes(lake: Lake, substitutes: SubstituteReader, day: PartitionKey, master: pl.LazyFrame) -> bool:
    """Return whether the lines of a day were credited with what its substitutes of other days are now."""
    names = ["order_id", "line_no", "schedule_line", "reason", "sub_cases"]
    credited = lake.read(schema.CLASSIFIED_LINES, [day]).filter(source_table=SOURCE_TABLE).select(names)
    elsewhere = substitutes.read(DcDateRange(day.dc, day.ship_date, day.ship_date))
    now = credited.clear() if elsewhere is None else credit_substitutes(elsewhere, master).select(names)
    now = now.with_columns(pl.col("schedule_line").replace(0, None))
    return credited.sort(names).collect().equals(now.sort(names).collect())


def _find_outdated(lake: Lake, days: Iterable[PartitionKey]) -> set[PartitionKey]:
    """Find days of which a run stored newer sources, or lines, and ended before it computed what follows from them."""
    order = (tuple(SOURCES.values()), (schema.CLASSIFIED_LINES,), (schema.ITEM_DAYS,))
    written = [[lake.find_write_times(frame, days) for frame in frames] for frames in order]
    return {
        day
        for earlier, (later,) in pairwise(written)
        for at in earlier
        for day in at.keys() & later.keys()
        if at[day] > later[day]
    }


def _describe_doubts(
    context: dg.AssetExecutionContext,
    classified_lines: pl.LazyFrame,
    days: Iterable[PartitionKey],
    held: Mapping[PartitionKey, str],
) -> None:
    """Show beside the numbers of each day what is in doubt of them."""
    lines = _select_run_days(context, classified_lines)
    described = describe_days(lines, held, find_doubts(lines))
    shown = {day: {"in_doubt": "\n".join(described[day])} for day in days if day in described}
    add_partition_metadata(context, {partitions.make_key(*day): each for day, each in shown.items()})


def _describe_publication(day: DayPublication, outcome: PublishResult) -> Metadata:
    """Describe what became of a day."""
    return {
        "state": f"HELD: {outcome.held}" if outcome.held else "PUBLISHED",
        **({"doubtful": day.doubt} if day.doubt and not outcome.held else {}),
        "records": outcome.records,
        "changed": outcome.changed,
        "restated_values": outcome.restated,
        "rejects": day.rejects.height,
    }


@dataclass(frozen=True)
class _Network:
    """What days of a DC follow of other DCs: `NETWORK_FACTORS`, `FACTOR_WEIGHTS`, and their version."""

    factors: pl.LazyFrame
    weights: pl.LazyFrame
    versions: Mapping[PartitionKey, str | None]

    def find_unfollowed(self, records: pl.LazyFrame) -> set[PartitionKey]:
        """Find the days whose records were made before something of it changed."""
        days = network_factor.find_unfollowed_days(records, self.factors, self.weights).collect()
        return set(map(PartitionKey._make, days.iter_rows()))


def _read_network(lake: Lake, network_store: NetworkStore, days: Sequence[PartitionKey]) -> _Network:
    """Read what days follow of other DCs; its version first, so that it is never newer than what it is of."""
    dates = sorted({day for _, day in days})
    known = network_store.read(
        sorted({dc for dc, _ in days}), dates[0] - timedelta(days=network_factor.WEIGHT_DAYS), dates[-1]
    ).lazy()
    found = network_factor.compute_network_versions(known).collect()
    versions = {PartitionKey(dc, day): version for dc, day, version in found.iter_rows()}
    factors = lake.read(demand_schema.NETWORK_FACTORS, days).collect()
    there = set(map(PartitionKey._make, factors.select("dc", "ship_date").unique().iter_rows()))
    if lost := [day for day in days if versions.get(day) and day not in there]:
        table = demand_schema.NETWORK_FACTORS.name
        msg = f"the lake has lost {table} of {lost[0].dc} {lost[0].ship_date}: materialize {table} of that date again"
        raise PermanentFailure(msg)
    return _Network(factors.lazy(), network_factor.compute_weights(known, dates).collect().lazy(), versions)


def _describe_usual(rows: pl.DataFrame, days: Sequence[PartitionKey]) -> pl.DataFrame:
    """Describe the usual demand of each day, as `NetworkStore.record_usual` takes it."""
    parts, empty = split_by_day(rows), rows.clear()
    found = [
        (*day, network_factor.compute_version(part), part["observed_cases"].count())
        for day in days
        for part in [parts.get(day, empty)]
    ]
    names = ("dc", "ship_date", "usual_version", "observed_items")
    return pl.DataFrame(found, schema={name: demand_schema.NETWORK_DAYS.polars[name] for name in names}, orient="row")


def _compute_versions(
    orders: pl.LazyFrame, shipments: pl.LazyFrame, snapshots: pl.LazyFrame
) -> dict[PartitionKey, pl.DataFrame]:
    """Return what of the sources each day's records were computed from, as the ledger stores it."""
    key = ["dc", "ship_date"]
    changed = pl.max_horizontal("processed_at", "moved_at")
    sources = {
        "orders": (orders, changed),
        "shipments": (shipments, changed),
        "snapshots": (snapshots, pl.col("snapshot_at")),
    }
    latest = [
        rows.group_by(key).agg(
            moment.max().alias(VERSIONS[source][0]), pl.len().cast(pl.Int64).alias(VERSIONS[source][1])
        )
        for source, (rows, moment) in sources.items()
    ]
    counts = pl.col([rows for _, rows in VERSIONS.values()])
    known = pl.concat(latest, how="align").with_columns(counts.fill_null(0)).collect()
    return {day: row.select(_NOTHING_PROCESSED.columns) for day, row in split_by_day(known).items()}


def _select_range(frame: pl.LazyFrame, span: DcDateRange) -> pl.LazyFrame:
    """Select the rows of a DC and range of ship dates."""
    return frame.filter(pl.col("dc") == span.dc, pl.col("ship_date").is_between(span.first, span.last))
