"""What a frame is: its columns with their units, its key, and the check that rows are so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from fillrate_assets.core.errors import ContractViolation

TIMESTAMP: Final = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class Column:
    """One column: its dtype, its unit as people read it, whether null is allowed, and what it means.

    A derived column is added by the platform while it reads; no source has it. A column with codes holds nothing else.
    """

    name: str
    dtype: pl.DataType | type[pl.DataType]
    description: str
    unit: str | None = None
    nullable: bool = False
    derived: bool = False
    codes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Frame:
    """The schema of one frame; `key` columns identify a row."""

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        """Column names in their stored order."""
        return [column.name for column in self.columns]

    @property
    def polars(self) -> pl.Schema:
        """The frame's Polars schema."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    @property
    def source_columns(self) -> list[Column]:
        """The columns that a source has."""
        return [column for column in self.columns if not column.derived]

    def empty(self) -> pl.LazyFrame:
        """A frame of this schema without rows."""
        return pl.LazyFrame(schema=self.polars)

    def conform(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """Pick and cast the schema's columns in order; the caller guarantees that they exist."""
        return frame.select(pl.col(column.name).cast(column.dtype) for column in self.columns)

    def validate(self, frame: pl.DataFrame) -> None:
        """Raise ContractViolation when columns, dtypes, nullability or the key are not as declared."""
        problems = [*self._shape_problems(frame)] or [*self._row_problems(frame)]
        if problems:
            msg = f"{self.name}: " + "; ".join(problems)
            raise ContractViolation(msg)

    def _shape_problems(self, frame: pl.DataFrame) -> Sequence[str]:
        if frame.columns != self.names:
            return [f"columns are {frame.columns}, expected {self.names}"]
        return [
            f"column {column.name} is {frame.schema[column.name]}, expected {column.dtype}"
            for column in self.columns
            if frame.schema[column.name] != column.dtype
        ]

    def _row_problems(self, frame: pl.DataFrame) -> Sequence[str]:
        problems = [
            f"{count} rows without {column.name}"
            for column in self.columns
            if not column.nullable and (count := frame[column.name].null_count())
        ]
        if self.key and frame.height:
            # Equal keys have equal hashes: unique hashes prove unique keys at a tenth of the cost.
            suspects = frame.select(self.key).filter(
                frame.select(pl.struct(self.key).hash().is_duplicated()).to_series()
            )
            if suspects.height and (doubled := suspects.filter(suspects.is_duplicated())).height:
                problems.append(f"{doubled.height} rows share their key {self.key}, e.g. {doubled.row(0)}")
        return problems
