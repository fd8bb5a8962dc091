"""Ids in log lines: what a process works on is bound once, and each line that it logs meanwhile carries it.

The lines themselves are those of `logging`, as everywhere; who writes them out is decided by the commands.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final, Literal, TextIO

LogFormat = Literal["text", "json"]

_IDS: Final[ContextVar[Mapping[str, str]]] = ContextVar("ids")


@contextmanager
def bind(ids: Mapping[str, str | None]) -> Iterator[None]:
    """Let log lines carry some ids besides those that they carry already; those that are None are left out."""
    token = _IDS.set({**read_ids(), **{name: value for name, value in ids.items() if value is not None}})
    try:
        yield
    finally:
        _IDS.reset(token)


def read_ids() -> Mapping[str, str]:
    """Read the ids that log lines carry now."""
    return _IDS.get({})


class IdsFormatter(logging.Formatter):
    """Log lines with their ids: text for people, or a JSON object for machines."""

    def __init__(self, form: LogFormat) -> None:
        """Make one of a kind."""
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._form = form

    def format(self, record: logging.LogRecord) -> str:
        """Format a line."""
        ids: Mapping[str, str] = getattr(record, "ids", {})
        if self._form == "text":
            return " ".join([super().format(record), *(f"{name}={value}" for name, value in ids.items())])
        # As every formatter does: other handlers read it.
        record.message = record.getMessage()
        line: dict[str, str] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.message,
            **ids,
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def _add_ids(record: logging.LogRecord) -> bool:
    """Add the ids of the moment to a line."""
    record.ids = read_ids()
    return True


def adopt_handlers(level: str) -> None:
    """Let the handlers that a runtime has installed write JSON with ids, as those of Lambda do.

    Args:
        level: from which level on lines of this package are written.

    """
    for handler in logging.getLogger().handlers:
        handler.setFormatter(IdsFormatter("json"))
        handler.addFilter(_add_ids)
    logging.getLogger("fillrate").setLevel(level)


@contextmanager
def write_lines(stream: TextIO, form: LogFormat, level: str) -> Iterator[None]:
    """Write what is logged meanwhile to a stream, with its ids.

    Args:
        stream: where to.
        form: of the lines.
        level: from which level on lines of this package are written; those of others are from WARNING on.

    """
    handler, ours = logging.StreamHandler(stream), logging.getLogger("fillrate")
    handler.setFormatter(IdsFormatter(form))
    handler.addFilter(_add_ids)
    before = ours.level
    ours.setLevel(level)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        ours.setLevel(before)
