"""Saved views over HTTP: one's own list, the form that saves and sends a page, and the link that stops messages.

What is sent, and when, belongs to `sending`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlencode
from uuid import uuid4

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fillrate_assets.fillrate.record_store import RecordStore
from fillrate_assets.notifications.notifiers.email import is_address
from fillrate_assets.storage.action_log import Action, ActionLog
from fillrate_assets.subscriptions import view_store
from fillrate_assets.subscriptions.rhythm import WEEKDAYS, Rhythm
from fillrate_assets.subscriptions.view_store import MAX_TEXT, SavedView
from fillrate_assets.web.access import Person
from fillrate_assets.web.actions import Actions, Submission
from fillrate_assets.web.buyers.destinations import MAILTO, format_channel
from fillrate_assets.web.buyers.letters import choose_tables
from fillrate_assets.web.buyers.sending import (
    UNSUBSCRIBE,
    VIEWS,
    SignIns,
    ViewSender,
    describe_problem,
    name_signed_in,
    withdraw,
)
from fillrate_assets.web.buyers.view_forms import ADDRESS, RHYTHMS, ChangeForm, RhythmForm, SaveForm, ViewForm
from fillrate_assets.web.buyers.views import Chosen, choose_view
from fillrate_assets.web.forms import MAX_NAME, FormError, parse_form
from fillrate_assets.web.signed_in import Pages, find_person

MOST_VIEWS: Final = 50
"""Views of one person: one who needs more sends the same page to a list of people."""


class ViewPages:
    """The pages of saved views."""

    def __init__(self, sender: ViewSender, actions: Actions, log: ActionLog, time_zone: str) -> None:
        """Save and send views.

        Args:
            sender: sends them.
            actions: shows and takes forms.
            log: of what people do, also by a link in a message.
            time_zone: of the weeks of a view that is not of one DC.

        """
        self._sender, self.actions, self._log, self._time_zone = sender, actions, log, time_zone
        self._desk, self._store = sender.desk, sender.store
        self.sign_ins = SignIns(sender)

    def build_routes(self, pages: Pages, frame: Callable[[Person], dict[str, Any]]) -> list[Route]:
        """Build the routes.

        Args:
            pages: render and report problems.
            frame: describes what is around every page.

        """
        self._pages, self._frame = pages, frame
        return [
            Route(VIEWS, self.list_views),
            Route(VIEWS, self.act, methods=["POST"]),
            Route(f"{VIEWS}/new", self.show_form),
            Route(f"{VIEWS}/{{view_id}}", self.show_view),
            Route(f"{UNSUBSCRIBE}/{{token}}", self.confirm_stop),
            Route(f"{UNSUBSCRIBE}/{{token}}", self.stop_by_link, methods=["POST"]),
        ]

    def list_views(self, request: Request) -> Response:
        """List one's own views, or all to an operator."""
        return self._show_list(request)

    def show_form(self, request: Request) -> Response:
        """Show the form that saves and sends a page."""
        return self._show_form(request, request.query_params.get("view", ""))

    def show_view(self, request: Request) -> Response:
        """Show a view as it would be sent now, and the form that changes it."""
        view = self._find_view(self._require_buyer(request), request.path_params["view_id"])
        return self._show_view(request, view)

    async def act(self, request: Request) -> Response:
        """Take a form."""
        return await self.actions.take(request, lambda submission: self._submit(request, submission))

    def _submit(self, request: Request, submission: Submission) -> Response:
        self._require_buyer(request)
        fields = submission.fields
        if fields.get("action") == "save":
            try:
                view_id = self._save(submission, parse_form(SaveForm, fields))
            except FormError as error:
                return self._show_form(request, fields.get("view", ""), str(error), fields)
            return self.actions.redirect(submission, f"{VIEWS}?{urlencode({'done': 'saved'})}#{view_id}")
        if fields.get("action") == "change":
            view = self._find_view(submission.person, fields.get("view_id", ""))
            try:
                self._change(submission, view, parse_form(ChangeForm, fields))
            except FormError as error:
                return self._show_view(request, view, str(error), fields)
            return self.actions.redirect(submission, f"{VIEWS}?{urlencode({'done': 'changed'})}#{view.view_id}")
        try:
            done = self._act_on(submission, parse_form(ViewForm, fields))
        except FormError as error:
            return self._show_list(request, str(error))
        return self.actions.redirect(submission, f"{VIEWS}?{urlencode({'done': done})}")

    def _save(self, submission: Submission, form: SaveForm) -> str:
        person = submission.person
        chosen = choose_view(self._desk, person, form.view)
        owner = submission.actor
        if len(owner) > MAX_TEXT:
            msg = "Your sign-in gives you a name that is too long."
            raise FormError(msg)
        if person.name and len(self._store.list_views(owner)) >= MOST_VIEWS:
            msg = f"You have {MOST_VIEWS} views: delete one that is needed no more."
            raise FormError(msg)
        view = SavedView(
            view_id=uuid4().hex,
            owner=owner,
            named_by="sign-in" if person.name else "form",
            grants=sorted(grant.format() for grant in person.grants),
            signed_in_at=submission.now,
            name=form.name,
            target=chosen.target,
            created_at=submission.now,
            since=submission.now,
            period=chosen.period,
            channel=self._choose_channel(person.name, form),
            rhythm=self._make_rhythm(form, chosen),
        )
        details = {"name": view.name, "page": view.target, "channel": view.channel, "when": view.rhythm.describe()}
        with submission.record("save view", view.view_id, details, allowed=True) as connection:
            view_store.add_view(connection, view)
        return view.view_id

    def _change(self, submission: Submission, view: SavedView, form: ChangeForm) -> None:
        rhythm = self._make_rhythm(form, None, view.rhythm.time_zone)
        channel = self._choose_channel(name_signed_in(view), form)
        # A name alone moves no sending.
        moved = (rhythm, channel) != (view.rhythm, view.channel) or view.stopped_at is not None
        changed = replace(
            view,
            name=form.name,
            channel=channel,
            rhythm=rhythm,
            since=submission.now if moved else view.since,
            problem="",
            stopped_at=None,
            stopped_by="",
        )
        details = {"name": form.name, "channel": channel, "when": rhythm.describe()}
        with submission.record("change view", view.view_id, details, allowed=True) as connection:
            view_store.replace_view(connection, changed, moved=moved)
            if channel != view.channel:
                withdraw(connection, view.view_id)

    def _act_on(self, submission: Submission, form: ViewForm) -> str:
        view = self._find_view(submission.person, form.view_id)
        if form.action == "send":
            return self._send_now(submission, view)
        action, done = ("stop view", "stopped") if form.action == "stop" else ("delete view", "deleted")
        with submission.record(action, view.view_id, {"name": view.name}, allowed=True) as connection:
            if form.action == "stop":
                view_store.stop_view(connection, view.view_id, by=submission.actor, at=submission.now)
            else:
                view_store.delete_view(connection, view.view_id)
            withdraw(connection, view.view_id)
        return done

    def _send_now(self, submission: Submission, view: SavedView) -> str:
        if not view.channel:
            msg = "Say first where it is sent."
            raise FormError(msg)
        if view.stopped_at is not None:
            msg = "It is stopped, maybe by who gets it. Change it to send it again."
            raise FormError(msg)
        with submission.record("send view", view.view_id, {"channel": view.channel}, allowed=True):
            pass
        try:
            said = self._sender.send_now(view, submission.now)
        except HTTPException as error:
            raise FormError(describe_problem(error)) from error
        return {"It was sent.": "sent", "It was sent a moment ago.": "repeated"}.get(said, "waits")

    # --- what is shown

    def _show_list(self, request: Request, error: str = "") -> Response:
        person, forms = self._require_buyer(request), self.actions.prepare(request)
        views = self._store.list_views(None if person.is_operator else person.name)
        done = _DONE.get(request.query_params.get("done", ""), "")
        values = {
            "title": "Saved views",
            "views": [(view, self._describe(view)) for view in views],
            "all_owners": person.is_operator,
            "owner": person.name,
            "forms": forms,
            "done": done,
            "error": error,
        }
        return self._render("views.html", person, values, forms.protect, 422 if error else 200)

    def _describe(self, view: SavedView) -> dict[str, str]:
        """Describe a view for the list; its page is found without reading what is on it."""
        now = self._desk.clock()
        try:
            href = f"{self._desk.base_url}{self._sender.find_page(view, now)}"
            problem = view.problem
        except HTTPException as error:
            href, problem = "", describe_problem(error)
        return {"href": href, "problem": problem, "to": format_channel(view.channel)}

    def _show_form(
        self, request: Request, target: str, error: str = "", filled: Mapping[str, str] | None = None
    ) -> Response:
        person, forms = self._require_buyer(request), self.actions.prepare(request)
        chosen = choose_view(self._desk, person, target)
        fields = {"name": chosen.title, "rhythm": "weekly", "weekday": "0", "hour": "6", "address": person.name}
        values = {
            "title": "Mail or save a page",
            "chosen": chosen,
            "chosen_url": f"{self._desk.base_url}{target}",
            "target": target,
            "zone": self._choose_zone(chosen),
            "filled": {**fields, **(filled or {})},
            **self._describe_form(person, forms, error),
        }
        return self._render("view_form.html", person, values, forms.protect, 422 if error else 200)

    def _show_view(
        self, request: Request, view: SavedView, error: str = "", filled: Mapping[str, str] | None = None
    ) -> Response:
        person, forms, now = self._require_buyer(request), self.actions.prepare(request), self._desk.clock()
        letter = shown = problem = None
        tables = {}
        try:
            letter, shown = self._sender.render(view, now)
            tables = choose_tables(shown)
        except HTTPException as failure:
            problem = describe_problem(failure)
        kind, _, name = view.channel.partition(":")
        fields = {
            "name": view.name,
            "rhythm": view.rhythm.kind,
            "weekday": str(view.rhythm.weekday),
            "hour": str(view.rhythm.hour),
            "channel": ADDRESS if kind == "mailto" else view.channel,
            "address": name if kind == "mailto" else "",
        }
        values = {
            "title": view.name,
            "view": view,
            "letter": letter,
            "shown": shown,
            "problem": problem,
            "nothing": letter.message.news if letter else "",
            "tables": tables,
            "described": self._describe(view),
            "zone": view.rhythm.time_zone,
            "filled": {**fields, **(filled or {})},
            **self._describe_form(person, forms, error),
        }
        return self._render("view.html", person, values, forms.protect, 422 if error else 200)

    def _describe_form(self, person: Person, forms: object, error: str) -> dict[str, Any]:
        where = self._sender.destinations
        return {
            "forms": forms,
            "error": error,
            "channels": [(each, format_channel(each)) for each in where.channels],
            "may_mail": where.offer_mail(person.name),
            "domains": where.domains,
            "weekdays": list(enumerate(WEEKDAYS)),
            "rhythms": RHYTHMS,
            "max_name": MAX_NAME,
            "address": ADDRESS,
        }

    def _render(
        self,
        template: str,
        person: Person,
        values: Mapping[str, Any],
        protect: Callable[[Response], Response],
        status: int,
    ) -> Response:
        return protect(self._pages.render(template, {**self._frame(person), **values}, status))

    # --- the link in a message

    def confirm_stop(self, request: Request) -> Response:
        """Show the form that stops what is sent: mail scanners open links, so opening one changes nothing."""
        view = self._find_by_link(request)
        values = {"title": "Stop these messages", "view": view, "stopped": view.stopped_at is not None}
        return self._pages.render("unsubscribe.html", values)

    async def stop_by_link(self, request: Request) -> Response:
        """Stop what is sent: by the form, or by one click in a program that shows mail (RFC 8058)."""
        # The bearer of the link may do this and nothing else; what the request says besides is not even read.
        view = await run_in_threadpool(self._stop_by_link, request)
        return self._pages.render("unsubscribe.html", {"title": "Stopped", "view": view, "stopped": True})

    def _stop_by_link(self, request: Request) -> SavedView:
        view, now = self._find_by_link(request), self._desk.clock()
        if view.stopped_at is None:
            by = "a link in a message"
            action = Action(by, "link", "stop view", view.view_id, now, {"name": view.name, "owner": view.owner})
            with self._log.record(action) as connection:
                view_store.stop_view(connection, view.view_id, by=by, at=now)
                withdraw(connection, view.view_id)
        return view

    def _find_by_link(self, request: Request) -> SavedView:
        view = self._sender.unsubscriber.find_view(self._store, request.path_params["token"])
        if view is None:
            raise HTTPException(404)
        return view

    # --- who and where

    def _require_buyer(self, request: Request) -> Person:
        person = find_person(request)
        # A view is shown as its owner may see it: that is what they may see now.
        self.sign_ins.note(person)
        if not person.sees_service:
            raise HTTPException(404)
        return person

    def _find_view(self, person: Person, view_id: str) -> SavedView:
        """Find a view that is this person's; another's is as if it were not there."""
        view = self._store.find_view(view_id)
        if view is None:
            raise HTTPException(404)
        own = bool(person.name) and name_signed_in(view) == person.name
        if not (own or person.is_operator):
            raise HTTPException(404)
        return view

    def _choose_channel(self, name: str, form: RhythmForm) -> str:
        """Choose where it is sent: a channel of the settings, or an address of a domain that may get mail."""
        if form.rhythm == "never":
            return ""
        address, where = form.address.strip(), self._sender.destinations
        if form.channel == ADDRESS and is_address(address):
            if not where.allow(f"{MAILTO}{address}", name):
                msg = f"Mail goes to {where.describe_mail()} alone."
                raise FormError(msg)
            return f"{MAILTO}{address}"
        if form.channel.startswith(MAILTO) or not where.allow(form.channel, name):
            msg = "Please choose where it is sent, and type one address of mail if it is mailed."
            raise FormError(msg)
        return form.channel

    def _make_rhythm(self, form: RhythmForm, chosen: Chosen | None, zone: str = "") -> Rhythm:
        return Rhythm(form.rhythm, form.weekday, form.hour, zone or self._choose_zone(chosen))

    def _choose_zone(self, chosen: Chosen | None) -> str:
        """Choose whose clocks a week is of: those of the one DC that a view is of, or those of the settings."""
        if chosen is not None and len(chosen.dcs) == 1:
            zones = RecordStore(self._store.database).read_time_zones()
            return zones.get(chosen.dcs[0], self._time_zone)
        return self._time_zone


_DONE: Final = {
    "saved": "It is saved.",
    "changed": "It is changed.",
    "stopped": "It is sent no more.",
    "deleted": "It is deleted.",
    "sent": "It was sent.",
    "repeated": "It was sent a moment ago.",
    "waits": "It could not be sent now, and is tried again for three days.",
}


def link_form(base_url: str, target: str) -> str:
    """Link the form that mails or saves a page."""
    return f"{base_url}{VIEWS}/new?{urlencode({'view': target})}"
