"""What people see of their own account: recent sign-ins, and changes to how it signs in (LOG-08)."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from genkan import identifiers
from genkan.model import Kind, Place
from genkan.service.admin import people
from genkan.service.admin.door import Actor
from tests.server import new_address, new_number
from tests.wire.journeys import OPENID, PASSWORD, first_factor_by_password
from tests.wire.servers import World
from tests.wire.test_owner import CODES, ME, a_person, ask, token
from tests.wire.walks import Reset

ACTIVITY = f"{ME}/activity"
OPERATOR = Actor(id="root", name="root", kind="operator")
NEW = "quiet otter by noon"


def what(changes: list[dict[str, Any]]) -> list[str]:
    return [change["what"] for change in changes]


@pytest.mark.proves("LOG-08")
def test_an_owner_sees_who_signed_in_and_who_tried_to(world: World) -> None:
    address = a_person(world)
    with world.located(Place(country="DE")):
        first_factor_by_password(world, address, OPENID).ok()
    begun = len(ask(world, "GET", ACTIVITY, token(world, address)).ok()["sign_ins"])
    assert begun == 2
    start = world.post(
        "/oauth2/v2.0/initiate",
        client_id=world.password_app,
        username=address,
        challenge_type="password oob redirect",
    ).ok()
    asked = world.post(
        "/oauth2/v2.0/challenge", client_id=world.password_app, continuation_token=start.token
    ).ok()
    world.post(
        "/oauth2/v2.0/token",
        client_id=world.password_app,
        continuation_token=asked.token,
        grant_type="password",
        password="not that one at all",
        scope=OPENID,
    )

    seen = ask(world, "GET", ACTIVITY, token(world, address)).ok()["sign_ins"]

    newest, tried, *_, first = seen
    assert (newest["outcome"], tried["outcome"], first["outcome"]) == ("succeeded", "refused", "succeeded")
    assert (first["country"], first["methods"], first["purpose"]) == ("DE", ["password"], "sign_in")
    assert first["app"]
    assert [one["at"] for one in seen] == sorted((one["at"] for one in seen), reverse=True)


@pytest.mark.proves("LOG-08")
def test_an_owner_sees_every_change_to_how_the_account_signs_in_and_no_address_in_clear(world: World) -> None:
    address = a_person(world)
    id, door = world.subject(address).id, world._development._tenant.door
    first, second = new_number(), new_number()
    one, other = identifiers.phone(first), identifiers.phone(second)
    assert one
    assert other

    def wait() -> None:
        world.run(world._development.move_to(world.now + timedelta(seconds=5)))

    wait()
    ask(world, "POST", CODES, token(world, address)).ok()
    wait()
    Reset(world, world.password_app).done(address, NEW)
    for act in (
        lambda: people.add_method(door, OPERATOR, id, Kind.SMS_OTP, one),
        lambda: people.change_method(door, OPERATOR, id, Kind.SMS_OTP, other),
        lambda: people.remove_method(door, OPERATOR, id, Kind.SMS_OTP),
        lambda: people.revoke_sessions(door, OPERATOR, id),
    ):
        wait()
        world.run(act())

    signed_in = first_factor_by_password(world, address, f"openid {scope()}", NEW).ok()
    said = ask(world, "GET", ACTIVITY, signed_in["access_token"]).ok()

    assert what(said["changes"]) == [
        "sessions_ended",
        "method_removed",
        "method_changed",
        "method_added",
        "password_changed",
        "recovery_codes_issued",
        "password_set",
    ]
    added = said["changes"][3]
    assert (added["kind"], added["by"], added["target"][-2:]) == ("sms_otp", "administrator", first[-2:])
    text = json.dumps(said.body)
    assert not any(clear in text for clear in (first, second, address))


def scope() -> str:
    from genkan.service.demo import SECURITY_INFO_SCOPE

    return SECURITY_INFO_SCOPE


@pytest.mark.proves("LOG-08")
def test_nobody_sees_an_account_that_is_not_theirs(world: World) -> None:
    address, other = a_person(world), a_person(world)
    first_factor_by_password(world, other, OPENID).ok()
    theirs = first_factor_by_password(world, other, OPENID).ok()["access_token"]
    ours = token(world, address)

    assert ask(world, "GET", ACTIVITY, None).status == 401
    assert ask(world, "GET", ACTIVITY, theirs).status == 401  # For another audience, though of the tenant.
    assert len(ask(world, "GET", ACTIVITY, ours).ok()["sign_ins"]) == 1
    id = world.subject(address).id
    world.run(people.revoke_sessions(world._development._tenant.door, OPERATOR, id))
    assert ask(world, "GET", ACTIVITY, ours).status == 401


def test_an_account_without_a_history_has_an_empty_one_but_for_its_beginning(world: World) -> None:
    address = new_address()
    world.person(address, password=PASSWORD)

    said = ask(world, "GET", ACTIVITY, token(world, address)).ok()

    assert what(said["changes"]) == ["password_set"]
    assert len(said["sign_ins"]) == 1
