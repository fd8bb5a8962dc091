"""Runbooks: one for each check, alarm and queue, and each command in them works as it is written."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest

from fillrate_assets import settings
from fillrate_assets.cli import fulfillment_systems as systems
from fillrate_assets.cli import main
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.core.runbooks import name_runbook
from fillrate_assets.fulfillment.defs import checks
from fillrate_assets.fulfillment.event_intake import EVENT_QUEUE
from fillrate_assets.fulfillment.rules.lifecycles import FUNCTIONS, LIFECYCLES
from fillrate_assets.fulfillment.transition_log import TransitionLog
from fillrate_assets.inventory.defs import assets as inventory
from fillrate_assets.inventory.fan_out import name_queue
from fillrate_assets.inventory.rules.sync_alarms import ReplicaSync, SyncStatus, find_alarms
from fillrate_assets.messaging.dbos_engine import DbosWorker
from fillrate_assets.messaging.jobs import Job, Parked, QueueOptions, Result
from fillrate_assets.settings import Settings
from fillrate_assets_tests.conftest import ROOT
from fillrate_assets_tests.factories.fulfillment_events import AT, LINES, make_event
from fillrate_assets_tests.factories.stock_changes import NOON
from fillrate_assets_tests.fixtures.patience import PATIENCE_SECONDS, wait_until

FOLDER = ROOT / "docs" / "runbooks"
PAGES = sorted(FOLDER.glob("*.md"))
OF_NO_ALARM = {"docs/runbooks/restore.md"}
"""What people see by themselves; `integration/test_restore.py` goes through it."""
PARTS = ("Symptom", "Meaning", "Look", "Act", "Verify", "Escalate")
COMMANDS = sorted({line for page in PAGES for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
                   for line in block.splitlines()})  # fmt: skip


def test_each_check_alarm_and_queue_has_a_runbook_and_there_is_no_other() -> None:
    reconciliation = next(
        each for each in inventory.build(date(2026, 2, 1), "sqlite") if each.key == inventory.RECONCILIATION
    )
    assert isinstance(reconciliation, dg.AssetsDefinition)
    parts = (*checks.CHECKS, inventory.reconciliation_age, reconciliation)
    specs = [spec for part in parts for spec in part.check_specs]
    found = {spec.name for spec in specs} | {*find_alarms(make_troubled_status(), now=NOON)}
    assert [spec.name for spec in specs if name_runbook(spec.name) not in (spec.description or "")] == []
    of_queues = {f"{name_runbook('queue')[:-3]}-{name}.md" for name in (EVENT_QUEUE, *FUNCTIONS)}
    assert {str(page.relative_to(ROOT)) for page in PAGES} == {*map(name_runbook, found), *of_queues} | OF_NO_ALARM


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_a_runbook_says_what_it_means_what_to_do_and_whom_to_call(page: Path) -> None:
    text = page.read_text()
    assert tuple(re.findall(r"(?m)^\*\*(\w+)\.\*\* ", text)) == PARTS
    assert len(text.splitlines()) <= 45


def make_troubled_status() -> SyncStatus:
    """Make a status of the sync in which everything is wrong."""
    late = ReplicaSync("DC02", 1, 1, 1, timedelta(minutes=1), timedelta(minutes=1))
    hour_ago = NOON - timedelta(hours=1)
    return SyncStatus((late,), 1, hour_ago, 1, {"DC02": hour_ago})


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

    replica = name_queue("DC02")

    def run(job: Job) -> Result:
        if job.job_id == "early":
            return Parked("too early")
        raise PermanentFailure(job.job_id)

    with systems.make_queue(chosen, "the test") as queue:
        queue.enqueue([Job(job_id, EVENT_QUEUE) for job_id in ("early", "refused", "wrong")])
        queue.enqueue([Job(f"DC02:{number}", replica) for number in (1, 2)])
        queues = [QueueOptions(name) for name in (EVENT_QUEUE, replica)]
        with DbosWorker(queue, queues, {each.name: run for each in queues}, stopping_seconds=0):
            wait_until(lambda: queue.list_parked(1) and len(queue.list_dead_letters(9)) == 2 * len(queues))
        dead = [(each.job.queue, each.job.job_id) for each in queue.list_dead_letters(9)]
        parked = [each.job.job_id for each in queue.list_parked(9)]
    letters = {
        f"{area} dead-letters": [job_id for name, job_id in dead if name == queue_name]
        for area, queue_name in (("fulfillment", EVENT_QUEUE), ("inventory", replica))
    }
    return {**letters, "fulfillment parked": parked}


@pytest.mark.slow
def test_each_command_of_the_runbooks_works_as_it_is_written(
    troubled: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = give_up(troubled)
    assert {"fillrate fulfillment status", "fillrate fulfillment dead-letters redrive JOB"} < {*COMMANDS}
    for command in sorted(COMMANDS, key=lambda line: " set " not in line):
        program, area, name, *rest = shlex.split(command)
        assert program == "fillrate"
        known = {"ORDER": "O1", "ITEM": "4711", "DC": "DC01"}
        given = [jobs[f"{area} {name}"].pop() if each == "JOB" else known.get(each, each) for each in rest]
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
