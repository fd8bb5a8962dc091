"""Conventions of a source: how it writes dates, times and numbers where a contract alone does not say.

Which file or system has which conventions belongs to the areas; how they are applied, to `dates` and `numbers`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final, Literal

import polars as pl

EXCEL: Final = "excel"
"""The date format of numbers that count days from 1899-12-30."""

DC_TIME: Final = "dc"
"""The time zone of times that every DC writes by its own clock."""

EMPTY_DATES: Final = (
    date(1, 1, 1),
    date(1753, 1, 1),
    date(1899, 12, 30),
    date(1899, 12, 31),
    date(1900, 1, 1),
    date(9999, 12, 31),
)
"""Dates that stand for none: the first of .NET, SQL Server, Excel, Dynamics, and the last of most databases."""

BUSINESS_YEARS: Final = (2000, 2100)
"""Years in which an order, a shipment or a snapshot can be."""

_ZONE_DIRECTIVE: Final = re.compile(r"\s*%(?::|#)?z$")
_TIME_DIRECTIVE: Final = re.compile(r"%[-_0]?[HIklMSTRrXcsf+]|%\.")
_KNOWN_DIRECTIVES: Final = re.compile(r"%(?:[-_0]?[YCymdejUWuwGgVHIklMS]|[BbhAaPpDFxTRXr%nt]|\.?[369]?f|[:#]?z$)")


@dataclass(frozen=True)
class Conventions:
    """How a source writes values. The default is that of the contracts, and of our own stores."""

    date_formats: tuple[str, ...] = ()
    """strftime formats, or `excel`; tried in order before ISO 8601."""

    decimal: Literal[".", ","] = "."
    thousands: str = ""
    """Separator of thousands; empty: there is none."""

    trailing_minus: bool = True
    """`3-` is -3, as SAP writes it, whichever minus it is."""

    percent: bool = False
    """`5 %` is 0.05; otherwise it is no number."""

    time_zone: str | None = None
    """IANA time zone of times without an offset, or `dc`; none: UTC."""

    dc_time_zones: Mapping[str, str] = field(default_factory=dict)
    """IANA time zone of each DC of which it is known."""

    midnight_is_day: Literal["column", "value"] = "column"
    """Which times without a zone are days: those of a column of midnights alone, or each that is midnight."""

    years: tuple[int, int] | None = None
    """First and last year that a date or time may have; none: any."""

    empty_dates: tuple[date, ...] = ()
    """Dates that stand for none."""


BUSINESS: Final = Conventions(years=BUSINESS_YEARS, empty_dates=EMPTY_DATES)
"""Conventions of systems that hold orders, shipments and snapshots."""


def find_format_problem(form: str) -> str | None:
    """Find why a date format cannot be used; None if it can."""
    if form == EXCEL:
        return None
    bare = _KNOWN_DIRECTIVES.sub("", form)
    if "%" in bare or "%" not in form:
        return f"'{form}' is no date format: it has %Y, %m, %d, %H, %M, %S and the like, and %z only at its end"
    try:
        pl.Series(["2024-05-16"]).str.to_datetime(strip_zone_directive(form), strict=False, time_unit="us")
    except pl.exceptions.PolarsError:
        return f"'{form}' is no date format that can be read"
    return None


def strip_zone_directive(form: str) -> str:
    """Strip the directive of the offset from the end of a date format."""
    return _ZONE_DIRECTIVE.sub("", form)


def has_time(form: str) -> bool:
    """Return whether a date format has a time of day in it."""
    return _TIME_DIRECTIVE.search(form) is not None
