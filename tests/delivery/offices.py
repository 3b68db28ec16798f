"""An outbox with its worker and real providers, as one tenant has them, without the rest of the server."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from msgspec.structs import replace

from genkan.delivery.dispatch import Dispatch
from genkan.delivery.providers import Provider
from genkan.engine.messages import Deliver
from genkan.engine.transaction import Change, Loaded, Needs
from genkan.model import Brand, Channel, Message
from genkan.service import worker
from genkan.service.ports import Sender
from genkan.service.worker import Worker
from genkan.store.sqlite import SqliteStore
from tests.delivery.letters import a_message
from tests.store.worlds import START, Clock, SqlitePlace


def messages(
    count: int, channel: Channel = Channel.EMAIL, *, lasts: timedelta = timedelta(minutes=5)
) -> list[Message]:
    """Codes to different people, written at the clock's start."""
    return [
        replace(
            a_message("mfa", channel, to=_to(channel, n), code=f"{n:08d}"),
            created_at=START,
            expires_at=START + lasts,
        )
        for n in range(count)
    ]


def _to(channel: Channel, n: int) -> str:
    return f"person{n}@example.com" if channel is Channel.EMAIL else f"+4478{n:08d}"


class Office:
    """A store, a worker, and what they do with messages."""

    def __init__(self, place: SqlitePlace, clock: Clock, sender: Sender) -> None:
        self.clock = clock
        self.place = place
        self.store: SqliteStore = place.open(clock)
        self.worker = Worker(self.store, sender)

    async def post(self, *posted: Message) -> None:
        """Put messages into the outbox, as a step does."""

        def decide(_: Loaded) -> tuple[Change, None]:
            return Change(effects=tuple(map(Deliver, posted))), None

        await self.store.run(Needs(), decide)
        self.worker.wake()

    def waiting(self) -> int:
        """How many messages are still in the outbox."""
        [(count,)] = self.place.execute(self.store, "SELECT count(*) FROM outbox")
        return int(count)

    async def ends(self) -> dict[str, str]:
        """What became of messages, by their ids, as the audit tells it."""
        told: dict[str, str] = {}
        after = 0
        while rows := await self.store.trail(after=after):
            after = rows[-1].seq
            for row in rows:
                how = row.record.action.removeprefix("message:")
                assert row.record.detail["message"] not in told, "a message ends once"
                told[row.record.detail["message"]] = how
        return told

    async def until(self, holds: Callable[[], bool], within: float = 20) -> None:
        """Wait for something, while the worker is nudged as its own clock would."""
        async with asyncio.timeout(within):
            while not holds():
                self.worker.wake()
                await asyncio.sleep(0.02)

    async def emptied(self, within: float = 20, *, passing: timedelta = timedelta()) -> None:
        """Wait until nothing is left to send; `passing` goes by on the clock each time it is looked at."""
        async with asyncio.timeout(within):
            while self.waiting():
                self.clock.move(passing)
                self.worker.wake()
                await asyncio.sleep(0.02)


worker.GRACE = timedelta(seconds=0.5)  # what is stuck in a test stays stuck


@asynccontextmanager
async def an_office(
    folder: Path, *providers: Provider, clock: Clock | None = None, sender: Sender | None = None
) -> AsyncIterator[Office]:
    """An office at work."""
    clock = clock or Clock()
    dispatch = Dispatch(providers, Brand, clock)
    office = Office(SqlitePlace(folder), clock, sender or dispatch)
    await office.store.give_back_leases()
    office.worker.start()
    try:
        yield office
    finally:
        await office.worker.stop()
        await dispatch.close()
        await office.store.close()


def once_each(arrived: Iterable[str], expected: Iterable[str]) -> None:
    """Everything has arrived, and nothing twice."""
    assert Counter(arrived) == Counter(expected)
