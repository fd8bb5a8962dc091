from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from fillrate_assets import settings
from fillrate_assets.buffers import schema as buffer_schema
from fillrate_assets.buffers.defs import assets as buffers
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.definitions import JOB, build_defs, make_systems
from fillrate_assets.fillrate import demand_schema, schema
from fillrate_assets.fillrate.defs import assets
from fillrate_assets.fillrate.fact_schema import ITEM_FACTS
from fillrate_assets.fillrate.sources.order_system import OrderSystem
from fillrate_assets.fillrate.watermark import DatabaseWatermark, ParameterStoreWatermark
from fillrate_assets.fulfillment import schema as fulfillment_schema
from fillrate_assets.inventory import schema as inventory_schema
from fillrate_assets.notifications.platform_outbox import Outbox
from fillrate_assets.replenishment.defs import assets as replenishment
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.conftest import ROOT
from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS

ASSETS = {
    "orders": {"sqlite", "polars"},
    "shipments": {"sqlite", "polars"},
    "instock_snapshots": {"duckdb", "polars"},
    "items": {"sqlite", "polars"},
    "classified_lines": {"parquet", "polars"},
    "item_days": {"parquet", "polars"},
    "rolling_averages": {"parquet", "polars"},
    "weekday_indices": {"parquet", "polars"},
    "usual_demand": {"parquet", "polars"},
    "network_factors": {"parquet", "polars"},
    "lost_cases": {"parquet", "polars"},
    "fill_rates": {"parquet", "polars"},
    "published_records": {"sqlite", "polars"},
    "exports": {"csv", "excel", "pandas"},
    "history": {"duckdb", "parquet"},
    "buffer_signals": {"duckdb", "polars"},
    "unit_timeseries": {"parquet", "polars"},
    "buffer_recommendations": {"parquet", "polars"},
    "buffer_alerts": {"parquet", "polars"},
    "buffer_feedback": {"parquet", "polars"},
    "algorithm_scorecard": {"parquet", "polars"},
    "accepted_events": {"sqlite"},
    "transitions": {"sqlite"},
    "effects": {"sqlite"},
    "order_lines": {"sqlite"},
    "shipment_lines": {"sqlite"},
    "stock": {"sqlite"},
    "stock_changes": {"sqlite"},
    "copies": {"sqlite"},
    "reconciliation": {"sqlite", "polars"},
    "protection_forecasts": {"parquet", "polars"},
    "forecast_errors": {"parquet", "polars"},
    "stock_buffer_recommendations": {"sqlite", "parquet", "polars"},
    "stock_buffer_scores": {"sqlite", "parquet", "polars"},
}
TABLES = {
    **{key.path[-1]: table for key, table in assets.TABLES.items()},
    "network_factors": demand_schema.NETWORK_FACTORS,
    "published_records": schema.LOST_CASES,
    "exports": schema.LOST_CASES,
    "history": ITEM_FACTS.schema,
    "buffer_signals": buffer_schema.SIGNALS,
    "unit_timeseries": buffer_schema.UNIT_TIMESERIES,
    "buffer_recommendations": buffer_schema.RECOMMENDATIONS,
    "buffer_alerts": buffer_schema.ALERTS,
    "buffer_feedback": buffer_schema.ANSWERS_OF_DAY,
    "algorithm_scorecard": buffer_schema.SCORECARD_OF_DAY,
    "accepted_events": fulfillment_schema.ACCEPTED_EVENTS,
    "transitions": fulfillment_schema.TRANSITIONS,
    "effects": fulfillment_schema.EFFECTS,
    "order_lines": fulfillment_schema.FEED_ORDER_LINES,
    "shipment_lines": fulfillment_schema.FEED_SHIPMENT_LINES,
    "stock": inventory_schema.STOCK,
    "stock_changes": inventory_schema.STOCK_CHANGES,
    "copies": inventory_schema.REPLICAS,
    "reconciliation": inventory_schema.STORED_FINDINGS,
    **{key.path[-1]: table for key, table in replenishment.TABLES.items()},
}
COUNTS = {"stock", "stock_changes", "copies"}
EXTERNAL = {"accepted_events", "transitions", "effects", "order_lines", "shipment_lines", *COUNTS}
"""Workers outside Dagster write them."""
BUFFERS = [asset.key.path[-1] for asset in buffers.ASSETS]
REPLENISHMENT = [asset.key.path[-1] for asset in replenishment.ASSETS]
UPSTREAM = {
    "orders": set(),
    "shipments": set(),
    "instock_snapshots": set(),
    "items": set(),
    "classified_lines": {"orders", "shipments", "instock_snapshots", "items"},
    "item_days": {"classified_lines", "instock_snapshots", "items"},
    "rolling_averages": {"item_days"},
    "weekday_indices": {"item_days"},
    "usual_demand": {"item_days", "rolling_averages", "weekday_indices"},
    "network_factors": {"usual_demand"},
    "lost_cases": {"classified_lines", "item_days", "rolling_averages", "weekday_indices"},
    "fill_rates": {"classified_lines"},
    "published_records": {
        "orders",
        "shipments",
        "instock_snapshots",
        "classified_lines",
        "item_days",
        "lost_cases",
    },
    "exports": {"classified_lines", "fill_rates", "items", "published_records"},
    "history": {"classified_lines", "lost_cases"},
    "buffer_signals": set(),
    "unit_timeseries": {"buffer_signals"},
    "buffer_recommendations": {"unit_timeseries"},
    "buffer_alerts": {"buffer_recommendations"},
    "buffer_feedback": {"buffer_alerts"},
    "algorithm_scorecard": {"buffer_feedback"},
    "platform_health": {"published_records"},
    "tick_health": {"buffer_alerts"},
    "accepted_events": set(),
    "transitions": {"accepted_events"},
    "effects": {"transitions"},
    "order_lines": {"transitions"},
    "shipment_lines": {"transitions"},
    "pipeline_health": {"effects"},
    "stock": set(),
    "stock_changes": {"stock"},
    "copies": {"stock_changes"},
    "reconciliation": {"stock", "copies"},
    "inventory_health": {"reconciliation"},
    "protection_forecasts": {"published_records", "weekday_indices", "instock_snapshots", "item_days", "items"},
    "forecast_errors": {"published_records", "protection_forecasts", "weekday_indices", "item_days"},
    "stock_buffer_recommendations": {
        "published_records",
        "protection_forecasts",
        "forecast_errors",
        "instock_snapshots",
        "item_days",
    },
    "stock_buffer_scores": {"published_records", "stock_buffer_recommendations", "item_days"},
}
HEALTH = {"platform_health", "tick_health", "pipeline_health", "inventory_health"}
"""What health checks hang on; nothing materializes it."""
CHECKS = {
    "buffer_alerts.alerts_have_route": False,
    "buffer_recommendations.unknown_units_not_reported_clear": True,
    "classified_lines.contract": True,
    "classified_lines.reject_rate": True,
    "fill_rates.contract": True,
    "inventory_health.reconciliation_age": False,
    "item_days.contract": True,
    "lost_cases.baseline_coverage": False,
    "lost_cases.contract": True,
    "lost_cases.flag_conflicts": False,
    "lost_cases.phantom_stock": False,
    "lost_cases.held_days": False,
    "network_factors.late_dcs": False,
    "pipeline_health.conflicting_events": False,
    "pipeline_health.dead_letters": False,
    "pipeline_health.effect_age": False,
    "pipeline_health.lag": False,
    "pipeline_health.log_explains_orders": False,
    "pipeline_health.parked_events": False,
    "pipeline_health.stuck_orders": False,
    "platform_health.complete_by_deadline": False,
    "platform_health.fresh_sources": False,
    "platform_health.no_day_left_behind": False,
    "published_records.reconciliation": False,
    "rolling_averages.contract": True,
    "protection_forecasts.contract": True,
    "forecast_errors.contract": True,
    "stock_buffer_recommendations.contract": True,
    "stock_buffer_recommendations.items_without_number": False,
    "stock_buffer_recommendations.rejected_terms": False,
    "stock_buffer_scores.contract": True,
    "stock_buffer_scores.service_reached": False,
    "tick_health.heartbeat": False,
    "unit_timeseries.warehouse_coverage": False,
    "unit_timeseries.master_data_valid": False,
    "usual_demand.contract": True,
    "weekday_indices.contract": True,
}


@pytest.fixture
def defs(tmp_path: Path) -> dg.Definitions:
    return build_defs(settings.load(home=tmp_path / "home"))


def _list_specs(defs: dg.Definitions) -> dict[str, dg.AssetSpec]:
    return {spec.key.path[-1]: spec for spec in defs.resolve_all_asset_specs()}


def test_loading_needs_no_system_and_touches_nothing(tmp_path: Path, defs: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(defs)
    assert list(tmp_path.iterdir()) == []


def test_loading_needs_no_network(tmp_path: Path) -> None:
    code = (
        "import socket\n"
        "def refuse(*_, **__): raise AssertionError('a connection was opened')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
        "import fillrate_assets.definitions as d\n"
        "d.dg.Definitions.validate_loadable(d.defs)\n"
    )
    servers = {
        "FILLRATE_SOURCES__ORDER_SYSTEM_URL": "oracle+oracledb://reader@nowhere.invalid/orders",
        "FILLRATE_SOURCES__SHIPPING_RECORDS_URL": "mssql+pymssql://reader@nowhere.invalid/shipping",
        "FILLRATE_HOME": str(tmp_path / "home"),
    }
    env = {**os.environ, **servers, "PYTHONPATH": str(ROOT)}
    subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code], cwd=tmp_path, env=env, check=True, capture_output=True, timeout=PATIENCE_SECONDS
    )
    assert list(tmp_path.iterdir()) == []


def test_the_assets_are_these_and_each_says_what_made_of_whom(defs: dg.Definitions) -> None:
    specs = _list_specs(defs)
    assert {name: spec.kinds for name, spec in specs.items()} == {**ASSETS, **{name: set() for name in HEALTH}}
    assert {name: {dep.asset_key.path[-1] for dep in spec.deps} for name, spec in specs.items()} == UPSTREAM
    assert {name for name, spec in specs.items() if not spec.partitions_def} == {"items", *HEALTH, *EXTERNAL}
    owners = {
        "buffers": "team:floor-operations",
        "fillrate": "team:supply-analytics",
        "fulfillment": "team:fulfillment",
        "inventory": "team:inventory",
        "replenishment": "team:replenishment",
    }
    for name, spec in specs.items():
        area = spec.key.path[0]
        assert spec.group_name == ("health" if name in HEALTH else area), name
        assert spec.owners == [owners[area]], name
        assert spec.description, name


def test_orders_that_come_from_fulfillment_are_drawn_behind_it(tmp_path: Path) -> None:
    chosen = settings.load(home=tmp_path, sources__orders_from_fulfillment=True)
    specs = _list_specs(build_defs(chosen))
    for name, source in (("orders", "order_lines"), ("shipments", "shipment_lines")):
        assert {dep.asset_key.to_user_string() for dep in specs[name].deps} == {f"fulfillment/{source}"}


def test_every_asset_shows_its_columns_with_units(defs: dg.Definitions) -> None:
    for name, spec in [(name, spec) for name, spec in _list_specs(defs).items() if name not in HEALTH]:
        shown = spec.metadata["dagster/column_schema"]
        assert isinstance(shown, dg.TableSchema)
        frame = TABLES[name]
        assert [column.name for column in shown.columns] == frame.names
        assert [column.constraints.nullable for column in shown.columns] == [
            column.nullable for column in frame.columns
        ]
        units = [column.unit for column in frame.columns]
        descriptions = [str(column.description) for column in shown.columns]
        assert all(text.endswith(f"[{unit}]") for text, unit in zip(descriptions, units, strict=True) if unit)


def test_the_checks_are_these_and_those_of_contracts_block(defs: dg.Definitions) -> None:
    specs = [spec for check in defs.asset_checks or [] for spec in check.check_specs]
    assert {f"{spec.asset_key.path[-1]}.{spec.name}": spec.blocking for spec in specs} == CHECKS
    assert all(spec.description for spec in specs)


def test_jobs_and_sensors_are_these(defs: dg.Definitions) -> None:
    assert JOB == "fill_rate_and_lost_cases"
    assert [job.name for job in defs.jobs or []] == [
        JOB,
        "network",
        "health_checks",
        "history",
        "buffer_tick",
        "buffer_heartbeat",
        "fulfillment_health",
        "fulfillment_replay",
        "fulfillment_redeliver",
        "fulfillment_redrive",
        "fulfillment_refire",
        "inventory_reconciliation",
        "inventory_health",
        "saved_views",
        "stock_buffers",
    ]
    of_main_job = {node.name.partition("__")[2] or node.name for node in defs.resolve_job_def(JOB).nodes}
    others = {"exports", "history", "network_factors", "reconciliation", *BUFFERS, *REPLENISHMENT, *EXTERNAL}
    assert of_main_job >= set(ASSETS) - others
    assert not of_main_job & others
    of_tick = {node.name.partition("__")[2] or node.name for node in defs.resolve_job_def(buffers.JOB).nodes}
    assert of_tick > set(BUFFERS)
    assert len(of_tick) <= 10
    sensors = [sensor for sensor in defs.sensors or [] if isinstance(sensor, dg.SensorDefinition)]
    assert [(sensor.name, sensor.minimum_interval_seconds) for sensor in sensors] == [
        ("new_orders", 300),
        ("dcs", 300),
        ("run_failures", 300),
        ("exports", 300),
        ("lost_runs", 15),
        ("network", 300),
        ("fulfillment_summary", 60),
        ("inventory_summary", 60),
        ("stock_buffers", 300),
    ]
    assert sensors[0].job_name == JOB
    running = [sensor.name for sensor in sensors if sensor.default_status == dg.DefaultSensorStatus.RUNNING]
    assert running == ["lost_runs"]
    assert all(sensor.description for sensor in sensors)


def test_the_health_checks_run_once_a_day_and_are_no_part_of_the_main_job(defs: dg.Definitions) -> None:
    schedule, *others = [each for each in defs.schedules or [] if isinstance(each, dg.ScheduleDefinition)]
    assert [(each.name, each.cron_schedule, each.default_status.value) for each in others] == [
        ("history", "*/15 * * * *", "STOPPED"),
        ("buffer_ticks", "*/5 * * * *", "STOPPED"),
        ("buffer_heartbeat", "*/15 * * * *", "STOPPED"),
        ("fulfillment_health", "*/15 * * * *", "STOPPED"),
        ("inventory_reconciliation", "0 */2 * * *", "STOPPED"),
        ("inventory_health", "*/15 * * * *", "STOPPED"),
        ("saved_views", "*/15 * * * *", "STOPPED"),
    ]
    assert (schedule.name, schedule.job_name, schedule.cron_schedule, schedule.execution_timezone) == (
        "health_checks",
        "health_checks",
        "30 14 * * *",
        "UTC",
    )
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
    names = {"complete_by_deadline", "fresh_sources", "no_day_left_behind"}
    health, main = (
        {node.name.partition("__")[2] or node.name for node in defs.resolve_job_def(name).nodes}
        for name in ("health_checks", JOB)
    )
    assert health == {f"platform_health_{name}" for name in names}
    assert not health & main


def test_kinds_follow_the_systems(tmp_path: Path) -> None:
    made = settings.load(home=tmp_path, sources__order_system_url="oracle+oracledb://reader@orders/orders")
    specs = _list_specs(build_defs(made))
    assert (specs["orders"].kinds, specs["items"].kinds) == ({"oracle", "polars"}, {"oracle", "polars"})
    assert specs["shipments"].kinds == {"sqlite", "polars"}


def test_a_system_may_be_swapped_by_its_resource_key(tmp_path: Path) -> None:
    other = OrderSystem(f"sqlite:///{tmp_path}/other.db")
    defs = build_defs(settings.load(home=tmp_path), order_system=other)
    assert (defs.resources or {})["order_system"] is other


def test_wrong_settings_stop_the_definitions_with_one_clear_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FILLRATE_STORAGE__RECORD_STORE_URL", "records.db")
    with pytest.raises(PermanentFailure, match="record_store_url"):
        build_defs(settings.load())


@pytest.mark.parametrize(("env", "shown"), [("dev", True), ("prod", False)])
def test_the_environment_says_how_much_is_logged(tmp_path: Path, env: str, shown: bool) -> None:  # noqa: FBT001 - a case
    build_defs(settings.load(home=tmp_path / "home", env=env))
    assert logging.getLogger("fillrate.sql").isEnabledFor(logging.DEBUG) is shown
    assert logging.getLogger("fillrate.sql").isEnabledFor(logging.INFO)


def test_settings_say_where_watermarks_and_alerts_go(tmp_path: Path) -> None:
    topic = "arn:aws:sns:eu-central-1:123456789012:held-days"
    made = settings.load(home=tmp_path / "home")
    embedded = make_systems(made)
    assert embedded["watermark"] == DatabaseWatermark(Database(made.storage.record_store_url))
    assert embedded["outbox"] == Outbox(Database(made.storage.record_store_url))
    there = make_systems(
        settings.load(
            home=tmp_path / "home",
            storage__watermark_url="ssm://fillrate",
            notifications__alert_topic_arn=topic,
            env="prod",
        )
    )
    assert there["watermark"] == ParameterStoreWatermark("ssm://fillrate/prod")
    assert there["outbox"] == Outbox(Database(made.storage.record_store_url), topic)
