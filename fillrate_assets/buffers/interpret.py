"""Operational units -> verdicts: each unit by itself (substep 1), the rules in the order in which they are tried.

What is compared are bounds of the fill, which is exact where all data are fresh: a unit is in danger if even the least
that it can hold says so, and clear if even the most does. Of an UNKNOWN unit only the least is proven, so it may
alert but is never clear. Only of FRESH units is there a trend and a quantity.

Where the design is silent, what a floor manager would want:

- The people of a pool take packages out of the pool's buffers; the pool before it, in `Policy.pool_order` among the
  pools that a warehouse has, fills them. So a TOTAL that overflows needs people in its own pool; one that starves has
  too many, and the pool before it too few.
- A pool can spare headcount - planned, and while it starves also those for whom there is no work. One move has one
  donor: the pool that can spare most, of those that are known and not filling up themselves if there are any.
- Free stations are those of the pool that gains: floor(max rate / units per hour) - headcount.
- Where people are needed and known not to be had, the pool's feed is throttled instead, by the formula of INDUCT.
- An unstaffed pool overflows all the same while packages come in; if none do, it is NOT_STAFFED. A stop during a break
  is no jam. A jam compares the last 5 minutes with their median, all other rates are means of 15 minutes.
- A trend that the net flow contradicts is good for a WARN alone; a level is a level whatever the trend.
- A buffer as low as for ACT whose outflow or staffing is not known is a WARN.
- A group of lanes is the open ones of a pool and type, the unit itself included; UNKNOWN ones are not counted.
- A throttle is held until its unit is clear. It is never raised by more than a fifth per tick, yet by at least a step,
  and ends where it reaches what the stations can take (the pool's people, if that is not known).
- A WARN names the action that its ACT would take and asks for nothing.
- DATA is told of a warehouse and feed, as unit {WAREHOUSE}_DATA_{FEED} of pool DATA.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.policy import TICK_MINUTES, Lane, Overflow, Policy, Starvation

DATA_POOL: Final = "DATA"
ASKS: Final = pl.col("verdict").is_in(["ACT", "EMERGENCY"])
"""Whether a row asks somebody to do something."""

_GROUP: Final = ["warehouse", "pool", "unit_type"]
_POOL: Final = ["warehouse", "pool"]
_DIGITS: Final = 9
"""Ratios are compared to so many digits: 0.85 - 0.60 is 0.25."""


def verdicts(units: pl.DataFrame, history: pl.DataFrame, *, policy: Policy) -> pl.DataFrame:
    """What every unit is in each direction that its type can fail in, why, and what to do about it.

    Args:
        units: `UNIT_TIMESERIES` of one tick; what needs earlier ticks rides on its rows.
        history: `RECOMMENDATIONS` of the 30 minutes before the tick: the throttles that are in force.
        policy: every threshold.

    Returns:
        `VERDICTS_OF_UNITS`, sorted by its key.

    """
    seen = _seen(units, policy)
    judged = pl.concat([_judged(seen, branch) for branch in branches(policy)], how="diagonal")
    judged = judged.join(_throttles(history), on="unit_id", how="left")
    asking = judged.filter(ASKS).pipe(_with_staff, _pools(seen, judged, policy), policy)
    asking = asking.pipe(_with_divert, seen, policy).pipe(_with_action, policy)
    quiet = judged.filter(~ASKS).pipe(_with_throttle_held, policy)
    explained = [frame.with_columns(_explanation().alias("explanation")) for frame in (asking, quiet)]
    rows = [frame.lazy().pipe(_conform, policy) for frame in (*explained, _data(units, policy))]
    return pl.concat(rows).collect().sort("unit_id", "direction")


# --- what is seen of a unit


@dataclass(frozen=True)
class Signal:
    """How a number that rules look at reads; without {} neither it nor its limit is told."""

    says: str
    missing: str = ""
    scale: float = 1
    unit: str = ""


_FILL: Final = Signal("{} % full", "fill not known", 100, " %")
SIGNALS: Final = {
    "least_fill": _FILL,
    "most_fill": _FILL,
    "minutes_to_overflow": Signal("overflows in {} min", unit=" min"),
    "minutes_to_starvation": Signal("runs empty in {} min", unit=" min"),
    "trusted_overflow": Signal("overflows in {} min", unit=" min"),
    "trusted_starvation": Signal("runs empty in {} min", unit=" min"),
    "outflow_share_of_usual": Signal("only {} % of what usually leaves it does", scale=100, unit=" %"),
    "outflow_share_of_capability": Signal(
        "its people take {} % of what they could", "what its people take is not known", 100, " %"
    ),
    "gap": Signal("{} points fuller than the median of its group", scale=100, unit=" points"),
    "emptiest": Signal("a sibling is {} % full", scale=100, unit=" %"),
    "open_siblings": Signal("no sibling is open"),
    "staffed": Signal("not staffed"),
    "in_use": Signal("not staffed, and nothing comes in"),
}


def _seen(units: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Add what the rules look at, named as in `SIGNALS`; null where it must not be used."""
    known, fresh = pl.col("quality") != "UNKNOWN", pl.col("quality") == "FRESH"
    staffed, works = pl.col("staffed"), pl.col("staffed").fill_null(value=True)
    trusted = fresh & pl.col("trend_agrees").fill_null(value=True)
    least = pl.when(known).then(pl.coalesce("fill", "proven_fill")).otherwise("proven_fill")
    most = pl.when(known).then(pl.coalesce("fill", pl.col("proven_fill") + 1 - pl.col("coverage")))
    outflow = pl.col("outflow") / TICK_MINUTES
    usual, capability = pl.col("outflow_median"), pl.col("service_rate")
    lanes = pl.col("unit_type").is_in(["PACK", "LANE"])
    takes = lanes & known & pl.col("is_open").fill_null(value=False)
    in_group = pl.when("takes").then("least_fill")
    return units.with_columns(
        least.round(_DIGITS).alias("least_fill"),
        most.round(_DIGITS).alias("most_fill"),
        pl.when(fresh).then("minutes_to_overflow").alias("minutes_to_overflow"),
        pl.when(fresh).then("minutes_to_starvation").alias("minutes_to_starvation"),
        pl.when(trusted).then("minutes_to_overflow").alias("trusted_overflow"),
        pl.when(trusted).then("minutes_to_starvation").alias("trusted_starvation"),
        pl.when(known & works & (usual > 0)).then(outflow / usual).round(_DIGITS).alias("outflow_share_of_usual"),
        pl.when(known & (capability > 0))
        .then(pl.col("outflow_rate") / capability)
        .round(_DIGITS)
        .alias("outflow_share_of_capability"),
        staffed.cast(pl.Float64),
        (works | (pl.col("inflow_rate") > 0).fill_null(value=False)).cast(pl.Float64).alias("in_use"),
        takes.alias("takes"),
        pl.when(pl.col("units_per_hour") > 0).then("units_per_hour").alias("units_per_hour"),
    ).with_columns(
        (pl.col("least_fill") - in_group.median().over(_GROUP)).round(_DIGITS).alias("gap"),
        in_group.min().over(_GROUP).alias("emptiest"),
        (pl.col("takes").sum().over(_GROUP).cast(pl.Float64) - pl.col("takes")).alias("open_siblings"),
        pl.when(lanes & (in_group <= policy.quantities.recipient_limit) & fresh)
        .then(_headroom(policy))
        .alias("headroom"),
    )


def _headroom(policy: Policy) -> pl.Expr:
    """What a sibling can take, in packages a minute, without getting too full."""
    wanted = policy.quantities
    room = (wanted.recipient_limit * pl.col("capacity") - pl.col("level")) / wanted.recipient_minutes
    return (room - _net_flow()).clip(0)


def _net_flow() -> pl.Expr:
    return pl.col("inflow_rate") - pl.col("outflow_rate")


# --- the rules


@dataclass(frozen=True)
class Condition:
    """One comparison; it fails where its signal is missing, unless that is what it asks for."""

    signal: str
    test: Literal[">=", ">", "<=", "<", "missing"]
    threshold: float = 0

    def holds(self) -> pl.Expr:
        """Whether it does."""
        value = pl.col(self.signal)
        outcome = {
            ">=": value >= self.threshold,
            ">": value > self.threshold,
            "<=": value <= self.threshold,
            "<": value < self.threshold,
            "missing": value.is_null(),
        }[self.test]
        return outcome.fill_null(value=False)

    def evidence(self) -> pl.Expr:
        """One element of `EVIDENCE`; the margin is at least 0 where it holds."""
        if self.test == "missing":
            return _evidence(self.signal, pl.col(self.signal))
        beyond = pl.col(self.signal) - self.threshold
        return _evidence(
            self.signal, pl.col(self.signal), self.threshold, beyond if self.test in {">=", ">"} else -beyond
        )

    def limit(self) -> str:
        """Its threshold as people read it."""
        signal = SIGNALS[self.signal]
        return f"{self.threshold * signal.scale:g}{signal.unit}"


@dataclass(frozen=True)
class Rule:
    """A verdict and when it is so; `shows` is what a row of it tells, unless that is what it asked for."""

    rule_id: str
    verdict: str
    when: tuple[Condition, ...]
    shows: tuple[Condition, ...] = ()

    @property
    def looked_at(self) -> tuple[Condition, ...]:
        """What its rows store and say."""
        return self.shows or self.when


@dataclass(frozen=True)
class Branch:
    """The rules of some unit types in one direction, the first that holds decides; the last one always holds."""

    unit_types: tuple[str, ...]
    direction: str
    action: str
    rules: tuple[Rule, ...]


def branches(policy: Policy) -> tuple[Branch, ...]:
    """Branches A, B and C."""
    return (
        Branch(("TOTAL",), "OVERFLOW", "MOVE_STAFF", _total_overflows(policy.total)),
        Branch(("TOTAL",), "STARVATION", "MOVE_STAFF", _total_starves(policy.starvation)),
        Branch(("INDUCT",), "OVERFLOW", "THROTTLE", _induct_overflows(policy)),
        Branch(("PACK", "LANE"), "OVERFLOW", "REBALANCE", _lane_overflows(policy.lane)),
    )


def _total_overflows(limit: Overflow) -> tuple[Rule, ...]:
    act = Condition("least_fill", ">=", limit.act)
    return (
        Rule("A-OVERFLOW-NOT-STAFFED", "NOT_STAFFED", (Condition("in_use", "<=", 0),)),
        Rule("A-OVERFLOW-EMERGENCY", "EMERGENCY", (Condition("least_fill", ">=", limit.emergency),)),
        Rule("A-OVERFLOW-FULL", "ACT", (act,)),
        Rule("A-OVERFLOW-SOON", "ACT", _overflows_soon(limit)),
        Rule("A-OVERFLOW-WARN", "WARN", _may_overflow(limit)),
        *_otherwise("A-OVERFLOW", act, Condition("most_fill", "<", limit.clear)),
    )


def _total_starves(limit: Starvation) -> tuple[Rule, ...]:
    act = Condition("most_fill", "<=", limit.act)
    idle = Condition("outflow_share_of_capability", "<", limit.outflow_share)
    low, soon = Condition("most_fill", "<=", limit.act_soon), Condition("most_fill", "<=", limit.warn)
    return (
        Rule("A-STARVATION-NOT-STAFFED", "NOT_STAFFED", (Condition("staffed", "<=", 0),)),
        Rule("A-STARVATION-EMPTY", "ACT", (act, idle)),
        Rule("A-STARVATION-SOON", "ACT", (low, Condition("trusted_starvation", "<=", limit.act_soon_minutes), idle)),
        Rule("A-STARVATION-WARN", "WARN", (soon, Condition("minutes_to_starvation", "<=", limit.warn_minutes))),
        Rule("A-STARVATION-UNCONFIRMED", "WARN", (act, Condition("outflow_share_of_capability", "missing"))),
        *_otherwise("A-STARVATION", act, Condition("least_fill", ">", limit.clear)),
    )


def _induct_overflows(policy: Policy) -> tuple[Rule, ...]:
    limit, jam = policy.induct, policy.jam
    act = Condition("least_fill", ">=", limit.act)
    jammed = (Condition("least_fill", ">=", jam.fill), Condition("outflow_share_of_usual", "<", jam.outflow_share))
    return (
        Rule("B-NOT-STAFFED", "NOT_STAFFED", (Condition("in_use", "<=", 0),)),
        Rule("B-EMERGENCY", "EMERGENCY", (Condition("least_fill", ">=", limit.emergency),)),
        Rule("B-JAM", "EMERGENCY", jammed),
        Rule("B-FULL", "ACT", (act,)),
        Rule("B-SOON", "ACT", _overflows_soon(limit)),
        Rule("B-WARN", "WARN", _may_overflow(limit)),
        *_otherwise("B", act, Condition("most_fill", "<", limit.clear)),
    )


def _lane_overflows(limit: Lane) -> tuple[Rule, ...]:
    act = Condition("least_fill", ">=", limit.act)
    alone = (Condition("least_fill", ">=", limit.emergency), Condition("open_siblings", "<=", 0))
    uneven = (act, Condition("gap", ">=", limit.gap), Condition("emptiest", "<=", limit.sibling))
    return (
        Rule("C-NOT-STAFFED", "NOT_STAFFED", (Condition("in_use", "<=", 0),)),
        Rule("C-ALONE", "EMERGENCY", alone),
        Rule("C-UNEVEN", "ACT", uneven),
        Rule("C-WARN", "WARN", _may_overflow(limit)),
        *_otherwise("C", act, Condition("most_fill", "<", limit.clear)),
    )


def _overflows_soon(limit: Overflow) -> tuple[Condition, ...]:
    return (
        Condition("least_fill", ">=", limit.act_soon),
        Condition("trusted_overflow", "<=", limit.act_soon_minutes),
    )


def _may_overflow(limit: Overflow | Lane) -> tuple[Condition, ...]:
    return Condition("least_fill", ">=", limit.warn), Condition("minutes_to_overflow", "<=", limit.warn_minutes)


def _otherwise(branch: str, act: Condition, clear: Condition) -> tuple[Rule, ...]:
    return (
        Rule(f"{branch}-UNKNOWN", "UNKNOWN", (Condition("most_fill", "missing"),)),
        Rule(f"{branch}-CLEAR", "CLEAR", (clear,)),
        Rule(f"{branch}-BETWEEN", "BETWEEN", (), (act, clear)),
    )


def _judged(seen: pl.DataFrame, branch: Branch) -> pl.DataFrame:
    """The verdict of each unit that the branch is for, with what it looked at, as numbers and in words."""
    decides = pl.coalesce(
        pl.when(pl.all_horizontal(pl.lit(value=True), *[condition.holds() for condition in rule.when])).then(
            pl.lit(rule.rule_id)
        )
        for rule in branch.rules
    )
    rows = seen.filter(pl.col("unit_type").is_in(branch.unit_types)).with_columns(
        decides.alias("rule_id"),
        pl.lit(branch.direction).alias("direction"),
        pl.lit(branch.action).alias("usual_action"),
        pl.min_horizontal("minutes_to_overflow", "minutes_to_starvation").alias("minutes_left"),
    )
    return pl.concat(
        rows.filter(pl.col("rule_id") == rule.rule_id).with_columns(
            pl.lit(rule.verdict).alias("verdict"),
            pl.concat_list(condition.evidence() for condition in rule.looked_at).alias("evidence"),
            pl.format("{}: {}.", unit_name("unit_id"), _clauses(rule.looked_at)).alias("because"),
        )
        for rule in branch.rules
    )


def _evidence(name: str, value: pl.Expr, threshold: float | None = None, margin: pl.Expr | None = None) -> pl.Expr:
    return pl.struct(
        pl.lit(name).alias("name"),
        value.cast(pl.Float64).alias("value"),
        pl.lit(threshold, pl.Float64).alias("threshold"),
        (pl.lit(None, pl.Float64) if margin is None else margin).alias("margin"),
    )


# --- how many people to move, and from where


def upstream(pools: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """The pool that fills each pool's buffers: columns warehouse, pool, upstream; the first pool has none.

    Args:
        pools: columns warehouse and pool, any number of rows each.
        policy: its `pool_order`.

    """
    order = pl.DataFrame({"pool": policy.pool_order}, schema={"pool": pl.String}).with_row_index("order")
    return (
        pools.select(_POOL)
        .unique()
        .join(order, on="pool")
        .sort("warehouse", "order")
        .select(*_POOL, pl.col("pool").shift(1).over("warehouse").alias("upstream"))
        .drop_nulls()
    )


def _pools(seen: pl.DataFrame, judged: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """One row per pool: units_per_hour, free_stations, surplus, and whether it is on_break, unknown, or filling."""
    of_total = pl.col("unit_type") == "TOTAL"
    idle = (pl.col("headcount") - pl.col("outflow_rate") * 60 / pl.col("units_per_hour")).round(_DIGITS).floor()
    starving = judged.filter(ASKS, pl.col("direction") == "STARVATION").group_by(_POOL).agg(idle.min().alias("idle"))
    stations = (pl.col("max_rate") / pl.col("units_per_hour")).round(_DIGITS).floor()
    return (
        seen.group_by(_POOL)
        .agg(
            pl.col("headcount", "headcount_planned", "units_per_hour").max(),
            pl.col("max_rate").filter(of_total).max(),
            (pl.col("staffed") == 0).any().alias("on_break"),
            (of_total & (pl.col("quality") == "UNKNOWN")).any().alias("unknown"),
            (of_total & (pl.col("least_fill") >= policy.total.clear)).any().alias("filling"),
        )
        .join(starving, on=_POOL, how="left")
        .select(
            *_POOL,
            "units_per_hour",
            (stations - pl.col("headcount")).clip(0).alias("free_stations"),
            pl.max_horizontal(pl.col("headcount") - pl.col("headcount_planned"), "idle").clip(0).alias("surplus"),
            *("on_break", "unknown", "filling"),
        )
    )


def _with_staff(asking: pl.DataFrame, pools: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Add donor, gaining pool, associates needed, free stations and what the donor can spare."""
    overflow = pl.col("direction") == "OVERFLOW"
    gaining = pools.select(
        "warehouse",
        pl.col("pool").alias("gains"),
        pl.col("units_per_hour").alias("gained_per_hour"),
        "free_stations",
    )
    own = pools.select(*_POOL, pl.col("surplus").alias("own_surplus"))
    more = _net_flow() + (pl.col("level") - policy.quantities.total_target * pl.col("capacity")) / (
        policy.quantities.settle_minutes
    )
    short = pl.when(overflow).then(more).otherwise(0 - more).clip(0)
    return (
        asking.join(upstream(pools, policy), on=_POOL, how="left")
        .join(_donors(asking.select(_POOL).unique(), pools), on=_POOL, how="left")
        .join(own, on=_POOL, how="left")
        .with_columns(
            pl.when(overflow).then("pool").otherwise("upstream").alias("gains"),
            pl.when(overflow).then("donor").otherwise("pool").alias("donor"),
            pl.when(overflow).then("surplus").otherwise("own_surplus").alias("surplus"),
        )
        .join(gaining, on=["warehouse", "gains"], how="left")
        .with_columns(
            (short / (pl.col("gained_per_hour") / 60)).round(_DIGITS).ceil().alias("needed"),
        )
    )


def _donors(needy: pl.DataFrame, pools: pl.DataFrame) -> pl.DataFrame:
    """The best donor for each pool: columns warehouse, pool, donor, surplus (0: nobody; null: not known)."""
    others = pools.filter(~pl.col("on_break")).select(
        "warehouse", pl.col("pool").alias("donor"), "surplus", "unknown", "filling"
    )
    best_first = (
        needy.join(others, on="warehouse")
        .filter(pl.col("donor") != pl.col("pool"))
        .sort(
            *(*_POOL, "unknown", "filling", "surplus", "donor"),
            descending=[False, False, False, False, True, False],
            nulls_last=True,
        )
    )
    best = best_first.filter(pl.col("surplus") > 0).unique(_POOL, keep="first", maintain_order=True)
    untold = best_first.group_by(_POOL).agg(pl.col("surplus").has_nulls().alias("untold"))
    nobody = pl.when(~pl.col("untold").fill_null(value=False)).then(0.0)
    return (
        needy.join(untold, on=_POOL, how="left")
        .join(best.select(*_POOL, "donor", "surplus"), on=_POOL, how="left")
        .select(*_POOL, "donor", pl.coalesce("surplus", nobody).alias("surplus"))
    )


# --- which throttle is in force, and how far it may be raised


def _throttles(history: pl.DataFrame) -> pl.DataFrame:
    """The throttle in force of each unit that has one: columns unit_id, limit (packages/hour)."""
    throttled = (pl.col("action") == "THROTTLE").fill_null(value=False) & pl.col("quantity").is_not_null()
    released = (pl.col("verdict") == "CLEAR") & pl.col("action").is_null()
    return (
        history.filter(pl.col("direction") == "OVERFLOW", throttled | released)
        .sort("unit_id", "snapshot_ts")
        .unique("unit_id", keep="last", maintain_order=True)
        .filter(pl.col("action") == "THROTTLE")
        .select("unit_id", pl.col("quantity").alias("limit"))
    )


def _raised(policy: Policy) -> pl.Expr:
    """A throttle in force after one tick of release."""
    step, limit = policy.quantities.throttle_step, pl.col("limit")
    return pl.max_horizontal(_floored(limit * (1 + policy.quantities.release_share), step), limit + step)


def _floored(rate: pl.Expr, step: float) -> pl.Expr:
    return (rate / step).round(_DIGITS).floor() * step


def _throttle_to(policy: Policy) -> pl.Expr:
    """The inflow, in packages an hour, at which a buffer settles at its target; a throttle in force rises slowly."""
    above = pl.col("level") - policy.quantities.induct_target * pl.col("capacity")
    settling = ((pl.col("outflow_rate") - above / policy.quantities.settle_minutes) * 60).clip(0)
    wanted = _floored(settling, policy.quantities.throttle_step)
    return pl.when(pl.col("limit").is_null() | (wanted <= _raised(policy))).then(wanted).otherwise(_raised(policy))


def _with_throttle_held(quiet: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Rows that ask for nothing: a throttle in force is held, or raised where its unit is clear, until it ends."""
    clear, throttled = (pl.col("verdict") == "CLEAR") & (pl.col("quality") == "FRESH"), pl.col("limit").is_not_null()
    most = pl.coalesce("max_rate", pl.col("service_rate") * 60, 0.0)
    ends = throttled & clear & (_raised(policy) >= most)
    held = throttled & ~ends
    said = (
        pl.when(ends)
        .then(pl.format("The throttle of {} packages/h ends.", _whole("limit")))
        .when(held & clear)
        .then(pl.format("Raise the throttle from {} to {} packages/h.", _whole("limit"), _whole(_raised(policy))))
        .when(held)
        .then(pl.format("The throttle of {} packages/h stays.", _whole("limit")))
    )
    return quiet.with_columns(
        pl.when(held).then(pl.lit("THROTTLE")).when(pl.col("verdict") == "WARN").then("usual_action").alias("action"),
        pl.when(held & clear).then(_raised(policy)).when(held).then("limit").alias("quantity"),
        said.alias("instruction"),
    )


# --- where a lane's packages can go


def _with_divert(asking: pl.DataFrame, seen: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Add what lanes must divert, in packages a minute, who can take it, and which closed sibling could be opened."""
    wanted = policy.quantities
    above = pl.col("level") - wanted.lane_target * pl.col("capacity")
    divert = (_net_flow() + above / wanted.settle_minutes).clip(0)
    lanes = asking.filter(pl.col("unit_type").is_in(["PACK", "LANE"])).select(
        *_GROUP, "unit_id", divert.alias("divert")
    )
    siblings = (
        lanes.join(
            seen.select(*_GROUP, pl.col("unit_id").alias("sibling"), *_OF_SIBLINGS), on=_GROUP, suffix="_of_sibling"
        )
        .filter(pl.col("unit_id") != pl.col("sibling"))
        .sort("unit_id", "sibling")
    )
    could_open = pl.col("is_open").eq(other=False) & (pl.col("quality") != "UNKNOWN")
    closed = (
        siblings.filter(could_open, (pl.col("least_fill") <= policy.lane.sibling).fill_null(value=True))
        .sort("unit_id", "capacity", "sibling", descending=[False, True, False], nulls_last=True)
        .unique("unit_id", keep="first", maintain_order=True)
        .select("unit_id", pl.col("sibling").alias("closed_sibling"))
    )
    share = pl.col("divert") * pl.col("headroom") / pl.col("headroom").sum().over("unit_id")
    recipients = (
        siblings.filter(pl.col("takes"))
        .with_columns(share.alias("quantity"), unit_name("sibling").alias("name"))
        .group_by("unit_id", maintain_order=True)
        .agg(
            pl.col("headroom").sum().alias("room"),
            (pl.col("headroom").is_null() & (pl.col("least_fill") <= wanted.recipient_limit))
            .any()
            .alias("room_unknown"),
            pl.struct(pl.col("sibling").alias("unit_id"), "quantity", "headroom")
            .filter(pl.col("headroom") > 0)
            .alias("recipients"),
            pl.format("{} to {}", _tenths("quantity"), "name")
            .filter(pl.col("headroom") > 0)
            .str.join(", ")
            .alias("shares"),
        )
    )
    return (
        asking.join(lanes.select("unit_id", "divert"), on="unit_id", how="left")
        .join(closed, on="unit_id", how="left")
        .join(recipients, on="unit_id", how="left")
        .with_columns(pl.col("room").fill_null(0), pl.col("room_unknown").fill_null(value=False))
    )


_OF_SIBLINGS: Final = ("quality", "is_open", "takes", "least_fill", "capacity", "headroom")


# --- what to do


def _with_action(asking: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """The action of rows that ask for one, its quantity where every input is there, and both in words."""
    fresh = pl.col("quality") == "FRESH"
    lane = pl.col("unit_type").is_in(["PACK", "LANE"])
    none_to_add = (
        (pl.col("direction") == "OVERFLOW")
        & (pl.col("needed") > 0)
        & (pl.min_horizontal("free_stations", "surplus") == 0)
    ).fill_null(value=False)
    staff_or_throttle = pl.when(fresh & none_to_add).then(pl.lit("THROTTLE")).otherwise(pl.lit("MOVE_STAFF"))
    siblings_take = (pl.col("rule_id") == "C-UNEVEN") & (
        ~fresh | pl.col("divert").is_null() | (pl.col("divert") <= pl.col("room")) | pl.col("room_unknown")
    )
    action = (
        pl.when(pl.col("unit_type") == "INDUCT")
        .then(pl.lit("THROTTLE"))
        .when(lane & siblings_take)
        .then(pl.lit("REBALANCE"))
        .when(lane & pl.col("closed_sibling").is_not_null())
        .then(pl.lit("OPEN_LANE"))
        .otherwise(staff_or_throttle)
    )
    can_move = pl.min_horizontal("needed", "free_stations", "surplus")
    staff_known = pl.all_horizontal(pl.col("needed", "free_stations", "surplus").is_not_null())
    is_staff, is_throttle, is_rebalance = (pl.col("action") == name for name in ("MOVE_STAFF", "THROTTLE", "REBALANCE"))
    quantity = (
        pl.when(~fresh)
        .then(None)
        .when(is_staff)
        .then(pl.when(staff_known).then(can_move))
        .when(is_throttle)
        .then(_throttle_to(policy))
        .when(is_rebalance)
        .then(pl.when(pl.col("divert") <= pl.col("room")).then("divert"))
        .otherwise("divert")
    )
    known = pl.col("quantity").is_not_null()
    until = pl.col("snapshot_ts") + timedelta(minutes=policy.quantities.settle_minutes)
    return (
        asking.with_columns(action.alias("action"))
        .with_columns(quantity.alias("quantity"))
        .with_columns(
            pl.when(is_staff & fresh)
            .then("donor")
            .when(pl.col("action").is_in(["REBALANCE", "OPEN_LANE"]))
            .then("unit_id")
            .alias("source_unit"),
            pl.when(is_staff)
            .then("gains")
            .when(is_rebalance & known)
            .then("shares")
            .when(pl.col("action") == "OPEN_LANE")
            .then("closed_sibling")
            .alias("target_unit"),
            pl.when(is_rebalance & known).then("recipients").alias("recipients"),
            pl.when(known).then(until).alias("until_ts"),
        )
        .with_columns(
            _instruction(policy).alias("instruction"),
            pl.concat_list("evidence", *[_evidence(name, pl.col(name)) for name in _INPUTS]).alias("evidence"),
            pl.when(is_staff & fresh).then("surplus").alias("surplus"),
        )
    )


_INPUTS: Final = (
    *("level", "capacity", "inflow_rate", "outflow_rate", "gained_per_hour", "needed", "free_stations", "surplus"),
    *("limit", "divert", "room"),
)
"""What quantities are made of, stored as evidence."""


def _instruction(policy: Policy) -> pl.Expr:
    """What to do, in words; of an unknown quantity, what is missing."""
    settles = f"it settles within {policy.quantities.settle_minutes:g} min as it is"
    words = {
        "MOVE_STAFF": pl.coalesce(
            pl.when(pl.col("quantity") > 0).then(
                pl.format(
                    "Move {} associates from {} to {} until {} UTC: {}.",
                    *(_whole("quantity"), "source_unit", "target_unit", pl.col("until_ts").dt.strftime("%H:%M")),
                    _staff_words(),
                )
            ),
            pl.when(pl.col("needed") == 0).then(pl.lit(f"Move nobody: {settles}.")),
            pl.when(pl.col("quantity") == 0).then(pl.format("Nobody can be moved: {}.", _staff_words())),
            pl.format(
                "Move associates{}{}, quantity unknown: {}.",
                pl.coalesce(pl.format(" from {}", "source_unit"), pl.lit("")),
                pl.coalesce(pl.format(" to {}", "target_unit"), pl.lit("")),
                _missing(
                    *("level", "capacity", "inflow_rate", "outflow_rate", "gains", "gained_per_hour"),
                    *("free_stations", "surplus"),
                ),
            ),
        ),
        "THROTTLE": pl.coalesce(
            pl.format(
                "{}Throttle what comes in to {} packages/h{}.",
                pl.when(pl.col("unit_type") == "INDUCT")
                .then(pl.lit(""))
                .otherwise(pl.format("Nobody can be added ({}). ", _staff_words())),
                _whole("quantity"),
                pl.coalesce(pl.format(", from {} now", _whole("limit")), pl.lit("")),
            ),
            pl.format("Throttle what comes in, quantity unknown: {}.", _missing("level", "capacity", "outflow_rate")),
        ),
        "REBALANCE": pl.coalesce(
            pl.when(pl.col("quantity") == 0).then(pl.lit(f"Divert nothing: {settles}.")),
            pl.format("Divert {} packages/min: {}.", _tenths("quantity"), "target_unit"),
            pl.format(
                "Divert packages to siblings, quantity unknown: {}.",
                _missing("level", "capacity", "inflow_rate", "outflow_rate", otherwise="what siblings can take"),
            ),
        ),
        "OPEN_LANE": pl.coalesce(
            pl.format(
                "Open {} for {} packages/min: open siblings can take {}.",
                *(unit_name("target_unit"), _tenths("quantity"), _tenths("room")),
            ),
            pl.format(
                "Open {}, quantity unknown: {}.",
                *(unit_name("target_unit"), _missing("level", "capacity", "inflow_rate", "outflow_rate")),
            ),
        ),
    }
    return pl.coalesce(pl.when(pl.col("action") == action).then(said) for action, said in words.items())


def _staff_words() -> pl.Expr:
    """'6 needed, 4 stations free, 5 to spare'; what is not known is left out."""
    parts = {"needed": "needed", "free_stations": "stations free", "surplus": "to spare"}
    return pl.concat_str(
        *[pl.format("{} " + word, _whole(name)) for name, word in parts.items()], separator=", ", ignore_nulls=True
    )


_NAMES: Final = {
    "gains": "pool before it",
    "gained_per_hour": "units per hour",
    "free_stations": "max rate or headcount",
    "surplus": "headcount to spare",
}


def _missing(*names: str, otherwise: str = "") -> pl.Expr:
    """Which inputs of a quantity are not there."""
    absent = [pl.when(pl.col(name).is_null()).then(pl.lit(_NAMES.get(name, name.replace("_", " ")))) for name in names]
    listed = pl.concat_str(*absent, separator=", ", ignore_nulls=True)
    return (
        pl.when(pl.col("quality") != "FRESH")
        .then(pl.lit("the data are not all fresh"))
        .when(listed != "")
        .then(pl.format("no {}", listed))
        .otherwise(pl.lit(f"no {otherwise}"))
    )


# --- what could not be known


def _data(units: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """One row per warehouse and feed: is it why units are UNKNOWN, and for how long."""
    minimum = policy.quality.data_alert_ticks
    unknown = units.filter(pl.col("quality") == "UNKNOWN")
    # A level is what makes a unit UNKNOWN, whatever the reason for which no feed is named.
    feeds = pl.col("missing_feeds").replace("", None).fill_null("OCCUPANCY").str.split(",")
    blamed = (
        unknown.select("warehouse", "unit_id", "unknown_ticks", feeds.alias("feed"))
        .explode("feed", empty_as_null=True, keep_nulls=True)
        .with_columns(pl.col("feed").str.strip_chars())
        .group_by("warehouse", "feed")
        .agg(pl.len().alias("unknown_units"), pl.col("unknown_ticks").max())
    )
    known = units.group_by("warehouse").agg(pl.col("dc", "ship_date", "snapshot_ts").min(), pl.len().alias("all_units"))
    ticks, subject = pl.col("unknown_ticks"), pl.format("{}: {} of {} units", "feed", "unknown_units", "all_units")
    act = ticks >= minimum
    return (
        known.join(pl.DataFrame({"feed": schema.FEEDS}), how="cross")
        .join(blamed, on=["warehouse", "feed"], how="left")
        .with_columns(pl.col("unknown_ticks", "unknown_units").fill_null(0))
        .with_columns(
            pl.format("{}_{}_{}", "warehouse", pl.lit(DATA_POOL), "feed").alias("unit_id"),
            pl.lit(DATA_POOL).alias("pool"),
            pl.lit("TOTAL").alias("unit_type"),
            pl.lit("DATA").alias("direction"),
            _of_feed(act, "ACT", "BETWEEN", "CLEAR").alias("verdict"),
            _of_feed(act, "DATA-UNKNOWN", "DATA-BETWEEN", "DATA-CLEAR").alias("rule_id"),
            _of_feed(act, "UNKNOWN", "UNKNOWN", "FRESH").alias("quality"),
            pl.when(act).then(pl.lit("CHECK_DATA")).alias("action"),
            pl.concat_list(
                _evidence("unknown_ticks", ticks, minimum, (ticks - minimum).cast(pl.Float64)),
                _evidence("unknown_units", pl.col("unknown_units")),
                _evidence("units", pl.col("all_units")),
            ).alias("evidence"),
            pl.when(pl.col("unknown_units") > 0)
            .then(
                pl.format(
                    "{} cannot be known, for up to {} staffed min (limit {} min).{}",
                    *(subject, ticks * TICK_MINUTES, pl.lit(minimum * TICK_MINUTES)),
                    pl.when(act).then(pl.lit(" Check the feed.")).otherwise(pl.lit("")),
                )
            )
            .otherwise(pl.format("{}: no unit is unknown for want of it.", "feed"))
            .alias("explanation"),
        )
    )


def _of_feed(act: pl.Expr, *values: str) -> pl.Expr:
    alarming, doubtful, good = values
    return (
        pl.when(act)
        .then(pl.lit(alarming))
        .when(pl.col("unknown_units") > 0)
        .then(pl.lit(doubtful))
        .otherwise(pl.lit(good))
    )


# --- words


def _explanation() -> pl.Expr:
    """Why, on which data if not fresh, and what to do."""
    doubt = (
        pl.when(pl.col("quality") == "DEGRADED")
        .then(pl.lit("The data are degraded: levels alone are judged"))
        .when((pl.col("quality") == "UNKNOWN") & ASKS)
        .then(pl.lit("That much is proven, though the unit is unknown"))
        .when(pl.col("quality") == "UNKNOWN")
        .then(pl.lit("The unit is unknown"))
    )
    feeds = pl.format(" ({} not fresh)", "missing_feeds").fill_null("")
    return pl.concat_str("because", pl.format("{}{}.", doubt, feeds), "instruction", separator=" ", ignore_nulls=True)


def _clauses(conditions: Sequence[Condition]) -> pl.Expr:
    """'87.5 % full (limit 85 %), overflows in 4.0 min (limit 5 min)'."""
    # The two bounds of the fill read alike: between two limits, the least is told with both.
    read: dict[Signal, list[Condition]] = {}
    for condition in conditions:
        read.setdefault(SIGNALS[condition.signal], []).append(condition)
    clauses = []
    for signal, group in read.items():
        if group[0].test == "missing":
            clauses.append(pl.lit(signal.missing))
        elif "{}" not in signal.says:
            clauses.append(pl.lit(signal.says))
        else:
            limit = f"limit{'s' * (len(group) > 1)} {' and '.join(condition.limit() for condition in group)}"
            clauses.append(pl.format(f"{signal.says} ({limit})", _tenths(pl.col(group[0].signal) * signal.scale)))
    return pl.concat_str(*clauses, separator=", ")


def unit_name(unit: str) -> pl.Expr:
    """A unit as people of its warehouse call it: 'PICK TOTAL'."""
    return pl.col(unit).str.strip_prefix(pl.col("warehouse") + "_").str.replace_all("_", " ", literal=True)


def _whole(value: str | pl.Expr) -> pl.Expr:
    return (pl.col(value) if isinstance(value, str) else value).round(0).cast(pl.Int64)


def _tenths(value: str | pl.Expr) -> pl.Expr:
    return (pl.col(value) if isinstance(value, str) else value).round(1)


_MEASURES: Final = {
    "MOVE_STAFF": "associates",
    "THROTTLE": "packages/hour",
    "REBALANCE": "packages/minute",
    "OPEN_LANE": "packages/minute",
}


def _conform(rows: pl.LazyFrame, policy: Policy) -> pl.LazyFrame:
    """`VERDICTS_OF_UNITS`; columns that a kind of row does not have are empty."""
    rows = rows.with_columns(
        pl.col("action").replace_strict(_MEASURES, default=None, return_dtype=pl.String).alias("quantity_unit"),
        pl.lit(policy.version).alias("policy_version"),
    )
    have = set(rows.collect_schema())
    lacks = [column for column in schema.VERDICTS_OF_UNITS.columns if column.nullable and column.name not in have]
    return rows.with_columns(pl.lit(None, column.dtype).alias(column.name) for column in lacks).pipe(
        schema.VERDICTS_OF_UNITS.conform
    )
