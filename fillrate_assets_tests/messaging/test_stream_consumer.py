"""What a consumer does with a stream: one table of cases for every stream that it reads.

These are one in memory, the change table, a stream of DynamoDB, and the same with the handler of Lambda in between,
where the consumer stands in for the event source mapping.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fillrate_assets.aws import client
from fillrate_assets.core.errors import SourceUnavailable
from fillrate_assets.inventory.change_stream import STOCK_CHANGES, Moved, StockStream, append_changes
from fillrate_assets.messaging.dynamo_stream import DynamoStream
from fillrate_assets.messaging.lambda_batches import BatchMetrics, StreamBatches
from fillrate_assets.messaging.stream_batches import WHOLE
from fillrate_assets.messaging.stream_consumer import StreamConsumer
from fillrate_assets.messaging.stream_progress import ProgressStore
from fillrate_assets.messaging.streams import Failures, Shard, Slice, Stream, StreamRecord
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.factories.stock_changes import NOON, make_change
from fillrate_assets_tests.fixtures.embedded import create_database
from fillrate_assets_tests.fixtures.stream_client import StreamClient

LEASE = timedelta(seconds=15)
Process = Callable[[Sequence[StreamRecord]], Failures]


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

    stream: Stream
    database: Database
    fails: Callable[[int], bool] = lambda _: False
    kills: Callable[[int], bool] = lambda _: False
    now: datetime = NOON
    done: list[int] = field(default_factory=list)
    dead: dict[int, str] = field(default_factory=dict)
    trimmed: list[str] = field(default_factory=list)
    attempts: list[list[int]] = field(default_factory=list)
    started: int = 0
    wrap: Callable[[Process], Process] = lambda process: process

    def start(self) -> StreamConsumer:
        self.started += 1
        return StreamConsumer(
            self.stream,
            ProgressStore(self.database, f"process {self.started}", LEASE),
            self.wrap(self._process),
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


def invoke(process: Process) -> Process:
    """Process batches by a handler of Lambda; as for the mapping, one that ends has failed as a whole."""
    handler = StreamBatches(process, BatchMetrics("test"))

    def pass_on(records: Sequence[StreamRecord]) -> Failures:
        event = {"Records": [{**record.body, "eventID": record.event_id} for record in records]}
        try:
            response = handler(event)
        except KilledError:
            return {WHOLE: "the process ended"}
        return {int(each["itemIdentifier"]): SAID for each in response["batchItemFailures"]}

    return pass_on


SAID = "the function says so"


@dataclass
class Source:
    """A stream that a test fills, and what reads it."""

    name: str
    database: Database
    monkeypatch: pytest.MonkeyPatch
    memory: ListStream | StreamClient = field(default_factory=lambda: ListStream({}))

    def fill(self, shards: dict[str, list[int]], parents: dict[str, str] | None = None) -> None:
        if self.name == "change table":
            with self.database.begin() as connection:
                append_changes(connection, [Moved(make_change(seq)) for seq in shards["all"]])
        elif self.name == "memory":
            self.memory = ListStream(shards, parents or {})
        else:
            self.memory = made = StreamClient(NOON, shards, parents or {})
            self.monkeypatch.setattr(client, "get_client", lambda *_, **__: made)

    @property
    def stream(self) -> Stream:
        if self.name == "change table":
            return StockStream(self.database)
        return DynamoStream(self.memory.arn, 0) if isinstance(self.memory, StreamClient) else self.memory

    def start(self, **options: object) -> Processes:
        wrap = {"wrap": invoke} if self.name == "Lambda" else {}
        return Processes(self.stream, self.database, **wrap, **options)  # type: ignore[arg-type] # as processes have them

    def trim(self, below: int) -> None:
        self.memory.trimmed_below = below
        if self.name == "change table":
            with self.database.begin() as connection:
                connection.execute(STOCK_CHANGES.delete().where(STOCK_CHANGES.c.position < below))

    def explain(self, reason: str) -> str:
        """Return why a record is given up: of a function, it is only known that it failed."""
        return f"failed 6 times: {SAID if self.name == 'Lambda' else reason}"


SOURCES = ["memory", "change table", "DynamoDB", "Lambda"]


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest, database: Database, monkeypatch: pytest.MonkeyPatch) -> Source:
    return Source(request.param, database, monkeypatch)


@pytest.fixture(params=[name for name in SOURCES if name != "change table"])
def sharded(request: pytest.FixtureRequest, database: Database, monkeypatch: pytest.MonkeyPatch) -> Source:
    """A stream that has more than one shard."""
    return Source(request.param, database, monkeypatch)


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
        (4, [*range(1, 5)]),
        (25, [3, 14, 25]),
    ],
)
def test_only_poison_is_given_up_and_the_rest_is_done_in_order(source: Source, number: int, poison: list[int]) -> None:
    source.fill({"all": [*range(1, number + 1)]})
    processes = source.start(fails=lambda each: each in poison)
    processes.run()
    assert processes.dead == {each: source.explain(f"poison {each}") for each in poison}
    assert processes.done == [each for each in range(1, number + 1) if each not in poison]
    assert processes.start().run_once() == 0


@pytest.mark.parametrize("killer", [1, 4, 7, 10])
def test_a_record_that_ends_the_process_is_found_by_halves_and_given_up(source: Source, killer: int) -> None:
    source.fill({"all": [*range(1, 13)]})
    processes = source.start(kills=lambda each: each == killer)
    processes.run()
    assert processes.dead == {killer: "failed 6 times: the process ended"}
    assert sorted(processes.done) == [each for each in range(1, 13) if each != killer]
    assert processes.started <= 12


def test_a_stream_of_nothing_but_poison_is_read_to_its_end(database: Database) -> None:
    processes = Processes(ListStream({"all": [*range(1, 26)]}), database, fails=lambda _: True)
    processes.run()
    assert processes.dead == {each: f"failed 6 times: poison {each}" for each in range(1, 26)}
    assert processes.done == []


def test_a_bug_fails_one_record_and_not_the_stream(source: Source) -> None:
    def fails(each: int) -> bool:
        return bool(1 / (each - 1))  # not a number for 1, true for all others

    source.fill({"all": [1]})
    processes = source.start(fails=fails)
    processes.run()
    assert processes.dead == {1: "failed 6 times: ZeroDivisionError: division by zero"}


def test_a_system_that_does_not_answer_is_waited_for_and_costs_no_retry(source: Source) -> None:
    down = True

    def fails(_: int) -> bool:
        if down:
            msg = "the queue does not answer"
            raise SourceUnavailable(msg)
        return False

    source.fill({"all": [1, 2, 3]})
    processes = source.start(fails=fails)
    consumer = processes.start()
    for _ in range(20):
        with pytest.raises(SourceUnavailable, match="the queue does not answer"):
            consumer.run_once()
    down = False
    processes.run(consumer)
    assert (processes.done, processes.dead) == ([1, 2, 3], {})


def test_what_is_an_hour_old_is_given_up(source: Source) -> None:
    source.fill({"all": [1, 2]})
    processes = source.start(now=NOON + timedelta(minutes=61))
    processes.run()
    assert processes.dead == dict.fromkeys([1, 2], "not applied within 1 h")


def test_records_that_were_trimmed_are_reported(source: Source) -> None:
    source.fill({"all": [*range(1, 16)]})
    processes = source.start()
    consumer = processes.start()
    consumer.run_once()
    source.trim(13)
    processes.run(consumer)
    assert processes.done == [*range(1, 11), 13, 14, 15]
    assert processes.trimmed == ["all"] * 2


def test_records_that_are_trimmed_between_two_attempts_are_reported_too(source: Source) -> None:
    source.fill({"all": [1, 2, 3]})
    processes = source.start(fails=lambda each: each == 1)
    consumer = processes.start()
    consumer.run_once()
    source.trim(2)
    processes.run(consumer)
    assert processes.done == [2, 3]
    assert set(processes.trimmed) == {"all"}


def test_a_shard_that_was_split_is_done_before_its_parts(sharded: Source) -> None:
    sharded.fill({"old": [1, 2], "low": [3], "high": [4]}, {"low": "old", "high": "old"})
    processes = sharded.start()
    consumer = processes.run()
    assert processes.done == [1, 2]
    sharded.memory.closed.add("old")
    processes.run(consumer)
    assert consumer.run_once() + consumer.run_once() == 2
    assert processes.done == [1, 2, 3, 4]


@pytest.mark.parametrize(("closed", "trimmed"), [(set(), ["old"]), ({"old"}, [])])
def test_the_parts_of_a_shard_that_is_gone_are_read_and_what_it_had_left_is_reported(
    sharded: Source, closed: set[str], trimmed: list[str]
) -> None:
    sharded.fill({"old": [1, 2], "low": [3]}, {"low": "old"})
    sharded.memory.closed |= closed
    processes = sharded.start()
    consumer = processes.run()
    del sharded.memory.shards["old"]
    processes.run(consumer)
    processes.run()
    assert (processes.done, processes.trimmed) == ([1, 2, 3], trimmed)
    assert consumer.progress.list_shards(sharded.stream.name) == {"low": False}


def test_a_stream_of_dynamodb_goes_on_where_an_iterator_has_expired(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source("DynamoDB", database, monkeypatch)
    source.fill({"all": [1, 2]})
    processes = source.start()
    consumer = processes.run()
    assert isinstance(source.memory, StreamClient)
    source.memory.expired.add("all:2")
    source.memory.shards["all"].append(3)
    processes.run(consumer)
    assert (processes.done, source.memory.expired) == ([1, 2, 3], set())


def test_a_shard_has_one_reader_until_its_lease_ends(source: Source) -> None:
    source.fill({"all": [*range(1, 31)]})
    processes = source.start()
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
# The process ends at 3 once the batch has no retries left, which 2 has used up.
@example(number=3, poison={2}, killers=set(), trips={1, 13, 15})
def test_whatever_happens_every_record_is_done_or_given_up(
    tmp_path_factory: pytest.TempPathFactory, number: int, poison: set[int], killers: set[int], trips: set[int]
) -> None:
    """`trips`: the process ends at these calls, whatever the record, which may be the last attempt of its batch."""
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
    assert never <= processes.dead.keys()
    others = processes.dead.keys() - never
    assert bool(trips) >= bool(others)
    assert all(processes.dead[each].endswith("the process ended") for each in others)
    assert set(range(1, number + 1)) - processes.dead.keys() <= set(processes.done)
