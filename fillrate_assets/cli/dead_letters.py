"""`dead-letters` of an area: list, show, redrive or discard the jobs that were given up."""
# ruff: noqa: D301 - click's \b is a backspace, not a backslash

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import click

from fillrate_assets.core.shown_text import escape_controls
from fillrate_assets.core.text_table import format_table
from fillrate_assets.messaging.dead_letters import MOST

if TYPE_CHECKING:
    from fillrate_assets.messaging.dead_letters import DeadLetters
    from fillrate_assets.messaging.jobs import StoredJob

    OpenLetters = Callable[[], AbstractContextManager[DeadLetters]]


def make_group(open_letters: OpenLetters, example: str) -> click.Group:
    """Make the commands of an area.

    Args:
        open_letters: opens its dead letters.
        example: what it is done for, and a line that does it.

    """

    @click.group(
        "dead-letters",
        invoke_without_command=True,
        help=f"List, show, redrive or discard the jobs that were given up; without a command, list them.\n\n{example}",
        commands=[list_letters, show, redrive, discard],
    )
    @click.pass_context
    def group(context: click.Context) -> None:
        context.obj = open_letters
        if context.invoked_subcommand is None:
            context.invoke(list_letters)

    return group


@click.command("list")
@click.option("--limit", type=click.IntRange(1), default=MOST, show_default=True, help="How many, the oldest first.")
@click.pass_obj
def list_letters(open_letters: OpenLetters, limit: int) -> None:
    """List them: since when, after how many attempts, and why."""
    with open_letters() as letters:
        print_jobs(letters.read(limit), "there are no dead letters")


@click.command()
@click.argument("job")
@click.pass_obj
def show(open_letters: OpenLetters, job: str) -> None:
    """Show everything that is stored about one, as JSON: its body as it came, source, error and times."""
    with open_letters() as letters:
        found = letters.find(job)
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


@click.command()
@click.argument("jobs", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All of them, one after the other.")
@click.option("--limit", type=click.IntRange(1), default=MOST, show_default=True, help="With --all: how many.")
@click.option("--per-second", type=click.FloatRange(0.01), default=10, show_default=True, help="With --all: how fast.")
@click.pass_obj
def redrive(
    open_letters: OpenLetters, jobs: tuple[str, ...], *, everything: bool, limit: int, per_second: float
) -> None:
    """Try jobs again, with all their attempts before them.

    \b
    Example: slowly, what is left of an outage
      dead-letters redrive --all --per-second 2
    """
    if bool(jobs) == everything:
        msg = "name jobs, or --all"
        raise click.UsageError(msg)
    with open_letters() as letters:
        for job_id in jobs:
            letters.redrive(job_id)
            click.echo(f"{job_id} is tried again")
        if everything:
            for job_id in letters.redrive_all(limit, per_second=per_second):
                click.echo(escape_controls(f"{job_id} is tried again"))


@click.command()
@click.argument("jobs", nargs=-1, required=True)
@click.option("--reason", required=True, help="Why: it is logged, and stored with the effect if there is one.")
@click.pass_obj
def discard(open_letters: OpenLetters, jobs: tuple[str, ...], reason: str) -> None:
    """Delete jobs for good; what they were to do is not done."""
    with open_letters() as letters:
        for job_id in jobs:
            letters.discard(job_id, reason)
            click.echo(f"{job_id} is deleted")


def print_lines(lines: Iterable[str]) -> None:
    """Print lines of which parts came from outside."""
    for line in lines:
        click.echo(escape_controls(line))


def print_jobs(jobs: Sequence[StoredJob], nothing: str) -> None:
    """Print jobs as a table, or that there is nothing."""
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
