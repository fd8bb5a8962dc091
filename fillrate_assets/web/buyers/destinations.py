"""Where views may be sent: domains and channels of the settings, and the address of a sign-in (decision 0342)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Self

from fillrate_assets.notifications.notifiers.email import is_address
from fillrate_assets.settings import Web

MAILTO: Final = "mailto:"
_KINDS: Final = {"slack": "Slack", "teams": "Teams", "email": "Mail to"}


@dataclass(frozen=True)
class Destinations:
    """Where views may be sent."""

    domains: Collection[str]
    channels: Collection[str]

    @classmethod
    def from_settings(cls, web: Web) -> Self:
        """Read them from the settings."""
        return cls([each.lower() for each in web.subscription_domains], web.subscription_channels)

    def offer_mail(self, name: str) -> bool:
        """Return whether someone whom a sign-in names so may have a view mailed anywhere; "" for no one."""
        return bool(self.domains) or is_address(name)

    def allow(self, channel: str, name: str) -> bool:
        """Return whether someone whom a sign-in names so may have a view sent to a channel; "" for no one."""
        if not channel.startswith(MAILTO):
            return channel in self.channels
        address = channel.removeprefix(MAILTO)
        return is_address(address) and (address == name or address.rpartition("@")[2].lower() in self.domains)

    def describe_mail(self) -> str:
        """Describe where mail may go."""
        return " or ".join(f"@{each}" for each in self.domains) or "the address that you sign in with"


def format_channel(channel: str) -> str:
    """Format a channel for people."""
    kind, _, name = channel.partition(":")
    return name if kind == "mailto" else f"{_KINDS.get(kind, kind)} {name}".strip()
