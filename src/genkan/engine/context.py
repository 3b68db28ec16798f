"""
All that policy may know of one moment, put together in one place: for a sign-in, and for a question about one.

What the client says it can do is not in it (FLOW-10). Decides nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

from genkan.engine.messages import Directory, Signals
from genkan.model import Authenticator, Client, Demand, Evidence, Purpose, Risk, RiskLevel, Subject, Tenant
from genkan.policy.model import Context, Person, Settings


class Account(Struct, frozen=True, kw_only=True):
    """A person's account as it is now."""

    subject: Subject
    authenticators: tuple[Authenticator, ...] = ()
    groups: frozenset[str] = frozenset()


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
    tenant, resource = directory.tenant, directory.resources.get(demand.resource)
    return Context(
        now=now,
        kind=kind,
        purpose=purpose,
        person=_person(account, tenant, evidence, kind) if account else None,
        client=client,
        demand=demand,
        evidence=evidence,
        enrolled=enrolled,
        authenticators=account.authenticators if account else (),
        methods=directory.methods,
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
) -> Person:
    subject = account.subject
    return Person(
        id=subject.id,
        groups=account.groups,
        risk=_risk(subject, tenant),
        has_leaked_password=kind == "initial" and _rests_on_leak(evidence, account),
        created_at=subject.created_at,
        sign_in_place=subject.email.place if subject.email else None,
    )


def _risk(subject: Subject, tenant: Tenant) -> RiskLevel:
    """Where sign-ins are judged, an account of which nothing bad is known is at no risk; else nobody has looked."""
    level = subject.risk.level
    return "none" if level == "hidden" and tenant.assess_risk else level


def _rests_on_leak(evidence: tuple[Evidence, ...], account: Account) -> bool:
    """The first factor is a password that is known from a leak."""
    leaked = {a.id for a in account.authenticators if a.leaked}
    return bool(leaked) and any(e.part == "first" and e.authenticator in leaked for e in evidence)
