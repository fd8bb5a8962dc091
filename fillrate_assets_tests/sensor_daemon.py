"""Dagster's daemon looking at the sensor `new_orders` once, in a process that may be killed on the way."""

from __future__ import annotations

import logging
import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import Final

import dagster as dg
from dagster._core.test_utils import freeze_time
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._daemon.sensor import execute_sensor_iteration
from dagster._time import get_current_datetime

from fillrate_assets_tests import forked
from fillrate_assets_tests.backfilling import Target

SENSOR: Final = "new_orders"


def look(home: Path, *, after: timedelta = timedelta(0), dies_at: str | None = None) -> int | None:
    """Let a daemon look at the sensor once.

    Args:
        home: the platform, with a dagster.yaml.
        after: how far Dagster's clock is ahead: it lets minutes pass between two ticks.
        dies_at: kill it at one of Dagster's own points of a tick.

    Returns:
        The process's exit code.

    """
    return forked.run(_look, home, after, dies_at)


def _look(home: Path, after: timedelta, dies_at: str | None) -> None:
    os.environ |= {"FILLRATE_HOME": str(home), "DAGSTER_HOME": str(home)}
    crash = {SENSOR: {dies_at: signal.SIGKILL}} if dies_at else None
    with (
        freeze_time(get_current_datetime() + after),
        dg.DagsterInstance.get() as instance,
        WorkspaceProcessContext(instance, Target()) as context,
    ):
        (location,) = context.create_request_context().code_locations
        (repository,) = location.get_repositories().values()
        instance.start_sensor(repository.get_sensor(SENSOR))
        list(execute_sensor_iteration(context, logging.getLogger(__name__), None, None, debug_crash_flags=crash))
