"""Dead letters of an area: jobs that were given up, listed, tried again or discarded."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.messaging.jobs import Job, JobQueue, StoredJob

_LOG: Final = logging.getLogger("fillrate.messaging")
MOST: Final = 10_000
"""That are listed."""


@dataclass(frozen=True)
class DeadLetters:
    """The dead letters of an area. Methods raise `SourceUnavailable` where a database does not answer."""

    queue: JobQueue
    owns: Callable[[str], bool] | None = None
    """Returns whether a queue is one of the area; None where all are."""

    revive: Callable[[Job], None] = lambda _job: None
    """Learns of each job that is tried again."""

    bury: Callable[[Job, str], None] = lambda _job, _reason: None
    """Learns of each job that is discarded, and why."""

    def read(self, limit: int) -> list[StoredJob]:
        """Read them, oldest first."""
        if self.owns is None:
            return self.queue.list_dead_letters(limit)
        return [each for each in self.queue.list_dead_letters(MOST) if self.owns(each.job.queue)][:limit]

    def find(self, job_id: str) -> StoredJob:
        """Find one.

        Raises:
            PermanentFailure: there is no such dead letter.

        """
        found = self.queue.find_dead_letter(job_id)
        if found is None or (self.owns is not None and not self.owns(found.job.queue)):
            msg = f"there is no dead letter {job_id}"
            raise PermanentFailure(msg)
        return found

    def redrive(self, job_id: str) -> None:
        """Try a job again, with all its attempts before it.

        Raises:
            PermanentFailure: there is no such dead letter.

        """
        self._require(job_id)
        self.revive(self.queue.redrive(job_id))

    def redrive_all(
        self, limit: int, *, per_second: float, sleep: Callable[[float], None] = time.sleep
    ) -> Iterator[str]:
        """Try them again, so many a second, and yield their ids: what failed is not to be overrun by them."""
        own = (self.queue.redrive(each.job.job_id) for each in self.read(limit))
        for job in self.queue.redrive_all(limit) if self.owns is None else own:
            self.revive(job)
            yield job.job_id
            sleep(1 / per_second)

    def discard(self, job_id: str, reason: str) -> None:
        """Delete a job for good.

        Raises:
            PermanentFailure: there is no such dead letter.

        """
        self._require(job_id)
        self.bury(self.queue.discard(job_id), reason)
        _LOG.info("%s is discarded: %s", job_id, reason)

    def _require(self, job_id: str) -> None:
        """Find one that may be of another area; those of one area alone are found where they are deleted."""
        if self.owns is not None:
            self.find(job_id)
