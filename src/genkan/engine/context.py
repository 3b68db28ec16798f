"""
All that policy may know of one moment, put together in one place: for a sign-in, and for a question about one.

What the client says it can do is not in it (FLOW-10). Decides nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from genkan.engine.messages import Directory, Signals
from genkan.model import (
    Authenticator,
    Client,
    Demand,
    Evidence,
    Kind,
    MethodSettings,
    Purpose,
    Risk,
    RiskLevel,
    Subject,
    Tenant,
)
from genkan.policy.model import Context, Person, Settings
from genkan.risk.score import LEVELS

AFTER_RESET = timedelta(hours=24)
"""So long a reset by e-mail counts where the second factor may be on the same phone (SSPR-07)."""

CODES = (Kind.SMS_OTP, Kind.EMAIL_OTP)
"""What a phone shows to whoever holds it."""


UNLESS_SAID = {Kind.PASSKEY: MethodSettings()}
"""Everybody may use a passkey, unless an administrator has said something else."""


class Account(Struct, frozen=True, kw_only=True):
    """A person's account as it is now."""

    subject: Subject
    authenticators: tuple[Authenticator, ...] = ()
    groups: frozenset[str] = frozenset()
    least_risk: RiskLevel = "none"
    """What an emergency makes of its risk, whatever else is known (emergency-protocol 12)."""


def context(
    directory: Directory,
    *,
    now: datetime,
    kind: Literal["initial", "refresh", "user_action"],
    account: Account | None,
    client: Client,
    demand: Demand,
    evidence: tuple[Evidence, ...],
    signals: Signals,
    risk: Risk,
    purpose: Purpose = Purpose.SIGN_IN,
    enrolled: bool = False,
) -> Context:
    """What policy may know."""
    tenant, resource = directory.tenant, directory.apis.get(demand.resource)
    return Context(
        now=now,
        kind=kind,
        purpose=purpose,
        person=_person(account, tenant, evidence, kind, now) if account else None,
        client=client,
        demand=demand,
        evidence=evidence,
        enrolled=enrolled,
        authenticators=account.authenticators if account else (),
        methods={**UNLESS_SAID, **directory.methods},
        client_app=signals.client_app,
        platform=signals.platform,
        address=signals.address,
        country=signals.place.country,
        sign_in_risk=risk.level,
        locations=directory.locations,
        strengths=directory.strengths,
        security_defaults=tenant.security_defaults,
        wants_acrs="acrs" in (*client.optional_claims, *(resource.optional_claims if resource else ())),
        settings=Settings(
            baseline_scopes=tenant.baseline_scopes,
            jit_when_methods_disabled=tenant.register_when_methods_disabled,
        ),
    )


def _person(
    account: Account,
    tenant: Tenant,
    evidence: tuple[Evidence, ...],
    kind: Literal["initial", "refresh", "user_action"],
    now: datetime,
) -> Person:
    subject = account.subject
    return Person(
        id=subject.id,
        groups=account.groups,
        risk=account_risk(account, tenant, now),
        waits_after_reset=tenant.coresidency == "strict" and _is_on_one_phone(account, now),
        has_leaked_password=kind == "initial" and _rests_on_leak(evidence, account),
        created_at=subject.created_at,
        sign_in_place=subject.email.place if subject.email else None,
    )


def account_risk(account: Account, tenant: Tenant, now: datetime) -> RiskLevel:
    """
    How risky the account looks at this moment.

    Where sign-ins are judged, one of which nothing bad is known is at no risk; else nobody has looked.
    """
    level = account.subject.risk.level
    if tenant.coresidency == "limited" and _is_on_one_phone(account, now):
        level = max(level, "medium", key=LEVELS.index)
    if account.least_risk != "none":
        level = max(level, account.least_risk, key=LEVELS.index)
    return "none" if level == "hidden" and tenant.assess_risk else level


def _is_on_one_phone(account: Account, now: datetime) -> bool:
    """
    The password was reset a short while ago, and whoever holds the owner's phone could have done that and can go on.

    Their mail comes to it as their text messages do. The server cannot see where a code is read, so it takes the worst.
    """
    seconds = {a.kind for a in account.authenticators if a.strong and a.kind is not Kind.PASSWORD}
    if Kind.SMS_OTP not in seconds or not seconds.issubset(CODES):
        return False
    resets = (a.reset_at for a in account.authenticators if a.kind is Kind.PASSWORD)
    return any(at is not None and now - at < AFTER_RESET for at in resets)


def _rests_on_leak(evidence: tuple[Evidence, ...], account: Account) -> bool:
    """The first factor is a password that is known from a leak."""
    leaked = {a.id for a in account.authenticators if a.leaked}
    return bool(leaked) and any(e.part == "first" and e.authenticator in leaked for e in evidence)
