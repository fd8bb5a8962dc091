from __future__ import annotations

import logging
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from threading import Barrier

import polars as pl
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from fillrate_assets.aws import sns
from fillrate_assets.buffers import schema
from fillrate_assets.buffers.notice_store import NoticeStore
from fillrate_assets.buffers.report import notice_text
from fillrate_assets.buffers.report.notice_text import Links
from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.notifications.notifiers.channel import OutgoingMessage
from fillrate_assets.notifications.outbox import OUTBOX, write_once
from fillrate_assets.notifications.platform_outbox import PLATFORM_QUEUE, Outbox
from fillrate_assets.notifications.rendering import Message
from fillrate_assets.notifications.signed_links import LIFETIME as SIGNED_LIFETIME
from fillrate_assets.notifications.signed_links import ExpiredLinkError, LinkSigner
from fillrate_assets.storage import sql
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.factories import buffers_frames
from fillrate_assets_tests.fixtures.cloud import Cloud, Topic
from fillrate_assets_tests.fixtures.embedded import create_database
from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS
from fillrate_assets_tests.fixtures.sending_process import LIFETIME, render
from fillrate_assets_tests.fixtures.transactions import watch_transactions


def test_a_message_is_stored_and_logged(store: RecordStore, caplog: pytest.LogCaptureFixture) -> None:
    now = datetime(2026, 2, 10, 10, tzinfo=timezone(timedelta(hours=-8)))
    with caplog.at_level(logging.WARNING, logger="fillrate.outbox"):
        Outbox(store.database).send("DC01 2026-02-10 is held", "no instock snapshot", key=uuid.uuid4().hex, now=now)
    with store.database.engine.connect() as connection:
        (stored,) = connection.execute(sa.select(OUTBOX.c.created_at, OUTBOX.c.subject, OUTBOX.c.body))
    assert tuple(stored) == (
        datetime(2026, 2, 10, 18, tzinfo=UTC).replace(tzinfo=None),
        "DC01 2026-02-10 is held",
        "no instock snapshot",
    )
    assert caplog.messages == ["DC01 2026-02-10 is held: no instock snapshot"]


NOW = datetime(2026, 2, 10, 18, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
NO_TOPIC = "arn:aws:sns:eu-central-1:000000000000:never-made"


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/store.db"
    create_database(url)
    return url


@pytest.fixture
def topic(aws: Cloud) -> Topic:
    return aws.create_topic()


def _list_unsent(url: str) -> list[str]:
    with sql.get_engine(url).connect() as connection:
        where = OUTBOX.c.channel.is_not(None) & OUTBOX.c.sent_at.is_(None)
        return list(connection.execute(sa.select(OUTBOX.c.subject).where(where).order_by(OUTBOX.c.id)).scalars())


def test_a_message_is_published_once_and_marked(url: str, topic: Topic) -> None:
    Outbox(Database(url), topic.arn).send(
        "DC01 2026-02-10 is held", "no instock snapshot", key=uuid.uuid4().hex, now=NOW
    )
    assert topic.list_received() == [("DC01 2026-02-10 is held", "no instock snapshot")]
    assert Outbox(Database(url), topic.arn).deliver(now=LATER) == 0
    assert topic.list_received() == []
    with sql.get_engine(url).connect() as connection:
        assert connection.execute(sa.select(OUTBOX.c.sent_at)).scalar_one() == NOW.replace(tzinfo=None)


def test_what_was_stored_before_there_was_a_topic_stays_here(url: str, topic: Topic) -> None:
    Outbox(Database(url)).send("before", "it", key=uuid.uuid4().hex, now=NOW)
    Outbox(Database(url), NO_TOPIC.replace("never", "once")).send("elsewhere", "it", key=uuid.uuid4().hex, now=NOW)
    Outbox(Database(url), topic.arn).send("after", "it", key=uuid.uuid4().hex, now=NOW)
    assert topic.list_received() == [("after", "it")]


def test_what_could_not_be_sent_is_sent_by_the_next_call_in_its_order(
    url: str, topic: Topic, aws: Cloud, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = Outbox(Database(url), topic.arn)
    with monkeypatch.context() as away:
        away.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        away.setenv("AWS_MAX_ATTEMPTS", "1")
        outbox.send("first", "1", key=uuid.uuid4().hex, now=NOW)
        outbox.send("second", "2", key=uuid.uuid4().hex, now=NOW)
        with pytest.raises(SourceUnavailable, match=f"^alerts \\({topic.arn}\\) does not answer: Could not connect"):
            outbox.deliver(now=NOW)
    assert aws.endpoint
    assert sum("stored in the outbox, not yet sent" in each for each in caplog.messages) == 2
    assert _list_unsent(url) == ["first", "second"]
    outbox.send("third", "3", key=uuid.uuid4().hex, now=LATER)
    assert topic.list_received() == [("first", "1"), ("second", "2"), ("third", "3")]
    assert _list_unsent(url) == []


def test_a_crash_after_a_message_is_published_repeats_that_one_and_loses_none(url: str, topic: Topic) -> None:
    outbox = Outbox(Database(url), topic.arn)
    at = NOW.replace(tzinfo=None)
    with sql.get_engine(url).begin() as connection:
        rows = [
            {
                "created_at": at,
                "next_attempt_at": at,
                "subject": s,
                "body": s,
                "message_id": s,
                "channel": f"sns:{topic.arn}",
            }
            for s in "abc"
        ]
        connection.execute(OUTBOX.insert(), rows)
    commits = []

    def crash(_: sa.Connection) -> None:
        commits.append(1)
        if len(commits) == 6:  # of each message: the read, the lease, the mark
            raise KeyboardInterrupt

    engine = outbox.database.engine
    sa.event.listen(engine, "commit", crash)
    try:
        with pytest.raises(KeyboardInterrupt):
            outbox.deliver(now=NOW)
    finally:
        sa.event.remove(engine, "commit", crash)
    assert topic.list_received() == [("a", "a"), ("b", "b")]
    assert _list_unsent(url) == ["b", "c"]
    assert outbox.deliver(now=LATER) == 2
    assert topic.list_received() == [("b", "b"), ("c", "c")]


def test_what_another_process_has_leased_holds_up_what_is_behind_it_until_the_lease_has_run_out(
    url: str, topic: Topic
) -> None:
    Outbox(Database(url), NO_TOPIC).send("elsewhere", "it", key="z", now=NOW)
    with Database(url).connect() as connection:
        first = OutgoingMessage("a", f"sns:{topic.arn}", Message("first", body="1"))
        assert write_once(connection, PLATFORM_QUEUE, first, now=NOW)
        assert PLATFORM_QUEUE.lease(connection, "a", now=NOW, until=NOW + timedelta(seconds=90))
    outbox = Outbox(Database(url), topic.arn)
    outbox.send("second", "2", key="b", now=NOW)
    assert topic.list_received() == []
    assert outbox.deliver(now=NOW + timedelta(seconds=80)) == 0
    assert outbox.deliver(now=NOW + timedelta(seconds=90)) == 2
    assert topic.list_received() == [("first", "1"), ("second", "2")]


def test_what_is_stored_while_another_process_sends_is_sent_by_that_process(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = Outbox(Database(url), NO_TOPIC)
    published: list[str] = []

    def publish(_topic: str, subject: str, _body: str) -> None:
        if subject == "first":
            assert outbox.send("second", "2", key="b", now=NOW)
            assert published == []
        published.append(subject)

    monkeypatch.setattr(sns, "publish", publish)
    outbox.send("first", "1", key="a", now=NOW)
    assert published == ["first", "second"]
    assert _list_unsent(url) == []


def test_no_transaction_is_open_while_a_message_is_on_its_way(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[str] = []

    def publish(_topic: str, subject: str, _body: str) -> None:
        assert transactions.open_now == 0
        published.append(subject)
        raise SourceUnavailable(subject)

    monkeypatch.setattr(sns, "publish", publish)
    with watch_transactions(Database(url).engine) as transactions:
        Outbox(Database(url), NO_TOPIC).send("held", "it", key="a", now=NOW)
    assert published == ["held"]
    with sql.get_engine(url).connect() as connection:
        assert tuple(connection.execute(sa.select(OUTBOX.c.attempts, OUTBOX.c.failure)).one()) == (1, "held")


def test_what_an_older_version_did_not_send_is_due_after_the_migration(url: str, topic: Topic) -> None:
    config = Config()
    config.set_main_option("script_location", "fillrate_assets.storage:migrations")
    row = {"created_at": NOW.replace(tzinfo=None), "subject": "s", "body": "b"}
    with sql.get_engine(url).begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0006")
        outbox = sa.table("outbox", *[sa.column(name) for name in (*row, "key", "destination", "sent_at")])
        connection.execute(
            outbox.insert(),
            [
                {**row, "key": "unsent", "destination": topic.arn, "sent_at": None},
                {**row, "key": "sent", "destination": topic.arn, "sent_at": NOW.replace(tzinfo=None)},
                {**row, "key": "nowhere", "destination": None, "sent_at": None},
            ],
        )
    Database(url).upgrade()
    with sql.get_engine(url).connect() as connection:
        due = sa.select(OUTBOX.c.message_id, OUTBOX.c.attempts).where(OUTBOX.c.next_attempt_at.is_not(None))
        assert [tuple(each) for each in connection.execute(due)] == [("unsent", 0)]
    assert Outbox(Database(url), topic.arn).deliver(now=LATER) == 1
    assert topic.list_received() == [("s", "b")]


@pytest.mark.parametrize(
    ("subject", "body", "received"),
    [
        pytest.param("s" * 99, "b", ("s" * 99, "b"), id="the longest subject"),
        pytest.param("s" * 100, "b", ("s" * 96 + "...", "s" * 100 + "\n\nb"), id="too long a subject"),
        pytest.param("two\nlines", "b", ("two lines", "two\nlines\n\nb"), id="a line break in the subject"),
        pytest.param("Köln is held", "b", ("Köln is held", "b"), id="letters beyond ASCII"),
        pytest.param("s", "", ("s", "s\n\n"), id="no body"),
        pytest.param("s", "é" * 200_000, ("s", "é" * 131_072), id="more than SNS takes"),
    ],
)
def test_what_sns_would_refuse_is_fitted_to_it(
    url: str, topic: Topic, subject: str, body: str, received: tuple[str, str]
) -> None:
    Outbox(Database(url), topic.arn).send(subject, body, key=uuid.uuid4().hex, now=NOW)
    assert topic.list_received() == [received]


@pytest.mark.usefixtures("busy_aws")
def test_an_sns_that_is_busy_may_answer_later(url: str) -> None:
    Outbox(Database(url), NO_TOPIC).send("held", "it", key=uuid.uuid4().hex, now=NOW)
    with pytest.raises(SourceUnavailable, match=r"^alerts \(arn:.* does not answer: "):
        Outbox(Database(url), NO_TOPIC).deliver(now=NOW)
    assert _list_unsent(url) == ["held"]


@pytest.mark.usefixtures("aws")
def test_an_absent_topic_is_named(url: str) -> None:
    Outbox(Database(url), NO_TOPIC).send("held", "it", key=uuid.uuid4().hex, now=NOW)
    with pytest.raises(PermanentFailure, match=f"^alerts \\({NO_TOPIC}\\) refused: .*NotFound"):
        Outbox(Database(url), NO_TOPIC).deliver(now=NOW)
    assert _list_unsent(url) == ["held"]


@pytest.mark.usefixtures("denying_aws")
def test_an_sns_that_denies_access_is_no_matter_of_time(url: str) -> None:
    Outbox(Database(url), NO_TOPIC).send("held", "it", key=uuid.uuid4().hex, now=NOW)
    with pytest.raises(PermanentFailure, match=r"^alerts .* refused: .*AccessDenied"):
        Outbox(Database(url), NO_TOPIC).deliver(now=NOW)


def test_a_message_is_stored_and_logged_once_for_each_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    Database(url).upgrade()
    now = datetime(2026, 2, 10, 10, tzinfo=UTC)
    sent = [Outbox(Database(url)).send(f"message {number}", "", key=key, now=now) for number, key in enumerate("aab")]
    assert sent == [True, False, True]
    with sql.get_engine(url).connect() as connection:
        stored = connection.execute(sa.select(OUTBOX.c.message_id, OUTBOX.c.subject).order_by("id")).all()
    assert [tuple(row) for row in stored] == [("a", "message 0"), ("b", "message 2")]
    assert caplog.messages == ["message 0: ", "message 2: "]


def test_of_two_senders_at_once_one_learns_that_it_was_not_new(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    Database(url).upgrade()
    barrier = Barrier(2)

    def send(_: int) -> bool:
        barrier.wait(PATIENCE_SECONDS)
        return Outbox(Database(url)).send("message", "", key="a", now=datetime(2026, 2, 10, 10, tzinfo=UTC))

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(send, range(2))) == [False, True]


def _downgrade(store: RecordStore, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", "fillrate_assets.storage:migrations")
    with store.database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


def test_the_migration_moves_the_messages_of_the_buffers_into_the_outbox(store: RecordStore) -> None:
    notices = NoticeStore(store.database)
    ids = [f"N{number}" for number in range(4)]
    channels = ["slack:a", "slack:a", "slack:b", "slack:c"]
    rows = [{"notice_id": name, "channel": channel} for name, channel in zip(ids, channels, strict=True)]
    written, lost = buffers_frames.make_notices(*rows), schema.UNDELIVERED_NOTICES.make_empty().collect()
    at = buffers_frames.TICK
    notices.write(written, lost, render=render, lifetime=LIFETIME, now=at)
    Outbox(store.database, NO_TOPIC).send("held", "it", key="held", now=at)

    def send(letter: OutgoingMessage) -> None:
        if letter.channel == "slack:b":
            msg = "refused"
            raise PermanentFailure(msg)
        if letter.channel == "slack:c":
            raise SourceUnavailable(letter.channel)

    notices.deliver(send, now=at)
    _downgrade(store, "0007")
    store.database.upgrade()
    moved = sa.select(*[OUTBOX.c[name] for name in ("queue", "channel", "attempts", "failure")])
    with store.database.engine.connect() as connection:
        found = sorted(map(tuple, connection.execute(moved)), key=repr)
        due = connection.execute(sa.select(OUTBOX).where(OUTBOX.c.channel == "slack:c")).one()
    assert found[:3] == [
        ("buffers", "slack:a", 1, None),
        ("buffers", "slack:b", 1, "refused"),
        ("buffers", "slack:c", 1, "slack:c"),
    ]
    assert found[3][:2] == ("platform", f"sns:{NO_TOPIC}")
    assert due.expires_at == (at + LIFETIME).replace(tzinfo=None)
    assert due.subject == "W1: alerts, see below"
    assert due.body.startswith("ACT MOVE_STAFF, W1_PICK_TOTAL OVERFLOW: ")

    letters: list[OutgoingMessage] = []
    assert notices.deliver(letters.append, now=at + timedelta(minutes=2)).sent == 1
    assert [(letter.channel, letter.message.body) for letter in letters] == [("slack:c", due.body)]
    assert notices.read_for_alerts(buffers_frames.make_alerts({}))["notice_id"].sort().to_list() == ["N0", "N1", "N3"]


def test_every_attempt_sends_what_was_written_and_its_links_hold_from_then(store: RecordStore) -> None:
    notices, at = NoticeStore(store.database), buffers_frames.TICK
    signer = LinkSigner("https://feedback.example", ["s" * 32])
    links = Links(feedback=lambda rec_id: signer.make_alert_url(rec_id, now=at))

    def render_linked(rows: pl.DataFrame) -> list[notice_text.NoticeMessage]:
        return notice_text.render_messages(rows, buffers_frames.make_warehouses({}), links)

    lost = schema.UNDELIVERED_NOTICES.make_empty().collect()
    notices.write(buffers_frames.make_notices({}), lost, render=render_linked, lifetime=LIFETIME, now=at)
    letters: list[OutgoingMessage] = []

    def fail_once(letter: OutgoingMessage) -> None:
        letters.append(letter)
        if len(letters) == 1:
            raise SourceUnavailable(letter.channel)

    for minutes in (0, 5):
        notices.deliver(fail_once, now=at + timedelta(minutes=minutes))
    first, second = letters
    assert first == second
    ((_, url),) = [link for link in first.message.sections[0].links if link[0] == "Feedback"]
    token = url.rpartition("/")[2]
    assert signer.read(token, now=at + SIGNED_LIFETIME - timedelta(seconds=1)).about == "R1"
    with pytest.raises(ExpiredLinkError):
        signer.read(token, now=at + SIGNED_LIFETIME)
