"""Saved views that are sent: once each, whatever the mail server does, with the numbers of their pages."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from html import unescape
from pathlib import Path
from typing import Any, Final

import openpyxl
import pytest

from fillrate_assets import settings
from fillrate_assets.core.errors import SourceUnavailable
from fillrate_assets.fillrate.record_store import LEDGER, RESTATEMENTS
from fillrate_assets.notifications.delivery import DeliveryResult, RetrySchedule
from fillrate_assets.notifications.notifiers.channel import OutgoingMessage
from fillrate_assets.notifications.notifiers.dispatch import Notifiers
from fillrate_assets.notifications.notifiers.email import SmtpServer
from fillrate_assets.notifications.notifiers.slack import render_slack
from fillrate_assets.notifications.notifiers.teams import render_teams
from fillrate_assets.notifications.outbox import ATTACHMENTS, OUTBOX
from fillrate_assets.notifications.outbox_admin import list_unsent
from fillrate_assets.subscriptions.rhythm import QUIET, Rhythm
from fillrate_assets.subscriptions.view_store import SAVED_VIEWS, SavedView, add_view
from fillrate_assets.web.buyers.letters import narrow
from fillrate_assets.web.buyers.sending import ABSENT_DAYS, ViewSender
from fillrate_assets.web.signed_in import PageProblem
from fillrate_assets.web.tables import Table
from fillrate_assets_tests.conftest import copy_home
from fillrate_assets_tests.factories.service import NOW, Service
from fillrate_assets_tests.fixtures.smtp_server import DROPPED, SmtpReceiver, receive_emails

MONDAY: Final = Rhythm("weekly", 0, 6, "UTC")
TABLE: Final = "/service?table=vendors&top=yes"
HOUR: Final = timedelta(hours=1)


@pytest.fixture(scope="module")
def service(published_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Service:
    home = copy_home(published_template, tmp_path_factory.mktemp("sending"))
    web = {"web__subscription_domains": ["dc.example"], "web__subscription_channels": ["slack:buyers"]}
    return Service(settings.load(home=home, **web), max_age_seconds=3600)


@pytest.fixture(autouse=True)
def _empty(service: Service) -> Iterator[None]:
    yield
    with service.database.begin() as connection:
        for table in (SAVED_VIEWS, OUTBOX, ATTACHMENTS):
            connection.execute(table.delete())


@pytest.fixture
def receiver() -> Iterator[SmtpReceiver]:
    with receive_emails() as made:
        yield made


def make_view(number: int = 0, **changes: Any) -> SavedView:  # noqa: ANN401 - fields of a view
    view = SavedView(
        view_id=f"v{number}",
        owner="Kim",
        named_by="sign-in",
        grants=("buyer",),
        signed_in_at=NOW,
        name=f"View {number}",
        target=TABLE,
        created_at=NOW - timedelta(days=2),
        since=NOW - timedelta(days=2),
        channel=f"mailto:r{number}@dc.example",
        rhythm=MONDAY,
    )
    return replace(view, **changes)


def save(service: Service, *views: SavedView) -> None:
    with service.database.begin() as connection:
        for view in views:
            add_view(connection, view)


def make_sender(service: Service, port: int) -> ViewSender:
    server = SmtpServer(f"smtp://127.0.0.1:{port}", "Fill rate <reports@dc.example>")
    return service.make_sender(Notifiers(smtp=server).send, RetrySchedule(first_retry_seconds=60))


@pytest.fixture
def posted() -> list[OutgoingMessage]:
    return []


@pytest.fixture
def sender(service: Service, posted: list[OutgoingMessage]) -> ViewSender:
    """One whose messages all arrive."""
    return service.make_sender(posted.append)


def read_rows(content: bytes, sheet: str) -> list[tuple[Any, ...]]:
    book = openpyxl.load_workbook(io.BytesIO(content))
    return [tuple(row) for row in book[sheet].iter_rows(values_only=True)]


# --- a week of mail


def test_fifty_views_of_a_week_arrive_once_each_though_the_server_fails(
    service: Service, receiver: SmtpReceiver
) -> None:
    save(service, *map(make_view, range(50)))
    with receive_emails() as gone:
        port = gone.port
    refused = make_sender(service, port).send_due(NOW)
    assert len(refused.written) == 50
    assert refused.delivered.failed == 50
    receiver.answers |= {f"r{number}@dc.example": ["451 try again later"] for number in range(10)}
    receiver.answers |= {"r20@dc.example": ["550 no such user"], "DATA": [DROPPED]}
    sender = make_sender(service, receiver.port)
    second = sender.send_due(NOW + HOUR)
    assert second.written == []
    assert (second.delivered.sent, second.delivered.failed, second.delivered.given_up) == (38, 11, 1)
    third = sender.send_due(NOW + 3 * HOUR)
    assert third.delivered == DeliveryResult(sent=11)
    assert sender.send_due(NOW + 4 * HOUR).delivered == DeliveryResult()
    arrived = Counter(str(each["Message-ID"]) for each in receiver.emails)
    # The connection that was lost after the message: its sender cannot know that it has arrived.
    assert sorted(arrived.values()) == [1] * 48 + [2]
    assert {str(each["To"]) for each in receiver.emails} == {f"r{n}@dc.example" for n in range(50) if n != 20}
    (dead,) = list_unsent(service.database)
    assert "550" in dead.failure
    view = service.views.find_view("v20")
    assert view is not None
    assert "550" in view.problem


def test_the_week_after_it_is_sent_again_and_what_was_missed_once(
    service: Service, sender: ViewSender, posted: list[OutgoingMessage]
) -> None:
    save(service, make_view())
    for days in (0, 1, 6.9, 7, 7, 8, 35, 36):
        sender.send_due(NOW + timedelta(days=days))
    assert len(posted) == 3
    assert len({each.message_id for each in posted}) == 3
    keys = [view.last_key for view in service.views.list_views()]
    assert keys == ["2026-W17"]


def test_two_processes_send_it_once(service: Service, sender: ViewSender, posted: list[OutgoingMessage]) -> None:
    save(service, make_view())
    ((view, due),) = sender.list_due(NOW)
    written = [sender._write(view, due, NOW) for _ in range(2)]  # noqa: SLF001 - what both do at a time
    assert [each is None for each in written] == [False, True]
    assert sender.deliver(NOW).sent == len(posted) == 1


def test_a_store_that_does_not_answer_leaves_it_due(
    service: Service, posted: list[OutgoingMessage], monkeypatch: pytest.MonkeyPatch
) -> None:
    save(service, make_view())
    sender = service.make_sender(posted.append)

    def fail(*_: object) -> None:
        msg = "the lake does not answer"
        raise SourceUnavailable(msg)

    with monkeypatch.context() as away:
        away.setattr(type(sender.desk.reports), "read", fail)
        assert sender.send_due(NOW).problems == ["View 0 of Kim: the lake does not answer"]
    assert sender.send_due(NOW).written == ["View 0"]


# --- after publication


def publish(service: Service, dc: str, at: datetime) -> None:
    day = (LEDGER.c.dc == dc) & (LEDGER.c.ship_date == date(2026, 3, 12))
    with service.database.begin() as connection:
        assert connection.execute(LEDGER.update().where(day).values(published_at=at.replace(tzinfo=None))).rowcount


def test_after_the_publication_of_its_own_dcs_it_is_sent_once(
    service: Service, sender: ViewSender, posted: list[OutgoingMessage]
) -> None:
    future = datetime(2027, 1, 4, 6, tzinfo=UTC)
    every = make_view(1, rhythm=Rhythm("published"), since=future, signed_in_at=future)
    own = replace(every, view_id="v2", target="/service/dc/DC02")
    managed = replace(every, view_id="v3", grants=("dc_manager:DC02",))
    save(service, every, own, managed)
    assert sender.send_due(future + HOUR).written == []
    publish(service, "DC01", future + HOUR)
    assert sender.send_due(future + HOUR).written == []
    assert sender.send_due(future + HOUR + QUIET).delivered.sent == 1
    assert sender.send_due(future + 2 * HOUR).delivered == DeliveryResult()
    publish(service, "DC02", future + 3 * HOUR)
    assert sender.send_due(future + 4 * HOUR).delivered.sent == 3
    assert len({each.message_id for each in posted}) == 4


# --- what it says


def test_the_numbers_of_a_mail_are_those_of_its_page_to_the_digit(service: Service, receiver: SmtpReceiver) -> None:
    save(service, make_view(0, target="/service"), make_view(1))
    make_sender(service, receiver.port).send_due(NOW)
    mails = {str(each["To"]): each for each in receiver.emails}
    buyer = service.open("buyer")
    page = buyer.get("/service").text
    of_network = mails["r0@dc.example"]
    figures = re.findall(r'class="label">([^<]*)</span> <span class="value">([^<]*)<', page)
    html = unescape(read_part(of_network, "html"))
    assert len(figures) > 8
    for label, value in figures:
        assert re.search(rf">{re.escape(unescape(label))}</th><td [^>]*>{re.escape(value)}</td>", html), label
    fill = dict(figures)["Case fill"]
    assert str(of_network["Subject"]).startswith(f"View 0: case fill {fill} (")
    (file,) = (each.get_content() for each in of_network.iter_attachments())
    sheets = openpyxl.load_workbook(io.BytesIO(file)).sheetnames
    assert {"Figures", "By DC", "Who is accountable", "Items that lost most", "Weeks", "Notes"} <= {*sheets}
    shown = list(csv.reader(io.StringIO(buyer.get(f"{TABLE}&format=csv").content.decode("utf-8-sig"))))
    (file,) = (each.get_content() for each in mails["r1@dc.example"].iter_attachments())
    rows = read_rows(file, "By vendor")
    assert [row[0] for row in rows] == [row[0] for row in shown]
    lost = shown[0].index("Lost")
    assert [f"{row[lost]:.4f}" for row in rows[1:]] == [row[lost] for row in shown[1:]]


def read_part(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert isinstance(part, EmailMessage)
    return str(part.get_content())


@pytest.mark.parametrize(
    ("target", "sheet"),
    [
        ("/service/dc/DC01", "Chronic items"),
        ("/service/item/{item}/DC01", "Days"),
        ("/service/item/{item}/DC01/{day}", "Lines of {day}"),
        ("/service/contract", "Vendors"),
        ("/service/contract/{vendor}", "Lines that prove it"),
        ("/changes", "What changed"),
    ],
)
def test_every_page_of_buyers_can_be_sent_with_what_it_shows(
    service: Service, sender: ViewSender, posted: list[OutgoingMessage], target: str, sheet: str
) -> None:
    names = service.find_names()
    save(service, make_view(target=target.format(**names)))
    assert sender.send_due(NOW).problems == []
    (message,) = posted
    assert read_rows(message.attachments[0].content, sheet.format(**names))
    assert render_slack(message.message)["blocks"]
    assert render_teams(message.message)["attachments"]


def test_doubts_and_held_days_are_beside_the_numbers(
    service: Service, sender: ViewSender, posted: list[OutgoingMessage]
) -> None:
    save(service, make_view(target="/service"))
    sender.send_due(NOW)
    (message,) = posted
    assert "held: " in message.message.html
    assert "held: " in message.message.still_open
    assert any("held: " in str(row[0]) for row in read_rows(message.attachments[0].content, "Notes"))


def test_where_nothing_changed_it_says_so_in_one_sentence(
    service: Service, sender: ViewSender, posted: list[OutgoingMessage]
) -> None:
    fixed = f"{TABLE}&from=2026-02-16&to=2026-03-15"
    save(service, make_view(0, target=fixed), make_view(1, target="/changes"))
    for weeks in (0, 1):
        sender.send_due(NOW + timedelta(weeks=weeks))
    said = {(each.message_id, each.message.news) for each in posted}
    assert len(said) == 4
    of_fixed = [each.message for each in posted if each.channel == "mailto:r0@dc.example"]
    assert [each.news for each in of_fixed] == [
        "",
        "Nothing changed since Mon 16 Mar 2026: every number is as it was then.",
    ]
    assert of_fixed[1].subject.startswith("View 0: nothing changed (case fill ")
    of_changes = [each.message for each in posted if each.channel == "mailto:r1@dc.example"]
    assert [each.subject for each in of_changes] == ["View 1: nothing changed"] * 2


def test_what_changed_is_what_changed_since_the_sending_before(
    service: Service, sender: ViewSender, posted: list[OutgoingMessage]
) -> None:
    save(service, make_view(target="/changes"))
    moved = {"dc": "DC01", "ship_date": date(2026, 3, 10), "item": "A", "field": "lost_cases", "before": "2.0000"}
    moved |= {"after": "5.0000", "cause": "corrected", "run_id": "r"}
    at = NOW.replace(tzinfo=None)
    with service.database.begin() as connection:
        connection.execute(RESTATEMENTS.insert().values(**moved, restated_at=at - timedelta(hours=1)))
    try:
        for weeks in (0, 1):
            sender.send_due(NOW + timedelta(weeks=weeks))
    finally:
        with service.database.begin() as connection:
            connection.execute(RESTATEMENTS.delete().where(RESTATEMENTS.c.run_id == "r"))
    assert [each.message.subject for each in posted] == ["View 0: lost +3", "View 0: nothing changed"]


def test_a_period_that_moves_is_that_of_the_day_it_is_sent(
    service: Service, sender: ViewSender, posted: list[OutgoingMessage]
) -> None:
    save(service, make_view(0, period="Last week"), make_view(1))
    sender.send_due(NOW)
    texts = {each.channel: each.message.sections[0].what for each in posted}
    assert "09 Mar 2026 to 15 Mar 2026" in texts["mailto:r0@dc.example"]
    assert "16 Feb 2026 to 15 Mar 2026" in texts["mailto:r1@dc.example"]
    links = {each.channel: dict(each.message.sections[0].links)["Open the page"] for each in posted}
    assert "from=2026-03-09&to=2026-03-15" in links["mailto:r0@dc.example"]


def test_a_week_is_over_by_the_clocks_of_the_view(
    service: Service, sender: ViewSender, posted: list[OutgoingMessage]
) -> None:
    auckland = make_view(0, period="Last week", rhythm=Rhythm("weekly", 0, 6, "Pacific/Auckland"))
    save(service, auckland, replace(auckland, view_id="v1", name="View 1", rhythm=Rhythm("weekly", 6, 17, "UTC")))
    # There it is Monday morning already.
    sender.send_due(datetime(2026, 3, 15, 17, 5, tzinfo=UTC))
    texts = {each.message.subject.partition(":")[0]: each.message.sections[0].what for each in posted}
    assert "09 Mar 2026 to 15 Mar 2026" in texts["View 0"]
    assert "02 Mar 2026 to 08 Mar 2026" in texts["View 1"]


def test_nothing_is_as_it_was_in_a_message_that_no_one_got(
    service: Service, receiver: SmtpReceiver, sender: ViewSender, posted: list[OutgoingMessage]
) -> None:
    save(service, make_view(0, target=f"{TABLE}&from=2026-02-16&to=2026-03-15"))
    receiver.answers |= {"r0@dc.example": ["550 no such user"]}
    assert make_sender(service, receiver.port).send_due(NOW).delivered.given_up == 1
    assert sender.send_due(NOW + timedelta(weeks=1)).delivered.sent == 1
    assert "nothing changed" not in posted[0].message.subject


def test_what_changed_while_nothing_could_be_sent_is_in_the_next_one(
    service: Service, sender: ViewSender, posted: list[OutgoingMessage]
) -> None:
    save(service, make_view(target="/changes", grants=()))
    assert len(sender.send_due(NOW).problems) == 1
    service.views.note_sign_in("Kim", ["buyer"], NOW + HOUR)
    assert sender.send_due(NOW + 2 * HOUR).written == []
    assert sender.send_due(NOW + timedelta(weeks=1)).written == ["View 0"]
    assert posted[0].message.sections[0].what.startswith("since Sat 14 Mar 2026, 06:00 UTC")


def test_chat_gets_no_file(service: Service, sender: ViewSender, posted: list[OutgoingMessage]) -> None:
    save(service, make_view(channel="slack:buyers"))
    sender.send_due(NOW)
    assert posted[0].attachments == ()


def test_a_letter_has_the_columns_that_matter() -> None:
    headings = ["Vendor", "Lost", "Lost before", "Lost change", "Line fill", "Case fill"]
    table = narrow(Table(headings, [[f"V{n}", *range(5)] for n in range(12)], ""))
    assert table.headings == ["Vendor", "Lost", "Lost change", "Case fill"]
    assert (len(table.rows), table.note) == (10, "and 2 more rows in the workbook")


# --- who may see it


def test_it_shows_what_its_owner_may_see_when_it_is_sent(
    service: Service, sender: ViewSender, posted: list[OutgoingMessage]
) -> None:
    save(service, make_view(0, target="/service"))
    sender.send_due(NOW)
    service.views.note_sign_in("Kim", ["dc_manager:DC02"], NOW)
    sender.send_due(NOW + timedelta(weeks=1))
    whole, own = (each.message for each in posted)
    assert "DC01" in whole.html
    assert "DC01" not in own.html
    assert "of DC02 alone" in own.sections[0].what
    assert b"DC01" not in posted[1].attachments[0].content
    cells = [cell for row in read_rows(posted[1].attachments[0].content, "Items that lost most") for cell in row]
    assert "DC01" not in cells


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"grants": ()}, "Kim may not see the service of any DC any more."),
        ({"grants": ("floor:W0001",)}, "Kim may not see the service of any DC any more."),
        ({"grants": ("no such role",)}, "Kim may not see the service of any DC any more."),
        ({"grants": ("dc_manager:DC02",), "target": "/service/dc/DC01"}, "There is no such DC. The nearest is DC02."),
        ({"grants": ("dc_manager:DC02",), "target": "/changes?dc=DC01"}, "Its page is not there any more"),
        ({"target": "/service/vendor/V-gone"}, "V-gone"),
        ({"target": "/operations"}, "Its page is not there any more"),
        ({"target": "/service/nothing/x"}, "Its page is not there any more"),
    ],
)
def test_what_its_owner_may_not_see_is_not_sent_and_its_owner_reads_why(
    service: Service,
    sender: ViewSender,
    posted: list[OutgoingMessage],
    changes: dict[str, Any],
    problem: str,
) -> None:
    save(service, make_view(0, **changes))
    (said,) = sender.send_due(NOW).problems
    assert said.startswith("View 0 of Kim: ")
    assert problem in said
    assert sender.send_due(NOW + HOUR).problems == []
    assert posted == []
    view = service.views.find_view("v0")
    assert view is not None
    assert problem in view.problem


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"signed_in_at": NOW - timedelta(days=ABSENT_DAYS, hours=1)}, f"has not signed in for {ABSENT_DAYS} days"),
        ({"grants": ("operator",)}, "may not see the service"),
        ({"named_by": "form"}, "may not see the service"),
        ({}, ""),
    ],
)
def test_with_a_sign_in_roles_are_those_that_a_group_still_has(
    service: Service, posted: list[OutgoingMessage], changes: dict[str, Any], problem: str
) -> None:
    save(service, make_view(0, **changes))
    sender = replace(service.make_sender(posted.append), known_grants={"buyer"})
    assert problem in " ".join(sender.send_due(NOW).problems)
    assert len(posted) == (not problem)


@pytest.mark.parametrize(
    "changes",
    [
        {"channel": "mailto:kim@sold.example"},
        {"channel": "slack:gone"},
        {"channel": "mailto:Kim", "owner": "Kim"},
        {"channel": "mailto:kim@home.example", "owner": "kim@home.example", "named_by": "form"},
    ],
    ids=["domain", "channel", "no address", "typed name"],
)
def test_where_views_may_not_be_sent_any_more_nothing_is_sent(
    service: Service, sender: ViewSender, posted: list[OutgoingMessage], changes: dict[str, Any]
) -> None:
    view = make_view(0, **changes)
    save(service, view)
    assert "any more: change where it is sent" in sender.send_due(NOW).problems[0]
    with pytest.raises(PageProblem):
        sender.send_now(view, NOW)
    assert posted == []


def test_the_address_of_a_sign_in_gets_mail_whatever_its_domain(service: Service, sender: ViewSender) -> None:
    save(service, make_view(0, channel="mailto:kim@home.example", owner="kim@home.example"))
    assert sender.send_due(NOW).delivered.sent == 1


# --- what names can do


def test_a_hostile_name_is_text_everywhere(service: Service, receiver: SmtpReceiver) -> None:
    hostile = "x\r\nBcc: eve@dc.example\r\n\r\n<script>alert(1)</script>"
    save(service, make_view(name=hostile))
    make_sender(service, receiver.port).send_due(NOW)
    (mail,) = receiver.emails
    assert "Bcc" not in mail
    assert str(mail["Subject"]).startswith("x Bcc: eve@dc.example <script>")
    assert "<script" not in read_part(mail, "html")
    assert [each.get_filename() for each in mail.iter_attachments()] == [
        "x--Bcc--eve-dc-example-----script-alert-1---script.xlsx"
    ]


def test_sending_now_is_once_in_a_minute_and_moves_no_rhythm(
    service: Service, sender: ViewSender, posted: list[OutgoingMessage]
) -> None:
    save(service, make_view())
    view = service.views.list_views()[0]
    assert sender.send_now(view, NOW) == "It was sent."
    assert sender.send_now(view, NOW + timedelta(seconds=5)) == "It was sent a moment ago."
    assert sender.send_due(NOW).written == ["View 0"]
    assert len(posted) == 2


def test_what_cannot_be_sent_now_is_sent_later(service: Service, posted: list[OutgoingMessage]) -> None:
    left = [SourceUnavailable("down")]

    def send(message: OutgoingMessage) -> None:
        if left:
            raise left.pop()
        posted.append(message)

    sender = service.make_sender(send)
    save(service, make_view(rhythm=Rhythm()))
    assert sender.send_now(service.views.list_views()[0], NOW).startswith("It could not be sent now")
    assert sender.send_due(NOW).delivered.sent == len(posted) == 1
