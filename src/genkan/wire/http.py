"""
HTTP at its edge: requests become values, values become responses. The only file that knows the server.

Plain ASGI with one exact-match table, because this is the hot path. Here are the rules that hold for every endpoint:
tenants and paths, sizes and methods, correlation ids, CORS. What a request means is for the dialects.
Source: native-auth-v1 1.1 to 1.5, 1.10; BRW-01 to BRW-05, AVL-05.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import hmac
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal
from uuid import UUID, uuid4

import uvicorn
from msgspec.structs import replace
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from genkan import metrics
from genkan.engine.messages import Directory, Refused, Signals
from genkan.engine.steps import is_origin_of
from genkan.engine.transaction import StoreUnavailable
from genkan.exchange import Request, Response, json_response
from genkan.model import Place, Reason, Secret
from genkan.risk import rate
from genkan.service.conduct import Conductor
from genkan.telemetry import log
from genkan.tokens.keys import KeyRing
from genkan.wire import (
    emergency,
    entra_v1,
    entra_v1_words,
    graph,
    lost_device,
    oidc,
    owner,
    reading,
    registration,
    ssf,
)
from genkan.wire.graph import api
from genkan.wire.graph.answers import Fault, write_fault
from genkan.wire.graph.api import Api, Tenancy
from genkan.wire.graph.tokens import Endpoint as ClientTokens
from genkan.wire.graph.tokens import is_asked as is_for_client

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Page = Callable[[Request], Awaitable[Response]]

ADMINISTRATION = tuple(f"/{version}/" for version in api.VERSIONS)
FORM = "application/x-www-form-urlencoded"
FORWARDED_FOR = b"x-forwarded-for"
SLOW_BODY_SECONDS = 10
"""A body that has not arrived by then is not waited for (AVL-05)."""

MOST_ADDRESSES = 10_000
"""Clients whose pace is kept; those that are due are forgotten then."""

ALLOWED_HEADERS = (
    "content-type, client-request-id, return-client-request-id, x-client-sku, x-client-ver, x-client-os, x-client-cpu, "
    "x-client-current-telemetry, x-client-last-telemetry"
)
PREFLIGHT_SECONDS = "86400"


def _guids() -> Iterator[str]:
    """Random GUIDs for what needs no secrecy; many are drawn at once, since each draw is a system call."""
    while True:
        pool = os.urandom(16 * 256)
        yield from (str(UUID(bytes=pool[i : i + 16], version=4)) for i in range(0, len(pool), 16))


_trace_ids = _guids()


class TenantEdge:
    """One tenant as the edge sees it."""

    def __init__(
        self,
        *,
        conduct: Conductor,
        ring: Callable[[], KeyRing],
        clock: Callable[[], datetime],
        base_url: str,
        locate: Callable[[str], Place] = lambda _: Place(),
        administration: Tenancy | None = None,
        client_tokens: ClientTokens | None = None,
        owner: owner.Endpoint | None = None,
        emergency: emergency.Endpoint | None = None,
        lost_device: lost_device.Endpoint | None = None,
        listed: Callable[[str], tuple[str, ...]] = lambda _: (),
        receivers: ssf.Endpoint | None = None,
        registration: registration.Endpoint | None = None,
        is_adrift: Callable[[], bool] = lambda: False,
    ) -> None:
        self.conduct = conduct
        self.is_adrift = is_adrift
        """Nothing is to be issued: this machine's clock and the database's are too far apart (TIM-01)."""
        self.administration = administration
        """None: this tenant is not administered over HTTP."""
        self.client_tokens = client_tokens
        self.receivers = receivers
        """None: this tenant sends no security events."""
        self.registration = registration
        """None: no administrator is made over HTTP."""
        self.owner = owner
        """None: people change nothing of their own accounts here."""
        self.emergency = emergency
        """None: nobody reports a lost device here."""
        self.lost_device = lost_device
        self.locate = locate
        """Where an address is; the answer must be at hand, for a request waits for it."""
        self.listed = listed
        """Which lists of networks name an address, in words of `risk.score`; at hand likewise."""
        self.ring = ring
        self.clock = clock
        self.base_url = base_url
        self._due: dict[str, float] = {}
        """When the next request of an address is due, and under an empty one that of anybody."""
        self._origins: tuple[Directory, dict[str, bool]] | None = None

    def allows(self, origin: str) -> bool:
        """Some app of the tenant has registered this web origin: enough for CORS, which names no client."""
        directory = self.conduct.directory()
        if self._origins is None or self._origins[0] is not directory or len(self._origins[1]) > 1000:
            self._origins = (directory, {})
        known = self._origins[1]
        if origin not in known:
            known[origin] = any(is_origin_of(client, origin) for client in directory.clients.values())
        return known[origin]

    def paces(self, address: str) -> bool:
        """One more request fits the limits of the tenant, where it has set any. Refused ones count for nothing."""
        tenant = self.conduct.directory().tenant
        limits = {"": tenant.requests_per_second}
        if address:
            limits[address] = tenant.requests_per_second_per_address
        now = self.clock().timestamp()
        following = {
            key: rate.paced(self._due.get(key, 0), now, limit) for key, limit in limits.items() if limit
        }
        if None in following.values():
            return False
        if len(self._due) > MOST_ADDRESSES:
            self._due = {key: due for key, due in self._due.items() if due > now}
        self._due |= {key: due for key, due in following.items() if due is not None}
        return True


class App:
    """The ASGI application."""

    def __init__(
        self,
        *,
        tenants: Mapping[str, TenantEdge],
        pages: Mapping[tuple[str, str], Page],
        static: Callable[[str, bool], Response | None],
        clock: Callable[[], datetime],
        development: bool,
        apparent_address: Callable[[], str | None] = lambda: None,
        behind_proxies: Callable[[str, Sequence[str]], str] | None = None,
        administration_port: int | None = None,
        on_start: Callable[[], Awaitable[None]],
        on_stop: Callable[[], Awaitable[None]],
    ) -> None:
        self._tenants = tenants
        """Every name and alias, lower case → tenant."""
        self._pages = pages
        """(method, exact path) → page; matched before any tenant."""
        self._page_paths = {path for _, path in pages}
        self._static = static
        self._clock = clock
        self._leaves_out_loopback = development
        """Counters by client address leave out loopback in development, where everything comes from it."""
        self._behind_proxies = behind_proxies
        """Whose request it is by the peer and the values of `X-Forwarded-For`; None: the peer's (THR-07)."""
        self._administration_port = administration_port
        """The port at which alone the administration API is served; None: at every one (ADM-09)."""
        self._apparent_address = apparent_address
        """In development mode requests may seem to come from elsewhere; what it says goes before the peer's."""
        self._on_start = on_start
        self._on_stop = on_stop
        self._stopping = asyncio.Event()
        several = {id(edge) for edge in tenants.values()}
        self._only = next(iter(tenants.values())) if len(several) == 1 else None
        """With exactly one tenant its segment may be left out."""
        self._administration = Api(graph.ROUTES, self._administered)

    def _administered(self, tenant_id: str | None) -> Tenancy | None:
        """Return the administration of the tenant of this id; of the only one where none is named."""
        edge = self._only if tenant_id is None else self._tenants.get(tenant_id)
        return edge.administration if edge is not None else None

    def end_streams(self) -> None:
        """End every stream, which would hold up a stop: whoever reads one connects again."""
        self._stopping.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self._on_start()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._on_stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        method: str = scope["method"]
        raw: str = scope["path"]
        path = "/" + "/".join([part for part in raw.lower().split("/") if part])
        request = Request(
            method=method,
            path=path,
            query=scope["query_string"].decode("latin-1"),
            headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
            address=self._apparent_address() or self._address(scope),
        )
        began = time.perf_counter()
        status = 0

        async def counted(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._answer(request, scope, receive, counted)
        finally:
            route = self._route(path)
            metrics.REQUESTS.labels(route, status or "none").inc()
            metrics.REQUEST_SECONDS.labels(route).observe(time.perf_counter() - began)

    def _route(self, path: str) -> str:
        """What a path is counted as; whatever somebody may think of is one and the same."""
        if path in self._page_paths:
            return path
        _, first, *rest = path.split("/", 2)
        below = rest[0] if rest else ""
        if first in api.VERSIONS:
            noun = below.partition("/")[0].partition("(")[0]
            return f"/{first}/{noun}" if noun in NOUNS else f"/{first}"
        if first == "static":
            return "/static"
        endpoint = f"/{below}" if first in self._tenants else path
        return endpoint if endpoint in METHODS else "other"

    async def _answer(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        method, path, raw = request.method, request.path, scope["path"]
        if path in self._page_paths:
            await self._serve_page(request, receive, send)
        elif path.startswith("/static/") and method in ("GET", "HEAD"):
            found = self._static(
                path.removeprefix("/static/"), "gzip" in request.headers.get("accept-encoding", "")
            )
            await _send(send, found or _plain(404, "not_found", "There is no such file."), method == "HEAD")
        elif path.startswith(ADMINISTRATION) and not self._administers(scope):
            await _send(send, _plain(404, "not_found", "There is nothing here."), method == "HEAD")
        elif path.startswith(ADMINISTRATION):
            whole = "/" + "/".join([part for part in raw.split("/") if part])
            await self._serve_administration(replace(request, path=whole), receive, send)
        else:
            await self._serve_tenant(request, receive, send, raw, administers=self._administers(scope))

    def _administers(self, scope: Scope) -> bool:
        """A request came to where administration is served: by the socket that took it, whatever it says itself."""
        if self._administration_port is None:
            return True
        server = scope.get("server")
        return server is not None and server[1] == self._administration_port

    async def _serve_administration(self, request: Request, receive: Receive, send: Send) -> None:
        """Everything under `/v1.0` and `/beta`: the tenant is the token's."""
        request = replace(
            request,
            correlation_id=_correlation_id(request.headers, ""),
            trace_id=next(_trace_ids),
        )
        body = await _body(request.headers, receive, api.MAX_BODY_BYTES)
        if body is None:
            fault = Fault(413, "BadRequest", f"Send at most {api.MAX_BODY_BYTES} bytes.")
            response = write_fault(fault, request, self._clock())
        else:
            response = await self._administration(replace(request, body=body))
        named = (("request-id", request.trace_id), ("client-request-id", request.correlation_id))
        await _send(send, replace(response, headers=(*response.headers, *named)))

    def _address(self, scope: Scope) -> str:
        """The client's address: of headers only what our own proxies have written counts (conditional-access 3)."""
        address = _peer(scope)
        if self._behind_proxies is not None:
            values = [value.decode("latin-1") for name, value in scope["headers"] if name == FORWARDED_FOR]
            address = self._behind_proxies(address, values)
        is_loopback = address == "::1" or address.startswith("127.")
        return "" if is_loopback and self._leaves_out_loopback else address

    async def _serve_page(self, request: Request, receive: Receive, send: Send) -> None:
        method, path = request.method, request.path
        page = self._pages.get(("GET" if method == "HEAD" else method, path))
        if page is None:
            allowed = ", ".join(sorted(m for m, p in self._pages if p == path))
            await _send(send, _plain(405, "method_not_allowed", f"Use {allowed} here.", ("allow", allowed)))
            return
        body = await _body(request.headers, receive)
        if body is None:
            await _send(send, _plain(413, "too_large", "The body is too large."))
            return
        try:
            response = await page(replace(request, body=body))
        except Exception:  # noqa: BLE001 - a fault is an answer too, and never a traceback
            log.exception("http.fault", extra={"path": path})
            response = _plain(500, "server_error", "Something broke on our side; see the log.")
        if response.stream is not None:
            await _stream(send, receive, response, self._stopping)
        else:
            await _send(send, response, method == "HEAD")

    async def _serve_tenant(
        self, request: Request, receive: Receive, send: Send, raw: str, *, administers: bool
    ) -> None:
        """Everything under a tenant: find it, answer CORS, read, ask, write. `raw`: the path as it was sent."""
        method, path, headers = request.method, request.path, request.headers
        if path.startswith(ssf.CONFIGURATION + "/"):
            # RFC 8414's way to write it: the issuer's path comes last.
            path = path.removeprefix(ssf.CONFIGURATION) + ssf.CONFIGURATION
        _, name, *rest = path.split("/", 2)
        tenant = self._tenants.get(name)
        endpoint = "/" + (rest[0] if rest else "")
        if tenant is None and self._only is not None and path in METHODS:
            tenant, endpoint = self._only, path
        request = replace(
            request,
            path=endpoint,
            correlation_id=_correlation_id(headers, request.query),
            trace_id=next(_trace_ids),
        )
        allowed = METHODS.get(endpoint)
        if endpoint in registration.METHODS and not administers:
            allowed = None
        if tenant is None and endpoint == "/":
            response = _plain(404, "not_found", "There is nothing here.")
        elif tenant is None:
            response = _refused(request, Refused(reason=Reason.UNKNOWN_TENANT), self._clock())
        elif allowed is None:
            response = _plain(404, "not_found", "There is no such endpoint.")
        elif method == "OPTIONS":
            response = _preflight(tenant, headers, allowed, FURTHER_HEADERS.get(endpoint, ""))
        elif method not in allowed and not (method == "HEAD" and "GET" in allowed):
            response = entra_v1_words.write_misuse(
                request,
                405,
                f"Use {' or '.join(allowed)} here.",
                self._clock(),
                ("allow", ", ".join(allowed)),
            )
        elif endpoint in lost_device.METHODS:
            response = await self._lost_device(tenant, request, receive)
        elif endpoint in ssf.METHODS:
            response = await _receiver(tenant, request, receive)
        elif endpoint in registration.METHODS:
            response = await _registered(tenant, request, receive)
        elif endpoint in owner.METHODS or endpoint in emergency.METHODS:
            response = await self._of_person(tenant, request, receive, raw)
        elif "GET" in allowed:
            response = _document(tenant, endpoint)
        else:
            response = await self._native(tenant, request, receive)
        origin = headers.get("origin")
        cors: tuple[tuple[str, str], ...] = (("vary", "Origin"),)
        if origin is not None and tenant is not None and tenant.allows(origin):
            cors += (("access-control-allow-origin", origin),)
        named = (("client-request-id", request.correlation_id), ("x-ms-request-id", request.trace_id))
        await _send(send, replace(response, headers=(*response.headers, *cors, *named)), method == "HEAD")

    async def _of_person(self, tenant: TenantEdge, request: Request, receive: Receive, raw: str) -> Response:
        """One request of a person about their own account, who shows a token or says that a device is lost."""
        is_emergency = request.path in emergency.METHODS
        if (tenant.emergency if is_emergency else tenant.owner) is None:
            return _plain(404, "not_found", "There is no such endpoint.")
        if not tenant.paces(request.address):
            return entra_v1_words.write_refused(
                request, Refused(reason=Reason.TOO_MANY_REQUESTS), tenant.clock()
            )
        body = await _body(request.headers, receive)
        if body is None:
            limit = f"Send at most {reading.MAX_BODY_BYTES} bytes, within {SLOW_BODY_SECONDS} seconds."
            return entra_v1_words.write_misuse(request, 413, limit, tenant.clock())
        request = replace(request, body=body)
        try:
            if is_emergency and tenant.emergency is not None:
                return await tenant.emergency(request, tenant.base_url + raw, _signals(request, tenant))
            if tenant.owner is not None:
                return await tenant.owner(request)
            return _plain(404, "not_found", "There is no such endpoint.")
        except StoreUnavailable:
            log.warning("store.unavailable", extra=_about(request))
            return entra_v1_words.write_refused(request, Refused(reason=Reason.OVERLOADED), tenant.clock())
        except Exception:  # noqa: BLE001 - a fault is an answer too, and never a traceback
            log.exception("http.fault", extra=_about(request))
            return entra_v1_words.write_refused(request, Refused(reason=Reason.FAULT), tenant.clock())

    async def _lost_device(self, tenant: TenantEdge, request: Request, receive: Receive) -> Response:
        """One look at the page for lost devices, or one press of a button there. Whatever fails says so as a page."""
        page = tenant.lost_device
        if page is None:
            return _plain(404, "not_found", "There is no such endpoint.")
        if request.method == "POST" and not tenant.paces(request.address):
            return page.busy(request, 429)
        body = b"" if request.method != "POST" else await _body(request.headers, receive)
        if body is None:
            return page.busy(request, 413)
        try:
            return await page(replace(request, body=body), _signals(request, tenant))
        except StoreUnavailable:
            log.warning("store.unavailable", extra=_about(request))
            return page.busy(request, 503)
        except Exception:  # noqa: BLE001 - a fault is an answer too, and never a traceback
            log.exception("http.fault", extra=_about(request))
            return page.busy(request, 500)

    async def _native(self, tenant: TenantEdge, request: Request, receive: Receive) -> Response:
        """One native request: the dialect reads, the conductor answers, the dialect writes."""
        content_type = request.headers.get("content-type", FORM).partition(";")[0].strip().lower()
        if content_type != FORM:
            return entra_v1_words.write_misuse(request, 415, f"Send the body as {FORM}.", tenant.clock())
        if tenant.is_adrift():
            return _refused(request, Refused(reason=Reason.OVERLOADED), tenant.clock())
        if not tenant.paces(request.address):
            return _refused(request, Refused(reason=Reason.TOO_MANY_REQUESTS), tenant.clock())
        body = await _body(request.headers, receive)
        if body is None:
            limit = f"Send at most {reading.MAX_BODY_BYTES} bytes, within {SLOW_BODY_SECONDS} seconds."
            return entra_v1_words.write_misuse(request, 413, limit, tenant.clock())
        request = replace(request, body=body)
        try:
            if request.path == entra_v1_words.TOKEN and tenant.client_tokens and is_for_client(body):
                return await tenant.client_tokens(request)
            ask = entra_v1.read(request, tenant.conduct.directory())
            if isinstance(ask, Refused):
                return _refused(request, ask, tenant.clock())
            answer = await tenant.conduct(ask, _signals(request, tenant))
            if isinstance(answer.reply, Refused):
                metrics.REFUSALS.labels(answer.reply.reason).inc()
            return entra_v1.write(request, answer, answer.now or tenant.clock())
        except StoreUnavailable:
            log.warning("store.unavailable", extra=_about(request))
            return _refused(request, Refused(reason=Reason.OVERLOADED), tenant.clock())
        except Exception:  # noqa: BLE001 - a fault is an answer too, and never a traceback
            log.exception("http.fault", extra=_about(request))
            return _refused(request, Refused(reason=Reason.FAULT), tenant.clock())


def _refused(request: Request, refused: Refused, now: datetime) -> Response:
    metrics.REFUSALS.labels(refused.reason).inc()
    return entra_v1_words.write_refused(request, refused, now)


def _about(request: Request) -> dict[str, str]:
    """What a log line says of a request."""
    return {"path": request.path, "correlation_id": request.correlation_id, "trace_id": request.trace_id}


METHODS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(entra_v1.READERS, ("POST",)),
    **owner.METHODS,
    **emergency.METHODS,
    **lost_device.METHODS,
    **dict.fromkeys((oidc.DISCOVERY, oidc.DISCOVERY_PLAIN, oidc.KEYS, *ssf.CONFIGURATIONS), ("GET",)),
    **ssf.METHODS,
    **registration.METHODS,
}
"""Every endpoint below a tenant, and the methods it takes."""


FURTHER_HEADERS: Mapping[str, str] = {
    **dict.fromkeys(owner.METHODS, owner.HEADERS),
    **dict.fromkeys(emergency.METHODS, emergency.HEADERS),
}
"""What a browser may send to an endpoint beside what it may send to every one."""


NOUNS: frozenset[str] = frozenset(route.path.split("/")[1].lower() for route in graph.ROUTES)
"""First segments of the administration API."""


def _document(tenant: TenantEdge, endpoint: str) -> Response:
    if endpoint == oidc.KEYS:
        return oidc.keys(tenant.ring(), tenant.clock())
    if endpoint in ssf.CONFIGURATIONS:
        return (
            tenant.receivers.configuration() if tenant.receivers else _plain(404, "not_found", "None here.")
        )
    return oidc.discovery(tenant.conduct.directory(), tenant.base_url)


async def _receiver(tenant: TenantEdge, request: Request, receive: Receive) -> Response:
    """One request of a receiver of security events."""
    if tenant.receivers is None:
        return _plain(404, "not_found", "There is no such endpoint.")
    body = await _body(request.headers, receive)
    if body is None:
        return _plain(413, "too_large", f"Send at most {reading.MAX_BODY_BYTES} bytes.")
    method = "GET" if request.method == "HEAD" else request.method
    return await tenant.receivers(replace(request, body=body, method=method))


async def _registered(tenant: TenantEdge, request: Request, receive: Receive) -> Response:
    """One request to make the first administrator."""
    if tenant.registration is None:
        return _plain(404, "not_found", "There is no such endpoint.")
    if not tenant.paces(request.address):
        return _plain(429, "too_many_requests", "Wait and try again.", ("retry-after", "1"))
    body = await _body(request.headers, receive)
    if body is None:
        return _plain(413, "too_large", f"Send at most {reading.MAX_BODY_BYTES} bytes.")
    return await tenant.registration(replace(request, body=body))


def _preflight(
    tenant: TenantEdge, headers: Mapping[str, str], allowed: Iterable[str], further: str = ""
) -> Response:
    """Answer a browser's question before the call; for a foreign origin nothing is allowed (BRW-01)."""
    if not tenant.allows(headers.get("origin", "")):
        return Response(status=204)
    wanted = (h.strip().lower() for h in headers.get("access-control-request-headers", "").split(","))
    extra = [
        h for h in wanted if h.startswith("x-") and h.replace("-", "").isalnum() and h not in ALLOWED_HEADERS
    ]
    return Response(
        status=204,
        headers=(
            ("access-control-allow-methods", ", ".join((*allowed, "OPTIONS"))),
            ("access-control-allow-headers", ", ".join((ALLOWED_HEADERS, *filter(None, (further, *extra))))),
            ("access-control-max-age", PREFLIGHT_SECONDS),
        ),
    )


# Requests. ------------------------------------------------------------------------------------------


async def _body(
    headers: Mapping[str, str], receive: Receive, most: int = reading.MAX_BODY_BYTES
) -> bytes | None:
    """The whole body; None when it is too large or too slow, or when the client went away in the middle of it."""
    length = headers.get("content-length", "")
    if length.isdigit() and int(length) > most:
        return None
    body = b""
    with suppress(TimeoutError):
        async with asyncio.timeout(SLOW_BODY_SECONDS):
            while len(body) <= most:
                message = await receive()
                if message["type"] != "http.request":
                    return None  # Half of a request is none: half a password would be one.
                body += message.get("body", b"")
                if not message.get("more_body"):
                    return body if len(body) <= most else None
    return None


def _peer(scope: Scope) -> str:
    """The address at the other end of the socket, an IPv4 one unwrapped from IPv6."""
    client = scope.get("client")
    return str(client[0]).removeprefix("::ffff:") if client else ""


def _correlation_id(headers: Mapping[str, str], query: str) -> str:
    """The client's own id where it is a GUID; MSAL JS puts it into the query when it refreshes (1.3)."""
    given = headers.get("client-request-id", "")
    if not given and "client-request-id=" in query:
        given = query.partition("client-request-id=")[2].partition("&")[0]
    return given if reading.is_guid(given) else str(uuid4())


_PLATFORMS: tuple[tuple[str, str], ...] = (
    ("android", "android"),
    ("ios", "iOS"),
    ("iphone", "iOS"),
    ("mac", "macOS"),
    ("osx", "macOS"),
    ("windows", "windows"),
    ("win32", "windows"),
    ("linux", "linux"),
)


@lru_cache(maxsize=1024)
def _platform(said: str) -> str:
    lowered = said.lower()
    return next((name for word, name in _PLATFORMS if word in lowered), "unknown")


def _signals(request: Request, tenant: TenantEdge) -> Signals:
    """What the server knows beside the words. The platform is what the client says: good only to tighten."""
    headers = request.headers
    origin = headers.get("origin")
    if origin is None and headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        origin = "null"  # A browser on another site, and it hides which: no app has registered that (BRW-03).
    said = headers.get("x-client-os") or headers.get("x-client-sku") or headers.get("user-agent", "")
    app: Literal["browser", "mobileAppsAndDesktopClients"] = (
        "mobileAppsAndDesktopClients" if origin is None else "browser"
    )
    return Signals(
        address=request.address,
        place=tenant.locate(request.address),
        listed=tenant.listed(request.address),
        work=headers.get("x-genkan-work", ""),
        origin=origin,
        client_app=app,
        platform=_platform(said),
        correlation_id=request.correlation_id,
    )


# Responses. -----------------------------------------------------------------------------------------

_UNCACHED = ((b"cache-control", b"no-store"), (b"pragma", b"no-cache"))
_NOSNIFF = (b"x-content-type-options", b"nosniff")


async def _send(send: Send, response: Response, head: bool = False) -> None:
    headers = [(b"content-length", str(len(response.body)).encode())]
    if response.body:
        headers.append((b"content-type", response.content_type.encode()))
    headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
    named = {name for name, _ in response.headers}
    if "cache-control" not in named:
        headers += _UNCACHED
    if "x-content-type-options" not in named:
        headers.append(_NOSNIFF)
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else response.body})


async def _stream(send: Send, receive: Receive, response: Response, stopping: asyncio.Event) -> None:
    """Send a stream until it ends, the client is gone, or the server stops."""
    stream = response.stream
    if stream is None:
        return
    headers = [(b"content-type", response.content_type.encode()), _NOSNIFF]
    headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})

    async def pump() -> None:
        async for chunk in stream:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    tasks = {asyncio.ensure_future(work) for work in (pump(), gone(), stopping.wait())}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await send({"type": "http.response.body", "body": b""})


def _plain(status: int, error: str, description: str, *headers: tuple[str, str]) -> Response:
    """An error that belongs to no dialect."""
    return json_response({"error": error, "error_description": description}, status, *headers)


# Serving. -------------------------------------------------------------------------------------------

HANDSHAKE_SECONDS = 0.5
"""Before then somebody may have connected who is not seen yet: TLS is being agreed upon."""

GRACE_SECONDS = 3
"""How long open requests may go on when the process is asked to stop."""


class _Gathering:
    """A transport that sends what one turn of the loop has written by one system call: head and body together."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        parts, self._parts = self._parts, []
        if parts:
            self._transport.write(b"".join(parts))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Protocol(HttpToolsProtocol):
    """
    What the server speaks, with heads that are neither large nor slow (AVL-05).

    It counts what comes before a head is complete: of a header that never ends the parser says nothing.
    """

    HEAD_BYTES = 64 * 1024
    HEADERS = 100
    HEAD_SECONDS: float = 10
    """From the first byte of a request until its head is complete."""
    BODY_SECONDS: float = SLOW_BODY_SECONDS
    """For the rest of a body that nobody waits for, once it has been answered."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(_Gathering(transport, self.loop))  # type: ignore[arg-type]
        self._awaits: Literal["head", "body", "nothing"] = "head"
        self._head = 0
        self._hurry: asyncio.TimerHandle | None = None
        self._within(self.config.timeout_keep_alive)  # A proxy may connect before it has anything to ask.

    def connection_lost(self, exc: Exception | None) -> None:
        self._in_time()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._awaits == "head":
            if self._head == 0:
                self._in_time()
            self._head += len(data)
            if self._head > self.HEAD_BYTES:
                self.send_400_response("The head of the request is too large.")
            else:
                self._within(self.HEAD_SECONDS)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._awaits, self._head = "head", 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) == self.HEADERS:
            raise ValueError("too many headers")  # The parser stops, and the answer is 400.
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._awaits = "body"
        self._in_time()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._awaits = "nothing"
        self._in_time()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._awaits == "body":
            self._within(self.BODY_SECONDS)

    def _within(self, seconds: float) -> None:
        if self._hurry is None and not self.transport.is_closing():
            self._hurry = self.loop.call_later(seconds, self.transport.close)

    def _in_time(self) -> None:
        if self._hurry is not None:
            self._hurry.cancel()
            self._hurry = None


class Management:
    """What operators' own machines ask, on an address of its own: the pages there are, and nothing else (ADM-09)."""

    def __init__(self, pages: Mapping[str, Page], token: Secret | None) -> None:
        """`token`: what everybody has to show; None: whoever reaches the address may look."""
        self._pages = pages
        self._shown = None if token is None else b"Bearer " + token.text.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        page = self._pages.get(path)
        if self._shown is not None and not hmac.compare_digest(given, self._shown):
            answer = _plain(401, "unauthorized", "Show the token.", ("www-authenticate", "Bearer"))
        elif page is None:
            answer = _plain(404, "not_found", "There is no such page.")
        elif method not in ("GET", "HEAD"):
            answer = _plain(405, "method_not_allowed", "Use GET here.", ("allow", "GET, HEAD"))
        else:
            try:
                answer = await page(Request(method=method, path=path))
            except Exception:  # noqa: BLE001 - a fault is an answer too, and never a traceback
                log.exception("management.fault", extra={"path": path})
                answer = _plain(500, "server_error", "Something broke on our side; see the log.")
        await _send(send, answer, method == "HEAD")


class _Beside(uvicorn.Server):
    """A server in the loop of another one, to whom signals belong."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Server(uvicorn.Server):
    def __init__(
        self,
        config: uvicorn.Config,
        app: App,
        on_ready: Callable[[], None],
        beside: tuple[_Beside, list[socket.socket]] | None,
        drain: float,
    ) -> None:
        super().__init__(config)
        self._drain = drain
        self._app = app
        self._on_ready = on_ready
        self._beside = beside
        self._other: asyncio.Task[None] | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """A hang-up asks for a stop as any other signal does, and cuts nobody off."""
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, self.handle_exit)
        with super().capture_signals():
            yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if not self.started:
            return
        if self._beside is not None:
            other, listening = self._beside
            self._other = asyncio.get_running_loop().create_task(other.serve(listening))
        # What is there by now lasts as long as the process. Garbage is looked for in what comes after it alone: a look
        # through everything holds every request up, for ten times as long.
        gc.collect()
        gc.freeze()
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        self._app.end_streams()
        # What comes on connections that are open is answered, and whoever asked is told to connect anew, elsewhere. One
        # on which nothing comes is closed at the end: whoever asks at just that moment must ask again.
        self.server_state.default_headers.append((b"connection", b"close"))
        began = time.monotonic()
        while (passed := time.monotonic() - began) < self._drain and not self.force_exit:
            if not self.server_state.connections and passed > HANDSHAKE_SECONDS:
                break
            await asyncio.sleep(0.05)
        if self._beside is not None and self._other is not None:  # It asks the databases, which close next.
            self._beside[0].should_exit = True
            await self._other
        await super().shutdown(sockets=sockets)


def listen(host: str, port: int) -> list[socket.socket]:
    """
    Listening sockets. For `localhost` both loopback families, because clients disagree on which comes first.

    Raises: `OSError` when the port is taken.
    """
    hosts = ["127.0.0.1", "::1"] if host == "localhost" else [host]
    sockets: list[socket.socket] = []
    for address in hosts:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            # The protocol is named, for only then does asyncio switch Nagle's delay off.
            listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind((address, sockets[0].getsockname()[1] if sockets else port))
        except OSError as error:
            # Where another program answers at the other address, half of the clients would speak to it.
            if not sockets or (port and error.errno == errno.EADDRINUSE):
                for socket_ in sockets:
                    socket_.close()
                raise
            continue
        sockets.append(listening)
    return sockets


def serve(
    app: App,
    sockets: list[socket.socket],
    *,
    on_ready: Callable[[], None],
    certificate: str | None = None,
    private_key: str | None = None,
    management: tuple[Management, list[socket.socket]] | None = None,
    drain: float = 0,
) -> None:
    """
    Serve until the process is asked to stop. `certificate` and `private_key` are paths of PEM files.

    `management` is served beside, on sockets of its own. `drain` is for how many seconds after that connections are
    left open on which nothing is under way.
    """
    config = _config(
        app, lifespan="on", timeout_keep_alive=75, ssl_certfile=certificate, ssl_keyfile=private_key
    )
    with suppress(KeyboardInterrupt):  # Ctrl+C is how a person asks it to stop.
        _Server(config, app, on_ready, _besides(management), drain).run(sockets=sockets)


def _besides(
    management: tuple[Management, list[socket.socket]] | None,
) -> tuple[_Beside, list[socket.socket]] | None:
    if management is None:
        return None
    app, sockets = management
    return _Beside(_config(app, lifespan="off")), sockets


def _config(app: App | Management, **more: Any) -> uvicorn.Config:
    """How both servers speak: over our protocol, without a word of their own in logs or headers."""
    return uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        **more,
    )
