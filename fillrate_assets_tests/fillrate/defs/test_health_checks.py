from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.defs import health_checks
from fillrate_assets.fillrate.defs.health_checks import CHECKS, JOB
from fillrate_assets.fillrate.record_store import DayPublication
from fillrate_assets.fillrate.rules.change_planner import VERSIONS
from fillrate_assets.notifications.outbox import OUTBOX
from fillrate_assets_tests.factories.rows import (
    make_order_lines,
    make_records,
    make_rejects,
    make_shipment_lines,
    make_snapshots,
)
from fillrate_assets_tests.fixtures.home import QUIET, Home

NOW = datetime(2026, 3, 14, 14, 30, tzinfo=UTC)
DAY = NOW.date() - timedelta(days=1)
"""The latest day that is due: the deadline is midnight, the time zone UTC."""

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


@dataclass(frozen=True)
class Platform:
    """A platform of one DC whose sources and ledger a test fills, and the health checks over it."""

    home: Home
    instance: dg.DagsterInstance

    def receive(self, day: date, at: datetime, *, snapshot: bool = True) -> None:
        line: dict[str, Any] = {"ship_date": day, "processed_at": at, "order_id": f"O{day}"}
        stock = make_snapshots({"snapshot_date": day, "snapshot_at": at}) if snapshot else make_snapshots()
        self.home.systems.receive(make_order_lines(line), make_shipment_lines(line), stock)

    def publish(self, day: date, at: datetime, held: str | None = None) -> None:
        source = pl.DataFrame(
            [(at, 1) * 3],
            schema={name: schema.LEDGER.polars[name] for names in VERSIONS.values() for name in names},
            orient="row",
        )
        rows = make_records({"ship_date": day}) if held is None else make_records()
        self.home.store.publish(
            [DayPublication("DC01", day, rows, make_rejects(), source, held)], run_id="run", now=NOW
        )

    def __call__(self) -> dict[str, dg.AssetCheckEvaluation]:
        job = self.home.defs.resolve_job_def(JOB)
        result = job.execute_in_process(run_config=QUIET, instance=self.instance)
        return {each.check_name: each for each in result.get_asset_check_evaluations()}

    def read_messages(self) -> list[Any]:
        return [message[0] for message in self.home.read_stored()[OUTBOX.name]]


class Stopped(datetime):
    """A clock that stopped: what is due must not depend on when the tests run."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return NOW.astimezone(tz)


@pytest.fixture
def platform(tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Platform:
    monkeypatch.setattr(health_checks, "datetime", Stopped)
    home = Home(tmp_path / "home")
    home.directory.mkdir()
    first = DAY - timedelta(days=8)
    home.settings.settings_file.write_text(f'first_ship_date = {first}\n[health]\ncompleteness_deadline = "00:00"\n')
    home = Home(home.directory)
    dc = {"dc": "DC01", "name": None, "time_zone": "UTC", "active": True}
    home.systems.create().record_store.add_dcs(pl.DataFrame([dc], schema=schema.DCS.polars))
    return Platform(home, instance)


def test_nothing_is_reported_of_a_platform_in_order(platform: Platform) -> None:
    at = NOW - timedelta(hours=30)
    platform.receive(DAY, at)
    platform.publish(DAY, at)
    found = platform()
    assert {name: each.passed for name, each in found.items()} == {check.check_key.name: True for check in CHECKS}
    assert platform.read_messages() == []


def test_what_is_wrong_is_named_and_reported_once(platform: Platform) -> None:
    long_ago, day = NOW - timedelta(hours=60), DAY
    platform.receive(day, long_ago, snapshot=False)
    platform.receive(day - timedelta(days=1), long_ago)
    platform.publish(day - timedelta(days=1), long_ago, held="no instock snapshot for the day")
    found = platform()
    behind = found["no_day_left_behind"]
    assert (behind.passed, behind.severity, behind.metadata["found"].value) == (False, ERROR, 2)
    assert str(behind.description).startswith(
        f"DC01 {day - timedelta(days=1)}: held: no instock snapshot for the day (+1 more): "
    )
    assert f"DC01 {day}: its sources changed at {long_ago:%Y-%m-%d %H:%M} UTC" in str(behind.metadata["which"].value)
    late = found["complete_by_deadline"]
    assert (late.passed, late.severity) == (False, ERROR)
    lacks = f"DC01 {day}: no instock snapshot and not published by 00:00 UTC of the next day"
    assert str(late.description).startswith(f"{lacks}: ")
    silent = found["fresh_sources"]
    assert (silent.passed, silent.severity, silent.metadata["found"].value) == (False, WARN, 3)
    expected = sorted([f"{name}: {number} found" for name, number in zip(sorted(found), (1, 3, 2), strict=True)])
    assert sorted(platform.read_messages()) == expected
    platform()
    assert sorted(platform.read_messages()) == expected


def test_a_dc_that_is_not_active_is_no_finding(platform: Platform) -> None:
    at = NOW - timedelta(hours=30)
    platform.receive(DAY, at, snapshot=False)
    platform.publish(DAY, at, held="no instock snapshot for the day")
    store = platform.home.store
    assert not platform()["no_day_left_behind"].passed
    store.add_dcs(store.read_dcs().with_columns(active=pl.lit(value=False)))
    found = platform()
    assert (found["no_day_left_behind"].passed, found["complete_by_deadline"].passed) == (True, True)
