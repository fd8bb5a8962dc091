"""Column types that store every digit on each database, and the one map from dtypes to them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from fillrate_assets.core.decimals import PLACES
from fillrate_assets.core.table_schema import TIMESTAMP
from fillrate_assets.storage.sql_functions import BINARY_COLLATION, SourceDate, SourceText, SourceTime


class ExactDecimal(sa.types.TypeDecorator[Decimal]):
    """A decimal with 4 places; SQLite has none, so there it is a whole number of ten-thousandths."""

    impl = sa.Numeric(18, 4)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Pick the type that stores every digit."""
        return dialect.type_descriptor(sa.BigInteger() if dialect.name == "sqlite" else sa.Numeric(18, 4))

    def process_bind_param(self, value: Decimal | None, dialect: sa.Dialect) -> Decimal | int | None:
        """Convert from Python to the database."""
        return int(value * PLACES) if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any | None, dialect: sa.Dialect) -> Decimal | None:  # noqa: ANN401
        """Convert from the database to Python."""
        return Decimal(value) / PLACES if value is not None and dialect.name == "sqlite" else value


def to_stored(moment: datetime) -> datetime:
    """Return a time as `UtcDateTime` stores it: UTC, without a zone."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def from_stored(moment: datetime | None) -> datetime | None:
    """Return a stored time with its zone, UTC."""
    return None if moment is None else moment.replace(tzinfo=UTC)


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """A time, UTC, to the microsecond; SQL Server's DATETIME would round it to 3 milliseconds."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Pick the type that stores every digit."""
        if dialect.name != "mssql":
            return dialect.type_descriptor(sa.DateTime())
        from sqlalchemy.dialects.mssql import DATETIME2  # noqa: PLC0415 - only where it is used

        return dialect.type_descriptor(DATETIME2(precision=6))  # type: ignore[no-untyped-call]


_TYPES: Final[dict[object, sa.types.TypeEngine[Any]]] = {
    pl.Date: sa.Date(),
    pl.Time: sa.Time(),
    TIMESTAMP: UtcDateTime(),
    pl.Int64: sa.BigInteger(),
    pl.Float64: sa.Double(),
    pl.Boolean: sa.Boolean(),
}


def make_text_type(length: int | None = None) -> sa.Unicode:
    """Return the type of text of the platform's own tables, None for any length.

    SQL Server's default collation would take `a1` and `A1` for one key.
    """
    return sa.Unicode(length).with_variant(sa.Unicode(length, collation=BINARY_COLLATION), "mssql")


def choose_sql_type(dtype: object, length: int | None = 255) -> sa.types.TypeEngine[Any]:
    """Return the type of a column of the platform's own tables; `length` is that of text, None for any."""
    return make_text_type(length) if dtype == pl.String else _TYPES.get(dtype, ExactDecimal())


def choose_source_type(dtype: object) -> sa.types.TypeEngine[Any]:
    """Return the type of a source's column: quantities and times of day are text there, as they were written."""
    special: dict[object, sa.types.TypeEngine[Any]] = {
        TIMESTAMP: SourceTime(),
        pl.Date: SourceDate(),
        pl.Time: sa.String(255),
    }
    return {**_TYPES, **special}.get(dtype, SourceText())
