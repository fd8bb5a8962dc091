"""`fillrate outbox`: what is not sent yet, and dead letters that are sent again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fillrate_assets import settings
from fillrate_assets.cli import main
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.notifications.delivery import DeliveryResult, deliver
from fillrate_assets.notifications.notifiers.channel import OutgoingMessage
from fillrate_assets.notifications.outbox import MessageQueue
from fillrate_assets.notifications.outbox_admin import list_unsent
from fillrate_assets.notifications.rendering import Message
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.fixtures.embedded import create_database

Run = Callable[..., tuple[int, str, str]]
QUEUE = MessageQueue("orders")
HOOK = "https://hooks.example/hunter2"


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setenv("FILLRATE_HOME", str(tmp_path))
    database = Database.from_settings(settings.load())
    create_database(database.url)
    return database


@pytest.fixture
def run(database: Database, capsys: pytest.CaptureFixture[str]) -> Run:
    assert database.url.startswith("sqlite")

    def execute(*arguments: str) -> tuple[int, str, str]:
        code = main.execute(["outbox", *arguments])
        return (code, *capsys.readouterr())

    return execute


def write(database: Database, *channels: str, now: datetime) -> None:
    messages = [
        OutgoingMessage(f"m{number}", channel, Message(f"subject {number}", body="text"), now + timedelta(minutes=10))
        for number, channel in enumerate(channels)
    ]
    with database.begin() as connection:
        QUEUE.write(connection, messages, now=now)


def refuse(_: OutgoingMessage) -> None:
    msg = "refused with 404"
    raise PermanentFailure(msg)


def test_what_is_not_sent_is_listed_and_a_dead_letter_replayed(run: Run, database: Database) -> None:
    assert run("list") == (0, "every message is sent\n", "")
    assert run("list", "--dead") == (0, "there are no dead letters\n", "")
    assert run("replay", "--all") == (0, "there are no dead letters\n", "")

    now = datetime.now(UTC) - timedelta(minutes=20)
    write(database, "slack:floor", f"slack:{HOOK}", now=now)
    assert deliver(database, QUEUE, refuse, now=now) == DeliveryResult(given_up=2)
    write(database, "", "", "console", now=now)  # what was given up takes a new start; what goes nowhere is not listed
    assert deliver(database, QUEUE, refuse, now=now) == DeliveryResult(given_up=1)

    code, out, err = run("list", "--dead")
    assert (code, err) == (0, "")
    (line,) = out.splitlines()[2:]
    assert line.split()[:3] == ["m2", "orders", "console"]
    assert line.endswith("dead letter         1  subject 2  refused with 404")

    assert run("replay", "m2") == (0, "m2 is due again\n", "")
    (waiting,) = list_unsent(database)
    assert waiting.next_attempt_at is not None
    assert run("list", "--dead") == (0, "there are no dead letters\n", "")
    code, out, _ = run("list")
    assert f"due {waiting.next_attempt_at:%Y-%m-%d %H:%M}" in out

    sent: list[OutgoingMessage] = []
    assert deliver(database, QUEUE, sent.append, now=datetime.now(UTC) + timedelta(minutes=9)).sent == 1
    assert [(letter.message_id, letter.message) for letter in sent] == [("m2", Message("subject 2", body="text"))]


def test_a_dead_letter_that_is_replayed_has_the_time_it_had(run: Run, database: Database) -> None:
    now = datetime.now(UTC) - timedelta(hours=1)
    write(database, "slack:floor", now=now)
    deliver(database, QUEUE, refuse, now=now)
    assert run("replay", "--all") == (0, "m0 is due again\n", "")
    late = datetime.now(UTC) + timedelta(minutes=11)
    assert deliver(database, QUEUE, refuse, now=late) == DeliveryResult(given_up=1)
    (dead,) = list_unsent(database)
    assert dead.failure == "it was not sent in time"


def test_no_url_of_a_channel_is_listed(run: Run, database: Database) -> None:
    write(database, f"slack:{HOOK}", now=datetime.now(UTC))
    _, out, _ = run("list")
    assert "slack:..." in out
    assert "hunter2" not in out


def test_only_dead_letters_are_replayed(run: Run, database: Database) -> None:
    write(database, "console", now=datetime.now(UTC))
    code, out, err = run("replay", "m0", "m9")
    assert (code, out) == (2, "")
    assert "no dead letters: m0, m9; see `fillrate outbox list --dead`" in err


@pytest.mark.parametrize("arguments", [(), ("m0", "--all")], ids=repr)
def test_messages_are_named_or_all_are(run: Run, arguments: tuple[str, ...]) -> None:
    code, _, err = run("replay", *arguments)
    assert code == 2
    assert "name messages, or all of them with --all" in err
