"""Rejected rows of the inputs, and the numbers that they touch: those of the items that they would be of."""

from __future__ import annotations

from itertools import combinations

import polars as pl

from fillrate_assets.core.text_columns import format_text
from fillrate_assets.replenishment import schema

_MOST_NAMED = 3


def describe_rejects(items: pl.LazyFrame, rejects: pl.DataFrame) -> pl.LazyFrame:
    """Describe the rejected rows that would be of each item on its ship date.

    What a rejected row does not name, or what could not be read of it, it is of every. A row that names neither item,
    vendor, department nor DC is of all of them.

    Args:
        items: `ITEMS`.
        rejects: `INPUT_REJECTS`.

    Returns:
        Columns dc, item, ship_date and rejected; no row for an item that none touches.

    """
    key, day = list(schema.ITEMS.key), pl.col("ship_date")
    reason = format_text("{}: {}", "table", "reason").alias("reason")
    rows = rejects.select(*schema.TERM_KEYS, "valid_from", "valid_to", reason)
    found = [schema.ITEMS.make_empty().select(key).with_columns(reason=pl.lit(None, pl.String))]
    for size in range(len(schema.TERM_KEYS) + 1):
        for keys in combinations(schema.TERM_KEYS, size):
            others = [each for each in schema.TERM_KEYS if each not in keys]
            of_keys = rows.filter(
                *(pl.col(each).is_not_null() for each in keys), *(pl.col(each).is_null() for each in others)
            )
            if of_keys.is_empty():
                continue
            named = of_keys.drop(others).lazy()
            joined = items.join(named, on=list(keys)) if keys else items.join(named, how="cross")
            found.append(
                joined.filter(
                    pl.col("valid_from").is_null() | (day >= pl.col("valid_from")),
                    pl.col("valid_to").is_null() | (day <= pl.col("valid_to")),
                ).select(*key, "reason")
            )
    reasons, count = pl.col("reason").unique().sort(), pl.col("reason").n_unique()
    shown = reasons.head(_MOST_NAMED).str.join("; ")
    return (
        pl.concat(found)
        .group_by(key)
        .agg(
            pl.when(count > _MOST_NAMED)
            .then(format_text("{}; and {} more", shown, count - _MOST_NAMED))
            .otherwise(shown)
            .alias("rejected")
        )
    )
