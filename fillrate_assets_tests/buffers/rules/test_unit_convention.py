"""What follows from the paths that a warehouse names."""

from __future__ import annotations

from typing import Any, Final

import polars as pl
import pytest

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules import unit_convention
from fillrate_assets_tests.factories import feed_rows
from fillrate_assets_tests.factories.feed_rows import T

NO_MEMBERS: Final = schema.UNIT_MEMBERS.make_empty().collect()


def make_paths(*rows: tuple[str, str, str] | tuple[str, str, str, float | None, str | None]) -> pl.DataFrame:
    full: list[tuple[Any, ...]] = [(*row, *(None, None)[len(row) - 3 :]) for row in rows]
    return pl.DataFrame(full, schema=schema.WAREHOUSE_PATHS.polars, orient="row")


def list_units(paths: pl.DataFrame, members: pl.DataFrame = NO_MEMBERS) -> dict[str, list[str]]:
    made = unit_convention.derive_members(paths, members)
    schema.UNIT_MEMBERS.validate(made)
    return dict(made.group_by("unit_id").agg(pl.col("path").unique().sort()).sort("unit_id").iter_rows())


@pytest.mark.parametrize(
    ("pool", "units"),
    [
        ("PACK", ["W1_PACK_P1", "W1_PACK_TOTAL"]),
        ("LANE", ["W1_LANE_P1", "W1_LANE_TOTAL"]),
        ("INDUCT", ["W1_INDUCT_P1", "W1_PICK_TOTAL"]),
        ("SORT", ["W1_SORT_TOTAL"]),
    ],
)
def test_a_path_makes_its_unit_and_the_total_that_it_counts_in(pool: str, units: list[str]) -> None:
    assert list(list_units(make_paths(("W1", pool, "P1")))) == units


def test_every_path_counts_in_every_role_with_the_weight_1() -> None:
    made = unit_convention.derive_members(make_paths(("W1", "SORT", "P1")), NO_MEMBERS)
    assert made.select("role", "weight", "valid_to").rows() == [(role, 1.0, None) for role in sorted(schema.ROLES)]


def test_a_total_has_all_paths_of_its_pool_and_warehouse() -> None:
    paths = make_paths(("W1", "PACK", "P1"), ("W1", "PACK", "P2"), ("W2", "PACK", "P1"))
    assert list_units(paths)["W1_PACK_TOTAL"] == ["P1", "P2"]


def test_a_unit_with_a_member_that_someone_wrote_is_theirs() -> None:
    written = feed_rows.make_members({"unit_id": "W1_PACK_TOTAL", "path": "P9", "valid_to": T})
    assert list(list_units(make_paths(("W1", "PACK", "P1")), written)) == ["W1_PACK_P1"]


def test_who_wrote_a_total_of_the_induct_paths_has_the_picking_buffer_already() -> None:
    written = feed_rows.make_members({"unit_id": "W1_INDUCT_TOTAL"})
    paths = make_paths(("W1", "INDUCT", "P1"), ("W2", "INDUCT", "P1"))
    assert list(list_units(paths, written)) == ["W1_INDUCT_P1", "W2_INDUCT_P1", "W2_PICK_TOTAL"]


def test_a_path_whose_name_no_id_takes_has_a_unit_all_the_same() -> None:
    assert list_units(make_paths(("W1", "PACK", "lane 4/b"))) == {
        "W1_PACK_LANE-4-B": ["lane 4/b"],
        "W1_PACK_TOTAL": ["lane 4/b"],
    }


def test_a_warehouse_without_a_row_is_a_dc_of_its_own_at_utc() -> None:
    made = unit_convention.derive_warehouses(
        feed_rows.make_warehouses({}), make_paths(("W1", "A", "1"), ("W9", "A", "1"))
    )
    assert made.rows() == [("W9", "W9", "W9", "UTC", True)]


LABELS: Final = unit_convention.derive_labels(
    make_paths(("W1", "PACK", "L2", None, "Lane 12"), ("W1", "PACK", "L20", None, "Lane 30"), ("W1", "PACK", "L3"))
)


@pytest.mark.parametrize(
    ("text", "labelled"),
    [
        ("W1_PACK_L2 OVERFLOW", "Lane 12 (PACK L2) OVERFLOW"),
        ("8 to PACK L2, 4 to PACK L20", "8 to Lane 12 (PACK L2), 4 to Lane 30 (PACK L20)"),
        ("PACK TOTAL: 94 % full.", "Pack total (PACK TOTAL): 94 % full."),
        ("PACK L3 and W2_PACK_L2 have none", "PACK L3 and W2_PACK_L2 have none"),
        ("ACT NOW, XPACK L2", "ACT NOW, XPACK L2"),
    ],
)
def test_the_label_is_beside_every_unit_that_a_text_names(text: str, labelled: str) -> None:
    assert unit_convention.add_labels(text, LABELS, "W1") == labelled


def test_a_capacity_counts_as_if_it_was_reported_long_ago() -> None:
    reported = feed_rows.make_limits({"path": "P1"})
    made = unit_convention.add_capacities(
        reported, make_paths(("W1", "PACK", "P2", 40.0, None), ("W1", "PACK", "P3")), T
    )
    assert made is not None
    assert made.select("path", "capacity", "event_ts").rows() == [
        ("P1", 100.0, reported["event_ts"][0]),
        ("P2", 40.0, T),
    ]
    assert unit_convention.add_capacities(None, make_paths(("W1", "PACK", "P3")), T) is None
