"""Dates and times of a source: text, numbers and typed values become dates of a DC, or moments in UTC.

A time without an offset is in the time zone of its source; a date without a time is a day of the DC, from its
midnight; a moment in a date column is the DC's date at that moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from typing import Final

import polars as pl

from fillrate_assets.core.conventions import DC_TIME, EMPTY_DATES, EXCEL, Conventions, has_time, strip_zone_directive

_ISO_FORMATS: Final = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y%m%d %H%M%S%.f", "%Y%m%d %H%M")
_ISO: Final = r"^\d{4}-\d{1,2}-\d{1,2}(?: |$)|^\d{8} \d{4}"
_ISO_DAY: Final = r"^\d{4}-\d{1,2}-\d{1,2}$"
_ISO_ZONE: Final = (
    r"(?i)^(?:\d{4}-\d{1,2}-\d{1,2}|\d{8})(?:T| +)\d{1,2}[\d:.,]*\s*(Z|UTC|GMT|[+-](?:0\d|1[0-5])(?::?[0-5]\d)?)$"
)
_ZONE: Final = r"(?i)\s*(Z|UTC|GMT|[+-](?:0\d|1[0-5])(?::?[0-5]\d)?)$"
_NO_DATE: Final = r"^(?:0+|[0./-]{8,10}(?:[T ][0:.]*)?Z?|9999[./-]?99[./-]?99|(?:0001|1753|1900)0101|99991231)$"
"""Text that means no date, whatever the format: zeros, nines, and the well-known days without separators."""

_FIRST: Final = date(1, 1, 1)
_LAST: Final = date(9999, 12, 31)
_EPOCH: Final = date(1970, 1, 1)
_EXCEL_EPOCH: Final = datetime(1899, 12, 30)  # noqa: DTZ001 - a local date, as everything in a workbook
_SECONDS: Final = {"ms": 10**3, "us": 10**6, "ns": 10**9}
_LAST_EXCEL_DAY: Final = 2_958_466


@dataclass(frozen=True)
class Moment:
    """What was written: local date and time, minutes of its offset if it has one, whether it is a date alone."""

    local: pl.Expr
    offset: pl.Expr
    is_day: pl.Expr
    of_any_year: pl.Expr
    """Local date and time, also where a year of two digits is no year."""


def add_moments(
    frame: pl.LazyFrame, sources: Mapping[str, pl.DataType], conventions: Mapping[str, Conventions]
) -> tuple[pl.LazyFrame, dict[str, Moment]]:
    """Read what was written in columns of dates or times.

    Text is read step by step, each step in columns of its own: as one expression, which repeats the text wherever it
    is looked at, it would take longer to plan than to run.

    Args:
        frame: the columns: text, dates, times, or numbers that a date format describes.
        sources: their names and types.
        conventions: how the source writes dates, by column.

    Returns:
        The frame with the steps as further columns, named `column|step`, and the moments by column.

    """
    texts = {name: source for name, source in sources.items() if not _is_typed(source)}
    moments = {
        name: _read_typed(pl.col(name), source, conventions[name])
        for name, source in sources.items()
        if _is_typed(source)
    }
    if not texts:
        return frame, moments
    frame = frame.with_columns(_as_text(pl.col(name), source).alias(f"{name}|text") for name, source in texts.items())
    tried: dict[str, list[Moment]] = {name: [] for name in texts}
    steps: list[pl.Expr] = []
    for name in texts:
        for number, form in enumerate(conventions[name].date_formats):
            text, step = pl.col(f"{name}|text"), f"{name}|{number}"
            moment = _read_excel(text) if form == EXCEL else _read_format(text, form, conventions[name])
            steps += _name_parts(moment, step)
            tried[name].append(_refer_to_parts(step))
    frame = frame.with_columns(steps)
    frame = frame.with_columns(pl.col(f"{name}|text").str.extract(_ISO_ZONE).alias(f"{name}|zone") for name in texts)
    frame = frame.with_columns(_unzone(f"{name}|text", f"{name}|zone").alias(f"{name}|plain") for name in texts)
    frame = frame.with_columns(_complete_hour(pl.col(f"{name}|plain")).alias(f"{name}|hour") for name in texts)
    frame = frame.with_columns(
        part
        for name in texts
        for part in _name_parts(
            _read_iso(*(pl.col(f"{name}|{step}") for step in ("zone", "plain", "hour"))), f"{name}|iso"
        )
    )
    moments |= {
        name: _find_midnights(_coalesce([*before, _refer_to_parts(f"{name}|iso")]), conventions[name])
        for name, before in tried.items()
    }
    frame = frame.with_columns(part for name in texts for part in _name_parts(moments[name], name))
    return frame, moments | {name: _refer_to_parts(name) for name in texts}


def _name_parts(moment: Moment, prefix: str) -> list[pl.Expr]:
    return [part.alias(f"{prefix}|{name}") for name, part in vars(moment).items()]


def _refer_to_parts(prefix: str) -> Moment:
    return Moment(*(pl.col(f"{prefix}|{part.name}") for part in fields(Moment)))


def read_dates(moment: Moment, conventions: Conventions, dc: pl.Expr | None) -> pl.Expr:
    """Read a column of dates.

    Args:
        moment: what was written.
        conventions: how the source writes dates.
        dc: the DC of each row, if it has one.

    Returns:
        Dates; null where there is none, or none in the years that the conventions allow.

    """
    at = moment.local - pl.duration(minutes=moment.offset)

    def convert(zone: str) -> pl.Expr:
        return at.dt.replace_time_zone("UTC").dt.convert_time_zone(zone).dt.date()

    in_dc = _choose_by_dc(convert, moment.local.dt.date(), conventions, dc)
    day = pl.when(moment.offset.is_null()).then(moment.local.dt.date()).otherwise(in_dc)
    return _limit(day, conventions)


def read_times(moment: Moment, conventions: Conventions, dc: pl.Expr | None) -> pl.Expr:
    """Read a column of moments; arguments as of `read_dates`.

    Returns:
        Moments in UTC; null where there is none, or none in the years that the conventions allow.

    """
    utc = moment.local.dt.replace_time_zone("UTC")

    def convert(zone: str) -> pl.Expr:
        return _localize(moment.local, zone)

    zone = conventions.time_zone
    elsewhere = convert(zone) if zone not in {None, DC_TIME} and zone is not None else utc
    in_dc = _choose_by_dc(convert, elsewhere, conventions, dc)
    at = (
        pl.when(moment.offset.is_not_null())
        .then(utc - pl.duration(minutes=moment.offset))
        .when(moment.is_day)
        .then(in_dc)
        .otherwise(in_dc if zone == DC_TIME else elsewhere)
    )
    allowed = _limit(moment.local.dt.date(), conventions)
    return pl.when(allowed.is_not_null()).then(at)


def is_no_date(moment: Moment, value: pl.Expr, source: pl.DataType, conventions: Conventions) -> pl.Expr:
    """Return whether a value means no date at all, such as 1900-01-01 or 00000000."""
    if not conventions.empty_dates:
        return pl.lit(value=False)
    empty = moment.local.dt.date().is_in(list(conventions.empty_dates)).fill_null(value=False)
    if source.is_temporal():
        return empty
    return empty | _as_text(value, source).str.contains(_NO_DATE).fill_null(value=False)


def drop_empty_dates(frame: pl.LazyFrame, names: Sequence[str]) -> pl.LazyFrame:
    """Drop the dates and times that stand for none from columns that were read already."""
    return frame.with_columns(
        pl.when(~pl.col(name).dt.date().is_in(list(EMPTY_DATES))).then(name).alias(name) for name in names
    )


def describe_moments(value: pl.Expr, source: pl.DataType) -> pl.Expr:
    """Write typed dates or times as text; those beyond the year 9999, which nothing can write, as their number."""
    known = _drop_beyond(value, source)
    return pl.coalesce(known.cast(pl.String), value.to_physical().cast(pl.String))


def _is_typed(source: pl.DataType) -> bool:
    return isinstance(source, pl.Date | pl.Datetime)


def _read_typed(value: pl.Expr, source: pl.DataType, conventions: Conventions) -> Moment:
    no_offset = pl.lit(None, pl.Int64)
    if not isinstance(source, pl.Datetime):
        local = _drop_beyond(value, source).cast(pl.Datetime("us"))
        return Moment(local, no_offset, pl.lit(value=True), local)
    known = _drop_beyond(value, source).dt.cast_time_unit("us")
    if source.time_zone is not None:
        local = known.dt.replace_time_zone(None)
        utc = known.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return Moment(local, (local - utc).dt.total_minutes(), pl.lit(value=False), local)
    return _find_midnights(Moment(known, no_offset, pl.lit(value=False), known), conventions)


def _find_midnights(moment: Moment, conventions: Conventions) -> Moment:
    """Find the days among times without an offset.

    pandas and SQL Server's exports have no dates without a time: a column of midnights is one of days. Nor has Oracle,
    where each midnight may be a day.
    """
    midnight = (moment.local.dt.truncate("1d") == moment.local) & moment.offset.is_null()
    is_day = midnight if conventions.midnight_is_day == "value" else midnight.all()
    return replace(moment, is_day=moment.is_day | is_day)


def _as_text(value: pl.Expr, source: pl.DataType) -> pl.Expr:
    if source == pl.String:
        return value.str.strip_chars()
    text = value.cast(pl.String)
    return text.str.strip_suffix(".0") if source.is_float() else text


def _coalesce(moments: list[Moment]) -> Moment:
    if len(moments) == 1:
        return moments[0]
    offset, is_day = moments[-1].offset, moments[-1].is_day
    for moment in reversed(moments[:-1]):
        found = moment.local.is_not_null()
        offset = pl.when(found).then(moment.offset).otherwise(offset)
        is_day = pl.when(found).then(moment.is_day).otherwise(is_day)
    local, of_any_year = ([getattr(moment, part) for moment in moments] for part in ("local", "of_any_year"))
    return Moment(pl.coalesce(local), offset, is_day, pl.coalesce(of_any_year))


def _unzone(text: str, zone: str) -> pl.Expr:
    """Drop the zone of ISO 8601, and write a blank between date and time and a point before fractions."""
    bare = pl.when(pl.col(zone).is_not_null()).then(pl.col(text).str.replace(_ZONE, "")).otherwise(pl.col(text))
    return bare.str.replace("[Tt]", " ").str.replace(",", ".", literal=True)


def _complete_hour(plain: pl.Expr) -> pl.Expr:
    """Add the minutes to a time of hours alone."""
    return pl.when(plain.str.contains(r" \d{2}$")).then(plain + ":00").otherwise(plain)


def _read_iso(zone: pl.Expr, plain: pl.Expr, hour: pl.Expr) -> Moment:
    """Read ISO 8601: a date, or a date and time with or without an offset, also in the basic form and lower case."""
    read = pl.coalesce(hour.str.to_datetime(form, time_unit="us", strict=False) for form in _ISO_FORMATS)
    # `%Y` alone would read 24-05-16 as a day of the year 24.
    local = pl.when(plain.str.contains(_ISO)).then(read)
    return Moment(local, _read_offset(zone), plain.str.contains(_ISO_DAY), local)


def _read_format(text: pl.Expr, form: str, conventions: Conventions) -> Moment:
    bare = strip_zone_directive(form)
    zone = text.str.extract(_ZONE) if bare != form else pl.lit(None, pl.String)
    written = text.str.replace(_ZONE, "") if bare != form else text
    local = of_any_year = written.str.to_datetime(bare, time_unit="us", strict=False)
    if conventions.years and "%Y" in form:
        # `%Y` reads years of two digits, as if they were meant.
        local = pl.when(local.dt.year() >= 1000).then(local)  # noqa: PLR2004 - four digits
    return Moment(local, _read_offset(zone), pl.lit(not has_time(form)), of_any_year)


def _read_excel(text: pl.Expr) -> Moment:
    number = text.cast(pl.Float64, strict=False)
    days = pl.when(number.is_between(1, _LAST_EXCEL_DAY)).then(number)
    # A serial has no more than milliseconds in it: what is beyond is noise of the float.
    local = pl.lit(_EXCEL_EPOCH) + pl.duration(milliseconds=(days * 86_400_000).round().cast(pl.Int64, strict=False))
    local = local.cast(pl.Datetime("us"))
    return Moment(local, pl.lit(None, pl.Int64), days == days.floor(), local)


def _read_offset(zone: pl.Expr) -> pl.Expr:
    """Read the minutes of an offset; `Z` is 0."""
    hours = zone.str.slice(1, 2).cast(pl.Int64, strict=False)
    minutes = zone.str.extract(r"\d{2}:?(\d{2})$").cast(pl.Int64, strict=False).fill_null(0)
    sign = pl.when(zone.str.starts_with("-")).then(-1).otherwise(1)
    return pl.when(zone.str.contains("^[+-]")).then(sign * (hours * 60 + minutes)).when(zone.is_not_null()).then(0)


def _localize(local: pl.Expr, zone: str) -> pl.Expr:
    """Convert local times to UTC: of two moments the first, and of none the one that the clock before it meant."""
    at = local.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    hour = pl.duration(hours=1)
    skipped = (local - hour).dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null") + hour
    return pl.coalesce(at, skipped).dt.convert_time_zone("UTC")


def _choose_by_dc(
    convert: Callable[[str], pl.Expr], elsewhere: pl.Expr, conventions: Conventions, dc: pl.Expr | None
) -> pl.Expr:
    """Convert by the time zone of each row's DC; where that is not known, take what replaces it."""
    zones = conventions.dc_time_zones
    if dc is None or not zones:
        return elsewhere
    chosen = elsewhere
    for zone in sorted(set(zones.values())):
        dcs = [name for name, of_dc in zones.items() if of_dc == zone]
        chosen = pl.when(dc.is_in(dcs)).then(convert(zone)).otherwise(chosen)
    return chosen


def _limit(day: pl.Expr, conventions: Conventions) -> pl.Expr:
    """Drop days that stand for none, or lie outside of the years that there can be."""
    if conventions.empty_dates:
        day = pl.when(~day.is_in(list(conventions.empty_dates))).then(day)
    if conventions.years:
        first, last = conventions.years
        day = pl.when(day.dt.year().is_between(first, last)).then(day)
    return day


def _drop_beyond(value: pl.Expr, source: pl.DataType) -> pl.Expr:
    """Drop typed values outside of the years 1 to 9999: the engine panics where it writes them."""
    first, last = (_FIRST - _EPOCH).days, (_LAST - _EPOCH).days
    if isinstance(source, pl.Datetime):
        if source.time_unit == "ns":
            return value
        day = 86_400 * _SECONDS[source.time_unit]
        # A day inside, so that no offset leads beyond.
        first, last = (first + 1) * day, last * day - 1
    return pl.when(value.to_physical().is_between(first, last)).then(value)
