"""Jobs, their ids and their retries, and circuit breakers, without an engine."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from fillrate_assets.messaging.circuit_breaker import CircuitBreaker
from fillrate_assets.messaging.job_ids import JobIds
from fillrate_assets.messaging.jobs import EXPEDITED, BreakerOptions, Job, RetrySchedule


@given(st.lists(st.floats(0, 4e9), min_size=1, max_size=50))
def test_ids_sort_in_the_order_in_which_they_are_made_whatever_the_clock_does(times: list[float]) -> None:
    ticks = iter(times)
    ids = JobIds(lambda: next(ticks))
    made = [ids.make() for _ in times]
    assert made == sorted(set(made))
    assert {uuid.UUID(each).version for each in made} == {7}


def test_an_id_begins_with_its_time() -> None:
    assert uuid.UUID(JobIds(lambda: 1_800_000_000.123).make()).int >> 80 == 1_800_000_000_123


def test_a_job_comes_back_as_it_was_stored() -> None:
    body = {"order": "Ä", "lines": [1]}
    job = Job("j1", "wms", body, "O1", EXPEDITED, 0.5, 2, 3, "timed out", "2026-02-10T12:00:00Z")
    assert Job.load(job.dump()) == job


def test_the_delay_doubles_up_to_its_limit() -> None:
    schedule = RetrySchedule(base_seconds=1, max_seconds=60)
    assert [schedule.compute_longest_delay(attempts) for attempts in (1, 2, 3, 6, 7, 1000)] == [1, 2, 4, 32, 60, 60]


def test_a_breaker_opens_after_failures_in_a_row_and_closes_when_the_system_answers() -> None:
    breaker = CircuitBreaker(BreakerOptions(failures=3, probe_seconds=10))
    for now in (0, 1):
        breaker.record_failure(now)
    breaker.record_success()
    for now in (2, 3):
        breaker.record_failure(now)
    assert breaker.advance(3) == "CLOSED"
    breaker.record_failure(4)
    assert [breaker.advance(now) for now in (4, 13.9, 14)] == ["OPEN", "OPEN", "HALF_OPEN"]
    breaker.record_failure(15)
    assert [breaker.advance(now) for now in (24, 25)] == ["OPEN", "HALF_OPEN"]
    breaker.record_success()
    assert breaker.state == "CLOSED"
