from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from fillrate_assets.connections.lake import Lake, Partition
from fillrate_assets.errors import ContractViolation
from fillrate_assets.fillrate.schema import ITEMS, LOST_CASES
from fillrate_assets_tests.rows import DAY, items, records

NEXT = DAY + timedelta(days=1)
BOTH = [("DC01", DAY), ("DC01", NEXT)]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def _files(lake: Lake) -> set[str]:
    root = Path(lake.root)
    return {str(file.relative_to(root)) for file in root.rglob("*") if file.is_file()}


def _items(frame: pl.LazyFrame) -> list[tuple[str, date, str]]:
    return frame.select("dc", "ship_date", "item").sort("dc", "ship_date", "item").collect().rows()


def test_a_partition_is_a_file_and_comes_back_as_it_was(lake: Lake) -> None:
    rows = records({"item": "A"}, {"item": "B", "ship_date": NEXT, "vendor": None})
    assert lake.write(LOST_CASES, rows, BOTH) == {BOTH[0]: 1, BOTH[1]: 1}
    assert _files(lake) == {
        "lost_cases/dc=DC01/ship_date=2026-02-10/part-0.parquet",
        "lost_cases/dc=DC01/ship_date=2026-02-11/part-0.parquet",
    }
    assert lake.read(LOST_CASES, BOTH).collect().sort("item").equals(rows)


def test_a_partition_without_rows_is_a_file_without_rows(lake: Lake) -> None:
    lake.write(LOST_CASES, records({}), [("DC01", DAY)])
    assert lake.write(LOST_CASES, records(), [("DC01", DAY)]) == {("DC01", DAY): 0}
    assert lake.partitions(LOST_CASES) == [("DC01", DAY)]
    empty = lake.read(LOST_CASES, [("DC01", DAY)]).collect()
    LOST_CASES.validate(empty)
    assert empty.is_empty()


def test_writing_replaces_its_partitions_and_no_others(lake: Lake) -> None:
    lake.write(LOST_CASES, records({"item": "A"}, {"item": "A", "ship_date": NEXT}), BOTH)
    lake.write(LOST_CASES, records({"item": "B"}), [("DC01", DAY)])
    assert _items(lake.scan(LOST_CASES)) == [("DC01", DAY, "B"), ("DC01", NEXT, "A")]


def test_rows_outside_the_partitions_are_refused_and_nothing_is_written(lake: Lake) -> None:
    with pytest.raises(ContractViolation, match=r"lost_cases: rows outside the run's partitions, e\.g\. .*2026, 2, 11"):
        lake.write(LOST_CASES, records({}, {"ship_date": NEXT}), [("DC01", DAY)])
    assert not Path(lake.root).exists()


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(records({}).drop("vendor"), id="a column absent"),
        pytest.param(records({}).with_columns(pl.col("ordered_cases").cast(pl.Float64)), id="a float"),
        pytest.param(records({}, {}), id="a key twice"),
        pytest.param(records({"item": None}), id="a required value absent"),
    ],
)
def test_rows_that_break_their_schema_leave_what_is_stored(lake: Lake, broken: pl.DataFrame) -> None:
    lake.write(LOST_CASES, records({}), [("DC01", DAY)])
    with pytest.raises(ContractViolation, match=r"^lost_cases: "):
        lake.write(LOST_CASES, broken, [("DC01", DAY)])
    assert lake.read(LOST_CASES, [("DC01", DAY)]).collect().equals(records({}))


def test_a_write_that_fails_leaves_the_old_file_and_no_other(lake: Lake) -> None:
    lake.write(LOST_CASES, records({}), [("DC01", DAY)])
    before = _files(lake)
    # The next partition's directory cannot be made: a file has its name.
    blocked = Path(lake.root) / "lost_cases/dc=DC02"
    blocked.write_text("")
    with pytest.raises(NotADirectoryError):
        lake.write(LOST_CASES, records({"dc": "DC02"}), [("DC02", DAY)])
    blocked.unlink()
    # Nor can a file be put in the place of a directory: the new one was complete, and is gone again.
    taken = Path(lake.root) / "lost_cases/dc=DC01/ship_date=2026-02-11/part-0.parquet"
    (taken / "x").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        lake.write(LOST_CASES, records({"ship_date": NEXT}), [("DC01", NEXT)])
    assert _files(lake) == before
    assert lake.read(LOST_CASES, [("DC01", DAY)]).collect().equals(records({}))


def test_a_file_that_never_got_into_its_place_is_not_seen(lake: Lake) -> None:
    lake.write(LOST_CASES, records({}), [("DC01", DAY)])
    left = Path(lake.root) / "lost_cases/dc=DC01/ship_date=2026-02-11/.0123.incoming"
    left.parent.mkdir()
    left.write_bytes(b"PAR1")
    assert lake.partitions(LOST_CASES) == [("DC01", DAY)]
    assert lake.scan(LOST_CASES).collect().height == 1


def test_partitions_that_are_not_stored_have_no_rows(lake: Lake) -> None:
    assert lake.partitions(LOST_CASES) == []
    for nothing in (lake.scan(LOST_CASES), lake.read(LOST_CASES, BOTH), lake.read(LOST_CASES, [])):
        found = nothing.collect()
        LOST_CASES.validate(found)
        assert found.is_empty()
    lake.write(LOST_CASES, records({}), [("DC01", DAY)])
    assert _items(lake.read(LOST_CASES, BOTH)) == [("DC01", DAY, "A")]


@pytest.mark.parametrize(
    ("dcs", "first", "last", "expected"),
    [
        (None, None, None, [("DC01", DAY), ("DC01", NEXT), ("DC02", DAY)]),
        (["DC01"], None, None, [("DC01", DAY), ("DC01", NEXT)]),
        (["DC02", "DC09"], None, None, [("DC02", DAY)]),
        ([], None, None, []),
        (None, NEXT, None, [("DC01", NEXT)]),
        (None, None, DAY, [("DC01", DAY), ("DC02", DAY)]),
        (["DC01"], DAY, DAY, [("DC01", DAY)]),
    ],
)
def test_a_scan_is_limited_to_dcs_and_dates(
    lake: Lake, dcs: list[str] | None, first: date | None, last: date | None, expected: list[Partition]
) -> None:
    stored = [*BOTH, ("DC02", DAY)]
    lake.write(LOST_CASES, records(*[{"dc": dc, "ship_date": day} for dc, day in stored]), reversed(stored))
    assert lake.partitions(LOST_CASES) == stored
    assert [(dc, day) for dc, day, _ in _items(lake.scan(LOST_CASES, dcs, first, last))] == expected


def test_an_asset_without_partitions_is_one_file(lake: Lake) -> None:
    for master in (items({}), items({}, {"item": "B"})):
        lake.write_whole(ITEMS, master)
        assert lake.read_whole(ITEMS).collect().equals(master)
    assert _files(lake) == {"items/part-0.parquet"}
    with pytest.raises(ContractViolation, match=r"^items: "):
        lake.write_whole(ITEMS, items({}, {}))
    assert lake.read_whole(ITEMS).collect().height == 2
