"""
The way out for codes that an extension sends in our place; all else goes on as it would.

A code leaves once: where the extension may have sent it nobody else does. Only when it certainly has not, and its
administrator wants that, the tenant's own provider sends the same code. What fails is not tried again and again: a
person can ask for another code. Knows no provider. Source: admin-graph-api 6.4; OTP-21, WHK-08.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from genkan.engine import extensions
from genkan.engine.messages import Directory, Fails
from genkan.engine.transaction import Lane, Outgoing, Settled
from genkan.model import Channel
from genkan.service.extensions import ExtensionCalls
from genkan.service.ports import Sender
from genkan.telemetry import log

AT_ONCE: Final = 64
"""Codes that may be with extensions; the providers of the channels go on beside them."""


class OtpSend:
    """A `Sender` before another one."""

    def __init__(self, calls: ExtensionCalls, inner: Sender, directory: Callable[[], Directory]) -> None:
        self._calls = calls
        self._inner = inner
        self._directory = directory
        channels = [
            lane
            for one in inner.lanes
            for lane in ([one] if one.channel is not None else [replace(one, channel=c) for c in Channel])
        ]
        self.lanes: Sequence[Lane] = (*channels, Lane(channel="extension", at_once=AT_ONCE, batch=1))

    async def send(self, outgoing: Sequence[Outgoing]) -> Sequence[Settled]:
        """Send all: each that is an extension's by itself, and the others as they come."""
        theirs = [one for one in outgoing if one.message.listener]
        ours = [one for one in outgoing if not one.message.listener]
        settled = [*await self._inner.send(ours)] if ours else []
        return [*settled, *await asyncio.gather(*map(self._one, theirs))]

    async def _one(self, one: Outgoing) -> Settled:
        listener = one.message.listener
        extension = extensions.sender(self._directory(), listener)
        if extension is None:  # It was taken away since, so the providers send what was promised.
            return await self._by_provider(one)
        heard_by = extensions.listening(
            self._directory(), "otp_send", one.message.client, one.message.channel
        )
        if heard_by is not None and heard_by[2]:
            log.error("extension.ambiguous", extra={"listener": listener})
        name = f"extension {extension.id}"
        if one.doubtful:
            why = "an earlier attempt never came to an end"
            return Settled(id=one.id, how="unclear", provider=name, why=why)
        heard = await self._calls.send_code(one.message, listener, extension)
        if not isinstance(heard, Fails):
            return Settled(id=one.id, how="sent", provider=name)
        if heard.is_busy:
            return Settled(id=one.id, how="again", provider=name, why=heard.why)
        if not heard.is_unclear and extension.falls_back:
            return await self._by_provider(one)
        why = f"{heard.number}: {heard.why}"
        return Settled(id=one.id, how="unclear" if heard.is_unclear else "refused", provider=name, why=why)

    async def _by_provider(self, one: Outgoing) -> Settled:
        (settled,) = await self._inner.send([one])
        return settled
