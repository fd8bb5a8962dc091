"""What can be read of the input, and what is reported of the rest."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Final

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillrate_assets.core import parsing
from fillrate_assets.core.errors import ContractViolation
from fillrate_assets.core.table_schema import Column, TableSchema
from fillrate_assets.fillrate import schema
from fillrate_assets_tests.factories.fillrate_frames import Row, take_only_row

LINES: Final = schema.ORDER_LINES
MOMENT: Final = datetime(2024, 5, 16, 6, 30, tzinfo=UTC)


def parse(**values: object) -> Row:
    raw = pl.LazyFrame({name: [value] for name, value in values.items()})
    return take_only_row(parsing.parse_frame(raw, LINES, table="order_lines"))


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("ordered_qty", "12", Decimal(12)),
        ("ordered_qty", " 12.50 ", Decimal("12.5")),
        ("ordered_qty", "-3", Decimal(-3)),
        ("ordered_qty", "0.00005", Decimal("0.0001")),
        ("line_no", "7", 7),
        ("line_no", "7.0", 7),
        ("line_no", " 7 ", 7),
        ("ship_date", "2024-05-16", date(2024, 5, 16)),
        ("ship_date", "2024-05-16 00:00:00", date(2024, 5, 16)),
        ("ship_date", "2024-05-16T06:30:00Z", date(2024, 5, 16)),
        ("processed_at", "2024-05-16 06:30:00", MOMENT),
        ("processed_at", "2024-05-16 06:30", MOMENT),
        ("processed_at", "2024-05-16T06:30:00.000Z", MOMENT),
        ("processed_at", "2024-05-16T08:30:00+02:00", MOMENT),
        ("item", " A ", "A"),
    ],
)
def test_text_is_read_by_the_contract(column: str, text: str, value: object) -> None:
    row = parse(**{column: text})
    assert (row[column], row["problem"]) == (value, None)


@pytest.mark.parametrize(
    ("column", "text", "kind"),
    [
        *[("ordered_qty", text, "a number") for text in ("12x", "1,5", "NaN", "inf", "-Infinity", "1e400")],
        *[("line_no", text, "a number") for text in ("1.5", "one", "NaN")],
        *[("ship_date", text, "a date (YYYY-MM-DD)") for text in ("2024-13-01", "16/05/2024", "soon", "20240516")],
        *[("processed_at", text, "a time (YYYY-MM-DD HH:MM:SS, UTC)") for text in ("yesterday", "2024-05-16 25:00:00")],
    ],
)
def test_what_cannot_be_read_is_null_and_reported(column: str, text: str, kind: str) -> None:
    row = parse(**{column: text})
    assert (row[column], row["problem"]) == (None, f"{column} '{text}' is not {kind}")


@pytest.mark.parametrize("column", ["ordered_qty", "line_no", "ship_date", "processed_at", "item"])
@pytest.mark.parametrize("blank", ["", "   ", None])
def test_blank_is_absent_not_wrong(column: str, blank: str | None) -> None:
    row = parse(**{column: blank, "dc": "DC01"})
    assert (row[column], row["problem"]) == (None, None)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_float_that_is_no_number_is_reported(number: float) -> None:
    row = parse(ordered_qty=number)
    assert row["ordered_qty"] is None
    assert row["problem"].endswith("is not a number")


@pytest.mark.parametrize(("number", "value"), [(12, Decimal(12)), (0.1, Decimal("0.1")), (2.5, Decimal("2.5"))])
def test_typed_numbers_become_exact_cases(number: float, value: Decimal) -> None:
    row = parse(ordered_qty=number)
    assert (row["ordered_qty"], row["problem"]) == (value, None)


def test_a_line_number_that_is_no_whole_number_is_reported() -> None:
    row = parse(line_no=1.5)
    assert (row["line_no"], row["problem"]) == (None, "line_no '1.5' is not a number")


def test_a_naive_time_is_utc() -> None:
    assert parse(processed_at=datetime(2024, 5, 16, 6, 30))["processed_at"] == MOMENT  # noqa: DTZ001  the case at hand


def test_all_problems_of_a_row_are_reported() -> None:
    row = parse(ordered_qty="x", line_no="y")
    assert row["problem"] == "line_no 'y' is not a number; ordered_qty 'x' is not a number"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[(text, (time(6, 30), None)) for text in ("06:30", "6:30", "06:30:00", "06:30:00.000000")],
        ("24:00", (None, "starts '24:00' is not a time of day (HH:MM)")),
        ("", (None, None)),
    ],
)
def test_a_time_of_day_is_read(text: str, value: object) -> None:
    assert _read_as(pl.Time, text) == value


@pytest.mark.parametrize("number", ["0.123456789", Decimal("0.123456789"), 0.123456789])
def test_a_measure_keeps_all_its_digits(number: object) -> None:
    assert _read_as(pl.Float64, number) == (0.123456789, None)


def test_a_measure_that_is_no_number_is_reported() -> None:
    assert _read_as(pl.Float64, "1,5") == (None, "starts '1,5' is not a number")


def _read_as(dtype: type[pl.DataType], value: object) -> tuple[object, object]:
    columns = (Column("starts", dtype, ""), Column("problem", pl.String, "", nullable=True))
    row = take_only_row(
        parsing.parse_frame(pl.LazyFrame({"starts": [value]}), TableSchema("t", (), columns), table="t")
    )
    return row["starts"], row["problem"]


@given(st.text(), st.text())
def test_what_could_not_be_read_is_known_as_it_was_written(quantity: str, day: str) -> None:
    problem = parse(ordered_qty=quantity, ship_date=day)["problem"]
    for name, text in (("ordered_qty", quantity), ("ship_date", day)):
        known = pl.select(parsing.extract_unread_text(pl.lit(problem, pl.String), LINES, name)).item()
        assert known == (text if f"{name} '" in (problem or "") else None)


def test_problems_found_earlier_remain() -> None:
    row = parse(ordered_qty="x", problem="line 3 of the file has 4 fields")
    assert row["problem"] == "ordered_qty 'x' is not a number; line 3 of the file has 4 fields"


@pytest.mark.parametrize(
    ("text", "value"), [("Y", True), ("yes", True), ("1", True), ("N", False), (" false ", False), ("maybe", None)]
)
def test_flags_are_read_as_people_write_them(text: str, value: object) -> None:
    raw = pl.LazyFrame({"item": ["A"], "contract_committed": [text]})
    assert take_only_row(parsing.parse_frame(raw, schema.ITEMS, table="items"))["contract_committed"] is value


def test_absent_columns_are_null_and_unknown_ones_ignored() -> None:
    frame = parsing.parse_frame(pl.LazyFrame({"dc": ["DC01"], "colour": ["red"]}), LINES, table="order_lines").collect()
    assert frame.schema == LINES.polars
    assert frame.drop("dc").null_count().row(0) == (1,) * (len(LINES.names) - 1)


def test_a_required_column_that_is_absent_stops_everything() -> None:
    with pytest.raises(ContractViolation, match="order_lines: column item, ordered_qty is missing; found dc"):
        parsing.parse_frame(
            pl.LazyFrame({"dc": [""]}), LINES, table="order_lines", required=["dc", "item", "ordered_qty"]
        )
