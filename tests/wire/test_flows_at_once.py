"""
How many flows of one account live at once.

Source: FLOW-18.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest

from tests.server import new_address, newest
from tests.wire import strict
from tests.wire.journeys import OPENID, PASSWORD, begun, challenged, ids, password_asked, proven
from tests.wire.servers import StrictServer, World
from tests.wire.walks import Elsewhere, Reset, SignUp

LOST = ("invalid_grant", "", 55200)


def block() -> Callable[[int], str]:
    """Addresses of one network that nobody has used yet."""
    network = f"2001:db8:{uuid4().hex[:4]}"
    return lambda host: f"{network}::{host + 1:x}"


@pytest.mark.proves("FLOW-18")
def test_the_sixth_flow_from_one_network_ends_the_first_and_no_other(world: World) -> None:
    world.person(address := new_address(), password=PASSWORD)
    at = block()

    asked = [password_asked(Elsewhere(world, at(n)), address) for n in range(6)]
    answers = [proven(world, world.password_app, a.token, "password", PASSWORD, OPENID) for a in asked]

    assert [answer.error for answer in answers] == [LOST] + [("", "", 0)] * 5


@pytest.mark.proves("FLOW-18")
def test_flows_from_elsewhere_end_none_of_the_owners_before_or_after_the_first_proof(world: World) -> None:
    world.person(address := new_address())
    home, away = block(), block()
    owner = Elsewhere(world, home(1))
    seen = ids(world, address)
    sent = challenged(owner, world.otp_app, begun(owner, world.otp_app, address).token)
    code = newest(world, address, "sign_in", seen)
    waiting = proven(owner, world.otp_app, sent.token, "oob", code, world.scope)

    def crowd(network: Callable[[int], str]) -> None:
        for host in range(20):
            begun(Elsewhere(world, network(host)), world.otp_app, address)

    crowd(away)
    listed = owner.post(strict.REGISTER_INTROSPECT, client_id=world.otp_app, continuation_token=waiting.token)
    crowd(home)
    displaced = owner.post(
        strict.REGISTER_INTROSPECT, client_id=world.otp_app, continuation_token=waiting.token
    )

    assert waiting.error == ("invalid_grant", "registration_required", 50079)
    assert listed.status == 200
    assert displaced.error == ("invalid_request", "", 55200), "from one's own network even a proven one is"


@pytest.mark.proves("FLOW-18")
def test_each_purpose_has_five_of_its_own(world: World) -> None:
    world.person(address := new_address(), password=PASSWORD)
    client = Elsewhere(world, block()(1))
    asked = password_asked(client, address)
    reset = Reset(client, world.password_app)
    reset.start(address).ok()

    for _ in range(4):
        Reset(client, world.password_app).start(address).ok()
        begun(client, world.password_app, address)
    alive = [
        reset.challenge().error,
        proven(world, world.password_app, asked.token, "password", PASSWORD).error,
    ]
    Reset(client, world.password_app).start(address).ok()

    assert alive == [("", "", 0)] * 2
    assert reset.challenge().error[2] == 55200


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.proves("FLOW-18")
def test_a_name_that_is_nobodys_has_no_more(world: World, known: bool) -> None:
    address = new_address()
    if known:
        world.person(address)
    client = Elsewhere(world, block()(1))

    with world.changed(enumeration="uniform"):
        sign_ins = [begun(client, world.otp_app, address).token for _ in range(6)]
        sign_ups = []
        for _ in range(6):
            sign_ups.append(SignUp(client, world.otp_app))
            sign_ups[-1].start(address).ok()
        form = {"client_id": world.otp_app}
        answers = [
            client.post_form(strict.CHALLENGE, {**form, "continuation_token": token})
            for token in sign_ins[:2]
        ]
        more = [walk.challenge() for walk in sign_ups[:2]]

    assert [answer.error for answer in answers] == [LOST, ("", "", 0)]
    assert [answer.error for answer in more] == [LOST, ("", "", 0)]


def test_the_machine_itself_has_as_many_as_it_likes_in_development(server: StrictServer) -> None:
    address = new_address()
    walks = [SignUp(server, server.otp_app) for _ in range(8)]
    for walk in walks:
        walk.start(address).ok()

    assert walks[0].challenge().status == 200
