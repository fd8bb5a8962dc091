from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import dagster as dg
import pytest
from dagster import AssetExecutionContext
from dagster._core.test_utils import freeze_time
from dagster_shared.yaml_utils import load_yaml_from_path
from hypothesis import given
from hypothesis import strategies as st

from fillrate_assets.core import partition_key
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.orchestration import partitions
from fillrate_assets.orchestration.partitions import CHANGED_TAG
from fillrate_assets_tests.conftest import ROOT
from fillrate_assets_tests.fixtures.home import QUIET

FIRST: Final = date(2026, 2, 1)
DAYS: Final = [FIRST + timedelta(days=number) for number in range(5)]
DAY = timedelta(days=1)


@dg.asset(partitions_def=partitions.define_dc_ship_date(FIRST), backfill_policy=dg.BackfillPolicy.single_run())
def listed(context: AssetExecutionContext) -> dg.MaterializeResult[None]:
    days = partitions.list_days(context), partitions.list_changed_days(context)
    return dg.MaterializeResult(metadata={"days": repr(days)})


def _run_days(instance: dg.DagsterInstance, tags: dict[str, str], partition: str | None = None) -> str:
    """All days of a run, and those that changed."""
    instance.add_dynamic_partitions("dc", ["DC01", "DC02"])
    job = dg.Definitions([listed], jobs=[dg.define_asset_job("job")]).resolve_job_def("job")
    result = job.execute_in_process(run_config=QUIET, instance=instance, tags=tags, partition_key=partition)
    return str(result.asset_materializations_for_node("listed")[0].metadata["days"].value)


def _make_keys(dc: str, days: list[date]) -> list[PartitionKey]:
    return [PartitionKey(dc, day) for day in days]


def test_a_run_of_one_partition_is_about_its_day(instance: dg.DagsterInstance) -> None:
    key = str(partitions.make_key("DC02", DAYS[1]))
    assert _run_days(instance, {}, key) == repr((_make_keys("DC02", [DAYS[1]]), _make_keys("DC02", [DAYS[1]])))


def test_a_run_of_a_range_is_about_all_its_days(instance: dg.DagsterInstance) -> None:
    tags = partitions.make_range_tags("DC01", DAYS[0], DAYS[-1])
    assert _run_days(instance, tags) == repr((_make_keys("DC01", DAYS), _make_keys("DC01", DAYS)))


def test_a_run_may_say_which_of_its_days_changed(instance: dg.DagsterInstance) -> None:
    tags = partitions.make_range_tags("DC01", DAYS[0], DAYS[-1]) | {CHANGED_TAG: f"{DAYS[3]},{DAYS[1]},1999-01-01"}
    assert _run_days(instance, tags) == repr((_make_keys("DC01", DAYS), _make_keys("DC01", [DAYS[1], DAYS[3]])))


def test_a_backfill_of_several_dcs_is_about_each_of_them(instance: dg.DagsterInstance) -> None:
    tags = partitions.make_range_tags("DC01", DAYS[0], DAYS[1])
    tags[partitions.RANGE_END_TAG] = str(partitions.make_key("DC02", DAYS[1]))
    both = [*_make_keys("DC01", DAYS[:2]), *_make_keys("DC02", DAYS[:2])]
    assert _run_days(instance, tags) == repr((both, both))


def test_partitions_begin_on_the_first_ship_date_and_end_today(instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("dc", ["DC01"])
    keys = partitions.define_dc_ship_date(FIRST).get_partition_keys(dynamic_partitions_store=instance)
    days = sorted(str(key).split("|")[1] for key in keys)
    assert days[0] == str(FIRST)
    # Midnight may pass while this runs.
    assert date.fromisoformat(days[-1]) in {date.today(), date.today() - DAY, date.today() + DAY}  # noqa: DTZ011
    assert len(days) == (date.fromisoformat(days[-1]) - FIRST).days + 1


def test_two_runs_of_one_dc_never_go_at_the_same_time() -> None:
    config: Any = load_yaml_from_path(str(ROOT / "dagster.yaml"))
    runs = config["concurrency"]["runs"]
    of_dcs, of_one_dc, of_ticks = runs["tag_concurrency_limits"]
    assert of_one_dc["limit"] == 1
    assert of_one_dc["value"] == {"applyLimitPerUniqueValue": True}
    assert partitions.make_range_tags("DC01", FIRST, FIRST)[of_one_dc["key"]] == "DC01"
    assert (of_dcs["key"], of_ticks["key"]) == (partitions.DC_TAG, partitions.TICK_TAG)
    # So there is always a place for a tick.
    assert of_dcs["limit"] + of_ticks["limit"] == runs["max_concurrent_runs"]


@pytest.mark.parametrize(
    ("offsets", "expected"),
    [
        ([], []),
        ([3], [(3, 3)]),
        ([0, 1, 2], [(0, 2)]),
        ([0, 2], [(0, 0), (2, 2)]),
        ([0, 1, 2, 3, 4], [(0, 2), (3, 4)]),
        ([0, 1, 3, 4, 9], [(0, 1), (3, 4), (9, 9)]),
    ],
)
def test_days_without_a_gap_are_one_span_of_three_at_most(offsets: list[int], expected: list[tuple[int, int]]) -> None:
    cut = partition_key.cut_into_ranges([("DC01", FIRST + offset * DAY) for offset in offsets], longest=3)
    assert [((span.first - FIRST).days, (span.last - FIRST).days) for span in cut] == expected


@given(st.sets(st.tuples(st.sampled_from(["DC01", "DC02"]), st.integers(0, 60))), st.integers(1, 40))
def test_spans_hold_exactly_the_days_and_are_as_few_as_can_be(wanted: set[tuple[str, int]], longest: int) -> None:
    days = [(dc, FIRST + offset * DAY) for dc, offset in sorted(wanted)]
    cut = partition_key.cut_into_ranges(days, longest)
    assert [day for span in cut for day in span.partition_keys] == days
    assert all(span.last - span.first == (len(span.ship_dates) - 1) * DAY for span in cut)
    assert all(len(span.ship_dates) <= longest for span in cut)
    touching = [before for before, after in pairwise(cut) if before.dc == after.dc and after.first - before.last == DAY]
    assert all(len(before.ship_dates) == longest for before in touching)


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ({}, None),
        (partitions.make_range_tags("DC01", DAYS[0], DAYS[2]), ("DC01", "DC01", DAYS[0], DAYS[2])),
        ({"dagster/partition": "DC01|2026-02-01"}, ("DC01", "DC01", DAYS[0], DAYS[0])),
        ({"dagster/partition": "A|B|2026-02-01"}, ("A|B", "A|B", DAYS[0], DAYS[0])),
        (
            {**partitions.make_range_tags("DC01", DAYS[0], DAYS[2]), partitions.RANGE_END_TAG: "DC03|2026-02-02"},
            ("DC01", "DC03", DAYS[0], DAYS[1]),
        ),
        ({"dagster/partition": "2026-02-01"}, None),
        ({partitions.RANGE_START_TAG: "DC01|2026-02-01"}, None),
    ],
)
def test_the_tags_of_a_run_give_its_dcs_and_ship_dates(
    tags: dict[str, str], found: tuple[str, str, date, date] | None
) -> None:
    assert partitions.find_rectangle(tags) == (found and partitions.PartitionRectangle(*found))


def test_only_runs_that_have_not_ended_occupy_their_dc(instance: dg.DagsterInstance) -> None:
    job = dg.Definitions([listed], jobs=[dg.define_asset_job("job")]).resolve_job_def("job")
    status = dg.DagsterRunStatus
    statuses = [status.NOT_STARTED, status.STARTING, status.STARTED, status.CANCELING, status.SUCCESS, status.FAILURE]
    dcs = [each.value for each in statuses]
    instance.add_dynamic_partitions("dc", dcs)
    runs = {
        dc: instance.create_run_for_job(job, tags=partitions.make_range_tags(dc, FIRST, FIRST), status=each).run_id
        for dc, each in zip(dcs, statuses, strict=True)
    }
    instance.create_run_for_job(job, status=status.STARTED)
    assert partitions.find_runs_by_dc(instance, queued=True) == {dc: runs[dc] for dc in dcs[:4]}
    assert partitions.find_runs_by_dc(instance, queued=False) == {dc: runs[dc] for dc in dcs[1:4]}


def test_a_run_that_has_not_ended_is_at_work_on_the_days_that_it_reads(instance: dg.DagsterInstance) -> None:
    job = dg.Definitions([listed], jobs=[dg.define_asset_job("job")]).resolve_job_def("job")
    instance.add_dynamic_partitions("dc", ["DC01", "DC02", "DC03"])
    tags = partitions.make_range_tags("DC01", DAYS[0], DAYS[2]) | {CHANGED_TAG: f"{DAYS[1]}"}
    instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
    several = {partitions.RANGE_START_TAG: f"DC02|{DAYS[3]}", partitions.RANGE_END_TAG: f"DC03|{DAYS[4]}"}
    instance.create_run_for_job(job, tags=several, asset_selection=frozenset([listed.key]))
    instance.create_run_for_job(
        job, tags=partitions.make_range_tags("DC01", DAYS[4], DAYS[4]), status=dg.DagsterRunStatus.SUCCESS
    )
    reading = {("DC01", DAYS[1])}
    assert partitions.find_days_in_progress(instance, dg.AssetKey("another")) == reading
    assert partitions.find_days_in_progress(instance, listed.key) == reading | {
        *_make_keys("DC02", DAYS[3:]),
        *_make_keys("DC03", DAYS[3:]),
    }


@pytest.mark.parametrize(("hour", "last"), [(9, "2026-03-10"), (10, "2026-03-11")])
def test_a_date_is_a_partition_as_soon_as_it_has_begun_somewhere(hour: int, last: str) -> None:
    by_day = partitions.define_dc_ship_date(date(2026, 1, 1), partitions.EASTERNMOST)
    with freeze_time(datetime(2026, 3, 10, hour, tzinfo=UTC)):
        days = by_day.get_partitions_def_for_dimension("ship_date").get_partition_keys()
    assert (days[0], days[-1]) == ("2026-01-01", last)
