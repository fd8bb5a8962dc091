"""What a unit that alerts needs, and how much: people to move, a throttle, packages to divert, a lane to open.

A quantity of which an input is missing is not known, never 0. Which unit alerts is decided by `verdicts`. How donors,
neighbours, free stations and siblings are found: decision 0063.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Final

import polars as pl

from fillrate_assets.buffers.rules.policy import TICK_MINUTES, Policy
from fillrate_assets.core.text_columns import format_text

NEEDS_ACTION: Final = pl.col("verdict").is_in(["ACT", "EMERGENCY"])
"""Return whether a row requests an action."""

DIGITS: Final = 9
"""Ratios are compared to so many digits: 0.85 - 0.60 is 0.25."""

GROUP: Final = ["warehouse", "pool", "unit_type"]
_POOL: Final = ["warehouse", "pool"]


def size_recommendations(
    verdicts: pl.DataFrame, units: pl.DataFrame, pools: pl.DataFrame, *, policy: Policy
) -> pl.DataFrame:
    """Size the rows that request an action: action, quantity and why that much.

    Args:
        verdicts: units with their verdict, `limit` (see `find_throttles`) and the inputs of the rules.
        units: `verdicts.add_rule_inputs` of all units of the tick, one row each.
        pools: `POOLS` of the tick; those without a unit give and take people as well.
        policy: every target.

    Returns:
        Rows of `verdicts` with action, quantity, source_unit, target_unit, recipients, until_ts, surplus, reckoning,
        and the inputs of the quantity among their evidence.

    """
    requests = verdicts.filter(NEEDS_ACTION).pipe(_add_staff, _summarize_pools(units, pools, verdicts, policy), policy)
    return requests.pipe(_add_divert, units, policy).pipe(_add_action, policy)


def name_consumers(units: pl.DataFrame) -> pl.DataFrame:
    """Let `pool` name the pool whose people take from each unit (decision 0204); `named_pool` is the one of its id.

    Args:
        units: columns pool and consumers.

    """
    return units.with_columns(pl.col("pool").alias("named_pool"), pl.coalesce("consumers", "pool").alias("pool"))


def hold_throttles(verdicts: pl.DataFrame, *, policy: Policy) -> pl.DataFrame:
    """Hold a throttle in force on rows that request nothing, or raise it where its unit is clear, until it ends.

    Args:
        verdicts: as of `size_recommendations`.
        policy: how fast a throttle is raised.

    Returns:
        Rows of `verdicts` with action, quantity, reckoning.

    """
    return verdicts.filter(~NEEDS_ACTION).pipe(_add_throttle, policy)


# --- how many people to move, and from where


def find_upstream_pools(pools: pl.DataFrame, policy: Policy, passing: Collection[tuple[str, str]] = ()) -> pl.DataFrame:
    """Find the pool that fills each pool's buffers: columns warehouse, pool, upstream; the first pool has none.

    Args:
        pools: columns warehouse and pool, any number of rows each.
        policy: its `pool_order`.
        passing: (warehouse, pool) that are looked past, to the one before.

    """
    order = pl.DataFrame({"pool": policy.pool_order}, schema={"pool": pl.String}).with_row_index("order")
    passed = pl.DataFrame(list(passing), schema=dict.fromkeys(_POOL, pl.String), orient="row")
    passed = passed.with_columns(pl.lit(value=True).alias("passed"))
    fills = pl.when(pl.col("passed").is_null()).then("pool")
    return (
        pools.select(_POOL)
        .unique()
        .join(order, on="pool")
        .join(passed, on=_POOL, how="left")
        .sort("warehouse", "order")
        .select(*_POOL, fills.shift(1).forward_fill().over("warehouse").alias("upstream"))
        .drop_nulls()
    )


def _summarize_pools(units: pl.DataFrame, pools: pl.DataFrame, verdicts: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Summarize each pool: units_per_hour, free_stations, surplus, and whether it is on_break, unknown, or filling.

    A pool without a unit may have unknown free stations: no feed has them.
    """
    of_total = pl.col("unit_type") == "TOTAL"
    idle = (pl.col("headcount") - pl.col("outflow_rate") * 60 / pl.col("units_per_hour")).round(DIGITS).floor()
    starving = (
        verdicts.filter(NEEDS_ACTION, pl.col("direction") == "STARVATION").group_by(_POOL).agg(idle.min().alias("idle"))
    )
    stations = (pl.col("max_rate") / pl.col("units_per_hour")).round(DIGITS).floor()
    of_units = units.group_by(_POOL).agg(
        pl.col(_PEOPLE).max(),
        pl.col("max_rate").filter(of_total).max(),
        (pl.col("staffed") == 0).any().alias("on_break"),
        (of_total & (pl.col("quality") == "UNKNOWN")).any().alias("unknown"),
        (of_total & (pl.col("least_fill") >= policy.total.clear)).any().alias("filling"),
        pl.lit(value=True).alias("has_unit"),
    )
    named = pools.select(*_POOL, *_PEOPLE, (~pl.col("staffed")).alias("on_break"))
    flags = ("on_break", "unknown", "filling", "has_unit")
    return (
        of_units.join(named, on=_POOL, how="full", coalesce=True, suffix="_named")
        .with_columns(pl.coalesce(name, f"{name}_named").alias(name) for name in (*_PEOPLE, "on_break"))
        .with_columns(pl.col(flags).fill_null(value=False))
        .join(starving, on=_POOL, how="left")
        .select(
            *_POOL,
            "units_per_hour",
            (stations - pl.col("headcount")).clip(0).alias("free_stations"),
            pl.max_horizontal(pl.col("headcount") - pl.col("headcount_planned"), "idle").clip(0).alias("surplus"),
            *flags,
        )
    )


_PEOPLE: Final = ("headcount", "headcount_planned", "units_per_hour")


def _add_staff(requests: pl.DataFrame, pools: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Add donor, gaining pool, associates needed, free stations and what the donor can spare."""
    overflow = pl.col("direction") == "OVERFLOW"
    gaining = pools.select(
        "warehouse",
        pl.col("pool").alias("gains"),
        pl.col("units_per_hour").alias("gained_per_hour"),
        "free_stations",
        "has_unit",
    )
    own = pools.select(*_POOL, pl.col("surplus").alias("own_surplus"))
    more = _derive_net_flow() + (pl.col("level") - policy.quantities.total_target * pl.col("capacity")) / (
        policy.quantities.settle_minutes
    )
    short = pl.when(overflow).then(more).otherwise(0 - more).clip(0)
    starving = requests.filter(~overflow).select(_POOL).rows()
    return (
        requests.join(find_upstream_pools(pools, policy, starving), on=_POOL, how="left")
        .join(_find_donors(requests.select(_POOL).unique(), pools), on=_POOL, how="left")
        .join(own, on=_POOL, how="left")
        .with_columns(pl.when(overflow).then("pool").otherwise("upstream").alias("gains"))
        # Those who have nothing to take go first; then the others who can be spared.
        .with_columns(
            (overflow | ((pl.col("own_surplus") == 0) & (pl.col("surplus") > 0) & (pl.col("donor") != pl.col("gains"))))
            .fill_null(value=False)
            .alias("others")
        )
        .with_columns(
            pl.when("others").then("donor").otherwise("pool").alias("donor"),
            pl.when("others").then("surplus").otherwise("own_surplus").alias("surplus"),
        )
        .join(gaining, on=["warehouse", "gains"], how="left")
        .with_columns(
            (short / (pl.col("gained_per_hour") / 60)).round(DIGITS).ceil().alias("needed"),
        )
    )


def _find_donors(needy: pl.DataFrame, pools: pl.DataFrame) -> pl.DataFrame:
    """Find the best donor for each pool: columns warehouse, pool, donor, surplus (0: no one; null: not known)."""
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
    unknown_surplus = best_first.group_by(_POOL).agg(pl.col("surplus").has_nulls().alias("unknown_surplus"))
    none = pl.when(~pl.col("unknown_surplus").fill_null(value=False)).then(0.0)
    return (
        needy.join(unknown_surplus, on=_POOL, how="left")
        .join(best.select(*_POOL, "donor", "surplus"), on=_POOL, how="left")
        .select(*_POOL, "donor", pl.coalesce("surplus", none).alias("surplus"))
    )


# --- which throttle is in force, and how far it may be raised


def find_throttles(history: pl.DataFrame) -> pl.DataFrame:
    """Find the throttle in force of each unit: columns unit_id, direction (OVERFLOW), limit (packages/hour).

    Args:
        history: `RECOMMENDATIONS` of the ticks before, at least those of the units that were throttled.

    """
    throttled = (pl.col("action") == "THROTTLE").fill_null(value=False) & pl.col("quantity").is_not_null()
    released = (pl.col("verdict") == "CLEAR") & pl.col("action").is_null()
    return (
        history.filter(pl.col("direction") == "OVERFLOW", throttled | released)
        .sort("unit_id", "snapshot_ts")
        .unique("unit_id", keep="last", maintain_order=True)
        .filter(pl.col("action") == "THROTTLE")
        .select("unit_id", "direction", pl.col("quantity").alias("limit"))
    )


def _derive_raised(policy: Policy) -> pl.Expr:
    """Derive a throttle in force after one tick of release."""
    step, limit = policy.quantities.throttle_step, pl.col("limit")
    return pl.max_horizontal(_derive_floored(limit * (1 + policy.quantities.release_share), step), limit + step)


def _derive_floored(rate: pl.Expr, step: float) -> pl.Expr:
    return (rate / step).round(DIGITS).floor() * step


def _derive_throttle(policy: Policy) -> pl.Expr:
    """Derive the inflow, in packages an hour, at which a buffer settles at its target; a throttle rises slowly."""
    above = pl.col("level") - policy.quantities.induct_target * pl.col("capacity")
    settling = ((pl.col("outflow_rate") - above / policy.quantities.settle_minutes) * 60).clip(0)
    wanted = _derive_floored(settling, policy.quantities.throttle_step)
    return (
        pl.when(pl.col("limit").is_null() | (wanted <= _derive_raised(policy)))
        .then(wanted)
        .otherwise(_derive_raised(policy))
    )


def _add_throttle(rows: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Add action, quantity and reckoning to rows that request nothing."""
    clear, throttled = (pl.col("verdict") == "CLEAR") & (pl.col("quality") == "FRESH"), pl.col("limit").is_not_null()
    most = pl.coalesce("max_rate", pl.col("service_rate") * 60, 0.0)
    ends = throttled & clear & (_derive_raised(policy) >= most)
    held = throttled & ~ends
    # The floor is notified of one raise alone, at which the alert is cleared: so it says how the others follow.
    share, step = policy.quantities.release_share, policy.quantities.throttle_step
    pace = f"by at most {share * 100:g} % (or {step:g}) every {TICK_MINUTES} min"
    raised = f"Raise the throttle from {{}} to {{}} packages/h, then {pace} while it is clear."
    doubtful = f"The throttle of {{}} packages/h stays until all data are fresh, then rises {pace}."
    text = (
        pl.when(ends)
        .then(format_text("The throttle of {} packages/h ends.", derive_whole("limit")))
        .when(held & clear)
        .then(format_text(raised, derive_whole("limit"), derive_whole(_derive_raised(policy))))
        .when(held & (pl.col("verdict") == "CLEAR"))
        .then(format_text(doubtful, derive_whole("limit")))
        .when(held)
        .then(format_text("The throttle of {} packages/h stays.", derive_whole("limit")))
    )
    return rows.with_columns(
        pl.when(held).then(pl.lit("THROTTLE")).when(pl.col("verdict") == "WARN").then("usual_action").alias("action"),
        pl.when(held & clear).then(_derive_raised(policy)).when(held).then("limit").alias("quantity"),
        text.alias("reckoning"),
    )


# --- where a lane's packages can go


def _add_divert(requests: pl.DataFrame, units: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Add what lanes must divert, in packages an hour, who can take it, and which closed sibling could be opened.

    Packages go to a few siblings, those with the most room, and as whole ones; what is less than one an hour is left
    out, and what does not divide goes to the first.
    """
    wanted = policy.quantities
    above = pl.col("level") - wanted.lane_target * pl.col("capacity")
    divert = ((_derive_net_flow() + above / wanted.settle_minutes) * 60).clip(0).round(DIGITS).ceil()
    lanes = requests.filter(pl.col("unit_type").is_in(["PACK", "LANE"])).select(
        *GROUP, "unit_id", divert.alias("divert")
    )
    may_take = pl.col("takes") & (pl.col("quality") == "FRESH") & (pl.col("least_fill") <= wanted.recipient_limit)
    neighbours = (
        units.with_columns(pl.when(may_take).then(_derive_headroom(policy)).alias("headroom"))
        .with_columns(pl.col("headroom").is_null().alias("unknown_headroom"))
        .select(*GROUP, pl.col("unit_id").alias("sibling"), *_OF_SIBLINGS)
    )
    siblings = (
        lanes.join(neighbours, on=GROUP).filter(pl.col("unit_id") != pl.col("sibling")).sort("unit_id", "sibling")
    )
    could_open = pl.col("is_open").eq(other=False) & (pl.col("quality") != "UNKNOWN")
    closed = (
        siblings.filter(could_open, (pl.col("least_fill") <= policy.lane.sibling).fill_null(value=True))
        .sort("unit_id", "capacity", "sibling", descending=[False, True, False], nulls_last=True)
        .unique("unit_id", keep="first", maintain_order=True)
        .select("unit_id", pl.col("sibling").alias("closed_sibling"))
    )
    room = pl.col("headroom").sum().over("unit_id")
    share = pl.when(room > 0).then(pl.col("divert") * pl.col("headroom") / room).round(DIGITS).floor()
    rest = pl.min_horizontal(pl.col("divert") - pl.col("quantity").sum().over("unit_id"), pl.col("headroom") - share)
    takers = (
        siblings.filter(pl.col("takes"))
        .sort("unit_id", "headroom", "sibling", descending=[False, True, False], nulls_last=True)
        .with_columns((pl.col("sibling").cum_count().over("unit_id") - 1).alias("place"))
        .with_columns(pl.when(pl.col("place") < wanted.max_recipients).then("headroom").alias("headroom"))
        .with_columns(share.alias("quantity"), format_unit_name("sibling").alias("name"))
        .with_columns(pl.col("quantity") + pl.when(pl.col("place") == 0).then(rest.clip(0)).otherwise(0))
    )
    recipients = takers.group_by("unit_id", maintain_order=True).agg(
        pl.col("headroom").sum().alias("room"),
        pl.col("quantity").sum().alias("shared"),
        (pl.col("unknown_headroom") & (pl.col("least_fill") <= wanted.recipient_limit)).any().alias("room_unknown"),
        pl.struct(pl.col("sibling").alias("unit_id"), "quantity", "headroom")
        .filter(pl.col("quantity") >= 1)
        .alias("recipients"),
        format_text("{} to {}", derive_whole("quantity"), "name")
        .filter(pl.col("quantity") >= 1)
        .str.join(", ")
        .alias("shares"),
    )
    return (
        requests.join(lanes.select("unit_id", "divert"), on="unit_id", how="left")
        .join(closed, on="unit_id", how="left")
        .join(recipients, on="unit_id", how="left")
        .with_columns(pl.col("room").fill_null(0), pl.col("room_unknown").fill_null(value=False))
    )


_OF_SIBLINGS: Final = ("quality", "is_open", "takes", "least_fill", "capacity", "headroom", "unknown_headroom")


# --- what to do


def _add_action(requests: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Add the action, its quantity where every input is there, and why that much."""
    fresh = pl.col("quality") == "FRESH"
    lane = pl.col("unit_type").is_in(["PACK", "LANE"])
    overflow = pl.col("direction") == "OVERFLOW"
    # Where the usual action has nothing to do, the next one is taken: it has a number whatever people there are.
    none_to_add = (
        overflow & (pl.any_horizontal(pl.col("needed", "free_stations", "surplus") == 0).fill_null(value=False))
    ) & _derive_throttle(policy).is_not_null()
    none_to_divert = fresh & (pl.col("divert") == 0).fill_null(value=False) & _derive_throttle(policy).is_not_null()
    staff_or_throttle = pl.when(fresh & none_to_add).then(pl.lit("THROTTLE")).otherwise(pl.lit("MOVE_STAFF"))
    siblings_take = pl.col("rule_id").is_in(["C-UNEVEN", "C-LONE", "C-CROWDED"]) & (
        ~fresh
        | pl.col("divert").is_null()
        | ((pl.col("divert") <= pl.col("room")) & (pl.col("room") > 0))
        | pl.col("room_unknown")
    )
    action = (
        pl.when((pl.col("unit_type") == "INDUCT") | (lane & none_to_divert))
        .then(pl.lit("THROTTLE"))
        .when(lane & siblings_take)
        .then(pl.lit("REBALANCE"))
        .when(lane & pl.col("closed_sibling").is_not_null())
        .then(pl.lit("OPEN_LANE"))
        .otherwise(staff_or_throttle)
    )
    can_move = pl.min_horizontal("needed", "free_stations", "surplus")
    unlimited = ~pl.col("has_unit").fill_null(value=True)
    staff_known = pl.all_horizontal(pl.col("needed", "surplus").is_not_null()) & (
        pl.col("free_stations").is_not_null() | unlimited
    )
    is_staff, is_throttle, is_rebalance = (pl.col("action") == name for name in ("MOVE_STAFF", "THROTTLE", "REBALANCE"))
    quantity = (
        pl.when(~fresh)
        .then(None)
        .when(is_staff)
        .then(pl.when(staff_known & (can_move > 0)).then(can_move))
        .when(is_throttle)
        .then(_derive_throttle(policy))
        .when(is_rebalance)
        .then(pl.when((pl.col("divert") <= pl.col("room")) & (pl.col("shared") >= 1)).then("shared"))
        .otherwise("divert")
    )
    known = pl.col("quantity").is_not_null()
    until = pl.col("snapshot_ts") + timedelta(minutes=policy.quantities.settle_minutes)
    return (
        requests.with_columns(action.alias("action"))
        .with_columns(quantity.alias("quantity"))
        .with_columns(
            pl.when(is_staff & fresh & ~(pl.col("surplus") == 0).fill_null(value=False))
            .then("donor")
            .when(pl.col("action").is_in(["REBALANCE", "OPEN_LANE"]))
            .then("unit_id")
            .alias("source_unit"),
            pl.when(is_staff)
            .then("gains")
            .when(is_rebalance & (pl.col("quantity") > 0))
            .then("shares")
            .when(pl.col("action") == "OPEN_LANE")
            .then("closed_sibling")
            .alias("target_unit"),
            pl.when(is_rebalance & (pl.col("quantity") > 0)).then("recipients").alias("recipients"),
            pl.when(known).then(until).alias("until_ts"),
            pl.when(fresh).then(_derive_throttle(policy)).alias("throttle_to"),
            pl.when(~known).then(_list_missing()).alias("missing_inputs"),
            pl.when(fresh).then(_derive_limit()).alias("limited_by"),
        )
        .with_columns(
            _format_reckoning(policy).alias("reckoning"),
            pl.concat_list("evidence", *[derive_evidence(name, pl.col(name)) for name in _INPUTS]).alias("evidence"),
            pl.when(is_staff & fresh).then("surplus").alias("surplus"),
        )
    )


_INPUTS: Final = (
    *("level", "capacity", "inflow_rate", "outflow_rate", "gained_per_hour", "needed", "free_stations", "surplus"),
    *("limit", "divert", "room"),
)
"""What quantities are made of, stored as evidence."""


def _derive_limit() -> pl.Expr:
    """Derive why the usual action has no number, or gave way: one of `schema.LIMITED_BY`."""
    people = (pl.col("action") == "MOVE_STAFF") | ((pl.col("action") == "THROTTLE") & (pl.col("unit_type") == "TOTAL"))
    starves, lane = pl.col("direction") == "STARVATION", pl.col("unit_type").is_in(["PACK", "LANE"])
    diverts = pl.col("action").is_in(["REBALANCE", "OPEN_LANE"])
    return (
        pl.when((pl.col("action") == "THROTTLE") & (pl.col("quantity") == pl.col("limit")))
        .then(pl.lit("IN_FORCE"))
        .when(people & (pl.col("needed") == 0) | (lane & ~diverts & (pl.col("divert") == 0)))
        .then(pl.lit("SETTLES"))
        .when(people & starves & pl.col("gains").is_null())
        .then(pl.lit("NO_UPSTREAM"))
        .when(people & (pl.col("surplus") == 0))
        .then(pl.lit("NO_SURPLUS"))
        .when(people & (pl.col("free_stations") == 0))
        .then(pl.lit("NO_STATIONS"))
        .when(lane & (pl.col("action") != "REBALANCE") & (pl.col("divert") > pl.col("room")))
        .then(pl.lit("NO_ROOM"))
    )


_REQUIRED: Final = {
    "MOVE_STAFF": ("level", "capacity", "inflow_rate", "outflow_rate", "gained_per_hour", "free_stations", "surplus"),
    "THROTTLE": ("level", "capacity", "outflow_rate"),
    "REBALANCE": ("level", "capacity", "inflow_rate", "outflow_rate"),
    "OPEN_LANE": ("level", "capacity", "inflow_rate", "outflow_rate"),
}


def _list_missing() -> pl.Expr:
    """List which inputs of a quantity are not known; of data that are not fresh, the feeds; empty: none."""
    inputs = pl.coalesce(
        pl.when(pl.col("action") == action).then(_list_absent(*names)) for action, names in _REQUIRED.items()
    )
    return pl.when(pl.col("quality") != "FRESH").then("missing_feeds").otherwise(inputs.replace("", None))


def _list_absent(*names: str) -> pl.Expr:
    absent = [
        pl.when(pl.col(name).is_null() & ~_needs_no(name)).then(pl.lit(_NAMES.get(name, name.replace("_", " "))))
        for name in names
    ]
    return pl.concat_str(*absent, separator=", ", ignore_nulls=True)


def _needs_no(name: str) -> pl.Expr:
    """Return whether a quantity does without an input: no one knows the stations of a pool without a unit."""
    return ~pl.col("has_unit").fill_null(value=True) if name == "free_stations" else pl.lit(value=False)


def _format_reckoning(policy: Policy) -> pl.Expr:
    """Format why that much; of an unknown quantity, what is missing. The action itself is in columns of its own."""
    settles = pl.lit(f"It settles within {policy.quantities.settle_minutes:g} min as it is.")
    known = pl.col("quantity").is_not_null()
    words = {
        "MOVE_STAFF": pl.coalesce(
            pl.when(pl.col("needed") == 0).then(settles),
            pl.when(known | pl.col("limited_by").is_in(["NO_SURPLUS", "NO_STATIONS"])).then(
                format_text("{}.", _format_staff())
            ),
            _format_unknown(
                *("level", "capacity", "inflow_rate", "outflow_rate", "gains", "gained_per_hour"),
                *("free_stations", "surplus"),
            ),
        ),
        "THROTTLE": pl.concat_str(
            pl.when(known & (pl.col("limited_by") == "SETTLES")).then(settles),
            pl.when(
                known & (pl.col("unit_type") != "INDUCT") & pl.col("limited_by").ne_missing(pl.lit("SETTLES"))
            ).then(format_text("No one can be added: {}.", _format_staff())),
            pl.when(known).then(format_text("The throttle is {} packages/h now.", derive_whole("limit"))),
            pl.when(~known).then(_format_unknown("level", "capacity", "outflow_rate")),
            separator=" ",
            ignore_nulls=True,
        ).replace("", None),
        "REBALANCE": pl.coalesce(
            pl.when(~known).then(
                _format_unknown("level", "capacity", "inflow_rate", "outflow_rate", otherwise="what siblings can take")
            ),
        ),
        "OPEN_LANE": pl.when(known)
        .then(format_text("Open siblings can take {} packages/h.", derive_whole("room")))
        .otherwise(_format_unknown("level", "capacity", "inflow_rate", "outflow_rate")),
    }
    return pl.coalesce(pl.when(pl.col("action") == action).then(text) for action, text in words.items())


def _format_staff() -> pl.Expr:
    """Format '6 needed, room for 4, 5 to spare'; what is not known is left out."""
    parts = {"needed": "{} needed", "free_stations": "room for {}", "surplus": "{} to spare"}
    return pl.concat_str(
        *[format_text(text, derive_whole(name)) for name, text in parts.items()], separator=", ", ignore_nulls=True
    )


_NAMES: Final = {
    "gains": "pool before it",
    "gained_per_hour": "units per hour",
    "free_stations": "max rate or headcount",
    "surplus": "headcount to spare",
}


def _format_unknown(*names: str, otherwise: str = "") -> pl.Expr:
    """Format 'How many is not known: no max rate or headcount.': which inputs of a quantity are not there."""
    listed = _list_absent(*names)
    missing = (
        pl.when(pl.col("quality") != "FRESH")
        .then(pl.lit("the data are not all fresh"))
        .when(listed != "")
        .then(format_text("no {}", listed))
        .otherwise(pl.lit(f"no {otherwise}"))
    )
    return format_text("How many is not known: {}.", missing)


def _derive_headroom(policy: Policy) -> pl.Expr:
    """Derive what a sibling can take, in whole packages an hour, without getting too full."""
    wanted = policy.quantities
    room = (wanted.recipient_limit * pl.col("capacity") - pl.col("level")) / wanted.recipient_minutes
    return ((room - _derive_net_flow()) * 60).clip(0).round(DIGITS).floor()


def _derive_net_flow() -> pl.Expr:
    return pl.col("inflow_rate") - pl.col("outflow_rate")


# --- words


def derive_evidence(
    name: str, value: pl.Expr, threshold: float | None = None, margin: pl.Expr | None = None
) -> pl.Expr:
    """Derive one element of `schema.EVIDENCE`."""
    return pl.struct(
        pl.lit(name).alias("name"),
        value.cast(pl.Float64).alias("value"),
        pl.lit(threshold, pl.Float64).alias("threshold"),
        (pl.lit(None, pl.Float64) if margin is None else margin).alias("margin"),
    )


def format_unit_name(unit: str) -> pl.Expr:
    """Format a unit as people of its warehouse call it: 'PICK TOTAL'."""
    return pl.col(unit).str.strip_prefix(pl.col("warehouse") + "_").str.replace_all("_", " ", literal=True)


def derive_whole(value: str | pl.Expr) -> pl.Expr:
    """Derive the nearest whole number."""
    return (pl.col(value) if isinstance(value, str) else value).round(0).cast(pl.Int64)


def derive_tenths(value: str | pl.Expr) -> pl.Expr:
    """Derive a number as people read it: '87.5'."""
    return (pl.col(value) if isinstance(value, str) else value).round(1)
