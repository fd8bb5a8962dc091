"""Shipments: what left for an order line, part by part.

A shipment is known by its order line and its `shipment_id` or, where the source has none, the time it left. Versions
of one shipment supersede each other, shipments of one line add up (docs/explanation/methodology.md, "Shipments").
What a line ordered, and what becomes of it, belongs to `line_classification`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import polars as pl

from fillrate_assets.core import codes, parsing
from fillrate_assets.core.decimals import to_units
from fillrate_assets.core.text_columns import format_text
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.rules.row_versions import (
    CONTRADICTS,
    LINE_KEY,
    fill_schedule_lines,
    has_one_version,
    mark_versions,
)
from fillrate_assets.fillrate.rules.units_of_measure import (
    MAX_QUANTITY,
    NEGATIVE,
    TOO_LARGE,
    UNITS,
    convert_to_cases,
    find_unit_problem,
    is_plain_quantity,
    normalize_code,
)

DATED_LINE: Final = [*LINE_KEY, "ship_date"]
"""A shipment speaks for the order line of its own ship date."""

PARTS_EXCEED: Final = "shipments without a shipment_id add up to more than was ordered: parts, or versions of one?"

_IDENTITY: Final = [*LINE_KEY, "shipment_id", "left_at"]
_TIMES: Final = ("shipped_at", "delivered_at")
_ADDED_UP: Final = (
    *("line", "ordered", "shipped", "arrived_at", "left_at", "shipment_id", "processed_at", "source_seq"),
    *("reason_code", "problem"),
)
_NO_LINE: Final = "no order line for this shipment on its ship date"
_SEVERAL_SCHEDULES: Final = "the order line has several schedule lines on this ship date, and the shipment names none"


class SelectedShipments(NamedTuple):
    """Shipments beside their order lines.

    Attributes:
        usable: of each usable one what `add_up_shipments` needs: `line` and `ordered` of its order line, `shipped` (in
            ten-thousandths of a case), `arrived_at`, `left_at`, `shipment_id`, its version, `reason_code`, `problem`.
        unused: every column of the others, `superseded` or else `rejection`, and `quantity`.

    """

    usable: pl.LazyFrame
    unused: pl.LazyFrame


def select_shipments(shipments: pl.LazyFrame, lines: pl.LazyFrame) -> SelectedShipments:
    """Select what is known of each shipment, beside its order line.

    Args:
        shipments: `SHIPMENT_LINES`, any number of versions per shipment.
        lines: current order lines: `DATED_LINE`, `line`, which numbers them, `ordered` and `pack` in ten-thousandths.

    """
    known = (
        fill_schedule_lines(shipments)
        .with_columns(pl.when(pl.col("shipment_id").is_null()).then("shipped_at").alias("left_at"))
        .collect()
        .lazy()
    )
    placed = pl.concat([known, _find_lines(known.select(DATED_LINE), lines)], how="horizontal")
    in_cases = convert_to_cases("shipped_qty", pl.col("uom").fill_null("CS"), pl.col("pack")).alias("in_cases")
    placed = placed.with_columns(in_cases).with_columns(_is_plain_shipment().alias("plain")).collect().lazy()
    # A shipment is known by what its own row says: the platform reads the rows of other days without their order lines.
    judged = _judge_shipments(mark_versions(placed.filter(~pl.col("plain")), _IDENTITY), lines).collect().lazy()
    unused = pl.col("superseded").is_not_null() | pl.col("rejection").is_not_null()
    usable = [
        _accept_plain_shipments(placed.filter("plain")),
        judged.filter(pl.col("shipped").is_not_null()).select(_ADDED_UP),
    ]
    return SelectedShipments(
        pl.concat(usable), judged.filter(unused).with_columns(pl.col("named").alias("schedule_line"))
    )


def _is_plain_shipment() -> pl.Expr:
    """Match shipments with nothing to judge: the only version, a quantity of one order line."""
    return (
        has_one_version(_IDENTITY)
        & pl.col("problem").is_null()
        & pl.col("line").is_not_null()
        & ~pl.col("several_schedules")
        & is_plain_quantity("shipped_qty", "in_cases")
    )


def _accept_plain_shipments(plain: pl.LazyFrame) -> pl.LazyFrame:
    """Accept plain shipments, which are almost all, as `_judge_shipments` would, at a fraction of the cost."""
    return plain.with_columns(
        pl.col("in_cases").alias("shipped"), pl.coalesce("delivered_at", "shipped_at").alias("arrived_at")
    ).select(_ADDED_UP)


def _judge_shipments(placed: pl.LazyFrame, lines: pl.LazyFrame) -> pl.LazyFrame:
    """Judge why shipments are no use, if they are; `quantity` is that of any row, by its own unit if need be."""
    # A new reason must also make `_is_plain_shipment` false: plain shipments, which are almost all, never come here.
    uom, pack = normalize_code("uom", UNITS, "CS"), pl.col("pack")
    unusable = (
        pl.when(~parsing.is_unread_only(pl.col("problem"), schema.SHIPMENT_LINES, _TIMES))
        .then(pl.col("problem"))
        .when("contradicted")
        .then(pl.lit(CONTRADICTS))
        .when(pl.col("shipped_qty").is_null())
        .then(pl.lit("no shipped quantity"))
        .when(pl.col("shipped_qty") < 0)
        .then(pl.lit(NEGATIVE))
        .when(to_units("shipped_qty") > MAX_QUANTITY)
        .then(pl.lit(TOO_LARGE))
        .when(pl.col("several_schedules"))
        .then(pl.lit(_SEVERAL_SCHEDULES))
        .when(pl.col("line").is_null())
        .then(pl.lit(_NO_LINE))
        .otherwise(find_unit_problem("shipped_qty", uom, pack))
    )
    usable = pl.col("superseded").is_null() & pl.col("rejection").is_null()
    delivered_unread = parsing.extract_unread_text(pl.col("problem"), schema.SHIPMENT_LINES, "delivered_at")
    return (
        placed.with_columns(pl.when(pl.col("superseded").is_null()).then(unusable).alias("rejection"))
        .pipe(_suggest_for_strays, lines)
        .with_columns(
            pl.when(usable).then(convert_to_cases("shipped_qty", uom, pack)).alias("shipped"),
            # A delivery whose time cannot be read is no delivery at the time it left.
            pl.when(usable & delivered_unread.is_null())
            .then(pl.coalesce("delivered_at", "shipped_at"))
            .alias("arrived_at"),
            convert_to_cases("shipped_qty", uom, pack).fill_null(to_units("shipped_qty")).alias("quantity"),
        )
    )


def add_up_shipments(shipments: pl.LazyFrame) -> pl.LazyFrame:
    """Add up the usable shipments of each order line.

    Args:
        shipments: the usable ones, as `select_shipments` returns them.

    Returns:
        `line`, `shipped` in ten-thousandths of a case, `shipments` (how many), `arrived_at` of the last part
        that the line needed (null if that is unknown), `reason_code`, and `doubt`.

    """
    usable = shipments.with_columns(pl.col("line").is_duplicated().alias("partial")).collect().lazy()
    names = ("line", "shipped", "shipments", "arrived_at", "reason_code", "doubt")
    code = pl.col("reason_code").str.strip_chars().str.to_uppercase()
    whole = usable.filter(~pl.col("partial")).with_columns(
        pl.lit(1, pl.Int64).alias("shipments"),
        code.alias("reason_code"),
        pl.when(pl.col("problem").is_not_null()).then("problem").alias("doubt"),
    )
    # The parts that were needed are those that left before the order was complete, in the order of their arrival.
    so_far = pl.col("shipped").cum_sum().over("line") - pl.col("shipped")
    needed = (pl.col("shipped") > 0) & ((so_far < pl.col("ordered")) | (so_far == 0))
    timed, anonymous = pl.col("arrived_at").is_not_null(), pl.col("shipment_id").is_null()
    latest = pl.col("shipped").sort_by("processed_at", "source_seq", "left_at").last()
    ordered = pl.col("ordered").first()
    parts = (
        usable.filter("partial")
        .sort("arrived_at", "processed_at", "source_seq", "shipment_id", nulls_last=True)
        .with_columns(needed.alias("needed"))
        .group_by("line")
        .agg(
            pl.col("shipped").sum(),
            pl.len().cast(pl.Int64).alias("shipments"),
            pl.when(timed.filter("needed").all()).then(pl.col("arrived_at").filter("needed").max()).alias("arrived_at"),
            code.sort_by("processed_at", "source_seq", code).drop_nulls().last().alias("reason_code"),
            pl.when((anonymous.sum() > 1) & (pl.col("shipped").sum() > ordered) & (latest <= ordered))
            .then(pl.lit(PARTS_EXCEED))
            .otherwise(pl.col("problem").drop_nulls().first())
            .alias("doubt"),
        )
    )
    return pl.concat([whole.select(names), parts.select(names)])


def _find_lines(keys: pl.LazyFrame, lines: pl.LazyFrame) -> pl.LazyFrame:
    """Find the order line of each shipment: `line`, `ordered`, `pack`, `named` and `several_schedules`, in their order.

    The schedule line of one that names none is that of the order line, where it has just one on the ship date.
    """
    whole = ["dc", "order_id", "line_no", "ship_date"]
    named = keys.with_columns(pl.lit(value=False).alias("several_schedules"))
    scheduled = lines.filter(pl.col("schedule_line") != 0).collect()
    if scheduled.height:
        # An order line without a schedule line is the one that a shipment without one means.
        only = (
            scheduled.lazy()
            .join(lines.filter(pl.col("schedule_line") == 0), on=whole, how="anti")
            .group_by(whole)
            .agg(pl.col("schedule_line").first().alias("only"), (pl.len() > 1).alias("several"))
            .with_columns(pl.lit(0, pl.Int64).alias("schedule_line"))
        )
        named = keys.join(only, on=[*whole, "schedule_line"], how="left", maintain_order="left").with_columns(
            pl.coalesce(pl.when(~pl.col("several")).then("only"), "schedule_line").alias("schedule_line"),
            pl.col("several").fill_null(value=False).alias("several_schedules"),
        )
    return named.join(
        lines.select(*DATED_LINE, "line", "ordered", "pack"), on=DATED_LINE, how="left", maintain_order="left"
    ).select("line", "ordered", "pack", pl.col("schedule_line").alias("named"), "several_schedules")


def _suggest_for_strays(shipments: pl.LazyFrame, lines: pl.LazyFrame) -> pl.LazyFrame:
    shipments = shipments.cache()
    stray = (pl.col("rejection") == _NO_LINE).fill_null(value=False)
    named = suggest_orders(shipments.filter(stray), lines, ["dc", "ship_date", "line_no"], "rejection")
    return pl.concat([shipments.filter(~stray), named])


def suggest_orders(strays: pl.LazyFrame, lines: pl.LazyFrame, place: list[str], reason: str) -> pl.LazyFrame:
    """Add to the reason why shipments have no order line which order is meant.

    Args:
        strays: shipments without an order line.
        lines: order lines.
        place: columns besides the order number in which a line has to agree.
        reason: text column that is extended where an order's number differs in leading zeros or case alone; of
            several, the least is named, whatever the order of the rows.

    """
    bare = codes.strip_code(pl.col("order_id")).str.to_lowercase().alias("bare")
    near = lines.join(strays.select(place).unique(), on=place, how="semi")
    meant = near.group_by(*place, bare).agg(pl.col("order_id").min().alias("meant"))
    hint = format_text("{}; is it order {}?", reason, "meant")
    found = strays.with_columns(bare).join(meant, on=[*place, "bare"], how="left", maintain_order="left")
    named = pl.when(pl.col("meant").is_not_null()).then(hint).otherwise(reason).alias(reason)
    return found.with_columns(named).drop("bare", "meant")
