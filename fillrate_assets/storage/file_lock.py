"""A lock between the processes of one machine; it ends with the process that holds it, however that ends."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def hold(file: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a file, which is made if need be and stays.

    Args:
        file: its directory exists.
        wait: whether to wait for a process that holds it.

    Raises:
        BlockingIOError: another process holds it, and this one does not wait.

    """
    with file.open("w", encoding="ascii") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
