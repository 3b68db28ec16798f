"""
What an app says it can do, and what it is sent to the browser for.

Source: native-auth-v1 1.9, 4.2; rows 40 to 57.
"""

from __future__ import annotations

import json

import pytest

from tests.server import (
    BOTH,
    Reply,
    first_factor_by_code,
    new_address,
    new_number,
    newest,
    register_phone,
    sign_up_by_code,
)
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
)
from tests.wire.servers import StrictServer

CHALLENGES = (strict.CHALLENGE, strict.SIGNUP_CHALLENGE, strict.RESET_CHALLENGE)


def start(server: StrictServer, endpoint: str, types: str | None, app: str = "", **more: str) -> Reply:
    """The first call of a flow, about somebody for whom it would succeed."""
    app = app or server.password_app
    address = new_address() if endpoint == strict.SIGNUP_START else account_by_password(server)
    form = {"client_id": app, "username": address, **more}
    return server.post_form(endpoint, form if types is None else {**form, "challenge_type": types})


def is_redirect(answer: Reply) -> bool:
    return (
        answer.status == 200
        and answer.body.get("challenge_type") == "redirect"
        and "continuation_token" not in answer.body
    )


# Challenge types. -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "endpoint",
    [
        pytest.param(strict.INITIATE, marks=pytest.mark.proves("V1-040")),
        pytest.param(strict.SIGNUP_START, marks=pytest.mark.proves("V1-041")),
        pytest.param(strict.RESET_START, marks=pytest.mark.proves("V1-042")),
    ],
)
@pytest.mark.parametrize("types", ["oob", "oob password", "password"])
def test_a_list_without_redirect_is_unsupported(server: StrictServer, endpoint: str, types: str) -> None:
    answer = start(server, endpoint, types)

    assert answer.error == ("unsupported_challenge_type", "", 901007)
    assert strict.heard(endpoint, answer.status, answer.body).js == "unsupported_challenge_type"


@pytest.mark.parametrize("endpoint", strict.STARTS)
@pytest.mark.parametrize("types", ["oob password redirect smoke", "otp redirect", "oob,password,redirect"])
@pytest.mark.proves("V1-043")
def test_an_unknown_word_in_the_list_is_named_as_js_expects(
    server: StrictServer, endpoint: str, types: str
) -> None:
    answer = start(server, endpoint, types)

    assert answer.error == ("invalid_request", "", 90023)
    assert strict.CHALLENGE_TYPE_UNKNOWN in answer["error_description"]
    assert strict.heard(endpoint, answer.status, answer.body).js == "unsupported_challenge_type"


@pytest.mark.parametrize("endpoint", strict.STARTS)
@pytest.mark.parametrize("types", [None, "", "  "])
@pytest.mark.proves("V1-044")
def test_the_first_call_must_say_what_the_app_can_do(
    server: StrictServer, endpoint: str, types: str | None
) -> None:
    answer = start(server, endpoint, types)

    assert answer.error == ("invalid_request", "", 900144)
    assert "challenge_type" in answer["error_description"]


@pytest.mark.parametrize(("endpoint", "challenge"), [*zip(strict.STARTS, CHALLENGES, strict=True)])
@pytest.mark.proves("V1-045")
def test_a_challenge_without_a_list_uses_that_of_the_first_call(
    server: StrictServer, endpoint: str, challenge: str
) -> None:
    begun = start(server, endpoint, "oob password redirect").ok()

    answer = server.post(challenge, client_id=server.password_app, continuation_token=begun.token)

    assert answer.ok()["challenge_type"] == ("password" if endpoint == strict.INITIATE else "oob")


@pytest.mark.parametrize("endpoint", strict.STARTS)
@pytest.mark.parametrize(
    "types", ["OOB Password REDIRECT", " redirect  password oob ", "oob oob password redirect"]
)
def test_case_order_and_repetition_in_the_list_do_not_matter(
    server: StrictServer, endpoint: str, types: str
) -> None:
    assert start(server, endpoint, types).ok().token


@pytest.mark.parametrize(
    ("endpoint", "types", "app"),
    [
        pytest.param(strict.INITIATE, "oob redirect", "password", marks=pytest.mark.proves("V1-046")),
        pytest.param(strict.INITIATE, "redirect", "password", marks=pytest.mark.proves("V1-046")),
        pytest.param(strict.SIGNUP_START, "oob redirect", "password", marks=pytest.mark.proves("V1-048")),
        pytest.param(
            strict.SIGNUP_START, "password redirect", "password", marks=pytest.mark.proves("V1-048")
        ),
        pytest.param(strict.SIGNUP_START, "password redirect", "otp", marks=pytest.mark.proves("V1-049")),
        pytest.param(strict.SIGNUP_START, "redirect", "otp", marks=pytest.mark.proves("V1-049")),
        pytest.param(strict.RESET_START, "password redirect", "password", marks=pytest.mark.proves("V1-050")),
        pytest.param(strict.RESET_START, "redirect", "password", marks=pytest.mark.proves("V1-050")),
    ],
)
def test_an_app_that_cannot_do_it_is_sent_to_the_browser(
    server: StrictServer, endpoint: str, types: str, app: str
) -> None:
    answer = start(server, endpoint, types, server.told["apps"][app])

    assert is_redirect(answer)


@pytest.mark.parametrize("types", ["password redirect", "redirect"])
@pytest.mark.proves("V1-047")
def test_a_person_with_codes_is_sent_to_the_browser_by_an_app_without(
    server: StrictServer, types: str
) -> None:
    form = {"client_id": server.otp_app, "username": account_by_code(server), "challenge_type": types}

    assert is_redirect(server.post_form(strict.INITIATE, form))


@pytest.mark.proves("V1-046")
def test_the_first_factor_is_the_persons_and_not_the_apps(server: StrictServer) -> None:
    address = account_by_password(server)

    refused = server.post_form(
        strict.INITIATE, {"client_id": server.otp_app, "username": address, "challenge_type": "oob redirect"}
    )
    asked = challenged(server, server.otp_app, begun(server, server.otp_app, address).token)

    assert is_redirect(refused)
    assert asked["challenge_type"] == "password"


@pytest.mark.proves("V1-046")
def test_a_list_at_the_challenge_replaces_that_of_the_first_call(server: StrictServer) -> None:
    app = server.password_app
    token = begun(server, app, account_by_password(server)).token

    answer = server.post(
        strict.CHALLENGE, client_id=app, continuation_token=token, challenge_type="oob redirect"
    )

    assert is_redirect(answer)


@pytest.mark.proves("V1-051")
def test_a_redirect_says_why(server: StrictServer) -> None:
    sign_in = start(server, strict.INITIATE, "oob redirect")
    sign_up = start(server, strict.SIGNUP_START, "password redirect", server.otp_app)
    reset = start(server, strict.RESET_START, "password redirect")

    assert sign_in["redirect_reason"] == "The app did not list the challenge type password"
    assert sign_up["redirect_reason"] == "The app did not list the challenge type oob"
    assert reset["redirect_reason"] == "The app did not list the challenge type oob"


# Where a redirect is not understood. ----------------------------------------------------------------


@pytest.mark.parametrize("scope", [OPENID, "api"])
@pytest.mark.proves("V1-052")
def test_no_step_of_a_sign_up_redirects_after_its_challenge(server: StrictServer, scope: str) -> None:
    app, address = server.password_app, new_address()
    begun = start(server, strict.SIGNUP_START, "oob password redirect", username=address).ok()
    sent = server.post(strict.SIGNUP_CHALLENGE, client_id=app, continuation_token=begun.token).ok()

    def go_on(token: str, grant: str, **more: str) -> Reply:
        form = {"client_id": app, "continuation_token": token, "grant_type": grant, **more}
        return server.post_form(strict.SIGNUP_CONTINUE, form)

    answers = [go_on(sent.token, "oob", oob=server.code(address, "sign_up"))]
    asked = server.post(strict.SIGNUP_CHALLENGE, client_id=app, continuation_token=answers[0].token).ok()
    answers.append(go_on(asked.token, "password", password=PASSWORD))
    answers.append(go_on(answers[1].token, "attributes", attributes=json.dumps({"displayName": "Ada"})))
    last = redeemed(server, app, answers[2].token, scope=server.scope if scope == "api" else scope)

    assert [a.status for a in answers] == [400, 400, 200]
    assert not any("challenge_type" in a.body for a in answers)
    assert is_redirect(last) == (scope == "api")


@pytest.mark.proves("V1-053")
def test_no_step_of_a_reset_redirects_after_its_code(server: StrictServer) -> None:
    app, address = server.password_app, account_by_password(server)
    begun = server.post(
        strict.RESET_START, client_id=app, username=address, challenge_type="oob redirect"
    ).ok()
    sent = server.post(strict.RESET_CHALLENGE, client_id=app, continuation_token=begun.token).ok()
    form = {"client_id": app, "continuation_token": sent.token, "grant_type": "oob"}
    form["oob"] = server.code(address, "reset_password")
    verified = server.post_form(strict.RESET_CONTINUE, form).ok()

    new = {"client_id": app, "continuation_token": verified.token, "new_password": "another lively heron"}
    submitted = server.post_form(strict.RESET_SUBMIT, new).ok()
    polled = server.post(strict.RESET_POLL, client_id=app, continuation_token=submitted.token).ok()
    last = redeemed(server, app, polled.token, scope=server.scope)

    assert "challenge_type" not in submitted.body | polled.body
    assert is_redirect(last)


# Capabilities. --------------------------------------------------------------------------------------

SPELLINGS = [
    {"capabilities": "mfa_required registration_required"},
    {"capabilities": "registration_required  mfa_required"},
    {"capabilities": "mfa_required,registration_required"},
    {"capabilities": "mfa_required, registration_required"},
    {"capability": "mfa_required registration_required"},
    {"capability": "mfa_required,registration_required"},
    {"capabilities": "mfa_required", "capability": "registration_required"},
    {"capabilities": "MFA_Required REGISTRATION_REQUIRED"},
    {"capabilities": "mfa_required mfa_required registration_required"},
]


def first_factor(server: StrictServer, address: str, said: dict[str, str]) -> Reply:
    """The answer to a right code, with what the app said at the start, for an API that wants a second factor."""
    app, seen = server.otp_app, ids(server, address)
    form = {"client_id": app, "username": address, "challenge_type": "oob redirect", **said}
    sent = challenged(server, app, server.post_form(strict.INITIATE, form).ok().token)
    return proven(server, app, sent.token, "oob", newest(server, address, "sign_in", seen), server.scope)


@pytest.mark.parametrize("said", SPELLINGS, ids=lambda s: "+".join(f"{n}={v}" for n, v in s.items()))
@pytest.mark.proves("V1-054")
def test_all_spellings_of_the_capabilities_mean_the_same(server: StrictServer, said: dict[str, str]) -> None:
    with_phone, _ = account_with_phone(server)
    without = account_by_code(server)

    second = first_factor(server, with_phone, said)
    registration = first_factor(server, without, said)

    assert second.error == ("invalid_grant", "mfa_required", 50076)
    assert registration.error == ("invalid_grant", "registration_required", 50079)


@pytest.mark.parametrize(
    "said", ["x mfa_required registration_required", "mfa_required x,y,registration_required"]
)
@pytest.mark.proves("V1-055")
def test_unknown_capabilities_are_ignored(server: StrictServer, said: str) -> None:
    answer = first_factor_by_code(server, account_by_code(server), server.scope, said)

    assert answer.error == ("invalid_grant", "registration_required", 50079)


@pytest.mark.parametrize("said", ["", "registration_required", "mfa", "mfa_required_not"])
@pytest.mark.proves("V1-056")
def test_a_second_factor_needs_the_capability(server: StrictServer, said: str) -> None:
    address, _ = account_with_phone(server)

    answer = first_factor_by_code(server, address, server.scope, said)

    assert is_redirect(answer)
    assert answer["redirect_reason"] == "The app did not declare the capability mfa_required"


@pytest.mark.parametrize("said", ["", "mfa_required"])
@pytest.mark.proves("V1-057")
def test_a_registration_needs_the_capability(server: StrictServer, said: str) -> None:
    by_code = first_factor_by_code(server, account_by_code(server), server.scope, said)
    by_password = first_factor_by_password(
        server, account_by_password(server), server.scope, capabilities=said
    )

    for answer in (by_code, by_password):
        assert is_redirect(answer)
        assert answer["redirect_reason"] == "The app did not declare the capability registration_required"


@pytest.mark.proves("V1-056", "V1-057")
def test_what_was_not_needed_changes_nothing(server: StrictServer) -> None:
    address = account_by_code(server)

    assert first_factor_by_code(server, address, OPENID, "").status == 200
    assert first_factor_by_code(server, address, OPENID, BOTH).status == 200


@pytest.mark.proves("V1-054")
def test_the_capabilities_of_a_sign_up_hold_for_the_sign_in_that_follows(server: StrictServer) -> None:
    address, number = new_address(), new_number()
    done = sign_up_by_code(server, address)

    asked = redeemed(server, server.otp_app, done.token, username=address, scope=server.scope)
    last = redeemed(server, server.otp_app, register_phone(server, asked.token, number).token)

    assert asked.error == ("invalid_grant", "registration_required", 50079)
    assert last.status == 200


@pytest.mark.proves("V1-056")
def test_the_native_flow_is_over_after_a_redirect(server: StrictServer) -> None:
    address, _ = account_with_phone(server)
    app = server.otp_app
    sent, code = code_sent(server, address, capabilities="")
    assert is_redirect(proven(server, app, sent.token, "oob", code, server.scope))

    again = proven(server, app, sent.token, "oob", code, OPENID)

    assert again.error == ("invalid_grant", "", 55200)
