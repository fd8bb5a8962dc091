"""What a tick of the buffers costs at full size: queries, rules, writes, outbox and sending, one tick after the other.

    python -m benchmarks.buffer_load                     # 1,000 warehouses x 60 units, 288 ticks; about an hour
    python -m benchmarks.buffer_load --ticks 24          # the same, two hours of the day
    python -m benchmarks.buffer_load --scale             # one tick at 100, 500, 1,000, 2,000 and 5,000 warehouses
    python -m benchmarks.buffer_load --storm             # 30 % of the units run full at once

The feeds are filled as rows arrive, some of them late. For half an hour levels cannot be read, and each warehouse is
notified; later some paths run full. Alerts go to a real HTTP server on loopback, which counts what it gets. What is
measured is a tick from its first query to its last message and its history in the record store, on the embedded
systems, with the ticks' own times as the clock. The peer is a bare tick in the same run: the same queries, and the same
rows written to as many files, with nothing between them. At the end one tick runs through Dagster.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final

import dagster as dg
import duckdb
import polars as pl

from fillrate_assets import settings as settings_module
from fillrate_assets.buffers import schema
from fillrate_assets.buffers.buffer_store import BufferStore
from fillrate_assets.buffers.defs.alert_dispatch import AlertDispatch
from fillrate_assets.buffers.defs.assets import JOB
from fillrate_assets.buffers.defs.schedules import find_run_tags
from fillrate_assets.buffers.history_store import HistoryStore
from fillrate_assets.buffers.notice_store import NoticeStore
from fillrate_assets.buffers.rules import conflict_resolution, tick, verdicts
from fillrate_assets.buffers.rules.policy import Policy
from fillrate_assets.buffers.sources.floor_feeds import FloorFeeds
from fillrate_assets.buffers.tick_store import LakeTickStore
from fillrate_assets.definitions import build_defs
from fillrate_assets.notifications.notifiers.dispatch import Notifiers
from fillrate_assets.sample.floor.load import Load
from fillrate_assets.settings import Settings
from fillrate_assets.storage import sql
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.lake import Lake

POLICY: Final = Policy()
WARM: Final = 13
"""Ticks whose rows are there before the first one: an hour of flows."""

FAILING: Final = 6
"""Ticks in a row in which levels cannot be read."""

TROUBLED: Final = 0.05
"""Share of the paths that run full for half an hour."""

SIZES: Final = (100, 500, 1_000, 2_000, 5_000)
STAGES: Final = ("queries", "signals", "units", "recommendations", "alerts", "sending", "history")
AIMS: Final = {
    "P95 of a tick, s": 10.0,
    "peak memory, GB": 2.0,
    "storm: conflicts, s": 2.0,
    "5,000 warehouses, s": 60.0,
}
SECRET: Final = "whsec_bG9hZC10ZXN0LXNlY3JldC1vZi1ubyB1c2U="  # noqa: S105 - of the server in this process


@dataclass
class Receiver:
    """A server on loopback that counts the notices it gets."""

    notices: Counter[str] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def listen(self) -> Iterator[str]:
        """Its address, while it listens."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                receiver.messages[self.headers["webhook-id"]] += 1
                receiver.notices.update(row["notice_id"] for row in body["data"]["notices"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join(timeout=60)
            server.server_close()


@dataclass(frozen=True)
class Platform:
    """The embedded systems of one load."""

    load: Load
    settings: Settings
    feeds: FloorFeeds
    store: BufferStore
    ticks: LakeTickStore
    delivery: AlertDispatch
    history: HistoryStore

    @classmethod
    def create(cls, load: Load, home: Path, url: str) -> Platform:
        """Make and fill them, up to the first tick."""
        settings = settings_module.load(home=home, first_ship_date=load.first.date() - timedelta(days=1))
        Database(settings.storage.record_store_url).upgrade()
        store = BufferStore(Database(settings.storage.record_store_url))
        masters = load.build_master_data()
        routes = masters.alert_routes.with_columns(channel=pl.lit("webhook:floor"))
        store.merge_master_data(tick.MasterData(masters.warehouses, masters.unit_members, masters.shifts, routes))
        feeds = FloorFeeds(
            settings.sources.floor_feeds_url,
            settings.sources.source_tables,
            settings.sources.tick_statement_timeout_seconds,
        )
        feeds.create()
        for number in range(1, WARM):
            feeds.append(load.simulate_received(number))
        channels = Notifiers({"floor": url}, SECRET)
        delivery = AlertDispatch(NoticeStore(Database(settings.storage.record_store_url)), channels)
        tick_store = LakeTickStore(Lake(settings.storage.lake_root), tuple(sorted(set(masters.warehouses["dc"]))))
        history = HistoryStore(store.database, settings.storage.buffer_history_days)
        return cls(load, settings, feeds, store, tick_store, delivery, history)

    def tick(self, number: int) -> dict[str, float]:
        """Run one tick: seconds of each stage."""
        at, laps = self.load.get_snapshot_ts(number), [perf_counter()]

        def lap() -> None:
            laps.append(perf_counter())

        masters = self.store.read_master_data()
        read = self.feeds.read(snapshot_ts=at, look_back=tick.compute_look_back(POLICY))
        lap()
        tick.sense(read, masters, self.ticks, snapshot_ts=at, policy=POLICY)
        lap()
        tick.roll_up(masters, self.ticks, snapshot_ts=at, policy=POLICY)
        lap()
        tick.recommend(self.ticks, snapshot_ts=at, policy=POLICY)
        lap()
        tick.alert(masters, self.ticks, snapshot_ts=at, policy=POLICY)
        lap()
        self.delivery.dispatch(masters, self.ticks, policy=POLICY, now=at + timedelta(seconds=20))
        lap()
        self.history.sync(self.ticks, at, members=masters.unit_members, labels=masters.labels, now=at)
        lap()
        return dict(zip(STAGES, (after - before for before, after in pairwise(laps)), strict=True))

    def time_conflicts(self, at: datetime) -> float:
        """Return the seconds of resolving conflicts alone, at a tick that has run."""
        history = tick.read_throttled(self.ticks, snapshot_ts=at, policy=POLICY)
        units = self.ticks.read(schema.UNIT_TIMESERIES, at, at).collect()
        pools = self.ticks.read(schema.POOLS, at, at).collect()
        rejects = schema.SIGNAL_REJECTS.make_empty().collect()
        judged = verdicts.compute_verdicts(units, pools, rejects, history, policy=POLICY)
        began = perf_counter()
        conflict_resolution.resolve_conflicts(judged, units, history, policy=POLICY)
        return perf_counter() - began

    def time_bare(self, number: int) -> float:
        """Seconds of the same queries, and of writing the same rows to as many files."""
        at = self.load.get_snapshot_ts(number)
        frames = (schema.SIGNALS, schema.POOLS, schema.SIGNAL_REJECTS, schema.UNIT_TIMESERIES, schema.UNIT_REJECTS)
        rows = {
            frame: self.ticks.read(frame, at, at).collect()
            for frame in (*frames, schema.RECOMMENDATIONS, schema.ALERTS)
        }
        beside = LakeTickStore(Lake(f"{self.settings.home}/bare"), self.ticks.dcs)
        began = perf_counter()
        self.store.read_master_data()
        self.feeds.read(snapshot_ts=at, look_back=tick.compute_look_back(POLICY))
        for frame, written in rows.items():
            beside.write(frame, written, at)
        return perf_counter() - began

    @contextmanager
    def break_levels(self, *, fails: bool) -> Iterator[None]:
        """Let levels be unreadable meanwhile."""
        if not fails:
            yield
            return
        self._rename("buffer_occupancy", "elsewhere")
        try:
            yield
        finally:
            self._rename("elsewhere", "buffer_occupancy")

    def _rename(self, name: str, other: str) -> None:
        with duckdb.connect(str(sql.find_embedded_file(self.settings.sources.floor_feeds_url))) as connection:
            connection.execute(f"ALTER TABLE {name} RENAME TO {other}")


def main() -> int:
    """Run the requested load, and print what it costs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--warehouses", type=int, default=1_000, help="warehouses (default: 1000)")
    parser.add_argument("--units", type=int, default=60, help="units of each (default: 60)")
    parser.add_argument("--ticks", type=int, default=288, help="ticks, one after the other (default: 288)")
    parser.add_argument("--scale", action="store_true", help="one tick at several sizes instead")
    parser.add_argument("--storm", action="store_true", help="an alert storm in the last ticks of 12 instead")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="warehouses for --scale")
    arguments = parser.parse_args()
    if arguments.scale:
        return run_scale(arguments.sizes, arguments.units)
    if arguments.storm:
        return run_storm(arguments.warehouses, arguments.units)
    return run_day(arguments.warehouses, arguments.units, arguments.ticks)


@contextmanager
def open_platform(load: Load) -> Iterator[tuple[Platform, Receiver]]:
    """Return the systems of a load, filled, and who is notified."""
    receiver = Receiver()
    with tempfile.TemporaryDirectory(prefix="buffers-") as home, receiver.listen() as url:
        yield Platform.create(load, Path(home), url), receiver


def run_day(warehouses: int, units: int, ticks: int) -> int:
    """Consecutive ticks with late rows, a feed that fails, and trouble on some paths."""
    half = WARM + ticks // 2
    load = Load(warehouses, units, storm=range(half, half + 6), storm_share=TROUBLED)
    failing = range(WARM + ticks // 4, WARM + ticks // 4 + FAILING)
    seconds, stages = [], []
    with open_platform(load) as (it, receiver):
        for number in range(WARM, WARM + ticks):
            it.feeds.append(load.simulate_received(number))
            with it.break_levels(fails=number in failing):
                stages.append(it.tick(number))
            seconds.append(sum(stages[-1].values()))
            if number % 12 == 0:
                print(f"  tick {number - WARM}: {seconds[-1]:.1f} s", file=sys.stderr, flush=True)
        last = WARM + ticks - 1
        bare = it.time_bare(last)
        print(f"\n{warehouses:,} warehouses x {units} units, {ticks} ticks")
        print_table(stages)
        _print_aim("P95 of a tick, s", _compute_p95(seconds))
        print(f"median {median(seconds):.1f} s, longest {max(seconds):.1f} s")
        print(f"bare queries and writes: {bare:.1f} s; the last tick took {seconds[-1] / bare:.2f} times that")
        _print_aim("peak memory, GB", _get_peak())
        stored = sql.find_embedded_file(it.settings.storage.record_store_url)
        print(f"record store: {stored.stat().st_size / 1e6 / ticks:.2f} MB a tick" if stored else "")
        twice = [name for name, count in receiver.notices.items() if count > 1]
        print(f"{sum(receiver.messages.values())} messages, {len(receiver.notices)} notices, {len(twice)} twice")
        again = run_through_dagster(it, last)
        print(f"the last tick again, through Dagster: {again:.1f} s, in a process that has imported everything")
    return bool(twice)


def run_storm(warehouses: int, units: int) -> int:
    """Almost a third of the units run full at once."""
    load = Load(warehouses, units, storm=range(WARM + 8, WARM + 12))
    with open_platform(load) as (it, receiver):
        stages = []
        for number in range(WARM, WARM + 12):
            it.feeds.append(load.simulate_received(number))
            stages.append(it.tick(number))
        at = load.get_snapshot_ts(WARM + 11)
        rows = it.ticks.read(schema.RECOMMENDATIONS, at, at).collect()
        asking = rows.filter(pl.col("verdict").is_in(["ACT", "EMERGENCY"]))["unit_id"].n_unique()
        print(f"\nstorm: {asking:,} of {warehouses * units:,} units alert at once, {rows.height:,} rows")
        print_table(stages[-4:])
        _print_aim("storm: conflicts, s", it.time_conflicts(at))
        print(f"{sum(receiver.messages.values())} messages with {sum(receiver.notices.values())} notices")
        _print_aim("peak memory, GB", _get_peak())
    return 0


def run_scale(sizes: Sequence[int], units: int) -> int:
    """One tick at several sizes: time per unit."""
    print(f"\n{'warehouses':>10} {'units':>8} {'tick, s':>8} {'µs a unit':>10}   {'  '.join(STAGES)}")
    for warehouses in sizes:
        load = Load(warehouses, units)
        with open_platform(load) as (it, _):
            it.feeds.append(load.simulate_received(WARM))
            it.tick(WARM)
            it.feeds.append(load.simulate_received(WARM + 1))
            stages = it.tick(WARM + 1)
        total = sum(stages.values())
        shares = "  ".join(f"{stages[name]:.1f}" for name in STAGES)
        each = 1e6 * total / warehouses / units
        print(f"{warehouses:>10,} {warehouses * units:>8,} {total:>8.1f} {each:>10.0f}   {shares}")
        if warehouses == max(SIZES):
            _print_aim("5,000 warehouses, s", total)
    print(f"peak memory, all sizes: {_get_peak():.2f} GB")
    return 0


def run_through_dagster(it: Platform, number: int) -> float:
    """Seconds of a tick as a run."""
    defs = build_defs(it.settings, delivery=it.delivery)
    with dg.DagsterInstance.ephemeral() as instance:
        tags = find_run_tags(instance, it.store.read_warehouses(), it.load.get_snapshot_ts(number)) or {}
        job = defs.resolve_job_def(JOB)
        began = perf_counter()
        job.execute_in_process(
            instance=instance, tags=tags, run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
        )
        return perf_counter() - began


def print_table(stages: Sequence[dict[str, float]]) -> None:
    """Seconds by stage."""
    for name in STAGES:
        laps = [row[name] for row in stages]
        print(f"  {name:<16} median {median(laps):6.2f}   P95 {_compute_p95(laps):6.2f}   longest {max(laps):6.2f}")


def _print_aim(name: str, value: float) -> None:
    aim = AIMS[name]
    print(f"{name}: {value:.2f} (aim: at most {aim:g}; {'reached' if value <= aim else 'NOT reached'})")


def _compute_p95(laps: Sequence[float]) -> float:
    return sorted(laps)[math.ceil(0.95 * len(laps)) - 1]


def _get_peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    sys.exit(main())
