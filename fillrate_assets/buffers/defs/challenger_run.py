"""Challengers of a tick: each runs in a process of its own, with a bound of time and memory.

The champion has alerted before. Whatever a challenger does, it can neither stop nor delay that; what a policy does
belongs to `rules`, and how challengers are compared to `rules.scorecard`.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from fillrate_assets.buffers.rules import tick
from fillrate_assets.buffers.rules.policy import Policy
from fillrate_assets.buffers.rules.tick import MasterData, TickStore
from fillrate_assets.buffers.sources.floor_feeds import FloorFeeds

_NICENESS: Final = 10
"""Behind the next tick."""

_GRACE_SECONDS: Final = 5


@dataclass(frozen=True)
class Bounds:
    """What a challenger may take for the ticks of a run."""

    seconds: float = 60
    memory_gb: float = 4
    """Of address space, where the system can bound it."""


@dataclass(frozen=True)
class ChallengerRun:
    """One challenger, the ticks that it computes, and what it computes them from."""

    policy: Policy
    store: TickStore
    feeds: FloorFeeds
    masters: MasterData
    ticks: Sequence[datetime]
    warehouses: Sequence[str] | None

    def run(self, bounds: Bounds) -> str | None:
        """Run it within its bounds; return what went wrong, if anything."""
        # Not forked: threads of this process may hold locks.
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=_compute, args=(self, bounds.memory_gb))
        process.start()
        process.join(bounds.seconds)
        if process.is_alive():
            process.kill()
            process.join(_GRACE_SECONDS)
            return f"it took more than {bounds.seconds:g} s for {len(self.ticks)} ticks"
        return None if process.exitcode == 0 else f"it ended with exit code {process.exitcode}; its error is above"


def _compute(run: ChallengerRun, memory_gb: float) -> None:
    _bound_memory(memory_gb)
    look_back = tick.compute_look_back(run.policy)
    for at in run.ticks:
        feeds = run.feeds.read(snapshot_ts=at, look_back=look_back, warehouses=run.warehouses)
        tick.run_tick(feeds, run.masters, run.store, snapshot_ts=at, policy=run.policy)


def _bound_memory(memory_gb: float) -> None:
    with suppress(ImportError, AttributeError, ValueError, OSError):  # not on every system
        import resource  # noqa: PLC0415 - not on every system

        os.nice(_NICENESS)
        most = int(memory_gb * 1024**3)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
