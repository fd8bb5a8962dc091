"""Stock buffers through Dagster, on a network whose DC has been at work for a month."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from fillrate_assets.orchestration import partitions
from fillrate_assets.replenishment import schema
from fillrate_assets.replenishment.defs.assets import TABLES
from fillrate_assets.replenishment.recommendation_store import RecommendationStore
from fillrate_assets.replenishment.rules.scoring import add_up_service, sum_service
from fillrate_assets.replenishment.supply_store import SupplyStore
from fillrate_assets_tests.conftest import DC, SHORT_TERMS, SMALL, clear_environment, copy_home
from fillrate_assets_tests.factories.replenishment_frames import make_frame
from fillrate_assets_tests.fixtures.home import Home
from fillrate_assets_tests.fixtures.instances import open_in_memory

pytestmark = pytest.mark.slow

REJECT = {
    **dict.fromkeys(("dc", "item", "vendor", "department")),
    "table": "supply_terms",
    "reason": "moq is negative",
    "raw": "{}",
}
LAST = SMALL.ship_days[-1]
AREA = "stock_buffer_recommendations"


def read(home: Home) -> dict[str, pl.DataFrame]:
    return {table.name: home.lake.scan(table).collect().sort(table.key) for table in TABLES.values()}


@dataclass(frozen=True)
class Made:
    """A home with stock buffers of all its days, of which the first and the last were made again by themselves."""

    home: Home
    before: dict[str, pl.DataFrame]
    again: tuple[dg.ExecuteInProcessResult, dg.ExecuteInProcessResult]

    @property
    def store(self) -> RecommendationStore:
        return RecommendationStore(self.home.store.database)


@pytest.fixture(scope="module")
def made(stock_buffers_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """Made once: tests only read it."""
    home = Home(copy_home(stock_buffers_template, tmp_path_factory.mktemp("made")))
    before = read(home)
    with pytest.MonkeyPatch.context() as monkeypatch, open_in_memory() as instance:
        clear_environment(monkeypatch)
        first, last = (home.make_stock_buffers(instance, DC, day) for day in (SMALL.first, LAST))
        yield Made(home, before, (first, last))


def find_failed(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    return {
        f"{each.asset_key.path[-1]}.{each.check_name}": str(each.description)
        for each in result.get_asset_check_evaluations()
        if not each.passed
    }


def test_a_day_made_again_by_itself_is_the_same(made: Made) -> None:
    for name, rows in read(made.home).items():
        assert_frame_equal(rows, made.before[name])


def test_what_is_stored_is_as_it_is_declared_and_errors_are_of_periods_that_are_past(made: Made) -> None:
    for table in TABLES.values():
        table.validate(made.before[table.name])
    errors = made.before["forecast_errors"]
    assert errors.height > 0
    assert errors.filter(pl.col("ship_date") != pl.col("made_on") + pl.duration(days=3)).is_empty()


def test_the_latest_day_of_a_dc_is_in_the_record_store(made: Made) -> None:
    assert made.store.find_latest() == {DC: LAST}
    stored, of_day = made.store.read_latest([DC]), made.before[AREA].filter(ship_date=LAST)
    assert_frame_equal(stored, of_day)
    assert stored["order_up_to_cases"].count() > stored.height / 2
    assert set(stored["on_hand_source"].drop_nulls()) == {"SNAPSHOT"}
    assert set(stored["defaulted"]) == {"lead_time_days, review_days, moq, case_multiple, service_target"}


def test_an_item_without_enough_history_has_no_number_and_the_reason(made: Made) -> None:
    early = made.before[AREA].filter(ship_date=SMALL.first)
    assert set(early["reason"]) == {"NO_LEVEL"}
    assert early["order_up_to_cases"].count() == 0
    (name, described), *others = find_failed(made.again[0]).items()
    assert (name, others) == (f"{AREA}.items_without_number", [])
    assert f"{early.height} of {early.height} items have no number (NO_LEVEL {early.height})" in described


def test_the_service_that_is_stored_is_that_of_the_scores(made: Made) -> None:
    scores = made.before["stock_buffer_scores"]
    assert scores.height > 0
    stored = add_up_service(made.store.read_service([DC]).lazy()).collect()
    assert_frame_equal(stored, sum_service(scores.lazy()).collect())
    assert min(stored["reached"]) > Decimal("0.5")


def test_the_ui_shows_a_day(made: Made) -> None:
    (event,) = made.again[1].asset_materializations_for_node(f"replenishment__{AREA}")
    assert event.partition == str(partitions.make_key(DC, LAST))
    assert event.metadata["items_with_number"].value == made.store.read_latest([DC])["order_up_to_cases"].count()
    assert find_failed(made.again[1]) == {}


def test_a_rejected_row_is_beside_the_numbers_that_it_touches(made: Made, tmp_path: Path) -> None:
    home = Home(copy_home(made.home.directory, tmp_path))
    item = made.store.read_latest([DC])["item"][0]
    rejects = make_frame(schema.INPUT_REJECTS, [{**REJECT, "item": item}]).collect()
    SupplyStore(home.store.database).replace_terms(SHORT_TERMS, rejects)
    with open_in_memory() as instance:
        result = home.make_stock_buffers(instance, DC, LAST)
    touched = RecommendationStore(home.store.database).read_latest([DC]).drop_nulls("rejected")
    assert touched.select("item", "rejected").rows() == [(item, "supply_terms: moq is negative")]
    assert find_failed(result).keys() == {f"{AREA}.rejected_terms"}


def test_an_earlier_day_does_not_replace_the_latest(made: Made) -> None:
    before = LAST - timedelta(days=1)
    rows = made.store.read_latest([DC]).with_columns(ship_date=pl.lit(before))
    assert not made.store.publish_latest(DC, before, rows)
    assert made.store.find_latest() == {DC: LAST}
