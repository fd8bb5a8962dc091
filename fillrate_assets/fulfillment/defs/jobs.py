"""Jobs that people start: replay of the log, and another try of what was given up."""

from datetime import UTC, date, datetime
from functools import partial
from typing import Final

import dagster as dg
from pydantic import Field

from fillrate_assets.core.errors import ContractViolation, PermanentFailure
from fillrate_assets.fulfillment import dead_letters, replay
from fillrate_assets.fulfillment.defs.resources import FulfillmentPipeline

_NAMED: Final = 20


class ReplayConfig(dg.Config):
    """Which orders are replayed; all where nothing is named."""

    order_id: str | None = Field(None, description="Only this order or party.")
    dc: str | None = Field(None, description="Only orders of this DC.")
    ship_date: str | None = Field(None, description="Only orders of this ship date, YYYY-MM-DD.")
    since: int | None = Field(None, description="Only orders with an event from this global_seq on.")
    rebuild: bool = Field(False, description="Whether what the log says takes the place of what differs.")  # noqa: FBT003 - a default


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
    day = None if config.ship_date is None else date.fromisoformat(config.ship_date)
    scope = replay.ReplayScope(config.order_id, config.dc, day, config.since)
    result = replay.verify(fulfillment_pipeline.database, scope, progress=partial(context.log.info, "%d events"))
    rebuilt = 0
    if config.rebuild:
        rebuilt = replay.rebuild(fulfillment_pipeline.database, result, now=datetime.now(UTC))
    named = result.problems
    context.add_output_metadata(
        {
            "orders": result.orders,
            "events": result.events,
            "differences": len(named),
            "rebuilt": rebuilt,
            "digest of the log": result.log_digest,
            "digest of the heads": result.head_digest,
            "which": "\n".join(named[:_NAMED]) or "none",
        }
    )
    if len(named) > rebuilt:
        raise ContractViolation("\n".join([f"{len(named) - rebuilt} orders are not where their log says:", *named]))


@dg.op
def redrive_dead_letters(
    context: dg.OpExecutionContext,
    config: RedriveConfig,
    fulfillment_pipeline: dg.ResourceParam[FulfillmentPipeline],
) -> None:
    """Try jobs again that were given up, with all their attempts."""
    missing = []
    with fulfillment_pipeline.open_queue() as queue:
        for job_id in config.jobs:
            try:
                dead_letters.redrive(queue, fulfillment_pipeline.effects, job_id)
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


JOBS: Final = (fulfillment_replay, fulfillment_redrive)
