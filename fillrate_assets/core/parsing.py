"""Parser of the input contracts: what a file or a driver hands over becomes a typed frame with its problems.

One value at a time. How dates, numbers and codes are read is in the modules of that name; whether a row can be used
is a rule of its area; how files are opened belongs to `storage`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

import polars as pl

from fillrate_assets.core import dates
from fillrate_assets.core.codes import format_codes
from fillrate_assets.core.conventions import Conventions
from fillrate_assets.core.errors import ContractViolation
from fillrate_assets.core.numbers import read_numbers
from fillrate_assets.core.table_schema import TIMESTAMP, Column, TableSchema
from fillrate_assets.core.text_columns import format_text

_UNREAD_MESSAGE: Final = "{} '{}' is not {}"
_OF_YEARS: Final = r"(?: of the years \d+ to \d+)?"
_TIME_FORMATS: Final = ("%H:%M:%S%.f", "%H:%M")
_YES: Final = ("Y", "YES", "TRUE", "T", "1")
_NO: Final = ("N", "NO", "FALSE", "F", "0")
_PLAIN: Final = Conventions()
_KINDS: Final[dict[pl.DataType, str]] = {
    pl.Date(): "a date (YYYY-MM-DD)",
    TIMESTAMP: "a time (YYYY-MM-DD HH:MM:SS, UTC)",
    pl.Time(): "a time of day (HH:MM)",
    pl.Boolean(): "Y or N",
    pl.String(): "a code: a float as large has lost digits",
}


def parse_frame(
    raw: pl.LazyFrame,
    contract: TableSchema,
    *,
    table: str,
    required: Iterable[str] = (),
    conventions: Conventions = _PLAIN,
    by_column: Mapping[str, Conventions] | None = None,
) -> pl.LazyFrame:
    """Type a raw frame by its contract; what cannot be read becomes null and is described in `problem`.

    Args:
        raw: columns by contract name, text or already typed; columns unknown to the contract are ignored. Problems
            that an earlier reading found stay.
        contract: the frame to produce. Absent columns are null.
        table: name of the table in messages.
        required: columns that must exist.
        conventions: how the source writes dates, times and numbers.
        by_column: how it writes those of some columns, where that differs.

    Returns:
        The contract's columns. If it has a `problem` column, that says of each row what could not be read, e.g.
        "ordered_qty '12x' is not a number".

    Raises:
        ContractViolation: a required column is absent, or a column has a type of which its values cannot be read.

    """
    present = raw.collect_schema()
    if absent := [name for name in required if name not in present]:
        msg = f"{table}: column {', '.join(absent)} is missing; found {', '.join(present)}"
        raise ContractViolation(msg)
    if wrong := find_wrong_types(present, contract):
        msg = f"{table}: {'; '.join(wrong)}"
        raise ContractViolation(msg)
    raw, present = _plain_types(raw, present)
    columns = [column for column in contract.columns if column.name in present and column.name != "problem"]
    raw = raw.select(*[column.name for column in columns], *(["problem"] if "problem" in present else []))
    temporal = {column.name: present[column.name] for column in columns if column.dtype in {pl.Date, TIMESTAMP}}
    of_column = {column.name: (by_column or {}).get(column.name, conventions) for column in columns}
    raw, moments = dates.add_moments(raw, temporal, of_column)
    dc = format_codes(pl.col("dc"), present["dc"]).str.strip_chars() if "dc" in present else None
    # Typed first and described then: an expression that repeats the reading takes longer to plan than to run.
    read = raw.with_columns(
        _parse_column(column, present[column.name], of_column[column.name], dc, moments.get(column.name)).alias(
            f"{column.name}|typed"
        )
        for column in columns
    )
    typed = {column.name: pl.col(f"{column.name}|typed") for column in columns}
    unread = [
        _describe_unread(
            column, typed[column.name], present[column.name], of_column[column.name], moments.get(column.name)
        )
        for column in columns
        if _can_fail(column, present[column.name], of_column[column.name])
    ]
    if "problem" in present:
        unread.append(pl.col("problem").cast(pl.String))
    problem = pl.concat_str(unread, separator="; ", ignore_nulls=True) if unread else pl.lit("")
    return read.select(
        problem.replace("", None).alias("problem")
        if column.name == "problem"
        else typed.get(column.name, pl.lit(None, column.dtype)).alias(column.name)
        for column in contract.columns
    )


def parse_rows(rows: pl.DataFrame, contract: TableSchema) -> pl.DataFrame:
    """Type the rows of a store by their contract: to parse none would take as long as to parse a few."""
    if rows.is_empty():
        return contract.make_empty().collect()
    return parse_frame(rows.lazy(), contract, table=contract.name).collect()


def extract_unread_text(problem: pl.Expr, contract: TableSchema, name: str) -> pl.Expr:
    """Extract from `problem` the text of a value that `parse_frame` could not read; null where it read the value."""
    pattern = _UNREAD_MESSAGE.format(name, "(.*?)", re.escape(_describe_kind(contract.polars[name])))
    return problem.str.extract(f"(?s)(?:^|; ){pattern}{_OF_YEARS}(?:; |$)")


def is_unread_only(problem: pl.Expr, contract: TableSchema, names: Iterable[str]) -> pl.Expr:
    """Return whether `problem` says only that values of some columns could not be read; true where it is null."""
    rest = problem.fill_null("")
    for name in names:
        pattern = _UNREAD_MESSAGE.format(name, ".*?", re.escape(_describe_kind(contract.polars[name])))
        rest = rest.str.replace(f"(?s)(^|; ){pattern}{_OF_YEARS}", "")
    return rest.str.strip_chars("; ") == ""


def find_wrong_types(present: pl.Schema, contract: TableSchema) -> list[str]:
    """Find the columns whose type holds no value of the contract, such as a list where a number belongs."""
    return [
        f"column {column.name} has the type {present[column.name]}, not {_name_kind(column.dtype)}"
        for column in contract.columns
        if column.name in present and not _is_readable(present[column.name], column.dtype)
    ]


def parse_source_rows(
    rows: pl.DataFrame,
    contract: TableSchema,
    *,
    table: str,
    required: Iterable[str] = (),
    conventions: Conventions = _PLAIN,
    by_column: Mapping[str, Conventions] | None = None,
) -> pl.DataFrame:
    """Type the rows of a system's answer by their contract.

    A column whose type holds no value of the contract is read as text: each row says what it has.

    Args:
        rows: as a driver hands them over.
        contract: the frame to produce.
        table: name of the table in messages.
        required: columns that must exist.
        conventions: as of `parse_frame`,
        by_column: and as well.

    Raises:
        ContractViolation: a required column is absent.

    """
    text = _write_as_text(rows, contract).lazy()
    return parse_frame(
        text, contract, table=table, required=required, conventions=conventions, by_column=by_column
    ).collect()


def _write_as_text(frame: pl.DataFrame, contract: TableSchema) -> pl.DataFrame:
    """Turn columns whose type holds no value of the contract into text, so that each row says what it has."""
    wrong = [
        column.name
        for column in contract.columns
        if column.name in frame.columns and not _is_readable(frame.schema[column.name], column.dtype)
    ]
    return frame.with_columns(_write_column(frame[name]) for name in wrong)


def _write_column(column: pl.Series) -> pl.Series:
    if column.dtype == pl.Binary:
        return column.bin.encode("hex").str.to_uppercase()
    if column.dtype.is_nested() or column.dtype == pl.Object or column.dtype == pl.Duration:  # noqa: PLR1714 - no hash
        return pl.Series(column.name, [None if value is None else str(value) for value in column.to_list()], pl.String)
    return column.cast(pl.String, strict=False)


def _is_readable(source: pl.DataType, target: pl.DataType | type[pl.DataType]) -> bool:
    if source in (target, pl.Null, pl.String) or _is_dictionary(source):
        return True
    if source.is_nested() or source in (pl.Object, pl.Duration, pl.Unknown, pl.Binary):
        return False
    return {
        pl.String(): True,
        pl.Time(): isinstance(source, pl.Datetime),
        pl.Date(): _is_moment(source) or source.is_numeric(),
        TIMESTAMP: _is_moment(source) or source.is_numeric(),
        pl.Boolean(): source == pl.Boolean or source.is_numeric(),
    }.get(_instantiate(target), source.is_numeric())


def _is_dictionary(source: pl.DataType) -> bool:
    return isinstance(source, pl.Categorical | pl.Enum)


def _is_moment(source: pl.DataType) -> bool:
    return isinstance(source, pl.Date | pl.Datetime)


def _instantiate(dtype: pl.DataType | type[pl.DataType]) -> pl.DataType:
    return dtype if isinstance(dtype, pl.DataType) else dtype()


def _plain_types(raw: pl.LazyFrame, present: pl.Schema) -> tuple[pl.LazyFrame, pl.Schema]:
    """Turn text in a dictionary, and columns without a type, into text."""
    named = [name for name, dtype in present.items() if dtype == pl.Null or _is_dictionary(dtype)]
    if not named:
        return raw, present
    return raw.with_columns(pl.col(named).cast(pl.String)), pl.Schema({**present, **dict.fromkeys(named, pl.String())})


def _can_fail(column: Column, source: pl.DataType, conventions: Conventions) -> bool:
    if column.dtype == pl.String:
        return source.is_float()
    return source != column.dtype or (source.is_temporal() and conventions.years is not None)


def _describe_unread(
    column: Column,
    typed: pl.Expr,
    source: pl.DataType,
    conventions: Conventions,
    moment: dates.Moment | None,
) -> pl.Expr:
    """Describe a value that is there and was not read; null elsewhere."""
    value = pl.col(column.name)
    text = dates.describe_moments(value, source) if _is_moment(source) else value.cast(pl.String)
    unread = value.is_not_null() & (text.str.strip_chars() != "") & typed.is_null()
    if source.is_float() and column.dtype == pl.String:
        unread &= value.is_not_nan()
    kind = _describe_kind(column.dtype)
    if moment is not None:
        unread &= ~dates.is_no_date(moment, value, source, conventions)
        if conventions.years:
            first, last = conventions.years
            of_years = pl.lit(f"{kind} of the years {first} to {last}")
            said = pl.when(moment.of_any_year.is_not_null()).then(of_years).otherwise(pl.lit(kind))
            return pl.when(unread).then(format_text(_UNREAD_MESSAGE, pl.lit(column.name), text, said))
    return pl.when(unread).then(format_text(_UNREAD_MESSAGE, pl.lit(column.name), text, pl.lit(kind)))


def _describe_kind(dtype: pl.DataType | type[pl.DataType]) -> str:
    return _KINDS.get(_instantiate(dtype), "a number")


def _name_kind(dtype: pl.DataType | type[pl.DataType]) -> str:
    return _describe_kind(dtype).partition(":")[0]


def _parse_column(
    column: Column, source: pl.DataType, conventions: Conventions, dc: pl.Expr | None, moment: dates.Moment | None
) -> pl.Expr:
    value, dtype = pl.col(column.name), column.dtype
    if source == dtype and dtype != pl.String and (conventions.years is None or not source.is_temporal()):
        return value
    if dtype == pl.String:
        text = (value if source == pl.String else format_codes(value, source)).str.strip_chars()
        return pl.when(text != "").then(text)
    if moment is not None:
        return (dates.read_dates if dtype == pl.Date else dates.read_times)(moment, conventions, dc)
    if dtype in {pl.Boolean, pl.Time}:
        return _parse_simple(value, source, dtype)
    if source == pl.String or source.is_float() or source.is_decimal():
        return read_numbers(value, source, dtype, conventions)
    return value.cast(dtype, strict=False)


def _parse_simple(value: pl.Expr, source: pl.DataType, dtype: pl.DataType | type[pl.DataType]) -> pl.Expr:
    """Parse yes or no, or a time of day."""
    if dtype == pl.Time:
        if source != pl.String:
            return value.cast(pl.Time, strict=False)
        return pl.coalesce(value.str.strip_chars().str.to_time(form, strict=False) for form in _TIME_FORMATS)
    flag = format_codes(value, source).str.strip_chars().str.to_uppercase()
    yes, no = flag.is_in(list(_YES)), flag.is_in(list(_NO))
    return pl.when(yes).then(pl.lit(value=True)).when(no).then(pl.lit(value=False))
