"""
Find what keeps messages from arriving: reach every relay, look up what mailboxes look up, send a test message.

Sends nothing unless it is told to whom. Secrets are in nothing that it says.
Source: MSG-13; RFC 7208 (SPF), RFC 7489 (DMARC), RFC 6376 (DKIM).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal
from uuid import uuid4

from msgspec import Struct

from genkan import identifiers
from genkan.delivery.dispatch import build
from genkan.delivery.messages import Rendered
from genkan.delivery.providers import Handed, Parcel, Provider, Unclear
from genkan.delivery.smtp import SmtpRelay
from genkan.model import Brand, Channel, Message
from genkan.settings import BadSettings, Settings, Smtp

if TYPE_CHECKING:
    from dns.resolver import Resolver

WITHIN: Final = 30.0
"""Seconds for one provider."""

CHANNELS: Final = {Channel.EMAIL: "E-mail", Channel.SMS: "Text messages"}


class Finding(Struct, frozen=True):
    """One line of what was found."""

    kind: Literal["title", "good", "bad", "note", "heard"]
    text: str


Say = Callable[[Finding], None]


async def examine(
    settings: Settings, clock: Callable[[], datetime], say: Say, *, resolver: Resolver | None = None
) -> bool:
    """
    Look at every provider and at the domains that mail comes from; True when all is well.

    Raises: `BadSettings`.
    """
    ways = build(settings, clock)
    is_well = True
    for channel, title in CHANNELS.items():
        say(Finding("title", title))
        own = [way for way in ways if way.channel is channel]
        if not own:
            say(Finding("bad", f"no provider is set: nobody gets {title.lower()}"))
            is_well = False
        for way in own:
            is_well &= await _reached(way, say)
    for domain, relays in _domains(settings):
        say(Finding("title", f"What mailboxes ask of {domain}"))
        is_well &= await asyncio.to_thread(_records, domain, relays, say, resolver)
    for way in ways:
        await way.close()
    return is_well


async def send_test(
    settings: Settings, clock: Callable[[], datetime], to: str, only: str | None, say: Say
) -> bool:
    """
    Send a test message by each provider that takes it, or by one of them; show each conversation.

    Raises: `BadSettings` where it cannot be tried at all.
    """
    found = identifiers.email(to) if "@" in to else identifiers.phone(to)
    if found is None:
        raise BadSettings(
            f"{to} is neither an e-mail address nor a number with its country, as +447812345678."
        )
    now = clock()
    message = Message(
        id=str(uuid4()),
        channel=Channel.SMS if found.kind == "phone" else Channel.EMAIL,
        to=found.value,
        purpose="notice",
        created_at=now,
        expires_at=now + timedelta(minutes=5),
    )
    ways = [way for way in build(settings, clock) if way.takes(message) and only in (None, way.name)]
    if not ways:
        named = f" named {only}" if only else ""
        raise BadSettings(f"No provider{named} is set that takes a message to {to}.")
    is_well = True
    for way in ways:
        say(Finding("title", f"A test message to {to} by {way.name}"))
        is_well &= await _tried(way, message, say)
        await way.close()
    return is_well


async def _tried(way: Provider, message: Message, say: Say) -> bool:
    parcel = Parcel(
        message=message,
        said=TEXT if message.channel is Channel.SMS else LETTER,
        brand=Brand(),
        within=WITHIN,
        lasts=300.0,
        tell=lambda line: say(Finding("heard", line)),
    )
    match await way.hand_over(parcel):
        case Handed(reference):
            named = f", which calls it {reference}" if reference else ""
            say(Finding("good", f"handed to {way.name}{named}. Now see whether it arrives."))
            return True
        case Unclear(why):
            say(Finding("bad", f"nobody knows whether it was sent: {why}"))
        case no:
            say(Finding("bad", f"not sent: {no.why}"))
    return False


LETTER: Final = Rendered(
    subject="Test message from Genkan",
    text="This is a test message from Genkan.\n\nYour settings for e-mail work: it has arrived.\n",
    html="<!doctype html><html lang='en'><body><p>This is a test message from Genkan.</p>"
    "<p>Your settings for e-mail work: it has arrived.</p></body></html>\n",
)
TEXT: Final = Rendered(subject=None, text="This is a test message from Genkan.", html=None)


async def _reached(way: Provider, say: Say) -> bool:
    """Whether a provider answers and knows us, where that can be asked without sending anything."""
    if not isinstance(way, SmtpRelay):
        say(Finding("note", f"{way.name}: set. It can be tried only by sending: genkan doctor --to +44…"))
        return True
    heard: list[str] = []
    if why := await way.reach(WITHIN, heard.append):
        for line in heard:
            say(Finding("heard", line))
        say(Finding("bad", f"{way.name}: {why}"))
        return False
    encrypted = next((line.removeprefix("… ") for line in heard if "encrypted" in line), "not encrypted")
    say(Finding("good", f"{way.name}: it answers and lets us in; {encrypted}"))
    return True


def _domains(settings: Settings) -> Iterator[tuple[str, Sequence[Smtp]]]:
    """The domains that mail comes from, each with the relays that it leaves by."""
    relays = [relay for relay in settings.email.values() if relay.security != "none"]
    domains = {relay.sender.rpartition("@")[2].rstrip(">") for relay in relays}
    for domain in sorted(domains):
        yield domain, [relay for relay in relays if domain in relay.sender]


def _records(domain: str, relays: Sequence[Smtp], say: Say, resolver: Resolver | None) -> bool:
    """Whether what mailboxes look up is there."""
    wanted = [("SPF", domain, "v=spf1"), ("DMARC", f"_dmarc.{domain}", "v=DMARC1")]
    wanted += [
        (f"DKIM ({relay.dkim_selector})", f"{relay.dkim_selector}._domainkey.{domain}", "p=")
        for relay in relays
        if relay.dkim_selector
    ]
    is_well = True
    for name, where, mark in wanted:
        found = _texts(where, resolver)
        if found is None:
            say(Finding("note", f"{name}: {where} cannot be looked up from here"))
        elif any(mark in text for text in found):
            say(Finding("good", f"{name}: published at {where}"))
        else:
            say(
                Finding(
                    "bad",
                    f"{name}: {where} has no record with {mark}; many mailboxes refuse or hide such mail",
                )
            )
            is_well = False
    if not any(relay.dkim_selector for relay in relays):
        say(
            Finding(
                "note",
                "DKIM: set dkim_selector to have the relay's key looked up; Genkan itself does not sign",
            )
        )
    return is_well


def _texts(name: str, resolver: Resolver | None) -> list[str] | None:
    """The TXT records of a name; None where nobody can be asked."""
    import dns.exception
    import dns.resolver

    try:
        asked = resolver or dns.resolver.Resolver()
        answer = asked.resolve(name, "TXT", lifetime=5, search=False)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except (dns.exception.DNSException, OSError):
        return None
    return [b"".join(record.strings).decode("utf-8", "replace") for record in answer]
