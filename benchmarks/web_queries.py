"""What pages over a year of the full network wait for: the queries of each, cold, warm, and with 20 people at once.

    python -m benchmarks.web_queries                              # 10 DCs x 7,209 items x 365 days, some minutes
    python -m benchmarks.web_queries --dcs 2 --items 1000         # a small one
    python -m benchmarks.web_queries --people 20 --seconds 60 --pause 0    # how many people, for how long, how hasty

The months of the history are made of random rows that keep their contract; yesterday is not in it, as in the morning
after a publication. The peer is bare DuckDB in the same run: the very statements that a page ran, one after the other.
Nothing is remembered between requests, but for the last column: the same page for the second person.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, Final, TypeVar
from unittest.mock import patch

import duckdb
import numpy as np
import polars as pl

from fillrate_assets import settings as settings_module
from fillrate_assets.core.decimals import CASES
from fillrate_assets.core.partition_key import PartitionKey, list_dates
from fillrate_assets.core.text_columns import format_text
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.fact_schema import FACTS
from fillrate_assets.fillrate.record_store import LEDGER
from fillrate_assets.fillrate.report.answer_cache import AnswerCache
from fillrate_assets.fillrate.report.fact_tables import FactSource, connect, define, run_query
from fillrate_assets.fillrate.report.history import MonthKey, StoredMonth, build_month_path, read_stored, write_manifest
from fillrate_assets.fillrate.report.platform_facts import PlatformFacts
from fillrate_assets.fillrate.report.report_request import PlatformReports, ReportRequest, Reports
from fillrate_assets.settings import Settings
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.lake import WHOLE, Lake, Part, build_path

LAST: Final = date(2026, 3, 15)
VENDORS: Final = 250
DEPARTMENTS: Final = 12
CUSTOMERS: Final = 120
LINES_PER_ORDER: Final = 20
FULL_SHARE: Final = 0.96
OUT_SHARE: Final = 0.02
MISSING_SHARE: Final = 0.002
ON_TIME_SHARE: Final = 0.97
ROUNDS: Final = 7
PATHS: Final = ("STOCK_IN", "STOCK_OUT", "FLOW", "MISSING")
MOST_SECONDS: Final = {1: 1.0, 20: 3.0}
MOST_RATIO: Final = 1.5
MOST_MEMORY_GB: Final = 2.0


@dataclass(frozen=True)
class Size:
    """How large the network is."""

    dcs: int
    items: int
    days: int

    @property
    def dates(self) -> list[date]:
        """Every day is a ship date."""
        return list_dates(LAST - timedelta(days=self.days - 1), LAST)

    @property
    def dc_names(self) -> list[str]:
        """DC01, DC02..."""
        return [f"DC{number:02}" for number in range(1, self.dcs + 1)]


def count_orders(items: int) -> int:
    """Count the orders of a DC and day."""
    return max(1, items // LINES_PER_ORDER)


Number = TypeVar("Number", int, "np.ndarray[Any, Any]")


def find_vendor(item: Number) -> Number:
    """Find the number of the vendor of an item, or of each of some."""
    return item * 7 % VENDORS


def make_days(rng: np.random.Generator, dc: str, dates: Sequence[date], items: int) -> dict[str, pl.DataFrame]:
    """Make `CLASSIFIED_LINES` and `LOST_CASES` of a DC: a line and a record for each item and day."""
    rows = items * len(dates)
    item = np.tile(np.arange(items), len(dates))
    day = np.repeat(np.arange(len(dates)), items)
    ordered = rng.integers(1, 40, rows)
    out = rng.random(rows)
    shipped = np.where(out < FULL_SHARE, ordered, rng.integers(0, ordered + 1))
    path = np.where(item % 10 == 0, 2, np.where(out > 1 - OUT_SHARE, 1, np.where(out < MISSING_SHARE, 3, 0)))
    estimated = np.where(path == 1, rng.integers(0, 10, rows), 0)
    order = rng.integers(0, count_orders(items), rows)
    vendor = find_vendor(item)
    base = pl.DataFrame(
        {
            "day": day,
            "item": item,
            "vendor": vendor,
            "order": order,
            "path": path,
            "ordered": ordered,
            "shipped": shipped,
        }
    ).with_columns(
        pl.lit(dc).alias("dc"),
        pl.Series("ship_date", dates).gather(day),
        format_text("{}-{}-{}", pl.lit(dc), "day", "order").alias("order_id"),
        (pl.lit("I") + pl.col("item").cast(pl.String).str.zfill(5)).alias("item"),
        (pl.lit("V") + pl.col("vendor").cast(pl.String).str.zfill(3)).alias("vendor"),
        (pl.lit("D") + (pl.col("vendor") % DEPARTMENTS).cast(pl.String)).alias("department"),
        (pl.lit("C") + (pl.col("order") % CUSTOMERS).cast(pl.String)).alias("customer"),
        pl.col("path").replace_strict(dict(enumerate(PATHS)), return_dtype=pl.String),
        pl.Series("estimated", estimated),
        pl.Series("on_time", rng.random(rows) < ON_TIME_SHARE),
    )
    confirmed = pl.col("ordered") - pl.col("shipped")
    lost = confirmed + pl.col("estimated")
    zero = pl.lit(0)
    committed = pl.col("vendor").str.ends_with("0")
    cases = {
        "ordered_cases": pl.col("ordered"),
        "shipped_cases": pl.col("shipped"),
        "over_cases": zero,
        "sub_cases": zero,
    }
    line = {
        **cases,
        "source_table": pl.lit("order_lines"),
        "line_no": pl.int_range(pl.len()),
        "disposition": pl.lit("COUNTED"),
        "on_time": pl.col("on_time"),
        "shipments": pl.lit(1),
    }
    record = {
        **cases,
        "item_type": pl.when(pl.col("path") == "FLOW").then(pl.lit("FLOW")).otherwise(pl.lit("STOCK")),
        "confirmed_cases": confirmed,
        "estimated_cases": pl.col("estimated"),
        "lost_cases": lost,
        "contract_lost_cases": pl.when(committed & (pl.col("path") == "STOCK_OUT")).then(lost).otherwise(0),
        "contract_committed": committed,
        "reason_code": pl.when(lost > 0).then(pl.lit("ZZ")),
        "baseline_n": zero,
        "baseline_source": pl.lit("NONE"),
        "method_version": pl.lit(1),
        **dict.fromkeys(("imputed", "phantom_stock", "flag_conflict"), pl.lit(value=False)),
    }
    return {
        "lines": base.select(_fill(schema.CLASSIFIED_LINES, line, base.columns)),
        "records": base.select(_fill(schema.LOST_CASES, record, base.columns)),
    }


def _fill(table: Any, given: Mapping[str, pl.Expr], own: Sequence[str]) -> list[pl.Expr]:  # noqa: ANN401 - a TableSchema
    return [
        given.get(column.name, pl.col(column.name) if column.name in own else pl.lit(None))
        .cast(pl.Int64 if column.dtype == CASES and column.name in given else column.dtype)
        .cast(column.dtype)
        .alias(column.name)
        for column in table.columns
    ]


def fill(settings: Settings, size: Size, whole_days: int = 1) -> None:
    """Fill lake and record store: months of every DC, and yesterday as a day that no month has.

    Args:
        settings: where they are.
        size: of the network.
        whole_days: how many of the last days have files of their own with rows in them; older ones only their names.

    """
    lake, database, rng = Lake(settings.storage.lake_root), Database.from_settings(settings), np.random.default_rng(1)
    database.upgrade()
    items = pl.DataFrame({"item": [f"I{number:05}" for number in range(size.items)]}).with_columns(
        format_text("item {}", "item").alias("description"),
        pl.lit("STOCK").alias("item_type"),
        pl.lit(value=False).alias("contract_committed"),
        pl.lit(date(2020, 1, 1)).alias("valid_from"),
        *[pl.lit(None).alias(name) for name in ("vendor", "department", "pack_size", "valid_to")],
    )
    lake.write_whole(schema.ITEMS, schema.ITEMS.conform(items.lazy()).collect())
    past = size.dates[:-1]
    by_month = {
        first: [day for day in past if day.replace(day=1) == first] for first in {day.replace(day=1) for day in past}
    }
    for dc in size.dc_names:
        begun = perf_counter()
        for first, days in sorted(by_month.items()):
            made = make_days(rng, dc, days, size.items)
            _write_days(lake, dc, days, made, size.dates[-whole_days:])
            with connect() as connection:
                for name, frame in made.items():
                    connection.register(f"given_{name}", frame)
                for name, fact in FACTS.items():
                    target = Path(lake.root, build_month_path(name, MonthKey(dc, first), "a"))
                    target.parent.mkdir(parents=True, exist_ok=True)
                    rows = f"{define(name, 'given_lines', 'given_records')} ORDER BY {', '.join(fact.order)}"
                    connection.execute(
                        f"COPY ({rows}) TO '{target}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20_000)"
                    )
        stored = read_stored(lake, [dc])
        months = {
            MonthKey(dc, first): StoredMonth("a", {day: stored.days[PartitionKey(dc, day)] for day in days})
            for first, days in by_month.items()
        }
        write_manifest(lake, dc, months)
        _write_days(lake, dc, [LAST], make_days(rng, dc, [LAST], size.items), [LAST])
        sys.stdout.write(f"{dc}: {len(past) * size.items:,} item-days in {perf_counter() - begun:.0f} s\n")
    ledger = [
        {
            **dict.fromkeys(("orders_lines", "shipments_lines", "snapshots_rows", "records"), size.items),
            "dc": dc,
            "ship_date": day,
            "state": "PUBLISHED",
            "run_id": "benchmark",
            "published_at": datetime.now(UTC).replace(tzinfo=None),
        }
        for dc in size.dc_names
        for day in size.dates
    ]
    with database.begin() as connection:
        connection.execute(LEDGER.insert(), ledger)


def _write_days(
    lake: Lake, dc: str, days: Sequence[date], made: Mapping[str, pl.DataFrame], whole: Sequence[date]
) -> None:
    """Write the files of days: with their rows, or only their names."""
    records = made["records"]
    item_days = records.select(_fill(schema.ITEM_DAYS, {"lines": pl.lit(1), "instock": pl.lit("Y")}, records.columns))
    frames = {schema.CLASSIFIED_LINES: made["lines"], schema.LOST_CASES: records, schema.ITEM_DAYS: item_days}
    for table, rows in frames.items():
        of_whole = [PartitionKey(dc, day) for day in days if day in whole]
        if of_whole:
            lake.write(table, rows.filter(pl.col("ship_date").is_in([day for _, day in of_whole])), of_whole)
        for day in days:
            if day not in whole and table is not schema.ITEM_DAYS:
                file = Path(lake.root, build_path(table, Part(dc, day, WHOLE)))
                file.parent.mkdir(parents=True)
                file.touch()


Page = Callable[[Reports], object]


def list_pages(size: Size) -> dict[str, Page]:
    """List the pages, by what each reads at once."""
    year, month, week = (LAST - timedelta(days=days) for days in (size.days - 1, 14, 6))
    trend = LAST - timedelta(days=LAST.weekday() + 84)
    number = size.items - 1
    dc, vendor, item = (
        {"dc": [size.dc_names[-1]]},
        {"vendor": [f"V{find_vendor(number):03}"]},
        {"item": [f"I{number:05}"]},
    )

    def read(by: Sequence[str], first: date, filters: Mapping[str, Sequence[str]] | None = None, **more: Any) -> Page:  # noqa: ANN401
        return lambda reports: reports.read(ReportRequest(by, first, LAST, filters or {}, **more))

    def rank(first: date, filters: Mapping[str, Sequence[str]]) -> Page:
        return lambda reports: reports.read_worst_items(ReportRequest((), first, LAST, filters))

    return {
        "network: week against last, by DC": read(["dc"], week, compare="previous"),
        "network: the year, by DC": read(["dc"], year),
        "network: 13 weeks": read(["week"], trend),
        "network: who is accountable, by path": read(["path"], month, with_orders=False),
        "vendors: month against last": read(["vendor"], month, compare="previous", with_orders=False),
        "vendors: the year": read(["vendor"], year, with_orders=False),
        "DC: departments of the month": read(["department"], month, dc, with_orders=False),
        "DC: worst items of the month": rank(month, dc),
        "DC: worst items of the year": rank(year, dc),
        "network: worst items of the year": rank(year, {}),
        "items: the year": read(["item"], year, top=50, with_orders=False),
        "customers: the year": read(["customer"], year),
        "vendor: 13 weeks": read(["week"], trend, vendor),
        "vendor: its items of the year": read(["item"], year, vendor, top=50, with_orders=False),
        "item: days of 13 weeks": read(["dc", "ship_date"], trend, item, with_orders=False),
        "item: the year, by DC": read(["dc"], year, item),
        "search: an item": lambda reports: reports.read_known("item", "0430"),
    }


@dataclass
class Statements:
    """The statements that a page ran."""

    run: list[tuple[str, Mapping[str, Any], Mapping[str, pl.DataFrame]]] = field(default_factory=list)

    def record(self, page: Page, reports: Reports) -> None:
        """Read a page and record what it runs."""

        def recorded(
            source: FactSource, statement: str, binds: Mapping[str, Any], frames: Mapping[str, pl.DataFrame]
        ) -> pl.DataFrame:
            self.run.append((statement, binds, frames))
            return run_query(source, statement, binds, frames)

        with patch("fillrate_assets.fillrate.report.fact_queries.run_query", recorded):
            page(reports)

    def run_bare(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Run them again, with nothing between."""
        for statement, binds, frames in self.run:
            for name, frame in frames.items():
                connection.register(name, frame)
            connection.execute(statement, dict(binds)).fetchall()


def measure(call: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """Measure a call, several times."""
    seconds = []
    for _ in range(rounds):
        begun = perf_counter()
        call()
        seconds.append(perf_counter() - begun)
    return sorted(seconds)


def forget() -> AbstractContextManager[object]:
    """Remember no answer until the block ends."""
    return patch.object(AnswerCache, "read", lambda _cache, _key, compute: compute())


def compare_pages(settings: Settings, size: Size) -> bool:
    """Print what each page waits for, beside bare DuckDB; return whether all is within its limits."""
    facts = PlatformFacts(settings, max_age_seconds=10)
    reports = PlatformReports(facts)
    bare = connect()
    good = True
    sys.stdout.write(f"{'page':40}{'cold':>8}{'P50':>8}{'P95':>8}{'bare':>8}{'ratio':>7}{'again':>9}\n")
    for name, page in list_pages(size).items():
        statements = Statements()
        with forget():
            (cold,) = measure(lambda page=page: page(PlatformReports(PlatformFacts(settings))), 1)  # type: ignore[misc]
            statements.record(page, reports)
            warm = measure(lambda page=page: page(reports))  # type: ignore[misc]
        peer = measure(lambda statements=statements: statements.run_bare(bare)) if statements.run else [float("nan")]  # type: ignore[misc]
        page(reports)
        again = measure(lambda page=page: page(reports))  # type: ignore[misc]
        ratio = median(warm) / median(peer)
        good &= warm[-1] <= MOST_SECONDS[1]
        sys.stdout.write(
            f"{name:40}{cold:8.2f}{median(warm):8.2f}{warm[-1]:8.2f}{median(peer):8.2f}{ratio:7.2f}"
            f"{median(again) * 1000:7.1f}ms\n"
        )
    return good


def load(settings: Settings, size: Size, people: int, seconds: float, pause: float) -> bool:
    """Have people read pages, and look at each for a while; return whether P95 and memory are within their limits."""
    reports = PlatformReports(PlatformFacts(settings, max_age_seconds=10))
    pages, waited, ends = [*list_pages(size).values()], [], perf_counter() + seconds

    def visit(number: int) -> None:
        choice = random.Random(number)  # noqa: S311 - which page is next
        while perf_counter() < ends:
            time.sleep(choice.uniform(0, 2 * pause))
            begun = perf_counter()
            choice.choice(pages)(reports)
            waited.append(perf_counter() - begun)

    with forget(), ThreadPoolExecutor(people) as threads:
        list(threads.map(visit, range(people)))
    ordered = sorted(waited)
    p50, p95 = (ordered[int(len(ordered) * share)] for share in (0.5, 0.95))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    sys.stdout.write(
        f"{people} people for {seconds:.0f} s, {pause:.0f} s on a page, nothing remembered: {len(waited)} pages,"
        f" P50 {p50:.2f} s, P95 {p95:.2f} s, {memory:.2f} GB\n"
    )
    return p95 <= MOST_SECONDS.get(people, p95) and memory <= MOST_MEMORY_GB


def parse_arguments(description: str | None) -> tuple[Size, argparse.Namespace]:
    """Parse how large the network is, and how many people read how hastily."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dcs", type=int, default=10)
    parser.add_argument("--items", type=int, default=7209)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--pause", type=float, default=5, help="mean seconds that a person looks at a page; 0: none")
    chosen = parser.parse_args()
    return Size(chosen.dcs, chosen.items, chosen.days), chosen


def main() -> int:
    """Measure, and say with the exit code whether all is within the limits."""
    size, chosen = parse_arguments(__doc__)
    with TemporaryDirectory(prefix="web-queries-") as folder:
        settings = settings_module.load(home=Path(folder))
        fill(settings, size)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        sys.stdout.write(f"filled: {memory:.2f} GB at most\n")
        good = compare_pages(settings, size)
        return 0 if load(settings, size, chosen.people, chosen.seconds, chosen.pause) and good else 1


if __name__ == "__main__":
    sys.exit(main())
