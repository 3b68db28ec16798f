"""
Mail relays on real sockets: a whole one (aiosmtpd), and one that goes wrong at a chosen word.
"""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from pathlib import Path
from typing import Any

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from genkan.model import Secret
from genkan.settings import Smtp
from tests.delivery.sockets import listening

USER, PASSWORD = "genkan", "relay-secret-canary"


@dataclass
class Relay:
    """A relay and what it has taken."""

    port: int = 0
    ca_file: Path | None = None
    envelopes: list[Envelope] = field(default_factory=list)
    sessions: set[int] = field(default_factory=set)
    """One for each connection on which a message came."""
    answers: dict[str, str] = field(default_factory=dict)
    """What to say to a recipient, by address; to `DATA` by that word."""
    encrypted: list[bool] = field(default_factory=list)
    users: list[bytes | None] = field(default_factory=list)

    @property
    def letters(self) -> list[EmailMessage]:
        return [message_from_bytes(e.content or b"", policy=SMTP_POLICY) for e in self.envelopes]  # type: ignore[arg-type]

    def settings(self, **changes: Any) -> Smtp:
        """How Genkan is told of this relay."""
        settings: dict[str, Any] = {
            "host": "localhost",
            "port": self.port,
            "ca_file": self.ca_file,
            "username": USER,
            "password": Secret(PASSWORD),
            "sender": "Contoso <no-reply@contoso.example>",
            "timeout": 20,
        }
        return Smtp(**{**settings, **changes})

    # What aiosmtpd calls.

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.answers:
            return self.answers[address]
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if "DATA" in self.answers:
            return self.answers["DATA"]
        self.envelopes.append(envelope)
        self.sessions.add(id(session))
        self.encrypted.append(_is_encrypted(server, session))
        self.users.append(getattr(session.auth_data, "login", None))
        return f"250 2.0.0 Ok: queued as Q{len(self.envelopes)}"


def _is_encrypted(server: SMTP, session: Session) -> bool:
    return session.ssl is not None or (
        server.transport is not None and server.transport.get_extra_info("cipher") is not None
    )


def _authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    right = LoginPassword(USER.encode(), PASSWORD.encode())
    is_right = isinstance(data, LoginPassword) and data == right
    return AuthResult(success=is_right, handled=False, auth_data=data if is_right else None)


@asynccontextmanager
async def a_relay(
    folder: Path, security: str = "starttls", *, certificate_for: str = "localhost", with_auth: bool = True
) -> AsyncIterator[Relay]:
    """A whole relay, with a certificate of its own authority."""
    relay = Relay()
    context: ssl.SSLContext | None = None
    if security != "none":
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(certificate_for).configure_cert(context)
        relay.ca_file = folder / "relay-ca.pem"
        authority.cert_pem.write_to_path(relay.ca_file)
    loop = asyncio.get_running_loop()

    def protocol() -> SMTP:
        with warnings.catch_warnings():
            # It does not see that TLS from the first byte is TLS, and warns of authentication in clear.
            warnings.simplefilter("ignore", UserWarning)
            return made()

    def made() -> SMTP:
        return SMTP(
            relay,
            hostname="relay.example",
            loop=loop,
            tls_context=context if security == "starttls" else None,
            require_starttls=security == "starttls",
            auth_required=with_auth,
            auth_require_tls=security == "starttls",
            authenticator=_authenticate if with_auth else None,
        )

    server = await loop.create_server(protocol, "localhost", 0, ssl=context if security == "tls" else None)
    relay.port = server.sockets[0].getsockname()[1]
    for other in server.sockets[1:]:  # `localhost` may be two addresses, with a port each
        if other.getsockname()[1] != relay.port:
            other.close()
    try:
        yield relay
    finally:
        server.close()


@dataclass
class Script:
    """A relay that goes wrong at one word of the conversation."""

    at: str
    """`connect`, `EHLO`, `MAIL`, `RCPT`, `DATA` or `.`, the end of the data."""
    do: str
    """`close`, `silence`, or a reply."""
    port: int = 0
    taken: list[bytes] = field(default_factory=list)
    """Messages of which it had the end."""
    heard: list[str] = field(default_factory=list)
    connections: int = 0

    def settings(self, **changes: Any) -> Smtp:
        settings: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": self.port,
            "security": "none",
            "sender": "no-reply@contoso.example",
            "timeout": 1,
        }
        return Smtp(**{**settings, **changes})

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await self._say(writer, "connect", "220 relay.example ready")
        while line := (await reader.readline()).decode().strip():
            word = line.split()[0].upper()
            self.heard.append(line)
            if word == "DATA":
                if not await self._say(writer, "DATA", "354 go on"):
                    continue
                self.taken.append(await reader.readuntil(b"\r\n.\r\n"))
                await self._say(writer, ".", "250 2.0.0 Ok: queued as S1")
            else:
                await self._say(writer, word, "250 relay.example" if word == "EHLO" else "250 Ok")

    async def _say(self, writer: asyncio.StreamWriter, word: str, reply: str) -> bool:
        """Say it, unless this is where things go wrong; whether it was said as it should be."""
        goes_wrong = word == self.at
        if goes_wrong and self.do == "close":
            raise ConnectionAbortedError
        if goes_wrong and self.do == "silence":
            await asyncio.sleep(60)
        writer.write(f"{self.do if goes_wrong else reply}\r\n".encode())
        await writer.drain()
        return not goes_wrong


@asynccontextmanager
async def a_script(at: str, do: str) -> AsyncIterator[Script]:
    """A relay that goes wrong."""
    script = Script(at, do)
    async with listening(script.talk) as script.port:
        yield script


def lines(conversation: Sequence[str]) -> str:
    return "\n".join(conversation)
