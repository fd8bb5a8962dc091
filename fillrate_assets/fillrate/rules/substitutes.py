"""Substitutes that ship on another date than the line they replace: which line gets their cases (decision 0160).

Substitutes of the same ship date are added up in `line_classification`, where what shipped on each is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from fillrate_assets.fillrate.rules.row_versions import LINE_KEY, fill_schedule_lines, mark_versions
from fillrate_assets.fillrate.rules.units_of_measure import normalize_code

SUBSTITUTE: Final = "SUBSTITUTE"
SOURCE_TABLE: Final = "substitutes"
"""What `CLASSIFIED_LINES` calls rows of substitutes on the ship date of the line that they replace."""

_ORDER: Final = ["dc", "order_id"]


@dataclass(frozen=True)
class SubstitutesElsewhere:
    """Substitutes that ship on another date than the line they replace."""

    order_lines: pl.LazyFrame
    """`ORDER_LINES` in force, with `replaced_ship_date`: on which date the line ships that each replaces."""

    shipment_lines: pl.LazyFrame
    """`SHIPMENT_LINES` of them, any number of versions."""


def select_split_orders(order_lines: pl.LazyFrame) -> pl.LazyFrame:
    """Select the lines of orders that ship on several dates and name a line that another one replaces."""
    orders = (
        order_lines.filter(pl.col("substitute_for_line").is_not_null())
        .select(_ORDER)
        .unique()
        .join(order_lines.select(*_ORDER, "ship_date"), on=_ORDER, how="inner")
        .group_by(_ORDER)
        .agg(pl.col("ship_date").n_unique().alias("dates"))
        .filter(pl.col("dates") > 1)
    )
    return order_lines.join(orders.select(_ORDER), on=_ORDER, how="semi")


def place_substitutes(order_lines: pl.LazyFrame) -> pl.LazyFrame:
    """Find the substitutes whose line ships on other dates alone.

    Args:
        order_lines: `ORDER_LINES`: every version of every line of some orders.

    Returns:
        Their rows in force, and `replaced_ship_date`, the first date on which the line ships that each replaces.

    """
    current = mark_versions(fill_schedule_lines(order_lines), LINE_KEY).filter(pl.col("superseded").is_null()).cache()
    dates = current.group_by(*_ORDER, "line_no").agg(pl.col("ship_date").unique().alias("dates"))
    line_type = normalize_code("line_type", (SUBSTITUTE,), "NORMAL")
    return (
        current.filter(~pl.col("contradicted") & (line_type == SUBSTITUTE))
        .join(dates, left_on=[*_ORDER, "substitute_for_line"], right_on=[*_ORDER, "line_no"], how="inner")
        .filter(~pl.col("dates").list.contains(pl.col("ship_date")))
        .with_columns(pl.col("dates").list.min().alias("replaced_ship_date"), pl.col("schedule_line").replace(0, None))
        .drop("dates", "superseded", "contradicted")
    )


def find_substitutes_elsewhere(order_lines: pl.LazyFrame, shipment_lines: pl.LazyFrame) -> SubstitutesElsewhere | None:
    """Find the substitutes whose line ships on other dates among all the lines there are; None if there are none."""
    placed = place_substitutes(select_split_orders(order_lines)).collect()
    if placed.is_empty():
        return None
    return SubstitutesElsewhere(placed.lazy(), select_shipments_of(shipment_lines, placed.lazy()))


def select_shipments_of(shipment_lines: pl.LazyFrame, placed: pl.LazyFrame) -> pl.LazyFrame:
    """Select the shipments of order lines, whatever schedule line they name, with the versions that moved elsewhere."""
    line = [name for name in LINE_KEY if name != "schedule_line"]
    return shipment_lines.join(placed.select(line).unique(), on=line, how="semi")
