from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.record_store import (
    OUTDATED,
    RECORDS,
    REJECTS,
    RESTATEMENTS,
    SUBSTITUTES,
    DayPublication,
    PublishResult,
    RecordStore,
)
from fillrate_assets.fillrate.rules.change_planner import VERSIONS
from fillrate_assets.fulfillment import accepted_events, transition_log
from fillrate_assets.replenishment import recommendation_store, supply_store
from fillrate_assets.storage import sql
from fillrate_assets.storage.action_log import ACTION_LOG
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql_types import ExactDecimal
from fillrate_assets.storage.tables import METADATA
from fillrate_assets_tests.factories.rows import AT, DAY, make_records, make_rejects
from fillrate_assets_tests.fixtures.home import read_stored_rows
from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS

NOW = datetime(2026, 2, 11, 6, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
EVERYTHING: set[str] = set()


def _make_day(
    *rows: dict[str, Any],
    ship_date: date = DAY,
    rejected: pl.DataFrame | None = None,
    held: str | None = None,
    lines: int | None = 3,
    shipped_at: datetime | None = None,
    read_at: datetime | None = None,
) -> DayPublication:
    source = pl.DataFrame(
        [(AT, lines, shipped_at, 0, AT, 1)],
        schema={name: schema.LEDGER.polars[name] for names in VERSIONS.values() for name in names},
        orient="row",
    )
    day = make_records(*[{"ship_date": ship_date, **row} for row in rows])
    return DayPublication(
        "DC01", ship_date, day, make_rejects() if rejected is None else rejected, source, held, read_at
    )


def _make_short(item: str, ordered: int, shipped: int) -> dict[str, Any]:
    short = Decimal(ordered - shipped)
    return {
        "item": item,
        "ordered_cases": Decimal(ordered),
        "shipped_cases": Decimal(shipped),
        "confirmed_cases": short,
        "lost_cases": short,
    }


def _inspect_schema(store: RecordStore) -> dict[str, object]:
    """Inspect tables, columns, keys, indexes and views."""
    with store.database.engine.connect() as connection:
        inspector = sa.inspect(connection)
        views = {
            name: inspector.get_view_definition(name, store.database.schema)
            for name in inspector.get_view_names(store.database.schema)
        }
        tables = {
            name: (
                [str(column) for column in inspector.get_columns(name, store.database.schema)],
                inspector.get_pk_constraint(name, store.database.schema),
                sorted(map(str, inspector.get_indexes(name, store.database.schema))),
            )
            for name in inspector.get_table_names(store.database.schema)
        }
    return {**tables, **views}


def test_the_migrations_make_exactly_the_declared_tables(store: RecordStore) -> None:
    # What is declared names no schema, so the store's has to be the one that the database takes then.
    path = {"options": f"-c search_path={store.database.schema}"} if store.database.schema else {}
    with sa.create_engine(store.database.url, connect_args=path, poolclass=sa.NullPool).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert {transition_log.TRANSITIONS, accepted_events.ACCEPTED_EVENTS, ACTION_LOG} <= {*METADATA.sorted_tables}
        assert {supply_store.SUPPLY_TERMS, recommendation_store.DECISIONS} <= {*METADATA.sorted_tables}
        assert compare_metadata(context, METADATA) == []


def test_upgrading_again_changes_nothing(store: RecordStore) -> None:
    store.publish([_make_day(_make_short("A", 10, 8))], run_id="run", now=NOW)
    before = _inspect_schema(store), read_stored_rows(store, without=EVERYTHING)
    store.database.upgrade()
    assert (_inspect_schema(store), read_stored_rows(store, without=EVERYTHING)) == before


def test_the_migrations_can_be_undone(store: RecordStore) -> None:
    whole = _inspect_schema(store)
    config = Config()
    config.set_main_option("script_location", "fillrate_assets.storage:migrations")
    with store.database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        assert sa.inspect(connection).get_table_names(store.database.schema) == ["alembic_version"]
    store.database.upgrade()
    assert _inspect_schema(store) == whole


def test_a_store_that_does_not_exist_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(PermanentFailure, match=r"record store: there is no .*; run `fillrate demo`"):
        RecordStore(Database(f"sqlite:///{tmp_path}/absent.db")).read_ledger()


@given(st.decimals(min_value=-(10**14) + 1, max_value=10**14 - 1, places=4))
def test_a_quantity_has_its_four_places(quantity: Decimal) -> None:
    table = sa.Table("quantities", sa.MetaData(), sa.Column("quantity", ExactDecimal()))
    with sa.create_engine("sqlite://").begin() as connection:
        table.create(connection)
        connection.execute(table.insert().values(quantity=quantity))
        assert connection.execute(sa.select(table.c.quantity)).scalar_one() == quantity


def test_records_come_back_as_they_were_published(store: RecordStore) -> None:
    largest = Decimal("99999999999999.9999")
    published = _make_day(
        {"item": "A", "ordered_cases": largest, "shipped_cases": Decimal("0.0001"), "fill_rate": Decimal("0.3333")},
        {"item": "B", "vendor": None, "baseline_cases": None, "fill_rate": None, "reason_code": None, "imputed": True},
        {"item": "É'%", "department": "Käse & Co"},
    )
    store.publish([published], run_id="run", now=NOW)
    found = store.read_records("DC01", DAY)
    schema.LOST_CASES.validate(found)
    assert found.equals(published.records)


@pytest.mark.parametrize("text", ["\\.", "\\N", "a\tb", "a\nb\r\n\\.\nc", "\\", '"', "a,b", " ", "Ω 𝄞"])
def test_no_text_is_mistaken_for_a_separator(store: RecordStore, text: str) -> None:
    published = _make_day({"item": text, "vendor": text, "department": None}, {"item": "Z"})
    store.publish([published], run_id="run", now=NOW)
    with store.database.engine.connect() as connection:
        rows = connection.execute(sa.select(RECORDS.c.item, RECORDS.c.vendor, RECORDS.c.department)).all()
    assert set(map(tuple, rows)) == {(text, text, None), ("Z", "V1", "Dry Grocery")}


def test_a_record_says_which_run_made_it_and_what_of_the_sources_it_knows(store: RecordStore) -> None:
    shipped_at = AT + timedelta(hours=5)
    store.publish([_make_day(_make_short("A", 10, 8), shipped_at=shipped_at)], run_id="run 1", now=NOW)
    with store.database.engine.connect() as connection:
        (stamp,) = connection.execute(sa.select(RECORDS.c.run_id, RECORDS.c.source_watermark))
    assert tuple(stamp) == ("run 1", shipped_at.replace(tzinfo=None))


def test_totals_are_exact_sums_by_day(store: RecordStore) -> None:
    tenth, day = Decimal("0.1"), DAY + timedelta(days=1)
    many = [{"item": str(number), "ordered_cases": tenth, "shipped_cases": tenth} for number in range(10)]
    store.publish([_make_day(*many), _make_day(_make_short("A", 3, 1), ship_date=day)], run_id="run", now=NOW)
    assert store.read_totals("DC01", DAY, day).sort("ship_date").rows() == [
        ("DC01", DAY, Decimal(1), Decimal(1)),
        ("DC01", day, Decimal(3), Decimal(1)),
    ]
    assert store.read_totals("DC01", day, day)["ship_date"].to_list() == [day]
    assert store.read_totals("DC02", DAY, day).is_empty()


def test_a_first_publication_is_no_restatement(store: RecordStore) -> None:
    (outcome,) = store.publish([_make_day(_make_short("A", 10, 8))], run_id="run", now=NOW)
    assert (outcome.changed, outcome.restated, outcome.newly_held) == (True, 0, False)
    assert store.count(RESTATEMENTS) == 0
    (entry,) = store.read_ledger("DC01").to_dicts()
    assert entry["checksum"] is not None
    assert {name: entry[name] for name in entry if name != "checksum"} == {
        "dc": "DC01",
        "ship_date": DAY,
        "orders_processed_at": AT,
        "orders_lines": 3,
        "shipments_processed_at": None,
        "shipments_lines": 0,
        "snapshots_at": AT,
        "snapshots_rows": 1,
        "network_version": None,
        "records": 1,
        "state": "PUBLISHED",
        "reason": None,
        "run_id": "run",
        "published_at": NOW,
    }


def test_the_ledger_says_what_records_were_made_with_of_other_dcs(store: RecordStore) -> None:
    day = _make_day(_make_short("A", 10, 8))
    for version in ("f 0.1", "g 0.1", None):
        (outcome,) = store.publish([replace(day, network_version=version)], run_id="run", now=NOW)
        assert store.read_ledger("DC01")["network_version"].to_list() == [version]
        assert outcome.restated == 0
    store.publish([replace(day, network_version="f 0.1")], run_id="run", now=NOW)
    # A held day has its last good records, and what these were made with.
    store.publish([replace(day, network_version="g 0.1", held="no snapshot")], run_id="run", now=LATER)
    assert store.read_ledger("DC01").select("network_version", "state").row(0) == ("f 0.1", "HELD")


def test_the_same_day_again_changes_and_logs_nothing(store: RecordStore) -> None:
    rejected = make_rejects({})
    store.publish(
        [_make_day(_make_short("A", 10, 8), _make_short("B", 5, 5), rejected=rejected)], run_id="first", now=NOW
    )
    before = read_stored_rows(store, without=EVERYTHING)
    # The order in which a computation happens to return records says nothing.
    again = _make_day(_make_short("B", 5, 5), _make_short("A", 10, 8), rejected=rejected)
    (outcome,) = store.publish([again], run_id="second", now=LATER)
    assert (outcome.changed, outcome.restated) == (False, 0)
    assert read_stored_rows(store, without=EVERYTHING) == before


def test_a_correction_replaces_the_day_and_logs_every_value_it_changed(store: RecordStore) -> None:
    other = _make_day(_make_short("A", 7, 7), ship_date=DAY - timedelta(days=1))
    store.publish(
        [_make_day(_make_short("A", 10, 8), _make_short("GONE", 4, 0), _make_short("SAME", 5, 5)), other],
        run_id="r1",
        now=NOW,
    )
    corrected = _make_day(_make_short("A", 10, 9), _make_short("NEW", 1, 1), _make_short("SAME", 5, 5), lines=4)
    (outcome,) = store.publish([corrected], run_id="r2", now=LATER)
    assert store.read_records("DC01", DAY)["item"].to_list() == ["A", "NEW", "SAME"]
    assert store.read_records("DC01", other.ship_date).equals(other.records)
    by_orders = "orders, shipments or snapshot of the day corrected"
    logged = [row for item in ("A", "GONE", "NEW", "SAME") for row in store.read_restatements("DC01", DAY, item).rows()]
    expected = [
        ("A", "confirmed_cases", "2.0000", "1.0000"),
        ("A", "lost_cases", "2.0000", "1.0000"),
        ("A", "shipped_cases", "8.0000", "9.0000"),
        ("GONE", "record", "present", "absent"),
        ("NEW", "record", "absent", "present"),
    ]
    assert logged == [("DC01", DAY, *values, by_orders, "r2", LATER) for values in expected]
    assert (outcome.changed, outcome.restated) == (True, len(expected))


def test_records_that_a_correction_leaves_as_they_were_are_still_those_of_their_run(store: RecordStore) -> None:
    store.publish([_make_day(_make_short("A", 10, 8), _make_short("B", 5, 5))], run_id="r1", now=NOW)
    store.publish([_make_day(_make_short("A", 10, 9), _make_short("B", 5, 5))], run_id="r2", now=LATER)
    with store.database.engine.connect() as connection:
        stamps = connection.execute(sa.select(RECORDS.c.item, RECORDS.c.run_id).order_by("item")).all()
    assert [tuple(stamp) for stamp in stamps] == [("A", "r2"), ("B", "r1")]


@pytest.mark.parametrize("corrected", [1, sql.MAX_BINDS, sql.MAX_BINDS + 1])
def test_a_correction_is_the_same_however_many_records_it_changes(store: RecordStore, corrected: int) -> None:
    items = [str(number) for number in range(sql.MAX_BINDS + 1)]
    store.publish([_make_day(*[_make_short(item, 10, 8) for item in items])], run_id="r1", now=NOW)
    day = _make_day(*[_make_short(item, 10, 9 if number < corrected else 8) for number, item in enumerate(items)])
    (outcome,) = store.publish([day], run_id="r2", now=LATER)
    assert store.read_records("DC01", DAY).equals(day.records.sort("item"))
    assert outcome.restated == store.count(RESTATEMENTS) == 3 * corrected


def test_a_second_correction_is_logged_after_the_first(store: RecordStore) -> None:
    for run, shipped in (("r1", 8), ("r2", 9), ("r3", 10)):
        store.publish([_make_day(_make_short("A", 10, shipped))], run_id=run, now=NOW)
    log = store.read_restatements("DC01", DAY, "A").filter(field="shipped_cases")
    assert log.select("before", "after", "run_id").rows() == [("8.0000", "9.0000", "r2"), ("9.0000", "10.0000", "r3")]


def test_new_source_versions_with_the_same_result_only_move_the_ledger(store: RecordStore) -> None:
    store.publish([_make_day(_make_short("A", 10, 8), lines=3)], run_id="first", now=NOW)
    before = read_stored_rows(store, without=EVERYTHING)
    (outcome,) = store.publish([_make_day(_make_short("A", 10, 8), lines=4)], run_id="second", now=LATER)
    after = read_stored_rows(store, without=EVERYTHING)
    assert (outcome.changed, outcome.restated) == (False, 0)
    assert {name: rows for name, rows in after.items() if rows != before[name]}.keys() == {"ledger"}
    assert store.read_ledger()["orders_lines"].to_list() == [4]


def test_a_held_day_retains_its_last_good_records_and_shows_its_own_rejects(store: RecordStore) -> None:
    good = _make_day(_make_short("A", 10, 8), rejected=make_rejects({}))
    store.publish([good], run_id="first", now=NOW)
    before = read_stored_rows(store, without=EVERYTHING)
    held = _make_day(held="no snapshot", lines=5, rejected=make_rejects({"reason": "no item"}))
    (outcome,) = store.publish([held], run_id="second", now=LATER)
    after = read_stored_rows(store, without=EVERYTHING)
    assert (outcome.changed, outcome.restated, outcome.newly_held) == (False, 0, True)
    assert {name: rows for name, rows in after.items() if rows != before[name]}.keys() == {"ledger", "rejects"}
    (entry,) = store.read_ledger().to_dicts()
    assert (entry["state"], entry["reason"], entry["records"], entry["orders_lines"]) == ("HELD", "no snapshot", 1, 5)


@pytest.mark.parametrize("held", [None, "no snapshot"])
@pytest.mark.parametrize("read_at", [None, NOW - timedelta(minutes=1)])
def test_a_result_of_older_sources_that_comes_later_changes_no_record_and_requests_the_day_again(
    store: RecordStore, held: str | None, read_at: datetime | None
) -> None:
    store.publish([_make_day(_make_short("A", 10, 9), lines=4)], run_id="newer", now=NOW)
    before, (published,) = read_stored_rows(store, without=EVERYTHING), store.read_ledger().to_dicts()
    older = _make_day(_make_short("A", 10, 8), lines=3, held=held, read_at=read_at, rejected=make_rejects({}))
    for _ in range(2):
        (outcome,) = store.publish([older], run_id="older", now=LATER)
        assert (outcome.changed, outcome.held, outcome.newly_held, outcome.records) == (False, OUTDATED, False, 1)
    after = read_stored_rows(store, without=EVERYTHING)
    assert {name for name, rows in after.items() if rows != before[name]} == {"ledger"}
    assert store.read_ledger().to_dicts() == [published | {"state": "HELD", "reason": OUTDATED}]
    store.publish([_make_day(_make_short("A", 10, 9), lines=4)], run_id="again", now=LATER)
    assert store.read_ledger()["state"].to_list() == ["PUBLISHED"]
    assert store.count(RESTATEMENTS) == 0


def test_a_day_awaits_newer_substitutes_with_its_records_until_it_is_computed_anew(store: RecordStore) -> None:
    # Decision 0160.
    day, held = _make_day(_make_short("A", 10, 8)), _make_day(ship_date=DAY + timedelta(days=1), held="no snapshot")
    store.publish([day, held], run_id="run", now=NOW)
    never = PartitionKey("DC01", DAY + timedelta(days=2))
    store.await_substitutes([never, *(PartitionKey(each.dc, each.ship_date) for each in (day, held))])
    assert store.read_ledger()["reason"].to_list() == [SUBSTITUTES, "no snapshot"]
    only_depends = replace(_make_day(_make_short("A", 10, 7)), only_depends=True)
    store.publish([only_depends], run_id="of an earlier day", now=LATER)
    assert store.read_ledger()["reason"].to_list() == [SUBSTITUTES, "no snapshot"]
    assert store.read_records("DC01", DAY)["shipped_cases"].to_list() == [8]
    store.publish([_make_day(_make_short("A", 10, 7))], run_id="again", now=LATER)
    assert store.read_ledger()["state"].to_list() == ["PUBLISHED", "HELD"]
    assert store.read_records("DC01", DAY)["shipped_cases"].to_list() == [7]


def test_of_two_first_publications_at_the_same_moment_the_newer_sources_win(store: RecordStore) -> None:
    # Decision 0041.
    days = [DAY + timedelta(days=number) for number in range(30)]
    both = Barrier(2)

    def begin_together(_: sa.Connection) -> None:
        with suppress(BrokenBarrierError):
            both.wait(PATIENCE_SECONDS)

    def publish(lines: int) -> list[PublishResult]:
        published = [_make_day(_make_short("A", 10, 5 + lines), ship_date=day, lines=lines) for day in days]
        try:
            return store.publish(published, run_id=f"run {lines}", now=NOW)
        finally:
            both.abort()

    sa.event.listen(store.database.engine, "begin", begin_together)
    with ThreadPoolExecutor(2) as pool:
        older, newer = pool.map(publish, (3, 4))
    for first, second in zip(older, newer, strict=True):
        # The one that comes second reads the first: it is restated, or has been outrun.
        assert (first.held, second.restated > 0) in {(None, True), (OUTDATED, False)}
    assert [store.read_records("DC01", day)["shipped_cases"].to_list() for day in days] == [[Decimal(9)]] * len(days)
    assert store.read_ledger()["reason"].to_list() == [each.held for each in older]


def test_rows_that_are_gone_from_a_source_are_no_older_version_to_a_run_that_read_since(store: RecordStore) -> None:
    # Decision 0041.
    store.publish([_make_day(_make_short("A", 10, 9), lines=4)], run_id="first", now=NOW)
    fewer = _make_day(_make_short("A", 5, 5), lines=3, read_at=NOW + timedelta(minutes=1))
    (outcome,) = store.publish([fewer], run_id="second", now=LATER)
    assert (outcome.changed, outcome.held) == (True, None)
    assert store.read_ledger()["orders_lines"].to_list() == [3]


def test_a_day_is_newly_held_once_for_each_reason(store: RecordStore) -> None:
    reasons = ["no snapshot", "no snapshot", "too many missing", None, "too many missing"]
    outcomes = [store.publish([_make_day(held=reason)], run_id="run", now=NOW)[0].newly_held for reason in reasons]
    assert outcomes == [True, False, True, False, True]


def test_a_day_released_with_the_records_it_had_restates_nothing(store: RecordStore) -> None:
    for held in (None, "no snapshot", None):
        store.publish([_make_day(_make_short("A", 10, 8), held=held)], run_id="run", now=NOW)
    assert store.count(RESTATEMENTS) == 0
    assert store.read_ledger()["state"].to_list() == ["PUBLISHED"]


def test_a_day_released_with_other_records_restates_what_was_published_before_it_was_held(store: RecordStore) -> None:
    for held, shipped in ((None, 8), ("no snapshot", 0), (None, 9)):
        store.publish([_make_day(_make_short("A", 10, shipped), held=held)], run_id="run", now=NOW)
    log = store.read_restatements("DC01", DAY, "A").filter(field="shipped_cases")
    assert log.select("before", "after").rows() == [("8.0000", "9.0000")]


def test_a_day_held_from_the_start_is_first_published_when_it_is_released(store: RecordStore) -> None:
    store.publish([_make_day(held="no snapshot")], run_id="first", now=NOW)
    assert (store.count(RECORDS), store.read_ledger()["checksum"].to_list()) == (0, [None])
    (outcome,) = store.publish([_make_day(_make_short("A", 10, 8))], run_id="second", now=LATER)
    assert (outcome.changed, outcome.restated) == (True, 0)
    assert store.count(RECORDS) == 1


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(
            _make_day(_make_short("A", 9, 9), _make_short("B", 1, 1), _make_short("B", 1, 1)), id="a record twice"
        ),
        pytest.param(
            _make_day(_make_short("A", 9, 9), rejected=make_rejects({}, {"reason": None})),
            id="a reject without a reason",
        ),
        pytest.param(
            _make_day(_make_short("A", 9, 9), lines=None, read_at=LATER), id="a ledger without a number of lines"
        ),
    ],
)
def test_a_day_is_published_whole_or_not_at_all(store: RecordStore, broken: DayPublication) -> None:
    good = _make_day(
        _make_short("A", 10, 8), _make_short("GONE", 4, 0), rejected=make_rejects({"reason": "no ordered quantity"})
    )
    store.publish([good], run_id="first", now=NOW)
    before = read_stored_rows(store, without=EVERYTHING)
    with pytest.raises(PermanentFailure, match=r"record store .* refused: "):
        store.publish([broken], run_id="second", now=LATER)
    assert read_stored_rows(store, without=EVERYTHING) == before


def test_days_published_before_one_that_fails_stay(store: RecordStore) -> None:
    first, broken, last = (DAY + timedelta(days=number) for number in range(3))
    days = [
        _make_day(_make_short("A", 10, 8), ship_date=first),
        _make_day(_make_short("A", 1, 1), _make_short("A", 1, 1), ship_date=broken),
        _make_day(_make_short("A", 10, 8), ship_date=last),
    ]
    with pytest.raises(PermanentFailure, match="refused"):
        store.publish(days, run_id="run", now=NOW)
    assert store.read_ledger()["ship_date"].to_list() == [first]
    assert store.count(RECORDS) == 1


def _read_reasons(store: RecordStore) -> list[tuple[str, str]]:
    with store.database.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.select(REJECTS.c.stage, REJECTS.c.reason).order_by("id"))]


def test_rejects_of_a_run_are_replaced_and_those_of_the_loader_stay(store: RecordStore) -> None:
    store.add_rejects(make_rejects({"reason": "line_no 'x' is not a number"}), run_id="load")
    store.publish([_make_day(rejected=make_rejects({"reason": "no item"}))], run_id="first", now=NOW)
    store.publish([_make_day(rejected=make_rejects({"reason": "no pack size"}))], run_id="second", now=LATER)
    assert _read_reasons(store) == [("load", "line_no 'x' is not a number"), ("run", "no pack size")]


def test_a_reject_longer_than_its_columns_is_stored_with_its_whole_row(store: RecordStore) -> None:
    long = {"key": "k" * 300, "reason": "r" * 1001, "raw": "{" + "x" * 5000}
    store.publish([_make_day(rejected=make_rejects(long))], run_id="run", now=NOW)
    assert [store.add_rejects(make_rejects(long), run_id="load") for _ in range(2)] == [1, 0]
    with store.database.engine.connect() as connection:
        rows = connection.execute(sa.select(REJECTS.c.key, REJECTS.c.reason, REJECTS.c.raw)).all()
    assert list(map(tuple, rows)) == [("k" * 255, "r" * 1000, long["raw"])] * 2


def test_a_loader_reject_is_stored_once(store: RecordStore) -> None:
    placeless = {"dc": None, "ship_date": None, "key": None, "reason": "no DC"}
    assert store.add_rejects(make_rejects(placeless, placeless, {}), run_id="load") == 2
    assert store.add_rejects(make_rejects(placeless, {}), run_id="load") == 0
    assert _read_reasons(store) == [("load", "no DC"), ("load", "no item")]


def test_dcs_and_waivers_are_added_or_changed_by_key(store: RecordStore) -> None:
    dc = {"dc": "DC01", "name": "Reno", "time_zone": "America/Los_Angeles", "active": True}
    store.add_dcs(pl.DataFrame([dc, {**dc, "dc": "DC02"}], schema=schema.DCS.polars))
    store.add_dcs(pl.DataFrame([{**dc, "active": False}], schema=schema.DCS.polars))
    assert store.read_dcs().select("dc", "active").rows() == [("DC01", False), ("DC02", True)]
    waiver = {"reason_code": "12", "valid_from": DAY, "valid_to": None}
    for valid_to in (None, DAY):
        store.add_waivers(pl.DataFrame([{**waiver, "valid_to": valid_to}], schema=schema.WAIVERS.polars))
    assert store.read_waivers().rows() == [("12", DAY, DAY)]


def test_the_first_records_of_a_day_that_was_published_without_any_are_no_restatements(store: RecordStore) -> None:
    store.publish([_make_day(lines=0)], run_id="before its orders", now=NOW)
    rows = [_make_short("A", 10, 8), _make_short("B", 5, 1)]
    (first,) = store.publish([_make_day(*rows)], run_id="first", now=LATER)
    assert (first.changed, first.records, first.restated) == (True, 2, 0)
    assert store.count(RESTATEMENTS) == 0
    (second,) = store.publish([_make_day(rows[0])], run_id="second", now=LATER)
    assert second.restated == 1
    store.publish([_make_day()], run_id="none", now=LATER)
    # It had records: that they come back is one.
    (last,) = store.publish([_make_day(*rows)], run_id="last", now=LATER)
    assert last.restated == 2


def test_a_tick_reads_the_ledger_of_some_dcs_and_of_late_days(store: RecordStore) -> None:
    older, newer = date(2026, 1, 4), date(2026, 2, 1)
    days = [replace(_make_day(ship_date=day), dc=dc) for dc in ("DC01", "DC02") for day in (older, newer)]
    store.publish([replace(day, records=day.records.clear()) for day in days], run_id="r1", now=AT)

    def read(dcs: set[str], since: date | None = None) -> list[tuple[str, date]]:
        return store.read_ledger_of(dcs, since).select("dc", "ship_date").rows()

    assert read(set()) == []
    assert read({"DC01"}) == [("DC01", older), ("DC01", newer)]
    assert read({"DC01"}, newer) == [("DC01", older), ("DC01", newer), ("DC02", newer)]
    assert store.read_ledger_of({"DC01", "DC02"}).equals(store.read_ledger())
    assert len(read({f"DC{number}" for number in range(501)})) == 4
    assert store.read_held_days() == []
    store.publish([replace(days[0], held="why")], run_id="r2", now=LATER)
    assert store.read_held_days() == [("DC01", older)]
