"""Rejected rows: as their source gave them, and as people read them."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from fillrate_assets.core import parsing
from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.fillrate import schema


def encode_raw_row(frame: TableSchema, where: pl.Expr) -> pl.Expr:
    """Encode the row as its source gave it, as JSON; null elsewhere."""
    problem = pl.col("problem")
    typed = {
        # The rules fill an absent one with 0.
        column.name: pl.col(column.name).replace(0, None) if column.name == "schedule_line" else pl.col(column.name)
        for column in frame.source_columns
    }
    # A value that could not be read is text, so in its row every value is.
    written = {
        name: value
        if frame.polars[name] == pl.String
        else pl.coalesce(value.cast(pl.String), parsing.extract_unread_text(problem, frame, name))
        for name, value in typed.items()
    }

    def encode(rows: pl.Expr, values: Mapping[str, pl.Expr]) -> pl.Expr:
        # Writing out a null struct costs next to nothing, writing out every row more than all other rules together.
        row = pl.struct(value.alias(name) for name, value in values.items())
        return pl.when(rows).then(pl.when(rows).then(row).struct.json_encode())

    return pl.coalesce(encode(where & problem.is_null(), typed), encode(where & problem.is_not_null(), written))


def select_rejects(lines: pl.LazyFrame) -> pl.LazyFrame:
    """Select the rejected rows of `CLASSIFIED_LINES` as the `REJECTS` table that people read."""
    return (
        lines.filter(pl.col("disposition") == "REJECTED")
        .select(
            pl.col("source_table").alias("table"),
            "dc",
            "ship_date",
            pl.when(pl.col("order_id").is_not_null())
            .then(pl.concat_str("order_id", "line_no", "schedule_line", separator="/", ignore_nulls=True))
            .otherwise("item")
            .alias("key"),
            "reason",
            pl.col("raw").fill_null("{}"),
        )
        .sort("table", "dc", "ship_date", "key", "reason", "raw")
        .pipe(schema.REJECTS.conform)
    )
