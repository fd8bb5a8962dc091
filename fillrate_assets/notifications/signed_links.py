"""Signed links through which the floor answers; without the secret none can be made or altered.

A link is a capability: its bearer may answer what it is about until it expires, and nothing else. The pages behind the
links belong to `web`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from hashlib import sha256
from typing import Final, Literal
from urllib.parse import quote

from itsdangerous import BadData, URLSafeSerializer
from itsdangerous.encoding import base64_decode, base64_encode

from fillrate_assets.aws import secrets as stored_secrets
from fillrate_assets.core.errors import PermanentFailure

Kind = Literal["alert", "missed", "audit"]
"""To answer an alert, to report a problem that no alert was sent for, to look at a week's sample of silent units."""

MIN_SECRET: Final = 32
"""Characters of a secret: fewer can be guessed."""

MAX_TOKEN: Final = 1000
"""Characters of a token; no link of ours comes near, so a longer one is not even looked at."""

LIFETIME: Final = timedelta(days=7)
"""How long an alert can be answered and a missed problem reported."""

AUDIT_LIFETIME: Final = timedelta(days=14)

_SALT: Final = "fillrate.feedback.link"


def find_last_week(now: datetime, zone: tzinfo) -> str:
    """Return the last ISO week that is over at a warehouse's own time, as 2026-W11."""
    year, week, _ = (now.astimezone(zone) - timedelta(weeks=1)).isocalendar()
    return f"{year}-W{week:02}"


class ForgedLinkError(Exception):
    """The link was not made with one of the secrets, or it was altered."""


class ExpiredLinkError(Exception):
    """The link was right, but its time is over."""


@dataclass(frozen=True)
class Link:
    """What a link is about, and who may answer through it."""

    kind: Kind
    about: str
    """rec_id of the alert; else the warehouse."""

    week: str = ""
    """ISO week of an audit, as 2026-W11."""

    responder: str = ""
    """Who answers; "" for anyone, who then types a name."""


def make_serializer(secrets: Sequence[str], salt: str) -> URLSafeSerializer:
    """Make what signs tokens of one kind with the first of some secrets, and reads those of all."""
    # itsdangerous signs with the last of its keys.
    kwargs = {"key_derivation": "hmac", "digest_method": sha256}
    return URLSafeSerializer(list(secrets)[::-1], salt=salt, signer_kwargs=kwargs)


class LinkSigner:
    """Signer and reader of links; both sides need the same secrets and base URL."""

    def __init__(self, base_url: str, secrets: Sequence[str]) -> None:
        """Sign links below a URL.

        Args:
            base_url: where the floor reaches the service, e.g. https://feedback.example.
            secrets: the first signs, all are accepted: a new one goes in front, an old one leaves when its last
                link has expired.

        Raises:
            PermanentFailure: there is no secret, or one is too short.

        """
        if not secrets or any(len(secret) < MIN_SECRET for secret in secrets):
            msg = f"each secret of feedback links needs {MIN_SECRET} characters or more: FILLRATE_WEB__FEEDBACK_SECRET"
            raise PermanentFailure(msg)
        self.base_url = base_url.rstrip("/")
        self.secrets = tuple(secrets)
        self._serializer = make_serializer(self.secrets, _SALT)

    def make_alert_url(self, rec_id: str, *, now: datetime, responder: str = "") -> str:
        """Make the URL to answer an alert."""
        return self.build_url(self.sign(Link("alert", rec_id, responder=responder), expires=now + LIFETIME))

    def make_missed_url(self, warehouse: str, *, now: datetime, responder: str = "") -> str:
        """Make the URL to report problems of a warehouse that no alert was sent for."""
        return self.build_url(self.sign(Link("missed", warehouse, responder=responder), expires=now + LIFETIME))

    def make_audit_url(self, warehouse: str, week: str, *, now: datetime, responder: str = "") -> str:
        """Make the URL of the sample of a warehouse's units that were silent in an ISO week such as 2026-W11."""
        return self.build_url(self.sign(Link("audit", warehouse, week, responder), expires=now + AUDIT_LIFETIME))

    def make_chart_url(self, unit_id: str, snapshot_ts: datetime) -> str:
        """Make the URL of a unit in the control room at a tick; who may see it is not decided by this link."""
        return f"{self.base_url}/floor/{quote(unit_id)}?at={snapshot_ts.astimezone(UTC):%Y-%m-%dT%H:%MZ}"

    def build_url(self, token: str) -> str:
        """Return the URL under which the service answers a token."""
        return f"{self.base_url}/f/{token}"

    def sign(self, link: Link, *, expires: datetime) -> str:
        """Sign a link: some 110 characters that a URL takes as they are."""
        return self._serializer.dumps([link.kind, link.about, int(expires.timestamp()), link.week, link.responder])

    def read(self, token: str, *, now: datetime) -> Link:
        """Read the link of a token.

        Raises:
            ForgedLinkError: it was not signed with one of the secrets, or altered in any character.
            ExpiredLinkError: its time is over.

        """
        # Base64 leaves bits of its last character unused: without this, a signature would have several spellings.
        signature = token.rpartition(".")[2]
        try:
            if len(token) > MAX_TOKEN or base64_encode(base64_decode(signature)) != signature.encode():
                raise ForgedLinkError
            kind, about, expires, week, responder = self._serializer.loads(token)
        except (BadData, UnicodeError) as error:
            raise ForgedLinkError from error
        if now >= datetime.fromtimestamp(expires, UTC):
            raise ExpiredLinkError
        return Link(kind, about, week, responder)


@lru_cache(maxsize=8)
def make_signer(url: str, secret: str) -> LinkSigner | None:
    """Return what signs and reads links, or None where there is no service to lead to or nothing to sign with.

    Args:
        url: where the floor reaches the service.
        secret: one or several, separated by blanks, of which the first signs; each may be `secret://name#key`, which
            may hold several itself.

    Raises:
        SourceUnavailable: Secrets Manager did not answer.
        PermanentFailure: there is no such secret, access is denied, or what it holds is too short.

    """
    found = [part for named in secret.split() for part in stored_secrets.reveal(named).split()]
    return LinkSigner(url, found) if url and found else None
