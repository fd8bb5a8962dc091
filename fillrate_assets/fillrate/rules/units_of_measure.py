"""Units of measure: which are cases, which are eaches, and how a quantity becomes cases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from fillrate_assets.core import decimals
from fillrate_assets.core.decimals import divide_half_up, to_units
from fillrate_assets.core.text_columns import format_text

CASE_UNITS: Final = ("CS", "CA", "CASE", "CASES")
EACH_UNITS: Final = ("EA", "EACH", "EACHES", "UN", "UNIT", "UNITS", "PC", "PCS")
UNITS: Final = (*CASE_UNITS, *EACH_UNITS)
MAX_QUANTITY: Final = 10_000_000 * decimals.PLACES
"""Ten million on one line is a keying error; the limit leaves every sum and ratio inside 64 bits."""

NEGATIVE: Final = "negative quantity: a return or credit, never netted against demand"
TOO_LARGE: Final = "quantity above 10,000,000"


def normalize_code(name: str, known: Sequence[str], default: str) -> pl.Expr:
    """Normalize a code as the rules compare it: trimmed, in upper case; blank means the default."""
    code = pl.col(name).fill_null(default)
    tidied = code.str.strip_chars().str.to_uppercase()
    # Polars skips the branch that no row of a batch takes: a source that writes the known codes pays for no tidying.
    return (
        pl.when(code.is_in(list(known)))
        .then(code)
        .otherwise(pl.when(tidied == "").then(pl.lit(default)).otherwise(tidied))
    )


def convert_to_cases(quantity: str, uom: pl.Expr, pack: pl.Expr) -> pl.Expr:
    """Convert a quantity to ten-thousandths of a case; null where its unit cannot be converted."""
    return (
        pl.when(uom.is_in(list(CASE_UNITS)))
        .then(to_units(quantity))
        .when(uom.is_in(list(EACH_UNITS)) & (pack > 0) & (to_units(quantity) >= 0))
        .then(divide_half_up(to_units(quantity) * decimals.PLACES, pack))
    )


def find_unit_problem(quantity: str, uom: pl.Expr, pack: pl.Expr) -> pl.Expr:
    """Find why a quantity cannot be converted, or becomes too large by it; null where it can."""
    each = uom.is_in(list(EACH_UNITS))
    return (
        pl.when(~uom.is_in(list(UNITS)))
        .then(format_text("unit {} is neither cases nor eaches", uom))
        .when(each & pack.is_null())
        .then(pl.lit("unit is not cases and there is no pack size"))
        .when(each & (pack <= 0))
        .then(pl.lit("pack size is not positive"))
        .when(convert_to_cases(quantity, uom, pack) > MAX_QUANTITY)
        .then(pl.lit(TOO_LARGE))
    )


def is_plain_quantity(quantity: str, in_cases: str) -> pl.Expr:
    """Match quantities with nothing to judge: in a unit as the rules write it, neither negative nor too large.

    Args:
        quantity: column of the quantity as it came.
        in_cases: column of what `convert_to_cases` makes of it, its unit taken as it is written.

    """
    limits = 0, MAX_QUANTITY
    return (to_units(quantity).is_between(*limits) & pl.col(in_cases).is_between(*limits)).fill_null(value=False)
