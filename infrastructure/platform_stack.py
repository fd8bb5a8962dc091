"""The stack of the platform in AWS: network, stores, services behind a load balancer, alarms and a dashboard.

Runs are tasks of ECS; the events of orders and stock are in `fulfillment_stack`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as certificates
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as balancing
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from infrastructure.alarms import Measured, make_alarms
from infrastructure.environments import Environment
from infrastructure.platform_services import (
    PAGES_PORT,
    WEB_PORT,
    PlatformServices,
    Surroundings,
    encode_settings,
)
from infrastructure.platform_stores import DATABASE, PlatformStores

_ROOT: Final = Path(__file__).parent.parent
_FREE_BYTES: Final = 10 * 1024**3
_FIVE_MINUTES: Final = cdk.Duration.minutes(5)
_WITH_EGRESS: Final = ec2.SubnetType.PRIVATE_WITH_EGRESS


@dataclass(frozen=True)
class Access:
    """Who reaches the web pages, and how they say who they are."""

    certificate: str
    """ARN of the certificate of `host`."""

    host: str
    """Name under which people open the pages; the UI of Dagster is `dagster.HOST`."""

    networks: Sequence[str] = ("10.0.0.0/8",)
    """CIDRs from which they come: the balancer has no public address."""

    sign_in: Mapping[str, str] = field(default_factory=dict)
    """Provider of OpenID Connect for the UI of Dagster, which knows no users: `issuer`, `authorization_endpoint`,
    `token_endpoint`, `user_info_endpoint`, `client_id`, and `client_secret`, the name of a secret."""


class PlatformStack(cdk.Stack):  # type: ignore[misc] # the CDK has no types that are checked
    """The platform of an environment."""

    def __init__(
        self,
        scope: Construct,
        environment: Environment,
        *,
        access: Access,
        settings: Mapping[str, object],
        secrets: Sequence[str],
        region: str,
        image: str | None = None,
    ) -> None:
        """Declare everything.

        Args:
            scope: the application.
            environment: which.
            access: who reaches the pages.
            settings: more environment variables of the platform: where its sources are, and what is to be other than
                it is here.
            secrets: names of secrets that the settings refer to, as `secret://fillrate/ENVIRONMENT/NAME#key`.
            region: where it is; logs of a load balancer are delivered by an account of each region's own.
            image: of the platform, by its address in ECR; else it is built of this repository, and pushed.

        """
        super().__init__(scope, environment.name_stack("platform"), env=cdk.Environment(region=region))
        self._environment = environment
        network = self._make_network()
        stores = PlatformStores(self, "Stores", environment=environment, network=network, secrets=secrets)
        alerts = sns.Topic(self, "Alerts", enforce_ssl=True)
        around = Surroundings(
            environment=environment,
            network=network,
            stores=stores,
            alerts=alerts,
            image=ecs.ContainerImage.from_registry(image)
            if image
            else ecs.ContainerImage.from_asset(str(_ROOT), file="deploy/Dockerfile"),
            settings={**self._choose_settings(stores, alerts, access), **encode_settings(settings)},
        )
        self._services = PlatformServices(self, "Services", around)
        balancer = self._make_balancer(network, stores, access)
        targets = self._listen(balancer, access)
        measured = self._measure(balancer, targets, stores.database)
        alarms = make_alarms(self, stored={}, waiting={}, measured=measured)
        self._make_dashboard({name: each.metric for name, each in measured.items()})
        self._make_outputs(
            {
                "AlarmTopic": alarms.topic_arn,
                "AlertTopic": alerts.topic_arn,
                "BalancerHost": balancer.load_balancer_dns_name,
                "ClusterName": self._services.cluster.cluster_name,
                "DatabaseHost": stores.database.db_instance_endpoint_address,
                "LakeBucket": stores.lake.bucket_name,
                "RunTask": self._services.run.family,
                "TaskSubnets": ",".join(network.select_subnets(subnet_type=_WITH_EGRESS).subnet_ids),
                "TaskSecurityGroup": self._services.group.security_group_id,
            }
        )

    def _make_network(self) -> Any:
        """Make the VPC: two zones; tasks reach out through NAT, the database reaches nothing."""
        network = ec2.Vpc(
            self,
            "Network",
            max_azs=2,
            nat_gateways=self._environment.nat_gateways,
            subnet_configuration=[
                ec2.SubnetConfiguration(name="Public", subnet_type=ec2.SubnetType.PUBLIC, cidr_mask=24),
                ec2.SubnetConfiguration(name="Tasks", subnet_type=_WITH_EGRESS, cidr_mask=20),
                ec2.SubnetConfiguration(name="Data", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=24),
            ],
        )
        flows = logs.LogGroup(
            self, "Flows", retention=self._environment.log_retention, removal_policy=self._environment.removal
        )
        network.add_flow_log("FlowLog", destination=ec2.FlowLogDestination.to_cloud_watch_logs(flows))
        # Files of the lake neither leave the network nor pay for the NAT.
        network.add_gateway_endpoint("S3", service=ec2.GatewayVpcEndpointAwsService.S3)
        network.add_gateway_endpoint("DynamoDb", service=ec2.GatewayVpcEndpointAwsService.DYNAMODB)
        return network

    def _choose_settings(self, stores: PlatformStores, alerts: Any, access: Access) -> dict[str, str]:
        """Choose the settings that follow from what is here."""
        name, database = self._environment.name, stores.database
        password = f"{{secret://fillrate/{name}/database#password}}"
        at = f"{database.db_instance_endpoint_address}:{database.db_instance_endpoint_port}"
        return {
            "FILLRATE_ENV": name,
            "FILLRATE_STORAGE__RECORD_STORE_URL": f"postgresql+psycopg://{DATABASE}:{password}@{at}/{DATABASE}?sslmode=require",
            "FILLRATE_STORAGE__LAKE_ROOT": f"s3://{stores.lake.bucket_name}",
            "FILLRATE_STORAGE__WATERMARK_URL": "ssm://fillrate",
            "FILLRATE_NOTIFICATIONS__ALERT_TOPIC_ARN": alerts.topic_arn,
            "FILLRATE_NOTIFICATIONS__UI_URL": f"https://dagster.{access.host}",
            "DAGSTER_LOGS_BUCKET": stores.run_logs.bucket_name,
            "DAGSTER_LOGS_PREFIX": f"dagster/{name}",
            "AWS_REGION": self.region,
        }

    def _make_balancer(self, network: Any, stores: PlatformStores, access: Access) -> Any:
        """Make the load balancer, which has no public address."""
        group = ec2.SecurityGroup(self, "Visitors", vpc=network, description="Visitors of the pages")
        for cidr in access.networks:
            group.add_ingress_rule(ec2.Peer.ipv4(cidr), ec2.Port.tcp(443), "visitors of the pages")
        balancer = balancing.ApplicationLoadBalancer(
            self,
            "Balancer",
            vpc=network,
            internet_facing=False,
            vpc_subnets=ec2.SubnetSelection(subnet_type=_WITH_EGRESS),
            security_group=group,
            deletion_protection=self._environment.keeps_data,
            drop_invalid_header_fields=True,
        )
        balancer.log_access_logs(stores.access_logs, "Balancer")
        return balancer

    def _listen(self, balancer: Any, access: Access) -> dict[str, Any]:
        """Route visitors to the pages, and to the UI of Dagster by its name."""
        listener = balancer.add_listener(
            "Https",
            port=443,
            # Not of anyone: the networks of `access` are what may come in.
            open=False,
            certificates=[certificates.Certificate.from_certificate_arn(self, "Certificate", access.certificate)],
            ssl_policy=balancing.SslPolicy.TLS13_13,
            default_action=balancing.ListenerAction.fixed_response(404),
        )
        targets = {}
        routes = {
            "Pages": (access.host, PAGES_PORT, "/health", 1),
            "Webserver": (f"dagster.{access.host}", WEB_PORT, "/server_info", 2),
        }
        for name, (host, port, health, priority) in routes.items():
            targets[name] = balancing.ApplicationTargetGroup(
                self,
                f"{name}Targets",
                vpc=balancer.vpc,
                port=port,
                protocol=balancing.ApplicationProtocol.HTTP,
                targets=[self._services.services[name]],
                health_check=balancing.HealthCheck(path=health, interval=cdk.Duration.seconds(30)),
                deregistration_delay=cdk.Duration.seconds(30),
            )
            forward = balancing.ListenerAction.forward([targets[name]])
            action = self._sign_in(access, forward) if name == "Webserver" and access.sign_in else forward
            listener.add_action(
                name, priority=priority, conditions=[balancing.ListenerCondition.host_headers([host])], action=action
            )
        return targets

    def _sign_in(self, access: Access, then: Any) -> Any:
        given = dict(access.sign_in)
        secret = secretsmanager.Secret.from_secret_name_v2(self, "SignIn", given.pop("client_secret"))
        return balancing.ListenerAction.authenticate_oidc(
            **given, client_secret=secret.secret_value_from_json("password"), next=then
        )

    def _measure(self, balancer: Any, targets: Mapping[str, Any], database: Any) -> dict[str, Measured]:
        """Choose what alarms, each above its limit; what is not measured alarms too."""
        services = {f"{name}Down": Measured(self._count_missing(name), 0) for name in self._services.services}
        unhealthy = {
            f"{name}Unhealthy": Measured(
                each.metrics.unhealthy_host_count(period=_FIVE_MINUTES, statistic="Minimum"), 0
            )
            for name, each in targets.items()
        }
        errors = balancer.metrics.http_code_target(balancing.HttpCodeTarget.TARGET_5XX_COUNT, period=_FIVE_MINUTES)
        free = database.metric_free_storage_space(period=_FIVE_MINUTES, statistic="Minimum")
        return {
            **services,
            **unhealthy,
            # Without an error there is no measurement.
            "ServerErrors": Measured(_compute("FILL(errors, 0)", errors=errors), 10),
            "DatabaseBusy": Measured(database.metric_cpu_utilization(period=_FIVE_MINUTES), 90),
            "DatabaseFull": Measured(_compute(f"IF(free < {_FREE_BYTES}, 1, 0)", free=free), 0),
        }

    def _count_missing(self, service: str) -> Any:
        running = cloudwatch.Metric(
            namespace="ECS/ContainerInsights",
            metric_name="RunningTaskCount",
            dimensions_map={
                "ClusterName": self._services.cluster.cluster_name,
                "ServiceName": self._services.services[service].service_name,
            },
            statistic="Minimum",
            period=_FIVE_MINUTES,
        )
        return _compute("IF(running < 1, 1, 0)", running=running)

    def _make_dashboard(self, metrics: Mapping[str, Any]) -> None:
        dashboard = cloudwatch.Dashboard(self, "Dashboard", dashboard_name=self._environment.name_stack("platform"))
        widgets = [
            cloudwatch.GraphWidget(title=name, left=[metric], width=8, height=4) for name, metric in metrics.items()
        ]
        dashboard.add_widgets(*widgets)

    def _make_outputs(self, outputs: Mapping[str, str]) -> None:
        """Print what operators need, and put it where other tools look: /fillrate-stacks/ENVIRONMENT/NAME."""
        for name, value in outputs.items():
            cdk.CfnOutput(self, name, value=value)
            ssm.StringParameter(
                self,
                f"{name}Parameter",
                parameter_name=f"/fillrate-stacks/{self._environment.name}/{name}",
                string_value=value,
            )


def _compute(expression: str, **metrics: Any) -> Any:
    return cloudwatch.MathExpression(expression=expression, using_metrics=metrics, period=_FIVE_MINUTES)
