"""Readings of level sensors, and what flows say -> one estimate of each path's level, and when a sensor is doubted.

What is read and how flows are summed belongs to `path_signals`.
"""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import Final

import polars as pl

from fillrate_assets.buffers.rules.grid import PATH, TICK, derive_literal, is_within, join_numbers
from fillrate_assets.buffers.rules.policy import TICK_MINUTES, Policy


def count_compared_ticks(policy: Policy) -> int:
    """Count the ticks whose flows are held against levels: of the latest ones the flows may not be known yet."""
    return policy.sensor.drift_ticks + int(policy.flow.fresh // TICK_MINUTES)


# --- one estimate of two


def select_previous_state(previous: pl.DataFrame, snapshot_ts: datetime) -> pl.LazyFrame:
    """Select what the tick before left for this one; nothing if that tick never ran."""
    return (
        previous.lazy()
        .filter(pl.col("snapshot_ts") == derive_literal(snapshot_ts - TICK))
        .select(*PATH, *(pl.col(name).alias(f"last_{name}") for name in _STATE))
    )


_STATE: Final = (
    *("level", "suspect_sign", "predicted_ticks", "observed_ts", "observations", "gains"),
    *("doubt", "doubted_ticks", "flow_level"),
)
"""What a tick starts from."""


def estimate_levels(paths: pl.LazyFrame, snapshot_ts: datetime, policy: Policy) -> pl.LazyFrame:
    """Weigh the observed level against the last estimate plus what flowed since, if all of that is known.

    A fresh observation that is far from the prediction is doubted once, and accepted when the next tick finds it far
    off on the same side. Without a fresh observation the prediction is used alone for a while, by the mean flows if
    need be; a stale observation is used only where there is none, and is not fresh then. Without a capacity nothing is
    doubted. A sensor that is doubted for longer has no fresh level: see `_add_doubt`.
    """
    fusion = policy.fusion
    observed, predicted, sign = pl.col("observed"), pl.col("predicted"), pl.col("sign")
    off = pl.col("off").abs()
    doubted = (off > fusion.tolerance_share * pl.col("capacity")) & (off > fusion.tolerance_packages)
    fresh = is_within("observed_ts", snapshot_ts, policy.occupancy.fresh)
    predictable = predicted.is_not_null() & (pl.col("last_predicted_ticks") < fusion.max_predicted_ticks)
    how = (
        pl.when(~fresh & predictable)
        .then(pl.lit("PREDICTED"))
        .when(observed.is_null())
        .then(pl.lit("NONE"))
        .when(fresh & predicted.is_not_null() & pl.col("doubt").is_not_null())
        .then(pl.lit("SUSPECT"))
        .when(~fresh | predicted.is_null())
        .then(pl.lit("OBSERVED"))
        .when(sign == 0)
        .then(pl.lit("MEAN"))
        .when(sign == pl.col("last_suspect_sign"))
        .then(pl.lit("RECOUNT"))
        .otherwise(pl.lit("SUSPECT"))
    )
    level = (
        pl.when(pl.col("fusion").is_in(["PREDICTED", "SUSPECT"]))
        .then(predicted)
        .when(pl.col("fusion") == "MEAN")
        .then((observed + predicted) / 2)
        .otherwise(observed)
    )
    gained = pl.col("gained")
    about = (pl.col("inflow_rate") - pl.col("outflow_rate")) * TICK_MINUTES
    since = pl.when(fresh).then(gained).otherwise(pl.coalesce(gained, about))
    confirmed = (pl.col("doubted_ticks") >= policy.sensor.confirmed_ticks).fill_null(value=False)
    return (
        paths.pipe(_add_doubt, snapshot_ts, policy)
        .with_columns((pl.col("last_level") + since).clip(0).alias("predicted"))
        .with_columns((observed - predicted).alias("off"))
        .with_columns(pl.when(doubted).then(pl.col("off").sign()).otherwise(0).alias("sign"))
        .with_columns(how.alias("fusion"))
        .with_columns(
            level.alias("level"),
            pl.when(pl.col("fusion") == "SUSPECT").then(sign).otherwise(0).alias("suspect_sign"),
            pl.when(fresh).then(0).otherwise(pl.col("last_predicted_ticks").fill_null(0) + 1).alias("predicted_ticks"),
            ((fresh | (pl.col("fusion") == "PREDICTED")) & ~confirmed).alias("level_fresh"),
            pl.when(confirmed).then(pl.min_horizontal("observed", "flow_level")).alias("least_level"),
        )
    )


# --- sensors that cannot be believed


def _add_doubt(paths: pl.LazyFrame, snapshot_ts: datetime, policy: Policy) -> pl.LazyFrame:
    """Add why a level sensor is doubted, for how long, and what flows say instead (decision 0181).

    Each new reading is held against the one before it and what flowed between. Where these parts add up to more than
    may be, the greatest left out, the sensor drifts: one step alone is a recount. It is stuck if it repeats a number
    while packages come or go, unless that number is an end of its scale. A doubt does not end there, unless flows say
    the same: a sensor that has drifted that far cannot drift on.

    `flow_level` is there from the moment at which they part noticeably, and the doubt lasts until they do not any more
    (decision 0205).
    """
    sensor, count = policy.sensor, count_compared_ticks(policy)
    capacity, least = pl.col("capacity"), policy.fusion.tolerance_packages
    is_new = is_within("observed_ts", snapshot_ts, policy.occupancy.fresh) & (
        pl.col("observed_ts") > pl.col("last_observed_ts")
    ).fill_null(value=True)
    before = [pl.col("last_observations").list.get(ago, null_on_oob=True) for ago in range(count)]
    observed = [f"observed_{ago}" for ago in range(count + 1)]
    # What flowed longer ago was known before: it rides along, and is not corrected any more.
    late = 1 + int(policy.flow.fresh // TICK_MINUTES)
    gain = [
        pl.col(f"late_gain_{ago}") if ago < late else pl.col("last_gains").list.get(ago - 1, null_on_oob=True)
        for ago in range(count)
    ]
    parts = [pl.col(later) - pl.col(earlier) - gain[ago] for ago, (later, earlier) in enumerate(pairwise(observed))]
    readings = observed[: sensor.stuck_ticks]
    same = pl.all_horizontal(pl.col(name) == pl.col(readings[0]) for name in readings).fill_null(value=False)
    moved = pl.sum_horizontal(each.abs() for each in gain[: sensor.stuck_ticks])
    within = (pl.col(observed[0]) > 0) & (pl.col(observed[0]) < capacity)
    stuck = same & within & (moved > pl.max_horizontal(sensor.stuck_share * capacity, pl.lit(least)))
    drifted = pl.col("parted").list.sum()
    greatest = pl.max_horizontal(pl.col("parted").list.max(), -pl.col("parted").list.min())
    miscounted = sensor.drift_flow_share * pl.col("passed")
    bound = pl.max_horizontal(sensor.drift_share * capacity, miscounted, pl.lit(least))
    apart = drifted.abs() - greatest
    parting = apart > pl.max_horizontal(sensor.parting_share * capacity, miscounted)
    about = pl.coalesce("gained", (pl.col("inflow_rate") - pl.col("outflow_rate")) * TICK_MINUTES, 0.0)
    since = (pl.col("last_flow_level") + about).clip(0, capacity)
    at_end = (pl.col("observed") <= 0) | (pl.col("observed") >= capacity)
    lasts = pl.col("last_doubt").is_not_null() & (parting | (at_end & ((pl.col("observed") - since).abs() > bound)))
    doubt = (
        pl.when(stuck).then(pl.lit("STUCK")).when(apart > bound).then(pl.lit("DRIFTING")).when(lasts).then("last_doubt")
    )
    return (
        paths.with_columns(pl.when(is_new).then("observed").alias(observed[0]))
        .with_columns(each.alias(name) for each, name in zip(before, observed[1:], strict=True))
        .with_columns(
            join_numbers(observed[:-1]).alias("observations"),
            join_numbers(gain[:-1]).alias("gains"),
            join_numbers(parts).list.drop_nulls().list.head(sensor.drift_ticks).alias("parted"),
        )
        .with_columns(doubt.alias("doubt"), parting.fill_null(value=False).alias("parting"))
        .with_columns(
            pl.when(pl.col("doubt").is_not_null() | pl.col("parting"))
            .then(pl.coalesce(since, (pl.col("observed") - drifted).clip(0)))
            .alias("flow_level"),
            pl.when(pl.col("doubt").is_not_null())
            .then(pl.col("last_doubted_ticks").fill_null(0) + 1)
            .otherwise(0)
            .alias("doubted_ticks"),
        )
    )
