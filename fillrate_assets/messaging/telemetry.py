"""Traces and metrics of jobs, behind one port: nothing is measured until a command has them exported.

`otlp_exporter` exports them. What is counted, and what a trace consists of, is here and where it happens.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final, Literal, Protocol

from fillrate_assets.messaging import log_context
from fillrate_assets.messaging.jobs import Job

SpanKind = Literal["SERVER", "CLIENT", "CONSUMER"]
Attributes = Mapping[str, str | int | float]

TRACEPARENT: Final = "traceparent"
"""In the context of a job, as in a header of HTTP: the span that enqueued it (W3C Trace Context)."""


class Exporter(Protocol):
    """What exports traces and metrics."""

    def span(
        self, name: str, kind: SpanKind, parent: str | None, attributes: Attributes
    ) -> AbstractContextManager[None]:
        """Open a span, under a parent of another process if there is one, else under the one that is open."""

    def annotate(self, attributes: Attributes) -> None:
        """Add attributes to the span that is open."""

    def get_traceparent(self) -> str | None:
        """Return the span that is open, for other processes; None where none is."""

    def count(self, name: str, number: int, attributes: Attributes) -> None:
        """Add to a counter."""

    def record(self, name: str, seconds: float, attributes: Attributes) -> None:
        """Record a duration."""


_EXPORTERS: Final[list[Exporter]] = []
"""That of this process, if there is one: spans are opened far from the command that had it made."""


@contextmanager
def export(exporter: Exporter) -> Iterator[None]:
    """Export the traces and metrics of this process meanwhile."""
    _EXPORTERS.append(exporter)
    try:
        yield
    finally:
        _EXPORTERS.remove(exporter)


def span(
    name: str, kind: SpanKind, attributes: Attributes | None = None, *, parent: str | None = None
) -> AbstractContextManager[None]:
    """Open a span; what is raised in it marks it as failed."""
    return _EXPORTERS[-1].span(name, kind, parent, attributes or {}) if _EXPORTERS else nullcontext()


def annotate(**attributes: str | float) -> None:
    """Add attributes to the span that is open."""
    if _EXPORTERS:
        _EXPORTERS[-1].annotate(attributes)


def get_traceparent() -> str | None:
    """Return the span that is open, for other processes; None where none is."""
    return _EXPORTERS[-1].get_traceparent() if _EXPORTERS else None


def count(name: str, number: int = 1, **attributes: str) -> None:
    """Add to a counter."""
    if _EXPORTERS:
        _EXPORTERS[-1].count(name, number, attributes)


def record(name: str, seconds: float, **attributes: str) -> None:
    """Record a duration."""
    if _EXPORTERS:
        _EXPORTERS[-1].record(name, seconds, attributes)


def make_context(**ids: str | None) -> dict[str, str]:
    """Make the context of a job: its ids, and the span that enqueues it."""
    found = {**ids, TRACEPARENT: get_traceparent()}
    return {name: value for name, value in found.items() if value}


def count_outcome(job: Job, outcome: str) -> None:
    """Count what became of a job, and say so in its span."""
    count("fillrate.jobs", queue=job.queue, outcome=outcome)
    annotate(outcome=outcome)


@contextmanager
def observe_job(job: Job) -> Iterator[None]:
    """Measure a job while it runs: a span under the one that enqueued it, its ids in log lines, how long it took."""
    ids = {name: value for name, value in job.context.items() if name != TRACEPARENT}
    begun = time.monotonic()
    about, parent = {**ids, "job_id": job.job_id}, job.context.get(TRACEPARENT)
    with (
        log_context.bind({**about, "queue": job.queue}),
        span(f"process {job.queue}", "CONSUMER", about, parent=parent),
    ):
        yield
        record("fillrate.job.duration", time.monotonic() - begun, queue=job.queue)
