from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from fillrate_assets import settings
from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.fillrate.record_store import REJECTS
from fillrate_assets.fillrate.sources.contract_files import read_directory
from fillrate_assets.sample import fillrate_loader
from fillrate_assets.sample.fillrate_loader import EmbeddedSystems, LoadResult, SampleNetwork
from fillrate_assets.sample.network import Network, draw_master_data, find_next_ship_day, simulate_activity
from fillrate_assets.settings import Settings
from fillrate_assets_tests.conftest import SMALL
from fillrate_assets_tests.factories import directories
from fillrate_assets_tests.fixtures.embedded import create_database
from fillrate_assets_tests.fixtures.home import Home

TINY = Network(dcs=1, items=100, days=3, last=date(2026, 3, 14))
LOADED_AT = datetime(2026, 3, 1, 6, tzinfo=UTC)
DAY = directories.GOLDEN_DAY


@pytest.fixture
def empty(tmp_path: Path) -> Settings:
    """A home in which there is nothing."""
    return settings.load(home=tmp_path / "home")


@pytest.fixture
def home(empty: Settings) -> Settings:
    """A home whose record store is there: to migrate it takes longer than to load."""
    create_database(empty.storage.record_store_url)
    return empty


def _load(home: Settings, directory: Path, at: datetime = LOADED_AT) -> LoadResult:
    return fillrate_loader.load(home, read_directory(directory, loaded_at=at), loaded_at=at)


def test_a_home_holds_the_network_that_was_generated(network_home: Home) -> None:
    systems = network_home.systems
    assert network_home.network == SMALL
    assert network_home.settings.first_ship_date == SMALL.first
    master = draw_master_data(SMALL)
    assert systems.order_system.read_items().sort("item", "valid_from").equals(master.items.sort("item", "valid_from"))
    assert systems.record_store.read_dcs().equals(master.dcs)
    assert systems.record_store.read_waivers().equals(master.waivers)
    for dc in SMALL.dc_codes:
        made = simulate_activity(SMALL, dc)
        assert systems.order_system.read_order_lines(dc, SMALL.first, SMALL.last).height == made.order_lines.height
        assert (
            systems.shipping_records.read_shipment_lines(dc, SMALL.first, SMALL.last).height
            == made.shipment_lines.height
        )
        assert (
            systems.instock_warehouse.read_snapshots(dc, SMALL.first, SMALL.last).height
            == made.instock_snapshots.height
        )
    truth = network_home.sample.read_truth().collect()
    assert truth["dc"].unique().sort().to_list() == SMALL.dc_codes


def test_of_two_that_fill_a_home_at_once_the_second_is_refused(empty: Settings) -> None:
    filling = SampleNetwork(empty).generate(TINY)
    next(filling)
    with pytest.raises(SourceUnavailable, match=f"another process fills {empty.home}: wait until it has ended"):
        next(SampleNetwork(empty).generate(TINY))
    assert list(filling) == []
    assert SampleNetwork(empty).network == TINY


def test_a_home_that_holds_data_is_not_generated_over(network_home: Home) -> None:
    before = network_home.read_stored()
    with pytest.raises(PermanentFailure, match="holds data already: delete it, or choose another FILLRATE_HOME"):
        next(network_home.sample.generate(TINY))
    assert (network_home.read_stored(), network_home.network) == (before, SMALL)


def test_a_generation_that_was_cut_short_leaves_nothing_and_may_be_repeated(empty: Settings) -> None:
    cut = SampleNetwork(empty).generate(TINY)
    next(cut)
    del cut
    assert SampleNetwork(empty).network is None
    assert not (empty.home / "systems").exists()
    assert [dc for dc, _ in SampleNetwork(empty).generate(TINY)] == TINY.dc_codes
    assert SampleNetwork(empty).network == TINY
    assert not (empty.home / "incoming").exists()


def test_the_sources_receive_one_ship_day_at_a_time(empty: Settings) -> None:
    sample = SampleNetwork(empty)
    assert list(sample.generate(TINY))
    day, arrived = sample.advance()
    assert day == find_next_ship_day(TINY.last)
    lines = EmbeddedSystems.from_settings(empty).create().order_system.read_order_lines("DC01", TINY.first, day)
    assert lines.filter(lines["ship_date"] == day).height <= arrived["DC01"]
    assert (sample.network or TINY).last == day
    assert (sample.network or TINY).first == TINY.first
    assert sample.advance()[0] == find_next_ship_day(day)
    assert sample.read_truth().collect()["ship_date"].max() == find_next_ship_day(day)


def test_without_a_network_there_is_nothing_to_advance(empty: Settings) -> None:
    with pytest.raises(PermanentFailure, match="holds no sample network: run `fillrate sample` first"):
        SampleNetwork(empty).advance()


def test_only_embedded_systems_are_filled(tmp_path: Path) -> None:
    server = settings.load(home=tmp_path, sources__order_system_url="oracle+oracledb://reader@orders/orders")
    with pytest.raises(PermanentFailure, match="order system: settings name a server"):
        EmbeddedSystems.from_settings(server)


def test_a_directory_is_loaded_into_the_systems(home: Settings, tmp_path: Path) -> None:
    loaded = _load(home, directories.write_minimal_directory(tmp_path / "in"))
    assert loaded.rows == {
        "order_lines": 1,
        "shipment_lines": 1,
        "instock_snapshots": 1,
        "items": 1,
        "dcs": 1,
        "waivers": 0,
    }
    assert (loaded.first_ship_date, loaded.last_ship_date) == (DAY, DAY)
    systems = EmbeddedSystems.from_settings(home).create()
    (line,) = systems.order_system.read_order_lines("DC01", DAY, DAY).to_dicts()
    assert (line["item"], line["processed_at"]) == ("A", LOADED_AT)
    assert systems.shipping_records.read_shipment_lines("DC01", DAY, DAY).height == 1
    assert systems.instock_warehouse.read_snapshots("DC01", DAY, DAY).height == 1
    assert systems.record_store.read_dcs()["dc"].to_list() == ["DC01"]
    assert settings.load(home=home.home).first_ship_date == DAY


def test_dcs_that_no_table_names_are_printed(home: Settings, tmp_path: Path) -> None:
    directory = directories.write_minimal_directory(tmp_path / "in")
    (directory / "dcs.csv").unlink(missing_ok=True)
    assert _load(home, directory).new_dcs == ["DC01"]
    assert _load(home, directory).new_dcs == []


def test_a_dc_that_was_open_without_an_order_is_one(home: Settings, tmp_path: Path) -> None:
    directory = directories.write_minimal_directory(tmp_path / "in")
    with (directory / "instock_snapshots.csv").open("a") as snapshots:
        snapshots.write(f"DC09,{DAY},A,N\n")
    (directory / "dc_calendar.csv").write_text(f"dc,ship_date,open\nDC09,{DAY},Y\nDC08,{DAY},Y\n")
    assert _load(home, directory).new_dcs == ["DC01", "DC09"]


def test_loading_the_same_again_changes_nothing(home: Settings, tmp_path: Path) -> None:
    directory = directories.write_golden_directory(tmp_path / "in")
    first = _load(home, directory)
    assert first.rows["order_lines"] > 100
    systems = EmbeddedSystems.from_settings(home).create()
    before = _read_held(systems)
    again = _load(home, directory, LOADED_AT + timedelta(days=1))
    new = {
        name: rows
        for name, rows in again.rows.items()
        if name in {"order_lines", "shipment_lines", "instock_snapshots"}
    }
    assert new == dict.fromkeys(new, 0)
    assert _read_held(systems) == before


def _read_held(systems: EmbeddedSystems) -> list[list[tuple[object, ...]]]:
    year = (date(2024, 1, 1), date(2024, 12, 31))
    return [
        sorted(systems.order_system.read_order_lines("DC01", *year).rows(), key=repr),
        sorted(systems.shipping_records.read_shipment_lines("DC01", *year).rows(), key=repr),
        sorted(systems.instock_warehouse.read_snapshots("DC01", *year).rows(), key=repr),
        systems.record_store.read_dcs().rows(),
    ]


def test_a_changed_line_without_a_time_is_a_later_version(home: Settings, tmp_path: Path) -> None:
    directory = directories.write_minimal_directory(tmp_path / "in")
    _load(home, directory)
    file = directory / "order_lines.csv"
    file.write_text(file.read_text().replace(",10\n", ",12\n").replace(",10\r\n", ",12\r\n"))
    later = LOADED_AT + timedelta(days=1)
    assert _load(home, directory, later).rows["order_lines"] == 1
    lines = (
        EmbeddedSystems.from_settings(home)
        .create()
        .order_system.read_order_lines("DC01", DAY, DAY)
        .sort("processed_at")
    )
    assert lines.select("ordered_qty", "processed_at").rows() == [(10, LOADED_AT), (12, later)]
    # Taken back: the first version again, later than both.
    file.write_text(file.read_text().replace(",12", ",10"))
    assert _load(home, directory, later + timedelta(days=1)).rows["order_lines"] == 1


def test_rows_that_cannot_be_placed_are_stored_as_rejects_once(home: Settings, tmp_path: Path) -> None:
    directory = directories.write_minimal_directory(tmp_path / "in")
    with (directory / "order_lines.csv").open("a") as handle:
        handle.write("DC01,2024-05-16,O1,one,A,10\n")
    store = EmbeddedSystems.from_settings(home).create().record_store
    for _ in range(2):
        assert _load(home, directory).rejects["reason"].to_list() == ["line_no 'one' is not a number"]
        assert store.count(REJECTS) == 1


def test_a_corrected_file_takes_back_the_rejects_of_its_days(home: Settings, tmp_path: Path) -> None:
    directory = directories.write_minimal_directory(tmp_path / "in")
    good = (directory / "order_lines.csv").read_text()
    store = EmbeddedSystems.from_settings(home).create().record_store
    (directory / "order_lines.csv").write_text(f"{good}DC01,2024-05-16,O1,one,A,10\nDC01,2024-05-17,O1,one,A,10\n")
    _load(home, directory)
    assert store.count_loader_rejects()["rows"].sum() == 2
    (directory / "order_lines.csv").write_text(good)
    _load(home, directory)
    # The file says nothing of the other day.
    assert store.count_loader_rejects()["ship_date"].to_list() == [date(2024, 5, 17)]
