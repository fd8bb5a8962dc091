"""What the definitions of replenishment work on, and how the Resources tab of the UI shows it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import polars as pl

from fillrate_assets.orchestration.resources import DatabaseResource, SystemResource
from fillrate_assets.replenishment.recommendation_store import RecommendationStore
from fillrate_assets.replenishment.supply_store import SupplyStore
from fillrate_assets.storage.database import Database


@dataclass(frozen=True)
class Supply:
    """Terms, positions and recommendations in the record store, and the calendar of the DCs."""

    database: Database
    read_calendar: Callable[[], pl.DataFrame]
    """Reads dc, ship_date, open: the days that are known to be open or closed."""

    @property
    def inputs(self) -> SupplyStore:
        """Return terms and positions."""
        return SupplyStore(self.database)

    @property
    def recommendations(self) -> RecommendationStore:
        """Return recommendations, service reached and decisions."""
        return RecommendationStore(self.database)


class SupplyResource(DatabaseResource):
    """Terms of supply and stock positions, and the latest recommendations of each DC."""


RESOURCES: Final[dict[str, type[SystemResource]]] = {"supply": SupplyResource}
"""Systems as the Resources tab of the UI shows them."""
