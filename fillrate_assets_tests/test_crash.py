"""A process that dies anywhere leaves nothing behind that a second run does not put right."""

from __future__ import annotations

import shutil
import signal
from dataclasses import dataclass
from datetime import date, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import dagster as dg
import polars as pl
import pytest

from fillrate_assets import running
from fillrate_assets.connections.record_store import RECORDS, RESTATEMENTS
from fillrate_assets.fillrate import assets
from fillrate_assets_tests import crashing
from fillrate_assets_tests.conftest import ROOT, SMALL, copied
from fillrate_assets_tests.home import Home, Rows

DC: Final = "DC01"
DAYS: Final = [SMALL.first + timedelta(days=number) for number in range(5)]
CORRECTED: Final = DAYS[:3]
STEPS: Final = [*assets.FRAMES, "published_records"]


@dataclass(frozen=True)
class Undisturbed:
    """Some days are published and then corrected at the source: before they run again, and what a run makes of it."""

    before: Path
    stands: Rows
    lake: dict[str, pl.DataFrame]


@pytest.fixture(scope="module")
def undisturbed(network_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Made once: tests take copies."""
    directory = tmp_path_factory.mktemp("crash")
    before = Home(copied(network_template, directory / "before"))
    with dg.DagsterInstance.ephemeral() as instance:
        before.run(instance, DC, DAYS[0], DAYS[-1])
        before.correct(DC, CORRECTED[0], CORRECTED[-1])
        home = Home(copied(before.directory, directory / "after"))
        home.run(instance, DC, DAYS[0], DAYS[-1])
    assert home.store.count(RESTATEMENTS)
    assert home.standing()[RECORDS.name] != before.standing()[RECORDS.name]
    return Undisturbed(before.directory, home.standing(), _lake(home))


def _lake(home: Home) -> dict[str, pl.DataFrame]:
    frames = {name: frame for name, frame in assets.FRAMES.items() if name != "items"}
    return {name: home.lake.scan(frame).collect().sort(frame.names) for name, frame in frames.items()}


def _killed(home: Home, where: str, which: str) -> Path:
    """Run the job in a process that dies there, on an instance on disk as dagster.yaml describes it: its directory."""
    directory = home.directory.parent / "dagster"
    directory.mkdir()
    shutil.copy(ROOT / "dagster.yaml", directory)
    # The server has imported everything and runs nothing: a process forked from it is as good as new, and quick.
    context = get_context("forkserver")
    context.set_forkserver_preload([crashing.__name__])
    arguments = (Home(home.directory), directory, (DC, DAYS[0], DAYS[-1]), where, which)
    process = context.Process(target=crashing.run_until_killed, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    return directory


def _ledger(rows: Rows, days: list[date]) -> list[tuple[object, ...]]:
    return [row for row in rows["ledger"] if row[1] in {str(day) for day in days}]


@pytest.mark.parametrize(
    ("where", "which"),
    [
        *[("step", name) for name in STEPS],
        *[("publish", number) for number in ("1", "3")],
        *[("write", number) for number in ("1", "12", "30")],
    ],
)
def test_a_run_after_a_killed_one_leaves_what_an_undisturbed_run_leaves(
    undisturbed: Undisturbed, where: str, which: str, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    home = Home(copied(undisturbed.before, tmp_path))
    before = home.standing()
    _killed(home, where, which)
    crashed = home.standing()
    if where == "publish":
        done = CORRECTED[: int(which) - 1]
        # A day stands whole or as before.
        assert _ledger(crashed, done) == _ledger(undisturbed.stands, done)
        assert _ledger(crashed, DAYS[len(done) :]) == _ledger(before, DAYS[len(done) :])
    elif which != "published_records":
        assert crashed == before
    home.run(instance, DC, DAYS[0], DAYS[-1])
    assert home.standing() == undisturbed.stands
    lake = _lake(home)
    assert all(lake[name].equals(rows) for name, rows in undisturbed.lake.items())


def test_the_instance_of_a_killed_run_takes_the_next_one(
    undisturbed: Undisturbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(copied(undisturbed.before, tmp_path))
    directory = _killed(home, "step", "classified_lines")
    monkeypatch.setenv("FILLRATE_HOME", str(directory))
    with dg.DagsterInstance.from_config(str(directory)) as instance:
        (killed,) = instance.get_runs()
        assert killed.status == dg.DagsterRunStatus.STARTED
        running.end_dead_runs(instance)
        (ended,) = instance.get_runs()
        assert ended.status == dg.DagsterRunStatus.FAILURE
        partitions = instance.get_materialized_partitions(dg.AssetKey("classified_lines"))
        assert partitions == {f"{DC}|{day}" for day in DAYS}
        assert home.run(instance, DC, DAYS[0], DAYS[-1]).success
    assert home.standing() == undisturbed.stands
