"""The development endpoints over a real inbox and plain values, asked without a server between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from genkan.console import dev, world
from genkan.console.pages import StartContext
from genkan.delivery.inbox import Inbox
from genkan.engine.story import Story
from genkan.exchange import Request, Response
from genkan.policy.model import Policy
from genkan.service import demo

START = StartContext(
    base_url="http://localhost:8400",
    tenant="dev",
    tenant_id="aaaaaaaa-0000-4000-8000-000000000001",
    authority="http://localhost:8400/dev",
    otp_client_id="aaaaaaaa-0000-4000-8000-0000000000a1",
    password_client_id="aaaaaaaa-0000-4000-8000-0000000000a2",
    api_client_id="aaaaaaaa-0000-4000-8000-0000000000b1",
    api_scope="api://genkan-demo/Things.Read",
    admin_client_id="aaaaaaaa-0000-4000-8000-0000000000c1",
    graph_url="http://localhost:8400/v1.0",
    inbox_url="http://localhost:8400/dev/inbox",
    version="0.1.0",
    code_seconds=300,
)


class Desk:
    """The endpoints, a clock that stands still until it is moved, and a count of resets."""

    def __init__(self, inbox: Inbox) -> None:
        self.inbox = inbox
        self.time = datetime(2026, 3, 4, 9, 12, 45, tzinfo=UTC)
        self.resets = 0
        self.kept = demo.directory("").policies
        self.place = world.Place()
        self.delivery = world.Delivery()
        self.told: tuple[Story, ...] = ()
        routes = [*dev.routes(inbox, self, self), *world.routes(self)]
        self.table: dict[tuple[str, str], Callable[[Request], Awaitable[Response]]] = {
            (method, path): serve for method, path, serve in routes
        }

    def now(self) -> datetime:
        return self.time

    async def move_to(self, now: datetime) -> None:
        self.time = now

    async def reset(self) -> None:
        self.resets += 1

    def policies(self) -> Sequence[Policy]:
        return self.kept

    async def put_policy(self, policy: Policy) -> None:
        self.kept = tuple(policy if one.id == policy.id else one for one in self.kept)

    def move(self, place: world.Place) -> None:
        self.place = place

    def fail_delivery(self, failing: bool) -> None:
        self.delivery = world.Delivery(failing=failing)

    async def stories(self, correlation_id: str) -> Sequence[Story]:
        return self.told if correlation_id == "known" else ()

    async def ask(
        self, method: str, path: str, query: str = "", body: bytes | str = b"", **headers: str
    ) -> Response:
        """An answer; the names of headers with `_` for `-`."""
        request = Request(
            method=method,
            path=path,
            query=query,
            body=body.encode() if isinstance(body, str) else body,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )
        return await self.table[method, path](request)

    async def json(self, method: str, path: str, query: str = "", body: str = "", **headers: str) -> Any:
        """A good answer, decoded."""
        response = await self.ask(method, path, query, body, **headers)
        assert response.status == 200, response.body
        return msgspec.json.decode(response.body)

    async def refusal(
        self, method: str, path: str, query: str = "", body: str = "", **headers: str
    ) -> tuple[int, str]:
        """The status and the sentence of a refusal."""
        response = await self.ask(method, path, query, body, **headers)
        said = msgspec.json.decode(response.body)
        assert set(said) == {"error", "error_description"}
        return response.status, said["error_description"]
