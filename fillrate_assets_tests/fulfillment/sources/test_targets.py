"""Targets over HTTP: what they are sent, and what their answers mean."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest

from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.fulfillment.log_port import EffectRequest
from fillrate_assets.fulfillment.sources.targets import HttpTarget, TargetAnswer, TargetEvent
from fillrate_assets_tests.fixtures.receiver import Answer, Fault, Receiver, start_receiver

EFFECT = EffectRequest(
    "O1:2:reserve_stock",
    "reserve_stock",
    "O1",
    2,
    "DC01",
    date(2026, 2, 12),
    "request",
    {"order": {"customer": "Ä"}, "event": {}},
)
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with start_receiver() as made:
        yield made


@pytest.fixture
def path(request: pytest.FixtureRequest) -> str:
    return f"/{abs(hash(request.node.name))}"


def request(receiver: Receiver, path: str, answer: Answer, timeout_seconds: float = 10) -> TargetAnswer:
    receiver.answers[path] = [answer]
    return HttpTarget(f"{receiver.url}{path}", timeout_seconds).request(EFFECT)


def test_a_target_is_sent_the_effect_with_its_id_as_key(receiver: Receiver, path: str) -> None:
    assert request(receiver, path, Answer()) == TargetAnswer([])
    (sent,) = receiver.to(path)
    assert sent.headers["Idempotency-Key"] == "O1:2:reserve_stock"
    assert sent.json == {
        "effect_id": "O1:2:reserve_stock",
        "kind": "reserve_stock",
        "order_id": "O1",
        "version": 2,
        "dc": "DC01",
        "ship_date": "2026-02-12",
        "correlation_id": "request",
        "order": {"customer": "Ä"},
        "event": {},
    }


def test_a_target_may_answer_with_events(receiver: Receiver, path: str) -> None:
    body = b'{"events": [{"type": "InventoryShort", "payload": {"lines": []}}, {"type": "OrderPacked"}]}'
    for headers in (JSON, {}):
        assert request(receiver, path, Answer(headers=headers, body=body)).events == [
            TargetEvent("InventoryShort", {"lines": []}),
            TargetEvent("OrderPacked"),
        ]
    assert request(receiver, path, Answer(204, body=b"")) == TargetAnswer([])


@pytest.mark.parametrize("body", [b"nope", b"[]", b'{"events": [{}]}', b'{"events": [7]}', b" " * 2_000_000])
def test_events_that_cannot_be_read_are_refused(receiver: Receiver, path: str, body: bytes) -> None:
    with pytest.raises(PermanentFailure, match="target of reserve_stock answers with events that cannot be read"):
        request(receiver, path, Answer(headers=JSON, body=body))


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (408, SourceUnavailable, "answers 408"),
        (429, SourceUnavailable, "answers 429"),
        (500, SourceUnavailable, "answers 500"),
        (301, PermanentFailure, "refuses with 301"),
        (404, PermanentFailure, "refuses with 404"),
        (422, PermanentFailure, "refuses with 422"),
    ],
)
def test_what_may_pass_is_retried_and_the_rest_is_not(
    receiver: Receiver, path: str, status: int, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=f"target of reserve_stock {said}"):  # noqa: RUF100, PT012 - one call
        request(receiver, path, Answer(status))


@pytest.mark.parametrize(
    ("fault", "seconds", "said"),
    [("silent", 0.2, "within 0.2 s"), ("drip", 0.2, "within 0.2 s"), ("cut", 10, "reached"), ("reset", 10, "reached")],
)
def test_a_target_that_does_not_answer_is_retried_and_its_url_not_shown(
    receiver: Receiver, path: str, fault: Fault, seconds: float, said: str
) -> None:
    with pytest.raises(SourceUnavailable, match=said) as raised:
        request(receiver, f"{path}-hunter2", Answer(fault=fault), seconds)
    assert "hunter2" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_target_that_is_not_there_is_retried() -> None:
    with pytest.raises(SourceUnavailable, match="cannot be reached: ConnectError"):
        HttpTarget("http://127.0.0.1:1/").request(EFFECT)
