"""Dead letters of an area, beside those of others on the same queue."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.messaging.dead_letters import DeadLetters
from fillrate_assets.messaging.jobs import Job, StoredJob
from fillrate_assets_tests.fixtures.recorded_queue import RecordedQueue

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


@dataclass
class DeadQueue(RecordedQueue):
    """A queue whose dead letters are enqueued again."""

    def redrive(self, job_id: str) -> Job:
        (found,) = [each for each in self.dead if each.job.job_id == job_id]
        self.dead.remove(found)
        return found.job

    discard = redrive


@pytest.mark.parametrize(("of_all", "own"), [(True, ["a", "b", "c", "d"]), (False, ["a", "c", "d"])])
def test_an_area_has_those_of_its_queues(of_all: bool, own: list[str]) -> None:  # noqa: FBT001 - a parameter
    jobs = [Job(name, "other" if name == "b" else "own") for name in "abcd"]
    queue = DeadQueue(dead=[StoredJob(job, "refused", NOW) for job in jobs])
    heard: list[str] = []
    letters = DeadLetters(
        queue,
        None if of_all else lambda name: name == "own",
        lambda job: heard.append(f"revive {job.job_id}"),
        lambda job, reason: heard.append(f"bury {job.job_id}: {reason}"),
    )
    assert [each.job.job_id for each in letters.read(9)] == own
    assert [each.job.job_id for each in letters.read(1)] == ["a"]
    assert letters.find("c").reason == "refused"
    letters.redrive("a")
    letters.discard("c", "too old")
    paused: list[float] = []
    left = [name for name in own if name not in "ac"]
    assert [*letters.redrive_all(9, per_second=4, sleep=paused.append)] == left
    assert paused == [0.25] * len(left)
    assert heard == ["revive a", "bury c: too old", *(f"revive {name}" for name in left)]
    assert [each.job.job_id for each in queue.dead] == ([] if of_all else ["b"])
    if not of_all:
        with pytest.raises(PermanentFailure, match=r"^there is no dead letter b$"):
            letters.redrive("b")
