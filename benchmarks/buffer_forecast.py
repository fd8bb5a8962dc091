"""How far ahead the buffer rules see, on car parks and bike stations: real small buffers that run full and empty.

    python -m benchmarks.buffer_forecast PATH                       # both, some 15 minutes
    python -m benchmarks.buffer_forecast PATH --source parking      # car parks only

At every tick at which a buffer is neither full nor empty: will it be, within 15, 30 or 60 minutes? The rules say so
where a TOTAL's verdict is WARN or worse; the peer says so where the level alone is beyond a threshold. Thresholds of
both are chosen on the first month and scored on the later ones; where one month is all there is, on its first half and
on its second. Signals, units and rules are the project's own. Each day of each buffer is a pool of its own, moved to
one date, so one day of ticks runs over all of them.

Beside each F1, and beside what the rules have more than the level, is its 95 % interval: of 2,000 bootstrap samples of
buffers, whose own days stay together.

No one counted cars at the gates: the flows that rules ask for are made from the levels, and say nothing new.

Data: car parks of Germany in December 2022, https://github.com/defgsus/parking-data; bike stations of Boston in
September 2021, https://github.com/cgettings/boston-bikeshare-station-status. Not to be redistributed: not in this
repository.
"""

from __future__ import annotations

import argparse
import bz2
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules import tick, verdicts
from fillrate_assets.buffers.rules.policy import TICK_MINUTES, Policy
from fillrate_assets.buffers.rules.tick import TICK, Feeds, InMemoryTickStore, MasterData
from fillrate_assets.buffers.rules.verdicts import Branch
from fillrate_assets.core.table_schema import TIMESTAMP, TableSchema
from fillrate_assets.core.text_columns import format_text
from fillrate_assets.sample.streams import Floats

DAY: Final = datetime(2026, 3, 10, tzinfo=UTC)
"""The date that every day is moved to."""
HORIZONS: Final = (15, 30, 60)
"""Minutes."""
FULL, EMPTY = 0.95, 0.05
LEVELS: Final = tuple(share / 100 for share in range(50, 95))
"""Thresholds that are tried for the peer; of starvation, what is missing to 1."""
WARN_LEVELS: Final = (0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
ACT_LEVELS: Final = (0.85, 0.88, 0.9, 0.92, 0.94, 0.95)
MINUTES: Final = (0.5, 0.75, 1.0, 1.5)
"""Of the horizon, tried as how soon a WARN must be."""
WAREHOUSE, MIN_PLACES = "A", 80


@dataclass(frozen=True)
class Source:
    """Readings of real buffers."""

    name: str
    read: Callable[[Path], pl.LazyFrame]
    hold_minutes: int
    """For how long a reading counts as the level without another one: these sources report changes."""
    hours: range


def main() -> int:
    """Run a day over every source, choose, score, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("path", type=Path, help="folder with parking and bikes")
    parser.add_argument("--source", choices=[source.name for source in SOURCES], help="one of them (default: both)")
    arguments = parser.parse_args()
    for source in SOURCES:
        if arguments.source in {None, source.name}:
            folder = arguments.path / source.name
            if not folder.is_dir():
                print(f"{folder} is not there: pass the folder of the buffer data", file=sys.stderr)
                return 2
            report(source, judge(source, folder))
    return 0


# --- the data, as feeds of one day


def read_parking(folder: Path) -> pl.LazyFrame:
    """Cars in car parks of at least 80 places: free places every 5 minutes, empty where nothing was reported."""
    capacity = pl.scan_csv(folder / "meta-data.csv", infer_schema=False).select(
        pl.col("place_id").alias("buffer"), pl.col("num_all").cast(pl.Float64, strict=False).alias("capacity")
    )
    days = [pl.read_csv(path, infer_schema=False) for path in sorted(folder.glob("*.csv.gz"))]
    return (
        pl.concat(days, how="diagonal")
        .lazy()
        .unpivot(index="timestamp", variable_name="buffer", value_name="free")
        .join(capacity, on="buffer")
        .select(
            "buffer",
            pl.col("timestamp").str.to_datetime(time_zone="UTC").alias("ts"),
            (pl.col("capacity") - pl.col("free").cast(pl.Float64, strict=False)).alias("level"),
            "capacity",
        )
        .filter(pl.col("capacity") >= MIN_PLACES)
    )


def read_bikes(folder: Path) -> pl.LazyFrame:
    """Bikes at stations: known when a station reports, and what fits is bikes and docks together."""
    (path,) = folder.glob("*.csv.bz2")
    here = pl.from_epoch("last_reported").dt.replace_time_zone("UTC").dt.convert_time_zone("America/New_York")
    return (
        pl.read_csv(bz2.decompress(path.read_bytes()), infer_schema=False)
        .lazy()
        .with_columns(pl.col("num_bikes_available", "num_docks_available", "last_reported").cast(pl.Int64))
        .select(
            pl.col("station_id").alias("buffer"),
            # Their own time, so that a day is a day there.
            here.dt.replace_time_zone("UTC").alias("ts"),
            pl.col("num_bikes_available").cast(pl.Float64).alias("level"),
            pl.sum_horizontal("num_bikes_available", "num_docks_available").cast(pl.Float64).alias("capacity"),
        )
    )


SOURCES: Final = (
    Source("parking", read_parking, 30, range(6, 20)),
    Source("bikes", read_bikes, 60, range(24)),
)


def put_on_grid(source: Source, folder: Path) -> pl.DataFrame:
    """Columns buffer, day, ts (a tick of `DAY`), level, capacity: what was last reported, for as long as it holds."""
    reported = source.read(folder).drop_nulls().sort("ts").collect()
    days = reported.select("buffer", pl.col("ts").dt.date().alias("day")).unique()
    minutes = range(source.hours.start * 60, source.hours.stop * 60, TICK_MINUTES)
    ticks = days.join(pl.DataFrame({"minute": minutes}), how="cross").with_columns(
        (pl.col("day").cast(TIMESTAMP) + pl.duration(minutes="minute")).alias("ts")
    )
    return (
        ticks.sort("ts")
        .join_asof(
            reported, on="ts", by="buffer", tolerance=timedelta(minutes=source.hold_minutes), check_sortedness=False
        )
        .drop_nulls()
        .select("buffer", "day", (DAY + pl.duration(minutes="minute")).alias("ts"), "level", "capacity")
    )


def judge(source: Source, folder: Path) -> pl.DataFrame:
    """Run the rules over every buffer, day and tick, with `buffer`, `day` and `ts`."""
    grid = put_on_grid(source, folder)
    names = grid.select("buffer", "day").unique().sort("buffer", "day").with_row_index("n")
    names = names.with_columns(format_text("B{}", "n").alias("pool"))
    grid = grid.join(names, on=["buffer", "day"]).with_columns(warehouse=pl.lit(WAREHOUSE), path="pool")
    print(f"{source.name}: {grid['buffer'].n_unique():,} buffers, {names.height:,} days of one", file=sys.stderr)
    masters, store, policy = _make_masters(names), InMemoryTickStore(), Policy()
    days = names.select(format_text(f"{WAREHOUSE}_{{}}_TOTAL", "pool").alias("unit_id"), "buffer", "day")
    looked = []
    for at, feeds in _yield_ticks(grid):
        tick.sense(feeds, masters, store, snapshot_ts=at, policy=policy)
        tick.roll_up(masters, store, snapshot_ts=at, policy=policy)
        units = store.read(schema.UNIT_TIMESERIES, at, at).collect()
        store.forget(at - timedelta(minutes=policy.suppression.history_minutes))
        looked_at = verdicts.add_rule_inputs(units, policy=policy).filter(pl.col("quality") == "FRESH")
        looked.append(looked_at.select("unit_id", pl.col("snapshot_ts").alias("ts"), "fill", *verdicts.SIGNALS))
    return pl.concat(looked).join(days, on="unit_id")


def _yield_ticks(grid: pl.DataFrame) -> Iterator[tuple[datetime, Feeds]]:
    """Yield each tick's feeds; a flow is what the level changed by."""
    rows = grid.select("warehouse", "path", "pool", event_ts="ts", level="level", capacity="capacity").with_columns(
        ingest_ts=pl.col("event_ts"),
        src_seq=pl.lit(0),
        change=pl.col("level").diff().over("path"),
        window_start=pl.col("event_ts") - TICK,
        lane_open=pl.lit(value=True),
        headcount=pl.lit(1.0),
    )
    rows = rows.with_columns(inflow=pl.col("change").clip(0), outflow=(-pl.col("change")).clip(0))
    flows = rows.filter(pl.col("event_ts").diff().over("path") == TICK)
    for (at,), now in rows.group_by("event_ts", maintain_order=True):
        recent = flows.filter(pl.col("event_ts").is_between(at - timedelta(minutes=15), at))
        yield (
            at,
            Feeds(
                occupancy=_conform(schema.OCCUPANCY, now),
                flow=_conform(schema.FLOW, recent),
                staffing=_conform(schema.STAFFING, now),
                limits=_conform(schema.LIMITS, now),
            ),
        )


def _make_masters(names: pl.DataFrame) -> MasterData:
    warehouse = {"warehouse": WAREHOUSE, "dc": "DC01", "name": WAREHOUSE, "time_zone": "UTC", "active": True}
    members = names.join(pl.DataFrame({"role": schema.ROLES}), how="cross").select(
        format_text(f"{WAREHOUSE}_{{}}_TOTAL", "pool").alias("unit_id"),
        pl.col("pool").alias("path"),
        "role",
        pl.lit(1.0).alias("weight"),
        pl.lit(DAY).alias("valid_from"),
    )
    return MasterData(
        pl.DataFrame([warehouse], schema=schema.WAREHOUSES.polars),
        _conform(schema.UNIT_MEMBERS, members),
        schema.SHIFTS.make_empty().collect(),
        schema.ALERT_ROUTES.make_empty().collect(),
    )


def _conform(frame: TableSchema, rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows as that frame, with empty cells for what they lack."""
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in frame.polars.items() if name not in rows.columns]
    return rows.lazy().with_columns(missing).pipe(frame.conform).collect()


# --- the questions, and who answers


def select_questions(rows: pl.DataFrame, direction: str, minutes: int) -> pl.DataFrame:
    """Return the ticks at which a buffer is in neither trouble, with `comes`: whether it is in this one in time."""
    beyond = pl.col("fill") >= FULL if direction == "OVERFLOW" else pl.col("fill") <= EMPTY
    ahead = rows.select("unit_id", "ts", beyond.alias("bad"))
    steps = range(TICK_MINUTES, minutes + 1, TICK_MINUTES)
    later = pl.concat(ahead.with_columns(pl.col("ts") - timedelta(minutes=step)) for step in steps)
    comes = later.group_by("unit_id", "ts").agg(pl.col("bad").any().alias("comes"), pl.len().alias("known"))
    return (
        rows.filter(pl.col("fill").is_between(EMPTY, FULL, closed="none"))
        .join(comes, on=["unit_id", "ts"])
        .filter((pl.col("known") == len(steps)) | pl.col("comes"))
    )


def apply_level(direction: str, threshold: float) -> pl.Expr:
    """Apply a static threshold."""
    return pl.col("fill") >= threshold if direction == "OVERFLOW" else pl.col("fill") <= round(1 - threshold, 2)


def apply_rules(branch: Branch) -> pl.Expr:
    """Apply the rules: WARN or worse."""
    alerting = [rule.rule_id for rule in branch.rules if rule.verdict in schema.SEVERITIES]
    return branch.deciding_rule_id.is_in(alerting)


def yield_candidates(direction: str, minutes: int) -> Iterator[Branch]:
    """Yield the branch of a TOTAL under each policy that is tried; the default one first."""
    yield get_branch(Policy(), direction)
    for warn, act, share in product(WARN_LEVELS, ACT_LEVELS, MINUTES):
        soon = share * minutes
        total = replace(Policy().total, warn=warn, act=act, act_soon=act, warn_minutes=soon)
        starvation = replace(
            Policy().starvation, warn=round(1 - warn, 2), act=round(1 - act, 2), act_soon=0, warn_minutes=soon
        )
        yield get_branch(replace(Policy(), total=total, starvation=starvation), direction)


def get_branch(policy: Policy, direction: str) -> Branch:
    """How a TOTAL is judged in a direction."""
    (branch,) = (
        each for each in verdicts.build_branches(policy) if "TOTAL" in each.unit_types and each.direction == direction
    )
    return branch


def find_last_training_day(days: Iterable[date]) -> date:
    """Find the last day on which thresholds are chosen: of the first month, or of the first half of the only one."""
    known = sorted(set(days))
    first = [day for day in known if (day.year, day.month) == (known[0].year, known[0].month)]
    return first[-1] if len(first) < len(known) else first[(len(first) - 1) // 2]


@dataclass(frozen=True)
class Score:
    """Right and wrong answers."""

    hits: int
    alerts: int
    there: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.hits / (self.alerts + self.there) if self.alerts + self.there else 0.0


def compute_scores(rows: pl.DataFrame, answers: Sequence[pl.Expr]) -> list[Score]:
    """Of each answer."""
    counted = rows.select(
        pl.struct((answer & pl.col("comes")).sum(), answer.sum().alias("alerts"), pl.col("comes").sum().alias("there"))
        .struct.rename_fields(["hits", "alerts", "there"])
        .alias(str(number))
        for number, answer in enumerate(answers)
    )
    return [Score(**counted[name][0]) for name in counted.columns]


def choose_best(rows: pl.DataFrame, answers: Sequence[pl.Expr]) -> pl.Expr:
    """Return the answer of the greatest F1, the first of equals."""
    found = compute_scores(rows, answers)
    return answers[max(range(len(found)), key=lambda number: (found[number].f1, -number))]


SAMPLES: Final = 2000


@dataclass(frozen=True)
class Resampled:
    """What answers were worth, by answer and sample: the first sample is all buffers as they are."""

    f1: Floats
    precision: Floats
    recall: Floats

    @classmethod
    def compute(cls, rows: pl.DataFrame, answers: Sequence[pl.Expr]) -> Resampled:
        """Count by buffer, and draw buffers with replacement."""
        counts = rows.group_by("buffer", maintain_order=True).agg(
            pl.col("comes").sum().alias("there"),
            *((answer & pl.col("comes")).sum().alias(f"hits{number}") for number, answer in enumerate(answers)),
            *(answer.sum().alias(f"alerts{number}") for number, answer in enumerate(answers)),
        )
        drawn = np.random.default_rng(1).multinomial(counts.height, np.full(counts.height, 1 / counts.height), SAMPLES)
        weights = np.vstack([np.ones(counts.height, np.int64), drawn]).astype(np.float64)
        there = weights @ counts["there"].to_numpy()
        hits, alerts = (
            np.array([weights @ counts[f"{name}{number}"].to_numpy() for number in range(len(answers))])
            for name in ("hits", "alerts")
        )
        return cls(2 * hits / np.maximum(1, alerts + there), hits / np.maximum(1, alerts), hits / np.maximum(1, there))

    def format_answer(self, number: int) -> str:
        """Format F1 with its interval, precision and recall of an answer."""
        of_all = f"{self.precision[number][0]:.2f}/{self.recall[number][0]:.2f}"
        return f"{self.f1[number][0]:.3f} ({_format_interval(self.f1[number][1:], '.2f')}) {of_all}"

    def format_gain(self, number: int, peer: int) -> str:
        """Format by how much the F1 of an answer is greater than that of another one on the same buffers."""
        gain = self.f1[number] - self.f1[peer]
        return f"{gain[0]:+.3f} ({_format_interval(gain[1:], '+.3f')})"


def _format_interval(figures: Floats, form: str) -> str:
    low, high = np.quantile(figures, (0.025, 0.975))
    return f"{low:{form}} to {high:{form}}"


def report(source: Source, rows: pl.DataFrame) -> None:
    """F1, precision and recall of the peer and of the rules, on the days that chose nothing."""
    until = find_last_training_day(rows["day"].unique())
    print(f"\n{source.name}: F1 (95 % interval) precision/recall after {until}")
    print(
        f"{'':<12}{'min':>4}{'questions':>11}{'comes':>8}{'level only':>33}{'rules, default':>33}{'rules, chosen':>33}"
        f"{'chosen rules - level':>27}"
    )
    early = pl.col("day") <= until
    for direction, minutes in product(("OVERFLOW", "STARVATION"), HORIZONS):
        questions = select_questions(rows, direction, minutes)
        train, later = questions.filter(early), questions.filter(~early)
        level = choose_best(train, [apply_level(direction, threshold) for threshold in LEVELS])
        rules = [apply_rules(branch) for branch in yield_candidates(direction, minutes)]
        answers = Resampled.compute(later, [level, rules[0], choose_best(train, rules)])
        cells = "".join(f"{answers.format_answer(number):>33}" for number in range(3))
        print(
            f"{direction:<12}{minutes:>4}{later.height:>11,}{later.filter('comes').height / later.height:>8.1%}{cells}"
            f"{answers.format_gain(2, 0):>27}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
