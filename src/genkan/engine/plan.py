"""
What the person must do next: the evidence of a flow held against what policy requires.

Decides nothing that `policy` decides; turns its decision into a stage and a reply. Reads no clock, does no I/O.
"""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from genkan.engine import held, steps, suspicion
from genkan.engine.context import Account, context
from genkan.engine.flow import (
    AnyStage,
    AwaitingChoice,
    AwaitingEnrolment,
    AwaitingResume,
    Closed,
    Flow,
    Offers,
)
from genkan.engine.messages import (
    Effect,
    Event,
    Facts,
    Method,
    NeedChoice,
    NeedEnrolment,
    NeedResume,
    Refused,
    Reply,
    Step,
    Web,
)
from genkan.identifiers import mask
from genkan.model import (
    DIRECTORY,
    Authenticator,
    Client,
    Demand,
    Evidence,
    Grant,
    Identifier,
    Kind,
    Purpose,
    Reason,
    Risk,
)
from genkan.policy.decide import decide
from genkan.policy.model import Context, Decision
from genkan.tokens import scopes

NOTHING_DEMANDED = Demand(scopes=("openid", "profile", "offline_access"), resource=DIRECTORY)
"""What a token request without `scope` is for: the directory resource (conditional-access 4.3)."""


def judge(flow: Flow, client: Client, facts: Facts) -> Decision:
    """Ask policy about this flow: its evidence, the account and the policies as they are at this moment."""
    moment = _moment(
        facts,
        client=client,
        demand=flow.demand or NOTHING_DEMANDED,
        evidence=flow.evidence,
        kind="initial",
        risk=suspicion.seen(flow, facts),
        purpose=flow.purpose,
        enrolled=flow.enrolled,
    )
    return decide(facts.directory.policies, moment)


def may_enrol(flow: Flow, client: Client, facts: Facts) -> Decision:
    """Ask the policies about the act of registering a method itself (conditional-access 11)."""
    moment = _moment(
        facts,
        client=client,
        demand=flow.demand or NOTHING_DEMANDED,
        evidence=flow.evidence,
        kind="user_action",
        risk=suspicion.seen(flow, facts),
        purpose=flow.purpose,
    )
    return decide(facts.directory.policies, moment)


def wants_second_factor(client: Client, facts: Facts) -> bool:
    """
    Some policy would want a second factor of this person, for any of the tenant's APIs that this client may ask for.

    That the API for security info always wants one says nothing of how they sign in, and so does not count.
    """
    resources = facts.directory.resources
    all_of_each = (
        scopes.parse(f"{r.uri}/{scopes.EVERY_SCOPE}", client, resources) for r in resources.values()
    )
    moments = (
        _moment(
            facts,
            client=client,
            demand=demand,
            evidence=(Evidence(kind=Kind.PASSWORD, at=facts.now, part="first"),),
            kind="initial",
            risk=facts.risk,
        )
        for demand in (NOTHING_DEMANDED, *all_of_each)
        if isinstance(demand, Demand)
    )
    return any(decide(facts.directory.policies, moment).requires_mfa for moment in moments)


def judge_grant(grant: Grant, demand: Demand, client: Client, facts: Facts) -> Decision:
    """Ask policy about a refresh: the same question, on the evidence that the grant rests on (CA-07)."""
    moment = _moment(
        facts, client=client, demand=demand, evidence=grant.evidence, kind="refresh", risk=facts.risk
    )
    return decide(facts.directory.policies, moment)


def _moment(
    facts: Facts,
    *,
    client: Client,
    demand: Demand,
    evidence: tuple[Evidence, ...],
    kind: Literal["initial", "refresh", "user_action"],
    risk: Risk,
    purpose: Purpose = Purpose.SIGN_IN,
    enrolled: bool = False,
) -> Context:
    """What policy may know at this step."""
    subject = facts.subject
    account = None
    if subject is not None:
        account = Account(
            subject=subject,
            authenticators=facts.authenticators,
            groups=facts.groups,
            least_risk=held.least_risk(facts),
        )
    return context(
        facts.directory,
        now=facts.now,
        kind=kind,
        account=account,
        client=client,
        demand=demand,
        evidence=evidence,
        signals=facts.signals,
        risk=risk,
        purpose=purpose,
        enrolled=enrolled,
    )


def plan(flow: Flow, decision: Decision, address: Identifier | None) -> tuple[AnyStage, Reply]:
    """
    The stage that the decision leads to, and what the client hears.

    A client that cannot do what is needed gets the web fallback: its capabilities choose how a requirement is
    shown, never whether it holds (FLOW-09, FLOW-10).
    """
    match decision.outcome:
        case "allow":
            return AwaitingResume(), NeedResume()
        case "mfa" if not choices(decision, flow.offers):
            return _web("The second factor of this person is a passkey, and the app did not list webauthn")
        case "mfa" if flow.offers.second_factor:
            return AwaitingChoice(part="second"), second_factors(decision, flow.offers)
        case "mfa":
            return _web("The app did not declare the capability mfa_required")
        case "register" if flow.offers.enrolment:
            return AwaitingEnrolment(), enrolments(decision, address)
        case "register":
            return _web("The app did not declare the capability registration_required")
        case _:
            reason = decision.reason or Reason.BLOCKED_BY_POLICY
            return Closed(outcome=reason), Refused(reason=reason, detail=decision.because)


def choices(decision: Decision, offers: Offers) -> tuple[Authenticator, ...]:
    """What may serve as second factor in this app: passkeys only where it knows of them, and then after codes."""
    return (*decision.usable, *(decision.passkeys if offers.passkey else ()))


def second_factors(decision: Decision, offers: Offers) -> NeedChoice:
    """The methods that may serve as second factor here, as they may be shown."""
    methods = tuple(Method(id=a.id, kind=a.kind, hint=hint(a)) for a in choices(decision, offers))
    return NeedChoice(second=True, methods=methods, because=decision.because)


def enrolments(decision: Decision, address: Identifier | None) -> NeedEnrolment:
    """
    The kinds that may be registered here. The sign-in address prefills the e-mail one (native-auth-v1 D24), but not
    where it has counted in this flow already: it would be refused.
    """
    prefill = address.value if address and address.place not in decision.spent_places else ""
    methods = tuple(
        Method(id=kind, kind=kind, hint=prefill if kind is Kind.EMAIL_OTP else "")
        for kind in decision.registrable
    )
    return NeedEnrolment(methods=methods, because=decision.because)


def hint(authenticator: Authenticator) -> str:
    """Where its codes go, masked; of a passkey what its owner calls it."""
    return mask(authenticator.target) if authenticator.target else authenticator.name


def _web(because: str) -> tuple[AnyStage, Reply]:
    return Closed(outcome="web"), Web(because=because)


def planned(flow: Flow, event: Event, decision: Decision, facts: Facts, *effects: Effect) -> Step:
    """Go where policy leads; its trace goes into the audit row."""
    stage, reply = plan(flow, decision, steps.sign_in_address(facts))
    effects = (*effects, *suspicion.sent_to_change(flow, decision, facts))
    if isinstance(reply, Web | Refused):
        flow = replace(flow, stage=stage)
        return steps.kept(flow, event, facts, reply, *effects, decision=decision)
    return steps.go(flow, event, facts, stage, reply, *effects, decision=decision)
