from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from fillrate_assets.core.errors import PermanentFailure, SourceUnavailable
from fillrate_assets.fillrate.watermark import DatabaseWatermark, ParameterStoreWatermark, Watermark
from fillrate_assets.storage.database import Database
from fillrate_assets_tests.conftest import SCHEMA
from fillrate_assets_tests.fixtures.cloud import Cloud
from fillrate_assets_tests.fixtures.embedded import create_database

FIRST = datetime(2026, 2, 10, 18, 0, 0, 123456, UTC)
SECOND = FIRST + timedelta(hours=1)


@pytest.fixture(params=["sqlite", "postgresql", "parameter store"])
def mark(request: pytest.FixtureRequest, tmp_path: Path) -> Watermark:
    if request.param == "parameter store":
        request.getfixturevalue("aws")
        return ParameterStoreWatermark(f"ssm://fillrate/{uuid.uuid4().hex}")
    if request.param == "postgresql":
        server, template = request.getfixturevalue("postgres"), request.getfixturevalue("postgres_template")
        return DatabaseWatermark(Database(server.create_database(f"watermark {uuid.uuid4()}", template), SCHEMA))
    database = create_database(f"sqlite:///{tmp_path}/store.db")
    return DatabaseWatermark(database)


def test_there_is_none_before_the_first(mark: Watermark) -> None:
    assert mark.read("orders") is None


def test_each_name_has_a_moment_of_its_own(mark: Watermark) -> None:
    assert mark.move("orders", FIRST, previous=None)
    assert mark.move("shipments", SECOND, previous=None)
    assert (mark.read("orders"), mark.read("shipments")) == (FIRST, SECOND)


def test_a_moment_moves_from_the_one_that_was_read(mark: Watermark) -> None:
    assert mark.move("orders", FIRST, previous=None)
    assert mark.move("orders", SECOND, previous=FIRST)
    assert mark.move("orders", FIRST, previous=SECOND)
    assert mark.read("orders") == FIRST


@pytest.mark.parametrize("previous", [None, SECOND])
def test_a_moment_that_another_call_has_moved_stays(mark: Watermark, previous: datetime | None) -> None:
    assert mark.move("orders", FIRST, previous=None)
    assert not mark.move("orders", SECOND + timedelta(hours=1), previous=previous)
    assert mark.read("orders") == FIRST


def test_a_moment_is_the_same_in_every_time_zone(mark: Watermark) -> None:
    there = timezone(timedelta(hours=-8))
    assert mark.move("orders", FIRST.astimezone(there), previous=None)
    assert mark.read("orders") == FIRST
    assert mark.move("orders", SECOND, previous=FIRST.astimezone(there))


def _make_calls(mark: Watermark) -> list[Callable[[], object]]:
    return [
        lambda: mark.read("orders"),
        lambda: mark.move("orders", FIRST, previous=None),
        lambda: mark.move("orders", SECOND, previous=FIRST),
    ]


@pytest.mark.usefixtures("busy_aws")
def test_a_parameter_store_that_is_busy_may_answer_later() -> None:
    for call in _make_calls(ParameterStoreWatermark("ssm://fillrate")):
        with pytest.raises(SourceUnavailable, match=r"^watermark \(ssm://fillrate\) does not answer: "):
            call()


@pytest.mark.usefixtures("absent_aws")
def test_a_parameter_store_that_cannot_be_reached_may_answer_later() -> None:
    with pytest.raises(SourceUnavailable, match=r"^watermark \(ssm://fillrate\) does not answer: Could not connect"):
        ParameterStoreWatermark("ssm://fillrate").read("orders")


@pytest.mark.usefixtures("denying_aws")
def test_access_denied_does_not_pass() -> None:
    for call in _make_calls(ParameterStoreWatermark("ssm://fillrate")):
        with pytest.raises(PermanentFailure, match=r"^watermark \(ssm://fillrate\) refused: .*AccessDenied"):
            call()


@pytest.mark.usefixtures("aws")
def test_an_aws_that_is_not_set_up_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "absent"))
    with pytest.raises(PermanentFailure, match=r"^watermark .*Unable to locate credentials; set AWS credentials"):
        ParameterStoreWatermark("ssm://fillrate").read("orders")
    monkeypatch.delenv("AWS_REGION")
    with pytest.raises(PermanentFailure, match=r"^ssm cannot be used: You must specify a region"):
        ParameterStoreWatermark("ssm://fillrate").read("orders")


def test_a_parameter_is_text_that_people_can_read_and_mend(aws: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    mark = ParameterStoreWatermark("ssm://fillrate/mended/")
    assert mark.move("orders", FIRST, previous=None)
    ssm = aws.make_client("ssm")
    name = "/fillrate/mended/orders"
    assert ssm.get_parameter(Name=name)["Parameter"]["Value"] == "2026-02-10T18:00:00.123456+00:00"
    ssm.put_parameter(Name=name, Value="yesterday", Type="String", Overwrite=True)
    assert mark.read("orders") is None
    assert f"parameter {name} is 'yesterday', which is not a time" in caplog.text
    assert mark.move("orders", SECOND, previous=None)
    assert mark.read("orders") == SECOND


def test_of_two_that_put_after_the_same_read_the_later_is_refused(aws: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    # Decision 0040.
    mark = ParameterStoreWatermark("ssm://fillrate/raced")
    assert mark.move("orders", FIRST, previous=None)
    read = ParameterStoreWatermark._get_parameter  # noqa: SLF001 - the moment between a read and its put

    def read_and_overtake(self: ParameterStoreWatermark, ssm: Any, name: str) -> dict[str, Any] | None:  # noqa: ANN401
        found = read(self, ssm, name)
        aws.make_client("ssm").put_parameter(
            Name="/fillrate/raced/orders", Value=FIRST.isoformat(), Type="String", Overwrite=True
        )
        return found

    with monkeypatch.context() as between:
        between.setattr(ParameterStoreWatermark, "_get_parameter", read_and_overtake)
        assert not mark.move("orders", SECOND, previous=FIRST)
    # The later put stays; nothing is lost by it, and the next tick goes on from there.
    assert mark.read("orders") == SECOND
    assert mark.move("orders", FIRST, previous=SECOND)


@pytest.mark.parametrize(
    "stored", ["yesterday", "", 17, 1.5, "0001-01-01 00:00:00.000000", "9999-12-31 23:59:59.999999"]
)
def test_what_is_no_time_counts_as_none_and_is_replaced(
    tmp_path: Path, stored: object, caplog: pytest.LogCaptureFixture
) -> None:
    database = create_database(f"sqlite:///{tmp_path}/store.db")
    with database.engine.begin() as connection:
        connection.execute(
            sa.text("INSERT INTO watermarks (name, moment) VALUES ('orders', :moment)"), {"moment": stored}
        )
    mark = DatabaseWatermark(database)
    assert mark.read("orders") is None
    assert "what is stored for orders is not a time" in caplog.text
    assert not mark.move("orders", FIRST, previous=SECOND)
    assert mark.move("orders", FIRST, previous=None)
    assert mark.read("orders") == FIRST
