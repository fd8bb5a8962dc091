"""One run at a time works on a DC: two would mix what they read, in the lake and in the records.

The queue holds a run back while another is in progress on its DC. A run that the queue does not know, or not as one of
a single DC, waits by itself, for the DC's lock in the record store.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import dagster as dg
from dagster._core.execution.context.system import StepExecutionContext
from dagster._core.run_coordinator import QueuedRunCoordinator, SubmitRunContext
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.orchestration import partitions
from fillrate_assets.orchestration.dc_lock_store import DcLockStore
from fillrate_assets.orchestration.retries import typed

LONGEST_WAIT: Final = timedelta(hours=1)
WAIT_SECONDS: Final = 5


class OneRunPerDcCoordinator(QueuedRunCoordinator[dg.DagsterInstance]):
    """Dagster's queue, in which every run over ship dates of one DC has the tag `fillrate/dc`, whoever launched it.

    `tag_concurrency_limits` of dagster.yaml then lets one of them go at a time. Ticks of the buffers wait for none.
    """

    def submit_run(self, context: SubmitRunContext) -> dg.DagsterRun:
        """Put a run into the queue."""
        scope = partitions.find_rectangle(context.dagster_run.tags)
        is_tick = partitions.tick_of(context.dagster_run.tags) is not None
        if scope is not None and scope.first_dc == scope.last_dc and not is_tick:
            self._instance.add_run_tags(context.dagster_run.run_id, {partitions.DC_TAG: scope.first_dc})
        return super().submit_run(context)


class InTurn(dg.IOManager):
    """An IO manager that hands and stores nothing before the run holds the locks of its DCs.

    Assets read their sources when their output is stored, so a run that waits has read nothing yet.
    """

    def __init__(self, io_manager: dg.IOManager, store: DcLockStore) -> None:
        """Let runs take turns at an IO manager.

        Args:
            io_manager: what hands and stores.
            store: where the locks are.

        """
        self._io_manager = io_manager
        self._store = store

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Store what an asset returned, when it is the run's turn."""
        self._wait(context.step_context)
        self._io_manager.handle_output(context, obj)

    def load_input(self, context: dg.InputContext) -> Any:  # noqa: ANN401 - whatever it is that is stored
        """Hand an asset what is stored, when it is the run's turn."""
        self._wait(context.step_context)
        return self._io_manager.load_input(context)

    def _wait(self, step: StepExecutionContext) -> None:
        if (scope := partitions.find_rectangle(step.dagster_run.tags)) is None:
            return
        waiting = Retrying(
            retry=retry_if_exception_type(_NotItsTurn),
            wait=wait_fixed(WAIT_SECONDS),
            stop=stop_after_delay(LONGEST_WAIT),
            reraise=True,
        )
        with typed():
            waiting(acquire, step, self._store, scope.dcs(step.instance))


class _NotItsTurn(PermanentFailure):
    """Another run is in progress on a DC."""


def acquire(step: StepExecutionContext, store: DcLockStore, dcs: Sequence[str]) -> None:
    """Acquire the locks of a run's DCs, unless another run that has not ended holds one of them.

    Raises:
        PermanentFailure: another run holds one of them, or Dagster says that this run has ended.

    """
    instance, run_id = step.instance, step.run_id
    holders = store.holders(dcs)
    if holders == dict.fromkeys(dcs, run_id):
        return
    if not partitions.is_in_progress(instance, run_id):
        msg = f"Dagster says that run {run_id} has ended: it stops here, for others may work on {', '.join(dcs)}"
        raise PermanentFailure(msg)
    for dc, other in holders.items():
        if other != run_id and partitions.is_in_progress(instance, other):
            step.log.info("waits for run %s, which is in progress on %s", other, dc)
            msg = f"run {other} is in progress on {dc}: run again when it has ended, or terminate it in the UI"
            raise _NotItsTurn(msg)
    if not store.acquire(dcs, run_id, previous=holders):
        msg = f"another run was quicker on {', '.join(dcs)}: run again when it has ended"
        raise _NotItsTurn(msg)
