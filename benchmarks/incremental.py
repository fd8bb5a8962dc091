"""One changed order line to saved records, through the sensor and a run in a fresh process, and whose time it takes.

    python -m benchmarks.incremental                                   # 10 DCs x 7,209 items x 60 days
    python -m benchmarks.incremental --dcs 2 --days 40 --items 500     # a small one, about a minute
    python -m benchmarks.incremental --home /var/tmp/network           # keep the network for the next time

The sample network is filled and run once, not counted. Then a line that shipped five days before the last is ordered
one case more, a tick of the sensor finds it, and the run it requests is executed in a process of its own, on the same
Dagster instance.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from importlib import _bootstrap
from pathlib import Path
from time import monotonic, process_time
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from benchmarks.asset_functions import FUNCTIONS
from fillrate_assets import definitions
from fillrate_assets.storage.database import Database

READY: Final = (monotonic(), process_time())

_LONGEST_SECONDS: Final = 4 * 3600
"""When a run's process has imported what it needs; whatever only the benchmark needs is imported further down."""

import polars as pl  # noqa: E402 - as above

from fillrate_assets import settings as settings_module  # noqa: E402 - as above
from fillrate_assets.fillrate import schema  # noqa: E402 - as above
from fillrate_assets.fillrate.defs import sensors  # noqa: E402 - as above
from fillrate_assets.fillrate.record_store import RESTATEMENTS, RecordStore  # noqa: E402 - as above
from fillrate_assets.fillrate.rules.row_versions import LINE_KEY  # noqa: E402 - as above
from fillrate_assets.fillrate.sources.order_system import OrderSystem  # noqa: E402 - as above
from fillrate_assets.orchestration import partitions  # noqa: E402 - as above
from fillrate_assets.orchestration.sqlite_storage import BatchingSqliteEventLogStorage  # noqa: E402 - as above

if TYPE_CHECKING:
    from fillrate_assets.sample.network import Network
    from fillrate_assets.settings import Settings

DAGSTER_YAML: Final = Path(__file__).parent.parent / "dagster.yaml"
QUIET: Final = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
DAYS_BEFORE_LAST: Final = 5
DC: Final = "DC01"
AIM: Final = 1.0
_FIND_AND_LOAD: Final = vars(_bootstrap)["_find_and_load"]
"""Every import that no module has made before."""

OF_CHANGED_DAYS: Final = frozenset(
    {"orders", "shipments", "instock_snapshots", "classified_lines", "item_days", "fill_rates"}
)
OF_DEPENDENT_DAYS: Final = frozenset({"rolling_averages", "weekday_indices", "usual_demand", "lost_cases"})
OURS, DAGSTERS = "ours", "Dagster's"
LARGEST: Final = 12
RECORD_KEY: Final = ["dc", "ship_date", "item"]


def main() -> int:
    """Prepare the network, change a line, tick, run, and print the times."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--days", type=int, default=60, help="days of history (default: 60)")
    parser.add_argument("--dcs", type=int, default=10, help="DCs (default: 10)")
    parser.add_argument("--items", type=int, default=7_209, help="items (default: 7209)")
    parser.add_argument("--home", type=Path, help="keep the network here and use it again; default: temporary")
    parser.add_argument("--execute", nargs=2, type=Path, metavar="FILE", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.execute:
        execute(*arguments.execute)
        return 0
    with ExitStack() as stack:
        folder = arguments.home or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="incremental-")))
        home = (folder / f"{arguments.dcs}x{arguments.items}x{arguments.days}").absolute()
        settings, network = prepare(home, arguments.dcs, arguments.items, arguments.days)
        instance = stack.enter_context(dg.DagsterInstance.get())
        return report(*measure(settings, network, instance))


# --- the network, filled and run once


def prepare(home: Path, dcs: int, items: int, days: int) -> tuple[Settings, Network]:
    """Return a home whose network has been run for every DC and ship date."""
    from fillrate_assets.cli import launcher  # noqa: PLC0415 - a run's process does not need it
    from fillrate_assets.sample.fillrate_loader import SampleNetwork  # noqa: PLC0415 - as above
    from fillrate_assets.sample.network import Network  # noqa: PLC0415 - as above

    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(DAGSTER_YAML, home)
    os.environ.update(DAGSTER_HOME=str(home), FILLRATE_HOME=str(home), DAGSTER_EVENT_BATCH_SIZE="1000")
    network, sample = Network(dcs=dcs, items=items, days=days), SampleNetwork(settings_module.load())
    if sample.network is None:
        for dc, lines in sample.generate(network):
            print(f"  {dc} filled: {lines:,} order lines", file=sys.stderr, flush=True)
    settings = settings_module.load()
    done = dict(RecordStore(Database(settings.storage.record_store_url)).read_ledger().group_by("dc").len().iter_rows())
    missing = [dc for dc in network.dc_codes if done.get(dc, 0) < network.days]
    if missing:
        for ran in launcher.run(settings, [launcher.RunRange(dc, network.first, network.last) for dc in missing]):
            print(f"  {ran.range.dc} run in {ran.seconds:.1f} s: {ran.failure or 'done'}", file=sys.stderr, flush=True)
    print(f"{network.dcs} DCs x {network.items:,} items x {network.days} days, filled and run once; not counted")
    return settings, network


# --- the change


@dataclass(frozen=True)
class Change:
    """The line that is ordered anew, and the days that this concerns."""

    line: pl.DataFrame
    day: date
    last: date

    @property
    def item(self) -> str:
        """Its item."""
        return str(self.line["item"].item())

    @property
    def days(self) -> list[date]:
        """The changed day and those whose averages depend on it."""
        return [self.day + timedelta(days=count) for count in range((self.last - self.day).days + 1)]


def make_version(
    orders: OrderSystem, network: Network, dc: str = DC, days_before_last: int = DAYS_BEFORE_LAST
) -> Change:
    """Return the largest plain line of a ship date some days before the last, one case more of it."""
    day = network.last - timedelta(days=days_before_last)
    stored = orders.read_order_lines(dc, day, day)
    latest = stored.sort("processed_at", "source_seq").unique(LINE_KEY, keep="last", maintain_order=True)
    plain = latest.filter(
        pl.col("status") == "SHIPPED",
        pl.col("line_type") == "NORMAL",
        pl.col("uom") == "CS",
        pl.col("moved_at").is_null(),
        pl.col("problem").is_null(),
    )
    line = plain.sort("ordered_qty", "order_id", "line_no").tail(1)
    later = {"processed_at": datetime.now(UTC), "source_seq": int(line["source_seq"].item()) + 1}
    derived = [column.name for column in schema.ORDER_LINES.columns if column.derived and column.name != "problem"]
    changed = line.drop(derived).with_columns(
        pl.col("ordered_qty") + 1, *[pl.lit(value).cast(line.schema[name]).alias(name) for name, value in later.items()]
    )
    return Change(changed, day, network.last)


# --- clocks


@dataclass(frozen=True)
class Spent:
    """Seconds on the clock, and seconds of processor time in all threads of the process."""

    wall: float = 0.0
    cpu: float = 0.0

    @classmethod
    def now(cls) -> Spent:
        """Both clocks; the first is the same in all processes of the machine."""
        return cls(monotonic(), process_time())

    def __add__(self, other: Spent) -> Spent:
        """Add both."""
        return Spent(self.wall + other.wall, self.cpu + other.cpu)

    def __sub__(self, other: Spent) -> Spent:
        """Subtract both."""
        return Spent(self.wall - other.wall, self.cpu - other.cpu)


class Stopwatch:
    """Time spent in functions, by a name for each call."""

    def __init__(self) -> None:
        """Nothing is watched yet."""
        self.spent: dict[str, Spent] = {}
        self.ended: dict[str, float] = {}
        self.running: str | None = None

    def watch_item(self, functions: dict[str, Callable[..., object]], name: str) -> None:
        """Put a clock around a function of a mapping."""
        functions[name] = self._clock(functions[name], lambda *_: name)

    def watch(self, owner: object, function: Callable[..., object], name: Callable[..., str]) -> None:
        """Put a clock around a function of a module or class.

        Args:
            owner: the module or class.
            function: the function.
            name: of the call's arguments; watched calls within the call are part of it.

        """
        setattr(owner, function.__name__, self._clock(function, name))

    def _clock(self, original: Callable[..., Any], name: Callable[..., str]) -> Callable[..., Any]:
        @functools.wraps(original)
        def clocked(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever it takes and returns
            if self.running is not None:
                return original(*args, **kwargs)
            called = self.running = name(*args)
            started = Spent.now()
            try:
                return original(*args, **kwargs)
            finally:
                self.spent[called] = self.spent.get(called, Spent()) + Spent.now() - started
                self.ended[called] = monotonic()
                self.running = None

        return clocked


# --- the tick


@dataclass(frozen=True)
class Tick:
    """A sensor's tick: what it requests, and whose time it took."""

    requests: list[dg.RunRequest]
    cursor: str | None
    whole: Spent
    ours: Spent


def run_ticks(settings: Settings, instance: dg.DagsterInstance) -> Iterator[Tick]:
    """Ticks of the sensor, each with the cursor of the one before."""
    stopwatch = Stopwatch()
    stopwatch.watch(sensors, sensors.new_orders, lambda *_: "sensor")
    defs = definitions.build_defs(settings)
    sensor, cursor = defs.resolve_sensor_def("new_orders"), None
    while True:
        before, started = stopwatch.spent.get("sensor", Spent()), Spent.now()
        with dg.build_sensor_context(instance, cursor, resources=defs.resources) as context:
            ticked = sensor.evaluate_tick(context)
        whole, cursor = Spent.now() - started, ticked.cursor
        yield Tick(list(ticked.run_requests or ()), cursor, whole, stopwatch.spent["sensor"] - before)


# --- the run, in a process of its own


@dataclass(frozen=True)
class Run:
    """What a run's process writes: moments of the clock that all processes share, and whose time it took."""

    run_id: str
    success: bool
    ready: Spent
    begun: Spent
    ended: Spent
    saved_at: float
    functions: dict[str, Spent]
    imports: dict[str, Spent]
    event_log: Spent

    @classmethod
    def read(cls, file: Path) -> Run:
        """Read what a process wrote."""
        values = json.loads(file.read_text())
        for name in ("ready", "begun", "ended", "event_log"):
            values[name] = Spent(**values[name])
        for name in ("functions", "imports"):
            values[name] = {step: Spent(**spent) for step, spent in values[name].items()}
        return cls(**values)


def launch(request: dg.RunRequest) -> tuple[Run, float, float]:
    """Execute a run request in a fresh process; when it was started, and when it was gone."""
    with tempfile.TemporaryDirectory(prefix="incremental-") as directory:
        wanted, written = Path(directory) / "request.json", Path(directory) / "run.json"
        wanted.write_text(json.dumps(dict(request.tags)))
        started = monotonic()
        subprocess.run(  # noqa: S603 - this module
            [sys.executable, "-m", "benchmarks.incremental", "--execute", wanted, written],
            check=True,
            timeout=_LONGEST_SECONDS,
        )
        return Run.read(written), started, monotonic()


def execute(request: Path, target: Path) -> None:
    """Execute a run in its own process."""
    functions, event_log, saving, imports = (Stopwatch() for _ in range(4))
    for asset in FUNCTIONS:
        functions.watch_item(FUNCTIONS, asset)
    saving.watch(RecordStore, RecordStore.publish, lambda *_: "publish")
    for store in (BatchingSqliteEventLogStorage.store_event, BatchingSqliteEventLogStorage.store_event_batch):
        event_log.watch(BatchingSqliteEventLogStorage, store, lambda *_: functions.running or DAGSTERS)
    imports.watch(_bootstrap, _FIND_AND_LOAD, lambda *_: OURS if functions.running else DAGSTERS)
    begun = Spent.now()
    job = definitions.defs.resolve_job_def(definitions.JOB)
    with dg.DagsterInstance.get() as instance:
        tags = json.loads(request.read_text())
        result = job.execute_in_process(run_config=QUIET, instance=instance, tags=tags, raise_on_error=False)
    logged = event_log.spent
    run = Run(
        run_id=result.run_id,
        success=result.success,
        ready=Spent(*READY),
        begun=begun,
        ended=Spent.now(),
        saved_at=saving.ended.get("publish", 0.0),
        functions={step: spent - logged.get(step, Spent()) for step, spent in functions.spent.items()},
        imports=imports.spent,
        event_log=sum(logged.values(), Spent()),
    )
    target.write_text(json.dumps(asdict(run)))


# --- the measurement


@dataclass(frozen=True)
class State:
    """What is stored before or after."""

    files: dict[str, int]
    records: pl.DataFrame
    ledger: pl.DataFrame
    restatements: int

    @classmethod
    def of(cls, settings: Settings, days: list[date]) -> State:
        """Read the lake's files' times, records of some days of the changed DC, the ledger and restated values."""
        store, root = RecordStore(Database(settings.storage.record_store_url)), Path(settings.storage.lake_root)
        files = {str(file.relative_to(root)): file.stat().st_mtime_ns for file in root.rglob("part-0.parquet")}
        records = pl.concat([store.read_records(DC, day) for day in days])
        return cls(files, records, store.read_ledger(), store.count(RESTATEMENTS))


@dataclass(frozen=True)
class Measured:
    """The numbers, and the moments they come from."""

    tick: Tick
    run: Run
    launched: float
    gone: float


def measure(settings: Settings, network: Network, instance: dg.DagsterInstance) -> tuple[Measured, list[str]]:
    """Change a line, tick, run; the numbers, and what is wrong with the results."""
    orders, ticking = (
        OrderSystem(settings.sources.order_system_url, settings.sources.source_tables),
        run_ticks(settings, instance),
    )
    for _ in range(2):
        # These find what earlier ticks would have found: the held day, which waits for its snapshot.
        next(ticking)
    change = make_version(orders, network)
    before = State.of(settings, change.days)
    orders.append(change.line)
    tick = next(ticking)
    wanted = partitions.make_range_tags(DC, change.day, change.last) | {partitions.CHANGED_TAG: change.day.isoformat()}
    requested = [dict(request.tags) for request in tick.requests]
    if [{name: tags.get(name) for name in wanted} for tags in requested] != [wanted]:
        msg = f"the sensor requests {requested}, not {wanted}"
        raise SystemExit(msg)
    measured = Measured(tick, *launch(tick.requests[0]))
    return measured, find_wrongs(change, measured.run, before, State.of(settings, change.days))


def find_wrongs(change: Change, run: Run, before: State, after: State) -> list[str]:
    """Return what is not as it must be after the run; print what was recomputed and restated."""
    found = [] if run.success else [f"run {run.run_id} failed"]
    rewritten = {file for file, moment in after.files.items() if before.files.get(file) != moment}
    if rewritten != (due := _find_due(change)):
        found.append(f"recomputed but not due {sorted(rewritten - due)}, due but not {sorted(due - rewritten)}")
    values = _find_differing(before.records, after.records)
    restated = after.restatements - before.restatements
    if values.height != restated or set(values["item"]) != {change.item}:
        found.append(f"{values.height} values differ, of items {set(values['item'])}; {restated} were restated")
    published = after.ledger.filter(pl.col("run_id") == run.run_id)
    others = [name for name in after.ledger.columns if name != "run_id"]
    untouched = after.ledger.join(published, on=["dc", "ship_date"], how="anti")
    if untouched.select(others).join(before.ledger, on=others, how="anti", nulls_equal=True).height:
        found.append("the ledger of other days changed")
    if set(published["dc"]) != {DC} or not {change.day} <= set(published["ship_date"]) <= set(change.days):
        found.append(f"published {published.select('dc', 'ship_date').rows()}")
    print(f"\nchanged: {DC} {change.day}, item {change.item}, one case more in one line; last ship date {change.last}")
    print(f"recomputed: {len(rewritten)} files, {len(due)} due: {len(OF_CHANGED_DAYS)} assets of the changed day,")
    print(f"  {len(OF_DEPENDENT_DAYS)} assets of {len(change.days)} days, the items")
    print(f"published: {published.height} of {len(change.days)} days; {restated} values restated, all of that item")
    return found


def _find_due(change: Change) -> set[str]:
    """Return the lake's files that a run must rewrite."""
    changed = {f"{name}/dc={DC}/ship_date={change.day}/part-0.parquet" for name in OF_CHANGED_DAYS}
    later = {f"{name}/dc={DC}/ship_date={day}/part-0.parquet" for name in OF_DEPENDENT_DAYS for day in change.days}
    return changed | later | {"items/part-0.parquet"}


def _find_differing(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """Values of records that are not the same in both: key, variable, value and value_after."""

    def values(records: pl.DataFrame) -> pl.DataFrame:
        return records.with_columns(pl.exclude(RECORD_KEY).cast(pl.String)).unpivot(index=RECORD_KEY)

    both = values(before).join(values(after), on=[*RECORD_KEY, "variable"], how="full", coalesce=True, suffix="_after")
    return both.filter(pl.col("value").ne_missing(pl.col("value_after")))


# --- the report


def report(measured: Measured, wrong: list[str]) -> int:
    """Print whose time it took; 1 when the results are wrong."""
    tick, run = measured.tick, measured.run
    functions = sum(run.functions.values(), Spent())
    inside, drivers = run.ended - run.begun, run.imports.get(OURS, Spent())
    dagster = inside - functions
    in_run = functions - drivers
    print(f"\n{'':<44}{'seconds':>10}{'CPU-s':>10}")
    _print_spent("tick of the sensor", tick.whole)
    _print_spent("  our code", tick.ours)
    _print_spent("  Dagster", tick.whole - tick.ours)
    _print_spent("start of the run's process: imports", run.ready - Spent(measured.launched))
    _print_spent("run", inside)
    _print_spent("  imports of drivers on first use", drivers)
    _print_spent("  our code", in_run)
    _print_spent("  Dagster", dagster)
    _print_spent("    of which its event log", run.event_log)
    _print_spent("    of which imports on first use", run.imports.get(DAGSTERS, Spent()))
    _print_spent("our code in all", tick.ours + in_run, f"  (aim: at most {AIM:g} s)")
    print(f"{'from the change to saved records':<44}{tick.whole.wall + run.saved_at - measured.launched:>10.2f}")
    print(f"{'  to the end of the process':<44}{tick.whole.wall + measured.gone - measured.launched:>10.2f}")
    print("\nour code in the run with its imports, largest first")
    for name, spent in sorted(run.functions.items(), key=lambda step: -step[1].wall)[:LARGEST]:
        _print_spent(f"  {name}", spent)
    print("\nresults: " + ("; ".join(wrong) or "exactly the changed day and the days that depend on it"))
    print(HOW_TO_READ)
    return int(bool(wrong))


def _print_spent(name: str, spent: Spent, more: str = "") -> None:
    print(f"{name:<44}{spent.wall:>10.2f}{spent.cpu:>10.2f}{more}")


HOW_TO_READ: Final = """
How to read: our code is the sensor's function, and in the run the functions of all assets; what they request from
Dagster (the run's partition keys) counts as ours. Dagster's share is the rest, checks included. Not counted: the wait
for the next tick (the sensor's interval), the daemon's queue, and the code server's own call of the tick, which is
evaluated here in a process that has it imported, as the code server has. CPU-s is processor time in all threads; other
work on the machine shows in seconds first. Imports of drivers on first use, and of the modules behind them, are part of
starting a process: one that stays pays them once. Every use of a home that stays adds one version of one line."""


if __name__ == "__main__":
    sys.exit(main())
