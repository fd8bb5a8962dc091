"""Environments: what differs between `dev` and `prod`, which share an account and no name, resource or role.

What differs inside the platform, for the same `FILLRATE_ENV`, is in `fillrate_assets.environments`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_logs as logs


@dataclass(frozen=True)
class Environment:
    """An environment, as its stacks are made."""

    name: str
    """The value of `FILLRATE_ENV`, and part of every name."""

    keeps_data: bool
    """Whether databases and buckets stay when a stack goes, and no one deletes them by mistake."""

    nat_gateways: int
    """Of two zones: with one of them, the other zone's way out goes with it."""

    database_zones: int
    database_class: Any
    backup_days: int
    log_retention: Any
    run_cpu: int
    """Of the task of a run, in 1,024ths of a core."""

    run_memory: int
    """In MiB."""

    noncurrent_days: int
    """How long the lake stores what was replaced or deleted."""

    @property
    def removal(self) -> Any:
        """Return what becomes of data when a stack goes."""
        return cdk.RemovalPolicy.RETAIN if self.keeps_data else cdk.RemovalPolicy.DESTROY

    def name_stack(self, part: str) -> str:
        """Name a stack."""
        return f"fillrate-{self.name}-{part}"


ENVIRONMENTS: Final = {
    each.name: each
    for each in (
        Environment(
            name="dev",
            keeps_data=False,
            nat_gateways=1,
            database_zones=1,
            database_class=ec2.InstanceType.of(ec2.InstanceClass.T4G, ec2.InstanceSize.MEDIUM),
            backup_days=7,
            log_retention=logs.RetentionDays.ONE_MONTH,
            run_cpu=1024,
            run_memory=4096,
            noncurrent_days=7,
        ),
        Environment(
            name="prod",
            keeps_data=True,
            nat_gateways=2,
            database_zones=2,
            database_class=ec2.InstanceType.of(ec2.InstanceClass.M7G, ec2.InstanceSize.LARGE),
            backup_days=35,
            log_retention=logs.RetentionDays.ONE_YEAR,
            run_cpu=2048,
            run_memory=8192,
            noncurrent_days=90,
        ),
    )
}
