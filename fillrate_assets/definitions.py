"""The composition root: settings -> systems -> assets, checks, jobs, sensors."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any, Final
from zoneinfo import ZoneInfo

import dagster as dg
import sqlalchemy as sa

from fillrate_assets import settings as settings_module
from fillrate_assets.aws.secrets import SCHEME
from fillrate_assets.buffers.buffer_store import BufferStore
from fillrate_assets.buffers.defs import assets as buffer_assets
from fillrate_assets.buffers.defs import checks as buffer_checks
from fillrate_assets.buffers.defs import resources as buffer_resources
from fillrate_assets.buffers.defs import schedules
from fillrate_assets.buffers.defs.alert_dispatch import AlertDispatch
from fillrate_assets.buffers.history_store import HistoryStore
from fillrate_assets.buffers.notice_store import NoticeStore
from fillrate_assets.buffers.policy_store import PolicyStore
from fillrate_assets.buffers.sources.floor_feeds import FloorFeeds
from fillrate_assets.core import extras
from fillrate_assets.fillrate.defs import assets, checks, exports, health_checks, history, network, saved_views, sensors
from fillrate_assets.fillrate.defs import resources as fillrate_resources
from fillrate_assets.fillrate.defs.lake_repair import LakeRepair
from fillrate_assets.fillrate.defs.source_versions import Sources
from fillrate_assets.fillrate.network_store import NetworkStore
from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.fillrate.sources.instock_warehouse import InstockWarehouse
from fillrate_assets.fillrate.sources.order_system import OrderSystem
from fillrate_assets.fillrate.sources.shipping_records import ShippingRecords
from fillrate_assets.fillrate.sources.source_values import SourceValues
from fillrate_assets.fillrate.watermark import make_watermark
from fillrate_assets.fulfillment import feed_store
from fillrate_assets.fulfillment.defs import assets as fulfillment_assets
from fillrate_assets.fulfillment.defs import checks as fulfillment_checks
from fillrate_assets.fulfillment.defs import jobs as fulfillment_jobs
from fillrate_assets.fulfillment.defs import resources as fulfillment_resources
from fillrate_assets.fulfillment.defs.resources import FulfillmentPipeline
from fillrate_assets.inventory.defs import assets as inventory_assets
from fillrate_assets.inventory.defs import resources as inventory_resources
from fillrate_assets.inventory.defs.resources import StockNetwork
from fillrate_assets.inventory.snapshot_store import SNAPSHOTS, SnapshotFeed
from fillrate_assets.notifications import signed_links
from fillrate_assets.notifications.notifiers.dispatch import Notifiers
from fillrate_assets.notifications.platform_outbox import Outbox
from fillrate_assets.orchestration import lost_runs, resources, run_leases
from fillrate_assets.orchestration.dc_lock_store import DcLockStore
from fillrate_assets.orchestration.lake_io_manager import LakeIOManager
from fillrate_assets.orchestration.run_concurrency import DcLock
from fillrate_assets.replenishment.defs import assets as replenishment_assets
from fillrate_assets.replenishment.defs import checks as replenishment_checks
from fillrate_assets.replenishment.defs import resources as replenishment_resources
from fillrate_assets.replenishment.defs.resources import Supply
from fillrate_assets.settings import Settings, SourceTable
from fillrate_assets.storage import sql
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.lake import Lake

JOB = "fill_rate_and_lost_cases"
RESOURCES: Final = {
    **resources.RESOURCES,
    **fillrate_resources.RESOURCES,
    **buffer_resources.RESOURCES,
    **fulfillment_resources.RESOURCES,
    **inventory_resources.RESOURCES,
    **replenishment_resources.RESOURCES,
}
"""How the UI shows each system, by resource key."""


@dataclass(frozen=True)
class ViewMail:
    """What sends saved views of the buyers' pages, which need an extra that the assets do without."""

    settings: Settings

    def send_due(self, now: datetime) -> dict[str, Any]:
        """Send what is due; return how many messages were written, sent, failed and given up, and which problems."""
        extras.require("web", "the schedule saved_views")
        from fillrate_assets.web.server import make_view_sender  # noqa: PLC0415 - it needs an extra

        result = make_view_sender(self.settings).send_due(now)
        done = result.delivered
        problems = "\n".join(result.problems)
        counts = {"written": len(result.written), "sent": done.sent, "failed": done.failed, "given up": done.given_up}
        return {**counts, "problems": problems or "none"}


def make_systems(settings: Settings) -> dict[str, Any]:
    """Make every outside system, by its resource key."""
    database, lake = Database.from_settings(settings), Lake(settings.storage.lake_root)
    record_store = RecordStore(database)
    order_system, shipping_records = _make_order_sources(settings, record_store)
    return {
        "settings": settings,
        "order_system": order_system,
        "shipping_records": shipping_records,
        "instock_warehouse": _make_instock_warehouse(settings, record_store),
        "floor_feeds": FloorFeeds(
            settings.sources.floor_feeds_url,
            settings.sources.source_tables,
            settings.sources.tick_statement_timeout_seconds,
        ),
        "record_store": record_store,
        "network_store": NetworkStore(database),
        "buffer_store": BufferStore(database),
        "buffer_history": HistoryStore(database, settings.storage.buffer_history_days),
        "watermark": make_watermark(settings.storage.watermark_url, database),
        "outbox": Outbox(database, settings.notifications.alert_topic_arn),
        "policies": PolicyStore(database, settings.buffers.promotes_automatically),
        "delivery": make_alert_dispatch(settings),
        "view_mail": ViewMail(settings),
        "fulfillment_pipeline": FulfillmentPipeline.from_settings(settings),
        "stock_network": StockNetwork(settings, make_snapshot_feed(database)),
        "supply": Supply(database, record_store.read_calendar),
        "lake": lake,
        "io_manager": LakeIOManager(lake, {**assets.TABLES, **replenishment_assets.TABLES}),
        "dc_lock": DcLock(DcLockStore(database)),
    }


def _make_order_sources(settings: Settings, record_store: RecordStore) -> tuple[OrderSystem, ShippingRecords]:
    """Make the order system and the shipping records: those of the company, or the feed of fulfillment."""
    given = settings.sources
    seconds = given.source_statement_timeout_seconds
    if not given.orders_from_fulfillment:
        urls = (given.order_system_url, given.shipping_records_url)
        orders, shipments = (
            (url, given.source_tables, seconds, _choose_values(settings, url, record_store)) for url in urls
        )
        return OrderSystem(*orders), ShippingRecords(*shipments)
    schema, judged = settings.record_store_schema, {"problem": "problem"}
    tables = {
        **given.source_tables,
        "order_lines": SourceTable(name=feed_store.ORDER_LINES.name, schema_name=schema, columns=judged),
        "shipment_lines": SourceTable(name=feed_store.SHIPMENT_LINES.name, schema_name=schema, columns=judged),
    }
    url = settings.storage.record_store_url
    feed = (url, tables, seconds, _choose_values(settings, url, record_store))
    return OrderSystem(*feed, items_url=given.order_system_url), ShippingRecords(*feed)


def _make_instock_warehouse(settings: Settings, record_store: RecordStore) -> InstockWarehouse:
    """Make the instock warehouse: that of the company, or the feed of the inventory."""
    given = settings.sources
    if not given.snapshots_from_inventory:
        url = given.instock_warehouse_url
        return InstockWarehouse(url, given.source_tables, _choose_values(settings, url, record_store))
    table = SourceTable(name=SNAPSHOTS.name, schema_name=settings.record_store_schema, columns={"problem": "problem"})
    url = settings.storage.record_store_url
    tables = {**given.source_tables, "instock_snapshots": table}
    return InstockWarehouse(url, tables, _choose_values(settings, url, record_store))


def make_snapshot_feed(database: Database) -> SnapshotFeed:
    """Make the feed of snapshots, whose days are those of the clocks of the DCs."""
    store = RecordStore(database)

    def choose_date(dc: str, moment: datetime) -> date:
        return moment.astimezone(ZoneInfo(store.read_time_zones().get(dc, "UTC"))).date()

    return SnapshotFeed(database, choose_date)


def make_alert_dispatch(settings: Settings) -> AlertDispatch:
    """Make what sends alerts to people in this environment."""
    return AlertDispatch(
        NoticeStore(Database.from_settings(settings)),
        Notifiers.from_settings(settings),
        every_label=settings.environment.shows_every_label,
        platform_channel=settings.notifications.platform_channel,
        outbox=Outbox(Database.from_settings(settings), settings.notifications.alert_topic_arn),
        ui_url=settings.notifications.ui_url,
        signer=partial(
            signed_links.make_signer, settings.web.feedback_url, settings.web.feedback_secret.get_secret_value()
        ),
    )


def _choose_values(settings: Settings, url: str, record_store: RecordStore) -> SourceValues:
    """Choose how the values of a source are read: what is embedded in the home was judged when it was loaded."""
    file = sql.find_embedded_file(url)
    if file is not None and file.absolute().is_relative_to(settings.home):
        return SourceValues()
    years = (settings.sources.first_year, settings.sources.last_year)
    return SourceValues(years, record_store.read_time_zones)


def build_defs(settings: Settings, **overrides: Any) -> dg.Definitions:  # noqa: ANN401 - any resource
    """Build the definitions over one set of systems; tests and the command swap them by resource key."""
    logging.getLogger("fillrate").setLevel(settings.environment.log_level)
    with warnings.catch_warnings():
        # Partitioned checks, multi-partition mappings and single-run backfills are what this is built on; they are
        # tested here against the Dagster that is pinned.
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        made = {**make_systems(settings), **overrides}
        names = ("order_system", "shipping_records", "instock_warehouse", "watermark")
        of_a_day = ("order_system", "shipping_records", "instock_warehouse", "record_store", "lake")
        made = {
            "sources": Sources(settings, **{name: made[name] for name in names}),
            "lake_repair": LakeRepair(settings, **{name: made[name] for name in of_a_day}),
            **made,
        }
        return _build(
            settings,
            {key: RESOURCES[key].describe(each) if key not in overrides else each for key, each in made.items()},
        )


def _build(settings: Settings, by_key: dict[str, Any]) -> dg.Definitions:
    fed, own = settings.sources.orders_from_fulfillment, _find_kind(settings.storage.record_store_url)
    kinds = {
        "order_system": own if fed else _find_kind(settings.sources.order_system_url),
        "shipping_records": own if fed else _find_kind(settings.sources.shipping_records_url),
        "instock_warehouse": own
        if settings.sources.snapshots_from_inventory
        else _find_kind(settings.sources.instock_warehouse_url),
        "record_store": own,
    }

    def place(spec: dg.AssetSpec) -> dg.AssetSpec:
        """Draw where orders and snapshots come from, where that is this platform."""
        if spec.key == inventory_assets.FED and settings.sources.snapshots_from_inventory:
            return spec.merge_attributes(deps=[inventory_assets.RECONCILIATION])
        source = fulfillment_assets.FEED.get(spec.key) if fed else None
        return spec if source is None else spec.merge_attributes(deps=[source])

    job = dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.groups(assets.AREA)
        - dg.AssetSelection.assets(exports.exports, history.history, network.network_factors),
        description="Reads orders, shipments and snapshots, computes lost cases, and publishes the records.",
    )
    compared = dg.define_asset_job(
        network.JOB,
        selection=dg.AssetSelection.assets(network.network_factors),
        description="Compares the DCs on a ship date: what sold of each item over what is usual.",
    )
    months = dg.define_asset_job(
        history.JOB,
        selection=dg.AssetSelection.assets(history.history),
        description="Adds up the days of a DC by month, for reports and pages over a year.",
    )
    health = dg.define_asset_job(
        health_checks.JOB,
        selection=health_checks.select_checks(),
        description="Checks that no day is left behind, yesterday is complete, and the sources deliver.",
    )
    stock_buffers = dg.define_asset_job(
        replenishment_assets.JOB,
        selection=dg.AssetSelection.groups(replenishment_assets.AREA),
        description="Makes stock buffers of a DC's days: what to hold, when to reorder, and what became of it.",
    )
    tick = dg.define_asset_job(
        buffer_assets.JOB,
        selection=dg.AssetSelection.groups(buffer_assets.AREA),
        description="Computes a tick: reads the floors, decides what each unit needs, and notifies people.",
    )
    heartbeat = dg.define_asset_job(
        buffer_checks.JOB,
        selection=buffer_checks.select_heartbeat(),
        description="Checks that ticks of the buffers run at all.",
    )
    orders = dg.define_asset_job(
        fulfillment_checks.JOB,
        selection=fulfillment_checks.select_checks(),
        description="Checks that orders go on: lag, effects, stuck orders, dead letters, and the log.",
    )
    reconciliation = dg.define_asset_job(
        inventory_assets.JOB,
        selection=dg.AssetSelection.assets(inventory_assets.RECONCILIATION),
        description="Compares every copy of every count with the source, and repairs what differs.",
    )
    counts = dg.define_asset_job(
        inventory_assets.HEALTH_JOB,
        selection=dg.AssetSelection.checks(inventory_assets.reconciliation_age),
        description="Checks that copies of counts are compared at all.",
    )
    return dg.Definitions(
        assets=[
            *dg.map_asset_specs(place, assets.build(settings, kinds)),
            *network.build(settings),
            exports.build(settings),
            history.build(settings),
            *buffer_assets.build(settings, _find_kind(settings.sources.floor_feeds_url)),
            health_checks.PLATFORM,
            buffer_checks.TICKS,
            *fulfillment_assets.build(kinds["record_store"]),
            fulfillment_checks.PIPELINE,
            *inventory_assets.build(settings.first_ship_date, own),
            inventory_assets.HEALTH,
            *replenishment_assets.build(settings, own),
        ],
        asset_checks=[
            *checks.build(settings),
            network.build_check(settings),
            *health_checks.CHECKS,
            *buffer_checks.build(settings),
            *fulfillment_checks.CHECKS,
            inventory_assets.reconciliation_age,
            *replenishment_checks.build(settings),
        ],
        jobs=[
            job,
            compared,
            health,
            months,
            tick,
            heartbeat,
            orders,
            *fulfillment_jobs.JOBS,
            reconciliation,
            counts,
            saved_views.saved_views,
            stock_buffers,
        ],
        schedules=[
            health_checks.build_schedule(settings),
            history.build_schedule(),
            *schedules.build(buffer_assets.JOB),
            fulfillment_checks.build_schedule(),
            *inventory_assets.build_schedules(settings.first_ship_date),
            saved_views.build_schedule(),
        ],
        sensors=[
            *sensors.build(JOB),
            lost_runs.build_sensor(),
            network.build_sensor(),
            fulfillment_assets.fulfillment_summary,
            inventory_assets.inventory_summary,
            replenishment_assets.build_sensor(),
        ],
        # A multiprocess step costs 2 CPU-seconds before it does anything; an in-process one, a sixteenth.
        executor=run_leases.define_executor(settings.sensor.run_lease_seconds),
        resources=by_key,
    )


def _find_kind(url: str) -> str:
    if url.startswith(SCHEME):
        return "sql"
    return sa.make_url(url).get_backend_name()


defs = build_defs(settings_module.load())
