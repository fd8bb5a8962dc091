"""Export of traces and metrics by OTLP over HTTP; no other module imports OpenTelemetry, the extra `telemetry`.

Headers, certificates and the like are those that OpenTelemetry itself reads from `OTEL_EXPORTER_OTLP_...`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from importlib.metadata import version
from typing import Any, Final, Self

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from fillrate_assets.core.errors import SourceUnavailable
from fillrate_assets.messaging import log_context
from fillrate_assets.messaging.telemetry import TRACEPARENT, Attributes, SpanKind
from fillrate_assets.settings import Telemetry

_NAME: Final = "fillrate"
_TIMEOUT_SECONDS: Final = 5
_PROPAGATOR: Final = TraceContextTextMapPropagator()


class OtlpExporter:
    """Traces and metrics of a process on their way to a collector; what cannot be sent is dropped with a warning."""

    def __init__(self, settings: Telemetry, service: str) -> None:
        """Make the exporter of a service; nothing is sent yet."""
        endpoint = settings.otlp_endpoint.rstrip("/")
        resource = Resource.create({"service.name": service, "service.version": version("fillrate-assets")})
        spans = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", timeout=_TIMEOUT_SECONDS)
        self._tracers = TracerProvider(
            resource=resource, sampler=ParentBased(TraceIdRatioBased(settings.trace_share)), shutdown_on_exit=False
        )
        self._tracers.add_span_processor(BatchSpanProcessor(spans))
        metrics = PeriodicExportingMetricReader(
            OTLPMetricExporter(endpoint=f"{endpoint}/v1/metrics", timeout=_TIMEOUT_SECONDS),
            export_interval_millis=settings.metrics_interval_seconds * 1000,
        )
        self._meters = MeterProvider([metrics], resource, shutdown_on_exit=False)
        self._tracer, self._meter = self._tracers.get_tracer(_NAME), self._meters.get_meter(_NAME)
        self._counter = cache(self._meter.create_counter)
        self._histogram = cache(partial(self._meter.create_histogram, unit="s"))

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Send what is left."""
        self._tracers.shutdown()
        self._meters.shutdown()

    @contextmanager
    def span(self, name: str, kind: SpanKind, parent: str | None, attributes: Attributes) -> Iterator[None]:
        """Open a span, under a parent of another process if there is one, else under the one that is open."""
        context = _PROPAGATOR.extract({TRACEPARENT: parent}) if parent else None
        shown = {f"{_NAME}.{key}": value for key, value in attributes.items()}
        opened = self._tracer.start_as_current_span(
            name, context=context, kind=trace.SpanKind[kind], attributes=shown, record_exception=False
        )
        with opened as current, log_context.bind({"trace_id": f"{current.get_span_context().trace_id:032x}"}):
            yield

    def annotate(self, attributes: Attributes) -> None:
        """Add attributes to the span that is open."""
        trace.get_current_span().set_attributes({f"{_NAME}.{key}": value for key, value in attributes.items()})

    def get_traceparent(self) -> str | None:
        """Return the span that is open, for other processes; None where none is."""
        carrier: dict[str, Any] = {}
        _PROPAGATOR.inject(carrier)
        return carrier.get(TRACEPARENT)

    def count(self, name: str, number: int, attributes: Attributes) -> None:
        """Add to a counter."""
        self._counter(name).add(number, attributes)

    def record(self, name: str, seconds: float, attributes: Attributes) -> None:
        """Record a duration."""
        self._histogram(name).record(seconds, attributes)

    def observe(self, name: str, read: Callable[[], Mapping[str, int]], by: str) -> None:
        """Read numbers by the values of an attribute whenever metrics are exported."""

        def call(_options: CallbackOptions) -> Iterator[Observation]:
            try:
                found = read()
            except SourceUnavailable:
                return
            yield from (Observation(number, {by: value}) for value, number in found.items())

        self._meter.create_observable_gauge(name, [call])
