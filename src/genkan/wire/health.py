"""
What a load balancer asks: is this process alive, and can it serve. Both answer anybody, and say nothing of a tenant.

Knows no store: whoever builds the server hands in what is to be looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from genkan.engine.transaction import Pulse, StoreUnavailable
from genkan.exchange import Request, Response, json_response
from genkan.telemetry import log

PATIENCE: Final = timedelta(seconds=2)
"""How long a database may take to answer."""
DRIFT: Final = timedelta(seconds=2)
"""How far the clocks of a node and its database may be apart (TIM-01)."""

Look: TypeAlias = Callable[[], Awaitable[datetime]]
"""Asks a database for its time. Raises: `StoreUnavailable`."""


async def alive(_: Request) -> Response:
    """`GET /healthz`: 200 as long as requests are answered at all."""
    return json_response({"status": "alive"})


async def ready(looks: Sequence[Look], clock: Callable[[], datetime], _: Request) -> Response:
    """`GET /readyz`: 200 when every database answers and agrees on the time; else 503 and why."""
    reasons = set(await asyncio.gather(*(_wrong(look, clock) for look in looks))) - {""}
    if not reasons:
        return json_response({"status": "ready"})
    log.warning("readyz.not_ready", extra={"why": sorted(reasons)})
    return json_response({"status": "not ready", "why": sorted(reasons)}, 503)


async def drift(look: Look, clock: Callable[[], datetime]) -> timedelta:
    """Return how far a database's clock and this machine's are apart at least. Raises: `StoreUnavailable`."""
    before = clock()
    theirs = await look()
    return max(before - theirs, theirs - clock(), timedelta())


async def _wrong(look: Look, clock: Callable[[], datetime]) -> str:
    """Say what is wrong with a database; nothing where all is well."""
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            apart = await drift(look, clock)
    except (StoreUnavailable, TimeoutError):
        return "a database does not answer"
    if apart <= DRIFT:
        return ""
    return "the clock of this machine and that of a database are more than two seconds apart"


async def seen(
    pulse: Callable[[], Awaitable[Pulse]], clock: Callable[[], datetime]
) -> tuple[Pulse, timedelta] | None:
    """Ask a database how it goes, and see how far its clock is from ours; None when it does not answer."""
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            before = clock()
            found = await pulse()
            return found, max(before - found.now, found.now - clock(), timedelta())
    except (StoreUnavailable, TimeoutError):
        return None
