"""Schemas of method 2 of the estimate: what is usual of an item, what other DCs saw, and what was to be expected."""

from __future__ import annotations

from typing import Final

import polars as pl

from fillrate_assets.core.decimals import CASES, RATE
from fillrate_assets.core.table_schema import Column, TableSchema
from fillrate_assets.fillrate.schema import LOST_CASES

_DC, _SHIP_DATE, _ITEM = (
    next(column for column in LOST_CASES.columns if column.name == name) for name in ("dc", "ship_date", "item")
)

_OBSERVATIONS: Final = (
    Column("week_n", pl.Int64, "Observations in the 7 days before", "ship days"),
    Column("month_n", pl.Int64, "Observations in the 28 days before", "ship days"),
)
_WEEKDAY_INDEX: Final = Column("weekday_index", RATE, "Ordered cases of the weekday / those of all days", "share")

DEMAND_LEVELS: Final = TableSchema(
    "demand_levels",
    ("dc", "ship_date", "item"),
    (
        _DC,
        _SHIP_DATE,
        _ITEM,
        Column(
            "level_cases", CASES, "A2: level of daily ordered cases; null: too little history", "cases", nullable=True
        ),
        *_OBSERVATIONS,
    ),
)

WEEKDAY_INDICES: Final = TableSchema(
    "weekday_indices",
    ("dc", "ship_date", "department", "weekday"),
    (
        _DC,
        _SHIP_DATE,
        Column("department", pl.String, "Department in force on the days observed; empty: items without one"),
        Column("weekday", pl.Int64, "Day of the week: 1 Monday to 7 Sunday"),
        _WEEKDAY_INDEX,
        Column("weekday_n", pl.Int64, "Observations of the weekday", "item-days"),
    ),
)

_USUAL: Final = (
    Column("level_cases", CASES, "A2: level of daily ordered cases", "cases"),
    *_OBSERVATIONS,
    _WEEKDAY_INDEX,
    Column("usual_cases", CASES, "Level x weekday index", "cases"),
)
_FACTOR: Final = (
    Column("network_factor", RATE, "What the item sold at the other DCs that day / what is usual there", "share"),
    Column("network_dcs", pl.Int64, "Other DCs that had it in stock", "DCs"),
)
_WEIGHT: Final = Column("factor_weight", RATE, "How far the DC follows the factor: 0 not at all, 1 wholly", "share")

USUAL_DEMAND: Final = TableSchema(
    "usual_demand",
    ("dc", "ship_date", "item"),
    (
        _DC,
        _SHIP_DATE,
        _ITEM,
        *_USUAL,
        Column("observed_cases", CASES, "Ordered, where the item was in stock on a ship day", "cases", nullable=True),
    ),
)

NETWORK_FACTORS: Final = TableSchema("network_factors", ("dc", "ship_date", "item"), (_DC, _SHIP_DATE, _ITEM, *_FACTOR))

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
    (_DC, _SHIP_DATE, _WEIGHT, Column("weight_n", pl.Int64, "Item-days it is learned from", "item-days")),
)

EXPECTED_DEMAND: Final = TableSchema(
    "expected_demand",
    ("dc", "ship_date", "item"),
    (
        _DC,
        _SHIP_DATE,
        _ITEM,
        *_USUAL,
        *_FACTOR,
        _WEIGHT,
        Column("expected_cases", CASES, "Usual x weighted factor", "cases"),
    ),
)

UNBIASED_ESTIMATES: Final = TableSchema(
    "unbiased_estimates",
    ("dc", "ship_date", "item"),
    (
        _DC,
        _SHIP_DATE,
        _ITEM,
        Column("expected_cases", CASES, "Expected demand; null: too little history", "cases", nullable=True),
        Column("calibration", RATE, "Scale of the positive parts of the DC's day", "share"),
        Column("unbiased_cases", CASES, "Demand above what was even ordered, by method 2", "cases"),
    ),
)
