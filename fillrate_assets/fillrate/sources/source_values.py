"""Values of systems that no loader has judged: years that cannot be, days without a time, sentinels (decision 0162).

How one value is read belongs to `core`; what an unread one means for its row, to the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import polars as pl

from fillrate_assets.core import dates, parsing
from fillrate_assets.core.conventions import EMPTY_DATES, Conventions
from fillrate_assets.core.table_schema import TableSchema

_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_VERSION: Final[Mapping[str, datetime | int]] = {"processed_at": _EARLIEST, "source_seq": 0}
"""Plain values: Polars starts threads for an expression of a moment, and a process that is forked waits for them."""


@dataclass(frozen=True)
class SourceValues:
    """How the values of a system are read."""

    years: tuple[int, int] | None = None
    """First and last year that a date or time may have; none where a loader has judged that."""

    read_time_zones: Callable[[], Mapping[str, str]] | None = None
    """Reads the time zone of each DC: a day without a time is one of the DC. None where a loader has converted it."""

    def parse(
        self,
        rows: pl.DataFrame,
        contract: TableSchema,
        *,
        table: str,
        required: Sequence[str],
        optional: Sequence[str] = (),
        arrivals: Sequence[str] = (),
    ) -> pl.DataFrame:
        """Type the rows of a system's answer by their contract.

        A row whose version cannot be read is the earliest of its line, and says what it has.

        Args:
            rows: as a driver hands them over.
            contract: the frame to produce.
            table: name of the table in messages.
            required: columns that must exist.
            optional: columns of dates and times in which a sentinel means none,
            arrivals: of them those that say when something arrived.

        """
        plain = Conventions(years=self.years)
        sentinels = replace(plain, empty_dates=EMPTY_DATES)
        zones = self.read_time_zones() if arrivals and self.read_time_zones and not rows.is_empty() else {}
        arrived = replace(sentinels, midnight_is_day="value", dc_time_zones=zones)
        given = (
            {}
            if self.years is None
            else {**dict.fromkeys(optional, sentinels), **(dict.fromkeys(arrivals, arrived) if zones else {})}
        )
        typed = parsing.parse_source_rows(
            rows, contract, table=table, required=required, conventions=plain, by_column=given
        )
        unread = pl.col("problem").is_not_null() & (self.years is not None)
        versions = [
            pl.when(unread)
            .then(pl.col(name).fill_null(pl.lit(earliest, typed.schema[name])))
            .otherwise(name)
            .alias(name)
            for name, earliest in _VERSION.items()
            if name in typed.columns
        ]
        return dates.drop_empty_dates(typed.lazy().with_columns(versions), [*optional]).collect()
