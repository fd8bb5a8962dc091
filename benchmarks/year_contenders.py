"""The contenders of `year.py`: ours, DuckDB, pandas, and nothing but reading and writing."""

from __future__ import annotations

import resource
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Final

import duckdb
import pandas as pd
import polars as pl

from benchmarks import year_pandas
from benchmarks.year_network import DAYS, LINES, Size, list_months, write_item_days
from fillrate_assets.core import decimals
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.rules import lost_cases, rolling_baseline, service_metrics
from fillrate_assets.storage.lake import Lake

TO_ITEM_DAYS: Final = {
    LINES: Path(__file__).with_name("year_lines.sql"),
    DAYS: Path(__file__).with_name("year_item_days.sql"),
}
JUDGING: Final = Path(__file__).with_name("year_judging.sql")
MEASURES: Final = ("ordered_cases", "shipped_cases", "confirmed_cases", "estimated_cases")
RULES: Final = "fillrate rules and lake"

Totals = dict[str, int]
"""Sums of `MEASURES` in ten-thousandths of a case."""


@dataclass(frozen=True)
class Outcome:
    """What a contender reports."""

    name: str
    seconds: float
    cpu_seconds: float
    peak_gb: float
    totals: Totals


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

    def __add__(self, other: Stopwatch) -> Stopwatch:
        """Add up what two measured."""
        both = Stopwatch()
        both.seconds = self.seconds + other.seconds
        both.cpu_seconds = self.cpu_seconds + other.cpu_seconds
        return both

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
    return watch.outcome(name, add_totals(totals))


def add_totals(totals: Iterable[Totals]) -> Totals:
    """Add up the totals of DCs."""
    return reduce(lambda left, right: {name: left[name] + right[name] for name in left}, totals)


# --- ours


def run_rules(root: Path, size: Size) -> Outcome:
    """Run the rules as the assets call them, through the lake."""
    return _measure(RULES, root, size, _run_rules_of_dc)


def _run_rules_of_dc(source: Path, output: Path, dc: str, size: Size) -> Totals:
    known, stored = store_item_days(source, output, dc, size), Lake(str(output))
    for month in list_months(dc, size):
        store_averages(known, stored, dc, month)
        store_records(known, stored, month)
    return sum_measures(stored, dc)


def store_averages(known: Lake, stored: Lake, dc: str, month: Sequence[PartitionKey]) -> None:
    """Store the averages of a month, without the columns of method 2."""
    table = _leave_method_2_out(schema.ROLLING_AVERAGES)
    days = known.scan(schema.ITEM_DAYS, [dc])
    averages = rolling_baseline.compute_rolling_averages(days, [day for _, day in month])
    stored.write(table, averages.select(table.names).collect(), month)


def store_records(known: Lake, stored: Lake, month: Sequence[PartitionKey]) -> None:
    """Store the records of a month, without the columns of method 2."""
    table = _leave_method_2_out(schema.LOST_CASES)
    judged, averages = known.read(schema.ITEM_DAYS, month), stored.read(schema.ROLLING_AVERAGES, month)
    records = lost_cases.compute_lost_cases(judged, averages, schema.WAIVERS.make_empty())
    stored.write(table, records.select(table.names).collect(), month)


def sum_measures(stored: Lake, dc: str) -> Totals:
    """Sum the records of a DC."""
    saved = stored.scan(schema.LOST_CASES, [dc])
    return saved.select(decimals.to_units(name).sum() for name in MEASURES).collect().row(0, named=True)


def _leave_method_2_out(table: TableSchema) -> TableSchema:
    """Leave out what method 1 does not need: it is not computed then."""
    return replace(table, columns=tuple(column for column in table.columns if column not in schema.ESTIMATES))


def store_item_days(source: Path, output: Path, dc: str, size: Size) -> Lake:
    """Store what comes before the judging; return the lake of the item-days."""
    lake, stored = Lake(str(source)), Lake(str(output))
    if size.of == DAYS:
        return lake
    for month in list_months(dc, size):
        classified = write_item_days(lake, stored, month)
        stored.write(schema.FILL_RATES, service_metrics.compute_fill_rates(classified).collect(), month)
    return stored


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
        # As the lake writes (decision 0395).
        part.write_parquet(target / "part-0.parquet", compression_level=1, statistics=False)


def _find_files(root: Path, frame: TableSchema, dc: str) -> list[Path]:
    return sorted((root / frame.name / f"dc={dc}").glob("*/part-0.parquet"))
