"""Jobs that people start: replay of the log, and another try of what was given up."""

from datetime import date
from functools import partial
from importlib.metadata import version
from typing import Final

import dagster as dg
from pydantic import Field

from fillrate_assets.core.errors import ContractViolation, PermanentFailure
from fillrate_assets.fulfillment import redelivery, replay
from fillrate_assets.fulfillment.dead_letters import make_dead_letters
from fillrate_assets.fulfillment.defs.resources import FulfillmentPipeline
from fillrate_assets.fulfillment.interventions import Action, Intervention

_NAMED: Final = 20


class ScopeConfig(dg.Config):
    """Which orders are replayed; all where nothing is named."""

    order_id: str | None = Field(None, description="Only this order or party.")
    dc: str | None = Field(None, description="Only orders of this DC.")
    ship_date: str | None = Field(None, description="Only orders of this ship date, YYYY-MM-DD.")
    since: int | None = Field(None, description="Only orders with an event from this global_seq on.")
    until: int | None = Field(None, description="Only orders with an event up to this global_seq.")

    def make_scope(self) -> replay.ReplayScope:
        """Return the scope."""
        day = None if self.ship_date is None else date.fromisoformat(self.ship_date)
        return replay.ReplayScope(self.order_id, self.dc, day, self.since, self.until)


class ReplayConfig(ScopeConfig):
    """Which orders are replayed, and what for."""

    rebuild: bool = Field(False, description="Whether what the log says takes the place of what differs.")  # noqa: FBT003 - a default


class RedeliverConfig(ScopeConfig):
    """Whose events are enqueued again."""

    reason: str = Field(description="Why, for those who read the order's history.", min_length=3)


class RefireConfig(dg.Config):
    """Which effects are requested again."""

    effects: list[str] = Field(description="Their effect_ids.")
    reason: str = Field(description="Why, for those who read the order's history.", min_length=3)
    approver: str = Field(description="Who approved it, another person.", min_length=3)
    new_generation: bool = Field(False, description="Whether they get new ids, so that targets do them again.")  # noqa: FBT003 - a default


class RedriveConfig(dg.Config):
    """Which jobs that were given up are tried again."""

    jobs: list[str] = Field(description="Ids of dead letters, as the check and the command list them.")
    reason: str = Field(description="Why, for those who read the run.", min_length=3)


@dg.op
def replay_log(
    context: dg.OpExecutionContext,
    config: ReplayConfig,
    fulfillment_pipeline: dg.ResourceParam[FulfillmentPipeline],
) -> None:
    """Fold the log of each order, and compare it with the order's head; no effect is requested."""
    database, result, rebuilt = fulfillment_pipeline.database, replay.ReplayResult(), 0
    intervention = _intervene(context, "REBUILT", "their log says otherwise")
    for part in replay.verify_parts(database, config.make_scope()):
        rebuilt += replay.rebuild(database, part, intervention) if config.rebuild else 0
        result.add(part)
        context.log.info("%d events", result.events)
    named = result.problems[:_NAMED]
    context.add_output_metadata(
        {
            "orders": result.orders,
            "events": result.events,
            "differences": result.differing,
            "rebuilt": rebuilt,
            "digest of the log": result.log_digest,
            "digest of the heads": result.head_digest,
            "which": "\n".join(named) or "none",
        }
    )
    if (left := result.differing - rebuilt) > 0:
        raise ContractViolation("\n".join([f"{left} orders are not where their log says:", *named]))


@dg.op
def redeliver_events(
    context: dg.OpExecutionContext,
    config: RedeliverConfig,
    fulfillment_pipeline: dg.ResourceParam[FulfillmentPipeline],
) -> None:
    """Enqueue events of the log again: what is applied changes nothing, effects that are not done are requested."""
    intervention = _intervene(context, "REDELIVERED", config.reason)
    with fulfillment_pipeline.open_queue() as queue:
        sent = redelivery.redeliver(
            fulfillment_pipeline.database,
            queue,
            config.make_scope(),
            intervention,
            progress=partial(context.log.debug, "%d events"),
        )
    context.add_output_metadata({"events": sent, "reason": config.reason})


@dg.op
def refire_effects(
    context: dg.OpExecutionContext,
    config: RefireConfig,
    fulfillment_pipeline: dg.ResourceParam[FulfillmentPipeline],
) -> None:
    """Request named effects again of their targets."""
    intervention = _intervene(context, "REFIRED", config.reason, config.approver)
    with fulfillment_pipeline.open_queue() as queue:
        fired = redelivery.refire(
            fulfillment_pipeline.database,
            queue,
            config.effects,
            intervention,
            new_generation=config.new_generation,
        )
    context.add_output_metadata({"effects": "\n".join(fired), "reason": config.reason, "approver": config.approver})


def _intervene(
    context: dg.OpExecutionContext, action: Action, reason: str, approver: str | None = None
) -> Intervention:
    return Intervention(action, f"run {context.run_id}", reason, version("fillrate-assets"), approver)


@dg.op
def redrive_dead_letters(
    context: dg.OpExecutionContext,
    config: RedriveConfig,
    fulfillment_pipeline: dg.ResourceParam[FulfillmentPipeline],
) -> None:
    """Try jobs again that were given up, with all their attempts."""
    missing = []
    with fulfillment_pipeline.open_queue() as queue:
        letters = make_dead_letters(queue, fulfillment_pipeline.effects)
        for job_id in config.jobs:
            try:
                letters.redrive(job_id)
            except PermanentFailure as error:
                missing.append(str(error))
    context.add_output_metadata(
        {
            "tried again": len(config.jobs) - len(missing),
            "reason": config.reason,
            "missing": "\n".join(missing) or "none",
        }
    )
    if missing:
        raise PermanentFailure("\n".join(missing))


@dg.job(description="Folds the log of fulfillment and compares it with the orders; may rebuild them.")
def fulfillment_replay() -> None:
    """Replay the log."""
    replay_log()


@dg.job(description="Tries jobs of fulfillment again that were given up.")
def fulfillment_redrive() -> None:
    """Redrive dead letters."""
    redrive_dead_letters()


@dg.job(description="Enqueues events of fulfillment's log again, order by order.")
def fulfillment_redeliver() -> None:
    """Redeliver events."""
    redeliver_events()


@dg.job(description="Requests named effects of fulfillment again, with a reason and an approver.")
def fulfillment_refire() -> None:
    """Refire effects."""
    refire_effects()


JOBS: Final = (fulfillment_replay, fulfillment_redeliver, fulfillment_redrive, fulfillment_refire)
