"""Schemas of tables: columns with their units, the key, and the check that rows match.

What is wrong with rows is named by dataframely: a schema is also one of dataframely, made when it is first needed.
Which tables there are is declared by the areas, each in its own `schema`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from types import new_class
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from fillrate_assets.core.errors import ContractViolation

if TYPE_CHECKING:
    import dataframely as dy
    from polars.datatypes import DataTypeClass

TIMESTAMP: Final = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class Column:
    """One column: its dtype, its unit as people read it, whether null is allowed, and what it means.

    A derived column is added by the platform while it reads; no source has it. A newer column is null in what was
    stored before there was one. A column with codes holds nothing else.
    """

    name: str
    dtype: pl.DataType | type[pl.DataType]
    description: str
    unit: str | None = None
    nullable: bool = False
    derived: bool = False
    newer: bool = False
    codes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableSchema:
    """The schema of one frame; `key` columns identify a row."""

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        """Return the column names in their stored order."""
        return [column.name for column in self.columns]

    @property
    def polars(self) -> pl.Schema:
        """Return the Polars schema."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    @cached_property
    def dataframely(self) -> type[dy.Schema]:
        """Return the dataframely schema: it validates and filters rows, and draws samples of them."""
        import dataframely as dy  # noqa: PLC0415 - it loads SQLAlchemy and NumPy, which no rule needs

        columns = {column.name: _make_column(column, in_key=column.name in self.key) for column in self.columns}
        return new_class(self.name, (dy.Schema,), exec_body=lambda namespace: namespace.update(columns))

    @property
    def source_columns(self) -> list[Column]:
        """Return the columns that a source has."""
        return [column for column in self.columns if not column.derived]

    def make_empty(self) -> pl.LazyFrame:
        """Make a frame of this schema without rows."""
        return self._empty

    @cached_property
    def _empty(self) -> pl.LazyFrame:
        return pl.LazyFrame(schema=self.polars)

    def conform(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """Pick and cast the schema's columns in order; the caller guarantees that they exist."""
        return frame.select(pl.col(column.name).cast(column.dtype) for column in self.columns)

    def validate(self, frame: pl.DataFrame) -> None:
        """Raise ContractViolation when columns, dtypes, nullability or the key are not as declared."""
        problems = [*self._find_shape_problems(frame)] or [*self._find_row_problems(frame)]
        if problems:
            msg = f"{self.name}: " + "; ".join(problems)
            raise ContractViolation(msg)

    def _find_shape_problems(self, frame: pl.DataFrame) -> Sequence[str]:
        if frame.columns != self.names:
            return [f"columns are {frame.columns}, expected {self.names}"]
        dtypes = frame.schema
        return [
            f"column {column.name} is {dtypes[column.name]}, expected {column.dtype}"
            for column in self.columns
            if dtypes[column.name] != column.dtype
        ]

    @cached_property
    def _faults(self) -> list[pl.Expr]:
        """Return one value for each rule, whether a row breaks it: dataframely takes six times as long to say so."""
        required = [column.name for column in self.columns if not column.nullable or column.name in self.key]
        coded = {column.name: [*map(str, column.codes)] for column in self.columns if column.codes}
        return [
            *(pl.col(name).has_nulls().alias(f"{name}|nullability") for name in required),
            *((~pl.col(name).is_in(codes)).any().alias(f"{name}|codes") for name, codes in coded.items()),
            *([(pl.struct(self.key).n_unique() < pl.len()).alias("primary_key")] if self.key else []),
        ]

    def _find_row_problems(self, frame: pl.DataFrame) -> Sequence[str]:
        if not any(frame.select(self._faults).row(0)):
            return []
        broken = self.dataframely.filter(frame).failure.counts()
        problems = []
        for column in self.columns:
            if count := broken.get(f"{column.name}|nullability"):
                problems.append(f"{count} rows without {column.name}")
            if count := broken.get(f"{column.name}|check__codes"):
                problems.append(f"{count} rows whose {column.name} is none of {', '.join(column.codes)}")
        if count := broken.get("primary_key"):
            doubled = frame.select(self.key).filter(pl.struct(self.key).is_duplicated())
            problems.append(f"{count} rows share their key {self.key}, e.g. {doubled.row(0)}")
        return problems


def _make_column(column: Column, *, in_key: bool) -> dy.Column:
    """Make the dataframely column; what it has no field for is in its metadata."""
    return _choose_column(
        column.dtype,
        nullable=column.nullable,
        primary_key=in_key,
        description=column.description,
        metadata={"unit": column.unit, "derived": column.derived, "codes": column.codes},
        # Codes are text, here and in every store: `dy.Enum` would want Polars' own type for them.
        check={"codes": lambda value: value.is_in([*map(str, column.codes)])} if column.codes else None,
    )


def _choose_column(dtype: pl.DataType | DataTypeClass, **options: Any) -> dy.Column:  # noqa: ANN401 - of any dy.Column
    """Make a dataframely column of a dtype; values inside a list or struct may be null, floats anything."""
    import dataframely as dy  # noqa: PLC0415 - as above

    match dtype if isinstance(dtype, pl.DataType) else dtype():
        case pl.List(inner=inner):
            return dy.List(_choose_column(inner, nullable=True), **options)
        case pl.Struct(fields=fields):
            return dy.Struct({field.name: _choose_column(field.dtype, nullable=True) for field in fields}, **options)
        case pl.Decimal(precision=precision, scale=scale):
            return dy.Decimal(precision, scale, **options)
        case pl.Datetime(time_unit=time_unit, time_zone=time_zone):
            return dy.Datetime(time_unit=time_unit, time_zone=time_zone, **options)
        case pl.Float64():
            return dy.Float64(allow_inf=True, allow_nan=True, **options)
        case simple:
            kinds: dict[DataTypeClass, type[dy.Column]] = {
                pl.String: dy.String,
                pl.Int64: dy.Int64,
                pl.Boolean: dy.Bool,
                pl.Date: dy.Date,
                pl.Time: dy.Time,
            }
            return kinds[simple.base_type()](**options)
