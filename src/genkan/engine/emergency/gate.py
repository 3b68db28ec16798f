"""
The emergency gate: what an account's emergency allows, wherever power is exercised.

It comes before policy at every sign-in, refresh, redemption and enrolment, and nothing exempts from it (CA-05). It
reads the state of the moment, timers counted, and the epoch, at each use and not only when a flow began (FLOW-14).
What it refuses before a right first factor is refused by others in the ordinary way, so that nothing shows.
Source: emergency-protocol 5.1, 9.1, 12.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from msgspec import Struct

from genkan.engine.emergency import evidence
from genkan.engine.emergency.case import LOCKED, Emergency, Item, Method, Refusal, Shown
from genkan.engine.emergency.protocol import settled
from genkan.engine.emergency.words import Facts
from genkan.model import RiskLevel

Act = Literal[
    "sign_in",
    "refresh",
    "redeem",
    "reset",
    "enrol",
    "remove_anchor",
    "change_address",
    "export",
    "delete",
    "opt_out",
    "remember_device",
    "ticket",
]
"""
What is attempted. `redeem`: an authorization or device code. `reset`: of a password by its owner. `enrol`: any change
of security info. `opt_out`: of security signals. `ticket`: what the ticket of a recovery is shown for.
"""

_OWNERSHIP: frozenset[Act] = frozenset({"remove_anchor", "change_address", "export", "delete", "opt_out"})
"""What nobody may do to an account in an emergency (E24)."""

_TICKET_OPENS = frozenset({"register", "reset_submit"})
"""Where the ticket of a recovery works. Not where there are tokens (P9)."""

CHANGE_WAITS = timedelta(hours=24)
"""What a change of security info waits where there is no anchor (12)."""

TOUCH_STANDS = timedelta(minutes=10)
"""How long a second touch is good for the change that it allows (SES-08)."""


class Attempt(Struct, frozen=True, kw_only=True):
    """What somebody is about to do, and what they have proven for it."""

    act: Act
    epoch: int | None = None
    """Of the flow, code or grant that it rests on."""
    first_factor: bool = True
    """The first factor was right: before that nobody hears of an emergency."""
    proofs: tuple[Shown, ...] = ()
    """What was proven for it, in order."""
    has_second_factor: bool = True
    """The account has one."""
    asked_at: datetime | None = None
    """Of a change: when it was first asked for, and everybody was told."""
    place: str = ""
    """Of a ticket: where it is shown."""


class Allowed(Struct, frozen=True, kw_only=True):
    """Go on to policy, under these terms."""

    risk: RiskLevel = "none"
    """The least that the account's risk is (12)."""
    sign_in_frequency: timedelta | None = None
    bound: bool = False
    """Tokens only to a client that proves possession of a key (DPoP)."""
    remember_device: bool = True
    offline: timedelta | None = None
    """The longest that a grant may be refreshed."""


class LiftFirst(Struct, frozen=True):
    """An anchor signs in to a contained account: commit the lift, then ask again (I4)."""


class Fallback(Struct, frozen=True):
    """Right first factor, account in an emergency: an app that knows nothing of it opens the web page (9.1)."""

    because: str


class Ordinary(Struct, frozen=True):
    """Answer as if there were no emergency: the proof was wrong, and that is all that anybody hears."""


class Wait(Struct, frozen=True):
    """Not yet, whoever asks."""

    until: datetime
    because: str


class Refused(Struct, frozen=True):
    """No. `because` is for the audit alone."""

    refusal: Refusal
    because: str = ""


Verdict: TypeAlias = Allowed | LiftFirst | Fallback | Ordinary | Wait | Refused


def risk_of(emergency: Emergency, now: datetime) -> RiskLevel:
    """The least that an emergency makes of an account's risk (12). Takes an emergency that is settled."""
    if emergency.state in LOCKED:
        return "high"
    after = emergency.after_reset
    is_limited = after is not None and now < after.until
    doubted = any(now < d.until for d in emergency.doubts)
    watched = emergency.state in ("expired", "restored") or _in_probation(emergency, now)
    return "medium" if is_limited or doubted or watched else "none"


def ask(emergency: Emergency, attempt: Attempt, facts: Facts) -> Verdict:
    """Say whether this may go on."""
    emergency = settled(emergency, facts)
    is_grant = attempt.act in ("refresh", "redeem")
    if facts.subject is None:
        return Ordinary()
    if attempt.epoch is not None and attempt.epoch != facts.subject.epoch:
        return Refused(Refusal.INVALID_GRANT if is_grant else Refusal.EXPIRED, "of an earlier epoch")
    if attempt.act == "ticket":
        return _ticket(emergency, attempt)
    if emergency.state in LOCKED:
        return _locked(emergency, attempt, facts)
    if attempt.act in _OWNERSHIP and (emergency.state != "normal" or _in_probation(emergency, facts.now)):
        return Refused(Refusal.ACCOUNT_IN_EMERGENCY, emergency.state)
    if attempt.act == "reset" and (emergency.state == "expired" or _in_probation(emergency, facts.now)):
        return Refused(Refusal.ACCESS_DENIED, emergency.state)
    if attempt.act == "enrol":
        return _enrol(emergency, attempt, facts)
    limited = _after_reset(emergency, attempt, facts)
    terms = _terms(emergency, facts.now)
    if attempt.act == "remember_device" and not terms.remember_device:
        return limited or Refused(Refusal.ACCESS_DENIED, "no device is remembered now")
    return limited or terms


def _terms(emergency: Emergency, now: datetime) -> Allowed:
    risk = risk_of(emergency, now)
    if emergency.state == "restored" or _in_probation(emergency, now):
        return Allowed(
            risk=risk,
            sign_in_frequency=timedelta(hours=12),
            bound=True,
            remember_device=False,
            offline=timedelta(hours=24),
        )
    return Allowed(risk=risk, remember_device=risk == "none")


def _in_probation(emergency: Emergency, now: datetime) -> bool:
    return emergency.restored is not None and now < emergency.restored.probation_until


def _locked(emergency: Emergency, attempt: Attempt, facts: Facts) -> Verdict:
    if not attempt.first_factor:
        return Ordinary()
    if attempt.act in ("refresh", "redeem"):
        return Refused(Refusal.INVALID_GRANT, emergency.state)
    if attempt.act != "sign_in":
        return Refused(
            Refusal.ACCESS_DENIED if attempt.act == "reset" else Refusal.ACCOUNT_IN_EMERGENCY, emergency.state
        )
    if emergency.state == "contained" and _anchors(emergency, attempt, facts, firm=True):
        return LiftFirst()
    is_quiet = emergency.case is not None and emergency.case.quiet
    return Fallback("" if is_quiet else "account_in_emergency")


def _ticket(emergency: Emergency, attempt: Attempt) -> Verdict:
    """The ticket itself is used up by `protocol`; here is where it can be shown at all."""
    if emergency.state != "restored" or attempt.place not in _TICKET_OPENS:
        return Refused(Refusal.INVALID_GRANT, "a ticket registers methods, and nothing else")
    return Allowed(risk="medium", remember_device=False)


def _items(emergency: Emergency, attempt: Attempt, facts: Facts) -> list[tuple[Item, Method]]:
    """What counts of what was proven, with the methods it was proven by."""
    world = evidence.World(
        now=facts.now,
        emergency=emergency,
        methods=facts.methods,
        parameters=facts.parameters,
        proofed=facts.proofed,
    )
    found: list[tuple[Item, Method]] = []
    for shown in attempt.proofs:
        item = evidence.judged(shown, shown.key, world)
        method = world.method(shown.method)
        if isinstance(item, Item) and method is not None:
            found.append((item, method))
    return found


def _anchors(emergency: Emergency, attempt: Attempt, facts: Facts, *, firm: bool) -> list[Item]:
    """The touches of anchors; `firm`: of such as the case has not demoted."""
    demoted = emergency.case.demoted if emergency.case and firm else frozenset()
    return [i for i, m in _items(emergency, attempt, facts) if m.is_anchor and m.id not in demoted]


def _enrol(emergency: Emergency, attempt: Attempt, facts: Facts) -> Verdict:
    """Change security info: an anchor touched twice, or, without any, two factors and a day (12)."""
    now = facts.now
    is_calm = emergency.state == "normal" and not _in_probation(emergency, now)
    after = emergency.after_reset
    if after is not None and now < after.until:
        return Refused(Refusal.ACCESS_DENIED, "a reset and the only second factor live on one device")
    if is_calm and not attempt.has_second_factor:
        # Whose first second factor it is, is ENR-02's to rule.
        return _terms(emergency, now)
    touches = [i.at for i in _anchors(emergency, attempt, facts, firm=True)]
    if touches:
        ready = touches[0] + facts.parameters.touch2
        last = touches[-1]
        if last < ready:
            return Wait(ready, "a second touch, later")
        return _terms(emergency, now) if now - last <= TOUCH_STANDS else Wait(now, "the touch is too old")
    has_anchor = any(m.is_anchor and m.id not in _dirty(emergency) for m in facts.methods)
    if not is_calm or has_anchor:
        return Refused(Refusal.ACCESS_DENIED, "needs an anchor")
    items = [i for i, _ in _items(emergency, attempt, facts)]
    if not any(True for _ in evidence.pairs(items)):
        return Refused(Refusal.EVIDENCE_INSUFFICIENT, "needs a factor that is independent")
    asked = attempt.asked_at or now
    return _terms(emergency, now) if now - asked >= CHANGE_WAITS else Wait(asked + CHANGE_WAITS, "told first")


def _dirty(emergency: Emergency) -> frozenset[str]:
    case, restored = emergency.case, emergency.restored
    return (case.quarantined if case else frozenset()) | (restored.tombstones if restored else frozenset())


def _after_reset(emergency: Emergency, attempt: Attempt, facts: Facts) -> Verdict | None:
    """What a reset leaves open whose mailbox and only second factor live on one phone (AS-02)."""
    after, now = emergency.after_reset, facts.now
    if after is None or now >= after.until:
        return None
    if attempt.act in _OWNERSHIP or attempt.act == "remember_device":
        return Refused(Refusal.ACCESS_DENIED, "a reset and the only second factor live on one device")
    if not after.tokens_wait or attempt.act not in ("sign_in", "redeem"):
        return None
    for _, method in _items(emergency, attempt, facts):
        is_elsewhere = bool(after.devices) and bool(method.devices) and not method.devices & after.devices
        if method.has_place and (method.roaming or is_elsewhere):
            return None
    return Wait(after.until, "tokens wait for a factor off the phone")
