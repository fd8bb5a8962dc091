"""Queries over fact tables: every number of reports, workbooks and pages is added up here.

DuckDB adds up; what follows from the sums (rates, gaps, changes) is computed by the rules.
"""
# ruff: noqa: S608 - what is formatted are names of this module and of schemas; values are bound

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import polars as pl

from fillrate_assets.core import decimals
from fillrate_assets.core.decimals import to_cases, to_rate, to_units
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.fillrate import schema
from fillrate_assets.fillrate.fact_schema import FACTS
from fillrate_assets.fillrate.report.fact_tables import FactSource, Relation, run_query
from fillrate_assets.fillrate.report.methods import Methods
from fillrate_assets.fillrate.rules.service_metrics import (
    GROUPINGS,
    PARTING,
    PERIODS,
    RECORD_GROUPINGS,
    add_periods,
    add_rates,
)
from fillrate_assets.fillrate.schema import LEVELS, PATHS

QUANTITIES: Final = ("lost_cases", "confirmed_cases", "estimated_cases", "contract_lost_cases")
FILTERS: Final = (*LEVELS, "item", *RECORD_GROUPINGS)
"""What a report can be limited to."""
WORST_ITEMS: Final = 50
_OF_DATE: Final = ("ship_date", *PERIODS)
_DAYS_ESTIMATED: Final = ("days_estimated", "days_by_method_2", "days_by_both")
_BY_METHOD: Final = ("method_1_cases", "method_2_cases")
_COUNTS: Final = ("lines", "lines_complete", "records", "item_days", *_DAYS_ESTIMATED)
_ORDERED: Final = ("ordered_cases", "shipped_cases")
_AMOUNTS: Final = ("lines", "lines_complete", "records", "item_days", *_ORDERED, *QUANTITIES)
_ABSENT: Final = {
    "lines_until": "CASE WHEN lines > 0 THEN ship_date END",
    "records_until": "CASE WHEN records > 0 THEN ship_date END",
    **dict.fromkeys(("records", "item_days", *_DAYS_ESTIMATED), "0"),
    **dict.fromkeys((*QUANTITIES, *_BY_METHOD), "0.0000"),
}
"""What a table has in place of columns of others: demand that was not ordered has no customer."""
_ORDERS: Final = {
    "orders": "count(*)",
    "orders_complete": "count(*) FILTER (complete)",
    "orders_on_time": "count(*) FILTER (on_time)",
    "orders_timed": "count(on_time)",
    "orders_otif": "count(*) FILTER (on_time AND complete)",
}
_STATE: Final = """
    sum(lines_complete) = sum(lines) AS complete,
    CASE WHEN sum(lines_late) > 0 THEN FALSE WHEN sum(lines_untimed) = 0 THEN TRUE END AS on_time
"""
_OF_ORDER: Final = ("dc", "order_id", "lines", "lines_complete", "lines_late", "lines_untimed")
_MOST_LOST: Final = (
    "coalesce(CASE WHEN sum(records) > 0 THEN sum(lost_cases) END, sum(ordered_cases) - sum(shipped_cases))"
)


@dataclass(frozen=True)
class FactQueries:
    """Queries over the facts of a period."""

    source: FactSource
    filters: Mapping[str, Sequence[str | None]]
    """Values by column, out of `FILTERS`: only these; none: all."""
    offset: str = "0d"
    """By how much ship dates are shifted, as of Polars: those of an earlier period, to those they are compared with."""

    def sum_groups(self, by: Sequence[str], *, with_orders: bool = True) -> pl.DataFrame:
        """Add up service and lost cases per group.

        Args:
            by: grouping columns, out of `GROUPINGS`; none for the total.
            with_orders: whether what is of orders is needed; without, it is null.

        Returns:
            The grouping columns, those of `SERVICE`, those of `QUANTITIES` and item_days (null without a record, and by
            or of customers: demand that was not ordered has no customer), sorted by group.

        Raises:
            PermanentFailure: an unknown grouping.

        """
        if unknown := [name for name in by if name not in GROUPINGS]:
            msg = f"cannot group by {', '.join(unknown)}; groupings are {', '.join(GROUPINGS)}"
            raise PermanentFailure(msg)
        found = self.query(
            f"SELECT {', '.join([*_name(by), *_add_up(_AMOUNTS)])} FROM {{}} GROUP BY ALL",
            (self._choose_table(by), by, _AMOUNTS),
        )
        recorded = pl.col("records").fill_null(0) > 0
        rows = found.with_columns(
            *[
                to_units(pl.col(name).cast(decimals.CASES)).fill_null(0).alias(name.removesuffix("_cases"))
                for name in _ORDERED
            ],
            *[pl.when(recorded).then(pl.col(name).cast(decimals.CASES)).alias(name) for name in QUANTITIES],
            pl.when(recorded).then("item_days").alias("item_days"),
            # The row of everything is there even if there is nothing.
            pl.col("lines", "lines_complete").fill_null(0),
        ).drop(_ORDERED)
        if with_orders:
            rows = rows.with_columns(pl.lit(value=True).alias("all"))
            orders = self._count_orders(by).with_columns(pl.lit(value=True).alias("all"))
            rows = rows.join(orders, on=[*by, "all"], how="left", nulls_equal=True)
            rows = rows.with_columns(pl.col(*_ORDERS).fill_null(0))
        else:
            rows = rows.with_columns(pl.lit(None, pl.Int64).alias(name) for name in _ORDERS)
        columns = [*by, *schema.SERVICE.names, *QUANTITIES, "item_days"]
        return add_rates(rows.lazy()).sort(*by, "lines", nulls_last=True).select(columns).collect()

    def sum_all(self, *, with_orders: bool = True) -> pl.DataFrame:
        """Add up everything: the one row of `sum_groups` without groups."""
        return self.source.remember_total(
            (self._limits, with_orders), lambda: self.sum_groups([], with_orders=with_orders)
        )

    def sum_methods(self) -> Methods:
        """Add up whose estimates are in what was lost, and what each method makes of them."""
        names = (*_DAYS_ESTIMATED, *_BY_METHOD)
        statement = f"SELECT {', '.join(_add_up(names))} FROM {{}}"
        found = self.source.remember_total(
            (self._limits, "methods"), lambda: self.query(statement, (self._choose_table([]), [], names))
        )
        days, by_2, by_both, *cases = found.row(0)
        return Methods(days or 0, by_2 or 0, by_both or 0, *(Decimal(each or 0) for each in cases))

    @property
    def _limits(self) -> Hashable:
        """Return what equal limits have in common."""
        return tuple((name, tuple(values)) for name, values in sorted(self.filters.items()))

    def rank_worst_items(self, items: pl.LazyFrame, limit: int = WORST_ITEMS) -> pl.DataFrame:
        """Rank the items of a DC that lost most: what they are, on which path, and the reason of most of it.

        Args:
            items: `ITEMS`, for the latest description.
            limit: rows to return.

        """
        key, names = ["dc", "item"], ["vendor", "department", "path", "reason", "lines_until", "records_until"]
        by_path = [f"sum(lost_cases) FILTER (path = '{path}') AS {path.lower()}" for path in PATHS]
        last = [
            f"arg_max_null({name}, {part}_until) FILTER ({part}_until IS NOT NULL) AS {name}_of_{part}"
            for name in ("vendor", "department")
            for part in ("lines", "records")
        ]
        table = self._choose_table(key)
        worst = self.query(
            f"""SELECT {", ".join([*key, *_add_up(_AMOUNTS), *by_path, *last])} FROM {{}} GROUP BY ALL
                HAVING {_MOST_LOST} > 0 ORDER BY {_MOST_LOST} DESC, dc, item LIMIT $limit""",
            (table, key, [*names, *_AMOUNTS]),
            limit=limit,
        )
        few = self.limit(item=worst["item"].unique().to_list()) if worst.height else self
        reasons = (
            few.query(
                """SELECT dc, item, reason, sum(lost_cases) AS lost FROM {}
                WHERE reason IS NOT NULL AND records > 0 GROUP BY ALL""",
                (table, key, ["reason", "records", "lost_cases"]),
            )
            .sort("lost", "reason", descending=[True, False])
            .group_by(key)
            .agg(pl.col("reason").first().alias("reason_code"))
        )
        described = select_descriptions(items).collect()
        paths = [path.lower() for path in PATHS]
        ordered, shipped, recorded = to_units("ordered_cases"), to_units("shipped_cases"), pl.col("records") > 0
        lost = [*QUANTITIES, *paths]
        return (
            worst.join(reasons, on=key, how="left", maintain_order="left")
            .join(described, on="item", how="left", maintain_order="left")
            .with_columns(
                pl.col(*_ORDERED, *QUANTITIES).cast(decimals.CASES),
                pl.col(paths).cast(decimals.CASES).fill_null(pl.lit(0, decimals.CASES)),
            )
            .with_columns(
                *[
                    pl.coalesce(f"{name}_of_lines", f"{name}_of_records").alias(name)
                    for name in ("vendor", "department")
                ],
                to_cases(ordered - shipped).alias("not_shipped_cases"),
                to_rate(shipped, ordered).alias("case_fill_rate"),
                *[pl.when(recorded).then(name).alias(name) for name in [*lost, "item_days"]],
            )
            .select(
                *key,
                "description",
                "vendor",
                "department",
                *_ORDERED,
                "not_shipped_cases",
                "case_fill_rate",
                *QUANTITIES[:3],
                *paths,
                "item_days",
                "reason_code",
            )
        )

    def sum_by_path(self) -> pl.DataFrame:
        """Add up lost cases per DC and path, and their share of what the DC lost."""
        key = ["dc", "path"]
        sums = (*QUANTITIES, "item_days")
        found = self.query(
            f"SELECT {', '.join([*key, *_add_up(sums)])} FROM {{}} GROUP BY ALL HAVING sum(item_days) > 0",
            (self._choose_table(key), key, sums),
        ).with_columns(pl.col(QUANTITIES).cast(decimals.CASES))
        lost = to_units("lost_cases")
        return found.with_columns(to_rate(lost, lost.sum().over("dc")).alias("share")).sort(key)

    def list_days(self) -> pl.DataFrame:
        """List the DCs and ship dates that have counted lines."""
        by = ["dc", "ship_date"]
        return self.query(
            "SELECT DISTINCT dc, ship_date FROM {} WHERE lines > 0", (self._choose_table(by), by, ["lines"])
        )

    def list_values(self, column: str) -> set[str | None]:
        """List the values of a column, None among them if something has none."""
        found = self.query(f"SELECT DISTINCT {column} FROM {{}}", (self._choose_table([column]), [column], []))
        return {*found[column]}

    def list_names(self, column: str) -> list[str]:
        """List the names in a column."""
        return sorted(value for value in self.list_values(column) if value is not None)

    def limit(self, **filters: Sequence[str | None]) -> FactQueries:
        """Return the same queries with further filters by column."""
        return FactQueries(self.source, {**self.filters, **filters}, self.offset)

    def retain(self, *names: str) -> FactQueries:
        """Return the same queries with the filters by these columns alone."""
        return FactQueries(self.source, {name: self.filters[name] for name in names}, self.offset)

    def count_lines(self) -> tuple[pl.DataFrame, int]:
        """Count rejected lines by table and reason, and the order lines there are."""
        counted = FactQueries(self.source, {}).query(
            """SELECT source_table AS "table", disposition, reason, sum(rows)::BIGINT AS rows FROM {} GROUP BY ALL""",
            ("line_counts", [], ["source_table", "disposition", "reason", "rows"]),
        )
        rejected = counted.filter(pl.col("disposition") == "REJECTED").drop("disposition")
        return rejected, int(counted.filter(pl.col("table") == "order_lines")["rows"].sum())

    def _count_orders(self, by: Sequence[str]) -> pl.DataFrame:
        """Count orders: each once in a group, whatever dates it ships on."""
        table = "order_parts" if self._find_needed(by) & {*PARTING} else "order_facts"
        key = [*_name(by), *(name for name in ("dc", "order_id") if name not in by)]
        outer = [*by, *(f"{expression} AS {name}" for name, expression in _ORDERS.items())]
        return self.query(
            f"""SELECT {", ".join(outer)} FROM (SELECT {", ".join(key)}, {_STATE} FROM {{}} GROUP BY ALL)
                GROUP BY ALL""",
            (table, by, _OF_ORDER),
        )

    def _find_needed(self, by: Iterable[str]) -> set[str]:
        return {*by, *(name for name, values in self.filters.items() if values)}

    def _choose_table(self, by: Iterable[str]) -> str:
        """Choose the smallest table that has what is grouped by and limited to."""
        needed = self._find_needed(by)
        if "customer" in needed:
            return "order_parts" if needed & {*PARTING} else "order_facts"
        return "item_facts" if "item" in needed else "day_facts"

    def query(self, statement: str, facts: tuple[str, Sequence[str], Sequence[str]], **binds: Any) -> pl.DataFrame:  # noqa: ANN401 - what DuckDB binds
        """Run a statement.

        Args:
            statement: with a place for what it reads.
            facts: the table that it reads, what it groups by, and further columns.
            binds: values of the statement.

        """
        table, by, columns = facts
        dated = any(name in _OF_DATE for name in by)
        filtered = {name: values for name, values in self.filters.items() if values}
        wanted = [*dict.fromkeys([*(name for name in by if name not in PERIODS), *columns, *filtered])]
        if dated and "ship_date" not in wanted:
            wanted.append("ship_date")
        relations = self.source.find_relations(table, whole_months=not dated)
        parts, values = [], dict(binds)
        for relation in relations:
            conditions = [*relation.conditions, *(_limit(name, given, values) for name, given in filtered.items())]
            where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
            parts.append(f"SELECT {', '.join(_render(relation, wanted))} FROM {relation.rows}{where}")
            values |= relation.binds
        rows = f"({' UNION ALL '.join(parts)}) AS facts"
        frames = {}
        if dated:
            frames["periods"] = self._list_periods()
            rows += " JOIN periods USING (ship_date)"
        return run_query(self.source, statement.format(rows), values, frames)

    def _list_periods(self) -> pl.DataFrame:
        """List every ship date with the date that it is compared with, its week and its month."""
        first, last = self.source.span
        days = pl.LazyFrame({"ship_date": pl.date_range(first, last, eager=True)})
        shifted = add_periods(days.select(pl.col("ship_date").dt.offset_by(self.offset)), PERIODS)
        return pl.concat([days, shifted.rename({"ship_date": "shown"})], how="horizontal").collect()


def select_descriptions(items: pl.LazyFrame) -> pl.LazyFrame:
    """Select item and description of the latest row of each of `ITEMS`."""
    return items.sort("valid_from").group_by("item").agg(pl.col("description").last())


def _name(by: Sequence[str]) -> list[str]:
    """Name what is grouped by."""
    of_date = {"ship_date": "periods.shown AS ship_date", **{name: f"periods.{name}" for name in PERIODS}}
    return [of_date.get(name, name) for name in by]


def _add_up(names: Iterable[str]) -> list[str]:
    return [f"sum({name}){'::BIGINT' if name in _COUNTS else ''} AS {name}" for name in names]


def _render(relation: Relation, columns: Sequence[str]) -> list[str]:
    """Render the columns of a relation, or what it has in their place."""
    own = FACTS[relation.table].schema.names
    absent = _ABSENT if "records" in own else {**_ABSENT, "records_until": "NULL::DATE"}
    return [name if name in own else f"{absent[name]} AS {name}" for name in columns] or ["1 AS one"]


def _limit(name: str, values: Sequence[str | None], binds: dict[str, Any]) -> str:
    """Limit a column to values; they are bound one by one, and readers skip what lies beyond them."""
    keys = {f"{name}_{number}": value for number, value in enumerate(values) if value is not None}
    binds.update(keys)
    named = [f"{name} IN ({', '.join(f'${key}' for key in keys)})"] if keys else []
    return f"({' OR '.join([*named, *([f'{name} IS NULL'] if None in values else [])])})"
