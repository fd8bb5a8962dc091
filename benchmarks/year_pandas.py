"""The rules in pandas, vectorised, quantities as integers of a ten-thousandth of a case: a contender of `year.py`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fillrate_assets.core import decimals
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.rules import rolling_baseline, row_versions

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def compute_results(
    orders: pd.DataFrame,
    shipments: pd.DataFrame,
    snapshots: pd.DataFrame,
    items: pd.DataFrame,
    ship_dates: Sequence[date],
) -> list[pd.DataFrame]:
    """Classified lines, item-days, rolling averages, lost cases and fill rates of one DC."""
    classified = _classify(orders, shipments, items)
    days = _compute_item_days(classified, snapshots, items)
    return [classified, days, *judge(days, ship_dates), _compute_fill_rates(classified)]


def judge(days: pd.DataFrame, ship_dates: Sequence[date]) -> list[pd.DataFrame]:
    """Compute rolling averages and lost cases of the item-days of one DC."""
    averages = _compute_averages(days, ship_dates)
    return [averages, _compute_lost_cases(days, averages)]


def read(files: Sequence[Path]) -> pd.DataFrame:
    """Parquet files as one frame, quantities in ten-thousandths."""
    # Decimals as Python objects would take minutes; up to 2^53 ten-thousandths a float is exact as well.
    table = pa.concat_tables(pq.read_table(file, partitioning=None) for file in files)
    quantities = {column.name for column in table.schema if pa.types.is_decimal(column.type)}
    for number, column in enumerate(table.schema):
        if column.name in quantities:
            table = table.set_column(number, column.name, table.column(number).cast(pa.float64()))
    rows: pd.DataFrame = table.to_pandas()
    for column in table.schema:
        if column.name in quantities:
            rows[column.name] = (rows[column.name] * decimals.PLACES).round()
        elif pa.types.is_date(column.type):
            rows[column.name] = pd.to_datetime(rows[column.name])
    return rows


def write(directory: Path, rows: pd.DataFrame) -> None:
    """Write a file per ship date."""
    for day, part in rows.groupby("ship_date", sort=False):
        target = directory / f"ship_date={day:%Y-%m-%d}"
        target.mkdir(parents=True)
        part.to_parquet(target / "part-0.parquet", index=False)


def _select_in_force(rows: pd.DataFrame, items: pd.DataFrame) -> pd.DataFrame:
    details = ["item", "valid_from", "item_type", "vendor", "department", "contract_committed"]
    left, right = rows.sort_values("ship_date", kind="stable"), items[details].sort_values("valid_from", kind="stable")
    return pd.merge_asof(left, right, left_on="ship_date", right_on="valid_from", by="item")


def _select_latest(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.sort_values(["processed_at", "source_seq"]).drop_duplicates(row_versions.LINE_KEY, keep="last")


def _classify(orders: pd.DataFrame, shipments: pd.DataFrame, items: pd.DataFrame) -> pd.DataFrame:
    shipped = _select_latest(shipments)[
        [*row_versions.LINE_KEY, "shipped_qty", "uom", "shipped_at", "delivered_at", "reason_code"]
    ]
    rows = _select_latest(orders).merge(shipped, on=row_versions.LINE_KEY, how="left", suffixes=("", "_shipment"))
    rows = _select_in_force(rows, items)
    ordered = _convert_to_cases(rows["ordered_qty"], rows["uom"], rows["pack_size"])
    shipped_cases = _convert_to_cases(rows["shipped_qty"], rows["uom_shipment"], rows["pack_size"])
    cancelled = rows["status"].eq("CANCELLED") & rows["cancel_reason"].str.startswith("CUST").eq(other=True)
    rejected = rows["ordered_qty"].lt(0) | rows["item_type"].isna()
    rows["disposition"] = np.select([rejected, cancelled], ["REJECTED", "EXCLUDED"], "COUNTED")
    rows["ordered_cases"], rows["shipped_cases"] = ordered, np.minimum(ordered, shipped_cases)
    rows["over_cases"] = shipped_cases - rows["shipped_cases"]
    rows["reason_code"] = rows["reason_code"].where(shipped_cases < ordered)
    arrived = rows["delivered_at"].fillna(rows["shipped_at"]).dt.tz_localize(None).dt.normalize()
    rows["on_time"] = arrived <= rows["requested_date"].fillna(rows["ship_date"])
    columns = ["dc", "ship_date", "order_id", "line_no", "customer", "item", "vendor", "department", "disposition"]
    return rows[[*columns, "ordered_cases", "shipped_cases", "over_cases", "reason_code", "on_time"]]


def _convert_to_cases(quantity: pd.Series[float], uom: pd.Series[str], pack: pd.Series[float]) -> Integers:
    units, size = quantity.fillna(0).to_numpy(np.int64), pack.fillna(1).to_numpy(np.int64)
    converted = (2 * units * decimals.PLACES + size) // (2 * size)
    return np.where(uom.eq("EA"), converted, units)


def _compute_item_days(classified: pd.DataFrame, snapshots: pd.DataFrame, items: pd.DataFrame) -> pd.DataFrame:
    key = ["dc", "ship_date", "item"]
    counted = classified[classified["disposition"] == "COUNTED"]
    quantities = ["ordered_cases", "shipped_cases", "over_cases"]
    grouped = counted.groupby(key, sort=False)
    summed = grouped[quantities].sum().join(grouped.size().rename("lines"))
    short = counted.assign(short=counted["ordered_cases"] - counted["shipped_cases"])[counted["reason_code"].notna()]
    reason = short.sort_values("short").drop_duplicates(key, keep="last").set_index(key)["reason_code"]
    latest = snapshots.sort_values("snapshot_at").drop_duplicates(key, keep="last").set_index(key)["instock"]
    days = summed.join(reason).join(latest, how="outer").reset_index()
    days[[*quantities, "lines"]] = days[[*quantities, "lines"]].fillna(0).astype(np.int64)
    days = _select_in_force(days, items)
    return days[days["item_type"].notna()].drop(columns="valid_from")


def _compute_averages(days: pd.DataFrame, ship_dates: Sequence[date]) -> pd.DataFrame:
    """One row per day, one column per item: windows are differences of running totals."""
    ship_day = days.groupby("ship_date")["shipped_cases"].transform("max") > 0
    available = days["instock"].eq("Y") | (days["instock"].isna() & days["shipped_cases"].gt(0))
    observed = days[ship_day & available & days["item_type"].eq("STOCK")]
    wide = observed.set_index(["ship_date", "item"])["ordered_cases"].unstack()  # noqa: PD010 - nothing to aggregate
    wide = wide.reindex(pd.to_datetime(ship_dates))
    known = wide.notna().to_numpy()
    ordered = wide.fillna(0).to_numpy(np.int64)
    n, total = _sum_up(known.astype(np.int64)), _sum_up(ordered)
    n_week, total_week = _sum_last(n, rolling_baseline.WINDOW_DAYS), _sum_last(total, rolling_baseline.WINDOW_DAYS)
    n_latest = np.minimum(_sum_last(n, rolling_baseline.LOOK_BACK_DAYS), rolling_baseline.MAX_OBSERVATIONS)
    total_latest = total - np.take_along_axis(_select_first(known, ordered), n - n_latest, axis=0)
    week, extended = n_week >= rolling_baseline.MIN_OBSERVATIONS, n_latest >= rolling_baseline.MIN_OBSERVATIONS
    count, numerator = np.where(week, n_week, n_latest), np.where(week, total_week, total_latest)
    mean = (2 * numerator + count) // np.maximum(2 * count, 1)
    day, item = np.nonzero(n_latest > 0)
    source = np.select([week, extended], ["W7", "EXT28"], "NONE")[day, item]
    return pd.DataFrame(
        {
            "dc": days["dc"].iloc[0],
            "ship_date": wide.index.to_numpy()[day],
            "item": wide.columns.to_numpy()[item],
            "baseline_cases": np.where(source == "NONE", np.nan, mean[day, item]),
            "baseline_n": count[day, item],
            "baseline_source": source,
        }
    )


def _sum_up(values: Integers) -> Integers:
    """Return sums of all days before each day."""
    return np.vstack([np.zeros((1, values.shape[1]), np.int64), values.cumsum(axis=0)[:-1]])


def _sum_last(running: Integers, days: int) -> Integers:
    return running - np.vstack([np.zeros((min(days, len(running)), running.shape[1]), np.int64), running[:-days]])


def _select_first(known: Flags, ordered: Integers) -> Integers:
    """Row k: the total of an item's first k observations."""
    packed = np.zeros((len(known) + 1, known.shape[1]), np.int64)
    day, item = np.nonzero(known)
    packed[known.cumsum(axis=0)[day, item], item] = ordered[day, item]
    return packed.cumsum(axis=0)


def _compute_lost_cases(days: pd.DataFrame, averages: pd.DataFrame) -> pd.DataFrame:
    out = days["item_type"].eq("STOCK") & days["instock"].eq("N")
    rows = days[days["lines"].gt(0) | out].merge(averages, on=["dc", "ship_date", "item"], how="left")
    flow, unseen, instock = rows["item_type"].eq("FLOW"), rows["instock"].isna(), rows["instock"].eq("Y")
    rows["path"] = np.select([flow, unseen, instock], ["FLOW", "MISSING", "STOCK_IN"], "STOCK_OUT")
    rows["baseline_cases"] = rows["baseline_cases"].mask(flow)
    ordered, shipped = rows["ordered_cases"], rows["shipped_cases"]
    rows["imputed"] = rows["path"].eq("MISSING") & shipped.eq(0) & ordered.gt(0)
    rows["confirmed_cases"] = ordered - shipped
    unserved = (rows["baseline_cases"] - ordered).clip(lower=0).fillna(0).astype(np.int64)
    rows["estimated_cases"] = unserved.where(rows["path"].eq("STOCK_OUT") | rows["imputed"], 0)
    rows["lost_cases"] = rows["confirmed_cases"] + rows["estimated_cases"]
    rows["fill_rate"] = (shipped / ordered.mask(ordered.eq(0))).round(4)
    demand = shipped + rows["lost_cases"]
    rows["demand_fill_rate"] = (shipped / demand.mask(demand.eq(0))).round(4)
    supply = rows["path"].isin(["STOCK_OUT", "FLOW"]) | rows["imputed"]
    rows["contract_lost_cases"] = rows["lost_cases"].where(rows["contract_committed"].astype(bool) & supply, 0)
    rows["phantom_stock"] = rows["path"].eq("STOCK_IN") & shipped.eq(0) & ordered.gt(0)
    rows["flag_conflict"] = rows["path"].eq("STOCK_OUT") & shipped.ge(ordered) & ordered.gt(0)
    return rows


def _compute_fill_rates(classified: pd.DataFrame) -> pd.DataFrame:
    counted = classified[classified["disposition"] == "COUNTED"]
    counted = counted.assign(complete=counted["shipped_cases"] >= counted["ordered_cases"], lines=1)
    return pd.concat([_select_level(counted, level) for level in schema.LEVELS])


def _select_level(counted: pd.DataFrame, level: str) -> pd.DataFrame:
    key = list(dict.fromkeys(["dc", "ship_date", level]))
    sums = {"lines": "sum", "ordered_cases": "sum", "shipped_cases": "sum", "lines_complete": "sum"}
    orders = (
        counted.assign(lines_complete=counted["complete"])
        .groupby([*key, "order_id"], sort=False)
        .agg({**sums, "complete": "all", "on_time": "all"})
    )
    orders["otif"] = orders["complete"] & orders["on_time"]
    groups = orders.groupby(key, sort=False)
    rows = groups.agg({**sums, "complete": "mean", "on_time": "mean", "otif": "mean"}).reset_index()
    rows["case_fill_rate"] = rows["shipped_cases"] / rows["ordered_cases"].mask(rows["ordered_cases"].eq(0))
    rows["line_fill_rate"] = rows["lines_complete"] / rows["lines"]
    return rows.assign(level=level, value=rows[level])
