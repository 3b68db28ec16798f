"""
The rules of refresh tokens: how a family begins, how each use replaces its token, and what a token used twice means.

Values in, values out: draws no randomness, reads no clock, writes nothing. The caller loads the grant by the id that
the token carries, and stores the grant that comes back under the revision it was decided on; two uses at once are so
judged one after the other, and the second finds the token spent.

Only the first secret of a family is random. Each later token is a keyed digest of the one before it, so a client that
lost an answer gets the same successor again although nowhere is it stored.
Source: RFC 9700 section 4.14.2; native-auth-v1 4.4; security requirements TOK-05 to TOK-08.
"""

from __future__ import annotations

import hmac
import re
from datetime import datetime, timedelta
from hashlib import sha256

from msgspec import Struct
from msgspec.structs import replace

from genkan.model import Client, Demand, Evidence, Grant, Reason, Secret, Subject, Tenant
from genkan.tokens import base64url

PREFIX = "gkr1."
"""Says what the text is to whoever finds it, secret scanners among them, and which version of it."""
ID_BYTES = 16
SECRET_BYTES = 32
"""256 bits (TOK-05)."""
REPEAT_WITHIN = timedelta(seconds=10)
"""How long a spent token may be presented again for the same successor (TOK-07)."""

# 48 bytes are 64 characters with no bits left over: a text has one reading.
_TOKEN = re.compile(re.escape(PREFIX) + r"([A-Za-z0-9_-]{64})")


class Redeemed(Struct, frozen=True):
    """The token was the live one. `grant` is as it must be stored; `refresh` takes its place."""

    grant: Grant
    refresh: Secret


class Repeated(Struct, frozen=True):
    """The token was spent a moment ago: the same successor once more. There is nothing to store."""

    grant: Grant
    refresh: Secret


class Reuse(Struct, frozen=True):
    """A token of this family is in two hands: `grant` is the family revoked, to be stored. The answer is a refusal."""

    grant: Grant
    reason: Reason = Reason.GRANT_REVOKED


class Refused(Struct, frozen=True):
    """No, and nothing has changed."""

    reason: Reason


Redemption = Redeemed | Repeated | Reuse | Refused


def mint(grant_id: bytes, secret: bytes) -> str:
    """
    Return the refresh token of a grant.

    Raises: `ValueError` unless the id has 16 bytes and the secret 32.
    """
    if len(grant_id) != ID_BYTES or len(secret) != SECRET_BYTES:
        raise ValueError(f"a refresh token is made of {ID_BYTES} bytes of id and {SECRET_BYTES} of secret")
    return PREFIX + base64url.encode(grant_id + secret)


def read(text: str) -> tuple[str, bytes] | None:
    """Return the grant id that a refresh token names, and its digest; None if it was never one of ours."""
    raw = _raw(text)
    return (raw[:ID_BYTES].hex(), digest(text)) if raw is not None else None


def digest(text: str) -> bytes:
    """Return what is stored of a refresh token. Its 256 random bits need neither salt nor key."""
    return sha256(text.encode("ascii")).digest()


def successor(text: str, key: bytes) -> str:
    """
    Return the token that follows this one: always the same, and to be foretold only with the tenant's rotation key.

    Raises: `ValueError` for a text that is no refresh token.
    """
    raw = _raw(text)
    if raw is None:
        raise ValueError("not a refresh token")
    grant_id, secret = raw[:ID_BYTES], raw[ID_BYTES:]
    return mint(grant_id, hmac.digest(key, secret + grant_id, "sha256"))


def _raw(text: str) -> bytes | None:
    match = _TOKEN.fullmatch(text)
    return base64url.decode(match[1]) if match else None


def open_grant(
    *,
    grant_id: bytes,
    secret: bytes,
    subject: Subject,
    client: Client,
    demand: Demand,
    evidence: tuple[Evidence, ...],
    tenant: Tenant,
    now: datetime,
) -> tuple[Grant, Secret]:
    """
    Return a new grant and its first refresh token.

    Shapes: `grant_id` is 16 and `secret` 32 random bytes, drawn for this grant alone.
    """
    lifetime = tenant.refresh_lifetime_single_page if client.single_page else tenant.refresh_lifetime
    text = mint(grant_id, secret)
    grant = Grant(
        id=grant_id.hex(),
        subject=subject.id,
        client=client.id,
        demand=demand,
        evidence=evidence,
        epoch=subject.epoch,
        head=digest(text),
        rotated_at=now,
        created_at=now,
        idle_expires_at=now + min(tenant.refresh_idle, lifetime),
        expires_at=now + lifetime,
    )
    return grant, Secret(text)


def redeem(
    grant: Grant | None,
    presented: Secret,
    *,
    client_id: str,
    epoch: int,
    tenant: Tenant,
    key: bytes,
    now: datetime,
) -> Redemption:
    """
    Judge a refresh token against the grant that it names.

    Whatever names a grant and is neither its live token nor the one just spent counts as one of an earlier
    generation, used again: nobody else knows the id, which is random and shown nowhere but in the token. Who stole
    it and who was robbed cannot be told apart, so the family ends for both (TOK-06). Another client learns nothing,
    and ends nothing.

    Shapes: `epoch` is the subject's now; `key` is the tenant's rotation key, of no other use (KEY-01).
    Refuses: `GRANT_UNKNOWN`, `GRANT_REVOKED`, `GRANT_EXPIRED`.
    """
    named = read(presented.text)
    if grant is None or named is None or named[0] != grant.id or grant.client != client_id:
        return Refused(Reason.GRANT_UNKNOWN)
    if grant.revoked_at is not None or grant.epoch != epoch:
        return Refused(Reason.GRANT_REVOKED)
    if now >= min(grant.idle_expires_at, grant.expires_at):
        return Refused(Reason.GRANT_EXPIRED)
    if hmac.compare_digest(named[1], grant.head):
        return _rotated(grant, presented, tenant, key, now)
    # Measured both ways, so that a clock set back does not hold the window open.
    if hmac.compare_digest(named[1], grant.spent) and abs(now - grant.rotated_at) <= REPEAT_WITHIN:
        return Repeated(grant, Secret(successor(presented.text, key)))
    return Reuse(revoked(grant, now))


def _rotated(grant: Grant, presented: Secret, tenant: Tenant, key: bytes, now: datetime) -> Redeemed:
    text = successor(presented.text, key)
    rotated = replace(
        grant,
        head=digest(text),
        spent=grant.head,
        rotated_at=now,
        idle_expires_at=min(now + tenant.refresh_idle, grant.expires_at),
    )
    return Redeemed(rotated, Secret(text))


def revoked(grant: Grant, now: datetime) -> Grant:
    """Return the grant as ended; one that had ended before keeps its time."""
    return grant if grant.revoked_at is not None else replace(grant, revoked_at=now)
