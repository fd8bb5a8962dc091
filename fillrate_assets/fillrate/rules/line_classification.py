"""Classification of order and shipment lines, and their sums as item-days.

Every order line ends in exactly one row of `classify_lines`: counted, excluded, rejected or superseded, with its
reason. What is counted becomes the item-days; what is rejected becomes the rejects table.
What was lost on an item-day belongs to `lost_cases`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from fillrate_assets.core import decimals, parsing
from fillrate_assets.core.decimals import divide_half_up, to_cases, to_units
from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.fillrate import schema

LINE_KEY: Final = ["dc", "order_id", "line_no"]
CASE_UNITS: Final = ("CS", "CA", "CASE", "CASES")
EACH_UNITS: Final = ("EA", "EACH", "EACHES", "UN", "UNIT", "UNITS", "PC", "PCS")
UNITS: Final = (*CASE_UNITS, *EACH_UNITS)
STATUSES: Final = ("OPEN", "SHIPPED", "CANCELLED")
OTHER_DEMAND: Final = ("BACKORDER", "SPAWNED", "BLANKET", "DROP_SHIP")
LINE_TYPES: Final = ("NORMAL", "SUBSTITUTE", "CREDIT", *OTHER_DEMAND)
MAX_QUANTITY: Final = 10_000_000 * decimals.PLACES
"""Ten million on one line is a keying error; the limit leaves every sum and ratio inside 64 bits."""


def classify_lines(
    orders: pl.LazyFrame,
    shipments: pl.LazyFrame,
    items: pl.LazyFrame,
    time_zones: Mapping[str, str] | None = None,
) -> pl.LazyFrame:
    """Classify each order line as counted, excluded, rejected or superseded (methodology, "From lines to an item-day").

    Args:
        orders: `ORDER_LINES`, any number of versions per line key.
        shipments: `SHIPMENT_LINES`, any number of versions per line key.
        items: `ITEMS`, effective-dated.
        time_zones: IANA time zone by DC, UTC where absent; decides on which business date a line arrived.

    Returns:
        `CLASSIFIED_LINES`: one row per order line and version, and one per unusable shipment line.

    """
    # `cache` holds rows that several branches need: left alone, the optimizer narrows each branch to its own columns
    # and then repeats the reads and joins below it for each.
    versions = _join_items_in_force(_mark_superseded(orders.cache()), items).cache()
    plain = _plain_line_expr()
    lines = pl.concat([_accept_plain_lines(versions.filter(plain)), _judge_lines(versions.filter(~plain))])
    # Also on the ship date: a partition is judged by its own rows, so both systems must have moved a line that moves.
    joined = lines.join(
        _select_current_shipments(shipments.cache()), on=[*_DATED_LINE, "current"], how="full", coalesce=True
    )
    joined = _convert_shipments(joined).cache()
    ours = _credit_shipments(joined.filter(pl.col("disposition").is_not_null()), time_zones or {})
    theirs = _select_rejected_shipments(joined.filter(pl.col("unusable").is_not_null()))
    return pl.concat([ours, theirs], how="diagonal").pipe(schema.CLASSIFIED_LINES.conform)


def classify_snapshot_rejects(snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """Classify the unusable rows of `INSTOCK_SNAPSHOTS` as rejected `CLASSIFIED_LINES`."""
    bad = _judge_snapshots(snapshots).filter(pl.col("reason").is_not_null())
    rows = bad.select(
        pl.lit("instock_snapshots").alias("source_table"),
        *("dc", "ship_date", "item"),
        pl.lit("REJECTED").alias("disposition"),
        "reason",
        _raw_row_expr(schema.INSTOCK_SNAPSHOTS, pl.lit(value=True)).alias("raw"),
    )
    return pl.concat([schema.CLASSIFIED_LINES.make_empty(), rows], how="diagonal")


def compute_item_days(lines: pl.LazyFrame, snapshots: pl.LazyFrame, items: pl.LazyFrame) -> pl.LazyFrame:
    """Sum counted lines per DC, ship date and item, and add the day's instock record.

    Args:
        lines: `CLASSIFIED_LINES`.
        snapshots: `INSTOCK_SNAPSHOTS`; the latest record of a day wins.
        items: `ITEMS`, effective-dated.

    Returns:
        `ITEM_DAYS`: every item with a counted line or an instock record that day; items without either, and
        records of items that are not in force, have no row.

    """
    key = ["dc", "ship_date", "item"]
    counted = lines.filter(pl.col("disposition") == "COUNTED")
    quantities = ("ordered_cases", "shipped_cases", "over_cases", "sub_cases")
    shortest_first = (
        counted.filter(pl.col("reason_code").is_not_null())
        .sort(to_units("shipped_cases") - to_units("ordered_cases"), "reason_code")
        .unique(key, keep="first", maintain_order=True)
    )
    facts = [
        counted.select(*key, pl.lit(1, pl.Int64).alias("lines"), *[to_units(name).alias(name) for name in quantities]),
        shortest_first.select(*key, "reason_code"),
        select_latest_snapshots(snapshots),
    ]
    # One aggregation over all that is known of an item-day is twice as fast as joining the three.
    return (
        pl.concat(facts, how="diagonal")
        .group_by(key)
        .agg(pl.col("lines", *quantities).sum(), pl.col("reason_code", "instock").max())
        .pipe(_join_items_in_force, items)
        .filter(pl.col("item_type").is_not_null())
        .with_columns(to_cases(pl.col(name)).alias(name) for name in quantities)
        .pipe(schema.ITEM_DAYS.conform)
    )


def select_latest_snapshots(snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """Select the latest usable instock record per DC, ship date and item: dc, ship_date, item, instock (Y/N)."""
    # The time and the flag as one number: its maximum is the latest record, and Y where two are equally late.
    stamped = 2 * pl.col("snapshot_at").to_physical().fill_null(0) + (pl.col("instock_flag") == "Y").cast(pl.Int64)
    return (
        _judge_snapshots(snapshots)
        .filter(pl.col("reason").is_null())
        .group_by("dc", "ship_date", "item")
        .agg(stamped.max().alias("latest"))
        .select(
            *("dc", "ship_date", "item"),
            pl.when(pl.col("latest") % 2 == 1).then(pl.lit("Y")).otherwise(pl.lit("N")).alias("instock"),
        )
    )


def select_rejects(lines: pl.LazyFrame) -> pl.LazyFrame:
    """Select the rejected rows of `CLASSIFIED_LINES` as the `REJECTS` table that people read."""
    return (
        lines.filter(pl.col("disposition") == "REJECTED")
        .select(
            pl.col("source_table").alias("table"),
            "dc",
            "ship_date",
            pl.coalesce(pl.concat_str("order_id", "line_no", separator="/"), "item").alias("key"),
            "reason",
            pl.col("raw").fill_null("{}"),
        )
        .sort("table", "dc", "ship_date", "key", "reason", "raw")
        .pipe(schema.REJECTS.conform)
    )


def compute_reject_rates(lines: pl.LazyFrame) -> pl.LazyFrame:
    """Count current order lines per DC and ship date, those rejected as unusable, and their share.

    Credits, returns and negative quantities are rejected by rule, not by poor quality: they do not count here.

    Returns:
        Columns dc, ship_date, lines, rejected, reject_rate (Float64).

    """
    by_rule = pl.col("reason").is_in(list(_BY_RULE))
    return (
        lines.filter(pl.col("disposition") != "SUPERSEDED", pl.col("source_table") == "order_lines")
        .group_by("dc", "ship_date")
        .agg(
            pl.len().alias("lines"),
            ((pl.col("disposition") == "REJECTED") & ~by_rule.fill_null(value=False)).sum().alias("rejected"),
        )
        .with_columns((pl.col("rejected") / pl.col("lines")).alias("reject_rate"))
    )


_DATED_LINE: Final = [*LINE_KEY, "ship_date"]
_CREDIT: Final = "a credit: never netted against demand"
_RETURN: Final = "negative quantity: a return or credit, never netted against demand"
_BY_RULE: Final = (_CREDIT, _RETURN)
_TOO_LARGE: Final = "quantity above 10,000,000"
_ITEM_DETAILS: Final = ("item_type", "vendor", "department", "contract_committed")
_LINE_COLUMNS: Final = (
    *("dc", "ship_date", "order_id", "line_no", "customer", "item", "vendor", "department"),
    *("disposition", "reason"),
)


def _normalized_code_expr(name: str, known: Sequence[str], default: str) -> pl.Expr:
    """Normalize a code as the rules compare it: trimmed, in upper case; blank means the default."""
    code = pl.col(name).fill_null(default)
    tidied = code.str.strip_chars().str.to_uppercase()
    # Polars skips the branch that no row of a batch takes: a source that writes the known codes pays for no tidying.
    return (
        pl.when(code.is_in(list(known)))
        .then(code)
        .otherwise(pl.when(tidied == "").then(pl.lit(default)).otherwise(tidied))
    )


def _raw_row_expr(table_schema: TableSchema, where: pl.Expr, suffix: str = "") -> pl.Expr:
    """Encode the row as its source gave it, as JSON; null elsewhere."""
    problem = pl.col(f"problem{suffix}")
    typed = {
        column.name: pl.col(column.name if column.name in _DATED_LINE else f"{column.name}{suffix}")
        for column in table_schema.source_columns
    }
    # A value that could not be read is text, so in its row every value is.
    written = {
        name: value
        if table_schema.polars[name] == pl.String
        else pl.coalesce(value.cast(pl.String), parsing.extract_unread_text(problem, table_schema, name))
        for name, value in typed.items()
    }

    def encode(rows: pl.Expr, values: Mapping[str, pl.Expr]) -> pl.Expr:
        # Writing out a null struct costs next to nothing, writing out every row more than all other rules together.
        row = pl.struct(value.alias(name) for name, value in values.items())
        return pl.when(rows).then(pl.when(rows).then(row).struct.json_encode())

    return pl.coalesce(encode(where & problem.is_null(), typed), encode(where & problem.is_not_null(), written))


def _mark_superseded(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Add `superseded`: latest processed_at wins, then source_seq, then content; never arrival order."""
    marked = frame.with_columns(pl.struct(LINE_KEY).hash().is_duplicated().alias("superseded"))
    content = [name for name in frame.collect_schema() if name not in {*LINE_KEY, "processed_at", "source_seq"}]
    # Equal keys have equal hashes, so only the few rows whose hash repeats need the exact and slower ordering.
    contested = (
        marked.filter("superseded")
        .sort([*LINE_KEY, "processed_at", "source_seq", *content], nulls_last=False)
        .with_columns((~pl.struct(LINE_KEY).is_last_distinct()).alias("superseded"))
    )
    return pl.concat([marked.filter(~pl.col("superseded")), contested])


def _join_items_in_force(frame: pl.LazyFrame, items: pl.LazyFrame) -> pl.LazyFrame:
    """Left-join the item row in force on the ship date: the latest valid_from that has not ended."""
    # Every date belongs to exactly one version of an item, the first reaching back and the last forward without
    # end: the join returns every row once, and a date that its version does not cover leaves the details null.
    versions = (
        items.filter(pl.col("item").str.strip_chars() != "")
        .sort("item", "valid_from")
        .with_columns(
            pl.col("valid_from").shift(-1).over("item").alias("next_from"),
            pl.when(~pl.col("item").is_first_distinct()).then("valid_from").alias("owns_from"),
        )
        .select(
            *("item", "owns_from", "next_from", "valid_from", "valid_to"),
            *_ITEM_DETAILS,
            pl.col("pack_size").alias("item_pack_size"),
        )
    )
    day = pl.col("ship_date")
    owned = (pl.col("owns_from").is_null() | (day >= pl.col("owns_from"))) & (
        pl.col("next_from").is_null() | (day < pl.col("next_from"))
    )
    covered = (day >= pl.col("valid_from")) & (pl.col("valid_to").is_null() | (day <= pl.col("valid_to")))
    return (
        frame.join(versions, on="item", how="left")
        .filter(owned)
        .with_columns(pl.when(covered).then(pl.col(name)).alias(name) for name in (*_ITEM_DETAILS, "item_pack_size"))
        .drop("owns_from", "next_from", "valid_from", "valid_to")
    )


def _plain_line_expr() -> pl.Expr:
    """Match lines with nothing to judge: the only version, whole cases of a known item, ordered and not cancelled."""

    def is_null_or(name: str, *known: str) -> pl.Expr:
        return pl.col(name).is_null() | pl.col(name).is_in(known)

    return (
        ~pl.col("superseded")
        & pl.col("moved_at").is_null()
        & pl.col("problem").is_null()
        & pl.col("item_type").is_not_null()
        & to_units("ordered_qty").is_between(0, MAX_QUANTITY).fill_null(value=False)
        & is_null_or("uom", *CASE_UNITS)
        & is_null_or("status", "OPEN", "SHIPPED")
        & is_null_or("line_type", "NORMAL")
    )


def _accept_plain_lines(plain: pl.LazyFrame) -> pl.LazyFrame:
    """Count plain lines, which are almost all, as `_judge_lines` would, at a tenth of the cost."""
    return plain.with_columns(
        pl.lit("COUNTED").alias("disposition"),
        pl.lit(None, pl.String).alias("reason"),
    ).select(
        *_LINE_COLUMNS,
        pl.lit(value=True).alias("current"),
        to_units("ordered_qty").alias("ordered"),
        _pack_size_expr().alias("pack"),
        _due_date_expr().alias("due"),
        pl.lit(None, pl.Int64).alias("replaces"),
        pl.lit(None, pl.String).alias("raw"),
    )


def _pack_size_expr() -> pl.Expr:
    """Return the eaches per case in force at order time, in ten-thousandths."""
    return to_units(pl.coalesce("pack_size", "item_pack_size"))


def _due_date_expr() -> pl.Expr:
    return pl.coalesce("requested_date", "ship_date")


def _judge_lines(lines: pl.LazyFrame) -> pl.LazyFrame:
    """Judge the disposition of each order line and its reason, with its quantity in ten-thousandths of a case."""
    item, pack = pl.col("item"), _pack_size_expr()
    line_type, status = (
        _normalized_code_expr("line_type", LINE_TYPES, "NORMAL"),
        _normalized_code_expr("status", STATUSES, "OPEN"),
    )
    uom, by_customer = _normalized_code_expr("uom", UNITS, "CS"), pl.col("cancel_reason").str.contains(r"(?i)^\s*CUST")
    unusable = (
        pl.when(pl.col("problem").is_not_null())
        .then(pl.col("problem"))
        .when(item.is_null() | (item.str.strip_chars() == ""))
        .then(pl.lit("no item"))
        .when(line_type == "CREDIT")
        .then(pl.lit(_CREDIT))
        .when(pl.col("ordered_qty").is_null())
        .then(pl.lit("no ordered quantity"))
        .when(pl.col("ordered_qty") < 0)
        .then(pl.lit(_RETURN))
        .when(to_units("ordered_qty") > MAX_QUANTITY)
        .then(pl.lit(_TOO_LARGE))
        .when(~line_type.is_in(list(LINE_TYPES)))
        .then(pl.format("unknown line type {}", line_type))
        .when(~status.is_in(list(STATUSES)))
        .then(pl.format("unknown status {}", status))
    )
    excluded = (
        pl.when((status == "CANCELLED") & by_customer)
        .then(pl.lit("cancelled by the customer"))
        .when(line_type.is_in(list(OTHER_DEMAND)))
        .then(pl.format("{} line: its demand counts elsewhere", line_type))
    )
    unconvertible = (
        pl.when(pl.col("item_type").is_null())
        .then(pl.format("item {} is not in force on the ship date", item))
        .otherwise(_unit_problem_expr(uom, pack))
    )
    substitute = pl.when(line_type == "SUBSTITUTE").then(pl.lit("substitute: credited to the line it replaces"))
    superseded = pl.col("superseded") | pl.col("moved_at").is_not_null()
    rejection = pl.coalesce(unusable, pl.when(excluded.is_null()).then(unconvertible))
    judged = lines.with_columns(
        pl.when(superseded).then(pl.lit("a later version of the line exists")).alias("superseded"),
        rejection.alias("rejection"),
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
        pl.coalesce("superseded", "rejection", "exclusion").alias("reason"),
    )
    return judged.select(
        *_LINE_COLUMNS,
        (pl.col("disposition") != "SUPERSEDED").alias("current"),
        _in_cases_expr("ordered_qty", uom, pack).alias("ordered"),
        pack.alias("pack"),
        _due_date_expr().alias("due"),
        pl.when((pl.col("disposition") == "EXCLUDED") & (line_type == "SUBSTITUTE"))
        .then("substitute_for_line")
        .alias("replaces"),
        _raw_row_expr(schema.ORDER_LINES, pl.col("disposition") == "REJECTED").alias("raw"),
    )


def _select_current_shipments(shipments: pl.LazyFrame) -> pl.LazyFrame:
    """Select the latest version of each shipment line that stays on its date, with `unusable`: why it is no use."""
    unusable = (
        pl.when(pl.col("problem").is_not_null())
        .then(pl.col("problem"))
        .when(pl.col("shipped_qty").is_null())
        .then(pl.lit("no shipped quantity"))
        .when(pl.col("shipped_qty") < 0)
        .then(pl.lit(_RETURN))
        .when(to_units("shipped_qty") > MAX_QUANTITY)
        .then(pl.lit(_TOO_LARGE))
    )
    names = [name for name in schema.SHIPMENT_LINES.names if name not in _DATED_LINE]
    return (
        _mark_superseded(shipments)
        .filter(~pl.col("superseded"), pl.col("moved_at").is_null())
        .select(
            *_DATED_LINE,
            pl.lit(value=True).alias("current"),
            *[pl.col(name).alias(f"{name}_shipment") for name in names],
            unusable.alias("unusable"),
        )
    )


def _convert_shipments(joined: pl.LazyFrame) -> pl.LazyFrame:
    """Add `shipped` in ten-thousandths of a case, and to `unusable` why a shipment has no line or no unit."""
    uom, pack = _normalized_code_expr("uom_shipment", UNITS, "CS"), pl.col("pack")
    shipped = pl.col("processed_at_shipment").is_not_null()
    usable = shipped & pl.col("unusable").is_null()
    return joined.with_columns(
        pl.when(usable).then(_in_cases_expr("shipped_qty_shipment", uom, pack)).fill_null(0).alias("shipped"),
        pl.when(usable).then("reason_code_shipment").alias("reason_code"),
        pl.when(usable).then(pl.coalesce("delivered_at_shipment", "shipped_at_shipment")).alias("arrived_at"),
        pl.when(~usable)
        .then("unusable")
        .when(pl.col("disposition").is_null())
        .then(pl.lit("no order line for this shipment on its ship date"))
        .otherwise(_unit_problem_expr(uom, pack))
        .alias("unusable"),
    )


def _in_cases_expr(quantity: str, uom: pl.Expr, pack: pl.Expr) -> pl.Expr:
    """Convert a quantity to ten-thousandths of a case; null where its unit cannot be converted."""
    return (
        pl.when(uom.is_in(list(CASE_UNITS)))
        .then(to_units(quantity))
        .when(uom.is_in(list(EACH_UNITS)) & (pack > 0) & (to_units(quantity) >= 0))
        .then(divide_half_up(to_units(quantity) * decimals.PLACES, pack))
    )


def _unit_problem_expr(uom: pl.Expr, pack: pl.Expr) -> pl.Expr:
    each = uom.is_in(list(EACH_UNITS))
    return (
        pl.when(~uom.is_in(list(UNITS)))
        .then(pl.format("unit {} is neither cases nor eaches", uom))
        .when(each & pack.is_null())
        .then(pl.lit("unit is not cases and there is no pack size"))
        .when(each & (pack <= 0))
        .then(pl.lit("pack size is not positive"))
    )


def _select_rejected_shipments(joined: pl.LazyFrame) -> pl.LazyFrame:
    return joined.select(
        pl.lit("shipment_lines").alias("source_table"),
        *_DATED_LINE,
        pl.lit("REJECTED").alias("disposition"),
        pl.col("unusable").alias("reason"),
        _raw_row_expr(schema.SHIPMENT_LINES, pl.lit(value=True), "_shipment").alias("raw"),
    )


def _credit_shipments(lines: pl.LazyFrame, time_zones: Mapping[str, str]) -> pl.LazyFrame:
    """Cap each line, credit substitutes to the line they replace, judge on-time."""
    counted = pl.col("disposition") == "COUNTED"
    ordered, shipped = pl.col("ordered"), pl.col("shipped")
    credited = pl.min_horizontal(ordered, shipped)
    substitutes = (
        lines.filter(pl.col("replaces").is_not_null())
        .group_by("dc", "ship_date", "order_id", pl.col("replaces").alias("line_no"))
        .agg(pl.col("shipped").sum().alias("substituted"))
    )
    arrived = pl.col("arrived_at").is_not_null()
    # What never shipped is late; but on a day of which no time is known at all, nothing is known to be late.
    on_time = (
        pl.when(arrived)
        .then(_business_date_expr(pl.col("arrived_at"), time_zones) <= pl.col("due"))
        .when((shipped == 0) & arrived.any().over("dc", "ship_date"))
        .then(pl.lit(value=False))
    )
    return lines.join(substitutes, on=_DATED_LINE, how="left").select(
        pl.lit("order_lines").alias("source_table"),
        *_LINE_COLUMNS,
        pl.when(counted).then(to_cases(ordered)).alias("ordered_cases"),
        pl.when(counted).then(to_cases(credited)).alias("shipped_cases"),
        pl.when(counted).then(to_cases(shipped - credited)).alias("over_cases"),
        pl.when(counted).then(to_cases(pl.col("substituted").fill_null(0))).alias("sub_cases"),
        pl.when(counted & (shipped < ordered)).then("reason_code").alias("reason_code"),
        pl.when(counted).then(on_time).alias("on_time"),
        "raw",
    )


def _business_date_expr(moment: pl.Expr, time_zones: Mapping[str, str]) -> pl.Expr:
    local = moment.dt.date()
    for zone in sorted(set(time_zones.values()) - {"UTC"}):
        dcs = [dc for dc, name in time_zones.items() if name == zone]
        local = pl.when(pl.col("dc").is_in(dcs)).then(moment.dt.convert_time_zone(zone).dt.date()).otherwise(local)
    return local


def _judge_snapshots(snapshots: pl.LazyFrame) -> pl.LazyFrame:
    item, flag = pl.col("item"), pl.col("instock").str.strip_chars().str.to_uppercase()
    reason = (
        pl.when(pl.col("problem").is_not_null())
        .then(pl.col("problem"))
        .when(item.is_null() | (item.str.strip_chars() == ""))
        .then(pl.lit("no item"))
        .when(flag.is_null() | ~flag.is_in(["Y", "N"]))
        .then(pl.format("instock is {}, expected Y or N", pl.col("instock").fill_null("empty")))
    )
    return snapshots.with_columns(reason.alias("reason"), flag.alias("instock_flag"))
