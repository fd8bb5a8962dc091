"""Running the main job in a process that kills itself on the way, as `kill -9` or a power cut would."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.execution.api import execute_run
from dagster._core.origin import JobPythonOrigin
from dagster._utils.hosted_user_process import recon_job_from_origin

from fillrate_assets.cli import launcher
from fillrate_assets.definitions import JOB
from fillrate_assets.orchestration import partitions
from fillrate_assets_tests import forked
from fillrate_assets_tests.home import QUIET, Home

Scope = tuple[str, date, date]
"""DC, first and last ship date."""


def killed(home: Home, scope: Scope, where: str, which: str) -> Path:
    """Run the job in a process that dies there, on an instance on disk as dagster.yaml describes it: its directory."""
    directory = home.directory.parent / "dagster"
    directory.mkdir(exist_ok=True)
    shutil.copy(Path(__file__).parent.parent / "dagster.yaml", directory)
    assert forked.run(run_until_killed, Home(home.directory), directory, scope, where, which) == -signal.SIGKILL
    return directory


def run_until_killed(home: Home, dagster_home: Path, scope: Scope, where: str, which: str) -> None:
    """Run a range of one DC until it is time to die.

    Args:
        home: the platform.
        dagster_home: a directory with a dagster.yaml, for an instance on disk.
        scope: what it is about.
        where: `step` dies when a step has succeeded, `publish` when a day is written and not yet committed, `write`
            when a file of the lake is written and not yet in its place.
        which: the step's name; the number of the day or of the file, from 1.

    """
    os.environ |= {"DAGSTER_HOME": str(dagster_home), "FILLRATE_HOME": str(dagster_home)}
    job = home.defs.resolve_job_def(JOB)
    if where == "step":
        job = job.with_hooks({_after_step(which)})
    elif where == "publish":
        _before_commit_of_day(home.store.engine, int(which))
    else:
        _before_file_is_in_its_place(int(which))
    dc, first, last = scope
    tags = {**partitions.range_tags(dc, first, last), **launcher.process_tag()}
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions("dc", [dc])
        job.execute_in_process(run_config=QUIET, instance=instance, tags=tags)


def execute_until_killed(origin: JobPythonOrigin, run_id: str, files: int) -> None:
    """Execute a run that Dagster launched, until it has written so many files of the lake."""
    _before_file_is_in_its_place(files)
    with dg.DagsterInstance.get() as instance:
        run = instance.get_run_by_id(run_id)
        assert run is not None
        execute_run(recon_job_from_origin(origin), run, instance)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _after_step(name: str) -> dg.HookDefinition:
    @dg.success_hook(name="die")
    def die(context: dg.HookContext) -> None:
        if context.op.name == name:
            _die()

    return die


def _before_commit_of_day(engine: sa.Engine, number: int) -> None:
    days = count(1)

    def executed(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:  # noqa: ANN401 - SQLAlchemy's event
        if statement.startswith("INSERT INTO ledger") and next(days) == number:
            _die()

    sa.event.listen(engine, "after_cursor_execute", executed)


def _before_file_is_in_its_place(number: int) -> None:
    files: Iterator[int] = count(1)

    def audited(event: str, arguments: tuple[object, ...]) -> None:
        if event == "os.rename" and str(arguments[0]).endswith(".incoming") and next(files) == number:
            _die()

    sys.addaudithook(audited)
