"""Who takes a message: in which order, when another does, when none may, and when one is left alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from genkan.delivery import dispatch
from genkan.delivery.dispatch import FAULTS, FIRST_PAUSE, LONGEST_PAUSE, Dispatch
from genkan.delivery.providers import Failed, Handed, Provider, Unclear
from genkan.delivery.sms import provider
from genkan.delivery.smtp import SmtpRelay
from genkan.engine.transaction import Outgoing, Settled
from genkan.model import Brand, Channel, Message
from genkan.settings import Settings, SmsProvider
from tests.delivery.apis import (
    Reply,
    Request,
    Server,
    any_http,
    http_settings,
    serving,
    twilio,
    twilio_error,
    twilio_settings,
    vonage,
    vonage_says,
    vonage_settings,
)
from tests.delivery.letters import NOW, a_message
from tests.delivery.relays import a_relay, a_script

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        found = World(stack)
        yield found
        await found.close()


class World:
    """Two providers of text messages on real sockets, and a clock."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._open: list[Dispatch] = []
        self.now = NOW

    def clock(self) -> datetime:
        return self.now

    async def serve(self, answer: Callable[[Request], Reply]) -> Server:
        return await self._stack.enter_async_context(serving(answer))

    def dispatch(self, *providers: Provider) -> Dispatch:
        made = Dispatch(providers, Brand, self.clock)
        self._open.append(made)
        return made

    def texts(self, *settings: SmsProvider) -> Dispatch:
        ways = [provider(f"sms{n}", s, self.clock) for n, s in enumerate(settings, 1)]  # type: ignore[arg-type]
        return self.dispatch(*ways)

    async def close(self) -> None:
        for made in self._open:
            await made.close()


def a_text(**changes: Any) -> Message:
    return a_message("mfa", Channel.SMS, to="+447812345678", **changes)


async def one(sender: Dispatch, message: Message, **changes: Any) -> Settled:
    row = Outgoing(id=7, message=message, attempts=1)
    [settled] = await sender.send([replace(row, **changes)])
    return settled


# Fail-over. -----------------------------------------------------------------------------------------


@pytest.mark.proves("MSG-11")
@pytest.mark.parametrize(
    "no",
    [
        twilio_error(500, 20500),
        twilio_error(503, 20503),
        twilio_error(429, 20429),
        twilio_error(401, 20003),
        twilio_error(400, 21408),
    ],
)
async def test_what_one_provider_did_not_send_the_next_one_sends_once_and_with_the_same_code(
    world: World, no: Reply
) -> None:
    first, second = await world.serve(lambda _: no), await world.serve(vonage)
    sender = world.texts(twilio_settings(first), vonage_settings(second))

    settled = await one(sender, a_text(code="55443322"))

    assert (settled.how, settled.provider, settled.reference) == ("sent", "sms2", "0C000")
    assert len(first.requests) == len(second.requests) == 1
    assert first.requests[0].form["Body"] == second.requests[0].form["text"]
    assert "55443322" in second.requests[0].form["text"]


@pytest.mark.proves("MSG-11")
@pytest.mark.parametrize("fate", ["silence", "close"])
async def test_what_one_provider_may_have_sent_no_other_sends(world: World, fate: Any) -> None:
    first, second = await world.serve(twilio), await world.serve(vonage)
    first.fate = fate
    sender = world.texts(twilio_settings(first, timeout=1), vonage_settings(second))

    settled = await one(sender, a_text())

    assert (settled.how, settled.provider) == ("unclear", "sms1")
    assert second.requests == []


async def test_a_number_that_nobody_can_reach_is_not_tried_at_the_next_provider(world: World) -> None:
    first, second = await world.serve(lambda _: twilio_error(400, 21610)), await world.serve(vonage)

    settled = await one(world.texts(twilio_settings(first), vonage_settings(second)), a_text())

    assert (settled.how, settled.provider) == ("refused", "sms1")
    assert second.requests == []


async def test_when_all_fail_it_is_tried_again_after_the_shortest_wait_that_one_asks_for(
    world: World,
) -> None:
    first = await world.serve(lambda _: twilio_error(429, 20429, **{"Retry-After": "30"}))
    second = await world.serve(lambda _: vonage_says("1"))

    settled = await one(world.texts(twilio_settings(first), vonage_settings(second)), a_text())

    assert (settled.how, settled.provider, settled.wait) == ("again", "sms1+sms2", timedelta(seconds=2))
    assert "429" in settled.why


async def test_when_none_will_ever_take_it_it_is_given_up(world: World) -> None:
    first = await world.serve(lambda _: twilio_error(400, 21408))
    second = await world.serve(lambda _: vonage_says("6"))

    settled = await one(world.texts(twilio_settings(first), vonage_settings(second)), a_text())

    assert settled.how == "refused"


# Routing. -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("to", "by"), [("+447812345678", 0), ("+353851234567", 1), ("+4915112345678", 2)])
async def test_each_country_goes_by_its_own_provider(world: World, to: str, by: int) -> None:
    servers = [await world.serve(vonage) for _ in range(3)]
    sender = world.texts(
        vonage_settings(servers[0], countries=("44",)),
        vonage_settings(servers[1], countries=("353",)),
        vonage_settings(servers[2]),
    )

    settled = await one(sender, replace(a_text(), to=to))

    assert settled.how == "sent"
    assert [len(server.requests) for server in servers] == [int(n == by) for n in range(3)]


async def test_a_channel_or_a_country_without_a_provider_is_said_to_the_operator(world: World) -> None:
    server = await world.serve(vonage)
    sender = world.texts(vonage_settings(server, countries=("353",)))

    for message in (a_text(), a_message("mfa")):
        settled = await one(sender, message)
        assert (settled.how, settled.why) == ("refused", "no provider is set for this channel and country")
    assert server.requests == []


async def test_settings_are_built_in_the_order_of_their_priority(world: World, tmp_path: Path) -> None:
    server = await world.serve(vonage)
    async with a_relay(tmp_path) as relay:
        settings = Settings(
            email={"b": relay.settings(), "a": relay.settings()}, sms={"c": vonage_settings(server)}
        )
        ways = dispatch.build(settings, world.clock)

    assert [(way.name, way.channel) for way in ways] == [
        ("b", Channel.EMAIL),
        ("a", Channel.EMAIL),
        ("c", Channel.SMS),
    ]


# Time. ----------------------------------------------------------------------------------------------


async def test_a_message_past_its_end_is_sent_by_nobody(world: World) -> None:
    server = await world.serve(vonage)
    sender = world.texts(vonage_settings(server))
    world.now = NOW + timedelta(minutes=5)

    settled = await one(sender, a_text())

    assert settled.how == "again"  # which the outbox drops, for its next attempt would be too late
    assert server.requests == []


async def test_a_message_that_runs_out_of_time_at_one_provider_is_not_begun_at_the_next(world: World) -> None:
    def late(_: Request) -> Reply:
        world.now = NOW + timedelta(minutes=5)
        return twilio_error(500, 20500)

    first, second = await world.serve(late), await world.serve(vonage)

    settled = await one(world.texts(twilio_settings(first), vonage_settings(second)), a_text())

    assert settled.how == "again"
    assert second.requests == []


async def test_a_provider_is_told_how_long_a_code_is_worth_sending(world: World) -> None:
    server = await world.serve(twilio)
    world.now = NOW + timedelta(minutes=4)

    await one(world.texts(twilio_settings(server)), a_text())

    assert server.requests[0].form["ValidityPeriod"] == "60"


# Doubt. ---------------------------------------------------------------------------------------------


@pytest.mark.proves("MSG-11")
async def test_a_code_whose_earlier_attempt_never_ended_is_not_sent_again(
    world: World, tmp_path: Path
) -> None:
    server = await world.serve(vonage)
    async with a_relay(tmp_path) as relay:
        sender = world.dispatch(
            SmtpRelay("mail", relay.settings()), provider("sms", vonage_settings(server), world.clock)
        )
        for message in (a_text(), a_message("mfa"), a_message("notice", Channel.SMS, to="+447812345678")):
            assert (await one(sender, message, doubtful=True)).how == "unclear"

        assert (server.requests, relay.envelopes) == ([], [])


async def test_a_notice_by_email_is_repeated_until_it_is_sure_and_keeps_its_id(world: World) -> None:
    notice = a_message("notice", template="method_added", lasts=timedelta(days=3))
    async with a_script(".", "close") as relay:
        sender = world.dispatch(SmtpRelay("mail", relay.settings()))

        first = await one(sender, notice)
        second = await one(sender, notice, doubtful=True)

        assert (first.how, second.how) == ("again", "again")
        ids = [next(li for li in body.split(b"\r\n") if li.startswith(b"Message-ID")) for body in relay.taken]
        assert ids == [f"Message-ID: <{notice.id}@contoso.example>".encode()] * 2


async def test_a_provider_that_knows_a_message_again_is_asked_again(world: World) -> None:
    server = await world.serve(any_http)
    alone = world.texts(http_settings(server, idempotency_header="Idempotency-Key"))
    among_others = world.texts(
        http_settings(server, idempotency_header="Idempotency-Key"), vonage_settings(server)
    )
    message = a_text()
    server.fate = "close"
    assert (await one(alone, message)).how == "again"
    assert (await one(among_others, message)).how == "unclear"
    server.fate = ""

    assert (await one(alone, message, doubtful=True)).how == "sent"

    keys = {request.headers["idempotency-key"] for request in server.requests}
    assert keys == {message.id}


# Leaving alone. -------------------------------------------------------------------------------------


async def test_a_provider_that_keeps_failing_is_left_alone_and_the_next_is_used_at_once(world: World) -> None:
    first, second = await world.serve(twilio), await world.serve(vonage)
    first.fate = "silence"
    sender = world.texts(twilio_settings(first, timeout=1), vonage_settings(second))
    for _ in range(FAULTS):
        assert (await one(sender, a_text())).how == "unclear"
    loop = asyncio.get_running_loop()

    started = loop.time()
    settled = [await one(sender, a_text()) for _ in range(20)]

    assert [s.provider for s in settled] == ["sms2"] * 20
    assert len(first.requests) == FAULTS
    assert loop.time() - started < 10, "nobody waited for the one that is left alone"


async def test_what_a_person_types_never_closes_a_provider_for_others(world: World) -> None:
    bad = iter([twilio_error(400, 21211), twilio_error(400, 21408), twilio_error(400, 99999)] * 10)
    answers = (reply for reply in bad)

    def answer(request: Request) -> Reply:
        return twilio(request) if request.form["To"] == "+447812345678" else next(answers)

    server = await world.serve(answer)
    sender = world.texts(twilio_settings(server))
    for _ in range(30):
        await one(sender, replace(a_text(), to="+447800000000"))

    assert (await one(sender, a_text())).how == "sent"


async def test_one_message_tries_whether_a_provider_is_well_again(world: World) -> None:
    guard = dispatch._Guard("sms1")
    failed, now = Failed(why="down"), 1000.0
    for _ in range(FAULTS):
        assert guard.closed_for(now) == 0
        guard.note(failed, now)

    assert guard.closed_for(now + FIRST_PAUSE - 0.1) > 0
    assert guard.closed_for(now + FIRST_PAUSE) == 0
    assert guard.closed_for(now + FIRST_PAUSE) > 0, "while one tries, the others go on"
    guard.note(Handed(), now + FIRST_PAUSE)
    assert guard.closed_for(now + FIRST_PAUSE) == 0


async def test_the_pause_grows_and_has_an_end(world: World) -> None:
    guard, now, pauses = dispatch._Guard("sms1"), 0.0, []
    for _ in range(FAULTS + 10):
        guard.closed_for(now)
        guard.note(Unclear("silent"), now)
        pauses.append(guard.closed_for(now))
        now += pauses[-1]

    assert pauses[: FAULTS - 1] == [0.0] * (FAULTS - 1)
    assert pauses[FAULTS - 1 :] == sorted(pauses[FAULTS - 1 :])
    assert (pauses[FAULTS - 1], pauses[-1]) == (FIRST_PAUSE, LONGEST_PAUSE)


async def test_a_fault_of_ours_ends_neither_the_others_nor_the_lane(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        name, channel, at_once, repeats = "broken", Channel.SMS, 1, False

        def takes(self, message: Message) -> bool:
            return message.channel is Channel.SMS

        async def hand_over(self, parcel: Any) -> Any:
            raise ZeroDivisionError

        async def close(self) -> None: ...

    settled = await one(world.dispatch(Broken()), a_text())

    assert settled.how == "unclear"
    assert "provider.fault" in caplog.messages


async def test_no_line_of_the_log_names_anybody(world: World, caplog: pytest.LogCaptureFixture) -> None:
    from genkan.telemetry import JsonLines

    caplog.set_level("DEBUG", "genkan")
    first, second = await world.serve(lambda _: twilio_error(500, 20500)), await world.serve(vonage)
    sender = world.texts(twilio_settings(first), vonage_settings(second))
    for _ in range(5):
        await one(sender, a_text(code="55443322"))

    lines = "\n".join(JsonLines().format(record) for record in caplog.records if record.name == "genkan")
    assert "provider.failed" in lines
    assert "message.sent" in lines
    assert "7812345678" not in lines
    assert "55443322" not in lines


async def test_a_message_without_words_is_given_up(world: World) -> None:
    server = await world.serve(vonage)

    settled = await one(world.texts(vonage_settings(server)), a_text(code=None))

    assert settled.how == "refused"
    assert server.requests == []


async def test_each_channel_has_a_lane_as_wide_as_its_providers_and_no_wider(
    world: World, tmp_path: Path
) -> None:
    async with a_relay(tmp_path) as relay:
        sender = world.dispatch(
            SmtpRelay("a", relay.settings(connections=4)), SmtpRelay("b", relay.settings(connections=2))
        )

    assert [(lane.channel, lane.at_once, lane.batch) for lane in sender.lanes] == [
        (Channel.EMAIL, 6, 1),
        (Channel.SMS, 1, 1),
    ]
