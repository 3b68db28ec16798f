"""The endpoints of development mode, as the contract has them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from genkan.console import dev
from genkan.exchange import Response
from genkan.model import Channel
from tests.console.desk import Desk
from tests.delivery.letters import a_delivery, an_inbox

pytestmark = pytest.mark.anyio

MESSAGES, WAIT, STREAM = "/dev/inbox/messages", "/dev/inbox/wait", "/dev/inbox/stream"
CLOCK, RESET = "/dev/clock", "/dev/reset"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with an_inbox(tmp_path) as inbox:
        yield Desk(inbox)


async def arrive(desk: Desk, *to: str) -> None:
    for address in to:
        channel = Channel.EMAIL if "@" in address else Channel.SMS
        await desk.inbox.send([a_delivery(to=address, channel=channel)])


def to(answer: Any) -> list[str]:
    return [message["to"] for message in answer["messages"]]


# The inbox. -----------------------------------------------------------------------------------------


async def test_messages_are_listed_in_the_shape_of_the_contract(desk: Desk) -> None:
    await arrive(desk, "ada@example.com", "+447911123456")

    answer = await desk.json("GET", MESSAGES)

    assert list(answer) == ["messages"]
    assert to(answer) == ["+447911123456", "ada@example.com"]
    for message in answer["messages"]:
        assert list(message) == [
            "id",
            "channel",
            "to",
            "purpose",
            "code",
            "subject",
            "text",
            "html",
            "created_at",
        ]
    assert answer["messages"][0]["subject"] is None
    assert answer["messages"][0]["created_at"] == "2026-03-04T09:12:45Z"


async def test_messages_are_chosen_by_the_query(desk: Desk) -> None:
    await arrive(desk, "ada@example.com", "bo@example.com", "+447911123456", "ada@example.com")
    oldest = (await desk.json("GET", MESSAGES))["messages"][-1]["id"]

    assert to(await desk.json("GET", MESSAGES, "to=ADA%40example.com")) == ["ada@example.com"] * 2
    assert to(await desk.json("GET", MESSAGES, "to=+44%207911%20123-456")) == ["+447911123456"]
    assert to(await desk.json("GET", MESSAGES, "channel=sms")) == ["+447911123456"]
    assert to(await desk.json("GET", MESSAGES, f"to=ada@example.com&after={oldest}")) == ["ada@example.com"]
    assert to(await desk.json("GET", MESSAGES, "query=bo@")) == ["bo@example.com"]
    assert to(await desk.json("GET", MESSAGES, "limit=1")) == ["ada@example.com"]


async def test_a_parameter_left_blank_is_left_out(desk: Desk) -> None:
    await arrive(desk, "ada@example.com")

    assert to(await desk.json("GET", MESSAGES, "to=&channel=&after=")) == ["ada@example.com"]
    assert to(await desk.json("GET", WAIT, "to=&channel=&after=&timeout=")) == ["ada@example.com"]


async def test_waiting_ends_with_the_message(desk: Desk) -> None:
    waiting = asyncio.create_task(desk.json("GET", WAIT, "to=ada@example.com"))
    await asyncio.sleep(0)
    assert not waiting.done()

    await arrive(desk, "bo@example.com", "ada@example.com")

    assert to(await waiting) == ["ada@example.com"]


async def test_waiting_in_vain_ends_with_an_empty_list(desk: Desk) -> None:
    assert await desk.json("GET", WAIT, "to=ada@example.com&timeout=0") == {"messages": []}


async def test_the_inbox_can_be_cleared(desk: Desk) -> None:
    await arrive(desk, "ada@example.com")

    response = await desk.ask("DELETE", MESSAGES)

    assert (response.status, response.body) == (204, b"")
    assert await desk.json("GET", MESSAGES) == {"messages": []}


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (MESSAGES, "channel=pigeon"),
        (MESSAGES, "adress=ada@example.com"),
        (MESSAGES, "to=a@example.com&to=b@example.com"),
        (MESSAGES, "to=%FF"),
        (MESSAGES, "limit=-1"),
        (MESSAGES, "limit=10001"),
        (MESSAGES, "timeout=5"),
        (WAIT, "timeout=61"),
        (WAIT, "timeout=soon"),
        (WAIT, "timeout=1e1"),
        (WAIT, "timeout=%C2%B2"),
        (WAIT, "limit=5"),
        (STREAM, "to=ada@example.com"),
        (CLOCK, "now=1"),
        (MESSAGES, "&".join(f"to={n}" for n in range(100))),
    ],
)
async def test_a_query_that_makes_no_sense_is_refused_in_a_sentence(
    desk: Desk, path: str, query: str
) -> None:
    status, sentence = await desk.refusal("GET", path, query)

    assert status == 400
    assert sentence.endswith(".")


async def test_the_html_of_an_email_is_a_document_in_which_nothing_runs(desk: Desk) -> None:
    await arrive(desk, "ada@example.com", "+447911123456")
    sms, email = (await desk.json("GET", MESSAGES))["messages"]

    response = await desk.ask("GET", "/dev/inbox/html", f"id={email['id']}")

    policy = dict(response.headers)["content-security-policy"]
    assert response.body.decode() == email["html"]
    assert "sandbox allow-same-origin;" in policy
    assert "allow-scripts" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'self'" in policy
    assert (await desk.refusal("GET", "/dev/inbox/html", f"id={sms['id']}"))[0] == 404
    assert (await desk.refusal("GET", "/dev/inbox/html"))[0] == 404


# The stream. ----------------------------------------------------------------------------------------


class Events:
    """A stream as a client reads it."""

    def __init__(self, response: Response) -> None:
        assert response.stream is not None
        self.stream: AsyncIterator[bytes] = response.stream
        self.type = response.content_type

    async def chunk(self) -> str:
        return (await asyncio.wait_for(anext(self.stream), 5)).decode()

    async def message(self) -> tuple[str, Any]:
        """The id and the data of the next event."""
        lines = (await self.chunk()).splitlines()
        assert [line.partition(":")[0] for line in lines] == ["id", "data", ""]
        return lines[0].removeprefix("id: "), json.loads(lines[1].removeprefix("data: "))

    async def close(self) -> None:
        await self.stream.aclose()  # type: ignore[attr-defined]


async def follow(desk: Desk, **headers: str) -> Events:
    events = Events(await desk.ask("GET", STREAM, **headers))
    assert (await events.chunk()).endswith(": messages follow as they arrive\n\n")
    return events


async def test_the_stream_tells_each_message_as_json(desk: Desk) -> None:
    await arrive(desk, "before@example.com")
    events = await follow(desk)

    await arrive(desk, "ada@example.com", "+447911123456")

    first, second = await events.message(), await events.message()
    await events.close()
    assert events.type == "text/event-stream"
    assert [first[1], second[1]] == (await desk.json("GET", MESSAGES, "limit=2"))["messages"][::-1]
    assert first[0] == first[1]["id"]


async def test_the_stream_misses_nothing_between_the_answer_and_its_first_reader(desk: Desk) -> None:
    response = await desk.ask("GET", STREAM)
    await arrive(desk, "ada@example.com")

    events = Events(response)
    await events.chunk()

    assert (await events.message())[1]["to"] == "ada@example.com"
    await events.close()


async def test_a_client_that_was_cut_off_gets_what_it_missed(desk: Desk) -> None:
    events = await follow(desk)
    await arrive(desk, "a@example.com")
    seen, _ = await events.message()
    await events.close()
    await arrive(desk, "b@example.com", "c@example.com")

    again = await follow(desk, last_event_id=seen)

    assert [(await again.message())[1]["to"] for _ in range(2)] == ["b@example.com", "c@example.com"]
    await again.close()


async def test_an_idle_stream_beats_and_goes_on(desk: Desk) -> None:
    events = Events(Response(stream=dev._events(desk.inbox.subscribe(), timedelta(milliseconds=5))))
    await events.chunk()

    beats = [await events.chunk() for _ in range(3)]
    await arrive(desk, "ada@example.com")
    said = [await events.chunk()]
    while said[-1] == ":\n\n":
        said.append(await events.chunk())

    assert beats == [":\n\n"] * 3
    assert "ada@example.com" in said[-1]
    await events.close()


def test_the_stream_beats_every_fifteen_seconds() -> None:
    assert dev.HEARTBEAT.total_seconds() == 15


async def test_a_client_that_leaves_leaves_nothing_behind(desk: Desk) -> None:
    started, unread = await follow(desk), Events(await desk.ask("GET", STREAM))
    reading = asyncio.create_task(started.chunk())
    await asyncio.sleep(0.01)
    assert len(desk.inbox._listeners) == 1

    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await started.close()
    await unread.close()

    assert not desk.inbox._listeners


async def test_the_stream_ends_when_the_inbox_closes(desk: Desk) -> None:
    events = await follow(desk)
    reading = asyncio.create_task(events.chunk())
    await asyncio.sleep(0.01)

    desk.inbox.close()

    with pytest.raises(StopAsyncIteration):
        await reading


# The clock and the reset. ---------------------------------------------------------------------------


async def test_the_clock_tells_the_time(desk: Desk) -> None:
    assert await desk.json("GET", CLOCK) == {"now": "2026-03-04T09:12:45Z"}


@pytest.mark.parametrize(
    ("asked", "then"),
    [
        ('{"advance_seconds": 600}', "2026-03-04T09:22:45Z"),
        ('{"advance_seconds": 0}', "2026-03-04T09:12:45Z"),
        ('{"advance_seconds": 0.5}', "2026-03-04T09:12:45.500000Z"),
        ('{"now": "2026-03-05T00:00:00Z"}', "2026-03-05T00:00:00Z"),
        ('{"now": "2026-03-05T02:00:00+02:00"}', "2026-03-05T00:00:00Z"),
        ('{"now": "2026-03-04T09:12:45Z"}', "2026-03-04T09:12:45Z"),
    ],
)
async def test_the_clock_can_be_moved_forward(desk: Desk, asked: str, then: str) -> None:
    answer = await desk.json("POST", CLOCK, body=asked)

    assert answer == {"now": then}
    assert await desk.json("GET", CLOCK) == {"now": then}


@pytest.mark.parametrize(
    "asked",
    ['{"advance_seconds": -1}', '{"now": "2026-03-04T09:12:44Z"}', '{"now": "1970-01-01T00:00:00Z"}'],
)
async def test_the_clock_never_goes_back(desk: Desk, asked: str) -> None:
    status, sentence = await desk.refusal("POST", CLOCK, body=asked)

    assert status == 400
    assert "never goes back" in sentence
    assert desk.time == datetime(2026, 3, 4, 9, 12, 45, tzinfo=UTC)


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "600",
        "[]",
        "{}",
        "{",
        '{"advance_seconds": "600"}',
        '{"advance_seconds": true}',
        '{"advance_seconds": null}',
        '{"advance_seconds": 1e300}',
        '{"advance_seconds": 600, "now": "2026-03-05T00:00:00Z"}',
        '{"advance_second": 600}',
        '{"now": "tomorrow"}',
        '{"now": "2026-03-05T00:00:00"}',
        '{"now": 1772668800}',
        '{"now": "9999-12-31T23:59:59Z"}',
    ],
)
async def test_a_move_that_makes_no_sense_is_refused_in_a_sentence(desk: Desk, asked: str) -> None:
    status, sentence = await desk.refusal("POST", CLOCK, body=asked)

    assert status == 400
    assert sentence.endswith(".")
    assert desk.time == datetime(2026, 3, 4, 9, 12, 45, tzinfo=UTC)


async def test_the_tenant_can_be_reset(desk: Desk) -> None:
    answer = await desk.json("POST", RESET)

    assert answer == {"reset": True}
    assert desk.resets == 1


# Who may ask. ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "localhost:8400"},
        {"host": "LOCALHOST:8400"},
        {"host": "127.0.0.1:8400"},
        {"host": "[::1]:8400"},
        {"host": "10.0.2.2:8400"},
        {"host": "app.localhost:8400"},
        {"host": "localhost:8400", "origin": "http://localhost:3000", "sec_fetch_site": "same-site"},
        {"host": "localhost:8400", "origin": "https://127.0.0.1:3000", "sec_fetch_site": "cross-site"},
        {"host": "10.0.2.2:8400", "origin": "http://10.0.2.2:3000"},
        {"host": "localhost:8400", "sec_fetch_site": "same-origin"},
    ],
)
async def test_this_machine_may_ask(desk: Desk, headers: dict[str, str]) -> None:
    assert await desk.json("POST", RESET, **headers) == {"reset": True}


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "localhost.evil.example:8400"},
        {"host": "evil.example@[", "origin": "http://localhost"},
        {"host": ""},
        {"host": "localhost:8400", "origin": "https://evil.example"},
        {"host": "localhost:8400", "origin": "https://localhost.evil.example"},
        {"host": "localhost:8400", "origin": "http://203.0.113.9"},
        {"host": "localhost:8400", "origin": "null"},
        {"host": "localhost:8400", "origin": ""},
        {"host": "localhost:8400", "sec_fetch_site": "cross-site"},
    ],
)
async def test_a_foreign_page_may_not(desk: Desk, headers: dict[str, str]) -> None:
    status, sentence = await desk.refusal("POST", RESET, **headers)

    assert status == 403
    assert sentence.endswith(".")
    assert desk.resets == 0


async def test_a_page_that_renames_itself_to_this_address_reads_nothing(desk: Desk) -> None:
    await arrive(desk, "ada@example.com")

    for method, path in desk.table:
        assert (await desk.ask(method, path, host="rebound.example:8400")).status == 403


def test_these_are_all_the_endpoints(desk: Desk) -> None:
    assert sorted(desk.table) == [
        ("DELETE", "/dev/inbox/messages"),
        ("GET", "/dev/clock"),
        ("GET", "/dev/delivery"),
        ("GET", "/dev/inbox"),
        ("GET", "/dev/inbox/html"),
        ("GET", "/dev/inbox/messages"),
        ("GET", "/dev/inbox/stream"),
        ("GET", "/dev/inbox/wait"),
        ("GET", "/dev/place"),
        ("GET", "/dev/policies"),
        ("GET", "/dev/story"),
        ("POST", "/dev/clock"),
        ("POST", "/dev/delivery"),
        ("POST", "/dev/place"),
        ("POST", "/dev/policies"),
        ("POST", "/dev/reset"),
    ]
