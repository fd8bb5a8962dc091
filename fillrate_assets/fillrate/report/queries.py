"""Queries for what a report or an explanation is made of, in a directory of files or in the lake.

What is then said of it belongs to `service_report` and `explain`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

import polars as pl

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.report.explain import Evidence
from fillrate_assets.fillrate.report.service_report import Facts
from fillrate_assets.fillrate.rules.pipeline import Calculation, PartitionFilter, calculate
from fillrate_assets.fillrate.rules.quality_gate import find_held_days
from fillrate_assets.fillrate.rules.rolling_baseline import LOOK_BACK_DAYS
from fillrate_assets.fillrate.sources.contract_files import Contracts
from fillrate_assets.settings import Settings
from fillrate_assets.storage.lake import Lake

_MAX_NAMES: Final = 20
_NOTHING: Final = "nothing at all; `fillrate run` fills the lake, and --input DIR takes files instead"


def calculate_contracts(contracts: Contracts, scope: PartitionFilter) -> Calculation:
    """Run the rules over what was read from files.

    Raises:
        PermanentFailure: no order line is in scope; the message says what there is.

    """
    days = contracts.order_lines.select("dc", "ship_date").unique()
    if days.is_empty():
        rejected = contracts.rejects.filter(table="order_lines")
        why = f": {rejected.height:,} rejected, the first because: {rejected['reason'][0]}" if rejected.height else ""
        msg = f"the files hold no order line that can be used{why}"
        raise PermanentFailure(msg)
    _require_days(scope, list(map(PartitionKey._make, days.iter_rows())), "the files hold")
    return calculate(contracts.inputs, scope)


def read_facts_from_files(contracts: Contracts, scope: PartitionFilter) -> Facts:
    """Read the facts of a report from files."""
    calculation = calculate_contracts(contracts, scope)
    return Facts(calculation.lines.lazy(), calculation.records.lazy(), contracts.items.lazy(), calculation.held)


def read_facts_from_lake(settings: Settings, scope: PartitionFilter) -> Facts:
    """Read the facts of a report from what the platform has computed.

    Raises:
        PermanentFailure: no order line is in scope; the message says what there is.

    """
    lake = Lake(settings.storage.lake_root)
    wanted = (scope.dcs, scope.first, scope.last)
    _require_days(scope, lake.list_partitions(schema.CLASSIFIED_LINES), f"the lake {settings.storage.lake_root} holds")
    lines = lake.scan(schema.CLASSIFIED_LINES, *wanted)
    held = find_held_days(
        lines, lake.scan(schema.ITEM_DAYS, *wanted), settings.health.max_reject_share, settings.health.max_missing_share
    )
    return Facts(lines, lake.scan(schema.LOST_CASES, *wanted), lake.read_whole(schema.ITEMS), held)


def read_evidence_from_files(contracts: Contracts, dc: str, ship_date: date) -> tuple[Evidence, pl.LazyFrame]:
    """Read what files say of a DC on a day, and every item-day that they hold."""
    calculation = calculate(contracts.inputs, PartitionFilter([dc], ship_date, ship_date))
    evidence = Evidence(
        item_days=calculation.item_days.lazy(),
        records=calculation.records.lazy(),
        lines=calculation.lines.lazy(),
        items=contracts.items.lazy(),
        waivers=contracts.waivers.lazy(),
        restatements=schema.RESTATEMENTS.make_empty(),
        held=calculation.held.get(PartitionKey(dc, ship_date)),
    )
    return evidence, calculation.item_days.lazy()


def read_evidence_from_lake(settings: Settings, dc: str, ship_date: date, item: str) -> tuple[Evidence, pl.LazyFrame]:
    """Read what the platform says of an item of a DC on a day, and every item-day that it has computed."""
    # SQLAlchemy, which files do without, takes a third of a second.
    from fillrate_assets.fillrate.record_store import RecordStore  # noqa: PLC0415 - `calculate` loads no SQLAlchemy
    from fillrate_assets.storage.database import Database  # noqa: PLC0415 - as above

    lake, store = Lake(settings.storage.lake_root), RecordStore(Database.from_settings(settings))
    item_days = lake.scan(schema.ITEM_DAYS, [dc], ship_date - timedelta(days=LOOK_BACK_DAYS), ship_date)
    lines = lake.scan(schema.CLASSIFIED_LINES, [dc], ship_date, ship_date)
    today = item_days.filter(pl.col("ship_date") == ship_date)
    held = find_held_days(lines, today, settings.health.max_reject_share, settings.health.max_missing_share)
    known = lake.scan(schema.ITEM_DAYS)
    if today.head(1).collect().is_empty() and known.head(1).collect().is_empty():
        msg = f"the lake {settings.storage.lake_root} holds {_NOTHING}"
        raise PermanentFailure(msg)
    evidence = Evidence(
        item_days=item_days,
        records=lake.scan(schema.LOST_CASES, [dc], ship_date, ship_date),
        lines=lines,
        items=lake.read_whole(schema.ITEMS),
        waivers=store.read_waivers().lazy(),
        restatements=store.read_restatements(dc, ship_date, item).lazy(),
        held=held.get(PartitionKey(dc, ship_date)),
    )
    return evidence, known


def _require_days(scope: PartitionFilter, days: Sequence[PartitionKey], source: str) -> None:
    """Refuse a scope of which the source has no day, or that names a DC which it does not know."""
    dcs = sorted({dc for dc, _ in days})
    if not days:
        msg = f"{source} {_NOTHING}"
    elif unknown := sorted(set(scope.dcs or ()) - set(dcs)):
        msg = f"{source} nothing of DC {', '.join(unknown)}; there are {', '.join(dcs[:_MAX_NAMES])}"
    elif not any(scope.covers(dc, day) for dc, day in days):
        dates = sorted(day for dc, day in days if scope.dcs is None or dc in scope.dcs)
        msg = f"{source} nothing of those ship dates; there are {dates[0]} to {dates[-1]}"
    else:
        return
    raise PermanentFailure(msg)
