"""Systems as the Resources tab of the UI shows them: what each is, and how it is configured, without secrets.

A step gets the system itself, which knows nothing of Dagster. What an area's systems are is in its `defs/resources.py`.
"""

from abc import abstractmethod
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, Self

import dagster as dg
from pydantic import Field

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.orchestration.lake_io_manager import LakeIOManager
from fillrate_assets.orchestration.run_concurrency import LONGEST_WAIT, DcLock
from fillrate_assets.settings import Settings, SourceTable
from fillrate_assets.storage.lake import Lake
from fillrate_assets.storage.sql import redact_url


class SystemResource(dg.ConfigurableResource[Any]):
    """A system that settings configure; its fields are what the UI shows of that, and never a secret."""

    system: dg.ResourceDependency[Any]

    @classmethod
    @abstractmethod
    def describe(cls, system: Any) -> Self:  # noqa: ANN401 - each has its own
        """Describe a system."""

    def create_resource(self, context: dg.InitResourceContext) -> Any:  # noqa: ANN401, ARG002 - as above; Dagster's signature
        """Return the system.

        Raises:
            PermanentFailure: the configuration of a run differs from the settings.

        """
        if dict(self) != dict(type(self).describe(self.system)):
            msg = (
                f"{type(self).__name__} is configured by settings (FILLRATE_* or settings.toml), not by a run's config"
            )
            raise PermanentFailure(msg)
        return self.system


class SettingsResource(SystemResource):
    """The settings that steps, checks and sensors read. `docs/reference/settings.md` explains each."""

    environment: str = Field(description="Which environment this is: dev or prod.")
    home: str = Field(description="Directory of the embedded systems and of settings.toml.")
    first_ship_date: str = Field(description="The first partition.")
    sensor: dict[str, Any] = Field(description="What the sensor new_orders requests, and how runs retry.")
    health: dict[str, Any] = Field(description="Limits of the quality gate and of the health checks.")

    @classmethod
    def describe(cls, system: Settings) -> Self:
        """Describe settings."""
        return cls(
            system=system,
            environment=system.env,
            home=str(system.home),
            first_ship_date=system.first_ship_date.isoformat(),
            sensor=system.sensor.model_dump(mode="json"),
            health=system.health.model_dump(mode="json"),
        )


class SourceResource(SystemResource):
    """A system that rows are read from."""

    url: str = Field(description="SQLAlchemy URL, without its password.")
    source_tables: dict[str, Any] = Field(description="What sources call the contract's tables and columns.")

    @classmethod
    def describe(cls, system: Any) -> Self:  # noqa: ANN401 - any source
        """Describe a source."""
        return cls(system=system, url=redact_url(system.url), source_tables=_describe_tables(system.tables))


class LimitedSourceResource(SourceResource):
    """A source whose statements end after a time."""

    statement_timeout_seconds: int = Field(description="How long it may work at one statement.")

    @classmethod
    def describe(cls, system: Any) -> Self:  # noqa: ANN401 - any source
        """Describe a source."""
        return cls(
            system=system,
            url=redact_url(system.url),
            source_tables=_describe_tables(system.tables),
            statement_timeout_seconds=system.statement_seconds,
        )


class DatabaseResource(SystemResource):
    """Tables in the platform's own database."""

    url: str = Field(description="SQLAlchemy URL, without its password.")
    schema_name: str = Field(description="Schema of the tables on a server; empty in an embedded database.")

    @classmethod
    def describe(cls, system: Any) -> Self:  # noqa: ANN401 - any store
        """Describe a store."""
        return cls(system=system, url=redact_url(system.database.url), schema_name=system.database.schema or "")


class DcLockResource(DatabaseResource):
    """The lock per DC: a run reads and writes nothing before it holds the locks of its DCs."""

    longest_wait_minutes: int = Field(description="How long a run waits for a lock before it fails.")

    @classmethod
    def describe(cls, system: DcLock) -> Self:
        """Describe the lock."""
        return cls(
            system=system,
            url=redact_url(system.store.database.url),
            schema_name=system.store.database.schema or "",
            longest_wait_minutes=LONGEST_WAIT // timedelta(minutes=1),
        )


class LakeResource(SystemResource):
    """The lake: a Parquet file for each asset, DC and ship date, and files for people."""

    root: str = Field(description="A directory, or s3://bucket/prefix.")

    @classmethod
    def describe(cls, system: Lake) -> Self:
        """Describe a lake."""
        return cls(system=system, root=system.root)


class LakeIOManagerResource(dg.ConfigurableIOManagerFactory[LakeIOManager]):
    """Hands a step the partitions of its upstream assets that the lake has; assets store their rows themselves."""

    manager: dg.ResourceDependency[LakeIOManager]

    @classmethod
    def describe(cls, manager: LakeIOManager) -> Self:
        """Describe the IO manager."""
        return cls(manager=manager)

    def create_io_manager(self, context: dg.InitResourceContext) -> LakeIOManager:  # noqa: ARG002 - Dagster's signature
        """Return the IO manager."""
        return self.manager


RESOURCES: Final[dict[str, type[SystemResource | LakeIOManagerResource]]] = {
    "settings": SettingsResource,
    "dc_lock": DcLockResource,
    "lake": LakeResource,
    "io_manager": LakeIOManagerResource,
}


def _describe_tables(tables: Mapping[str, SourceTable]) -> dict[str, Any]:
    """Return what a source calls its tables and columns, by the contract's table; without what is as the contract."""
    return {name: table.model_dump(mode="json", exclude_defaults=True) for name, table in tables.items()}
