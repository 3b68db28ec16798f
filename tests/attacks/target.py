"""
What is attacked: a running `genkan dev`, or the same application called in this process.

Both are spoken to by HTTP's words alone. The one in this process is faster, its policies can be changed, and a test may
look into its database. Nothing of it is replaced: the store, the inbox and the clock are the real ones.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode

import httpx2

from genkan.bootstrap import Development
from genkan.settings import Settings
from tests.server import Reply, Server

T = TypeVar("T")


class Target(Protocol):
    """Somebody who answers."""

    @property
    def otp_app(self) -> str: ...

    @property
    def password_app(self) -> str: ...

    @property
    def scope(self) -> str: ...

    def post(self, path: str, headers: Mapping[str, str] | None = None, **form: str) -> Reply: ...

    def get(self, path: str, **query: str) -> Any: ...

    def advance(self, seconds: float) -> None: ...


@dataclass
class Outside:
    """A process, spoken to over a socket."""

    server: Server

    @property
    def otp_app(self) -> str:
        return self.server.otp_app

    @property
    def password_app(self) -> str:
        return self.server.password_app

    @property
    def scope(self) -> str:
        return self.server.scope

    def post(self, path: str, headers: Mapping[str, str] | None = None, **form: str) -> Reply:
        return self.server.post(path, headers, **form)

    def get(self, path: str, **query: str) -> Any:
        return self.server.http.get(f"{self.server.base}{path}", params=query).json()

    def advance(self, seconds: float) -> None:
        self.server.advance(seconds)


App = Callable[
    [dict[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]
]


async def call(
    app: App,
    method: str,
    path: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    query: str = "",
    address: str = "127.0.0.1",
) -> httpx2.Response:
    """One request to an ASGI application, without a socket."""
    waiting: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop()
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
        "client": (address, 50000),
    }
    await app(scope, receive, send)
    answered = [(name.decode(), value.decode()) for name, value in sent[0]["headers"]]
    return httpx2.Response(
        sent[0]["status"], headers=answered, content=b"".join(m.get("body", b"") for m in sent[1:])
    )


@asynccontextmanager
async def started(app: App) -> AsyncIterator[None]:
    """The application, for the length of a block."""
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    living = asyncio.create_task(_live(app, events, answers))
    await events.put({"type": "lifespan.startup"})
    await answers.get()
    try:
        yield
    finally:
        await events.put({"type": "lifespan.shutdown"})
        await answers.get()
        await living


async def _live(
    app: App, events: asyncio.Queue[dict[str, Any]], answers: asyncio.Queue[dict[str, Any]]
) -> None:
    await app({"type": "lifespan"}, events.get, answers.put)


class Inside:
    """The application in this process, on an event loop that runs only while it is asked something."""

    def __init__(self, data: Path, runner: asyncio.Runner) -> None:
        self.data = data
        self.development = Development(Settings(data=data, hashing_workers=2), "http://localhost:1")
        self.told = self.development.announcement
        self.address = "127.0.0.1"
        """Where requests come from."""
        self._runner = runner

    @property
    def app(self) -> App:
        return self.development.app

    @property
    def otp_app(self) -> str:
        return self.told.apps["otp"]

    @property
    def password_app(self) -> str:
        return self.told.apps["password"]

    @property
    def scope(self) -> str:
        return self.told.api["scope"]

    def now(self) -> datetime:
        return self.development.now()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def post(self, path: str, headers: Mapping[str, str] | None = None, **form: str) -> Reply:
        return self.run(self.posted(path, headers, **form))

    async def posted(self, path: str, headers: Mapping[str, str] | None = None, **form: str) -> Reply:
        """The same from within the loop, so that several can be under way at once."""
        body = urlencode(form).encode()
        path = f"/{self.told.tenant}{path}"
        return Reply.of(await call(self.app, "POST", path, body, headers, address=self.address))

    def get(self, path: str, **query: str) -> Any:
        return self.run(call(self.app, "GET", path, query=urlencode(query))).json()

    def advance(self, seconds: float) -> None:
        body = json.dumps({"advance_seconds": seconds}).encode()
        answer = self.run(call(self.app, "POST", "/dev/clock", body))
        assert answer.status_code == 200, answer.text


@contextmanager
def inside(data: Path) -> Iterator[Inside]:
    """The application in this process, for the length of a block."""
    with asyncio.Runner() as runner:
        here = Inside(data, runner)
        living = started(here.app)
        runner.run(living.__aenter__())
        try:
            yield here
        finally:
            runner.run(living.__aexit__(None, None, None))


# Messages. ------------------------------------------------------------------------------------------


def newest(target: Target, to: str) -> str:
    """The id of the newest message to somebody; empty when there is none."""
    found = target.get("/dev/inbox/messages", to=to, limit="1")["messages"]
    return str(found[0]["id"]) if found else ""


def arrived(target: Target, to: str, purpose: str, after: str) -> str:
    """The code of the first message of a purpose that came after another, waited for."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        found = target.get("/dev/inbox/wait", to=to, after=after, timeout="5")["messages"]
        for message in reversed(found):
            if message["purpose"] == purpose:
                return str(message["code"])
        if found:
            after = found[0]["id"]
    raise AssertionError(f"no {purpose} code came for {to}")


def sending(target: Target, to: str, purpose: str, ask: Callable[[], Reply]) -> tuple[Reply, str]:
    """The answer to a request that sends a code, and that code."""
    before = newest(target, to)
    reply = ask()
    assert reply.status == 200, reply.body
    return reply, arrived(target, to, purpose, before)


def new_number() -> str:
    """A number that is possible and that nobody else uses; from many countries, each of which has its limit."""
    prefix, digits = random.choice(NUMBERS)
    return f"{prefix}{uuid.uuid4().int % 10**digits:0{digits}d}"


NUMBERS = (("+49151", 8), ("+3361", 7), ("+346", 8), ("+4670", 7), ("+4474", 8), ("+4475", 8))
"""Ranges in which every number is one of a mobile phone."""
