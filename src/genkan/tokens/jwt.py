"""
Sign our own tokens, and verify them again where our own interfaces are called with one.

Not a JOSE library: it reads nothing that others have signed. The key, not the token, names the algorithm; of the
header only `alg`, `kid` and `typ` are looked at, so a key or an address carried in it has no effect.
Source: RFC 7515, RFC 7519, RFC 8725 (best practice), RFC 9068 section 4; security requirements TOK-01, TOK-02, TIM-02.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from genkan.tokens import base64url
from genkan.tokens.keys import KeyRing, SigningKey, Typ

SKEW = timedelta(seconds=60)
"""How far a token's beginning may lie ahead of the reader's clock. Its end has no such grace (TIM-02)."""
LONGEST_TOKEN = 16_384
"""Characters; what is longer is none of ours and is not even taken apart. Ours have some 1,300."""

_encode = msgspec.json.Encoder().encode


class Flaw(StrEnum):
    """Why a token is not accepted. For the log; whoever sent it only hears `invalid_token` (RFC 6750 section 3.1)."""

    MALFORMED = "malformed"
    WRONG_TYPE = "wrong_type"
    UNKNOWN_KEY = "unknown_key"
    WRONG_ALGORITHM = "wrong_algorithm"
    BAD_SIGNATURE = "bad_signature"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_AUDIENCE = "wrong_audience"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"


class _Header(Struct, frozen=True):
    alg: str
    kid: str
    typ: str
    crit: Any = UNSET
    """Extensions that must be understood (RFC 7515 section 4.1.11): we understand none."""


class _Bounds(Struct, frozen=True):
    """The claims that every token of ours has and that are checked here."""

    iss: str
    aud: str
    exp: int
    nbf: int
    iat: int


_read_header = msgspec.json.Decoder(_Header).decode
_read_bounds = msgspec.json.Decoder(_Bounds).decode
_read_claims = msgspec.json.Decoder(dict[str, Any]).decode


def sign(claims: Struct | Mapping[str, object], key: SigningKey, typ: Typ) -> str:
    """Return the claims as a JWT in the compact form, signed by the key (RFC 7515 section 3.1)."""
    content = key.headers[typ] + base64url.encode(_encode(claims))
    return content + "." + base64url.encode(key.sign(content.encode("ascii")))


def verify(
    token: str, ring: KeyRing, *, typ: Typ, issuer: str, audience: str, now: datetime
) -> dict[str, Any] | Flaw:
    """
    Return the claims of a token that this ring signed, of this type, by this issuer, for this audience, valid now.

    Nothing of the claims is believed, or even decoded, before the signature has been found right.
    """
    parts = token.split(".", 3) if len(token) <= LONGEST_TOKEN else ()
    if len(parts) != 3:
        return Flaw.MALFORMED
    header = _header(parts[0])
    if header is None or not isinstance(header.crit, UnsetType):
        return Flaw.MALFORMED
    if header.typ != typ:
        return Flaw.WRONG_TYPE
    key = ring.verifying(header.kid, now)
    if key is None:
        return Flaw.UNKNOWN_KEY
    if header.alg != key.algorithm:
        return Flaw.WRONG_ALGORITHM
    payload, signature = base64url.decode(parts[1]), base64url.decode(parts[2])
    if payload is None or signature is None:
        return Flaw.MALFORMED
    if not key.verifies(signature, f"{parts[0]}.{parts[1]}".encode("ascii")):
        return Flaw.BAD_SIGNATURE
    return _valid(payload, issuer, audience, now)


def _header(text: str) -> _Header | None:
    raw = base64url.decode(text)
    if raw is None:
        return None
    try:
        return _read_header(raw)
    except (ValueError, RecursionError):
        return None


def _valid(payload: bytes, issuer: str, audience: str, now: datetime) -> dict[str, Any] | Flaw:
    """Return the claims if they are for us, now. They are authentic already."""
    try:
        bounds, claims = _read_bounds(payload), _read_claims(payload)
    except (ValueError, RecursionError):
        return Flaw.MALFORMED
    if bounds.iss != issuer:
        return Flaw.WRONG_ISSUER
    if bounds.aud != audience:
        return Flaw.WRONG_AUDIENCE
    seconds = now.timestamp()
    if seconds >= bounds.exp:
        return Flaw.EXPIRED
    if max(bounds.nbf, bounds.iat) > seconds + SKEW.total_seconds():
        return Flaw.NOT_YET_VALID
    return claims
