"""Tables of the replenishment area: columns, dtypes, keys, nullability. No rule and no SQL belongs here."""

from __future__ import annotations

from typing import Final

import polars as pl

from fillrate_assets.core.decimals import CASES, RATE
from fillrate_assets.core.table_schema import TIMESTAMP, Column, TableSchema

MONEY: Final = pl.Decimal(18, 4)

QUANTILE_SOURCES: Final = ("TARGET", "COSTS", "DEFAULT")
"""What a quantile follows from: a service target, the costs of a shortage and of holding, or the default."""

REASONS: Final = ("NO_LEVEL", "NO_DEMAND", "FEW_ERRORS")
"""Why there is no number."""

ORDER_LIMITS: Final = ("MINIMUM_ORDER", "SHELF_LIFE", "MINIMUM_BEYOND_SHELF_LIFE")
"""What decided how much to order, other than the gap and the case multiple."""

ON_HAND_SOURCES: Final = ("POSITION", "SNAPSHOT")
"""Where it is known from what is on hand: a stock position, or the instock record of the day."""

DECISIONS: Final = ("ACCEPTED", "CHANGED", "REFUSED")
"""What a buyer did about a recommendation."""

ITEM_CLASSES: Final = ("A", "B", "C")
"""The items with the first 80 % of a DC's forecast cases, those with the next 15 %, and the others."""

TERM_KEYS: Final = ("item", "vendor", "department", "dc")
"""What terms can be of, the most specific first."""

_DC: Final = Column("dc", pl.String, "Distribution centre")
_ITEM: Final = Column("item", pl.String, "Item number")
_SHIP_DATE: Final = Column("ship_date", pl.Date, "Business date of the DC, at whose beginning the number is made")
_DEPARTMENT: Final = Column("department", pl.String, "Department in force on the ship date", nullable=True)
_VENDOR: Final = Column("vendor", pl.String, "Vendor in force on the ship date", nullable=True)
_PERIOD: Final = (
    Column("lead_time_days", pl.Int64, "From an order to its arrival", "days"),
    Column("protection_days", pl.Int64, "Lead time and review period: what the stock has to last for", "days"),
)


def _define_cases(name: str, description: str, *, nullable: bool = False) -> Column:
    return Column(name, CASES, description, "cases", nullable)


_QUANTILE: Final = (
    Column("quantile", RATE, "Share of protection periods that the stock is to suffice for", "share"),
    Column("quantile_source", pl.String, "What the quantile follows from", codes=QUANTILE_SOURCES),
)
_USUAL: Final = (
    _define_cases("level_cases", "Usual demand of a ship day", nullable=True),
    Column("period_ship_days", pl.Int64, "Ship days of the protection period", "ship days"),
    Column("period_weight", RATE, "Sum of the weekday indices of the protection period", "usual days"),
)
_FORECAST: Final = _define_cases("forecast_cases", "Forecast over the protection period", nullable=True)
_DEFAULTED: Final = Column(
    "defaulted", pl.String, "Terms that are defaults of the DC, by name and comma", nullable=True
)

LEVELS: Final = TableSchema(
    "levels",
    ("dc", "item", "ship_date"),
    (_DC, _ITEM, _SHIP_DATE, _define_cases("level_cases", "Usual demand of a ship day, from the days before it")),
)
"""What is usual, steadied more than the level of the estimate of lost cases (decision 0364)."""

WEEKDAY_INDICES: Final = TableSchema(
    "weekday_indices",
    ("dc", "department", "ship_date", "weekday"),
    (
        _DC,
        Column("department", pl.String, "Department; empty: of items without one"),
        _SHIP_DATE,
        Column("weekday", pl.Int64, "Day of the week: 1 Monday to 7 Sunday"),
        Column("weekday_index", RATE, "Demand of the weekday against the mean, from the days before the ship date"),
    ),
)

SHIP_DAYS: Final = TableSchema("ship_days", ("dc", "ship_date"), (_DC, _SHIP_DATE))
"""Days on which a DC ships: those that were, and those ahead."""

DEMAND: Final = TableSchema(
    "demand",
    ("dc", "item", "ship_date"),
    (
        _DC,
        _ITEM,
        _SHIP_DATE,
        _define_cases("demand_cases", "What was ordered on a ship day on which the item was in stock"),
    ),
)
"""Days on which demand was observed; a day out of stock has no row, a day without orders has 0."""

ITEMS: Final = TableSchema("items", ("dc", "item", "ship_date"), (_DC, _ITEM, _SHIP_DATE, _DEPARTMENT, _VENDOR))
"""The items that numbers are made of, and of which ship dates."""

_TERMS: Final = (
    Column("lead_time_days", pl.Int64, "From an order to its arrival", "days", nullable=True),
    Column("lead_time_deviation_days", RATE, "Standard deviation of the lead time", "days", nullable=True),
    Column("review_days", pl.Int64, "From one order to the next", "days", nullable=True),
    _define_cases("moq", "Minimum order: the least that can be ordered", nullable=True),
    _define_cases("case_multiple", "What an order is a multiple of", nullable=True),
    Column("shelf_life_days", pl.Int64, "For how long it can be sold", "days", nullable=True),
    Column("unit_cost", MONEY, "What a case costs", "money/case", nullable=True),
    Column("unit_price", MONEY, "What a case is sold for", "money/case", nullable=True),
)

SUPPLY_TERMS: Final = TableSchema(
    "supply_terms",
    (*TERM_KEYS, "valid_from"),
    (
        *(Column(key, pl.String, f"Of which {key}; empty: of every", nullable=True) for key in TERM_KEYS),
        Column("valid_from", pl.Date, "First day on which the row holds"),
        Column("valid_to", pl.Date, "Last day on which it holds; empty: open", nullable=True),
        *_TERMS,
        Column("service_target", RATE, "Share of protection periods without a shortage", "share", nullable=True),
        Column("shortage_cost", MONEY, "Cost of a case short, as against `holding_cost`", nullable=True),
        Column("holding_cost", MONEY, "Cost of a case left over in a protection period", nullable=True),
    ),
)
"""Terms of supply, effective-dated. A row may have some; each is that of the most specific row that has it."""

STOCK_POSITIONS: Final = TableSchema(
    "stock_positions",
    ("dc", "item", "ship_date"),
    (
        _DC,
        _ITEM,
        Column("ship_date", pl.Date, "Day at whose beginning it is so"),
        _define_cases("on_hand_cases", "On hand; empty: as the instock record has it", nullable=True),
        _define_cases("on_order_cases", "On order and not arrived; empty: unknown", nullable=True),
    ),
)
"""What is on hand and on order, as the company's own system says."""

INPUT_REJECTS: Final = TableSchema(
    "replenishment_rejects",
    (),
    (
        Column("table", pl.String, "supply_terms or stock_positions"),
        *(Column(key, pl.String, f"Of which {key}; empty: of every", nullable=True) for key in TERM_KEYS),
        Column("valid_from", pl.Date, "First day that it would hold on; empty: unknown", nullable=True),
        Column("valid_to", pl.Date, "Last day that it would hold on; empty: open", nullable=True),
        Column("reason", pl.String, "Why it cannot be used"),
        Column("raw", pl.String, "The row as it came, as JSON"),
    ),
)
"""Rows of the inputs that cannot be used."""

_REJECTED: Final = Column(
    "rejected", pl.String, "Why rows of the inputs that would be of it were rejected", nullable=True
)

ITEM_TERMS: Final = TableSchema(
    "item_terms",
    ITEMS.key,
    (
        *ITEMS.columns,
        *_PERIOD,
        Column("lead_time_deviation_days", RATE, "Standard deviation of the lead time", "days", nullable=True),
        Column("review_days", pl.Int64, "From one order to the next", "days"),
        _define_cases("moq", "Minimum order: the least that can be ordered"),
        _define_cases("case_multiple", "What an order is a multiple of"),
        Column("shelf_life_days", pl.Int64, "For how long it can be sold; empty: unknown", "days", nullable=True),
        Column("unit_cost", MONEY, "What a case costs", "money/case", nullable=True),
        Column("unit_price", MONEY, "What a case is sold for", "money/case", nullable=True),
        *_QUANTILE,
        _DEFAULTED,
        _REJECTED,
    ),
)
"""The terms of each item and ship date, complete."""

_ON_HAND_SOURCE: Final = Column(
    "on_hand_source", pl.String, "Where on hand is known from", nullable=True, codes=ON_HAND_SOURCES
)

POSITIONS: Final = TableSchema(
    "positions",
    ("dc", "item", "ship_date"),
    (
        _DC,
        _ITEM,
        _SHIP_DATE,
        _define_cases("on_hand_cases", "On hand", nullable=True),
        _define_cases("on_order_cases", "On order and not arrived", nullable=True),
        _ON_HAND_SOURCE,
    ),
)
"""What is on hand and on order, from wherever it is known."""

FORECASTS: Final = TableSchema(
    "protection_forecasts",
    ("dc", "item", "ship_date"),
    (
        _DC,
        _ITEM,
        _SHIP_DATE,
        _DEPARTMENT,
        _VENDOR,
        *_PERIOD,
        *_USUAL,
        _define_cases("lead_forecast_cases", "Forecast over the lead time", nullable=True),
        _FORECAST,
    ),
)

_MADE_ON: Final = Column("made_on", pl.Date, "Ship date of the forecast, on which the period began")
_PAST_ON: Final = Column("ship_date", pl.Date, "First day at whose beginning the whole period is past")

FORECAST_ERRORS: Final = TableSchema(
    "forecast_errors",
    ("dc", "ship_date", "item", "made_on"),
    (
        _DC,
        _PAST_ON,
        _ITEM,
        _MADE_ON,
        _DEPARTMENT,
        _define_cases("forecast_cases", "Forecast over the protection period"),
        _define_cases("came_cases", "What was ordered on the observed days of the period"),
        Column("ratio", RATE, "What came / what was forecast for the same days"),
    ),
)
"""Past protection periods: what came of what was forecast."""

RECOMMENDATIONS: Final = TableSchema(
    "stock_buffer_recommendations",
    ("dc", "ship_date", "item"),
    (
        _DC,
        _SHIP_DATE,
        _ITEM,
        _DEPARTMENT,
        _VENDOR,
        *_PERIOD,
        *_USUAL,
        _FORECAST,
        *_QUANTILE,
        Column("ratio", RATE, "The quantile of what came / what was forecast in like cases", nullable=True),
        Column("errors", pl.Int64, "Like cases: past periods of a forecast of about this size", "periods"),
        _define_cases("safety_stock_cases", "Order-up-to level beyond the forecast", nullable=True),
        _define_cases("reorder_point_cases", "Forecast over the lead time, and the safety stock", nullable=True),
        _define_cases("order_up_to_cases", "What to have on hand and on order", nullable=True),
        _define_cases("on_hand_cases", "On hand; empty: unknown", nullable=True),
        _define_cases("on_order_cases", "On order; empty: unknown, taken as none", nullable=True),
        _ON_HAND_SOURCE,
        Column(
            "days_of_cover", RATE, "How long what is on hand and on order lasts, 99,999 at most", "days", nullable=True
        ),
        _define_cases("gap_cases", "Order-up-to level, less what is on hand and on order", nullable=True),
        _define_cases("expected_lost_cases", "What the gap is expected to lose in the period", nullable=True),
        _define_cases("order_cases", "What to order", nullable=True),
        Column("order_limit", pl.String, "What else decided how much", nullable=True, codes=ORDER_LIMITS),
        Column("gap_cost", MONEY, "What the gap costs to fill", "money", nullable=True),
        _define_cases("normal_order_up_to_cases", "The level by z * sigma * sqrt(L)", nullable=True),
        _define_cases("king_order_up_to_cases", "The level by King's formula", nullable=True),
        _DEFAULTED,
        _REJECTED,
        Column("reason", pl.String, "Why there is no number", nullable=True, codes=REASONS),
    ),
)
"""What to hold of each item."""

LOST_DAYS: Final = TableSchema(
    "lost_days",
    ("dc", "item", "ship_date"),
    (_DC, _ITEM, _SHIP_DATE, _define_cases("lost_cases", "Lost for lack of stock, confirmed and estimated")),
)

SCORES: Final = TableSchema(
    "stock_buffer_scores",
    ("dc", "ship_date", "item", "made_on"),
    (
        _DC,
        _PAST_ON,
        _ITEM,
        _MADE_ON,
        Column("item_class", pl.String, "A, B or C, by share of the DC's forecast", codes=ITEM_CLASSES),
        Column("quantile", RATE, "Share of protection periods that the stock was to suffice for", "share"),
        _define_cases("order_up_to_cases", "What was recommended to have on hand and on order"),
        _define_cases("came_cases", "What was ordered in the protection period"),
        Column("served", pl.Boolean, "Whether no more came than was recommended"),
        _define_cases("short_cases", "What came beyond it"),
    ),
)
"""Past recommendations of which the whole protection period was observed."""

REACHED_SERVICE: Final = TableSchema(
    "reached_service",
    ("dc", "item_class", "quantile"),
    (
        _DC,
        Column("item_class", pl.String, "A, B or C", codes=ITEM_CLASSES),
        Column("quantile", RATE, "Share of protection periods that the stock was to suffice for", "share"),
        Column("periods", pl.Int64, "Protection periods scored", "periods"),
        Column("served", pl.Int64, "Those in which no more came than was recommended", "periods"),
        Column("reached", RATE, "Served / scored", "share"),
        _define_cases("short_cases", "What came beyond the recommendations"),
    ),
)

SAVINGS: Final = TableSchema(
    "savings",
    ("dc", "item"),
    (
        _DC,
        _ITEM,
        _DEPARTMENT,
        _VENDOR,
        _SHIP_DATE,
        _define_cases("gap_cases", "What lacked on hand and on order on that ship date"),
        _define_cases("lost_cases", "What was lost from when an order of then would have arrived"),
        _define_cases("saved_cases", "The lesser of the two: what filling the gap would have saved"),
    ),
)
"""Recommendations that would have saved lost cases, each item's best."""

SERVICE_OF_DAY: Final = TableSchema(
    "stock_buffer_service",
    ("dc", "ship_date", "item_class", "quantile"),
    (_DC, _PAST_ON, *(column for column in REACHED_SERVICE.columns if column.name not in {"dc", "reached"})),
)
"""`SCORES` of a DC and day in sums, which can be added up over days."""

DECISION_LOG: Final = TableSchema(
    "stock_buffer_decisions",
    ("dc", "item", "ship_date", "decided_at"),
    (
        _DC,
        _ITEM,
        _SHIP_DATE,
        Column("decided_at", TIMESTAMP, "When", "UTC"),
        Column("decision", pl.String, "ACCEPTED, CHANGED or REFUSED", codes=DECISIONS),
        _define_cases("recommended_cases", "What was recommended to order"),
        _define_cases("ordered_cases", "What the buyer ordered"),
        _define_cases("position_cases", "On hand and on order then"),
        Column("reason", pl.String, "Why it was changed or refused", nullable=True),
        Column("decided_by", pl.String, "Who"),
    ),
)
"""What buyers did about recommendations: rows are added; the latest of a recommendation counts."""

DECIDED_SERVICE: Final = TableSchema(
    "decided_service",
    ("decision",),
    (
        Column("decision", pl.String, "ACCEPTED, CHANGED or REFUSED", codes=DECISIONS),
        Column("decided", pl.Int64, "Recommendations decided so", "recommendations"),
        Column("periods", pl.Int64, "Those of which the whole period was observed", "periods"),
        Column("served_recommended", pl.Int64, "Periods for which the recommendation sufficed", "periods"),
        Column("served_decided", pl.Int64, "Periods for which what was ordered sufficed", "periods"),
        _define_cases("short_recommended_cases", "What came beyond the recommendations"),
        _define_cases("short_decided_cases", "What came beyond what was ordered"),
    ),
)
"""What decisions did to the score."""
