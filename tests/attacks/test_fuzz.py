"""
Schemathesis against the running server: every endpoint described as OpenAPI, and called as described and otherwise.

Whatever is sent, no answer is a fault, and the log holds no traceback.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case

from tests.attacks.journeys import ENDPOINTS, TOKEN, challenged, first_factor, person, with_phone
from tests.attacks.target import Outside
from tests.server import Server, running

OTP_APP = "aaaaaaaa-0000-4000-8000-0000000000a1"
PASSWORD_APP = "aaaaaaaa-0000-4000-8000-0000000000a2"

WORDS: dict[str, list[str]] = {
    "client_id": [OTP_APP, PASSWORD_APP, OTP_APP.upper()],
    "username": ["ada@example.com", "bob@example.com"],
    "challenge_type": ["oob redirect", "password redirect", "oob password redirect"],
    "capabilities": ["mfa_required registration_required", "mfa_required,registration_required"],
    "grant_type": ["oob", "mfa_oob", "password", "continuation_token", "refresh_token", "attributes"],
    "scope": ["openid", "api://genkan-demo/Things.Read"],
    "challenge_channel": ["email", "sms"],
    "challenge_target": ["+44 7911 123456", "eve@example.com"],
}
TEXTS = "continuation_token id oob password new_password attributes claims refresh_token client_info capability".split()


def schema() -> dict[str, Any]:
    """What there is to call."""
    fields: dict[str, Any] = {name: {"type": "string", "enum": words} for name, words in WORDS.items()}
    fields |= {name: {"type": "string"} for name in TEXTS}
    form = {"schema": {"type": "object", "properties": fields, "required": ["client_id"]}}
    answers = {"responses": {"default": {"description": "any"}}}
    paths: dict[str, Any] = {
        f"/dev{path}": {
            "post": {
                "requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": form}},
                "parameters": [_header("client-request-id"), _header("origin"), _header("x-client-sku")],
                **answers,
            }
        }
        for path in ENDPOINTS
    }
    clock = {
        "type": "object",
        "properties": {"advance_seconds": {"type": "number", "maximum": 100}, "now": {"type": "string"}},
    }
    paths |= {
        "/dev/v2.0/.well-known/openid-configuration": {"get": answers},
        "/dev/discovery/v2.0/keys": {"get": answers},
        "/dev/clock": {"get": answers, "post": {**_json(clock), **answers}},
        "/dev/reset": {"post": answers},
        "/dev/inbox/messages": {
            "get": {"parameters": [_query(name) for name in ("to", "channel", "after", "limit")], **answers},
            "delete": answers,
        },
        "/dev/inbox/html": {"get": {"parameters": [_query("id")], **answers}},
        "/dev/inbox": {"get": answers},
        "/": {"get": answers},
        "/static/{name}": {
            "get": {
                "parameters": [
                    {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
                ],
                **answers,
            }
        },
        "/{tenant}/oauth2/v2.0/token": {
            "post": {
                "parameters": [
                    {"name": "tenant", "in": "path", "required": True, "schema": {"type": "string"}}
                ],
                "requestBody": {"content": {"application/x-www-form-urlencoded": form}},
                **answers,
            }
        },
    }
    return {"openapi": "3.1.0", "info": {"title": "Genkan", "version": "1"}, "paths": paths}


def _header(name: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "schema": {"type": "string"}}


def _query(name: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": {"type": "string"}}


def _json(body: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": body}}}}


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A process of its own, since it is reset and its clock is moved; its log is read when all is over."""
    with running(tmp_path_factory.mktemp("fuzz") / "data") as process:
        yield process
    assert "Traceback" not in process.log
    assert "http.fault" not in process.log


described = schemathesis.openapi.from_dict(schema())


@described.parametrize()
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_no_call_is_answered_with_a_fault(fuzzed: Server, case: Case) -> None:
    response = case.call(base_url=fuzzed.base, timeout=30)

    assert response.status_code < 500, response.text
    assert "Traceback" not in response.text
    if "application/json" in str(response.headers.get("content-type")) and response.content:
        assert isinstance(response.json(), dict)


def test_after_all_of_that_people_sign_in_as_before(fuzzed: Server) -> None:
    target = Outside(fuzzed)
    who = with_phone(target, person(target))

    assert first_factor(target, who).error[1] == "mfa_required"
    token, code = challenged(target, who)
    form = {"client_id": who.client, "continuation_token": token, "grant_type": "oob", "oob": code}
    tokens = target.post(TOKEN, None, **form, scope="openid").ok()
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", tokens["access_token"])
