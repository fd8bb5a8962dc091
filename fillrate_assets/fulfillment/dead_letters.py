"""Dead letters: jobs that were given up, and their effects."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from fillrate_assets.fulfillment.log_port import EffectLog
from fillrate_assets.messaging.jobs import JobQueue


def redrive(queue: JobQueue, effects: EffectLog, job_id: str) -> None:
    """Try a job again that was given up, and let its effect be requested again.

    Raises:
        PermanentFailure: there is no such dead letter.
        SourceUnavailable: a database did not answer.

    """
    if effect_id := queue.redrive(job_id).body.get("effect_id"):
        effects.revive(effect_id)


def redrive_all(
    queue: JobQueue,
    effects: EffectLog,
    limit: int,
    *,
    per_second: float,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[str]:
    """Try dead letters again, so many a second, and yield their ids: what failed is not to be overrun by them."""
    for job in queue.redrive_all(limit):
        if effect_id := job.body.get("effect_id"):
            effects.revive(effect_id)
        yield job.job_id
        sleep(1 / per_second)


def discard(queue: JobQueue, effects: EffectLog, job_id: str, reason: str) -> None:
    """Delete a job that was given up; its effect stays dead, with the reason.

    Raises:
        PermanentFailure: there is no such dead letter.
        SourceUnavailable: a database did not answer.

    """
    if effect_id := queue.discard(job_id).body.get("effect_id"):
        effects.mark_dead(effect_id, f"discarded: {reason}")
