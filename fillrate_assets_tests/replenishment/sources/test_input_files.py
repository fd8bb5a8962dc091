"""Files of terms and stock positions: which rows are used, and why the others are not."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from fillrate_assets.core.errors import ContractViolation, PermanentFailure
from fillrate_assets.replenishment import schema
from fillrate_assets.replenishment.sources.input_files import EARLIEST_DATE, read_directory

TERMS = """DC,Vendor,item,Lead Time Days,review_days,MOQ,case_multiple,service_target,valid_from
DC01,,,5,7,,,0.95,
,ACME,,10,7,24,12,,2026-01-01
,,4711,3.5x,1,,,,2026-01-01
DC02,,,4,7,,,95,2026-01-01
"""
POSITIONS = """dc,item,snapshot_date,on_hand_cases,on_order_cases
DC01,4711,2026-03-02,12.5,
DC01,4712,2026-03-02,-1,4
DC01,,2026-03-02,1,4
"""


def write(directory: Path, **files: str) -> Path:
    for name, text in files.items():
        (directory / f"{name}.csv").write_text(text, encoding="utf-8")
    return directory


def test_rows_are_typed_by_their_contract_and_those_of_no_use_say_why(tmp_path: Path) -> None:
    read = read_directory(write(tmp_path, supply_terms=TERMS, stock_positions=POSITIONS))
    assert read.terms is not None
    assert read.positions is not None
    schema.INPUT_REJECTS.validate(read.rejects)
    assert read.terms.select("dc", "vendor", "lead_time_days", "moq", "valid_from").rows() == [
        ("DC01", None, 5, None, EARLIEST_DATE),
        (None, "ACME", 10, 24, date(2026, 1, 1)),
    ]
    assert read.positions.rows() == [("DC01", "4711", date(2026, 3, 2), Decimal("12.5"), None)]
    assert read.rejects.select("table", "dc", "item", "reason").rows() == [
        ("supply_terms", None, "4711", "lead_time_days '3.5x' is not a number"),
        ("supply_terms", "DC02", None, "service_target is not between 0.5 and 0.999: it is a share of 1"),
        ("stock_positions", "DC01", "4712", "on_hand_cases is negative"),
        ("stock_positions", "DC01", None, "no item"),
    ]
    assert read.rejects["raw"][0].startswith('{"DC":"","Vendor":"","item":"4711","Lead Time Days":"3.5x"')
    assert read.rejects.filter(pl.col("table") == "stock_positions")["valid_to"].to_list() == [date(2026, 3, 2)] * 2


def test_a_row_that_fits_no_header_is_rejected_and_a_column_that_is_not_read_is_named(tmp_path: Path) -> None:
    text = 'dc,lead_time_days,valid_from,buyer\nDC01,5,2026-01-01,"Kim"\nDC01,5\n'
    read = read_directory(write(tmp_path, supply_terms=text))
    assert read.positions is None
    assert [row[:6] for row in read.rejects.rows()] == [("supply_terms", None, None, None, None, None)]
    assert "2 fields, the header has 4" in read.rejects["reason"][0]
    assert read.notes == (f"{tmp_path}/supply_terms.csv: not read: column buyer",)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({}, "supply_terms.csv and stock_positions.csv (or .parquet) are missing"),
        ({"stock_positions": "dc,item,on_hand_cases\n"}, "column snapshot_date is missing"),
        ({"supply_terms": "dc,lead_tme_days\n"}, "column lead_tme_days is near to lead_time_days"),
        ({"supply_terms": "dc,DC \n"}, "the header names dc more than once"),
    ],
)
def test_a_directory_that_cannot_be_read_is_refused(tmp_path: Path, files: dict[str, str], problem: str) -> None:
    with pytest.raises(ContractViolation, match=re.escape(problem)):
        read_directory(write(tmp_path, **files))


def test_a_directory_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PermanentFailure, match="is not a directory"):
        read_directory(tmp_path / "absent")
