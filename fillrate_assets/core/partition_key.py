"""Partition keys of the platform: a DC and a ship date. Dagster's side is in `orchestration/partitions`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

FORBIDDEN_IN_DC: Final = r"[|\x00-\x1f\x7f]|\.\.\.|(?:^|[/\\])\.\.(?:[/\\]|$)"
"""What Dagster takes in no partition key, a separator of dimensions, of ranges, and control characters; and a way out
of a folder, which no DC is called."""

MAX_DC_BYTES: Final = 200
"""A DC, encoded, is the name of a folder, which most file systems limit to 255 bytes."""


def encode_dc(dc: str) -> str:
    """Encode a DC as the name of a folder: what is no letter, digit, `-`, `_`, `.`, `~` or blank becomes %XX."""
    return quote(dc, safe=" ")


def decode_dc(name: str) -> str:
    """Decode a DC from the name of a folder."""
    return unquote(name)


class PartitionKey(NamedTuple):
    """One partition."""

    dc: str
    ship_date: date


@dataclass(frozen=True)
class DcDateRange:
    """Ship dates of one DC without a gap between them, from the first to the last."""

    dc: str
    first: date
    last: date

    @property
    def ship_dates(self) -> list[date]:
        """Return every ship date."""
        return list_dates(self.first, self.last)

    @property
    def partition_keys(self) -> list[PartitionKey]:
        """Return the DC with each ship date."""
        return [PartitionKey(self.dc, ship_date) for ship_date in self.ship_dates]


def list_dates(first: date, last: date) -> list[date]:
    """List every date from the first to the last."""
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def cut_into_ranges(keys: Iterable[tuple[str, date]], longest: int | None = None) -> list[DcDateRange]:
    """Cut DCs and ship dates into as few ranges as possible, each of at most `longest` days."""
    ranges: list[DcDateRange] = []
    for dc, ship_date in sorted(keys):
        before = ranges[-1] if ranges else None
        follows = before is not None and before.dc == dc and ship_date - before.last == timedelta(days=1)
        if before and follows and (longest is None or (ship_date - before.first).days < longest):
            ranges[-1] = DcDateRange(dc, before.first, ship_date)
        else:
            ranges.append(DcDateRange(dc, ship_date, ship_date))
    return ranges
