"""
What apps and APIs find of a tenant without asking anybody: the discovery document and the keys.

Source: native-auth-v1 9.5, 9.6; rows 198 to 200; KEY-03, TOK-19.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.server import new_address
from tests.wire import strict
from tests.wire.journeys import OPENID, PASSWORD, account_by_password, first_factor_by_password
from tests.wire.servers import StrictServer, World, in_process

TENANT_ID = "aaaaaaaa-0000-4000-8000-000000000001"
ROOTS = ("/dev", "/dev.onmicrosoft.com", f"/{TENANT_ID}", "/DEV", f"/{TENANT_ID.upper()}")
DOCUMENTS = ("/v2.0/.well-known/openid-configuration", "/.well-known/openid-configuration")
KEYS = "/discovery/v2.0/keys"
DIRECTORY = "00000002-0000-0000-c000-000000000000"
SIGNED: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
"""The clock of this server is not that of the library."""


def fetched(server: StrictServer, path: str, root: str = "/dev") -> dict[str, Any]:
    answer = server.http.get(f"{server.base}{root}{path}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].partition(";")[0] == "application/json"
    return dict(answer.json())


# The document. --------------------------------------------------------------------------------------


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("path", DOCUMENTS)
@pytest.mark.proves("V1-198")
def test_the_document_is_the_same_under_every_name_of_the_tenant_and_at_both_paths(
    server: StrictServer, path: str, root: str
) -> None:
    assert fetched(server, path, root) == fetched(server, DOCUMENTS[0])


@pytest.mark.parametrize("path", DOCUMENTS)
@pytest.mark.proves("V1-198")
def test_a_query_and_doubled_slashes_do_no_harm(server: StrictServer, path: str) -> None:
    assert fetched(server, f"/{path}?dc=ESTS-PUB-WEULR1&api-version=1.0") == fetched(server, path)


@pytest.mark.parametrize("path", [*DOCUMENTS, KEYS])
@pytest.mark.proves("V1-198")
def test_an_unknown_tenant_has_none(server: StrictServer, path: str) -> None:
    answer = server.http.get(f"{server.base}/nobody{path}")

    assert answer.status_code in (400, 404)
    assert "issuer" not in answer.text


@pytest.mark.proves("V1-199")
def test_the_document_has_what_msal_demands_as_strings(server: StrictServer) -> None:
    document = fetched(server, DOCUMENTS[0])

    for name in ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri", "end_session_endpoint"):
        assert isinstance(document[name], str), name
        assert document[name].startswith(server.base), "scheme and host are those of the authority"
    assert document["issuer"] == f"{server.base}/{TENANT_ID}/v2.0"
    assert document["subject_types_supported"] == ["pairwise"]
    assert document["id_token_signing_alg_values_supported"] == ["RS256"]
    assert set(document["scopes_supported"]) == {"openid", "profile", "email", "offline_access"}
    assert document["code_challenge_methods_supported"] == ["S256"]


@pytest.mark.proves("V1-199")
def test_what_the_document_names_is_there(server: StrictServer) -> None:
    document = fetched(server, DOCUMENTS[0])
    tokens = first_factor_by_password(server, account_by_password(server), OPENID).ok()
    form = {"client_id": server.password_app, "grant_type": "refresh_token"}

    keys = server.http.get(document["jwks_uri"])
    refreshed = server.http.post(
        document["token_endpoint"], data={**form, "refresh_token": tokens["refresh_token"]}
    )

    assert keys.json()["keys"]
    assert refreshed.status_code == 200


@pytest.mark.parametrize("path", [*DOCUMENTS, KEYS])
@pytest.mark.proves("TOK-19")
def test_the_addresses_come_from_configuration_and_not_from_the_request(
    server: StrictServer, path: str
) -> None:
    for headers in (
        {"host": "evil.example"},
        {"x-forwarded-host": "evil.example", "x-forwarded-proto": "https"},
        {"forwarded": "host=evil.example;proto=https"},
    ):
        answer = server.http.get(f"{server.base}/dev{path}", headers=headers)

        assert answer.json() == fetched(server, path)


@pytest.mark.parametrize("path", [*DOCUMENTS, KEYS])
def test_the_documents_may_be_kept_for_an_hour(server: StrictServer, path: str) -> None:
    answer = server.http.get(f"{server.base}/dev{path}")

    assert answer.headers["cache-control"] == "public, max-age=3600"


# The keys. ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("root", ROOTS)
def test_the_keys_are_public_ones_and_the_same_under_every_name(server: StrictServer, root: str) -> None:
    keys = fetched(server, KEYS, root)["keys"]

    assert keys == fetched(server, KEYS)["keys"]
    for key in keys:
        members = {"RSA": {"n", "e"}, "EC": {"crv", "x", "y"}}[key["kty"]]
        assert key.keys() == {"kty", "use", "alg", "kid"} | members
        assert key["use"] == "sig"
    assert {key["alg"] for key in keys} == {"RS256", "ES256"}
    assert len({key["kid"] for key in keys}) == len(keys)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[World]:
    """A world of its own: its clock is moved by months, and its keys change."""
    with in_process(tmp_path / "data") as world:
        yield world


def test_the_next_key_is_as_large_as_the_tenant_says_and_the_first_has_2048_bits(fresh: World) -> None:
    def sizes() -> list[int]:
        return [len(key["n"]) * 6 // 8 * 8 for key in fetched(fresh, KEYS)["keys"] if key["kty"] == "RSA"]

    assert sizes() == [2048]
    with fresh.changed(rsa_bits=3072):
        fresh.advance(timedelta(days=89, hours=1).total_seconds())
        fresh.run(fresh._development._tenant._rotate_keys())
        assert sorted(sizes()) == [2048, 3072]


@pytest.mark.proves("V1-200", "KEY-03")
def test_while_keys_change_every_token_that_is_still_good_can_be_verified(fresh: World) -> None:
    fresh.person(address := new_address(), password=PASSWORD)
    begun = fresh.now
    issued: list[tuple[str, str]] = []
    listed_first: dict[str, datetime] = {}
    signed_first: dict[str, datetime] = {}
    counts: list[int] = []

    for days in (0, 88.9, 89.01, 89.5, 89.99, 90.001, 90.02, 90.03, 90.05, 91, 180.5):
        fresh.advance(max(0, (begun + timedelta(days=days) - fresh.now).total_seconds()))
        fresh.run(fresh._development._tenant._rotate_keys())
        tokens = first_factor_by_password(fresh, address, OPENID).ok()
        issued += [(tokens["id_token"], fresh.password_app), (tokens["access_token"], DIRECTORY)]

        keys = jwt.PyJWKSet.from_dict(fetched(fresh, KEYS))
        ids = {str(key.key_id) for key in keys.keys}
        for kid in ids:
            listed_first.setdefault(kid, fresh.now)
        signed_first.setdefault(strict.jwt(tokens["id_token"])[0]["kid"], fresh.now)
        counts.append(len([key for key in keys.keys if key.algorithm_name == "RS256"]))
        for token, audience in issued:
            header, claims = strict.jwt(token)
            if claims["exp"] > fresh.now.timestamp():
                jwt.decode(
                    token, keys[header["kid"]], algorithms=["RS256"], audience=audience, options=SIGNED
                )

    assert counts == [1, 1, 2, 2, 2, 2, 2, 2, 2, 1, 2]
    assert len(signed_first) == 2
    for kid, at in list(signed_first.items())[1:]:
        assert at - listed_first[kid] >= timedelta(hours=23), "published a day before it signs"
