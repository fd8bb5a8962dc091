"""What the definitions of fulfillment work on, and how the Resources tab of the UI shows it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

from pydantic import Field

from fillrate_assets.core import extras
from fillrate_assets.fulfillment.effect_store import EffectStore
from fillrate_assets.fulfillment.pipeline_store import make_limits, read_status
from fillrate_assets.fulfillment.rules.alarms import AlarmLimits, PipelineStatus
from fillrate_assets.messaging.jobs import JobQueue
from fillrate_assets.orchestration.resources import DatabaseResource, SystemResource
from fillrate_assets.settings import Settings
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql import redact_url


@dataclass(frozen=True)
class FulfillmentPipeline:
    """The pipeline of an environment: its record store, its queues, and from where on people hear of it."""

    database: Database
    queue_url: str
    queue_schema: str
    limits: AlarmLimits

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Make the pipeline of an environment."""
        given = settings.fulfillment
        return cls(
            Database.from_settings(settings),
            given.queue_url,
            settings.queue_schema,
            make_limits(given),
        )

    @property
    def effects(self) -> EffectStore:
        """Return the effects."""
        return EffectStore(self.database)

    @contextmanager
    def open_queue(self) -> Iterator[JobQueue]:
        """Open the queues.

        Raises:
            PermanentFailure: their extra is not installed.

        """
        extras.require("fulfillment", "the definitions of fulfillment")
        from fillrate_assets.messaging.dbos_queue import DbosQueue  # noqa: PLC0415 - it needs an extra

        with DbosQueue(self.queue_url, self.queue_schema) as queue:
            yield queue

    def read_status(self, since: datetime, now: datetime) -> PipelineStatus:
        """Read the status; lag is that of what was applied since a moment."""
        with self.open_queue() as queue:
            return read_status(self.database, queue, self.limits.longest_in_state, since=since, now=now)


class FulfillmentPipelineResource(DatabaseResource):
    """Events of orders and onboardings: their log and effects, and the queues between."""

    queue_url: str = Field(description="SQLAlchemy URL of the queues, without its password.")

    @classmethod
    def describe(cls, system: FulfillmentPipeline) -> Self:
        """Describe the pipeline."""
        return cls(
            system=system,
            url=redact_url(system.database.url),
            schema_name=system.database.schema or "",
            queue_url=redact_url(system.queue_url),
        )


RESOURCES: Final[dict[str, type[SystemResource]]] = {"fulfillment_pipeline": FulfillmentPipelineResource}
