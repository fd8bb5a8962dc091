"""`fillrate fulfillment`: events of orders and onboardings, from their intake to why one order is where it is."""
# ruff: noqa: D301, PLC0415 - click's \b is a backspace, not a backslash; imports where they are needed, as in `cli`

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import click

from fillrate_assets.cli import stopping
from fillrate_assets.cli.dead_letters import print_lines
from fillrate_assets.cli.fillrate import run_ranges
from fillrate_assets.cli.fulfillment_jobs import dead_letters, parked
from fillrate_assets.cli.fulfillment_replay import replay
from fillrate_assets.cli.progress import add_findings_option
from fillrate_assets.core import extras
from fillrate_assets.core.shown_text import escape_controls

if TYPE_CHECKING:
    from fillrate_assets.fulfillment.report.order_report import OrderReport
    from fillrate_assets.sample.order_network import OrderNetwork

_SUBMITTED = 500
_WORDS = {"ACCEPTED": "accepted", "DUPLICATE": "known already", "CONFLICTING": "known with another payload"}


@click.group()
def fulfillment() -> None:
    """Fulfillment: what happens to orders between receipt and delivery, and to parties that are onboarded."""


for _command in (dead_letters, parked, replay):
    fulfillment.add_command(_command)


@fulfillment.command()
@click.option("--orders", type=click.IntRange(1, 100_000), default=150, show_default=True, help="How many orders.")
@click.option("--parties", type=click.IntRange(0, 1_000), default=9, show_default=True, help="How many onboardings.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Another seed, another day.")
@click.option("--outage/--no-outage", default=True, show_default=True, help="The carrier is gone for a third of it.")
@click.option("--fill-rates", is_flag=True, help="Ten ship days and today, and the fill rates of their orders.")
@add_findings_option
def demo(*, orders: int, parties: int, seed: int, outage: bool, fill_rates: bool, findings: Path | None) -> None:
    """Send a simulated day at speed, with faults, and show what became of it.

    Events come twice, early and contradicting. Targets are slow, busy, silent after they did the work, and late; the
    carrier is gone for a while. At the end nothing may be lost and nothing done twice, or it exits with 1. Run again
    in the same home, it sends the same events, which are known then.

    With --fill-rates the orders are those of a small network, whose items, DCs and snapshots are filled into the home,
    which must hold no other network. Today its items are counted, the counts go to its DCs, which give the snapshots,
    and orders take what there is. What shipped goes through Dagster into fill rates.

    \b
    Example: a day of a thousand orders
      fillrate fulfillment demo --orders 1000
    """
    extras.require("fulfillment", "fillrate fulfillment demo")
    from fillrate_assets import settings
    from fillrate_assets.cli import fulfillment_demo, network_day
    from fillrate_assets.cli.progress import name_command, show_activity
    from fillrate_assets.sample.fulfillment_day import SimulatedDay

    network = _fill_network(orders, parties, seed) if fill_rates else None
    day = network or SimulatedDay(orders, parties, date(2026, 2, 10), seed)
    chosen, documents = settings.load(), day.make_documents()
    with show_activity("Sending a day of orders"):
        result = fulfillment_demo.run_day(chosen, documents, seed, outage=outage, network=network)
    for line in fulfillment_demo.describe(result):
        click.echo(line)
    failed = network is not None and _run_fill_rates(network)
    known = [each["order_id"] for each in documents if each["type"] == "OrderReceived"]
    short = None if network is None else network_day.find_short_order(settings.load(), network)
    if short is not None:
        print_lines([f"Why was {short.order.order_id} short?", *short.summarize(), ""])
    print_lines([*fulfillment_demo.list_next_steps(known, short, name_command())])
    if findings is not None:
        fulfillment_demo.find(chosen, result, known[0], short).write(findings)
    if failed or not result.is_right:
        raise click.exceptions.Exit(1)


def _fill_network(orders: int, parties: int, seed: int) -> OrderNetwork:
    """Fill the home with a network whose orders come from fulfillment, or find the one that is there."""
    extras.require("sample", "fillrate fulfillment demo --fill-rates")
    from fillrate_assets import settings
    from fillrate_assets.sample.order_network import DAYS, OrderNetwork

    chosen = settings.load()
    # Run again in a later week, its orders are those of the days that it began with.
    filled = chosen.with_one_network(datetime.now(UTC).date() - DAYS)
    network = OrderNetwork.make(orders, parties, seed, first=filled.first_ship_date)
    network.fill(filled)
    return network


def _run_fill_rates(network: OrderNetwork) -> bool:
    """Run fill rates on the orders of a network through Dagster, and say what they add up to; return if it failed."""
    from fillrate_assets import settings
    from fillrate_assets.cli import fulfillment_demo, launcher
    from fillrate_assets.inventory.defs import assets as counts

    chosen, days = settings.load(), network.network
    click.echo("")
    failed = run_ranges([launcher.RunRange(dc, days.first, network.today) for dc in days.dc_codes], launcher.PROCESSES)
    launcher.report_pipeline(chosen)
    launcher.run_job(chosen, counts.JOB, counts.find_last_window(chosen.first_ship_date, datetime.now(UTC)))
    launcher.run_job(chosen, counts.HEALTH_JOB)
    print_lines([*fulfillment_demo.reconcile(chosen), ""])
    return failed


@fulfillment.command()
@click.argument("file", type=click.File(encoding="utf-8"))
def submit(file: Any) -> None:  # noqa: ANN401 - a text stream of click
    """Submit the events of a JSON file: one, a list, or a line for each; `-` reads standard input.

    What is known already changes nothing. What is no event is named, with its number, and the others are submitted.

    \b
    Example
      fillrate fulfillment submit events.jsonl
    """
    from fillrate_assets import settings
    from fillrate_assets.cli import fulfillment_systems as systems
    from fillrate_assets.cli.fulfillment_files import read_events
    from fillrate_assets.fulfillment.event_intake import EventIntake

    chosen, counts, refused = settings.load(), dict.fromkeys(_WORDS, 0), 0
    found = [*read_events(file.read())]
    with systems.open_stores(chosen, "fillrate fulfillment submit") as stores:
        intake = EventIntake(stores.queue, stores.accepted)
        events = [each for _, each in found if not isinstance(each, str)]
        for start in range(0, len(events), _SUBMITTED):
            for acceptance in intake.accept(events[start : start + _SUBMITTED]):
                counts[acceptance] += 1
    for number, each in found:
        if isinstance(each, str):
            refused += 1
            click.echo(escape_controls(f"event {number}: {each}"), err=True)
    click.echo(", ".join(f"{count} {_WORDS[name]}" for name, count in counts.items()) + f", {refused} refused")
    if refused or counts["CONFLICTING"]:
        raise click.exceptions.Exit(2)


@fulfillment.command()
@click.argument("order", required=False)
def status(order: str | None) -> None:
    """Show where an order or party is, and what it waits for; without one, how much is where.

    \b
    Example: what waits, was given up or is parked
      fillrate fulfillment status
    """
    if order is not None:
        print_lines(_read_order(order).describe_status())
        return
    from fillrate_assets import settings
    from fillrate_assets.cli import fulfillment_systems as systems

    with systems.open_stores(settings.load(), "fillrate fulfillment status") as stores:
        print_lines(stores.describe_totals())
        queue = stores.queue
        waiting = queue.count_waiting()
        waits = ", ".join(f"{count:,} in {name}" for name, count in sorted(waiting.items())) or "none"
        click.echo(f"jobs that are due: {waits}; put off: {queue.count_unfinished() - sum(waiting.values()):,}")
        click.echo(f"parked: {queue.count_parked():,}; dead letters: {queue.count_dead_letters():,}")


@fulfillment.command()
@click.argument("order")
def history(order: str) -> None:
    """List what happened to an order or party, oldest first."""
    print_lines(_read_order(order).describe_history())


@fulfillment.command()
@click.argument("order")
def explain(order: str) -> None:
    """Explain why an order or party is where it is: events, causes, effects, and what changed nothing."""
    print_lines(_read_order(order).explain())


@fulfillment.command()
@click.option("--name", default="worker", show_default=True, help="Two workers on one database need two names.")
@click.option("--simulated", is_flag=True, help="Let simulated targets do what is requested.")
def worker(name: str, *, simulated: bool) -> None:
    """Apply events and request their effects, until it is stopped.

    What it was killed at is taken up when it starts again under the same name. Targets are those of
    FILLRATE_FULFILLMENT__TARGETS; effects of a function without one wait.

    \b
    Example: on this machine, without any other system
      fillrate fulfillment worker --simulated
    """
    from fillrate_assets import settings
    from fillrate_assets.cli import fulfillment_systems as systems
    from fillrate_assets.fulfillment.rules.lifecycles import FUNCTIONS
    from fillrate_assets.fulfillment.sources.targets import Target

    chosen = settings.load()
    targets: dict[str, Target] = systems.make_targets(chosen)
    with systems.make_queue(chosen, "fillrate fulfillment worker") as queue:
        if simulated:
            from fillrate_assets.sample.fulfillment_targets import SimulatedWorld

            world = SimulatedWorld(inventory=systems.make_stock(chosen, systems.open_database(chosen)))
            targets = {**world.make_targets(FUNCTIONS), **targets}
        # It is meant to be stopped: that is no failure.
        with (
            suppress(stopping.Stopped),
            systems.report(chosen, "fillrate-worker", queue),
            systems.open_database(chosen).hold_open() as database,
        ):
            jobs, engine = systems.make_worker(chosen, database, queue, targets, name)
            with engine:
                left = jobs.request_left_effects()
                click.echo(f"{name} listens to {', '.join(jobs.handlers)}; {left} effects were left", err=True)
                Event().wait()


@fulfillment.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8100, show_default=True, help="Port to listen on.")
def serve(host: str, port: int) -> None:
    """Take events over HTTP, by POST of /events, until it is stopped.

    Sources send FILLRATE_FULFILLMENT__EVENT_TOKEN, or sign with FILLRATE_FULFILLMENT__EVENT_SECRET. It speaks plain
    HTTP: a proxy in front of it speaks TLS, under a name of FILLRATE_WEB__ALLOWED_HOSTS.

    \b
    Example
      fillrate fulfillment serve --port 8100
    """
    extras.require("web", "fillrate fulfillment serve")
    from fillrate_assets import settings
    from fillrate_assets.cli import fulfillment_systems as systems
    from fillrate_assets.fulfillment.accepted_events import AcceptedEvents
    from fillrate_assets.fulfillment.event_intake import EventIntake
    from fillrate_assets.web.events.app import build_app
    from fillrate_assets.web.events.authentication import make_senders
    from fillrate_assets.web.server import build_server

    chosen = settings.load()
    senders = make_senders(chosen.fulfillment)
    # It is meant to be stopped: that is no failure.
    with (
        suppress(stopping.Stopped),
        systems.make_queue(chosen, "fillrate fulfillment serve") as queue,
        systems.report(chosen, "fillrate-intake", queue),
        systems.open_database(chosen).hold_open() as database,
    ):
        app = build_app(
            intake=EventIntake(queue, AcceptedEvents(database)),
            senders=senders,
            max_backlog=chosen.fulfillment.max_backlog,
            allowed_hosts={host, "localhost", *chosen.web.allowed_hosts},
        )
        queue.prepare()
        build_server(app, host, port).run()


@fulfillment.command()
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many, the newest first.")
def rejected(limit: int) -> None:
    """List the events that changed nothing, and why: INVALID ones, and those that contradict a known one."""
    from fillrate_assets import settings
    from fillrate_assets.cli import fulfillment_systems as systems
    from fillrate_assets.fulfillment.report.order_report import list_rejected

    print_lines(list_rejected(systems.open_database(settings.load()), limit) or ["no event is rejected"])


def _read_order(order_id: str) -> OrderReport:
    from fillrate_assets import settings
    from fillrate_assets.cli import fulfillment_systems as systems

    with systems.open_stores(settings.load(), "fillrate fulfillment") as stores:
        return stores.read_order(order_id)
