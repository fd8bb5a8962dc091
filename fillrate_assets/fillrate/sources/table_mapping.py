"""Mappings: how a company calls and writes one table, as `mapping.toml` says it. How it is applied is not here."""

from __future__ import annotations

import tomllib
import zoneinfo
from collections.abc import Collection, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from fillrate_assets.core.conventions import DC_TIME, Conventions, find_format_problem
from fillrate_assets.core.errors import ContractViolation
from fillrate_assets.storage.file_mapping import FileMapping, Several

ANY_VALUE: Final = "*"
"""The value of a file for all that are not named."""


class JoinMapping(FileMapping):
    """A second file whose columns every row gets, such as the headers of orders."""

    on: Annotated[dict[str, str], BeforeValidator(lambda value: {value: value} if isinstance(value, str) else value)]
    """The lines' column = the header file's column; one name if they are called the same."""


class TableMapping(FileMapping):
    """How one table is called and written in the files of a company."""

    columns: Mapping[str, str | int] = Field(default_factory=dict)
    """Contract name -> the file's column, or its number where the file has no header."""

    values: Mapping[str, Mapping[str, str]] = Field(default_factory=dict)
    """Contract name -> the file's value -> the contract's value; `*` means all others, an empty one for none."""

    constants: Mapping[str, str | int | float | bool | date] = Field(default_factory=dict)
    """Contract name -> the value of every row."""

    join: JoinMapping | None = None
    where: Mapping[str, Several] = Field(default_factory=dict)
    """The file's column -> values of the rows that count; others are excluded."""

    where_not: Mapping[str, Several] = Field(default_factory=dict)
    """The file's column -> values of rows that are excluded."""

    ignore: Several = ()
    """Columns of the file that belong to no contract, whatever they are called."""

    nulls: Several = ()
    """Values that stand for none, such as NULL."""

    date_format: Several = ()
    """strftime formats of the table's dates and times, or `excel`, tried in order before ISO 8601."""

    time_zone: str | None = None
    """IANA time zone of times without an offset, or `dc`: the clock of each DC. By default UTC."""

    years: tuple[int, int] | None = None
    """First and last year that a date may have."""

    empty_dates: tuple[date, ...] | None = None
    """Dates that stand for none."""

    decimal: Literal[".", ","] = "."
    thousands: str | None = Field(default=None, max_length=1)
    """Separator of thousands; with a decimal comma a point, else none."""

    trailing_minus: bool = True
    percent: bool = False
    instock_above: Decimal | None = None
    """`instock` is a quantity, and in stock what is above this."""

    line_numbers: Literal["whole", "text", "count"] = "whole"
    """`text`: any text is a line's number; `count`: the lines of an order are counted as they come."""

    @field_validator("date_format")
    @classmethod
    def _check_date_formats(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for form in value:
            if problem := find_format_problem(form):
                raise ValueError(problem)
        return value

    @field_validator("time_zone")
    @classmethod
    def _check_time_zone(cls, value: str | None) -> str | None:
        if value not in {None, DC_TIME, *zoneinfo.available_timezones()}:
            msg = f"'{value}' is not an IANA time zone such as Europe/Berlin, nor dc"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.thousands == self.decimal:
            msg = f"thousands and decimal are both {self.decimal!r}"
            raise ValueError(msg)
        if not self.header and any(isinstance(theirs, str) for theirs in self.columns.values()):
            msg = "without a header, columns are numbers from 1"
            raise ValueError(msg)
        if self.header and any(isinstance(theirs, int) for theirs in self.columns.values()):
            msg = "columns are names; numbers are for files without a header (header = false)"
            raise ValueError(msg)
        return self

    def make_conventions(self, base: Conventions, dc_time_zones: Mapping[str, str]) -> Conventions:
        """Make the conventions of the table's values from those of its contract."""
        european = "." if self.decimal == "," else ""
        return Conventions(
            date_formats=self.date_format,
            decimal=self.decimal,
            thousands=european if self.thousands is None else self.thousands,
            trailing_minus=self.trailing_minus,
            percent=self.percent,
            time_zone=self.time_zone,
            dc_time_zones=dc_time_zones,
            years=self.years or base.years,
            empty_dates=base.empty_dates if self.empty_dates is None else self.empty_dates,
        )


def read_mapping(file: Path, tables: Mapping[str, Collection[str]]) -> dict[str, TableMapping]:
    """Read the mapping of each table that a mapping file names.

    Args:
        file: a TOML file with one section per table.
        tables: the contract's columns by table; anything else in the file is an error.

    Raises:
        ContractViolation: the file is not TOML, or names a table, key or column that does not exist.

    """
    try:
        sections = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        # tomllib passes on what Python says of an impossible date, and nests as deep as the file does.
        msg = f"{file}: not a TOML file: {'nested too deep' if isinstance(error, RecursionError) else error}"
        raise ContractViolation(msg) from error
    problems = [f"unknown table {name} (tables: {', '.join(tables)})" for name in sections if name not in tables]
    mappings = {}
    for name in sections.keys() & tables.keys():
        try:
            mappings[name] = TableMapping.model_validate(sections[name])
        except ValidationError as error:
            problems += [f"{'.'.join(map(str, (name, *e['loc'])))}: {_describe_error(e)}" for e in error.errors()]
            continue
        named = {*mappings[name].columns, *mappings[name].values, *mappings[name].constants}
        problems += [
            f"{name} has no column {column} (columns: {', '.join(tables[name])})"
            for column in sorted(named - set(tables[name]))
        ]
        both = sorted(mappings[name].columns.keys() & mappings[name].constants.keys())
        problems += [f"{name}.{column} is both a column and a constant" for column in both]
    if problems:
        msg = f"{file}: {'; '.join(sorted(problems))}"
        raise ContractViolation(msg)
    return mappings


def _describe_error(error: Mapping[str, object]) -> str:
    if error["type"] == "extra_forbidden":
        location = error["loc"]
        model = JoinMapping if isinstance(location, tuple) and location[0] == "join" else TableMapping
        return f"unknown key (keys: {', '.join(sorted(model.model_fields, key=_sort_known_first))})"
    return str(error["msg"]).removeprefix("Value error, ")


def _sort_known_first(key: str) -> tuple[int, str]:
    """Sort the keys that nearly every mapping has before the others."""
    common = ("file", "columns", "values", "constants")
    return common.index(key) if key in common else len(common), key
