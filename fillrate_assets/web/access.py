"""Who may see and do what: people, their roles, and the DCs or warehouses that a role is theirs for. Deny by default.

Who someone is belongs to `authentication`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self, get_args

import polars as pl
from starlette.authentication import BaseUser

from fillrate_assets.core.errors import PermanentFailure

Role = Literal["buyer", "dc_manager", "floor", "operator"]
ROLES: Final[Collection[str]] = get_args(Role)
EVERYWHERE: Final = "*"

_PLACED: Final = {"dc_manager": "dc", "floor": "warehouse"}
"""Roles that are of a place, and the column that names it."""


@dataclass(frozen=True)
class Grant:
    """A role, and the DC (of a dc_manager) or warehouse (of the floor) that it is for."""

    role: str
    place: str = EVERYWHERE

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `operator`, `floor:W0001`, `dc_manager:DC03`, or `floor:*` for every warehouse.

        Raises:
            PermanentFailure: there is no such role, or it lacks its place, or has one and is of none.

        """
        role, colon, place = text.strip().partition(":")
        if role not in ROLES:
            msg = f"no role {role!r}; there are {', '.join(ROLES)}"
            raise PermanentFailure(msg)
        if bool(colon and place) is not (role in _PLACED):
            hint = f"{role}:{_PLACED[role].upper()}, or {role}:*" if role in _PLACED else f"{role} alone"
            msg = f"the role {text!r} is written as {hint}"
            raise PermanentFailure(msg)
        return cls(role, place or EVERYWHERE)

    def format(self) -> str:
        """Format it as it is parsed."""
        return f"{self.role}:{self.place}" if self.role in _PLACED else self.role


@dataclass(frozen=True)
class Person(BaseUser):
    """Someone who is signed in."""

    name: str
    """"" where the sign-in names no one: a link that was opened on this machine."""

    grants: frozenset[Grant]

    @classmethod
    def with_grants(cls, name: str, grants: Iterable[str]) -> Self:
        """Make someone of grants as `Grant.parse` takes them."""
        return cls(name, frozenset(map(Grant.parse, grants)))

    @property
    def is_authenticated(self) -> bool:
        """Return True: no one else is made."""
        return True

    @property
    def display_name(self) -> str:
        """Return the name."""
        return self.name

    @property
    def is_operator(self) -> bool:
        """Return whether this person operates the platform: they see and change all of it."""
        return any(grant.role == "operator" for grant in self.grants)

    @property
    def sees_service(self) -> bool:
        """Return whether this person may see the service of any DC."""
        return self.is_operator or any(grant.role in {"buyer", "dc_manager"} for grant in self.grants)

    @property
    def sees_floors(self) -> bool:
        """Return whether this person may see the floor of any warehouse."""
        return self.is_operator or any(grant.role in _PLACED for grant in self.grants)

    def select_dcs(self, dcs: Iterable[str]) -> list[str]:
        """Select the DCs whose service this person may see."""
        if any(grant.role in {"buyer", "operator"} for grant in self.grants):
            return [*dcs]
        mine = {grant.place for grant in self.grants if grant.role == "dc_manager"}
        return [dc for dc in dcs if dc in mine or EVERYWHERE in mine]

    def select_warehouses(self, warehouses: pl.DataFrame) -> pl.DataFrame:
        """Select the warehouses whose floor this person may see, of `buffers.schema.WAREHOUSES`."""
        if self.is_operator:
            return warehouses
        allowed = [
            pl.lit(value=True) if grant.place == EVERYWHERE else pl.col(_PLACED[grant.role]) == grant.place
            for grant in self.grants
            if grant.role in _PLACED
        ]
        return warehouses.filter(pl.any_horizontal(pl.lit(value=False), *allowed))

    def may_write(self, place: Mapping[str, Any] | None = None) -> bool:
        """Return whether this person may change something about a place, or, without one, about all of them.

        Args:
            place: a row with its dc and warehouse.

        """
        return self.is_operator or any(
            place is not None and grant.role in _PLACED and grant.place in {EVERYWHERE, place[_PLACED[grant.role]]}
            for grant in self.grants
        )
