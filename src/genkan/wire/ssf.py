"""
The Shared Signals Framework on the wire: how a receiver of security events manages its stream, and asks for events.

Reads JSON, lets the service judge, writes JSON. Knows nothing of events but their names.
Source: SSF 1.0, 7 and 8; RFC 8936; RFC 6750; CAEP Interoperability Profile 1.0, 2; ENUM-08.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs

import msgspec
from msgspec import UNSET, Struct

from genkan.engine import signals
from genkan.engine.transaction import StoreUnavailable, Taken
from genkan.exchange import Request, Response, json_response
from genkan.model import Client, Stream
from genkan.service.admin import streams
from genkan.service.admin.door import Actor, Door, Refusal
from genkan.service.admin.streams import MANAGE, READ, RECEIVE, SCOPES, Seal, StreamChange
from genkan.service.clients import may_act_from
from genkan.service.incoming import Incoming, NoKeys
from genkan.service.issue import Issuer
from genkan.service.ports import SignalStore
from genkan.service.signals import Signals, error_of
from genkan.telemetry import log
from genkan.tokens import jwt, metadata
from genkan.tokens.keys import KeyRing

EVENTS: Final = "/ssf/events"
STREAM, STATUS, VERIFY, POLL = "/ssf/stream", "/ssf/status", "/ssf/verify", "/ssf/poll"
ADD_SUBJECT, REMOVE_SUBJECT = "/ssf/subjects/add", "/ssf/subjects/remove"
CONFIGURATION: Final = "/.well-known/ssf-configuration"
CONFIGURATIONS: Final = (CONFIGURATION, "/v2.0" + CONFIGURATION)
"""Below a tenant; RFC 8414's way to write it, with the tenant behind it, is for `wire.http` to turn into this one."""

PUSHED, POLLED = "urn:ietf:rfc:8935", "urn:ietf:rfc:8936"
LONGEST_POLL: Final = 20.0
"""Seconds that a receiver waits who asks for events when there are none."""
LOOKS_EVERY: Final = 1.0
"""Seconds between two looks meanwhile: another process may have written one."""
MOST_AT_ONCE: Final = 100
"""Events in one answer."""
MOST_ACKS: Final = 1000
INTERVAL: Final = int(streams.VERIFY_EVERY.total_seconds())
"""Seconds between two verifications."""


FLAWS: Final[Mapping[str, str]] = {
    "invalid_request": "This is no security event token in order, and of now.",
    "invalid_key": "The signature is wrong, or its key is not known here.",
    "invalid_issuer": "Nobody of this issuer is heard here.",
    "invalid_audience": "It is for somebody else.",
}
"""What is wrong with an event (RFC 8935 2.4)."""


class Called(NamedTuple):
    """A request that is allowed."""

    request: Request
    actor: Actor
    client: Client
    body: dict[str, Any]


class _No(Exception):
    """An error answer."""

    def __init__(self, status: int, error: str, text: str, *headers: tuple[str, str]) -> None:
        super().__init__(text)
        self.response = json_response({"error": error, "error_description": text}, status, *headers)


class Endpoint(Struct, frozen=True, kw_only=True, dict=True):
    """A tenant's endpoints for receivers."""

    door: Door
    store: SignalStore
    issuer: Issuer
    signals: Signals
    ring: Callable[[], KeyRing]
    base_url: str
    seal: Seal
    incoming: Incoming

    async def __call__(self, request: Request) -> Response:
        """Answer a request to one of `METHODS`. Never raises."""
        try:
            if request.path == EVENTS:
                return await self._hear(request)
            route = ROUTES[request.method, request.path]
            return await route.handler(self, self._allowed(request, route.scope))
        except _No as no:
            return no.response
        except StoreUnavailable:
            log.warning("store.unavailable", extra=_about(request))
            return _No(
                503, "temporarily_unavailable", "Too busy; try again in a moment.", ("retry-after", "2")
            ).response
        except Exception:  # noqa: BLE001 - a fault is an answer too, and never a traceback
            log.exception("http.fault", extra=_about(request))
            return _No(500, "server_error", "Something broke on our side; see the log.").response

    async def _hear(self, request: Request) -> Response:
        """Take an event of somebody else (RFC 8935 2). The answer is the same whether or not anything follows."""
        try:
            token = request.body.decode("ascii").strip()
        except UnicodeDecodeError:
            token = ""
        flaw = "invalid_request"
        if request.media_type == "application/secevent+jwt" and token:
            try:
                found = await self.incoming.hear(token, request.correlation_id)
            except NoKeys:
                text = "The keys of this issuer cannot be had now; try again later."
                raise _No(503, "temporarily_unavailable", text, ("retry-after", "60")) from None
            if found is None:
                return Response(status=202)
            flaw = found
        return json_response({"err": flaw, "description": FLAWS[flaw]}, 400)

    def configuration(self) -> Response:
        """What anybody may know of this tenant as a transmitter (SSF 1.0, 7.1)."""
        return json_response(metadata.transmitter(self.base_url, self._tenant))

    @property
    def _tenant(self) -> str:
        return self.door.store.directory().tenant.id

    @property
    def _issuer(self) -> str:
        return metadata.issuer(self.base_url, self._tenant)

    def _allowed(self, request: Request, scope: str) -> Called:
        """Who asks, and whether they may. Raises: `_No`, in the words of RFC 6750 3.1."""
        if not request.bearer:
            raise _No(401, "invalid_request", "Send an access token.", ("www-authenticate", "Bearer"))
        directory, now = self.door.store.directory(), self.door.now()
        claims = jwt.verify(
            request.bearer,
            self.ring(),
            typ="at+jwt",
            issuer=self._issuer,
            audience=metadata.signals(self.base_url, directory.tenant.id),
            now=now,
        )
        bad = ("www-authenticate", 'Bearer error="invalid_token"')
        if isinstance(claims, jwt.Flaw):
            raise _No(401, "invalid_token", "The access token is not valid here.", bad)
        client = directory.clients.get(str(claims.get("client_id")))
        if client is None or client.kind == "public" or claims.get("epoch") != client.epoch:
            raise _No(401, "invalid_token", "The access token was revoked.", bad)
        held = set(str(claims.get("scope")).split()) if RECEIVE in client.app_roles else set()
        if not held & ({MANAGE} if scope == MANAGE else SCOPES) or not may_act_from(client, request.address):
            lacks = ("www-authenticate", f'Bearer error="insufficient_scope", scope="{scope}"')
            raise _No(403, "insufficient_scope", "The access token does not allow this.", lacks)
        actor = Actor(
            id=client.id,
            name=client.name,
            address=request.address,
            correlation_id=request.correlation_id,
            roles=frozenset(client.app_roles),
        )
        return Called(
            request, actor, client, _json(request) if request.method not in ("GET", "DELETE") else {}
        )

    # Streams. ------------------------------------------------------------------------------------------

    async def create(self, called: Called) -> Response:
        change = _change(called.body, {})
        made = await streams.add(self.door, called.actor, called.client.id, change, self.seal)
        if isinstance(made, Refusal) and made.code == "ObjectConflict":
            raise _No(409, "conflict", made.text)
        self.signals.wake()
        return json_response(self._shown(_unless(made)), 201)

    async def read(self, called: Called) -> Response:
        wanted = _query(called.request).get("stream_id")
        own = self._own(called)
        if wanted is None:
            return json_response([self._shown(own)] if own is not None else [])
        if own is None or own.id != wanted:
            raise _missing()
        return json_response(self._shown(own))

    async def change(self, called: Called) -> Response:
        return await self._write(called, _change)

    async def replace(self, called: Called) -> Response:
        return await self._write(called, _replacement)

    async def _write(
        self, called: Called, read: Callable[[Mapping[str, Any], Mapping[str, Any]], StreamChange]
    ) -> Response:
        stream = self._named(called)
        change = read(called.body, self._shown(stream))
        changed = _unless(await streams.update(self.door, called.actor, stream.id, change, self.seal))
        self.signals.wake()
        return json_response(self._shown(changed))

    async def delete(self, called: Called) -> Response:
        wanted = _query(called.request).get("stream_id")
        if wanted is None:
            raise _No(400, "invalid_request", "The parameter stream_id is missing.")
        own = self._own(called)
        if own is None or own.id != wanted:
            raise _missing()
        _unless(await streams.remove(self.door, called.actor, own.id))
        return Response(status=204)

    # Status, subjects, verification. -------------------------------------------------------------------

    async def status(self, called: Called) -> Response:
        own = self._own(called)
        if own is None or own.id != _query(called.request).get("stream_id"):
            raise _missing()
        return json_response(_status(own))

    async def set_status(self, called: Called) -> Response:
        stream = self._named(called)
        status, reason = called.body.get("status"), called.body.get("reason", "")
        if status not in ("enabled", "paused", "disabled") or not isinstance(reason, str):
            raise _No(400, "invalid_request", "The status is enabled, paused or disabled.")
        changed = _unless(await streams.set_status(self.door, called.actor, stream.id, status, reason))
        self.signals.wake()
        return json_response(_status(changed))

    async def add_subject(self, called: Called) -> Response:
        await self._follow(called, removed=False)
        return Response(status=200)

    async def remove_subject(self, called: Called) -> Response:
        await self._follow(called, removed=True)
        return Response(status=204)

    async def _follow(self, called: Called, *, removed: bool) -> None:
        stream, about = self._named(called), called.body.get("subject")
        if not isinstance(about, dict):
            raise _No(400, "invalid_request", "The member subject is missing.")
        _unless(
            await streams.follow(self.door, called.actor, stream.id, about, self._issuer, removed=removed)
        )

    async def verify(self, called: Called) -> Response:
        stream, state = self._named(called), called.body.get("state", "")
        if not isinstance(state, str):
            raise _No(400, "invalid_request", "The state is a text.")
        answer = await streams.verify(self.door, called.actor, stream.id, state)
        if isinstance(answer, Refusal) and answer.why == "overloaded":
            raise _No(429, "slow_down", answer.text, ("retry-after", str(INTERVAL)))
        _unless(answer)
        return Response(status=204)

    # Events. -------------------------------------------------------------------------------------------

    async def poll(self, called: Called) -> Response:
        """Note what was acknowledged and what was refused; then what there is, waited for if asked to (RFC 8936 2)."""
        stream = self._own(called)
        if stream is None or stream.delivery != "poll":
            raise _missing()
        asked = _poll(called.body)
        await self.store.settle_signals(stream.id, asked.settled)
        deadline = asyncio.get_running_loop().time() + (0.0 if asked.at_once else LONGEST_POLL)
        while True:
            waiting = await self.store.untaken(stream, asked.most + 1) if asked.most else ()
            left = deadline - asyncio.get_running_loop().time()
            if waiting or left <= 0 or asked.most == 0:
                break
            await self.signals.comes(min(left, LOOKS_EVERY))
            stream = self._own(called) or stream
        now = self.door.now()
        sets = {w.signal.id: self.issuer.event(w.signal, stream, now) for w in waiting[: asked.most]}
        return json_response({"sets": sets, "moreAvailable": len(waiting) > asked.most})

    # Shapes. -------------------------------------------------------------------------------------------

    def _own(self, called: Called) -> Stream | None:
        return streams.of_client(self.door.store.directory(), called.client.id)

    def _named(self, called: Called) -> Stream:
        """The caller's stream, if the body names it. Raises: `_No`."""
        id = called.body.get("stream_id")
        if not isinstance(id, str):
            raise _No(400, "invalid_request", "The member stream_id is missing.")
        own = self._own(called)
        if own is None or own.id != id:
            raise _missing()
        return own

    def _shown(self, stream: Stream) -> dict[str, Any]:
        """A stream as its receiver sees it (SSF 1.0, 8.1.1). Its authorization header is never shown again."""
        pushed = stream.delivery == "push"
        url = stream.url if pushed else metadata.signals(self.base_url, self._tenant) + "/poll"
        shown: dict[str, Any] = {
            "stream_id": stream.id,
            "iss": self._issuer,
            "aud": stream.audience,
            "events_supported": signals.EVENTS,
            "events_requested": stream.events,
            "events_delivered": [event for event in signals.EVENTS if event in stream.events],
            "delivery": {"method": PUSHED if pushed else POLLED, "endpoint_url": url},
            "min_verification_interval": INTERVAL,
        }
        return {**shown, **({"description": stream.description} if stream.description else {})}


Handler = Callable[[Endpoint, Called], Awaitable[Response]]


class Route(NamedTuple):
    """One operation."""

    scope: str
    """Which a token needs; the managing one includes the reading one."""
    handler: Handler
    summary: str
    members: tuple[str, ...] = ()
    """Of its body; those with `?` may be left out."""


_STREAM = ("delivery?", "events_requested?", "description?")
ROUTES: Final[Mapping[tuple[str, str], Route]] = {
    ("POST", STREAM): Route(MANAGE, Endpoint.create, "Create a stream", _STREAM),
    ("GET", STREAM): Route(READ, Endpoint.read, "Read a stream, or all"),
    ("PATCH", STREAM): Route(MANAGE, Endpoint.change, "Change a stream", ("stream_id", *_STREAM)),
    ("PUT", STREAM): Route(MANAGE, Endpoint.replace, "Replace a stream", ("stream_id", *_STREAM)),
    ("DELETE", STREAM): Route(MANAGE, Endpoint.delete, "Delete a stream"),
    ("GET", STATUS): Route(READ, Endpoint.status, "Read the status of a stream"),
    ("POST", STATUS): Route(
        MANAGE, Endpoint.set_status, "Enable, pause or disable a stream", ("stream_id", "status", "reason?")
    ),
    ("POST", ADD_SUBJECT): Route(
        MANAGE, Endpoint.add_subject, "Be told of somebody", ("stream_id", "subject", "verified?")
    ),
    ("POST", REMOVE_SUBJECT): Route(
        MANAGE, Endpoint.remove_subject, "Be told of somebody no more", ("stream_id", "subject")
    ),
    ("POST", VERIFY): Route(MANAGE, Endpoint.verify, "Ask for a verification event", ("stream_id", "state?")),
    ("POST", POLL): Route(
        READ,
        Endpoint.poll,
        "Acknowledge events, and get others",
        ("maxEvents?", "returnImmediately?", "ack?", "setErrs?"),
    ),
}
METHODS: Final[Mapping[str, tuple[str, ...]]] = {
    **{path: tuple(m for m, p in ROUTES if p == path) for _, path in ROUTES},
    EVENTS: ("POST",),
}
"""Every path below a tenant, and the methods it takes."""


class _Poll(NamedTuple):
    """What a receiver asks for."""

    settled: list[Taken]
    most: int
    at_once: bool


def _poll(body: Mapping[str, Any]) -> _Poll:
    most, at_once = body.get("maxEvents", MOST_AT_ONCE), body.get("returnImmediately", False)
    acks, errors = body.get("ack", []), body.get("setErrs", {})
    is_count = isinstance(most, int) and not isinstance(most, bool) and most >= 0
    if (
        not is_count
        or not isinstance(at_once, bool)
        or not isinstance(acks, list)
        or not isinstance(errors, dict)
    ):
        raise _No(400, "invalid_request", "This is no request for events: see RFC 8936, 2.2.")
    if len(acks) + len(errors) > MOST_ACKS or not all(isinstance(id, str) for id in acks):
        raise _No(400, "invalid_request", f"Acknowledge {MOST_ACKS} events at most, each by its jti.")
    settled = [Taken(id=id, how="taken") for id in acks]
    for id, error in errors.items():
        word = error_of(msgspec.json.encode(error))
        settled.append(Taken(id=id, how="refused", why=f"its receiver said: {word or 'nothing'}"))
    return _Poll(settled, min(most, MOST_AT_ONCE), at_once)


def _change(body: Mapping[str, Any], shown: Mapping[str, Any]) -> StreamChange:
    """What a receiver wants another way; what only we say has to be as it is (SSF 1.0, 8.1.1.3). Raises: `_No`."""
    for name in ("iss", "aud", "events_supported", "events_delivered", "min_verification_interval"):
        if name in body and shown and not _is_same(body[name], shown[name]):
            raise _No(400, "invalid_request", f"The member {name} is ours to say.")
    events, description = body.get("events_requested", UNSET), body.get("description", UNSET)
    if events is not UNSET:
        if not isinstance(events, list) or not all(isinstance(event, str) for event in events):
            raise _No(400, "invalid_request", "The member events_requested is a list of URIs.")
        events = tuple(dict.fromkeys(events))
    if description is not UNSET and not isinstance(description, str):
        raise _No(400, "invalid_request", "The description is a text.")
    delivery = body.get("delivery", UNSET)
    if delivery is UNSET:
        return StreamChange(events=events, description=description)
    if not isinstance(delivery, dict) or delivery.get("method") not in (PUSHED, POLLED):
        raise _No(400, "invalid_request", f"The delivery method is {PUSHED} or {POLLED}.")
    if delivery["method"] == POLLED:
        return StreamChange(events=events, description=description, delivery="poll")
    url, header = delivery.get("endpoint_url"), delivery.get("authorization_header", "")
    if not isinstance(url, str) or not isinstance(header, str):
        raise _No(400, "invalid_request", "The delivery by push needs an endpoint_url.")
    return StreamChange(
        events=events, description=description, delivery="push", url=url, authorization=header
    )


def _replacement(body: Mapping[str, Any], shown: Mapping[str, Any]) -> StreamChange:
    """The same, and what is not said is not wanted any more (SSF 1.0, 8.1.1.4)."""
    whole = {"events_requested": [], "description": "", "delivery": {"method": POLLED}}
    return _change({**whole, **body}, shown)


def _is_same(said: object, ours: object) -> bool:
    listed = list(ours) if isinstance(ours, tuple) else ours
    return said in (listed, [listed])


def _status(stream: Stream) -> dict[str, str]:
    shown = {"stream_id": stream.id, "status": stream.status}
    return {**shown, **({"reason": stream.reason} if stream.reason else {})}


def _json(request: Request) -> dict[str, Any]:
    """The JSON object of a body. Raises: `_No`."""
    if request.media_type != "application/json":
        raise _No(400, "invalid_request", "Send JSON.")
    try:
        found = msgspec.json.decode(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _No(400, "invalid_request", "The body is not JSON.") from None
    if not isinstance(found, dict):
        raise _No(400, "invalid_request", "The body is not a JSON object.")
    return found


def _query(request: Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(request.query, max_num_fields=16).items()}


def _missing() -> _No:
    return _No(404, "not_found", "There is no such stream of this receiver.")


def _unless(answer: Any) -> Any:
    """What an act made. Raises: `_No` for a refusal."""
    if not isinstance(answer, Refusal):
        return answer
    if answer.why == "missing":
        raise _missing()
    if answer.why == "forbidden":
        raise _No(403, "access_denied", answer.text)
    raise _No(400, "invalid_request", answer.text)


def _about(request: Request) -> dict[str, str]:
    """What a log line says of a request."""
    return {"path": request.path, "correlation_id": request.correlation_id, "trace_id": request.trace_id}
