"""The service as a process: what the settings describe, behind uvicorn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from fillrate_assets.aws import secrets as stored_secrets
from fillrate_assets.buffers.buffer_store import BufferStore
from fillrate_assets.buffers.notice_store import NoticeStore
from fillrate_assets.buffers.policy_store import PolicyStore
from fillrate_assets.buffers.report.control_room import ControlRoom
from fillrate_assets.core.errors import PermanentFailure
from fillrate_assets.fillrate.report.report_request import PlatformReports
from fillrate_assets.fillrate.sources.targets import read_targets
from fillrate_assets.notifications.signed_links import LinkSigner, make_signer
from fillrate_assets.settings import Settings
from fillrate_assets.storage import sql
from fillrate_assets.storage.action_log import ActionLog
from fillrate_assets.storage.database import Database
from fillrate_assets.storage.lake import Lake
from fillrate_assets.web.access import Person
from fillrate_assets.web.actions import Actions
from fillrate_assets.web.app import build_app
from fillrate_assets.web.authentication import Authenticator, ProxyHeaders, SessionSigner
from fillrate_assets.web.buyers import app as buyers
from fillrate_assets.web.buyers.sending import ViewSender
from fillrate_assets.web.buyers.view_pages import ViewPages
from fillrate_assets.web.buyers.visits import Desk
from fillrate_assets.web.connections import BoundedProtocol
from fillrate_assets.web.control_room import app as control_room
from fillrate_assets.web.operations import app as operations
from fillrate_assets.web.operations.sections import READ_SECONDS
from fillrate_assets.web.operations.systems import Systems
from fillrate_assets.web.sign_in import CompanySignIn, Provider
from fillrate_assets.web.signed_in import OPERATIONS

MAX_HEAD: Final = 16 * 1024
"""Bytes of a request before its body."""

STOPPING_SECONDS: Final = 5
"""How long requests that are under way may take once the process is to end."""

_MOST_STALE_SECONDS: Final = 30
"""How long the buyers' pages may show what was published before; many people open the same page in the morning."""

LOCKED_SECONDS: Final = 10
"""How long an answer waits for a locked SQLite file; a person waits for it."""


def build_server(pages: ASGIApp, host: str, port: int) -> uvicorn.Server:
    """Build what serves the pages; it speaks plain HTTP, a proxy in front of it speaks TLS."""
    return uvicorn.Server(
        uvicorn.Config(
            pages,
            host=host,
            port=port,
            http=BoundedProtocol,
            # Who connects is who is trusted, or not: whatever a header says of whom it speaks for.
            proxy_headers=False,
            h11_max_incomplete_event_size=MAX_HEAD,
            ws="none",
            lifespan="off",
            timeout_graceful_shutdown=STOPPING_SECONDS,
            # A reader of such a log could answer: a link is all that it takes.
            access_log=False,
            server_header=False,
            log_config=None,
        )
    )


def require_signer(settings: Settings) -> LinkSigner:
    """Return what signs and reads the links.

    Raises:
        PermanentFailure: there is no URL or no secret, or a secret is too short.
        SourceUnavailable: AWS Secrets Manager did not answer.

    """
    links = make_signer(settings.web.feedback_url, settings.web.feedback_secret.get_secret_value())
    if links is None:
        msg = (
            "the feedback service needs FILLRATE_WEB__FEEDBACK_URL, where the floor reaches it, and"
            " FILLRATE_WEB__FEEDBACK_SECRET, which signs its links"
        )
        raise PermanentFailure(msg)
    return links


def serve(
    settings: Settings,
    host: str,
    port: int,
    show: Callable[[str], None],
    make_systems: Callable[[Settings, Database], Systems],
) -> None:
    """Serve until the process is stopped; requests that are under way are answered first.

    Args:
        settings: where answers are stored, what signs the links, and how people are identified.
        host: address to listen at.
        port: port to listen at.
        show: gets the link that signs in, where nothing but this machine is listened to.
        make_systems: makes what operations shows, of settings and the record store.

    Raises:
        PermanentFailure: there is no URL or no secret, or a secret is too short.
        SourceUnavailable: AWS Secrets Manager did not answer.

    """
    links, stored = require_signer(settings), Database.from_settings(settings)
    database = replace(stored, url=sql.limit_sqlite_wait(stored.url, LOCKED_SECONDS))
    policies, alerts, answers = PolicyStore(database), NoticeStore(database), BufferStore(database)
    sessions = SessionSigner(links.secrets, _get_now)
    actions = Actions(links.base_url, links.secrets, ActionLog(database), _get_now)
    sender = make_view_sender(settings)
    views = ViewPages(sender, actions, ActionLog(database), settings.web.subscription_time_zone)
    sign_in = _make_sign_in(settings, links, sessions)
    ways = [*_list_proxies(settings), sign_in or sessions]
    room = ControlRoom(
        answers, alerts, Lake(settings.storage.lake_root), policy=lambda: policies.read_active().champion
    )
    # What a page gives up waiting for is not to work on behind it.
    systems = make_systems(settings, replace(database, statement_seconds=READ_SECONDS))
    pages = build_app(
        alerts=alerts,
        answers=answers,
        links=links,
        policy_version=lambda: room.policy().version,
        allowed_hosts=settings.web.allowed_hosts,
        routes=[
            *buyers.build_routes(sender.desk, ways, links.secrets, views),
            *control_room.build_routes(room, sessions, ways, actions, base_url=links.base_url, landing=buyers.FRONT),
            *operations.build_routes(systems, ways, actions, base_url=links.base_url),
            *(sign_in.build_routes() if sign_in else ()),
        ],
    )
    if is_loopback(host):
        token = sessions.sign(Person.with_grants("", ["operator"]))
        show(f"The pages of buyers, for a day: {links.base_url}/enter/{token}")
        show(f"Once that was opened, the control room: {links.base_url}/floor")
        show(f"and operations: {links.base_url}{OPERATIONS}")
    build_server(pages, host, port).run()


def make_view_sender(settings: Settings) -> ViewSender:
    """Make what sends saved views.

    Raises:
        PermanentFailure: there is no URL or no secret for the links in messages, or a secret is too short.
        SourceUnavailable: AWS Secrets Manager did not answer.

    """
    links = require_signer(settings)
    return ViewSender.from_settings(settings, _make_desk(settings, links.base_url), links)


def _make_desk(settings: Settings, base_url: str) -> Desk:
    """Make what the buyers' pages are made of; targets are read anew for each page."""
    file = settings.web.targets_file
    return Desk(
        settings,
        PlatformReports.from_settings(settings, _MOST_STALE_SECONDS),
        base_url,
        _get_now,
        lambda: None if file is None else read_targets(file),
    )


def _get_now() -> datetime:
    return datetime.now(UTC)


def _list_proxies(settings: Settings) -> list[Authenticator]:
    web = settings.web
    if not web.proxy_user_header:
        return []
    return [ProxyHeaders(web.proxy_user_header, web.proxy_groups_header, web.proxy_networks, web.grants)]


def _make_sign_in(settings: Settings, links: LinkSigner, sessions: SessionSigner) -> CompanySignIn | None:
    web = settings.web
    if not web.oidc_issuer:
        return None
    provider = Provider(
        issuer=web.oidc_issuer,
        client_id=web.oidc_client_id,
        client_secret=stored_secrets.reveal(web.oidc_client_secret.get_secret_value()),
        user_claim=web.oidc_user_claim,
        groups_claim=web.oidc_groups_claim,
        grants=web.grants,
    )
    return CompanySignIn(provider, sessions, base_url=links.base_url, secret=links.secrets[0])


def is_loopback(host: str) -> bool:
    """Return whether nothing but this machine reaches an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
