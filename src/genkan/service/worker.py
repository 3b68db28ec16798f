"""
Background work of one tenant: hand over what waits in the outbox, and from time to time its chores.

Knows no provider and no protocol. A row is leased, sent and settled, in as many lanes as the sender has: a lane that is
stuck slows no other, and nobody who signs in waits for any of them. A row is leased only when there is room to send it
at once, so after a crash only what was really under way is in doubt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta

from genkan import metrics
from genkan.engine.transaction import Lane, Outgoing, Settled, StoreUnavailable
from genkan.model import Message
from genkan.service.ports import Sender, Store
from genkan.telemetry import log

IDLE = timedelta(seconds=5)
"""How long a lane sleeps at most when nobody wakes it: rows whose wait is over are found then."""
SOON = timedelta(seconds=1)
"""The same while something was to be sent again: the shortest wait of the outbox."""
CHORES_EVERY = timedelta(minutes=10)
GRACE = timedelta(seconds=5)
"""What is under way when the worker is stopped may take so long to end; then it is in doubt."""


class Worker:
    """Runs until it is stopped. `wake` is called after each commit that put something into the outbox."""

    def __init__(
        self,
        store: Store,
        sender: Sender,
        chores: Sequence[Callable[[], Awaitable[object]]] = (),
        on_sent: Callable[[Sequence[Message]], Awaitable[None]] | None = None,
    ) -> None:
        """`on_sent` hears of messages for which somebody else answers now."""
        self._chores = (store.sweep, *chores)
        self._store = store
        self._lanes = [_Lane(store, sender, lane, on_sent) for lane in sender.lanes]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(lane.run()) for lane in self._lanes]
        self._tasks.append(loop.create_task(self._do_chores()))

    def wake(self) -> None:
        for lane in self._lanes:
            lane.due.set()

    async def stop(self) -> None:
        """Take up nothing more, and let what is under way end if it does so soon."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(lane.finish() for lane in self._lanes))

    async def _do_chores(self) -> None:
        while True:
            for chore in self._chores:
                try:
                    await chore()
                except StoreUnavailable:
                    log.warning("worker.store_unavailable")
                except Exception:  # noqa: BLE001 - whatever broke, the worker goes on
                    log.exception("worker.fault")
            await asyncio.sleep(CHORES_EVERY.total_seconds())


class _Lane:
    """One share of the outbox."""

    def __init__(
        self,
        store: Store,
        sender: Sender,
        lane: Lane,
        on_sent: Callable[[Sequence[Message]], Awaitable[None]] | None,
    ) -> None:
        self._store = store
        self._on_sent = on_sent
        self._sender = sender
        self._lane = lane
        self.due = asyncio.Event()
        self._sending: dict[asyncio.Task[None], frozenset[int]] = {}
        """What is under way, and the rows it is about."""
        self._again = False
        self._full = False
        """There may be more than there was room for."""

    async def run(self) -> None:
        while True:
            self.due.clear()
            try:
                while await self._take():
                    pass
            except StoreUnavailable:
                log.warning("worker.store_unavailable")
            except Exception:  # noqa: BLE001 - whatever broke, the worker goes on
                log.exception("worker.fault")
            # Not `wait_for`: before Python 3.12 it may lose the cancellation of whoever waits, who then never stops.
            with suppress(TimeoutError):
                async with asyncio.timeout((SOON if self._again else IDLE).total_seconds()):
                    await self.due.wait()
            self._again = False

    async def finish(self) -> None:
        """Wait a little for what is under way; what does not end is given up."""
        if self._sending:
            _, late = await asyncio.wait(self._sending, timeout=GRACE.total_seconds())
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _take(self) -> bool:
        """Begin to send as much as there is room for; True when there may be more, and room for it."""
        room = self._lane.at_once - len(self._sending)
        if room <= 0:
            self._full = True
            return False
        size = self._lane.batch
        leased = await self._store.lease(room * size, self._lane.channel)
        # Where the clock has leapt past a lease, a row may come again that is still under way here.
        under_way = frozenset().union(*self._sending.values())
        rows = [row for row in leased if row.id not in under_way]
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            task = asyncio.get_running_loop().create_task(self._send(batch))
            self._sending[task] = frozenset(row.id for row in batch)
            task.add_done_callback(self._ended)
        self._full = len(leased) == room * size
        return self._full

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._sending[task]
        if self._full:
            self.due.set()

    async def _send(self, batch: Sequence[Outgoing]) -> None:
        try:
            settled = await self._sender.send(batch)
            _count(batch, settled)
            self._again |= any(one.how == "again" for one in settled)
            await self._settle(settled)
            sent = {one.id for one in settled if one.how == "sent"}
            if self._on_sent is not None and sent:
                await self._on_sent([row.message for row in batch if row.id in sent])
        except Exception:  # noqa: BLE001 - its lease runs out, and then it is in doubt
            log.exception("worker.fault")

    async def _settle(self, settled: Sequence[Settled]) -> None:
        """Write down what became of them, however long the store cannot: it is known only here."""
        wait = SOON
        while True:
            try:
                return await self._store.settle(settled)
            except StoreUnavailable:
                log.warning("worker.store_unavailable")
                await asyncio.sleep(wait.total_seconds())
                wait = min(2 * wait, IDLE)


def _count(batch: Sequence[Outgoing], settled: Sequence[Settled]) -> None:
    channels = {one.id: one.message.channel.value for one in batch}
    for one in settled:
        # Where several were tried, the last of them, and an extension without its id: so labels stay few.
        provider = one.provider.rpartition("+")[2].partition(" ")[0] or "none"
        metrics.MESSAGES.labels(channels.get(one.id, "none"), provider, one.how).inc()
