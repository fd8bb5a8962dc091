"""Answers that are remembered."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest

from fillrate_assets.fillrate.report.answer_cache import AnswerCache


def test_the_latest_answers_are_remembered_and_no_others() -> None:
    cache, computed = AnswerCache(2), []

    def read(key: str) -> str:
        return cache.read(key, lambda: computed.append(key) or key.upper())  # type: ignore[func-returns-value]

    assert [read(key) for key in "abacab"] == [*"ABACAB"]
    # "b" was read before "a" was read again, so that "c" took its place.
    assert computed == [*"abcb"]


def test_a_failure_is_not_remembered() -> None:
    cache = AnswerCache(2)
    with pytest.raises(ZeroDivisionError):
        cache.read("a", lambda: 1 // 0)
    assert cache.read("a", lambda: 1) == 1


def test_who_requests_the_same_waits_for_the_one_that_computes_it() -> None:
    cache, begun, done, ready = AnswerCache(2), Event(), Event(), Barrier(3)

    def compute() -> object:
        begun.set()
        assert done.wait(60)
        return object()

    def read() -> object:
        ready.wait(60)
        return cache.read("a", compute)

    with ThreadPoolExecutor(2) as threads:
        answers = [threads.submit(read) for _ in range(2)]
        ready.wait(60)
        assert begun.wait(60)
        done.set()
        first, second = (answer.result(60) for answer in answers)
        assert first is second
