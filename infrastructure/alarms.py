"""Alarms of the stack: dead letters, what is parked or lost, and what waits too long. Missing data count as trouble."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from fillrate_assets.fulfillment.lambda_handlers import OLDEST_EFFECT
from fillrate_assets.messaging.lambda_batches import NAMESPACE

_MAX_AGE_SECONDS: Final = 300
_MAX_EFFECT_AGE_SECONDS: Final = 900


def make_alarms(scope: Construct, *, stored: Mapping[str, Any], waiting: Mapping[str, Any], service: str) -> Any:  # noqa: ANN401 - the CDK has no types that are checked
    """Make the alarms, and the topic that hears them.

    Args:
        scope: the stack.
        stored: queues in which nothing should be, by the name of their alarm.
        waiting: queues in which nothing should be for long, by the name of their alarm.
        service: as what the functions print their metrics.

    """
    topic = sns.Topic(scope, "Alarms", enforce_ssl=True)

    def make(name: str, metric: object, threshold: int) -> None:
        alarm = cloudwatch.Alarm(
            scope,
            name,
            metric=metric,
            threshold=threshold,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.BREACHING,
        )
        alarm.add_alarm_action(actions.SnsAction(topic))

    for name, queue in stored.items():
        make(f"{name}Alarm", queue.metric_approximate_number_of_messages_visible(), 0)
    for name, queue in waiting.items():
        make(name, queue.metric_approximate_age_of_oldest_message(), _MAX_AGE_SECONDS)
    oldest = cloudwatch.Metric(
        namespace=NAMESPACE,
        metric_name=OLDEST_EFFECT,
        dimensions_map={"service": service},
        statistic="Maximum",
        period=cdk.Duration.minutes(5),
    )
    make("EffectAge", oldest, _MAX_EFFECT_AGE_SECONDS)
    return topic
