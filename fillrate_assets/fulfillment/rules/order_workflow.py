"""The workflow of an order in Step Functions: one table, from which the state machine in its language (ASL) is built.

What a step does is in `order_steps`. The table is checked when it is imported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

ANY_ERROR: Final = "States.ALL"
FAILED: Final = "Failed"
FAILURE: Final = "failure"
"""Where the error is in the data of an order that failed."""

SERVICE_ERRORS: Final = (
    *("Lambda.ServiceException", "Lambda.AWSLambdaException", "Lambda.SdkClientException"),
    *("Lambda.TooManyRequestsException", "States.Timeout", "SourceUnavailable"),
)
"""Errors that may pass: of Lambda, and of what a function calls."""

_MAX_NAME: Final = 80
_TIMEOUT_SECONDS: Final = 60


@dataclass(frozen=True)
class RetryRule:
    """How often errors are retried: always with full jitter, up to a longest delay."""

    errors: tuple[str, ...]
    interval_seconds: int
    max_attempts: int
    max_delay_seconds: int
    backoff_rate: float = 2.0


@dataclass(frozen=True)
class CatchRule:
    """Where errors lead that are not retried any more."""

    errors: tuple[str, ...]
    next_step: str


@dataclass(frozen=True)
class Step:
    """One row of the workflow."""

    name: str
    next_step: str | None
    """None where the workflow ends."""

    retries: tuple[RetryRule, ...]
    catches: tuple[CatchRule, ...]


_SERVICE: Final = RetryRule(SERVICE_ERRORS, interval_seconds=1, max_attempts=6, max_delay_seconds=30)
_INVENTORY: Final = RetryRule(("InventoryError",), interval_seconds=3, max_attempts=3, max_delay_seconds=30)
_RELEASE: Final = CatchRule((ANY_ERROR,), "Release")

ORDER_WORKFLOW: Final = (
    Step("ProcessOrder", "CheckInventory", (_SERVICE,), (_RELEASE,)),
    Step(
        "CheckInventory",
        "UpdateOrderStatus",
        (_SERVICE, _INVENTORY),
        (CatchRule(("OutOfStock",), "Backorder"), _RELEASE),
    ),
    Step("UpdateOrderStatus", "ShipOrder", (_SERVICE,), (_RELEASE,)),
    Step("ShipOrder", None, (_SERVICE,), (_RELEASE,)),
    Step("Backorder", None, (_SERVICE,), (_RELEASE,)),
    Step("Release", FAILED, (_SERVICE,), (CatchRule((ANY_ERROR,), FAILED),)),
)


def build_asl(steps: tuple[Step, ...], functions: Mapping[str, str]) -> dict[str, Any]:
    """Build the state machine.

    Args:
        steps: the table.
        functions: ARN of the function of each step.

    """
    states = {step.name: _build_state(step, functions[step.name]) for step in steps}
    failed = {"Type": "Fail", "ErrorPath": f"$.{FAILURE}.Error", "CausePath": f"$.{FAILURE}.Cause"}
    return {
        "Comment": "Orders: ProcessOrder, CheckInventory, UpdateOrderStatus, ShipOrder",
        "StartAt": steps[0].name,
        "States": {**states, FAILED: failed},
    }


def dump_asl() -> str:
    """Return the state machine as JSON, with `${Step}` in place of ARNs: what `make workflow` writes."""
    built = build_asl(ORDER_WORKFLOW, {step.name: f"${{{step.name}}}" for step in ORDER_WORKFLOW})
    return json.dumps(built, indent=2)


def name_execution(order_id: str, event_id: str) -> str:
    """Return the name of an order's execution: the same event starts one."""
    # 80 characters, of which the hash has 64: of a long id, or one with other characters, the hash is the identity.
    readable = re.sub(r"[^A-Za-z0-9_-]", "_", order_id)[: _MAX_NAME - len(event_id) - 1]
    return f"{readable}-{event_id}"


def find_problems(steps: tuple[Step, ...]) -> Iterator[str]:
    """Find what is wrong with a table."""
    names = {step.name for step in steps}
    reached = {steps[0].name}
    for step in steps:
        ends = [step.next_step, *(each.next_step for each in step.catches)]
        yield from (
            f"{step.name} leads to {end}, which is no step" for end in ends if end not in {*names, FAILED, None}
        )
        reached |= {end for end in ends if end is not None}
        if not any(set(SERVICE_ERRORS) <= {*each.errors} for each in step.retries):
            yield f"{step.name} does not retry errors of services"
        if not step.catches or step.catches[-1].errors != (ANY_ERROR,):
            yield f"{step.name} does not catch {ANY_ERROR} last"
    yield from (f"{name} cannot be reached" for name in sorted(names - reached))


def _build_state(step: Step, function: str) -> dict[str, Any]:
    end = {"End": True} if step.next_step is None else {"Next": step.next_step}
    retries = [
        {
            "ErrorEquals": [*rule.errors],
            "IntervalSeconds": rule.interval_seconds,
            "MaxAttempts": rule.max_attempts,
            "BackoffRate": rule.backoff_rate,
            "MaxDelaySeconds": rule.max_delay_seconds,
            "JitterStrategy": "FULL",
        }
        for rule in step.retries
    ]
    catches = [
        {"ErrorEquals": [*rule.errors], "Next": rule.next_step, "ResultPath": f"$.{FAILURE}"} for rule in step.catches
    ]
    # The data of the order is what every step gets: a retry, and the release, begin from the event.
    task = {"Type": "Task", "Resource": function, "TimeoutSeconds": _TIMEOUT_SECONDS, "ResultPath": "$.status"}
    return {**task, "Retry": retries, "Catch": catches, **end}


if _PROBLEMS := [*find_problems(ORDER_WORKFLOW)]:
    raise ValueError("; ".join(_PROBLEMS))
