from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import polars as pl
import pytest

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules import tick
from fillrate_assets.buffers.rules.policy import Policy
from fillrate_assets.buffers.rules.tick import TICK, InMemoryTickStore
from fillrate_assets.buffers.tick_store import LakeTickStore
from fillrate_assets.core.errors import ContractViolation, SourceUnavailable
from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.sample.floor.load import Load
from fillrate_assets.storage.lake import Lake
from fillrate_assets_tests.factories.feed_rows import T, make_signals
from fillrate_assets_tests.fixtures.cloud import Cloud

TODAY: Final = T.date()
TOMORROW: Final = TODAY + timedelta(days=1)
FRAMES: Final = (
    schema.SIGNALS,
    schema.POOLS,
    schema.SIGNAL_REJECTS,
    schema.UNIT_TIMESERIES,
    schema.UNIT_REJECTS,
    schema.RECOMMENDATIONS,
    schema.ALERTS,
)


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
    return lambda: {str(file.relative_to(lake.root)) for file in Path(lake.root).rglob("*") if file.is_file()}


def _make_time(number: int, *dcs: str, level: float = 50.0, day: date = TODAY) -> pl.DataFrame:
    """`SIGNALS` of one warehouse in each of some DCs, so many ticks after `T`."""
    placed = ({"dc": dc, "warehouse": f"W-{dc}", "ship_date": day, "level": level} for dc in dcs)
    rows = make_signals(*({**row, "snapshot_ts": T + number * TICK} for row in placed))
    return rows if rows.height else schema.SIGNALS.make_empty().collect()


def _read(lake: LakeTickStore, first: int, last: int) -> list[tuple[str, int, float]]:
    """DC, tick and level of what is stored of a range of ticks."""
    rows = lake.read(schema.SIGNALS, T + first * TICK, T + last * TICK).collect()
    schema.SIGNALS.validate(rows)
    number = ((pl.col("snapshot_ts") - T) / TICK).cast(pl.Int64)
    return rows.select("dc", number.alias("tick"), "level").sort("dc", "tick").rows()


def test_a_tick_is_a_file_of_its_dc_and_day_and_comes_back_as_it_was(lake: Lake, files: Callable[[], set[str]]) -> None:
    ticks, rows = LakeTickStore(lake, ["DC01", "DC02"]), _make_time(0, "DC01", "DC02")
    ticks.write(schema.SIGNALS, rows, T)
    assert files() == {
        "buffer_signals/dc=DC01/ship_date=2026-03-10/20260310T1500Z.parquet",
        "buffer_signals/dc=DC02/ship_date=2026-03-10/20260310T1500Z.parquet",
    }
    assert ticks.read(schema.SIGNALS, T, T).collect().sort("dc").equals(rows)


def test_a_range_of_ticks_is_read_whatever_day_they_are_of(lake: Lake) -> None:
    ticks = LakeTickStore(lake, ["DC01"])
    for number, day in ((0, TODAY), (1, TODAY), (2, TOMORROW), (4, TOMORROW)):
        ticks.write(schema.SIGNALS, _make_time(number, "DC01", level=number, day=day), T + number * TICK)
    assert _read(ticks, 1, 3) == [("DC01", 1, 1.0), ("DC01", 2, 2.0)]
    assert _read(ticks, 3, 3) == []
    assert _read(ticks, -300, 300) == [("DC01", number, number) for number in (0, 1, 2, 4)]
    assert ticks.list_ticks(schema.SIGNALS, ["DC01"], TODAY) == [T, T + TICK]
    assert ticks.list_ticks(schema.SIGNALS, ["DC01", "DC09"], TOMORROW) == [T + 2 * TICK, T + 4 * TICK]
    assert ticks.list_ticks(schema.SIGNALS, ["DC09"], TODAY) == []


def test_the_last_tick_of_a_range_is_found_whatever_lies_between(lake: Lake) -> None:
    ticks, day = LakeTickStore(lake, ["DC01", "DC02"]), timedelta(days=1) // TICK
    for number, dcs in ((0, ["DC01", "DC02"]), (3 * day, ["DC01"]), (3 * day + 1, [])):
        at = T + number * TICK
        ticks.write(schema.SIGNALS, _make_time(number, *dcs, level=number, day=at.date()), at)

    def last(first: int, last: int) -> list[tuple[str, float]]:
        rows = ticks.read_last(schema.SIGNALS, T + first * TICK, T + last * TICK).collect()
        schema.SIGNALS.validate(rows)
        return rows.select("dc", "level").sort("dc").rows()

    assert last(-day, 3 * day - 1) == [("DC01", 0), ("DC02", 0)]
    assert last(0, 0) == [("DC01", 0), ("DC02", 0)]
    assert last(1, 3 * day - 1) == []
    assert last(0, 3 * day) == [("DC01", 3 * day)]
    assert last(0, 5 * day) == []


def test_a_tick_that_runs_again_replaces_what_it_made(lake: Lake, files: Callable[[], set[str]]) -> None:
    ticks = LakeTickStore(lake, ["DC01", "DC02"])
    for number in (0, 1):
        ticks.write(schema.SIGNALS, _make_time(number, "DC01", "DC02"), T + number * TICK)
    before = files()
    for _ in range(2):
        ticks.write(schema.SIGNALS, _make_time(1, "DC01", "DC02", level=60), T + TICK)
    assert files() == before
    assert _read(ticks, 0, 1) == [(dc, number, level) for dc in ticks.dcs for number, level in ((0, 50), (1, 60))]


def test_nothing_stale_is_left_of_a_tick_that_runs_again(lake: Lake) -> None:
    ticks = LakeTickStore(lake, ["DC01", "DC02"])
    ticks.write(schema.SIGNALS, _make_time(0, "DC01", "DC02"), T)
    # Meanwhile DC01's warehouse was found to be in another time zone, and DC02's is not watched any more.
    ticks.write(schema.SIGNALS, _make_time(0, "DC01", day=TOMORROW), T)
    assert _read(ticks, 0, 0) == [("DC01", 0, 50)]
    assert ticks.read(schema.SIGNALS, T, T).collect()["ship_date"].to_list() == [TOMORROW]


def test_a_dc_without_rows_has_a_tick_without_rows(lake: Lake) -> None:
    ticks = LakeTickStore(lake, ["DC01", "DC02"])
    ticks.write(schema.SIGNALS, _make_time(0, "DC01"), T)
    assert ticks.list_ticks(schema.SIGNALS, ["DC02"], TODAY) == [T]
    assert _read(LakeTickStore(lake, ["DC02"]), 0, 0) == []


def test_other_dcs_are_neither_read_nor_touched(lake: Lake) -> None:
    LakeTickStore(lake, ["DC01"]).write(schema.SIGNALS, _make_time(0, "DC01"), T)
    others = LakeTickStore(lake, ["DC02", "DC03"])
    assert _read(others, 0, 0) == []
    others.write(schema.SIGNALS, _make_time(0, "DC02"), T)
    others.write(schema.SIGNALS, _make_time(0), T)
    assert _read(LakeTickStore(lake, ["DC01", "DC02"]), 0, 0) == [("DC01", 0, 50)]


def _make_rejects(warehouse: str) -> pl.DataFrame:
    row = {"snapshot_ts": T, "feed": "LIMITS", "warehouse": warehouse, "path": "P1", "event_ts": T, "reason": "wrong"}
    return pl.DataFrame([row], schema=schema.SIGNAL_REJECTS.polars)


def test_rejects_are_stored_for_the_dcs_of_the_tick_together(lake: Lake, files: Callable[[], set[str]]) -> None:
    both, one = LakeTickStore(lake, ["DC01", "DC02"]), LakeTickStore(lake, ["DC02"])
    both.write(schema.SIGNAL_REJECTS, _make_rejects("W1"), T)
    one.write(schema.SIGNAL_REJECTS, _make_rejects("W2"), T)
    assert both.read(schema.SIGNAL_REJECTS, T, T).collect().equals(_make_rejects("W1"))
    assert one.read(schema.SIGNAL_REJECTS, T - TICK, T + TICK).collect().equals(_make_rejects("W2"))
    assert LakeTickStore(lake, ["DC02", "DC01"]).read(schema.SIGNAL_REJECTS, T, T).collect().equals(_make_rejects("W1"))
    one.write(schema.SIGNAL_REJECTS, _make_rejects("W2").clear(), T)
    assert one.read(schema.SIGNAL_REJECTS, T, T).collect().is_empty()
    assert "buffer_signal_rejects/dc=DC02/ship_date=2026-03-10/20260310T1500Z.parquet" in files()
    assert len(files()) == 2


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (_make_time(1, "DC01"), "1 rows are of other ticks than 2026-03-10 15:00:00"),
        (_make_time(0, "DC01", "DC02"), "rows of DCs that the tick is not of: DC02"),
        (_make_time(0, "DC01").drop("level"), "columns are"),
    ],
)
def test_rows_that_are_not_of_the_tick_are_refused_and_nothing_is_written(
    on_disk: Lake, rows: pl.DataFrame, message: str
) -> None:
    with pytest.raises(ContractViolation, match=f"^buffer_signals: {message}"):
        LakeTickStore(on_disk, ["DC01"]).write(schema.SIGNALS, rows, T)
    assert not Path(on_disk.root).exists()


def test_a_write_that_dies_between_its_files_leaves_each_of_them_whole(on_disk: Lake) -> None:
    ticks = LakeTickStore(on_disk, ["DC01", "DC02", "DC03"])
    ticks.write(schema.SIGNALS, _make_time(0, *ticks.dcs), T)
    # DC02's file cannot be put in its place: a directory has its name.
    taken = Path(on_disk.root, "buffer_signals/dc=DC02/ship_date=2026-03-10/20260310T1500Z.parquet")
    taken.unlink()
    (taken / "x").mkdir(parents=True)
    with pytest.raises(SourceUnavailable, match="Is a directory"):
        ticks.write(schema.SIGNALS, _make_time(0, *ticks.dcs, level=60), T)
    (taken / "x").rmdir()
    taken.rmdir()
    assert _read(ticks, 0, 0) == [("DC01", 0, 60), ("DC03", 0, 50)]
    ticks.write(schema.SIGNALS, _make_time(0, *ticks.dcs, level=60), T)
    assert _read(ticks, 0, 0) == [(dc, 0, 60) for dc in ticks.dcs]


def _read_sorted(store: tick.TickStore, frame: TableSchema, number: int, load: Load) -> pl.DataFrame:
    at = load.get_snapshot_ts(number)
    return store.read(frame, at, at).collect().sort(frame.key or frame.names)


def test_ticks_over_the_lake_make_what_ticks_in_memory_make(on_disk: Lake) -> None:
    load, policy = Load(warehouses=3, units=6, storm=range(9)), Policy()
    masters = load.build_master_data()
    stores: dict[str, tick.TickStore] = {
        "lake": LakeTickStore(on_disk, masters.warehouses["dc"]),
        "memory": InMemoryTickStore(),
    }
    last = 3
    for number in range(1, last + 1):
        for each in stores.values():
            tick.run_tick(
                load.simulate_received(number), masters, each, snapshot_ts=load.get_snapshot_ts(number), policy=policy
            )
    for frame in FRAMES:
        ours, theirs = (_read_sorted(each, frame, last, load) for each in stores.values())
        assert ours.equals(theirs), frame.name
    assert _read_sorted(stores["lake"], schema.ALERTS, last, load).height
