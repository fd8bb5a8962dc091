"""Runbooks: one for each check, alarm and queue, and each command in them works as it is written."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fillrate_assets import settings
from fillrate_assets.cli import fulfillment_systems as systems
from fillrate_assets.cli import main
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.fulfillment.defs import checks
from fillrate_assets.fulfillment.event_intake import EVENT_QUEUE
from fillrate_assets.fulfillment.rules.alarms import name_runbook
from fillrate_assets.fulfillment.rules.lifecycles import FUNCTIONS, LIFECYCLES
from fillrate_assets.fulfillment.transition_log import TransitionLog
from fillrate_assets.messaging.dbos_engine import DbosWorker
from fillrate_assets.messaging.jobs import Job, Parked, QueueOptions, Result
from fillrate_assets.settings import Settings
from fillrate_assets_tests.conftest import ROOT
from fillrate_assets_tests.factories.fulfillment_events import AT, LINES, make_event
from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS, wait_until

FOLDER = ROOT / "docs" / "runbooks"
PAGES = sorted(FOLDER.glob("*.md"))
PARTS = ("Symptom", "Meaning", "Look", "Act", "Verify", "Escalate")
COMMANDS = sorted({line for page in PAGES for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
                   for line in block.splitlines()})  # fmt: skip


def test_each_check_alarm_and_queue_has_a_runbook_and_there_is_no_other() -> None:
    found = {key.name for check in checks.CHECKS for key in check.check_keys}
    specs = [spec for check in checks.CHECKS for spec in check.check_specs]
    assert [spec.name for spec in specs if name_runbook(spec.name) not in (spec.description or "")] == []
    of_queues = {f"{name_runbook('queue')[:-3]}-{name}.md" for name in (EVENT_QUEUE, *FUNCTIONS)}
    assert {str(page.relative_to(ROOT)) for page in PAGES} == {*map(name_runbook, found), *of_queues}


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_a_runbook_says_what_it_means_what_to_do_and_whom_to_call(page: Path) -> None:
    text = page.read_text()
    assert tuple(re.findall(r"(?m)^\*\*(\w+)\.\*\* ", text)) == PARTS
    assert len(text.splitlines()) <= 45


def test_the_runbook_of_a_queue_names_its_effects() -> None:
    effects = [each for machine in LIFECYCLES.values() for each in machine.effects.items()]
    for function in FUNCTIONS:
        text = (FOLDER / f"queue-{function}.md").read_text()
        assert {kind for kind, of in effects if of == function} <= set(re.findall(r"`(\w+)`", text)), function


@pytest.fixture
def troubled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home with an order that waits, a rejected event, a parked one and two jobs that were given up."""
    monkeypatch.setenv("FILLRATE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    document = {"type": "CancelRequested", "order_id": "O1", "dc": "DC01", "ship_date": "2026-02-12", "source": "oms"}
    rest = {"source_version": 1, "occurred_at": "2026-02-10T12:00:00Z", "payload": {"reason": "no need"}}
    (tmp_path / "events.jsonl").write_text(json.dumps({**document, **rest}))
    chosen = settings.load()
    database = systems.open_database(chosen)
    log = TransitionLog(database, "1.0")
    for event in (make_event("OrderReceived", lines=LINES), make_event("OrderReceived", number=2, lines=LINES)):
        log.apply(event, actor="worker", now=AT)
    return chosen


def give_up(chosen: Settings) -> dict[str, list[str]]:
    """Let a worker give two jobs up and park one; return their ids by what became of them."""

    def run(job: Job) -> Result:
        if job.job_id == "early":
            return Parked("too early")
        raise PermanentFailure(job.job_id)

    with systems.make_queue(chosen, "the test") as queue:
        queue.enqueue([Job(job_id, EVENT_QUEUE) for job_id in ("early", "refused", "wrong")])
        with DbosWorker(queue, [QueueOptions(EVENT_QUEUE)], {EVENT_QUEUE: run}, stopping_seconds=0):
            wait_until(lambda: queue.list_parked(1) and len(queue.list_dead_letters(9)) == len(("refused", "wrong")))
        found = {"parked": queue.list_parked(9), "dead-letters": queue.list_dead_letters(9)}
    return {name: [each.job.job_id for each in jobs] for name, jobs in found.items()}


@pytest.mark.slow
def test_each_command_of_the_runbooks_works_as_it_is_written(
    troubled: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = give_up(troubled)
    assert {"fillrate fulfillment status", "fillrate fulfillment dead-letters redrive JOB"} < {*COMMANDS}
    for command in COMMANDS:
        program, area, name, *rest = shlex.split(command)
        assert (program, area) == ("fillrate", "fulfillment")
        given = [jobs[name].pop() if each == "JOB" else "O1" if each == "ORDER" else each for each in rest]
        if name == "worker":
            start_and_stop(area, name, *given)
        else:
            assert main.execute([area, name, *given]) == 0, (command, capsys.readouterr())


def start_and_stop(*arguments: str) -> None:
    """Start a command that runs until it is stopped."""
    program = "import sys; from fillrate_assets.cli.main import main; sys.argv[0] = 'fillrate'; main()"
    command = [sys.executable, "-c", program, *arguments]
    with subprocess.Popen(  # noqa: S603 - our own command
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert "listens to events" in next(line for line in process.stderr if "listens" in line)
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 0
