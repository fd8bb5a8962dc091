"""The stack of fulfillment, deployed by its own code and run end to end: on the local AWS, or on an account.

One test, so that one process deploys once; each part of it is a rule. It needs Node.js and the CLI of the CDK, which
`npm ci --prefix infrastructure` installs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner

from fillrate_assets.aws.dynamodb import DynamoTable
from fillrate_assets.cli.fulfillment import fulfillment
from fillrate_assets.fulfillment.event_intake import EVENT_QUEUE
from fillrate_assets.fulfillment.rules.decisions import Head, fold
from fillrate_assets.fulfillment.rules.event_documents import dump_event, parse_document
from fillrate_assets.fulfillment.rules.order_lifecycle import ORDER_LIFECYCLE
from fillrate_assets.fulfillment.rules.order_workflow import ORDER_WORKFLOW, SERVICE_ERRORS, name_execution
from fillrate_assets.fulfillment.sources.cloud_event_documents import unwrap_document
from fillrate_assets.inventory.dynamo_stock import DynamoStock
from fillrate_assets.messaging.jobs import Job
from fillrate_assets_tests.fixtures import workflow_stub
from fillrate_assets_tests.fixtures.deployed_stack import CDK, ON_AWS, DeployedStack, deploy_stack
from fillrate_assets_tests.fixtures.patience import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CDK is None, reason="no CLI of the CDK: npm ci --prefix infrastructure"),
]


def make_document(order_id: str, event_type: str = "OrderReceived", /, **plan: list[str] | int) -> dict[str, Any]:
    """Make the event of an order whose target answers as planned, in an envelope."""
    # Two lines of one item, and of B there is none.
    item = "B" if order_id.startswith("B") else "A"
    lines = [{"line_no": number, "item": item, "cases": "2.5"} for number in (1, 2)]
    return {
        "specversion": "1.0",
        "id": "of a message",
        "source": "oms",
        "type": event_type,
        "subject": order_id,
        "time": "2026-02-10T12:00:00Z",
        "dc": "DC01",
        "shipdate": "2026-02-12",
        "sourceversion": "1",
        "data": {"customer": json.dumps(plan), "lines": lines} if event_type == "OrderReceived" else {},
    }


def submit(stack: DeployedStack, document: dict[str, Any]) -> None:
    stack.publish("intake", json.dumps(document), document["subject"])


def wait_for(stack: DeployedStack, order_id: str, state: str) -> None:
    wait_until(lambda: stack.log.read_head(order_id).state == state, lambda: stack.log.read_head(order_id))


def check_that_an_order_goes_its_way_once(stack: DeployedStack) -> None:
    document = make_document("W1")
    for _ in range(3):
        submit(stack, document)
    wait_for(stack, "W1", "DELIVERED")
    history = stack.log.read_history("W1")
    assert fold(ORDER_LIFECYCLE, history) == stack.log.read_head("W1") == Head("W1", 8, "DELIVERED", "order")
    wait_until(lambda: not stack.effects.find_pending(datetime.now(UTC), 10))
    level = stack.stock.table.read_level("DC01", "A")
    assert level is not None
    assert (level.on_hand, level.reserved) == (Decimal(95), Decimal(0))


def check_that_a_job_that_is_delivered_again_changes_nothing(stack: DeployedStack) -> None:
    received = parse_document(unwrap_document(make_document("W1")))
    for job_id in ("again", "and again"):
        stack.publish(EVENT_QUEUE, Job(job_id, EVENT_QUEUE, dump_event(received.event), "W1").dump(), "W1")
    stack.publish("order", Job("W1:1:validate_order", "order", {"effect_id": "W1:1:validate_order"}).dump(), "W1:1")
    submit(stack, make_document("W2"))
    wait_for(stack, "W2", "DELIVERED")
    assert stack.log.read_head("W1").version == 8


def check_that_an_event_that_is_early_comes_again(stack: DeployedStack) -> None:
    # Its target says nothing: the order is validated by what was sent before it.
    submit(stack, make_document("E1", "OrderValidated"))
    submit(stack, make_document("E1", validate_order=[]))
    wait_for(stack, "E1", "DELIVERED")


def check_that_what_is_no_event_is_a_dead_letter_that_operators_see_and_discard(stack: DeployedStack) -> None:
    document = make_document("P1", "Sung")
    submit(stack, document)
    stack.publish(EVENT_QUEUE, "{", "P2")
    wait_until(lambda: stack.queues.count_dead_letters() == 2)
    letters = {each.error: each for each in stack.queues.list_dead_letters(10)}
    assert {name: each.body for name, each in letters.items()} == {
        "PermanentFailure": json.dumps(document),
        "JSONDecodeError": "{",
    }
    shown = json.loads(run_command("dead-letters", "show", letters["PermanentFailure"].job.job_id))
    assert shown["source"].startswith("arn:aws:sqs:")
    assert shown["reason"].startswith("type is one of OrderReceived")
    assert shown["attempts"] == 1
    assert shown["first_failed_at"] < shown["last_failed_at"]
    assert shown["code_version"]
    for each in letters.values():
        run_command("dead-letters", "discard", each.job.job_id, "--reason", "of a test")
    assert run_command("dead-letters") == "there are no dead letters\n"


def check_that_an_effect_that_is_refused_is_tried_again_once_its_target_is_mended(stack: DeployedStack) -> None:
    submit(stack, make_document("D1", book_carrier=400))
    wait_until(lambda: stack.queues.count_dead_letters() == 1)
    assert "dead: book_carrier (D1:5:book_carrier), attempts: 1" in run_command("status", "D1")
    assert "dead: 1" in run_command("status")
    stack.mend_target("book_carrier")
    assert run_command("dead-letters", "redrive", "--all") == "D1:5:book_carrier is tried again\n"
    wait_for(stack, "D1", "DELIVERED")


def check_that_operators_submit_events_and_replay_the_log(stack: DeployedStack) -> None:
    document = json.dumps(make_document("S1", validate_order=[]))
    assert run_command("submit", "-", given=f"{document}\n{document}") == (
        "1 accepted, 1 known already, 0 known with another payload, 0 refused\n"
    )
    wait_for(stack, "S1", "RECEIVED")
    assert "by oms" not in run_command("history", "S1")
    assert "1. OrderReceived of oms: NOTHING -> RECEIVED, applied by lambda with" in run_command("explain", "S1")
    table = stack.log.table
    table.update("ORDER#S1", "HEAD", "SET state = :state", "", {":state": "PACKED"})
    with pytest.raises(AssertionError, match="S1: the head is PACKED at version 1, the log folds into RECEIVED"):
        run_command("replay", "verify", "--dc", "DC01", "--ship-date", "2026-02-12")
    assert run_command("replay", "rebuild", "--order", "S1", "--reason", "a test").endswith("1 rebuilt\n")
    assert ": as the log says; " in run_command("replay", "verify")
    assert "a test" in run_command("history", "S1")


def run_command(*command: str, given: str = "") -> str:
    """Run a command of operators, whose settings are those that the stack puts out; return what it prints."""
    done = CliRunner().invoke(fulfillment, command, input=given, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@dataclass(frozen=True)
class Branch:
    """How a deployed order's workflow ends where its target answers as planned."""

    plan: dict[str, list[str] | int]
    status: str
    visited: list[str]
    state: str


STEPS: Final = [step.name for step in ORDER_WORKFLOW]
WAY: Final = STEPS[:4]
BRANCHES: Final = {
    "F1": Branch({"start_picking": ["PickingStarted"]}, "SUCCEEDED", WAY, "PICKING"),
    "B2": Branch({}, "SUCCEEDED", ["ProcessOrder", "CheckInventory", "Backorder"], "BACKORDERED"),
    "F2": Branch({"validate_order": ["OrderRefused"]}, "FAILED", ["ProcessOrder", "Release", "Failed"], "REJECTED"),
    "F3": Branch({"start_picking": 400}, "FAILED", [*WAY, "Release", "Failed"], "CANCELLED"),
}


def check_that_the_workflow_of_an_order_ends_as_its_steps_do(stack: DeployedStack) -> None:
    found = {}
    for order_id, branch in BRANCHES.items():
        event = dump_event(parse_document(unwrap_document(make_document(order_id, **branch.plan))).event)
        invoked = stack.make_client("lambda").invoke(
            FunctionName=stack.outputs["OrderStarterFunction"], Payload=json.dumps(event)
        )
        assert json.load(invoked["Payload"]) is True
    for order_id, branch in BRANCHES.items():
        event_id = parse_document(unwrap_document(make_document(order_id, **branch.plan))).event.event_id
        status, visited = wait_for_execution(stack, name_execution(order_id, event_id))
        found[order_id] = (status, visited, stack.log.read_head(order_id).state)
    assert found == {name: (each.status, each.visited, each.state) for name, each in BRANCHES.items()}


PLANS: Final[dict[str, tuple[dict[str, list[str]], list[str], str]]] = {
    "way": ({}, WAY, "SUCCEEDED"),
    "errors of services": (
        {step: [error] for step, error in zip(WAY, SERVICE_ERRORS, strict=False)},
        [step for step in WAY for _ in range(2)],
        "SUCCEEDED",
    ),
    "other errors of services": (
        {"CheckInventory": ["OutOfStock"], "Backorder": [*SERVICE_ERRORS[4:]]},
        ["ProcessOrder", "CheckInventory", *["Backorder"] * 3],
        "SUCCEEDED",
    ),
    "inventory that answers in the end": (
        {"CheckInventory": ["InventoryError"] * 3},
        ["ProcessOrder", *["CheckInventory"] * 4, *WAY[2:]],
        "SUCCEEDED",
    ),
    "inventory that does not answer": (
        {"CheckInventory": ["InventoryError"] * 4},
        ["ProcessOrder", *["CheckInventory"] * 4, "Release"],
        "FAILED",
    ),
    "order that fails": ({"ProcessOrder": ["PermanentFailure"]}, ["ProcessOrder", "Release"], "FAILED"),
    "status that fails": ({"UpdateOrderStatus": ["KeyError"]}, [*WAY[:3], "Release"], "FAILED"),
    "shipping that fails, and a release that is retried": (
        {"ShipOrder": ["PermanentFailure"], "Release": ["SourceUnavailable"]},
        [*WAY, "Release", "Release"],
        "FAILED",
    ),
    "backorder that fails, and its release": (
        {"CheckInventory": ["OutOfStock"], "Backorder": ["KeyError"], "Release": ["KeyError"]},
        ["ProcessOrder", "CheckInventory", "Backorder", "Release"],
        "FAILED",
    ),
}
"""Errors that each step raises, one at each call; the calls, and how the workflow ends."""


def check_that_each_error_of_a_step_leads_where_the_table_says(stack: DeployedStack) -> None:
    client, arn = stack.make_client("stepfunctions"), stack.outputs["OrderWorkflowArn"]
    states = json.loads(client.describe_state_machine(stateMachineArn=arn)["definition"])["States"]
    for step in STEPS:
        stack.replace_code(states[step]["Resource"], Path(workflow_stub.__file__).read_text(), STEP=step)
    for number, (plan, *_) in enumerate(PLANS.values()):
        name = f"plan-{number}"
        client.start_execution(stateMachineArn=arn, name=name, input=json.dumps({"plan": plan, "execution": name}))
    found = {}
    for number, case in enumerate(PLANS):
        status, entered = wait_for_execution(stack, f"plan-{number}")
        table = DynamoTable(stack.outputs["Table"])
        calls = {item["sk"]: item["calls"] for item in table.query(f"STUB#plan-{number}")}
        found[case] = ([step for step in entered if step in STEPS for _ in range(calls[step])], status)
    assert found == {name: (calls, status) for name, (_, calls, status) in PLANS.items()}


def wait_for_execution(stack: DeployedStack, name: str) -> tuple[str, list[str]]:
    """Wait for an execution; return how it ended, and which states it entered."""
    client, arn = stack.make_client("stepfunctions"), stack.outputs["OrderWorkflowArn"]
    named = {"executionArn": f"{arn.replace(':stateMachine:', ':execution:')}:{name}"}
    wait_until(
        lambda: client.describe_execution(**named)["status"] != "RUNNING", lambda: client.get_execution_history(**named)
    )
    pages = client.get_paginator("get_execution_history").paginate(**named)
    entered = [
        each["stateEnteredEventDetails"]["name"]
        for page in pages
        for each in page["events"]
        if "stateEnteredEventDetails" in each
    ]
    return client.describe_execution(**named)["status"], entered


def check_that_every_count_gets_to_the_other_dc_and_can_be_restored(stack: DeployedStack) -> None:
    if stack.replica is None:
        pytest.skip("the DC is on this machine, and a restore takes a quarter of an hour")
    replica, client = stack.replica, stack.make_client("dynamodb")
    stack.stock.receive("DC01", {"C": Decimal(7)})
    counts = stack.counts.read_counts()
    assert counts["item"].to_list() == ["A", "C"]
    wait_until(lambda: replica.read_copies().drop("replica", "applied_at").equals(counts), replica.read_copies)
    # That of an order is left by the check before.
    assert [each.job.queue for each in stack.queues.list_dead_letters(10) if "replica" in each.job.queue] == []
    invoked = stack.make_client("lambda").invoke(FunctionName=stack.outputs["StockWatcherFunction"])
    assert "FunctionError" not in invoked
    name = f"{stack.outputs['StockTable']}-restored"
    client.restore_table_to_point_in_time(
        SourceTableName=stack.outputs["StockTable"], TargetTableName=name, UseLatestRestorableTime=True
    )
    assert DynamoStock(DynamoTable(name)).read_counts().equals(counts)
    client.delete_table(TableName=name)


CHECKS: list[Callable[[DeployedStack], None]] = [
    check_that_an_order_goes_its_way_once,
    check_that_a_job_that_is_delivered_again_changes_nothing,
    check_that_an_event_that_is_early_comes_again,
    check_that_what_is_no_event_is_a_dead_letter_that_operators_see_and_discard,
    check_that_an_effect_that_is_refused_is_tried_again_once_its_target_is_mended,
    check_that_operators_submit_events_and_replay_the_log,
    check_that_the_workflow_of_an_order_ends_as_its_steps_do,
    check_that_every_count_gets_to_the_other_dc_and_can_be_restored,
    check_that_each_error_of_a_step_leads_where_the_table_says,
]
"""The last one replaces the code of the steps."""


def test_the_stack_deploys_takes_orders_has_no_changes_and_is_deleted(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    subtests: pytest.Subtests,
) -> None:
    cloud = None if ON_AWS else request.getfixturevalue("aws_emulator")
    with deploy_stack(cloud, tmp_path_factory.mktemp("stack")) as stack:
        home = {"FILLRATE_HOME": str(tmp_path_factory.mktemp("home"))}
        for name, value in {**stack.environment, **stack.settings, **home}.items():
            monkeypatch.setenv(name, value)
        stack.stock.receive("DC01", {"A": Decimal(100)})
        for check in CHECKS:
            with subtests.test(check.__name__.removeprefix("check_that_")):
                check(stack)
        with subtests.test("a_second_deployment_changes_nothing"):
            assert "no changes" in stack.deploy()
    assert stack.outputs["Table"] not in stack.make_client("dynamodb").list_tables()["TableNames"]
