"""
Ask a service outside, of an operator's choice, while somebody waits for an answer.

Certificates are verified, redirects are not followed, and an answer that is too long is none. Knows no service; the
deadline is the caller's. Source: WHK-01, WHK-02 for what a server may do to us.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import httpx2


class Outside:
    """One service, and the connections to it."""

    def __init__(self, longest: int) -> None:
        """`longest` is how many bytes of an answer are read."""
        self._longest = longest
        self._client: httpx2.AsyncClient | None = None

    async def ask(
        self, method: Literal["GET", "POST"], url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> bytes:
        """The body of its answer. Raises whatever kept it from being one."""
        import httpx2  # 60 ms, which only those pay who ask

        if self._client is None:
            self._client = httpx2.AsyncClient(follow_redirects=False)
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
        if self._client is not None:
            await self._client.aclose()
            self._client = None
