"""
Register a second factor during a flow, where policy says so and ENR-02 leaves the target open.

Source: native-auth-v1 5; conditional-access 6.2; ENR-02, ENR-03.
"""

from __future__ import annotations

from msgspec.structs import replace

from genkan.engine import challenges, held, holders, steps
from genkan.engine.flow import AwaitingEnrolment, AwaitingProof, AwaitingResume, Flow
from genkan.engine.messages import (
    Confirm,
    Effect,
    Enrol,
    Event,
    Facts,
    NeedProof,
    NeedResume,
    PutAuthenticator,
    Step,
)
from genkan.engine.plan import hint, judge, may_enrol, planned
from genkan.model import (
    Authenticator,
    Challenge,
    Channel,
    Client,
    Evidence,
    Kind,
    Purpose,
    Reason,
)


def enrol(flow: Flow, event: Enrol, client: Client, facts: Facts) -> Step:
    """Challenge the address or number that is to become a second factor (ENR-02 says which are open)."""
    if not isinstance(flow.stage, AwaitingEnrolment) and challenges.part_of(flow) != "enrol":
        return steps.no(flow, event, facts, Reason.OUT_OF_TURN)
    if is_stale(flow, facts):
        return steps.close(flow, event, facts, Reason.EXPIRED_HANDLE)
    if (stopped := held.stopped(flow, event, facts, "enrol")) is not None:
        return stopped
    decision = judge(flow, client, facts)
    if decision.outcome != "register":
        return planned(flow, event, decision, facts)
    kind = Kind.SMS_OTP if event.channel is Channel.SMS else Kind.EMAIL_OTP
    target = event.target
    expected = "phone" if kind is Kind.SMS_OTP else "email"
    if (
        target is None
        or target.kind != expected
        or not decision.is_open(kind, target, steps.sign_in_address(facts))
    ):
        return steps.no(flow, event, facts, Reason.TARGET_REFUSED)
    if may_enrol(flow, client, facts).outcome != "allow":
        return steps.no(flow, event, facts, Reason.ENROLMENT_BLOCKED)
    if holders.after(target, facts) is None:
        no = steps.no(flow, event, facts, Reason.TARGET_REFUSED)
        return replace(no, effects=(*no.effects, *holders.alarm(target, flow, facts)))
    proven_here = any(e.part == "verified" and e.place == target.place for e in flow.evidence)
    if proven_here and flow.purpose is Purpose.SIGN_UP:
        challenge = Challenge(
            id=facts.entropy.guid("challenge"),
            kind=kind,
            target=target,
            issued_at=facts.now,
            expires_at=flow.expires_at,
        )
        stage = AwaitingProof(part="enrol", challenge=challenge, preverified=True)
        return steps.go(flow, event, facts, stage, NeedProof(kind=kind, enrolling=True, preverified=True))
    return challenges.send(flow, event, client, facts, "enrol", kind, target, None)


def confirm(flow: Flow, event: Confirm, client: Client, facts: Facts) -> Step:
    """Finish the enrolment of an address that this very flow has proven."""
    stage = flow.stage
    if not isinstance(stage, AwaitingProof) or not stage.preverified:
        return steps.no(flow, event, facts, Reason.WRONG_KIND)
    place = stage.challenge.target.place if stage.challenge.target else None
    flow = steps.proven(flow, Evidence(kind=stage.challenge.kind, place=place, at=facts.now, part="second"))
    return enrolled(flow, event, stage.challenge, client, facts)


def enrolled(
    flow: Flow, event: Event, challenge: Challenge, client: Client, facts: Facts, *effects: Effect
) -> Step:
    """Bind the method and tell the owner (ENR-03). Its proof is the second factor of this flow."""
    subject = facts.subject
    before = replace(flow, evidence=flow.evidence[:-1])
    if (stopped := held.stopped(before, event, facts, "enrol")) is not None:
        return stopped
    decision = judge(before, client, facts)
    target = challenge.target
    is_open = target is not None and decision.is_open(challenge.kind, target, steps.sign_in_address(facts))
    if subject is None or target is None or decision.outcome != "register" or not is_open:
        return planned(before, event, decision, facts)
    if may_enrol(before, client, facts).outcome != "allow":
        return steps.close(before, event, facts, Reason.ENROLMENT_BLOCKED)
    counted = holders.after(target, facts)
    if counted is None:
        return steps.close(before, event, facts, Reason.TARGET_REFUSED)
    method = Authenticator(
        id=facts.entropy.guid("authenticator"),
        subject=subject.id,
        kind=challenge.kind,
        target=target,
        source="registration",
        created_at=facts.now,
    )
    last = replace(flow.evidence[-1], authenticator=method.id)
    flow = replace(flow, enrolled=True, evidence=(*flow.evidence[:-1], last))
    notices = steps.notices(subject, facts, client, "method_added", method=hint(method))
    return steps.go(
        flow,
        event,
        facts,
        AwaitingResume(),
        NeedResume(),
        *effects,
        PutAuthenticator(method),
        counted,
        *notices,
        kind=method.kind,
        method=method.id,
    )


def is_stale(flow: Flow, facts: Facts) -> bool:
    """Nothing was proven lately: the person proves a factor anew first (ENR-01, SES-08)."""
    return all(facts.now > evidence.at + steps.FRESH for evidence in flow.evidence)
