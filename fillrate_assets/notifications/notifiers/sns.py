"""Notifier of SNS topics. The call itself is in `aws.sns`."""

from __future__ import annotations

from fillrate_assets.aws import sns
from fillrate_assets.notifications import rendering
from fillrate_assets.notifications.notifiers.channel import OutgoingMessage


def send(outgoing: OutgoingMessage) -> None:
    """Publish a message as text, and as one SMS for the telephones among the subscribers, in one attempt.

    Raises:
        SourceUnavailable: SNS did not answer.
        PermanentFailure: SNS denied access, or there is no such topic.

    """
    topic = outgoing.channel.partition(":")[2]
    text = rendering.render_text(outgoing.message)
    attributes = {"message_id": outgoing.message_id}
    sms = rendering.render_sms(outgoing.message)
    sns.publish(topic, outgoing.message.subject, text, sms=sms, attributes=attributes, attempts=1)
