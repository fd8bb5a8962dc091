"""E-mail over a real SMTP server: what arrives, what its answers mean, and that no password is shown."""

from __future__ import annotations

import json
import logging
import socket
import ssl
import time
import traceback
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest

from fillrate_assets.core.errors import FillrateError, PermanentFailure, SourceUnavailable
from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.notifications import rendering
from fillrate_assets.notifications.delivery import DeliveryResult, deliver
from fillrate_assets.notifications.notifiers import email
from fillrate_assets.notifications.notifiers.channel import Attachment, ChannelUnavailable, OutgoingMessage
from fillrate_assets.notifications.notifiers.dispatch import Notifiers
from fillrate_assets.notifications.notifiers.email import SmtpServer
from fillrate_assets.notifications.outbox import MessageQueue
from fillrate_assets.notifications.rendering import Message, Section
from fillrate_assets_tests.fixtures.cloud import Cloud
from fillrate_assets_tests.fixtures.smtp_server import (
    PASSWORD,
    USER,
    SmtpReceiver,
    answer_raw,
    make_certificate,
    receive_emails,
)

SENDER: Final = "Fill rate <alerts@dc.example>"
ADDRESSES: Final = {"floor": "mailto:lead@dc.example,second@dc.example", "one": "mailto:lead@dc.example"}
SECTIONS: Final = (
    Section("ACT, new: W1_PICK_TOTAL", "Move 4 associates.", links=(("Feedback", "https://f.example"),)),
)
LETTER: Final = OutgoingMessage("msg_1", "email:floor", Message("W1 Köln, 09:00: 1 to act on", SECTIONS))
CREDENTIALS: Final = f"{USER}:{quote(PASSWORD, safe='')}"


@pytest.fixture
def receiver() -> Iterator[SmtpReceiver]:
    with receive_emails() as made:
        yield made


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """One that clients of this test trust."""
    file = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    email._get_tls_context.cache_clear()  # noqa: SLF001 - it has read the certificates of the machine
    yield file
    email._get_tls_context.cache_clear()  # noqa: SLF001 - the same


@pytest.fixture
def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture(autouse=True)
def _logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert PASSWORD not in caplog.text


def make_notifiers(url: str) -> Notifiers:
    return Notifiers(ADDRESSES, smtp=SmtpServer(url, SENDER))


def make_smtp(receiver: SmtpReceiver) -> Notifiers:
    return make_notifiers(f"smtp://127.0.0.1:{receiver.port}")


def fail(notifiers: Notifiers, letter: OutgoingMessage = LETTER) -> FillrateError:
    """How a letter fails, without the password."""
    with pytest.raises(FillrateError) as raised:  # noqa: PT011 - the caller compares the message
        notifiers.send(letter)
    assert PASSWORD not in "".join(traceback.format_exception(raised.value))
    return raised.value


def hurry(notifiers: Notifiers, seconds: float = 0.3) -> Notifiers:
    return replace(notifiers, smtp=replace(notifiers.smtp, whole_seconds=seconds))


def read(received: EmailMessage) -> str:
    """The text of an e-mail, with the ends of lines that it was written with."""
    return str(received.get_content()).replace("\r\n", "\n")


# --- what arrives


REPORT: Final = replace(
    LETTER,
    channel="mailto:kim@dc.example",
    message=replace(
        LETTER.message,
        html="<p>Köln &amp; more</p>",
        unsubscribe_url="https://service.example/unsubscribe/t",
    ),
    attachments=(Attachment("view.xlsx", "application/vnd.ms-excel", b"PK\x00\xff"),),
)


def test_a_report_comes_as_text_and_html_with_its_file_and_a_way_to_stop_it(receiver: SmtpReceiver) -> None:
    make_smtp(receiver).send(REPORT)
    (received,) = receiver.emails
    assert received["To"] == "kim@dc.example"
    assert received["List-Unsubscribe"] == "<https://service.example/unsubscribe/t>"
    assert received["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    text, html = (received.get_body((kind,)) for kind in ("plain", "html"))
    assert isinstance(text, EmailMessage)
    assert isinstance(html, EmailMessage)
    assert "Move 4 associates." in read(text)
    assert read(html) == "<p>Köln &amp; more</p>\n"
    (file,) = received.iter_attachments()
    assert (file.get_filename(), file.get_content()) == ("view.xlsx", b"PK\x00\xff")


@pytest.mark.parametrize("address", ["", "kim", "kim@dc.example\r\nBcc: eve@dc.example"])
def test_what_is_no_address_gets_nothing(receiver: SmtpReceiver, address: str) -> None:
    notifiers = make_smtp(receiver)
    assert "is not mailto: and an address" in notifiers.find_problem(f"mailto:{address}")
    assert isinstance(fail(notifiers, replace(REPORT, channel=f"mailto:{address}")), PermanentFailure)
    assert receiver.emails == []


def test_a_file_is_stored_until_its_message_is_sent(store: RecordStore, receiver: SmtpReceiver) -> None:
    queue, now = MessageQueue("reports", has_files=True), datetime.now(UTC)
    receiver.answers["kim@dc.example"] = ["550 no such user"]
    with store.database.begin() as connection:
        queue.write(connection, [REPORT], now=now)
        assert queue.read(connection, REPORT.message_id) == REPORT
    assert deliver(store.database, queue, make_smtp(receiver).send, now=now) == DeliveryResult(given_up=1)
    with store.database.begin() as connection:
        assert queue.read(connection, REPORT.message_id).attachments == REPORT.attachments
        assert queue.write(connection, [REPORT], now=now) == [REPORT.message_id]
    assert deliver(store.database, queue, make_smtp(receiver).send, now=now) == DeliveryResult(sent=1)
    with store.database.begin() as connection:
        assert queue.read(connection, REPORT.message_id).attachments == ()


def test_a_queue_without_files_takes_none(store: RecordStore) -> None:
    queue = MessageQueue("orders")
    with store.database.begin() as connection:
        with pytest.raises(ValueError, match="messages of the queue orders have no files"):
            queue.write(connection, [REPORT], now=datetime.now(UTC))
        assert queue.write(connection, [replace(REPORT, attachments=())], now=datetime.now(UTC)) == [REPORT.message_id]


def test_recipients_get_subject_and_text(receiver: SmtpReceiver) -> None:
    make_smtp(receiver).send(LETTER)
    (received,) = receiver.emails
    assert received["Subject"] == "W1 Köln, 09:00: 1 to act on"
    assert received["From"] == SENDER
    assert received["To"] == "lead@dc.example, second@dc.example"
    assert received["Message-ID"] == "<msg_1@dc.example>"
    assert received["Auto-Submitted"] == "auto-generated"
    assert abs(parsedate_to_datetime(received["Date"]) - datetime.now(UTC)) < timedelta(minutes=5)
    assert read(received) == rendering.render_details(LETTER.message) + "\n"
    assert "Move 4 associates." in read(received)


def test_a_message_without_sections_is_its_text(receiver: SmtpReceiver) -> None:
    make_smtp(receiver).send(OutgoingMessage("held:DC01 1", "email:one", Message("held", body="no snapshot\n" * 3)))
    make_smtp(receiver).send(OutgoingMessage("m2", "email:one", Message("Buffer ticks run", event={"type": "ping"})))
    text, ping = receiver.emails
    assert read(text) == "no snapshot\n" * 3
    # What an id may not have is not in it.
    assert text["Message-ID"].endswith("@dc.example>")
    assert " " not in text["Message-ID"]
    assert read(ping) == "Buffer ticks run\n"


def test_a_subject_adds_no_header(receiver: SmtpReceiver) -> None:
    make_smtp(receiver).send(replace(LETTER, message=Message("held\nBcc: all@dc.example", body="it")))
    (received,) = receiver.emails
    assert received["Subject"] == "held Bcc: all@dc.example"
    assert received["Bcc"] is None


def test_long_lines_and_dots_arrive_as_they_were(receiver: SmtpReceiver) -> None:
    body = "." * 2000 + "\n.\n..\nweil ü " * 200
    make_smtp(receiver).send(replace(LETTER, message=Message("s", body=body)))
    (received,) = receiver.emails
    assert read(received) == body + "\n"


def test_a_server_with_starttls_is_logged_in_to(server_tls: ssl.SSLContext) -> None:
    with receive_emails(server_tls, starttls=True) as receiver:
        make_notifiers(f"smtp+starttls://{CREDENTIALS}@127.0.0.1:{receiver.port}").send(LETTER)
    assert (len(receiver.emails), receiver.users) == (1, [USER])


def test_a_server_with_tls_is_logged_in_to(server_tls: ssl.SSLContext) -> None:
    with receive_emails(server_tls) as receiver:
        make_notifiers(f"smtps://{CREDENTIALS}@localhost:{receiver.port}").send(LETTER)
    assert (len(receiver.emails), receiver.users) == (1, [USER])


def test_a_farewell_that_fails_changes_nothing(receiver: SmtpReceiver) -> None:
    receiver.answers["QUIT"] = ["451 not now"]
    make_smtp(receiver).send(LETTER)
    assert len(receiver.emails) == 1


def test_where_nothing_may_leave_an_email_is_logged(receiver: SmtpReceiver, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="fillrate.notifiers")
    replace(make_smtp(receiver), console_only=True).send(LETTER)
    assert receiver.emails == []
    assert caplog.messages[0].startswith("to email:floor: W1 Köln")


# --- what failures mean

ANSWERS: Final[dict[tuple[str, str], tuple[type[FillrateError], str]]] = {
    ("MAIL", "421 closing"): (ChannelUnavailable, "channel email:one answered 421"),
    ("MAIL", "451 later"): (SourceUnavailable, "channel email:one answered 451"),
    ("MAIL", "553 no such sender"): (PermanentFailure, "channel email:one refused with 553: it takes no such message"),
    ("lead@dc.example", "450 busy"): (SourceUnavailable, "channel email:one answered 450"),
    ("lead@dc.example", "550 unknown"): (PermanentFailure, "channel email:one refused with 550"),
    ("DATA", "452 full"): (SourceUnavailable, "channel email:one answered 452"),
    ("DATA", "554 no"): (PermanentFailure, "channel email:one refused with 554"),
}


@pytest.mark.parametrize(("stage", "answer"), ANSWERS, ids=" ".join)
def test_an_answer_that_is_no_success_may_pass_or_not(receiver: SmtpReceiver, stage: str, answer: str) -> None:
    receiver.answers[stage] = [answer]
    kind, message = ANSWERS[stage, answer]
    error = fail(make_smtp(receiver), replace(LETTER, channel="email:one"))
    assert type(error) is kind
    assert str(error).startswith(message)
    assert receiver.emails == []


@pytest.mark.parametrize(("answer", "kind"), [("421 busy", ChannelUnavailable), ("554 no", PermanentFailure)])
def test_a_greeting_may_refuse_every_message(answer: str, kind: type[FillrateError]) -> None:
    with answer_raw(lambda connected: connected.sendall(f"{answer}\r\n".encode())) as port:
        assert type(fail(make_notifiers(f"smtp://127.0.0.1:{port}"))) is kind


def test_of_several_recipients_one_that_is_refused_holds_up_no_other(
    receiver: SmtpReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers["second@dc.example"] = ["550 unknown"]
    make_smtp(receiver).send(LETTER)
    assert len(receiver.emails) == 1
    assert caplog.messages == ["channel email:floor: 1 of 2 recipients were refused with 550"]


def test_recipients_that_are_all_refused_may_be_taken_later_if_one_may(receiver: SmtpReceiver) -> None:
    receiver.answers |= {"lead@dc.example": ["550 unknown"], "second@dc.example": ["451 later"]}
    assert type(fail(make_smtp(receiver))) is SourceUnavailable


def test_a_wrong_password_is_no_matter_of_time(server_tls: ssl.SSLContext) -> None:
    with receive_emails(server_tls, starttls=True) as receiver:
        error = fail(make_notifiers(f"smtp+starttls://{USER}:wrong@127.0.0.1:{receiver.port}"))
    assert isinstance(error, PermanentFailure)
    assert str(error) == "channel email:floor refused with 535: its user or password is not valid any more"


def test_a_password_is_not_sent_to_a_server_without_starttls(receiver: SmtpReceiver) -> None:
    error = fail(make_notifiers(f"smtp+starttls://{CREDENTIALS}@127.0.0.1:{receiver.port}"))
    assert isinstance(error, PermanentFailure)
    assert "offers neither what the scheme smtp+starttls nor what its user needs" in str(error)


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
def test_a_server_with_a_certificate_of_no_one_is_not_trusted(
    server_tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with receive_emails(server_tls, starttls=scheme == "smtp+starttls") as receiver:
        error = fail(make_notifiers(f"{scheme}://{CREDENTIALS}@127.0.0.1:{receiver.port}"))
    assert type(error) is ChannelUnavailable
    assert str(error) == "channel email:floor cannot be reached: SSLCertVerificationError"
    assert receiver.users == []


def test_a_server_that_is_not_there_may_be_there_later() -> None:
    error = fail(make_notifiers(f"smtps://{CREDENTIALS}@127.0.0.1:1"))
    assert type(error) is ChannelUnavailable
    assert str(error) == "channel email:floor cannot be reached: ConnectionRefusedError"


def _say_nothing(connected: socket.socket) -> None:
    with suppress(OSError):
        connected.settimeout(30)
        while connected.recv(4096):
            pass


def _drip(connected: socket.socket) -> None:
    with suppress(OSError):
        for _ in range(1500):
            connected.sendall(b"2")
            time.sleep(0.02)


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_server_that_says_nothing_may_answer_later(scheme: str) -> None:
    with answer_raw(_say_nothing) as port:
        error = fail(hurry(make_notifiers(f"{scheme}://127.0.0.1:{port}")))
    assert type(error) is ChannelUnavailable
    assert str(error) == "channel email:floor does not answer within 0.3 s"


def test_a_server_that_says_a_byte_at_a_time_comes_to_an_end() -> None:
    with answer_raw(_drip) as port:
        error = fail(hurry(make_notifiers(f"smtp://127.0.0.1:{port}")))
    assert str(error) == "channel email:floor does not answer within 0.3 s"


def test_a_server_that_hangs_up_may_take_it_later() -> None:
    with answer_raw(lambda connected: connected.close()) as port:
        error = fail(make_notifiers(f"smtp://127.0.0.1:{port}"))
    assert type(error) is ChannelUnavailable


# --- settings

WRONG: Final = {
    "": "channels of kind email need FILLRATE_NOTIFICATIONS__SMTP_URL",
    "https://smtp.example": "channels of kind email need FILLRATE_NOTIFICATIONS__SMTP_URL",
    "smtps://": "channels of kind email need FILLRATE_NOTIFICATIONS__SMTP_URL",
    "smtps://smtp.example:port": "channels of kind email need FILLRATE_NOTIFICATIONS__SMTP_URL",
    f"smtp://{CREDENTIALS}@smtp.example": "FILLRATE_NOTIFICATIONS__SMTP_URL would send its password in plain text",
}


@pytest.mark.parametrize("url", WRONG)
def test_a_server_that_cannot_be_used_is_no_matter_of_time(url: str) -> None:
    error = fail(make_notifiers(url))
    assert isinstance(error, PermanentFailure)
    assert str(error).startswith(WRONG[url])


@pytest.mark.parametrize("sender", ["", "alerts", "alerts@", "a b@dc.example", "a@dc.example\nBcc: b@dc.example"])
def test_a_sender_that_is_no_address_is_no_matter_of_time(receiver: SmtpReceiver, sender: str) -> None:
    server = SmtpServer(f"smtp://127.0.0.1:{receiver.port}", sender)
    error = fail(Notifiers(ADDRESSES, smtp=server))
    assert isinstance(error, PermanentFailure)
    assert "FILLRATE_NOTIFICATIONS__EMAIL_FROM" in str(error)


@pytest.mark.parametrize(
    "stored", ["https://hooks.example/x", "mailto:", "mailto:lead", "mailto:a@dc.example,", "mailto:a@b%0d%0aBcc:c@d"]
)
def test_what_is_no_address_is_no_matter_of_time(receiver: SmtpReceiver, stored: str) -> None:
    error = fail(replace(make_smtp(receiver), urls={"floor": stored}))
    assert isinstance(error, PermanentFailure)
    assert str(error) == "channel email:floor: what is stored under its name is not mailto: and addresses"


def test_an_unknown_name_is_no_matter_of_time(receiver: SmtpReceiver) -> None:
    error = fail(make_smtp(receiver), replace(LETTER, channel="email:typo"))
    assert str(error).startswith("channel email:typo is not known: FILLRATE_NOTIFICATIONS__CHANNELS has no URL")


def test_the_server_and_the_addresses_may_be_secrets(aws: Cloud, receiver: SmtpReceiver) -> None:
    name = f"fillrate/{uuid.uuid4().hex}"
    stored = json.dumps({"smtp": f"smtp://127.0.0.1:{receiver.port}", "floor": "mailto:lead@dc.example"})
    aws.make_client("secretsmanager").create_secret(Name=name, SecretString=stored)
    server = SmtpServer(f"secret://{name}#smtp", SENDER)
    Notifiers({"floor": f"secret://{name}#floor"}, smtp=server).send(LETTER)
    assert [each["To"] for each in receiver.emails] == ["lead@dc.example"]


def test_notifiers_do_not_show_the_password() -> None:
    assert PASSWORD not in repr(make_notifiers(f"smtps://{USER}:{PASSWORD}@smtp.example"))


# --- through the outbox


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_an_email_that_is_tried_again_has_the_same_id(store: RecordStore, receiver: SmtpReceiver) -> None:
    queue, now = MessageQueue("orders"), datetime(2026, 3, 14, 14, tzinfo=UTC)
    receiver.answers["DATA"] = ["451 later"]
    with store.database.begin() as connection:
        queue.write(connection, [LETTER], now=now)
    first = deliver(store.database, queue, make_smtp(receiver).send, now=now)
    assert (first.sent, first.failed) == (0, 1)
    assert first.next_attempt_at is not None
    again = deliver(store.database, queue, make_smtp(receiver).send, now=first.next_attempt_at)
    assert again == DeliveryResult(sent=1)
    assert [each["Message-ID"] for each in receiver.emails] == ["<msg_1@dc.example>"]
