"""
What people do to their own account in peacetime, so that they can have it back on a bad day.

Each act is decided in the store's batch, on the account as it is then and with its audit row; whoever owns the account
is told everywhere (ENR-03). Knows no HTTP and no token: a `Caller` was vouched for before.
Source: emergency-protocol 6.5, 9.2; ENR-01, ENR-13, SES-08.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, Literal, TypeVar

from msgspec import Struct

from genkan.engine import held, history, reserve, steps
from genkan.engine.emergency import account
from genkan.engine.messages import Count, Deliver, Effect, Entropy, Facts, PutReserve, Record
from genkan.engine.reserve import Proven, Readiness
from genkan.engine.transaction import Change, Loaded, Needs, SignInQuery
from genkan.factors.paper import Use
from genkan.model import SECURITY_INFO_API, Kind, Secret, Subject
from genkan.risk import rate
from genkan.service.ports import AdminStore

T = TypeVar("T")

SCOPE = f"{SECURITY_INFO_API.uri}/{SECURITY_INFO_API.scopes[0]}"
"""What an app must be registered for, and have asked for."""

Why = Literal["token", "stale", "factor", "too_many"]
"""
What kind of no it is. `token`: the account or the app is no longer what the token says. `stale`: nothing was proven
lately. `factor`: there is a second factor that was not shown. `too_many`: it was done too often.
"""

MOST_SHOWN: Final = 50
"""Sign-ins, and changes, that are shown of an account."""
NOTICES: dict[Use, str] = {"recovery": "recovery_codes_issued", "freeze": "freeze_code_issued"}


class Caller(Struct, frozen=True, kw_only=True):
    """Who asks, as a token of ours says that was issued for this."""

    subject: str
    client: str
    epoch: int
    """The account's when the token was issued."""
    proven: Proven
    correlation_id: str = ""


class Refusal(Struct, frozen=True):
    """No, and nothing has changed."""

    why: Why


class Activity(Struct, frozen=True, kw_only=True):
    """What happened lately, the latest first."""

    sign_ins: tuple[history.Told, ...]
    changes: tuple[history.Change, ...]


class Owner:
    """The acts of a tenant's people on their own accounts."""

    def __init__(self, *, store: AdminStore, paper_key: bytes, on_deliver: Callable[[], None]) -> None:
        self._store = store
        self._paper_key = paper_key
        self._on_deliver = on_deliver

    async def issue_recovery_codes(self, caller: Caller) -> tuple[Secret, ...] | Refusal:
        """
        Issue ten recovery codes, shown this once; those before are worthless (ENR-13).

        Refuses: as `Why` says. Raises: `StoreUnavailable`.
        """
        return await self._issue("recovery", caller)

    async def issue_freeze_code(self, caller: Caller) -> Secret | Refusal:
        """
        Issue the code that can hold the account and nothing else; the one before is worthless.

        Refuses: as `Why` says. Raises: `StoreUnavailable`.
        """
        issued = await self._issue("freeze", caller)
        return issued if isinstance(issued, Refusal) else issued[0]

    async def readiness(self, caller: Caller) -> Readiness | Refusal:
        """
        Say how well the account is prepared. Asks for no fresh proof.

        Refuses: `token`. Raises: `StoreUnavailable`.
        """
        loaded = await self._store.read(Needs(subject=caller.subject, reserve=True))
        if _vouched(caller, loaded) is None:
            return Refusal("token")
        anchors = sum(a.kind is Kind.PASSKEY for a in loaded.authenticators)
        return reserve.readiness(anchors, loaded.reserve, contacts=0)

    async def activity(self, caller: Caller) -> Activity | Refusal:
        """
        The latest sign-ins to the account and changes to how it signs in (LOG-08). Asks for no fresh proof.

        Refuses: `token`. Raises: `StoreUnavailable`.
        """
        loaded = await self._store.read(Needs(subject=caller.subject, reserve=True))
        subject = _vouched(caller, loaded)
        if subject is None:
            return Refusal("token")
        entries = await self._store.sign_ins(
            SignInQuery(subject=subject.id, interactive=True, limit=MOST_SHOWN)
        )
        held = await self._store.look(lambda view: view.every_authenticator(subject.id))
        changes = history.changes(subject, held, loaded.reserve)
        return Activity(
            sign_ins=tuple(map(history.told, entries)),
            changes=tuple(sorted(changes, key=lambda change: change.at, reverse=True)[:MOST_SHOWN]),
        )

    async def _issue(self, use: Use, caller: Caller) -> tuple[Secret, ...] | Refusal:
        bucket, entropy = rate.papers(caller.subject), Entropy(os.urandom(32))

        def decide(loaded: Loaded) -> tuple[Change, tuple[Secret, ...] | Refusal]:
            subject = _admitted(caller, loaded)
            if isinstance(subject, Refusal):
                return _refused(caller, use, subject)
            spent = rate.spend(loaded.histories.get(bucket, ()), rate.PAPERS_ISSUED, loaded.now)
            if spent is None:
                return _refused(caller, use, Refusal("too_many"))
            by = reserve.proven_by(caller.proven, loaded.authenticators)
            sheet, texts = reserve.issued(use, subject.id, entropy, self._paper_key, loaded.now, by)
            effects: tuple[Effect, ...] = (
                PutReserve(reserve.laid_by(loaded.reserve, subject.id, use, sheet)),
                Count(bucket=bucket, history=spent, keep_until=rate.keep_until(spent, rate.PAPERS_ISSUED)),
                *_notices(caller, loaded, subject, entropy, NOTICES[use]),
                _record(caller, f"owner:{use}:issued"),
            )
            return Change(effects=effects), texts

        needs = Needs(subject=caller.subject, reserve=True, buckets=lambda _: (bucket,))
        issued = await self._store.run(needs, decide)
        if not isinstance(issued, Refusal):
            self._on_deliver()
        return issued


# Who may. -------------------------------------------------------------------------------------------


def _vouched(caller: Caller, loaded: Loaded) -> Subject | None:
    """The account, if it and the app are still what the token says: it may have been reset a minute ago."""
    subject, client = loaded.subject, loaded.directory.clients.get(caller.client)
    if subject is None or client is None or SCOPE not in client.scopes:
        return None
    is_the_same = subject.status == "active" and subject.epoch == caller.epoch
    return subject if is_the_same and not subject.must_change_password else None


def _admitted(caller: Caller, loaded: Loaded) -> Subject | Refusal:
    """The account, if the caller has proven enough to change how its owner proves themselves."""
    subject = _vouched(caller, loaded)
    if subject is None:
        return Refusal("token")
    settled, _ = account.settled(loaded, Entropy(os.urandom(32)))
    if held.takeover_refused(settled) is not None:
        return Refusal("factor")  # Until it is over, what is laid by could be the other side's way back.
    lack = reserve.lack(caller.proven, subject, loaded.authenticators, loaded.now)
    return Refusal(lack) if lack else subject


# What is written. -----------------------------------------------------------------------------------


def _refused(caller: Caller, act: str, no: Refusal) -> tuple[Change, Refusal]:
    return Change(effects=(_record(caller, f"owner:{act}:refused", no.why),)), no


def _record(caller: Caller, action: str, reason: str = "") -> Record:
    return Record(
        action=action,
        reason=reason,
        subject=caller.subject,
        client=caller.client,
        correlation_id=caller.correlation_id,
        detail={"amr": list(caller.proven.words)},
    )


def _notices(
    caller: Caller, loaded: Loaded, subject: Subject, entropy: Entropy, template: str, **values: str
) -> list[Deliver]:
    """Tell the owner at every mailbox and number of the account."""
    facts = Facts(
        now=loaded.now,
        directory=loaded.directory,
        client=None,
        subject=subject,
        authenticators=loaded.authenticators,
        entropy=entropy,
        code_key=b"",
    )
    return steps.notices(subject, facts, loaded.directory.clients[caller.client], template, **values)
