"""A tenant's door of administration over a real database, and who stands before it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from genkan.engine.messages import Directory
from genkan.model import Tenant
from genkan.service.admin.door import Actor, Door, Refusal
from genkan.service.hashing import Hashing
from genkan.store.sqlite import SqliteStore
from tests.store.worlds import TENANT, Clock, SqlitePlace, opened

T = TypeVar("T")

OPERATOR = Actor(
    id="root", name="root", kind="operator", correlation_id="11111111-0000-4000-8000-000000000001"
)
DOMAIN = "north.example"


class Office:
    """A door, what is behind it, and how many times it had a message to hand over."""

    def __init__(self, store: SqliteStore, clock: Clock, hashing: Hashing, place: Path) -> None:
        self.store = store
        self.place = place
        self.clock = clock
        self.delivered = 0
        self.door = Door(store=store, hashing=hashing, on_deliver=self._deliver, now=clock)

    def _deliver(self) -> None:
        self.delivered += 1

    async def log(self) -> list[tuple[str, str]]:
        """Every change asked for, oldest first: what, and why not."""
        rows = await self.store.trail(limit=1000)
        return [(row.record.action, row.record.reason) for row in rows if row.record.category]


@asynccontextmanager
async def office(folder: Path) -> AsyncIterator[Office]:
    """A tenant called north, for the length of a block."""
    clock, hashing = Clock(), Hashing(1)
    place = SqlitePlace(folder)
    async with opened(place, clock) as store:
        tenant = Tenant(id=TENANT, name="north", aliases=(DOMAIN,))
        await store.replace_directory(replace(Directory(tenant=tenant), revision=0))
        try:
            yield Office(store, clock, hashing, place.path)
        finally:
            hashing.close()


def made(answer: T | Refusal) -> T:
    """What an act made, which must not have been refused."""
    assert not isinstance(answer, Refusal), answer
    return answer


def refused(answer: object) -> Refusal:
    """The refusal of an act."""
    assert isinstance(answer, Refusal), answer
    return answer
