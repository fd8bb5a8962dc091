"""Dead letters: jobs that were given up, and their effects."""

from __future__ import annotations

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
