"""What functions of Lambda call, made of settings: deployed as `fillrate_assets.lambda_functions.NAME`.

They make what they need once for each process. What they do is in the areas.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import version
from typing import Any

from fillrate_assets import settings
from fillrate_assets.aws import secrets, step_functions
from fillrate_assets.aws.dynamodb import DynamoTable
from fillrate_assets.fulfillment.lambda_handlers import LambdaHandlers
from fillrate_assets.fulfillment.order_steps import OrderData
from fillrate_assets.fulfillment.rules.order_workflow import name_execution
from fillrate_assets.fulfillment.sources.stock_target import StockTarget
from fillrate_assets.fulfillment.sources.targets import HttpTarget, Target
from fillrate_assets.inventory.dynamo_stock import DynamoStock
from fillrate_assets.inventory.lambda_handlers import DIMENSION, StockHandlers
from fillrate_assets.inventory.sources.replicas import HttpReplica
from fillrate_assets.inventory.stock_ledger import StockLedger
from fillrate_assets.messaging import log_context
from fillrate_assets.messaging.lambda_batches import BatchEvent, BatchMetrics, BatchResponse
from fillrate_assets.messaging.sqs_queues import SqsQueues
from fillrate_assets.settings import Settings


@cache
def _load() -> tuple[Settings, SqsQueues]:
    chosen = settings.load()
    log_context.adopt_handlers(chosen.environment.log_level)
    names = chosen.fulfillment_aws
    queues = SqsQueues(names.queue_urls, names.deferred_queue_url, names.parked_queue_url, names.dead_letter_queue_url)
    return chosen, queues


@cache
def _build_handlers() -> LambdaHandlers:
    chosen, queues = _load()
    names = chosen.fulfillment_aws
    targets: dict[str, Target] = {name: HttpTarget(url) for name, url in chosen.fulfillment.targets.items()}
    if names.stock_table:
        targets["inventory"] = StockTarget(StockLedger(DynamoStock(DynamoTable(names.stock_table))))
    metrics = BatchMetrics()
    return LambdaHandlers(
        DynamoTable(names.table), queues, targets, metrics, version("fillrate-assets"), names.order_bucket
    )


@cache
def _build_stock_handlers() -> StockHandlers:
    chosen, queues = _load()
    token = secrets.reveal(chosen.inventory.replica_token.get_secret_value())
    replicas = {dc: HttpReplica(dc, url, token) for dc, url in chosen.inventory.replicas.items()}
    return StockHandlers(
        DynamoTable(chosen.fulfillment_aws.stock_table),
        queues,
        replicas,
        BatchMetrics(),
        {dc: BatchMetrics(**{DIMENSION: dc}) for dc in replicas},
        version("fillrate-assets"),
    )


def accept_events(event: BatchEvent, context: object) -> BatchResponse:
    """Accept the events of a batch of SQS."""
    return _build_handlers().accept_events(event, context)


def run_jobs(event: BatchEvent, context: object) -> BatchResponse:
    """Run the jobs of a batch of SQS."""
    return _build_handlers().run_jobs(event, context)


def dispatch_effects(event: BatchEvent, context: object) -> BatchResponse:
    """Enqueue the effects of a batch of the table's stream."""
    return _build_handlers().dispatch_effects(event, context)


def request_left_effects(_event: dict[str, Any], _context: object) -> int:
    """Enqueue effects that are still to be requested a minute after their transition; for a schedule."""
    return _build_handlers().request_left_effects()


def start_order(event: dict[str, Any], _context: object) -> bool:
    """Start the workflow of an order, once for each event; return whether it was new."""
    arn = settings.load().fulfillment_aws.order_workflow_arn
    return step_functions.start(arn, name_execution(event["order_id"], event["event_id"]), json.dumps({"event": event}))


def process_order(data: OrderData, _context: object) -> str:
    """Process an order; return the state of the order."""
    return _build_handlers().steps.process_order(data)


def check_inventory(data: OrderData, _context: object) -> str:
    """Reserve the lines of an order; return the state of the order."""
    return _build_handlers().steps.check_inventory(data)


def update_order_status(data: OrderData, _context: object) -> str:
    """Take the reservation into the log; return the state of the order."""
    return _build_handlers().steps.update_order_status(data)


def ship_order(data: OrderData, _context: object) -> str:
    """Let the warehouse begin; return the state of the order."""
    return _build_handlers().steps.ship_order(data)


def backorder(data: OrderData, _context: object) -> str:
    """Take a shortage into the log; return the state of the order."""
    return _build_handlers().steps.backorder(data)


def release(data: OrderData, _context: object) -> str:
    """Release what was reserved; return the state of the order."""
    return _build_handlers().steps.release(data)


def send_stock_changes(event: BatchEvent, context: object) -> BatchResponse:
    """Enqueue the changes of a batch of the stock's stream for every DC."""
    return _build_stock_handlers().send_changes(event, context)


def apply_stock_changes(event: BatchEvent, context: object) -> BatchResponse:
    """Send the changes of a batch of SQS to a DC."""
    return _build_stock_handlers().apply_changes(event, context)


def watch_stock(_event: dict[str, Any], _context: object) -> None:
    """Show that the stream of the stock is read, and measure how long ago copies were compared; for a schedule."""
    _build_stock_handlers().watch()
