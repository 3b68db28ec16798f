"""
Pumping: somebody makes the server send text messages to numbers that pay them.

The bound: at most 50 messages on a route (a calling code, or ten thousand neighbouring numbers) on which nobody enters
the codes, while people on other routes notice nothing. With the limits as they are shipped.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta

import pytest

from genkan import identifiers
from genkan.engine.transaction import Audited
from tests.server import BOTH, first_factor_by_code, new_address
from tests.wire import strict
from tests.wire.journeys import challenged, proven
from tests.wire.servers import World, in_process

HONEST = 1_000
EVERY = 7
"""Seconds from one honest person to the next: two hours in all, in which the limits of each hour hold."""

LENGTHS = {"+49151": 8, "+3361": 7, "+346": 8, "+4474": 8, "+39347": 7, "+31612": 6, "+35385": 7, "+4670": 7}
"""Ranges of mobile phones, and the digits that follow."""

CROWD = tuple(LENGTHS)[:-1]
"""Where people are: so many calling codes that none comes near its limit of an hour."""

PUMPED = "+4670"
"""Where the thief has numbers."""


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with in_process(tmp_path_factory.mktemp("pumping") / "data") as opened:
        yield opened


def number(prefix: str, n: int) -> str:
    """One of many numbers, no two of them neighbours."""
    digits = LENGTHS[prefix]
    return f"{prefix}{n * 10_007 % 10**digits:0{digits}d}"


def asked_by_thief(world: World, n: int) -> tuple[str, str]:
    """One more account of the thief asks for a code to one more number; error and suberror."""
    address = new_address()
    world.person(address)
    first = first_factor_by_code(world, address, world.scope)
    listed = world.post(
        strict.REGISTER_INTROSPECT, client_id=world.otp_app, continuation_token=first.token
    ).ok()
    answer = world.post(
        strict.REGISTER_CHALLENGE,
        client_id=world.otp_app,
        continuation_token=listed.token,
        challenge_type="oob",
        challenge_channel="sms",
        challenge_target=number(PUMPED, n),
    )
    return answer.error[:2]


def signed_in(world: World, address: str, phone: str) -> bool:
    """An honest person signs in with both factors."""
    first = first_factor_by_code(world, address, world.scope, BOTH)
    asked = challenged(world, world.otp_app, first.token)
    code = world.code(phone, "mfa")
    return proven(world, world.otp_app, asked.token, "mfa_oob", code, world.scope).status == 200


@pytest.mark.slow
@pytest.mark.proves("MSG-08")
def test_pumping_stops_within_fifty_messages_while_a_thousand_people_get_their_codes(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    sent, answers = 0, list[tuple[str, str]]()
    for n in range(HONEST):
        address, text = new_address(), number(CROWD[n % len(CROWD)], n)
        phone = identifiers.phone(text)
        assert phone is not None, text
        world.person(address, seconds=(phone,), age=timedelta(days=30))
        assert signed_in(world, address, phone.value), n
        if n % 5 == 0:  # the thief is at work all the while: 200 tries in two hours
            answer = asked_by_thief(world, n)
            sent += answer == ("", "")
            answers.append(answer)
        world.advance(EVERY)

    print(f"the thief got {sent} messages of {len(answers)} asked for; {HONEST} people got theirs")
    assert sent <= 50
    # From then on the wire says what its SDKs know as: choose another method.
    assert answers[-1] == ("access_denied", "provider_blocked_by_rep")
    told = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert [alarm for alarm in told if alarm != "sms:code_half_spent"] == ["sms:closed"]
    assert len(told) < 30, "a calling code that is half spent is told of now and then, not at each message"
    closed = [row.record for row in _trail(world) if row.record.action == "sms:closed"]
    assert [record.detail["route"] for record in closed] == ["46"]


@pytest.mark.proves("MSG-08")
def test_a_fresh_route_gives_a_thief_fifty_messages_in_all_however_fast(world: World) -> None:
    with world.changed(sms_per_calling_code=0, sms_per_prefix=0):
        answers = [asked_by_thief(world, n) for n in range(60)]
        world.advance(180)
        answers += [asked_by_thief(world, n) for n in range(60, 63)]
        world.advance(5 * 3600)
        answers.append(asked_by_thief(world, 64))

    assert answers[:50] == [("", "")] * 50
    assert {error for error, _ in answers[50:60]} == {"invalid_request"}
    assert answers[60:] == [("access_denied", "provider_blocked_by_rep")] * 4


@pytest.mark.proves("MSG-09")
def test_when_the_money_of_a_day_is_spent_texts_stop_and_email_goes_on(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with world.changed(sms_daily_budget=10, sms_prices={"46": 3}):
        answers = [asked_by_thief(world, n) for n in range(4)]
        world.advance(24 * 3600)
        answers.append(asked_by_thief(world, 9))

    assert answers == [*[("", "")] * 3, ("invalid_request", ""), ("", "")]
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR] == ["sms:budget_low"]


def _trail(world: World) -> list[Audited]:
    rows: list[Audited] = []
    after = 0
    while found := world.run(world.store.trail(after=after, limit=1000)):
        rows += found
        after = found[-1].seq
    return rows
