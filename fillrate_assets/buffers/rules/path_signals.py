"""Feeds -> what every path and every pool is at one tick.

What a unit, a verdict or an alert is does not belong here.

Of several rows for one path and time one counts. What cannot be is rejected, and reported. What is left is put on the
5-minute grid: levels and limits as they were last known, flows pro-rated over their windows; nothing is carried
forward beyond its tolerance. An observed level and the one that flows predict become one estimate.

Flows that come minutes late do not make an observed level doubtful: decision 0061.

A feed is None where it could not be read: that takes its own columns to unknown, and nothing else. Rows that the tick
could not have known, with `ingest_ts` after `snapshot_ts`, are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules.grid import (
    MICROS,
    PATH,
    POOL,
    derive_literal,
    derive_millionths,
    derive_packages,
    is_within,
    join_numbers,
)
from fillrate_assets.buffers.rules.level_estimates import count_compared_ticks, estimate_levels, select_previous_state
from fillrate_assets.buffers.rules.policy import TICK_MINUTES, Policy
from fillrate_assets.core.text_columns import format_text

Feed = pl.DataFrame | None
"""Rows of a feed; None if it could not be read."""


class Interval(NamedTuple):
    """What of a flow to count: `column`, from `begin` until `end` minutes before the tick.

    A whole interval is unknown unless windows cover all of it; any other is scaled up from the part that they cover.
    """

    name: str
    column: str
    begin: int
    end: int
    whole: bool


def compute_signals(
    occupancy: Feed,
    flow: Feed,
    limits: Feed,
    previous: pl.DataFrame,
    *,
    snapshot_ts: datetime,
    policy: Policy,
    warehouses: pl.DataFrame,
) -> pl.DataFrame:
    """Compute the state of every path that a feed reports, in active warehouses.

    Args:
        occupancy: `OCCUPANCY`, at least of the last 15 minutes.
        flow: `FLOW`, at least the windows that end in the last 65 minutes.
        limits: `LIMITS`, at least the latest row of each path, if it is not older than a day.
        previous: `SIGNALS` of the tick before; without it, or after a gap, nothing is predicted.
        snapshot_ts: the tick.
        policy: thresholds and windows.
        warehouses: `WAREHOUSES`.

    Returns:
        `SIGNALS`, one row for each path of an active warehouse in any of the feeds.

    """
    limited = _select_limits(limits, snapshot_ts, policy)
    return (
        limited.join(_select_observed(occupancy, limited, snapshot_ts, policy), on=PATH, how="full", coalesce=True)
        .join(_compute_flows(flow, snapshot_ts, policy), on=PATH, how="full", coalesce=True)
        .join(select_active_warehouses(warehouses, snapshot_ts), on="warehouse")
        .join(select_previous_state(previous, snapshot_ts), on=PATH, how="left")
        .pipe(estimate_levels, snapshot_ts, policy)
        .with_columns(
            is_within("flow_ts", snapshot_ts, policy.flow.fresh).alias("flow_fresh"),
            (~is_within("flow_ts", snapshot_ts, policy.flow.expired)).alias("flow_expired"),
            (~is_within("limits_ts", snapshot_ts, policy.backlog.expired)).alias("limits_expired"),
            pl.lit(policy.version).alias("policy_version"),
        )
        .pipe(schema.SIGNALS.conform)
        .sort(schema.SIGNALS.key)
        .collect()
    )


def compute_pools(
    staffing: Feed, shifts: pl.DataFrame, *, snapshot_ts: datetime, policy: Policy, warehouses: pl.DataFrame
) -> pl.DataFrame:
    """Compute who is at work in every pool that the feed or the table of shifts names, in active warehouses.

    The feed decides while it is fresh. While it is stale, a pool is not staffed either when no shift of the table
    is on. After that the table alone decides; of a pool without shifts nothing is known then.

    Args:
        staffing: `STAFFING`, at least of the last 60 minutes.
        shifts: `SHIFTS`.
        snapshot_ts: the tick.
        policy: thresholds and windows.
        warehouses: `WAREHOUSES`.

    Returns:
        `POOLS`; numbers are empty where the feed has expired.

    """
    reported = ["headcount", "headcount_planned", "units_per_hour", "break_from", "break_to"]
    at_work = (
        _select_arrived(staffing, "STAFFING", snapshot_ts)
        .filter(is_within("event_ts", snapshot_ts, policy.staffing.expired))
        .pipe(_select_usable, "STAFFING", policy)
        .group_by(POOL)
        .agg(pl.col(reported).max_by("event_ts"), pl.col("event_ts").max())
    )
    now = derive_literal(snapshot_ts)
    on_break = (pl.col("break_from") <= now) & (now < pl.col("break_to"))
    someone = (pl.col("headcount") > 0) & ~on_break.fill_null(value=False)
    staffed = (
        pl.when("staffing_fresh")
        .then(someone)
        .when(pl.col("event_ts").is_not_null())
        .then(someone & pl.col("on_shift").fill_null(value=True))
        .otherwise("on_shift")
    )
    clocks = select_active_warehouses(warehouses, snapshot_ts)
    return (
        at_work.join(_find_pools_on_shift(shifts, clocks), on=POOL, how="full", coalesce=True)
        .join(clocks, on="warehouse")
        .with_columns(is_within("event_ts", snapshot_ts, policy.staffing.fresh).alias("staffing_fresh"))
        .with_columns(staffed.alias("staffed"))
        .pipe(schema.POOLS.conform)
        .sort(schema.POOLS.key)
        .collect()
    )


def collect_rejects(
    feeds: Mapping[str, Feed],
    paths: pl.DataFrame,
    members: pl.DataFrame,
    *,
    since: datetime | None,
    snapshot_ts: datetime,
    policy: Policy,
    warehouses: pl.DataFrame,
) -> pl.DataFrame:
    """Collect the rows of the feeds that no tick can use, and why; superseded rows are not among them.

    Args:
        feeds: `OCCUPANCY`, `FLOW`, `STAFFING` and `LIMITS` by these names, as the tick reads them.
        paths: `SIGNALS` of the tick, for the capacities that levels are held against.
        members: `UNIT_MEMBERS`: a path that is in none of its warehouse's units is not known.
        since: the tick that ran before: what it could read was reported there. None: everything is reported.
        snapshot_ts: the tick.
        policy: thresholds and windows.
        warehouses: `WAREHOUSES`; nothing is reported of one that is not active.

    Returns:
        `SIGNAL_REJECTS`.

    """
    is_new = pl.lit(value=True) if since is None else pl.col("ingest_ts") > derive_literal(since)
    capacities = paths.lazy().select(*PATH, "capacity")
    known = warehouses.lazy().select("warehouse", "active")
    in_units = (
        members.lazy()
        .select("unit_id", "path")
        .unique()
        .select(
            pl.col("unit_id").str.extract(r"^([^_]*)_").alias("warehouse"), "path", pl.lit(value=True).alias("in_unit")
        )
        .unique()
        .collect()
        .lazy()
    )

    def reject(name: str) -> pl.LazyFrame:
        owner = _get_owner(name)
        faults = [*_list_faults(name, policy), *_list_unknown_owners(name)]
        bad = is_new & _has_fault(faults) & pl.col("active").fill_null(value=True)

        def join_context(rows: pl.LazyFrame) -> pl.LazyFrame:
            rows = rows.join(known, on="warehouse", how="left")
            if owner == "path":
                rows = rows.join(in_units, on=PATH, how="left")
            return rows.join(capacities, on=PATH, how="left") if name == "OCCUPANCY" else rows

        # Bad rows are few, so only the rows that share their time are looked at for a later version.
        rows = _select_arrived(feeds.get(name), name, snapshot_ts)
        key = ["warehouse", owner, "event_ts"]
        keys = rows.filter(is_new).pipe(join_context).filter(bad).select(key).unique()
        contested = rows.join(keys, on=key, how="semi", nulls_equal=True)
        return (
            contested.pipe(_select_latest_versions, name, policy)
            .pipe(join_context)
            .filter(bad)
            .select(
                derive_literal(snapshot_ts).alias("snapshot_ts"),
                pl.lit(name).alias("feed"),
                pl.col("warehouse").fill_null(""),
                pl.col(owner).alias("path"),
                "event_ts",
                pl.coalesce(pl.when(fault).then(words) for fault, words in faults).alias("reason"),
                pl.when(_is_ahead(policy)).then(_derive_ahead_minutes()).alias("ahead_minutes"),
            )
        )

    return (
        pl.concat(reject(name) for name in schema.FEEDS)
        .pipe(schema.SIGNAL_REJECTS.conform)
        .sort(schema.SIGNAL_REJECTS.names)
        .collect()
    )


def select_active_warehouses(warehouses: pl.DataFrame, snapshot_ts: datetime) -> pl.LazyFrame:
    """Select active warehouses as every row of a tick names them: dc, ship_date, snapshot_ts, warehouse; and `local`.

    `local` is the wall time there: a typing error in one row must not stop the others.
    """
    active = warehouses.filter("active")
    zones = active["time_zone"].unique().to_list()
    clocks = pl.LazyFrame(
        {"time_zone": zones, "local": [_convert_to_local(zone, snapshot_ts) for zone in zones]},
        schema={"time_zone": pl.String, "local": pl.Datetime("us")},
    )
    return (
        active.lazy()
        .join(clocks, on="time_zone")
        .select(
            "dc",
            pl.col("local").dt.date().alias("ship_date"),
            derive_literal(snapshot_ts).alias("snapshot_ts"),
            "warehouse",
            "local",
        )
    )


def load_time_zone(time_zone: str) -> ZoneInfo:
    """Load a time zone; UTC where there is none of that name."""
    try:
        return ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # not there, not a name, a folder of zones
        return ZoneInfo("UTC")


def sum_flows(flow: Feed, intervals: Sequence[Interval], *, snapshot_ts: datetime, policy: Policy) -> pl.LazyFrame:
    """Sum the packages that each path counted in each interval, corrections included.

    A window counts in an interval by the share of its minutes that lie in it. Where windows overlap, their mean
    counts: nothing is counted twice. A correction that comes too late does not count.

    Args:
        flow: `FLOW`, at least the windows that end within the intervals.
        intervals: what to count; each makes a column of its name.
        snapshot_ts: the tick.
        policy: thresholds and windows.

    Returns:
        warehouse, path, flow_ts (end of the latest window, at most the tick), and a column for each interval, in
        packages: empty where the interval is unknown.

    """
    reach = max(policy.flow.expired, *(interval.begin for interval in intervals))
    ends, starts = (
        (derive_literal(snapshot_ts) - pl.col(name)).dt.total_microseconds() for name in ("event_ts", "window_start")
    )
    windows = (
        _select_arrived(flow, "FLOW", snapshot_ts)
        .filter(pl.col("event_ts") > derive_literal(snapshot_ts - timedelta(minutes=reach)))
        .pipe(_select_usable, "FLOW", policy)
        .select(*PATH, "event_ts", "inflow", "outflow", ends.alias("ends"), starts.alias("starts"))
    )
    length = pl.col("starts") - pl.col("ends")
    covered = [_derive_overlap(interval).alias(f"{interval.name}_covered") for interval in intervals]
    packages = [
        derive_millionths(pl.col(interval.column) * (pl.col(f"{interval.name}_covered") / length)).alias(interval.name)
        for interval in intervals
    ]
    return (
        windows.with_columns(covered)
        .with_columns(packages)
        .group_by(PATH)
        .agg(
            pl.col("event_ts").max().clip(upper_bound=derive_literal(snapshot_ts)).alias("flow_ts"),
            *(pl.col(interval.name, f"{interval.name}_covered").sum() for interval in intervals),
        )
        .select(*PATH, "flow_ts", *(_derive_scaled(interval) for interval in intervals))
    )


_FRAMES: Final = {
    "OCCUPANCY": schema.OCCUPANCY,
    "FLOW": schema.FLOW,
    "STAFFING": schema.STAFFING,
    "LIMITS": schema.LIMITS,
}
_NUMBERS: Final = {
    "OCCUPANCY": ("level",),
    "FLOW": ("inflow", "outflow"),
    "STAFFING": ("headcount", "headcount_planned", "units_per_hour"),
    "LIMITS": ("capacity", "max_rate", "backlog"),
}

Fault = tuple[pl.Expr, pl.Expr]
"""When a row cannot be used, and the words for it."""


def _convert_to_local(time_zone: str, moment: datetime) -> datetime:
    return moment.astimezone(load_time_zone(time_zone)).replace(tzinfo=None)


# --- which rows count


def _select_arrived(feed: Feed, name: str, snapshot_ts: datetime) -> pl.LazyFrame:
    """Select what a tick at that time could read; a row without a time of arrival is there to be rejected."""
    rows = _FRAMES[name].make_empty() if feed is None else feed.lazy()
    return rows.filter(pl.col("ingest_ts").is_null() | (pl.col("ingest_ts") <= derive_literal(snapshot_ts)))


def _get_owner(name: str) -> str:
    return "pool" if name == "STAFFING" else "path"


def _select_latest_versions(rows: pl.LazyFrame, name: str, policy: Policy) -> pl.LazyFrame:
    """Select one row per path or pool and time: the greatest src_seq, then ingest_ts, then content; never arrival.

    A flow that was corrected too late counts as it did in time, if it did. What a clock that is ahead dates to a time
    takes nothing from a row of that time.
    """
    key = ["warehouse", _get_owner(name), "event_ts"]
    # Equal keys have equal hashes, so only the rows whose hash repeats need the exact and slower ordering.
    repeats = pl.struct(key).hash().is_duplicated() & pl.col("event_ts").is_not_null()
    marked = rows.with_columns(repeats.alias("repeats")).collect()
    repeated = marked.filter("repeats")
    if repeated.is_empty():
        return marked.lazy()
    delay = pl.col("ingest_ts") - pl.col("event_ts")
    in_time = [delay <= timedelta(minutes=policy.flow_correction_minutes)] if name == "FLOW" else []
    content = [column for column in _FRAMES[name].names if column not in {*key, "src_seq", "ingest_ts"}]
    decided = repeated.sort(*key, ~_is_ahead(policy), *in_time, "src_seq", "ingest_ts", *content).filter(
        pl.struct(key).is_last_distinct()
    )
    return pl.concat([marked.lazy().filter(~pl.col("repeats")), decided.lazy()])


def _select_usable(rows: pl.LazyFrame, name: str, policy: Policy) -> pl.LazyFrame:
    return rows.pipe(_select_latest_versions, name, policy).filter(~_has_fault(_list_faults(name, policy)))


def _is_ahead(policy: Policy) -> pl.Expr:
    """Return whether a row is dated after it arrived: it never counts, also when its time has come (decision 0180)."""
    return pl.col("event_ts") > pl.col("ingest_ts") + timedelta(minutes=policy.max_clock_ahead_minutes)


def _derive_ahead_minutes() -> pl.Expr:
    return (pl.col("event_ts") - pl.col("ingest_ts")).dt.total_minutes(fractional=True)


def format_skew(minutes: pl.Expr) -> pl.Expr:
    """Format by how much a clock is ahead: a row takes minutes to arrive, so near a whole hour it is whole hours."""
    near = (minutes + _SLOWEST_MINUTES) % 60 <= _SLOWEST_MINUTES + 1
    hours = ((minutes + _SLOWEST_MINUTES) / 60).floor().cast(pl.Int64)
    return (
        pl.when(near & (hours >= 1))
        .then(format_text("{} h (is this local time?)", hours))
        .otherwise(format_text("{} min", minutes.round(0).cast(pl.Int64)))
    )


_SLOWEST_MINUTES: Final = 5
"""What a row takes at most to arrive, as far as naming a skew goes."""


def _has_fault(faults: Sequence[Fault]) -> pl.Expr:
    return pl.any_horizontal(fault.fill_null(value=False) for fault, _ in faults)


def _list_faults(name: str, policy: Policy) -> list[Fault]:
    """List why a row of the feed cannot be used, most specific first; rows of OCCUPANCY need the path's `capacity`."""
    faults: list[Fault] = [
        (pl.col("problem").is_not_null(), pl.col("problem")),
        *_require("event_ts", "event time"),
        *_require("ingest_ts", "time of arrival"),
        (
            _is_ahead(policy),
            format_text("event time is after its arrival, by {}", format_skew(_derive_ahead_minutes())),
        ),
    ]
    for number in _NUMBERS[name]:
        words = number.replace("_", " ")
        faults.append((~pl.col(number).is_finite(), pl.lit(f"{words} is not a number")))
        faults.append((pl.col(number) < 0, format_text("{} is below 0: {}", pl.lit(words), number)))
    match name:
        case "OCCUPANCY":
            most = policy.fusion.max_level_share
            too_much = format_text(f"level is above {most} of capacity: {{}} of {{}}", "level", "capacity")
            faults += [*_require("level", "level"), (pl.col("level") > most * pl.col("capacity"), too_much)]
        case "FLOW":
            nothing = pl.col("inflow").is_null() & pl.col("outflow").is_null()
            backwards = pl.col("window_start") >= pl.col("event_ts")
            faults += [
                (nothing, pl.lit("no inflow and no outflow")),
                *_require("window_start", "begin of the window"),
                (backwards, pl.lit("window does not begin before it ends")),
            ]
        case "STAFFING":
            backwards = pl.col("break_from") > pl.col("break_to")
            faults += [*_require("headcount", "headcount"), (backwards, pl.lit("break ends before it begins"))]
        case _:
            faults.append((pl.col("capacity") == 0, pl.lit("capacity is 0")))
    return faults


def _require(column: str, words: str) -> list[Fault]:
    return [(pl.col(column).is_null(), pl.lit(f"no {words}"))]


def _list_unknown_owners(name: str) -> list[Fault]:
    """List faults of rows whose warehouse or path is unknown; `active` and `in_unit` are empty there."""
    owner = _get_owner(name)
    nameless = pl.col(owner).fill_null("").str.strip_chars() == ""
    unknown = format_text("warehouse {} is not in the table of warehouses", pl.col("warehouse").fill_null("(empty)"))
    faults: list[Fault] = [(pl.col("active").is_null(), unknown), (nameless, pl.lit(f"no {owner}"))]
    if owner == "path":
        faults.append((pl.col("in_unit").is_null(), pl.lit("path is in no unit: add it to unit_member")))
    return faults


# --- on the grid


def _select_limits(limits: Feed, snapshot_ts: datetime, policy: Policy) -> pl.LazyFrame:
    """Select what each path can take and what waits for it, by column: a change may name only some."""
    lasting, passing = ["capacity", "max_rate", "lane_open"], ["backlog", "critical_pull_ts"]
    return (
        _select_arrived(limits, "LIMITS", snapshot_ts)
        .filter(is_within("event_ts", snapshot_ts, policy.capacity.expired))
        .pipe(_select_usable, "LIMITS", policy)
        .with_columns(pl.when(is_within("event_ts", snapshot_ts, policy.backlog.expired)).then(pl.col(passing)))
        .group_by(PATH)
        .agg(
            *(pl.col(name).max_by(_derive_reported_ts(name)) for name in (*lasting, *passing)),
            pl.col("event_ts").max().alias("limits_ts"),
        )
        .collect()
        .lazy()
    )


def _derive_reported_ts(name: str) -> pl.Expr:
    return pl.when(pl.col(name).is_not_null()).then("event_ts")


def _select_observed(occupancy: Feed, limited: pl.LazyFrame, snapshot_ts: datetime, policy: Policy) -> pl.LazyFrame:
    """Select the latest level of each path within its tolerance, and its time."""
    return (
        _select_arrived(occupancy, "OCCUPANCY", snapshot_ts)
        .filter(is_within("event_ts", snapshot_ts, policy.occupancy.expired))
        .join(limited.select(*PATH, "capacity"), on=PATH, how="left")
        .pipe(_select_usable, "OCCUPANCY", policy)
        .group_by(PATH)
        .agg(pl.col("level").max_by("event_ts").alias("observed"), pl.col("event_ts").max().alias("observed_ts"))
    )


def _compute_flows(flow: Feed, snapshot_ts: datetime, policy: Policy) -> pl.LazyFrame:
    """Compute what each path counted lately: its latest whole ticks, rates, and outflow per tick of the last hour.

    `gained` is what came in less what went out in the 5 minutes before the tick, empty unless both are wholly known.
    `late_gain_0` and on are that for each 5 minutes that may have become known since the tick before, latest first, and
    `passed` is about all that flowed in the time that levels are held against.
    """
    minutes, ticks = policy.trend.net_minutes, policy.trend.outflow_median_minutes // TICK_MINUTES
    fresh = 1 + int(policy.flow.fresh // TICK_MINUTES)

    def list_cells(column: str, count: int) -> list[Interval]:
        return [
            Interval(f"{column}_{ago}", column, (ago + 1) * TICK_MINUTES, ago * TICK_MINUTES, whole=True)
            for ago in range(count)
        ]

    compared = count_compared_ticks(policy)
    inflows, outflows = list_cells("inflow", fresh), list_cells("outflow", max(fresh, ticks))
    gains = [pl.col(into.name) - pl.col(out.name) for into, out in zip(inflows, outflows[:fresh], strict=True)]
    rates = [Interval(f"{name}_rate", name, minutes, 0, whole=False) for name in ("inflow", "outflow")]
    return sum_flows(flow, [*inflows, *outflows, *rates], snapshot_ts=snapshot_ts, policy=policy).select(
        *(*PATH, "flow_ts"),
        pl.coalesce(cell.name for cell in inflows[:fresh]).alias("inflow"),
        pl.coalesce(cell.name for cell in outflows[:fresh]).alias("outflow"),
        (pl.col(inflows[0].name) - pl.col(outflows[0].name)).alias("gained"),
        derive_packages(pl.col("inflow_rate", "outflow_rate") * (MICROS / minutes)),
        join_numbers(cell.name for cell in outflows[:ticks]).alias("outflows"),
        *(each.alias(f"late_gain_{ago}") for ago, each in enumerate(gains)),
        (2 * pl.sum_horizontal(cell.name for cell in outflows[:compared])).alias("passed"),
    )


def _derive_overlap(interval: Interval) -> pl.Expr:
    """Derive the microseconds of the interval that a window covers, if it counted the column."""
    begin, end = (minutes * 60 * MICROS for minutes in (interval.begin, interval.end))
    within = pl.col("starts").clip(end, begin) - pl.col("ends").clip(end, begin)
    return pl.when(pl.col(interval.column).is_not_null()).then(within)


def _derive_scaled(interval: Interval) -> pl.Expr:
    """Derive packages in the interval, from the millionths that were counted in what windows cover of it."""
    covered, length = pl.col(f"{interval.name}_covered"), (interval.begin - interval.end) * 60 * MICROS
    enough = covered >= length if interval.whole else covered > 0
    return pl.when(enough).then(derive_packages(pl.col(interval.name) * (length / covered))).alias(interval.name)


def _find_pools_on_shift(shifts: pl.DataFrame, clocks: pl.LazyFrame) -> pl.LazyFrame:
    """Find whether a pool works now by the table: columns warehouse, pool, on_shift."""
    today, time = pl.col("local").dt.weekday(), pl.col("local").dt.time()
    over_midnight = pl.col("ends") <= pl.col("starts")
    since_today = (pl.col("weekday") == today) & (pl.col("starts") <= time) & (over_midnight | (time < pl.col("ends")))
    since_yesterday = over_midnight & (pl.col("weekday") % 7 + 1 == today) & (time < pl.col("ends"))
    return (
        shifts.lazy()
        .join(clocks, on="warehouse")
        .group_by(POOL)
        .agg((since_today | since_yesterday).any().alias("on_shift"))
    )
