"""Files of exactly what a page shows: a table as CSV or as an Excel workbook.

A spreadsheet would run a text that looks like a formula, and sources can set texts: in CSV such a text gets a quote in
front, as OWASP advises against CSV injection; in a workbook it is stored as text. Which rows belongs to the pages.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

import xlsxwriter
from starlette.responses import Response

from fillrate_assets.core.shown_text import escape_lines
from fillrate_assets.web.tables import Cases, Cell, Change, Link, Points, Share, Table, format_cell

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
"""With what a text begins that a spreadsheet takes for more than text."""

_MAX_CELL: Final = 32_767
"""Characters of a cell of Excel."""

_WIDEST: Final = 60
_NUMBERS: Final = {Cases: "#,##0.0", Change: "+#,##0.0;-#,##0.0;0.0", Share: "0.00%", Points: "+0.00;-0.00;0.00"}
"""How numbers of a kind read in a workbook, which has all of their places."""


def guard_text(text: str) -> str:
    """Put a quote in front of a text that a spreadsheet would run."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def write_csv(table: Table) -> bytes:
    """Write a table as CSV: UTF-8 with a mark, by which Excel knows it; times as ISO 8601."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([guard_text(each) for each in table.headings])
    writer.writerows([_to_csv(cell) for cell in row] for row in table.rows)
    return text.getvalue().encode("utf-8-sig")


def write_xlsx(table: Table) -> bytes:
    """Write a table as a workbook of one sheet."""
    return write_sheets({"Sheet1": table})


def write_sheets(tables: Mapping[str, Table]) -> bytes:
    """Write tables as a workbook, each on a sheet: numbers and times as such, everything else as text, no formula."""
    buffer = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(buffer, options) as book:
        formats: dict[Any, Any] = {
            "heading": book.add_format({"bold": True, "bottom": 1}),
            "datetime": book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}),
            "date": book.add_format({"num_format": "yyyy-mm-dd"}),
            **{kind: book.add_format({"num_format": number}) for kind, number in _NUMBERS.items()},
        }
        for name, table in tables.items():
            _fill_sheet(book.add_worksheet(name), table, formats)
    return buffer.getvalue()


XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
FORMATS: Final[Mapping[str, tuple[Callable[[Table], bytes], str]]] = {
    "csv": (write_csv, "text/csv; charset=utf-8"),
    "xlsx": (write_xlsx, XLSX),
}
"""By the ending of a file's name, what writes it and its media type."""


def make_file_name(text: str, otherwise: str) -> str:
    """Make the name of a file, of letters, digits and dashes, without its ending."""
    plain = "".join(each if each.isascii() and each.isalnum() else "-" for each in text)
    return plain.strip("-")[:80] or otherwise


def respond_with_file(table: Table, name: str, form: str) -> Response:
    """Respond with a table as a file.

    Args:
        table: what is shown.
        name: of the file, without its ending; of letters, digits and dashes.
        form: one of `FORMATS`.

    """
    write, media_type = FORMATS[form]
    headers = {"Content-Disposition": f'attachment; filename="{name}.{form}"'}
    return Response(write(table), media_type=media_type, headers=headers)


def _fill_sheet(sheet: Any, table: Table, formats: Mapping[Any, Any]) -> None:  # noqa: ANN401 - xlsxwriter has no types
    for column, heading in enumerate(table.headings):
        longest = max([len(heading), *(len(format_cell(row[column])) for row in table.rows)])
        sheet.set_column(column, column, min(longest + 2, _WIDEST))
        sheet.write_string(0, column, heading, formats["heading"])
    for number, row in enumerate(table.rows, start=1):
        for column, cell in enumerate(row):
            _write_cell(sheet, number, column, cell, formats)
    sheet.freeze_panes(1, 0)


def _get_value(cell: Cell) -> Cell:
    return cell.value if isinstance(cell, Link) and cell.value is not None else cell


def _to_csv(cell: Cell) -> str:
    cell = _get_value(cell)
    if isinstance(cell, datetime):
        return f"{cell.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    if isinstance(cell, (int, Decimal)):
        return str(cell)
    return guard_text(escape_lines(format_cell(cell)))


def _write_cell(sheet: Any, row: int, column: int, cell: Cell, formats: Mapping[Any, Any]) -> None:  # noqa: ANN401 - xlsxwriter has no types
    cell = _get_value(cell)
    if isinstance(cell, (int, Decimal)):
        sheet.write_number(row, column, cell, formats.get(type(cell)))
    elif isinstance(cell, datetime):
        # A workbook knows no zones.
        sheet.write_datetime(row, column, cell.astimezone(UTC).replace(tzinfo=None), formats["datetime"])
    elif isinstance(cell, date):
        sheet.write_datetime(row, column, cell, formats["date"])
    elif cell is not None:
        sheet.write_string(row, column, escape_lines(format_cell(cell))[:_MAX_CELL])
