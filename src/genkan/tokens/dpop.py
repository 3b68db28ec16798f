"""
Judge a proof that a request comes from whoever holds a private key (DPoP).

The key stands in the proof itself, so the proof alone says nothing of who it is: its thumbprint is to be compared with
the one that was noted before. That a proof is used once is for the caller, who has a memory: `Proof.id` names it.
Source: RFC 9449 section 4.3, RFC 7638 (thumbprints); RFC 8725; TOK-09.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from genkan.tokens import base64url

FRESH = timedelta(seconds=60)
"""How far from now, either way, a proof may have been made."""

KEPT = 2 * FRESH + timedelta(seconds=1)
"""So long must the id of a proof be remembered, for it to be used once."""

LONGEST = 4096
"""Characters. A proof of a 4,096 bit key has half of it."""

ALGORITHMS = ("ES256", "PS256", "RS256")
"""Whatever else a browser's or a phone's key store makes is not needed (`dpop_signing_alg_values_supported`)."""

SHORTEST_RSA = 256
"""Bytes of a modulus (KEY-05)."""

_THUMBED = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n")}
"""The members that a thumbprint is made of, in their order (RFC 7638 section 3.2)."""

_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class Proof(Struct, frozen=True):
    """A proof that holds."""

    thumbprint: str
    """Of its key, as `jkt` (RFC 7638): 43 characters."""
    id: str
    """Stands for this proof among all of this key: a digest, so of one length whatever the client has sent."""


class _Header(Struct, frozen=True):
    typ: str
    alg: str
    jwk: dict[str, Any]
    crit: Any = None


class _Claims(Struct, frozen=True):
    jti: str
    htm: str
    htu: str
    iat: float
    ath: str = ""
    nonce: str = ""


_read_header = msgspec.json.Decoder(_Header).decode
_read_claims = msgspec.json.Decoder(_Claims).decode


def thumbprint(jwk: dict[str, Any]) -> str | None:
    """Return the SHA-256 thumbprint of a public key; None for what is none, or has a private part (RFC 7638)."""
    members = _THUMBED.get(str(jwk.get("kty")))
    if members is None or not _PRIVATE.isdisjoint(jwk):
        return None
    named = {member: jwk.get(member) for member in members}
    if not all(isinstance(value, str) for value in named.values()):
        return None
    return base64url.encode(sha256(msgspec.json.encode(named)).digest())


def read(text: str, *, method: str, url: str, now: datetime, access_token: str = "") -> Proof | None:
    """
    Judge the value of a `DPoP` header, of which there must be exactly one, for a request.

    `url`: where it went, without query and fragment. `access_token`: the one that is presented with it, if any.
    Return None for every proof that does not hold; whoever sent it hears `invalid_dpop_proof` and no more.
    """
    if len(text) > LONGEST or text.count(".") != 2:
        return None
    head, body = (base64url.decode(part) for part in text.split(".")[:2])
    if head is None or body is None:
        return None
    try:
        header, claims = _read_header(head), _read_claims(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    made_by = thumbprint(header.jwk)
    if (
        made_by is None
        or header.typ != "dpop+jwt"
        or header.alg not in ALGORITHMS
        or header.crit is not None
        or not _is_signed(text, header)
    ):
        return None
    if claims.htm != method or not _is_same(claims.htu, url) or not claims.jti:
        return None
    if abs(claims.iat - now.timestamp()) > FRESH.total_seconds():
        return None
    expected = base64url.encode(sha256(access_token.encode()).digest()) if access_token else ""
    if claims.ath != expected:
        return None
    return Proof(made_by, sha256(f"{made_by}\n{claims.jti}".encode("utf-8", "surrogatepass")).hexdigest())


def _is_same(said: str, url: str) -> bool:
    """The same address after the normalisation of RFC 3986 6.2.2 and 6.2.3; query and fragment count for nothing."""
    try:
        return _place(said) == _place(url)
    except ValueError:
        return False


def _place(url: str) -> tuple[str, str | None, int | None, str, str | None]:
    """Raises: `ValueError`."""
    parts = urlsplit(url)
    return (
        parts.scheme,
        parts.hostname,
        parts.port or _PORTS.get(parts.scheme),
        parts.path or "/",
        parts.username,
    )


_PORTS = {"https": 443, "http": 80}


def _is_signed(text: str, header: _Header) -> bool:
    # Imported here: most deployments have no client that proves possession.
    from joserfc import jws
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey, RSAKey

    try:
        members = {name: header.jwk[name] for name in _THUMBED[header.jwk["kty"]]}
        key: ECKey | RSAKey
        if header.alg == "ES256":
            if members.get("crv") != "P-256":
                return False
            key = ECKey.import_key(members)
        else:
            if len(base64url.decode(members["n"]) or b"") < SHORTEST_RSA:
                return False
            key = RSAKey.import_key(members)
        registry = jws.JWSRegistry(algorithms=[header.alg], strict_check_header=False)
        registry.max_header_length = LONGEST
        jws.deserialize_compact(text, key, registry=registry)
    except (JoseError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return False
    return True
