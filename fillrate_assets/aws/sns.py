"""Messages to topics of SNS. Which channel of ours is a topic belongs to `notifications`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from fillrate_assets.aws import client

_SUBJECT_CHARACTERS: Final = 99
_MESSAGE_BYTES: Final = 256 * 1024


def publish(
    topic: str,
    subject: str,
    body: str,
    *,
    sms: str = "",
    attributes: Mapping[str, str] | None = None,
    attempts: int | None = None,
) -> None:
    """Publish one message, fitted to what SNS takes.

    Args:
        topic: ARN.
        subject: what it is about, in one line.
        body: the text.
        sms: what telephones get instead; "" for the text.
        attributes: what machines read of it.
        attempts: how often to try; None as AWS_MAX_ATTEMPTS says.

    Raises:
        SourceUnavailable: SNS did not answer.
        PermanentFailure: SNS denied access, or there is no such topic.

    """
    line = " ".join(re.sub(r"[\x00-\x1f\x7f]+", " ", subject).split())
    short = line if len(line) <= _SUBJECT_CHARACTERS else line[: _SUBJECT_CHARACTERS - 3] + "..."
    # A subject that had to be changed is in full above the message; SNS takes no empty message.
    text = body if short == subject and body else f"{subject}\n\n{body}"
    message = text.encode()[:_MESSAGE_BYTES].decode(errors="ignore")
    structure = {}
    if sms:
        structure = {"MessageStructure": "json"}
        message = _dump_by_protocol(text, sms)
    typed = {name: {"DataType": "String", "StringValue": value} for name, value in (attributes or {}).items()}
    with client.translate_errors(f"alerts ({topic})"):
        client.get_client("sns", attempts=attempts).publish(
            TopicArn=topic, Subject=short, Message=message, MessageAttributes=typed, **structure
        )


def _dump_by_protocol(text: str, sms: str) -> str:
    """Write what each kind of subscriber gets as JSON, which may not be longer than a message either."""
    length = len(text)
    while (
        len(dumped := json.dumps({"default": text[:length], "sms": sms}, ensure_ascii=False).encode()) > _MESSAGE_BYTES
    ):
        length -= max(1, (len(dumped) - _MESSAGE_BYTES) // 4)
    return dumped.decode()
