"""
When a text message may go out: waits between two of them, limits of a calling code, and the regions of an app.

Source: conditional-access 13; MSG-06, MSG-07, MSG-10.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta

import pytest
from msgspec.structs import replace

from genkan import identifiers
from tests.server import BOTH, Reply, first_factor_by_code, new_address, new_number
from tests.wire import strict
from tests.wire.journeys import challenged
from tests.wire.servers import World, in_process

SENT = ("", "", 0)
WAIT = ("invalid_request", "", 50088)
CLOSED = ("access_denied", "provider_blocked_by_admin", 550024)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with in_process(tmp_path_factory.mktemp("telephony") / "data") as opened:
        yield opened


def person(world: World, number: str = "") -> tuple[str, str]:
    """Somebody with an old account and a phone."""
    address, number = new_address(), number or new_number()
    phone = identifiers.phone(number)
    assert phone is not None, number
    world.person(address, seconds=(phone,), age=timedelta(days=30))
    return address, number


def asked(world: World, address: str, times: int = 1) -> Reply:
    """The answer to the last of so many wishes for a text message, in a sign-in after a right first factor."""
    first = first_factor_by_code(world, address, world.scope, BOTH)
    answer = first
    for _ in range(times):
        answer = world.post(
            strict.CHALLENGE, client_id=world.otp_app, continuation_token=answer.token or first.token
        )
    return answer


@pytest.mark.proves("MSG-10")
def test_each_text_of_a_step_makes_the_next_one_wait_longer(world: World) -> None:
    """Half a minute, a minute, then four (a number has three in ten minutes), the later ones up to a quarter longer."""
    address, _ = person(world)
    hour = timedelta(hours=1)
    with world.changed(flow_lifetime=hour, flow_idle=hour):
        first = first_factor_by_code(world, address, world.scope, BOTH)
        token = challenged(world, world.otp_app, first.token).token
        heard = list[tuple[str, str, int]]()
        for wait in (29, 1, 59, 17, 500, 239, 62):
            world.advance(wait)
            heard.append(resent(world, token).error)

    assert heard == [WAIT, SENT, WAIT, SENT, SENT, WAIT, SENT]


@pytest.mark.proves("MSG-10")
def test_a_new_sign_in_does_not_begin_the_waits_of_a_number_again(world: World) -> None:
    address, _ = person(world)
    assert asked(world, address).status == 200
    assert asked(world, address).status == 200
    assert asked(world, address).status == 200

    assert asked(world, address).error == WAIT, "three in ten minutes, whatever flow they are of"


@pytest.mark.proves("MSG-07")
def test_a_calling_code_has_a_limit_for_a_day_beside_that_of_an_hour(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    prefix = "+3538520"
    people = [person(world, f"{prefix}{n:05d}")[0] for n in range(10_000, 70_000, 10_000)]
    with world.changed(sms_per_calling_code_daily=4):
        answers = list[tuple[str, str, int]]()
        for address in people:
            answers.append(asked(world, address).error)
            world.advance(3601)

    assert answers == [SENT] * 4 + [WAIT] * 2
    alarms = [r.__dict__ for r in caplog.records if r.levelno == logging.ERROR]
    assert [(a["message"], a["calling_code"]) for a in alarms] == [("sms:code_half_spent", "353")] * 3
    assert asked(world, person(world)[0]).status == 200, "and no other code is held up by it"


def test_the_alarm_of_a_calling_code_is_raised_once_an_hour(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    people = [person(world, f"+3161200{n:04d}")[0] for n in range(6)]
    with world.changed(sms_per_calling_code=8):
        for address in people:
            assert asked(world, address).status == 200
            world.advance(60)

    assert [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR] == ["sms:code_half_spent"]


@pytest.mark.proves("MSG-06")
def test_an_app_opens_and_closes_regions_for_itself_alone(world: World) -> None:
    vietnam, britain, jamaica = "+84912345678", new_number(), "+18762101234"
    app = world.directory.clients[world.otp_app]
    opened = replace(app, regions_opened=("84", "1876"), regions_closed=("44",))
    people = {number: person(world, number)[0] for number in (vietnam, britain, jamaica)}

    assert [asked(world, a).error for a in people.values()] == [CLOSED, SENT, CLOSED]
    with world.changed(opened):
        world.advance(31)
        assert [asked(world, a).error for a in people.values()] == [SENT, CLOSED, SENT]


def resent(world: World, token: str) -> Reply:
    return world.post(strict.CHALLENGE, client_id=world.otp_app, continuation_token=token)
