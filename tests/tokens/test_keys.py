"""Keys have the published forms, and rotate without a moment in which a live token cannot be verified."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, RSAKey
from msgspec.structs import replace

from genkan.tokens import base64url
from genkan.tokens.keys import (
    LISTED_AFTER_EXPIRY,
    PUBLISHED_BEFORE_USE,
    Algorithm,
    KeyRing,
    SigningKey,
    public_jwk,
)
from tests.tokens.world import NOW, RING, a_key

RFC7638_MODULUS = (
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWK"
    "RXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMic"
    "AtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3"
    "XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
)
LONGEST_LIFE = timedelta(hours=1)
DAY = timedelta(days=1)


def number(text: str) -> int:
    return int.from_bytes(base64url.decode(text) or b"")


def successor_of(ring: KeyRing, algorithm: Algorithm, now: datetime, count: int) -> KeyRing:
    """Do what the worker does at each of its rounds, with prepared keys in place of fresh ones."""
    activates_at = ring.next_activation(algorithm, now, every=10 * DAY)
    if activates_at is None:
        return ring.pruned(now)
    key = msgspec.structs.replace(a_key(algorithm, count), created_at=now, activates_at=activates_at)
    return ring.joined(key, LONGEST_LIFE).pruned(now)


# One key. -------------------------------------------------------------------------------------------


def test_kid_is_the_thumbprint_of_the_rfc() -> None:
    public = rsa.RSAPublicNumbers(e=65537, n=number(RFC7638_MODULUS)).public_key()

    jwk = public_jwk(public)

    assert jwk.kid == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"  # RFC 7638 section 3.1
    assert (jwk.n, jwk.e) == (RFC7638_MODULUS, "AQAB")


@pytest.mark.parametrize(("algorithm", "library"), [("RS256", RSAKey), ("ES256", ECKey)])
def test_another_library_reads_the_jwk_and_agrees_on_its_thumbprint(algorithm: Algorithm, library) -> None:
    jwk = json.loads(msgspec.json.encode(a_key(algorithm).jwk))

    read = library.import_key(jwk)

    assert read.thumbprint() == jwk["kid"]


def test_the_key_set_has_exactly_the_public_members() -> None:
    keys = json.loads(msgspec.json.encode(RING.jwks(NOW)))["keys"]

    assert [set(key) for key in keys] == [
        {"kty", "use", "alg", "kid", "n", "e"},
        {"kty", "use", "alg", "kid", "crv", "x", "y"},
    ]
    assert [(key["kty"], key["use"], key["alg"]) for key in keys] == [
        ("RSA", "sig", "RS256"),
        ("EC", "sig", "ES256"),
    ]


def test_coordinates_keep_their_leading_zeros() -> None:
    point = next(
        public
        for secret in range(1, 2000)
        if (public := ec.derive_private_key(secret, ec.SECP256R1()).public_key()).public_numbers().x < 2**248
    )

    assert len(public_jwk(point).x) == 43


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_key_survives_storage(algorithm: Algorithm) -> None:
    key = a_key(algorithm)

    read = SigningKey.from_pem(key.to_pem(), created_at=key.created_at, activates_at=key.activates_at)

    assert (read.kid, read.algorithm, read.headers) == (key.kid, key.algorithm, key.headers)
    assert key.verifies(read.sign(b"content"), b"content")


@pytest.mark.parametrize("bits", [2048, 3072])
def test_rsa_keys_have_the_size_asked_for(bits: int) -> None:
    key = SigningKey.generate("RS256", created_at=NOW, activates_at=NOW, rsa_bits=bits)

    assert isinstance(key.public, rsa.RSAPublicKey)
    assert key.public.key_size == bits


def pem(private, encryption=None):
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        pem(rsa.generate_private_key(65537, 1024)),
        pem(ec.generate_private_key(ec.SECP384R1())),
        pem(ed25519.Ed25519PrivateKey.generate()),
        pem(ec.generate_private_key(ec.SECP256R1()), BestAvailableEncryption(b"x")),
    ],
    ids=["empty", "garbage", "short RSA", "P-384", "Ed25519", "encrypted"],
)
def test_refuses_keys_that_may_not_sign(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        SigningKey.from_pem(text, created_at=NOW, activates_at=NOW)


def test_a_key_does_not_print_itself() -> None:
    key = a_key("ES256")
    assert isinstance(key.private, ec.EllipticCurvePrivateKey)

    shown = repr(key)

    assert key.kid in shown
    assert str(key.private.private_numbers().private_value) not in shown
    assert "private" not in shown


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_signature_is_for_these_bytes_and_of_this_key(algorithm: Algorithm) -> None:
    key, other = a_key(algorithm), a_key(algorithm, 1)
    signature = key.sign(b"content")

    assert key.verifies(signature, b"content")
    assert not key.verifies(signature, b"Content")
    assert not key.verifies(signature[:-1], b"content")
    assert not key.verifies(bytes(len(signature)), b"content")
    assert not other.verifies(signature, b"content")


# The ring. ------------------------------------------------------------------------------------------


def test_the_first_key_signs_at_once() -> None:
    assert KeyRing().next_activation("RS256", NOW) == NOW


def test_an_empty_ring_is_a_fault() -> None:
    with pytest.raises(LookupError):
        KeyRing(keys=(a_key("ES256"),)).signing("RS256", NOW)


def test_each_algorithm_has_its_own_signer() -> None:
    assert RING.signing("RS256", NOW) is a_key("RS256")
    assert RING.signing("ES256", NOW) is a_key("ES256")


def test_a_ring_knows_its_keys_by_id_alone() -> None:
    assert RING.verifying(a_key("ES256").kid, NOW) is a_key("ES256")
    assert RING.verifying("../" + a_key("ES256").kid, NOW) is None


def test_rotation_is_planned_a_day_ahead() -> None:
    ring = KeyRing(keys=(a_key("RS256"),))
    end = a_key("RS256").activates_at + 10 * DAY

    assert ring.next_activation("RS256", end - DAY - timedelta(seconds=1), every=10 * DAY) is None
    assert ring.next_activation("RS256", end - DAY, every=10 * DAY) == end


def test_each_algorithm_has_terms_of_its_own() -> None:
    """A key of one algorithm neither stands for one of the other, nor puts it off."""
    late = replace(a_key("ES256"), activates_at=NOW + 50 * DAY)
    end = a_key("RS256").activates_at + 10 * DAY

    assert KeyRing(keys=(late,)).next_activation("RS256", NOW) == NOW
    assert KeyRing(keys=(a_key("RS256"),)).next_activation("ES256", NOW) == NOW
    assert KeyRing(keys=(a_key("RS256"), late)).next_activation("RS256", end - DAY, every=10 * DAY) == end


def test_a_late_rotation_still_publishes_first() -> None:
    ring = KeyRing(keys=(a_key("RS256"),))

    assert (
        ring.next_activation("RS256", NOW + 99 * DAY, every=10 * DAY) == NOW + 99 * DAY + PUBLISHED_BEFORE_USE
    )


def test_a_successor_that_waits_is_enough() -> None:
    end = a_key("RS256").activates_at + 10 * DAY

    ring = successor_of(KeyRing(keys=(a_key("RS256"),)), "RS256", end - DAY, 1)

    assert ring.next_activation("RS256", end - DAY, every=10 * DAY) is None
    assert ring.signing("RS256", end - timedelta(seconds=1)).kid == a_key("RS256").kid
    assert ring.signing("RS256", end).kid == a_key("RS256", 1).kid


def test_a_key_is_listed_until_its_last_token_is_over() -> None:
    end = a_key("RS256").activates_at + 10 * DAY
    over = end + LONGEST_LIFE + LISTED_AFTER_EXPIRY

    ring = successor_of(KeyRing(keys=(a_key("RS256"), a_key("ES256"))), "RS256", end - DAY, 1)

    assert {jwk.kid for jwk in ring.jwks(over - timedelta(seconds=1)).keys} >= {a_key("RS256").kid}
    assert a_key("RS256").kid not in {jwk.kid for jwk in ring.jwks(over).keys}
    assert ring.verifying(a_key("RS256").kid, over) is None
    assert ring.verifying(a_key("RS256").kid, over + 100 * DAY) is None, "nor ever after"
    assert [key.kid for key in ring.pruned(over).keys] == [a_key("ES256").kid, a_key("RS256", 1).kid]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(min_value=1, max_value=9 * 24), min_size=5, max_size=40))
def test_no_token_outlives_its_key_and_no_key_signs_unannounced(hours_between_rounds: list[int]) -> None:
    ring, now = KeyRing(), NOW
    published: dict[str, datetime] = {}
    last_expiry: dict[str, datetime] = {}
    for count, hours in enumerate(hours_between_rounds):
        ring = successor_of(ring, "ES256", now, count)
        for jwk in ring.jwks(now).keys:
            published.setdefault(jwk.kid, now)
        for moment in (now + timedelta(minutes=30 * n) for n in range(2 * hours)):
            signer = ring.signing("ES256", moment).kid
            last_expiry[signer] = moment + LONGEST_LIFE
            listed = {jwk.kid for jwk in ring.jwks(moment).keys}

            assert signer == a_key("ES256", 0).kid or moment - published[signer] >= PUBLISHED_BEFORE_USE
            assert {kid for kid, expiry in last_expiry.items() if moment < expiry} <= listed
        now += timedelta(hours=hours)
