from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.buffer_store import BufferStore
from fillrate_assets.buffers.rules import tick
from fillrate_assets.buffers.rules.policy import Policy
from fillrate_assets.buffers.rules.tick import Feeds, InMemoryTickStore, MasterData
from fillrate_assets.core.errors import ContractViolation, PermanentFailure
from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.sample.floor.load import Load
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.factories.buffers_frames import make_feedback
from fillrate_assets_tests.factories.buffers_frames import make_tick as at
from fillrate_assets_tests.fixtures.embedded import create_database

LOAD: Final = Load(warehouses=2, units=6)
MASTERS: Final = LOAD.build_master_data()
FIRST: Final = "W0001"
SECOND: Final = "W0002"
TABLES: Final = {
    "warehouses": schema.WAREHOUSES,
    "unit_members": schema.UNIT_MEMBERS,
    "shifts": schema.SHIFTS,
    "alert_routes": schema.ALERT_ROUTES,
}


@pytest.fixture
def buffers(store: RecordStore) -> BufferStore:
    """The sample's master tables on each database that is at hand."""
    made = BufferStore(store.database)
    made.merge_master_data(MASTERS)
    return made


@pytest.fixture
def on_sqlite(tmp_path: Path) -> BufferStore:
    made = BufferStore(create_database(f"sqlite:///{tmp_path}/record_store.db"))
    made.merge_master_data(MASTERS)
    return made


def _run(buffers: BufferStore, statement: str) -> None:
    """Run plain SQL, as at a console would."""
    with buffers.database.engine.begin() as connection:
        if buffers.database.schema:
            connection.exec_driver_sql(f"SET LOCAL search_path TO {buffers.database.schema}")
        assert connection.exec_driver_sql(statement).rowcount == 1


def _assert_same(found: MasterData, expected: MasterData) -> None:
    for name, frame in TABLES.items():
        rows: pl.DataFrame = getattr(found, name)
        frame.validate(rows)
        assert rows.equals(getattr(expected, name).sort(frame.key)), name


def test_masters_come_back_as_they_were_added(buffers: BufferStore) -> None:
    _assert_same(buffers.read_master_data(), MASTERS)
    assert buffers.read_master_data().rejects.is_empty()


def test_adding_masters_again_changes_what_is_there_and_leaves_the_rest(buffers: BufferStore) -> None:
    renamed = MASTERS.warehouses.head(1).with_columns(name=pl.lit("Käse's \\ new\thall"), active=pl.lit(value=False))
    later = MASTERS.shifts.head(3).with_columns(ends=pl.lit(time(23, 59, 30)))
    weighed = MASTERS.unit_members.head(2).with_columns(weight=pl.lit(0.123456789))
    nothing = {name: frame.make_empty().collect() for name, frame in TABLES.items()}
    news = MasterData(**{**nothing, "warehouses": renamed, "shifts": later, "unit_members": weighed})
    for _ in range(2):
        buffers.merge_master_data(news)
    changed = {
        name: pl.concat([getattr(news, name), getattr(MASTERS, name)]).unique(frame.key, keep="first")
        for name, frame in TABLES.items()
    }
    _assert_same(buffers.read_master_data(), MasterData(**changed))


def test_one_statement_onboards_a_warehouse_and_one_its_unit(buffers: BufferStore) -> None:
    _run(buffers, "INSERT INTO warehouse VALUES ('W9', 'DC01', 'Nine', 'Europe/Berlin', TRUE)")
    _run(buffers, "INSERT INTO unit_member VALUES ('W9_PACK_P1', 'P1', 'LEVEL', 0.5, '2026-01-01', NULL)")
    _run(buffers, "INSERT INTO shift VALUES ('W9', 'PACK', 1, '06:00', '14:30')")
    found = buffers.read_master_data()
    assert found.rejects.is_empty()
    assert found.warehouses.row(by_predicate=pl.col("warehouse") == "W9") == (
        *("W9", "DC01", "Nine", "Europe/Berlin"),
        True,
    )
    member = found.unit_members.row(by_predicate=pl.col("unit_id") == "W9_PACK_P1", named=True)
    assert (member["weight"], member["valid_from"].isoformat()) == (0.5, "2026-01-01T00:00:00+00:00")
    shift = found.shifts.row(by_predicate=pl.col("warehouse") == "W9", named=True)
    assert (shift["starts"], shift["ends"]) == (time(6), time(14, 30))
    assert found.warehouses.height == MASTERS.warehouses.height + 1
    assert buffers.read_warehouses().equals(found.warehouses)


def test_one_statement_routes_alerts_elsewhere(buffers: BufferStore) -> None:
    _run(buffers, "UPDATE alert_route SET channel = 'slack:floor', updated_by = 'kim'")
    _run(
        buffers,
        "INSERT INTO alert_route VALUES ('W9', 'PACK', '*', 'EMERGENCY', 'sns:arn:aws:sns:eu-central-1:1:boss',"
        " '2026-03-10 15:05:00', '2026-03-11 15:05:00', 'kim')",
    )
    found = buffers.read_master_data()
    assert found.alert_routes.select("warehouse", "channel").rows() == [
        ("*", "slack:floor"),
        ("W9", "sns:arn:aws:sns:eu-central-1:1:boss"),
    ]
    assert found.rejects.is_empty()


_WAREHOUSE: Final = "UPDATE warehouse SET {} WHERE warehouse = 'W0001'"
_ROUTE: Final = "UPDATE alert_route SET {}"
_MEMBER: Final = "UPDATE unit_member SET {} WHERE unit_id = 'W0001_PACK_TOTAL' AND role = 'LEVEL'"
_SHIFT: Final = "INSERT INTO shift VALUES ('W0001', 'PACK', {})"


@pytest.mark.parametrize(
    ("statement", "reason", "left_out"),
    [
        (_WAREHOUSE.format("time_zone = 'Mars/Base'"), "time_zone Mars/Base does not exist: UTC is taken", None),
        (_WAREHOUSE.format("time_zone = ''"), "time_zone is empty", "warehouses"),
        (_WAREHOUSE.format("dc = ' '"), "dc is empty", "warehouses"),
        (_WAREHOUSE.format("dc = '../DC01'"), "dc ../DC01 cannot name a folder", "warehouses"),
        (
            _ROUTE.format("min_severity = 'LOUD'"),
            "min_severity LOUD is none of WARN, ACT and EMERGENCY",
            "alert_routes",
        ),
        (
            _ROUTE.format("unit_type = 'LINE'"),
            "unit_type LINE is none of *, TOTAL, INDUCT, PACK and LANE",
            "alert_routes",
        ),
        (_ROUTE.format("channel = ''"), "channel is empty", "alert_routes"),
        (_SHIFT.format("0, '06:00', '14:00'"), "weekday 0 is none of 1 to 7", "shifts"),
        (
            "INSERT INTO warehouse VALUES (' W0001', 'DC01', 'One', 'UTC', TRUE)",
            "the same key is there twice",
            "warehouses",
        ),
    ],
)
def test_a_row_that_makes_no_sense_is_rejected_and_takes_no_other_with_it(
    on_sqlite: BufferStore, feeds: Feeds, statement: str, reason: str, left_out: str | None
) -> None:
    _run(on_sqlite, statement)
    found = on_sqlite.read_master_data()
    assert found.rejects["reason"].to_list() == [reason]
    added = statement.startswith("INSERT")
    for name in TABLES:
        assert getattr(found, name).height == getattr(MASTERS, name).height - (name == left_out and not added), name
    assert on_sqlite.read_warehouses().equals(found.warehouses)
    assert _compute_units(SECOND, found, feeds).equals(_compute_units(SECOND, MASTERS, feeds))


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        (_WAREHOUSE.format("active = 'perhaps'"), "active 'perhaps' is not Y or N"),
        (
            _MEMBER.format("valid_to = 'soon'"),
            "valid_to 'soon' is not a time (YYYY-MM-DD HH:MM:SS, UTC)",
        ),
        (
            _MEMBER.format("weight = 'half', valid_from = 'soon'"),
            "weight 'half' is not a number; valid_from 'soon' is not a time (YYYY-MM-DD HH:MM:SS, UTC)",
        ),
        (_SHIFT.format("2, 'six', '14:00'"), "starts 'six' is not a time of day (HH:MM)"),
        (_ROUTE.format("active_to = 'never'"), "active_to 'never' is not a time (YYYY-MM-DD HH:MM:SS, UTC)"),
    ],
)
def test_a_value_that_no_column_can_hold_is_rejected_and_takes_no_other_row_with_it(
    on_sqlite: BufferStore, feeds: Feeds, statement: str, reason: str
) -> None:
    _run(on_sqlite, statement)
    found = on_sqlite.read_master_data()
    assert found.rejects["reason"].to_list() == [reason]
    assert _compute_units(SECOND, found, feeds).equals(_compute_units(SECOND, MASTERS, feeds))


def test_a_url_in_place_of_a_channel_is_not_shown(on_sqlite: BufferStore) -> None:
    _run(on_sqlite, _ROUTE.format("min_severity = 'LOUD', channel = 'slack:https://hooks.example/key'"))
    assert on_sqlite.read_master_data().rejects["key"].str.contains("slack:...", literal=True).to_list() == [True]


def test_what_nobody_changed_is_judged_once_and_one_statement_changes_the_next_reading(buffers: BufferStore) -> None:
    before = buffers.read_master_data()
    assert buffers.read_master_data() is before
    _run(buffers, _WAREHOUSE.format("name = 'Renamed'"))
    after = buffers.read_master_data()
    assert after.warehouses["name"].to_list() == ["Renamed", *before.warehouses["name"][1:]]
    _run(buffers, _WAREHOUSE.format(f"name = '{before.warehouses['name'][0]}'"))
    _assert_same(buffers.read_master_data(), MASTERS)


@pytest.fixture(scope="module")
def feeds() -> Feeds:
    """What the first two ticks receive."""
    received = [LOAD.simulate_received(number).by_name.values() for number in (1, 2)]
    return Feeds(*(pl.concat([rows for rows in feed if rows is not None]) for feed in zip(*received, strict=True)))


def _compute_units(warehouse: str, masters: MasterData, feeds: Feeds) -> pl.DataFrame:
    """Compute the units of one warehouse at a tick."""
    store, now = InMemoryTickStore(), LOAD.get_snapshot_ts(2)
    tick.run_tick(feeds, masters, store, snapshot_ts=now, policy=Policy())
    return store.read(schema.UNIT_TIMESERIES, now, now).filter(pl.col("warehouse") == warehouse).collect()


def test_a_unit_is_not_judged_without_a_member_that_cannot_be_read(on_sqlite: BufferStore, feeds: Feeds) -> None:
    unit = pl.col("unit_id") == f"{FIRST}_PACK_TOTAL"

    def get_quality() -> pl.Series:
        return _compute_units(FIRST, on_sqlite.read_master_data(), feeds).sort(unit)["quality"]

    assert "UNKNOWN" not in get_quality().to_list()
    _run(on_sqlite, _MEMBER.format("valid_from = 'soon'"))
    assert (get_quality() == "UNKNOWN").to_list() == [False] * 5 + [True]


# --- feedback


def _make_answer(**values: Any) -> Mapping[str, Any]:  # noqa: ANN401 - any column
    return make_feedback(values).row(0, named=True)


def test_an_answer_is_stored_once_and_every_version_of_it(buffers: BufferStore) -> None:
    said = _make_answer(note="Köln: \\ it was\na jam", actual_quantity=2.125)
    changed = {**said, "answered_at": at(2), "answer": "WRONG_QTY"}
    other = {**said, "responder": "sam"}
    assert [buffers.add_feedback(row) for row in (said, said, changed, other, changed)] == [
        *(True, False, True),
        *(True, False),
    ]
    found = buffers.read_feedback(at(0))
    schema.FEEDBACK.validate(found)
    assert found.to_dicts() == [said, changed, other]


def test_feedback_is_read_since_a_moment(buffers: BufferStore) -> None:
    moments: list[datetime] = [at(1), at(2) - timedelta(microseconds=1), at(2), at(3)]
    for moment in moments:
        buffers.add_feedback(_make_answer(answered_at=moment))
    assert buffers.read_feedback(at(2))["answered_at"].to_list() == moments[2:]
    assert buffers.read_feedback(at(4)).is_empty()


def test_an_answer_that_is_not_whole_is_refused(on_sqlite: BufferStore) -> None:
    with pytest.raises(ContractViolation, match="buffer_feedback: 1 rows without answer"):
        on_sqlite.add_feedback({**_make_answer(), "answer": None})
    assert on_sqlite.read_feedback(at(0)).is_empty()


def test_a_store_that_does_not_exist_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(PermanentFailure, match=r"record store: there is no .*; run `fillrate demo`"):
        BufferStore(Database(f"sqlite:///{tmp_path}/absent.db")).read_master_data()


def test_no_url_is_shown(on_sqlite: BufferStore) -> None:
    assert "s3cret" not in repr(replace(on_sqlite, database=Database("mssql+pymssql://writer:s3cret@host/records")))
