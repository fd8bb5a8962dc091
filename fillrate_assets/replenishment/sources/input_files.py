"""A directory of `supply_terms` and `stock_positions` as CSV, Parquet or workbooks, by their contracts.

A row that cannot be used ends in `rejects`, with its reason and the row as it came.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Final

import polars as pl

from fillrate_assets.core import codes, parsing
from fillrate_assets.core.conventions import BUSINESS, EMPTY_DATES, Conventions
from fillrate_assets.core.errors import ContractViolation, PermanentFailure
from fillrate_assets.core.table_schema import Column, TableSchema
from fillrate_assets.replenishment import schema
from fillrate_assets.replenishment.rules.position_checks import judge_positions
from fillrate_assets.replenishment.rules.term_checks import judge_terms
from fillrate_assets.storage import header_names
from fillrate_assets.storage.csv_reader import MalformedRow, find_doubled
from fillrate_assets.storage.file_formats import describe_contents, locate, read_files, translate_reader_errors
from fillrate_assets.storage.file_mapping import FileMapping

EARLIEST_DATE: Final = date(1900, 1, 1)
"""Where a row of terms without `valid_from` begins to hold."""

_VALIDITY: Final = Conventions(empty_dates=EMPTY_DATES)
_UNREAD: Final = Column("problem", pl.String, "What could not be read", nullable=True, derived=True)
_TERMS, _POSITIONS = schema.SUPPLY_TERMS.name, schema.STOCK_POSITIONS.name
_POSITIONS_FILE: Final = replace(
    schema.STOCK_POSITIONS,
    key=("dc", "item", "snapshot_date"),
    columns=tuple(
        replace(column, name="snapshot_date") if column.name == "ship_date" else column
        for column in schema.STOCK_POSITIONS.columns
    ),
)
"""Its day is called as that of `instock_snapshots`."""


@dataclass(frozen=True)
class InputFiles:
    """What a directory has; None where it has no file of a table."""

    terms: pl.DataFrame | None
    """`SUPPLY_TERMS`"""

    positions: pl.DataFrame | None
    """`STOCK_POSITIONS`"""

    rejects: pl.DataFrame
    """`INPUT_REJECTS`"""

    notes: tuple[str, ...]
    """What a person should know of the files' columns."""


def read_directory(directory: Path) -> InputFiles:
    """Read the tables of a directory.

    Raises:
        PermanentFailure: the directory does not exist.
        ContractViolation: it has neither table, or a file is not a table or lacks a column.

    """
    if not directory.is_dir():
        msg = f"{directory} is not a directory"
        raise PermanentFailure(msg)
    terms = _read_table(directory, schema.SUPPLY_TERMS, (), _VALIDITY)
    positions = _read_table(directory, _POSITIONS_FILE, _POSITIONS_FILE.key, BUSINESS)
    if terms is None and positions is None:
        msg = (
            f"{directory}: {_TERMS}.csv and {_POSITIONS}.csv (or .parquet) are missing; {describe_contents(directory)}"
        )
        raise ContractViolation(msg)
    read, rejects = {}, [schema.INPUT_REJECTS.make_empty().collect()]
    for table, judge in ((terms, _judge_terms), (positions, _judge_positions)):
        if table is not None:
            judged = judge(table.rows)
            read[table.name] = judged.filter(pl.col("problem").is_null())
            rejects += [table.reject(judged), table.reject_ragged()]
    return InputFiles(
        None if terms is None else schema.SUPPLY_TERMS.conform(read[_TERMS].lazy()).collect(),
        None if positions is None else schema.STOCK_POSITIONS.conform(read[_POSITIONS].lazy()).collect(),
        pl.concat(rejects),
        tuple(note for table in (terms, positions) if table is not None for note in table.notes),
    )


@dataclass(frozen=True)
class _Table:
    """The rows of a file, typed and as they came, and those that fit no header."""

    name: str
    rows: pl.DataFrame
    original: pl.DataFrame
    ragged: tuple[MalformedRow, ...]
    notes: tuple[str, ...]

    def reject(self, judged: pl.DataFrame) -> pl.DataFrame:
        """Make the rejects of the rows that have a problem."""
        raw = self.original.select(pl.struct(pl.all().cast(pl.String)).struct.json_encode().alias("raw"))
        made = judged.with_columns(pl.lit(self.name).alias("table"), pl.col("problem").alias("reason"), raw["raw"])
        if "ship_date" in judged.columns:
            made = made.with_columns(pl.col("ship_date").alias("valid_from"), pl.col("ship_date").alias("valid_to"))
        absent = [name for name in schema.INPUT_REJECTS.names if name not in made.columns]
        made = made.with_columns(pl.lit(None).alias(name) for name in absent)
        return schema.INPUT_REJECTS.conform(made.filter(pl.col("problem").is_not_null()).lazy()).collect()

    def reject_ragged(self) -> pl.DataFrame:
        """Make the rejects of rows that fit no header: of what they would be is not known."""
        rows = [{"table": self.name, "reason": row.reason, "raw": row.raw} for row in self.ragged]
        return pl.DataFrame(rows, schema=schema.INPUT_REJECTS.polars)


def _read_table(
    directory: Path, contract: TableSchema, required: Sequence[str], conventions: Conventions
) -> _Table | None:
    """Read a table, row for row as in its file; None where there is no file for it."""
    files = locate(directory, contract.name, FileMapping())
    if not files:
        return None
    where = str(files[0]) if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
    read = read_files(files, FileMapping())
    with translate_reader_errors(where):
        chosen = _choose_columns(where, contract, read.frame.columns)
        if absent := [name for name in required if name not in chosen]:
            msg = f"{where}: column {', '.join(absent)} is missing; found {', '.join(read.frame.columns)}"
            raise ContractViolation(msg)
        named = read.frame.select(pl.col(theirs).alias(ours) for ours, theirs in chosen.items())
        parsed = replace(contract, columns=(*contract.columns, _UNREAD))
        typed = parsing.parse_frame(named.lazy(), parsed, table=contract.name, conventions=conventions).collect()
    unread = [name for name in read.frame.columns if name not in chosen.values()]
    notes = (f"{where}: not read: column {', '.join(unread)}",) if unread else ()
    return _Table(contract.name, _refuse_codes(typed), read.frame, read.ragged, notes)


def _choose_columns(where: str, contract: TableSchema, headers: Sequence[str]) -> dict[str, str]:
    """Choose the header of each column, whatever its case, blanks and underscores.

    Raises:
        ContractViolation: a header is there twice, or is the name of a column misspelt.

    """
    normalize = header_names.normalize
    found = {name: [each for each in headers if normalize(each) == normalize(name)] for name in contract.names}
    doubled = [*find_doubled(headers), *(name for name, same in found.items() if len(same) > 1)]
    if doubled:
        msg = f"{where}: the header names {doubled[0]} more than once"
        raise ContractViolation(msg)
    chosen = {name: each[0] for name, each in found.items() if each}
    free = [header for header in headers if header not in chosen.values()]
    near = header_names.find_near_misses([name for name in contract.names if name not in chosen], free)
    for name, header in near.items():
        if header_names.is_typo(name, header):
            msg = f"{where}: column {header} is near to {name}: name it so, or otherwise"
            raise ContractViolation(msg)
    return chosen


def _refuse_codes(typed: pl.DataFrame) -> pl.DataFrame:
    """Drop codes that no key or store can hold, and describe each in `problem`."""
    names = [name for name in schema.TERM_KEYS if name in typed.columns]
    refused = {name: codes.describe_refusal(pl.col(name), name) for name in names}
    return typed.with_columns(
        *[pl.when(reason.is_null()).then(name).alias(name) for name, reason in refused.items()],
        pl.concat_str("problem", *refused.values(), separator="; ", ignore_nulls=True)
        .replace("", None)
        .alias("problem"),
    )


def _judge_terms(typed: pl.DataFrame) -> pl.DataFrame:
    rows = typed.rename({"problem": "unread"}).with_columns(pl.col("valid_from").fill_null(EARLIEST_DATE))
    return judge_terms(rows.lazy()).with_columns(pl.coalesce("unread", "problem").alias("problem")).collect()


def _judge_positions(typed: pl.DataFrame) -> pl.DataFrame:
    rows = typed.rename({"problem": "unread", "snapshot_date": "ship_date"})
    return judge_positions(rows.lazy()).with_columns(pl.coalesce("unread", "problem").alias("problem")).collect()
