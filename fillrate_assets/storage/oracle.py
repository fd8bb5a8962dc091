"""Queries of an Oracle database, read by its own driver, through Arrow where that keeps every digit.

The driver describes a statement before it runs: what the columns are decides how they are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl
import sqlalchemy as sa

from fillrate_assets.storage.driver_errors import translate_driver_errors
from fillrate_assets.storage.row_frames import to_frame

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import oracledb

_ROWS: Final = 10_000
_DIGITS: Final = 38

_IN_ARROW: Final = (
    "DB_TYPE_BINARY_DOUBLE",
    "DB_TYPE_CHAR",
    "DB_TYPE_DATE",
    "DB_TYPE_NCHAR",
    "DB_TYPE_NVARCHAR",
    "DB_TYPE_TIMESTAMP",
    "DB_TYPE_VARCHAR",
)
"""Types that the driver hands over through Arrow as they are; numbers if their digits are declared."""

_LOBS: Final = {
    "DB_TYPE_BLOB": "DB_TYPE_LONG_RAW",
    "DB_TYPE_CLOB": "DB_TYPE_LONG",
    "DB_TYPE_NCLOB": "DB_TYPE_LONG_NVARCHAR",
}
_ZONED: Final = ("DB_TYPE_TIMESTAMP_LTZ", "DB_TYPE_TIMESTAMP_TZ")
_SECONDS: Final = "HH24:MI:SS"
_FRACTION: Final = ".FF6"


def read(connection: sa.Connection, statement: sa.Select[Any]) -> pl.DataFrame:
    """Read the rows of a query.

    Times with a zone are converted to UTC by the server: the driver drops their zone. Numbers whose digits are not
    declared come as text: a quotient has more digits than a decimal holds. Times are bound as DATE, to the second and
    downwards: with a bound TIMESTAMP a DATE column would not use its index. Text is bound as CHAR, which Oracle
    compares with a CHAR column as if both were of one length, and with any other column as it is. Where a date is
    before the year 1, which the driver refuses to make, all dates and times of the rows come as text.

    Args:
        connection: nothing was executed on it yet.
        statement: with columns of distinct names.

    """
    names = list(statement.selected_columns.keys())
    connection.exec_driver_sql("SET TRANSACTION READ ONLY")
    raw: oracledb.Connection = connection.connection.driver_connection  # type: ignore[assignment]
    with translate_driver_errors(connection, str(statement)), raw.cursor() as cursor:
        text, binds = _compile(connection, statement, cursor)
        cursor.parse(text)
        columns: Sequence[Any] = cursor.description
        zoned = [name for name, column in zip(names, columns, strict=True) if column[1].name in _ZONED]
        if zoned:
            statement = _convert_to_utc(statement, zoned)
            text, binds = _compile(connection, statement, cursor)
        in_arrow = all(_fits_arrow(column) or column[1].name in _ZONED for column in columns)
        try:
            rows = _fetch(raw, text, binds, names, in_arrow=in_arrow)
        except (ValueError, OverflowError):
            kinds = {name: column[1].name for name, column in zip(names, columns, strict=True)}
            text, binds = _compile(connection, _write_moments(statement, kinds), cursor)
            return _fetch(raw, text, binds, names, in_arrow=in_arrow)
    return rows.with_columns(pl.col(name).dt.replace_time_zone("UTC") for name in zoned if rows[name].dtype != pl.Null)


def _fetch(
    raw: oracledb.Connection, text: str, binds: Mapping[str, object], names: Sequence[str], *, in_arrow: bool
) -> pl.DataFrame:
    if in_arrow:
        table = raw.fetch_df_all(text, binds, arraysize=_ROWS, fetch_decimals=True)
        return pl.DataFrame(table).rename(dict(zip(table.column_names(), names, strict=True)))
    with raw.cursor() as cursor:
        cursor.arraysize = _ROWS
        cursor.outputtypehandler = _choose_output
        return to_frame(names, cursor.execute(text, binds, fetch_decimals=True).fetchall())


def _compile(
    connection: sa.Connection, statement: sa.Select[Any], cursor: oracledb.Cursor
) -> tuple[str, Mapping[str, object]]:
    """Compile a statement and make its bound values."""
    compiled = statement.compile(dialect=connection.dialect)
    expanded = compiled.construct_expanded_state(escape_names=True)
    values: Mapping[str, Any] = expanded.parameters
    char = connection.dialect.loaded_dbapi.DB_TYPE_CHAR

    def bind(value: object) -> object:
        if not isinstance(value, str) or not value:
            return value
        variable = cursor.var(char, len(value.encode()))
        variable.setvalue(0, value)
        return variable

    return expanded.statement, {name: bind(value) for name, value in values.items()}


def _convert_to_utc(statement: sa.Select[Any], zoned: Sequence[str]) -> sa.Select[Any]:
    """Have the server convert columns of times with a zone."""
    rows = statement.subquery("zoned")

    def convert(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        return sa.cast(column.op("AT TIME ZONE")(sa.literal_column("'UTC'")), sa.TIMESTAMP())

    columns = [(convert(column) if column.key in zoned else column).label(column.key) for column in rows.c]
    return sa.select(*columns)


def _write_moments(statement: sa.Select[Any], kinds: Mapping[str, str]) -> sa.Select[Any]:
    """Have the server write dates and times: those of midnight as a day, those before the year 1 as no date at all."""
    rows = statement.subquery("written")

    def write(column: sa.ColumnElement[Any], kind: str) -> sa.ColumnElement[Any]:
        clock = _SECONDS if kind == "DB_TYPE_DATE" else f"{_SECONDS}{_FRACTION}"
        zone = '"Z"' if kind in _ZONED else ""

        def spell(form: str) -> sa.ColumnElement[Any]:
            return sa.func.to_char(column, sa.literal_column(f"'{form}'"))

        midnight: sa.ColumnElement[str] = sa.literal_column(
            "'00:00:00'" if kind == "DB_TYPE_DATE" else "'00:00:00.000000'"
        )
        days = [] if zone else [(spell(clock) == midnight, spell("YYYY-MM-DD"))]
        return sa.case(
            (column < sa.literal_column("DATE '0001-01-01'"), spell("YYYY-MM-DD BC")),
            *days,
            else_=spell(f"YYYY-MM-DD {clock}{zone}"),
        )

    written = ("DB_TYPE_DATE", "DB_TYPE_TIMESTAMP", *_ZONED)
    columns = [
        (write(column, kinds[str(column.key)]) if kinds[str(column.key)] in written else column).label(column.key)
        for column in rows.c
    ]
    return sa.select(*columns)


def _is_declared(precision: int | None, scale: int | None) -> bool:
    """Return whether a number says how many digits it has, and a decimal holds them."""
    return bool(precision) and scale is not None and 0 <= scale <= (precision or 0) <= _DIGITS


def _fits_arrow(column: Sequence[Any]) -> bool:
    _, kind, _, _, precision, scale, _ = column
    return kind.name in _IN_ARROW or (kind.name == "DB_TYPE_NUMBER" and _is_declared(precision, scale))


def _choose_output(cursor: oracledb.Cursor, column: oracledb.FetchInfo) -> oracledb.Var | None:
    """Choose what a column is fetched as, where that is not what the driver would make of it."""
    import oracledb  # noqa: PLC0415 - only where it is used

    name = column.type_code.name
    if name in _LOBS:
        return cursor.var(getattr(oracledb, _LOBS[name]), arraysize=cursor.arraysize)
    if name == "DB_TYPE_NUMBER" and not _is_declared(column.precision, column.scale):
        return cursor.var(str, arraysize=cursor.arraysize)
    return None
