"""The methodology in plain Python, row by row: a second opinion on what the rules compute.

It is written from docs/explanation/methodology.md and docs/reference/input-tables.md, and imports nothing of the
package. It is slow, and reads CSV as the contracts write it: mappings and other files belong to the tests of reading.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

Row = dict[str, Any]
Day = tuple[str, date]

PLACES: Final = Decimal("0.0001")
MOST: Final = Decimal(10_000_000)
CASES: Final = {"CS", "CA", "CASE", "CASES"}
EACHES: Final = {"EA", "EACH", "EACHES", "UN", "UNIT", "UNITS", "PC", "PCS"}
ELSEWHERE: Final = {"BACKORDER", "SPAWNED", "BLANKET", "DROP_SHIP"}
NO_DATES: Final = {date(1, 1, 1), date(1753, 1, 1), date(1899, 12, 30), date(1899, 12, 31), date(1900, 1, 1)} | {
    date(9999, 12, 31)
}
YEARS: Final = (2000, 2100)
OTHER_YEARS: Final = " of the years 2000 to 2100"
EARLIEST: Final = date(1900, 1, 1)
KINDS: Final = {
    "number": "a number",
    "whole": "a number",
    "date": "a date (YYYY-MM-DD)",
    "time": "a time (YYYY-MM-DD HH:MM:SS, UTC)",
    "flag": "Y or N",
}

ORDERS: Final = {
    **dict.fromkeys(("dc", "order_id", "customer", "item", "uom", "status", "cancel_reason", "line_type"), "text"),
    **dict.fromkeys(("ship_date", "requested_date"), "date"),
    **dict.fromkeys(("line_no", "schedule_line", "substitute_for_line", "source_seq"), "whole"),
    **dict.fromkeys(("ordered_qty", "pack_size"), "number"),
    "processed_at": "time",
}
SHIPMENTS: Final = {
    **dict.fromkeys(("dc", "order_id", "shipment_id", "uom", "reason_code"), "text"),
    "ship_date": "date",
    **dict.fromkeys(("line_no", "schedule_line", "source_seq"), "whole"),
    "shipped_qty": "number",
    **dict.fromkeys(("shipped_at", "delivered_at", "processed_at"), "time"),
}
SHIPPED: Final = {name: SHIPMENTS[name] for name in ("shipped_qty", "uom", "shipped_at", "delivered_at", "reason_code")}
SNAPSHOTS: Final = {
    **dict.fromkeys(("dc", "item", "instock"), "text"),
    "snapshot_date": "date",
    "on_hand_cases": "number",
    "snapshot_at": "time",
}
ITEMS: Final = {
    **dict.fromkeys(("item", "description", "item_type", "vendor", "department"), "text"),
    "pack_size": "number",
    "contract_committed": "flag",
    **dict.fromkeys(("valid_from", "valid_to"), "any date"),
}
DCS: Final = {"dc": "text", "name": "text", "time_zone": "text", "active": "flag"}
WAIVERS: Final = {"reason_code": "text", **dict.fromkeys(("valid_from", "valid_to"), "any date")}
CALENDAR: Final = {"dc": "text", "ship_date": "date", "open": "flag"}


class UnreadError(Exception):
    """A value that cannot be read; its text is what else is said of it."""


@dataclass
class Result:
    """What the methodology makes of a directory."""

    lines: list[Row] = field(default_factory=list)
    """Order lines, and shipment lines and snapshots of no use, each with its disposition."""
    records: dict[tuple[str, date, str], Row] = field(default_factory=dict)
    """Lost-case records of all days that have a snapshot."""
    held: set[Day] = field(default_factory=set)
    """Days without a snapshot, or with too many missing items."""
    doubtful: set[Day] = field(default_factory=set)
    """Days with too many rejects, contradictions, or parts that may be versions."""
    rejected_days: set[Day] = field(default_factory=set)
    """Of the doubtful days those that the platform holds."""
    rejects: list[tuple[str, str | None, date | None, str]] = field(default_factory=list)
    """Rows that have no place: table, DC, ship date, reason."""
    counts: dict[str, tuple[int, int, int, int, int]] = field(default_factory=dict)
    """By table: rows read, used, excluded, rejected, superseded."""


def compute(directory: Path, loaded_at: datetime) -> Result:
    """Compute what the methodology makes of a directory of CSV files."""
    return _Network(directory, loaded_at).compute()


def compute_service(lines: Iterable[Row], by: Sequence[str]) -> dict[tuple[Any, ...], Row]:
    """Compute the service metrics of counted lines by group."""
    groups: dict[tuple[Any, ...], dict[tuple[str, str], list[Row]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        if line["disposition"] == "COUNTED":
            groups[tuple(line[name] for name in by)][line["dc"], line["order_id"]].append(line)
    return {group: _measure(orders) for group, orders in groups.items()}


def _measure(orders: dict[tuple[str, str], list[Row]]) -> Row:
    lines = [line for order in orders.values() for line in order]
    complete = {key: all(map(_is_complete, order)) for key, order in orders.items()}
    on_time: dict[tuple[str, str], bool] = {}
    for key, order in orders.items():
        times = [line["on_time"] for line in order]
        if False in times:
            on_time[key] = False
        elif None not in times:
            on_time[key] = True
    ordered, shipped = _total(lines, "ordered_cases"), _total(lines, "shipped_cases")
    return {
        "lines": len(lines),
        "orders": len(orders),
        "ordered_cases": ordered,
        "shipped_cases": shipped,
        "case_fill_rate": _divide(shipped, ordered),
        "line_fill_rate": _divide(sum(map(_is_complete, lines)), len(lines)),
        "order_fill_rate": _divide(sum(complete.values()), len(orders)),
        "on_time_rate": _divide(sum(on_time.values()), len(on_time)),
        "otif_rate": _divide(sum(complete[key] for key, punctual in on_time.items() if punctual), len(on_time)),
        "orders_timed": len(on_time),
    }


def _is_complete(line: Row) -> bool:
    return bool(line["shipped_cases"] >= line["ordered_cases"])


def _total(rows: Iterable[Row], name: str) -> Decimal:
    return sum((row[name] for row in rows), Decimal(0))


def _divide(part: Decimal | int, whole: Decimal | int) -> Decimal | None:
    return None if not whole else (Decimal(part) / Decimal(whole)).quantize(PLACES, ROUND_HALF_UP)


def _read_number(text: str) -> Decimal:
    text = f"-{text[:-1].strip()}" if re.fullmatch(r"[^+-].*-", text) else text
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text):
        raise UnreadError
    try:
        return Decimal(text).quantize(PLACES, ROUND_HALF_UP)
    except InvalidOperation as error:
        raise UnreadError from error


def _read_whole(text: str) -> int:
    number = _read_number(text)
    if number != int(number):
        raise UnreadError
    return int(number)


_MOMENT: Final = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)(?:[T ](\d\d):?(\d\d)(?::?(\d\d)(?:[.,](\d+))?)?\s*(Z|[+-]\d\d(?::?\d\d)?)?)?",
    re.IGNORECASE,
)


def _read_moment(text: str) -> tuple[datetime, bool]:
    """Read a date or time: the moment, with its offset where it has one, and whether it has a time of day."""
    found = _MOMENT.fullmatch(text)
    if not found or text.isdigit():
        # Numbers are no dates until a mapping says so.
        raise UnreadError
    year, month, day, hour, minute, second, fraction, offset = found.groups()
    try:
        day_of = date(int(year), int(month), int(day))
        clock = time(int(hour or 0), int(minute or 0), int(second or 0), int((fraction or "0")[:6].ljust(6, "0")))
        moment = datetime.combine(day_of, clock)
    except ValueError as error:
        raise UnreadError from error
    if offset:
        digits = offset.upper().replace("Z", "+00").replace(":", "")
        shift = timedelta(hours=int(digits[1:3]), minutes=int(digits[3:5] or 0))
        moment = (moment - (shift if digits[0] == "+" else -shift)).replace(tzinfo=UTC)
    return moment, hour is not None


class _Network:
    """A directory as it is read, and what the method makes of it."""

    def __init__(self, directory: Path, loaded_at: datetime) -> None:
        self.directory = directory
        self.loaded_at = loaded_at
        self.zones: dict[str, str] = {}
        self.result = Result()

    def compute(self) -> Result:
        dcs = self._read("dcs", DCS)
        self.zones = {row["dc"]: row["time_zone"] for row in dcs if row["time_zone"]}
        self.known_zones = {**dict.fromkeys((row["dc"] for row in dcs), "UTC"), **self.zones}
        self.items = self._read_items()
        calendar = self._read("dc_calendar", CALENDAR)
        self.open_days = {(row["dc"], row["ship_date"]) for row in calendar if row["open"]}
        for table, rows in (("dcs", dcs), ("dc_calendar", calendar)):
            if table in self.result.counts:
                self.result.counts[table] = (len(rows), len(rows), 0, 0, 0)
        self.waivers = self._read_waivers()
        orders = self._place_orders()
        shipments = self._place_shipments(orders)
        snapshots = self._place_snapshots()
        self._judge_orders(orders)
        self._judge_shipments(shipments, [order for order in orders if order["disposition"] != "SUPERSEDED"])
        self._credit(orders, shipments)
        self._count("order_lines", orders)
        if (self.directory / "shipment_lines.csv").exists():
            self._count("shipment_lines", shipments)
        self.result.lines = [
            *orders,
            *[{**row, "reason_code": None} for row in shipments if row["disposition"] != "USED"],
            *[row for row in snapshots if row["disposition"] == "REJECTED"],
        ]
        self._hold_days_of_rejects(orders, shipments)
        self._judge_days(orders, self._choose_snapshots(snapshots))
        return self.result

    # Reading

    def _read(self, table: str, columns: dict[str, str]) -> list[Row]:
        """Read the rows of a table by its contract, each with `problem`."""
        file = self.directory / f"{table}.csv"
        if not file.exists():
            return []
        with file.open(newline="", encoding="utf-8") as handle:
            header, *rows = csv.reader(handle)
        names = [re.sub(r"[\s_]", "", name).lower() for name in header]
        given = {name: names.index(name.replace("_", "")) for name in columns if name.replace("_", "") in names}
        self.given = set(given)
        read = []
        for row in rows:
            texts = {name: row[place].strip() for name, place in given.items()}
            read.append(self._type(texts, columns))
        self.result.counts[table] = (len(read), 0, 0, 0, 0)
        return read

    def _type(self, texts: dict[str, str], columns: dict[str, str]) -> Row:
        typed: Row = dict.fromkeys(columns)
        problems = []
        for name, text in texts.items():
            try:
                typed[name] = self._read_value(text, columns[name], texts.get("dc", "")) if text else None
            except UnreadError as error:
                kind = columns[name].removeprefix("any ")
                problems.append((name, f"{name} '{text}' is not {KINDS[kind]}{error}"))
        typed["unread"] = [name for name, _ in problems]
        typed["problem"] = "; ".join(said for _, said in problems) or None
        typed["texts"] = texts
        return typed

    def _read_value(self, text: str, kind: str, dc: str) -> object:
        if kind == "text":
            return text
        if kind == "flag":
            if text.upper() not in {"Y", "YES", "TRUE", "T", "1", "N", "NO", "FALSE", "F", "0"}:
                raise UnreadError
            return text.upper() in {"Y", "YES", "TRUE", "T", "1"}
        if kind in {"number", "whole"}:
            return _read_number(text) if kind == "number" else _read_whole(text)
        return self._read_date(text, kind, dc)

    def _read_date(self, text: str, kind: str, dc: str) -> object:
        if not text.strip("0-"):
            return None
        moment, timed = _read_moment(text)
        if moment.date() in NO_DATES:
            return None
        if kind == "date" and moment.tzinfo and dc in self.zones:
            moment = moment.astimezone(ZoneInfo(self.zones[dc]))
        elif kind == "date" and moment.tzinfo:
            moment = datetime.strptime(text.replace("-", "")[:8], "%Y%m%d")  # noqa: DTZ007 - the date as written
        elif kind == "time" and not moment.tzinfo:
            zone = ZoneInfo(self.zones.get(dc, "UTC")) if not timed else UTC
            moment = moment.replace(tzinfo=zone).astimezone(UTC)
        if kind != "any date" and not YEARS[0] <= moment.year <= YEARS[1]:
            raise UnreadError(OTHER_YEARS)
        return moment if kind == "time" else moment.date()

    def _reject(self, table: str, row: Row, reason: str) -> None:
        self.result.rejects.append((table, row.get("dc"), row.get("ship_date"), reason))

    def _place(self, table: str, rows: list[Row], key: Sequence[str]) -> list[Row]:
        """Select the rows that have a place; the others are rejected."""
        placed = []
        for row in rows:
            absent = [name for name in key if row[name] is None]
            if absent:
                said = [row["problem"]] if row["problem"] else []
                said += [f"no {name}" for name in absent if name in self.given and name not in row["unread"]]
                self._reject(table, row, "; ".join(said))
            else:
                placed.append(row)
        return placed

    def _read_items(self) -> dict[str, list[Row]]:
        rows = self._read("items", ITEMS)
        master: dict[str, dict[date, Row]] = defaultdict(dict)
        said: dict[tuple[str, date], list[Row]] = defaultdict(list)
        used = 0
        for row in rows:
            reasons = [row["problem"]] if row["problem"] else []
            row["item_type"] = row["item_type"] and row["item_type"].upper()
            if row["item"] is None:
                reasons.append("no item")
            if row["item_type"] not in {"STOCK", "FLOW"}:
                reasons.append(f"item_type {row['item_type'] or 'empty'} is neither STOCK nor FLOW")
            if reasons:
                self._reject("items", row, "; ".join(reasons))
                continue
            row["valid_from"] = row["valid_from"] or EARLIEST
            row["contract_committed"] = bool(row["contract_committed"])
            said[row["item"], row["valid_from"]].append(row)
            master[row["item"]][row["valid_from"]] = row
        for versions in said.values():
            used += 1
            self._reject_contradicted("items", versions, "the same item and valid_from")
        self._balance("items", used)
        return {item: sorted(of.values(), key=lambda row: row["valid_from"]) for item, of in master.items()}

    def _reject_contradicted(self, table: str, versions: list[Row], what: str) -> None:
        """Reject rows that a later one contradicts: one reject speaks for all."""
        contents = [tuple(value for name, value in row.items() if name not in {"texts", "unread"}) for row in versions]
        others = len(set(contents)) - 1
        if others:
            more = f"; so have {others - 1} more" if others > 1 else ""
            self._reject(table, versions[0], f"a later row of the file has {what}{more}")

    def _read_waivers(self) -> list[Row]:
        said: dict[tuple[str, date], list[Row]] = defaultdict(list)
        for row in self._read("waivers", WAIVERS):
            if row["problem"] or row["reason_code"] is None:
                self._reject("waivers", row, row["problem"] or "no reason_code")
                continue
            row["valid_from"] = row["valid_from"] or EARLIEST
            said[row["reason_code"], row["valid_from"]].append(row)
        for versions in said.values():
            self._reject_contradicted("waivers", versions, "the same reason_code and valid_from")
        if "waivers" in self.result.counts:
            self._balance("waivers", len(said))
        return [versions[-1] for versions in said.values()]

    def _balance(self, table: str, used: int) -> None:
        read = self.result.counts[table][0]
        rejected = sum(reject[0] == table for reject in self.result.rejects)
        self.result.counts[table] = (read, used, 0, rejected, read - used - rejected)

    def _count(self, table: str, rows: list[Row]) -> None:
        unplaced = sum(reject[0] == table for reject in self.result.rejects)
        of = [row["disposition"] for row in rows]
        self.result.counts[table] = (
            self.result.counts[table][0],
            of.count("COUNTED") + of.count("USED"),
            of.count("EXCLUDED"),
            of.count("REJECTED") + unplaced,
            of.count("SUPERSEDED"),
        )

    def _find_item(self, item: str | None, day: date) -> Row | None:
        """Find the item row in force: the latest that has begun, if it has not ended."""
        begun = [row for row in self.items.get(item or "", []) if row["valid_from"] <= day]
        return begun[-1] if begun and (begun[-1]["valid_to"] is None or day <= begun[-1]["valid_to"]) else None

    def _place_orders(self) -> list[Row]:
        rows = self._read("order_lines", {**ORDERS, **SHIPPED})
        self.shipped_with_orders = "shipped_qty" in self.given
        for row in rows:
            if "processed_at" not in self.given:
                row["processed_at"] = self.loaded_at
            row["source_seq"] = row["source_seq"] or 0
            # What is wrong with what shipped is no problem of the order line.
            ours = {name: text for name, text in row["texts"].items() if name in ORDERS}
            row.update(
                {name: value for name, value in self._type(ours, ORDERS).items() if name in {"unread", "problem"}}
            )
        key = ("dc", "ship_date", "order_id", "line_no", "processed_at")
        placed = self._place("order_lines", rows, key)
        for row in placed:
            row.update(source_table="order_lines", shipment_id=None, schedule_line=row["schedule_line"] or None)
        return placed

    def _place_shipments(self, orders: list[Row]) -> list[Row]:
        if not (self.directory / "shipment_lines.csv").exists():
            return self._derive_shipments(orders)
        latest: dict[tuple[Any, ...], Row] = {}
        version = ("processed_at", "source_seq", "ship_date")
        for row in sorted(orders, key=lambda row: tuple(row[name] for name in version)):
            latest[row["dc"], row["order_id"], row["line_no"], row["schedule_line"]] = row
        dates: dict[tuple[Any, ...], set[date]] = defaultdict(set)
        for key, row in latest.items():
            dates[key[:3]].add(row["ship_date"])
        rows = self._read("shipment_lines", SHIPMENTS)
        for row in rows:
            if "processed_at" not in self.given:
                row["processed_at"] = self.loaded_at
            row["source_seq"] = row["source_seq"] or 0
            row["ship_date"] = row["ship_date"] or self._find_ship_date(row, latest, dates)
        placed = []
        several = "the order line ships on several dates, and the shipment names neither a schedule line nor a date"
        for row in self._place("shipment_lines", rows, ("dc", "order_id", "line_no", "processed_at")):
            if row["ship_date"] is not None:
                row.update(source_table="shipment_lines", schedule_line=row["schedule_line"] or None)
                placed.append(row)
            elif dates[row["dc"], row["order_id"], row["line_no"]]:
                self._reject("shipment_lines", row, several)
            else:
                hint = self._suggest(row, latest.values(), ("dc", "line_no"))
                self._reject("shipment_lines", row, "no order line for this shipment" + hint)
        return placed

    def _find_ship_date(
        self, row: Row, latest: dict[tuple[Any, ...], Row], dates: dict[tuple[Any, ...], set[date]]
    ) -> date | None:
        """Find the ship date of a shipment that names none: that of its order line, else the day it left."""
        line = (row["dc"], row["order_id"], row["line_no"])
        if order := latest.get((*line, row["schedule_line"])):
            return order["ship_date"]  # type: ignore[no-any-return]
        if dates[line]:
            return min(dates[line]) if len(dates[line]) == 1 else None
        return self._find_local_date(row["dc"], row["shipped_at"]) if row["shipped_at"] else None

    def _suggest(self, shipment: Row, orders: Iterable[Row], place: Sequence[str]) -> str:
        bare = shipment["order_id"].lstrip("0")
        meant = [
            order["order_id"]
            for order in orders
            if order["order_id"].lstrip("0") == bare and all(order[name] == shipment[name] for name in place)
        ]
        return f"; is it order {min(meant)}?" if meant else ""

    def _derive_shipments(self, orders: list[Row]) -> list[Row]:
        """Make the one shipment that a row of order_lines has itself."""
        derived = []
        for order in orders:
            texts = {name: text for name, text in order["texts"].items() if name in SHIPPED or name == "dc"}
            row = self._type(texts, {**SHIPPED, "dc": "text"})
            if row["shipped_qty"] is None and "shipped_qty" not in row["unread"]:
                row["shipped_qty"] = Decimal(0)
            same = ("dc", "ship_date", "order_id", "line_no", "schedule_line", "processed_at", "source_seq")
            row.update({name: order[name] for name in same}, source_table="shipment_lines", shipment_id="order line")
            credit = order["ordered_qty"] is not None and order["ordered_qty"] < 0
            if not (credit and row["shipped_qty"] is not None and row["shipped_qty"] < 0):
                derived.append(row)
        return derived

    def _place_snapshots(self) -> list[Row]:
        rows = self._read("instock_snapshots", SNAPSHOTS)
        for row in rows:
            row["ship_date"] = row["snapshot_date"]
        placed = self._place("instock_snapshots", rows, ("dc", "snapshot_date"))
        for row in placed:
            row.update(source_table="instock_snapshots", disposition="USED", reason=None)
            row["instock"] = row["instock"] and row["instock"]
            if row["problem"]:
                row.update(disposition="REJECTED", reason=row["problem"])
            elif row["item"] is None:
                row.update(disposition="REJECTED", reason="no item")
            elif (row["instock"] or "").upper() not in {"Y", "N"}:
                said = f"instock is {row['instock'] or 'empty'}, expected Y or N"
                row.update(disposition="REJECTED", reason=said)
        return placed

    def _choose_snapshots(self, snapshots: list[Row]) -> dict[tuple[str, date, str], str]:
        """Choose the latest record of each item and day; in stock wins a tie."""
        chosen: dict[tuple[str, date, str], tuple[datetime, bool]] = {}
        for row in snapshots:
            if row["disposition"] == "USED":
                key = (row["dc"], row["ship_date"], row["item"])
                stamp = (row["snapshot_at"] or self.loaded_at, row["instock"].upper() == "Y")
                chosen[key] = max(chosen.get(key, stamp), stamp)
        rejected = sum(row["disposition"] == "REJECTED" for row in snapshots)
        rejected += sum(reject[0] == "instock_snapshots" for reject in self.result.rejects)
        if "instock_snapshots" in self.result.counts:
            read = self.result.counts["instock_snapshots"][0]
            self.result.counts["instock_snapshots"] = (read, len(chosen), 0, rejected, read - len(chosen) - rejected)
        return {key: "Y" if instock else "N" for key, (_, instock) in chosen.items()}

    # Lines

    def _mark_versions(
        self, rows: list[Row], columns: Iterable[str], identify: Callable[[Row], tuple[Any, ...]]
    ) -> None:
        """Mark the rows that do not count because of others of the same identity."""
        versions: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
        for row in rows:
            row["superseded"], row["contradicted"] = None, False
            versions[identify(row)].append(row)
        for of in versions.values():
            newest = max((row["processed_at"], row["source_seq"]) for row in of)
            first: dict[tuple[Any, ...], Row] = {}
            for row in of:
                content = tuple(row[name] for name in (*columns, "ship_date", "problem"))
                if (row["processed_at"], row["source_seq"]) < newest:
                    row["superseded"] = "a later version of the line exists"
                elif content in first:
                    row["superseded"] = TWICE
                else:
                    first[content] = row
            if len(first) > 1:
                for row in first.values():
                    row["contradicted"] = True

    def _judge_orders(self, orders: list[Row]) -> None:
        self._mark_versions(
            orders, ORDERS, lambda row: (row["dc"], row["order_id"], row["line_no"], row["schedule_line"])
        )
        for row in orders:
            master = self._find_item(row["item"], row["ship_date"])
            row["vendor"], row["department"] = (master and master["vendor"]), (master and master["department"])
            pack = row["pack_size"] if row["pack_size"] is not None else master and master["pack_size"]
            row["pack"] = pack
            row["kind"] = (row["line_type"] or "NORMAL").upper()
            row["cases"] = None
            rejection = self._find_rejection(row, master)
            exclusion = self._find_exclusion(row)
            if row["superseded"]:
                row.update(disposition="SUPERSEDED", reason=row["superseded"])
            elif rejection:
                row.update(disposition="REJECTED", reason=rejection)
            elif exclusion:
                row.update(disposition="EXCLUDED", reason=exclusion)
            else:
                row.update(disposition="COUNTED", reason=row["problem"])

    def _find_rejection(self, row: Row, master: Row | None) -> str | None:
        status, quantity = (row["status"] or "OPEN").upper(), row["ordered_qty"]
        if set(row["unread"]) - {"requested_date"}:
            return str(row["problem"])
        checks = [
            (row["contradicted"], "another row of the line says otherwise, and neither is later"),
            (row["item"] is None, "no item"),
            (row["kind"] == "CREDIT", "a credit: never netted against demand"),
            (quantity is None, "no ordered quantity"),
            (
                quantity is not None and quantity < 0,
                "negative quantity: a return or credit, never netted against demand",
            ),
            (quantity is not None and quantity > MOST, "quantity above 10,000,000"),
            (row["kind"] not in {"NORMAL", "SUBSTITUTE", "CREDIT", *ELSEWHERE}, f"unknown line type {row['kind']}"),
            (status not in {"OPEN", "SHIPPED", "CANCELLED"}, f"unknown status {status}"),
        ]
        if found := next((reason for wrong, reason in checks if wrong), None):
            return found
        row["cases"], problem = _convert(quantity, row["uom"], row["pack"])
        if self._find_exclusion(row) not in {None, SUBSTITUTED}:
            return None
        return f"item {row['item']} is not in force on the ship date" if master is None else problem

    @staticmethod
    def _find_exclusion(row: Row) -> str | None:
        if (row["status"] or "").upper() == "CANCELLED" and (row["cancel_reason"] or "").upper().startswith("CUST"):
            return "cancelled by the customer"
        if row["kind"] in ELSEWHERE:
            return f"{row['kind']} line: its demand counts elsewhere"
        return SUBSTITUTED if row["kind"] == "SUBSTITUTE" else None

    def _judge_shipments(self, shipments: list[Row], orders: list[Row]) -> None:
        scheduled: dict[tuple[Any, ...], set[int | None]] = defaultdict(set)
        current: dict[tuple[Any, ...], Row] = {}
        for order in orders:
            line = (order["dc"], order["order_id"], order["line_no"], order["ship_date"])
            other = current.setdefault((*line, order["schedule_line"]), order)
            # Rows that contradict each other are one line to its shipments, with the greatest pack size.
            packs = [row["pack"] for row in (order, other) if row["pack"] is not None]
            other["line_pack"] = max([*packs, *filter(None, [other.get("line_pack")])], default=None)
            scheduled[line].add(order["schedule_line"])
        key = ("dc", "order_id", "line_no", "schedule_line", "shipment_id")
        self._mark_versions(
            shipments,
            SHIPMENTS,
            lambda row: (*(row[name] for name in key), None if row["shipment_id"] else row["shipped_at"]),
        )
        for row in shipments:
            line = (row["dc"], row["order_id"], row["line_no"], row["ship_date"])
            row["several"] = row["schedule_line"] is None and len(scheduled[line]) > 1 and None not in scheduled[line]
            if row["schedule_line"] is None and len(scheduled[line]) == 1:
                (row["schedule_line"],) = scheduled[line]
        for row in shipments:
            line = (row["dc"], row["order_id"], row["line_no"], row["ship_date"])
            row["order"] = current.get((*line, row["schedule_line"]))
            row["cases"] = None
            rejection = self._find_shipment_rejection(row, orders)
            if row["superseded"]:
                row.update(disposition="SUPERSEDED", reason=row["superseded"])
            elif rejection:
                row.update(disposition="REJECTED", reason=rejection)
            else:
                row.update(disposition="USED", reason=None)

    def _find_shipment_rejection(self, row: Row, orders: list[Row]) -> str | None:
        quantity, several = row["shipped_qty"], row["several"]
        if set(row["unread"]) - {"shipped_at", "delivered_at"}:
            return str(row["problem"])
        schedule = "the order line has several schedule lines on this ship date, and the shipment names none"
        checks = [
            (row["contradicted"], "another row of the line says otherwise, and neither is later"),
            (quantity is None, "no shipped quantity"),
            (
                quantity is not None and quantity < 0,
                "negative quantity: a return or credit, never netted against demand",
            ),
            (quantity is not None and quantity > MOST, "quantity above 10,000,000"),
            (several, schedule),
        ]
        if found := next((reason for wrong, reason in checks if wrong), None):
            return found
        if row["order"] is None:
            hint = self._suggest(row, orders, ("dc", "ship_date", "line_no"))
            return "no order line for this shipment on its ship date" + hint
        row["cases"], problem = _convert(quantity, row["uom"], row["order"]["line_pack"])
        return problem

    def _credit(self, orders: list[Row], shipments: list[Row]) -> None:
        """Credit what shipped, capped line by line, and substitutes to the lines that they replace."""
        parts: dict[int, list[Row]] = defaultdict(list)
        for row in shipments:
            if row["disposition"] == "USED":
                parts[id(row["order"])].append(row)
        current = [row for row in orders if row["disposition"] != "SUPERSEDED"]
        for row in current:
            row["parts"] = parts[id(row)]
            row["shipped"] = _total(row["parts"], "cases")
            if row["disposition"] == "COUNTED" and row["cases"] == 0 and row["shipped"] == 0:
                said = "nothing ordered and nothing shipped: how a line is cancelled"
                row.update(disposition="EXCLUDED", reason=said)
        for row in orders:
            names = ("ordered_cases", "shipped_cases", "over_cases", "sub_cases", "reason_code", "on_time", "shipments")
            row.update(dict.fromkeys(names))
        for row in current:
            row["shipments"] = len(row["parts"])
            if row["disposition"] == "COUNTED":
                self._credit_line(row, current)

    def _credit_line(self, row: Row, current: list[Row]) -> None:
        row["ordered_cases"], row["shipped_cases"] = row["cases"], min(row["cases"], row["shipped"])
        row["over_cases"] = row["shipped"] - row["shipped_cases"]
        of_order = [other for other in current if all(other[name] == row[name] for name in ("dc", "order_id"))]
        of_line = [other for other in of_order if other["line_no"] == row["line_no"]]
        same = [other for other in of_line if other["ship_date"] == row["ship_date"]]
        dates = {other["ship_date"] for other in of_line}
        replacing = [
            other
            for other in of_order
            if other["disposition"] == "EXCLUDED"
            and other["kind"] == "SUBSTITUTE"
            and other["substitute_for_line"] == row["line_no"]
            and row["ship_date"] == (other["ship_date"] if other["ship_date"] in dates else min(dates))
        ]
        first = (row["schedule_line"] or 0) == min(other["schedule_line"] or 0 for other in same)
        row["sub_cases"] = _total(replacing, "shipped") if first else Decimal(0)
        parts = row["parts"]
        if row["shipped"] < row["cases"]:
            coded = [part for part in parts if part["reason_code"]]
            latest = max(
                coded,
                key=lambda part: (part["processed_at"], part["source_seq"], part["reason_code"].upper()),
                default=None,
            )
            row["reason_code"] = latest and latest["reason_code"].upper()
        row["on_time"] = self._judge_on_time(row)
        anonymous = [part for part in parts if part["shipment_id"] is None]
        if len(anonymous) > 1 and row["shipped"] > row["cases"]:
            never = datetime.min.replace(tzinfo=UTC)
            latest = max(
                parts,
                key=lambda part: (
                    part["processed_at"],
                    part["source_seq"],
                    (not part["shipment_id"] and part["shipped_at"]) or never,
                ),
            )
            if latest["cases"] <= row["cases"]:
                row["reason"] = EXCEEDED
                self.result.doubtful.add((row["dc"], row["ship_date"]))
        if row["reason"] is None:
            row["reason"] = next((part["problem"] for part in parts if part["problem"]), None)

    def _judge_on_time(self, row: Row) -> bool | None:
        if row["shipped"] == 0:
            return False
        arrivals = sorted(
            ((_find_arrival(part), part["cases"]) for part in row["parts"] if part["cases"] > 0),
            key=lambda part: (part[0] is None, part[0] or datetime.max.replace(tzinfo=UTC)),
        )
        so_far, arrived = Decimal(0), None
        for arrival, cases in arrivals:
            if so_far and so_far >= row["cases"]:
                break
            so_far, arrived = so_far + cases, arrival
        if arrived is None or "requested_date" in row["unread"]:
            return None
        return bool(self._find_local_date(row["dc"], arrived) <= (row["requested_date"] or row["ship_date"]))

    def _find_local_date(self, dc: str, moment: datetime) -> date:
        return moment.astimezone(ZoneInfo(self.zones.get(dc, "UTC"))).date()

    # Days

    def _hold_days_of_rejects(self, orders: list[Row], shipments: list[Row]) -> None:
        """Find the days of whose rows too many are rejected, or of which one contradicts another."""
        days = {(row["dc"], row["ship_date"]) for row in (*orders, *shipments)}
        ours = {(row["dc"], row["ship_date"]) for row in orders}
        for table, rows in (("order_lines", orders), ("shipment_lines", shipments)):
            unplaced = [reject for reject in self.result.rejects if reject[0] == table]
            days |= {(dc, day) for _, dc, day, _ in unplaced if dc and day}
            for day in days:
                of = [
                    row for row in rows if (row["dc"], row["ship_date"]) == day and row["disposition"] != "SUPERSEDED"
                ]
                negative = [row for row in of if row["disposition"] == "REJECTED" and _is_credit(row)]
                bad = [row for row in of if row["disposition"] == "REJECTED" and not _is_credit(row)]
                good = [row for row in of if row["disposition"] != "REJECTED"]
                placed = sum((dc, at) == day for _, dc, at, _ in unplaced)
                anywhere = sum(dc in {day[0], None} and (dc is None or at is None) for _, dc, at, _ in unplaced)
                of_dc = sum(row["dc"] == day[0] for row in rows) + anywhere
                wrong, all_rows = len(bad) + placed, len(good) + len(bad) + placed
                size = sum((_measure_row(row) for row in bad), Decimal(0))
                if table == "order_lines":
                    whole = size + sum((row["ordered_cases"] or 0 for row in good), Decimal(0))
                else:
                    counted = [row for row in good if row["order"]["disposition"] == "COUNTED"]
                    whole = size + _total(counted, "cases")
                held = wrong * 20 > all_rows or size * 20 > whole
                held |= day in ours and anywhere * 20 > of_dc
                held |= any(row["contradicted"] for row in bad)
                held |= table == "order_lines" and len(negative) * 5 > len(negative) + all_rows
                if held:
                    self.result.doubtful.add(day)
                    self.result.rejected_days.add(day)

    def _judge_days(self, orders: list[Row], snapshots: dict[tuple[str, date, str], str]) -> None:
        """Judge every day of every DC: its driving set, its averages, its records."""
        counted: dict[tuple[str, date, str], list[Row]] = defaultdict(list)
        for row in orders:
            if row["disposition"] == "COUNTED":
                counted[row["dc"], row["ship_date"], row["item"]].append(row)
        self.snapshots = {key: flag for key, flag in snapshots.items() if self._find_item(key[2], key[1])}
        self.counted = counted
        self.ship_days = {key[:2] for key in counted} | self.open_days
        recorded = {key[:2] for key in self.snapshots}
        for day in sorted({key[:2] for key in (*counted, *self.snapshots)} & self.ship_days):
            items = {key[2] for key in (*counted, *self.snapshots) if key[:2] == day}
            driving = sorted(item for item in items if self._drives(*day, item))
            missing = [
                item
                for item in driving
                if self._get_type(item, day[1]) == "STOCK" and (*day, item) not in self.snapshots
            ]
            if not driving:
                continue
            if day not in recorded or len(missing) * 5 > len(driving):
                self.result.held.add(day)
                continue
            for item in driving:
                self.result.records[*day, item] = self._judge_item(*day, item)

    def _get_type(self, item: str, day: date) -> str | None:
        master = self._find_item(item, day)
        return None if master is None else str(master["item_type"])

    def _drives(self, dc: str, day: date, item: str) -> bool:
        out = self.snapshots.get((dc, day, item)) == "N" and self._get_type(item, day) == "STOCK"
        return (dc, day, item) in self.counted or out

    def _find_baseline(self, dc: str, day: date, item: str) -> tuple[Decimal | None, int, str]:
        observations = []
        for back in range(1, 29):
            then = day - timedelta(days=back)
            key = (dc, then, item)
            flag = self.snapshots.get(key)
            if key[:2] not in self.ship_days or self._get_type(item, then) != "STOCK":
                continue
            if flag == "Y" or (flag is None and _total(self.counted.get(key, []), "shipped_cases") > 0):
                observations.append((back, _total(self.counted.get(key, []), "ordered_cases")))
        week = [ordered for back, ordered in observations if back <= 7]
        latest = [ordered for _, ordered in observations[:7]]
        if len(week) >= 3:
            return _divide(sum(week, Decimal(0)), len(week)), len(week), "W7"
        if len(latest) >= 3:
            return _divide(sum(latest, Decimal(0)), len(latest)), len(latest), "EXT28"
        return None, len(latest), "NONE"

    def _judge_item(self, dc: str, day: date, item: str) -> Row:
        master = self._find_item(item, day)
        assert master is not None
        lines = self.counted.get((dc, day, item), [])
        flag = self.snapshots.get((dc, day, item))
        o, s, subs = (_total(lines, name) for name in ("ordered_cases", "shipped_cases", "sub_cases"))
        path, baseline = "FLOW", NO_BASELINE
        if master["item_type"] != "FLOW":
            path = {None: "MISSING", "Y": "STOCK_IN", "N": "STOCK_OUT"}[flag]
            baseline = self._find_baseline(dc, day, item)
        confirmed = o - s
        imputed = path == "MISSING" and s == 0 < o
        estimated = (
            max(baseline[0] - o, Decimal(0))
            if baseline[0] is not None and (path == "STOCK_OUT" or imputed)
            else Decimal(0)
        )
        lost = confirmed + estimated
        phantom = path == "STOCK_IN" and s == 0 < o
        reason = self._find_reason(lines, lost, path=path, imputed=imputed, phantom=phantom, subs=subs)
        waived = any(
            waiver["reason_code"].upper() == reason
            and waiver["valid_from"] <= day
            and (waiver["valid_to"] is None or day <= waiver["valid_to"])
            for waiver in self.waivers
        )
        owed = master["contract_committed"] and (path in {"STOCK_OUT", "FLOW"} or imputed) and not waived
        return {
            **{name: master[name] for name in ("item_type", "vendor", "department", "contract_committed")},
            "path": path,
            "ordered_cases": o,
            "shipped_cases": s,
            "over_cases": _total(lines, "over_cases"),
            "sub_cases": subs,
            **dict(zip(("baseline_cases", "baseline_n", "baseline_source"), baseline, strict=True)),
            "confirmed_cases": confirmed,
            "estimated_cases": estimated,
            "lost_cases": lost,
            "fill_rate": _divide(s, o),
            "fill_rate_with_subs": _divide(s + min(subs, confirmed), o),
            "demand_fill_rate": _divide(s, s + lost),
            "contract_lost_cases": lost if owed else Decimal(0),
            "imputed": imputed,
            "phantom_stock": phantom,
            "flag_conflict": path == "STOCK_OUT" and o > 0 and s >= o,
            "reason_code": reason,
            "method_version": 1,
        }

    @staticmethod
    def _find_reason(
        lines: list[Row], lost: Decimal, *, path: str, imputed: bool, phantom: bool, subs: Decimal
    ) -> str | None:
        if lost == 0:
            return None
        coded = [line for line in lines if line["reason_code"]]
        if coded:
            shortest = min(coded, key=lambda line: (line["shipped_cases"] - line["ordered_cases"], line["reason_code"]))
            return str(shortest["reason_code"])
        if path == "STOCK_OUT" or imputed:
            return "01"
        if path == "FLOW":
            return "12"
        if phantom:
            return "07"
        return "09" if subs > 0 else "ZZ"


NO_BASELINE: Final[tuple[Decimal | None, int, str]] = (None, 0, "NONE")
TWICE: Final = "the same row is there twice"
SUBSTITUTED: Final = "substitute: credited to the line it replaces"
EXCEEDED: Final = "shipments without a shipment_id add up to more than was ordered: parts, or versions of one?"


def _is_credit(row: Row) -> bool:
    return str(row["reason"]).startswith(("a credit:", "negative quantity:"))


def _measure_row(row: Row) -> Decimal:
    """Measure a rejected row, by its own unit where that is not known; a keying error has no size."""
    quantity = row["ordered_qty"] if row["source_table"] == "order_lines" else row["shipped_qty"]
    if quantity is None or abs(quantity) > MOST:
        return Decimal(0)
    pack = row["pack"] if row["source_table"] == "order_lines" else row["order"] and row["order"]["line_pack"]
    cases, _ = _convert(quantity, row["uom"], pack)
    return Decimal(abs(quantity if cases is None else cases))


def _find_arrival(part: Row) -> datetime | None:
    """Find when a part arrived: its delivery, or without one when it left; one that cannot be read is unknown."""
    if part["delivered_at"] is not None:
        return part["delivered_at"]  # type: ignore[no-any-return]
    return None if "delivered_at" in part["unread"] else part["shipped_at"]


def _convert(quantity: Decimal, uom: str | None, pack: Decimal | None) -> tuple[Decimal | None, str | None]:
    """Convert a quantity to cases, or say why it cannot be."""
    unit = (uom or "CS").upper()
    if unit in CASES:
        return quantity, None
    if unit not in EACHES:
        return None, f"unit {unit} is neither cases nor eaches"
    if pack is None:
        return None, "unit is not cases and there is no pack size"
    if pack <= 0:
        return None, "pack size is not positive"
    cases = (quantity / pack).quantize(PLACES, ROUND_HALF_UP)
    return (cases, None) if cases <= MOST else (cases, "quantity above 10,000,000")
