"""Terms and positions of the sample network: what a directory of them would be, and a row that no one can use."""

from __future__ import annotations

import polars as pl

from fillrate_assets.replenishment import schema
from fillrate_assets.replenishment.rules.position_checks import judge_positions
from fillrate_assets.replenishment.rules.term_checks import judge_terms
from fillrate_assets.sample.network import draw_master_data, simulate_activity
from fillrate_assets.sample.supply import draw_positions, draw_terms
from fillrate_assets_tests.conftest import DC, TINY


def test_terms_can_be_used_but_for_one_row_whose_reason_is_said() -> None:
    terms, rejects = draw_terms(TINY, draw_master_data(TINY).items)
    schema.INPUT_REJECTS.validate(rejects)
    assert judge_terms(terms.lazy()).collect()["problem"].count() == 0
    assert terms.filter(pl.col("dc").is_not_null())["dc"].to_list() == TINY.dc_codes
    assert rejects.select("dc", "reason").rows() == [
        (DC, "service_target is not between 0.5 and 0.999: it is a share of 1")
    ]


def test_of_some_items_something_is_on_order_on_the_last_day() -> None:
    received = simulate_activity(TINY, DC, TINY.last, TINY.last)
    positions = draw_positions(TINY, received.instock_snapshots)
    schema.STOCK_POSITIONS.validate(positions)
    assert judge_positions(positions.lazy()).collect()["problem"].count() == 0
    ordered = positions.filter(pl.col("on_order_cases") > 0).height
    assert 0 < ordered < positions.height
