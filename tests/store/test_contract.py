"""What every store must do: one suite, each kind of database."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from genkan.engine import reserve
from genkan.engine.messages import (
    Count,
    Deliver,
    Detect,
    Detection,
    Directory,
    Effect,
    PutAuthenticator,
    PutFootprint,
    PutGrant,
    PutReserve,
    PutSubject,
    RevokeGrants,
)
from genkan.engine.transaction import Change, Conflict, DetectionQuery, Loaded, Needs, StoreUnavailable
from genkan.model import (
    Attribute,
    Channel,
    Client,
    ClientSecret,
    Identifier,
    Kind,
    MethodSettings,
    Paper,
    PaperCode,
    Reserve,
    Resource,
    Tenant,
    UserFlow,
)
from genkan.policy.model import Applications, Conditions, GrantControls, Policy, Users
from genkan.risk.footprint import NOTHING, Sighting, after
from genkan.store import outbox
from genkan.tokens.keys import SigningKey
from tests.store.worlds import (
    ARGON2,
    PLACES,
    START,
    TENANT,
    Clock,
    Place,
    SqlitePlace,
    a_flow,
    a_grant,
    a_mailbox,
    a_message,
    a_password,
    a_record,
    a_subject,
    an_email,
    ended,
    everything,
    fails_once_more,
    guid,
    looks,
    opened,
    writes,
)

MINUTE = timedelta(minutes=1)


@pytest.fixture(params=PLACES, ids=lambda kind: kind.__name__)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    found: Place = request.param(tmp_path)
    return found


# Steps. --------------------------------------------------------------------------------------------------------------


def test_a_flow_comes_back_as_it_was_written(place: Place) -> None:
    async def story() -> None:
        flow = a_flow(identifier=an_email())
        async with opened(place) as store:
            await store.run(Needs(), writes(flow=flow))

            loaded = await store.run(Needs(flow=flow.id), looks)

            assert loaded.flow == flow
            assert loaded.flow_version == 1
            assert loaded.now == START

    asyncio.run(story())


def test_what_is_not_there_is_loaded_as_nothing(place: Place) -> None:
    async def story() -> None:
        async with opened(place) as store:
            loaded = await store.run(
                Needs(flow=b"none", identifier="none", grant="none", buckets=lambda _: ("none",)), looks
            )

            assert loaded == Loaded(now=START, directory=loaded.directory, histories={"none": ()})

    asyncio.run(story())


def test_a_flow_has_one_version_more_after_each_write_and_none_after_a_look(place: Place) -> None:
    async def story() -> None:
        flow = a_flow()
        async with opened(place) as store:
            await store.run(Needs(), writes(flow=flow))

            answers = [await store.run(Needs(flow=flow.id), fails_once_more) for _ in range(3)]
            await store.run(Needs(flow=flow.id), looks)
            loaded = await store.read(Needs(flow=flow.id))

            assert answers == [1, 2, 3]
            assert loaded.flow_version == 4

    asyncio.run(story())


def test_everything_a_step_wants_is_there_after_a_restart(place: Place) -> None:
    async def story() -> None:
        flow, subject, effects = everything()
        async with opened(place) as store:
            await store.run(Needs(), writes(*effects, flow=flow))

        async with opened(place) as store:
            loaded = await store.read(
                Needs(flow=flow.id, buckets=lambda _: ("guesses:" + subject.id,)),
            )
            [outgoing] = await store.lease(10)
            [audited] = await store.trail()

            assert loaded.flow == flow
            assert loaded.subject == replace(subject, revision=1)
            assert [a.kind for a in loaded.authenticators] == [Kind.EMAIL_OTP]
            assert loaded.histories == {"guesses:" + subject.id: (1, 2)}
            assert outgoing.message in [e.message for e in effects if isinstance(e, Deliver)]
            assert audited.record == a_record()
            assert audited.at == START.replace(microsecond=123000)

    asyncio.run(story())


def test_the_subject_is_the_flows_or_the_grants_and_before_there_is_one_the_holder(place: Place) -> None:
    async def story() -> None:
        anna, berta = a_subject(an_email("anna")), a_subject(an_email("berta"))
        grant = a_grant(berta)
        hers, anonymous = a_flow(anna), a_flow(identifier=an_email("anna"))
        async with opened(place) as store:
            await store.run(Needs(), writes(PutSubject(anna), PutSubject(berta), PutGrant(grant), flow=hers))
            await store.run(Needs(), writes(flow=anonymous))

            async def found(needs: Needs) -> str | None:
                subject = (await store.run(needs, looks)).subject
                return subject.id if subject else None

            assert await found(Needs(flow=hers.id, identifier="berta@example.com")) == anna.id
            assert await found(Needs(grant=grant.id)) == berta.id
            assert await found(Needs(identifier="berta@example.com")) == berta.id
            assert await found(Needs(flow=anonymous.id)) == anna.id
            assert await found(Needs(flow=anonymous.id, identifier="berta@example.com")) == berta.id
            assert await found(Needs(flow=hers.id, subject=berta.id)) == berta.id
            assert await found(Needs(identifier="Berta@example.com")) is None

    asyncio.run(story())


def test_authenticators_are_the_active_ones_oldest_first(place: Place) -> None:
    async def story() -> None:
        subject = a_subject()
        password, mailbox = a_password(subject), a_mailbox(subject)
        gone = replace(a_password(subject), state="tombstoned")
        async with opened(place) as store:
            await store.run(
                Needs(), writes(*map(PutAuthenticator, (mailbox, gone, password)), PutSubject(subject))
            )

            loaded = await store.read(Needs(subject=subject.id))

            assert loaded.authenticators == (replace(password, revision=1), replace(mailbox, revision=1))
            assert loaded.authenticators[0].material is not None
            assert loaded.authenticators[0].material.text == ARGON2

    asyncio.run(story())


def test_an_exception_of_a_step_reaches_its_caller_and_nothing_of_the_step_is_written(place: Place) -> None:
    async def story() -> None:
        flow = a_flow()

        def explode(_: Loaded) -> tuple[Change, None]:
            raise LookupError("a bug")

        async with opened(place) as store:
            before, broken, after = await asyncio.gather(
                store.run(Needs(), writes(flow=flow)),
                store.run(Needs(flow=flow.id), explode),
                store.run(Needs(flow=flow.id), fails_once_more),
                return_exceptions=True,
            )
            loaded = await store.read(Needs(flow=flow.id))

            assert before is None
            assert isinstance(broken, LookupError)
            assert after == 1
            assert loaded.flow_version == 2

    asyncio.run(story())


def test_a_step_that_cannot_be_written_is_decided_again_and_leaves_the_others_alone(place: Place) -> None:
    async def story() -> None:
        taken = a_subject(an_email("anna"))
        late = a_subject(an_email("anna"))
        flow = a_flow()
        decided: list[bool] = []

        def sign_up(loaded: Loaded) -> tuple[Change, str]:
            decided.append(loaded.subject is not None)
            if loaded.subject is not None and len(decided) > 1:
                return Change(effects=(a_record("signup:taken"),)), "taken"
            return Change(flow=a_flow(late), effects=(PutSubject(late), Deliver(a_message()))), "made"

        async with opened(place) as store:
            await store.run(Needs(), writes(PutSubject(taken), flow=flow))

            counted, answer, again = await asyncio.gather(
                store.run(Needs(flow=flow.id), fails_once_more),
                store.run(Needs(identifier="anna@example.com"), sign_up),
                store.run(Needs(flow=flow.id), fails_once_more),
            )

            assert (counted, answer, again) == (1, "taken", 2)
            assert await store.lease(10) == []
            assert [a.record.action for a in await store.trail()].count("signup:taken") == 1

    asyncio.run(story())


def test_what_never_fits_is_a_conflict_and_nothing_of_it_is_written(place: Place) -> None:
    async def story() -> None:
        taken, late = a_subject(an_email("anna")), a_subject(an_email("anna"))
        flow = a_flow()
        async with opened(place) as store:
            await store.run(Needs(), writes(PutSubject(taken)))

            with pytest.raises(Conflict):
                await store.run(
                    Needs(), writes(a_record(), PutSubject(late), Deliver(a_message()), flow=flow)
                )

            loaded = await store.read(Needs(flow=flow.id, subject=late.id))
            assert (loaded.flow, loaded.subject) == (None, None)
            assert await store.lease(10) == []
            assert await store.trail() == ()

    asyncio.run(story())


def test_an_effect_of_an_old_revision_is_never_written(place: Place) -> None:
    async def story() -> None:
        subject = a_subject()
        mailbox, grant = a_mailbox(subject), a_grant(subject)
        async with opened(place) as store:
            await store.run(Needs(), writes(PutSubject(subject), PutAuthenticator(mailbox), PutGrant(grant)))
            first = await store.read(Needs(grant=grant.id))
            assert first.subject is not None
            assert first.grant is not None
            second: list[Effect] = [
                PutSubject(replace(first.subject, status="disabled")),
                PutAuthenticator(replace(first.authenticators[0], state="quarantined")),
                PutGrant(replace(first.grant, head=b"next")),
            ]
            for effect in second:
                await store.run(Needs(), writes(effect))

            for effect in second:
                with pytest.raises(Conflict):
                    await store.run(Needs(), writes(effect, a_record()))

            loaded = await store.read(Needs(grant=grant.id))
            assert loaded.subject == replace(first.subject, status="disabled", revision=2)
            assert loaded.grant == replace(first.grant, head=b"next", revision=2)
            assert await store.trail() == ()

    asyncio.run(story())


def test_a_step_whose_flow_has_moved_meanwhile_is_decided_again(place: Place) -> None:
    async def story() -> None:
        flow = a_flow()
        seen = []
        async with opened(place) as store:
            await store.run(Needs(), writes(flow=flow))

            def decide(loaded: Loaded) -> tuple[Change, int]:
                seen.append(loaded.flow_version)
                if len(seen) == 1:  # As if another node had been faster; it is undone with the batch.
                    store._batches.writer.execute("UPDATE flow SET version = version + 1")
                return fails_once_more(loaded)

            answer = await store.run(Needs(flow=flow.id), decide)

            assert answer == 1
            assert seen == [1, 1]
            assert (await store.read(Needs(flow=flow.id))).flow_version == 2

    asyncio.run(story())


def test_nothing_belongs_to_a_subject_that_is_not_there(place: Place) -> None:
    async def story() -> None:
        nobody = a_subject()
        async with opened(place) as store:
            for effect in (PutAuthenticator(a_mailbox(nobody)), PutGrant(a_grant(nobody))):
                with pytest.raises(Conflict):
                    await store.run(Needs(), writes(effect))

    asyncio.run(story())


def test_identifiers_follow_their_subject(place: Place) -> None:
    async def story() -> None:
        subject = a_subject(an_email("old"), Identifier("username", "old@example.com", "old@example.com"))
        async with opened(place) as store:
            await store.run(Needs(), writes(PutSubject(subject)))

            def rename(loaded: Loaded) -> tuple[Change, None]:
                assert loaded.subject is not None
                moved = replace(loaded.subject, identifiers=(an_email("new"),))
                return Change(effects=(PutSubject(moved),)), None

            await store.run(Needs(subject=subject.id), rename)
            old = await store.read(Needs(identifier="old@example.com"))
            new = await store.read(Needs(identifier="new@example.com"))

            assert old.subject is None
            assert new.subject is not None
            assert new.subject.id == subject.id

    asyncio.run(story())


def test_revoking_ends_every_live_grant_of_a_subject_and_only_those(place: Place) -> None:
    async def story() -> None:
        anna, berta = a_subject(), a_subject()
        ended = replace(a_grant(anna), revoked_at=START - MINUTE)
        first, second, other = a_grant(anna), a_grant(anna), a_grant(berta)
        async with opened(place) as store:
            puts = map(PutGrant, (ended, first, second, other))
            await store.run(Needs(), writes(PutSubject(anna), PutSubject(berta), *puts))

            await store.run(Needs(), writes(RevokeGrants(subject=anna.id, at=START)))
            revoked = [(await store.read(Needs(grant=g.id))).grant for g in (ended, first, second, other)]

            assert [g and g.revoked_at for g in revoked] == [
                START - MINUTE,
                START.replace(microsecond=123000),
                START.replace(microsecond=123000),
                None,
            ]
            assert [g and g.revision for g in revoked] == [1, 2, 2, 1]

    asyncio.run(story())


def test_a_revoked_grant_can_be_written_with_the_revision_that_it_has_then(place: Place) -> None:
    async def story() -> None:
        subject = a_subject()
        grant = a_grant(subject)
        async with opened(place) as store:
            await store.run(Needs(), writes(PutSubject(subject), PutGrant(grant)))
            before = (await store.read(Needs(grant=grant.id))).grant
            await store.run(Needs(), writes(RevokeGrants(subject=subject.id, at=START)))
            after = (await store.read(Needs(grant=grant.id))).grant
            assert before is not None
            assert after is not None

            with pytest.raises(Conflict):
                await store.run(Needs(), writes(PutGrant(replace(before, head=b"stolen"))))
            await store.run(Needs(), writes(PutGrant(replace(after, spent=b"seen"))))

            last = (await store.read(Needs(grant=grant.id))).grant
            assert last == replace(after, spent=b"seen", revision=3)

    asyncio.run(story())


def test_limits_are_loaded_by_the_names_that_the_step_gives_once_it_knows_the_rest(place: Place) -> None:
    async def story() -> None:
        flow = a_flow()
        async with opened(place) as store:
            count = Count(bucket=flow.client, history=(7, 8), keep_until=START + MINUTE)
            await store.run(Needs(), writes(count, flow=flow))
            await store.run(Needs(), writes(replace(count, history=(7, 8, 9))))

            def names(loaded: Loaded) -> tuple[str, ...]:
                assert loaded.flow is not None
                return (loaded.flow.client, "unknown", loaded.flow.client)

            loaded = await store.run(Needs(flow=flow.id, buckets=names), looks)

            assert loaded.histories == {flow.client: (7, 8, 9), "unknown": ()}

    asyncio.run(story())


def test_groups_are_counted_through_other_groups_also_in_a_ring(place: Place) -> None:
    async def story() -> None:
        subject, stranger = a_subject(), a_subject()
        async with opened(place) as store:
            await store.run(Needs(), writes(PutSubject(subject), PutSubject(stranger)))
            without = await store.read(Needs(subject=subject.id))

            await store.add_members("staff", [subject.id])
            await store.add_members("everyone", ["staff", "everyone"])
            await store.add_members("staff", ["everyone"])
            await store.add_members("staff", [subject.id])
            inside = await store.run(Needs(subject=subject.id), looks)
            outside = await store.read(Needs(subject=stranger.id))
            await store.remove_members("staff", [subject.id])
            left = await store.read(Needs(subject=subject.id))

            assert without.groups == frozenset()
            assert inside.groups == {"staff", "everyone"}
            assert outside.groups == frozenset()
            assert left.groups == frozenset()

    asyncio.run(story())


def test_a_read_sees_what_was_committed_and_only_that(place: Place) -> None:
    async def story() -> None:
        flow = a_flow()
        async with opened(place) as store:
            await store.run(Needs(), writes(flow=flow))
            step = asyncio.create_task(store.run(Needs(flow=flow.id), fails_once_more))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            seen = [(await store.read(Needs(flow=flow.id))).flow_version]
            await step
            seen.append((await store.read(Needs(flow=flow.id))).flow_version)

            assert seen[0] in {1, 2}
            assert seen[1] == 2

    asyncio.run(story())


def test_a_caller_that_left_before_its_turn_is_not_served_and_hurts_nobody(place: Place) -> None:
    async def story() -> None:
        flow = a_flow()
        async with opened(place) as store:
            await store.run(Needs(), writes(flow=flow))
            gone = asyncio.create_task(store.run(Needs(flow=flow.id), fails_once_more))
            stays = asyncio.create_task(store.run(Needs(flow=flow.id), fails_once_more))
            await asyncio.sleep(0)
            gone.cancel()

            assert await stays == 1
            assert await store.run(Needs(flow=flow.id), fails_once_more) == 2

    asyncio.run(story())


def test_a_closed_store_says_that_it_is_unavailable(place: Place) -> None:
    async def story() -> None:
        store = place.open(Clock())
        flow = a_flow()
        waiting = asyncio.create_task(store.run(Needs(), writes(flow=flow)))
        await asyncio.sleep(0)

        await store.close()
        await store.close()

        await waiting
        with pytest.raises(StoreUnavailable):
            await store.run(Needs(), looks)
        with pytest.raises(StoreUnavailable):
            await store.read(Needs())
        async with opened(place) as again:
            assert (await again.read(Needs(flow=flow.id))).flow == flow

    asyncio.run(story())


# The clock. ----------------------------------------------------------------------------------------------------------


def test_now_is_the_clocks_and_never_goes_backwards(place: Place) -> None:
    async def story() -> None:
        clock = Clock()
        async with opened(place, clock) as store:
            seen = []
            for span in (MINUTE, -timedelta(hours=2), timedelta(hours=2) + MINUTE):
                clock.move(span)
                seen.append((await store.run(Needs(), looks)).now)
                seen.append((await store.read(Needs())).now)

            assert seen == [START + MINUTE] * 4 + [START + 2 * MINUTE] * 2

    asyncio.run(story())


# The outbox. ---------------------------------------------------------------------------------------------------------


def test_a_leased_message_is_nobody_elses_until_the_lease_is_over(place: Place) -> None:
    async def story() -> None:
        clock = Clock()
        message = a_message()
        async with opened(place, clock) as store:
            await store.run(Needs(), writes(Deliver(message)))

            [first] = await store.lease(10)
            during = await store.lease(10)
            clock.move(outbox.LEASE - timedelta(milliseconds=1))
            still = await store.lease(10)
            clock.move(timedelta(milliseconds=1))
            [second] = await store.lease(10)

            assert (first.message, first.attempts) == (message, 1)
            assert (list(during), list(still)) == ([], [])
            assert (second.id, second.message, second.attempts) == (first.id, message, 2)

    asyncio.run(story())


def test_a_message_that_was_sent_is_forgotten(place: Place) -> None:
    async def story() -> None:
        clock = Clock()
        async with opened(place, clock) as store:
            await store.run(Needs(), writes(Deliver(a_message()), Deliver(a_message())))
            leased = await store.lease(10)

            await store.settle(ended("sent", *leased))
            clock.move(outbox.LEASE)

            assert list(await store.lease(10)) == []

    asyncio.run(story())


def test_a_message_that_failed_comes_back_after_a_growing_wait(place: Place) -> None:
    async def story() -> None:
        clock = Clock()
        async with opened(place, clock) as store:
            await store.run(Needs(), writes(Deliver(a_message())))
            [row] = await store.lease(10)
            waits = []
            for attempt in range(2, 8):
                await store.settle(ended("again", row))
                failed_at = clock.now
                while not (back := await store.lease(10)):
                    clock.move(timedelta(milliseconds=50))
                [row] = back
                assert row.attempts == attempt
                waits.append(clock.now - failed_at)

            assert waits == sorted(waits)
            assert timedelta(milliseconds=750) <= waits[0] <= timedelta(milliseconds=1300)

    asyncio.run(story())


def test_a_message_is_dropped_and_never_sent_late(place: Place) -> None:
    async def story() -> None:
        clock = Clock()
        async with opened(place, clock) as store:
            late, soon = a_message(), replace(a_message(), expires_at=START + timedelta(hours=1))
            await store.run(Needs(), writes(Deliver(late), Deliver(soon)))

            clock.move(timedelta(minutes=5))
            leased = await store.lease(10)
            clock.now = START
            again = await store.lease(10)

            assert [row.message for row in leased] == [soon]
            assert list(again) == []

    asyncio.run(story())


def test_a_message_whose_next_attempt_would_come_too_late_is_dropped_at_once(place: Place) -> None:
    async def story() -> None:
        clock = Clock()
        async with opened(place, clock) as store:
            await store.run(Needs(), writes(Deliver(a_message())))
            clock.move(timedelta(minutes=5) - timedelta(milliseconds=100))
            [row] = await store.lease(10)

            await store.settle(ended("again", row))

            assert place.execute(store, "SELECT count(*) FROM outbox") == [(0,)]

    asyncio.run(story())


@pytest.mark.proves("OTP-21")
def test_the_end_of_a_message_is_audited_without_the_address_or_the_code(place: Place) -> None:
    async def story() -> None:
        clock = Clock()
        gone, lost, refused, unclear, unsaid = (
            replace(a_message(), correlation_id="c0", purpose="mfa") for _ in range(5)
        )
        async with opened(place, clock) as store:
            await store.run(Needs(), writes(*map(Deliver, (gone, lost, refused, unclear, unsaid))))
            rows = await store.lease(10)
            await store.settle(ended("sent", rows[0], provider="relay", reference="queued-1"))
            await store.settle(ended("refused", rows[2], provider="relay", why="no such mailbox"))
            await store.settle(ended("unclear", rows[3], provider="relay", why="it fell silent"))
            await store.settle(ended("sent", rows[4]))
            clock.move(timedelta(minutes=5))
            assert list(await store.lease(10)) == []

            told = [row.record for row in await store.trail("c0")]

            assert [(r.action, r.detail["message"]) for r in told] == [
                ("message:sent", gone.id),
                ("message:refused", refused.id),
                ("message:unclear", unclear.id),
                ("message:late", lost.id),
            ]
            assert told[0].detail == {
                "message": gone.id,
                "channel": "email",
                "purpose": "mfa",
                "attempts": 1,
                "provider": "relay",
                "reference": "queued-1",
            }
            assert not re.search(f"{gone.to}|{gone.code and gone.code.text}", str(told))

    asyncio.run(story())


def test_a_message_whose_attempt_never_ended_comes_back_as_doubtful(place: Place) -> None:
    async def story() -> None:
        clock = Clock()
        async with opened(place, clock) as store:
            await store.run(Needs(), writes(Deliver(a_message())))
            [first] = await store.lease(10)
            clock.move(outbox.LEASE)
            [after_its_lease] = await store.lease(10)
            await store.settle(ended("again", after_its_lease))
            clock.move(timedelta(seconds=5))
            [after_a_failure] = await store.lease(10)
            await store.give_back_leases()
            if not isinstance(
                place, SqlitePlace
            ):  # Another process may be sending it, until its lease is over.
                assert await store.lease(10) == []
                clock.move(outbox.LEASE)
            [after_a_crash] = await store.lease(10)

            assert [first.doubtful, after_a_failure.doubtful] == [False, False]
            assert [after_its_lease.doubtful, after_a_crash.doubtful] == [True, True]

    asyncio.run(story())


def test_a_provider_that_asks_for_time_gets_it(place: Place) -> None:
    async def story() -> None:
        clock = Clock()
        async with opened(place, clock) as store:
            await store.run(Needs(), writes(Deliver(a_message())))
            await store.settle(ended("again", *await store.lease(10), wait=timedelta(seconds=90)))

            clock.move(timedelta(seconds=89))
            before = await store.lease(10)
            clock.move(timedelta(seconds=1))

            assert list(before) == []
            assert len(await store.lease(10)) == 1

    asyncio.run(story())


def test_each_channel_is_leased_by_itself(place: Place) -> None:
    async def story() -> None:
        mails = [a_message() for _ in range(3)]
        text = replace(a_message(to="+447812345678"), channel=Channel.SMS)
        async with opened(place) as store:
            await store.run(Needs(), writes(*map(Deliver, (*mails, text))))

            texts = await store.lease(10, Channel.SMS)
            rest = await store.lease(10, Channel.EMAIL)

            assert [row.message for row in texts] == [text]
            assert [row.message for row in rest] == mails

    asyncio.run(story())


def test_leasing_takes_the_oldest_first_and_no_more_than_wanted(place: Place) -> None:
    async def story() -> None:
        messages = [a_message() for _ in range(5)]
        async with opened(place) as store:
            await store.run(Needs(), writes(*map(Deliver, messages)))

            first = await store.lease(2)
            rest = await store.lease(10)

            assert [row.message for row in (*first, *rest)] == messages
            assert len(first) == 2

    asyncio.run(story())


def test_the_id_of_a_message_is_never_used_again(place: Place) -> None:
    async def story() -> None:
        ids = []
        for _ in range(3):
            async with opened(place) as store:
                await store.run(Needs(), writes(Deliver(a_message())))
                [row] = await store.lease(10)
                ids.append(row.id)
                await store.settle(ended("sent", row))
                await store.wipe()

        assert len(set(ids)) == 3

    asyncio.run(story())


# The sweep. ----------------------------------------------------------------------------------------------------------


@pytest.mark.proves("PII-06")
def test_the_sweep_deletes_what_has_ended_long_enough_ago_and_nothing_else(place: Place) -> None:
    async def story() -> None:
        clock = Clock()
        subject = a_subject()
        old, young = a_flow(), replace(a_flow(), expires_at=START + timedelta(hours=30))
        grant = replace(a_grant(subject), idle_expires_at=START + timedelta(days=1))
        async with opened(place, clock) as store:
            await store.run(
                Needs(),
                writes(
                    PutSubject(subject),
                    PutGrant(grant),
                    Deliver(a_message()),
                    Count(bucket="short", history=(1,), keep_until=START + MINUTE),
                    Count(bucket="long", history=(2,), keep_until=START + timedelta(days=3)),
                    a_record(),
                    flow=old,
                ),
            )
            await store.run(Needs(), writes(flow=young))

            at_once = await store.sweep()
            clock.move(timedelta(minutes=40))
            soon = await store.sweep()
            expired = await store.read(Needs(flow=old.id))
            clock.move(timedelta(hours=23, minutes=30))
            a_day_later = await store.sweep()
            left = await store.read(
                Needs(flow=young.id, grant=grant.id, buckets=lambda _: ("short", "long")),
            )

            assert at_once == 0
            assert expired.flow == old
            assert soon == 2
            assert a_day_later == 1
            assert place.execute(store, "SELECT id FROM flow") == [(young.id,)]
            assert place.execute(store, "SELECT count(*) FROM outbox") == [(0,)]
            assert left.grant is not None
            assert left.histories == {"short": (), "long": (2,)}
            clock.move(timedelta(days=9))
            assert await store.sweep() == 3
            assert (await store.read(Needs(grant=grant.id))).grant is None
            assert len(await store.trail()) == 1

    asyncio.run(story())


@pytest.mark.proves("LOG-05", "PII-06")
def test_audit_rows_that_are_too_old_go_and_the_rest_of_the_chain_is_whole(place: Place) -> None:
    async def story() -> None:
        clock = Clock()
        tenant = Tenant(id=TENANT, name="north", audit_retention=timedelta(days=100))
        async with opened(place, clock) as store:
            await store.replace_directory(Directory(tenant=tenant))
            await asyncio.gather(*(store.run(Needs(), writes(a_record())) for _ in range(502)))
            clock.move(timedelta(days=102))
            await store.run(Needs(), writes(a_record("young")))

            assert await store.sweep() == 502

            found = await store.verify_trail()
            actions = [row.record.action for row in await store.trail()]
        assert actions == ["young", "audit:trimmed", "audit:trimmed"]
        assert (found.rows, found.removed, found.broken_at) == (3, 502, None)
        async with opened(place, clock) as store:
            place.execute(store, "DELETE FROM audit WHERE seq = 503")
            assert (await store.verify_trail()).broken_at == 504

    asyncio.run(story())


def test_a_sweep_of_many_rows_takes_them_all(place: Place) -> None:
    async def story() -> None:
        clock = Clock()
        async with opened(place, clock) as store:
            counts = [Count(bucket=guid(), history=(), keep_until=START) for _ in range(1203)]
            await store.run(Needs(), writes(*counts))
            clock.move(timedelta(hours=1))

            assert await store.sweep() == 1203
            assert await store.sweep() == 0

    asyncio.run(story())


# Administration. -----------------------------------------------------------------------------------------------------


def a_directory() -> Directory:
    client = Client(
        id=guid(),
        name="Shop",
        user_flow=UserFlow(first_factor=Kind.PASSWORD, attributes=(Attribute(name="city", required=True),)),
        origins=("https://shop.example",),
        secrets=(ClientSecret(id=guid(), digest=b"\x00\xff"),),
    )
    other = Client(id=guid(), name="Till")
    resource = Resource(id=guid(), name="Things", uri="api://things", scopes=("Things.Read",))
    policy = Policy(
        id=guid(),
        display_name="Always a second factor",
        created_date_time=START,
        state="enabled",
        conditions=Conditions(
            applications=Applications(include_applications=("All",)), users=Users(include_users=("All",))
        ),
        grant_controls=GrantControls(operator="OR", built_in_controls=("mfa",)),
    )
    return Directory(
        tenant=Tenant(id=TENANT, name="Example", aliases=("example.com",), code_length=6),
        clients={client.id: client, other.id: other},
        resources={resource.id: resource},
        policies=(policy,),
        methods={Kind.EMAIL_OTP: MethodSettings(), Kind.SMS_OTP: MethodSettings(enabled=False)},
    )


def test_a_new_database_has_a_tenant_with_safe_defaults_and_nothing_else(place: Place) -> None:
    async def story() -> None:
        async with opened(place) as store:
            assert store.directory() == Directory(tenant=Tenant(id=TENANT, name=""))
            assert (await store.run(Needs(), looks)).directory == store.directory()

    asyncio.run(story())


def test_the_directory_comes_back_as_it_was_put(place: Place) -> None:
    async def story() -> None:
        directory = a_directory()
        async with opened(place) as store:
            await store.replace_directory(directory)

            seen = [
                store.directory(),
                (await store.read(Needs())).directory,
                (await store.run(Needs(), looks)).directory,
            ]

            assert seen == [replace(directory, revision=1)] * 3
        async with opened(place) as store:
            assert store.directory() == replace(directory, revision=1)

    asyncio.run(story())


def test_the_directory_is_read_again_only_when_it_has_changed(place: Place) -> None:
    async def story() -> None:
        async with opened(place) as store:
            await store.replace_directory(a_directory())
            first = (await store.run(Needs(), looks)).directory
            second = (await store.run(Needs(), looks)).directory
            client = Client(id=guid(), name="Added")
            await store.put_documents(client, (Kind.SMS_OTP, MethodSettings()))
            third = (await store.run(Needs(), looks)).directory

            assert second is first
            assert third.clients == {**first.clients, client.id: client}
            assert third.methods[Kind.SMS_OTP].enabled
            assert third.revision == first.revision + 1

    asyncio.run(story())


def test_a_step_after_a_change_in_the_same_batch_sees_the_change(place: Place) -> None:
    async def story() -> None:
        async with opened(place) as store:
            client = Client(id=guid(), name="Added")

            _, after = await asyncio.gather(store.put_documents(client), store.run(Needs(), looks))

            assert client.id in after.directory.clients
            assert store.directory() == after.directory

    asyncio.run(story())


def test_documents_are_removed_by_kind_and_id(place: Place) -> None:
    async def story() -> None:
        directory = a_directory()
        async with opened(place) as store:
            await store.replace_directory(directory)

            await store.remove_documents(("policy", directory.policies[0].id), ("method", "sms_otp"))

            assert store.directory().policies == ()
            assert list(store.directory().methods) == [Kind.EMAIL_OTP]
            assert store.directory().clients == directory.clients

    asyncio.run(story())


def test_a_directory_of_an_old_revision_replaces_nothing(place: Place) -> None:
    async def story() -> None:
        async with opened(place) as store:
            await store.replace_directory(a_directory())
            read = store.directory()
            await store.put_documents(Client(id=guid(), name="Added meanwhile"))
            now = store.directory()

            with pytest.raises(Conflict):
                await store.replace_directory(replace(read, policies=()))

            assert store.directory() == now

    asyncio.run(story())


def test_a_tenants_database_takes_no_other_tenant(place: Place) -> None:
    async def story() -> None:
        async with opened(place) as store:
            with pytest.raises(ValueError, match="tenant"):
                await store.put_documents(Client(id=guid(), name="First"), Tenant(id=guid(), name="Stranger"))

            assert store.directory().clients == {}
            assert store.directory().tenant.id == TENANT

    asyncio.run(story())


def test_signing_keys_come_back_with_their_times(place: Place) -> None:
    async def story() -> None:
        later = START.replace(microsecond=0) + timedelta(days=1)
        old = SigningKey.generate(
            "ES256", created_at=START.replace(microsecond=0), activates_at=later - MINUTE
        )
        new = SigningKey.generate("ES256", created_at=later, activates_at=later)
        async with opened(place) as store:
            await store.add_signing_key(old)
            await store.add_signing_key(new, replace(old, retires_at=later + MINUTE))
        async with opened(place) as store:
            keys = await store.signing_keys()

            assert [key.kid for key in keys] == [old.kid, new.kid]
            assert [key.retires_at for key in keys] == [later + MINUTE, None]
            assert [key.activates_at for key in keys] == [later - MINUTE, later]
            assert keys[0].verifies(old.sign(b"content"), b"content")

    asyncio.run(story())


def test_a_value_is_kept_under_its_name_but_not_under_the_stores_own(place: Place) -> None:
    async def story() -> None:
        async with opened(place) as store:
            await store.put_meta("clock", "1")
            await store.put_meta("clock", "2")

            assert await store.meta("clock") == "2"
            assert await store.meta("unknown") is None
            with pytest.raises(ValueError, match="own"):
                await store.put_meta("revision", "7")

    asyncio.run(story())


def test_the_trail_is_in_order_and_may_be_that_of_one_request(place: Place) -> None:
    async def story() -> None:
        async with opened(place) as store:
            for number in range(6):
                await store.run(Needs(), writes(a_record(f"step:{number}", correlation_id=str(number % 2))))

            everything = await store.trail()
            odd = await store.trail("1")
            page = await store.trail(after=everything[1].seq, limit=2)

            assert [a.record.action for a in everything] == [f"step:{number}" for number in range(6)]
            assert [a.record.action for a in odd] == ["step:1", "step:3", "step:5"]
            assert [a.record.action for a in page] == ["step:2", "step:3"]

    asyncio.run(story())


def test_wiping_leaves_keys_and_kept_values_and_nothing_else(place: Place) -> None:
    async def story() -> None:
        flow, subject, effects = everything()
        key = SigningKey.generate("ES256", created_at=START, activates_at=START)
        async with opened(place) as store:
            await store.replace_directory(a_directory())
            await store.add_signing_key(key)
            await store.put_meta("kept", "yes")
            await store.add_members("staff", [subject.id])
            await store.run(Needs(), writes(*effects, flow=flow))

            await store.wipe()

            loaded = await store.run(Needs(flow=flow.id, identifier=subject.identifiers[0].key), looks)
            assert (loaded.flow, loaded.subject) == (None, None)
            assert loaded.directory.clients == {}
            assert await store.trail() == ()
            assert list(await store.lease(10)) == []
            assert [k.kid for k in await store.signing_keys()] == [key.kid]
            assert await store.meta("kept") == "yes"
            await store.run(Needs(), writes(*effects, flow=flow))
            assert (await store.read(Needs(flow=flow.id))).flow == flow

    asyncio.run(story())


def a_detection(subject: str, at: timedelta = timedelta()) -> Detection:
    return Detection(
        id=guid(),
        at=START + at,
        updated_at=START + at,
        subject=subject,
        word="newCountry",
        level="medium",
    )


def test_a_footprint_comes_with_its_subject_and_goes_with_it(place: Place) -> None:
    subject = a_subject(an_email())
    address = subject.identifiers[0].key

    async def scenario() -> None:
        seen = after(NOTHING, Sighting(address="198.51.100.7", device="iOS/app"), START)
        assert seen is not None
        async with opened(place) as store:
            await store.run(Needs(), writes(PutSubject(subject)))
            assert (await store.read(Needs(subject=subject.id))).footprint == NOTHING

            await store.run(Needs(), writes(PutFootprint(subject=subject.id, footprint=seen)))
            found = [await store.read(Needs(subject=subject.id)), await store.read(Needs(identifier=address))]
            assert [loaded.footprint for loaded in found] == [seen, seen]

            await store.run(Needs(), writes(PutFootprint(subject=subject.id, footprint=NOTHING)))
            assert (await store.read(Needs(identifier=address))).footprint == NOTHING

            await store.run(Needs(), writes(PutFootprint(subject=subject.id, footprint=seen)))
            await store.wipe()
            assert (await store.read(Needs(identifier=address))).footprint == NOTHING

    asyncio.run(scenario())


def test_what_is_laid_by_is_loaded_when_asked_for_and_goes_with_its_subject(place: Place) -> None:
    subject = a_subject(an_email())
    paper = Paper(codes=(PaperCode(id="c1", digest=b"d"),), issued_at=START)

    async def scenario() -> None:
        asks = Needs(subject=subject.id, reserve=True)
        async with opened(place) as store:
            await store.run(Needs(), writes(PutSubject(subject)))
            assert (await store.run(asks, looks)).reserve is None

            await store.run(Needs(), writes(PutReserve(Reserve(subject=subject.id, recovery=paper))))
            laid_by = Reserve(subject=subject.id, recovery=paper, revision=1)
            assert (await store.run(asks, looks)).reserve == (await store.read(asks)).reserve == laid_by
            assert (await store.run(Needs(subject=subject.id), looks)).reserve is None

            with pytest.raises(Conflict):
                await store.run(Needs(), writes(PutReserve(Reserve(subject=subject.id))))
            await store.wipe()
            assert (await store.read(asks)).reserve is None

    asyncio.run(scenario())


@pytest.mark.proves("ENR-13")
def test_of_many_who_show_one_code_at_the_same_moment_one_spends_it(place: Place) -> None:
    subject = a_subject(an_email())
    paper = Paper(codes=(PaperCode(id="c1", digest=b"d"),), issued_at=START)

    def spends(loaded: Loaded) -> tuple[Change, bool]:
        assert loaded.reserve is not None
        assert loaded.reserve.recovery is not None
        if not loaded.reserve.recovery.left:
            return Change(), False
        return Change(effects=(PutReserve(reserve.spent(loaded.reserve, ["c1"], loaded.now)),)), True

    async def scenario() -> None:
        async with opened(place) as store:
            await store.run(Needs(), writes(PutSubject(subject)))
            await store.run(Needs(), writes(PutReserve(Reserve(subject=subject.id, recovery=paper))))
            steps = (store.run(Needs(subject=subject.id, reserve=True), spends) for _ in range(50))
            assert (await asyncio.gather(*steps)).count(True) == 1

    asyncio.run(scenario())


def test_detections_are_found_newest_first_and_one_of_the_same_id_takes_its_place(place: Place) -> None:

    async def scenario() -> None:
        ada, bob = a_subject(), a_subject()
        found = [a_detection((ada, bob)[n % 2].id, n * MINUTE) for n in range(6)]
        clock = Clock()
        async with opened(place, clock) as store:
            ends = START + timedelta(days=1)
            await store.run(Needs(), writes(*(Detect(one, ends) for one in found)))
            settled = replace(found[0], state="remediated", updated_at=START + MINUTE)
            await store.run(Needs(), writes(Detect(settled, ends)))

            async def ask(**query: Any) -> list[Detection]:
                return list(await store.detections(DetectionQuery(**query)))

            assert await ask() == [*reversed(found[1:]), settled]
            assert await ask(subject=bob.id) == [found[5], found[3], found[1]]
            assert await ask(id=found[0].id) == [settled]
            assert await ask(since=START + MINUTE, until=START + 3 * MINUTE) == [found[2], found[1]]
            assert await ask(limit=2) == [found[5], found[4]]
            assert await ask(limit=2, before=found[4]) == [found[3], found[2]]

            clock.move(timedelta(days=1, hours=1))
            await store.sweep()
            assert await ask() == []

    asyncio.run(scenario())
