"""Metadata of the Dagster UI for any area: a table's columns and rows, and a check's result for each day.

What an area's own metadata says is in its `defs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final

import dagster as dg
import polars as pl

from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.orchestration import partitions
from fillrate_assets.orchestration.partition_events import add_partition_evaluations

Metadata = dict[str, Any]

_NAMED: Final = 20


def make_column_metadata(table: TableSchema) -> Metadata:
    """Make the metadata in which Dagster looks for a table's columns and their units."""
    return {"dagster/column_schema": describe_columns(table)}


def describe_columns(table: TableSchema) -> dg.TableSchema:
    """Describe a table's columns with their units, as Dagster shows them."""
    shown = [
        dg.TableColumn(
            column.name,
            type=_name_dtype(column.dtype),
            description=f"{column.description} [{column.unit}]" if column.unit else column.description,
            constraints=dg.TableColumnConstraints(
                nullable=column.nullable, other=[f"one of {', '.join(column.codes)}"] if column.codes else None
            ),
        )
        for column in table.columns
    ]
    return dg.TableSchema(columns=shown)


def split_by_day(frame: pl.DataFrame) -> dict[PartitionKey, pl.DataFrame]:
    """Split a frame's rows by DC and ship date."""
    parts = frame.partition_by("dc", "ship_date", as_dict=True)
    return {PartitionKey(str(dc), day): part for (dc, day), part in parts.items() if isinstance(day, date)}


def make_table(rows: pl.DataFrame) -> dg.TableMetadataValue:
    """Make a table that Dagster shows."""
    records = [
        dg.TableRecord({name: _to_cell(value) for name, value in row.items()}) for row in rows.iter_rows(named=True)
    ]
    columns = [
        dg.TableColumn(name, type="float" if dtype.is_numeric() else "string") for name, dtype in rows.schema.items()
    ]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns=columns))


def make_check_result(
    context: dg.AssetCheckExecutionContext,
    failing: Mapping[PartitionKey, str],
    advice: str,
    *,
    blocking: bool = False,
    warn: bool = False,
    shown: Metadata | None = None,
) -> dg.AssetCheckResult:
    """Make a check's result for its run, and for each of the run's partitions.

    Args:
        context: of the check.
        failing: what is wrong with which days.
        advice: what to do about it.
        blocking: whether the check is.
        warn: whether a failure is only a warning.
        shown: more metadata.

    """
    severity = dg.AssetCheckSeverity.WARN if warn else dg.AssetCheckSeverity.ERROR
    # Of one day as of many: what Dagster records of the run itself is of no partition.
    each: dict[str, dg.AssetCheckResult] = {
        partitions.make_key(*day): dg.AssetCheckResult(
            passed=day not in failing,
            severity=severity,
            description=f"{failing[day]}: {advice}" if day in failing else None,
        )
        for day in partitions.list_days(context)
    }
    add_partition_evaluations(context, each, blocking=blocking)
    named = [f"{dc} {day}: {reason}" for (dc, day), reason in sorted(failing.items())]
    more = f" (+{len(named) - 1} more)" if len(named) > 1 else ""
    return dg.AssetCheckResult(
        passed=not failing,
        severity=severity,
        description=f"{named[0]}{more}: {advice}" if named else None,
        metadata={
            "days_failing": len(named),
            "which": "; ".join(named[:_NAMED]) or "none",
            **(shown or {}),
        },
    )


def _name_dtype(dtype: pl.DataType | type[pl.DataType]) -> str:
    """Return a type's name as short as a column of the UI."""
    match dtype:
        case pl.Decimal():
            return f"Decimal({dtype.precision}, {dtype.scale})"
        case pl.Datetime():
            return f"Datetime({dtype.time_zone or 'no zone'})"
        case _:
            return str(dtype)


def _to_cell(value: object) -> str | int | float | bool | None:
    if isinstance(value, Decimal):
        return round(float(value), 1)
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
