"""What a policy can be.

Proves decision 0186.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from fillrate_assets.buffers.report.policy_backtest import build_policy
from fillrate_assets.buffers.rules import policy as rules
from fillrate_assets.buffers.rules.policy import Policy, list_changes, override_policy
from fillrate_assets.core.errors import PermanentFailure


def nest(name: str, value: object) -> dict[str, Any]:
    *parts, last = name.split(".")
    nested: dict[str, Any] = {last: value}
    for part in reversed(parts):
        nested = {part: nested}
    return nested


def test_the_platforms_own_policy_can_be_and_every_number_of_it_has_a_range() -> None:
    rules.check_policy(Policy())
    numbers = {name for name, value in rules._list_values(Policy(), "") if not isinstance(value, str | tuple)}  # noqa: SLF001 - the names
    assert numbers == set(rules._RANGES)  # noqa: SLF001 - the ranges


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("capacity.expired", 10_000_000_000),
        ("total.act", -1),
        ("total.act", 90),
        ("total.act", math.nan),
        ("suppression.history_minutes", 0),
        ("trend.points", 600),
        ("trend.points", 7.5),
        ("trend.points", True),
        ("flow.fresh", 30),  # expired after 20
        ("total.clear", 0.94),
        ("total.clear", 0.86),
        ("total.act", 0.97),
        ("induct.warn", 0.95),
        ("lane.full", 0.98),
        ("lane.act", 0.65),
        ("starvation.act", 0.2),
        ("starvation.clear", 0.9),
        ("trend.min_points", 9),
        ("name", "a b"),
        ("name", ""),
        ("pool_order", ["PICK", "PICK"]),
        ("pool_order", [1]),
    ],
)
def test_a_value_that_cannot_be_is_refused(name: str, value: object) -> None:
    with pytest.raises(PermanentFailure, match=r"^policy: "):
        override_policy(Policy(), nest(name, value))


@pytest.mark.parametrize(
    "change", ["capacity.expired=10000000000", "total.act=-1", "total.act=90", "total.act=nan", "trend.points=600"]
)
def test_a_command_line_refuses_it_too(change: str) -> None:
    with pytest.raises(PermanentFailure, match=r"^(policy|--set)"):
        build_policy(Policy(), [change], None)


def test_every_problem_is_named() -> None:
    with pytest.raises(PermanentFailure, match=r"^policy: ") as refused:
        override_policy(Policy(), {"total": {"act": 2.0, "emergency": 1.5}})
    assert str(refused.value) == (
        "policy: total.emergency is 1.5, expected 0 to 1; total.act is 2.0, expected 0 to 1; "
        "total.act is not below total.emergency: 2.0 and 1.5"
    )


def test_the_changes_of_a_policy_make_it_again() -> None:
    other = override_policy(Policy(), {"total": {"act": 0.9}, "pool_order": ["PICK"], "flow_correction_minutes": 10})
    assert list_changes(other) == {"total": {"act": 0.9}, "pool_order": ("PICK",), "flow_correction_minutes": 10}
    assert override_policy(Policy(), list_changes(other)) == other
    assert list_changes(Policy()) == {}
