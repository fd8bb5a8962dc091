"""Whether the process of a run is there, under every launcher: a run renews a lease while it goes on.

A run renews it every few seconds in Dagster's own database, and ends its process before the lease lapses, if it could
not. The sensor `lost_runs` reads the lease of each run that has started; one that has lapsed by its own clock is of a
process that is gone: it marks the run as failed, and Dagster launches it again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from threading import Event, Thread, Timer
from types import TracebackType
from typing import Any, Final, Self

import dagster as dg

from fillrate_assets.orchestration import partitions

RENEWALS: Final = 6
"""How often a run renews its lease before it would lapse."""

GIVES_UP: Final = 0.75
"""After which share of its lease a run that could not renew it ends its process."""

_STOPPED: Final = 75
_LOGGER: Final = logging.getLogger("fillrate.runs")


def read_leases(instance: dg.DagsterInstance, run_ids: Collection[str]) -> dict[str, str]:
    """Read the leases of runs as they were renewed last; of those that have one."""
    names = {_name(run_id): run_id for run_id in run_ids}
    found = instance.daemon_cursor_storage.get_cursor_values(set(names)) if names else {}
    return {names[name]: lease for name, lease in found.items()}


def renew_lease(instance: dg.DagsterInstance, run_id: str, seconds: float) -> None:
    """Renew the lease of a run: what it says is different each time, and begins with how long it holds."""
    said = f"{seconds:g} {datetime.now(UTC).isoformat()}"
    instance.daemon_cursor_storage.set_cursor_values({_name(run_id): said})


def end_process(reason: str) -> None:
    """End this process at once, as a power cut would: others may go on with its work."""
    _LOGGER.critical("%s", reason)
    os._exit(_STOPPED)


class RunLease:
    """The lease of a run while this process works on it."""

    def __init__(
        self,
        instance: dg.DagsterInstance,
        run_id: str,
        seconds: float,
        end: Callable[[str], None] = end_process,
    ) -> None:
        """Hold it in a `with` statement.

        Args:
            instance: Dagster's.
            run_id: the run.
            seconds: how long it holds when it was renewed.
            end: ends the process, when the run has lost it.

        """
        self._instance, self._run_id, self._seconds, self._end = instance, run_id, seconds, end
        self._done = Event()
        self._limit = self._start_limit()
        self._renewing = Thread(target=self._renew_until_done, name=f"lease of {run_id}", daemon=True)

    def __enter__(self) -> Self:
        """Acquire it."""
        renew_lease(self._instance, self._run_id, self._seconds)
        self._renewing.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Renew it no longer."""
        self._done.set()
        self._limit.cancel()

    def _renew_until_done(self) -> None:
        while not self._done.wait(self._seconds / RENEWALS):
            try:
                ended = not partitions.is_in_progress(self._instance, self._run_id)
                renew_lease(self._instance, self._run_id, self._seconds)
            except Exception:  # whatever a database that is gone says: the limit counts
                _LOGGER.warning("run %s could not renew its lease", self._run_id, exc_info=True)
                continue
            if ended and not self._done.is_set():
                self._end(f"run {self._run_id} has ended, as Dagster says: its process ends, others may go on with it")
                return
            self._limit.cancel()
            self._limit = self._start_limit()
            if self._done.is_set():
                self._limit.cancel()

    def _start_limit(self) -> Timer:
        limit = Timer(
            self._seconds * GIVES_UP,
            self._end,
            [f"run {self._run_id} could not renew its lease: its process ends before another takes its place"],
        )
        limit.daemon = True
        limit.start()
        return limit


class LeasedExecutor(dg.Executor):
    """Dagster's executor of a run in one process, which holds the run's lease meanwhile."""

    def __init__(self, executor: dg.Executor, lease_seconds: float) -> None:
        """Hold a lease that lapses after so many seconds."""
        self._executor, self._lease_seconds = executor, lease_seconds

    @property
    def retries(self) -> Any:  # noqa: ANN401 - Dagster has no public name for it
        """As of the executor."""
        return self._executor.retries

    @property
    def step_dependency_config(self) -> Any:  # noqa: ANN401 - as above
        """As of the executor."""
        return self._executor.step_dependency_config

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:  # noqa: ANN401 - as above
        """Execute the steps of a run."""
        with RunLease(plan_context.instance, plan_context.run_id, self._lease_seconds):
            yield from self._executor.execute(plan_context, execution_plan)


def define_executor(lease_seconds: float) -> dg.ExecutorDefinition:
    """Define the executor of runs, whose leases lapse after so many seconds."""
    inner = dg.in_process_executor

    @dg.executor(name=inner.name, config_schema=inner.config_schema.as_field())
    def in_process(context: dg.InitExecutorContext) -> dg.Executor:
        create: Any = inner.executor_creation_fn
        return LeasedExecutor(create(context), lease_seconds)

    return in_process


def _name(run_id: str) -> str:
    return f"fillrate/run_lease/{run_id}"
