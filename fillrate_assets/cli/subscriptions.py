"""`fillrate subscriptions`: saved views of the buyers' pages, and the messages that are due."""
# ruff: noqa: D301, PLC0415 - click's \b is a backspace, not a backslash; imports where they are needed, as in `cli`

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from fillrate_assets.core import extras
from fillrate_assets.core.errors import PermanentFailure


@click.group()
def subscriptions() -> None:
    """List the saved views of the buyers' pages, and send those that are due."""


@subscriptions.command("list")
def list_views() -> None:
    """List the saved views: whose, when and where to each is sent, and why one was not.

    \b
    Example
      fillrate subscriptions list
    """
    from fillrate_assets import settings
    from fillrate_assets.core.text_table import format_table
    from fillrate_assets.notifications.notifiers.channel import redact_channel
    from fillrate_assets.storage.database import Database
    from fillrate_assets.subscriptions.view_store import ViewStore

    rows = []
    for view in ViewStore(Database.from_settings(settings.load())).list_views():
        when = f"stopped by {view.stopped_by}" if view.stopped_at else view.rhythm.describe()
        sent = "" if view.sent_at is None else f"{view.sent_at:%Y-%m-%d %H:%M}"
        channel = redact_channel(view.channel) if view.channel else ""
        rows.append([view.owner, view.name, when, channel, sent, view.problem])
    if not rows:
        click.echo("no view is saved")
        return
    for line in format_table(["owner", "view", "when", "channel", "sent (UTC)", "problem"], rows):
        click.echo(line)


@subscriptions.command()
@click.argument("name")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="File for it as HTML, as mail has it.")
def show(name: str, out: Path | None) -> None:
    """Show what a message of a saved view, by its name or id, would say now; nothing is sent.

    \b
    Example
      fillrate subscriptions show Monday
      fillrate subscriptions show Monday --out monday.html
    """
    extras.require("web", "fillrate subscriptions show")
    from starlette.exceptions import HTTPException

    from fillrate_assets import settings
    from fillrate_assets.notifications import rendering
    from fillrate_assets.web.buyers.sending import describe_problem
    from fillrate_assets.web.server import make_view_sender

    sender = make_view_sender(settings.load())
    found = [view for view in sender.store.list_views() if name in {view.view_id, view.name}]
    if len(found) != 1:
        also = f"; by their ids: {', '.join(view.view_id for view in found)}" if found else ""
        msg = f"there are {len(found)} saved views {name}{also}"
        raise PermanentFailure(msg)
    try:
        letter, _ = sender.render(found[0], datetime.now(UTC))
    except HTTPException as error:
        msg = f"{name} would not be sent: {describe_problem(error)}"
        raise PermanentFailure(msg) from error
    click.echo(rendering.render_text(rendering.escape_message(letter.message)))
    if out is not None:
        out.write_text(letter.message.html, encoding="utf-8")


@subscriptions.command()
def send() -> None:
    """Send the views that are due, once each; the same again sends nothing.

    The schedule saved_views in Dagster does the same every quarter of an hour.

    \b
    Example
      fillrate subscriptions send
    """
    extras.require("web", "fillrate subscriptions send")
    from fillrate_assets import settings
    from fillrate_assets.web.server import make_view_sender

    result = make_view_sender(settings.load()).send_due(datetime.now(UTC))
    for name in result.written:
        click.echo(f"written: {name}")
    for problem in result.problems:
        click.echo(f"not sent: {problem}", err=True)
    done = result.delivered
    if not (result.written or result.problems or done.sent or done.failed or done.given_up):
        click.echo("nothing is due")
        return
    click.echo(f"{done.sent} sent, {done.failed} tried again later, {done.given_up} given up")
    if result.problems or done.given_up:
        raise click.exceptions.Exit(1)
