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

from fillrate_assets.core.shown_text import escape_lines
from fillrate_assets.fillrate.report import labels
from fillrate_assets.fillrate.report.doubts import format_rejects, format_share, format_summary, summarize_rejects
from fillrate_assets.fillrate.report.notes import format_description
from fillrate_assets.fillrate.report.service_report import BASIS, Report, ReportData, is_points

Value = str | int | Decimal | date | None

_INK: Final = "#1F3A4D"
_GOOD: Final = "#2E7D4F"
_BAD: Final = "#C0392B"
_CONFIRMED: Final = "#C0392B"
_ESTIMATED: Final = "#F0B27A"
MAX_ROWS: Final = 1_048_576
"""Rows of a sheet of Excel."""
_BELOW: Final = 4
"""Rows that a table takes besides its own: its header, its total or where it continues, a blank, what is in doubt."""
_LINES_OF_HEAD: Final = 3
_NOTE_WIDTH: Final = 170
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
class ExtraSheet:
    """A sheet of another area: its name, its rows, and what to know of them."""

    name: str
    rows: pl.DataFrame
    notes: Sequence[str]


@dataclass(frozen=True)
class _Part:
    """The rows of a table that are on one sheet, below the header in row `top`."""

    page: _Sheet
    top: int
    rows: pl.DataFrame


@dataclass(frozen=True)
class _Sheet:
    """A sheet of a workbook with the formats that all sheets share."""

    book: Any
    sheet: Any
    formats: Mapping[str, Any]
    max_rows: int
    """Rows that a sheet holds; a longer table continues on further sheets."""
    add: Callable[[str], _Sheet]

    def write_text(self, row: int, column: int, text: str, style: str = "text") -> None:
        self.sheet.write_string(row, column, escape_lines(text), self.formats[style])

    def write_table(
        self,
        top: int,
        frame: pl.DataFrame,
        total: Mapping[str, Value] | None = None,
        *,
        note: str = "",
        narrowest: int = 11,
        parted: bool = False,
    ) -> list[_Part]:
        """Write a frame under a frozen, filtered header; the total and a note below it stay out of the filter.

        Args:
            top: row of the header.
            frame: the rows.
            total: the row of everything, below the last one.
            note: what is in doubt of the table; below it on each of its sheets.
            narrowest: smallest width of a column.
            parted: whether the groups hold parts of orders.

        Returns:
            Its rows by sheet: what has no room on this one is on further ones.

        """
        headings = {
            name: labels.format_heading(name, parted=parted) + (" (points)" if is_points(name) else "")
            for name in frame.columns
        }
        styles = {name: self.choose_style(frame, name) for name in frame.columns}
        widths = {name: max(narrowest, _measure_width(frame, name, headings[name])) for name in frame.columns}
        parts: list[_Part] = []
        written = 0
        while not parts or written < frame.height:
            number = len(parts) + 1
            page = self if number == 1 else self.add(f"{self.sheet.get_name()} {number}")
            first = top if number == 1 else 0
            rows = frame.slice(written, self.max_rows - first - _BELOW)
            written += rows.height
            page._write_part(first, rows, headings, styles, widths)  # noqa: SLF001 - of this class
            below = first + 1 + rows.height
            if written < frame.height:
                page.write_text(below, 0, f"continues on sheet {self.sheet.get_name()} {number + 1}", "subtitle")
            elif total is not None:
                for column, name in enumerate(frame.columns):
                    value = total.get(name, "TOTAL" if column == 0 else None)
                    page.write_value(below, column, value, f"{styles[name]}_total")
            if note:
                page.write_text(below + 2, 0, note, "warning")
            parts.append(_Part(page, first, rows))
        return parts

    def _write_part(
        self,
        top: int,
        rows: pl.DataFrame,
        headings: Mapping[str, str],
        styles: Mapping[str, str],
        widths: Mapping[str, int],
    ) -> None:
        lines = max((-(-len(heading) // widths[name]) for name, heading in headings.items()), default=1)
        self.sheet.set_row(top, 31 if lines < _LINES_OF_HEAD else 16 * (lines + 1))
        for column, name in enumerate(rows.columns):
            head = "head" if _is_text(rows, name) else "head_right"
            self.sheet.write_string(top, column, headings[name], self.formats[head])
            for row, value in enumerate(rows[name], start=top + 1):
                self.write_value(row, column, value, styles[name])
            self.sheet.set_column(column, column, widths[name])
        if rows.height:
            self.sheet.autofilter(top, 0, top + rows.height, rows.width - 1)

    def write_value(self, row: int, column: int, value: Value, style: str) -> None:
        if value is None:
            self.sheet.write_blank(row, column, None, self.formats[style])
        elif isinstance(value, date):
            self.sheet.write_datetime(row, column, value, self.formats[style])
        elif isinstance(value, str):
            self.sheet.write_string(row, column, escape_lines(value), self.formats[style])
        else:
            self.sheet.write_number(row, column, value, self.formats[style])

    @staticmethod
    def choose_style(frame: pl.DataFrame, name: str) -> str:
        """Choose the number format of a column."""
        if frame.schema[name] == pl.Date:
            return "date"
        if _is_text(frame, name):
            return "text"
        if is_points(name):
            return "points"
        if name.endswith(("_rate", "_rate_before", "_target", "share")):
            return "percent"
        values = frame[name]
        return "tenths" if values.dtype.is_decimal() and bool((values != values.floor()).any()) else "whole"


def write_workbook(
    file: Path | IO[bytes],
    book: ReportData,
    *,
    made_at: datetime,
    max_rows: int = MAX_ROWS,
    more: Sequence[ExtraSheet] = (),
) -> None:
    """Write the workbook.

    Args:
        file: an .xlsx file, or where its bytes go.
        book: what its sheets show.
        made_at: aware; for the notes.
        max_rows: rows of a sheet; longer tables continue on further sheets.
        more: sheets of other areas, before the doubts.

    """
    with _open_workbook(file, made_at, max_rows) as new_sheet:
        _write_summary(new_sheet("Summary"), book)
        _write_trend(new_sheet("Trend"), book)
        _write_worst_items(new_sheet("Worst items"), book)
        _write_by_vendor(new_sheet("By vendor"), book)
        _write_by_path(new_sheet("Lost by path"), book)
        for each in more:
            _write_extra(new_sheet(each.name), each)
        _write_doubts(new_sheet("Doubts"), book)
        _write_notes(new_sheet("Notes"), book, made_at)


@contextmanager
def _open_workbook(file: Path | IO[bytes], made_at: datetime, max_rows: int) -> Iterator[Callable[[str], _Sheet]]:
    with xlsxwriter.Workbook(file) as workbook:
        workbook.set_properties({"title": "Fill rate and lost cases", "created": made_at.replace(tzinfo=None)})
        formats = _add_formats(workbook)

        def new_sheet(name: str) -> _Sheet:
            sheet = workbook.add_worksheet(name)
            sheet.hide_gridlines(2)
            sheet.set_landscape()
            sheet.set_paper(9)
            sheet.fit_to_pages(1, 0)
            return _Sheet(workbook, sheet, formats, max_rows, new_sheet)

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
        "plain": {},
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
    report = book.report
    page.write_text(0, 0, "Fill rate and lost cases", "title")
    page.write_text(1, 0, _format_period(book), "subtitle")
    total = _take_total(report)
    headline = [name for name in _HEADLINE if total.get(name) is not None]
    for column, name in enumerate(headline):
        page.write_text(3, column, labels.format_heading(name, parted=report.total_parted), "label")
        page.write_value(4, column, total[name], f"{page.choose_style(report.total, name)}_headline")
    page.write_text(6, 0, _format_warning(report), "warning")
    top = 8
    how = " ".join([_HOW_TO_READ, *[f"{each[0].upper()}{each[1:]}." for each in format_description(report)]])
    page.sheet.merge_range(7, 0, 7, 11, how, page.formats["note"])
    page.sheet.set_row(7, 16 * max(2, -(-len(how) // _NOTE_WIDTH)))
    groups = _name_blank_groups(_drop_plain(report.groups, report), report.by)
    parts = page.write_table(top, groups, total, note=_format_note(book), narrowest=14, parted=report.parted)
    for part in parts:
        _add_colours(part)
        part.page.sheet.freeze_panes(part.top + 1, len(report.by))
        part.page.sheet.repeat_rows(part.top)


def _take_total(report: Report) -> Mapping[str, Value]:
    return report.total.row(0, named=True) if report.total.height else {}


def _drop_plain(rows: pl.DataFrame, report: Report) -> pl.DataFrame:
    """Drop columns that say nothing here: what the headings say, and how often the time is known if that is always."""
    return rows.drop([BASIS, *(["orders_timed"] if report.all_timed else [])], strict=False)


def _format_warning(report: Report) -> str:
    """Format what a reader of the summary must know before its numbers; the sheets that it names say more."""
    doubts = report.doubts
    parts = []
    if doubts.held:
        days = labels.format_count(len(doubts.held), "ship day")
        lost = "lost cases as last published there" if doubts.last_good else "no lost cases there"
        parts.append(f"{days} of a DC held: {lost} (see Notes).")
    if doubts.doubtful:
        parts.append(f"{labels.format_count(len(doubts.doubtful), 'ship day')} of a DC doubtful (see Doubts).")
    if doubts.rejected.height:
        rejected = ", ".join(map(format_share, summarize_rejects(doubts)))
        parts.append(f"Rejected: {rejected} (see Doubts).")
    if report.unmet:
        parts.append(f"{labels.format_count(len(report.unmet), 'target')} without a row (see Doubts).")
    return " ".join(parts)


def _format_note(book: ReportData) -> str:
    """Format what is in doubt of a table's numbers, for below it."""
    summary = format_summary(book.report.doubts)
    return f"{summary} See sheet Doubts." if summary else ""


def _add_colours(part: _Part) -> None:
    frame, page = part.rows, part.page
    if frame.is_empty():
        return
    first, last = part.top + 1, part.top + frame.height
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


def _write_trend(page: _Sheet, book: ReportData) -> None:
    whole = _drop_plain(book.trend, book.report)
    parts = page.write_table(0, whole, note=_format_note(book), parted=book.report.total_parted)
    for part in parts:
        part.page.sheet.freeze_panes(1, 1)
    trend = parts[0].rows
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
    for part in page.write_table(0, _name_blank_groups(rows, ["vendor", "department"]), note=_format_note(book)):
        _add_colours(part)
        part.page.sheet.freeze_panes(1, 2)


def _write_by_vendor(page: _Sheet, book: ReportData) -> None:
    rows = _name_blank_groups(_drop_plain(book.by_vendor, book.report), ["vendor"])
    total = _take_total(book.report) or None
    parts = page.write_table(0, rows, total, note=_format_note(book), parted=True)
    for part in parts:
        _add_colours(part)
        part.page.sheet.freeze_panes(1, 1)
    bars = min(parts[0].rows.height, _MAX_VENDORS)
    if rows["lost_cases"].count() > 1:
        chart = _add_lost_bars(
            page,
            rows.head(bars),
            "Lost cases by vendor" + (f", worst {bars}" if bars < rows.height else ""),
            0,
        )
        page.sheet.insert_chart(1, rows.width + 1, chart)


def _write_by_path(page: _Sheet, book: ReportData) -> None:
    rows = book.by_path.select(
        "dc",
        "path",
        pl.col("path").replace_strict(labels.PATHS, return_dtype=pl.String).alias("meaning"),
        pl.exclude("dc", "path"),
    )
    if rows.is_empty():
        page.write_table(0, rows)
        page.write_text(2, 0, "No lost cases on record.", "text")
        page.write_text(4, 0, _format_note(book), "warning")
        page.sheet.freeze_panes(1, 2)
        return
    parts = page.write_table(0, rows, note=_format_note(book))
    for part in parts:
        part.page.sheet.freeze_panes(1, 2)
    shown = parts[0].rows
    chart = _add_lost_bars(page, shown.head(_MAX_BARS), "Lost cases by DC and path", 1)
    if len(parts) == 1:
        page.sheet.insert_chart(shown.height + 5, 0, chart)
    else:
        page.sheet.insert_chart(1, shown.width + 1, chart)


def _write_doubts(page: _Sheet, book: ReportData) -> None:
    """Write what is in doubt of all sheets: rejects by reason, and each doubtful or held day."""
    report = book.report
    page.write_text(0, 0, "Doubts", "title")
    page.write_text(
        1, 0, "No number of this workbook has the rejected rows. A held day has no new lost cases.", "subtitle"
    )
    row = 3
    for line in [*report.unmet, *format_rejects(report.doubts)] or ["No row was rejected."]:
        page.write_text(row, 0, line, "plain")
        row += 1
    days = [
        (dc, day, what, why)
        for what, days in (
            ("doubtful", report.doubts.doubtful),
            ("held", report.doubts.held),
            ("behind the averages", report.doubts.behind),
        )
        for (dc, day), why in days.items()
    ]
    columns = {"dc": pl.String, "ship_date": pl.Date, "state": pl.String, "why": pl.String}
    if not days:
        page.write_text(row + 1, 0, "No day is doubtful or held.", "plain")
    for part in page.write_table(row + 1, pl.DataFrame(sorted(days), columns, orient="row")) if days else []:
        part.page.sheet.freeze_panes(part.top + 1, 0)


def _write_extra(page: _Sheet, extra: ExtraSheet) -> None:
    for row, line in enumerate(extra.notes):
        page.write_text(row, 0, line, "subtitle")
    for part in page.write_table(len(extra.notes) + bool(extra.notes), extra.rows):
        part.page.sheet.freeze_panes(part.top + 1, 2)


def _write_notes(page: _Sheet, book: ReportData, made_at: datetime) -> None:
    page.sheet.set_column(0, 0, 16)
    page.sheet.set_column(1, 1, 110)
    page.write_text(0, 0, "Notes", "title")
    page.write_text(1, 0, f"{_format_period(book)}. Written {made_at:%Y-%m-%d %H:%M %Z}.", "subtitle")
    held = [("", line.removeprefix("held: ")) for line in labels.format_days_by_reason(book.report.doubts.held)]
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
    """Name groups without a name, so that they can be read and filtered, and say what reason codes mean."""
    if "reason" in columns:
        meant = pl.col("reason").map_elements(labels.format_reason, return_dtype=pl.String, skip_nulls=True)
        frame = frame.with_columns(meant)
    return frame.with_columns(pl.col(name).fill_null("(none)") for name in columns if frame.schema[name] == pl.String)


def _is_text(frame: pl.DataFrame, name: str) -> bool:
    return frame.schema[name] in {pl.String, pl.Date}


def _measure_width(frame: pl.DataFrame, name: str, heading: str) -> int:
    """Measure the room for a column's longest text, its thousands separators and the first word of its heading."""
    longest = frame[name].cast(pl.String).str.len_chars().max()
    needed = max(longest if isinstance(longest, int) else 0, len(heading.split(maxsplit=1)[0])) + 3
    return min(needed, _MAX_WIDTH)
