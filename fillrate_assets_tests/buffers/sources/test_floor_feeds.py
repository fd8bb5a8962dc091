from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules import path_signals, tick
from fillrate_assets.buffers.rules.policy import Policy
from fillrate_assets.buffers.rules.tick import Feeds
from fillrate_assets.buffers.sources import floor_feeds
from fillrate_assets.buffers.sources.floor_feeds import FloorFeeds
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.sample.floor.feeds import ROUGH
from fillrate_assets.sample.floor.scenarios import Scenario, World, simulate
from fillrate_assets.settings import SourceTable
from fillrate_assets.storage import bulk_insert, sql
from fillrate_assets_tests.factories.feed_rows import (
    T,
    go_back,
    make_flow,
    make_limits,
    make_members,
    make_occupancy,
    make_staffing,
    make_warehouses,
)
from fillrate_assets_tests.fixtures.examples import take_examples
from fillrate_assets_tests.fixtures.postgres import Postgres

POLICY: Final = Policy()
LOOK_BACK: Final = tick.compute_look_back(POLICY)
FRAMES: Final = {
    "OCCUPANCY": schema.OCCUPANCY,
    "FLOW": schema.FLOW,
    "STAFFING": schema.STAFFING,
    "LIMITS": schema.LIMITS,
}


def _make_feeds(**rows: pl.DataFrame) -> Feeds:
    sent = [rows.get(feed.lower(), frame.make_empty().collect()) for feed, frame in FRAMES.items()]
    return Feeds(sent[0], sent[1], sent[2], sent[3])


def _read_feeds(source: FloorFeeds, snapshot_ts: datetime = T, **more: Any) -> Feeds:  # noqa: ANN401 - as `read` takes them
    return source.read(snapshot_ts=snapshot_ts, look_back=LOOK_BACK, **more)


def _get_rows(feeds: Feeds, feed: str) -> pl.DataFrame:
    rows = feeds.by_name[feed]
    assert rows is not None, feeds.errors
    return rows


def _receive_on_server(source: FloorFeeds, feeds: Feeds) -> None:
    """Let a server receive rows: it has no column of what a loader could not read."""
    with sql.get_engine(source.url).begin() as connection:
        for feed, rows in feeds.by_name.items():
            assert rows is not None
            table = sa.Table(FRAMES[feed].name, sa.MetaData(), autoload_with=connection)
            bulk_insert.insert(connection, table, rows.drop("problem"))


Receive = Callable[[Feeds], FloorFeeds]
"""Makes a source that has received these rows."""


def _make_redshift_url(url: str) -> str:
    """Make the URL of a server as Redshift's dialect and driver reach it, which insist on TLS elsewhere."""
    made = sa.make_url(url).set(drivername="redshift+psycopg2").update_query_dict({"sslmode": "disable"})
    return made.render_as_string(hide_password=False)


@pytest.fixture(params=["sqlite", "duckdb", "postgresql", pytest.param("redshift", marks=pytest.mark.sweep)])
def receive(request: pytest.FixtureRequest, tmp_path: Path) -> Receive:
    def receive_rows(feeds: Feeds) -> FloorFeeds:
        if request.param in {"postgresql", "redshift"}:
            server: Postgres = request.getfixturevalue("postgres")
            source = FloorFeeds(server.create_database(f"floors {uuid4()}"))
            source.create()
            _receive_on_server(source, feeds)
            return source if request.param == "postgresql" else replace(source, url=_make_redshift_url(source.url))
        source = FloorFeeds(f"{request.param}:///{tmp_path}/systems/floor_feeds.db")
        source.create()
        source.append(feeds)
        return source

    return receive_rows


@pytest.fixture
def embedded(tmp_path: Path) -> FloorFeeds:
    made = FloorFeeds(f"duckdb:///{tmp_path}/systems/floor_feeds.duckdb")
    made.create()
    return made


def test_rows_come_back_as_the_frames_have_them(receive: Receive) -> None:
    sent = _make_feeds(
        occupancy=make_occupancy({"level": 12.345678901}, {"path": "P2", "level": None}),
        flow=make_flow({"inflow": None, "outflow": 3.0}),
        staffing=make_staffing({"break_from": go_back(5), "break_to": go_back(-10), "shift": None}),
        limits=make_limits({"lane_open": False, "backlog": 7.0, "critical_pull_ts": go_back(-30), "max_rate": None}),
    )
    read = _read_feeds(receive(sent))
    assert read.errors == {}
    for feed, rows in sent.by_name.items():
        assert rows is not None
        assert_frame_equal(_get_rows(read, feed), rows, check_row_order=False)


def test_a_tick_reads_what_had_arrived_and_is_not_too_old(receive: Receive) -> None:
    late, oldest = go_back(-0.1), T - LOOK_BACK["OCCUPANCY"]
    sent = make_occupancy(
        {"path": "ARRIVED", "ingest_ts": T},
        {"path": "NOT YET", "ingest_ts": late},
        {"path": "OLDEST", "event_ts": oldest, "ingest_ts": T},
        {"path": "TOO OLD", "event_ts": oldest - timedelta(microseconds=1), "ingest_ts": T},
        {"path": "AHEAD", "event_ts": go_back(-600), "ingest_ts": go_back(1)},
    )
    assert set(_get_rows(_read_feeds(receive(_make_feeds(occupancy=sent))), "OCCUPANCY")["path"]) == {
        "ARRIVED",
        "OLDEST",
        "AHEAD",
    }


@pytest.mark.parametrize("others", [0, 600])
def test_only_the_requested_warehouses_are_read(receive: Receive, others: int) -> None:
    source = receive(_make_feeds(occupancy=make_occupancy(*({"warehouse": name} for name in ("W1", "W2", "W3")))))
    wanted = ["W1", "W3", *(f"X{number}" for number in range(others))]
    assert sorted(_get_rows(_read_feeds(source, warehouses=wanted), "OCCUPANCY")["warehouse"]) == ["W1", "W3"]
    assert _get_rows(_read_feeds(source, warehouses=[]), "OCCUPANCY").is_empty()


def test_a_row_without_event_time_is_there_to_be_rejected_once(embedded: FloorFeeds) -> None:
    sent = make_occupancy({"event_ts": None, "ingest_ts": go_back(1), "problem": "event_ts 'soon' is not a time"})
    embedded.append(_make_feeds(occupancy=sent))
    assert _get_rows(_read_feeds(embedded), "OCCUPANCY").equals(sent)
    assert _get_rows(_read_feeds(embedded, T + tick.TICK), "OCCUPANCY").is_empty()


def test_what_cannot_be_read_of_a_row_is_reported_and_the_rest_read(tmp_path: Path) -> None:
    source = FloorFeeds(f"sqlite:///{tmp_path}/floor_feeds.db")
    source.create()
    source.append(_make_feeds(occupancy=make_occupancy({"path": "P1"}, {"path": "P2"})))
    with sql.get_engine(source.url).begin() as connection:
        connection.exec_driver_sql("UPDATE buffer_occupancy SET level = 'many' WHERE path = 'P2'")
    rows = _get_rows(_read_feeds(source), "OCCUPANCY").sort("path")
    assert rows["level"].to_list() == [50.0, None]
    assert rows["problem"].to_list() == [None, "level 'many' is not a number"]


def test_a_source_may_use_names_of_its_own(tmp_path: Path) -> None:
    columns = {"warehouse": "SITE", "lane_open": "", "critical_pull_ts": "", "max_rate": "MAX_PER_HOUR"}
    named = {"buffer_limits": SourceTable(name="WCS_LIMITS", columns=columns)}
    source = FloorFeeds(f"duckdb:///{tmp_path}/floors.duckdb", named)
    source.create()
    source.append(_make_feeds(limits=make_limits({"event_ts": go_back(600)}).drop("lane_open", "critical_pull_ts")))
    with sql.get_engine(source.url).begin() as connection:
        assert connection.exec_driver_sql("SELECT SITE, MAX_PER_HOUR FROM WCS_LIMITS").all() == [("W1", 600.0)]
    row = _get_rows(_read_feeds(source), "LIMITS").row(0, named=True)
    assert (row["warehouse"], row["max_rate"], row["lane_open"]) == ("W1", 600.0, None)


# --- limits: only what matters of a day


def _assert_same_state(
    read: Feeds, sent: Feeds, snapshot_ts: datetime, watched: pl.DataFrame, units: pl.DataFrame
) -> None:
    """Assert that the rules make the same of what was read and of all rows, in a tick that follows another one.

    A path of which all rows together say nothing may be left out. Rejects are reported of rows that are not too old to
    matter.
    """
    at: dict[str, Any] = {"snapshot_ts": snapshot_ts, "policy": POLICY, "warehouses": watched}
    previous, all_rows = schema.SIGNALS.make_empty().collect(), _get_rows(sent, "LIMITS")
    not_too_old = pl.col("event_ts").is_null() | (pl.col("event_ts") >= snapshot_ts - LOOK_BACK["LIMITS"])

    def compute_paths(rows: pl.DataFrame) -> pl.DataFrame:
        return path_signals.compute_signals(None, None, rows, previous, **at)

    def collect_rejects(rows: pl.DataFrame) -> pl.DataFrame:
        return path_signals.collect_rejects(
            {"LIMITS": rows}, compute_paths(rows), units, since=snapshot_ts - tick.TICK, **at
        )

    known = pl.any_horizontal(pl.col("capacity", "max_rate", "lane_open", "backlog", "critical_pull_ts").is_not_null())
    assert_frame_equal(*(compute_paths(rows).filter(known) for rows in (_get_rows(read, "LIMITS"), all_rows)))
    assert_frame_equal(collect_rejects(_get_rows(read, "LIMITS")), collect_rejects(all_rows.filter(not_too_old)))


@pytest.fixture(scope="module")
def world() -> World:
    """Two days of floors whose feeds are rough: bad capacities, late rows, rows twice."""
    return simulate(Scenario("rough limits", seed=11, warehouses=1, days=2, reception=ROUGH))


def test_the_limits_of_a_day_say_what_all_their_rows_would(
    world: World, receive: Receive, pytestconfig: pytest.Config
) -> None:
    sent = _make_feeds(limits=_get_rows(world.feeds, "LIMITS"))
    source = receive(sent)
    last = tick.align_to_grid(max(_get_rows(sent, "LIMITS")["ingest_ts"]))
    for hours in (0, 3, 26) if pytestconfig.getoption("sweep") else (0, 26):
        now = last - timedelta(hours=hours)
        read = _read_feeds(source, now)
        _assert_same_state(read, sent, now, world.masters.warehouses, world.masters.unit_members)
        assert _get_rows(read, "LIMITS").height < _get_rows(sent, "LIMITS").height / 5


def test_the_limits_that_were_received_before_an_outage_still_hold(world: World, embedded: FloorFeeds) -> None:
    sent = _make_feeds(limits=_get_rows(world.feeds, "LIMITS"))
    embedded.append(sent)
    now = tick.align_to_grid(max(_get_rows(sent, "LIMITS")["ingest_ts"])) + timedelta(hours=5)
    read = _read_feeds(embedded, now)
    _assert_same_state(read, sent, now, world.masters.warehouses, world.masters.unit_members)
    paths = _get_rows(sent, "LIMITS")["path"].n_unique()
    assert paths <= _get_rows(read, "LIMITS").height < 10 * paths


_AMOUNTS: Final = st.sampled_from([None, None, 0.0, -1.0, float("nan"), float("inf"), 50.0, 80.0])
_PATHS: Final = [f"P{number}" for number in range(6)]
_LIMITS: Final = st.lists(
    st.fixed_dictionaries(
        {
            "path": st.sampled_from(_PATHS),
            # Few times, so that rows correct each other; at the edges of what counts, and beyond.
            "event_ts": st.sampled_from([None, *(go_back(minutes) for minutes in (-5, 0, 4, 60, 90, 600, 1440, 1441))]),
            "ingest_ts": st.sampled_from([None, *(go_back(minutes) for minutes in (-1, 0, 4, 5, 50, 300))]),
            "src_seq": st.integers(0, 3),
            "capacity": _AMOUNTS,
            "max_rate": _AMOUNTS,
            "backlog": _AMOUNTS,
            "lane_open": st.sampled_from([None, True, False]),
            "problem": st.sampled_from([None, None, None, "capacity 'x' is not a number"]),
        }
    ),
    min_size=20,
    max_size=60,
)


@pytest.fixture(scope="module")
def some_limits(tmp_path_factory: pytest.TempPathFactory) -> FloorFeeds:
    made = FloorFeeds(f"duckdb:///{tmp_path_factory.mktemp('limits')}/floor_feeds.duckdb")
    made.create()
    return made


@settings(
    max_examples=take_examples(5), phases=[Phase.reuse, Phase.generate]
)  # each queries a database; its rows are of many paths
@given(_LIMITS)
def test_whatever_was_received_of_limits_says_the_same(some_limits: FloorFeeds, rows: list[Mapping[str, Any]]) -> None:
    sent = _make_feeds(limits=make_limits(*rows))
    with sql.get_engine(some_limits.url).begin() as connection:
        connection.exec_driver_sql("DELETE FROM buffer_limits")
    some_limits.append(sent)
    _assert_same_state(
        _read_feeds(some_limits), sent, T, make_warehouses(), make_members(*({"path": path} for path in _PATHS))
    )


# --- what fails


def test_a_feed_that_cannot_be_read_takes_no_other_with_it(receive: Receive) -> None:
    source = receive(_make_feeds(occupancy=make_occupancy({}), limits=make_limits({})))
    with sql.get_engine(source.url).begin() as connection:
        connection.exec_driver_sql("DROP TABLE buffer_flow")
    read = _read_feeds(source)
    assert read.flow is None
    assert list(read.errors) == ["FLOW"]
    assert "floor feeds: buffer_flow" in read.errors["FLOW"]
    assert [rows is not None and rows.height for rows in (read.occupancy, read.staffing, read.limits)] == [1, 0, 1]


@contextmanager
def _lock_table(url: str, table: str) -> Iterator[None]:
    with sql.get_engine(url).begin() as connection:
        connection.exec_driver_sql(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield


@pytest.mark.parametrize("reached", [str, _make_redshift_url], ids=["postgresql", "redshift"])
def test_a_feed_that_hangs_is_given_up(postgres: Postgres, reached: Callable[[str], str]) -> None:
    made = FloorFeeds(postgres.create_database(f"floors {uuid4()}"), statement_seconds=1)
    made.create()
    source = replace(made, url=reached(made.url))
    with _lock_table(made.url, "buffer_staffing"):
        read = _read_feeds(source)
    assert list(read.errors) == ["STAFFING"]
    assert "statement timeout" in read.errors["STAFFING"]
    assert _read_feeds(source).errors == {}


def test_a_driver_that_waits_for_ever_does_not_hold_the_tick(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floor_feeds, "_CONNECT_SECONDS", 1)
    url = postgres.create_database(f"floors {uuid4()}")
    FloorFeeds(url).create()
    with _lock_table(url, "buffer_flow"):
        # What a URL says itself goes before our own time-out.
        read = _read_feeds(FloorFeeds(f"{url}&options=-c%20timezone%3DUTC", statement_seconds=5))
    # Long enough for the other feeds on a busy machine.
    assert read.errors == {"FLOW": "floor feeds: no answer within 6 seconds"}
    assert read.flow is None


@pytest.mark.parametrize("driver", ["postgresql+psycopg", "redshift+psycopg2"])
def test_a_server_that_is_down_leaves_every_feed_unknown(tmp_path: Path, driver: str) -> None:
    read = _read_feeds(FloorFeeds(f"{driver}://reader:s3cret@/floors?host={tmp_path}"))
    assert set(read.by_name.values()) == {None}
    assert set(read.errors) == set(schema.FEEDS)
    assert all("does not answer" in error and "s3cret" not in error for error in read.errors.values())


@pytest.mark.parametrize(
    ("url", "tables", "message"),
    [
        ("duckdb:///{}/absent.duckdb", {}, r"floor feeds: there is no .*absent\.duckdb; run `fillrate buffers demo`"),
        ("absent://host/floors", {}, "cannot use database URL"),
        (
            "duckdb:///{}/floors.duckdb",
            {"buffer_flow": SourceTable(columns={"src_seq": ""})},
            "sources.source_tables.buffer_flow.columns leaves out src_seq, which every source must have",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused(
    tmp_path: Path, url: str, tables: Mapping[str, SourceTable], message: str
) -> None:
    FloorFeeds(f"duckdb:///{tmp_path}/floors.duckdb").create()
    with pytest.raises(PermanentFailure, match=message):
        _read_feeds(FloorFeeds(url.format(tmp_path), tables))


def test_a_file_that_is_being_written_may_be_read_later(embedded: FloorFeeds) -> None:
    embedded.append(_make_feeds(occupancy=make_occupancy({})))
    with sql.get_engine(embedded.url).connect() as writing:
        assert writing.exec_driver_sql("SELECT count(*) FROM buffer_occupancy").scalar_one() == 1
        assert set(_read_feeds(embedded).errors) == set(schema.FEEDS)
    assert _read_feeds(embedded).errors == {}


def test_no_url_is_shown() -> None:
    assert "s3cret" not in repr(FloorFeeds("postgresql+psycopg://reader:s3cret@host/floors"))
