"""One frozen settings object; the only reader of the environment.

Values come from `FILLRATE_*` variables, then from `settings.toml` in the home directory, then from the
defaults: the embedded systems under the home directory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import date, time
from difflib import get_close_matches
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Annotated, Any, Final

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from fillrate_assets import environments
from fillrate_assets.core import extras
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.environments import ENVIRONMENTS, Environment

_OF_TESTS: Final = "FILLRATE_TEST_"

Url = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_+]*://", repr=False)]
"""As SQLAlchemy writes them: dialect+driver://user:password@host/database.

`{secret://name#key}` for the password, or `secret://name#key` for the URL, stands for a secret of AWS Secrets Manager.
"""

Secret = Annotated[str, Field(pattern=r"^(https?|secret)://")]
"""A URL that is itself a credential, or `secret://name#key` for one of AWS Secrets Manager."""


class SourceTable(BaseModel):
    """What a source calls one of the contract's tables and its columns; "" where it has no such column."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = None
    schema_name: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)


class Settings(BaseSettings):
    """Where the systems are and how strict the platform is."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="FILLRATE_", hide_input_in_errors=True)

    env: environments.Name = "dev"
    """Which environment this is; whoever forgets to say so cannot touch what is productive."""

    home: Path = Path(".fillrate")
    order_system_url: Url = ""
    shipping_records_url: Url = ""
    instock_warehouse_url: Url = ""
    floor_feeds_url: Url = ""
    record_store_url: Url = ""
    lake_root: str = ""
    """A directory or `s3://bucket/prefix`; outside of the home, the environment's own place below what was set."""

    watermark_url: str = Field(default="", pattern=r"^(ssm://[A-Za-z0-9_./-]+)?$")
    """`ssm://prefix` keeps the sensor's watermarks in AWS Parameter Store, in the environment's own place below it; ""
    in the record store."""

    tables: dict[str, SourceTable] = Field(default_factory=dict)

    alerts: str = Field(default="", pattern=r"^(arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+)?$")
    """ARN of the SNS topic that is told of held days, where the environment publishes alerts; "" keeps them in the
    record store's outbox and the log."""

    channels: dict[str, Secret] = Field(default_factory=dict, repr=False)
    """URLs of webhooks by the names that channels of `alert_route` have, e.g. floor-w1 of slack:floor-w1."""

    webhook_secret: str = Field(default="", pattern=r"^((whsec_|secret://).+)?$", repr=False)
    """What messages to channels of the kind webhook are signed with: `whsec_` and base64."""

    platform_channel: str = Field(default="", pattern=r"^((slack|teams|webhook|sns):.+|console)?$")
    """The channel that is told once an hour that ticks run, where the environment publishes alerts."""

    first_ship_date: date = date(2026, 1, 1)
    """The first partition; earlier ship dates do not exist for the platform."""

    max_reject_share: float = Field(default=0.05, ge=0, le=1)
    max_missing_share: float = Field(default=0.20, ge=0, le=1)
    overlap_minutes: int = Field(default=15, gt=0)
    """Commits arrive out of order: a tick looks this far behind the watermark, and so sees again what it stands at."""

    snapshot_days: int = Field(default=35, gt=0)
    """A tick compares the snapshots of so many days with the ledger; one of an older day is not noticed."""

    runs_per_tick: int = Field(default=50, gt=0)
    """A tick of the sensor requests no more runs; the rest follow with the next."""

    backfill_days: int = Field(default=366, gt=0)
    """A run covers no more ship dates, besides those that only depend on them."""

    inactive_dc_days: int = Field(default=90, ge=0)
    """A DC that has been inactive for longer loses its partition key; its records stay."""

    ui_url: Annotated[str, Field(pattern=r"^(https?://.+)?$")] = ""
    """Where Dagster's UI is, for links in messages."""

    feedback_url: Annotated[str, Field(pattern=r"^(https?://[^\s?#]+)?$")] = ""
    """Where the floor reaches the feedback service, for links in alerts; "" leaves them out."""

    feedback_secret: SecretStr = SecretStr("")
    """What signs the links: 32 characters or more, or `secret://name#key`. Several are separated by blanks: the first
    signs, all are accepted. "" leaves the links out."""

    ahead_hours: int = Field(default=24, gt=0)
    """A change that is older and not published is told by the standing checks."""

    deadline: time = time(6)
    """Until when, at a DC's own time of the next day, a ship date must be complete."""

    stale_hours: int = Field(default=48, gt=0)
    """A source without anything new for longer is told by the standing checks."""

    standing_checks_cron: str = "30 14 * * *"
    """When the standing checks are asked, UTC: once a day, after the deadline of the DC that is farthest west."""

    statement_seconds: int = Field(default=300, gt=0)
    """How long the order system and the shipping records may work at one statement."""

    tick_statement_seconds: int = Field(default=20, gt=0)
    """How long the floor feeds may work at one statement: a tick is due every 5 minutes."""

    retries: int = Field(default=3, ge=0)
    """How often a step of a run is tried again when a system did not answer."""

    retry_seconds: float = Field(default=10, ge=0)
    """Delay before a step's first retry; doubles with every further one."""

    retry_minutes: int = Field(default=15, gt=0)
    """Delay before a pair that failed is requested again; doubles with every attempt up to 6 hours."""

    @model_validator(mode="before")
    @classmethod
    def _embedded(cls, values: dict[str, Any]) -> dict[str, Any]:
        home = Path(values.get("home") or cls.model_fields["home"].default).expanduser().absolute()
        systems = home / "systems"
        defaults = {
            "order_system_url": f"sqlite:///{systems}/order_system.db",
            "shipping_records_url": f"sqlite:///{systems}/shipping_records.db",
            "instock_warehouse_url": f"duckdb:///{systems}/instock_warehouse.duckdb",
            "floor_feeds_url": f"duckdb:///{systems}/floor_feeds.duckdb",
            "record_store_url": f"sqlite:///{systems}/record_store.db",
            "lake_root": f"{home}/lake",
        }
        return {**values, "home": home, **{name: values.get(name) or value for name, value in defaults.items()}}

    @field_validator("lake_root", "watermark_url", "alerts", "platform_channel")
    @classmethod
    def _of_the_environment(cls, shared: str, info: ValidationInfo) -> str:
        """What environments may share is each one's own; a home already is."""
        if "env" not in info.data or not shared:
            return shared
        environment = ENVIRONMENTS[info.data["env"]]
        if info.field_name in {"alerts", "platform_channel"}:
            return shared if environment.publishes_alerts else ""
        return shared if shared.startswith(f"{info.data['home']}/") else environment.below(shared)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then `settings.toml` of the home they name."""
        home = init_settings().get("home") or env_settings().get("home") or cls.model_fields["home"].default
        file = Path(home).expanduser() / "settings.toml"
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=file)

    def begin_no_later_than(self, day: date) -> Settings:
        """These settings with `first_ship_date` on or before a day; written to `settings.toml` if it moves.

        Dagster's partitions start at a fixed date, so older data has to move it before it can be seen.
        """
        if day >= self.first_ship_date and self.settings_file.exists():
            return self
        self.home.mkdir(parents=True, exist_ok=True)
        first = min(day, self.first_ship_date) if self.settings_file.exists() else day
        kept = [
            line
            for line in (self.settings_file.read_text().splitlines() if self.settings_file.exists() else [])
            if not line.startswith("first_ship_date")
        ]
        self.settings_file.write_text("\n".join([f"first_ship_date = {first.isoformat()}", *kept]) + "\n")
        return self.model_copy(update={"first_ship_date": first})

    @property
    def environment(self) -> Environment:
        """What is particular to the environment."""
        return ENVIRONMENTS[self.env]

    @property
    def record_store_schema(self) -> str | None:
        """The schema of the record store's tables; None in an embedded one, which has none and is of its home."""
        return None if self.record_store_url.startswith("sqlite") else self.environment.schema

    @property
    def settings_file(self) -> Path:
        """The file that keeps this home's settings."""
        return self.home / "settings.toml"


def load(**overrides: Any) -> Settings:  # noqa: ANN401 - any field of Settings
    """Settings from the environment; a `PermanentFailure` names every value that is wrong."""
    known = {f"FILLRATE_{name}".upper() for name in Settings.model_fields}
    for name in os.environ:
        if name.upper().startswith("FILLRATE_") and name.upper() not in known and not name.startswith(_OF_TESTS):
            meant = get_close_matches(name.upper(), known, n=1)
            raise _wrong(f"{name} is no setting" + (f"; did you mean {meant[0]}?" if meant else ""))
    try:
        made = Settings(**overrides)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}" for e in error.errors())
        raise _wrong(wrong) from error
    except (SettingsError, TOMLDecodeError) as error:
        raise _wrong(str(error)) from error
    for name, value in _read_texts(made.model_dump()):
        for extra in extras.find_extras(value):
            extras.require(extra, f"the setting FILLRATE_{name.upper()}")
    return made


def _read_texts(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield each setting that is a text, by the name that its variable has behind FILLRATE_."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _read_texts(value, f"{prefix}{name}__")
        elif isinstance(value, SecretStr | str):
            yield f"{prefix}{name}", value.get_secret_value() if isinstance(value, SecretStr) else value


def _wrong(what: str) -> PermanentFailure:
    return PermanentFailure(f"settings (FILLRATE_* or settings.toml) are wrong: {what}")
