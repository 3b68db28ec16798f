"""
The continuation token: a bookmark into one flow, good until more is proven.

Source: native-auth-v1 1.7, 1.8, 11.1; rows 58 to 71.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from genkan.service import demo
from tests.server import BOTH, Reply, first_factor_by_code, new_address, new_number, newest
from tests.wire import strict
from tests.wire.journeys import (
    PASSWORD,
    account_by_code,
    account_by_password,
    account_with_phone,
    begun,
    challenged,
    code_sent,
    ids,
    password_asked,
    proven,
    redeemed,
    wrong,
)
from tests.wire.servers import StrictServer, two_tenants

INVALID = ("invalid_grant", "", 55200)
INVALID_ELSEWHERE = ("invalid_request", "", 55200)
"""An invalid token at all endpoints but three (11.1)."""
GRANT_ERRORS = (strict.CHALLENGE, strict.SIGNUP_CHALLENGE, strict.TOKEN)

with_token = pytest.mark.parametrize("endpoint", strict.WITH_TOKEN)


def present(server: StrictServer, endpoint: str, token: str, app: str = "", grant: str = "oob") -> Reply:
    """Send a token to an endpoint, with whatever else it wants."""
    form = {
        "client_id": app or server.otp_app,
        "continuation_token": token,
        "grant_type": grant,
        "oob": "12345678",
        "attributes": json.dumps({"displayName": "Ada"}),
        "new_password": PASSWORD,
    }
    if endpoint == strict.REGISTER_CHALLENGE:
        form |= {"challenge_type": "oob", "challenge_target": "ada@example.com"}
    return server.post_form(endpoint, form)


def invalid_at(endpoint: str) -> tuple[str, str, int]:
    return INVALID if endpoint in GRANT_ERRORS else INVALID_ELSEWHERE


# What a token looks like. -----------------------------------------------------------------------------


def whole_journey(server: StrictServer) -> list[Reply]:
    """Sign-up, registration of a phone and tokens; then a sign-in up to its second factor. All answers."""
    app, address, number = server.otp_app, new_address(), new_number()
    heard: list[Reply] = []

    def ask(endpoint: str, **form: str) -> None:
        token = heard[-1].token if heard else ""
        heard.append(server.post_form(endpoint, {"client_id": app, "continuation_token": token, **form}))

    start = {"username": address, "challenge_type": "oob redirect", "capabilities": BOTH}
    ask(strict.SIGNUP_START, **start)
    ask(strict.SIGNUP_CHALLENGE)
    ask(strict.SIGNUP_CONTINUE, grant_type="oob", oob=server.code(address, "sign_up"))
    ask(strict.TOKEN, grant_type="continuation_token", scope=server.scope)
    ask(strict.REGISTER_INTROSPECT)
    ask(strict.REGISTER_CHALLENGE, challenge_type="oob", challenge_target=number)
    ask(strict.REGISTER_CONTINUE, grant_type="oob", oob=server.code(number, "enrol"))
    ask(strict.TOKEN, grant_type="continuation_token")
    ask(strict.INITIATE, **start)
    ask(strict.CHALLENGE)
    ask(strict.TOKEN, grant_type="oob", oob=server.code(address, "sign_in"), scope=server.scope)
    ask(strict.INTROSPECT)
    server.advance(31)
    ask(strict.CHALLENGE, id=heard[-1]["methods"][0]["id"])
    return heard


@pytest.mark.proves("V1-058")
def test_every_answer_has_a_token_of_its_own(server: StrictServer) -> None:
    given_out = [answer.token for answer in whole_journey(server) if answer.token]

    assert len(given_out) == 12
    assert len(set(given_out)) == len(given_out)


@pytest.mark.proves("V1-058")
def test_the_same_call_twice_gives_two_tokens(server: StrictServer) -> None:
    token = begun(server, server.otp_app, account_by_code(server)).token

    first = challenged(server, server.otp_app, token)
    second = challenged(server, server.otp_app, token)

    assert len({token, first.token, second.token}) == 3


@pytest.mark.proves("V1-071")
def test_a_token_is_url_safe_and_short(server: StrictServer) -> None:
    for answer in whole_journey(server):
        if answer.token:
            assert re.fullmatch(r"[A-Za-z0-9._~-]+", answer.token)
            assert len(answer.token) < 4096


# Whose it is. ---------------------------------------------------------------------------------------


@pytest.mark.proves("V1-059")
def test_a_token_is_good_for_its_own_client_alone(server: StrictServer) -> None:
    token = begun(server, server.otp_app, account_by_code(server)).token

    foreign = present(server, strict.CHALLENGE, token, server.password_app)
    own = present(server, strict.CHALLENGE, token)

    assert foreign.error == INVALID
    assert own.status == 200


@pytest.mark.proves("V1-059")
def test_a_right_code_is_of_no_use_to_another_client(server: StrictServer) -> None:
    sent, code = code_sent(server, account_by_code(server))

    foreign = proven(server, server.password_app, sent.token, "oob", code)
    own = proven(server, server.otp_app, sent.token, "oob", code)

    assert foreign.error == INVALID
    assert own.status == 200


@pytest.fixture
def houses(tmp_path: Path) -> Iterator[StrictServer]:
    """Two tenants with the same apps, `north` and `south`."""
    dev = demo.directory("secret")
    north, south = (
        replace(dev, tenant=replace(dev.tenant, id=f"{digit * 8}{dev.tenant.id[8:]}", name=name, aliases=()))
        for digit, name in (("1", "north"), ("2", "south"))
    )
    with two_tenants(tmp_path / "data", north, south) as server:
        yield server


@pytest.mark.proves("V1-060")
def test_a_token_is_good_in_its_own_tenant_alone(houses: StrictServer) -> None:
    app, address = demo.OTP_APP, new_address()
    start = {"client_id": app, "username": address, "challenge_type": "oob redirect"}
    token = houses.post_form(strict.SIGNUP_START, start, root="/north").ok().token
    form = {"client_id": app, "continuation_token": token}

    foreign = houses.post_form(strict.SIGNUP_CHALLENGE, form, root="/south")
    own = houses.post_form(strict.SIGNUP_CHALLENGE, form, root="/north")

    assert foreign.error == INVALID
    assert own.status == 200


def sign_in_token(server: StrictServer) -> str:
    return begun(server, server.otp_app, account_by_code(server)).token


def sign_up_token(server: StrictServer) -> str:
    form = {"client_id": server.otp_app, "username": new_address(), "challenge_type": "oob redirect"}
    return server.post_form(strict.SIGNUP_START, form).ok().token


def reset_token(server: StrictServer) -> str:
    form = {"client_id": server.otp_app, "username": account_by_password(server)}
    return server.post_form(strict.RESET_START, {**form, "challenge_type": "oob redirect"}).ok().token


def registration_token(server: StrictServer) -> str:
    return first_factor_by_code(server, account_by_code(server), server.scope).token


def second_factor_token(server: StrictServer) -> str:
    return first_factor_by_code(server, account_with_phone(server)[0], server.scope).token


FAMILIES: dict[Callable[[StrictServer], str], tuple[str, ...]] = {
    sign_in_token: (strict.CHALLENGE,),
    sign_up_token: (strict.SIGNUP_CHALLENGE, strict.SIGNUP_CONTINUE),
    reset_token: (strict.RESET_CHALLENGE,),
    registration_token: (strict.REGISTER_INTROSPECT, strict.REGISTER_CHALLENGE),
    second_factor_token: (strict.CHALLENGE, strict.INTROSPECT),
}
"""Where a flow stands → which endpoints may be called."""


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("grant", ["oob", "continuation_token"])
@pytest.mark.proves("V1-061")
def test_a_token_is_good_for_the_next_calls_of_its_flow_alone(
    server: StrictServer, family: Callable[[StrictServer], str], grant: str
) -> None:
    token = family(server)
    for endpoint in strict.WITH_TOKEN:
        if endpoint in FAMILIES[family]:
            continue
        if grant == "continuation_token" and endpoint in (strict.SIGNUP_CONTINUE, strict.RESET_CONTINUE):
            continue

        assert present(server, endpoint, token, grant=grant).error == invalid_at(endpoint), endpoint

    assert present(server, FAMILIES[family][0], token).status in (200, 400)


@pytest.mark.proves("V1-061")
def test_a_sign_up_token_resets_no_password(server: StrictServer) -> None:
    token = sign_up_token(server)

    for endpoint in (strict.RESET_CHALLENGE, strict.RESET_CONTINUE, strict.RESET_SUBMIT, strict.RESET_POLL):
        assert present(server, endpoint, token).error == INVALID_ELSEWHERE
    assert present(server, strict.SIGNUP_CHALLENGE, token).status == 200


# How long it is good. ---------------------------------------------------------------------------------


@pytest.mark.proves("V1-062")
def test_a_token_expires_after_ten_idle_minutes(server: StrictServer) -> None:
    app, token = server.otp_app, begun(server, server.otp_app, account_by_code(server)).token

    server.advance(590)
    in_time = present(server, strict.CHALLENGE, token)
    server.advance(590)
    slid = present(server, strict.CHALLENGE, in_time.token)
    server.advance(601)
    late = present(server, strict.CHALLENGE, slid.token)

    assert (in_time.status, slid.status) == (200, 200)
    assert late.error == ("expired_token", "", 552003)
    assert begun(server, app, account_by_code(server)).token


@pytest.mark.proves("V1-062")
def test_no_flow_lives_longer_than_half_an_hour(server: StrictServer) -> None:
    token = begun(server, server.otp_app, account_by_code(server)).token

    for _ in range(3):
        server.advance(590)
        token = present(server, strict.CHALLENGE, token).ok().token
    server.advance(31)

    assert present(server, strict.CHALLENGE, token).error == ("expired_token", "", 552003)


EXPIRING = [
    (sign_in_token, strict.CHALLENGE),
    (second_factor_token, strict.INTROSPECT),
    (sign_up_token, strict.SIGNUP_CHALLENGE),
    (sign_up_token, strict.SIGNUP_CONTINUE),
    (reset_token, strict.RESET_CHALLENGE),
    (registration_token, strict.REGISTER_INTROSPECT),
    (registration_token, strict.REGISTER_CHALLENGE),
]


@pytest.mark.parametrize(("family", "endpoint"), EXPIRING)
@pytest.mark.proves("V1-062")
def test_an_expired_token_is_told_from_an_invalid_one(
    server: StrictServer, family: Callable[[StrictServer], str], endpoint: str
) -> None:
    token = family(server)
    server.advance(601)

    answer = present(server, endpoint, token, grant="attributes")

    assert answer.error == ("expired_token", "", 552003)
    assert strict.heard(endpoint, answer.status, answer.body).js == "expired_token"


@with_token
@pytest.mark.parametrize(
    "token",
    [
        "x",
        "gk1.",
        "gk1.si.9qYc0m3l",
        "gk1." + "A" * 64,
        "A" * 5000,
        "gk1.%C3%A4",
        "\u0645",
        "../../etc/passwd",
    ],
)
@pytest.mark.proves("V1-063")
def test_garbage_is_answered_as_an_invalid_token(server: StrictServer, endpoint: str, token: str) -> None:
    assert present(server, endpoint, token).error == invalid_at(endpoint)


@with_token
@pytest.mark.proves("V1-063")
def test_a_token_changed_in_one_character_is_garbage(server: StrictServer, endpoint: str) -> None:
    token = sign_in_token(server)
    changed = token[:-1] + ("A" if token[-1] != "A" else "B")

    assert present(server, endpoint, changed).error == invalid_at(endpoint)


@with_token
@pytest.mark.proves("V1-063")
def test_a_missing_token_is_a_missing_parameter(server: StrictServer, endpoint: str) -> None:
    answer = present(server, endpoint, "")

    assert answer.error == ("invalid_request", "", 900144)
    assert "continuation_token" in answer["error_description"]


# A failed attempt does not use it up. -----------------------------------------------------------------


@pytest.mark.proves("V1-064")
def test_after_a_wrong_code_the_same_token_takes_the_right_one(server: StrictServer) -> None:
    sent, code = code_sent(server, account_by_code(server))

    first = proven(server, server.otp_app, sent.token, "oob", wrong(code))
    second = proven(server, server.otp_app, sent.token, "oob", code)

    assert first.error == ("invalid_grant", "invalid_oob_value", 50181)
    assert second.status == 200


@pytest.mark.proves("V1-065")
def test_after_a_wrong_password_the_same_token_takes_the_right_one(server: StrictServer) -> None:
    asked = password_asked(server, account_by_password(server))

    first = proven(server, server.password_app, asked.token, "password", "not this one, no")
    second = proven(server, server.password_app, asked.token, "password", PASSWORD)

    assert first.error == ("invalid_grant", "", 50126)
    assert second.status == 200


@pytest.mark.proves("V1-066")
def test_after_a_refused_new_password_the_same_token_takes_a_good_one(server: StrictServer) -> None:
    app, address = server.password_app, account_by_password(server)
    start = {"client_id": app, "username": address, "challenge_type": "oob redirect"}
    started = server.post_form(strict.RESET_START, start).ok()
    sent = server.post(strict.RESET_CHALLENGE, client_id=app, continuation_token=started.token).ok()
    form = {"client_id": app, "continuation_token": sent.token, "grant_type": "oob"}
    verified = server.post_form(
        strict.RESET_CONTINUE, {**form, "oob": server.code(address, "reset_password")}
    ).ok()

    def submit(password: str) -> Reply:
        form = {"client_id": app, "continuation_token": verified.token, "new_password": password}
        return server.post_form(strict.RESET_SUBMIT, form)

    refused = [submit(p).error for p in ("short", "aaaaaaaa", PASSWORD)]
    accepted = submit("another lively heron")

    assert [e[1] for e in refused] == ["password_too_short", "password_too_weak", "password_recently_used"]
    assert accepted.status == 200


@pytest.mark.proves("V1-067")
def test_after_refused_attributes_the_same_token_takes_good_ones(server: StrictServer) -> None:
    app, address = server.password_app, new_address()
    start = {"client_id": app, "username": address, "password": PASSWORD}
    started = server.post_form(strict.SIGNUP_START, {**start, "challenge_type": "oob password redirect"}).ok()
    sent = server.post(strict.SIGNUP_CHALLENGE, client_id=app, continuation_token=started.token).ok()
    form = {"client_id": app, "continuation_token": sent.token, "grant_type": "oob"}
    asked = server.post_form(strict.SIGNUP_CONTINUE, {**form, "oob": server.code(address, "sign_up")})

    def supply(**attributes: str) -> Reply:
        form = {"client_id": app, "continuation_token": asked.token, "grant_type": "attributes"}
        return server.post_form(strict.SIGNUP_CONTINUE, {**form, "attributes": json.dumps(attributes)})

    refused = supply(displayName="x" * 257)
    accepted = supply(displayName="Ada")

    assert asked.error == ("attributes_required", "", 55106)
    assert refused.error == ("invalid_grant", "attribute_validation_failed", 55106)
    assert accepted.status == 200


@pytest.mark.proves("V1-068")
def test_after_a_bad_contact_the_same_token_takes_a_good_one(server: StrictServer) -> None:
    app, token = server.otp_app, registration_token(server)

    def enrol(target: str) -> Reply:
        form = {"client_id": app, "continuation_token": token, "challenge_type": "oob"}
        return server.post_form(strict.REGISTER_CHALLENGE, {**form, "challenge_target": target})

    refused = [enrol(target).error for target in ("+44", "07700 900000", "+79123456789", "ada@")]
    accepted = enrol(new_number())

    assert [e[2] for e in refused] == [901001, 901001, 550024, 901001]
    assert accepted.status == 200


# Older ones. ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("screen", ["required", "listed"])
@pytest.mark.proves("V1-069")
def test_an_older_token_since_the_last_proof_asks_for_a_new_code(server: StrictServer, screen: str) -> None:
    address, number = account_with_phone(server)
    app = server.otp_app
    required = first_factor_by_code(server, address, server.scope)
    listed = server.post(strict.INTROSPECT, client_id=app, continuation_token=required.token).ok()
    method = listed["methods"][0]["id"]
    sent = challenged(server, app, listed.token, id=method)
    failed = proven(server, app, sent.token, "mfa_oob", wrong(server.code(number, "mfa")))
    server.advance(31)

    # As the end-to-end tests of MSAL iOS do: back to an earlier screen, with the token of that screen.
    seen, older = ids(server, number), {"required": required, "listed": listed}[screen]
    again = challenged(server, app, older.token, id=method)
    last = proven(server, app, again.token, "mfa_oob", newest(server, number, "mfa", seen))

    assert failed.error == ("invalid_grant", "invalid_oob_value", 50181)
    assert last.status == 200


@pytest.mark.proves("V1-069")
def test_a_token_from_before_the_last_proof_is_dead(server: StrictServer) -> None:
    address, _ = account_with_phone(server)
    app = server.otp_app
    first, seen = begun(server, app, address), ids(server, address)
    sent = challenged(server, app, first.token)
    required = proven(server, app, sent.token, "oob", newest(server, address, "sign_in", seen), server.scope)

    for older in (first.token, sent.token):
        assert present(server, strict.CHALLENGE, older).error == INVALID
        assert present(server, strict.INTROSPECT, older).error == INVALID_ELSEWHERE
    assert present(server, strict.INTROSPECT, required.token).status == 200


@pytest.mark.proves("V1-069")
def test_a_token_from_before_a_registration_is_dead_after_it(server: StrictServer) -> None:
    number, token = new_number(), registration_token(server)
    form = {"client_id": server.otp_app, "challenge_type": "oob", "challenge_target": number}
    sent = server.post_form(strict.REGISTER_CHALLENGE, {**form, "continuation_token": token}).ok()
    done = {"client_id": server.otp_app, "grant_type": "oob", "oob": server.code(number, "enrol")}
    last = server.post_form(strict.REGISTER_CONTINUE, {**done, "continuation_token": sent.token}).ok()

    for older in (token, sent.token):
        assert redeemed(server, server.otp_app, older).error == INVALID
        assert present(server, strict.REGISTER_INTROSPECT, older).error == INVALID_ELSEWHERE
    assert redeemed(server, server.otp_app, last.token).status == 200


@pytest.mark.proves("V1-070")
def test_after_tokens_were_issued_every_token_of_the_flow_is_dead(server: StrictServer) -> None:
    journey = whole_journey(server)
    over = [answer.token for answer in journey[:7]]
    assert journey[7].status == 200

    for token in over:
        for endpoint in strict.WITH_TOKEN:
            assert present(server, endpoint, token).error == invalid_at(endpoint)
        assert redeemed(server, server.otp_app, token).error == INVALID


@pytest.mark.proves("V1-070")
def test_a_right_code_signs_in_once(server: StrictServer) -> None:
    sent, code = code_sent(server, account_by_code(server))

    first = proven(server, server.otp_app, sent.token, "oob", code)
    second = proven(server, server.otp_app, sent.token, "oob", code)

    assert first.status == 200
    assert second.error == INVALID
