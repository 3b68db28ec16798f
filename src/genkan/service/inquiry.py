"""
What administrators ask of the logs and the policies: why a sign-in went as it did, what would be, what would have been.

Reads and never writes, so it also works beside the process that owns the database. Holds no rule: the answers are
those of `engine.story`, `engine.impact` and `policy`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from genkan.engine.context import Account, context
from genkan.engine.impact import Impact
from genkan.engine.messages import Directory, Signals, SignIn
from genkan.engine.story import Story, tell
from genkan.engine.transaction import Audited, Loaded, Needs, SignInQuery
from genkan.model import Client, Demand, Evidence, Kind, Risk
from genkan.policy.decide import decide
from genkan.policy.explain import WhatIf, what_if
from genkan.policy.model import Decision, Policy

PAGE = 1000
"""Rows read at once."""


class Logs(Protocol):
    """One tenant's database, as far as it is read."""

    def directory(self) -> Directory: ...

    async def read(self, needs: Needs) -> Loaded: ...

    async def begun_as(self, correlation_id: str) -> Sequence[str]: ...

    async def sign_ins(self, query: SignInQuery) -> Sequence[SignIn]: ...

    async def trail(
        self, correlation_id: str | None = None, *, after: int = 0, limit: int = 100
    ) -> Sequence[Audited]: ...


async def stories(logs: Logs, correlation_id: str) -> tuple[Story, ...]:
    """
    Everything that is known of a correlation id, told; none when it is nobody's.

    Shapes: a GUID in lower case, of any answer of the flow.
    """
    told = await _stories(logs, correlation_id)
    for begun in () if told else await logs.begun_as(correlation_id):
        told += await _stories(logs, begun)
    return told


async def _stories(logs: Logs, correlation_id: str) -> tuple[Story, ...]:
    entries = [entry async for entry in sign_ins(logs, SignInQuery(correlation_id=correlation_id))]
    trail: list[Audited] = []
    while page := await logs.trail(correlation_id, after=trail[-1].seq if trail else 0, limit=PAGE):
        trail += page
    return tell(entries, trail, logs.directory())


async def sign_ins(logs: Logs, query: SignInQuery) -> AsyncIterator[SignIn]:
    """The entries of the sign-in log, newest first, page after page."""
    query = replace(query, limit=PAGE)
    while page := await logs.sign_ins(query):
        for entry in page:
            yield entry
        query = replace(query, before=page[-1])


async def account(logs: Logs, subject: str) -> Account | None:
    """A person's account as it is now; `subject` is their id."""
    loaded = await logs.read(Needs(subject=subject))
    if loaded.subject is None:
        return None
    return Account(subject=loaded.subject, authenticators=loaded.authenticators, groups=loaded.groups)


# What would have been. -------------------------------------------------------------------------------


async def impact(
    logs: Logs,
    before: Sequence[Policy],
    after: Sequence[Policy],
    query: SignInQuery,
    progress: Callable[[SignIn], None] = lambda _: None,
) -> Impact:
    """Judge a part of the sign-in log twice: on the policies `before` and on those `after`."""
    directory, accounts = logs.directory(), dict[str, Account | None]()
    found = Impact()
    async for entry in sign_ins(logs, query):
        if entry.subject is not None and entry.subject not in accounts:
            accounts[entry.subject] = await account(logs, entry.subject)
        found.add(entry, accounts.get(entry.subject or ""), directory, before, after)
        progress(entry)
    return found


def compared(policies: Sequence[Policy], draft: Policy) -> tuple[tuple[Policy, ...], tuple[Policy, ...]]:
    """
    The policies without a draft's change and with it, as if it were enabled.

    A draft takes the place of the policy with its id. One that is stored and enabled just so is compared with a
    tenant that lacks it.
    """
    enforced = replace(draft, state="enabled")
    others = tuple(policy for policy in policies if policy.id != draft.id)
    before = tuple(policies) if enforced not in policies else others
    return before, (*others, enforced)


# What would be. --------------------------------------------------------------------------------------


class Supposed(Struct, frozen=True, kw_only=True):
    """A sign-in that somebody imagines."""

    first: Kind
    client: Client
    demand: Demand
    signals: Signals
    risk: Risk


class Outlook(Struct, frozen=True, kw_only=True):
    """What would become of it."""

    decision: Decision
    """After a right first factor."""
    policies: tuple[WhatIf, ...]


def outlook(directory: Directory, person: Account, supposed: Supposed, now: datetime) -> Outlook:
    """What policy would say to this person right after their first factor, and which policies would apply."""
    first = next(
        (a for a in person.authenticators if a.kind is supposed.first and not a.strong),
        None,
    )
    email = person.subject.email
    proven = Evidence(
        kind=supposed.first,
        authenticator=first.id if first else None,
        place=email.place if supposed.first is Kind.EMAIL_OTP and email else None,
        at=now,
        part="first",
    )
    moment = context(
        directory,
        now=now,
        kind="initial",
        account=person,
        client=supposed.client,
        demand=supposed.demand,
        evidence=(proven,),
        signals=supposed.signals,
        risk=supposed.risk,
    )
    return Outlook(
        decision=decide(directory.policies, moment),
        policies=what_if(directory.policies, moment),
    )
