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

SECRET = "hunter2/@:%23 Zürich"  # noqa: S105 - what must not be seen
HOST = "127.0.0.1:1/shipping?login_timeout=1&timeout=1"
"""Nobody listens on port 1."""

Keep = Callable[[str], str]


class _ConnectedError(Exception):
    """Raised where a driver would connect."""


@pytest.fixture
def keep(aws: Cloud) -> Keep:
    def kept(text: str) -> str:
        name = f"fillrate/{uuid.uuid4().hex}"
        aws.client("secretsmanager").create_secret(Name=name, SecretString=text)
        return name

    return kept


@pytest.fixture
def forms(keep: Keep) -> list[str]:
    """URLs of one server, each with its secret in another form."""
    whole = sa.make_url(f"mssql+pymssql://reader@{HOST}").set(password=SECRET).render_as_string(hide_password=False)
    return [
        f"mssql+pymssql://reader:{{secret://{keep(json.dumps({'password': SECRET}))}#password}}@{HOST}",
        f"mssql+pymssql://reader:{{secret://{keep(SECRET)}}}@{HOST}",
        f"secret://{keep(json.dumps({'url': whole}))}#url",
        f"secret://{keep(whole)}",
    ]


def _given_to_the_driver(url: str) -> dict[str, Any]:
    given: dict[str, Any] = {}

    def connect(_dialect: sa.Dialect, _record: object, _args: object, parameters: dict[str, Any]) -> None:
        given.update(parameters)
        raise _ConnectedError

    engine = sql.get_engine(url)
    sa.event.listen(engine, "do_connect", connect)
    try:
        with pytest.raises(_ConnectedError):
            engine.connect()
    finally:
        sa.event.remove(engine, "do_connect", connect)
    return given


def test_a_driver_gets_what_the_secret_holds(forms: list[str]) -> None:
    for url in forms:
        given = _given_to_the_driver(url)
        assert (given["user"], given["password"], given["database"]) == ("reader", SECRET, "shipping")


def test_a_url_without_a_secret_asks_nobody() -> None:
    given = _given_to_the_driver(f"mssql+pymssql://reader:%7Bplain%7D@{HOST}")
    assert set(given.values()) >= {"reader", "{plain}"}


def test_a_secret_is_fetched_once_per_process(aws: Cloud, keep: Keep) -> None:
    name = keep(SECRET)
    url = f"mssql+pymssql://reader:{{secret://{name}}}@{HOST}"
    assert _given_to_the_driver(url)["password"] == SECRET
    aws.client("secretsmanager").delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    assert _given_to_the_driver(url)["password"] == SECRET
    assert _given_to_the_driver(url.replace("shipping", "other"))["password"] == SECRET


@pytest.mark.parametrize(
    ("held", "key", "told"),
    [
        ("plain hunter2", "#password", "the secret has no key 'password'"),
        ('["hunter2"]', "#password", "the secret has no key 'password'"),
        ('{"user": "hunter2"}', "#password", "the secret has no key 'password'"),
        ("hunter2", "", "holds no database URL"),
        ("mssql://reader:pass@word:hunter2/x", "", "holds no database URL"),
    ],
)
def test_a_secret_that_cannot_be_used_is_named_and_not_shown(keep: Keep, held: str, key: str, told: str) -> None:
    name = keep(held)
    with pytest.raises(PermanentFailure, match=told) as raised:
        sql.get_engine(f"secret://{name}{key}")
    shown = "".join(traceback.format_exception(raised.value))
    assert name in shown
    assert "hunter2" not in shown


@pytest.mark.usefixtures("aws")
def test_an_absent_secret_is_named() -> None:
    with pytest.raises(PermanentFailure, match=r"^secret://nobody/made#this refused: .*ResourceNotFound"):
        sql.get_engine("secret://nobody/made#this")


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
        with pytest.raises(FillrateError) as raised:
            ShippingRecords(url).read_shipment_lines("DC01", DAY, DAY)
        assert isinstance(raised.value, SourceUnavailable)
        shown = "".join(traceback.format_exception(raised.value))
        assert "shipping records" in shown
        assert not _leaks(shown)


def _leaks(shown: str) -> bool:
    """Whether a text has the secret, as it is or as a URL or JSON writes it."""
    return "hunter2" in shown


def test_settings_show_no_url(network_home: Home) -> None:
    plain = settings.load(home=network_home.directory, **dict.fromkeys(_URLS, f"mssql+pymssql://reader:hunter2@{HOST}"))
    webhooks = {
        "notifications__channels": {"floor": "https://hooks.example/hunter2"},
        "notifications__webhook_secret": "whsec_hunter2",
    }
    told = settings.load(home=network_home.directory, env="prod", **webhooks)
    for made in (plain, told, *build_defs(told).resources.values()):  # type: ignore[union-attr]
        assert not _leaks(repr(made))
        assert not _leaks(str(made))
    with pytest.raises(PermanentFailure) as raised:
        settings.load(
            home=network_home.directory, sources__order_system_url=SECRET, notifications__channels={"floor": SECRET}
        )
    assert not _leaks("".join(traceback.format_exception(raised.value)))


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
    keep: Keep,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FILLRATE_SENSOR__STEP_MAX_RETRIES", "1")
    monkeypatch.setenv("FILLRATE_SENSOR__STEP_RETRY_DELAY_SECONDS", "0")
    for url in [*forms, f"secret://{keep(SECRET)}"]:
        monkeypatch.setenv("FILLRATE_SOURCES__SHIPPING_RECORDS_URL", url)
        home = Home(network_home.directory)
        result = home.run(instance, "DC01", SMALL.first, raise_on_error=False)
        assert not result.success
        events = [dg.serialize_value(entry) for entry in instance.all_logs(result.run_id)]
        assert any("does not answer" in event or "holds no database URL" in event for event in events)
        assert not any(_leaks(event) for event in events)
        shown = [repr(home.settings), repr(home.settings.model_dump()), dg.serialize_value(_snapshot(home))]
        assert not any(_leaks(each) for each in shown)
    out, err = capfd.readouterr()
    assert not _leaks(caplog.text + out + err)


def _snapshot(home: Home) -> RepositorySnap:
    """What the UI is given, its resource pages too."""
    defs = build_defs(home.settings)
    for made in (defs.resources or {}).values():
        assert not _leaks(repr(made))
    return RepositorySnap.from_def(defs.get_repository_def())
