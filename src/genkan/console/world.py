"""
The endpoints of development mode that change the world around the server: its policies, where requests seem to come
from, whether messages leave; and the one that tells the story of a sign-in.

Knows no database and no sender: what it changes it reaches through the protocols declared here. None of it exists
outside `genkan dev`; whom it answers is for `asking`.
Source: the development-mode contract.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from ipaddress import ip_address
from typing import Any, Final, Protocol, get_args

from msgspec import Struct
from msgspec.structs import replace

from genkan.console.asking import Bad, Route, Serve, body, guarded, query
from genkan.engine.story import Story
from genkan.exchange import Request, Response, json_response
from genkan.policy.model import Policy, State

STATES: Final = get_args(State)


class Place(Struct, frozen=True, kw_only=True):
    """Where every request seems to come from. None: from where it really does, which has no country here."""

    address: str | None = None
    """An IP address."""
    country: str | None = None
    """ISO 3166-1 alpha-2, upper case."""


class Delivery(Struct, frozen=True, kw_only=True):
    """How messages fare."""

    failing: bool = False
    """The provider takes none; the outbox tries again, as it would with a real one."""
    refused: int = 0
    """Attempts that came to nothing since it began to fail."""


class World(Protocol):
    """What can be changed around the server."""

    def policies(self) -> Sequence[Policy]:
        """Every policy of the tenant."""
        ...

    async def put_policy(self, policy: Policy, /) -> None:
        """A policy in the place of the one with its id."""
        ...

    @property
    def place(self) -> Place: ...

    def move(self, place: Place, /) -> None:
        """From now on requests seem to come from there."""
        ...

    @property
    def delivery(self) -> Delivery: ...

    def fail_delivery(self, failing: bool, /) -> None:
        """Refuse messages, or take them again."""
        ...

    async def stories(self, correlation_id: str, /) -> Sequence[Story]:
        """What became of the sign-ins under one correlation id, and why; none when nothing is known of it."""
        ...


def routes(world: World) -> list[Route]:
    """Method, exact path, function."""
    table: list[tuple[str, str, Any]] = [
        ("GET", "/dev/policies", list_policies),
        ("POST", "/dev/policies", switch_policy),
        ("GET", "/dev/place", show_place),
        ("POST", "/dev/place", change_place),
        ("GET", "/dev/delivery", show_delivery),
        ("POST", "/dev/delivery", change_delivery),
        ("GET", "/dev/story", tell),
    ]
    return [(method, path, guarded(_of(world, serve))) for method, path, serve in table]


def _of(world: World, serve: Any) -> Serve:
    return partial(serve, world)


# Policies. ------------------------------------------------------------------------------------------


async def list_policies(world: World, request: Request) -> Response:
    """`{"policies": […]}`, in the shape of Graph's `conditionalAccessPolicy`."""
    query(request)
    return json_response({"policies": sorted(world.policies(), key=lambda policy: policy.id)})


async def switch_policy(world: World, request: Request) -> Response:
    """One policy is enabled, disabled or only reports; answers as the list."""
    query(request)
    match body(request):
        case {"id": str() as name, "state": str() as state, **rest} if not rest and state in STATES:
            found = next((policy for policy in world.policies() if policy.id == name), None)
        case _:
            raise Bad(f'Send {{"id": "…", "state": "…"}}; a state is one of {", ".join(STATES)}.')
    if found is None:
        raise Bad("There is no policy with this id; GET /dev/policies lists them.")
    await world.put_policy(replace(found, state=state))
    return json_response({"policies": sorted(world.policies(), key=lambda policy: policy.id)})


# The place. -----------------------------------------------------------------------------------------


async def show_place(world: World, request: Request) -> Response:
    """`{"address": …, "country": …}`; null: the real one."""
    query(request)
    return json_response(world.place)


async def change_place(world: World, request: Request) -> Response:
    """Requests seem to come from this address or country; a member that is null or left out is the real one again."""
    query(request)
    asked = body(request)
    if not asked.keys() <= {"address", "country"}:
        raise Bad('Send {"address": "203.0.113.7", "country": "JP"}, and nothing else.')
    world.move(
        Place(address=_read_address(asked.get("address")), country=_read_country(asked.get("country")))
    )
    return json_response(world.place)


def _read_address(given: object) -> str | None:
    if given is None:
        return None
    try:
        if isinstance(given, str):
            return str(ip_address(given))
    except ValueError:
        pass
    raise Bad("`address` is an IP address, as `203.0.113.7`, or null.")


def _read_country(given: object) -> str | None:
    if given is None:
        return None
    if isinstance(given, str) and len(given) == 2 and given.isascii() and given.isalpha():
        return given.upper()
    raise Bad("`country` is a code of two letters, as `JP`, or null.")


# Delivery. ------------------------------------------------------------------------------------------


async def show_delivery(world: World, request: Request) -> Response:
    """`{"failing": …, "refused": …}`."""
    query(request)
    return json_response(world.delivery)


async def change_delivery(world: World, request: Request) -> Response:
    """The mail provider fails, or works again."""
    query(request)
    match body(request):
        case {"failing": bool() as failing, **rest} if not rest:
            world.fail_delivery(failing)
        case _:
            raise Bad('Send {"failing": true} or {"failing": false}, and nothing else.')
    return json_response(world.delivery)


# The story. -----------------------------------------------------------------------------------------


async def tell(world: World, request: Request) -> Response:
    """`{"stories": […]}`: what happened in a sign-in, step by step, and which policy asked for what."""
    given = query(request, "correlation_id")
    if "correlation_id" not in given:
        raise Bad("Name the sign-in: `?correlation_id=…`, the `client-request-id` of its first request.")
    return json_response({"stories": await world.stories(given["correlation_id"])})
