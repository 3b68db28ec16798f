"""Tokens are what the JOSE RFCs say, other libraries accept them, and nothing but them is accepted here."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

import jwt as pyjwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import KeySet

from genkan.tokens import base64url, metadata
from genkan.tokens.claims import access_token, id_token
from genkan.tokens.jwt import LONGEST_TOKEN, Flaw, sign, verify
from genkan.tokens.keys import Algorithm, KeyRing, SigningKey, Typ
from tests.tokens.world import APP, BASE_URL, ISSUE, NOW, RING, TENANT, THINGS, a_key

# RFC 7515 appendices A.2 and A.3.
RFC_PAYLOAD = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
RFC_RSA = {
    "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SF"
    "d2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTB"
    "EMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2"
    "PAcDTW9gb54h4FRWyuXpoQ",
    "d": "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46sui395"
    "IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZH"
    "HzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjn"
    "czT0QU91p1DhOVRuOopznQ",
}
RFC_RSA_SIGNATURE = (
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CU"
    "Ar7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_d"
    "O--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0ig"
    "cN_IoypGlUPQGe77Rw"
)
RFC_EC_SECRET = "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"
RFC_EC_SIGNATURE = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"

ALGORITHMS: tuple[Algorithm, ...] = ("RS256", "ES256")


def number(text: str) -> int:
    return int.from_bytes(base64url.decode(text) or b"")


def rfc_rsa_key() -> SigningKey:
    n, e, d = number(RFC_RSA["n"]), 65537, number(RFC_RSA["d"])
    p, q = rsa.rsa_recover_prime_factors(n, e, d)
    private = rsa.RSAPrivateNumbers(
        p=p,
        q=q,
        d=d,
        dmp1=rsa.rsa_crt_dmp1(d, p),
        dmq1=rsa.rsa_crt_dmq1(d, q),
        iqmp=rsa.rsa_crt_iqmp(p, q),
        public_numbers=rsa.RSAPublicNumbers(e, n),
    ).private_key()
    return from_private(private)


def rfc_ec_key() -> SigningKey:
    return from_private(ec.derive_private_key(number(RFC_EC_SECRET), ec.SECP256R1()))


def from_private(private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> SigningKey:
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return SigningKey.from_pem(pem, created_at=NOW, activates_at=NOW)


def claims_now(**others: object) -> dict[str, object]:
    now = int(NOW.timestamp())
    return {
        "iss": ISSUE.issuer,
        "aud": THINGS.id,
        "iat": now,
        "nbf": now,
        "exp": now + 600,
        "oid": "someone",
        **others,
    }


def check(token: str, *, ring: KeyRing = RING, typ: Typ = "at+jwt", **others: Any) -> dict[str, Any] | Flaw:
    wanted: dict[str, Any] = {"issuer": ISSUE.issuer, "audience": THINGS.id, "now": NOW} | others
    return verify(token, ring, typ=typ, **wanted)


def forged(header: dict[str, object], claims: object, key: SigningKey | None = None) -> str:
    """Return a token with any header, signed by a real key all the same."""
    key = key or a_key()
    content = ".".join(base64url.encode(msgspec.json.encode(part)) for part in (header, claims))
    return f"{content}.{base64url.encode(key.sign(content.encode()))}"


def header_of(key: SigningKey, **others: object) -> dict[str, object]:
    return {"typ": "at+jwt", "alg": key.algorithm, "kid": key.kid, **others}


# The forms of the RFCs. -----------------------------------------------------------------------------


def test_rs256_is_that_of_the_rfc() -> None:
    content = f"eyJhbGciOiJSUzI1NiJ9.{RFC_PAYLOAD}".encode()

    signature = rfc_rsa_key().sign(content)

    assert base64url.encode(signature) == RFC_RSA_SIGNATURE
    assert rfc_rsa_key().verifies(signature, content)


def test_es256_is_that_of_the_rfc() -> None:
    content = f"eyJhbGciOiJFUzI1NiJ9.{RFC_PAYLOAD}".encode()
    signature = base64url.decode(RFC_EC_SIGNATURE)
    assert signature is not None

    assert rfc_ec_key().verifies(signature, content)
    assert not rfc_ec_key().verifies(signature[32:] + signature[:32], content)


@pytest.mark.proves("OA-082")
@pytest.mark.parametrize("typ", ["JWT", "at+jwt"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_header_names_type_algorithm_and_listed_key(algorithm: Algorithm, typ: Typ) -> None:
    token = sign(claims_now(), a_key(algorithm), typ)

    header = json.loads(base64url.decode(token.split(".")[0]) or b"")

    assert header == {"typ": typ, "alg": algorithm, "kid": a_key(algorithm).kid}
    assert header["kid"] in {jwk.kid for jwk in RING.jwks(NOW).keys}


@pytest.mark.proves("V1-185")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_pyjwt_accepts_our_id_token(algorithm: Algorithm) -> None:
    token = sign(id_token(ISSUE), a_key(algorithm), "JWT")
    keys = pyjwt.PyJWKSet.from_json(msgspec.json.encode(RING.jwks(NOW)).decode())

    claims = pyjwt.decode(
        token,
        keys[pyjwt.get_unverified_header(token)["kid"]],
        algorithms=[algorithm],
        audience=APP.id,
        issuer=metadata.discovery(BASE_URL, TENANT).issuer,
        options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
    )

    assert claims["oid"] == ISSUE.subject.id


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_joserfc_accepts_our_access_token(algorithm: Algorithm) -> None:
    token = sign(access_token(ISSUE), a_key(algorithm), "at+jwt")
    keys = KeySet.import_key_set(json.loads(msgspec.json.encode(RING.jwks(NOW))))

    read = joserfc_jwt.decode(token, keys, algorithms=[algorithm])

    assert read.header["typ"] == "at+jwt"
    assert read.claims["aud"] == THINGS.id


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_we_accept_our_own(algorithm: Algorithm) -> None:
    claims = check(sign(access_token(ISSUE), a_key(algorithm), "at+jwt"))

    assert isinstance(claims, dict)
    assert claims["scp"] == "Things.Read Things.Write"


def test_a_token_of_before_a_rotation_still_counts() -> None:
    token = sign(claims_now(), a_key("RS256"), "at+jwt")
    key = msgspec.structs.replace(a_key("RS256", 1), activates_at=NOW + timedelta(minutes=1))
    ring = RING.joined(key, timedelta(hours=1)).pruned(NOW)

    assert isinstance(check(token, ring=ring, now=NOW + timedelta(minutes=9)), dict)


# Attacks. -------------------------------------------------------------------------------------------


@pytest.mark.proves("TOK-01", "OA-086")
def test_alg_none_is_refused() -> None:
    content = ".".join(
        base64url.encode(msgspec.json.encode(part)) for part in (header_of(a_key(), alg="none"), claims_now())
    )

    assert check(content + ".") is Flaw.WRONG_ALGORITHM
    assert check(content) is Flaw.MALFORMED


@pytest.mark.proves("TOK-01")
@pytest.mark.parametrize("encoding", [(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), "modulus"])
def test_hmac_with_the_public_key_is_refused(encoding: Any) -> None:
    key = a_key("RS256")
    public = (
        base64url.decode(key.jwk.n) or b"" if encoding == "modulus" else key.public.public_bytes(*encoding)
    )
    content = ".".join(
        base64url.encode(msgspec.json.encode(part)) for part in (header_of(key, alg="HS256"), claims_now())
    )
    token = f"{content}.{base64url.encode(hmac.digest(public, content.encode(), hashlib.sha256))}"

    assert check(token) is Flaw.WRONG_ALGORITHM


@pytest.mark.proves("TOK-01")
@pytest.mark.parametrize("other", ["PS256", "RS512", "ES256", "rs256", ""])
def test_the_key_and_not_the_token_names_the_algorithm(other: str) -> None:
    key = a_key("RS256")

    assert check(forged(header_of(key, alg=other), claims_now(), key)) is Flaw.WRONG_ALGORITHM


@pytest.mark.proves("TOK-01")
def test_a_key_brought_along_is_ignored() -> None:
    thief = a_key("RS256", 7)
    baits: dict[str, object] = {
        "jwk": msgspec.to_builtins(thief.jwk),
        "jku": "https://thief.example/keys",
        "x5u": "https://thief.example/certificate",
        "x5c": ["MIIB"],
    }

    assert check(forged(header_of(thief, **baits), claims_now(), thief)) is Flaw.UNKNOWN_KEY
    assert (
        check(forged(header_of(thief, **baits, kid=a_key().kid), claims_now(), thief)) is Flaw.BAD_SIGNATURE
    )
    assert isinstance(check(forged(header_of(a_key(), **baits), claims_now())), dict)


@pytest.mark.proves("TOK-01")
@pytest.mark.parametrize(
    "kid", ["../../dev/null", "/etc/hostname", "' OR '1'='1", "https://thief.example/key", "", "\x00", "*"]
)
def test_a_kid_is_looked_up_and_never_followed(kid: str) -> None:
    assert check(forged(header_of(a_key(), kid=kid), claims_now())) is Flaw.UNKNOWN_KEY


@pytest.mark.proves("TOK-02", "OA-086")
@pytest.mark.parametrize(
    ("made_as", "asked_as"),
    [("JWT", "at+jwt"), ("at+jwt", "JWT")],
)
def test_one_kind_of_token_is_never_taken_for_another(made_as: Typ, asked_as: Typ) -> None:
    assert check(sign(claims_now(), a_key(), made_as), typ=asked_as) is Flaw.WRONG_TYPE


@pytest.mark.proves("TOK-02")
@pytest.mark.parametrize("typ", ["secevent+jwt", "logout+jwt", "application/at+jwt", "AT+JWT", "at+jwt ", ""])
def test_the_type_is_compared_exactly(typ: str) -> None:
    header = header_of(a_key()) | {"typ": typ}

    assert check(forged(header, claims_now())) is Flaw.WRONG_TYPE


@pytest.mark.proves("TOK-02", "OA-086")
@pytest.mark.parametrize(
    ("claims", "flaw"),
    [
        ({"iss": ISSUE.issuer + "/"}, Flaw.WRONG_ISSUER),
        ({"iss": ISSUE.issuer.upper()}, Flaw.WRONG_ISSUER),
        ({"aud": APP.id}, Flaw.WRONG_AUDIENCE),
        ({"aud": ""}, Flaw.WRONG_AUDIENCE),
        ({"aud": [THINGS.id, APP.id]}, Flaw.MALFORMED),
        ({"exp": "9999999999"}, Flaw.MALFORMED),
        ({"exp": None}, Flaw.MALFORMED),
        ({"nbf": True}, Flaw.MALFORMED),
    ],
)
def test_claims_must_be_for_us(claims: dict[str, object], flaw: Flaw) -> None:
    assert check(sign(claims_now(**claims), a_key(), "at+jwt")) is flaw


@pytest.mark.parametrize("missing", ["iss", "aud", "exp", "nbf", "iat"])
def test_every_bound_must_be_there(missing: str) -> None:
    claims = {name: value for name, value in claims_now().items() if name != missing}

    assert check(sign(claims, a_key(), "at+jwt")) is Flaw.MALFORMED


@pytest.mark.proves("TIM-02", "OA-086")
@pytest.mark.parametrize(
    ("claim", "seconds", "flaw"),
    [
        ("exp", 1, None),
        ("exp", 0, Flaw.EXPIRED),
        ("exp", -1, Flaw.EXPIRED),
        ("nbf", 60, None),
        ("nbf", 61, Flaw.NOT_YET_VALID),
        ("iat", 60, None),
        ("iat", 61, Flaw.NOT_YET_VALID),
        ("nbf", -86_400, None),
    ],
)
def test_the_beginning_has_a_minute_of_grace_and_the_end_none(
    claim: str, seconds: int, flaw: Flaw | None
) -> None:
    token = sign(claims_now(**{claim: int(NOW.timestamp()) + seconds}), a_key(), "at+jwt")

    found = check(token)

    assert found is flaw if flaw else isinstance(found, dict)


def test_expiry_counts_parts_of_a_second() -> None:
    token = sign(claims_now(exp=int(NOW.timestamp()) + 1), a_key(), "at+jwt")

    assert isinstance(check(token, now=NOW + timedelta(milliseconds=999)), dict)
    assert check(token, now=NOW + timedelta(seconds=1)) is Flaw.EXPIRED


@pytest.mark.parametrize("crit", [["exp"], [], None])
def test_extensions_that_must_be_understood_are_refused(crit: object) -> None:
    assert check(forged(header_of(a_key(), crit=crit), claims_now())) is Flaw.MALFORMED


@pytest.mark.parametrize(
    "token",
    [
        "",
        "..",
        "a.b",
        "a.b.c.d",
        "{}.{}.{}",
        "e30.e30.e30",
        "\u2026.\u2026.\u2026",
        "." * LONGEST_TOKEN,
        base64url.encode(b"[" * 9000) + ".e30.e30",
        base64url.encode(b'"text"') + ".e30.e30",
    ],
)
def test_what_is_no_token_is_malformed(token: str) -> None:
    assert check(token) is Flaw.MALFORMED


def test_an_overlong_token_is_not_even_read() -> None:
    def padded(size: int) -> str:
        return sign(claims_now(padding="x" * size), a_key("ES256"), "at+jwt")

    longest = next(token for size in range(11_700, 12_300) if len(token := padded(size)) > LONGEST_TOKEN - 4)

    assert LONGEST_TOKEN == 16_384
    assert LONGEST_TOKEN - 4 < len(longest) <= LONGEST_TOKEN
    assert isinstance(check(longest), dict)
    assert check(padded(LONGEST_TOKEN)) is Flaw.MALFORMED


@pytest.mark.parametrize("claims", ["text", 1, [], {"iss": 1}])
def test_signed_nonsense_is_malformed(claims: object) -> None:
    assert check(forged(header_of(a_key()), claims)) is Flaw.MALFORMED


def test_signed_bottomless_nesting_is_malformed() -> None:
    key = a_key("ES256")
    content = key.headers["at+jwt"] + base64url.encode(b'{"a":' + b"[" * 5000)

    assert check(f"{content}.{base64url.encode(key.sign(content.encode()))}") is Flaw.MALFORMED


@pytest.mark.parametrize("part", [1, 2])
def test_padding_makes_no_second_spelling(part: int) -> None:
    parts = sign(claims_now(), a_key(), "at+jwt").split(".")
    parts[part] += "="

    assert check(".".join(parts)) is Flaw.MALFORMED


@settings(max_examples=300, deadline=None)
@given(position=st.integers(min_value=0, max_value=10_000), character=st.sampled_from("AaQZz0_-."))
def test_no_changed_token_is_accepted(position: int, character: str) -> None:
    token = sign(claims_now(), a_key("ES256"), "at+jwt")
    position %= len(token)
    changed = token[:position] + character + token[position + 1 :]

    assert changed == token or isinstance(check(changed), Flaw)
