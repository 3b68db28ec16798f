"""
Sign-up: address, password and attributes in any order, and in the end an account.

Source: native-auth-v1 6, 10; rows 134 to 161; D07, D11, D22, D25, D27, D28, D31, D33; ENR-11, PWD-04, PWD-07.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from genkan.engine.transaction import Needs
from genkan.model import Attribute, Client, Kind, Subject, UserFlow
from tests.server import BOTH, Reply, new_address
from tests.wire import strict
from tests.wire.journeys import (
    OPENID,
    PASSWORD,
    account_by_code,
    begun,
    code_sent,
    first_factor_by_password,
    proven,
    wrong,
)
from tests.wire.servers import StrictServer, World, in_process
from tests.wire.walks import SignUp

INVALID = ("invalid_request", "", 55200)
EXTENSION = "extension_0f0e0d0c0b0a09080706050403020100_"
LOYALTY = f"{EXTENSION}loyaltyNumber"
NEWS = f"{EXTENSION}newsletter"
AGE = f"{EXTENSION}age"
PLAN = f"{EXTENSION}plan"
SPORTS = f"{EXTENSION}sports"
CLUB = Client(
    id="aaaaaaaa-0000-4000-8000-0000000000e2",
    name="A club",
    user_flow=UserFlow(
        first_factor=Kind.PASSWORD,
        attributes=(
            Attribute(name="displayName", required=True, max_length=256),
            Attribute(name=LOYALTY, required=True, regex="[0-9]{6}"),
            Attribute(name=NEWS, type="boolean", required=True),
            Attribute(name=AGE, type="int64", required=True),
            Attribute(name=PLAN, options=("Basic", "Family plan")),
            Attribute(name=SPORTS, options=("Rowing", "Chess", "Darts"), several=True),
            Attribute(name="city", max_length=128),
        ),
    ),
)
MEMBER: dict[str, Any] = {
    "displayName": "Ada",
    LOYALTY: "123456",
    NEWS: "true",
    AGE: "36",
}
"""All that the club must know."""


@pytest.fixture
def club(world: World) -> Iterator[World]:
    """A tenant with an app that wants attributes of every type."""
    with world.changed(CLUB):
        yield world


def account(world: World, address: str) -> Subject | None:
    """The account that an address has."""
    return world.run(world.store.read(Needs(identifier=address.lower()))).subject


def attributes_of(world: World, address: str) -> dict[str, Any]:
    found = account(world, address)
    assert found is not None
    return found.attributes


def by_code(server: StrictServer) -> SignUp:
    return SignUp(server, server.otp_app)


def by_password(server: StrictServer) -> SignUp:
    return SignUp(server, server.password_app)


# The start. -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("app", ["otp", "password"])
@pytest.mark.proves("V1-134")
def test_the_start_sends_nothing_and_makes_no_account(world: World, app: str) -> None:
    address = new_address()

    answer = SignUp(world, world.told["apps"][app]).start(
        address, password=PASSWORD, attributes={"displayName": "Ada"}
    )

    assert answer.body == {"continuation_token": answer.token}
    assert world.messages(address) == []
    assert account(world, address) is None
    form = {"client_id": world.told["apps"][app], "username": address, "challenge_type": "oob redirect"}
    assert world.post_form(strict.INITIATE, form).error == ("user_not_found", "", 50034)


@pytest.mark.parametrize("write", [str, str.upper, lambda a: f" {a} "])
@pytest.mark.parametrize("app", ["otp", "password"])
@pytest.mark.proves("V1-135")
def test_an_address_with_an_account_is_refused_however_it_is_written(
    server: StrictServer, app: str, write: Any
) -> None:
    address = account_by_code(server)

    answer = SignUp(server, server.told["apps"][app]).start(write(address), password=PASSWORD)

    assert answer.error == ("user_already_exists", "", 1003037)
    assert server.count(address, "notice") == 0


@pytest.mark.parametrize(
    "username",
    ["", "ada", "ada@", "ada@example", "a b@example.com", "ada@example.com\r\n", "x" * 250 + "@e.co"],
)
def test_only_an_address_can_sign_up(server: StrictServer, username: str) -> None:
    answer = by_code(server).start(username)

    assert answer.error == ("invalid_request", "", 90100)
    assert strict.USERNAME_INVALID in answer["error_description"]


REFUSED_PASSWORDS = {
    "password_too_short": "s3Cret!",
    "password_too_long": "lively heron at dusk " * 13,
    "password_too_weak": "password1",
    "password_is_invalid": "lively heron\x07 at dusk",
}
"""Without `password_banned`, which needs a name, and `password_recently_used`, which needs an account."""


@pytest.mark.parametrize("suberror", REFUSED_PASSWORDS)
@pytest.mark.proves("V1-136", "PWD-07")
def test_a_refused_password_is_told_at_the_start_and_never_echoed(
    server: StrictServer, suberror: str
) -> None:
    answer = by_password(server).start(new_address(), password=REFUSED_PASSWORDS[suberror])

    assert answer.error == ("invalid_grant", suberror, 399246)
    assert REFUSED_PASSWORDS[suberror] not in json.dumps(answer.body)
    assert "continuation_token" not in answer.body


@pytest.mark.proves("PWD-04", "PWD-07")
def test_neither_the_address_nor_a_name_is_a_password(server: StrictServer) -> None:
    address = new_address()

    as_address = by_password(server).start(address, password=address.upper())
    as_name = by_password(server).start(
        address, password="Ada of Lovelace Hall", attributes={"displayName": "ada of lovelace hall"}
    )
    as_part = by_password(server).start(address, password=f"{address} and more")

    assert as_address.error == as_name.error == ("invalid_grant", "password_banned", 399246)
    assert as_part.status == 200


@pytest.mark.proves("V1-137", "V1-150")
def test_a_refused_attribute_is_told_at_the_start(club: World) -> None:
    answer = SignUp(club, CLUB.id).start(
        new_address(), password=PASSWORD, attributes={**MEMBER, LOYALTY: "12345x", AGE: "old"}
    )

    assert answer.error == ("invalid_grant", "attribute_validation_failed", 55106)
    assert answer["invalid_attributes"] == [{"name": LOYALTY}, {"name": AGE}]


@pytest.mark.parametrize(
    "attributes",
    [
        "[]",
        "null",
        '"displayName"',
        "1",
        "{",
        "displayName=Ada",
        '{"displayName": {"first": "Ada"}}',
        '{"displayName": ["Ada"]}',
        '{"displayName": "\\ud800"}',
        "[" * 10_000,
        json.dumps({f"name{n}": "" for n in range(65)}),
    ],
)
@pytest.mark.proves("V1-138")
def test_attributes_are_one_flat_json_object(server: StrictServer, attributes: str) -> None:
    walk = by_password(server)
    form = {"username": new_address(), "challenge_type": "oob password redirect", "attributes": attributes}

    at_start = walk.post(strict.SIGNUP_START, **form)
    walk.start(new_address()).ok()
    later = walk.post(strict.SIGNUP_CONTINUE, grant_type="attributes", attributes=attributes)

    assert at_start.error == later.error == ("invalid_request", "", 90100)


@pytest.mark.proves("V1-139")
def test_an_attribute_nobody_asked_for_is_ignored(world: World) -> None:
    address = new_address()
    walk = by_password(world)

    walk.start(
        address,
        password=PASSWORD,
        attributes={"displayName": "Ada", "isAdmin": True, "DisplayName": "x", f"{EXTENSION}none": 1},
    ).ok()
    walk.prove(walk.send()).ok()

    assert attributes_of(world, address) == {"displayName": "Ada"}


# The address. ---------------------------------------------------------------------------------------


@pytest.mark.proves("V1-140", "V1-078", "V1-080")
def test_the_challenge_sends_a_code_and_says_when_another_makes_sense(server: StrictServer) -> None:
    address = new_address()
    walk = by_code(server)
    walk.start(address).ok()

    answer = walk.challenge()

    code = server.code(address, "sign_up")
    assert answer.body == {
        "continuation_token": answer.token,
        "challenge_type": "oob",
        "binding_method": "prompt",
        "challenge_channel": "email",
        "challenge_target_label": f"a***{address[15]}@ex****e.com",
        "code_length": len(code),
        "interval": 300,
    }


def test_d22_an_interval_is_told_and_not_enforced(server: StrictServer) -> None:
    walk = by_code(server)
    walk.start(new_address()).ok()

    first, second = walk.challenge(), walk.challenge()

    assert (first["interval"], second["interval"]) == (300, 300)


@pytest.mark.proves("V1-141")
def test_a_wrong_code_verifies_nothing(world: World) -> None:
    address = new_address()
    walk = by_code(world)
    walk.start(address).ok()
    code = walk.send()

    answer = walk.prove(wrong(code))

    assert answer.error == ("invalid_grant", "invalid_oob_value", 50181)
    assert account(world, address) is None
    assert walk.prove(code).status == 200


@pytest.mark.proves("V1-142")
def test_without_password_and_attributes_the_code_makes_the_account(world: World) -> None:
    address = new_address()
    walk = by_code(world)
    walk.start(address).ok()

    answer = walk.prove(walk.send())

    assert answer.body == {"continuation_token": answer.token}
    assert answer.status == 200
    assert account(world, address) is not None


def test_where_people_have_no_passwords_one_is_ignored(server: StrictServer) -> None:
    walk = by_code(server)
    walk.start(new_address(), password="short").ok()

    walk.prove(walk.send()).ok()

    assert begun(server, server.otp_app, walk.address, "oob redirect").token


def test_a_code_of_before_a_resend_is_of_no_use(server: StrictServer) -> None:
    walk = by_code(server)
    walk.start(new_address()).ok()
    first = walk.send()
    second = walk.send()

    stale, fresh = walk.prove(first), walk.prove(second)

    assert stale.error[1] == "invalid_oob_value"
    assert fresh.status == 200


@pytest.mark.proves("ENR-11")
def test_a_sign_up_that_is_not_finished_reserves_nothing(server: StrictServer) -> None:
    address = new_address()
    for _ in range(3):
        by_password(server).start(address, password=PASSWORD, attributes={"displayName": "Eve"}).ok()
    owner = by_password(server)

    owner.start(address, password="quiet otter by noon", attributes={"displayName": "Ada"}).ok()
    owner.prove(owner.send()).ok()

    assert strict.jwt(owner.redeem().ok()["id_token"])[1]["name"] == "Ada"


@pytest.mark.proves("ENR-11")
def test_a_password_that_somebody_else_had_set_for_the_address_is_void(server: StrictServer) -> None:
    address, own = new_address(), "quiet otter by noon"
    attacker, owner = by_password(server), by_password(server)
    attacker.start(address, password=PASSWORD, attributes={"displayName": "Eve"}).ok()
    attacker.send()
    owner.start(address, password=own, attributes={"displayName": "Ada"}).ok()
    code = owner.send()

    stolen = attacker.prove(code)
    owner.prove(code).ok()
    late = attacker.prove(code)

    assert stolen.error[1] == late.error[1] == "invalid_oob_value"
    assert first_factor_by_password(server, address, OPENID, PASSWORD).error[2] == 50126
    assert first_factor_by_password(server, address, OPENID, own).status == 200


@pytest.mark.proves("ENR-11")
def test_a_sign_up_that_is_not_finished_ends_after_half_an_hour(server: StrictServer) -> None:
    walk = by_password(server)
    walk.start(new_address(), password=PASSWORD)
    for _ in range(3):
        server.advance(590)
        walk.supply(displayName="Ada")

    server.advance(31)

    assert walk.challenge().error == ("expired_token", "", 552003)


# The password. --------------------------------------------------------------------------------------


@pytest.mark.proves("V1-143")
def test_without_a_password_one_is_asked_for(server: StrictServer) -> None:
    walk = by_password(server)
    walk.start(new_address(), attributes={"displayName": "Ada"}).ok()

    answer = walk.prove(walk.send())

    assert answer.error == ("credential_required", "", 55103)
    assert answer.status == 400
    assert answer.token


@pytest.mark.proves("V1-144")
def test_the_challenge_then_is_the_password(server: StrictServer) -> None:
    walk = by_password(server)
    walk.start(new_address()).ok()
    walk.prove(walk.send())

    answer, again = walk.challenge(), walk.challenge()

    assert answer.ok().body == {"continuation_token": answer.token, "challenge_type": "password"}
    assert again.ok()["challenge_type"] == "password"
    assert server.count(walk.address, "sign_up") == 1


def test_a_password_is_taken_only_when_it_was_asked_for(server: StrictServer) -> None:
    walk = by_password(server)
    walk.start(new_address(), attributes={"displayName": "Ada"}).ok()
    before_code = walk.set_password(PASSWORD)
    walk.prove(walk.send())
    before_challenge = walk.set_password(PASSWORD)
    walk.challenge().ok()

    in_turn = walk.set_password(PASSWORD)

    assert before_code.error == before_challenge.error == INVALID
    assert in_turn.status == 200


@pytest.mark.proves("V1-145")
def test_a_good_password_leads_to_the_next_step(server: StrictServer) -> None:
    named = by_password(server).ready_for_password(new_address(), attributes={"displayName": "Ada"})
    nameless = by_password(server).ready_for_password(new_address())

    done, asked = named.set_password(PASSWORD), nameless.set_password(PASSWORD)

    assert done.ok().body == {"continuation_token": done.token}
    assert asked.error == ("attributes_required", "", 55106)
    assert first_factor_by_password(server, named.address, OPENID).status == 200


@pytest.mark.parametrize("suberror", [*REFUSED_PASSWORDS, "password_banned"])
@pytest.mark.proves("V1-146", "PWD-07")
def test_each_violation_of_the_password_policy_is_named_and_the_step_can_be_repeated(
    server: StrictServer, suberror: str
) -> None:
    walk = by_password(server).ready_for_password(new_address(), attributes={"displayName": "Ada"})
    token, password = walk.token, REFUSED_PASSWORDS.get(suberror, walk.address)

    refused = walk.set_password(password)
    accepted = walk.set_password(PASSWORD)

    assert refused.error == ("invalid_grant", suberror, 399246)
    assert password not in json.dumps(refused.body)
    assert refused.token == ""
    assert walk.heard[-1] is accepted
    assert accepted.ok().token != token


def test_d33_every_refused_password_has_one_number(server: StrictServer) -> None:
    walk = by_password(server).ready_for_password(new_address())

    answers = [walk.set_password(password) for password in REFUSED_PASSWORDS.values()]

    assert [answer["error_codes"] for answer in answers] == [[399246]] * len(answers)


@pytest.mark.proves("PWD-02")
def test_a_password_needs_no_mixture_of_characters(server: StrictServer) -> None:
    for password in ("fourlittlewords", "73219846055127", "ありがとうございました"):
        assert by_password(server).start(new_address(), password=password).status == 200, password


# Attributes. ----------------------------------------------------------------------------------------


@pytest.mark.proves("V1-147", "V1-148")
def test_missing_attributes_are_asked_for_with_all_that_an_app_needs_to_ask(club: World) -> None:
    walk = SignUp(club, CLUB.id)
    walk.start(new_address(), password=PASSWORD).ok()

    answer = walk.prove(walk.send())

    assert answer.error == ("attributes_required", "", 55106)
    assert answer.token
    assert answer["required_attributes"] == [
        {"name": "displayName", "type": "string", "required": True},
        {"name": LOYALTY, "type": "string", "required": True, "options": {"regex": "[0-9]{6}"}},
        {"name": NEWS, "type": "boolean", "required": True},
        {"name": AGE, "type": "int64", "required": True},
    ]


@pytest.mark.proves("V1-148", "V1-150")
def test_one_or_several_options_are_chosen_as_texts(club: World) -> None:
    plan = Attribute(name=PLAN, required=True, options=("Basic", "Family plan"))
    with club.changed(replace(CLUB, user_flow=UserFlow(first_factor=Kind.PASSWORD, attributes=(plan,)))):
        asked = SignUp(club, CLUB.id)
        asked.start(new_address(), password=PASSWORD).ok()
        required = asked.prove(asked.send())["required_attributes"]
    walk = SignUp(club, CLUB.id)
    walk.start(address := new_address(), password=PASSWORD).ok()
    walk.prove(walk.send())

    refused = [
        walk.supply(**{**MEMBER, **wrong_choice})
        for wrong_choice in ({PLAN: "family plan"}, {PLAN: "Basic,Family plan"}, {SPORTS: "Chess,Boxing"})
    ]
    walk.supply(**MEMBER, **{PLAN: "Family plan", SPORTS: " Darts , Rowing"}).ok()

    assert required == [{"name": PLAN, "type": "string", "required": True}]
    assert [answer["invalid_attributes"] for answer in refused] == [
        [{"name": PLAN}],
        [{"name": PLAN}],
        [{"name": SPORTS}],
    ]
    subject = club.subject(address)
    assert {name: subject.attributes[name] for name in (PLAN, SPORTS)} == {
        PLAN: "Family plan",
        SPORTS: "Rowing,Darts",
    }


@pytest.mark.proves("V1-149")
def test_what_is_still_missing_is_asked_for_again(club: World) -> None:
    walk = SignUp(club, CLUB.id)
    walk.start(new_address(), password=PASSWORD, attributes={AGE: 36}).ok()
    walk.prove(walk.send())

    def lacking(answer: Reply) -> list[str]:
        assert answer.error == ("attributes_required", "", 55106)
        return [entry["name"] for entry in answer["required_attributes"]]

    assert lacking(walk.heard[-1]) == ["displayName", LOYALTY, NEWS]
    assert lacking(walk.supply(**{LOYALTY: "123456"})) == ["displayName", NEWS]
    assert lacking(walk.supply(city="Paris")) == ["displayName", NEWS]
    assert lacking(walk.supply(displayName="", **{NEWS: False})) == ["displayName"]
    assert walk.supply(displayName="Ada").status == 200
    assert attributes_of(club, walk.address) == {
        AGE: 36,
        LOYALTY: "123456",
        NEWS: False,
        "city": "Paris",
        "displayName": "Ada",
    }


@pytest.mark.proves("V1-150")
def test_refused_attributes_are_named_and_nothing_of_them_is_kept(club: World) -> None:
    walk = SignUp(club, CLUB.id)
    walk.start(new_address(), password=PASSWORD).ok()
    walk.prove(walk.send())
    token = walk.token

    refused = walk.supply(**MEMBER | {NEWS: "maybe", "displayName": "Eve", "city": "x" * 129})
    asked = walk.supply(**{AGE: "1"})

    assert refused.error == ("invalid_grant", "attribute_validation_failed", 55106)
    assert refused["invalid_attributes"] == [{"name": NEWS}, {"name": "city"}]
    assert refused.token == ""
    assert walk.heard[-2] is refused
    assert asked.token != token
    assert [entry["name"] for entry in asked["required_attributes"]] == ["displayName", LOYALTY, NEWS]


def test_d28_a_refused_attribute_is_an_object_with_its_name_alone(club: World) -> None:
    answer = SignUp(club, CLUB.id).start(new_address(), attributes={**MEMBER, AGE: 1.5})

    assert answer["invalid_attributes"] == [{"name": AGE}]


FITTING: list[tuple[str, Any, Any]] = [
    ("displayName", "Ada", "Ada"),
    ("displayName", "アダ・ラヴレス", "アダ・ラヴレス"),
    ("displayName", "x" * 256, "x" * 256),
    ("displayName", 42, "42"),
    ("displayName", True, "true"),
    (LOYALTY, 123456, "123456"),
    (NEWS, True, True),
    (NEWS, "False", False),
    (NEWS, " true ", True),
    (AGE, 36, 36),
    (AGE, "-1", -1),
    (AGE, 2**63 - 1, 2**63 - 1),
    (AGE, "007", 7),
]


@pytest.mark.parametrize(("name", "given", "kept"), FITTING)
def test_d27_an_app_may_send_any_scalar_for_an_attribute_that_it_fits(
    club: World, name: str, given: Any, kept: Any
) -> None:
    walk = SignUp(club, CLUB.id)
    walk.start(new_address(), password=PASSWORD, attributes={**MEMBER, name: given}).ok()

    walk.prove(walk.send()).ok()

    held = attributes_of(club, walk.address)[name]
    assert (held, type(held)) == (kept, type(kept))


UNFITTING: list[tuple[str, Any]] = [
    ("displayName", "x" * 257),
    ("displayName", "Ada\n"),
    ("displayName", "Ada\x00"),
    (LOYALTY, "12345"),
    (LOYALTY, "123456\n"),
    (LOYALTY, "1234567"),
    (NEWS, 1),
    (NEWS, "yes"),
    (AGE, True),
    (AGE, "1.0"),
    (AGE, 1.5),
    (AGE, 2**63),
    (AGE, "1" * 400),
    (AGE, "٣٦"),
]


@pytest.mark.parametrize(("name", "given"), UNFITTING)
def test_a_value_that_does_not_fit_its_attribute_is_refused(club: World, name: str, given: Any) -> None:
    walk = SignUp(club, CLUB.id)

    answer = walk.start(new_address(), password=PASSWORD, attributes={**MEMBER, name: given})

    assert answer["invalid_attributes"] == [{"name": name}]


@pytest.mark.proves("V1-151", "V1-153")
def test_with_everything_at_the_start_the_code_finishes(club: World) -> None:
    walk = SignUp(club, CLUB.id)
    walk.start(new_address(), password=PASSWORD, attributes=MEMBER).ok()

    answer = walk.prove(walk.send())

    assert answer.ok().body == {"continuation_token": answer.token}
    assert attributes_of(club, walk.address) == {"displayName": "Ada", LOYALTY: "123456", NEWS: True, AGE: 36}


@pytest.mark.proves("V1-152")
def test_optional_attributes_at_the_start_are_stored_and_never_asked_for(club: World) -> None:
    walk = SignUp(club, CLUB.id)
    walk.start(new_address(), password=PASSWORD, attributes={**MEMBER, "city": "Paris"}).ok()
    without = SignUp(club, CLUB.id)
    without.start(new_address(), password=PASSWORD, attributes=MEMBER).ok()

    walk.prove(walk.send()).ok()
    without.prove(without.send()).ok()

    assert attributes_of(club, walk.address)["city"] == "Paris"
    assert "city" not in attributes_of(club, without.address)


def test_optional_attributes_come_along_with_required_ones_after_the_code(club: World) -> None:
    walk = SignUp(club, CLUB.id)
    walk.start(new_address(), password=PASSWORD).ok()
    walk.prove(walk.send())

    walk.supply(**MEMBER, city="Paris").ok()

    assert attributes_of(club, walk.address)["city"] == "Paris"


@pytest.mark.parametrize("attributes", [None, {}, {"displayName": "", "city": "  "}])
@pytest.mark.proves("V1-147")
def test_d31_nothing_is_asked_for_at_the_start(
    server: StrictServer, attributes: dict[str, Any] | None
) -> None:
    answer = by_password(server).start(new_address(), password=PASSWORD, attributes=attributes)

    assert answer.body == {"continuation_token": answer.token}


@pytest.mark.parametrize("sent_code", [False, True])
@pytest.mark.proves("V1-161")
def test_attributes_before_the_code_are_kept_and_the_address_is_asked_for(
    club: World, sent_code: bool
) -> None:
    walk = SignUp(club, CLUB.id)
    walk.start(new_address(), password=PASSWORD).ok()
    code = walk.send() if sent_code else ""

    answer = walk.supply(**MEMBER, city="Paris")
    code = code or walk.send()
    done = walk.prove(code)

    assert answer.error == ("verification_required", "", 55200)
    assert answer["unverified_attributes"] == [{"name": "username"}]
    assert answer.token
    assert done.status == 200
    assert attributes_of(club, walk.address)["city"] == "Paris"


def test_attributes_before_the_code_may_be_refused_or_completed_like_any(club: World) -> None:
    walk = SignUp(club, CLUB.id)
    walk.start(new_address(), password=PASSWORD, attributes={"displayName": "Eve"}).ok()

    refused = walk.supply(**{AGE: "old"})
    walk.supply(displayName="Ada")
    walk.supply(**{AGE: 36, NEWS: True})
    asked = walk.prove(walk.send())
    walk.supply(**{LOYALTY: "123456"}).ok()

    assert refused["invalid_attributes"] == [{"name": AGE}]
    assert [entry["name"] for entry in asked["required_attributes"]] == [LOYALTY]
    assert attributes_of(club, walk.address)["displayName"] == "Ada"


# Every order. ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("attributes", ["start", "split", "before the code", "between", "last"])
@pytest.mark.parametrize("password", ["start", "later"])
@pytest.mark.proves("V1-143", "V1-147", "V1-151", "V1-153", "V1-161")
def test_every_order_leads_to_the_same_account(club: World, password: str, attributes: str) -> None:
    walk = SignUp(club, CLUB.id)
    now, later = dict(list(MEMBER.items())[:2]), dict(list(MEMBER.items())[2:])
    at_start = {"start": MEMBER, "split": now}.get(attributes)
    expected = [""]

    walk.start(
        new_address(), attributes=at_start, **({"password": PASSWORD} if password == "start" else {})
    ).ok()
    if attributes == "before the code":
        walk.supply(**MEMBER)
        expected.append("verification_required")
    code = walk.send()
    expected.append("")
    if attributes == "between":
        walk.supply(**MEMBER)
        expected.append("verification_required")
    walk.prove(code)
    if password == "later":
        expected += ["credential_required", ""]
        walk.challenge()
        walk.set_password(PASSWORD)
    if attributes in ("split", "last"):
        expected.append("attributes_required")
        walk.supply(**(later if attributes == "split" else MEMBER))
    expected.append("")
    tokens = walk.redeem(username=walk.address).ok()

    assert walk.errors == [*expected, ""]
    assert attributes_of(club, walk.address) == {"displayName": "Ada", LOYALTY: "123456", NEWS: True, AGE: 36}
    assert strict.jwt(tokens["id_token"])[1]["preferred_username"] == walk.address
    again = begun(club, CLUB.id, walk.address)
    asked = club.post(strict.CHALLENGE, client_id=CLUB.id, continuation_token=again.token).ok()
    assert proven(club, CLUB.id, asked.token, "password", PASSWORD).status == 200


@pytest.mark.parametrize("grant", ["", "refresh_token", "continuation_token", "mfa_oob", "OOB", "code"])
@pytest.mark.proves("V1-160")
def test_an_unknown_grant_is_refused_and_changes_nothing(server: StrictServer, grant: str) -> None:
    walk = by_code(server)
    walk.start(new_address()).ok()
    code = walk.send()

    answer = walk.post(strict.SIGNUP_CONTINUE, grant_type=grant, oob=code)

    assert answer.error == (("invalid_grant", "", 70003) if grant else ("invalid_request", "", 900144))
    assert walk.prove(code).status == 200


@pytest.mark.parametrize("grant", ["oob", "password", "attributes"])
def test_a_grant_without_its_value_lacks_a_parameter(server: StrictServer, grant: str) -> None:
    walk = by_code(server)
    walk.start(new_address()).ok()

    answer = walk.post(strict.SIGNUP_CONTINUE, grant_type=grant)

    assert answer.error == ("invalid_request", "", 900144)
    assert answer["error_description"].startswith(
        f"AADSTS900144: The request body must contain the parameter {grant}."
    )


# Exactly once. --------------------------------------------------------------------------------------


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[World]:
    """A world of its own, whose accounts can be counted."""
    with in_process(tmp_path / "data") as world:
        yield world


def accounts(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "data" / "dev.db")) as database:
        return int(database.execute("SELECT count(*) FROM subject").fetchone()[0])


@pytest.mark.proves("V1-154")
def test_one_code_handed_in_many_times_at_once_makes_one_account(fresh: World, tmp_path: Path) -> None:
    walk = by_code(fresh)
    walk.start(new_address()).ok()
    code = walk.send()
    form = {"client_id": walk.app, "continuation_token": walk.token, "grant_type": "oob", "oob": code}

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: fresh.post_form(strict.SIGNUP_CONTINUE, form), range(12)))

    assert sorted(answer.status for answer in answers) == [200] + [400] * 11
    assert {answer.error for answer in answers} == {("", "", 0), INVALID}
    assert accounts(tmp_path) == 1


@pytest.mark.proves("V1-154")
def test_one_password_handed_in_many_times_at_once_makes_one_account(fresh: World, tmp_path: Path) -> None:
    walk = by_password(fresh).ready_for_password(new_address(), attributes={"displayName": "Ada"})
    form = {"client_id": walk.app, "continuation_token": walk.token, "grant_type": "password"}

    with ThreadPoolExecutor(6) as pool:
        answers = list(
            pool.map(
                lambda _: fresh.post_form(strict.SIGNUP_CONTINUE, {**form, "password": PASSWORD}), range(6)
            )
        )

    assert sorted(answer.status for answer in answers) == [200] + [400] * 5
    assert accounts(tmp_path) == 1


@pytest.mark.proves("V1-155")
def test_who_finishes_second_is_told_that_the_account_exists(server: StrictServer) -> None:
    address = new_address()
    first, second = by_code(server), by_code(server)
    first.start(address).ok()
    second.start(address).ok()
    codes = first.send(), second.send()

    won = first.prove(codes[0])
    lost = second.prove(codes[1])

    assert won.status == 200
    assert lost.error == ("user_already_exists", "", 1003037)
    assert second.redeem().error == ("invalid_grant", "", 55200)


@pytest.mark.proves("V1-155")
def test_the_race_may_be_lost_at_any_later_step(server: StrictServer) -> None:
    address, exists = new_address(), ("user_already_exists", "", 1003037)
    lacks_password = by_password(server).ready_for_password(address, attributes={"displayName": "Ada"})
    lacks_name = by_password(server)
    lacks_name.start(address, password=PASSWORD).ok()
    lacks_name.prove(lacks_name.send())
    winner = by_code(server)
    winner.start(address).ok()

    winner.prove(winner.send()).ok()

    assert lacks_password.set_password(PASSWORD).error == exists
    assert lacks_name.supply(displayName="Ada").error == exists
    assert lacks_name.supply(displayName="Ada").error == INVALID


@pytest.mark.proves("V1-154", "V1-155")
def test_of_many_flows_for_one_address_that_finish_at_once_one_makes_the_account(
    fresh: World, tmp_path: Path
) -> None:
    address = new_address()
    walks = [by_code(fresh) for _ in range(5)]
    for walk in walks:
        walk.start(address).ok()
    codes = [walk.send() for walk in walks]

    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda pair: pair[0].prove(pair[1]), zip(walks, codes, strict=True)))

    assert sorted(answer.error[0] for answer in answers) == ["", *["user_already_exists"] * 4]
    assert accounts(tmp_path) == 1


# Signed in at once. ---------------------------------------------------------------------------------


def signed_up(server: StrictServer, **start: Any) -> SignUp:
    """A sign-up whose account exists."""
    walk = by_code(server)
    walk.start(new_address(), **start).ok()
    walk.prove(walk.send()).ok()
    return walk


@pytest.mark.parametrize("write", [str, str.upper, lambda a: f" {a}"])
@pytest.mark.proves("V1-156")
def test_the_new_person_is_signed_in_by_name(server: StrictServer, write: Any) -> None:
    walk = signed_up(server)

    tokens = walk.redeem(username=write(walk.address), scope=OPENID)

    assert strict.jwt(tokens.ok()["id_token"])[1]["preferred_username"] == walk.address


@pytest.mark.proves("V1-157")
def test_d25_the_name_may_be_left_out(server: StrictServer) -> None:
    assert signed_up(server).redeem(scope=OPENID).ok()["access_token"]


@pytest.mark.parametrize("who", ["somebody", "nobody", "no name", "a username"])
@pytest.mark.proves("V1-158")
def test_another_persons_name_is_refused_and_changes_nothing(server: StrictServer, who: str) -> None:
    other = {
        "somebody": account_by_code(server),
        "nobody": new_address(),
        "no name": "a b@",
        "a username": "ada",
    }
    walk = signed_up(server)

    answer = walk.redeem(username=other[who])

    assert answer.error == ("invalid_request", "", 90100)
    assert walk.redeem(username=walk.address).status == 200


@pytest.mark.proves("V1-159")
def test_d11_a_second_factor_is_registered_where_policy_wants_one(server: StrictServer) -> None:
    for app in (server.otp_app, server.password_app):
        walk = SignUp(server, app)
        walk.start(new_address(), password=PASSWORD, attributes={"displayName": "Ada"}).ok()
        walk.prove(walk.send()).ok()

        answer = walk.redeem(scope=server.scope)

        assert answer.error == ("invalid_grant", "registration_required", 50079)
        assert answer.token


@pytest.mark.parametrize("capabilities", ["", "mfa_required"])
def test_what_the_app_declared_at_the_start_holds_for_the_sign_in(
    server: StrictServer, capabilities: str
) -> None:
    walk = signed_up(server, capabilities=capabilities)

    answer = walk.redeem(scope=server.scope)

    assert answer.ok()["challenge_type"] == "redirect"
    assert answer["redirect_reason"] == "The app did not declare the capability registration_required"
    assert walk.redeem().error == ("invalid_grant", "", 55200)


@pytest.mark.proves("V1-052")
def test_d07_the_browser_is_named_before_the_code_or_not_at_all(server: StrictServer) -> None:
    early = by_password(server).start(new_address(), challenge_type="oob redirect")
    walk = by_password(server)
    walk.start(new_address(), capabilities="").ok()
    walk.prove(walk.send())
    walk.challenge()
    walk.set_password(PASSWORD)
    walk.supply(displayName="Ada").ok()

    late = walk.redeem(scope=server.scope)

    assert early["challenge_type"] == late["challenge_type"] == "redirect"
    continued = [walk.heard[2], *walk.heard[4:6]]
    assert not any(answer.body.get("challenge_type") for answer in continued)


def test_the_account_signs_in_by_what_its_flow_asked_for(server: StrictServer) -> None:
    coded = signed_up(server).address
    sent, code = code_sent(server, coded)

    assert sent["challenge_type"] == "oob"
    assert proven(server, server.otp_app, sent.token, "oob", code).status == 200
    form = {"client_id": server.otp_app, "username": coded, "challenge_type": "oob redirect"}
    assert server.post_form(strict.RESET_START, form).error == ("invalid_request", "", 500222)


def test_the_capabilities_may_be_declared_by_their_older_name(server: StrictServer) -> None:
    walk = by_code(server)
    walk.start(new_address(), capabilities="", capability=BOTH.replace(" ", ",")).ok()
    walk.prove(walk.send()).ok()

    assert walk.redeem(scope=server.scope).error[1] == "registration_required"
