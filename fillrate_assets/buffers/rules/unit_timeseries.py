"""Paths -> operational units: level, quality, trend and flows of each, at one tick.

Who is at work, what a verdict is and how often the floor is notified do not belong here.

A unit is what its members name: the paths whose levels, capacities and flows count in it, with their weights. It has a
row at every tick, whatever the feeds report: what is not known is empty, and its quality says so.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import combinations
from typing import Final

import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules.grid import (
    PATH,
    TICK,
    derive_literal,
    derive_millionths,
    derive_packages,
    join_numbers,
)
from fillrate_assets.buffers.rules.path_signals import select_active_warehouses
from fillrate_assets.buffers.rules.policy import TICK_MINUTES, Policy
from fillrate_assets.core.table_schema import TIMESTAMP
from fillrate_assets.core.text_columns import format_text

_SUMS: Final = {
    "level": "LEVEL",
    "capacity": "CAP",
    "inflow": "IN",
    "outflow": "OUT",
    "inflow_rate": "IN",
    "outflow_rate": "OUT",
    "max_rate": "CAP",
    "backlog": "CAP",
}
"""What is summed over the paths of a unit, and the role whose weights count. All of them or nothing: a sum without
one of its paths would pass for less than it is."""


def compute_units(
    signals: pl.DataFrame,
    pools: pl.DataFrame,
    members: pl.DataFrame,
    history: pl.DataFrame,
    *,
    snapshot_ts: datetime,
    policy: Policy,
    warehouses: pl.DataFrame,
) -> pl.DataFrame:
    """Compute one row for every unit of an active warehouse that has members in force.

    A unit that is not FRESH has no trend: slope and what follows from it are empty. A unit with a
    late backlog may be FRESH, because no rule looks at it.

    Args:
        signals: `SIGNALS` of the tick.
        pools: `POOLS` of the tick.
        members: `UNIT_MEMBERS`.
        history: `UNIT_TIMESERIES` of the 60 minutes before the tick.
        snapshot_ts: the tick.
        policy: thresholds and windows.
        warehouses: `WAREHOUSES`.

    Returns:
        `UNIT_TIMESERIES`.

    """
    cells = [
        pl.col("outflows").list.get(ago, null_on_oob=True).alias(name) for ago, name in enumerate(_list_cells(policy))
    ]
    paths = signals.lazy().drop("dc", "ship_date", "snapshot_ts", "policy_version").with_columns(cells)
    return (
        _select_in_force(members, warehouses, snapshot_ts)
        .join(paths, on=PATH, how="left")
        .pipe(_roll_up_paths, policy)
        .join(
            pools.lazy().drop("dc", "ship_date", "snapshot_ts").rename({"pool": "consumers"}),
            on=["warehouse", "consumers"],
            how="left",
        )
        .pipe(_add_quality, policy)
        .join(_summarize_past(history, members, snapshot_ts, policy), on="unit_id", how="left")
        .pipe(_add_trend, policy)
        .pipe(_add_usual_outflow, policy)
        .pipe(_add_counts, policy)
        .join(select_active_warehouses(warehouses, snapshot_ts), on="warehouse")
        .with_columns(pl.lit(policy.version).alias("policy_version"))
        .pipe(schema.UNIT_TIMESERIES.conform)
        .sort(schema.UNIT_TIMESERIES.key)
        .collect()
    )


def collect_rejects(members: pl.DataFrame, *, snapshot_ts: datetime, warehouses: pl.DataFrame) -> pl.DataFrame:
    """Collect the members that cannot be used, and why.

    A unit with a readable id still has its row; while a rejected member is in force, its quality is UNKNOWN.

    Args:
        members: `UNIT_MEMBERS`.
        snapshot_ts: the tick.
        warehouses: `WAREHOUSES`.

    Returns:
        `UNIT_REJECTS`.

    """
    known = warehouses.lazy().select("warehouse", pl.lit(value=True).alias("known"))
    return (
        _add_id_parts(members.lazy())
        .join(known, on="warehouse", how="left")
        .with_columns(
            pl.coalesce(_format_id_fault(), _format_warehouse_fault(), _format_member_fault()).alias("reason")
        )
        .filter(pl.col("reason").is_not_null())
        .with_columns(derive_literal(snapshot_ts).alias("snapshot_ts"))
        .pipe(schema.UNIT_REJECTS.conform)
        .sort(schema.UNIT_REJECTS.names)
        .collect()
    )


# --- membership


def list_units(members: pl.DataFrame, *, at: datetime) -> pl.DataFrame:
    """List the units that have a member at a time.

    Args:
        members: `UNIT_MEMBERS`.
        at: UTC.

    Returns:
        Columns unit_id, warehouse, unit_type, sorted; units whose id cannot be read are left out.

    """
    return (
        _add_id_parts(members.lazy().filter(is_valid_at(at)))
        .filter(pl.col("unit_type").is_not_null())
        .select("unit_id", "warehouse", "unit_type")
        .unique()
        .sort("unit_id")
        .collect()
    )


def _add_id_parts(members: pl.LazyFrame) -> pl.LazyFrame:
    """Add the parts of the unit's id: warehouse, pool, last; and the unit's type. Empty where the id has none."""
    part = r"([A-Z0-9-]+)"
    parts = pl.col("unit_id").str.extract_groups(f"^{part}_{part}_{part}$").struct
    is_total, is_path = pl.col("last") == "TOTAL", pl.col("pool").is_in(schema.UNIT_TYPES[1:])
    ids = (
        members.select("unit_id")
        .unique()
        .with_columns(parts[0].alias("warehouse"), parts[1].alias("pool"), parts[2].alias("last"))
        .with_columns(pl.when(is_total).then(pl.lit("TOTAL")).when(is_path).then("pool").alias("unit_type"))
    )
    return members.join(ids, on="unit_id", how="left", nulls_equal=True)


def _format_id_fault() -> pl.Expr:
    shape = pl.lit(" is not {WAREHOUSE}_{WORKPOOL}_{PATH|TOTAL} in A-Z, 0-9 and -")
    return (
        pl.when(pl.col("warehouse").is_null())
        .then(pl.concat_str(pl.lit("unit_id "), pl.col("unit_id").fill_null("(empty)"), shape))
        .when(pl.col("unit_type").is_null())
        .then(format_text("work pool {} is judged as a TOTAL only; single paths are of INDUCT, PACK or LANE", "pool"))
    )


def _format_warehouse_fault() -> pl.Expr:
    return pl.when(pl.col("known").is_null()).then(
        format_text("warehouse {} is not in the table of warehouses", "warehouse")
    )


def _format_member_fault() -> pl.Expr:
    """Format why a member of a unit whose id is sound cannot be used; empty if it can."""
    role, weight = pl.col("role"), pl.col("weight")
    return (
        pl.when(pl.col("path").is_null() | (pl.col("path") == ""))
        .then(pl.lit("no path"))
        .when(role.is_null() | ~role.is_in(list(schema.ROLES)))
        .then(format_text("role {} is none of LEVEL, IN, OUT and CAP", role.fill_null("(empty)")))
        .when(weight.is_null() | ~weight.is_finite() | (weight <= 0))
        .then(format_text("weight {} is not above 0", weight.cast(pl.String).fill_null("(empty)")))
        .when(pl.col("valid_to") <= pl.col("valid_from"))
        .then(pl.lit("ends before it begins"))
    )


def is_valid_at(at: datetime) -> pl.Expr:
    """Return whether a row of `UNIT_MEMBERS` counts at a time."""
    now = derive_literal(at)
    return (pl.col("valid_from") <= now) & (pl.col("valid_to").is_null() | (now < pl.col("valid_to")))


def _select_in_force(members: pl.DataFrame, warehouses: pl.DataFrame, snapshot_ts: datetime) -> pl.LazyFrame:
    """Select a row for each path of each unit, with a weight per role; of members that overlap the later one counts."""
    weights = [
        pl.when(pl.col("role") == role).then("weight").max_by(pl.when(pl.col("role") == role).then("valid_from"))
        for role in schema.ROLES
    ]
    rows = (
        members.lazy()
        .filter(is_valid_at(snapshot_ts))
        .group_by("unit_id", "path")
        .agg(
            *(weight.alias(role) for weight, role in zip(weights, schema.ROLES, strict=True)),
            _format_member_fault().is_null().all().alias("sound"),
        )
        .pipe(_add_id_parts)
        .filter(pl.col("unit_type").is_not_null())
        .join(select_active_warehouses(warehouses, snapshot_ts).select("warehouse"), on="warehouse", how="semi")
        .collect()
        .lazy()
    )
    judged = rows.filter(pl.col("unit_type") != "TOTAL", pl.col("LEVEL").is_not_null())
    of_path = judged.group_by(PATH).agg(pl.when(pl.col("pool").n_unique() == 1).then(pl.col("pool").first()))
    return rows.join(of_path.rename({"pool": "path_pool"}), on=PATH, how="left")


# --- from paths to units


def _list_cells(policy: Policy) -> list[str]:
    """List the names of the outflows of each 5 minutes that the median is taken over, latest first."""
    return [f"outflow_{ago}" for ago in range(policy.trend.outflow_median_minutes // TICK_MINUTES)]


def _roll_up_paths(paths: pl.LazyFrame, policy: Policy) -> pl.LazyFrame:
    """Sum the paths of each unit by their weights, and name them.

    A capacity is covered while the path's level is fresh, or if the path has no level to count. While a path whose
    level counts without a capacity is not fresh, nothing is covered: how much of the unit it is cannot be known.
    """
    counts, has_capacity = pl.col("LEVEL").is_not_null(), pl.col("CAP").is_not_null()
    fresh = pl.col("level_fresh").fill_null(value=False)
    flows, flow_fresh = pl.any_horizontal(pl.col("IN", "OUT").is_not_null()), pl.col("flow_fresh")
    here, lane_open = counts | has_capacity, pl.col("lane_open")
    path_pool = pl.col("path_pool").filter(counts)
    sums = {**_SUMS, **dict.fromkeys(_list_cells(policy), "OUT")}
    products = {name: derive_millionths(pl.col(role) * pl.col(name)) for name, role in sums.items()}
    complete = {
        name: (pl.col(f"{name}_part").count() == pl.col(role).count()) & (pl.col(role).count() > 0)
        for name, role in sums.items()
    }
    least = derive_millionths(pl.col("LEVEL") * pl.col("least_level")).alias("least_part")
    both = {"low": pl.min_horizontal("level", "flow_level"), "high": pl.max_horizontal("level", "flow_level")}
    bounds = [derive_millionths(pl.col("LEVEL") * level).alias(f"{name}_part") for name, level in both.items()]
    doubted = pl.when(pl.col("doubted_ticks") >= policy.sensor.confirmed_ticks).then(
        format_text("{} {}", "path", "doubt")
    )
    return (
        paths.with_columns(*(product.alias(f"{name}_part") for name, product in products.items()), least, *bounds)
        .group_by("unit_id")
        .agg(
            pl.col("warehouse", "pool", "unit_type").first(),
            pl.when((path_pool.n_unique() == 1) & (path_pool.null_count() == 0))
            .then(path_pool.first())
            .otherwise(pl.col("pool").first())
            .alias("consumers"),
            pl.col("sound").all(),
            *(pl.when(complete[name]).then(derive_packages(pl.col(f"{name}_part").sum())).alias(name) for name in sums),
            derive_packages(pl.when(fresh).then("level_part").sum()).alias("fresh_level"),
            derive_packages(pl.when(fresh).then("level_part").otherwise("least_part").sum()).alias("proven_level"),
            *(derive_packages(pl.col(f"{name}_part").sum()).alias(f"{name}_level") for name in both),
            pl.col("flow_level").is_not_null().any().alias("parted"),
            pl.col("path").filter(counts).sort().alias("paths"),
            doubted.filter(counts).drop_nulls().sort().str.join(", ").replace("", None).alias("doubted_paths"),
            (pl.col("flow_expired").fill_null(value=True) & flows).any().alias("flow_expired"),
            (pl.col("limits_expired").fill_null(value=True) & has_capacity).any().alias("limits_expired"),
            derive_packages(pl.when(fresh | ~counts).then("capacity_part").sum()).alias("covered_capacity"),
            (fresh | ~counts).all().alias("levels_fresh"),
            (fresh | ~counts | has_capacity).all().alias("coverage_known"),
            counts.any().alias("has_levels"),
            complete["capacity"].alias("limits_known"),
            (flow_fresh.fill_null(value=False) | ~flows).all().alias("flow_fresh"),
            pl.when((here & lane_open).any())
            .then(pl.lit(value=True))
            .when(here.any() & ~(here & lane_open.is_null()).any())
            .then(pl.lit(value=False))
            .alias("is_open"),
            pl.when(has_capacity).then("critical_pull_ts").min().alias("critical_pull_ts"),
        )
        .with_columns(pl.when("sound").then(pl.col(*sums)))
    )


def _add_quality(rows: pl.LazyFrame, policy: Policy) -> pl.LazyFrame:
    """Add what of a unit may be believed: coverage, quality, and the fills that follow."""
    capacity, quality = pl.col("capacity"), pl.col("quality")
    measurable = pl.col("has_levels") & pl.col("coverage_known") & (capacity > 0)
    staffing_fresh = pl.col("staffing_fresh").fill_null(value=False)
    missing = {
        "OCCUPANCY": ~(pl.col("levels_fresh") & pl.col("has_levels")),
        "FLOW": ~pl.col("flow_fresh"),
        "STAFFING": ~staffing_fresh,
        "LIMITS": ~pl.col("limits_known"),
    }
    names = [pl.when(missing[feed]).then(pl.lit(feed)) for feed in schema.FEEDS]
    return (
        rows.with_columns(
            pl.when(measurable).then(pl.col("covered_capacity") / capacity).fill_null(0.0).alias("coverage"),
            pl.concat_str(names, separator=",", ignore_nulls=True).replace("", None).alias("missing_feeds"),
            (pl.col("headcount") * pl.col("units_per_hour") / 60).alias("service_rate"),
            pl.when(capacity > 0).then(pl.col("proven_level") / capacity).alias("proven_fill"),
            *(
                pl.when(pl.col("parted") & (capacity > 0))
                .then(pl.col(f"{name}_level") / capacity)
                .alias(f"{name}_fill")
                for name in ("low", "high")
            ),
        )
        .with_columns(
            pl.when((pl.col("coverage") >= 1) & pl.col("missing_feeds").is_null())
            .then(pl.lit("FRESH"))
            .when(pl.col("coverage") >= policy.quality.degraded_coverage)
            .then(pl.lit("DEGRADED"))
            .otherwise(pl.lit("UNKNOWN"))
            .alias("quality")
        )
        .with_columns(
            pl.when(quality != "UNKNOWN").then(pl.col("fresh_level") / pl.col("covered_capacity")).alias("fill")
        )
    )


# --- over time


def _summarize_past(
    history: pl.DataFrame, members: pl.DataFrame, snapshot_ts: datetime, policy: Policy
) -> pl.LazyFrame:
    """Summarize the levels of the last ticks that may be believed, and what the last one left of each unit.

    A level from before the unit's paths changed is the sum of others: beside those since, it would be a trend.
    """
    oldest = snapshot_ts - timedelta(minutes=policy.suppression.history_minutes)
    at = pl.col("snapshot_ts")
    ticks = {f"level_{ago}": derive_literal(snapshot_ts - ago * TICK) for ago in range(1, policy.trend.points)}
    return (
        history.lazy()
        .filter(at >= derive_literal(oldest), at < derive_literal(snapshot_ts))
        .group_by("unit_id")
        .agg(
            *(pl.when(at == tick).then(_derive_believed_level()).max().alias(name) for name, tick in ticks.items()),
        )
        .join(_select_last_states(history, oldest, snapshot_ts), on="unit_id", how="full", coalesce=True)
        .join(_find_member_changes(members, snapshot_ts), on="unit_id", how="left")
        .with_columns(pl.when(pl.col("changed_ts") <= tick).then(name).alias(name) for name, tick in ticks.items())
    )


def _select_last_states(history: pl.DataFrame, oldest: datetime, snapshot_ts: datetime) -> pl.LazyFrame:
    """Select what the last tick that ran left of each unit."""
    at = pl.col("snapshot_ts")
    before = history.lazy().filter(at >= derive_literal(oldest), at < derive_literal(snapshot_ts))
    last = before.select(at.max()).collect().item()
    return before.filter(at == pl.lit(last, TIMESTAMP)).select(
        "unit_id", *(pl.col(name).alias(f"last_{name}") for name in _STATE)
    )


_STATE: Final = (
    *("unknown_ticks", "outflow_median", "staffed_ticks", "empty_ticks"),
    *("flow_expired_ticks", "staffing_expired_ticks", "limits_expired_ticks"),
)
"""What a tick starts from."""


def _find_member_changes(members: pl.DataFrame, snapshot_ts: datetime) -> pl.LazyFrame:
    """Find when the members of each unit's level last changed, up to a tick: columns unit_id, changed_ts."""
    now = derive_literal(snapshot_ts)
    moments = [pl.when(pl.col(name) <= now).then(name) for name in ("valid_from", "valid_to")]
    return (
        members.lazy()
        .filter(pl.col("role") == "LEVEL")
        .group_by("unit_id")
        .agg(pl.max_horizontal(moments).max().alias("changed_ts"))
    )


def _derive_believed_level() -> pl.Expr:
    """Derive the level if all of it was fresh: a point of the trend."""
    return pl.when(pl.col("coverage") >= 1).then("level")


def _add_trend(rows: pl.LazyFrame, policy: Policy) -> pl.LazyFrame:
    trend = policy.trend
    level, capacity, slope = pl.col("level"), pl.col("capacity"), pl.col("slope")
    net = pl.col("inflow_rate") - pl.col("outflow_rate")
    unknown_before = pl.col("last_unknown_ticks").fill_null(0)
    # Whether anyone is there may be unknown too; a unit that nothing is known of must not stay silent for that.
    counted = pl.col("staffed").fill_null(value=True).cast(pl.Int64)
    return (
        rows.with_columns(_derive_believed_level().alias("level_0"))
        .with_columns(
            pl.when(pl.col("quality") == "FRESH").then(_derive_theil_sen_slope(policy)).alias("slope"),
            pl.when(pl.col("quality") == "FRESH")
            .then((pl.col("level_0") - pl.col("level_1")) / TICK_MINUTES)
            .alias("pace"),
            pl.when(pl.col("quality") == "UNKNOWN").then(unknown_before + counted).otherwise(0).alias("unknown_ticks"),
        )
        .with_columns(
            (slope * net >= 0).alias("trend_agrees"),
            pl.when(slope > 0).then(((trend.full * capacity - level) / slope).clip(0)).alias("minutes_to_overflow"),
            pl.when(slope < 0).then(((level - trend.empty * capacity) / -slope).clip(0)).alias("minutes_to_starvation"),
        )
    )


def _add_usual_outflow(rows: pl.LazyFrame, policy: Policy) -> pl.LazyFrame:
    """Add what usually leaves a unit: the median of the last hour, but for a jam, which must not become usual.

    While next to nothing leaves a unit although packages come, or although it is full, what was usual before stays:
    over a break and a night as well. Ticks of an hour in which it was jammed are left out (decision 0182).
    """
    held, share, full = pl.col("last_outflow_median"), policy.jam.outflow_share, policy.jam.fill
    cells = [pl.col(name) / TICK_MINUTES for name in _list_cells(policy)]
    of_all = join_numbers(cells).list.median()
    at_work = join_numbers(pl.when(cell >= share * held).then(cell) for cell in cells).list.median()
    coming = pl.coalesce(pl.col("inflow") / TICK_MINUTES, "inflow_rate")
    stopped = pl.col("outflow") / TICK_MINUTES < share * held
    stuck = (coming >= share * held) | (pl.col("proven_fill") >= full) | ~pl.col("staffed")
    return rows.with_columns(
        pl.when(held.is_null() | (held <= 0))
        .then(of_all)
        .when(stopped.is_null() | (stopped & stuck.fill_null(value=False)))
        .then(held)
        .when(stopped)
        .then(of_all)
        .otherwise(pl.coalesce(at_work, held))
        .alias("outflow_median")
    )


def _add_counts(rows: pl.LazyFrame, policy: Policy) -> pl.LazyFrame:
    """Add for how many ticks in a row a unit is staffed, is empty, and lacks each feed."""
    # Whether anyone is there may be unknown too; a feed that is silent must not stay so for that.
    staffed = pl.col("staffed").fill_null(value=True)
    empty = (pl.col("fill") <= policy.starvation.act).fill_null(value=False)
    expired = {
        "flow_expired_ticks": pl.col("flow_expired"),
        "staffing_expired_ticks": pl.col("headcount").is_null(),
        "limits_expired_ticks": pl.col("limits_expired"),
    }

    def count(name: str, holds: pl.Expr, step: pl.Expr | int = 1) -> pl.Expr:
        before = pl.col(f"last_{name}").fill_null(0)
        return pl.when(holds).then(before + step).otherwise(0).alias(name)

    return rows.with_columns(
        count("staffed_ticks", staffed),
        count("empty_ticks", empty),
        *(count(name, holds, staffed.cast(pl.Int64)) for name, holds in expired.items()),
    )


def _derive_theil_sen_slope(policy: Policy) -> pl.Expr:
    """Derive the median of the slopes between all pairs of points `level_0`, `level_1`..., which are so many ticks ago.

    Source: P. K. Sen, Estimates of the regression coefficient based on Kendall's tau, Journal of the American
    Statistical Association 63 (1968), 1379-1389.
    """
    points = [f"level_{ago}" for ago in range(policy.trend.points)]
    slopes = [
        (pl.col(points[later]) - pl.col(points[earlier])) / ((earlier - later) * TICK_MINUTES)
        for later, earlier in combinations(range(policy.trend.points), 2)
    ]
    enough = pl.sum_horizontal(pl.col(point).is_not_null() for point in points) >= policy.trend.min_points
    return pl.when(enough).then(join_numbers(slopes).list.median())
