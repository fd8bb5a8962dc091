"""Notifier of SNS topics. The call itself is in `aws.sns`."""

from __future__ import annotations

from fillrate_assets.aws import sns
from fillrate_assets.notifications import rendering
from fillrate_assets.notifications.notifiers.channel import OutgoingMessage


def send(letter: OutgoingMessage) -> None:
    """Publish a message as text, and as one SMS for the telephones among the subscribers, in one attempt.

    Raises:
        SourceUnavailable: SNS did not answer.
        PermanentFailure: SNS denied access, or there is no such topic.

    """
    topic = letter.channel.partition(":")[2]
    text = rendering.render_text(letter.message)
    attributes = {"message_id": letter.message_id}
    sms = rendering.render_sms(letter.message)
    sns.publish(topic, letter.message.subject, text, sms=sms, attributes=attributes, attempts=1)
