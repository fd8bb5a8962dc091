"""What every launcher here has in common: a run is there as long as it renews its lease.

What launchers know themselves differs. Dagster's own does not look at all; Celery goes on to say that a task has
started whose worker was killed, and knows of none when its broker has lost them; Kubernetes and ECS take minutes to
miss a host.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any, Final

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus

from fillrate_assets.orchestration import run_leases

FIRST_LEASE_SECONDS: Final = 60
"""From the launch, or from when the run has started, until it renews its lease itself."""


class WatchedLauncher(RunLauncher[dg.DagsterInstance]):
    """A launcher whose runs have leases: the first base of a class, before the launcher itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - what the launcher takes
        """Make the launcher."""
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call] # Dagster's
        self.watch: Final = run_leases.LeaseWatch()
        self.clock: Callable[[], float] = monotonic

    def launch_run(self, context: LaunchRunContext) -> None:
        """Launch a run, with a lease that it renews as soon as its process works on it."""
        run_leases.renew_lease(self._instance, context.dagster_run.run_id, FIRST_LEASE_SECONDS)
        super().launch_run(context)  # type: ignore[safe-super] # of the launcher

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Whether Dagster is to look."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Say whether the process of a run that has started is there."""
        lease = run_leases.read_lease(self._instance, run.run_id)
        if lease is not None and self.watch.has_lapsed(run.run_id, lease, self.clock()):
            return CheckRunHealthResult(
                WorkerStatus.FAILED, f"its process is gone: its lease was renewed last at {lease}"
            )
        return CheckRunHealthResult(WorkerStatus.RUNNING)
