from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import dagster as dg
import polars as pl
import pytest

from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.defs import metadata
from fillrate_assets.orchestration.ui_metadata import make_column_metadata, split_by_day
from fillrate_assets_tests.factories.rows import AT, DAY, make_records


def _list_cells(shown: Any) -> list[dict[str, object]]:  # noqa: ANN401 - any metadata value
    assert isinstance(shown, dg.TableMetadataValue)
    assert shown.schema is not None
    names = [column.name for column in shown.schema.columns]
    assert all(list(row.data) == names for row in shown.records)
    return [dict(row.data) for row in shown.records]


def test_a_schema_shows_every_column_with_its_unit_its_codes_and_whether_it_may_be_absent() -> None:
    shown = make_column_metadata(schema.LOST_CASES)["dagster/column_schema"].columns
    columns = {column.name: column for column in shown}
    assert list(columns) == schema.LOST_CASES.names
    assert columns["lost_cases"].description == "Confirmed + estimated [cases]"
    assert (columns["lost_cases"].constraints.nullable, columns["fill_rate"].constraints.nullable) == (False, True)
    assert columns["path"].constraints.other == ["one of STOCK_IN, STOCK_OUT, FLOW, MISSING"]
    assert columns["item"].constraints.other == []


def test_rows_are_parted_by_dc_and_day() -> None:
    pairs = [("DC01", DAY), ("DC01", DAY + timedelta(days=1)), ("DC02", DAY)]
    parts = split_by_day(make_records(*[{"dc": dc, "ship_date": day} for dc, day in pairs]))
    assert sorted(parts) == pairs
    assert all(part.select("dc", "ship_date").row(0) == pair for pair, part in parts.items())
    assert split_by_day(make_records()) == {}


def test_a_day_of_lost_cases_shows_how_much_why_and_which_items() -> None:
    rows = make_records(
        {"item": "A"},
        {"item": "B", "path": "STOCK_OUT", "ordered_cases": Decimal(10), "shipped_cases": Decimal(0),
         "confirmed_cases": Decimal(10), "estimated_cases": Decimal("5.5"), "lost_cases": Decimal("15.5"),
         "contract_lost_cases": Decimal("15.5")},
        {"item": "C", "lost_cases": Decimal(0), "confirmed_cases": Decimal(0), "shipped_cases": Decimal(10)},
    )  # fmt: skip
    shown = metadata.summarize_lost_cases(rows)
    plain = {name: value for name, value in shown.items() if isinstance(value, int | float)}
    assert plain == {
        "dagster/partition_row_count": 3,
        "ordered_cases": 30.0,
        "shipped_cases": 18.0,
        "confirmed_lost_cases": 12.0,
        "estimated_lost_cases": 5.5,
        "lost_cases": 17.5,
        "fill_rate_percent": 60.0,
        "contract_lost_cases": 15.5,
        "phantom_stock": 0,
        "flag_conflicts": 0,
    }
    assert [(row["path"], row["items"], row["lost"]) for row in _list_cells(shown["lost_by_path"])] == [
        ("STOCK_IN", 2, 2.0),
        ("STOCK_OUT", 1, 15.5),
    ]
    assert [(row["item"], row["lost"]) for row in _list_cells(shown["ten_worst_items"])] == [("B", 15.5), ("A", 2.0)]
    assert shown["lost_by_path_chart"].value.splitlines()[1].startswith("STOCK_OUT  ████")


def test_a_day_without_records_has_no_fill_rate() -> None:
    shown = metadata.summarize_lost_cases(make_records())
    assert (shown["dagster/partition_row_count"], shown["lost_cases"]) == (0, 0.0)
    assert "fill_rate_percent" not in shown
    assert shown["lost_by_path_chart"].value == "No cases were lost."


def test_ten_items_are_the_worst_and_ties_are_sorted_by_item() -> None:
    rows = make_records(*[{"item": f"{number:02}", "lost_cases": Decimal(number % 2)} for number in range(1, 31)])
    assert [row["item"] for row in _list_cells(metadata.summarize_lost_cases(rows)["ten_worst_items"])] == [
        f"{number:02}" for number in range(1, 21, 2)
    ]


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        ({"FLOW": Decimal(0)}, ["No cases were lost."]),
        ({}, ["No cases were lost."]),
        (
            {"FLOW": Decimal(1), "MISSING": Decimal(0), "STOCK_IN": Decimal(1200), "STOCK_OUT": Decimal(600)},
            [
                "```",
                f"{'STOCK_IN':<10} {'█' * 24} 1,200.0",
                f"{'STOCK_OUT':<10} {'█' * 12:<24} 600.0",
                f"{'FLOW':<10} {'█':<24} 1.0",
                "```",
            ],
        ),
    ],
)
def test_a_chart_has_a_bar_for_everything_that_was_lost(values: dict[str, Decimal], bars: list[str]) -> None:
    assert metadata.draw_chart(values).splitlines() == bars


def test_a_source_shows_how_recent_it_is_and_what_could_not_be_read() -> None:
    rows = pl.DataFrame({"processed_at": [AT, AT + timedelta(hours=1)], "problem": [None, "no number"]})
    shown = metadata.summarize_source(rows)
    assert (shown["dagster/partition_row_count"], shown["unreadable_rows"]) == (2, 1)
    assert shown["source_watermark"] == dg.MetadataValue.timestamp(AT + timedelta(hours=1))
    assert "source_watermark" not in metadata.summarize_source(rows.clear())


def test_a_snapshot_shows_its_share_of_items_that_are_out() -> None:
    rows = pl.DataFrame({"instock": ["Y", "n", "N", None], "problem": pl.Series([None] * 4, dtype=pl.String)})
    assert metadata.summarize_source(rows)["out_of_stock_share"] == 0.5


def test_a_table_shows_what_dagster_can_show() -> None:
    rows = pl.DataFrame({"item": ["A", None], "lost_cases": [Decimal("1.25"), None], "day": [DAY, None], "n": [1, 2]})
    shown = metadata.make_cases_table(rows)
    assert _list_cells(shown) == [
        {"item": "A", "lost": 1.2, "day": "2026-02-10", "n": 1},
        {"item": None, "lost": None, "day": None, "n": 2},
    ]
    assert [column.type for column in shown.schema.columns] == ["string", "float", "string", "float"]
