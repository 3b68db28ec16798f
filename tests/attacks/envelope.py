"""What holds for every answer of a native endpoint, whatever was asked (native-auth-v1 1.4 to 1.6)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tests.server import Reply

GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ")
HANDLE = re.compile(r"[A-Za-z0-9._~-]{1,4095}")
GOES_ON = frozenset({"credential_required", "attributes_required", "verification_required"})
GOES_ON_BY_SUBERROR = frozenset({"mfa_required", "registration_required"})
MEMBERS = frozenset(
    {"error", "error_description", "error_codes", "timestamp", "trace_id", "correlation_id"}
    | {"suberror", "continuation_token", "required_attributes", "invalid_attributes", "unverified_attributes"}
)


def check(reply: Reply, allowed: tuple[int, ...] = (200, 400), correlation: str | None = None) -> None:
    """Fail unless the answer is one that this wire may give."""
    body = reply.body
    assert reply.status in allowed, (reply.status, body)
    assert isinstance(body, dict), body
    assert reply.headers["content-type"].partition(";")[0] == "application/json"
    assert reply.headers["cache-control"] == "no-store"
    assert "www-authenticate" not in reply.headers
    assert "set-cookie" not in reply.headers
    assert "access-control-allow-credentials" not in reply.headers
    assert GUID.fullmatch(reply.headers["x-ms-request-id"])
    assert GUID.fullmatch(reply.headers["client-request-id"])
    if correlation is not None:
        assert reply.headers["client-request-id"] == correlation
    assert None not in _values(body), body
    if "continuation_token" in body:
        assert HANDLE.fullmatch(body["continuation_token"]), body
    if reply.status == 200:
        assert "error" not in body, body
        return
    assert MEMBERS.issuperset(body), body
    assert body["error_codes"], body
    assert all(type(code) is int for code in body["error_codes"]), body
    assert TIMESTAMP.fullmatch(body["timestamp"])
    assert body["trace_id"] == reply.headers["x-ms-request-id"]
    assert body["correlation_id"] == reply.headers["client-request-id"]
    assert body["error_description"].startswith(f"AADSTS{body['error_codes'][0]}: ")
    assert body["trace_id"] in body["error_description"]
    goes_on = body["error"] in GOES_ON or body.get("suberror") in GOES_ON_BY_SUBERROR
    assert ("continuation_token" in body) == goes_on, body


def _values(value: Any) -> Iterator[Any]:
    """Every value in a JSON document, however deep."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from _values(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _values(inner)
    else:
        yield value
