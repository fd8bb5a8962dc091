"""No test and no benchmark waits for ever."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

import pytest

from fillrate_assets_tests.conftest import ROOT

WAITING: Final = {"join", "wait", "result", "communicate"}
"""Methods that wait for ever when they are called without an argument."""
STARTING: Final = {"run", "check_call", "check_output"}
"""Functions of `subprocess` that wait for the process they start."""

FILES: Final = sorted(
    path
    for directory in ("fillrate_assets_tests", "benchmarks", "examples")
    for path in (ROOT / directory).rglob("*.py")
)


def find_waits(source: str) -> Iterator[str]:
    """Find calls without a time-out, and loops whose end nothing in their condition brings about."""
    tree = ast.parse(source)
    generators = {
        loop
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef) and any(isinstance(node, ast.Yield) for node in ast.walk(function))
        for loop in ast.walk(function)
        if isinstance(loop, ast.While)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.While) and isinstance(node.test, ast.Constant) and node not in generators:
            yield f"line {node.lineno}: while {ast.unparse(node.test)}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name, timeout = node.func.attr, any(keyword.arg == "timeout" for keyword in node.keywords)
            starts = name in STARTING and ast.unparse(node.func.value) == "subprocess"
            if (starts and not timeout) or (name in WAITING and not node.args and not node.keywords):
                yield f"line {node.lineno}: {ast.unparse(node.func)}()"


def test_nothing_waits_without_a_deadline() -> None:
    found = {str(file.relative_to(ROOT)): list(find_waits(file.read_text())) for file in FILES}
    assert {name: waits for name, waits in found.items() if waits} == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("thread.join()", ["line 1: thread.join()"]),
        ("thread.join(timeout=5)", []),
        ("', '.join(names)", []),
        ("process.wait()\nbarrier.wait(5)", ["line 1: process.wait()"]),
        ("subprocess.run(command, check=True)", ["line 1: subprocess.run()"]),
        ("subprocess.run(command, check=True, timeout=5)", []),
        ("while True:\n    work()", ["line 1: while True"]),
        ("def f():\n    while True:\n        yield 1", []),
        ("while not done():\n    work()", []),
    ],
)
def test_waits_are_found(source: str, found: list[str]) -> None:
    assert list(find_waits(source)) == found
