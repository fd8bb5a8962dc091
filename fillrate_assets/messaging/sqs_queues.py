"""Jobs in queues of SQS: FIFO where they are due, a standard queue where they wait, and what is parked or given up.

Which function consumes a queue, and how often, is the configuration of Lambda; what it does is in `lambda_batches`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby, islice
from typing import Any, Final
from uuid import uuid4

from fillrate_assets.aws import sqs
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.messaging.jobs import Job, StoredJob

_BATCH: Final = 10
_BROWSED_SECONDS: Final = 120
"""How long a reader that dies hides what it looked at."""


@dataclass(frozen=True)
class SqsQueues:
    """The queues of an environment, by their URLs."""

    urls: Mapping[str, str]
    """By name of queue."""

    deferred_url: str
    """Where jobs of FIFO queues wait until they are due: such a queue delays all of its messages or none."""

    parked_url: str
    dead_letter_url: str

    @property
    def urls_by_name(self) -> Mapping[str, str]:
        """The URLs of the queues that functions consume, by the names that are in their ARNs."""
        return {url.rpartition("/")[2]: url for url in (*self.urls.values(), self.deferred_url)}

    def enqueue(self, jobs: Sequence[Job]) -> None:
        """Enqueue jobs durably; one that was enqueued under its id within five minutes changes nothing."""
        for url, part in groupby(jobs, self._choose):
            sqs.send(url, [_make_message(job, url) for job in part])

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

    def count_unfinished(self) -> int:
        """Count the jobs that are due, run or are put off; about."""
        return sum(self.count_waiting().values()) + sqs.count(self.deferred_url)

    def count_dead_letters(self) -> int:
        """Count what was given up; about."""
        return sqs.count(self.dead_letter_url)

    def count_parked(self) -> int:
        """Count jobs that are parked; about."""
        return sqs.count(self.parked_url)

    def list_dead_letters(self, limit: int) -> list[StoredJob]:
        """List what was given up, oldest first; one that another reader has just received is left out."""
        return self._list(self.dead_letter_url, limit)

    def find_dead_letter(self, job_id: str) -> StoredJob | None:
        """Find what was given up; None where there is nothing of this id."""
        with closing(self._browse(self.dead_letter_url)) as browsed:
            return next((stored for _, stored in browsed if stored.job.job_id == job_id), None)

    def redrive(self, job_id: str) -> Job:
        """Enqueue a dead letter again, with all its attempts before it, and return it.

        It is sent before it is deleted: a crash in between enqueues it twice, and handlers are idempotent.

        Raises:
            PermanentFailure: there is no such dead letter, or it can only be discarded.

        """
        return self._move(self.dead_letter_url, job_id)

    def redrive_all(self, limit: int) -> Iterator[Job]:
        """Enqueue dead letters again one by one, and yield each; what can only be discarded is left."""
        for receipt, stored in islice(self._browse(self.dead_letter_url), limit):
            with suppress(PermanentFailure):
                self._send_again(stored)
                sqs.delete(self.dead_letter_url, receipt)
                yield stored.job

    def discard(self, job_id: str) -> Job:
        """Delete a dead letter, and return it.

        Raises:
            PermanentFailure: there is no such dead letter.

        """
        receipt, stored = self._find(self.dead_letter_url, job_id)
        sqs.delete(self.dead_letter_url, receipt)
        return stored.job

    def list_parked(self, limit: int) -> list[StoredJob]:
        """List jobs that are parked, oldest first."""
        return self._list(self.parked_url, limit)

    def release(self, job_id: str) -> None:
        """Make a parked job due.

        Raises:
            PermanentFailure: there is no such job.

        """
        self._move(self.parked_url, job_id)

    def _move(self, url: str, job_id: str) -> Job:
        receipt, stored = self._find(url, job_id)
        self._send_again(stored)
        sqs.delete(url, receipt)
        return stored.job

    def _send_again(self, stored: StoredJob) -> None:
        """Send a job again: to where it waits a moment, as its own queue would take it for a duplicate."""
        if stored.job.queue in self.urls and stored.is_job:
            self.enqueue([replace(stored.job, attempts=0, deferrals=0, delay_seconds=1)])
            return
        urls = [url for url in self.urls.values() if stored.source and stored.source.endswith(url.rpartition("/")[2])]
        if not urls or stored.body is None:
            msg = f"{stored.job.job_id} cannot be tried again: it came from no queue of ours"
            raise PermanentFailure(msg)
        options = {"MessageGroupId": _hash(stored.body), "MessageDeduplicationId": uuid4().hex}
        sqs.send(urls[0], [sqs.Message(stored.body, options if _is_fifo(urls[0]) else {})])

    def _list(self, url: str, limit: int) -> list[StoredJob]:
        with closing(self._browse(url)) as browsed:
            found = [stored for _, stored in islice(browsed, limit)]
        return sorted(found, key=lambda stored: stored.since)

    def _find(self, url: str, job_id: str) -> tuple[str, StoredJob]:
        with closing(self._browse(url)) as browsed:
            found = next((each for each in browsed if each[1].job.job_id == job_id), None)
        if found is None:
            msg = f"{url.rpartition('/')[2]}: there is no such job: {job_id}"
            raise PermanentFailure(msg)
        return found

    @staticmethod
    def _browse(url: str) -> Generator[tuple[str, StoredJob]]:
        """Receive what is in a queue, with its receipts; at the end what is still there can be received again."""
        received: list[str] = []
        try:
            while messages := sqs.receive(url, _BATCH, invisible_seconds=_BROWSED_SECONDS, wait_seconds=1):
                received += [message["ReceiptHandle"] for message in messages]
                yield from ((message["ReceiptHandle"], _load_stored(message)) for message in messages)
        finally:
            for receipt in received:
                with suppress(PermanentFailure):  # it has been deleted
                    sqs.hide(url, receipt, 0)

    def _choose(self, job: Job) -> str:
        if job.queue not in self.urls:
            msg = f"queue {job.queue} has no URL: set FILLRATE_FULFILLMENT_AWS__QUEUE_URLS"
            raise PermanentFailure(msg)
        url = self.urls[job.queue]
        return self.deferred_url if job.delay_seconds > 0 and _is_fifo(url) else url


def dump_stored(body: str, reason: str, now: datetime, **details: object) -> str:
    """Return a dead letter or a parked job as its message has it."""
    return json.dumps({"body": body, "reason": reason, "since": now.isoformat(), **details}, ensure_ascii=False)


def _load_stored(message: Mapping[str, Any]) -> StoredJob:
    """Load what was given up or parked. What is not ours, as a failed batch of the stream, is shown as it is."""
    text, details = message["Body"], _load_object(message["Body"])
    body, since = details.get("body", text), int(message["Attributes"]["SentTimestamp"]) / 1000
    try:
        job = Job.load(body)
    except (ValueError, TypeError):
        job = None
    shown = job or Job(message["MessageId"], str(details.get("source", "")).rpartition(":")[2] or "unknown")
    failed_at = details.get("first_failed_at") or shown.first_failed_at
    return StoredJob(
        replace(shown, attempts=details.get("attempts", shown.attempts), first_failed_at=failed_at),
        details.get("reason", "it came from elsewhere"),
        datetime.fromisoformat(details["since"]) if "since" in details else datetime.fromtimestamp(since, UTC),
        code_version=details.get("code_version"),
        error=details.get("error"),
        source=details.get("source"),
        body=body,
        is_job=job is not None,
    )


def _load_object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _is_fifo(url: str) -> bool:
    return url.endswith(".fifo")


def _make_message(job: Job, url: str) -> sqs.Message:
    if job.delay_seconds > 0:
        delay = min(math.ceil(job.delay_seconds), sqs.LONGEST_DELAY_SECONDS)
        return sqs.Message(replace(job, delay_seconds=0).dump(), {"DelaySeconds": delay})
    if not _is_fifo(url):
        return sqs.Message(job.dump())
    options: dict[str, Any] = {
        "MessageGroupId": _hash(job.partition or job.job_id),
        "MessageDeduplicationId": _hash(job.job_id),
    }
    return sqs.Message(job.dump(), options)


def _hash(text: str) -> str:
    """Return an id of at most 128 characters that SQS takes."""
    return hashlib.sha256(text.encode()).hexdigest()
