"""One trace from an event over HTTP to what a target did, its ids in every log line, and metrics, at a collector."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from fillrate_assets import settings
from fillrate_assets.cli import fulfillment_systems as systems
from fillrate_assets.cli import main
from fillrate_assets.core import extras
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.fulfillment.accepted_events import AcceptedEvents
from fillrate_assets.fulfillment.event_intake import EventIntake
from fillrate_assets.fulfillment.sources.targets import HttpTarget
from fillrate_assets.messaging import log_context, telemetry
from fillrate_assets.messaging.job_ids import JobIds, read_age
from fillrate_assets.messaging.jobs import Job
from fillrate_assets.messaging.otlp_exporter import OtlpExporter
from fillrate_assets.settings import Settings
from fillrate_assets.web.events.app import build_app
from fillrate_assets.web.events.authentication import make_senders
from fillrate_assets_tests.factories.fulfillment_events import AT, LINES
from fillrate_assets_tests.fixtures.log_handlers import install_handlers
from fillrate_assets_tests.fixtures.patience import wait_until
from fillrate_assets_tests.fixtures.receiver import Answer, Receiver, start_receiver

BEARER = "a-token-of-a-source-of-32-characters"
REFUSED = "refused"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
DOCUMENT = {
    "type": "OrderReceived",
    "order_id": "O1",
    "dc": "DC01",
    "ship_date": "2026-02-12",
    "source": "oms",
    "source_version": 1,
    "occurred_at": "2026-02-10T12:00:00Z",
    "correlation_id": "request 7",
    "payload": {"customer": "C1", "lines": LINES},
}


@pytest.fixture
def collector() -> Iterator[Receiver]:
    """A collector that takes whatever comes, and a target that validates orders."""
    with start_receiver() as made:
        body = json.dumps({"events": [{"type": "OrderValidated"}]}).encode()
        made.answers["/order"] = [Answer(headers={"Content-Type": "application/json"}, body=body)]
        yield made


def load(home: Path, collector: Receiver, **given: Any) -> Settings:  # noqa: ANN401 - any setting
    return settings.load(home=home, telemetry__otlp_endpoint=collector.url, fulfillment__event_token=BEARER, **given)


def read_spans(collector: Receiver) -> dict[str, Span]:
    """Read the spans that came in, by name; of two of one name the first."""
    found: dict[str, Span] = {}
    for request in collector.requests:
        if request.path == "/v1/traces":
            export = ExportTraceServiceRequest.FromString(request.body)
            for resource in export.resource_spans:
                for scope in resource.scope_spans:
                    for span in sorted(scope.spans, key=lambda each: each.start_time_unix_nano):
                        found.setdefault(span.name, span)
    return found


def read_metrics(collector: Receiver) -> dict[str, list[dict[str, str]]]:
    """Read the attributes of each metric's points."""
    found: dict[str, list[dict[str, str]]] = {}
    for request in collector.requests:
        if request.path == "/v1/metrics":
            for resource in ExportMetricsServiceRequest.FromString(request.body).resource_metrics:
                for metric in resource.scope_metrics[0].metrics:
                    points = getattr(metric, metric.WhichOneof("data") or "").data_points
                    found[metric.name] = [
                        {each.key: each.value.string_value for each in point.attributes} for point in points
                    ]
    return found


def post(chosen: Settings, intake: EventIntake) -> httpx.Response:
    senders = make_senders(chosen.fulfillment)
    app = build_app(intake=intake, senders=senders, max_backlog=5, allowed_hosts=["events.example"])

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://events.example") as client:
            headers = {"authorization": f"Bearer {BEARER}", "traceparent": PARENT}
            return await client.post("/events", json=DOCUMENT, headers=headers)

    return asyncio.run(send())


@pytest.mark.slow
def test_one_trace_goes_from_an_event_over_http_to_what_a_target_did(tmp_path: Path, collector: Receiver) -> None:
    chosen, lines = load(tmp_path / "home", collector, telemetry__log_format="json"), io.StringIO()
    database = systems.open_database(chosen)
    targets = {"order": HttpTarget(f"{collector.url}/order")}
    with ExitStack() as opened:
        queue = opened.enter_context(systems.make_queue(chosen, "the test"))
        opened.enter_context(log_context.write_lines(lines, "json", "INFO"))
        exporter = opened.enter_context(OtlpExporter(chosen.telemetry, "fillrate-test"))
        opened.enter_context(telemetry.export(exporter))
        exporter.observe("fillrate.jobs.waiting", queue.count_waiting, "queue")
        queue.prepare()
        assert post(chosen, EventIntake(queue, AcceptedEvents(database))).status_code == 202
        worker, engine = systems.make_worker(chosen, database, queue, targets, "worker")
        engine.stopping_seconds = 0
        with database.hold_open(), engine:
            wait_until(lambda: worker.log.read_head("O1").state == "VALIDATED")
            wait_until(lambda: queue.count_waiting().keys() == {"inventory"})
    check_trace(collector)
    check_lines(lines.getvalue())
    metrics = read_metrics(collector)
    assert {"answer": "ACCEPTED"} in metrics["fillrate.events"]
    assert {"event_class": "NEW"} in metrics["fillrate.events.applied"]
    assert {"queue": "order", "outcome": "done"} in metrics["fillrate.jobs"]
    assert {"queue": "inventory"} in metrics["fillrate.jobs.waiting"]
    assert {"fillrate.event.lag", "fillrate.job.duration"} <= metrics.keys()


def check_trace(collector: Receiver) -> None:
    """Each span is under the one that led to it, up to that of the source; the target gets the last."""
    spans = read_spans(collector)
    way = ["POST /events", "process events", "process order", "request validate_order"]
    assert {spans[name].trace_id.hex() for name in way} == {PARENT.split("-")[1]}
    parents = [PARENT.split("-")[2], *(spans[name].span_id.hex() for name in way[:-1])]
    assert [spans[name].parent_span_id.hex() for name in way] == parents
    applied = {each.key: each.value.string_value for each in spans["process events"].attributes}
    assert applied["fillrate.order_id"] == "O1"
    assert applied["fillrate.correlation_id"] == "request 7"
    assert applied["fillrate.event_class"] == "NEW"
    (requested,) = [request for request in collector.requests if request.path == "/order"]
    assert requested.headers["traceparent"].split("-")[1:3] == [
        PARENT.split("-")[1],
        spans["request validate_order"].span_id.hex(),
    ]


def check_lines(written: str) -> None:
    """Every line has the ids of what it is about, from intake to effect."""
    lines = [json.loads(line) for line in written.splitlines()]
    ours = [line for line in lines if line["logger"] == "fillrate.fulfillment"]
    assert {line["correlation_id"] for line in ours} == {"request 7"}
    assert {line["order_id"] for line in ours} == {"O1"}
    assert {line["trace_id"] for line in ours} == {PARENT.split("-")[1]}
    assert all("event_id" in line for line in ours)
    by_message = {line["message"]: line for line in ours}
    assert by_message["validate_order is done; events: OrderValidated"]["effect_id"] == "O1:1:validate_order"
    assert by_message["OrderValidated of order is ACCEPTED"]["causation_id"] == "O1:1:validate_order"
    assert by_message["OrderReceived is NEW: NOTHING -> RECEIVED"]["job_id"]


def test_a_span_in_which_something_is_raised_has_failed(tmp_path: Path, collector: Receiver) -> None:
    with OtlpExporter(load(tmp_path, collector).telemetry, "fillrate-test") as exporter, telemetry.export(exporter):
        with (
            pytest.raises(PermanentFailure, match="refused"),
            telemetry.observe_job(Job("1", "wms", context={"order_id": "O1"})),
        ):
            raise PermanentFailure(REFUSED)
        assert telemetry.get_traceparent() is None
    assert read_spans(collector)["process wms"].status.code == Status.STATUS_CODE_ERROR


def test_nothing_is_measured_where_nothing_is_exported() -> None:
    assert telemetry.make_context(order_id="O1", causation_id=None) == {"order_id": "O1"}
    with telemetry.observe_job(Job("1", "wms", context={"order_id": "O1"})):
        assert log_context.read_ids() == {"order_id": "O1", "job_id": "1", "queue": "wms"}
    assert log_context.read_ids() == {}


def test_an_endpoint_without_the_extra_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FILLRATE_HOME", str(tmp_path))
    monkeypatch.setenv("FILLRATE_TELEMETRY__OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setitem(extras.PACKAGES, "telemetry", ("no_such_package",))
    assert main.execute(["fulfillment", "worker"]) == 2
    assert capsys.readouterr().err == (
        "fillrate: error: the setting FILLRATE_TELEMETRY__OTLP_ENDPOINT needs no_such_package, which is not installed:"
        " pip install 'fillrate-assets[telemetry]'\n"
    )


@pytest.mark.parametrize(("form", "expected"), [("text", "WARNING fillrate.x: late order_id=O1"), ("json", '"late"')])
def test_a_line_carries_its_ids(form: log_context.LogFormat, expected: str) -> None:
    stream = io.StringIO()
    with log_context.write_lines(stream, form, "INFO"), log_context.bind({"order_id": "O1", "effect_id": None}):
        logging.getLogger("fillrate.x").warning("late")
    assert expected in stream.getvalue()
    assert form == "text" or json.loads(stream.getvalue())["order_id"] == "O1"


def test_the_handlers_of_a_runtime_write_json_with_ids() -> None:
    with install_handlers() as stream:
        log_context.adopt_handlers("INFO")
        with log_context.bind({"effect_id": "O1:1:validate_order"}):
            logging.getLogger("fillrate.x").info("done")
    assert json.loads(stream.getvalue())["effect_id"] == "O1:1:validate_order"


def test_the_age_of_a_job_is_in_its_id() -> None:
    made = JobIds(lambda: AT.timestamp() - 5).make()
    assert read_age(made, AT) == pytest.approx(5)
    assert (read_age("O1:1:validate_order", AT), read_age(f"{made}~001", AT)) == (None, None)
