"""Queries for what reports are made of in a directory of files, and explanations also in the lake.

What is then said of it belongs to `service_report` and `explain`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from fillrate_assets.core.decimals import describe_overflow
from fillrate_assets.core.errors import ContractViolation, PermanentFailure
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.report.doubts import (
    Doubts,
    build_published_doubts,
    count_reasons,
    count_rejected_lines,
    join_days,
)
from fillrate_assets.fillrate.report.explain import Evidence
from fillrate_assets.fillrate.report.fact_tables import FrameFacts
from fillrate_assets.fillrate.report.service_report import Facts
from fillrate_assets.fillrate.rules.pipeline import Calculation, PartitionFilter, calculate
from fillrate_assets.fillrate.rules.quality_gate import GateLimits, find_held_days
from fillrate_assets.fillrate.rules.rolling_baseline import LOOK_BACK_DAYS
from fillrate_assets.fillrate.sources.contract_files import Contracts
from fillrate_assets.settings import Settings
from fillrate_assets.storage.lake import Lake

if TYPE_CHECKING:
    from fillrate_assets.fillrate.record_store import RecordStore

_MAX_NAMES: Final = 20
_NOTHING: Final = "nothing at all; `fillrate run` fills the lake, and --input DIR takes files instead"


def calculate_contracts(contracts: Contracts, scope: PartitionFilter) -> Calculation:
    """Run the rules over what was read from files.

    Raises:
        PermanentFailure: no order line is in scope; the message says what there is.

    """
    require_days(scope, _list_days(contracts), "the files hold")
    return _calculate(contracts, scope)


def apply_settings(contracts: Contracts, settings: Settings) -> Contracts:
    """Have what was read from files judged by the settings that the platform judges its sources by."""
    complete, method = settings.sources.shipment_times_complete, settings.estimate.method
    return replace(contracts, gate=get_gate_limits(settings), times_complete=complete, method=method)


def read_doubts_of_files(contracts: Contracts, calculation: Calculation, scope: PartitionFilter) -> Doubts:
    """Read what is in doubt of a calculation from files."""
    return _select_doubts(contracts, calculation, scope, unplaced=True)


def read_facts_from_files(
    contracts: Contracts, scope: PartitionFilter, earlier: PartitionFilter | None = None
) -> tuple[Facts, Facts | None]:
    """Read the facts of a report from files, and those of an earlier period to compare with.

    Raises:
        PermanentFailure: no order line is in scope, or none in the earlier period; the message says what there is.

    """
    days = _list_days(contracts)
    for each in (scope, earlier):
        if each is not None:
            require_days(each, days, "the files hold")
    first = (earlier or scope).first
    calculation = _calculate(contracts, look_back(replace(scope, first=first)))
    # Rows that belong to no day are in doubt once.
    return (
        _select_facts(contracts, calculation, scope, unplaced=True),
        None if earlier is None else _select_facts(contracts, calculation, earlier, unplaced=False),
    )


def get_gate_limits(settings: Settings) -> GateLimits:
    """Return the shares above which a day is held."""
    health = settings.health
    return GateLimits(health.max_reject_share, health.max_credit_share, health.max_missing_share)


def find_gated_days(
    settings: Settings, store: RecordStore, days: Sequence[PartitionKey], lines: pl.LazyFrame, item_days: pl.LazyFrame
) -> dict[PartitionKey, str]:
    """Find which of some days the quality gate holds, with reasons.

    Args:
        settings: the shares that a day may have.
        store: has the calendar, and what loaders rejected.
        days: the days.
        lines: their `CLASSIFIED_LINES`.
        item_days: their `ITEM_DAYS`.

    """
    return find_held_days(
        lines,
        item_days,
        get_gate_limits(settings),
        calendar=store.read_calendar().lazy(),
        loader_rejects=store.read_loader_rejects(days).lazy(),
    )


def read_published_doubts(ledger: pl.DataFrame, lines: pl.LazyFrame) -> Doubts:
    """Read what is in doubt of published days from their ledger and their `CLASSIFIED_LINES`."""
    ordered = lines.filter(pl.col("source_table") == "order_lines").select(pl.len())
    rejected, order_lines = pl.collect_all([count_rejected_lines(lines), ordered])
    return build_published_doubts(ledger, rejected, order_lines.item())


def read_evidence_from_files(contracts: Contracts, dc: str, ship_date: date) -> tuple[Evidence, pl.LazyFrame]:
    """Read what files say of a DC on a day, and every item-day that they hold."""
    day = PartitionFilter([dc], ship_date, ship_date)
    calculation = _calculate(contracts, look_back(day))
    doubts = _select_doubts(contracts, calculation, day, unplaced=True)
    evidence = Evidence(
        item_days=calculation.item_days.lazy(),
        records=day.filter(calculation.records.lazy()),
        lines=day.filter(calculation.lines.lazy()),
        items=contracts.items.lazy(),
        waivers=contracts.waivers.lazy(),
        calendar=contracts.dc_calendar.lazy(),
        restatements=schema.RESTATEMENTS.make_empty(),
        doubts=doubts,
    )
    return evidence, calculation.item_days.lazy()


def read_evidence_from_lake(settings: Settings, dc: str, ship_date: date, item: str) -> tuple[Evidence, pl.LazyFrame]:
    """Read what the platform says of an item of a DC on a day, and every item-day that it has computed."""
    # SQLAlchemy, which files do without, takes a third of a second.
    from fillrate_assets.fillrate.record_store import RecordStore  # noqa: PLC0415 - `calculate` loads no SQLAlchemy
    from fillrate_assets.storage.database import Database  # noqa: PLC0415 - as above

    lake, store = Lake(settings.storage.lake_root), RecordStore(Database.from_settings(settings))
    day = PartitionFilter([dc], ship_date, ship_date)
    before = look_back(day)
    item_days = lake.scan(schema.ITEM_DAYS, [dc], before.first, ship_date)
    lines = lake.scan(schema.CLASSIFIED_LINES, [dc], ship_date, ship_date)
    today = item_days.filter(pl.col("ship_date") == ship_date)
    known = lake.scan(schema.ITEM_DAYS)
    if today.head(1).collect().is_empty() and known.head(1).collect().is_empty():
        msg = f"the lake {settings.storage.lake_root} holds {_NOTHING}"
        raise PermanentFailure(msg)
    held = find_gated_days(settings, store, [PartitionKey(dc, ship_date)], lines, today)
    ledger = store.read_ledger(dc)
    published = read_published_doubts(ledger.filter(pl.col("ship_date") == ship_date), lines)
    behind = build_published_doubts(before.filter(ledger.lazy()).collect(), published.rejected, 0)
    evidence = Evidence(
        item_days=item_days,
        records=lake.scan(schema.LOST_CASES, [dc], ship_date, ship_date),
        lines=lines,
        items=lake.read_whole(schema.ITEMS),
        waivers=store.read_waivers().lazy(),
        calendar=store.read_calendar().lazy(),
        restatements=store.read_restatements(dc, ship_date, item).lazy(),
        doubts=replace(published, held={**held, **published.held}, behind=select_behind(behind, day)),
    )
    return evidence, known


def _calculate(contracts: Contracts, scope: PartitionFilter) -> Calculation:
    """Run the rules; of a sum that has no room, say where it is."""
    try:
        return calculate(contracts.inputs, scope)
    except pl.exceptions.PolarsError as error:
        if (overflow := describe_overflow(error)) is None:
            raise
        place = ["dc", "ship_date", "item"]
        amount = pl.col("ordered_qty").cast(pl.Float64).sum()
        largest = contracts.order_lines.group_by(place).agg(amount).sort("ordered_qty", *place, nulls_last=True)
        dc, day, item, _ = largest.row(-1)
        msg = f"{overflow}; most is ordered by DC {dc} on {day} of item {item}"
        raise ContractViolation(msg) from error


def _select_facts(contracts: Contracts, calculation: Calculation, scope: PartitionFilter, *, unplaced: bool) -> Facts:
    return Facts(
        FrameFacts(scope.filter(calculation.lines.lazy()), scope.filter(calculation.records.lazy())),
        contracts.items.lazy(),
        _select_doubts(contracts, calculation, scope, unplaced=unplaced),
    )


def _select_doubts(contracts: Contracts, calculation: Calculation, scope: PartitionFilter, *, unplaced: bool) -> Doubts:
    """Select what is in doubt of the days in scope, with or without the rows that belong to no day."""
    tables = {
        "order_lines": contracts.order_lines,
        "shipment_lines": contracts.shipment_lines,
        "instock_snapshots": contracts.instock_snapshots,
    }
    read = {
        name: count.item()
        for name, count in zip(
            tables,
            pl.collect_all([scope.filter(table.lazy()).select(pl.len()) for table in tables.values()]),
            strict=True,
        )
    }
    if unplaced:
        read |= {"items": contracts.items.height, "waivers": contracts.waivers.height}
    unread = filter_rejects(contracts.rejects, scope, unplaced=unplaced)
    for name, rows in unread.group_by("table").len().iter_rows():
        read[name] = read.get(name, 0) + rows
    rejected = filter_rejects(calculation.rejects, scope, unplaced=unplaced)
    return Doubts(
        count_reasons(rejected.lazy()).collect(),
        read,
        {day: reason for day, reason in calculation.held.items() if scope.covers(*day)},
        {day: reason for day, reason in calculation.doubtful.items() if scope.covers(*day)},
        behind=select_behind(Doubts(held=calculation.held, doubtful=calculation.doubtful), scope),
    )


def look_back(scope: PartitionFilter) -> PartitionFilter:
    """Extend a scope by the days before it from which its averages are taken."""
    return replace(scope, first=scope.first and scope.first - timedelta(days=LOOK_BACK_DAYS))


def select_behind(doubts: Doubts, scope: PartitionFilter) -> dict[PartitionKey, str]:
    """Select what is in doubt of the days before a scope from which its averages are taken."""
    before = look_back(scope)
    return {day: reason for day, reason in join_days(doubts).items() if before.covers(*day) and not scope.covers(*day)}


def filter_rejects(rejects: pl.DataFrame, scope: PartitionFilter, *, unplaced: bool) -> pl.DataFrame:
    """Filter the rejects of the days in scope, and if wanted those that may be of any day."""
    dc, day = pl.col("dc"), pl.col("ship_date")
    within = [
        *([dc.is_in(list(scope.dcs))] if scope.dcs is not None else []),
        *([day >= scope.first] if scope.first else []),
        *([day <= scope.last] if scope.last else []),
    ]
    placed = dc.is_not_null() & day.is_not_null()
    # What a row does not say rules nothing out.
    return rejects.filter(placed | unplaced, *[each.fill_null(value=True) for each in within])


def add_rejects(rejected: pl.DataFrame, order_lines: int, loaded: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Add what loaders rejected to rejected lines by table and reason, and to the order lines there are."""
    both = pl.concat([rejected, loaded.select("table", "reason", "rows")])
    of_loader = int(loaded.filter(pl.col("table") == "order_lines")["rows"].sum())
    return both.group_by("table", "reason").agg(pl.col("rows").sum()), order_lines + of_loader


def _list_days(contracts: Contracts) -> list[PartitionKey]:
    """List the days of DCs that the files have order lines of."""
    days = contracts.order_lines.select("dc", "ship_date").unique()
    if days.is_empty():
        rejected = contracts.rejects.filter(table="order_lines")
        why = f": {rejected.height:,} rejected, the first because: {rejected['reason'][0]}" if rejected.height else ""
        msg = f"the files hold no order line that can be used{why}"
        raise PermanentFailure(msg)
    return list(map(PartitionKey._make, days.iter_rows()))


def require_days(scope: PartitionFilter, days: Sequence[PartitionKey], source: str) -> None:
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
