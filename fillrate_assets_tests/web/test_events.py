"""Events over HTTP: who may send them, what they are answered, and what is enqueued."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook
from starlette.types import ASGIApp

from fillrate_assets import settings
from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.fulfillment.accepted_events import AcceptedEvents
from fillrate_assets.fulfillment.event_intake import EVENT_QUEUE, EventIntake
from fillrate_assets.fulfillment.rules.event_schemas import SCHEMAS
from fillrate_assets.fulfillment.rules.events import compute_event_id
from fillrate_assets.messaging.jobs import Job
from fillrate_assets.settings import Fulfillment
from fillrate_assets.web.events.app import build_app
from fillrate_assets.web.events.authentication import make_senders
from fillrate_assets.web.events.documents import MAX_EVENTS
from fillrate_assets.web.events.openapi import build_openapi
from fillrate_assets.web.json_service import MAX_BODY
from fillrate_assets_tests.conftest import ROOT
from fillrate_assets_tests.factories.fulfillment_events import LINES
from fillrate_assets_tests.fixtures.embedded import create_database
from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS, wait_until
from fillrate_assets_tests.fixtures.recorded_queue import RecordedQueue

TOKEN = "a token of a source, 32 characters"  # noqa: S105 - of tests
BEARER = TOKEN.replace(" ", "-")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - of tests
DOCUMENT: dict[str, Any] = {
    "type": "OrderReceived",
    "order_id": "O1",
    "dc": "DC01",
    "ship_date": "2026-02-12",
    "occurred_at": "2026-02-10T12:00:00Z",
    "source": "oms",
    "source_version": 1,
    "payload": {"customer": "C1", "lines": LINES},
}
ENVELOPE: dict[str, Any] = {
    "specversion": "1.0",
    "id": "of the message",
    "source": "oms",
    "type": "OrderReceived",
    "subject": "O1",
    "time": "2026-02-10T12:00:00Z",
    "dc": "DC01",
    "shipdate": "2026-02-12",
    "sourceversion": 1,
    "data": {"customer": "C1", "lines": LINES},
}
EVENT_ID = compute_event_id("oms", "O1", "OrderReceived", "1")


@dataclass
class Service:
    """The service, and what it enqueued."""

    app: ASGIApp
    queue: RecordedQueue
    intake: EventIntake

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - as httpx has them
        """Send a request."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="https://events.example") as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())

    def post(self, content: object, **headers: str) -> httpx.Response:
        """Post JSON with the token, unless headers say otherwise."""
        given = {"authorization": f"Bearer {BEARER}", "content-type": "application/json"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return self.send("POST", "/events", content=body, headers={**given, **named})


@pytest.fixture
def service(tmp_path: Path) -> Service:
    queue = RecordedQueue()
    intake = EventIntake(queue, AcceptedEvents(create_database(f"sqlite:///{tmp_path}/records.db")))
    given = Fulfillment.model_validate({"event_token": BEARER, "event_secret": SECRET})
    app = build_app(
        intake=intake,
        senders=make_senders(given),
        max_backlog=5,
        allowed_hosts=["events.example"],
        clock=iter(range(0, 1000, 2)).__next__,
    )
    return Service(app, queue, intake)


def test_a_new_event_is_stored_a_known_one_is_not_and_a_contradiction_is_refused(service: Service) -> None:
    answers = [service.post(DOCUMENT) for _ in range(2)]
    assert [(each.status_code, each.json()) for each in answers] == [
        (202, {"status": 202, "event_id": EVENT_ID}),
        (200, {"status": 200, "event_id": EVENT_ID}),
    ]
    other = service.post({**DOCUMENT, "payload": {"customer": "C2", "lines": LINES}})
    assert (other.status_code, other.headers["content-type"]) == (409, "application/problem+json")
    assert other.json()["event_id"] == EVENT_ID
    (job,) = service.queue.jobs
    assert (job.queue, job.partition, job.body["event_id"]) == (EVENT_QUEUE, "O1", EVENT_ID)


def test_what_is_wrong_is_said_by_field(service: Service) -> None:
    answer = service.post({**DOCUMENT, "dc": None, "payload": {"customer": "C1", "lines": [{}]}})
    assert answer.status_code == 422
    assert set(answer.json()["problems"]) == {
        "dc",
        "payload.lines.0.line_no",
        "payload.lines.0.item",
        "payload.lines.0.cases",
    }
    assert service.post(7).json()["problems"] == {"event": "is an object"}
    assert service.queue.jobs == []


def test_an_event_comes_in_any_mode_of_cloud_events(service: Service) -> None:
    structured = service.post(ENVELOPE, content_type="application/cloudevents+json; charset=utf-8")
    attributes = {f"ce_{name}": str(value) for name, value in ENVELOPE.items() if name != "data"}
    binary = service.post(ENVELOPE["data"], ce_schemaversion="1", ce_expedited="true", **attributes)
    assert [(each.status_code, each.json()["event_id"]) for each in (structured, binary)] == [
        (202, EVENT_ID),
        (200, EVENT_ID),
    ]
    old = service.post({**ENVELOPE, "specversion": "0.3", "id": ""}, content_type="application/cloudevents+json")
    assert old.json()["problems"] == {"id": "is required", "specversion": "is '1.0'"}


def test_a_batch_says_of_each_event_what_became_of_it(service: Service) -> None:
    second = {**DOCUMENT, "order_id": "O2", "expedited": True}
    answer = service.post([DOCUMENT, {"type": "Sung"}, second, DOCUMENT])
    assert (answer.status_code, [each["status"] for each in answer.json()["results"]]) == (207, [202, 422, 202, 200])
    batch = service.post([ENVELOPE], content_type="application/cloudevents-batch+json")
    assert [each["status"] for each in batch.json()["results"]] == [200]
    assert [job.partition for job in service.queue.jobs] == ["O1", "O2"]


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"nope", "application/json", 400),
        (b'{"payload": NaN}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"{}", "application/cloudevents-batch+json", 400),
        (b"{}", "text/plain", 415),
        (json.dumps([{}] * (MAX_EVENTS + 1)).encode(), "application/json", 413),
        (b" " * (MAX_BODY + 1), "application/json", 413),
    ],
)
def test_a_body_that_is_none_is_refused(service: Service, content: bytes, content_type: str, status: int) -> None:
    answer = service.post(content, content_type=content_type)
    assert (answer.status_code, answer.json()["status"]) == (status, status)


@pytest.mark.parametrize("authorization", ["", "Bearer", f"Basic {BEARER}", f"Bearer {BEARER}x", "Bearer ä"])
def test_who_has_no_token_is_refused_before_the_body_is_read(service: Service, authorization: str) -> None:
    answer = service.send("POST", "/events", content=b"nope", headers={"authorization": authorization.encode()})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def sign(body: bytes, at: datetime) -> dict[str, str]:
    signature = Webhook(SECRET).sign("msg_1", at, body.decode())
    return {
        "authorization": "",
        "webhook_id": "msg_1",
        "webhook_timestamp": str(int(at.timestamp())),
        "webhook_signature": signature,
    }


def test_a_signed_request_needs_no_token(service: Service) -> None:
    body, now = json.dumps(DOCUMENT).encode(), datetime.now(UTC)
    assert service.post(body, **sign(body, now)).status_code == 202
    assert service.post(body + b" ", **sign(body, now)).status_code == 401
    assert service.post(body, **sign(body, now - timedelta(minutes=6))).status_code == 401
    assert service.post(body, **{**sign(body, now), "webhook_signature": "nonsense"}).status_code == 401
    assert service.post(b"\xff", **sign(body, now)).status_code == 401


def test_sources_wait_while_too_many_events_do(service: Service) -> None:
    service.queue.jobs += [Job(str(number), EVENT_QUEUE) for number in range(5)]
    answer = service.post(DOCUMENT)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "10")
    service.queue.jobs.clear()
    assert service.post(DOCUMENT).status_code == 202


@pytest.mark.parametrize(("error", "status"), [(SourceUnavailable("hunter2"), 503), (ValueError("hunter2"), 500)])
def test_an_event_that_is_not_stored_is_not_accepted(
    service: Service, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(service.queue, "enqueue", fail)
    answer = service.post(DOCUMENT)
    assert answer.status_code == status
    assert "hunter2" not in answer.text
    monkeypatch.undo()
    assert service.post(DOCUMENT).status_code == 202


def test_nothing_else_is_answered(service: Service) -> None:
    assert service.send("GET", "/events").status_code == 405
    assert service.send("GET", "/").status_code == 404
    assert service.send("POST", "/events", headers={"host": "elsewhere.example"}).status_code == 421
    answer = service.send("GET", "/health", headers={"host": "elsewhere.example"})
    assert (answer.text, answer.headers["x-content-type-options"]) == ("ok", "nosniff")


def test_the_description_has_each_event_and_each_answer(service: Service) -> None:
    described = service.send("GET", "/openapi.json").json()
    assert described == build_openapi()
    assert set(described["components"]["schemas"]) == set(SCHEMAS)
    received = described["components"]["schemas"]["OrderReceived"]
    assert set(DOCUMENT) == set(received["required"])
    assert received["properties"]["payload"]["required"] == ["customer", "lines"]
    assert {"200", "202", "409", "413", "422", "429"} <= set(described["paths"]["/events"]["post"]["responses"])


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "set one of them"),
        ({"event_token": "short"}, "needs 32 characters or more"),
        ({"event_secret": "whsec_ä"}, "is not whsec_ and base64"),
    ],
)
def test_a_service_that_would_take_events_of_anyone_does_not_start(given: dict[str, str], problem: str) -> None:
    with pytest.raises(PermanentFailure, match=problem):
        make_senders(Fulfillment.model_validate(given))


@pytest.mark.slow
def test_the_command_takes_events_until_it_is_stopped(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    given = {"FILLRATE_HOME": str(tmp_path), "FILLRATE_FULFILLMENT__EVENT_TOKEN": BEARER}
    command = [sys.executable, "-c", "from fillrate_assets.cli.main import main; main()"]
    command += ["fulfillment", "serve", "--port", str(port)]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **given}, stdout=output, stderr=output)  # noqa: S603 - our own

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return httpx.get(f"http://127.0.0.1:{port}/health").is_success
        except httpx.TransportError:
            return False

    try:
        wait_until(answers, log.read_text)
        headers = {"authorization": f"Bearer {BEARER}"}
        sent = httpx.post(f"http://127.0.0.1:{port}/events", json=DOCUMENT, headers=headers, timeout=PATIENCE_SECONDS)
        assert sent.status_code == 202, sent.text
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)
    finally:
        process.kill()
        process.wait(PATIENCE_SECONDS)
    assert process.returncode in {0, -signal.SIGTERM}, log.read_text()
    assert settings.load(home=tmp_path).fulfillment.queue_url.endswith("jobs.db")
    assert (tmp_path / "systems" / "jobs.db").exists()
