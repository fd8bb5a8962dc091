"""Reader of Excel workbooks: the cells of one sheet as text, as a CSV of them would have it."""

from __future__ import annotations

import json
import warnings
from datetime import date, datetime, time
from pathlib import Path
from typing import Final

import polars as pl

from fillrate_assets.core import extras
from fillrate_assets.core.errors import ContractViolation
from fillrate_assets.storage.csv_reader import MalformedRow, name_columns
from fillrate_assets.storage.file_mapping import FileMapping

_MIDNIGHT: Final = time()


def read_xlsx(file: Path, mapping: FileMapping) -> tuple[pl.DataFrame, list[MalformedRow]]:
    """Read one sheet of a workbook; blank rows are left out.

    Raises:
        ContractViolation: there is no such sheet, or it has no header.
        PermanentFailure: openpyxl is not installed.

    """
    extras.require("excel", f"{file}")
    import openpyxl  # noqa: PLC0415 - an extra

    with warnings.catch_warnings():
        # It warns of styles and rules of a workbook that it does not know; none of them is a value.
        warnings.simplefilter("ignore")
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        try:
            if mapping.sheet is not None and mapping.sheet not in book.sheetnames:
                msg = f"{file}: there is no sheet {mapping.sheet}; found {', '.join(book.sheetnames)}"
                raise ContractViolation(msg)
            sheet = book[mapping.sheet] if mapping.sheet is not None else book.worksheets[0]
            rows = [[_write(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]
        finally:
            book.close()
    return _build_frame(file, rows[mapping.skip_lines :], mapping)


def _build_frame(
    file: Path, rows: list[list[str | None]], mapping: FileMapping
) -> tuple[pl.DataFrame, list[MalformedRow]]:
    numbered = [
        (number, row)
        for number, row in enumerate(rows, start=mapping.skip_lines + 1)
        if any(cell is not None for cell in row)
    ]
    if not numbered:
        msg = f"{file}: the sheet is empty, without even a header"
        raise ContractViolation(msg)
    if mapping.header:
        (_, header), *numbered = numbered
    else:
        header = [str(number) for number in range(1, max(len(row) for _, row in numbered) + 1)]
    while header and header[-1] is None:
        header.pop()
    width, good, ragged = len(header), [], []
    for number, row in numbered:
        if any(cell is not None for cell in row[width:]):
            why = f"row {number}: a value beyond the {width} columns of the header"
            ragged.append(MalformedRow(f"row {number}", why, json.dumps({"cells": row}, ensure_ascii=False)))
        else:
            good.append((row + [None] * width)[:width])
    positions = [f"column_{i}" for i in range(width)]
    frame = pl.DataFrame(
        {name: [row[i] for row in good] for i, name in enumerate(positions)}, schema=dict.fromkeys(positions, pl.String)
    )
    return name_columns(frame, [name or "" for name in header]), ragged


def _write(cell: object) -> str | None:
    """Write a cell as text: whole numbers without a fraction, midnights as dates."""
    match cell:
        case None | "":
            return None
        case bool():
            return "Y" if cell else "N"
        case float() if cell.is_integer():
            return str(int(cell))
        case datetime():
            return str(cell.date()) if cell.time() == _MIDNIGHT else cell.isoformat(" ")
        case date() | time():
            return cell.isoformat()
        case _:
            return str(cell)
