"""
Password reset: a code to a mailbox of the account, a new password, and then an ordinary sign-in.

Source: native-auth-v1 7; conditional-access 6.3; rows 163 to 180; D09, D11, D13, D36; SSPR-01 to SSPR-10.
"""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from msgspec.structs import replace

from genkan import identifiers
from genkan.engine.messages import PutAuthenticator, PutSubject
from genkan.engine.transaction import Loaded, Needs
from genkan.model import AccountRisk, Authenticator, Identifier, Kind
from genkan.policy.model import Users
from genkan.service import demo
from tests.server import Reply, new_address, new_number, newest
from tests.wire import strict
from tests.wire.journeys import (
    OPENID,
    PASSWORD,
    account_by_code,
    account_by_password,
    challenged,
    code_sent,
    first_factor_by_password,
    ids,
    listed,
    password_asked,
    proven,
    redeemed,
    wrong,
)
from tests.wire.policies import for_everybody
from tests.wire.servers import StrictServer, World
from tests.wire.walks import Elsewhere, Reset, SignUp

INVALID = ("invalid_request", "", 55200)
INVALID_AT_TOKEN = ("invalid_grant", "", 55200)
WRONG_CODE = ("invalid_grant", "invalid_oob_value", 50181)
NEW = "quiet otter by noon"


def reset_of(server: StrictServer, app: str = "") -> Reset:
    return Reset(server, app or server.password_app)


def mailbox(address: str) -> Identifier:
    found = identifiers.email(address)
    assert found is not None
    return found


def number(text: str) -> Identifier:
    found = identifiers.phone(text)
    assert found is not None
    return found


def stored(world: World, address: str) -> Loaded:
    """The account that an address has, and its authenticators."""
    return world.run(world.store.read(Needs(identifier=address)))


def signs_in(server: StrictServer, address: str, password: str) -> bool:
    answer = first_factor_by_password(server, address, OPENID, password)
    assert answer.error in (("", "", 0), ("invalid_grant", "", 50126))
    return answer.status == 200


# The start. -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [str, str.upper, lambda a: f" {a} "])
@pytest.mark.proves("V1-163")
def test_whoever_has_a_password_may_start(server: StrictServer, write: Any) -> None:
    address = account_by_password(server)
    seen = ids(server, address)

    answer = reset_of(server).start(write(address), address)

    assert answer.ok().body == {"continuation_token": answer.token}
    assert ids(server, address) == seen, "nothing is sent yet"


@pytest.mark.parametrize("app", ["otp", "password"])
@pytest.mark.proves("V1-164")
def test_nobody_is_not_found(server: StrictServer, app: str) -> None:
    answer = reset_of(server, server.told["apps"][app]).start(new_address())

    assert answer.error == ("user_not_found", "", 50034)


@pytest.mark.proves("V1-165")
def test_who_has_no_password_has_none_to_reset(server: StrictServer) -> None:
    answer = reset_of(server).start(account_by_code(server))

    assert answer.error == ("invalid_request", "", 500222)
    assert answer["error_codes"][0] == 500222, "iOS looks at the first"


@pytest.mark.parametrize("username", ["", " ", "ada@", "a b@example.com", "x" * 260])
def test_a_name_that_is_none_is_named_as_sdks_expect(server: StrictServer, username: str) -> None:
    answer = reset_of(server).start(username)

    assert answer.error == ("invalid_request", "", 90100)
    assert strict.USERNAME_INVALID in answer["error_description"]


def test_a_tenant_may_have_no_resets(world: World) -> None:
    world.person(address := new_address(), password=PASSWORD)

    with world.changed(self_service_reset=False):
        answers = [reset_of(world).start(name) for name in (address, new_address())]

    assert [answer.error for answer in answers] == [("invalid_request", "", 90023)] * 2


@pytest.mark.parametrize("write", [str, str.upper])
@pytest.mark.proves("V1-166")
def test_a_username_will_do_where_there_are_usernames_and_the_code_goes_to_the_address(
    world: World, write: Any
) -> None:
    address, username = new_address(), f"ada-{new_number()[5:]}"
    world.person(address, password=PASSWORD, username=username)

    with world.changed(usernames=True):
        walk = reset_of(world).done(write(username), NEW, address)
        tokens = walk.redeem(username=username)
    without = reset_of(world).start(username)

    assert strict.jwt(tokens.ok()["id_token"])[1]["preferred_username"] == address
    assert without.error == ("user_not_found", "", 50034)
    assert signs_in(world, address, NEW)


# The code. ------------------------------------------------------------------------------------------


@pytest.mark.proves("V1-167")
def test_the_challenge_sends_a_code_to_the_address_of_the_account(server: StrictServer) -> None:
    address = account_by_password(server)
    walk = reset_of(server)
    walk.start(address).ok()

    answer = walk.challenge()

    assert answer.ok().body == {
        "continuation_token": answer.token,
        "challenge_type": "oob",
        "binding_method": "prompt",
        "challenge_channel": "email",
        "challenge_target_label": f"a***{address[15]}@ex****e.com",
        "code_length": len(server.code(address, "reset_password")),
        "interval": 300,
    }


@pytest.mark.proves("V1-168", "SSPR-10")
def test_the_code_goes_to_another_mailbox_that_is_registered_as_method(world: World) -> None:
    address, other = new_address(), new_address().replace("ada", "work")
    world.person(address, password=PASSWORD, seconds=(mailbox(other),), age=timedelta(hours=13))
    walk = reset_of(world)
    walk.start(address, other).ok()

    code = walk.send()

    assert walk.heard[-1]["challenge_target_label"] == f"w***{other[16]}@ex****e.com"
    assert world.count(address, "reset_password") == 0
    assert walk.prove(code).status == 200


@pytest.mark.proves("V1-168")
def test_but_not_where_no_policy_wants_a_second_factor_of_the_person(world: World) -> None:
    address, other, guest = new_address(), new_address().replace("ada", "work"), new_address()
    world.person(address, password=PASSWORD, seconds=(mailbox(other),), age=timedelta(hours=13))
    world.person(guest, password=PASSWORD, seconds=(mailbox(other + ".uk"),), age=timedelta(hours=13))
    subject = stored(world, guest).subject
    assert subject is not None
    policy = next(p for p in world.directory.policies if p.id == demo.POLICY)
    others = tuple(p.id for p in world.directory.policies if p.id != demo.POLICY)
    of_all_but_guest = replace(
        policy,
        conditions=replace(
            policy.conditions, users=Users(include_users=("All",), exclude_users=(subject.id,))
        ),
    )

    with world.changed(of_all_but_guest, without=others):
        reset_of(world).proven(guest)
        reset_of(world).proven(address, other)
    with world.changed(replace(policy, state="enabledForReportingButNotEnforced"), without=others):
        reset_of(world).proven(address)
    with world.changed(without=(policy.id, *others)):
        reset_of(world).proven(address)


@pytest.mark.proves("V1-168", "SSPR-10")
def test_a_method_that_is_younger_than_twelve_hours_gets_no_code(server: StrictServer) -> None:
    address, other = new_address(), new_address()
    walk = SignUp(server, server.password_app)
    walk.start(address, password=PASSWORD, attributes={"displayName": "Ada"})
    walk.prove(walk.send()).ok()
    walk.redeem(scope=server.scope)
    walk.post(
        strict.REGISTER_CHALLENGE, challenge_type="oob", challenge_target=other, challenge_channel="email"
    ).ok()
    enrolled = server.code(other, "enrol")
    walk.post(strict.REGISTER_CONTINUE, grant_type="oob", oob=enrolled).ok()
    walk.redeem().ok()

    reset_of(server).proven(address, address)
    server.advance(timedelta(hours=11, minutes=58).total_seconds())
    reset_of(server).proven(address, address)
    young = server.count(other, "reset_password")
    server.advance(180)
    reset_of(server).proven(address, other)

    assert young == 0


@pytest.mark.proves("SSPR-10")
def test_the_address_proven_at_sign_up_needs_no_time_to_cool(server: StrictServer) -> None:
    address = account_by_password(server)

    reset_of(server).done(address, NEW)

    assert signs_in(server, address, NEW)


@pytest.mark.proves("V1-169")
def test_a_phone_gets_no_code_of_a_reset(world: World) -> None:
    address, phone = new_address(), new_number()
    world.person(address, password=PASSWORD, seconds=(number(phone),), age=timedelta(days=30))

    reset_of(world).proven(address)

    assert world.messages(phone) == []


@pytest.mark.proves("V1-170")
def test_a_right_code_says_how_long_the_new_password_may_take(server: StrictServer) -> None:
    walk = reset_of(server)
    walk.start(account_by_password(server)).ok()

    answer = walk.prove(walk.send())

    assert answer.ok().body == {"continuation_token": answer.token, "expires_in": 600}
    server.advance(601)
    assert walk.submit(NEW).error == ("expired_token", "", 552003)


@pytest.mark.proves("V1-171")
def test_a_wrong_code_proves_nothing(server: StrictServer) -> None:
    walk = reset_of(server)
    walk.start(account_by_password(server)).ok()
    code = walk.send()

    refused = walk.prove(wrong(code))
    early = walk.submit(NEW)

    assert refused.error == WRONG_CODE
    assert early.error == INVALID
    assert walk.prove(code).status == 200


def test_after_a_resend_only_the_newest_code_is_right(server: StrictServer) -> None:
    walk = reset_of(server)
    walk.start(account_by_password(server)).ok()
    first = walk.send()
    second = walk.send()

    assert walk.prove(first).error == WRONG_CODE
    assert walk.prove(second).status == 200


def test_after_five_wrong_codes_the_flow_is_over(server: StrictServer) -> None:
    walk = reset_of(server)
    walk.start(address := account_by_password(server)).ok()
    code = walk.send()

    refused = [walk.prove(wrong(code)).error for _ in range(5)]

    assert refused == [WRONG_CODE] * 5
    assert walk.prove(code).error == INVALID
    assert walk.challenge().error == INVALID
    assert reset_of(server).proven(address).token


@pytest.mark.parametrize("grant", ["", "password", "attributes", "continuation_token", "OOB"])
def test_another_grant_than_the_code_is_refused(server: StrictServer, grant: str) -> None:
    walk = reset_of(server)
    walk.start(account_by_password(server)).ok()
    code = walk.send()

    answer = walk.post(strict.RESET_CONTINUE, grant_type=grant, oob=code)

    assert answer.error == (("invalid_grant", "", 70003) if grant else ("invalid_request", "", 900144))
    assert walk.prove(code).status == 200


# The new password. ----------------------------------------------------------------------------------


@pytest.mark.proves("V1-172")
def test_d36_a_good_password_is_in_place_when_the_answer_comes(server: StrictServer) -> None:
    address = account_by_password(server)
    walk = reset_of(server).proven(address)

    answer = walk.submit(NEW)

    assert answer.ok().body == {"continuation_token": answer.token, "poll_interval": 2}
    assert signs_in(server, address, NEW)
    assert walk.poll()["status"] == "succeeded"


REFUSED_PASSWORDS = {
    "password_too_short": "s3Cret!",
    "password_too_long": "lively heron at dusk " * 13,
    "password_too_weak": "password1",
    "password_is_invalid": "lively heron\x07 at dusk",
    "password_recently_used": PASSWORD,
}


@pytest.mark.parametrize("suberror", REFUSED_PASSWORDS)
@pytest.mark.proves("V1-173", "PWD-07")
def test_a_refused_password_is_named_and_the_step_can_be_repeated(
    server: StrictServer, suberror: str
) -> None:
    walk = reset_of(server).proven(account_by_password(server))
    token = walk.token

    refused = walk.submit(REFUSED_PASSWORDS[suberror])
    walk.token = token
    accepted = walk.submit(NEW)

    assert refused.error == ("invalid_grant", suberror, 399246)
    assert REFUSED_PASSWORDS[suberror] not in json.dumps(refused.body)
    assert refused.token == ""
    assert accepted.status == 200


@pytest.mark.proves("V1-173", "PWD-04", "PWD-07")
def test_neither_address_nor_name_nor_username_becomes_a_password(world: World) -> None:
    address, username = new_address(), f"ada-of-lovelace-{new_number()[5:]}"
    world.person(address, password=PASSWORD, username=username)
    subject = stored(world, address).subject
    assert subject is not None
    world.write(PutSubject(replace(subject, attributes={"displayName": "Augusta of Lovelace Hall"})))

    with world.changed(usernames=True):
        walk = reset_of(world).proven(username, address)
        refused = [walk.submit(word) for word in (address, username.upper(), "augusta of lovelace HALL")]

    assert [answer.error for answer in refused] == [("invalid_grant", "password_banned", 399246)] * 3
    assert walk.submit(NEW).status == 200


@pytest.mark.proves("V1-174")
def test_neither_the_present_nor_a_recent_password_is_a_new_one(server: StrictServer) -> None:
    address = account_by_password(server)
    passwords = [f"quiet otter number {n}" for n in range(5)]
    for password in passwords:
        reset_of(server).done(address, password)
        server.advance(3601)

    walk = reset_of(server).proven(address)
    refused = [walk.submit(password).error[1] for password in passwords]
    oldest = walk.submit(PASSWORD)

    assert refused == ["password_recently_used"] * 5
    assert oldest.status == 200


@pytest.mark.proves("V1-173")
def test_a_new_password_is_needed(server: StrictServer) -> None:
    walk = reset_of(server).proven(account_by_password(server))

    assert walk.post(strict.RESET_SUBMIT).error == ("invalid_request", "", 900144)
    assert walk.submit("").error == ("invalid_request", "", 900144)
    assert walk.submit(NEW).status == 200


@pytest.mark.proves("V1-178")
def test_the_old_password_is_dead_and_the_new_one_works(server: StrictServer) -> None:
    address = account_by_password(server)

    reset_of(server).done(address, NEW)

    assert not signs_in(server, address, PASSWORD)
    assert signs_in(server, address, NEW)


def test_a_password_keeps_its_blanks(server: StrictServer) -> None:
    address = account_by_password(server)

    reset_of(server).done(address, f"  {NEW} ")

    assert not signs_in(server, address, NEW)
    assert signs_in(server, address, f"  {NEW} ")


# Polling. -------------------------------------------------------------------------------------------


@pytest.mark.proves("V1-175", "V1-176")
def test_d13_every_poll_says_succeeded_and_gives_a_token(server: StrictServer) -> None:
    walk = reset_of(server).proven(account_by_password(server))
    submitted = walk.submit(NEW).token

    polls = []
    for _ in range(6):
        walk.token = submitted
        polls.append(walk.poll().ok())

    assert [poll["status"] for poll in polls] == ["succeeded"] * 6
    assert len({submitted, *(poll.token for poll in polls)}) == 7
    assert redeemed(server, walk.app, polls[2].token).status == 200


@pytest.mark.proves("V1-175")
def test_polling_ends_with_the_flow(server: StrictServer) -> None:
    walk = reset_of(server).done(account_by_password(server), NEW)

    walk.redeem().ok()

    assert walk.poll().error == INVALID
    assert walk.redeem().error == INVALID_AT_TOKEN


@pytest.mark.proves("V1-176")
def test_there_is_nothing_to_poll_before_the_password_was_sent(server: StrictServer) -> None:
    walk = reset_of(server)
    walk.start(account_by_password(server)).ok()
    early = [walk.poll().error]
    code = walk.send()
    early.append(walk.poll().error)
    walk.prove(code).ok()
    early.append(walk.poll().error)

    assert early == [INVALID] * 3


@pytest.mark.proves("V1-177")
def test_an_expired_poll_is_told_so(server: StrictServer) -> None:
    walk = reset_of(server).done(account_by_password(server), NEW)

    server.advance(601)

    assert walk.poll().error == ("expired_token", "", 552003)
    assert walk.redeem().error == ("expired_token", "", 552003)


@pytest.mark.proves("SSPR-05")
def test_more_than_ten_polls_in_a_second_have_to_wait_and_the_flow_lives_on(world: World) -> None:
    world.person(address := new_address(), password=PASSWORD)
    walk = reset_of(world).proven(address)
    submitted = walk.submit(NEW).ok().token
    form = {"client_id": walk.app, "continuation_token": submitted}

    answers = []
    for _ in range(40):  # A busy machine may need more than a second for the first eleven.
        answers.append(world.post_form(strict.RESET_POLL, form))
        if answers[-1].status != 200:
            break

    assert len(answers) > 10
    assert answers[-1].status == 429
    assert answers[-1].error == ("temporarily_unavailable", "", 90055)
    assert answers[-1].headers["retry-after"] == "1"
    world.advance(1)
    assert world.post_form(strict.RESET_POLL, form).ok()["status"] == "succeeded"
    assert redeemed(world, walk.app, submitted).status == 200


@pytest.mark.proves("SSPR-05")
def test_another_client_learns_nothing_from_a_poll(server: StrictServer) -> None:
    walk = reset_of(server).done(account_by_password(server), NEW)

    form = {"client_id": server.otp_app, "continuation_token": walk.token}

    assert server.post_form(strict.RESET_POLL, form).error == INVALID
    assert walk.poll().status == 200


# Signed in at once. ---------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.proves("V1-179")
def test_the_person_is_signed_in(server: StrictServer, named: bool) -> None:
    address = account_by_password(server)
    walk = reset_of(server).done(address, NEW)

    tokens = walk.redeem(**({"username": address} if named else {}))

    claims = strict.jwt(tokens.ok()["id_token"])[1]
    assert claims["preferred_username"] == address
    assert claims["amr"] == ["pwd"], "the code of the reset is no factor"


def test_another_persons_name_is_refused(server: StrictServer) -> None:
    walk = reset_of(server).done(account_by_password(server), NEW)

    answer = walk.redeem(username=account_by_code(server))

    assert answer.error == ("invalid_request", "", 90100)
    assert walk.redeem().status == 200


@pytest.mark.proves("V1-179", "SSPR-01")
def test_the_second_factor_is_still_asked_for(world: World) -> None:
    address, phone = new_address(), new_number()
    world.person(address, password=PASSWORD, seconds=(number(phone),), age=timedelta(days=30))
    before = [a for a in stored(world, address).authenticators if a.strong]
    walk = reset_of(world).done(address, NEW)

    required = walk.redeem(scope=world.scope)
    methods = listed(world, walk.app, required.token)
    sent = challenged(world, walk.app, required.token, id=methods[0]["id"])
    tokens = proven(world, walk.app, sent.token, "mfa_oob", world.code(phone, "mfa"))

    assert required.error == ("invalid_grant", "mfa_required", 50076)
    assert [method["challenge_channel"] for method in methods] == ["sms"]
    assert strict.jwt(tokens.ok()["access_token"])[1]["amr"] == ["pwd", "sms", "mfa"]
    assert [a for a in stored(world, address).authenticators if a.strong] == before


@pytest.mark.proves("SSPR-07")
def test_after_a_reset_and_a_text_message_the_account_is_at_medium_risk_for_a_day(world: World) -> None:
    """So whatever takes an account over can be refused by policy, while its owner is signed in."""
    address, phone = new_address(), new_number()
    world.person(address, password=PASSWORD, seconds=(number(phone),), age=timedelta(days=30))
    asks_c1 = json.dumps({"access_token": {"acrs": {"essential": True, "value": "c1"}}})
    guarded = for_everybody("block", contexts=("c1",), user_risk_levels=("medium",))

    def export(password: str) -> tuple[str, str, int]:
        return first_factor_by_password(world, address, OPENID, password, claims=asks_c1).error

    with world.changed(guarded):
        assert export(PASSWORD) == ("", "", 0)
        walk = reset_of(world).done(address, NEW)
        required = walk.redeem(scope=world.scope)
        registering = world.post(
            "/register/v1.0/introspect", client_id=walk.app, continuation_token=required.token
        )
        sent = challenged(world, walk.app, required.token)
        tokens = proven(world, walk.app, sent.token, "mfa_oob", world.code(phone, "mfa"))

        assert tokens.ok()["token_type"] == "Bearer"
        assert registering.error[0] == "invalid_request", "nor may a method be added"
        assert world.sign_ins(address)[0].account_risk == "medium"
        assert export(NEW) == ("invalid_grant", "message_only", 53003)
        with world.changed(coresidency="off"):
            assert export(NEW) == ("", "", 0)
        world.advance(24 * 3600)
        assert export(NEW) == ("", "", 0)


@pytest.mark.proves("SSPR-07")
@pytest.mark.parametrize("beside", [False, True], ids=["a phone", "a phone and another mailbox"])
def test_where_a_tenant_is_strict_no_code_is_a_second_factor_for_a_day_after_a_reset(
    world: World, beside: bool
) -> None:
    address, phone, other = new_address(), new_number(), new_address()
    seconds = (number(phone), *((mailbox(other),) if beside else ()))
    world.person(address, password=PASSWORD, seconds=seconds, age=timedelta(days=30))
    waits = ("invalid_grant", "", 50079)
    with world.changed(coresidency="strict"):
        walk = reset_of(world).done(address, NEW, other if beside else "")
        automatic = walk.redeem(scope=world.scope)
        fresh = first_factor_by_password(world, address, world.scope, NEW)

        assert [automatic.error, fresh.error] == [waits, waits]
        assert "24 hours" in fresh["error_description"]
        assert "continuation_token" not in {**automatic.body, **fresh.body}
        assert [m["purpose"] for m in world.messages(phone)] == ["notice"]
        world.advance(24 * 3600)
        asked = first_factor_by_password(world, address, world.scope, NEW)
    assert asked.error == ("invalid_grant", "mfa_required", 50076)


@pytest.mark.proves("SSPR-07")
@pytest.mark.parametrize("seconds", ["a mailbox", "a passkey", "none"])
def test_who_has_something_off_the_phone_or_no_phone_is_not_held_up(world: World, seconds: str) -> None:
    address, phone = new_address(), new_number()
    held = {"a mailbox": (mailbox(address),), "a passkey": (number(phone),), "none": ()}[seconds]
    world.person(address, password=PASSWORD, seconds=held, age=timedelta(hours=1))
    if seconds == "a passkey":
        key = Authenticator(
            id=str(uuid4()), subject=world.subject(address).id, kind=Kind.PASSKEY, created_at=world.now
        )
        world.write(PutAuthenticator(key))
    with world.changed(coresidency="strict"):
        reset_of(world).done(address, NEW)
        fresh = first_factor_by_password(world, address, world.scope, NEW)

    assert fresh.error[1] == ("registration_required" if seconds == "none" else "mfa_required")


@pytest.mark.proves("SSPR-07")
def test_a_reset_that_follows_a_second_factor_is_a_change_of_password_and_no_risk(world: World) -> None:
    """Else a policy that asks for a new password of risky accounts would ask for it again and again."""
    address, phone = new_address(), new_number()
    world.person(address, password=PASSWORD, seconds=(number(phone),), age=timedelta(days=30))
    world.write(PutSubject(replace(world.subject(address), risk=AccountRisk(level="medium", state="atRisk"))))
    change = for_everybody("mfa", "passwordChange", operator="AND", user_risk_levels=("medium",))
    with world.changed(change):
        required = first_factor_by_password(world, address, OPENID)
        sent = challenged(world, world.password_app, required.token)
        told = proven(world, world.password_app, sent.token, "mfa_oob", world.code(phone, "mfa"))
        walk = reset_of(world).done(address, NEW)

        assert told.error[2] == 50142
        assert walk.redeem(scope=OPENID).ok()["token_type"] == "Bearer"
        assert world.sign_ins(address)[0].account_risk == "none"


@pytest.mark.proves("SSPR-01", "SSPR-07")
def test_d11_the_mailbox_of_the_reset_is_no_second_factor(world: World) -> None:
    address = new_address()
    world.person(address, password=PASSWORD, seconds=(mailbox(address),), age=timedelta(days=30))
    walk = reset_of(world).done(address, NEW)

    answer = walk.redeem(scope=world.scope)

    assert answer.error == ("invalid_grant", "", 50079)
    assert "sign in again" in answer["error_description"]
    fresh = first_factor_by_password(world, address, world.scope, NEW)
    assert fresh.error == ("invalid_grant", "mfa_required", 50076)


@pytest.mark.proves("SSPR-01")
def test_d11_nor_is_another_mailbox_to_which_its_code_went(world: World) -> None:
    address, other, phone = new_address(), new_address(), new_number()
    seconds = (mailbox(other), number(phone))
    world.person(address, password=PASSWORD, seconds=seconds, age=timedelta(days=30))
    walk = reset_of(world).done(address, NEW, other)

    required = walk.redeem(scope=world.scope)

    assert [m["challenge_channel"] for m in listed(world, walk.app, required.token)] == ["sms"]


@pytest.mark.proves("V1-179")
def test_who_has_no_method_yet_registers_one(world: World) -> None:
    world.person(address := new_address(), password=PASSWORD, age=timedelta(days=30))
    walk = reset_of(world).done(address, NEW)

    answer = walk.redeem(scope=world.scope)

    assert answer.error == ("invalid_grant", "registration_required", 50079)
    offered = walk.post(strict.REGISTER_INTROSPECT).ok()["methods"]
    assert [method["id"] for method in offered] == ["sms", "email"]
    assert [method["login_hint"] for method in offered] == ["", ""], "nothing prefilled that would be refused"
    own = walk.post(
        strict.REGISTER_CHALLENGE, challenge_type="oob", challenge_target=address, challenge_channel="email"
    )
    assert own.error == ("invalid_request", "", 901001), "its mailbox is spent in this flow"


@pytest.mark.proves("V1-053", "V1-057", "V1-179")
def test_d09_the_browser_is_named_only_when_tokens_are_asked_for(server: StrictServer) -> None:
    address = account_by_password(server)
    walk = reset_of(server)
    walk.start(address, capabilities="").ok()
    walk.prove(walk.send()).ok()

    submitted, polled = walk.submit(NEW), walk.poll()
    answer = walk.redeem(scope=server.scope)

    assert "challenge_type" not in {**submitted.body, **polled.body}
    assert answer.ok()["challenge_type"] == "redirect"
    assert signs_in(server, address, NEW)


@pytest.mark.proves("PWD-10")
def test_a_password_that_must_be_changed_is_changed_by_a_reset(world: World) -> None:
    world.person(address := new_address(), password=PASSWORD, must_change_password=True)
    before = first_factor_by_password(world, address, OPENID)

    walk = reset_of(world).done(address, NEW)
    tokens = walk.redeem()

    assert before.error == ("invalid_request", "", 50142)
    assert tokens.status == 200
    assert signs_in(world, address, NEW)


def test_who_only_guesses_does_not_learn_that_a_password_must_be_changed(world: World) -> None:
    world.person(address := new_address(), password=PASSWORD, must_change_password=True)

    answer = first_factor_by_password(world, address, OPENID, NEW)

    assert answer.error == ("invalid_grant", "", 50126)


def test_a_disabled_account_is_told_so_after_the_code(world: World) -> None:
    world.person(address := new_address(), password=PASSWORD)
    subject = stored(world, address).subject
    assert subject is not None
    world.write(PutSubject(replace(subject, status="disabled")))
    walk = reset_of(world)
    walk.start(address).ok()

    answer = walk.prove(walk.send())

    assert answer.error == ("invalid_grant", "", 50057)
    assert walk.submit(NEW).error == INVALID


# What ends, and who is told. --------------------------------------------------------------------------


def refreshed(server: StrictServer, app: str, token: str) -> Reply:
    return server.post_form(
        strict.TOKEN, {"client_id": app, "grant_type": "refresh_token", "refresh_token": token}
    )


@pytest.mark.proves("V1-180")
def test_every_earlier_session_is_over_and_the_new_one_lives(server: StrictServer) -> None:
    address = account_by_password(server)
    apps = (server.password_app, server.otp_app)
    earlier = {}
    for app in apps:
        asked = challenged(server, app, Reset(server, app).post(**sign_in_form(address)).ok().token)
        earlier[app] = proven(server, app, asked.token, "password", PASSWORD).ok()["refresh_token"]

    walk = reset_of(server).done(address, NEW)
    own = walk.redeem().ok()["refresh_token"]

    for app in apps:
        assert refreshed(server, app, earlier[app]).error == ("invalid_grant", "bad_token", 50173)
    assert refreshed(server, walk.app, own).status == 200


def sign_in_form(address: str) -> dict[str, str]:
    return {"endpoint": strict.INITIATE, "username": address, "challenge_type": "oob password redirect"}


def test_every_other_flow_of_the_account_is_over(world: World) -> None:
    address, phone = new_address(), new_number()
    world.person(address, password=PASSWORD, seconds=(number(phone),), age=timedelta(days=30))
    app = world.password_app
    at_password = password_asked(world, address)
    at_second = first_factor_by_password(world, address, world.scope)
    other_reset = reset_of(world).proven(address)

    reset_of(world).done(address, NEW)

    assert proven(world, app, at_password.token, "password", NEW).error == INVALID_AT_TOKEN
    assert proven(world, app, at_password.token, "password", PASSWORD).error == INVALID_AT_TOKEN
    form = {"client_id": app, "continuation_token": at_second.token}
    assert world.post_form(strict.INTROSPECT, form).error == INVALID
    assert other_reset.submit("a third lively heron").error == INVALID
    assert signs_in(world, address, NEW)


def test_the_owner_is_told_at_every_mailbox_and_number(world: World) -> None:
    address, other, phone = new_address(), new_address(), new_number()
    seconds = (mailbox(other), number(phone), mailbox(address))
    world.person(address, password=PASSWORD, seconds=seconds, age=timedelta(days=30))

    reset_of(world).done(address, NEW, other)

    told = {to: newest_notice(world, to) for to in (address, other, phone)}
    assert "The password of your account was changed" in told[address]["subject"] + told[address]["text"]
    assert "Your password was changed" in told[other]["subject"]
    assert told[phone]["channel"] == "sms"
    assert [world.count(to, "notice") for to in told] == [1, 1, 1]


def newest_notice(world: World, to: str) -> dict[str, Any]:
    """The notice that has arrived, waited for."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if found := [m for m in world.messages(to) if m["purpose"] == "notice"]:
            return found[0]
        time.sleep(0.01)
    raise AssertionError(f"no notice arrived for {to}")


def test_a_number_to_which_no_code_would_go_gets_no_notice_either(world: World) -> None:
    address, phone = new_address(), new_number()
    world.person(address, password=PASSWORD, seconds=(number(phone),), age=timedelta(days=30))

    with world.changed(blocked_numbers=(phone,)):
        reset_of(world).done(address, NEW)
        newest_notice(world, address)

    assert world.messages(phone) == []


# Nothing without a right code. ------------------------------------------------------------------------


@pytest.mark.proves("SSPR-03")
def test_a_hundred_resets_that_were_started_change_nothing(world: World) -> None:
    world.person(address := new_address(), password=PASSWORD)
    before = stored(world, address)
    session = first_factor_by_password(world, address, OPENID).ok()["refresh_token"]

    for _ in range(100):
        reset_of(world).start(address).ok()
    for _ in range(3):
        walk = reset_of(world)
        walk.start(address).ok()
        walk.prove(wrong(walk.send()))

    after = stored(world, address)
    assert (after.subject, after.authenticators) == (before.subject, before.authenticators)
    assert signs_in(world, address, PASSWORD)
    assert refreshed(world, world.password_app, session).status == 200


@pytest.mark.proves("SSPR-02")
def test_no_token_but_that_of_a_right_code_sets_a_password(server: StrictServer) -> None:
    address = account_by_password(server)
    walk = reset_of(server)
    walk.start(address).ok()
    handles = {"started": walk.token}
    code = walk.send()
    handles["sent"] = walk.token
    walk.prove(wrong(code))
    handles["wrong code"] = walk.token
    handles["sign-in"] = password_asked(server, address).token
    sign_up = SignUp(server, server.password_app).ready_for_password(new_address())
    handles["sign-up"] = sign_up.token

    for name, token in handles.items():
        for path in (strict.RESET_SUBMIT, strict.SIGNUP_CONTINUE):
            if (name, path) == ("sign-up", strict.SIGNUP_CONTINUE):
                continue
            form = {"client_id": walk.app, "continuation_token": token, "grant_type": "password"}
            answer = server.post_form(path, {**form, "new_password": NEW, "password": NEW})
            assert answer.error == INVALID, (name, path)

    assert signs_in(server, address, PASSWORD)
    assert walk.prove(code).status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.proves("SSPR-06")
def test_a_reset_has_no_links_and_whoever_looks_ahead_uses_nothing_up(
    server: StrictServer, method: str
) -> None:
    address = account_by_password(server)
    walk = reset_of(server)
    walk.start(address).ok()
    code = walk.send()
    (message,) = [m for m in server.messages(address) if m["purpose"] == "reset_password"]
    form = {"client_id": walk.app, "continuation_token": walk.token, "grant_type": "oob", "oob": code}

    looked = [
        server.http.request(method, f"{server.base}/dev{path}", params={**form, "new_password": NEW})
        for path in (strict.RESET_CHALLENGE, strict.RESET_CONTINUE, strict.RESET_SUBMIT, strict.RESET_POLL)
    ]

    assert "http" not in json.dumps(message).replace(message["id"], "")
    assert [answer.status_code for answer in looked] == [405] * 4
    assert walk.prove(code).status == 200
    assert signs_in(server, address, PASSWORD)


@pytest.mark.proves("SSPR-02")
def test_the_code_of_another_flow_is_of_no_use(server: StrictServer) -> None:
    address = account_by_password(server)
    theirs, own = reset_of(server), reset_of(server)
    theirs.start(address).ok()
    own.start(address).ok()
    code = own.send()
    theirs.send()

    assert theirs.prove(code).error == WRONG_CODE
    assert own.prove(code).status == 200


@pytest.mark.proves("SSPR-02")
def test_one_code_sets_one_password(server: StrictServer) -> None:
    address = account_by_password(server)
    walk = reset_of(server).proven(address)
    token = walk.token
    walk.submit(NEW).ok()

    walk.token = token
    again = walk.submit("a third lively heron")

    assert again.error == INVALID
    assert signs_in(server, address, NEW)


# How often. -----------------------------------------------------------------------------------------


@pytest.mark.proves("SSPR-08")
def test_three_resets_an_hour_may_send_codes_and_a_resend_is_none(server: StrictServer) -> None:
    address, too_many = account_by_password(server), ("invalid_request", "", 701014)
    walks = [reset_of(server) for _ in range(4)]
    for walk in walks:
        walk.start(address).ok()
        server.advance(60)

    sent = [walk.challenge().error for walk in walks]
    resent = walks[0].challenge()
    server.arrived(address, "reset_password", 4)
    server.advance(3601)

    assert sent == [("", "", 0)] * 3 + [too_many]
    assert resent.status == 200
    assert reset_of(server).proven(address).token


@pytest.mark.proves("SSPR-08")
def test_ten_resets_a_day_may_send_codes(server: StrictServer) -> None:
    address = account_by_password(server)
    for _ in range(10):
        reset_of(server).proven(address)
        server.advance(3601)
    walk = reset_of(server)
    walk.start(address).ok()

    refused = walk.challenge()
    server.advance(timedelta(hours=14, minutes=1).total_seconds())

    assert refused.error == ("invalid_request", "", 701014)
    assert reset_of(server).proven(address).token


@pytest.mark.proves("SSPR-08")
def test_twenty_resets_an_hour_may_send_codes_from_one_block_of_addresses(world: World) -> None:
    people = [new_address() for _ in range(22)]
    for address in people:
        world.person(address, password=PASSWORD)

    def ask(address: str, client: str) -> tuple[str, str, int]:
        walk = Reset(Elsewhere(world, client), demo.PASSWORD_APP)
        walk.start(address).ok()
        return walk.challenge().error

    inside = [ask(address, f"203.0.113.{n}") for n, address in enumerate(people[:21], 1)]
    outside = ask(people[21], "203.0.114.1")

    assert inside == [("", "", 0)] * 20 + [("invalid_request", "", 701014)]
    assert outside == ("", "", 0)
    assert newest(world, people[0], "reset_password", set())


def test_the_code_of_a_reset_signs_nobody_in(server: StrictServer) -> None:
    address = account_by_code(server)
    sent, code = code_sent(server, address)
    by_password = account_by_password(server)
    walk = reset_of(server)
    walk.start(by_password).ok()
    reset_code = walk.send()

    answer = proven(server, server.otp_app, sent.token, "oob", reset_code)

    assert answer.error == WRONG_CODE
    assert proven(server, server.otp_app, walk.token, "oob", reset_code).error == INVALID_AT_TOKEN
    assert proven(server, server.otp_app, sent.token, "oob", code).status == 200
