"""Notes on a directory's tables: what is read as it is, and may still mean something else.

What cannot be read is a reject, and belongs to `table_parsing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from fillrate_assets.core import codes

_NAMED: Final = 3


def describe_repeats(
    table: str, rows: pl.DataFrame, key: Sequence[str], derived: pl.DataFrame | None = None
) -> list[str]:
    """Describe the rows that repeat another one to the letter: they count once, and may have been parts.

    Args:
        table: name of the table in the note.
        rows: typed rows.
        key: columns that name a line.
        derived: what was derived of the same rows; one that differs in it is no repeat.

    """
    # Equal rows have equal keys, so only the few rows whose key repeats need the comparison of all columns.
    contested = rows.filter(pl.struct(key).hash().is_duplicated())
    repeats = contested.filter(~pl.struct(pl.all()).is_first_distinct())
    if derived is not None and not repeats.is_empty():
        versions = derived.join(repeats.select(key), on=key, how="semi", nulls_equal=True).unique()
        different = versions.filter(pl.struct(key).is_duplicated())
        repeats = repeats.join(different, on=key, how="anti", nulls_equal=True)
    if repeats.is_empty():
        return []
    name = pl.concat_str(key[1:], separator="/", ignore_nulls=True)
    named = repeats.select(name.alias("line")).to_series().unique().sort()
    listed = ", ".join(named[:_NAMED]) + (", ..." if named.len() > _NAMED else "")
    count = "1 row repeats" if repeats.height == 1 else f"{repeats.height:,} rows repeat"
    return [f"{table}: {count} another in every value, and no repeat counts: {listed}"]


def describe_unknown_items(table: str, rows: pl.DataFrame, items: pl.DataFrame) -> list[str]:
    """Describe the items of a table that no row of items names, and which one such a code may mean."""
    named = rows.select(pl.col("item").drop_nulls().unique())
    unknown = named.join(items, on="item", how="anti").sort("item")
    if unknown.is_empty():
        return []
    bare = codes.strip_code(pl.col("item")).str.to_lowercase().alias("bare")
    meant = items.select("item").unique().group_by(bare).agg(pl.col("item").min().alias("meant"))
    near = unknown.with_columns(bare).join(meant, on="bare", how="inner", maintain_order="left")
    count = f"{unknown.height:,} of {named.height:,} items are in no row of items"
    if not near.is_empty():
        return [f"{table}: {count}, such as {near['item'][0]}; is it {near['meant'][0]}?"]
    return [f"{table}: {count}, such as {unknown['item'][0]}"] if unknown.height == named.height else []
