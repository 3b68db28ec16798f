"""
Register new ways to sign in with the ticket of a recovery, which is redeemed once, for a quarter of an hour.

Knows no HTTP. What may be registered and what follows is `engine.emergency.renewal`'s; here is the waiting: codes on
their way, passwords that are hashed. Source: emergency-protocol 9.2; DT-54, DT-55; PWD-04, PWD-08, WAN-01.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from genkan.engine import extensions, holders, steps
from genkan.engine.emergency import account, asked, renewal, words
from genkan.engine.emergency.asked import Asked
from genkan.engine.emergency.case import Means, Refusal
from genkan.engine.emergency.protocol import advance
from genkan.engine.messages import Count, Deliver, Effect, Entropy, PutReserve
from genkan.engine.passkeys import Making
from genkan.engine.transaction import Change, Conflict, Loaded, Needs
from genkan.factors import otp, passkey
from genkan.factors.interface import Right
from genkan.model import Channel, Identifier, Kind, Message, Reason, Reserve, Secret
from genkan.risk import rate
from genkan.service.emergency import Call, Door, Question, once
from genkan.service.hashing import Hashing, judged
from genkan.service.ports import Leaks

Refused = words.Refused

SENDS = rate.Limit("codes of a recovery", ((6, asked.LIFETIME),))
"""Codes that the ticket of one recovery can send to new addresses and numbers."""

TRIES = rate.Limit("wrong codes of a recovery", ((5, asked.LIFETIME),))
"""Wrong codes with the ticket of one recovery."""


class NotTaken(Struct, frozen=True):
    """A new password, address or number that will not do."""

    reason: Reason


class Restoring:
    """What a tenant's people do with the ticket of a recovery."""

    def __init__(self, *, door: Door, hashing: Hashing, leaks: Leaks | None, code_key: bytes) -> None:
        self._door = door
        self._hashing = hashing
        self._leaks = leaks
        self._code_key = code_key

    async def redeem(self, call: Call, ticket: str, now: datetime) -> Question | Refused:
        """
        Use the ticket up, for the right to register methods until its time is over.

        Refuses: `INVALID_GRANT`, `EXPIRED`, `CLAIM_KEY_MISMATCH`. Raises: `StoreUnavailable`.
        """
        about = self._door.opened(ticket, "ticket", call, now)
        if isinstance(about, Refused):
            return about
        entropy = Entropy(os.urandom(32))
        secret = Secret(about.nonce.decode())

        def decide(loaded: Loaded) -> tuple[Change, Question | Refused]:
            seen = once(call, loaded)
            if seen is None:
                return Change(), Refused(Refusal.CLAIM_KEY_MISMATCH, "replayed")
            step = advance(loaded.emergency, words.Redeem(secret), account.facts(loaded, entropy))
            change = self._door.written(step, loaded, call, entropy, seen)
            if loaded.subject is None or not isinstance(step.reply, words.Noted):
                return change, Refused(Refusal.INVALID_GRANT, "no such ticket")
            right = replace(about, use="renewal", nonce=b"", epoch=loaded.subject.epoch)
            return change, Question(token=self._door.sealed(right), expires_in=about.expires_at - loaded.now)

        return await self._door.run(self._needs(call, about), decide)

    async def begin(
        self, call: Call, token: str, means: Means, target: Identifier | None, now: datetime
    ) -> Question | tuple[str, Making] | NotTaken | Refused:
        """
        Ask for proof of a new address or number, or for a passkey to be made: then the token, and what is asked. A
        password needs no question.

        Refuses: as `redeem`, `INVALID_REQUEST`, `SLOW_DOWN`. Raises: `StoreUnavailable`.
        """
        about = self._door.opened(token, "renewal", call, now)
        if isinstance(about, Refused):
            return about
        entropy = Entropy(os.urandom(32))
        wants = {Means.EMAIL: "email", Means.SMS: "phone"}.get(means, "")
        if means not in renewal.KINDS or (target.kind if target else "") != wants:
            return Refused(Refusal.INVALID_REQUEST, "no such method, or no address of its kind")

        def decide(loaded: Loaded) -> tuple[Change, tuple[Asked, Making | None] | NotTaken | Refused]:
            seen = once(call, loaded)
            subject = loaded.subject
            if seen is None or subject is None or not renewal.is_open(loaded, about.epoch, entropy):
                return Change(), Refused(Refusal.INVALID_GRANT, "replayed, or not open any more")
            question = replace(about, means=means, id=entropy.guid("emergency/renewal"))
            if means is Means.PASSKEY:
                question = replace(question, nonce=entropy.take("emergency/nonce", passkey.CHALLENGE_BYTES))
                kept = loaded.reserve or Reserve(subject=subject.id)
                if not kept.handle:
                    kept = replace(kept, handle=entropy.take("handle", passkey.HANDLE_BYTES))
                making = self._making(question, loaded, kept.handle)
                return Change(effects=(*seen, PutReserve(kept))), (question, making)
            if target is None:
                return Change(effects=seen), (question, None)
            if self._is_closed(target, call, loaded) or self._held_by(target, call, loaded) is None:
                return Change(effects=seen), NotTaken(Reason.TARGET_REFUSED)
            count = asked.counted(self._sends(about), SENDS, loaded)
            if count is None:
                return Change(effects=seen), Refused(Refusal.SLOW_DOWN, "too many codes")
            challenge, text = asked.code(
                means, target, loaded.directory.tenant.code_length, entropy, self._code_key, loaded.now
            )
            message = Message(
                id=challenge.id,
                channel=Channel.SMS if means is Means.SMS else Channel.EMAIL,
                to=target.value,
                purpose="enrol",
                code=text,
                values={"app": self._door.app(call)},
                correlation_id=call.correlation_id,
                created_at=loaded.now,
                expires_at=challenge.expires_at,
            )
            return (
                Change(effects=(*seen, count, Deliver(message))),
                (replace(question, challenge=challenge), None),
            )

        answer = await self._door.run(self._needs(call, about, target), decide)
        if isinstance(answer, Refused | NotTaken):
            return answer
        question, making = answer
        if making is not None:
            return self._door.sealed(question), making
        return Question(
            token=self._door.sealed(question),
            expires_in=about.expires_at - now,
            means=means,
            length=question.challenge.length if question.challenge else 0,
        )

    async def finish(
        self, call: Call, token: str, proof: asked.Proof, name: str, now: datetime
    ) -> Means | NotTaken | Refused:
        """
        Register the new method that was proven, or the new password.

        Refuses: as `begin`, `INVALID_CODE`, `INVALID_ASSERTION`. Raises: `StoreUnavailable`.
        """
        about = self._door.opened(token, "renewal", call, now)
        if isinstance(about, Refused):
            return about
        if about.means is not proof.means:
            return Refused(Refusal.INVALID_REQUEST, "asked for something else")
        material: Secret | None = None
        if proof.means is Means.PASSWORD:
            hashed = await self._hashed(call, about, proof.text)
            if not isinstance(hashed, Secret):
                return hashed
            material = hashed
        if proof.means is Means.PASSKEY:
            await asyncio.to_thread(passkey.load)
        entropy = Entropy(os.urandom(32))

        def decide(loaded: Loaded) -> tuple[Change, Means | NotTaken | Refused]:
            seen = once(call, loaded)
            client = loaded.directory.clients.get(call.client)
            if seen is None or client is None or not renewal.is_open(loaded, about.epoch, entropy):
                return Change(), Refused(Refusal.INVALID_GRANT, "replayed, or not open any more")
            if loaded.histories.get(asked.used(about)):
                return Change(effects=seen), Refused(Refusal.EXPIRED, "answered before")
            tried = asked.counted(self._tries(about), TRIES, loaded)
            if tried is None:
                return Change(effects=seen), Refused(Refusal.SLOW_DOWN, "too many wrong codes")
            target = about.challenge.target if about.challenge else None
            made = None
            further: list[Effect] = [*seen]
            if target is not None and about.challenge is not None:
                answer = otp.verify(about.challenge, None, proof.text.text, loaded.now, self._code_key)
                held = self._held_by(target, call, loaded)
                if not isinstance(answer, Right):
                    return Change(effects=(*seen, tried)), Refused(Refusal.INVALID_CODE, "wrong")
                if held is None:
                    return Change(effects=seen), NotTaken(Reason.TARGET_REFUSED)
                further.append(held)
            elif proof.means is Means.PASSKEY:
                credential = proof.credential or {}
                made = passkey.made(
                    credential,
                    about.nonce,
                    self._door.rp_id(loaded),
                    self._door.origin(proof, call, loaded),
                    roaming=credential.get("authenticatorAttachment") == "cross-platform",
                )
                if made is None:
                    return Change(effects=(*seen, tried)), Refused(Refusal.INVALID_ASSERTION, "wrong")
            used = asked.counted(asked.used(about), asked.ONCE, loaded)
            effects = renewal.registered(
                loaded,
                proof.means,
                client,
                entropy,
                correlation_id=call.correlation_id,
                target=target,
                material=material,
                passkey=made,
                name=name,
            )
            return Change(effects=(*further, *((used,) if used else ()), *effects)), proof.means

        target = about.challenge.target if about.challenge else None
        try:
            return await self._door.run(self._needs(call, about, target), decide)
        except Conflict:  # Some account of the tenant has, or had, this credential.
            return NotTaken(Reason.TARGET_REFUSED)

    async def _hashed(self, call: Call, about: Asked, text: Secret) -> Secret | NotTaken | Refused:
        """The new password, hashed, if it is none of the earlier ones, of the leaked ones or of the easy ones."""
        loaded = await self._door.read(self._needs(call, about))
        if not renewal.is_open(loaded, about.epoch, Entropy(os.urandom(32))) or loaded.subject is None:
            return Refused(Refusal.INVALID_GRANT, "not open any more")
        subject = loaded.subject
        earlier = tuple(
            m for a in loaded.held if a.kind is Kind.PASSWORD for m in (a.material, *a.previous) if m
        )
        own = (*(i.value for i in subject.identifiers), *map(str, subject.attributes.values()))
        hashed = await judged(self._hashing, self._leaks, text, own, loaded.directory.tenant, earlier)
        return hashed.material or NotTaken(hashed.refused or Reason.PASSWORD_INVALID)

    def _making(self, question: Asked, loaded: Loaded, handle: bytes) -> Making:
        subject, tenant = loaded.subject, loaded.directory.tenant
        return Making(
            challenge=question.nonce,
            handle=handle,
            rp_id=self._door.rp_id(loaded),
            rp_name=tenant.brand.name or tenant.name,
            name=subject.email.value if subject and subject.email else "",
            credentials=tuple(a.passkey.credential for a in loaded.held if a.passkey is not None),
        )

    def _is_closed(self, target: Identifier, call: Call, loaded: Loaded) -> bool:
        """Nothing is sent to this number, whoever asks."""
        client = loaded.directory.clients.get(call.client)
        if target.kind != "phone" or client is None:
            return client is None
        blocked = target.key.startswith(loaded.directory.tenant.blocked_numbers)
        return blocked or not extensions.region_open(loaded.directory, client, target)

    def _held_by(self, target: Identifier, call: Call, loaded: Loaded) -> Count | None:
        """What is to be remembered of who has this place; None: too many have (ENR-10)."""
        client = loaded.directory.clients.get(call.client)
        return holders.after(target, steps.facts(loaded, Entropy(bytes(32)), client))

    @staticmethod
    def _sends(about: Asked) -> str:
        return f"emergency/renewal/sends/{about.subject}"

    @staticmethod
    def _tries(about: Asked) -> str:
        return f"emergency/renewal/tries/{about.subject}"

    def _needs(self, call: Call, about: Asked, target: Identifier | None = None) -> Needs:
        def buckets(_: Loaded) -> Iterable[str]:
            yield from (self._sends(about), self._tries(about), asked.used(about))
            if call.replay:
                yield asked.replayed(call.replay)
            if target is not None:
                yield rate.holders(target)

        return Needs(subject=about.subject, whole=True, reserve=True, buckets=buckets)
