"""A year of the sample network through Dagster, from the embedded systems to saved records, against a bare bulk load.

    python -m benchmarks.backfill                                   # 10 DCs x 7,209 items x 365 days
    python -m benchmarks.backfill --dcs 2 --days 40 --items 500     # a small one, under a minute
    python -m benchmarks.backfill --dcs 2 --home /var/tmp/sample    # keep the filled sample for the next time

The backfill is one run per DC, several processes at a time, as `fillrate run` starts them, into an empty lake and an
empty record store. The bare load then writes the very rows that the backfill saved, already encoded and in memory,
into another empty record store: one transaction per DC, by `executemany` and by Arrow's bulk ingest; the faster counts.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import os
import resource
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, Final

import dagster as dg
import polars as pl
import sqlalchemy as sa
from adbc_driver_sqlite import dbapi

from benchmarks import asset_functions  # before anything that defines assets
from fillrate_assets import settings as settings_module
from fillrate_assets.cli import launcher
from fillrate_assets.core import decimals
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.record_store import RECORDS, RecordStore
from fillrate_assets.orchestration import partitions
from fillrate_assets.orchestration.sqlite_storage import BatchingSqliteEventLogStorage
from fillrate_assets.sample.fillrate_loader import SampleNetwork
from fillrate_assets.sample.network import Network
from fillrate_assets.settings import Settings
from fillrate_assets.storage import sql
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.lake import Lake

DAGSTER_YAML: Final = Path(__file__).parent.parent / "dagster.yaml"
SUMMED: Final = ("ordered_cases", "shipped_cases", "lost_cases")
ROWS_AT_ONCE: Final = 10_000
_LONGEST_SECONDS: Final = 4 * 3600

Sums = dict[str, int]
"""`records`, and the sums of `SUMMED` in ten-thousandths of a case."""


@dataclass(frozen=True)
class Spent:
    """Seconds on the clock, and seconds of processor time in all threads of the process."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> Spent:
        """Both clocks; only differences mean something."""
        return cls(perf_counter(), process_time())

    def __add__(self, other: Spent) -> Spent:
        """Add both."""
        return Spent(self.wall + other.wall, self.cpu + other.cpu)

    def __sub__(self, other: Spent) -> Spent:
        """Subtract both."""
        return Spent(self.wall - other.wall, self.cpu - other.cpu)

    def __truediv__(self, other: Spent) -> Spent:
        """Divide each by its like."""
        return Spent(self.wall / other.wall, self.cpu / other.cpu)


NOTHING: Final = Spent(0.0, 0.0)


@dataclass(frozen=True)
class RunOfDc:
    """What one run took, and what its process had used by then."""

    dc: str
    process: int
    failure: str | None
    whole: Spent
    parts: dict[str, Spent]
    process_cpu: float
    peak_gb: float

    @property
    def functions(self) -> Spent:
        """The assets' and checks' work, less what it spends in Dagster's event log."""
        return self.parts[FUNCTIONS] - self.parts[CHECK_RESULTS]

    @property
    def event_log(self) -> Spent:
        """Dagster's event log, from every caller."""
        return self.parts[EVENT_LOG] + self.parts[CHECK_RESULTS]

    @property
    def dagster(self) -> Spent:
        """What remains of the run after our work."""
        return self.whole - self.functions


@dataclass(frozen=True)
class BareLoad:
    """What a bare load took and what it left."""

    name: str
    took: Spent
    sums: Sums


class Stopwatch:
    """Time spent in functions; what a watched function calls of its own kind counts once."""

    def __init__(self) -> None:
        """Nothing is watched yet."""
        self.spent: dict[str, Spent] = {}
        self._inside: set[str] = set()

    def watch(
        self, owner: object, function: Callable[..., object], kind: str, within: Mapping[str, str] | None = None
    ) -> None:
        """Put a clock around a function of a module or class.

        Args:
            owner: the module or class.
            function: the function.
            kind: what its time counts as.
            within: what it counts as instead when called within another kind, by that kind.

        """
        setattr(owner, function.__name__, self.clock(function, kind, within))

    def clock(
        self, original: Callable[..., Any], kind: str, within: Mapping[str, str] | None = None
    ) -> Callable[..., Any]:
        """Return a function with a clock around it."""
        instead = within or {}
        self.spent.update(dict.fromkeys((kind, *instead.values()), NOTHING))

        @functools.wraps(original)
        def clocked(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever it takes and returns
            counted = next((other for outer, other in instead.items() if outer in self._inside), kind)
            if counted in self._inside:
                return original(*args, **kwargs)
            self._inside.add(counted)
            started = Spent.now()
            try:
                return original(*args, **kwargs)
            finally:
                self.spent[counted] += Spent.now() - started
                self._inside.remove(counted)

        return clocked


def main() -> int:
    """Fill the sample, run the backfill, load the same records bare, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--days", type=int, default=365, help="days of history (default: 365)")
    parser.add_argument("--dcs", type=int, default=10, help="DCs (default: 10)")
    parser.add_argument("--items", type=int, default=7_209, help="items (default: 7209)")
    parser.add_argument("--processes", type=int, default=launcher.PROCESSES, help="runs at a time (default: 2)")
    parser.add_argument("--home", type=Path, help="keep filled samples here and use them again; default: temporary")
    arguments = parser.parse_args()
    try:
        network = Network(dcs=arguments.dcs, items=arguments.items, days=arguments.days)
    except ValueError as error:
        parser.error(str(error))
    with tempfile.TemporaryDirectory(prefix="backfill-", dir=_make_directory(arguments.home)) as directory:
        work = Path(directory)
        filled = (arguments.home or work) / f"{network.dcs}x{network.items}x{network.days}"
        seconds = _run_alone(fill, filled, network)
        origin = f"filled in {seconds:,.1f} s, not counted" if seconds else f"stored in {filled}"
        print(f"{network.dcs} DCs x {network.items:,} items x {network.days} days, {origin}", flush=True)
        settings = create_platform(work / "platform", filled)
        started = perf_counter()
        runs = list(backfill(settings, network, arguments.processes))
        seconds = perf_counter() - started
        saved = _run_alone(sum_lake, settings), _run_alone(sum_store, settings.storage.record_store_url)
        loads = [
            _run_alone(load, settings, work / load.__name__, network.dc_codes) for load in (load_by_rows, load_by_arrow)
        ]
    return report(runs, seconds, saved, loads)


def report(runs: Sequence[RunOfDc], seconds: float, saved: tuple[Sums, Sums], loads: Sequence[BareLoad]) -> int:
    """Print the comparison; 1 when a run failed or the records differ."""
    lake, store = saved
    bare = min(loads, key=lambda load: load.took.cpu)
    processes = {run.process: run.process_cpu for run in sorted(runs, key=lambda run: run.process_cpu)}
    backfilled = Spent(seconds, sum(processes.values()))
    ratio = backfilled / bare.took
    print(f"\n{'':<44}{'seconds':>10}{'CPU-s':>10}")
    _print_spent(f"backfill: {len(runs)} runs in {len(processes)} processes", backfilled)
    for load in loads:
        _print_spent(f"bare load {load.name}", load.took)
    print(f"{'backfill / faster bare load':<44}{ratio.wall:>9.2f}x{ratio.cpu:>9.2f}x")
    print(f"{'records':<44}{store['records']:>10,}")
    print(f"{'records a second':<44}{store['records'] / seconds:>10,.0f}")
    print(f"{'peak memory of a process, GB':<44}{max(run.peak_gb for run in runs):>10.2f}")
    starts = backfilled.cpu - sum(run.whole.cpu for run in runs)
    print(f"{'CPU-s of process starts and imports':<44}{starts:>10.1f}")
    _print_shares(runs)
    wrong = [f"{run.dc} failed: {run.failure}" for run in runs if run.failure]
    held = {"the lake": lake, **{f"the bare load {load.name}": load.sums for load in loads}}
    wrong += [f"{name} holds {sums}, the record store {store}" for name, sums in held.items() if sums != store]
    print("\nresults: " + ("; ".join(wrong) or "the lake, the record store and the bare loads hold the same records"))
    print(HOW_TO_READ)
    return int(bool(wrong))


def _print_shares(runs: Sequence[RunOfDc]) -> None:
    """Where the runs' time went, summed over the processes."""
    rows = {
        "the runs, summed": [run.whole for run in runs],
        "  our assets and checks": [run.functions for run in runs],
        "    of which saving records": [run.parts[SAVING] for run in runs],
        "    of which writing the lake": [run.parts[LAKE] for run in runs],
        "  Dagster's own share": [run.dagster for run in runs],
        "    of which in its event log": [run.event_log for run in runs],
    }
    whole = sum(rows["the runs, summed"], NOTHING)
    print()
    for name, parts in rows.items():
        spent = sum(parts, NOTHING)
        share = spent / whole
        _print_spent(name, spent, f"{share.wall:>8.1%}{share.cpu:>8.1%}")


def _print_spent(name: str, spent: Spent, more: str = "") -> None:
    print(f"{name:<44}{spent.wall:>10.1f}{spent.cpu:>10.1f}{more}")


HOW_TO_READ: Final = """
How to read: the backfill counts from its start to the last saved record, process starts and imports included. The
bare load is the floor: it computes nothing, finds its rows encoded in memory, and keeps only the records; the backfill
also reads the sources, computes, stores nine assets in the lake, checks them, and saves rejects and ledger.
Dagster's own share is what remains of the runs after clocks around every asset's and check's function and around the
IO manager, for which the assets compute; what these ask of Dagster (the run's partition keys) counts as ours, except
for storing the checks' results by partition in its event log. The event log's time is clocked in its storage. The
summed seconds of several processes hold their waiting for one another: for the record store's only writer, and for
cores. CPU-s is processor time in all threads, which other work on the machine disturbs less than seconds; waiting for
the disk is in neither side's CPU-s. Peak memory is the resident set of the largest of the processes that run. A small
size shows the fixed cost of processes and runs, not the ratio of a year."""


# --- the sample and the platform


def fill(home: Path, network: Network) -> float:
    """Fill the embedded systems with the sample network; 0 seconds where they are filled already."""
    sample = SampleNetwork(settings_module.load(home=home))
    if sample.network is not None:
        return 0.0
    started = perf_counter()
    for dc, lines in sample.generate(network):
        print(f"  {dc}: {lines:,} order lines", file=sys.stderr, flush=True)
    return perf_counter() - started


def create_platform(home: Path, filled: Path) -> Settings:
    """Return a platform over filled sources: its own empty lake, record store and Dagster instance."""
    home.mkdir()
    shutil.copy(DAGSTER_YAML, home)
    os.environ.update(DAGSTER_HOME=str(home), FILLRATE_HOME=str(home), DAGSTER_EVENT_BATCH_SIZE="1000")
    sample = settings_module.load(home=filled)
    sources = {f"sources__{name}": getattr(sample.sources, name) for name in SOURCE_URLS}
    settings = settings_module.load(home=home, first_ship_date=sample.first_ship_date, **sources)
    masters, store = (
        RecordStore(Database(sample.storage.record_store_url)),
        RecordStore(Database(settings.storage.record_store_url)),
    )
    store.database.upgrade()
    store.add_dcs(masters.read_dcs())
    store.add_waivers(masters.read_waivers())
    return settings


SOURCE_URLS: Final = ("order_system_url", "shipping_records_url", "instock_warehouse_url")


# --- the backfill


def backfill(settings: Settings, network: Network, processes: int) -> Iterator[RunOfDc]:
    """One run per DC, some at a time, each process clocked."""
    with dg.DagsterInstance.get() as instance:
        # Before there are several processes that would all create Dagster's databases.
        instance.add_dynamic_partitions(str(partitions.DC.name), network.dc_codes)
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        wanted = [launcher.RunRange(dc, network.first, network.last) for dc in network.dc_codes]
        for done in as_completed([pool.submit(run_clocked, settings, each) for each in wanted]):
            run = done.result(timeout=0)
            print(f"  {run.dc}: {run.whole.wall:,.1f} s", file=sys.stderr, flush=True)
            yield run


def run_clocked(settings: Settings, wanted: launcher.RunRange) -> RunOfDc:
    """Run one DC as `fillrate run` does, and return where its time went."""
    if not STOPWATCH.spent:
        _watch_ours()
    before, started = dict(STOPWATCH.spent), Spent.now()
    [ran] = launcher.run(settings, [wanted], processes=1)
    return RunOfDc(
        dc=wanted.dc,
        process=os.getpid(),
        failure=ran.failure,
        whole=Spent.now() - started,
        parts={kind: spent - before[kind] for kind, spent in STOPWATCH.spent.items()},
        process_cpu=process_time(),
        peak_gb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2,
    )


FUNCTIONS, SAVING, LAKE, EVENT_LOG, CHECK_RESULTS = "functions", "saving", "lake", "event log", "check results"
STOPWATCH: Final = Stopwatch()


def _watch_ours() -> None:
    """Put clocks around what is ours in a run, and around Dagster's event log; checks count as Dagster's."""
    for name, compute in asset_functions.FUNCTIONS.items():
        asset_functions.FUNCTIONS[name] = STOPWATCH.clock(compute, FUNCTIONS)
    STOPWATCH.watch(RecordStore, RecordStore.publish, SAVING)
    STOPWATCH.watch(Lake, Lake.write, LAKE)
    for store in (BatchingSqliteEventLogStorage.store_event, BatchingSqliteEventLogStorage.store_event_batch):
        STOPWATCH.watch(BatchingSqliteEventLogStorage, store, EVENT_LOG, {FUNCTIONS: CHECK_RESULTS})


# --- the bare load


def load_by_rows(settings: Settings, home: Path, dcs: Sequence[str]) -> BareLoad:
    """Python's own SQLite driver: rows as tuples."""
    statement = sa.insert(RECORDS).compile(dialect=sql.get_engine(settings.storage.record_store_url).dialect)
    url, took = _create_store(home), NOTHING
    with closing(sqlite3.connect(str(sql.find_embedded_file(url)))) as connection:
        connection.execute("PRAGMA synchronous=NORMAL")
        for dc in dcs:
            rows = _read_saved_rows(settings, dc).select(statement.positiontup or [])
            started = Spent.now()
            for part in rows.iter_slices(ROWS_AT_ONCE):
                connection.executemany(str(statement), part.rows())
            connection.commit()
            took += Spent.now() - started
    return BareLoad("by executemany", took, sum_store(url))


def load_by_arrow(settings: Settings, home: Path, dcs: Sequence[str]) -> BareLoad:
    """Load columns by the Arrow driver's bulk ingest."""
    url, took = _create_store(home), NOTHING
    with dbapi.connect(str(sql.find_embedded_file(url)), autocommit=True) as connection:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous=NORMAL")
        connection.adbc_connection.set_autocommit(enabled=False)
        for dc in dcs:
            rows = _read_saved_rows(settings, dc).to_arrow()
            started = Spent.now()
            with connection.cursor() as cursor:
                cursor.adbc_ingest(RECORDS.name, rows, mode="append")
            connection.adbc_connection.commit()
            took += Spent.now() - started
    return BareLoad("by Arrow ingest", took, sum_store(url))


def sum_store(url: str) -> Sums:
    """Sum the records of a store."""
    with closing(sqlite3.connect(str(sql.find_embedded_file(url)))) as connection:
        columns = [sa.func.count().label("records"), *[sa.func.sum(sa.column(name)) for name in SUMMED]]
        row = connection.execute(str(sa.select(*columns).select_from(sa.table(RECORDS.name)))).fetchone()
    return dict(zip(("records", *SUMMED), row, strict=True))


def sum_lake(settings: Settings) -> Sums:
    """Sum the lake's records."""
    summed = [decimals.to_units(name).sum() for name in SUMMED]
    records = Lake(settings.storage.lake_root).scan(schema.LOST_CASES)
    return records.select(pl.len().cast(pl.Int64).alias("records"), *summed).collect().row(0, named=True)


def _create_store(home: Path) -> str:
    url = settings_module.load(home=home).storage.record_store_url
    Database(url).upgrade()
    return url


def _read_saved_rows(settings: Settings, dc: str) -> pl.DataFrame:
    """Return the rows of a DC as the backfill's record store holds them, encoded."""
    return sql.read("record store", settings.storage.record_store_url, sa.select(RECORDS).where(RECORDS.c.dc == dc))


# --- processes


def _run_alone(work: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401 - whatever the work returns
    """In a process of its own: neither its memory nor its SQLite library meets another's."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result(_LONGEST_SECONDS)


def _make_directory(directory: Path | None) -> Path | None:
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
    return directory


if __name__ == "__main__":
    sys.exit(main())
