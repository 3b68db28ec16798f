"""
What a provider says later of a text message that it took: that it arrived, or that it did not.

A message bears a reference of its own to the provider, which only this tenant can make: nothing is kept of it until a
receipt brings it back. The first receipt that says how it ended is written down, and every further one changes
nothing. Receipts are the carriers' word, and a carrier may be the thief: they open no route and give nothing back,
they only tell an operator. Pure. Source: MSG-08, OTP-21; conditional-access 13.2.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from hmac import compare_digest
from typing import Literal

from msgspec import Struct

from genkan import identifiers
from genkan.engine.flow import guid
from genkan.engine.messages import Count, Effect, Record
from genkan.engine.transaction import Change, Loaded
from genkan.model import Channel, Message
from genkan.risk import pumping, rate

LATEST = timedelta(hours=48)
"""A receipt that comes later than this after its message says nothing that anybody needs."""

_IDS, _TIME, _CODE, _MAC = 32, 5, 2, 16
"""Bytes of a reference: two GUIDs, seconds, a calling code, and a keyed digest of them."""


class Sent(Struct, frozen=True, kw_only=True):
    """What a reference says of its message."""

    message: str
    """Its id."""
    correlation_id: str
    calling_code: str
    at: datetime


class Receipt(Struct, frozen=True, kw_only=True):
    """What a provider has said, once its signature was found right."""

    how: Literal["delivered", "undelivered"]
    provider: str
    """By the name of its setting."""
    reference: str = ""
    """What the provider calls the message."""
    why: str = ""
    """The provider's code for what went wrong."""


def reference(message: Message, now: datetime, key: bytes) -> str:
    """
    What a text message is known by to whoever reports on it: 74 URL-safe characters; empty where it bears no GUIDs.

    Shapes: `key` is the tenant's for receipts.
    """
    if message.channel is not Channel.SMS:
        return ""
    try:
        ids = bytes.fromhex((message.id + message.correlation_id).replace("-", ""))
    except ValueError:
        return ""
    if len(ids) != _IDS:
        return ""
    code = int(identifiers.calling_code_of(message.to) or 0)
    content = ids + int(now.timestamp()).to_bytes(_TIME) + code.to_bytes(_CODE)
    return urlsafe_b64encode(content + _mac(content, key)).decode().rstrip("=")


def read(text: str, key: bytes) -> Sent | None:
    """The message that this tenant gave such a reference; None for any other text."""
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return None
    content, mac = raw[:-_MAC], raw[-_MAC:]
    if len(content) != _IDS + _TIME + _CODE or not compare_digest(mac, _mac(content, key)):
        return None
    return Sent(
        message=guid(content[:16]),
        correlation_id=guid(content[16:_IDS]),
        at=datetime.fromtimestamp(int.from_bytes(content[_IDS : _IDS + _TIME]), UTC),
        calling_code=str(int.from_bytes(content[_IDS + _TIME :])),
    )


def buckets(sent: Sent) -> Iterator[str]:
    """The histories that a receipt is judged by."""
    yield rate.receipt(sent.message)
    yield from (rate.sms_receipts(sent.calling_code, how) for how in ("delivered", "undelivered"))
    yield rate.sms_undelivered_told(sent.calling_code)


def note(sent: Sent, receipt: Receipt, loaded: Loaded) -> tuple[Change, bool]:
    """
    Write down how a message ended, once; and whether it was.

    An alarm where of enough messages to a calling code most do not arrive: the way there is broken, or leads nowhere.
    """
    now, seen = loaded.now, rate.receipt(sent.message)
    if loaded.histories[seen] or now > sent.at + LATEST:
        return Change(), False
    detail = {
        "message": sent.message,
        "channel": Channel.SMS.value,
        "calling_code": sent.calling_code,
        "provider": receipt.provider,
        "reference": receipt.reference,
        "why": receipt.why,
    }
    own = rate.sms_receipts(sent.calling_code, receipt.how)
    histories = {
        how: loaded.histories[rate.sms_receipts(sent.calling_code, how)]
        for how in ("delivered", "undelivered")
    }
    histories[receipt.how] = pumping.noted(histories[receipt.how], now, now)
    effects: list[Effect] = [
        Count(bucket=seen, history=(rate.milliseconds(now),), keep_until=sent.at + LATEST),
        Count(bucket=own, history=histories[receipt.how], keep_until=now + pumping.WINDOW),
        Record(
            action=f"message:{receipt.how}",
            correlation_id=sent.correlation_id,
            detail={name: value for name, value in detail.items() if value},
        ),
    ]
    arrived, lost = len(histories["delivered"]), len(histories["undelivered"])
    if receipt.how == "undelivered" and pumping.leads_nowhere(arrived, lost):
        told = rate.sms_undelivered_told(sent.calling_code)
        history = rate.spend(loaded.histories[told], rate.SMS_CODE_TOLD, now)
        if history is not None:
            keep = rate.keep_until(history, rate.SMS_CODE_TOLD)
            figures = {"calling_code": sent.calling_code, "delivered": arrived, "undelivered": lost}
            effects += [
                Count(bucket=told, history=history, keep_until=keep),
                Record(action="sms:undelivered", correlation_id=sent.correlation_id, detail=figures),
            ]
    return Change(effects=tuple(effects)), True


class Figures(Struct, frozen=True, kw_only=True):
    """What became of the messages that went one way."""

    channel: str
    provider: str
    calling_code: str
    """Of text messages."""
    sent: int = 0
    """Taken by the provider."""
    delivered: int = 0
    undelivered: int = 0
    used: int = 0
    """Codes of text messages that were entered."""
    unclear: int = 0
    refused: int = 0
    late: int = 0


OUTCOMES = ("sent", "delivered", "undelivered", "used", "unclear", "refused", "late")


def figures(records: Iterable[Record]) -> list[Figures]:
    """
    Count what audit rows say of messages, by the way they went; the rows may be of other things, too.

    What is told of a message later counts for the provider that has taken it.
    """
    ways: dict[str, tuple[str, str, str]] = {}
    seen: dict[str, set[str]] = {}
    for record in records:
        word, _, how = record.action.partition(":")
        message = str(record.detail.get("message", ""))
        if word != "message" or how not in OUTCOMES or not message:
            continue
        channel, code = (str(record.detail.get(name, "")) for name in ("channel", "calling_code"))
        provider = str(record.detail.get("provider", "")) or ways.get(message, ("", ""))[1]
        ways[message] = (channel, provider, code)
        seen.setdefault(message, set()).add(how)
    counts: dict[tuple[str, str, str], dict[str, int]] = {}
    for message, outcomes in seen.items():
        way = counts.setdefault(ways[message], dict.fromkeys(OUTCOMES, 0))
        for how in outcomes:
            way[how] += 1
    return [
        Figures(channel=channel, provider=provider, calling_code=code, **count)
        for (channel, provider, code), count in sorted(counts.items())
    ]


def _mac(content: bytes, key: bytes) -> bytes:
    return blake2b(content, key=key, digest_size=_MAC, person=b"receipt").digest()
