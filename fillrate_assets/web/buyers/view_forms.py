"""Forms of saved views: what a person sends who saves, changes, stops or deletes one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from fillrate_assets.subscriptions.rhythm import Kind
from fillrate_assets.subscriptions.view_store import MAX_TEXT
from fillrate_assets.web.forms import MAX_NAME, Form, Id, Name

ADDRESS: Final = "address"
"""Channel of a form that has an address of mail."""

RHYTHMS: Final[Mapping[Kind, str]] = {
    "weekly": "Every week",
    "published": "After each publication",
    "never": "Never: only save it",
}


class RhythmForm(Form):
    """What a view is called, and when and where to it is sent."""

    problems: ClassVar[Mapping[str, str]] = {
        "name": f"Please type a name for the view, {MAX_NAME} characters at most.",
        "weekday": "Please choose a day.",
        "hour": "Please choose an hour.",
        "rhythm": "Please choose when it is sent.",
    }

    name: Name
    rhythm: Kind
    channel: Annotated[str, Field(max_length=MAX_TEXT)] = ""
    address: Annotated[str, Field(max_length=MAX_TEXT)] = ""
    weekday: Annotated[int, Field(ge=0, le=6)] = 0
    hour: Annotated[int, Field(ge=0, le=23)] = 6


class SaveForm(RhythmForm):
    """A page is to be saved."""

    action: Literal["save"]
    view: str


class ChangeForm(RhythmForm):
    """A saved view is to be changed, and sent again if it was stopped."""

    action: Literal["change"]
    view_id: Id


class ViewForm(Form):
    """A saved view is to be stopped, sent at once or deleted."""

    action: Literal["stop", "send", "delete"]
    view_id: Id
