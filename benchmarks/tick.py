"""What a tick of the sensor costs: with nothing new, and with changes in every DC.

    python -m benchmarks.tick                                    # 10 DCs x 7,209 items, sources and ledger of 365 days
    python -m benchmarks.tick --dcs 2 --days 60 --items 500      # a small one, under a minute
    python -m benchmarks.tick --home /var/tmp/network            # keep the network for the next time

The sample network is filled and its ledger written as if every day had been published; neither is counted. Then the
sensor ticks: over everything, as after its installation; with nothing new; after lines of ten days in every DC changed.
Nothing is run. The full network takes 15 GB of disk and some ten minutes to fill.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final

import dagster as dg
import duckdb
import polars as pl
import sqlalchemy as sa

from benchmarks.incremental import Stopwatch, Tick, make_version, run_ticks
from fillrate_assets import settings as settings_module
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.record_store import DayPublication, RecordStore
from fillrate_assets.fillrate.rules import change_planner
from fillrate_assets.fillrate.sources.line_versions import ChangeWindow
from fillrate_assets.fillrate.sources.order_system import OrderSystem
from fillrate_assets.fillrate.watermark import WATERMARKS, DatabaseWatermark
from fillrate_assets.sample.fillrate_loader import EmbeddedSystems, SampleNetwork
from fillrate_assets.sample.network import Network
from fillrate_assets.settings import Settings
from fillrate_assets.storage import sql
from fillrate_assets.storage.database import Database

AIM: Final = 1.0
QUERIES: Final = 2
CHANGED_DAYS: Final = 10
SNAPSHOT_DAYS: Final = 35


def main() -> int:
    """Fill the network, tick, and print what it costs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--days", type=int, default=365, help="days of history (default: 365)")
    parser.add_argument("--dcs", type=int, default=10, help="DCs (default: 10)")
    parser.add_argument("--items", type=int, default=7_209, help="items (default: 7209)")
    parser.add_argument("--turns", type=int, default=7, help="ticks with nothing new (default: 7)")
    parser.add_argument("--home", type=Path, help="keep the network here and use it again; default: temporary")
    arguments = parser.parse_args()
    network = Network(dcs=arguments.dcs, items=arguments.items, days=arguments.days)
    with ExitStack() as stack:
        folder = arguments.home or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tick-")))
        settings = prepare((folder / f"{network.dcs}x{network.items}x{network.days}").absolute(), network)
        instance = stack.enter_context(dg.DagsterInstance.ephemeral())
        return measure(settings, network, instance, arguments.turns)


# --- the network, filled, and its ledger


def prepare(home: Path, network: Network) -> Settings:
    """Return a home whose ledger has every day published as its sources are, and whose sensor has not ticked."""
    # However old the network is, its last days are those whose snapshots a tick compares.
    age = (datetime.now(UTC).date() - network.last).days
    sample = SampleNetwork(settings_module.load(home=home))
    if sample.network is None:
        for dc, lines in sample.generate(network):
            print(f"  {dc} filled: {lines:,} order lines", file=sys.stderr, flush=True)
    settings = settings_module.load(home=home, sensor__snapshot_lookback_days=age + SNAPSHOT_DAYS)
    publish(EmbeddedSystems.from_settings(settings).create(), network)
    with sql.get_engine(settings.storage.record_store_url).begin() as connection:
        connection.execute(WATERMARKS.delete())
    return settings


def publish(systems: EmbeddedSystems, network: Network) -> None:
    """Write the ledger as runs of every day would, without records."""
    # Of days that lines have left lately a tick sees when they did; so did the runs of those days.
    lately = datetime.combine(network.last - timedelta(days=2), time(), UTC)
    windows = [
        ChangeWindow(network.dc_codes, since, first, network.last)
        for since, first in ((None, network.first), (lately, lately.date()))
    ]
    key = ["dc", "ship_date"]
    pairs = pl.DataFrame(schema=schema.PAIR_VERSIONS.polars).select(key)
    for source, read in (
        ("orders", systems.order_system.read_changes),
        ("shipments", systems.shipping_records.read_changes),
        ("snapshots", systems.instock_warehouse.read_changes),
    ):
        at, rows = change_planner.VERSIONS[source]
        found = pl.concat(read(window) for window in windows).group_by(key)
        versions = found.agg(pl.col("processed_at").max().alias(at), pl.col("lines").max().alias(rows))
        pairs = pairs.join(versions, on=key, how="full", coalesce=True).with_columns(pl.col(rows).fill_null(0))
    nothing, rejects = (frame.make_empty().collect() for frame in (schema.LOST_CASES, schema.REJECTS))
    days = [
        DayPublication(dc, ship_date, nothing, rejects, pairs[number].drop(key))
        for number, (dc, ship_date) in enumerate(pairs.select(key).iter_rows())
    ]
    systems.record_store.publish(days, run_id="benchmark", now=datetime.now(UTC))


# --- what a tick queries


class Queries:
    """Statements and seconds by system."""

    def __init__(self) -> None:
        """Listen from now on, to every tick of this process."""
        self.statements: Counter[str] = Counter()
        self._stopwatch = Stopwatch()
        self._stopwatch.watch(sql, sql.read, self._counted)
        for read in (RecordStore.read_active_dcs, RecordStore.read_ledger):
            self._stopwatch.watch(RecordStore, read, lambda *_: "record store")
        for call in (DatabaseWatermark.read, DatabaseWatermark.move):
            self._stopwatch.watch(DatabaseWatermark, call, lambda *_: "record store")
        self._stopwatch.watch(change_planner, change_planner.plan_runs, lambda *_: "comparing with the ledger")
        # The sources are read past SQLAlchemy, which only compiles for them; the record store is not.
        sa.event.listen(sa.Engine, "before_cursor_execute", lambda *_: self.statements.update(["record store"]))

    def _counted(self, system: str, *_: object) -> str:
        self.statements[system] += 1
        return system

    @property
    def seconds(self) -> dict[str, float]:
        """By system, since the last `clear`."""
        return {name: spent.wall for name, spent in self._stopwatch.spent.items()}

    def clear(self) -> None:
        """Begin anew."""
        self.statements.clear()
        self._stopwatch.spent.clear()


@contextmanager
def _measure(spent: list[float]) -> Iterator[None]:
    started = perf_counter()
    yield
    spent.append(perf_counter() - started)


def build_bare_queries(settings: Settings, network: Network) -> dict[str, Callable[[], object]]:
    """By system, the shortest query that would show a change, past our code: connect, query, fetch."""
    mark = DatabaseWatermark(Database(settings.storage.record_store_url)).read("orders")
    if mark is None:
        sys.exit("the sensor left no watermark")
    overlap = timedelta(minutes=settings.sensor.watermark_overlap_minutes)
    since = (mark - overlap).replace(tzinfo=None).isoformat(" ", "microseconds")
    first = network.last - timedelta(days=SNAPSHOT_DAYS)

    def lines(url: str, table: str) -> Callable[[], object]:
        def ask() -> object:
            with closing(sqlite3.connect(str(sql.find_embedded_file(url)))) as connection:
                return connection.execute(_LINES.format(table=table), [since]).fetchall()

        return ask

    def snapshots() -> object:
        file = str(sql.find_embedded_file(settings.sources.instock_warehouse_url))
        with duckdb.connect(file, read_only=True) as connection:
            return connection.execute(_SNAPSHOTS, [first]).fetchall()

    return {
        "order system": lines(settings.sources.order_system_url, "order_lines"),
        "shipping records": lines(settings.sources.shipping_records_url, "shipment_lines"),
        "instock warehouse": snapshots,
    }


_LINES: Final = "SELECT dc, ship_date, processed_at FROM {table} WHERE processed_at > ?"
_SNAPSHOTS: Final = (
    "SELECT dc, snapshot_date, max(snapshot_at), count(*) FROM instock_snapshots WHERE snapshot_date >= ?"
    " GROUP BY dc, snapshot_date"
)


# --- the measurement


@dataclass(frozen=True)
class Idle:
    """A tick with nothing new."""

    ours: float
    dagster: float
    statements: dict[str, int]
    seconds: dict[str, float]


def measure(settings: Settings, network: Network, instance: dg.DagsterInstance, turns: int) -> int:
    """Tick, print, and return whether it is as it should be."""
    queries, ticking = Queries(), run_ticks(settings, instance)
    first = next(ticking)
    _must_request(first, 0, "everything is published")
    bare = build_bare_queries(settings, network)
    idle: list[Idle] = []
    alone: dict[str, list[float]] = {name: [] for name in bare}
    for _ in range(turns):
        queries.clear()
        tick = next(ticking)
        _must_request(tick, 0, "nothing changed")
        idle.append(Idle(tick.ours.wall, (tick.whole - tick.ours).wall, dict(queries.statements), queries.seconds))
        for name, ask in bare.items():
            with _measure(alone[name]):
                ask()
    with change_every_dc(settings, network) as pairs:
        changed = next(ticking)
    return report(first, idle, {name: median(seconds) for name, seconds in alone.items()}, changed, pairs, network)


@contextmanager
def change_every_dc(settings: Settings, network: Network) -> Iterator[int]:
    """Order one line of each of the last days in every DC anew, for a while; how many days of DCs that concerns."""
    orders = OrderSystem(settings.sources.order_system_url)
    lines = sa.table("order_lines", sa.column("processed_at", sa.DateTime))
    started = datetime.now(UTC).replace(tzinfo=None)
    versions = [
        make_version(orders, network, dc, days_before_last)
        for dc in network.dc_codes
        for days_before_last in range(CHANGED_DAYS)
        if network.last - timedelta(days=days_before_last) in network.ship_days
    ]
    orders.append(pl.concat(version.line for version in versions))
    yield len(versions)
    with sql.get_engine(orders.url).begin() as connection:
        connection.execute(sa.delete(lines).where(lines.c.processed_at >= started))


def _must_request(tick: Tick, runs: int, because: str) -> None:
    if len(tick.requests) != runs:
        sys.exit(f"{because}, yet a tick requests {len(tick.requests)} runs and not {runs}")


# --- the report


def report(first: Tick, idle: list[Idle], bare: dict[str, float], changed: Tick, pairs: int, network: Network) -> int:
    """Print what a tick costs; 1 when it queries a source three times, takes too long or requests too many runs."""
    print(f"{network.dcs} DCs x {network.items:,} items, sources and ledger of {network.days} days\n")
    print(f"with nothing new, median of {len(idle)} ticks{'statements':>13}{'seconds':>10}{'bare query':>12}")
    for name in (*bare, "record store", "comparing with the ledger"):
        statements = {each.statements.get(name, 0) for each in idle}
        counts = "/".join(map(str, sorted(statements))) if statements != {0} else ""
        seconds = median(each.seconds[name] for each in idle)
        print(f"  {name:<30}{counts:>16}{seconds:>10.3f}" + (f"{bare[name]:>12.3f}" if name in bare else ""))
    ours = median(each.ours for each in idle)
    print(f"  {'our code in all':<46}{ours:>10.3f}  (aim: at most {AIM:g})")
    print(f"  {'Dagster':<46}{median(each.dagster for each in idle):>10.3f}")
    print(f"\n{'the first tick, over everything: our code':<48}{first.ours.wall:>10.3f}")
    print(f"{f'{pairs} changed days in {network.dcs} DCs: our code':<48}{changed.ours.wall:>10.3f}")
    print(f"{'  runs requested':<48}{len(changed.requests):>10}")
    wrong = [
        *(
            f"the {name} is queried more than twice"
            for name in bare
            if any(each.statements[name] > QUERIES for each in idle)
        ),
        *([f"{len(changed.requests)} runs for {network.dcs} DCs"] if len(changed.requests) != network.dcs else []),
        *([f"{ours:.2f} s"] if ours > AIM else []),
    ]
    print(f"\nresults: {'; '.join(wrong) or 'at most two queries for each source, one run for each changed DC'}")
    print(HOW_TO_READ)
    return int(bool(wrong))


HOW_TO_READ: Final = """
How to read: statements are those that a system is sent during a tick: for what changed and, where a watermark is
bounded by it, for the latest change there is. A bare query connects to the same file with the
driver alone and reads the least that would show a change; ours also reads which days a moved line has left, what ships
since the watermark's day, and hands over a typed frame. The record store's statements are the two watermarks, the DCs
and the ledger. Dagster's share is what evaluating a sensor costs in a process that has it imported, as the code server
has. Other work on the machine shows in all of it."""


if __name__ == "__main__":
    sys.exit(main())
