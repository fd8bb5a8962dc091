"""Ends of a command on a signal: within seconds, with one line, and with nothing left running."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import parent_process
from multiprocessing.connection import wait
from select import select
from threading import Event, Thread
from time import monotonic
from types import FrameType
from typing import Final, NoReturn

GRACE_SECONDS: Final = 8
"""How long a command may take to end by itself; the interpreter cannot interrupt a driver or an engine."""

CLEANUP_SECONDS: Final = 5
"""How long what `ending` registered may take."""

EXIT_CODES: Final = {signal.SIGINT: 130, signal.SIGTERM: 143}
_MESSAGES: Final = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}

_cleanups: Final[list[Callable[[str], None]]] = []
_stopping: Final = Event()


class Stopped(BaseException):
    """A signal ends the command; click has something to say of its own about a KeyboardInterrupt."""

    def __init__(self, number: int) -> None:
        """Name the signal."""
        self.exit_code = EXIT_CODES[signal.Signals(number)]
        super().__init__(_MESSAGES[signal.Signals(number)])


@contextmanager
def handle_signals(*, quiet: bool = False) -> Iterator[None]:
    """Raise Stopped at a signal, and end the process if that does not.

    A thread of its own watches: the main one may be inside a driver for minutes, and Dagster replaces handlers.

    Args:
        quiet: leave the message to the process that started this one.

    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    # A step's standard error is a file.
    terminal = os.dup(2)
    handlers = {number: signal.signal(number, _raise) for number in EXIT_CODES}
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    Thread(target=_watch, args=(reader, None if quiet else terminal), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.close(writer)


@contextmanager
def ending(cleanup: Callable[[str], None]) -> Iterator[None]:
    """End the process at once if a signal arrives meanwhile, after a cleanup that gets the reason in one word."""
    _cleanups.append(cleanup)
    try:
        yield
    finally:
        hold()
        _cleanups.remove(cleanup)


def hold() -> None:
    """Do nothing any more if the process is about to end: what a signal interrupts looks like a failure."""
    if _stopping.is_set():
        Event().wait()


def end_with_parent() -> None:
    """End this process when the one that started it ends, however it ends; leave a terminal's Ctrl-C to that one."""
    os.setsid()
    parent = parent_process()
    if parent is not None:
        Thread(target=lambda: wait([parent.sentinel]) and _end(EXIT_CODES[signal.SIGTERM]), daemon=True).start()


def _raise(number: int, _frame: FrameType | None) -> None:
    if not _cleanups:
        raise Stopped(number)


def _watch(reader: int, terminal: int | None) -> None:
    """Wait for a signal; then clean up and end the process, or give it time to end by itself."""
    number = _read_signal(reader)
    if number is None:
        return
    if cleanups := list(_cleanups):
        _stopping.set()
        # The main thread may have locked what a cleanup needs: it is tried, not waited for.
        thread = Thread(target=lambda: [cleanup(_MESSAGES[number]) for cleanup in cleanups], daemon=True)
        thread.start()
        thread.join(CLEANUP_SECONDS)
    elif _has_ended(reader):
        return
    if terminal is not None:
        # Where it is a pipe, its reader may be gone.
        with suppress(OSError):
            os.write(terminal, f"fillrate: error: {_MESSAGES[number]}\n".encode())
    _end(EXIT_CODES[number])


def _read_signal(reader: int) -> signal.Signals | None:
    """Read the first signal that ends a command; None once the command has ended."""
    while received := os.read(reader, 1):
        if received[0] in EXIT_CODES:
            return signal.Signals(received[0])
    return None


def _has_ended(reader: int) -> bool:
    """Return whether the command ends within the grace."""
    deadline = monotonic() + GRACE_SECONDS
    while (left := deadline - monotonic()) > 0:
        readable, _, _ = select([reader], [], [], left)
        if readable and not os.read(reader, 1):
            return True
    return False


def _end(code: int) -> NoReturn:
    os._exit(code)
