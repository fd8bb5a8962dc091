"""Frames of the rows that a driver returns: a column of values that no one dtype holds becomes text.

What a column should hold is its contract's business: there a row whose text is no number is rejected, and no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import polars as pl

_DIGITS: Final = 38
"""Most digits of a decimal of Polars."""

_LEAST, _MOST = -(2**63), 2**63 - 1
_PLAIN: Final[dict[frozenset[type], pl.DataType]] = {
    frozenset({str}): pl.String(),
    frozenset({bool}): pl.Boolean(),
    frozenset({float}): pl.Float64(),
    frozenset({float, int}): pl.Float64(),
    frozenset({date}): pl.Date(),
    frozenset({time}): pl.Time(),
}


def to_frame(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> pl.DataFrame:
    """Make a frame of rows.

    Args:
        names: of the columns.
        rows: values as the driver made them; times with a zone become UTC.

    """
    return pl.DataFrame([_to_series(name, [row[place] for row in rows]) for place, name in enumerate(names)])


def to_text(value: Any) -> str:  # noqa: ANN401 - whatever a driver makes
    """Write a value as text: whole numbers without a fraction, bytes in hexadecimal digits."""
    if isinstance(value, bool):
        return "Y" if value else "N"
    if isinstance(value, Decimal) and value.is_finite():
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex().upper()
    return str(value)


def _to_series(name: str, values: list[Any]) -> pl.Series:
    kinds = frozenset(type(value) for value in values if value is not None)
    if not kinds:
        return pl.Series(name, values, pl.Null)
    if kinds in _PLAIN:
        return pl.Series(name, values, _PLAIN[kinds], strict=False)
    if kinds == {int} and all(value is None or _LEAST <= value <= _MOST for value in values):
        return pl.Series(name, values, pl.Int64)
    if kinds <= {Decimal, int} and (dtype := _choose_decimal(values)):
        return pl.Series(name, [value if value is None else Decimal(value) for value in values], dtype)
    if kinds == {datetime} and (moments := _to_moments(name, values)) is not None:
        return moments
    return pl.Series(name, [value if value is None else _to_upper(value) for value in values], pl.String)


def _to_upper(value: Any) -> str:  # noqa: ANN401 - as above
    """Write a value as text; a unique identifier in the capitals that SQL Server and Oracle write it in."""
    return str(value).upper() if isinstance(value, UUID) else to_text(value)


def _choose_decimal(values: Sequence[Decimal | int | None]) -> pl.Decimal | None:
    """Choose the type that holds every digit; None if there is none, as for infinity."""
    scale = whole = 0
    for value in values:
        if value is None:
            continue
        exact = Decimal(value)
        if not exact.is_finite():
            return None
        scale, whole = max(scale, -int(exact.as_tuple().exponent)), max(whole, exact.adjusted() + 1)
    return pl.Decimal(_DIGITS, scale) if scale + whole <= _DIGITS else None


def _to_moments(name: str, values: Sequence[datetime | None]) -> pl.Series | None:
    """Make a column of times, in UTC if they have a zone; None if only some have one."""
    zoned = {value.tzinfo is not None for value in values if value is not None}
    if zoned == {False}:
        return pl.Series(name, values, pl.Datetime("us"))
    if zoned == {True}:
        utc = [value if value is None else value.astimezone(UTC).replace(tzinfo=None) for value in values]
        return pl.Series(name, utc, pl.Datetime("us")).dt.replace_time_zone("UTC")
    return None
