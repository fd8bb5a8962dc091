"""Dead letters: jobs that were given up, and their effects."""

from __future__ import annotations

from typing import Final

from fillrate_assets.fulfillment.log_port import EffectLog
from fillrate_assets.messaging.jobs import JobQueue

_MOST: Final = 10_000


def redrive(queue: JobQueue, effects: EffectLog, job_id: str) -> None:
    """Try a job again that was given up, and let its effect be requested again.

    Raises:
        PermanentFailure: there is no such dead letter.
        SourceUnavailable: a database did not answer.

    """
    bodies = {each.job.job_id: each.job.body for each in queue.list_dead_letters(_MOST)}
    if effect_id := bodies.get(job_id, {}).get("effect_id"):
        effects.revive(effect_id)
    queue.redrive(job_id)
