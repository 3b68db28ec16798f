"""
Hear the security events of others: of configured transmitters alone, each once, and only ever to tighten (WHK-07).

A token is believed when its signature, issuer, audience, type and age are right. What it says may raise the risk of a
person and end their sessions; it never lowers and never wakes anything. Whether there is such a person is not told.
Knows no HTTP. Source: RFC 8417, RFC 8935; SSF 1.0, 4; emergency-protocol 11, E5.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final, Literal

import msgspec
from msgspec.structs import replace

from genkan.engine import signals
from genkan.engine.messages import (
    Count,
    Directory,
    Effect,
    Emit,
    PutSubject,
    Record,
    RevokeGrants,
)
from genkan.engine.transaction import Change, Loaded, Needs
from genkan.model import Subject, Transmitter
from genkan.risk import account, rate
from genkan.service.admin.door import entropy
from genkan.service.admin.streams import subject_of
from genkan.service.pinned import NotCalled, Pinned
from genkan.service.ports import SignalStore
from genkan.telemetry import log
from genkan.tokens import base64url

LONGEST: Final = 32 * 1024
"""Characters of a token."""
OLDEST: Final = timedelta(days=7)
"""How long a token is heard after it was made, and so its `jti` is remembered."""
SKEW: Final = timedelta(seconds=60)
KEYS_KEPT: Final = timedelta(minutes=10)
KEYS_ASKED_EVERY: Final = timedelta(seconds=60)
"""How often a transmitter's keys are fetched again at most, however many unknown ones are named."""
LEFT_ALONE: Final = timedelta(seconds=10)
"""How long nobody asks for keys that could not be had, so that no queue of forged tokens waits for them."""
WITHIN: Final = 5.0
ALGORITHMS: Final = ("RS256", "PS256", "ES256")
TYPES: Final = ("secevent+jwt", "application/secevent+jwt")

Flaw = Literal["invalid_request", "invalid_key", "invalid_issuer", "invalid_audience"]
"""Why a token is not heard (RFC 8935 2.4)."""


class _No(Exception):
    """A token is not to be believed."""

    def __init__(self, flaw: Flaw, why: str) -> None:
        super().__init__(why)
        self.flaw: Flaw = flaw


class NoKeys(Exception):
    """The keys of a transmitter cannot be had now: what it says can be neither believed nor refused."""


class Incoming:
    """A tenant as receiver."""

    def __init__(
        self,
        store: SignalStore,
        pinned: Pinned,
        *,
        directory: Callable[[], Directory],
        clock: Callable[[], datetime],
        issuer: Callable[[], str],
        on_emit: Callable[[], None],
    ) -> None:
        """`issuer` is how we are called in subjects; `on_emit` is called after a commit that has others told."""
        self._store = store
        self._pinned = pinned
        self._directory = directory
        self._clock = clock
        self._issuer = issuer
        self._on_emit = on_emit
        self._keys: dict[str, tuple[datetime, str]] = {}
        """What transmitters published when, by the address."""
        self._fetching: dict[str, asyncio.Lock] = {}
        self._failed: dict[str, datetime] = {}

    async def hear(self, token: str, correlation_id: str) -> Flaw | None:
        """
        Hear a token; None where it was in order, whether or not anything followed from it.

        Raises: `StoreUnavailable`, `NoKeys`; it may be told again later.
        """
        transmitter: Transmitter | None = None
        try:
            transmitter, unverified = self._from_whom(token)
            claims = await self._verified(token, transmitter, unverified)
            event, members = self._event(claims, transmitter)
        except _No as no:
            name = transmitter.id if transmitter is not None else ""
            log.warning("signal.not_heard", extra={"transmitter": name, "flaw": no.flaw, "why": str(no)})
            return no.flaw
        await self._follow(transmitter, claims, event, members, correlation_id)
        return None

    # Whether it is to be believed. ---------------------------------------------------------------------

    def _from_whom(self, token: str) -> tuple[Transmitter, dict[str, Any]]:
        parts = token.split(".", 3) if len(token) <= LONGEST else ()
        if len(parts) != 3:
            raise _No("invalid_request", "it is no token")
        header, claims = _object(parts[0]), _object(parts[1])
        if header.get("typ") not in TYPES or "crit" in header or header.get("alg") not in ALGORITHMS:
            raise _No("invalid_request", "it is of another type, or signed in another way")
        for transmitter in self._directory().transmitters.values():
            if claims.get("iss") == transmitter.issuer:
                return transmitter, header
        raise _No("invalid_issuer", "its issuer is none that was configured")

    async def _verified(self, token: str, by: Transmitter, header: Mapping[str, Any]) -> dict[str, Any]:
        from joserfc import jws  # Only those who hear others need it.
        from joserfc.errors import JoseError

        key = await self._key(by, header)
        try:
            found = jws.deserialize_compact(
                token, key, registry=jws.JWSRegistry(algorithms=list(ALGORITHMS), strict_check_header=False)
            )
        except (JoseError, ValueError, TypeError):
            raise _No("invalid_key", "its signature is wrong") from None
        claims = msgspec.json.decode(found.payload)
        if not isinstance(claims, dict) or claims.get("iss") != by.issuer:
            raise _No("invalid_issuer", "its issuer is another")
        return claims

    async def _key(self, by: Transmitter, header: Mapping[str, Any]) -> Any:
        """The one key that is named; keys are fetched anew where it is not known, but not all the time."""
        if by.keys:
            found = _named(by.keys, header)
        else:
            found = _named(await self._published(by, KEYS_KEPT), header)
            if found is None:
                found = _named(await self._published(by, KEYS_ASKED_EVERY), header)
        if found is None:
            raise _No("invalid_key", "its key is not known")
        return found

    async def _published(self, by: Transmitter, fresh: timedelta) -> str:
        """The keys of a transmitter, no older than that where they can be had; fetched by one who asks for all."""
        async with self._fetching.setdefault(by.keys_url, asyncio.Lock()):
            now, known = self._clock(), self._keys.get(by.keys_url)
            if known is not None and now - known[0] < fresh:
                return known[1]
            failed = self._failed.get(by.keys_url)
            try:
                if failed is not None and now - failed < LEFT_ALONE:
                    raise NotCalled("it could not be had a moment ago")
                answered = await self._pinned.get(by.keys_url, WITHIN)
                if answered.status != 200:
                    raise NotCalled(f"it answered {answered.status}")
                text = answered.body.decode("utf-8")
            except (NotCalled, UnicodeDecodeError) as fault:
                if failed is None or now - failed >= LEFT_ALONE:
                    self._failed[by.keys_url] = now
                    log.warning("signal.no_keys", extra={"transmitter": by.id, "why": str(fault)})
                if known is None or fresh == KEYS_ASKED_EVERY:
                    raise NoKeys(str(fault)) from None
                return known[1]
            self._keys[by.keys_url] = now, text
            return text

    def _event(self, claims: Mapping[str, Any], by: Transmitter) -> tuple[str, dict[str, Any]]:
        """The one event of a token that is authentic, if it is for us, of now, and in order."""
        audience = claims.get("aud")
        if by.audience not in (audience if isinstance(audience, list) else [audience]):
            raise _No("invalid_audience", "it is for somebody else")
        if "exp" in claims or "sub" in claims:
            raise _No("invalid_request", "it has what a security event has not")
        at, id, events = claims.get("iat"), claims.get("jti"), claims.get("events")
        if (
            not isinstance(at, int)
            or isinstance(at, bool)
            or not isinstance(id, str)
            or not 0 < len(id) <= 256
        ):
            raise _No("invalid_request", "it lacks its time or its id")
        seconds = self._clock().timestamp()
        if not seconds - OLDEST.total_seconds() <= at <= seconds + SKEW.total_seconds():
            raise _No("invalid_request", "it is too old, or of the future")
        if not isinstance(claims.get("sub_id"), dict):
            raise _No("invalid_request", "it says of nobody whom it is about")
        if not isinstance(events, dict) or len(events) != 1:
            raise _No("invalid_request", "it has not one event")
        ((event, members),) = events.items()
        if not isinstance(members, dict):
            raise _No("invalid_request", "its event is no object")
        return event, members

    # What follows. -------------------------------------------------------------------------------------

    async def _follow(
        self,
        by: Transmitter,
        claims: Mapping[str, Any],
        event: str,
        members: Mapping[str, Any],
        correlation_id: str,
    ) -> None:
        about, issuer = claims["sub_id"], self._issuer()
        found = await self._store.look(lambda view: subject_of(view, about, issuer))
        person = found.id if isinstance(found, Subject) else ""
        txn = claims.get("txn") if isinstance(claims.get("txn"), str) else ""
        once = _bucket("jti", by.id, claims["jti"])
        seen = _bucket("txn", event, person, str(txn)) if txn else once
        draw = entropy()
        emits = False

        def decide(loaded: Loaded) -> tuple[Change, None]:
            nonlocal emits
            emits = False
            if loaded.histories.get(once) or loaded.histories.get(seen):
                return Change(), None
            kept = (rate.milliseconds(loaded.now),)
            effects: list[Effect] = [
                Count(bucket=name, history=kept, keep_until=loaded.now + OLDEST + SKEW)
                for name in dict.fromkeys((once, seen))
            ]
            is_ours = str(txn).startswith(signals.origin(loaded.directory.tenant.id) + ".")
            tighter = None if is_ours else signals.tightening(event, members)
            subject = loaded.subject if person and loaded.subject and loaded.subject.id == person else None
            done: list[Effect] = []
            if tighter is not None and subject is not None:
                done = _tightened(subject, tighter, by, loaded.now)
            if done and txn:
                # Without a `txn` nobody could tell that it had come around, and it would never end.
                told = signals.following(
                    done,
                    directory=loaded.directory,
                    now=loaded.now,
                    by="policy",
                    entropy=draw,
                    person=lambda _: subject,
                    methods=lambda _: (),
                    txn=str(txn),
                )
                done += told
                emits = any(isinstance(effect, Emit) for effect in done)
            noted = Record(
                action="signal:heard",
                subject=person or None,
                correlation_id=correlation_id,
                detail={
                    "transmitter": by.id,
                    "jti": claims["jti"],
                    "event": event[:256],
                    "effects": [type(effect).__name__ for effect in done],
                },
            )
            return Change(effects=(*effects, *done, noted)), None

        needs = Needs(subject=person or None, buckets=lambda _: dict.fromkeys((once, seen)))
        await self._store.run(needs, decide)
        if emits:
            self._on_emit()


def _tightened(subject: Subject, to: signals.Tightening, by: Transmitter, now: datetime) -> list[Effect]:
    """What is written of a person; nothing where all is as tight already."""
    changed = subject
    if to.level != "none":
        changed = replace(changed, risk=account.raised(changed.risk, to.level, now))
    effects: list[Effect] = []
    if to.ends and by.ends_sessions and subject.status != "deleted":
        changed = replace(changed, epoch=changed.epoch + 1, sessions_from=now)
        effects.append(RevokeGrants(subject=subject.id, at=now))
    return [PutSubject(changed), *effects] if changed != subject else []


def _bucket(kind: str, *parts: str) -> str:
    """What remembers that something was heard; of the parts only a digest is kept."""
    return f"signals/{kind}/{sha256(msgspec.json.encode(parts)).hexdigest()[:40]}"


def _object(text: str) -> dict[str, Any]:
    raw = base64url.decode(text)
    try:
        found = msgspec.json.decode(raw or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _No("invalid_request", "it cannot be read") from None
    if not isinstance(found, dict):
        raise _No("invalid_request", "it cannot be read")
    return found


def _named(keys: str, header: Mapping[str, Any]) -> Any:
    """The key of a set that a header names, if it fits the algorithm; the only one where none is named."""
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey, RSAKey

    kid, is_rsa = header.get("kid"), header["alg"] in ("RS256", "PS256")
    wanted = "RSA" if is_rsa else "EC"
    try:
        listed = msgspec.json.decode(keys or "{}").get("keys", [])
        fitting = [k for k in listed if k.get("kty") == wanted and (kid is None or k.get("kid") == kid)]
        if len(fitting) != 1 or "d" in fitting[0]:
            return None
        if is_rsa:
            key = RSAKey.import_key(fitting[0])
            return key if key.raw_value.key_size >= 2048 else None
        curve = ECKey.import_key(fitting[0])
        return curve if curve.curve_name == "P-256" else None
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
