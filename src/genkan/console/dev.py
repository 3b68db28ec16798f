"""
The endpoints of development mode: the inbox, the test clock, the reset.

None of them exists outside `genkan dev`. They ask for no credentials, so they answer only what was sent by a program
on this machine or by a page that this machine serves: a foreign web page can neither read the inbox by renaming itself
to this address nor reset the tenant by posting a form.
Source: the development-mode contract; security-requirements BRW-03 (origin checks).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl, urlsplit

import msgspec

from genkan.console import pages
from genkan.exchange import Request, Response, json_response
from genkan.model import Channel

HEARTBEAT: Final = timedelta(seconds=15)
"""Between comment lines of an idle stream, so that neither a proxy nor a browser gives it up."""

WAIT_DEFAULT: Final = timedelta(seconds=10)
WAIT_LONGEST: Final = timedelta(seconds=60)

CLOCK_LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC)
"""The clock never goes back, so it is kept from where every expiry date would overflow the calendar."""


class Shown(Protocol):
    """A message of the inbox. Encoded as JSON, its members are those of the contract."""

    @property
    def id(self) -> str: ...
    @property
    def html(self) -> str | None: ...


class InboxReader(Protocol):
    """What is asked of the inbox."""

    def messages(
        self,
        *,
        to: str | None = None,
        channel: Channel | None = None,
        after: str | None = None,
        query: str | None = None,
        limit: int | None = None,
    ) -> Sequence[Shown]:
        """What has arrived, newest first; an unknown `after` leaves out nothing."""
        ...

    def find(self, id: str, /) -> Shown | None:
        """One message."""
        ...

    async def wait(
        self,
        *,
        to: str | None = None,
        channel: Channel | None = None,
        after: str | None = None,
        within: timedelta,
    ) -> Sequence[Shown]:
        """What `messages` finds, as soon as it finds any; nothing once the time is up."""
        ...

    def subscribe(self, *, after: str | None = None) -> AsyncGenerator[Shown, None]:
        """Every message from this call on, or from the message `after`; oldest first."""
        ...

    async def clear(self) -> None:
        """Forget every message."""
        ...


class MovableClock(Protocol):
    """The server's clock, which development mode can move forward."""

    def now(self) -> datetime:
        """The server's time, aware."""
        ...

    async def move_to(self, now: datetime, /) -> None:
        """Go on from a later time, also after a restart."""
        ...


class Resetter(Protocol):
    """Whoever can return the tenant to its seeded state."""

    async def reset(self) -> None:
        """Same ids and secret as at first, and an empty inbox; the clock stays where it is."""
        ...


Serve = Callable[[Request], Awaitable[Response]]
Route = tuple[str, str, Serve]


def routes(inbox: InboxReader, clock: MovableClock, resetter: Resetter) -> list[Route]:
    """Method, exact path, function: everything under `/dev` that is not the tenant `dev`."""
    inbox_routes: list[tuple[str, str, Callable[[InboxReader, Request], Awaitable[Response]]]] = [
        ("GET", "/dev/inbox/messages", list_messages),
        ("GET", "/dev/inbox/wait", wait_for_messages),
        ("DELETE", "/dev/inbox/messages", clear_messages),
        ("GET", "/dev/inbox/stream", stream_messages),
        ("GET", "/dev/inbox/html", show_html),
    ]
    return [
        ("GET", "/dev/inbox", _guarded(show_inbox)),
        *((method, path, _guarded(partial(serve, inbox))) for method, path, serve in inbox_routes),
        ("GET", "/dev/clock", _guarded(partial(show_clock, clock))),
        ("POST", "/dev/clock", _guarded(partial(move_clock, clock))),
        ("POST", "/dev/reset", _guarded(partial(reset, resetter))),
    ]


# The inbox. -----------------------------------------------------------------------------------------


async def show_inbox(_: Request) -> Response:
    """The page that shows messages as they arrive. Its script reads the query."""
    return pages.inbox_page()


async def list_messages(inbox: InboxReader, request: Request) -> Response:
    """`{"messages": […]}`, newest first."""
    given = _query(request, "to", "channel", "after", "query", "limit")
    found = inbox.messages(
        to=given.get("to"),
        channel=_channel(given),
        after=given.get("after"),
        query=given.get("query"),
        limit=_number(given, "limit", most=10_000),
    )
    return json_response({"messages": found})


async def wait_for_messages(inbox: InboxReader, request: Request) -> Response:
    """The same as soon as there is one; an empty list when there was none in time."""
    given = _query(request, "to", "channel", "after", "timeout")
    seconds = _number(given, "timeout", most=int(WAIT_LONGEST.total_seconds()))
    found = await inbox.wait(
        to=given.get("to"),
        channel=_channel(given),
        after=given.get("after"),
        within=WAIT_DEFAULT if seconds is None else timedelta(seconds=seconds),
    )
    return json_response({"messages": found})


async def clear_messages(inbox: InboxReader, request: Request) -> Response:
    """The inbox is empty."""
    _query(request)
    await inbox.clear()
    return Response(status=204)


async def stream_messages(inbox: InboxReader, request: Request) -> Response:
    """
    Server-sent events, one message each, from now on or from where the client was cut off (`Last-Event-ID`).

    Source: HTML, server-sent events, section 9.2.
    """
    _query(request)
    messages = inbox.subscribe(after=request.headers.get("last-event-id") or None)
    return Response(
        content_type="text/event-stream",
        headers=(("cache-control", "no-store"), ("x-accel-buffering", "no")),
        stream=_events(messages, HEARTBEAT),
    )


async def show_html(inbox: InboxReader, request: Request) -> Response:
    """
    The HTML of one e-mail as a document of its own, in which nothing can run or be fetched.

    A frame that is filled by its page would be held to that page's style rules, and e-mails style themselves inline.
    """
    message = inbox.find(_query(request, "id").get("id", ""))
    if message is None or message.html is None:
        return _error(404, "not_found", "There is no e-mail with this id.")
    return pages.foreign_document(message.html)


async def _events(messages: AsyncGenerator[Shown, None], heartbeat: timedelta) -> AsyncIterator[bytes]:
    """Messages as server-sent events, with a comment whenever nothing else was said for a while."""
    yield b"retry: 1000\n: messages follow as they arrive\n\n"
    async with aclosing(messages):
        upcoming = asyncio.ensure_future(anext(messages))
        try:
            while True:
                done, _ = await asyncio.wait({upcoming}, timeout=heartbeat.total_seconds())
                if not done:
                    yield b":\n\n"
                    continue
                try:
                    message = upcoming.result()
                except StopAsyncIteration:
                    return
                # The next one is asked for only when this one has left, so a slow reader is never ahead of itself.
                yield b"id: " + message.id.encode() + b"\ndata: " + msgspec.json.encode(message) + b"\n\n"
                upcoming = asyncio.ensure_future(anext(messages))
        finally:
            upcoming.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration):
                await upcoming


# The clock and the reset. ---------------------------------------------------------------------------


async def show_clock(clock: MovableClock, request: Request) -> Response:
    """`{"now": …}`."""
    _query(request)
    return json_response({"now": clock.now()})


async def move_clock(clock: MovableClock, request: Request) -> Response:
    """The clock is later, by `advance_seconds` or at `now`; never earlier."""
    _query(request)
    now = clock.now()
    target = _target(_object(request), now)
    if target < now:
        raise _Bad("The clock never goes back: choose a time that is not before the server's present one.")
    if target > CLOCK_LATEST:
        raise _Bad(f"The clock goes no further than the year {CLOCK_LATEST.year}.")
    await clock.move_to(target)
    return json_response({"now": clock.now()})


async def reset(resetter: Resetter, request: Request) -> Response:
    """The tenant is as it was seeded, and the inbox empty: a code of the past must not pass for a new one."""
    _query(request)
    await resetter.reset()
    return json_response({"reset": True})


def _target(asked: Mapping[str, Any], now: datetime) -> datetime:
    """The time asked for."""
    match asked:
        case {"advance_seconds": int() | float() as seconds, **rest} if not rest and not isinstance(
            seconds, bool
        ):
            try:
                return now + timedelta(seconds=seconds)
            except (OverflowError, ValueError):
                raise _Bad("`advance_seconds` is out of range.") from None
        case {"now": str() as text, **rest} if not rest:
            try:
                target = msgspec.convert(text, datetime)
            except msgspec.ValidationError:
                raise _Bad("`now` is an ISO 8601 time with its offset, as `2026-03-04T09:12:45Z`.") from None
            if target.tzinfo is None:
                raise _Bad("`now` needs an offset, as `2026-03-04T09:12:45Z`.")
            try:
                return target.astimezone(UTC)
            except OverflowError:
                raise _Bad("`now` is out of range.") from None
    raise _Bad('Send {"advance_seconds": 600} or {"now": "2026-03-04T09:12:45Z"}, and nothing else.')


# Reading requests. ----------------------------------------------------------------------------------


class _Bad(Exception):
    """What was asked makes no sense; says why in a sentence."""


def _guarded(serve: Serve) -> Serve:
    """The function, behind the check of where a request comes from, its refusals put into JSON."""

    async def guarded(request: Request) -> Response:
        if (why := _foreign(request)) is not None:
            return _error(403, "forbidden", why)
        try:
            return await serve(request)
        except _Bad as why_not:
            return _error(400, "invalid_request", str(why_not))

    return guarded


def _foreign(request: Request) -> str | None:
    """Why a request is not from this machine; None if it is, as far as its headers tell."""
    headers, ours = request.headers, {"localhost", _host(request.base_url)} - {""}
    if "host" in headers:
        asked = _host(f"//{headers['host']}")
        if asked not in ours and not asked.endswith(".localhost") and _address(asked) is None:
            return "Development endpoints answer to `localhost` or an IP address, not to another host name."
        ours.add(asked)
    if "origin" in headers:
        origin = _host(headers["origin"])
        address = _address(origin)
        if origin not in ours and not origin.endswith(".localhost") and not (address and address.is_loopback):
            return "Development endpoints answer no page of another site."
    elif request.method != "GET" and headers.get("sec-fetch-site") == "cross-site":
        return "Development endpoints answer no page of another site."
    return None


def _host(url: str) -> str:
    """The host a URL names, without its port."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """The host as an IP address. No foreign name can be made to point to one, so it needs no trust."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _query(request: Request, *known: str) -> dict[str, str]:
    """The parameters of the query; a blank one counts as left out, an unknown or repeated one is refused."""
    given: dict[str, str] = {}
    try:
        pairs = parse_qsl(request.query, keep_blank_values=True, errors="strict", max_num_fields=16)
    except (ValueError, UnicodeDecodeError):
        raise _Bad("The query string cannot be read.") from None
    for name, value in pairs:
        if name not in known:
            raise _Bad(f"Unknown parameter. Known here: {', '.join(known) or 'none'}.")
        if name in given:
            raise _Bad(f"`{name}` is given twice.")
        given[name] = value
    return {name: value for name, value in given.items() if value.strip()}


def _channel(given: Mapping[str, str]) -> Channel | None:
    """The channel asked for."""
    try:
        return Channel(given["channel"]) if "channel" in given else None
    except ValueError:
        raise _Bad("`channel` is `email` or `sms`.") from None


def _number(given: Mapping[str, str], name: str, *, most: int) -> int | None:
    """A whole number from 0 to `most`."""
    text = given.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 9 and int(text) <= most):
        raise _Bad(f"`{name}` is a whole number from 0 to {most}.")
    return int(text)


def _object(request: Request) -> Mapping[str, Any]:
    """The body as a JSON object. Its content type may be anything, so that a plain `curl -d` does."""
    try:
        return msgspec.json.decode(request.body, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        raise _Bad("The body is not a JSON object.") from None


def _error(status: int, error: str, description: str) -> Response:
    """An error as JSON: a word for programs and a sentence for people."""
    return json_response({"error": error, "error_description": description}, status)
