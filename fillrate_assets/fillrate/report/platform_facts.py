"""Facts of what the platform has computed: months of the history, days that are newer, and what is in doubt of both."""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, Final

import duckdb
import polars as pl

from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.fact_schema import FACTS, ITEM_FACTS, ITEM_MONTHS
from fillrate_assets.fillrate.report.answer_cache import AnswerCache
from fillrate_assets.fillrate.report.doubts import UNPUBLISHED, build_published_doubts
from fillrate_assets.fillrate.report.fact_queries import FactQueries
from fillrate_assets.fillrate.report.fact_tables import Relation, connect
from fillrate_assets.fillrate.report.history import (
    Stored,
    Version,
    build_month_path,
    escape_paths,
    make_facts,
    read_stored,
)
from fillrate_assets.fillrate.report.queries import (
    add_rejects,
    filter_rejects,
    find_gated_days,
    look_back,
    require_days,
    select_behind,
)
from fillrate_assets.fillrate.report.service_report import Facts
from fillrate_assets.fillrate.rules.pipeline import PartitionFilter
from fillrate_assets.settings import Settings
from fillrate_assets.storage.lake import Lake

if TYPE_CHECKING:
    from fillrate_assets.fillrate.record_store import RecordStore

_OLDEST_SECONDS: Final = 600
"""How long facts of days stay on this machine that are no longer in force: a query may still read them."""


_MOST_SCOPES: Final = 32
_MOST_TOTALS: Final = 8
_NOTHING: Final = -1
"""Number of every moment at which nothing was stored."""

_RECORDED: Final = (schema.LEDGER, schema.REJECTS)


@dataclass(frozen=True)
class Moment:
    """What was stored at a moment; equal ones have the same number."""

    number: int
    taken_at: float
    stored: Stored
    ledger: pl.DataFrame
    loaded: pl.DataFrame
    """What loaders rejected."""

    @cached_property
    def unpublished(self) -> frozenset[PartitionKey]:
        """Return the days that no ledger entry is about."""
        return frozenset(self.stored.days.keys() - self._published.keys())

    @cached_property
    def newer(self) -> list[PartitionKey]:
        """Return the days whose lines are newer than what was last published: a run was stopped in between."""
        return [
            day
            for day, version in self.stored.days.items()
            if day in self.unpublished or datetime.fromisoformat(version.lines) > self._published[day]
        ]

    @cached_property
    def _published(self) -> dict[PartitionKey, datetime]:
        rows = self.ledger.select("dc", "ship_date", "published_at").iter_rows()
        return {PartitionKey(dc, day): at for dc, day, at in rows}

    def equals(self, other: Moment) -> bool:
        """Return whether the same was stored at another moment."""
        frames = (self.ledger, other.ledger), (self.loaded, other.loaded)
        return self.stored == other.stored and all(mine.equals(theirs) for mine, theirs in frames)


class PlatformFacts:
    """The facts of a platform; any thread may read them."""

    def __init__(self, settings: Settings, max_age_seconds: float = 0) -> None:
        """Open the facts of the platform of some settings.

        Args:
            settings: where lake and record store are.
            max_age_seconds: how long what is stored may be as it was when it was last looked up.

        """
        # SQLAlchemy, which files do without, takes a third of a second.
        from fillrate_assets.fillrate.record_store import RecordStore  # noqa: PLC0415 - as above
        from fillrate_assets.storage.database import Database  # noqa: PLC0415 - as above

        self.lake: Final = Lake(settings.storage.lake_root)
        self._settings, self._max_age = settings, max_age_seconds
        self._store: RecordStore = RecordStore(Database.from_settings(settings))
        self._moment: Moment | None = None
        self._lock = threading.Lock()
        # The tables of one page are of the same days.
        self._scopes = AnswerCache(_MOST_SCOPES)

    @cached_property
    def open_days(self) -> OpenDays:
        """Return the facts of days that the history does not have."""
        return OpenDays(self.lake)

    def look(self) -> Moment:
        """Look up what is stored."""
        with self._lock:
            last, now = self._moment, time.monotonic()
            if last is not None and now - last.taken_at < self._max_age:
                return last
            stored = read_stored(self.lake)
            if not stored.days:
                # Before the first run there need not be a record store, and of no day nothing is in doubt.
                return Moment(_NOTHING, now, stored, *(each.make_empty().collect() for each in _RECORDED))
            ledger, loaded = self._store.read_ledger(), self._store.count_loader_rejects()
            found = Moment(last.number + 1 if last else 0, now, stored, ledger, loaded)
            self._moment = replace(last, taken_at=now) if last and found.equals(last) else found
            return self._moment

    def read(self, scope: PartitionFilter, earlier: PartitionFilter | None = None) -> tuple[Facts, Facts | None]:
        """Read the facts of a report, and those of an earlier period.

        Raises:
            PermanentFailure: no order line is in scope, or none in the earlier period; the message says what there is.

        """
        moment = self.look()
        for each in (scope, earlier):
            if each is not None:
                require_days(each, [*moment.stored.days], f"the lake {self.lake.root} holds")
        # Rows that belong to no day are in doubt once.
        facts = self._read_once(moment, scope, unplaced=True)
        return facts, None if earlier is None else self._read_once(moment, earlier, unplaced=False)

    def _read_once(self, moment: Moment, part: PartitionFilter, *, unplaced: bool) -> Facts:
        dcs = None if part.dcs is None else tuple(part.dcs)
        key = (moment.number, dcs, part.first, part.last, unplaced)
        return self._scopes.read(key, lambda: self._read(moment, part, unplaced=unplaced))

    def _read(self, moment: Moment, part: PartitionFilter, *, unplaced: bool) -> Facts:
        source = StoredFacts(self.lake, moment.stored, part, self.open_days)
        rejected, orders = FactQueries(source, {}).count_lines()
        ledger = moment.ledger.lazy()
        counts = add_rejects(rejected, orders, filter_rejects(moment.loaded, part, unplaced=unplaced))
        published = build_published_doubts(part.filter(ledger).collect(), *counts)
        before = build_published_doubts(look_back(part).filter(ledger).collect(), published.rejected, 0)
        newer = [day for day in moment.newer if part.covers(*day)]
        chosen = (self.lake.read(table, newer) for table in (schema.CLASSIFIED_LINES, schema.ITEM_DAYS))
        held = find_gated_days(self._settings, self._store, newer, *chosen) if newer else {}
        unpublished = {day: UNPUBLISHED for day in moment.unpublished if part.covers(*day)}
        doubts = replace(
            published,
            held={**held, **published.held},
            doubtful={**unpublished, **published.doubtful},
            behind=select_behind(before, part),
        )
        return Facts(source, self.lake.read_whole(schema.ITEMS), doubts)


class OpenDays:
    """Facts of days that are not in the history, or newer there, as files of this process."""

    def __init__(self, lake: Lake) -> None:
        """Have a folder that ends with the process."""
        self._lake = lake
        self.scratch: Final = Path(mkdtemp(prefix="fillrate-facts-"))
        weakref.finalize(self, shutil.rmtree, self.scratch, ignore_errors=True)
        self._lock = threading.Lock()
        self._connection = connect(str(self.scratch))

    def open(self) -> duckdb.DuckDBPyConnection:
        """Open a connection of one's own."""
        return self._connection.cursor()

    def find_file(self, table: str, days: Mapping[PartitionKey, Version]) -> Path:
        """Find the facts of some days of a DC and month; they are made once for each version."""
        named = hashlib.sha256(repr(sorted(days.items())).encode()).hexdigest()
        file = self.scratch / f"{table}-{named}.parquet"
        with self._lock:
            if not file.exists():
                self._discard_old()
                incoming = self.scratch / f"{named}.incoming"
                with self.open() as connection:
                    make_facts(connection, self._lake, {table: incoming}, days, self.scratch)
                incoming.replace(file)
        file.touch()
        return file

    def find_empty(self, table: str) -> Path:
        """Find a file of a table without rows."""
        file = self.scratch / f"no_{table}.parquet"
        if not file.exists():
            FACTS[table].schema.make_empty().collect().write_parquet(file)
        return file

    def _discard_old(self) -> None:
        oldest = time.time() - _OLDEST_SECONDS
        for file in self.scratch.glob("*-*.parquet"):
            if file.stat().st_mtime < oldest:
                file.unlink()


class StoredFacts:
    """The fact tables of some DCs and ship dates: files of whole months, and of the days that these do not have."""

    def __init__(self, lake: Lake, stored: Stored, scope: PartitionFilter, open_days: OpenDays) -> None:
        """Choose what is read.

        Args:
            lake: where the history is.
            stored: the days and months that there are.
            scope: the DCs and ship dates.
            open_days: the facts of days that the history does not have.

        """
        self._lake, self._stored, self._open_days = lake, stored, open_days
        self._totals = AnswerCache(_MOST_TOTALS)
        self._months = {
            key: wanted
            for key, days in stored.days_by_month.items()
            if (wanted := frozenset(day for day in days if scope.covers(key.dc, day)))
        }

    @cached_property
    def span(self) -> tuple[date, date]:
        """Return the first and the last ship date."""
        return min(map(min, self._months.values())), max(map(max, self._months.values()))

    def open(self) -> duckdb.DuckDBPyConnection:
        """Open a connection."""
        return self._open_days.open()

    def remember_total(self, key: Hashable, compute: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        """Return a total that was computed before: each table of a page is beside it."""
        return self._totals.read(key, compute)

    def name_fault(self) -> str:
        """Return what to do where a file of the history cannot be read."""
        return f"a file below {self._lake.root}/history cannot be read: {self._remedy}"

    @property
    def _remedy(self) -> str:
        return f"delete {self._lake.root}/history; reports read the days until it is written anew"

    def find_relations(self, table: str, *, whole_months: bool) -> Sequence[Relation]:
        """Find the files of a table."""
        months: list[Path] = []
        days: list[Path] = []
        opened: list[Path] = []
        beyond: list[PartitionKey] = []
        for key, wanted in self._months.items():
            stored, fresh = self._stored.months.get(key), self._stored.fresh_days.get(key, frozenset())
            if stored is not None and fresh & wanted:
                whole = whole_months and table == ITEM_FACTS.schema.name and stored.days.keys() == fresh & wanted
                name = ITEM_MONTHS.schema.name if whole else table
                path = build_month_path(name, key, stored.slot)
                file = self._lake.fetch_file(
                    path, self._stored.month_versions[key], self._open_days.scratch, self._remedy
                )
                (months if whole else days).append(file)
                beyond += [PartitionKey(key.dc, day) for day in wanted - fresh if day in stored.days]
            if wanted - fresh:
                of_month = self._stored.days_by_month[key].items()
                behind = {PartitionKey(key.dc, day): version for day, version in of_month if day not in fresh}
                opened.append(self._open_days.find_file(table, behind))
        found = []
        if months:
            found.append(_read_files(ITEM_MONTHS.schema.name, "months", months))
        if days:
            found.append(_limit(_read_files(table, "days", days), *self.span, beyond))
        if opened:
            found.append(_limit(_read_files(table, "opened", opened), *self.span))
        return found or [_read_files(table, "nothing", [self._open_days.find_empty(table)])]


def _read_files(table: str, name: str, files: Sequence[Path]) -> Relation:
    rows = f"read_parquet(${name}_files, hive_partitioning = false)"
    return Relation(table, rows, (), {f"{name}_files": escape_paths(files)})


def _limit(relation: Relation, first: date, last: date, beyond: Sequence[PartitionKey] = ()) -> Relation:
    """Limit files to ship dates, without some days."""
    binds: dict[str, Any] = {"first": first, "last": last}
    conditions = ["ship_date BETWEEN $first AND $last"]
    if beyond:
        pairs = []
        for number, (dc, day) in enumerate(beyond):
            binds |= {f"beyond_dc_{number}": dc, f"beyond_day_{number}": day}
            pairs.append(f"($beyond_dc_{number}, $beyond_day_{number})")
        conditions.append(f"(dc, ship_date) NOT IN ({', '.join(pairs)})")
    return replace(relation, conditions=conditions, binds={**relation.binds, **binds})
