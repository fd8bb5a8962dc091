"""`fillrate outbox`: messages that are not sent yet, and dead letters, which can be sent again."""
# ruff: noqa: D301, PLC0415 - click's \b is a backspace, not a backslash; imports where they are needed, as in `cli`

from __future__ import annotations

from datetime import UTC, datetime

import click


@click.group()
def outbox() -> None:
    """Show the messages that are not sent yet, and replay dead letters."""


@outbox.command("list")
@click.option("--dead", is_flag=True, help="Only dead letters: what was refused for good, or not sent in time.")
def list_messages(*, dead: bool) -> None:
    """List the messages that wait and the dead letters, oldest first.

    \b
    Example
      fillrate outbox list --dead
    """
    from fillrate_assets import settings
    from fillrate_assets.core.text_table import format_table
    from fillrate_assets.notifications.outbox_admin import list_unsent
    from fillrate_assets.storage.database import Database

    rows = []
    for each in list_unsent(Database.from_settings(settings.load())):
        due = each.next_attempt_at
        if dead and due is not None:
            continue
        state = "dead letter" if due is None else f"due {due:%Y-%m-%d %H:%M}"
        created = f"{each.created_at:%Y-%m-%d %H:%M}"
        texts = [" ".join(text.split()) for text in (each.subject, each.failure)]
        rows.append([each.message_id, each.queue, each.channel, created, state, str(each.attempts), *texts])
    if not rows:
        click.echo("there are no dead letters" if dead else "every message is sent")
        return
    headings = ["message", "queue", "channel", "created (UTC)", "state", "attempts", "subject", "last failure"]
    for line in format_table(headings, rows, numbers=["attempts"]):
        click.echo(line)


@outbox.command()
@click.argument("message_ids", metavar="MESSAGE", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Replay every dead letter.")
def replay(message_ids: tuple[str, ...], *, every: bool) -> None:
    """Make dead letters due again: the next delivery of their queue sends them as they were written.

    They have as much time to be sent as they had at first. A queue is delivered by what writes to it: that of the
    buffers by the next tick.

    \b
    Example: after a channel's URL was corrected
      fillrate outbox replay msg_1f0c
    """
    from fillrate_assets import settings
    from fillrate_assets.core.errors import PermanentFailure
    from fillrate_assets.notifications.outbox_admin import replay_dead_letters
    from fillrate_assets.storage.database import Database

    if bool(message_ids) == every:
        msg = "name messages, or all of them with --all"
        raise click.UsageError(msg, click.get_current_context())
    database = Database.from_settings(settings.load())
    replayed = replay_dead_letters(database, None if every else message_ids, now=datetime.now(UTC))
    for message_id in replayed:
        click.echo(f"{message_id} is due again")
    if missing := sorted(set(message_ids) - set(replayed)):
        msg = f"no dead letters: {', '.join(missing)}; see `fillrate outbox list --dead`"
        raise PermanentFailure(msg)
    if not replayed:
        click.echo("there are no dead letters")
