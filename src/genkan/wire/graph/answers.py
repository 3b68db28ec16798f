"""
How answers of the administration API look: objects, collections, links to the next page, and errors.

Knows no noun. Source: admin-graph-api 3.2, 3.3.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from genkan.exchange import Request, Response, json_response

PAGE_LASTS = timedelta(hours=1)
"""How long a link to the next page is good."""
MAC_BYTES = 16


class Fault(Exception):
    """No, in Graph's words. Raised while reading a request; never holds a secret."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: Sequence[Mapping[str, str]] = (),
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details
        self.headers = headers


def bad(message: str, target: str = "", code: str = "") -> Fault:
    """A request that cannot be followed, of a directory object."""
    details = [{"code": code or "Invalid", "message": message, "target": target}] if target or code else []
    return Fault(400, "Request_BadRequest", message, details=details)


def nothing_there(id: str) -> Fault:
    """There is no such directory object."""
    return Fault(
        404,
        "Request_ResourceNotFound",
        f"Resource '{id[:120]}' does not exist or one of its queried reference-property objects are not present.",
    )


def write_fault(fault: Fault, request: Request, now: datetime) -> Response:
    """Return the envelope of an error."""
    error: dict[str, Any] = {"code": fault.code, "message": fault.message}
    if fault.details:
        error["details"] = list(fault.details)
    error["innerError"] = {
        "date": f"{now:%Y-%m-%dT%H:%M:%S}",
        "request-id": request.trace_id,
        "client-request-id": request.correlation_id,
    }
    return json_response({"error": error}, fault.status, *fault.headers)


def time(moment: datetime | None) -> str | None:
    """Return a time as Graph writes it."""
    if moment is None:
        return None
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def exact_time(moment: datetime) -> str:
    """Return a time with its fraction, for logs."""
    text = (moment if moment.tzinfo is UTC else moment.astimezone(UTC)).isoformat()
    return f"{text[:26]}Z" if text[19] == "." else f"{text[:19]}.000000Z"


# Pages. -------------------------------------------------------------------------------------------------------------


class Pages:
    """Makes and reads the tokens by which a list goes on, each good for its own list and an hour."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def token(self, about: str, place: Sequence[str | int], now: datetime) -> str:
        """Return a token for a place in a list; `about` names the list and how it is filtered and sorted."""
        until = int((now + PAGE_LASTS).timestamp())
        body = msgspec.json.encode([until, *place])
        return base64.urlsafe_b64encode(self._mac(about, body) + body).decode().rstrip("=")

    def read(self, token: str, about: str, now: datetime) -> list[str | int]:
        """
        Return the place that a token names.

        Raises: `Fault` when it is none of ours, of another list, or too old.
        """
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except ValueError:
            raise _no_token() from None
        mac, body = raw[:MAC_BYTES], raw[MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(about, body)):
            raise _no_token()
        until, *place = msgspec.json.decode(body, type=list[str | int])
        if not isinstance(until, int) or until <= now.timestamp():
            raise _no_token()
        return place

    def _mac(self, about: str, body: bytes) -> bytes:
        return hmac.digest(self._key, about.encode() + b"\n" + body, "sha256")[:MAC_BYTES]


def _no_token() -> Fault:
    return Fault(400, "Request_BadRequest", "The skip token is not valid here or has expired: list anew.")


def next_link(url: str, raw: Sequence[tuple[str, str]], token: str) -> str:
    """Return the absolute address of the next page, its options repeated."""
    return f"{url}?{urlencode((*raw, ('$skiptoken', token)), quote_via=quote, safe='$')}"
