"""Commands that are stopped, killed, or cannot write: one line, an exit code, and nothing left running."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

import dagster as dg
import pytest

from fillrate_assets.cli import launcher, stopping
from fillrate_assets.cli.run_owner import RunOwner
from fillrate_assets_tests.conftest import ROOT, copy_home

pytestmark = [pytest.mark.slow, pytest.mark.first]

PATIENCE_SECONDS: Final = 120
"""Until what is awaited has to have come, on a busy machine."""

_LOCK_SECONDS: Final = 30
"""What is left running until a lock is given up takes longer; what ends in time is done in ten seconds."""

_COMMAND: Final = (sys.executable, "-W", "ignore", "-c", "from fillrate_assets.cli.main import main; main()")


class Command:
    """A `fillrate` command in a session of its own."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self._home = home
        environment = {**os.environ, "FILLRATE_HOME": str(home), "DAGSTER_HOME": str(home)}
        self.process = subprocess.Popen(  # noqa: S603 - our own
            [*_COMMAND, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def workers(self) -> list[int]:
        """The processes that were started for it and that are alive: what they are forked from, then they."""
        parents = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                state, parent, *_ = stat.read_text().rpartition(") ")[2].split()
                if state != "Z":
                    parents[int(stat.parent.name)] = int(parent)
        started = [process for process, parent in parents.items() if parent == self.process.pid]
        return [*started, *(process for process, parent in parents.items() if parent in started)]

    def runs(self) -> list[str]:
        """The states of the runs in the Dagster instance."""
        file = self._home / "history" / "runs.db"
        if not file.exists():
            return []
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            with suppress(sqlite3.OperationalError):
                return [state for (state,) in connection.execute("SELECT status FROM runs ORDER BY id")]
            return []

    def ended(self) -> tuple[int, str]:
        """Its exit code and what it wrote."""
        output, _ = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode, output


def wait_until(condition: Callable[[], object]) -> None:
    give_up = monotonic() + PATIENCE_SECONDS
    while not condition():
        assert monotonic() < give_up
        sleep(0.05)


def is_alive(process: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False


@pytest.fixture
def home(network_template: Path, tmp_path: Path) -> Path:
    home = copy_home(network_template, tmp_path)
    shutil.copy(ROOT / "dagster.yaml", home)
    return home


@contextmanager
def start_running(home: Path, *arguments: str) -> Iterator[Command]:
    """A command of which a run has begun."""
    command = Command(home, *arguments)
    try:
        wait_until(lambda: "STARTED" in command.runs() or command.process.poll() is not None)
        assert command.process.poll() is None, command.ended()
        yield command
    finally:
        with suppress(ProcessLookupError):
            os.killpg(command.process.pid, signal.SIGKILL)
        command.process.communicate(timeout=PATIENCE_SECONDS)


def test_a_signal_ends_a_run_with_one_line_and_nothing_left_running(home: Path) -> None:
    with start_running(home, "run") as command:
        workers = command.workers()
        assert workers
        # As a service manager does.
        os.killpg(command.process.pid, signal.SIGTERM)
        assert command.ended() == (143, "fillrate: error: terminated\n")
        # Workers were killed; the tracker of `multiprocessing` ends when it notices.
        wait_until(lambda: not [worker for worker in workers if is_alive(worker)])
        assert set(command.runs()) <= {"FAILURE", "NOT_STARTED"}


def test_a_signal_ends_a_run_that_waits_for_a_locked_record_store(home: Path) -> None:
    with closing(sqlite3.connect(home / "systems" / "record_store.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with start_running(home, "run", "--dc", "DC01") as command:
            assert not command.workers()
            began = monotonic()
            # As a terminal does at Ctrl-C.
            os.killpg(command.process.pid, signal.SIGINT)
            assert command.ended() == (130, "fillrate: error: interrupted\n")
            # A writer waits for a minute, inside the driver.
            assert monotonic() - began < _LOCK_SECONDS
        assert set(command.runs()) <= {"FAILURE", "NOT_STARTED"}


def test_it_ends_although_the_reader_of_its_message_is_gone() -> None:
    waiting = (
        "from threading import Event; from fillrate_assets.cli import stopping\n"
        "with stopping.handle_signals(), stopping.ending(lambda _: print('ending', flush=True)):\n"
        "    print('begun', flush=True)\n"
        "    while True: Event().wait(1)"
    )
    reading, writing = os.pipe()
    with subprocess.Popen([sys.executable, "-c", waiting], stdout=subprocess.PIPE, stderr=writing) as process:  # noqa: S603 - Python itself
        os.close(reading)
        os.close(writing)
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.terminate()
        try:
            assert process.wait(PATIENCE_SECONDS) == stopping.EXIT_CODES[signal.SIGTERM]
        finally:
            process.kill()
        assert process.stdout.read() == b"ending\n"


def test_no_worker_outlives_a_command_that_is_killed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with start_running(home, "run") as command:
        workers = command.workers()
        assert workers
        command.process.kill()
        command.process.wait(PATIENCE_SECONDS)
        wait_until(lambda: not [worker for worker in workers if is_alive(worker)])
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setenv("FILLRATE_HOME", str(home))
    with dg.DagsterInstance.get() as instance:
        launcher.end_dead_runs(instance)
        assert {run.status for run in instance.get_runs()} == {dg.DagsterRunStatus.FAILURE}


@pytest.mark.sweep
def test_a_killed_worker_is_reported_in_one_line_and_the_other_dc_goes_on(home: Path) -> None:
    with start_running(home, "run", "--to", "2026-02-12") as command:
        wait_until(lambda: len(command.runs()) == 2)
        *_, victim = command.workers()
        os.kill(victim, signal.SIGKILL)
        code, output = command.ended()
        assert code == 1
        assert "its process was killed by signal 9: run its days again" in output
        assert "Traceback" not in output
        # The other DC is read, and then published.
        assert sorted(command.runs()) == ["FAILURE", "SUCCESS", "SUCCESS"]


@pytest.mark.parametrize(
    ("given", "dead"),
    [
        ({}, False),
        ({"host": "another"}, False),
        ({"boot": "of last week"}, True),
        ({"started": "1"}, True),
        ({"process": 2**22 + 1, "started": ""}, True),
    ],
)
def test_a_process_id_alone_does_not_make_a_run_alive(given: dict[str, Any], dead: bool) -> None:  # noqa: FBT001 - a parameter
    owner = replace(RunOwner.of_process(os.getpid()), **given)
    assert owner.is_dead() is dead
    assert RunOwner.parse(replace(owner, boot=owner.boot.replace(" ", "-")).tag) is not None


@pytest.mark.parametrize("tag", ["", "host:12", "host boot x start", "host boot 1"])
def test_a_tag_that_names_no_process_says_nothing(tag: str) -> None:
    assert RunOwner.parse(tag) is None


def test_a_process_that_waits_to_be_collected_is_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        owner = RunOwner.of_process(process.pid)
        wait_until(lambda: not is_alive(process.pid))
        assert owner.is_dead()
