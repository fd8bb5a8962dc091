"""Which units share paths: what is within what, by the paths whose levels count, not by the names of pools."""

from __future__ import annotations

import polars as pl


def find_within(wide: pl.DataFrame, narrow: pl.DataFrame) -> pl.DataFrame:
    """Find which units have all their paths in another one.

    Args:
        wide: columns warehouse, unit_id, paths; each unit once.
        narrow: the same.

    Returns:
        Columns outer, unit_id, paths_of_outer (how many), equal (whether they have the same paths).

    """
    return (
        _join_by_path(wide, narrow)
        .group_by("outer", "unit_id")
        .agg(pl.len().alias("shared"), pl.col("size", "paths_of_outer").first())
        .filter(pl.col("shared") == pl.col("size"))
        .select("outer", "unit_id", "paths_of_outer", (pl.col("size") == pl.col("paths_of_outer")).alias("equal"))
    )


def find_sharing(one: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """Find which units share a path: columns outer (of the one), unit_id (of the other)."""
    return _join_by_path(one, other).select("outer", "unit_id").unique()


def _join_by_path(one: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """Join pairs of units by each path that both have."""
    size = pl.col("paths").list.len()
    left = one.select("warehouse", pl.col("unit_id").alias("outer"), "paths", size.alias("paths_of_outer"))
    right = other.select("warehouse", "unit_id", "paths", size.alias("size"))
    parts = [frame.explode("paths", empty_as_null=True, keep_nulls=True).drop_nulls("paths") for frame in (left, right)]
    return parts[0].join(parts[1], on=["warehouse", "paths"]).filter(pl.col("outer") != pl.col("unit_id"))
