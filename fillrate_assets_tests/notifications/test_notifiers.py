"""What each channel gets, what its failures mean, and that its URL is shown to no one."""

from __future__ import annotations

import json
import logging
import traceback
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Final

import pytest

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.notice_store import make_heartbeat
from fillrate_assets.buffers.report import notice_text
from fillrate_assets.buffers.report.notice_text import Links
from fillrate_assets.core.errors import FillrateError, PermanentFailure, SourceUnavailable
from fillrate_assets.notifications import rendering
from fillrate_assets.notifications.notifiers.channel import ChannelUnavailable, OutgoingMessage
from fillrate_assets.notifications.notifiers.dispatch import Notifiers
from fillrate_assets.notifications.notifiers.slack import render_slack
from fillrate_assets.notifications.notifiers.teams import render_teams
from fillrate_assets_tests.factories import buffers_frames
from fillrate_assets_tests.factories.buffers_frames import Row
from fillrate_assets_tests.fixtures.cloud import Cloud
from fillrate_assets_tests.fixtures.receiver import Answer, Fault, Receiver, start_receiver

WEBHOOK_SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - of tests
HIDDEN: Final = "hunter2"
"""Part of every URL: what must not be shown."""

NOWHERE: Final = f"http://127.0.0.1:1/{HIDDEN}"
"""Nothing listens on port 1."""

LINKS: Final = Links(
    lambda unit_id, _: f"https://charts.example/{unit_id}", lambda rec_id: f"https://ask.example/{rec_id}"
)


def make_letter(channel: str, *rows: Row) -> OutgoingMessage:
    notices = buffers_frames.make_notices(*[{"channel": channel, **row} for row in rows or ({},)])
    (message,) = notice_text.render_messages(notices, buffers_frames.make_warehouses({}), LINKS)
    return OutgoingMessage("msg_1", channel, message)


def test_what_a_reader_of_messages_would_act_on_is_escaped(
    channels: Notifiers, receiver: Receiver, path: str, logs: pytest.LogCaptureFixture
) -> None:
    hostile = "W1\u202e\x1b[2J\u200b"
    section = rendering.Section(hostile, f"{hostile}\nand more", hostile, links=((hostile, "https://a.example/x"),))
    message = rendering.Message(hostile, (section,), footer=("Title", hostile), event={"type": "x", "data": hostile})
    for kind in ("slack", "teams", "console"):
        channels.send(OutgoingMessage("msg_1", "console" if kind == "console" else f"{kind}:floor", message))
    posted = [json.dumps(each.json, ensure_ascii=False) for each in receiver.to(path)]
    said = [record.getMessage() for record in logs.records if record.getMessage().startswith("to console")]
    assert len([*posted, *said]) == 3
    for shown in (*posted, *said):
        assert "W1" in shown
        assert not set(shown) & set("\u202e\x1b\u200b")
    escaped = rendering.escape_message(message)
    assert escaped.event == message.event
    assert escaped.sections[0].what == "W1\\u202e\\x1b[2J\\u200b\nand more"
    assert rendering.escape_message(escaped) == escaped


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with start_receiver() as made:
        yield made


@pytest.fixture
def path() -> str:
    return f"/{HIDDEN}/{uuid.uuid4().hex}"


@pytest.fixture
def channels(receiver: Receiver, path: str) -> Notifiers:
    return Notifiers({"floor": f"{receiver.url}{path}"}, WEBHOOK_SECRET)


@pytest.fixture
def logs(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Everything that is logged."""
    for name in (None, "httpx", "httpcore", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    yield caplog
    assert HIDDEN not in caplog.text


def get_failure(channels: Notifiers, channel: str) -> FillrateError:
    """How a letter fails, without any part of the URL."""
    with pytest.raises(FillrateError) as raised:  # noqa: PT011 - the caller compares the message
        channels.send(make_letter(channel))
    assert HIDDEN not in "".join(traceback.format_exception(raised.value))
    return raised.value


# --- what is sent


def test_slack_and_teams_get_what_they_lay_out(channels: Notifiers, receiver: Receiver) -> None:
    for kind, layout in (("slack", render_slack), ("teams", render_teams)):
        sent = make_letter(f"{kind}:floor")
        channels.send(sent)
        request = receiver.requests.pop()
        assert request.json == layout(sent.message)
        assert request.headers["content-type"] == "application/json"


def test_a_webhook_is_signed_as_the_specification_says(channels: Notifiers, receiver: Receiver) -> None:
    channels.send(make_letter("webhook:floor", {}, {"notice_id": "N2", "unit_id": "W1_PICK_A", "quantity": None}))
    (request,) = receiver.requests
    event = request.verified(WEBHOOK_SECRET)
    assert request.headers["webhook-id"] == "msg_1"
    assert (event["type"], event["timestamp"]) == ("buffer.notices", "2026-03-14T14:00:00+00:00")
    assert event["data"]["warehouse"] == "W1"
    assert event["data"]["subject"] == "PICK A and 1 more, Chicago West 09:00 CDT: full in 4 min"
    first, second = event["data"]["notices"]
    assert set(first) == {*schema.NOTICES.names, "unit_label", "chart_url", "feedback_url"}
    assert (first["notice_id"], first["quantity"], first["until_ts"]) == ("N1", 4.0, "2026-03-14T14:30:00+00:00")
    assert (first["ship_date"], first["feedback_url"]) == ("2026-03-14", "https://ask.example/R1")
    assert (second["unit_id"], second["quantity"]) == ("W1_PICK_A", None)


def test_an_answer_below_300_is_a_success(channels: Notifiers, receiver: Receiver, path: str) -> None:
    receiver.answers[path] = [Answer(202), Answer(204, {"Content-Length": "0"})]
    channels.send(make_letter("teams:floor"))
    channels.send(make_letter("teams:floor"))
    assert len(receiver.requests) == 2


def test_what_arrives_is_within_what_slack_and_teams_take(channels: Notifiers, receiver: Receiver) -> None:
    rows = [{"notice_id": f"N{n}", "unit_id": f"W1_PICK_P{n:02}", "explanation": "weil ü " * 200} for n in range(60)]
    for kind in ("slack", "teams", "webhook"):
        channels.send(make_letter(f"{kind}:floor", *rows))
    slack, teams, webhook = receiver.requests
    assert len(slack.json["blocks"]) <= 50
    assert all(len(block["text"]["text"]) <= 3000 for block in slack.json["blocks"] if block["type"] == "section")
    assert len(teams.body) < 28 * 1024
    assert len(webhook.json["data"]["notices"]) == 60


def test_the_console_is_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="fillrate.notifiers")
    Notifiers().send(make_letter("console"))
    (logged,) = caplog.messages
    assert logged.startswith("to console: PICK TOTAL, Chicago West 09:00 CDT: full in 4 min\n\nPICK TOTAL: full")


@pytest.mark.parametrize("channel", ["slack:floor", "webhook:floor", "sns:arn:aws:sns:eu-central-1:1:t", "slack:typo"])
def test_where_nothing_may_leave_every_channel_is_the_console(
    channels: Notifiers, receiver: Receiver, caplog: pytest.LogCaptureFixture, channel: str
) -> None:
    caplog.set_level(logging.INFO, logger="fillrate.notifiers")
    replace(channels, console_only=True).send(make_letter(channel))
    assert receiver.requests == []
    assert caplog.messages[0].startswith(f"to {channel}: PICK TOTAL, Chicago West")


def test_a_topic_hears_subject_text_and_id(aws: Cloud) -> None:
    topic = aws.create_topic()
    sent = make_letter(f"sns:{topic.arn}")
    Notifiers().send(sent)
    (received,) = topic.sqs.receive_message(QueueUrl=topic.queue)["Messages"]
    body = json.loads(received["Body"])
    assert (body["Subject"], body["Message"]) == (sent.message.subject, rendering.render_text(sent.message))
    assert body["MessageAttributes"]["message_id"]["Value"] == "msg_1"


# --- what failures mean

STATUSES: Final[dict[int, type[FillrateError]]] = {
    **dict.fromkeys((408, 425, 500, 502, 503, 504, 520), SourceUnavailable),
    429: ChannelUnavailable,
    **dict.fromkeys((301, 302, 307, 400, 401, 403, 404, 410, 413, 422, 451, 499), PermanentFailure),
}


@pytest.mark.parametrize(("status", "kind"), STATUSES.items(), ids=map(str, STATUSES))
def test_an_answer_that_is_no_success_may_pass_or_not(
    channels: Notifiers,
    receiver: Receiver,
    path: str,
    logs: pytest.LogCaptureFixture,
    status: int,
    kind: type[FillrateError],
) -> None:
    receiver.answers[path] = [Answer(status, {"Location": f"{receiver.url}/elsewhere"})]
    error = get_failure(channels, "slack:floor")
    assert type(error) is kind
    assert str(error).startswith("channel slack:floor ")
    assert str(status) in str(error)
    assert [each.path for each in receiver.requests] == [path]
    assert logs.records


FAULTS: Final[dict[Fault, tuple[float, str]]] = {
    "silent": (0.3, "does not answer within 0.3 s"),
    "drip": (0.3, "does not answer within 0.3 s"),
    "cut": (60, "cannot be reached: RemoteProtocolError"),
    "reset": (60, "cannot be reached: ReadError"),
}
"""What becomes of an attempt, and how many seconds it has: what ends by itself ends in time on any machine."""


@pytest.mark.parametrize(
    ("fault", "seconds", "problem"), [(name, *fault) for name, fault in FAULTS.items()], ids=FAULTS
)
@pytest.mark.usefixtures("logs")
def test_a_server_that_does_not_answer_may_do_so_later(
    channels: Notifiers, receiver: Receiver, path: str, fault: Fault, seconds: float, problem: str
) -> None:
    receiver.answers[path] = [Answer(fault=fault)]
    error = get_failure(replace(channels, whole_seconds=seconds), "teams:floor")
    assert type(error) is ChannelUnavailable
    assert str(error) == f"channel teams:floor {problem}"


@pytest.mark.usefixtures("logs")
def test_a_server_that_is_not_there_may_be_there_later() -> None:
    error = get_failure(Notifiers({"floor": NOWHERE}), "slack:floor")
    assert type(error) is ChannelUnavailable
    assert str(error) == "channel slack:floor cannot be reached: ConnectError"


RETRY_AFTER: Final = {
    "120": timedelta(seconds=120),
    "0": timedelta(0),
    "soon": timedelta(0),
    "-1": timedelta(0),
    "9" * 30: timedelta(days=1),
    "Sun, 06 Nov 1994 08:49:37 GMT": timedelta(0),
}


@pytest.mark.parametrize(("header", "wait"), RETRY_AFTER.items(), ids=RETRY_AFTER)
def test_a_channel_says_how_long_to_wait(
    channels: Notifiers, receiver: Receiver, path: str, header: str, wait: timedelta
) -> None:
    receiver.answers[path] = [Answer(429, {"Retry-After": header})]
    error = get_failure(channels, "slack:floor")
    assert isinstance(error, ChannelUnavailable)
    assert error.wait == wait


@pytest.mark.parametrize("status", [429, 503])
def test_a_channel_says_until_when_to_wait(channels: Notifiers, receiver: Receiver, path: str, status: int) -> None:
    then = datetime.now(UTC) + timedelta(hours=1)
    receiver.answers[path] = [Answer(status, {"Retry-After": format_datetime(then, usegmt=True)})]
    error = get_failure(channels, "slack:floor")
    assert isinstance(error, ChannelUnavailable)
    assert timedelta(0) < error.wait <= timedelta(hours=1)


WRONG: Final = {
    "fax:floor": "^fax:floor is no channel; a channel is console, slack:NAME",
    "floor": "^floor is no channel; ",
    f"hooks.example/{HIDDEN}": r"^\.\.\. is no channel; ",
    "slack:typo": "^channel slack:typo is not known: FILLRATE_NOTIFICATIONS__CHANNELS has no URL under that name; ",
    "slack:": r"^channel slack:\.\.\. is not known",
    f"slack:https://hooks.example/{HIDDEN}": r"^channel slack:\.\.\. is not known",
    "slack:no-scheme": "^channel slack:no-scheme: what is stored under its name is no URL that begins with https://$",
    "slack:no-port": "^channel slack:no-port: what is stored under its name is no URL",
    "slack:no-host": "^channel slack:no-host: what is stored under its name is no URL",
}


@pytest.mark.parametrize(("channel", "problem"), WRONG.items(), ids=WRONG)
@pytest.mark.usefixtures("logs")
def test_a_channel_that_does_not_exist_is_no_matter_of_time(channel: str, problem: str) -> None:
    urls = {"no-scheme": f"hooks.example/{HIDDEN}", "no-port": f"https://h:{HIDDEN}/x", "no-host": f"https:///{HIDDEN}"}
    with pytest.raises(PermanentFailure, match=problem):
        Notifiers(urls).send(make_letter(channel))
    get_failure(Notifiers(urls), channel)


@pytest.mark.parametrize("channel", [name for name in WRONG if not name.startswith("slack:no-")])
def test_a_channel_that_does_not_exist_is_found_before_anything_is_sent(channel: str) -> None:
    problem = Notifiers({"floor": NOWHERE}).find_problem(channel)
    assert HIDDEN not in problem
    assert "a channel is console, slack:NAME" in problem
    assert Notifiers(console_only=True).find_problem(channel) == ""


@pytest.mark.parametrize(
    ("channel", "problem"),
    [
        ("slack:floor", ""),
        ("email:secret://fillrate/leads#address", ""),
        ("sns:arn:aws:sns:eu-central-1:000000000000:floor", ""),
        ("console", ""),
        ("sns:floor", "channel sns:floor is not sns: and an ARN"),
        ("console:floor", "console:floor is no channel"),
    ],
)
def test_a_channel_is_checked_by_its_text(channel: str, problem: str) -> None:
    found = Notifiers({"floor": NOWHERE}).find_problem(channel)
    assert found.startswith(problem)
    assert bool(found) == bool(problem)


def test_the_console_is_shown_wherever_the_process_shows_messages() -> None:
    shown: list[str] = []
    Notifiers({}, console_only=True, shows=(shown.append,)).send(make_letter("slack:floor"))
    assert [text.partition(",")[0] for text in shown] == ["to slack:floor: PICK TOTAL"]


@pytest.mark.parametrize("secret", ["", "whsec_", f"whsec_{HIDDEN}xx"])
def test_without_a_key_nothing_is_signed_and_nothing_sent(
    channels: Notifiers, receiver: Receiver, logs: pytest.LogCaptureFixture, secret: str
) -> None:
    error = get_failure(replace(channels, webhook_secret=secret), "webhook:floor")
    assert isinstance(error, PermanentFailure)
    assert "FILLRATE_NOTIFICATIONS__WEBHOOK_SECRET" in str(error)
    assert receiver.requests == []
    assert HIDDEN not in logs.text


@pytest.mark.usefixtures("aws")
def test_an_absent_topic_is_no_matter_of_time() -> None:
    error = get_failure(Notifiers(), "sns:arn:aws:sns:eu-central-1:000000000000:never-made")
    assert isinstance(error, PermanentFailure)


@pytest.mark.usefixtures("busy_aws")
def test_an_sns_that_is_busy_may_answer_later() -> None:
    error = get_failure(Notifiers(), "sns:arn:aws:sns:eu-central-1:000000000000:floor")
    assert type(error) is SourceUnavailable


# --- secrets


def test_urls_and_the_key_may_be_secrets(aws: Cloud, receiver: Receiver, path: str) -> None:
    name = f"fillrate/{uuid.uuid4().hex}"
    stored = json.dumps({"floor": f"{receiver.url}{path}", "key": WEBHOOK_SECRET})
    aws.make_client("secretsmanager").create_secret(Name=name, SecretString=stored)
    channels = Notifiers({"floor": f"secret://{name}#floor"}, f"secret://{name}#key")
    for channel in ("webhook:floor", f"webhook:secret://{name}#floor"):
        channels.send(make_letter(channel))
        assert receiver.requests.pop().verified(WEBHOOK_SECRET)["data"]["warehouse"] == "W1"


@pytest.mark.usefixtures("aws")
def test_an_absent_secret_is_named() -> None:
    error = get_failure(Notifiers(), "slack:secret://never/made#this")
    assert isinstance(error, PermanentFailure)
    assert str(error).startswith("secret://never/made#this refused: ")


def test_channels_show_neither_urls_nor_the_key(channels: Notifiers) -> None:
    assert HIDDEN not in repr(channels)
    assert WEBHOOK_SECRET not in repr(channels)


def test_what_is_sent_well_is_not_logged(channels: Notifiers, logs: pytest.LogCaptureFixture) -> None:
    channels.send(make_letter("slack:floor"))
    assert not [each for each in logs.records if each.name == "httpx"]


def test_a_message_without_notices_is_a_ping(channels: Notifiers, receiver: Receiver) -> None:
    channels.send(OutgoingMessage("msg_2", "webhook:floor", make_heartbeat("Buffer ticks run", buffers_frames.TICK)))
    (request,) = receiver.requests
    event = request.verified(WEBHOOK_SECRET)
    assert (event["type"], event["data"]["subject"], event["data"]["notices"]) == (
        "buffer.ping",
        "Buffer ticks run",
        [],
    )
