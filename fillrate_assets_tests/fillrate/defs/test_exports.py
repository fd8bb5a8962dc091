"""The analysts' hand-over through Dagster: which files there are, what is in them, and when they change."""

from __future__ import annotations

import csv
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import takewhile
from pathlib import Path

import dagster as dg
import openpyxl
import pandas as pd
import polars as pl
import pytest
import sqlalchemy as sa

from fillrate_assets.core import decimals, parsing
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.defs import exports
from fillrate_assets.fillrate.rules import rejects
from fillrate_assets.storage import sql
from fillrate_assets_tests.conftest import ROOT, SMALL, TINY, clear_environment, copy_home
from fillrate_assets_tests.fixtures.cloud import Cloud
from fillrate_assets_tests.fixtures.home import Home
from fillrate_assets_tests.fixtures.instances import open_in_memory
from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.slow

DC, HELD_DAY = SMALL.snapshot_gap
DAYS = [HELD_DAY + timedelta(days=offset) for offset in range(-5, 2)]
"""From a day with rejects, over a Sunday, when nothing ships."""

PUBLISHED = [day for day in DAYS if day != HELD_DAY]
OPEN = [day for day in PUBLISHED if day in SMALL.ship_days]
FILES = ["fill_rates.csv", "lost_cases.csv", "report.xlsx"]
DAY = SMALL.ship_days[0]


@dataclass(frozen=True)
class Exported:
    """A platform after the main job and the exports of some days, one of them held."""

    home: Home
    result: dg.ExecuteInProcessResult

    @property
    def shown(self) -> Mapping[str | None, Mapping[str, dg.MetadataValue]]:
        """What the UI shows of each partition."""
        events = self.result.asset_materializations_for_node(exports.exports.key.to_python_identifier())
        return {event.partition: event.metadata for event in events}


@pytest.fixture(scope="module")
def exported(network_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exported]:
    """Made once: tests only read it."""
    home = Home(copy_home(network_template, tmp_path_factory.mktemp("exported")))
    with open_in_memory() as instance:
        with pytest.MonkeyPatch.context() as monkeypatch:
            clear_environment(monkeypatch)
            home.run(instance, DC, DAYS[0], DAYS[-1])
            result = home.export(instance, DC, DAYS[0], DAYS[-1])
        yield Exported(home, result)


@pytest.fixture(scope="module")
def one_day_template(network_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one day published and exported. Tests take copies."""
    home = Home(copy_home(network_template, tmp_path_factory.mktemp("one day")))
    with pytest.MonkeyPatch.context() as monkeypatch, open_in_memory() as instance:
        clear_environment(monkeypatch)
        home.run(instance, "DC01", DAY)
        home.export(instance, "DC01", DAY)
    return home.directory


@pytest.fixture
def one_day(one_day_template: Path, tmp_path: Path) -> Home:
    return Home(copy_home(one_day_template, tmp_path))


def _get_folder(home: Home, day: date, dc: str = DC) -> Path:
    return Path(home.settings.storage.lake_root, "exports", f"dc={dc}", f"ship_date={day}")


def _read_bytes(home: Home) -> dict[str, bytes]:
    root = Path(home.settings.storage.lake_root, "exports")
    return {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}


@pytest.mark.sweep
def test_the_documented_command_exports_a_range(
    tiny_published_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(copy_home(tiny_published_template, tmp_path))
    days = TINY.ship_days[:2]
    shutil.copy(ROOT / "dagster.yaml", home.directory)
    monkeypatch.setenv("DAGSTER_HOME", str(home.directory))
    monkeypatch.setenv("FILLRATE_HOME", str(home.directory))
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions("dc", TINY.dc_codes)
    page = (ROOT / "docs" / "how-to" / "export-files.md").read_text()
    (written,) = re.findall(r"^\$ dagster (asset materialize .*)$", page, re.MULTILINE)
    *arguments, _ = shlex.split(written)
    dc = TINY.dc_codes[0]
    command = [sys.executable, "-W", "ignore", "-m", "dagster", *arguments, f"{dc}|{days[0]}...{dc}|{days[-1]}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS)  # noqa: S603 - a package's own program
    assert done.returncode == 0, done.stderr
    for day in days:
        assert sorted(file.name for file in _get_folder(home, day, dc).iterdir()) == FILES


def _read_csv(file: Path, frame: TableSchema) -> pl.DataFrame:
    """A CSV file as its frame, by the platform's own reading of text."""
    return parsing.parse_frame(pl.read_csv(file, infer_schema=False).lazy(), frame, table=file.name).collect()


def test_a_published_day_is_two_tables_and_a_workbook_at_a_place_that_one_can_guess(exported: Exported) -> None:
    assert sorted(_read_bytes(exported.home)) == sorted(
        f"dc={DC}/ship_date={day}/{name}" for day in PUBLISHED for name in FILES
    )


def test_the_records_are_those_that_stand_to_the_last_digit(exported: Exported) -> None:
    for day in OPEN:
        published = exported.home.store.read_records(DC, day)
        assert published.height
        assert _read_csv(_get_folder(exported.home, day) / "lost_cases.csv", schema.LOST_CASES).equals(published)


def test_the_service_metrics_are_those_of_the_day(exported: Exported) -> None:
    for day in OPEN:
        rates = exported.home.lake.read(schema.FILL_RATES, [PartitionKey(DC, day)]).collect()
        assert set(rates["level"]) == set(schema.LEVELS)
        assert _read_csv(_get_folder(exported.home, day) / "fill_rates.csv", schema.FILL_RATES).equals(rates)


@pytest.mark.parametrize(
    ("name", "frame"), [("lost_cases.csv", schema.LOST_CASES), ("fill_rates.csv", schema.FILL_RATES)]
)
def test_a_table_has_its_schemas_header_and_four_places_everywhere(
    exported: Exported, name: str, frame: TableSchema
) -> None:
    text = (_get_folder(exported.home, OPEN[-1]) / name).read_text(encoding="utf-8")
    header, *rows = csv.reader(text.splitlines())
    assert header == frame.names
    for column, values in zip(frame.columns, zip(*rows, strict=True), strict=True):
        if column.dtype == decimals.CASES:
            assert all(re.fullmatch(r"\d+\.\d{4}" if value else "", value) for value in values), column.name
            assert any(values), column.name


def test_a_day_without_orders_is_a_header_and_a_workbook_that_says_so(exported: Exported) -> None:
    closed = min(set(PUBLISHED) - set(OPEN))
    assert _read_csv(_get_folder(exported.home, closed) / "lost_cases.csv", schema.LOST_CASES).is_empty()
    book = openpyxl.load_workbook(_get_folder(exported.home, closed) / "report.xlsx")
    assert book["Summary"]["A2"].value == "No order lines"


def test_pandas_reads_what_was_written(exported: Exported) -> None:
    frame = pd.read_csv(_get_folder(exported.home, OPEN[-1]) / "lost_cases.csv", dtype={"item": str})
    records = exported.home.store.read_records(DC, OPEN[-1])
    assert frame["item"].tolist() == records["item"].to_list()
    assert frame["lost_cases"].sum() == pytest.approx(float(records["lost_cases"].sum()))


def test_the_workbook_shows_the_report_of_the_day(exported: Exported) -> None:
    for day in OPEN:
        records = exported.home.store.read_records(DC, day)
        book = openpyxl.load_workbook(_get_folder(exported.home, day) / "report.xlsx")
        assert book.sheetnames == ["Summary", "Trend", "Worst items", "By vendor", "Lost by path", "Doubts", "Notes"]
        assert book["Summary"]["A2"].value == f"Ship dates {day} to {day}, 1 DC: {DC}"
        header, *rows = takewhile(any, book["Summary"].iter_rows(min_row=9, values_only=True))
        assert (header[0], rows[-1][0]) == ("Department", "TOTAL")
        assert {row[0] for row in rows[:-1]} >= set(records["department"].drop_nulls())
        assert rows[-1][header.index("Lost")] == pytest.approx(float(records["lost_cases"].sum()))
        assert rows[-1][header.index("Ordered")] == pytest.approx(float(records["ordered_cases"].sum()))


def test_a_workbook_shows_the_rejects_of_its_day_below_each_table(exported: Exported) -> None:
    (day, rejected), *_ = (
        (day, rows)
        for day in OPEN
        if (
            rows := rejects.select_rejects(
                exported.home.lake.read(schema.CLASSIFIED_LINES, [PartitionKey(DC, day)])
            ).collect()
        ).height
    )
    book = openpyxl.load_workbook(_get_folder(exported.home, day) / "report.xlsx")
    counts = [f"{len(rejected.filter(table=table)):,} of " for table in rejected["table"].unique()]
    for name in book.sheetnames[:5]:
        (note,) = [str(row[0]) for row in book[name].iter_rows(values_only=True) if str(row[0]).startswith("Doubt: ")]
        assert all(count in note for count in counts), name
    shown = "\n".join(str(row[0]) for row in book["Doubts"].iter_rows(values_only=True))
    assert all(f"rejected: {count}" in shown for count in counts)


def test_a_workbook_says_when_its_records_were_published(exported: Exported) -> None:
    published_at = exported.home.store.read_ledger(DC).row(by_predicate=pl.col("ship_date") == OPEN[-1], named=True)[
        "published_at"
    ]
    book = openpyxl.load_workbook(_get_folder(exported.home, OPEN[-1]) / "report.xlsx")
    assert book.properties.created == published_at.replace(tzinfo=None, microsecond=0)
    assert str(book["Notes"]["A2"].value).endswith(f"Written {published_at:%Y-%m-%d %H:%M} UTC.")


def test_each_partition_shows_where_its_files_are_and_how_large(exported: Exported) -> None:
    assert sorted(map(str, exported.shown)) == [f"{DC}|{day}" for day in DAYS]
    for day in PUBLISHED:
        shown = exported.shown[f"{DC}|{day}"]
        assert shown["dagster/partition_row_count"].value == exported.home.store.read_records(DC, day).height
        for name in FILES:
            file = _get_folder(exported.home, day) / name
            assert shown[name] == dg.MetadataValue.path(str(file))
            assert shown[f"{name} bytes"].value == file.stat().st_size


def test_a_held_day_that_was_never_published_has_no_files_and_says_why(exported: Exported) -> None:
    shown = exported.shown[f"{DC}|{HELD_DAY}"]
    assert {name: value.value for name, value in shown.items()} == {"held": "no instock snapshot for the day"}


def test_a_day_that_was_never_published_says_so(one_day: Home, instance: dg.DagsterInstance) -> None:
    result = one_day.export(instance, "DC01", DAY, DAY + timedelta(days=1))
    shown = {
        event.partition: event.metadata
        for event in result.asset_materializations_for_node(exports.exports.key.to_python_identifier())
    }
    assert shown[f"DC01|{DAY + timedelta(days=1)}"]["held"].value == "not published yet"
    assert {Path(name).parent.name for name in _read_bytes(one_day)} == {f"ship_date={DAY}"}


def test_running_again_changes_no_byte(exported: Exported, tmp_path: Path, instance: dg.DagsterInstance) -> None:
    home = Home(copy_home(exported.home.directory, tmp_path))
    before = _read_bytes(home)
    assert before
    home.run(instance, DC, DAYS[0], DAYS[-1])
    for day in (DAYS[0], HELD_DAY, DAYS[-1]):
        home.export(instance, DC, day)
    assert _read_bytes(home) == before


@pytest.mark.sweep
def test_a_correction_is_exported_and_a_held_day_keeps_its_last_files(
    one_day: Home, instance: dg.DagsterInstance
) -> None:
    first = _read_bytes(one_day)
    one_day.correct("DC01", DAY, DAY)
    one_day.run(instance, "DC01", DAY)
    one_day.export(instance, "DC01", DAY)
    corrected = _read_bytes(one_day)
    assert {name for name in first if first[name] != corrected[name]} == set(first)
    table = _read_csv(_get_folder(one_day, DAY, "DC01") / "lost_cases.csv", schema.LOST_CASES)
    assert table.equals(one_day.store.read_records("DC01", DAY))
    moved = "UPDATE instock_snapshots SET snapshot_date = '1999-01-01' WHERE dc = 'DC01' AND snapshot_date = :day"
    with sql.get_engine(one_day.settings.sources.instock_warehouse_url).begin() as connection:
        connection.execute(sa.text(moved), {"day": DAY})
    one_day.run(instance, "DC01", DAY)
    one_day.export(instance, "DC01", DAY)
    assert one_day.store.read_ledger("DC01")["state"].to_list() == ["HELD"]
    assert _read_bytes(one_day) == corrected


def test_records_that_break_their_type_fail_by_name_and_leave_the_files(
    one_day: Home, instance: dg.DagsterInstance
) -> None:
    before = _read_bytes(one_day)
    item = one_day.store.read_records("DC01", DAY)["item"][0]
    with sql.get_engine(one_day.settings.storage.record_store_url).begin() as connection:
        changed = connection.execute(
            sa.text("UPDATE lost_cases SET path = 'ELSEWHERE' WHERE item = :item"), {"item": item}
        )
        assert changed.rowcount == 1
    result = one_day.export(instance, "DC01", DAY, raise_on_error=False)
    assert not result.success
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failure.error is not None
    shown = failure.error.cause.message if failure.error.cause else failure.error.message
    assert f"DC01 {DAY}: no LostCases: " in shown
    assert 'Violated "CategoricalColumnConstraint" for column "path"' in shown
    assert f"Rows (dc, ship_date, item, path): DC01/{DAY}/{item}/ELSEWHERE" in shown
    assert not [event for event in result.all_events if event.is_step_up_for_retry]
    assert _read_bytes(one_day) == before


def test_exports_on_s3_are_those_on_disk(
    exported: Exported, tmp_path: Path, instance: dg.DagsterInstance, aws: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = aws.create_bucket()
    s3, root = aws.make_client("s3"), Path(exported.home.settings.storage.lake_root)
    for file in root.rglob("*.parquet"):
        s3.put_object(Bucket=bucket, Key=f"lake/dev/{file.relative_to(root)}", Body=file.read_bytes())
    monkeypatch.setenv("FILLRATE_STORAGE__LAKE_ROOT", f"s3://{bucket}/lake")
    there = Home(copy_home(exported.home.directory, tmp_path))
    result = there.export(instance, DC, DAYS[0], DAYS[-1])
    found = {
        key.removeprefix("lake/dev/exports/"): s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        for key in aws.list_keys(bucket)
        if key.startswith("lake/dev/exports/")
    }
    assert found == _read_bytes(exported.home)
    shown = {
        event.partition: event.metadata
        for event in result.asset_materializations_for_node(exports.exports.key.to_python_identifier())
    }
    where = f"s3://{bucket}/lake/dev/exports/dc={DC}/ship_date={DAYS[0]}/report.xlsx"
    assert shown[f"{DC}|{DAYS[0]}"]["report.xlsx"] == dg.MetadataValue.path(where)


def test_days_are_exported_when_they_are_published_and_not_when_items_are_read(
    network_home: Home, instance: dg.DagsterInstance
) -> None:
    days = SMALL.ship_days[:3]
    instance.add_dynamic_partitions("dc", SMALL.dc_codes)

    def read_requested(cursor: object) -> tuple[set[str | None], object]:
        found = dg.evaluate_automation_conditions(
            network_home.defs,
            instance,
            dg.AssetSelection.assets(exports.exports.key),
            cursor=cursor,  # type: ignore[arg-type]  # Dagster does not export its class
        )
        return set(found.get_requested_partitions(exports.exports.key)), found.cursor

    wanted, cursor = read_requested(None)
    assert wanted == set()
    network_home.run(instance, DC, days[0], days[1])
    both = {f"{DC}|{day}" for day in days[:2]}
    wanted, cursor = read_requested(cursor)
    assert wanted == both
    network_home.export(instance, DC, days[0], days[1])
    network_home.run(instance, DC, days[2])
    wanted, cursor = read_requested(cursor)
    assert wanted == {f"{DC}|{days[2]}"}
    # A day long past that is published again is exported again.
    network_home.run(instance, DC, days[0])
    wanted, _ = read_requested(cursor)
    assert wanted == {f"{DC}|{days[0]}"}


@pytest.mark.parametrize("frame", [schema.LOST_CASES, schema.FILL_RATES])
def test_the_data_contracts_show_the_header(frame: TableSchema) -> None:
    assert ",".join(frame.names) in (ROOT / "docs" / "reference" / "outputs.md").read_text().splitlines()
