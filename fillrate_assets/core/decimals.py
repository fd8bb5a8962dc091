"""Arithmetic on exact decimals with 4 places. What a quantity means belongs to the areas.

Frames hold quantities as `CASES`. Inside a rule they are 64-bit integers of ten-thousandths (`to_units`, `to_cases`):
sums, minima and half-up divisions are then exact and as fast as floats.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

import polars as pl

CASES: Final = pl.Decimal(18, 4)
RATE: Final = pl.Decimal(18, 4)
PLACES: Final = 10_000
MOST: Final = 10**14
"""A quantity, and a sum of quantities, is below it: what `CASES` holds, and the columns of the record store."""

_OVERFLOW: Final = re.compile(
    r"conversion from `(?P<source>\w+)[^`]*` to `decimal\[18,\d+\]` failed in column '(?P<column>[^']*)'.*?"
    r"values: \[\"?(?P<amount>-?[\d.]+)"
)


def to_units(column: str | pl.Expr) -> pl.Expr:
    """Convert a `CASES` column to ten-thousandths of a case (Int64)."""
    expr = pl.col(column) if isinstance(column, str) else column
    return expr.to_physical().cast(pl.Int64)


def to_cases(expr: pl.Expr) -> pl.Expr:
    """Convert ten-thousandths of a case (Int64) back to `CASES`: the same digits, with a point among them."""
    return expr.cast(pl.Decimal(18, 0)).reinterpret(dtype=pl.Int128).reinterpret(dtype=CASES)


def divide_half_up(numerator: pl.Expr, denominator: pl.Expr) -> pl.Expr:
    """Divide non-negative integers, ROUND_HALF_UP; null where the denominator is 0."""
    safe = pl.when(denominator > 0).then(denominator)
    return (2 * numerator + safe) // (2 * safe)


def steady_mean(recent: pl.Expr, recent_n: pl.Expr, longer: pl.Expr, longer_n: pl.Expr, weight: int) -> pl.Expr:
    """Compute `(n mean + k mean of longer) / (n + k)`, half-up (Int64), k being the weight.

    In 128 bits: a total times the observations of four weeks leaves 64 bits from 3 x 10^13 cases.

    Args:
        recent: total of the recent observations, in units.
        recent_n: how many they are.
        longer: total of the longer time, which has the recent one in it, in units.
        longer_n: how many observations it has; more than 0.
        weight: k.

    """
    total, n, longer_total, of_longer = (each.cast(pl.Int128) for each in (recent, recent_n, longer, longer_n))
    return divide_half_up(total * of_longer + weight * longer_total, (n + weight) * of_longer).cast(pl.Int64)


def multiply_half_up(left: pl.Expr, right: pl.Expr) -> pl.Expr:
    """Multiply two non-negative columns in ten-thousandths into one (Int64), half-up; in 128 bits, as `to_rate`."""
    return divide_half_up(left.cast(pl.Int128) * right, pl.lit(PLACES, pl.Int128)).cast(pl.Int64)


def to_rate(numerator: pl.Expr, denominator: pl.Expr) -> pl.Expr:
    """Divide two unit columns into a `RATE`, half-up to 4 places; null where the denominator is 0.

    In 128 bits: ten-thousandths of ten-thousandths leave 64 bits from a sum of 46 thousand million cases.
    """
    wide = numerator.cast(pl.Int128), denominator.cast(pl.Int128)
    return to_cases(divide_half_up(wide[0] * PLACES, wide[1]).cast(pl.Int64))


def describe_overflow(error: BaseException) -> str | None:
    """Describe a quantity that has no room in `CASES`, as the engine reports it; None for any other error."""
    found = _OVERFLOW.search(str(error)) if isinstance(error, pl.exceptions.PolarsError) else None
    if found is None:
        return None
    amount = Decimal(found["amount"]) / (PLACES if found["source"].startswith("i") else 1)
    # The engine names columns of its own.
    name = "a quantity" if found["column"].startswith("_") else found["column"]
    return f"{name} adds up to {amount:,.0f}: a quantity or a sum must be below {MOST:,} cases"


def format_percent(share: Decimal | float | None, places: int = 1) -> str:
    """Format a share of 1 as '97.7 %'; '-' where there is none."""
    return "-" if share is None else f"{float(share):,.{places}%}".replace("%", " %")


def format_cases(value: Decimal | None) -> str:
    """Format a quantity with all its decimals and no zeros behind them, as '1,250.5'; '-' where there is none.

    Databases differ in how many zeros they return.
    """
    if value is None:
        return "-"
    head, _, places = f"{value:,.4f}".partition(".")
    return f"{head}.{places.rstrip('0')}".rstrip(".")
