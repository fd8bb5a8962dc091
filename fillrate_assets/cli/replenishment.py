"""`fillrate replenishment`: what to hold of an item at a DC, when to reorder, and what became of it."""
# ruff: noqa: D301, PLC0415 - click's \b is a backspace, not a backslash; imports where they are needed, as in `cli`

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from fillrate_assets.cli.cases import CASES
from fillrate_assets.cli.fillrate import DAY, DIRECTORY, FAILED, FILE, add_scope_options, run_ranges
from fillrate_assets.cli.progress import add_findings_option, show_activity
from fillrate_assets.core import extras
from fillrate_assets.core.shown_text import escape_controls

if TYPE_CHECKING:
    import polars as pl

    from fillrate_assets.replenishment.rules.decisions import Decision
    from fillrate_assets.replenishment.rules.scoring import ListOf

_MOST_REASONS: Final = 20
_SHOWN: Final = 20


@click.group()
def replenishment() -> None:
    """Stock buffers: what to hold of every item, when to reorder it, and what a gap is expected to cost."""


@replenishment.command()
@click.argument("directory", metavar="DIR", type=DIRECTORY)
def load(directory: Path) -> None:
    """Load terms of supply and stock positions.

    DIR holds supply_terms or stock_positions as CSV, Parquet or workbooks, or both. Terms replace all that were loaded
    before; positions those of their DCs and days. Loading the same again changes nothing. Rows that cannot be used are
    named here, and beside every number that they would have changed.

    \b
    Example:
      fillrate replenishment load data/
    """
    from fillrate_assets import settings
    from fillrate_assets.cli import launcher
    from fillrate_assets.replenishment import schema
    from fillrate_assets.replenishment.sources.input_files import read_directory
    from fillrate_assets.replenishment.supply_store import SupplyStore
    from fillrate_assets.storage.database import Database

    chosen = settings.load()
    with show_activity(f"Reading {directory}"):
        files = read_directory(directory)
    for note in files.notes:
        click.echo(escape_controls(f"note: {note}"), err=True)
    launcher.upgrade_home(chosen)
    store = SupplyStore(Database.from_settings(chosen))
    with show_activity("Loading"):
        for table, rows, replace in (
            (schema.SUPPLY_TERMS.name, files.terms, store.replace_terms),
            (schema.STOCK_POSITIONS.name, files.positions, store.replace_positions),
        ):
            if rows is not None:
                replace(rows, files.rejects.filter(table=table))
                click.echo(f"{table:20}{rows.height:>12,} rows")
    click.echo(f"{'rejected':20}{files.rejects.height:>12,} rows")
    reasons = files.rejects.group_by("table", "reason").len("rows").sort("rows", "table", "reason", descending=True)
    for table, reason, count in reasons.head(_MOST_REASONS).iter_rows():
        click.echo(f"  {count:>8,}  {table}: {escape_controls(reason)}")
    if reasons.height > _MOST_REASONS:
        click.echo(f"            and {reasons.height - _MOST_REASONS:,} more reasons")


@replenishment.command()
@add_scope_options
@click.option("--processes", type=click.IntRange(1), default=2, show_default=True, help="Runs at a time.")
def run(dcs: tuple[str, ...], first: date | None, last: date | None, processes: int) -> None:
    """Make stock buffers of published days through Dagster: of all, or of some.

    Each day is made as it was known at its beginning. Again, it makes the same; what changed since are terms and
    positions that were loaded, and days that were corrected.

    \b
    Example: since last week
      fillrate replenishment run --from 2026-03-09
    """
    from fillrate_assets import settings
    from fillrate_assets.cli import launcher

    chosen = settings.load()
    launcher.upgrade_home(chosen)
    if run_ranges(launcher.choose_published_ranges(chosen, dcs, first, last), processes):
        raise click.exceptions.Exit(FAILED)


@replenishment.command()
@click.option("--days", type=click.IntRange(1), default=28, show_default=True, help="How many of the last days.")
@add_findings_option
def demo(*, days: int, findings: Path | None) -> None:
    """Make stock buffers of the last weeks of the first DC of the sample network, and sum up what they say.

    \b
    Example: after `fillrate demo`
      fillrate replenishment demo
    """
    extras.require("sample", "fillrate replenishment demo")
    from fillrate_assets import settings
    from fillrate_assets.cli import launcher, stock_buffers
    from fillrate_assets.sample.fillrate_loader import SampleNetwork

    chosen = settings.load()
    network = SampleNetwork(chosen).network
    if network is None:
        _refuse(f"{chosen.home} holds no sample network: run `fillrate demo` first")
    launcher.upgrade_home(chosen)
    dc, first = network.dc_codes[0], max(network.first, network.last - timedelta(days=days - 1))
    failed = run_ranges(launcher.choose_published_ranges(chosen, [dc], first, network.last), 1)
    found = stock_buffers.find(chosen, dc)
    _echo(found.sentences)
    _echo(f"  {question}  {command}" for question, command in found.steps.items())
    found.write(findings)
    if failed:
        raise click.exceptions.Exit(FAILED)


@replenishment.command()
@click.option("--dc", "dcs", multiple=True, metavar="DC", help="Only this DC; may be repeated.")
@click.option("--date", "day", type=DAY, help="Ship date; default: each DC's latest.")
@click.option("--vendor", metavar="VENDOR", help="Only its items.")
@click.option("--department", metavar="DEPARTMENT", help="Only its items.")
@click.option("--top", type=click.IntRange(1), default=_SHOWN, show_default=True, help="How many are shown.")
@click.option(
    "--buyer-list",
    "listed",
    type=click.IntRange(1),
    metavar="N",
    help="Instead: the N recommendations of each buyer that would have saved most in the last week.",
)
@click.option(
    "--by",
    type=click.Choice(["department", "vendor", "dc"]),
    default="department",
    show_default=True,
    help="What a buyer is responsible for, with --buyer-list.",
)
@click.option("--out", type=FILE, metavar="FILE", help="A .csv or .xlsx file, in columns that an ERP can import.")
def recommend(  # noqa: PLR0913 - an option each
    *,
    dcs: tuple[str, ...],
    day: date | None,
    vendor: str | None,
    department: str | None,
    top: int,
    listed: int | None,
    by: ListOf,
    out: Path | None,
) -> None:
    """Recommend what to order: what would lose most cases first.

    Reads what was computed. What is made of defaults, or beside rejected rows, is marked.

    \b
    Example: the orders of a vendor for the ERP
      fillrate replenishment recommend --vendor ACME --out orders.csv
    """
    import polars as pl

    from fillrate_assets import settings
    from fillrate_assets.cli import stock_buffers
    from fillrate_assets.replenishment.report import order_list

    if out is not None and out.suffix.lower() not in {".csv", ".xlsx"}:
        msg = f"--out {out}: orders are written as .csv or .xlsx"
        raise click.UsageError(msg, click.get_current_context())
    buffers = stock_buffers.open_buffers(settings.load())
    with show_activity("Reading recommendations"):
        rows = buffers.read(dcs or None, day, vendor=vendor, department=department)
    if rows.is_empty():
        _refuse("there is no recommendation of these: `fillrate replenishment run` makes them")
    dates = sorted(set(rows["ship_date"]))
    if listed is not None:
        with show_activity("Reading what was lost"):
            saved = buffers.read_savings(dcs or None, day or dates[-1], by, listed)
        of_buyer = {"vendor": vendor, "department": department}
        saved = saved.filter(*(pl.col(name) == each for name, each in of_buyer.items() if each is not None))
        _write(saved, out, "savings") if out else _echo(order_list.format_savings(saved, by))
        return
    orders = order_list.make_order_list(rows, buffers.read_pack_sizes())
    notes = order_list.describe_recommendations(rows)
    if out is not None:
        _write(orders, out, "orders")
        _echo(notes, err=True)
        return
    click.echo("At the beginning of " + ", ".join(map(str, dates)))
    _echo(order_list.format_order_list(orders, top))
    _echo(notes)


@replenishment.command()
@click.argument("dc")
@click.argument("item")
@click.argument("day", metavar="[DATE]", type=DAY, required=False)
def explain(dc: str, item: str, day: date | None) -> None:
    """Explain what to hold of ITEM at DC, the latest or that of DATE: in numbers that can be multiplied by hand.

    \b
    Example:
      fillrate replenishment explain DC03 10482
    """
    from fillrate_assets import settings
    from fillrate_assets.cli import stock_buffers
    from fillrate_assets.replenishment.report.explain import describe_decisions, explain_recommendation

    buffers = stock_buffers.open_buffers(settings.load())
    with show_activity("Reading recommendations"):
        row = buffers.find(dc, item, day)
        lost = buffers.read_lost_before(dc, item, row["ship_date"])
        decisions = buffers.store.read_decisions([dc], item=item, first=row["ship_date"])
    _echo([f"{item} at {dc}, at the beginning of {row['ship_date']}:"])
    _echo(explain_recommendation(row, lost).split("; "))
    _echo(describe_decisions(decisions.filter(ship_date=row["ship_date"])))


@replenishment.command()
@add_scope_options
def score(dcs: tuple[str, ...], first: date | None, last: date | None) -> None:
    """Score past recommendations: the service that they reach, by class of item and target, and what decisions did.

    Of periods that were past on these days and in stock on every ship day.

    \b
    Example: of the last month
      fillrate replenishment score --from 2026-02-01
    """
    from fillrate_assets import settings
    from fillrate_assets.cli import stock_buffers
    from fillrate_assets.replenishment.report import scores

    buffers = stock_buffers.open_buffers(settings.load())
    service = buffers.store.read_service(dcs or None, first, last)
    _echo(scores.format_service(service))
    _echo(scores.summarize_service(service))
    _echo(scores.format_decisions(buffers.read_decided_service(dcs or None, first, last)))


def add_decision_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what every decision needs: about which recommendation it is, and whose."""
    command = click.option("--by", required=True, metavar="NAME", help="Who decided.")(command)
    command = click.option("--date", "day", type=DAY, help="Ship date; default: the latest.")(command)
    return click.argument("dc")(click.argument("item")(command))


@replenishment.command()
@add_decision_options
def accept(dc: str, item: str, day: date | None, by: str) -> None:
    """Accept a recommendation: what it says is ordered.

    \b
    Example:
      fillrate replenishment accept DC03 10482 --by Kim
    """
    _decide(dc, item, day, by, "ACCEPTED")


@replenishment.command()
@add_decision_options
@click.option("--cases", type=CASES, required=True, help="What is ordered instead.")
@click.option("--reason", required=True, help="Why.")
def change(*, dc: str, item: str, day: date | None, by: str, cases: Decimal, reason: str) -> None:
    """Change a recommendation: something else is ordered.

    \b
    Example:
      fillrate replenishment change DC03 10482 --cases 40 --reason "promotion next week" --by Kim
    """
    _decide(dc, item, day, by, "CHANGED", cases, reason)


@replenishment.command()
@add_decision_options
@click.option("--reason", required=True, help="Why.")
def refuse(dc: str, item: str, day: date | None, by: str, reason: str) -> None:
    """Refuse a recommendation: nothing is ordered.

    \b
    Example:
      fillrate replenishment refuse DC03 10482 --reason "discontinued" --by Kim
    """
    _decide(dc, item, day, by, "REFUSED", reason=reason)


def _decide(
    dc: str, item: str, day: date | None, by: str, decision: Decision, cases: Decimal | None = None, reason: str = ""
) -> None:
    from fillrate_assets import settings
    from fillrate_assets.cli import stock_buffers
    from fillrate_assets.replenishment.recommendation_store import add_decision
    from fillrate_assets.replenishment.report.explain import describe_decision
    from fillrate_assets.replenishment.rules.decisions import list_details, make_decision, name_action
    from fillrate_assets.storage.action_log import Action, ActionLog

    buffers = stock_buffers.open_buffers(settings.load())
    now = datetime.now(UTC)
    row = make_decision(buffers.find(dc, item, day), decision, cases, reason=reason, by=by, now=now)
    action = Action(by, "command", name_action(decision), f"{dc} {item}", now, list_details(row))
    with ActionLog(buffers.store.database).record(action) as connection:
        add_decision(connection, row)
    _echo([f"{item} at {dc}, {row['ship_date']}: {describe_decision(row)}"])


def _write(rows: pl.DataFrame, out: Path, sheet: str) -> None:
    """Write rows to a file, in exact numbers."""
    from fillrate_assets.storage.atomic_write import replace_file

    with replace_file(out) as new:
        if out.suffix.lower() == ".csv":
            rows.write_csv(new)
        else:
            # What looks like a formula stays text.
            rows.write_excel(new, sheet, autofit=True)
    click.echo(f"wrote {out}: {rows.height:,} rows")


def _echo(lines: Iterable[str], *, err: bool = False) -> None:
    for line in lines:
        click.echo(escape_controls(line), err=err)


def _refuse(problem: str) -> NoReturn:
    from fillrate_assets.core.errors import PermanentFailure

    raise PermanentFailure(problem)
