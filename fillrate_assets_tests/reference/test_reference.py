"""The package and the reference over random directories: the same lines, records, doubts and counts, or none."""

from __future__ import annotations

from pathlib import Path
from random import Random

import dagster as dg
import pytest

from fillrate_assets_tests.fixtures.home import Home
from fillrate_assets_tests.reference import comparison, model, platform
from fillrate_assets_tests.reference.generator import generate

NETWORKS = 6
"""Networks of a directory: what reading costs, it costs once."""


@pytest.mark.parametrize("seed", range(4))
def test_files_are_computed_as_the_reference_does(tmp_path: Path, seed: int) -> None:
    assert comparison.compare(generate(seed, NETWORKS).write(tmp_path / "files")) == []


@pytest.mark.slow
def test_the_platform_computes_as_the_reference_does_in_any_order_of_days(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    seed, most = 1004, 20
    folder = generate(seed).write(tmp_path / "files")
    expected, home = model.compute(folder, comparison.LOADED_AT), Home(tmp_path / "home")
    platform.load(home, folder)
    platform.run(home, instance, platform.split_days(home, expected, Random(seed), most))  # noqa: S311 - no secret
    assert expected.records
    assert platform.compare_platform(home, expected) == []
