"""The stack of fulfillment: what it declares. It needs Node.js; that it works is in `test_deployed_stack`.

That of the platform is in `test_platform_stack`.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Final

import pytest

from fillrate_assets.fulfillment.rules.lifecycles import FUNCTIONS
from fillrate_assets.fulfillment.rules.order_workflow import ORDER_WORKFLOW
from fillrate_assets_tests.conftest import ROOT
from fillrate_assets_tests.fixtures.assemblies import DCS, Assembly, read_assembly
from fillrate_assets_tests.fixtures.deployed_stack import NODE, run

STEPS: Final = [step.name for step in ORDER_WORKFLOW]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(NODE is None, reason="Node.js is not installed")]


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """What the application synthesizes."""
    return read_assembly(tmp_path_factory, "prod", "fulfillment")


def test_the_stack_declares_what_loses_nothing(assembly: Assembly) -> None:
    assert len(assembly.names) == 2
    tables = assembly.find("AWS::DynamoDB::Table")
    table = next(each for each in tables if "TimeToLiveSpecification" in each)
    assert len(tables) == 2
    assert all(each["DeletionProtectionEnabled"] for each in tables)
    assert all(each["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] for each in tables)
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["StreamSpecification"] == {"StreamViewType": "NEW_IMAGE"}
    assert table["TimeToLiveSpecification"]["AttributeName"] == "expires_at"
    assert table["DeletionProtectionEnabled"]
    queues = assembly.find("AWS::SQS::Queue")
    assert len([each for each in queues if each.get("FifoQueue") and "RedrivePolicy" in each]) == 2 + len(FUNCTIONS)
    assert len([each for each in queues if "RedrivePolicy" in each]) == 3 + len(FUNCTIONS) + len(DCS)
    mappings = assembly.find("AWS::Lambda::EventSourceMapping")
    assert len(mappings) == 5 + len(FUNCTIONS) + len(DCS)
    assert all(each["FunctionResponseTypes"] == ["ReportBatchItemFailures"] for each in mappings)
    for stream in (each for each in mappings if "StartingPosition" in each):
        assert (stream["BatchSize"], stream["BisectBatchOnFunctionError"]) == (10, True)
        assert (stream["MaximumRetryAttempts"], stream["MaximumRecordAgeInSeconds"]) == (5, 3600)
        assert stream["DestinationConfig"]["OnFailure"]["Destination"]
    alarms = assembly.find("AWS::CloudWatch::Alarm")
    assert {each["TreatMissingData"] for each in alarms} == {"breaching"}
    assert all(each["AlarmActions"] for each in alarms)
    # Dead letters, parked, lost of each queue; the age of each queue, of effects, and what is measured of the stock.
    assert len(alarms) == 2 + 2 * (3 + len(FUNCTIONS) + len(DCS)) + 1 + 2 + 4 * len(DCS)


def test_the_sync_of_the_stock_alarms_as_on_one_machine(assembly: Assembly) -> None:
    # Decision 0281.
    alarms = [each for each in assembly.find("AWS::CloudWatch::Alarm") if each.get("Threshold") is not None]
    found = {
        (each["MetricName"], each["Statistic"], each["Threshold"])
        for each in alarms
        if {"Name": "replica", "Value": "DC03"} in each["Dimensions"]
    }
    assert found == {
        ("SyncLatency", "Average", 5),
        ("SyncLatency", "Maximum", 60),
        ("SyncErrors", "Average", 0.01),
        ("SyncConflicts", "Sum", 0),
    }
    others = {each["MetricName"]: (each["Statistic"], each["Threshold"]) for each in alarms}
    assert (others["ReconciliationAge"], others["IteratorAge"]) == (("Maximum", 9000), ("Maximum", 60_000))
    senders = [each for each in assembly.find("AWS::Lambda::EventSourceMapping") if "Sender" in json.dumps(each)]
    assert [each["ScalingConfig"] for each in senders] == [{"MaximumConcurrency": 16}] * len(DCS)
    (bucket,) = [each for each in assembly.find("AWS::S3::Bucket") if "NotificationConfiguration" in each]
    assert bucket["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    (said,) = [each for each in assembly.find("AWS::Events::Rule") if "EventPattern" in each]
    assert said["EventPattern"]["detail-type"] == ["Object Created"]


def test_cdk_nag_finds_nothing(assembly: Assembly) -> None:
    assert (assembly.report["conclusion"], assembly.report["violations"]) == ("success", [])


def test_each_function_has_a_role_of_its_own_and_none_deletes_from_the_log(assembly: Assembly) -> None:
    # Decision 0272.
    functions = assembly.find("AWS::Lambda::Function")
    assert len({json.dumps(each["Role"]) for each in functions}) == len(functions)
    policies = assembly.find("AWS::IAM::Policy")
    actions = json.dumps(policies)
    assert "dynamodb:DeleteItem" not in actions
    assert "dynamodb:*" not in actions
    applying = {
        each["PolicyName"].partition("RoleDefault")[0] for each in policies if "dynamodb:PutItem" in json.dumps(each)
    }
    consumers = {"EventsConsumer", "InventoryConsumer", "DeferredConsumer"}
    assert applying == {*consumers, *STEPS}
    watching = [each for each in policies if each["PolicyName"].startswith("StockWatcher")]
    assert [each for each in policies if "secretsmanager:GetSecretValue" in json.dumps(each)] == [
        each for each in policies if "Sender" in each["PolicyName"]
    ]
    assert len(watching) == 1


_LIST_IMPORTED: Final = """
import importlib.metadata, sys
sys.modules.update(dict.fromkeys(("click", "rich", "pygments"), None))
import fillrate_assets.lambda_functions, httpx  # which a request imports
known = importlib.metadata.packages_distributions()
print(*{name for module in [*sys.modules] if sys.modules[module] for name in known.get(module.partition(".")[0], ())})
"""
_THERE: Final = {"fillrate-assets", "setuptools", "botocore", "boto3"}
"""What is packed, part of Python, or of its runtime in Lambda."""


def test_the_code_of_functions_has_what_they_import() -> None:
    # Decision 0270.
    pins = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "infrastructure" / "functions.txt").read_text(), re.MULTILINE))
    found = {name.lower().replace("_", "-") for name in run([sys.executable, "-c", _LIST_IMPORTED], {}).split()}
    assert found - pins - _THERE == set()
    assert {"polars", "pydantic", "httpx"} <= found
