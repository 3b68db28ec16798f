"""The development inbox: what it keeps, finds, and tells those who wait."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from genkan.delivery import inbox as module
from genkan.delivery.inbox import Inbox, InboxMessage
from genkan.engine.transaction import Outgoing, Settled
from genkan.model import Channel
from genkan.service.ports import Sender
from genkan.telemetry import JsonLines
from tests.delivery.letters import a_delivery, a_message, an_inbox

pytestmark = pytest.mark.anyio

SOON = timedelta(seconds=5)
"""Longer than anything takes; a test that waits so long has failed."""


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    with an_inbox(tmp_path) as opened:
        yield opened


def addresses(messages: list[InboxMessage]) -> list[str]:
    return [message.to for message in messages]


async def send(inbox: Inbox, *to: str) -> list[str]:
    """One message to each; their ids."""
    ids = []
    for address in to:
        channel = Channel.EMAIL if "@" in address else Channel.SMS
        await inbox.send([a_delivery(to=address, channel=channel)])
        ids.append(inbox.messages()[0].id)
    return ids


def sent(settled: Sequence[Settled]) -> list[int]:
    """The ids of what was sent."""
    return [one.id for one in settled if one.how == "sent"]


def everything_logged(caplog: pytest.LogCaptureFixture) -> str:
    """Every line as it would be written, with all that goes with it."""
    return "\n".join(JsonLines().format(record) for record in caplog.records)


# Keeping. -------------------------------------------------------------------------------------------


async def test_the_inbox_is_a_sender(inbox: Inbox) -> None:
    sender: Sender = inbox

    assert await sender.send([]) == []


async def test_an_email_has_the_shape_that_others_build_on(inbox: Inbox) -> None:
    await inbox.send([a_delivery(to="Ada@Example.com", purpose="sign_up", code="04837261")])

    shown = msgspec.json.decode(msgspec.json.encode(inbox.messages()[0]))

    assert list(shown) == ["id", "channel", "to", "purpose", "code", "subject", "text", "html", "created_at"]
    assert isinstance(shown["id"], str)
    assert shown["channel"] == "email"
    assert shown["to"] == "Ada@Example.com"
    assert shown["purpose"] == "sign_up"
    assert shown["code"] == "04837261"
    assert shown["subject"] == "Your sign-up code"
    assert "04837261" in shown["text"]
    assert shown["html"].startswith("<!doctype html>")
    assert shown["created_at"] == "2026-03-04T09:12:45Z"


async def test_a_text_message_has_neither_subject_nor_html_and_a_notice_no_code(inbox: Inbox) -> None:
    await inbox.send(
        [a_delivery(channel=Channel.SMS), a_delivery(purpose="notice", template="password_changed")]
    )

    notice, text = msgspec.json.decode(msgspec.json.encode(inbox.messages()))

    assert (text["channel"], text["subject"], text["html"]) == ("sms", None, None)
    assert (notice["purpose"], notice["code"]) == ("notice", None)


async def test_a_delivery_repeated_is_kept_once_and_handed_over_twice(inbox: Inbox, tmp_path: Path) -> None:
    delivery = a_delivery()

    first = await inbox.send([delivery])
    again = await inbox.send([Outgoing(id=delivery.id, message=delivery.message, attempts=2), delivery])

    assert sent(first) == [delivery.id]
    assert sent(again) == [delivery.id, delivery.id]
    assert len(inbox.messages()) == 1
    inbox.close()
    with an_inbox(tmp_path) as reopened:
        await reopened.send([delivery])
        assert len(reopened.messages()) == 1


async def test_an_outbox_that_counts_from_one_again_loses_nothing(inbox: Inbox) -> None:
    first, second = a_message(), a_message()

    await inbox.send([Outgoing(id=1, message=first, attempts=1)])
    await inbox.send([Outgoing(id=1, message=second, attempts=1)])

    assert len(inbox.messages()) == 2


async def test_senders_at_the_same_time_lose_nothing(inbox: Inbox) -> None:
    batches = [[a_delivery() for _ in range(10)] for _ in range(30)]

    handed_over = await asyncio.gather(*(inbox.send(batch) for batch in batches))

    assert [sent(settled) for settled in handed_over] == [[one.id for one in batch] for batch in batches]
    assert len(inbox.messages()) == 300


async def test_a_message_without_words_holds_up_no_other_and_is_not_handed_over(
    inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = a_delivery(), a_delivery(code=None, to="secret.person@example.com")

    handed_over = await inbox.send([bad, good])

    assert sent(handed_over) == [good.id]
    assert caplog.messages == ["inbox.not_rendered"]
    assert "secret.person" not in everything_logged(caplog)


async def test_with_a_broken_file_nothing_counts_as_handed_over(
    inbox: Inbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with sqlite3.connect(tmp_path / "inbox.db") as outside:
        outside.execute("DROP TABLE message")
    outside.close()

    handed_over = await inbox.send([a_delivery(to="secret.person@example.com", code="55443322")])

    assert sent(handed_over) == []
    assert caplog.messages == ["inbox.not_written"]
    assert not re.search("secret.person|55443322", everything_logged(caplog))


async def test_the_newest_ten_thousand_are_kept(inbox: Inbox) -> None:
    oldest, kept = await send(inbox, "oldest@example.com", "second@example.com")

    await inbox.send([a_delivery(channel=Channel.SMS) for _ in range(9_999)])

    assert len(inbox.messages()) == 10_000
    assert inbox.find(oldest) is None
    assert inbox.find(kept) is not None


def test_only_its_owner_can_read_the_file(inbox: Inbox, tmp_path: Path) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}

    assert set(modes.values()) == {0o600}


async def test_a_file_of_another_layout_is_emptied(inbox: Inbox, tmp_path: Path) -> None:
    await send(inbox, "ada@example.com")
    inbox.close()
    with sqlite3.connect(tmp_path / "inbox.db") as outside:
        outside.execute("PRAGMA user_version = 99")
    outside.close()

    with an_inbox(tmp_path) as reopened:
        assert reopened.messages() == []
        await send(reopened, "bo@example.com")
        assert addresses(reopened.messages()) == ["bo@example.com"]


WRITER = """
import asyncio, sys
from pathlib import Path
from genkan.telemetry import JsonLines
from tests.delivery.letters import a_delivery
from genkan.delivery.inbox import Inbox

async def main():
    inbox = Inbox(Path(sys.argv[1]))
    for number in range(100_000):
        await inbox.send([a_delivery(to=f"person{number}@example.com")])
        print(number, flush=True)

asyncio.run(main())
"""


def test_what_was_handed_over_survives_the_death_of_the_process(tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "inbox.db")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": "."},
    )
    assert writer.stdout is not None
    for _ in range(200):
        writer.stdout.readline()

    writer.send_signal(signal.SIGKILL)
    handed_over = 200 + len(writer.stdout.read().splitlines())
    writer.stdout.close()
    writer.wait()

    with an_inbox(tmp_path) as inbox:
        kept = set(addresses(inbox.messages()))
    assert {f"person{number}@example.com" for number in range(handed_over)} <= kept


# Finding. -------------------------------------------------------------------------------------------


async def test_messages_come_newest_first(inbox: Inbox) -> None:
    await send(inbox, "a@example.com", "b@example.com", "c@example.com")

    assert addresses(inbox.messages()) == ["c@example.com", "b@example.com", "a@example.com"]
    assert addresses(inbox.messages(limit=2)) == ["c@example.com", "b@example.com"]


@pytest.mark.parametrize(
    ("sent", "asked"),
    [
        ("Ada.Lovelace@Example.com", "ada.lovelace@example.COM"),
        ("ada@example.com", "  ada@example.com "),
        ("ada+test@example.com", "ada test@example.com"),
        ("+447911123456", "+44 7911 123-456"),
        ("+447911123456", " 447911123456"),
        ("+447911123456", "+44 (7911) 12.34.56"),
    ],
)
async def test_an_address_is_found_however_it_is_written(inbox: Inbox, sent: str, asked: str) -> None:
    await send(inbox, sent, "somebody.else@example.com", "+15550100")

    assert addresses(inbox.messages(to=asked)) == [sent]


async def test_an_address_is_never_found_by_a_part_of_it(inbox: Inbox) -> None:
    await send(inbox, "ada@example.com", "+447911123456")

    assert inbox.messages(to="ada@example.co") == []
    assert inbox.messages(to="%") == []
    assert inbox.messages(to="7911123456") == []


async def test_messages_are_found_by_channel_by_what_came_before_and_by_words(inbox: Inbox) -> None:
    ada, number = await send(inbox, "ada@example.com", "+447911123456")
    await inbox.send([a_delivery(to="bo@example.com", purpose="reset_password", code="99887766")])

    assert addresses(inbox.messages(channel=Channel.SMS)) == ["+447911123456"]
    assert addresses(inbox.messages(after=ada)) == ["bo@example.com", "+447911123456"]
    assert addresses(inbox.messages(after=number, channel=Channel.SMS)) == []
    assert addresses(inbox.messages(query="RESET")) == ["bo@example.com"]
    assert addresses(inbox.messages(query="998877")) == ["bo@example.com"]
    assert addresses(inbox.messages(query="ADA@")) == ["ada@example.com"]
    assert inbox.messages(query="%") == []


async def test_after_a_message_that_is_not_here_comes_everything(inbox: Inbox) -> None:
    await send(inbox, "ada@example.com")

    assert addresses(inbox.messages(after="no such message")) == ["ada@example.com"]


async def test_after_a_message_that_was_cleared_comes_everything(inbox: Inbox) -> None:
    (cleared,) = await send(inbox, "ada@example.com")

    await inbox.clear()
    await send(inbox, "bo@example.com")

    assert addresses(inbox.messages(after=cleared)) == ["bo@example.com"]


# Waiting. -------------------------------------------------------------------------------------------


async def test_whoever_waits_gets_what_is_there_at_once(inbox: Inbox) -> None:
    await send(inbox, "ada@example.com")

    found = await inbox.wait(to="ada@example.com", within=timedelta(0))

    assert addresses(found) == ["ada@example.com"]


async def test_whoever_waits_gets_the_message_when_it_arrives(inbox: Inbox) -> None:
    (old,) = await send(inbox, "ada@example.com")
    waiting = asyncio.create_task(inbox.wait(to="ADA@example.com", after=old, within=SOON))
    await send(inbox, "bo@example.com", "+447911123456")
    assert not waiting.done()

    (new,) = await send(inbox, "ada@example.com")

    assert [message.id for message in await waiting] == [new]


async def test_whoever_waits_in_vain_gets_nothing(inbox: Inbox) -> None:
    started = time.monotonic()

    found = await inbox.wait(to="ada@example.com", within=timedelta(milliseconds=50))

    assert found == []
    assert 0.04 < time.monotonic() - started < 2


async def test_many_wait_at_once_and_each_gets_its_own(inbox: Inbox) -> None:
    people = [f"person{number}@example.com" for number in range(200)]
    waiting = [asyncio.create_task(inbox.wait(to=person, within=SOON)) for person in people]
    everybody = asyncio.create_task(inbox.wait(channel=Channel.EMAIL, within=SOON))
    await asyncio.sleep(0)

    await inbox.send([a_delivery(to=person) for person in reversed(people)])

    assert [addresses(found) for found in await asyncio.gather(*waiting)] == [[person] for person in people]
    assert len(await everybody) == 200


async def test_waiting_leaves_nothing_behind(inbox: Inbox) -> None:
    given_up = asyncio.create_task(inbox.wait(to="ada@example.com", within=SOON))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)

    await inbox.wait(to="ada@example.com", within=timedelta(0))

    assert not inbox._listeners


async def test_closing_lets_everybody_go(tmp_path: Path) -> None:
    with an_inbox(tmp_path) as inbox:
        waiting = asyncio.create_task(inbox.wait(within=SOON))
        following = asyncio.create_task(anext(inbox.subscribe(), None))
        await asyncio.sleep(0.01)

        inbox.close()

        assert await asyncio.wait_for(waiting, 1) == []
        assert await asyncio.wait_for(following, 1) is None


# Following. -----------------------------------------------------------------------------------------


async def take(inbox: Inbox, number: int, after: str | None = None) -> list[str]:
    """The first messages that a subscriber gets."""
    got: list[str] = []
    async with aclosing(inbox.subscribe(after=after)) as messages:
        async for message in messages:
            got.append(message.to)
            if len(got) == number:
                break
    return got


async def test_a_subscriber_gets_what_comes_after_the_moment_it_subscribed(inbox: Inbox) -> None:
    await send(inbox, "before@example.com")
    messages = inbox.subscribe()
    await send(inbox, "a@example.com", "b@example.com")

    async with aclosing(messages):
        got = [(await anext(messages)).to, (await anext(messages)).to]

    assert got == ["a@example.com", "b@example.com"]


async def test_a_subscriber_that_was_cut_off_gets_what_it_missed(inbox: Inbox) -> None:
    seen, *_ = await send(inbox, "a@example.com", "b@example.com", "c@example.com")

    assert await take(inbox, 2, after=seen) == ["b@example.com", "c@example.com"]
    assert await take(inbox, 3, after="unknown") == ["a@example.com", "b@example.com", "c@example.com"]


async def test_many_follow_at_once_and_each_gets_everything_in_order(inbox: Inbox) -> None:
    people = [f"person{number}@example.com" for number in range(250)]
    following = [asyncio.create_task(take(inbox, len(people))) for _ in range(20)]
    await asyncio.sleep(0.01)

    for start in range(0, len(people), 25):
        await inbox.send([a_delivery(to=person) for person in people[start : start + 25]])

    assert await asyncio.wait_for(asyncio.gather(*following), 10) == [people] * 20
    assert not inbox._listeners


async def test_a_stream_goes_on_after_the_inbox_was_cleared(inbox: Inbox) -> None:
    messages = inbox.subscribe()
    await send(inbox, "a@example.com")
    first = await anext(messages)

    await inbox.clear()
    await send(inbox, "b@example.com")
    second = await asyncio.wait_for(anext(messages), 5)
    await messages.aclose()

    assert [first.to, second.to] == ["a@example.com", "b@example.com"]


def test_a_place_is_the_same_for_every_way_to_write_it() -> None:
    assert module.place("Ada@Example.com") == module.place(" ada@example.com ")
    assert module.place("+44 7911-123 456") == module.place("+447911123456")
    assert module.place("ada@example.com") != module.place("ada@example.org")
