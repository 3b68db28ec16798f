"""
The endpoints of development mode: the inbox, the test clock, the reset.

None of them exists outside `genkan dev`; whom they answer is for `asking`.
Source: the development-mode contract.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, Protocol

import msgspec

from genkan.console import pages
from genkan.console.asking import Bad, Route, body, channel, error, guarded, number, query
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
        ("GET", "/dev/inbox", guarded(show_inbox)),
        *((method, path, guarded(partial(serve, inbox))) for method, path, serve in inbox_routes),
        ("GET", "/dev/clock", guarded(partial(show_clock, clock))),
        ("POST", "/dev/clock", guarded(partial(move_clock, clock))),
        ("POST", "/dev/reset", guarded(partial(reset, resetter))),
    ]


# The inbox. -----------------------------------------------------------------------------------------


async def show_inbox(_: Request) -> Response:
    """The page that shows messages as they arrive. Its script reads the query."""
    return pages.inbox_page()


async def list_messages(inbox: InboxReader, request: Request) -> Response:
    """`{"messages": […]}`, newest first."""
    given = query(request, "to", "channel", "after", "query", "limit")
    found = inbox.messages(
        to=given.get("to"),
        channel=channel(given),
        after=given.get("after"),
        query=given.get("query"),
        limit=number(given, "limit", most=10_000),
    )
    return json_response({"messages": found})


async def wait_for_messages(inbox: InboxReader, request: Request) -> Response:
    """The same as soon as there is one; an empty list when there was none in time."""
    given = query(request, "to", "channel", "after", "timeout")
    seconds = number(given, "timeout", most=int(WAIT_LONGEST.total_seconds()))
    found = await inbox.wait(
        to=given.get("to"),
        channel=channel(given),
        after=given.get("after"),
        within=WAIT_DEFAULT if seconds is None else timedelta(seconds=seconds),
    )
    return json_response({"messages": found})


async def clear_messages(inbox: InboxReader, request: Request) -> Response:
    """The inbox is empty."""
    query(request)
    await inbox.clear()
    return Response(status=204)


async def stream_messages(inbox: InboxReader, request: Request) -> Response:
    """
    Server-sent events, one message each, from now on or from where the client was cut off (`Last-Event-ID`).

    Source: HTML, server-sent events, section 9.2.
    """
    query(request)
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
    message = inbox.find(query(request, "id").get("id", ""))
    if message is None or message.html is None:
        return error(404, "not_found", "There is no e-mail with this id.")
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
    query(request)
    return json_response({"now": clock.now()})


async def move_clock(clock: MovableClock, request: Request) -> Response:
    """The clock is later, by `advance_seconds` or at `now`; never earlier."""
    query(request)
    now = clock.now()
    target = _target(body(request), now)
    if target < now:
        raise Bad("The clock never goes back: choose a time that is not before the server's present one.")
    if target > CLOCK_LATEST:
        raise Bad(f"The clock goes no further than the year {CLOCK_LATEST.year}.")
    await clock.move_to(target)
    return json_response({"now": clock.now()})


async def reset(resetter: Resetter, request: Request) -> Response:
    """The tenant is as it was seeded, and the inbox empty: a code of the past must not pass for a new one."""
    query(request)
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
                raise Bad("`advance_seconds` is out of range.") from None
        case {"now": str() as text, **rest} if not rest:
            try:
                target = msgspec.convert(text, datetime)
            except msgspec.ValidationError:
                raise Bad("`now` is an ISO 8601 time with its offset, as `2026-03-04T09:12:45Z`.") from None
            if target.tzinfo is None:
                raise Bad("`now` needs an offset, as `2026-03-04T09:12:45Z`.")
            try:
                return target.astimezone(UTC)
            except OverflowError:
                raise Bad("`now` is out of range.") from None
    raise Bad('Send {"advance_seconds": 600} or {"now": "2026-03-04T09:12:45Z"}, and nothing else.')
