"""Executions of Step Functions. What a state machine does belongs to the areas."""

from __future__ import annotations

from fillrate_assets.aws import client


def start(state_machine_arn: str, name: str, data: str) -> bool:
    """Start an execution with its data, JSON; return whether there was none of this name.

    Raises:
        SourceUnavailable: Step Functions did not answer.
        PermanentFailure: there is no such state machine, or access is denied.

    """
    from botocore.exceptions import ClientError  # noqa: PLC0415 - a third of a second that only AWS users pay

    with client.translate_errors("Step Functions"):
        try:
            client.get_client("stepfunctions").start_execution(stateMachineArn=state_machine_arn, name=name, input=data)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "ExecutionAlreadyExists":
                return False
            raise
    return True
