"""`fillrate fulfillment`: a day with faults, events from a file, and what became of an order."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fillrate_assets import settings
from fillrate_assets.cli import fulfillment_systems as systems
from fillrate_assets.cli import main
from fillrate_assets.fulfillment.rules.lifecycles import FUNCTIONS
from fillrate_assets.fulfillment.transition_log import HEADS
from fillrate_assets.sample.fulfillment_targets import Faults, SimulatedWorld
from fillrate_assets.settings import Settings
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.factories.fulfillment_events import LINES
from fillrate_assets_tests.fixtures.patience import wait_until

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("FILLRATE_HOME", str(tmp_path / "home"))
    return settings.load()


@pytest.fixture
def run(chosen: Settings, capsys: pytest.CaptureFixture[str]) -> Run:
    assert chosen.fulfillment.queue_url.startswith("sqlite")

    def execute(*arguments: object) -> tuple[int, str, str]:
        code = main.execute(["fulfillment", *map(str, arguments)])
        return (code, *capsys.readouterr())

    return execute


def make_document(event_type: str = "OrderReceived", **changed: object) -> dict[str, Any]:
    placed = {"order_id": "O1", "dc": "DC01", "ship_date": "2026-02-12", "source": "oms", "source_version": 1}
    payload = {"customer": "C1", "lines": LINES}
    return {"type": event_type, **placed, "occurred_at": "2026-02-10T12:00:00Z", "payload": payload, **changed}


def write(directory: Path, *documents: object) -> Path:
    file = directory / "events.jsonl"
    file.write_text("\n".join(map(json.dumps, documents)))
    return file


def work(chosen: Settings, world: SimulatedWorld) -> None:
    """Run a worker until nothing is left to do."""
    with systems.make_queue(chosen, "the test") as queue, systems.open_database(chosen).hold_open() as database:
        _, engine = systems.make_worker(chosen, database, queue, world.make_targets(FUNCTIONS), "worker")
        engine.stopping_seconds = 0
        with engine:
            wait_until(lambda: queue.count_unfinished() == 0, queue.count_waiting)


@pytest.mark.sweep
@pytest.mark.slow
def test_a_day_with_faults_loses_and_doubles_nothing(run: Run) -> None:
    code, shown, _ = run("demo", "--orders", 6, "--parties", 3, "--no-outage")
    assert code == 0
    counts = {line.rsplit("  ", 1)[0].strip(): line.rsplit(" ", 1)[1] for line in shown.splitlines() if "  " in line}
    assert counts["applied"] != "0"
    assert {counts[name] for name in ("effects doubled", "events lost", "effects lost", "heads wrong")} == {"0"}


@pytest.mark.slow
def test_an_order_is_submitted_worked_on_and_explained(run: Run, chosen: Settings, tmp_path: Path) -> None:
    cloud = {
        "specversion": "1.0",
        "id": "of the message",
        "type": "OnboardingRequested",
        "source": "crm",
        "subject": "V7",
        "time": "2026-02-10T12:00:00Z",
        "sourceversion": "a",
        "data": {"party": "vendor", "name": "V7"},
    }
    other = make_document(payload={"customer": "C2", "lines": LINES})
    file = write(tmp_path, make_document(), cloud, make_document(), other, {**cloud, "specversion": "0.3"}, 7)
    code, shown, problems = run("submit", file)
    assert (code, shown) == (
        2,
        "2 accepted, 1 known already, 1 known with another payload, 2 refused\n",
    )
    assert problems.splitlines() == ["event 5: specversion is '1.0'", "event 6: is no object"]
    assert run("status", "O1")[1].splitlines() == [
        "O1: no event is applied",
        "waits to be applied: OrderReceived of oms",
    ]
    work(chosen, SimulatedWorld(Faults(0.0001, late_seconds=0.01), seed=3))
    assert run("status", "O1")[1].startswith("O1, order of DC01, ships 2026-02-12: DELIVERED since ")
    assert "OrderValidated" in run("history", "O1")[1]
    explained = run("explain", "O1")[1].splitlines()
    assert "   validate_order: done" in explained
    assert explained[-1] == "left by: ReturnReceived"
    assert run("explain", "V7")[1].splitlines()[-1] == "left by: PartySuspended, PartyClosed"
    assert run("replay", "verify")[1].startswith("2 orders and parties, 13 events: as the log says; ")
    assert run("parked") == (0, "nothing is parked\n", "")
    totals = run("status")[1].splitlines()
    assert totals[0] == "orders and parties: 1 ACTIVE, 1 DELIVERED"
    assert totals[3:] == ["jobs that are due: none; put off: 0", "parked: 0; dead letters: 0"]
    code, _, problem = run("status", "O2")
    assert (code, problem) == (2, "fillrate: error: there is no event of O2\n")


@pytest.mark.slow
def test_an_effect_that_was_given_up_is_listed_and_tried_again(run: Run, chosen: Settings, tmp_path: Path) -> None:
    assert run("dead-letters") == (0, "there are no dead letters\n", "")
    run("submit", write(tmp_path, make_document("OnboardingRequested", payload={"party": "dc", "name": "DC07"})))
    work(chosen, SimulatedWorld(Faults(0.0001, refused_share=1)))
    assert "O1:1:validate_party  onboarding" in run("dead-letters")[1]
    assert "dead: validate_party (O1:1:validate_party), attempts: 1: onboarding refuses" in run("status", "O1")[1]
    assert run("dead-letters", "redrive", "O1:1:validate_party")[1] == "O1:1:validate_party is tried again\n"
    assert "pending: validate_party" in run("status", "O1")[1]
    assert run("dead-letters", "discard", "O1:1:validate_party", "--reason", "it is done")[0] == 2


@pytest.mark.slow
def test_heads_that_are_wrong_are_rebuilt_from_the_log(run: Run, chosen: Settings, tmp_path: Path) -> None:
    run("submit", write(tmp_path, *[make_document(order_id=f"O{number}") for number in range(4)]))
    work(chosen, SimulatedWorld(Faults(0.0001, late_seconds=0.01), seed=3))
    with Database.from_settings(chosen).begin() as connection:
        connection.execute(HEADS.update().where(HEADS.c.order_id == "O1").values(state="PACKED"))
        connection.execute(HEADS.delete().where(HEADS.c.order_id == "O2"))
    code, shown, problems = run("replay", "verify", "--dc", "DC01", "--since", 1, "--ship-date", "2026-02-12")
    assert (code, "2 differ" in shown) == (1, True)
    first, second = problems.splitlines()
    assert re.fullmatch(r"O1: the head is PACKED at version (\d+), the log folds into DELIVERED at version \1", first)
    assert re.fullmatch(r"O2: the head is NOTHING at version 0, the log folds into \w+ at version \d+", second)
    assert run("replay", "verify", "--order", "O3")[0] == 0
    code, shown, _ = run("replay", "rebuild")
    assert (code, shown.splitlines()[-1]) == (0, "2 rebuilt")
    assert run("replay", "verify")[0] == 0


@pytest.mark.slow
def test_events_and_effects_are_replayed_with_a_reason_and_an_approver(
    run: Run, chosen: Settings, tmp_path: Path
) -> None:
    run("submit", write(tmp_path, make_document("OnboardingRequested", payload={"party": "dc", "name": "DC07"})))
    work(chosen, SimulatedWorld(Faults(0.0001, late_seconds=0.01), seed=3))
    again = ["replay", "redeliver", "--order", "O1"]
    assert run(*again)[0] == 2
    assert run(*again, "--reason", "a test")[1] == "4 events are enqueued again\n"
    effect = ["replay", "refire", "--effect", "O1:1:validate_party", "--reason", "a test"]
    assert "an --approver" in run(*effect)[2]
    assert run(*effect, "--approver", "ben", "--new-generation")[1] == "O1:1:validate_party:2 is requested again\n"
    world = SimulatedWorld(Faults(0.0001, late_seconds=0.01), seed=3)
    work(chosen, world)
    assert set(world.requests) == {"O1:1:validate_party:2"}
    assert run("replay", "verify", "--until", 1)[1].startswith("1 orders and parties, 4 events: as the log says; ")
    first, second = run("history", "O1")[1].splitlines()[-2:]
    assert first.startswith("redelivered at ")
    assert second.startswith("refired O1:1:validate_party:2 at ")
    assert second.endswith(", approved by ben: a test")


@pytest.mark.parametrize(
    ("setting", "value", "problem"),
    [
        ("TARGETS", '{"shop": "https://shop.example"}', "fulfillment.targets names shop; the functions are order"),
        ("CONCURRENCY", '{"shop": 3}', "fulfillment.concurrency names shop, which is no queue"),
    ],
)
def test_a_setting_that_names_no_function_is_refused(
    run: Run, monkeypatch: pytest.MonkeyPatch, setting: str, value: str, problem: str
) -> None:
    monkeypatch.setenv(f"FILLRATE_FULFILLMENT__{setting}", value)
    code, _, said = run("worker", "--simulated")
    assert code == 2
    assert problem in said
