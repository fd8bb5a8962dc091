"""Dead letters of fulfillment: jobs that were given up, with their effects."""

from __future__ import annotations

from collections.abc import Callable

from fillrate_assets.fulfillment.log_port import EffectLog
from fillrate_assets.messaging.dead_letters import DeadLetters
from fillrate_assets.messaging.jobs import Job, JobQueue


def make_dead_letters(queue: JobQueue, effects: EffectLog, owns: Callable[[str], bool] | None = None) -> DeadLetters:
    """Make the dead letters: an effect is requested again with its job, or stays dead with the reason.

    Args:
        queue: what has them.
        effects: the effects.
        owns: which queues they are of; None for all.

    """

    def revive(job: Job) -> None:
        if effect_id := job.body.get("effect_id"):
            effects.revive(effect_id)

    def bury(job: Job, reason: str) -> None:
        if effect_id := job.body.get("effect_id"):
            effects.mark_dead(effect_id, f"discarded: {reason}")

    return DeadLetters(queue, owns, revive=revive, bury=bury)
