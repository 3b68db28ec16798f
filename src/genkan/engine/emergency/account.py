"""
An account as the protocol sees it, and what the protocol wants written, in the words of the store.

Here what is stored meets what is decided: authenticators become methods, grants become families, and effects that only
the protocol knows become effects that the store carries out, all of them in one change. Decides nothing.
Source: emergency-protocol 5.3, 5.4, 15.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from hashlib import blake2b

from msgspec.structs import replace

from genkan.engine import reserve, signals
from genkan.engine.emergency import words
from genkan.engine.emergency.case import NORMAL, Family, Means, Method, Parameters, Shown
from genkan.engine.emergency.protocol import FAILURES, advance
from genkan.engine.flow import guid
from genkan.engine.messages import (
    Deliver,
    Effect,
    Emit,
    Entropy,
    PutAuthenticator,
    PutEmergency,
    PutGrant,
    PutReserve,
    PutSubject,
    Record,
)
from genkan.engine.transaction import Change, Loaded
from genkan.model import Authenticator, Grant, Identifier, Kind, Subject

ADDRESS = "sign_in_address"
"""What stands for the sign-in address where it is no authenticator: that of somebody who signs in by a password."""

MEANS: Mapping[Kind, Means] = {
    Kind.PASSWORD: Means.PASSWORD,
    Kind.EMAIL_OTP: Means.EMAIL,
    Kind.SMS_OTP: Means.SMS,
    Kind.PASSKEY: Means.PASSKEY,
}
"""Kinds of authenticators that the protocol knows as methods."""


def failures(owner: str) -> str:
    """The bucket of wrong proofs at the emergency door, of an account or of a name that is nobody's."""
    return f"{FAILURES.name}/{owner}"


def methods(subject: Subject, held: tuple[Authenticator, ...]) -> tuple[Method, ...]:
    """
    What can prove this person, in the protocol's words; what was taken away for good is none.

    Where a mailbox or number lives is not known here, so it is taken to be on whatever phone was lost.
    """
    living = [a for a in held if a.removed_at is None and a.kind in MEANS]
    password = frozenset(a.id for a in living if a.kind is Kind.PASSWORD)
    mailbox = next((a.id for a in living if a.target is not None and a.target == subject.email), ADDRESS)
    found = [_method(a, password, mailbox) for a in living if a.passkey is None]
    found += reserve.passkeys(living)
    if subject.email is not None and mailbox == ADDRESS:
        found.append(
            Method(
                id=ADDRESS,
                means=Means.EMAIL,
                created_at=subject.created_at,
                resets=password,
                address=subject.email,
            )
        )
    return tuple(found)


def _method(held: Authenticator, password: frozenset[str], mailbox: str) -> Method:
    is_mailbox = held.kind is Kind.EMAIL_OTP
    moved = held.formerly[-1].until if held.formerly else None
    return Method(
        id=held.id,
        means=MEANS[held.kind],
        created_at=held.created_at,
        changed_at=held.changed_at or moved,
        changed_by=mailbox if held.reset_at is not None else None,
        resets=password if is_mailbox else frozenset(),
        used_at=held.last_used_at,
        address=held.target,
        is_known_bad=held.leaked,
    )


def of_place(subject: Subject, held: tuple[Authenticator, ...], place: str | None) -> str:
    """The method that is this mailbox or number (`Identifier.place`); empty where there is none."""
    found = (m.id for m in methods(subject, held) if m.address is not None and m.address.place == place)
    return next(found, "")


def address(subject: Subject, held: tuple[Authenticator, ...], method: str) -> Identifier | None:
    """Where codes of a method go."""
    return next((m.address for m in methods(subject, held) if m.id == method), None)


def facts(loaded: Loaded, entropy: Entropy, *, failures: tuple[int, ...] = ()) -> words.Facts:
    """
    All that the protocol may know of an account at this step.

    Wants it loaded whole (`Needs.whole`), and what was laid by (`Needs.reserve`) where that may be shown.
    """
    subject, tenant = loaded.subject, loaded.directory.tenant
    is_there = subject is not None and subject.status != "deleted"
    held = loaded.held or loaded.authenticators
    return words.Facts(
        now=loaded.now,
        subject=subject if is_there else None,
        methods=(*methods(subject, held), *reserve.methods(loaded.reserve))
        if subject is not None and is_there
        else (),
        devices=reserve.devices(a for a in held if a.removed_at is None),
        families=tuple(Family(id=g.id) for g in loaded.families),
        parameters=Parameters(coresidency=tenant.coresidency),
        failures=failures,
        had_mfa=any(a.strong and a.kind is not Kind.PASSWORD for a in held),
        is_break_glass=subject is not None and subject.id in tenant.break_glass,
        entropy=entropy,
    )


# What is written. -----------------------------------------------------------------------------------


def change(
    step: words.Step,
    loaded: Loaded,
    *,
    client: str | None = None,
    correlation_id: str = "",
    app: str = "",
    used: Authenticator | None = None,
) -> Change:
    """
    What a step of the protocol comes to: one change, whole or not at all (5.3).

    `used`: the authenticator that was shown, as it must be from now on.
    """
    effects = tuple(_effects(step, loaded, client, correlation_id, app, used))
    if loaded.subject is not None and step.emergency != loaded.emergency:
        kept = PutEmergency(
            subject=loaded.subject.id, emergency=step.emergency, revision=loaded.emergency_revision
        )
        effects = (kept, *effects)
    return Change(effects=effects)


def _effects(
    step: words.Step,
    loaded: Loaded,
    client: str | None,
    correlation_id: str,
    app: str,
    shown: Authenticator | None,
) -> Iterator[Effect]:
    grants = {g.id: g for g in loaded.families}
    held = {a.id: shown if shown is not None and a.id == shown.id else a for a in loaded.held}
    subject, used = loaded.subject, list[str]()
    for effect in step.effects:
        match effect:
            case PutSubject():
                subject = effect.subject
                yield effect
            case Record():
                yield replace(effect, client=client, correlation_id=correlation_id)
            case Deliver(message=message):
                spoken = subject.attributes.get("preferredLanguage") if subject else None
                yield Deliver(
                    replace(
                        message,
                        language=spoken if isinstance(spoken, str) else "",
                        correlation_id=correlation_id,
                        values={**message.values, "app": app} if app else message.values,
                    )
                )
            case words.Families():
                for id in effect.families:
                    if id in grants:
                        grants[id] = _grant(grants[id], effect.do, loaded.now, subject)
            case words.Mark():
                used += effect.methods if effect.state == "spent" else ()
                for id in effect.methods:
                    if id in held:
                        held[id] = _marked(held[id], effect, loaded.now)
            case words.Alarm():
                yield Record(
                    action=f"emergency:{effect.word}",
                    subject=subject.id if subject else None,
                    client=client,
                    correlation_id=correlation_id,
                )
            case words.EndAll():
                pass  # The new epoch has ended every flow, code and grant, and there is nothing else to end.
            case words.Emit():
                if subject is not None:
                    yield _signal(effect, step, loaded, subject)
            case _:
                yield effect
    if loaded.reserve is not None and used:
        yield PutReserve(reserve.spent(loaded.reserve, used, loaded.now))
    yield from (PutGrant(grants[g.id]) for g in loaded.families if grants[g.id] != g)
    yield from (PutAuthenticator(held[a.id]) for a in loaded.held if held[a.id] != a)


def _signal(effect: words.Emit, step: words.Step, loaded: Loaded, subject: Subject) -> Emit:
    """What other parties are told. All that is told of one case has one `txn`, and that is not its id (11)."""
    case = step.emergency.case or loaded.emergency.case
    tenant, seed = loaded.directory.tenant.id, case.id if case else subject.id
    opaque = blake2b(f"{tenant}/{seed}".encode(), digest_size=16).hexdigest()
    return Emit(
        signals.signal(
            effect.event,
            subject.id,
            loaded.now,
            id=_lasting_id(f"{opaque}/{step.emergency.version}/{effect.event}"),
            txn=f"{signals.origin(tenant)}.{opaque}",
            since=case.opened_at if case else None,
            **effect.detail,
        )
    )


def _lasting_id(name: str) -> str:
    """The same id for the same thing, so that what is told twice is known to be one."""
    return guid(blake2b(name.encode(), digest_size=16).digest())


def _grant(grant: Grant, do: str, now: datetime, subject: Subject | None) -> Grant:
    """A family that ends, sleeps or wakes. It sleeps by the epoch that was raised: nothing of it is written."""
    if do == "end":
        return replace(grant, revoked_at=now)
    if do == "wake" and subject is not None:
        return replace(grant, epoch=subject.epoch)
    return grant


def _marked(held: Authenticator, mark: words.Mark, now: datetime) -> Authenticator:
    match mark.state:
        case "active" | "quarantined" | "tombstoned":
            return replace(held, state=mark.state)
        case "removed" | "spent":
            return replace(held, state="tombstoned", removed_at=now)


def lifted(
    loaded: Loaded, shown: tuple[Shown, ...], entropy: Entropy, *, client: str, correlation_id: str
) -> Change:
    """The change by which whoever signs in with an anchor ends a hold, before anything else is decided (I4)."""
    step = advance(loaded.emergency, words.SignIn(shown), facts(loaded, entropy))
    named = loaded.directory.clients.get(client)
    return change(step, loaded, client=client, correlation_id=correlation_id, app=named.name if named else "")


# What time has brought about. -----------------------------------------------------------------------


def settled(loaded: Loaded, entropy: Entropy) -> tuple[Loaded, tuple[Effect, ...]]:
    """
    The account as it is by now, and what is to be written of that: for whoever is about to let it do something.

    Costs nothing for an account that never had an emergency.
    """
    if loaded.emergency is NORMAL or loaded.subject is None:
        return loaded, ()
    step = advance(loaded.emergency, words.Tick(), facts(loaded, entropy))
    if step.emergency == loaded.emergency:
        return loaded, ()
    effects = change(step, loaded).effects
    grants = {
        e.grant.id: replace(e.grant, revision=e.grant.revision + 1)
        for e in effects
        if isinstance(e, PutGrant)
    }
    marked = {
        e.authenticator.id: replace(e.authenticator, revision=e.authenticator.revision + 1)
        for e in effects
        if isinstance(e, PutAuthenticator)
    }
    held = tuple(marked.get(a.id, a) for a in loaded.held)
    now = replace(
        loaded,
        emergency=step.emergency,
        emergency_revision=loaded.emergency_revision + 1,
        held=held,
        authenticators=tuple(a for a in held if a.state == "active"),
        families=tuple(grants.get(g.id, g) for g in loaded.families),
        grant=grants.get(loaded.grant.id, loaded.grant) if loaded.grant else None,
    )
    return now, effects
