"""What is installed and shipped: pinned with hashes, without root, watched, and listed by `make sbom`."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Final

import pytest
import yaml

from fillrate_assets_tests.conftest import ROOT

DOCKERFILE: Final = (ROOT / "deploy" / "Dockerfile").read_text()
PINS: Final = [
    ROOT / "constraints.txt",
    ROOT / "deploy" / "sbom.txt",
    ROOT / "infrastructure" / "functions.txt",
    ROOT / "fillrate_assets_tests" / "fixtures" / "aws_server.txt",
]


@pytest.mark.parametrize("pins", PINS, ids=[path.stem for path in PINS])
def test_every_package_is_pinned_to_one_version_with_its_hashes(pins: Path) -> None:
    entries = re.split(r"(?m)^(?=\S)", re.sub(r"(?m)^\s*#.*\n", "", pins.read_text()))
    assert [each for each in entries if each and not re.match(r"\S+==\S+[^\n]*\\\n\s+--hash=sha256:", each)] == []


def test_the_image_installs_nothing_but_what_is_pinned() -> None:
    steps = re.split(r"&&|\n", DOCKERFILE.replace("\\\n", " "))
    installs = [each for each in steps if "pip install" in each and not each.startswith("#")]
    assert [
        each
        for each in installs
        if not any(option in each for option in ("--require-hashes", "--constraint constraints.txt", "--no-deps"))
    ] == []
    assert len(installs) == 3


def test_the_image_and_its_list_have_the_same_extras_and_there_are_such() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (extras,) = re.findall(r'ARG EXTRAS="(.*)"', DOCKERFILE)
    assert set(extras.split()) < set(project["optional-dependencies"])
    assert "s/^ARG EXTRAS=" in (ROOT / "Makefile").read_text()


def test_the_image_runs_without_root_and_has_no_settings() -> None:
    *_, shipped = DOCKERFILE.split("\nFROM ")
    user = shipped.index("\nUSER fillrate\n")
    assert shipped.index("useradd --system --uid 10001") < user < shipped.index("\nENTRYPOINT")
    assert "\nUSER" not in shipped[user + 1 :]
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"
    copied = re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", DOCKERFILE)
    allowed = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"}
    assert {name for names in copied for name in names.split()} == allowed


def test_every_service_that_stays_is_watched() -> None:
    services = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]
    assert [name for name, each in services.items() if "healthcheck" not in each] == ["upgrade"]
