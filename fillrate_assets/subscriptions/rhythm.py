"""The rhythm of a subscription: when it is due, once a week or once after each publication."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final, Literal, get_args
from zoneinfo import ZoneInfo

Kind = Literal["never", "weekly", "published"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

QUIET: Final = timedelta(minutes=15)
"""A publication is over once so long none of the DCs of a view was published: they follow each other in a morning."""

LONGEST: Final = timedelta(hours=2)
"""However long publications follow each other, the first of them waits no longer."""

_WEEK: Final = timedelta(weeks=1)


@dataclass(frozen=True)
class Rhythm:
    """When a view is sent."""

    kind: Kind = "never"
    weekday: int = 0
    """0 is Monday; of a weekly one, as is the hour."""

    hour: int = 6
    time_zone: str = "UTC"
    """IANA name of the zone that weekday and hour are of."""

    def describe(self) -> str:
        """Describe it for people."""
        match self.kind:
            case "weekly":
                return f"every {WEEKDAYS[self.weekday]} at {self.hour:02}:00, {self.time_zone}"
            case "published":
                return "after each publication"
            case _:
                return "never"


@dataclass(frozen=True)
class Due:
    """A sending that is due."""

    key: str
    """What makes it this sending of a view and no other."""

    until: datetime
    """What happened until then is in it, UTC: the next one begins there."""


def find_due(
    rhythm: Rhythm, *, since: datetime, last_key: str, published: Iterable[datetime], now: datetime
) -> Due | None:
    """Find the sending of a view that is due; None where there is none.

    What was missed while nothing ran is sent once: the latest week alone, and all publications together.

    Args:
        rhythm: when it is sent.
        since: until when everything is sent, or when it was subscribed to, UTC.
        last_key: key of what was due last, sent or not; "" for nothing.
        published: when days of its DCs were published, UTC.
        now: UTC.

    """
    match rhythm.kind:
        case "weekly":
            key, at = _find_week(rhythm, now)
            return Due(key, now) if at > since and key != last_key else None
        case "published":
            fresh = [each for each in published if each > since]
            # Of what was due and not sent, nothing is waited for again.
            tried = max((each for each in fresh if _name_publication(each) == last_key), default=since)
            return _find_publication([each for each in fresh if each > tried], now)
        case _:
            return None


def _find_week(rhythm: Rhythm, now: datetime) -> tuple[str, datetime]:
    """Find the latest time of a weekly rhythm that is not in the future, and the name of its week."""
    zone = ZoneInfo(rhythm.time_zone)
    today = now.astimezone(zone).date()
    day = today - timedelta(days=(today.weekday() - rhythm.weekday) % 7)
    at = datetime.combine(day, time(rhythm.hour), zone).astimezone(UTC)
    if at > now:
        day -= _WEEK
        at = datetime.combine(day, time(rhythm.hour), zone).astimezone(UTC)
    year, week, _ = day.isocalendar()
    # By the week, not the day: a rhythm that moves from Monday to Thursday is due once in that week.
    return f"{year}-W{week:02}", at


def _find_publication(fresh: list[datetime], now: datetime) -> Due | None:
    """Find the publication that is over, of what was published and not tried to send."""
    if not fresh:
        return None
    first, last = min(fresh), max(fresh)
    if now - last < QUIET and now - first < LONGEST:
        return None
    return Due(_name_publication(last), last)


def _name_publication(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
