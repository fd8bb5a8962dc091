"""Filling the embedded systems: from files, or from the sample network."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import BaseModel

from fillrate_assets.core.database_url import quote_path
from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.fillrate.rules.loader_rejects import count_loader_rejects
from fillrate_assets.fillrate.rules.row_versions import LINE_KEY
from fillrate_assets.fillrate.sources.contract_files import Contracts
from fillrate_assets.fillrate.sources.instock_warehouse import InstockWarehouse
from fillrate_assets.fillrate.sources.order_system import OrderSystem
from fillrate_assets.fillrate.sources.shipping_records import ShippingRecords
from fillrate_assets.replenishment.supply_store import SupplyStore, make_no_rejects
from fillrate_assets.sample.embedded import refuse_places
from fillrate_assets.sample.network import (
    Activity,
    Network,
    advance,
    draw_master_data,
    find_next_ship_day,
    simulate_activity,
)
from fillrate_assets.sample.supply import draw_positions, draw_terms
from fillrate_assets.settings import Settings
from fillrate_assets.storage import file_lock, sql
from fillrate_assets.storage.database import Database


@dataclass(frozen=True)
class EmbeddedSystems:
    """The four systems on their embedded defaults."""

    order_system: OrderSystem
    shipping_records: ShippingRecords
    instock_warehouse: InstockWarehouse
    record_store: RecordStore

    @classmethod
    def from_settings(cls, settings: Settings) -> EmbeddedSystems:
        """Make them of the settings; nothing is opened or created yet.

        Raises:
            PermanentFailure: settings name a server; this command never writes to a company's own systems.

        """
        if settings.sources.orders_from_fulfillment:
            msg = "settings: sources.orders_from_fulfillment: orders come from fulfillment, and cannot be loaded"
            raise PermanentFailure(msg)
        urls = {
            "order system": settings.sources.order_system_url,
            "shipping records": settings.sources.shipping_records_url,
            "instock warehouse": settings.sources.instock_warehouse_url,
        }
        places = {name: sql.find_embedded_file(url) is not None for name, url in urls.items()}
        if not all(places.values()):
            raise refuse_places(places, "a server")
        return cls(
            OrderSystem(settings.sources.order_system_url, settings.sources.source_tables),
            ShippingRecords(settings.sources.shipping_records_url, settings.sources.source_tables),
            InstockWarehouse(settings.sources.instock_warehouse_url, settings.sources.source_tables),
            RecordStore(Database.from_settings(settings)),
        )

    def create(self) -> EmbeddedSystems:
        """Create what is absent of them."""
        self.order_system.create()
        self.shipping_records.create()
        self.instock_warehouse.create()
        self.record_store.database.upgrade()
        return self

    def receive(self, order_lines: pl.DataFrame, shipment_lines: pl.DataFrame, snapshots: pl.DataFrame) -> None:
        """Add rows as the sources would; shipments last, as the floor works."""
        self.order_system.append(order_lines)
        self.instock_warehouse.append(snapshots)
        self.shipping_records.append(shipment_lines)


@dataclass(frozen=True)
class SampleNetwork:
    """The sample network in a home: its description and the truth, stored beside the systems it filled."""

    settings: Settings

    @property
    def network(self) -> Network | None:
        """What was generated; None where nothing was."""
        if not self._description.exists():
            return None
        row = pl.read_json(self._description, schema_overrides={"last": pl.Date}).row(0, named=True)
        return Network(**row)

    def generate(self, network: Network) -> Iterator[tuple[str, int]]:
        """Fill empty embedded systems with a network; yields each DC with its number of order lines.

        Raises:
            PermanentFailure: the home holds something already.
            SourceUnavailable: another process fills it.

        """
        self.settings.home.mkdir(parents=True, exist_ok=True)
        try:
            with file_lock.hold(self.settings.home / ".filling", wait=False):
                yield from self._generate(network)
        except BlockingIOError as error:
            msg = f"another process fills {self.settings.home}: wait until it has ended"
            raise SourceUnavailable(msg) from error

    def _generate(self, network: Network) -> Iterator[tuple[str, int]]:
        if self.settings.home.joinpath("systems").exists():
            msg = f"{self.settings.home} holds data already: delete it, or choose another FILLRATE_HOME"
            raise PermanentFailure(msg)
        # Built beside its place: a generation that was cut short leaves nothing that looks like a network.
        building = self.settings.home / "incoming"
        shutil.rmtree(building, ignore_errors=True)
        moved = self.settings.model_copy(update=_locate_systems(self.settings, building / "systems"))
        systems = EmbeddedSystems.from_settings(moved).create()
        tables = draw_master_data(network)
        systems.order_system.replace_items(tables.items)
        systems.record_store.add_dcs(tables.dcs)
        systems.record_store.add_waivers(tables.waivers)
        supply = SupplyStore(systems.record_store.database)
        supply.replace_terms(*draw_terms(network, tables.items))
        for dc in network.dc_codes:
            received = simulate_activity(network, dc)
            supply.replace_positions(draw_positions(network, received.instock_snapshots), make_no_rejects())
            systems.receive(received.order_lines, received.shipment_lines, received.instock_snapshots)
            self._write_truth(dc, received)
            yield dc, received.order_lines.height
        (building / "systems").rename(self.settings.home / "systems")
        building.rmdir()
        self.settings.begin_no_later_than(network.first)
        self._describe(network)

    def advance(self) -> tuple[date, dict[str, int]]:
        """Let the sources receive the next ship day: its activity, and late corrections to earlier ones.

        Returns:
            The day, and by DC how many order lines arrived.

        Raises:
            PermanentFailure: there is no sample network here.

        """
        if (network := self.network) is None:
            msg = f"{self.settings.home} holds no sample network: run `fillrate sample` first"
            raise PermanentFailure(msg)
        systems = EmbeddedSystems.from_settings(self.settings)
        day = find_next_ship_day(network.last)
        arrived = {}
        for dc in network.dc_codes:
            received = advance(network, dc, day)
            systems.receive(received.order_lines, received.shipment_lines, received.instock_snapshots)
            self._write_truth(dc, received)
            arrived[dc] = received.order_lines.height
        self._describe(Network(**{**asdict(network), "last": day, "days": (day - network.first).days + 1}))
        return day, arrived

    def read_truth(self) -> pl.LazyFrame:
        """Read what customers would have ordered: dc, ship_date, item, demand_cases, out."""
        files = sorted(self._truth.glob("*/*.parquet"))
        return pl.scan_parquet(files, glob=False, hive_partitioning=False)

    @property
    def _description(self) -> Path:
        return self.settings.home / "sample" / "network.json"

    @property
    def _truth(self) -> Path:
        return self.settings.home / "sample" / "truth"

    def _describe(self, network: Network) -> None:
        self._description.parent.mkdir(parents=True, exist_ok=True)
        pl.DataFrame([asdict(network)]).write_json(self._description)

    def _write_truth(self, dc: str, received: Activity) -> None:
        folder = self._truth / f"dc={dc}"
        folder.mkdir(parents=True, exist_ok=True)
        received.truth.write_parquet(folder / f"{received.truth['ship_date'].min()!s}.parquet")


@dataclass(frozen=True)
class LoadResult:
    """What a load did."""

    rows: dict[str, int]
    rejects: pl.DataFrame
    new_dcs: list[str]
    """DCs that no table of DCs names: their business dates are taken as UTC."""

    first_ship_date: date | None
    last_ship_date: date | None


def load(settings: Settings, contracts: Contracts, *, loaded_at: datetime) -> LoadResult:
    """Load contract frames into the embedded systems; loading the same again changes nothing.

    Args:
        settings: where the systems are.
        contracts: what was read from files.
        loaded_at: the time of loading, UTC; rows without a processed_at of their own carry it.

    """
    systems = EmbeddedSystems.from_settings(settings).create()
    days = contracts.order_lines["ship_date"]
    first, last = days.min(), days.max()
    open_days = _list_open_days(contracts)
    if isinstance(first, date):
        settings.begin_no_later_than(min([first, *(day for _, day in open_days)]))
    order_lines = _select_new(contracts.order_lines, systems.order_system.read_order_lines, "processed_at", loaded_at)
    shipment_lines = _select_new(
        contracts.shipment_lines, systems.shipping_records.read_shipment_lines, "processed_at", loaded_at
    )
    snapshots = _select_new(
        contracts.instock_snapshots, systems.instock_warehouse.read_snapshots, "snapshot_at", loaded_at
    )
    systems.order_system.replace_items(contracts.items)
    known = set(systems.record_store.read_dcs()["dc"])
    named = {*contracts.order_lines["dc"], *(dc for dc, _ in open_days)}
    unknown = sorted(named - known - set(contracts.dcs["dc"]))
    systems.record_store.add_dcs(contracts.dcs)
    systems.record_store.add_dcs(
        pl.DataFrame({"dc": unknown}).with_columns(name="dc", time_zone=pl.lit("UTC"), active=pl.lit(value=True))
    )
    systems.record_store.add_waivers(contracts.waivers)
    systems.record_store.add_calendar(contracts.dc_calendar)
    counts = count_loader_rejects(
        contracts.order_lines.lazy(), contracts.shipment_lines.lazy(), contracts.rejects.lazy()
    ).collect()
    systems.record_store.replace_loader_rejects(_list_covered_days(contracts, counts), counts)
    systems.record_store.discard_unplaced_rejects(_list_loaded(contracts))
    systems.record_store.add_rejects(contracts.rejects, run_id="load")
    systems.receive(order_lines, shipment_lines, snapshots)
    return LoadResult(
        {
            "order_lines": order_lines.height,
            "shipment_lines": shipment_lines.height,
            "instock_snapshots": snapshots.height,
            "items": contracts.items.height,
            "dcs": contracts.dcs.height + len(unknown),
            "waivers": contracts.waivers.height,
        },
        contracts.rejects,
        unknown,
        first if isinstance(first, date) else None,
        last if isinstance(last, date) else None,
    )


def _list_covered_days(contracts: Contracts, counts: pl.DataFrame) -> pl.DataFrame:
    """List table, dc and ship_date of what a load replaces: a day's orders bring all of the day, its shipments do not.

    Shipments of an earlier day say nothing of order lines that were rejected of it.
    """
    orders = contracts.order_lines
    days = {"order_lines": [orders], "shipment_lines": [orders, contracts.shipment_lines]}
    if "instock_snapshots" in contracts.counts:
        days["instock_snapshots"] = [orders, contracts.instock_snapshots]
    covered = [
        rows.select(pl.lit(table).alias("table"), "dc", "ship_date")
        for table, frames in days.items()
        for rows in frames
    ]
    return pl.concat([*covered, counts.select("table", "dc", "ship_date")]).unique()


def _list_loaded(contracts: Contracts) -> dict[str, list[str]]:
    """List the tables that a load has, each with the DCs that it has rows of."""
    by_day = {
        "order_lines": contracts.order_lines,
        "shipment_lines": contracts.shipment_lines,
        "instock_snapshots": contracts.instock_snapshots,
    }
    named = [rows.select(pl.lit(name).alias("table"), "dc") for name, rows in by_day.items()]
    dcs = pl.concat([*named, contracts.rejects.select("table", "dc")]).unique().sort("table", "dc")
    found: dict[str, list[str]] = {name: [] for name in contracts.counts}
    for table, dc in dcs.iter_rows():
        found.setdefault(table, []).extend([] if dc is None else [dc])
    return found


def _list_open_days(contracts: Contracts) -> list[tuple[str, date]]:
    """List the DCs and days that the calendar calls open and that have a snapshot: ship days, even without an order."""
    called_open = contracts.dc_calendar.filter("open")
    days = called_open.join(contracts.instock_snapshots, on=["dc", "ship_date"], how="semi")
    return list(days.select("dc", "ship_date").iter_rows())


def _select_new(
    rows: pl.DataFrame, stored: Callable[[str, date, date], pl.DataFrame], clock: str, loaded_at: datetime
) -> pl.DataFrame:
    """Select the rows that are new: not stored to the letter, nor, where they carry no time, in force already."""
    if rows.is_empty():
        return rows
    key = _get_identity(rows)
    spans = rows.group_by("dc").agg(pl.col("ship_date").min().alias("first"), pl.col("ship_date").max().alias("last"))
    stored_rows = pl.concat([stored(dc, first, last) for dc, first, last in spans.sort("dc").iter_rows()])
    rows = (
        rows.drop("moved_at", "rival_ship_date", strict=False)
        .with_columns(pl.col(clock).fill_null(loaded_at))
        .unique(maintain_order=True)
    )
    unstored = rows.join(stored_rows, on=rows.columns, how="anti", nulls_equal=True, maintain_order="left")
    content = [name for name in rows.columns if name not in {clock, "source_seq"}]
    if "moved_at" in stored_rows.columns:
        # What has moved to another day is not in force on this one.
        stored_rows = stored_rows.filter(pl.col("moved_at").is_null())
    latest = stored_rows.sort(clock, "source_seq" if "source_seq" in rows.columns else clock).unique(key, keep="last")
    undated = unstored.filter(pl.col(clock) == loaded_at).join(latest, on=content, how="anti", nulls_equal=True)
    return pl.concat([unstored.filter(pl.col(clock) != loaded_at), undated])


def _get_identity(rows: pl.DataFrame) -> list[str]:
    """Return the columns that versions of a row share."""
    if "line_no" not in rows.columns:
        return ["dc", "ship_date", "item"]
    return [*LINE_KEY, *(name for name in ("shipment_id", "shipped_at") if name in rows.columns)]


def _locate_systems(settings: Settings, folder: Path) -> dict[str, Any]:
    here, there = (quote_path(str(place)) for place in (settings.home / "systems", folder))

    def move(section: BaseModel, *names: str) -> BaseModel:
        return section.model_copy(update={name: getattr(section, name).replace(here, there) for name in names})

    return {
        "sources": move(settings.sources, "order_system_url", "shipping_records_url", "instock_warehouse_url"),
        "storage": move(settings.storage, "record_store_url"),
    }
