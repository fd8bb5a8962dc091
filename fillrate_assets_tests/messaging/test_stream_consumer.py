"""What a consumer does with a stream: one table of cases for every stream that it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fillrate_assets.core.errors import SourceUnavailable
from fillrate_assets.messaging.stream_consumer import StreamConsumer
from fillrate_assets.messaging.stream_progress import ProgressStore
from fillrate_assets.messaging.streams import Shard, Slice, StreamRecord
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.factories.stock_changes import NOON
from fillrate_assets_tests.fixtures.embedded import create_database

LEASE = timedelta(seconds=15)


class KilledError(BaseException):
    """The process ends here."""


@dataclass
class ListStream:
    """A stream in memory; records can be trimmed, shards closed."""

    shards: dict[str, list[int]]
    parents: dict[str, str] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    trimmed_below: int = 0
    name: str = "list"

    def list_shards(self) -> Sequence[Shard]:
        return [Shard(name, self.parents.get(name)) for name in self.shards]

    def read(self, shard: Shard, after: int, limit: int) -> Slice:
        mine = self.shards[shard.name]
        left = [each for each in mine if each > after and each >= self.trimmed_below]
        lost = any(after < each < self.trimmed_below for each in mine)
        records = [StreamRecord(each, NOON, {"number": each}) for each in left[:limit]]
        return Slice(records, shard.name in self.closed and len(records) == len(left), lost)


@dataclass
class Processes:
    """Consumers one after the other: each is another process, as the one before ended."""

    stream: ListStream
    database: Database
    fails: Callable[[int], bool] = lambda _: False
    kills: Callable[[int], bool] = lambda _: False
    now: datetime = NOON
    done: list[int] = field(default_factory=list)
    dead: dict[int, str] = field(default_factory=dict)
    trimmed: list[str] = field(default_factory=list)
    attempts: list[list[int]] = field(default_factory=list)
    started: int = 0

    def start(self) -> StreamConsumer:
        self.started += 1
        return StreamConsumer(
            self.stream,
            ProgressStore(self.database, f"process {self.started}", LEASE),
            self._process,
            lambda record, reason: self.dead.update({record.sequence: reason}),
            lambda shard: self.trimmed.append(shard.name),
            lambda: self.now,
        )

    def run(self, consumer: StreamConsumer | None = None, most: int = 500) -> StreamConsumer:
        """Run until nothing is left; a process that ends is replaced when its lease has."""
        consumer = consumer or self.start()
        for _ in range(most):
            try:
                if consumer.run_once() == 0:
                    return consumer
            except KilledError:
                self.now += LEASE + timedelta(seconds=1)
                consumer = self.start()
        msg = f"not done after {most} attempts: {self.attempts[-5:]}"
        raise AssertionError(msg)

    def _process(self, records: Sequence[StreamRecord]) -> Mapping[int, str]:
        self.attempts.append([record.sequence for record in records])
        failed: dict[int, str] = {}
        for record in records:
            if self.kills(record.sequence):
                raise KilledError
            if self.fails(record.sequence):
                failed[record.sequence] = f"poison {record.sequence}"
            elif record.sequence not in self.done:
                self.done.append(record.sequence)
        return failed


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return create_database(f"sqlite:///{tmp_path}/progress.db")


@pytest.mark.parametrize(
    ("number", "poison"),
    [
        (0, []),
        (1, []),
        (10, []),
        (25, []),
        (10, [1]),
        (10, [5]),
        (10, [10]),
        (1, [1]),
        (25, [*range(1, 26)]),
        (25, [3, 14, 25]),
    ],
)
def test_only_poison_is_given_up_and_the_rest_is_done_in_order(
    database: Database, number: int, poison: list[int]
) -> None:
    processes = Processes(ListStream({"all": [*range(1, number + 1)]}), database, fails=lambda each: each in poison)
    processes.run()
    assert processes.dead == {each: f"failed 6 times: poison {each}" for each in poison}
    assert processes.done == [each for each in range(1, number + 1) if each not in poison]
    assert processes.start().run_once() == 0


@pytest.mark.parametrize("killer", [1, 4, 7, 10])
def test_a_record_that_ends_the_process_is_found_by_halves_and_given_up(database: Database, killer: int) -> None:
    processes = Processes(ListStream({"all": [*range(1, 13)]}), database, kills=lambda each: each == killer)
    processes.run()
    assert processes.dead == {killer: "failed 6 times: the process ended"}
    assert sorted(processes.done) == [each for each in range(1, 13) if each != killer]
    assert processes.started <= 12


def test_a_bug_fails_one_record_and_not_the_stream(database: Database) -> None:
    def fails(each: int) -> bool:
        return bool(1 / (each - 4))  # not a number for 4, true for all others

    processes = Processes(ListStream({"all": [4]}), database, fails=fails)
    processes.run()
    assert processes.dead == {4: "failed 6 times: ZeroDivisionError: division by zero"}


def test_a_system_that_does_not_answer_is_waited_for_and_costs_no_retry(database: Database) -> None:
    down = True

    def fails(_: int) -> bool:
        if down:
            msg = "the queue does not answer"
            raise SourceUnavailable(msg)
        return False

    processes = Processes(ListStream({"all": [1, 2, 3]}), database, fails=fails)
    consumer = processes.start()
    for _ in range(20):
        with pytest.raises(SourceUnavailable, match="the queue does not answer"):
            consumer.run_once()
    down = False
    processes.run(consumer)
    assert (processes.done, processes.dead) == ([1, 2, 3], {})


def test_what_is_an_hour_old_is_given_up(database: Database) -> None:
    processes = Processes(ListStream({"all": [1, 2]}), database, now=NOON + timedelta(minutes=61))
    processes.run()
    assert processes.dead == dict.fromkeys([1, 2], "not applied within 1 h")


def test_records_that_were_trimmed_are_reported(database: Database) -> None:
    stream = ListStream({"all": [*range(1, 16)]})
    processes = Processes(stream, database)
    consumer = processes.start()
    consumer.run_once()
    stream.trimmed_below = 13
    processes.run(consumer)
    assert processes.done == [*range(1, 11), 13, 14, 15]
    assert processes.trimmed == ["all"] * 2


def test_records_that_are_trimmed_between_two_attempts_are_reported_too(database: Database) -> None:
    stream = ListStream({"all": [1, 2, 3]})
    processes = Processes(stream, database, fails=lambda each: each == 1)
    consumer = processes.start()
    consumer.run_once()
    stream.trimmed_below = 2
    processes.run(consumer)
    assert processes.done == [2, 3]
    assert set(processes.trimmed) == {"all"}


def test_a_shard_that_was_split_is_done_before_its_parts(database: Database) -> None:
    stream = ListStream({"old": [1, 2], "low": [3], "high": [4]}, {"low": "old", "high": "old"})
    processes = Processes(stream, database)
    consumer = processes.run()
    assert processes.done == [1, 2]
    stream.closed.add("old")
    processes.run(consumer)
    assert consumer.run_once() + consumer.run_once() == 2
    assert processes.done == [1, 2, 3, 4]


def test_a_shard_has_one_reader_until_its_lease_ends(database: Database) -> None:
    processes = Processes(ListStream({"all": [*range(1, 31)]}), database)
    first, second = processes.start(), processes.start()
    assert first.run_once() == 10
    assert second.run_once() == 0
    processes.now += LEASE + timedelta(seconds=1)
    assert second.run_once() == 10
    # Slow, and not ended: what it does now is lost.
    assert first.run_once() == 0
    processes.run(second)
    assert processes.done == [*range(1, 31)]
    assert sorted(each for batch in processes.attempts for each in batch) == [*range(1, 31)]


def test_a_reader_that_is_overtaken_in_the_middle_stores_nothing(database: Database) -> None:
    processes = Processes(ListStream({"all": [1, 2]}), database)
    slow = processes.start()

    def overtake(each: int) -> bool:
        if each == 1 and processes.started == 1:
            processes.now += LEASE + timedelta(seconds=1)
            processes.run()
        return False

    processes.fails = overtake
    assert slow.run_once() == 0
    assert processes.attempts == [[1, 2], [1], [2]]
    assert (processes.done, processes.dead) == ([1, 2], {})


@settings(max_examples=25)
@given(
    number=st.integers(1, 30),
    poison=st.sets(st.integers(1, 30), max_size=4),
    killers=st.sets(st.integers(1, 30), max_size=2),
    trips=st.sets(st.integers(1, 60), max_size=6),
)
def test_whatever_happens_every_record_is_done_or_given_up(
    tmp_path_factory: pytest.TempPathFactory, number: int, poison: set[int], killers: set[int], trips: set[int]
) -> None:
    """`trips`: the process ends at these calls, whatever the record."""
    calls = 0

    def kills(each: int) -> bool:
        nonlocal calls
        calls += 1
        return each in killers or calls in trips

    database = create_database(f"sqlite:///{tmp_path_factory.mktemp('progress')}/progress.db")
    processes = Processes(
        ListStream({"all": [*range(1, number + 1)]}), database, fails=lambda each: each in poison, kills=kills
    )
    processes.run()
    never = {each for each in poison | killers if each <= number}
    assert never == processes.dead.keys()
    assert set(range(1, number + 1)) - never <= set(processes.done)
