"""Versions of a source's row: which one counts, and which rows contradict each other.

The latest `processed_at` counts, then the greater source sequence; the order of arrival never decides. What a line or
a shipment means belongs to `line_classification` and `shipments`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

LINE_KEY: Final = ["dc", "order_id", "line_no", "schedule_line"]
"""What identifies an order line. `schedule_line` is 0 inside the rules where a source has none."""

LATER: Final = "a later version of the line exists"
TWICE: Final = "the same row is there twice"
CONTRADICTS: Final = "another row of the line says otherwise, and neither is later"

_VERSION: Final = ("processed_at", "source_seq")
ROW: Final = "row"
"""Column that numbers rows, where a rule needs to name them."""

_DERIVED: Final = ("moved_at", "rival_ship_date", ROW)


def fill_schedule_lines(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Fill absent schedule lines with 0, so that keys compare without nulls."""
    return frame.with_columns(pl.col("schedule_line").fill_null(0))


def has_one_version(identity: Sequence[str]) -> pl.Expr:
    """Match rows that no other row competes with, on their ship date or on another one.

    Equal identities have equal hashes, so whatever competes is among the rows that do not match. Now and then two
    hashes are equal by chance: those rows are compared as well, which changes nothing.
    """
    alone = ~pl.struct(identity).hash().is_duplicated()
    return alone & pl.col("moved_at").is_null() & pl.col("rival_ship_date").is_null()


def mark_versions(frame: pl.LazyFrame, identity: Sequence[str]) -> pl.LazyFrame:
    """Mark rows that do not count because of other rows of the same identity.

    Args:
        frame: versioned rows with `moved_at` and `rival_ship_date`, all that there are of each identity.
        identity: columns that versions share.

    Returns:
        The rows with `superseded`, why another row takes the place of this one, and `contradicted`, whether a row of
        the same version says otherwise.

    """
    content = [name for name in frame.collect_schema() if name not in _DERIVED]
    at, seq = (pl.col(name).to_physical().fill_null(pl.lit(-(2**62))) for name in _VERSION)
    latest = at == at.max().over(identity)
    newest = latest & (seq == pl.when(latest).then(seq).max().over(identity))
    return (
        frame.with_columns(newest.alias("newest"), pl.struct(content).is_first_distinct().alias("first"))
        .with_columns((pl.col("newest") & pl.col("first")).sum().over(identity).alias("rivals"))
        .with_columns(
            pl.when(~pl.col("newest") | pl.col("moved_at").is_not_null())
            .then(pl.lit(LATER))
            .when(~pl.col("first"))
            .then(pl.lit(TWICE))
            .alias("superseded"),
            ((pl.col("rivals") > 1) | pl.col("rival_ship_date").is_not_null()).alias("contradicted"),
        )
        .drop("newest", "first", "rivals")
    )
