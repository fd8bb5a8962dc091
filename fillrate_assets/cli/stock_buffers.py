"""The stock buffers of an environment as commands read them, and the sheets of a workbook that show them."""

from __future__ import annotations

from datetime import date

import polars as pl

from fillrate_assets.cli.tour import Findings
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.report.workbook import ExtraSheet
from fillrate_assets.fillrate.rules.accountability import lacks_stock
from fillrate_assets.replenishment.report import order_list, scores
from fillrate_assets.replenishment.report.queries import FillRateTables, StockBuffers
from fillrate_assets.settings import Settings


def open_buffers(chosen: Settings) -> StockBuffers:
    """Open the stock buffers of an environment, beside what its fill rates say was lost for want of stock."""
    for_want = lacks_stock(pl.col("path"), pl.col("reason_code"))
    return StockBuffers.from_settings(chosen, FillRateTables(schema.LOST_CASES, schema.ITEMS, for_want))


def make_sheets(
    chosen: Settings, dcs: tuple[str, ...], vendors: tuple[str, ...], items: tuple[str, ...], last: date | None
) -> list[ExtraSheet]:
    """Make the sheets of stock buffers of a workbook: what to order now, and what would have saved most in the week.

    Args:
        chosen: the settings.
        dcs: only these; none for all, as of the others.
        vendors: only theirs.
        items: only these.
        last: the day that the week of the savings ends on; by default that of the latest recommendations.

    """
    buffers = open_buffers(chosen)
    rows = buffers.read(dcs or None)
    for name, values in (("vendor", vendors), ("item", items)):
        rows = rows.filter(pl.col(name).is_in(values)) if values else rows
    if rows.is_empty():
        return []
    latest = max(rows["ship_date"])
    service = buffers.store.read_service(dcs or None)
    notes = [
        f"At the beginning of {', '.join(map(str, sorted(set(rows['ship_date']))))}, in cases",
        *order_list.describe_recommendations(rows),
        *scores.summarize_service(service),
        *scores.format_decisions(buffers.read_decided_service(dcs or None, None, None)),
    ]
    ends = min(last or latest, latest)
    saved = buffers.read_savings(dcs or None, ends, "department")
    for name, values in (("vendor", vendors), ("item", items)):
        saved = saved.filter(pl.col(name).is_in(values)) if values else saved
    week = f"The 50 of each department that would have saved most, of the periods that ended in the week to {ends}"
    return [
        ExtraSheet("Stock buffers", order_list.make_sheet(rows, buffers.read_pack_sizes()), notes),
        ExtraSheet("Would have saved", order_list.make_savings_sheet(saved), [week]),
    ]


def find(chosen: Settings, dc: str) -> Findings:
    """Say in a few sentences what the stock buffers of a DC say."""
    buffers = open_buffers(chosen)
    rows = buffers.read([dc])
    summary, *details = order_list.describe_recommendations(rows)
    rejects = [line for line in details if line.startswith("rejected")]
    sentences = [f"{dc}: {summary}."]
    if rows.height:
        saved = buffers.read_savings([dc], max(rows["ship_date"]), "department")["saved_cases"]
        sentences.append(
            f"{saved.len():,} recommendations on the buyers' lists of the week would have saved {sum(saved):,.0f}."
        )
    service = [*scores.summarize_service(buffers.store.read_service([dc]))]
    sentences.append(f"Score: {'; '.join(service) or 'no period is past yet'}.")
    sentences += [f"{line[:1].upper()}{line[1:]}." for line in rejects[:1]]
    due = rows.sort("expected_lost_cases", descending=True, nulls_last=True)["item"].head(1).to_list()
    steps = {"What should I order?": f"replenishment recommend --dc {dc}"}
    if due:
        steps["Why so much of it?"] = f"replenishment explain {dc} {due[0]}"
    return Findings(sentences, {**steps, "What would have saved most?": "replenishment recommend --buyer-list 50"})
