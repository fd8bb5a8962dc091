"""Environments: what sets one apart from another on servers that both may use; `FILLRATE_ENV` names it.

Whatever differs between environments is decided here, and the settings apply it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Name = Literal["dev", "prod"]


@dataclass(frozen=True)
class Environment:
    """One environment."""

    name: Name
    publishes_alerts: bool
    """Whether alerts leave the platform; else they stay in the outbox and the log."""

    shows_every_label: bool
    """Whether the floor's channels get every unit and label; else what is to be done, and its end."""

    log_level: str
    """From which level on the platform logs what it does."""

    @property
    def schema(self) -> str:
        """Return the schema of its tables in a database server."""
        return f"fillrate_{self.name}"

    def place_below(self, location: str) -> str:
        """Return its own place below a location that environments share."""
        return f"{location.rstrip('/')}/{self.name}"


ENVIRONMENTS: Final[dict[Name, Environment]] = {
    "dev": Environment("dev", publishes_alerts=False, shows_every_label=True, log_level="DEBUG"),
    "prod": Environment("prod", publishes_alerts=True, shows_every_label=False, log_level="INFO"),
}
