"""An order or party, and how much of what there is, read from the log in DynamoDB."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from fillrate_assets.aws.dynamodb import DynamoTable
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.fulfillment import dynamo_log, schema
from fillrate_assets.fulfillment.report.order_report import OrderReport, Row
from fillrate_assets.fulfillment.rules.lifecycles import FUNCTIONS

_TIMES: Final = ("occurred_at", "recorded_at", "changed_at")
_OPTIONAL: Final = ("ship_date", "causation_id", "failure", "approver")
_MOST: Final = 10_000


def read_order(table: DynamoTable, order_id: str) -> OrderReport:
    """Read what is stored about an order or party. Events that are accepted and wait cannot be found by order here.

    Raises:
        PermanentFailure: nothing is.
        SourceUnavailable: DynamoDB did not answer.

    """
    items = table.query(dynamo_log.name_order(order_id))
    rejected = [
        each
        for rejection in schema.REJECTIONS
        for each in table.query_index(dynamo_log.STATE_INDEX, "queue = :queue", {":queue": rejection}, limit=_MOST)
        if each["order_id"] == order_id
    ]
    if not (items or rejected):
        msg = f"there is no event of {order_id}"
        raise PermanentFailure(msg)

    def choose(prefix: str) -> list[Row]:
        return [_load(each) for each in items if each["sk"].startswith(prefix)]

    heads = choose(dynamo_log.HEAD)
    return OrderReport(
        order_id,
        heads[0] if heads else None,
        choose(dynamo_log.ENTRY_PREFIX),
        choose(dynamo_log.EFFECT_PREFIX),
        [_load(each) for each in rejected],
        waiting=[],
        interventions=choose(dynamo_log.INTERVENTION_PREFIX),
    )


def describe_totals(table: DynamoTable) -> list[str]:
    """Say how much is not done, was given up or rejected. What is done would have to be counted item by item."""

    def count(key: str) -> int:
        return table.count_index(dynamo_log.STATE_INDEX, "queue = :queue", {":queue": key})

    pending = {function: count(f"PENDING#{function}") for function in FUNCTIONS}
    waits = ", ".join(f"{number:,} {function}" for function, number in pending.items() if number) or "none"
    rejected = ", ".join(f"{count(each):,} {each}" for each in schema.REJECTIONS)
    return [f"effects that are not done: {waits}; dead: {count('DEAD'):,}", f"rejected events: {rejected}"]


def _load(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of an item as the record store has them."""
    times = {name: datetime.fromisoformat(item[name]) for name in _TIMES if name in item}
    return {**dict.fromkeys(_OPTIONAL), **item, **times}
