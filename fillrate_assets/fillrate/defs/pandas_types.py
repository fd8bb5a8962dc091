"""Dagster-pandas types of frames that leave the platform: what `schema` says of a frame, as constraints.

A frame is Polars' own memory as pandas sees it, through Arrow: decimals stay exact, and nothing is copied.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache
from typing import Final

import dagster as dg
import pandas as pd
import polars as pl
from dagster_pandas import PandasColumn, create_dagster_pandas_dataframe_type
from dagster_pandas.constraints import (
    CategoricalColumnConstraint,
    ColumnConstraint,
    ColumnConstraintViolationException,
    ColumnDTypeInSetConstraint,
    DataFrameConstraint,
    DataFrameConstraintViolationException,
    InRangeColumnConstraint,
    NonNullableColumnConstraint,
    StrictColumnsConstraint,
)

from fillrate_assets.core.table_schema import Column, TableSchema

_NAMED: Final = 3


def to_pandas(rows: pl.DataFrame) -> pd.DataFrame:
    """Return a frame as pandas sees it."""
    return rows.to_pandas(use_pyarrow_extension_array=True)


@cache
def make_frame_type(frame: TableSchema) -> dg.DagsterType:
    """Build the type of a pandas frame: its columns in order, dtypes, nulls, bounds, codes and key.

    Its check names the column, the constraint and the first rows that break it.
    """
    with warnings.catch_warnings():
        # Tested here against the dagster-pandas that is pinned.
        warnings.simplefilter("ignore", dg.BetaWarning)
        dtypes = to_pandas(frame.make_empty().collect()).dtypes
        made: dg.DagsterType = create_dagster_pandas_dataframe_type(
            name="".join(part.capitalize() for part in frame.name.split("_")),
            description=f"Rows of {frame.name}, by {', '.join(frame.key)}.",
            columns=[
                PandasColumn(
                    column.name, [_constrain_dtype(str(dtypes[column.name])), *_constrain_values(column, frame.key)]
                )
                for column in frame.columns
            ],
            dataframe_constraints=[StrictColumnsConstraint(frame.names, enforce_ordering=True), _UniqueKey(frame.key)],
        )
    return made


def _constrain_dtype(dtype: str) -> ColumnConstraint:
    return ColumnDTypeInSetConstraint({dtype})


def _constrain_values(column: Column, key: Sequence[str]) -> list[ColumnConstraint]:
    found: list[ColumnConstraint] = []
    if not column.nullable:
        found.append(NonNullableColumnConstraint())
    if column.codes:
        found.append(CategoricalColumnConstraint(set(column.codes), ignore_missing_vals=column.nullable))
    if column.dtype.is_numeric():
        highest = 1 if column.unit == "share" else float("inf")
        found.append(InRangeColumnConstraint(0, highest, ignore_missing_vals=column.nullable))
    return [_NamingRows(constraint, key) for constraint in found]


class _NamingRows(ColumnConstraint):
    """A constraint that names the rows which break it by their key, on one line."""

    def __init__(self, constraint: ColumnConstraint, key: Sequence[str]) -> None:
        super().__init__(constraint.error_description, constraint.markdown_description)  # type: ignore[no-untyped-call]
        self.name = constraint.name
        self._constraint = constraint
        self._key = key

    def validate(self, dataframe: pd.DataFrame, column_name: str) -> None:
        try:
            self._constraint.validate(dataframe, column_name)
        except ColumnConstraintViolationException as violation:
            rows = violation.offending_rows
            places = rows.index if isinstance(rows, pd.DataFrame) else [place for place, _ in rows]
            text = f"{self.error_description} {_name_rows(dataframe.loc[places, [*self._key, column_name]])}"
            raise ColumnConstraintViolationException(self.name, text, column_name) from violation


class _UniqueKey(DataFrameConstraint):
    """A key of several columns; dagster-pandas has that for one column only."""

    def __init__(self, key: Sequence[str]) -> None:
        text = f"({', '.join(key)}) must be unique."
        super().__init__(text, text)  # type: ignore[no-untyped-call]
        self.name = "UniqueKeyConstraint"
        self._key = list(key)

    def validate(self, dataframe: pd.DataFrame) -> None:
        doubled = dataframe.loc[dataframe.duplicated(self._key, keep=False), self._key]
        if not doubled.empty:
            text = f"{self.error_description} {_name_rows(doubled)}"
            raise DataFrameConstraintViolationException(self.name, text)


def _name_rows(rows: pd.DataFrame) -> str:
    shown = ["/".join(map(str, row)) for row in rows.head(_NAMED).itertuples(index=False)]
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    return f"Rows ({', '.join(rows.columns)}): {', '.join(shown)}{more}"
