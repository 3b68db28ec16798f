"""Many writers at once: one winner, no more than allowed, nothing twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from msgspec.structs import replace

from genkan.engine.flow import Closed
from genkan.engine.messages import Count, Deliver, PutAuthenticator, PutGrant, PutSubject
from genkan.engine.transaction import Change, Conflict, Loaded, Needs
from tests.store.worlds import (
    PLACES,
    START,
    Place,
    a_flow,
    a_grant,
    a_mailbox,
    a_message,
    a_record,
    a_subject,
    an_email,
    fails_once_more,
    guid,
    looks,
    opened,
    writes,
)

WRITERS = 40


@pytest.fixture(params=PLACES, ids=lambda kind: kind.__name__)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    found: Place = request.param(tmp_path)
    return found


def test_every_version_of_a_flow_has_one_winner(place: Place) -> None:
    async def story() -> None:
        flow = a_flow()
        async with opened(place) as store:
            await store.run(Needs(), writes(flow=flow))

            counted = await asyncio.gather(
                *[store.run(Needs(flow=flow.id), fails_once_more) for _ in range(WRITERS)]
            )
            loaded = await store.read(Needs(flow=flow.id))

            assert sorted(counted) == list(range(1, WRITERS + 1))
            assert loaded.flow_version == WRITERS + 1
            assert len(await store.trail()) == WRITERS

    asyncio.run(story())


def test_a_right_proof_said_by_many_at_once_closes_the_flow_for_one(place: Place) -> None:
    async def story() -> None:
        subject = a_subject()
        flow = a_flow(subject)

        def redeem(loaded: Loaded) -> tuple[Change, str]:
            assert loaded.flow is not None
            if isinstance(loaded.flow.stage, Closed):
                return Change(effects=(a_record("proof:late"),)), "late"
            closed = replace(loaded.flow, stage=Closed(outcome="issued"))
            return Change(flow=closed, effects=(PutGrant(a_grant(subject)),)), "issued"

        async with opened(place) as store:
            await store.run(Needs(), writes(PutSubject(subject), flow=flow))

            answers = await asyncio.gather(*[store.run(Needs(flow=flow.id), redeem) for _ in range(WRITERS)])

            assert Counter(answers) == {"issued": 1, "late": WRITERS - 1}
            assert place.execute(store, "SELECT count(*) FROM refresh_grant") == [(1,)]

    asyncio.run(story())


def test_no_more_is_spent_from_a_limit_than_it_allows(place: Place) -> None:
    async def story() -> None:
        allowed = 5

        def guess(loaded: Loaded) -> tuple[Change, bool]:
            spent = loaded.histories["guesses"]
            if len(spent) >= allowed:
                return Change(), False
            count = Count(bucket="guesses", history=(*spent, len(spent)), keep_until=START)
            return Change(effects=(count,)), True

        async with opened(place) as store:
            needs = Needs(buckets=lambda _: ("guesses",))

            judged = await asyncio.gather(*[store.run(needs, guess) for _ in range(WRITERS)])

            assert sum(judged) == allowed

    asyncio.run(story())


def test_an_identifier_that_nobody_looked_at_has_one_winner(place: Place) -> None:
    async def story() -> None:
        async with opened(place) as store:
            flow = a_flow()
            await store.run(Needs(), writes(flow=flow))

            async def sign_up() -> bool:
                subject = a_subject(an_email(guid()), an_email("wanted"))
                try:
                    await store.run(
                        Needs(), writes(PutSubject(subject), PutAuthenticator(a_mailbox(subject)))
                    )
                except Conflict:
                    return False
                return True

            counting = [store.run(Needs(flow=flow.id), fails_once_more) for _ in range(WRITERS)]
            won, counted = await asyncio.gather(
                asyncio.gather(*[sign_up() for _ in range(WRITERS)]), asyncio.gather(*counting)
            )

            assert sum(won) == 1
            assert sorted(counted) == list(range(1, WRITERS + 1))
            for table, rows in (("subject", 1), ("authenticator", 1), ("identifier", 2)):
                assert place.execute(store, f"SELECT count(*) FROM {table}") == [(rows,)]

    asyncio.run(story())


def test_an_identifier_that_everybody_looks_at_has_one_winner_and_no_conflict(place: Place) -> None:
    async def story() -> None:
        def sign_up(loaded: Loaded) -> tuple[Change, bool]:
            if loaded.subject is not None:
                return Change(), False
            return Change(effects=(PutSubject(a_subject(an_email("wanted"))),)), True

        async with opened(place) as store:
            needs = Needs(identifier="wanted@example.com")

            won = await asyncio.gather(*[store.run(needs, sign_up) for _ in range(WRITERS)])

            assert sum(won) == 1

    asyncio.run(story())


def test_one_revision_of_an_authenticator_has_one_winner(place: Place) -> None:
    async def story() -> None:
        subject = a_subject()
        async with opened(place) as store:
            await store.run(Needs(), writes(PutSubject(subject), PutAuthenticator(a_mailbox(subject))))
            [kept] = (await store.read(Needs(subject=subject.id))).authenticators

            async def quarantine() -> bool:
                try:
                    await store.run(Needs(), writes(PutAuthenticator(replace(kept, state="quarantined"))))
                except Conflict:
                    return False
                return True

            won = await asyncio.gather(*[quarantine() for _ in range(WRITERS)])

            assert sum(won) == 1

    asyncio.run(story())


def test_no_message_is_leased_twice(place: Place) -> None:
    async def story() -> None:
        messages = [a_message() for _ in range(100)]
        async with opened(place) as store:
            writing = [store.run(Needs(), writes(Deliver(message))) for message in messages]
            leasing = [store.lease(3) for _ in range(WRITERS)]

            _, leased = await asyncio.gather(asyncio.gather(*writing), asyncio.gather(*leasing))
            rest = await store.lease(100)

            ids = [row.message.id for rows in (*leased, rest) for row in rows]
            assert sorted(ids) == sorted(message.id for message in messages)

    asyncio.run(story())


def test_more_steps_than_one_batch_takes_are_all_answered(place: Place) -> None:
    async def story() -> None:
        async with opened(place) as store:
            await asyncio.gather(*[store.run(Needs(), writes(a_record())) for _ in range(1000)])
            seen = await asyncio.gather(*[store.run(Needs(), looks) for _ in range(1000)])

            assert len(seen) == 1000
            assert len(await store.trail(limit=2000)) == 1000

    asyncio.run(story())
