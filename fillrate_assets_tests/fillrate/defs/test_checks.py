"""Checks through Dagster over a lake of a few rows: the verdict on the run, and on each of its days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import dagster as dg
import polars as pl
import pytest

from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.defs.assets import AREA
from fillrate_assets.orchestration import partitions
from fillrate_assets_tests.factories import fillrate_frames
from fillrate_assets_tests.factories.rows import DAY, make_records
from fillrate_assets_tests.fixtures.embedded import create_database
from fillrate_assets_tests.fixtures.home import QUIET, Home

DAYS: Final = [DAY + timedelta(days=number) for number in range(3)]
ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN
BAD_LINE: Final = {"disposition": "REJECTED", "reason": "no item"}


@dataclass(frozen=True)
class Checked:
    """One check over a home whose lake a test fills."""

    home: Home
    instance: dg.DagsterInstance

    def store(self, frame: TableSchema, rows: pl.DataFrame) -> None:
        self.home.lake.write(frame, rows, [PartitionKey("DC01", day) for day in DAYS])

    def __call__(self, name: str, last: int = 2) -> tuple[dg.AssetCheckEvaluation, dict[str, dg.AssetCheckEvaluation]]:
        """Run a check over the first days; its verdict on the run, and by partition."""
        asset, check = name.split(".")
        key = dg.AssetCheckKey(dg.AssetKey([AREA, asset]), check)
        job = self.home.defs.resolve_implicit_global_asset_job_def().get_subset(
            asset_selection=set(), asset_check_selection={key}
        )
        self.instance.add_dynamic_partitions("dc", ["DC01"])
        tags = partitions.make_range_tags("DC01", DAYS[0], DAYS[last])
        result = job.execute_in_process(run_config=QUIET, instance=self.instance, tags=tags, raise_on_error=False)
        (verdict,) = [each for each in result.get_asset_check_evaluations() if each.partition is None]
        logged = self.instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        evaluations = [log.get_dagster_event().asset_check_evaluation_data for log in logged]
        return verdict, {each.partition: each for each in evaluations if each.partition is not None}


@pytest.fixture
def checked(tmp_path: Path, instance: dg.DagsterInstance) -> Checked:
    home = Home(tmp_path / "home")
    create_database(home.store.database.url)
    return Checked(home, instance)


def _list_by_day(evaluations: dict[str, dg.AssetCheckEvaluation]) -> list[bool]:
    return [evaluations[str(partitions.make_key("DC01", day))].passed for day in DAYS]


def _make_lines(*rows: dict[str, Any]) -> pl.DataFrame:
    return fillrate_frames.make_counted_lines(
        *[{"dc": "DC01", "line_no": number, **row} for number, row in enumerate(rows)]
    ).collect()


def _make_item_days(*rows: dict[str, Any]) -> pl.DataFrame:
    return fillrate_frames.make_item_days(*[{"dc": "DC01", **row} for row in rows]).collect()


def test_each_day_of_a_range_has_its_own_verdict(checked: Checked) -> None:
    bad = {"shipped_cases": Decimal(-1)}
    checked.store(
        schema.ITEM_DAYS, _make_item_days(*[{"ship_date": day, **(bad if day == DAYS[1] else {})} for day in DAYS])
    )
    verdict, by_day = checked("item_days.contract")
    assert (verdict.passed, verdict.severity, verdict.blocking) == (False, ERROR, True)
    assert _list_by_day(by_day) == [True, False, True]
    assert "1 rows with negative shipped_cases" in str(by_day[f"DC01|{DAYS[1]}"].description)
    assert all(each.blocking for each in by_day.values())


def test_a_run_of_one_day_has_the_verdict_of_its_partition(checked: Checked) -> None:
    checked.store(schema.ITEM_DAYS, _make_item_days({"ship_date": DAYS[0]}))
    verdict, by_day = checked("item_days.contract", last=0)
    assert verdict.passed
    assert {key: each.passed for key, each in by_day.items()} == {str(partitions.make_key("DC01", DAYS[0])): True}


def test_rejected_lines_stop_a_run_only_if_all_its_days_are_bad(checked: Checked) -> None:
    good = [{"ship_date": day} for day in DAYS]
    checked.store(schema.CLASSIFIED_LINES, _make_lines(*good, {"ship_date": DAYS[2], **BAD_LINE}))
    verdict, by_day = checked("classified_lines.reject_rate")
    assert (verdict.passed, verdict.severity) == (False, WARN)
    assert str(verdict.description).startswith(f"DC01 {DAYS[2]}: 1 of 2 order lines were rejected: ")
    assert _list_by_day(by_day) == [True, True, False]
    checked.store(schema.CLASSIFIED_LINES, _make_lines(*good, *[{"ship_date": day, **BAD_LINE} for day in DAYS]))
    verdict, _ = checked("classified_lines.reject_rate")
    assert (verdict.passed, verdict.severity) == (False, ERROR)
    assert "(+2 more)" in str(verdict.description)


def test_days_without_orders_do_not_save_a_run_of_bad_days(checked: Checked) -> None:
    checked.store(schema.CLASSIFIED_LINES, _make_lines({"ship_date": DAYS[0], **BAD_LINE}))
    verdict, _ = checked("classified_lines.reject_rate")
    assert (verdict.passed, verdict.severity) == (False, ERROR)


@pytest.mark.parametrize(("is_open", "severity"), [(True, WARN), (False, ERROR)])
def test_a_day_that_the_calendar_calls_open_saves_a_run_of_bad_days(
    checked: Checked, *, is_open: bool, severity: dg.AssetCheckSeverity
) -> None:
    checked.store(schema.CLASSIFIED_LINES, _make_lines({"ship_date": DAYS[0], **BAD_LINE}))
    days = pl.DataFrame([{"dc": "DC01", "ship_date": DAYS[1], "open": is_open}], schema=schema.DC_CALENDAR.polars)
    checked.home.store.add_calendar(days)
    verdict, _ = checked("classified_lines.reject_rate")
    assert (verdict.passed, verdict.severity) == (False, severity)


def test_a_lake_without_lines_passes(checked: Checked) -> None:
    checked.store(schema.CLASSIFIED_LINES, _make_lines())
    verdict, by_day = checked("classified_lines.reject_rate")
    assert verdict.passed
    assert _list_by_day(by_day) == [True, True, True]


def test_a_day_without_a_snapshot_is_named(checked: Checked) -> None:
    checked.store(schema.CLASSIFIED_LINES, _make_lines(*[{"ship_date": day} for day in DAYS]))
    rows = [{"ship_date": day, "instock": None if day == DAYS[1] else "Y"} for day in DAYS]
    checked.store(schema.ITEM_DAYS, _make_item_days(*rows))
    verdict, by_day = checked("lost_cases.held_days")
    assert (verdict.passed, verdict.severity, verdict.blocking) == (False, ERROR, False)
    assert str(verdict.description).startswith(f"DC01 {DAYS[1]}: no instock snapshot for the day: re-deliver")
    assert _list_by_day(by_day) == [True, False, True]


@pytest.mark.parametrize(("flag", "check"), [("phantom_stock", "phantom_stock"), ("flag_conflict", "flag_conflicts")])
def test_items_to_look_at_are_named_and_only_warn(checked: Checked, flag: str, check: str) -> None:
    rows = [{"item": f"{number}", "ship_date": DAYS[1], flag: number > 1} for number in range(9)]
    checked.store(schema.LOST_CASES, make_records(*rows))
    verdict, by_day = checked(f"lost_cases.{check}")
    assert (verdict.passed, verdict.severity) == (False, WARN)
    assert str(verdict.description).startswith(f"DC01 {DAYS[1]}: 7 of 9 items, ")
    assert _list_by_day(by_day) == [True, False, True]
    largest = verdict.metadata["largest"]
    assert isinstance(largest, dg.TableMetadataValue)
    assert {row.data["item"] for row in largest.records} == {str(number) for number in range(2, 9)}


@pytest.mark.parametrize(("flag", "check"), [("phantom_stock", "phantom_stock"), ("flag_conflict", "flag_conflicts")])
def test_a_few_items_to_look_at_are_shown_and_fail_nothing(checked: Checked, flag: str, check: str) -> None:
    rows = [{"item": f"{number}", "ship_date": DAYS[1], flag: number == 7} for number in range(50)]
    checked.store(schema.LOST_CASES, make_records(*rows))
    verdict, by_day = checked(f"lost_cases.{check}")
    assert verdict.passed
    assert _list_by_day(by_day) == [True, True, True]
    largest = verdict.metadata["largest"]
    assert isinstance(largest, dg.TableMetadataValue)
    assert [row.data["item"] for row in largest.records] == ["7"]


def test_too_few_baselines_warn(checked: Checked) -> None:
    out = {"path": "STOCK_OUT"}
    without: dict[str, Any] = {**out, "baseline_cases": None, "baseline_source": "NONE", "baseline_n": 0}
    rows = [
        *[{"ship_date": DAYS[0], "item": str(number), **out} for number in range(4)],
        {"ship_date": DAYS[0], "item": "without", **without},
        *[{"ship_date": DAYS[1], "item": str(number), **out} for number in range(3)],
        {"ship_date": DAYS[1], "item": "without", **without},
        # In stock: nothing is estimated, so no baseline is needed.
        *[{"ship_date": DAYS[2], "item": str(number), "baseline_cases": None} for number in range(4)],
    ]
    checked.store(schema.LOST_CASES, make_records(*rows))
    verdict, by_day = checked("lost_cases.baseline_coverage")
    assert (verdict.passed, verdict.severity) == (False, WARN)
    assert "3 of 4 have a baseline" in str(verdict.description)
    assert _list_by_day(by_day) == [True, False, True]


def test_the_verdict_of_one_day_is_its_partitions_as_of_many(checked: Checked) -> None:
    checked.store(schema.LOST_CASES, make_records({"item": "A", "ship_date": DAYS[0], "phantom_stock": True}))
    _, by_day = checked("lost_cases.phantom_stock", last=0)
    assert {key: each.passed for key, each in by_day.items()} == {str(partitions.make_key("DC01", DAYS[0])): False}
