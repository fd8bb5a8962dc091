"""Codes of DCs, items, orders and the like: how a number becomes one, and which are refused.

What a code means, and what it is called in a contract, does not belong here.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from fillrate_assets.core.dates import describe_moments

MAX_LENGTH: Final = 200
"""Characters of a code: longer ones fit no file name and no index of a database."""

_EXACT_FLOAT: Final = 2**53
"""From here on a float skips whole numbers: which code it was is lost."""


def format_codes(value: pl.Expr, source: pl.DataType) -> pl.Expr:
    """Format a column as codes: whole numbers without a fraction, as sources store them in floats and decimals.

    Args:
        value: the column.
        source: its type.

    Returns:
        Text; null where a float is too large to say which number it was. NaN, as which pandas stores an empty cell of
        a number column, is null.

    """
    if source.is_float():
        whole = (value == value.floor()) & (value.abs() < _EXACT_FLOAT)
        return (
            pl.when(whole)
            .then(value.cast(pl.Int64, strict=False).cast(pl.String))
            .when(value.abs() < _EXACT_FLOAT)
            .then(value.cast(pl.String))
        )
    if source.is_decimal():
        text = value.cast(pl.String)
        bare = text.str.strip_chars_end("0").str.strip_suffix(".")
        return pl.when(text.str.contains(".", literal=True)).then(bare).otherwise(text)
    if source == pl.Boolean:
        return pl.when(value).then(pl.lit("Y")).when(~value).then(pl.lit("N"))
    if isinstance(source, pl.Date | pl.Datetime):
        return describe_moments(value, source)
    return value.cast(pl.String, strict=False)


def describe_refusal(code: pl.Expr, name: str) -> pl.Expr:
    """Describe why a code is refused, as a text column; null where it is fine.

    Args:
        code: text.
        name: what the code is called in the message.

    """
    return (
        pl.when(code.str.contains("\0", literal=True))
        .then(pl.lit(f"{name} has a NUL character"))
        .when(code.str.len_chars() > MAX_LENGTH)
        .then(pl.lit(f"{name} is longer than {MAX_LENGTH} characters"))
    )


def strip_code(code: pl.Expr) -> pl.Expr:
    """Strip from a code what systems add to it or lose: blanks, leading zeros, a fraction of zeros."""
    return code.str.strip_chars().str.replace(r"\.0+$", "").str.strip_chars_start("0")
