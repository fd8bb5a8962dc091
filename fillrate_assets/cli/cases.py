"""A quantity of cases as an argument of a command."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final

import click


class _Cases(click.ParamType[Decimal]):
    name = "cases"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """Read a quantity, with four decimals at most."""
        try:
            cases = Decimal(str(value))
        except InvalidOperation:
            self.fail(f"{value} is not a number", param, ctx)
        if not cases.is_finite() or cases < 0 or cases >= 10**14 or cases != round(cases, 4):
            self.fail(f"{value} is no quantity of cases: 0 or more, with four decimals at most", param, ctx)
        return cases


CASES: Final = _Cases()
