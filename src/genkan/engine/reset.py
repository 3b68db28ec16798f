"""
Reset a forgotten password: a code to an address of the account, a new password, and then an ordinary sign-in.

A reset never adds, removes or skips a second factor: what it has proven is a mailbox, which policy counts as spent
(SSPR-01, SSPR-07). Nothing about the account changes before the code was right (SSPR-03).
Source: native-auth-v1 7; conditional-access 6.3.
"""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from genkan.engine import budgets, steps, strangers
from genkan.engine.flow import AwaitingChoice, AwaitingNewPassword, AwaitingResume, Flow
from genkan.engine.messages import (
    Count,
    Effect,
    Event,
    Facts,
    Identify,
    Look,
    NeedChoice,
    NeedNewPassword,
    NeedResume,
    PutAuthenticator,
    PutSubject,
    RevokeGrants,
    SetPassword,
    Step,
)
from genkan.engine.plan import wants_second_factor
from genkan.model import Client, Evidence, Identifier, Kind, Reason
from genkan.risk import account, rate

NEW_METHOD_COOLS = timedelta(hours=12)
"""A younger method gets no reset code: somebody else may just have added it (SSPR-10)."""

PASSWORDS_REMEMBERED = 4
"""Earlier passwords that may not be used again, the present one not counted."""


def identify(flow: Flow, event: Identify, facts: Facts) -> Step:
    """Name the account; it must have a password to reset."""
    subject, tenant = steps.holder(event.identifier, facts), facts.directory.tenant
    if not tenant.self_service_reset:
        return steps.no(flow, event, facts, Reason.RESET_DISABLED)
    if not flow.offers.code:
        return steps.web(flow, event, facts, "The app did not list the challenge type oob")
    has_password = any(a.kind is Kind.PASSWORD for a in facts.authenticators)
    if subject is None and not flow.hides:
        return strangers.unknown(flow, event, facts)
    if not has_password and not flow.hides:
        return steps.no(flow, event, facts, Reason.NO_PASSWORD)
    if subject is not None and has_password:
        flow = replace(flow, subject=subject.id, epoch=subject.epoch)
    return steps.go(flow, event, facts, AwaitingChoice(part="verify"), NeedChoice(second=False))


def target(flow: Flow, client: Client, facts: Facts) -> Identifier | None:
    """
    Where the code goes: the account's own address or, where a second factor is wanted of this person, another mailbox
    registered as one (OTP-16). Without that, a mailbox once registered would for ever keep its owner from a reset.
    """
    if flow.subject is None or facts.subject is None:
        return flow.identifier
    own = facts.subject.email
    if not wants_second_factor(client, facts):
        return own
    others = (
        a.target
        for a in facts.authenticators
        if a.kind is Kind.EMAIL_OTP and a.strong and a.created_at + NEW_METHOD_COOLS <= facts.now
    )
    return next((t for t in others if t is not None and t != own), own)


def poll(flow: Flow, event: Look, facts: Facts) -> Step:
    """The password is in place, so every poll says so; but not too many in a second (SSPR-05)."""
    bucket = rate.polls(flow.id.hex())
    history = rate.spend(facts.histories[bucket], rate.POLLS, facts.now)
    if history is None:
        return steps.no(flow, event, facts, Reason.TOO_MANY_REQUESTS)
    polled = Count(bucket=bucket, history=history, keep_until=rate.keep_until(history, rate.POLLS))
    return Step(flow=None, reply=NeedResume(), effects=(polled,))


def verified(flow: Flow, event: Event, facts: Facts, *effects: Effect) -> Step:
    """The code was right: a new password may be set, in this flow alone (SSPR-02)."""
    until = steps.idle_end(flow, facts)
    return steps.go(
        flow, event, facts, AwaitingNewPassword(offered=True), NeedNewPassword(until=until), *effects
    )


def set_password(flow: Flow, event: SetPassword, client: Client, facts: Facts) -> Step:
    """Replace the password, end every session and flow of the account, and tell its owner (SSPR-04)."""
    subject, hashed = facts.subject, facts.hashed
    old = next((a for a in facts.authenticators if a.kind is Kind.PASSWORD), None)
    if subject is None or old is None:
        return steps.close(flow, event, facts, Reason.INVALID_HANDLE)
    if hashed is None or hashed.material is None:
        return steps.no(flow, event, facts, (hashed.refused if hashed else None) or Reason.PASSWORD_INVALID)
    previous = (old.material, *old.previous) if old.material else old.previous
    new = replace(
        old,
        material=hashed.material,
        previous=previous[:PASSWORDS_REMEMBERED],
        changed_at=facts.now,
        reset_at=None if account.was_sent_to_change(subject.risk, facts.now) else facts.now,
        leaked=False,
    )
    changed = replace(
        subject,
        epoch=subject.epoch + 1,
        must_change_password=False,
        risk=account.changed_password(subject.risk, facts.now),
    )
    effects: list[Effect] = [
        PutAuthenticator(new),
        PutSubject(changed),
        *budgets.clear(subject.id, Kind.PASSWORD, facts),
        RevokeGrants(subject=subject.id, at=facts.now),
        *steps.notices(subject, facts, client, "password_changed"),
    ]
    proven = Evidence(kind=Kind.PASSWORD, authenticator=old.id, at=facts.now, part="first")
    flow = replace(steps.proven(flow, proven), epoch=subject.epoch + 1)
    return steps.go(flow, event, facts, AwaitingResume(), NeedResume(), *effects)
