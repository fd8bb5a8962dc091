"""Killing of processes and of the database server, at random; each is started again, some after an outage."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
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
from fillrate_assets_tests.soak.place import Kind, Place, Workload

_SERVER: Final = "server"
_SERVER_WEIGHT: Final = 3
_OUTAGE_SHARE: Final = 1 / 3
_JOIN_SECONDS: Final = 20


@dataclass
class Soak:
    """Processes that are killed and started again, on one record store and one queue."""

    workload: Workload
    place: Place
    server: Postgres | None = None
    """Of the databases; None for files of SQLite."""

    seed: int = 1
    killed: Counter[str] = field(default_factory=Counter)
    """How often what was killed."""

    ended: Counter[str] = field(default_factory=Counter)
    """How often a process ended by itself, by its name."""

    processes: dict[str, BaseProcess] = field(default_factory=dict)
    gone_until: dict[str, float] = field(default_factory=dict)
    """Until when processes stay away, by name."""

    @contextmanager
    def run(self) -> Iterator[None]:
        """Start everything; nothing is left afterwards."""
        Database(self.place.records).upgrade()
        with DbosQueue(self.place.jobs) as queue:
            queue.prepare()
        self.workload.prepare(self.place)
        names = [f"{name}-{number}" for name, kind in self.workload.kinds.items() for number in range(kind.number)]
        try:
            for name in names:
                self.processes[name] = self._start(name)
            yield
        finally:
            for process in self.processes.values():
                process.kill()
                process.join(_JOIN_SECONDS)

    def kill(self, kills: int, seconds: float, *, pause: float) -> None:
        """Kill so often, or until the time is up, once clients are answered.

        Args:
            kills: how many.
            seconds: for how long at most.
            pause: seconds between two of them, in the mean.

        """
        wait_until(self.place.read_acknowledged)
        drawn, give_up = random.Random(self.seed), time.monotonic() + seconds  # noqa: S311 - a simulation
        weights = {name: kind.weight for name, kind in self.workload.kinds.items()}
        if self.server is not None:
            weights[_SERVER] = _SERVER_WEIGHT
        while self.killed.total() < kills and time.monotonic() < give_up:
            time.sleep(drawn.expovariate(1 / pause))
            (kind,) = drawn.choices([*weights], [*weights.values()])
            if kind == _SERVER:
                self._kill_server(drawn)
            else:
                self._kill_process(drawn.choice([each for each in self.processes if _find_kind(each) == kind]), drawn)
            self.killed[kind] += 1
            self._revive()

    def finish(self, seconds: float) -> None:
        """Let clients end and workers do what is left; each that died in between is started again.

        Raises:
            AssertionError: work is left when the time is up.

        """
        self.place.end()
        self.gone_until.clear()
        give_up, left = time.monotonic() + seconds, -1
        while left != 0:
            assert time.monotonic() < give_up, f"{left} jobs are left"
            time.sleep(0.2)
            clients = [each for name, each in self.processes.items() if self._get_kind(name).is_client]
            self._revive()
            with suppress(SourceUnavailable):
                left = self.workload.count_left(self.place) + sum(each.is_alive() for each in clients)

    def _get_kind(self, name: str) -> Kind:
        return self.workload.kinds[_find_kind(name)]

    def _start(self, name: str) -> BaseProcess:
        return forked.start(self._get_kind(name).run, self.place, name)

    def _revive(self) -> None:
        """Start again what ended by itself or was gone, as a supervisor does."""
        for name, process in self.processes.items():
            if process.exitcode is None or (process.exitcode == 0 and self._get_kind(name).is_client):
                continue
            if time.monotonic() >= self.gone_until.get(name, 0):
                self.ended[name] += process.exitcode >= 0
                self.processes[name] = self._start(name)

    def _kill_process(self, name: str, drawn: random.Random) -> None:
        process = self.processes[name]
        process.kill()
        process.join(_JOIN_SECONDS)
        longest = self._get_kind(name).longest_outage_seconds
        if longest and drawn.random() < _OUTAGE_SHARE:
            self.gone_until[name] = time.monotonic() + drawn.uniform(0, longest)

    def _kill_server(self, drawn: random.Random) -> None:
        assert self.server is not None
        if drawn.random() < 1 / 2:
            self.server.kill_backend(drawn)
        else:
            self.server.kill()
            self.server.start()


def _find_kind(name: str) -> str:
    return name.rpartition("-")[0]
