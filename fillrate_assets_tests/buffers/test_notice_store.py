"""Notices through the outbox: nothing is lost, nothing is sent twice, nothing is sent late."""

from __future__ import annotations

import logging
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest
import sqlalchemy as sa
from polars.testing import assert_frame_equal
from sqlalchemy.exc import OperationalError

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.notice_store import NOTICES, UNDELIVERED_NOTICES, NoticeStore
from fillrate_assets.buffers.rules import notification_routing
from fillrate_assets.core.errors import FillrateError, PermanentFailure, SourceUnavailable
from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.notifications.delivery import DeliveryResult, RetrySchedule
from fillrate_assets.notifications.notifiers.channel import ChannelUnavailable, OutgoingMessage
from fillrate_assets.notifications.notifiers.dispatch import Notifiers
from fillrate_assets.notifications.outbox import OUTBOX, MessageQueue, Send
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.factories import buffers_frames
from fillrate_assets_tests.factories.buffers_frames import POLICY, Row, make_tick
from fillrate_assets_tests.fixtures import sending_process
from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS
from fillrate_assets_tests.fixtures.receiver import Answer, Receiver, start_receiver
from fillrate_assets_tests.fixtures.sending_process import LIFETIME, End, Job, render
from fillrate_assets_tests.fixtures.transactions import watch_transactions

NOW: Final = make_tick(0)
SOON: Final = NOW + timedelta(seconds=5)
SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - of tests
NONE_UNDELIVERED: Final = schema.UNDELIVERED_NOTICES.make_empty().collect()

Failures = dict[str, list[Exception]]


@pytest.fixture
def outbox(store: RecordStore) -> NoticeStore:
    return NoticeStore(store.database)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with start_receiver() as made:
        yield made


def _read_notices(letter: OutgoingMessage) -> pl.DataFrame:
    """`NOTICES` of a message, as its event has them."""
    assert letter.message.event is not None
    rows = pl.DataFrame(letter.message.event["data"]["notices"], infer_schema_length=None)
    moments = [pl.col(name).str.to_datetime(time_unit="us", time_zone="UTC") for name in ("snapshot_ts", "until_ts")]
    read = rows.select(schema.NOTICES.names).with_columns(pl.col("ship_date").str.to_date(), *moments)
    return schema.NOTICES.conform(read.lazy()).sort("notice_id").collect()


@dataclass
class Sender:
    """Sends nowhere and remembers; by channel, it fails with what is planned first."""

    failures: Failures = field(default_factory=dict)
    letters: list[OutgoingMessage] = field(default_factory=list)

    def __call__(self, letter: OutgoingMessage) -> None:
        self.letters.append(letter)
        if planned := self.failures.get(letter.channel):
            raise planned.pop(0)

    @property
    def attempted(self) -> list[tuple[str, list[str]]]:
        """Channels and notices of what was attempted, in an order of its own."""
        return sorted((letter.channel, _read_notices(letter)["notice_id"].to_list()) for letter in self.letters)


def make_notices(*rows: Row) -> pl.DataFrame:
    return buffers_frames.make_notices(
        *[{"notice_id": f"N{number}", **row} for number, row in enumerate(rows, start=1)]
    )


def write(
    outbox: NoticeStore, notices: pl.DataFrame, lost: pl.DataFrame = NONE_UNDELIVERED, now: datetime = NOW
) -> None:
    outbox.write(notices, lost, render=render, lifetime=LIFETIME, now=now)


def write_rows(outbox: NoticeStore, *rows: Row, now: datetime = NOW) -> None:
    write(outbox, make_notices(*rows), now=now)


def deliver(outbox: NoticeStore, send: Send, now: datetime = NOW, **more: Any) -> DeliveryResult:  # noqa: ANN401 - of NoticeStore.deliver
    return outbox.deliver(send, now=now, **more)


def select_rows(outbox: NoticeStore, table: sa.Table, *names: str) -> list[tuple[Any, ...]]:
    engine = outbox.database.engine
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.select(*[table.c[name] for name in names]).order_by("id"))]


# --- what is written


def test_what_is_written_is_read_back_as_it_was(outbox: NoticeStore) -> None:
    words = "Zürich: 1 > 0\n\ttab \\ " * 200
    written = make_notices(
        {"explanation": words, "quantity": 1 / 3, "reason": "ESCALATED"},
        {"quantity": None, "explanation": None, "until_ts": None, "channel": "slack:floor", "target_unit": words},
    )
    write(outbox, written)
    assert_frame_equal(outbox.read_for_alerts(buffers_frames.make_alerts({})).sort("notice_id"), written)


def test_of_other_episodes_nothing_is_read(outbox: NoticeStore) -> None:
    write_rows(outbox, {}, {"episode": 2}, {"unit_id": "W1_PACK_TOTAL"}, {"direction": "STARVATION"})
    assert outbox.read_for_alerts(buffers_frames.make_alerts({}))["notice_id"].to_list() == ["N1"]
    assert outbox.read_for_alerts(buffers_frames.make_alerts({"episode": 3})).is_empty()
    assert outbox.read_for_alerts(buffers_frames.make_alerts()).is_empty()
    schema.NOTICES.validate(outbox.read_for_alerts(buffers_frames.make_alerts()))


def test_an_action_that_changes_stays_in_its_episode(outbox: NoticeStore) -> None:
    write_rows(outbox, {}, {"action": "THROTTLE"})
    assert outbox.read_for_alerts(buffers_frames.make_alerts({}))["notice_id"].to_list() == ["N1", "N2"]


def test_more_episodes_than_a_statement_names_are_found(outbox: NoticeStore) -> None:
    units = [{"unit_id": f"W{number}_PICK_TOTAL"} for number in range(1200)]
    write_rows(outbox, *units)
    write_rows(outbox, *units)
    assert outbox.read_for_alerts(buffers_frames.make_alerts(*units)).height == 1200


def test_what_is_written_again_is_there_once_for_each_channel_and_logged_once(
    outbox: NoticeStore, caplog: pytest.LogCaptureFixture
) -> None:
    lost = NONE_UNDELIVERED.vstack(
        make_notices({}).drop("channel").with_columns(problem=pl.lit("No row")).select(schema.UNDELIVERED_NOTICES.names)
    )
    for minutes in range(3):
        at = NOW + timedelta(minutes=minutes)
        write(outbox, make_notices({}, {}, {"notice_id": "N1", "channel": "slack:floor"}), lost, now=at)
    assert select_rows(outbox, NOTICES, "notice_id", "channel", "created_at") == [
        (notice, channel, NOW.replace(tzinfo=None))
        for notice, channel in (("N1", "console"), ("N1", "slack:floor"), ("N2", "console"))
    ]
    assert select_rows(outbox, UNDELIVERED_NOTICES, "notice_id", "channel", "problem") == [("N1", "", "No row")]
    assert [each.message for each in caplog.records if each.levelno == logging.ERROR] == ["N1: No row"]


def test_of_two_processes_that_write_the_same_each_notice_is_there_once(outbox: NoticeStore) -> None:
    barrier = threading.Barrier(2)

    def write_from(first: int) -> None:
        shared = make_notices(*[{"notice_id": f"N{number}"} for number in range(first, first + 20)])
        barrier.wait(PATIENCE_SECONDS)
        write(outbox, shared)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write_from, (0, 10)))
    assert sorted(name for (name,) in select_rows(outbox, NOTICES, "notice_id")) == sorted(f"N{n}" for n in range(30))


def test_an_absent_store_is_reported(tmp_path: Path) -> None:
    with pytest.raises(PermanentFailure, match=r"^notices: there is no .*absent.db; run"):
        NoticeStore(Database(f"sqlite:///{tmp_path}/absent.db")).read_for_alerts(buffers_frames.make_alerts({}))


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_an_index_finds_what_every_tick_queries(outbox: NoticeStore, store: RecordStore) -> None:
    statements: list[tuple[str, Any]] = []

    def sent(_connection: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        if statement.startswith("SELECT") and re.search("FROM (notices|outbox)", statement):
            statements.append((statement, parameters))

    sa.event.listen(store.database.engine, "before_cursor_execute", sent)
    write_rows(outbox, {})
    outbox.read_for_alerts(buffers_frames.make_alerts({}))
    deliver(outbox, Sender())
    sa.event.remove(store.database.engine, "before_cursor_execute", sent)
    assert len(statements) == 5
    with store.database.engine.connect() as connection:
        for statement, parameters in statements:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            assert not any(step.detail.startswith("SCAN") for step in plan), statement
            assert any("USING INDEX" in step.detail for step in plan), statement


# --- what is sent


def test_a_message_per_warehouse_channel_and_tick(outbox: NoticeStore) -> None:
    other = {"channel": "slack:a"}
    write_rows(outbox, {}, {}, other, {"warehouse": "W2"}, {"snapshot_ts": make_tick(1)})
    send = Sender()
    assert deliver(outbox, send, make_tick(1)) == DeliveryResult(sent=4)
    assert send.attempted == [("console", ["N1", "N2"]), ("console", ["N4"]), ("console", ["N5"]), ("slack:a", ["N3"])]
    assert len({letter.message_id for letter in send.letters}) == 4
    assert all("." not in letter.message_id for letter in send.letters)
    for letter in send.letters:
        schema.NOTICES.validate(_read_notices(letter))


def test_what_is_sent_is_marked_and_not_sent_again(outbox: NoticeStore) -> None:
    write_rows(outbox, {})
    deliver(outbox, Sender())
    write_rows(outbox, {})
    again = Sender()
    assert deliver(outbox, again, make_tick(1)) == DeliveryResult()
    assert again.letters == []
    ((sent_at, attempts, next_attempt_at, failure),) = select_rows(
        outbox, OUTBOX, "sent_at", "attempts", "next_attempt_at", "failure"
    )
    assert sent_at >= NOW.replace(tzinfo=None)
    assert (attempts, next_attempt_at, failure) == (1, None, None)


def test_what_a_tick_adds_later_is_a_message_of_its_own(outbox: NoticeStore) -> None:
    send = Sender()
    write_rows(outbox, {})
    deliver(outbox, send)
    write_rows(outbox, {}, {})
    deliver(outbox, send)
    assert send.attempted == [("console", ["N1"]), ("console", ["N2"])]
    assert len({letter.message_id for letter in send.letters}) == 2


def test_a_tick_sends_what_is_new_and_its_repetition_nothing(outbox: NoticeStore) -> None:
    """The rules, the outbox and the sending together."""
    send = Sender()
    for _ in range(2):
        alerts, recommended, routes = (
            buffers_frames.make_alerts({}),
            buffers_frames.make_recommendations({}),
            buffers_frames.make_routes({}),
        )
        sent = outbox.read_for_alerts(alerts)
        due, lost = notification_routing.route_notices(alerts, recommended, routes, sent, now=NOW, policy=POLICY)
        write(outbox, due, lost, now=NOW)
        deliver(outbox, send)
    assert [notices for _, notices in send.attempted] == [["W1_PICK_TOTAL.OVERFLOW.1.1"]]


# --- what fails


def test_what_may_pass_is_tried_again_ever_later(outbox: NoticeStore) -> None:
    write_rows(outbox, {})
    send = Sender({"console": [SourceUnavailable("answered 500")] * 3})
    now = NOW
    for attempt, seconds in enumerate((5, 10, 20), start=1):
        done = deliver(outbox, send, now)
        assert done.next_attempt_at is not None
        assert done == DeliveryResult(failed=1, next_attempt_at=done.next_attempt_at)
        waited = done.next_attempt_at - now
        assert timedelta(seconds=seconds) <= waited
        assert select_rows(outbox, OUTBOX, "attempts", "failure") == [(attempt, "answered 500")]
        # Not before it is due.
        assert deliver(outbox, send, done.next_attempt_at - timedelta(seconds=seconds)) == DeliveryResult()
        now = done.next_attempt_at
    assert deliver(outbox, send, now) == DeliveryResult(sent=1)
    assert len({letter.message_id for letter in send.letters}) == 1
    assert len(send.letters) == 4


def test_a_channel_that_wants_a_pause_gets_it_and_others_go_on(outbox: NoticeStore) -> None:
    many: list[Row] = [
        {"warehouse": f"W{n}", "channel": channel} for n in range(3) for channel in ("slack:a", "slack:b")
    ]
    write_rows(outbox, *many)
    send = Sender({"slack:a": [ChannelUnavailable("answered 429", timedelta(minutes=2))]})
    done = deliver(outbox, send)
    assert (done.sent, done.failed, done.given_up) == (3, 1, 0)
    assert Counter(channel for channel, _ in send.attempted) == {"slack:a": 1, "slack:b": 3}
    assert done.next_attempt_at is not None
    assert done.next_attempt_at >= NOW + timedelta(minutes=2)
    assert deliver(outbox, send, NOW + timedelta(minutes=1)) == DeliveryResult()
    assert deliver(outbox, send, done.next_attempt_at) == DeliveryResult(sent=3)


def test_a_message_that_fails_alone_blocks_no_other(outbox: NoticeStore) -> None:
    write_rows(outbox, {"warehouse": "W1"}, {"warehouse": "W2"})
    send = Sender({"console": [SourceUnavailable("answered 500")]})
    done = deliver(outbox, send)
    assert (done.sent, done.failed) == (1, 1)


def test_what_is_refused_is_a_dead_letter_and_not_tried_again(
    outbox: NoticeStore, caplog: pytest.LogCaptureFixture
) -> None:
    write_rows(outbox, {}, {}, {"warehouse": "W2"})
    send = Sender({"console": [PermanentFailure("refused with 404")]})
    assert deliver(outbox, send) == DeliveryResult(sent=1, given_up=1)
    assert deliver(outbox, send, make_tick(1)) == DeliveryResult()
    refused = ["N1", "N2"] if len(send.letters[0].message.sections) == 2 else ["N3"]
    assert select_rows(outbox, UNDELIVERED_NOTICES, "notice_id", "channel", "problem") == [
        (name, "console", "refused with 404") for name in refused
    ]
    (warned,) = [each.message for each in caplog.records if each.levelno == logging.ERROR]
    assert "to console is given up: refused with 404" in warned


def test_what_was_given_up_takes_a_new_start_if_it_is_still_to_act_on(outbox: NoticeStore) -> None:
    send = Sender({"slack:typo": [PermanentFailure("is not known")]})
    write_rows(outbox, {"channel": "slack:typo"})
    deliver(outbox, send)
    assert outbox.read_for_alerts(buffers_frames.make_alerts({})).is_empty()
    write_rows(outbox, {"channel": "slack:typo", "snapshot_ts": make_tick(1)}, now=make_tick(1))
    assert outbox.read_for_alerts(buffers_frames.make_alerts({}))["snapshot_ts"].to_list() == [make_tick(1)]
    assert deliver(outbox, send, make_tick(1)) == DeliveryResult(sent=1)
    assert len({letter.message_id for letter in send.letters}) == 2
    assert len(select_rows(outbox, NOTICES, "id")) == len(select_rows(outbox, UNDELIVERED_NOTICES, "id")) == 1


@pytest.mark.parametrize(
    ("age", "goes"), [(LIFETIME - timedelta(minutes=1), True), (LIFETIME + timedelta(seconds=1), False)]
)
def test_nothing_is_sent_that_is_too_old(outbox: NoticeStore, age: timedelta, *, goes: bool) -> None:
    write_rows(outbox, {})
    send = Sender()
    done = deliver(outbox, send, NOW + age)
    assert done == (DeliveryResult(sent=1) if goes else DeliveryResult(given_up=1))
    assert len(send.letters) == goes
    problems = select_rows(outbox, UNDELIVERED_NOTICES, "notice_id", "channel", "problem")
    assert problems == ([] if goes else [("N1", "console", "it was not sent in time")])
    assert select_rows(outbox, OUTBOX, "attempts") == [(goes,)]
    assert deliver(outbox, send, NOW + 2 * LIFETIME) == DeliveryResult()


def test_what_cannot_be_tried_again_in_time_is_given_up_at_once_and_what_waits_behind_it_in_time(
    outbox: NoticeStore,
) -> None:
    write_rows(outbox, {"warehouse": "W1"}, {"warehouse": "W2"})
    send = Sender({"console": [ChannelUnavailable("answered 429", timedelta(hours=1))]})
    assert deliver(outbox, send) == DeliveryResult(given_up=1)
    assert deliver(outbox, send, NOW + LIFETIME / 2) == DeliveryResult()
    assert deliver(outbox, send, NOW + LIFETIME + timedelta(seconds=1)) == DeliveryResult(given_up=1)
    assert len(send.letters) == 1
    assert sorted(problem for (problem,) in select_rows(outbox, UNDELIVERED_NOTICES, "problem")) == [
        "it could not be sent in time: answered 429",
        "it was not sent in time",
    ]


def test_a_delivery_that_may_wait_goes_on_until_it_is_sent(outbox: NoticeStore) -> None:
    hurried = replace(outbox, schedule=RetrySchedule(first_retry_seconds=0.01))
    write_rows(hurried, {})
    send = Sender({"console": [SourceUnavailable("answered 500")] * 3})
    assert deliver(hurried, send, retry_for=timedelta(minutes=1)) == DeliveryResult(sent=1, failed=3)


def test_a_round_ends(outbox: NoticeStore) -> None:
    brief = replace(outbox, schedule=RetrySchedule(round_seconds=0))
    write_rows(brief, {})
    assert deliver(brief, Sender()) == DeliveryResult(left=1)
    assert deliver(outbox, Sender()) == DeliveryResult(sent=1)


def test_a_slow_channel_holds_up_no_other(outbox: NoticeStore) -> None:
    write_rows(outbox, {"channel": "slow"}, {"channel": "quick"}, {"channel": "quick", "warehouse": "W2"})
    arrived = threading.Semaphore(0)

    def send(letter: OutgoingMessage) -> None:
        if letter.channel == "quick":
            arrived.release()
        else:
            assert all(arrived.acquire(timeout=60) for _ in range(2))

    assert deliver(outbox, send) == DeliveryResult(sent=3)


def test_an_error_of_ours_in_one_channel_leaves_the_others_alone(outbox: NoticeStore) -> None:
    write_rows(outbox, {"channel": "a"}, {"channel": "b"})
    send = Sender({"a": [ZeroDivisionError()]})
    with pytest.raises(ZeroDivisionError):
        deliver(outbox, send)
    assert {channel for channel, _ in send.attempted} == {"a", "b"}
    assert sorted(at is not None for (at,) in select_rows(outbox, OUTBOX, "sent_at")) == [False, True]
    # It is leased, and tried again when the lease has run out.
    assert deliver(outbox, send, SOON) == DeliveryResult()
    assert deliver(outbox, send, NOW + timedelta(minutes=2)) == DeliveryResult(sent=1)


def test_an_error_of_ours_leaves_alone_the_channels_that_wait_for_a_thread(outbox: NoticeStore) -> None:
    brief = replace(outbox, schedule=replace(outbox.schedule, channels=1))
    channels = [f"channel {number:02}" for number in range(20)]
    write_rows(brief, *[{"channel": channel} for channel in channels])
    send = Sender({channels[0]: [ZeroDivisionError()]})
    with pytest.raises(ZeroDivisionError):
        deliver(brief, send)
    assert [channel for channel, _ in send.attempted] == channels


def test_a_store_that_fails_when_a_message_is_marked_is_tried_again(
    outbox: NoticeStore, store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MessageQueue.mark_sent.retry, "sleep", lambda _: None)
    failures = [True, True]

    def fail(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("UPDATE") and "sent_at=" in statement.partition("WHERE")[0] and failures:
            failures.pop()
            raise OperationalError(statement, None, OSError("gone"))

    sa.event.listen(store.database.engine, "before_cursor_execute", fail)
    try:
        write_rows(outbox, {})
        assert deliver(outbox, Sender()) == DeliveryResult(sent=1)
    finally:
        sa.event.remove(store.database.engine, "before_cursor_execute", fail)
    assert failures == []
    assert deliver(outbox, Sender(), NOW + timedelta(minutes=2)) == DeliveryResult()


@pytest.mark.parametrize("failure", [None, SourceUnavailable("answered 500"), PermanentFailure("refused")], ids=repr)
def test_no_transaction_is_open_while_a_message_is_on_its_way(
    outbox: NoticeStore, failure: FillrateError | None
) -> None:
    attempted = []

    def send(letter: OutgoingMessage) -> None:
        attempted.append(letter.channel)
        assert transactions.open_now == 0
        if failure is not None:
            raise failure

    write_rows(outbox, {})
    with watch_transactions(outbox.database.engine) as transactions:
        deliver(outbox, send)
        ping(outbox, send, NOW)
    assert attempted == ["console", "slack:platform"]


# --- over real HTTP, in real processes


def _hook(receiver: Receiver, names: Sequence[str] = ("floor",)) -> Notifiers:
    return Notifiers({name: f"{receiver.url}/{name}" for name in names}, SECRET, whole_seconds=5)


@pytest.mark.parametrize("failure", [Answer(503), Answer(429, {"Retry-After": "0"}), Answer(fault="cut")], ids=repr)
def test_a_server_that_recovers_gets_a_message_once(outbox: NoticeStore, receiver: Receiver, failure: Answer) -> None:
    hurried = replace(outbox, schedule=RetrySchedule(first_retry_seconds=0.01))
    receiver.answers["/floor"] = [failure, failure, Answer()]
    write_rows(hurried, {"channel": "webhook:floor"})
    done = deliver(hurried, _hook(receiver).send, retry_for=timedelta(minutes=1))
    assert done == DeliveryResult(sent=1, failed=2)
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    assert len(receiver.requests) == 3


def test_no_secret_is_stored_with_a_failure(outbox: NoticeStore, receiver: Receiver) -> None:
    receiver.answers["/hunter2"] = [Answer(404)]
    write_rows(outbox, {"channel": "slack:floor"}, {"channel": "slack:away"})
    urls = {"floor": f"{receiver.url}/hunter2", "away": "http://127.0.0.1:1/hunter2"}
    done = deliver(outbox, Notifiers(urls).send)
    assert (done.failed, done.given_up) == (1, 1)
    stored = select_rows(outbox, OUTBOX, "failure") + select_rows(outbox, UNDELIVERED_NOTICES, "problem")
    assert sorted(text for (text,) in stored) == [
        "channel slack:away cannot be reached: ConnectError",
        "channel slack:floor refused with 404: its URL is not valid any more",
        "channel slack:floor refused with 404: its URL is not valid any more",
    ]
    assert "hunter2" not in repr(outbox)


@pytest.mark.parametrize(
    ("dies", "before", "soon", "later"),
    [
        pytest.param("written", 0, 1, 1, id="between the outbox and the sending: it is sent"),
        pytest.param("leased", 0, 0, 1, id="as it is about to send: it is sent when its lease has run out"),
        pytest.param("sent", 1, 1, 2, id="between the sending and its mark: it is sent again under its id"),
    ],
)
def test_a_process_that_is_killed_loses_nothing_and_repeats_one_message_at_most(
    outbox: NoticeStore, receiver: Receiver, *, dies: End, before: int, soon: int, later: int
) -> None:
    notifiers = _hook(receiver)
    written = make_notices({"channel": "webhook:floor"}, {"channel": "webhook:floor"})
    assert sending_process.run([Job(outbox, notifiers, written, NOW, dies)]) == [-signal.SIGKILL]
    assert len(receiver.requests) == before
    deliver(outbox, notifiers.send, SOON)
    assert len(receiver.requests) == soon
    deliver(outbox, notifiers.send, NOW + timedelta(minutes=2))
    deliver(outbox, notifiers.send, NOW + timedelta(minutes=9))
    assert len(receiver.requests) == later
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    assert len({request.body for request in receiver.requests}) == 1


def test_what_a_killed_process_left_is_not_sent_too_late(outbox: NoticeStore, receiver: Receiver) -> None:
    notifiers = _hook(receiver)
    assert sending_process.run(
        [Job(outbox, notifiers, make_notices({"channel": "webhook:floor"}), NOW, "written")]
    ) == [-signal.SIGKILL]
    assert deliver(outbox, notifiers.send, make_tick(3)) == DeliveryResult(given_up=1)
    assert receiver.requests == []


def test_two_processes_at_once_send_each_message_once(outbox: NoticeStore, receiver: Receiver) -> None:
    names = ("a", "b")
    written = make_notices(*[{"warehouse": f"W{n}", "channel": f"webhook:{names[n % 2]}"} for n in range(20)])
    job = Job(outbox, _hook(receiver, names), written, NOW)
    assert sending_process.run([job, job]) == [0, 0]
    sent = Counter(request.headers["webhook-id"] for request in receiver.requests)
    assert len(sent) == 20
    assert set(sent.values()) == {1}
    assert all(at is not None for (at,) in select_rows(outbox, OUTBOX, "sent_at"))


# --- the platform itself


def ping(
    outbox: NoticeStore, send: Callable[[OutgoingMessage], None], now: datetime, channel: str = "slack:platform"
) -> bool:
    return outbox.ping(send, channel, last_tick=make_tick(0), warehouses=1000, now=now)


def test_a_heartbeat_is_sent_once_an_hour(outbox: NoticeStore) -> None:
    send = Sender()
    assert [ping(outbox, send, make_tick(number)) for number in (0, 1, 11, 12, 13)] == [True, False, False, True, False]
    first, _ = [letter.message for letter in send.letters]
    assert first.subject == "Buffer ticks run: last tick 2026-03-14 14:00 UTC, 1,000 warehouses"
    assert (send.letters[0].channel, first.sections) == ("slack:platform", ())
    assert send.letters[0].message_id != send.letters[1].message_id
    assert send.letters[1].channel == "slack:platform"


def test_without_a_channel_of_the_platform_no_heartbeat_is_sent(outbox: NoticeStore) -> None:
    assert not ping(outbox, Sender(), NOW, channel="")
    assert select_rows(outbox, OUTBOX, "message_id") == []


@pytest.mark.parametrize("failure", [SourceUnavailable("answered 500"), PermanentFailure("refused with 404")])
def test_a_ping_that_fails_is_tried_again_in_its_hour_and_stops_nothing(
    outbox: NoticeStore, caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    send = Sender({"slack:platform": [failure]})
    assert [ping(outbox, send, make_tick(number)) for number in (0, 1, 2)] == [False, True, False]
    assert caplog.messages == [f"the heartbeat was not sent: {failure}"]
    assert len({letter.message_id for letter in send.letters}) == 1


def test_of_two_pings_at_once_one_is_sent(outbox: NoticeStore) -> None:
    send, barrier = Sender(), threading.Barrier(2)

    def send_heartbeat(_: int) -> bool:
        barrier.wait(PATIENCE_SECONDS)
        return ping(outbox, send, NOW)

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(send_heartbeat, range(2))) == [False, True]
    assert len(send.letters) == 1
