"""Administration of people, at its door: what is written, what is refused, and what the log says."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from genkan import identifiers
from genkan.engine.messages import PutGrant
from genkan.engine.queries import AuditQuery, Query, Term
from genkan.engine.transaction import Needs
from genkan.model import Kind, Secret, Subject
from genkan.service.admin import groups, people
from genkan.service.admin.door import version
from genkan.service.admin.groups import GroupChange
from genkan.service.admin.people import Identity, NewPerson, PersonChange
from tests.service.offices import DOMAIN, OPERATOR, Office, made, office, refused
from tests.store.worlds import a_grant, writes

STRONG, STRONGER = Secret("seven wet umbrellas 41"), Secret("nine dry umbrellas 52")


def named(address: str, **more: object) -> NewPerson:
    return NewPerson(identities=(Identity("emailAddress", DOMAIN, address),), **more)  # type: ignore[arg-type]


async def with_grant(at: Office, subject: Subject) -> str:
    grant = a_grant(subject)
    await at.store.run(Needs(), writes(PutGrant(grant)))
    return grant.id


async def revoked(at: Office, grant: str) -> bool:
    found = (await at.store.read(Needs(grant=grant))).grant
    assert found is not None
    return found.revoked_at is not None


@pytest.mark.proves("LOG-05")
def test_a_change_and_its_audit_row_are_one_commit_and_a_refusal_leaves_only_its_row(tmp_path: Path) -> None:
    async def story() -> None:
        async with office(tmp_path) as at:
            added = made(await people.add(at.door, OPERATOR, named("ada@example.com")))
            twice = refused(await people.add(at.door, OPERATOR, named("ADA@example.com")))
            weak = refused(await people.add(at.door, OPERATOR, named("bo@example.com", password=Secret("a"))))
            assert (twice.why, twice.code, twice.target) == ("taken", "ObjectConflict", "identities")
            assert (weak.why, weak.target, weak.code) == ("invalid", "password", "password_too_short")
            assert await at.log() == [("Add user", ""), ("Add user", "taken"), ("Add user", "invalid")]
            assert [p.id for p in (await at.store.people(Query())).entries] == [added.id]

    asyncio.run(story())


@pytest.mark.proves("LOG-01", "ADM-07", "GR-104")
def test_the_log_says_who_what_before_and_after_and_neither_address_nor_password(tmp_path: Path) -> None:
    async def story() -> None:
        async with office(tmp_path) as at:
            new = named("ada.lovelace@example.com", password=STRONG, attributes={"displayName": "Ada"})
            added = made(await people.add(at.door, OPERATOR, new))
            wanted = PersonChange(attributes={"displayName": "Countess", "mobilePhone": "+447812345678"})
            made(await people.change(at.door, OPERATOR, added.id, wanted))
            made(await people.change(at.door, OPERATOR, added.id, PersonChange(password=STRONGER)))
            password, change, _ = await at.store.audits(AuditQuery())
            detail = change.record.detail
            assert detail["actor"] == {"kind": "operator", "id": "root", "name": "root"}
            assert change.record.subject == added.id
            assert detail["targets"][0]["changes"] == [
                {"name": "displayName", "old": '"Ada"', "new": '"Countess"'},
                {"name": "mobilePhone", "old": None, "new": '"+44*******78"'},
            ]
            assert password.record.detail["targets"][0]["changes"] == [
                {"name": "passwordProfile", "old": '"***"', "new": '"***"'}
            ]
            rows = str(await at.store.trail(limit=1000))
            for secret in ("ada.lovelace@", "447812345678", STRONG.text, STRONGER.text, "argon2"):
                assert secret not in rows

    asyncio.run(story())


@pytest.mark.parametrize(
    "ends",
    [PersonChange(enabled=False), PersonChange(password=STRONGER)],
    ids=["switched off", "a new password"],
)
@pytest.mark.proves("OTP-22")
def test_what_keeps_somebody_out_ends_their_sessions(tmp_path: Path, ends: PersonChange) -> None:
    async def story() -> None:
        async with office(tmp_path) as at:
            added = made(await people.add(at.door, OPERATOR, named("ada@example.com", password=STRONG)))
            grant = await with_grant(at, added)
            made(await people.change(at.door, OPERATOR, added.id, PersonChange(attributes={"city": "Kyoto"})))
            assert not await revoked(at, grant)
            changed = made(await people.change(at.door, OPERATOR, added.id, ends))
            assert changed.epoch == added.epoch + 1
            assert await revoked(at, grant)

    asyncio.run(story())


@pytest.mark.proves("CAN-10")
def test_the_names_of_who_was_deleted_stay_taken_for_30_days(tmp_path: Path) -> None:
    async def story() -> None:
        async with office(tmp_path) as at:
            added = made(await people.add(at.door, OPERATOR, named("ada@example.com")))
            grant = await with_grant(at, added)
            made(await people.remove(at.door, OPERATOR, added.id))
            assert await revoked(at, grant)
            assert (await at.store.people(Query())).entries == ()
            assert refused(await people.add(at.door, OPERATOR, named("ada@example.com"))).why == "taken"
            assert (
                refused(await people.change(at.door, OPERATOR, added.id, PersonChange(enabled=True))).why
                == "missing"
            )
            back = made(await people.restore(at.door, OPERATOR, added.id))
            assert (back.status, back.deleted_at) == ("active", None)

            made(await people.remove(at.door, OPERATOR, added.id))
            at.clock.move(timedelta(days=29))
            await at.store.sweep()
            assert refused(await people.add(at.door, OPERATOR, named("ada@example.com"))).why == "taken"
            at.clock.move(timedelta(days=2))
            await at.store.sweep()
            again = made(await people.add(at.door, OPERATOR, named("ada@example.com")))
            assert again.id != added.id

    asyncio.run(story())


def test_another_issuer_may_give_the_same_name_and_it_is_found_by_it_alone(tmp_path: Path) -> None:
    async def story() -> None:
        async with office(tmp_path) as at:
            own = made(await people.add(at.door, OPERATOR, named("ada@example.com")))
            foreign = NewPerson(identities=(Identity("federated", "idp.example", "ada@example.com"),))
            other = made(await people.add(at.door, OPERATOR, foreign))
            assert refused(await people.add(at.door, OPERATOR, foreign)).code == "ObjectConflict"
            key = other.foreign[0].key
            found = await at.store.people(Query(where=Term("identities", "eq", key)))
            assert [p.id for p in found.entries] == [other.id]
            found = await at.store.people(Query(where=Term("identities", "eq", "ada@example.com")))
            assert [p.id for p in found.entries] == [own.id]

    asyncio.run(story())


@pytest.mark.parametrize(
    "identities",
    [
        (),
        (Identity("emailAddress", DOMAIN, "no address"),),
        (Identity("userName", DOMAIN, "ada@example.com"),),
        (Identity("federated", DOMAIN, "ada"),),
        (Identity("phoneNumber", DOMAIN, "+447812345678"),),
        (Identity("emailAddress", "i" * 513, "ada@example.com"),),
        (Identity("federated", "idp.example", "x" * 65),),
        (
            Identity("emailAddress", DOMAIN, "ada@example.com"),
            Identity("emailAddress", "", "Ada@example.com"),
        ),
    ],
)
def test_names_that_are_none_are_refused(tmp_path: Path, identities: tuple[Identity, ...]) -> None:
    async def story() -> None:
        async with office(tmp_path) as at:
            answer = refused(await people.add(at.door, OPERATOR, NewPerson(identities=identities)))
            assert (answer.why, answer.target) == ("invalid", "identities")

    asyncio.run(story())


def test_a_change_that_was_decided_on_something_older_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        async with office(tmp_path) as at:
            added = made(await people.add(at.door, OPERATOR, named("ada@example.com")))
            seen = version(added)
            wanted = PersonChange(attributes={"city": "Kyoto"})
            made(await people.change(at.door, OPERATOR, added.id, wanted, seen))
            assert refused(await people.change(at.door, OPERATOR, added.id, wanted, seen)).why == "stale"
            assert refused(await people.remove(at.door, OPERATOR, added.id, seen)).why == "stale"

    asyncio.run(story())


@pytest.mark.proves("ENR-03")
def test_owners_hear_of_every_change_to_how_they_sign_in(tmp_path: Path) -> None:
    async def story() -> None:
        async with office(tmp_path) as at:
            added = made(await people.add(at.door, OPERATOR, named("ada@example.com", password=STRONG)))
            number = identifiers.phone("+447812345678")
            other = identifiers.phone("+447812345679")
            assert number is not None
            assert other is not None
            made(await people.add_method(at.door, OPERATOR, added.id, Kind.SMS_OTP, number))
            assert (
                refused(await people.add_method(at.door, OPERATOR, added.id, Kind.SMS_OTP, other)).why
                == "invalid"
            )
            made(await people.change_method(at.door, OPERATOR, added.id, Kind.SMS_OTP, other))
            made(await people.change(at.door, OPERATOR, added.id, PersonChange(password=STRONGER)))
            made(await people.remove_method(at.door, OPERATOR, added.id, Kind.SMS_OTP))
            assert (
                refused(await people.remove_method(at.door, OPERATOR, added.id, Kind.SMS_OTP)).why
                == "missing"
            )
            assert at.delivered == 4
            told = [(m.message.template, m.message.to) for m in await at.store.lease(100)]
            assert told == [
                ("method_added", "ada@example.com"),
                ("method_changed", "ada@example.com"),
                ("method_changed", number.value),
                ("password_changed", "ada@example.com"),
                ("password_changed", other.value),
                ("method_removed", "ada@example.com"),
                ("method_removed", other.value),
            ]

    asyncio.run(story())


def test_codes_to_sign_in_go_to_the_new_address_only(tmp_path: Path) -> None:
    async def story() -> None:
        async with office(tmp_path) as at:
            added = made(await people.add(at.door, OPERATOR, named("ada@example.com")))
            wanted = PersonChange(identities=(Identity("emailAddress", DOMAIN, "ada@example.org"),))
            made(await people.change(at.door, OPERATOR, added.id, wanted))
            loaded = await at.store.read(Needs(identifier="ada@example.org"))
            assert [a.target.key for a in loaded.authenticators if a.target] == ["ada@example.org"]
            assert (await at.store.read(Needs(identifier="ada@example.com"))).subject is None

    asyncio.run(story())


def test_a_compromised_account_is_at_high_risk_and_has_no_session_left(tmp_path: Path) -> None:
    async def story() -> None:
        async with office(tmp_path) as at:
            added = made(await people.add(at.door, OPERATOR, named("ada@example.com")))
            grant = await with_grant(at, added)
            hit = made(await people.set_risk(at.door, OPERATOR, added.id, "compromised"))
            assert (hit.risk.level, hit.risk.state) == ("high", "confirmedCompromised")
            assert await revoked(at, grant)
            listed = await at.store.people(Query(where=Term("riskState", "eq", "confirmedCompromised")))
            assert [p.id for p in listed.entries] == [added.id]
            done = made(await people.set_risk(at.door, OPERATOR, added.id, "dismissed"))
            assert (done.risk.level, done.risk.state) == ("none", "dismissed")

    asyncio.run(story())


# Groups. ------------------------------------------------------------------------------------------------------------


def test_nesting_counts_and_a_loop_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        async with office(tmp_path) as at:
            ada = made(await people.add(at.door, OPERATOR, named("ada@example.com")))
            outer, middle, inner = [
                made(await groups.add(at.door, OPERATOR, GroupChange(name=name, nickname=name))).id
                for name in ("outer", "middle", "inner")
            ]
            made(await groups.join(at.door, OPERATOR, outer, middle))
            made(await groups.join(at.door, OPERATOR, middle, inner))
            made(await groups.join(at.door, OPERATOR, inner, ada.id))
            for group, member in ((inner, outer), (inner, inner), (middle, outer)):
                assert refused(await groups.join(at.door, OPERATOR, group, member)).why == "invalid"
            assert (await at.store.read(Needs(subject=ada.id))).groups == {outer, middle, inner}
            deep = await at.store.members(outer, transitive=True)
            assert {id for id, _ in deep} == {middle, inner, ada.id}
            assert [id for id, _ in await at.store.members(outer)] == [middle]
            assert {g.id for g in await at.store.groups_of(ada.id, transitive=True)} == {outer, middle, inner}

            assert refused(await groups.join(at.door, OPERATOR, inner, ada.id)).target == "members"
            assert refused(await groups.join(at.door, OPERATOR, inner, outer[:-1] + "x")).why == "missing"
            assert refused(await groups.leave(at.door, OPERATOR, outer, ada.id)).why == "missing"
            made(await groups.remove(at.door, OPERATOR, middle))
            assert (await at.store.read(Needs(subject=ada.id))).groups == {inner}

    asyncio.run(story())


def test_two_who_want_one_name_at_once_get_one_yes_and_one_no(tmp_path: Path) -> None:
    async def story() -> None:
        async with office(tmp_path) as at:
            answers = await asyncio.gather(
                *(people.add(at.door, OPERATOR, named("ada@example.com")) for _ in range(5))
            )
            assert sum(isinstance(answer, Subject) for answer in answers) == 1
            assert sorted(reason for _, reason in await at.log()) == ["", *["taken"] * 4]

    asyncio.run(story())
