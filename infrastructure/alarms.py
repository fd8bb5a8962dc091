"""Alarms of the stack: dead letters, what is parked or lost, what waits too long, and what functions measure.

Missing data count as trouble.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from fillrate_assets.messaging.lambda_batches import NAMESPACE

_MAX_AGE_SECONDS: Final = 300


class Measured(NamedTuple):
    """A metric, and what it must not exceed."""

    metric: Any
    limit: float


def measure(name: str, statistic: str, **dimensions: str) -> Any:
    """Return a metric that functions print, over five minutes."""
    return cloudwatch.Metric(
        namespace=NAMESPACE,
        metric_name=name,
        dimensions_map=dimensions,
        statistic=statistic,
        period=cdk.Duration.minutes(5),
    )


def make_alarms(
    scope: Construct, *, stored: Mapping[str, Any], waiting: Mapping[str, Any], measured: Mapping[str, Measured]
) -> Any:
    """Make the alarms, and the topic that hears them.

    Args:
        scope: the stack.
        stored: queues in which nothing should be, by the name of their alarm.
        waiting: queues in which nothing should be for long, by the name of their alarm.
        measured: what else must not exceed a limit, by the name of its alarm.

    """
    topic = sns.Topic(scope, "Alarms", enforce_ssl=True)
    found = {
        **{
            f"{name}Alarm": Measured(queue.metric_approximate_number_of_messages_visible(), 0)
            for name, queue in stored.items()
        },
        **{
            name: Measured(queue.metric_approximate_age_of_oldest_message(), _MAX_AGE_SECONDS)
            for name, queue in waiting.items()
        },
        **measured,
    }
    for name, each in found.items():
        alarm = cloudwatch.Alarm(
            scope,
            name,
            metric=each.metric,
            threshold=each.limit,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.BREACHING,
        )
        alarm.add_alarm_action(actions.SnsAction(topic))
    return topic
