"""A run over a lake with holes: it computes again what it reads, or refuses by name, and restates nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final

import dagster as dg
import pytest
import sqlalchemy as sa

from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.record_store import RECORDS, RESTATEMENTS
from fillrate_assets_tests.conftest import DAYS, DC, SMALL, Undisturbed, copy_home
from fillrate_assets_tests.fixtures.home import Home

LAST = DAYS[-1]


def _lose(file: Path) -> None:
    file.unlink()


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def _garble(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:40] + bytes(byte ^ 0xFF for byte in content[40:-8]) + content[-8:])


DAMAGES: Final[list[Callable[[Path], None]]] = [_lose, _empty, _truncate, _garble]


def _list_files(home: Home, table: str, day: object) -> list[Path]:
    return sorted(Path(home.settings.storage.lake_root).glob(f"{table}/dc={DC}/ship_date={day}/*.parquet"))


@pytest.fixture
def home(undisturbed: Undisturbed, tmp_path: Path) -> Home:
    """`DAYS` are published."""
    return Home(copy_home(undisturbed.after.directory, tmp_path))


def test_a_broken_look_back_is_computed_again_and_restates_nothing(home: Home, instance: dg.DagsterInstance) -> None:
    before = home.read_stored()
    for damage, day in zip(DAMAGES, DAYS[:-1], strict=True):
        for table in ("item_days", "classified_lines", "orders"):
            (file,) = _list_files(home, table, day)
            damage(file)
    home.run(instance, DC, LAST)
    assert home.read_stored() == before
    assert not home.lake.find_unreadable(schema.ITEM_DAYS, home.lake.list_partitions(schema.ITEM_DAYS))


def test_broken_files_of_dependent_days_are_computed_again(home: Home, instance: dg.DagsterInstance) -> None:
    before = home.read_stored()
    for damage, day in zip(DAMAGES, DAYS[1:], strict=True):
        for table in Path(home.settings.storage.lake_root).iterdir():
            for file in _list_files(home, table.name, day):
                damage(file)
    result = home.run(instance, DC, DAYS[0], LAST, changed=[DAYS[0]], raise_on_error=False)
    assert result.success
    assert home.read_stored() == before
    assert all(
        check.passed for check in result.get_asset_check_evaluations() if check.asset_check_key.name == "contract"
    )


def test_a_look_back_that_was_never_computed_is_computed_first_and_is_in_no_report(
    network_home: Home, undisturbed: Undisturbed, instance: dg.DagsterInstance
) -> None:
    network_home.run(instance, DC, LAST)
    assert network_home.store.read_records(DC, LAST).equals(undisturbed.before.store.read_records(DC, LAST))
    # What only averages look back on is in no report.
    assert [key.ship_date for key in network_home.lake.list_partitions(schema.CLASSIFIED_LINES)] == [LAST]
    network_home.run(instance, DC, DAYS[0], LAST)
    assert network_home.store.count(RESTATEMENTS) == 0
    assert network_home.store.count(RECORDS) == undisturbed.before.store.count(RECORDS)


def test_days_that_the_sources_have_lost_too_are_refused_by_name(home: Home, instance: dg.DagsterInstance) -> None:
    before = home.read_stored()
    shutil.rmtree(_list_files(home, "item_days", DAYS[1])[0].parent)
    for system, table in (("order_system", "order_lines"), ("shipping_records", "shipment_lines")):
        engine = sa.create_engine(getattr(home.settings.sources, f"{system}_url"))
        with engine.begin() as connection:
            connection.execute(sa.text(f"DELETE FROM {table} WHERE ship_date = :day"), {"day": str(DAYS[1])})  # noqa: S608 - names of our own
    result = home.run(instance, DC, LAST, raise_on_error=False)
    assert not result.success
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    assert failed.step_failure_data.error is not None
    assert f"{DC}: the lake has lost {DAYS[1]}" in str(failed.step_failure_data.error)
    assert home.read_stored() == before


def test_the_first_days_of_history_look_back_on_nothing(network_home: Home, instance: dg.DagsterInstance) -> None:
    network_home.run(instance, DC, DAYS[0])
    assert _list_days(network_home) == {DAYS[0]}
    assert DAYS[0] == SMALL.first
    assert SMALL.first - timedelta(days=1) not in _list_days(network_home)


def _list_days(home: Home) -> set[object]:
    return {key.ship_date for key in home.lake.list_partitions(schema.ITEM_DAYS)}
