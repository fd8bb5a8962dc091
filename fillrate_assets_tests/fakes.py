"""Systems that fail, or around whose answer something happens; everything else of them is real."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

import polars as pl

from fillrate_assets.core.errors import FillrateError
from fillrate_assets.fillrate.sources.order_system import OrderSystem


@dataclass(frozen=True)
class Failing(OrderSystem):
    """An order system that fails before it answers."""

    failures: list[FillrateError] = field(default_factory=list)

    def order_lines(self, dc: str, first: date, last: date) -> pl.DataFrame:
        if self.failures:
            raise self.failures.pop() from OSError("connection reset")
        return super().order_lines(dc, first, last)


@dataclass(frozen=True)
class Overtaken(OrderSystem):
    """An order system after whose answer something happens before the run goes on, once."""

    meanwhile: list[Callable[[], object]] = field(default_factory=list)

    def order_lines(self, dc: str, first: date, last: date) -> pl.DataFrame:
        lines = super().order_lines(dc, first, last)
        if self.meanwhile:
            self.meanwhile.pop()()
        return lines
