"""The systems of the buffers as the Resources tab of the UI shows them."""

from typing import Any, Final, Self

from pydantic import Field

from fillrate_assets.buffers.defs.alert_dispatch import AlertDispatch
from fillrate_assets.buffers.sources.floor_feeds import FloorFeeds
from fillrate_assets.orchestration.resources import DatabaseResource, SystemResource, describe_tables
from fillrate_assets.storage.sql import redact_url


class FloorFeedsResource(SystemResource):
    """The four feeds of the warehouse floors: levels, flows, people and limits."""

    url: str = Field(description="SQLAlchemy URL, without its password.")
    source_tables: dict[str, Any] = Field(description="What sources call the contract's tables and columns.")
    statement_timeout_seconds: int = Field(description="How long they may work at one statement.")

    @classmethod
    def describe(cls, system: FloorFeeds) -> Self:
        """Describe the feeds."""
        return cls(
            system=system,
            url=redact_url(system.url),
            source_tables=describe_tables(system.tables),
            statement_timeout_seconds=system.statement_seconds,
        )


class BufferStoreResource(DatabaseResource):
    """Warehouses, units, shifts and routes, which people change with SQL, and what the floor answered."""


class PolicyStoreResource(DatabaseResource):
    """The roles of policies: one champion that alerts, and challengers that run beside it."""


class AlertDispatchResource(SystemResource):
    """How alerts reach people: notices are stored in the outbox first, and sent from there."""

    channels: list[str] = Field(description="Webhooks by name; their URLs are secret.")
    console_only: bool = Field(description="Whether no message leaves: every channel is the log.")
    shows_every_label: bool = Field(description="Whether suppressed alerts are sent as well.")
    platform_channel: str = Field(description="Who gets the heartbeat, once an hour.")
    ui_url: str = Field(description="Where the links in messages lead.")

    @classmethod
    def describe(cls, system: AlertDispatch) -> Self:
        """Describe how alerts are sent."""
        return cls(
            system=system,
            channels=sorted(system.notifiers.urls),
            console_only=system.notifiers.console_only,
            shows_every_label=system.every_label,
            platform_channel=system.platform_channel,
            ui_url=system.ui_url,
        )


RESOURCES: Final[dict[str, type[SystemResource]]] = {
    "floor_feeds": FloorFeedsResource,
    "buffer_store": BufferStoreResource,
    "policies": PolicyStoreResource,
    "delivery": AlertDispatchResource,
}
