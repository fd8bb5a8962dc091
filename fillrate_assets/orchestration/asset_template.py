"""Assets declared where they are defined, and made when the settings are known.

Where partitions begin, how often a step is tried again and which database a system is are settings. So a module
declares its assets with `asset_template`, and `definitions` builds them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from fillrate_assets.core.table_schema import TableSchema
from fillrate_assets.orchestration.retries import translate_failures
from fillrate_assets.orchestration.ui_metadata import make_column_metadata


@dataclass(frozen=True)
class AssetTemplate:
    """An asset's function, the schema of what it stores, and what is fixed of its declaration."""

    compute: Callable[..., object]
    table: TableSchema
    options: Mapping[str, Any]
    """Of `dg.asset`."""

    @property
    def name(self) -> str:
        """Return the asset's name, without its prefix."""
        return self.compute.__name__

    @property
    def key(self) -> dg.AssetKey:
        """Return the asset's key."""
        return dg.AssetKey([self.options["key_prefix"], self.name])

    @property
    def pool(self) -> str | None:
        """Return the system that the asset's step works with; its name is a pool, which caps connections to it."""
        return self.options.get("pool")

    def build(self, **options: Any) -> dg.AssetsDefinition:  # noqa: ANN401 - those of dg.asset
        """Make the asset; options of `dg.asset` that come from settings join the fixed ones."""
        metadata = {**make_column_metadata(self.table), **self.options.get("metadata", {})}
        made: dg.AssetsDefinition = dg.asset(**{**self.options, **options, "metadata": metadata})(
            translate_failures()(self.compute)
        )
        return made


def name_step(step_key: str) -> str:
    """Return a step's name without the prefix of its area, as people read it."""
    return step_key.rpartition("__")[2]


def asset_template(
    table: TableSchema,
    *,
    key_prefix: str,
    **options: Any,  # noqa: ANN401 - those of dg.asset
) -> Callable[[Callable[..., object]], AssetTemplate]:
    """Declare a function as an asset.

    Args:
        table: schema of what it stores; the UI shows its columns.
        key_prefix: the area.
        options: further ones of `dg.asset`.

    """

    def declare(compute: Callable[..., object]) -> AssetTemplate:
        return AssetTemplate(compute, table, {"key_prefix": key_prefix, **options})

    return declare
