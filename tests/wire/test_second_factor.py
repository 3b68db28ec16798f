"""
The second factor: when it is asked for, by which method, and what does not count.

Source: native-auth-v1 3.2, 3.3, 4.2; conditional-access 5.1, 6.2, 7; rows 98 to 114.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest

from genkan import identifiers
from genkan.model import Identifier, Kind, MethodSettings
from genkan.service import demo
from tests.server import Reply, first_factor_by_code, new_address, new_number, newest, register_phone
from tests.wire import strict
from tests.wire.journeys import (
    OPENID,
    PASSWORD,
    account_by_code,
    account_by_password,
    account_with_phone,
    challenged,
    code_sent,
    first_factor_by_password,
    ids,
    listed,
    password_asked,
    proven,
    wrong,
)
from tests.wire.policies import for_everybody
from tests.wire.servers import StrictServer, World

MFA_REQUIRED = ("invalid_grant", "mfa_required", 50076)
WRONG_CODE = ("invalid_grant", "invalid_oob_value", 50181)
INVALID = ("invalid_grant", "", 55200)


def heard(answer: Reply, endpoint: str = strict.TOKEN) -> strict.Heard:
    return strict.heard(endpoint, answer.status, answer.body)


def place(text: str) -> Identifier:
    found = identifiers.email(text) or identifiers.phone(text)
    assert found is not None
    return found


class Two:
    """Somebody with a password, a mailbox and a phone, just after the password."""

    def __init__(self, world: World, age: timedelta = timedelta(days=30)) -> None:
        self.address, self.mailbox, self.number = new_address(), new_address(), new_number()
        seconds = (place(self.mailbox), place(self.number))
        self.methods = world.person(self.address, password=PASSWORD, seconds=seconds, age=age)
        self.asked = first_factor_by_password(world, self.address, world.scope)


# When. ----------------------------------------------------------------------------------------------


@pytest.mark.proves("V1-098")
def test_policy_asks_for_a_second_factor_after_the_password(world: World) -> None:
    answer = Two(world).asked

    assert answer.error == MFA_REQUIRED
    assert 50126 not in answer["error_codes"]
    assert answer.token
    assert heard(answer) == strict.Heard.alike("mfa_required")


@pytest.mark.proves("V1-098")
def test_policy_asks_for_a_second_factor_after_a_code(server: StrictServer) -> None:
    address, _ = account_with_phone(server)

    answer = first_factor_by_code(server, address, server.scope)

    assert answer.error == MFA_REQUIRED
    assert heard(answer) == strict.Heard.alike("mfa_required")


@pytest.mark.proves("V1-098")
def test_nothing_is_asked_before_the_first_factor_is_right(world: World) -> None:
    person = Two(world)
    asked = password_asked(world, person.address)

    answer = proven(world, world.password_app, asked.token, "password", "not this one, no", world.scope)

    assert answer.error == ("invalid_grant", "", 50126)
    assert not answer.token


@pytest.mark.proves("V1-114")
def test_without_policy_and_claims_one_factor_is_enough(server: StrictServer, world: World) -> None:
    address, _ = account_with_phone(server)
    person = Two(world)

    by_code = first_factor_by_code(server, address, OPENID)
    by_password = first_factor_by_password(world, person.address, OPENID)

    for answer, amr in ((by_code, ["otp"]), (by_password, ["pwd"])):
        _, claims = strict.jwt(answer.ok()["id_token"])
        assert claims["amr"] == amr


@pytest.mark.proves("V1-114")
def test_a_switched_off_policy_asks_for_nothing(world: World) -> None:
    person = Two(world)

    with world.changed(without=(demo.POLICY,)):
        answer = first_factor_by_password(world, person.address, world.scope)

    assert answer.status == 200


# Which. ---------------------------------------------------------------------------------------------


@pytest.mark.proves("V1-099")
def test_all_usable_methods_are_listed_with_four_texts_each(world: World) -> None:
    person = Two(world)

    methods = listed(world, world.password_app, person.asked.token)

    assert [m["challenge_channel"] for m in methods] == ["sms", "email"]
    for method in methods:
        assert method.keys() == {"id", "challenge_type", "challenge_channel", "login_hint"}
        assert all(isinstance(value, str) and value for value in method.values())
    assert {m["id"] for m in methods} == set(person.methods.values())


@pytest.mark.proves("V1-099")
def test_hints_are_masked_and_ids_stay(server: StrictServer) -> None:
    address, number = account_with_phone(server)
    app = server.otp_app

    first = listed(server, app, first_factor_by_code(server, address, server.scope).token)
    second = listed(server, app, first_factor_by_code(server, address, server.scope).token)

    assert first == second
    assert first[0]["login_hint"] == f"+44*******{number[-2:]}"
    assert UUID(first[0]["id"]).version == 4


@pytest.mark.proves("V1-099")
def test_what_the_tenant_has_switched_off_is_not_listed(world: World) -> None:
    person = Two(world)

    with world.changed((Kind.SMS_OTP, MethodSettings(enabled=False))):
        methods = listed(world, world.password_app, person.asked.token)

    assert [m["challenge_channel"] for m in methods] == ["email"]


@pytest.mark.proves("V1-099")
def test_a_mailbox_that_was_the_first_factor_is_not_listed(world: World) -> None:
    address, number = new_address(), new_number()
    world.person(address, seconds=(place(address), place(number)), age=timedelta(days=30))

    methods = listed(world, world.otp_app, first_factor_by_code(world, address, world.scope).token)

    assert [m["challenge_channel"] for m in methods] == ["sms"]


@pytest.mark.proves("V1-100")
def test_only_a_flow_that_waits_for_a_second_factor_has_methods(server: StrictServer) -> None:
    sent, _ = code_sent(server, account_by_code(server))
    asked = password_asked(server, account_by_password(server))
    enrolling = first_factor_by_code(server, account_by_code(server), server.scope)

    for app, token in (
        (server.otp_app, sent.token),
        (server.password_app, asked.token),
        (server.otp_app, enrolling.token),
    ):
        answer = server.post(strict.INTROSPECT, client_id=app, continuation_token=token)
        assert answer.error == ("invalid_request", "", 55200)


@pytest.mark.proves("V1-101")
def test_a_mailbox_that_is_chosen_gets_a_mail(world: World) -> None:
    person = Two(world)
    id = person.methods[person.mailbox]

    sent = challenged(world, world.password_app, person.asked.token, id=id, challenge_type="oob redirect")

    assert (sent["challenge_type"], sent["challenge_channel"]) == ("oob", "email")
    assert sent["challenge_target_label"] == identifiers.mask(place(person.mailbox))
    assert len(world.code(person.mailbox, "mfa")) == sent["code_length"]
    assert heard(sent, strict.CHALLENGE) == strict.Heard.alike("oob")


@pytest.mark.proves("V1-102")
def test_a_phone_that_is_chosen_gets_a_text(world: World) -> None:
    person = Two(world)

    sent = challenged(world, world.password_app, person.asked.token, id=person.methods[person.number])

    assert (sent["challenge_type"], sent["challenge_channel"]) == ("oob", "sms")
    assert sent["challenge_target_label"] == f"+44*******{person.number[-2:]}"
    assert len(world.code(person.number, "mfa")) == sent["code_length"]
    assert world.messages(person.mailbox) == []


@pytest.mark.parametrize("id", ["email", "x", str(UUID(int=7)), " "])
@pytest.mark.proves("V1-103")
def test_an_unknown_method_is_invalid_input(world: World, id: str) -> None:
    person = Two(world)
    form = {"client_id": world.password_app, "continuation_token": person.asked.token, "id": id}

    answer = world.post_form(strict.CHALLENGE, form)

    if id.strip():
        assert answer.error == ("invalid_request", "", 901001)
        assert heard(answer, strict.CHALLENGE).js == "invalid_input"
    else:
        assert answer.error == ("invalid_request", "introspect_required", 90023)


@pytest.mark.proves("V1-103")
def test_somebody_elses_method_is_an_unknown_one(world: World) -> None:
    person, other = Two(world), Two(world)
    form = {"client_id": world.password_app, "continuation_token": person.asked.token}

    answer = world.post_form(strict.CHALLENGE, {**form, "id": other.methods[other.number]})

    assert answer.error == ("invalid_request", "", 901001)
    assert world.messages(other.number) == []


@pytest.mark.proves("V1-104")
def test_the_only_method_needs_no_name(server: StrictServer) -> None:
    address, number = account_with_phone(server)
    token = first_factor_by_code(server, address, server.scope).token

    sent = challenged(server, server.otp_app, token)

    assert sent["challenge_channel"] == "sms"
    assert server.code(number, "mfa")


@pytest.mark.proves("V1-105")
def test_of_several_methods_one_must_be_named(world: World) -> None:
    person = Two(world)

    answer = world.post(strict.CHALLENGE, client_id=world.password_app, continuation_token=person.asked.token)

    assert answer.error == ("invalid_request", "introspect_required", 90023)
    assert heard(answer, strict.CHALLENGE) == strict.Heard("general", "general", "introspect_required")
    assert world.messages(person.number) == world.messages(person.mailbox) == []


@pytest.mark.proves("V1-105")
def test_a_resend_goes_where_the_code_before_it_went(world: World) -> None:
    person = Two(world)
    sent = challenged(world, world.password_app, person.asked.token, id=person.methods[person.mailbox])
    world.arrived(person.mailbox, "mfa", 1)
    seen = ids(world, person.mailbox)

    again = challenged(world, world.password_app, sent.token)

    assert again["challenge_channel"] == "email"
    code = newest(world, person.mailbox, "mfa", seen)
    assert proven(world, world.password_app, again.token, "mfa_oob", code).status == 200


@pytest.mark.parametrize("shown", [slice(None), slice(0, 9)], ids=["the number", "its block"])
@pytest.mark.proves("V1-106")
def test_a_blocked_phone_is_told_and_another_method_may_be_chosen(world: World, shown: slice) -> None:
    person = Two(world)
    form = {"client_id": world.password_app, "continuation_token": person.asked.token}

    with world.changed(blocked_numbers=(person.number[shown],)):
        blocked = world.post_form(strict.CHALLENGE, {**form, "id": person.methods[person.number]})
        other = world.post_form(strict.CHALLENGE, {**form, "id": person.methods[person.mailbox]})

    assert blocked.error == ("access_denied", "provider_blocked_by_rep", 550024)
    assert heard(blocked, strict.CHALLENGE)[:2] == ("contact_blocked", "contact_blocked")
    assert other.status == 200
    assert world.messages(person.number) == []


# The proof. -----------------------------------------------------------------------------------------


def texted(server: StrictServer) -> tuple[Reply, str]:
    """A sign-in whose text message has arrived."""
    address, number = account_with_phone(server)
    token = first_factor_by_code(server, address, server.scope).token
    sent = challenged(server, server.otp_app, token)
    return sent, server.code(number, "mfa")


@pytest.mark.parametrize(
    "grant",
    [
        pytest.param("mfa_oob", marks=pytest.mark.proves("V1-107")),
        pytest.param("oob", marks=pytest.mark.proves("V1-108")),
    ],
)
def test_the_right_second_code_brings_tokens(server: StrictServer, grant: str) -> None:
    sent, code = texted(server)

    answer = proven(server, server.otp_app, sent.token, grant, code, server.scope)

    _, claims = strict.jwt(answer.ok()["id_token"])
    assert claims["amr"] == ["otp", "sms", "mfa"]
    assert heard(answer) == strict.Heard.alike("success")


@pytest.mark.proves("V1-107")
def test_the_access_token_is_for_what_the_first_call_asked(server: StrictServer) -> None:
    sent, code = texted(server)

    answer = proven(server, server.otp_app, sent.token, "mfa_oob", code, OPENID)

    _, claims = strict.jwt(answer.ok()["access_token"])
    assert claims["aud"] == server.told["api"]["client_id"]
    assert server.scope in answer["scope"].split()


@pytest.mark.proves("V1-109")
def test_the_second_grant_is_of_no_use_in_the_first_factor(server: StrictServer) -> None:
    sent, code = code_sent(server, account_by_code(server))

    answer = proven(server, server.otp_app, sent.token, "mfa_oob", code)

    assert answer.error == INVALID
    assert proven(server, server.otp_app, sent.token, "oob", code).status == 200


@pytest.mark.proves("V1-109")
def test_a_second_code_must_have_been_sent(server: StrictServer) -> None:
    address, _ = account_with_phone(server)
    token = first_factor_by_code(server, address, server.scope).token

    for grant in ("mfa_oob", "oob", "continuation_token"):
        assert proven(server, server.otp_app, token, grant, "12345678").error == INVALID


@pytest.mark.parametrize("grant", ["mfa_oob", "oob"])
@pytest.mark.proves("V1-110")
def test_a_wrong_second_code_may_be_followed_by_the_right_one(server: StrictServer, grant: str) -> None:
    sent, code = texted(server)

    first = proven(server, server.otp_app, sent.token, grant, wrong(code))
    second = proven(server, server.otp_app, sent.token, grant, code)

    assert first.error == WRONG_CODE
    assert heard(first) == strict.Heard.alike("wrong_code")
    assert second.status == 200


@pytest.mark.proves("V1-110")
def test_after_five_wrong_second_codes_the_first_factor_is_asked_again(server: StrictServer) -> None:
    sent, code = texted(server)

    tries = [proven(server, server.otp_app, sent.token, "mfa_oob", wrong(code)).error for _ in range(5)]
    right = proven(server, server.otp_app, sent.token, "mfa_oob", code)
    resend = server.post(strict.CHALLENGE, client_id=server.otp_app, continuation_token=sent.token)

    assert tries == [WRONG_CODE] * 5
    assert right.error == resend.error == INVALID


@pytest.mark.proves("V1-110")
def test_the_first_code_is_not_the_second(world: World) -> None:
    address, number = new_address(), new_number()
    world.person(address, seconds=(place(number),), age=timedelta(days=30))
    sent, first = code_sent(world, address)
    required = proven(world, world.otp_app, sent.token, "oob", first, world.scope)
    again = challenged(world, world.otp_app, required.token)
    second = world.code(number, "mfa")

    if first != second:
        assert proven(world, world.otp_app, again.token, "mfa_oob", first).error == WRONG_CODE
    assert proven(world, world.otp_app, again.token, "mfa_oob", second).status == 200


@pytest.mark.parametrize("first", ["email", "sms"])
@pytest.mark.proves("V1-111")
def test_the_method_may_be_changed_after_a_challenge(world: World, first: str) -> None:
    person, app = Two(world), world.password_app
    mailbox, phone = person.methods[person.mailbox], person.methods[person.number]
    order = (mailbox, phone) if first == "email" else (phone, mailbox)
    to = (person.mailbox, person.number) if first == "email" else (person.number, person.mailbox)

    begun = challenged(world, app, person.asked.token, id=order[0])
    left = world.code(to[0], "mfa")
    changed = challenged(world, app, begun.token, id=order[1])
    code = world.code(to[1], "mfa")
    outdated = proven(world, app, changed.token, "mfa_oob", left if left != code else wrong(code))
    answer = proven(world, app, changed.token, "mfa_oob", code)

    assert (begun["challenge_channel"], changed["challenge_channel"]) == (
        ("email", "sms") if first == "email" else ("sms", "email")
    )
    assert outdated.error == WRONG_CODE
    assert answer.status == 200


@pytest.mark.proves("V1-111")
def test_the_list_may_be_asked_for_again_after_a_challenge(world: World) -> None:
    person, app = Two(world), world.password_app
    sent = challenged(world, app, person.asked.token, id=person.methods[person.mailbox])
    code = world.code(person.mailbox, "mfa")

    again = world.post(strict.INTROSPECT, client_id=app, continuation_token=sent.token).ok()

    assert len(again["methods"]) == 2
    assert proven(world, app, again.token, "mfa_oob", code).status == 200


@pytest.mark.proves("OTP-20")
def test_every_second_factor_is_a_code_that_the_person_carries_over(world: World) -> None:
    person, app = Two(world), world.password_app
    asked = person.asked
    listed = world.post(strict.INTROSPECT, client_id=app, continuation_token=asked.token).ok()
    kinds = {(m["challenge_type"], m["challenge_channel"]) for m in listed["methods"]}
    sent = [challenged(world, app, asked.token, id=id) for id in person.methods.values()]
    form = {"client_id": app, "continuation_token": sent[-1].token}

    approved = [
        world.post_form(strict.TOKEN, {**form, "grant_type": grant}).error
        for grant in ("mfa_oob", "oob", "continuation_token", "password")
    ]

    assert kinds == {("oob", "email"), ("oob", "sms")}
    assert {(s["binding_method"], s["code_length"]) for s in sent} == {("prompt", 8)}
    assert approved[:2] == [("invalid_request", "", 900144)] * 2
    assert all(error for error, _, _ in approved)
    others = {Kind.PASSWORD, Kind.PASSKEY, Kind.FEDERATED}
    assert {*Kind} - others == {Kind.EMAIL_OTP, Kind.SMS_OTP}, "no kind of approving by a touch"


# Step-up by an authentication context. ------------------------------------------------------------------

STEP_UP = json.dumps({"access_token": {"acrs": {"essential": True, "value": "c4"}}})


@pytest.fixture
def guarded(world: World) -> Iterator[World]:
    """A policy that wants a second factor for the context c4, and none for anything else."""
    policy = for_everybody("mfa", contexts=("c4",))
    with world.changed(policy, without=(demo.POLICY,)):
        yield world


def acrs(answer: Reply) -> list[str]:
    _, claims = strict.jwt(answer.ok()["access_token"])
    found: list[str] = claims.get("acrs", [])
    return found


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({"claims": STEP_UP}, id="said again", marks=pytest.mark.proves("V1-112")),
        pytest.param({}, id="said once", marks=pytest.mark.proves("V1-113")),
    ],
)
@pytest.mark.parametrize("scope", [OPENID, demo.API_SCOPE])
def test_a_context_that_is_asked_for_is_earned_by_a_second_factor(
    guarded: World, said: dict[str, str], scope: str
) -> None:
    person, app = Two(guarded), guarded.password_app
    asked = first_factor_by_password(guarded, person.address, scope, claims=STEP_UP)
    sent = challenged(guarded, app, asked.token, id=person.methods[person.mailbox])

    answer = proven(guarded, app, sent.token, "mfa_oob", guarded.code(person.mailbox, "mfa"), scope, **said)

    assert asked.error == MFA_REQUIRED
    assert acrs(answer) == ["c4"]


@pytest.mark.proves("V1-112")
def test_without_the_claim_neither_factor_nor_context_is_asked(guarded: World) -> None:
    person = Two(guarded)

    answer = first_factor_by_password(guarded, person.address, guarded.scope)

    assert acrs(answer) == []


@pytest.mark.proves("V1-113")
def test_a_context_is_remembered_through_a_registration(guarded: World) -> None:
    address = account_by_code(guarded)
    sent, code = code_sent(guarded, address)
    asked = proven(guarded, guarded.otp_app, sent.token, "oob", code, OPENID, claims=STEP_UP)
    done = register_phone(guarded, asked.token, new_number())

    answer = proven(guarded, guarded.otp_app, done.token, "continuation_token", "", OPENID)

    assert asked.error == ("invalid_grant", "registration_required", 50079)
    assert acrs(answer) == ["c4"]


@pytest.mark.parametrize("claims", ["{", "[]", '{"access_token":{"acrs":{"value":"c4"}}', "nonsense"])
@pytest.mark.proves("V1-112")
def test_claims_that_cannot_be_read_are_refused_and_use_nothing_up(server: StrictServer, claims: str) -> None:
    sent, code = code_sent(server, account_by_code(server))

    refused = proven(server, server.otp_app, sent.token, "oob", code, claims=claims)
    accepted = proven(server, server.otp_app, sent.token, "oob", code)

    assert refused.error == ("invalid_request", "", 90100)
    assert accepted.status == 200


# When the rules change in the middle. -------------------------------------------------------------------


def calls_with_nothing_left(world: World, token: str) -> list[Reply]:
    """What the two endpoints of the second factor say."""
    form = {"client_id": world.password_app, "continuation_token": token}
    return [world.post_form(strict.INTROSPECT, form), world.post_form(strict.CHALLENGE, form)]


@pytest.mark.proves("V1-099")
def test_when_the_last_method_is_switched_off_no_empty_list_is_sent(world: World) -> None:
    address, number = new_address(), new_number()
    world.person(address, password=PASSWORD, seconds=(place(number),), age=timedelta(days=30))
    asked = first_factor_by_password(world, address, world.scope)

    with world.changed((Kind.SMS_OTP, MethodSettings(enabled=False))):
        answers = calls_with_nothing_left(world, asked.token)

    assert [a.status for a in answers] == [400, 400]
    assert answers[0].error == ("invalid_grant", "", 50079)


@pytest.mark.proves("V1-099")
def test_when_the_policy_is_withdrawn_the_app_starts_anew(world: World) -> None:
    person = Two(world)

    with world.changed(without=(demo.POLICY,)):
        answers = calls_with_nothing_left(world, person.asked.token)
        anew = first_factor_by_password(world, person.address, world.scope)

    assert [a.error for a in answers] == [("invalid_request", "", 55200), INVALID]
    assert anew.status == 200
