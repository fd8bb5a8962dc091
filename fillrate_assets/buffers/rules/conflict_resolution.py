"""Verdicts -> recommendations: conflicts inside a warehouse, R1 to R8. Nothing is deleted.

Rows are ranked by severity, scope (TOTAL > INDUCT > PACK > LANE), minutes left and unit_id; the order of the input
cannot matter. Only what requests an action, an ACT or an EMERGENCY, can win or lose. A row that is OVERRIDDEN or
CAUSED_BY_ACTION has no action any more; one that is CHANGED has less. What each was before is stored beside it.

The rules are applied in this order, so that none works for a row that an earlier one took away: R7, R5, R1, R4, R2,
R3, R6, R8; R1 and R4 again for the throttles that R3 leaves. Units are compared by the paths they share. What the
design leaves open is in decisions 0064 and 0184. When the floor is notified does not belong here.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules.policy import Policy
from fillrate_assets.buffers.rules.recommendation_sizing import (
    NEEDS_ACTION,
    derive_whole,
    find_upstream_pools,
    format_unit_name,
    name_consumers,
)
from fillrate_assets.buffers.rules.shared_paths import find_sharing, find_within
from fillrate_assets.core.table_schema import TIMESTAMP
from fillrate_assets.core.text_columns import format_text

_POOL: Final = ["warehouse", "pool"]
_IS_KEPT: Final = pl.col("resolution").is_in(["KEPT", "CHANGED"])
_IS_MOVE: Final = _IS_KEPT & (pl.col("action") == "MOVE_STAFF")
_IS_THROTTLE: Final = _IS_KEPT & (pl.col("action") == "THROTTLE")
_PRECISION: Final = 1e-9
"""Packages an hour that are none."""


def resolve_conflicts(
    verdicts: pl.DataFrame, units: pl.DataFrame, history: pl.DataFrame, *, policy: Policy
) -> pl.DataFrame:
    """Resolve conflicts between the verdicts of one tick.

    Args:
        verdicts: `VERDICTS_OF_UNITS` of one tick.
        units: `UNIT_TIMESERIES` of the same tick.
        history: `RECOMMENDATIONS` of the 30 minutes before the tick, of the units that were throttled.
        policy: the order of pools, and for how long a throttle is blamed.

    Returns:
        `RECOMMENDATIONS`, the same keys, sorted by them.

    """
    consumers = units.select("unit_id", "consumers")
    verdicts, history = (
        name_consumers(rows.join(consumers, on="unit_id", how="left", maintain_order="left"))
        for rows in (verdicts, history)
    )
    ranked = _rank_rows(verdicts)
    requests = ranked.filter(NEEDS_ACTION)
    if requests.height:
        requests = _resolve_requests(requests, verdicts, units, history, policy)
    changed = pl.col("resolution") != "KEPT"
    return (
        pl.concat([requests, ranked.filter(~NEEDS_ACTION)])
        .with_columns(pl.when(changed).then(name).alias(name) for name in _ORIGINALS)
        .with_columns(pl.col("named_pool").alias("pool"))
        .lazy()
        .pipe(schema.RECOMMENDATIONS.conform)
        .collect()
        .sort("unit_id", "direction")
    )


def _resolve_requests(
    requests: pl.DataFrame, verdicts: pl.DataFrame, units: pl.DataFrame, history: pl.DataFrame, policy: Policy
) -> pl.DataFrame:
    """Apply the rules in their order."""
    return (
        requests.pipe(_apply_r7_to_pools, verdicts)
        .pipe(_apply_r7_to_recipients, verdicts)
        .pipe(_apply_r5_own_throttle_starves, units, history, policy)
        .pipe(_apply_r1_shared_paths, units)
        .pipe(_apply_r4_throttle_cancels_staff_upstream, verdicts, policy)
        .pipe(_apply_r2_opposite_moves)
        .pipe(_apply_r3_donor_surplus)
        .pipe(_resolve_late_throttles, verdicts, units, policy)
        .pipe(_apply_r6_recipients_in_trouble)
        .pipe(_apply_r8_total_speaks_for_lanes, units)
    )


_ORIGINALS: Final = {f"original_{name}": name for name in ("action", "quantity", "verdict", "explanation")}


def _rank_rows(verdicts: pl.DataFrame) -> pl.DataFrame:
    """Rank rows in their total order, with their rank, their name, and what they are before anything is resolved."""
    severity = pl.col("verdict").cast(pl.Enum(schema.SEVERITIES), strict=False).to_physical()
    scope = pl.col("unit_type").cast(pl.Enum(schema.UNIT_TYPES)).to_physical()
    return (
        verdicts.sort(
            *("warehouse", severity, scope, "minutes_left", "unit_id", "direction"),
            descending=[False, True, False, False, False, False],
            nulls_last=True,
        )
        .with_row_index("rank")
        .with_columns(
            format_text("{} {}", "unit_id", "direction").alias("row"),
            pl.lit("KEPT").alias("resolution"),
            pl.lit(None, pl.String).alias("resolution_rule"),
            pl.lit(None, pl.String).alias("winner"),
            *[pl.col(name).alias(original) for original, name in _ORIGINALS.items()],
        )
    )


# --- the rules, in the order in which they are applied


def _apply_r7_to_pools(rows: pl.DataFrame, verdicts: pl.DataFrame) -> pl.DataFrame:
    unknown = verdicts.filter(
        pl.col("unit_type") == "TOTAL", pl.col("direction") == "OVERFLOW", pl.col("quality") == "UNKNOWN"
    ).select("warehouse", pl.col("pool").alias("unknown"), format_text("{} {}", "unit_id", "direction").alias("winner"))
    giving = _join_unknown_pool(rows.filter(_IS_MOVE, pl.col("quantity").is_not_null()), unknown, "source_unit")
    taking = _join_unknown_pool(rows.filter(_IS_MOVE, pl.col("quantity").is_not_null()), unknown, "target_unit")
    return rows.pipe(
        _change,
        pl.concat([giving, taking]).unique("rank", keep="first", maintain_order=True),
        "R7",
        format_text("Nothing is known of {}, so no one is moved from or to it.", "unknown"),
        quantity=pl.lit(None, pl.Float64),
        source_unit=pl.when(pl.col("source_unit") != pl.col("unknown")).then("source_unit"),
        until_ts=pl.lit(None, TIMESTAMP),
        missing_inputs=format_text("level of {}", "unknown"),
    )


def _join_unknown_pool(rows: pl.DataFrame, unknown: pl.DataFrame, pool: str) -> pl.DataFrame:
    """Join rows with their pool of that name where it is unknown."""
    joined = rows.drop("winner").join(
        unknown.with_columns(pl.col("unknown").alias("met")), left_on=["warehouse", pool], right_on=["warehouse", "met"]
    )
    return joined.select(*rows.columns, "unknown")


def _apply_r7_to_recipients(rows: pl.DataFrame, verdicts: pl.DataFrame) -> pl.DataFrame:
    unknown = verdicts.filter(pl.col("quality") == "UNKNOWN", pl.col("direction") == "OVERFLOW").select(
        pl.col("unit_id").alias("recipient"), format_text("{} {}", "unit_id", "direction").alias("blocker")
    )
    shares = _list_shares(rows).join(unknown, on="recipient", how="left")
    granted = pl.when(pl.col("blocker").is_null()).then("share").otherwise(0.0)
    return _regrant(rows, shares.with_columns(granted.alias("granted")), "R7")


def _apply_r5_own_throttle_starves(
    rows: pl.DataFrame, units: pl.DataFrame, history: pl.DataFrame, policy: Policy
) -> pl.DataFrame:
    coming, allowed = pl.col("inflow_rate") * 60, pl.col("quantity")
    slack = policy.suppression.consequence_slack
    at_work = coming.is_between((1 - slack) * allowed, (1 + slack) * allowed).fill_null(value=True)
    order = pl.DataFrame({"pool": policy.pool_order}, schema={"pool": pl.String}).with_row_index("order")
    throttles = (
        history.filter(_IS_THROTTLE, pl.col("quantity").is_not_null())
        .sort("unit_id", "snapshot_ts")
        .unique("unit_id", keep="last", maintain_order=True)
        .join(units.select("unit_id", "inflow_rate"), on="unit_id", how="left")
        .filter(at_work)
        .join(order, on="pool", how="left")
        .select(
            "warehouse",
            pl.col("unit_id").alias("throttled_unit"),
            pl.col("pool").alias("throttled_pool"),
            pl.col("order").alias("throttled_order"),
            pl.col("snapshot_ts").alias("throttled_ts"),
            pl.col("quantity").alias("throttled_to"),
            format_text("{} {}", "unit_id", "direction").alias("winner"),
        )
    )
    paths = units.select("warehouse", "unit_id", "paths")
    of_throttles = paths.join(throttles.select(pl.col("throttled_unit").alias("unit_id")).unique(), on="unit_id")
    of_starving = paths.join(rows.filter(pl.col("direction") == "STARVATION"), on="unit_id", how="semi")
    sharing = find_sharing(of_throttles, of_starving).select(
        pl.col("outer").alias("throttled_unit"), "unit_id", pl.lit(value=True).alias("shares")
    )
    age = pl.col("snapshot_ts") - pl.col("throttled_ts")
    blamed = pl.duration(minutes=policy.suppression.consequence_minutes)
    starved = (
        rows.drop("winner")
        .filter(_IS_KEPT, pl.col("direction") == "STARVATION")
        .join(order, on="pool", how="left")
        .join(throttles, on="warehouse")
        .join(sharing, on=["throttled_unit", "unit_id"], how="left")
        .filter(
            (pl.col("pool") == pl.col("throttled_pool"))
            | (pl.col("throttled_order") <= pl.col("order"))
            | pl.col("shares").fill_null(value=False),
            (age > timedelta(0)) & (age <= blamed),
        )
        .sort("rank", "throttled_ts", "winner", descending=[False, True, False])
        .unique("rank", keep="first", maintain_order=True)
    )
    text = format_text(
        "It follows from our own throttle of {} packages/h at {} UTC ({}).",
        *(pl.col("throttled_to").round(0).cast(pl.Int64), pl.col("throttled_ts").dt.strftime("%H:%M"), "winner"),
    )
    return _change(rows, starved, "R5", text, resolution="CAUSED_BY_ACTION", **_NO_ACTION)


def _apply_r1_shared_paths(rows: pl.DataFrame, units: pl.DataFrame) -> pl.DataFrame:
    return rows.pipe(_override_equal_paths, units).pipe(_subsume_throttles, units)


def _override_equal_paths(rows: pl.DataFrame, units: pl.DataFrame) -> pl.DataFrame:
    """Leave one row of units with the same paths, in each direction: the one that ranks first."""
    twice = _join_pairs(rows.filter(_IS_KEPT), rows.filter(_IS_KEPT), units).filter("equal")
    text = format_text("{} has the same paths.", "winner")
    return _override(rows, twice.unique("rank", keep="first", maintain_order=True), "R1", text)


def _subsume_throttles(rows: pl.DataFrame, units: pl.DataFrame) -> pl.DataFrame:
    throttles = rows.filter(_IS_THROTTLE)
    both = (
        _join_pairs(throttles, throttles, units)
        .filter(~pl.col("equal"))
        .sort("rank", "paths_of_outer", "outer_rank", descending=[False, True, False])
        .unique("rank", keep="first", maintain_order=True)
    )
    emergency = pl.col("verdict") == "EMERGENCY"
    less = both.filter(emergency, pl.col("quantity").is_null() | (pl.col("outer_quantity") < pl.col("quantity")))
    less = less.filter(pl.col("outer_quantity").is_not_null())
    text = format_text("Throttle it to {} packages/h, as all of {}.", derive_whole("outer_quantity"), "winner")
    return rows.pipe(
        _override, both.filter(~emergency), "R1", format_text("{} is throttled, with all its paths.", "winner")
    ).pipe(_change, less, "R1", text, quantity=pl.col("outer_quantity"))


def _resolve_late_throttles(
    rows: pl.DataFrame, verdicts: pl.DataFrame, units: pl.DataFrame, policy: Policy
) -> pl.DataFrame:
    """Resolve the conflicts of the throttles that took the place of a move for which no one was left."""
    if rows.filter(_IS_THROTTLE, pl.col("resolution_rule") == "R3").is_empty():
        return rows
    return rows.pipe(_apply_r1_shared_paths, units).pipe(_apply_r4_throttle_cancels_staff_upstream, verdicts, policy)


def _join_pairs(wide: pl.DataFrame, narrow: pl.DataFrame, units: pl.DataFrame) -> pl.DataFrame:
    """Join rows with those of units that have all their paths, in the same direction, named as winner.

    Of two with the same paths only the lower one is there.
    """
    paths = units.select("unit_id", "paths")
    sides = [frame.select("warehouse", "unit_id").unique().join(paths, on="unit_id") for frame in (wide, narrow)]
    outer = wide.select(
        pl.col("unit_id").alias("outer"),
        "direction",
        pl.col("rank").alias("outer_rank"),
        pl.col("quantity").alias("outer_quantity"),
        pl.col("row").alias("winner"),
    )
    return (
        narrow.drop("winner")
        .join(find_within(*sides), on="unit_id")
        .join(outer, on=["outer", "direction"])
        .filter(~pl.col("equal") | (pl.col("outer_rank") < pl.col("rank")))
        .sort("rank", "outer_rank")
    )


def _apply_r8_total_speaks_for_lanes(rows: pl.DataFrame, units: pl.DataFrame) -> pl.DataFrame:
    """Leave a lane that has no measure of its own to its total, whose notice names it."""
    totals = rows.filter(_IS_KEPT, pl.col("unit_type") == "TOTAL", pl.col("action").is_not_null())
    of_pool = pl.col("action").is_in(["MOVE_STAFF", "THROTTLE"]) & pl.col("unit_type").is_in(["PACK", "LANE"])
    within = _join_pairs(totals, rows.filter(_IS_KEPT, of_pool), units)
    text = format_text("{} is reported, with all its paths.", "winner")
    return _override(rows, within.unique("rank", keep="first", maintain_order=True), "R8", text)


def _apply_r4_throttle_cancels_staff_upstream(
    rows: pl.DataFrame, verdicts: pl.DataFrame, policy: Policy
) -> pl.DataFrame:
    # A pool without a unit has no verdict, yet people may be added to it.
    targets = rows.filter(_IS_MOVE).select("warehouse", pl.col("target_unit").alias("pool")).drop_nulls()
    pools = pl.concat([verdicts.select(_POOL), targets])
    throttles = (
        rows.filter(_IS_THROTTLE)
        .join(find_upstream_pools(pools, policy), on=_POOL)
        .sort("rank")
        .unique(["warehouse", "upstream"], keep="first", maintain_order=True)
        .select("warehouse", pl.col("upstream").alias("target_unit"), pl.col("row").alias("winner"))
    )
    cancelled = rows.drop("winner").filter(_IS_MOVE).join(throttles, on=["warehouse", "target_unit"])
    text = format_text("No one is added to {}: what it feeds is throttled ({}).", "target_unit", "winner")
    return _override(rows, cancelled, "R4", text)


def _apply_r2_opposite_moves(rows: pl.DataFrame) -> pl.DataFrame:
    moves = rows.filter(
        _IS_MOVE, (pl.col("quantity") > 0).fill_null(value=True), pl.col("quality") != "UNKNOWN"
    ).select("rank", "warehouse", "source_unit", "target_unit")
    sides = pl.concat(
        [
            moves.select("rank", "warehouse", pl.col("source_unit").alias("pool"), pl.lit(-1).alias("sign")),
            moves.select("rank", "warehouse", pl.col("target_unit").alias("pool"), pl.lit(1).alias("sign")),
        ]
    )
    opposed = sides.join(sides, on=_POOL, suffix="_above").filter(
        pl.col("sign") != pl.col("sign_above"), pl.col("rank_above") < pl.col("rank")
    )
    losses = []
    while opposed.height:
        # A move without an opponent above stays, and those it opposes lose; then these oppose no move any more.
        firm = opposed.join(opposed.select(pl.col("rank").alias("rank_above")), on="rank_above", how="anti")
        losses.append(
            firm.group_by("rank").agg(pl.col("rank_above").min(), pl.col("pool").sort_by("rank_above").first())
        )
        lost = losses[-1].select("rank")
        opposed = opposed.join(lost, on="rank", how="anti").join(
            lost.select(pl.col("rank").alias("rank_above")), on="rank_above", how="anti"
        )
    if not losses:
        return rows
    winners = rows.select(pl.col("rank").alias("rank_above"), pl.col("row").alias("winner"))
    beaten = pl.concat(losses).select("rank", "rank_above", pl.col("pool").alias("contested"))
    text = format_text("{} cannot both give and get associates: {} goes first.", "contested", "winner")
    return _override(rows, rows.drop("winner").join(beaten, on="rank").join(winners, on="rank_above"), "R2", text)


def _apply_r3_donor_surplus(rows: pl.DataFrame) -> pl.DataFrame:
    donor = ["warehouse", "source_unit"]
    # Rows are in their order of rank.
    before = pl.col("quantity").cum_sum().shift(1, fill_value=0).over(donor)
    granted = (pl.col("surplus").min().over(donor) - before).clip(0)
    cut = (
        rows.filter(_IS_MOVE, pl.col("quantity") > 0, pl.col("source_unit").is_not_null())
        .with_columns(granted.alias("granted"), pl.col("row").first().over(donor).alias("winner"))
        .filter(pl.col("granted") < pl.col("quantity"))
    )
    text = format_text(
        "Move {} of {}: {} goes first, and {} can spare {}.",
        *(derive_whole(name) for name in ("granted", "quantity")),
        "winner",
        "source_unit",
        derive_whole("surplus"),
    )
    no_one = format_text(
        "No one of {} is left: {} goes first, and {} can spare {}.",
        *(derive_whole("quantity"), "winner", "source_unit", derive_whole("surplus")),
    )
    left = pl.col("granted") > 0
    can_throttle = (pl.col("direction") == "OVERFLOW") & pl.col("throttle_to").is_not_null()
    instead: dict[str, pl.Expr] = {
        "action": pl.lit("THROTTLE"),
        "quantity": pl.col("throttle_to"),
        "quantity_unit": pl.lit("packages/hour"),
        "target_unit": pl.lit(None, pl.String),
    }
    none = {
        "source_unit": pl.lit(None, pl.String),
        "surplus": pl.lit(None, pl.Float64),
        "limited_by": pl.lit("NO_SURPLUS"),
    }
    gone = {"quantity": pl.lit(None, pl.Float64), "until_ts": pl.lit(None, TIMESTAMP)}
    rows = _change(rows, cut.filter(left), "R3", text, quantity=pl.col("granted"))
    rows = _change(rows, cut.filter(~left & can_throttle), "R3", no_one, "CHANGED", **none, **instead)
    return _change(rows, cut.filter(~left & ~can_throttle), "R3", no_one, "CHANGED", **none, **gone)


def _apply_r6_recipients_in_trouble(rows: pl.DataFrame) -> pl.DataFrame:
    alerts = rows.group_by(pl.col("unit_id").alias("recipient")).agg(
        pl.col("row").sort_by("rank").first().alias("alert")
    )
    shares = _list_shares(rows).join(alerts, on="recipient", how="left").sort("rank", "recipient")
    fine = pl.col("alert").is_null()
    taken = pl.when(fine).then("share").otherwise(0.0)
    before = taken.cum_sum().shift(1, fill_value=0).over("recipient")
    left = (pl.col("headroom") - before).clip(0)
    granted = pl.when(~fine).then(0.0).when(pl.col("share") <= left + _PRECISION).then("share").otherwise(left)
    blocker = pl.coalesce("alert", pl.col("row").first().over("recipient"))
    return _regrant(rows, shares.with_columns(granted.alias("granted"), blocker.alias("blocker")), "R6")


# --- how a row changes


def _list_shares(rows: pl.DataFrame) -> pl.DataFrame:
    """List one row per recipient of each rebalance that remains."""
    return (
        rows.filter(_IS_KEPT, pl.col("action") == "REBALANCE", pl.col("quantity") > 0)
        .select("rank", "row", "warehouse", "recipients")
        .explode("recipients", empty_as_null=False, keep_nulls=False)
        .select(
            *("rank", "row", "warehouse"),
            pl.col("recipients").struct.field("unit_id").alias("recipient"),
            pl.col("recipients").struct.field("quantity").alias("share"),
            pl.col("recipients").struct.field("headroom"),
        )
    )


def _regrant(rows: pl.DataFrame, shares: pl.DataFrame, rule: str) -> pl.DataFrame:
    """Grant rebalances what their recipients can take; a row of which nothing is left is overridden."""
    some = pl.col("granted") > _PRECISION
    share = format_text("{} to {}", derive_whole("granted"), format_unit_name("recipient"))
    cut = (
        shares.sort("rank", "recipient")
        .with_columns((pl.col("granted") < pl.col("share")).alias("cut"))
        .group_by("rank", maintain_order=True)
        .agg(
            pl.col("granted").sum(),
            pl.struct(pl.col("recipient").alias("unit_id"), pl.col("granted").alias("quantity"), "headroom")
            .filter(some)
            .alias("left"),
            share.filter(some).str.join(", ").alias("shares"),
            pl.col("blocker").filter("cut").first().alias("winner"),
            pl.col("recipient").filter("cut").str.join(", ").alias("dropped"),
            pl.col("cut").any(),
        )
        .filter("cut")
    )
    changed = rows.drop("winner").join(cut, on="rank")
    none = pl.col("granted") <= _PRECISION
    rest = format_text("Divert {} packages/h: {}", derive_whole("granted"), "shares")
    text = format_text("{}; {} cannot take its share.", rest, "dropped")
    return rows.pipe(_override, changed.filter(none), rule, format_text("{} cannot take packages.", "dropped")).pipe(
        _change,
        changed.filter(~none),
        rule,
        text,
        quantity=pl.col("granted"),
        target_unit=pl.col("shares"),
        recipients=pl.col("left"),
    )


_NO_ACTION: Final = {
    name: pl.lit(None, schema.RECOMMENDATIONS.polars[name])
    for name in ("action", "quantity", "quantity_unit", "source_unit", "target_unit", "recipients", "until_ts")
}


def _override(rows: pl.DataFrame, losers: pl.DataFrame, rule: str, text: pl.Expr) -> pl.DataFrame:
    return _change(rows, losers, rule, text, resolution="OVERRIDDEN", **_NO_ACTION)


def _change(
    rows: pl.DataFrame,
    /,
    changed: pl.DataFrame,
    rule: str,
    text: pl.Expr,
    resolution: str = "CHANGED",
    **columns: pl.Expr,
) -> pl.DataFrame:
    """Change rows, which then name their winner; the explanation before is appended."""
    if changed.is_empty():
        return rows
    changes = changed.select(
        "rank",
        "winner",
        pl.lit(resolution).alias("resolution"),
        pl.lit(rule).alias("resolution_rule"),
        format_text("{}: {} Before: {}", pl.lit(rule), text, "explanation").alias("explanation"),
        **columns,
    )
    return rows.update(changes, on="rank", include_nulls=True)
