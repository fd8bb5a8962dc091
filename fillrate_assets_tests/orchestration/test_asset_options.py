"""Options that come from settings are added to assets and checks, and everything else of them remains."""

import inspect

import dagster as dg
import pytest

from fillrate_assets.orchestration.asset_options import configure_asset, configure_check, name_step

DAYS = dg.StaticPartitionsDefinition(["2026-03-13", "2026-03-14"])
RETRIES = dg.RetryPolicy(max_retries=2)

# Dagster finds out at run time what is annotated, so these are no strings.
System = dg.ResourceParam[str]


@dg.success_hook
def report(context: dg.HookContext) -> None:
    """Report."""


@dg.asset(key_prefix="area")
def rows() -> None:
    """Rows."""


def _declare() -> dg.AssetsDefinition:
    @dg.asset(
        key_prefix="area",
        group_name="area",
        owners=["team:analytics"],
        pool="system",
        deps=["before"],
        ins={"rows": dg.AssetIn(partition_mapping=dg.AllPartitionMapping())},
        kinds={"polars"},
        tags={"layer": "lake"},
        op_tags={"cpu": "2"},
        config_schema={"limit": int},
        code_version="3",
        io_manager_key="lake",
        metadata={"unit": "cases"},
        automation_condition=dg.AutomationCondition.eager(),
        hooks={report},
    )
    def totals(context, system: System, rows: str) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - only declared
        """Totals of the rows."""

    return totals


def test_an_asset_gets_the_options_that_come_from_settings() -> None:
    days_per_run = dg.BackfillPolicy.multi_run(31)
    made = configure_asset(
        _declare(), retry_policy=RETRIES, partitions_def=DAYS, backfill_policy=days_per_run, kinds={"sqlite"}
    )
    assert made.op.retry_policy == RETRIES
    assert made.partitions_def == DAYS
    assert made.backfill_policy == days_per_run
    assert made.get_asset_spec().kinds == {"polars", "sqlite"}


def test_everything_else_of_an_asset_remains_decision_0044() -> None:
    declared = _declare()
    made = configure_asset(declared, retry_policy=RETRIES, partitions_def=DAYS)
    before, after = declared.get_asset_spec(), made.get_asset_spec()
    assert after == before.replace_attributes(partitions_def=DAYS)
    for name in ("name", "description", "pool", "tags", "required_resource_keys", "compute_fn"):
        assert getattr(made.op, name) == getattr(declared.op, name), name
    assert made.op.config_schema.config_type is declared.op.config_schema.config_type
    assert [(each.name, each.dagster_type) for each in made.op.input_defs] == [
        (each.name, each.dagster_type) for each in declared.op.input_defs
    ]
    (output,), (output_before,) = made.op.output_defs, declared.op.output_defs
    for name in ("name", "io_manager_key", "dagster_type", "is_required", "description", "code_version"):
        assert getattr(output, name) == getattr(output_before, name), name
    assert made.keys_by_input_name == declared.keys_by_input_name
    assert made.hook_defs == declared.hook_defs != set()


def test_an_option_of_a_later_dagster_is_not_lost_unnoticed_decision_0044() -> None:
    known = {"compute_fn", "name", "ins", "outs", "description", "config_schema", "required_resource_keys", "tags"}
    known |= {"retry_policy", "code_version", "pool"}
    deprecated = {"version"}
    assert set(inspect.signature(dg.OpDefinition).parameters) == known | deprecated


@pytest.mark.filterwarnings("ignore::dagster_shared.utils.warnings.PreviewWarning")
def test_a_check_gets_the_partitions_of_its_asset_and_remains_what_it_was() -> None:
    @dg.asset_check(asset=rows, name="contract", blocking=True, additional_deps=["before"], metadata={"unit": "cases"})
    def check(system: System) -> dg.AssetCheckResult:
        """Require rows."""
        return dg.AssetCheckResult(passed=bool(system))

    made = configure_check(check, partitions_def=DAYS)
    (before,), (after,) = check.check_specs, made.check_specs
    assert after.partitions_def == DAYS
    for name in ("key", "description", "blocking", "additional_deps", "metadata", "automation_condition"):
        assert getattr(after, name) == getattr(before, name), name
    assert made.op is check.op


@pytest.mark.parametrize(("step", "name"), [("fillrate__orders", "orders"), ("orders", "orders")])
def test_a_step_is_named_without_its_area(step: str, name: str) -> None:
    assert name_step(step) == name
