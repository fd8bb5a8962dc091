"""Killing of workers, the intake, clients and the database server, at random; each is started again."""

from __future__ import annotations

import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from typing import Final

from fillrate_assets.core.errors import SourceUnavailable
from fillrate_assets.messaging.dbos_queue import DbosQueue
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.fixtures import forked
from fillrate_assets_tests.fixtures.patience import wait_until
from fillrate_assets_tests.fixtures.postgres import Postgres
from fillrate_assets_tests.soak.processes import (
    CLIENTS,
    HOST,
    STOP,
    Place,
    run_client,
    run_intake,
    run_worker,
)

WORKERS: Final = 2
_WEIGHTS: Final = {"worker": 6, "intake": 3, "client": 2, "server": 3}
_LISTED: Final = 100_000
_JOIN_SECONDS: Final = 20


@dataclass
class Soak:
    """Processes that are killed and started again, on one record store and one queue."""

    place: Place
    server: Postgres | None = None
    """Of the databases; None for files of SQLite."""

    seed: int = 1
    killed: Counter[str] = field(default_factory=Counter)
    """How often what was killed."""

    ended: Counter[str] = field(default_factory=Counter)
    """How often a process ended by itself, by its name."""

    processes: dict[str, BaseProcess] = field(default_factory=dict)

    @contextmanager
    def run(self) -> Iterator[None]:
        """Start everything; nothing is left afterwards."""
        self.place.ledger.mkdir()
        Database(self.place.records).upgrade()
        with DbosQueue(self.place.jobs) as queue:
            queue.prepare()
        names = [*(f"worker-{number}" for number in range(WORKERS)), "intake"]
        try:
            for name in (*names, *(f"client-{number}" for number in range(CLIENTS))):
                self.processes[name] = self._start(name)
            yield
        finally:
            for process in self.processes.values():
                process.kill()
                process.join(_JOIN_SECONDS)

    def kill(self, kills: int, seconds: float, *, pause: float) -> None:
        """Kill so often, or until the time is up, once events come in.

        Args:
            kills: how many.
            seconds: for how long at most.
            pause: seconds between two of them, in the mean.

        """
        wait_until(self.place.read_acknowledged)
        drawn, give_up = random.Random(self.seed), time.monotonic() + seconds  # noqa: S311 - a simulation
        weights = {kind: weight for kind, weight in _WEIGHTS.items() if kind != "server" or self.server is not None}
        while sum(self.killed.values()) < kills and time.monotonic() < give_up:
            time.sleep(drawn.expovariate(1 / pause))
            (kind,) = drawn.choices([*weights], [*weights.values()])
            if kind == "server":
                self._kill_server(drawn)
            else:
                name = drawn.choice([each for each in self.processes if each.startswith(kind)])
                self._kill_process(name)
            self.killed[kind] += 1
            self._revive()

    def finish(self, seconds: float) -> None:
        """Let clients end and workers do what is left; each that died in between is started again.

        Raises:
            AssertionError: work is left when the time is up.

        """
        (self.place.directory / STOP).touch()
        give_up, left = time.monotonic() + seconds, -1
        while left != 0:
            assert time.monotonic() < give_up, f"{left} jobs are left"
            time.sleep(0.2)
            clients = [each for name, each in self.processes.items() if name.startswith("client")]
            self._revive()
            with suppress(SourceUnavailable), DbosQueue(self.place.jobs) as queue:
                left = queue.count_unfinished() + sum(each.is_alive() for each in clients)

    def _start(self, name: str) -> BaseProcess:
        runs: dict[str, Callable[[Place, str], None]] = {
            "worker": run_worker,
            "intake": run_intake,
            "client": run_client,
        }
        return forked.start(runs[name.partition("-")[0]], self.place, name)

    def _revive(self) -> None:
        """Start again what ended by itself, as a supervisor does: as when no database answers to one that starts."""
        for name, process in self.processes.items():
            if process.exitcode is not None and not (process.exitcode == 0 and name.startswith("client")):
                self.ended[name] += 1
                self.processes[name] = self._start(name)

    def _kill_process(self, name: str) -> None:
        process = self.processes[name]
        process.kill()
        process.join(_JOIN_SECONDS)
        self.processes[name] = self._start(name)

    def _kill_server(self, drawn: random.Random) -> None:
        assert self.server is not None
        if drawn.random() < 1 / 2:
            self.server.kill_backend(drawn)
        else:
            self.server.kill()
            self.server.start()


def find_port() -> int:
    """Find a port that is free."""
    with socket.socket() as bound:
        bound.bind((HOST, 0))
        return int(bound.getsockname()[1])
