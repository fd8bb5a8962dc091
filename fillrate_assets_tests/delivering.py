"""Delivering notices in processes of their own, some of which kill themselves on the way."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from typing import Literal

import polars as pl

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules import notification_routing
from fillrate_assets.buffers.rules.notification_routing import Links, Message
from fillrate_assets.notifications.channels import Channels, Letter
from fillrate_assets.notifications.outbox import Notices
from fillrate_assets_tests.buffers import frames
from fillrate_assets_tests.buffers.frames import POLICY

End = Literal["", "kept", "claimed", "sent"]
"""Where a process dies: after the notices are kept, before the first message is sent, before it is marked as sent."""


@dataclass(frozen=True)
class Job:
    """What a process does: keep notices, and deliver what waits."""

    outbox: Notices
    channels: Channels
    notices: pl.DataFrame
    now: datetime
    dies: End = ""


def words(notices: pl.DataFrame) -> list[Message]:
    """Notices in words, without links."""
    return notification_routing.messages(notices, frames.warehouses({}), Links())


def run(jobs: Sequence[Job]) -> list[int | None]:
    """Each job in a process of its own, all at the same time; how they ended."""
    # The server has imported everything and runs nothing, no query of Polars either, whose threads no fork outlives:
    # a process forked from it is as good as new, and quick.
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    barrier = context.Barrier(len(jobs), timeout=60)
    processes = [context.Process(target=_run, args=(job, barrier)) for job in jobs]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def _run(job: Job, barrier: Barrier) -> None:
    def send(letter: Letter) -> None:
        if job.dies == "claimed":
            _die()
        job.channels.send(letter)
        if job.dies == "sent":
            _die()

    barrier.wait()
    job.outbox.keep(job.notices, schema.DEAD_LETTERS.empty().collect(), now=job.now)
    if job.dies == "kept":
        _die()
    barrier.wait()
    job.outbox.deliver(send, word=words, policy=POLICY, now=job.now)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
