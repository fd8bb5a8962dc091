"""The worker: applies events, and requests their effects of the targets, each function in a queue of its own.

It decides nothing: `rules` do, and `messaging` retries, delays, parks and gives up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.fulfillment.event_intake import EVENT_QUEUE, EventIntake
from fillrate_assets.fulfillment.log_port import Applied, EffectLog, EffectRequest, EventLog
from fillrate_assets.fulfillment.rules.decisions import Effect, compute_delay
from fillrate_assets.fulfillment.rules.event_documents import ReceivedEvent, load_event
from fillrate_assets.fulfillment.rules.event_schemas import get_newest_version
from fillrate_assets.fulfillment.rules.events import Event, compute_event_id
from fillrate_assets.fulfillment.rules.lifecycles import FUNCTIONS
from fillrate_assets.fulfillment.sources.targets import Target, TargetAnswer
from fillrate_assets.messaging import telemetry
from fillrate_assets.messaging.job_ids import read_age
from fillrate_assets.messaging.jobs import (
    EXPEDITED,
    NORMAL,
    BreakerOptions,
    Done,
    Handler,
    Job,
    Later,
    Parked,
    QueueOptions,
    Result,
)

MAX_DEFERRALS: Final = 10
"""How often a premature event comes again before it is parked: some five minutes."""

CONCURRENCY: Final = {EVENT_QUEUE: 16, **dict.fromkeys(FUNCTIONS, 8)}
_EFFECT_ID: Final = "effect_id"
_LOG: Final = logging.getLogger("fillrate.fulfillment")
_UNREQUESTED: Final = timedelta(minutes=1)
_MOST: Final = 10_000


@dataclass(frozen=True)
class FulfillmentWorker:
    """What the jobs of fulfillment do."""

    log: EventLog
    effects: EffectLog
    intake: EventIntake
    targets: Mapping[str, Target]
    """By function. Effects of a function without one wait in its queue until there is."""

    name: str = "worker"
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    doubt: Callable[[Event, str, datetime], None] = lambda _event, _problem, _now: None
    """Notes that an event is parked or given up: numbers that are made of events are in doubt."""

    @property
    def handlers(self) -> dict[str, Handler]:
        """Return what runs the jobs of each queue."""
        return {EVENT_QUEUE: self.apply_event, **dict.fromkeys(self.targets, self.request_effect)}

    def apply_event(self, job: Job) -> Result:
        """Apply an event; its effects follow, once the transaction is committed."""
        event = load_event(job.body)
        applied = self.log.apply(event, actor=self.name, now=self.clock())
        decision = applied.decision
        self._report(event, applied, job)
        if decision.event_class != "PREMATURE":
            return Done([make_effect_job(effect, job.priority, event) for effect in applied.effects])
        if job.deferrals >= MAX_DEFERRALS:
            self.doubt(event, f"parked event: {decision.reason}", self.clock())
            return Parked(decision.reason)
        return Later(compute_delay(job.deferrals), decision.reason)

    def _report(self, event: Event, applied: Applied, job: Job) -> None:
        """Log, trace and count what an event did."""
        decision, after = applied.decision, applied.decision.head or applied.before
        _LOG.info("%s is %s: %s -> %s", event.type, decision.event_class, applied.before.state, after.state)
        telemetry.annotate(event_type=event.type, event_class=decision.event_class, version=after.version)
        telemetry.count("fillrate.events.applied", event_class=decision.event_class)
        if (age := read_age(job.job_id, self.clock())) is not None:
            telemetry.record("fillrate.event.lag", age)

    def request_effect(self, job: Job) -> Result:
        """Request an effect of its target; what the target says happened comes in as events.

        They are accepted before the effect counts as done: a worker that dies in between requests it again, under the
        same id, and the same events come in again.
        """
        effect = self.effects.read_request(job.body[_EFFECT_ID])
        if effect.state == "DONE":
            return Done()
        try:
            answer = self.targets[job.queue].request(effect)
        except (SourceUnavailable, PermanentFailure) as error:
            self.effects.mark_failed(effect.effect_id, str(error))
            raise
        now = self.clock()
        events = [
            ReceivedEvent(event, expedited=job.priority == EXPEDITED)
            for event in make_events(job.queue, effect, answer, now)
        ]
        self.intake.accept(events, [each.delay_seconds for each in answer.events])
        response = {"events": [each.type for each in answer.events]}
        self.effects.mark_done(effect.effect_id, response, now=now)
        _LOG.info("%s is done; events: %s", effect.kind, ", ".join(response["events"]) or "none")
        return Done()

    def bury(self, job: Job, reason: str) -> None:
        """Mark the effect of a job that is given up as dead, or note that an event is in doubt."""
        if job.queue == EVENT_QUEUE:
            self.doubt(load_event(job.body), f"dead letter: {reason}", self.clock())
        else:
            self.effects.mark_dead(job.body[_EFFECT_ID], reason)

    def request_left_effects(self) -> int:
        """Enqueue effects that no job may be left for, as after a loss of the queue; return how many."""
        left = self.effects.find_pending(self.clock() - _UNREQUESTED, _MOST)
        self.intake.queue.enqueue([make_effect_job(effect) for effect in left])
        return len(left)


def build_queues(
    functions: Iterable[str], concurrency: Mapping[str, int], max_per_second: Mapping[str, int]
) -> list[QueueOptions]:
    """Build the queues that a worker listens to: that of events, and one for each function that has a target.

    Args:
        functions: by name.
        concurrency: jobs at a time, by queue, where it is not the default.
        max_per_second: requests a second, by function.

    """
    limits = {**CONCURRENCY, **concurrency}
    # A database that is down makes no dead letters of events, a target that is down none of effects.
    events = QueueOptions(
        EVENT_QUEUE, concurrency=limits[EVENT_QUEUE], ordered=True, breaker=BreakerOptions(probe_seconds=2)
    )
    return [
        events,
        *(
            QueueOptions(
                name,
                concurrency=limits[name],
                max_per_second=max_per_second.get(name),
                breaker=BreakerOptions(),
            )
            for name in functions
        ),
    ]


def make_effect_job(effect: Effect, priority: int = NORMAL, event: Event | None = None) -> Job:
    """Make the job that requests an effect, because of an event if that is known."""
    about = {} if event is None else {"event_id": event.event_id, "correlation_id": event.correlation_id}
    order_id = effect.effect_id.rpartition(f":{effect.kind}")[0].rpartition(":")[0]
    context = telemetry.make_context(effect_id=effect.effect_id, order_id=order_id, **about)
    body = {_EFFECT_ID: effect.effect_id}
    return Job(effect.effect_id, effect.function, body, priority=priority, context=context)


def make_events(function: str, effect: EffectRequest, answer: TargetAnswer, now: datetime) -> list[Event]:
    """Make the events of an answer: the same ids each time that it is given."""
    return [
        Event(
            event_id=compute_event_id(function, effect.effect_id, each.type, str(number)),
            type=each.type,
            schema_version=get_newest_version(each.type),
            order_id=effect.order_id,
            dc=effect.dc,
            ship_date=effect.ship_date,
            occurred_at=each.occurred_at or now,
            source=function,
            causation_id=effect.effect_id,
            correlation_id=effect.correlation_id,
            payload=each.payload,
        )
        for number, each in enumerate(answer.events)
    ]
