"""What Dagster's UI and daemon do, by their own code and over an instance on disk: backfills, the sensor, the queue."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import dagster as dg
import pytest
from dagster._core.launcher import LaunchRunContext
from dagster._core.launcher.sync_in_memory_run_launcher import SyncInMemoryRunLauncher
from dagster._core.remote_origin import CodeLocationOrigin, InProcessCodeLocationOrigin
from dagster._core.scheduler.instigation import TickStatus
from dagster._core.test_utils import create_test_daemon_workspace_context, freeze_time
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceLoadTarget
from dagster._daemon.backfill import execute_backfill_iteration
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from dagster._daemon.sensor import execute_sensor_iteration
from dagster_graphql.client.query import LAUNCH_PARTITION_BACKFILL_MUTATION, LAUNCH_PIPELINE_EXECUTION_MUTATION
from dagster_graphql.test.utils import execute_dagster_graphql

from fillrate_assets import settings
from fillrate_assets.definitions import build_defs
from fillrate_assets.fillrate.defs import assets
from fillrate_assets.orchestration import partitions
from fillrate_assets_tests import crashing, forked
from fillrate_assets_tests.conftest import ROOT
from fillrate_assets_tests.home import Home

ASSETS: Final = (*assets.FRAMES, "published_records")
REEXECUTE: Final = """
mutation($parent: String!) {
  reexecutePartitionBackfill(reexecutionParams: {parentRunId: $parent, strategy: FROM_FAILURE}) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
  }
}
"""
RUNS_THAT_DIE: Final[list[int]] = []
"""The next runs that are launched die when they have written so many files of the lake."""

_LAUNCHER: Final = f"""
run_launcher:
  module: {__name__}
  class: Launcher
"""
_LOGGER: Final = logging.getLogger(__name__)


def definitions() -> dg.Definitions:
    """What the code location serves: the platform that `FILLRATE_HOME` names."""
    return build_defs(settings.load())


class Launcher(SyncInMemoryRunLauncher):
    """Runs one run after another, in this process; one that is to die, in its own."""

    def launch_run(self, context: LaunchRunContext) -> None:
        if not RUNS_THAT_DIE:
            super().launch_run(context)
            return
        run = (context.job_code_origin, context.dagster_run.run_id)
        assert forked.run(crashing.execute_until_killed, *run, RUNS_THAT_DIE.pop()) == -signal.SIGKILL


@dataclass(frozen=True)
class Target(WorkspaceLoadTarget):
    """Our definitions, loaded in the daemon's own process."""

    def create_origins(self) -> Sequence[CodeLocationOrigin]:
        code = LoadableTargetOrigin(executable_path=sys.executable, module_name=__name__, attribute="definitions")
        return [InProcessCodeLocationOrigin(code, location_name="fillrate_assets")]


@dataclass
class Daemon:
    """A Dagster instance over a home, with its UI and its daemon."""

    instance: dg.DagsterInstance
    workspace: WorkspaceProcessContext
    ticks: int = 0

    def backfill(self, days: Sequence[tuple[str, date]] | None, names: Sequence[str] = ASSETS) -> str:
        """Launch an asset backfill as the UI does, of some days or of all partitions; its id."""
        chosen: dict[str, object] = {"assetSelection": [{"path": [name]} for name in names]}
        if days is None:
            chosen["allPartitions"] = True
        else:
            chosen["partitionNames"] = [str(partitions.key(*day)) for day in days]
        answer = self._ask(LAUNCH_PARTITION_BACKFILL_MUTATION, {"backfillParams": chosen})
        return str(answer["launchPartitionBackfill"]["backfillId"])

    def again_from_failure(self, backfill: str) -> str:
        """Re-execute a backfill from failure as the UI does; the id of the new one."""
        answer = self._ask(REEXECUTE, {"parent": backfill})
        return str(answer["reexecutePartitionBackfill"]["backfillId"])

    def launch(self, job: str, tags: Mapping[str, str]) -> str:
        """Launch a run as the UI does; its id."""
        selector = {
            "repositoryLocationName": "fillrate_assets",
            "repositoryName": "__repository__",
            "pipelineName": job,
        }
        told = {"tags": [{"key": key, "value": value} for key, value in tags.items()]}
        params = {"selector": selector, "mode": "default", "executionMetadata": told}
        answer = self._ask(LAUNCH_PIPELINE_EXECUTION_MUTATION, {"executionParams": params})
        return str(answer["launchPipelineExecution"]["run"]["runId"])

    def look_at_backfills(self) -> None:
        """What the daemon does every few seconds: see what ended, request the runs that may follow."""
        assert [error for error in execute_backfill_iteration(self.workspace, _LOGGER) if error] == []

    def dequeue(self) -> list[dg.DagsterRun]:
        """Launch what the queue lets go now; those runs, as they ended."""
        before = {run.run_id for run in self.queued()}
        with QueuedRunCoordinatorDaemon(interval_seconds=1) as queue:
            assert [error for error in queue.run_iteration(self.workspace) if error] == []
        left = {run.run_id for run in self.queued()}
        return [run for each in before - left if (run := self.instance.get_run_by_id(each))]

    def drain(self) -> None:
        """Launch all that is queued."""
        while self.queued():
            assert self.dequeue()

    def queued(self) -> list[dg.DagsterRun]:
        """The queue, first come first."""
        queued = dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED])
        return list(self.instance.get_runs(queued, ascending=True))

    def tick(self) -> str:
        """A tick of the sensor, whose interval is not waited for; why it requested nothing, if so."""
        request = self.workspace.create_request_context()
        sensor = request.get_code_location("fillrate_assets").get_repository("__repository__").get_sensor("new_orders")
        self.instance.start_sensor(sensor)
        self.ticks += 1
        with freeze_time(datetime.now(UTC) + self.ticks * timedelta(hours=1)):
            for _ in execute_sensor_iteration(self.workspace, _LOGGER, None, None):
                pass
        (tick, *_) = self.instance.get_ticks(sensor.get_remote_origin_id(), sensor.selector_id, limit=1)
        assert tick.status in {TickStatus.SUCCESS, TickStatus.SKIPPED}, tick.error
        return tick.skip_reason or ""

    def finish(self, backfill: str) -> str:
        """Let a backfill and the queue come to their end; how it ended."""
        while True:
            self.look_at_backfills()
            self.drain()
            if (status := self.status(backfill)) != "REQUESTED":
                return status

    def status(self, backfill: str) -> str:
        found = self.instance.get_backfill(backfill)
        assert found is not None
        return found.status.value

    def _ask(self, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        result = execute_dagster_graphql(self.workspace.create_request_context(), query, dict(variables))
        assert result.errors is None, result.errors
        return dict(result.data)


@contextmanager
def over(home: Home, monkeypatch: pytest.MonkeyPatch, dagster_yaml: str = "") -> Iterator[Daemon]:
    """Dagster over a home, as the repository's dagster.yaml describes it."""
    directory = home.directory.parent / "dagster"
    directory.mkdir(exist_ok=True)
    text = (ROOT / "dagster.yaml").read_text()
    (directory / "dagster.yaml").write_text(text + _LAUNCHER + dagster_yaml)
    monkeypatch.setenv("DAGSTER_HOME", str(directory))
    monkeypatch.setenv("FILLRATE_HOME", str(home.directory))
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions("dc", home.network.dc_codes)
        with create_test_daemon_workspace_context(Target(), instance) as workspace:
            yield Daemon(instance, workspace)
