"""What must be true of the assets, checked on every partition of a run; the failing ones are named."""

from functools import partial
from typing import Final

import dagster as dg
import polars as pl

from fillrate_assets.core import partition_key
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.defs import metadata
from fillrate_assets.fillrate.defs.assets import (
    COMPUTED,
    TABLES,
    classified_lines,
    lost_cases,
    published_records,
)
from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.fillrate.report.queries import find_gated_days, get_gate_limits
from fillrate_assets.fillrate.rules.quality_gate import find_days_of_rejects
from fillrate_assets.orchestration import partitions
from fillrate_assets.orchestration.asset_options import configure_check
from fillrate_assets.orchestration.day_tables import make_contract_check
from fillrate_assets.orchestration.retries import translate_failures
from fillrate_assets.orchestration.ui_metadata import make_check_result, split_by_day
from fillrate_assets.settings import Settings
from fillrate_assets.storage.lake import Lake

MIN_BASELINE_COVERAGE: Final = 0.80
"""Below this share of out-of-stock items with a baseline, estimated lost cases understate by more than noise."""

_NAMED: Final = 20
_NAMED_ITEMS: Final = 5
_QUANTITIES: Final = "; no quantity is negative, O = S + confirmed, lost = confirmed + estimated"


@dg.asset_check(asset=classified_lines, blocking=True)
@translate_failures()
def reject_rate(
    context: dg.AssetCheckExecutionContext,
    settings: dg.ResourceParam[Settings],
    record_store: dg.ResourceParam[RecordStore],
    lake: dg.ResourceParam[Lake],
) -> dg.AssetCheckResult:
    """Too many unusable rows, or rows that contradict each other: the day is held.

    If that is every ship day of the run, the run stops here.
    """
    lines, days = _read_stored(context, lake, schema.CLASSIFIED_LINES), partitions.list_days(context)
    bad = find_days_of_rejects(lines, get_gate_limits(settings), record_store.read_loader_rejects(days).lazy())
    called_open = record_store.read_calendar().filter("open").select("dc", "ship_date").iter_rows()
    ship_days = {*lines.select("dc", "ship_date").unique().collect().iter_rows(), *called_open} & set(days)
    # A range goes on without its bad days: they are held one by one further down.
    stops = bool(ship_days) and ship_days <= bad.keys()
    return make_check_result(context, bad, "read the rejects and correct the source", blocking=True, warn=not stops)


@dg.asset_check(asset=lost_cases)
@translate_failures()
def held_days(
    context: dg.AssetCheckExecutionContext,
    settings: dg.ResourceParam[Settings],
    record_store: dg.ResourceParam[RecordStore],
    lake: dg.ResourceParam[Lake],
) -> dg.AssetCheckResult:
    """Require that the quality gate holds no day: for want of a snapshot, for rejects, credits or contradictions."""
    lines, days = (_read_stored(context, lake, table) for table in (schema.CLASSIFIED_LINES, schema.ITEM_DAYS))
    held = find_gated_days(settings, record_store, partitions.list_days(context), lines, days)
    return make_check_result(
        context,
        held,
        "re-deliver the snapshot (or correct the rows it names), then materialize the day again",
    )


@dg.asset_check(asset=lost_cases)
@translate_failures()
def phantom_stock(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]
) -> dg.AssetCheckResult:
    """Warn where, for many items, the snapshot says in stock, yet nothing of what was ordered shipped."""
    records, most = _read_stored(context, lake, schema.LOST_CASES), settings.health.max_phantom_stock_share
    return _report_flagged(context, records, "phantom_stock", most, "count these locations")


@dg.asset_check(asset=lost_cases)
@translate_failures()
def flag_conflicts(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], lake: dg.ResourceParam[Lake]
) -> dg.AssetCheckResult:
    """Warn where, for many items, the snapshot says out of stock, yet everything shipped: the flag is late or wrong."""
    records, most = _read_stored(context, lake, schema.LOST_CASES), settings.health.max_flag_conflict_share
    return _report_flagged(context, records, "flag_conflict", most, "look at the snapshot's time of day")


@dg.asset_check(asset=lost_cases)
@translate_failures()
def baseline_coverage(context: dg.AssetCheckExecutionContext, lake: dg.ResourceParam[Lake]) -> dg.AssetCheckResult:
    """Most out-of-stock items have enough history to estimate what was not even ordered."""
    shares = (
        _read_stored(context, lake, schema.LOST_CASES)
        .filter((pl.col("path") == "STOCK_OUT") | pl.col("imputed"))
        .group_by("dc", "ship_date")
        .agg(pl.len().alias("out_of_stock"), pl.col("baseline_cases").count().alias("with_baseline"))
        .with_columns((pl.col("with_baseline") / pl.col("out_of_stock")).alias("share"))
        .filter(pl.col("share") < MIN_BASELINE_COVERAGE)
        .sort("dc", "ship_date")
        .collect()
    )
    low = {
        PartitionKey(row["dc"], row["ship_date"]): f"{row['with_baseline']} of {row['out_of_stock']} have a baseline"
        for row in shares.iter_rows(named=True)
    }
    return make_check_result(
        context, low, "expected in the first weeks of a DC; later, look for gaps in its history", warn=True
    )


@dg.asset_check(asset=published_records)
@translate_failures()
def reconciliation(
    context: dg.AssetCheckExecutionContext,
    lake: dg.ResourceParam[Lake],
    record_store: dg.ResourceParam[RecordStore],
) -> dg.AssetCheckResult:
    """Require that the published records add up to the sources' lines: every line and case once."""
    key = ["dc", "ship_date"]
    lines = _read_stored(context, lake, schema.CLASSIFIED_LINES)
    read = _read_stored(context, lake, schema.ORDER_LINES).group_by(key).agg(pl.len().alias("read"))
    classified = lines.group_by(key).agg(
        (pl.col("source_table") == "order_lines").sum().alias("classified"),
        *[pl.col(name).sum().alias(name) for name in ("ordered_cases", "shipped_cases")],
    )
    both = read.join(classified, on=key, how="full", coalesce=True).with_columns(
        pl.col("read", "classified").fill_null(0)
    )
    spans = partition_key.cut_into_ranges(partitions.list_days(context))
    totals = pl.concat([record_store.read_totals(span.dc, span.first, span.last) for span in spans])
    states = record_store.read_ledger().filter(pl.col("state") == "PUBLISHED").select(key)
    compared = both.collect().join(states, on=key, how="semi").join(totals, on=key, how="left", suffix="_records")
    wrong = compared.with_columns(pl.col("ordered_cases_records", "shipped_cases_records").fill_null(0)).filter(
        (pl.col("read") != pl.col("classified"))
        | (pl.col("ordered_cases") != pl.col("ordered_cases_records"))
        | (pl.col("shipped_cases") != pl.col("shipped_cases_records"))
    )
    days = {
        PartitionKey(row["dc"], row["ship_date"]): (
            f"{row['read']} lines read, {row['classified']} classified; ordered {row['ordered_cases']} in lines and"
            f" {row['ordered_cases_records']} in records; shipped {row['shipped_cases']} and"
            f" {row['shipped_cases_records']}"
        )
        for row in wrong.sort(key).iter_rows(named=True)
    }
    return make_check_result(
        context, days, "materialize the day again; if it stays, the records were changed by someone else"
    )


def _find_wrong_quantities(table: TableSchema, rows: pl.DataFrame) -> list[str]:
    quantities = [column.name for column in table.columns if column.unit == "cases"]
    negative = {name: rows.filter(pl.col(name) < 0).height for name in quantities}
    problems = [f"{count} rows with negative {name}" for name, count in negative.items() if count]
    if table is schema.LOST_CASES:
        unbalanced = rows.filter(
            (pl.col("ordered_cases") != pl.col("shipped_cases") + pl.col("confirmed_cases"))
            | (pl.col("lost_cases") != pl.col("confirmed_cases") + pl.col("estimated_cases"))
        ).height
        if unbalanced:
            problems.append(f"{unbalanced} records that break O = S + confirmed or lost = confirmed + estimated")
    return problems


CHECKS: Final = (
    *(
        make_contract_check(asset, TABLES[asset.key], partial(_find_wrong_quantities, TABLES[asset.key]), _QUANTITIES)
        for asset in COMPUTED
    ),
    reject_rate,
    held_days,
    phantom_stock,
    flag_conflicts,
    baseline_coverage,
    reconciliation,
)


def build(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """Add the partitions, which begin where settings say, to the checks."""
    by_day = partitions.define_dc_ship_date(settings.first_ship_date)
    return [configure_check(check, partitions_def=by_day) for check in CHECKS]


def _read_stored(context: dg.AssetCheckExecutionContext, lake: Lake, frame: TableSchema) -> pl.LazyFrame:
    wanted = partitions.list_days(context)
    return lake.read(frame, wanted)


def _report_flagged(
    context: dg.AssetCheckExecutionContext, records: pl.LazyFrame, flag: str, max_share: float, advice: str
) -> dg.AssetCheckResult:
    """Make the result of a check that fails on days of which more than a share of the items is flagged."""
    items = {
        PartitionKey(dc, day): count
        for dc, day, count in records.group_by("dc", "ship_date").len().collect().iter_rows()
    }
    found = (
        records.filter(pl.col(flag))
        .select("dc", "ship_date", "item", "vendor", "ordered_cases", "shipped_cases")
        .sort("ordered_cases", "item", descending=[True, False])
        .collect()
    )
    days = {
        day: f"{rows.height} of {items[day]} items, {', '.join(rows['item'].head(_NAMED_ITEMS))}"
        for day, rows in split_by_day(found).items()
        if rows.height > max_share * items[day]
    }
    return make_check_result(
        context, days, advice, warn=True, shown={"largest": metadata.make_cases_table(found.head(_NAMED))}
    )
