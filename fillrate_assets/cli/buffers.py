"""`fillrate buffers`: the buffers of robotized warehouses, from a simulated day to why one alert was sent."""
# ruff: noqa: D301, PLC0415 - click's \b is a backspace, not a backslash; imports where they are needed, as in `cli`

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click

from fillrate_assets.cli.progress import add_findings_option
from fillrate_assets.core import extras
from fillrate_assets.core.shown_text import escape_controls

if TYPE_CHECKING:
    from fillrate_assets.buffers.policy_store import PolicyStore
    from fillrate_assets.settings import Settings


class _Moment(click.ParamType[datetime]):
    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:  # noqa: ANN401
        try:
            moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"'{value}' is not a time; write YYYY-MM-DDTHH:MM, UTC", param, ctx)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


MOMENT = _Moment()


@click.group()
def buffers() -> None:
    """Buffer monitoring: what is about to overflow or starve, and what should the floor do?"""


@buffers.command()
@click.option("--warehouses", type=click.IntRange(1, 50), default=4, show_default=True, help="How many warehouses.")
@click.option("--seed", type=click.IntRange(0), default=3001, show_default=True, help="Another seed, another day.")
@click.option("--hours", type=click.IntRange(1, 24), default=24, show_default=True, help="How much of the day.")
@add_findings_option
def demo(warehouses: int, seed: int, hours: int, findings: Path | None) -> None:
    """Run a simulated day at speed, and show the board.

    Simulates robotized warehouses with surges, jams, staffing gaps and bad sensors, fills the embedded systems with
    what their feeds show, and runs every tick of the day: rules, lake, outbox. Alerts go to the outbox and no further.
    Then the simulated floor answers, and the day is scored against the truth. The last tick runs through Dagster, so
    `make ui` shows it. It ends with the board and the messages of the worst tick, and with links to the pages on which
    the floor answers; a secret that signs them is made, if there is none. Run again, it computes everything anew and
    sends nothing twice.

    \b
    Example: the last three hours of ten warehouses
      fillrate buffers demo --warehouses 10 --hours 3
    """
    extras.require("sample", "fillrate buffers demo")
    import polars as pl
    from rich.console import Console

    from fillrate_assets import settings
    from fillrate_assets.buffers.buffer_store import BufferStore
    from fillrate_assets.buffers.history_store import HistoryStore
    from fillrate_assets.buffers.rules.policy import Policy
    from fillrate_assets.buffers.sources.floor_feeds import FloorFeeds
    from fillrate_assets.cli import buffers_demo, launcher
    from fillrate_assets.cli.progress import name_command, show_activity
    from fillrate_assets.definitions import make_alert_dispatch
    from fillrate_assets.sample.buffers_loader import Floors
    from fillrate_assets.storage.database import Database

    started = perf_counter()
    chosen = settings.load()
    floors = Floors(chosen, warehouses, seed, hours)
    with show_activity("Simulating the floors"):
        filled = floors.fill()
    # Anew: the first ship date may have moved.
    chosen = settings.load().with_local_feedback()
    click.echo(
        f"Simulated floors: {warehouses} warehouses, {floors.ticks[0]:%Y-%m-%d}{'' if filled else ' (unchanged)'}"
    )
    console = Console(width=110, highlight=False)
    tick_store, delivery = buffers_demo.make_tick_store(floors), replace(make_alert_dispatch(chosen), every_label=False)
    feeds = FloorFeeds(chosen.sources.floor_feeds_url, chosen.sources.source_tables)
    database = Database.from_settings(chosen)
    history = HistoryStore(database, chosen.storage.buffer_history_days)
    results = buffers_demo.run_ticks(floors, feeds, tick_store, delivery, history, Policy())
    shown = buffers_demo.show_board(results, floors, console)
    alerts = pl.concat(result.alerts for result in shown)
    buffers_demo.answer_alerts(floors, BufferStore(database), alerts)
    run_id, failure, checks = launcher.run_tick(chosen, shown[-1].snapshot_ts)
    for problem in [failure] if failure else checks:
        click.echo(escape_controls(f"the last tick, run {run_id}: {problem}"), err=True)
    buffers_demo.summarize(floors, alerts, console)
    console.print(f"{perf_counter() - started:,.0f} s.")
    worst = buffers_demo.find_worst_tick(shown)
    for line in buffers_demo.show_messages(worst, floors, delivery.notices, chosen, datetime.now(UTC)):
        click.echo(line)
    for line in buffers_demo.list_next_steps(worst.alerts, name_command(), chosen):
        click.echo(escape_controls(line))
    buffers_demo.find(floors, alerts, worst).write(findings)
    if failure:
        raise click.exceptions.Exit(1)


@buffers.command()
@click.option("--at", type=MOMENT, metavar="TIME", help="Which tick, UTC; default: the latest.")
def tick(at: datetime | None) -> None:
    """Run one tick through Dagster, as the schedule does every 5 minutes.

    A tick that ran late, or runs again, is computed from the ticks before it; later ones are computed again after it.

    \b
    Example: one that was missed
      fillrate buffers tick --at 2026-11-10T14:05
    """
    from fillrate_assets import settings
    from fillrate_assets.buffers.rules.tick import align_to_grid
    from fillrate_assets.cli import launcher

    now = datetime.now(UTC)
    chosen = align_to_grid(at or now)
    run_id, failure, checks = launcher.run_tick(settings.load(), chosen, show=click.echo)
    for problem in [failure] if failure else checks:
        click.echo(escape_controls(f"{chosen:%Y-%m-%d %H:%M} UTC: {problem}"), err=True)
    click.echo(f"{chosen:%Y-%m-%d %H:%M} UTC: {'failed' if failure else 'done'}, run {run_id}")
    if failure:
        raise click.exceptions.Exit(1)


@buffers.command()
@click.option("--at", type=MOMENT, metavar="TIME", help="The tick at or before it, UTC; default: the latest.")
def board(at: datetime | None) -> None:
    """Show what every unit was at a tick, worst first.

    \b
    Example
      fillrate buffers board --at 2026-11-10T14:05
    """
    from fillrate_assets import settings
    from fillrate_assets.buffers.report.board import render_board

    for line in render_board(settings.load(), at, datetime.now(UTC)):
        click.echo(line)


@buffers.command()
@click.argument("unit_id", metavar="UNIT")
@click.argument("at", metavar="TIME", type=MOMENT)
def explain(unit_id: str, at: datetime) -> None:
    """Explain why a unit was alerted on at a tick, or was not.

    Prints the chain: what its paths showed, what the unit was, what each rule decided with its margins, conflicts, what
    was suppressed, who was notified, and what the floor answered. TIME is UTC; the tick at or before it counts. Of a
    feed that an alert names, as W0001_DATA_OCCUPANCY, there are the rules and what was sent.

    \b
    Example
      fillrate buffers explain W0001_PACK_TOTAL 2026-11-10T14:05
    """
    from fillrate_assets import settings
    from fillrate_assets.buffers.report import explain as rules
    from fillrate_assets.buffers.report.explain_queries import read_evidence
    from fillrate_assets.buffers.rules.path_signals import load_time_zone

    found, time_zone = read_evidence(settings.load(), unit_id, at)
    for line in rules.explain_unit(found, zone=load_time_zone(time_zone)):
        click.echo(escape_controls(line))


@buffers.command()
@click.option("--from", "first", type=MOMENT, required=True, metavar="TIME", help="First tick, UTC.")
@click.option("--to", "last", type=MOMENT, required=True, metavar="TIME", help="Last tick, UTC.")
@click.option("--set", "changes", multiple=True, metavar="NAME=VALUE", help="A policy value, e.g. total.act=0.9.")
@click.option("--policy", "file", type=click.Path(path_type=Path, dir_okay=False), help="TOML with policy values.")
@click.option("--dc", "dcs", multiple=True, metavar="DC", help="Only this DC; may be repeated.")
def replay(first: datetime, last: datetime, changes: tuple[str, ...], file: Path | None, dcs: tuple[str, ...]) -> None:
    """Run history again with another policy, and compare the alerts of the two.

    Reads the feeds as each tick could have read them, and writes nothing. Where the floor answered, the two policies
    are compared by the answers as well: whether the other one might take the champion's place, and what speaks against
    it.

    \b
    Example: act earlier on full buffers
      fillrate buffers replay --from 2026-11-10T06:00 --to 2026-11-10T23:00 --set total.act=0.90
    """
    from fillrate_assets import settings
    from fillrate_assets.buffers.report.policy_backtest import Backtest, build_policy
    from fillrate_assets.cli.progress import show_progress

    chosen = settings.load()
    policy = build_policy(_open_policies(chosen).read_active().champion, changes, file)
    again = Backtest(chosen, policy, first, last, dcs)
    with show_progress("Running history again", len(again.ticks)) as advance:
        for at in again.run():
            advance(f"{at:%Y-%m-%d %H:%M}")
    for line in again.compare():
        click.echo(escape_controls(line))


@buffers.group(invoke_without_command=True)
@click.pass_context
def policies(context: click.Context) -> None:
    """List the policies: which one decides, and which ones run beside it.

    A challenger runs on the same ticks as the champion and sends nothing. It may take the champion's place when the
    floor's answers speak for it; if it then proves worse, the place goes back by itself.

    \b
    Example: try to act earlier, and look after two weeks
      fillrate buffers policies propose --set total.act=0.90
      fillrate buffers policies promote v1-0123abcd
    """
    if context.invoked_subcommand is not None:
        return
    from fillrate_assets import settings
    from fillrate_assets.core.text_table import format_table

    store = _open_policies(settings.load())
    rows, running = store.read_all(), [each.version for each in store.read_active().all]
    champion = running[0]
    found = []
    if rows.filter(version=champion, role="CHAMPION").is_empty():
        found.append([champion, "CHAMPION", "", "", "the platform's own"])
    for row in rows.iter_rows(named=True):
        version, role = row["version"], row["role"]
        if role == "RETIRED" and version == champion:
            continue  # the first line names it: it decides again
        idle = "" if role == "RETIRED" or version in running else "  (cannot be used: does not run)"
        since = f"{row['since_ts']:%Y-%m-%d %H:%M}"
        found.append([version, role, since, row["updated_by"], f"{row['changes']}{idle}"])
    for line in format_table(["version", "role", "since (UTC)", "by", "changes"], found):
        click.echo(line)


@policies.command()
@click.option("--set", "changes", multiple=True, metavar="NAME=VALUE", help="A policy value, e.g. total.act=0.9.")
@click.option("--policy", "file", type=click.Path(path_type=Path, dir_okay=False), help="TOML with policy values.")
def propose(changes: tuple[str, ...], file: Path | None) -> None:
    """Let a policy run beside the champion from the next tick on."""
    from fillrate_assets import settings
    from fillrate_assets.buffers.report.policy_backtest import parse_changes

    policy = _open_policies(settings.load()).propose(parse_changes(changes, file), by=_whoami(), now=datetime.now(UTC))
    click.echo(f"{policy.version} runs beside the champion from the next tick on")


@policies.command()
@click.argument("version")
@click.option("--days", type=click.IntRange(1, 90), default=14, show_default=True, help="Days to compare.")
def compare(version: str, days: int) -> None:
    """Compare a challenger with the champion by what the floor answered."""
    from fillrate_assets import settings
    from fillrate_assets.buffers.report.policy_backtest import evaluate_challenger

    for line in evaluate_challenger(settings.load(), version, days, now=datetime.now(UTC)).lines:
        click.echo(escape_controls(line))


@policies.command()
@click.argument("version")
@click.option("--days", type=click.IntRange(1, 90), default=14, show_default=True, help="Days to compare.")
def promote(version: str, days: int) -> None:
    """Let a challenger take the champion's place, if nothing speaks against it; the evidence is stored."""
    from fillrate_assets import settings
    from fillrate_assets.buffers.report.policy_backtest import evaluate_challenger

    chosen, now = settings.load(), datetime.now(UTC)
    found = evaluate_challenger(chosen, version, days, now=now)
    for line in found.lines:
        click.echo(escape_controls(line))
    if not found.evidence.promoted:
        raise click.exceptions.Exit(1)
    _open_policies(chosen).promote(version, found.evidence, by=_whoami(), now=now)
    click.echo(f"{version} decides from the next tick on")


@policies.command()
@click.argument("version")
def retire(version: str) -> None:
    """Let a challenger run no more, or forget a policy that another release made."""
    from fillrate_assets import settings

    _open_policies(settings.load()).retire(version, by=_whoami(), now=datetime.now(UTC))
    click.echo(f"{version} runs no more")


@buffers.command()
@click.argument("warehouse")
def links(warehouse: str) -> None:
    """Print the addresses of the pages that no alert links to: a missed problem, and last week's sample.

    Anyone who has them may answer: put them where only the floor of that warehouse finds them. Each works until the
    time that is printed with it.

    \b
    Example
      fillrate buffers links W0001
    """
    from fillrate_assets import settings
    from fillrate_assets.buffers.buffer_store import BufferStore
    from fillrate_assets.buffers.rules.path_signals import load_time_zone
    from fillrate_assets.notifications.signed_links import AUDIT_LIFETIME, LIFETIME, find_last_week
    from fillrate_assets.storage.database import Database
    from fillrate_assets.web.server import require_signer

    chosen, now = settings.load(), datetime.now(UTC)
    signer = require_signer(chosen)
    known = BufferStore(Database.from_settings(chosen)).read_master_data(warehouse).warehouses
    if known.is_empty():
        msg = f"there is no warehouse {warehouse} in the table `warehouse`"
        raise click.UsageError(msg, click.get_current_context())
    week = find_last_week(now, load_time_zone(known["time_zone"][0]))
    for what, url, lifetime in (
        ("report a problem without an alert", signer.make_missed_url(warehouse, now=now), LIFETIME),
        (
            f"last week's sample of silent units, {week}",
            signer.make_audit_url(warehouse, week, now=now),
            AUDIT_LIFETIME,
        ),
    ):
        click.echo(f"{what}, until {now + lifetime:%Y-%m-%d %H:%M} UTC: {url}")


def _open_policies(chosen: Settings) -> PolicyStore:
    from fillrate_assets.buffers.policy_store import PolicyStore
    from fillrate_assets.storage.database import Database

    return PolicyStore(Database.from_settings(chosen))


def _whoami() -> str:
    from getpass import getuser

    return getuser()
