"""The workflow of an order: its table and what its steps do. `integration/test_deployed_stack` runs its branches."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import pytest

from fillrate_assets.aws.dynamodb import DynamoTable
from fillrate_assets.aws.s3 import S3Documents
from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.fulfillment.dynamo_log import DynamoEffects, DynamoLog
from fillrate_assets.fulfillment.effect_store import EffectStore
from fillrate_assets.fulfillment.log_port import EffectRequest
from fillrate_assets.fulfillment.order_steps import InventoryError, OrderSteps, OutOfStock
from fillrate_assets.fulfillment.rules.event_documents import dump_event
from fillrate_assets.fulfillment.rules.lifecycles import FUNCTIONS
from fillrate_assets.fulfillment.rules.order_workflow import (
    ORDER_WORKFLOW,
    CatchRule,
    dump_asl,
    find_problems,
    name_execution,
)
from fillrate_assets.fulfillment.sources.targets import TargetAnswer, TargetEvent
from fillrate_assets.fulfillment.transition_log import TransitionLog
from fillrate_assets_tests.conftest import ROOT
from fillrate_assets_tests.factories.fulfillment_events import AT, LINES, make_event
from fillrate_assets_tests.fixtures.cloud import Cloud
from fillrate_assets_tests.fixtures.embedded import create_database

EVENT: Final = make_event("OrderReceived", customer="C1", lines=LINES)
DATA: Final = {"event": dump_event(EVENT)}
ANSWERS: Final = {"validate_order": "OrderValidated", "reserve_stock": "InventoryReserved"} | {
    "start_picking": "PickingStarted",
    "release_stock": "ReservationReleased",
}


def test_the_file_of_the_workflow_is_what_the_table_says() -> None:
    # Decision 0242: `${...}` are what a deployment puts in place.
    assert (ROOT / "deploy" / "order-workflow.asl.json").read_text() == f"{dump_asl()}\n", "make workflow"


def test_a_table_with_a_gap_is_found() -> None:
    first, *rest = ORDER_WORKFLOW
    no_retry, no_catch = replace(first, retries=()), replace(first, catches=())
    assert [*find_problems((no_retry, *rest))] == ["ProcessOrder does not retry errors of services"]
    assert [*find_problems((no_catch, *rest))] == ["ProcessOrder does not catch States.ALL last"]
    lost = replace(first, next_step="Sing", catches=(CatchRule(("States.ALL",), "Release"),))
    assert [*find_problems((lost, *rest[4:]))] == ["ProcessOrder leads to Sing, which is no step"]
    assert "Backorder cannot be reached" in [*find_problems((first, *rest[1:]))]


def test_an_execution_is_named_by_its_order_and_its_event() -> None:
    name = name_execution("order 7/" * 9, EVENT.event_id)
    assert (len(name), name) == (80, f"order_7_order_7-{EVENT.event_id}")


@dataclass
class Targets:
    """Targets that answer by kind of effect."""

    answers: dict[str, str | Exception | None] = field(default_factory=lambda: {**ANSWERS})
    requests: Counter[str] = field(default_factory=Counter)
    documents: dict[str, str] = field(default_factory=dict)

    def request(self, effect: EffectRequest) -> TargetAnswer:
        self.requests[effect.effect_id] += 1
        answer = self.answers.get(effect.kind)
        if isinstance(answer, Exception):
            raise answer
        return TargetAnswer([TargetEvent(answer)] if answer else [])

    def put(self, name: str, content: str) -> None:
        self.documents.setdefault(name, content)


@pytest.fixture(params=["record store", "dynamodb"])
def steps(request: pytest.FixtureRequest, tmp_path: Path) -> OrderSteps:
    """The steps over each log."""
    targets = Targets()
    by_function = dict.fromkeys(FUNCTIONS, targets)
    if request.param == "dynamodb":
        cloud: Cloud = request.getfixturevalue("aws")
        table = DynamoTable(cloud.create_fulfillment_table())
        return OrderSteps(DynamoLog(table, "1.0"), DynamoEffects(table), by_function, targets, clock=lambda: AT)
    database = create_database(f"sqlite:///{tmp_path}/records.db")
    log, effects = TransitionLog(database, "1.0"), EffectStore(database)
    return OrderSteps(log, effects, by_function, targets, clock=lambda: AT)


def get_targets(steps: OrderSteps) -> Targets:
    targets = steps.documents
    assert isinstance(targets, Targets)
    return targets


def test_each_step_may_run_twice_and_the_order_goes_on_to_picking(steps: OrderSteps) -> None:
    run = [steps.process_order, steps.check_inventory, steps.update_order_status, steps.ship_order]
    assert [step(DATA) for step in run for _ in range(2)] == [
        *["VALIDATED"] * 2,
        *["InventoryReserved"] * 2,
        *["RESERVED"] * 2,
        *["PICKING"] * 2,
    ]
    history = [entry.event_type for entry in steps.log.read_history("O1")]
    assert history == ["OrderReceived", "OrderValidated", "InventoryReserved", "PickingStarted"]
    assert steps.effects.read_request("O1:2:reserve_stock").state == "DONE"
    assert [*get_targets(steps).documents] == [f"orders/O1/{EVENT.event_id}.json"]


def test_a_shortage_is_a_backorder(steps: OrderSteps) -> None:
    steps.process_order(DATA)
    get_targets(steps).answers["reserve_stock"] = "InventoryShort"
    with pytest.raises(OutOfStock, match="order O1 cannot be reserved"):
        steps.check_inventory(DATA)
    assert [steps.backorder(DATA), steps.backorder(DATA)] == ["BACKORDERED", "BACKORDERED"]


def test_an_inventory_that_does_not_answer_is_an_error_of_its_own(steps: OrderSteps) -> None:
    steps.process_order(DATA)
    targets = get_targets(steps)
    for answer in (SourceUnavailable("timed out"), None):
        targets.answers["reserve_stock"] = answer
        with pytest.raises(InventoryError):
            steps.check_inventory(DATA)
    assert [steps.release(DATA), steps.release(DATA)] == ["CANCELLED", "CANCELLED"]
    assert targets.requests["O1:3:release_stock"] == 1


def test_an_order_that_is_refused_or_not_validated_yet_does_not_go_on(steps: OrderSteps) -> None:
    targets = get_targets(steps)
    targets.answers["validate_order"] = None
    with pytest.raises(SourceUnavailable, match="order O1 is not validated yet"):
        steps.process_order(DATA)
    targets.answers["validate_order"] = "OrderRefused"
    with pytest.raises(PermanentFailure, match="order O1 is refused"):
        steps.process_order(DATA)
    with pytest.raises(PermanentFailure, match="order O1 has never been VALIDATED"):
        steps.check_inventory(DATA)
    assert steps.release(DATA) == "REJECTED"


def test_a_document_is_written_once(aws: Cloud) -> None:
    documents = S3Documents(aws.create_bucket())
    documents.put("orders/O1/1.json", "first")
    documents.put("orders/O1/1.json", "second")
    found = aws.make_client("s3").get_object(Bucket=documents.bucket, Key="orders/O1/1.json")["Body"].read()
    assert found == b"first"
