"""The signer of feedback links as the settings describe it: what makes links and what reads them share it."""

from __future__ import annotations

from functools import lru_cache

from fillrate_assets.aws import secrets
from fillrate_assets.notifications.signed_links import LinkSigner


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
    found = [part for named in secret.split() for part in secrets.reveal(named).split()]
    return LinkSigner(url, found) if url and found else None
