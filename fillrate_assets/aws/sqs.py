"""Messages to queues of SQS. What is in them belongs to `messaging`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fillrate_assets.aws import client
from fillrate_assets.core.errors import SourceUnavailable

LONGEST_DELAY_SECONDS: Final = 900
_LONGEST_INVISIBLE_SECONDS: Final = 12 * 60 * 60
_MOST: Final = 10
_BYTES: Final = 256 * 1024
"""What one request takes."""

_SYSTEM: Final = "SQS"


@dataclass(frozen=True)
class Message:
    """A message to be sent."""

    body: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """Group and deduplication id of a FIFO queue, or a delay, as SQS calls them."""


def send(queue_url: str, messages: Sequence[Message]) -> None:
    """Send messages, ten at a time, in their order.

    Raises:
        SourceUnavailable: SQS did not answer, or did not take all of them; some may be sent.

    """
    for batch in _batch(messages):
        entries = [{"Id": str(number), "MessageBody": each.body, **each.options} for number, each in enumerate(batch)]
        with client.translate_errors(_SYSTEM):
            failed = client.get_client("sqs").send_message_batch(QueueUrl=queue_url, Entries=entries).get("Failed")
        if failed:
            msg = f"{_SYSTEM} did not take {len(failed)} of {len(batch)} messages: {failed[0].get('Message')}"
            raise SourceUnavailable(msg)


def receive(queue_url: str, limit: int, *, invisible_seconds: int = 30, wait_seconds: int = 0) -> list[dict[str, Any]]:
    """Receive up to ten messages; they come again after so many seconds.

    Without waiting for any, SQS looks for them on some of its servers only.
    """
    with client.translate_errors(_SYSTEM):
        found = client.get_client("sqs").receive_message(
            QueueUrl=queue_url,
            MaxNumberOfMessages=min(limit, _MOST),
            VisibilityTimeout=invisible_seconds,
            WaitTimeSeconds=wait_seconds,
            MessageSystemAttributeNames=["All"],
        )
    messages: list[dict[str, Any]] = found.get("Messages", [])
    return messages


def delete(queue_url: str, receipt: str) -> None:
    """Delete a message that was received."""
    with client.translate_errors(_SYSTEM):
        client.get_client("sqs").delete_message(QueueUrl=queue_url, ReceiptHandle=receipt)


def hide(queue_url: str, receipt: str, seconds: float) -> None:
    """Let a message that was received come again after so many seconds."""
    timeout = min(int(seconds), _LONGEST_INVISIBLE_SECONDS)
    with client.translate_errors(_SYSTEM):
        client.get_client("sqs").change_message_visibility(
            QueueUrl=queue_url, ReceiptHandle=receipt, VisibilityTimeout=timeout
        )


def count(queue_url: str) -> int:
    """Count the messages of a queue: those that can be received, are received and not deleted, or wait; about."""
    states = ("", "NotVisible", "Delayed")
    names = [f"ApproximateNumberOfMessages{state}" for state in states]
    with client.translate_errors(_SYSTEM):
        found = client.get_client("sqs").get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)["Attributes"]
    return sum(int(found[name]) for name in names)


def _batch(messages: Sequence[Message]) -> Iterator[list[Message]]:
    batch: list[Message] = []
    size = 0
    for message in messages:
        length = len(message.body.encode())
        if batch and (len(batch) == _MOST or size + length > _BYTES):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += length
    if batch:
        yield batch
