"""What keeps others out: security headers, a limit on bodies, and proof that a form came from our own page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from secrets import token_urlsafe
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from itsdangerous import Signer
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY: Final = 16 * 1024
"""Bytes of a form; the longest that can be taken has some 12,000, as each letter of a note may take 12."""

MAX_FIELDS: Final = 10
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # Other sites learn nothing; under no-referrer, browsers would send no Origin with a form either.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
}
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
_FORM: Final = "application/x-www-form-urlencoded"
_VISIT: Final = re.compile(r"[A-Za-z0-9_-]{22}")


class SecurityHeaders:
    """Puts the headers on every answer, whoever makes it."""

    def __init__(self, app: ASGIApp) -> None:
        """Around an app."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


class Guard:
    """A form carries a word that only our page of that link, in that browser, was given."""

    def __init__(self, base_url: str, secrets: Sequence[str]) -> None:
        """For the pages below a URL."""
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

    def visit(self, request: Request) -> str | None:
        """What the browser was given to be known by, if it was."""
        found = request.cookies.get(self.cookie, "")
        return found if _VISIT.fullmatch(found) else None

    @staticmethod
    def new_visit() -> str:
        """Something that a browser is known by from now on."""
        return token_urlsafe(16)

    def word(self, token: str, visit: str) -> str:
        """What a form of a link carries in a browser."""
        return self._signer.get_signature(f"{token} {visit}").decode()

    def check(self, request: Request, token: str, word: str) -> None:
        """Refuse what does not come from our own page in the same browser."""
        visit = self.visit(request)
        ours = request.headers.get("origin", "").lower() == self._origin.lower()
        if not ours or visit is None or not self._signer.verify_signature(f"{token} {visit}", word):
            raise HTTPException(403)


async def form(request: Request) -> Mapping[str, str]:
    """The fields of a form, each once; no more is read than a form may have."""
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
            max_num_fields=MAX_FIELDS,
        )
    except ValueError as error:
        raise HTTPException(400) from error
    if len(dict(fields)) < len(fields):
        raise HTTPException(400)
    return dict(fields)
