"""
The emergency door: what somebody may do to an account who says that its device is lost, and how it is done.

Each act is one step of the protocol in the store's batch. What was asked is sealed and handed to whoever was asked, so
a question writes nothing; an answer is counted as a wrong one in a transaction of its own before it is compared, and
taken back if it was right. Whether there is an account shows neither in an answer nor in its time.
Knows no HTTP: a `Call` was vouched for before. Source: emergency-protocol 9; DT-02, DT-70, DT-74, DT-78, DT-79.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Protocol, TypeVar
from urllib.parse import urlencode

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from genkan import metrics
from genkan.engine import passkeys
from genkan.engine.alarms import ALARMS
from genkan.engine.budgets import sighting
from genkan.engine.emergency import account, asked, words
from genkan.engine.emergency.asked import Asked, Judged, Proof
from genkan.engine.emergency.case import LOCKED, Means, Refusal
from genkan.engine.emergency.evidence import Lost
from genkan.engine.emergency.protocol import FAILURES, HANDED_OVER, advance
from genkan.engine.messages import (
    Checked,
    Count,
    Deliver,
    Directory,
    Effect,
    Emit,
    Entropy,
    NeedCheck,
    Record,
    Signals,
)
from genkan.engine.transaction import Change, Loaded, Needs
from genkan.factors import passkey
from genkan.model import Authenticator, Channel, Identifier, Message, Secret
from genkan.risk import footprint
from genkan.service.hashing import Hashing
from genkan.service.ports import Store
from genkan.service.steady import Steady
from genkan.telemetry import log
from genkan.tokens import base64url

T = TypeVar("T")

PAGE = "/lost-device"
"""The page for somebody who has no app any more, below the tenant."""

_PAD = 2048
"""Bytes: what is sealed is filled up to so many, which the longest question fits, so that its length tells nothing."""

_PAD_LINK = 256
"""The same of a link, which goes to somebody whom it tells nothing."""

_PLACE = "emergency.asked"


class Seal(Protocol):
    """Keeps what was asked from being read or changed by whoever holds it."""

    def seal(self, place: str, row: str, clear: bytes) -> bytes: ...

    def open(self, place: str, row: str, sealed: bytes) -> bytes:
        """Raises: an exception of the store's where it does not open."""
        ...


class Call(Struct, frozen=True, kw_only=True):
    """Who is at the door."""

    key: str
    """The thumbprint of the claim key, which they have proven to hold."""
    client: str = ""
    """The app; empty: our own page."""
    replay: str = ""
    """What names the proof of possession among all, since it counts once; empty where there was none."""
    signals: Signals = Signals()
    correlation_id: str = ""


class Question(Struct, frozen=True, kw_only=True):
    """What is asked of somebody, and the token to answer it with."""

    token: str
    expires_in: timedelta
    means: Means | None = None
    length: int = 0
    """Of a code."""
    nonce: bytes = b""
    rp_id: str = ""
    credentials: tuple[bytes, ...] = ()


class DeviceSeen(Struct, frozen=True, kw_only=True):
    """A device that can be named as lost, as coarsely as it may be shown (7)."""

    id: str
    kind: str
    """`passkey`, `synced_passkey` or `security_key`."""
    used: str
    """`today`, `this_week`, `this_month`, `earlier` or `never`."""


Refused = words.Refused


class Door:
    """The emergency door of a tenant."""

    def __init__(
        self,
        *,
        store: Store,
        directory: Callable[[], Directory],
        hashing: Hashing,
        seal: Seal,
        code_key: bytes,
        paper_key: bytes,
        base_url: str,
        on_deliver: Callable[[], None],
    ) -> None:
        self._store = store
        self._directory = directory
        self._hashing = hashing
        self._seal = seal
        self._code_key = code_key
        self._paper_key = paper_key
        self._base_url = base_url
        self._on_deliver = on_deliver
        self._steady = Steady()

    @property
    def page(self) -> str:
        """Where the page is, for whoever has no app any more."""
        return f"{self._base_url}/{self._directory().tenant.name}{PAGE}"

    # Without a proof. -------------------------------------------------------------------------------

    async def report(self, call: Call, name: Identifier) -> None:
        """
        Tell the owner's clean channels that somebody says the device is lost (E1). Nothing else happens, and nobody
        hears whether anything did.

        Raises: `StoreUnavailable`.
        """
        began = time.monotonic()
        entropy = Entropy(os.urandom(32))

        def buckets(_: Loaded) -> Iterable[str]:
            return _named_buckets(name, call.signals)

        def decide(loaded: Loaded) -> tuple[Change, None]:
            named = asked.newly_named(name, call.signals, loaded)
            if named is None:
                return Change(), None
            step = advance(loaded.emergency, words.Report(), account.facts(loaded, entropy))
            return self.written(step, loaded, call, entropy, named), None

        await self.run(Needs(identifier=name.key, whole=True, reserve=True, buckets=buckets), decide)
        await self._steady.since(began)

    def start(self, call: Call, name: Identifier, now: datetime) -> Question:
        """Say whom it is about. Reads and writes nothing: a token for the next call is all that comes of it."""
        about = replace(_about(call, now), name=name)
        return Question(token=self.sealed(about), expires_in=asked.LIFETIME)

    async def challenge(self, call: Call, token: str, means: Means, now: datetime) -> Question | Refused:
        """
        Ask for a proof: send a code to a mailbox or number of the account, or put a question to a passkey.

        The same comes back for accounts that do not exist or have no such thing, and nothing is sent then.
        Refuses: `EXPIRED`, `CLAIM_KEY_MISMATCH`, `SLOW_DOWN`, `INVALID_REQUEST`. Raises: `StoreUnavailable`.
        """
        about = self.opened(token, "proof", call, now)
        if isinstance(about, Refused):
            return about
        return await self._ask(call, about, means)

    async def begin(self, call: Call, case: str, means: Means, now: datetime) -> Question | Refused:
        """
        Ask for an item of evidence in an open case. The token is the item's id.

        Whether there is such a case is not to be seen here.
        Refuses and raises: as `challenge`.
        """
        return await self._ask(call, replace(_about(call, now), case=case), means)

    # With a proof. ----------------------------------------------------------------------------------

    async def contain(
        self, call: Call, token: str, proof: Proof | None, lost: Lost, *, quiet: bool, now: datetime
    ) -> words.Reply:
        """
        Hold the account (E2, E3), or join whoever holds it (E22). `proof` None: the token is the link of a notice.

        Refuses: `INVALID_CODE` or `INVALID_ASSERTION` whatever is wrong, and as `words.Refused` says only to whoever
        was right. Raises: `StoreUnavailable`.
        """
        return await self._prove(
            call,
            token,
            proof,
            now,
            lambda judged: words.Contain(key=call.key, shown=judged.shown, lost=lost, quiet=quiet),
        )

    async def add(self, call: Call, token: str, proof: Proof, now: datetime) -> words.Reply:
        """Add an item of evidence to one's claim. Refuses and raises: as `contain`."""
        return await self._prove(
            call, token, proof, now, lambda judged: words.Show(key=call.key, shown=judged.shown)
        )

    async def complete(self, call: Call, token: str, proof: Proof, now: datetime) -> words.Reply:
        """Complete a recovery that has waited, showing its strongest item again (E14). As `contain`."""
        return await self._prove(
            call, token, proof, now, lambda judged: words.Complete(key=call.key, shown=judged.shown)
        )

    async def object(self, call: Call, token: str, proof: Proof | None, now: datetime) -> words.Reply:
        """Object to a recovery with little in hand (E10). As `contain`."""
        return await self._prove(
            call, token, proof, now, lambda judged: words.Object(key=call.key, shown=judged.shown)
        )

    async def undo(self, call: Call, token: str, proof: Proof, now: datetime) -> words.Reply:
        """Take a recovery back (E20). As `contain`."""
        return await self._prove(
            call, token, proof, now, lambda judged: words.Undo(key=call.key, shown=(judged.shown,))
        )

    # In one's own case. -----------------------------------------------------------------------------

    async def say(self, call: Call, case: str, event: words.Event) -> words.Reply:
        """
        Say something in a case that the caller has a claim in: look, extend, lift, withdraw, recover, contest.

        Refuses: `UNKNOWN_CASE` as well where there is no such case. Raises: `StoreUnavailable`.
        """
        entropy = Entropy(os.urandom(32))

        def buckets(_: Loaded) -> Iterable[str]:
            return (asked.replayed(call.replay),) if call.replay else ()

        def decide(loaded: Loaded) -> tuple[Change, words.Reply]:
            seen = once(call, loaded)
            if seen is None:
                return Change(), Refused(Refusal.CLAIM_KEY_MISMATCH, "replayed")
            if loaded.subject is None:
                return Change(effects=seen), Refused(Refusal.UNKNOWN_CASE, "no such case")
            facts = self._facts(loaded, entropy, call)
            step = advance(loaded.emergency, event, facts)
            return self.written(step, loaded, call, entropy, seen), step.reply

        return await self.run(Needs(case=case, whole=True, reserve=True, buckets=buckets), decide)

    async def find(self, call: Call, name: Identifier) -> str | Refused:
        """
        The open case of whoever is named, for somebody who comes back with the claim key and nothing else.

        Refuses: `UNKNOWN_CASE` whatever there is not. Raises: `StoreUnavailable`.
        """
        began = time.monotonic()
        loaded = await self._store.read(Needs(identifier=name.key, whole=True))
        case = loaded.emergency.case
        await self._steady.since(began)
        if loaded.subject is None or case is None or case.claim(call.key) is None:
            return Refused(Refusal.UNKNOWN_CASE)
        return case.id

    async def devices(self, call: Call, case: str) -> tuple[DeviceSeen, ...] | Refused:
        """
        What can be named as lost, to whoever has proven something in this case.

        Refuses: `UNKNOWN_CASE`. Raises: `StoreUnavailable`.
        """
        loaded = await self._store.read(Needs(case=case, whole=True))
        open_case = loaded.emergency.case
        if loaded.subject is None or open_case is None or open_case.claim(call.key) is None:
            return Refused(Refusal.UNKNOWN_CASE)
        return tuple(
            DeviceSeen(
                id=a.id,
                kind="security_key"
                if a.passkey.roaming
                else "synced_passkey"
                if a.passkey.synced
                else "passkey",
                used=_how_long(a.last_used_at, loaded.now),
            )
            for a in loaded.held
            if a.passkey is not None and a.removed_at is None
        )

    async def handed_over(self, messages: Iterable[Message]) -> None:
        """
        Let the delay of a recovery begin, since a notice of it has left for somewhere safe (E9).

        A crash before it only means that the delay begins a day later, as where no notice could be sent.
        """
        for message in messages:
            case, _, method = message.values.get(HANDED_OVER, "").partition("/")
            if case:
                await self._begin_clock(case, method)

    async def _begin_clock(self, case: str, method: str) -> None:
        entropy = Entropy(os.urandom(32))

        def decide(loaded: Loaded) -> tuple[Change, None]:
            event = words.HandedOver(method)
            step = advance(loaded.emergency, event, account.facts(loaded, entropy))
            return account.change(step, loaded), None

        await self.run(Needs(case=case, whole=True, reserve=True), decide)

    # How it is done. --------------------------------------------------------------------------------

    async def _ask(self, call: Call, about: Asked, means: Means) -> Question | Refused:
        if means not in asked.OFFERED:
            return Refused(Refusal.INVALID_REQUEST, "no such means here")
        began = time.monotonic()
        entropy = Entropy(os.urandom(32))

        def buckets(loaded: Loaded) -> Iterable[str]:
            yield asked.sends(about, means, loaded)
            if call.replay:
                yield asked.replayed(call.replay)
            if about.name is not None:
                yield from _named_buckets(about.name, call.signals)
            if loaded.subject is not None:
                yield asked.sent(loaded.subject.id, means)

        def decide(loaded: Loaded) -> tuple[Change, Question | Refused]:
            seen = once(call, loaded)
            if seen is None:
                return Change(), Refused(Refusal.CLAIM_KEY_MISMATCH, "replayed")
            named = asked.newly_named(about.name, call.signals, loaded) if about.name else ()
            if named is None:
                return Change(effects=seen), Refused(Refusal.SLOW_DOWN, "too many names")
            question = replace(about, means=means, epoch=loaded.subject.epoch if loaded.subject else 0)
            if means is Means.PASSKEY:
                nonce = entropy.take("emergency/nonce", passkey.CHALLENGE_BYTES)
                question = replace(question, nonce=nonce)
                return Change(effects=(*seen, *named)), self._question(question, loaded)
            if means not in asked.SENT_TO:
                return Change(effects=(*seen, *named)), self._question(question, loaded)
            sending = asked.counted(asked.sends(about, means, loaded), asked.SENDS, loaded)
            if sending is None:
                return Change(effects=seen), Refused(Refusal.SLOW_DOWN, "too many codes")
            question, sent = self._send(question, means, loaded, entropy, call)
            return Change(effects=(*seen, *named, sending, *sent)), self._question(question, loaded)

        answer = await self.run(_needs(about, buckets), decide)
        await self._steady.since(began)
        return answer

    def _send(
        self, question: Asked, means: Means, loaded: Loaded, entropy: Entropy, call: Call
    ) -> tuple[Asked, tuple[Effect, ...]]:
        """The question with a code of its own, and the message, if there is anywhere to send it."""
        subject, tenant = loaded.subject, loaded.directory.tenant
        facts = account.facts(loaded, entropy)
        case = loaded.emergency.case
        method = asked.reached(means, facts.methods, case.quarantined if case else frozenset())
        to = method.address if method else None
        challenge, text = asked.code(means, to, tenant.code_length, entropy, self._code_key, loaded.now)
        question = replace(question, challenge=challenge, method=method.id if method else "")
        if subject is None or method is None or method.address is None:
            return question, ()
        limit = asked.TEXTED if means is Means.SMS else asked.SENT
        count = asked.counted(asked.sent(subject.id, means), limit, loaded)
        if count is None or (means is Means.SMS and method.address.key.startswith(tenant.blocked_numbers)):
            return question, ()
        spoken = subject.attributes.get("preferredLanguage")
        message = Message(
            id=challenge.id,
            channel=Channel.SMS if means is Means.SMS else Channel.EMAIL,
            to=method.address.value,
            purpose="emergency",
            code=text,
            values={"app": self.app(call)},
            language=spoken if isinstance(spoken, str) else "",
            correlation_id=call.correlation_id,
            created_at=loaded.now,
            expires_at=challenge.expires_at,
        )
        return question, (count, Deliver(message))

    def _question(self, question: Asked, loaded: Loaded) -> Question:
        return Question(
            token=self.sealed(question),
            expires_in=asked.LIFETIME,
            means=question.means,
            length=question.challenge.length if question.challenge else 0,
            nonce=question.nonce,
            rp_id=self.rp_id(loaded),
            credentials=self._credentials(question, loaded) if question.means is Means.PASSKEY else (),
        )

    def _credentials(self, question: Asked, loaded: Loaded) -> tuple[bytes, ...]:
        held = loaded.held if loaded.subject is not None else ()
        name = question.name.place if question.name else question.case
        return passkeys.ids(loaded.subject, held, name, self.rp_id(loaded), self._code_key)

    async def _prove(
        self,
        call: Call,
        token: str,
        proof: Proof | None,
        now: datetime,
        event: Callable[[Judged], words.Event],
    ) -> words.Reply:
        """Count, compare, and let the protocol judge: three steps, of which the last is one change."""
        began = time.monotonic()
        about = self.opened(token, "link" if proof is None else "proof", call, now)
        if isinstance(about, Refused):
            return about
        if proof is not None and proof.means is Means.PASSKEY:
            await asyncio.to_thread(passkey.load)
        reply = await self._judged(call, about, proof, event)
        if isinstance(reply, Refused):
            await self._steady.since(began)
        return reply

    async def _judged(
        self, call: Call, about: Asked, proof: Proof | None, event: Callable[[Judged], words.Event]
    ) -> words.Reply:
        entropy = Entropy(os.urandom(32))
        is_sure = proof is None or proof.means is Means.PASSKEY
        """Nobody guesses a signature or a link, so neither is counted: else strangers could shut the owner out."""
        if proof is not None and proof.means is Means.PASSWORD and self._hashing.is_full:
            return Refused(Refusal.SLOW_DOWN, "too many passwords wait")

        def buckets(loaded: Loaded) -> Iterable[str]:
            yield asked.failures(asked.owner(about, loaded))
            yield asked.used(about)
            yield asked.WEAK_HOLDS
            if call.replay:
                yield asked.replayed(call.replay)
            if about.name is not None:
                yield from _named_buckets(about.name, call.signals)

        def spend(loaded: Loaded) -> tuple[Change, tuple[int, Authenticator | None] | Refused]:
            seen = once(call, loaded)
            if seen is None:
                return Change(), Refused(Refusal.CLAIM_KEY_MISMATCH, "replayed")
            named = asked.newly_named(about.name, call.signals, loaded) if about.name else ()
            count = asked.spend_failure(about, loaded)
            if named is None or (count is None and not is_sure):
                return Change(effects=seen), Refused(Refusal.SLOW_DOWN, "too many wrong proofs")
            own = asked.password(loaded)
            if is_sure or count is None:
                return Change(effects=(*seen, *named)), (0, own)
            return Change(effects=(*seen, *named, count)), (count.history[-1], own)

        needs = _needs(about, buckets)
        spent = await self.run(needs, spend)
        if isinstance(spent, Refused):
            return spent
        at, own_password = spent
        checked: Checked | None = None
        if proof is not None and proof.means is Means.PASSWORD:
            beside = self._directory().tenant.foreign_hashes
            checked = await self._hashing.check(
                NeedCheck(authenticator=own_password, text=proof.text, spent=(), beside=beside)
            )

        def decide(loaded: Loaded) -> tuple[Change, words.Reply]:
            bucket = asked.failures(asked.owner(about, loaded))
            failures = () if is_sure else asked.refunded(loaded, bucket, at)
            judged = self._compared(call, about, proof, loaded, failures, checked)
            back = asked.count(bucket, failures, FAILURES)
            is_over = bool(loaded.histories.get(asked.used(about))) or (
                about.means is not None and about.epoch != (loaded.subject.epoch if loaded.subject else 0)
            )
            if judged.shown.right and is_over:
                return Change(effects=() if is_sure else (back,)), Refused(
                    Refusal.EXPIRED, "answered, or of an earlier epoch"
                )
            facts = replace(
                self._facts(loaded, entropy, call),
                failures=failures,
                breaker_open=asked.is_flooded(loaded),
            )
            step = advance(loaded.emergency, event(judged), facts)
            further: list[Effect] = []
            if judged.shown.right and not _is_beside(step.reply):
                further.append(back)
            if judged.shown.right and not isinstance(step.reply, Refused):
                used = asked.counted(asked.used(about), asked.ONCE, loaded)
                further += (used,) if used else ()
            if loaded.emergency.state not in LOCKED and step.emergency.state == "contained":
                held = asked.counted(asked.WEAK_HOLDS, asked.HELD, loaded)
                further += (held,) if held else ()
            change = self.written(step, loaded, call, entropy, further, judged.used)
            if is_sure:
                kept = (e for e in change.effects if not (isinstance(e, Count) and e.bucket == bucket))
                change = replace(change, effects=tuple(kept))
            return change, self._ticketed(step.reply, loaded, call, about)

        return await self.run(needs, decide)

    def _compared(
        self,
        call: Call,
        about: Asked,
        proof: Proof | None,
        loaded: Loaded,
        failures: tuple[int, ...],
        checked: Checked | None,
    ) -> Judged:
        if proof is None:
            return asked.followed(about, loaded, call.key)
        case = loaded.emergency.case
        claim = case.claim(call.key) if case else None
        return asked.judged(
            about,
            proof,
            loaded,
            key=call.key,
            code_key=self._code_key,
            paper_key=self._paper_key,
            failures=failures,
            origin=self.origin(proof, call, loaded),
            checked=checked,
            spent=(item.method for item in claim.items) if claim else (),
        )

    def _facts(self, loaded: Loaded, entropy: Entropy, call: Call) -> words.Facts:
        seen = sighting(call.signals)
        is_new = bool(loaded.footprint.networks and call.signals.address) and not footprint.knows_network(
            loaded.footprint, seen, loaded.now
        )
        return replace(account.facts(loaded, entropy), new_place=is_new)

    def written(
        self,
        step: words.Step,
        loaded: Loaded,
        call: Call,
        entropy: Entropy,
        further: Iterable[Effect] = (),
        used: Authenticator | None = None,
    ) -> Change:
        """The change that a step of the protocol comes to, with the link that a report's notice bears."""
        change = account.change(
            step,
            loaded,
            client=call.client or None,
            correlation_id=call.correlation_id,
            app=self.app(call),
            used=used,
        )
        effects = (self._linked(effect, loaded, entropy) for effect in change.effects)
        return Change(effects=(*further, *effects))

    def _ticketed(self, reply: words.Reply, loaded: Loaded, call: Call, about: Asked) -> words.Reply:
        """A recovery's ticket, as it leaves: it says whose it is, and is of use to the claim's key alone."""
        if not isinstance(reply, words.Restoration) or loaded.subject is None:
            return reply
        ticket = Asked(
            id=about.id,
            use="ticket",
            expires_at=loaded.now + reply.expires_in,
            key=call.key,
            client=call.client,
            subject=loaded.subject.id,
            nonce=reply.ticket.text.encode(),
        )
        return replace(reply, ticket=Secret(self.sealed(ticket)))

    def _linked(self, effect: Effect, loaded: Loaded, entropy: Entropy) -> Effect:
        """A notice that somebody reported a loss lets its reader hold the account at once (E1)."""
        if not isinstance(effect, Deliver) or effect.message.template != "emergency_report":
            return effect
        message, subject = effect.message, loaded.subject
        if subject is None or message.channel is not Channel.EMAIL:
            return effect
        methods = account.methods(subject, loaded.held)
        method = next((m.id for m in methods if m.address and m.address.value == message.to), "")
        link = Asked(
            id=entropy.take(f"emergency/link/{method}", 16).hex(),
            use="link",
            expires_at=loaded.now + asked.LINK_LIFETIME,
            subject=subject.id,
            means=Means.EMAIL,
            method=method,
            epoch=subject.epoch,
        )
        url = f"{self.page}?{urlencode({'link': self.sealed(link)})}"
        return Deliver(replace(message, values={**message.values, "link": url}))

    def origin(self, proof: Proof, call: Call, loaded: Loaded) -> str:
        """The origin a passkey was used at, if it is our own, one of the app's or one the tenant names; else empty."""
        if proof.credential is None:
            return ""
        client = loaded.directory.clients.get(call.client)
        return passkeys.origin(proof.credential, client, loaded.directory.tenant, self._base_url)

    def rp_id(self, loaded: Loaded) -> str:
        return passkeys.rp_id(loaded.directory.tenant, self._base_url)

    def app(self, call: Call) -> str:
        """What messages call us: the app, or the tenant where somebody is at our own page."""
        directory = self._directory()
        client = directory.clients.get(call.client)
        return client.name if client else directory.tenant.brand.name or directory.tenant.name

    async def read(self, needs: Needs) -> Loaded:
        """One consistent read, for what must be known before a slow wait."""
        return await self._store.read(needs)

    async def run(self, needs: Needs, decide: Callable[[Loaded], tuple[Change, T]]) -> T:
        """One step in the store's batch; whoever sends is woken after it, and the operator is told of alarms."""
        effects: tuple[Effect, ...] = ()

        def step(loaded: Loaded) -> tuple[Change, T]:
            nonlocal effects
            change, answer = decide(loaded)
            effects = change.effects
            return change, answer

        answer = await self._store.run(needs, step)
        if any(isinstance(effect, Deliver | Emit) for effect in effects):
            self._on_deliver()
        for effect in effects:
            if isinstance(effect, Record) and effect.action in ALARMS:
                log.error(effect.action, extra={"subject": effect.subject or ""})
                metrics.ALARMS.labels(effect.action).inc()
        return answer

    # What was asked, sealed. ------------------------------------------------------------------------

    def sealed(self, question: Asked) -> str:
        clear = msgspec.json.encode(question)
        clear += b" " * (-len(clear) % (_PAD_LINK if question.use == "link" else _PAD))
        return base64url.encode(self._seal.seal(_PLACE, "", clear))

    def opened(self, token: str, use: asked.Use, call: Call, now: datetime) -> Asked | Refused:
        """What was asked of this caller, if it still stands and was for this. Says nothing of any account."""
        raw = base64url.decode(token)
        if raw is None:
            return Refused(Refusal.EXPIRED, "no token of ours")
        try:
            question = msgspec.json.decode(self._seal.open(_PLACE, "", raw), type=Asked)
        except Exception:  # noqa: BLE001 - whatever does not open is no token of ours
            return Refused(Refusal.EXPIRED, "no token of ours")
        if question.use != use:
            return Refused(Refusal.EXPIRED, "a token for something else")
        if now >= question.expires_at:
            return Refused(Refusal.EXPIRED, "too old")
        if question.key and question.key != call.key:
            return Refused(Refusal.CLAIM_KEY_MISMATCH, "asked under another claim key")
        if use != "link" and question.client != call.client:
            return Refused(Refusal.EXPIRED, "asked of another app")
        return question


def _about(call: Call, now: datetime) -> Asked:
    """A question of this caller's, of which nothing is said yet but who asks."""
    return Asked(id=os.urandom(16).hex(), expires_at=now + asked.LIFETIME, key=call.key, client=call.client)


def _needs(about: Asked, buckets: Callable[[Loaded], Iterable[str]]) -> Needs:
    if about.name is not None:
        return Needs(identifier=about.name.key, whole=True, reserve=True, buckets=buckets)
    if about.case:
        return Needs(case=about.case, whole=True, reserve=True, buckets=buckets)
    return Needs(subject=about.subject, whole=True, reserve=True, buckets=buckets)


def _named_buckets(name: Identifier, signals: Signals) -> tuple[str, ...]:
    return (asked.names(signals), asked.name_asked(name, signals)) if signals.address else ()


def _is_beside(reply: words.Reply) -> bool:
    """Refused before the proof said anything: right or wrong, it is answered and counted alike."""
    return isinstance(reply, Refused) and reply.refusal in _BESIDE


_BESIDE = frozenset(
    {
        Refusal.UNKNOWN_CASE,
        Refusal.STATE_CHANGED,
        Refusal.PENDING,
        Refusal.INVALID_REQUEST,
        Refusal.CLAIM_KEY_MISMATCH,
        Refusal.CONTESTED,
        Refusal.SLOW_DOWN,
    }
)


def once(call: Call, loaded: Loaded) -> tuple[Count, ...] | None:
    """The effect by which a proof of possession counts once; None: it was seen before."""
    if not call.replay:
        return ()
    count = asked.counted(asked.replayed(call.replay), asked.PROOF, loaded)
    return None if count is None else (count,)


def _how_long(used_at: datetime | None, now: datetime) -> str:
    if used_at is None:
        return "never"
    ago = now - used_at
    spans = ((1, "today"), (7, "this_week"), (31, "this_month"))
    return next((word for days, word in spans if ago < timedelta(days=days)), "earlier")
