"""Parts of statements that each database writes in its own way: days of times, text compared exactly, typed values.

What a statement selects belongs to the sources.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import BinaryExpression
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import eq

BINARY_COLLATION: Final = "Latin1_General_100_BIN2"
"""The collation of SQL Server that compares code points: neither case nor accent is ignored."""


class DayOf(FunctionElement[date]):
    """The calendar day of a date that may have a time of day."""

    inherit_cache = True
    name = "day_of"
    type = sa.Date()


class DayAfter(FunctionElement[date]):
    """The day after a calendar day."""

    inherit_cache = True
    name = "day_after"
    type = sa.Date()


class TypedValue(FunctionElement[Any]):
    """A bound value as the type that SQL Server would not give it: it compares a text as what the column is."""

    inherit_cache = True
    name = "typed_value"


class SameText(BinaryExpression[bool]):
    """Two columns of text that are the same, whatever the collation of the database."""

    inherit_cache = True

    def __init__(self, left: sa.ColumnElement[Any], right: sa.ColumnElement[Any]) -> None:
        """Compare two columns."""
        super().__init__(left, right, eq, type_=sa.Boolean())


class _Spelled(sa.types.UserDefinedType[Any]):
    """A type that SQLAlchemy does nothing about: it neither casts nor converts bound values."""

    cache_ok = True

    def __init__(self, spelling: str) -> None:
        self.spelling = spelling

    def get_col_spec(self, **_: object) -> str:
        """Return the type as a table is declared with it."""
        return self.spelling


class SourceText(sa.types.TypeDecorator[str]):
    """A text column of a source, which may be a number there: PostgreSQL compares one with a value of no type only."""

    impl = sa.String(255)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Pick the type of bound values."""
        return dialect.type_descriptor(_Spelled("VARCHAR(255)") if dialect.name == "postgresql" else sa.String(255))


class SourceDate(sa.types.TypeDecorator[date]):
    """A date column of a source, which may have a time of day there."""

    impl = sa.Date
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Pick the type of bound values."""
        return dialect.type_descriptor(_Spelled("DATE") if dialect.name == "mssql" else sa.Date())

    def process_bind_param(self, value: date | None, dialect: sa.Dialect) -> date | str | None:
        """Write a date for SQL Server as no login's language can misread it."""
        return value.isoformat() if value is not None and dialect.name == "mssql" else value

    def bind_expression(self, bindvalue: sa.BindParameter[Any]) -> sa.ColumnElement[Any]:
        """Say which type the value has."""
        return _type_value(bindvalue, sa.Date())


class SourceTime(sa.types.TypeDecorator[datetime]):
    """A time column of a source; on SQL Server it may be DATETIME, which takes no literal of six digits."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Pick the type of bound values."""
        return dialect.type_descriptor(_Spelled("DATETIME2(6)") if dialect.name == "mssql" else sa.DateTime())

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | str | None:
        """Write a time for SQL Server in ISO 8601, with its T."""
        return value.isoformat(timespec="microseconds") if value is not None and dialect.name == "mssql" else value

    def bind_expression(self, bindvalue: sa.BindParameter[Any]) -> sa.ColumnElement[Any]:
        """Say which type the value has."""
        return _type_value(bindvalue, sa.DateTime())


def is_in_days(column: sa.ColumnElement[Any], first: date, last: date) -> sa.ColumnElement[bool]:
    """Return whether a date, with a time of day or not, is from one day to another."""
    begins = column >= first
    return begins if last == date.max else begins & (column < last + timedelta(days=1))


def is_until(column: sa.ColumnElement[Any], last: date) -> sa.ColumnElement[bool]:
    """Return whether a date, with a time of day or not, is on a day or before it."""
    return column.is_not(None) if last == date.max else column < last + timedelta(days=1)


def _type_value(value: sa.BindParameter[Any], kind: sa.types.TypeEngine[Any]) -> sa.ColumnElement[Any]:
    typed = TypedValue(value)
    typed.type = kind
    return typed


def _get_argument(element: FunctionElement[Any]) -> sa.ColumnElement[Any]:
    (argument,) = element.clauses
    return argument


@compiles(DayOf)
def _write_day(element: DayOf, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - SQLAlchemy's own
    return f"CAST({compiler.process(_get_argument(element), **options)} AS DATE)"


@compiles(DayOf, "sqlite")
def _write_day_sqlite(element: DayOf, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - as above
    return f"substr({compiler.process(_get_argument(element), **options)}, 1, 10)"


@compiles(DayOf, "oracle")
def _write_day_oracle(element: DayOf, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - as above
    day = compiler.process(_get_argument(element), **options)
    # As PostgreSQL reads it too, which replaces an Oracle in the tests.
    return f"TO_DATE(TO_CHAR({day}, 'YYYY-MM-DD'), 'YYYY-MM-DD')"


@compiles(DayAfter)
def _write_next(element: DayAfter, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - as above
    return f"{compiler.process(_get_argument(element), **options)} + INTERVAL '1' DAY"


@compiles(DayAfter, "sqlite")
def _write_next_sqlite(element: DayAfter, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - as above
    return f"date({compiler.process(_get_argument(element), **options)}, '+1 day')"


@compiles(DayAfter, "oracle")
def _write_next_oracle(element: DayAfter, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - as above
    return f"{compiler.process(_get_argument(element), **options)} + 1"


@compiles(DayAfter, "mssql")
def _write_next_mssql(element: DayAfter, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - as above
    return f"DATEADD(day, 1, {compiler.process(_get_argument(element), **options)})"


@compiles(TypedValue)
def _write_value(element: TypedValue, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - as above
    return compiler.process(_get_argument(element), **options)


@compiles(TypedValue, "mssql")
def _write_value_mssql(element: TypedValue, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - as above
    kind = "DATETIME2(6)" if isinstance(element.type, sa.DateTime) else "DATE"
    return f"CAST({compiler.process(_get_argument(element), **options)} AS {kind})"


@compiles(SameText)
def _write_same(element: SameText, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - as above
    return str(compiler.visit_binary(element, **options))  # type: ignore[no-untyped-call]


@compiles(SameText, "mssql")
def _write_same_mssql(element: SameText, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - as above
    """Find rows by an index with a plain comparison, and leave out those of other case with an exact one."""
    sides = [compiler.process(side, **options) for side in (element.left, element.right)]
    exact = [f"CAST({side} AS NVARCHAR(255)) COLLATE {BINARY_COLLATION}" for side in sides]
    return f"({' = '.join(sides)} AND {' = '.join(exact)})"
