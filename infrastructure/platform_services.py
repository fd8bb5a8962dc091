"""What of the platform runs in AWS: tasks of ECS behind a load balancer, each service with a role of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_servicediscovery as discovery
from constructs import Construct

from infrastructure.environments import Environment
from infrastructure.permissions import acknowledge, permit
from infrastructure.platform_stores import DATABASE, PlatformStores

CODE_PORT: Final = 4000
WEB_PORT: Final = 3000
PAGES_PORT: Final = 8099
_USER: Final = "10001"
_OPEN: Final = "import urllib.request as r; r.urlopen('http://127.0.0.1:{}')"
_HEALTH: Final = {
    "Code": ["dagster", "api", "grpc-health-check", "--port", str(CODE_PORT)],
    "Webserver": ["python", "-c", _OPEN.format(f"{WEB_PORT}/server_info")],
    "Daemon": ["dagster-daemon", "liveness-check"],
    "Pages": ["python", "-c", _OPEN.format(f"{PAGES_PORT}/health")],
}
_LISTENING: Final = "0.0.0.0"  # noqa: S104 - of a task, which its security group guards
_SERVICES: Final = ("Code", "Webserver", "Daemon", "Pages")
_COMMANDS: Final = {
    "Webserver": ["dagster-webserver", "--host", _LISTENING, "--port", str(WEB_PORT), "--workspace", "workspace.yaml"],
    "Daemon": ["dagster-daemon", "run", "--workspace", "workspace.yaml"],
    "Pages": ["fillrate", "serve", "--host", _LISTENING, "--port", str(PAGES_PORT)],
}
"""Of the others the image says it, and Dagster of each run."""

_UPGRADE: Final = ["sh", "-c", "dagster instance migrate && fillrate upgrade"]
"""Before the code location starts: it brings the tables of Dagster and of the record store up to date."""

_PORTS: Final = {"Code": CODE_PORT, "Webserver": WEB_PORT, "Pages": PAGES_PORT}
_STARTING_RUNS: Final = ("Daemon", "Webserver")
"""The daemon starts what is queued; the webserver ends what people end."""


@dataclass(frozen=True)
class Surroundings:
    """What the services need around them."""

    environment: Environment
    network: Any
    stores: PlatformStores
    alerts: Any
    """Topic of what the platform says."""

    image: Any
    settings: Mapping[str, str]
    """Environment variables of every task, those of `.env.example`."""


class PlatformServices(Construct):  # type: ignore[misc] # the CDK has no types that are checked
    """The services of an environment."""

    def __init__(self, scope: Construct, name: str, around: Surroundings) -> None:
        """Declare them."""
        super().__init__(scope, name)
        self._around = around
        self.cluster: Final = ecs.Cluster(
            self,
            "Cluster",
            vpc=around.network,
            cluster_name=around.environment.name_stack("platform"),
            container_insights_v2=ecs.ContainerInsights.ENABLED,
        )
        names = discovery.PrivateDnsNamespace(self, "Names", name=self._domain, vpc=around.network)
        self.group: Final = ec2.SecurityGroup(self, "Tasks", vpc=around.network, description="Tasks of the platform")
        self.group.add_ingress_rule(self.group, ec2.Port.tcp(CODE_PORT), "the code location, from the others")
        around.stores.database.connections.allow_default_port_from(self.group, "tasks of the platform")
        self._execution_role: Final = self._make_execution_role()
        self.run: Final = self._define_task("Run", cpu=around.environment.run_cpu, memory=around.environment.run_memory)
        self.services: Final = {
            each: self._make_service(each, names, {"DAGSTER_ECS_TASK_DEFINITION": self.run.family})
            for each in _SERVICES
        }
        for each in _STARTING_RUNS:
            self._permit_runs(self.services[each].task_definition.task_role, self.run)

    @property
    def _domain(self) -> str:
        return f"{self._around.environment.name}.fillrate.internal"

    def _make_execution_role(self) -> Any:
        """Make the role with which ECS starts tasks: it fetches the image, reads the password and writes logs."""
        role = iam.Role(self, "Execution", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"))
        acknowledge(role, "IAM5[Resource::*]", "the token with which an image is fetched has no resource")
        return role

    def _define_task(self, name: str, *, cpu: int, memory: int, more: Mapping[str, str] | None = None) -> Any:
        around = self._around
        role = iam.Role(self, f"{name}Role", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"))
        task = ecs.FargateTaskDefinition(
            self,
            f"{name}Task",
            family=f"{around.environment.name_stack('platform')}-{name.lower()}",
            cpu=cpu,
            memory_limit_mib=memory,
            task_role=role,
            execution_role=self._execution_role,
            runtime_platform=ecs.RuntimePlatform(
                cpu_architecture=ecs.CpuArchitecture.X86_64, operating_system_family=ecs.OperatingSystemFamily.LINUX
            ),
        )
        logged = logs.LogGroup(
            self, f"{name}Logs", retention=around.environment.log_retention, removal_policy=around.environment.removal
        )
        database = around.stores.database
        given = {
            "image": around.image,
            "user": _USER,
            "environment": {
                **around.settings,
                **(more or {}),
                "DAGSTER_RUN_LAUNCHER": "ecs",
                "DATABASE_HOST": database.db_instance_endpoint_address,
                "DATABASE_PORT": database.db_instance_endpoint_port,
                "DATABASE_NAME": DATABASE,
                "DATABASE_USER": DATABASE,
                "DAGSTER_CODE_HOST": f"code.{self._domain}",
            },
            "secrets": {"DATABASE_PASSWORD": ecs.Secret.from_secrets_manager(database.secret, "password")},
            "logging": ecs.LogDrivers.aws_logs(stream_prefix=name.lower(), log_group=logged),
        }
        container = task.add_container(
            name.lower(),
            command=_COMMANDS.get(name),
            port_mappings=[ecs.PortMapping(container_port=_PORTS[name])] if name in _PORTS else None,
            health_check=ecs.HealthCheck(
                command=["CMD", *_HEALTH[name]],
                interval=cdk.Duration.seconds(30),
                timeout=cdk.Duration.seconds(20),
                start_period=cdk.Duration.seconds(120),
            )
            if name in _HEALTH
            else None,
            stop_timeout=cdk.Duration.seconds(120),
            linux_parameters=ecs.LinuxParameters(self, f"{name}Init", init_process_enabled=True),
            **given,
        )
        if name == "Code":
            upgrade = task.add_container("upgrade", command=_UPGRADE, essential=False, **given)
            container.add_container_dependencies(
                ecs.ContainerDependency(container=upgrade, condition=ecs.ContainerDependencyCondition.SUCCESS)
            )
        acknowledge(task, "ECS2", "what is secret is not among the variables: the settings name it by secret://")
        self._permit_stores(role)
        return task

    def _permit_stores(self, role: Any) -> None:
        """Permit a task's role the stores of its environment: every process of the platform reads and writes them."""
        stores, name = self._around.stores, self._around.environment.name
        stack = cdk.Stack.of(self)
        for bucket in (stores.lake, stores.run_logs, stores.answers):
            permit(role, ("s3:ListBucket", "s3:GetBucketLocation"), bucket.bucket_arn)
            permit(role, ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"), bucket.arn_for_objects("*"))
            found = f"IAM5[Resource::<{stack.get_logical_id(bucket.node.default_child)}.Arn>/*]"
            acknowledge(role, found, "the bucket is the platform's own, whose files come and go")
        self._permit_all_of(
            role,
            ("ssm:GetParameter", "ssm:GetParameters", "ssm:PutParameter"),
            ("ssm", "parameter", f"fillrate/{name}/*"),
            "the watermarks of one environment, one for each source",
        )
        for secret in (*stores.secrets, stores.database.secret):
            permit(role, ("secretsmanager:GetSecretValue",), secret.secret_arn)
        permit(role, ("sns:Publish",), self._around.alerts.topic_arn)
        query = ("StartQueryExecution", "GetQueryExecution", "GetQueryResults", "StopQueryExecution")
        workgroup = stack.format_arn(service="athena", resource="workgroup", resource_name=stores.workgroup.name)
        permit(role, tuple(f"athena:{action}" for action in query), workgroup)

    def _permit_all_of(
        self, role: Any, actions: tuple[str, ...], of: tuple[str, str, str], reason: str, conditions: Any = None
    ) -> None:
        """Permit actions on all resources of a name: service, kind and name, in this account and region."""
        stack = cdk.Stack.of(self)
        service, kind, name = of
        arn = stack.format_arn(service=service, resource=kind, resource_name=name)
        role.add_to_principal_policy(iam.PolicyStatement(actions=[*actions], resources=[arn], conditions=conditions))
        written = f"arn:<AWS::Partition>:{service}:{stack.region}:<AWS::AccountId>:{kind}/{name}"
        acknowledge(role, f"IAM5[Resource::{written}]", reason)

    def _make_service(self, name: str, names: Any, more: Mapping[str, str]) -> Any:
        cpu, memory = (1024, 4096) if name == "Pages" else (512, 2048)
        task = self._define_task(name, cpu=cpu, memory=memory, more=more)
        return ecs.FargateService(
            self,
            name,
            cluster=self.cluster,
            task_definition=task,
            desired_count=1,
            # A second daemon waits for the heartbeat of the first; two of it would tick twice.
            min_healthy_percent=0 if name == "Daemon" else 100,
            max_healthy_percent=100 if name == "Daemon" else 200,
            circuit_breaker=ecs.DeploymentCircuitBreaker(rollback=True),
            security_groups=[self.group],
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
            cloud_map_options=ecs.CloudMapOptions(
                cloud_map_namespace=names, name=name.lower(), dns_record_type=discovery.DnsRecordType.A
            ),
        )

    def _permit_runs(self, role: Any, run: Any) -> None:
        """Permit a task's role to start, watch and end the tasks of runs, in its own cluster."""
        of_cluster = {"ArnEquals": {"ecs:cluster": self.cluster.cluster_arn}}
        revisions = ("ecs", "task-definition", f"{run.family}:*")
        reason = "each deployment makes a revision, and the tasks of one cluster come and go"
        self._permit_all_of(role, ("ecs:RunTask",), revisions, reason, of_cluster)
        tasks = ("ecs", "task", f"{self._around.environment.name_stack('platform')}/*")
        self._permit_all_of(role, ("ecs:DescribeTasks", "ecs:StopTask", "ecs:TagResource"), tasks, reason)
        permit(role, ("iam:PassRole",), run.task_role.role_arn, self._execution_role.role_arn)
        permit(role, ("ecs:DescribeTaskDefinition", "ec2:DescribeNetworkInterfaces"), "*")
        acknowledge(role, "IAM5[Resource::*]", "these two actions, which only describe, know no resources")


def encode_settings(settings: Mapping[str, object]) -> dict[str, str]:
    """Encode settings as the environment variables that they are: what is not text is JSON."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in settings.items()}
