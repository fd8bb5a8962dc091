"""The functions of the assets by name, for the clocks of benchmarks: import it before anything that defines assets."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

import dagster as dg

from fillrate_assets.orchestration import retries

FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {}
"""What an asset calls; a benchmark replaces it by one with a clock around it."""

_translate_failures: Final = retries.translate_failures


def _register() -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the decorator of every asset and check, in the place of `translate_failures`."""

    def decorate(compute: Callable[..., Any]) -> Callable[..., Any]:
        if compute.__annotations__.get("context") is not dg.AssetExecutionContext:
            return _translate_failures()(compute)  # a check, which counts as Dagster's
        FUNCTIONS[compute.__name__] = compute

        @functools.wraps(compute)
        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the asset takes and returns
            return FUNCTIONS[compute.__name__](*args, **kwargs)

        return _translate_failures()(call)

    return decorate


retries.translate_failures = _register  # type: ignore[assignment]  # a clock of the benchmark's
