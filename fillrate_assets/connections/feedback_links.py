"""The signer of feedback links as the settings describe it: what makes links and what reads them share it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import lru_cache

from fillrate_assets.buffers.links import LinkSigner
from fillrate_assets.connections import secrets
from fillrate_assets.errors import PermanentFailure


@lru_cache(maxsize=8)
def signer(url: str, secret: str) -> LinkSigner | None:
    """What signs links, or None where there is no service to lead to or nothing to sign with.

    Args:
        url: where the floor reaches the service.
        secret: one or several, separated by blanks, of which the first signs; each may be `secret://name#key`, which
            may hold several itself.

    Raises:
        SourceUnavailable: Secrets Manager did not answer.
        PermanentFailure: there is no such secret, access is denied, or what it holds is too short.

    """
    found = [part for named in secret.split() for part in secrets.revealed(named).split()]
    return LinkSigner(url, found) if url and found else None


def of_alerts(url: str, secret: str) -> Callable[[str, datetime], str] | None:
    """What makes the link to answer an alert, of its rec_id and the time of sending; None where there are no links.

    A secret is fetched with the first link: nothing is asked for while definitions load.
    """
    if not url or not secret.strip():
        return None

    def link(rec_id: str, now: datetime) -> str:
        made = signer(url, secret)
        if made is None:
            msg = "FILLRATE_FEEDBACK_SECRET names a secret that is empty"
            raise PermanentFailure(msg)
        return made.alert(rec_id, now=now)

    return link
