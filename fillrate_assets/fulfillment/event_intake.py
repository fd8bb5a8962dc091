"""Intake of events: what is new is enqueued, what is known is not, and what contradicts what is known is refused.

HTTP and files are ways into it and do not belong here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, Literal

from fillrate_assets.fulfillment.log_port import EventRegister
from fillrate_assets.fulfillment.rules.event_documents import ReceivedEvent, dump_event
from fillrate_assets.fulfillment.rules.events import Event
from fillrate_assets.messaging import log_context, telemetry
from fillrate_assets.messaging.job_ids import JobIds
from fillrate_assets.messaging.jobs import EXPEDITED, NORMAL, Job, JobSender

_LOG: Final = logging.getLogger("fillrate.fulfillment")
EVENT_QUEUE: Final = "events"
"""The queue of the lifecycles: events of one order are applied one at a time, in the order of their intake."""

INTAKE_QUEUE: Final = "intake"
"""In AWS, the queue of documents that sources send; what is accepted goes on to the queue of the lifecycles."""

Acceptance = Literal["ACCEPTED", "DUPLICATE", "CONFLICTING"]


@dataclass(frozen=True)
class EventIntake:
    """The way in for events."""

    queue: JobSender
    accepted: EventRegister
    ids: JobIds = field(default_factory=JobIds)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def accept(self, events: Sequence[ReceivedEvent], delays: Sequence[float] = ()) -> list[Acceptance]:
        """Accept events: those that are new are enqueued durably when this returns.

        They are enqueued first and known afterwards: if the process dies in between, the source sends them again, they
        are enqueued twice, and applied once (decision 0223).

        Args:
            events: what came in.
            delays: of each, after how many seconds it is due; at once where this is empty.

        Raises:
            SourceUnavailable: a database did not answer: send all of them again.

        """
        if not events:
            return []
        known = self.accepted.find_payloads([each.event.event_id for each in events])
        results: list[Acceptance] = []
        fresh: list[tuple[ReceivedEvent, float]] = []
        for received, delay in zip(events, delays or [0.0] * len(events), strict=True):
            event = received.event
            if event.event_id not in known:
                known[event.event_id] = event.payload_sha256
                fresh.append((received, delay))
                results.append("ACCEPTED")
            else:
                results.append("DUPLICATE" if known[event.event_id] == event.payload_sha256 else "CONFLICTING")
        for received, result in zip(events, results, strict=True):
            telemetry.count("fillrate.events", answer=result)
            with log_context.bind(list_ids(received.event)):
                _LOG.info("%s of %s is %s", received.event.type, received.event.source, result)
        if fresh:
            self.queue.enqueue([replace(self._make_job(received), delay_seconds=delay) for received, delay in fresh])
            self.accepted.insert([received.event for received, _ in fresh], now=self.clock())
        return results

    def _make_job(self, received: ReceivedEvent) -> Job:
        return Job(
            self.ids.make(),
            EVENT_QUEUE,
            dump_event(received.event),
            partition=received.event.order_id,
            priority=EXPEDITED if received.expedited else NORMAL,
            context=telemetry.make_context(**list_ids(received.event)),
        )


def list_ids(event: Event) -> dict[str, str | None]:
    """List what log lines and traces say of an event."""
    return {name: getattr(event, name) for name in ("event_id", "order_id", "correlation_id", "causation_id")}
