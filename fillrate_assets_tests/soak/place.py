"""Where a soak runs, what an area runs there, and what is left in the end."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HOST: Final = "127.0.0.1"
PORTS: Final = 3
_STOP: Final = "stop"


@dataclass(frozen=True)
class Place:
    """Where a soak runs."""

    directory: Path
    records: str
    jobs: str
    """URLs of the record store and of the queues."""

    ports: tuple[int, ...]
    lifetime_seconds: int
    """After which its processes end whatever happens."""

    orders: int = 6
    """Of fulfillment, that a client sends before it starts anew with others."""

    @property
    def ledger(self) -> Path:
        """Return the directory of what targets did."""
        return self.directory / "ledger"

    @property
    def is_ending(self) -> bool:
        """Whether clients are to end."""
        return (self.directory / _STOP).exists()

    def end(self) -> None:
        """Let clients end."""
        (self.directory / _STOP).touch()

    def read_acknowledged(self) -> set[str]:
        """Read what clients have noted as acknowledged, by line."""
        files = self.directory.glob("acknowledged-*")
        return {line for file in files for line in file.read_text().split("\n")[:-1]}

    def enter(self, name: str) -> None:
        """Begin a process: bound its life, and let what it says go to a file."""
        signal.alarm(self.lifetime_seconds)
        log = os.open(self.directory / f"{name}.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(log, stream.fileno())


@dataclass(frozen=True)
class Findings:
    """What is left of a soak."""

    counts: Mapping[str, int]
    """Of what there is."""

    wrong: Mapping[str, int]
    """Of what must not be."""

    @property
    def is_right(self) -> bool:
        """Whether nothing was lost and nothing done twice."""
        return not any(self.wrong.values())


@dataclass(frozen=True)
class Kind:
    """Processes of one kind."""

    run: Callable[[Place, str], None]
    number: int
    weight: int
    """How often they are killed, against others."""

    is_client: bool = False
    """Whether they end by themselves once the place does."""

    longest_outage_seconds: float = 0
    """How long one that was killed may be gone."""


@dataclass(frozen=True)
class Workload:
    """What an area runs in a soak."""

    kinds: Mapping[str, Kind]
    prepare: Callable[[Place], None]
    count_left: Callable[[Place], int]
    """Counts what workers have left to do."""

    inspect: Callable[[Place], Findings]
    """Looks at what is left, once nothing runs."""


def find_ports() -> tuple[int, ...]:
    """Find ports that are free."""
    sockets = [socket.socket() for _ in range(PORTS)]
    for each in sockets:
        each.bind((HOST, 0))
    ports = tuple(int(each.getsockname()[1]) for each in sockets)
    for each in sockets:
        each.close()
    return ports
