"""Reports as pages, commands and workbooks request them: one request, one definition of every number.

How a report is computed belongs to `service_report`, what it is made of to `queries`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Final, Literal, Protocol, Self

import polars as pl

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.core.partition_key import PartitionKey
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.report import service_report
from fillrate_assets.fillrate.report.queries import read_facts_from_files, read_facts_from_lake
from fillrate_assets.fillrate.report.service_report import Comparison, Facts, Report, ReportData, SortKey, View
from fillrate_assets.fillrate.rules.pipeline import PartitionFilter
from fillrate_assets.fillrate.sources.contract_files import Contracts
from fillrate_assets.settings import Settings
from fillrate_assets.storage.lake import Lake

TREND_WEEKS: Final = 13
MOST_KNOWN: Final = 20
KINDS: Final = ("dc", "vendor", "department", "customer", "item")
"""What can be searched for."""


@dataclass(frozen=True)
class ReportRequest:
    """A report: of what, of when, by what, beside what, and how much of it."""

    by: Sequence[str] = ()
    """Grouping columns, out of `GROUPINGS`; none for the total."""
    first: date | None = None
    last: date | None = None
    filters: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Values by column, out of `FILTERS`: only these; none: all."""
    compare: Literal["previous", "year"] | None = None
    """With as many days right before `first`, or the same dates a year earlier; needs both dates."""
    targets: pl.DataFrame | None = None
    """As of `compute_report`."""
    sort: Sequence[SortKey] = ()
    top: int | None = None

    @property
    def view(self) -> View:
        """Return which part of the report is shown."""
        return View(self.filters, self.sort, self.top)

    @property
    def scope(self) -> PartitionFilter:
        """Return its DCs and ship dates."""
        return PartitionFilter(self.filters.get("dc") or None, self.first, self.last)


class FactSource(Protocol):
    """Where the facts of reports come from."""

    def read(self, scope: PartitionFilter, earlier: PartitionFilter | None = None) -> tuple[Facts, Facts | None]:
        """Read the facts of a report, and those of an earlier period to compare with."""


@dataclass(frozen=True)
class FileFacts:
    """What was read from a directory of files."""

    contracts: Contracts

    def read(self, scope: PartitionFilter, earlier: PartitionFilter | None = None) -> tuple[Facts, Facts | None]:
        """Compute the facts from the files."""
        return read_facts_from_files(self.contracts, scope, earlier)


@dataclass(frozen=True)
class LakeFacts:
    """What the platform has computed."""

    settings: Settings

    def read(self, scope: PartitionFilter, earlier: PartitionFilter | None = None) -> tuple[Facts, Facts | None]:
        """Read the facts from the lake and the record store."""
        return read_facts_from_lake(self.settings, scope, earlier)


@dataclass(frozen=True)
class Reports:
    """Reports over one source of facts; any thread may request one."""

    source: FactSource

    def read(self, request: ReportRequest) -> Report:
        """Read a report.

        Raises:
            PermanentFailure: there is nothing of those days or names, or no such grouping or column to sort by; the
                message says what there is.
            ContractViolation: targets by a column that is not grouped by.

        """
        facts, earlier = self._read_facts(request)
        targets = None if request.targets is None else request.targets.lazy()
        return service_report.build_report(facts, request.by, targets, request.view, earlier)

    def read_data(self, request: ReportRequest) -> ReportData:
        """Read what a workbook shows; raises what `read` raises."""
        facts, earlier = self._read_facts(request)
        targets = None if request.targets is None else request.targets.lazy()
        return service_report.build_report_data(facts, request.by, targets, request.view, earlier)

    def read_worst_items(self, request: ReportRequest, limit: int = service_report.WORST_ITEMS) -> pl.DataFrame:
        """Read the items of a DC that lost most; columns as of `rank_worst_items`."""
        facts, _ = self.source.read(request.scope)
        facts = service_report.filter_facts(facts, request.view)
        return service_report.rank_worst_items(facts.lines, facts.records, facts.items, limit).collect()

    def _read_facts(self, request: ReportRequest) -> tuple[Facts, Comparison | None]:
        if request.compare is None:
            return self.source.read(request.scope)[0], None
        if request.first is None or request.last is None:
            msg = "a comparison needs the first and the last ship date"
            raise PermanentFailure(msg)
        begins, ends, offset = service_report.find_earlier_period(
            request.compare, request.first, request.last, request.by
        )
        facts, earlier = self.source.read(request.scope, replace(request.scope, first=begins, last=ends))
        if earlier is None:
            return facts, None
        return facts, Comparison(service_report.shift_facts(earlier, offset), begins, ends)


@dataclass(frozen=True)
class PlatformReports(Reports):
    """Reports over what the platform has computed, and what pages need beside them."""

    lake: Lake

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Open the reports of a platform."""
        return cls(LakeFacts(settings), Lake(settings.storage.lake_root))

    def read_trend(self, request: ReportRequest, weeks: int = TREND_WEEKS) -> pl.DataFrame:
        """Read the rows of a report over so many ISO weeks, which end with the week of the request's last ship date.

        Args:
            request: `first` is ignored, `last` is by default the last day; by what belongs to it, without `by` by week.
            weeks: how many.

        """
        last = request.last or self.read_span()[1]
        first = last - timedelta(days=last.weekday() + 7 * (weeks - 1))
        by = request.by or ("week",)
        return self.read(replace(request, by=by, first=first, last=last, compare=None, sort=(), top=None)).groups

    def read_span(self) -> tuple[date, date]:
        """Read the first and the last ship date of which there is anything.

        Raises:
            PermanentFailure: there is nothing.

        """
        days = sorted(day for _, day in self._list_days())
        if not days:
            msg = "the lake holds nothing at all; `fillrate run` fills it"
            raise PermanentFailure(msg)
        return days[0], days[-1]

    def read_known(self, kind: str, search: str = "", limit: int = MOST_KNOWN) -> pl.DataFrame:
        """Read the names of a kind, out of `KINDS`, that have every searched term in them, or in their description.

        Returns:
            name, description (of items, else null), sorted by name; a name that is the search itself comes first.

        """
        names = self._read_names(kind)
        text = pl.concat_str("name", "description", separator=" ", ignore_nulls=True).str.to_lowercase()
        found = names.filter(text.str.contains(term, literal=True) for term in search.lower().split())
        exact = pl.col("name").str.to_lowercase() == search.strip().lower()
        return found.sort(~exact, "name").head(limit)

    def _read_names(self, kind: str) -> pl.DataFrame:
        described = pl.lit(None, pl.String).alias("description")
        if kind == "dc":
            return pl.DataFrame({"name": sorted({dc for dc, _ in self._list_days()})}).with_columns(described)
        items = self.lake.read_whole(schema.ITEMS).sort("valid_from")
        if kind == "item":
            return items.group_by(pl.col("item").alias("name")).agg(pl.col("description").last()).collect()
        names = self.lake.scan(schema.CLASSIFIED_LINES) if kind == "customer" else items
        column = pl.col(kind).drop_nulls().unique().alias("name")
        return names.select(column).with_columns(described).collect()

    def _list_days(self) -> list[PartitionKey]:
        return self.lake.list_partitions(schema.CLASSIFIED_LINES)
