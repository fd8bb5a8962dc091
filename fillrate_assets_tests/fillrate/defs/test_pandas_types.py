"""What the dagster-pandas types of frames let pass, and how they say what they do not."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import dagster as dg
import polars as pl
import pytest

from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.defs.pandas_types import make_frame_type, to_pandas
from fillrate_assets.fillrate.rules import service_metrics
from fillrate_assets_tests.factories.fillrate_frames import make_counted_lines
from fillrate_assets_tests.factories.rows import make_records

RECORDS = make_frame_type(schema.LOST_CASES)


def _check(dagster_type: dg.DagsterType, value: object) -> dg.TypeCheck:
    return dg.check_dagster_type(dagster_type, value)


def test_pandas_sees_every_digit() -> None:
    rows = make_records({"lost_cases": Decimal("12345678901234.5678"), "vendor": None})
    frame = to_pandas(rows)
    assert frame["lost_cases"].tolist() == [Decimal("12345678901234.5678")]
    assert frame["vendor"].isna().all()
    assert pl.from_pandas(frame).cast(rows.schema).equals(rows)


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(make_records(), id="none"),
        pytest.param(make_records({}, {"item": "B"}), id="two"),
        pytest.param(
            make_records({"fill_rate": None, "baseline_cases": None, "vendor": None}), id="absent where it may be"
        ),
        pytest.param(make_records({"fill_rate": Decimal(1), "lost_cases": Decimal(0)}), id="on the bounds"),
        *[pytest.param(make_records({"path": path}), id=path) for path in schema.PATHS],
    ],
)
def test_records_as_the_platform_makes_them_pass(rows: pl.DataFrame) -> None:
    assert _check(RECORDS, to_pandas(rows)).success


def test_fill_rates_as_the_platform_makes_them_pass() -> None:
    rates = service_metrics.compute_fill_rates(make_counted_lines({}, {"vendor": "V2", "on_time": None})).collect()
    assert _check(make_frame_type(schema.FILL_RATES), to_pandas(rates)).success


@pytest.mark.parametrize(
    ("rows", "constraint", "said"),
    [
        ([{"path": "LOST"}], '"CategoricalColumnConstraint" for column "path"', "path): {A}/LOST"),
        (
            [{"path": None}, {"item": "B"}, {"item": "C", "path": None}],
            '"NonNullableColumnConstraint" for column "path"',
            "path): {A}/<NA>, {C}/<NA>",
        ),
        (
            [{"lost_cases": Decimal("-0.0001")}],
            '"InRangeColumnConstraint" for column "lost_cases"',
            "lost_cases): {A}/-0.0001",
        ),
        (
            [{"fill_rate": None}, {"item": "B", "fill_rate": Decimal("1.0001")}],
            '"InRangeColumnConstraint" for column "fill_rate"',
            "fill_rate): {B}/1.0001",
        ),
        ([{}, {}], "UniqueKeyConstraint", "item): {A}, {A}"),
        (
            [{"item": item, "item_type": "BULK"} for item in "ABCDE"],
            '"CategoricalColumnConstraint" for column "item_type"',
            "item_type): {A}/BULK, {B}/BULK, {C}/BULK and 2 more",
        ),
    ],
)
def test_what_breaks_a_constraint_is_named_by_column_constraint_and_rows(
    rows: list[dict[str, Any]], constraint: str, said: str
) -> None:
    found = _check(RECORDS, to_pandas(make_records(*rows)))
    assert not found.success
    message = str(found.description)
    assert message.startswith(f"Violated {constraint} - "), message
    assert message.endswith(said.format(**{item: f"DC01/2026-02-10/{item}" for item in "ABC"})), message
    assert "Rows (dc, ship_date, item" in message


@pytest.mark.parametrize(
    ("spoiled", "message"),
    [
        (make_records({}).drop("vendor"), "Required column vendor not in dataframe"),
        (make_records({}).with_columns(more=1), "Violated StrictColumnsConstraint"),
        (make_records({}).select("item", pl.exclude("item")), "Violated StrictColumnsConstraint"),
        (
            make_records({}).cast({"lost_cases": pl.Float64}),
            'Violated "ColumnDTypeInSetConstraint" for column "lost_cases"',
        ),
        (
            make_records({}).cast({"ship_date": pl.String}),
            'Violated "ColumnDTypeInSetConstraint" for column "ship_date"',
        ),
    ],
)
def test_columns_are_these_in_this_order_and_of_these_types(spoiled: pl.DataFrame, message: str) -> None:
    found = _check(RECORDS, to_pandas(spoiled))
    assert (found.success, str(found.description).startswith(message)) == (False, True), found.description


def test_anything_but_a_pandas_frame_is_refused() -> None:
    assert not _check(RECORDS, make_records({})).success


def test_a_type_describes_its_columns_and_constraints() -> None:
    assert RECORDS.display_name == "LostCases"
    assert "**lost_cases**: `decimal128(18, 4)[pyarrow]`\n+ No Null values allowed." in str(RECORDS.description)
