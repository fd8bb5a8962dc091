"""Comparison of what the package computes from a directory with what the reference does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from fillrate_assets.core.errors import FillrateError
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.report.input_check import check_contracts
from fillrate_assets.fillrate.report.queries import calculate_contracts
from fillrate_assets.fillrate.rules import substitutes
from fillrate_assets.fillrate.rules.pipeline import PartitionFilter
from fillrate_assets.fillrate.rules.service_metrics import compute_service
from fillrate_assets.fillrate.sources.contract_files import read_directory
from fillrate_assets_tests.reference import model

LOADED_AT: Final = datetime(2024, 7, 1, tzinfo=UTC)

KEY: Final = ("dc", "ship_date", "item")
_METHOD_2: Final = [column.name for column in schema.ESTIMATES]
RECORD: Final = [name for name in schema.LOST_CASES.names if name not in (*KEY, *_METHOD_2)]
"""What the reference computes too: it knows method 1 alone."""
_LINE: Final = (
    *("source_table", "dc", "ship_date", "order_id", "line_no", "schedule_line", "shipment_id", "item"),
    *("disposition", "reason", "ordered_cases", "shipped_cases", "over_cases", "sub_cases", "reason_code", "on_time"),
    "shipments",
)
_GROUPINGS: Final = ((), ("dc", "ship_date"), ("vendor",), ("customer",), ("item",))


def compare(directory: Path) -> list[str]:
    """Compare what is computed from a directory; the differences, none if there are none."""
    expected = model.compute(directory, LOADED_AT)
    contracts = read_directory(directory, loaded_at=LOADED_AT)
    try:
        found = calculate_contracts(contracts, PartitionFilter())
    except FillrateError as error:
        return [] if not [line for line in expected.lines if line["source_table"] == "order_lines"] else [str(error)]
    differences = []
    records = {tuple(row[name] for name in KEY): row for row in found.records.iter_rows(named=True)}
    for key in sorted({*records, *expected.records}, key=str):
        differences += compare_rows(f"record {key}", records.get(key), expected.records.get(key), RECORD)
    differences += compare_counts("line", count_lines(read_lines(found.lines)), count_lines(expected.lines))
    rejects = Counter(contracts.rejects.select("table", "dc", "ship_date", "reason").rows())
    differences += compare_counts("reject", rejects, Counter(expected.rejects))
    differences += compare_counts("held", Counter(map(tuple, found.held)), Counter(expected.held))
    differences += compare_counts("doubtful", Counter(map(tuple, found.doubtful)), Counter(expected.doubtful))
    checked = {each.table: each for each in check_contracts(contracts).tables}
    for table, count in expected.counts.items():
        if (each := checked.get(table)) is not None:
            ours = (each.read, each.used, each.excluded, each.rejected, each.superseded)
            differences += compare_counts(f"check of {table}", Counter([ours]), Counter([count]))
            differences += [f"{table}: {ours} does not add up"] if ours[0] != sum(ours[1:]) else []
    for by in _GROUPINGS:
        service = compute_service(found.lines.lazy(), by).collect()
        groups = {tuple(row[name] for name in by): row for row in service.iter_rows(named=True) if row["lines"]}
        wanted = model.compute_service(expected.lines, by)
        for group in sorted({*groups, *wanted}, key=str):
            found_rates, wanted_rates = groups.get(group), wanted.get(group)
            differences += compare_rows(f"service {by} {group}", found_rates, wanted_rates, schema.SERVICE.names)
    return differences


def read_lines(lines: pl.DataFrame) -> Iterable[dict[str, Any]]:
    """Read the rows that came from a source."""
    return lines.filter(pl.col("source_table") != substitutes.SOURCE_TABLE).iter_rows(named=True)


def compare_rows(what: str, found: dict[str, Any] | None, expected: model.Row | None, names: list[str]) -> list[str]:
    if found is None or expected is None:
        return [f"{what}: {'absent' if found is None else 'there'}, expected {'none' if expected is None else 'one'}"]
    return [
        f"{what}: {name} is {found[name]}, expected {expected[name]}" for name in names if found[name] != expected[name]
    ]


def count_lines(lines: Iterable[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    """Count lines, but for the shipments of unusable ones: those of a line are counted with any of its rows."""
    return Counter(
        tuple(line.get(name) for name in _LINE if name != "shipments" or line["disposition"] == "COUNTED")
        for line in lines
    )


def compare_counts(what: str, found: Counter[Any], expected: Counter[Any]) -> list[str]:
    return [
        *[f"{what}: found {each}" for each in (found - expected).elements()],
        *[f"{what}: expected {each}" for each in (expected - found).elements()],
    ]
