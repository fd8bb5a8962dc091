"""Notes of whose estimate the lost cases of a report have, and what the other method makes of them.

One item-day has one estimate that counts; a period may have days of both methods, once the setting was changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from fillrate_assets.fillrate.report import labels


@dataclass(frozen=True)
class Methods:
    """Item-days of which demand is estimated: by which method, and what each method makes of them."""

    days: int
    """All of them."""
    days_by_2: int
    """Those whose estimate that counts is method 2's."""
    days_by_both: int
    """Those that have both estimates; older ones have only that which counts."""
    method_1_cases: Decimal
    """Of those that have both."""
    method_2_cases: Decimal
    """Of the same."""

    @property
    def used(self) -> set[int]:
        """Return the methods whose estimates were added up."""
        return {*([1] if self.days_by_2 < self.days else []), *([2] if self.days_by_2 else [])}

    @property
    def complete(self) -> bool:
        """Return whether every item-day has both estimates."""
        return self.days_by_both == self.days


def is_comparable(methods: Methods, before: Methods) -> bool:
    """Return whether what two periods lost is estimated by one method (decision 0371)."""
    return len(methods.used | before.used) <= 1


def format_methods(methods: Methods) -> Iterator[str]:
    """Format whose estimate it is, and what the other method's would be; nothing where nothing is estimated."""
    if not methods.days:
        return
    both = f"method 1 makes {labels.format_cases(methods.method_1_cases)} cases"
    both += f", method 2 {labels.format_cases(methods.method_2_cases)}"
    if not methods.complete:
        both = f"of the {methods.days_by_both:,} that have both estimates, {both}" if methods.days_by_both else ""
    if len(methods.used) > 1:
        days = f"{methods.days - methods.days_by_2:,} item-days by method 1, {methods.days_by_2:,} by method 2"
        yield "; ".join(filter(None, [f"Estimated mixes methods: {days}", both]))
    elif both:
        (used,) = methods.used
        yield f"Estimated by method {used}, on {labels.format_count(methods.days, 'item-day')}; {both}"


def format_mix(methods: Methods) -> str:
    """Format whose estimates are added up where they are not of one method; else nothing."""
    return f"{next(format_methods(methods))}." if len(methods.used) > 1 else ""


def format_compared(methods: Methods, before: Methods) -> Iterator[str]:
    """Format why lost cases have no change: two periods whose estimates are of different methods."""
    if is_comparable(methods, before):
        return
    text = "Lost change: none, the estimates of the two periods are of different methods"
    if methods.complete and before.complete:
        changes = {
            1: methods.method_1_cases - before.method_1_cases,
            2: methods.method_2_cases - before.method_2_cases,
        }
        of_each = [f"by method {method} by {_format_change(change)} cases" for method, change in changes.items()]
        text += f"; Estimated changed {of_each[0]}, {of_each[1]}"
    yield text


def _format_change(cases: Decimal) -> str:
    return f"{'+' if cases > 0 else ''}{labels.format_cases(cases)}"
