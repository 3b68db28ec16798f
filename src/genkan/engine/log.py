"""
The sign-in log: one entry for each flow that came to a proof, written anew as the flow goes on; one for each refresh.

Values only; says what happened and decides nothing. What became of each policy is in it, so that an administrator can
read why, and so that a new policy can be tried on what has been.
Source: conditional-access 14; LOG-01, LOG-04.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from genkan.engine import suspicion
from genkan.engine.context import Account, account_risk
from genkan.engine.flow import Closed, Flow
from genkan.engine.messages import (
    Event,
    Facts,
    LogSignIn,
    NeedCall,
    NeedCheck,
    NeedChoice,
    NeedClearance,
    NeedEnrolment,
    NeedLift,
    Ready,
    Refused,
    Renew,
    Reply,
    SignIn,
    Step,
    Web,
)
from genkan.engine.plan import NOTHING_DEMANDED, judge
from genkan.engine.steps import WRONG
from genkan.model import Attempt, Client, Demand, Evidence, Purpose, Reason, Risk, RiskLevel, Subject
from genkan.policy.model import Decision
from genkan.tokens.scopes import claiming

ENDS = frozenset(
    {
        *WRONG,
        Reason.TRIES_EXHAUSTED,
        Reason.SUBJECT_DISABLED,
        Reason.PASSWORD_MUST_CHANGE,
        Reason.BLOCKED_BY_EXTENSION,
        Reason.EXTENSION_FAILED,
    }
)
"""Refusals that are of the person and not of the request, and that policy has no part in."""


def entry(before: Flow | None, event: Event, facts: Facts, step: Step) -> LogSignIn | None:
    """What the log says after this step; None where it has nothing to add."""
    client, flow, reply = facts.client, step.flow or before, step.reply
    if client is None or isinstance(reply, NeedCheck | NeedClearance | NeedCall | NeedLift):
        return None
    if isinstance(event, Renew):
        return _of_refresh(event, client, facts, step)
    if flow is None or not _is_worth_it(flow, step):
        return None
    decision = step.decision
    if isinstance(flow.stage, Closed) and flow.stage.outcome == Reason.TRIES_EXHAUSTED:
        reply = Refused(reason=Reason.TRIES_EXHAUSTED)
    if decision is None and flow.first_factor is not None and flow.subject is not None:
        decision = judge(flow, client, facts)
    about = _About(
        id=flow.guid,
        at=flow.created_at,
        correlation_id=flow.correlation_id,
        purpose=flow.purpose,
        interactive=True,
        demand=flow.demand or NOTHING_DEMANDED,
        steps=_steps(flow.evidence, flow.misses),
        risk=_risk(flow, reply, decision, facts),
    )
    return _entry(about, client, facts.subject if flow.subject is not None else None, facts, reply, decision)


class _About(Struct, frozen=True, kw_only=True):
    """What differs between a flow and a refresh."""

    id: str
    at: datetime
    correlation_id: str
    purpose: Purpose
    interactive: bool
    demand: Demand
    steps: tuple[Attempt, ...]
    risk: Risk


def _of_refresh(event: Renew, client: Client, facts: Facts, step: Step) -> LogSignIn | None:
    """A refresh token that is nobody's is no sign-in."""
    grant = facts.grant
    if grant is None or facts.subject is None:
        return None
    about = _About(
        id=facts.entropy.guid("sign-in"),
        at=facts.now,
        correlation_id=facts.signals.correlation_id,
        purpose=Purpose.SIGN_IN,
        interactive=False,
        demand=claiming(event.demand or grant.demand, event.claims),
        steps=_steps(grant.evidence, ()),
        risk=facts.risk,
    )
    return _entry(about, client, facts.subject, facts, step.reply, step.decision)


def _is_worth_it(flow: Flow, step: Step) -> bool:
    """Policy was asked, or somebody failed to prove who they are. Proving an address to sign up is no sign-in."""
    if step.decision is not None:
        return True
    if step.flow is None or not isinstance(step.reply, Refused) or step.reply.reason not in ENDS:
        return False
    return flow.purpose is Purpose.SIGN_IN or flow.first_factor is not None


def _entry(
    about: _About,
    client: Client,
    subject: Subject | None,
    facts: Facts,
    reply: Reply,
    decision: Decision | None,
) -> LogSignIn:
    signals = facts.signals
    name = subject.attributes.get("displayName", "") if subject else ""
    entry = SignIn(
        id=about.id,
        at=about.at,
        correlation_id=about.correlation_id,
        subject=subject.id if subject else None,
        name=str(name),
        client=client.id,
        client_name=client.name,
        resource=about.demand.resource,
        scopes=about.demand.scopes,
        contexts=about.demand.contexts,
        purpose=about.purpose,
        interactive=about.interactive,
        outcome=_outcome(reply, decision),
        reason=reply.reason if isinstance(reply, Refused) else None,
        number=reply.number if isinstance(reply, Refused) else 0,
        because=reply.because if isinstance(reply, Web) else decision.because if decision else "",
        steps=about.steps,
        requires_mfa=decision is not None and decision.requires_mfa,
        policies=decision.trace if decision else (),
        address=signals.address,
        place=signals.place,
        client_app=signals.client_app,
        platform=signals.platform,
        risk=about.risk,
        account_risk=_account_risk(subject, facts),
    )
    return LogSignIn(entry, facts.now + facts.directory.tenant.log_retention)


def _account_risk(subject: Subject | None, facts: Facts) -> RiskLevel:
    if subject is None:
        return "hidden"
    account = Account(subject=subject, authenticators=facts.authenticators)
    return account_risk(account, facts.directory.tenant, facts.now)


def _risk(flow: Flow, reply: Reply, decision: Decision | None, facts: Facts) -> Risk:
    """How the sign-in looked, and whether its second factor has settled that (conditional-access 10)."""
    risk = suspicion.seen(flow, facts)
    if not risk.reasons:
        return risk
    has_second = suspicion.has_two_factors(flow)
    if isinstance(reply, Ready) and decision and suspicion.is_remediated(decision, has_second, facts):
        return replace(risk, state="remediated", detail=suspicion.PASSED_MFA)
    return replace(risk, state="atRisk")


def _outcome(
    reply: Reply, decision: Decision | None
) -> Literal["issued", "allow", "mfa", "register", "web", "refused"]:
    match reply:
        case Ready():
            return "issued"
        case Web():
            return "web"
        case Refused():
            return "refused"
        case NeedChoice():
            return "mfa"
        case NeedEnrolment():
            return "register"
        case _:
            return "allow"


def _steps(evidence: tuple[Evidence, ...], misses: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
    """What was tried, right or wrong, in the order of time."""
    proven = (
        Attempt(kind=e.kind, part=e.part, at=e.at, succeeded=True, authenticator=e.authenticator)
        for e in evidence
    )
    return tuple(sorted((*proven, *misses), key=_time))


def _time(attempt: Attempt) -> datetime:
    return attempt.at
