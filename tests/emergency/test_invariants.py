"""Owner, thief, a former partner and administrators do as they please for weeks; what must hold then holds always."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from genkan.engine.emergency import evidence, words
from genkan.engine.emergency.case import LOCKED, MEDIUM_BUDGET, WINDOW, Claim, Emergency
from genkan.engine.emergency.evidence import Lost
from genkan.engine.emergency.gate import Allowed, Attempt, LiftFirst, ask
from genkan.engine.messages import Deliver, Record
from tests.emergency.world import METHODS, Play, a_span

PEOPLE = {
    "owner": [m.id for m in METHODS],
    "thief": ["mail", "sms", "totp", "platform", "synced here"],
    "ex": ["password", "freeze", "code 1", "synced"],
}
"""Who can show what. The thief has the phone and knows its passcode."""

ALONE = [
    ("owner", "key"),
    ("owner", "identity"),
    ("owner", "code 2"),
    ("ex", "code 1"),
    ("thief", "synced here"),
]
"""What recovers an account, with a password at the most."""

acts = st.sampled_from(sorted((who, what) for who, has in PEOPLE.items() for what in has))
people = st.sampled_from(sorted(PEOPLE))
devices = st.lists(st.sampled_from(["phone", "laptop", "tablet", "key"]), max_size=2, unique=True)
spans = st.sampled_from(["1m", "1h", "13h", "1d", "3d", "7d", "11d", "-1h"])


def overlap(spans: list[tuple[datetime, datetime]], end: datetime) -> timedelta:
    """How much of these spans lies in the window that ends then."""
    parts = (min(until, end) - max(since, end - WINDOW) for since, until in spans)
    return sum((p for p in parts if p > timedelta(0)), timedelta(0))


def ranks(emergency: Emergency) -> dict[str, int]:
    case = emergency.case
    return {c.key: evidence.rank(c.items, case) for c in case.claims if c.status == "open"} if case else {}


class Weeks(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.play = Play()
        self.state, self.since = "normal", self.play.now
        self.contained: list[tuple[datetime, datetime]] = []
        self.told: set[str] = set()

    def say(self, event: words.Event, by: str = "") -> words.Reply:
        """One event, and all that must be true of what came of it."""
        before = words.Step(emergency=self.play.emergency, reply=words.Noted())
        # Time is let pass on its own first, so that what the event itself did can be told apart.
        self._step(words.Tick())
        rested = self.play.emergency
        reply = self._step(event)
        after = self.play.emergency
        assert after.version >= before.emergency.version
        self._claims_stay_apart(rested, after, by)
        self._power_rests_on_evidence(rested, reply, by)
        self._delay_holds(rested, after)
        return reply

    def _step(self, event: words.Event) -> words.Reply:
        version = self.play.emergency.version
        reply = self.play.advance(event)
        moves = [e for e in self.play.effects if isinstance(e, Record) and "row" in e.detail]
        # I5: a transition is one row, and one version.
        assert [m.detail["version"] for m in moves] == list(range(version + 1, version + 1 + len(moves)))
        assert self.play.emergency.version == version + len(moves)
        for message in (e.message for e in self.play.effects if isinstance(e, Deliver)):
            assert message.id not in self.told
            self.told.add(message.id)
        for move in moves:
            at = datetime.fromisoformat(str(move.detail["at"]))
            assert move.detail["from"] == self.state
            if self.state == "contained" and at > self.since:
                self.contained.append((self.since, at))
            self.state, self.since = str(move.detail["to"]), at
        return reply

    def _claims_stay_apart(self, before: Emergency, after: Emergency, by: str) -> None:
        """I6: what one shows is nobody else's."""
        if before.case is None or after.case is None or before.case.id != after.case.id:
            return
        was, now = ranks(before), ranks(after)
        for claim in before.case.claims:
            if claim.key == by or claim.key not in now:
                continue
            kept = next(c for c in after.case.claims if c.key == claim.key and c.status == "open")
            assert kept.items == claim.items
            assert now[claim.key] <= was.get(claim.key, 0)

    def _power_rests_on_evidence(self, before: Emergency, reply: words.Reply, by: str) -> None:
        """I1: whoever has shown nothing but what is quarantined gets nothing."""
        is_free = isinstance(reply, words.Moved) and reply.state == "normal"
        if not by or not (is_free or isinstance(reply, words.Restoration)):
            return
        assert before.case is not None
        claim = before.case.claim(by)
        assert claim is not None
        assert _counts(claim, before)

    def _delay_holds(self, before: Emergency, after: Emergency) -> None:
        """I2: nobody is ready sooner than was said, but by showing more."""
        old = before.case.recovery if before.case else None
        new = after.case.recovery if after.case else None
        if old is None or new is None or (old.key, old.started_at) != (new.key, new.started_at):
            return
        if old.ready_at is not None and new.rank <= old.rank:
            assert new.ready_at is not None
            assert new.ready_at >= old.ready_at

    def shown(self, act: tuple[str, str]) -> Any:
        return self.play.shown(act[1], act[0])

    @rule(span=spans)
    def time_passes(self, span: str) -> None:
        self.play.now += a_span(span)
        self.say(words.Tick())

    @rule(act=acts, lost=devices)
    def contain(self, act: tuple[str, str], lost: list[str]) -> None:
        self.say(words.Contain(key=act[0], shown=self.shown(act), lost=Lost(devices=tuple(lost))), act[0])

    @rule(act=acts)
    def show(self, act: tuple[str, str]) -> None:
        self.say(words.Start(act[0]), act[0])
        self.say(words.Show(act[0], self.shown(act)), act[0])

    @rule(by=people)
    def extend_or_lift(self, by: str) -> None:
        self.say(words.Extend(by), by)
        self.say(words.AskLift(by), by)

    @rule(by=people)
    def recover(self, by: str) -> None:
        self.say(words.Recover(by), by)
        self.say(words.HandedOver("mailbox"))

    @rule(act=acts)
    def object_or_complete(self, act: tuple[str, str]) -> None:
        self.say(words.Object(act[0], self.shown(act)))
        self.say(words.Complete(act[0], self.shown(act)), act[0])

    @rule(act=st.sampled_from(ALONE), days=st.integers(0, 4))
    def go_all_the_way(self, act: tuple[str, str], days: int) -> None:
        """Evidence, a path, the wait, the proof again: what seldom comes about by chance."""
        by = act[0]
        self.say(words.Start(by), by)
        self.say(words.Show(by, self.shown(act)), by)
        self.say(words.Show(by, self.shown((by, "password"))), by)
        self.say(words.Recover(by), by)
        self.say(words.HandedOver("mailbox"))
        self.play.now += timedelta(days=days)
        self.say(words.Complete(by, self.shown(act)), by)

    @rule(by=people, lift=st.booleans())
    def contest(self, by: str, lift: bool) -> None:
        self.say(words.Dispute(key=by, lift=lift), by)

    @rule(by=people, decided=st.booleans())
    def withdraw_or_resolve(self, by: str, decided: bool) -> None:
        if decided:
            self.say(words.Resolve(winner=by, by="a", approved_by="b", attachment="sha256"), by)
        else:
            self.say(words.Withdraw(by), by)

    @rule(act=acts)
    def undo(self, act: tuple[str, str]) -> None:
        self.say(words.Undo(act[0], (self.shown(act),)))

    @rule(two=st.sampled_from([False, False, False, True]), method=st.sampled_from([m.id for m in METHODS]))
    def administrators_and_outsiders(self, two: bool, method: str) -> None:
        self.say(words.OperatorContain(by="a", approved_by="b" if two else None, reason="called"))
        self.say(words.OutsideSignal(method=method, signed=True, tightens=True))

    @rule()
    def release(self) -> None:
        asked = self.play.now - timedelta(days=1)
        self.say(words.Release(by="a", approved_by="b", reason="found", asked_at=asked))

    @rule(act=acts, to=st.sampled_from(["sign_in", "refresh", "redeem", "reset", "enrol", "delete"]))
    def use_power(self, act: tuple[str, str], to: Any) -> None:
        """I4: while the account is held nothing is allowed; an anchor is told to lift it first."""
        self.say(words.Tick())
        verdict = ask(self.play.emergency, Attempt(act=to, proofs=(self.shown(act),)), self.play.world())
        if self.play.emergency.state in LOCKED:
            assert not isinstance(verdict, Allowed)
        if isinstance(verdict, LiftFirst):
            assert to == "sign_in"
            assert act[1] in ("key", "other key", "laptop", "platform")
            case = self.play.emergency.case
            assert case is not None
            assert act[1] not in case.quarantined | case.demoted

    @invariant()
    def no_hold_outlasts_its_budget(self) -> None:
        """I3."""
        for _, until in self.contained:
            assert overlap(self.contained, until) <= a_span("168h")
        now = self.play.emergency.clock or self.play.now
        medium = [(h.since, h.until or now) for h in self.play.emergency.held if h.hold == "medium"]
        assert overlap(medium, now) <= MEDIUM_BUDGET

    @invariant()
    def state_and_case_agree(self) -> None:
        emergency = self.play.emergency
        assert (emergency.case is None) == (emergency.state in ("normal", "restored"))
        assert emergency.state == self.state


def _counts(claim: Claim, emergency: Emergency) -> bool:
    assert emergency.case is not None
    return any(i.method not in emergency.case.quarantined and i.code != "FZ" for i in claim.items)


TestWeeks = Weeks.TestCase
TestWeeks.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
