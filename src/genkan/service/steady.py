"""
Let answers leave on a beat, so that how long the work took cannot be told from when it was done (ENUM-04).

Knows nothing of accounts: the conductor says which answers wait. A timer of the event loop would not do: it is rounded
up to a millisecond from when the loop began to wait, which is when the work ended, so the fraction shows through. A
thread that sleeps until the next beat wakes at the same moment whatever was done before it.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from contextlib import suppress

PAUSE = 0.02
"""Seconds that an answer takes at the least; longer work is rounded up to whole pauses."""

BEAT = 0.005
"""Seconds between two moments at which answers leave."""

Waiting = list[tuple[float, "asyncio.Future[None]"]]


class Steady:
    """The beat of one event loop. There is a thread for it while somebody waits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: Waiting = []
        self._is_beating = False

    async def since(self, began: float) -> None:
        """Return on the first beat that comes whole pauses after `began`, a time of `time.monotonic`."""
        loop = asyncio.get_running_loop()
        leave: asyncio.Future[None] = loop.create_future()
        due = began + PAUSE * math.ceil((time.monotonic() - began) / PAUSE)
        with self._lock:
            self._waiting.append((due, leave))
            is_first, self._is_beating = not self._is_beating, True
        if is_first:
            threading.Thread(target=self._beat, args=(loop,), name="beat", daemon=True).start()
        await leave

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._is_beating:
            time.sleep(BEAT - time.monotonic() % BEAT)
            now = time.monotonic()
            with self._lock:
                leaving = [leave for due, leave in self._waiting if due <= now]
                self._waiting = [waiter for waiter in self._waiting if waiter[0] > now]
                self._is_beating = bool(self._waiting)
            if leaving:
                with suppress(RuntimeError):  # The loop has been closed, and nobody waits there any more.
                    loop.call_soon_threadsafe(_let_go, leaving)


def _let_go(leaving: list[asyncio.Future[None]]) -> None:
    for leave in leaving:
        if not leave.done():  # The client may have gone away.
            leave.set_result(None)
