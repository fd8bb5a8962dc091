"""`fillrate buffers`: what a short simulated day prints."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
import sqlalchemy as sa

from fillrate_assets import settings
from fillrate_assets.buffers import schema
from fillrate_assets.buffers.buffer_store import BufferStore
from fillrate_assets.buffers.policy_store import POLICIES, PolicyStore
from fillrate_assets.buffers.report.policy_backtest import evaluate_challenger
from fillrate_assets.buffers.rules.policy import Policy
from fillrate_assets.buffers.rules.tick import MasterData
from fillrate_assets.buffers.tick_store import LakeTickStore
from fillrate_assets.cli import buffers_demo, main
from fillrate_assets.cli.buffers_demo import TickResult
from fillrate_assets.notifications.signed_links import MIN_SECRET, ExpiredLinkError, Link, LinkSigner, find_last_week
from fillrate_assets.settings import Settings
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.lake import Lake
from fillrate_assets_tests.conftest import ROOT
from fillrate_assets_tests.factories import buffers_frames
from fillrate_assets_tests.factories.buffers_frames import TICK
from fillrate_assets_tests.factories.web_floor import SECRET
from fillrate_assets_tests.fixtures.embedded import create_database

Printed = tuple[int, str, str]
URL: Final = "https://feedback.example"
CHICAGO: Final = ZoneInfo("America/Chicago")
EAGER: Final = {"total": {"act": 0.9}}
LINKED: Final = {"web__feedback_url": URL, "web__feedback_secret": SECRET}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("buffers")
    shutil.copy(ROOT / "dagster.yaml", directory)
    create_database(settings.load(home=directory / "home").storage.record_store_url)
    return directory


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Printed]:
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setenv("FILLRATE_HOME", str(home / "home"))

    def execute(*arguments: str) -> Printed:
        code = main.execute(["buffers", *arguments])
        return (code, *capsys.readouterr())

    return execute


@pytest.mark.sweep
@pytest.mark.slow
def test_a_day_is_run_shown_scored_and_explained(run: Callable[..., Printed], home: Path) -> None:
    code, out, err = run("demo", "--warehouses", "1", "--hours", "1")
    assert (code, err) == (0, "")
    assert "1 warehouses" in out
    assert re.search(r"\d\d:00 UTC: \d+ \w+.*; messages so far: \d+", out)
    assert "How right that was" in out
    assert "Messages of the worst tick" in out
    # It made a secret, so that the pages for answers can be served.
    assert " serve\n" in out
    assert settings.load().web.feedback_url == settings.LOCAL_FEEDBACK_URL
    with dg.DagsterInstance.from_config(str(home)) as instance:
        (finished,) = instance.get_runs()
    assert (finished.job_name, finished.status) == ("buffer_tick", dg.DagsterRunStatus.SUCCESS)

    # Again, it sends nothing that it has sent.
    code, again, err = run("demo", "--warehouses", "1", "--hours", "1")
    assert (code, err) == (0, "")
    assert "(unchanged)" in again
    assert set(re.findall(r"messages so far: (\d+)", again)) == {"0"}

    code, _, err = run("demo", "--warehouses", "2", "--hours", "1")
    assert code == 2
    assert "holds other floors" in err

    code, chain, err = run("explain", "W0001_PACK_TOTAL", "2026-11-11T04:57")
    assert (code, err) == (0, "")
    assert chain.startswith("W0001_PACK_TOTAL (TOTAL, pool PACK of W0001, DC01) at 2026-11-11 04:55 UTC")
    assert "7. What the floor answered" in chain

    code, _, err = run("explain", "W0001_PACK_TOTAL", "2026-12-24T10:00")
    assert code == 2
    assert "nothing is stored of W0001_PACK_TOTAL at 2026-12-24T10:00 UTC" in err
    code, _, err = run("explain", "W0001_PACK_NONE", "2026-11-11T04:57")
    assert code == 2
    assert "no unit W0001_PACK_NONE; there are W0001_" in err

    assert run("board")[1].startswith("2026-11-11 05:00 UTC")
    code, out, err = run("board", "--at", "2026-11-11T04:57")
    assert (code, err) == (0, "")
    assert re.match(r"2026-11-11 04:55 UTC, \d\d:55 there: \d+ \w+", out)
    assert re.search(r"\n[A-Z_]+ +W0001_PACK_TOTAL +Pack total +\d+ % ", out)

    code, out, err = run("tick", "--at", "2026-11-11T04:52")
    assert (code, err) == (0, "")
    assert out.startswith("2026-11-11 04:50 UTC: done")

    code, out, err = run("policies", "propose", "--set", "total.act=0.9", "--set", "jam.fill=0.8")
    assert (code, err) == (0, "")
    (version,) = re.findall(r"^(v1-\w{8}) runs beside", out)
    code, out, _ = run("policies")
    assert re.search(rf"CHAMPION.*\n{version} +CHALLENGER", out) or re.search(rf"{version} +CHALLENGER", out)
    code, out, err = run("policies", "promote", version)
    assert (code, err) == (1, "")
    assert "Against it: 0 labelled episodes are less than 200." in out
    code, out, err = run("policies", "retire", version)
    assert (code, out, err) == (0, f"{version} runs no more\n", "")

    code, out, err = run("replay", "--from", "2026-11-11T04:50", "--to", "2026-11-11T04:55", "--set", "total.act=0.9")
    assert code == 0
    assert re.search(r"v1-\w+ against replay-\w+|Neither policy", out)


@pytest.mark.parametrize(
    ("name", "value", "place"),
    [
        ("SOURCES__FLOOR_FEEDS_URL", "postgresql+psycopg://u@db.example/feeds", "floor feeds"),
        ("STORAGE__RECORD_STORE_URL", "postgresql+psycopg://u@db.example/records", "record store"),
        ("STORAGE__LAKE_ROOT", "s3://bucket/lake", "lake"),
    ],
)
def test_the_demo_writes_into_no_system_of_a_company(
    run: Callable[..., Printed], monkeypatch: pytest.MonkeyPatch, name: str, value: str, place: str
) -> None:
    monkeypatch.setenv(f"FILLRATE_{name}", value)
    code, out, err = run("demo")
    assert (code, out) == (2, "")
    assert f"{place}: settings name a place outside of the home" in err


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("total.akt=0.9", "there is no total.akt; there are act, act_soon"),
        ("totals.act=0.9", "there is no totals; there are"),
        ("total=0.9", "total has parts: emergency, act"),
        ("total.act.more=1", "total.act is 0.93, it cannot be"),
        ("total.act=much", "much is not a number"),
        ("total.act", "nothing is not a number"),
    ],
)
def test_a_policy_value_that_is_none_is_named(run: Callable[..., Printed], change: str, problem: str) -> None:
    code, out, err = run("replay", "--from", "2026-11-11T04:30", "--to", "2026-11-11T04:55", "--set", change)
    assert (code, out) == (2, "")
    assert problem in err


def test_pages_that_cannot_be_served_are_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FILLRATE_HOME", str(tmp_path))  # in the home of the others a demo may have made a secret
    assert main.execute(["serve"]) == 2
    problem = capsys.readouterr().err
    assert "the feedback service needs FILLRATE_WEB__FEEDBACK_URL" in problem
    assert problem.count("\n") == 1


@pytest.mark.usefixtures("chicago")
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["explain", "W0001_PACK_TOTAL", "yesterday"], "'yesterday' is not a time; write YYYY-MM-DDTHH:MM, UTC"),
        (["demo", "--warehouses", "0"], "0 is not in the range"),
        (["links", "W0001"], "the feedback service needs FILLRATE_WEB__FEEDBACK_URL"),
        (["board", "--at", "2026-01-01T00:00"], "no tick is stored until 2026-01-01T00:00 UTC"),
        (["policies", "promote", "v9"], "v9 is no challenger; there are none"),
        (["policies", "retire", "v9"], "v9 is no challenger"),
    ],
)
def test_bad_usage_is_one_clear_line(run: Callable[..., Printed], arguments: list[str], problem: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert problem in err


# --- one warehouse in Chicago


@pytest.fixture
def chicago(
    run: Callable[..., Printed],  # noqa: ARG001 - it names another home, which is taken back here
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Settings:
    """A home of its own, in which W1 is known."""
    monkeypatch.setenv("FILLRATE_HOME", str(tmp_path))
    chosen = settings.load()
    create_database(chosen.storage.record_store_url)
    nothing = [frame.make_empty().collect() for frame in (schema.UNIT_MEMBERS, schema.SHIFTS, schema.ALERT_ROUTES)]
    BufferStore(Database(chosen.storage.record_store_url)).merge_master_data(
        MasterData(buffers_frames.make_warehouses({}), *nothing)
    )
    return chosen


@pytest.mark.usefixtures("chicago")
def test_the_links_of_a_warehouse_are_of_last_week_and_say_how_long_they_work(
    run: Callable[..., Printed], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in LINKED.items():
        monkeypatch.setenv(f"FILLRATE_{name}".upper(), value)
    before = datetime.now(UTC)
    code, out, err = run("links", "W1")
    weeks = {find_last_week(moment, CHICAGO) for moment in (before, datetime.now(UTC))}
    assert (code, err) == (0, "")
    assert "last week's sample of silent units" in out
    signer, links = LinkSigner(URL, [SECRET]), []
    for until, token in re.findall(r"until (\S+ \S+) UTC: \S+/f/(\S+)", out):
        ends = datetime.fromisoformat(f"{until}Z")
        links.append(signer.read(token, now=ends - timedelta(minutes=1)))
        with pytest.raises(ExpiredLinkError):
            signer.read(token, now=ends + timedelta(minutes=1))
    missed, audit = links
    assert missed == Link("missed", "W1")
    assert audit in {Link("audit", "W1", week) for week in weeks}

    code, out, err = run("links", "W9")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert "there is no warehouse W9" in err


def test_a_policy_that_does_not_run_is_not_listed_as_one_that_does(
    run: Callable[..., Printed], chicago: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    said = {"changes": "{}", "since_ts": TICK.replace(tzinfo=None), "updated_by": "bob"}
    roles = {Policy().version: "RETIRED", "v1-00000000": "CHAMPION", "v1-11111111": "CHALLENGER"}
    with sa.create_engine(chicago.storage.record_store_url).begin() as connection:
        for version, role in roles.items():
            connection.execute(POLICIES.insert().values(version=version, role=role, **said))
    own = [Policy().version, "CHAMPION", "the", "platform's", "own"]
    since, idle = ["2026-03-14", "14:00", "bob", "{}"], ["(cannot", "be", "used:", "does", "not", "run)"]
    others = [["v1-00000000", "CHAMPION", *since, *idle], ["v1-11111111", "CHALLENGER", *since, *idle]]
    code, out, _ = run("policies")
    assert code == 0
    assert [line.split() for line in out.splitlines()[2:]] == [own, *others]
    assert "made by another release" in caplog.text

    code, out, _ = run("policies", "retire", "v1-00000000")
    assert (code, out) == (0, "v1-00000000 runs no more\n")
    code, out, _ = run("policies")
    assert out.splitlines()[2].split() == own
    assert re.search(r"v1-00000000 +RETIRED +\S+ \S+ +\w+ +{}\n", out)


TRIALS: Final = {
    "yesterday": (timedelta(days=1), timedelta(days=1), 0),
    "long ago": (timedelta(days=40), timedelta(days=14), 1),
}


@pytest.mark.parametrize(("ago", "length", "episodes"), TRIALS.values(), ids=TRIALS)
def test_a_trial_begins_no_earlier_than_its_challenger(
    chicago: Settings, ago: timedelta, length: timedelta, episodes: int
) -> None:
    now = TICK + timedelta(days=3)
    eager = PolicyStore(Database(chicago.storage.record_store_url)).propose(EAGER, by="ann", now=now - ago)
    LakeTickStore(Lake(chicago.storage.lake_root), ("CHI",)).write(schema.ALERTS, buffers_frames.make_alerts({}), TICK)
    BufferStore(Database(chicago.storage.record_store_url)).add_feedback(
        buffers_frames.make_feedback({"answer": "NO_PROBLEM"}).row(0, named=True)
    )
    evidence = evaluate_challenger(chicago, eager.version, 14, now=now).evidence
    assert (evidence.since, evidence.until, evidence.episodes) == (now - length, now, episodes)
    assert ("1 days are less than 14" in evidence.objections) == (length.days == 1)


# --- the end of the demo


def test_the_worst_tick_is_the_one_with_most_to_do() -> None:
    def make_result(number: int, *alerts: dict[str, str]) -> TickResult:
        rows = buffers_frames.make_alerts(*({"unit_id": f"W1_PACK_P{n}", **each} for n, each in enumerate(alerts)))
        return TickResult(buffers_frames.make_tick(number), buffers_frames.NO_HISTORY, rows, 0)

    emergency = {"severity": "EMERGENCY"}
    suppressed = {**emergency, "label": "SUPPRESSED", "reason": "WINDOW"}
    results = [make_result(0, {}, {}, {}), make_result(1, emergency), make_result(2, suppressed), make_result(3)]
    assert buffers_demo.find_worst_tick(results) == results[1]
    assert buffers_demo.find_worst_tick(results[::2]) == results[0]


def test_the_demo_makes_a_secret_once_and_takes_the_one_that_is_there(tmp_path: Path) -> None:
    made = settings.load(home=tmp_path).with_local_feedback()
    again = settings.load(home=tmp_path)
    assert again.web == made.web
    assert again.with_local_feedback() == again
    assert len(made.web.feedback_secret.get_secret_value()) >= MIN_SECRET
    assert made.settings_file.stat().st_mode & 0o777 == 0o600
    own = settings.load(home=tmp_path / "other", **LINKED)
    assert own.with_local_feedback() == own


# --- what to go on with


@pytest.mark.parametrize("given", [{}, {"web__feedback_url": URL}, {"web__feedback_secret": SECRET}, LINKED])
def test_the_pages_are_suggested_only_where_they_can_be_served(tmp_path: Path, given: dict[str, str]) -> None:
    steps = buffers_demo.list_next_steps(
        buffers_frames.make_alerts({}), "fillrate", settings.load(home=tmp_path, **given)
    )
    assert "  fillrate buffers explain W1_PICK_TOTAL 2026-03-14T14:00" in steps
    assert ("  fillrate serve" in steps) == (given == LINKED)
