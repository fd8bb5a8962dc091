"""How copies compare with the source, and what is done about it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillrate_assets.inventory import schema
from fillrate_assets.inventory.rules.reconciliation import (
    check_source,
    compare_replicas,
    list_resends,
    list_restatements,
    measure_accuracy,
)

AT: Final = datetime(2026, 3, 10, 12, tzinfo=UTC)
LONG_AGO: Final = AT - timedelta(hours=1)
NOTHING: Final = schema.FINDINGS.make_empty().collect()

Count = tuple[int, int, int]
"""On hand, reserved, seq."""


def make_row(count: Count, item: str = "A", *, deleted: bool = False, at: datetime = LONG_AGO) -> dict[str, Any]:
    on_hand, reserved, seq = count
    return {
        "dc": "DC01",
        "item": item,
        "on_hand_cases": Decimal(on_hand),
        "reserved_cases": Decimal(reserved),
        "seq": seq,
        "deleted": deleted,
        "occurred_at": at,
        "origin": "wms",
        "change_id": f"c{seq}",
    }


def make_source(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=schema.STOCK.polars)


def make_replicas(*rows: dict[str, Any], replica: str = "DC02") -> pl.DataFrame:
    made = [{"replica": replica, **row, "applied_at": row["occurred_at"]} for row in rows]
    return pl.DataFrame(made, schema=schema.REPLICAS.polars)


def compare(
    source: dict[str, Any] | None, replica: dict[str, Any] | None, previous: pl.DataFrame = NOTHING
) -> pl.DataFrame:
    sides = [[side] if side else [] for side in (source, replica)]
    found = compare_replicas(make_source(*sides[0]), make_replicas(*sides[1]), ["DC02"], previous, at=AT)
    schema.FINDINGS.validate(found)
    return found


GONE: Final = make_row((0, 0, 4), deleted=True)
RECENT: Final = AT - timedelta(seconds=59)
SOON: Final = AT + timedelta(seconds=60)
AHEAD: Final = AT + timedelta(seconds=61)


@pytest.mark.parametrize(
    ("source", "replica", "finding", "action"),
    [
        (make_row((5, 1, 3)), make_row((5, 1, 3)), "MATCH", "NONE"),
        (make_row((5, 1, 3)), make_row((5, 1, 2)), "LAGGING", "RESEND"),
        (make_row((5, 1, 3)), None, "MISSING", "RESEND"),
        (make_row((5, 1, 3)), make_row((5, 1, 4)), "AHEAD", "CONFIRM"),
        (make_row((5, 1, 3)), make_row((6, 1, 3)), "DIVERGED", "CONFIRM"),
        (make_row((5, 1, 3)), make_row((5, 2, 3)), "DIVERGED", "CONFIRM"),
        (None, make_row((5, 1, 3)), "ORPHAN", "TOMBSTONE"),
        # A deletion is a version as any other.
        (GONE, GONE, "MATCH", "NONE"),
        (GONE, make_row((5, 1, 3)), "LAGGING", "RESEND"),
        (GONE, make_row((0, 0, 4)), "DIVERGED", "CONFIRM"),
        (make_row((5, 1, 5)), GONE, "LAGGING", "RESEND"),
        # What neither has.
        (GONE, None, "MATCH", "NONE"),
        (None, GONE, "MATCH", "NONE"),
        # What may still be under way.
        (make_row((5, 1, 3), at=RECENT), make_row((5, 1, 2)), "RECENT", "NONE"),
        (make_row((5, 1, 3), at=RECENT), None, "RECENT", "NONE"),
        (make_row((5, 1, 3)), make_row((5, 1, 4), at=RECENT), "RECENT", "NONE"),
        (None, make_row((5, 1, 4), at=RECENT), "RECENT", "NONE"),
        (make_row((5, 1, 3), at=AT - timedelta(seconds=60)), make_row((5, 1, 2)), "LAGGING", "RESEND"),
        (make_row((5, 1, 3), at=RECENT), make_row((5, 1, 3), at=RECENT), "MATCH", "NONE"),
        # A clock that is a little ahead is that of something recent; one that is far ahead hides nothing.
        (make_row((5, 1, 3), at=SOON), make_row((5, 1, 2)), "RECENT", "NONE"),
        (make_row((5, 1, 3), at=AHEAD), make_row((5, 1, 2)), "LAGGING", "RESEND"),
        (make_row((5, 1, 3)), make_row((5, 1, 4), at=AHEAD), "AHEAD", "CONFIRM"),
        (None, make_row((5, 1, 4), at=AHEAD), "ORPHAN", "TOMBSTONE"),
    ],
)
def test_each_copy_has_one_finding(
    source: dict[str, Any] | None, replica: dict[str, Any] | None, finding: str, action: str
) -> None:
    found = compare(source, replica)
    assert found.select("replica", "dc", "item", "finding", "action").rows() == [("DC02", "DC01", "A", finding, action)]


def test_both_sides_are_shown() -> None:
    (row,) = compare(make_row((5, 1, 3)), make_row((6, 2, 2))).rows(named=True)
    assert [row[f"{side}_{name}"] for side in ("source", "replica") for name in ("on_hand_cases", "seq")] == [
        5,
        3,
        6,
        2,
    ]


def test_only_what_two_comparisons_find_alike_is_restated() -> None:
    source, replica = make_row((5, 1, 3)), make_row((6, 1, 3))
    first = compare(source, replica)
    assert compare(source, replica, first)["action"].to_list() == ["RESTATE"]
    assert compare(source, make_row((7, 1, 3)), first)["action"].to_list() == ["CONFIRM"]
    assert compare(make_row((6, 1, 4)), make_row((7, 1, 4)), first)["action"].to_list() == ["CONFIRM"]
    assert compare(source, source, first)["action"].to_list() == ["NONE"]


def test_a_replica_without_a_row_has_copies_of_nothing_and_one_that_was_not_read_is_not_compared() -> None:
    source = make_source(make_row((5, 1, 3)), make_row((2, 0, 1), "B"))
    replicas = make_replicas(make_row((5, 1, 3)), make_row((2, 0, 1), "B"))
    found = compare_replicas(source, replicas, ["DC02", "DC03"], NOTHING, at=AT)
    assert found.group_by("replica", "finding").len().sort("replica").rows() == [
        ("DC02", "MATCH", 2),
        ("DC03", "MISSING", 2),
    ]
    assert compare_replicas(source, replicas.clear(), [], NOTHING, at=AT).is_empty()
    assert compare_replicas(source.clear(), replicas.clear(), ["DC02"], NOTHING, at=AT).is_empty()


def test_a_count_is_restated_once_above_all_its_copies() -> None:
    source = make_source(make_row((5, 1, 3)), make_row((1, 0, 1), "C"))
    replicas = pl.concat(
        [
            make_replicas(make_row((6, 1, 3)), make_row((9, 0, 4), "B"), make_row((1, 0, 1), "C")),
            make_replicas(make_row((8, 1, 7)), make_row((9, 0, 2), "B"), replica="DC03"),
        ]
    )
    first = compare_replicas(source, replicas, ["DC02", "DC03"], NOTHING, at=AT)
    second = compare_replicas(source, replicas, ["DC02", "DC03"], first, at=AT)
    assert list_restatements(first).rows() == [("DC01", "B", 4)]
    assert list_restatements(second).rows() == [("DC01", "A", 7), ("DC01", "B", 4)]
    assert list_resends(second).rows() == [("DC03", "DC01", "C")]


def make_sums(*rows: tuple[str, int, int]) -> pl.DataFrame:
    made = [("DC01", item, Decimal(moved), Decimal(promised)) for item, moved, promised in rows]
    return pl.DataFrame(made, schema=schema.SOURCE_SUMS.polars, orient="row")


@pytest.mark.parametrize(
    ("row", "sums", "findings"),
    [
        (make_row((5, 1, 3)), [("A", 5, 1)], []),
        (make_row((5, 1, 3)), [("A", 6, 1)], ["LEDGER_MISMATCH"]),
        (make_row((5, 1, 3)), [("A", 5, 0)], ["RESERVATION_LEAK"]),
        (make_row((5, 1, 3)), [("A", 5, 2)], ["RESERVATION_LEAK"]),
        (make_row((5, 1, 3)), [], ["LEDGER_MISMATCH", "RESERVATION_LEAK"]),
        (make_row((0, 0, 3)), [], []),
        (make_row((5, 1, 3), at=RECENT), [], []),
        (make_row((5, 1, 3), at=AHEAD), [], ["LEDGER_MISMATCH", "RESERVATION_LEAK"]),
        (None, [("A", 6, 0)], ["LEDGER_MISMATCH"]),
        (None, [("A", 0, 2)], ["RESERVATION_LEAK"]),
    ],
)
def test_the_source_agrees_with_its_ledger_and_its_reservations(
    row: dict[str, Any] | None, sums: list[tuple[str, int, int]], findings: list[str]
) -> None:
    found = check_source(make_source(*[row] if row else []), make_sums(*sums), at=AT)
    schema.FINDINGS.validate(found)
    assert found["finding"].to_list() == findings
    assert set(found["action"]) <= {"REVIEW"}


def test_accuracy_is_the_share_that_matches_of_what_was_compared() -> None:
    source = make_source(*(make_row((5, 1, 3), item) for item in "ABC"), make_row((5, 1, 3), "D", at=RECENT))
    replicas = make_replicas(make_row((5, 1, 3)), make_row((5, 1, 2), "B"), make_row((5, 1, 3), "C"))
    found = compare_replicas(source, replicas, ["DC02"], NOTHING, at=AT)
    assert measure_accuracy(found, "replica").rows() == [("DC02", 3, 2, 1, 2 / 3)]
    assert measure_accuracy(found, "item").rows() == [
        ("A", 1, 1, 0, 1.0),
        ("B", 1, 0, 1, 0.0),
        ("C", 1, 1, 0, 1.0),
        ("D", 0, 0, 0, None),
    ]
    leak = check_source(source, make_sums(), at=AT)
    assert measure_accuracy(pl.concat([found, leak]), "replica").rows() == [("DC02", 3, 2, 1, 2 / 3)]


counts = st.tuples(st.integers(0, 3), st.integers(0, 1), st.integers(1, 4))
sides = st.dictionaries(st.sampled_from("ABCDE"), st.tuples(counts, st.booleans()))


@given(source=sides, copies=st.fixed_dictionaries({"DC02": sides, "DC03": sides}))
def test_repairs_make_all_copies_equal_and_a_second_comparison_repairs_nothing(
    source: dict[str, tuple[Count, bool]], copies: dict[str, dict[str, tuple[Count, bool]]]
) -> None:
    """Repairs are applied as the source and the replica rule apply them."""
    stock = {item: make_row(count, item, deleted=gone) for item, (count, gone) in source.items()}
    held = {
        (name, item): make_row(count, item, deleted=gone)
        for name, side in copies.items()
        for item, (count, gone) in side.items()
    }

    def look(previous: pl.DataFrame) -> pl.DataFrame:
        rows = pl.concat(
            [make_replicas().clear(), *(make_replicas(row, replica=name) for (name, _), row in held.items())]
        )
        return compare_replicas(make_source(*stock.values()), rows, [*copies], previous, at=AT)

    def repair(found: pl.DataFrame) -> None:
        for _, item, above in list_restatements(found).rows():
            latest = stock.get(item) or make_row((0, 0, 1), item, deleted=True)
            stock[item] = {**latest, "seq": max(latest["seq"], above) + 1}
            for name in copies:
                held[name, item] = stock[item]
        for name, _, item in list_resends(found).rows():
            if (name, item) not in held or held[name, item]["seq"] < stock[item]["seq"]:
                held[name, item] = stock[item]

    first = look(NOTHING)
    assert len(first) == sum(len({*source, *side}) for side in copies.values())
    repair(first)
    second = look(first)
    repair(second)
    third = look(second)
    assert set(third["finding"]) <= {"MATCH"}
    assert list_resends(third).is_empty()
    assert list_restatements(third).is_empty()
