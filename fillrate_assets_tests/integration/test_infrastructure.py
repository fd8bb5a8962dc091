"""The stack of fulfillment: what it declares, and that it deploys, takes an event, has no changes and is deleted.

The first needs Node.js, the second also the CLI of the CDK: FILLRATE_TEST_CDK names it, or it is on the path.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from fillrate_assets.aws.dynamodb import DynamoTable
from fillrate_assets.fulfillment.dynamo_log import DynamoLog
from fillrate_assets.fulfillment.event_intake import EVENT_QUEUE
from fillrate_assets.fulfillment.rules.decisions import Head
from fillrate_assets.fulfillment.rules.event_documents import dump_event
from fillrate_assets.fulfillment.rules.lifecycles import FUNCTIONS
from fillrate_assets.messaging.jobs import Job
from fillrate_assets_tests.conftest import ROOT
from fillrate_assets_tests.factories.fulfillment_events import make_event
from fillrate_assets_tests.fixtures.cloud import REGION, Cloud
from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS, wait_until

NODE: Final = shutil.which("node")
CDK: Final = os.environ.get("FILLRATE_TEST_CDK") or shutil.which("cdk")
NAME: Final = "fulfillment"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(NODE is None, reason="Node.js is not installed")]


def make_code(directory: Path, **environment: str) -> Path:
    """Make the code of the functions: they run in this environment, as it is."""
    code = directory / "code"
    code.mkdir()
    exported = "".join(f"export {name}='{value}'\n" for name, value in environment.items())
    bootstrap = code / "bootstrap"
    bootstrap.write_text(f"#!/bin/sh\n{exported}exec {sys.executable} -W ignore -m awslambdaric $_HANDLER\n")
    bootstrap.chmod(0o755)
    return code


def run(*command: str, **environment: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own command
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def resources(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the stack declares."""
    directory = tmp_path_factory.mktemp("stack")
    context = {"code": str(make_code(directory)), "name": NAME}
    run(sys.executable, "-m", "infrastructure.app", CDK_OUTDIR=f"{directory}/out", CDK_CONTEXT_JSON=json.dumps(context))
    template = json.loads((directory / "out" / f"{NAME}.template.json").read_text())
    return [*template["Resources"].values()]


def find(resources: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [each["Properties"] for each in resources if each["Type"] == kind]


def test_the_stack_declares_what_loses_nothing(resources: list[dict[str, Any]]) -> None:
    (table,) = find(resources, "AWS::DynamoDB::Table")
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["StreamSpecification"] == {"StreamViewType": "NEW_IMAGE"}
    assert table["TimeToLiveSpecification"]["AttributeName"] == "expires_at"
    assert table["DeletionProtectionEnabled"]
    queues = find(resources, "AWS::SQS::Queue")
    assert len([each for each in queues if each.get("FifoQueue") and "RedrivePolicy" in each]) == 1 + len(FUNCTIONS)
    mappings = find(resources, "AWS::Lambda::EventSourceMapping")
    assert len(mappings) == 3 + len(FUNCTIONS)
    assert all(each["FunctionResponseTypes"] == ["ReportBatchItemFailures"] for each in mappings)
    (stream,) = [each for each in mappings if "BisectBatchOnFunctionError" in each]
    assert (stream["MaximumRetryAttempts"], stream["MaximumRecordAgeInSeconds"]) == (5, 3600)
    assert {each["TreatMissingData"] for each in find(resources, "AWS::CloudWatch::Alarm")} == {"breaching"}


def test_each_function_has_a_role_of_its_own_and_none_deletes_from_the_log(resources: list[dict[str, Any]]) -> None:
    functions = find(resources, "AWS::Lambda::Function")
    assert len({json.dumps(each["Role"]) for each in functions}) == len(functions)
    actions = json.dumps(find(resources, "AWS::IAM::Policy"))
    assert "dynamodb:DeleteItem" not in actions
    assert "dynamodb:*" not in actions


@pytest.mark.skipif(CDK is None, reason="the CLI of the CDK is not installed: npm install aws-cdk, FILLRATE_TEST_CDK")
def test_the_stack_deploys_takes_an_event_has_no_changes_and_is_deleted(aws: Cloud, tmp_path: Path) -> None:
    code = make_code(tmp_path, PYTHONPATH=str(ROOT), **aws.environment)
    account = {"AWS_DEFAULT_REGION": REGION, "CDK_DEFAULT_REGION": REGION, "CDK_DEFAULT_ACCOUNT": "000000000000"}
    context = {"code": str(code), "name": NAME, "destroys_data": "true"}
    options = [option for name, value in context.items() for option in ("-c", f"{name}={value}")]
    application = ["--app", f"{sys.executable} -m infrastructure.app", "--output", f"{tmp_path}/out", *options]
    outputs = tmp_path / "outputs.json"
    deploy = [str(CDK), "deploy", *application, "--require-approval", "never", "--outputs-file", str(outputs)]

    run(str(CDK), "bootstrap", f"aws://000000000000/{REGION}", *application, **account)
    run(*deploy, **account)
    made = json.loads(outputs.read_text())[NAME]
    log = DynamoLog(DynamoTable(made["Table"]), "1.0")

    job = Job("1", EVENT_QUEUE, dump_event(make_event("OrderReceived")), "O1")
    aws.make_client("sns").publish(
        TopicArn=made["Topic"],
        Message=job.dump(),
        MessageGroupId="O1",
        MessageDeduplicationId="1",
        MessageAttributes={"fn": {"DataType": "String", "StringValue": EVENT_QUEUE}},
    )
    # As far as the function of the first queue: that effects follow is tested in test_lambda_handlers.py.
    wait_until(lambda: log.read_head("O1") == Head("O1", 1, "RECEIVED", "order"), lambda: log.read_head("O1"))
    assert "no changes" in run(*deploy, **account)
    for key in aws.list_keys(made["Bucket"]):
        aws.make_client("s3").delete_object(Bucket=made["Bucket"], Key=key)
    # The CLI names the stack by its ARN, which the local server does not delete by.
    aws.make_client("cloudformation").delete_stack(StackName=NAME)
    stacks = aws.make_client("cloudformation")
    wait_until(
        lambda: made["Table"] not in aws.make_client("dynamodb").list_tables()["TableNames"],
        lambda: stacks.list_stacks()["StackSummaries"],
    )
