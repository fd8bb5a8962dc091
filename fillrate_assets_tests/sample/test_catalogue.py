"""The master data of the sample network."""

from __future__ import annotations

import polars as pl

from fillrate_assets.fillrate import schema
from fillrate_assets.sample.network import Network, draw_master_data


def test_masters_meet_their_contracts() -> None:
    master = draw_master_data(Network())
    schema.ITEMS.validate(master.items)
    schema.WAIVERS.validate(master.waivers)
    assert master.dcs.schema == {"dc": pl.String, "name": pl.String, "time_zone": pl.String, "active": pl.Boolean}
    assert master.dcs["dc"].to_list() == [f"DC{number:02}" for number in range(1, 11)]


def test_the_catalogue_is_that_of_a_real_network() -> None:
    items = draw_master_data(Network()).items
    assert items["item"].n_unique() == 7209
    assert items["department"].n_unique() == 12
    assert items["vendor"].n_unique() == 180
    assert 0.85 < (items["item_type"] == "STOCK").mean() < 0.91  # type: ignore[operator]
    assert items.filter("contract_committed")["vendor"].n_unique() == 27
    assert items["description"].n_unique() > 0.6 * items.height
    assert 0 < items["pack_size"].null_count() < 0.02 * items.height


def test_a_few_dozen_items_change_vendor_or_pack_within_the_history() -> None:
    network = Network()
    changed = draw_master_data(network).items.filter(pl.col("item").is_duplicated()).sort("item", "valid_from")
    first, second = changed[::2], changed[1::2]
    assert second.height == 36
    assert second["valid_from"].is_between(network.first, network.last).all()
    assert (first["valid_to"].dt.offset_by("1d") == second["valid_from"]).all()
    assert second["valid_to"].is_null().all()
    assert ((first["vendor"] != second["vendor"]) | first["pack_size"].ne_missing(second["pack_size"])).sum() > 30
