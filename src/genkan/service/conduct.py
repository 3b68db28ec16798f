"""
Conduct one request: wait for what is slow, run the step inside the store's batch, and answer after the commit.

The loop between a dialect and the engine. It holds no rule about factors, policy or errors, and knows no dialect.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from genkan import metrics
from genkan.engine import seats, signals, strangers
from genkan.engine.advance import LAWFUL, advance
from genkan.engine.alarms import ALARMS
from genkan.engine.budgets import sighting
from genkan.engine.challenges import limits
from genkan.engine.emergency import account
from genkan.engine.flow import AwaitingNewPassword, Closed, Flow, bookmark, read_bookmark
from genkan.engine.messages import (
    Begin,
    Checked,
    Cleared,
    Deliver,
    Directory,
    Effect,
    Emit,
    Entropy,
    Event,
    Facts,
    Hashed,
    Heard,
    Identify,
    NeedCall,
    NeedCheck,
    NeedClearance,
    NeedLift,
    Prove,
    Question,
    Ready,
    Record,
    Refused,
    Renew,
    Reply,
    Resume,
    SetPassword,
    Signals,
    Web,
)
from genkan.engine.transaction import Change, Loaded, Needs
from genkan.factors import passkey
from genkan.model import Kind, Reason, Risk, Secret, Subject
from genkan.risk import score
from genkan.service.hashing import Hashing, judged
from genkan.service.issue import Issuer, Tokens
from genkan.service.ports import Extensions, Leaks, RiskSource, Store, TelephonyRisk
from genkan.service.steady import Steady
from genkan.telemetry import log
from genkan.tokens import grants

MAX_CHECKS = 3
"""How often a password may be compared again, or a number asked about, because it was changed meanwhile."""
MAX_CALLS = 4
"""How many questions one request may put to extensions: two of a sign-up, and what changed while they were asked."""


class FlowKeys(Struct, frozen=True, kw_only=True):
    """The tenant's keys that a step needs, each for one purpose (KEY-01)."""

    handle: bytes
    code: bytes
    rotation: bytes

    def __repr__(self) -> str:
        return "FlowKeys(…)"


class Ask(Struct, frozen=True, kw_only=True):
    """What a dialect has read from a request: a handle, what the client says, and where the flow must stand for it."""

    client: str
    events: tuple[Event, ...]
    """Said in one breath: each further one counts only where the reply to the one before makes it lawful."""
    handle: str | None = None
    admits: Callable[[Flow], bool] | None = None
    """The dialect's own table of which call fits where (FLOW-03)."""


class Answer(Struct, frozen=True, kw_only=True):
    """What a dialect writes."""

    reply: Reply
    now: datetime | None = None
    handle: str | None = None
    tokens: Tokens | None = None
    is_veiled: bool = False
    """Nothing is proven yet, and whether there is an account is not to be seen."""


class Conductor:
    """Everything that one tenant needs to answer native requests."""

    def __init__(
        self,
        *,
        store: Store,
        directory: Callable[[], Directory],
        hashing: Hashing,
        issuer: Issuer,
        keys: FlowKeys,
        site: str,
        on_deliver: Callable[[], None],
        extensions: Extensions,
        leaks: Leaks | None = None,
        risk_source: RiskSource | None = None,
        telephony_risk: TelephonyRisk | None = None,
    ) -> None:
        """`site` is the server's public address: what passkeys are for, unless the tenant names a domain."""
        self.directory = directory
        """The directory as last committed, for reading a request; a step is judged on the one it loads itself."""
        self._store = store
        self._hashing = hashing
        self._issuer = issuer
        self._keys = keys
        self._site = site
        self._on_deliver = on_deliver
        self._extensions = extensions
        self._leaks = leaks
        self._risk_source = risk_source
        self._telephony_risk = telephony_risk
        self._steady = Steady()

    async def __call__(self, ask: Ask, signals: Signals) -> Answer:
        """
        The answer to one request; on a beat, where the time it takes could tell whether there is an account.

        Raises: `StoreUnavailable`; nothing has changed then, and the request may be repeated as it is.
        """
        began = time.monotonic()
        answer = await self._answer(ask, signals)
        if answer.is_veiled:
            await self._steady.since(began)
        return answer

    async def _answer(self, ask: Ask, signals: Signals) -> Answer:
        if self._hashing.is_full and _wants_hashing(ask.events):
            return Answer(reply=Refused(reason=Reason.OVERLOADED))
        handle = read_bookmark(ask.handle, self._keys.handle) if ask.handle is not None else None
        hashed = await self._hash_new_password(ask, handle)
        outside = await self._outside_risk(ask, handle, signals)
        if _shows_passkey(ask.events):
            await asyncio.to_thread(passkey.load)
        checked: Checked | None = None
        cleared: Cleared | None = None
        heard: tuple[tuple[Question, Heard], ...] = ()
        given_up = Reason.WRONG_PASSWORD
        for _ in range(MAX_CHECKS + MAX_CALLS):
            step = _Step(ask, signals, handle, self._keys, Entropy(os.urandom(32)), hashed, checked, outside)
            step.asks_before_texts, step.cleared = self._telephony_risk is not None, cleared
            step.heard, step.site = heard, self._site
            answer = await self._store.run(step.needs(), step.decide)
            for alarm in step.alarms:
                log.error(alarm.action, extra=dict(alarm.detail))
                metrics.ALARMS.labels(alarm.action).inc()
            for taken in step.taken:
                metrics.STEPS.labels(*taken).inc()
            if step.delivers:
                self._on_deliver()
            if isinstance(answer.reply, NeedCheck):
                checked = await self._check(answer.reply)
                continue
            if isinstance(answer.reply, NeedClearance) and self._telephony_risk is not None:
                cleared = await self._telephony_risk.ask(answer.reply, ask.client, signals)
                given_up = Reason.NUMBER_BLOCKED
                continue
            if isinstance(answer.reply, NeedCall):
                question = answer.reply.question
                heard = (*heard, (question, await self._extensions.ask(question, signals)))
                given_up = Reason.EXTENSION_FAILED
                continue
            if isinstance(answer.reply, NeedLift):
                given_up = Reason.WRONG_PASSKEY
                continue
            if isinstance(answer.reply, Ready) and answer.now is not None:
                return replace(answer, tokens=self._issuer.mint(answer.reply, answer.now))
            return answer
        return Answer(reply=Refused(reason=given_up))

    async def _check(self, need: NeedCheck) -> Checked:
        """Compare a password; if it is right, see whether others may know it, too (THR-06)."""
        checked = await self._hashing.check(need)
        if self._leaks is None or not checked.right:
            return checked
        return replace(checked, leaked=await self._leaks.knows(need.text))

    async def _outside_risk(
        self, ask: Ask, handle: tuple[bytes, int] | None, signals: Signals
    ) -> Risk | None:
        """What the outside service says, where one is asked; nothing is decided without waiting for its deadline."""
        tenant = self.directory().tenant
        if self._risk_source is None or not tenant.assess_risk:
            return None
        if not any(isinstance(event, Prove | Resume | Renew) for event in ask.events):
            return None
        grants_named = [grants.read(e.token.text) for e in ask.events if isinstance(e, Renew)]
        grant = next((g[0] for g in grants_named if g is not None), None)
        loaded = await self._store.read(Needs(flow=handle[0] if handle else None, grant=grant))
        return await self._risk_source.ask(loaded.subject.id if loaded.subject else None, ask.client, signals)

    async def _hash_new_password(self, ask: Ask, handle: tuple[bytes, int] | None) -> Hashed | None:
        """Judge and hash a new password, where the request brings one that could count."""
        directory = self.directory()
        client = directory.clients.get(ask.client)
        for event in ask.events:
            if isinstance(event, Identify) and event.password is not None:
                if client is None or directory.user_flow(client).first_factor is not Kind.PASSWORD:
                    return None
                words = (event.identifier.value, *map(str, event.attributes.values()))
                return await self._hash_new(event.password, words)
            if isinstance(event, SetPassword) and handle is not None:
                loaded = await self._store.read(Needs(flow=handle[0]))
                flow = loaded.flow
                if (
                    flow is None
                    or flow.client != ask.client
                    or not isinstance(flow.stage, AwaitingNewPassword)
                ):
                    return None
                held = loaded.authenticators if flow.subject is not None else ()
                earlier = tuple(
                    m for a in held if a.kind is Kind.PASSWORD for m in (a.material, *a.previous) if m
                )
                words = _own_words(flow, loaded.subject if flow.subject is not None else None)
                return await self._hash_new(event.password, words, earlier)
        return None

    async def _hash_new(
        self, new: Secret, words: tuple[str, ...], earlier: tuple[Secret, ...] = ()
    ) -> Hashed:
        return await judged(self._hashing, self._leaks, new, words, self.directory().tenant, earlier)


class _Step:
    """One step as the store runs it: what to load, and what to make of it. May be decided more than once."""

    def __init__(
        self,
        ask: Ask,
        signals: Signals,
        handle: tuple[bytes, int] | None,
        keys: FlowKeys,
        entropy: Entropy,
        hashed: Hashed | None,
        checked: Checked | None,
        outside: Risk | None,
    ) -> None:
        self._ask = ask
        self._signals = signals
        self._handle = handle
        self._keys = keys
        self._entropy = entropy
        self._hashed = hashed
        self._checked = checked
        self._outside = outside
        self.site = ""
        self.asks_before_texts = False
        self.cleared: Cleared | None = None
        """What was said before a text message is sent, where somebody is asked."""
        self.heard: tuple[tuple[Question, Heard], ...] = ()
        """What extensions have answered."""
        self.delivers = False
        self.alarms: list[Record] = []
        """What an operator must see; told when it is committed."""
        self.taken: list[tuple[str, str]] = []
        """Each event, and what it was answered."""

    def needs(self) -> Needs:
        """What to load: the flow that the handle names, the person that is named, the grant that is redeemed."""
        identifier = grant = None
        for event in self._ask.events:
            if isinstance(event, Identify):
                identifier = event.identifier.key
            elif isinstance(event, Renew) and (read := grants.read(event.token.text)) is not None:
                grant = read[0]
        flow = self._handle[0] if self._handle else None
        reserve = _shows_passkey(self._ask.events)
        return Needs(flow=flow, identifier=identifier, grant=grant, reserve=reserve, buckets=self._buckets)

    def _buckets(self, loaded: Loaded) -> Iterable[str]:
        begun = next((event.purpose for event in self._ask.events if isinstance(event, Begin)), None)
        for event in self._ask.events:
            yield from limits(event, begun, loaded, self._signals, self._keys.code)

    def decide(self, loaded: Loaded) -> tuple[Change, Answer]:
        """Advance by each event in turn; all that follows from them is one change."""
        loaded, brought = account.settled(loaded, self._entropy)
        facts = self._facts(loaded)
        found = flow = self._admitted(loaded)
        effects: list[Effect] = [*brought]
        reply: Reply = Refused(reason=Reason.INVALID_HANDLE)
        self.taken = []
        for position, event in enumerate(self._ask.events):
            if position > 0 and not _goes_on(flow, event, reply):
                break
            step = advance(flow, event, facts)
            reply = step.reply
            self.taken.append((type(event).__name__, type(reply).__name__))
            effects += step.effects
            flow = step.flow or flow
        self.delivers, self.alarms = False, []
        if isinstance(reply, NeedClearance | NeedCall):
            return Change(), Answer(reply=reply)  # A mere question: with its answer all is decided anew.
        if isinstance(reply, NeedLift):
            lift = account.lifted(
                loaded,
                reply.shown,
                self._entropy,
                client=self._ask.client,
                correlation_id=flow.correlation_id if flow is not None else "",
            )
            self.delivers = any(isinstance(e, Deliver | Emit) for e in lift.effects)
            return Change(effects=(*brought, *lift.effects)), Answer(reply=reply)
        lives = flow is not None and not isinstance(flow.stage, Closed)
        comes_to_nothing = found is None and (not lives or isinstance(reply, Refused))
        kept = None if flow is found or comes_to_nothing else flow
        effects += signals.of_step(effects, loaded, self._entropy)
        self.delivers = any(isinstance(e, Deliver | Emit) for e in effects)
        self.alarms = [e for e in effects if isinstance(e, Record) and e.action in ALARMS]
        handle = None
        if flow is not None and lives and not isinstance(reply, Refused | Web | Ready | NeedCheck):
            handle = bookmark(flow.id, flow.phase, self._entropy.take("handle", 7), self._keys.handle)
        answer = Answer(reply=reply, now=loaded.now, handle=handle, is_veiled=self._is_veiled(flow, facts))
        return Change(flow=kept, effects=tuple(effects)), answer

    def _admitted(self, loaded: Loaded) -> Flow | None:
        """
        The flow, if the handle is of its present phase, newer flows have not displaced it (FLOW-18), and the dialect
        allows this call where it stands.
        """
        flow = loaded.flow
        if flow is None or self._handle is None or flow.phase != self._handle[1]:
            return None
        if seats.is_lost(flow, loaded.histories):
            return None
        return flow if self._ask.admits is None or self._ask.admits(flow) else None

    def _risk(self, loaded: Loaded) -> Risk:
        """How risky the request looks. Where nobody is to look, that is not known."""
        if not loaded.directory.tenant.assess_risk:
            return score.UNKNOWN
        footprint = loaded.footprint if loaded.subject is not None else None
        signals = self._signals
        return score.assess(footprint, sighting(signals), signals.listed, self._outside, loaded.now)

    def _is_veiled(self, flow: Flow | None, facts: Facts) -> bool:
        """An account could show: in a flow that hides it, or one that would and was refused at its first step."""
        if flow is None or flow.evidence:
            return False
        names_somebody = any(isinstance(event, Identify) for event in self._ask.events)
        return flow.hides or (names_somebody and strangers.hides(flow.purpose, facts))

    def _facts(self, loaded: Loaded) -> Facts:
        return Facts(
            now=loaded.now,
            directory=loaded.directory,
            client=loaded.directory.clients.get(self._ask.client),
            subject=loaded.subject,
            authenticators=loaded.authenticators,
            groups=loaded.groups,
            grant=loaded.grant,
            footprint=loaded.footprint,
            emergency=loaded.emergency,
            held=loaded.held,
            histories=loaded.histories,
            signals=self._signals,
            risk=self._risk(loaded),
            entropy=self._entropy,
            code_key=self._keys.code,
            rotation_key=self._keys.rotation,
            site=self.site,
            handle=loaded.reserve.handle if loaded.reserve else b"",
            checked=self._checked,
            hashed=self._hashed,
            asks_before_texts=self.asks_before_texts,
            cleared=self.cleared,
            heard=self.heard,
        )


def _own_words(flow: Flow, subject: Subject | None) -> tuple[str, ...]:
    """The names of the person whom a flow is about: none of them is a password (PWD-04)."""
    named = ({flow.identifier} if flow.identifier else set()) | set(subject.identifiers if subject else ())
    attributes = flow.attributes | (subject.attributes if subject else {})
    return (*(identifier.value for identifier in named), *map(str, attributes.values()))


def _goes_on(flow: Flow | None, event: Event, reply: Reply) -> bool:
    """A further event counts where nothing was refused and the flow now waits for it."""
    return (
        flow is not None
        and not isinstance(reply, Refused | NeedCheck | NeedClearance | NeedCall | NeedLift)
        and type(event) in LAWFUL[type(flow.stage)]
    )


def _shows_passkey(events: tuple[Event, ...]) -> bool:
    return any(isinstance(event, Prove) and event.kind == "passkey" for event in events)


def _wants_hashing(events: tuple[Event, ...]) -> bool:
    return any(
        isinstance(e, SetPassword)
        or (isinstance(e, Prove) and e.kind == "password")
        or (isinstance(e, Identify) and e.password is not None)
        for e in events
    )
