"""Feed rows for load tests: complete, of their schemas, and with flows that agree with levels."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from fillrate_assets.buffers import schema
from fillrate_assets.sample.floor.load import Load

LOAD = Load(warehouses=3, units=20, late=0.1)
PATHS, TICKS = 17, 12
FRAMES = {
    "occupancy": (schema.OCCUPANCY, "path", 1),
    "flow": (schema.FLOW, "path", 5),
    "staffing": (schema.STAFFING, "pool", 15),
    "limits": (schema.LIMITS, "path", 15),
}


def get_feed(load: Load, tick: int, name: str) -> pl.DataFrame:
    rows = getattr(load.simulate_received(tick), name)
    assert isinstance(rows, pl.DataFrame)
    return rows


def receive(name: str, ticks: range, load: Load = LOAD) -> pl.DataFrame:
    return pl.concat(get_feed(load, tick, name) for tick in ticks)


@pytest.mark.parametrize("name", FRAMES)
def test_a_tick_receives_what_arrives_in_its_five_minutes(name: str) -> None:
    frame = FRAMES[name][0]
    for tick in range(TICKS):
        rows = get_feed(LOAD, tick, name)
        frame.validate(rows)
        assert rows.filter(pl.col("ingest_ts") > LOAD.get_snapshot_ts(tick)).is_empty()
        assert rows.filter(pl.col("ingest_ts") <= LOAD.get_snapshot_ts(tick - 1)).is_empty()


@pytest.mark.parametrize("name", FRAMES)
def test_over_time_every_row_arrives_once_and_some_late(name: str) -> None:
    _, thing, minutes = FRAMES[name]
    rows = receive(name, range(TICKS + 6)).filter(pl.col("event_ts") < LOAD.get_snapshot_ts(TICKS))
    things = LOAD.warehouses * (PATHS if thing == "path" else 4)
    assert rows.height == things * TICKS * 5 / minutes
    assert not rows.select("warehouse", thing, "event_ts").is_duplicated().any()
    late = (rows["ingest_ts"] - rows["event_ts"]) >= timedelta(minutes=5)
    assert 0 < late.sum() < 0.3 * rows.height


def test_flows_agree_with_levels() -> None:
    on = ["warehouse", "path", "event_ts"]
    levels = receive("occupancy", range(TICKS)).sort(on)
    five = levels.with_columns(was=pl.col("level"), event_ts=pl.col("event_ts") + timedelta(minutes=5))
    balance = receive("flow", range(TICKS)).join(levels, on=on).join(five.select(*on, "was"), on=on)
    assert balance.height > 100
    assert (balance["level"] - balance["was"] == balance["inflow"] - balance["outflow"]).all()


def test_a_storm_fills_its_share_of_the_paths_at_once_and_passes() -> None:
    load = Load(warehouses=5, units=60, storm=range(10, 14))
    capacity = (
        receive("limits", range(1, 9), load).unique(["warehouse", "path"]).select("warehouse", "path", "capacity")
    )

    def count_full(tick: int) -> float:
        last = (
            receive("occupancy", range(tick, tick + 1), load)
            .sort("event_ts")
            .unique(["warehouse", "path"], keep="last")
        )
        known = last.join(capacity, on=["warehouse", "path"])
        return float((known["level"] > 0.9 * known["capacity"]).mean())  # type: ignore[arg-type]

    assert count_full(5) == count_full(22) == 0
    assert 0.2 < count_full(12) < 0.4


def test_a_tick_is_the_same_whenever_it_is_simulated() -> None:
    again = Load(warehouses=3, units=20, late=0.1)
    for name in FRAMES:
        assert_frame_equal(get_feed(LOAD, 7, name), get_feed(again, 7, name), check_exact=True)


def test_master_data_are_of_their_schemas_and_name_every_unit() -> None:
    masters = LOAD.build_master_data()
    schema.WAREHOUSES.validate(masters.warehouses)
    schema.UNIT_MEMBERS.validate(masters.unit_members)
    schema.SHIFTS.validate(masters.shifts)
    schema.ALERT_ROUTES.validate(masters.alert_routes)
    assert masters.unit_members["unit_id"].n_unique() == LOAD.warehouses * LOAD.units
    paths = set(receive("occupancy", range(3)).select("warehouse", "path").iter_rows())
    named = masters.unit_members.select(pl.col("unit_id").str.split("_").list.first(), "path")
    assert set(named.iter_rows()) == paths


def test_too_few_units_for_every_pool_are_refused() -> None:
    with pytest.raises(ValueError, match="units is 5, expected at least 6"):
        Load(units=5)
