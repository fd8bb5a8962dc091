"""`fillrate subscriptions` and its job in Dagster: saved views that are due are sent once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fillrate_assets import settings
from fillrate_assets.cli import main
from fillrate_assets.cli.fillrate_demo import save_view
from fillrate_assets.definitions import build_defs
from fillrate_assets.storage.database import Database
from fillrate_assets.subscriptions.rhythm import Rhythm
from fillrate_assets.subscriptions.view_store import SavedView, ViewStore, add_view
from fillrate_assets_tests.conftest import copy_home


@pytest.fixture
def views(tiny_published_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ViewStore:
    """A home with a view that is due, and one that has nothing to show."""
    monkeypatch.setenv("FILLRATE_HOME", str(copy_home(tiny_published_template, tmp_path)))
    monkeypatch.setenv("FILLRATE_WEB__FEEDBACK_URL", "https://service.example")
    monkeypatch.setenv("FILLRATE_WEB__FEEDBACK_SECRET", "only-the-tests-know-this-one-all-of-it")
    monkeypatch.setenv("FILLRATE_WEB__SUBSCRIPTION_DOMAINS", '["dc.example"]')
    store = ViewStore(Database.from_settings(settings.load()))
    ago = datetime.now(UTC) - timedelta(days=8)
    view = SavedView(
        view_id="v1",
        owner="Kim",
        named_by="form",
        grants=("buyer",),
        signed_in_at=ago,
        name="Monday",
        target="/service?table=dcs",
        created_at=ago,
        since=ago,
        channel="mailto:kim@dc.example",
        rhythm=Rhythm("weekly"),
    )
    with store.database.begin() as connection:
        add_view(connection, view)
        add_view(connection, replace(view, view_id="v2", name="Gone", target="/service/vendor/V-gone"))
    return store


def test_what_is_due_is_sent_once_and_the_same_again_sends_and_logs_nothing(
    views: ViewStore, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert main.execute(["subscriptions", "send"]) == 1
    first = capsys.readouterr()
    assert first.out.splitlines() == ["written: Monday", "1 sent, 0 tried again later, 0 given up"]
    assert "not sent: Gone of Kim: " in first.err
    stored = views.list_views()
    caplog.clear()
    assert main.execute(["subscriptions", "send"]) == 0
    assert capsys.readouterr().out == "nothing is due\n"
    assert caplog.messages == []
    assert views.list_views() == stored
    assert main.execute(["subscriptions", "list"]) == 0
    listed = capsys.readouterr().out
    assert "every Monday at 06:00, UTC" in listed
    assert "kim@dc.example" not in listed


def test_a_home_without_views_says_so(capsys: pytest.CaptureFixture[str], views: ViewStore) -> None:
    with views.database.begin() as connection:
        connection.exec_driver_sql("DELETE FROM saved_view")
    assert main.execute(["subscriptions", "list"]) == 0
    assert capsys.readouterr().out == "no view is saved\n"


def test_what_a_view_says_is_shown_and_sent_to_no_one(
    views: ViewStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The sample network ends on a Saturday of March 2026.
    for _ in range(2):
        save_view(settings.load(), datetime(2026, 3, 16, 6, tzinfo=UTC))
    assert [view.view_id for view in views.list_views() if view.owner == "demo"] == ["demo"]
    letter = tmp_path / "monday.html"
    assert main.execute(["subscriptions", "show", "demo", "--out", str(letter)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Monday: case fill ")
    assert "Who is accountable" in shown
    assert shown.splitlines()[0] in letter.read_text(encoding="utf-8")
    for name, problem in (("Gone", "would not be sent: "), ("Monday", "there are 2 saved views"), ("No", "are 0")):
        assert main.execute(["subscriptions", "show", name]) == 2
        assert problem in capsys.readouterr().err
    assert all(view.sent_at is None for view in views.list_views())


def test_the_job_sends_what_is_due(views: ViewStore) -> None:
    result = build_defs(settings.load()).resolve_job_def("saved_views").execute_in_process()
    assert result.success
    assert {view.name: bool(view.sent_at) for view in views.list_views()} == {"Monday": True, "Gone": False}
