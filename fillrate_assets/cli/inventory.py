"""`fillrate inventory`: the stock of every DC, its copies in all others, and the proof that they agree."""
# ruff: noqa: D301, PLC0415 - click's \b is a backspace, not a backslash; imports where they are needed, as in `cli`

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import click

from fillrate_assets.cli import stopping
from fillrate_assets.cli.cases import CASES
from fillrate_assets.cli.dead_letters import make_group, print_lines
from fillrate_assets.cli.progress import add_findings_option
from fillrate_assets.core import extras

if TYPE_CHECKING:
    from fillrate_assets.messaging.dead_letters import DeadLetters


class _Line(click.ParamType[tuple[str, Decimal]]):
    name = "item=cases"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Decimal]:
        """Read a line of an order."""
        item, _, number = str(value).rpartition("=")
        cases = CASES.convert(number, param, ctx)
        if not item or not cases:
            self.fail(f"{value} is no line of an order: ITEM=CASES, with more than nothing", param, ctx)
        return item, cases


@click.group()
def inventory() -> None:
    """Inventory: what every DC has, that every other DC knows it, and that both agree."""


@inventory.command()
@click.option("--orders", type=click.IntRange(1, 100_000), default=400, show_default=True, help="How many orders.")
@click.option("--items", type=click.IntRange(3, 10_000), default=30, show_default=True, help="How many items a DC has.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Another seed, another hour.")
@add_findings_option
def demo(*, orders: int, items: int, seed: int, findings: Path | None) -> None:
    """Run an hour of peak at speed, with the outage of a DC, and show what became of it.

    Orders reserve hot items on three DCs at once. DCs are busy, or silent after they did the work, and one is gone for
    a third of the hour. Then one DC writes what the source never said, and reconciliations repair it. It exits with 1
    if anything was oversold or is not equal in the end.

    \b
    Example: more orders of fewer items
      fillrate inventory demo --orders 2000 --items 10
    """
    extras.require("fulfillment", "fillrate inventory demo")
    extras.require("sample", "fillrate inventory demo")
    from fillrate_assets import settings
    from fillrate_assets.cli import inventory_demo
    from fillrate_assets.cli.progress import show_activity

    with show_activity("An hour of peak"):
        result = inventory_demo.run_peak(settings.load(), orders, items, seed)
    print_lines(inventory_demo.describe(result))
    inventory_demo.find(result).write(findings)
    if not result.is_right:
        raise click.exceptions.Exit(1)


@inventory.command("set")
@click.argument("dc")
@click.argument("item")
@click.argument("cases", type=CASES)
@click.option("--by", default="command", show_default=True, help="Who counted.")
def set_count(dc: str, item: str, cases: Decimal, by: str) -> None:
    """Set what a DC has of an item, as it was counted; the same count again changes nothing.

    \b
    Example
      fillrate inventory set DC01 4711 15 --by "cycle count"
    """
    from fillrate_assets import settings
    from fillrate_assets.cli import fulfillment_systems, inventory_systems
    from fillrate_assets.core.decimals import format_cases
    from fillrate_assets.inventory.sources.replica_factory import open_stock

    chosen = settings.load()
    stock = open_stock(chosen, fulfillment_systems.open_database(chosen))
    changed = inventory_systems.count_stock(stock, dc, item, cases, by)
    click.echo(
        "unchanged" if changed is None else f"{item} of {dc}: {format_cases(changed.on_hand)}, seq {changed.seq}"
    )


@inventory.command()
@click.argument("item")
@click.argument("dc")
@click.option("--by", required=True, help="Who decided it.")
def settle(item: str, dc: str, by: str) -> None:
    """Make the ledger explain the count of ITEM in DC, once people know why it did not.

    What is on hand stays: set it first if it was counted. What is reserved becomes what orders have open. Both are a
    version of the count, under the name of who decided it.
    """
    from fillrate_assets import settings
    from fillrate_assets.cli import fulfillment_systems
    from fillrate_assets.inventory.rules.replication import Cause
    from fillrate_assets.inventory.sources.replica_factory import get_utc_now, open_stock

    chosen, now = settings.load(), get_utc_now()
    cause = Cause(by, f"settled:{now.isoformat(timespec='milliseconds')}")
    stock = open_stock(chosen, fulfillment_systems.open_database(chosen))
    settled = stock.settle(dc, item, cause, now=now)
    if settled is None:
        print_lines([f"nothing is to be settled of {item} in {dc}"])
    else:
        print_lines([f"{item} of {dc}: {settled.on_hand:f}, {settled.reserved:f} of it reserved, seq {settled.seq}"])


@inventory.command()
@click.argument("order")
@click.argument("dc")
@click.argument("lines", nargs=-1, required=True, type=_Line(), metavar="ITEM=CASES...")
@click.option("--version", type=click.IntRange(1), default=1, show_default=True, help="Of the order, that requests it.")
def reserve(order: str, dc: str, lines: tuple[tuple[str, Decimal], ...], version: int) -> None:
    """Reserve the lines of an order, all or none; the same request again takes nothing.

    It exits with 1 where there is too little. Orders of fulfillment reserve by themselves.

    \b
    Example
      fillrate inventory reserve O1 DC01 4711=3 4712=1
    """
    from fillrate_assets import settings
    from fillrate_assets.cli import fulfillment_systems

    chosen = settings.load()
    ledger = fulfillment_systems.make_stock(chosen, fulfillment_systems.open_database(chosen))
    numbered = [(number, item, cases) for number, (item, cases) in enumerate(lines, start=1)]
    answer = ledger.reserve(order, version, dc, numbered)
    print_lines([f"{order}: {answer}"])
    if answer != "RESERVED":
        raise click.exceptions.Exit(1)


@inventory.command()
@click.argument("order")
def release(order: str) -> None:
    """Give back what an order has reserved; to reserve again it needs a later version."""
    from fillrate_assets import settings
    from fillrate_assets.cli import fulfillment_systems

    chosen = settings.load()
    ledger = fulfillment_systems.make_stock(chosen, fulfillment_systems.open_database(chosen))
    before = ledger.table.read_reservation(order)
    print_lines([f"{order}: {ledger.release(order, before.version + 1)}"])


@inventory.command()
@click.argument("dc")
def add(dc: str) -> None:
    """Add a DC: every change goes to it from now on, and it is sent all counts that there are.

    It may be run again, also for a DC that lost its copies. Workers that run have to be started again to serve it;
    changes wait for them meanwhile. It exits with 1 where the DC refused a count, or has another of one version.
    """
    from fillrate_assets import settings
    from fillrate_assets.cli import fulfillment_systems, inventory_systems
    from fillrate_assets.inventory.backfill import fill
    from fillrate_assets.inventory.replica_registry import ReplicaRegistry
    from fillrate_assets.inventory.sources import replica_factory

    chosen = settings.load()
    database = fulfillment_systems.open_database(chosen)
    inventory_systems.require_replica({**chosen.inventory.replicas} or {dc: ""}, dc)
    ReplicaRegistry(database).add(dc, now=replica_factory.get_utc_now())
    stock = replica_factory.open_stock(chosen, database)
    outcomes = fill(stock, replica_factory.make_replicas(chosen, database)[dc])
    named = ", ".join(f"{count:,} {name}" for name, count in sorted(outcomes.items()))
    print_lines([f"{dc}: {outcomes.total():,} counts sent{f' ({named})' if named else ''}"])
    if outcomes["CONFLICT"] or outcomes["REFUSED"]:
        raise click.exceptions.Exit(1)


@inventory.command()
@click.argument("dc")
def remove(dc: str) -> None:
    """Send a DC that was added no changes any more, and forget what waits for it.

    Take it out of FILLRATE_INVENTORY__REPLICAS before, if it is there, and start the workers again.
    """
    from fillrate_assets import settings
    from fillrate_assets.cli import fulfillment_systems
    from fillrate_assets.core.errors import PermanentFailure
    from fillrate_assets.inventory.fan_out import name_queue
    from fillrate_assets.inventory.replica_registry import ReplicaRegistry

    chosen = settings.load()
    if dc in chosen.inventory.replicas:
        msg = f"{dc} is in FILLRATE_INVENTORY__REPLICAS: take it out first"
        raise PermanentFailure(msg)
    ReplicaRegistry(fulfillment_systems.open_database(chosen)).remove(dc)
    with fulfillment_systems.make_queue(chosen, "fillrate inventory remove") as queue:
        cleared = queue.clear(name_queue(dc))
    print_lines([f"{dc} is removed; {cleared:,} batches of changes waited for it"])


@inventory.command()
@click.argument("item", required=False)
def status(item: str | None) -> None:
    """Show what every DC has of an item; without one, how much every DC has, and what is under way."""
    from fillrate_assets import settings
    from fillrate_assets.cli import fulfillment_systems
    from fillrate_assets.inventory.report.stock_report import describe_network, describe_stock
    from fillrate_assets.inventory.sources import replica_factory

    database = fulfillment_systems.open_database(settings.load())
    now = replica_factory.get_utc_now()
    print_lines(describe_network(database, now=now) if item is None else describe_stock(database, item))


@inventory.command()
@click.argument("item")
@click.argument("dc")
@click.argument("replica", required=False)
def explain(item: str, dc: str, replica: str | None) -> None:
    """Explain why REPLICA has the count of ITEM in DC that it has; by default the DC itself.

    \b
    Example: what DC02 knows of the stock of DC01
      fillrate inventory explain 4711 DC01 DC02
    """
    from fillrate_assets import settings
    from fillrate_assets.cli import fulfillment_systems, inventory_systems
    from fillrate_assets.core.errors import SourceUnavailable
    from fillrate_assets.inventory.report.stock_report import read_count
    from fillrate_assets.inventory.sources import replica_factory

    chosen, name = settings.load(), replica or dc
    database = fulfillment_systems.open_database(chosen)
    replicas = replica_factory.make_replicas(chosen, database)
    inventory_systems.require_replica(replicas, name)
    copy, unread = None, None
    try:
        copy = replicas[name].read_copy(dc, item)
    except SourceUnavailable as error:
        unread = str(error)
    print_lines(read_count(database, dc, item, name, copy, unread).describe())


@inventory.command()
def reconcile() -> None:
    """Compare every copy with the source, and repair what differs; it exits with 1 where a DC did not answer."""
    from fillrate_assets import settings
    from fillrate_assets.cli import fulfillment_systems, inventory_systems
    from fillrate_assets.inventory.report.stock_report import describe_reconciliation
    from fillrate_assets.inventory.sources import replica_factory

    chosen = settings.load()
    database = fulfillment_systems.open_database(chosen)
    replicas = replica_factory.make_replicas(chosen, database)
    stock = replica_factory.open_stock(chosen, database)
    done = inventory_systems.make_reconciler(database, replicas, stock).run(now=replica_factory.get_utc_now())
    print_lines(describe_reconciliation(done))
    if done.failures:
        raise click.exceptions.Exit(1)


@inventory.command()
@click.option("--name", default="inventory", show_default=True, help="Two workers on one database need two names.")
def worker(name: str) -> None:
    """Send every change to every DC, until it is stopped.

    DCs are those of FILLRATE_INVENTORY__REPLICAS; by default, those that have stock, each with a copy in the home.
    """
    from fillrate_assets import settings
    from fillrate_assets.cli import fulfillment_systems, inventory_systems
    from fillrate_assets.core.errors import PermanentFailure
    from fillrate_assets.inventory.sources import replica_factory

    chosen = settings.load()
    with (
        suppress(stopping.Stopped),
        fulfillment_systems.make_queue(chosen, "fillrate inventory worker") as queue,
        fulfillment_systems.report(chosen, "fillrate-inventory", queue),
        fulfillment_systems.open_database(chosen).hold_open() as database,
    ):
        replicas = replica_factory.make_replicas(chosen, database)
        if not replicas:
            msg = "there is no DC to send to: set FILLRATE_INVENTORY__REPLICAS, or what a DC has by `inventory set`"
            raise PermanentFailure(msg)
        with inventory_systems.Sync(chosen, database, queue, replicas, name).run():
            click.echo(f"{name} sends changes to {', '.join(replicas)}", err=True)
            Event().wait()


@inventory.command()
@click.argument("dc")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8200, show_default=True, help="Port to listen on.")
def serve(dc: str, host: str, port: int) -> None:
    """Serve the copies of a DC over HTTP, as the DC's own system would, until it is stopped.

    \b
    Example
      fillrate inventory serve DC02 --port 8202
    """
    extras.require("web", "fillrate inventory serve")
    from fillrate_assets import settings
    from fillrate_assets.cli import inventory_systems
    from fillrate_assets.inventory.sources import replica_factory
    from fillrate_assets.web.replica.app import build_app
    from fillrate_assets.web.server import build_server

    chosen = settings.load()
    app = build_app(
        replica_factory.open_replica_store(chosen, dc),
        token=inventory_systems.require_token(chosen),
        allowed_hosts={host, "localhost", *chosen.web.allowed_hosts},
        clock=replica_factory.get_utc_now,
    )
    # It is meant to be stopped: that is no failure.
    with suppress(stopping.Stopped):
        build_server(app, host, port).run()


@contextmanager
def _open_letters() -> Iterator[DeadLetters]:
    from fillrate_assets import settings
    from fillrate_assets.cli import fulfillment_systems
    from fillrate_assets.inventory.fan_out import is_sync_queue
    from fillrate_assets.messaging.dead_letters import DeadLetters

    with fulfillment_systems.make_queue(settings.load(), "fillrate inventory dead-letters") as queue:
        yield DeadLetters(queue, is_sync_queue)


inventory.add_command(
    make_group(
        _open_letters,
        "\b\nExample: after DC02 knows the item\n  fillrate inventory dead-letters redrive DC02:4711-12",
    )
)
