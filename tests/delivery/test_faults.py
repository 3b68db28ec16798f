"""
Faults of providers and of the machine, injected for real: nothing is lost without a word, and nothing is sent twice.

Lost without a word would be a message that neither arrived, nor waits, nor has an audit row that says what became of
it. The rows F-04, F-05, F-10 and F-18 of the fault list.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from genkan.delivery import dispatch
from genkan.delivery.dispatch import Dispatch
from genkan.delivery.providers import Provider
from genkan.delivery.sms import provider
from genkan.delivery.smtp import SmtpRelay
from genkan.model import Brand, Channel, Message
from genkan.settings import Smtp
from tests.delivery.apis import (
    Reply,
    Request,
    Server,
    serving,
    twilio,
    twilio_error,
    twilio_settings,
    vonage,
    vonage_settings,
)
from tests.delivery.offices import Office, an_office, messages, once_each
from tests.delivery.relays import Script, a_relay, a_script
from tests.delivery.sockets import free_port, listening
from tests.store.worlds import Clock, SqlitePlace

pytestmark = pytest.mark.anyio

SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def soon_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that fails is left alone for moments, so that a test need not wait as people do."""
    monkeypatch.setattr(dispatch, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(dispatch, "LONGEST_PAUSE", 0.2)


def to(script: Script) -> list[str]:
    """To whom a scripted relay has had whole messages."""
    return [
        next(line for line in body.decode().split("\r\n") if line.startswith("To: "))[4:]
        for body in script.taken
    ]


async def accounted(office: Office, sent: list[Message], arrived: list[str]) -> dict[str, str]:
    """Each message arrived at most once, and whatever did not waits or is audited as what became of it."""
    ends = await office.ends()
    assert max(Counter(arrived).values(), default=0) <= 1
    for message in sent:
        end = ends.get(message.id)
        if message.to in arrived:
            assert end in ("sent", "unclear", None), end
        else:
            assert end in ("unclear", "refused", "late") or office.waiting(), (message.to, end)
    return ends


# E-mail (F-04). -------------------------------------------------------------------------------------


async def test_while_a_relay_is_down_everything_waits_and_then_arrives_once(tmp_path: Path) -> None:
    port, sent = free_port(), messages(20)
    settings = Smtp(
        host="127.0.0.1", port=port, security="none", sender="no-reply@contoso.example", timeout=1
    )
    async with an_office(tmp_path, SmtpRelay("mail", settings)) as office:
        await office.post(*sent)
        await asyncio.sleep(0.3)
        assert office.waiting() == 20

        up = Script("", "")
        async with listening(up.talk, port):
            await office.emptied(passing=SECOND / 4)

        once_each(to(up), [m.to for m in sent])
        assert set((await office.ends()).values()) == {"sent"}


async def test_a_relay_that_is_slow_delivers_everything_once(tmp_path: Path) -> None:
    sent = messages(12)
    async with a_relay(tmp_path) as relay:
        quick = relay.handle_DATA

        async def slow(*given: object) -> str:
            await asyncio.sleep(0.3)
            return await quick(*given)  # type: ignore[arg-type]

        relay.handle_DATA = slow  # type: ignore[assignment,method-assign]
        async with an_office(tmp_path, SmtpRelay("mail", relay.settings())) as office:
            await office.post(*sent)
            await office.emptied()

        once_each([str(letter["To"]) for letter in relay.letters], [m.to for m in sent])


async def test_a_relay_that_refuses_for_now_gets_everything_later(tmp_path: Path) -> None:
    sent = messages(5)
    async with a_relay(tmp_path) as relay:
        relay.answers |= {m.to: "451 4.7.1 greylisted" for m in sent}
        async with an_office(tmp_path, SmtpRelay("mail", relay.settings())) as office:
            await office.post(*sent)
            await asyncio.sleep(0.3)
            assert (office.waiting(), relay.envelopes) == (5, [])

            relay.answers.clear()
            await office.emptied(passing=SECOND)

        once_each([str(letter["To"]) for letter in relay.letters], [m.to for m in sent])


@pytest.mark.proves("MSG-11")
async def test_a_relay_that_closes_anywhere_in_the_conversation_gets_nothing_twice(tmp_path: Path) -> None:
    chance = random.Random(20260304)
    words = ("connect", "EHLO", "MAIL", "RCPT", "DATA", ".")
    script, sent = Script("", "close"), messages(40)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Each conversation has its own fate; half of them go well.
        one = Script(chance.choice((*words, *[""] * len(words))), "close", taken=script.taken)
        await one.talk(reader, writer)

    async with (
        listening(talk) as script.port,
        an_office(tmp_path, SmtpRelay("mail", script.settings())) as office,
    ):
        await office.post(*sent)
        await office.emptied(60, passing=SECOND / 20)
        ends = await accounted(office, sent, to(script))

    told = Counter(ends.values())
    assert told["sent"] + told["unclear"] == 40
    # What was unclear did arrive: the relay had all of it, and closed before it said so.
    once_each(to(script), [m.to for m in sent])


async def test_a_message_that_cannot_be_sent_in_its_time_is_dropped_and_said_to_be_late(
    tmp_path: Path,
) -> None:
    settings = Smtp(host="127.0.0.1", port=free_port(), security="none", sender="a@contoso.example")
    async with an_office(tmp_path, SmtpRelay("mail", settings)) as office:
        await office.post(*messages(3))
        await office.emptied(passing=20 * SECOND)

        assert list((await office.ends()).values()) == ["late"] * 3


# Text messages (F-05). ------------------------------------------------------------------------------


@pytest.mark.proves("MSG-11")
async def test_providers_that_fail_in_every_way_send_each_code_at_most_once(tmp_path: Path) -> None:
    chance = random.Random(20260304)
    had: list[str] = []
    busy = twilio_error(429, 20429, **{"Retry-After": "1"})
    fates: list[Callable[[Request, Server], Reply | None]] = [
        lambda r, s: twilio(r),
        lambda r, s: busy,
        lambda r, s: twilio_error(500, 20500),
        lambda r, s: twilio_error(503, 20503),
        lambda r, s: Reply(502, "<html>bad gateway</html>"),
        lambda r, s: None,  # it takes the message, and is silent
    ]

    def first(request: Request) -> Reply:
        reply = chance.choice(fates)(request, one)
        if reply is None or reply.status in (201, 502):
            had.append(request.form["To"])
        one.fate = "close" if reply is None else ""
        return reply or Reply(201, "{}")

    def second(request: Request) -> Reply:
        had.append("+" + request.form["to"])
        return vonage(request)

    sent = messages(60, Channel.SMS)
    async with serving(first) as one, serving(second) as two:
        ways: list[Provider] = [
            provider("first", twilio_settings(one), Clock()),
            provider("second", vonage_settings(two), Clock()),
        ]
        async with an_office(tmp_path, *ways) as office:
            await office.post(*sent)
            await office.emptied(60, passing=SECOND / 20)
            ends = await accounted(office, sent, had)

    assert set(ends.values()) <= {"sent", "unclear"}
    once_each(had, [m.to for m in sent])


async def test_a_text_message_is_not_held_up_by_a_relay_that_says_nothing(tmp_path: Path) -> None:
    texts = messages(20, Channel.SMS)
    async with a_script("connect", "silence") as relay, serving(vonage) as server:
        ways: list[Provider] = [
            SmtpRelay("mail", relay.settings(timeout=30)),
            provider("text", vonage_settings(server), Clock()),
        ]
        async with an_office(tmp_path, *ways) as office:
            await office.post(*messages(40), *texts)

            await office.until(lambda: office.waiting() == 40, within=5)

            once_each(["+" + r.form["to"] for r in server.requests], [m.to for m in texts])


# Clocks (F-10). -------------------------------------------------------------------------------------


async def test_a_clock_that_leaps_forward_drops_what_has_expired_and_sends_nothing_late_or_twice(
    tmp_path: Path,
) -> None:
    clock, sent = Clock(), messages(10)
    async with a_script(".", "silence") as relay:
        async with an_office(tmp_path, SmtpRelay("mail", relay.settings()), clock=clock) as office:
            await office.post(*sent)
            await office.until(lambda: len(relay.taken) >= 1)

            clock.move(timedelta(hours=2))
            await office.emptied(passing=SECOND)

            ends = await office.ends()
        assert max(Counter(to(relay)).values()) == 1
        assert set(ends.values()) == {"late", "unclear"}
        assert sum(how == "unclear" for how in ends.values()) == len(relay.taken)


async def test_a_clock_that_steps_back_loses_nothing(tmp_path: Path) -> None:
    clock, sent = Clock(), messages(10)
    async with a_relay(tmp_path) as relay:
        relay.answers |= {m.to: "451 4.7.1 later" for m in sent}
        async with an_office(tmp_path, SmtpRelay("mail", relay.settings()), clock=clock) as office:
            await office.post(*sent)
            await asyncio.sleep(0.2)
            clock.move(-timedelta(hours=2))
            relay.answers.clear()
            await asyncio.sleep(0.2)
            clock.move(timedelta(hours=2, minutes=1))

            await office.emptied()

        once_each([str(letter["To"]) for letter in relay.letters], [m.to for m in sent])


# A worker that was stopped or killed (F-07, F-18). --------------------------------------------------


async def test_notices_that_waited_for_an_hour_arrive_once(tmp_path: Path) -> None:
    clock, sent = (
        Clock(),
        [
            type(m)(**{**{f: getattr(m, f) for f in m.__struct_fields__}, "purpose": "notice", "code": None})
            for m in messages(20, lasts=timedelta(days=3))
        ],
    )
    async with a_relay(tmp_path) as relay:
        stopped = Office(SqlitePlace(tmp_path), clock, _nobody())
        await stopped.post(*sent)
        await stopped.store.close()
        clock.move(timedelta(hours=1))

        async with an_office(tmp_path, SmtpRelay("mail", relay.settings()), clock=clock) as office:
            await office.emptied()

        once_each([str(letter["To"]) for letter in relay.letters], [m.to for m in sent])


def _nobody() -> Dispatch:
    return Dispatch((), Brand, Clock())


PROCESS = """
import asyncio, sys
from pathlib import Path
from genkan.delivery.smtp import SmtpRelay
from genkan.settings import Smtp
from tests.delivery.offices import an_office, messages

async def main():
    folder, port, first = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "first"
    settings = Smtp(host="127.0.0.1", port=port, security="none", sender="no-reply@contoso.example", timeout=2)
    async with an_office(folder, SmtpRelay("mail", settings)) as office:
        if first:
            await office.post(*messages(60))
        print("begun", flush=True)
        await office.emptied(60)
        print("done", flush=True)

asyncio.run(main())
"""


@pytest.mark.proves("MSG-11")
async def test_a_process_that_is_killed_while_it_sends_sends_nothing_twice_and_loses_nothing_unsaid(
    tmp_path: Path,
) -> None:
    chance = random.Random(20260304)
    async with a_script("", "") as relay:
        plain = relay._say

        async def slowly(writer: asyncio.StreamWriter, word: str, reply: str) -> bool:
            await asyncio.sleep(0.02)
            return await plain(writer, word, reply)

        relay._say = slowly  # type: ignore[method-assign]
        lives: list[float | None] = [*(chance.uniform(0.05, 0.3) for _ in range(6)), None]
        for turn, life in enumerate(lives):
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                PROCESS,
                str(tmp_path),
                str(relay.port),
                "again" if turn else "first",
                stdout=subprocess.PIPE,
                cwd=Path(__file__).parents[2],
                env={**os.environ, "PYTHONPATH": "."},
            )
            assert process.stdout is not None
            assert await process.stdout.readline() == b"begun\n"
            if life is None:
                assert await process.stdout.readline() == b"done\n"
            else:
                await asyncio.sleep(life)
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGKILL)
            await process.wait()

        office = Office(SqlitePlace(tmp_path), Clock(), _nobody())
        ends = await office.ends()
        await office.store.close()
        arrived = to(relay)

    assert max(Counter(arrived).values()) == 1
    told = Counter(ends.values())
    assert told["sent"] + told["unclear"] == 60
    assert told["unclear"] > 0, "a kill hit what was under way"
    # Only what is said to be unclear may be missing.
    assert len(arrived) >= told["sent"]
