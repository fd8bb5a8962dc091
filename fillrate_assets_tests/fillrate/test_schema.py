"""Frames keep their contract, and quantities stay exact."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from fillrate_assets.buffers import schema as floors
from fillrate_assets.core import decimals
from fillrate_assets.core.errors import ContractViolation
from fillrate_assets.core.table_schema import TIMESTAMP, Column, TableSchema
from fillrate_assets.fillrate import schema
from fillrate_assets_tests.factories.fillrate_frames import make_averages, make_order_lines
from fillrate_assets_tests.factories.rows import make_records

AVERAGES = schema.ROLLING_AVERAGES
FRAMES = [frame for area in (schema, floors) for frame in vars(area).values() if isinstance(frame, TableSchema)]


def test_a_frame_that_keeps_its_contract_passes() -> None:
    AVERAGES.validate(make_averages({}, {"item": "B"}).collect())
    schema.ORDER_LINES.validate(make_order_lines({}, {}).collect())


@pytest.mark.parametrize("frame", [AVERAGES, schema.LOST_CASES, schema.CLASSIFIED_LINES])
def test_an_empty_frame_keeps_its_contract(frame: TableSchema) -> None:
    frame.validate(frame.make_empty().collect())


@pytest.mark.parametrize("names", [AVERAGES.names[1:], AVERAGES.names[::-1]])
def test_columns_that_are_absent_or_out_of_order_are_reported(names: list[str]) -> None:
    with pytest.raises(ContractViolation, match="rolling_averages: columns are"):
        AVERAGES.validate(make_averages({}).select(names).collect())


@pytest.mark.parametrize(
    ("column", "spoiled", "message"),
    [
        ("baseline_n", pl.col("baseline_n").cast(pl.Int32), "column baseline_n is Int32, expected Int64"),
        ("baseline_cases", pl.col("baseline_cases").cast(pl.Float64), "column baseline_cases is Float64, expected Dec"),
        ("item", pl.lit(None, pl.String), "1 rows without item"),
    ],
)
def test_a_wrong_dtype_or_an_absent_value_is_reported(column: str, spoiled: pl.Expr, message: str) -> None:
    with pytest.raises(ContractViolation, match=f"rolling_averages: {message}"):
        AVERAGES.validate(make_averages({}).with_columns(spoiled.alias(column)).collect())


def test_a_nullable_column_may_be_null() -> None:
    AVERAGES.validate(make_averages({"baseline_cases": None}).collect())


def test_rows_that_share_their_key_are_reported() -> None:
    with pytest.raises(ContractViolation, match=r"2 rows share their key \('dc', 'ship_date', 'item'\), e.g."):
        AVERAGES.validate(make_averages({}, {}, {"item": "B"}).collect())


def test_a_code_that_the_column_does_not_have_is_reported() -> None:
    with pytest.raises(ContractViolation, match="lost_cases: 2 rows whose path is none of STOCK_IN, STOCK_OUT, FLOW"):
        schema.LOST_CASES.validate(make_records({"item": "B"}, {"path": "BY_AIR"}, {"item": "C", "path": "stock_in"}))


def test_everything_that_is_wrong_is_reported_at_once() -> None:
    wrong = make_averages({"baseline_n": None}, {}, {"item": "B"}).collect()
    with pytest.raises(ContractViolation, match=r"rolling_averages: 1 rows without baseline_n; 2 rows share their key"):
        AVERAGES.validate(wrong)


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: frame.name)
def test_a_frame_as_dataframely_has_it_has_the_same_columns_and_key(frame: TableSchema) -> None:
    made = frame.dataframely
    assert {name: column.dtype for name, column in made.columns().items()} == frame.polars
    assert set(made.primary_key()) == set(frame.key)
    assert [column.nullable for column in made.columns().values()] == [column.nullable for column in frame.columns]
    assert [column.metadata for column in made.columns().values()] == [
        {"unit": column.unit, "derived": column.derived, "codes": column.codes} for column in frame.columns
    ]


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        (pl.List(pl.Struct({"at": TIMESTAMP, "share": pl.Float64()})), [[None], [{"at": None, "share": None}], []]),
        (pl.Float64(), [float("inf"), float("nan")]),
    ],
)
def test_values_inside_a_list_may_be_null_and_numbers_may_be_infinite(dtype: pl.DataType, values: list[Any]) -> None:
    frame = TableSchema("any", (), (Column("value", dtype, "Any"),))
    frame.validate(pl.DataFrame({"value": values}, {"value": dtype}))


def test_columns_are_added_to_a_frame_with_their_checks() -> None:
    wider = replace(AVERAGES, columns=(*AVERAGES.columns, Column("note", pl.String, "Note", codes=("A", "B"))))
    rows = make_averages({}).collect()
    AVERAGES.validate(rows)
    wider.validate(rows.with_columns(note=pl.lit("A")))
    with pytest.raises(ContractViolation, match="1 rows whose note is none of A, B"):
        wider.validate(rows.with_columns(note=pl.lit("C")))


@pytest.mark.parametrize(
    ("numerator", "denominator", "quotient"),
    [(1, 2, 1), (1, 3, 0), (2, 3, 1), (5, 2, 3), (0, 7, 0), (7, 0, None), (10**15, 3, 333333333333333)],
)
def test_division_rounds_half_up(numerator: int, denominator: int, quotient: int | None) -> None:
    frame = pl.DataFrame({"n": [numerator], "d": [denominator]})
    assert frame.select(decimals.divide_half_up(pl.col("n"), pl.col("d"))).item() == quotient


@pytest.mark.parametrize("quantity", ["0", "0.0001", "-2.5", "10000000", "123456789.1234"])
def test_cases_survive_the_trip_through_integers(quantity: str) -> None:
    frame = pl.DataFrame({"q": [Decimal(quantity)]}, schema={"q": decimals.CASES})
    assert frame.select(decimals.to_cases(decimals.to_units("q"))).item() == Decimal(quantity)


def test_a_rate_is_null_when_nothing_was_ordered() -> None:
    frame: pl.DataFrame = pl.DataFrame({"s": [0, 1], "o": [0, 3]})
    rates: list[Any] = frame.select(decimals.to_rate(pl.col("s"), pl.col("o"))).to_series().to_list()
    assert rates == [None, Decimal("0.3333")]
