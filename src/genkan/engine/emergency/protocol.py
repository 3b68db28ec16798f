"""
Move an account's emergency from state to state: what each event may do, and what it brings with it.

`advance` settles first what time has brought about, then judges the event. Each transition grows the version by one
and writes one audit row and one batch of notices, whatever it does beside. A refusal is a value.
Knows nothing of HTTP, storage or who holds which secret; proofs come judged by their factor.
Source: emergency-protocol 5.3 to 5.5, 6.4, 7; the rows E1 to E24 are named where they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, TypeVar

from msgspec.structs import replace

from genkan.engine.emergency import evidence, paths
from genkan.engine.emergency.case import (
    LOCKED,
    MEDIUM,
    MEDIUM_BUDGET,
    STRONG,
    WINDOW,
    AfterReset,
    Case,
    Claim,
    Contest,
    Doubt,
    Emergency,
    Held,
    Hold,
    Immunity,
    Item,
    Lift,
    Means,
    Method,
    Recovery,
    Refusal,
    Restored,
    Shown,
    State,
    Ticket,
    Vote,
)
from genkan.engine.emergency.evidence import Lost, Rejected, World
from genkan.engine.emergency.words import (
    Accepted,
    Alarm,
    Answer,
    AskLift,
    Attest,
    Complete,
    Contain,
    Dispute,
    Effect,
    Emit,
    EndAll,
    Event,
    Extend,
    Facts,
    Families,
    HandedOver,
    Holding,
    Look,
    Mark,
    Moved,
    Noted,
    Object,
    OperatorContain,
    OutsideSignal,
    Recover,
    Redeem,
    Refused,
    Release,
    Reply,
    Report,
    Resolve,
    Restoration,
    Show,
    SignIn,
    Start,
    Status,
    Step,
    Tick,
    Undo,
    WasReset,
    Withdraw,
)
from genkan.engine.messages import Count, Deliver, PutSubject, Record
from genkan.model import Channel, Message, Secret
from genkan.risk import rate
from genkan.tokens import base64url

T = TypeVar("T")

FAILURES = rate.Limit("emergency_proofs", ((3, timedelta(hours=1)), (10, timedelta(days=1))))
"""Wrong proofs at the emergency door of one account; its own budget, apart from that of sign-in (7)."""

REPORTS = rate.Limit("emergency_reports", ((1, timedelta(hours=6)), (3, timedelta(days=7))))
"""Reports that send a notice (E1)."""

SIGNAL_STANDS = timedelta(hours=72)
"""How long an outside signal quarantines its method (E5)."""

HANDED_OVER = "handed_over"
"""The value of a notice that says whose delay waits for it: `case/method`. It is printed nowhere."""

NOTICE_DUE = timedelta(hours=24)
"""A delay waits at most so long for a notice to be handed over (E9)."""

SLOW_LIFT = timedelta(hours=24)
"""What a lift takes that rests on a demoted anchor (5.4)."""

RELEASE_AFTER = timedelta(hours=24)
"""How old a request for release must be (E23)."""

RESOLVE_FLOOR = timedelta(hours=24)
"""The least that a winner waits after a contest (E17)."""

TICKET_LIFETIME = timedelta(minutes=15)
"""Of the ticket of a recovery (E14)."""

FRESH = timedelta(minutes=5)
"""How old a proof may be that completes a recovery."""

QUORUM, QUORUM_WITHIN = 2, timedelta(hours=24)
"""Contacts who must confirm, and within which time."""

CONTACT_RESTS = timedelta(days=7)
"""One contact cannot vouch in two cases within this."""

NOTICE_LIFETIME = timedelta(days=1)
"""A notice that could not be handed over for so long is dropped; the next transition sends another."""

AFTER_RESET = timedelta(hours=24)
"""How long an account is limited after a reset through the phone of its only second factor (AS-02)."""

CONTESTED_FLOOR = 5
"""The rank from which a recovery may start after a contest that nobody won (E18)."""


def advance(emergency: Emergency, event: Event, facts: Facts) -> Step:
    """
    What comes of one event, after what time has brought about.

    Shapes:   with no subject nothing is ever right and nothing is written: the same replies, no effects.
    Refuses:  with a `Refusal`; what the timers moved is written all the same.
    """
    heard_at = facts.now
    if emergency.clock is not None and heard_at < emergency.clock:
        facts = replace(facts, now=emergency.clock)
    draft = _Draft(emergency, facts, heard_at)
    _settle(draft)
    reply = _HANDLERS[type(event)](draft, event)
    if draft.emergency != emergency:
        draft.emergency = replace(draft.emergency, clock=facts.now)
    return Step(emergency=draft.emergency, reply=reply, effects=tuple(draft.effects))


def settled(emergency: Emergency, facts: Facts) -> Emergency:
    """How it stands now, timers counted."""
    return advance(emergency, Tick(), facts).emergency


class _Draft:
    """What one event makes of an emergency, while it is being made."""

    def __init__(self, emergency: Emergency, facts: Facts, heard_at: datetime) -> None:
        self.emergency = emergency
        self.facts = facts
        self.heard_at = heard_at
        """What the clock says, also when it was stepped back: by it proofs are dated, so by it they are fresh."""
        self.sent_at = facts.now
        """Timers are settled at their own times; what is said of them is said now."""
        self.effects: list[Effect] = []

    @property
    def case(self) -> Case:
        """The open case, where the state says that there is one."""
        return _sure(self.emergency.case)

    @property
    def world(self) -> World:
        return World(
            now=self.facts.now,
            emergency=self.emergency,
            methods=self.facts.methods,
            parameters=self.facts.parameters,
            proofed=self.facts.proofed,
        )

    def set_case(self, **changes: object) -> None:
        self.emergency = replace(self.emergency, case=replace(self.case, **changes))

    def put_claim(self, claim: Claim) -> None:
        kept = tuple(claim if c.key == claim.key else c for c in self.case.claims)
        self.set_case(claims=kept if claim in kept else (*kept, claim))

    def do(self, *effects: Effect) -> None:
        self.effects += effects

    def note(self, action: str, reason: str = "", **detail: Any) -> None:
        """An audit row of something that is no transition."""
        subject = self.facts.subject
        case = self.emergency.case
        if subject is not None:
            about = {"case": case.id} if case else {}
            self.do(
                Record(
                    action=f"emergency:{action}",
                    reason=reason,
                    subject=subject.id,
                    detail={**about, **detail},
                )
            )

    def move(self, row: str, to: State, action: str, **detail: Any) -> None:
        """One transition: the next version, its audit row, its batch of notices."""
        before = self.emergency
        self.emergency = replace(before, state=to, version=before.version + 1)
        spoken: dict[str, Any] = {
            "row": row,
            "from": before.state,
            "to": to,
            "version": self.emergency.version,
        }
        self.note(action, at=self.facts.now.isoformat(), **spoken, **detail)
        self.do(*self._notices(action if row != "E4" else "by_support"))

    def _notices(self, action: str) -> list[Deliver]:
        """Tell every channel: the clean ones what happened and when, the others only that something did (5.5, 8)."""
        case = self.emergency.case
        times = self._times()
        quarantined = self.world.quarantined
        buried = self.emergency.restored.tombstones if self.emergency.restored else frozenset()
        told: list[Deliver] = []
        for method in self.facts.methods:
            is_clean = _is_clean(method, quarantined | buried)
            if method.address is None or (case is not None and case.quiet and not is_clean):
                continue
            if is_clean:
                asked = {HANDED_OVER: f"{case.id}/{method.id}"} if case and _waits_for_notice(case) else {}
                told.append(self.notice(method, f"emergency_{action}", **times, **asked))
            else:
                told.append(self.notice(method, "emergency_neutral"))
        return told

    def _times(self) -> dict[str, str]:
        """Until when it is held, or from when a recovery can be completed, as far as that is known by now."""
        case, state = self.emergency.case, self.emergency.state
        if case is not None and state in ("contained", "frozen"):
            return {"hold_until": case.hold_until.isoformat()}
        if case is not None and case.recovery is not None and state == "recovery_pending":
            r = case.recovery
            return {"ready_at": (r.ready_at or self.facts.now + r.delay + r.extra).isoformat()}
        return {}

    def notice(self, method: Method, template: str, **values: str) -> Deliver:
        to, now = _sure(method.address), self.sent_at
        return Deliver(
            Message(
                id=self.facts.entropy.guid(f"emergency/{self.emergency.version}/{template}/{to.place}"),
                channel=Channel.SMS if to.kind == "phone" else Channel.EMAIL,
                to=to.value,
                purpose="notice",
                template=template,
                values=values,
                created_at=now,
                expires_at=now + NOTICE_LIFETIME,
            )
        )

    def reactivate(self, ids: frozenset[str]) -> None:
        """Let methods back that nothing else speaks against: no other hold, signal, tombstone or use."""
        e = self.emergency
        against = {d.method for d in e.doubts if self.facts.now < d.until}
        against |= e.restored.tombstones if e.restored else frozenset()
        if e.case is not None:
            against |= e.case.burned | (e.case.quarantined if e.state in LOCKED else frozenset())
        back = tuple(sorted({m.id for m in self.facts.methods} & ids - against))
        if back:
            self.do(Mark(methods=back, state="active"))
            self.note("method_released", methods=list(back))

    def living(self) -> tuple[Method, ...]:
        """The methods that no recovery has put aside: what is buried is not quarantined on top."""
        restored = self.emergency.restored
        return tuple(m for m in self.facts.methods if restored is None or m.id not in restored.tombstones)

    def raise_epoch(self) -> None:
        """Kill every flow, code, session and token of an earlier epoch at once (5.3)."""
        subject = _sure(self.facts.subject)
        raised = replace(subject, epoch=subject.epoch + 1, sessions_from=self.facts.now)
        self.facts = replace(self.facts, subject=raised)
        self.do(PutSubject(raised), EndAll(subject.id))

    def demand_new_password(self, case: Case) -> None:
        """
        The password that whoever set the hold off may know is to be changed, from the moment when its owner can.

        Not sooner: a reset is refused while the account is held and watched, so they could do neither (5.1).
        """
        subject = _sure(self.facts.subject)
        has_password = any(m.means is Means.PASSWORD for m in self.living())
        if case.must_change and has_password and not subject.must_change_password:
            marked = replace(subject, must_change_password=True)
            self.facts = replace(self.facts, subject=marked)
            self.do(PutSubject(marked), Emit(event="account-credential-change-required"))

    # Holds, and what is left of them (I3).

    def span_of(self, hold: Hold) -> timedelta:
        """How long a hold of this kind may be from now on."""
        p = self.facts.parameters
        if hold == "strong":
            return p.hold_strong
        asked, budget = (p.hold_weak, p.hold_budget) if hold == "weak" else (p.hold_medium, MEDIUM_BUDGET)
        return max(timedelta(0), min(asked, budget - self.spent(hold)))

    def spent(self, hold: Hold, until: datetime | None = None) -> timedelta:
        """What was held so in the window that ends now; an open hold is counted up to `until`."""
        now = self.facts.now
        since = now - WINDOW
        spans = (
            (h.until or until or now) - max(h.since, since) for h in self.emergency.held if h.hold == hold
        )
        return sum((s for s in spans if s > timedelta(0)), timedelta(0))

    def begin_hold(self, hold: Hold) -> datetime:
        """Hold from now on, in this way and no other; until when."""
        self.end_hold()
        self.emergency = replace(
            self.emergency, held=(*self.emergency.held, Held(hold=hold, since=self.facts.now))
        )
        return self.facts.now + self.span_of(hold)

    def end_hold(self) -> None:
        end, oldest = self.facts.now, self.facts.now - WINDOW
        ended = (replace(h, until=end) if h.until is None else h for h in self.emergency.held)
        self.emergency = replace(
            self.emergency, held=tuple(h for h in ended if h.until is not None and h.until > oldest)
        )


def _is_clean(method: Method, dirty: frozenset[str]) -> bool:
    return method.address is not None and method.id not in dirty and not method.is_unsafe


def _waits_for_notice(case: Case) -> bool:
    """The delay of its recovery begins when a notice has been handed over (E9)."""
    return case.recovery is not None and case.recovery.clock_from is None


def _hold_of(rank: int) -> Hold:
    return "strong" if rank >= STRONG else "medium" if rank >= MEDIUM else "weak"


# What time brings about. ----------------------------------------------------------------------------


def _settle(draft: _Draft) -> None:
    """Apply every timer that is due, in the order of their times. No job moves a case."""
    now = draft.facts.now
    while due := [(at, step) for at, step in _timers(draft) if at <= now]:
        at, step = min(due, key=lambda d: d[0])
        draft.facts = replace(draft.facts, now=at)
        step(draft)
    draft.facts = replace(draft.facts, now=now)


def _timers(draft: _Draft) -> Iterator[tuple[datetime, Callable[[_Draft], object]]]:
    e, p = draft.emergency, draft.facts.parameters
    case = e.case
    for doubt in e.doubts:
        yield doubt.until, _doubts_end
    if case is not None:
        recovery = case.recovery
        if e.state == "recovery_pending" and recovery is not None:
            if recovery.clock_from is None:
                yield recovery.started_at + NOTICE_DUE, _clock_starts
            elif recovery.ready_at is not None and not draft.facts.clock_in_doubt:
                yield recovery.ready_at, _becomes_ready
        if e.state == "recovery_ready" and recovery is not None and recovery.ready_at is not None:
            yield recovery.ready_at + p.ready_window, _lapses
        if e.state == "contested" and case.contest is not None:
            yield case.contest.since + p.contest_max, _contest_ends
        if e.state in ("contained", "frozen"):
            yield case.hold_until, _hold_ends
            if case.lift is not None:
                yield case.lift.at, _slow_lift
    if e.state == "expired" and e.watch_until is not None:
        yield e.watch_until, _watch_ends
    if e.restored is not None:
        if e.state == "restored":
            yield e.restored.probation_until, _probation_ends
        if e.restored.tombstones and e.state in ("normal", "restored"):
            yield e.restored.undo_until, _tombstones_go


def _doubts_end(draft: _Draft) -> None:
    """An outside signal stands for a while (E5)."""
    e = draft.emergency
    over = {d.method for d in e.doubts if d.until <= draft.facts.now}
    draft.emergency = replace(e, doubts=tuple(d for d in e.doubts if d.method not in over))
    draft.reactivate(frozenset(over))


def _clock_starts(draft: _Draft) -> None:
    """Nobody could be told for a day: the delay begins all the same (E9)."""
    recovery = _sure(draft.case.recovery)
    draft.set_case(recovery=replace(recovery, clock_from=draft.facts.now))
    draft.move("E9", "recovery_pending", "notice_failed")


def _becomes_ready(draft: _Draft) -> None:
    draft.move("E13", "recovery_ready", "recovery_ready")


def _lapses(draft: _Draft) -> None:
    """E15: nobody came to complete it. The account stays held, and evidence must be shown anew."""
    recovery = _sure(draft.case.recovery)
    _close(draft, recovery.key, "withdrawn", burn=False)
    _freeze(draft, recovery.rank)
    draft.move("E15", "frozen", "recovery_lapsed")


def _hold_ends(draft: _Draft) -> None:
    """E16: what is held ends by itself, and takeover stays blocked for a while."""
    _expire(draft, "E16", "expired")
    draft.do(Emit(event="risk-level-change", detail={"current_level": "MEDIUM"}))


def _expire(draft: _Draft, row: str, action: str) -> None:
    """What was quarantined comes back for sign-in only, so the case keeps it, and it still proves nothing here."""
    case = draft.case
    draft.end_hold()
    draft.do(Families(do="wake", families=tuple(sorted(case.suspended))))
    draft.set_case(lift=None, suspended=frozenset())
    draft.emergency = replace(draft.emergency, watch_until=draft.facts.now + draft.facts.parameters.watch)
    draft.move(row, "expired", action)
    draft.reactivate(case.quarantined)


def _watch_ends(draft: _Draft) -> None:
    case = draft.emergency.case
    draft.emergency = replace(draft.emergency, case=None, watch_until=None)
    draft.move("E21", "normal", "watch_ended", case=case.id if case else "")
    if case is not None:
        draft.demand_new_password(case)


def _contest_ends(draft: _Draft) -> None:
    """E18: nobody won. Both claims are closed, and only much stronger evidence starts again."""
    recovery, contest = _sure(draft.case.recovery), _sure(draft.case.contest)
    rank = recovery.rank
    for key in (recovery.key, contest.key):
        _close(draft, key, "lost")
    draft.set_case(floor=CONTESTED_FLOOR)
    _freeze(draft, rank)
    draft.move("E18", "frozen", "resolved", winner="nobody")


def _probation_ends(draft: _Draft) -> None:
    draft.move("E19", "normal", "probation_ended")


def _tombstones_go(draft: _Draft) -> None:
    """E19, P8: what a recovery put aside can come back no more."""
    restored = _sure(draft.emergency.restored)
    draft.do(Mark(methods=tuple(sorted(restored.tombstones)), state="removed"))
    draft.emergency = replace(draft.emergency, restored=replace(restored, tombstones=frozenset()))
    draft.move("E19", draft.emergency.state, "tombstones_removed")


def _slow_lift(draft: _Draft) -> None:
    """A lift that a demoted anchor asked for, a day ago: if nothing speaks against it now, it takes effect."""
    claim = draft.case.claim(_sure(draft.case.lift).key)
    draft.set_case(lift=None)
    if claim is None or evidence.rank(claim.items, draft.case) <= _bar(draft.case, claim.key):
        draft.note("lift_dropped", reason="outweighed")
        return
    _lift(draft)


# Reports, containment and holds. --------------------------------------------------------------------


def _tick(draft: _Draft, event: Tick) -> Reply:
    return Noted()


def _report(draft: _Draft, event: Report) -> Reply:
    """E1: nobody's word but a notice's. Known and unknown accounts get the same reply."""
    _pass_on(draft)
    return Noted()


def _pass_on(draft: _Draft, template: str = "emergency_report") -> None:
    """Tell the clean channels that somebody reported a loss, unless they were told lately (AS-31)."""
    facts = draft.facts
    if facts.subject is None:
        return
    spent = rate.spend(draft.emergency.reports, REPORTS, facts.now)
    if spent is None:
        return
    draft.emergency = replace(draft.emergency, reports=spent)
    draft.note("reported")
    dirty = draft.world.quarantined
    clean = [m for m in facts.methods if _is_clean(m, dirty)]
    draft.do(*(draft.notice(m, template) for m in clean))


def _start(draft: _Draft, event: Start) -> Reply:
    """Join the open case (E22). Without one nothing is kept before something is proven."""
    if draft.emergency.case is not None and draft.case.claim(event.key) is None:
        draft.put_claim(Claim(key=event.key))
    return Noted()


def _contain(draft: _Draft, event: Contain) -> Reply:
    """E2, E3 and E22: hold the account, or join whoever holds it."""
    facts, state = draft.facts, draft.emergency.state
    if rate.spend(facts.failures, FAILURES, facts.now) is None:
        return _no(draft, Refusal.SLOW_DOWN, "too many wrong proofs")
    item = _judge(draft, event.shown, event.key, containing=True)
    if isinstance(item, Rejected):
        if item.refusal is Refusal.EVIDENCE_NOT_ACCEPTED and state in LOCKED:
            return _join(draft, event, None)
        return _no(draft, item.refusal, item.because)
    if state in LOCKED:
        return _join(draft, event, item)
    rank = evidence.trigger_rank(item)
    if facts.is_break_glass and rank < MEDIUM:
        draft.do(Alarm("break_glass_containment"))
        return _no(draft, Refusal.ACCESS_DENIED, "an administrator for emergencies")
    immunity = draft.emergency.immunity
    if immunity is not None and facts.now < immunity.until and rank <= immunity.rank:
        return _no(draft, Refusal.TRIGGER_LIMITED, "immune after a false alarm")
    hold = _hold_of(rank)
    is_spent = draft.span_of(hold) <= timedelta(0)
    if hold == "medium" and is_spent:
        return _no(draft, Refusal.TRIGGER_LIMITED, "the budget of this rank is spent")
    if hold == "weak" and (is_spent or facts.breaker_open):
        return _only_told(draft, event, rank)
    return _hold(draft, event.key, event.lost, rank, "E3" if rank >= MEDIUM else "E2", item, event.quiet)


def _only_told(draft: _Draft, event: Contain, rank: int) -> Reply:
    """The same answer as if it were held, and only a notice (7): the owner reads the truth there."""
    facts = draft.facts
    if facts.breaker_open:
        draft.do(Alarm("mass_containment"))
    draft.note("refused", reason="breaker open" if facts.breaker_open else "budget spent", rank=rank)
    _pass_on(draft, "emergency_not_held")
    found = evidence.condemned(event.lost, rank, None, draft.living(), facts.devices)
    ended, suspended = _sorted_families(facts, frozenset(found.lost))
    return Holding(
        state="contained",
        case=facts.entropy.guid("emergency/case"),
        rank=rank,
        hold_until=facts.now + facts.parameters.hold_weak,
        revoked=len(ended),
        suspended=len(suspended),
        quarantined=_means(found.quarantined, facts),
    )


def _hold(
    draft: _Draft,
    key: str | None,
    lost: Lost,
    rank: int,
    row: str,
    item: Item | None,
    quiet: bool = False,
    operators: int = 0,
) -> Reply:
    """All that holding an account does, in one step (5.3)."""
    facts, earlier = draft.facts, draft.emergency.case
    hold = _hold_of(STRONG if operators >= CONTESTED_FLOOR else rank)
    until = draft.begin_hold(hold)
    found = evidence.condemned(lost, rank, earlier, draft.living(), facts.devices)
    ended, suspended = _sorted_families(facts, frozenset(found.lost))
    is_password = item is not None and item.code == "PW"
    must_change = is_password or bool(found.lost) or lost.everything_on_phone
    case = Case(
        id=earlier.id if earlier else facts.entropy.guid("emergency/case"),
        opened_at=earlier.opened_at if earlier else facts.now,
        operators=operators,
        hold=hold,
        hold_until=until,
        quiet=quiet and facts.quiet_allowed,
        claims=earlier.claims if earlier else (),
        lost=found.lost,
        struck=found.struck,
        quarantined=found.quarantined,
        demoted=found.demoted,
        suspended=frozenset(suspended),
        burned=earlier.burned if earlier else frozenset(),
        must_change=must_change,
    )
    draft.emergency = replace(draft.emergency, case=case, watch_until=None)
    if key is not None and item is not None:
        claim = case.claim(key) or Claim(key=key)
        held = replace(claim, triggered=max(rank, claim.triggered), holds=max(rank, claim.holds))
        draft.put_claim(_with(draft, held, item))
    draft.raise_epoch()
    draft.do(
        Families(do="end", families=tuple(ended)),
        Families(do="suspend", families=tuple(suspended)),
        Mark(methods=tuple(sorted(found.quarantined)), state="quarantined"),
    )
    to: State = "contained" if hold == "weak" else "frozen"
    draft.move(row, to, to, rank=rank, devices=list(found.lost), hold_until=until.isoformat())
    draft.do(
        Emit(event="session-revoked", detail={"initiating_entity": "admin" if operators else "user"}),
        Emit(event="risk-level-change", detail={"current_level": "HIGH"}),
        *((Emit(event="account-disabled", detail={"reason": "hijacking"}),) if to == "frozen" else ()),
    )
    return _holding(draft, rank, len(ended), len(suspended))


def _holding(draft: _Draft, rank: int, revoked: int, suspended: int) -> Holding:
    case = draft.case
    return Holding(
        state=draft.emergency.state,
        case=case.id,
        rank=rank,
        hold_until=case.hold_until,
        revoked=revoked,
        suspended=suspended,
        quarantined=_means(case.quarantined, draft.facts),
    )


def _join(draft: _Draft, event: Contain, item: Item | None) -> Reply:
    """E22: a further claim. It may condemn more, holds more firmly if it can, and resets no clock."""
    facts, case = draft.facts, draft.case
    claim = case.claim(event.key) or Claim(key=event.key)
    if item is None:
        draft.put_claim(claim)
        return _holding(draft, 0, 0, 0)
    rank = evidence.trigger_rank(item)
    if draft.emergency.state == "contained" and rank >= MEDIUM and _is_longer(draft, _hold_of(rank)):
        return _hold(draft, event.key, event.lost, rank, "E3", item, case.quiet)
    is_renewed = claim.holds >= STRONG and rank >= STRONG and draft.emergency.state == "frozen"
    claim = _with(draft, replace(claim, holds=max(claim.holds, rank)), item)
    draft.put_claim(claim)
    found = evidence.condemned(event.lost, rank, draft.case, draft.living(), facts.devices)
    ended, _ = _sorted_families(facts, frozenset(found.lost))
    fresh = found.quarantined - case.quarantined
    gone = tuple(f for f in ended if f in case.suspended)
    until = case.hold_until
    if is_renewed:
        # From now on it is an anchor's, and charged to no weaker budget.
        until = max(until, draft.begin_hold("strong"))
    draft.set_case(
        lost=found.lost,
        struck=found.struck,
        quarantined=found.quarantined,
        demoted=found.demoted,
        suspended=case.suspended - frozenset(gone),
        hold="strong" if is_renewed else case.hold,
        hold_until=until,
    )
    draft.do(Mark(methods=tuple(sorted(fresh)), state="quarantined"), Families(do="end", families=gone))
    draft.move("E22", draft.emergency.state, "joined", rank=rank, devices=list(found.lost))
    return _holding(draft, rank, len(gone), 0)


def _operator_contain(draft: _Draft, event: OperatorContain) -> Reply:
    """E4: two administrators hold it firmly; one can only do what a weak factor could."""
    if event.approved_by == event.by:
        return _no(draft, Refusal.ACCESS_DENIED, "approved by who asked")
    if draft.facts.subject is None:
        return _no(draft, Refusal.INVALID_REQUEST, "no such account")
    if draft.emergency.state in LOCKED:
        return _no(draft, Refusal.STATE_CHANGED, "held already")
    is_firm = event.approved_by is not None
    if not is_firm and draft.span_of("weak") <= timedelta(0):
        return _no(draft, Refusal.TRIGGER_LIMITED, "budget spent")
    draft.note("admin_action", reason=event.reason, by=event.by, approved_by=event.approved_by or "")
    rank = CONTESTED_FLOOR if is_firm else 2
    return _hold(draft, None, Lost(), rank, "E4", None, operators=rank)


def _outside_signal(draft: _Draft, event: OutsideSignal) -> Reply:
    """E5: what comes from outside may only tighten, whatever it says."""
    if not event.signed or not event.tightens or draft.world.method(event.method) is None:
        return Noted()
    stand = tuple(d for d in draft.emergency.doubts if d.method != event.method and draft.facts.now < d.until)
    doubt = Doubt(event.method, draft.facts.now + SIGNAL_STANDS)
    draft.emergency = replace(draft.emergency, doubts=(*stand, doubt))
    draft.do(Mark(methods=(event.method,), state="quarantined"))
    draft.move("E5", draft.emergency.state, "method_quarantined", method=event.method)
    return Noted()


def _extend(draft: _Draft, event: Extend) -> Reply:
    """E6: whoever set it off may hold it once more, within the budget."""
    claim = _claim(draft, event.key)
    if claim is None:
        return _no(draft, Refusal.UNKNOWN_CASE, "not of this case")
    case = draft.case
    if draft.emergency.state != "contained" or claim.triggered == 0 or case.extended:
        return _no(draft, Refusal.TRIGGER_LIMITED, "extended already, or not theirs to extend")
    p = draft.facts.parameters
    more = min(p.hold_weak_extend, p.hold_budget - draft.spent("weak", until=case.hold_until))
    if more <= timedelta(0):
        return _no(draft, Refusal.TRIGGER_LIMITED, "budget spent")
    draft.set_case(extended=True, hold_until=case.hold_until + more)
    draft.move("E6", "contained", "extended")
    return Moved(state="contained", until=draft.case.hold_until)


def _bar(case: Case, key: str) -> int:
    """What a claim must be stronger than to lift the hold: what others hold it by, and what it set off itself."""
    return max(
        case.operators,
        *(c.triggered if c.key == key else c.holds for c in case.claims if c.status != "lost"),
        0,
    )


def _ask_lift(draft: _Draft, event: AskLift) -> Reply:
    """E7: an anchor always may, others if they are stronger than what holds it."""
    claim = _claim(draft, event.key)
    if claim is None:
        return _no(draft, Refusal.UNKNOWN_CASE, "not of this case")
    if draft.emergency.state not in ("contained", "frozen"):
        return _no(draft, Refusal.STATE_CHANGED, "not held in a way that can be lifted")
    case = draft.case
    rank = evidence.rank(claim.items, case)
    if rank < STRONG and rank <= _bar(case, claim.key):
        return _no(draft, Refusal.EVIDENCE_INSUFFICIENT, "not stronger than what holds it")
    firm = evidence.rank((i for i in claim.items if i.method not in case.demoted), case)
    if firm < STRONG and firm <= _bar(case, claim.key):
        at = draft.facts.now + SLOW_LIFT
        draft.set_case(lift=Lift(claim.key, at))
        draft.move("E7", draft.emergency.state, "lift_asked")
        return Moved(state=draft.emergency.state, until=at)
    return _lift(draft)


def _sign_in(draft: _Draft, event: SignIn) -> Reply:
    """E7 without a claim: an anchor that the case has neither zeroed nor demoted signs in to a contained account."""
    if draft.emergency.state != "contained":
        return _no(draft, Refusal.STATE_CHANGED, "not contained")
    for shown in event.shown:
        item, method = evidence.judged(shown, shown.key, draft.world), draft.world.method(shown.method)
        is_firm = method is not None and method.is_anchor and method.id not in draft.case.demoted
        if isinstance(item, Item) and is_firm:
            return _lift(draft)
    return _no(draft, Refusal.EVIDENCE_INSUFFICIENT, "no anchor")


def _lift(draft: _Draft) -> Reply:
    case = draft.case
    raised_by = max((c.triggered for c in case.claims), default=0)
    at, p = draft.facts.now, draft.facts.parameters
    draft.end_hold()
    draft.do(Families(do="wake", families=tuple(sorted(case.suspended))))
    # An anchor can always hold the account: else whoever found a phone again could not report it stolen next week.
    immunity = Immunity(until=at + p.immunity, rank=min(raised_by, STRONG - 1))
    draft.emergency = replace(draft.emergency, case=None, immunity=immunity, watch_until=None)
    draft.move("E7", "normal", "lifted", case=case.id)
    draft.reactivate(case.quarantined - case.burned)
    draft.demand_new_password(case)
    draft.do(
        *((Emit(event="account-enabled"),) if case.hold != "weak" else ()),
        Emit(event="risk-level-change", detail={"current_level": "LOW"}),
    )
    return Moved(state="normal", until=immunity.until)


# Evidence. ------------------------------------------------------------------------------------------


def _judge(draft: _Draft, shown: Shown, key: str, *, containing: bool = False) -> Item | Rejected:
    """Judge what was shown; a wrong proof is counted where all of this account are (AS-23)."""
    item = evidence.judged(shown, key, draft.world, containing=containing)
    wrong = isinstance(item, Rejected) and item.refusal in (Refusal.INVALID_CODE, Refusal.INVALID_ASSERTION)
    subject = draft.facts.subject
    if wrong and subject is not None:
        history = rate.spend(draft.facts.failures, FAILURES, draft.facts.now) or draft.facts.failures
        draft.facts = replace(draft.facts, failures=history)
        until = rate.keep_until(history, FAILURES)
        draft.do(Count(bucket=f"{FAILURES.name}/{subject.id}", history=history, keep_until=until))
    return item


def _with(draft: _Draft, claim: Claim, item: Item) -> Claim:
    """The claim with this item. A code of paper is burned by being shown."""
    method = draft.world.method(item.method)
    if method is not None and method.means is Means.RECOVERY_CODE:
        draft.set_case(burned=draft.case.burned | {item.method})
        draft.do(Mark(methods=(item.method,), state="spent"))
    draft.note("evidence_accepted", type=item.code)
    return replace(claim, items=(*(i for i in claim.items if i.method != item.method), item))


def _claim(draft: _Draft, key: str) -> Claim | None:
    return draft.emergency.case.claim(key) if draft.emergency.case else None


def _show(draft: _Draft, event: Show) -> Reply:
    """Add an item to one's own claim, and to no other's (I6)."""
    claim = _claim(draft, event.key)
    if claim is None:
        return _no(draft, Refusal.UNKNOWN_CASE, "not of this case")
    if rate.spend(draft.facts.failures, FAILURES, draft.facts.now) is None:
        return _no(draft, Refusal.SLOW_DOWN, "too many wrong proofs")
    item = _judge(draft, event.shown, event.key)
    if isinstance(item, Rejected):
        draft.note("evidence_rejected", reason=item.because)
        return Refused(item.refusal, item.because)
    draft.put_claim(_with(draft, claim, item))
    return _accepted(draft, event.key, item)


def _accepted(draft: _Draft, key: str, item: Item) -> Reply:
    """What follows when an item has been added: a firmer hold (E8), a quicker path."""
    _confirm(draft, _sure(draft.case.claim(key)))
    _quicken(draft, key)
    claim = _sure(draft.case.claim(key))
    rank = evidence.rank(claim.items, draft.case)
    open_paths = paths.open_to(claim, draft.case, draft.facts.parameters, had_mfa=draft.facts.had_mfa)
    return Accepted(
        item=item.code, rank=rank, paths=tuple(p.name for p in open_paths) if rank >= MEDIUM else ()
    )


def _confirm(draft: _Draft, claim: Claim) -> None:
    """E8: evidence of rank 3 holds a contained account longer; a demoted anchor's does not."""
    case = draft.case
    firm = evidence.rank((i for i in claim.items if i.method not in case.demoted), case)
    is_anchor = firm >= STRONG
    if draft.emergency.state != "contained" or firm < MEDIUM or is_anchor:
        return
    if not _is_longer(draft, "medium"):
        return
    draft.put_claim(replace(claim, holds=max(claim.holds, firm)))
    draft.set_case(hold="medium", hold_until=draft.begin_hold("medium"))
    draft.move("E8", "frozen", "frozen", rank=firm)
    draft.do(Emit(event="account-disabled", detail={"reason": "hijacking"}))


def _is_longer(draft: _Draft, hold: Hold) -> bool:
    """A firmer hold never ends sooner than the one before (E22); its budget may be too far spent for that."""
    return draft.facts.now + draft.span_of(hold) >= draft.case.hold_until


def _answer(draft: _Draft, event: Answer) -> Reply:
    """A contact answers. They never hear whether the quorum is met, nor whether their answer counted."""
    claim, now = _claim(draft, event.key), draft.facts.now
    if claim is None:
        return Noted()
    if event.decision != "confirm":
        if event.decision == "suspicious":
            _objected(draft, event.key, "a contact")
        return Noted()
    contact = next((c for c in draft.facts.contacts if c.id == event.contact), None)
    if contact is None or not event.number_right or not event.two_factors or contact.in_emergency:
        return Noted()
    settled_at = max(contact.accepted_at, contact.changed_at or contact.accepted_at)
    if draft.case.opened_at - settled_at < draft.facts.parameters.season_contact:
        return Noted()
    if contact.served_at is not None and now - contact.served_at < CONTACT_RESTS:
        return Noted()
    has_vouched = any(
        v.contact == contact.id for c in draft.case.claims if c.key != claim.key for v in c.votes
    )
    if has_vouched:
        return Noted()
    recent = (v for v in claim.votes if now - v.at <= QUORUM_WITHIN and v.contact != contact.id)
    claim = replace(claim, votes=(*recent, Vote(contact.id, now)))
    draft.put_claim(claim)
    if len(claim.votes) >= QUORUM:
        item = Item(id=f"{event.key}/contacts", code="TC", method=CONTACTS, touched_at=settled_at, at=now)
        draft.put_claim(_with(draft, claim, item))
        _accepted(draft, event.key, item)
    return Noted()


CONTACTS = "contacts"
"""What stands for all contacts together, where a method is named."""


def _attest(draft: _Draft, event: Attest) -> Reply:
    """AD: two administrators and their evidence. It satisfies nothing alone and shortens nothing."""
    if event.approved_by == event.by:
        return _no(draft, Refusal.ACCESS_DENIED, "approved by who asked")
    if not event.attachment:
        return _no(draft, Refusal.INVALID_REQUEST, "no evidence attached")
    if draft.emergency.case is None:
        return _no(draft, Refusal.UNKNOWN_CASE, "no open case")
    draft.set_case(attested_at=draft.facts.now)
    draft.note("admin_action", reason="attest", by=event.by, approved_by=event.approved_by)
    return Noted()


# Recovery. ------------------------------------------------------------------------------------------


def _recover(draft: _Draft, event: Recover) -> Reply:
    """E9: begin to wait."""
    claim = _claim(draft, event.key)
    if claim is None:
        return _no(draft, Refusal.UNKNOWN_CASE, "not of this case")
    if draft.emergency.state == "contested":
        return _no(draft, Refusal.CONTESTED, "a contest is open")
    if draft.emergency.state not in ("contained", "frozen", "expired"):
        return _no(draft, Refusal.STATE_CHANGED, "a recovery is under way")
    case, facts = draft.case, draft.facts
    rank = evidence.rank(claim.items, case)
    found = paths.open_to(claim, case, facts.parameters, had_mfa=facts.had_mfa)
    path = next((p for p in found if event.path in (None, p.name)), None)
    if path is None or rank < case.floor:
        return _no(draft, Refusal.EVIDENCE_INSUFFICIENT, "no path is open")
    modifiers = _modifiers(draft, claim.key)
    delay = paths.modified(paths.delay_of(path, facts.parameters), modifiers)
    draft.end_hold()
    draft.set_case(
        lift=None,
        recovery=Recovery(
            key=claim.key, path=path.name, rank=rank, started_at=facts.now, delay=delay, modifiers=modifiers
        ),
    )
    draft.move(
        "E9", "recovery_pending", "recovery_started",
        path=path.name, delay=str(delay), modifiers=list(modifiers),
    )  # fmt: skip
    draft.do(Emit(event="recovery-activated"))
    return Moved(state="recovery_pending")


def _modifiers(draft: _Draft, key: str) -> tuple[str, ...]:
    """What makes this recovery slower. A claim that has shown nothing is nobody's: else anybody could double it."""
    facts, restored = draft.facts, draft.emergency.restored
    others = (c for c in draft.case.claims if c.key != key and c.status == "open")
    found = {
        "new_place": facts.new_place,
        "recovered_lately": restored is not None and facts.now - restored.at < WINDOW,
        "lockdown": facts.profile == "lockdown",
        "two_claims": any(evidence.rank(c.items, draft.case) > 0 for c in others),
    }
    return tuple(name for name, applies in found.items() if applies)


def _quicken(draft: _Draft, key: str) -> None:
    """Stronger evidence opens a quicker path; the time already served counts (6.4, I2)."""
    case = draft.case
    recovery = case.recovery
    if draft.emergency.state != "recovery_pending" or recovery is None or recovery.key != key:
        return
    claim = _sure(case.claim(key))
    rank, p = evidence.rank(claim.items, case), draft.facts.parameters
    if rank <= recovery.rank:
        return
    better = paths.open_to(claim, case, p, had_mfa=draft.facts.had_mfa)
    delay = paths.modified(paths.delay_of(better[0], p), recovery.modifiers) if better else recovery.delay
    name = better[0].name if delay < recovery.delay else recovery.path
    draft.set_case(recovery=replace(recovery, rank=rank, path=name, delay=min(delay, recovery.delay)))
    draft.move("E9", "recovery_pending", "recovery_quickened", path=name)


def _handed_over(draft: _Draft, event: HandedOver) -> Reply:
    """A notice reached a clean channel: from now on the delay runs."""
    recovery = draft.emergency.case.recovery if draft.emergency.case else None
    method = draft.world.method(event.method)
    is_clean = method is not None and _is_clean(method, draft.world.quarantined)
    if draft.emergency.state == "recovery_pending" and recovery and recovery.clock_from is None and is_clean:
        draft.set_case(recovery=replace(recovery, clock_from=draft.facts.now))
        draft.note("notice_handed_over", method=event.method)
    return Noted()


def _object(draft: _Draft, event: Object) -> Reply:
    """E10: a weak objection buys time once. Whether a recovery waits hears nobody who was wrong."""
    if rate.spend(draft.facts.failures, FAILURES, draft.facts.now) is None:
        return _no(draft, Refusal.SLOW_DOWN, "too many wrong proofs")
    item = _judge(draft, event.shown, event.key)
    if isinstance(item, Rejected):
        return _no(draft, item.refusal, item.because)
    recovery = draft.emergency.case.recovery if draft.emergency.case else None
    if draft.emergency.state != "recovery_pending" or recovery is None:
        return _no(draft, Refusal.STATE_CHANGED, "no recovery waits")
    claim = draft.case.claim(recovery.key)
    if claim is not None and any(i.method == item.method for i in claim.items):
        return _no(draft, Refusal.EVIDENCE_NOT_ACCEPTED, "the claim itself rests on it")
    _objected(draft, recovery.key, item.code)
    return Noted()


def _objected(draft: _Draft, key: str, by: str) -> None:
    recovery = draft.case.recovery
    claim = draft.case.claim(key)
    if (
        draft.emergency.state != "recovery_pending"
        or recovery is None
        or claim is None
        or recovery.key != key
    ):
        return
    if claim.objected:
        draft.note("objected", reason="again", by=by)
        return
    draft.put_claim(replace(claim, objected=True))
    extra = recovery.extra + draft.facts.parameters.objection_weak
    draft.set_case(recovery=replace(recovery, extra=extra))
    draft.move("E10", "recovery_pending", "objected", by=by)


def _dispute(draft: _Draft, event: Dispute) -> Reply:
    """E11 and E12: equal evidence stops the clock, stronger evidence decides."""
    claim = _claim(draft, event.key)
    if claim is None:
        return _no(draft, Refusal.UNKNOWN_CASE, "not of this case")
    case = draft.case
    if draft.emergency.state not in ("recovery_pending", "recovery_ready", "contested") or not case.recovery:
        return _no(draft, Refusal.STATE_CHANGED, "there is nothing to contest")
    recovery = case.recovery
    sides = [recovery.key, *((case.contest.key,) if case.contest else ())]
    rank = evidence.rank(claim.items, case)
    against = max(_rank_of(case, key) for key in sides if key != claim.key) if sides != [claim.key] else 0
    if rank > against and sides != [claim.key]:
        return _won(draft, claim, rank, [k for k in sides if k != claim.key], event.lift)
    if draft.emergency.state == "contested" or recovery.key == claim.key:
        return _no(draft, Refusal.CONTESTED, "not stronger than the other side")
    if rank < MEDIUM or rank < against:
        return _no(draft, Refusal.EVIDENCE_INSUFFICIENT, "weaker than the claim")
    draft.set_case(contest=Contest(claim.key, draft.facts.now))
    draft.move("E11", "contested", "contested", ranks=[against, rank])
    return Moved(state="contested")


def _rank_of(case: Case, key: str) -> int:
    claim = case.claim(key)
    return evidence.rank(claim.items, case) if claim else 0


def _won(draft: _Draft, claim: Claim, rank: int, losers: list[str], lift: bool) -> Reply:
    for key in losers:
        _close(draft, key, "lost")
    own = draft.case.recovery
    if own is not None and own.key == claim.key:
        draft.set_case(recovery=None)
    if lift and rank >= STRONG:
        draft.note("resolved", winner=claim.key)
        return _lift(draft)
    draft.put_claim(replace(claim, holds=max(claim.holds, rank)))
    _freeze(draft, rank)
    draft.move("E12", "frozen", "resolved", winner=claim.key)
    return Moved(state="frozen")


def _close(draft: _Draft, key: str, status: str, *, burn: bool = True) -> None:
    """A claim is over. Of one that lost, nothing that it showed counts again."""
    case = draft.case
    claim = case.claim(key)
    recovery = case.recovery
    if recovery is not None and recovery.key == key:
        draft.set_case(recovery=None)
    draft.set_case(contest=None)
    if claim is None:
        return
    draft.put_claim(replace(claim, status=status))
    if burn:
        draft.set_case(burned=draft.case.burned | {i.id for i in claim.items})


def _freeze(draft: _Draft, rank: int) -> None:
    """Hold it on, as firmly as this rank may."""
    hold: Hold = "strong" if rank >= STRONG else "medium"
    until = draft.begin_hold(hold)
    draft.set_case(hold=hold, hold_until=until, recovery=None, contest=None)


def _complete(draft: _Draft, event: Complete) -> Reply:
    """E14: the wait is over, and the strongest item is shown again. Yields a ticket, never a token (P9)."""
    claim = _claim(draft, event.key)
    if claim is None:
        return _no(draft, Refusal.UNKNOWN_CASE, "not of this case")
    case, state = draft.case, draft.emergency.state
    recovery = case.recovery
    if state == "contested":
        return _no(draft, Refusal.CONTESTED, "a contest is open")
    if state not in ("recovery_pending", "recovery_ready") or recovery is None:
        return _no(draft, Refusal.INVALID_REQUEST, "no recovery was started")
    if recovery.key != claim.key:
        return _no(draft, Refusal.CLAIM_KEY_MISMATCH, "another claim's recovery")
    if state == "recovery_pending":
        return _no(draft, Refusal.PENDING, "the delay runs")
    if rate.spend(draft.facts.failures, FAILURES, draft.facts.now) is None:
        return _no(draft, Refusal.SLOW_DOWN, "too many wrong proofs")
    flaw = _not_reproven(draft, event.shown, claim)
    if flaw:
        return _no(draft, *flaw)
    return _restore(draft, claim)


def _not_reproven(draft: _Draft, shown: Shown, claim: Claim) -> tuple[Refusal, str] | None:
    """Why a proof does not complete the recovery. A code of paper, burned by now, is shown once more by its claim."""
    case, age = draft.case, draft.heard_at - shown.at
    method = draft.world.method(shown.method)
    is_passkey = method is not None and method.means is Means.PASSKEY
    if shown.key != claim.key:
        return Refusal.CLAIM_KEY_MISMATCH, "begun under another claim key"
    if not shown.right or (is_passkey and not (shown.verified and shown.counter_ok)):
        _judge(draft, replace(shown, right=False), claim.key)
        return Refusal.INVALID_ASSERTION if is_passkey else Refusal.INVALID_CODE, "wrong"
    kept = evidence.standing(claim.items, case)
    best = max((evidence.rank((i,), case) for i in kept), default=0)
    strongest = {i.method: i for i in kept if evidence.rank((i,), case) == best}
    earlier = strongest.get(shown.method)
    if earlier is None or shown.id == earlier.id or shown.method in draft.world.quarantined:
        return Refusal.EVIDENCE_NOT_ACCEPTED, "not the strongest item, shown anew"
    if not timedelta(0) <= age <= FRESH:
        return Refusal.EXPIRED, "not fresh"
    if is_passkey and shown.at - earlier.at < draft.facts.parameters.touch2:
        return Refusal.PENDING, "too soon for a second touch"
    return None


def _restore(draft: _Draft, claim: Claim) -> Reply:
    facts, case = draft.facts, draft.case
    now, p = facts.now, facts.parameters
    shown = {i.method for i in claim.items}
    # A password is never kept: its owner sets another with the ticket, and there are no two of them.
    shown -= {m.id for m in facts.methods if m.means is Means.PASSWORD}
    # Anchors that nobody condemned stay: one of them can undo this, whoever it was that recovered.
    tombstones = frozenset(
        m.id
        for m in facts.methods
        if m.id in case.quarantined | case.burned
        or not (m.is_anchor or m.id in shown or m.means is Means.IDENTITY)
    )
    if draft.emergency.restored is not None:
        draft.do(Mark(methods=tuple(sorted(draft.emergency.restored.tombstones)), state="removed"))
    raw = facts.entropy.take("emergency/ticket", 32)
    secret = Secret(base64url.encode(raw))
    draft.emergency = replace(
        draft.emergency,
        case=None,
        watch_until=None,
        ticket=Ticket(digest=_digest(secret), expires_at=now + TICKET_LIFETIME),
        restored=Restored(
            at=now,
            opened_at=case.opened_at,
            rank=evidence.rank(claim.items, case),
            quarantined=case.quarantined,
            tombstones=tombstones,
            probation_until=now + p.probation,
            undo_until=now + p.undo,
        ),
    )
    draft.raise_epoch()
    draft.do(
        Families(do="end", families=tuple(f.id for f in facts.families)),
        Mark(methods=tuple(sorted(tombstones)), state="tombstoned"),
    )
    draft.move("E14", "restored", "restored", case=case.id)
    draft.do(
        Emit(event="credential-change", detail={"change_type": "revoke"}),
        Emit(event="recovery-information-changed"),
        Emit(event="account-credential-change-required"),
        Emit(event="account-enabled"),
    )
    return Restoration(ticket=secret, expires_in=TICKET_LIFETIME)


def _digest(ticket: Secret) -> bytes:
    return sha256(ticket.text.encode("utf-8", "surrogatepass")).digest()


def _redeem(draft: _Draft, event: Redeem) -> Reply:
    """Use a ticket up: once, and only while the account is what the recovery made of it."""
    ticket = draft.emergency.ticket
    is_it = ticket is not None and ticket.digest == _digest(event.ticket)
    if ticket is None or not is_it or ticket.used or draft.facts.now >= ticket.expires_at:
        return _no(draft, Refusal.INVALID_GRANT, "no such ticket, or used, or too old")
    if draft.emergency.state != "restored":
        return _no(draft, Refusal.INVALID_GRANT, "the recovery it came from no longer stands")
    draft.emergency = replace(draft.emergency, ticket=replace(ticket, used=True))
    draft.note("ticket_used")
    return Noted()


def _resolve(draft: _Draft, event: Resolve) -> Reply:
    """E17: an identity check decides, or two administrators with evidence attached."""
    if draft.emergency.state != "contested":
        return _no(draft, Refusal.STATE_CHANGED, "there is no contest")
    case = draft.case
    recovery = _sure(case.recovery)
    sides = (recovery.key, _sure(case.contest).key)
    claim = case.claim(event.winner)
    if event.winner not in sides or claim is None:
        return _no(draft, Refusal.INVALID_REQUEST, "the winner is no side of it")
    if event.by is not None:
        if event.approved_by is None or event.approved_by == event.by:
            return _no(draft, Refusal.ACCESS_DENIED, "needs a second administrator")
        if not event.attachment:
            return _no(draft, Refusal.INVALID_REQUEST, "no evidence attached")
        draft.note("admin_action", reason="resolve", by=event.by, approved_by=event.approved_by)
    else:
        checked = [k for k in sides if _has_identity(case, k)]
        if checked != [event.winner]:
            return _no(draft, Refusal.CONTESTED, "no identity check decides it")
    own = recovery if recovery.key == event.winner else None
    _close(draft, sides[0] if sides[1] == event.winner else sides[1], "lost")
    p, facts = draft.facts.parameters, draft.facts
    found = paths.open_to(claim, draft.case, p, had_mfa=facts.had_mfa)
    rank = evidence.rank(claim.items, draft.case)
    if not found:
        _freeze(draft, rank)
        draft.move("E17", "frozen", "resolved", winner=event.winner)
        return Moved(state="frozen")
    modifiers = own.modifiers if own else _modifiers(draft, event.winner)
    delay = max(paths.modified(paths.delay_of(found[0], p), modifiers), RESOLVE_FLOOR)
    draft.set_case(
        contest=None,
        recovery=Recovery(
            key=event.winner, path=found[0].name, rank=rank, started_at=facts.now,
            delay=delay, modifiers=modifiers, clock_from=facts.now,
        ),
    )  # fmt: skip
    draft.move("E17", "recovery_pending", "resolved", winner=event.winner)
    return Moved(state="recovery_pending")


def _has_identity(case: Case, key: str) -> bool:
    claim = case.claim(key)
    return claim is not None and any(i.code == "IV" for i in evidence.standing(claim.items, case))


def _withdraw(draft: _Draft, event: Withdraw) -> Reply:
    """Give up one's own claim; a recovery of it ends, the account stays held."""
    claim = _claim(draft, event.key)
    if claim is None:
        return _no(draft, Refusal.UNKNOWN_CASE, "not of this case")
    case = draft.case
    is_waiting = case.recovery is not None and case.recovery.key == claim.key
    is_contest = case.contest is not None and case.contest.key == claim.key
    if is_contest and not is_waiting:
        return _no(draft, Refusal.CONTESTED, "a contest is decided, not withdrawn")
    rank = case.recovery.rank if case.recovery else 0
    if draft.emergency.state == "contested" and is_waiting:
        return _no(draft, Refusal.CONTESTED, "a contest is decided, not withdrawn")
    if is_waiting:
        _close(draft, claim.key, "withdrawn", burn=False)
        _freeze(draft, rank)
        draft.move("E15", "frozen", "recovery_withdrawn")
    else:
        draft.put_claim(replace(claim, status="withdrawn"))
        lift = draft.case.lift
        if lift is not None and lift.key == claim.key:
            draft.set_case(lift=None)
    return Moved(state=draft.emergency.state)


def _undo(draft: _Draft, event: Undo) -> Reply:
    """
    E20: an anchor older than the case takes a recovery back, or stronger evidence with an identity check.

    Whether there is one to undo hears nobody who was wrong.
    """
    restored, facts = draft.emergency.restored, draft.facts
    if rate.spend(facts.failures, FAILURES, facts.now) is None:
        return _no(draft, Refusal.SLOW_DOWN, "too many wrong proofs")
    items: list[Item] = []
    for shown in event.shown:
        item = _judge(draft, shown, event.key)
        if isinstance(item, Rejected):
            return _no(draft, item.refusal, item.because)
        items.append(item)
    if restored is None or draft.emergency.state not in ("restored", "normal"):
        return _no(draft, Refusal.STATE_CHANGED, "there is no recovery to undo")
    if facts.now >= restored.undo_until:
        return _no(draft, Refusal.STATE_CHANGED, "too late to undo")
    for item in items:
        method = draft.world.method(item.method)
        if method is None or method.touched_at >= restored.opened_at or method.id in restored.quarantined:
            return _no(draft, Refusal.EVIDENCE_NOT_ACCEPTED, "not older than the case")
    rank = evidence.rank(items, None)
    is_proofed = any(i.code == "IV" for i in items) and rank >= restored.rank
    if not any(i.code == "AN" for i in items) and not is_proofed:
        return _no(draft, Refusal.EVIDENCE_INSUFFICIENT, "no anchor older than the case")
    added = tuple(m.id for m in facts.methods if m.created_at >= restored.at)
    back = restored.tombstones | restored.quarantined
    until = draft.begin_hold("strong" if rank >= STRONG else "medium")
    case = Case(
        id=facts.entropy.guid("emergency/case"),
        opened_at=facts.now,
        hold="strong" if rank >= STRONG else "medium",
        hold_until=until,
        quarantined=back,
        claims=(Claim(key=event.key, items=tuple(items), holds=rank),),
    )
    draft.emergency = replace(draft.emergency, case=case, restored=None, ticket=None)
    draft.raise_epoch()
    draft.do(
        Families(do="end", families=tuple(f.id for f in facts.families)),
        Mark(methods=added, state="removed"),
        Mark(methods=tuple(sorted(back)), state="quarantined"),
    )
    draft.move("E20", "frozen", "undone")
    draft.do(Emit(event="account-disabled", detail={"reason": "hijacking"}), Emit(event="session-revoked"))
    return Moved(state="frozen")


def _release(draft: _Draft, event: Release) -> Reply:
    """E23: two administrators end a hold that nobody with evidence stands behind."""
    if event.approved_by == event.by:
        return _no(draft, Refusal.ACCESS_DENIED, "approved by who asked")
    if not event.reason.strip():
        return _no(draft, Refusal.INVALID_REQUEST, "no reason written")
    if draft.emergency.state not in ("contained", "frozen"):
        return _no(draft, Refusal.STATE_CHANGED, "not held")
    if draft.facts.now - event.asked_at < RELEASE_AFTER:
        return _no(draft, Refusal.PENDING, "asked less than a day ago")
    claims = (c for c in draft.case.claims if c.status == "open")
    if any(max(c.holds, evidence.rank(c.items, draft.case)) >= MEDIUM for c in claims):
        return _no(draft, Refusal.STATE_CHANGED, "a claim with evidence is open")
    draft.note("admin_action", reason=event.reason, by=event.by, approved_by=event.approved_by)
    _expire(draft, "E23", "released")
    return Moved(state="expired")


def _look(draft: _Draft, event: Look) -> Reply:
    """How it stands, as far as the caller may know: a robber beside the owner reads no time here (AS-44)."""
    claim = _claim(draft, event.key)
    if claim is None:
        return Refused(Refusal.UNKNOWN_CASE, "not of this case")
    case = draft.case
    rank = evidence.rank(claim.items, case)
    recovery = case.recovery if case.recovery and case.recovery.key == claim.key else None
    may_know = rank >= STRONG
    return Status(
        state=draft.emergency.state,
        rank=rank,
        path=recovery.path if recovery else None,
        objected=claim.objected,
        other_claims=any(c.key != claim.key and c.status == "open" for c in case.claims)
        if may_know
        else None,
        hold_until=case.hold_until if draft.emergency.state in ("contained", "frozen") else None,
        ready_at=case.recovery.ready_at if case.recovery and may_know else None,
    )


def _was_reset(draft: _Draft, event: WasReset) -> Reply:
    """A reset by a method that lives where every second factor does: two proofs, one object (AS-02)."""
    setting = draft.facts.parameters.coresidency
    world = draft.world
    by = world.method(event.method)
    second = [m for id in event.second if (m := world.method(id)) is not None]
    if setting == "off" or by is None or not second or not all(_share(by, m) for m in second):
        return Noted()
    draft.emergency = replace(
        draft.emergency,
        after_reset=AfterReset(
            until=draft.facts.now + AFTER_RESET,
            devices=by.devices.union(*(m.devices for m in second)),
            tokens_wait=setting == "strict",
        ),
    )
    draft.move("AS-02", draft.emergency.state, "reset_on_one_device")
    return Noted()


def _share(a: Method, b: Method) -> bool:
    """They may be read on one device. Where nobody knows, they are taken to be."""
    return a.has_place and b.has_place and (not a.devices or not b.devices or bool(a.devices & b.devices))


# Small things. --------------------------------------------------------------------------------------


def _sure(value: T | None) -> T:
    """What must be there, by the state."""
    if value is None:
        raise LookupError("an emergency whose state and case contradict each other")
    return value


def _no(draft: _Draft, refusal: Refusal, because: str) -> Refused:
    draft.note("refused", reason=because, refusal=refusal)
    return Refused(refusal, because)


def _means(ids: Iterable[str], facts: Facts) -> tuple[str, ...]:
    found = {m.id: m.means for m in facts.methods}
    return tuple(sorted({found[id] for id in ids if id in found}))


def _sorted_families(facts: Facts, lost: frozenset[str]) -> tuple[list[str], list[str]]:
    """Families to end and families to suspend: what is bound to a device that is not lost only sleeps (5.3)."""
    ended = [f.id for f in facts.families if f.device is None or f.device in lost]
    return ended, [f.id for f in facts.families if f.id not in ended]


_HANDLERS: dict[type, Callable[[_Draft, Any], Reply]] = {
    Tick: _tick,
    Report: _report,
    Start: _start,
    Contain: _contain,
    OperatorContain: _operator_contain,
    OutsideSignal: _outside_signal,
    Extend: _extend,
    AskLift: _ask_lift,
    SignIn: _sign_in,
    Show: _show,
    Answer: _answer,
    Attest: _attest,
    Recover: _recover,
    HandedOver: _handed_over,
    Object: _object,
    Dispute: _dispute,
    Complete: _complete,
    Resolve: _resolve,
    Withdraw: _withdraw,
    Undo: _undo,
    Release: _release,
    Look: _look,
    WasReset: _was_reset,
    Redeem: _redeem,
}
