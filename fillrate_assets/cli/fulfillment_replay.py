"""`fillrate fulfillment replay`: the log folded anew, events of it delivered again, effects requested again."""
# ruff: noqa: D301, PLC0415 - click's \b is a backspace, not a backslash; imports where they are needed, as in `cli`

from __future__ import annotations

import getpass
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

import click

from fillrate_assets.core.shown_text import escape_controls

if TYPE_CHECKING:
    from fillrate_assets.fulfillment.interventions import Action, Intervention
    from fillrate_assets.fulfillment.replay import ReplayScope
    from fillrate_assets.settings import Settings


@click.command()
@click.argument("what", type=click.Choice(["verify", "rebuild", "redeliver", "refire"]))
@click.option("--order", help="Only this order or party.")
@click.option("--dc", help="Only orders of this DC.")
@click.option("--ship-date", type=click.DateTime(["%Y-%m-%d"]), help="Only orders of this ship date.")
@click.option("--since", type=click.IntRange(1), help="Only orders with an event from this global_seq on.")
@click.option("--until", type=click.IntRange(1), help="Only orders with an event up to this global_seq.")
@click.option("--effect", "effects", metavar="EFFECT_ID", multiple=True, help="Of refire: request this effect.")
@click.option("--new-generation", is_flag=True, help="Of refire: under new ids, so that targets do it again.")
@click.option("--reason", help="Why; of redeliver and refire.")
@click.option("--approver", help="Who approved it, another person; of refire.")
def replay(  # noqa: PLR0913 - options
    *,
    what: str,
    order: str | None,
    dc: str | None,
    ship_date: datetime | None,
    since: int | None,
    until: int | None,
    effects: tuple[str, ...],
    reason: str | None,
    approver: str | None,
    new_generation: bool,
) -> None:
    """Replay orders from their first events on: verify, rebuild, redeliver or refire.

    verify folds the log and compares it with the orders' states and the feed; rebuild puts it in their place. Neither
    requests an effect. redeliver enqueues the events again: those that are applied change nothing, their effects that
    are not done are requested. refire requests effects again, under their ids. Who did it and why is in `history`.

    \b
    Example: one DC
      fillrate fulfillment replay verify --dc DC01
    Example: the carrier lost a booking
      fillrate fulfillment replay refire --effect O1:5:book_carrier --reason "lost in their outage" --approver "M. Ruiz"
    """
    from fillrate_assets import settings
    from fillrate_assets.fulfillment.replay import ReplayScope

    chosen = settings.load()
    scope = ReplayScope(order, dc, ship_date.date() if ship_date else None, since, until)
    if what in {"verify", "rebuild"}:
        _fold(chosen, scope, _intervene("REBUILT", reason or "their log says otherwise") if what == "rebuild" else None)
        return
    if not reason:
        msg = f"{what} needs a --reason"
        raise click.UsageError(msg)
    if what == "redeliver":
        _redeliver(chosen, scope, _intervene("REDELIVERED", reason))
    elif not effects or not approver:
        msg = "refire needs one --effect at least, and an --approver"
        raise click.UsageError(msg)
    else:
        _refire(chosen, effects, _intervene("REFIRED", reason, approver), new_generation=new_generation)


def _intervene(action: Action, reason: str, approver: str | None = None) -> Intervention:
    from fillrate_assets.fulfillment.interventions import Intervention

    return Intervention(action, getpass.getuser(), reason, version("fillrate-assets"), approver)


def _fold(settings: Settings, scope: ReplayScope, intervention: Intervention | None) -> None:
    from fillrate_assets.cli import fulfillment_systems as systems
    from fillrate_assets.cli.progress import show_count
    from fillrate_assets.fulfillment.replay import ReplayResult

    replays, result, rebuilt = systems.choose_replay(settings), ReplayResult(), 0
    with show_count("events folded") as progress:
        for part in replays.verify_parts(scope):
            for problem in part.problems:
                click.echo(escape_controls(problem), err=True)
            if intervention is not None:
                rebuilt += replays.rebuild(part, intervention)
            result.add(part)
            progress(result.events)
    same = "as the log says" if not result.differing else f"{result.differing:,} differ"
    click.echo(f"{result.orders:,} orders and parties, {result.events:,} events: {same}; {result.log_digest[:16]}")
    if intervention is not None and result.differing:
        click.echo(f"{rebuilt:,} rebuilt")
    if result.differing > rebuilt:
        raise click.exceptions.Exit(1)


def _redeliver(settings: Settings, scope: ReplayScope, intervention: Intervention) -> None:
    from fillrate_assets.cli import fulfillment_systems as systems
    from fillrate_assets.cli.progress import show_count
    from fillrate_assets.fulfillment.redelivery import redeliver

    database = systems.open_database(settings)
    with (
        systems.make_queue(settings, "fillrate fulfillment replay redeliver") as queue,
        show_count("events enqueued") as progress,
    ):
        sent = redeliver(database, queue, scope, intervention, progress=progress)
    click.echo(f"{sent:,} events are enqueued again")


def _refire(settings: Settings, effects: tuple[str, ...], intervention: Intervention, *, new_generation: bool) -> None:
    from fillrate_assets.cli import fulfillment_systems as systems
    from fillrate_assets.fulfillment.redelivery import refire

    with systems.make_queue(settings, "fillrate fulfillment replay refire") as queue:
        database = systems.open_database(settings)
        for effect_id in refire(database, queue, effects, intervention, new_generation=new_generation):
            click.echo(f"{effect_id} is requested again")
