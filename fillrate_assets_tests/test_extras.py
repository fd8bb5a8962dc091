"""Optional dependencies: what runs without them, and what a missing one says."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import pytest

from fillrate_assets.cli import main
from fillrate_assets.core.extras import PACKAGES
from fillrate_assets_tests.conftest import ROOT
from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS

LOAD: Final = """\
import sys
sys.modules.update(dict.fromkeys(sys.argv[1].split(",")))
import fillrate_assets.definitions
"""
ORDERS: Final = "FILLRATE_SOURCES__ORDER_SYSTEM_URL"
RECORDS: Final = "FILLRATE_STORAGE__RECORD_STORE_URL"
SNAPSHOTS: Final = "FILLRATE_SOURCES__INSTOCK_WAREHOUSE_URL"


def test_the_extras_are_those_of_the_project() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(PACKAGES) == set(declared) - {"benchmark", "deploy", "test"}


@pytest.mark.slow
def test_the_embedded_default_loads_without_any_extra(tmp_path: Path) -> None:
    # pandas, which is no extra, needs numpy.
    blocked = {package for packages in PACKAGES.values() for package in packages} - {"numpy", "itsdangerous"}
    done = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-W", "ignore", "-c", LOAD, ",".join(sorted(blocked))],
        cwd=tmp_path,
        env={**os.environ, "FILLRATE_HOME": str(tmp_path), "DAGSTER_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("dagster_home")
@pytest.mark.parametrize(
    ("extra", "package", "needed_by", "variables", "arguments"),
    [
        ("oracle", "oracledb", f"the setting {ORDERS}", {ORDERS: "oracle+oracledb://u:p@h/x"}, "upgrade"),
        ("sqlserver", "pymssql", f"the setting {RECORDS}", {RECORDS: "mssql+pymssql://u:p@h/x"}, "upgrade"),
        ("postgres", "psycopg", f"the setting {RECORDS}", {RECORDS: "postgresql+psycopg://u:p@h/x"}, "upgrade"),
        ("athena", "pyathena", f"the setting {SNAPSHOTS}", {SNAPSHOTS: "awsathena+polars://h/x"}, "upgrade"),
        ("redshift", "sqlalchemy_redshift", f"the setting {SNAPSHOTS}", {SNAPSHOTS: "redshift://u:p@h/x"}, "upgrade"),
        ("aws", "boto3", f"the setting {RECORDS}", {RECORDS: "secret://fillrate/records"}, "upgrade"),
        (
            "aws",
            "boto3",
            "the setting FILLRATE_STORAGE__LAKE_ROOT",
            {"FILLRATE_STORAGE__LAKE_ROOT": "s3://bucket"},
            "upgrade",
        ),
        ("web", "starlette", "fillrate serve", {}, "serve"),
        ("sample", "simpy", "fillrate demo", {}, "demo"),
        ("sample", "simpy", "fillrate sample", {}, "sample"),
        ("sample", "simpy", "fillrate buffers demo", {}, "buffers demo"),
    ],
)
def test_a_missing_extra_is_one_line_with_its_setting_and_its_cure(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    extra: str,
    package: str,
    needed_by: str,
    variables: dict[str, str],
    arguments: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    # As an import finds it that is not installed.
    monkeypatch.setitem(sys.modules, package, None)
    code = main.execute(arguments.split())
    message = (
        f"fillrate: error: {needed_by} needs {package}, which is not installed:"
        f" pip install 'fillrate-assets[{extra}]'\n"
    )
    assert (code, *capsys.readouterr()) == (2, "", message)
