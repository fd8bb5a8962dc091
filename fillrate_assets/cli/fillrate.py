"""Commands of the fill rates: from files, from the platform, and on the sample network."""
# ruff: noqa: D301, PLC0415 - click's \b is a backspace, not a backslash; imports where they are needed

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn

import click

from fillrate_assets.cli.progress import add_findings_option, name_command, show_activity, show_progress
from fillrate_assets.core import extras
from fillrate_assets.core.shown_text import escape_controls

if TYPE_CHECKING:
    import polars as pl

    from fillrate_assets.cli.launcher import RunRange, RunResult
    from fillrate_assets.fillrate.report.report_request import Reports
    from fillrate_assets.fillrate.report.service_report import Report, SortKey
    from fillrate_assets.fillrate.report.workbook import ExtraSheet
    from fillrate_assets.fillrate.rules.pipeline import PartitionFilter
    from fillrate_assets.fillrate.sources.contract_files import Contracts
    from fillrate_assets.sample.network import Network
    from fillrate_assets.settings import Settings

FAILED: Final = 1
_MOST_REASONS: Final = 20


class _Day(click.ParamType[date]):
    name = "YYYY-MM-DD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:  # noqa: ANN401
        try:
            return value if isinstance(value, date) else date.fromisoformat(value)
        except ValueError:
            self.fail(f"'{value}' is not a date; write YYYY-MM-DD", param, ctx)


class _Groups(click.ParamType[list[str]]):
    name = "COLUMNS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:  # noqa: ANN401
        from fillrate_assets.fillrate.rules.service_metrics import GROUPINGS

        groups = value if isinstance(value, list) else [name.strip() for name in value.split(",")]
        if unknown := [name for name in groups if name not in GROUPINGS]:
            self.fail(f"cannot group by '{unknown[0]}'; choose from {', '.join(GROUPINGS)}", param, ctx)
        return list(dict.fromkeys(groups))


class _Sort(click.ParamType[tuple["SortKey", ...]]):
    name = "COLUMNS"

    def convert(
        self,
        value: Any,  # noqa: ANN401
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[SortKey, ...]:
        from fillrate_assets.fillrate.report.service_report import SortKey

        keys = []
        for part in value.split(","):
            column, _, direction = part.strip().partition(":")
            if direction not in {"", "asc", "desc"}:
                self.fail(f"'{part}': write COLUMN, COLUMN:asc or COLUMN:desc", param, ctx)
            keys.append(SortKey(column, {"asc": False, "desc": True}.get(direction)))
        return tuple(keys)


FORMATS: Final = {".csv": "csv", ".parquet": "parquet", ".txt": "table", ".xlsx": "xlsx"}
"""Formats of a report, by the ending of the file that holds it."""
DAY: Final = _Day()
GROUPS: Final = _Groups()
SORT: Final = _Sort()
DIRECTORY: Final = click.Path(path_type=Path)
FILE: Final = click.Path(path_type=Path, dir_okay=False)


def add_scope_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that limit a command to some DCs and ship dates."""
    command = click.option("--to", "last", type=DAY, help="Last ship date.")(command)
    command = click.option("--from", "first", type=DAY, help="First ship date.")(command)
    return click.option("--dc", "dcs", multiple=True, metavar="DC", help="Only this DC; may be repeated.")(command)


def add_mapping_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option that names a mapping file."""
    text = "How your files call and write tables, columns and values (default: mapping.toml in the directory)."
    return click.option("--mapping", type=FILE, metavar="FILE", help=text)(command)


@click.command()
@click.argument("directory", metavar="DIR", type=DIRECTORY)
@click.option("--out", type=FILE, required=True, metavar="FILE", help="Records to write: a .csv or .parquet file.")
@add_mapping_option
@add_scope_options
def calculate(
    directory: Path, out: Path, mapping: Path | None, dcs: tuple[str, ...], first: date | None, last: date | None
) -> None:
    """Compute lost-case records from files.

    DIR holds CSV or Parquet files by the input contracts. Besides, only the settings are read, which say when a day is
    in doubt: no platform, no database. Beside FILE, the rows that could not be used are written to FILE's name with
    `.rejects`, each with its reason.

    \b
    Example: last week of one DC, with the 28 days before it in the files for the averages
      fillrate calculate data/ --out lost.csv --dc DC03 --from 2026-03-09 --to 2026-03-15
    """
    from fillrate_assets.fillrate.report import labels
    from fillrate_assets.fillrate.report.doubts import format_days, format_rejects
    from fillrate_assets.fillrate.report.queries import calculate_contracts, read_doubts_of_files
    from fillrate_assets.fillrate.sources.contract_files import write_frame
    from fillrate_assets.storage.atomic_write import replace_file

    scope = _build_scope(dcs, first, last)
    if out.suffix.lower() not in {".csv", ".parquet"}:
        _refuse(f"--out {out}: records are written as .csv or .parquet")
    _require_parent(out)
    rejects = out.with_name(f"{out.stem}.rejects{out.suffix}")
    contracts = _read_contracts(directory, mapping)
    with show_activity("Calculating"):
        calculation = calculate_contracts(contracts, scope)
    with show_activity(f"Writing {out}"), replace_file(out) as new_records, replace_file(rejects) as new_rejects:
        write_frame(calculation.records, new_records)
        write_frame(calculation.rejects, new_rejects)
    doubts = read_doubts_of_files(contracts, calculation, scope)
    for line in labels.format_summary(calculation.records, calculation.rejects.height, len(calculation.held)):
        click.echo(line)
    for line in format_rejects(doubts):
        click.echo(escape_controls(line))
    click.echo(labels.format_gate(contracts.gate))
    click.echo(f"wrote {out} and {rejects}")
    _echo_lines(format_days(doubts))


@click.command()
@click.option(
    "--by",
    "groups",
    type=GROUPS,
    default="dc",
    show_default=True,
    help="dc, department, vendor, customer, item, ship_date, week, month, path or reason; several with commas.",
)
@click.option(
    "--sort", type=SORT, help="Sort by these columns, the worst first; COLUMN:asc or COLUMN:desc for a direction."
)
@click.option("--top", type=click.IntRange(1), metavar="N", help="Only N groups; without --sort those that lost most.")
@click.option("--vendor", "vendors", multiple=True, metavar="VENDOR", help="Only its items; may be repeated.")
@click.option("--item", "items", multiple=True, metavar="ITEM", help="Only this item; may be repeated.")
@click.option(
    "--compare",
    type=click.Choice(["previous", "year"]),
    help="Changes since as many days right before --from, or since the same dates a year earlier.",
)
@click.option(
    "--format", "form", type=click.Choice(["table", "csv", "xlsx", "parquet"]), help="Default: by --out, else table."
)
@click.option("--out", type=FILE, metavar="FILE", help="A .csv, .parquet, .txt or .xlsx file; default: the terminal.")
@click.option("--targets", "targets_file", type=FILE, metavar="FILE", help="CSV of grouping columns and target rates.")
@click.option("--input", "directory", type=DIRECTORY, metavar="DIR", help="Compute from files, not from the platform.")
@add_mapping_option
@add_scope_options
def report(  # noqa: PLR0913 - an option each
    *,
    groups: list[str],
    sort: tuple[SortKey, ...] | None,
    top: int | None,
    vendors: tuple[str, ...],
    items: tuple[str, ...],
    compare: Literal["previous", "year"] | None,
    form: str | None,
    out: Path | None,
    targets_file: Path | None,
    directory: Path | None,
    mapping: Path | None,
    dcs: tuple[str, ...],
    first: date | None,
    last: date | None,
) -> None:
    """Report fill rates, OTIF and lost cases.

    Reads what the platform has computed, or with --input a directory of files. A targets file has any of the grouping
    columns and any of case_fill_rate, line_fill_rate, order_fill_rate, on_time_rate, otif_rate, as 0.95 or as 95.
    Rejected rows, doubtful and held days are below a table; beside a file or CSV they are on stderr, as are estimates
    of different methods.

    \b
    Example: a workbook for the weekly meeting
      fillrate report --by dc,department --from 2026-03-09 --to 2026-03-15 --out week.xlsx
    """
    from fillrate_assets.fillrate.report.notes import format_file_notes
    from fillrate_assets.fillrate.report.report_request import ReportRequest
    from fillrate_assets.fillrate.sources.targets import read_targets
    from fillrate_assets.storage.atomic_write import replace_file

    form = _choose_format(form, out)
    _build_scope(dcs, first, last)
    _require_input(mapping, directory)
    if compare and (first is None or last is None):
        _refuse("--compare needs --from and --to")
    targets = read_targets(targets_file) if targets_file else None
    filters = {"dc": dcs, "vendor": vendors, "item": items}
    request = ReportRequest(groups, first, last, filters, compare, targets, sort or (), top)
    contracts = _read_contracts(directory, mapping) if directory else None
    _echo_gate(contracts)
    reports, activity = _open_reports(contracts), "Calculating" if contracts else "Reading the lake"
    if form == "xlsx" and out:
        from fillrate_assets.fillrate.report.workbook import write_workbook

        with show_activity(activity):
            data = reports.read_data(request)
            more = [] if contracts else _make_more_sheets(dcs, vendors, items, last)
        made = data.report
        with show_activity(f"Writing {out}"), replace_file(out) as new:
            write_workbook(new, data, made_at=datetime.now(UTC), more=more)
    else:
        with show_activity(activity):
            made = reports.read(request)
        _write_report(made, form, out)
    if out:
        click.echo(f"wrote {out}")
    if out or form != "table" or not sys.stdout.isatty():
        # A table on a terminal has them below it.
        _echo_lines(format_file_notes(made))


@click.command()
@click.argument("dc")
@click.argument("ship_date", metavar="DATE", type=DAY)
@click.argument("item")
@click.option("--input", "directory", type=DIRECTORY, metavar="DIR", help="Compute from files, not from the platform.")
@add_mapping_option
def explain(dc: str, ship_date: date, item: str, directory: Path | None, mapping: Path | None) -> None:
    """Explain why an item was short on a day.

    Says its path and inputs, the days behind its baseline, its lines, and what was restated. Reads what the platform
    has computed, or with --input a directory of files.

    \b
    Example:
      fillrate explain DC03 2026-03-12 10482
    """
    from fillrate_assets import settings
    from fillrate_assets.fillrate.report import explain as rules
    from fillrate_assets.fillrate.report.queries import read_evidence_from_files, read_evidence_from_lake

    _require_input(mapping, directory)
    contracts = _read_contracts(directory, mapping) if directory else None
    with show_activity("Calculating" if contracts else "Reading the lake"):
        evidence, known = (
            read_evidence_from_files(contracts, dc, ship_date)
            if contracts
            else read_evidence_from_lake(settings.load(), dc, ship_date, item)
        )
        text = rules.explain(dc, ship_date, item, evidence, known)
    _echo_gate(contracts)
    click.echo("\n".join(map(escape_controls, text.split("\n"))), nl=False)


@click.command("explain-order")
@click.argument("order")
def explain_order(order: str) -> None:
    """Explain why an order was short, across the areas.

    Says where it is, what its DC had of its items when the inventory answered, for whom that was reserved, whether the
    DC's own copy was equal, and what fill rates say of its lines.

    \b
    Example:
      fillrate explain-order 261128-000002
    """
    from fillrate_assets import settings
    from fillrate_assets.cli.order_explanation import read_explanation

    with show_activity("Reading the order"):
        lines = [*read_explanation(settings.load(), order).describe()]
    for line in lines:
        click.echo(escape_controls(line))


@click.command()
@click.argument("directory", metavar="DIR", type=DIRECTORY)
@add_mapping_option
def load(directory: Path, mapping: Path | None) -> None:
    """Load files into the embedded systems.

    DIR holds CSV or Parquet files by the input contracts. Loading the same files again changes nothing; items that the
    files do not name stay as they are. `fillrate run` then computes what is new.

    \b
    Example:
      fillrate load data/ --mapping ours.toml
    """
    from fillrate_assets import settings
    from fillrate_assets.fillrate.sources.contract_files import read_directory
    from fillrate_assets.sample import fillrate_loader

    loaded_at, chosen = datetime.now(UTC), settings.load()

    def find_orders(dc: str, orders: Sequence[str]) -> pl.DataFrame:
        return fillrate_loader.EmbeddedSystems.from_settings(chosen).create().order_system.read_orders(dc, orders)

    with show_activity(f"Reading {directory}"):
        contracts = read_directory(directory, mapping, loaded_at=loaded_at, find_orders=find_orders)
    _echo_notes(contracts)
    with show_activity("Loading"):
        loaded = fillrate_loader.load(chosen, contracts, loaded_at=loaded_at)
    for table, rows in loaded.rows.items():
        click.echo(f"{table:20}{rows:>12,} rows")
    reasons = (
        loaded.rejects.group_by("table", "reason")
        .len("rows")
        .sort("rows", "table", "reason", descending=[True, False, False])
    )
    click.echo(f"{'rejected':20}{loaded.rejects.height:>12,} rows")
    for table, reason, rows in reasons.head(_MOST_REASONS).iter_rows():
        click.echo(f"  {rows:>8,}  {table}: {escape_controls(reason)}")
    if reasons.height > _MOST_REASONS:
        click.echo(f"            and {reasons.height - _MOST_REASONS:,} more reasons; the record store has every row")
    if loaded.new_dcs:
        click.echo(f"new DCs, their dates taken as UTC until dcs.csv says otherwise: {_list_names(loaded.new_dcs)}")
    if loaded.first_ship_date:
        click.echo(f"ship dates {loaded.first_ship_date} to {loaded.last_ship_date}")


@click.command()
@click.option("--days", type=click.IntRange(1, 3660), default=60, show_default=True, help="Days of history.")
@click.option("--dcs", "dc_count", type=click.IntRange(1, 16), default=10, show_default=True, help="How many DCs.")
@click.option("--items", type=click.IntRange(100, 50_000), default=7209, show_default=True, help="How many items.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Another seed, another network.")
@click.option("--to", "last", type=DAY, help="Last day of history; default: yesterday.")
@click.option("--processes", type=click.IntRange(1), default=2, show_default=True, help="Runs at a time.")
@add_findings_option
def demo(
    *, days: int, dc_count: int, items: int, seed: int, last: date | None, processes: int, findings: Path | None
) -> None:
    """Run the main job end to end on a sample network, and sum up what it says.

    Fills the embedded systems once, runs every asset and check through Dagster, and prints what a buyer wants to know.
    Run again, it computes everything anew and changes nothing.

    \b
    Example: a year
      fillrate demo --days 365
    """
    extras.require("sample", "fillrate demo")
    from rich.console import Console

    from fillrate_assets import settings
    from fillrate_assets.cli import fillrate_demo as story
    from fillrate_assets.cli import launcher
    from fillrate_assets.fillrate.defs import health_checks
    from fillrate_assets.sample.network import Network

    started = perf_counter()
    network = _load_sample(Network(seed=seed, dcs=dc_count, items=items, days=days, last=_choose_last_sample_day(last)))
    chosen = settings.load()
    before = story.RecordCounts.read(chosen)
    wanted = [launcher.RunRange(dc, network.first, network.last) for dc in network.dc_codes]
    failed = run_ranges(wanted, processes)
    launcher.run_job(chosen, health_checks.JOB)
    launcher.write_history(chosen)
    console = Console(width=100, highlight=False)
    story.summarize(chosen, network, console)
    after = story.RecordCounts.read(chosen)
    console.print(f"\n{after.describe_change(before)} {perf_counter() - started:,.0f} s.")
    for line in story.list_next_steps(chosen, name_command()):
        click.echo(line)
    story.save_view(chosen, datetime.now(UTC))
    story.find(chosen, network).write(findings)
    if failed:
        raise click.exceptions.Exit(FAILED)


@click.group(invoke_without_command=True)
@click.option("--days", type=click.IntRange(1, 3660), default=60, show_default=True, help="Days of history.")
@click.option("--dcs", "dc_count", type=click.IntRange(1, 16), default=10, show_default=True, help="How many DCs.")
@click.option("--items", type=click.IntRange(100, 50_000), default=7209, show_default=True, help="How many items.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Another seed, another network.")
@click.option("--to", "last", type=DAY, help="Last day of history; default: yesterday.")
@click.pass_context
def sample(context: click.Context, *, days: int, dc_count: int, items: int, seed: int, last: date | None) -> None:
    """Fill the embedded systems with a sample network, without running anything.

    \b
    Example: a small one, then its next day
      fillrate sample --dcs 2 --items 500
      fillrate sample advance
    """
    extras.require("sample", "fillrate sample")
    from fillrate_assets.sample.network import Network

    if context.invoked_subcommand is None:
        _load_sample(Network(seed=seed, dcs=dc_count, items=items, days=days, last=_choose_last_sample_day(last)))


@sample.command()
def advance() -> None:
    """Let the sources receive the next ship day: its orders, and late corrections to earlier days.

    The new_orders sensor then finds them; `make ui` shows it at work.
    """
    from fillrate_assets import settings
    from fillrate_assets.sample.fillrate_loader import SampleNetwork

    with show_activity("Advancing the sample network"):
        day, arrived = SampleNetwork(settings.load()).advance()
    click.echo(f"{day}: {sum(arrived.values()):,} order lines arrived at {len(arrived)} DCs")


@click.command()
@add_scope_options
@click.option("--processes", type=click.IntRange(1), default=2, show_default=True, help="Runs at a time.")
def run(dcs: tuple[str, ...], first: date | None, last: date | None, processes: int) -> None:
    """Run the main job through Dagster, a DC at a time: for every ship date until today, or some of them.

    A run takes a year of a DC at most, or FILLRATE_SENSOR__MAX_DAYS_PER_RUN. Run again after an interruption, it
    computes everything anew and changes nothing that is done; --from leaves out what is.

    A range that ends earlier also judges again the 28 days after it that were published: their averages depend on it.
    The runs, their events and checks are in the Dagster instance, as if they had been started in its UI. Days whose
    sources did not change have their records left as they are.

    \b
    Example: one DC's March again
      fillrate run --dc DC03 --from 2026-03-01 --to 2026-03-31
    """
    from fillrate_assets import settings
    from fillrate_assets.cli import launcher

    _build_scope(dcs, first, last)
    chosen = settings.load()
    launcher.upgrade_home(chosen)
    wanted = launcher.choose_ranges(chosen, dcs, first, last, datetime.now(UTC).date())
    failed = run_ranges(wanted, processes)
    if again := launcher.choose_awaiting(chosen, wanted):
        failed = run_ranges(again, processes) or failed
    if failed:
        raise click.exceptions.Exit(FAILED)


@click.command()
def upgrade() -> None:
    """Create the record store of a server, or bring it up to date after this package was upgraded.

    The embedded systems of a home are brought up to date as well; `fillrate run` and `fillrate load` do so themselves.

    \b
    Example: once FILLRATE_STORAGE__RECORD_STORE_URL names the server
      fillrate upgrade
    """
    from fillrate_assets import settings
    from fillrate_assets.cli import launcher
    from fillrate_assets.storage.database import Database

    chosen = settings.load()
    Database.from_settings(chosen).upgrade()
    launcher.upgrade_home(chosen)
    click.echo("the record store is up to date")


@click.command(name="settings")
@click.option("--update", type=FILE, metavar="FILE", help="Replace the tables of settings in this Markdown file.")
def describe_settings(update: Path | None) -> None:
    """Describe every setting: its variable, its default and what it means.

    \b
    Example: the reference of this repository, after a setting was added
      fillrate settings --update docs/reference/settings.md
    """
    from fillrate_assets.cli import settings_reference

    if update:
        update.write_text(settings_reference.update(update.read_text(encoding="utf-8")), encoding="utf-8")
        click.echo(f"wrote {update}")
    else:
        click.echo(settings_reference.render(), nl=False)


def _choose_last_sample_day(last: date | None) -> date:
    """Choose the last day of a sample network: by default yesterday, so that its sources are fresh."""
    today = datetime.now(UTC).date()
    if last and last > today:
        _refuse(f"--to {last} has not come yet")
    return last or today - timedelta(days=1)


def _load_sample(network: Network) -> Network:
    """Load the sample network of the home, or generate one if there is none."""
    from fillrate_assets import settings
    from fillrate_assets.sample.fillrate_loader import SampleNetwork

    store = SampleNetwork(settings.load())
    if (there := store.network) is not None:
        click.echo(f"Sample network: {there.dcs} DCs, {there.items:,} items, {there.first} to {there.last} (unchanged)")
        return there
    lines = 0
    with show_progress("Filling the embedded systems", network.dcs) as report_step:
        for dc, count in store.generate(network):
            lines += count
            report_step(f"{dc}: {count:,} order lines")
    click.echo(
        f"Sample network: {network.dcs} DCs, {network.items:,} items, {network.first} to {network.last},"
        f" {lines:,} order lines"
    )
    return network


def run_ranges(wanted: Sequence[RunRange], processes: int) -> bool:
    """Run ranges, print how each went, and return whether any failed.

    Of several DCs, all are read before they are compared, and published after that: nothing is published twice.
    """
    from fillrate_assets import settings
    from fillrate_assets.cli import launcher

    chosen = settings.load()
    parts = [part for each in wanted for part in each.split(chosen.sensor.max_days_per_run)]
    if not launcher.compares_dcs(chosen, parts):
        return any(ran.failure for ran in _run_parts(chosen, parts, processes))
    read = _run_parts(chosen, [replace(part, part="usual") for part in parts], processes, "Reading through Dagster")
    with show_activity("Comparing the DCs"):
        failures = launcher.compare_dcs(chosen, parts)
    _echo_lines(failures)
    records = [replace(ran.range, part="records", read_at=ran.began_at) for ran in read if not ran.failure]
    published = _run_parts(chosen, records, processes)
    if followed := launcher.choose_unfollowed(chosen):
        published += _run_parts(chosen, followed, processes, "Following other DCs")
    return bool(failures) or any(ran.failure for ran in (*read, *published))


def _run_parts(
    chosen: Settings, parts: Sequence[RunRange], processes: int, what: str = "Running through Dagster"
) -> list[RunResult]:
    """Run ranges, and print how each went."""
    from fillrate_assets.cli import launcher

    results = []
    with show_progress(what, len(parts)) as report_step:
        for ran in launcher.run(chosen, parts, processes):
            span = f"{ran.range.dc} {ran.range.first} to {ran.range.last}"
            report_step(f"{span}: {'failed' if ran.failure else 'done'} in {ran.seconds:.0f} s")
            _echo_lines(f"{span}: {problem}" for problem in ([ran.failure] if ran.failure else ran.failed_checks))
            results.append(ran)
    return results


def _refuse(message: str) -> NoReturn:
    raise click.UsageError(message, click.get_current_context())


def _require_input(mapping: Path | None, directory: Path | None) -> None:
    if mapping and not directory:
        _refuse("--mapping is about the files of --input DIR")


def _require_parent(out: Path) -> None:
    """Refuse a place that does not exist before any work is done."""
    if not out.parent.is_dir():
        _refuse(f"--out {out}: {out.parent} is not a directory")


def _choose_format(form: str | None, out: Path | None) -> str:
    """Choose the format of a report; refuse a file whose ending says nothing, or something else."""
    if out is None:
        if form in {"xlsx", "parquet"}:
            _refuse(f"{'a workbook' if form == 'xlsx' else 'Parquet'} needs --out FILE")
        return form or "table"
    known = FORMATS.get(out.suffix.lower())
    if known is None:
        _refuse(f"--out {out}: a report is written as {', '.join(FORMATS)}")
    if form not in {None, known}:
        _refuse(f"--out {out} is a file for --format {known}, not {form}")
    _require_parent(out)
    return known


def _open_reports(contracts: Contracts | None) -> Reports:
    """Open the reports of files, or of the platform."""
    from fillrate_assets import settings
    from fillrate_assets.fillrate.report.report_request import FileFacts, PlatformReports, Reports

    return Reports(FileFacts(contracts)) if contracts else PlatformReports.from_settings(settings.load())


def _make_more_sheets(
    dcs: tuple[str, ...], vendors: tuple[str, ...], items: tuple[str, ...], last: date | None
) -> list[ExtraSheet]:
    """Make the sheets of stock buffers, where any were made."""
    from fillrate_assets import settings
    from fillrate_assets.cli.stock_buffers import make_sheets

    return make_sheets(settings.load(), dcs, vendors, items, last)


def _write_report(made: Report, form: str, out: Path | None) -> None:
    """Write a report as a table, CSV or Parquet, to a file or the terminal."""
    from fillrate_assets.fillrate.report import terminal
    from fillrate_assets.storage.atomic_write import replace_file

    if form == "parquet" and out:
        with replace_file(out) as new:
            made.groups.write_parquet(new)
        return
    text = made.groups.write_csv() if form == "csv" else terminal.format_report(made)
    if out is None:
        click.echo(text, nl=False)
    else:
        with replace_file(out) as new:
            new.write_text(text, encoding="utf-8")


def _build_scope(dcs: tuple[str, ...], first: date | None, last: date | None) -> PartitionFilter:
    from fillrate_assets.fillrate.rules.pipeline import PartitionFilter

    if first and last and first > last:
        _refuse(f"--from {first} is after --to {last}")
    return PartitionFilter(dcs or None, first, last)


def _read_contracts(directory: Path, mapping: Path | None) -> Contracts:
    from fillrate_assets import settings
    from fillrate_assets.fillrate.report.queries import apply_settings
    from fillrate_assets.fillrate.sources.contract_files import read_directory

    chosen = settings.load()
    with show_activity(f"Reading {directory}"):
        contracts = read_directory(directory, mapping, loaded_at=datetime.now(UTC))
    _echo_notes(contracts)
    return apply_settings(contracts, chosen)


def _echo_gate(contracts: Contracts | None) -> None:
    """Write to stderr above which shares days are in doubt, where settings say so."""
    from fillrate_assets.fillrate.report.labels import format_gate
    from fillrate_assets.fillrate.rules.quality_gate import GateLimits

    if contracts is not None and contracts.gate != GateLimits():
        _echo_lines([format_gate(contracts.gate)])


def _list_names(names: Sequence[str]) -> str:
    """List names of the data as a terminal may show them."""
    return ", ".join(map(escape_controls, names))


def _echo_notes(contracts: Contracts) -> None:
    """Write what a person should know of the files' columns."""
    _echo_lines(f"note: {note}" for note in contracts.notes)


def _echo_lines(lines: Iterable[str]) -> None:
    """Write lines to stderr: standard output stays what the command was called for."""
    for line in lines:
        click.echo(escape_controls(line), err=True)


COMMANDS: Final = (calculate, report, explain, explain_order, load, demo, sample, run, upgrade, describe_settings)
"""What `fillrate` offers besides `fillrate buffers`."""
