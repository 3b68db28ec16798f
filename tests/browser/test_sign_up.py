"""Sign-up as apps on MSAL JS see it."""

from __future__ import annotations

import pytest

from tests.browser.journeys import PASSWORD, Mailbox, code_user, verified, wrong
from tests.browser.sdk import OpenApp
from tests.server import Server, new_address

pytestmark = pytest.mark.browser


# By e-mail code. ------------------------------------------------------------------------------------


@pytest.mark.proves("V1-140", "V1-142", "V1-156", "V1-182", "V1-183", "V1-184")
def test_a_code_makes_an_account_and_the_app_is_signed_in_without_a_further_question(
    server: Server, open_app: OpenApp
) -> None:
    app, address = open_app(server.otp_app), new_address()
    mail = Mailbox(server, address)

    started = app.sign_up(username=address)
    sent, code = app.calls[-1].answer, mail.code("sign_up")
    signed_up = started.state.do("submitCode", code)
    signed_in = signed_up.state.do("signIn")

    assert [r.said for r in (started, signed_up, signed_in)] == [
        {"isCodeRequired"},
        {"isCompleted"},
        {"isCompleted"},
    ]
    assert started.state.ask("getCodeLength") == len(code)
    assert started.state.ask("getCodeResendInterval") == sent["interval"]
    account, tokens = signed_in.account.ask("getAccount"), app.calls[-1].answer
    assert tokens.keys() >= {
        "token_type",
        "scope",
        "expires_in",
        "ext_expires_in",
        "access_token",
        "refresh_token",
        "id_token",
        "client_info",
    }
    assert tokens["token_type"] == "Bearer"
    assert type(tokens["expires_in"]) is int
    assert tokens["expires_in"] > 0
    assert (account["username"], account["tenantId"]) == (address, server.told["tenant_id"])
    assert account["homeAccountId"] == f"{account['localAccountId']}.{server.told['tenant_id']}"


@pytest.mark.proves("V1-064", "V1-141")
def test_a_wrong_code_is_reported_as_such_and_the_same_state_takes_the_right_one(
    server: Server, open_app: OpenApp
) -> None:
    app, address = open_app(server.otp_app), new_address()
    mail = Mailbox(server, address)
    started = app.sign_up(username=address)
    code = mail.code("sign_up")

    refused = started.state.do("submitCode", wrong(code))
    accepted = started.state.do("submitCode", code)

    assert (refused.said, refused.error.said) == ({"isFailed"}, {"isInvalidCode"})
    assert accepted.said == {"isCompleted"}


def test_after_a_resend_the_second_code_works_and_the_first_does_not(
    server: Server, open_app: OpenApp
) -> None:
    app, address = open_app(server.otp_app), new_address()
    mail = Mailbox(server, address)
    started = app.sign_up(username=address)
    first = mail.code("sign_up")

    resent = started.state.do("resendCode")
    second = mail.code("sign_up")
    stale = resent.state.do("submitCode", first)
    fresh = resent.state.do("submitCode", second)

    assert resent.said == {"isCodeRequired"}
    assert stale.error.said == {"isInvalidCode"}
    assert fresh.said == {"isCompleted"}


def test_a_code_of_another_length_never_leaves_the_page(server: Server, open_app: OpenApp) -> None:
    app = open_app(server.otp_app)
    started = app.sign_up(username=new_address())

    with app.watched() as calls:
        refused = started.state.do("submitCode", "1234")

    assert refused.error.said == {"isInvalidCode"}
    assert not calls


@pytest.mark.proves("V1-135")
def test_an_address_that_has_an_account_is_reported_as_existing(server: Server, open_app: OpenApp) -> None:
    app, address = open_app(server.otp_app), new_address()
    code_user(server, address)

    refused = app.sign_up(username=address)

    assert (refused.said, refused.error.said) == ({"isFailed"}, {"isUserAlreadyExists"})
    assert refused.error.numbers == [1003037]


def test_what_is_no_address_is_reported_as_an_invalid_username(server: Server, open_app: OpenApp) -> None:
    app = open_app(server.otp_app)

    refused = [
        app.sign_up(username=username)
        for username in ("ada", "ada@", "ada lovelace@example.com", "Ada <ada@example.com>", "")
    ]

    assert all((r.said, r.error.said) == ({"isFailed"}, {"isInvalidUsername"}) for r in refused)


# By password and attributes. ------------------------------------------------------------------------


@pytest.mark.proves("V1-151", "V1-153", "V1-162")
def test_with_password_and_attributes_at_the_start_the_code_is_the_only_question(
    server: Server, open_app: OpenApp
) -> None:
    app, address = open_app(server.password_app), new_address()
    mail = Mailbox(server, address)

    started = app.sign_up(
        username=address, password=PASSWORD, attributes={"displayName": "Ada Lovelace", "city": "London"}
    )
    signed_up = started.state.do("submitCode", mail.code("sign_up"))
    signed_in = signed_up.state.do("signIn")

    assert [r.said for r in (started, signed_up, signed_in)] == [
        {"isCodeRequired"},
        {"isCompleted"},
        {"isCompleted"},
    ]
    claims = verified(server, signed_in.account.ask("getIdToken"), server.password_app)
    assert (claims["name"], claims["amr"]) == ("Ada Lovelace", ["pwd"])


@pytest.mark.proves("V1-143", "V1-144", "V1-145", "V1-147", "V1-148", "V1-162")
def test_password_and_attributes_may_also_come_one_after_the_other(server: Server, open_app: OpenApp) -> None:
    app, address = open_app(server.password_app), new_address()
    mail = Mailbox(server, address)

    started = app.sign_up(username=address)
    proven = started.state.do("submitCode", mail.code("sign_up"))
    secured = proven.state.do("submitPassword", PASSWORD)
    required = secured.state.ask("getRequiredAttributes")
    signed_up = secured.state.do("submitAttributes", {"displayName": "Ada"})
    signed_in = signed_up.state.do("signIn")

    assert [r.said for r in (started, proven, secured, signed_up, signed_in)] == [
        {"isCodeRequired"},
        {"isPasswordRequired"},
        {"isAttributesRequired"},
        {"isCompleted"},
        {"isCompleted"},
    ]
    assert [(a["name"], a["type"], a["required"]) for a in required] == [("displayName", "string", True)]


@pytest.mark.proves("V1-136")
def test_a_weak_password_at_the_start_is_reported_before_any_code_is_sent(
    server: Server, open_app: OpenApp
) -> None:
    app, address = open_app(server.password_app), new_address()

    refused = app.sign_up(username=address, password="abcdefgh1", attributes={"displayName": "Ada"})

    assert (refused.said, refused.error.said) == ({"isFailed"}, {"isInvalidPassword"})
    assert refused.error.sub_error == "password_too_weak"
    assert not server.messages(address)


def test_a_refused_password_can_be_replaced_in_the_same_state(server: Server, open_app: OpenApp) -> None:
    app, address = open_app(server.password_app), new_address()
    mail = Mailbox(server, address)
    started = app.sign_up(username=address, attributes={"displayName": "Ada"})
    proven = started.state.do("submitCode", mail.code("sign_up"))

    refused = {
        password: proven.state.do("submitPassword", password)
        for password in ("abc", "abcdefgh1", address, "long" * 65, "bell\x07" + PASSWORD)
    }
    accepted = proven.state.do("submitPassword", PASSWORD)

    assert {r.error.sub_error for r in refused.values()} == {
        "password_too_short",
        "password_too_weak",
        "password_banned",
        "password_too_long",
        "password_is_invalid",
    }
    assert all(r.error.said == {"isInvalidPassword"} for r in refused.values())
    assert accepted.said == {"isCompleted"}


@pytest.mark.proves("V1-137")
def test_an_attribute_that_does_not_fit_is_named_at_the_start(server: Server, open_app: OpenApp) -> None:
    app = open_app(server.password_app)

    refused = app.sign_up(
        username=new_address(), password=PASSWORD, attributes={"displayName": "A" * 257, "city": "London"}
    )

    assert (refused.said, refused.error.said) == ({"isFailed"}, {"isAttributesValidationFailed"})
    assert refused.error.attributes == [{"name": "displayName"}]


@pytest.mark.proves("V1-067", "V1-149")
def test_refused_and_missing_attributes_can_be_handed_in_again_in_the_same_state(
    server: Server, open_app: OpenApp
) -> None:
    app, address = open_app(server.password_app), new_address()
    mail = Mailbox(server, address)
    started = app.sign_up(username=address, password=PASSWORD)
    proven = started.state.do("submitCode", mail.code("sign_up"))
    assert proven.said == {"isAttributesRequired"}

    refused = proven.state.do("submitAttributes", {"displayName": "A" * 257})
    partial = proven.state.do("submitAttributes", {"city": "London"})
    complete = proven.state.do("submitAttributes", {"displayName": "Ada"})

    assert refused.error.said == {"isAttributesValidationFailed"}
    assert partial.error.said == {"isMissingRequiredAttributes"}
    assert [a["name"] for a in partial.error.attributes] == ["displayName"]
    assert complete.said == {"isCompleted"}


# The web fallback. ----------------------------------------------------------------------------------


@pytest.mark.proves("V1-048", "V1-049", "V1-051", "V1-096")
@pytest.mark.parametrize(("user_flow", "can"), [("password", "oob"), ("otp", "password")])
def test_an_app_that_cannot_do_what_sign_up_needs_is_sent_to_the_browser(
    server: Server, open_app: OpenApp, user_flow: str, can: str
) -> None:
    app = open_app(server.told["apps"][user_flow], challenge_types=[can])

    refused = app.sign_up(username=new_address())

    assert (refused.said, refused.error.said) == ({"isFailed"}, {"isRedirectRequired"})
    assert "challenge type" in refused.error.description
