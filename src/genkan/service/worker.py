"""
Background work of one tenant: hand over what waits in the outbox, and from time to time its chores.

Knows no provider and no protocol. A row is leased, sent and settled; a crash in between sends it again, which the
sender makes harmless.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta

from genkan.engine.transaction import StoreUnavailable
from genkan.service.ports import Sender, Store
from genkan.telemetry import log

BATCH = 100
IDLE = timedelta(seconds=5)
"""How long the worker sleeps when nobody wakes it: rows whose wait is over are found then."""
CHORES_EVERY = timedelta(minutes=10)


class Worker:
    """Runs until it is stopped. `wake` is called after each commit that put something into the outbox."""

    def __init__(
        self, store: Store, sender: Sender, chores: Sequence[Callable[[], Awaitable[object]]] = ()
    ) -> None:
        self._chores = (store.sweep, *chores)
        self._store = store
        self._sender = sender
        self._due = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    def wake(self) -> None:
        self._due.set()

    async def stop(self) -> None:
        """Finish nothing: whatever is leased is sent again after its lease."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        chores_at = loop.time()
        while True:
            try:
                if loop.time() >= chores_at:
                    chores_at = loop.time() + CHORES_EVERY.total_seconds()
                    for chore in self._chores:
                        await chore()
                while await self._hand_over():
                    pass
            except StoreUnavailable:
                log.warning("worker.store_unavailable")
            except Exception:  # noqa: BLE001 - whatever broke, the worker goes on
                log.exception("worker.fault")
            # Not `wait_for`: before Python 3.12 it may lose the cancellation of whoever waits, who then never stops.
            with suppress(TimeoutError):
                async with asyncio.timeout(IDLE.total_seconds()):
                    await self._due.wait()
            self._due.clear()

    async def _hand_over(self) -> bool:
        """Send one batch; True while there may be more."""
        leased = await self._store.lease(BATCH)
        if not leased:
            return False
        sent = set(await self._sender.send(leased))
        await self._store.settle(tuple(sent), tuple(row.id for row in leased if row.id not in sent))
        return len(leased) == BATCH
