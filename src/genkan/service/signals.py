"""
Push security events to receivers, each in a lane of its own: one that is slow, dead or wrong delays no other (WHK-08).

What is pushed was written with the change that it tells of; here it is signed, sent and settled, at least once. A
receiver that cannot be reached is left alone for a while; what it refuses for good, or does not take in its time, is
given up and stays to be seen. Knows no event. Source: RFC 8935; emergency-protocol 5.3, 11.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from genkan.engine.messages import Directory
from genkan.engine.transaction import StoreUnavailable, Taken, Waiting
from genkan.model import Stream
from genkan.service.issue import Issuer
from genkan.service.pinned import Answered, NotCalled, Pinned
from genkan.service.ports import SignalStore
from genkan.telemetry import log

IDLE: Final = timedelta(seconds=5)
"""How long a lane sleeps at most when nobody wakes it."""
AT_ONCE: Final = 20
"""Signals that one lease takes; sent one after another, in their order, well within the lease."""
WITHIN: Final = 10.0
"""Seconds for one push. After one that took so long the rest of a lease is given back."""
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
"""Seconds that a receiver is left alone which could not be reached: doubled each time."""
GRACE: Final = timedelta(seconds=2)

Opener = Callable[[Stream], str]
"""The `Authorization` header of a stream, in clear."""


class Signals:
    """The pushes of one tenant."""

    def __init__(
        self,
        store: SignalStore,
        pinned: Pinned,
        *,
        issuer: Issuer,
        directory: Callable[[], Directory],
        clock: Callable[[], datetime],
        authorization: Opener,
    ) -> None:
        self._store = store
        self._pinned = pinned
        self._issuer = issuer
        self._directory = directory
        self._clock = clock
        self._authorization = authorization
        self._lanes: dict[str, tuple[_Lane, asyncio.Task[None]]] = {}
        self._watching: asyncio.Task[None] | None = None
        self._due = asyncio.Event()
        self.came = asyncio.Condition()
        """Notified when a signal may have been written: whoever waits for one to be asked for looks again."""

    def start(self) -> None:
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    def wake(self) -> None:
        """Look at what waits. Called after each commit that may have put something there."""
        self._due.set()

    async def stop(self) -> None:
        tasks = [task for _, task in self._lanes.values()]
        for task in (*tasks, *([self._watching] if self._watching else [])):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=GRACE.total_seconds())

    async def comes(self, within: float) -> None:
        """Wait until something may have been written, so many seconds at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within), self.came:
                await self.came.wait()

    async def give_up(self) -> None:
        """Give up what no receiver took in its time, and tell the operator."""
        total = 0
        while count := await self._store.give_up_signals():
            total += count
        if total:
            log.error("signals.dead", extra={"count": total})

    def pushed(self) -> dict[str, Stream]:
        """The streams that are pushed to."""
        return {id: one for id, one in self._directory().streams.items() if one.delivery == "push"}

    async def _watch(self) -> None:
        """Keep a lane for each stream that is pushed to."""
        while True:
            self._due.clear()
            wanted = self.pushed()
            for id in [id for id in self._lanes if id not in wanted]:
                self._lanes.pop(id)[1].cancel()
            for id in wanted:
                if id not in self._lanes or self._lanes[id][1].done():
                    lane = _Lane(id, self)
                    self._lanes[id] = lane, asyncio.get_running_loop().create_task(lane.run())
                self._lanes[id][0].due.set()
            async with self.came:
                self.came.notify_all()
            with suppress(TimeoutError):
                async with asyncio.timeout(IDLE.total_seconds()):
                    await self._due.wait()

    async def push(self, stream: Stream, waiting: Waiting) -> tuple[Taken, bool]:
        """Push one signal; what became of it, and whether the receiver is well."""
        signal = waiting.signal
        headers = {"Content-Type": "application/secevent+jwt", "Accept": "application/json"}
        if stream.authorization:
            headers["Authorization"] = self._authorization(stream)
        token = self._issuer.event(signal, stream, self._clock())
        try:
            answered = await self._pinned.post(stream.url, headers, token.encode("ascii"), WITHIN)
        except NotCalled as fault:
            return Taken(id=signal.id, how="again", why=str(fault)), False
        return judged(signal.id, answered)

    async def take(self, stream: str) -> bool:
        """Push what is due to a stream. True where there may be more; False leaves the receiver alone for a while."""
        one = self.pushed().get(stream)
        if one is None:
            return True
        leased = await self._store.lease_signals(one, AT_ONCE)
        for number, waiting in enumerate(leased):
            began = asyncio.get_running_loop().time()
            taken, is_well = await self.push(one, waiting)
            slow = asyncio.get_running_loop().time() - began > WITHIN / 4
            rest = leased[number + 1 :]
            back = [Taken(id=left.signal.id, how="unsent") for left in rest] if slow or not is_well else []
            await self._settle(stream, [taken, *back])
            if taken.how != "taken":
                log.warning("signal.not_taken", extra={"stream": stream, "jti": taken.id, "why": taken.why})
            if not is_well:
                raise _Unwell
            if back:
                return True
        return len(leased) == AT_ONCE

    async def _settle(self, stream: str, taken: list[Taken]) -> None:
        """Write down what became of them, however long the store cannot: it is known only here."""
        while True:
            try:
                return await self._store.settle_signals(stream, taken)
            except StoreUnavailable:
                log.warning("signals.store_unavailable")
                await asyncio.sleep(1)


class _Unwell(Exception):
    """The receiver cannot take anything now."""


class _Lane:
    """One receiver."""

    def __init__(self, stream: str, signals: Signals) -> None:
        self._stream = stream
        self._signals = signals
        self.due = asyncio.Event()

    async def run(self) -> None:
        pause = 0.0
        while True:
            self.due.clear()
            try:
                while await self._signals.take(self._stream):
                    if self._stream not in self._signals.pushed():
                        return
                pause = 0.0
            except _Unwell:
                pause = min(max(FIRST_PAUSE, 2 * pause), LONGEST_PAUSE)
                await asyncio.sleep(pause)
                continue
            except StoreUnavailable:
                log.warning("signals.store_unavailable")
                await asyncio.sleep(1)
            except Exception:  # noqa: BLE001 - whatever broke, the lane goes on
                log.exception("signals.fault")
                await asyncio.sleep(1)
            with suppress(TimeoutError):
                async with asyncio.timeout(IDLE.total_seconds()):
                    await self.due.wait()


def judged(id: str, answered: Answered) -> tuple[Taken, bool]:
    """
    What an answer means (RFC 8935 2.2 to 2.4), and whether the receiver is well.

    It takes by 202, and a careless one by 200 or 204. What it says is wrong with a token is so for good, but for who we
    are: that an operator of either side can put right.
    """
    if answered.status in (200, 202, 204):
        return Taken(id=id, how="taken"), True
    if answered.status == 400:
        word = error_of(answered.body)
        if word in ("authentication_failed", "access_denied"):
            return Taken(id=id, how="again", why=f"it answered 400: {word}"), False
        return Taken(id=id, how="refused", why=f"it answered 400: {word or 'without saying why'}"), True
    wait = None
    if answered.status in (429, 503) and (after := answered.headers.get("retry-after", "")).isdigit():
        wait = timedelta(seconds=min(int(after), 3600))
    return Taken(id=id, how="again", why=f"it answered {answered.status}", wait=wait), False


def error_of(body: bytes) -> str:
    """The word by which a receiver says what is wrong (RFC 8935 2.4); only a word, whatever else it says."""
    try:
        said: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    word = said.get("err") if isinstance(said, dict) else None
    is_word = isinstance(word, str) and len(word) <= 64 and word.isascii() and word.replace("_", "").isalnum()
    return word if is_word and isinstance(word, str) else ""
