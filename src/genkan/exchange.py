"""
Requests and responses as plain values: server and framework objects stop at `wire/http.py`.

Knows nothing of sockets, of any dialect, or of what an answer means.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request, read whole. Header names are lower case."""

    method: str
    path: str
    """Below the tenant segment, lower case, single slashes, as `/oauth2/v2.0/token`."""
    query: str = ""
    headers: Mapping[str, str] = {}
    body: bytes = b""
    address: str = ""
    """The client's IP address, an IPv4-mapped IPv6 address unwrapped."""
    correlation_id: str = ""
    trace_id: str = ""
    base_url: str = ""
    """The public base URL from settings, without a trailing slash; never taken from `Host`."""

    @property
    def media_type(self) -> str:
        """What the body is said to be, in lower case and without parameters; empty where nothing is said."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def bearer(self) -> str:
        """The bearer token that is shown (RFC 6750 2.1); empty where there is none."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP answer. `stream` is for server-sent events and excludes `body`."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    stream: AsyncIterator[bytes] | None = None


STRICT_TRANSPORT = ("strict-transport-security", "max-age=31536000; includeSubDomains")


def page_headers(policy: str, *, strict_transport: bool) -> tuple[tuple[str, str], ...]:
    """
    The headers of everything a browser shows (BRW-04). `policy`: what it may load and do.

    `strict_transport` stays off on localhost: a browser would hold every other program there to https for a year.
    """
    headers = (
        ("content-security-policy", policy),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
    )
    return (*headers, STRICT_TRANSPORT) if strict_transport else headers


_encode = msgspec.json.Encoder().encode


def json_response(body: Any, status: int = 200, *headers: tuple[str, str]) -> Response:
    """A JSON answer that no cache keeps."""
    return Response(status=status, body=_encode(body), headers=headers)
