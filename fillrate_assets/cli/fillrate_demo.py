"""Demonstration: the sample network, the whole graph, and a summary that a buyer understands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl
from rich.console import Console

from fillrate_assets.cli.tour import Findings
from fillrate_assets.core.decimals import format_percent
from fillrate_assets.core.text_table import format_table
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.record_store import RECORDS, RESTATEMENTS, RecordStore
from fillrate_assets.fillrate.report import labels
from fillrate_assets.fillrate.rules import rejects, service_metrics
from fillrate_assets.fillrate.schema import PATHS
from fillrate_assets.sample.fillrate_loader import SampleNetwork
from fillrate_assets.sample.network import Network
from fillrate_assets.sample.score import format_scores
from fillrate_assets.settings import Settings
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.lake import Lake
from fillrate_assets.subscriptions.view_store import SavedView, ViewStore, add_view

_WORST = 5
_VIEW = "demo"


@dataclass(frozen=True)
class RecordCounts:
    """What the record store holds: the same before and after a run that changed nothing."""

    records: int
    restatements: int

    @classmethod
    def read(cls, settings: Settings) -> RecordCounts:
        """Count the records and restatements."""
        store = RecordStore(Database.from_settings(settings))
        return cls(store.count(RECORDS), store.count(RESTATEMENTS))

    def describe_change(self, before: RecordCounts) -> str:
        """Return what changed since, in a sentence."""
        records, restated = self.records - before.records, self.restatements - before.restatements
        if not records and not restated:
            return f"Nothing changed: {self.records:,} records, {self.restatements:,} restatements."
        return f"{self.records:,} records ({records:+,}), {self.restatements:,} restatements ({restated:+,})."


def list_next_steps(settings: Settings, command: str) -> list[str]:
    """List commands to go on with, on a record worth looking at; `command` is how `fillrate` was called."""
    worst = _find_worst_record(settings)
    examples = [f"{command} explain {' '.join(worst)}"] if worst else []
    reports = [f"{command} report --by vendor", f"{command} report --by dc --out report.xlsx"]
    return ["", "Go on with:", *[f"  {step}" for step in (*examples, *reports, "make ui")]]


def _find_worst_record(settings: Settings) -> list[str]:
    """Find DC, ship date and item of a record worth looking at; nothing where there is none."""
    estimated = Lake(settings.storage.lake_root).scan(schema.LOST_CASES).filter(pl.col("estimated_cases") > 0)
    worst = estimated.filter(pl.col("confirmed_cases") > 0).sort("lost_cases", "item").tail(1)
    return [str(value) for row in worst.select("dc", "ship_date", "item").collect().iter_rows() for value in row]


def find(settings: Settings, network: Network) -> Findings:
    """Say what the network's numbers say in a few sentences."""
    lake = Lake(settings.storage.lake_root)
    classified = lake.scan(schema.CLASSIFIED_LINES, last=network.last)
    records = lake.scan(schema.LOST_CASES, last=network.last)
    total = service_metrics.compute_service(classified, []).collect().row(0, named=True)
    lost = records.group_by("path").agg(pl.col("lost_cases").sum()).sort("lost_cases", descending=True).collect()
    paths = "; ".join(f"{cases:,.0f} {labels.PATHS[path]}" for path, cases in lost.iter_rows())
    by_dc = records.group_by("dc").agg(pl.col("lost_cases").sum()).sort("lost_cases", "dc", descending=[True, False])
    worst = "".join(f". Most at {dc}: {cases:,.0f}" for dc, cases in by_dc.head(1).collect().iter_rows())
    held = RecordStore(Database.from_settings(settings)).read_ledger().filter(pl.col("state") == "HELD")
    rejected = rejects.select_rejects(classified).select(pl.len()).collect().item()
    return Findings(
        [
            (
                f"{network.dcs} DCs, {network.items:,} items, {network.first} to {network.last}:"
                f" {total['ordered_cases']:,.0f} cases ordered, {total['shipped_cases']:,.0f} shipped:"
                f" case fill {format_percent(total['case_fill_rate'])}, on time in full"
                f" {format_percent(total['otif_rate'])} of orders."
            ),
            f"{lost['lost_cases'].sum():,.0f} cases lost: {paths}{worst}.",
            " ".join(_score(settings, records)),
            f"In doubt: {rejected:,} rows rejected with their reasons, {labels.format_count(held.height, 'day')} held"
            + "".join(f" ({row['dc']} {row['ship_date']}: {row['reason']})" for row in held.head(1).to_dicts())
            + ".",
        ],
        {
            "What was lost, by vendor?": "report --by vendor",
            "Why was an item short?": f"explain {' '.join(_find_worst_record(settings))}",
            "What does a Monday mail say?": "subscriptions show Monday",
        },
    )


def save_view(settings: Settings, now: datetime) -> None:
    """Save the network's last week as a view, once: what a message of it says can be shown."""
    store = ViewStore(Database.from_settings(settings))
    if store.find_view(_VIEW) is None:
        with store.database.begin() as connection:
            add_view(
                connection,
                SavedView(
                    _VIEW, "demo", "form", ["buyer"], now, "Monday", "/service", now, since=now, period="Last week"
                ),
            )


def summarize(settings: Settings, network: Network, console: Console) -> None:
    """Print what the network's numbers say."""
    lake = Lake(settings.storage.lake_root)
    classified = lake.scan(schema.CLASSIFIED_LINES, last=network.last)
    records = lake.scan(schema.LOST_CASES, last=network.last)
    total = service_metrics.compute_service(classified, []).collect().row(0, named=True)
    console.print()
    console.print(
        f"[bold]{network.dcs} DCs, {network.items:,} items, {network.first} to {network.last}[/bold]:"
        f" of {total['ordered_cases']:,.0f} cases ordered, {total['shipped_cases']:,.0f} shipped:"
        f" [bold]case fill {format_percent(total['case_fill_rate'])}[/bold]."
    )
    console.print(
        f"Lines complete {format_percent(total['line_fill_rate'])},"
        f" orders complete {format_percent(total['order_fill_rate'])},"
        f" on time {format_percent(total['on_time_rate'])}, on time in full {format_percent(total['otif_rate'])}."
    )
    tables = [
        _tabulate_paths(records),
        _tabulate_dcs(classified, records),
        _tabulate_worst(records, "vendor"),
        _tabulate_worst(records, "item"),
    ]
    for lines in tables:
        console.out("", *lines, sep="\n", highlight=False)
    _print_caveats(settings, network, console)


def _tabulate_paths(records: pl.LazyFrame) -> list[str]:
    quantities = ("confirmed_cases", "estimated_cases", "lost_cases")
    found = records.group_by("path").agg(pl.col(*quantities).sum()).sort(pl.col("path").cast(pl.Enum(PATHS))).collect()
    numbers = ["confirmed", "estimated", "lost cases"]
    rows = [
        [row["path"], labels.PATHS[row["path"]], *[f"{row[name]:,.0f}" for name in quantities]]
        for row in found.iter_rows(named=True)
    ]
    total = ["all", "", *[f"{found[name].sum():,.0f}" for name in quantities]]
    return format_table(["path", "", *numbers], rows, numbers=numbers, title="Why the rest did not ship", total=total)


def _tabulate_dcs(classified: pl.LazyFrame, records: pl.LazyFrame) -> list[str]:
    lost = records.group_by("dc").agg(pl.col("lost_cases").sum())
    found = service_metrics.compute_service(classified, ["dc"]).join(lost, on="dc", how="left").sort("dc").collect()
    numbers = ["ordered", "shipped", "case fill", "line fill", "on time", "OTIF", "lost cases"]
    rows = []
    for row in found.iter_rows(named=True):
        rates = [format_percent(row[f"{name}_rate"]) for name in ("case_fill", "line_fill", "on_time", "otif")]
        amounts = [f"{row[name]:,.0f}" for name in ("ordered_cases", "shipped_cases", "lost_cases")]
        rows.append([row["dc"], *amounts[:2], *rates, amounts[2]])
    return format_table(["DC", *numbers], rows, numbers=numbers, title="By DC")


def _tabulate_worst(records: pl.LazyFrame, by: str) -> list[str]:
    found = (
        records.group_by(by)
        .agg(pl.col("ordered_cases", "shipped_cases", "confirmed_cases", "estimated_cases", "lost_cases").sum())
        .sort("lost_cases", by, descending=[True, False])
        .head(_WORST)
        .collect()
    )
    numbers = ["ordered", "shipped", "confirmed", "estimated", "lost cases"]
    rows = [[row[0], *[f"{value:,.0f}" for value in row[1:]]] for row in found.iter_rows()]
    return format_table([by, *numbers], rows, numbers=numbers, title=f"Worst {by}s")


def _score(settings: Settings, records: pl.LazyFrame) -> list[str]:
    """Score the estimates of both methods against what stores wanted."""
    return format_scores(records.collect(), SampleNetwork(settings).read_truth().collect())


def _print_caveats(settings: Settings, network: Network, console: Console) -> None:
    lake = Lake(settings.storage.lake_root)
    records = lake.scan(schema.LOST_CASES, last=network.last)
    console.print("")
    for line in _score(settings, records):
        console.print(line)
    ledger = RecordStore(Database.from_settings(settings)).read_ledger()
    for row in ledger.filter(pl.col("state") == "HELD").iter_rows(named=True):
        console.print(
            f"[yellow]Held: {row['dc']} {row['ship_date']}: {row['reason']};"
            " there are no records for that day.[/yellow]"
        )
    rejected = rejects.select_rejects(lake.scan(schema.CLASSIFIED_LINES, last=network.last))
    reasons = rejected.group_by("reason").len("rows").sort("rows", "reason", descending=[True, False]).collect()
    named = ", ".join(f"{reason} ({rows:,})" for reason, rows in reasons.head(_WORST).iter_rows())
    console.print(f"Rejected {reasons['rows'].sum():,} rows, stored with their reason: {named}, ...")
