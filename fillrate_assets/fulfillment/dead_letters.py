"""Dead letters of fulfillment: jobs that were given up, with their effects."""

from __future__ import annotations

from fillrate_assets.fulfillment.log_port import EffectLog
from fillrate_assets.messaging.dead_letters import DeadLetters
from fillrate_assets.messaging.jobs import Job, JobQueue


def make_dead_letters(queue: JobQueue, effects: EffectLog) -> DeadLetters:
    """Make the dead letters of a queue: an effect is requested again with its job, or stays dead with the reason."""

    def revive(job: Job) -> None:
        if effect_id := job.body.get("effect_id"):
            effects.revive(effect_id)

    def bury(job: Job, reason: str) -> None:
        if effect_id := job.body.get("effect_id"):
            effects.mark_dead(effect_id, f"discarded: {reason}")

    return DeadLetters(queue, revive=revive, bury=bury)
