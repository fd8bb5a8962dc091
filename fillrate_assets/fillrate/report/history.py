"""History: the fact tables of whole months of a DC as files in the lake, and which days of them still hold.

A month's files are replaced side by side: the manifest of the DC names those in force and, for each day, the versions
of the day's files that they were made of. A day whose files are newer is read from these, so that a number is never
stale, and a missing history only makes it slower (decision 0320).
"""
# ruff: noqa: S608 - what is formatted are names of schemas and of this module; values are bound

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import duckdb

from fillrate_assets.core.partition_key import PartitionKey, encode_dc
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.fact_schema import FACTS
from fillrate_assets.fillrate.report.fact_tables import COLUMNS, connect, define, translate_query_errors
from fillrate_assets.storage.lake import WHOLE, Lake, Part, build_path, name_remedy

LAYOUT: Final = 2
"""Raised when the fact tables change: what was written before no longer counts."""
_PARQUET: Final = "FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20_000"
"""Small groups of rows: one item is in few of them."""
_FOLDER: Final = "history"
_SLOTS: Final = ("a", "b")
_SETTLED: Final = timedelta(seconds=2)
"""S3 says when a file was written to the second: a version younger than that may not be the last of its second."""


class Version(NamedTuple):
    """When the files of a day were written, as ISO times: its lines, and its records; empty without any."""

    lines: str
    records: str


class MonthKey(NamedTuple):
    """A month of a DC, by its first day."""

    dc: str
    month: date


@dataclass(frozen=True)
class StoredMonth:
    """A month of the history: which of its files are in force, and what they were made of."""

    slot: str
    days: Mapping[date, Version]


@dataclass(frozen=True)
class Stored:
    """What the lake stores of days, and of months made of them."""

    days: Mapping[PartitionKey, Version] = field(default_factory=dict)
    months: Mapping[MonthKey, StoredMonth] = field(default_factory=dict)

    @cached_property
    def days_by_month(self) -> dict[MonthKey, dict[date, Version]]:
        """Return the days that there are of each month."""
        found: dict[MonthKey, dict[date, Version]] = {}
        for (dc, day), version in self.days.items():
            found.setdefault(MonthKey(dc, day.replace(day=1)), {})[day] = version
        return found

    @cached_property
    def fresh_days(self) -> dict[MonthKey, frozenset[date]]:
        """Return the days of each month whose files are as they were when its history was written."""
        return {
            key: frozenset(
                day for day, version in month.days.items() if self.days_by_month.get(key, {}).get(day) == version
            )
            for key, month in self.months.items()
        }

    @cached_property
    def month_versions(self) -> dict[MonthKey, str]:
        """Return what the files in force of each month were made of, in short."""
        return {
            key: hashlib.sha256(repr(sorted(month.days.items())).encode()).hexdigest()
            for key, month in self.months.items()
        }


def read_stored(lake: Lake, dcs: Iterable[str] | None = None) -> Stored:
    """Read which days the lake has, and which months its history has; of some DCs or all."""
    lines = lake.list_write_times(schema.CLASSIFIED_LINES)
    records = lake.list_write_times(schema.LOST_CASES)
    wanted = {dc for dc, _ in lines} if dcs is None else {*dcs}
    days = {
        key: Version(at.isoformat(), records[key].isoformat() if key in records else "")
        for key, at in lines.items()
        if key.dc in wanted
    }
    months = {key: month for dc in sorted(wanted) for key, month in _read_manifest(lake, dc).items()}
    return Stored(days, months)


def find_due_months(stored: Stored) -> list[MonthKey]:
    """Find the months whose history is missing, or was made of other days than there are."""
    there = stored.days_by_month
    written = {key: dict(month.days) for key, month in stored.months.items()}
    return sorted(key for key in {*there, *written} if there.get(key) != written.get(key))


def write_history(lake: Lake, dc: str, now: datetime) -> dict[MonthKey, int]:
    """Write the history of those months of a DC whose days changed.

    Returns:
        Days by month that was written.

    """
    stored = read_stored(lake, [dc])
    months = dict(stored.months)
    written: dict[MonthKey, int] = {}
    for key in find_due_months(stored):
        of_month = stored.days_by_month.get(key, {})
        days = {day: version for day, version in of_month.items() if _is_settled(version, now)}
        before = months.pop(key, None)
        if before is not None and days == before.days:
            months[key] = before
            continue
        if days:
            slot = _SLOTS[before is not None and before.slot == _SLOTS[0]]
            _write_month(lake, key, slot, days)
            months[key] = StoredMonth(slot, days)
        write_manifest(lake, dc, months)
        written[key] = len(days)
    return written


def build_month_path(table: str, key: MonthKey, slot: str) -> str:
    """Build the path of a month of a fact table, below the root of the lake."""
    return f"{_FOLDER}/dc={encode_dc(key.dc)}/month={key.month:%Y-%m}/{table}-{slot}.parquet"


def make_facts(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    targets: Mapping[str, Path],
    days: Mapping[PartitionKey, Version],
    scratch: Path,
) -> None:
    """Make fact tables of some days, as files on this machine.

    Args:
        connection: what computes them; its temporary tables are replaced.
        lake: where the days are.
        targets: the files, by table out of `FACTS`.
        days: which, and in which versions.
        scratch: a folder for copies of what is not on this machine.

    Raises:
        PermanentFailure: the file of a day cannot be read; the message names it.

    """
    lines = {Part(*day, WHOLE): version.lines for day, version in days.items()}
    records = {Part(*day, WHOLE): version.records for day, version in days.items() if version.records}
    given = {"lines": (schema.CLASSIFIED_LINES, lines), "records": (schema.LOST_CASES, records)}

    def name_fault() -> str | None:
        return next((fault for frame, parts in given.values() if (fault := lake.name_fault(frame, parts))), None)

    with translate_query_errors(name_fault):
        binds: dict[str, list[str]] = {}
        for name, (frame, parts) in given.items():
            files = [
                lake.fetch_file(build_path(frame, part), at, scratch, f"{name_remedy(part)} writes it anew")
                for part, at in parts.items()
            ]
            # Columns that are newer than the files of some days are in this one, and null there.
            none = scratch / f"no_{frame.name}.parquet"
            frame.make_empty().collect().write_parquet(none)
            binds[name] = escape_paths([none, *files])
        relations = {name: f"read_parquet(${name}, hive_partitioning = false, union_by_name = true)" for name in given}
        # One table reads of the files the columns that it needs; several would read them again and again.
        if len(targets) > 1:
            for name, rows in relations.items():
                made = f"CREATE OR REPLACE TEMP TABLE given_{name} AS SELECT {', '.join(COLUMNS[name])} FROM {rows}"
                connection.execute(made, {name: binds[name]})
            relations, binds = {name: f"given_{name}" for name in given}, {}
        for table, target in targets.items():
            rows = f"{define(table, **relations)} ORDER BY {', '.join(FACTS[table].order)}"
            connection.execute(f"COPY ({rows}) TO $target ({_PARQUET})", {**binds, "target": str(target)})


def escape_paths(paths: Iterable[Path]) -> list[str]:
    """Escape what DuckDB reads as patterns in the names of folders."""
    return [str(path).replace("[", "[[]").replace("*", "[*]").replace("?", "[?]") for path in paths]


def _write_month(lake: Lake, key: MonthKey, slot: str, days: Mapping[date, Version]) -> None:
    with TemporaryDirectory() as folder:
        targets = {table: Path(folder, f"{table}.parquet") for table in FACTS}
        with connect(folder) as connection:
            make_facts(
                connection, lake, targets, {PartitionKey(key.dc, day): at for day, at in days.items()}, Path(folder)
            )
        for table, target in targets.items():
            lake.write_file(build_month_path(table, key, slot), target.read_bytes())


def _is_settled(version: Version, now: datetime) -> bool:
    return all(datetime.fromisoformat(at) < now - _SETTLED for at in version if at)


def _read_manifest(lake: Lake, dc: str) -> dict[MonthKey, StoredMonth]:
    content = lake.read_file(_build_manifest_path(dc))
    manifest = json.loads(content) if content else {}
    if manifest.get("layout") != LAYOUT:
        return {}
    return {
        MonthKey(dc, date.fromisoformat(f"{month}-01")): StoredMonth(
            of_month["slot"], {date.fromisoformat(day): Version(*at) for day, at in of_month["days"].items()}
        )
        for month, of_month in manifest["months"].items()
    }


def write_manifest(lake: Lake, dc: str, months: Mapping[MonthKey, StoredMonth]) -> None:
    """Replace which months of a DC are in force."""
    content = {
        f"{key.month:%Y-%m}": {"slot": month.slot, "days": {str(day): at for day, at in sorted(month.days.items())}}
        for key, month in sorted(months.items())
    }
    lake.write_file(_build_manifest_path(dc), json.dumps({"layout": LAYOUT, "months": content}).encode())


def _build_manifest_path(dc: str) -> str:
    return f"{_FOLDER}/dc={encode_dc(dc)}/manifest.json"
