"""
Hand e-mails to a relay by SMTP: encrypted, authenticated, over connections that are kept open for a while.

A message is not DKIM-signed here: that is the relay's, which has the keys (MSG-13). What the relay says is kept as
codes alone, for its words repeat the address.
Source: RFC 5321 (4.2.1 replies, 4.5.3.2.6 what silence after the data means), RFC 3207, RFC 3463, RFC 4954, RFC 8314.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from datetime import timedelta
from typing import Final

import aiosmtplib
from aiosmtplib import SMTPResponse
from msgspec import Struct

from genkan.delivery.mail import Letter, Unwritable, letter
from genkan.delivery.providers import Failed, Handed, Parcel, Refused, Result, Tell, Unclear
from genkan.model import Channel, Message
from genkan.settings import BadSettings, Smtp

IDLE: Final = 30.0
"""Seconds for which a connection is kept that nobody uses; relays close them after a minute or more."""

GREY: Final = timedelta(seconds=30)
"""How long to wait where a relay says "not now" of one address: most who do so want to see it come back."""

PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}

_NOBODY: Final = frozenset({"5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1", "5.2.2", "5.4.4"})
"""Enhanced codes of RFC 3463 that are about the mailbox itself."""

_NOBODY_PLAIN: Final = frozenset({550, 551, 552, 553})
"""The same of a relay without enhanced codes."""

_DOT: Final = re.compile(rb"(?m)^\.")


class _No(Exception):
    """The conversation ends here; this is what became of the message."""

    def __init__(self, result: Result) -> None:
        self.result = result


class _Idle(Struct):
    """A connection that nobody uses."""

    client: aiosmtplib.SMTP
    since: float


class SmtpRelay:
    """One relay. A `Provider`."""

    channel: Final = Channel.EMAIL
    repeats: Final = False
    """A second copy has the same `Message-ID`, but not every mailbox hides it."""

    def __init__(self, name: str, settings: Smtp) -> None:
        """
        Read the certificates to trust.

        Raises: `BadSettings`.
        """
        self.name = name
        self.at_once = settings.connections
        self._settings = settings
        self._port = settings.port or PORTS[settings.security]
        try:
            self._tls = ssl.create_default_context(cafile=settings.ca_file)
        except (OSError, ssl.SSLError):
            raise BadSettings(
                f"The setting email.{name}.ca_file cannot be used: {settings.ca_file} holds no certificates."
            ) from None
        self._room = asyncio.Semaphore(settings.connections)
        self._idle: list[_Idle] = []

    def takes(self, message: Message) -> bool:
        return message.channel is Channel.EMAIL

    async def hand_over(self, parcel: Parcel) -> Result:
        """Hand over one message. A relay is never spoken to in clear, unless it is on this machine."""
        try:
            ready = letter(parcel.message, parcel.said, self._settings.sender, parcel.brand)
        except Unwritable as unwritable:
            return Refused(str(unwritable))
        talk = _Talk(self._settings.timeout, parcel.tell)
        client: aiosmtplib.SMTP | None = None
        try:
            async with asyncio.timeout(parcel.within), self._room:
                client = await self._connected(talk)
                result = await talk.send(client, ready)
        except _No as no:
            result = no.result
        except (aiosmtplib.SMTPException, OSError, ssl.SSLError, ValueError) as fault:
            why = _why(fault)
            parcel.tell(f"    {why}")
            result = Unclear(why) if talk.is_sent else Failed(why=why)
        finally:
            self._give_back(client, talk.is_clean)
        return result

    async def reach(self, within: float, tell: Tell) -> str:
        """Connect, encrypt and authenticate, and send nothing; why it cannot be done, or the empty text."""
        client: aiosmtplib.SMTP | None = None
        try:
            async with asyncio.timeout(within):
                client = await self._connected(_Talk(self._settings.timeout, tell))
        except (aiosmtplib.SMTPException, OSError, ssl.SSLError, ValueError) as fault:
            return _why(fault)
        finally:
            self._give_back(client, is_clean=True)
        return ""

    async def close(self) -> None:
        for idle in self._idle:
            idle.client.close()
        self._idle.clear()

    async def _connected(self, talk: _Talk) -> aiosmtplib.SMTP:
        """A connection on which a message may begin: one that is open and still answers, or a new one."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            idle = self._idle.pop()
            if idle.client.is_connected and now - idle.since < IDLE:
                try:
                    await talk.say(idle.client, "RSET")
                except (aiosmtplib.SMTPException, OSError, _No):
                    pass
                else:
                    return idle.client
            idle.client.close()
        settings = self._settings
        client = aiosmtplib.SMTP(
            hostname=settings.host,
            port=self._port,
            use_tls=settings.security == "tls",
            start_tls=False,
            tls_context=self._tls,
            local_hostname=settings.sender.rpartition("@")[2].rstrip(">"),
            timeout=settings.timeout,
        )
        try:
            talk.tell(f"… connecting to {settings.host}:{self._port} ({settings.security})")
            talk.heard(await client.connect())
            talk.heard(await client.ehlo())
            if settings.security == "starttls":
                talk.tell(">>> STARTTLS")
                talk.heard(await client.starttls())
                talk.heard(await client.ehlo())
            if settings.security != "none":
                talk.tell(f"… encrypted: {_cipher(client)}")
            if settings.password is not None:
                talk.tell(f">>> AUTH as {settings.username} (secret not shown)")
                talk.heard(await client.login(settings.username, settings.password.text))
        except BaseException:
            client.close()
            raise
        return client

    def _give_back(self, client: aiosmtplib.SMTP | None, is_clean: bool) -> None:
        """Keep a connection for the next message, if nothing is left open on it."""
        if client is None:
            return
        if is_clean and client.is_connected:
            self._idle.append(_Idle(client, asyncio.get_running_loop().time()))
        else:
            client.close()


class _Talk:
    """One message's part of a conversation, and how far it has come."""

    def __init__(self, timeout: float, tell: Tell) -> None:
        self._timeout = timeout
        self.tell = tell
        self.is_sent = False
        """The relay has all of the message, so that its silence may mean anything."""
        self.is_clean = False
        """The connection may serve another message."""

    def heard(self, response: SMTPResponse) -> SMTPResponse:
        for line in response.message.splitlines() or [""]:
            self.tell(f"<<< {response.code} {line}")
        return response

    async def say(self, client: aiosmtplib.SMTP, line: str) -> SMTPResponse:
        """
        One command and its reply.

        Raises: `_No` when the relay is about to close.
        """
        self.tell(f">>> {line}")
        reply = self.heard(
            await client.execute_command(*line.encode("ascii").split(b" "), timeout=self._timeout)
        )
        if reply.code == 421:
            raise _No(Failed(why=f"it closes the connection ({_codes(reply)})"))
        return reply

    async def send(self, client: aiosmtplib.SMTP, ready: Letter) -> Result:
        """The message itself, on a connection that is ready for one."""
        reply = await self.say(client, f"MAIL FROM:<{ready.sender}>")
        if reply.code // 100 != 2:
            self.is_clean = True
            return Failed(why=f"it does not take mail from this sender ({_codes(reply)})")
        reply = await self.say(client, f"RCPT TO:<{ready.to}>")
        if reply.code // 100 != 2:
            self.is_clean = True
            return _recipient(reply)
        reply = await self.say(client, "DATA")
        if reply.code != 354:
            self.is_clean = True
            return Failed(why=f"it does not take the data now ({_codes(reply)})", is_fault=False)
        protocol = client.protocol
        if protocol is None:
            raise aiosmtplib.SMTPServerDisconnected("Connection lost")
        self.tell(f">>> ({len(ready.body)} bytes)")
        self.is_sent = True
        protocol.write(_DOT.sub(b"..", ready.body) + b".\r\n")
        reply = self.heard(await protocol.read_response(timeout=self._timeout))
        self.is_clean = reply.code != 421
        if reply.code // 100 == 2:
            queued = re.search(r"queued as ([A-Za-z0-9._-]{1,40})", reply.message)
            return Handed(queued[1] if queued else "")
        if reply.code // 100 == 4:
            return Failed(why=f"it does not take the message now ({_codes(reply)})", is_fault=False)
        return Failed(why=f"it refuses the message ({_codes(reply)})", is_fault=False, for_good=True)


def _recipient(reply: SMTPResponse) -> Result:
    """What a relay means that does not take a recipient."""
    said = _codes(reply)
    if reply.code // 100 == 4:
        return Failed(why=f"not now, for this mailbox ({said})", wait=GREY, is_fault=False)
    enhanced = _enhanced(reply)
    if enhanced in _NOBODY or (not enhanced and reply.code in _NOBODY_PLAIN):
        return Refused(f"there is no such mailbox, or it takes nothing ({said})")
    # Not a fault of the relay: else whoever types odd addresses could close the way for everybody.
    return Failed(why=f"it does not relay to this address ({said})", is_fault=False, for_good=True)


def _enhanced(reply: SMTPResponse) -> str:
    found = re.match(r"[245]\.\d{1,3}\.\d{1,3}(?!\S)", reply.message)
    return found[0] if found else ""


def _codes(reply: SMTPResponse) -> str:
    return f"{reply.code} {_enhanced(reply)}".strip()


def _cipher(client: aiosmtplib.SMTP) -> str:
    cipher = client.get_transport_info("cipher")
    return f"{cipher[1]}, {cipher[0]}" if cipher else "no"


def _why(fault: BaseException) -> str:
    """What went wrong, from the types of the exceptions alone: their words may repeat what was sent."""
    cause: BaseException | None = fault
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not to be trusted: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return f"no encryption could be agreed on ({cause.reason})"
        if isinstance(cause, ConnectionRefusedError):
            return "it refuses connections"
        cause = cause.__cause__ or cause.__context__
    match fault:
        case aiosmtplib.SMTPAuthenticationError():
            return f"it does not know us: the name or password is wrong ({fault.code})"
        case aiosmtplib.SMTPConnectTimeoutError():
            return "it does not answer in time"
        case aiosmtplib.SMTPServerDisconnected():
            return "it closed the connection"
        case aiosmtplib.SMTPResponseException():
            return f"it does not let us in ({fault.code})"
        case TimeoutError():
            return "it does not answer in time"
        case aiosmtplib.SMTPConnectError():
            return "it cannot be reached"
        case aiosmtplib.SMTPException():
            return "it does not offer STARTTLS or the authentication we need"
        case _:
            return f"the conversation broke off ({type(fault).__name__})"
