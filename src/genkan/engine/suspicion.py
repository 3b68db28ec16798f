"""
What a flow makes of the risk it sees: it keeps the worst, writes down what was found, and settles it in the end.

A second factor that a policy on risk asked for settles the risk of the sign-in. A sign-in that came through on a guess,
with nothing else to show, puts the account at risk.
How risky something looks is `risk.score`'s to say, what follows from it `policy`'s. Source: conditional-access 10.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from genkan.engine.budgets import Budget, sighting
from genkan.engine.flow import Flow, guid
from genkan.engine.messages import Detect, Detection, Effect, Facts, PutFootprint, PutSubject
from genkan.model import Kind, Risk, RiskLevel
from genkan.policy.model import Decision
from genkan.risk import account, footprint, rate, score
from genkan.risk.score import MANY_FAILURES, SIGNS, UNKNOWN

PASSED_MFA = "userPassedMFADrivenByRiskBasedPolicy"

OF_ACCOUNTS = ("leakedCredentials",)
"""Reasons that are found about the account, and so are not written down once more about the sign-in."""

GUESSED = frozenset({"passwordSpray", "anomalousUserActivity"})
"""Reasons to think that a right first factor was guessed."""


def seen(flow: Flow, facts: Facts) -> Risk:
    """The worst that this flow has looked like, and looks like now."""
    return facts.risk if flow.risk is None else score.worst(flow.risk, facts.risk)


def noticed(flow: Flow, facts: Facts, words: Iterable[str] = ()) -> tuple[Flow, list[Detect]]:
    """At a right proof: keep the worst in the flow, and write down what is new in it."""
    if not facts.directory.tenant.assess_risk:
        return flow, []
    risk = score.joined(seen(flow, facts), *words)
    known = (*(flow.risk.reasons if flow.risk is not None else ()), *OF_ACCOUNTS)
    found = [_found(flow, facts, word) for word in risk.reasons if word not in known]
    return (flow if risk == UNKNOWN else replace(flow, risk=risk)), found if flow.subject is not None else []


def guesses_before(budgets: Iterable[Budget], facts: Facts) -> Iterator[str]:
    """What the budgets say about a right first factor: that somebody was guessing, here or all over the place."""
    if not facts.directory.tenant.assess_risk:
        return
    for limit, bucket in budgets:
        history = facts.histories[bucket]
        if not isinstance(limit, rate.Limit) or not history:
            continue
        if limit.counts_in_a_row and len(rate.forgive(history, facts.now)) >= MANY_FAILURES:
            yield "anomalousUserActivity"
        if limit.is_of_crowd and len(history) * 2 >= limit.windows[0][0]:
            yield "passwordSpray"


def has_two_factors(flow: Flow) -> bool:
    """A second factor was proven, or a passkey, which is two by itself."""
    return any(e.part == "second" or e.kind is Kind.PASSKEY for e in flow.evidence)


def settled(flow: Flow, decision: Decision, facts: Facts) -> list[Effect]:
    """At the moment there are tokens: what is closed, what is left open, and what the account learns of its places."""
    subject = facts.subject
    if subject is None:
        return []
    effects: list[Effect] = []
    has_second = has_two_factors(flow)
    risk = seen(flow, facts)
    if risk.level != "high" or has_second:
        stepped = footprint.after(facts.footprint, sighting(facts.signals), facts.now)
        if stepped is not None:
            effects.append(PutFootprint(subject=subject.id, footprint=stepped))
    if not risk.reasons:
        return effects
    if is_remediated(decision, has_second, facts):
        effects += [_found(flow, facts, word, state="remediated", detail=PASSED_MFA) for word in risk.reasons]
    elif not has_second and (guessed := GUESSED.intersection(risk.reasons)):
        level: RiskLevel = "high" if "passwordSpray" in guessed else "medium"
        worse = account.raised(subject.risk, level, facts.now)
        if worse != subject.risk:
            effects.append(PutSubject(replace(subject, risk=worse)))
    return effects


def is_remediated(decision: Decision, has_second: bool, facts: Facts) -> bool:
    """A policy on the risk of sign-ins applied, and a second factor was passed under it."""
    if not has_second:
        return False
    on_risk = {p.id for p in facts.directory.policies if p.conditions.sign_in_risk_levels}
    return any(a.policy in on_risk and a.result == "success" and "mfa" in a.because for a in decision.trace)


def leaked(flow: Flow, facts: Facts) -> tuple[Facts, list[Effect]]:
    """A right password is known from a leak: the account is at risk, whether sign-ins are judged or not (THR-06)."""
    subject = facts.subject
    if subject is None:
        return facts, []
    worse = account.raised(subject.risk, "high", facts.now)
    if worse == subject.risk:
        return facts, []
    changed = replace(subject, risk=worse)
    found = _found(flow, facts, "leakedCredentials")
    about = replace(found, detection=replace(found.detection, activity="user"))
    return replace(facts, subject=changed), [PutSubject(changed), about]


def cloned(flow: Flow, facts: Facts) -> Detect:
    """The counter of a passkey went back: there may be two of it (WAN-04)."""
    found = _found(flow, facts, "passkeyCounterWentBack")
    return replace(found, detection=replace(found.detection, activity="user"))


def sent_to_change(flow: Flow, decision: Decision, facts: Facts) -> list[Effect]:
    """Remember that a second factor was passed before the person was sent to change the password (10)."""
    subject = facts.subject
    has_second = has_two_factors(flow)
    if decision.outcome != "password_change" or subject is None or not has_second:
        return []
    return [PutSubject(replace(subject, risk=account.asked_for_change(subject.risk, facts.now)))]


def _found(flow: Flow, facts: Facts, word: str, state: str = "atRisk", detail: str = "none") -> Detect:
    """One detection. Its id is that of the flow and the word, so that what becomes of it is written in its place."""
    signals = facts.signals
    level = SIGNS[word].level if word in SIGNS else seen(flow, facts).level
    detection = Detection(
        id=guid(rate.digest16(flow.id, word)),
        at=flow.created_at,
        updated_at=facts.now,
        request=flow.guid,
        correlation_id=signals.correlation_id,
        subject=flow.subject or "",
        word=word,
        level=level,
        state=state,
        detail=detail,
        address=signals.address,
        place=signals.place,
    )
    return Detect(detection, facts.now + facts.directory.tenant.log_retention)
