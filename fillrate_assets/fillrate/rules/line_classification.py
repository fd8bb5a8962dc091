"""Classification of order lines: counted, excluded, rejected or superseded, each with its reason.

Which version of a row counts belongs to `row_versions`, what shipped to `shipments`, the sums per item to `item_days`,
and what was lost to `lost_cases`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

from fillrate_assets.core import parsing
from fillrate_assets.core.decimals import to_cases, to_units
from fillrate_assets.core.text_columns import format_text
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.rules.items_in_force import join_items_in_force
from fillrate_assets.fillrate.rules.rejects import encode_raw_row
from fillrate_assets.fillrate.rules.row_versions import (
    CONTRADICTS,
    LINE_KEY,
    ROW,
    fill_schedule_lines,
    has_one_version,
    mark_versions,
)
from fillrate_assets.fillrate.rules.shipments import DATED_LINE, PARTS_EXCEED, add_up_shipments, select_shipments
from fillrate_assets.fillrate.rules.substitutes import SOURCE_TABLE, SUBSTITUTE, SubstitutesElsewhere
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

STATUSES: Final = ("OPEN", "SHIPPED", "CANCELLED")
OTHER_DEMAND: Final = ("BACKORDER", "SPAWNED", "BLANKET", "DROP_SHIP")
LINE_TYPES: Final = ("NORMAL", SUBSTITUTE, "CREDIT", *OTHER_DEMAND)
CREDIT: Final = "a credit: never netted against demand"
ZEROED: Final = "nothing ordered and nothing shipped: how a line is cancelled"

_LINE_COLUMNS: Final = (
    *("dc", "ship_date", "order_id", "line_no", "schedule_line", "customer", "item", "vendor", "department"),
    *("disposition", "reason"),
)


def classify_lines(
    orders: pl.LazyFrame,
    shipments: pl.LazyFrame,
    items: pl.LazyFrame,
    time_zones: Mapping[str, str] | None = None,
    *,
    times_complete: bool = False,
    elsewhere: SubstitutesElsewhere | None = None,
) -> pl.LazyFrame:
    """Classify every order line (docs/explanation/methodology.md, "From lines to an item-day").

    Args:
        orders: `ORDER_LINES`, any number of versions per line.
        shipments: `SHIPMENT_LINES`, any number of shipments per line and versions per shipment.
        items: `ITEMS`, effective-dated.
        time_zones: IANA time zone by DC, UTC where absent; decides on which business date a line arrived.
        times_complete: whether every shipment has a time; then one without is late, else it is unknown.
        elsewhere: substitutes that ship on another date than the line they replace.

    Returns:
        `CLASSIFIED_LINES`: one row per order line and version, one per shipment line that is rejected or
        superseded, and one per substitute from elsewhere.

    """
    # Rows that several steps need are collected: left lazy, each step would repeat the reads and joins before it.
    versions = join_items_in_force(fill_schedule_lines(orders).with_row_index(ROW), items)
    in_cases = convert_to_cases("ordered_qty", pl.col("uom").fill_null("CS"), _find_pack_size()).alias("in_cases")
    versions = versions.with_columns(in_cases).with_columns(_is_plain_line().alias("plain")).collect().lazy()
    judged = _judge_lines(mark_versions(versions.filter(~pl.col("plain")), LINE_KEY))
    lines = _put_judgements_beside(versions, judged).collect()
    usable, unused = select_shipments(shipments, _select_current_lines(lines.lazy()))
    shipped = _find_by_line(add_up_shipments(usable).collect(), lines["line"])
    joined = pl.concat([lines, shipped], how="horizontal").lazy()
    credits_ = None if elsewhere is None else credit_substitutes(elsewhere, items)
    ours = _credit_shipments(joined, time_zones or {}, credits_, times_complete=times_complete)
    more = [] if credits_ is None else [credits_.drop("replaces")]
    rows = pl.concat([ours, _describe_unused_shipments(unused), *more], how="diagonal")
    return rows.with_columns(pl.col("schedule_line").replace(0, None)).pipe(schema.CLASSIFIED_LINES.conform)


def _is_plain_line() -> pl.Expr:
    """Match lines with nothing to judge: the only version, a quantity of a known item, ordered and not cancelled."""

    def is_null_or(name: str, *known: str) -> pl.Expr:
        return pl.col(name).is_null() | pl.col(name).is_in(known)

    return (
        has_one_version(LINE_KEY)
        & pl.col("problem").is_null()
        & pl.col("item_type").is_not_null()
        & is_plain_quantity("ordered_qty", "in_cases")
        & is_null_or("status", "OPEN", "SHIPPED")
        & is_null_or("line_type", "NORMAL")
    )


def _put_judgements_beside(versions: pl.LazyFrame, judged: pl.LazyFrame) -> pl.LazyFrame:
    """Count plain lines, which are almost all, as `_judge_lines` would, and put beside the others what it made of them.

    Columns that no judgement changes stay as they are in memory, at a tenth of the cost of judging every line.
    """
    made = ("disposition", "reason", "line", "ordered", "due", "replaces", "rejected", "raw")
    of_row = (
        versions.select(ROW).join(judged.select(ROW, *made), on=ROW, how="left", maintain_order="left").select(made)
    )
    plain = pl.col("plain")
    return pl.concat([versions, of_row], how="horizontal").select(
        *(name for name in _LINE_COLUMNS if name != "disposition"),
        pl.col("disposition").fill_null("COUNTED"),
        ROW,
        pl.when(plain).then(ROW).otherwise("line").alias("line"),
        pl.when(plain).then("in_cases").otherwise("ordered").alias("ordered"),
        _find_pack_size().alias("pack"),
        pl.when(plain).then(pl.coalesce("requested_date", "ship_date")).otherwise("due").alias("due"),
        "replaces",
        "rejected",
        "raw",
    )


def _find_by_line(shipped: pl.DataFrame, line: pl.Series) -> pl.DataFrame:
    """Find what shipped for each row: lines are numbered by their rows, so a place is enough and nothing is hashed."""
    place = pl.repeat(None, line.len(), dtype=pl.UInt32, eager=True)
    place = place.scatter(shipped["line"], pl.int_range(shipped.height, dtype=pl.UInt32, eager=True))
    return shipped.drop("line").select(pl.all().gather(place.gather(line)))


def _find_pack_size() -> pl.Expr:
    """Find the eaches per case in force at order time, in ten-thousandths."""
    return to_units(pl.coalesce("pack_size", "item_pack_size"))


def _judge_lines(lines: pl.LazyFrame) -> pl.LazyFrame:
    """Judge the disposition of each order line and its reason, with its quantity in ten-thousandths of a case."""
    item, pack = pl.col("item"), _find_pack_size()
    line_type = normalize_code("line_type", LINE_TYPES, "NORMAL")
    status = normalize_code("status", STATUSES, "OPEN")
    uom, by_customer = normalize_code("uom", UNITS, "CS"), pl.col("cancel_reason").str.contains(r"(?i)^\s*CUST")
    unusable = (
        pl.when(~parsing.is_unread_only(pl.col("problem"), schema.ORDER_LINES, ("requested_date",)))
        .then(pl.col("problem"))
        .when("contradicted")
        .then(pl.lit(CONTRADICTS))
        .when(item.is_null() | (item.str.strip_chars() == ""))
        .then(pl.lit("no item"))
        .when(line_type == "CREDIT")
        .then(pl.lit(CREDIT))
        .when(pl.col("ordered_qty").is_null())
        .then(pl.lit("no ordered quantity"))
        .when(pl.col("ordered_qty") < 0)
        .then(pl.lit(NEGATIVE))
        .when(to_units("ordered_qty") > MAX_QUANTITY)
        .then(pl.lit(TOO_LARGE))
        .when(~line_type.is_in(list(LINE_TYPES)))
        .then(format_text("unknown line type {}", line_type))
        .when(~status.is_in(list(STATUSES)))
        .then(format_text("unknown status {}", status))
    )
    # A new reason must also make `_is_plain_line` false: plain lines, which are almost all, never come here.
    excluded = (
        pl.when((status == "CANCELLED") & by_customer)
        .then(pl.lit("cancelled by the customer"))
        .when(line_type.is_in(list(OTHER_DEMAND)))
        .then(format_text("{} line: its demand counts elsewhere", line_type))
    )
    unconvertible = (
        pl.when(pl.col("item_type").is_null())
        .then(format_text("item {} is not in force on the ship date", item))
        .otherwise(find_unit_problem("ordered_qty", uom, pack))
    )
    substitute = pl.when(line_type == SUBSTITUTE).then(pl.lit("substitute: credited to the line it replaces"))
    judged = lines.with_columns(
        pl.coalesce(unusable, pl.when(excluded.is_null()).then(unconvertible)).alias("rejection"),
        pl.coalesce(excluded, substitute).alias("exclusion"),
    ).with_columns(
        pl.when(pl.col("superseded").is_not_null())
        .then(pl.lit("SUPERSEDED"))
        .when(pl.col("rejection").is_not_null())
        .then(pl.lit("REJECTED"))
        .when(pl.col("exclusion").is_not_null())
        .then(pl.lit("EXCLUDED"))
        .otherwise(pl.lit("COUNTED"))
        .alias("disposition"),
        # A date that could not be read leaves the quantity as it is, and is said.
        pl.coalesce("superseded", "rejection", "exclusion", "problem").alias("reason"),
    )
    rejected, current = pl.col("disposition") == "REJECTED", pl.col("disposition") != "SUPERSEDED"
    ordered = convert_to_cases("ordered_qty", uom, pack)
    return judged.select(
        *_LINE_COLUMNS,
        ROW,
        # Rows that contradict each other are of one line.
        pl.when(current).then(pl.col(ROW).min().over(*DATED_LINE, current)).alias("line"),
        ordered.alias("ordered"),
        pack.alias("pack"),
        pl.when(pl.col("problem").is_null()).then(pl.coalesce("requested_date", "ship_date")).alias("due"),
        pl.when((pl.col("disposition") == "EXCLUDED") & (line_type == SUBSTITUTE))
        .then("substitute_for_line")
        .alias("replaces"),
        pl.when(rejected).then(_measure_rejected(ordered, "ordered_qty")).alias("rejected"),
        encode_raw_row(schema.ORDER_LINES, rejected).alias("raw"),
    )


def _measure_rejected(cases: pl.Expr, quantity: str) -> pl.Expr:
    """Measure a rejected row, by its own unit where that is not known; a keying error has no size."""
    return pl.when(pl.col(quantity).abs() * 10_000 <= MAX_QUANTITY).then(cases.fill_null(to_units(quantity)).abs())


def _select_current_lines(lines: pl.LazyFrame) -> pl.LazyFrame:
    """Select the order lines that shipments may speak for, each once even where its rows contradict each other."""
    current = lines.filter(pl.col("line").is_not_null()).select(*DATED_LINE, "line", "ordered", "pack", "reason")
    # Rows that contradict each other are rejected, whatever else is wrong with them: they have a reason.
    alone = pl.col("reason").is_null()
    once = current.filter(~alone).group_by(*DATED_LINE, "line").agg(pl.col("ordered", "pack", "reason").max())
    return pl.concat([current.filter(alone), once]).drop("reason")


def _describe_unused_shipments(unused: pl.LazyFrame) -> pl.LazyFrame:
    """Describe the shipment lines that were rejected or superseded."""
    rejected = pl.col("superseded").is_null()
    return unused.select(
        pl.lit("shipment_lines").alias("source_table"),
        *DATED_LINE,
        "shipment_id",
        pl.when(rejected).then(pl.lit("REJECTED")).otherwise(pl.lit("SUPERSEDED")).alias("disposition"),
        pl.coalesce("superseded", "rejection").alias("reason"),
        pl.when(rejected).then(to_cases(_measure_rejected(pl.col("quantity"), "shipped_qty"))).alias("rejected_cases"),
        encode_raw_row(schema.SHIPMENT_LINES, rejected).alias("raw"),
    )


def credit_substitutes(elsewhere: SubstitutesElsewhere, items: pl.LazyFrame) -> pl.LazyFrame:
    """Describe what shipped on substitutes of other ship dates, on the date of the line that each replaces.

    Returns:
        Columns of `CLASSIFIED_LINES`, and the line that each `replaces`.

    """
    placed = fill_schedule_lines(elsewhere.order_lines).cache()
    lines = _judge_lines(
        join_items_in_force(mark_versions(placed.drop("replaced_ship_date").with_row_index(ROW), LINE_KEY), items)
    )
    lines = lines.filter(pl.col("replaces").is_not_null()).cache()
    shipments = select_shipments(elsewhere.shipment_lines, lines.select(*DATED_LINE, "line", "ordered", "pack"))
    shipped = add_up_shipments(shipments.usable)
    day = pl.col("ship_date").dt.to_string("%Y-%m-%d")
    return (
        lines.join(shipped.select("line", "shipped"), on="line", how="inner")
        .join(placed.select(*DATED_LINE, "replaced_ship_date"), on=DATED_LINE, how="inner")
        .select(
            pl.lit(SOURCE_TABLE).alias("source_table"),
            *(name for name in _LINE_COLUMNS if name not in {"ship_date", "reason"}),
            pl.col("replaced_ship_date").alias("ship_date"),
            format_text("substitute that ships on {}: credited to line {}", day, "replaces").alias("reason"),
            to_cases(pl.col("shipped")).alias("sub_cases"),
            "replaces",
        )
        .cache()
    )


def _credit_shipments(
    lines: pl.LazyFrame, time_zones: Mapping[str, str], credits_: pl.LazyFrame | None, *, times_complete: bool
) -> pl.LazyFrame:
    """Cap each line, credit substitutes to the line they replace, judge on-time."""
    ordered, shipped = pl.col("ordered"), pl.col("shipped").fill_null(0)
    zeroed = (pl.col("disposition") == "COUNTED") & (ordered == 0) & (shipped == 0)
    # What makes a day doubtful is not hidden by a date that could not be read.
    exceeding = (pl.col("disposition") == "COUNTED") & (pl.col("doubt") == PARTS_EXCEED).fill_null(value=False)
    lines = lines.with_columns(
        pl.when(zeroed).then(pl.lit("EXCLUDED")).otherwise("disposition").alias("disposition"),
        pl.when(zeroed)
        .then(pl.lit(ZEROED))
        .when(exceeding)
        .then("doubt")
        .otherwise(pl.coalesce("reason", "doubt"))
        .alias("reason"),
        shipped.alias("shipped"),
    )
    counted = pl.col("disposition") == "COUNTED"
    credited = pl.min_horizontal(ordered, shipped)
    arrived = pl.col("arrived_at").is_not_null() & pl.col("due").is_not_null()
    on_time = (
        pl.when(shipped == 0)
        .then(pl.lit(value=False))
        .when(arrived)
        .then(find_business_date(pl.col("arrived_at"), time_zones) <= pl.col("due"))
        .when(pl.lit(times_complete) & pl.col("arrived_at").is_null())
        .then(pl.lit(value=False))
    )
    # Beside the others, not joined to them: a join copies every column that passes through it.
    substituted = (
        lines.select("line")
        .join(_add_up_substitutes(lines, credits_), on="line", how="left", maintain_order="left")
        .drop("line")
        .collect()
    )
    return pl.concat([lines, substituted.lazy()], how="horizontal").select(
        pl.lit("order_lines").alias("source_table"),
        *_LINE_COLUMNS,
        to_cases(pl.when(counted).then(ordered)).alias("ordered_cases"),
        to_cases(pl.when(counted).then(credited)).alias("shipped_cases"),
        to_cases(pl.when(counted).then(shipped - credited)).alias("over_cases"),
        to_cases(pl.when(counted).then(pl.col("substituted").fill_null(0))).alias("sub_cases"),
        pl.when(counted & (shipped < ordered)).then("reason_code").alias("reason_code"),
        pl.when(counted).then(on_time).alias("on_time"),
        # Of rows that contradict each other, one alone: shipments are counted once.
        pl.when(pl.col("line").is_not_null())
        .then(pl.when(pl.col("line") == pl.col(ROW)).then("shipments").fill_null(0))
        .alias("shipments"),
        to_cases(pl.col("rejected")).alias("rejected_cases"),
        "raw",
    )


def _add_up_substitutes(lines: pl.LazyFrame, credits_: pl.LazyFrame | None) -> pl.LazyFrame:
    """Add up what shipped on substitutes, by the line that they replace; the first of its schedule lines gets it."""
    replaced = ["dc", "ship_date", "order_id", "line_no"]
    of_line = [*map(pl.col, replaced[:3]), pl.col("replaces").alias("line_no")]
    substitutes = lines.filter(pl.col("replaces").is_not_null()).select(*of_line, "shipped")
    if credits_ is not None:
        substitutes = pl.concat([substitutes, credits_.select(*of_line, to_units("sub_cases").alias("shipped"))])
    added_up = substitutes.group_by(replaced).agg(pl.col("shipped").sum().alias("substituted")).collect().lazy()
    found = lines.filter(pl.col("line").is_not_null()).join(added_up, on=replaced, how="inner")
    return (
        found.sort("schedule_line", "line")
        .group_by(replaced, maintain_order=True)
        .agg(pl.col("line").first(), pl.col("substituted").first())
        .select("line", "substituted")
    )


def find_business_date(moment: pl.Expr, time_zones: Mapping[str, str]) -> pl.Expr:
    """Find the date of a moment at its DC."""
    local = moment.dt.date()
    for zone in sorted(set(time_zones.values()) - {"UTC"}):
        dcs = [dc for dc, name in time_zones.items() if name == zone]
        local = pl.when(pl.col("dc").is_in(dcs)).then(moment.dt.convert_time_zone(zone).dt.date()).otherwise(local)
    return local
