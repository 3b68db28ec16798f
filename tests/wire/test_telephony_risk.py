"""
A service outside that is asked before a code goes out by text message, over the wire and over real HTTP.

Source: conditional-access 13, 13.2, 16.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from genkan import identifiers
from genkan.model import Identifier
from tests.server import Reply, new_address, new_number
from tests.service.servers import Outside, outside
from tests.wire import strict
from tests.wire.journeys import (
    OPENID,
    PASSWORD,
    challenged,
    first_factor_by_password,
    listed,
    proven,
    redeemed,
)
from tests.wire.policies import for_everybody
from tests.wire.servers import World, in_process

DEADLINE = 0.25
YES, NO = b'{"action": "allow"}', b'{"action": "block"}'
REFUSED = ("access_denied", "provider_blocked_by_rep", 550024)


@pytest.fixture(scope="module")
def service() -> Iterator[Outside]:
    with outside() as one:
        yield one


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, service: Outside) -> Iterator[World]:
    """A tenant that wants a second factor of everybody, on a server that asks before it sends a text message."""
    folder = tmp_path_factory.mktemp("telephony")
    token = folder / "token"
    token.write_text("let me in\n")
    with in_process(
        folder / "data",
        telephony_risk_url=f"{service.url}/ask",
        telephony_risk_token_file=token,
        telephony_risk_deadline=int(DEADLINE * 1000),
    ) as running:
        running.run(running.store.put_documents(for_everybody("mfa")))
        yield running


@pytest.fixture(autouse=True)
def says_yes(service: Outside) -> None:
    service.status, service.body, service.after = 200, YES, 0.0
    service.heard.clear()


def phone() -> Identifier:
    found = identifiers.phone(new_number())
    assert found is not None
    return found


def chosen(world: World, token: str, method: str) -> Reply:
    return world.post(strict.CHALLENGE, client_id=world.password_app, continuation_token=token, id=method)


def with_both(world: World) -> tuple[str, Identifier, str, dict[str, str]]:
    """A person with phone and mailbox, who has just typed the password: address, number, token, ids by channel."""
    number, mailbox, address = phone(), identifiers.email(new_address()), new_address()
    assert mailbox is not None
    world.person(address, password=PASSWORD, seconds=(number, mailbox))
    token = first_factor_by_password(world, address, OPENID).token
    methods = {m["challenge_channel"]: m["id"] for m in listed(world, world.password_app, token)}
    return mailbox.value, number, token, methods


def refusals(world: World) -> list[Any]:
    """What the audit log says of text messages that nobody cleared."""
    rows = world.run(world.store.trail(after=0, limit=10_000))
    return [r.record.detail["telephony_risk"] for r in rows if "telephony_risk" in r.record.detail]


@pytest.mark.proves("CAP-137")
@pytest.mark.parametrize("how", ["block", "slow", "broken", "gone"])
def test_a_text_message_that_nobody_says_yes_to_in_time_is_not_sent_and_another_method_goes_on(
    world: World, service: Outside, how: str
) -> None:
    mailbox, number, token, methods = with_both(world)
    if how == "slow":
        service.after = 4 * DEADLINE
    service.status = 500 if how == "broken" else 200
    service.body = {"block": NO, "gone": b""}.get(how, YES)

    refused = chosen(world, token, methods["sms"])

    assert refused.error == REFUSED
    assert "continuation_token" not in refused.body
    assert world.messages(number.value) == []
    assert len(service.heard) == 1
    assert refusals(world)[-1] == ("block" if how == "block" else "silent")
    sent = chosen(world, token, methods["email"]).ok()
    code = world.code(mailbox, "mfa")
    assert proven(world, world.password_app, sent.token, "mfa_oob", code).ok()["token_type"] == "Bearer"


def test_with_a_yes_the_code_goes_out_once_and_the_service_was_told_of_this_number(
    world: World, service: Outside
) -> None:
    number, address = phone(), new_address()
    world.person(address, password=PASSWORD, seconds=(number,))
    asked = first_factor_by_password(world, address, OPENID)
    assert service.heard == [], "nobody is asked before a text message is wanted"

    sent = challenged(world, world.password_app, asked.token)
    code = world.code(number.value, "mfa")

    (heard,) = service.heard
    told = json.loads(heard[2])
    assert heard[1]["authorization"] == "Bearer let me in"
    assert (told["phoneNumber"], told["purpose"]) == (number.value, "signIn")
    assert (told["userId"], told["appId"]) == (world.subject(address).id, world.password_app)
    assert len(world.messages(number.value)) == 1
    proven(world, world.password_app, sent.token, "mfa_oob", code).ok()


def test_a_number_is_not_registered_where_the_service_says_no(world: World, service: Outside) -> None:
    number, address = phone(), new_address()
    world.person(address, password=PASSWORD)
    asked = first_factor_by_password(world, address, OPENID)
    form = {
        "client_id": world.password_app,
        "continuation_token": asked.token,
        "challenge_type": "oob",
        "challenge_channel": "sms",
        "challenge_target": number.value,
    }
    service.body = NO
    refused = world.post_form("/register/v1.0/challenge", form)

    assert refused.error == REFUSED
    assert world.messages(number.value) == []
    service.body = YES
    sent = world.post_form("/register/v1.0/challenge", form).ok()
    done = world.post(
        "/register/v1.0/continue",
        client_id=world.password_app,
        continuation_token=sent.token,
        grant_type="oob",
        oob=world.code(number.value, "enrol"),
    ).ok()
    redeemed(world, world.password_app, done.token, scope=OPENID).ok()
    assert [json.loads(body)["purpose"] for _, _, body in service.heard] == ["registration"] * 2


def test_what_limits_and_regions_refuse_is_never_asked_about(world: World, service: Outside) -> None:
    _, _, token, methods = with_both(world)
    chosen(world, token, methods["sms"]).ok()
    assert len(service.heard) == 1

    assert chosen(world, token, methods["sms"]).error[2] == 50088, "half a minute has not passed"
    closed = identifiers.phone("+2125210" + new_number()[-5:])
    assert closed is not None
    address = new_address()
    world.person(address, password=PASSWORD, seconds=(closed,))
    asked = first_factor_by_password(world, address, OPENID)
    (method,) = listed(world, world.password_app, asked.token)
    assert chosen(world, asked.token, method["id"]).error[:2] == (
        "access_denied",
        "provider_blocked_by_admin",
    )
    assert len(service.heard) == 1


def test_asking_in_vain_spends_the_limits_of_the_number(world: World, service: Outside) -> None:
    """So a thief of a password cannot have the service asked without end."""
    _, _, token, methods = with_both(world)
    service.body = NO
    answers = [chosen(world, token, methods["sms"]).error for _ in range(5)]

    assert answers[:3] == [REFUSED] * 3
    assert [code for *_, code in answers[3:]] == [50088] * 2
    assert len(service.heard) == 3
