"""What the steps of a batch are decided on is read for all of them beforehand, and none of them may notice."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from genkan.engine.messages import (
    Count,
    Effect,
    PutAuthenticator,
    PutFootprint,
    PutGrant,
    PutSubject,
    RevokeGrants,
)
from genkan.engine.transaction import Change, Conflict, Loaded, Needs
from genkan.risk.footprint import Footprint, Seen
from genkan.store.tenant import Store
from tests.store.worlds import (
    START,
    Clock,
    Place,
    PostgresPlace,
    SqlitePlace,
    a_flow,
    a_grant,
    a_mailbox,
    a_record,
    a_subject,
    an_email,
    guid,
)

Act = Literal[
    "look", "count", "flow", "attributes", "rename", "method", "grant", "revoke", "footprint", "sign_up"
]


Run = Callable[[Store], Awaitable[list[Any]]]


class Piece(NamedTuple):
    """One step: whom it is about, by which way, and what it does."""

    person: int
    by: Literal["flow", "identifier", "grant", "subject"]
    act: Act
    other: int
    """The person whose name somebody takes, or the limit that is counted."""


pieces = st.lists(
    st.builds(
        Piece,
        st.integers(0, 2),
        st.sampled_from(["flow", "identifier", "grant", "subject"]),
        st.sampled_from(get_args(Act)),
        st.integers(0, 2),
    ),
    min_size=2,
    max_size=8,
)


class People:
    """Three addresses, of which two are somebody's; the third is not yet."""

    def __init__(self) -> None:
        self.addresses = [an_email(guid()) for _ in range(3)]
        self.people = [a_subject(address) for address in self.addresses[:2]]
        self.new = [a_subject(address) for address in self.addresses]
        self.flows = [
            a_flow(None if n == 2 else self.people[n], address) for n, address in enumerate(self.addresses)
        ]
        self.grants = [a_grant(person) for person in self.people]
        self.methods = [a_mailbox(person) for person in self.people for _ in range(8)]
        self.limits = [guid() for _ in range(3)]

    async def put(self, store: Store) -> None:
        effects: list[Effect] = [*map(PutSubject, self.people), *map(PutGrant, self.grants)]
        await store.run(Needs(), lambda _: (Change(effects=tuple(effects)), None))
        for flow in self.flows:
            await store.run(Needs(), partial(lambda flow, _: (Change(flow=flow), None), flow))

    def needs(self, piece: Piece) -> Needs:
        known = min(piece.person, 1)
        return Needs(
            flow=self.flows[piece.person].id if piece.by == "flow" else None,
            identifier=self.addresses[piece.person].key if piece.by == "identifier" else None,
            grant=self.grants[known].id if piece.by == "grant" else None,
            subject=self.people[known].id if piece.by == "subject" else None,
            # Which limits count depends on who it is, as it does in a flow.
            buckets=lambda loaded: (
                self.limits[piece.other],
                f"{self.limits[0]}:{loaded.subject and loaded.subject.id}",
            ),
        )

    def decide(self, position: int, piece: Piece, loaded: Loaded) -> tuple[Change, Any]:
        """Do what the piece says to whomever was found, and tell everything that was seen."""
        flow, subject = loaded.flow, loaded.subject
        effects: list[Effect] = [a_record(correlation_id=str(position))]
        match piece.act:
            case "count":
                effects += [
                    Count(bucket=name, history=(*history, position), keep_until=START + timedelta(hours=1))
                    for name, history in loaded.histories.items()
                ]
            case "flow":
                flow = flow and replace(flow, failures=flow.failures + 1)
            case "attributes" if subject:
                effects.append(PutSubject(replace(subject, attributes={"city": str(position)})))
            case "rename" if subject:
                effects.append(PutSubject(replace(subject, identifiers=(self.addresses[piece.other],))))
            case "method" if subject:
                effects.append(PutAuthenticator(replace(self.methods[position], subject=subject.id)))
            case "grant" if loaded.grant:
                effects.append(PutGrant(replace(loaded.grant, head=str(position).encode())))
            case "revoke" if subject:
                effects.append(RevokeGrants(subject=subject.id, at=START))
            case "footprint" if subject:
                seen = Footprint(countries=(Seen(what=str(position), at=START),))
                effects.append(PutFootprint(subject=subject.id, footprint=seen))
            case "sign_up" if subject is None:
                effects.append(PutSubject(self.new[piece.other]))
        told = (
            loaded.flow,
            loaded.flow_version,
            subject,
            loaded.authenticators,
            loaded.grant,
            loaded.footprint,
            dict(loaded.histories),
        )
        return Change(flow=None if flow is loaded.flow else flow, effects=tuple(effects)), told


def _dawdle(_: Loaded) -> tuple[Change, None]:
    """Hold up the batch, so that all that comes meanwhile is in the next one."""
    time.sleep(0.01)
    return Change(), None


@pytest.fixture(scope="module")
def places() -> Iterator[tuple[SqlitePlace, PostgresPlace]]:
    with tempfile.TemporaryDirectory() as folder:
        yield SqlitePlace(Path(folder)), PostgresPlace(Path(folder))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces)
@example(
    [Piece(2, "identifier", "sign_up", 2), Piece(2, "identifier", "look", 0), Piece(2, "flow", "look", 0)]
)
@example(
    [Piece(0, "identifier", "rename", 2), Piece(2, "identifier", "look", 0), Piece(0, "flow", "look", 0)]
)
def test_steps_of_one_batch_see_what_they_would_see_one_after_another(
    places: tuple[SqlitePlace, PostgresPlace], said: Sequence[Piece]
) -> None:
    people = People()

    async def at_once(store: Store) -> list[Any]:
        held = store.run(Needs(), _dawdle)
        steps = (store.run(people.needs(p), partial(people.decide, n, p)) for n, p in enumerate(said))
        return (await asyncio.gather(held, *steps, return_exceptions=True))[1:]

    async def one_by_one(store: Store) -> list[Any]:
        seen: list[Any] = []
        for n, piece in enumerate(said):
            try:
                seen.append(await store.run(people.needs(piece), partial(people.decide, n, piece)))
            except Conflict as error:
                seen.append(error)
        return seen

    async def both() -> tuple[list[Any], list[Any]]:
        found = []
        runs: Sequence[tuple[Place, Run]] = ((places[0], one_by_one), (places[1], at_once))
        for place, run in runs:
            store = place.open(Clock())
            try:
                await people.put(store)
                found.append([Conflict if isinstance(s, Conflict) else s for s in await run(store)])
                assert (await store.verify_trail()).broken_at is None
            finally:
                await store.close()
        return found[0], found[1]

    expected, seen = asyncio.run(both())

    assert seen == expected
