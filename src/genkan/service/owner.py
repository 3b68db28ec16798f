"""
What people do to their own account in peacetime, so that they can have it back on a bad day.

Each act is decided in the store's batch, on the account as it is then and with its audit row; whoever owns the account
is told everywhere (ENR-03). Knows no HTTP and no token: a `Caller` was vouched for before.
Source: emergency-protocol 6.5, 9.2; ENR-01, ENR-13, SES-08.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, Final, Literal, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from genkan.engine import held, history, passkeys, reserve, signals, steps
from genkan.engine.emergency import account
from genkan.engine.messages import (
    Count,
    Deliver,
    Detect,
    Detection,
    Effect,
    Emit,
    Entropy,
    NeedCheck,
    PutAuthenticator,
    PutReserve,
    PutSubject,
    Record,
    RevokeGrants,
)
from genkan.engine.passkeys import Making
from genkan.engine.reserve import Lack, Proven, Readiness
from genkan.engine.reset import PASSWORDS_REMEMBERED
from genkan.engine.transaction import Change, Conflict, Loaded, Needs, SignInQuery
from genkan.factors import passkey
from genkan.factors.paper import Use
from genkan.model import (
    SECURITY_INFO_API,
    Authenticator,
    Ceremony,
    Kind,
    Reason,
    Reserve,
    Secret,
    Subject,
    Tenant,
)
from genkan.risk import account as account_risk
from genkan.risk import rate
from genkan.service.hashing import Hashing, judged
from genkan.service.ports import AdminStore, Leaks

T = TypeVar("T")

SCOPE = f"{SECURITY_INFO_API.uri}/{SECURITY_INFO_API.scopes[0]}"
"""What an app must be registered for, and have asked for."""

Purpose = Literal["register", "remove"]

Why = Literal["token", "stale", "factor", "too_many", "assertion", "taken", "missing", "password"]
"""
What kind of no it is. `assertion`: a passkey did not prove what was asked for. `taken`: it is registered already.
`missing`: there is no such passkey. `token`: the account or the app is no longer what the token says. `stale`: nothing
was proven lately. `factor`: there is a second factor that was not shown. `too_many`: it was done too often.
`password`: it is not the account's.
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

    def __init__(
        self,
        *,
        store: AdminStore,
        hashing: Hashing,
        leaks: Leaks | None,
        paper_key: bytes,
        base_url: str,
        on_deliver: Callable[[], None],
    ) -> None:
        """`base_url` is the server's public address, whose host passkeys are for unless the tenant names a domain."""
        self._base_url = base_url
        self._store = store
        self._hashing = hashing
        self._leaks = leaks
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
        return reserve.readiness(len(reserve.anchors(loaded.authenticators)), loaded.reserve, contacts=0)

    # Passkeys. --------------------------------------------------------------------------------------

    async def passkeys(self, caller: Caller) -> tuple[Authenticator, ...] | Refusal:
        """
        The account's passkeys, oldest first. Asks for no fresh proof.

        Refuses: `token`. Raises: `StoreUnavailable`.
        """
        loaded = await self._store.read(Needs(subject=caller.subject))
        return Refusal("token") if _vouched(caller, loaded) is None else _passkeys(loaded)

    async def begin(self, caller: Caller, purpose: Purpose) -> Making | Refusal:
        """
        Put a question to an authenticator: to make a passkey, or to prove one before one is removed.

        It is for this account, this app and this purpose alone, good for five minutes and one answer (WAN-01).
        Refuses: as `Why` says. Raises: `StoreUnavailable`.
        """
        await asyncio.to_thread(passkey.load)
        entropy = Entropy(os.urandom(32))

        def decide(loaded: Loaded, subject: Subject) -> tuple[Change, Making | Refusal]:
            held, tenant = _passkeys(loaded), loaded.directory.tenant
            if purpose == "register" and (lack := _lack_for_passkey(caller, loaded, subject)):
                return _refused(caller, purpose, Refusal(lack))
            if purpose == "register" and len(held) >= passkey.MOST:
                return _refused(caller, purpose, Refusal("too_many"))
            kept = loaded.reserve or Reserve(subject=subject.id)
            ceremony = Ceremony(
                challenge=entropy.take("challenge", passkey.CHALLENGE_BYTES),
                purpose=purpose,
                client=caller.client,
                expires_at=loaded.now + passkeys.LIFETIME,
            )
            handle = kept.handle or entropy.take("handle", passkey.HANDLE_BYTES)
            asked = Making(
                challenge=ceremony.challenge,
                handle=handle,
                rp_id=self._rp_id(tenant),
                rp_name=tenant.brand.name or tenant.name,
                name=subject.email.value if subject.email else subject.id,
                credentials=tuple(a.passkey.credential for a in held if a.passkey is not None),
            )
            return Change(effects=(PutReserve(replace(kept, handle=handle, ceremony=ceremony)),)), asked

        return await self._act(caller, purpose, decide)

    async def register_passkey(
        self, caller: Caller, credential: dict[str, Any], name: str, *, roaming: bool
    ) -> Authenticator | Refusal:
        """
        Register the passkey that was made in answer to `begin`, which is an anchor for the emergency protocol too.

        `roaming`: it is a security key, as the client says.
        Refuses: as `Why` says. Raises: `StoreUnavailable`.
        """
        await asyncio.to_thread(passkey.load)
        entropy = Entropy(os.urandom(32))

        def decide(loaded: Loaded, subject: Subject) -> tuple[Change, Authenticator | Refusal]:
            if lack := _lack_for_passkey(caller, loaded, subject):
                return _refused(caller, "register", Refusal(lack))
            begun, ended = _ended(caller, loaded, "register")
            rp_id = self._rp_id(loaded.directory.tenant)
            origin = self._origin(credential, caller, loaded)
            made = None
            if begun is not None:
                made = passkey.made(credential, begun.challenge, rp_id, origin, roaming=roaming)
            if made is None:
                return _refused(caller, "register", Refusal("assertion"), *ended)
            if len(_passkeys(loaded)) >= passkey.MOST:
                return _refused(caller, "register", Refusal("too_many"), *ended)
            new = Authenticator(
                id=entropy.guid("authenticator"),
                subject=subject.id,
                kind=Kind.PASSKEY,
                strong=False,
                name=name,
                source="registration",
                bound_by=reserve.proven_by(caller.proven, loaded.authenticators),
                created_at=loaded.now,
                passkey=made,
            )
            notices = _notices(caller, loaded, subject, entropy, "method_added")
            record = _record(caller, "owner:passkey:added", method=new.id, synced=made.synced)
            put = PutAuthenticator(new)
            told = signals.of_step((put,), loaded, entropy)
            return Change(effects=(*ended, put, *notices, record, *told)), new

        try:
            return await self._act(caller, "register", decide)
        except Conflict:  # Some account of the tenant has, or had, this credential.
            return Refusal("taken")

    async def rename_passkey(self, caller: Caller, id: str, name: str) -> Authenticator | Refusal:
        """
        Call a passkey something else.

        Refuses: as `Why` says. Raises: `StoreUnavailable`.
        """

        def decide(loaded: Loaded, _: Subject) -> tuple[Change, Authenticator | Refusal]:
            found = _passkey(loaded, id)
            if found is None:
                return _refused(caller, "rename", Refusal("missing"))
            named = replace(found, name=name)
            record = _record(caller, "owner:passkey:renamed", method=id)
            return Change(effects=(PutAuthenticator(named), record)), named

        return await self._act(caller, "rename", decide)

    async def remove_passkey(
        self, caller: Caller, id: str, credential: dict[str, Any]
    ) -> Authenticator | Refusal:
        """
        Remove a passkey, by a signature of one in answer to `begin`: an anchor by an anchor (ENR-07).

        A counter that went back is refused, and told as a risk of the account (WAN-04).
        Refuses: as `Why` says. Raises: `StoreUnavailable`.
        """
        await asyncio.to_thread(passkey.load)
        entropy = Entropy(os.urandom(32))

        def decide(loaded: Loaded, subject: Subject) -> tuple[Change, Authenticator | Refusal]:
            begun, ended = _ended(caller, loaded, "remove")
            found, kept = _passkey(loaded, id), loaded.reserve
            if begun is None or kept is None:
                return _refused(caller, "remove", Refusal("assertion"), *ended)
            if found is None or found.passkey is None:
                return _refused(caller, "remove", Refusal("missing"), *ended)
            origin = self._origin(credential, caller, loaded)
            prover, signed = next(
                (
                    (a, signed)
                    for a in _passkeys(loaded)
                    if a.passkey is not None
                    and (
                        signed := passkey.signed(credential, a.passkey, begun.challenge, origin, kept.handle)
                    )
                ),
                (None, None),
            )
            if prover is None or signed is None:
                return _refused(caller, "remove", Refusal("assertion"), *ended)
            if not signed.counter_ok:
                cloned = _cloned(caller, prover, loaded, entropy)
                return _refused(caller, "remove", Refusal("assertion"), *ended, cloned)
            is_weaker = signed.passkey.synced and not found.passkey.synced
            if not signed.verified or is_weaker:
                return _refused(caller, "remove", Refusal("assertion"), *ended)
            gone = replace(found, state="tombstoned", removed_at=loaded.now)
            effects: list[Effect] = [*ended, PutAuthenticator(gone)]
            if prover.id != id:
                used = replace(prover, passkey=signed.passkey, last_used_at=loaded.now)
                effects.append(PutAuthenticator(used))
            effects += _notices(caller, loaded, subject, entropy, "method_removed")
            effects += signals.of_step(effects, loaded, entropy)
            effects.append(_record(caller, "owner:passkey:removed", method=id, by=prover.id))
            return Change(effects=tuple(effects)), gone

        return await self._act(caller, "remove", decide)

    def _rp_id(self, tenant: Tenant) -> str:
        return passkeys.rp_id(tenant, self._base_url)

    def _origin(self, credential: dict[str, Any], caller: Caller, loaded: Loaded) -> str:
        directory = loaded.directory
        return passkeys.origin(credential, directory.clients[caller.client], directory.tenant, self._base_url)

    # The password. ----------------------------------------------------------------------------------

    async def change_password(self, caller: Caller, current: Secret, new: Secret) -> Reason | Refusal | None:
        """
        Set another password, for whoever knows the one there is; None when it is done.

        Every session of the account ends, this one too: the app signs in anew, with the new password (PWD-06). A wrong
        current password is counted before it is compared.
        Refuses: as `Why` says, or with what is wrong with the new password. Raises: `StoreUnavailable`.
        """
        bucket = rate.own_password(caller.subject)

        def spend(loaded: Loaded, subject: Subject) -> tuple[Change, tuple[int, Authenticator] | Refusal]:
            own = _password(loaded)
            if own is None:
                return _refused(caller, "password", Refusal("missing"))
            spent = rate.spend(loaded.histories.get(bucket, ()), rate.OWN_PASSWORD, loaded.now)
            if spent is None:
                return _refused(caller, "password", Refusal("too_many"))
            until = rate.keep_until(spent, rate.OWN_PASSWORD)
            return Change(effects=(Count(bucket=bucket, history=spent, keep_until=until),)), (spent[-1], own)

        def back(loaded: Loaded) -> Count:
            history = rate.refund(loaded.histories.get(bucket, ()), at)
            return Count(
                bucket=bucket, history=history, keep_until=rate.keep_until(history, rate.OWN_PASSWORD)
            )

        if self._hashing.is_full:
            return Reason.OVERLOADED
        begun = await self._act(caller, "password", spend, bucket)
        if isinstance(begun, Refusal):
            return begun
        at, own = begun
        checked = await self._hashing.check(NeedCheck(authenticator=own, text=current, spent=()))
        if not checked.right:
            return await self._act(
                caller, "password", lambda *_: _refused(caller, "password", Refusal("password"))
            )
        read = await self._store.read(Needs(subject=caller.subject))
        names = (i.value for i in read.subject.identifiers) if read.subject else ()
        told = map(str, read.subject.attributes.values()) if read.subject else ()
        earlier = tuple(m for m in (own.material, *own.previous) if m)
        tenant = read.directory.tenant
        hashed = await judged(self._hashing, self._leaks, new, (*names, *told), tenant, earlier)
        if hashed.material is None:
            await self._act(
                caller, "password", lambda loaded, _: (Change(effects=(back(loaded),)), None), bucket
            )
            return hashed.refused or Reason.PASSWORD_INVALID
        material, entropy = hashed.material, Entropy(os.urandom(32))

        def decide(loaded: Loaded, subject: Subject) -> tuple[Change, Refusal | None]:
            found = _password(loaded)
            if found is None or (found.id, found.revision) != (checked.authenticator, checked.revision):
                return _refused(caller, "password", Refusal("password"))
            changed = replace(
                found,
                material=material,
                previous=earlier[:PASSWORDS_REMEMBERED],
                changed_at=loaded.now,
                reset_at=None,
                leaked=False,
            )
            person = replace(
                subject,
                epoch=subject.epoch + 1,
                risk=account_risk.changed_password(subject.risk, loaded.now),
            )
            effects: list[Effect] = [
                PutAuthenticator(changed),
                PutSubject(person),
                RevokeGrants(subject=subject.id, at=loaded.now),
                back(loaded),
                *_notices(caller, loaded, subject, entropy, "password_changed"),
                _record(caller, "owner:password:changed", method=found.id),
            ]
            effects += signals.of_step(effects, loaded, entropy)
            return Change(effects=tuple(effects)), None

        return await self._act(caller, "password", decide, bucket)

    # What happened. ---------------------------------------------------------------------------------

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

    # How it is done. --------------------------------------------------------------------------------

    async def _issue(self, use: Use, caller: Caller) -> tuple[Secret, ...] | Refusal:
        bucket, entropy = rate.papers(caller.subject), Entropy(os.urandom(32))

        def decide(loaded: Loaded, subject: Subject) -> tuple[Change, tuple[Secret, ...] | Refusal]:
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

        return await self._act(caller, use, decide, bucket)

    async def _act(
        self,
        caller: Caller,
        act: str,
        decide: Callable[[Loaded, Subject], tuple[Change, T | Refusal]],
        *buckets: str,
    ) -> T | Refusal:
        """Let somebody who has proven enough do something to their account; who has not, is refused and on record."""
        delivers = False

        def step(loaded: Loaded) -> tuple[Change, T | Refusal]:
            nonlocal delivers
            delivers = False
            subject = _admitted(caller, loaded)
            if isinstance(subject, Refusal):
                return _refused(caller, act, subject)
            change, answer = decide(loaded, subject)
            delivers = any(isinstance(effect, Deliver | Emit) for effect in change.effects)
            return change, answer

        needs = Needs(subject=caller.subject, reserve=True, buckets=lambda _: buckets)
        answer = await self._store.run(needs, step)
        if delivers:
            self._on_deliver()
        return answer


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


def _password(loaded: Loaded) -> Authenticator | None:
    return next((a for a in loaded.authenticators if a.kind is Kind.PASSWORD), None)


# Passkeys. ------------------------------------------------------------------------------------------


def _lack_for_passkey(caller: Caller, loaded: Loaded, subject: Subject) -> Lack:
    return reserve.lack_for_passkey(caller.proven, subject, loaded.authenticators, loaded.now)


def _passkeys(loaded: Loaded) -> tuple[Authenticator, ...]:
    return tuple(a for a in loaded.authenticators if a.passkey is not None)


def _passkey(loaded: Loaded, id: str) -> Authenticator | None:
    return next((a for a in _passkeys(loaded) if a.id == id), None)


def _ended(caller: Caller, loaded: Loaded, purpose: Purpose) -> tuple[Ceremony | None, tuple[Effect, ...]]:
    """The open ceremony, if it is this one, and the effect that ends it whatever its answer is worth (WAN-01)."""
    kept = loaded.reserve
    if kept is None or kept.ceremony is None:
        return None, ()
    found = kept.ceremony
    is_this = found.purpose == purpose and found.client == caller.client and loaded.now < found.expires_at
    return found if is_this else None, (PutReserve(replace(kept, ceremony=None)),)


def _cloned(caller: Caller, prover: Authenticator, loaded: Loaded, entropy: Entropy) -> Detect:
    """A counter that went back: there may be two of this key (WAN-04)."""
    detection = Detection(
        id=entropy.guid("cloned"),
        at=loaded.now,
        updated_at=loaded.now,
        correlation_id=caller.correlation_id,
        subject=prover.subject,
        word="passkeyCounterWentBack",
        level="high",
        activity="user",
    )
    return Detect(detection, keep_until=loaded.now + loaded.directory.tenant.log_retention)


# What is written. -----------------------------------------------------------------------------------


def _refused(caller: Caller, act: str, no: Refusal, *effects: Effect) -> tuple[Change, Refusal]:
    return Change(effects=(*effects, _record(caller, f"owner:{act}:refused", no.why))), no


def _record(caller: Caller, action: str, reason: str = "", **detail: Any) -> Record:
    return Record(
        action=action,
        reason=reason,
        subject=caller.subject,
        client=caller.client,
        correlation_id=caller.correlation_id,
        detail={"amr": list(caller.proven.words), **detail},
    )


def _notices(
    caller: Caller, loaded: Loaded, subject: Subject, entropy: Entropy, template: str, **values: str
) -> list[Deliver]:
    """Tell the owner at every mailbox and number of the account."""
    facts = steps.facts(loaded, entropy)
    return steps.notices(subject, facts, loaded.directory.clients[caller.client], template, **values)
