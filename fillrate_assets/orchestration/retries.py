"""Retries of steps: Dagster retries a failure that may pass, and nothing else.

Which driver's errors may pass is decided in `storage.transient_errors`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import dagster as dg

from fillrate_assets.core.errors import ContractViolation, FillrateError, PermanentFailure, SourceUnavailable
from fillrate_assets.storage.lake import translate_engine_errors


class ErrorInfo(Protocol):
    """An error of a step as Dagster stores it, which has no public name."""

    @property
    def message(self) -> str:
        """Return the class and the text."""

    @property
    def cls_name(self) -> str | None:
        """Return the class."""

    @property
    def cause(self) -> ErrorInfo | None:
        """Return the error that it was raised from."""


_OURS: Final = {kind.__name__ for kind in (ContractViolation, PermanentFailure, SourceUnavailable)}


def make_retry_policy(retries: int, seconds: float) -> dg.RetryPolicy:
    """Wait twice as long before every further retry, give or take."""
    return dg.RetryPolicy(retries, seconds, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)


@contextmanager
def translate_failures() -> Iterator[None]:
    """Raise failures that a retry cannot mend as ones that Dagster does not retry.

    What may pass: a system that does not answer, and a disk or an object store that fails.
    """
    try:
        with translate_engine_errors():
            yield
    except (SourceUnavailable, OSError, dg.Failure):
        raise
    except FillrateError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    except Exception as error:
        # A defect, or a file that is not what it should be: the same again the next time.
        msg = f"{type(error).__name__}: {error}"
        raise dg.Failure(msg, allow_retries=False) from error


def find_root_cause(error: ErrorInfo) -> tuple[str, str]:
    """Find the class of the error that a failure comes from, and what it says, in one line.

    Ours says what, where and what to do; the driver's error below it does not.
    """
    while error.cause is not None and error.cls_name not in _OURS:
        error = error.cause
    kind, text = error.cls_name or "", " ".join(error.message.split())
    raised, _, rest = text.partition(": ")
    return kind, rest if rest and raised.rpartition(".")[2] == kind else text
