"""Bulk insert of a frame inside an open transaction, in the fastest way of each database.

Bulk reads, and appends to a source, are in `sql`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl
import sqlalchemy as sa

from fillrate_assets.core import decimals
from fillrate_assets.storage import sql
from fillrate_assets.storage.driver_errors import translate_driver_errors

if TYPE_CHECKING:
    import psycopg

_ESCAPED: Final = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
"""What COPY's text format writes for characters that separate its values."""


_JSON_ROWS: Final = 10_000


def insert(connection: sa.Connection, table: sa.Table, rows: pl.DataFrame) -> None:
    """Insert a frame, columns by name.

    Args:
        connection: in a transaction, which the rows become part of.
        table: where they go; columns that the frame lacks get their defaults.
        rows: times are UTC, quantities decimal.

    Raises:
        DBAPIError: as SQLAlchemy's own statements raise it.

    """
    if rows.is_empty():
        return
    backend = connection.dialect.name
    if backend == "sqlite":
        _insert_by_position(connection, table, rows)
    elif backend == "postgresql":
        _copy(connection, table, rows)
    elif backend == "mssql":
        _insert_json(connection, table, rows)
    else:
        connection.execute(table.insert(), rows.to_dicts())


def clip_text(text: str, length: int) -> str:
    """Clip a text to the length of its column, as SQL Server counts: two for what lies beyond the first plane."""
    return text.encode("utf-16-le")[: 2 * length].decode("utf-16-le", errors="ignore")


def clip_texts(texts: pl.Series, length: int) -> pl.Series:
    """Clip each text of a column."""
    if not (texts.str.len_bytes() > length).any():
        return texts
    return texts.map_elements(lambda text: clip_text(text, length), return_dtype=pl.String)


def _insert_by_position(connection: sa.Connection, table: sa.Table, rows: pl.DataFrame) -> None:
    """Insert tuples by position, which SQLite takes several times faster; its decimals are whole ten-thousandths."""
    exact = [name for name, dtype in rows.schema.items() if dtype.is_decimal()]
    encoded = sql.to_sqlite_text(rows.with_columns(decimals.to_units(name).alias(name) for name in exact))
    statement = table.insert().compile(dialect=connection.dialect, column_keys=rows.columns)
    connection.exec_driver_sql(str(statement), encoded.select(statement.positiontup or []).rows())


def _copy(connection: sa.Connection, table: sa.Table, rows: pl.DataFrame) -> None:
    """Use PostgreSQL's COPY, in its text format: there, unlike in CSV, no value can look like the end of the data."""
    from psycopg.sql import SQL, Identifier  # noqa: PLC0415 - only where it is used

    columns = SQL(", ").join(Identifier(name) for name in rows.columns)
    place = Identifier(*filter(None, (sql.get_schema(connection), table.name)))
    statement = SQL("COPY {} ({}) FROM STDIN").format(place, columns)
    text = pl.col(pl.String).str.replace_many(_ESCAPED)
    naive = pl.col(pl.Datetime).dt.strftime("%Y-%m-%d %H:%M:%S%.6f")
    lines = rows.with_columns(text, naive).write_csv(
        include_header=False, separator="\t", quote_style="never", null_value="\\N"
    )
    raw: psycopg.Connection = connection.connection.driver_connection  # type: ignore[assignment]
    with (
        translate_driver_errors(connection, f"COPY {table.name}"),
        raw.cursor() as cursor,
        cursor.copy(statement) as copy,
    ):
        copy.write(lines)


def _insert_json(connection: sa.Connection, table: sa.Table, rows: pl.DataFrame) -> None:
    """Send JSON, which SQL Server reads as a typed table: as fast as a bulk copy, and in the same transaction."""
    statement = build_json_insert(table, rows.columns, connection.dialect)
    naive = pl.col(pl.Datetime).dt.strftime("%Y-%m-%dT%H:%M:%S%.6f")
    text = rows.with_columns(naive, pl.col(pl.Decimal, pl.Date, pl.Time).cast(pl.String))
    for part in text.iter_slices(_JSON_ROWS):
        connection.execute(statement, {"rows": part.write_json()})


def build_json_insert(table: sa.Table, names: list[str], dialect: sa.Dialect) -> sa.Insert:
    """Build the statement that inserts a JSON array `rows` of objects with these columns.

    Text is read at any length, so that a value too long for its column is an error and not cut.
    """
    preparer, types = dialect.identifier_preparer, dialect.type_compiler_instance
    kinds = {name: table.c[name].type for name in names}
    fields = ", ".join(
        f"{preparer.format_column(table.c[name])} "
        f"{types.process(sa.Unicode() if isinstance(kind, sa.String) else kind)}"
        for name, kind in kinds.items()
    )
    rows = sa.text(f"OPENJSON(:rows) WITH ({fields})").bindparams(sa.bindparam("rows", type_=sa.UnicodeText()))
    return table.insert().from_select(names, sa.select(*[sa.column(name) for name in names]).select_from(rows))
