"""Operational units -> verdicts: each unit by itself, the rules in the order in which they are tried.

What is compared are bounds of the fill, which is exact where all data are fresh: a unit is in danger if even the least
that it can hold says so, and clear if even the most does. Of an UNKNOWN unit only the least is proven, so it may
alert but is never clear. Only of FRESH units is there a trend and a quantity.

What the design leaves open is in decisions 0062 and 0063. Quantities belong to `recommendation_sizing`, conflicts
between units to `conflict_resolution`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final, Literal

import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules.path_signals import format_skew
from fillrate_assets.buffers.rules.policy import TICK_MINUTES, Lane, Overflow, Policy, Starvation
from fillrate_assets.buffers.rules.recommendation_sizing import (
    DIGITS,
    GROUP,
    NEEDS_ACTION,
    derive_evidence,
    derive_tenths,
    find_throttles,
    format_unit_name,
    hold_throttles,
    name_consumers,
    size_recommendations,
)
from fillrate_assets.buffers.rules.shared_paths import find_within
from fillrate_assets.core.text_columns import format_text

DATA_POOL: Final = "DATA"


def compute_verdicts(
    units: pl.DataFrame, pools: pl.DataFrame, rejects: pl.DataFrame, history: pl.DataFrame, *, policy: Policy
) -> pl.DataFrame:
    """Compute what every unit is in each direction that its type can fail in, why, and what to do about it.

    Args:
        units: `UNIT_TIMESERIES` of one tick; what needs earlier ticks rides on its rows.
        pools: `POOLS` of the same tick, also those without a unit.
        rejects: `SIGNAL_REJECTS` of the last hour, for the clocks that are ahead.
        history: `RECOMMENDATIONS` of the 30 minutes before the tick, of the units that were throttled.
        policy: every threshold.

    Returns:
        `VERDICTS_OF_UNITS`, sorted by its key.

    """
    inputs = add_rule_inputs(name_consumers(units), policy=policy)
    verdicts = pl.concat([_apply_branch(inputs, branch, policy) for branch in build_branches(policy)], how="diagonal")
    verdicts = verdicts.join(find_throttles(history), on=["unit_id", "direction"], how="left")
    verdicts = _add_named_units(verdicts, inputs, policy)
    parts = [hold_throttles(verdicts, policy=policy)]
    if parts[0].height < verdicts.height:
        parts.append(size_recommendations(verdicts, inputs, pools, policy=policy))
    own_pool = pl.col("named_pool").alias("pool")
    explained = [frame.with_columns(_format_explanation().alias("explanation"), own_pool) for frame in parts]
    rows = [
        frame.lazy().pipe(_conform, policy) for frame in (*explained, _compute_data_verdicts(units, rejects, policy))
    ]
    return pl.concat(rows).collect().sort("unit_id", "direction")


# --- what the rules look at


@dataclass(frozen=True)
class Signal:
    """How a number that rules look at reads; without {} neither it nor its limit is printed."""

    text: str
    missing: str = ""
    scale: float = 1
    unit: str = ""


_FILL: Final = Signal("{} % full", "fill not known", 100, " %")
SIGNALS: Final = {
    "least_fill": _FILL,
    "most_fill": _FILL,
    "low_bound": _FILL,
    "high_bound": _FILL,
    "minutes_to_overflow": Signal("overflows in {} min", unit=" min"),
    "minutes_to_starvation": Signal("runs empty in {} min", unit=" min"),
    "trusted_overflow": Signal("overflows in {} min", unit=" min"),
    "paced_starvation": Signal("runs empty in {} min at its present pace", unit=" min"),
    "outflow_share_of_usual": Signal("only {} % of what usually leaves it does", scale=100, unit=" %"),
    "outflow_share_of_capability": Signal(
        "its people have {} % of what they could take", "what its people take is not known", 100, " %"
    ),
    "empty_minutes": Signal("so for {} min", unit=" min"),
    "gap": Signal("{} points fuller than the median of its group", scale=100, unit=" points"),
    "emptiest": Signal("a sibling is {} % full", scale=100, unit=" %"),
    "emptiest_closed": Signal("a closed sibling is {} % full", scale=100, unit=" %"),
    "open_siblings": Signal("no sibling is open"),
    "not_closed": Signal("not closed"),
    "staffed": Signal("not staffed"),
    "in_use": Signal("not staffed, and nothing comes in"),
}


def add_rule_inputs(units: pl.DataFrame, *, policy: Policy) -> pl.DataFrame:
    """Add what the rules look at to `UNIT_TIMESERIES` of one tick, named as in `SIGNALS`; null where not to be used."""
    known, fresh = pl.col("quality") != "UNKNOWN", pl.col("quality") == "FRESH"
    staffed, works = pl.col("staffed"), pl.col("staffed").fill_null(value=True)
    trusted = fresh & pl.col("trend_agrees").fill_null(value=True)
    least = pl.when(known).then(pl.coalesce("fill", "proven_fill")).otherwise("proven_fill")
    most = pl.when(known).then(pl.coalesce("fill", pl.col("proven_fill") + 1 - pl.col("coverage")))
    outflow = pl.col("outflow") / TICK_MINUTES
    usual, capability = pl.col("outflow_median"), pl.col("service_rate")
    # That a sensor is doubted says nothing against what is counted at the exit.
    judged = known | pl.col("doubted_paths").is_not_null()
    net = pl.col("inflow_rate") - pl.col("outflow_rate")
    falls = (pl.col("pace") < 0) & (net <= 0).fill_null(value=True)
    back = (pl.col("staffed_ticks") >= policy.jam.staffed_ticks).fill_null(value=True)
    coming = pl.coalesce(pl.col("inflow") / TICK_MINUTES, "inflow_rate")
    # Flows come minutes late; a level that falls shows sooner how little comes in.
    shown = (pl.col("outflow_rate") + pl.col("pace")).clip(0)
    within_reach = pl.min_horizontal(coming, shown) + pl.col("level") / policy.trend.net_minutes
    sustained = pl.when(pl.col("outflow_rate").is_not_null()).then(pl.min_horizontal("outflow_rate", within_reach))
    lanes = pl.col("unit_type").is_in(["PACK", "LANE"])
    takes = lanes & known & pl.col("is_open").fill_null(value=False)
    in_group = pl.when("takes").then("least_fill")
    closed = pl.when(lanes & known & pl.col("is_open").eq(other=False)).then("least_fill")
    return units.with_columns(
        least.round(DIGITS).alias("least_fill"),
        most.round(DIGITS).alias("most_fill"),
        # Where sensors and flows part, neither alone shows that a problem is over.
        pl.when(least.is_not_null()).then(pl.min_horizontal(least, "low_fill")).round(DIGITS).alias("low_bound"),
        pl.when(most.is_not_null()).then(pl.max_horizontal(most, "high_fill")).round(DIGITS).alias("high_bound"),
        pl.when(fresh).then("minutes_to_overflow").alias("minutes_to_overflow"),
        pl.when(fresh).then("minutes_to_starvation").alias("minutes_to_starvation"),
        pl.when(trusted).then("minutes_to_overflow").alias("trusted_overflow"),
        pl.when(fresh & falls).then(_derive_minutes_to_empty(policy)).alias("paced_starvation"),
        pl.when(judged & works & back & (usual > 0))
        .then(outflow / usual)
        .round(DIGITS)
        .alias("outflow_share_of_usual"),
        pl.when(known & (capability > 0))
        .then(sustained / capability)
        .round(DIGITS)
        .alias("outflow_share_of_capability"),
        staffed.cast(pl.Float64),
        pl.col("is_open").ne_missing(pl.lit(value=False)).cast(pl.Float64).alias("not_closed"),
        (pl.col("empty_ticks") * TICK_MINUTES).cast(pl.Float64).alias("empty_minutes"),
        (works | (pl.col("inflow_rate") > 0).fill_null(value=False)).cast(pl.Float64).alias("in_use"),
        takes.alias("takes"),
        pl.when(pl.col("units_per_hour") > 0).then("units_per_hour").alias("units_per_hour"),
    ).with_columns(
        (pl.col("least_fill") - in_group.median().over(GROUP)).round(DIGITS).alias("gap"),
        in_group.min().over(GROUP).alias("emptiest"),
        pl.when("takes").then(closed.min().over(GROUP)).alias("emptiest_closed"),
        (pl.col("takes").sum().over(GROUP).cast(pl.Float64) - pl.col("takes")).alias("open_siblings"),
    )


def _derive_minutes_to_empty(policy: Policy) -> pl.Expr:
    """Derive the minutes until a unit is empty if it goes on as in the last 5 minutes."""
    return ((pl.col("level") - policy.trend.empty * pl.col("capacity")) / -pl.col("pace")).clip(0)


# --- the rules


@dataclass(frozen=True)
class Condition:
    """One comparison; it fails where its signal is missing, unless its test is "missing"."""

    signal: str
    test: Literal[">=", ">", "<=", "<", "missing"]
    threshold: float = 0

    def is_met(self) -> pl.Expr:
        """Return whether it holds."""
        value = pl.col(self.signal)
        outcome = {
            ">=": value >= self.threshold,
            ">": value > self.threshold,
            "<=": value <= self.threshold,
            "<": value < self.threshold,
            "missing": value.is_null(),
        }[self.test]
        return outcome.fill_null(value=False)

    def derive_evidence(self) -> pl.Expr:
        """Derive one element of `EVIDENCE`; the margin is at least 0 where it holds."""
        if self.test == "missing":
            return derive_evidence(self.signal, pl.col(self.signal))
        beyond = pl.col(self.signal) - self.threshold
        return derive_evidence(
            self.signal, pl.col(self.signal), self.threshold, beyond if self.test in {">=", ">"} else -beyond
        )

    def format_limit(self) -> str:
        """Format its threshold as people read it."""
        signal = SIGNALS[self.signal]
        return f"{self.threshold * signal.scale:g}{signal.unit}"


@dataclass(frozen=True)
class Rule:
    """A verdict and when it holds; `shown` is what a row of it shows, unless that is `when`."""

    rule_id: str
    verdict: str
    when: tuple[Condition, ...]
    shown: tuple[Condition, ...] = ()

    @property
    def shown_conditions(self) -> tuple[Condition, ...]:
        """The conditions that its rows store and print."""
        return self.shown or self.when

    @cached_property
    def evidence(self) -> pl.Expr:
        """What its rows store of the conditions that they show."""
        return pl.concat_list(condition.derive_evidence() for condition in self.shown_conditions)

    @cached_property
    def because(self) -> pl.Expr:
        """The conditions that its rows show, in words."""
        return format_text("{}: {}.", format_unit_name("unit_id"), _format_clauses(self.shown_conditions))


@dataclass(frozen=True)
class Branch:
    """The rules of some unit types in one direction, the first that holds decides; the last one always holds."""

    unit_types: tuple[str, ...]
    direction: str
    action: str
    rules: tuple[Rule, ...]

    @cached_property
    def deciding_rule_id(self) -> pl.Expr:
        """The rule_id of the first rule that holds, over `add_rule_inputs`."""
        return pl.coalesce(
            pl.when(pl.all_horizontal(pl.lit(value=True), *[condition.is_met() for condition in rule.when])).then(
                pl.lit(rule.rule_id)
            )
            for rule in self.rules
        )


@lru_cache(maxsize=8)
def build_branches(policy: Policy) -> tuple[Branch, ...]:
    """Build branches A (TOTAL), B (INDUCT) and C (PACK, LANE)."""
    return (
        Branch(("TOTAL",), "OVERFLOW", "MOVE_STAFF", _build_total_overflow(policy.total)),
        Branch(("TOTAL",), "STARVATION", "MOVE_STAFF", _build_total_starvation(policy.starvation)),
        Branch(("INDUCT",), "OVERFLOW", "THROTTLE", _build_induct_overflow(policy)),
        Branch(("PACK", "LANE"), "OVERFLOW", "REBALANCE", _build_lane_overflow(policy.lane)),
    )


def _build_total_overflow(limit: Overflow) -> tuple[Rule, ...]:
    act = Condition("least_fill", ">=", limit.act)
    return (
        Rule("A-OVERFLOW-NOT-STAFFED", "NOT_STAFFED", (Condition("in_use", "<=", 0),)),
        Rule("A-OVERFLOW-EMERGENCY", "EMERGENCY", (Condition("least_fill", ">=", limit.emergency),)),
        Rule("A-OVERFLOW-FULL", "ACT", (act,)),
        Rule("A-OVERFLOW-SOON", "ACT", _require_overflow_soon(limit)),
        Rule("A-OVERFLOW-WARN", "WARN", _require_overflow_possible(limit)),
        *_build_fallback("A-OVERFLOW", act, Condition("high_bound", "<", limit.clear)),
    )


def _build_total_starvation(limit: Starvation) -> tuple[Rule, ...]:
    act = Condition("most_fill", "<=", limit.act)
    idle = Condition("outflow_share_of_capability", "<", limit.outflow_share)
    unknown, blind = Condition("outflow_share_of_capability", "missing"), limit.blind_ticks * TICK_MINUTES
    known = Condition("outflow_share_of_capability", ">=", 0)
    soon = Condition("most_fill", "<=", limit.warn)
    ahead = (
        Condition("most_fill", "<=", limit.act_soon),
        Condition("paced_starvation", "<=", limit.act_soon_minutes),
        Condition("outflow_share_of_capability", "<", limit.soon_outflow_share),
    )
    return (
        Rule("A-STARVATION-NOT-STAFFED", "NOT_STAFFED", (Condition("staffed", "<=", 0),)),
        Rule("A-STARVATION-DRY", "ACT", (Condition("most_fill", "<=", limit.dry), known)),
        Rule("A-STARVATION-EMPTY", "ACT", (act, idle)),
        Rule("A-STARVATION-SOON", "ACT", ahead),
        Rule("A-STARVATION-BLIND", "ACT", (act, unknown, Condition("empty_minutes", ">=", blind))),
        Rule("A-STARVATION-WARN", "WARN", (soon, Condition("minutes_to_starvation", "<=", limit.warn_minutes))),
        Rule("A-STARVATION-UNCONFIRMED", "WARN", (act, unknown)),
        *_build_fallback("A-STARVATION", act, Condition("low_bound", ">", limit.clear)),
    )


def _build_induct_overflow(policy: Policy) -> tuple[Rule, ...]:
    limit, jam = policy.induct, policy.jam
    act = Condition("least_fill", ">=", limit.act)
    jammed = (Condition("least_fill", ">=", jam.fill), Condition("outflow_share_of_usual", "<", jam.outflow_share))
    return (
        Rule("B-NOT-STAFFED", "NOT_STAFFED", (Condition("in_use", "<=", 0),)),
        Rule("B-EMERGENCY", "EMERGENCY", (Condition("least_fill", ">=", limit.emergency),)),
        Rule("B-JAM", "EMERGENCY", jammed),
        Rule("B-FULL", "ACT", (act,)),
        Rule("B-SOON", "ACT", _require_overflow_soon(limit)),
        Rule("B-WARN", "WARN", _require_overflow_possible(limit)),
        *_build_fallback("B", act, Condition("high_bound", "<", limit.clear)),
    )


def _build_lane_overflow(limit: Lane) -> tuple[Rule, ...]:
    act = Condition("least_fill", ">=", limit.act)
    lone, is_open = Condition("open_siblings", "<=", 0), Condition("not_closed", ">", 0)
    nearly = Condition("least_fill", ">=", limit.full)
    bursting = Condition("least_fill", ">=", limit.emergency)
    uneven = (act, Condition("gap", ">=", limit.gap), Condition("emptiest", "<=", limit.sibling))
    return (
        Rule("C-NOT-STAFFED", "NOT_STAFFED", (Condition("in_use", "<=", 0),)),
        Rule("C-ALONE", "EMERGENCY", (bursting, lone)),
        Rule("C-UNEVEN", "ACT", uneven),
        Rule("C-FULL", "ACT", (nearly, Condition("emptiest_closed", "<=", limit.sibling))),
        Rule("C-LONE", "ACT", (nearly, lone, is_open)),
        Rule("C-CROWDED", "ACT", (bursting, is_open)),
        Rule("C-WARN", "WARN", _require_overflow_possible(limit)),
        *_build_fallback("C", act, Condition("high_bound", "<", limit.clear)),
    )


def _require_overflow_soon(limit: Overflow) -> tuple[Condition, ...]:
    return (
        Condition("least_fill", ">=", limit.act_soon),
        Condition("trusted_overflow", "<=", limit.act_soon_minutes),
    )


def _require_overflow_possible(limit: Overflow | Lane) -> tuple[Condition, ...]:
    return Condition("least_fill", ">=", limit.warn), Condition("minutes_to_overflow", "<=", limit.warn_minutes)


def _build_fallback(branch: str, act: Condition, clear: Condition) -> tuple[Rule, ...]:
    return (
        Rule(f"{branch}-UNKNOWN", "UNKNOWN", (Condition("most_fill", "missing"),)),
        Rule(f"{branch}-CLEAR", "CLEAR", (clear,)),
        Rule(f"{branch}-HYSTERESIS", "HYSTERESIS", (), (act, clear)),
    )


def _apply_branch(rows: pl.DataFrame, branch: Branch, policy: Policy) -> pl.DataFrame:
    """Add the verdict to each unit that the branch is for, with what it looked at, as numbers and in words."""
    rows = rows.filter(pl.col("unit_type").is_in(branch.unit_types)).with_columns(
        branch.deciding_rule_id.alias("rule_id"),
        pl.lit(branch.direction).alias("direction"),
        pl.lit(branch.action).alias("usual_action"),
        _derive_minutes_left(branch.direction, policy).alias("minutes_left"),
    )
    # By rule, since the clauses are the rule's own; most ticks have rows of a few rules only.
    by_rule = rows.partition_by("rule_id", as_dict=True) or {(branch.rules[0].rule_id,): rows}
    return pl.concat(
        by_rule[rule.rule_id,].with_columns(
            pl.lit(rule.verdict).alias("verdict"),
            rule.evidence.alias("evidence"),
            rule.because.alias("because"),
        )
        for rule in branch.rules
        if (rule.rule_id,) in by_rule
    )


def _derive_minutes_left(direction: str, policy: Policy) -> pl.Expr:
    """Derive the minutes until a unit is full, or empty; 0 while it is, empty beyond the horizon."""
    trend = policy.trend
    overflow = (pl.col("least_fill") >= trend.full, pl.col("minutes_to_overflow"))
    soonest = pl.min_horizontal("minutes_to_starvation", "paced_starvation")
    is_now, ahead = overflow if direction == "OVERFLOW" else (pl.col("most_fill") <= trend.empty, soonest)
    return pl.when(is_now).then(0.0).when(ahead <= trend.horizon_minutes).then(ahead.clip(1))


def _add_named_units(verdicts: pl.DataFrame, units: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Add to rows that request an action the units within them that have the problem, the worst first.

    A unit has it if it requests an action itself, or is nearly full, or empty.
    """
    trend = policy.trend
    wide = verdicts.filter(NEEDS_ACTION, pl.col("unit_type") == "TOTAL")
    if wide.is_empty():
        return verdicts.with_columns(pl.lit(None, pl.String).alias("named_units"))
    requests = verdicts.filter(NEEDS_ACTION).select("unit_id", "direction", pl.lit(value=True).alias("requests"))
    ends = {
        "OVERFLOW": (pl.col("least_fill") >= round(trend.full - trend.named_within, DIGITS), pl.col("least_fill")),
        "STARVATION": (pl.col("most_fill") <= round(trend.empty + trend.named_within, DIGITS), -pl.col("most_fill")),
    }
    narrow = units.join(wide.select("warehouse").unique(), on="warehouse", how="semi")
    troubled = pl.concat(
        narrow.with_columns(pl.lit(direction).alias("direction"))
        .join(requests, on=["unit_id", "direction"], how="left")
        .filter(pl.col("requests").fill_null(value=False) | is_end.fill_null(value=False))
        .select("unit_id", "direction", badness.alias("badness"))
        for direction, (is_end, badness) in ends.items()
    )
    pairs = find_within(wide.unique("unit_id"), narrow).filter(~pl.col("equal"))
    named = (
        pairs.join(troubled, on="unit_id")
        .sort("outer", "direction", "badness", "unit_id", descending=[False, False, True, False], nulls_last=True)
        .group_by("outer", "direction", maintain_order=True)
        .agg(pl.col("unit_id").str.join(", ").alias("named_units"))
        .rename({"outer": "unit_id"})
    )
    return verdicts.join(named, on=["unit_id", "direction"], how="left").with_columns(
        pl.when(NEEDS_ACTION).then("named_units").alias("named_units")
    )


# --- what could not be known


_EXPIRED: Final = {feed: f"{feed.lower()}_expired_ticks" for feed in schema.FEEDS[1:]}
"""For how many ticks a unit lacks a feed; without the first one it is UNKNOWN."""


def _compute_data_verdicts(units: pl.DataFrame, rejects: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Compute one row per warehouse and feed: which units it lets down, how, and for how long.

    A unit is UNKNOWN for want of it, or the feed has expired for the unit, or the unit's sensors are doubted.
    """
    minimum = policy.quality.data_alert_ticks
    unknown = units.filter(pl.col("quality") == "UNKNOWN")
    # A level is what makes a unit UNKNOWN, whatever the reason for which no feed is named.
    feeds = pl.col("missing_feeds").replace("", None).fill_null("OCCUPANCY").str.split(",")
    silent = [
        units.filter(pl.col(name) > 0).select(
            "warehouse", "unit_id", pl.col(name).alias("unknown_ticks"), pl.lit(feed).alias("feed")
        )
        for feed, name in _EXPIRED.items()
    ]
    # The readings that make a sensor doubtful go back long enough.
    doubted = units.filter(pl.col("doubted_paths").is_not_null()).select(
        "warehouse",
        "unit_id",
        pl.max_horizontal("unknown_ticks", minimum).alias("unknown_ticks"),
        pl.lit("OCCUPANCY").alias("feed"),
    )
    blamed = (
        pl.concat(
            [
                unknown.select("warehouse", "unit_id", "unknown_ticks", feeds.alias("feed"))
                .explode("feed", empty_as_null=True, keep_nulls=True)
                .with_columns(pl.col("feed").str.strip_chars()),
                *silent,
                doubted,
            ],
            how="vertical_relaxed",
        )
        .group_by("warehouse", "feed")
        .agg(pl.col("unit_id").n_unique().alias("unknown_units"), pl.col("unknown_ticks").max())
        .join(_name_doubted(units), on=["warehouse", "feed"], how="left")
        .join(_name_skews(rejects), on=["warehouse", "feed"], how="left")
    )
    known = units.group_by("warehouse").agg(pl.col("dc", "ship_date", "snapshot_ts").min(), pl.len().alias("all_units"))
    ticks, subject = pl.col("unknown_ticks"), format_text("{}: {} of {} units", "feed", "unknown_units", "all_units")
    act = ticks >= minimum
    return (
        known.join(pl.DataFrame({"feed": schema.FEEDS}), how="cross")
        .join(blamed, on=["warehouse", "feed"], how="left")
        .with_columns(pl.col("unknown_ticks", "unknown_units").fill_null(0))
        .with_columns(
            format_text("{}_{}_{}", "warehouse", pl.lit(DATA_POOL), "feed").alias("unit_id"),
            pl.lit(DATA_POOL).alias("pool"),
            pl.lit("TOTAL").alias("unit_type"),
            pl.lit("DATA").alias("direction"),
            _derive_feed_value(act, "ACT", "HYSTERESIS", "CLEAR").alias("verdict"),
            _derive_feed_value(act, "DATA-UNKNOWN", "DATA-HYSTERESIS", "DATA-CLEAR").alias("rule_id"),
            _derive_feed_value(act, "UNKNOWN", "UNKNOWN", "FRESH").alias("quality"),
            pl.when(act).then(pl.lit("CHECK_DATA")).alias("action"),
            pl.concat_list(
                derive_evidence("unknown_ticks", ticks, minimum, (ticks - minimum).cast(pl.Float64)),
                derive_evidence("unknown_units", pl.col("unknown_units")),
                derive_evidence("units", pl.col("all_units")),
            ).alias("evidence"),
            pl.when(pl.col("unknown_units") > 0)
            .then(
                pl.concat_str(
                    format_text(
                        "{} cannot be known, for up to {} staffed min (limit {} min).",
                        *(subject, ticks * TICK_MINUTES, pl.lit(minimum * TICK_MINUTES)),
                    ),
                    format_text("Sensors in doubt: {}.", "doubted"),
                    format_text("Its clock is ahead by {}.", "skew"),
                    separator=" ",
                    ignore_nulls=True,
                )
            )
            .otherwise(format_text("{}: no unit is unknown for want of it.", "feed"))
            .alias("explanation"),
        )
    )


def _name_doubted(units: pl.DataFrame) -> pl.DataFrame:
    """Name the paths whose sensors are doubted: columns warehouse, feed, doubted."""
    names = pl.col("doubted_paths").str.split(", ")
    return (
        units.filter(pl.col("doubted_paths").is_not_null())
        .select("warehouse", names.alias("doubted"))
        .explode("doubted", empty_as_null=True, keep_nulls=True)
        .group_by("warehouse")
        .agg(pl.col("doubted").unique().sort().str.join(", "))
        .select("warehouse", pl.lit("OCCUPANCY").alias("feed"), "doubted")
    )


def _name_skews(rejects: pl.DataFrame) -> pl.DataFrame:
    """Name by how much the clock of a feed is ahead, by the latest row that says so: columns warehouse, feed, skew."""
    return (
        rejects.filter(pl.col("ahead_minutes").is_not_null())
        .group_by("warehouse", "feed")
        .agg(pl.col("ahead_minutes").median())
        .select("warehouse", "feed", format_skew(pl.col("ahead_minutes")).alias("skew"))
    )


def _derive_feed_value(act: pl.Expr, *values: str) -> pl.Expr:
    alarming, doubtful, good = values
    return (
        pl.when(act)
        .then(pl.lit(alarming))
        .when(pl.col("unknown_units") > 0)
        .then(pl.lit(doubtful))
        .otherwise(pl.lit(good))
    )


# --- words


def _format_explanation() -> pl.Expr:
    """Format why, on which data if not fresh, and why that much: what to do is in the action's own columns."""
    doubt = (
        pl.when(pl.col("quality") == "DEGRADED")
        .then(pl.lit("The data are degraded: levels alone are judged"))
        .when((pl.col("quality") == "UNKNOWN") & NEEDS_ACTION)
        .then(pl.lit("That much is proven, though the unit is unknown"))
        .when(pl.col("quality") == "UNKNOWN")
        .then(pl.lit("The unit is unknown"))
    )
    feeds = format_text(" ({} not fresh)", "missing_feeds").fill_null("")
    return pl.concat_str("because", format_text("{}{}.", doubt, feeds), "reckoning", separator=" ", ignore_nulls=True)


def _format_clauses(conditions: Sequence[Condition]) -> pl.Expr:
    """Format '87.5 % full (limit 85 %), overflows in 4.0 min (limit 5 min)'."""
    # The two bounds of the fill read alike: between two limits, the least is printed with both.
    read: dict[Signal, list[Condition]] = {}
    for condition in conditions:
        read.setdefault(SIGNALS[condition.signal], []).append(condition)
    clauses = []
    for signal, group in read.items():
        if group[0].test == "missing":
            clauses.append(pl.lit(signal.missing))
        elif "{}" not in signal.text:
            clauses.append(pl.lit(signal.text))
        else:
            limit = f"limit{'s' * (len(group) > 1)} {' and '.join(condition.format_limit() for condition in group)}"
            clauses.append(
                format_text(f"{signal.text} ({limit})", derive_tenths(pl.col(group[0].signal) * signal.scale))
            )
    return pl.concat_str(*clauses, separator=", ")


_MEASURES: Final = {
    "MOVE_STAFF": "associates",
    "THROTTLE": "packages/hour",
    "REBALANCE": "packages/hour",
    "OPEN_LANE": "packages/hour",
}


def _conform(rows: pl.LazyFrame, policy: Policy) -> pl.LazyFrame:
    """Conform to `VERDICTS_OF_UNITS`; columns that a kind of row does not have are empty."""
    rows = rows.with_columns(
        pl.col("action").replace_strict(_MEASURES, default=None, return_dtype=pl.String).alias("quantity_unit"),
        pl.lit(policy.version).alias("policy_version"),
    )
    have = set(rows.collect_schema())
    lacks = [column for column in schema.VERDICTS_OF_UNITS.columns if column.nullable and column.name not in have]
    return rows.with_columns(pl.lit(None, column.dtype).alias(column.name) for column in lacks).pipe(
        schema.VERDICTS_OF_UNITS.conform
    )
