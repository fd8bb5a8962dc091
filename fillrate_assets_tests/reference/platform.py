"""The platform over a directory: loaded into a home, and run in Dagster by any ranges of days."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import dagster as dg

from fillrate_assets.core.errors import FillrateError
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.sources.contract_files import read_directory
from fillrate_assets.orchestration.retries import find_root_cause
from fillrate_assets.sample import fillrate_loader
from fillrate_assets_tests.fixtures.home import Home
from fillrate_assets_tests.reference import model
from fillrate_assets_tests.reference.comparison import (
    KEY,
    LOADED_AT,
    RECORD,
    compare_counts,
    compare_rows,
    count_lines,
    read_lines,
)

Range = tuple[str, date, date]


def load(home: Home, directory: Path, loaded_at: datetime = LOADED_AT) -> None:
    """Load a directory into a home, as the command does."""
    fillrate_loader.load(home.settings, read_directory(directory, loaded_at=loaded_at), loaded_at=loaded_at)
    home.__dict__.pop("settings", None)
    home.__dict__.pop("defs", None)


def split_days(home: Home, expected: model.Result, random: Random | None, most: int) -> list[Range]:
    """Split the days that a directory has orders of into ranges of at most so many days, in any order."""
    days = [line["ship_date"] for line in expected.lines if line["source_table"] == "order_lines"]
    ranges = []
    for dc in home.store.read_dcs()["dc"]:
        start = min(days, default=None)
        while start is not None and start <= max(days):
            length = random.randint(1, most) if random else most
            end = min(start + timedelta(days=length - 1), max(days))
            ranges.append((dc, start, end))
            start = end + timedelta(days=1)
    if random:
        random.shuffle(ranges)
    return ranges


def run(home: Home, instance: dg.DagsterInstance, ranges: Sequence[Range]) -> None:
    """Run the main job range by range; days of which all are rejected fail its blocking check, and are held."""
    for dc, first, last in ranges:
        result = home.run(instance, dc, first, last, raise_on_error=False)
        errors = [
            find_root_cause(event.step_failure_data.error)
            for event in result.all_events
            if event.is_step_failure and event.step_failure_data.error
        ]
        assert result.success or errors, (dc, first, last)
        assert {name for name, _ in errors} <= {"DagsterAssetCheckFailedError"}, (dc, first, last, errors)


def compare_platform(home: Home, expected: model.Result) -> list[str]:
    """Compare what a home has published with the reference."""
    held = expected.held | expected.rejected_days
    days = [line["ship_date"] for line in expected.lines if line["source_table"] == "order_lines"]
    wanted = {
        key: row for key, row in expected.records.items() if key[:2] not in held and min(days) <= key[1] <= max(days)
    }
    found: dict[tuple[Any, ...], dict[str, Any]] = {
        tuple(row[name] for name in KEY): row
        for row in home.lake.scan(schema.LOST_CASES).collect().iter_rows(named=True)
    }
    ledger = home.store.read_ledger()
    published = {
        tuple(row[name] for name in KEY): row
        for dc, day in ledger.select("dc", "ship_date").iter_rows()
        for row in home.store.read_records(dc, day).iter_rows(named=True)
    }
    differences = []
    for what, rows in (("published record", published), ("record", found)):
        for key in sorted({*rows, *wanted}, key=str):
            differences += compare_rows(f"{what} {key}", rows.get(key), wanted.get(key), RECORD)
    lines = home.lake.scan(schema.CLASSIFIED_LINES).collect()
    # A load stores a row once that is there twice, so superseded rows are fewer.
    ours = [line for line in read_lines(lines) if line["disposition"] != "SUPERSEDED"]
    of_days = [
        line
        for line in expected.lines
        if min(days) <= line["ship_date"] <= max(days) and line["disposition"] != "SUPERSEDED"
    ]
    differences += compare_counts("line", count_lines(ours), count_lines(of_days))
    # A run of which every day has too many rejects stops before it writes the ledger.
    states = {(row["dc"], row["ship_date"]): row["state"] for row in ledger.iter_rows(named=True)}
    for day, state in sorted(states.items()):
        if (state == "HELD") is not (day in held):
            differences.append(f"ledger: {day} is {state}")
    return differences


def is_empty(directory: Path) -> bool:
    """Return whether a directory has no order line that can be used."""
    try:
        return read_directory(directory, loaded_at=LOADED_AT).order_lines.is_empty()
    except FillrateError:
        return True
