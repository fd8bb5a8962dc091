"""Parser of the input contracts: what a file or a driver hands over becomes a typed frame with its problems.

One value at a time. Whether a row can be used is a rule of its area; how files are opened belongs to `storage`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import polars as pl

from fillrate_assets.core.decimals import CASES
from fillrate_assets.core.errors import ContractViolation
from fillrate_assets.core.table_schema import TIMESTAMP, Column, TableSchema

_UNREAD_MESSAGE: Final = "{} '{}' is not {}"
_TIME_FORMATS = ("%H:%M:%S%.f", "%H:%M")
_DATE_TIME_FORMATS = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d")


def parse_frame(raw: pl.LazyFrame, contract: TableSchema, *, table: str, required: Iterable[str] = ()) -> pl.LazyFrame:
    """Type a raw frame by its contract; what cannot be read becomes null and is described in `problem`.

    Args:
        raw: columns by contract name, text or already typed; columns unknown to the contract are ignored. Problems
            that an earlier reading found stay.
        contract: the frame to produce. Absent columns are null.
        table: name of the table in messages.
        required: columns that must exist.

    Returns:
        The contract's columns. If it has a `problem` column, that says of each row what could not be read, e.g.
        "ordered_qty '12x' is not a number".

    Raises:
        ContractViolation: a required column is absent.

    """
    present = raw.collect_schema()
    if absent := [name for name in required if name not in present]:
        msg = f"{table}: column {', '.join(absent)} is missing; found {', '.join(present)}"
        raise ContractViolation(msg)
    typed = {
        column.name: _parse_column(column, present[column.name])
        for column in contract.columns
        if column.name in present and column.name != "problem"
    }
    unread: list[pl.Expr] = [
        pl.when(
            pl.col(name).is_not_null() & (pl.col(name).cast(pl.String).str.strip_chars() != "") & expr.is_null()
        ).then(
            pl.format(
                _UNREAD_MESSAGE, pl.lit(name), pl.col(name).cast(pl.String), pl.lit(_describe_kind(contract, name))
            )
        )
        for name, expr in typed.items()
        if present[name] != contract.polars[name] and contract.polars[name] != pl.String
    ]
    if "problem" in present:
        unread.append(pl.col("problem").cast(pl.String))
    problem = pl.concat_str(unread, separator="; ", ignore_nulls=True) if unread else pl.lit("")
    return raw.select(
        problem.replace("", None).alias("problem")
        if column.name == "problem"
        else typed.get(column.name, pl.lit(None, column.dtype)).alias(column.name)
        for column in contract.columns
    )


def extract_unread_text(problem: pl.Expr, contract: TableSchema, name: str) -> pl.Expr:
    """Extract from `problem` the text of a value that `parse_frame` could not read; null where it read the value."""
    pattern = _UNREAD_MESSAGE.format(name, "(.*?)", re.escape(_describe_kind(contract, name)))
    return problem.str.extract(f"(?s)(?:^|; ){pattern}(?:; |$)")


def _describe_kind(contract: TableSchema, name: str) -> str:
    dtype = contract.polars[name]
    if dtype == pl.Date:
        return "a date (YYYY-MM-DD)"
    if dtype == TIMESTAMP:
        return "a time (YYYY-MM-DD HH:MM:SS, UTC)"
    if dtype == pl.Time:
        return "a time of day (HH:MM)"
    if dtype == pl.Boolean:
        return "Y or N"
    return "a number"


def _parse_column(column: Column, source: pl.DataType) -> pl.Expr:
    expr = pl.col(column.name)
    dtype = column.dtype
    if source == pl.String:
        return _parse_text(expr.str.strip_chars(), dtype)
    if source == dtype:
        return expr
    if source.is_float() or source.is_decimal():
        return _parse_number(expr, dtype)
    # An all-null column of another type, an integer quantity, a naive UTC time.
    naive = dtype == TIMESTAMP and isinstance(source, pl.Datetime) and source.time_zone is None
    return expr.cast(pl.Datetime("us")).dt.replace_time_zone("UTC") if naive else expr.cast(dtype, strict=False)


def _parse_text(text: pl.Expr, dtype: pl.DataType | type[pl.DataType]) -> pl.Expr:
    flag = text.str.to_uppercase()
    readers = {
        pl.String(): pl.when(text != "").then(text),
        pl.Date(): _parse_timestamp(text).dt.date(),
        TIMESTAMP: _parse_timestamp(text),
        pl.Time(): pl.coalesce(text.str.to_time(form, strict=False) for form in _TIME_FORMATS),
        pl.Boolean(): pl.when(flag.is_in(["Y", "YES", "TRUE", "T", "1"]))
        .then(pl.lit(value=True))
        .when(flag.is_in(["N", "NO", "FALSE", "F", "0"]))
        .then(pl.lit(value=False)),
    }
    wanted = dtype if isinstance(dtype, pl.DataType) else dtype()
    return readers.get(wanted, _parse_number(text, dtype))


def _parse_number(value: pl.Expr, dtype: pl.DataType | type[pl.DataType]) -> pl.Expr:
    if dtype == pl.Float64:
        return value.cast(pl.Float64, strict=False)
    number = value.cast(pl.Decimal(38, 10), strict=False)
    if dtype == pl.Int64:
        # "7" and "7.0" are both line 7; "7.5" is not a line.
        return pl.when(number == number.floor()).then(number.cast(pl.Int64, strict=False))
    # A cast alone would round half to even.
    return number.round(CASES.scale, mode="half_away_from_zero").cast(dtype, strict=False)


def _parse_timestamp(text: pl.Expr) -> pl.Expr:
    plain = text.str.replace("T", " ", literal=True).str.strip_suffix("Z")
    naive = [plain.str.to_datetime(form, time_unit="us", strict=False) for form in _DATE_TIME_FORMATS]
    zoned = plain.str.to_datetime("%Y-%m-%d %H:%M:%S%.f%:z", time_unit="us", strict=False, time_zone="UTC")
    return pl.coalesce(*[moment.dt.replace_time_zone("UTC") for moment in naive], zoned)
