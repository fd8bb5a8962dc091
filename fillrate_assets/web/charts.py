"""Geometry of charts that templates draw as SVG: points, ticks of axes, marks. No colour and no text of pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from math import ceil, floor, log10
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


@dataclass(frozen=True)
class Bar:
    """A bar of two parts, one on the other: where each begins and how long it is, downwards."""

    x: float
    width: float
    y: float
    height: float
    upper_y: float
    upper_height: float


@dataclass(frozen=True)
class Course:
    """Equally spaced values: a share as a line between two levels, and amounts of two parts as bars below it."""

    names: Sequence[str]
    shares: Sequence[float | None]
    """In percent."""

    lower: Sequence[float]
    upper: Sequence[float]
    width: float = 640
    height: float = 120

    @property
    def least(self) -> float:
        """Return the level at the lower end of the line's scale: a multiple of 5 %, below all shares."""
        return min([5 * floor((value - 1) / 5) for value in self.shares if value is not None], default=0)

    @property
    def most(self) -> float:
        """Return the amount at the upper end of the bars' scale: a round number, above all amounts."""
        highest = max([1.0, *(sum(pair) for pair in zip(self.lower, self.upper, strict=True))])
        step = 10.0 ** floor(log10(highest)) / 2
        return float(step * ceil(highest / step))

    @property
    def step(self) -> float:
        """Return how far it is from one to the next."""
        return self.width / max(len(self.names), 1)

    def find_x(self, index: int) -> float:
        """Find the middle of what belongs to a name."""
        return round((index + 0.5) * self.step, _PLACES)

    def find_share(self, value: float) -> float:
        """Find how far down a share is."""
        least = max(self.least, 0)
        return round(self.height * (1 - (value - least) / max(100 - least, 1)), _PLACES)

    @property
    def line(self) -> list[str]:
        """Return `points` of polylines."""
        shares = enumerate(self.shares)
        return _join_stretches(
            [None if value is None else (self.find_x(index), self.find_share(value)) for index, value in shares]
        )

    @property
    def bars(self) -> list[Bar]:
        """Return the bars, the lower part from the ground up."""
        bars = []
        for index, (low, high) in enumerate(zip(self.lower, self.upper, strict=True)):
            tall, more = (round(self.height * amount / self.most, _PLACES) for amount in (low, high))
            x, width = round((index + 0.2) * self.step, _PLACES), round(0.6 * self.step, _PLACES)
            top = round(self.height - tall, _PLACES)
            bars.append(Bar(x, width, top, tall, round(top - more, _PLACES), more))
        return bars
