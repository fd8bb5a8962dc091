"""The stack of the platform, in both environments: what it declares. It needs Node.js."""

from __future__ import annotations

import json
import re

import pytest
from dotenv import dotenv_values

from fillrate_assets_tests.conftest import ROOT
from fillrate_assets_tests.fixtures.assemblies import GIVEN, Assembly, read_assembly
from fillrate_assets_tests.fixtures.deployed_stack import NODE

pytestmark = [pytest.mark.slow, pytest.mark.skipif(NODE is None, reason="Node.js is not installed")]


@pytest.fixture(scope="module")
def assemblies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Assembly]:
    """Both environments."""
    return {name: read_assembly(tmp_path_factory, name, "platform") for name in GIVEN}


def test_cdk_nag_finds_nothing(assemblies: dict[str, Assembly]) -> None:
    assert {name: (each.report["conclusion"], each.report["violations"]) for name, each in assemblies.items()} == {
        "dev": ("success", []),
        "prod": ("success", []),
    }


def test_both_environments_are_in_one_account_without_a_name_in_common(assemblies: dict[str, Assembly]) -> None:
    assert [each.names for each in assemblies.values()] == [["fillrate-dev-platform"], ["fillrate-prod-platform"]]
    dev, prod = ({name for name in each.list_names() if isinstance(name, str)} for each in assemblies.values())
    assert {name.count("dev") for name in dev if name.startswith("fillrate-")} == {1}
    assert {
        "fillrate-dev-platform",
        "fillrate-dev-platform-run",
        "fillrate/dev/database",
        "dev.fillrate.internal",
    } <= dev
    assert dev & prod == set()
    for own, other in ((assemblies["dev"], "prod"), (assemblies["prod"], "dev")):
        assert not re.search(rf"fillrate[-/_]{other}\b", json.dumps(own.resources))


def test_prod_loses_no_data_and_waits_for_no_zone(assemblies: dict[str, Assembly]) -> None:
    kinds = ("AWS::S3::Bucket", "AWS::Logs::LogGroup")
    for name, stays in (("dev", "Delete"), ("prod", "Retain")):
        resources = assemblies[name].resources.values()
        assert {each["DeletionPolicy"] for each in resources if each["Type"] in kinds} == {stays}
        assert {each["DeletionPolicy"] for each in resources if each["Type"] == "AWS::RDS::DBInstance"} == {"Snapshot"}
        assert all(each["VersioningConfiguration"] == {"Status": "Enabled"} for each in assemblies[name].find(kinds[0]))
    dev, prod = (each.find("AWS::RDS::DBInstance")[0] for each in assemblies.values())
    assert [(each["DeletionProtection"], each["MultiAZ"], each["BackupRetentionPeriod"]) for each in (dev, prod)] == [
        (False, False, 7),
        (True, True, 35),
    ]
    assert dev["StorageEncrypted"]
    assert not dev.get("PubliclyAccessible")
    assert [len(each.find("AWS::EC2::NatGateway")) for each in assemblies.values()] == [1, 2]


def test_no_role_may_do_all_of_anything_and_each_service_has_its_own(assemblies: dict[str, Assembly]) -> None:
    for assembly in assemblies.values():
        for policy, statement in assembly.list_statements():
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            if statement["Resource"] == "*":
                assert {action.partition(":")[2][:8] for action in actions} <= {"Describe", "GetAutho"}, policy
            assert not [action for action in actions if action.endswith("*")], policy
        tasks = assembly.find("AWS::ECS::TaskDefinition")
        assert len({json.dumps(each["TaskRoleArn"]) for each in tasks}) == len(tasks) == 5
        starting = {policy for policy, statement in assembly.list_statements() if "ecs:RunTask" in statement["Action"]}
        assert {each.partition("Role")[0].removeprefix("Services") for each in starting} == {"Webserver", "Daemon"}


def test_tasks_have_settings_that_there_are_and_no_secret_among_them(assemblies: dict[str, Assembly]) -> None:
    known = {*dotenv_values(ROOT / ".env.example"), "DAGSTER_RUN_LAUNCHER", "DAGSTER_CODE_HOST"}
    known |= {
        "AWS_REGION",
        "DAGSTER_LOGS_PREFIX",
        "DAGSTER_ECS_TASK_DEFINITION",
        *(f"DATABASE_{each}" for each in ("HOST", "PORT", "NAME", "USER")),
    }
    for name, assembly in assemblies.items():
        containers = assembly.list_containers()
        assert {each["Name"] for each in containers} == {"run", "code", "upgrade", "webserver", "daemon", "pages"}
        for container in containers:
            variables = {each["Name"]: each["Value"] for each in container["Environment"]}
            assert variables.keys() - known == set()
            assert variables["FILLRATE_ENV"] == name
            assert f"{{secret://fillrate/{name}/database#password}}" in json.dumps(
                variables["FILLRATE_STORAGE__RECORD_STORE_URL"]
            )
            assert [each["Name"] for each in container["Secrets"]] == ["DATABASE_PASSWORD"]
            assert container["User"] == re.findall(r"--uid (\d+)", (ROOT / "deploy" / "Dockerfile").read_text())[0]
    given = [each for container in assemblies["dev"].list_containers() for each in container["Environment"]]
    assert {each["Value"] for each in given if each["Name"] == "FILLRATE_SENSOR__MAX_DAYS_PER_RUN"} == {"31"}


def test_people_reach_the_pages_from_their_networks_alone_and_sign_in_to_dagster(
    assemblies: dict[str, Assembly],
) -> None:
    for name, cidr in (("dev", "10.0.0.0/8"), ("prod", "10.1.0.0/16")):
        assembly = assemblies[name]
        (balancer,) = assembly.find("AWS::ElasticLoadBalancingV2::LoadBalancer")
        assert balancer["Scheme"] == "internal"
        (visitors,) = [
            each
            for each in assembly.find("AWS::EC2::SecurityGroup")
            if each["GroupDescription"] == "Visitors of the pages"
        ]
        assert [(each["CidrIp"], each["FromPort"]) for each in visitors["SecurityGroupIngress"]] == [(cidr, 443)]
        rules = assembly.find("AWS::ElasticLoadBalancingV2::ListenerRule")
        by_host = {
            each["Conditions"][0]["HostHeaderConfig"]["Values"][0]: [action["Type"] for action in each["Actions"]]
            for each in rules
        }
        host = f"fillrate-{name}.example"
        signed_in = ["authenticate-oidc", "forward"] if "sign_in" in GIVEN[name] else ["forward"]
        assert by_host == {host: ["forward"], f"dagster.{host}": signed_in}


def test_what_alarms_reaches_a_topic_and_is_on_the_dashboard(assemblies: dict[str, Assembly]) -> None:
    for assembly in assemblies.values():
        alarms = assembly.find("AWS::CloudWatch::Alarm")
        assert all(each["AlarmActions"] for each in alarms)
        assert {each["TreatMissingData"] for each in alarms} == {"breaching"}
        (dashboard,) = assembly.find("AWS::CloudWatch::Dashboard")
        shown = re.findall(r'\\"title\\":\\"(\w+)', json.dumps(dashboard["DashboardBody"]))
        assert sorted(shown) == sorted(
            [
                *("CodeDown", "WebserverDown", "DaemonDown", "PagesDown", "PagesUnhealthy", "WebserverUnhealthy"),
                *("ServerErrors", "DatabaseBusy", "DatabaseFull"),
            ]
        )
        assert len(alarms) == len(shown)
