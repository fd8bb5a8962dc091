"""Sections of a page: each is read on its own, for a limited time, and says so where it cannot be read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import anyio
from anyio import to_thread

from fillrate_assets.core.errors import FillrateError, SourceUnavailable
from fillrate_assets.web.limits import log_failure
from fillrate_assets.web.operations.systems import NotConfiguredError

_LOG: Final = logging.getLogger("fillrate.operations")
READ_SECONDS: Final = 10
"""How long one section may take before the page shows without it."""

T = TypeVar("T")


@dataclass(frozen=True)
class Section(Generic[T]):
    """A part of a page: what was read, or why nothing was."""

    name: str
    title: str
    found: T | None = None
    problem: str = ""

    def require(self) -> T:
        """Return what was read.

        Raises:
            SourceUnavailable: nothing was.

        """
        if self.found is None:
            raise SourceUnavailable(self.problem)
        return self.found


@dataclass(frozen=True)
class Part(Generic[T]):
    """What is to be read for a section."""

    name: str
    title: str
    read: Callable[[], T]


async def read_sections(parts: Sequence[Part[T]]) -> list[Section[T]]:
    """Read sections at the same time, each in a thread."""
    found: dict[str, Section[T]] = {}

    async def read(part: Part[T]) -> None:
        with anyio.move_on_after(READ_SECONDS):
            # What takes longer is left to end by itself: its database limits how long a statement may take.
            found[part.name] = await to_thread.run_sync(_read, part, abandon_on_cancel=True)

    async with anyio.create_task_group() as group:
        for part in parts:
            group.start_soon(read, part)
    late = f"Does not answer: it takes longer than {READ_SECONDS:g} s."
    return [found.get(part.name) or Section(part.name, part.title, problem=late) for part in parts]


def _read(part: Part[T]) -> Section[T]:
    try:
        return Section(part.name, part.title, part.read())
    except NotConfiguredError as error:
        problem = f"Not configured: {error}."
    except SourceUnavailable as error:
        log_failure(_LOG, error)
        problem = f"Does not answer: {error}."
    except FillrateError as error:
        log_failure(_LOG, error)
        problem = f"Does not work: {error}."
    except Exception:  # noqa: BLE001 - as the next line says
        # Whatever it is: the other sections are all the more needed.
        _LOG.exception("%s cannot be read", part.title)
        problem = "Does not work: the log of the service says why."
    return Section(part.name, part.title, problem=problem)
