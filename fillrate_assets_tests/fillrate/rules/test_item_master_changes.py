from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, Final

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa

from fillrate_assets.fillrate.rules.item_master_changes import ItemChanges, find_item_changes
from fillrate_assets.notifications.outbox import OUTBOX
from fillrate_assets_tests.conftest import SMALL
from fillrate_assets_tests.factories.rows import make_items
from fillrate_assets_tests.fixtures.home import Home

FIRST, LAST = date(2026, 2, 1), date(2026, 2, 10)
ROW: Final[dict[str, Any]] = {"item": "A", "valid_from": date(2020, 1, 1)}


def _make_day(day: int) -> date:
    return date(2026, 2, day)


@pytest.mark.parametrize(
    ("before", "after", "days"),
    [
        pytest.param([ROW], [ROW], None, id="as it was"),
        pytest.param([ROW], [{**ROW, "description": "new"}], None, id="another description"),
        pytest.param([ROW], [{**ROW, "item_type": "FLOW"}], (FIRST, LAST), id="another type"),
        pytest.param([ROW], [{**ROW, "vendor": None}], (FIRST, LAST), id="no vendor"),
        pytest.param([ROW], [{**ROW, "pack_size": Decimal(12)}], (FIRST, LAST), id="a pack size"),
        pytest.param([ROW], [{**ROW, "contract_committed": True}], (FIRST, LAST), id="a contract"),
        pytest.param([], [ROW], (FIRST, LAST), id="a new item, dated back"),
        pytest.param([ROW], [], (FIRST, LAST), id="an item that is gone"),
        pytest.param([], [{**ROW, "valid_from": _make_day(4)}], (_make_day(4), LAST), id="a new item since then"),
        pytest.param([], [{**ROW, "valid_from": _make_day(11)}], None, id="a new item from tomorrow"),
        pytest.param([], [{**ROW, "valid_to": date(2026, 1, 31)}], None, id="a new item of long ago"),
        pytest.param([ROW], [{**ROW, "valid_to": _make_day(7)}], (_make_day(8), LAST), id="it ended"),
        pytest.param([ROW], [{**ROW, "valid_to": _make_day(10)}], None, id="it ends now"),
        pytest.param([{**ROW, "valid_to": _make_day(3)}], [{**ROW, "valid_to": _make_day(7)}],
                     (_make_day(4), _make_day(7)), id="it lasts"),
        pytest.param([ROW], [{**ROW, "valid_to": _make_day(10)}, {**ROW, "valid_from": _make_day(11), "vendor": "V2"}],
                     None, id="another vendor from tomorrow"),
        pytest.param([ROW], [{**ROW, "valid_to": _make_day(4)}, {**ROW, "valid_from": _make_day(5), "vendor": "V2"}],
                     (_make_day(5), LAST), id="another vendor, dated back"),
    ],
)  # fmt: skip
def test_a_change_is_about_the_days_on_which_its_rows_are_in_force(
    before: list[dict[str, Any]], after: list[dict[str, Any]], days: tuple[date, date] | None
) -> None:
    others: dict[str, Any] = {"item": "B"}
    found = find_item_changes(make_items(others, *before), make_items(others, *after), first=FIRST, last=LAST)
    assert found == (ItemChanges(("A",), *days) if days else None)


def test_nothing_is_published_before_the_first_day() -> None:
    assert find_item_changes(make_items(), make_items(ROW), first=LAST, last=FIRST) is None


def test_the_order_of_rows_says_nothing() -> None:
    rows = make_items(*[{"item": name} for name in "ABC"])
    assert find_item_changes(rows, rows.reverse(), first=FIRST, last=LAST) is None


def _read_messages(home: Home) -> list[tuple[str, str]]:
    with home.store.database.engine.connect() as connection:
        statement = sa.select(OUTBOX.c.subject, OUTBOX.c.body).where(OUTBOX.c.subject.contains("items changed"))
        return [(subject, body) for subject, body in connection.execute(statement)]


def test_the_first_run_after_items_changed_for_published_days_says_what_to_run(
    network_home: Home, instance: dg.DagsterInstance
) -> None:
    first, second = SMALL.ship_days[:2]
    orders = network_home.systems.order_system
    network_home.run(instance, "DC01", first, second)
    network_home.run(instance, "DC01", second)
    assert _read_messages(network_home) == []
    master = orders.read_items()
    item = master["item"][0]
    orders.replace_items(master.filter(item=item).with_columns(vendor=pl.lit("another")))
    for _ in range(2):
        network_home.run(instance, "DC01", second)
    ((subject, body),) = _read_messages(network_home)
    assert subject == "items changed for published days: 1"
    assert body.startswith(f"{item}; to judge these days again: fillrate run --from {first} --to ")
