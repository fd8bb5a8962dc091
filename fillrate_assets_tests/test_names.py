"""The vocabulary of the package and its documentation: the field's words, and none that only its authors use."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from fillrate_assets_tests.conftest import ROOT

MODULES: Final = sorted((ROOT / "fillrate_assets").rglob("*.py"))
PAGES: Final = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BANNED: Final = re.compile(
    r"(?<![a-z])(told|tells?|asks|asked|stands|stood|standing|kept|seen|nobody|whoever)(?![a-z])", re.IGNORECASE
)
"""Say send, publish, notify, request, store, read, find, show."""

ALLOWED: Final = {"KEPT", "_IS_KEPT"}
"""The resolution of a row that no conflict changed."""


def _list_words(module: Path) -> Iterator[tuple[int, str]]:
    """List the identifiers and the words of strings and docstrings of a module, with their lines."""
    for node in ast.walk(ast.parse(module.read_text())):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name):
                yield node.lineno, name
            case ast.keyword(arg=str(name)) | ast.alias(asname=str(name)):
                yield node.lineno, name
            case ast.Constant(value=str(text)):
                for word in re.findall(r"\w+", text):
                    yield node.lineno, word
            case _:
                pass


def _format_finding(file: Path, line: int, word: str) -> str:
    return f"{file.relative_to(ROOT)}:{line}: {word}"


def test_the_package_uses_the_words_of_the_field() -> None:
    found = [
        _format_finding(module, line, word)
        for module in MODULES
        for line, word in _list_words(module)
        if word not in ALLOWED and BANNED.search(word)
    ]
    assert found == []


def test_the_documentation_uses_the_words_of_the_field() -> None:
    found = [
        _format_finding(page, number, word)
        for page in PAGES
        for number, line in enumerate(page.read_text().splitlines(), start=1)
        for word in re.findall(r"\w+", line)
        if word not in ALLOWED and BANNED.search(word)
    ]
    assert found == []


@pytest.mark.parametrize("name", ["seen", "_kept", "told_once", "read_seen", "Standing", "asked"])
def test_a_word_is_found_in_a_name(name: str) -> None:
    assert BANNED.search(name)


@pytest.mark.parametrize("name", ["unseen", "outstanding", "understands", "bookkeeping", "intellectual", "tasks"])
def test_a_word_that_only_contains_one_is_fine(name: str) -> None:
    assert not BANNED.search(name)
