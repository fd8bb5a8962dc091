"""CSRF protection: a bounded body, and proof that a form came from our own page in the same browser."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from secrets import token_urlsafe
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from itsdangerous import Signer
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

MAX_BODY: Final = 16 * 1024
"""Bytes of a form; the longest that can be taken has some 12,000, as each letter of a note may take 12."""

MAX_FIELDS: Final = 10
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
_FORM: Final = "application/x-www-form-urlencoded"
_COOKIE_MAX_AGE_SECONDS: Final = 180 * 24 * 3600
_VISIT: Final = re.compile(r"[A-Za-z0-9_-]{22}")


class CsrfGuard:
    """CSRF tokens: a form carries one that only our page of that link, in that browser, got."""

    def __init__(self, base_url: str, secrets: Sequence[str]) -> None:
        """Guard the pages below a URL."""
        parts = urlsplit(base_url)
        # A browser never says the default port.
        host = parts.netloc.removesuffix(_DEFAULT_PORTS[parts.scheme])
        self._origin = f"{parts.scheme}://{host}"
        self.secure = parts.scheme == "https"
        # A browser takes a cookie of this prefix from this very host alone.
        self.cookie = "__Host-visit" if self.secure else "visit"
        self._signer = Signer(
            list(secrets[::-1]), salt="fillrate.feedback.form", key_derivation="hmac", digest_method=sha256
        )

    def read_visit(self, request: Request) -> str | None:
        """Return the identifier of the browser, if it has one."""
        found = request.cookies.get(self.cookie, "")
        return found if _VISIT.fullmatch(found) else None

    @staticmethod
    def create_visit() -> str:
        """Return an identifier for a browser that has none."""
        return token_urlsafe(16)

    def set_cookie(self, response: Response, name: str, value: str) -> Response:
        """Have a browser hold a value for later forms: its identifier, or the name that was typed in it."""
        age = _COOKIE_MAX_AGE_SECONDS
        response.set_cookie(name, value, max_age=age, secure=self.secure, httponly=True, samesite="lax")
        return response

    def sign(self, token: str, visit: str) -> str:
        """Return the token of a link's form in a browser."""
        return self._signer.get_signature(f"{token} {visit}").decode()

    def check(self, request: Request, token: str, signature: str) -> None:
        """Refuse what does not come from our own page in the same browser."""
        visit = self.read_visit(request)
        ours = request.headers.get("origin", "").lower() == self._origin.lower()
        if not ours or visit is None or not self._signer.verify_signature(f"{token} {visit}", signature):
            raise HTTPException(403)


async def read_form(request: Request, max_fields: int = MAX_FIELDS) -> Mapping[str, str]:
    """Return the fields of a form, each once; read no more than a form may have."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise HTTPException(415)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise HTTPException(413)
    try:
        fields = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=max_fields,
        )
    except ValueError as error:
        raise HTTPException(400) from error
    if len(dict(fields)) < len(fields):
        raise HTTPException(400)
    return dict(fields)
