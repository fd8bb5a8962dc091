from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from fillrate_assets.core import parsing
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.definitions import JOB, build_defs
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.defs.sensors import read_cursor, write_cursor
from fillrate_assets.fillrate.record_store import OUTDATED, RECORDS, RESTATEMENTS
from fillrate_assets.fillrate.rules.change_planner import Attempt
from fillrate_assets.fillrate.rules.pipeline import Inputs, calculate
from fillrate_assets.fillrate.sources.shipping_records import ShippingRecords
from fillrate_assets.fillrate.watermark import make_watermark
from fillrate_assets.orchestration.partitions import (
    CHANGED_TAG,
    DC_TAG,
    RANGE_END_TAG,
    RANGE_START_TAG,
    make_range_tags,
)
from fillrate_assets.storage import sql
from fillrate_assets_tests.conftest import clear_environment, copy_home
from fillrate_assets_tests.fixtures.fakes import Overtaken
from fillrate_assets_tests.fixtures.home import QUIET, Home
from fillrate_assets_tests.fixtures.instances import open_in_memory
from fillrate_assets_tests.fixtures.ticks import Ticking

pytestmark = pytest.mark.slow

KEY = ["dc", "ship_date"]
LOOK_BACK = timedelta(days=28)


@pytest.fixture
def ticking(tiny_published_template: Path, tmp_path: Path, instance: dg.DagsterInstance) -> Ticking:
    """Everything is published but one day, which is held."""
    return Ticking(Home(copy_home(tiny_published_template, tmp_path)), instance)


@pytest.fixture
def ticking_longer(published_home: Home, instance: dg.DagsterInstance) -> Ticking:
    """The same of more days than depend on a day."""
    return Ticking(published_home, instance)


def _read_changed(requests: Sequence[dg.RunRequest]) -> set[PartitionKey]:
    return {
        PartitionKey(request.tags[RANGE_START_TAG].split("|")[0], date.fromisoformat(day))
        for request in requests
        for day in request.tags[CHANGED_TAG].split(",")
    }


def _list_ranges(requests: Sequence[dg.RunRequest]) -> list[tuple[str, str]]:
    return [(request.tags[RANGE_START_TAG], request.tags[RANGE_END_TAG]) for request in requests]


def _read_sources(home: Home, dcs: Sequence[str], first: date, last: date) -> tuple[pl.DataFrame, pl.DataFrame]:
    systems = home.systems
    orders = pl.concat([systems.order_system.read_order_lines(dc, first, last) for dc in dcs])
    return orders, pl.concat([systems.shipping_records.read_shipment_lines(dc, first, last) for dc in dcs])


def _find_new_pairs(
    before: tuple[pl.DataFrame, pl.DataFrame], after: tuple[pl.DataFrame, pl.DataFrame]
) -> set[PartitionKey]:
    """The pairs with a row that was not there, or not so, before."""
    return {
        PartitionKey._make(pair)
        for old, new in zip(before, after, strict=True)
        for pair in new.join(old, on=new.columns, how="anti", nulls_equal=True).select(KEY).iter_rows()
    }


def _read_log(home: Home) -> pl.DataFrame:
    """The restatement log, oldest first."""
    columns = [RESTATEMENTS.c[name] for name in schema.RESTATEMENTS.names]
    with home.store.database.engine.connect() as connection:
        rows = connection.execute(sa.select(*columns).order_by(RESTATEMENTS.c.id)).all()
    return pl.DataFrame(rows, schema=schema.RESTATEMENTS.polars, orient="row")


def _select_figures(log: pl.DataFrame) -> pl.DataFrame:
    """Select the restatements of what counts, without what the estimates are made of."""
    return log.filter(~pl.col("field").is_in([column.name for column in schema.ESTIMATES]))


def _read_records(home: Home) -> pl.DataFrame:
    """All published records, in one read: one for each day takes longer than a run."""
    columns = [RECORDS.c[name] for name in schema.LOST_CASES.names]
    with home.store.database.engine.connect() as connection:
        rows = sql.select(connection, sa.select(*columns))
    return parsing.parse_frame(rows.lazy(), schema.LOST_CASES, table=RECORDS.name).collect().sort(schema.LOST_CASES.key)


def _calculate(home: Home, last: date) -> pl.DataFrame:
    """The records by the rules alone, over all that the sources hold of a DC at once."""
    network, systems, store = home.network, home.systems, home.store
    orders, shipments = _read_sources(home, network.dc_codes, network.first, last)
    snapshots = [systems.instock_warehouse.read_snapshots(dc, network.first, last) for dc in network.dc_codes]
    inputs = [
        Inputs(
            order_lines=orders.filter(dc=dc).lazy(),
            shipment_lines=shipments.filter(dc=dc).lazy(),
            instock_snapshots=of_dc.lazy(),
            items=systems.order_system.read_items().lazy(),
            waivers=store.read_waivers().lazy(),
            dc_calendar=schema.DC_CALENDAR.make_empty(),
            rejects=schema.REJECTS.make_empty(),
            time_zones=dict(store.read_dcs().select("dc", "time_zone").iter_rows()),
        )
        for dc, of_dc in zip(network.dc_codes, snapshots, strict=True)
    ]
    return pl.concat([calculate(each).records for each in inputs])


def _deliver_snapshot(home: Home) -> None:
    """The snapshot that never arrived arrives: that of the day after, dated back."""
    dc, day = home.network.snapshot_gap
    warehouse = home.systems.instock_warehouse
    after = day + timedelta(days=1)
    warehouse.append(warehouse.read_snapshots(dc, after, after).drop("problem").with_columns(ship_date=pl.lit(day)))


def test_what_never_ran_is_requested_in_one_run_for_each_dc(network_home: Home, instance: dg.DagsterInstance) -> None:
    network = network_home.network
    ticked = Ticking(network_home, instance).tick()
    requests = ticked.run_requests or []
    first, last = network.ship_days[0], network.ship_days[-1]
    assert _list_ranges(requests) == [(f"{dc}|{first}", f"{dc}|{last}") for dc in network.dc_codes]
    assert _read_changed(requests) == {(dc, day) for dc in network.dc_codes for day in network.ship_days}
    (added,) = ticked.dynamic_partitions_requests or []
    assert (added.partitions_def_name, list(added.partition_keys)) == ("dc", network.dc_codes)


def test_a_dc_that_is_not_active_is_left_alone(ticking: Ticking) -> None:
    store, held_dc = ticking.home.store, ticking.home.network.snapshot_gap[0]
    store.add_dcs(store.read_dcs().filter(dc=held_dc).with_columns(active=pl.lit(value=False)))
    ticking.home.sample.advance()
    requests = ticking.tick().run_requests or []
    assert {dc for dc, _ in _read_changed(requests)} == set(ticking.home.network.dc_codes) - {held_dc}


def test_after_everything_ran_only_the_held_day_is_requested_and_then_waits(ticking: Ticking) -> None:
    dc, day = ticking.home.network.snapshot_gap
    requests = ticking.tick().run_requests or []
    assert _read_changed(requests) == {(dc, day)}
    ticking.run(requests)
    again = ticking.tick()
    assert again.run_requests == []
    assert f"1 requested and not published yet, e.g. {dc} {day} (attempt 1)" in str(again.skip_message)


@pytest.fixture(scope="module")
def delivered_template(tiny_published_template: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, str]:
    """A home whose held day was published by the sensor's runs, and the cursor. Tests take copies."""
    with pytest.MonkeyPatch.context() as monkeypatch, open_in_memory() as instance:
        clear_environment(monkeypatch)
        ticking = Ticking(Home(copy_home(tiny_published_template, tmp_path_factory.mktemp("delivered"))), instance)
        _deliver_snapshot(ticking.home)
        ticking.run(ticking.tick().run_requests or [])
    return ticking.home, ticking.cursor or ""


@pytest.fixture
def delivered(delivered_template: tuple[Home, str], tmp_path: Path, instance: dg.DagsterInstance) -> Ticking:
    """The same, as the next tick finds it."""
    home, cursor = delivered_template
    return Ticking(Home(copy_home(home.directory, tmp_path)), instance, cursor)


def test_a_held_day_is_published_once_its_snapshot_arrives(delivered: Ticking) -> None:
    home, (dc, day) = delivered.home, delivered.home.network.snapshot_gap
    assert home.store.read_ledger(dc).filter(ship_date=day)["state"].to_list() == ["PUBLISHED"]
    # The days after it have one observation more; the day itself was never published, so it is not restated.
    log = _read_log(home)
    assert set(_select_figures(log)["cause"]) == {"an earlier day was corrected: the baseline moved"}
    assert day < log["ship_date"].min() < log["ship_date"].max() <= day + LOOK_BACK  # type: ignore[operator]
    after = pl.col("ship_date") > day
    assert _read_records(home).filter(after).equals(_calculate(home, home.network.last).filter(after))


def test_nothing_new_says_since_when(delivered: Ticking) -> None:
    home = delivered.home
    quiet = delivered.tick()
    marks = delivered.read_watermarks()
    sources = _read_sources(home, home.network.dc_codes, home.network.first, home.network.last)
    assert list(marks.values()) == [rows["processed_at"].max() for rows in sources]
    since = [f"{source} since {mark:%Y-%m-%d %H:%M} UTC" for source, mark in marks.items()]
    assert quiet.run_requests == []
    assert quiet.skip_message == f"no new {since[0]}, no new {since[1]}"
    assert quiet.cursor == "[]"


def test_the_next_day_and_late_corrections_are_requested_and_published_and_nothing_else(ticking: Ticking) -> None:
    home, dcs = ticking.home, ticking.home.network.dc_codes
    held, first = home.network.snapshot_gap, home.network.first
    ticking.tick()
    # Three days, so that corrections reach both DCs.
    days = [home.sample.advance()[0] for _ in range(2)]
    before = _read_sources(home, dcs, first, days[-1])
    ticking.run(ticking.tick().run_requests or [])
    ledger, restated = home.store.read_ledger(), _read_log(home).height
    last, _ = home.sample.advance()
    changed = _find_new_pairs(before, _read_sources(home, dcs, first, last))
    assert {day for _, day in changed} > {last}, "the network sent no late correction"

    requests = ticking.tick().run_requests or []
    assert _read_changed(requests) == changed
    assert _list_ranges(requests) == [
        (f"{dc}|{min(day for of, day in changed if of == dc)}", f"{dc}|{last}") for dc in dcs
    ]
    ticking.run(requests)
    assert _read_records(home).equals(_calculate(home, last))
    now = home.store.read_ledger()
    written = set(now.join(ledger, on=now.columns, how="anti", nulls_equal=True).select(KEY).iter_rows())
    log = _read_log(home)[restated:]
    assert written == changed | set(log.select(KEY).iter_rows())
    assert held not in written

    quiet = ticking.tick()
    assert quiet.run_requests == []
    assert list(read_cursor(quiet.cursor, datetime.now(UTC))) == [held]


def _find_observed_before_it_ran_out(home: Home) -> dict[str, Any]:
    """An item that was in stock and ordered on one of the first days, and out of stock within the week after."""
    records = _read_records(home).filter(pl.col("ship_date") < home.network.first + timedelta(days=9))
    out = records.filter(pl.col("path") == "STOCK_OUT", pl.col("baseline_source") == "W7")
    pairs = records.filter(pl.col("path") == "STOCK_IN", pl.col("ordered_cases") > 0).join(
        out.select("dc", "item", out_on="ship_date"), on=["dc", "item"]
    )
    found = pairs.filter((pl.col("out_on") - pl.col("ship_date")).is_between(timedelta(days=1), timedelta(days=7)))
    return found.sort("dc", "item", "ship_date").row(0, named=True)


def test_a_late_correction_restates_its_day_and_at_most_the_28_days_that_depend_on_it(ticking_longer: Ticking) -> None:
    ticking, home = ticking_longer, ticking_longer.home
    ticking.tick()
    observed = _find_observed_before_it_ran_out(home)
    dc, day, item = observed["dc"], observed["ship_date"], observed["item"]
    orders = home.systems.order_system
    line = orders.read_order_lines(dc, day, day).filter(pl.col("item") == item, pl.col("line_type") == "NORMAL").head(1)
    mark = ticking.read_watermarks()["orders"]
    assert mark is not None
    corrected = line.drop("moved_at", "rival_ship_date", "problem").with_columns(
        ordered_qty=pl.col("ordered_qty") + 700,
        processed_at=pl.lit(mark + timedelta(hours=1)),
        source_seq=pl.col("source_seq") + 1_000_000,
    )
    orders.append(corrected)

    requests = ticking.tick().run_requests or []
    assert _list_ranges(requests) == [(f"{dc}|{day}", f"{dc}|{day + LOOK_BACK}")]
    assert _read_changed(requests) == {(dc, day)}
    ticking.run(requests)
    log = _read_log(home)
    assert log.filter(~pl.col("ship_date").is_between(day, day + LOOK_BACK)).is_empty()
    # What method 2 makes of it moves the weekdays and the calibration of other items that were out; their figures stay.
    assert set(log["dc"]) == {dc}
    log = _select_figures(log)
    assert set(log["item"]) == {item}
    by_orders = log.filter(pl.col("ship_date") == day)
    assert set(by_orders["cause"]) == {"orders, shipments or snapshot of the day corrected"}
    by_baseline = log.filter(pl.col("ship_date") > day)
    assert set(by_baseline["cause"]) == {"an earlier day was corrected: the baseline moved"}
    assert by_orders.height + by_baseline.height == log.height
    assert observed["out_on"] in set(log["ship_date"])
    assert home.network.last > day + LOOK_BACK, "no day beyond the dependants to leave alone"
    assert _read_records(home).equals(_calculate(home, home.network.last))


def _reopen(home: Home, **changed: object) -> Home:
    """The same home under other settings."""
    file = home.settings.settings_file
    lines = [f"{name.replace('__', '.')} = {json.dumps(value)}" for name, value in changed.items()]
    file.write_text("\n".join([*lines, file.read_text()]))
    return Home(home.directory)


@pytest.mark.sweep
def test_a_snapshot_delivered_again_restates_its_day_and_the_days_that_depend_on_it(ticking_longer: Ticking) -> None:
    ticking = ticking_longer
    home = ticking.home = _reopen(ticking.home, sensor__snapshot_lookback_days=36500)
    ticking.tick()
    observed = _find_observed_before_it_ran_out(home)
    dc, day, item = observed["dc"], observed["ship_date"], observed["item"]
    warehouse = home.systems.instock_warehouse
    record = warehouse.read_snapshots(dc, day, day).filter(item=item).head(1).drop("problem")
    warehouse.append(record.with_columns(pl.lit("N").alias("instock"), pl.col("snapshot_at") + pl.duration(hours=1)))

    requests = ticking.tick().run_requests or []
    assert _list_ranges(requests) == [(f"{dc}|{day}", f"{dc}|{day + LOOK_BACK}")]
    assert _read_changed(requests) == {(dc, day)}
    ticking.run(requests)
    log = _select_figures(_read_log(home))
    assert set(log.select("dc", "item").iter_rows()) == {(dc, item)}
    assert {day, observed["out_on"]} <= set(log["ship_date"])
    assert _read_records(home).equals(_calculate(home, home.network.last))
    assert ticking.tick().run_requests == []


def test_a_snapshot_older_than_the_days_that_are_compared_is_not_noticed(ticking: Ticking) -> None:
    home = ticking.home = _reopen(ticking.home, sensor__snapshot_lookback_days=1)
    ticking.tick()
    dc, day = home.network.dc_codes[0], home.network.first
    warehouse = home.systems.instock_warehouse
    warehouse.append(warehouse.read_snapshots(dc, day, day).drop("problem"))
    assert ticking.tick().run_requests == []


@pytest.mark.sweep
def test_of_two_runs_on_one_day_the_newer_sources_win_and_the_day_is_computed_again(ticking: Ticking) -> None:
    """Runs of two Dagster instances: they do not know of each other, so they take no turns."""
    home, instance = ticking.home, ticking.instance
    ticking.tick()
    dc, day = home.network.dc_codes[0], home.network.ship_days[-3]

    def newer() -> pl.DataFrame:
        home.correct(dc, day, day)
        with open_in_memory() as other:
            assert home.run(other, dc, day).success
        return home.store.read_records(dc, day)

    before, after = home.store.read_records(dc, day), []
    overtaken = Overtaken(home.settings.sources.order_system_url, meanwhile=[lambda: after.append(newer())])
    defs = build_defs(home.settings, order_system=overtaken)
    instance.add_dynamic_partitions("dc", [dc])
    older = defs.resolve_job_def(JOB).execute_in_process(
        run_config=QUIET, instance=instance, tags=make_range_tags(dc, day, day), raise_on_error=False
    )
    assert older.success
    assert home.store.read_records(dc, day).equals(after[0])
    assert not before.equals(after[0])
    assert home.store.read_ledger(dc).filter(ship_date=day)["reason"].to_list() == [OUTDATED]

    requests = ticking.tick().run_requests or []
    assert (dc, day) in _read_changed(requests)
    ticking.run(requests)
    assert home.store.read_ledger(dc).filter(ship_date=day)["state"].to_list() == ["PUBLISHED"]
    assert _read_records(home).equals(_calculate(home, home.network.last))


@dataclass(frozen=True)
class Failing(ShippingRecords):
    """Shipping records that cannot be read."""

    def read_shipment_lines(self, dc: str, first: date, last: date) -> pl.DataFrame:
        msg = f"no shipments of {dc} from {first} to {last}"
        raise PermanentFailure(msg)


@pytest.mark.sweep
def test_a_correction_that_a_failed_run_read_is_not_taken_for_processed_where_an_earlier_day_is_corrected(
    ticking: Ticking,
) -> None:
    # Decision 0042.
    home, instance = ticking.home, ticking.instance
    dc, earlier, day = home.network.dc_codes[0], *home.network.ship_days[-4:-2]
    home.correct(dc, day, day)
    defs = build_defs(home.settings, shipping_records=Failing(home.settings.sources.shipping_records_url))
    instance.add_dynamic_partitions("dc", [dc])
    # The lake then holds the newer orders, and what was computed from the older ones.
    failed = defs.resolve_job_def(JOB).execute_in_process(
        run_config=QUIET, instance=instance, tags=make_range_tags(dc, day, day), raise_on_error=False
    )
    assert not failed.success
    home.correct(dc, earlier, earlier)
    assert home.run(instance, dc, earlier, home.network.last, changed=[earlier]).success

    requests = ticking.tick().run_requests or []
    assert (dc, day) in _read_changed(requests)
    ticking.run(requests)
    assert _read_records(home).equals(_calculate(home, home.network.last))


def test_ten_changed_dcs_may_be_bounded_by_a_setting(ticking: Ticking) -> None:
    home = ticking.home = _reopen(ticking.home, sensor__max_runs_per_sensor_tick=1)
    ticking.tick()
    days = [home.sample.advance()[0] for _ in range(2)]
    first, second = (_read_changed(ticking.tick().run_requests or []) for _ in range(2))
    assert len({dc for dc, _ in first}) == len({dc for dc, _ in second}) == 1
    assert {(dc, day) for dc in home.network.dc_codes for day in days} <= first | second
    assert not first & second


def test_a_preview_of_the_sensor_takes_nothing_from_the_tick_that_follows(ticking: Ticking) -> None:
    ticking.tick()
    for _ in range(2):
        ticking.home.sample.advance()
    previewed = ticking.preview().run_requests or []
    marks = ticking.read_watermarks()
    requests = ticking.tick().run_requests or []
    assert requests
    assert [(request.run_key, request.tags) for request in requests] == [
        (request.run_key, request.tags) for request in previewed
    ]
    assert ticking.read_watermarks() == marks


def test_a_failed_read_is_an_error_and_moves_no_watermark(ticking: Ticking) -> None:
    home = ticking.home
    ticking.tick()
    before, cursor = ticking.read_watermarks(), ticking.cursor
    home.sample.advance()
    for system in ("order_system", "shipping_records", "record_store"):
        file = home.directory / "systems" / f"{system}.db"
        away = file.rename(file.with_suffix(".away"))
        with pytest.raises(PermanentFailure, match=rf"there is no .*{system}\.db"):
            ticking.tick()
        away.rename(file)
        assert (ticking.read_watermarks(), ticking.cursor) == (before, cursor), system
    assert home.network.last in {day for _, day in _read_changed(ticking.tick().run_requests or [])}


def _append_stamped(home: Home, dc: str, day: date, at: datetime) -> None:
    """A correction of one line that the order system says it processed at a moment."""
    orders = home.systems.order_system
    line = orders.read_order_lines(dc, day, day).filter(pl.col("line_type") == "NORMAL").sort("processed_at").tail(1)
    orders.append(
        line.drop("moved_at", "rival_ship_date", "problem").with_columns(
            ordered_qty=pl.col("ordered_qty") + 7,
            processed_at=pl.lit(at),
            source_seq=pl.col("source_seq") + 1_000_000,
        )
    )


def _run_and_compare(ticking: Ticking, dc: str, day: date) -> None:
    """The next tick requests a day, and its run publishes what the rules make of all the sources hold."""
    requests = ticking.tick().run_requests or []
    assert (dc, day) in _read_changed(requests)
    ticking.run(requests)
    home = ticking.home
    assert _read_records(home).equals(_calculate(home, home.network.last))


@pytest.mark.sweep
def test_a_source_whose_clock_is_wrong_loses_nothing_before_and_after_it_is_put_right(ticking: Ticking) -> None:
    dc, days, home = ticking.home.network.dc_codes[0], ticking.home.network.ship_days, ticking.home
    ticking.tick()
    mark = ticking.read_watermarks()["orders"]
    assert mark is not None
    assert mark < datetime.now(UTC) - timedelta(days=1), "its clock is not behind ours"
    _append_stamped(home, dc, days[-3], mark + timedelta(minutes=1))
    _run_and_compare(ticking, dc, days[-3])
    _append_stamped(home, dc, days[-2], datetime.now(UTC) + timedelta(hours=3))
    _run_and_compare(ticking, dc, days[-2])
    ticking.tick()
    _append_stamped(home, dc, days[-1], datetime.now(UTC))
    _run_and_compare(ticking, dc, days[-1])


def test_rows_that_are_committed_late_are_found_within_the_overlap(ticking: Ticking) -> None:
    home, (dc, *_), (*_, day, _) = ticking.home, ticking.home.network.dc_codes, ticking.home.network.ship_days
    ticking.tick()
    mark = ticking.read_watermarks()["orders"]
    assert mark is not None
    _append_stamped(home, dc, day, mark - timedelta(minutes=home.settings.sensor.watermark_overlap_minutes - 1))
    _run_and_compare(ticking, dc, day)
    ticking.tick()
    assert ticking.read_watermarks()["orders"] == mark


def test_a_tick_that_comes_twice_requests_the_same_runs_and_they_double_nothing(ticking: Ticking) -> None:
    home = ticking.home
    ticking.tick()
    home.sample.advance()
    before = ticking.cursor
    first = ticking.tick().run_requests or []
    ticking.cursor = before
    again = ticking.tick().run_requests or []
    # Dagster launches no second run of a run key; if it did, nothing would come of it.
    assert [request.run_key for request in again] == [request.run_key for request in first]
    assert first
    # Of one of the DCs: the other's run does the same.
    ticking.run(first[:1])
    stored, of_dc = home.read_stored(), pl.col("dc") == first[0].tags[DC_TAG]
    ticking.run(again[:1])
    assert home.read_stored() == stored
    assert _read_records(home).filter(of_dc).equals(_calculate(home, home.network.last).filter(of_dc))


_MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds


@given(
    st.dictionaries(
        st.tuples(st.text(min_size=1), st.dates()),
        st.builds(Attempt, version=st.text(), number=st.integers(1), requested_at=_MOMENTS),
    )
)
def test_the_cursor_keeps_every_attempt(attempts: dict[PartitionKey, Attempt]) -> None:
    assert read_cursor(write_cursor(attempts), datetime(2027, 1, 1, tzinfo=UTC)) == attempts


def test_the_first_tick_knows_no_attempts() -> None:
    assert read_cursor(None, datetime.now(UTC)) == {}


_DEEP = "[" * 100_000
CURSORS = [
    "{bad",
    "7",
    '"text"',
    "null",
    "{}",
    "[1]",
    '[["DC01"]]',
    '[["DC01", "2026-03-01", "v", 0, "2026-03-01T00:00:00+00:00"]]',
    '[["DC01", "2026-03-41", "v", 1, "2026-03-01T00:00:00+00:00"]]',
    '[["DC01", "2026-03-01", "v", 1, "2026-03-01T00:00:00"]]',
    '[["DC01", "2026-03-01", "v", 1, "0001-01-01T00:00:00+00:00"]]',
    "[NaN]",
    _DEEP,
]


def test_a_cursor_of_another_shape_is_begun_anew(ticking: Ticking) -> None:
    for cursor in CURSORS:
        with pytest.raises((ValueError, RecursionError)):
            read_cursor(cursor, datetime.now(UTC))
    wanted = _read_changed(ticking.tick().run_requests or [])
    for cursor in (CURSORS[0], _DEEP):
        ticking.cursor = cursor
        assert _read_changed(ticking.tick().run_requests or []) == wanted, cursor
        assert list(read_cursor(ticking.cursor, datetime.now(UTC))) == list(wanted)


def test_a_cursor_of_inactive_dcs_of_another_shape_is_begun_anew(ticking: Ticking) -> None:
    home = ticking.home
    sensor = home.defs.resolve_sensor_def("dcs")
    for cursor in (*CURSORS[:4], "[]", '{"DC01": 1}', '{"DC01": "soon"}', _DEEP):
        with dg.build_sensor_context(ticking.instance, cursor, resources=home.defs.resources) as context:
            ticked = sensor.evaluate_tick(context)
        assert ticked.cursor == "{}", cursor
        (added,) = ticked.dynamic_partitions_requests or []
        assert list(added.partition_keys) == home.network.dc_codes


def test_an_attempt_of_a_time_to_come_is_of_now() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    late = {PartitionKey("DC01", now.date()): Attempt("v", 2, now + timedelta(days=4000))}
    (attempt,) = read_cursor(write_cursor(late), now).values()
    assert attempt.requested_at == now


@pytest.mark.parametrize("ahead", [timedelta(days=365 * 60), timedelta(hours=3)])
def test_a_watermark_of_a_time_to_come_hides_no_change(ticking: Ticking, ahead: timedelta) -> None:
    home, future = ticking.home, datetime.now(UTC) + ahead
    ticking.tick()
    watermark = make_watermark("", home.store.database)
    for source, moment in ticking.read_watermarks().items():
        assert watermark.move(source, future, previous=moment)
    home.correct("DC01", home.network.first, home.network.first)
    assert PartitionKey("DC01", home.network.first) in _read_changed(ticking.tick().run_requests or [])
    assert all(moment is not None and moment < future for moment in ticking.read_watermarks().values())


def test_the_first_tick_after_everything_ran_says_so(ticking: Ticking) -> None:
    # Without the DC of the held day.
    gap, store = ticking.home.network.snapshot_gap[0], ticking.home.store
    store.add_dcs(store.read_dcs().filter(dc=gap).with_columns(active=pl.lit(value=False)))
    assert ticking.tick().skip_message == "everything that the sources hold is published"
