"""Progress of commands at a terminal: that work goes on, how far it has come, and how to call them again."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from fillrate_assets.core.shown_text import escape_controls

_LINE_SECONDS = 10


@contextmanager
def show_activity(what: str) -> Iterator[None]:
    """Show that work is going on, where a person looks at a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console  # noqa: PLC0415 - only where a person looks
    from rich.markup import escape  # noqa: PLC0415 - as above

    with Console(stderr=True).status(escape(escape_controls(f"{what} ..."))):
        yield


@contextmanager
def show_progress(what: str, total: int) -> Iterator[Callable[[str], None]]:
    """Show how far counted work has come: a bar on a terminal, a line a step elsewhere."""
    if not sys.stderr.isatty():
        yield lambda step: click.echo(escape_controls(f"{what}: {step}"), err=True)
        return
    from rich.console import Console  # noqa: PLC0415 - only where a person looks
    from rich.markup import escape  # noqa: PLC0415 - as above
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total)
        yield lambda step: bar.update(task, advance=1, description=escape(escape_controls(f"{what}: {step}")))


@contextmanager
def show_count(what: str) -> Iterator[Callable[[int], None]]:
    """Show how many there are so far of work whose end is not known: in place, or a line every ten seconds."""
    if not sys.stderr.isatty():
        said_at = time.monotonic()

        def say(count: int) -> None:
            nonlocal said_at
            if time.monotonic() - said_at >= _LINE_SECONDS:
                said_at = time.monotonic()
                click.echo(f"{count:,} {what}", err=True)

        yield say
        return
    from rich.console import Console  # noqa: PLC0415 - only where a person looks

    with Console(stderr=True).status(f"0 {what} ...") as status:
        yield lambda count: status.update(f"{count:,} {what} ...")


@contextmanager
def without_job_warnings() -> Iterator[None]:
    """Write no line for each job that fails: in a demo faults are meant, and it says what became of them."""
    logger = logging.getLogger("fillrate.messaging")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def add_findings_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option by which the tour learns what a demo found."""
    file = click.Path(path_type=Path, dir_okay=False)
    return click.option("--findings", type=file, hidden=True, help="Write what was found, for the tour.")(command)


def name_command() -> str:
    """Return how to call this command again from here."""
    program = Path(sys.argv[0]).absolute()
    return str(program.relative_to(Path.cwd())) if program.is_relative_to(Path.cwd()) else program.name
