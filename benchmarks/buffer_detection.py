"""How well the buffer rules detect, on simulated floors whose truth they never see.

    python -m benchmarks.buffer_detection                       # the scenarios that were held out, some 10 minutes
    python -m benchmarks.buffer_detection --tuning              # those that thresholds may be chosen on
    python -m benchmarks.buffer_detection --tuning --only jams  # one of them

All warehouses of all scenarios are one network, and every tick of their three days runs as in production. What would
be notified is held against the onsets of overflow and starvation on the true state (`fillrate_assets.sample.floor`,
modules `onsets` and `detection`, which say what counts). In the same run two peers: a static threshold on the level
that the units show, and the same on the true level, at the bounds of an onset: what a perfect sensor read every five
minutes would make of it. Thresholds of the peer were chosen on the tuning scenarios: of those tried, the greatest
lesser one of precision and recall. Episodes about a crossing too short to be an onset are neither right nor wrong;
`strict` is the precision that takes them for wrong.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from time import perf_counter
from typing import Final

import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules.policy import Policy
from fillrate_assets.buffers.rules.scorecard import derive_wilson_interval
from fillrate_assets.buffers.rules.tick import TICK, Feeds, MasterData, align_to_grid
from fillrate_assets.sample.floor.detection import (
    detect_by_level,
    judge_episodes,
    match_onsets,
    run_ticks,
    select_notified,
    select_ticks,
)
from fillrate_assets.sample.floor.onsets import EMPTY, FULL, compute_unit_fills
from fillrate_assets.sample.floor.scenarios import HELD_OUT, TUNING, Scenario, Truth, World, simulate

LEVEL: Final = (0.95, 0.05)
"""Thresholds of the peer."""
ALL: Final = "all"


def main() -> int:
    """Simulate, run every tick, judge, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--tuning", action="store_true", help="the scenarios that thresholds may be chosen on")
    parser.add_argument("--only", action="append", help="name of a scenario; may be repeated (default: all)")
    arguments = parser.parse_args()
    scenarios = [
        scenario
        for scenario in (TUNING if arguments.tuning else HELD_OUT)
        if arguments.only is None or scenario.name in arguments.only
    ]
    if not scenarios:
        parser.error(f"no scenario is called {' or '.join(arguments.only)}")
    begun, policy = perf_counter(), Policy()
    world, kinds = build_network(scenarios)
    _print(f"{world.masters.warehouses.height} warehouses simulated", begun)
    ticks = pl.concat(feed.select("event_ts") for feed in _get_feeds(world)).to_series()
    since, until = pl.select(pl.lit(ticks.min()), pl.lit(ticks.max()).alias("until")).row(0)
    alerts, units = run_ticks(world, since=align_to_grid(since) + TICK, until=align_to_grid(until), policy=policy)
    _print(f"{alerts['snapshot_ts'].n_unique()} ticks with alerts", begun)
    fills = compute_unit_fills(world.truth.latent, world.masters.unit_members)
    levels = units.filter(pl.col("staffed").fill_null(value=True))
    peers = {
        f"policy {policy.version}": select_notified(alerts),
        f"level only ({LEVEL[0]:.0%}, {LEVEL[1]:.0%})": detect_by_level(levels, *LEVEL),
        f"perfect sensor ({FULL:.0%}, {EMPTY:.0%})": detect_by_level(select_ticks(fills), FULL, EMPTY),
    }
    unit_days = _count_unit_days(scenarios, units, kinds)
    for name, telling in peers.items():
        print(f"\n{name}")
        found = match_onsets(telling, world.truth.onsets).join(kinds, on="warehouse")
        judged = judge_episodes(telling, world.truth.onsets, fills).with_columns(_get_warehouse())
        report(found, judged.join(kinds, on="warehouse"), unit_days)
    return 0


def build_network(scenarios: Sequence[Scenario]) -> tuple[World, pl.DataFrame]:
    """Return the worlds of all scenarios side by side, and which scenario each warehouse belongs to."""
    worlds = [_rename(simulate(scenario), f"S{scenario.seed}-") for scenario in scenarios]
    kinds = pl.concat(
        world.masters.warehouses.select("warehouse", scenario=pl.lit(scenario.name))
        for world, scenario in zip(worlds, scenarios, strict=True)
    )
    masters = [world.masters for world in worlds]
    return World(
        feeds=_make_feeds(pl.concat(same) for same in zip(*(_get_feeds(world) for world in worlds), strict=True)),
        masters=MasterData(
            pl.concat(each.warehouses for each in masters),
            pl.concat(each.unit_members for each in masters),
            pl.concat(each.shifts for each in masters),
            masters[0].alert_routes,
        ),
        truth=Truth(
            pl.concat(world.truth.latent for world in worlds),
            pl.concat(world.truth.events for world in worlds),
            pl.concat(world.truth.onsets for world in worlds),
        ),
    ), kinds


def _rename(world: World, prefix: str) -> World:
    """Return the world with its warehouses named apart from those of others."""

    def named(rows: pl.DataFrame) -> pl.DataFrame:
        owners = [name for name in ("warehouse", "unit_id") if name in rows.columns]
        return rows.with_columns((prefix + pl.col(name)).alias(name) for name in owners)

    masters, truth = world.masters, world.truth
    return World(
        _make_feeds(named(feed) for feed in _get_feeds(world)),
        MasterData(named(masters.warehouses), named(masters.unit_members), named(masters.shifts), masters.alert_routes),
        Truth(named(truth.latent), named(truth.events), named(truth.onsets)),
    )


def _get_feeds(world: World) -> list[pl.DataFrame]:
    """Return the four feeds, which a simulation never lacks."""
    return [feed for feed in world.feeds.by_name.values() if feed is not None]


def _make_feeds(rows: Iterable[pl.DataFrame]) -> Feeds:
    occupancy, flow, staffing, limits = rows
    return Feeds(occupancy, flow, staffing, limits)


def _get_warehouse() -> pl.Expr:
    return pl.col("unit_id").str.split("_").list.first().alias("warehouse")


def _count_unit_days(scenarios: Sequence[Scenario], units: pl.DataFrame, kinds: pl.DataFrame) -> dict[str, int]:
    """Units of each scenario times its days."""
    counts = units.select("warehouse", "unit_id").unique().join(kinds, on="warehouse")
    each = {it.name: it.days * counts.filter(scenario=it.name).height for it in scenarios}
    return {**each, ALL: sum(each.values())}


# --- what is printed


def report(found: pl.DataFrame, judged: pl.DataFrame, unit_days: dict[str, int]) -> None:
    """One line per scenario and direction, then per unit type, then over all."""
    heads = (
        f"{'onsets':>7} {'recall':<19}{'episodes':>8} {'precision':<19}{'false':>6}{'brief':>6}{'strict':>8}"
        f"{'P50':>6}{'P95':>6}"
    )
    print(f"{'':<47}{heads}  per unit and day")
    for name, days in unit_days.items():
        here = pl.lit(value=True) if name == ALL else pl.col("scenario") == name
        _print_lines(name, found.filter(here), judged.filter(here), days)
    for unit_type in schema.UNIT_TYPES:
        here = pl.col("unit_type") == unit_type
        _print_lines(f"{ALL}, {unit_type}", found.filter(here), judged.filter(here))


def _print_lines(name: str, found: pl.DataFrame, judged: pl.DataFrame, days: int | None = None) -> None:
    was_silent = True
    for direction in ("OVERFLOW", "STARVATION"):
        here = pl.col("direction") == direction
        onsets, episodes = found.filter(here), judged.filter(here)
        if onsets.height or episodes.height:
            was_silent = False
            print(f"{name:<36}{direction:<11}{_format_line(onsets, episodes)}{_format_per_day(episodes, days)}")
    if was_silent:
        print(f"{name:<36}nothing happened, nothing was notified")


def _format_line(onsets: pl.DataFrame, episodes: pl.DataFrame) -> str:
    waited = ((onsets["alert_ts"] - onsets["onset_ts"]).dt.total_seconds() / 60).drop_nulls()
    right, brief, false = (episodes.filter(was=was).height for was in ("RIGHT", "BRIEF", "FALSE"))
    middle, late = (_format_minutes(waited.quantile(share)) for share in (0.5, 0.95))
    recall, precision = _format_share(waited.len(), onsets.height), _format_share(right, right + false)
    strict = f"{right / episodes.height:.3f}" if episodes.height else "-"
    return (
        f"{onsets.height:>7} {recall:<19}{episodes.height:>8} {precision:<19}{false:>6}{brief:>6}{strict:>8}"
        f"{middle:>6}{late:>6}"
    )


def _format_share(part: int, whole: int) -> str:
    if not whole:
        return "-"
    low, high = (pl.select(end).item() for end in derive_wilson_interval(pl.lit(part), pl.lit(whole)))
    return f"{part / whole:.3f} ({low:.2f}-{high:.2f})"


def _format_minutes(value: float | None) -> str:
    return "-" if value is None else f"{value:+.0f}"


def _format_per_day(episodes: pl.DataFrame, days: int | None) -> str:
    return "" if days is None else f"  {episodes.height / days:.3f}"


def _print(what: str, begun: float) -> None:
    print(f"  {what} after {perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
