"""Reports as pages, commands and workbooks request them: one request, one definition of every number.

How a report is computed belongs to `service_report`, what it is made of to `queries` and `platform_facts`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Final, Literal, Protocol, Self, TypeVar

import polars as pl

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.report import service_report
from fillrate_assets.fillrate.report.answer_cache import AnswerCache
from fillrate_assets.fillrate.report.fact_queries import WORST_ITEMS
from fillrate_assets.fillrate.report.item_history import find_chronic_days, rank_chronic_items
from fillrate_assets.fillrate.report.platform_facts import PlatformFacts
from fillrate_assets.fillrate.report.queries import read_facts_from_files
from fillrate_assets.fillrate.report.service_report import Comparison, Facts, Report, ReportData, SortKey, View
from fillrate_assets.fillrate.rules.pipeline import PartitionFilter
from fillrate_assets.fillrate.sources.contract_files import Contracts
from fillrate_assets.settings import Settings

TREND_WEEKS: Final = 13
MOST_KNOWN: Final = 20
KINDS: Final = ("dc", "vendor", "department", "customer", "item")
"""What can be searched for."""
_MOST_REMEMBERED: Final = 64

T = TypeVar("T")


@dataclass(frozen=True)
class ReportRequest:
    """A report: of what, of when, by what, beside what, and how much of it."""

    by: Sequence[str] = ()
    """Grouping columns, out of `GROUPINGS`; none for the total."""
    first: date | None = None
    last: date | None = None
    filters: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    """Values by column, out of `FILTERS`: only these, None for what has no name; no value: all."""
    compare: Literal["previous", "year"] | None = None
    """With as many days right before `first`, or the same dates a year earlier; needs both dates."""
    targets: pl.DataFrame | None = None
    """As of `compute_report`."""
    sort: Sequence[SortKey] = ()
    top: int | None = None
    with_orders: bool = True
    """Whether what is of orders is needed. Without it is empty: pages leave it out where groups part orders."""

    @property
    def key(self) -> Hashable:
        """Return what equal requests have in common."""
        filters = tuple((name, tuple(values)) for name, values in sorted(self.filters.items()) if values)
        targets = None if self.targets is None else self.targets.write_csv()
        period = (self.first, self.last, self.compare)
        return (tuple(self.by), period, filters, targets, tuple(self.sort), self.top, self.with_orders)

    @property
    def view(self) -> View:
        """Return which part of the report is shown."""
        return View(self.filters, self.sort, self.top, self.with_orders)

    @property
    def scope(self) -> PartitionFilter:
        """Return its DCs and ship dates."""
        dcs = [dc for dc in self.filters.get("dc", ()) if dc is not None]
        return PartitionFilter(dcs or None, self.first, self.last)


class FactReader(Protocol):
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


class Reports:
    """Reports over one source of facts; any thread may request one."""

    def __init__(self, source: FactReader) -> None:
        """Report what a source has."""
        self.source = source

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

    def read_worst_items(self, request: ReportRequest, limit: int = WORST_ITEMS) -> pl.DataFrame:
        """Read the items of a DC that lost most; columns as of `rank_worst_items`."""
        facts, _ = self.source.read(request.scope)
        return facts.query(request.view).rank_worst_items(facts.items, limit)

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


class PlatformReports(Reports):
    """Reports over what the platform has computed, and what pages need beside them.

    What was read is remembered until something else is stored.
    """

    def __init__(self, facts: PlatformFacts) -> None:
        """Report what a platform has."""
        super().__init__(facts)
        self.facts = facts
        self._answers = AnswerCache(_MOST_REMEMBERED)

    @classmethod
    def from_settings(cls, settings: Settings, max_age_seconds: float = 0) -> Self:
        """Open the reports of a platform; arguments as of `PlatformFacts`."""
        return cls(PlatformFacts(settings, max_age_seconds))

    def read(self, request: ReportRequest) -> Report:
        """Read a report; raises what `Reports.read` raises."""
        return self._remember(("report", request.key), lambda: super(PlatformReports, self).read(request))

    def read_data(self, request: ReportRequest) -> ReportData:
        """Read what a workbook shows; raises what `Reports.read` raises."""
        return self._remember(("data", request.key), lambda: super(PlatformReports, self).read_data(request))

    def read_worst_items(self, request: ReportRequest, limit: int = WORST_ITEMS) -> pl.DataFrame:
        """Read the items of a DC that lost most; columns as of `rank_worst_items`."""
        rank = super().read_worst_items
        return self._remember(("worst items", request.key, limit), lambda: rank(request, limit))

    def read_chronic_items(self, request: ReportRequest, limit: int | None = None) -> pl.DataFrame:
        """Read the items that were short on most of their DC's last ship days; columns as of `rank_chronic_items`.

        Args:
            request: `first` is ignored, `last` is by default the last day.
            limit: rows to return.

        """
        first, last = find_chronic_days(request.last or self.read_span()[1])
        request = replace(request, first=first, last=last)

        def rank() -> pl.DataFrame:
            facts, _ = self.source.read(request.scope)
            return rank_chronic_items(facts.query(request.view), facts.items, limit)

        return self._remember(("chronic items", request.key, limit), rank)

    def read_trend(self, request: ReportRequest, weeks: int = TREND_WEEKS) -> Report:
        """Read a report over so many ISO weeks, which end with the week of the request's last ship date.

        Args:
            request: `first` is ignored, `last` is by default the last day; by what belongs to it, without `by` by week.
            weeks: how many.

        """
        last = request.last or self.read_span()[1]
        first = last - timedelta(days=last.weekday() + 7 * (weeks - 1))
        by = request.by or ("week",)
        return self.read(replace(request, by=by, first=first, last=last, compare=None, sort=(), top=None))

    def read_span(self) -> tuple[date, date]:
        """Read the first and the last ship date of which there is anything.

        Raises:
            PermanentFailure: there is nothing.

        """
        days = {day for _, day in self.facts.look().stored.days}
        if not days:
            msg = "the lake holds nothing at all; `fillrate run` fills it"
            raise PermanentFailure(msg)
        return min(days), max(days)

    def read_known(
        self, kind: str, search: str = "", limit: int = MOST_KNOWN, dcs: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """Read the names of a kind, out of `KINDS`, that have every searched term in them, or in their description.

        Args:
            kind: what is searched for.
            search: terms.
            limit: how many to return.
            dcs: only these, and customers of these; None: all. The item master is of all DCs.

        Returns:
            name, description (of items, else null), sorted by name; a name that is the search itself comes first.

        """
        own = None if dcs is None else tuple(dcs)
        names = self._remember(("names", kind, own), lambda: self._read_names(kind, own))
        text = pl.concat_str("name", "description", separator=" ", ignore_nulls=True).str.to_lowercase()
        terms = [text.str.contains(term, literal=True) for term in search.lower().split()]
        found = names.filter(*terms) if terms else names
        exact = pl.col("name").str.to_lowercase() == search.strip().lower()
        return found.sort(~exact, "name").head(limit)

    def _read_names(self, kind: str, dcs: Sequence[str] | None) -> pl.DataFrame:
        described = pl.lit(None, pl.String).alias("description")
        if kind == "dc":
            stored = sorted({dc for dc, _ in self.facts.look().stored.days if dcs is None or dc in dcs})
            return pl.DataFrame({"name": stored}, {"name": pl.String}).with_columns(described)
        if kind == "item":
            items = self.facts.lake.read_whole(schema.ITEMS).sort("valid_from")
            return items.group_by(pl.col("item").alias("name")).agg(pl.col("description").last()).collect()
        facts, _ = self.facts.read(PartitionFilter(dcs if kind == "customer" else None))
        names = facts.query(View()).list_names(kind)
        return pl.DataFrame({"name": names}, {"name": pl.String}).with_columns(described)

    def _remember(self, key: Hashable, read: Callable[[], T]) -> T:
        """Return what was read before of the same that is stored."""
        return self._answers.read((self.facts.look().number, key), read)
