"""The discovery document says what there is, in the forms that MSAL and generic clients read."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from genkan.tokens import metadata
from genkan.tokens.claims import IdToken, id_token
from tests.tokens.world import BASE_URL, ISSUE, TENANT

ROOT = "https://id.example.com/11111111-2222-3333-4444-555555555555"


def document(base_url: str = BASE_URL) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(msgspec.json.encode(metadata.discovery(base_url, TENANT)))
    return read


def test_addresses_are_those_of_the_tenant_id() -> None:
    assert {name: value for name, value in document().items() if isinstance(value, str)} == {
        "issuer": f"{ROOT}/v2.0",
        "authorization_endpoint": f"{ROOT}/oauth2/v2.0/authorize",
        "token_endpoint": f"{ROOT}/oauth2/v2.0/token",
        "end_session_endpoint": f"{ROOT}/oauth2/v2.0/logout",
        "jwks_uri": f"{ROOT}/discovery/v2.0/keys",
        "genkan_emergency_endpoint": f"{ROOT}/emergency/v1.0",
        "genkan_emergency_page": f"{ROOT}/lost-device",
    }


def test_a_slash_at_the_end_of_the_base_makes_no_difference() -> None:
    assert document(BASE_URL + "/") == document()


def test_aliases_make_no_difference() -> None:
    renamed = replace(TENANT, name="renamed", aliases=("a", "b"))

    assert metadata.discovery(BASE_URL, renamed) == metadata.discovery(BASE_URL, TENANT)


@pytest.mark.proves("OA-091")
def test_nothing_is_empty_or_null() -> None:
    for name, value in document().items():
        assert value, name
        assert value is True or isinstance(value, str | dict) or all(value), name


def test_features_that_do_not_exist_are_not_named() -> None:
    found = document()

    assert found["grant_types_supported"] == ["refresh_token", "client_credentials"]
    assert found["genkan_native_auth"] == {"v1": True}
    for name in (
        "authorization_challenge_endpoint",
        "device_authorization_endpoint",
        "dpop_signing_alg_values_supported",
        "introspection_endpoint",
        "pushed_authorization_request_endpoint",
        "revocation_endpoint",
        "userinfo_endpoint",
    ):
        assert name not in found


def test_the_algorithms_are_those_in_use() -> None:
    both = metadata.discovery(BASE_URL, TENANT, ("RS256", "ES256"))

    assert document()["id_token_signing_alg_values_supported"] == ["RS256"]
    assert both.id_token_signing_alg_values_supported == ("RS256", "ES256")


@pytest.mark.proves("OA-071")
def test_levels_of_assurance_are_published() -> None:
    assert document()["acr_values_supported"] == [
        "urn:genkan:acr:otp",
        "urn:genkan:acr:pwd",
        "urn:genkan:acr:mfa",
    ]


def test_the_claims_named_are_claims_we_send() -> None:
    sent = {field.name for field in msgspec.structs.fields(IdToken)}

    assert set(document()["claims_supported"]) <= sent
    assert isinstance(id_token(ISSUE), IdToken)
