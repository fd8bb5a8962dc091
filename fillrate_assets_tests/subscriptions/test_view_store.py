from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.subscriptions.rhythm import Due, Rhythm
from fillrate_assets.subscriptions.view_store import (
    Outcome,
    SavedView,
    ViewStore,
    add_view,
    delete_view,
    mark_sent,
    replace_view,
    stop_view,
)

NOW: Final = datetime(2026, 3, 16, 6, 0, 0, 123456, tzinfo=UTC)
LATER: Final = NOW + timedelta(hours=1)
DUE: Final = Due("k", LATER)
VIEW: Final = SavedView(
    view_id="v1",
    owner="Kim",
    named_by="sign-in",
    grants=("buyer", "dc_manager:DC03"),
    signed_in_at=NOW,
    name="Größe & <Rest>",
    target="/service/dc/DC03?vendor=V%2F1",
    created_at=NOW,
    since=NOW,
    period="Last week",
    channel="mailto:kim@example.com",
    rhythm=Rhythm("weekly", 4, 7, "Europe/Berlin"),
)


@pytest.fixture
def views(store: RecordStore) -> ViewStore:
    """A store with one view."""
    with store.database.begin() as connection:
        add_view(connection, VIEW)
    return ViewStore(store.database)


def _read(views: ViewStore) -> SavedView:
    found = views.find_view("v1")
    assert found is not None
    return replace(found, grants=tuple(found.grants))


def test_a_view_is_read_as_it_was_saved(views: ViewStore) -> None:
    assert _read(views) == VIEW
    assert VIEW.is_sent
    assert views.find_view("v2") is None


def test_a_view_is_its_owners_if_a_sign_in_names_them(views: ViewStore) -> None:
    with views.database.begin() as connection:
        add_view(connection, replace(VIEW, view_id="v2", named_by="form"))
        add_view(connection, replace(VIEW, view_id="v3", owner="Ada"))
    assert [view.view_id for view in views.list_views("Kim")] == ["v1"]
    assert [view.view_id for view in views.list_views()] == ["v3", "v1", "v2"]


def test_roles_are_those_of_the_last_sign_in(views: ViewStore) -> None:
    with views.database.begin() as connection:
        add_view(connection, replace(VIEW, view_id="v2", named_by="form"))
    assert views.note_sign_in("Kim", ["dc_manager:DC01"], LATER) == 1
    assert (_read(views).grants, _read(views).signed_in_at) == (("dc_manager:DC01",), LATER)
    typed = views.find_view("v2")
    assert typed is not None
    assert typed.signed_in_at == NOW


def test_what_people_set_is_replaced_and_nothing_else(views: ViewStore) -> None:
    with views.database.begin() as connection:
        assert mark_sent(connection, VIEW, DUE, Outcome("m", "d"), now=LATER)
        changed = replace(VIEW, name="Other", rhythm=Rhythm("published"), since=NOW, owner="Eve", last_key="")
        assert replace_view(connection, changed, moved=False)
        assert not replace_view(connection, replace(VIEW, view_id="v2"), moved=True)
    found = _read(views)
    assert (found.name, found.rhythm, found.owner) == ("Other", Rhythm("published"), "Kim")
    assert found.since == DUE.until
    assert (found.last_key, found.message_id, found.digest, found.sent_at) == ("k", "m", "d", LATER)


@pytest.mark.parametrize(
    "meanwhile",
    [{"last_key": "k"}, {"since": LATER}, {"stopped_at": LATER}, {"signed_in_at": LATER}],
    ids=["sent", "changed", "stopped", "with other roles"],
)
def test_a_sending_is_marked_if_it_is_still_due(store: RecordStore, meanwhile: dict[str, Any]) -> None:
    with store.database.begin() as connection:
        add_view(connection, replace(VIEW, **meanwhile))
    with store.database.begin() as connection:
        assert not mark_sent(connection, VIEW, DUE, Outcome("m"), now=LATER)


def test_a_problem_is_noted_until_it_is_sent(views: ViewStore) -> None:
    with views.database.begin() as connection:
        mark_sent(connection, VIEW, DUE, Outcome(problem="nothing of that"), now=LATER)
    found = _read(views)
    assert (found.problem, found.sent_at, found.last_key, found.since) == ("nothing of that", None, "k", NOW)
    with views.database.begin() as connection:
        mark_sent(connection, found, Due("l", LATER), Outcome("m", "d"), now=LATER)
        views.note_problem(connection, "other", "refused")
    assert _read(views).problem == ""
    with views.database.begin() as connection:
        views.note_problem(connection, "m", "refused")
    # No one has what it showed: the next one does not say that nothing changed since.
    refused = _read(views)
    assert (refused.problem, refused.sent_at, refused.digest, refused.since) == ("refused", None, "", LATER)


def test_a_view_is_stopped_once_and_deleted_once(views: ViewStore) -> None:
    with views.database.begin() as connection:
        assert stop_view(connection, "v1", by="Kim", at=LATER)
        assert not stop_view(connection, "v1", by="Ada", at=LATER)
    assert not _read(views).is_sent
    assert _read(views).stopped_by == "Kim"
    with views.database.begin() as connection:
        assert delete_view(connection, "v1")
        assert not delete_view(connection, "v1")
