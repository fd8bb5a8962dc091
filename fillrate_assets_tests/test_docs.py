"""Every link in the documentation leads somewhere, no page is too long to read, and examples print what they show."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Final

import pytest

from fillrate_assets.cli.main import execute
from fillrate_assets_tests.conftest import ROOT

PAGES: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
MAX_LINES: Final = 300
FILE: Final = re.compile(r"`([\w./]+\.(?:csv|toml))`:\n\n```\w*\n(.*?)```", re.DOTALL)
CONSOLE: Final = re.compile(r"```console\n(.*?)```", re.DOTALL)
WORKED: Final = {"tutorial/first-number.md": ".", "how-to/write-a-mapping.md": "ours"}
"""Pages that are worked through from their own files, and the directory that these belong to."""


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
