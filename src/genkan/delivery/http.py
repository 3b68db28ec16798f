"""
Post one request to a provider's API, and tell what was certainly not sent from what may have been.

Certificates are verified, redirects are not followed, and of an answer no more than 64 KiB is read. Knows no provider.
Source: MSG-11; WHK-01 and WHK-02 for what a server may do to us.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from genkan.delivery.providers import Failed, Parcel, Refused, Unclear

if TYPE_CHECKING:
    import httpx2

LONGEST_ANSWER: Final = 64 * 1024
LONGEST_WAIT: Final = timedelta(hours=1)
"""That a provider may ask for."""

_HIDDEN: Final = re.compile(r"(?i)authorization|token|secret|key")


class Answered(Struct, frozen=True):
    """What the provider said."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """Its JSON object; an empty one when it is none."""
        try:
            value = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def wait(self) -> timedelta | None:
        """How long it asks to be left alone (RFC 9110 10.2.3, in seconds)."""
        asked = self.headers.get("retry-after", "")
        return min(timedelta(seconds=int(asked)), LONGEST_WAIT) if re.fullmatch(r"\d{1,6}", asked) else None


class Api:
    """The API of one provider."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._client: httpx2.AsyncClient | None = None

    async def post(
        self, parcel: Parcel, url: str, body: bytes, headers: Mapping[str, str]
    ) -> Answered | Failed | Unclear:
        """
        The answer; or why there is none, and whether the request may have been heard all the same.

        It may have been heard from the moment its first byte is written, for what follows nobody can see.
        """
        import httpx2  # 60 ms, which only those pay who send

        if self._client is None:
            self._client = httpx2.AsyncClient(
                follow_redirects=False,
                limits=httpx2.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=20),
            )
        is_sent = False

        async def trace(event: str, _: object) -> None:
            nonlocal is_sent
            is_sent |= event.endswith("send_request_headers.started")

        # The library closes what it has opened when its own time is up, but not when it is stopped in a handshake.
        connect = min(self._timeout, parcel.within / 2)
        sent = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "genkan", **headers}
        parcel.tell(f">>> POST {url}")
        for name, value in headers.items():
            parcel.tell(f">>> {name}: {'(not shown)' if _HIDDEN.search(name) else value}")
        try:
            async with (
                asyncio.timeout(parcel.within),
                self._client.stream(
                    "POST",
                    url,
                    content=body,
                    headers=sent,
                    timeout=httpx2.Timeout(self._timeout, connect=connect),
                    extensions={"trace": trace},
                ) as response,
            ):
                read = b""
                async for chunk in response.aiter_raw():
                    read = (read + chunk)[:LONGEST_ANSWER]
                    if len(read) == LONGEST_ANSWER:
                        break
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ssl.SSLError) as fault:
            why = _why(fault)
            parcel.tell(f"    {why}")
            return Unclear(why) if is_sent else Failed(why=why)
        answered = Answered(response.status_code, dict(response.headers), read)
        parcel.tell(f"<<< {answered.status} {response.reason_phrase}")
        for line in read.decode("utf-8", "replace").splitlines()[:20]:
            parcel.tell(f"<<< {line[:200]}")
        return answered

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None


def plainly(answered: Answered, *, is_theirs: bool = True, code: object = "") -> Failed | Unclear | None:
    """
    What a status says by itself; None for a success, which is the provider's to read.

    A 5xx counts as a refusal only in the provider's own words (`is_theirs`): one that comes from something in between
    says nothing of what happened behind it. What a provider does not like about one message is no fault of it: else
    whoever types odd numbers could close the way for everybody.
    """
    status = answered.status
    said = f"{status}, {code}" if code else str(status)
    if 200 <= status < 300:
        return None
    if status == 429:
        return Failed(why=f"it is asked too often ({said})", wait=answered.wait)
    if status == 503 and answered.wait is not None:
        return Failed(why=f"it cannot now ({said})", wait=answered.wait)
    if status >= 500:
        return (
            Failed(why=f"it has a fault ({said})", wait=answered.wait)
            if is_theirs
            else Unclear(f"something before it has a fault ({status})")
        )
    if status in (401, 403):
        return Failed(why=f"it does not know us: the credentials are wrong or lack a right ({said})")
    if status in (400, 413, 422):
        return Failed(why=f"it does not take this message ({said})", is_fault=False, for_good=True)
    return Failed(why=f"it does not take the request ({said})")


def refusal(why: str, code: object) -> Refused:
    """Nobody will reach this number."""
    return Refused(f"{why} ({code})")


def _why(fault: BaseException) -> str:
    """What went wrong, from the types of the exceptions: their words may repeat an address."""
    cause: BaseException | None = fault
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not to be trusted: {cause.verify_message}"
        if isinstance(cause, ConnectionRefusedError):
            return "it refuses connections"
        cause = cause.__cause__ or cause.__context__
    name = type(fault).__name__
    if isinstance(fault, TimeoutError) or "Timeout" in name:
        return "it does not answer in time"
    if "Connect" in name:
        return "it cannot be reached"
    return (
        "it closed the connection" if "Protocol" in name or "Read" in name else f"the call broke off ({name})"
    )
