"""The systems of fill rates as the Resources tab of the UI shows them."""

from typing import Any, Final, Self

from pydantic import Field

from fillrate_assets.fillrate.defs.lake_repair import LakeRepair
from fillrate_assets.fillrate.defs.source_versions import Sources
from fillrate_assets.fillrate.watermark import DatabaseWatermark, ParameterStoreWatermark
from fillrate_assets.notifications.platform_outbox import Outbox
from fillrate_assets.orchestration.resources import (
    DatabaseResource,
    LimitedSourceResource,
    SourceResource,
    SystemResource,
)
from fillrate_assets.storage.sql import redact_url


class OrderSystemResource(LimitedSourceResource):
    """The order system: every version of order lines by DC and ship date, and the item master."""


class ShippingRecordsResource(LimitedSourceResource):
    """The shipping records: every version of shipment lines by DC and ship date."""


class InstockWarehouseResource(SourceResource):
    """The instock warehouse: a snapshot of every stocked item by DC and day."""


class SourcesResource(SystemResource):
    """What the three sources have, beside what is processed: the sensor and the health checks compare the two."""

    watermark_overlap_minutes: int = Field(description="How far a tick looks behind the watermark.")
    snapshot_lookback_days: int = Field(description="How many days of snapshots a tick compares.")

    @classmethod
    def describe(cls, system: Sources) -> Self:
        """Describe how the sources are compared."""
        return cls(
            system=system,
            watermark_overlap_minutes=system.settings.sensor.watermark_overlap_minutes,
            snapshot_lookback_days=system.settings.sensor.snapshot_lookback_days,
        )


class LakeRepairResource(SystemResource):
    """Days that the lake has lost: they are computed again from the sources before a run reads them."""

    @classmethod
    def describe(cls, system: LakeRepair) -> Self:
        """Describe the repair, which has no settings of its own."""
        return cls(system=system)


class RecordStoreResource(DatabaseResource):
    """The record store: published records, their restatements, rejects, the ledger, waivers and DCs."""


class NetworkStoreResource(DatabaseResource):
    """What is known of the comparison of DCs, in the record store."""


class WatermarkResource(SystemResource):
    """The watermarks: up to when the sensor new_orders has looked at each source."""

    location: str = Field(description="The record store's database, or ssm://prefix of AWS Parameter Store.")

    @classmethod
    def describe(cls, system: DatabaseWatermark | ParameterStoreWatermark) -> Self:
        """Describe where the watermarks are."""
        url = system.database.url if isinstance(system, DatabaseWatermark) else system.url
        return cls(system=system, location=redact_url(url))


class OutboxResource(DatabaseResource):
    """The outbox: messages about failed runs, held days and other findings, each stored once before it is sent."""

    topic_arn: str = Field(description="SNS topic that messages are published to; empty: they stay in the outbox.")

    @classmethod
    def describe(cls, system: Outbox) -> Self:
        """Describe the outbox."""
        return cls(
            system=system,
            url=redact_url(system.database.url),
            schema_name=system.database.schema or "",
            topic_arn=system.topic,
        )


class ViewMailResource(SystemResource):
    """Saved views of the buyers' pages: what is due is sent by mail and chat."""

    service_url: str = Field(description="Where links in messages lead.")
    domains: list[str] = Field(description="Domains of mail to which views may be sent.")
    channels: list[str] = Field(description="Channels of chat and mail to which views may be sent.")

    @classmethod
    def describe(cls, system: Any) -> Self:  # noqa: ANN401 - what sends views is above the areas
        """Describe where views may be sent."""
        web = system.settings.web
        return cls(
            system=system,
            service_url=web.feedback_url,
            domains=web.subscription_domains,
            channels=web.subscription_channels,
        )


RESOURCES: Final[dict[str, type[SystemResource]]] = {
    "order_system": OrderSystemResource,
    "shipping_records": ShippingRecordsResource,
    "instock_warehouse": InstockWarehouseResource,
    "sources": SourcesResource,
    "lake_repair": LakeRepairResource,
    "record_store": RecordStoreResource,
    "network_store": NetworkStoreResource,
    "watermark": WatermarkResource,
    "outbox": OutboxResource,
    "view_mail": ViewMailResource,
}
