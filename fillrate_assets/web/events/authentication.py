"""Who may send events: those with a token, and those who sign as Standard Webhooks do."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from fillrate_assets.aws import secrets
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.settings import Fulfillment

MIN_TOKEN: Final = 32
_SCHEME: Final = "bearer"


@dataclass(frozen=True)
class EventSenders:
    """The tokens and the keys that are accepted."""

    tokens: Sequence[str] = field(repr=False)
    webhooks: Sequence[Webhook] = field(repr=False)

    def has_token(self, headers: Mapping[str, str]) -> bool:
        """Return whether a request has a token."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        # Each is compared, and each in the same time: how long it takes says nothing.
        found = [hmac.compare_digest(given.strip().encode(), token.encode()) for token in self.tokens]
        return scheme.lower() == _SCHEME and any(found)

    def has_signed(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Return whether a request is signed, within the last five minutes."""
        for webhook in self.webhooks:
            try:
                webhook.verify(body, dict(headers), json_parse=False)
            except (WebhookVerificationError, ValueError):
                continue
            return True
        return False


def make_senders(given: Fulfillment) -> EventSenders:
    """Make what the settings accept.

    Raises:
        PermanentFailure: they accept nothing, a token is short, or a key is none.
        SourceUnavailable: AWS Secrets Manager did not answer.

    """
    tokens = secrets.reveal(given.event_token.get_secret_value()).split()
    keys = secrets.reveal(given.event_secret.get_secret_value()).split()
    if not (tokens or keys):
        msg = (
            "events are taken of those alone who have FILLRATE_FULFILLMENT__EVENT_TOKEN or sign with"
            " FILLRATE_FULFILLMENT__EVENT_SECRET: set one of them"
        )
        raise PermanentFailure(msg)
    if any(len(token) < MIN_TOKEN for token in tokens):
        msg = f"each token of FILLRATE_FULFILLMENT__EVENT_TOKEN needs {MIN_TOKEN} characters or more"
        raise PermanentFailure(msg)
    try:
        return EventSenders(tokens, [Webhook(key) for key in keys])
    except (RuntimeError, ValueError) as error:
        msg = "FILLRATE_FULFILLMENT__EVENT_SECRET is not whsec_ and base64"
        raise PermanentFailure(msg) from error
