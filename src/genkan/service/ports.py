"""
What the shell needs from outside: a store, channels, a clock, entropy.

`bootstrap` plugs the real ones in. A contract test is the interface's other half (`tests/store/test_contract.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from genkan.engine.transaction import Decide, Loaded, Needs, Outgoing

T = TypeVar("T")


class Store(Protocol):
    """One tenant's database."""

    async def run(self, needs: Needs, decide: Decide[T]) -> T:
        """
        Load, decide, write, commit; return what `decide` returned, only after the commit.

        `decide` is pure and may be called again on newer state when its outcome could not be written. An exception
        it raises reaches the caller and nothing of this step is written; other steps of the batch are untouched.
        Raises: `StoreUnavailable`; `Conflict` when its outcome cannot be written on any state.
        """
        ...

    async def read(self, needs: Needs) -> Loaded:
        """One consistent read, for what must be known before a slow wait."""
        ...

    async def lease(self, limit: int) -> Sequence[Outgoing]:
        """Take up to `limit` outbox rows that are due, each to one worker; expired ones are dropped unsent (TIM-01)."""
        ...

    async def settle(self, sent: Sequence[int], failed: Sequence[int]) -> None:
        """Forget the rows that were sent; give the failed ones back, due after a growing wait."""
        ...

    async def sweep(self) -> int:
        """Delete flows, counters and grants that ended long enough ago (PII-06); how many rows."""
        ...


class Sender(Protocol):
    """A way out for messages."""

    async def send(self, outgoing: Sequence[Outgoing]) -> Sequence[int]:
        """Send all; return the ids that were handed over. Sending one twice must be harmless (`Outgoing.id`)."""
        ...
