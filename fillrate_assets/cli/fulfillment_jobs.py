"""`fillrate fulfillment dead-letters` and `parked`: jobs that were given up, and those that wait to be released."""
# ruff: noqa: D301, PLC0415 - click's \b is a backspace, not a backslash; imports where they are needed, as in `cli`

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

import click

from fillrate_assets.core.codes import escape_controls
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.core.text_table import format_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fillrate_assets.cli.fulfillment_systems import Stores
    from fillrate_assets.messaging.jobs import StoredJob

_MOST: Final = 10_000


@click.group("dead-letters", invoke_without_command=True)
@click.pass_context
def dead_letters(context: click.Context) -> None:
    """List, show, redrive or discard the jobs that were given up; without a command, list them.

    \b
    Example: after the carrier has mended it
      fillrate fulfillment dead-letters redrive O1:5:book_carrier~007
    """
    if context.invoked_subcommand is None:
        context.invoke(list_letters)


@dead_letters.command("list")
@click.option("--limit", type=click.IntRange(1), default=_MOST, show_default=True, help="How many, the oldest first.")
def list_letters(limit: int) -> None:
    """List them: since when, after how many attempts, and why."""
    with _open_stores() as stores:
        _print_jobs(stores.queue.list_dead_letters(limit), "there are no dead letters")


@dead_letters.command()
@click.argument("job")
def show(job: str) -> None:
    """Show everything that is stored about one, as JSON: its body as it came, source, error and times."""
    with _open_stores() as stores:
        found = next((each for each in stores.queue.list_dead_letters(_MOST) if each.job.job_id == job), None)
    if found is None:
        msg = f"there is no dead letter {job}"
        raise PermanentFailure(msg)
    described = {
        "job": found.job.job_id,
        "queue": found.job.queue,
        "event_id": found.job.body.get("event_id"),
        "effect_id": found.job.body.get("effect_id"),
        "source": found.source,
        "error": found.error,
        "reason": found.reason,
        "attempts": found.job.attempts,
        "first_failed_at": found.job.first_failed_at,
        "last_failed_at": found.since.isoformat(),
        "code_version": found.code_version,
        "body": dict(found.job.body) if found.is_job else found.body,
    }
    print_lines(json.dumps(described, indent=2, ensure_ascii=False).splitlines())


@dead_letters.command()
@click.argument("jobs", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All of them, one after the other.")
@click.option("--limit", type=click.IntRange(1), default=_MOST, show_default=True, help="With --all: how many.")
@click.option("--per-second", type=click.FloatRange(0.01), default=10, show_default=True, help="With --all: how fast.")
def redrive(jobs: tuple[str, ...], *, everything: bool, limit: int, per_second: float) -> None:
    """Try jobs again, with all their attempts before them.

    \b
    Example: slowly, what is left of an outage
      fillrate fulfillment dead-letters redrive --all --per-second 2
    """
    if bool(jobs) == everything:
        msg = "name jobs, or --all"
        raise click.UsageError(msg)
    from fillrate_assets.fulfillment import dead_letters as letters

    with _open_stores() as stores:
        for job_id in jobs:
            letters.redrive(stores.queue, stores.effects, job_id)
            click.echo(f"{job_id} is tried again")
        if everything:
            for job_id in letters.redrive_all(stores.queue, stores.effects, limit, per_second=per_second):
                click.echo(escape_controls(f"{job_id} is tried again"))


@dead_letters.command()
@click.argument("jobs", nargs=-1, required=True)
@click.option("--reason", required=True, help="Why: stored with the effect.")
def discard(jobs: tuple[str, ...], reason: str) -> None:
    """Delete jobs for good; their effects stay dead."""
    from fillrate_assets.fulfillment import dead_letters as letters

    with _open_stores() as stores:
        for job_id in jobs:
            letters.discard(stores.queue, stores.effects, job_id, reason)
            click.echo(f"{job_id} is deleted")


@click.command()
@click.option("--release", metavar="JOB", multiple=True, help="Let a job run.")
def parked(release: tuple[str, ...]) -> None:
    """List the events that came too early and are parked, or release some of them."""
    with _open_stores() as stores:
        for job_id in release:
            stores.queue.release(job_id)
            click.echo(f"{job_id} is due")
        if not release:
            _print_jobs(stores.queue.list_parked(_MOST), "nothing is parked")


def print_lines(lines: Sequence[str]) -> None:
    """Print lines of which parts came from outside."""
    for line in lines:
        click.echo(escape_controls(line))


def _open_stores() -> AbstractContextManager[Stores]:
    from fillrate_assets import settings
    from fillrate_assets.cli import fulfillment_systems as systems

    return systems.open_stores(settings.load(), "fillrate fulfillment")


def _print_jobs(jobs: Sequence[StoredJob], nothing: str) -> None:
    rows = [
        [
            each.job.job_id,
            each.job.queue,
            f"{each.since:%Y-%m-%d %H:%M:%S}",
            each.job.first_failed_at or "",
            str(each.job.attempts),
            each.code_version or "",
            each.reason,
        ]
        for each in jobs
    ]
    headings = ["job", "queue", "since (UTC)", "first failed", "attempts", "release", "why"]
    print_lines(format_table(headings, rows) if rows else [nothing])
