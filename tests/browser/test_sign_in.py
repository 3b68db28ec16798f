"""Sign-in with one factor as apps on MSAL JS see it."""

from __future__ import annotations

import pytest

from tests.browser.journeys import (
    PASSWORD,
    Mailbox,
    code_user,
    code_user_with_phone,
    password_user,
    verified,
    wrong,
)
from tests.browser.sdk import OpenApp
from tests.server import Server, new_address, new_number

pytestmark = pytest.mark.browser


# By e-mail code. ------------------------------------------------------------------------------------


@pytest.mark.proves("V1-078", "V1-081")
def test_a_code_user_signs_in_with_the_code_that_was_mailed(server: Server, open_app: OpenApp) -> None:
    app, address = open_app(server.otp_app), new_address()
    code_user(server, address)
    mail = Mailbox(server, address)

    asked = app.sign_in(username=address)
    code = mail.code("sign_in")
    signed_in = asked.state.do("submitCode", code)

    assert asked.said == {"isCodeRequired"}
    assert asked.state.ask("getCodeLength") == len(code) == 8
    assert signed_in.said == {"isCompleted"}
    claims = verified(server, signed_in.account.ask("getIdToken"), server.otp_app)
    assert (claims["preferred_username"], claims["amr"]) == (address, ["otp"])


@pytest.mark.proves("V1-064", "V1-082", "V1-095")
def test_a_wrong_code_is_reported_as_invalid_and_the_same_state_takes_the_right_one(
    server: Server, open_app: OpenApp
) -> None:
    app, address = open_app(server.otp_app), new_address()
    code_user(server, address)
    mail = Mailbox(server, address)
    asked = app.sign_in(username=address)
    code = mail.code("sign_in")

    refused = asked.state.do("submitCode", wrong(code))
    accepted = asked.state.do("submitCode", code)

    assert (refused.said, refused.error.said) == ({"isFailed"}, {"isInvalidCode"})
    assert accepted.said == {"isCompleted"}


@pytest.mark.proves("V1-088")
def test_after_a_resend_the_second_code_works_and_the_first_does_not(
    server: Server, open_app: OpenApp
) -> None:
    app, address = open_app(server.otp_app), new_address()
    code_user(server, address)
    mail = Mailbox(server, address)
    asked = app.sign_in(username=address)
    first = mail.code("sign_in")

    resent = asked.state.do("resendCode")
    second = mail.code("sign_in")
    stale = resent.state.do("submitCode", first)
    fresh = resent.state.do("submitCode", second)

    assert resent.said == {"isCodeRequired"}
    assert stale.error.said == {"isInvalidCode"}
    assert fresh.said == {"isCompleted"}


@pytest.mark.proves("V1-069")
def test_the_state_before_a_resend_takes_the_new_code_too(server: Server, open_app: OpenApp) -> None:
    app, address = open_app(server.otp_app), new_address()
    code_user(server, address)
    mail = Mailbox(server, address)
    asked = app.sign_in(username=address)
    mail.code("sign_in")

    resent = asked.state.do("resendCode")
    signed_in = asked.state.do("submitCode", mail.code("sign_in"))

    assert resent.said == {"isCodeRequired"}
    assert signed_in.said == {"isCompleted"}


@pytest.mark.proves("V1-091")
def test_five_wrong_codes_end_the_attempt_and_a_new_one_works(server: Server, open_app: OpenApp) -> None:
    app, address = open_app(server.otp_app), new_address()
    code_user(server, address)
    mail = Mailbox(server, address)
    asked = app.sign_in(username=address)
    code = mail.code("sign_in")

    refused = [asked.state.do("submitCode", wrong(code)) for _ in range(5)]
    too_late = asked.state.do("submitCode", code)
    resent = asked.state.do("resendCode")
    again = app.sign_in(username=address).state.do("submitCode", mail.code("sign_in"))

    assert all(r.error.said == {"isInvalidCode"} for r in refused)
    assert (too_late.said, too_late.error.said, too_late.error.numbers) == ({"isFailed"}, set(), [55200])
    assert resent.said == {"isFailed"}
    assert again.said == {"isCompleted"}


@pytest.mark.proves("V1-070")
def test_an_attempt_that_has_brought_tokens_brings_nothing_more(server: Server, open_app: OpenApp) -> None:
    app, address = open_app(server.otp_app), new_address()
    code_user(server, address)
    mail = Mailbox(server, address)
    asked = app.sign_in(username=address)
    code = mail.code("sign_in")
    resent = asked.state.do("resendCode")
    code = mail.code("sign_in")

    twice = app.at_once(2, asked.state, "submitCode", code)
    later = [state.do("submitCode", code) for state in (asked.state, resent.state)]
    resends = [state.do("resendCode") for state in (asked.state, resent.state)]

    assert sorted(said for r in twice for said in r.said) == ["isCompleted", "isFailed"]
    assert all((r.said, r.error.numbers) == ({"isFailed"}, [55200]) for r in [*later, *resends])


# By password. ---------------------------------------------------------------------------------------


@pytest.mark.proves("V1-076", "V1-084")
@pytest.mark.parametrize("in_one_call", [True, False])
def test_a_password_user_signs_in_with_the_password(
    server: Server, open_app: OpenApp, in_one_call: bool
) -> None:
    app, address = open_app(server.password_app), new_address()
    password_user(server, address)

    if in_one_call:
        signed_in = app.sign_in(username=address, password=PASSWORD)
    else:
        asked = app.sign_in(username=address)
        assert asked.said == {"isPasswordRequired"}
        signed_in = asked.state.do("submitPassword", PASSWORD)

    assert signed_in.said == {"isCompleted"}
    claims = verified(server, signed_in.account.ask("getIdToken"), server.password_app)
    assert (claims["preferred_username"], claims["amr"]) == (address, ["pwd"])


@pytest.mark.proves("V1-065", "V1-083", "V1-094")
def test_a_wrong_password_is_reported_as_incorrect_and_the_same_state_takes_the_right_one(
    server: Server, open_app: OpenApp
) -> None:
    app, address = open_app(server.password_app), new_address()
    password_user(server, address)

    at_once = app.sign_in(username=address, password=PASSWORD + "?")
    asked = app.sign_in(username=address)
    refused = asked.state.do("submitPassword", PASSWORD + "?")
    accepted = asked.state.do("submitPassword", PASSWORD)

    assert (at_once.said, at_once.error.said) == ({"isFailed"}, {"isPasswordIncorrect"})
    assert (at_once.error.numbers, at_once.error.sub_error) == ([50126], "")
    assert (refused.said, refused.error.said) == ({"isFailed"}, {"isInvalidPassword"})
    assert accepted.said == {"isCompleted"}


@pytest.mark.proves("V1-011")
def test_blanks_around_a_password_are_part_of_it(server: Server, open_app: OpenApp) -> None:
    app, address = open_app(server.password_app), new_address()
    password_user(server, address, f"  {PASSWORD} ")

    trimmed = app.sign_in(username=address, password=PASSWORD)
    exact = app.sign_in(username=address, password=f"  {PASSWORD} ")

    assert trimmed.error.said == {"isPasswordIncorrect"}
    assert exact.said == {"isCompleted"}


def test_a_password_given_to_a_code_user_leads_to_the_code(server: Server, open_app: OpenApp) -> None:
    app, address = open_app(server.otp_app), new_address()
    code_user(server, address)
    mail = Mailbox(server, address)

    asked = app.sign_in(username=address, password=PASSWORD)
    signed_in = asked.state.do("submitCode", mail.code("sign_in"))

    assert asked.said == {"isCodeRequired"}
    assert signed_in.said == {"isCompleted"}


# Who is nobody. -------------------------------------------------------------------------------------


@pytest.mark.proves("V1-025", "V1-073", "V1-097")
def test_an_unknown_user_is_reported_as_not_found(server: Server, open_app: OpenApp) -> None:
    app = open_app(server.otp_app)

    refused = app.sign_in(username=new_address())

    assert (refused.said, refused.error.said) == ({"isFailed"}, {"isUserNotFound"})
    assert refused.error.numbers == [50034]


def test_what_is_no_address_is_reported_as_an_invalid_username(server: Server, open_app: OpenApp) -> None:
    app = open_app(server.otp_app)

    refused = app.sign_in(username="ada lovelace")

    assert (refused.said, refused.error.said) == ({"isFailed"}, {"isInvalidUsername"})


# The web fallback. ----------------------------------------------------------------------------------


@pytest.mark.proves("V1-046", "V1-047", "V1-051", "V1-096")
@pytest.mark.parametrize(("user", "can"), [("password", "oob"), ("code", "password")])
def test_an_app_that_cannot_take_the_first_factor_is_sent_to_the_browser(
    server: Server, open_app: OpenApp, user: str, can: str
) -> None:
    address = new_address()
    if user == "password":
        password_user(server, address)
    else:
        code_user(server, address)
    app = open_app(server.password_app if user == "password" else server.otp_app, challenge_types=[can])

    refused = app.sign_in(username=address)

    assert (refused.said, refused.error.said) == ({"isFailed"}, {"isRedirectRequired"})
    assert "challenge type" in refused.error.description
    assert "continuation_token" not in app.calls[-1].answer


@pytest.mark.proves("V1-056", "V1-057", "V1-096")
@pytest.mark.parametrize(
    ("has_phone", "lacks", "declares"),
    [(True, "mfa_required", "registration_required"), (False, "registration_required", "mfa_required")],
)
def test_an_app_that_did_not_declare_what_policy_needs_is_sent_to_the_browser(
    server: Server, open_app: OpenApp, has_phone: bool, lacks: str, declares: str
) -> None:
    app, address = open_app(server.otp_app, capabilities=[declares]), new_address()
    if has_phone:
        code_user_with_phone(server, address, new_number())
    else:
        code_user(server, address)
    mail = Mailbox(server, address)
    asked = app.sign_in(username=address, scopes=[server.scope])

    refused = asked.state.do("submitCode", mail.code("sign_in"))

    assert (refused.said, refused.error.said) == ({"isFailed"}, {"isRedirectRequired"})
    assert lacks in refused.error.description


# Time. ----------------------------------------------------------------------------------------------


@pytest.mark.proves("V1-090")
def test_a_code_that_has_grown_old_is_reported_as_invalid(server: Server, open_app: OpenApp) -> None:
    app, address = open_app(server.otp_app), new_address()
    code_user(server, address)
    mail = Mailbox(server, address)
    asked = app.sign_in(username=address)
    code = mail.code("sign_in")

    server.advance(5 * 60 + 1)
    refused = asked.state.do("submitCode", code)

    assert refused.error.said == {"isInvalidCode"}


@pytest.mark.proves("V1-062")
def test_an_attempt_that_was_left_alone_is_reported_as_expired(server: Server, open_app: OpenApp) -> None:
    app, address = open_app(server.otp_app), new_address()
    code_user(server, address)
    mail = Mailbox(server, address)
    asked = app.sign_in(username=address)
    code = mail.code("sign_in")

    server.advance(10 * 60 + 1)
    refused = asked.state.do("submitCode", code)

    assert (refused.said, refused.error.said) == ({"isFailed"}, {"isTokenExpired"})
    assert refused.error.numbers == [552003]
