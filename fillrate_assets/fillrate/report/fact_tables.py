"""Fact tables: what reports add up, made of lines and records in one way, whether they are files or frames.

What is queried of them belongs to `fact_queries`, the files of whole months to `history`.
"""
# ruff: noqa: S608 - what is formatted are names of this module and of schemas

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from importlib.resources import files
from typing import Any, Final, Protocol

import duckdb
import polars as pl

from fillrate_assets.core.decimals import MOST
from fillrate_assets.core.errors import ContractViolation, PermanentFailure
from fillrate_assets.fillrate.fact_schema import FACTS
from fillrate_assets.fillrate.schema import METHODS

THREADS: Final = 2
MEMORY: Final = "1GB"
_CONFIG: Final[dict[str, str | bool | int | float | list[str]]] = {
    "threads": THREADS,
    "memory_limit": MEMORY,
    "autoinstall_known_extensions": False,
}
COLUMNS: Final = {
    "lines": (
        "source_table",
        "dc",
        "ship_date",
        "order_id",
        "customer",
        "item",
        "vendor",
        "department",
        "disposition",
        "reason",
        "ordered_cases",
        "shipped_cases",
        "on_time",
    ),
    "records": (
        "dc",
        "ship_date",
        "item",
        "vendor",
        "department",
        "path",
        "reason_code",
        "lost_cases",
        "confirmed_cases",
        "estimated_cases",
        "contract_lost_cases",
        "imputed",
        "method_version",
        "method_1_cases",
        "method_2_cases",
    ),
}
"""What facts are made of, of `CLASSIFIED_LINES` and of `LOST_CASES`."""
_DEFINITIONS: Final = files("fillrate_assets.fillrate.report").joinpath("fact_tables.sql").read_text("utf-8")


@dataclass(frozen=True)
class Relation:
    """Rows of a fact table as a statement reads them."""

    table: str
    rows: str
    conditions: Sequence[str] = ()
    binds: Mapping[str, Any] = field(default_factory=dict)


class FactSource(Protocol):
    """Where fact tables are."""

    @property
    def span(self) -> tuple[date, date]:
        """Return the first and the last ship date."""

    def open(self) -> duckdb.DuckDBPyConnection:
        """Open a connection of one's own, on which the relations can be read."""

    def name_fault(self) -> str | None:
        """Name a file that cannot be read, and what to do; None if all can be."""

    def remember_total(self, key: Hashable, compute: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        """Return the row of everything as it was computed before, or compute it.

        Args:
            key: what it is limited to, and how it is computed.
            compute: computes it.

        """

    def find_relations(self, table: str, *, whole_months: bool) -> Sequence[Relation]:
        """Find the relations that are the rows of a table, at least one.

        Args:
            table: out of `FACTS`.
            whole_months: whether `item_months` may be in place of days of `item_facts`.

        """


def connect(directory: str = "") -> duckdb.DuckDBPyConnection:
    """Connect to an empty database in memory; what has no room there goes to a directory."""
    return duckdb.connect(":memory:", config={**_CONFIG, **({"temp_directory": directory} if directory else {})})


def define(table: str, lines: str, records: str) -> str:
    """Return the statement that makes a fact table of two relations."""
    given = {"lines": lines, "records": records}
    read = ", ".join(f"{name} AS (SELECT {', '.join(COLUMNS[name])} FROM {rows})" for name, rows in given.items())
    of_method_2 = ", ".join(f"({version})" for version, method in METHODS.items() if method != 1)
    versions = f"versions_of_method_2 (version) AS (VALUES {of_method_2})"
    return f"WITH {read}, {versions}, {_DEFINITIONS} SELECT * FROM {FACTS[table].schema.name}"


def run_query(
    source: FactSource, statement: str, binds: Mapping[str, Any], frames: Mapping[str, pl.DataFrame]
) -> pl.DataFrame:
    """Run a statement over fact tables and frames.

    Raises:
        ContractViolation: a sum has no room in its column.

    """
    with source.open() as connection, translate_query_errors(source.name_fault):
        for name, frame in frames.items():
            connection.register(name, frame)
        found: pl.DataFrame = connection.sql(statement, params=dict(binds)).pl()
        return found


class FrameFacts:
    """Fact tables of frames; each is made when it is first read."""

    def __init__(self, lines: pl.LazyFrame, records: pl.LazyFrame) -> None:
        """Take `CLASSIFIED_LINES` and `LOST_CASES`."""
        self.lines, self.records = lines, records
        self._lock = threading.RLock()

    @cached_property
    def _frames(self) -> dict[str, pl.DataFrame]:
        lines, records = pl.collect_all([self.lines.select(COLUMNS["lines"]), self.records.select(COLUMNS["records"])])
        return {"given_lines": lines, "given_records": records}

    @cached_property
    def span(self) -> tuple[date, date]:
        """Return the first and the last ship date of the frames."""
        days = pl.concat([frame["ship_date"] for frame in self._frames.values()])
        first, last = days.min(), days.max()
        return (first, last) if isinstance(first, date) and isinstance(last, date) else (date.min, date.min)

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        connection = connect()
        for name, frame in self._frames.items():
            connection.register(name, frame)
        return connection

    def open(self) -> duckdb.DuckDBPyConnection:
        """Open a connection to the tables."""
        with self._lock:
            return self._connection.cursor()

    def remember_total(self, key: Hashable, compute: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        """Compute it: of files a report is computed once."""
        del key
        return compute()

    def name_fault(self) -> str | None:
        """Return that there are no files."""
        return None

    def find_relations(self, table: str, *, whole_months: bool) -> Sequence[Relation]:
        """Make the one table, if it is not there yet."""
        del whole_months
        with self._lock, translate_query_errors():
            definition = define(table, *self._frames)
            self._connection.execute(f"CREATE TABLE IF NOT EXISTS {table} AS {definition}")
        return [Relation(table, table)]


@contextmanager
def translate_query_errors(name_fault: Callable[[], str | None] = lambda: None) -> Iterator[None]:
    """Raise a sum that has no room in its column as ContractViolation, and a broken file by its name.

    Args:
        name_fault: returns which file cannot be read, and what to do; None if all can be.

    Raises:
        ContractViolation: a sum has no room.
        PermanentFailure: a file cannot be read.

    """
    try:
        yield
    except (duckdb.ConversionException, duckdb.OutOfRangeException) as error:
        msg = f"a quantity or a sum must be below {MOST:,} cases: {error}"
        raise ContractViolation(msg) from error
    except duckdb.Error as error:
        if (fault := name_fault()) is None:
            raise
        raise PermanentFailure(fault) from error
