"""Tables declared from table schemas: those of the platform's own database, and those of a source.

Which tables there are belongs to the areas.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.settings import SourceTable
from fillrate_assets.storage.sql import find_embedded_file
from fillrate_assets.storage.sql_functions import SourceText
from fillrate_assets.storage.sql_types import choose_source_type, choose_sql_type

METADATA: Final = sa.MetaData()


def declare_table(
    table: TableSchema,
    *more: sa.schema.SchemaItem,
    lengths: Mapping[str, int | None] | None = None,
    counted_by: str | None = None,
) -> sa.Table:
    """Declare the table that stores a frame's rows.

    Args:
        table: its columns and key.
        more: further columns and indexes.
        lengths: of text columns, None for any; by default 64 in the key, which servers limit, and 255 elsewhere.
        counted_by: the name of a primary key that the database counts up; the table's key is unique then.

    """
    columns = [
        sa.Column(
            column.name,
            choose_sql_type(column.dtype, (lengths or {}).get(column.name, 64 if column.name in table.key else 255)),
            primary_key=column.name in table.key and counted_by is None,
            nullable=column.nullable,
        )
        for column in table.columns
    ]
    if counted_by is None:
        return sa.Table(table.name, METADATA, *columns, *more)
    unique = sa.UniqueConstraint(*table.key, name=f"{table.name}_by_key")
    return sa.Table(table.name, METADATA, declare_identity_column(counted_by), *columns, unique, *more)


def declare_identity_column(name: str = "id") -> sa.Column[Any]:
    """Declare a primary key that the database counts up."""
    return sa.Column(name, sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(), primary_key=True)


def declare_source_table(
    url: str, contract: TableSchema, name: str, mapping: Mapping[str, SourceTable], *, text: tuple[str, ...]
) -> sa.Table:
    """Declare the SQLAlchemy table behind a contract, under the source's own names.

    Args:
        url: where the table is. An embedded one also stores what a loader could not read of a row.
        contract: columns of the table, less what the platform derives.
        name: the contract's name of the table, the default for the source's.
        mapping: the source's names by contract table.
        text: columns that the embedded system stores as they were written, so that nothing unreadable is lost.

    Returns:
        A table whose column *keys* are the contract's names.

    Raises:
        PermanentFailure: the settings name a column that the contract does not have, or leave out one that it needs.

    """
    theirs = mapping.get(name, SourceTable())
    setting = f"settings: sources.source_tables.{name}.columns"
    judged = {"problem"} & set(contract.names)
    if unknown := sorted(set(theirs.columns) - {column.name for column in contract.source_columns} - judged):
        msg = f"{setting} names {', '.join(unknown)}, which the contract does not have"
        raise PermanentFailure(msg)
    absent = {column.name for column in contract.source_columns if theirs.columns.get(column.name) == ""}
    if needed := [column.name for column in contract.source_columns if column.name in absent and not column.nullable]:
        msg = f"{setting} leaves out {', '.join(needed)}, which every source must have"
        raise PermanentFailure(msg)
    columns = [
        sa.Column(
            theirs.columns.get(column.name, column.name),
            SourceText() if column.name in text else choose_source_type(column.dtype),
            key=column.name,
            info={"may_be_empty": column.nullable},
        )
        for column in contract.source_columns
        if column.name not in absent
    ]
    # Embedded ones were made by a loader, which has judged their rows.
    loaded = "problem" if judged and find_embedded_file(url) is not None else ""
    if problem := theirs.columns.get("problem", loaded):
        columns.append(sa.Column(problem, sa.String(1000), key="problem", info={"may_be_empty": True}))
    return sa.Table(theirs.name or name, sa.MetaData(schema=theirs.schema_name), *columns)
