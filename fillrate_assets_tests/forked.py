"""Processes of our own, which start at once: to be killed, or to run beside this one."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from typing import Any, Final

IMPORTED: Final = ["fillrate_assets_tests.home", "fillrate_assets_tests.sensor_daemon"]


def start(target: Callable[..., object], *arguments: Any) -> BaseProcess:  # noqa: ANN401 - what the target takes
    """Call a function in a process of its own, in the environment of this one."""
    process = _context().Process(target=_call, args=(dict(os.environ), target, arguments))
    process.start()
    return process


def run(target: Callable[..., object], *arguments: Any) -> int | None:  # noqa: ANN401 - as above
    """The same until its end: the exit code."""
    process = start(target, *arguments)
    process.join()
    return process.exitcode


def executor() -> ProcessPoolExecutor:
    """One process, in the environment of this one, that tells what its functions return."""
    return ProcessPoolExecutor(1, _context(), _adopt, (dict(os.environ),))


def _context() -> ForkServerContext:
    # The server has imported everything and runs nothing: a process forked from it is as good as new, and quick.
    context = get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    return context


def _call(environment: dict[str, str], target: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    _adopt(environment)
    target(*arguments)


def _adopt(environment: dict[str, str]) -> None:
    # The server was started by whoever needed it first, in an environment of its own.
    os.environ.clear()
    os.environ.update(environment)
