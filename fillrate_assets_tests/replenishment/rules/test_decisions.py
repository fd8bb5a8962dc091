"""What buyers' decisions did, beside what was recommended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.replenishment import schema
from fillrate_assets.replenishment.rules.decisions import (
    Decision,
    make_decision,
    score_decisions,
    select_decisions_in_force,
)
from fillrate_assets_tests.factories.replenishment_frames import MONDAY, Row, make_frame

NOW = datetime(2026, 6, 1, 8, tzinfo=UTC)
RECOMMENDED: Row = {
    "dc": "DC01",
    "item": "A",
    "ship_date": MONDAY,
    "order_cases": Decimal(30),
    "on_hand_cases": Decimal(10),
    "on_order_cases": None,
}


def test_the_latest_decision_of_a_recommendation_counts_and_is_compared_with_it() -> None:
    log = [
        make_decision(RECOMMENDED, "ACCEPTED", by="Kim", now=NOW),
        make_decision(RECOMMENDED, "CHANGED", Decimal(5), reason="promotion", by="Kim", now=NOW + timedelta(hours=1)),
        make_decision({**RECOMMENDED, "item": "B"}, "REFUSED", reason="gone", by="Kim", now=NOW),
        make_decision({**RECOMMENDED, "item": "C"}, "REFUSED", reason="gone", by="Kim", now=NOW),
    ]
    made = make_frame(schema.DECISION_LOG, log)
    schema.DECISION_LOG.validate(made.collect())
    scored: Row = {
        "made_on": MONDAY,
        "ship_date": MONDAY + timedelta(days=3),
        "item_class": "A",
        "quantile": "0.9",
        "order_up_to_cases": 40,
        "served": True,
        "short_cases": 0,
    }
    scores = make_frame(schema.SCORES, [{"item": "A", "came_cases": 35}, {"item": "B", "came_cases": 41}], scored)
    decided = score_decisions(select_decisions_in_force(made), scores).collect()
    schema.DECIDED_SERVICE.validate(decided)
    assert decided.rows() == [("CHANGED", 1, 1, 1, 0, 0, 20), ("REFUSED", 2, 1, 0, 0, 1, 31)]


@pytest.mark.parametrize(
    ("changes", "decision", "cases", "problem"),
    [
        ({"order_cases": None}, "ACCEPTED", None, "nothing is recommended"),
        ({}, "CHANGED", Decimal(30), "that is what is recommended"),
    ],
)
def test_what_cannot_be_decided_is_refused(
    changes: Row, decision: Decision, cases: Decimal | None, problem: str
) -> None:
    with pytest.raises(PermanentFailure, match=problem):
        make_decision({**RECOMMENDED, **changes}, decision, cases, by="Kim", now=NOW)
