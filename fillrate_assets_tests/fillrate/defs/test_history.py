"""The history through Dagster: which DCs are due, what a run writes, and that reports then read it (0320)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import pytest

from fillrate_assets.fillrate.defs import history
from fillrate_assets.fillrate.report.history import find_due_months, read_stored
from fillrate_assets.fillrate.report.report_request import PlatformReports, ReportRequest
from fillrate_assets.orchestration import partitions
from fillrate_assets_tests.conftest import SMALL
from fillrate_assets_tests.fixtures.home import QUIET, Home

pytestmark = pytest.mark.slow

DCS = SMALL.dc_codes


def _find_requested(home: Home, instance: dg.DagsterInstance) -> list[str | None]:
    context = dg.build_schedule_context(
        instance=instance, scheduled_execution_time=datetime.now(UTC), resources={"lake": home.lake}
    )
    schedule = home.defs.resolve_schedule_def(history.JOB)
    requests = schedule(context)
    assert isinstance(requests, list)
    assert all(request.tags[partitions.DC_TAG] == request.partition_key for request in requests)
    return [request.partition_key for request in requests]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    # A schedule wants an instance that other processes can find.
    with dg.instance_for_test() as made:
        yield made


def test_a_dc_is_due_until_a_run_has_written_its_months(published_home: Home, instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions(str(partitions.DC.name), DCS)
    reports = PlatformReports.from_settings(published_home.settings)
    request = ReportRequest(["dc", "vendor"], SMALL.first, SMALL.last)
    before = reports.read(request)
    assert _find_requested(published_home, instance) == DCS
    job = published_home.defs.resolve_job_def(history.JOB)
    ran = job.execute_in_process(run_config=QUIET, instance=instance, partition_key=DCS[0])
    (event,) = ran.asset_materializations_for_node(history.history.key.to_python_identifier())
    assert event.partition == DCS[0]
    assert event.metadata["days"].value == len({day for dc, day in reports.facts.look().stored.days if dc == DCS[0]})
    assert _find_requested(published_home, instance) == DCS[1:]
    assert {key.dc for key in find_due_months(read_stored(published_home.lake))} == {*DCS[1:]}
    after = reports.read(request)
    assert after is not before
    assert after.groups.equals(before.groups)
    assert after.total.equals(before.total)
    assert reports.read(request) is after


def test_what_can_be_searched_for_is_found_by_number_or_words(published_home: Home) -> None:
    reports = PlatformReports.from_settings(published_home.settings)
    items = reports.read_known("item", limit=1000)
    number, description = items.row(0)
    assert reports.read_known("item", number).row(0) == (number, description)
    assert number in reports.read_known("item", description.upper(), limit=1000)["name"].to_list()
    assert reports.read_known("dc")["name"].to_list() == DCS
    assert reports.read_known("vendor").height
    assert reports.read_known("customer", "nothing like it").is_empty()


def test_a_trend_is_of_whole_weeks_up_to_the_last(published_home: Home) -> None:
    reports = PlatformReports.from_settings(published_home.settings)
    weeks = reports.read_trend(ReportRequest(), weeks=2).groups["week"].to_list()
    assert weeks == sorted({f"{day:%G-W%V}" for day in SMALL.ship_days})[-2:]
    assert reports.read_trend(ReportRequest(["dc"]), weeks=2).groups.height == len(DCS)
