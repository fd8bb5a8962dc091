"""Replay: heads that are not what their log folds into are found, and rebuilt."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from fillrate_assets.fulfillment.interventions import Intervention
from fillrate_assets.fulfillment.replay import ReplayScope, rebuild, verify
from fillrate_assets.fulfillment.rules.decisions import Head
from fillrate_assets.fulfillment.transition_log import HEADS, TRANSITIONS, TransitionLog
from fillrate_assets_tests.factories.fulfillment_events import AT, SHIP_DATE, WAY, make_event

NOW = AT + timedelta(hours=1)
WHO = Intervention("REBUILT", "ana", "restored from a backup", "1.0", now=NOW)


@pytest.fixture
def filled(log: TransitionLog) -> TransitionLog:
    """A log of three orders and a party."""
    for number in range(3):
        for event_type in WAY[: 3 + number]:
            log.apply(make_event(event_type, f"O{number}"), actor="worker", now=AT)
    log.apply(make_event("OnboardingRequested", "V7"), actor="worker", now=AT)
    return log


def test_a_log_that_folds_into_its_heads_has_one_digest(filled: TransitionLog) -> None:
    steps: list[int] = []
    result = verify(filled.database, ReplayScope(), progress=steps.append)
    assert (result.orders, result.events, result.differences) == (4, 13, [])
    assert result.log_digest == result.head_digest
    assert rebuild(filled.database, result, WHO) == 0


def test_heads_are_rebuilt_from_the_first_event_on(filled: TransitionLog) -> None:
    with filled.database.begin() as connection:
        connection.execute(HEADS.update().where(HEADS.c.order_id == "O1").values(state="SHIPPED", version=9))
        connection.execute(HEADS.delete().where(HEADS.c.order_id == "O2"))
    result = verify(filled.database, ReplayScope())
    assert [(each.order_id, each.folded) for each in result.differences] == [
        ("O1", Head("O1", 4, "PICKING", "order")),
        ("O2", Head("O2", 5, "PACKED", "order")),
    ]
    assert result.log_digest != result.head_digest
    assert rebuild(filled.database, result, WHO) == 2
    assert verify(filled.database, ReplayScope()).differences == []
    assert filled.read_head("O2") == Head("O2", 5, "PACKED", "order")


def test_a_head_that_a_worker_has_moved_since_is_left_to_the_next_replay(filled: TransitionLog) -> None:
    with filled.database.begin() as connection:
        connection.execute(HEADS.update().where(HEADS.c.order_id == "O0").values(state="VALIDATED"))
    result = verify(filled.database, ReplayScope())
    with filled.database.begin() as connection:
        connection.execute(HEADS.update().where(HEADS.c.order_id == "O0").values(state="PICKING", version=4))
    assert rebuild(filled.database, result, WHO) == 0


def test_a_log_that_the_table_does_not_explain_is_named_and_left(filled: TransitionLog) -> None:
    third = (TRANSITIONS.c.order_id == "O0") & (TRANSITIONS.c.version == 3)
    with filled.database.begin() as connection:
        row = dict(connection.execute(TRANSITIONS.select().where(third)).mappings().one())
        del row["global_seq"]
        # As another release might have written it.
        connection.execute(TRANSITIONS.insert().values(**{**row, "order_id": "O9", "event_id": "another"}).inline())
    result = verify(filled.database, ReplayScope())
    assert [(each.order_id, each.folded, each.problem) for each in result.differences] == [
        ("O9", None, "log of O9, version 3: expected version 1 of O9")
    ]
    assert rebuild(filled.database, result, WHO) == 0


@pytest.mark.parametrize(
    ("scope", "orders"),
    [
        (ReplayScope(order_id="O1"), 1),
        (ReplayScope(dc="DC01"), 4),
        (ReplayScope(dc="DC02"), 0),
        (ReplayScope(ship_date=SHIP_DATE), 4),
        (ReplayScope(ship_date=date(2026, 1, 1)), 0),
        (ReplayScope(dc="DC01", order_id="V7"), 1),
    ],
)
def test_a_replay_is_of_whole_orders_in_its_scope(filled: TransitionLog, scope: ReplayScope, orders: int) -> None:
    assert verify(filled.database, scope).orders == orders


def test_a_replay_since_a_row_reads_each_order_from_its_first_event(filled: TransitionLog) -> None:
    with filled.database.connect() as connection:
        last = connection.execute(
            TRANSITIONS.select().where(TRANSITIONS.c.order_id == "O2").order_by(TRANSITIONS.c.version.desc())
        ).first()
    assert last is not None
    result = verify(filled.database, ReplayScope(since=last.global_seq))
    assert (result.orders, result.events, result.differences) == (2, 6, [])
