"""Days that a run reads from the lake without computing them, computed again where the lake has lost them.

A look-back with a hole moves every average after it, and a dependent day without its lines would be published empty:
both would restate in silence (decision 0110).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import dagster as dg
import polars as pl

from fillrate_assets.core import partition_key
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.core.partition_key import DcDateRange, PartitionKey
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.fillrate.rules import item_days, service_metrics
from fillrate_assets.fillrate.rules.pipeline import classify_sources
from fillrate_assets.fillrate.rules.rolling_baseline import LOOK_BACK_DAYS
from fillrate_assets.fillrate.sources.instock_warehouse import InstockWarehouse
from fillrate_assets.fillrate.sources.order_system import OrderSystem
from fillrate_assets.fillrate.sources.shipping_records import ShippingRecords
from fillrate_assets.fillrate.sources.substitutes import SubstituteReader
from fillrate_assets.orchestration import partitions
from fillrate_assets.orchestration.day_tables import MONTH
from fillrate_assets.settings import Settings
from fillrate_assets.storage.lake import Lake

_INPUTS: Final = (
    schema.ORDER_LINES,
    schema.SHIPMENT_LINES,
    schema.INSTOCK_SNAPSHOTS,
    schema.CLASSIFIED_LINES,
    schema.ITEM_DAYS,
    schema.FILL_RATES,
)
"""What later steps and checks read of a day that only depends on another one."""

_NAMED: Final = 3


@dataclass(frozen=True)
class LakeRepair:
    """The systems from which a day can be computed again."""

    settings: Settings
    order_system: OrderSystem
    shipping_records: ShippingRecords
    instock_warehouse: InstockWarehouse
    record_store: RecordStore
    lake: Lake

    @property
    def substitutes(self) -> SubstituteReader:
        """Return what reads the substitutes that ship on other dates."""
        return SubstituteReader(self.order_system, self.shipping_records)

    def restore(self, context: dg.AssetExecutionContext, master: pl.LazyFrame) -> None:
        """Restore what later steps of a run read of days whose sources the run does not read.

        Args:
            context: of a step before them.
            master: the items.

        Raises:
            PermanentFailure: the sources do not have the lines of a day any more that the ledger knows.

        """
        days, changed = partitions.list_days(context), set(partitions.list_changed_days(context))
        look_back = self._list_look_back(days) - set(days)
        dependants = set(days) - changed
        absent = self.lake.find_unreadable(schema.ITEM_DAYS, look_back) if look_back else set()
        broken = (
            {day for table in _INPUTS for day in self.lake.find_unreadable(table, dependants)} if dependants else ()
        )
        self._discard_records(set(days))
        if lost := absent.union(broken):
            first = min(lost)
            context.log.warning(
                "%d days are missing in the lake or cannot be read, e.g. %s %s: computed again", len(lost), *first
            )
            self._compute(lost, master)

    def _list_look_back(self, days: Iterable[PartitionKey]) -> set[PartitionKey]:
        """List the days that averages of some days look back on."""
        found: set[PartitionKey] = set()
        for span in partition_key.cut_into_ranges(days):
            begin = max(span.first - timedelta(days=LOOK_BACK_DAYS), self.settings.first_ship_date)
            found |= {PartitionKey(span.dc, day) for day in partition_key.list_dates(begin, span.last)}
        return found

    def _discard_records(self, days: set[PartitionKey]) -> None:
        """Replace records that cannot be read by none: those of a held day are not written again."""
        stored = set(self.lake.find_write_times(schema.LOST_CASES, days))
        if broken := stored & self.lake.find_unreadable(schema.LOST_CASES, stored):
            self.lake.write(schema.LOST_CASES, schema.LOST_CASES.make_empty().collect(), sorted(broken))

    def _compute(self, lost: set[PartitionKey], master: pl.LazyFrame) -> None:
        zones = self.record_store.read_time_zones()
        processed = {
            PartitionKey(dc, day): lines + shipped
            for dc, day, lines, shipped in self.record_store.read_ledger()
            .select("dc", "ship_date", "orders_lines", "shipments_lines")
            .iter_rows()
        }
        for span in partition_key.cut_into_ranges(lost, MONTH):
            self._compute_range(span, master, zones, processed)

    def _compute_range(
        self, span: DcDateRange, master: pl.LazyFrame, zones: dict[str, str], processed: dict[PartitionKey, int]
    ) -> None:
        ordered = self.order_system.read_order_lines(span.dc, span.first, span.last)
        shipped = self.shipping_records.read_shipment_lines(span.dc, span.first, span.last)
        stocked = self.instock_warehouse.read(span.partition_keys).rows
        found = set(pl.concat([ordered["ship_date"], shipped["ship_date"]]).unique())
        if gone := [key for key in span.partition_keys if processed.get(key) and key.ship_date not in found]:
            named = ", ".join(str(key.ship_date) for key in gone[:_NAMED])
            msg = (
                f"{span.dc}: the lake has lost {named}{' and others' if len(gone) > _NAMED else ''}, and the sources"
                f" have none of their lines any more: restore {schema.ITEM_DAYS.name} from a backup of the lake"
            )
            raise PermanentFailure(msg)
        complete = self.settings.sources.shipment_times_complete
        lines = classify_sources(
            *(ordered.lazy(), shipped.lazy(), stocked.lazy(), master, zones),
            times_complete=complete,
            elsewhere=self.substitutes.read(span),
        ).collect()
        days = item_days.compute_item_days(lines.lazy(), stocked.lazy(), master).collect()
        # Reports show what has lines: of a day that was never published, only averages may know.
        published = [key for key in span.partition_keys if key in processed]
        of_published = pl.col("ship_date").is_in([key.ship_date for key in published])
        rates = service_metrics.compute_fill_rates(lines.lazy()).collect()
        for table, rows in zip(_INPUTS, (ordered, shipped, stocked, lines, days, rates), strict=True):
            if table is schema.ITEM_DAYS:
                self.lake.write(table, rows, span.partition_keys)
            else:
                self.lake.write(table, rows.filter(of_published), published)
