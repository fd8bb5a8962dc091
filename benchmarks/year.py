"""A year of the main job's rules and lake, against the same rules in pandas and DuckDB and against reading and writing.

    python -m benchmarks.year                                   # 10 DCs x 7,209 items x 365 days, from order lines
    python -m benchmarks.year --of item-days                    # the judging alone: baselines and lost cases
    python -m benchmarks.year --dcs 1 --days 60 --items 2000    # a small one
    python -m benchmarks.year --dcs 2 --method-2                # and what the second method costs beside the first

Every contender runs in its own process, DC by DC, reads the same Parquet files (one per table, DC and ship date) and
writes its results in the same layout. The sums of O, S, confirmed and estimated cases must agree to the last digit.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import reduce
from pathlib import Path
from typing import Final, TypeVar

import duckdb
import numpy as np
import pandas as pd
import polars as pl

from benchmarks import year_pandas
from fillrate_assets.core import decimals, partition_key
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.core.table_schema import TIMESTAMP, TableSchema
from fillrate_assets.core.text_columns import format_text
from fillrate_assets.fillrate import demand_schema, schema
from fillrate_assets.fillrate.defs import assets
from fillrate_assets.fillrate.rules import (
    item_days,
    lost_cases,
    network_factor,
    rolling_baseline,
    service_metrics,
    weekday_index,
)
from fillrate_assets.fillrate.rules.pipeline import classify_sources
from fillrate_assets.storage.lake import Lake

FIRST_DAY: Final = date(2026, 1, 1)
_LONGEST_SECONDS: Final = 4 * 3600
LINES_PER_ORDER: Final = 20
OUT_SHARE: Final = 0.05
OUT_AND_SHIPPED_SHARE: Final = 0.2
COMPLETE_SHARE: Final = 0.97
OVER_SHARE: Final = 0.01
RETURN_SHARE: Final = 0.001
CANCELLED_SHARE: Final = 0.005
CUSTOMER_SHARE: Final = 0.003
CORRECTED_SHARE: Final = 0.01
UNSEEN_SHARE: Final = 0.01
LATE_SHARE: Final = 0.03
REASON_SHARE: Final = 0.5
LINES: Final = "order-lines"
DAYS: Final = "item-days"
TO_ITEM_DAYS: Final = {
    LINES: Path(__file__).with_name("year_lines.sql"),
    DAYS: Path(__file__).with_name("year_item_days.sql"),
}
JUDGING: Final = Path(__file__).with_name("year_judging.sql")
INPUTS: Final = {
    LINES: (schema.ORDER_LINES, schema.SHIPMENT_LINES, schema.INSTOCK_SNAPSHOTS),
    DAYS: (schema.ITEM_DAYS,),
}
JUDGED: Final = (schema.ROLLING_AVERAGES, schema.LOST_CASES)
OUTPUTS: Final = {
    LINES: (schema.CLASSIFIED_LINES, schema.ITEM_DAYS, *JUDGED, schema.FILL_RATES),
    DAYS: JUDGED,
}
MEASURES: Final = ("ordered_cases", "shipped_cases", "confirmed_cases", "estimated_cases")

T = TypeVar("T")
Totals = dict[str, int]
"""Sums of `MEASURES` in ten-thousandths of a case."""


@dataclass(frozen=True)
class Size:
    """How large the network is, and what the contenders begin with."""

    dcs: int
    days: int
    items: int
    of: str = LINES

    @property
    def inputs(self) -> tuple[TableSchema, ...]:
        """What is read."""
        return INPUTS[self.of]

    @property
    def outputs(self) -> tuple[TableSchema, ...]:
        """What is written."""
        return OUTPUTS[self.of]

    @property
    def dc_names(self) -> list[str]:
        """DC01, DC02..."""
        return [f"DC{number:02}" for number in range(1, self.dcs + 1)]

    @property
    def ship_dates(self) -> list[date]:
        """Every day is a ship date."""
        return [FIRST_DAY + timedelta(days=day) for day in range(self.days)]

    def partitions(self, dc: str) -> list[PartitionKey]:
        """Return the partitions of a DC."""
        return [PartitionKey(dc, day) for day in self.ship_dates]


@dataclass(frozen=True)
class Outcome:
    """What a contender reports."""

    name: str
    seconds: float
    cpu_seconds: float
    peak_gb: float
    totals: Totals


def main() -> int:
    """Generate the input, run the contenders, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dcs", type=int, default=10)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--items", type=int, default=7_209)
    parser.add_argument("--of", choices=[*INPUTS], default=LINES, help="what the contenders begin with")
    parser.add_argument("--method-2", action="store_true", help="estimate by method 2 as well, instead of comparing")
    parser.add_argument("--directory", type=Path, help="where to put the data; default: a temporary directory")
    arguments = parser.parse_args()
    size = Size(arguments.dcs, arguments.days, arguments.items, arguments.of)
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        root = Path(directory)
        _run_in_a_process(generate, root, size)
        count = size.dcs * size.items * size.days
        print(f"{size.dcs} DCs x {size.items:,} items x {size.days} days = {count:,} item-days, from {size.of}")
        outcomes = []
        if arguments.method_2:
            return report_method_2(*(_run_in_a_process(work, root, size) for work in (run_rules, run_both_methods)))
        for contender in (run_rules, run_pandas, run_duckdb, run_bare):
            outcomes.append(_run_in_a_process(contender, root, size))
            print(f"  {outcomes[-1].name:<28}{outcomes[-1].seconds:9.1f} s", flush=True)
    return report(outcomes)


def report(outcomes: list[Outcome]) -> int:
    """Print the comparison; 1 when the results differ."""
    ours, bare = outcomes[0], outcomes[-1]
    print(f"\n{'contender':<28}{'seconds':>10}{'to ours':>10}{'CPU s':>10}{'to ours':>10}{'peak GB':>10}  results")
    for outcome in outcomes:
        wall, cpu = outcome.seconds / ours.seconds, outcome.cpu_seconds / ours.cpu_seconds
        print(
            f"{outcome.name:<28}{outcome.seconds:>10.1f}{wall:>9.2f}x{outcome.cpu_seconds:>10.1f}{cpu:>9.2f}x"
            f"{outcome.peak_gb:>10.2f}  {_judge(outcome, ours)}"
        )
    print("\nSums in cases: " + ", ".join(f"{name} {ours.totals[name] / decimals.PLACES:,.4f}" for name in MEASURES))
    print(
        "\nHow to read: above 1.00x is slower than ours; CPU seconds count the work of all cores and depend less on\n"
        "what else the machine does. The last row reads the same input and writes the same output without any rule\n"
        f"between: ours takes {ours.seconds / bare.seconds:.2f} times its seconds. pandas and DuckDB compute the "
        "columns that carry the result\nand leave out what people read beside it (rejects as JSON, substitutes, "
        "waivers), so they do somewhat less\nthan ours. Peak GB is the resident memory of the contender's own process."
    )
    return int(any(_judge(outcome, ours) == "MISMATCH" for outcome in outcomes))


def report_method_2(first: Outcome, both: Outcome) -> int:
    """Print what both methods take together against the first alone."""
    for name, outcome in {"method 1": first, "methods 1 and 2": both}.items():
        print(f"{name:<28}{outcome.seconds:>10.1f} s{outcome.cpu_seconds:>10.1f} CPU s{outcome.peak_gb:>10.2f} GB")
    wall, cpu = both.seconds / first.seconds, both.cpu_seconds / first.cpu_seconds
    print(f"{'both against method 1':<28}{wall:>10.2f}x {cpu:>10.2f}x")
    return 0


def _judge(outcome: Outcome, ours: Outcome) -> str:
    if not outcome.totals:
        return "-"
    return "equal" if outcome.totals == ours.totals else "MISMATCH"


def _run_in_a_process(work: Callable[[Path, Size], T], root: Path, size: Size) -> T:
    """Memory is measured per process, so each contender gets a fresh one."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, root, size).result(_LONGEST_SECONDS)


class Stopwatch:
    """Seconds and CPU seconds inside its `with` blocks."""

    def __init__(self) -> None:
        """At zero."""
        self.seconds = self.cpu_seconds = 0.0

    def __enter__(self) -> None:
        """Run."""
        self.seconds -= time.perf_counter()
        self.cpu_seconds -= time.process_time()

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.seconds += time.perf_counter()
        self.cpu_seconds += time.process_time()

    def outcome(self, name: str, totals: Totals) -> Outcome:
        """Return what was measured in this process."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        return Outcome(name, self.seconds, self.cpu_seconds, peak, totals)


def _measure(name: str, root: Path, size: Size, one_dc: Callable[[Path, Path, str, Size], Totals]) -> Outcome:
    """Run a contender DC by DC into a directory of its own."""
    output = root / "output" / name.split(maxsplit=1)[0]
    output.mkdir(parents=True)
    watch = Stopwatch()
    with watch:
        totals = [one_dc(root / "input", output, dc, size) for dc in size.dc_names]
    if name != RULES:
        shutil.rmtree(output)
    return watch.outcome(name, reduce(_add, totals))


def _add(left: Totals, right: Totals) -> Totals:
    return {name: left[name] + right[name] for name in left}


# --- the input


def generate(root: Path, size: Size) -> None:
    """Generate a network with corrections, cancellations, credits, eaches, over-shipments, late trucks, stock-outs."""
    lake = Lake(str(root / "input"))
    lake.write_whole(schema.ITEMS, _make_items(size))
    for number, dc in enumerate(size.dc_names):
        rng = np.random.default_rng(number)
        days = _make_item_days(rng, dc, size)
        for frame, rows in zip(
            INPUTS[LINES], (_make_orders(rng, days), _make_shipments(days), _make_snapshots(days)), strict=True
        ):
            lake.write(frame, rows, size.partitions(dc))
        if size.of == DAYS:
            for month in _list_months(dc, size):
                _write_item_days(lake, lake, month)


def _make_items(size: Size) -> pl.DataFrame:
    """One in 20 is a flow item, one in 5 has a committed vendor, one in 30 changes its vendor half-way."""
    number = pl.col("number")
    first = pl.DataFrame({"number": np.arange(size.items)}).select(
        number,
        format_text("{}", number + 1_000_000).alias("item"),
        pl.when(number % 20 == 0).then(pl.lit("FLOW")).otherwise(pl.lit("STOCK")).alias("item_type"),
        format_text("V{}", number % 200).alias("vendor"),
        format_text("D{}", number % 10).alias("department"),
        (number % 4 * 6 + 6).alias("pack_size"),
        (number % 5 == 0).alias("contract_committed"),
        pl.lit(date(2020, 1, 1)).alias("valid_from"),
    )
    later = first.filter(number % 30 == 0).with_columns(
        format_text("W{}", number % 200).alias("vendor"),
        pl.lit(FIRST_DAY + timedelta(days=size.days // 2)).alias("valid_from"),
    )
    return _fill(schema.ITEMS, pl.concat([first, later]))


def _make_item_days(rng: np.random.Generator, dc: str, size: Size) -> pl.DataFrame:
    """Draw at random, one row per item and day: an order line each."""
    count = size.days * size.items
    line = pl.int_range(count, dtype=pl.Int64)
    out = rng.random(count) < OUT_SHARE
    ordered = rng.poisson(np.where(out, 8, 20))
    part = np.where(out, rng.random(count) < OUT_AND_SHIPPED_SHARE, rng.random(count) < COMPLETE_SHARE)
    shipped = np.where(part, ordered, ordered * rng.random(count) * ~out) + (rng.random(count) < OVER_SHARE)
    return pl.DataFrame({"ordered": ordered, "shipped": shipped.astype(np.int64), "out": out}).with_columns(
        pl.lit(dc).alias("dc"),
        (pl.lit(FIRST_DAY) + pl.duration(days=line // size.items)).alias("ship_date"),
        format_text("{}", line % size.items + 1_000_000).alias("item"),
        format_text("O{}", line // LINES_PER_ORDER).alias("order_id"),
        (line % LINES_PER_ORDER + 1).alias("line_no"),
        format_text("C{}", line // LINES_PER_ORDER % 300).alias("customer"),
        # One item in 17 is sold by the piece.
        pl.when(line % size.items % 17 == 0).then(line % size.items % 4 * 6 + 6).alias("pack_size"),
        line.alias("source_seq"),
        pl.Series("chance", rng.random(count)),
    )


def _make_orders(rng: np.random.Generator, days: pl.DataFrame) -> pl.DataFrame:
    chance = pl.col("chance")
    cancelled = chance.is_between(RETURN_SHARE, RETURN_SHARE + CANCELLED_SHARE)
    by_customer = cancelled & (chance < RETURN_SHARE + CUSTOMER_SHARE)
    lines_of_days = days.with_columns(
        pl.when(chance < RETURN_SHARE).then(-1).otherwise("ordered").alias("ordered_qty"),
        pl.when(cancelled).then(pl.lit("CANCELLED")).otherwise(pl.lit("SHIPPED")).alias("status"),
        pl.when(by_customer).then(pl.lit("CUSTOMER")).alias("cancel_reason"),
        pl.lit("NORMAL").alias("line_type"),
        pl.col("ship_date").alias("requested_date"),
        (pl.col("ship_date").cast(TIMESTAMP) + pl.duration(hours=20)).alias("processed_at"),
    ).with_columns(_convert_to_uom("ordered_qty"))
    corrected = lines_of_days.filter(pl.Series(rng.random(days.height) < CORRECTED_SHARE)).with_columns(
        (pl.col("ordered_qty") + 2 * pl.col("pack_size").fill_null(1)).alias("ordered_qty"),
        pl.col("processed_at") + pl.duration(days=1),
    )
    return _fill(schema.ORDER_LINES, pl.concat([lines_of_days, corrected]))


def _make_shipments(days: pl.DataFrame) -> pl.DataFrame:
    left = pl.col("ship_date").cast(TIMESTAMP) + pl.duration(hours=4)
    late = pl.when(pl.col("chance") > 1 - LATE_SHARE).then(pl.duration(days=1)).otherwise(pl.duration(days=0))
    rows = days.with_columns(
        pl.col("shipped").alias("shipped_qty"),
        left.alias("shipped_at"),
        (left + pl.duration(hours=8) + late).alias("delivered_at"),
        pl.when((pl.col("shipped") < pl.col("ordered")) & (pl.col("chance") > 1 - REASON_SHARE))
        .then(pl.lit("11"))
        .alias("reason_code"),
        (left + pl.duration(hours=16)).alias("processed_at"),
    ).with_columns(_convert_to_uom("shipped_qty"))
    return _fill(schema.SHIPMENT_LINES, rows)


def _make_snapshots(days: pl.DataFrame) -> pl.DataFrame:
    rows = days.filter(pl.col("chance") > UNSEEN_SHARE).with_columns(
        pl.when("out").then(pl.lit("N")).otherwise(pl.lit("Y")).alias("instock"),
        (pl.col("ship_date").cast(TIMESTAMP) + pl.duration(hours=1)).alias("snapshot_at"),
    )
    return _fill(schema.INSTOCK_SNAPSHOTS, rows)


def _convert_to_uom(quantity: str) -> list[pl.Expr]:
    """Count in pieces what is sold by the piece."""
    pieces = pl.col("pack_size").is_not_null()
    return [
        (pl.col(quantity) * pl.col("pack_size").fill_null(1)).alias(quantity),
        pl.when(pieces).then(pl.lit("EA")).otherwise(pl.lit("CS")).alias("uom"),
    ]


def _fill(frame: TableSchema, rows: pl.DataFrame) -> pl.DataFrame:
    absent = [pl.lit(None).alias(name) for name in frame.names if name not in rows.columns]
    return frame.conform(rows.lazy().with_columns(absent)).collect()


# --- ours

RULES: Final = "fillrate rules and lake"


def run_rules(root: Path, size: Size) -> Outcome:
    """Run the rules as the assets call them, through the lake."""
    return _measure(RULES, root, size, _run_rules_of_dc)


def _run_rules_of_dc(source: Path, output: Path, dc: str, size: Size) -> Totals:
    known, stored = _store_item_days(source, output, dc, size), Lake(str(output))
    days = known.scan(schema.ITEM_DAYS, [dc])
    averages_table, records_table = map(_leave_method_2_out, JUDGED)
    for month in _list_months(dc, size):
        averages = rolling_baseline.compute_rolling_averages(days, [day for _, day in month])
        stored.write(averages_table, averages.select(averages_table.names).collect(), month)
        judged, averages_of = known.read(schema.ITEM_DAYS, month), stored.read(schema.ROLLING_AVERAGES, month)
        records = lost_cases.compute_lost_cases(judged, averages_of, schema.WAIVERS.make_empty())
        stored.write(records_table, records.select(records_table.names).collect(), month)
    saved = stored.scan(records_table, [dc])
    return saved.select(decimals.to_units(name).sum() for name in MEASURES).collect().row(0, named=True)


def _leave_method_2_out(table: TableSchema) -> TableSchema:
    """Leave out what method 1 does not need: it is not computed then."""
    return replace(table, columns=tuple(column for column in table.columns if column not in schema.ESTIMATES))


def _store_item_days(source: Path, output: Path, dc: str, size: Size) -> Lake:
    """Store what comes before the judging; return the lake of the item-days."""
    lake, stored = Lake(str(source)), Lake(str(output))
    if size.of == DAYS:
        return lake
    for month in _list_months(dc, size):
        classified = _write_item_days(lake, stored, month)
        stored.write(schema.FILL_RATES, service_metrics.compute_fill_rates(classified).collect(), month)
    return stored


def _list_months(dc: str, size: Size) -> list[list[PartitionKey]]:
    return [span.partition_keys for span in partition_key.cut_into_ranges(size.partitions(dc), assets.MONTH)]


def _write_item_days(source: Lake, target: Lake, month: list[PartitionKey]) -> pl.LazyFrame:
    """Store a month's classified lines, which are returned, and its item-days."""
    items = source.read_whole(schema.ITEMS)
    orders, shipments, snapshots = (source.read(frame, month) for frame in INPUTS[LINES])
    target.write(schema.CLASSIFIED_LINES, classify_sources(orders, shipments, snapshots, items).collect(), month)
    classified = target.read(schema.CLASSIFIED_LINES, month)
    target.write(schema.ITEM_DAYS, item_days.compute_item_days(classified, snapshots, items).collect(), month)
    return classified


# --- ours, by both methods


def run_both_methods(root: Path, size: Size) -> Outcome:
    """Run the rules of both methods, month by month, all DCs together: they share the factors of a ship date."""
    output = root / "output" / "both"
    output.mkdir(parents=True)
    stored, watch, fits = Lake(str(output)), Stopwatch(), [demand_schema.FACTOR_FITS.make_empty()]
    with watch:
        known, *_ = (_store_item_days(root / "input", output, dc, size) for dc in size.dc_names)
        for months in zip(*(_list_months(dc, size) for dc in size.dc_names), strict=True):
            fits.append(_judge_month(known, stored, dict(zip(size.dc_names, months, strict=True)), fits))
    return watch.outcome("both methods", {})


def _judge_month(
    known: Lake, stored: Lake, months: dict[str, list[PartitionKey]], fits: list[pl.LazyFrame]
) -> pl.LazyFrame:
    """Store records of a month; return the fits of its factors, which the weights of later days need."""
    days = [day for _, day in next(iter(months.values()))]
    usual, judged, averages, indices = [], {}, {}, {}
    for dc, month in months.items():
        history = known.scan(schema.ITEM_DAYS, [dc])
        averages[dc] = rolling_baseline.compute_rolling_averages(history, days).collect()
        stored.write(schema.ROLLING_AVERAGES, averages[dc], month)
        indices[dc] = weekday_index.compute_weekday_indices(history, days).collect()
        stored.write(demand_schema.WEEKDAY_INDICES, indices[dc], month)
        judged[dc] = known.read(schema.ITEM_DAYS, month).collect()
        known_of_dc = (judged[dc].lazy(), averages[dc].lazy(), indices[dc].lazy())
        usual.append(network_factor.compute_usual_demand(*known_of_dc).collect())
        stored.write(demand_schema.USUAL_DEMAND, usual[-1], month)
    of_network = pl.concat(usual).lazy()
    factors = network_factor.compute_network_factors(of_network).collect()
    found = network_factor.compute_factor_fits(of_network, factors.lazy()).collect().lazy()
    weights = network_factor.learn_factor_weights(pl.concat([*fits, found]), days).collect()
    for dc, month in months.items():
        of_dc = factors.filter(dc=dc)
        stored.write(demand_schema.NETWORK_FACTORS, of_dc, month)
        records = lost_cases.compute_lost_cases(
            judged[dc].lazy(),
            averages[dc].lazy(),
            schema.WAIVERS.make_empty(),
            indices=indices[dc].lazy(),
            factors=of_dc.lazy(),
            weights=weights.lazy(),
        )
        stored.write(schema.LOST_CASES, records.collect(), month)
    return found


# --- DuckDB


def run_duckdb(root: Path, size: Size) -> Outcome:
    """Run the rules as SQL, in memory, with DuckDB's own partitioned write."""
    return _measure("duckdb SQL", root, size, _run_duckdb_of_dc)


def _run_duckdb_of_dc(source: Path, output: Path, dc: str, size: Size) -> Totals:
    with duckdb.connect() as connection:
        connection.execute("set enable_progress_bar = false")
        for statement in duckdb.extract_statements(TO_ITEM_DAYS[size.of].read_text()):
            known = {"input": str(source), "dc": dc}
            connection.execute(statement, {name: known[name] for name in statement.named_parameters})
        connection.execute(JUDGING.read_text())
        for frame in size.outputs:
            connection.table(frame.name).to_parquet(
                str(output / frame.name), partition_by=["dc", "ship_date"], append=True
            )
        sums = ", ".join(f"(sum({name}) * {decimals.PLACES})::bigint" for name in MEASURES)
        row = connection.table("lost_cases").aggregate(sums).fetchall()[0]
    return dict(zip(MEASURES, row, strict=True))


# --- pandas


def run_pandas(root: Path, size: Size) -> Outcome:
    """Run the rules in pandas."""
    return _measure("pandas", root, size, _run_pandas_of_dc)


def _run_pandas_of_dc(source: Path, output: Path, dc: str, size: Size) -> Totals:
    def read(frame: TableSchema) -> pd.DataFrame:
        return year_pandas.read(_find_files(source, frame, dc))

    if size.of == DAYS:
        results = year_pandas.judge(read(schema.ITEM_DAYS), size.ship_dates)
    else:
        orders, shipments, snapshots = (read(frame) for frame in size.inputs)
        items = year_pandas.read([source / "items" / "part-0.parquet"])
        results = year_pandas.compute_results(orders, shipments, snapshots, items, size.ship_dates)
    frames = dict(zip(size.outputs, results, strict=True))
    for frame, rows in frames.items():
        year_pandas.write(output / frame.name / f"dc={dc}", rows)
    return {name: int(frames[schema.LOST_CASES][name].sum()) for name in MEASURES}


# --- nothing but reading and writing


def run_bare(root: Path, size: Size) -> Outcome:
    """Bare Polars: read the input, write the output; the output is in memory before the clock starts."""
    watch = Stopwatch()
    for dc in size.dc_names:
        results = {
            frame: pl.read_parquet(_find_files(root / "output" / "fillrate", frame, dc)) for frame in size.outputs
        }
        with watch:
            for frame in size.inputs:
                pl.read_parquet(_find_files(root / "input", frame, dc))
            for frame, rows in results.items():
                _write_bare(root / "output" / "bare" / frame.name / f"dc={dc}", rows)
    return watch.outcome("bare Polars read and write", {})


def _write_bare(directory: Path, rows: pl.DataFrame) -> None:
    for (day,), part in rows.partition_by("ship_date", as_dict=True).items():
        target = directory / f"ship_date={day}"
        target.mkdir(parents=True)
        part.write_parquet(target / "part-0.parquet")


def _find_files(root: Path, frame: TableSchema, dc: str) -> list[Path]:
    return sorted((root / frame.name / f"dc={dc}").glob("*/part-0.parquet"))


if __name__ == "__main__":
    sys.exit(main())
