"""A secret is where a connection is made, and nowhere else."""

from __future__ import annotations

import json
import traceback
import uuid
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.remote_representation.external_data import RepositorySnap

from fillrate_assets import settings
from fillrate_assets.core.errors import FillrateError, PermanentFailure, SourceUnavailable
from fillrate_assets.definitions import build_defs
from fillrate_assets.fillrate.sources.shipping_records import ShippingRecords
from fillrate_assets.storage import sql
from fillrate_assets_tests.conftest import SMALL
from fillrate_assets_tests.factories.rows import DAY
from fillrate_assets_tests.fixtures.cloud import Cloud
from fillrate_assets_tests.fixtures.home import Home

SECRET = "hunter2/@:%23 Zürich"  # noqa: S105 - what must not be shown
HOST = "127.0.0.1:1/shipping?login_timeout=1&timeout=1"
"""Nothing listens on port 1."""

StoreSecret = Callable[[str], str]


class _ConnectedError(Exception):
    """Raised where a driver would connect."""


@pytest.fixture
def store_secret(aws: Cloud) -> StoreSecret:
    def store(text: str) -> str:
        name = f"fillrate/{uuid.uuid4().hex}"
        aws.make_client("secretsmanager").create_secret(Name=name, SecretString=text)
        return name

    return store


@pytest.fixture
def forms(store_secret: StoreSecret) -> list[str]:
    """URLs of one server, each with its secret in another form."""
    whole = sa.make_url(f"mssql+pymssql://reader@{HOST}").set(password=SECRET).render_as_string(hide_password=False)
    return [
        f"mssql+pymssql://reader:{{secret://{store_secret(json.dumps({'password': SECRET}))}#password}}@{HOST}",
        f"mssql+pymssql://reader:{{secret://{store_secret(SECRET)}}}@{HOST}",
        f"secret://{store_secret(json.dumps({'url': whole}))}#url",
        f"secret://{store_secret(whole)}",
    ]


def _catch_driver_parameters(url: str) -> dict[str, Any]:
    given: dict[str, Any] = {}

    def connect(*_: object, **parameters: object) -> None:
        given.update(parameters)
        raise _ConnectedError

    engine = sql.get_engine(url)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(engine.dialect, "connect", connect)
        with pytest.raises(_ConnectedError):
            engine.connect()
    return given


def test_a_driver_gets_what_the_secret_holds(forms: list[str]) -> None:
    for url in forms:
        given = _catch_driver_parameters(url)
        assert (given["user"], given["password"], given["database"]) == ("reader", SECRET, "shipping")


def test_a_url_without_a_secret_sends_no_request() -> None:
    given = _catch_driver_parameters(f"mssql+pymssql://reader:%7Bplain%7D@{HOST}")
    assert set(given.values()) >= {"reader", "{plain}"}


def test_a_secret_is_fetched_once_per_process(aws: Cloud, store_secret: StoreSecret) -> None:
    name = store_secret(SECRET)
    url = f"mssql+pymssql://reader:{{secret://{name}}}@{HOST}"
    assert _catch_driver_parameters(url)["password"] == SECRET
    aws.make_client("secretsmanager").delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    assert _catch_driver_parameters(url)["password"] == SECRET
    assert _catch_driver_parameters(url.replace("shipping", "other"))["password"] == SECRET


@pytest.mark.parametrize(
    ("held", "key", "message"),
    [
        ("plain hunter2", "#password", "the secret has no key 'password'"),
        ('["hunter2"]', "#password", "the secret has no key 'password'"),
        ('{"user": "hunter2"}', "#password", "the secret has no key 'password'"),
        ("hunter2", "", "holds no database URL"),
        ("mssql://reader:pass@word:hunter2/x", "", "holds no database URL"),
    ],
)
def test_a_secret_that_cannot_be_used_is_named_and_not_shown(
    store_secret: StoreSecret, held: str, key: str, message: str
) -> None:
    name = store_secret(held)
    with pytest.raises(PermanentFailure, match=message) as raised:
        sql.get_engine(f"secret://{name}{key}")
    shown = "".join(traceback.format_exception(raised.value))
    assert name in shown
    assert "hunter2" not in shown


@pytest.mark.usefixtures("aws")
def test_an_absent_secret_is_named() -> None:
    with pytest.raises(PermanentFailure, match=r"^secret://absent/name#this refused: .*ResourceNotFound"):
        sql.get_engine("secret://absent/name#this")


@pytest.mark.usefixtures("busy_aws")
def test_a_secrets_manager_that_is_busy_may_answer_later() -> None:
    with pytest.raises(SourceUnavailable, match=r"^secret://busy does not answer: "):
        sql.get_engine("secret://busy")


@pytest.mark.usefixtures("denying_aws")
def test_a_secrets_manager_that_denies_access_is_no_matter_of_time() -> None:
    with pytest.raises(PermanentFailure, match=r"^secret://denied refused: .*AccessDenied"):
        sql.get_engine("secret://denied")


def test_a_connection_that_fails_shows_no_secret(forms: list[str]) -> None:
    for url in forms:
        with pytest.raises(FillrateError, match=r"^shipping records ") as raised:
            ShippingRecords(url).read_shipment_lines("DC01", DAY, DAY)
        assert isinstance(raised.value, SourceUnavailable)
        shown = "".join(traceback.format_exception(raised.value))
        assert "shipping records" in shown
        assert not _has_secret(shown)


def _has_secret(shown: str) -> bool:
    """Return whether a text has the secret, as it is or as a URL or JSON writes it."""
    return "hunter2" in shown


def test_settings_show_no_url(network_home: Home) -> None:
    plain = settings.load(home=network_home.directory, **dict.fromkeys(_URLS, f"mssql+pymssql://reader:hunter2@{HOST}"))
    webhooks = {
        "notifications__channels": {"floor": "https://hooks.example/hunter2"},
        "notifications__webhook_secret": "whsec_hunter2",
    }
    configured = settings.load(home=network_home.directory, env="prod", **webhooks)
    for made in (plain, configured, *build_defs(configured).resources.values()):  # type: ignore[union-attr]
        assert not _has_secret(repr(made))
        assert not _has_secret(str(made))
    with pytest.raises(PermanentFailure, match=r"settings .* are wrong") as raised:
        settings.load(
            home=network_home.directory, sources__order_system_url=SECRET, notifications__channels={"floor": SECRET}
        )
    assert not _has_secret("".join(traceback.format_exception(raised.value)))


_URLS = (
    "sources__order_system_url",
    "sources__shipping_records_url",
    "sources__instock_warehouse_url",
    "storage__record_store_url",
)


# Dagster's own snapshot of its own schedule.
@pytest.mark.filterwarnings("ignore:Property `ScheduleDefinition.environment_vars` is deprecated:DeprecationWarning")
def test_a_run_that_fails_shows_no_secret(
    network_home: Home,
    instance: dg.DagsterInstance,
    forms: list[str],
    store_secret: StoreSecret,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FILLRATE_SENSOR__STEP_MAX_RETRIES", "1")
    monkeypatch.setenv("FILLRATE_SENSOR__STEP_RETRY_DELAY_SECONDS", "0")
    for url in [*forms, f"secret://{store_secret(SECRET)}"]:
        monkeypatch.setenv("FILLRATE_SOURCES__SHIPPING_RECORDS_URL", url)
        home = Home(network_home.directory)
        result = home.run(instance, "DC01", SMALL.first, raise_on_error=False)
        assert not result.success
        events = [dg.serialize_value(entry) for entry in instance.all_logs(result.run_id)]
        assert any("does not answer" in event or "holds no database URL" in event for event in events)
        assert not any(_has_secret(event) for event in events)
        shown = [repr(home.settings), repr(home.settings.model_dump()), dg.serialize_value(_take_snapshot(home))]
        assert not any(_has_secret(each) for each in shown)
    out, err = capfd.readouterr()
    assert not _has_secret(caplog.text + out + err)


def _take_snapshot(home: Home) -> RepositorySnap:
    """Take the snapshot that the UI gets, its resource pages too."""
    defs = build_defs(home.settings)
    for made in (defs.resources or {}).values():
        assert not _has_secret(repr(made))
    return RepositorySnap.from_def(defs.get_repository_def())
