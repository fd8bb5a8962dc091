"""What days are to follow of other DCs is stored with each comparison, and the database finds those that do not yet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final

import polars as pl
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from fillrate_assets.fillrate import demand_schema, schema
from fillrate_assets.fillrate.network_store import NETWORK_DAYS, NetworkStore
from fillrate_assets.fillrate.record_store import LEDGER, RecordStore
from fillrate_assets.fillrate.rules.change_planner import find_unfollowed
from fillrate_assets.fillrate.rules.network_factor import WEIGHT_DAYS, compute_network_versions
from fillrate_assets.storage import bulk_insert
from fillrate_assets_tests.factories.fillrate_frames import make_network_days

NOW: Final = datetime(2026, 3, 20, tzinfo=UTC)
FIRST: Final = date(2026, 3, 1)
DCS: Final = ("DC01", "DC02")
DATES: Final = [FIRST + timedelta(days=number) for number in range(WEIGHT_DAYS + 4)]
KEY: Final = ["dc", "ship_date"]
OF_DC: Final = [*KEY, "usual_version", "observed_items"]
OF_COMPARISON: Final = [*KEY, "compared_version", "factors_version", *demand_schema.FACTOR_FITS.names[len(KEY) :]]


@pytest.fixture
def known(store: RecordStore) -> NetworkStore:
    return NetworkStore(store.database)


def make_days(dates: Sequence[date], followed: int, dcs: Sequence[str] = DCS) -> pl.DataFrame:
    """`NETWORK_DAYS`: DC02 has factors on some days only, and none at all of the first."""
    fit = {"followed_cases": followed}
    none = {"factors_version": None, "followed_cases": None, "deviation_cases": None, "usual_cases": None}
    of_dc01 = [{"ship_date": day, **fit} for day in dates]
    of_dc02 = [{"dc": "DC02", "ship_date": day, **(none if day.day % 3 == 1 else fit)} for day in dates]
    return make_network_days(*of_dc01, *of_dc02).filter(pl.col("dc").is_in(list(dcs))).collect()


def record(known: NetworkStore, days: pl.DataFrame) -> None:
    known.record_usual(days.select(OF_DC), now=NOW)
    known.record_comparison(days.select(OF_COMPARISON))


def publish(known: NetworkStore, versions: pl.DataFrame, state: str = "PUBLISHED") -> None:
    """Publish days that follow some versions."""
    given = {"state": state, "run_id": "r", "checksum": "c", "records": 0, "published_at": NOW}
    counted = dict.fromkeys(("orders_lines", "shipments_lines", "snapshots_rows"), 1)
    rows = versions.lazy().with_columns(**{name: pl.lit(value) for name, value in {**given, **counted}.items()})
    ledger = schema.LEDGER.conform(
        rows.with_columns(
            pl.lit(None, schema.LEDGER.polars[name]).alias(name)
            for name in schema.LEDGER.names
            if name not in {*versions.columns, *given, *counted}
        )
    ).collect()
    with known.database.begin() as connection:
        bulk_insert.insert(connection, LEDGER, ledger.with_columns(pl.col(pl.Datetime).dt.replace_time_zone(None)))


@pytest.mark.parametrize(
    "dates",
    [pytest.param(DATES[::-1], id="latest first"), pytest.param([*DATES[1::2], *DATES[::2]], id="with gaps between")],
)
def test_what_days_are_to_follow_is_that_of_all_comparisons_in_whatever_order(
    known: NetworkStore, dates: list[date]
) -> None:
    for day in dates:
        record(known, make_days([day], followed=60))
    # A correction of dates moves the weights of the week after them.
    record(known, make_days(DATES[1:4:2], followed=-10))
    days = known.read()
    expected = compute_network_versions(days.drop("network_version").lazy()).collect()
    assert days.select(expected.columns).equals(expected)
    assert expected["network_version"].n_unique() > WEIGHT_DAYS


def test_a_comparison_that_comes_out_the_same_changes_no_row(known: NetworkStore) -> None:
    record(known, make_days(DATES, followed=60))
    before = known.read()
    assert known.record_comparison(make_days(DATES, followed=60).select(OF_COMPARISON)) == []
    assert known.read().equals(before)
    changed = known.record_comparison(make_days(DATES[:1], followed=30, dcs=["DC01"]).select(OF_COMPARISON))
    assert changed == [("DC01", FIRST)]
    moved = known.read().join(before, on=[*KEY, "network_version"], how="anti", nulls_equal=True)
    assert moved.select(KEY).rows() == [("DC01", day) for day in DATES[1 : WEIGHT_DAYS + 1]]


def test_dates_of_which_usual_demand_moved_are_read_with_the_days_before_them(known: NetworkStore) -> None:
    look_back = timedelta(days=2)
    assert known.read_moved(DCS, look_back).is_empty()
    record(known, make_days(DATES, followed=60))
    assert known.read_moved(DCS, look_back).is_empty()
    moved = make_days(DATES[4:6], followed=60, dcs=["DC02"]).with_columns(usual_version=pl.lit("another"))
    known.record_usual(moved.select(OF_DC), now=NOW)
    assert known.read_moved(DCS, look_back).equals(known.read(DCS, DATES[2], DATES[5]))
    # A DC alone has none to compare with.
    assert known.read_moved(["DC02"], look_back).is_empty()
    assert known.read_moved(["DC02", "DC09"], look_back).is_empty()


def test_published_days_that_do_not_follow_are_found_and_no_others(known: NetworkStore, store: RecordStore) -> None:
    record(known, make_days(DATES, followed=60))
    versions = known.read().select(demand_schema.NETWORK_VERSIONS.names)
    publish(known, versions.filter(pl.col("ship_date") != DATES[1]))
    publish(known, versions.filter(pl.col("ship_date") == DATES[1]), state="HELD")
    assert known.read_unfollowed(DCS).is_empty()

    record(known, make_days(DATES[:1], followed=30))
    # Of DC02 there is no factor on the fourth day, neither now nor then.
    found = known.read_unfollowed(DCS)
    assert found.select(KEY).rows() == [("DC01", day) for day in DATES[2 : WEIGHT_DAYS + 1]]
    every = compute_network_versions(known.read().lazy()).collect()
    assert [*find_unfollowed(every, store.read_ledger())] == found.select(KEY).rows()
    assert known.read_unfollowed(["DC02", "DC09"]).is_empty()
    assert known.read_unfollowed(["DC01"]).is_empty()


def test_days_that_lost_their_factors_or_got_some_are_found(known: NetworkStore) -> None:
    record(known, make_days(DATES[:1], followed=60))
    publish(known, known.read().select(*KEY, network_version=pl.lit("a version")).filter(dc="DC02"))
    publish(known, known.read().select(*KEY, network_version=pl.lit(None, pl.String)).filter(dc="DC01"))
    assert known.read_unfollowed(DCS).rows() == [("DC01", FIRST, "f 0.0000"), ("DC02", FIRST, None)]


def test_days_that_were_compared_by_an_earlier_version_get_what_they_are_to_follow(known: NetworkStore) -> None:
    for number, day in enumerate(DATES):
        record(known, make_days([day], followed=(60, -5, 7, 100)[number % 4]))
    known.record_usual(make_days([DATES[-1] + timedelta(days=1)], followed=0).select(OF_DC), now=NOW)
    days = known.read()
    config = Config()
    config.set_main_option("script_location", "fillrate_assets.storage:migrations")
    with known.database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0028")
        inspected = sa.inspect(connection).get_columns(NETWORK_DAYS.name, known.database.schema)
        assert "network_version" not in {column["name"] for column in inspected}
    known.database.upgrade()
    assert known.read().equals(days)
    assert {Decimal(version.split()[1]) for version in days["network_version"].drop_nulls()} > {Decimal(0)}
