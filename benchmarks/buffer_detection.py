"""How well the buffer rules detect, on simulated floors whose truth they never see.

    python -m benchmarks.buffer_detection                       # the scenarios that were held out, some 10 minutes
    python -m benchmarks.buffer_detection --tuning              # those that thresholds may be chosen on
    python -m benchmarks.buffer_detection --tuning --only jams  # one of them
    python -m benchmarks.buffer_detection --faults              # a feed that fails in every warehouse of a day

All warehouses of all scenarios are one network, and every tick of their day runs as in production. What would be
notified is held against the onsets of overflow and starvation on the true state (`fillrate_assets.sample.floor`,
modules `onsets` and `detection`, which say what counts). In the same run two peers: a static threshold on the level
that the units show, and the same on the true level, at the bounds of an onset: what a perfect sensor read every five
minutes would make of it. Thresholds of the peer were chosen on the tuning scenarios: of those tried, the greatest
lesser one of precision and recall. Problems about a crossing too short to be an onset are neither right nor wrong;
`strict` is the precision that takes them for wrong.

Shares have 95 % Wilson intervals. Minutes, and the ratio of two precisions, have 95 % intervals of 2,000 bootstrap
samples of warehouses.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import perf_counter
from typing import Final

import numpy as np
import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules.policy import Policy
from fillrate_assets.buffers.rules.scorecard import derive_wilson_interval
from fillrate_assets.buffers.rules.tick import TICK, align_to_grid
from fillrate_assets.sample.floor import feed_faults
from fillrate_assets.sample.floor.detection import (
    detect_by_level,
    judge_episodes,
    match_onsets,
    relate_units,
    run_ticks,
    select_notified,
    select_ticks,
)
from fillrate_assets.sample.floor.onsets import EMPTY, FULL, compute_unit_fills
from fillrate_assets.sample.floor.scenarios import HELD_OUT, TUNING, simulate
from fillrate_assets.sample.floor.worlds import join_worlds, rename_world
from fillrate_assets.sample.streams import Floats, Ints

LEVEL: Final = (0.95, 0.05)
"""Thresholds of the peer."""
ALL: Final = "all"
DIRECTIONS: Final = ("OVERFLOW", "STARVATION")
TUNING_FAULTS, HELD_OUT_FAULTS = 4101, 5101
"""Seeds of the warehouses in which a feed fails."""
SAMPLES: Final = 2000


def main() -> int:
    """Simulate, run every tick, judge, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--tuning", action="store_true", help="the scenarios that thresholds may be chosen on")
    parser.add_argument("--only", action="append", help="name of a scenario or fault; may be repeated (default: all)")
    parser.add_argument("--warehouses", type=int, help="so many of each scenario, for a quick look")
    parser.add_argument("--faults", action="store_true", help="feeds that fail, in place of the scenarios")
    arguments = parser.parse_args()
    if arguments.faults:
        seed = TUNING_FAULTS if arguments.tuning else HELD_OUT_FAULTS
        return print_faults(arguments.only, warehouses=arguments.warehouses or 4, seed=seed)
    scenarios = [
        scenario
        for scenario in (TUNING if arguments.tuning else HELD_OUT)
        if arguments.only is None or scenario.name in arguments.only
    ]
    if not scenarios:
        parser.error(f"no scenario is called {' or '.join(arguments.only)}")
    begun, policy = perf_counter(), Policy()
    worlds = {f"S{it.seed}-": simulate(it, it.numbers[: arguments.warehouses]) for it in scenarios}
    world = join_worlds(worlds)
    kinds = pl.DataFrame(
        [
            (f"S{it.seed}-{warehouse}", it.name)
            for it in scenarios
            for warehouse in worlds[f"S{it.seed}-"].masters.warehouses["warehouse"]
        ],
        schema=("warehouse", "scenario"),
        orient="row",
    )
    _print(f"{world.masters.warehouses.height} warehouses simulated", begun)
    minutes = world.truth.latent["ts"]
    since, until = pl.select(pl.lit(minutes.min()), pl.lit(minutes.max()).alias("until")).row(0)
    made = run_ticks(
        world.feeds, world.masters, since=align_to_grid(since) + TICK, until=align_to_grid(until), policy=policy
    )
    _print(f"{made.units['snapshot_ts'].n_unique()} ticks run", begun)
    fills = compute_unit_fills(world.truth.latent, world.masters.unit_members)
    related = relate_units(world.masters.unit_members)
    levels = made.units.filter(pl.col("staffed").fill_null(value=True))

    def select_of_policy(least: str) -> pl.DataFrame:
        return select_notified(made.alerts, made.recommendations, least=least)

    peers = {
        f"policy {policy.version}": select_of_policy("ACT"),
        f"policy {policy.version}, warnings too": select_of_policy("WARN"),
        f"level only ({LEVEL[0]:.0%}, {LEVEL[1]:.0%})": detect_by_level(levels, *LEVEL),
        f"perfect sensor ({FULL:.0%}, {EMPTY:.0%})": detect_by_level(select_ticks(fills), FULL, EMPTY),
    }
    days = {it.name: it.days for it in scenarios}
    unit_days = _count_unit_days(days, made.units, kinds)
    scored: dict[str, Scored] = {}
    for name, notified in peers.items():
        print(f"\n{name}")
        found = match_onsets(notified, world.truth.onsets, related).join(kinds, on="warehouse")
        judged = judge_episodes(notified, world.truth.onsets, fills, related).with_columns(_get_warehouse())
        scored[name] = Scored(found, judged.join(kinds, on="warehouse"))
        report(scored[name], unit_days)
    print_ratios(scored, kinds["warehouse"])
    return 0


@dataclass(frozen=True)
class Scored:
    """What one detector was worth: its onsets and problems, each with its warehouse and scenario."""

    onsets: pl.DataFrame
    problems: pl.DataFrame

    def filter(self, *conditions: pl.Expr) -> Scored:
        """Return what meets the conditions."""
        return Scored(self.onsets.filter(*conditions), self.problems.filter(*conditions))


def _get_warehouse() -> pl.Expr:
    return pl.col("unit_id").str.split("_").list.first().alias("warehouse")


def _count_unit_days(days: Mapping[str, int], units: pl.DataFrame, kinds: pl.DataFrame) -> dict[str, int]:
    """Units of each scenario times its days."""
    counts = units.select("warehouse", "unit_id").unique().join(kinds, on="warehouse")
    each = {name: count * counts.filter(scenario=name).height for name, count in days.items()}
    return {**each, ALL: sum(each.values())}


# --- what is printed


def report(scored: Scored, unit_days: Mapping[str, int]) -> None:
    """One line per scenario and direction, then over all; then by whom each kind of unit was notified."""
    heads = (
        f"{'onsets':>7} {'recall':<19}{'problems':>8} {'precision':<19}{'false':>6}{'brief':>6} {'strict':<19}"
        f"{'P50':>6}{'P95':>6}"
    )
    print(f"{'by total':<47}{heads}  per unit and day")
    for name, days in unit_days.items():
        here = pl.lit(value=True) if name == ALL else pl.col("scenario") == name
        _print_lines(name, scored.filter(here), days)
    print(
        f"{'by unit':<24}{'onsets':>7} {'own recall':<19}{'or named':<19}{'or by its total':<19}"
        f"{'problems':>8} {'of an own onset':<19}{'precision':<19}{'strict':<19}"
    )
    for unit_type, direction in ((kind, way) for kind in schema.UNIT_TYPES for way in DIRECTIONS):
        _print_unit_line(unit_type, direction, scored)
    for direction in DIRECTIONS:
        print(f"{direction:<11}minutes from onset to notice: {_format_waits(scored, direction)}")


def _print_lines(name: str, scored: Scored, days: int) -> None:
    was_silent = True
    for direction in DIRECTIONS:
        here = scored.filter(pl.col("direction") == direction)
        if here.onsets.height or here.problems.height:
            was_silent = False
            per_day = here.problems.height / days
            print(f"{name:<36}{direction:<11}{_format_line(here.onsets, here.problems)}  {per_day:.3f}")
    if was_silent:
        print(f"{name:<36}nothing happened, nothing was notified")


def _format_line(onsets: pl.DataFrame, problems: pl.DataFrame) -> str:
    waited = _measure_waits(onsets)
    right, brief, false = (problems.filter(was=was).height for was in ("RIGHT", "BRIEF", "FALSE"))
    middle, late = (_format_minutes(waited.quantile(share)) for share in (0.5, 0.95))
    recall, precision = _format_share(waited.len(), onsets.height), _format_share(right, right + false)
    return (
        f"{onsets.height:>7} {recall:<19}{problems.height:>8} {precision:<19}{false:>6}{brief:>6} "
        f"{_format_share(right, problems.height):<19}{middle:>6}{late:>6}"
    )


def _print_unit_line(unit_type: str, direction: str, scored: Scored) -> None:
    here = scored.filter(pl.col("unit_type") == unit_type, pl.col("direction") == direction)
    onsets, problems = here.onsets, here.problems
    if onsets.is_empty() and problems.is_empty():
        return
    recalls = [
        _format_share(onsets[name].drop_nulls().len(), onsets.height) for name in ("own_ts", "named_ts", "alert_ts")
    ]
    right, false = (problems.filter(was=was).height for was in ("RIGHT", "FALSE"))
    shares = (
        _format_share(problems.filter("own").height, problems.height),
        _format_share(right, right + false),
        _format_share(right, problems.height),
    )
    cells = "".join(f"{cell:<19}" for cell in recalls)
    print(
        f"{unit_type:<12}{direction:<12}{onsets.height:>7} {cells}{problems.height:>8} "
        + "".join(f"{cell:<19}" for cell in shares)
    )


def _measure_waits(onsets: pl.DataFrame) -> pl.Series:
    return ((onsets["alert_ts"] - onsets["onset_ts"]).dt.total_seconds() / 60).drop_nulls()


def _format_waits(scored: Scored, direction: str) -> str:
    """Format median and 95 % of the minutes from onset to notice, with their intervals."""
    found = scored.onsets.filter(pl.col("alert_ts").is_not_null(), direction=direction)
    if found.is_empty():
        return "-"
    waits = found.group_by("warehouse", maintain_order=True).agg(
        waited=(pl.col("alert_ts") - pl.col("onset_ts")).dt.total_seconds() / 60
    )["waited"]
    each = [waited.to_numpy() for waited in waits]
    cells = []
    for share in (0.5, 0.95):
        compute = partial(_compute_quantile, each, share)
        low, high = bootstrap(len(each), compute)
        cells.append(f"{share:.0%} {compute(np.arange(len(each))):+.1f} ({low:+.1f} to {high:+.1f})")
    return ", ".join(cells)


def _compute_quantile(waits: Sequence[Floats], share: float, picks: Ints) -> float:
    return float(np.quantile(np.concatenate([waits[pick] for pick in picks]), share))


def print_ratios(scored: Mapping[str, Scored], warehouses: pl.Series) -> None:
    """Print the strict precision of each detector against that of the last one, the perfect sensor."""
    names = list(scored)
    print("\nstrict precision, against the perfect sensor's")
    for direction in DIRECTIONS:
        counts = {name: _count_right(scored[name], direction, warehouses) for name in names}
        best = counts[names[-1]]
        if not best[0].sum():
            continue
        for name in names[:-1]:
            compute = partial(_compute_ratio, counts[name], best)
            low, high = bootstrap(len(warehouses), compute)
            ratio = compute(np.arange(len(warehouses)))
            print(f"{name:<40}{direction:<12}{ratio:.3f} ({low:.2f}-{high:.2f})")


def _compute_ratio(mine: tuple[Ints, Ints], best: tuple[Ints, Ints], picks: Ints) -> float:
    """Compute the ratio of two shares, each right and all by warehouse, over some warehouses."""
    share, limit = (right[picks].sum() / max(1, every[picks].sum()) for right, every in (mine, best))
    return float(share / limit) if limit else float("nan")


def _count_right(scored: Scored, direction: str, warehouses: pl.Series) -> tuple[Ints, Ints]:
    """Count the right problems, and all of them, of each warehouse."""
    counts = (
        scored.problems.filter(direction=direction)
        .group_by("warehouse")
        .agg((pl.col("was") == "RIGHT").sum(), pl.len())
    )
    rows = warehouses.to_frame().join(counts, on="warehouse", how="left", maintain_order="left").fill_null(0)
    return rows["was"].to_numpy(), rows["len"].to_numpy()


def bootstrap(count: int, compute: Callable[[Ints], float]) -> tuple[float, float]:
    """Return the 95 % interval of a figure over samples of so many clusters, drawn with replacement."""
    rng = np.random.default_rng(1)
    figures = [compute(rng.integers(count, size=count)) for _ in range(SAMPLES)]
    low, high = np.nanquantile(figures, (0.025, 0.975))
    return float(low), float(high)


def _format_share(part: int, whole: int) -> str:
    if not whole:
        return "-"
    low, high = (pl.select(end).item() for end in derive_wilson_interval(pl.lit(part), pl.lit(whole)))
    return f"{part / whole:.3f} ({low:.2f}-{high:.2f})"


def _format_minutes(value: float | None) -> str:
    return "-" if value is None else f"{value:+.0f}"


# --- feeds that fail


def print_faults(only: Sequence[str] | None, *, warehouses: int, seed: int) -> int:
    """Run an afternoon in which a feed fails everywhere, for every feed and fault, and print what came of it."""
    begun, policy = perf_counter(), Policy()
    faults = {f"F{n}-": it for n, it in enumerate(feed_faults.list_faults()) if only is None or it.name in only}
    worlds = {
        prefix: feed_faults.simulate_fault(fault, warehouses=warehouses, seed=seed) for prefix, fault in faults.items()
    }
    world = join_worlds(worlds)
    start = feed_faults.find_start(seed=seed)
    _print(f"{len(faults)} faults in {warehouses} warehouses simulated", begun)
    since, until = feed_faults.find_ticks(start)
    made = run_ticks(world.feeds, world.masters, since=since, until=until, policy=policy)
    _print("ticks run", begun)
    print(
        f"{'fault':<28}{'notified':>12}{'minutes, median and most':>26}{'expires after':>15}{'false CLEAR':>13}"
        f"{'messages to a channel':>23}"
    )
    for prefix, fault in faults.items():
        own = rename_world(worlds[prefix], prefix)
        of_own = made.restrict_to(own.masters.warehouses["warehouse"].to_list())
        result = feed_faults.measure_fault(fault, of_own, own, start=start, policy=policy)
        waited = f"{median(result.minutes):.0f}, {max(result.minutes):.0f}" if result.minutes else "-"
        print(
            f"{fault.name:<28}{f'{result.notified} of {result.warehouses}':>12}{waited:>26}"
            f"{feed_faults.compute_expiry(fault, policy):>15.0f}{result.false_clears:>13}{result.messages:>23}"
        )
    return 0


def _print(what: str, begun: float) -> None:
    print(f"  {what} after {perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
