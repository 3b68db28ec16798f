"""
Sign-in by one factor: a code by e-mail, or a password.

Source: native-auth-v1 3.1, 3.2, 4, 10.3, 10.5; rows 72 to 93.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest
from msgspec.structs import replace

from genkan.model import Resource
from tests.server import BOTH, Reply, new_address, newest
from tests.wire import strict
from tests.wire.journeys import (
    OPENID,
    PASSWORD,
    account_by_code,
    account_by_password,
    begun,
    challenged,
    code_sent,
    first_factor_by_password,
    ids,
    password_asked,
    proven,
    wrong,
)
from tests.wire.servers import StrictServer, World

WRONG_CODE = ("invalid_grant", "invalid_oob_value", 50181)
INVALID = ("invalid_grant", "", 55200)

Spell = Callable[[str], str]


def initiate(server: StrictServer, username: str, app: str = "") -> Reply:
    form = {"client_id": app or server.otp_app, "username": username, "capabilities": BOTH}
    return server.post_form(strict.INITIATE, {**form, "challenge_type": "oob password redirect"})


def heard(answer: Reply, endpoint: str = strict.TOKEN) -> strict.Heard:
    return strict.heard(endpoint, answer.status, answer.body)


# Who is it? -----------------------------------------------------------------------------------------


@pytest.mark.proves("V1-072")
def test_somebody_with_an_account_gets_a_token_and_nothing_else(server: StrictServer) -> None:
    by_code, by_password = (
        initiate(server, account_by_code(server)),
        initiate(server, account_by_password(server)),
    )

    assert by_code.ok().body.keys() == by_password.ok().body.keys() == {"continuation_token"}


@pytest.mark.parametrize("change", [str.upper, str.title, " {} ".format])
@pytest.mark.proves("V1-072")
def test_case_and_blanks_around_an_address_do_not_matter(server: StrictServer, change: Spell) -> None:
    assert initiate(server, change(account_by_code(server))).ok().token


@pytest.mark.proves("V1-073")
def test_somebody_without_an_account_is_not_found(server: StrictServer) -> None:
    answer = initiate(server, new_address())

    assert answer.error == ("user_not_found", "", 50034)
    assert heard(answer, strict.INITIATE) == strict.Heard.alike("user_not_found")


@pytest.mark.parametrize(
    "username",
    [
        "",
        " ",
        "ada@",
        "@example.com",
        "ada@example",
        "ada @example.com",
        "ada@example.com,x@example.com",
        "a" * 260,
    ],
)
@pytest.mark.proves("V1-074")
def test_an_empty_or_malformed_username_is_named_as_sdks_expect(server: StrictServer, username: str) -> None:
    answer = initiate(server, username)

    assert answer.error == ("invalid_request", "", 90100)
    assert strict.USERNAME_INVALID in answer["error_description"]
    assert heard(answer, strict.INITIATE).js == "invalid_username"


@pytest.mark.proves("V1-074")
def test_a_missing_username_is_an_empty_one(server: StrictServer) -> None:
    answer = server.post(strict.INITIATE, client_id=server.otp_app, challenge_type="oob redirect")

    assert answer.error == ("invalid_request", "", 90100)
    assert strict.USERNAME_INVALID in answer["error_description"]


@pytest.mark.proves("V1-075")
def test_naming_the_person_sends_no_mail(server: StrictServer) -> None:
    address = account_by_code(server)

    initiate(server, address).ok()
    challenged(server, server.otp_app, initiate(server, address).ok().token)
    server.code(address, "sign_in")

    assert server.count(address, "sign_in") == 1


# How do they prove it? ------------------------------------------------------------------------------


@pytest.mark.proves("V1-076")
def test_a_person_with_a_password_is_asked_for_it(server: StrictServer) -> None:
    asked = password_asked(server, account_by_password(server))

    assert asked.body.keys() == {"continuation_token", "challenge_type"}
    assert asked["challenge_type"] == "password"
    assert heard(asked, strict.CHALLENGE) == strict.Heard.alike("password")


@pytest.mark.proves("V1-077", "V1-079")
def test_a_person_without_one_is_sent_a_code(server: StrictServer) -> None:
    sent, _ = code_sent(server, account_by_code(server))

    assert sent.body.keys() == {
        "continuation_token",
        "challenge_type",
        "binding_method",
        "challenge_channel",
        "challenge_target_label",
        "code_length",
        "interval",
    }
    assert (sent["challenge_type"], sent["binding_method"], sent["challenge_channel"]) == (
        "oob",
        "prompt",
        "email",
    )
    assert heard(sent, strict.CHALLENGE) == strict.Heard.alike("oob")


@pytest.mark.proves("V1-078")
def test_the_code_is_as_long_as_was_said(server: StrictServer) -> None:
    sent, code = code_sent(server, account_by_code(server))

    assert sent["code_length"] == len(code) == 8


@pytest.mark.parametrize("length", [6, 7, 10])
@pytest.mark.proves("V1-078")
def test_a_tenant_may_set_another_length(world: World, length: int) -> None:
    with world.changed(code_length=length):
        sent, code = code_sent(world, account_by_code(world))
        answer = proven(world, world.otp_app, sent.token, "oob", code)

    assert sent["code_length"] == len(code) == length
    assert answer.status == 200


@pytest.mark.proves("V1-080")
def test_the_label_shows_the_address_to_its_owner_alone(server: StrictServer) -> None:
    address = account_by_code(server)
    sent, _ = code_sent(server, address)

    label = sent["challenge_target_label"]

    assert label == f"a***{address.partition('@')[0][-1]}@ex****e.com"
    assert address.partition("@")[0] not in label
    assert "example" not in label


# The code. ------------------------------------------------------------------------------------------


@pytest.mark.proves("V1-081")
def test_the_right_code_brings_tokens(server: StrictServer) -> None:
    sent, code = code_sent(server, account_by_code(server))

    answer = proven(server, server.otp_app, sent.token, "oob", code)

    assert answer.status == 200
    assert answer["token_type"] == "Bearer"
    assert heard(answer) == strict.Heard.alike("success")


@pytest.mark.proves("V1-081")
def test_tokens_are_about_whoever_proved_the_address(server: StrictServer) -> None:
    address = account_by_code(server)
    sent, code = code_sent(server, address)

    answer = proven(server, server.otp_app, sent.token, "oob", code, client_info="1")

    _, claims = strict.jwt(answer["id_token"])
    assert claims["preferred_username"] == address
    assert claims["aud"] == server.otp_app
    assert claims["amr"] == ["otp"]


@pytest.mark.parametrize("spelling", ["{0} {1}", "{0}-{1}", " {0}{1} ", "fullwidth"])
@pytest.mark.proves("V1-081")
def test_a_code_may_be_typed_as_people_type_it(server: StrictServer, spelling: str) -> None:
    sent, code = code_sent(server, account_by_code(server))
    typed = spelling.format(code[:4], code[4:])
    if spelling == "fullwidth":
        typed = code.translate({ord(str(d)): 0xFF10 + d for d in range(10)})

    assert proven(server, server.otp_app, sent.token, "oob", typed).status == 200


@pytest.mark.proves("V1-082")
def test_a_wrong_code_is_heard_as_one_by_all_sdks(server: StrictServer) -> None:
    sent, code = code_sent(server, account_by_code(server))

    answer = proven(server, server.otp_app, sent.token, "oob", wrong(code))

    assert answer.error == WRONG_CODE
    assert heard(answer) == strict.Heard.alike("wrong_code")


@pytest.mark.parametrize("text", ["1", "123456789", "abcdefgh", "\u0661" * 8, "0" * 5000])
@pytest.mark.proves("V1-082")
def test_what_cannot_be_a_code_is_a_wrong_one(server: StrictServer, text: str) -> None:
    sent, _ = code_sent(server, account_by_code(server))

    assert proven(server, server.otp_app, sent.token, "oob", text).error == WRONG_CODE


@pytest.mark.proves("V1-082")
def test_a_missing_code_is_a_missing_parameter(server: StrictServer) -> None:
    sent, _ = code_sent(server, account_by_code(server))

    answer = proven(server, server.otp_app, sent.token, "oob", "")

    assert answer.error == ("invalid_request", "", 900144)
    assert "oob" in answer["error_description"]


# The password. --------------------------------------------------------------------------------------


@pytest.mark.proves("V1-083")
def test_a_wrong_password_is_heard_as_one_by_all_sdks(server: StrictServer) -> None:
    asked = password_asked(server, account_by_password(server))

    answer = proven(server, server.password_app, asked.token, "password", "not this one, no")

    assert answer.error == ("invalid_grant", "", 50126)
    assert answer["error_codes"] == [50126]
    assert "suberror" not in answer.body
    assert heard(answer) == strict.Heard.alike("wrong_password")


@pytest.mark.proves("V1-084")
def test_the_right_password_brings_tokens(server: StrictServer) -> None:
    address = account_by_password(server)

    answer = first_factor_by_password(server, address, OPENID)

    _, claims = strict.jwt(answer.ok()["id_token"])
    assert claims["preferred_username"] == address
    assert claims["amr"] == ["pwd"]
    assert heard(answer) == strict.Heard.alike("success")


@pytest.mark.parametrize(
    "password", ["gr\u00fc\u00dfe aus dem garten", "\u2603 snow & ice = 100%+", "brown fox " * 25]
)
@pytest.mark.proves("V1-084")
def test_any_character_may_be_in_a_password(server: StrictServer, password: str) -> None:
    address = account_by_password(server, password)

    assert first_factor_by_password(server, address, OPENID, password).status == 200


@pytest.mark.proves("V1-085")
def test_a_password_is_no_answer_to_a_code(server: StrictServer) -> None:
    sent, code = code_sent(server, account_by_code(server))

    answer = proven(server, server.otp_app, sent.token, "password", PASSWORD)

    assert answer.error == ("invalid_grant", "", 400002)
    assert heard(answer) == strict.Heard("general", "general", "wrong_kind")
    assert proven(server, server.otp_app, sent.token, "oob", code).status == 200


@pytest.mark.proves("V1-085")
def test_a_code_is_no_answer_to_a_password(server: StrictServer) -> None:
    asked = password_asked(server, account_by_password(server))

    answer = proven(server, server.password_app, asked.token, "oob", "12345678")

    assert answer.error == ("invalid_grant", "", 400002)


@pytest.mark.proves("V1-085")
def test_a_proof_before_its_challenge_is_out_of_turn(server: StrictServer) -> None:
    token = begun(server, server.password_app, account_by_password(server)).token

    for grant in ("password", "oob"):
        assert proven(server, server.password_app, token, grant, PASSWORD).error == INVALID


# What else may be asked. ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "grant", ["implicit", "client-credentials", "urn:ietf:params:oauth:grant-type:x", "OOB"]
)
@pytest.mark.proves("V1-086")
def test_an_unknown_grant_is_unsupported(server: StrictServer, grant: str) -> None:
    sent, code = code_sent(server, account_by_code(server))

    answer = proven(server, server.otp_app, sent.token, grant, code)

    assert answer.error == ("unsupported_grant_type", "", 70003)


@pytest.mark.proves("V1-086")
def test_the_password_grant_of_old_is_unsupported(server: StrictServer) -> None:
    address = account_by_password(server)
    form = {"client_id": server.password_app, "username": address, "password": PASSWORD, "scope": OPENID}

    answer = server.post_form(strict.TOKEN, {**form, "grant_type": "password"})

    assert answer.error == ("unsupported_grant_type", "", 70003)


@pytest.mark.parametrize(
    "scope",
    [
        "api://genkan-demo/Things.Read api://orders/Read",
        "openid api://orders/Read api://genkan-demo/Things.Read",
        "api://genkan-demo/.default api://orders/.default",
    ],
)
@pytest.mark.proves("V1-087")
def test_two_resources_in_one_scope_are_refused(world: World, scope: str) -> None:
    orders = Resource(id=str(uuid4()), name="Orders", uri="api://orders", scopes=("Read",))
    app = world.directory.clients[world.otp_app]

    with world.changed(orders, replace(app, scopes=(*app.scopes, "api://orders/Read"))):
        sent, code = code_sent(world, account_by_code(world))
        both = proven(world, world.otp_app, sent.token, "oob", code, scope)
        one = proven(world, world.otp_app, sent.token, "oob", code, "api://orders/Read")

    assert both.error == ("invalid_scope", "", 70011)
    assert one.status == 200


@pytest.mark.parametrize("scope", ["api://genkan-demo/Things.Write", "api://unknown/Read", "everything"])
@pytest.mark.proves("V1-087")
def test_a_scope_that_is_not_the_apps_is_refused_and_uses_nothing_up(
    server: StrictServer, scope: str
) -> None:
    sent, code = code_sent(server, account_by_code(server))

    refused = proven(server, server.otp_app, sent.token, "oob", code, scope)
    accepted = proven(server, server.otp_app, sent.token, "oob", code)

    assert refused.error == ("invalid_scope", "", 70011)
    assert accepted.status == 200


# Codes again, too often, too late. --------------------------------------------------------------------


@pytest.mark.proves("V1-088")
def test_a_new_code_puts_an_end_to_the_one_before(server: StrictServer) -> None:
    address = account_by_code(server)
    first, old = code_sent(server, address)
    seen = ids(server, address)
    second = challenged(server, server.otp_app, first.token)
    new = newest(server, address, "sign_in", seen)

    outdated = proven(server, server.otp_app, second.token, "oob", old if old != new else wrong(new))
    current = proven(server, server.otp_app, second.token, "oob", new)

    assert outdated.error == WRONG_CODE
    assert current.status == 200


@pytest.mark.proves("V1-089")
def test_too_many_codes_are_refused_for_a_quarter_of_an_hour(server: StrictServer) -> None:
    app, address = server.otp_app, account_by_code(server)
    token = begun(server, app, address).token
    for _ in range(5):
        token = challenged(server, app, token).token

    sixth = server.post(strict.CHALLENGE, client_id=app, continuation_token=token)
    elsewhere = server.post(
        strict.CHALLENGE, client_id=app, continuation_token=begun(server, app, address).token
    )
    server.advance(15 * 60 + 1)
    later, _ = code_sent(server, address)

    assert sixth.error == elsewhere.error == ("invalid_request", "", 701014)
    assert later.status == 200


@pytest.mark.proves("V1-089")
def test_after_too_many_codes_the_last_one_is_still_good(server: StrictServer) -> None:
    app, address = server.otp_app, account_by_code(server)
    token = begun(server, app, address).token
    for _ in range(4):
        challenged(server, app, token)
    server.arrived(address, "sign_in", 4)
    sent, code = code_sent(server, address)

    sixth = server.post(strict.CHALLENGE, client_id=app, continuation_token=sent.token)
    answer = proven(server, app, sent.token, "oob", code)

    assert sixth.error == ("invalid_request", "", 701014)
    assert answer.status == 200


@pytest.mark.proves("V1-090")
def test_a_code_lives_five_minutes(server: StrictServer) -> None:
    in_time, code_in_time = code_sent(server, account_by_code(server))
    server.advance(290)
    accepted = proven(server, server.otp_app, in_time.token, "oob", code_in_time)
    late, code_late = code_sent(server, account_by_code(server))
    server.advance(301)
    refused = proven(server, server.otp_app, late.token, "oob", code_late)

    assert accepted.status == 200
    assert refused.error == WRONG_CODE


@pytest.mark.proves("V1-090")
def test_after_a_code_has_died_of_age_a_new_one_works(server: StrictServer) -> None:
    address = account_by_code(server)
    sent, code = code_sent(server, address)
    server.advance(301)
    assert proven(server, server.otp_app, sent.token, "oob", code).error == WRONG_CODE

    seen = ids(server, address)
    again = challenged(server, server.otp_app, sent.token)

    assert (
        proven(server, server.otp_app, again.token, "oob", newest(server, address, "sign_in", seen)).status
        == 200
    )


@pytest.mark.proves("V1-091")
def test_after_five_wrong_codes_the_flow_is_over(server: StrictServer) -> None:
    app, address = server.otp_app, account_by_code(server)
    sent, code = code_sent(server, address)

    tries = [proven(server, app, sent.token, "oob", wrong(code)).error for _ in range(5)]
    right = proven(server, app, sent.token, "oob", code)
    resend = server.post(strict.CHALLENGE, client_id=app, continuation_token=sent.token)
    anew, new_code = code_sent(server, address)

    assert tries == [WRONG_CODE] * 5
    assert right.error == resend.error == INVALID
    assert proven(server, app, anew.token, "oob", new_code).status == 200


@pytest.mark.proves("V1-091")
def test_a_resend_gives_no_further_tries(server: StrictServer) -> None:
    app, address = server.otp_app, account_by_code(server)
    sent, code = code_sent(server, address)
    for _ in range(4):
        proven(server, app, sent.token, "oob", wrong(code))

    seen = ids(server, address)
    again = challenged(server, app, sent.token)
    code = newest(server, address, "sign_in", seen)
    fifth = proven(server, app, again.token, "oob", wrong(code))

    assert fifth.error == WRONG_CODE
    assert proven(server, app, again.token, "oob", code).error == INVALID


@pytest.mark.proves("V1-091")
def test_after_five_wrong_passwords_the_flow_is_over(server: StrictServer) -> None:
    app, address = server.password_app, account_by_password(server)
    asked = password_asked(server, address)

    tries = [proven(server, app, asked.token, "password", f"wrong {n}").error for n in range(5)]
    right = proven(server, app, asked.token, "password", PASSWORD)

    assert tries == [("invalid_grant", "", 50126)] * 5
    assert right.error == INVALID
    assert first_factor_by_password(server, address, OPENID).status == 200


# The account. ---------------------------------------------------------------------------------------


@pytest.mark.proves("V1-092")
def test_a_password_that_must_be_changed_signs_nobody_in(world: World) -> None:
    address = new_address()
    world.person(address, password=PASSWORD, must_change_password=True)

    asked = password_asked(world, address)
    wrong_one = proven(world, world.password_app, asked.token, "password", "not this one, no")
    right = proven(world, world.password_app, asked.token, "password", PASSWORD)

    assert wrong_one.error == ("invalid_grant", "", 50126)
    assert right.error == ("invalid_request", "", 50142)
    assert heard(right) == strict.Heard("password_reset_required", "password_reset_required", "general")


@pytest.mark.parametrize("change", [str, str.upper, " {} ".format])
@pytest.mark.proves("V1-093")
def test_a_username_signs_in_where_the_tenant_has_usernames(world: World, change: Spell) -> None:
    username, address = f"Ada.Lovelace-{uuid4()}", new_address()
    world.person(address, password=PASSWORD, username=username)

    with world.changed(usernames=True):
        answer = first_factor_by_password(world, change(username), OPENID)

    _, claims = strict.jwt(answer.ok()["id_token"])
    assert claims["preferred_username"] == address


@pytest.mark.proves("V1-093")
def test_a_username_is_nobodys_where_the_tenant_has_none(world: World) -> None:
    username, address = f"mika-{uuid4()}", new_address()
    world.person(address, password=PASSWORD, username=username)

    off = initiate(world, username)
    with world.changed(usernames=True):
        on = initiate(world, username)

    assert off.error == ("user_not_found", "", 50034)
    assert on.ok().token
    assert initiate(world, address).ok().token


@pytest.mark.proves("V1-093")
def test_an_unknown_username_is_not_found_either_way(world: World) -> None:
    with world.changed(usernames=True):
        on = initiate(world, f"nobody-{uuid4()}")
    off = initiate(world, f"nobody-{uuid4()}")

    assert on.error == off.error == ("user_not_found", "", 50034)


@pytest.mark.proves("V1-093")
def test_a_reset_by_username_sends_its_code_to_the_address(world: World) -> None:
    username, address = f"mika-{uuid4()}", new_address()
    world.person(address, password=PASSWORD, username=username)
    form = {"client_id": world.password_app, "username": username, "challenge_type": "oob redirect"}

    off = world.post_form(strict.RESET_START, form)
    with world.changed(usernames=True):
        started = world.post_form(strict.RESET_START, form).ok()
        sent = {"client_id": world.password_app, "continuation_token": started.token}
        answer = world.post_form(strict.RESET_CHALLENGE, sent)

    assert off.error == ("user_not_found", "", 50034)
    assert answer["challenge_channel"] == "email"
    assert world.code(address, "reset_password")


@pytest.mark.parametrize("username", ["ada", "ada.lovelace"])
@pytest.mark.proves("V1-093")
def test_nobody_signs_up_with_a_username(world: World, username: str) -> None:
    form = {"client_id": world.otp_app, "username": username, "challenge_type": "oob redirect"}

    with world.changed(usernames=True):
        answer = world.post_form(strict.SIGNUP_START, form)

    assert answer.error == ("invalid_request", "", 90100)
    assert strict.USERNAME_INVALID in answer["error_description"]


@pytest.mark.parametrize(
    "username", ["\u0430d\u0430", "\uff41da", "ada\u200b", "ada lovelace", "a" * 65, "ada@"]
)
@pytest.mark.proves("V1-074", "CAN-09")
def test_what_looks_like_a_username_but_is_none_is_malformed(world: World, username: str) -> None:
    with world.changed(usernames=True):
        answer = initiate(world, username)

    assert answer.error == ("invalid_request", "", 90100)
    assert strict.USERNAME_INVALID in answer["error_description"]
