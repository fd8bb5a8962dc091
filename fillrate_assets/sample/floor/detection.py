"""Detection against the truth: was what was notified there, and was what was there notified in time?

An alert counts from 30 minutes before an onset to 5 minutes after it. Recall is per onset, and there are three of them:
notified by its own unit; by its own unit or by name in the notice of a TOTAL that its paths belong to; by its own unit
or such a TOTAL at all, to which the rules hand what its paths cannot settle. Units of equal paths are one buffer, with
one onset, and each speaks for the others. Precision is per problem that was notified, and of all times at which it was:
a problem is

- RIGHT if a notice of it falls between 30 minutes before an onset and 5 minutes after its end: a visit would have found
  trouble, or foreseen it. The onset may be of the unit, of a TOTAL that its paths belong to, or, where a TOTAL was
  notified, of one of its paths.
- BRIEF if no such onset is there, but the unit did cross the bound of an onset, for too few minutes to be one, between
  5 minutes before a notice and 30 after it.
- FALSE otherwise.

Precision is RIGHT of RIGHT and FALSE. What is BRIEF was there, and a look would have shown it; but it is not an onset
to find, so it counts neither way, as objects too small to be labelled do in benchmarks of images ("difficult" in
Everingham et al., The PASCAL Visual Object Classes Challenge, IJCV 88, 2010). The strict precision takes it for wrong.

A problem is an episode of one unit in one direction, whatever actions were recommended in turn.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules import scorecard, tick
from fillrate_assets.buffers.rules.alert_suppression import KEY, derive_episode_key
from fillrate_assets.buffers.rules.policy import TICK_MINUTES, Policy, Promotion
from fillrate_assets.buffers.rules.tick import TICK, Feeds, InMemoryTickStore, MasterData
from fillrate_assets.sample.floor.layout import TOTAL
from fillrate_assets.sample.floor.onsets import EMPTY, FULL

BEFORE: Final = timedelta(minutes=Promotion().before_minutes)
AFTER: Final = timedelta(minutes=Promotion().after_minutes)
_FOREVER: Final = timedelta(days=1000)
_STRIPPED: Final = pl.element().str.strip_chars()
_NOTIFYING: Final = ("unit_id", "unit_type", "direction", "episode", "notified_ts", "named")


@dataclass(frozen=True)
class Made:
    """What ticks made, as `buffers.schema` has it."""

    alerts: pl.DataFrame
    recommendations: pl.DataFrame
    """Of what an episode is open of."""
    units: pl.DataFrame
    """UNIT_TIMESERIES."""

    def restrict_to(self, warehouses: Collection[str]) -> Made:
        """Return the same of some of the warehouses."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return Made(**{name: rows.filter(pl.col("warehouse").is_in(warehouses)) for name, rows in parts.items()})


def run_ticks(feeds: Feeds, masters: MasterData, *, since: datetime, until: datetime, policy: Policy) -> Made:
    """Run every tick of a world, one after the other, as production would run them: the truth is not even passed.

    Args:
        feeds: all that they ever show.
        masters: of the warehouses to look at.
        since: the first tick.
        until: the last one.
        policy: thresholds and windows.

    """
    sorted_feeds = {name: feed.sort("event_ts") for name, feed in feeds.by_name.items() if feed is not None}
    made: dict[str, list[pl.DataFrame]] = {}
    store, at = InMemoryTickStore(), since
    while at <= until:
        tick.run_tick(_find_reached(sorted_feeds, at, policy), masters, store, snapshot_ts=at, policy=policy)
        alerts, verdicts, units = (
            store.read(frame, at, at).collect()
            for frame in (schema.ALERTS, schema.RECOMMENDATIONS, schema.UNIT_TIMESERIES)
        )
        open_now = verdicts.join(alerts.select(KEY).unique(), on=KEY, how="semi")
        for name, rows in (("alerts", alerts), ("recommendations", open_now), ("units", units)):
            made.setdefault(name, []).append(rows)
        at += TICK
        store.forget(at - timedelta(minutes=2 * policy.suppression.history_minutes))
    return Made(**{name: pl.concat(rows) for name, rows in made.items()})


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


def select_notified(
    alerts: pl.DataFrame, recommendations: pl.DataFrame | None = None, *, least: str = "ACT"
) -> pl.DataFrame:
    """Select what is notified: unit_id, unit_type, direction, episode, notified_ts and units named, once for each time.

    Args:
        alerts: `buffers.schema.ALERTS`.
        recommendations: `buffers.schema.RECOMMENDATIONS` of the same ticks; without them none are named.
        least: ACT is what production sends; WARN is what development shows.

    """
    shown = alerts.filter(pl.col("label").is_in(["NEW", "ONGOING"]), pl.col("direction") != "DATA")
    rows = scorecard.select_actionable(alerts) if least == "ACT" else shown
    known = schema.RECOMMENDATIONS.make_empty().collect() if recommendations is None else recommendations
    named = known.select(*KEY, "snapshot_ts", pl.col("named_units").str.split(",").list.eval(_STRIPPED).alias("named"))
    return (
        rows.with_columns(derive_episode_key().alias("episode"))
        .join(named, on=[*KEY, "snapshot_ts"], how="left")
        .rename({"snapshot_ts": "notified_ts"})
        .select(_NOTIFYING)
    )


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
    ).sort(*KEY, "snapshot_ts")
    begins = (pl.col("snapshot_ts").diff().over(KEY) > 2 * TICK).fill_null(value=True)
    number = begins.cum_sum().over(KEY)
    return beyond.with_columns(
        pl.concat_str(*KEY, number, separator=".").alias("episode"),
        pl.col("snapshot_ts").alias("notified_ts"),
        pl.lit(None, pl.List(pl.String)).alias("named"),
    ).select(_NOTIFYING)


def select_ticks(fills: pl.DataFrame) -> pl.DataFrame:
    """Select the true levels at ticks, for `detect_by_level`: what a perfect sensor would show.

    Args:
        fills: as of `onsets.compute_unit_fills`.

    """
    working = fills.filter("staffed", "lane_open", pl.col("ts").dt.minute() % TICK_MINUTES == 0)
    return working.select("unit_id", "unit_type", pl.col("ts").alias("snapshot_ts"), "fill")


# --- what it was worth


def relate_units(members: pl.DataFrame) -> pl.DataFrame:
    """Relate units by the paths that they share: unit_id, by, equal; each path of the unit is one of the other.

    Args:
        members: `buffers.schema.UNIT_MEMBERS`.

    """
    paths = members.select("unit_id", "path", warehouse=pl.col("unit_id").str.split("_").list.first()).unique()
    sizes = paths.group_by("unit_id").agg(size=pl.len())
    shared = paths.join(paths.rename({"unit_id": "by"}), on=["warehouse", "path"]).group_by("unit_id", "by").len()
    return (
        shared.join(sizes, on="unit_id")
        .filter(pl.col("len") == pl.col("size"))
        .join(sizes.rename({"unit_id": "by", "size": "size_by"}), on="by")
        .select("unit_id", "by", equal=pl.col("size") == pl.col("size_by"))
    )


def match_onsets(notified: pl.DataFrame, onsets: pl.DataFrame, related: pl.DataFrame) -> pl.DataFrame:
    """Match every onset with when it was first notified in time; empty where it was missed.

    Args:
        notified: as of `select_notified`.
        onsets: `schema.ONSETS`.
        related: as of `relate_units`.

    Returns:
        The onsets, those of units of equal paths once, with `own_ts`: by its own unit; `named_ts`: by that, or by name
        by a TOTAL; `alert_ts`: by that, or by a TOTAL.

    """
    twice = related.filter("equal", pl.col("by") < pl.col("unit_id"))
    once = onsets.join(twice, on="unit_id", how="anti")
    named = pl.col("named").list.contains(pl.col("unit_id")).fill_null(value=False)
    in_time = pl.col("notified_ts").is_between(pl.col("onset_ts") - BEFORE, pl.col("onset_ts") + AFTER)
    first = (
        once.join(related, on="unit_id")
        .join(notified.select("direction", "notified_ts", "named", by="unit_id"), on=["by", "direction"])
        .filter(in_time)
        .group_by(*KEY, "onset_ts")
        .agg(
            pl.col("notified_ts").filter("equal").min().alias("own_ts"),
            pl.col("notified_ts").filter(pl.col("equal") | named).min().alias("named_ts"),
            pl.col("notified_ts").min().alias("alert_ts"),
        )
    )
    return once.join(first, on=[*KEY, "onset_ts"], how="left")


def judge_episodes(
    notified: pl.DataFrame, onsets: pl.DataFrame, fills: pl.DataFrame, related: pl.DataFrame
) -> pl.DataFrame:
    """Judge every episode that was notified: unit_id, unit_type, direction, episode, first_ts, and what it was.

    Args:
        notified: as of `select_notified`.
        onsets: `schema.ONSETS`.
        fills: as of `onsets.compute_unit_fills`.
        related: as of `relate_units`.

    Returns:
        One row for each episode; `was` is RIGHT, BRIEF or FALSE; `own`: an onset of its own unit was there.

    """
    end = pl.col("end_ts").fill_null(pl.col("onset_ts") + _FOREVER) + AFTER
    trouble = onsets.select(pl.col("unit_id").alias("troubled"), "direction", "onset_ts", end.alias("end_ts"))
    either = pl.concat(
        [
            related.rename({"by": "troubled"}),
            related.select("equal", unit_id="by", troubled="unit_id").select("unit_id", "troubled", "equal"),
        ]
    ).unique()
    there = (
        notified.join(either, on="unit_id")
        .join(trouble, on=["troubled", "direction"])
        .filter(pl.col("notified_ts").is_between(pl.col("onset_ts") - BEFORE, pl.col("end_ts")))
    )
    crossed = pl.concat(
        [
            fills.filter("staffed", "lane_open", pl.col("fill") >= FULL).with_columns(direction=pl.lit("OVERFLOW")),
            fills.filter("staffed", pl.col("fill") <= EMPTY).with_columns(direction=pl.lit("STARVATION")),
        ]
    ).select(*KEY, crossed_ts="ts")
    near = notified.join(crossed, on=KEY).filter(
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
    own = pl.col("episode").is_in(there.filter("equal")["episode"].unique().implode())
    return first.with_columns(was=was, own=own)
