"""CloudEvents 1.0: the envelope in its structured mode, as plain fields. What the event says belongs to an area."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

VERSION: Final = "1.0"
MEDIA_TYPE: Final = "application/cloudevents+json"
BATCH_MEDIA_TYPE: Final = "application/cloudevents-batch+json"
_REQUIRED: Final = ("id", "source", "type")


class EnvelopeError(ValueError):
    """A document that is no CloudEvent."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        """Name what is wrong, by attribute."""
        super().__init__("; ".join(f"{name} {problem}" for name, problem in problems.items()))
        self.problems = problems


def is_envelope(document: Mapping[str, Any]) -> bool:
    """Return whether a document says that it is a CloudEvent."""
    return "specversion" in document


def unwrap(document: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of an event in an envelope.

    Args:
        document: the envelope.
        names: by attribute, the field that it is; other attributes are left out, among them `id`, which is that of a
            message and not of what happened.

    Raises:
        EnvelopeError: an attribute is missing, or the version is not 1.0.

    """
    problems = {name: "is required" for name in _REQUIRED if not document.get(name)}
    if document.get("specversion") != VERSION:
        problems["specversion"] = f"is '{VERSION}'"
    if problems:
        raise EnvelopeError(problems)
    return {field: document[name] for name, field in names.items() if document.get(name) is not None}
