"""The latest answers by what was requested: many people open the same page in the morning."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, Final, TypeVar

T = TypeVar("T")


class AnswerCache:
    """Answers by key, as many as were read last; any thread may read one."""

    def __init__(self, size: int) -> None:
        """Hold so many answers."""
        self._size: Final = size
        self._answers: OrderedDict[Hashable, Future[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return the answer of a key, or compute it; others wait for the one that computes it."""
        with self._lock:
            known = self._answers.get(key)
            answer: Future[T] = Future() if known is None else known
            self._answers[key] = answer
            self._answers.move_to_end(key)
            while len(self._answers) > self._size:
                self._answers.popitem(last=False)
        if known is not None:
            return answer.result()
        try:
            answer.set_result(compute())
        except BaseException as error:
            answer.set_exception(error)
            with self._lock:
                self._answers.pop(key, None)
            raise
        return answer.result()
