"""Proofs of possession: RFC 9449's own example, and every way in which one does not hold."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, RSAKey

from genkan.tokens import base64url, dpop

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
URL = "https://login.example.com/contoso/emergency/v1.0/contain"
KEY = ECKey.generate_key("P-256")
RSA = RSAKey.generate_key(2048)

RFC_9449_FIGURE_2 = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoR"
    "jQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJq"
    "dGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0Ijox"
    "NTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
)


def a_proof(
    key: Any = KEY, *, head: dict[str, Any] | None = None, signed_as: str = "ES256", **said: Any
) -> str:
    claims = {"jti": "one", "htm": "POST", "htu": URL, "iat": NOW.timestamp(), **said}
    header = {"typ": "dpop+jwt", "alg": signed_as, "jwk": key.as_dict(private=False), **(head or {})}
    payload = json.dumps({name: value for name, value in claims.items() if value is not None})
    registry = jws.JWSRegistry(algorithms=[signed_as], strict_check_header=False)
    return jws.serialize_compact(header, payload, key, registry=registry)


def read(text: str, **said: Any) -> dpop.Proof | None:
    return dpop.read(text, **{"method": "POST", "url": URL, "now": NOW, **said})


def test_the_example_of_the_rfc_holds_at_its_time_and_place() -> None:
    at = datetime.fromtimestamp(1562262616, UTC)

    found = dpop.read(RFC_9449_FIGURE_2, method="POST", url="https://server.example.com/token", now=at)

    assert found is not None
    assert found.thumbprint == "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


@pytest.mark.parametrize(("key", "algorithm"), [(KEY, "ES256"), (RSA, "RS256"), (RSA, "PS256")])
def test_a_proof_of_each_algorithm_holds_and_names_its_key(key: Any, algorithm: str) -> None:
    found = read(a_proof(key, signed_as=algorithm))

    assert found is not None
    assert found.thumbprint == key.thumbprint()


@pytest.mark.parametrize(
    "said",
    [
        {"htm": "GET"},
        {"htm": "post"},
        {"htm": None},
        {"htu": URL + "/more"},
        {"htu": URL.replace("https", "http")},
        {"htu": URL.replace("login", "evil")},
        {"htu": URL.replace("login.example.com", "login.example.com:8443")},
        {"htu": URL.replace("https://", "https://me@")},
        {"htu": "https://[nonsense"},
        {"htu": None},
        {"iat": NOW.timestamp() - 61},
        {"iat": NOW.timestamp() + 61},
        {"iat": None},
        {"iat": "now"},
        {"jti": ""},
        {"jti": None},
        {"jti": 7},
        {"ath": base64url.encode(sha256(b"a token").digest())},
        {"head": {"typ": "JWT"}},
        {"head": {"typ": "at+jwt"}},
        {"head": {"crit": ["b64"], "b64": True}},
        {"head": {"jwk": {}}},
        {"head": {"jwk": ECKey.generate_key("P-256").as_dict(private=False)}},
        {"head": {"jwk": KEY.as_dict(private=True)}},
        {"head": {"jwk": {"kty": "oct", "k": "c2VjcmV0"}}},
    ],
)
def test_a_proof_of_something_else_does_not_hold(said: dict[str, Any]) -> None:
    assert read(a_proof(**said)) is None


def test_keys_that_are_too_weak_or_of_another_curve_prove_nothing() -> None:
    assert read(a_proof(ECKey.generate_key("P-384"), signed_as="ES384")) is None
    with pytest.warns(SecurityWarning):
        weak = a_proof(RSAKey.generate_key(1024), signed_as="RS256")
    assert read(weak) is None


def test_an_unsigned_or_symmetric_proof_does_not_hold() -> None:
    head = {"typ": "dpop+jwt", "jwk": KEY.as_dict(private=False)}
    _, body, signature = a_proof().split(".")

    for algorithm in ("none", "HS256"):
        forged = base64url.encode(json.dumps({**head, "alg": algorithm}).encode())
        assert read(f"{forged}.{body}.") is None
        assert read(f"{forged}.{body}.{signature}") is None


def test_the_edges_of_time_and_the_spelling_of_an_address_do_not_matter() -> None:
    assert read(a_proof(iat=(NOW - dpop.FRESH).timestamp())) is not None
    assert read(a_proof(iat=(NOW + dpop.FRESH).timestamp())) is not None
    assert read(a_proof(htu="HTTPS://LOGIN.example.com:443/contoso/emergency/v1.0/contain?x=1#y")) is not None
    assert dpop.KEPT > 2 * dpop.FRESH


def test_a_proof_is_for_the_token_that_comes_with_it() -> None:
    bound = a_proof(ath=base64url.encode(sha256(b"a token").digest()))

    assert read(bound, access_token="a token") is not None
    assert read(bound, access_token="another") is None
    assert read(a_proof(), access_token="a token") is None


def test_the_id_is_one_for_a_key_and_its_jti() -> None:
    one, again, other = (read(a_proof(jti=jti)) for jti in ("one", "one", "other"))
    of_another_key = read(a_proof(ECKey.generate_key("P-256")))

    assert one
    assert again
    assert other
    assert of_another_key
    assert one.id == again.id
    assert len({one.id, other.id, of_another_key.id}) == 3


@given(
    st.text(max_size=80)
    | st.binary(max_size=80).map(base64url.encode).map(lambda part: f"{part}.{part}.{part}")
)
def test_nonsense_does_not_hold(text: str) -> None:
    assert read(text) is None


@pytest.mark.parametrize("size", [dpop.LONGEST - 200, dpop.LONGEST + 1])
def test_an_overlong_proof_is_not_even_read(size: int) -> None:
    proof = a_proof(jti="x" * (size * 3 // 4 - 300))

    assert (read(proof) is not None) is (len(proof) <= dpop.LONGEST)


@pytest.mark.parametrize(
    "jwk",
    [
        {},
        {"kty": "EC"},
        {"kty": "EC", "crv": "P-256", "x": 7, "y": "AA"},
        {"kty": ["EC"]},
        {"kty": "OKP", "x": "A"},
    ],
)
def test_what_is_no_public_key_has_no_thumbprint(jwk: dict[str, Any]) -> None:
    assert dpop.thumbprint(jwk) is None
