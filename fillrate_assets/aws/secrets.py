"""Credentials in AWS Secrets Manager, fetched when a connection is about to be made.

`secret://name#key` in place of a database URL is the whole URL; `{secret://name#key}` in place of its password is the
password. `name` is the secret's name or ARN and `key` one of its JSON's keys; without `#key` the secret is plain text.
Other settings that are secrets take `secret://name#key` in their place.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from fillrate_assets.aws import client
from fillrate_assets.core import database_url
from fillrate_assets.core.errors import PermanentFailure

if TYPE_CHECKING:
    import sqlalchemy as sa

SCHEME: Final = "secret://"
_IN_ITS_PLACE: Final = re.compile(r"\{(secret://[^{}]+)\}")


def resolve_url(url: str) -> sa.URL:
    """Resolve the secret of a database URL; a URL without one is returned as it is.

    Raises:
        SourceUnavailable: Secrets Manager did not answer, or throttled the call.
        PermanentFailure: there is no such secret or key, access is denied, or the secret is no URL.

    """
    import sqlalchemy as sa  # noqa: PLC0415 - functions of Lambda, which reveal secrets only, do not have it

    if url.startswith(SCHEME):
        held = _fetch_value(url)
        try:
            parsed = sa.make_url(held)
        except (sa.exc.ArgumentError, ValueError):
            parsed = None
        if parsed is None or not database_url.is_clear(held):
            # Without a cause, which may quote what the secret holds.
            msg = f"{url} holds no database URL: {database_url.EXPECTED}"
            raise PermanentFailure(msg)
        return parsed
    parsed = sa.make_url(url)
    password = _IN_ITS_PLACE.fullmatch(str(parsed.password or ""))
    return parsed.set(password=_fetch_value(password[1])) if password else parsed


def reveal(setting: str) -> str:
    """Reveal the secret that a setting names; a setting that names none is returned as it is.

    Raises:
        SourceUnavailable: Secrets Manager did not answer, or throttled the call.
        PermanentFailure: there is no such secret or key, or access is denied.

    """
    return _fetch_value(setting) if setting.startswith(SCHEME) else setting


@lru_cache(maxsize=64)
def _fetch_value(reference: str) -> str:
    """Fetch what a secret holds, once per process."""
    name, _, key = reference.removeprefix(SCHEME).partition("#")
    with client.translate_errors(reference):
        held = client.get_client("secretsmanager").get_secret_value(SecretId=name).get("SecretString")
    if held is None:
        msg = f"{reference} is binary; a credential is text or JSON"
        raise PermanentFailure(msg)
    if not key:
        return str(held)
    try:
        value = json.loads(held)[key]
    except (ValueError, TypeError, KeyError):
        msg = f"{reference}: the secret has no key {key!r}; it must be a JSON object with that key"
        raise PermanentFailure(msg) from None
    return str(value)
