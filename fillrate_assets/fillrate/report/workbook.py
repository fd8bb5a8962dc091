"""The report as an Excel workbook: the sheets and charts that an analyst would build by hand.

Values only, no formula: every program shows what was computed. The numbers themselves come from `service_report`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Final

import polars as pl
import xlsxwriter

from fillrate_assets.fillrate.report import labels
from fillrate_assets.fillrate.report.service_report import ReportData

Value = str | int | Decimal | date | None

_INK: Final = "#1F3A4D"
_GOOD: Final = "#2E7D4F"
_BAD: Final = "#C0392B"
_CONFIRMED: Final = "#C0392B"
_ESTIMATED: Final = "#F0B27A"
_MAX_WIDTH: Final = 42
_MAX_BARS: Final = 40
_MAX_VENDORS: Final = 15
_HEADLINE: Final = (
    "ordered_cases",
    "shipped_cases",
    *labels.METRICS,
    "lost_cases",
    "confirmed_cases",
    "estimated_cases",
)
_CHART: Final = {"width": 820, "height": 380}

_HOW_TO_READ: Final = (
    "Rates are sums over sums, never averages of rates. On time and OTIF count orders. Lost = confirmed (ordered, not "
    "shipped) + estimated (demand above what was even ordered while out of stock). Gaps are percentage points."
)


@dataclass(frozen=True)
class _Sheet:
    """A sheet of a workbook with the formats that all sheets share."""

    book: Any
    sheet: Any
    formats: Mapping[str, Any]

    def write_text(self, row: int, column: int, text: str, style: str = "text") -> None:
        self.sheet.write_string(row, column, text, self.formats[style])

    def write_table(
        self, top: int, frame: pl.DataFrame, total: Mapping[str, Value] | None = None, narrowest: int = 11
    ) -> None:
        """Write a frame under a frozen, filtered header; the total below it stays out of the filter."""
        self.sheet.set_row(top, 31)
        for column, name in enumerate(frame.columns):
            heading = labels.format_heading(name) + (" (points)" if name.endswith("_gap") else "")
            self.sheet.write_string(
                top, column, heading, self.formats["head" if _is_text(frame, name) else "head_right"]
            )
            style = self.choose_style(frame, name)
            for row, value in enumerate(frame[name], start=top + 1):
                self.write_value(row, column, value, style)
            if total is not None:
                shown = total.get(name, "TOTAL" if column == 0 else None)
                self.write_value(top + 1 + frame.height, column, shown, f"{style}_total")
            self.sheet.set_column(column, column, max(narrowest, _measure_width(frame, name, heading)))
        if frame.height:
            self.sheet.autofilter(top, 0, top + frame.height, frame.width - 1)

    def write_value(self, row: int, column: int, value: Value, style: str) -> None:
        if value is None:
            self.sheet.write_blank(row, column, None, self.formats[style])
        elif isinstance(value, date):
            self.sheet.write_datetime(row, column, value, self.formats[style])
        elif isinstance(value, str):
            self.sheet.write_string(row, column, value, self.formats[style])
        else:
            self.sheet.write_number(row, column, value, self.formats[style])

    @staticmethod
    def choose_style(frame: pl.DataFrame, name: str) -> str:
        """Choose the number format of a column."""
        if frame.schema[name] == pl.Date:
            return "date"
        if _is_text(frame, name):
            return "text"
        if name.endswith(("_rate", "_target")) or name == "share":
            return "percent"
        if name.endswith("_gap"):
            return "points"
        values = frame[name]
        return "tenths" if values.dtype.is_decimal() and bool((values != values.floor()).any()) else "whole"


def write_workbook(file: Path | IO[bytes], book: ReportData, *, made_at: datetime) -> None:
    """Write the workbook.

    Args:
        file: an .xlsx file, or where its bytes go.
        book: what its sheets show.
        made_at: aware; for the notes.

    """
    with _open_workbook(file, made_at) as new_sheet:
        _write_summary(new_sheet("Summary"), book)
        _write_trend(new_sheet("Trend"), book.trend)
        _write_worst_items(new_sheet("Worst items"), book)
        _write_by_vendor(new_sheet("By vendor"), book)
        _write_by_path(new_sheet("Lost by path"), book)
        _write_notes(new_sheet("Notes"), book, made_at)


@contextmanager
def _open_workbook(file: Path | IO[bytes], made_at: datetime) -> Iterator[Callable[[str], _Sheet]]:
    with xlsxwriter.Workbook(file) as workbook:
        workbook.set_properties({"title": "Fill rate and lost cases", "created": made_at.replace(tzinfo=None)})
        formats = _add_formats(workbook)

        def new_sheet(name: str) -> _Sheet:
            sheet = workbook.add_worksheet(name)
            sheet.hide_gridlines(2)
            sheet.set_landscape()
            sheet.set_paper(9)
            sheet.fit_to_pages(1, 0)
            return _Sheet(workbook, sheet, formats)

        yield new_sheet


def _add_formats(workbook: Any) -> dict[str, Any]:  # noqa: ANN401 - xlsxwriter has no types
    numbers = {
        "text": "@",
        "whole": "#,##0",
        "tenths": "#,##0.0",
        "percent": "0.00%",
        "points": "+0.00;-0.00;0.00",
        "date": "yyyy-mm-dd",
    }
    rule = {"bottom": 1, "bottom_color": "#D9DEE2"}
    head = {"bold": True, "font_color": "white", "bg_color": _INK, "text_wrap": True, "valign": "vcenter"}
    styles: dict[str, dict[str, object]] = {
        "title": {"bold": True, "font_size": 18, "font_color": _INK},
        "heading": {"bold": True, "font_size": 12, "font_color": _INK},
        "subtitle": {"font_color": "#5B6770"},
        "note": {"font_color": "#5B6770", "text_wrap": True, "valign": "top"},
        "term": {"bold": True, "valign": "top"},
        "warning": {"bold": True, "font_color": _BAD},
        "label": {"font_color": "#5B6770", "align": "right"},
        "head": {**head, "indent": 1},
        "head_right": {**head, "align": "right"},
        "good": {"font_color": _GOOD},
        "bad": {"font_color": _BAD, "bold": True},
    }
    for name, number in numbers.items():
        align = {"align": "left", "indent": 1} if name in {"text", "date"} else {}
        styles[name] = {"num_format": number, **align, **rule}
        styles[f"{name}_total"] = {"num_format": number, **align, "bold": True, "top": 2, "top_color": _INK}
        styles[f"{name}_headline"] = {"num_format": number, "bold": True, "font_size": 14, "font_color": _INK}
    return {name: workbook.add_format(style) for name, style in styles.items()}


def _write_summary(page: _Sheet, book: ReportData) -> None:
    page.write_text(0, 0, "Fill rate and lost cases", "title")
    page.write_text(1, 0, _format_period(book), "subtitle")
    total = book.total.row(0, named=True) if book.total.height else {}
    headline = [name for name in _HEADLINE if total.get(name) is not None]
    for column, name in enumerate(headline):
        page.write_text(3, column, labels.format_heading(name), "label")
        page.write_value(4, column, total[name], f"{page.choose_style(book.total, name)}_headline")
    if book.held:
        page.write_text(
            6,
            0,
            f"{labels.format_count(len(book.held), 'ship day')} of a DC held: no lost cases there (see Notes).",
            "warning",
        )
    top = 8
    page.sheet.merge_range(7, 0, 7, 11, _HOW_TO_READ, page.formats["note"])
    page.sheet.set_row(7, 32)
    page.write_table(top, _name_blank_groups(book.groups, book.by), total, narrowest=14)
    _add_colours(page, book.groups, top)
    page.sheet.freeze_panes(top + 1, len(book.by))
    page.sheet.repeat_rows(top)


def _add_colours(page: _Sheet, frame: pl.DataFrame, top: int) -> None:
    if frame.is_empty():
        return
    first, last = top + 1, top + frame.height
    for column, name in enumerate(frame.columns):
        if name.endswith("_gap"):
            for criteria, style in ((">=", "good"), ("<", "bad")):
                rule = {"type": "cell", "criteria": criteria, "value": 0, "format": page.formats[style]}
                # A blank counts as 0 for Excel: a group without a target has no colour.
                page.sheet.conditional_format(first, column, last, column, {"type": "blanks", "stop_if_true": True})
                page.sheet.conditional_format(first, column, last, column, rule)
        elif name == "case_fill_rate":
            scale = {"type": "3_color_scale", "min_color": "#F5B7B1", "mid_color": "#FCF3CF", "max_color": "#ABEBC6"}
            page.sheet.conditional_format(first, column, last, column, scale)
        elif name == "lost_cases":
            bar = {"type": "data_bar", "bar_color": "#E6B0AA"}
            page.sheet.conditional_format(first, column, last, column, bar)


def _write_trend(page: _Sheet, trend: pl.DataFrame) -> None:
    page.write_table(0, trend)
    page.sheet.freeze_panes(1, 1)
    if trend.is_empty():
        return
    beside = trend.width + 1
    days = {
        "date_axis": True,
        "num_format": "d mmm",
        "major_unit": 7,
        "major_unit_type": "days",
        "num_font": {"size": 9},
    }
    fill = page.book.add_chart({"type": "line"})
    fill.add_series({**_build_series(page, trend, "case_fill_rate"), "line": {"color": _INK, "width": 2}})
    _style_chart(fill, "Case fill by ship date")
    fill.set_legend({"none": True})
    lowest = trend["case_fill_rate"].drop_nulls().min()
    fill.set_y_axis(_build_axis("0%", int(lowest * 20) / 20 if isinstance(lowest, Decimal) else 0, 1))
    fill.set_x_axis(days)
    page.sheet.insert_chart(1, beside, fill)
    if trend["lost_cases"].count():
        lost = page.book.add_chart({"type": "column", "subtype": "stacked"})
        for name, colour in (("confirmed_cases", _CONFIRMED), ("estimated_cases", _ESTIMATED)):
            lost.add_series({**_build_series(page, trend, name), "fill": {"color": colour}, "gap": 40})
        _style_chart(lost, "Lost cases by ship date")
        lost.set_y_axis(_build_axis("#,##0"))
        lost.set_x_axis(days)
        page.sheet.insert_chart(22, beside, lost)


def _write_worst_items(page: _Sheet, book: ReportData) -> None:
    rows = book.worst_items.with_columns(
        pl.col("reason_code").map_elements(labels.format_reason, return_dtype=pl.String, skip_nulls=True)
    )
    page.write_table(0, _name_blank_groups(rows, ["vendor", "department"]))
    _add_colours(page, rows, 0)
    page.sheet.freeze_panes(1, 2)


def _write_by_vendor(page: _Sheet, book: ReportData) -> None:
    page.write_table(
        0, _name_blank_groups(book.by_vendor, ["vendor"]), book.total.row(0, named=True) if book.total.height else None
    )
    _add_colours(page, book.by_vendor, 0)
    page.sheet.freeze_panes(1, 1)
    bars = min(book.by_vendor.height, _MAX_VENDORS)
    if book.by_vendor["lost_cases"].count() > 1:
        chart = _add_lost_bars(
            page,
            book.by_vendor.head(bars),
            "Lost cases by vendor" + (f", worst {bars}" if bars < book.by_vendor.height else ""),
            0,
        )
        page.sheet.insert_chart(1, book.by_vendor.width + 1, chart)


def _write_by_path(page: _Sheet, book: ReportData) -> None:
    rows = book.by_path.select(
        "dc",
        "path",
        pl.col("path").replace_strict(labels.PATHS, return_dtype=pl.String).alias("meaning"),
        pl.exclude("dc", "path"),
    )
    page.write_table(0, rows)
    page.sheet.freeze_panes(1, 2)
    if rows.is_empty():
        page.write_text(2, 0, "No lost cases on record.", "text")
        return
    chart = _add_lost_bars(page, rows.head(_MAX_BARS), "Lost cases by DC and path", 1)
    page.sheet.insert_chart(rows.height + 3, 0, chart)


def _write_notes(page: _Sheet, book: ReportData, made_at: datetime) -> None:
    page.sheet.set_column(0, 0, 16)
    page.sheet.set_column(1, 1, 110)
    page.write_text(0, 0, "Notes", "title")
    page.write_text(1, 0, f"{_format_period(book)}. Written {made_at:%Y-%m-%d %H:%M %Z}.", "subtitle")
    held = [("", line.removeprefix("held: ")) for line in labels.format_days_by_reason(book.held)]
    blocks = [
        ("What the terms mean", list(labels.DEFINITIONS.items())),
        ("What the numbers cannot show", [("", sentence) for sentence in labels.LIMITATIONS]),
        ("Days that are held", held or [("", "None.")]),
    ]
    row = 3
    for heading, entries in blocks:
        page.write_text(row, 0, heading, "heading")
        for place, (term, sentence) in enumerate(entries, start=row + 1):
            page.write_text(place, 0, term, "term")
            page.write_text(place, 1, sentence, "note")
        row += len(entries) + 2


def _add_lost_bars(page: _Sheet, rows: pl.DataFrame, title: str, last_category: int) -> Any:  # noqa: ANN401
    """Chart confirmed and estimated lost cases, a bar per row of a table that begins at the top of its sheet."""
    chart = page.book.add_chart({"type": "bar", "subtype": "stacked"})
    for name, colour in (("confirmed_cases", _CONFIRMED), ("estimated_cases", _ESTIMATED)):
        chart.add_series({**_build_series(page, rows, name, last_category), "fill": {"color": colour}, "gap": 40})
    _style_chart(chart, title)
    chart.set_x_axis(_build_axis("#,##0"))
    # The first row on top; the values stay at the bottom, where the reversed axis ends.
    chart.set_y_axis({"reverse": True, "crossing": "max", "num_font": {"size": 9}})
    chart.set_size({**_CHART, "height": max(320, 110 + 22 * rows.height)})
    return chart


def _build_series(page: _Sheet, frame: pl.DataFrame, name: str, last_category: int = 0) -> dict[str, object]:
    """Build the series of a table's column, by its first columns; the table begins at the top of its sheet."""
    sheet, column = page.sheet.get_name(), frame.columns.index(name)
    return {
        "name": labels.format_heading(name),
        "categories": [sheet, 1, 0, frame.height, last_category],
        "values": [sheet, 1, column, frame.height, column],
    }


def _style_chart(chart: Any, title: str) -> None:  # noqa: ANN401
    chart.set_title({"name": title, "name_font": {"size": 12, "color": _INK}})
    chart.set_legend({"position": "bottom"})
    chart.set_size(_CHART)


def _build_axis(number: str, lowest: float | None = None, highest: float | None = None) -> dict[str, object]:
    grid = {"visible": True, "line": {"color": "#E3E7EA"}}
    return {"num_format": number, "min": lowest, "max": highest, "major_gridlines": grid, "line": {"none": True}}


def _format_period(book: ReportData) -> str:
    if book.first is None:
        return "No order lines"
    named = ", ".join(book.dcs[:8]) + (", ..." if len(book.dcs) > 8 else "")  # noqa: PLR2004 - one line
    return f"Ship dates {book.first} to {book.last}, {labels.format_count(len(book.dcs), 'DC')}: {named}"


def _name_blank_groups(frame: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Name groups without a name, so that they can be read and filtered."""
    return frame.with_columns(pl.col(name).fill_null("(none)") for name in columns if frame.schema[name] == pl.String)


def _is_text(frame: pl.DataFrame, name: str) -> bool:
    return frame.schema[name] in {pl.String, pl.Date}


def _measure_width(frame: pl.DataFrame, name: str, heading: str) -> int:
    """Measure the room for a column's longest text, its thousands separators and the first word of its heading."""
    longest = frame[name].cast(pl.String).str.len_chars().max()
    needed = max(longest if isinstance(longest, int) else 0, len(heading.split(maxsplit=1)[0])) + 3
    return min(needed, _MAX_WIDTH)
