"""The store against a plain model of it: whatever is done, in whatever order, both must say the same."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace

from genkan.engine.flow import Flow
from genkan.engine.messages import (
    Count,
    Deliver,
    Effect,
    PutAuthenticator,
    PutGrant,
    PutSubject,
    RevokeGrants,
)
from genkan.engine.transaction import Change, Conflict, Loaded, Needs
from genkan.model import Authenticator, Grant, Message, Subject
from tests.store.worlds import (
    START,
    Clock,
    SqlitePlace,
    a_flow,
    a_grant,
    a_mailbox,
    a_message,
    a_record,
    a_subject,
    an_email,
    ended,
)

T = TypeVar("T")

NAMES = st.sampled_from(["anna", "berta", "clara"])
BUCKETS = ("first", "second")


class StoreAndModel(RuleBasedStateMachine):
    """Does everything twice: in the store, and in dictionaries."""

    flow_ids = Bundle("flow_ids")
    subject_ids = Bundle("subject_ids")
    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="genkan-model-"))
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.store = SqlitePlace(self.folder).open(self.clock)
        self.flows: dict[bytes, tuple[int, Flow]] = {}
        self.subjects: dict[str, Subject] = {}
        self.holders: dict[str, str] = {}
        self.authenticators: dict[str, Authenticator] = {}
        self.grants: dict[str, Grant] = {}
        self.histories: dict[str, tuple[int, ...]] = {}
        self.members: set[tuple[str, str]] = set()
        self.outbox: dict[str, Message] = {}
        self.leased: set[str] = set()
        self.trail: list[str] = []

    def teardown(self) -> None:
        self.do(self.store.close)
        self.loop.close()
        shutil.rmtree(self.folder)

    def do(self, work: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        async def run() -> T:
            return await work(*arguments)

        return self.loop.run_until_complete(run())

    def write(self, *effects: Effect, flow: Flow | None = None, needs: Needs | None = None) -> bool:
        """Run a step that writes this; say whether it could be written."""
        try:
            self.do(self.store.run, needs or Needs(), lambda _: (Change(flow=flow, effects=effects), None))
        except Conflict:
            return False
        return True

    # Flows. ----------------------------------------------------------------------------------------------------------

    @rule(target=flow_ids, name=NAMES)
    def begin(self, name: str) -> bytes:
        flow = a_flow(identifier=an_email(name))
        assert self.write(a_record("begin"), flow=flow)
        self.flows[flow.id] = (1, flow)
        self.trail.append("begin")
        return flow.id

    @rule(flow=flow_ids, minutes=st.integers(0, 60))
    def advance(self, flow: bytes, minutes: int) -> None:
        version, before = self.flows[flow]
        after = replace(before, failures=before.failures + 1, expires_at=START + timedelta(minutes=minutes))
        assert self.write(a_record("advance"), flow=after, needs=Needs(flow=flow))
        self.flows[flow] = (version + 1, after)
        self.trail.append("advance")

    @rule(flow=flow_ids)
    def begin_what_has_begun(self, flow: bytes) -> None:
        assert not self.write(a_record("never"), Deliver(a_message()), flow=self.flows[flow][1])

    @rule(flow=flow_ids, others=st.lists(flow_ids, max_size=5), breaks=st.booleans())
    def advance_many_at_once(self, flow: bytes, others: list[bytes], breaks: bool) -> None:
        def one_more(loaded: Loaded) -> tuple[Change, int]:
            assert loaded.flow is not None
            after = replace(loaded.flow, failures=loaded.flow.failures + 1)
            return Change(flow=after, effects=(a_record("many"),)), after.failures

        steps = [flow, *others]
        jobs = [(Needs(flow=one), one_more) for one in steps]

        async def together() -> list[int | BaseException]:
            running: list[Awaitable[int]] = [self.store.run(needs, decide) for needs, decide in jobs]
            if breaks:  # A step that never fits stands between them.
                again = self.flows[flow][1]
                running.insert(1, self.store.run(Needs(), lambda _: (Change(flow=again), 0)))
            return await asyncio.gather(*running, return_exceptions=True)

        answers = self.do(together)

        expected: list[int] = []
        for one in steps:
            version, before = self.flows[one]
            after = replace(before, failures=before.failures + 1)
            self.flows[one] = (version + 1, after)
            expected.append(after.failures)
            self.trail.append("many")
        if breaks:
            assert isinstance(answers.pop(1), Conflict)
        assert answers == expected

    # Subjects and what is theirs. ------------------------------------------------------------------------------------

    @rule(target=subject_ids, names=st.lists(NAMES, min_size=1, max_size=2))
    def sign_up(self, names: list[str]) -> Any:
        subject = a_subject(*map(an_email, names))
        mailbox = a_mailbox(subject)
        free = not any(i.key in self.holders for i in subject.identifiers)
        written = self.write(PutAuthenticator(mailbox), a_record("sign_up"), PutSubject(subject))
        assert written == free
        if not written:
            return multiple()
        self.subjects[subject.id] = replace(subject, revision=1)
        self.authenticators[mailbox.id] = replace(mailbox, revision=1)
        self.holders |= {i.key: subject.id for i in subject.identifiers}
        self.trail.append("sign_up")
        return subject.id

    @rule(subject=subject_ids, name=NAMES, looks=st.booleans(), behind=st.integers(0, 1))
    def rename(self, subject: str, name: str, looks: bool, behind: int) -> None:
        before = self.subjects[subject]
        wanted = an_email(name)
        fits = behind == 0 and self.holders.get(wanted.key, subject) == subject
        after = replace(before, identifiers=(wanted,), revision=before.revision - behind)
        if after.revision == 0:
            return
        needs = Needs(subject=subject) if looks else Needs()
        assert self.write(PutSubject(after), needs=needs) == fits
        if fits:
            self.subjects[subject] = replace(after, revision=before.revision + 1)
            self.holders = {key: owner for key, owner in self.holders.items() if owner != subject}
            self.holders[wanted.key] = subject

    @rule(subject=subject_ids, state=st.sampled_from(["active", "quarantined", "tombstoned"]))
    def change_methods(self, subject: str, state: Any) -> None:
        old = next(a for a in self.authenticators.values() if a.subject == subject)
        new = replace(
            a_mailbox(self.subjects[subject]), created_at=START - timedelta(seconds=len(self.trail))
        )
        assert self.write(PutAuthenticator(replace(old, state=state)), PutAuthenticator(new))
        self.authenticators[old.id] = replace(old, state=state, revision=old.revision + 1)
        self.authenticators[new.id] = replace(new, revision=1)

    @rule(subject=subject_ids)
    def grant(self, subject: str) -> None:
        grant = a_grant(self.subjects[subject])
        assert self.write(PutGrant(grant))
        self.grants[grant.id] = replace(grant, revision=1)

    @rule(subject=subject_ids, head=st.binary(min_size=1, max_size=4), behind=st.integers(0, 1))
    def rotate(self, subject: str, head: bytes, behind: int) -> None:
        for grant in [g for g in self.grants.values() if g.subject == subject]:
            if grant.revision - behind == 0:
                continue
            after = replace(grant, head=head, spent=grant.head, revision=grant.revision - behind)
            assert self.write(PutGrant(after)) == (behind == 0)
            if behind == 0:
                self.grants[grant.id] = replace(after, revision=grant.revision + 1)

    @rule(subject=subject_ids)
    def revoke(self, subject: str) -> None:
        at = self.clock.now.replace(microsecond=0)
        assert self.write(RevokeGrants(subject=subject, at=at))
        for grant in self.grants.values():
            if grant.subject == subject and grant.revoked_at is None:
                self.grants[grant.id] = replace(grant, revoked_at=at, revision=grant.revision + 1)

    @rule(subject=subject_ids, group=NAMES, parent=NAMES, leaves=st.booleans())
    def change_groups(self, subject: str, group: str, parent: str, leaves: bool) -> None:
        self.do(self.store.add_members, parent, [group])
        self.members.add((group, parent))
        if leaves:
            self.do(self.store.remove_members, group, [subject])
            self.members.discard((subject, group))
        else:
            self.do(self.store.add_members, group, [subject])
            self.members.add((subject, group))

    # Limits and messages. --------------------------------------------------------------------------------------------

    @rule(bucket=st.sampled_from(BUCKETS), history=st.lists(st.integers(0, 2**62), max_size=4))
    def count(self, bucket: str, history: list[int]) -> None:
        assert self.write(Count(bucket=bucket, history=tuple(history), keep_until=START + timedelta(days=9)))
        self.histories[bucket] = tuple(history)

    @rule(minutes=st.integers(1, 90))
    def deliver(self, minutes: int) -> None:
        now = self.clock.now
        message = replace(a_message(now=now), expires_at=now + timedelta(minutes=minutes))
        assert self.write(Deliver(message))
        self.outbox[message.id] = message

    @rule(target=leases, limit=st.integers(1, 3))
    def lease(self, limit: int) -> Any:
        leased = self.do(self.store.lease, limit)
        lives = {name for name, m in self.outbox.items() if m.expires_at > self.clock.now}
        taken = {row.message.id for row in leased}
        assert len(taken) == len(leased) <= limit
        assert taken <= lives - self.leased
        assert len(leased) == min(limit, len(lives - self.leased))
        assert all(row.message == self.outbox[row.message.id] for row in leased)
        self.outbox = {name: m for name, m in self.outbox.items() if name in lives or name in self.leased}
        self.leased |= taken
        return tuple(leased)

    @rule(leased=consumes(leases))
    def settle(self, leased: Any) -> None:
        self.do(self.store.settle, ended("sent", *leased))
        for row in leased:
            self.outbox.pop(row.message.id, None)
            self.leased.discard(row.message.id)

    # Time and restarts. ----------------------------------------------------------------------------------------------

    @rule(seconds=st.integers(0, 20))
    def wait(self, seconds: int) -> None:
        if not self.leased:  # What the end of a lease does is for the contract to test.
            self.clock.move(timedelta(seconds=seconds))

    @rule()
    def restart(self) -> None:
        self.do(self.store.close)
        self.store = SqlitePlace(self.folder).open(self.clock)

    @initialize()
    def nothing_is_there(self) -> None:
        assert self.do(self.store.trail) == ()

    # What must be the same. ------------------------------------------------------------------------------------------

    @invariant()
    def flows_agree(self) -> None:
        for flow, (version, expected) in self.flows.items():
            loaded = self.do(self.store.read, Needs(flow=flow))
            assert (loaded.flow_version, loaded.flow) == (version, expected)
            assert expected.identifier is not None
            holder = self.holders.get(expected.identifier.key)
            assert loaded.subject == (self.subjects[holder] if holder else None)

    @invariant()
    def subjects_agree(self) -> None:
        for subject, expected in self.subjects.items():
            loaded = self.do(self.store.read, Needs(subject=subject, buckets=lambda _: BUCKETS))
            mine = [a for a in self.authenticators.values() if a.subject == subject and a.state == "active"]
            assert loaded.subject == expected
            assert loaded.authenticators == tuple(sorted(mine, key=lambda a: (a.created_at, a.id)))
            assert loaded.groups == self.groups_of(subject)
            assert loaded.histories == {name: self.histories.get(name, ()) for name in BUCKETS}

    @invariant()
    def grants_agree(self) -> None:
        for name, expected in self.grants.items():
            assert self.do(self.store.read, Needs(grant=name)).grant == expected

    @invariant()
    def the_trail_agrees(self) -> None:
        trail = self.do(lambda: self.store.trail(limit=10_000))
        assert [entry.record.action for entry in trail] == self.trail

    def groups_of(self, member: str) -> frozenset[str]:
        found: set[str] = set()
        reached = {member}
        while reached := {group for one, group in self.members if one in reached} - found:
            found |= reached
        return frozenset(found)


CALM = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)


def test_the_store_and_its_model_say_the_same() -> None:
    run_state_machine_as_test(StoreAndModel, settings=settings(CALM, max_examples=30, stateful_step_count=25))


@pytest.mark.slow
def test_the_store_and_its_model_say_the_same_for_long() -> None:
    run_state_machine_as_test(
        StoreAndModel, settings=settings(CALM, max_examples=500, stateful_step_count=50)
    )
