"""Order and shipment lines -> classified lines -> item-days.

Every order line ends in exactly one row of `classify`: counted, excluded, rejected or superseded, with its
reason. What is counted becomes the item-days; what is rejected becomes the rejects table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.schema import cases, divide_half_up, units

LINE_KEY: Final = ["dc", "order_id", "line_no"]
CASE_UNITS: Final = ("CS", "CA", "CASE", "CASES")
EACH_UNITS: Final = ("EA", "EACH", "EACHES", "UN", "UNIT", "UNITS", "PC", "PCS")
STATUSES: Final = ("OPEN", "SHIPPED", "CANCELLED")
OTHER_DEMAND: Final = ("BACKORDER", "SPAWNED", "BLANKET", "DROP_SHIP")
LINE_TYPES: Final = ("NORMAL", "SUBSTITUTE", "CREDIT", *OTHER_DEMAND)
MAX_QUANTITY: Final = 10_000_000 * schema.PLACES
"""Ten million on one line is a keying error, and keeps every sum and ratio inside 64 bits."""


def classify(
    orders: pl.LazyFrame,
    shipments: pl.LazyFrame,
    items: pl.LazyFrame,
    time_zones: Mapping[str, str] | None = None,
) -> pl.LazyFrame:
    """What became of every order line: methodology section 1.

    Args:
        orders: `ORDER_LINES`, any number of versions per line key.
        shipments: `SHIPMENT_LINES`, any number of versions per line key.
        items: `ITEMS`, effective-dated.
        time_zones: IANA time zone by DC, UTC where absent; decides on which business date a line arrived.

    Returns:
        `CLASSIFIED_LINES`: one row per order line and version, and one per unusable shipment line.

    """
    order_lines = _in_force(_mark_superseded(_normalised(orders), LINE_KEY), items)
    shipped, bad_shipments = _judged_shipments(shipments)
    current = order_lines.filter(~pl.col("superseded"))
    joined = current.join(shipped, on=LINE_KEY, how="full", coalesce=True, suffix="_shipment")
    orphans = joined.filter(pl.col("processed_at").is_null()).select(
        _reject_columns("shipment_lines", pl.lit("no order line for this shipment"), "_shipment")
    )
    lines = _with_cases(joined.filter(pl.col("processed_at").is_not_null()))
    unconvertible = lines.filter(pl.col("shipment_reason").is_not_null()).select(
        _reject_columns("shipment_lines", pl.col("shipment_reason"), "_shipment")
    )
    judged = _credited(_judged(lines), time_zones or {})
    superseded = order_lines.filter("superseded").select(
        pl.lit("order_lines").alias("source_table"),
        *[
            pl.col(name)
            for name in ("dc", "ship_date", "order_id", "line_no", "customer", "item", "vendor", "department")
        ],
        pl.lit("SUPERSEDED").alias("disposition"),
        pl.lit("a later version of the line exists").alias("reason"),
    )
    return pl.concat([judged, superseded, bad_shipments, orphans, unconvertible], how="diagonal").pipe(
        schema.CLASSIFIED_LINES.conform
    )


def snapshot_rejects(snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The unusable rows of `INSTOCK_SNAPSHOTS`, as `CLASSIFIED_LINES`."""
    return (
        _judged_snapshots(snapshots)
        .filter(pl.col("reason").is_not_null())
        .select(
            pl.lit("instock_snapshots").alias("source_table"),
            pl.col("dc"),
            pl.col("ship_date"),
            pl.lit(None, pl.String).alias("order_id"),
            pl.lit(None, pl.Int64).alias("line_no"),
            pl.col("item"),
            pl.lit("REJECTED").alias("disposition"),
            pl.col("reason"),
            pl.struct(schema.INSTOCK_SNAPSHOTS.names).struct.json_encode().alias("raw"),
            *[
                pl.lit(None, column.dtype).alias(column.name)
                for column in schema.CLASSIFIED_LINES.columns
                if column.name in _NOT_ON_SNAPSHOTS
            ],
        )
        .pipe(schema.CLASSIFIED_LINES.conform)
    )


def item_days(lines: pl.LazyFrame, snapshots: pl.LazyFrame, items: pl.LazyFrame) -> pl.LazyFrame:
    """Counted lines summed per DC, ship date and item, beside the day's instock record.

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
    summed = counted.group_by(key).agg(
        pl.len().cast(pl.Int64).alias("lines"),
        *[units(name).sum().alias(name) for name in quantities],
    )
    reasons = (
        counted.filter(pl.col("reason_code").is_not_null())
        .sort(units("shipped_cases") - units("ordered_cases"), "reason_code")
        .group_by(key)
        .agg(pl.col("reason_code").first())
    )
    return (
        summed.join(latest_snapshots(snapshots), on=key, how="full", coalesce=True)
        .join(reasons, on=key, how="left")
        .pipe(_in_force, items)
        .filter(pl.col("item_type").is_not_null())
        .with_columns(
            pl.col("lines").fill_null(0),
            *[cases(pl.col(name).fill_null(0)).alias(name) for name in quantities],
        )
        .pipe(schema.ITEM_DAYS.conform)
    )


def latest_snapshots(snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The latest usable instock record per DC, ship date and item: columns dc, ship_date, item, instock (Y/N)."""
    key = ["dc", "ship_date", "item"]
    usable = _judged_snapshots(snapshots).filter(pl.col("reason").is_null()).select(*key, "instock", "snapshot_at")
    doubtful = pl.struct(key).hash().is_duplicated()
    marked = usable.with_columns(doubtful.alias("doubtful"))
    doubled = (
        marked.filter("doubtful")
        .sort("snapshot_at", "instock", nulls_last=False)
        .unique(key, keep="last", maintain_order=True)
    )
    return pl.concat([marked.filter(~pl.col("doubtful")), doubled]).select(*key, "instock")


def rejects(lines: pl.LazyFrame) -> pl.LazyFrame:
    """The rejected rows of `CLASSIFIED_LINES` as the `REJECTS` table that people read."""
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


def reject_rates(lines: pl.LazyFrame) -> pl.LazyFrame:
    """Per DC and ship date: current order lines, those rejected as unusable, and their share.

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


_CREDIT: Final = "a credit: never netted against demand"
_RETURN: Final = "negative quantity: a return or credit, never netted against demand"
_BY_RULE: Final = (_CREDIT, _RETURN)
_NOT_ON_SNAPSHOTS: Final = (
    "customer",
    "vendor",
    "department",
    "ordered_cases",
    "shipped_cases",
    "over_cases",
    "sub_cases",
    "reason_code",
    "on_time",
)


def _normalised(orders: pl.LazyFrame) -> pl.LazyFrame:
    def code(name: str, default: str | None = None) -> pl.Expr:
        upper = pl.col(name).str.strip_chars().str.to_uppercase()
        blank = upper.is_null() | (upper == "")
        return pl.when(blank).then(pl.lit(default, pl.String)).otherwise(upper).alias(name)

    return orders.with_columns(
        code("uom", "CS"), code("status", "OPEN"), code("line_type", "NORMAL"), code("cancel_reason")
    )


def _mark_superseded(frame: pl.LazyFrame, key: list[str]) -> pl.LazyFrame:
    """Add `superseded`: latest processed_at wins, then source_seq, then content; never arrival order."""
    marked = frame.with_columns(pl.struct(key).hash().is_duplicated().alias("superseded"))
    # Equal keys have equal hashes, so only rows whose hash repeats need the exact and slower ordering.
    single = marked.filter(~pl.col("superseded"))
    content = [name for name in frame.collect_schema().names() if name not in {*key, "processed_at", "source_seq"}]
    repeated = (
        marked.filter("superseded")
        .sort([*key, "processed_at", "source_seq", *content], nulls_last=False)
        .with_columns((~pl.struct(key).is_last_distinct()).alias("superseded"))
    )
    return pl.concat([single, repeated])


def _in_force(frame: pl.LazyFrame, items: pl.LazyFrame) -> pl.LazyFrame:
    """Left-join the item row in force on the ship date: the latest valid_from that has not ended."""
    versions = (
        items.sort("item", "valid_from")
        .with_columns(pl.col("valid_from").shift(-1).over("item").alias("next_from"))
        .select(
            "item",
            "item_type",
            "vendor",
            "department",
            "contract_committed",
            pl.col("pack_size").alias("item_pack_size"),
            "valid_from",
            pl.min_horizontal(pl.col("valid_to"), pl.col("next_from").dt.offset_by("-1d")).alias("in_force_to"),
        )
    )
    details = ["item_type", "vendor", "department", "contract_committed", "item_pack_size"]
    holds = (pl.col("valid_from") <= pl.col("ship_date")) & (
        pl.col("in_force_to").is_null() | (pl.col("ship_date") <= pl.col("in_force_to"))
    )
    # Almost every item has one version; only items with several need the row-multiplying join.
    count = versions.group_by("item").len("versions")
    single = versions.join(count.filter(pl.col("versions") == 1), on="item", how="semi")
    several = versions.join(count.filter(pl.col("versions") > 1), on="item", how="semi")
    plain = frame.join(several, on="item", how="anti").join(single, on="item", how="left")
    plain = plain.with_columns(pl.when(holds).then(pl.col(name)).alias(name) for name in details)
    effective = frame.join(several.select("item").unique(), on="item", how="semi").with_row_index("row")
    matched = effective.join(several, on="item").filter(holds).select("row", *details)
    effective = effective.join(matched, on="row", how="left").drop("row")
    return pl.concat([plain.drop("valid_from", "in_force_to"), effective], how="diagonal")


def _judged_shipments(shipments: pl.LazyFrame) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    reason = (
        pl.when(pl.col("problem").is_not_null())
        .then(pl.col("problem"))
        .when(pl.col("shipped_qty").is_null())
        .then(pl.lit("no shipped quantity"))
        .when(pl.col("shipped_qty") < 0)
        .then(pl.lit(_RETURN))
        .when(units("shipped_qty") > MAX_QUANTITY)
        .then(pl.lit("quantity above 10,000,000"))
    )
    code = pl.col("uom").str.strip_chars().str.to_uppercase()
    current = (
        _mark_superseded(shipments, LINE_KEY)
        .filter(~pl.col("superseded"))
        .drop("superseded")
        .with_columns(
            reason.alias("unusable"),
            pl.when(code.is_null() | (code == "")).then(pl.lit("CS")).otherwise(code).alias("uom"),
        )
    )
    raw = pl.struct(schema.SHIPMENT_LINES.names).struct.json_encode().alias("raw")
    bad = current.filter(pl.col("unusable").is_not_null()).select(
        pl.lit("shipment_lines").alias("source_table"),
        "dc",
        "ship_date",
        "order_id",
        "line_no",
        pl.lit("REJECTED").alias("disposition"),
        pl.col("unusable").alias("reason"),
        raw,
    )
    names = [name for name in schema.SHIPMENT_LINES.names if name not in LINE_KEY]
    good = current.filter(pl.col("unusable").is_null()).select(
        *LINE_KEY, *[pl.col(name).alias(f"{name}_shipment") for name in names]
    )
    return good, bad


def _reject_columns(table: str, reason: pl.Expr, suffix: str) -> list[pl.Expr]:
    names = [name for name in schema.SHIPMENT_LINES.names if name not in LINE_KEY]
    raw = pl.struct(*LINE_KEY, *[pl.col(f"{name}{suffix}").alias(name) for name in names])
    return [
        pl.lit(table).alias("source_table"),
        pl.col("dc"),
        pl.col(f"ship_date{suffix}").alias("ship_date"),
        pl.col("order_id"),
        pl.col("line_no"),
        pl.lit("REJECTED").alias("disposition"),
        reason.alias("reason"),
        raw.struct.json_encode().alias("raw"),
    ]


def _with_cases(lines: pl.LazyFrame) -> pl.LazyFrame:
    """Add ordered and shipped in ten-thousandths of a case, and why either could not be converted."""
    pack = units(pl.coalesce("pack_size", "item_pack_size"))

    def converted(quantity: str, uom: str) -> pl.Expr:
        in_cases = pl.col(uom).is_in(list(CASE_UNITS))
        return (
            pl.when(in_cases)
            .then(units(quantity))
            .when(pl.col(uom).is_in(list(EACH_UNITS)) & (pack > 0) & (units(quantity) >= 0))
            .then(divide_half_up(units(quantity) * schema.PLACES, pack))
        )

    def trouble(uom: str) -> pl.Expr:
        known = pl.col(uom).is_in([*CASE_UNITS, *EACH_UNITS])
        return (
            pl.when(~known)
            .then(pl.format("unit {} is neither cases nor eaches", uom))
            .when(pl.col(uom).is_in(list(EACH_UNITS)) & pack.is_null())
            .then(pl.lit("unit is not cases and there is no pack size"))
            .when(pl.col(uom).is_in(list(EACH_UNITS)) & (pack <= 0))
            .then(pl.lit("pack size is not positive"))
        )

    return lines.with_columns(
        converted("ordered_qty", "uom").alias("ordered_units"),
        converted("shipped_qty_shipment", "uom_shipment").fill_null(0).alias("shipped_units"),
        trouble("uom").alias("unit_reason"),
        pl.when(pl.col("uom_shipment").is_not_null()).then(trouble("uom_shipment")).alias("shipment_reason"),
    )


def _judged(lines: pl.LazyFrame) -> pl.LazyFrame:
    item, line_type, status = pl.col("item"), pl.col("line_type"), pl.col("status")
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
        .when(units("ordered_qty") > MAX_QUANTITY)
        .then(pl.lit("quantity above 10,000,000"))
        .when(~line_type.is_in(list(LINE_TYPES)))
        .then(pl.format("unknown line type {}", line_type))
        .when(~status.is_in(list(STATUSES)))
        .then(pl.format("unknown status {}", status))
    )
    excluded = (
        pl.when((status == "CANCELLED") & pl.col("cancel_reason").str.starts_with("CUST").fill_null(value=False))
        .then(pl.lit("cancelled by the customer"))
        .when(line_type.is_in(list(OTHER_DEMAND)))
        .then(pl.format("{} line: its demand counts elsewhere", line_type))
    )
    unconvertible = (
        pl.when(pl.col("item_type").is_null())
        .then(pl.format("item {} is not in force on the ship date", item))
        .otherwise(pl.col("unit_reason"))
    )
    substitute = pl.when(line_type == "SUBSTITUTE").then(pl.lit("substitute: credited to the line it replaces"))
    rejection = pl.when(unusable.is_not_null()).then(unusable).when(excluded.is_null()).then(unconvertible)
    return lines.with_columns(
        rejection.alias("rejection"), pl.coalesce(excluded, substitute).alias("exclusion")
    ).with_columns(
        pl.when(pl.col("rejection").is_not_null())
        .then(pl.lit("REJECTED"))
        .when(pl.col("exclusion").is_not_null())
        .then(pl.lit("EXCLUDED"))
        .otherwise(pl.lit("COUNTED"))
        .alias("disposition"),
        pl.coalesce("rejection", "exclusion").alias("reason"),
    )


def _credited(lines: pl.LazyFrame, time_zones: Mapping[str, str]) -> pl.LazyFrame:
    """Cap each line, credit substitutes to the line they replace, judge on-time."""
    counted = pl.col("disposition") == "COUNTED"
    ordered, shipped = pl.col("ordered_units"), pl.col("shipped_units")
    credited = pl.min_horizontal(ordered, shipped)
    substitutes = (
        lines.filter(pl.col("disposition") == "EXCLUDED", pl.col("line_type") == "SUBSTITUTE")
        .group_by("dc", "order_id", pl.col("substitute_for_line").alias("line_no"))
        .agg(pl.col("shipped_units").sum().alias("sub_units"))
    )
    arrived = _business_date(pl.coalesce("delivered_at_shipment", "shipped_at_shipment"), time_zones)
    on_time = (
        pl.when(arrived.is_not_null())
        .then(arrived <= pl.coalesce("requested_date", "ship_date"))
        .when(shipped == 0)
        .then(pl.lit(value=False))
    )
    return lines.join(substitutes, on=LINE_KEY, how="left").select(
        pl.lit("order_lines").alias("source_table"),
        *[
            "dc",
            "ship_date",
            "order_id",
            "line_no",
            "customer",
            "item",
            "vendor",
            "department",
            "disposition",
            "reason",
        ],
        pl.when(counted).then(cases(ordered)).alias("ordered_cases"),
        pl.when(counted).then(cases(credited)).alias("shipped_cases"),
        pl.when(counted).then(cases(shipped - credited)).alias("over_cases"),
        pl.when(counted).then(cases(pl.col("sub_units").fill_null(0))).alias("sub_cases"),
        pl.when(counted & (shipped < ordered)).then(pl.col("reason_code_shipment")).alias("reason_code"),
        pl.when(counted).then(on_time).alias("on_time"),
        pl.when(pl.col("disposition") == "REJECTED")
        .then(pl.struct(schema.ORDER_LINES.names).struct.json_encode())
        .alias("raw"),
    )


def _business_date(moment: pl.Expr, time_zones: Mapping[str, str]) -> pl.Expr:
    local = moment.dt.date()
    for zone in sorted(set(time_zones.values()) - {"UTC"}):
        dcs = [dc for dc, name in time_zones.items() if name == zone]
        local = pl.when(pl.col("dc").is_in(dcs)).then(moment.dt.convert_time_zone(zone).dt.date()).otherwise(local)
    return local


def _judged_snapshots(snapshots: pl.LazyFrame) -> pl.LazyFrame:
    flag = pl.col("instock").str.strip_chars().str.to_uppercase()
    item = pl.col("item")
    reason = (
        pl.when(pl.col("problem").is_not_null())
        .then(pl.col("problem"))
        .when(item.is_null() | (item.str.strip_chars() == ""))
        .then(pl.lit("no item"))
        .when(flag.is_null() | ~flag.is_in(["Y", "N"]))
        .then(pl.format("instock is {}, expected Y or N", pl.col("instock").fill_null("empty")))
    )
    return snapshots.with_columns(flag.alias("instock"), reason.alias("reason"))
