"""What the platform stores, in AWS: database, buckets, secrets, and the workgroup that reads the instock warehouse."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import aws_cdk as cdk
from aws_cdk import aws_athena as athena
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infrastructure.environments import Environment
from infrastructure.permissions import acknowledge

DATABASE: Final = "fillrate"
DATABASE_PORT: Final = 5439
_MOST_SCANNED_BYTES: Final = 200 * 1024**3
"""Of one query: a query without its partitions would read years."""


class PlatformStores(Construct):  # type: ignore[misc] # the CDK has no types that are checked
    """The stores of an environment."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        environment: Environment,
        network: Any,
        secrets: Sequence[str],
    ) -> None:
        """Declare them.

        Args:
            scope: the stack.
            name: of this part.
            environment: whose.
            network: the VPC.
            secrets: names of what operators fill in: `secret://fillrate/ENVIRONMENT/NAME#key`.

        """
        super().__init__(scope, name)
        self._environment = environment
        self.access_logs: Final = self._make_bucket("AccessLogs", expire_days=90)
        acknowledge(self.access_logs, "S1", "it is where access is logged")
        self.lake: Final = self._make_bucket("Lake", logged=True, tiered=True)
        self.run_logs: Final = self._make_bucket("RunLogs", logged=True, expire_days=180)
        self.answers: Final = self._make_bucket("AthenaResults", logged=True, expire_days=7)
        self.database: Final = self._make_database(network)
        self.secrets: Final = [self._make_secret(each) for each in secrets]
        self.workgroup: Final = self._make_workgroup()

    def _make_bucket(
        self, name: str, *, logged: bool = False, tiered: bool = False, expire_days: int | None = None
    ) -> Any:
        replaced = cdk.Duration.days(self._environment.noncurrent_days)
        rule = s3.LifecycleRule(
            noncurrent_version_expiration=replaced,
            abort_incomplete_multipart_upload_after=cdk.Duration.days(7),
            expiration=cdk.Duration.days(expire_days) if expire_days else None,
            # A partition is read for weeks and then hardly ever; a day's small files pay for no request more.
            transitions=[
                s3.Transition(storage_class=s3.StorageClass.INTELLIGENT_TIERING, transition_after=cdk.Duration.days(60))
            ]
            if tiered
            else None,
        )
        return s3.Bucket(
            self,
            name,
            versioned=True,
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            lifecycle_rules=[rule],
            server_access_logs_bucket=self.access_logs if logged else None,
            server_access_logs_prefix=f"{name}/" if logged else None,
            removal_policy=self._environment.removal,
        )

    def _make_database(self, network: Any) -> Any:
        """Make the database of records and of Dagster's state: each in its own schema, restored together."""
        chosen = self._environment
        identifier = chosen.name_stack("platform")
        # Made beforehand: RDS would make it without an end to its retention.
        logged = logs.LogGroup(
            self,
            "DatabaseLogs",
            log_group_name=f"/aws/rds/instance/{identifier}/postgresql",
            retention=chosen.log_retention,
            removal_policy=chosen.removal,
        )
        database = rds.DatabaseInstance(
            self,
            "Database",
            instance_identifier=identifier,
            engine=rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_17),
            instance_type=chosen.database_class,
            vpc=network,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
            port=DATABASE_PORT,
            database_name=DATABASE,
            credentials=rds.Credentials.from_generated_secret(DATABASE, secret_name=f"fillrate/{chosen.name}/database"),
            multi_az=chosen.database_zones > 1,
            allocated_storage=100,
            max_allocated_storage=1000,
            storage_type=rds.StorageType.GP3,
            storage_encrypted=True,
            backup_retention=cdk.Duration.days(chosen.backup_days),
            copy_tags_to_snapshot=True,
            deletion_protection=chosen.keeps_data,
            iam_authentication=True,
            cloudwatch_logs_exports=["postgresql"],
            enable_performance_insights=True,
            parameters={"rds.force_ssl": "1", "log_min_duration_statement": "5000"},
            removal_policy=cdk.RemovalPolicy.SNAPSHOT,
        )
        database.node.add_dependency(logged)
        acknowledge(
            database, "SMG4", "tasks learn the password when they start: operators change it and start them anew"
        )
        if chosen.database_zones == 1:
            acknowledge(database, "RDS3", f"{chosen.name} waits for a zone that is down")
        if not chosen.keeps_data:
            acknowledge(database, "RDS10", f"{chosen.name} is made and destroyed; a snapshot stays")
        return database

    def _make_secret(self, name: str) -> Any:
        """Make a secret with the key `password`, which operators replace by what the system has."""
        secret = secretsmanager.Secret(
            self,
            name.title().replace("-", ""),
            secret_name=f"fillrate/{self._environment.name}/{name}",
            description="Replace it by what the system knows: aws secretsmanager put-secret-value",
            generate_secret_string=secretsmanager.SecretStringGenerator(
                secret_string_template=json.dumps({}), generate_string_key="password"
            ),
            removal_policy=self._environment.removal,
        )
        acknowledge(secret, "SMG4", "another system knows the password as well: operators change both")
        return secret

    def _make_workgroup(self) -> Any:
        return athena.CfnWorkGroup(
            self,
            "Workgroup",
            name=f"fillrate-{self._environment.name}",
            recursive_delete_option=not self._environment.keeps_data,
            work_group_configuration=athena.CfnWorkGroup.WorkGroupConfigurationProperty(
                enforce_work_group_configuration=True,
                bytes_scanned_cutoff_per_query=_MOST_SCANNED_BYTES,
                publish_cloud_watch_metrics_enabled=True,
                result_configuration=athena.CfnWorkGroup.ResultConfigurationProperty(
                    output_location=f"s3://{self.answers.bucket_name}/",
                    encryption_configuration=athena.CfnWorkGroup.EncryptionConfigurationProperty(
                        encryption_option="SSE_S3"
                    ),
                ),
            ),
        )
