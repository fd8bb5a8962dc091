"""Faults of the process that requests runs."""

from __future__ import annotations

import shutil
import signal
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from fillrate_assets_tests.conftest import ROOT, copy_home
from fillrate_assets_tests.fixtures import sensor_daemon
from fillrate_assets_tests.fixtures.home import Home

pytestmark = [pytest.mark.slow, pytest.mark.first]


def _read_queued(home: Home) -> dict[str, dict[str, str]]:
    """Read the tags of the runs that are queued, by run key."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("FILLRATE_HOME", str(home.directory))
        with dg.DagsterInstance.from_config(str(home.directory)) as instance:
            runs = instance.get_runs(filters=dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))
    queued = {run.tags["dagster/run_key"]: dict(run.tags) for run in runs}
    assert len(queued) == len(runs), "a run was requested twice"
    return queued


@pytest.mark.sweep
def test_the_daemon_is_killed_between_a_launch_and_its_cursor(
    tiny_published_template: Path, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    killed = Home(copy_home(tiny_published_template, tmp_path))
    killed.sample.advance()
    shutil.copy(ROOT / "dagster.yaml", killed.directory)
    whole = Home(copy_home(killed.directory, tmp_path / "whole"))
    assert sensor_daemon.look(whole.directory) == 0
    expected = _read_queued(whole)
    assert sensor_daemon.look(killed.directory, dies_at="RUN_LAUNCHED") == -signal.SIGKILL
    assert len(_read_queued(killed)) < len(expected)
    # The next daemon looks again when the sensor is due.
    assert sensor_daemon.look(killed.directory, after=timedelta(minutes=10)) == 0
    requested = _read_queued(killed)
    assert requested.keys() == expected.keys()
    for home in (killed, whole):
        for key in sorted(expected):
            assert home.run_tagged(instance, expected[key]).success
    assert killed.read_stored() == whole.read_stored()
