"""What operators do from pages: try dead letters again or discard them, release parked jobs, send messages again.

Each is logged with a name (decision 0310). Done twice, it does nothing the second time and says so. What each does
belongs to the areas; forms, roles and the log to `web.actions`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from typing import Annotated, Final, TypeVar
from urllib.parse import urlencode
from uuid import uuid4

from pydantic import Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.fulfillment.interventions import Intervention, is_recorded
from fillrate_assets.fulfillment.redelivery import redeliver
from fillrate_assets.fulfillment.replay import ReplayScope
from fillrate_assets.notifications.outbox_admin import replay_dead_letters
from fillrate_assets.web.actions import Actions, Submission
from fillrate_assets.web.forms import MAX_NOTE, Form, FormError, Reason, parse_form
from fillrate_assets.web.operations.systems import Systems
from fillrate_assets.web.signed_in import OPERATIONS, require_operator

OUTCOMES: Final = {
    "redriven": "It is tried again.",
    "discarded": "It is discarded.",
    "released": "It is released.",
    "due": "It is due again.",
    "redelivered": "Its events are delivered again.",
    "nothing": "Nothing was done: it is not there any more, or this was done before.",
    "refused": "Nothing was done: it cannot be tried again, only discarded.",
    "incomplete": f"Nothing was done: your name is missing, or why, in {MAX_NOTE:,} characters at most.",
}
"""What became of a form, by the name that the page is shown with afterwards."""

_Key = Annotated[str, Field(min_length=1, max_length=255)]
NamePage = Callable[[Mapping[str, str]], tuple[str, Mapping[str, str]]]
"""Names the page that a form came from, and what it shows, by the form's fields."""

F = TypeVar("F", bound=Form)


class _JobForm(Form):
    job: _Key


class _DiscardForm(_JobForm):
    note: Reason


class _MessageForm(Form):
    message: _Key


class _RedeliverForm(Form):
    order: _Key
    note: Reason
    request: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class Interventions:
    """Takes the forms of operators."""

    def __init__(self, systems: Systems, actions: Actions, base_url: str) -> None:
        """Take forms about some systems, below a URL."""
        self._systems, self._actions, self._base_url = systems, actions, base_url
        self.forms: Mapping[str, Callable[[Request], Awaitable[Response]]] = {
            "redrive": self._make_taker(_JobForm, _name_letter, self._redrive),
            "discard": self._make_taker(_DiscardForm, _name_letter, self._discard),
            "release": self._make_taker(_JobForm, lambda _: ("dead-letters", {}), self._release),
            "send-again": self._make_taker(_MessageForm, _name_message, self._send_again),
            "redeliver": self._make_taker(_RedeliverForm, _name_replays, self._redeliver),
        }
        """What takes each form, by where it is sent."""

    def _make_taker(
        self, kind: type[F], name_page: NamePage, do: Callable[[F, Submission], str]
    ) -> Callable[[Request], Awaitable[Response]]:
        """Make what takes a form: do what it is for, and show the page that it came from with what became of it."""

        def submit(submission: Submission) -> Response:
            page, values = name_page(submission.fields)

            def show(outcome: str) -> str:
                return f"{OPERATIONS}/{page}?{urlencode({**values, 'outcome': outcome})}"

            try:
                _ = submission.actor
                outcome = do(parse_form(kind, submission.fields), submission)
            except FormError:
                return RedirectResponse(f"{self._base_url}{show('incomplete')}", status_code=303)
            return self._actions.redirect(submission, show(outcome))

        async def take(request: Request) -> Response:
            require_operator(request)
            return await self._actions.take(request, submit)

        return take

    def _redrive(self, form: _JobForm, submission: Submission) -> str:
        queues = self._systems.open_queues()
        if (found := queues.find_letter(form.job)) is None:
            return "nothing"
        letters, letter = found
        details = {"queue": letter.job.queue, "failure": letter.reason}
        if _do(submission, "redrive", form.job, details, lambda: letters.redrive(form.job)):
            return "redriven"
        # Another was quicker, or it is none of our jobs.
        return "nothing" if queues.find_letter(form.job) is None else "refused"

    def _discard(self, form: _DiscardForm, submission: Submission) -> str:
        if (found := self._systems.open_queues().find_letter(form.job)) is None:
            return "nothing"
        letters, letter = found
        details = {"reason": form.note, "queue": letter.job.queue, "failure": letter.reason}
        reason = f"{form.note} ({submission.actor})"
        done = _do(submission, "discard", form.job, details, lambda: letters.discard(form.job, reason))
        return "discarded" if done else "nothing"

    def _release(self, form: _JobForm, submission: Submission) -> str:
        queue = self._systems.open_queues().queue
        return "released" if _do(submission, "release", form.job, {}, lambda: queue.release(form.job)) else "nothing"

    def _send_again(self, form: _MessageForm, submission: Submission) -> str:
        def make_due() -> None:
            if not replay_dead_letters(self._systems.database, [form.message], now=submission.now):
                raise PermanentFailure(form.message)

        return "due" if _do(submission, "send again", form.message, {}, make_due) else "nothing"

    def _redeliver(self, form: _RedeliverForm, submission: Submission) -> str:
        database, queue = self._systems.database, self._systems.open_queues().queue
        done = Intervention(
            "REDELIVERED",
            submission.actor,
            form.note,
            version("fillrate-assets"),
            intervention_id=form.request,
            now=submission.now,
        )

        def deliver() -> None:
            if is_recorded(database, form.request) or not redeliver(
                database, queue, ReplayScope(order_id=form.order), done
            ):
                raise PermanentFailure(form.order)

        return "redelivered" if _do(submission, "redeliver", form.order, {"reason": form.note}, deliver) else "nothing"


def _do(
    submission: Submission, action: str, subject: str, details: Mapping[str, str], do: Callable[[], object]
) -> bool:
    """Do and log something; return False where there is nothing to do, which is not logged."""
    try:
        with submission.record(action, subject, details):
            do()
    except PermanentFailure:
        return False
    return True


def make_request_id() -> str:
    """Make the id by which a form that is sent twice is known."""
    return uuid4().hex


def _name_letter(fields: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
    return "dead-letter", {"job": fields.get("job", "")}


def _name_message(fields: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
    return "message", {"id": fields.get("message", "")}


def _name_replays(fields: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
    return "replays", {"order": fields.get("order", "")}
