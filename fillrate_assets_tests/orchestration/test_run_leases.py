"""A run renews its lease while its process goes on, and the process ends when it cannot; decision 0383."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import dagster as dg
import pytest

from fillrate_assets.core.errors import SourceUnavailable
from fillrate_assets.orchestration import run_leases
from fillrate_assets.orchestration.run_leases import RunLease
from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS, wait_until

GONE = "the database is gone"


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance in files, as a lease is renewed by a thread: one in memory refuses to be read while that writes."""
    with dg.instance_for_test(temp_dir=str(tmp_path)) as made:
        yield made


@pytest.fixture
def started(instance: dg.DagsterInstance) -> dg.DagsterRun:
    """A run that has started."""

    @dg.job
    def empty() -> None:
        """Do nothing."""

    return instance.create_run_for_job(empty, status=dg.DagsterRunStatus.STARTED)


def test_a_run_renews_its_lease_until_it_has_ended(instance: dg.DagsterInstance, started: dg.DagsterRun) -> None:
    said: list[str] = []
    assert run_leases.read_leases(instance, [started.run_id]) == {}
    with RunLease(instance, started.run_id, 6, said.append):
        first = run_leases.read_leases(instance, [started.run_id])
        assert first[started.run_id].startswith("6 ")
        wait_until(lambda: run_leases.read_leases(instance, [started.run_id]) != first)
    assert run_leases.read_leases(instance, ["another", started.run_id]).keys() == {started.run_id}
    assert said == []


def test_a_process_ends_when_dagster_says_that_its_run_has_ended(
    instance: dg.DagsterInstance, started: dg.DagsterRun
) -> None:
    ended = Event()
    reasons: list[str] = []

    def end(reason: str) -> None:
        reasons.append(reason)
        ended.set()

    with RunLease(instance, started.run_id, 6, end):
        instance.report_run_failed(started)
        assert ended.wait(PATIENCE_SECONDS)
    assert "has ended, as Dagster says" in reasons[0]


def test_a_process_ends_before_its_lease_lapses_when_it_cannot_renew_it(
    instance: dg.DagsterInstance, started: dg.DagsterRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = Event()
    reasons: list[str] = []

    def end(reason: str) -> None:
        reasons.append(reason)
        ended.set()

    def renew(*_: object) -> None:
        raise SourceUnavailable(GONE)

    with RunLease(instance, started.run_id, 1, end):
        monkeypatch.setattr(run_leases, "renew_lease", renew)
        assert ended.wait(PATIENCE_SECONDS)
    assert "could not renew its lease" in reasons[0]
