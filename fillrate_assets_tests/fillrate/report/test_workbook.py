from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path

import openpyxl
import polars as pl
import pytest
import xlsxwriter.worksheet
from openpyxl.worksheet.worksheet import Worksheet

from fillrate_assets.core import decimals
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.report import labels
from fillrate_assets.fillrate.report.doubts import Doubts
from fillrate_assets.fillrate.report.fact_tables import FrameFacts
from fillrate_assets.fillrate.report.queries import read_facts_from_files
from fillrate_assets.fillrate.report.service_report import Facts, build_report_data
from fillrate_assets.fillrate.report.workbook import MAX_ROWS, write_workbook
from fillrate_assets.fillrate.rules.pipeline import PartitionFilter
from fillrate_assets.fillrate.sources.contract_files import read_directory
from fillrate_assets_tests.factories import directories

MADE_AT = datetime(2024, 5, 17, 6, tzinfo=UTC)
SHEETS = ["Summary", "Trend", "Worst items", "By vendor", "Lost by path", "Doubts", "Notes"]


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    directory = directories.write_golden_directory(tmp_path_factory.mktemp("golden"))
    return read_facts_from_files(read_directory(directory, loaded_at=MADE_AT), PartitionFilter())[0]


def _get_frames(facts: Facts) -> FrameFacts:
    assert isinstance(facts.source, FrameFacts)
    return facts.source


@pytest.fixture
def file(facts: Facts, tmp_path: Path) -> Path:
    targets = pl.LazyFrame({"case_fill_rate": [0.95], "otif_rate": [0.0]}).cast(decimals.RATE)
    write_workbook(tmp_path / "book.xlsx", build_report_data(facts, ["dc", "department"], targets), made_at=MADE_AT)
    return tmp_path / "book.xlsx"


def _read_rows(sheet: Worksheet, top: int = 1) -> Iterator[dict[str, object]]:
    """The rows of a table, down to the first blank one."""
    header, *rows = takewhile(any, sheet.iter_rows(min_row=top, values_only=True))
    return ({str(name): value for name, value in zip(header, row, strict=True)} for row in rows)


def test_what_a_reader_would_act_on_is_escaped_in_cells(facts: Facts, tmp_path: Path) -> None:
    hostile = pl.lit("D\u202e\x1b[2J\u200b").alias("department")
    source = _get_frames(facts)
    spoiled = FrameFacts(source.lines.with_columns(hostile), source.records.with_columns(hostile))
    report = build_report_data(replace(facts, source=spoiled), ["department"], None)
    write_workbook(tmp_path / "hostile.xlsx", report, made_at=MADE_AT)
    book = openpyxl.load_workbook(tmp_path / "hostile.xlsx")
    texts = [str(cell.value) for sheet in book.worksheets for row in sheet.iter_rows() for cell in row if cell.value]
    assert "D\\u202e\\x1b[2J\\u200b" in texts
    assert not set("".join(texts)) & set("\u202e\x1b\u200b")


def test_the_sheets_are_those_that_an_analyst_would_build(file: Path) -> None:
    assert openpyxl.load_workbook(file).sheetnames == SHEETS


def test_every_table_has_a_frozen_filtered_header(file: Path) -> None:
    for sheet in openpyxl.load_workbook(file).worksheets[:5]:
        assert sheet.freeze_panes, sheet.title
        assert sheet.auto_filter.ref, sheet.title


def test_the_summary_ends_in_the_total_outside_the_filter(file: Path, facts: Facts) -> None:
    sheet = openpyxl.load_workbook(file)["Summary"]
    group, total = _read_rows(sheet, top=9)
    assert (group["DC"], group["Department"]) == ("DC01", "(none)")
    assert (total["DC"], total["Department"]) == ("TOTAL", None)
    assert group["Lost"] == total["Lost"] == float(_get_frames(facts).records.collect()["lost_cases"].sum())
    assert group["Case fill gap (points)"] == pytest.approx(float(str(group["Case fill"])) * 100 - 95, abs=0.005)
    assert sheet.auto_filter.ref == "A9:T10"


def test_numbers_are_numbers_and_there_is_no_formula(file: Path) -> None:
    cells = [cell for sheet in openpyxl.load_workbook(file).worksheets for row in sheet.iter_rows() for cell in row]
    assert {cell.data_type for cell in cells} <= {"n", "s", "d"}
    (worst,) = (row for row in _read_rows(openpyxl.load_workbook(file)["Worst items"]) if row["Item"] == "10")
    assert (worst["Lost"], worst["MISSING"], worst["Mostly because"]) == (38, 38, "01 out of stock")


def test_charts_are_native(file: Path) -> None:
    charts = [name for name in zipfile.ZipFile(file).namelist() if name.startswith("xl/charts/chart")]
    assert len(charts) == 3


def test_the_notes_define_every_term_and_disclose_what_records_cannot_show(file: Path) -> None:
    text = {value for row in openpyxl.load_workbook(file)["Notes"].iter_rows(values_only=True) for value in row}
    assert {*labels.DEFINITIONS, *labels.DEFINITIONS.values(), *labels.LIMITATIONS} <= text


def test_text_that_looks_like_a_formula_stays_text(tmp_path: Path) -> None:
    directory = directories.write_minimal_directory(tmp_path / "in")
    items = [{"item": "A", "item_type": "STOCK", "description": "=1+1", "vendor": "@SUM(A1)"}]
    directories.write_csv(directory / "items.csv", items)
    facts = read_facts_from_files(read_directory(directory, loaded_at=MADE_AT), PartitionFilter())[0]
    write_workbook(tmp_path / "book.xlsx", build_report_data(facts, ["vendor"]), made_at=MADE_AT)
    sheet = openpyxl.load_workbook(tmp_path / "book.xlsx")["Worst items"]
    assert [(cell.value, cell.data_type) for cell in sheet[2][2:4]] == [("=1+1", "s"), ("@SUM(A1)", "s")]


def test_a_workbook_of_held_days_says_so_and_still_shows_service(tmp_path: Path) -> None:
    directory = directories.write_minimal_directory(tmp_path / "in")
    (directory / "instock_snapshots.csv").unlink()
    facts = read_facts_from_files(read_directory(directory, loaded_at=MADE_AT), PartitionFilter())[0]
    write_workbook(tmp_path / "book.xlsx", build_report_data(facts, ["dc"]), made_at=MADE_AT)
    opened = openpyxl.load_workbook(tmp_path / "book.xlsx")
    assert opened["Summary"]["A7"].value == "1 ship day of a DC held: no lost cases there (see Notes)."
    (group, _) = _read_rows(opened["Summary"], top=9)
    assert (group["Case fill"], group["Lost"]) == (0.8, None)
    assert opened["Lost by path"]["A3"].value == "No lost cases on record."


def test_the_same_book_is_the_same_bytes_wherever_they_go(facts: Facts, tmp_path: Path) -> None:
    in_memory = io.BytesIO()
    for where in (in_memory, tmp_path / "book.xlsx"):
        write_workbook(where, build_report_data(facts, ["dc"]), made_at=MADE_AT)
    assert (tmp_path / "book.xlsx").read_bytes() == in_memory.getvalue()


def test_a_workbook_of_nothing_is_a_workbook(tmp_path: Path) -> None:
    source = FrameFacts(schema.CLASSIFIED_LINES.make_empty(), schema.LOST_CASES.make_empty())
    nothing = Facts(source, schema.ITEMS.make_empty(), Doubts())
    write_workbook(tmp_path / "book.xlsx", build_report_data(nothing, ["dc"]), made_at=MADE_AT)
    assert openpyxl.load_workbook(tmp_path / "book.xlsx").sheetnames == SHEETS


def test_a_table_that_a_sheet_cannot_hold_continues_on_further_sheets(facts: Facts, tmp_path: Path) -> None:
    data = build_report_data(facts, ["item"])
    write_workbook(tmp_path / "book.xlsx", data, made_at=MADE_AT, max_rows=20)
    opened = openpyxl.load_workbook(tmp_path / "book.xlsx")
    assert opened.sheetnames[:5] == ["Summary", "Summary 2", "Trend", "Trend 2", "Trend 3"]
    assert all(sheet.max_row <= 20 for sheet in opened.worksheets if sheet.title != "Notes")
    first, last = ([*_read_rows(opened[name], top)] for name, top in (("Summary", 9), ("Summary 2", 1)))
    assert (first[-1]["Item"], last[-1]["Item"]) == ("continues on sheet Summary 2", "TOTAL")
    assert [row["Item"] for row in (*first[:-1], *last[:-1])] == data.report.groups["item"].to_list()
    assert last[-1]["Lost"] == float(_get_frames(facts).records.collect()["lost_cases"].sum())
    for name in opened.sheetnames[:5]:
        sheet = opened[name]
        assert sheet.auto_filter.ref, name
        assert sheet.freeze_panes, name
        assert str(sheet.cell(sheet.max_row, 1).value).startswith("Doubt: 1 of "), name


def test_a_sheet_holds_as_many_rows_as_excel_does() -> None:
    assert xlsxwriter.worksheet.Worksheet().xls_rowmax == MAX_ROWS


def test_a_workbook_says_what_orders_are_and_of_how_many_the_time_is_known(facts: Facts, tmp_path: Path) -> None:
    write_workbook(tmp_path / "book.xlsx", build_report_data(facts, ["vendor"]), made_at=MADE_AT)
    opened = openpyxl.load_workbook(tmp_path / "book.xlsx")
    for name, top in (("Summary", 9), ("By vendor", 1)):
        headings = next(_read_rows(opened[name], top)).keys()
        assert {"Orders with its items", "On time, orders with its items", "OTIF, orders with its items"} <= headings
        assert {"On time known", "Confirmed", "Estimated", "Lost on contract"} <= headings
    how = str(opened["Summary"]["A8"].value)
    assert "On time and OTIF: known for 1 of 34 orders." in how
    assert "judged by those lines alone; the total is of whole orders." in how


def test_targets_without_a_row_are_in_the_workbook(facts: Facts, tmp_path: Path) -> None:
    targets = pl.LazyFrame({"dc": ["DC1"], "otif_rate": [0.5]}).cast({"otif_rate": decimals.RATE})
    write_workbook(tmp_path / "book.xlsx", build_report_data(facts, ["dc"], targets), made_at=MADE_AT)
    opened = openpyxl.load_workbook(tmp_path / "book.xlsx")
    assert str(opened["Summary"]["A7"].value).endswith("1 target without a row (see Doubts).")
    assert opened["Doubts"]["A4"].value == "target: DC1 meets no row of the report; the nearest is DC01"
