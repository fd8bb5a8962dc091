"""What Dagster shows of fulfillment, and the jobs that people start there."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from fillrate_assets import settings
from fillrate_assets.definitions import build_defs
from fillrate_assets.fulfillment.accepted_events import AcceptedEvents
from fillrate_assets.fulfillment.defs import assets, checks
from fillrate_assets.fulfillment.defs.resources import FulfillmentPipeline
from fillrate_assets.fulfillment.event_intake import EVENT_QUEUE
from fillrate_assets.fulfillment.report.order_report import read_order
from fillrate_assets.fulfillment.rules import alarms
from fillrate_assets.fulfillment.transition_log import HEADS, TransitionLog
from fillrate_assets.messaging.jobs import Job
from fillrate_assets.notifications.platform_outbox import Outbox
from fillrate_assets_tests.factories.fulfillment_events import LINES, make_event
from fillrate_assets_tests.fixtures.embedded import create_database
from fillrate_assets_tests.fixtures.home import QUIET

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Pipeline:
    """An embedded pipeline without a worker: what a test says happened is written by hand."""

    settings: settings.Settings
    instance: dg.DagsterInstance
    cursors: list[str | None] = field(default_factory=lambda: [None])

    @property
    def system(self) -> FulfillmentPipeline:
        return FulfillmentPipeline.from_settings(self.settings)

    @property
    def outbox(self) -> Outbox:
        return Outbox(self.system.database)

    def receive(self, order_id: str, *, ago: timedelta = timedelta(0), lag: timedelta = timedelta(0)) -> None:
        """Apply the first event of an order."""
        event, now = make_event("OrderReceived", order_id, customer="C1", lines=LINES), datetime.now(UTC) - ago
        AcceptedEvents(self.system.database).insert([event], now=now - lag)
        TransitionLog(self.system.database, "1.0").apply(event, actor="worker", now=now)

    def tick(self) -> dg.SensorResult:
        """Evaluate the sensor with the cursor that it left."""
        context = dg.build_sensor_context(self.instance, cursor=self.cursors[-1])
        resources = {"fulfillment_pipeline": self.system, "outbox": self.outbox}
        result = assets.fulfillment_summary(context, **resources)
        assert isinstance(result, dg.SensorResult)
        if result.cursor is not None:
            self.cursors.append(result.cursor)
        return result

    def execute(self, job: str, config: dict[str, Any] | None = None) -> dg.ExecuteInProcessResult:
        job_def = build_defs(self.settings).resolve_job_def(job)
        return job_def.execute_in_process(
            run_config={**QUIET, **(config or {})}, instance=self.instance, raise_on_error=False
        )

    def run_checks(self) -> dict[str, str | None]:
        """Run the checks; what those that failed say, by name."""
        evaluations = self.execute(checks.JOB).get_asset_check_evaluations()
        assert len(evaluations) == 7
        return {each.check_name: each.description for each in evaluations if not each.passed}

    def list_sent(self) -> list[str]:
        with self.system.database.connect() as connection:
            return [*connection.execute(sa.text("SELECT subject FROM outbox ORDER BY subject")).scalars()]


@pytest.fixture
def pipeline(tmp_path: Path, instance: dg.DagsterInstance) -> Pipeline:
    made = Pipeline(settings.load(home=tmp_path / "home"), instance)
    create_database(made.system.database.url)
    return made


def fail(result: dg.ExecuteInProcessResult) -> str:
    """What the step that failed says."""
    assert not result.success
    (step,) = [event for event in result.all_events if event.is_step_failure]
    error = step.step_failure_data.error
    assert error is not None
    assert error.cause is not None
    return str(error.cause)


def test_a_summary_has_what_happened_since_the_one_before_and_there_is_none_where_nothing_did(
    pipeline: Pipeline,
) -> None:
    pipeline.receive("O1", lag=timedelta(seconds=2))
    pipeline.receive("O2")
    transitions, effects, accepted, *feed = pipeline.tick().asset_events
    shown = {each.asset_key.path[-1]: each.metadata["rows in the last minute"].value for each in feed}
    assert shown == {"order_lines": 2, "shipment_lines": 0}
    assert accepted.metadata["waiting"].value == 0
    assert transitions.asset_key == dg.AssetKey(["fulfillment", "transitions"])
    shown = {name: value.value for name, value in transitions.metadata.items()}
    assert shown == {"applied": 2, "applied in all": 2, "waiting": 0, "parked": 0, "slowest, s": 2.0}
    assert effects.metadata["not done"].value == 2
    again = pipeline.tick()
    assert not again.asset_events
    assert again.skip_reason is not None
    pipeline.receive("O3")
    assert pipeline.tick().asset_events[0].metadata["applied"].value == 1
    assert pipeline.list_sent() == []


def test_a_cursor_that_cannot_be_read_counts_as_none(pipeline: Pipeline) -> None:
    pipeline.receive("O1")
    pipeline.cursors.append("[7")
    assert pipeline.tick().asset_events[0].metadata["applied"].value == 1
    assert json.loads(str(pipeline.cursors[-1]))["last_seq"] == 1


def test_an_alarm_is_sent_once_an_hour_and_fails_its_check(pipeline: Pipeline) -> None:
    pipeline.receive("O1", ago=timedelta(hours=2))
    with pipeline.system.open_queue() as queue:
        queue.enqueue([Job("e1", EVENT_QUEUE)])
    for _ in range(2):
        pipeline.tick()
    assert pipeline.list_sent() == ["fulfillment: effect_age", "fulfillment: lag", "fulfillment: stuck_orders"]
    found = pipeline.run_checks()
    assert set(found) == {"effect_age", "lag", "stuck_orders"}
    assert found["lag"] == "1 events wait, and none was applied: see that a worker runs"
    assert str(found["stuck_orders"]).startswith("1 order in RECEIVED, O1 for 2 h")


def test_a_pipeline_that_goes_on_passes_every_check(pipeline: Pipeline) -> None:
    assert pipeline.run_checks() == {}
    pipeline.receive("O1")
    assert pipeline.run_checks() == {}


def test_a_check_can_be_run_alone(pipeline: Pipeline) -> None:
    lag = dg.AssetCheckKey(checks.PIPELINE.key, "lag")
    job = dg.define_asset_job("one", selection=dg.AssetSelection.checks(lag))
    defs = dg.Definitions.merge(build_defs(pipeline.settings), dg.Definitions(jobs=[job]))
    result = defs.resolve_job_def("one").execute_in_process(run_config=QUIET, instance=pipeline.instance)
    assert [each.check_name for each in result.get_asset_check_evaluations()] == ["lag"]


def test_a_head_that_its_log_does_not_explain_fails_its_check_until_it_is_rebuilt(pipeline: Pipeline) -> None:
    pipeline.receive("O1")
    pipeline.receive("O2")
    with pipeline.system.database.begin() as connection:
        connection.execute(HEADS.update().where(HEADS.c.order_id == "O1").values(state="PACKED"))
    assert "O1: the head is PACKED" in str(pipeline.run_checks()["log_explains_orders"])
    assert "1 orders are not where their log says" in fail(pipeline.execute("fulfillment_replay"))
    config = {"ops": {"replay_log": {"config": {"order_id": "O1", "rebuild": True}}}}
    assert pipeline.execute("fulfillment_replay", config).success
    assert pipeline.execute("fulfillment_replay").success
    assert pipeline.run_checks() == {}


def test_events_and_effects_are_replayed_by_jobs_which_the_order_names(pipeline: Pipeline) -> None:
    pipeline.receive("O1")
    config = {"ops": {"redeliver_events": {"config": {"dc": "DC01", "until": 9, "reason": "the queue got lost"}}}}
    assert pipeline.execute("fulfillment_redeliver", config).success
    effect = {"effects": ["O1:1:validate_order"], "reason": "they lost it", "approver": "ben"}
    assert pipeline.execute("fulfillment_refire", {"ops": {"refire_effects": {"config": effect}}}).success
    with pipeline.system.open_queue() as queue:
        assert queue.count_waiting() == {EVENT_QUEUE: 1, "order": 1}
    first, second = read_order(pipeline.system.database, "O1").describe_history()[-2:]
    assert first.endswith(": the queue got lost")
    assert second.endswith(", approved by ben: they lost it")


def test_what_is_no_dead_letter_is_named(pipeline: Pipeline) -> None:
    config = {"ops": {"redrive_dead_letters": {"config": {"jobs": ["O1:1:x"], "reason": "the carrier mended it"}}}}
    assert "there is no such job: O1:1:x" in fail(pipeline.execute("fulfillment_redrive", config))


def test_the_queue_of_events_is_the_one_that_the_intake_fills() -> None:
    assert alarms.EVENTS == EVENT_QUEUE
