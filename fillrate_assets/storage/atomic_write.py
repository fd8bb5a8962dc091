"""Files that appear whole: what stood before stays until the new content is complete."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def replace_file(file: Path) -> Iterator[Path]:
    """A path beside the file to write to; renamed into its place when the block succeeds, removed otherwise."""
    incoming = file.with_name(f".{uuid4().hex}{file.suffix}")
    try:
        yield incoming
        incoming.replace(file)
    finally:
        incoming.unlink(missing_ok=True)
