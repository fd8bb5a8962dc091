"""The analysts' hand-over: what is published for a DC and ship date, as CSV and as an Excel workbook, in the lake."""

import io
from datetime import datetime
from typing import Final

import dagster as dg
import polars as pl

from fillrate_assets.core.errors import ContractViolation
from fillrate_assets.core.partition_key import PartitionKey, encode_dc
from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.defs.assets import AREA, OWNERS, published_records
from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.fillrate.report import service_report
from fillrate_assets.fillrate.report.fact_tables import FrameFacts
from fillrate_assets.fillrate.report.queries import read_published_doubts
from fillrate_assets.orchestration import partitions
from fillrate_assets.orchestration.asset_options import configure_asset, follow
from fillrate_assets.orchestration.lake_io_manager import LakeInput
from fillrate_assets.orchestration.partition_events import add_partition_metadata
from fillrate_assets.orchestration.retries import make_retry_policy, translate_failures
from fillrate_assets.orchestration.run_concurrency import DcLock
from fillrate_assets.orchestration.ui_metadata import Metadata, describe_columns, make_column_metadata
from fillrate_assets.settings import Settings
from fillrate_assets.storage.lake import Lake

NAME: Final = "exports"
_BY: Final = ("department",)
"""What the workbook's summary has a row for."""


@dg.asset(
    key_prefix=AREA,
    group_name=AREA,
    owners=OWNERS,
    pool="record_store",
    deps=[published_records],
    kinds={"csv", "excel", "pandas"},
    metadata={
        **make_column_metadata(schema.LOST_CASES),
        "fill_rates_columns": describe_columns(schema.FILL_RATES),
    },
    automation_condition=follow(published_records.key),
)
@translate_failures()
def exports(
    context: dg.AssetExecutionContext,
    dc_lock: dg.ResourceParam[DcLock],
    record_store: dg.ResourceParam[RecordStore],
    lake: dg.ResourceParam[Lake],
    classified_lines: LakeInput,
    fill_rates: LakeInput,
    items: LakeInput,
) -> None:
    """Files for analysts: published records and service metrics as CSV, and an Excel workbook, in the lake.

    A partition is a DC and a ship date. A day that the quality gate holds retains its last files.
    """
    dc_lock.acquire(context)
    lines, rates, master = (each.read() for each in (classified_lines, fill_rates, items))
    days = partitions.list_days(context)
    ledger = pl.concat([record_store.read_ledger(dc) for dc in sorted({dc for dc, _ in days})])
    entries = {(entry["dc"], entry["ship_date"]): entry for entry in ledger.iter_rows(named=True)}
    described: dict[str, Metadata] = {}
    for day in days:
        entry = entries.get(day, {"state": "HELD", "reason": "not published yet"})
        if entry["state"] != "PUBLISHED":
            described[partitions.make_key(*day)] = {"held": entry["reason"]}
            continue
        records = record_store.read_records(*day)
        of_day = ledger.filter(pl.col("dc") == day[0], pl.col("ship_date") == day[1])
        doubts = read_published_doubts(of_day, _select_day(lines, day))
        facts = service_report.Facts(FrameFacts(_select_day(lines, day), records.lazy()), master, doubts)
        files = {
            "lost_cases.csv": _write_csv(context, schema.LOST_CASES, records, day),
            "fill_rates.csv": _write_csv(context, schema.FILL_RATES, _select_day(rates, day).collect(), day),
            "report.xlsx": _write_workbook(facts, entry["published_at"]),
        }
        shown: Metadata = {
            "dagster/partition_row_count": records.height,
            "published_at": dg.MetadataValue.timestamp(entry["published_at"]),
        }
        for name, content in files.items():
            shown[name] = dg.MetadataValue.path(lake.write_file(make_path(day, name), content))
            shown[f"{name} bytes"] = len(content)
        described[partitions.make_key(*day)] = shown
    add_partition_metadata(context, described)


def make_path(day: PartitionKey, name: str) -> str:
    """Return where a file of a DC and ship date is, below the lake's root."""
    dc, ship_date = day
    return f"{NAME}/dc={encode_dc(dc)}/ship_date={ship_date}/{name}"


def build(settings: Settings) -> dg.AssetsDefinition:
    """Add what follows from settings to the asset.

    It is no part of the main job, for it costs as much as a day of that; it follows what is published.
    """
    return configure_asset(
        exports,
        retry_policy=make_retry_policy(settings.sensor.step_max_retries, settings.sensor.step_retry_delay_seconds),
        partitions_def=partitions.define_dc_ship_date(settings.first_ship_date),
        # Its days need no look-back and little memory; and Dagster's command takes a range for no other policy.
        backfill_policy=dg.BackfillPolicy.single_run(),
    )


def _write_csv(context: dg.AssetExecutionContext, frame: TableSchema, rows: pl.DataFrame, day: PartitionKey) -> bytes:
    """Write rows as CSV, once the frame's Dagster type has passed them.

    The type is checked here and not of the asset's output: a run is a range of days, of which only one is in memory.
    """
    from fillrate_assets.fillrate.defs.pandas_types import make_frame_type, to_pandas  # noqa: PLC0415 - only where it is used

    dagster_type = make_frame_type(frame)
    step = context.op_execution_context.get_step_execution_context()
    checked = dagster_type.type_check(step.for_type(dagster_type), to_pandas(rows))
    if not checked.success:
        dc, ship_date = day
        msg = (
            f"{dc} {ship_date}: no {dagster_type.display_name}: {checked.description}; the day's last files remain:"
            " materialize the day again; if it stays, the records were changed by someone else"
        )
        raise ContractViolation(msg)
    return rows.write_csv().encode()


def _write_workbook(facts: service_report.Facts, published_at: datetime) -> bytes:
    """Write the report as a workbook; its time is that of the publication: the same records make the same file."""
    from fillrate_assets.fillrate.report.workbook import write_workbook  # noqa: PLC0415 - only where it is used

    content = io.BytesIO()
    write_workbook(content, service_report.build_report_data(facts, _BY), made_at=published_at)
    return content.getvalue()


def _select_day(frame: pl.LazyFrame, day: PartitionKey) -> pl.LazyFrame:
    dc, ship_date = day
    return frame.filter(pl.col("dc") == dc, pl.col("ship_date") == ship_date)
