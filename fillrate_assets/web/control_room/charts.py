"""Geometry of charts that templates draw as SVG: points, ticks of axes, marks. No colour and no text of pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from math import ceil
from typing import Final

_HOUR: Final = timedelta(hours=1)
_PLACES: Final = 1
_PART: Final = 45
"""Between two ticks."""

_WHOLE: Final = 8
"""From here on, a part of a scale is named in whole numbers."""


@dataclass(frozen=True)
class AxisTick:
    """A tick of an axis: how far along, and its text."""

    at: float
    text: str


@dataclass(frozen=True)
class Frame:
    """A box from (0, 0) to (width, height), y downwards, with time along it and values from 0 up."""

    since: datetime
    until: datetime
    zone: tzinfo
    """In which full hours are named."""

    top: float
    """Value at the upper end; greater ones are drawn there."""

    width: float
    height: float
    unit: str = ""
    """Of the values, after their numbers."""

    @property
    def x_ticks(self) -> list[AxisTick]:
        """Return a tick for each full hour."""
        local = self.since.astimezone(self.zone)
        first = local.replace(minute=0, second=0, microsecond=0) + (_HOUR if local.minute else timedelta(0))
        hours = [first + number * _HOUR for number in range(ceil((self.until - self.since) / _HOUR) + 1)]
        return [AxisTick(round(self.find_x(hour), _PLACES), f"{hour:%H:%M}") for hour in hours if hour <= self.until]

    @property
    def y_ticks(self) -> list[AxisTick]:
        """Return ticks at equal distances, both ends included: as many as there is room for on a phone."""
        parts = max(1, int(self.height // _PART))
        levels = [self.top * part / parts for part in range(parts + 1)]
        digits = 0 if self.top >= _WHOLE else 1
        return [AxisTick(round(self.find_y(level), _PLACES), f"{level:,.{digits}f}{self.unit}") for level in levels]

    def draw(self, moments: Sequence[datetime], values: Sequence[float | None]) -> list[str]:
        """Draw values over time as `points` of polylines, one for each stretch without a gap."""
        return _join_stretches(
            [
                None if value is None else (self.find_x(moment), self.find_y(value))
                for moment, value in zip(moments, values, strict=True)
            ]
        )

    def find_x(self, moment: datetime) -> float:
        """Find how far right a moment is."""
        return self.width * ((moment - self.since) / (self.until - self.since))

    def find_y(self, value: float) -> float:
        """Find how far down a value is."""
        return _place(value, self.top, self.height)


def draw_sparkline(values: Sequence[float | None], width: float, height: float, top: float) -> list[str]:
    """Draw equally spaced values from 0 to `top` as `points` of polylines; what is above is drawn at the top."""
    step = width / max(len(values) - 1, 1)
    return _join_stretches(
        [None if value is None else (index * step, _place(value, top, height)) for index, value in enumerate(values)]
    )


def _place(value: float, top: float, height: float) -> float:
    return height * (1 - min(max(value, 0), top) / top)


def _join_stretches(points: Sequence[tuple[float, float] | None]) -> list[str]:
    stretches: list[list[str]] = [[]]
    for point in points:
        if point is None:
            stretches.append([])
        else:
            stretches[-1].append(f"{point[0]:.{_PLACES}f},{point[1]:.{_PLACES}f}")
    # A point alone has no length: drawn twice, its round caps show it.
    return [" ".join(each if len(each) > 1 else each * 2) for each in stretches if each]
