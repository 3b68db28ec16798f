"""
The keys that sign tokens: one key, and the ring that says which signs, which still verify and when the next is due.

Reads no clock and stores nothing: times are passed in, and keys come and go as PEM which the caller seals.
`SigningKey.generate` is the one place here where randomness is drawn, and `cryptography` draws it: nobody should
derive an RSA key from a seed of ours. It is called by the worker that rotates keys, never inside a step.
Source: RFC 7517 (JWK), RFC 7518 sections 3.3, 3.4, 6.2, 6.3 (algorithms), RFC 7638 (thumbprint); native-auth-v1 9.6;
security requirements KEY-03, KEY-05, TOK-01.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Literal, get_args

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from msgspec import Struct
from msgspec.structs import replace

from genkan.tokens import base64url

Algorithm = Literal["RS256", "ES256"]
"""The signatures there are: asymmetric ones only, and fixed for each key (TOK-01)."""

Typ = Literal["JWT", "at+jwt", "secevent+jwt"]
"""What a token says it is in its header: an id token, an access token (RFC 9068 2.1), an event (RFC 8417 2.3)."""

PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey
PublicKey = RSAPublicKey | EllipticCurvePublicKey

RSA_BITS = 2048
"""The default; 3072 is a setting (KEY-05)."""
RSA_EXPONENT = 65537
"""F4, the exponent that every verifier has seen (RFC 8017; NIST SP 800-57)."""
P256_BYTES = 32
"""Of a coordinate, and of either half of an ES256 signature (RFC 7518 sections 3.4, 6.2.1.2)."""

PUBLISHED_BEFORE_USE = timedelta(hours=24)
"""So long a key is listed before it signs: nobody caches a key set longer (KEY-03)."""
ROTATES_EVERY = timedelta(days=90)
"""How long one key signs, unless set otherwise; our own choice."""
LISTED_AFTER_EXPIRY = timedelta(seconds=60)
"""How long a key is listed past the end of the last token it signed: the clock skew of TIM-02."""

_SHA256 = SHA256()
_PKCS1 = PKCS1v15()
_ECDSA = ECDSA(_SHA256)


class Jwk(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A public key as verifiers read it (RFC 7517 section 4). Empty members belong to the other kind of key."""

    kty: Literal["RSA", "EC"]
    use: Literal["sig"]
    alg: Algorithm
    kid: str
    n: str = ""
    e: str = ""
    crv: str = ""
    x: str = ""
    y: str = ""


class JwkSet(Struct, frozen=True):
    """The document at `jwks_uri`."""

    keys: tuple[Jwk, ...]


class SigningKey(Struct, frozen=True, kw_only=True, eq=False):
    """A key pair, with everything prepared that is the same for every token it signs."""

    kid: str
    """The RFC 7638 thumbprint, so equal keys have equal ids."""
    algorithm: Algorithm
    private: PrivateKey
    public: PublicKey
    created_at: datetime
    activates_at: datetime
    """From when it signs; it is listed from its creation."""
    retires_at: datetime | None = None
    """From when it is listed no more; None while no successor has been named."""
    jwk: Jwk
    headers: dict[Typ, str]
    """The encoded header of each kind of token, with the dot that follows it."""

    def __repr__(self) -> str:
        return f"SigningKey({self.kid} {self.algorithm} from {self.activates_at:%Y-%m-%dT%H:%MZ})"

    @classmethod
    def generate(
        cls, algorithm: Algorithm, *, created_at: datetime, activates_at: datetime, rsa_bits: int = RSA_BITS
    ) -> SigningKey:
        """Return a new key; the library draws the randomness."""
        private: PrivateKey = (
            generate_rsa_key(RSA_EXPONENT, rsa_bits)
            if algorithm == "RS256"
            else generate_private_key(SECP256R1())
        )
        return cls._prepared(private, created_at, activates_at, None)

    @classmethod
    def from_pem(
        cls,
        pem: bytes,
        *,
        created_at: datetime,
        activates_at: datetime,
        retires_at: datetime | None = None,
    ) -> SigningKey:
        """
        Return the key of a PEM text. Its type names its algorithm.

        Raises: `ValueError` for what is no private key, or none that may sign here: RSA of 2048 bits or more, P-256.
        """
        try:
            private = load_pem_private_key(pem, password=None)
        except (TypeError, UnsupportedAlgorithm) as cause:
            raise ValueError("encrypted, or of an unknown kind") from cause
        if not isinstance(private, RSAPrivateKey | EllipticCurvePrivateKey):
            raise ValueError("not an RSA or elliptic-curve key")
        return cls._prepared(private, created_at, activates_at, retires_at)

    @classmethod
    def _prepared(
        cls, private: PrivateKey, created_at: datetime, activates_at: datetime, retires_at: datetime | None
    ) -> SigningKey:
        public = private.public_key()
        jwk = public_jwk(public)
        return cls(
            kid=jwk.kid,
            algorithm=jwk.alg,
            private=private,
            public=public,
            created_at=created_at,
            activates_at=activates_at,
            retires_at=retires_at,
            jwk=jwk,
            headers={typ: _header(typ, jwk) for typ in get_args(Typ)},
        )

    def to_pem(self) -> bytes:
        """Return the private key in clear, as PKCS #8; to be sealed before it is stored (KEY-02)."""
        return self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def sign(self, content: bytes) -> bytes:
        """Return the JOSE signature of these bytes (RFC 7518 sections 3.3, 3.4)."""
        if isinstance(self.private, RSAPrivateKey):
            return self.private.sign(content, _PKCS1, _SHA256)
        r, s = decode_dss_signature(self.private.sign(content, _ECDSA))
        return r.to_bytes(P256_BYTES) + s.to_bytes(P256_BYTES)

    def verifies(self, signature: bytes, content: bytes) -> bool:
        """Say whether this key made the signature of these bytes."""
        try:
            if isinstance(self.public, RSAPublicKey):
                self.public.verify(signature, content, _PKCS1, _SHA256)
            elif len(signature) != 2 * P256_BYTES:
                return False
            else:
                r, s = signature[:P256_BYTES], signature[P256_BYTES:]
                der = encode_dss_signature(int.from_bytes(r), int.from_bytes(s))
                self.public.verify(der, content, _ECDSA)
        except InvalidSignature:
            return False
        return True


def public_jwk(public: PublicKey) -> Jwk:
    """
    Return a public key as JWK, with its thumbprint as `kid`.

    Raises: `ValueError` for RSA below 2048 bits and for any curve but P-256.
    """
    if isinstance(public, RSAPublicKey):
        if public.key_size < RSA_BITS:
            raise ValueError(f"RSA keys have {RSA_BITS} bits or more, this one {public.key_size}")
        numbers = public.public_numbers()
        n, e = _shortest(numbers.n), _shortest(numbers.e)
        kid = _thumbprint({"e": e, "kty": "RSA", "n": n})
        return Jwk(kty="RSA", use="sig", alg="RS256", kid=kid, n=n, e=e)
    if not isinstance(public.curve, SECP256R1):
        raise ValueError(f"elliptic-curve keys are on P-256, this one on {public.curve.name}")
    point = public.public_numbers()
    x = base64url.encode(point.x.to_bytes(P256_BYTES))
    y = base64url.encode(point.y.to_bytes(P256_BYTES))
    kid = _thumbprint({"crv": "P-256", "kty": "EC", "x": x, "y": y})
    return Jwk(kty="EC", use="sig", alg="ES256", kid=kid, crv="P-256", x=x, y=y)


def _shortest(number: int) -> str:
    """Return a positive number big-endian in as few bytes as hold it (RFC 7518 section 2, Base64urlUInt)."""
    return base64url.encode(number.to_bytes((number.bit_length() + 7) // 8))


def _thumbprint(members: dict[str, str]) -> str:
    """Return the SHA-256 thumbprint of the members it rests on, given in the order of their names (RFC 7638 3)."""
    return base64url.encode(hashlib.sha256(msgspec.json.encode(members)).digest())


def _header(typ: Typ, jwk: Jwk) -> str:
    return base64url.encode(msgspec.json.encode({"typ": typ, "alg": jwk.alg, "kid": jwk.kid})) + "."


class KeyRing(Struct, frozen=True, eq=False):
    """A tenant's signing keys: past ones that still verify, the present ones, and the next."""

    keys: tuple[SigningKey, ...] = ()

    def signing(self, algorithm: Algorithm, now: datetime) -> SigningKey:
        """
        Return the key that signs: of those of the algorithm that are active, the latest.

        Raises: `LookupError` when there is none, which is a fault: a ring is filled before it is used.
        """
        active = [key for key in self.keys if key.algorithm == algorithm and key.activates_at <= now]
        if not active:
            raise LookupError(f"no {algorithm} key is active")
        return max(active, key=_activation)

    def present(self, now: datetime) -> tuple[SigningKey, ...]:
        """Return the keys that sign, one of each algorithm that has any."""
        active = {key.algorithm for key in self.keys if key.activates_at <= now}
        return tuple(self.signing(algorithm, now) for algorithm in sorted(active))

    def verifying(self, kid: str, now: datetime) -> SigningKey | None:
        """Return the listed key of this id. The id is compared, never followed (TOK-01)."""
        return next((key for key in self.keys if key.kid == kid and _is_listed(key, now)), None)

    def jwks(self, now: datetime) -> JwkSet:
        """Return the public keys to publish: the next ones, those that sign, and those whose tokens still live."""
        return JwkSet(keys=tuple(key.jwk for key in self.keys if _is_listed(key, now)))

    def next_activation(
        self, algorithm: Algorithm, now: datetime, every: timedelta = ROTATES_EVERY
    ) -> datetime | None:
        """
        Say when a key made now is to begin to sign; None while none needs to be made (KEY-03).

        The first key of an algorithm signs at once. Each later one is made `PUBLISHED_BEFORE_USE` ahead of the end
        of its predecessor's term, or, when that was missed, that long before it signs all the same.
        """
        terms = [key.activates_at for key in self.keys if key.algorithm == algorithm]
        if not terms:
            return now
        end = max(terms) + every
        return max(end, now + PUBLISHED_BEFORE_USE) if now >= end - PUBLISHED_BEFORE_USE else None

    def joined(self, key: SigningKey, longest_life: timedelta) -> KeyRing:
        """
        Return the ring with a successor, and with the end of listing set for the keys it succeeds.

        Shapes: `longest_life` is that of the longest-lived token which keys of this ring sign.
        """
        end = key.activates_at + longest_life + LISTED_AFTER_EXPIRY
        older = (
            replace(k, retires_at=end) if k.algorithm == key.algorithm and k.retires_at is None else k
            for k in self.keys
        )
        return KeyRing(keys=(*older, key))

    def pruned(self, now: datetime) -> KeyRing:
        """Return the ring without the keys that are listed no more."""
        return KeyRing(keys=tuple(key for key in self.keys if _is_listed(key, now)))


def _activation(key: SigningKey) -> datetime:
    return key.activates_at


def _is_listed(key: SigningKey, now: datetime) -> bool:
    return key.retires_at is None or now < key.retires_at
