"""Numbers of a source: text, floats and decimals become exact decimals, whole numbers or measures.

Arithmetic on what was read belongs to `decimals`.
"""

from __future__ import annotations

import re
from typing import Final

import polars as pl

from fillrate_assets.core.conventions import Conventions
from fillrate_assets.core.decimals import CASES

_EXACT: Final = pl.Decimal(38, 10)
_BLANKS: Final = "[ \u00a0\u2009\u202f]"


def read_numbers(
    value: pl.Expr, source: pl.DataType, target: pl.DataType | type[pl.DataType], conventions: Conventions
) -> pl.Expr:
    """Read a column of numbers.

    Args:
        value: the column: text, or any number.
        source: its type.
        target: Int64, Float64 or a decimal; decimals are rounded once, half away from zero.
        conventions: how the source writes numbers.

    Returns:
        Numbers; null where there is none. A whole number has no fraction: 7.0 is one, 7.5 is not.

    """
    if source == pl.String:
        value = _normalize(value.str.strip_chars(), conventions)
    if target == pl.Float64:
        return value.cast(pl.Float64, strict=False)
    if target == pl.Int64:
        number = value.cast(_EXACT, strict=False)
        return pl.when(number == number.floor()).then(number.cast(pl.Int64, strict=False))
    scale = target.scale if isinstance(target, pl.Decimal) else CASES.scale
    finer = isinstance(source, pl.Decimal) and source.scale > _EXACT.scale
    number = value if finer else value.cast(_EXACT, strict=False)
    # A cast alone would round half to even.
    return number.round(scale, mode="half_away_from_zero").cast(target, strict=False)


def _normalize(text: pl.Expr, conventions: Conventions) -> pl.Expr:
    """Write numbers as the contracts do: a point before the decimals, no thousands, the sign in front."""
    if conventions.percent:
        is_percent = text.str.ends_with("%")
        text = pl.when(is_percent).then(text.str.strip_suffix("%").str.strip_chars_end()).otherwise(text)
    if conventions.trailing_minus:
        text = text.str.replace("\u2212", "-", literal=True)
        bare = text.str.strip_suffix("-").str.strip_chars_end()
        text = pl.when(text.str.contains(r"^[^+-].*-$")).then(pl.lit("-") + bare).otherwise(text)
    point = re.escape(conventions.decimal)
    if conventions.thousands:
        between = _BLANKS if conventions.thousands.isspace() else re.escape(conventions.thousands)
        grouped = text.str.contains(rf"^[+-]?\d{{1,3}}(?:{between}\d{{3}})+(?:{point}\d*)?$")
        # 1.2 with a point between thousands is neither 12 nor 1.2.
        text = pl.when(grouped).then(text.str.replace_all(between, "")).when(~text.str.contains(between)).then(text)
    if conventions.decimal == ",":
        text = pl.when(~text.str.contains(".", literal=True)).then(text.str.replace(",", ".", literal=True))
    # Digits beyond the tenth decimal change no rounding to fewer, but the cast to ten would round first.
    number = text.str.replace(r"^([+-]?\d*\.\d{10})\d+$", "${1}")
    if conventions.percent:
        share = (number.cast(pl.Decimal(38, 12), strict=False) / 100).cast(pl.String)
        number = pl.when(is_percent).then(share).otherwise(number)
    return number
