"""The buffers through Dagster: a tick's assets, what they show, and what is stored afterwards."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import partial
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import dagster as dg
import duckdb
import polars as pl
import pytest
import sqlalchemy as sa
from polars.testing import assert_frame_equal

from fillrate_assets.buffers import buffer_store, control_store, schema
from fillrate_assets.buffers.defs import assets, checks, schedules, tick_run
from fillrate_assets.buffers.defs.assets import AREA, ASSETS, JOB
from fillrate_assets.buffers.defs.challenger_run import Bounds, ChallengerRun
from fillrate_assets.buffers.defs.checks import JOB as HEARTBEAT
from fillrate_assets.buffers.notice_store import QUEUE
from fillrate_assets.buffers.policy_store import POLICIES
from fillrate_assets.buffers.report import policy_backtest
from fillrate_assets.buffers.rules.policy import Policy, Promotion
from fillrate_assets.buffers.rules.scorecard import PromotionEvidence
from fillrate_assets.buffers.rules.tick import TICK
from fillrate_assets.buffers.sources.floor_feeds import FloorFeeds
from fillrate_assets.buffers.tick_store import LakeTickStore
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.notifications.outbox import OUTBOX
from fillrate_assets.orchestration import partitions
from fillrate_assets.storage import sql
from fillrate_assets.storage.lake import Lake
from fillrate_assets_tests.conftest import clear_environment
from fillrate_assets_tests.factories import feed_rows
from fillrate_assets_tests.factories.buffers_floor import DCS, FULL, OPENED, Floor
from fillrate_assets_tests.factories.buffers_frames import make_feedback, make_routes, make_silences
from fillrate_assets_tests.fixtures.home import QUIET
from fillrate_assets_tests.fixtures.instances import open_in_memory

pytestmark = pytest.mark.slow

NOW: Final = datetime(2026, 3, 10, 15, tzinfo=UTC)
BEFORE: Final = NOW - TICK
DAY: Final = NOW.date()
MINE, OTHER = (str(partitions.make_key(dc, DAY)) for dc in ("DC01", "DC02"))

NAMES: Final = [asset.key.path[-1] for asset in ASSETS]
UNITS, VERDICTS, SENT, SCORES = ASSETS[:2], ASSETS[:3], ASSETS[:4], ASSETS[4:]
"""Stages of a tick: up to units, verdicts and alerts, and what follows from answers."""

MADE: Final = (schema.SIGNALS, schema.POOLS, schema.UNIT_TIMESERIES, schema.RECOMMENDATIONS, schema.ALERTS)
OVERFLOWING: Final = {("W1", "P1"): FULL, ("W1", "P2"): FULL}


class Clock(datetime):
    """A clock that does not move, a little after the last tick: only what is young is sent."""

    moment = NOW

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return (cls.moment + timedelta(seconds=20)).astimezone(tz)


def stop_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (assets, checks):
        monkeypatch.setattr(module, "datetime", Clock)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    stop_clock(monkeypatch)


@pytest.fixture
def floor(tmp_path: Path, instance: dg.DagsterInstance) -> Floor:
    return Floor(tmp_path / "home", instance).create()


@dataclass(frozen=True)
class Ticked:
    """A floor, and the run of its tick."""

    floor: Floor
    result: dg.ExecuteInProcessResult


@pytest.fixture(scope="module")
def alarmed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ticked]:
    """W1 overflows in the tick before now; tests take copies."""
    with pytest.MonkeyPatch.context() as monkeypatch, open_in_memory() as made:
        clear_environment(monkeypatch)
        stop_clock(monkeypatch)
        floor = Floor(tmp_path_factory.mktemp("alarmed") / "home", made).create()
        floor.receive(BEFORE, OVERFLOWING)
        yield Ticked(floor, floor.tick(BEFORE))


@pytest.fixture
def alarmed_floor(alarmed: Ticked, tmp_path: Path, instance: dg.DagsterInstance) -> Floor:
    """A copy of the floor on which W1 overflows."""
    return alarmed.floor.copy(tmp_path / "alarmed", instance)


def read_metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, dict[str, Any]]:
    """Read the metadata of an asset by partition key."""
    return {
        str(event.partition): {name: value.value for name, value in event.materialization.metadata.items()}
        for event in result.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey([AREA, asset])
    }


def test_a_tick_is_one_run_of_few_steps_that_shows_what_a_floor_manager_wants_to_see(
    alarmed: Ticked, alarmed_floor: Floor
) -> None:
    floor, result = alarmed_floor, alarmed.result
    steps = [str(event.step_key).removeprefix(f"{AREA}__") for event in result.all_events if event.is_step_success]
    assert len(steps) == len(set(steps)) <= 10
    assert all(set(read_metadata(result, name)) == {MINE, OTHER} for name in NAMES)
    assert all(check.passed for check in result.get_asset_check_evaluations())
    units = read_metadata(result, "unit_timeseries")[MINE]
    assert (units["units"], units["warehouses"], units["coverage_percent"], units["units_fresh"]) == (3, 1, 100.0, 3)
    said = read_metadata(result, "buffer_recommendations")
    assert said[MINE]["heat_strip"].splitlines()[1] == "W1 PACK   ▓▓█"
    assert said[OTHER]["heat_strip"].splitlines()[1] == "W2 PACK   ···"
    busy, calm = (read_metadata(result, "buffer_alerts")[day] for day in (MINE, OTHER))
    assert (calm["heat_strip"].splitlines()[1], calm["open_episodes"]) == ("W2 PACK   ···", 0)
    actions = [dict(record.data) for record in busy["actions"].records]
    assert [(action["unit_id"], action["severity"], action["label"]) for action in actions] == [
        ("W1_PACK_TOTAL", "EMERGENCY", "NEW"),
        ("W1_PACK_P1", "ACT", "SUPPRESSED"),
        ("W1_PACK_P2", "ACT", "SUPPRESSED"),
    ]
    assert (busy["notices"], busy["unroutable"], busy["messages_sent"]) == (floor.read_notices().height, 0, 1)
    assert read_metadata(result, "buffer_signals")[MINE]["fresh_level_percent"] == 100.0

    # Again, it changes nothing and sends nothing twice.
    first, notices = {frame.name: floor.read_rows(frame, BEFORE) for frame in MADE}, floor.read_notices()
    again = floor.tick(BEFORE)
    for frame in MADE:
        assert_frame_equal(floor.read_rows(frame, BEFORE), first[frame.name])
    assert_frame_equal(floor.read_notices(), notices)
    assert read_metadata(again, "buffer_alerts")[MINE]["notices"] == 0


@pytest.mark.sweep
def test_a_tick_late_or_again_is_followed_by_the_later_ones_as_if_it_had_been_in_time(tmp_path: Path) -> None:
    """At midnight in New York: the later tick is of another operating day there, and not in Chicago."""
    midnight = datetime(2026, 3, 10, 4, tzinfo=UTC)
    ticks = [midnight - TICK, midnight]
    stored = []
    # In time and the first one again; the first one late.
    for orders in (((0, 1), (0,)), ((1, 0),)):
        with open_in_memory() as instance:
            floor = Floor(tmp_path / str(len(orders)), instance).create()
            for at in ticks:
                floor.receive(at, OVERFLOWING)
            for order in orders:
                for number in order:
                    assert floor.tick(ticks[number], SENT).success
                stored.append({(frame.name, at): floor.read_rows(frame, at) for frame in MADE for at in ticks})
    in_time, again, late = stored
    for (name, at), rows in in_time.items():
        assert rows.height or name == schema.ALERTS.name
        assert_frame_equal(again[name, at], rows)
        assert_frame_equal(late[name, at], rows)


def test_a_tick_obeys_what_people_stopped_before_it(floor: Floor) -> None:
    floor.receive(NOW, OVERFLOWING)
    span = {"from_ts": NOW - TICK, "created_at": NOW - TICK, "to_ts": NOW + TICK}
    (row,) = make_silences({"kind": "MAINTENANCE", "unit_id": schema.ANY, **span}).iter_rows(named=True)
    with floor.store.database.begin() as connection:
        control_store.add_silence(connection, row)
    floor.tick(NOW, SENT)
    reasons = dict(floor.read_rows(schema.ALERTS, NOW).select("unit_id", "reason").iter_rows())
    assert reasons["W1_PACK_TOTAL"] == "MAINTENANCE"
    assert set(floor.read_notices()["label"]) <= {"SUPPRESSED"}


def test_a_tick_of_long_ago_is_computed_and_neither_sent_nor_a_sign_of_life(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    floor = Floor(tmp_path / "home", instance, {"env": "prod", "notifications__platform_channel": "console"}).create()
    for at, sent in ((NOW - 3 * TICK, False), (NOW, True)):
        floor.receive(at, OVERFLOWING)
        floor.tick(at, SENT)
        assert floor.read_states(at)["W1_PACK_TOTAL"] == "EMERGENCY"
        assert floor.read_notices().is_empty() is not sent
        with sa.create_engine(floor.settings.storage.record_store_url).connect() as connection:
            pings = connection.execute(sa.select(OUTBOX.c.subject).where(OUTBOX.c.queue != QUEUE.name)).all()
        assert len(pings) == sent


def test_a_feed_that_fails_takes_its_own_columns_and_no_more(floor: Floor) -> None:
    floor.receive(NOW)
    with duckdb.connect(str(sql.find_embedded_file(floor.settings.sources.floor_feeds_url))) as connection:
        connection.execute("ALTER TABLE buffer_flow RENAME TO elsewhere")
    result = floor.tick(NOW, UNITS)
    assert result.success
    (failed,) = {each["feeds_failed"] for each in read_metadata(result, "buffer_signals").values()}
    assert failed == "FLOW"
    paths = floor.read_rows(schema.SIGNALS, NOW)
    assert paths["level_fresh"].all()
    assert not paths["flow_fresh"].any()
    units = floor.read_rows(schema.UNIT_TIMESERIES, NOW)
    assert set(units["quality"]) == {"DEGRADED"}
    assert set(units["missing_feeds"]) == {"FLOW"}


def test_without_any_feed_everything_is_unknown_and_nothing_is_clear(floor: Floor) -> None:
    missing = FloorFeeds(f"sqlite:///{floor.directory}/empty.db")
    (floor.directory / "empty.db").touch()
    floor.tick(NOW, VERDICTS, floor_feeds=missing)
    assert set(floor.read_rows(schema.UNIT_TIMESERIES, NOW)["quality"]) == {"UNKNOWN"}
    assert set(floor.read_states(NOW).values()) == {"UNKNOWN"}


def test_the_partition_of_a_day_can_be_materialized_again_and_gives_the_same(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_new_york = {"warehouse": "W2", "name": "Two", "time_zone": "America/New_York"}
    floor = Floor(tmp_path / "home", instance).create(warehouses=feed_rows.make_warehouses({}, in_new_york))
    at = datetime(2026, 3, 10, 4, tzinfo=UTC)
    # The day has just begun in New York; in Chicago, of the same DC, it is the day before.
    monkeypatch.setattr(Clock, "moment", at)
    floor.receive(at, OVERFLOWING)
    floor.tick(at, VERDICTS)
    before = floor.read_rows(schema.RECOMMENDATIONS, at)
    assert before["ship_date"].n_unique() == 2
    job = floor.defs.resolve_job_def(JOB)
    result = job.execute_in_process(
        run_config=QUIET,
        instance=floor.instance,
        partition_key=partitions.make_key("DC01", DAY),
        asset_selection=[stage.key for stage in VERDICTS],
    )
    assert result.success
    assert_frame_equal(floor.read_rows(schema.RECOMMENDATIONS, at), before)


def test_a_day_in_progress_is_computed_up_to_when_the_run_began(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later step must not compute ticks that the first one did not read the feeds for."""
    now = datetime.now(UTC)
    monkeypatch.setattr(Clock, "moment", now + timedelta(hours=3))
    # Where it is just past midnight.
    zone = f"Etc/GMT+{now.hour}" if now.hour <= 12 else f"Etc/GMT-{24 - now.hour}"
    floor = Floor(tmp_path / "home", instance).create(warehouses=feed_rows.make_warehouses({"time_zone": zone}))
    instance.add_dynamic_partitions(str(partitions.DC.name), ["DC01"])
    today = now.astimezone(ZoneInfo(zone)).date()
    result = floor.defs.resolve_job_def(JOB).execute_in_process(
        run_config=QUIET,
        instance=instance,
        partition_key=partitions.make_key("DC01", today),
        asset_selection=[dg.AssetKey([AREA, NAMES[0]])],
    )
    (shown,) = read_metadata(result, NAMES[0]).values()
    assert 0 < shown["ticks_computed"] < 36


def test_an_operating_day_has_the_ticks_that_its_own_clock_shows() -> None:
    masters = feed_rows.make_warehouses({})
    day = date(2026, 3, 8)  # Chicago puts its clocks forward
    ticks = tick_run.list_ticks([PartitionKey("DC01", day)], masters, datetime(2026, 4, 1, tzinfo=UTC))
    assert (ticks[0], ticks[-1]) == (datetime(2026, 3, 8, 6, tzinfo=UTC), datetime(2026, 3, 9, 4, 55, tzinfo=UTC))
    assert len(ticks) == 23 * 12
    until = datetime(2026, 3, 8, 6, 12, tzinfo=UTC)
    assert tick_run.list_ticks([PartitionKey("DC01", day)], masters, until)[-1] == datetime(
        2026, 3, 8, 6, 10, tzinfo=UTC
    )
    assert tick_run.list_ticks([PartitionKey("DC09", day)], masters, until) == []


# --- the schedule


@pytest.fixture(scope="module")
def findable() -> Iterator[dg.DagsterInstance]:
    """An instance that other processes can find, as a schedule wants it."""
    with dg.instance_for_test() as made:
        yield made


@pytest.fixture
def scheduled(tmp_path: Path, findable: dg.DagsterInstance) -> Floor:
    return Floor(tmp_path / "home", findable).create()


def request_tick(floor: Floor, at: datetime) -> dg.RunRequest | dg.SkipReason:
    schedule = next(each for each in schedules.build(JOB) if each.name == "buffer_ticks")
    context = dg.build_schedule_context(
        instance=floor.instance, scheduled_execution_time=at, resources={"buffer_store": floor.store}
    )
    request = schedule(context)
    assert isinstance(request, dg.RunRequest | dg.SkipReason)
    return request


def test_the_schedule_requests_one_run_over_all_warehouses(scheduled: Floor) -> None:
    request = request_tick(scheduled, NOW + timedelta(seconds=7))
    assert isinstance(request, dg.RunRequest)
    assert request.run_key == NOW.isoformat()
    assert request.tags["dagster/max_runtime"] == "900"
    assert partitions.get_tick(request.tags) == NOW
    scope = partitions.find_rectangle(request.tags)
    assert scope is not None
    assert scope.dcs(scheduled.instance) == ["DC01", "DC02"]
    assert (scope.first, scope.last) == (DAY, DAY)


def test_without_an_active_warehouse_the_schedule_says_what_to_do(scheduled: Floor) -> None:
    with sa.create_engine(scheduled.settings.storage.record_store_url).begin() as connection:
        connection.execute(sa.text("UPDATE warehouse SET active = 0"))
    skipped = request_tick(scheduled, NOW)
    assert isinstance(skipped, dg.SkipReason)
    assert "insert rows into warehouse and unit_member" in str(skipped.skip_message)


@pytest.fixture(scope="module")
def changed(alarmed: Ticked, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ticked]:
    """A warehouse came, one went and the channel is another since the tick before, by a statement each."""
    with pytest.MonkeyPatch.context() as monkeypatch, open_in_memory() as made:
        clear_environment(monkeypatch)
        stop_clock(monkeypatch)
        floor = alarmed.floor.copy(tmp_path_factory.mktemp("changed") / "home", made)
        with sa.create_engine(floor.settings.storage.record_store_url).begin() as connection:
            for statement in (
                (
                    "INSERT INTO unit_member (unit_id, path, role, weight, valid_from)"
                    " SELECT REPLACE(unit_id, 'W2', 'W3'), path, role, weight, valid_from FROM unit_member"
                    " WHERE unit_id LIKE 'W2%'"
                ),
                "INSERT INTO warehouse VALUES ('W3', 'DC03', 'Three', 'America/Chicago', 1)",
                "UPDATE warehouse SET active = 0 WHERE warehouse = 'W2'",
                "UPDATE alert_route SET channel = 'slack:night-shift'",
            ):
                connection.execute(sa.text(statement))
        floor.receive(NOW, OVERFLOWING)
        yield Ticked(floor, floor.tick(NOW))


def test_one_statement_onboards_a_warehouse_and_the_next_tick_covers_it(changed: Ticked) -> None:
    assert changed.result.success
    units = read_metadata(changed.result, "unit_timeseries")
    assert units[str(partitions.make_key("DC03", DAY))]["units"] == 3
    assert "DC03" in partitions.list_dcs(changed.floor.instance)


def test_one_statement_stops_watching_a_warehouse_and_nothing_is_reported_of_its_feeds(changed: Ticked) -> None:
    floor = changed.floor
    assert set(floor.read_rows(schema.UNIT_TIMESERIES, BEFORE)["warehouse"]) == {"W1", "W2"}
    lake = Lake(floor.settings.storage.lake_root)
    now = LakeTickStore(lake, ("DC01", "DC03"))
    assert set(now.read(schema.UNIT_TIMESERIES, NOW, NOW).collect()["warehouse"]) == {"W1", "W3"}
    assert floor.read_rows(schema.UNIT_TIMESERIES, NOW)["warehouse"].unique().to_list() == ["W1"]
    assert now.read(schema.SIGNAL_REJECTS, NOW, NOW).collect().is_empty()


def test_one_statement_routes_to_another_channel_and_the_next_tick_obeys(changed: Ticked) -> None:
    channels = {at: set(rows["channel"]) for (at,), rows in changed.floor.read_notices().group_by("snapshot_ts")}
    assert channels == {BEFORE: {"console"}, NOW: {"slack:night-shift"}}


def test_where_nothing_leaves_messages_are_in_the_event_log_of_the_run(alarmed: Ticked) -> None:
    logged = [entry.user_message for entry in alarmed.floor.instance.all_logs(alarmed.result.run_id)]
    assert [text for text in logged if text.startswith("to console: PACK P1, PACK P2 in PACK TOTAL")]


# --- feedback


def test_an_answer_is_in_the_scorecard_at_the_next_tick(alarmed: Ticked, alarmed_floor: Floor) -> None:
    floor = alarmed_floor
    assert read_metadata(alarmed.result, "algorithm_scorecard")[MINE]["answered"] == 0
    notice = floor.read_notices().filter(pl.col("label") == "NEW").row(0, named=True)
    assert floor.store.add_feedback(make_answer(notice, "CORRECT"))
    for days in (1, assets.SCORED_DAYS):
        when = NOW - timedelta(days=days)
        missed = {"rec_id": f"missed {days}", "episode_key": None, "episode_ts": when}
        assert floor.store.add_feedback({**make_answer(notice, "MISSED_PROBLEM"), **missed})
    second = floor.tick(NOW, SCORES)
    card = read_metadata(second, "algorithm_scorecard")[MINE]
    assert (card["answered"], card["true_positives"], card["false_positives"], card["missed"]) == (1, 1, 0, 1)
    heard = read_metadata(second, "buffer_feedback")[MINE]
    assert [dict(record.data) for record in heard["answers"].records] == [
        {"answer": "MISSED_PROBLEM", "answers": 2},
        {"answer": "CORRECT", "answers": 1},
    ]


EAGER: Final = {"act": 0.55, "act_soon": 0.54, "warn": 0.5, "clear": 0.5}


def test_a_challenger_runs_on_the_same_ticks_and_notifies_no_one(floor: Floor) -> None:
    eager = floor.policies.propose({"total": {**EAGER, "emergency": 0.56}}, by="ann", now=NOW)
    half_full = {("W1", "P1"): 60.0, ("W1", "P2"): 60.0}
    floor.receive(NOW, half_full)
    floor.tick(NOW)
    assert floor.read_states(NOW)["W1_PACK_TOTAL"] == "CLEAR"
    assert floor.read_notices().is_empty()
    beside = LakeTickStore(Lake(f"{floor.settings.storage.lake_root}/challengers/{eager.version}"), DCS)
    alerts = beside.read(schema.ALERTS, NOW, NOW).collect()
    assert alerts.select("unit_id", "severity", "policy_version").rows() == [
        ("W1_PACK_TOTAL", "EMERGENCY", eager.version)
    ]


def test_a_challenger_that_breaks_stops_no_alert(floor: Floor) -> None:
    eager = floor.policies.propose({"total": EAGER}, by="ann", now=NOW)
    place = Path(floor.settings.storage.lake_root) / "challengers"
    place.mkdir(parents=True)
    (place / eager.version).write_text("no folder")
    floor.receive(NOW, OVERFLOWING)
    assert floor.tick(NOW).success
    assert floor.read_notices().height


@pytest.mark.parametrize(
    ("bounds", "problem"),
    [
        (Bounds(seconds=0.01), "it took more than 0.01 s for 1 ticks"),
        (Bounds(memory_gb=0.05), r"it ended with exit code \S+; its error is above"),
    ],
)
def test_a_challenger_that_takes_too_much_is_ended(floor: Floor, bounds: Bounds, problem: str) -> None:
    store = LakeTickStore(Lake(f"{floor.settings.storage.lake_root}/challengers/x"), DCS)
    masters = floor.store.read_master_data()
    run = ChallengerRun(Policy(), store, floor.feeds, masters, [NOW], None)
    assert re.fullmatch(problem, run.run(bounds) or "")


@pytest.mark.sweep
def test_a_row_of_policies_that_cannot_be_used_touches_no_champion(floor: Floor) -> None:
    said = {"role": "CHALLENGER", "since_ts": NOW.replace(tzinfo=None), "updated_by": "bob"}
    with sa.create_engine(floor.settings.storage.record_store_url).begin() as connection:
        for number, changes in enumerate(['{"capacity": {"expired": 1e10}}', "null", '{"trend": {"points": 600}}']):
            connection.execute(POLICIES.insert().values(version=f"v{number}", changes=changes, **said))
    floor.receive(NOW, OVERFLOWING)
    assert floor.tick(NOW).success
    assert floor.read_notices().height


def test_a_promoted_policy_that_is_worse_gives_its_place_back(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    eager = floor.policies.propose({"total": EAGER}, by="ann", now=NOW)
    floor.policies.promote(eager.version, Precise(), by="ann", now=NOW)
    floor.receive(BEFORE, OVERFLOWING)
    floor.tick(BEFORE, SENT)
    notice = floor.read_notices().filter(pl.col("label") == "NEW").row(0, named=True)
    assert notice["policy_version"] == eager.version
    monkeypatch.setattr(assets, "Promotion", partial(Promotion, min_rollback_answers=1))
    floor.store.add_feedback(make_answer(notice, "NO_PROBLEM"))
    floor.tick(NOW, SCORES)
    assert floor.policies.read_active().champion == Policy()
    with sa.create_engine(floor.settings.storage.record_store_url).connect() as connection:
        subjects = connection.execute(sa.select(OUTBOX.c.subject).where(OUTBOX.c.queue != QUEUE.name)).scalars().all()
    assert subjects == [f"buffers: policy {eager.version} gave its place back to {Policy().version}"]


@pytest.mark.parametrize(
    ("allowed", "tick"),
    [(True, 1), *[pytest.param(*given, marks=pytest.mark.sweep) for given in ((True, 0), (False, 0))]],
)
def test_a_better_challenger_is_promoted_once_a_day_where_a_setting_allows_it(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, *, allowed: bool, tick: int
) -> None:
    monkeypatch.setattr(policy_backtest, "collect_evidence", lambda *_, **__: GOOD)
    midnight = datetime(2026, 3, 10, tzinfo=UTC)
    floor = Floor(tmp_path / "home", instance, {"buffers": {"promotes_automatically": allowed}}).create()
    eager = floor.policies.propose({"total": EAGER}, by="ann", now=NOW)
    floor.receive(midnight + tick * TICK)
    assert floor.tick(midnight + tick * TICK, SCORES).success
    expected = allowed and tick == 0
    assert floor.policies.read_active().champion == (eager if expected else Policy())
    with sa.create_engine(floor.settings.storage.record_store_url).connect() as connection:
        subjects = connection.execute(sa.select(OUTBOX.c.subject).where(OUTBOX.c.queue != QUEUE.name)).scalars().all()
    assert subjects == [f"buffers: policy {eager.version} took the place of {Policy().version}"] * expected
    stored = floor.policies.read_all()["evidence"].to_list()
    assert [json.loads(each)["episodes"] for each in stored if each] == [GOOD.episodes] * expected


GOOD: Final = PromotionEvidence(
    promotion=Promotion(),
    since=NOW - timedelta(days=20),
    until=NOW,
    seed=1,
    episodes=300,
    champion_f1=0.8,
    challenger_f1=0.9,
    difference_low=0.05,
    difference_high=0.15,
    worst_unit_type=None,
    worst_loss=0.0,
    missed_emergencies=0,
    champion_messages=100,
    challenger_messages=100,
    champion_precision_low=0.7,
)


@dataclass(frozen=True)
class Precise:
    champion_precision_low: float = 0.9


def make_answer(notice: dict[str, Any], said: str) -> dict[str, Any]:
    """Make a row of `FEEDBACK`."""
    same = {name: notice[name] for name in ("rec_id", "warehouse", "unit_id", "unit_type", "direction")}
    more = {"policy_version": notice["policy_version"], "episode_key": notice["rec_id"].rpartition(".")[0]}
    times = {"episode_ts": notice["snapshot_ts"], "answered_at": NOW}
    return make_feedback({**same, **more, **times, "answer": said}).row(0, named=True)


# --- checks


def list_failures(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """List the checks that failed for the whole run, with what they say."""
    return {
        each.check_name: each.description or ""
        for each in result.get_asset_check_evaluations()
        if not each.passed and each.partition is None
    }


def test_a_warehouse_without_units_and_a_row_that_makes_no_sense_are_reported(floor: Floor) -> None:
    with sa.create_engine(floor.settings.storage.record_store_url).begin() as connection:
        connection.execute(sa.text("DELETE FROM unit_member WHERE unit_id LIKE 'W2%'"))
        connection.execute(
            sa.text("INSERT INTO unit_member VALUES ('W1_PACK_P9', 'P9', 'LEVEL', -1, '2026-01-01', NULL)")
        )
        connection.execute(sa.text("INSERT INTO shift VALUES ('W1', 'PACK', 0, '06:00', '14:30')"))
    floor.receive(NOW)
    found = list_failures(floor.tick(NOW, SENT))
    assert set(found) == {"warehouse_coverage", "master_data_valid"}
    assert "W2" in found["warehouse_coverage"]
    assert "shift (W1, PACK, 0, 06:00:00): weekday 0 is none of 1 to 7" in found["master_data_valid"]
    assert "unit_member (W1_PACK_P9, P9, LEVEL)" in found["master_data_valid"]


def test_what_no_route_takes_is_reported(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    floor = Floor(tmp_path / "home", instance).create(
        alert_routes=make_routes({"warehouse": "W9", "active_from": OPENED})
    )
    floor.receive(NOW, OVERFLOWING)
    found = list_failures(floor.tick(NOW, SENT))
    assert "there is no default route" in found["alerts_have_route"]
    assert "W1_PACK_TOTAL.OVERFLOW" in found["alerts_have_route"]


def test_a_unit_that_is_clear_without_data_stops_the_run(alarmed_floor: Floor) -> None:
    floor = alarmed_floor
    rows = floor.read_rows(schema.RECOMMENDATIONS, BEFORE).with_columns(quality=pl.lit("UNKNOWN"))
    floor.ticks.write(schema.RECOMMENDATIONS, rows, BEFORE)
    check = dg.AssetCheckKey(dg.AssetKey([AREA, "buffer_recommendations"]), "unknown_units_not_reported_clear")
    tags = schedules.find_run_tags(floor.instance, floor.store.read_warehouses(), BEFORE)
    job = floor.defs.resolve_implicit_global_asset_job_def()
    result = job.get_subset(asset_selection=set(), asset_check_selection={check}).execute_in_process(
        run_config=QUIET, instance=floor.instance, tags=tags, raise_on_error=False
    )
    assert "W1_PACK" in list_failures(result)["unknown_units_not_reported_clear"]


@pytest.mark.parametrize(
    ("now", "late", "passes"),
    [
        (NOW, 2, True),
        (NOW, 4, False),
        pytest.param(NOW, None, False, marks=pytest.mark.sweep),
        # In the evening of Chicago and New York: UTC is a day ahead.
        (datetime(2026, 3, 11, 0, 15, tzinfo=UTC), 0, True),
    ],
)
def test_that_no_tick_runs_is_reported(
    floor: Floor, monkeypatch: pytest.MonkeyPatch, now: datetime, late: int | None, *, passes: bool
) -> None:
    monkeypatch.setattr(Clock, "moment", now)
    if late is not None:
        # As a tick leaves it that finds nothing to alert.
        floor.ticks.write(schema.ALERTS, schema.ALERTS.make_empty().collect(), now - late * TICK)
    job = floor.defs.resolve_job_def(HEARTBEAT)
    (evaluation,) = job.execute_in_process(run_config=QUIET, instance=floor.instance).get_asset_check_evaluations()
    assert evaluation.passed is passes
    assert passes or "buffer_ticks" in (evaluation.description or "")


def test_every_step_of_a_run_has_the_master_data_that_its_first_step_read(
    alarmed: Ticked, alarmed_floor: Floor
) -> None:
    """Also in another process, and in a run that resumes it: they are stored with the run, not in a process."""
    floor, run_id = alarmed_floor, alarmed.result.run_id
    before = floor.store.read_master_data()
    with floor.store.database.begin() as connection:
        connection.execute(buffer_store.WAREHOUSES.update().values(name="renamed"))
    for parent, expected in ((run_id, before), (None, floor.store.read_master_data())):
        resumed = dg.DagsterRun(
            JOB, parent_run_id=parent, root_run_id=parent, step_keys_to_execute=[NAMES[0]] if parent else None
        )
        lake = Lake(floor.settings.storage.lake_root)
        masters, active = tick_run.read_inputs(resumed, floor.store, floor.policies, lake, since=NOW)
        assert_frame_equal(masters.warehouses, expected.warehouses)
        assert_frame_equal(masters.unit_members, expected.unit_members)
        assert active == floor.policies.read_active()
