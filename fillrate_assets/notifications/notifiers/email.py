"""Notifier by e-mail: a message as plain text, and as HTML if it has that, handed to an SMTP server.

The server takes the message for all recipients at once or refuses it; what becomes of it afterwards is not known here.
"""

from __future__ import annotations

import hashlib
import logging
import re
import smtplib
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, parseaddr
from functools import lru_cache
from threading import Event, Timer
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from fillrate_assets.aws import secrets
from fillrate_assets.core.errors import FillrateError, PermanentFailure, SourceUnavailable
from fillrate_assets.notifications import rendering
from fillrate_assets.notifications.notifiers.channel import (
    ChannelUnavailable,
    OutgoingMessage,
    find_address,
    redact_channel,
)

_LOG: Final = logging.getLogger("fillrate.notifiers")
_PORTS: Final = {"smtps": 465, "smtp+starttls": 587, "smtp": 25}
_SCHEME: Final = "mailto:"
_CLOSING: Final = 421
"""The server wants no message now."""

_BAD_CREDENTIALS: Final = {530, 534, 535, 538}
_PERMANENT: Final = 500
_ID: Final = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class SmtpServer:
    """The server that takes e-mail, and who it is from."""

    url: str = field(default="", repr=False)
    """`smtps://user:password@host`, `smtp+starttls://...`, `smtp://host` without a password, or
    `secret://name#key`."""

    sender: str = ""
    """An address, or `Name <address>`."""

    connect_seconds: float = 5
    whole_seconds: float = 30
    """Shorter than a lease. Servers let strangers wait for their greeting."""


def send(outgoing: OutgoingMessage, server: SmtpServer, addresses: Mapping[str, str]) -> None:
    """Send a message to its channel, once.

    Args:
        outgoing: the message.
        server: takes it.
        addresses: by channel name, `mailto:` and addresses separated by commas, or `secret://name#key`; the channel
            `mailto:ADDRESS` needs none.

    Raises:
        ChannelUnavailable: the server is not reached, does not answer in time, or takes no message now.
        SourceUnavailable: the server does not take this message now.
        PermanentFailure: the channel has no address, the settings are not complete, or the server refuses for good.

    """
    name = f"channel {redact_channel(outgoing.channel)}"
    recipients = _find_recipients(outgoing.channel, addresses)
    url = _parse_url(secrets.reveal(server.url))
    message = _build_email(outgoing, server.sender, recipients)
    # Raised without their causes, which may quote addresses.
    try:
        refused = _transmit(url, message, server)
    except TimeoutError:
        msg = f"{name} does not answer within {server.whole_seconds:g} s"
        raise ChannelUnavailable(msg) from None
    except smtplib.SMTPNotSupportedError:
        msg = f"{name}: its server offers neither what the scheme {url.scheme} nor what its user needs"
        raise PermanentFailure(msg) from None
    except smtplib.SMTPRecipientsRefused as error:
        raise _make_refusal(name, min(code for code, _ in error.recipients.values())) from None
    except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
        raise _make_refusal(name, error.smtp_code) from None
    except smtplib.SMTPResponseException as error:
        # Before a message was offered: what the server answers is about all of them.
        raise _make_refusal(name, error.smtp_code, closed=True) from None
    except (OSError, smtplib.SMTPException) as error:
        msg = f"{name} cannot be reached: {type(error).__name__}"
        raise ChannelUnavailable(msg) from None
    if refused:
        codes = ", ".join(str(code) for code in sorted({code for code, _ in refused.values()}))
        _LOG.error("%s: %d of %d recipients were refused with %s", name, len(refused), len(recipients), codes)


def _find_recipients(channel: str, addresses: Mapping[str, str]) -> list[str]:
    # The channel of one address is itself what is stored under the name of others.
    found = channel if channel.startswith(_SCHEME) else find_address(channel, addresses)
    recipients = [unquote(each).strip() for each in found.removeprefix(_SCHEME).split(",")]
    if not found.startswith(_SCHEME) or not all(map(is_address, recipients)):
        msg = f"channel {redact_channel(channel)}: what is stored under its name is not mailto: and addresses"
        raise PermanentFailure(msg)
    return recipients


def is_address(text: str) -> bool:
    """Return whether a text is one address and nothing else; `%` and `!` are routes to some old servers."""
    shape = r"[^\s@<>,;:\"()\[\]\\%!]+@[^\s@<>,;:\"()\\%!]+"
    return text.isprintable() and re.fullmatch(shape, text) is not None


def _parse_url(url: str) -> SplitResult:
    try:
        parsed = urlsplit(url)
        usable = parsed.scheme in _PORTS and bool(parsed.hostname) and parsed.port != 0
    except ValueError:
        usable = False
    if not usable:
        msg = (
            "channels of kind email need FILLRATE_NOTIFICATIONS__SMTP_URL:"
            " smtps://, smtp+starttls:// or smtp://, with user:password@host"
        )
        raise PermanentFailure(msg)
    if parsed.scheme == "smtp" and parsed.username:
        msg = "FILLRATE_NOTIFICATIONS__SMTP_URL would send its password in plain text: use smtps:// or smtp+starttls://"
        raise PermanentFailure(msg)
    return parsed


def _build_email(outgoing: OutgoingMessage, sender: str, recipients: Sequence[str]) -> EmailMessage:
    address = parseaddr(sender)[1]
    if not is_address(address) or not sender.isprintable():
        msg = "channels of kind email need FILLRATE_NOTIFICATIONS__EMAIL_FROM: an address, or Name <address>"
        raise PermanentFailure(msg)
    email = EmailMessage()
    email["Subject"] = " ".join(outgoing.message.subject.split())
    email["From"] = sender
    email["To"] = ", ".join(recipients)
    email["Date"] = formatdate(usegmt=True)
    # The same at every attempt: a message that comes twice is shown once.
    email["Message-ID"] = f"<{_fit_id(outgoing.message_id)}@{address.rpartition('@')[2]}>"
    # No one's out-of-office note answers it.
    email["Auto-Submitted"] = "auto-generated"
    if outgoing.message.unsubscribe_url:
        email["List-Unsubscribe"] = f"<{outgoing.message.unsubscribe_url}>"
        email["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    email.set_content(rendering.render_details(outgoing.message) or outgoing.message.subject, cte="quoted-printable")
    if outgoing.message.html:
        email.add_alternative(outgoing.message.html, subtype="html", cte="quoted-printable")
    for each in outgoing.attachments:
        maintype, _, subtype = each.media_type.partition("/")
        email.add_attachment(each.content, maintype=maintype, subtype=subtype, filename=each.name)
    return email


def _fit_id(message_id: str) -> str:
    if _ID.fullmatch(message_id):
        return message_id
    return hashlib.sha256(message_id.encode()).hexdigest()[:32]


def _make_refusal(name: str, code: int, *, closed: bool = False) -> FillrateError:
    """Make the error that an answer means, if it is no success; `closed` if it is about every message."""
    if code < _PERMANENT:
        msg = f"{name} answered {code}"
        return ChannelUnavailable(msg) if closed or code == _CLOSING else SourceUnavailable(msg)
    advice = "its user or password is not valid any more" if code in _BAD_CREDENTIALS else "it takes no such message"
    return PermanentFailure(f"{name} refused with {code}: {advice}")


# --- the dialogue with the server


class _Client(smtplib.SMTP):
    """A client over a socket that is connected already."""

    def __init__(self, host: str, connected: socket.socket) -> None:
        """Read the greeting."""
        self._connected = connected
        super().__init__(host, local_hostname=_name_this_host(connected))

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002 - smtplib's signature
        return self._connected


def _transmit(url: SplitResult, email: EmailMessage, server: SmtpServer) -> Mapping[str, tuple[int, bytes]]:
    """Hand an e-mail to a server; return the recipients that it refused, and why, if it took the others."""
    host = url.hostname or ""
    port = url.port or _PORTS[url.scheme]
    with (
        socket.create_connection((host, port), server.connect_seconds) as plain,
        # TLS takes the socket over: this one stays usable to end the dialogue.
        plain.dup() as handle,
        _limit(handle, server.whole_seconds),
    ):
        plain.settimeout(None)
        secure = _get_tls_context().wrap_socket(plain, server_hostname=host) if url.scheme == "smtps" else plain
        client = _Client(host, secure)
        try:
            if url.scheme == "smtp+starttls":
                client.starttls(context=_get_tls_context())
            if url.username:
                client.login(unquote(url.username), unquote(url.password or ""))
            refused = client.send_message(email)
            # It is taken: whatever the server says of the farewell changes nothing.
            with suppress(OSError, smtplib.SMTPException):
                client.quit()
        finally:
            client.close()
    return refused


@contextmanager
def _limit(connected: socket.socket, seconds: float) -> Iterator[None]:
    """Limit a dialogue to so long: a time-out would limit each wait by itself, and a server that drips never end."""
    over = Event()

    def end() -> None:
        over.set()
        with suppress(OSError):
            connected.shutdown(socket.SHUT_RDWR)

    timer = Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, smtplib.SMTPException):
        if over.is_set():
            raise TimeoutError from None
        raise
    finally:
        timer.cancel()


def _name_this_host(connected: socket.socket) -> str:
    """Name this host as a server takes it: by its full name, or its address; neither needs the network."""
    name = socket.gethostname()
    if "." in name:
        return name
    address = connected.getsockname()[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


@lru_cache(maxsize=1)
def _get_tls_context() -> ssl.SSLContext:
    """Return the one context of the process: to read all certificates takes long."""
    return ssl.create_default_context()
