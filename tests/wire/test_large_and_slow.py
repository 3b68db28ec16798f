"""
What is too large, too many, too deep or too slow ends soon, and harms nobody else (AVL-05).

Heads and bodies go over real sockets: to a server process, and, where time counts, to the protocol that it speaks with
shorter times.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from genkan.wire import http, reading
from tests.server import new_address
from tests.wire import strict
from tests.wire.servers import StrictServer, _Loop

pytestmark = pytest.mark.proves("AVL-05")

GET = b"GET /dev/v2.0/.well-known/openid-configuration HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\n"
SOON = 0.2


class Hasty(http._Protocol):
    """The same, with less patience."""

    HEAD_SECONDS = SOON
    BODY_SECONDS = SOON


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer at once, whatever is still to come."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture(scope="module")
def hasty() -> Iterator[tuple[str, int]]:
    """Where a server listens that waits for nothing longer than `SOON`."""
    config = uvicorn.Config(app, http=Hasty, ws="none", lifespan="off", log_config=None, timeout_keep_alive=1)
    config.load()
    loop, state = _Loop(), ServerState()

    async def listen() -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(
            lambda: Hasty(config, state, {}), "127.0.0.1", 0
        )

    listening = loop.run(listen())
    yield listening.sockets[0].getsockname()

    async def stop() -> None:
        listening.close()
        for connection in list(state.connections):
            connection.transport.close()

    loop.run(stop())
    loop.close()


def connected(place: tuple[str, int]) -> socket.socket:
    return socket.create_connection(place, timeout=5)


def heard(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    found = b""
    try:
        while part := connection.recv(65536):
            found += part
    except ConnectionResetError:
        pass
    return found


def said(server: StrictServer, *parts: bytes) -> bytes:
    """What a server process answers to this."""
    host, port = server.base.removeprefix("http://").split(":")
    with connected((host, int(port))) as connection:
        try:
            for part in parts:
                connection.sendall(part)
        except OSError:
            pass  # It has heard enough.
        return heard(connection)


# Heads. --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        pytest.param([GET, b"X-Long: ", *[b"x" * 16_384] * 8], id="one header that never ends"),
        pytest.param([b"GET /", *[b"x" * 16_384] * 8], id="a path that never ends"),
        pytest.param([GET, *[b"X-Many: 1\r\n"] * 101, b"\r\n"], id="101 headers"),
    ],
)
def test_a_head_that_is_too_large_is_refused_and_the_connection_closed(
    server: StrictServer, head: list[bytes]
) -> None:
    assert said(server, *head).startswith(b"HTTP/1.1 400 ")
    assert server.http.get(f"{server.base}/dev/v2.0/.well-known/openid-configuration").status_code == 200


def test_a_head_of_a_hundred_headers_and_of_sixty_thousand_bytes_is_none(server: StrictServer) -> None:
    many = [f"X-{n}: {'x' * 500}\r\n".encode() for n in range(98)]

    answer = said(server, GET, *many, b"Connection: close\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "begun", [b"", b"G", GET, GET + b"X-Slow: a"], ids=["nothing", "a letter", "half", "half a header"]
)
def test_whoever_does_not_come_to_the_end_of_a_head_is_left(hasty: tuple[str, int], begun: bytes) -> None:
    with connected(hasty) as connection:
        began = time.monotonic()
        connection.sendall(begun)

        assert heard(connection) == b""
        assert (SOON if begun else 1) * 0.9 < time.monotonic() - began < 4


def test_a_letter_now_and_then_buys_no_time(hasty: tuple[str, int]) -> None:
    """Neither in the first head of a connection, nor in a later one, nor in a body that was answered already."""
    for first in (b"", GET + b"\r\n", POST + b"Content-Length: 100000\r\n\r\n"):
        with connected(hasty) as connection:
            connection.sendall(first)
            began, is_open = time.monotonic(), True
            while is_open and time.monotonic() - began < 4:
                try:
                    connection.sendall(b"X" if b"POST" in first else GET[:1])
                    connection.settimeout(0.02)
                    is_open = connection.recv(4096) != b""
                except TimeoutError:
                    continue
                except OSError:
                    is_open = False
            assert not is_open, first


def test_who_is_in_time_may_ask_again_on_the_same_connection(hasty: tuple[str, int]) -> None:
    with connected(hasty) as connection:
        for _ in range(3):
            connection.sendall(GET + b"\r\n")
            assert connection.recv(4096).endswith(b"ok")
            time.sleep(1.5 * SOON)  # Between two requests nobody is in a hurry.


# Bodies. -------------------------------------------------------------------------------------------------------------


def sign_up(server: StrictServer, attributes: str) -> tuple[int, dict[str, Any]]:
    form = {
        "client_id": server.otp_app,
        "username": new_address(),
        "challenge_type": "oob redirect",
        "attributes": attributes,
    }
    answer = server.post_form(strict.SIGNUP_START, form)
    return answer.status, answer.body


@pytest.mark.parametrize(
    "attributes",
    [
        pytest.param("[" * 10_000, id="deep"),
        pytest.param('{"a":' * 4_000, id="deep objects"),
        pytest.param('{"city":' + "[" * 10_000 + "]" * 10_000 + "}", id="deep below a name"),
        pytest.param(json.dumps({f"n{n}": "x" for n in range(65)}), id="65 attributes"),
    ],
)
def test_attributes_that_are_too_deep_or_too_many_are_invalid(server: StrictServer, attributes: str) -> None:
    status, body = sign_up(server, attributes)

    assert (status, body["error"]) == (400, "invalid_request")
    assert sign_up(server, json.dumps({f"n{n}": "x" for n in range(64)}))[0] == 200


def test_a_body_that_is_too_large_is_413_and_so_is_one_that_does_not_say_how_large_it_is(
    server: StrictServer,
) -> None:
    large = b"a=" + b"x" * reading.MAX_BODY_BYTES
    path = f"{server.base}/dev{strict.INITIATE}"
    kind = {"content-type": "application/x-www-form-urlencoded"}

    told = server.http.post(path, content=large, headers=kind)
    untold = server.http.post(path, content=iter([large[:1000], large[1000:]]), headers=kind)

    assert [told.status_code, untold.status_code] == [413, 413]
    assert told.json()["error"] == "invalid_request"


def test_ten_megabytes_of_json_are_not_read(server: StrictServer) -> None:
    answer = server.http.post(f"{server.base}/v1.0/users", content=b"[" * 10_000_000)

    assert answer.status_code == 413


def test_a_body_that_comes_too_slowly_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "SLOW_BODY_SECONDS", SOON)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(SOON / 5)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def read() -> bytes | None:
        return await asyncio.wait_for(http._body({}, receive), timeout=5)

    assert asyncio.run(read()) is None


def test_more_fields_than_any_call_has_are_refused(server: StrictServer) -> None:
    body = "&".join(f"f{n}=1" for n in range(reading.MAX_FIELDS + 1))

    assert server.post_raw(strict.INITIATE, body).error[0] == "invalid_request"
