"""Self-service password reset as apps on MSAL JS see it."""

from __future__ import annotations

import pytest

from tests.browser.journeys import (
    ANOTHER_PASSWORD,
    PASSWORD,
    Mailbox,
    code_user,
    password_user,
    verified,
    wrong,
)
from tests.browser.sdk import OpenApp
from tests.server import Server, new_address

pytestmark = pytest.mark.browser


@pytest.mark.proves("V1-163", "V1-172", "V1-178", "V1-179", "V1-181")
def test_a_forgotten_password_is_replaced_and_the_app_is_signed_in(server: Server, open_app: OpenApp) -> None:
    app, address = open_app(server.password_app), new_address()
    password_user(server, address)
    mail = Mailbox(server, address)

    started = app.reset_password(username=address)
    proven = started.state.do("submitCode", mail.code("reset_password"))
    with app.watched() as calls:
        replaced = proven.state.do("submitNewPassword", ANOTHER_PASSWORD)
    signed_in = replaced.state.do("signIn")

    assert [r.said for r in (started, proven, replaced, signed_in)] == [
        {"isCodeRequired"},
        {"isPasswordRequired"},
        {"isCompleted"},
        {"isCompleted"},
    ]
    assert calls.endpoints == ["/resetpassword/v1.0/submit", "/resetpassword/v1.0/poll_completion"]
    assert 1 <= calls[0].answer["poll_interval"] <= 15
    claims = verified(server, signed_in.account.ask("getIdToken"), server.password_app)
    assert claims["preferred_username"] == address
    signed_in.account.do("signOut")
    assert app.sign_in(username=address, password=PASSWORD).error.said == {"isPasswordIncorrect"}
    assert app.sign_in(username=address, password=ANOTHER_PASSWORD).said == {"isCompleted"}


@pytest.mark.proves("V1-066", "V1-173", "V1-174")
def test_a_refused_new_password_can_be_replaced_in_the_same_state(server: Server, open_app: OpenApp) -> None:
    app, address = open_app(server.password_app), new_address()
    password_user(server, address)
    mail = Mailbox(server, address)
    started = app.reset_password(username=address)
    proven = started.state.do("submitCode", mail.code("reset_password"))

    refused = [
        proven.state.do("submitNewPassword", password) for password in ("abc", "abcdefgh1", address, PASSWORD)
    ]
    accepted = proven.state.do("submitNewPassword", ANOTHER_PASSWORD)

    assert [r.error.sub_error for r in refused] == [
        "password_too_short",
        "password_too_weak",
        "password_banned",
        "password_recently_used",
    ]
    assert all((r.said, r.error.said) == ({"isFailed"}, {"isInvalidPassword"}) for r in refused)
    assert accepted.said == {"isCompleted"}


@pytest.mark.proves("V1-064", "V1-171")
def test_a_wrong_code_is_reported_and_a_resend_brings_a_new_one(server: Server, open_app: OpenApp) -> None:
    app, address = open_app(server.password_app), new_address()
    password_user(server, address)
    mail = Mailbox(server, address)
    started = app.reset_password(username=address)
    first = mail.code("reset_password")

    refused = started.state.do("submitCode", wrong(first))
    resent = started.state.do("resendCode")
    second = mail.code("reset_password")
    stale = resent.state.do("submitCode", first)
    proven = resent.state.do("submitCode", second)

    assert started.state.ask("getCodeLength") == len(first)
    assert (refused.said, refused.error.said) == ({"isFailed"}, {"isInvalidCode"})
    assert (resent.said, stale.error.said) == ({"isCodeRequired"}, {"isInvalidCode"})
    assert proven.said == {"isPasswordRequired"}


@pytest.mark.proves("V1-164")
def test_an_unknown_user_is_reported_as_not_found(server: Server, open_app: OpenApp) -> None:
    app = open_app(server.password_app)

    refused = app.reset_password(username=new_address())

    assert (refused.said, refused.error.said) == ({"isFailed"}, {"isUserNotFound"})


def test_what_is_no_address_is_reported_as_an_invalid_username(server: Server, open_app: OpenApp) -> None:
    app = open_app(server.password_app)

    refused = app.reset_password(username="ada lovelace")

    assert (refused.said, refused.error.said) == ({"isFailed"}, {"isInvalidUsername"})


@pytest.mark.proves("V1-165")
def test_who_signs_in_by_code_has_no_password_to_reset(server: Server, open_app: OpenApp) -> None:
    app, address = open_app(server.otp_app), new_address()
    code_user(server, address)

    refused = app.reset_password(username=address)

    assert (refused.said, refused.error.said) == ({"isFailed"}, set())
    assert (refused.error.code, refused.error.numbers[0]) == ("invalid_request", 500222)


@pytest.mark.proves("V1-050", "V1-051", "V1-096")
def test_an_app_that_cannot_take_a_code_is_sent_to_the_browser(server: Server, open_app: OpenApp) -> None:
    app, address = open_app(server.password_app, challenge_types=["password"]), new_address()
    password_user(server, address)

    refused = app.reset_password(username=address)

    assert (refused.said, refused.error.said) == ({"isFailed"}, {"isRedirectRequired"})
    assert "challenge type" in refused.error.description


@pytest.mark.proves("V1-180", "V1-192")
def test_a_reset_ends_the_sessions_that_were_open(server: Server, open_app: OpenApp) -> None:
    here, elsewhere, address = open_app(server.password_app), open_app(server.password_app), new_address()
    password_user(server, address)
    mail = Mailbox(server, address)
    signed_in = elsewhere.sign_in(username=address, password=PASSWORD)
    assert signed_in.account.do("getAccessToken", {"forceRefresh": True}).said == {"isCompleted"}

    started = here.reset_password(username=address)
    proven = started.state.do("submitCode", mail.code("reset_password"))
    proven.state.do("submitNewPassword", ANOTHER_PASSWORD)
    refused = signed_in.account.do("getAccessToken", {"forceRefresh": True})

    assert (refused.said, refused.error.code, refused.error.sub_error) == (
        {"isFailed"},
        "invalid_grant",
        "bad_token",
    )


def test_the_mailbox_of_a_reset_is_no_second_factor_in_the_sign_in_that_follows(
    server: Server, open_app: OpenApp
) -> None:
    app, address = open_app(server.password_app), new_address()
    password_user(server, address)
    mail = Mailbox(server, address)
    started = app.reset_password(username=address)
    proven = started.state.do("submitCode", mail.code("reset_password"))
    replaced = proven.state.do("submitNewPassword", ANOTHER_PASSWORD)

    stopped = replaced.state.do("signIn", {"scopes": [server.scope]})
    methods = {m["challenge_channel"]: m for m in stopped.state.ask("getAuthMethods")}
    refused = stopped.state.do(
        "challengeAuthMethod", {"authMethodType": methods["email"], "verificationContact": address}
    )

    assert stopped.said == {"isAuthMethodRegistrationRequired"}
    assert refused.error.said == {"isInvalidInput"}
