"""The description of the intake as OpenAPI 3.1, made from the schemas of the events."""

from __future__ import annotations

from typing import Any, Final

from fillrate_assets.fulfillment.rules.event_schemas import CANCELLERS, PARTIES, SCHEMAS, PayloadField
from fillrate_assets.fulfillment.rules.lifecycles import BY_EVENT
from fillrate_assets.messaging.cloud_events import BATCH_MEDIA_TYPE, MEDIA_TYPE

_TEXT: Final = {"type": "string"}
_LINE: Final = {
    "type": "object",
    "required": ["line_no", "item", "cases"],
    "properties": {
        "line_no": {"type": "integer", "minimum": 0},
        "item": _TEXT,
        "cases": {"type": ["integer", "string"], "description": "a whole number, or text with at most 4 places"},
    },
}
_KINDS: Final[dict[str, dict[str, Any]]] = {
    "text": _TEXT,
    "flag": {"type": "boolean"},
    "lines": {"type": "array", "minItems": 1, "items": _LINE},
    "party": {"enum": [*PARTIES]},
    "date": {**_TEXT, "format": "date"},
    "canceller": {"enum": [*CANCELLERS]},
}
_FIELDS: Final[dict[str, dict[str, Any]]] = {
    "order_id": {**_TEXT, "maxLength": 200},
    "dc": _TEXT,
    "ship_date": {**_TEXT, "format": "date"},
    "occurred_at": {**_TEXT, "format": "date-time"},
    "source": _TEXT,
    "source_version": {"type": ["string", "integer"]},
    "document_id": {**_TEXT, "description": "the order, where it is left out"},
    "schema_version": {"type": "integer", "minimum": 1, "default": 1},
    "expected_version": {"type": "integer", "minimum": 0},
    "causation_id": _TEXT,
    "correlation_id": _TEXT,
    "expedited": {"type": "boolean", "default": False},
}
_ANSWERS: Final = {
    "200": "known already",
    "202": "stored; it is applied soon",
    "207": "a batch: the status of each event",
    "400": "no JSON",
    "401": "neither a token nor a signature",
    "409": "known with another payload",
    "413": "too long, or too many events",
    "415": "another media type",
    "422": "no event: what is wrong, by field",
    "429": "too many events wait",
    "503": "not stored: a database does not answer",
}


def build_openapi() -> dict[str, Any]:
    """Build the description."""
    event = {"oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in SCHEMAS]}
    envelope = {"description": "CloudEvents 1.0; `subject` is the order, `time` when it occurred, `data` the payload"}
    content = {
        "application/json": {"schema": {"oneOf": [event, {"type": "array", "items": event, "maxItems": 500}]}},
        MEDIA_TYPE: {"schema": {"type": "object", **envelope}},
        BATCH_MEDIA_TYPE: {"schema": {"type": "array", "items": {"type": "object", **envelope}}},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Events of fulfillment", "version": "1"},
        "paths": {
            "/events": {
                "post": {
                    "summary": "Report what happened to orders and parties",
                    "security": [{"token": []}, {"signature": []}],
                    "requestBody": {"required": True, "content": content},
                    "responses": {status: {"description": meaning} for status, meaning in _ANSWERS.items()},
                }
            }
        },
        "components": {
            "schemas": {name: _describe_event(name) for name in SCHEMAS},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "signature": {"type": "apiKey", "in": "header", "name": "webhook-signature"},
            },
        },
    }


def _describe_event(name: str) -> dict[str, Any]:
    about_order = BY_EVENT[name].name == "order"
    required = ["type", "order_id", "occurred_at", "source", "source_version", *(["dc", "ship_date"] * about_order)]
    fields = SCHEMAS[name].fields
    payload = {
        "type": "object",
        "required": [field.name for field in fields if field.required],
        "properties": {field.name: _describe_field(field) for field in fields},
        "description": f"version {SCHEMAS[name].version}",
    }
    if payload["required"]:
        required.append("payload")
    return {
        "type": "object",
        "required": required,
        "properties": {"type": {"const": name}, **_FIELDS, "payload": payload},
        "additionalProperties": False,
    }


def _describe_field(field: PayloadField) -> dict[str, Any]:
    return _KINDS[field.kind]
