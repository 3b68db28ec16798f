"""
Registration of a second factor in the middle of a flow.

Source: native-auth-v1 5, 10.3; conditional-access 6.2, 6.3; ENR-02, ENR-03; rows 116 to 132.
"""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest
from msgspec.structs import replace

from genkan import identifiers
from genkan.engine.messages import PutAuthenticator
from genkan.engine.transaction import Needs
from genkan.model import Identifier, Kind, MethodSettings
from genkan.service import demo
from genkan.wire.entra_v1 import READERS
from tests.server import Reply, first_factor_by_code, new_address, new_number, newest, register_phone
from tests.wire import strict
from tests.wire.journeys import (
    OPENID,
    PASSWORD,
    account_by_code,
    account_by_password,
    challenged,
    first_factor_by_password,
    ids,
    listed,
    proven,
    redeemed,
    signed_up_by_password,
    wrong,
)
from tests.wire.servers import StrictServer, World

REGISTRATION_REQUIRED = ("invalid_grant", "registration_required", 50079)
WRONG_CODE = ("invalid_grant", "invalid_oob_value", 50181)
INVALID_CONTACT = ("invalid_request", "", 901001)


def heard(answer: Reply, endpoint: str) -> strict.Heard:
    return strict.heard(endpoint, answer.status, answer.body)


def after_password(server: StrictServer) -> tuple[str, Reply]:
    """Address and answer: a new account's right password, where policy wants a second factor."""
    address = account_by_password(server)
    return address, first_factor_by_password(server, address, server.scope)


def after_sign_up(server: StrictServer) -> tuple[str, Reply]:
    """The same in the flow of the sign-up itself."""
    address = new_address()
    done = signed_up_by_password(server, address)
    return address, redeemed(server, server.password_app, done.token, username=address, scope=server.scope)


def enrol(server: StrictServer, app: str, token: str, target: str, **more: str) -> Reply:
    form = {
        "client_id": app,
        "continuation_token": token,
        "challenge_type": "oob",
        "challenge_target": target,
    }
    return server.post_form(strict.REGISTER_CHALLENGE, form | more)


def finish(server: StrictServer, app: str, token: str, grant: str = "oob", **more: str) -> Reply:
    form = {"client_id": app, "continuation_token": token, "grant_type": grant, **more}
    return server.post_form(strict.REGISTER_CONTINUE, form)


def offered(server: StrictServer, app: str, token: str) -> dict[str, str]:
    """The channels that may be registered, each with its hint."""
    answer = server.post(strict.REGISTER_INTROSPECT, client_id=app, continuation_token=token).ok()
    return {method["id"]: method["login_hint"] for method in answer["methods"]}


# When, and what. ------------------------------------------------------------------------------------


@pytest.mark.proves("V1-116")
def test_who_has_no_second_factor_is_asked_to_register_one(server: StrictServer) -> None:
    by_code = first_factor_by_code(server, account_by_code(server), server.scope)
    _, by_password = after_password(server)

    for answer in (by_code, by_password):
        assert answer.error == REGISTRATION_REQUIRED
        assert answer.token
        assert heard(answer, strict.TOKEN) == strict.Heard.alike("registration_required")


@pytest.mark.proves("V1-117")
def test_a_new_account_with_a_password_may_register_both(server: StrictServer) -> None:
    address, asked = after_password(server)

    assert offered(server, server.password_app, asked.token) == {"sms": "", "email": address}


@pytest.mark.proves("V1-117")
def test_an_account_with_codes_may_register_a_phone_alone(server: StrictServer) -> None:
    asked = first_factor_by_code(server, account_by_code(server), server.scope)

    assert offered(server, server.otp_app, asked.token) == {"sms": ""}


@pytest.mark.parametrize(
    ("off", "left"), [(Kind.SMS_OTP, {"email"}), (Kind.EMAIL_OTP, {"sms"})], ids=["no sms", "no email"]
)
@pytest.mark.proves("V1-117")
def test_what_the_tenant_has_switched_off_is_not_offered(world: World, off: Kind, left: set[str]) -> None:
    _, asked = after_password(world)

    with world.changed((off, MethodSettings(enabled=False))):
        found = offered(world, world.password_app, asked.token)

    assert found.keys() == left


@pytest.mark.proves("V1-117")
def test_an_older_account_may_register_its_own_mailbox_alone(world: World) -> None:
    address = new_address()
    world.person(address, password=PASSWORD, age=timedelta(days=2))
    asked = first_factor_by_password(world, address, world.scope)

    found = offered(world, world.password_app, asked.token)
    stranger = enrol(world, world.password_app, asked.token, new_address())
    phone = enrol(world, world.password_app, asked.token, new_number())
    own = enrol(world, world.password_app, asked.token, address)

    assert found == {"email": address}
    assert stranger.error == phone.error == INVALID_CONTACT
    assert own.status == 200


@pytest.mark.proves("V1-117")
def test_an_older_account_with_codes_has_just_proven_its_mailbox(world: World) -> None:
    address = new_address()
    world.person(address, age=timedelta(days=2))

    asked = first_factor_by_code(world, address, world.scope)

    assert offered(world, world.otp_app, asked.token) == {"sms": ""}
    assert enrol(world, world.otp_app, asked.token, new_number()).status == 200


@pytest.mark.proves("V1-117")
def test_the_list_may_be_left_out(server: StrictServer) -> None:
    asked = first_factor_by_code(server, account_by_code(server), server.scope)

    assert enrol(server, server.otp_app, asked.token, new_number()).ok().token


# The challenge. -------------------------------------------------------------------------------------


@pytest.mark.proves("V1-118")
def test_a_mailbox_is_sent_a_code(server: StrictServer) -> None:
    _, asked = after_password(server)
    mailbox = new_address()

    sent = enrol(server, server.password_app, asked.token, mailbox, challenge_channel="email")

    assert sent.body.keys() == {
        "continuation_token",
        "challenge_type",
        "binding_method",
        "challenge_target",
        "challenge_channel",
        "code_length",
        "interval",
    }
    assert (sent["challenge_type"], sent["challenge_channel"]) == ("oob", "email")
    assert sent["challenge_target"] == mailbox
    assert sent["code_length"] == len(server.code(mailbox, "enrol"))
    assert heard(sent, strict.REGISTER_CHALLENGE) == strict.Heard.alike("oob")


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ("+44 20 7946 0000", "+442079460000"),
        ("+44-20-7946-0001", "+442079460001"),
        ("+44 (20) 7946 0002", "+442079460002"),
        (" +442079460003 ", "+442079460003"),
        ("+1 202-555-0143", "+12025550143"),
    ],
)
@pytest.mark.proves("V1-119")
def test_a_number_may_be_typed_as_people_type_it(server: StrictServer, typed: str, number: str) -> None:
    _, asked = after_password(server)

    sent = enrol(server, server.password_app, asked.token, typed, challenge_channel="sms").ok()
    done = finish(server, server.password_app, sent.token, oob=server.code(number, "enrol"))

    assert sent["challenge_target"] == number
    assert sent["challenge_channel"] == "sms"
    assert done.ok().token


@pytest.mark.proves("V1-120")
def test_the_channel_follows_from_the_target(server: StrictServer) -> None:
    _, asked = after_password(server)

    mail = enrol(server, server.password_app, asked.token, new_address())
    text = enrol(server, server.password_app, asked.token, new_number())

    assert mail.ok()["challenge_channel"] == "email"
    assert text.ok()["challenge_channel"] == "sms"


@pytest.mark.parametrize(
    ("target", "channel"),
    [
        ("ada@", ""),
        ("ada example.com", "email"),
        ("+44", ""),
        ("07700 900000", ""),
        ("+44 20 7946 00000000", "sms"),
        ("+44 20 7946 OOOO", "sms"),
        ("+442079460000", "email"),
        ("ada@example.com", "sms"),
        ("ada@example.com", "voice"),
        ("+44 900 123 4567", "sms"),
    ],
)
@pytest.mark.proves("V1-121")
def test_a_contact_that_is_none_is_invalid_input(server: StrictServer, target: str, channel: str) -> None:
    _, asked = after_password(server)
    more = {"challenge_channel": channel} if channel else {}

    answer = enrol(server, server.password_app, asked.token, target, **more)

    assert answer.error == INVALID_CONTACT
    assert heard(answer, strict.REGISTER_CHALLENGE) == strict.Heard.alike("invalid_input")


@pytest.mark.proves("V1-121")
def test_the_mailbox_of_the_first_factor_is_no_second_one(server: StrictServer) -> None:
    address = account_by_code(server)
    asked = first_factor_by_code(server, address, server.scope)

    assert enrol(server, server.otp_app, asked.token, address).error == INVALID_CONTACT
    assert enrol(server, server.otp_app, asked.token, new_address()).error == INVALID_CONTACT


@pytest.mark.parametrize("types", ["oob", "OOB", "oob redirect", "oob password redirect"])
@pytest.mark.proves("V1-122")
def test_no_redirect_is_demanded_in_the_list(server: StrictServer, types: str) -> None:
    _, asked = after_password(server)

    sent = enrol(server, server.password_app, asked.token, new_address(), challenge_type=types)

    assert sent.ok()["challenge_type"] == "oob"


@pytest.mark.proves("V1-122")
def test_a_list_is_demanded(server: StrictServer) -> None:
    _, asked = after_password(server)

    missing = enrol(server, server.password_app, asked.token, new_address(), challenge_type="")
    unknown = enrol(server, server.password_app, asked.token, new_address(), challenge_type="smoke")

    assert missing.error == ("invalid_request", "", 900144)
    assert unknown.error == ("invalid_request", "", 90023)


# The proof. -----------------------------------------------------------------------------------------


@pytest.mark.proves("V1-123")
def test_the_right_code_stores_the_method(server: StrictServer) -> None:
    address, asked = after_password(server)
    mailbox, app = new_address(), server.password_app
    sent = enrol(server, app, asked.token, mailbox)

    done = finish(server, app, sent.token, oob=server.code(mailbox, "enrol"))
    again = first_factor_by_password(server, address, server.scope)

    assert done.ok().body.keys() == {"continuation_token"}
    assert again.error == ("invalid_grant", "mfa_required", 50076)
    assert server.count(mailbox, "enrol") == 1


@pytest.mark.proves("V1-123")
def test_the_owner_is_told_at_the_sign_in_address(server: StrictServer) -> None:
    address = account_by_code(server)
    asked = first_factor_by_code(server, address, server.scope)

    register_phone(server, asked.token, new_number())

    server.arrived(address, "notice", 1)


@pytest.mark.proves("V1-123")
def test_without_the_code_nothing_is_stored(server: StrictServer) -> None:
    address, asked = after_password(server)
    enrol(server, server.password_app, asked.token, new_number()).ok()

    again = first_factor_by_password(server, address, server.scope)

    assert again.error == REGISTRATION_REQUIRED


@pytest.mark.proves("V1-124")
def test_a_wrong_code_may_be_followed_by_the_right_one(server: StrictServer) -> None:
    _, asked = after_password(server)
    mailbox, app = new_address(), server.password_app
    sent = enrol(server, app, asked.token, mailbox)
    code = server.code(mailbox, "enrol")

    first = finish(server, app, sent.token, oob=wrong(code))
    second = finish(server, app, sent.token, oob=code)

    assert first.error == WRONG_CODE
    assert heard(first, strict.REGISTER_CONTINUE) == strict.Heard.alike("wrong_code")
    assert second.status == 200


@pytest.mark.proves("V1-124")
def test_after_five_wrong_codes_the_flow_is_over(server: StrictServer) -> None:
    _, asked = after_password(server)
    mailbox, app = new_address(), server.password_app
    sent = enrol(server, app, asked.token, mailbox)
    code = server.code(mailbox, "enrol")

    tries = [finish(server, app, sent.token, oob=wrong(code)).error for _ in range(5)]
    right = finish(server, app, sent.token, oob=code)
    other = enrol(server, app, sent.token, new_address())

    assert tries == [WRONG_CODE] * 5
    assert right.error == other.error == ("invalid_request", "", 55200)


@pytest.mark.proves("V1-124")
def test_the_code_of_one_contact_does_not_prove_another(server: StrictServer) -> None:
    _, asked = after_password(server)
    first, second, app = new_address(), new_address(), server.password_app
    sent = enrol(server, app, asked.token, first)
    code = server.code(first, "enrol")
    sent = enrol(server, app, sent.token, second)
    other = server.code(second, "enrol")

    outdated = finish(server, app, sent.token, oob=code if code != other else wrong(other))
    current = finish(server, app, sent.token, oob=other)

    assert outdated.error == WRONG_CODE
    assert current.status == 200


@pytest.mark.proves("V1-125")
def test_a_code_cannot_be_left_out(server: StrictServer) -> None:
    _, asked = after_password(server)
    sent = enrol(server, server.password_app, asked.token, new_address())

    answer = finish(server, server.password_app, sent.token, "continuation_token")

    assert answer.error == ("invalid_grant", "", 55200)


@pytest.mark.parametrize(
    ("grant", "error"),
    [("", ("invalid_request", "", 900144)), ("password", ("invalid_grant", "", 70003))],
)
@pytest.mark.proves("V1-125")
def test_no_other_grant_finishes_a_registration(
    server: StrictServer, grant: str, error: tuple[str, str, int]
) -> None:
    _, asked = after_password(server)
    sent = enrol(server, server.password_app, asked.token, new_address())

    assert finish(server, server.password_app, sent.token, grant, oob="12345678").error == error


# What a sign-up has proven already. ---------------------------------------------------------------------


@pytest.mark.parametrize("spelling", [str, str.upper])
@pytest.mark.proves("V1-126")
def test_the_address_of_the_sign_up_is_preverified(server: StrictServer, spelling: type[str]) -> None:
    address, asked = after_sign_up(server)

    answer = enrol(server, server.password_app, asked.token, spelling(address), challenge_channel="email")

    assert asked.error == REGISTRATION_REQUIRED
    assert answer.ok().body.keys() == {"continuation_token", "challenge_type"}
    assert answer["challenge_type"] == "preverified"
    finish(server, server.password_app, answer.token, "continuation_token").ok()
    server.arrived(address, "notice", 1)
    assert server.count(address, "enrol") == 0


@pytest.mark.proves("V1-127")
def test_another_address_than_that_of_the_sign_up_is_sent_a_code(server: StrictServer) -> None:
    _, asked = after_sign_up(server)
    mailbox = new_address()

    answer = enrol(server, server.password_app, asked.token, mailbox)

    assert answer.ok()["challenge_type"] == "oob"
    assert server.code(mailbox, "enrol")


@pytest.mark.proves("V1-128")
def test_a_sign_in_has_verified_no_address(server: StrictServer) -> None:
    address, asked = after_password(server)

    answer = enrol(server, server.password_app, asked.token, address)

    assert answer.ok()["challenge_type"] == "oob"
    assert server.code(address, "enrol")


@pytest.mark.proves("V1-129")
def test_what_is_preverified_is_finished_without_a_code(server: StrictServer) -> None:
    address, asked = after_sign_up(server)
    app = server.password_app
    preverified = enrol(server, app, asked.token, address)

    done = finish(server, app, preverified.token, "continuation_token")
    answer = redeemed(server, app, done.token)

    assert done.ok().body.keys() == {"continuation_token"}
    _, claims = strict.jwt(answer.ok()["id_token"])
    assert claims["amr"] == ["pwd", "otp", "mfa"]


@pytest.mark.proves("V1-129")
def test_after_preverified_another_contact_may_be_chosen(server: StrictServer) -> None:
    address, asked = after_sign_up(server)
    app, number = server.password_app, new_number()
    preverified = enrol(server, app, asked.token, address)

    sent = enrol(server, app, preverified.token, number)
    early = finish(server, app, sent.token, "continuation_token")
    done = finish(server, app, sent.token, oob=server.code(number, "enrol"))

    assert sent.ok()["challenge_type"] == "oob"
    assert early.error == ("invalid_grant", "", 55200)
    assert done.status == 200


# What follows. --------------------------------------------------------------------------------------


@pytest.mark.proves("V1-130", "V1-131")
def test_after_a_registration_there_are_tokens_without_a_username(server: StrictServer) -> None:
    address = account_by_code(server)
    asked = first_factor_by_code(server, address, server.scope)
    done = register_phone(server, asked.token, new_number())

    answer = redeemed(server, server.otp_app, done.token)

    _, claims = strict.jwt(answer.ok()["id_token"])
    assert claims["preferred_username"] == address
    assert claims["amr"] == ["otp", "sms", "mfa"]


@pytest.mark.parametrize("scope", [OPENID, demo.API_SCOPE, None])
@pytest.mark.proves("V1-131")
def test_no_further_factor_is_asked_after_a_registration(server: StrictServer, scope: str | None) -> None:
    asked = first_factor_by_code(server, account_by_code(server), server.scope)
    done = register_phone(server, asked.token, new_number())

    answer = redeemed(server, server.otp_app, done.token, **({"scope": scope} if scope else {}))

    assert answer.status == 200
    assert server.scope in answer["scope"].split(), "what the first call asked for is remembered"


@pytest.mark.proves("V1-130")
def test_somebody_elses_username_is_refused(server: StrictServer) -> None:
    address = account_by_code(server)
    asked = first_factor_by_code(server, address, server.scope)
    done = register_phone(server, asked.token, new_number())

    other = redeemed(server, server.otp_app, done.token, username=account_by_code(server))
    own = redeemed(server, server.otp_app, done.token, username=address.upper())

    assert other.error == ("invalid_request", "", 90100)
    assert own.status == 200


@pytest.mark.proves("V1-132")
def test_the_next_sign_in_lists_the_new_method(server: StrictServer) -> None:
    address, app = account_by_code(server), server.otp_app
    number = new_number()
    asked = first_factor_by_code(server, address, server.scope)
    redeemed(server, app, register_phone(server, asked.token, number).token).ok()
    server.advance(31)

    required = first_factor_by_code(server, address, server.scope)
    methods = listed(server, app, required.token)
    seen = ids(server, number)
    sent = challenged(server, app, required.token, id=methods[0]["id"])
    answer = proven(server, app, sent.token, "mfa_oob", newest(server, number, "mfa", seen))

    assert [m["challenge_channel"] for m in methods] == ["sms"]
    assert answer.status == 200


@pytest.mark.proves("V1-132")
def test_the_next_sign_in_lists_the_preverified_mailbox(server: StrictServer) -> None:
    address, asked = after_sign_up(server)
    app = server.password_app
    preverified = enrol(server, app, asked.token, address)
    redeemed(server, app, finish(server, app, preverified.token, "continuation_token").token).ok()

    methods = listed(server, app, first_factor_by_password(server, address, server.scope).token)

    assert [m["challenge_channel"] for m in methods] == ["email"]


# Phones that get no text. -----------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["+79123456789", "+212612345678", "+18763456789"])
def test_a_number_of_a_closed_region_is_told_so(server: StrictServer, number: str) -> None:
    _, asked = after_password(server)

    answer = enrol(server, server.password_app, asked.token, number)

    assert answer.error == ("access_denied", "provider_blocked_by_admin", 550024)
    assert enrol(server, server.password_app, asked.token, new_number()).status == 200
    assert server.messages(number) == []


def test_a_blocked_number_is_told_so(world: World) -> None:
    _, asked = after_password(world)
    number = new_number()

    with world.changed(blocked_numbers=(number,)):
        answer = enrol(world, world.password_app, asked.token, number)

    assert answer.error == ("access_denied", "provider_blocked_by_rep", 550024)
    assert heard(answer, strict.REGISTER_CHALLENGE)[:2] == ("contact_blocked", "contact_blocked")
    assert world.messages(number) == []


def test_when_the_policy_is_withdrawn_the_app_starts_anew(world: World) -> None:
    address, asked = after_password(world)
    form = {"client_id": world.password_app, "continuation_token": asked.token}

    with world.changed(without=(demo.POLICY,)):
        answers = [
            world.post_form(strict.REGISTER_INTROSPECT, form),
            enrol(world, world.password_app, asked.token, new_number()),
        ]
        anew = first_factor_by_password(world, address, world.scope)

    assert [a.error for a in answers] == [("invalid_request", "", 55200)] * 2
    assert anew.status == 200


# Who may, and for how long. -------------------------------------------------------------------------


def place(text: str) -> Identifier:
    found = identifiers.phone(text) or identifiers.email(text)
    assert found is not None
    return found


@pytest.mark.proves("ENR-01", "ENR-05")
def test_whoever_has_a_second_factor_adds_or_changes_none_by_the_first_alone(world: World) -> None:
    """Another number is another method: nothing on the wire changes one, and the password alone registers none."""
    address, number, other = new_address(), new_number(), new_number()
    kept = world.person(address, password=PASSWORD, seconds=(place(number),), age=timedelta(days=2))
    asked = first_factor_by_password(world, address, world.scope)

    answers = [
        enrol(world, world.password_app, asked.token, target) for target in (other, number, new_address())
    ]
    listed_ = world.post(
        strict.REGISTER_INTROSPECT, client_id=world.password_app, continuation_token=asked.token
    )

    assert {answer.error[0] for answer in (*answers, listed_)} == {"invalid_request"}
    assert world.messages(other) == world.messages(number) == []
    assert set(kept) == {number}


@pytest.mark.proves("ENR-01")
def test_what_was_proven_more_than_ten_minutes_ago_registers_nothing(world: World) -> None:
    _, asked = after_password(world)
    sent = enrol(world, world.password_app, asked.token, new_number()).ok()
    world.advance(9 * 60)
    still = enrol(world, world.password_app, sent.token, new_number())
    world.advance(2 * 60)
    number = new_number()

    late = enrol(world, world.password_app, still.ok().token, number)

    assert late.error[0] == "expired_token"
    assert world.messages(number) == []
    assert enrol(world, world.password_app, still.token, number).error[0] != "", "the flow is over"


@pytest.mark.proves("ENR-07")
def test_no_owner_takes_a_method_away_and_when_an_administrator_did_the_next_is_registered_as_the_first(
    world: World,
) -> None:
    address, number = new_address(), new_number()
    world.person(address, password=PASSWORD, seconds=(place(number),), age=timedelta(days=2))
    assert not any("remove" in path or "delete" in path for path in READERS), "the wire has no such call"
    loaded = world.run(world.store.read(Needs(identifier=place(address).key)))
    (phone,) = (a for a in loaded.authenticators if a.target == place(number))

    world.write(PutAuthenticator(replace(phone, state="tombstoned")))
    asked = first_factor_by_password(world, address, world.scope)

    assert asked.error == REGISTRATION_REQUIRED
    assert enrol(world, world.password_app, asked.token, number).error == INVALID_CONTACT, (
        "ENR-02 holds again"
    )


@pytest.mark.proves("ENR-10")
def test_five_accounts_may_add_one_number_and_the_sixth_needs_an_administrator(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    number = new_number()

    def registers() -> Reply:
        seen = ids(world, number)
        _, asked = after_password(world)
        sent = enrol(world, world.password_app, asked.token, number)
        if sent.status != 200:
            return sent
        code = newest(world, number, "enrol", seen)
        return finish(world, world.password_app, sent.token, oob=code)

    answers = list[Reply]()
    for _ in range(6):
        answers.append(registers())
        world.advance(1200)  # A number gets three codes in ten minutes, and five in an hour.

    assert [answer.status for answer in answers] == [200] * 5 + [400]
    assert answers[5].error == INVALID_CONTACT
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR] == ["method:shared"]
