"""Jobs in queues of SQS: FIFO where they are due, a standard queue where they wait, and what is parked or given up.

Which function consumes a queue, and how often, is the configuration of Lambda; what it does is in `lambda_batches`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any

from fillrate_assets.aws import sqs
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.messaging.jobs import Job


@dataclass(frozen=True)
class SqsQueues:
    """The queues of an environment, by their URLs."""

    urls: Mapping[str, str]
    """By name of queue, its FIFO queue."""

    deferred_url: str
    """Where jobs wait until they are due: a FIFO queue delays all of its messages or none."""

    parked_url: str
    dead_letter_url: str

    def enqueue(self, jobs: Sequence[Job]) -> None:
        """Enqueue jobs durably; one that was enqueued under its id within five minutes changes nothing."""
        for url, part in groupby(jobs, self._choose):
            sqs.send(url, [_make_message(job) for job in part])

    def count_waiting(self) -> Mapping[str, int]:
        """Count the messages that are due or are worked on, by queue; SQS says about how many."""
        return {name: sqs.count(url) for name, url in self.urls.items()}

    def defer(self, job: Job, seconds: float, reason: str) -> None:
        """Let a job come again after a delay."""
        later = replace(job, delay_seconds=max(seconds, 1), deferrals=job.deferrals + 1, failure=reason)
        self.enqueue([later])

    def park(self, job: Job, reason: str, *, now: datetime) -> None:
        """Park a job until it is released."""
        sqs.send(self.parked_url, [sqs.Message(dump_stored(job.dump(), reason, now))])

    def give_up(self, body: str, reason: str, *, now: datetime, **details: object) -> None:
        """Make a dead letter of a message: its body as it came, why, and what else is known."""
        sqs.send(self.dead_letter_url, [sqs.Message(dump_stored(body, reason, now, **details))])

    def redrive(self, limit: int) -> int:
        """Enqueue dead letters again, with all their attempts before them; return how many.

        Each is sent before it is deleted: a crash in between enqueues it twice, and handlers are idempotent.
        """
        return self._move(self.dead_letter_url, limit)

    def release(self, limit: int) -> int:
        """Enqueue jobs that are parked again; return how many."""
        return self._move(self.parked_url, limit)

    def _move(self, url: str, limit: int) -> int:
        moved = 0
        while moved < limit and (messages := sqs.receive(url, limit - moved)):
            for message in messages:
                stored = json.loads(message["Body"])
                job = replace(Job.load(stored["body"]), attempts=0, deferrals=0, delay_seconds=1)
                self.enqueue([job])
                sqs.delete(url, message["ReceiptHandle"])
                moved += 1
        return moved

    def _choose(self, job: Job) -> str:
        if job.delay_seconds > 0:
            return self.deferred_url
        if job.queue not in self.urls:
            msg = f"queue {job.queue} has no URL: set FILLRATE_FULFILLMENT_AWS__QUEUE_URLS"
            raise PermanentFailure(msg)
        return self.urls[job.queue]


def dump_stored(body: str, reason: str, now: datetime, **details: object) -> str:
    """Return a dead letter or a parked job as its message has it."""
    return json.dumps({"body": body, "reason": reason, "since": now.isoformat(), **details}, ensure_ascii=False)


def _make_message(job: Job) -> sqs.Message:
    if job.delay_seconds > 0:
        delay = min(math.ceil(job.delay_seconds), sqs.LONGEST_DELAY_SECONDS)
        return sqs.Message(replace(job, delay_seconds=0).dump(), {"DelaySeconds": delay})
    options: dict[str, Any] = {
        "MessageGroupId": _hash(job.partition or job.job_id),
        "MessageDeduplicationId": _hash(job.job_id),
    }
    return sqs.Message(job.dump(), options)


def _hash(text: str) -> str:
    """Return an id of at most 128 characters that SQS takes."""
    return hashlib.sha256(text.encode()).hexdigest()
