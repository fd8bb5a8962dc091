"""Options of assets and checks that come from settings: partitions, retries, days per run, kind of database.

Assets and checks are declared with `@dg.asset` and `@dg.asset_check` where they are defined. Settings are not known
there: `definitions` adds what follows from them, once for each home. What is fixed belongs in the decorator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import dagster as dg


def configure_asset(
    asset: dg.AssetsDefinition,
    *,
    retry_policy: dg.RetryPolicy,
    partitions_def: dg.PartitionsDefinition[str] | None = None,
    backfill_policy: dg.BackfillPolicy | None = None,
    kinds: AbstractSet[str] = frozenset(),
) -> dg.AssetsDefinition:
    """Return an asset with options that come from settings; `docs/decisions/0044-plain-assets.md` says why.

    Args:
        asset: of `@dg.asset`.
        retry_policy: of its step.
        partitions_def: its partitions; None for an asset without.
        backfill_policy: how many partitions a run of a backfill has.
        kinds: what joins those of its decorator.

    """
    spec = asset.get_asset_spec()
    return dg.AssetsDefinition(
        node_def=_copy_op(asset.op, retry_policy),
        keys_by_input_name=asset.keys_by_input_name,
        keys_by_output_name=asset.keys_by_output_name,
        specs=[spec.replace_attributes(partitions_def=partitions_def, kinds={*spec.kinds, *kinds})],
        backfill_policy=backfill_policy,
        resource_defs=asset.resource_defs,
        hook_defs=asset.hook_defs,
    )


def follow(upstream: dg.AssetKey) -> dg.AutomationCondition[Any]:
    """Make the condition of an asset that is materialized whenever a day of another one is.

    It is Dagster's eager, and of days long past as well: those are corrected.
    """
    return (
        dg.AutomationCondition.eager()
        .without(dg.AutomationCondition.in_latest_time_window())
        .allow(dg.AssetSelection.assets(upstream))
    )


def configure_check(
    check: dg.AssetChecksDefinition, *, partitions_def: dg.PartitionsDefinition[str]
) -> dg.AssetChecksDefinition:
    """Return a check of `@dg.asset_check` with the partitions of its asset."""
    specs = {
        output: dg.AssetCheckSpec(
            spec.name,
            asset=spec.asset_key,
            description=spec.description,
            additional_deps=spec.additional_deps,
            blocking=spec.blocking,
            metadata=spec.metadata,
            automation_condition=spec.automation_condition,
            partitions_def=partitions_def,
        )
        for output, spec in check.check_specs_by_output_name.items()
    }
    configured: dg.AssetChecksDefinition = dg.AssetChecksDefinition.create(
        keys_by_input_name=check.keys_by_input_name,
        node_def=check.op,
        check_specs_by_output_name=specs,
        can_subset=check.can_subset,
    )
    return configured


def declare_health_asset(
    key: list[str], what: str, *, deps: Sequence[dg.AssetsDefinition | dg.AssetSpec | dg.AssetKey], owners: list[str]
) -> dg.AssetSpec:
    """Declare an asset that no run materializes, for checks of the platform as a whole.

    Args:
        key: its key.
        what: what its checks are about, as a sentence.
        deps: the assets that they look at.
        owners: of the area.

    """
    why = "Nothing materializes it: Dagster shows a check's result until the next materialization of its asset."
    return dg.AssetSpec(dg.AssetKey(key), deps=deps, group_name="health", owners=owners, description=f"{what} {why}")


def declare_external_asset(
    key: list[str],
    description: str,
    *,
    columns: Mapping[str, Any],
    deps: Sequence[dg.AssetSpec] = (),
    owners: list[str],
) -> dg.AssetSpec:
    """Declare an asset that processes outside Dagster write; its group is its area.

    Args:
        key: its key, the area first.
        description: what it is, and what writes it.
        columns: metadata of its columns, and what else is shown.
        deps: the assets that it is made of.
        owners: of the area.

    """
    return dg.AssetSpec(
        dg.AssetKey(key), deps=deps, description=description, metadata=columns, group_name=key[0], owners=owners
    )


def name_step(step_key: str) -> str:
    """Return a step's name without the prefix of its area, as people read it."""
    return step_key.rpartition("__")[2]


def _copy_op(op: dg.OpDefinition, retry_policy: dg.RetryPolicy) -> dg.OpDefinition:
    """Return the same step with a retry policy: Dagster has no public way to add one to an asset."""
    return dg.OpDefinition(
        compute_fn=op.compute_fn,
        name=op.name,
        ins={each.name: dg.In.from_definition(each) for each in op.input_defs},
        outs={each.name: dg.Out.from_definition(each) for each in op.output_defs},
        description=op.description,
        config_schema=op.config_schema,
        required_resource_keys=op.required_resource_keys,
        tags=op.tags,
        retry_policy=retry_policy,
        pool=op.pool,
    )
