"""
Where the documentation and the SDKs disagree: the safest answer, each by its number.

Source: native-auth-v1 12. D13, D27, D28, D31, D33 and D36 are of sign-up and reset and stand with those.
"""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import uuid4

import pytest

from genkan import identifiers
from genkan.model import Identifier
from tests.server import BOTH, Reply, first_factor_by_code, new_address, new_number, newest, register_phone
from tests.wire import strict
from tests.wire.journeys import (
    OPENID,
    PASSWORD,
    account_by_code,
    account_by_password,
    account_with_phone,
    begun,
    challenged,
    code_sent,
    first_factor_by_password,
    ids,
    proven,
    redeemed,
    signed_up_by_password,
    wrong,
)
from tests.wire.servers import StrictServer, World

TENANT_ID = "aaaaaaaa-0000-4000-8000-000000000001"
WRONG_CODE = ("invalid_grant", "invalid_oob_value", 50181)


def heard(answer: Reply, endpoint: str) -> strict.Heard:
    return strict.heard(endpoint, answer.status, answer.body)


def place(text: str) -> Identifier:
    found = identifiers.email(text) or identifiers.phone(text)
    assert found is not None
    return found


def reset_done(server: StrictServer, address: str, to: str) -> Reply:
    """A reset whose new password is set: the answer of its poll."""
    app = server.password_app
    start = {"client_id": app, "username": address, "challenge_type": "oob redirect", "capabilities": BOTH}
    started = server.post_form(strict.RESET_START, start).ok()
    sent = server.post(strict.RESET_CHALLENGE, client_id=app, continuation_token=started.token).ok()
    form = {"client_id": app, "continuation_token": sent.token, "grant_type": "oob"}
    verified = server.post_form(
        strict.RESET_CONTINUE, {**form, "oob": server.code(to, "reset_password")}
    ).ok()
    new = {"client_id": app, "continuation_token": verified.token, "new_password": "another lively heron"}
    submitted = server.post_form(strict.RESET_SUBMIT, new).ok()
    return server.post(strict.RESET_POLL, client_id=app, continuation_token=submitted.token).ok()


@pytest.mark.parametrize("name", ["capability", "capabilities"])
@pytest.mark.parametrize("separator", [" ", ",", ", "])
@pytest.mark.proves("V1-054")
def test_d01_both_names_and_both_separators_of_the_capabilities(
    server: StrictServer, name: str, separator: str
) -> None:
    address, app = account_by_code(server), server.otp_app
    form = {"client_id": app, "username": address, "challenge_type": "oob redirect"}
    token = server.post_form(strict.INITIATE, {**form, name: BOTH.replace(" ", separator)}).ok().token
    seen = ids(server, address)
    sent = challenged(server, app, token)

    answer = proven(server, app, sent.token, "oob", newest(server, address, "sign_in", seen), server.scope)

    assert answer.error == ("invalid_grant", "registration_required", 50079)


@pytest.mark.proves("V1-040")
def test_d02_a_list_without_redirect_is_one_error_that_all_sdks_know(server: StrictServer) -> None:
    form = {"client_id": server.otp_app, "username": account_by_code(server), "challenge_type": "oob"}

    answer = server.post_form(strict.INITIATE, form)

    assert answer.error == ("unsupported_challenge_type", "", 901007)
    assert heard(answer, strict.INITIATE) == strict.Heard.alike("unsupported_challenge_type")


@pytest.mark.parametrize("grant", ["oob", "mfa_oob"])
@pytest.mark.proves("V1-107", "V1-108", "V1-109")
def test_d03_both_grants_for_the_second_factor_and_one_for_the_first(
    server: StrictServer, grant: str
) -> None:
    address, number = account_with_phone(server)
    sent, code = code_sent(server, address)
    first = proven(server, server.otp_app, sent.token, grant, code, server.scope)
    if grant == "mfa_oob":
        assert first.error == ("invalid_grant", "", 55200)
        first = proven(server, server.otp_app, sent.token, "oob", code, server.scope)
    texted = challenged(server, server.otp_app, first.token)

    assert proven(server, server.otp_app, texted.token, grant, server.code(number, "mfa")).status == 200


@pytest.mark.proves("V1-104", "V1-105")
def test_d04_the_id_may_be_left_out_where_there_is_one_method(world: World) -> None:
    one, two, app = new_address(), new_address(), world.password_app
    world.person(one, password=PASSWORD, seconds=(place(new_address()),))
    world.person(two, password=PASSWORD, seconds=(place(new_address()), place(new_address())))

    def ask(address: str) -> Reply:
        token = first_factor_by_password(world, address, world.scope).token
        return world.post(strict.CHALLENGE, client_id=app, continuation_token=token)

    assert ask(one).ok()["challenge_type"] == "oob"
    assert heard(ask(two), strict.CHALLENGE).android == "introspect_required"


@pytest.mark.proves("V1-104")
def test_d04_android_leaves_out_the_list_when_it_sends_an_id(server: StrictServer) -> None:
    address, number = account_with_phone(server)
    token = first_factor_by_code(server, address, server.scope).token
    listed = server.post(strict.INTROSPECT, client_id=server.otp_app, continuation_token=token).ok()

    sent = challenged(server, server.otp_app, listed.token, id=listed["methods"][0]["id"])

    assert sent["challenge_channel"] == "sms"
    assert server.code(number, "mfa")


@pytest.mark.proves("V1-058", "V1-064", "V1-069")
def test_d05_tokens_are_fresh_and_older_ones_are_still_good(server: StrictServer) -> None:
    app, address = server.otp_app, account_by_code(server)
    first = begun(server, app, address)
    second = challenged(server, app, first.token)
    third = challenged(server, app, first.token)
    server.arrived(address, "sign_in", 2)
    code = server.code(address, "sign_in")

    assert len({first.token, second.token, third.token}) == 3
    assert proven(server, app, first.token, "oob", wrong(code)).error == WRONG_CODE
    assert proven(server, app, second.token, "oob", code).status == 200


@pytest.mark.parametrize("endpoint", strict.WITH_TOKEN)
@pytest.mark.proves("V1-063")
def test_d06_an_invalid_token_is_worded_as_the_endpoint_does(server: StrictServer, endpoint: str) -> None:
    form = {"client_id": server.otp_app, "continuation_token": "gk1.none", "grant_type": "oob", "oob": "1"}
    form |= {"new_password": PASSWORD, "challenge_type": "oob redirect", "challenge_target": new_address()}

    answer = server.post_form(endpoint, form)

    is_grant = endpoint in (strict.CHALLENGE, strict.SIGNUP_CHALLENGE, strict.TOKEN)
    assert answer.error == ("invalid_grant" if is_grant else "invalid_request", "", 55200)


@pytest.mark.proves("V1-048", "V1-052")
def test_d07_a_sign_up_is_sent_to_the_browser_at_its_start_or_never(server: StrictServer) -> None:
    app = server.password_app
    form = {"client_id": app, "username": new_address(), "challenge_type": "oob redirect"}

    early = server.post_form(strict.SIGNUP_START, form)
    late = signed_up_by_password(server, new_address())

    assert early["challenge_type"] == "redirect"
    assert late.body.keys() == {"continuation_token"}


@pytest.mark.proves("V1-056", "V1-057")
def test_d08_the_token_endpoint_redirects_only_for_what_the_app_cannot_do(server: StrictServer) -> None:
    address = account_by_code(server)

    able = first_factor_by_code(server, address, server.scope, BOTH)
    unable = first_factor_by_code(server, address, server.scope, "")
    unneeded = first_factor_by_code(server, address, OPENID, "")

    assert heard(able, strict.TOKEN) == strict.Heard.alike("registration_required")
    assert heard(unable, strict.TOKEN) == strict.Heard("redirect", "redirect", "general")
    assert heard(unneeded, strict.TOKEN) == strict.Heard.alike("success")


@pytest.mark.proves("V1-053")
def test_d09_the_last_steps_of_a_reset_never_redirect(server: StrictServer) -> None:
    address = account_by_password(server)

    polled = reset_done(server, address, address)

    assert polled["status"] == "succeeded"


@pytest.mark.proves("V1-117")
def test_d10_after_a_code_the_second_factor_is_a_phone_and_never_a_mailbox(world: World) -> None:
    address, mailbox, number = new_address(), new_address(), new_number()
    world.person(address, seconds=(place(address), place(mailbox), place(number)))

    token = first_factor_by_code(world, address, world.scope).token
    listed = world.post(strict.INTROSPECT, client_id=world.otp_app, continuation_token=token).ok()

    assert [m["challenge_channel"] for m in listed["methods"]] == ["sms"]


@pytest.mark.proves("V1-126")
def test_d11_after_a_sign_up_a_registration_is_asked_for(server: StrictServer) -> None:
    address = new_address()
    done = signed_up_by_password(server, address)

    asked = redeemed(server, server.password_app, done.token, username=address, scope=server.scope)

    assert heard(asked, strict.TOKEN) == strict.Heard.alike("registration_required")


def test_d11_the_mailbox_of_a_reset_is_no_second_factor_after_it(world: World) -> None:
    address, number = new_address(), new_number()
    both, mailbox_alone = new_address(), new_address()
    world.person(both, password=PASSWORD, seconds=(place(both), place(number)), age=timedelta(days=2))
    world.person(mailbox_alone, password=PASSWORD, seconds=(place(mailbox_alone),), age=timedelta(days=2))
    world.person(address, password=PASSWORD, age=timedelta(days=2))

    def signed_in(who: str) -> Reply:
        return redeemed(world, world.password_app, reset_done(world, who, who).token, scope=world.scope)

    with_phone, without = signed_in(both), signed_in(mailbox_alone)
    listed = world.post(
        strict.INTROSPECT, client_id=world.password_app, continuation_token=with_phone.token
    ).ok()

    assert with_phone.error == ("invalid_grant", "mfa_required", 50076)
    assert [m["challenge_channel"] for m in listed["methods"]] == ["sms"]
    assert without.error == ("invalid_grant", "", 50079)
    assert not without.token
    assert signed_in(address).error == ("invalid_grant", "registration_required", 50079)


@pytest.mark.proves("V1-131")
def test_d12_after_a_registration_there_are_tokens(server: StrictServer) -> None:
    asked = first_factor_by_code(server, account_by_code(server), server.scope)
    done = register_phone(server, asked.token, new_number())

    answer = redeemed(server, server.otp_app, done.token, scope=server.scope)

    assert heard(answer, strict.TOKEN) == strict.Heard.alike("success")


@pytest.mark.parametrize("scope", ["api://genkan-demo/Things.Read", "openid", ""])
@pytest.mark.proves("V1-081")
def test_d14_id_and_refresh_token_come_unasked(world: World, scope: str) -> None:
    with world.changed(without=tuple(p.id for p in world.directory.policies)):
        sent, code = code_sent(world, account_by_code(world))
        answer = proven(world, world.otp_app, sent.token, "oob", code, scope)

    assert answer["id_token"]
    assert answer["refresh_token"]
    assert set(answer["scope"].split()) == {"openid", "profile", "offline_access", *scope.split()}


@pytest.mark.parametrize("value", ["1", "true", "0", None])
@pytest.mark.proves("V1-081")
def test_d15_d16_client_info_comes_however_it_is_asked_for(server: StrictServer, value: str | None) -> None:
    sent, code = code_sent(server, account_by_code(server))

    answer = proven(
        server, server.otp_app, sent.token, "oob", code, **({} if value is None else {"client_info": value})
    )

    _, claims = strict.jwt(answer["id_token"])
    assert strict.decoded(answer["client_info"]) == {"uid": claims["oid"], "utid": TENANT_ID}


@pytest.mark.proves("V1-014", "V1-017", "V1-027", "V1-032")
def test_d17_the_correlation_id_is_wherever_an_sdk_looks_for_it(server: StrictServer) -> None:
    given = str(uuid4())
    headers = {"client-request-id": given, "origin": "http://localhost:5173"}

    answer = server.post(strict.TOKEN, headers, client_id=server.otp_app)

    assert answer.headers["client-request-id"] == answer["correlation_id"] == given
    assert answer.headers["x-ms-request-id"] == answer["trace_id"] != given
    assert "access-control-expose-headers" not in answer.headers


@pytest.mark.parametrize(
    "form", [{}, {"username": ""}, {"username": "ada@example.com"}, {"challenge_type": "x"}]
)
@pytest.mark.proves("V1-030")
def test_d18_android_finds_a_number_in_every_error_of_a_sign_up(
    server: StrictServer, form: dict[str, str]
) -> None:
    answer = server.post_form(strict.SIGNUP_START, {"client_id": server.otp_app, **form})

    assert answer["error_codes"]


@pytest.mark.proves("V1-033")
def test_d19_errors_are_400_and_nothing_else(server: StrictServer) -> None:
    form = {"username": new_address(), "challenge_type": "oob redirect"}
    answers = [
        server.post_form(strict.INITIATE, {**form, "client_id": client})
        for client in (server.otp_app, str(uuid4()), str(server.told["admin"]["client_id"]), "x")
    ]

    assert [a["error"] for a in answers] == [
        "user_not_found",
        "unauthorized_client",
        "invalid_client",
        "invalid_request",
    ]
    assert {a.status for a in answers} == {400}


@pytest.mark.proves("V1-126")
def test_d20_preverified_is_said_by_the_registration_alone(server: StrictServer) -> None:
    address = new_address()
    done = signed_up_by_password(server, address)
    token = redeemed(server, server.password_app, done.token, scope=server.scope).token
    form = {"client_id": server.password_app, "continuation_token": token, "challenge_type": "oob"}

    answer = server.post_form(strict.REGISTER_CHALLENGE, {**form, "challenge_target": address})

    assert answer.ok()["challenge_type"] == "preverified"
    others = (shapes for endpoint, shapes in strict.ANSWERS.items() if endpoint != strict.REGISTER_CHALLENGE)
    assert not any("preverified" in shapes for shapes in others)


@pytest.mark.proves("V1-077", "V1-118")
def test_d21_d22_the_target_has_two_names_and_the_interval_comes_everywhere(server: StrictServer) -> None:
    address = account_by_code(server)
    sent, code = code_sent(server, address)
    token = proven(server, server.otp_app, sent.token, "oob", code, server.scope).token
    form = {"client_id": server.otp_app, "continuation_token": token, "challenge_type": "oob"}
    enrolling = server.post_form(strict.REGISTER_CHALLENGE, {**form, "challenge_target": new_number()}).ok()

    assert "challenge_target_label" in sent.body
    assert "challenge_target" not in sent.body
    assert "challenge_target" in enrolling.body
    assert "challenge_target_label" not in enrolling.body
    assert sent["interval"] == enrolling["interval"] == 300


@pytest.mark.proves("V1-088")
def test_d22_the_interval_is_not_enforced(server: StrictServer) -> None:
    sent, _ = code_sent(server, account_by_code(server))

    assert challenged(server, server.otp_app, sent.token).status == 200


@pytest.mark.proves("V1-099", "V1-117")
def test_d23_d24_a_hint_is_always_a_text_masked_or_clear_as_it_may_be(server: StrictServer) -> None:
    with_phone, number = account_with_phone(server)
    by_password = account_by_password(server)

    token = first_factor_by_code(server, with_phone, server.scope).token
    known = server.post(strict.INTROSPECT, client_id=server.otp_app, continuation_token=token).ok()
    token = first_factor_by_password(server, by_password, server.scope).token
    offered = server.post(
        strict.REGISTER_INTROSPECT, client_id=server.password_app, continuation_token=token
    ).ok()

    assert known["methods"][0]["login_hint"] == f"+44*******{number[-2:]}"
    assert {m["id"]: m["login_hint"] for m in offered["methods"]} == {"sms": "", "email": by_password}


@pytest.mark.parametrize("says", ["its own name", "nothing"])
@pytest.mark.proves("V1-130")
def test_d25_the_username_at_the_token_endpoint_is_optional(server: StrictServer, says: str) -> None:
    address = new_address()
    done = signed_up_by_password(server, address)
    more = {"username": address} if says == "its own name" else {}

    assert redeemed(server, server.password_app, done.token, **more).status == 200


@pytest.mark.proves("V1-113", "V1-131")
def test_d26_what_the_first_token_call_asked_for_is_remembered(world: World) -> None:
    claims = json.dumps({"access_token": {"acrs": {"essential": True, "value": "c7"}}})
    sent, code = code_sent(world, account_by_code(world))
    asked = proven(world, world.otp_app, sent.token, "oob", code, world.scope, claims=claims)

    answer = redeemed(
        world, world.otp_app, register_phone(world, asked.token, new_number()).token, scope=OPENID
    )

    _, access = strict.jwt(answer.ok()["access_token"])
    assert access["aud"] == world.told["api"]["client_id"]
    assert access["acrs"] == ["c7"]


@pytest.mark.parametrize("root", ["/dev", "/dev.onmicrosoft.com", f"/{TENANT_ID}"])
@pytest.mark.proves("V1-002")
def test_d29_text_messages_work_under_every_name_of_the_tenant(server: StrictServer, root: str) -> None:
    number, token = new_number(), first_factor_by_code(server, account_by_code(server), server.scope).token
    form = {"client_id": server.otp_app, "continuation_token": token, "challenge_type": "oob"}

    answer = server.post_form(strict.REGISTER_CHALLENGE, {**form, "challenge_target": number}, root=root)

    assert answer.ok()["challenge_channel"] == "sms"
    assert server.code(number, "enrol")


@pytest.mark.proves("V1-077")
def test_d30_there_are_no_stray_blanks_in_names_and_values(server: StrictServer) -> None:
    sent, _ = code_sent(server, account_by_code(server))

    texts = [*sent.body, *(value for value in sent.body.values() if isinstance(value, str))]

    assert texts == [text.strip() for text in texts]


@pytest.mark.proves("V1-106")
def test_d32_a_blocked_phone_is_told_from_a_closed_region(world: World) -> None:
    token = first_factor_by_code(world, account_by_code(world), world.scope).token
    form = {"client_id": world.otp_app, "continuation_token": token, "challenge_type": "oob"}
    number = new_number()

    with world.changed(blocked_numbers=(number,)):
        blocked = world.post_form(strict.REGISTER_CHALLENGE, {**form, "challenge_target": number})
        closed = world.post_form(strict.REGISTER_CHALLENGE, {**form, "challenge_target": "+79123456789"})

    assert blocked.error == ("access_denied", "provider_blocked_by_rep", 550024)
    assert closed.error == ("access_denied", "provider_blocked_by_admin", 550024)
    assert heard(blocked, strict.REGISTER_CHALLENGE).ios == "contact_blocked"
    assert heard(closed, strict.REGISTER_CHALLENGE) == strict.Heard.alike("general")


@pytest.mark.parametrize(
    "root",
    [
        pytest.param("/dev/", id="d34", marks=pytest.mark.proves("V1-004")),
        pytest.param("/DEV", id="d35", marks=pytest.mark.proves("V1-003")),
        pytest.param("/Dev.OnMicrosoft.com/", id="both", marks=pytest.mark.proves("V1-003", "V1-004")),
    ],
)
def test_d34_d35_slashes_and_case_of_the_path_do_not_matter(server: StrictServer, root: str) -> None:
    form = {
        "client_id": server.otp_app,
        "username": account_by_code(server),
        "challenge_type": "oob redirect",
    }

    assert server.post_form(strict.INITIATE, form, root=root).ok().token


@pytest.mark.proves("V1-061", "V1-063")
def test_d37_a_token_of_another_endpoint_is_an_invalid_one(server: StrictServer) -> None:
    token = begun(server, server.otp_app, account_by_code(server)).token

    answer = server.post(strict.REGISTER_INTROSPECT, client_id=server.otp_app, continuation_token=token)

    assert answer.error == ("invalid_request", "", 55200)
    assert "AADSTS55200" in answer["error_description"]
