"""Where the platform breaks as it grows: many DCs, many partition keys, a DC with many items.

    python -m benchmarks.scale tick                          # 1,000 DCs x 100 days: 100,000 keys
    python -m benchmarks.scale tick --dcs 1000 --days 365
    python -m benchmarks.scale ui                            # what the UI of Dagster asks for, over HTTP
    python -m benchmarks.scale day                           # 7,209 and 50,000 items of a DC on one day

`tick` fills a record store as if every day had been published and compared with other DCs, gives Dagster the DCs, and
ticks the sensor with nothing new. `ui` gives Dagster a materialization of one asset for each key, starts its webserver,
and asks for the state of all partitions, as the page of the asset does, and for what a backfill of them would do.
`day` fills a DC of the sample network, not counted, and runs its last day by `fillrate run`. Seconds are of processor
time: other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from time import perf_counter, sleep
from typing import Any, Final

import dagster as dg
import httpx
import polars as pl
import sqlalchemy as sa

from benchmarks.incremental import DAGSTER_YAML, Stopwatch, run_ticks
from fillrate_assets import settings as settings_module
from fillrate_assets.fillrate import demand_schema, schema
from fillrate_assets.fillrate.defs.assets import published_records
from fillrate_assets.fillrate.network_store import NETWORK_DAYS, NetworkStore
from fillrate_assets.fillrate.record_store import LEDGER, RecordStore
from fillrate_assets.fillrate.rules import change_planner, rolling_baseline
from fillrate_assets.fillrate.rules.network_factor import compute_network_versions
from fillrate_assets.orchestration import partitions
from fillrate_assets.sample.fillrate_loader import EmbeddedSystems, SampleNetwork
from fillrate_assets.sample.network import Network
from fillrate_assets.settings import Settings
from fillrate_assets.storage import bulk_insert
from fillrate_assets.storage.database import Database

AIM: Final = 10.0
LAST: Final = date(2026, 3, 14)
_ROWS_AT_ONCE: Final = 50_000
_LONGEST_SECONDS: Final = 3600
_PATIENCE_SECONDS: Final = 10


def main() -> int:
    """Measure a part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parts = parser.add_subparsers(dest="part", required=True)
    tick = parts.add_parser("tick", help="ticks of the sensor")
    web = parts.add_parser("ui", help="queries of the UI")
    for part in (tick, web):
        part.add_argument("--dcs", type=int, default=1_000, help="DCs (default: 1000)")
        part.add_argument("--days", type=int, default=100, help="days of each (default: 100)")
    tick.add_argument("--turns", type=int, default=3, help="ticks (default: 3)")
    web.add_argument("--seconds", type=int, default=300, help="by the clock, that a query may take (default: 300)")
    day = parts.add_parser("day", help="a day of a DC")
    day.add_argument("--items", type=int, nargs="+", default=[7_209, 50_000], help="items (default: 7209 50000)")
    arguments = parser.parse_args()
    if arguments.part == "tick":
        return measure_ticks(arguments.dcs, arguments.days, arguments.turns)
    if arguments.part == "ui":
        measure_ui(arguments.dcs, arguments.days, arguments.seconds)
    else:
        measure_days(sorted(arguments.items))
    return 0


# --- ticks


@contextmanager
def prepare(dcs: int, days: int) -> Iterator[tuple[Settings, dg.DagsterInstance]]:
    """Make a home in which every day of every DC is published and compared, and an instance that knows the DCs."""
    with tempfile.TemporaryDirectory(prefix="scale-") as folder, dg.DagsterInstance.ephemeral() as instance:
        settings = settings_module.load(home=Path(folder), first_ship_date=LAST - timedelta(days=days - 1))
        EmbeddedSystems.from_settings(settings).create()
        store = RecordStore(Database.from_settings(settings))
        codes = [f"DC{number:04}" for number in range(dcs)]
        store.add_dcs(make_dcs(codes))
        network_days = make_network_days(codes, days)
        insert(store.database, NETWORK_DAYS, network_days)
        insert(store.database, LEDGER, make_ledger(network_days))
        instance.add_dynamic_partitions(str(partitions.DC.name), codes)
        yield settings, instance


def make_dcs(codes: list[str]) -> pl.DataFrame:
    """Make `DCS`."""
    rows = [{"dc": code, "active": True, "time_zone": "Europe/Berlin"} for code in codes]
    return pl.DataFrame(rows, schema=schema.DCS.polars)


def make_network_days(codes: list[str], days: int) -> pl.DataFrame:
    """Make `NETWORK_DAYS` of a network whose DCs were compared on every day."""
    dates = [LAST - timedelta(days=number) for number in range(days)]
    at = datetime(2026, 3, 15, tzinfo=UTC)
    return (
        pl.DataFrame({"dc": codes})
        .join(pl.DataFrame({"ship_date": dates}), how="cross")
        .with_columns(
            usual_version=pl.lit("0123456789abcdef"),
            usual_at=pl.lit(at),
            observed_items=pl.lit(7_000),
            compared_version=pl.lit("0123456789abcdef"),
            factors_version=pl.lit("fedcba9876543210"),
            followed_cases=pl.lit(Decimal("60.0000")),
            deviation_cases=pl.lit(Decimal("100.0000")),
            usual_cases=pl.lit(Decimal("4000.0000")),
            item_days=pl.lit(7_000),
        )
        .pipe(add_versions)
    )


def add_versions(days: pl.DataFrame) -> pl.DataFrame:
    """Add what days are to follow, as a comparison does."""
    versions = compute_network_versions(days.lazy())
    return demand_schema.NETWORK_DAYS.conform(days.lazy().join(versions, on=["dc", "ship_date"])).collect()


def make_ledger(network_days: pl.DataFrame) -> pl.DataFrame:
    """Make `LEDGER` of days that follow what came of the comparison."""
    at = datetime(2026, 3, 15, 1, tzinfo=UTC)
    versions = network_days.select(demand_schema.NETWORK_VERSIONS.names)
    given = {
        name: pl.lit(at) for name in ("orders_processed_at", "shipments_processed_at", "snapshots_at", "published_at")
    }
    counted = {name: pl.lit(7_209) for name in ("orders_lines", "shipments_lines", "snapshots_rows", "records")}
    texts = {
        "checksum": pl.lit("0" * 64),
        "state": pl.lit("PUBLISHED"),
        "run_id": pl.lit("0" * 36),
        "reason": pl.lit(None, pl.String),
    }
    rows = versions.lazy().with_columns(**given, **counted, **texts)
    return schema.LEDGER.conform(rows).collect()


def insert(database: Database, table: sa.Table, rows: pl.DataFrame) -> None:
    """Insert many rows."""
    naive = rows.with_columns(pl.col(pl.Datetime).dt.replace_time_zone(None))
    with database.begin() as connection:
        for part in naive.iter_slices(_ROWS_AT_ONCE):
            bulk_insert.insert(connection, table, part)


def measure_ticks(dcs: int, days: int, turns: int) -> int:
    """Tick with nothing new; 1 where a tick takes longer than the aim."""
    stopwatch = Stopwatch()
    for owner, call, name in (
        (RecordStore, RecordStore.read_held_days, "days that are held"),
        (RecordStore, RecordStore.read_ledger_of, "the ledger of days that may be due"),
        (NetworkStore, NetworkStore.read_unfollowed, "what other DCs sold"),
        (change_planner, change_planner.plan_runs, "comparing"),
        (NetworkStore, NetworkStore.read_moved, "the sensor of the comparison, aside"),
    ):
        stopwatch.watch(owner, call, lambda *_, name=name: name)
    started = perf_counter()
    with prepare(dcs, days) as (settings, instance):
        print(f"{dcs:,} DCs x {days:,} days: {dcs * days:,} keys, filled in {perf_counter() - started:.0f} s\n")
        ticking = run_ticks(settings, instance)
        ticks = []
        for _ in range(turns):
            stopwatch.spent.clear()
            tick, database = next(ticking), Database.from_settings(settings)
            NetworkStore(database).read_moved(
                RecordStore(database).read_active_dcs(), timedelta(days=rolling_baseline.LOOK_BACK_DAYS)
            )
            ticks.append((tick, dict(stopwatch.spent)))
    tick, parts = min(ticks, key=lambda each: each[0].whole.cpu)
    if tick.requests:
        sys.exit(f"nothing is new, yet a tick requests {len(tick.requests)} runs")
    for name, spent in (*parts.items(), ("our code in all", tick.ours), ("the tick", tick.whole)):
        print(f"  {name:<38}{spent.cpu:>8.2f} s")
    print(f"  {'most memory':<38}{read_peak_mb():>8,.0f} MB")
    print(f"\naim: a tick of at most {AIM:g} s; that of least processor time of {turns} counts")
    return int(tick.whole.cpu > AIM)


def read_peak_mb() -> float:
    """Read the most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# --- what the UI asks for

ASSET: Final = published_records.key.path
_SELECTED: Final = "{path: [" + ", ".join(f'"{name}"' for name in ASSET) + "]}"
STATES: Final = f"""query {{ assetNodeOrError(assetKey: {_SELECTED}) {{ ... on AssetNode {{
    partitionStats {{ numMaterialized numPartitions }}
    partitionKeysByDimension {{ name type partitionKeys }}
    assetPartitionStatuses {{ ... on MultiPartitionStatuses {{ primaryDimensionName ranges {{
        primaryDimStartKey primaryDimEndKey primaryDimStartTime primaryDimEndTime
        secondaryDim {{
            ... on TimePartitionStatuses {{ ranges {{ status startTime endTime startKey endKey }} }}
            ... on DefaultPartitionStatuses {{ materializedPartitions materializingPartitions failedPartitions }}
        }}
    }} }} }}
}} }} }}"""
"""As the page of an asset asks, in its query `PartitionHealthQuery`."""

BACKFILL: Final = f"""query($keys: [String!]!) {{
    assetBackfillPreview(params: {{partitionNames: $keys, assetSelection: [{_SELECTED}]}}) {{ assetKey {{ path }} }}
}}"""
MULTIPLY: Final = """INSERT INTO event_logs
    (run_id, event, dagster_event_type, timestamp, asset_key, partition)
    SELECT run_id, event, dagster_event_type, timestamp, asset_key, more.value
    FROM event_logs, json_each(?) AS more WHERE partition = ?"""
"""In one statement: no index finds an event by its partition alone, so one for each key reads all events so far."""


def measure_ui(dcs: int, days: int, most_seconds: int) -> None:
    """Ask what the UI asks for, twice: Dagster caches the state of partitions."""
    started = perf_counter()
    codes = [f"DC{number:04}" for number in range(dcs)]
    dates = [LAST - timedelta(days=number) for number in range(days)]
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        shutil.copy(DAGSTER_YAML, folder)
        os.environ |= {"DAGSTER_HOME": folder, "FILLRATE_HOME": folder, "FILLRATE_FIRST_SHIP_DATE": str(dates[-1])}
        keys = [str(partitions.make_key(code, day)) for code in codes for day in dates]
        with dg.DagsterInstance.get() as instance:
            instance.add_dynamic_partitions(str(partitions.DC.name), codes)
            instance.report_runless_asset_event(dg.AssetMaterialization(published_records.key, partition=keys[0]))
        with closing(sqlite3.connect(Path(folder, "history", "runs", "index.db"))) as connection, connection:
            connection.execute(MULTIPLY, (json.dumps(keys[1:]), keys[0]))
        filled = perf_counter() - started
        print(f"{dcs:,} DCs x {days:,} days: {len(keys):,} keys, filled in {filled:.0f} s", flush=True)
        with serve_ui(Path(folder)) as (url, process):
            asking = partial(ask, url, process, most_seconds)
            for what in ("the state of all partitions", "the same again"):
                found = asking(what, STATES)["assetNodeOrError"]["partitionStats"]
            print(f"  {found['numMaterialized']:,} of {found['numPartitions']:,} are materialized")
            asking("what a backfill of one DC would do", BACKFILL, keys=keys[:days])
            asking("what a backfill of all keys would do", BACKFILL, keys=keys)


@contextmanager
def serve_ui(folder: Path) -> Iterator[tuple[str, int]]:
    """Serve the UI; yields its URL, once it answers, and the id of its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = str(Path(sys.executable).with_name("dagster-webserver"))
    command = [program, "-h", "127.0.0.1", "-p", str(port), "-m", "fillrate_assets.definitions"]
    with Path(folder, "webserver.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:  # noqa: S603 - Dagster's own
        url, give_up = f"http://127.0.0.1:{port}", perf_counter() + _LONGEST_SECONDS
        try:
            while True:
                with suppress(httpx.TransportError):
                    httpx.get(f"{url}/server_info", timeout=60)
                    break
                if perf_counter() > give_up or process.poll() is not None:
                    sys.exit(Path(folder, "webserver.log").read_text())
                sleep(0.2)
            yield url, process.pid
        finally:
            process.terminate()
            try:
                process.wait(_PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()  # it waits for the end of a query


def ask(url: str, process: int, most_seconds: int, what: str, query: str, **variables: object) -> dict[str, Any]:
    """Ask the webserver and print the seconds of processor time that it took; one that takes too long is the last."""
    before = read_cpu_seconds(process)
    body = {"query": query, "variables": variables}
    try:
        answer = httpx.post(f"{url}/graphql", json=body, timeout=most_seconds).json()
    except httpx.TimeoutException:
        spent = read_cpu_seconds(process) - before
        sys.exit(f"  {what:<38}not within {most_seconds} s, {spent:.0f} s of processor time")
    if "errors" in answer:
        sys.exit(json.dumps(answer["errors"])[:2000])
    print(f"  {what:<38}{read_cpu_seconds(process) - before:>8.2f} s", flush=True)
    found: dict[str, Any] = answer["data"]
    return found


def read_cpu_seconds(process: int) -> float:
    """Read the processor time of a process so far."""
    user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


# --- a day of many items

RUN: Final = "from fillrate_assets.cli.main import main; main()"
DAYS: Final = 8


def measure_days(items: list[int]) -> None:
    """Run a day of a DC for each number of items, fewest first: the most memory is that of any run so far."""
    for number in items:
        with tempfile.TemporaryDirectory(prefix="scale-") as folder:
            network = Network(dcs=1, items=number, days=DAYS)
            lines = sum(count for _, count in SampleNetwork(settings_module.load(home=Path(folder))).generate(network))
            shutil.copy(DAGSTER_YAML, folder)
            home = {"FILLRATE_HOME": folder, "DAGSTER_HOME": folder, "FILLRATE_FIRST_SHIP_DATE": str(network.first)}
            day = str(network.ship_days[-1])
            command = [sys.executable, "-c", RUN, "run", "--dc", network.dc_codes[0], "--from", day, "--to", day]
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(  # noqa: S603 - our own command
                command, env=os.environ | home, check=True, timeout=_LONGEST_SECONDS, stdout=subprocess.DEVNULL
            )
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(
            f"{number:>7,} items, {lines // DAYS:>9,} order lines a day: {seconds:>6.1f} s,"
            f" most memory {after.ru_maxrss / 1024:,.0f} MB",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
