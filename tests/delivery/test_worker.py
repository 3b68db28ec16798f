"""The worker: what it takes, what it never takes twice, and that nothing that is stuck holds up anything else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from genkan.delivery.inbox import Inbox
from genkan.engine.transaction import Lane, Outgoing, Settled, StoreUnavailable
from genkan.model import Channel
from genkan.service import worker
from genkan.service.ports import Sender
from genkan.store import outbox
from tests.delivery.letters import an_inbox
from tests.delivery.offices import an_office, messages, once_each
from tests.store.worlds import Clock

pytestmark = pytest.mark.anyio


class Ways:
    """A sender that answers when it is let, and notes all that it was given."""

    def __init__(self, *lanes: Lane) -> None:
        self.lanes: Sequence[Lane] = lanes or (Lane(at_once=4, batch=1),)
        self.open = asyncio.Event()
        self.taken: list[Outgoing] = []
        self.under_way = self.most = 0
        self.stuck: frozenset[Channel] = frozenset()

    async def send(self, outgoing: Sequence[Outgoing]) -> Sequence[Settled]:
        self.taken += outgoing
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            if any(row.message.channel in self.stuck for row in outgoing):
                await asyncio.sleep(600)
            await self.open.wait()
        finally:
            self.under_way -= 1
        return [Settled(id=row.id, how="sent") for row in outgoing]

    @property
    def arrived(self) -> list[str]:
        return [row.message.to for row in self.taken]


def test_the_senders_are_senders(tmp_path: Path) -> None:
    ways: Sender = Ways()
    with an_inbox(tmp_path) as inbox:
        kept: Sender = inbox
        assert (len(ways.lanes), len(kept.lanes)) == (1, 1)


async def test_no_more_is_taken_than_can_be_sent_at_once(tmp_path: Path) -> None:
    ways, sent = Ways(), messages(50)
    async with an_office(tmp_path, sender=ways) as office:
        await office.post(*sent)
        await office.until(lambda: ways.under_way == 4)
        await asyncio.sleep(0.1)
        assert len(ways.taken) == 4, "the others wait in the outbox, where a crash puts nothing in doubt"

        ways.open.set()
        await office.emptied()

        once_each(ways.arrived, [m.to for m in sent])
        assert ways.most == 4


@pytest.mark.parametrize("stuck", list(Channel))
async def test_a_lane_that_is_stuck_holds_up_no_other(tmp_path: Path, stuck: Channel) -> None:
    ways = Ways(*(Lane(channel=channel, at_once=2, batch=1) for channel in Channel))
    ways.stuck = frozenset({stuck})
    ways.open.set()
    [other] = set(Channel) - {stuck}
    async with an_office(tmp_path, sender=ways) as office:
        await office.post(*messages(10, stuck), *messages(10, other))

        await office.until(lambda: office.waiting() == 10, within=5)

        once_each(
            [m.message.to for m in ways.taken if m.message.channel is other],
            [m.to for m in messages(10, other)],
        )


async def test_a_row_that_is_still_under_way_is_not_taken_again_when_the_clock_leaps(tmp_path: Path) -> None:
    ways, clock = Ways(Lane(at_once=8, batch=1)), Clock()
    async with an_office(tmp_path, sender=ways, clock=clock) as office:
        await office.post(*messages(3, lasts=timedelta(hours=1)))
        await office.until(lambda: len(ways.taken) == 3)

        clock.move(outbox.LEASE + timedelta(seconds=1))
        for _ in range(5):
            office.worker.wake()
            await asyncio.sleep(0.02)
        ways.open.set()
        await office.emptied()

        once_each(ways.arrived, [m.to for m in messages(3)])


async def test_what_became_of_a_message_is_written_down_however_long_the_store_cannot(tmp_path: Path) -> None:
    ways = Ways()
    ways.open.set()
    async with an_office(tmp_path, sender=ways) as office:
        settle, refusals = office.store.settle, 2

        async def unwilling(settled: Sequence[Settled]) -> None:
            nonlocal refusals
            if refusals:
                refusals -= 1
                raise StoreUnavailable("locked")
            await settle(settled)

        office.store.settle = unwilling  # type: ignore[method-assign]
        await office.post(*messages(1))
        await office.emptied()

        assert len(ways.taken) == 1


async def test_a_stop_lets_what_is_under_way_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "GRACE", timedelta(seconds=20))
    ways = Ways()
    async with an_office(tmp_path, sender=ways) as office:
        await office.post(*messages(2))
        await office.until(lambda: ways.under_way == 2)

        asyncio.get_running_loop().call_later(0.2, ways.open.set)
        await office.worker.stop()

        assert office.waiting() == 0


async def test_a_sender_that_breaks_costs_its_message_no_other(tmp_path: Path) -> None:
    class Breaking(Ways):
        async def send(self, outgoing: Sequence[Outgoing]) -> Sequence[Settled]:
            if outgoing[0].message.to == "person0@example.com" and not outgoing[0].doubtful:
                raise ZeroDivisionError
            return await super().send(outgoing)

    ways, clock = Breaking(), Clock()
    ways.open.set()
    async with an_office(tmp_path, sender=ways, clock=clock) as office:
        await office.post(*messages(3))
        await office.until(lambda: office.waiting() == 1)

        clock.move(outbox.LEASE)
        await office.emptied()

        assert [row.doubtful for row in ways.taken] == [False, False, True]


async def test_the_inbox_takes_many_in_one_go_and_repeats_what_is_in_doubt(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox.db")
    sent = messages(150)
    try:
        async with an_office(tmp_path, sender=inbox) as office:
            await office.post(*sent)
            await office.emptied()
            once_each([m.to for m in inbox.messages()], [m.to for m in sent])
    finally:
        inbox.close()
