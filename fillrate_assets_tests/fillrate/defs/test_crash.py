"""A process that dies anywhere leaves nothing behind that a second run does not put right."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import dagster as dg
import polars as pl
import pytest

from fillrate_assets.cli import launcher
from fillrate_assets.fillrate.defs import assets
from fillrate_assets.fillrate.network_store import NETWORK_DAYS
from fillrate_assets_tests.conftest import CORRECTED, DAYS, DC, Undisturbed, copy_home
from fillrate_assets_tests.fixtures.crashes import run_and_kill
from fillrate_assets_tests.fixtures.home import Home, Rows

pytestmark = pytest.mark.slow

RANGE: Final = (DC, DAYS[0], DAYS[-1])
STEPS: Final = [asset.key.path[-1] for asset in assets.ASSETS]


def _read_ledger(rows: Rows, days: list[date]) -> list[tuple[object, ...]]:
    return [row for row in rows["ledger"] if row[1] in {str(day) for day in days}]


def _leave_out_network(rows: Rows) -> Rows:
    return {table: found for table, found in rows.items() if table != NETWORK_DAYS.name}


@dataclass(frozen=True)
class Expected:
    """What is stored before and after an undisturbed run, read once."""

    before: Rows
    after: Rows
    lake: dict[str, pl.DataFrame]


@pytest.fixture(scope="module")
def expected(undisturbed: Undisturbed) -> Expected:
    before, after = undisturbed.before, undisturbed.after
    return Expected(before.read_stored(), after.read_stored(), after.read_frames())


@pytest.mark.parametrize(
    ("where", "which"),
    [
        ("step", "lost_cases"),
        ("publish", "3"),
        ("write", "12"),
        *[pytest.param("step", name, marks=pytest.mark.sweep) for name in STEPS if name != "lost_cases"],
        pytest.param("publish", "1", marks=pytest.mark.sweep),
        *[pytest.param("write", number, marks=pytest.mark.sweep) for number in ("1", "30")],
    ],
)
def test_a_run_after_a_killed_one_leaves_what_an_undisturbed_run_leaves(
    undisturbed: Undisturbed,
    expected: Expected,
    where: str,
    which: str,
    tmp_path: Path,
    instance: dg.DagsterInstance,
) -> None:
    home = Home(copy_home(undisturbed.before.directory, tmp_path))
    run_and_kill(home, RANGE, where, which)
    crashed = home.read_stored()
    if where == "publish":
        done = CORRECTED[: int(which) - 1]
        # A day is stored whole or as before.
        assert _read_ledger(crashed, done) == _read_ledger(expected.after, done)
        assert _read_ledger(crashed, DAYS[len(done) :]) == _read_ledger(expected.before, DAYS[len(done) :])
    elif which != "published_records":
        # What is usual of a day has its version as soon as it is in the lake, before there are records.
        assert _leave_out_network(crashed) == _leave_out_network(expected.before)
    home.run(instance, DC, DAYS[0], DAYS[-1])
    assert home.read_stored() == expected.after
    lake = home.read_frames()
    assert all(lake[name].equals(rows) for name, rows in expected.lake.items())


def test_the_instance_of_a_killed_run_takes_the_next_one(
    undisturbed: Undisturbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(copy_home(undisturbed.before.directory, tmp_path))
    directory = run_and_kill(home, RANGE, "step", "classified_lines")
    monkeypatch.setenv("FILLRATE_HOME", str(directory))
    with dg.DagsterInstance.from_config(str(directory)) as instance:
        (dead,) = instance.get_runs()
        assert dead.status == dg.DagsterRunStatus.STARTED
        launcher.end_dead_runs(instance)
        (ended,) = instance.get_runs()
        assert ended.status == dg.DagsterRunStatus.FAILURE
        partitions = instance.get_materialized_partitions(assets.classified_lines.key)
        assert partitions == {f"{DC}|{day}" for day in DAYS}
        assert home.run(instance, DC, DAYS[0], DAYS[-1]).success
    assert home.read_stored() == undisturbed.after.read_stored()
