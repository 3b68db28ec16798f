"""
Ask the emergency gate before policy, at every step of a flow that comes after a right proof, and at every refresh.

The gate says what the state of an account allows; here its verdict becomes a step of the flow. An account that never
had an emergency is let through without being looked at.
Source: emergency-protocol 5.1, 9.1, 12; CA-05, FLOW-14.
"""

from __future__ import annotations

from msgspec.structs import replace

from genkan.engine import steps
from genkan.engine.emergency import account, gate
from genkan.engine.emergency.case import NORMAL, Shown, State
from genkan.engine.emergency.words import Facts as World
from genkan.engine.flow import Closed, Flow
from genkan.engine.messages import Event, Facts, NeedLift, Refused, Step
from genkan.engine.transaction import Loaded
from genkan.model import Evidence, Grant, Kind, Purpose, Reason, RiskLevel

ON_HOLD = "This account is on a security hold. Go on in a browser."
QUIET = "Go on in a browser."


def stopped(flow: Flow, event: Event, facts: Facts, act: gate.Act | None = None) -> Step | None:
    """
    The end of a flow whose account may not do what the flow is for; None: go on to policy.

    To be asked only after a right proof: until then nobody hears of an emergency (9.1).
    """
    subject = facts.subject
    if facts.emergency is NORMAL or subject is None or flow.subject != subject.id:
        return None
    own: gate.Act = "reset" if flow.purpose is Purpose.RESET_PASSWORD else "sign_in"
    world = _world(facts)
    proofs = tuple(_shown(e, flow.evidence, facts) for e in flow.evidence)
    attempt = gate.Attempt(
        act=act or own, epoch=flow.epoch, proofs=proofs, has_second_factor=_has_second_factor(facts)
    )
    verdict = gate.ask(facts.emergency, attempt, world)
    if isinstance(verdict, gate.Allowed):
        return _web(flow, event, facts) if _rests_on_put_aside(flow, facts) else None
    if attempt.act == "reset":
        # Apps know of no redirect where the code of a reset is proven.
        refused = Refused(reason=Reason.BLOCKED_BY_POLICY, detail="" if _is_quiet(facts) else ON_HOLD)
        return steps.kept(replace(flow, stage=Closed(outcome=refused.reason)), event, facts, refused)
    if isinstance(verdict, gate.LiftFirst):
        return Step(flow=None, reply=NeedLift(proofs))
    if isinstance(verdict, gate.Fallback):
        return _web(flow, event, facts)
    return steps.close(flow, event, facts, Reason.ENROLMENT_BLOCKED if act == "enrol" else Reason.NO_METHOD)


def refresh_refused(grant: Grant, facts: Facts) -> Reason | None:
    """Why a refresh may not go on, in words that say nothing of an emergency."""
    if facts.emergency is NORMAL:
        return None
    verdict = gate.ask(facts.emergency, gate.Attempt(act="refresh", epoch=grant.epoch), _world(facts))
    if not isinstance(verdict, gate.Allowed):
        return Reason.GRANT_REVOKED
    signed_in = max((e.at for e in grant.evidence), default=grant.created_at)
    limits = [t for t in (verdict.sign_in_frequency, verdict.offline) if t is not None]
    if limits and facts.now - signed_in > min(limits):
        return Reason.REAUTHENTICATION_REQUIRED
    return None


def least_risk(facts: Facts) -> RiskLevel:
    """The least that the emergency makes of the account's risk, for policy (12)."""
    return "none" if facts.emergency is NORMAL else gate.risk_of(facts.emergency, facts.now)


def takeover_refused(loaded: Loaded) -> State | None:
    """
    By which state what decides who controls an account is refused, an administrator's change too (E24).

    In every state but normal, and in the probation that follows a recovery; by an anchor, once there are any.
    """
    emergency = loaded.emergency
    if emergency is NORMAL or loaded.subject is None:
        return None
    in_probation = emergency.restored is not None and loaded.now < emergency.restored.probation_until
    return emergency.state if emergency.state != "normal" or in_probation else None


def _web(flow: Flow, event: Event, facts: Facts) -> Step:
    return steps.web(flow, event, facts, QUIET if _is_quiet(facts) else ON_HOLD)


def _is_quiet(facts: Facts) -> bool:
    """The lost device is to see nothing of it (8)."""
    return facts.emergency.case is not None and facts.emergency.case.quiet


def _world(facts: Facts) -> World:
    loaded = Loaded(
        now=facts.now,
        directory=facts.directory,
        subject=facts.subject,
        authenticators=facts.authenticators,
        held=facts.held,
    )
    return account.facts(loaded, facts.entropy)


def _shown(evidence: Evidence, among: tuple[Evidence, ...], facts: Facts) -> Shown:
    """A proof of the flow, as the protocol is shown one."""
    method = evidence.authenticator or ""
    if not method and facts.subject is not None:
        method = account.of_place(facts.subject, facts.held, evidence.place)
    return Shown(
        id=f"{among.index(evidence)}",
        key="",
        method=method,
        right=True,
        verified=evidence.kind is Kind.PASSKEY,
        at=evidence.at,
    )


def _rests_on_put_aside(flow: Flow, facts: Facts) -> bool:
    """A proof of this flow is a method that a recovery has buried, or that an outside signal speaks against."""
    e = facts.emergency
    aside = {d.method for d in e.doubts if facts.now < d.until}
    aside |= e.restored.tombstones if e.restored else frozenset()
    return any(_shown(p, flow.evidence, facts).method in aside for p in flow.evidence)


def _has_second_factor(facts: Facts) -> bool:
    """The account has one, be it quarantined: whoever hides it does not get to register another."""
    return any(a.strong and a.kind is not Kind.PASSWORD and a.removed_at is None for a in facts.held)
