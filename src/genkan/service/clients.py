"""
A confidential client proves who it is: by a secret, or by an assertion that it signed with its certificate's key.

Each wrong proof is spent from a budget in the same step that compares, so that guesses cannot be raced; each proof,
right or wrong, leaves an audit row. Knows no HTTP. Source: THR-01, LOG-04; RFC 6749 4.4, RFC 7523 3; ADM-08.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from datetime import datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address, ip_network
from typing import Any, Literal

import msgspec
from msgspec import Struct

from genkan.engine.messages import Count, Effect, Record
from genkan.engine.transaction import Change, Loaded, Needs
from genkan.model import Client, ClientCertificate, Secret
from genkan.risk import rate
from genkan.service.ports import Store

LONGEST_ASSERTION = timedelta(hours=24)
"""An assertion that lives longer is none that a library makes."""
SKEW = timedelta(seconds=60)

Flaw = Literal[
    "unknown_client",
    "public_client",
    "no_proof",
    "wrong_secret",
    "expired_secret",
    "bad_assertion",
    "elsewhere",
    "too_many",
]


class Proof(Struct, frozen=True, kw_only=True):
    """What a client gives to prove itself."""

    client: str
    secret: Secret | None = None
    assertion: str = ""
    audiences: frozenset[str] = frozenset()
    """Who an assertion may be for: the names of this token endpoint."""
    address: str = ""
    """The client's address."""
    network: str = ""
    """Whence it came (`rate.network`)."""
    correlation_id: str = ""


class Proven(Struct, frozen=True):
    """It is that client."""

    client: Client
    now: datetime
    by_certificate: bool = False
    """By a key that has never left it, for this endpoint alone; else by a secret, which whoever saw it can show."""


class Claims(Struct, frozen=True, kw_only=True):
    """What an assertion must say (RFC 7523 3)."""

    iss: str
    sub: str
    aud: str | tuple[str, ...]
    exp: float
    jti: str = ""
    nbf: float = 0


async def authenticate(store: Store, proof: Proof) -> Proven | Flaw:
    """
    Judge a proof.

    An assertion counts once: its id is kept as long as it could be good. Raises: `StoreUnavailable`.
    """
    wrong = rate.client_guesses(proof.client, proof.network)
    used = rate.assertion(proof.client, proof.assertion)

    def buckets(_: Loaded) -> Iterable[str]:
        return (wrong, used) if proof.assertion else (wrong,)

    def decide(loaded: Loaded) -> tuple[Change, Proven | Flaw]:
        client, now = loaded.directory.clients.get(proof.client), loaded.now
        spent = rate.spend(loaded.histories.get(wrong, ()), rate.CLIENT_GUESSES, now)
        if spent is None:
            return _noted(proof, "too_many"), "too_many"
        flaw = _flaw(proof, client, now)
        if flaw is None and proof.assertion and loaded.histories.get(used, ()):
            flaw = "bad_assertion"
        if flaw is not None or client is None:
            kept = Count(bucket=wrong, history=spent, keep_until=rate.keep_until(spent, rate.CLIENT_GUESSES))
            found = flaw or "unknown_client"
            return _noted(proof, found, kept), found
        effects: tuple[Effect, ...] = ()
        if proof.assertion:
            once = Count(
                bucket=used, history=(rate.milliseconds(now),), keep_until=now + LONGEST_ASSERTION + SKEW
            )
            effects = (once,)
        return _noted(proof, "", *effects), Proven(client, now, bool(proof.assertion))

    return await store.run(Needs(buckets=buckets), decide)


def _noted(proof: Proof, reason: str, *effects: Effect) -> Change:
    record = Record(
        action=f"client:token:{'refused' if reason else 'issued'}",
        reason=reason,
        client=proof.client,
        correlation_id=proof.correlation_id,
        detail={"kind": "assertion" if proof.assertion else "secret"},
    )
    return Change(effects=(*effects, record))


def may_act_from(client: Client, address: str) -> bool:
    """Say whether a client may ask for administration tokens, and use them, from an address (ADM-08)."""
    if not client.networks:
        return True
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return any(found in ip_network(network) for network in client.networks)


def _flaw(proof: Proof, client: Client | None, now: datetime) -> Flaw | None:
    """Say what is wrong with a proof. Where it came from is looked at last: only who has proven it learns of that."""
    flaw = _unproven(proof, client, now)
    if flaw is None and client is not None and not may_act_from(client, proof.address):
        return "elsewhere"
    return flaw


def _unproven(proof: Proof, client: Client | None, now: datetime) -> Flaw | None:
    if client is None:
        return "unknown_client"
    if client.kind == "public":
        return "public_client"
    if proof.assertion:
        return None if _is_asserted(proof, client, now) else "bad_assertion"
    if proof.secret is None:
        return "no_proof"
    digest = sha256(proof.secret.text.encode("utf-8", "surrogatepass")).digest()
    fitting = [secret for secret in client.secrets if hmac.compare_digest(secret.digest, digest)]
    if not fitting:
        return "wrong_secret"
    if not any(_is_live(secret.starts_at, secret.expires_at, now) for secret in fitting):
        return "expired_secret"
    return None


def _is_live(starts_at: datetime | None, expires_at: datetime | None, now: datetime) -> bool:
    return (starts_at is None or starts_at <= now + SKEW) and (expires_at is None or now < expires_at)


def _is_asserted(proof: Proof, client: Client, now: datetime) -> bool:
    """Say whether an assertion is signed by one of the client's certificates, about itself, for us, now."""
    for certificate in client.certificates:
        if not _is_live(certificate.starts_at, certificate.expires_at, now):
            continue
        claims = _verified(proof.assertion, certificate)
        if claims is None:
            continue
        audiences = {claims.aud} if isinstance(claims.aud, str) else set(claims.aud)
        seconds = now.timestamp()
        return (
            claims.iss == claims.sub == client.id
            and bool(audiences & proof.audiences)
            and seconds < claims.exp <= seconds + LONGEST_ASSERTION.total_seconds()
            and claims.nbf <= seconds + SKEW.total_seconds()
        )
    return False


def read_certificate(raw: bytes, name: str, id: str) -> ClientCertificate:
    """
    Read a certificate, DER or PEM.

    Raises: `ValueError` where it is none.
    """
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import load_der_x509_certificate, load_pem_x509_certificate

    load = load_pem_x509_certificate if raw.startswith(b"-----") else load_der_x509_certificate
    try:
        found = load(raw)
    except Exception as error:  # A parser of a stranger's bytes raises more than it names.
        raise ValueError("not a certificate") from error
    return ClientCertificate(
        id=id,
        name=name,
        der=found.public_bytes(Encoding.DER),
        starts_at=found.not_valid_before_utc,
        expires_at=found.not_valid_after_utc,
    )


def can_prove(certificate: ClientCertificate, now: datetime) -> bool:
    """Say whether assertions of this certificate can be believed now."""
    return _is_live(certificate.starts_at, certificate.expires_at, now) and _key(certificate) is not None


def _key(certificate: ClientCertificate) -> tuple[Any, list[str]] | None:
    """What verifies, and by which algorithms; None for a kind of key that is not taken."""
    # Imported here: only deployments with certificates need it.
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from cryptography.x509 import load_der_x509_certificate
    from joserfc.jwk import ECKey, RSAKey

    key: Any = load_der_x509_certificate(certificate.der).public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    if isinstance(key, RSAPublicKey):
        return RSAKey.import_key(pem), ["RS256", "PS256"]
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return ECKey.import_key(pem), ["ES256"]
    return None


def _verified(assertion: str, certificate: ClientCertificate) -> Claims | None:
    from joserfc import jws
    from joserfc.errors import JoseError

    known = _key(certificate)
    if known is None:
        return None
    imported, algorithms = known
    registry = jws.JWSRegistry(algorithms=algorithms, strict_check_header=False)
    try:
        found = jws.deserialize_compact(assertion, imported, registry=registry)
        return msgspec.json.decode(found.payload, type=Claims)
    except (JoseError, ValueError, RecursionError, TypeError):
        return None
