"""
Call an address that an administrator has written down, and never be led anywhere else (WHK-01, WHK-02).

The name is resolved once for a call, every address that it has is looked at, and the connection goes to the one that
was looked at, with the certificate verified for the name. https alone, no redirect, no proxy, no cookie, nothing
compressed, and an answer ends at 64 KiB. What is not on the internet, and every port but 443, is refused unless the
operator has named host and port. Knows nothing of what is said.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from msgspec import Struct

if TYPE_CHECKING:
    import httpx2

LONGEST_ANSWER: Final = 64 * 1024
MOST_HOSTS: Final = 256
"""Hosts to which connections are kept; the one that was called longest ago gives way."""
MOST_ADDRESSES: Final = 4
"""Addresses of a host that are tried, one after another."""
MOST_LOOKUPS: Final = 32

Resolve = Callable[[str, int], Sequence[str]]
"""The addresses of a host, or `OSError`. It may take its time, in a thread of its own."""
Trace = Callable[[str, object], Awaitable[None]]

_TRANSLATED: Final = IPv6Network("64:ff9b::/96")
"""Addresses of IPv4 as they are reached through a translator (RFC 6052)."""
_UNICAST: Final = IPv6Network("2000::/3")
_OF_CLOUDS: Final = frozenset({ip_address("168.63.129.16")})
"""Looks public and is a cloud's own: the host of virtual machines there."""


class Answered(Struct, frozen=True):
    """What was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NotCalled(Exception):
    """The call did not take place, or has no answer that may be used."""

    def __init__(
        self,
        why: str,
        *,
        is_unclear: bool = False,
        is_late: bool = False,
        is_too_long: bool = False,
        again: bool = False,
    ) -> None:
        super().__init__(why)
        self.is_unclear = is_unclear
        """The other side may have understood it all the same."""
        self.is_late = is_late
        self.is_too_long = is_too_long
        self.again = again
        """It may go better another time."""


def resolved(host: str, port: int) -> Sequence[str]:
    """The addresses of a host. Raises: `OSError`."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class Pinned:
    """Posts, over connections that are kept by host."""

    def __init__(
        self,
        allowed: Collection[tuple[str, int]] = (),
        authorities: Path | None = None,
        *,
        resolve: Resolve = resolved,
    ) -> None:
        """
        `allowed` are hosts and ports that may be anywhere; `authorities` vouch for certificates beside the system's.

        Raises: `OSError`, `ssl.SSLError` for authorities that cannot be read.
        """
        self._allowed = frozenset(allowed)
        self._authorities = authorities
        self._resolve = resolve
        self._threads = ThreadPoolExecutor(MOST_LOOKUPS, thread_name_prefix="genkan-names")
        """Of their own, so that a name server that hangs keeps nobody else waiting."""
        self._clients: dict[str, httpx2.AsyncClient] = {}
        self._context: ssl.SSLContext | None = None
        if authorities is not None:
            self._context = self._trusting()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, within: float) -> Answered:
        """
        The answer, whatever its status, if all of it is there within so many seconds.

        Raises: `NotCalled`.
        """
        return await self._call("POST", url, headers, body, within)

    async def get(self, url: str, within: float) -> Answered:
        """The same of a GET. Raises: `NotCalled`."""
        return await self._call("GET", url, {}, None, within)

    async def _call(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, within: float
    ) -> Answered:
        is_sent = False

        async def trace(event: str, _: object) -> None:
            nonlocal is_sent
            is_sent |= event.endswith("send_request_headers.started")

        try:
            async with asyncio.timeout(within):
                return await self._sent(method, url, headers, body, trace)
        except TimeoutError:
            raise NotCalled(
                "it did not answer in time", is_unclear=is_sent, is_late=True, again=True
            ) from None
        except NotCalled as fault:
            fault.is_unclear = is_sent and not fault.is_too_long
            raise

    async def _sent(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, trace: Trace
    ) -> Answered:
        import httpx2  # 60 ms, which only those pay who call

        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port or 443
        if parts.scheme != "https" or not host or parts.username is not None:
            raise NotCalled("its address is not https")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        name = _bracketed(host)
        sent = {
            "Host": name if port == 443 else f"{name}:{port}",
            "Accept-Encoding": "identity",
            "User-Agent": "genkan",
            **headers,
        }
        addresses = await self._addresses(host, port)
        for left, address in enumerate(addresses, start=1 - len(addresses)):
            try:
                async with self._client(host).stream(
                    method,
                    f"https://{_bracketed(address)}:{port}{path}",
                    content=body,
                    headers=sent,
                    extensions={"sni_hostname": host, "trace": trace},
                ) as response:
                    read = b""
                    async for chunk in response.aiter_raw():
                        read += chunk
                        if len(read) > LONGEST_ANSWER:
                            raise NotCalled("its answer is too long", is_too_long=True)
                return Answered(response.status_code, dict(response.headers), read)
            except httpx2.ConnectError as fault:
                if left == 0:
                    raise NotCalled(_why(fault), again=True) from None
            except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as fault:
                raise NotCalled(_why(fault), again=True) from None
        raise AssertionError("a host without addresses is refused before")

    async def close(self) -> None:
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        """Where to connect to, in order: all of them looked at, and none asked for again. Raises: `NotCalled`."""
        try:
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self._threads, self._resolve, host, port)
        except (OSError, UnicodeError):
            raise NotCalled("its name is not known", again=True) from None
        if not found:
            raise NotCalled("its name is not known", again=True)
        if (host, port) not in self._allowed:
            if port != 443:
                raise NotCalled(f"port {port} is not 443, and the operator has not named it")
            if not all(is_public(address) for address in found):
                raise NotCalled("it is at an address that is not public, and the operator has not named it")
        return found[:MOST_ADDRESSES]

    def _client(self, host: str) -> httpx2.AsyncClient:
        """One for each host: a connection that was verified for one name serves no other at the same address."""
        import httpx2

        if host in self._clients:
            self._clients[host] = self._clients.pop(host)
        else:
            if len(self._clients) >= MOST_HOSTS:
                oldest = self._clients.pop(next(iter(self._clients)))
                closing = asyncio.get_running_loop().create_task(oldest.aclose())
                closing.add_done_callback(lambda _: None)
            if self._context is None:
                self._context = self._trusting()
            self._clients[host] = httpx2.AsyncClient(
                verify=self._context,
                follow_redirects=False,
                trust_env=False,
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
                timeout=None,
                limits=httpx2.Limits(max_connections=128, max_keepalive_connections=16, keepalive_expiry=20),
            )
        return self._clients[host]

    def _trusting(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._authorities is not None:
            context.load_verify_locations(self._authorities)
        return context


def is_public(text: str) -> bool:
    """
    Say whether an address is somebody's on the internet: no private, loopback, link-local or multicast one, no cloud's.

    An address of IPv4 is judged as what it is, in whatever clothes of IPv6 it comes.
    """
    try:
        address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1])
        if address in _TRANSLATED:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner:
            return is_public(str(inner))
        if address not in _UNICAST:
            return False
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and address not in _OF_CLOUDS
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


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
    return "it cannot be reached" if "Connect" in name else "it closed the connection"
