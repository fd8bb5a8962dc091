"""Detection against the truth: was what was notified there, and was what was there notified in time?

An alert counts from 30 minutes before an onset to 5 minutes after it. Recall is per onset: was it notified in
that time, by its unit or by the TOTAL of its pool, to which the rules hand what its paths cannot settle? Precision is
per episode that was notified, and of all times at which it was: an episode is

- RIGHT if a notice of it falls between 30 minutes before an onset and 5 minutes after its end: a visit would have found
  trouble, or foreseen it. The onset may be of the unit, of the TOTAL of its pool, or, where a TOTAL was notified, of
  one of its paths.
- BRIEF if no such onset is there, but the unit did cross the bound of an onset, for too few minutes to be one, between
  5 minutes before a notice and 30 after it.
- FALSE otherwise.

Precision is RIGHT of RIGHT and FALSE. What is BRIEF was there, and a look would have shown it; but it is not an onset
to find, so it counts neither way, as objects too small to be labelled do in benchmarks of images ("difficult" in
Everingham et al., The PASCAL Visual Object Classes Challenge, IJCV 88, 2010). The strict precision takes it for wrong.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules import scorecard, tick
from fillrate_assets.buffers.rules.alert_suppression import UNIT, derive_episode_key
from fillrate_assets.buffers.rules.policy import TICK_MINUTES, Policy, Promotion
from fillrate_assets.buffers.rules.tick import TICK, Feeds, InMemoryTickStore
from fillrate_assets.sample.floor.layout import TOTAL
from fillrate_assets.sample.floor.onsets import EMPTY, FULL
from fillrate_assets.sample.floor.scenarios import World

BEFORE: Final = timedelta(minutes=Promotion().before_minutes)
AFTER: Final = timedelta(minutes=Promotion().after_minutes)
_FOREVER: Final = timedelta(days=1000)
_NOTIFYING: Final = ("unit_id", "unit_type", "direction", "episode", "notified_ts")


def run_ticks(world: World, *, since: datetime, until: datetime, policy: Policy) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Run every tick of a world, one after the other, as production would run them.

    Args:
        world: its feeds and masters; the truth is not looked at.
        since: the first tick.
        until: the last one.
        policy: thresholds and windows.

    Returns:
        `buffers.schema` ALERTS and UNIT_TIMESERIES of all ticks.

    """
    feeds = {name: feed.sort("event_ts") for name, feed in world.feeds.by_name.items() if feed is not None}
    made: dict[str, list[pl.DataFrame]] = {frame.name: [] for frame in (schema.ALERTS, schema.UNIT_TIMESERIES)}
    store, at = InMemoryTickStore(), since
    while at <= until:
        tick.run_tick(_find_reached(feeds, at, policy), world.masters, store, snapshot_ts=at, policy=policy)
        for frame in (schema.ALERTS, schema.UNIT_TIMESERIES):
            made[frame.name].append(store.read(frame, at, at).collect())
        at += TICK
        store.forget(at - timedelta(minutes=2 * policy.suppression.history_minutes))
    alerts, units = (pl.concat(rows) for rows in made.values())
    return alerts, units


def _find_reached(feeds: dict[str, pl.DataFrame], at: datetime, policy: Policy) -> Feeds:
    """Find what a tick may look at, of feeds that are sorted by time."""
    reach = tick.compute_look_back(policy)

    def select_reached(name: str) -> pl.DataFrame:
        times = feeds[name]["event_ts"]
        begin, end = times.search_sorted(at - reach[name]), times.search_sorted(at + TICK)
        return feeds[name].slice(begin, end - begin)

    occupancy, flow, staffing, limits = (select_reached(name) for name in schema.FEEDS)
    return Feeds(occupancy, flow, staffing, limits)


# --- what is notified


def select_notified(alerts: pl.DataFrame) -> pl.DataFrame:
    """Select what production notifies: unit_id, unit_type, direction, episode, notified_ts; a row for every time.

    Args:
        alerts: `buffers.schema.ALERTS`.

    """
    rows = scorecard.select_actionable(alerts).with_columns(derive_episode_key().alias("episode"))
    return rows.rename({"snapshot_ts": "notified_ts"}).select(_NOTIFYING)


def detect_by_level(levels: pl.DataFrame, full: float, empty: float) -> pl.DataFrame:
    """Detect by a static threshold, as `select_notified`: from `full` on, and of a TOTAL down to `empty`.

    An episode lasts until the level was within the thresholds for two ticks.

    Args:
        levels: unit_id, unit_type, snapshot_ts, fill, of staffed ticks.
        full: of capacity.
        empty: of capacity.

    """
    beyond = pl.concat(
        [
            levels.filter(pl.col("fill") >= full).with_columns(direction=pl.lit("OVERFLOW")),
            levels.filter(pl.col("fill") <= empty, unit_type=TOTAL).with_columns(direction=pl.lit("STARVATION")),
        ]
    ).sort(*UNIT, "snapshot_ts")
    begins = (pl.col("snapshot_ts").diff().over(UNIT) > 2 * TICK).fill_null(value=True)
    number = begins.cum_sum().over(UNIT)
    return beyond.with_columns(
        pl.concat_str(*UNIT, number, separator=".").alias("episode"), pl.col("snapshot_ts").alias("notified_ts")
    ).select(_NOTIFYING)


def select_ticks(fills: pl.DataFrame) -> pl.DataFrame:
    """Select the true levels at ticks, for `detect_by_level`: what a perfect sensor would show.

    Args:
        fills: as of `onsets.unit_fills`.

    """
    working = fills.filter("staffed", "lane_open", pl.col("ts").dt.minute() % TICK_MINUTES == 0)
    return working.select("unit_id", "unit_type", pl.col("ts").alias("snapshot_ts"), "fill")


# --- what it was worth


def match_onsets(notified: pl.DataFrame, onsets: pl.DataFrame) -> pl.DataFrame:
    """Match every onset with `alert_ts`: when it was first notified in time; empty where it was missed.

    Args:
        notified: as of `select_notified`.
        onsets: `schema.ONSETS`.

    """
    notified_by = pl.concat([onsets.with_columns(by=pl.col("unit_id")), onsets.with_columns(by=_sum_truth())]).unique()
    first = (
        notified_by.join(notified.select("direction", "notified_ts", by="unit_id"), on=["by", "direction"])
        .filter(pl.col("notified_ts").is_between(pl.col("onset_ts") - BEFORE, pl.col("onset_ts") + AFTER))
        .group_by(*UNIT, "onset_ts")
        .agg(alert_ts=pl.col("notified_ts").min())
    )
    return onsets.join(first, on=[*UNIT, "onset_ts"], how="left")


def judge_episodes(notified: pl.DataFrame, onsets: pl.DataFrame, fills: pl.DataFrame) -> pl.DataFrame:
    """Judge every episode that was notified: unit_id, unit_type, direction, episode, first_ts, and what it was.

    Args:
        notified: as of `select_notified`.
        onsets: `schema.ONSETS`.
        fills: as of `onsets.unit_fills`.

    Returns:
        One row for each episode; `was` is RIGHT, BRIEF or FALSE.

    """
    end = pl.col("end_ts").fill_null(pl.col("onset_ts") + _FOREVER) + AFTER
    own = pl.col("unit_id")
    trouble = onsets.select(pl.col("unit_id").alias("troubled"), "direction", "onset_ts", end.alias("end_ts"))
    there = (
        notified.with_columns(pool=_sum_truth())
        .join(trouble.with_columns(pool=_sum_truth("troubled")), on=["pool", "direction"])
        .filter(
            pl.any_horizontal(own == pl.col("troubled"), own == pl.col("pool"), pl.col("pool") == pl.col("troubled")),
            pl.col("notified_ts").is_between(pl.col("onset_ts") - BEFORE, pl.col("end_ts")),
        )
    )
    crossed = pl.concat(
        [
            fills.filter("staffed", "lane_open", pl.col("fill") >= FULL).with_columns(direction=pl.lit("OVERFLOW")),
            fills.filter("staffed", pl.col("fill") <= EMPTY).with_columns(direction=pl.lit("STARVATION")),
        ]
    ).select(*UNIT, crossed_ts="ts")
    near = notified.join(crossed, on=UNIT).filter(
        pl.col("crossed_ts").is_between(pl.col("notified_ts") - AFTER, pl.col("notified_ts") + BEFORE)
    )
    was = (
        pl.when(pl.col("episode").is_in(there["episode"].unique().implode()))
        .then(pl.lit("RIGHT"))
        .when(pl.col("episode").is_in(near["episode"].unique().implode()))
        .then(pl.lit("BRIEF"))
        .otherwise(pl.lit("FALSE"))
    )
    first = notified.group_by("unit_id", "unit_type", "direction", "episode").agg(first_ts=pl.col("notified_ts").min())
    return first.with_columns(was=was)


def _sum_truth(unit_id: str = "unit_id") -> pl.Expr:
    """Return the TOTAL of a unit's pool."""
    return pl.col(unit_id).str.replace("[^_]*$", TOTAL)
