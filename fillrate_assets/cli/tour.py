"""The tour: the demo of every area, and one screen that says what each found.

Each demo runs in a process of its own and writes what it prints to a file; what it found comes back as `Findings`.
Demos of the same home run one after another, those of other homes beside them: few need more than one core throughout.
"""
# ruff: noqa: D301, PLC0415 - click's \b is a backspace, not a backslash; imports where they are needed

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Final

import click

from fillrate_assets.cli import stopping
from fillrate_assets.core.shown_text import escape_controls, escape_lines

_WIDTH: Final = 98
_LAST_LINES: Final = 15
_ASIDE: Final = 30
_FOLDER: Final = "tour"
_PROGRAM: Final = "import sys; from fillrate_assets.cli.main import main; del sys.argv[0]; main()"
"""Runs a command under the name by which this one was called."""


@dataclass(frozen=True)
class Findings:
    """What a demo found, in a few sentences, and commands with which to look further."""

    sentences: list[str]
    steps: dict[str, str] = field(default_factory=dict)
    """Command by the question that it answers; without the program's name."""

    order_id: str = ""
    order: list[str] = field(default_factory=list)
    """What each area says of one order that was short, if one was."""

    def write(self, file: Path | None) -> None:
        """Write them to a file, if there is one."""
        if file is not None:
            file.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> Findings:
        """Read them."""
        return cls(**json.loads(file.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Part:
    """The demo of an area."""

    area: str
    title: str
    command: tuple[str, ...]
    folder: str = ""
    """Its home below that of the tour; empty: that of the tour."""

    shows: str = ""
    """What a home of its own shows in the UI."""


PARTS: Final = (
    Part(
        "Fulfillment",
        "orders from their events, through counts and copies, to the fill rates of what shipped",
        ("fulfillment", "demo", "--fill-rates"),
        "orders",
        "Fulfillment and inventory",
    ),
    Part(
        "Inventory",
        "an hour of peak on three DCs, to equal counts",
        ("inventory", "demo"),
        "inventory",
    ),
    Part("Fill rate", "a network's orders, shipments and snapshots, to lost cases and why", ("demo",)),
    Part("Stock buffers", "a DC's demand and what it lost, to what a buyer should order", ("replenishment", "demo")),
    Part("Buffers", "robotized warehouses every 5 minutes, to what the floor should do", ("buffers", "demo")),
)
"""In this order: those of stock buffers and of buffers add to the home that the one of fill rates has filled."""

SMALL: Final = {
    "Fulfillment": ("--orders", "6", "--parties", "3", "--no-outage"),
    "Inventory": ("--orders", "40", "--items", "3"),
    "Fill rate": ("--dcs", "2", "--items", "100", "--days", "9"),
    "Stock buffers": ("--days", "9"),
    "Buffers": ("--warehouses", "1", "--hours", "1"),
}
"""Options of a short tour."""

WHOLE: Final = {"Fill rate": ("--days", "42"), "Buffers": ("--hours", "8")}


class PartFailedError(Exception):
    """A demo failed; the message has the last of what it printed."""


class Demos:
    """The processes of demos, of which those of other homes run at a time."""

    def __init__(self, home: Path, options: Mapping[str, Sequence[str]]) -> None:
        """Make it of the home of the tour, and of the options of areas; nothing runs yet."""
        self._home = home
        self._options = options
        self._running: list[subprocess.Popen[str]] = []

    def run(self, parts: Sequence[Part]) -> list[Findings]:
        """Run demos, each after those before it that have the same home, and return in order what they found.

        Raises:
            PartFailedError: one of them did not end well; those that ran beside it are stopped.

        """
        numbered: dict[str, list[tuple[str, Part]]] = {}
        for number, part in enumerate(parts, 1):
            numbered.setdefault(part.folder, []).append((f"[{number}/{len(parts)}] {part.area}", part))
        with stopping.ending(lambda _: self.stop()), ThreadPoolExecutor(len(numbered)) as homes:
            found: dict[Part, Findings] = {}
            try:
                for ended in as_completed([homes.submit(self._run_home, of_home) for of_home in numbered.values()]):
                    found |= ended.result()
            except PartFailedError:
                self.stop()
                raise
        return [found[part] for part in parts]

    def stop(self) -> None:
        """Stop what runs, and wait for it."""
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.wait()

    def _run_home(self, parts: Sequence[tuple[str, Part]]) -> dict[Part, Findings]:
        found = {}
        for name, part in parts:
            click.echo(f"{name}: {part.title} ...", err=True)
            begun = perf_counter()
            found[part] = self._run_part(part)
            click.echo(f"{name}: done in {perf_counter() - begun:.0f} s", err=True)
        return found

    def _run_part(self, part: Part) -> Findings:
        """Run the demo of an area, and print its progress under the area's name.

        Raises:
            PartFailedError: it did not end well.

        """
        folder = self._home / _FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        name = part.area.lower().replace(" ", "-")
        printed, found = folder / f"{name}.txt", folder / f"{name}.json"
        options = [*self._options.get(part.area, ()), "--findings", str(found)]
        program = [sys.executable, "-c", _PROGRAM, sys.argv[0], *part.command, *options]
        found.unlink(missing_ok=True)
        environment = {**os.environ, "FILLRATE_HOME": str(self._home / part.folder)}
        with (
            printed.open("wb") as output,
            subprocess.Popen(  # noqa: S603 - our own command
                program, stdout=output, stderr=subprocess.PIPE, text=True, errors="replace", env=environment
            ) as process,
        ):
            self._running.append(process)
            for line in process.stderr or ():
                click.echo(f"{part.area}: {escape_controls(line.rstrip())}", err=True)
        if process.returncode or not found.exists():
            last = "\n".join(printed.read_text(encoding="utf-8").splitlines()[-_LAST_LINES:])
            msg = f"{part.area}: the demo ended with {process.returncode}; the last of {printed}:\n{last}"
            raise PartFailedError(msg)
        return Findings.read(found)


def describe(found: Sequence[tuple[Part, Findings]], home: Path, program: str, seconds: float) -> Iterator[str]:
    """Describe what every demo found, on one screen."""
    yield f"{len(found)} areas ran from end to end in {seconds // 60:.0f} min {seconds % 60:.0f} s. What each found:"
    for part, findings in found:
        yield ""
        yield f"{part.area.upper()}: {part.title}"
        yield from _wrap(findings.sentences)
        for question, command in findings.steps.items():
            yield f"  {question:<{_ASIDE}}  {_place(part, home)}{program} {command}"
    for part, findings in found:
        if findings.order:
            yield ""
            yield f"ONE ORDER ACROSS THE AREAS: why was {findings.order_id} short?"
            yield from _wrap(findings.order)
            yield f"  {'Its other items':<{_ASIDE}}  {_place(part, home)}{program} explain-order {findings.order_id}"
    yield ""
    yield "Look at it in a browser: Dagster on http://127.0.0.1:3000, and pages by the link it prints:"
    yield f"  {'Fill rate and buffers':<{_ASIDE}}  make ui"
    for part in PARTS:
        if part.shows:
            yield f"  {part.shows:<{_ASIDE}}  FILLRATE_HOME={_shorten(home / part.folder)} make ui"
    yield f"All that the demos printed is in {_shorten(home / _FOLDER)}."


def _wrap(sentences: Sequence[str]) -> Iterator[str]:
    for sentence in sentences:
        # A percent sign stays with its number.
        bound = sentence.replace(" %", "\N{NO-BREAK SPACE}%")
        for line in textwrap.wrap(bound, _WIDTH, initial_indent="  ", subsequent_indent="    "):
            yield line.replace("\N{NO-BREAK SPACE}", " ")


def _place(part: Part, home: Path) -> str:
    """Return what a command begins with to work in the home of a part."""
    return f"FILLRATE_HOME={_shorten(home / part.folder)} " if part.folder else ""


def _shorten(place: Path) -> Path:
    """Return a place as it is named from here."""
    return place.relative_to(Path.cwd()) if place.is_relative_to(Path.cwd()) else place


@click.command()
@click.option("--small", is_flag=True, help="As little of each as shows anything, in a minute.")
def tour(*, small: bool) -> None:
    """Run the demo of every area, and say on one screen what each found.

    Orders go from their events through the counts of two DCs to the fill rates of what shipped, in the home `orders`
    below this one, and an hour of peak to three DCs, in `inventory`; then come the demos of fill rates, of stock
    buffers and of buffers, in this one. Run again, it computes everything anew and changes nothing. What the demos
    print is in the folder `tour` of the home.

    \b
    Example: to see it work
      fillrate tour --small
    """
    from fillrate_assets import settings
    from fillrate_assets.cli.progress import name_command

    started, home = perf_counter(), settings.load().home
    try:
        found = Demos(home, SMALL if small else WHOLE).run(PARTS)
    except PartFailedError as error:
        click.echo(escape_lines(str(error)), err=True)
        raise click.exceptions.Exit(1) from None
    click.echo("")
    for line in describe([*zip(PARTS, found, strict=True)], home, name_command(), perf_counter() - started):
        click.echo(escape_controls(line))
