"""What a report or an explanation is made of, from a directory of files or from the lake."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

import polars as pl

from fillrate_assets.connections.files import Contracts
from fillrate_assets.connections.lake import Lake
from fillrate_assets.errors import PermanentFailure
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.baseline import LOOK_BACK_DAYS
from fillrate_assets.fillrate.calculation import Calculation, Scope, calculate
from fillrate_assets.fillrate.explain import Evidence
from fillrate_assets.fillrate.holds import held_days
from fillrate_assets.fillrate.report import Facts
from fillrate_assets.settings import Settings

_NAMED: Final = 20
_EMPTY: Final = "it is empty; `fillrate run` fills it, and --input DIR takes files instead"


def calculated(contracts: Contracts, scope: Scope) -> Calculation:
    """The rules over what was read from files.

    Raises:
        PermanentFailure: no order line is in scope; the message says what there is.

    """
    days = contracts.order_lines.select("dc", "ship_date")
    if scope.of(days.lazy()).head(1).collect().is_empty():
        dcs, dates = ", ".join(days["dc"].unique().sort().head(_NAMED)), days["ship_date"]
        there = f"they are of {dcs}, from {dates.min()!s} to {dates.max()!s}" if days.height else "there are none"
        msg = f"the files hold no order lines that were asked for: {there}"
        raise PermanentFailure(msg)
    return calculate(contracts.inputs, scope)


def facts_of_files(contracts: Contracts, scope: Scope) -> Facts:
    """What a report says of files."""
    calculation = calculated(contracts, scope)
    return Facts(calculation.lines.lazy(), calculation.records.lazy(), contracts.items.lazy(), calculation.held)


def facts_of_lake(settings: Settings, scope: Scope) -> Facts:
    """What a report says of what the platform has computed.

    Raises:
        PermanentFailure: no order line is in scope; the message says what there is.

    """
    lake = Lake(settings.lake_root)
    wanted = (scope.dcs, scope.first, scope.last)
    lines = lake.scan(schema.CLASSIFIED_LINES, *wanted)
    if lines.head(1).collect().is_empty():
        stored = lake.partitions(schema.CLASSIFIED_LINES)
        days = sorted(day for _, day in stored)
        dcs, days = ", ".join(sorted({dc for dc, _ in stored})[:_NAMED]), sorted(day for _, day in stored)
        there = f"they are of {dcs}, from {days[0]} to {days[-1]}" if stored else _EMPTY
        msg = f"the lake {settings.lake_root} holds no order lines that were asked for: {there}"
        raise PermanentFailure(msg)
    held = held_days(lines, lake.scan(schema.ITEM_DAYS, *wanted), settings.max_reject_share, settings.max_missing_share)
    return Facts(lines, lake.scan(schema.LOST_CASES, *wanted), lake.read_whole(schema.ITEMS), held)


def evidence_of_files(contracts: Contracts, dc: str, ship_date: date) -> tuple[Evidence, pl.LazyFrame]:
    """What files say of a DC on a day, and every item-day that they hold."""
    calculation = calculate(contracts.inputs, Scope([dc], ship_date, ship_date))
    evidence = Evidence(
        item_days=calculation.item_days.lazy(),
        records=calculation.records.lazy(),
        lines=calculation.lines.lazy(),
        items=contracts.items.lazy(),
        waivers=contracts.waivers.lazy(),
        restatements=schema.RESTATEMENTS.empty(),
        held=calculation.held.get((dc, ship_date)),
    )
    return evidence, calculation.item_days.lazy()


def evidence_of_lake(settings: Settings, dc: str, ship_date: date, item: str) -> tuple[Evidence, pl.LazyFrame]:
    """What the platform says of an item of a DC on a day, and every item-day that it has computed."""
    # SQLAlchemy, which files do without, takes a third of a second.
    from fillrate_assets.connections.record_store import RecordStore  # noqa: PLC0415

    lake, store = Lake(settings.lake_root), RecordStore(settings.record_store_url)
    item_days = lake.scan(schema.ITEM_DAYS, [dc], ship_date - timedelta(days=LOOK_BACK_DAYS), ship_date)
    lines = lake.scan(schema.CLASSIFIED_LINES, [dc], ship_date, ship_date)
    today = item_days.filter(pl.col("ship_date") == ship_date)
    held = held_days(lines, today, settings.max_reject_share, settings.max_missing_share)
    known = lake.scan(schema.ITEM_DAYS)
    if today.head(1).collect().is_empty() and known.head(1).collect().is_empty():
        msg = f"the lake {settings.lake_root} holds no item-days: {_EMPTY}"
        raise PermanentFailure(msg)
    evidence = Evidence(
        item_days=item_days,
        records=lake.scan(schema.LOST_CASES, [dc], ship_date, ship_date),
        lines=lines,
        items=lake.read_whole(schema.ITEMS),
        waivers=store.waivers().lazy(),
        restatements=store.restatements(dc, ship_date, item).lazy(),
        held=held.get((dc, ship_date)),
    )
    return evidence, known
