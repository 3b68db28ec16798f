"""An account's emergency in every kind of database: one document, written with all that it does to the account."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from genkan.engine.emergency import account, words
from genkan.engine.emergency.case import NORMAL, Emergency, Shown
from genkan.engine.emergency.protocol import advance
from genkan.engine.messages import PutAuthenticator, PutEmergency, PutGrant, PutSubject
from genkan.engine.transaction import Change, Conflict, Decide, Loaded, Needs
from genkan.identifiers import phone
from genkan.model import Authenticator, Kind, Subject
from tests.emergency.on_file import contains, decides
from tests.emergency.world import BEGINNING, Play
from tests.store.worlds import (
    PLACES,
    START,
    Clock,
    Place,
    a_grant,
    a_password,
    a_subject,
    guid,
    looks,
    opened,
    writes,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(params=PLACES, ids=lambda kind: kind.__name__)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    found: Place = request.param(tmp_path)
    return found


def an_owner() -> tuple[Subject, tuple[PutSubject | PutAuthenticator | PutGrant, ...]]:
    """Somebody with a password, a number, and three sessions."""
    subject = a_subject()
    sms = Authenticator(
        id=guid(), subject=subject.id, kind=Kind.SMS_OTP, target=phone("+447800900555"), created_at=START
    )
    methods = (PutAuthenticator(a_password(subject)), PutAuthenticator(sms))
    return subject, (PutSubject(subject), *methods, *(PutGrant(a_grant(subject)) for _ in range(3)))


def whole(subject: Subject) -> Needs:
    return Needs(subject=subject.id, whole=True)


async def test_whoever_never_had_one_has_the_normal_one(place: Place) -> None:
    subject, there = an_owner()
    async with opened(place) as store:
        await store.run(Needs(), writes(*there))
        plain = await store.run(Needs(subject=subject.id), looks)
        loaded = await store.run(whole(subject), looks)
    assert plain.emergency is NORMAL
    assert (plain.emergency_revision, plain.held, plain.families) == (0, (), ())
    assert (len(loaded.held), len(loaded.families), len(loaded.authenticators)) == (2, 3, 2)


async def test_holding_an_account_is_one_change(place: Place) -> None:
    subject, there = an_owner()
    clock = Clock(START + timedelta(days=30))
    async with opened(place, clock) as store:
        await store.run(Needs(), writes(*there))
        reply = await store.run(whole(subject), decides(contains()))
        assert isinstance(reply, words.Holding)
        by_case = await store.run(Needs(case=reply.case), looks)
        by_name = await store.read(Needs(identifier=subject.identifiers[0].key))
        nobody = await store.run(Needs(case=guid()), looks)
        notices = await store.lease(100)
        trail = await store.trail()
    assert by_case.subject == by_name.subject
    assert by_case.emergency == by_name.emergency
    assert by_case.subject is not None
    assert by_case.subject.epoch == 1
    assert by_case.emergency.case is not None
    assert by_case.emergency.case.must_change
    assert by_case.emergency.state == "contained"
    assert {a.kind: a.state for a in by_case.held} == {Kind.PASSWORD: "active", Kind.SMS_OTP: "quarantined"}
    assert [a.kind for a in by_case.authenticators] == [Kind.PASSWORD]
    assert by_case.families == ()
    assert nobody.subject is None
    assert {n.message.template for n in notices} == {"emergency_neutral"}
    assert len({n.message.to for n in notices}) == len(notices) == 2
    assert [row.record.action for row in trail if row.record.action == "emergency:contained"] != []


@pytest.mark.proves("DT-69")
async def test_of_a_hundred_that_contain_at_once_one_opens_the_case(place: Place) -> None:
    subject, there = an_owner()
    clock = Clock(START + timedelta(days=30))
    async with opened(place, clock) as store:
        await store.run(Needs(), writes(*there))
        steps = (store.run(whole(subject), decides(contains(f"claim {n}"))) for n in range(100))
        replies = await asyncio.gather(*steps)
        after = await store.run(whole(subject), looks)
        trail = await store.trail(limit=1000)
    cases = {r.case for r in replies if isinstance(r, words.Holding)}
    assert len([r for r in replies if isinstance(r, words.Holding)]) == 100
    assert after.emergency.case is not None
    assert cases == {after.emergency.case.id}
    assert after.subject is not None
    assert after.subject.epoch == 1
    rows = [row.record.action for row in trail]
    assert rows.count("emergency:contained") == 1
    assert rows.count("emergency:joined") == 99
    assert len(after.emergency.case.claims) == 100


async def test_a_document_that_has_moved_is_not_written_over(place: Place) -> None:
    subject, there = an_owner()
    mine = PutEmergency(subject=subject.id, emergency=Emergency(version=7), revision=0)
    async with opened(place) as store:
        await store.run(Needs(), writes(*there))
        await store.run(Needs(), writes(mine))
        for revision in (0, 2):
            with pytest.raises(Conflict):
                await store.run(Needs(), writes(replace(mine, revision=revision)))
        await store.run(Needs(), writes(replace(mine, emergency=Emergency(version=8), revision=1)))
        after = await store.run(Needs(subject=subject.id), looks)
    assert (after.emergency.version, after.emergency_revision) == (8, 2)


async def test_what_fails_half_way_leaves_the_account_as_it_was(place: Place) -> None:
    subject, there = an_owner()
    clock = Clock(START + timedelta(days=30))

    def crashes(loaded: Loaded) -> tuple[Change, None]:
        change, _ = decides(contains())(loaded)
        broken = PutEmergency(subject=subject.id, emergency=NORMAL, revision=99)
        return replace(change, effects=(*change.effects, broken)), None

    async with opened(place, clock) as store:
        await store.run(Needs(), writes(*there))
        before = await store.run(whole(subject), looks)
        with pytest.raises(Conflict):
            await store.run(whole(subject), crashes)
        after = await store.run(whole(subject), looks)
        notices = await store.lease(100)
    assert (after.subject, after.held, after.families) == (before.subject, before.held, before.families)
    assert after.emergency is NORMAL
    assert notices == []


@pytest.mark.proves("DT-71")
@pytest.mark.parametrize("first", ["complete", "contest"])
async def test_completing_and_contesting_at_once_one_of_them_wins(place: Place, first: str) -> None:
    """The methods are those of the engine's own world, since no account has such yet; the document is stored."""
    play = Play()
    phone_lost = words.Contain(key="a", shown=play_shown(play, "a", "mail"))
    play.advance(phone_lost)
    for key, items in (("a", ("code 1", "identity")), ("b", ("key",))):
        play.advance(words.Start(key=key))
        for item in items:
            play.advance(words.Show(key=key, shown=play_shown(play, key, item)))
    play.advance(words.Recover(key="a"))
    play.advance(words.HandedOver(method="mailbox"))
    play.now += timedelta(days=4)
    play.advance(words.Tick())
    if play.emergency.state != "recovery_ready":
        play.now += timedelta(days=2)
        play.advance(words.Tick())
    assert play.emergency.state == "recovery_ready"
    subject = replace(a_subject(), id="s", epoch=play.subject.epoch if play.subject else 0)
    clock = Clock(max(play.now, BEGINNING))

    def says(event: words.Event) -> Decide[words.Reply]:
        def decide(loaded: Loaded) -> tuple[Change, words.Reply]:
            facts = replace(play.world(), now=loaded.now, subject=loaded.subject, families=())
            step = advance(loaded.emergency, event, facts)
            return account.change(step, loaded), step.reply

        return decide

    again = replace(play_shown(play, "a", "identity"), id="again", at=play.now)
    async with opened(place, clock) as store:
        kept = PutEmergency(subject="s", emergency=play.emergency, revision=0)
        await store.run(Needs(), writes(PutSubject(subject), kept))
        both = [
            store.run(Needs(subject="s"), says(event))
            for event in (words.Complete(key="a", shown=again), words.Dispute(key="b"))
        ]
        replies = await asyncio.gather(*(both if first == "complete" else reversed(both)))
        after = await store.run(Needs(subject="s"), looks)
    completed, contested = replies if first == "complete" else reversed(replies)
    won = [isinstance(completed, words.Restoration), isinstance(contested, words.Moved)]
    assert sorted(won) == [False, True]
    assert after.emergency.state == ("restored" if won[0] else "frozen")
    if won[0]:
        assert after.emergency.restored is not None
        assert after.emergency.restored.undo_until > play.now


def play_shown(play: Play, key: str, method: str) -> Shown:
    return Shown(
        id=f"{key}/{method}", key=key, method=method, right=True, verified=True, pinned=True, at=play.now
    )


async def test_what_a_database_cannot_be_asked_for_fails_alone(place: Place) -> None:
    subject, there = an_owner()
    async with opened(place) as store:
        await store.run(Needs(), writes(*there))
        wanted = [Needs(case="a\x00b"), *[whole(subject)] * 20, Needs(subject="\x00")]
        found = await asyncio.gather(*(store.run(needs, looks) for needs in wanted), return_exceptions=True)
    assert all(isinstance(one, Loaded) and one.subject is not None for one in found[1:21])
