"""The systems of the buffers as the Resources tab of the UI shows them."""

from typing import Final, Self

from pydantic import Field

from fillrate_assets.buffers.defs.alert_dispatch import AlertDispatch
from fillrate_assets.orchestration.resources import DatabaseResource, LimitedSourceResource, SystemResource


class FloorFeedsResource(LimitedSourceResource):
    """The four feeds of the warehouse floors: levels, flows, people and limits."""


class BufferStoreResource(DatabaseResource):
    """Warehouses, units, shifts and routes, which people change with SQL, and what the floor answered."""


class HistoryStoreResource(DatabaseResource):
    """What ticks made, as tables that dashboards query, for as many days as the settings say."""


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
    "buffer_history": HistoryStoreResource,
    "policies": PolicyStoreResource,
    "delivery": AlertDispatchResource,
}
