"""
Choose who takes a message, go on to the next when one cannot, and stop where going on might send it twice.

Each message leaves at most once: it goes to another provider only when the one before has certainly not sent it. What
is unclear counts as sent, for a code that comes twice costs money and a person can ask for another; only a notice by
e-mail is repeated, since it must not be lost and its second copy has the same `Message-ID`.
A provider that fails several times in a row is left alone for a while, so that nobody waits for it.
Knows no storage. Source: MSG-11, OTP-21, F-04, F-05.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Literal

from genkan.delivery.messages import Unrenderable, render
from genkan.delivery.providers import Failed, Handed, Parcel, Provider, Refused, Result, Unclear
from genkan.engine.transaction import Lane, Outgoing, Settled
from genkan.model import Brand, Channel, Message
from genkan.settings import Settings
from genkan.telemetry import log

LONGEST: Final = 45.0
"""Seconds that all of one attempt may take, fail-over included: less than a lease of the outbox."""

FAULTS: Final = 3
"""So many in a row, and a provider is left alone."""
FIRST_PAUSE: Final = 5.0
LONGEST_PAUSE: Final = 60.0
"""Seconds that it is left alone, doubled each time that it fails when it is tried again."""


class Dispatch:
    """The real way out. A `Sender`."""

    def __init__(
        self,
        providers: Sequence[Provider],
        brand: Callable[[], Brand],
        clock: Callable[[], datetime],
        receipt: Callable[[Message, str], str] | None = None,
        page: str = "",
    ) -> None:
        """
        `providers` in the order in which they are tried; `clock` is the one by which messages expire.

        `receipt` names the address to which a provider, by its name, may report what became of a message. `page` is
        the tenant's page for lost devices.
        """
        self._ways = [(provider, _Guard(provider.name)) for provider in providers]
        self.lanes = [
            Lane(
                channel=channel,
                at_once=sum(p.at_once for p in providers if p.channel is channel) or 1,
                batch=1,
            )
            for channel in Channel
        ]
        """A lane for each channel: a mail relay that is stuck holds up no text message."""
        self._brand = brand
        self._clock = clock
        self._receipt = receipt
        self._page = page

    async def send(self, outgoing: Sequence[Outgoing]) -> Sequence[Settled]:
        """Send all, each by itself."""
        return await asyncio.gather(*(self._one(one) for one in outgoing))

    async def close(self) -> None:
        for provider, _ in self._ways:
            await provider.close()

    async def _one(self, one: Outgoing) -> Settled:
        message, brand = one.message, self._brand()
        try:
            said = render(message, brand, self._page)
        except Unrenderable as why:
            return _end(one, "refused", why=str(why))
        route = [(provider, guard) for provider, guard in self._ways if provider.takes(message)]
        if not route:
            return _end(one, "refused", why="no provider is set for this channel and country")
        repeats = _may_repeat(message, [provider for provider, _ in route])
        if one.doubtful and not repeats:
            return _end(one, "unclear", why="an earlier attempt never came to an end")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LONGEST
        failures: list[tuple[Provider, Failed]] = []
        pause: float | None = None
        for provider, guard in route:
            lasts = (message.expires_at - self._clock()).total_seconds()
            within = min(deadline - loop.time(), lasts)
            if within <= 0:
                break
            if (closed := guard.closed_for(loop.time())) > 0:
                pause = closed if pause is None else min(pause, closed)
                continue
            receipt = partial(self._receipt, message) if self._receipt is not None else None
            parcel = Parcel(
                message=message, said=said, brand=brand, within=within, lasts=lasts, receipt=receipt
            )
            result = await _asked(provider, parcel)
            guard.note(result, loop.time())
            match result:
                case Handed():
                    log.info("message.sent", extra={"message_id": message.id, "provider": provider.name})
                    return _end(one, "sent", provider, reference=result.reference)
                case Refused():
                    return _end(one, "refused", provider, why=result.why)
                case Unclear() if not repeats:
                    return _end(one, "unclear", provider, why=result.why)
                case Unclear():
                    return _end(one, "again", provider, why=result.why)
                case Failed():
                    failures.append((provider, result))
        return _again(one, failures, pause)


def build(settings: Settings, clock: Callable[[], datetime]) -> list[Provider]:
    """
    The providers of these settings, in order. `clock` is the real time, by which requests are signed.

    Raises: `BadSettings`.
    """
    from genkan.delivery import sms
    from genkan.delivery.smtp import SmtpRelay

    ways: list[Provider] = [SmtpRelay(name, relay) for name, relay in settings.email.items()]
    ways += [sms.provider(name, text, clock) for name, text in settings.sms.items()]
    return ways


class _Guard:
    """
    Whether a provider may be tried. Pure; it is told the time, in seconds that only go forward.

    After a pause one message tries whether the provider is well again, and the others go on to the next.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._faults = 0
        self._pauses = 0
        self._opens_at = 0.0

    def closed_for(self, now: float) -> float:
        """Seconds until it may be tried; 0: now, and whoever asks does try."""
        if now < self._opens_at:
            return self._opens_at - now
        if self._faults >= FAULTS:
            self._opens_at = now + FIRST_PAUSE  # Nobody else tries while this one does.
        return 0.0

    def note(self, result: Result, now: float) -> None:
        """What became of a try."""
        if not isinstance(result, Unclear) and not (isinstance(result, Failed) and result.is_fault):
            self._faults = self._pauses = 0
            self._opens_at = 0.0
            return
        self._faults += 1
        asked = result.wait.total_seconds() if isinstance(result, Failed) and result.wait else 0.0
        pause = 0.0
        if self._faults >= FAULTS:
            pause = min(FIRST_PAUSE * 2.0**self._pauses, LONGEST_PAUSE)
            self._pauses = min(self._pauses + 1, 16)
        if max(pause, asked):
            self._opens_at = max(self._opens_at, now + max(pause, asked))
        log.warning(
            "provider.failed",
            extra={
                "provider": self._name,
                "why": result.why,
                "seconds_left_alone": round(max(pause, asked), 1),
            },
        )


async def _asked(provider: Provider, parcel: Parcel) -> Result:
    """What a provider makes of it. A fault of ours on the way leaves it unclear."""
    try:
        return await provider.hand_over(parcel)
    except Exception:  # noqa: BLE001 - one message must not end the lane, nor be sent again
        log.exception("provider.fault", extra={"provider": provider.name})
        return Unclear("a fault of Genkan: see its log")


def _may_repeat(message: Message, route: Sequence[Provider]) -> bool:
    """Whether it does no harm to send it again when nobody knows what became of it."""
    is_kept_apart = len(route) == 1 and route[0].repeats
    return is_kept_apart or (message.purpose == "notice" and message.channel is Channel.EMAIL)


def _again(one: Outgoing, failures: Sequence[tuple[Provider, Failed]], pause: float | None) -> Settled:
    """Nobody could take it now. It is given up when nobody will."""
    names = "+".join(provider.name for provider, _ in failures)
    why = "; ".join(f"{provider.name}: {failed.why}" for provider, failed in failures)
    if failures and pause is None and all(failed.for_good for _, failed in failures):
        return Settled(id=one.id, how="refused", provider=names, why=why)
    waits: Iterable[timedelta] = (failed.wait or timedelta() for _, failed in failures)
    if pause is not None:
        waits = (*waits, timedelta(seconds=pause))
    return Settled(
        id=one.id,
        how="again",
        provider=names,
        why=why or "every provider is left alone for a while",
        wait=min(waits, default=timedelta()),
    )


def _end(
    one: Outgoing,
    how: Literal["sent", "unclear", "refused", "again"],
    provider: Provider | None = None,
    *,
    reference: str = "",
    why: str = "",
) -> Settled:
    return Settled(
        id=one.id, how=how, provider=provider.name if provider else "", reference=reference, why=why
    )
