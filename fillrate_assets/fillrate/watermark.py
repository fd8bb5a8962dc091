"""Watermarks of the sensor, in the record store's database or in AWS Parameter Store.

Which time to set is decided by `rules.change_planner`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any, Final, Protocol

import sqlalchemy as sa

from fillrate_assets.aws import client
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.sql_types import UtcDateTime, make_text_type, to_stored
from fillrate_assets.storage.tables import METADATA

_PARAMETERS: Final = "ssm://"
_SYSTEM: Final = "watermark"
_FIRST_YEAR: Final = 2000
_LAST_YEAR: Final = 2100
_LOG: Final = logging.getLogger("fillrate.watermark")


class _Unreadable(Enum):
    """What is stored, where that is not a time."""

    VALUE = auto()


class Watermark(Protocol):
    """Named times; each moves by compare-and-swap, so that of two ticks only one moves it.

    A stored value that is not a time, or not of 2000 to 2100, counts as missing: it is logged, and the next move
    replaces it.
    """

    def read(self, name: str) -> datetime | None:
        """Return the time, UTC; None before the first."""

    def move(self, name: str, moment: datetime, *, previous: datetime | None) -> bool:
        """Set the time if it still is `previous`; return whether it was set."""


@dataclass(frozen=True)
class DatabaseWatermark:
    """Named times in a table of the record store's database."""

    database: Database

    def read(self, name: str) -> datetime | None:
        """Return the time, UTC; None before the first."""
        with self.database.connect(_SYSTEM) as connection:
            found = _select_moment(connection, name)
        if found is _Unreadable.VALUE:
            _LOG.warning("%s: what is stored for %s is not a time; the next change replaces it", _SYSTEM, name)
        return found if isinstance(found, datetime) else None

    def move(self, name: str, moment: datetime, *, previous: datetime | None) -> bool:
        """Set the time if it still is `previous`; return whether it was set."""
        naive = to_stored(moment)
        with self.database.begin(_SYSTEM) as connection:
            if previous is None:
                if isinstance(_select_moment(connection, name), datetime):
                    return False
                connection.execute(WATERMARKS.delete().where(WATERMARKS.c.name == name))
                connection.execute(WATERMARKS.insert().values(name=name, moment=naive))
                return True
            before = to_stored(previous)
            moved = connection.execute(
                WATERMARKS.update().where(WATERMARKS.c.name == name, WATERMARKS.c.moment == before).values(moment=naive)
            )
            return moved.rowcount == 1


@dataclass(frozen=True)
class ParameterStoreWatermark:
    """Named times as parameters of AWS Systems Manager: `ssm://prefix` stores `/prefix/<name>`.

    Parameter Store has no compare-and-swap; decision 0040 says why a read before a put is enough.
    """

    url: str = field(repr=False)

    def read(self, name: str) -> datetime | None:
        """Return the time, UTC; None before the first.

        Raises:
            SourceUnavailable: Parameter Store did not answer, or throttled the call.
            PermanentFailure: access is denied.

        """
        found = self._get_parameter(client.get_client("ssm"), name)
        if found is None:
            return None
        moment = _parse_moment(found["Value"])
        if moment is None:
            text = "%s: parameter %s is %r, which is not a time; the next change replaces it"
            _LOG.warning(text, self._system, found["Name"], found["Value"])
        return moment

    def move(self, name: str, moment: datetime, *, previous: datetime | None) -> bool:
        """Set the time if it still is `previous`; return whether no other call moved it between.

        Raises:
            SourceUnavailable: Parameter Store did not answer, or throttled the call.
            PermanentFailure: access is denied.

        """
        ssm = client.get_client("ssm")
        value = moment.astimezone(UTC).isoformat(timespec="microseconds")
        found = self._get_parameter(ssm, name)
        if (None if found is None else _parse_moment(found["Value"])) != previous:
            return False
        version = 0 if found is None else found["Version"]
        with client.translate_errors(self._system):
            try:
                put = ssm.put_parameter(
                    Name=self._build_name(name), Value=value, Type="String", Overwrite=found is not None
                )
            except ssm.exceptions.ParameterAlreadyExists:
                return False
        return bool(put["Version"] == version + 1)

    @property
    def _system(self) -> str:
        return f"{_SYSTEM} ({self.url})"

    def _build_name(self, name: str) -> str:
        return f"/{self.url.removeprefix(_PARAMETERS).strip('/')}/{name}"

    def _get_parameter(self, ssm: Any, name: str) -> dict[str, Any] | None:  # noqa: ANN401 - a client of boto3
        with client.translate_errors(self._system):
            try:
                found: dict[str, Any] = ssm.get_parameter(Name=self._build_name(name))["Parameter"]
            except ssm.exceptions.ParameterNotFound:
                return None
        return found


def _parse_moment(text: str) -> datetime | None:
    """Parse a time, by default UTC; None if it is none, or none of these centuries."""
    try:
        moment = datetime.fromisoformat(text)
        return _check(moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC))
    except (ValueError, OverflowError):
        return None


def _check(moment: datetime) -> datetime | None:
    return moment if _FIRST_YEAR <= moment.year <= _LAST_YEAR else None


def _select_moment(connection: sa.Connection, name: str) -> datetime | _Unreadable | None:
    """Select a time, UTC; None if none is stored."""
    try:
        row = connection.execute(sa.select(WATERMARKS.c.moment).where(WATERMARKS.c.name == name)).first()
    except (ValueError, TypeError, OverflowError):
        # SQLite stores whatever it gets.
        return _Unreadable.VALUE
    if row is None:
        return None
    return _check(row.moment.replace(tzinfo=UTC)) or _Unreadable.VALUE


def make_watermark(url: str, database: Database) -> Watermark:
    """Return the watermark of a URL: `ssm://prefix` for Parameter Store, "" for the record store's database."""
    return ParameterStoreWatermark(url) if url else DatabaseWatermark(database)


WATERMARKS: Final = sa.Table(
    "watermarks",
    METADATA,
    sa.Column("name", make_text_type(64), primary_key=True),
    sa.Column("moment", UtcDateTime(), nullable=False),
)
