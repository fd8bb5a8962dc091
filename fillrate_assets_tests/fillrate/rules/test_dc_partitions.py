from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.definitions.sensor_definition import SensorExecutionData

from fillrate_assets.fillrate.record_store import DCS
from fillrate_assets.fillrate.rules.dc_partitions import plan_onboarding
from fillrate_assets.orchestration import partitions
from fillrate_assets_tests.fixtures.home import Home

NOW: Final = datetime(2026, 2, 10, 20, tzinfo=UTC)
RETENTION: Final = timedelta(days=90)
LONG_AGO: Final = NOW - timedelta(days=91)
RECENTLY: Final = NOW - timedelta(days=89)


@pytest.mark.parametrize(
    ("active", "known", "busy", "since", "expected"),
    [
        pytest.param("AB", "AB", "", {}, ((), (), {}), id="as it is"),
        pytest.param("AB", "A", "", {}, (("B",), (), {}), id="a new DC"),
        pytest.param("A", "AB", "", {}, ((), (), {"B": NOW}), id="inactive for the first time"),
        pytest.param("A", "AB", "", {"B": RECENTLY}, ((), (), {"B": RECENTLY}), id="not inactive for long"),
        pytest.param("A", "AB", "", {"B": NOW - RETENTION}, ((), (), {"B": NOW - RETENTION}), id="for exactly as long"),
        pytest.param("A", "AB", "", {"B": LONG_AGO}, ((), ("B",), {}), id="inactive for long"),
        pytest.param("A", "AB", "B", {"B": LONG_AGO}, ((), (), {"B": LONG_AGO}), id="but a run is in progress"),
        pytest.param("AB", "AB", "", {"B": LONG_AGO}, ((), (), {}), id="active again: forgotten"),
        pytest.param("AC", "AB", "", {"B": LONG_AGO}, (("C",), ("B",), {}), id="one comes, one goes"),
        pytest.param("", "", "", {}, ((), (), {}), id="nothing anywhere"),
    ],
)
def test_active_dcs_get_a_key_and_those_that_were_inactive_for_long_lose_it(
    active: Collection[str],
    known: Collection[str],
    busy: Collection[str],
    since: Mapping[str, datetime],
    expected: tuple[tuple[str, ...], tuple[str, ...], Mapping[str, datetime]],
) -> None:
    made = plan_onboarding(active, known, busy, since, now=NOW, retention=RETENTION)
    assert (made.add, made.remove, made.inactive_since) == expected
    assert (made.reason == "") == bool(made.add or made.remove)


@pytest.mark.parametrize(
    ("active", "known", "busy", "reason"),
    [
        ("", "", "", "the table dcs has no active DC: insert a row there to onboard one"),
        ("AB", "AB", "", "each of the 2 active DCs has its partition key"),
        ("A", "AC", "", ("each of the 1 active DCs has its partition key; C is inactive and loses its key after "
         "2026-02-13 20:00 UTC")),
        ("A", "AB", "B", ("each of the 1 active DCs has its partition key; B is inactive and loses its key when its "
         "run has ended")),
    ],
)  # fmt: skip
def test_a_tick_that_changes_nothing_says_why(active: str, known: str, busy: str, reason: str) -> None:
    since = {"B": LONG_AGO, "C": NOW - timedelta(days=87)}
    assert plan_onboarding(active, known, busy, since, now=NOW, retention=RETENTION).reason == reason


class Ticking:
    """The sensor over a record store, with its cursor and its keys from tick to tick, as the daemon keeps them."""

    def __init__(self, home: Home, instance: dg.DagsterInstance) -> None:
        self.home = home
        self.instance = instance
        self.cursor: str | None = None

    def execute(self, statement: sa.Executable) -> None:
        with self.home.store.database.engine.begin() as connection:
            connection.execute(statement)

    def tick(self) -> SensorExecutionData:
        sensor = self.home.defs.resolve_sensor_def("dcs")
        with dg.build_sensor_context(self.instance, self.cursor, resources=self.home.defs.resources) as context:
            ticked = sensor.evaluate_tick(context)
        self.cursor = ticked.cursor
        for request in ticked.dynamic_partitions_requests or []:
            if isinstance(request, dg.AddDynamicPartitionsRequest):
                self.instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
            else:
                for key in request.partition_keys:
                    self.instance.delete_dynamic_partition(request.partitions_def_name, key)
        return ticked

    @property
    def keys(self) -> list[str]:
        return sorted(self.instance.get_dynamic_partitions("dc"))


@pytest.fixture
def ticking(tmp_path: Path, instance: dg.DagsterInstance) -> Ticking:
    home = Home(tmp_path / "home")
    home.store.database.upgrade()
    home.settings.settings_file.write_text("sensor.dc_retention_days = 0\n")
    return Ticking(Home(home.directory), instance)


def _make_row(dc: str, *, active: bool = True) -> dict[str, object]:
    return {"dc": dc, "name": None, "time_zone": "UTC", "active": active}


def test_one_statement_onboards_a_dc_and_a_second_tick_has_nothing_to_do(ticking: Ticking) -> None:
    assert str(ticking.tick().skip_message).startswith("the table dcs has no active DC")
    ticking.execute(DCS.insert().values([_make_row("DC01"), _make_row("DC02"), _make_row("DC03", active=False)]))
    ticking.tick()
    assert ticking.keys == ["DC01", "DC02"]
    again = ticking.tick()
    assert again.dynamic_partitions_requests == []
    assert again.skip_message == "each of the 2 active DCs has its partition key"


def test_an_inactive_dc_loses_its_key_once_no_run_is_left_for_it(ticking: Ticking) -> None:
    ticking.execute(DCS.insert().values([_make_row("DC01"), _make_row("DC02")]))
    ticking.tick()
    day = ticking.home.settings.first_ship_date
    job = ticking.home.defs.resolve_job_def("fill_rate_and_lost_cases")
    run = ticking.instance.create_run_for_job(
        job, tags=partitions.make_range_tags("DC02", day, day), status=dg.DagsterRunStatus.STARTED
    )
    ticking.execute(DCS.update().where(DCS.c.dc == "DC02").values(active=False))
    ticking.tick()
    assert "DC02 is inactive and loses its key when its run has ended" in str(ticking.tick().skip_message)
    assert ticking.keys == ["DC01", "DC02"]
    ticking.instance.report_run_canceled(run)
    ticking.tick()
    assert ticking.keys == ["DC01"]
    assert ticking.tick().skip_message == "each of the 1 active DCs has its partition key"
