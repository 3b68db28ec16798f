"""Signals that wait for receivers, on each kind of database: written with their change, one row for each receiver."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from genkan.engine import signals
from genkan.engine.messages import Directory, Emit, Follow, PutSubject, Signal, Silence
from genkan.engine.transaction import Conflict, Needs, Taken
from genkan.model import Stream, Tenant
from genkan.store.signals import LEASE, wait
from genkan.store.tenant import Store
from tests.store.worlds import (
    PLACES,
    START,
    TENANT,
    Clock,
    Place,
    a_subject,
    guid,
    opened,
    writes,
)

pytestmark = pytest.mark.anyio

PUSHED = Stream(
    id="pushed", client="p", audience="p", delivery="push", url="https://x", events=signals.EVENTS
)
POLLED = Stream(id="polled", client="q", audience="q", events=signals.EVENTS)


@pytest.fixture(params=PLACES, ids=lambda kind: kind.__name__)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    found: Place = request.param(tmp_path)
    return found


def a_signal(subject: str = "ada", **more: object) -> Signal:
    said = signals.signal("session-revoked", subject, START, id=guid(), txn="t", initiating_entity="user")
    return replace(said, **more)


async def with_streams(store: Store, *streams: Stream) -> None:
    directory = Directory(tenant=Tenant(id=TENANT, name="north"), streams={s.id: s for s in streams})
    await store.replace_directory(directory)


async def emit(store: Store, *said: Signal) -> None:
    await store.run(Needs(), writes(*map(Emit, said)))


async def about(store: Store, stream: Stream) -> list[str]:
    """Whom a stream is told of, oldest first."""
    return [one.signal.subject for one in await store.untaken(stream, 100)]


@pytest.mark.proves("WHK-08")
async def test_each_receiver_has_its_own_row_and_its_own_id(place: Place) -> None:
    async with opened(place) as store:
        await with_streams(store, PUSHED, POLLED)
        said = a_signal()
        await emit(store, said)

        (one,), (other,) = await store.untaken(PUSHED, 9), await store.untaken(POLLED, 9)
        assert len({one.signal.id, other.signal.id, said.id}) == 3
        assert replace(one.signal, id="") == replace(other.signal, id="") == replace(said, id="")
        await store.settle_signals("polled", [Taken(id=one.signal.id, how="taken")])
        assert await about(store, PUSHED) == ["ada"]  # Nobody acknowledges for another.
        await store.settle_signals("pushed", [Taken(id=one.signal.id, how="taken")] * 2)
        assert (await about(store, PUSHED), await about(store, POLLED)) == ([], ["ada"])
        taken = [r.record.detail for r in await store.trail() if r.record.action == "signal:taken"]
        assert [(d["jti"], d["stream"]) for d in taken] == [(one.signal.id, "pushed")]


@pytest.mark.proves("WHK-06")
async def test_a_signal_is_written_with_its_change_or_not_at_all(place: Place) -> None:
    async with opened(place) as store:
        await with_streams(store, POLLED)
        subject = a_subject()

        stale = replace(subject, revision=7)
        with pytest.raises(Conflict):
            await store.run(Needs(), writes(Emit(a_signal()), PutSubject(stale)))
        assert await about(store, POLLED) == []
        await store.run(Needs(), writes(Emit(a_signal(subject.id)), PutSubject(subject)))
        assert await about(store, POLLED) == [subject.id]


async def test_what_is_leased_is_nobody_elses_until_the_lease_is_over(place: Place) -> None:
    clock = Clock()
    async with opened(place, clock) as store:
        await with_streams(store, PUSHED)
        await emit(store, a_signal("one"), a_signal("two"), a_signal("three"))

        first = await store.lease_signals(PUSHED, 2)
        second = await store.lease_signals(PUSHED, 2)
        assert [[w.signal.subject for w in w_] for w_ in (first, second)] == [["one", "two"], ["three"]]
        clock.move(LEASE + timedelta(seconds=1))
        again = await store.lease_signals(PUSHED, 9)
        assert [(w.signal.subject, w.attempts) for w in again] == [("one", 2), ("two", 2), ("three", 2)]


async def test_what_was_not_taken_is_due_again_after_a_growing_wait(place: Place) -> None:
    clock = Clock()
    async with opened(place, clock) as store:
        await with_streams(store, PUSHED)
        await emit(store, a_signal("one"), a_signal("two"))
        one, two = await store.lease_signals(PUSHED, 9)

        await store.settle_signals(
            "pushed", [Taken(id=one.signal.id, how="again", why="x"), Taken(id=two.signal.id, how="unsent")]
        )

        (left,) = await store.lease_signals(PUSHED, 9)
        assert (left.signal.subject, left.attempts) == ("two", 1)
        clock.move(timedelta(seconds=3))
        assert [w.signal.subject for w in await store.lease_signals(PUSHED, 9)] == ["one"]
        spans = [wait(1, attempts).total_seconds() for attempts in range(1, 30)]
        assert all(0.75 * 2 <= span <= 1.25 * 3600 for span in spans)
        assert spans[20] > spans[5] > spans[0]


@pytest.mark.proves("WHK-08")
async def test_what_is_given_up_is_seen_revived_and_forgotten_after_thirty_days(place: Place) -> None:
    clock = Clock()
    async with opened(place, clock) as store:
        await with_streams(store, PUSHED, POLLED)
        await emit(store, a_signal())
        (one,) = await store.lease_signals(PUSHED, 9)
        await store.settle_signals("pushed", [Taken(id=one.signal.id, how="refused", why="invalid_key")])

        (dead,) = await store.dead_signals()
        assert (dead.stream, dead.attempts, dead.why) == ("pushed", 1, "invalid_key")
        assert await store.waiting_signals() == {"pushed": (0, 1), "polled": (1, 0)}
        assert await about(store, PUSHED) == []
        assert await store.revive_signals("another") == 0
        assert await store.revive_signals() == 1
        assert await about(store, PUSHED) == ["ada"]
        clock.move(signals.SET_LIFETIME + timedelta(seconds=1))
        assert await store.give_up_signals() == 2
        assert await store.give_up_signals() == 0
        assert await store.waiting_signals() == {"pushed": (0, 1), "polled": (0, 1)}
        clock.move(timedelta(days=29))
        await store.sweep()
        assert len(await store.dead_signals()) == 2
        clock.move(timedelta(days=2))
        await store.sweep()
        assert await store.waiting_signals() == {}


@pytest.mark.proves("WHK-09")
async def test_a_wish_to_hear_no_more_counts_from_its_time_and_never_within_an_incident(place: Place) -> None:
    async with opened(place) as store:
        await with_streams(store, PUSHED, POLLED)
        end = START + timedelta(days=7)
        await store.run(Needs(), writes(Follow("polled", "ada", end)))
        late = end + timedelta(days=1)

        for number, (at, since) in enumerate(
            (
                (end - timedelta(seconds=1), None),
                (late, None),
                (late, end - timedelta(days=1)),
                (late, end + timedelta(hours=1)),
            )
        ):
            await emit(
                store, a_signal(at=at, since=since, txn=str(number)), a_signal("grace", at=at, txn="x")
            )

        told = [w.signal.txn for w in await store.untaken(POLLED, 99) if w.signal.subject == "ada"]
        assert told == ["0", "2"]
        assert (await about(store, PUSHED)).count("ada") == 4
        assert (await about(store, POLLED)).count("grace") == 4
        await store.run(Needs(), writes(Follow("polled", "ada")))
        await emit(store, a_signal(at=late, txn="back"))
        assert (await store.untaken(POLLED, 99))[-1].signal.txn == "back"


async def test_a_stream_about_chosen_people_and_one_that_is_not_enabled(place: Place) -> None:
    async with opened(place) as store:
        await with_streams(store, replace(POLLED, every_subject=False))
        await emit(store, a_signal())
        await store.run(Needs(), writes(Follow("polled", "ada")))
        await emit(store, a_signal(), a_signal("grace"))
        assert await about(store, POLLED) == ["ada"]

        await emit(store, a_signal("", event=signals.STREAM_UPDATED))  # To nobody: no stream is named.
        own = Emit(a_signal("", event=signals.STREAM_UPDATED), "polled")
        await store.run(Needs(), writes(own))
        assert await about(store, POLLED) == ["ada", ""]
        paused = replace(POLLED, status="paused")
        assert await about(store, paused) == [""]
        assert [w.signal.subject for w in await store.lease_signals(paused, 9)] == [""]
        await store.run(Needs(), writes(Silence("polled")))
        assert await about(store, POLLED) == [""]
        await store.run(Needs(), writes(Silence("polled", all=True)))
        await emit(store, a_signal())
        assert await store.waiting_signals() == {}


async def test_a_disabled_stream_and_events_that_nobody_asked_for_leave_no_row(place: Place) -> None:
    async with opened(place) as store:
        await with_streams(
            store, replace(PUSHED, status="disabled"), replace(POLLED, events=(signals.ACCOUNT_DISABLED,))
        )
        await emit(store, a_signal())
        assert await store.waiting_signals() == {}
