"""What the documentation names is there: pages, commands, schedules, checks, settings, files and functions.

Every link leads somewhere, no page is too long to read, and examples print what they show.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Final

import click
import dagster as dg
import pytest

from fillrate_assets import settings
from fillrate_assets.cli.main import cli, execute
from fillrate_assets.definitions import build_defs
from fillrate_assets_tests.conftest import ROOT

PAGES: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TODAY: Final = [page for page in PAGES if page.stem != "CHANGELOG"]
"""Pages that say how things are; the changelog also names what was."""

DECISIONS: Final = [page for page in PAGES if page.parent.name == "decisions" and page.stem != "README"]
LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
MAX_LINES: Final = 300
MAX_WIDTH: Final = 140
FILE: Final = re.compile(r"`([\w./]+\.(?:csv|toml))`:\n\n```\w*\n(.*?)```", re.DOTALL)
CONSOLE: Final = re.compile(r"```console\n(.*?)```", re.DOTALL)
WORKED: Final = {"tutorial/first-number.md": ".", "how-to/write-a-mapping.md": "ours"}
"""Pages that are worked through from their own files, and the directory that these belong to."""

NAMED: Final = re.compile(r"\b(schedule|sensor|job|check)s?((?:(?:,| and)? `[a-z_]+`)+)")
"""Names in backticks, behind the word for what they are."""

CODE: Final = re.compile(r"`([\w/]+\.py)`")
NAME_OF_FILE: Final = re.compile(r"((?:(?:, | and | or )?`\w+`)+) of `([\w/]+\.py)`")
BASES: Final = ["", "fillrate_assets", "fillrate_assets/fillrate", "fillrate_assets_tests"]
"""Directories that a file of the code may be named from."""


def _list_anchors(page: Path) -> set[str]:
    headings = re.findall(r"(?m)^#+ (.*)$", page.read_text())
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        path, _, anchor = link.partition("#")
        if path.startswith(("http:", "https:")):
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in _list_anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_no_page_is_longer_than_can_be_read(page: Path) -> None:
    assert len(page.read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_no_line_of_prose_is_wider_than_a_screen(page: Path) -> None:
    prose = re.sub(r"(?ms)^```.*?^```$", "", page.read_text()).splitlines()
    assert [line for line in prose if len(line) > MAX_WIDTH and not line.startswith(("|", "#"))] == []


def _list_links(page: Path) -> set[Path]:
    return {(page.parent / link.partition("#")[0]).resolve() for link in LINK.findall(page.read_text())}


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    assert set(PAGES) - set(DECISIONS) - {index} <= _list_links(index)


def test_every_decision_has_its_number_and_is_in_their_index() -> None:
    for page in DECISIONS:
        assert re.match(rf"# {page.name[:4]}: \S", page.read_text()), page.name
    assert set(DECISIONS) <= _list_links(ROOT / "docs" / "decisions" / "README.md")


def test_every_command_is_in_the_table_of_the_readme() -> None:
    rows = [line.split("|")[1] for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| `fill")]
    groups = {name: command for name, command in cli.commands.items() if isinstance(command, click.Group)}
    commands = [("fillrate", name) for name in cli.commands]
    commands += [(f"fillrate {group}", name) for group, command in groups.items() for name in command.commands]
    for path, name in commands:
        by_itself, beside_another = rf"`{path} {name}\b", rf"`{path} .*`{name}`"
        assert any(re.search(by_itself, row) or re.search(beside_another, row) for row in rows), f"{path} {name}"


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Names of the definitions, by what they are."""
    defs = build_defs(settings.load(home=tmp_path_factory.mktemp("home")))
    return {
        "schedule": {each.name for each in defs.schedules or [] if isinstance(each, dg.ScheduleDefinition)},
        "sensor": {each.name for each in defs.sensors or []},
        "job": {each.name for each in defs.jobs or []},
        "check": {key.name for key in defs.resolve_asset_graph().asset_check_keys},
    }


def test_what_the_documentation_calls_a_schedule_sensor_job_or_check_is_one(names: dict[str, set[str]]) -> None:
    for page in TODAY:
        for kind, found in NAMED.findall(page.read_text()):
            assert set(re.findall(r"\w+", found)) - {"and"} <= names[kind], page.name


def test_every_schedule_sensor_and_job_is_documented(names: dict[str, set[str]]) -> None:
    text = "".join(page.read_text() for page in PAGES)
    for kind in ("schedule", "sensor", "job"):
        assert {name for name in names[kind] if f"`{name}`" not in text} == set(), kind


def test_the_page_of_checks_has_each_check(names: dict[str, set[str]]) -> None:
    page = (ROOT / "docs" / "reference" / "checks.md").read_text()
    assert set(re.findall(r"(?m)^\| `(\w+)`", page)) == names["check"]


def test_every_setting_that_a_page_names_is_one() -> None:
    known = {each.variable for each in settings.list_settings()}
    for page in TODAY:
        found = set(re.findall(r"\bFILLRATE_(?!TEST_)[A-Z_]*[A-Z]\b", page.read_text()))
        assert found <= known, page.name


def _find_code(name: str) -> Path | None:
    return next((file for base in BASES if (file := ROOT / base / name).is_file()), None)


@pytest.mark.parametrize("page", TODAY, ids=[str(page.relative_to(ROOT)) for page in TODAY])
def test_every_file_and_function_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    for name in CODE.findall(text):
        assert "/" not in name or "NNNN" in name or _find_code(name), name
    for found, name in NAME_OF_FILE.findall(text):
        if file := _find_code(name):
            for each in re.findall(r"`(\w+)`", found):
                assert re.search(rf"\b{each}\b", file.read_text()), (each, name)


def test_the_function_of_each_decision_of_the_method_exists() -> None:
    page = (ROOT / "docs" / "explanation" / "methodology.md").read_text()
    found = re.findall(r"`([a-z_]+)\.([A-Za-z_]+)`", page.partition("## What was decided here\n")[2])
    assert found
    for module, name in found:
        file = ROOT / "fillrate_assets" / "fillrate" / "rules" / f"{module}.py"
        assert re.search(rf"(?m)^(def )?{name}\b", file.read_text()), (module, name)


@pytest.mark.parametrize("page", WORKED)
def test_a_worked_example_prints_what_it_shows(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "docs" / page).read_text()
    monkeypatch.chdir(tmp_path)
    steps = [*FILE.finditer(text), *CONSOLE.finditer(text)]
    for step in sorted(steps, key=lambda found: found.start()):
        if step.re is FILE:
            file = tmp_path / WORKED[page] / step[1]
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a") as content:
                content.write(step[2])
            continue
        for command, *shown in (block.splitlines() for block in step[1].split("$ ")[1:]):
            assert execute(shlex.split(command)[1:]) == 0
            printed = [line.rstrip() for line in "".join(capsys.readouterr()).splitlines()]
            for line in shown:
                begin, omitted, _ = line.partition("...")
                assert any(each.startswith(begin) if omitted else each == line for each in printed), (command, line)
