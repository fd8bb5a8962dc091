"""Parts of which a stack is made, in one way: queues, buckets and functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs

from infrastructure.permissions import acknowledge

RETENTION: Final = cdk.Duration.days(14)
_HANDLERS: Final = "fillrate_assets.lambda_functions"
_TIMEOUT: Final = cdk.Duration.seconds(60)
_VISIBILITY: Final = cdk.Duration.minutes(6)
"""Of queues: six times what a function may take."""

_MAX_RECEIVES: Final = 20
"""Before the queue's own redrive: functions make dead letters after eight attempts, this is for those that die."""


@dataclass(frozen=True)
class Parts:
    """What makes the parts of one stack."""

    stack: Any
    service: str
    """Under which functions print their metrics."""

    code: Path
    """Directory that becomes the code of every function."""

    runtime: str
    """What runs the code; another one than Lambda's for Python needs a file `bootstrap` in it."""

    removal: cdk.RemovalPolicy
    """What becomes of data when the stack goes."""

    def make_bucket(self, name: str) -> Any:
        """Make a bucket for documents."""
        bucket = s3.Bucket(
            self.stack,
            name,
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            removal_policy=self.removal,
        )
        acknowledge(bucket, "S1", "one function writes it, each document once")
        return bucket

    def make_queue(self, name: str, queue_name: str | None = None, **options: object) -> Any:
        """Make a queue, and another for what its function died of."""
        lost = sqs.Queue(self.stack, f"{name}Lost", retention_period=RETENTION, enforce_ssl=True, **options)
        return sqs.Queue(
            self.stack,
            name,
            queue_name=queue_name,
            visibility_timeout=_VISIBILITY,
            retention_period=RETENTION,
            enforce_ssl=True,
            dead_letter_queue=sqs.DeadLetterQueue(queue=lost, max_receive_count=_MAX_RECEIVES),
            **options,
        )

    def make_function(self, name: str, handler: str, environment: Mapping[str, str]) -> Any:
        """Make a function with a role and a log group of its own."""
        logged = logs.LogGroup(
            self.stack, f"{name}Logs", retention=logs.RetentionDays.THREE_MONTHS, removal_policy=self.removal
        )
        role = iam.Role(self.stack, f"{name}Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        logged.grant_write(role)
        function = lambda_.Function(
            self.stack,
            name,
            runtime=lambda_.Runtime(self.runtime),
            handler=f"{_HANDLERS}.{handler}",
            code=self._asset,
            timeout=_TIMEOUT,
            memory_size=512,
            environment={
                "POWERTOOLS_SERVICE_NAME": self.service,
                "FILLRATE_HOME": "/tmp/fillrate",  # noqa: S108 - the only directory of a function that can be written
                **environment,
            },
            role=role,
            log_group=logged,
        )
        acknowledge(function, "L1", "the runtime on which the tests run as well, decision 0270")
        return function

    @cached_property
    def _asset(self) -> Any:
        return lambda_.Code.from_asset(str(self.code))
