"""
Ask a service outside, of an operator's choice, while somebody waits for an answer.

Certificates are verified, redirects are not followed, and an answer that is too long is none. Knows no service.
Source: WHK-01, WHK-02 for what a server may do to us.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import msgspec

from genkan.model import Secret

if TYPE_CHECKING:
    from ssl import SSLContext


class Outside:
    """One service, and the connections to it. The deadline is the caller's."""

    def __init__(self, longest: int, *, local: bool = False, trusted: SSLContext | None = None) -> None:
        """
        `longest` is how many bytes of an answer are read.

        A `local` service is on this machine, so no proxy of the environment is asked for it. `trusted` says who
        certifies it, where that is not who certifies everybody.
        """
        import httpx2  # 60 ms, which only those pay who ask, and never while somebody waits

        self._longest = longest
        self._client = httpx2.AsyncClient(follow_redirects=False, trust_env=not local, verify=trusted or True)

    async def ask(
        self, method: Literal["GET", "POST"], url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> bytes:
        """The body of its answer. Raises whatever kept it from being one."""
        sent = {"Accept-Encoding": "identity", "User-Agent": "genkan", **headers}
        async with self._client.stream(method, url, content=body, headers=sent) as response:
            response.raise_for_status()
            read = b""
            async for chunk in response.aiter_raw():
                read += chunk
                if len(read) > self._longest:
                    raise ValueError("the answer is too long")
        return read

    async def close(self) -> None:
        await self._client.aclose()


class Judge:
    """A service that answers one POST of JSON, by a deadline."""

    def __init__(self, url: str, token: Secret | None, deadline: float, longest: int) -> None:
        """`deadline` is in seconds, from the question to the whole of the answer; `longest` as of `Outside`."""
        self._url = url
        self._token = token
        self._deadline = deadline
        self._service = Outside(longest)

    async def ask(self, about: Mapping[str, object]) -> bytes:
        """The body of its answer. Raises whatever kept it from being one in time."""
        headers = {"Content-Type": "application/json"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.text}"
        async with asyncio.timeout(self._deadline):
            return await self._service.ask("POST", self._url, headers, msgspec.json.encode(about))

    async def close(self) -> None:
        await self._service.close()
