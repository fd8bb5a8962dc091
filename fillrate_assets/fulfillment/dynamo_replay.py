"""Replay of the log in DynamoDB: each order is folded and compared with its head, which is put in place of it.

There is no sequence over all orders, so a replay goes by order, DC or ship date. No effect is requested.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from fillrate_assets.aws.dynamodb import DynamoTable, Item
from fillrate_assets.core.errors import ContractViolation, PermanentFailure
from fillrate_assets.fulfillment.dynamo_log import (
    ENTRY_PREFIX,
    HEAD,
    INTERVENTION_PREFIX,
    NEW,
    make_entry,
    make_head,
    name_order,
)
from fillrate_assets.fulfillment.interventions import Intervention
from fillrate_assets.fulfillment.replay import Difference, ReplayResult, ReplayScope
from fillrate_assets.fulfillment.rules.decisions import Head, fold
from fillrate_assets.fulfillment.rules.lifecycles import LIFECYCLES

_FIRST: Final = f"{ENTRY_PREFIX}{1:010d}"
_PART: Final = 500
"""Orders of a part."""


def verify_parts(table: DynamoTable, scope: ReplayScope) -> Iterator[ReplayResult]:
    """Fold the log of each order in the scope, part by part; digests are of all parts so far.

    Raises:
        SourceUnavailable: DynamoDB did not answer.
        PermanentFailure: the scope names a `global_seq`.

    """
    if scope.since is not None or scope.until is not None:
        msg = "the log in DynamoDB has no global_seq: name an order, a DC or a ship date"
        raise PermanentFailure(msg)
    part, of_log, of_heads = ReplayResult(), hashlib.sha256(), hashlib.sha256()
    for order_id in _find_orders(table, scope):
        items = table.query(name_order(order_id))
        stored = next((make_head(each) for each in items if each["sk"] == HEAD), Head(order_id))
        entries = [each for each in items if each["sk"].startswith(ENTRY_PREFIX)]
        folded, problem = _fold(entries)
        part.orders += 1
        part.events += len(entries)
        of_log.update(repr(folded).encode())
        of_heads.update(repr(stored).encode())
        if folded != stored:
            found = problem or f"the head is {_describe(stored)}, the log folds into {_describe(folded or stored)}"
            part.differences.append(Difference(order_id, stored, folded, found))
        if part.orders == _PART:
            yield part.close(of_log.hexdigest(), of_heads.hexdigest())
            part = ReplayResult()
    yield part.close(of_log.hexdigest(), of_heads.hexdigest())


def rebuild(table: DynamoTable, part: ReplayResult, intervention: Intervention) -> int:
    """Put what the log says in the place of the heads that differ; return how many.

    A head that a function has moved since is left. Who did it and why is an item of the order.
    """
    return sum(
        _put_head(table, each, each.folded, intervention) for each in part.differences if each.folded is not None
    )


def _find_orders(table: DynamoTable, scope: ReplayScope) -> Iterator[str]:
    if scope.order_id is not None:
        yield scope.order_id
        return
    ship_date = scope.ship_date and scope.ship_date.isoformat()
    for item in table.scan(_FIRST):
        wanted = ((item["dc"], scope.dc), (item.get("ship_date"), ship_date))
        if all(value in {None, found} for found, value in wanted):
            yield item["order_id"]


def _fold(entries: Sequence[Mapping[str, Any]]) -> tuple[Head | None, str]:
    if not entries:
        return None, "there is no log of it"
    machine = LIFECYCLES.get(entries[0]["machine"])
    if machine is None:
        return None, f"there is no lifecycle {entries[0]['machine']}"
    try:
        return fold(machine, [make_entry(each) for each in entries]), ""
    except ContractViolation as error:
        return None, str(error)


def _put_head(table: DynamoTable, difference: Difference, folded: Head, intervention: Intervention) -> bool:
    order, now = name_order(difference.order_id), intervention.now.isoformat()
    first = table.get(order, _FIRST) or {}
    values: Item = {
        ":order": difference.order_id,
        ":version": folded.version,
        ":state": folded.state,
        ":machine": folded.machine,
        ":dc": first.get("dc"),
        ":now": now,
    }
    change = (
        "SET order_id = :order, version = :version, state = :state, machine = :machine, dc = :dc, changed_at = :now"
    )
    if first.get("ship_date"):
        change, values = f"{change}, ship_date = :date", {**values, ":date": first["ship_date"]}
    condition = "version = :read" if difference.stored.version else NEW
    values = {**values, ":read": difference.stored.version} if difference.stored.version else values
    if table.update(order, HEAD, change, condition, values) is None:
        return False
    noted: Item = {
        "pk": order,
        "sk": f"{INTERVENTION_PREFIX}{intervention.intervention_id}",
        "order_id": difference.order_id,
        "subject": difference.order_id,
        "action": intervention.action,
        "actor": intervention.actor,
        "reason": intervention.reason,
        "approver": intervention.approver,
        "code_version": intervention.code_version,
        "recorded_at": now,
    }
    table.write([table.make_put(noted)])
    return True


def _describe(head: Head) -> str:
    return f"{head.state} at version {head.version}"
