"""What functions may do, and which findings of cdk-nag are accepted, each with its reason."""

from __future__ import annotations

from typing import Any, Final

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

REQUESTING: Final = ("dynamodb:GetItem", "dynamodb:UpdateItem")
"""Actions on a table: of what requests effects and accepts events."""

APPLYING: Final = (*REQUESTING, "dynamodb:Query", "dynamodb:PutItem", "dynamodb:ConditionCheckItem")
"""Of what applies events, in transactions. Nothing deletes: the log is only added to."""


def permit(grantee: Any, actions: tuple[str, ...], *resources: str) -> None:
    """Permit a function, a workflow or a role to do actions on resources."""
    statement = iam.PolicyStatement(actions=[*actions], resources=[*resources])
    grantee.grant_principal.add_to_principal_policy(statement)


def acknowledge(construct: Construct, rule: str, reason: str) -> None:
    """Accept a finding of cdk-nag on a construct and what is in it."""
    finding = cdk.Acknowledgment(id=f"AwsSolutions::AwsSolutions-{rule}", reason=reason)
    cdk.Validations.of(construct).acknowledge(finding)
