"""Random small networks as directories of CSV files, with all that real exports do to orders and shipments."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final
from zoneinfo import ZoneInfo

from fillrate_assets_tests.factories.directories import write_csv

Rows = list[dict[str, str]]

_DCS: Final = ("DC01", "7", "Nord Ost", "Köln", "0012")
_ZONES: Final = ("UTC", "Europe/Berlin", "America/Los_Angeles", "Asia/Tokyo", "Pacific/Kiritimati")
_QUANTITIES: Final = ("0", "1", "2", "5", "7.3333", "10", "12", "12.5", "24", "40", "100", "0.00005", "3.14159", "1e2")
_PACKS: Final = ("", "", "1", "6", "7", "12", "2.5")
_CODES: Final = ("", "", "", "01", "07", "12", "zz", "A1", "a1 ")
_SHIPPED: Final = ("shipped_qty", "shipped_at", "delivered_at", "reason_code")
_COLUMNS: Final = {
    "order_lines": ["dc", "ship_date", "order_id", "line_no", "item", "ordered_qty", "shipped_qty"],
    "shipment_lines": ["dc", "order_id", "line_no", "shipped_qty"],
    "instock_snapshots": ["dc", "snapshot_date", "item", "instock"],
    "items": ["item", "item_type"],
    "dcs": ["dc"],
    "waivers": ["reason_code"],
    "dc_calendar": ["dc", "ship_date", "open"],
}
_SHARE_COMBINED: Final = 0.2
_SHARE_MOVING: Final = 0.7
_SHARE_TIMELESS: Final = 0.5
_SHARE_DROPPED: Final = 0.25
_SHARE_ZONED: Final = 0.7
_SHARE_CLOSED: Final = 0.7


@dataclass
class Directory:
    """Tables by name, each of rows of text by column."""

    tables: dict[str, Rows]
    headers: dict[str, list[str]] = field(default_factory=dict)
    """Columns of each table, in the spelling of its file."""

    def write(self, folder: Path) -> Path:
        """Write the tables as files."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in self.tables.items():
            columns = self.headers[name]
            spelled = [dict(zip(columns, row.values(), strict=True)) for row in rows]
            write_csv(folder / f"{name}.csv", spelled, columns)
        return folder


def generate(seed: int, networks: int = 1) -> Directory:
    """Generate a directory of one or several networks that share no DC and no item; the same seed, the same files."""
    random = Random(seed)  # noqa: S311 - no secret
    combined, moving = random.random() < _SHARE_COMBINED, random.random() < _SHARE_MOVING
    made = [_Network(random, str(number or ""), combined=combined, moving=moving) for number in range(networks)]
    drawn = [network.draw() for network in made]
    tables = {name: [row for each in drawn for row in each.get(name, [])] for name in _COLUMNS if name in drawn[0]}
    for rows in tables.values():
        random.shuffle(rows)
    return _finish(random, tables, timeless=not moving)


def _finish(random: Random, tables: dict[str, Rows], *, timeless: bool) -> Directory:
    """Drop columns that a table may lack, and spell the headers as people do."""
    droppable = {
        "order_lines": ["uom", "customer", "requested_date", "source_seq", "schedule_line", "pack_size", "line_type"],
        "shipment_lines": ["schedule_line", "shipment_id", "reason_code", "source_seq", "ship_date", "ship_date"],
        "instock_snapshots": ["on_hand_cases"],
        "items": ["description", "valid_to", "pack_size"],
    }
    if timeless and random.random() < _SHARE_TIMELESS:
        droppable["order_lines"].append("processed_at")
        droppable["shipment_lines"].append("processed_at")
    headers = {}
    for name, rows in tables.items():
        dropped = {column for column in droppable.get(name, ()) if random.random() < _SHARE_DROPPED}
        for row in rows:
            for column in dropped:
                row.pop(column, None)
        headers[name] = [_spell(random, column) for column in (rows[0] if rows else _COLUMNS[name])]
    return Directory(tables, headers)


def _spell(random: Random, column: str) -> str:
    return random.choice((column, column, column.upper(), column.replace("_", " ").title(), column.replace("_", "")))


class _Network:
    """One or two DCs, their items and a few weeks of orders."""

    def __init__(self, random: Random, suffix: str, *, combined: bool, moving: bool) -> None:
        self.random = random
        self.combined = combined
        self.dcs = [f"{dc}{suffix}" for dc in random.sample(_DCS, random.choice((1, 1, 2)))]
        self.zones = {dc: random.choice(_ZONES) for dc in self.dcs if random.random() < _SHARE_ZONED}
        self.items = [f"I{number}{suffix}" for number in range(random.randint(1, 8))]
        first = date(2024, 2, 12) + timedelta(days=random.randint(0, 40))
        self.days = [first + timedelta(days=back) for back in range(random.randint(3, 40))]
        self.closed = {6} if random.random() < _SHARE_CLOSED else set()
        # How much of everything is bad in this network: often nothing, sometimes a lot.
        self.badness = random.choice((0, 0, 0.01, 0.03, 0.15))
        self.versions = random.choice((0, 0.1, 0.4)) if moving else 0
        self.moves = random.choice((0, 0, 0.2)) if moving else 0

    def draw(self) -> dict[str, Rows]:
        """Draw every table."""
        lines = self._draw_lines()
        shipments = [part for line in lines for part in self._ship(line)]
        orders = [version for line in lines for version in self._version(line)]
        if self.combined:
            of_line = {(row["dc"], row["order_id"], row["line_no"], row["schedule_line"]): row for row in shipments}
            for row in orders:
                shipped = of_line.get((row["dc"], row["order_id"], row["line_no"], row["schedule_line"]), {})
                row.update({name: shipped.get(name, "") for name in _SHIPPED})
        tables = {"order_lines": orders, "items": self._draw_items()}
        if not self.combined:
            tables["shipment_lines"] = [*shipments, *self._stray(lines)]
        for name in ("order_lines", "shipment_lines"):
            for row in tables.get(name, []):
                self._spoil(row)
        tables["instock_snapshots"] = self._draw_snapshots() if self._chance(0.9) else []
        tables["dcs"] = [{"dc": dc, "name": dc, "time_zone": zone} for dc, zone in self.zones.items()]
        tables["waivers"] = [self._draw_waiver() for _ in range(self.random.choice((0, 0, 1, 2, 3)))]
        days = [(dc, day) for dc in self.dcs for day in self.days if self._chance(0.3)] if self._chance(0.3) else []
        tables["dc_calendar"] = [
            {"dc": dc, "ship_date": str(day), "open": self._pick("Y", "n", "TRUE", "0")} for dc, day in days
        ]
        return tables

    def _chance(self, share: float) -> bool:
        return self.random.random() < share

    def _pick(self, *values: str) -> str:
        return self.random.choice(values)

    def _draw_lines(self) -> list[dict[str, str]]:
        lines = []
        working = [day for day in self.days if day.weekday() not in self.closed] or self.days
        count = self.random.choice((0, 3, 10, 30, 60, 60))
        used: set[tuple[str, str, int, str]] = set()
        for number in range(count):
            dc, day = self.random.choice(self.dcs), self.random.choice(working)
            order = (
                self._pick(f"SO-{day}", f"SO-{day}", "SO-1", "0000004711", "so-1")
                if self._chance(0.7)
                else f"{number:010}"
            )
            line_no = self.random.randint(1, 4) if self._chance(0.7) else number + 1
            schedule = str(self.random.randint(1, 2)) if self._chance(0.1) else ""
            if (dc, order, line_no, schedule) in used:
                continue
            used.add((dc, order, line_no, schedule))
            lines.append(self._draw_line(dc, day, order, f"{line_no}{self._pick('', '', '.0')}", schedule))
        return lines

    def _draw_line(self, dc: str, day: date, order: str, line_no: str, schedule: str) -> dict[str, str]:
        kind = self._pick("", "NORMAL", "normal") if self._chance(0.8) else self._pick(*_KINDS)
        status = self._pick("", "OPEN", "Shipped") if self._chance(0.85) else self._pick("CANCELLED", "cancelled")
        return {
            "dc": dc,
            "ship_date": self._write_day(day),
            "order_id": order,
            "line_no": line_no,
            "schedule_line": schedule,
            "customer": self._pick("", "4711", "0815", "Markt A"),
            "item": self.random.choice(self.items) if self._chance(0.98) else self._pick("I0 ", "i0", "X"),
            "ordered_qty": self.random.choice(_QUANTITIES),
            "uom": self._pick("", "CS", "cs", " Case ") if self._chance(0.8) else self._pick("EA", "ea", "PCS"),
            "pack_size": self.random.choice(_PACKS),
            "status": status,
            "cancel_reason": self._pick("", "CUSTOMER", "cust no.", "STOCK", "our CUSTOMER"),
            "line_type": kind,
            "substitute_for_line": str(self.random.randint(1, 4)) if kind.upper() == "SUBSTITUTE" else "",
            "requested_date": self._write_day(day + timedelta(days=self.random.randint(-1, 3)))
            if self._chance(0.5)
            else "",
            "processed_at": self._write_moment(self._moment(dc, day - timedelta(days=1))),
            "source_seq": self._pick("", "0", "1", "2"),
        }

    def _write_day(self, day: date) -> str:
        if self._chance(0.05):
            return self._pick(f"{day}T00:00:00", f"{day} 13:30", f"{day}T23:30:00Z", f"{day}t01:00:00+02")
        return str(day)

    def _moment(self, dc: str, day: date) -> datetime:
        """Draw a moment of a day, often one at its ends by the clock of the DC."""
        zone = ZoneInfo(self.zones.get(dc, "UTC"))
        hour, minute = self.random.choice(((0, 0), (0, 30), (8, 0), (12, 15), (23, 59)))
        return datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone).astimezone(UTC)

    def _write_moment(self, moment: datetime) -> str:
        kind = self.random.randint(0, 9)
        if kind == 0:
            return f"{moment:%Y-%m-%d}"
        if kind == 1:
            return f"{moment.astimezone(ZoneInfo('Asia/Tokyo')):%Y-%m-%dT%H:%M:%S}+09:00"
        if kind == 2:
            return f"{moment:%Y%m%dT%H%M%S}z"
        return f"{moment:%Y-%m-%d %H:%M}" if kind < 6 else f"{moment:%Y-%m-%dT%H:%M:%S}Z"

    def _version(self, line: dict[str, str]) -> Rows:
        """Make the versions of a line: later quantities, moves to another date and back, repeats, contradictions."""
        versions = [line]
        at = datetime(2024, 3, 1, 6, tzinfo=UTC) + timedelta(days=self.random.randint(0, 40))
        while self._chance(self.versions) and len(versions) < 4:
            later = {**self.random.choice(versions), "ordered_qty": self.random.choice(_QUANTITIES)}
            if self._chance(0.8):
                at += timedelta(hours=self.random.randint(0, 2))
                later["processed_at"] = self._write_moment(at)
            if self._chance(0.3):
                later["item"] = self.random.choice(self.items)
            if self._chance(self.moves):
                later["ship_date"] = str(
                    self.random.choice([*self.days, date.fromisoformat(_clean_day(line["ship_date"]))])
                )
            versions.append(later)
        if self._chance(self.badness):
            versions.append(dict(self.random.choice(versions)))
        if self._chance(self.badness / 2):
            versions.append({**versions[-1], "ordered_qty": "77"})
        return versions

    def _ship(self, line: dict[str, str]) -> Rows:
        """Make the shipments of a line: none, one, or several parts, with versions and repeats."""
        if self._chance(0.12):
            return []
        day = date.fromisoformat(_clean_day(line["ship_date"]))
        named = self._chance(0.5)
        parts: Rows = []
        for number in range(1 if self.combined or self._chance(0.7) else self.random.randint(2, 3)):
            left = self._moment(line["dc"], day + timedelta(days=self.random.choice((0, 0, 0, 1, 2))))
            part = {
                "dc": line["dc"],
                "order_id": line["order_id"],
                "line_no": line["line_no"],
                "schedule_line": line["schedule_line"] if self._chance(0.9) else "",
                "shipment_id": f"S{number}" if named else "",
                "ship_date": str(day) if self._chance(0.97) else str(day + timedelta(days=1)),
                "shipped_qty": line["ordered_qty"] if self._chance(0.5) else self.random.choice(_QUANTITIES),
                "uom": line["uom"] if self._chance(0.9) else self._pick("CS", "EA"),
                "shipped_at": self._write_moment(left) if self._chance(0.8) else "",
                "delivered_at": self._write_moment(left + timedelta(hours=self.random.randint(1, 50)))
                if self._chance(0.3)
                else "",
                "reason_code": self._pick(*_CODES),
                "processed_at": self._write_moment(left + timedelta(minutes=5)),
                "source_seq": self._pick("", "0", "1"),
            }
            parts.append(part)
            if not self.combined and self._chance(self.versions / 2):
                later = {**part, "shipped_qty": self.random.choice(_QUANTITIES), "source_seq": "5"}
                if self._chance(0.7):
                    later["processed_at"] = self._write_moment(left + timedelta(hours=self.random.randint(0, 9)))
                parts.append(later)
            if not self.combined and self._chance(self.badness):
                parts.append(dict(parts[-1]))
        return parts

    def _stray(self, lines: list[dict[str, str]]) -> Rows:
        """Make shipments that name no order line, some of them an order without its leading zeros."""
        strays = []
        for line in lines:
            for stray in self._ship(line)[:1] if self._chance(self.badness) else []:
                stray["order_id"] = line["order_id"].lstrip("0") if self._chance(0.5) else "UNKNOWN"
                strays.append(stray)
        return strays

    def _spoil(self, row: dict[str, str]) -> None:
        """Spoil a value of a row, as exports do."""
        if not self._chance(self.badness):
            return
        bad = {
            "ordered_qty": ("12x", "", "NaN", "-3", "3-", "99999999", "inf", "1,5"),
            "shipped_qty": ("12x", "", "NaN", "-3", "2-", "99999999"),
            "ship_date": ("", "2024-02-30", "0000-00-00", "1999-12-31", "2101-01-01", "x"),
            "requested_date": ("2024-13-01", "soon", "9999-12-31", "1900-01-01"),
            "shipped_at": ("yesterday", "2024-05-16 25:00", "0001-01-01"),
            "delivered_at": ("later", "1753-01-01"),
            "item": ("", "X", "  "),
            "uom": ("PAL", "KI"),
            "pack_size": ("0", "-1", "six"),
            "line_no": ("", "7.5", "A1"),
            "order_id": ("",),
            "dc": ("",),
            "status": ("LOST",),
            "line_type": ("RETURN", "CREDIT"),
            "processed_at": ("", "never"),
            "source_seq": ("x",),
        }
        column = self.random.choice([name for name in row if name in bad])
        row[column] = self._pick(*bad[column])

    def _draw_items(self) -> Rows:
        rows = []
        for item in self.items:
            row = {
                "item": item,
                "item_type": self._pick("STOCK", "STOCK", "stock", "FLOW"),
                "description": "Soup",
                "vendor": self._pick("", "V1", "V2"),
                "department": self._pick("", "D1", "D2"),
                "pack_size": self.random.choice(_PACKS),
                "contract_committed": self._pick("Y", "N", "", "1"),
                "valid_from": "",
                "valid_to": "",
            }
            rows.append(row)
            if self._chance(0.3):
                since = self.random.choice(self.days)
                kind = self._pick("STOCK", "FLOW")
                rows.append({**row, "item_type": kind, "vendor": "V3", "valid_from": str(since)})
                if self._chance(0.3):
                    row["valid_to"] = str(since - timedelta(days=self.random.randint(1, 5)))
            if self._chance(self.badness):
                rows.append(dict(row) if self._chance(0.5) else {**row, "vendor": "V9"})
            if self._chance(self.badness):
                rows.append({**row, "item_type": "BOTH"})
        return rows

    def _draw_snapshots(self) -> Rows:
        rows = []
        gaps = self.random.choice((0, 0.02, 0.3))
        for dc in self.dcs:
            for item in self.items:
                out = self._chance(0.2)
                for day in self.days:
                    out = out if self._chance(0.8) else self._chance(0.3)
                    if self._chance(gaps):
                        continue
                    at = self._moment(dc, day)
                    row = {
                        "dc": dc,
                        "snapshot_date": str(day),
                        "item": item,
                        "instock": self._pick("N", "n") if out else self._pick("Y", "Y", "y"),
                        "on_hand_cases": self._pick("", "5", "0"),
                        "snapshot_at": self._write_moment(at) if self._chance(0.95) else "",
                    }
                    rows.append(row)
                    if self._chance(self.versions / 4):
                        later = self._write_moment(at + timedelta(hours=self.random.randint(0, 2)))
                        rows.append({**row, "instock": self._pick("Y", "N"), "snapshot_at": later})
                    if self._chance(self.badness / 4):
                        bad = self._pick("instock", "item", "snapshot_date", "on_hand_cases", "snapshot_at")
                        rows.append({**row, bad: self._pick("?", "", "x")})
        return [row for row in rows if self.random.random() < 1 - self.random.choice((0, 0, 0.01))]

    def _draw_waiver(self) -> dict[str, str]:
        return {
            "reason_code": self._pick("01", "12", "a1", "ZZ", ""),
            "valid_from": str(self.random.choice(self.days)) if self._chance(0.6) else "",
            "valid_to": str(self.random.choice(self.days)) if self._chance(0.4) else "",
        }


_KINDS: Final = ("SUBSTITUTE", "SUBSTITUTE", "substitute", "BACKORDER", "SPAWNED", "Blanket", "DROP_SHIP", "CREDIT")


def _clean_day(text: str) -> str:
    digits = text.replace("-", "")[:8]
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}"
