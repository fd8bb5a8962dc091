"""How loaders refuse to write to a company's own systems. Nothing is filled here."""

from __future__ import annotations

from collections.abc import Mapping

from fillrate_assets.core.errors import PermanentFailure


def refuse_places(places: Mapping[str, bool], named: str) -> PermanentFailure:
    """Return the failure that refuses to fill systems.

    Args:
        places: by system, whether it is embedded.
        named: what the settings name of the others, e.g. "a server".

    """
    elsewhere = ", ".join(system for system, embedded in places.items() if not embedded)
    return PermanentFailure(f"{elsewhere}: settings name {named}; only embedded systems can be filled")
