"""Bringing people from elsewhere, at the door of administration and into a real database."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import bcrypt
import pytest
from msgspec.structs import replace

from genkan import identifiers
from genkan.engine.queries import Query
from genkan.engine.transaction import Needs
from genkan.factors import foreign, password
from genkan.intake.formats import Person, Refused
from genkan.model import Kind, Secret, Subject
from genkan.service import importing
from genkan.service.importing import Outcome, Source, bring
from tests.service.offices import OPERATOR, Office, office
from tests.store.worlds import guid

SOURCE = Source(name="auth0", key=b"k" * 32)


def somebody(number: int, email: str | None = None, **more: object) -> Person:
    address = identifiers.email(email or f"person{number}@example.com")
    assert address is not None
    person = Person(
        line=number + 1,
        number=number,
        email=address,
        username=None,
        phone=None,
        source=f"auth0|{number}",
        id="",
        attributes={"displayName": f"Person {number}"},
        material=None,
        enabled=True,
        must_change_password=False,
        created_at=datetime(2020, 1, number % 28 + 1, tzinfo=UTC),
    )
    return replace(person, **more)


def hashed(text: str, cost: int = 4) -> Secret:
    found = foreign.read(bcrypt.hashpw(text.encode(), bcrypt.gensalt(cost)).decode())
    assert isinstance(found, Secret)
    return found


async def brought(
    at: Office, found: Iterable[Person | Refused], source: Source = SOURCE, writes: bool = True
) -> list[Outcome]:
    return [
        o for some in [s async for s in bring(at.door, OPERATOR, source, found, writes=writes)] for o in some
    ]


async def everybody(at: Office) -> Sequence[Subject]:
    return [s for s in (await at.store.people(Query(limit=1000))).entries if isinstance(s, Subject)]


def test_a_person_is_brought_with_all_that_proves_and_describes_them(tmp_path: Path) -> None:
    number = identifiers.phone("+447812345678")
    person = somebody(1, material=hashed("as before"), phone=number, enabled=False, must_change_password=True)

    async def story() -> None:
        async with office(tmp_path) as at:
            assert await brought(at, [person]) == [Outcome(line=2, number=1)]
            loaded = await at.store.read(Needs(identifier="person1@example.com"))
            subject = loaded.subject
            assert subject is not None
            assert (subject.status, subject.must_change_password) == ("disabled", True)
            assert subject.created_at == person.created_at
            assert subject.attributes == {"displayName": "Person 1"}
            assert [(f.issuer, f.value) for f in subject.foreign] == [("auth0", "auth0|1")]
            first, second = sorted(loaded.authenticators, key=lambda a: a.kind)
            assert (first.kind, first.strong) == (Kind.PASSWORD, False)
            assert password.verify(first.material, "as before")
            assert (second.kind, second.strong, second.target) == (Kind.SMS_OTP, True, number)
            assert at.delivered == 0, "nobody is told of what was so before"

    asyncio.run(story())


def test_records_that_are_refused_keep_nobody_else_out_and_each_says_why(tmp_path: Path) -> None:
    found: list[Person | Refused] = [
        somebody(1, "ada@example.com"),
        Refused(line=3, number=2, reason="it is not CSV"),
        somebody(3, "ADA@example.com"),
        somebody(4, "there@example.com"),
        somebody(5, attributes={"displayName": "x" * 300}),
        somebody(6),
    ]

    async def story() -> None:
        async with office(tmp_path) as at:
            await brought(at, [somebody(9, "there@example.com")], replace(SOURCE, name="csv"))
            outcomes = await brought(at, found)
            assert [(o.line, o.refused) for o in outcomes] == [
                (2, ""),
                (3, "it is not CSV"),
                (4, "line 2 has the same address or username"),
                (5, "somebody here has the same address, username or id already"),
                (6, "the property displayName has 256 characters at most, and no control characters"),
                (7, ""),
            ]
            assert len(await everybody(at)) == 3

    asyncio.run(story())


def test_what_was_brought_before_is_known_again_and_left_as_it_is(tmp_path: Path) -> None:
    """So a run that was cut off is started anew, and one of next week adds those who are new."""

    async def story() -> None:
        async with office(tmp_path) as at:
            await brought(at, [somebody(n) for n in range(1, 4)])
            log = await at.log()
            moved = somebody(2, "elsewhere@example.com", attributes={"displayName": "Changed"})
            outcomes = await brought(at, [somebody(1), moved, somebody(3), somebody(4)])
            assert [o.is_known for o in outcomes] == [True, True, True, False]
            assert all(o.refused == "" for o in outcomes)
            assert sorted(s.attributes["displayName"] for s in await everybody(at)) == [
                f"Person {n}" for n in range(1, 5)
            ]
            assert await at.log() == [*log, ("Add user", "")], "and nothing is logged of those who are known"

    asyncio.run(story())


def test_a_run_that_stops_in_the_middle_has_brought_whom_it_named_and_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "AT_ONCE", 3)
    found = [somebody(n) for n in range(1, 9)]

    async def story() -> None:
        async with office(tmp_path) as at:
            steps = bring(at.door, OPERATOR, SOURCE, found)
            first = await anext(steps)
            await steps.aclose()
            assert [o.number for o in first] == [1, 2, 3]
        async with office(tmp_path) as at:
            outcomes = await brought(at, found)
            assert [o.number for o in outcomes if o.is_known] == [1, 2, 3]
            assert len(await everybody(at)) == 8

    asyncio.run(story())


def test_ids_are_the_persons_own_or_always_the_same_and_of_nobody_elses_making(tmp_path: Path) -> None:
    own = guid()

    async def ids(folder: Path, source: Source) -> dict[str, str]:
        async with office(folder) as at:
            await brought(at, [somebody(1), somebody(2, id=own, source=own)], source)
            return {str(s.attributes["displayName"]): s.id for s in await everybody(at)}

    for name in "abc":
        (tmp_path / name).mkdir()
    first = asyncio.run(ids(tmp_path / "a", SOURCE))
    again = asyncio.run(ids(tmp_path / "b", SOURCE))
    other = asyncio.run(ids(tmp_path / "c", replace(SOURCE, key=b"l" * 32)))

    assert first["Person 2"] == own
    assert first == again
    assert first["Person 1"] != other["Person 1"], "only the tenant's key tells them"
    assert first["Person 1"][14] == "8"


def test_a_dry_run_says_the_same_and_writes_nothing(tmp_path: Path) -> None:
    found: list[Person | Refused] = [
        somebody(1),
        somebody(2, "person1@example.com"),
        somebody(3, attributes={"shoe": "41"}),
        Refused(line=5, number=4, reason="it is not CSV"),
        somebody(5, material=hashed("x")),
    ]

    async def story() -> None:
        async with office(tmp_path) as at:
            await brought(at, [somebody(8), somebody(9)])
            log = await at.log()
            foreseen = await brought(at, [*found, somebody(9)], writes=False)
            assert await at.log() == log
            assert len(await everybody(at)) == 2
            assert at.store.directory().tenant.foreign_hashes == ()
            assert await brought(at, [*found, somebody(9)]) == foreseen
            assert [bool(o.refused) for o in foreseen] == [False, True, True, True, False, False]

    asyncio.run(story())


@pytest.mark.proves("ENUM-04")
def test_the_tenant_notes_each_kind_of_foreign_hash_once_and_no_more_than_a_few(tmp_path: Path) -> None:
    def slow(number: int, rounds: int) -> Person:
        material = foreign.keep(foreign.Pbkdf2(digest="sha256", rounds=rounds, salt=b"salt", tag=bytes(32)))
        assert isinstance(material, Secret)
        return somebody(number, material=material)

    async def story() -> None:
        async with office(tmp_path) as at:
            unix = hashed("one")
            await brought(at, [somebody(1, material=unix), somebody(2, material=hashed("two")), somebody(3)])
            assert at.store.directory().tenant.foreign_hashes == (foreign.dummy(unix),)
            outcomes = await brought(at, [slow(10 + n, 1000 + n) for n in range(8)])
            assert [o.refused for o in outcomes] == [""] * 7 + [importing.TOO_MANY]
            kinds = at.store.directory().tenant.foreign_hashes
            assert len(kinds) == importing.MOST_KINDS
            assert foreign.dummy(unix) in kinds
            noted = [action for action, _ in await at.log() if action == importing.KINDS.name]
            assert len(noted) == 2, "once for each run that brought something new"

    asyncio.run(story())


@pytest.mark.proves("LOG-01", "LOG-05")
def test_everybody_who_is_brought_has_an_audit_row_which_shows_neither_address_nor_hash(
    tmp_path: Path,
) -> None:
    number = identifiers.phone("+447812345678")

    async def story() -> None:
        async with office(tmp_path) as at:
            await brought(
                at, [somebody(n, material=hashed("secret word"), phone=number) for n in range(1, 4)]
            )
            assert (await at.log()).count(("Add user", "")) == 3
            trail = str(await at.store.trail(limit=100))
            for secret in ("person1@", "7812345678", "$2b$", "foreign:", "secret word"):
                assert secret not in trail

    asyncio.run(story())
