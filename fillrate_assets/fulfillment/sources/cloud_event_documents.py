"""Events in the envelope of CloudEvents: which attribute is which field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fillrate_assets.messaging import cloud_events

_FIELDS: Final = {
    "type": "type",
    "source": "source",
    "subject": "order_id",
    "time": "occurred_at",
    "data": "payload",
    "dc": "dc",
    "shipdate": "ship_date",
    "documentid": "document_id",
    "sourceversion": "source_version",
    "schemaversion": "schema_version",
    "expectedversion": "expected_version",
    "causationid": "causation_id",
    "correlationid": "correlation_id",
    "expedited": "expedited",
}
"""By attribute; names of extensions are letters and digits."""


def unwrap_document(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the fields of an event; of one without an envelope, as they are.

    Raises:
        EnvelopeError: it has an envelope that is none of CloudEvents 1.0.

    """
    return cloud_events.unwrap(document, _FIELDS) if cloud_events.is_envelope(document) else document
