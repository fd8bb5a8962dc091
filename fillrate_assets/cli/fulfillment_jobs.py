"""`fillrate fulfillment dead-letters` and `parked`: jobs that were given up, and those that wait to be released."""
# ruff: noqa: PLC0415 - imports where they are needed, as in `cli`

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import click

from fillrate_assets.cli.dead_letters import make_group, print_jobs
from fillrate_assets.messaging.dead_letters import MOST

if TYPE_CHECKING:
    from fillrate_assets.cli.fulfillment_systems import Stores
    from fillrate_assets.messaging.dead_letters import DeadLetters


@click.command()
@click.option("--release", metavar="JOB", multiple=True, help="Let a job run.")
def parked(release: tuple[str, ...]) -> None:
    """List the events that came too early and are parked, or release some of them."""
    with _open_stores() as stores:
        for job_id in release:
            stores.queue.release(job_id)
            click.echo(f"{job_id} is due")
        if not release:
            print_jobs(stores.queue.list_parked(MOST), "nothing is parked")


def _open_stores() -> AbstractContextManager[Stores]:
    from fillrate_assets import settings
    from fillrate_assets.cli import fulfillment_systems as systems

    return systems.open_stores(settings.load(), "fillrate fulfillment")


@contextmanager
def _open_letters() -> Iterator[DeadLetters]:
    with _open_stores() as stores:
        yield stores.letters


dead_letters = make_group(
    _open_letters,
    "\b\nExample: after the carrier has mended it\n  fillrate fulfillment dead-letters redrive O1:5:book_carrier~007",
)
