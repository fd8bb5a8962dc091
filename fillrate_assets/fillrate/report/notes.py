"""Notes beside a report: what its columns are, what it leaves out, and what is in doubt. Every output has them."""

from __future__ import annotations

from collections.abc import Iterator

from fillrate_assets.fillrate.report import labels
from fillrate_assets.fillrate.report.doubts import format_doubts
from fillrate_assets.fillrate.report.methods import format_compared, format_methods
from fillrate_assets.fillrate.report.service_report import Report


def format_notes(report: Report) -> list[str]:
    """Format all that people must read beside a report."""
    return [*format_description(report), *format_warnings(report)]


def format_file_notes(report: Report) -> list[str]:
    """Format what people must read beside a file of nothing but rows: what is wrong, and whose estimates are mixed."""
    return [*_format_mixed(report), *format_warnings(report)]


def format_warnings(report: Report) -> list[str]:
    """Format what is wrong beside a report: targets that meet no row, rejects, doubtful and held days."""
    return [*report.unmet, *format_doubts(report.doubts)]


def format_description(report: Report) -> Iterator[str]:
    """Format what a report is of, and what its columns are."""
    for what, names in report.view.filters.items():
        if names and what != "dc":
            yield f"only {what} {', '.join('(none)' if name is None else name for name in names)}"
    if report.left_out:
        yield f"{report.groups.height:,} of {report.groups.height + report.left_out:,} groups; the total is of all"
    if report.compared:
        yield f"change: since {report.compared[0]} to {report.compared[1]}, of rates in percentage points"
    yield from format_methods(report.methods)
    yield from _format_change(report)
    for row in report.total.iter_rows(named=True):
        if row["orders"] is not None and row["orders_timed"] < row["orders"]:
            orders = labels.format_count(row["orders"], "order")
            yield f"On time and OTIF: known for {row['orders_timed']:,} of {orders}"
    if report.parted:
        whole = "" if report.total_parted else "; the total is of whole orders"
        yield f"Order fill, On time and OTIF: of orders with its items, judged by those lines alone{whole}"


def _format_mixed(report: Report) -> Iterator[str]:
    if len(report.methods.used) > 1:
        yield from format_methods(report.methods)
    yield from _format_change(report)


def _format_change(report: Report) -> Iterator[str]:
    if report.methods_before is not None:
        yield from format_compared(report.methods, report.methods_before)
