"""Settings: one frozen object of nested sections, and the only reader of the environment.

Values come from `FILLRATE_*` variables, then from `settings.toml` in the home directory, then from the
defaults: the embedded systems under the home directory. `__` separates a section from a setting, as in
`FILLRATE_SOURCES__ORDER_SYSTEM_URL`. `docs/reference/settings.md` is made from this module by `fillrate settings`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, time
from difflib import SequenceMatcher
from pathlib import Path
from secrets import token_urlsafe
from tomllib import TOMLDecodeError
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import tomlkit
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from fillrate_assets import environments
from fillrate_assets.core import database_url, extras
from fillrate_assets.core.database_url import locate_file
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.environments import ENVIRONMENTS, Environment

PREFIX: Final = "FILLRATE_"
SEPARATOR: Final = "__"
_OF_TESTS: Final = "FILLRATE_TEST_"
_SECRET_BYTES: Final = 32
_PRIVATE: Final = 0o600
LOCAL_FEEDBACK_URL: Final = "http://127.0.0.1:8099"
"""Where `fillrate serve` listens by default."""

_ALIKE: Final = 0.6
"""How like a setting's name another must be to be taken for it, of 2."""
_DEPTH: Final = 2
"""A section and a name: what lies deeper in `settings.toml` is part of a value."""


def _check_url(url: str) -> str:
    if url and not url.startswith("secret://") and not database_url.is_clear(url):
        raise ValueError(database_url.EXPECTED)
    return url


def _check_time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        msg = "it is no IANA time zone, as Europe/Berlin"
        raise ValueError(msg) from None
    return name


Url = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_+]*://", repr=False), AfterValidator(_check_url)]
"""As SQLAlchemy writes them: dialect+driver://user:password@host/database.

`{secret://name#key}` for the password, or `secret://name#key` for the URL, names a secret of AWS Secrets Manager.
"""

Channel = Annotated[str, Field(pattern=r"^((https?|secret)://|mailto:)")]
"""A URL that may itself be a credential, or `secret://name#key` for one of AWS Secrets Manager."""


TargetUrl = Annotated[str, Field(pattern=r"^https?://[^\s]+$")]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True)


class SourceTable(_Section):
    """What a source calls one of the contract's tables and its columns; "" where it has no such column.

    A column `problem`, where one is named, says of a row why it cannot be used: the row is rejected with that reason.
    """

    name: str | None = None
    schema_name: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)


class Sources(_Section):
    """Where the source systems are, and what they call their tables."""

    order_system_url: Url = ""
    """SQLAlchemy URL of order lines and items; default: SQLite in `systems/` of the home."""

    orders_from_fulfillment: bool = False
    """Whether orders and shipments are those that events of fulfillment have left in the record store; the order system
    has the item master alone then."""

    shipping_records_url: Url = ""
    """SQLAlchemy URL of shipment lines; default: SQLite in `systems/` of the home."""

    instock_warehouse_url: Url = ""
    """SQLAlchemy URL of snapshots; default: DuckDB in `systems/` of the home."""

    snapshots_from_inventory: bool = False
    """Whether snapshots are those that reconciliations of the inventory have left in the record store: what a DC had at
    the first of its day."""

    floor_feeds_url: Url = ""
    """SQLAlchemy URL of the four feeds of the floors (levels, flows, people, limits); default: DuckDB in `systems/` of
    the home."""

    source_tables: dict[str, SourceTable] = Field(default_factory=dict)
    """What the sources call the contract's tables and columns, as JSON; a table `[sources.source_tables.NAME]` in
    `settings.toml`."""

    first_year: int = Field(default=2000, ge=1, le=9999)
    """A row of the sources with a date or time of an earlier year is rejected; for files, the mapping has the years."""

    last_year: int = Field(default=2100, ge=1, le=9999)
    """A row with a date or time of a later year is rejected."""

    shipment_times_complete: bool = False
    """Whether the shipping records have a time for every shipment: then one without is late, else it is unknown."""

    source_statement_timeout_seconds: int = Field(default=300, gt=0)
    """How long the order system and the shipping records may work at one statement."""

    tick_statement_timeout_seconds: int = Field(default=20, gt=0)
    """How long the floor feeds may work at one statement: a tick is due every 5 minutes."""


class Storage(_Section):
    """Where the platform stores what it computes."""

    record_store_url: Url = ""
    """SQLAlchemy URL of the record store, with the watermarks and the outbox; default: SQLite in `systems/` of the
    home."""

    lake_root: str = ""
    """A directory or `s3://bucket/prefix`; outside of the home, the folder of the environment below it. Default:
    `lake/` of the home."""

    buffer_history_days: int = Field(default=30, ge=0)
    """For how many days the history of the buffers' ticks is stored, for dashboards that query it with SQL; 0 stores
    none. The lake has every tick all the same."""

    watermark_url: str = Field(default="", pattern=r"^(ssm://[A-Za-z0-9_./-]+)?$")
    """`ssm://prefix` stores the sensor's watermarks in AWS Parameter Store, in the folder of the environment below it;
    default: in the record store."""


class Sensor(_Section):
    """What the sensor of new orders looks at and requests, and how runs retry."""

    watermark_overlap_minutes: int = Field(default=15, gt=0)
    """How far a tick looks behind the watermark: commits arrive out of order."""

    snapshot_lookback_days: int = Field(default=35, gt=0)
    """How many days of snapshots a tick compares with the ledger; an older one that is delivered again is not
    noticed."""

    max_runs_per_sensor_tick: int = Field(default=50, gt=0)
    """How many runs a tick of the sensor requests at most; the rest follow with the next tick."""

    max_days_per_run: int = Field(default=366, gt=0)
    """How many ship dates a run has at most, besides those that only depend on them."""

    dc_retention_days: int = Field(default=90, ge=0)
    """How long an inactive DC has a partition key; its records are never deleted."""

    step_max_retries: int = Field(default=3, ge=0)
    """How often a step of a run is tried again when a system does not answer."""

    step_retry_delay_seconds: float = Field(default=10, ge=0)
    """Delay before a step's first retry; doubles with every further one."""

    partition_retry_delay_minutes: int = Field(default=15, gt=0)
    """Delay before a DC and day that failed is requested again; doubles with every attempt up to 6 hours."""

    run_lease_seconds: float = Field(default=60, ge=6)
    """How long the lease of a run holds, which its process renews six times in between: one that has lapsed is of a
    process that is gone."""


class Estimate(_Section):
    """How demand that could not be ordered is estimated."""

    method: int = Field(default=1, ge=1, le=2)
    """Whose estimate counts as lost, 1 or 2; records have both. Another one restates a day once the day is run
    again."""

    network_wait_hours: float = Field(default=4, ge=0)
    """How long the comparison of a ship date waits for DCs that are late, from its first DC on."""


class Health(_Section):
    """The quality gate of a day, and what the checks of the platform's health report."""

    max_reject_share: float = Field(default=0.05, ge=0, le=1)
    """Above this share of rejected order lines or shipment lines, the quality gate holds a day."""

    max_credit_share: float = Field(default=0.20, ge=0, le=1)
    """Above this share of credits and returns among the order lines, the quality gate holds a day."""

    max_missing_share: float = Field(default=0.20, ge=0, le=1)
    """Above this share of ordered items without a snapshot, the quality gate holds a day."""

    max_phantom_stock_share: float = Field(default=0.02, ge=0, le=1)
    """Above this share of a day's items that are in stock by their snapshot, yet of which nothing shipped, the check
    `phantom_stock` warns."""

    max_flag_conflict_share: float = Field(default=0.02, ge=0, le=1)
    """Above this share of a day's items that are out of stock by their snapshot, yet shipped in full, the check
    `flag_conflicts` warns."""

    max_unpublished_age_hours: int = Field(default=24, gt=0)
    """A change that is older and not published is a finding."""

    completeness_deadline: time = time(6)
    """Until when, at a DC's own time of the next day, a ship date must be complete."""

    max_source_silence_hours: int = Field(default=48, gt=0)
    """A source that brings nothing new for longer is a finding."""

    checks_cron: str = Field(default="30 14 * * *", pattern=r"^[0-9A-Za-z*/,?#-]+( [0-9A-Za-z*/,?#-]+){4}$")
    """When the checks of the platform's health run, UTC: once a day, after the deadline of the westernmost DC."""


class Notifications(_Section):
    """Where alerts go."""

    alert_topic_arn: str = Field(default="", pattern=r"^(arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+)?$")
    """ARN of the SNS topic for failed runs, held days and other findings, where the environment publishes alerts;
    without it they are in the record store's outbox and the log."""

    channels: dict[str, Channel] = Field(default_factory=dict, repr=False)
    """Channels by name, as JSON: `{"floor": "secret://name#key"}` is the channel `slack:floor`, `teams:floor`,
    `webhook:floor` or `email:floor` of `alert_route`. What is stored is the URL of a webhook; for e-mail, `mailto:`
    and addresses separated by commas."""

    webhook_secret: str = Field(default="", pattern=r"^((whsec_|secret://).+)?$", repr=False)
    """Key that signs messages to channels of the kind webhook, as [Standard
    Webhooks](https://www.standardwebhooks.com) has it: `whsec_` and base64, or `secret://name#key`."""

    smtp_url: str = Field(default="", pattern=r"^((smtps|smtp|smtp\+starttls|secret)://.+)?$", repr=False)
    """The server that takes e-mail: `smtps://user:password@host`, `smtp+starttls://user:password@host`, or
    `smtp://host` for a relay that wants no password; `secret://name#key` for one that is a secret."""

    email_from: str = Field(default="", pattern=r"^(.+@.+)?$")
    """Who e-mail is from: an address, or `Name <address>`."""

    platform_channel: str = Field(default="", pattern=r"^((slack|teams|webhook|email|sns):.+|console)?$")
    """The channel of the hourly heartbeat of the buffers, where the environment publishes alerts."""

    ui_url: Annotated[str, Field(pattern=r"^(https?://.+)?$")] = ""
    """Where Dagster's UI is, as `https://dagster.example`, for links in messages and on the pages of operators."""


class Web(_Section):
    """The pages on which the floor answers alerts, the control room, and the pages of buyers."""

    feedback_url: Annotated[str, Field(pattern=r"^(https?://[^\s?#]+)?$")] = ""
    """Where the floor reaches `fillrate serve`, as `https://feedback.example`; without it, alerts have no
    links."""

    allowed_hosts: list[str] = Field(default_factory=list)
    """Further names in the `Host` header, without a port, under which a proxy reaches `fillrate serve`, as
    JSON; the host of `feedback_url` is always one, `["*"]` allows any."""

    feedback_secret: SecretStr = SecretStr("")
    """Key that signs the links: 32 characters or more, or `secret://name#key`. Several are separated by blanks: the
    first signs, all are accepted. Without it, alerts have no links."""

    proxy_user_header: str = ""
    """Header in which a proxy that authenticates names who sends a request. Without it, and beside it, the link that
    `fillrate serve` prints signs in for a day where it listens on this machine alone."""

    proxy_groups_header: str = ""
    """Header in which it names their groups, separated by commas."""

    proxy_networks: list[str] = Field(default_factory=list)
    """Addresses of that proxy, as JSON: `["10.0.0.0/8"]`; from others the headers say nothing."""

    oidc_issuer: Annotated[str, Field(pattern=r"^(https?://[^\s?#]+)?$")] = ""
    """Issuer of an OpenID Connect provider by which people sign in, as `https://login.example/realms/main`. Register
    `/sign-in/callback` below `feedback_url` there as the redirect URI."""

    oidc_client_id: str = ""
    """What the provider calls this service."""

    oidc_client_secret: SecretStr = SecretStr("")
    """Its secret, or `secret://name#key`."""

    oidc_user_claim: str = "email"
    """Claim that names who someone is."""

    oidc_groups_claim: str = "groups"
    """Claim that lists their groups."""

    grants: dict[str, list[str]] = Field(default_factory=dict)
    """What members of a group may see, as JSON: `{"dc3-leads": ["dc_manager:DC03"], "w1": ["floor:W0001"]}`; roles are
    `operator`, `buyer`, `dc_manager:DC` and `floor:WAREHOUSE`. Who is in none of them sees nothing."""

    targets_file: Path | None = None
    """CSV of targets that the buyers' pages show, as `fillrate report --targets` takes it; without it, none."""

    subscription_domains: list[str] = Field(default_factory=list)
    """Domains of mail to which people may have views of the buyers' pages sent, as JSON: `["example.com"]`; without
    one, to the address that they sign in with alone."""

    subscription_channels: list[Annotated[str, Field(pattern=r"^(slack|teams|email):[^:/?#]+$")]] = Field(
        default_factory=list
    )
    """Channels of `channels` to which people may have views sent, as JSON: `["slack:buyers", "email:leads"]`."""

    subscription_time_zone: Annotated[str, AfterValidator(_check_time_zone)] = "UTC"
    """IANA time zone of the weekday and hour of views that are sent weekly; those of one DC have its own."""


class Buffers(_Section):
    """How the rules of the buffers change."""

    promotes_automatically: bool = False
    """Whether a challenger whose evidence is sufficient takes the champion's place by itself, once a day; the evidence
    is stored and sent. Without it, `fillrate buffers policies promote` does so."""


_HOURS_IN_STATE: Final = {
    **dict.fromkeys(("RECEIVED", "VALIDATED", "CANCELLING"), 1),
    **dict.fromkeys(("RESERVED", "PICKING", "PACKED", "REQUESTED", "PROVISIONED"), 24),
    **dict.fromkeys(("BACKORDERED", "SHIPPED"), 24 * 14),
}


class Fulfillment(_Section):
    """Where events of orders come in, and who does what they lead to."""

    queue_url: Url = ""
    """SQLAlchemy URL of the queues: SQLite or PostgreSQL; default: SQLite in `systems/` of the home."""

    targets: dict[str, TargetUrl] = Field(default_factory=dict, repr=False)
    """Who does the effects of each function (`order`, `inventory`, `wms`, `carrier`, `notify`, `onboarding`), as JSON:
    an URL that takes them by POST. Effects of a function that is not named wait."""

    concurrency: dict[str, Annotated[int, Field(gt=0)]] = Field(default_factory=dict)
    """How many jobs of a queue a worker runs at a time, as JSON; default: 16 of `events`, 8 of each function."""

    max_per_second: dict[str, Annotated[int, Field(gt=0)]] = Field(default_factory=dict)
    """How many effects of a function are requested in a second, as JSON; without limit where it is not named."""

    event_token: SecretStr = SecretStr("")
    """What a source sends as `Authorization: Bearer` with its events: 32 characters or more, or `secret://name#key`.
    Several are separated by blanks."""

    event_secret: SecretStr = SecretStr("")
    """With what a source signs its events instead, as Standard Webhooks do: `whsec_...`, or `secret://name#key`."""

    max_backlog: int = Field(default=20_000, gt=0)
    """From how many events that wait on, `fillrate fulfillment serve` answers 429."""

    max_lag_seconds: Annotated[int, Field(gt=0)] = 60
    """From how many seconds between acceptance and transition of an event on there is an alarm."""

    max_effect_age_minutes: Annotated[int, Field(gt=0)] = 15
    """From which age of an effect that is not done on there is an alarm."""

    max_hours_in_state: dict[str, Annotated[int, Field(gt=0)]] = Field(default_factory=lambda: dict(_HOURS_IN_STATE))
    """How many hours an order or party may be in a state before there is an alarm, as JSON; states that are not named
    have no limit."""


class Inventory(_Section):
    """The DCs that have a copy of every count of stock."""

    replicas: dict[str, TargetUrl] = Field(default_factory=dict, repr=False)
    """Where each DC takes changes, as JSON: an URL with `/changes` and `/copies` below it; default: a SQLite file for
    each DC that has stock, in `replicas/` of the home."""

    replica_token: SecretStr = SecretStr("")
    """What the DCs are sent as `Authorization: Bearer`, and what `fillrate inventory serve` expects: 32 characters or
    more, or `secret://name#key`."""

    concurrency: int = Field(default=50, gt=0)
    """How many batches of changes are sent at a time, to all DCs together."""

    reservation_hours: int | None = Field(default=None, gt=0)
    """After how many hours `fillrate inventory worker` gives back what an order has reserved and was not picked; never
    where it is not set."""


class Telemetry(_Section):
    """Log lines, traces and metrics of the workers and of the intake."""

    log_format: Literal["text", "json"] = "text"
    """How `fillrate fulfillment worker` and `serve` write log lines: for people, or as a JSON object each."""

    otlp_endpoint: str = Field(default="", pattern=r"^(https?://[^\s]+)?$")
    """Where an OpenTelemetry collector takes OTLP over HTTP, as `http://collector:4318`; without it, nothing is
    exported. Headers and certificates are those of `OTEL_EXPORTER_OTLP_HEADERS` and the like."""

    trace_share: float = Field(default=1, ge=0, le=1)
    """Of what share of requests there is a trace; one that a source has begun goes on all the same."""

    metrics_interval_seconds: int = Field(default=60, gt=0)
    """How often metrics are exported."""


class FulfillmentAws(_Section):
    """The table and the queues that functions of Lambda work on."""

    table: str = ""
    """Table of DynamoDB with the transition log."""

    queue_urls: dict[str, str] = Field(default_factory=dict)
    """FIFO queues of SQS, as JSON: `events`, and one for each function that has effects."""

    deferred_queue_url: str = ""
    """Standard queue of SQS in which jobs wait until they are due."""

    parked_queue_url: str = ""
    """Queue of SQS with jobs that wait until they are released."""

    dead_letter_queue_url: str = ""
    """Queue of SQS with jobs that were given up."""

    stock_table: str = ""
    """Table of DynamoDB with the stock and its reservations: the target of `inventory`, in place of a URL, and what
    `fillrate inventory` works on in place of the record store."""

    order_bucket: str = ""
    """Bucket of S3 for the details of orders."""

    order_workflow_arn: str = ""
    """State machine of Step Functions that takes orders through their first steps."""


class Settings(BaseSettings):
    """Where the systems are and how strict the platform is."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter=SEPARATOR,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    env: environments.Name = "dev"
    """Which environment this is, `dev` or `prod`: its own place on servers that environments share. By default,
    nothing productive can be touched."""

    home: Path = Path(".fillrate")
    """Where this home is; not in `settings.toml`."""

    first_ship_date: date = date(2026, 1, 1)
    """The first partition; `demo`, `sample` and `load` set it in `settings.toml` to the first day of their data."""

    sources: Sources = Sources()
    storage: Storage = Storage()
    sensor: Sensor = Sensor()
    estimate: Estimate = Estimate()
    health: Health = Health()
    notifications: Notifications = Notifications()
    web: Web = Web()
    buffers: Buffers = Buffers()
    fulfillment: Fulfillment = Fulfillment()
    inventory: Inventory = Inventory()
    telemetry: Telemetry = Telemetry()
    fulfillment_aws: FulfillmentAws = FulfillmentAws()

    @model_validator(mode="before")
    @classmethod
    def _fill_embedded(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Fill in the embedded systems of the home where no other is set."""
        home = Path(values.get("home") or cls.model_fields["home"].default).expanduser().absolute()
        systems = home / "systems"
        # DuckDB takes a path from a "?" on for something else.
        warehouse = "sqlite" if "?" in str(systems) else "duckdb"
        defaults = {
            "sources": {
                "order_system_url": locate_file("sqlite", f"{systems}/order_system.db"),
                "shipping_records_url": locate_file("sqlite", f"{systems}/shipping_records.db"),
                "instock_warehouse_url": locate_file(warehouse, f"{systems}/instock_warehouse.{warehouse}"),
                "floor_feeds_url": locate_file(warehouse, f"{systems}/floor_feeds.{warehouse}"),
            },
            "storage": {
                "record_store_url": locate_file("sqlite", f"{systems}/record_store.db"),
                "lake_root": f"{home}/lake",
            },
            "fulfillment": {"queue_url": locate_file("sqlite", f"{systems}/jobs.db")},
        }
        filled = {**values, "home": home}
        for section, embedded in defaults.items():
            given = values.get(section, {})
            if isinstance(given, Mapping):
                filled[section] = {**given, **{name: given.get(name) or value for name, value in embedded.items()}}
        return filled

    @field_validator("storage")
    @classmethod
    def _separate_storage(cls, storage: Storage, info: ValidationInfo) -> Storage:
        """Put what environments share into each one's own place; a home already is its own."""
        if "env" not in info.data:
            return storage
        environment = ENVIRONMENTS[info.data["env"]]
        own = {
            name: environment.place_below(shared)
            for name in ("lake_root", "watermark_url")
            if (shared := getattr(storage, name)) and not shared.startswith(f"{info.data['home']}/")
        }
        return storage.model_copy(update=own)

    @field_validator("notifications")
    @classmethod
    def _silence(cls, notifications: Notifications, info: ValidationInfo) -> Notifications:
        """Leave out who is notified where the environment publishes no alerts."""
        if "env" not in info.data or ENVIRONMENTS[info.data["env"]].publishes_alerts:
            return notifications
        return notifications.model_copy(update={"alert_topic_arn": "", "platform_channel": ""})

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
        """Return these settings with `first_ship_date` on or before a day; write it to `settings.toml` if it moves.

        Dagster's partitions start at a fixed date, so older data has to move it before it can be read.
        """
        exists = self.settings_file.exists()
        if day >= self.first_ship_date and exists:
            return self
        self.home.mkdir(parents=True, exist_ok=True)
        first = min(day, self.first_ship_date) if exists else day
        document = self._read_document()
        document["first_ship_date"] = first
        self.settings_file.write_text(tomlkit.dumps(document))
        return self.model_copy(update={"first_ship_date": first})

    def with_one_network(self, first: date) -> Settings:
        """Return these settings with orders of fulfillment and snapshots of the inventory.

        They are written to `settings.toml` of an empty home.

        Args:
            first: the first ship date, where it is not written yet.

        Raises:
            PermanentFailure: the home holds the orders of another system.

        """
        fed = {"orders_from_fulfillment": True, "snapshots_from_inventory": True}
        if self.sources == (sources := self.sources.model_copy(update=fed)):
            return self
        if (self.home / "systems").exists() and not self.sources.orders_from_fulfillment:
            msg = f"{self.home} holds other data already: choose another FILLRATE_HOME"
            raise PermanentFailure(msg)
        self.home.mkdir(parents=True, exist_ok=True)
        document = self._read_document()
        document.setdefault("first_ship_date", first)
        document["sources"] = {**document.get("sources", {}), **fed}
        self.settings_file.write_text(tomlkit.dumps(document))
        return self.model_copy(update={"first_ship_date": document["first_ship_date"], "sources": sources})

    def with_local_feedback(self) -> Settings:
        """Return these settings with pages for answers on this machine, if there are none; written to `settings.toml`.

        The secret that signs their links is made here.
        """
        if self.web.feedback_url and self.web.feedback_secret.get_secret_value():
            return self
        secret = self.web.feedback_secret.get_secret_value() or token_urlsafe(_SECRET_BYTES)
        made = {"feedback_url": self.web.feedback_url or LOCAL_FEEDBACK_URL, "feedback_secret": secret}
        document = self._read_document()
        document["web"] = {**document.get("web", {}), **made}
        # It holds a secret now: closed to others before that is in it.
        self.settings_file.touch(mode=_PRIVATE)
        self.settings_file.chmod(_PRIVATE)
        self.settings_file.write_text(tomlkit.dumps(document))
        web = self.web.model_copy(update={**made, "feedback_secret": SecretStr(secret)})
        return self.model_copy(update={"web": web})

    def _read_document(self) -> tomlkit.TOMLDocument:
        """Read `settings.toml` with its comments; an empty one if there is none."""
        exists = self.settings_file.exists()
        return tomlkit.parse(self.settings_file.read_text()) if exists else tomlkit.document()

    @property
    def environment(self) -> Environment:
        """What is particular to the environment."""
        return ENVIRONMENTS[self.env]

    @property
    def record_store_schema(self) -> str | None:
        """The schema of the record store's tables; None in an embedded one, which has none and is of its home."""
        return None if self.storage.record_store_url.startswith("sqlite") else self.environment.schema

    @property
    def queue_schema(self) -> str:
        """The schema of the tables of the queues, on a server: each environment has its own."""
        return f"{self.environment.schema}_jobs"

    @property
    def settings_file(self) -> Path:
        """The file of this home's settings."""
        return self.home / "settings.toml"


@dataclass(frozen=True)
class Setting:
    """One setting, as the reference describes it."""

    section: str
    """"" for a setting of no section."""

    name: str
    default: Any
    meaning: str

    @property
    def key(self) -> str:
        """Its name behind the prefix of a variable, in lower case."""
        return f"{self.section}{SEPARATOR}{self.name}" if self.section else self.name

    @property
    def variable(self) -> str:
        """The variable of the environment that sets it."""
        return f"{PREFIX}{self.key}".upper()


def list_settings() -> list[Setting]:
    """Return every setting in the order of this module."""
    found: list[Setting] = []
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, _Section):
            found += [_describe(name, each, of) for each, of in field.annotation.model_fields.items()]
        else:
            found.append(_describe("", name, field))
    return found


def load(**overrides: Any) -> Settings:  # noqa: ANN401 - any field of Settings
    """Return the settings of the environment; a `PermanentFailure` names every value that is wrong.

    Args:
        overrides: settings by the names of their variables, in lower case and without the prefix, as `home` and
            `sources__order_system_url`.

    """
    known = {setting.key.upper() for setting in list_settings()}
    for name in os.environ:
        if (
            name.upper().startswith(PREFIX)
            and name.upper().removeprefix(PREFIX) not in known
            and not name.startswith(_OF_TESTS)
        ):
            raise _wrong(f"{name} is no setting" + _suggest(name.upper().removeprefix(PREFIX), known, _write_variable))
    try:
        made = Settings(**_nest(overrides))
    except ValidationError as error:
        raise _wrong("; ".join(map(_describe_error, error.errors()))) from error
    except (SettingsError, TOMLDecodeError) as error:
        raise _wrong(str(error)) from error
    for setting in list_settings():
        value = (
            getattr(getattr(made, setting.section), setting.name) if setting.section else getattr(made, setting.name)
        )
        for location in _read_locations(value):
            for extra in extras.find_extras(location):
                extras.require(extra, f"the setting {setting.variable}")
    return made


def _describe(section: str, name: str, field: FieldInfo) -> Setting:
    return Setting(
        section, name, field.get_default(call_default_factory=True), " ".join((field.description or "").split())
    )


def _nest(overrides: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in overrides.items():
        section, separator, name = key.partition(SEPARATOR)
        if separator:
            nested.setdefault(section, {})[name] = value
        else:
            nested[key] = value
    return nested


def _describe_error(error: ErrorDetails) -> str:
    """Return what is wrong and where; for a name of `settings.toml` that is no setting, the nearest one."""
    location = ".".join(map(str, error["loc"]))
    if error["type"] != "extra_forbidden" or len(error["loc"]) > _DEPTH:
        return f"{location or 'settings'}: {error['msg']}"
    if isinstance(error["input"], Mapping):
        known = {setting.section.upper() for setting in list_settings() if setting.section}
    else:
        known = {setting.key.upper() for setting in list_settings()}
    given = SEPARATOR.join(map(str, error["loc"])).upper()
    return f"{location} is no setting" + _suggest(given, known, _write_toml_name)


def _write_variable(key: str) -> str:
    return f"{PREFIX}{key}"


def _write_toml_name(key: str) -> str:
    return key.lower().replace(SEPARATOR, ".")


def _suggest(given: str, known: Iterable[str], write: Callable[[str], str]) -> str:
    """Return a hint at the nearest name: by letters, with and without the section, and by words in common."""
    words = _split(given)

    def compare(full: str) -> float:
        leaf = full.rpartition(SEPARATOR)[2]
        ratio = max(SequenceMatcher(None, given, each).ratio() for each in (full, leaf))
        return ratio + len(words & _split(full)) / len(words)

    nearest = max(sorted(known), key=compare)
    return f"; did you mean {write(nearest)}?" if compare(nearest) > _ALIKE else ""


def _split(name: str) -> set[str]:
    """Return the words of a name, in the singular."""
    return {word.removesuffix("S") for word in name.split("_")}


def _read_locations(value: object) -> list[str]:
    """Return the texts of a setting that may name a system."""
    if isinstance(value, Mapping):
        return [each for each in value.values() if isinstance(each, str)]
    if isinstance(value, SecretStr):
        return [value.get_secret_value()]
    return [value] if isinstance(value, str) else []


def _wrong(what: str) -> PermanentFailure:
    return PermanentFailure(f"settings (FILLRATE_* or settings.toml) are wrong: {what}")
