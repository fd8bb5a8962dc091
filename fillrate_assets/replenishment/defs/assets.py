"""The assets of stock buffers: forecasts, what became of them, what to hold, and the service that it reaches."""

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from typing import Final

import dagster as dg
import polars as pl

from fillrate_assets.core.partition_key import DcDateRange
from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.orchestration import partitions
from fillrate_assets.orchestration.asset_options import follow
from fillrate_assets.orchestration.day_tables import configure_stored_asset, replace_days
from fillrate_assets.orchestration.lake_io_manager import LakeInput
from fillrate_assets.orchestration.retries import translate_failures
from fillrate_assets.orchestration.run_concurrency import DcLock
from fillrate_assets.orchestration.ui_metadata import Metadata, make_column_metadata
from fillrate_assets.replenishment import schema
from fillrate_assets.replenishment.defs import metadata
from fillrate_assets.replenishment.defs.resources import Supply
from fillrate_assets.replenishment.rules import comparison_formulas, scoring
from fillrate_assets.replenishment.rules import forecast_errors as error_rules
from fillrate_assets.replenishment.rules.observed_demand import select_demand, select_ship_days, select_stocked_items
from fillrate_assets.replenishment.rules.protection_forecast import forecast_protection
from fillrate_assets.replenishment.rules.rejected_inputs import describe_rejects
from fillrate_assets.replenishment.rules.ship_days_ahead import LOOK_BACK_WEEKS, project_ship_days
from fillrate_assets.replenishment.rules.stock_buffers import recommend_buffers
from fillrate_assets.replenishment.rules.stock_positions import resolve_positions
from fillrate_assets.replenishment.rules.supply_terms import DefaultTerms, list_protection_lengths, resolve_terms
from fillrate_assets.replenishment.rules.usual_demand import LOOK_BACK_DAYS, compute_levels
from fillrate_assets.settings import Settings
from fillrate_assets.storage.lake import Lake

AREA: Final = "replenishment"
OWNERS: Final = ["team:replenishment"]
JOB: Final = "stock_buffers"
SENSOR: Final = "stock_buffers"
MOST_PROTECTION_DAYS: Final = 120
"""What became of the forecasts of longer periods is not measured (decision 0362)."""

PUBLISHED: Final = dg.AssetKey(["fillrate", "published_records"])
"""The asset that stock buffers follow: once it has a day, they are made of it."""

_DEFAULTS: Final = DefaultTerms()
_INTERVAL_SECONDS: Final = 300
_POOLED_DAYS: Final = error_rules.POOLED_WEEKS * 7
_FORECAST_DAYS: Final = max(LOOK_BACK_WEEKS * 7, LOOK_BACK_DAYS)


def _read_from(name: str, days: int | None = None) -> dg.AssetIn:
    """Read an asset of fill rates: its partition, or the days before it as well."""
    mapping = None if days is None else partitions.define_look_back(days)
    return dg.AssetIn(key=dg.AssetKey(["fillrate", name]), partition_mapping=mapping)


def _look_back(days: int) -> dg.AssetIn:
    return dg.AssetIn(partition_mapping=partitions.define_look_back(days))


_FOLLOW_RECORDS: Final = follow(PUBLISHED)


@dg.asset(
    key_prefix=AREA,
    group_name=AREA,
    owners=OWNERS,
    kinds={"polars", "parquet"},
    metadata=make_column_metadata(schema.FORECASTS),
    automation_condition=_FOLLOW_RECORDS,
    deps=[PUBLISHED],
    ins={
        "weekday_indices": _read_from("weekday_indices"),
        "instock_snapshots": _read_from("instock_snapshots"),
        "item_days": _read_from("item_days", _FORECAST_DAYS),
        "items": _read_from("items"),
    },
)
@translate_failures()
def protection_forecasts(
    context: dg.AssetExecutionContext,
    dc_lock: dg.ResourceParam[DcLock],
    supply: dg.ResourceParam[Supply],
    lake: dg.ResourceParam[Lake],
    weekday_indices: LakeInput,
    instock_snapshots: LakeInput,
    item_days: LakeInput,
    items: LakeInput,
) -> dg.MaterializeResult[None]:
    """Forecasts of every item that is put away, over lead time and review period: level times weekdays ahead.

    A partition is a DC and a ship date, at whose beginning they are made; nothing of that day is used but which items
    there are.
    """
    dc_lock.acquire(context)
    indices, snapshots, past, master = (each.read() for each in (weekday_indices, instock_snapshots, item_days, items))
    terms, rejects, calendar = supply.inputs.read_terms(), supply.inputs.read_rejects(), supply.read_calendar().lazy()

    def forecast(dc: str, day: date) -> pl.DataFrame:
        before = _select(past, dc, _list_days_before(day, [_FORECAST_DAYS]))
        shipped = select_ship_days(before.select("dc", "ship_date", "lines"), calendar)
        demand = select_demand(before, shipped).collect().lazy()
        observed = demand.select("dc", "item", pl.lit(day).alias("ship_date")).unique()
        known = pl.concat([observed, _select(snapshots, dc, [day]).select("dc", "item", "ship_date")])
        resolved = _resolve_terms(select_stocked_items(known, master), terms, rejects)
        ahead = project_ship_days(shipped, day, max(resolved["protection_days"], default=0), calendar)
        weekdays = schema.WEEKDAY_INDICES.conform(_select(indices, dc, [day]))
        return forecast_protection(resolved.lazy(), compute_levels(demand, day), ahead, weekdays).collect()

    return _replace(context, lake, schema.FORECASTS, forecast, metadata.summarize_forecasts)


@dg.asset(
    key_prefix=AREA,
    group_name=AREA,
    owners=OWNERS,
    kinds={"polars", "parquet"},
    metadata=make_column_metadata(schema.FORECAST_ERRORS),
    automation_condition=_FOLLOW_RECORDS,
    deps=[PUBLISHED],
    ins={
        "protection_forecasts": _look_back(MOST_PROTECTION_DAYS),
        "weekday_indices": _read_from("weekday_indices", MOST_PROTECTION_DAYS),
        "item_days": _read_from("item_days", MOST_PROTECTION_DAYS),
    },
)
@translate_failures()
def forecast_errors(
    context: dg.AssetExecutionContext,
    dc_lock: dg.ResourceParam[DcLock],
    supply: dg.ResourceParam[Supply],
    lake: dg.ResourceParam[Lake],
    protection_forecasts: LakeInput,
    weekday_indices: LakeInput,
    item_days: LakeInput,
) -> dg.MaterializeResult[None]:
    """Ratios of what came to what was forecast, of the periods that ended the day before: one for each item.

    A partition is a DC and a ship date: the first day at whose beginning these periods are past.
    """
    dc_lock.acquire(context)
    forecasts, indices, past = protection_forecasts.read(), weekday_indices.read(), item_days.read()
    lengths, calendar = _list_lengths(supply), supply.read_calendar().lazy()

    def measure(dc: str, day: date) -> pl.DataFrame:
        made = _find_begins(day, lengths)
        ended = pl.col("ship_date") + pl.duration(days="protection_days") == day
        of_days = _select(past, dc, _list_days_before(day, lengths))
        ship_days = select_ship_days(of_days.select("dc", "ship_date", "lines"), calendar).collect().lazy()
        began = _select(forecasts, dc, made).filter(ended).join(ship_days, on=["dc", "ship_date"], how="semi")
        return error_rules.measure_errors(
            error_rules.select_foreseen(began, ship_days),
            select_demand(of_days, ship_days),
            ship_days,
            schema.WEEKDAY_INDICES.conform(_select(indices, dc, made)),
        ).collect()

    return _replace(context, lake, schema.FORECAST_ERRORS, measure, metadata.summarize_errors)


@dg.asset(
    key_prefix=AREA,
    group_name=AREA,
    owners=OWNERS,
    pool="record_store",
    kinds={"polars", "parquet"},
    metadata=make_column_metadata(schema.RECOMMENDATIONS),
    automation_condition=_FOLLOW_RECORDS,
    deps=[PUBLISHED],
    ins={
        "forecast_errors": _look_back(_POOLED_DAYS),
        "instock_snapshots": _read_from("instock_snapshots"),
        "item_days": _read_from("item_days", comparison_formulas.LOOK_BACK_DAYS),
    },
)
@translate_failures()
def stock_buffer_recommendations(
    context: dg.AssetExecutionContext,
    dc_lock: dg.ResourceParam[DcLock],
    supply: dg.ResourceParam[Supply],
    lake: dg.ResourceParam[Lake],
    protection_forecasts: LakeInput,
    forecast_errors: LakeInput,
    instock_snapshots: LakeInput,
    item_days: LakeInput,
) -> dg.MaterializeResult[None]:
    """Stock to hold of every item: safety stock, reorder point, order-up-to level, gap, its cost, and what to order.

    A partition is a DC and a ship date. Each DC's latest are in the record store as well, for pages and commands.
    """
    dc_lock.acquire(context)
    forecasts, errors, snapshots, past = (
        each.read() for each in (protection_forecasts, forecast_errors, instock_snapshots, item_days)
    )
    terms, rejects, calendar = supply.inputs.read_terms(), supply.inputs.read_rejects(), supply.read_calendar().lazy()

    def recommend(dc: str, day: date) -> pl.DataFrame:
        made = _select(forecasts, dc, [day]).collect()
        resolved = _resolve_terms(schema.ITEMS.conform(made.lazy()), terms, rejects)
        of_days = _select(past, dc, _list_days_before(day, [comparison_formulas.LOOK_BACK_DAYS]))
        ship_days = select_ship_days(of_days.select("dc", "ship_date", "lines"), calendar)
        positions = resolve_positions(supply.inputs.read_positions(dc, day, day).lazy(), _select(snapshots, dc, [day]))
        return recommend_buffers(
            resolved.lazy(),
            made.lazy(),
            _pool(_select(errors, dc, _list_days_before(day, [_POOLED_DAYS], last=day)), day),
            positions,
            comparison_formulas.compute_deviations(made.lazy(), select_demand(of_days, ship_days)),
        ).collect()

    done = _replace(context, lake, schema.RECOMMENDATIONS, recommend, metadata.summarize_recommendations)
    # All days are in the lake; what people act on is the last of a DC of which it is known what is on hand.
    made = lake.read(schema.RECOMMENDATIONS, partitions.list_days(context))
    known = made.filter(pl.col("on_hand_cases").is_not_null()).group_by("dc").agg(pl.col("ship_date").max())
    for dc, day in known.collect().iter_rows():
        supply.recommendations.publish_latest(dc, day, _select(made, dc, [day]).collect())
    return done


@dg.asset(
    key_prefix=AREA,
    group_name=AREA,
    owners=OWNERS,
    pool="record_store",
    kinds={"polars", "parquet"},
    metadata=make_column_metadata(schema.SCORES),
    automation_condition=_FOLLOW_RECORDS,
    deps=[PUBLISHED],
    ins={
        "stock_buffer_recommendations": _look_back(MOST_PROTECTION_DAYS),
        "item_days": _read_from("item_days", MOST_PROTECTION_DAYS),
    },
)
@translate_failures()
def stock_buffer_scores(
    context: dg.AssetExecutionContext,
    dc_lock: dg.ResourceParam[DcLock],
    supply: dg.ResourceParam[Supply],
    lake: dg.ResourceParam[Lake],
    stock_buffer_recommendations: LakeInput,
    item_days: LakeInput,
) -> dg.MaterializeResult[None]:
    """Scores of the recommendations whose period ended the day before: whether what was recommended sufficed.

    A partition is a DC and a ship date. A period with a day out of stock is not scored. The sums by class of item and
    target are in the record store as well.
    """
    dc_lock.acquire(context)
    recommended, past = stock_buffer_recommendations.read(), item_days.read()
    lengths, calendar = _list_lengths(supply), supply.read_calendar().lazy()

    def score(dc: str, day: date) -> pl.DataFrame:
        of_days = _select(past, dc, _list_days_before(day, lengths))
        ship_days = select_ship_days(of_days.select("dc", "ship_date", "lines"), calendar).collect().lazy()
        began = _select(recommended, dc, _find_begins(day, lengths)).join(ship_days, on=["dc", "ship_date"], how="semi")
        demand = select_demand(of_days, ship_days)
        return scoring.score_recommendations(began, demand, ship_days, day, only_new=True).collect()

    done = _replace(context, lake, schema.SCORES, score, metadata.summarize_scores)
    days = partitions.list_days(context)
    scores = lake.read(schema.SCORES, days)
    supply.recommendations.publish_service(days, scoring.sum_service_of_days(scores).collect())
    return done


ASSETS: Final = (protection_forecasts, forecast_errors, stock_buffer_recommendations, stock_buffer_scores)
TABLES: Final = {
    protection_forecasts.key: schema.FORECASTS,
    forecast_errors.key: schema.FORECAST_ERRORS,
    stock_buffer_recommendations.key: schema.RECOMMENDATIONS,
    stock_buffer_scores.key: schema.SCORES,
}
"""Schemas of what the lake stores, by asset key."""


def build(settings: Settings, record_store: str) -> list[dg.AssetsDefinition]:
    """Add what follows from settings to the assets.

    Args:
        settings: where partitions begin, how many days a run of a backfill has, and how failures are retried.
        record_store: kind of its database, for the UI's badges.

    """
    return [configure_stored_asset(asset, settings, {"record_store": record_store}) for asset in ASSETS]


def build_sensor() -> dg.AutomationConditionSensorDefinition:
    """Build the sensor that makes stock buffers of the days whose records were published since."""
    return dg.AutomationConditionSensorDefinition(
        SENSOR,
        target=dg.AssetSelection.groups(AREA),
        description="Makes stock buffers of the days whose records were published since.",
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.STOPPED,
    )


def _replace(
    context: dg.AssetExecutionContext,
    lake: Lake,
    table: TableSchema,
    compute: Callable[[str, date], pl.DataFrame],
    describe: Callable[[pl.DataFrame], Metadata],
) -> dg.MaterializeResult[None]:
    """Compute each day of a run by itself, as it was known at its beginning, and replace it in the lake."""

    def compute_each(span: DcDateRange) -> pl.DataFrame:
        return pl.concat([compute(dc, day) for dc, day in span.partition_keys])

    return replace_days(context, lake, table, partitions.list_days(context), compute_each, describe)


def _resolve_terms(items: pl.LazyFrame, terms: pl.DataFrame, rejects: pl.DataFrame) -> pl.DataFrame:
    rejected = None if rejects.is_empty() else describe_rejects(items, rejects)
    return resolve_terms(items, terms.lazy(), _DEFAULTS, rejected).collect()


def _list_lengths(supply: Supply) -> list[int]:
    """List the lengths of the periods of which it is measured what became of them."""
    lengths = list_protection_lengths(supply.inputs.read_terms(), _DEFAULTS)
    return [length for length in lengths if length <= MOST_PROTECTION_DAYS]


def _find_begins(day: date, lengths: Iterable[int]) -> list[date]:
    """Find the ship dates on which periods began that are past since a day."""
    return [day - timedelta(days=length) for length in lengths]


def _list_days_before(day: date, lengths: Iterable[int], last: date | None = None) -> list[date]:
    """List the days before a day, as many as the longest of some lengths; to `last` where it is given."""
    end = (last - day).days + 1 if last else 0
    return [day + timedelta(days=offset) for offset in range(-max(lengths, default=0), end)]


def _pool(errors: pl.LazyFrame, day: date) -> pl.LazyFrame:
    return error_rules.pool_errors(errors, day).collect().lazy()


def _select(frame: pl.LazyFrame, dc: str, days: list[date]) -> pl.LazyFrame:
    """Select days of a DC; files of others are not opened."""
    return frame.filter(pl.col("dc") == dc, pl.col("ship_date").is_in(days))
