"""A lifecycle as a picture: SVG that is drawn from the table, for pages that show no Mermaid.

The usual way goes down the middle; states that end it are left of it, other side paths right of it, each in a column.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from fillrate_assets.fulfillment.rules.state_machine import NOTHING, StateMachine

_WIDTH: Final = 132
_HEIGHT: Final = 30
_COLUMN: Final = 250
_ROW: Final = 88
_MARGIN: Final = 20
_LINE: Final = 13
_SHIFT: Final = 9
_BULGE: Final = 120
"""How far an edge that skips a state of its column goes around it."""

_HEAD: Final = (
    '<defs><marker id="to" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0L8 4L0 8z" fill="#667"/></marker></defs>'
)


@dataclass(frozen=True)
class _Place:
    x: float
    y: float


def embed_picture(machine: StateMachine) -> str:
    """Return the picture as Markdown that needs no other file."""
    encoded = base64.b64encode(draw_picture(machine).encode()).decode()
    return f"![lifecycle of an {machine.name}](data:image/svg+xml;base64,{encoded})"


def draw_picture(machine: StateMachine) -> str:
    """Draw a machine as SVG: states as boxes, double where final, and an arrow for each way from one to another."""
    places = _place(machine)
    width = max(place.x for place in places.values()) + _WIDTH / 2 + _MARGIN
    height = max(place.y for place in places.values()) + _HEIGHT / 2 + _MARGIN
    parts = [*_draw_edges(machine, places), *_draw_states(machine, places)]
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    font = 'font-family="sans-serif" font-size="11"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>{_HEAD}{"".join(parts)}</svg>'


def _list_ways(machine: StateMachine) -> dict[tuple[str, str], list[str]]:
    """List the events that lead from one state to another, in the order of the table."""
    ways: dict[tuple[str, str], list[str]] = {}
    for row in machine.transitions:
        if NOTHING != row.state != row.next_state:
            ways.setdefault((row.state, row.next_state), []).append(row.event)
    return ways


def _place(machine: StateMachine) -> dict[str, _Place]:
    """Place each state: its row by the longest way to it, its column by what it is."""
    ways = [*_list_ways(machine)]
    main = [machine.states[0]]
    while following := [end for begin, end in ways if begin == main[-1] and end not in main]:
        main.append(following[0])
    rows = _find_rows(machine.states[0], ways)
    left = any(state in machine.terminal and state not in main for state in machine.states)
    columns = dict.fromkeys(main, int(left))
    for state in machine.states:
        if state not in columns:
            columns[state] = 0 if state in machine.terminal else max(columns.values()) + 1
    return {
        state: _Place(_MARGIN + _WIDTH / 2 + columns[state] * _COLUMN, _MARGIN + _HEIGHT / 2 + rows[state] * _ROW)
        for state in machine.states
    }


def _find_rows(first: str, ways: list[tuple[str, str]]) -> dict[str, int]:
    """Find the length of the longest way to each state, without the ways that lead back."""
    rows = {first: 0}

    def follow(state: str, way: tuple[str, ...]) -> None:
        for begin, end in ways:
            if begin == state and end not in way and rows.get(end, -1) < len(way):
                rows[end] = len(way)
                follow(end, (*way, end))

    follow(first, (first,))
    return rows


def _draw_states(machine: StateMachine, places: dict[str, _Place]) -> Iterator[str]:
    for state, place in places.items():
        x, y = place.x - _WIDTH / 2, place.y - _HEIGHT / 2
        box = f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="#eef" stroke="#446"/>'
        size = f'width="{_WIDTH - 6}" height="{_HEIGHT - 6}"'
        inner = f'<rect x="{x + 3}" y="{y + 3}" {size} rx="4" fill="none" stroke="#446"/>'
        yield box + (inner if state in machine.terminal else "")
        yield f'<text x="{place.x}" y="{place.y + 4}" text-anchor="middle" font-weight="bold">{escape(state)}</text>'


def _draw_edges(machine: StateMachine, places: dict[str, _Place]) -> Iterator[str]:
    lines, labels = list[str](), list[str]()
    ways = _list_ways(machine)
    for (begin, end), events in ways.items():
        # Of two that lead there and back, the one that leads back is below.
        shift = _SHIFT if (end, begin) in ways and places[begin].y > places[end].y else 0
        a, b = (_Place(place.x, place.y + shift) for place in (places[begin], places[end]))
        path, middle = _route(a, b)
        lines.append(f'<path d="{path}" fill="none" stroke="#667" marker-end="url(#to)"/>')
        top = middle.y + shift - (len(events) - 1) * _LINE / 2 + 4
        labels += [
            f'<text x="{middle.x:.0f}" y="{top + number * _LINE:.0f}" text-anchor="middle" fill="#333" stroke="#fff"'
            f' stroke-width="3" paint-order="stroke">{escape(event)}</text>'
            for number, event in enumerate(events)
        ]
    yield from lines
    yield from labels


def _route(a: _Place, b: _Place) -> tuple[str, _Place]:
    """Route an edge; return its path and where its label goes."""
    if a.x == b.x and abs(a.y - b.y) > _ROW:
        out = a.x - _WIDTH / 2
        path = f"M{out} {a.y}C{out - _BULGE} {a.y} {out - _BULGE} {b.y} {out} {b.y}"
        return path, _Place(out - _BULGE * 0.75, (a.y + b.y) / 2)
    if a.x == b.x:
        sign = 1 if b.y > a.y else -1
        path = f"M{a.x} {a.y + sign * _HEIGHT / 2}L{b.x} {b.y - sign * _HEIGHT / 2}"
        return path, _Place(a.x, (a.y + b.y) / 2)
    sign = 1 if b.x > a.x else -1
    start, stop = a.x + sign * _WIDTH / 2, b.x - sign * _WIDTH / 2
    bend = (start + stop) / 2
    path = f"M{start} {a.y}C{bend} {a.y} {bend} {b.y} {stop} {b.y}"
    return path, _Place(bend, (a.y + b.y) / 2)
