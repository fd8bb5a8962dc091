"""Comparison of two versions of records: key, field, before, after and why (methodology, "Corrections")."""

from __future__ import annotations

from typing import Final

import polars as pl

from fillrate_assets.fillrate import schema

KEY: Final = ["dc", "ship_date", "item"]
RECORD: Final = "record"
"""The field that names a whole record that came or went."""

_FACTS: Final = ("ordered_cases", "shipped_cases", "over_cases", "sub_cases", "path", "phantom_stock", "flag_conflict")
_ESTIMATES: Final = [column.name for column in schema.ESTIMATES]
_CAUSES: Final = {
    "orders, shipments or snapshot of the day corrected": _FACTS,
    "the other method's estimate is published": ("method_version",),
    "an earlier day was corrected: the baseline moved": ("baseline_cases", "baseline_n", "baseline_source"),
    "an earlier day was corrected: the level or the weekday moved": (
        *("level_cases", "week_n", "month_n", "weekday_index"),
    ),
    "what other DCs sold that day, or how far the DC follows them, moved": (
        *("network_factor", "network_dcs", "factor_weight"),
    ),
    "another item of the day moved: the calibration with it": ("calibration",),
}
"""Why values moved, by what moved first: one of the values that the others are computed from."""

_OTHERWISE: Final = "item master, waivers or method changed"


def find_restatements(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """Find every value that differs between two versions of the records of the same partitions.

    What both methods estimate is no restatement where the record is older than method 2: it had no such values.

    Args:
        before: `LOST_CASES` as published.
        after: `LOST_CASES` as computed now.

    Returns:
        `RESTATEMENTS`: one row per changed value; a record that came or went is one row of field `record`.

    """
    fields = [name for name in schema.LOST_CASES.names if name not in KEY]
    old = before.select(*KEY, pl.struct(fields).alias("old"), pl.struct(fields).hash().alias("old_hash"))
    new = after.select(*KEY, pl.struct(fields).alias("new"), pl.struct(fields).hash().alias("new_hash"))
    both = old.join(new, on=KEY, how="full", coalesce=True)
    differ = both.filter(pl.col("old_hash").ne_missing(pl.col("new_hash")))
    came_or_went = differ.filter(pl.col("old_hash").is_null() | pl.col("new_hash").is_null())
    changed = differ.filter(pl.col("old_hash").is_not_null() & pl.col("new_hash").is_not_null())
    had_estimates = ~_is_out_expr("old") | pl.col("old").struct.field("method_1_cases").is_not_null()
    cause = pl.coalesce(
        *(pl.when(_any_differs_expr(names)).then(pl.lit(cause)) for cause, names in _CAUSES.items()),
        pl.lit(_OTHERWISE),
    )
    moved = [_describe_expr(name, had_estimates if name in _ESTIMATES else pl.lit(value=True)) for name in fields]
    values = (
        changed.select(*KEY, cause.alias("cause"), pl.concat_list(moved).list.drop_nulls().alias("value"))
        .explode("value")
        .filter(pl.col("value").is_not_null())
        .unnest("value")
        .select(*KEY, "field", "before", "after", "cause")
    )
    whole = came_or_went.select(
        *KEY,
        pl.lit(RECORD).alias("field"),
        pl.when(pl.col("old_hash").is_null()).then(pl.lit("absent")).otherwise(pl.lit("present")).alias("before"),
        pl.when(pl.col("new_hash").is_null()).then(pl.lit("absent")).otherwise(pl.lit("present")).alias("after"),
        pl.lit("orders, shipments or snapshot of the day corrected").alias("cause"),
    )
    return pl.concat([values, whole]).sort(*KEY, "field")


def _is_out_expr(version: str) -> pl.Expr:
    record = pl.col(version).struct
    return (record.field("path") == "STOCK_OUT") | record.field("imputed")


def _any_differs_expr(fields: tuple[str, ...]) -> pl.Expr:
    return pl.any_horizontal(
        pl.col("old").struct.field(name).ne_missing(pl.col("new").struct.field(name)) for name in fields
    )


def _describe_expr(name: str, applies: pl.Expr) -> pl.Expr:
    """Describe a value that differs; null where it does not."""
    before, after = pl.col("old").struct.field(name), pl.col("new").struct.field(name)
    return pl.when(applies & before.ne_missing(after)).then(
        pl.struct(
            pl.lit(name).alias("field"),
            before.cast(pl.String).alias("before"),
            after.cast(pl.String).alias("after"),
        )
    )
