"""Sign-in by OpenID Connect: the company's provider says who someone is, and which groups they are a member of.

Authlib does the flow: authorization code with PKCE, state and nonce, and a signed ID token. Tokens are read once and
stored nowhere: what lasts is our own session.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

import httpx2
from authlib.integrations.starlette_client import OAuth, OAuthError
from joserfc.errors import JoseError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.web.access import Grant, Person
from fillrate_assets.web.authentication import COOKIE, SessionSigner
from fillrate_assets.web.rendering import make_templates
from fillrate_assets.web.signed_in import Pages

SIGN_IN: Final = "/sign-in"
SIGN_OUT: Final = "/sign-out"
CALLBACK: Final = f"{SIGN_IN}/callback"
"""Where the provider sends people back to: the redirect URI that is registered there."""

_LOG: Final = logging.getLogger("fillrate.sign_in")
_METADATA: Final = "/.well-known/openid-configuration"
_COOKIE: Final = "fillrate_sign_in"
_LIFETIME_SECONDS: Final = 600
"""How long someone may take at the provider."""

_ANSWER_SECONDS: Final = 10
_PROBLEMS: Final = {
    403: (
        "You are not signed in",
        "Your company's sign-in did not say who you are, or none of your groups may see anything here.",
    ),
    503: ("Not now", "Your company's sign-in does not answer. Try again in a minute."),
}


@dataclass(frozen=True)
class Provider:
    """An OpenID Connect provider, and what its ID tokens say."""

    issuer: str
    """As its ID tokens name it; its metadata is below it."""

    client_id: str
    client_secret: str
    user_claim: str
    """Names who someone is."""

    groups_claim: str
    """Lists their groups; in the ID token, or else in what the provider says of the user."""

    grants: Mapping[str, Sequence[str]]
    """What the members of a group may see, as `Grant.parse` takes it."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            PermanentFailure: the issuer is not reached by TLS, there is no client, or a grant is not readable.

        """
        url = urlsplit(self.issuer)
        if url.scheme != "https" and url.hostname not in {"127.0.0.1", "::1", "localhost"}:
            msg = f"FILLRATE_WEB__OIDC_ISSUER has to begin with https://: {self.issuer}"
            raise PermanentFailure(msg)
        if not (self.client_id and self.client_secret):
            msg = "FILLRATE_WEB__OIDC_ISSUER needs FILLRATE_WEB__OIDC_CLIENT_ID and FILLRATE_WEB__OIDC_CLIENT_SECRET"
            raise PermanentFailure(msg)
        _ = [Grant.parse(text) for texts in self.grants.values() for text in texts]

    def find_person(self, claims: Mapping[str, Any]) -> Person | None:
        """Return who the claims are of; None where they name no one, or no address that was verified."""
        name, groups = claims.get(self.user_claim), claims.get(self.groups_claim, [])
        if not isinstance(name, str) or not name.strip():
            return None
        if self.user_claim == "email" and claims.get("email_verified", True) is not True:
            return None
        named = [groups] if isinstance(groups, str) else groups
        known = [each for each in named if isinstance(each, str)] if isinstance(named, list) else []
        return Person.with_grants(name.strip(), [text for group in known for text in self.grants.get(group, ())])


class CompanySignIn:
    """The pages that sign people in by a provider, and the session that they open."""

    def __init__(self, provider: Provider, sessions: SessionSigner, *, base_url: str, secret: str) -> None:
        """Sign in by a provider.

        Args:
            provider: says who someone is.
            sessions: signs the session.
            base_url: where the service is reached.
            secret: signs what a browser has to bring back from the provider.

        """
        self._provider, self._sessions, self._base_url, self._secret = provider, sessions, base_url, secret
        self._pages = Pages(make_templates("fillrate_assets.web", {"base": base_url}), _LOG, _PROBLEMS)
        self._client = OAuth().register(
            "company",
            client_id=provider.client_id,
            client_secret=provider.client_secret,
            server_metadata_url=provider.issuer.rstrip("/") + _METADATA,
            client_kwargs={
                "scope": "openid profile email",
                "code_challenge_method": "S256",
                "timeout": _ANSWER_SECONDS,
            },
        )

    def identify(self, connection: HTTPConnection) -> Person | None:
        """Return who has signed in."""
        return self._sessions.identify(connection)

    def redirect(self, request: Request) -> Response:
        """Send someone who is not signed in to sign in, and afterwards back to where they were."""
        there = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"{self._base_url}{SIGN_IN}?next={quote(there)}", status_code=303)

    def build_routes(self) -> list[BaseRoute]:
        """Build the routes `/sign-in` and `/sign-out`."""
        carried = Middleware(
            SessionMiddleware,
            secret_key=self._secret,
            session_cookie=_COOKIE,
            max_age=_LIFETIME_SECONDS,
            path=SIGN_IN,
            https_only=self._base_url.startswith("https:"),
        )
        app = Starlette(
            routes=[Route(SIGN_IN, self._begin), Route(CALLBACK, self._finish)],
            middleware=[carried],
            exception_handlers={HTTPException: self._pages.show_problem},
        )
        app.router.redirect_slashes = False
        return [Route(SIGN_IN, app), Route(CALLBACK, app), Route(SIGN_OUT, self._sign_out)]

    async def _begin(self, request: Request) -> Response:
        request.session["next"] = request.query_params.get("next", "")
        try:
            redirected: Response = await self._client.authorize_redirect(request, f"{self._base_url}{CALLBACK}")
        except (httpx2.HTTPError, OAuthError, RuntimeError, ValueError) as error:
            raise self._fail(503, error) from error
        return redirected

    async def _finish(self, request: Request) -> Response:
        try:
            claims = await self._read_claims(request)
        except httpx2.HTTPError as error:
            raise self._fail(503, error) from error
        except (OAuthError, JoseError, RuntimeError, ValueError) as error:
            raise self._fail(403, error) from error
        person = self._provider.find_person(claims)
        if person is None or not person.grants:
            raise self._fail(403, "no name, or no group with a grant")
        response = RedirectResponse(f"{self._base_url}{_find_path(request.session.pop('next', ''))}", status_code=303)
        secure = self._base_url.startswith("https:")
        self._sessions.set_cookie(response, self._sessions.sign(person), secure=secure)
        _LOG.info("%s signed in", person.name)
        return response

    async def _read_claims(self, request: Request) -> Mapping[str, Any]:
        """Read what the provider says: the ID token is checked, its issuer and audience included."""
        expected = {"iss": self._provider.issuer, "aud": self._provider.client_id}
        options = {name: {"essential": True, "values": [value]} for name, value in expected.items()}
        token = await self._client.authorize_access_token(request, claims_options=options)
        claims: dict[str, Any] = dict(token.get("userinfo") or {})
        if claims and self._provider.groups_claim not in claims:
            more = await self._client.userinfo(token=token)
            # As OpenID Connect requires: an answer about another user is none.
            claims = {**more, **claims} if more.get("sub") == claims["sub"] else claims
        return claims

    def _sign_out(self, _request: Request) -> Response:
        text = "This browser shows nothing more until someone signs in again."
        response = self._pages.render("problem.html", {"title": "Signed out", "text": text})
        response.delete_cookie(COOKIE)
        return response

    @staticmethod
    def _fail(status: int, error: object) -> HTTPException:
        _LOG.warning("sign-in failed: %s", error)
        return HTTPException(status)


def _find_path(given: str) -> str:
    """Return a path of our own; the first page in place of whatever else a link says."""
    url = urlsplit(given)
    own = given.startswith("/") and not given.startswith(("//", "/\\")) and not url.netloc and given.isprintable()
    return given if own else "/"
