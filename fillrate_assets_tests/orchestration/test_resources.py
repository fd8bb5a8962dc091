"""The Resources tab shows how systems are configured, without secrets; steps get the systems themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_representation.external_data import RepositorySnap

from fillrate_assets import settings
from fillrate_assets.definitions import build_defs, make_systems
from fillrate_assets.fillrate.defs.resources import OrderSystemResource
from fillrate_assets.fillrate.sources.order_system import OrderSystem
from fillrate_assets.storage import sql

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dg.asset
def read(order_system: dg.ResourceParam[OrderSystem]) -> dg.MaterializeResult[None]:
    """Say what the step got."""
    return dg.MaterializeResult(metadata={"got": type(order_system).__name__, "url": order_system.url})


def read_definitions() -> dg.JobDefinition:
    """Return a job of one asset over an order system, for a process of its own as well."""
    system = OrderSystemResource.describe(OrderSystem("sqlite:///orders.db"))
    defs = dg.Definitions(
        assets=[read],
        resources={"order_system": system},
        jobs=[dg.define_asset_job("reading")],
        executor=dg.multiprocess_executor,
    )
    return defs.resolve_job_def("reading")


def _execute(config: dict[str, Any]) -> dg.ExecuteInProcessResult:
    return read_definitions().execute_in_process(run_config={**QUIET, **config})


def _read_shown(made: settings.Settings) -> dict[str, Any]:
    snap = RepositorySnap.from_def(build_defs(made).get_repository_def())
    return {each.name: each for each in snap.resources or []}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:////data/orders.db", "sqlite:////data/orders.db"),
        ("oracle+oracledb://reader@orders/db", "oracle+oracledb://reader@orders/db"),
        ("oracle+oracledb://reader:hunter2@orders/db", "oracle+oracledb://reader:***@orders/db"),
        ("oracle+oracledb://reader@orders/db?wallet_password=hunter2", "oracle+oracledb://reader@orders/db"),
        ("mssql+pyodbc:///?odbc_connect=PWD%3Dhunter2", "mssql+pyodbc:///"),
        ("mssql+pymssql://reader:{secret://fillrate#key}@ship/db", "mssql+pymssql://reader:***@ship/db"),
        ("mssql+pymssql://reader:hun/ter2@ship:x/db", "mssql+pymssql://***"),
        ("secret://fillrate#url", "secret://fillrate#url"),
        ("ssm://fillrate", "ssm://fillrate"),
        ("", ""),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret(url: str, shown: str) -> None:
    assert sql.redact_url(url) == shown


# Dagster's own snapshot of its own schedule.
@pytest.mark.filterwarnings("ignore:Property `ScheduleDefinition.environment_vars` is deprecated:DeprecationWarning")
def test_every_system_says_what_it_is_and_how_it_is_configured(tmp_path: Path) -> None:
    made = settings.load(
        home=tmp_path / "home",
        sources__order_system_url="oracle+oracledb://reader:hunter2@orders/db",
        sources__source_tables={"order_lines": {"name": "ORD_LN", "columns": {"dc": "WHSE"}}},
        notifications__channels={"floor": "https://hooks.example/hunter2"},
    )
    shown = _read_shown(made)
    assert set(shown) == {*make_systems(made), "sources", "lake_repair"}
    for name, each in shown.items():
        assert each.resource_snapshot.description, name
        assert all(field.description for field in each.config_field_snaps), name
        assert "hunter2" not in dg.serialize_value(each), name
    assert shown["order_system"].configured_values == {
        "url": '"oracle+oracledb://reader:***@orders/db"',
        "source_tables": '{"order_lines": {"columns": {"dc": "WHSE"}, "name": "ORD_LN"}}',
        "statement_timeout_seconds": "300",
    }
    assert shown["delivery"].configured_values["channels"] == '["floor"]'


def test_a_step_gets_the_system_itself() -> None:
    (event,) = _execute({}).asset_materializations_for_node("read")
    assert {name: value.value for name, value in event.metadata.items()} == {
        "got": "OrderSystem",
        "url": "sqlite:///orders.db",
    }


def test_a_run_cannot_configure_a_system_otherwise() -> None:
    config = {"url": "sqlite:///other.db", "source_tables": {}, "statement_timeout_seconds": sql.STATEMENT_SECONDS}
    other = {"resources": {"order_system": {"config": config}}}
    with pytest.raises(dg.DagsterError) as raised:
        _execute(other)
    assert "OrderSystemResource is configured by settings" in str(raised.value.__cause__)


def test_a_step_in_a_process_of_its_own_gets_the_same_system(tmp_path: Path) -> None:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        result = dg.execute_job(dg.reconstructable(read_definitions), instance, run_config=QUIET)
        assert result.success
        (event,) = result.asset_materializations_for_node("read")
        assert event.metadata["url"].value == "sqlite:///orders.db"
