"""Schemas of method 2 of the estimate: what is usual of an item, and what other DCs saw.

The level is beside the baseline of method 1 in `ROLLING_AVERAGES`, and what was expected in `LOST_CASES`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import polars as pl

from fillrate_assets.core.decimals import CASES, RATE
from fillrate_assets.core.table_schema import TIMESTAMP, Column, TableSchema
from fillrate_assets.fillrate.schema import LOST_CASES

_DC, _SHIP_DATE, _ITEM = (
    next(column for column in LOST_CASES.columns if column.name == name) for name in ("dc", "ship_date", "item")
)

WEEKDAY_INDICES: Final = TableSchema(
    "weekday_indices",
    ("dc", "ship_date", "department", "weekday"),
    (
        _DC,
        _SHIP_DATE,
        Column("department", pl.String, "Department in force on the days observed; empty: items without one"),
        Column("weekday", pl.Int64, "Day of the week: 1 Monday to 7 Sunday"),
        Column("weekday_index", RATE, "Ordered cases of the weekday / those of all days", "ratio"),
        Column("weekday_n", pl.Int64, "Observations of the weekday", "item-days"),
    ),
)

USUAL_DEMAND: Final = TableSchema(
    "usual_demand",
    ("dc", "ship_date", "item"),
    (
        _DC,
        _SHIP_DATE,
        _ITEM,
        Column("usual_cases", CASES, "Level x weekday index", "cases"),
        Column("observed_cases", CASES, "Ordered, where the item was in stock on a ship day", "cases", nullable=True),
    ),
)

NETWORK_FACTORS: Final = TableSchema(
    "network_factors",
    ("dc", "ship_date", "item"),
    (
        _DC,
        _SHIP_DATE,
        _ITEM,
        Column("network_factor", RATE, "What the item sold at the other DCs that day / what is usual there", "ratio"),
        Column("network_dcs", pl.Int64, "Other DCs that had it in stock", "DCs"),
    ),
)

FACTOR_FITS: Final = TableSchema(
    "factor_fits",
    ("dc", "ship_date"),
    (
        _DC,
        _SHIP_DATE,
        Column("followed_cases", CASES, "Sum of (factor - 1) x (observed - usual)", "cases"),
        Column("deviation_cases", CASES, "Sum of (factor - 1)^2 x usual", "cases"),
        Column("usual_cases", CASES, "Sum of usual demand", "cases"),
        Column("item_days", pl.Int64, "Item-days observed", "item-days"),
    ),
)

FACTOR_WEIGHTS: Final = TableSchema(
    "factor_weights",
    ("dc", "ship_date"),
    (
        _DC,
        _SHIP_DATE,
        Column("factor_weight", RATE, "How far the DC follows the factor: 0 not at all, 1 wholly", "share"),
        Column("weight_n", pl.Int64, "Item-days it is learned from", "item-days"),
    ),
)

_NETWORK_VERSION: Final = Column(
    "network_version", pl.String, "Factors and weight; null: no item has a factor", nullable=True
)

NETWORK_DAYS: Final = TableSchema(
    "network_days",
    ("dc", "ship_date"),
    (
        _DC,
        _SHIP_DATE,
        Column("usual_version", pl.String, "Hash of the usual demand of the DC's day"),
        Column("usual_at", TIMESTAMP, "When it became so", "UTC"),
        Column("observed_items", pl.Int64, "Items that were observed that day", "items"),
        Column(
            "compared_version", pl.String, "The usual demand that the factors of the date were made of", nullable=True
        ),
        Column("factors_version", pl.String, "Hash of the DC's factors; null: no item has one", nullable=True),
        *(replace(column, nullable=True) for column in FACTOR_FITS.columns[len(FACTOR_FITS.key) :]),
        _NETWORK_VERSION,
    ),
)

NETWORK_VERSIONS: Final = TableSchema(
    "network_versions",
    ("dc", "ship_date"),
    (
        _DC,
        _SHIP_DATE,
        _NETWORK_VERSION,
    ),
)
