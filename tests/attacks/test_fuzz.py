"""
Schemathesis against the running server: every endpoint of the checked-in OpenAPI description, called as described.

Whatever is sent, no answer is a fault or another than is described, and the log holds no traceback.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.attacks.journeys import TOKEN, challenged, first_factor, person, with_phone
from tests.attacks.target import Outside
from tests.server import Server, running

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.xdist_group("fuzz")

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
ELSEWHERE = {"/dev/inbox/stream", "/dev/inbox/wait", "/healthz", "/readyz", "/delivery/receipts/{provider}"}
"""What does not answer at once, and what development mode does not have."""
ADMINISTRATION = "/v1.0/"
SCALAR = {"type": ["string", "boolean", "null"]}
"""A property of which the description says nothing; whole JSON is for the tests of the administration API."""
ALSO = re.compile(
    r"/microsoft\.graph\.|/graph\.|\(appId=|/usage\(\)|/policies/conditionalAccessPolicies"
    r"|/authenticationStrength/policies"
)
"""Second names of operations that are called by their first."""


@schemathesis.serializer("application/secevent+jwt")
def as_it_is(_: schemathesis.SerializationContext, value: Any) -> bytes:
    """A security event goes as the text that it is."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


def document(*, administration: bool) -> dict[str, Any]:
    """What there is to call: the checked-in description, with words among its values that lead further in."""
    found: dict[str, Any] = json.loads((ROOT / "docs/reference/openapi.json").read_text(encoding="utf-8"))
    found["paths"] = {
        path: entry
        for path, entry in found["paths"].items()
        if path not in ELSEWHERE
        and path.startswith(ADMINISTRATION) == administration
        and not ALSO.search(path)
    }
    for name in (
        "Policy",
        "IpLocation",
        "CountryLocation",
    ):  # To make them up to the last member takes too long.
        properties = found["components"]["schemas"][name]["properties"]
        found["components"]["schemas"][name]["properties"] = dict.fromkeys(properties, SCALAR)
    found["components"]["parameters"]["tenant"]["schema"] = {"enum": ["dev", "dev.onmicrosoft.com", "x"]}
    for entry in found["paths"].values():
        for operation in entry.values():
            if isinstance(operation, dict) and "requestBody" in operation:
                for content in operation["requestBody"]["content"].values():
                    fields = content["schema"].get("properties", {})
                    for name, field in fields.items():
                        if field == {}:
                            fields[name] = SCALAR
                        elif name in WORDS and field == {"type": "string"}:
                            fields[name] = {"type": "string", "enum": WORDS[name]}
    found["paths"].get("/dev/clock", {}).get("post", {}).get("requestBody", {"content": {}})["content"] = {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {
                    "advance_seconds": {"type": "number", "maximum": 100},
                    "now": {"type": "string"},
                },
            }
        }
    }
    return found


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A process of its own, since it is reset and its clock is moved; its log is read when all is over."""
    with running(tmp_path_factory.mktemp("fuzz") / "data") as process:
        yield process
    assert "Traceback" not in process.log
    assert "http.fault" not in process.log


@dataclass
class Administered:
    """A server, a token for everything in it, and the id of something of each kind."""

    server: Server
    headers: dict[str, str]
    ids: dict[str, str]

    def point(self, case: Case) -> None:
        """Let a path lead to something that is there, unless it would be deleted."""
        kind = next((kind for kind in self.ids if case.path.startswith(f"{ADMINISTRATION}{kind}/")), None)
        if kind is not None and case.method != "DELETE" and case.path_parameters.get("id"):
            case.path_parameters["id"] = self.ids[kind]


@pytest.fixture(scope="module")
def administered(fuzzed: Server) -> Administered:
    """The same process, seen by its administration client."""
    admin = fuzzed.told["admin"]
    form = {"grant_type": "client_credentials", "scope": "https://graph.microsoft.com/.default"}
    keys = {"client_id": admin["client_id"], "client_secret": admin["client_secret"]}
    token = fuzzed.http.post(f"{fuzzed.base}/dev{TOKEN}", data=form | keys).json()["access_token"]
    headers = {"authorization": f"Bearer {token}"}

    def made(path: str, body: dict[str, Any]) -> str:
        answer = fuzzed.http.post(f"{fuzzed.base}{ADMINISTRATION}{path}", json=body, headers=headers)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    local = {
        "signInType": "emailAddress",
        "issuer": "dev.onmicrosoft.com",
        "issuerAssignedId": "a@example.com",
    }
    group = {"displayName": "A", "mailNickname": "a", "mailEnabled": False, "securityEnabled": True}
    ids = {
        "users": made("users", {"displayName": "Ada", "identities": [local]}),
        "groups": made("groups", group),
        "applications": made("applications", {"displayName": "An app"}),
        "identity/conditionalAccess/policies": "aaaaaaaa-0000-4000-8000-0000000000d1",
    }
    return Administered(fuzzed, headers, ids)


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
"""No fault, and nothing but what the description says."""

QUICKLY = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)


def operations(*, administration: bool) -> list[Any]:
    """Every operation, as a parameter of a test by its name."""
    schema = schemathesis.openapi.from_dict(document(administration=administration))
    found = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    return [pytest.param(operation, id=operation.label) for operation in found]


@pytest.mark.parametrize("operation", operations(administration=False))
def test_no_call_is_answered_with_a_fault_or_with_what_is_not_described(
    fuzzed: Server, operation: APIOperation
) -> None:
    @given(operation.as_strategy())
    @settings(QUICKLY, max_examples=20)
    def holds(case: Case) -> None:
        response = case.call(base_url=fuzzed.base, timeout=30)
        case.validate_response(response, checks=CHECKS)
        assert "Traceback" not in response.text

    holds()


def test_after_all_of_that_people_sign_in_as_before(fuzzed: Server) -> None:
    target = Outside(fuzzed)
    who = with_phone(target, person(target))

    assert first_factor(target, who).error[1] == "mfa_required"
    token, code = challenged(target, who)
    form = {"client_id": who.client, "continuation_token": token, "grant_type": "oob", "oob": code}
    tokens = target.post(TOKEN, None, **form, scope="openid").ok()
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", tokens["access_token"])


@pytest.mark.parametrize("operation", operations(administration=True))
def test_no_call_of_the_administration_api_is_either(
    administered: Administered, operation: APIOperation
) -> None:
    @given(operation.as_strategy())
    @settings(QUICKLY, max_examples=4)
    def holds(case: Case) -> None:
        administered.point(case)
        response = case.call(base_url=administered.server.base, headers=administered.headers, timeout=30)
        case.validate_response(response, checks=CHECKS)
        assert "Traceback" not in response.text

    holds()
