"""Files of what a page shows: the same rows, and nothing that a spreadsheet runs."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import openpyxl
import pytest

from fillrate_assets.web.exports import guard_text
from fillrate_assets.web.operations.views import TABLES, VIEWS
from fillrate_assets_tests.factories.operations import make_operations


@pytest.mark.parametrize("name", TABLES)
def test_a_file_has_the_rows_of_its_page_and_no_formula(tmp_path: Path, name: str) -> None:
    browser = make_operations(tmp_path).open("operator")
    view = next(view for view, (_, tables) in VIEWS.items() if name in tables)
    page = browser.get(f"/operations/{view}").text
    part = page.split(f'aria-labelledby="{name}"')[1].split("</section>")[0]
    shown = part.count('<tr role="row">') - 1
    made = browser.get(f"/operations/files/{name}.csv")
    assert made.headers["content-disposition"] == f'attachment; filename="{name}.csv"'
    heading, *rows = csv.reader(io.StringIO(made.content.decode("utf-8-sig")))
    assert len(rows) == max(shown, 0)
    cells = [cell for row in rows for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@", "-"))]
    book = openpyxl.load_workbook(io.BytesIO(browser.get(f"/operations/files/{name}.xlsx").content))
    sheet = [*book.worksheets[0].iter_rows()]
    assert [cell.value for cell in sheet[0]] == heading
    assert len(sheet) == len(rows) + 1
    assert not [cell for row in sheet for cell in row if cell.data_type == "f"]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_a_text_that_a_spreadsheet_would_run_gets_a_quote(text: str) -> None:
    assert guard_text(text) == f"'{text}"
    assert guard_text(f"x{text}") == f"x{text}"
