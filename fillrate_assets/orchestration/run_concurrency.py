"""One run at a time works on a DC: two would mix what they read, in the lake and in the records.

The queue holds a run back while another is in progress on its DC. A run that the queue does not know, or not as one of
a single DC, waits by itself, for the DC's lock in the record store.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import dagster as dg
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.orchestration import partitions
from fillrate_assets.orchestration.dc_lock_store import DcLockStore

LONGEST_WAIT: Final = timedelta(hours=1)
WAIT_SECONDS: Final = 5


class OneRunPerDcCoordinator(dg.QueuedRunCoordinator[dg.DagsterInstance]):
    """Dagster's queue, in which every run over ship dates of one DC has the tag `fillrate/dc`, however it was launched.

    `tag_concurrency_limits` of dagster.yaml then lets one of them go at a time. Ticks of the buffers wait for none.
    """

    def submit_run(self, context: dg.SubmitRunContext) -> dg.DagsterRun:
        """Put a run into the queue."""
        scope = partitions.find_rectangle(context.dagster_run.tags)
        is_tick = partitions.get_tick(context.dagster_run.tags) is not None
        if scope is not None and scope.first_dc == scope.last_dc and not is_tick:
            self._instance.add_run_tags(context.dagster_run.run_id, {partitions.DC_TAG: scope.first_dc})
        return super().submit_run(context)


class DcLock:
    """The lock per DC, as assets take it in their signature: a run reads and writes nothing before it holds it."""

    def __init__(self, store: DcLockStore) -> None:
        """Lock DCs; `store` has a row for each lock."""
        self.store = store

    def acquire(self, context: dg.AssetExecutionContext, dcs: Sequence[str] | None = None) -> None:
        """Acquire the locks of the run's DCs, or of those named; wait up to an hour while a run in progress holds one.

        An asset calls it before it reads. A run that holds them already goes on at once; one that has lost them stops.

        Raises:
            PermanentFailure: another run holds one of them, or Dagster says that this run has ended.

        """
        if dcs is None:
            if (scope := partitions.find_rectangle(context.run.tags)) is None:
                return
            dcs = scope.dcs(context.instance)
        waiting = Retrying(
            retry=retry_if_exception_type(_DcLocked),
            wait=wait_fixed(WAIT_SECONDS),
            stop=stop_after_delay(LONGEST_WAIT),
            reraise=True,
        )
        waiting(_acquire, context, self.store, dcs)


class _DcLocked(PermanentFailure):
    """Another run is in progress on a DC."""


def _acquire(context: dg.AssetExecutionContext, store: DcLockStore, dcs: Sequence[str]) -> None:
    """Acquire the locks of a run's DCs, unless another run that has not ended holds one of them.

    Raises:
        _DcLocked: another run holds one of them.
        PermanentFailure: Dagster says that this run has ended.

    """
    instance, run_id = context.instance, context.run.run_id
    holders = store.find_holders(dcs)
    if holders == dict.fromkeys(dcs, run_id):
        return
    if not partitions.is_in_progress(instance, run_id):
        msg = f"Dagster says that run {run_id} has ended: it stops here, for others may work on {', '.join(dcs)}"
        raise PermanentFailure(msg)
    for dc, other in holders.items():
        if other != run_id and partitions.is_in_progress(instance, other):
            context.log.info("waits for run %s, which is in progress on %s", other, dc)
            msg = f"run {other} is in progress on {dc}: run again when it has ended, or terminate it in the UI"
            raise _DcLocked(msg)
    if not store.acquire(dcs, run_id, previous=holders):
        msg = f"another run acquired the lock of {', '.join(dcs)}: run again when it has ended"
        raise _DcLocked(msg)
