"""Who someone is: by a proxy that authenticates, a sign-in, or a link that was signed on this machine; else no one.

What they may see belongs to `access`, the sign-in by OpenID Connect to `sign_in`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Final, Protocol, runtime_checkable

from itsdangerous import BadData
from starlette.authentication import AuthCredentials, AuthenticationBackend
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.notifications.signed_links import make_serializer
from fillrate_assets.web.access import Grant, Person

LIFETIME: Final = timedelta(days=1)
"""Of a link, and of the session that it opens."""

COOKIE: Final = "fillrate_session"
SIGNED_IN: Final = "signed_in"
_SALT: Final = "fillrate.session"


class Authenticator(Protocol):
    """One way to find out who sends a request."""

    def identify(self, connection: HTTPConnection) -> Person | None:
        """Return who it is; None where this way does not say."""


@runtime_checkable
class SignIn(Authenticator, Protocol):
    """A way that can send someone who is not signed in to sign in."""

    def redirect(self, request: Request) -> Response:
        """Send them there, and afterwards back to what they requested."""


class SessionSigner:
    """Sessions in a cookie: name, roles and end, signed. The links that open them are made on the server's machine."""

    def __init__(self, secrets: Sequence[str], clock: Callable[[], datetime]) -> None:
        """Sign with the first of some secrets; accept all."""
        self._serializer, self._clock = make_serializer(secrets, _SALT), clock

    def sign(self, person: Person) -> str:
        """Sign a session that begins now."""
        grants = sorted(grant.format() for grant in person.grants)
        return self._serializer.dumps([person.name, grants, int((self._clock() + LIFETIME).timestamp())])

    def read(self, token: str) -> Person | None:
        """Read a session; None of one that is over, or that is not ours."""
        try:
            name, grants, ends = self._serializer.loads(token)
        except BadData:
            return None
        return Person.with_grants(name, grants) if self._clock() < datetime.fromtimestamp(ends, UTC) else None

    @staticmethod
    def set_cookie(response: Response, token: str, *, secure: bool) -> None:
        """Open a session that was signed in the browser that gets a response."""
        age = int(LIFETIME.total_seconds())
        response.set_cookie(COOKIE, token, max_age=age, secure=secure, httponly=True, samesite="lax")

    def identify(self, connection: HTTPConnection) -> Person | None:
        """Return who the session in the cookie is of."""
        token = connection.cookies.get(COOKIE)
        return self.read(token) if token else None


@dataclass(frozen=True)
class ProxyHeaders:
    """What a proxy that authenticates says in headers; of any other sender they say nothing."""

    user_header: str
    groups_header: str
    networks: Sequence[str]
    """Addresses of proxies, as `10.0.0.0/8`."""

    grants: Mapping[str, Sequence[str]]
    """What the members of a group may see, as `Grant.parse` takes it."""

    def __post_init__(self) -> None:
        """Refuse what would let in everyone, or no one.

        Raises:
            PermanentFailure: no network is named, one is not readable, or a grant is not.

        """
        if not self.networks:
            msg = "FILLRATE_WEB__PROXY_NETWORKS has to name the addresses of the proxy: its headers are believed"
            raise PermanentFailure(msg)
        try:
            _ = [ip_network(each) for each in self.networks]
        except ValueError as error:
            msg = f"FILLRATE_WEB__PROXY_NETWORKS: {error}"
            raise PermanentFailure(msg) from error
        _ = [Grant.parse(text) for texts in self.grants.values() for text in texts]

    def identify(self, connection: HTTPConnection) -> Person | None:
        """Return who a trusted proxy says it is; groups are separated by commas."""
        if connection.client is None or not self._trusts(connection.client.host):
            return None
        # A second header of one name may be the visitor's own.
        users, groups = (connection.headers.getlist(name) for name in (self.user_header, self.groups_header))
        if len(users) != 1 or len(groups) > 1 or not users[0].strip():
            return None
        member = [each.strip() for each in (groups[0] if groups else "").split(",")]
        return Person.with_grants(users[0].strip(), [text for group in member for text in self.grants.get(group, ())])

    def _trusts(self, host: str) -> bool:
        try:
            address = ip_address(host)
        except ValueError:
            return False
        return any(address in ip_network(each) for each in self.networks)


class Authentication(AuthenticationBackend):
    """Starlette's backend over our ways, in order."""

    def __init__(self, ways: Sequence[Authenticator]) -> None:
        """Try each of some ways."""
        self._ways = ways

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, Person] | None:
        """Return who sends a request, if any of the ways says so."""
        for way in self._ways:
            if (person := way.identify(conn)) is not None:
                return AuthCredentials([SIGNED_IN]), person
        return None
