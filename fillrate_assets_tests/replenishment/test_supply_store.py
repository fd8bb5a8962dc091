"""Terms, positions and rejects as they are stored, on each database that is at hand."""

from __future__ import annotations

from datetime import timedelta

import pytest
from polars.testing import assert_frame_equal

from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.replenishment import schema
from fillrate_assets.replenishment.supply_store import SupplyStore
from fillrate_assets_tests.factories.replenishment_frames import MONDAY, Row, make_frame

NO_REJECTS = schema.INPUT_REJECTS.make_empty().collect()
TUESDAY = MONDAY + timedelta(days=1)


@pytest.fixture
def supply(store: RecordStore) -> SupplyStore:
    return SupplyStore(store.database)


def test_a_load_of_terms_replaces_all_of_them(supply: SupplyStore) -> None:
    row: Row = {"item": None, "lead_time_days": 5, "valid_from": MONDAY}
    terms = make_frame(schema.SUPPLY_TERMS, [row, {**row, "vendor": "ACME"}]).collect()
    rejects = make_frame(schema.INPUT_REJECTS, [{"table": "supply_terms", "reason": "x" * 2000, "raw": "{}"}]).collect()
    for _ in range(2):
        supply.replace_terms(terms, rejects)
        assert_frame_equal(supply.read_terms(), terms)
        assert supply.read_rejects()["reason"].str.len_chars().to_list() == [1000]
    supply.replace_terms(terms.head(1), NO_REJECTS)
    assert (supply.read_terms().height, supply.read_rejects().height) == (1, 0)


def test_a_load_of_positions_replaces_those_of_its_dcs_and_days(supply: SupplyStore) -> None:
    rows: list[Row] = [
        {"on_hand_cases": 1},
        {"on_hand_cases": 2, "ship_date": TUESDAY},
        {"on_hand_cases": 3, "dc": "DC02"},
    ]
    reject = {"table": "stock_positions", "reason": "on_hand_cases is negative", "raw": "{}"}
    rejects = make_frame(
        schema.INPUT_REJECTS,
        [{**reject, "valid_from": MONDAY}, {**reject, "valid_from": TUESDAY}, {**reject, "dc": None}],
    ).collect()
    supply.replace_positions(make_frame(schema.STOCK_POSITIONS, rows).collect(), rejects)
    supply.replace_positions(make_frame(schema.STOCK_POSITIONS, [{"on_order_cases": 9}]).collect(), NO_REJECTS)
    stored = supply.read_positions("DC01", MONDAY, TUESDAY).sort("ship_date")
    assert stored.select("ship_date", "on_hand_cases", "on_order_cases").rows() == [
        (MONDAY, None, 9),
        (TUESDAY, 2, None),
    ]
    assert supply.read_positions("DC02", MONDAY, MONDAY).height == 1
    assert supply.read_rejects().select("dc", "valid_from").rows() == [("DC01", TUESDAY), (None, None)]
