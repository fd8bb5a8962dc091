"""What all pages of the control room share: the stores, how they render, and which floors someone may see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.exceptions import HTTPException

from fillrate_assets.buffers.report.control_room import ControlRoom, Site
from fillrate_assets.web.access import Person
from fillrate_assets.web.actions import Actions
from fillrate_assets.web.signed_in import Pages


@dataclass(frozen=True)
class Floors:
    """The floors, as their pages need them."""

    room: ControlRoom
    pages: Pages
    actions: Actions
    clock: Callable[[], datetime]

    def find_place(self, person: Person, warehouse: str) -> Mapping[str, Any]:
        """Find a warehouse that a person may see, as a row of `WAREHOUSES`.

        Raises:
            HTTPException: 404, there is none, or it is not theirs.

        """
        mine = person.select_warehouses(self.room.buffers.read_warehouses()).filter(warehouse=warehouse)
        if mine.is_empty():
            raise HTTPException(404)
        return mine.row(0, named=True)

    def find_site(self, person: Person, warehouse: str) -> Site:
        """Find a warehouse that a person may see; else 404."""
        return Site.of_row(self.find_place(person, warehouse))
