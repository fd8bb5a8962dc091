"""Replacement of files as a whole: the old content stays until the new one is complete. S3 needs none of this."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def replace_file(file: Path) -> Iterator[Path]:
    """Yield a path beside the file; rename it into the file's place when the block succeeds, else remove it."""
    incoming = file.with_name(f".{uuid4().hex}{file.suffix}")
    try:
        yield incoming
        incoming.replace(file)
    finally:
        incoming.unlink(missing_ok=True)
