from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from fillrate_assets.aws.client import get_client
from fillrate_assets.core.errors import ContractViolation, PermanentFailure, SourceUnavailable
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.fillrate.schema import ITEMS, LOST_CASES
from fillrate_assets.storage.lake import Lake
from fillrate_assets_tests.factories.rows import DAY, make_items, make_records
from fillrate_assets_tests.fixtures.cloud import Cloud

NEXT = DAY + timedelta(days=1)
BOTH = [PartitionKey("DC01", DAY), PartitionKey("DC01", NEXT)]


@pytest.fixture
def on_disk(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


@pytest.fixture
def on_s3(aws: Cloud) -> Lake:
    return Lake(f"s3://{aws.create_bucket()}/some/lake")


@pytest.fixture(params=["on_disk", "on_s3"])
def lake(request: pytest.FixtureRequest) -> Lake:
    made: Lake = request.getfixturevalue(request.param)
    return made


@pytest.fixture
def files(request: pytest.FixtureRequest, lake: Lake) -> Callable[[], set[str]]:
    """What is stored, as paths below the root."""
    if lake.root.startswith("s3://"):
        cloud: Cloud = request.getfixturevalue("aws")
        return lambda: {key.removeprefix("some/lake/") for key in cloud.list_keys(lake.root.split("/")[2])}
    return lambda: _list_files(lake)


def _list_files(lake: Lake) -> set[str]:
    root = Path(lake.root)
    return {str(file.relative_to(root)) for file in root.rglob("*") if file.is_file()}


def _collect_items(frame: pl.LazyFrame) -> list[tuple[str, date, str]]:
    return frame.select("dc", "ship_date", "item").sort("dc", "ship_date", "item").collect().rows()


def test_a_partition_is_a_file_and_comes_back_as_it_was(lake: Lake, files: Callable[[], set[str]]) -> None:
    rows = make_records({"item": "A"}, {"item": "B", "ship_date": NEXT, "vendor": None})
    assert lake.write(LOST_CASES, rows, BOTH) == {BOTH[0]: 1, BOTH[1]: 1}
    assert files() == {
        "lost_cases/dc=DC01/ship_date=2026-02-10/part-0.parquet",
        "lost_cases/dc=DC01/ship_date=2026-02-11/part-0.parquet",
    }
    assert lake.read(LOST_CASES, BOTH).collect().sort("item").equals(rows)


@pytest.mark.parametrize(
    "dc", ["A/B", "DC*", "DC?[1]", "x/../../../../escaped", "..", "a=b", "a%2Fb", "DC 1", "Zürich #2", "a+b&c", "倉庫"]
)
def test_a_dc_of_any_name_stays_below_the_root(dc: str, lake: Lake, files: Callable[[], set[str]]) -> None:
    rows = make_records({"item": "A", "dc": dc}, {"item": "A", "dc": "DC1"})
    lake.write(LOST_CASES, rows, [PartitionKey(dc, DAY), PartitionKey("DC1", DAY)])
    assert all(len(file.split("/")) == 4 for file in files())
    assert len(files()) == 2
    assert lake.list_partitions(LOST_CASES) == sorted([PartitionKey("DC1", DAY), PartitionKey(dc, DAY)])
    assert lake.scan(LOST_CASES, [dc]).collect().equals(rows.filter(pl.col("dc") == dc))
    assert set(lake.scan(LOST_CASES).collect()["dc"]) == {dc, "DC1"}


def test_a_partition_without_rows_is_a_file_without_rows(lake: Lake) -> None:
    lake.write(LOST_CASES, make_records({}), [PartitionKey("DC01", DAY)])
    assert lake.write(LOST_CASES, make_records(), [PartitionKey("DC01", DAY)]) == {PartitionKey("DC01", DAY): 0}
    assert lake.list_partitions(LOST_CASES) == [PartitionKey("DC01", DAY)]
    empty = lake.read(LOST_CASES, [PartitionKey("DC01", DAY)]).collect()
    LOST_CASES.validate(empty)
    assert empty.is_empty()


def test_files_of_frames_have_one_group_of_rows_and_no_statistics(on_disk: Lake) -> None:
    """Decision 0395."""
    on_disk.write(LOST_CASES, make_records({"item": "A"}, {"item": "B"}), BOTH[:1])
    (file,) = _list_files(on_disk)
    found = duckdb.execute(
        "SELECT DISTINCT row_group_id, compression, stats_min_value FROM parquet_metadata($file)",
        {"file": str(Path(on_disk.root, file))},
    ).fetchall()
    assert found == [(0, "ZSTD", None)]


def test_writing_replaces_its_partitions_and_no_others(lake: Lake) -> None:
    lake.write(LOST_CASES, make_records({"item": "A"}, {"item": "A", "ship_date": NEXT}), BOTH)
    lake.write(LOST_CASES, make_records({"item": "B"}), [PartitionKey("DC01", DAY)])
    assert _collect_items(lake.scan(LOST_CASES)) == [("DC01", DAY, "B"), ("DC01", NEXT, "A")]


def test_rows_outside_the_partitions_are_refused_and_nothing_is_written(
    lake: Lake, files: Callable[[], set[str]]
) -> None:
    with pytest.raises(ContractViolation, match=r"lost_cases: rows outside the run's partitions, e\.g\. .*2026, 2, 11"):
        lake.write(LOST_CASES, make_records({}, {"ship_date": NEXT}), [PartitionKey("DC01", DAY)])
    assert files() == set()


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(make_records({}).drop("vendor"), id="a column absent"),
        pytest.param(make_records({}).with_columns(pl.col("ordered_cases").cast(pl.Float64)), id="a float"),
        pytest.param(make_records({}, {}), id="a key twice"),
        pytest.param(make_records({"item": None}), id="a required value absent"),
    ],
)
def test_rows_that_break_their_schema_leave_what_is_stored(lake: Lake, broken: pl.DataFrame) -> None:
    lake.write(LOST_CASES, make_records({}), [PartitionKey("DC01", DAY)])
    with pytest.raises(ContractViolation, match=r"^lost_cases: "):
        lake.write(LOST_CASES, broken, [PartitionKey("DC01", DAY)])
    assert lake.read(LOST_CASES, [PartitionKey("DC01", DAY)]).collect().equals(make_records({}))


def test_columns_that_are_newer_than_a_file_are_null_if_they_may_be(lake: Lake) -> None:
    older = replace(LOST_CASES, columns=tuple(each for each in LOST_CASES.columns if each.name != "expected_cases"))
    lake.write(older, make_records({"item": "A"}).drop("expected_cases"), BOTH[:1])
    lake.write(LOST_CASES, make_records({"item": "B", "ship_date": NEXT}), BOTH[1:])
    rows = lake.read(LOST_CASES, BOTH).collect().sort("item")
    assert rows.equals(make_records({"item": "A"}, {"item": "B", "ship_date": NEXT}))
    assert not lake.find_unreadable(LOST_CASES, BOTH)
    needed = replace(LOST_CASES, columns=tuple(each for each in LOST_CASES.columns if each.name != "path"))
    lake.write(needed, make_records({"item": "A"}).drop("path"), BOTH[:1])
    assert lake.find_unreadable(LOST_CASES, BOTH) == {BOTH[0]}


def test_a_write_that_fails_leaves_the_old_file_and_no_other(on_disk: Lake) -> None:
    on_disk.write(LOST_CASES, make_records({}), [PartitionKey("DC01", DAY)])
    before = _list_files(on_disk)
    # The next partition's directory cannot be made: a file has its name.
    blocked = Path(on_disk.root) / "lost_cases/dc=DC02"
    blocked.write_text("")
    with pytest.raises(SourceUnavailable, match=r"^lake .* takes no files: .*Not a directory.*; free space there"):
        on_disk.write(LOST_CASES, make_records({"dc": "DC02"}), [PartitionKey("DC02", DAY)])
    blocked.unlink()
    # Nor can a file be put in the place of a directory: the new one was complete, and is gone again.
    taken = Path(on_disk.root) / "lost_cases/dc=DC01/ship_date=2026-02-11/part-0.parquet"
    (taken / "x").mkdir(parents=True)
    with pytest.raises(SourceUnavailable, match="Is a directory"):
        on_disk.write(LOST_CASES, make_records({"ship_date": NEXT}), [PartitionKey("DC01", NEXT)])
    assert _list_files(on_disk) == before
    assert on_disk.read(LOST_CASES, [PartitionKey("DC01", DAY)]).collect().equals(make_records({}))


def test_a_file_that_never_got_into_its_place_is_not_listed(on_disk: Lake) -> None:
    on_disk.write(LOST_CASES, make_records({}), [PartitionKey("DC01", DAY)])
    left = Path(on_disk.root) / "lost_cases/dc=DC01/ship_date=2026-02-11/.0123.incoming"
    left.parent.mkdir()
    left.write_bytes(b"PAR1")
    assert on_disk.list_partitions(LOST_CASES) == [PartitionKey("DC01", DAY)]
    assert on_disk.scan(LOST_CASES).collect().height == 1


def test_a_file_that_goes_while_it_is_listed_is_left_out(on_disk: Lake) -> None:
    on_disk.write(LOST_CASES, make_records({}), [PartitionKey("DC01", DAY)])
    gone = Path(on_disk.root) / "lost_cases/dc=DC01/ship_date=2026-02-10/.0123.incoming"
    # Listed but without a file behind it, as one that is renamed in between.
    gone.symlink_to("renamed")
    assert on_disk.list_partitions(LOST_CASES) == [("DC01", DAY)]
    assert list(on_disk.find_write_times(LOST_CASES, [PartitionKey("DC01", DAY)])) == [("DC01", DAY)]


def test_a_file_for_people_is_replaced_and_is_no_partition(lake: Lake, files: Callable[[], set[str]]) -> None:
    path = "exports/dc=DC01/ship_date=2026-02-10/lost_cases.csv"
    for content in (b"dc,ship_date\n", "Köln\n".encode()):
        assert lake.write_file(path, content) == f"{lake.root}/{path}"
        assert files() == {path}
        assert _read_content(lake, path) == content
    assert lake.list_partitions(replace(LOST_CASES, name="exports")) == []


def _read_content(lake: Lake, path: str) -> bytes:
    if not lake.root.startswith("s3://"):
        return Path(lake.root, path).read_bytes()
    bucket, _, prefix = lake.root.removeprefix("s3://").partition("/")
    found: bytes = get_client("s3").get_object(Bucket=bucket, Key=f"{prefix}/{path}")["Body"].read()
    return found


def test_partitions_that_are_not_stored_have_no_rows(lake: Lake) -> None:
    assert lake.list_partitions(LOST_CASES) == []
    for nothing in (lake.scan(LOST_CASES), lake.read(LOST_CASES, BOTH), lake.read(LOST_CASES, [])):
        found = nothing.collect()
        LOST_CASES.validate(found)
        assert found.is_empty()
    lake.write(LOST_CASES, make_records({}), [PartitionKey("DC01", DAY)])
    assert _collect_items(lake.read(LOST_CASES, BOTH)) == [("DC01", DAY, "A")]


@pytest.mark.parametrize(
    ("dcs", "first", "last", "expected"),
    [
        (None, None, None, [("DC01", DAY), ("DC01", NEXT), ("DC02", DAY)]),
        (["DC01"], None, None, [("DC01", DAY), ("DC01", NEXT)]),
        (["DC02", "DC09"], None, None, [PartitionKey("DC02", DAY)]),
        ([], None, None, []),
        (None, NEXT, None, [PartitionKey("DC01", NEXT)]),
        (None, None, DAY, [("DC01", DAY), ("DC02", DAY)]),
        (["DC01"], DAY, DAY, [PartitionKey("DC01", DAY)]),
    ],
)
def test_a_scan_is_limited_to_dcs_and_dates(
    lake: Lake, dcs: list[str] | None, first: date | None, last: date | None, expected: list[PartitionKey]
) -> None:
    stored = [*BOTH, PartitionKey("DC02", DAY)]
    lake.write(LOST_CASES, make_records(*[{"dc": dc, "ship_date": day} for dc, day in stored]), reversed(stored))
    assert lake.list_partitions(LOST_CASES) == stored
    assert [(dc, day) for dc, day, _ in _collect_items(lake.scan(LOST_CASES, dcs, first, last))] == expected


def test_an_asset_without_partitions_is_one_file(lake: Lake, files: Callable[[], set[str]]) -> None:
    for master in (make_items({}), make_items({}, {"item": "B"})):
        lake.write_whole(ITEMS, master)
        assert lake.read_whole(ITEMS).collect().equals(master)
    assert files() == {"items/part-0.parquet"}
    with pytest.raises(ContractViolation, match=r"^items: "):
        lake.write_whole(ITEMS, make_items({}, {}))
    assert lake.read_whole(ITEMS).collect().height == 2


@pytest.mark.parametrize("dc", ["Köln 1", "a+b", "50%", "x=y", "a#b", "a?c", "[a]*"])
def test_a_dc_may_have_any_name_that_a_folder_may_have(lake: Lake, dc: str) -> None:
    lake.write(LOST_CASES, make_records({"dc": dc}), [PartitionKey(dc, DAY)])
    assert lake.list_partitions(LOST_CASES) == [PartitionKey(dc, DAY)]
    assert lake.read(LOST_CASES, [PartitionKey(dc, DAY)]).collect().equals(make_records({"dc": dc}))


def test_a_look_back_window_is_read_from_many_stored_days(lake: Lake) -> None:
    days = [DAY + timedelta(days=number) for number in range(-40, 8)]
    for dc in ("DC01", "DC010"):
        lake.write(
            LOST_CASES,
            make_records(*[{"dc": dc, "ship_date": day} for day in days]),
            [PartitionKey(dc, day) for day in days],
        )
    window = [PartitionKey("DC01", DAY + timedelta(days=number)) for number in range(-28, 0)]
    assert [(dc, day) for dc, day, _ in _collect_items(lake.read(LOST_CASES, window))] == window


def test_a_listing_of_more_than_a_page_is_whole(on_s3: Lake, aws: Cloud) -> None:
    bucket, days = on_s3.root.split("/")[2], [date(2020, 1, 1) + timedelta(days=number) for number in range(1010)]
    s3 = aws.make_client("s3")
    for day in days:
        key = f"some/lake/lost_cases/dc=DC01/ship_date={day}/part-0.parquet"
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    assert on_s3.list_partitions(LOST_CASES) == [("DC01", day) for day in days]


def test_a_bucket_may_be_the_lake_and_a_root_may_end_with_a_slash(aws: Cloud) -> None:
    for root in (f"s3://{aws.create_bucket()}", f"s3://{aws.create_bucket()}/", f"s3://{aws.create_bucket()}/lake/"):
        lake = Lake(root)
        lake.write(LOST_CASES, make_records({}), [PartitionKey("DC01", DAY)])
        lake.write_whole(ITEMS, make_items({}))
        assert lake.list_partitions(LOST_CASES) == [PartitionKey("DC01", DAY)]
        assert lake.read(LOST_CASES, BOTH).collect().equals(make_records({}))
        assert lake.read_whole(ITEMS).collect().equals(make_items({}))


def _make_calls(lake: Lake) -> list[Callable[[], object]]:
    return [
        lambda: lake.list_partitions(LOST_CASES),
        lambda: lake.scan(LOST_CASES),
        lambda: lake.read(LOST_CASES, BOTH),
        lambda: lake.write(LOST_CASES, make_records({}), [PartitionKey("DC01", DAY)]),
        lambda: lake.write_whole(ITEMS, make_items({})),
    ]


@pytest.mark.usefixtures("busy_aws")
def test_an_s3_that_is_busy_may_answer_later() -> None:
    for call in _make_calls(Lake("s3://lake/fillrate")):
        with pytest.raises(SourceUnavailable, match=r"^lake \(s3://lake/fillrate\) does not answer: "):
            call()


@pytest.mark.usefixtures("absent_aws")
def test_an_s3_that_cannot_be_reached_may_answer_later() -> None:
    for call in _make_calls(Lake("s3://lake/fillrate")):
        with pytest.raises(SourceUnavailable, match=r"^lake \(s3://lake/fillrate\) does not answer: Could not connect"):
            call()


@pytest.mark.usefixtures("denying_aws")
def test_an_s3_that_denies_access_is_no_matter_of_time() -> None:
    for call in _make_calls(Lake("s3://lake/fillrate")):
        with pytest.raises(PermanentFailure, match=r"^lake \(s3://lake/fillrate\) refused: .*AccessDenied"):
            call()


@pytest.mark.usefixtures("aws")
def test_an_absent_bucket_is_named() -> None:
    for call in _make_calls(Lake("s3://absent-bucket/fillrate")):
        with pytest.raises(PermanentFailure, match=r"^lake \(s3://absent-bucket/fillrate\) refused: .*NoSuchBucket"):
            call()


@pytest.mark.parametrize("name", ["a b", "a?b", "a%20b", "a=b", "dc=x", "a[1]b", "a*b"])
def test_a_lake_is_below_any_folder(tmp_path: Path, name: str) -> None:
    lake = Lake(f"{tmp_path}/{name}/lake")
    lake.write(LOST_CASES, make_records({"item": "A"}, {"item": "B", "ship_date": NEXT}), BOTH)
    assert _collect_items(lake.read(LOST_CASES, BOTH)) == [("DC01", DAY, "A"), ("DC01", NEXT, "B")]
    assert _collect_items(lake.read(LOST_CASES, BOTH).filter(pl.col("ship_date") == NEXT)) == [("DC01", NEXT, "B")]
