"""What the floor is shown, and what is stored of its answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Final

import polars as pl
import pytest

from fillrate_assets.buffers import schema
from fillrate_assets.buffers.rules import scorecard
from fillrate_assets.core.table_schema import TIMESTAMP
from fillrate_assets_tests.factories import buffers_frames
from fillrate_assets_tests.factories.buffers_frames import EPISODE_KEY, TICK
from fillrate_assets_tests.factories.web_floor import ANSWERED_AT, LANES, POLICY, REC_ID, WEEK, Floor

REPORT: Final = {
    "responder": "Kim",
    "unit_id": "W1_PICK_TOTAL",
    "direction": "STARVATION",
    "when": "2026-03-14T08:42",
    "note": "the belt stopped",
}
AT_0842: Final = datetime(2026, 3, 14, 13, 42, tzinfo=UTC)
"""In Chicago it is 08:42."""


def read_feedback(floor: Floor) -> pl.DataFrame:
    """Read `FEEDBACK` as the store has it."""
    naive = pl.DataFrame(floor.read_rows(), infer_schema_length=None)
    rows = naive.lazy().with_columns(pl.col(pl.Datetime).dt.replace_time_zone("UTC")).pipe(schema.FEEDBACK.conform)
    schema.FEEDBACK.validate(made := rows.collect())
    return made


# --- an answer to an alert


def test_the_alert_is_shown_as_it_was_sent_at_the_time_of_the_warehouse(floor: Floor) -> None:
    text = unescape(floor.make_browser(floor.link_alert()).open().text)
    for said in (
        "PICK TOTAL: full in 4 min - ACT, new",
        "Move 4 associates from INDUCT to PICK until 09:30.",
        "94.0 % full.",
        "Sat 14 Mar 2026, 09:00 CDT",
        "W1 Chicago West",
        "requested: 4",
    ):
        assert said in text


def test_what_a_page_would_act_on_is_shown_as_text(floor: Floor) -> None:
    browser = floor.make_browser(floor.link_alert())
    text = unescape(browser.send_accepted(responder="Kim", answer="CORRECT", note="a\u202eb\u200b<b>\r\nc").text)
    assert "a\\u202eb\\u200b<b>\nc" in text
    assert read_feedback(floor)["note"].to_list() == ["a\u202eb\u200b<b>\nc"]
    assert not set(text) & set("\u202e\u200b")


ANSWERS: Final[dict[str, dict[str, str]]] = {
    "CORRECT": {},
    "NO_PROBLEM": {"note": "  the sensor was\r\ncovered "},
    "WRONG_ACTION": {"quantity": ""},
    "WRONG_QTY": {"quantity": "6.5"},
    "TOO_LATE": {"quantity": "5"},
    "ALREADY_KNOWN": {"note": " "},
}


@pytest.mark.parametrize(("answer", "more"), ANSWERS.items(), ids=ANSWERS)
def test_an_answer_is_stored_with_what_it_is_about(floor: Floor, answer: str, more: dict[str, str]) -> None:
    page = floor.make_browser(floor.link_alert()).send_accepted(responder=" Maria   Ruiz ", answer=answer, **more)
    assert "it is recorded" in page.text
    assert "Maria Ruiz" in page.text
    assert read_feedback(floor).row(0, named=True) == {
        "rec_id": REC_ID,
        "responder": "Maria Ruiz",
        "answered_at": ANSWERED_AT,
        "answer": answer,
        "actual_quantity": 6.5 if answer == "WRONG_QTY" else None,
        "note": "the sensor was\ncovered" if answer == "NO_PROBLEM" else None,
        "warehouse": "W1",
        "unit_id": "W1_PICK_TOTAL",
        "unit_type": "TOTAL",
        "direction": "OVERFLOW",
        "episode_key": EPISODE_KEY,
        "episode_ts": TICK,
        "policy_version": buffers_frames.POLICY.version,
    }


def test_every_answer_of_the_schema_can_be_given(floor: Floor) -> None:
    text = floor.make_browser(floor.link_alert()).open().text
    assert {answer for answer in schema.ANSWERS if f'value="{answer}"' in text} == set(ANSWERS)
    assert {*ANSWERS, "MISSED_PROBLEM"} == set(schema.ANSWERS)


def test_the_same_answer_again_changes_nothing(floor: Floor) -> None:
    browser = floor.make_browser(floor.link_alert())
    for _ in range(3):
        browser.send_accepted(responder="Kim", answer="WRONG_QTY", quantity="6.12345", note="two were sick")
        floor.now += timedelta(minutes=1)
    assert len(floor.read_rows()) == 1


def test_a_form_that_is_sent_again_as_it_was_changes_nothing(floor: Floor) -> None:
    browser = floor.make_browser(floor.link_alert())
    token = browser.read_token()
    replies = [browser.post({"csrf_token": token, "responder": "Kim", "answer": "CORRECT"}) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [303, 303]
    assert len(floor.read_rows()) == 1


CHANGES: Final[dict[str, dict[str, str]]] = {
    "another answer": {"answer": "NO_PROBLEM"},
    "another number": {"quantity": "7"},
    "another note": {"note": "two were on leave"},
    "no note": {"note": ""},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_answer_is_a_new_version_and_the_old_one_stays(floor: Floor, change: dict[str, str]) -> None:
    browser = floor.make_browser(floor.link_alert())
    said = {"responder": "Kim", "answer": "WRONG_QTY", "quantity": "6", "note": "two were sick"}
    browser.send_accepted(**said)
    floor.now += timedelta(minutes=1)
    browser.send_accepted(**{**said, **change})
    first, second = floor.read_rows()
    assert (first["answer"], first["actual_quantity"], first["note"]) == ("WRONG_QTY", 6.0, "two were sick")
    assert second["answered_at"] > first["answered_at"]


def test_who_goes_back_to_an_earlier_answer_has_three_versions_and_the_last_one_counts(floor: Floor) -> None:
    browser = floor.make_browser(floor.link_alert())
    for answer in ("CORRECT", "NO_PROBLEM", "CORRECT"):
        browser.send_accepted(responder="Kim", answer=answer)
        floor.now += timedelta(minutes=1)
    assert len(floor.read_rows()) == 3
    assert scorecard.compute_majorities(read_feedback(floor))["real"].to_list() == [True]


def test_everybody_has_an_answer_of_their_own_and_the_majority_counts(floor: Floor) -> None:
    for responder, answer in (("Kim", "NO_PROBLEM"), ("Maria", "CORRECT"), ("Sam", "NO_PROBLEM")):
        floor.make_browser(floor.link_alert()).send_accepted(responder=responder, answer=answer)
    (majority,) = scorecard.compute_majorities(read_feedback(floor)).to_dicts()
    assert (majority["episode_key"], majority["responders"], majority["real"]) == (EPISODE_KEY, 3, False)


def test_who_comes_back_finds_the_answer_filled_in(floor: Floor) -> None:
    browser = floor.make_browser(floor.link_alert())
    browser.send_accepted(responder="Kim", answer="WRONG_QTY", quantity="6.5", note="two were sick")
    text = unescape(browser.open().text)
    assert "You answered “Right action, wrong number”" in text
    assert 'value="WRONG_QTY" class="answer" aria-current="true"' in text
    assert 'value="6.5"' in text
    assert ">two were sick</textarea>" in text


def test_a_number_goes_with_the_answer_that_it_was_wrong_and_with_no_other(floor: Floor) -> None:
    browser = floor.make_browser(floor.link_alert())
    browser.send_accepted(responder="Kim", answer="WRONG_QTY", quantity="5")
    assert 'value="5"' in browser.open().text
    floor.now += timedelta(minutes=1)
    page = browser.send_accepted(responder="Kim", answer="CORRECT", quantity="5")
    assert "would have been right" not in page.text
    assert read_feedback(floor).sort("answered_at").select("answer", "actual_quantity").rows() == [
        ("WRONG_QTY", 5.0),
        ("CORRECT", None),
    ]


def test_a_wrong_number_needs_the_right_one(floor: Floor) -> None:
    reply = floor.make_browser(floor.link_alert()).send(responder="Kim", answer="WRONG_QTY", note="two were sick")
    assert reply.status_code == 422
    assert "Please type the number that would have been right" in reply.text
    assert ">two were sick</textarea>" in reply.text
    assert not floor.read_rows()


def test_where_no_number_was_requested_none_can_be_wrong(floor: Floor) -> None:
    rec_id = floor.add_notice(rec_id="W1_PICK_TOTAL.DATA.1.1", quantity=None)
    browser = floor.make_browser(floor.link_alert(rec_id))
    assert "WRONG_QTY" not in browser.open().text
    assert browser.send(responder="Kim", answer="WRONG_QTY", quantity="3").status_code == 422
    assert not floor.read_rows()


def test_answers_to_two_notices_of_an_episode_are_about_one_problem(floor: Floor) -> None:
    later = floor.add_notice(rec_id=f"{EPISODE_KEY}.2", label="ONGOING", snapshot_ts=TICK + timedelta(minutes=20))
    floor.make_browser(floor.link_alert(later)).send_accepted(responder="Kim", answer="CORRECT")
    floor.make_browser(floor.link_alert()).send_accepted(responder="Maria", answer="CORRECT")
    rows = read_feedback(floor)
    assert rows["episode_key"].unique().to_list() == [EPISODE_KEY]
    assert rows["episode_ts"].unique().to_list() == [TICK]
    assert rows["rec_id"].n_unique() == 2


def test_what_development_shows_of_a_notice_that_was_suppressed_is_not_taken_for_the_alert(floor: Floor) -> None:
    floor.add_notice(
        notice_id=f"{REC_ID}@20260314T1405Z", label="SUPPRESSED", reason="WINDOW", explanation="suppressed"
    )
    text = floor.make_browser(floor.link_alert()).open().text
    assert "suppressed" not in text
    assert "94.0 % full" in text


def test_a_link_to_what_was_never_sent_shows_nothing(floor: Floor) -> None:
    assert floor.make_browser(floor.link_alert("W1_PICK_TOTAL.OVERFLOW.9.9")).open().status_code == 404


# --- who answers


def test_the_name_is_typed_once(floor: Floor) -> None:
    browser = floor.make_browser(floor.link_alert())
    browser.send_accepted(responder="Zoë Ångström 李", answer="CORRECT")
    assert "You answer as <strong>Zoë Ångström 李</strong>" in browser.open().text
    browser.url = floor.link_missed()
    assert 'value="Zoë Ångström 李"' in browser.open().text


def test_a_link_may_name_who_answers_and_no_form_can_change_it(floor: Floor) -> None:
    browser = floor.make_browser(floor.link_alert(responder="Kim"))
    assert 'name="responder"' not in browser.open().text
    browser.send_accepted(responder="Maria", answer="CORRECT")
    assert [row["responder"] for row in floor.read_rows()] == ["Kim"]


@pytest.mark.parametrize("cookie", ["%ff", "%00", "a" * 500, "<script>", "%F0%9F%92%A9" * 61, "%20"])
def test_a_cookie_that_holds_no_name_does_no_harm(floor: Floor, cookie: str) -> None:
    browser = floor.make_browser(floor.link_alert())
    browser.client.cookies.set("responder", cookie)
    reply = browser.open()
    assert reply.status_code == 200
    assert "<script" not in reply.text


NAMES: Final = {
    "none": "",
    "blank": "  ",
    "too long": "a" * 61,
    "two for each letter": "💥" * 31,
    "control": "\x00\x07",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_without_a_name_nothing_is_recorded(floor: Floor, name: str) -> None:
    reply = floor.make_browser(floor.link_alert()).send(responder=name, answer="CORRECT")
    assert reply.status_code == 422
    assert "Please type your name" in reply.text
    assert not floor.read_rows()


WRONG: Final[dict[str, dict[str, str]]] = {
    "no answer": {"answer": ""},
    "unknown answer": {"answer": "MAYBE"},
    "an answer of another page": {"answer": "MISSED_PROBLEM"},
    "no number": {"quantity": "six"},
    "negative": {"quantity": "-1"},
    "not a number": {"quantity": "nan"},
    "endless": {"quantity": "inf"},
    "too great": {"quantity": "1e9"},
    "a decimal comma": {"quantity": "3,5"},
    "a long note": {"note": "n" * 1001},
    "a field that the form has not": {"warehouse": "W2"},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_what_makes_no_sense_is_not_recorded_and_the_form_says_why(floor: Floor, wrong: dict[str, str]) -> None:
    reply = floor.make_browser(floor.link_alert()).send(**{"responder": "Kim", "answer": "CORRECT", **wrong})
    assert reply.status_code == 422
    assert 'role="alert"' in reply.text
    assert not floor.read_rows()


def test_the_longest_of_everything_is_taken(floor: Floor) -> None:
    said = {"responder": "💥" * 30, "answer": "WRONG_QTY", "quantity": "1000000", "note": "💥" * 500}
    floor.make_browser(floor.link_alert()).send_accepted(**said)
    assert [(row["responder"], row["note"]) for row in floor.read_rows()] == [(said["responder"], said["note"])]


# --- a problem without an alert


def test_a_missed_problem_counts_against_recall(floor: Floor) -> None:
    page = floor.make_browser(floor.link_missed()).send_accepted(**REPORT)
    assert "Thank you, it is recorded" in page.text
    assert "too empty, Sat 14 Mar 2026, 08:42 CDT" in page.text
    (row,) = scorecard.select_missed_problems(read_feedback(floor)).to_dicts()
    assert row == {
        "rec_id": "missed.W1_PICK_TOTAL.STARVATION.20260314T1340Z",
        "responder": "Kim",
        "answered_at": ANSWERED_AT,
        "answer": "MISSED_PROBLEM",
        "actual_quantity": None,
        "note": "the belt stopped",
        "warehouse": "W1",
        "unit_id": "W1_PICK_TOTAL",
        "unit_type": "TOTAL",
        "direction": "STARVATION",
        "episode_key": None,
        "episode_ts": AT_0842,
        "policy_version": POLICY,
    }


def test_a_problem_that_two_report_counts_once(floor: Floor) -> None:
    floor.make_browser(floor.link_missed()).send_accepted(**REPORT)
    floor.make_browser(floor.link_missed()).send_accepted(
        **{**REPORT, "responder": "Maria", "when": "2026-03-14T08:44"}
    )
    assert len(floor.read_rows()) == 2
    assert scorecard.select_missed_problems(read_feedback(floor)).height == 1


def test_a_report_counts_against_the_policy_that_decides_when_it_is_made(floor: Floor) -> None:
    floor.make_browser(floor.link_missed()).send_accepted(**REPORT)
    floor.policy = "3-promoted"
    floor.make_browser(floor.link_missed()).send_accepted(**{**REPORT, "direction": "OVERFLOW"})
    audit = floor.make_browser(floor.link_audit())
    audit.send_accepted(responder="Kim", quiet=list_sample(audit.send_accepted(responder="Kim").text)[0])
    rows = read_feedback(floor).select(pl.col("rec_id").str.split(".").list.first(), "direction", "policy_version")
    assert set(rows.iter_rows()) == {
        ("missed", "STARVATION", POLICY),
        ("missed", "OVERFLOW", "3-promoted"),
        ("audit", "OVERFLOW", "3-promoted"),
    }


def test_a_report_that_was_a_mistake_can_be_taken_back(floor: Floor) -> None:
    browser = floor.make_browser(floor.link_missed())
    browser.send_accepted(**REPORT)
    rec_id = floor.read_rows()[0]["rec_id"]
    floor.now += timedelta(minutes=1)
    page = browser.send_accepted(responder="Kim", withdraw=rec_id)
    assert "The report is withdrawn" in page.text
    assert len(floor.read_rows()) == 2
    assert scorecard.select_missed_problems(read_feedback(floor)).is_empty()


def test_only_the_reporter_takes_back_a_report_or_what_is_no_report(floor: Floor) -> None:
    floor.make_browser(floor.link_missed()).send_accepted(**REPORT)
    floor.make_browser(floor.link_alert()).send_accepted(responder="Kim", answer="CORRECT")
    rec_id = scorecard.select_missed_problems(read_feedback(floor))["rec_id"].item()
    other = floor.link_missed("W2")
    for url, responder, withdrawn in (
        (floor.link_missed(), "Maria", rec_id),
        (floor.link_missed(), "Kim", REC_ID),
        (other, "Kim", rec_id),
    ):
        assert floor.make_browser(url).send(responder=responder, withdraw=withdrawn).status_code == 404
    assert len(floor.read_rows()) == 2


def test_a_link_of_one_warehouse_shows_nothing_of_another(floor: Floor) -> None:
    browser = floor.make_browser(floor.link_missed())
    browser.send_accepted(**REPORT)
    assert "W2_" not in browser.open().text
    browser.url = floor.link_missed("W2")
    shown = browser.client.get(f"{browser.url}?recorded={floor.read_rows()[0]['rec_id']}").text
    assert "W2_PICK_TOTAL" in shown
    assert "W1_" not in shown


UNREPORTABLE: Final[dict[str, dict[str, str]]] = {
    "a unit that does not exist": {"unit_id": "W1_PICK_NONE"},
    "a unit of another warehouse": {"unit_id": "W2_PICK_TOTAL"},
    "no unit": {"unit_id": ""},
    "no direction": {"direction": ""},
    "a direction of data": {"direction": "DATA"},
    "no time": {"when": ""},
    "in a minute": {"when": "2026-03-14T09:04"},
    "too long ago": {"when": "2026-03-07T08:02"},
    "a time of another zone": {"when": "2026-03-14T08:42+00:00"},
    "the last year there is": {"when": "9999-12-31T23:59"},
    "the first year there is": {"when": "0001-01-01T00:00"},
}


@pytest.mark.parametrize("wrong", UNREPORTABLE.values(), ids=UNREPORTABLE)
def test_a_report_that_makes_no_sense_is_not_recorded(floor: Floor, wrong: dict[str, str]) -> None:
    reply = floor.make_browser(floor.link_missed()).send(**{**REPORT, **wrong})
    assert reply.status_code == 422
    assert 'role="alert"' in reply.text
    assert "the belt stopped" in reply.text
    assert not floor.read_rows()


# --- the sample of what was silent


def list_sample(text: str) -> list[str]:
    return [unit for unit in (*LANES, "W1_PICK_TOTAL") if f'name="quiet" value="{unit}"' in text]


def test_everybody_looks_at_the_same_units_of_a_week(floor: Floor) -> None:
    pages = [floor.make_browser(floor.link_audit()).send_accepted(responder=name).text for name in ("Kim", "Maria")]
    samples = [list_sample(page) for page in pages]
    assert samples[0] == samples[1]
    assert len(samples[0]) == 10
    assert "Mon 02 Mar to Sun 08 Mar 2026" in pages[0]
    assert not floor.read_rows()


def test_another_week_has_another_sample(floor: Floor) -> None:
    weeks = (WEEK, "2026-W09", "2026-W08")
    urls = [floor.links.make_audit_url("W1", week, now=TICK) for week in weeks]
    assert len({tuple(list_sample(floor.make_browser(url).send_accepted(responder="Kim").text)) for url in urls}) > 1


def test_a_unit_that_was_alerted_in_the_week_is_no_silent_one(floor: Floor) -> None:
    for number, lane in enumerate(LANES):
        moment = datetime(2026, 3, 8, 12, 0, tzinfo=UTC)
        floor.add_notice(rec_id=f"{lane}.OVERFLOW.{number}.1", snapshot_ts=moment)
    # In Chicago, this is Monday of the next week.
    floor.add_notice(rec_id="W1_PICK_TOTAL.OVERFLOW.2.1", snapshot_ts=datetime(2026, 3, 9, 5, 0, tzinfo=UTC))
    assert list_sample(floor.make_browser(floor.link_audit()).send_accepted(responder="Kim").text) == ["W1_PICK_TOTAL"]


# In Chicago, the week of the sample ends at 05:00 UTC.
ENDS: Final = datetime(2026, 3, 9, 5, tzinfo=UTC)


def test_there_is_no_sample_of_a_week_before_it_is_over_at_the_warehouse(floor: Floor) -> None:
    browser = floor.make_browser(floor.link_audit())
    token, unit = browser.read_token(), list_sample(browser.send_accepted(responder="Kim").text)[0]
    floor.now = ENDS - timedelta(minutes=1)
    assert browser.open().status_code == 404
    form = {"csrf_token": token, "responder": "Kim"}
    problem = {"unit_id": unit, "direction": "OVERFLOW", "when": "2026-03-04T23:30"}
    for said in (form, {**form, "quiet": unit}, {**form, **problem}):
        assert browser.post(said).status_code == 404
    assert not floor.read_rows()
    floor.now = ENDS
    assert unit in list_sample(browser.open().text)
    assert browser.post({**form, "quiet": unit}).status_code == 303


def test_without_a_name_there_is_nothing_to_answer(floor: Floor) -> None:
    assert not list_sample(floor.make_browser(floor.link_audit()).open().text)


def test_a_unit_without_a_problem_takes_one_tap(floor: Floor) -> None:
    browser = floor.make_browser(floor.link_audit())
    unit = list_sample(browser.send_accepted(responder="Kim").text)[0]
    page = browser.send_accepted(responder="Kim", quiet=unit)
    assert "1 of 10 answered" in page.text
    (row,) = floor.read_rows()
    assert (row["rec_id"], row["answer"], row["episode_key"]) == (f"audit.{WEEK}.{unit}", "NO_PROBLEM", None)
    assert scorecard.select_missed_problems(read_feedback(floor)).is_empty()


def test_a_problem_of_a_silent_unit_was_missed_until_it_is_called_none(floor: Floor) -> None:
    browser = floor.make_browser(floor.link_audit())
    unit = list_sample(browser.send_accepted(responder="Kim").text)[0]
    said = {"responder": "Kim", "unit_id": unit, "direction": "OVERFLOW", "when": "2026-03-04T23:30"}
    page = browser.send_accepted(**said)
    assert "too full, Wed 04 Mar 2026, 23:30 CST" in page.text
    (missed,) = scorecard.select_missed_problems(read_feedback(floor)).to_dicts()
    assert (missed["unit_id"], missed["episode_ts"]) == (unit, datetime(2026, 3, 5, 5, 30, tzinfo=UTC))
    floor.now += timedelta(minutes=1)
    browser.send_accepted(responder="Kim", quiet=unit)
    assert scorecard.select_missed_problems(read_feedback(floor)).is_empty()


@pytest.mark.parametrize("when", ["2026-03-01T23:59", "2026-03-09T00:00"])
def test_a_problem_of_an_audit_lies_in_its_week(floor: Floor, when: str) -> None:
    browser = floor.make_browser(floor.link_audit())
    unit = list_sample(browser.send_accepted(responder="Kim").text)[0]
    said = {"responder": "Kim", "unit_id": unit, "direction": "OVERFLOW", "when": when}
    assert browser.send(**said).status_code == 422
    assert not floor.read_rows()


def test_a_unit_outside_of_the_sample_is_ignored(floor: Floor) -> None:
    browser = floor.make_browser(floor.link_audit())
    others = {*LANES, "W1_PICK_TOTAL"} - set(list_sample(browser.send_accepted(responder="Kim").text))
    assert browser.send(responder="Kim", quiet=min(others)).status_code == 422
    assert not floor.read_rows()


# --- the clock of a warehouse


CLOCKS: Final[dict[str, tuple[str, datetime]]] = {
    # In Chicago, 02:30 is skipped on 8 March; 02:30 read an hour too early is 03:30.
    "skipped": ("2026-03-08T02:30", datetime(2026, 3, 8, 8, 30, tzinfo=UTC)),
    "before": ("2026-03-08T01:59", datetime(2026, 3, 8, 7, 59, tzinfo=UTC)),
    "after": ("2026-03-08T03:00", datetime(2026, 3, 8, 8, 0, tzinfo=UTC)),
}


@pytest.mark.parametrize(("when", "moment"), CLOCKS.values(), ids=CLOCKS)
def test_a_time_is_the_warehouses_own_on_the_day_its_clock_moves(floor: Floor, when: str, moment: datetime) -> None:
    floor.make_browser(floor.link_missed()).send_accepted(**{**REPORT, "when": when})
    assert read_feedback(floor)["episode_ts"].to_list() == [moment]


def test_the_store_holds_times_as_they_are(floor: Floor) -> None:
    floor.make_browser(floor.link_alert()).send_accepted(responder="Kim", answer="CORRECT")
    rows = floor.store.read_answers(REC_ID, "Kim")
    schema.FEEDBACK.validate(rows)
    assert rows.schema["answered_at"] == TIMESTAMP
    assert rows["answered_at"].to_list() == [ANSWERED_AT]
