"""Second factors, asked for and registered, as apps on MSAL JS see them."""

from __future__ import annotations

from typing import Any

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
from tests.browser.sdk import App, OpenApp, Result
from tests.server import Server, new_address, new_number

pytestmark = pytest.mark.browser


def api_claims(server: Server, completed: Result) -> dict[str, Any]:
    """The verified claims of the access token for the demo API that a sign-in has just brought."""
    token = completed.account.do("getAccessToken", {"forceRefresh": False, "scopes": [server.scope]})
    assert token.said == {"isCompleted"}
    return verified(server, token.value["accessToken"], server.told["api"]["client_id"])


def first_factor_proven(server: Server, app: App, address: str) -> Result:
    """Sign in for the demo API up to the point where policy has been asked."""
    mail = Mailbox(server, address)
    asked = app.sign_in(username=address, scopes=[server.scope])
    return asked.state.do("submitCode", mail.code("sign_in"))


def method_of(result: Result, channel: str) -> dict[str, Any]:
    """The method of a channel among those the SDK lists."""
    [method] = [m for m in result.state.ask("getAuthMethods") if m["challenge_channel"] == channel]
    return dict(method)


# Asked for, by text message. ------------------------------------------------------------------------


@pytest.mark.proves("V1-102", "V1-110", "V1-115")
def test_a_wrong_code_by_text_message_is_reported_and_the_same_state_takes_the_right_one(
    server: Server, open_app: OpenApp
) -> None:
    app, address, number = open_app(server.otp_app), new_address(), new_number()
    code_user_with_phone(server, address, number)
    phone = Mailbox(server, number)
    stopped = first_factor_proven(server, app, address)
    challenged = stopped.state.do("requestChallenge", method_of(stopped, "sms")["id"])
    code = phone.code("mfa")

    refused = challenged.state.do("submitChallenge", wrong(code))
    completed = challenged.state.do("submitChallenge", code)

    assert (stopped.said, challenged.said) == ({"isMfaRequired"}, {"isVerificationRequired"})
    assert challenged.state.ask("getChannel") == "sms"
    assert challenged.state.ask("getSentTo") == f"+44*******{number[-2:]}"
    assert challenged.state.ask("getCodeLength") == len(code)
    assert (refused.said, refused.error.said) == ({"isFailed"}, {"isIncorrectChallenge"})
    assert completed.said == {"isCompleted"}
    assert api_claims(server, completed)["amr"] == ["otp", "sms", "mfa"]


def test_another_text_message_is_sent_half_a_minute_later_and_ends_the_first_code(
    server: Server, open_app: OpenApp
) -> None:
    app, address, number = open_app(server.otp_app), new_address(), new_number()
    code_user_with_phone(server, address, number)
    phone = Mailbox(server, number)
    stopped = first_factor_proven(server, app, address)
    method = method_of(stopped, "sms")["id"]
    challenged = stopped.state.do("requestChallenge", method)
    first = phone.code("mfa")

    too_soon = challenged.state.do("requestChallenge", method)
    server.advance(31)
    resent = challenged.state.do("requestChallenge", method)
    second = phone.code("mfa")
    stale = resent.state.do("submitChallenge", first)
    completed = resent.state.do("submitChallenge", second)

    assert (too_soon.said, too_soon.error.numbers) == ({"isFailed"}, [50088])
    assert resent.said == {"isVerificationRequired"}
    assert stale.error.said == {"isIncorrectChallenge"}
    assert completed.said == {"isCompleted"}


@pytest.mark.proves("V1-103")
def test_a_method_that_is_not_on_the_list_is_reported_as_invalid_input(
    server: Server, open_app: OpenApp
) -> None:
    app, address = open_app(server.otp_app), new_address()
    code_user_with_phone(server, address, new_number())
    stopped = first_factor_proven(server, app, address)

    refused = stopped.state.do("requestChallenge", "11111111-2222-3333-4444-555555555555")

    assert (refused.said, refused.error.said) == ({"isFailed"}, {"isInvalidInput"})


@pytest.mark.proves("V1-069")
def test_a_state_from_before_the_first_factor_is_of_no_use_after_it_and_does_no_harm(
    server: Server, open_app: OpenApp
) -> None:
    app, address, number = open_app(server.otp_app), new_address(), new_number()
    code_user_with_phone(server, address, number)
    mail, phone = Mailbox(server, address), Mailbox(server, number)
    asked = app.sign_in(username=address, scopes=[server.scope])
    code = mail.code("sign_in")
    stopped = asked.state.do("submitCode", code)

    stale = [asked.state.do("resendCode"), asked.state.do("submitCode", code)]
    challenged = stopped.state.do("requestChallenge", method_of(stopped, "sms")["id"])
    completed = challenged.state.do("submitChallenge", phone.code("mfa"))

    assert all((r.said, r.error.numbers) == ({"isFailed"}, [55200]) for r in stale)
    assert mail.received("sign_in") == 2
    assert completed.said == {"isCompleted"}


@pytest.mark.proves("V1-114")
def test_a_registered_phone_is_not_asked_for_where_no_policy_wants_it(
    server: Server, open_app: OpenApp
) -> None:
    app, address = open_app(server.otp_app), new_address()
    code_user_with_phone(server, address, new_number())
    mail = Mailbox(server, address)

    asked = app.sign_in(username=address)
    signed_in = asked.state.do("submitCode", mail.code("sign_in"))

    assert signed_in.said == {"isCompleted"}


# Registered during sign-in. -------------------------------------------------------------------------


@pytest.mark.proves("V1-116", "V1-118", "V1-124", "V1-133")
def test_a_wrong_code_while_registering_is_reported_and_the_same_state_takes_the_right_one(
    server: Server, open_app: OpenApp
) -> None:
    app, address, contact = open_app(server.password_app), new_address(), new_address()
    password_user(server, address)
    mail = Mailbox(server, contact)
    stopped = app.sign_in(username=address, password=PASSWORD, scopes=[server.scope])
    challenged = stopped.state.do(
        "challengeAuthMethod",
        {"authMethodType": method_of(stopped, "email"), "verificationContact": contact},
    )
    code = mail.code("enrol")

    refused = challenged.state.do("submitChallenge", wrong(code))
    registered = challenged.state.do("submitChallenge", code)

    assert stopped.said == {"isAuthMethodRegistrationRequired"}
    assert challenged.said == {"isVerificationRequired"}
    assert (challenged.state.ask("getChannel"), challenged.state.ask("getSentTo")) == ("email", contact)
    assert challenged.state.ask("getCodeLength") == len(code)
    assert (refused.said, refused.error.said) == ({"isFailed"}, {"isIncorrectChallenge"})
    assert registered.said == {"isCompleted"}
    assert api_claims(server, registered)["amr"] == ["pwd", "otp", "mfa"]


@pytest.mark.proves("V1-119")
def test_a_number_may_be_typed_as_people_write_it(server: Server, open_app: OpenApp) -> None:
    app, address, number = open_app(server.otp_app), new_address(), new_number()
    code_user(server, address)
    phone = Mailbox(server, number)
    stopped = first_factor_proven(server, app, address)
    typed = f"{number[:3]} {number[3:7]} {number[7:10]}-{number[10:]}"

    challenged = stopped.state.do(
        "challengeAuthMethod", {"authMethodType": method_of(stopped, "sms"), "verificationContact": typed}
    )
    registered = challenged.state.do("submitChallenge", phone.code("enrol"))

    assert registered.said == {"isCompleted"}


@pytest.mark.proves("V1-068", "V1-121")
def test_a_contact_that_cannot_be_is_reported_and_the_same_state_takes_a_good_one(
    server: Server, open_app: OpenApp
) -> None:
    app, address, number = open_app(server.otp_app), new_address(), new_number()
    code_user(server, address)
    phone = Mailbox(server, number)
    stopped = first_factor_proven(server, app, address)
    method = method_of(stopped, "sms")

    refused = [
        stopped.state.do("challengeAuthMethod", {"authMethodType": method, "verificationContact": contact})
        for contact in ("07911 123456", "+44 1", "not a number", address)
    ]
    challenged = stopped.state.do(
        "challengeAuthMethod", {"authMethodType": method, "verificationContact": number}
    )
    registered = challenged.state.do("submitChallenge", phone.code("enrol"))

    assert all((r.said, r.error.said) == ({"isFailed"}, {"isInvalidInput"}) for r in refused)
    assert registered.said == {"isCompleted"}


def test_another_contact_may_be_chosen_while_a_code_is_on_its_way(server: Server, open_app: OpenApp) -> None:
    app, address, contact = open_app(server.password_app), new_address(), new_address()
    password_user(server, address)
    mail = Mailbox(server, contact)
    stopped = app.sign_in(username=address, password=PASSWORD, scopes=[server.scope])
    method = method_of(stopped, "email")
    mistyped = stopped.state.do(
        "challengeAuthMethod", {"authMethodType": method, "verificationContact": new_address()}
    )

    corrected = mistyped.state.do(
        "challengeAuthMethod", {"authMethodType": method, "verificationContact": contact}
    )
    registered = corrected.state.do("submitChallenge", mail.code("enrol"))

    assert (mistyped.said, corrected.said) == ({"isVerificationRequired"}, {"isVerificationRequired"})
    assert registered.said == {"isCompleted"}


def test_the_mailbox_that_signed_in_is_not_offered_as_second_factor(
    server: Server, open_app: OpenApp
) -> None:
    app, address = open_app(server.otp_app), new_address()
    code_user(server, address)

    stopped = first_factor_proven(server, app, address)

    assert stopped.said == {"isAuthMethodRegistrationRequired"}
    assert [m["challenge_channel"] for m in stopped.state.ask("getAuthMethods")] == ["sms"]


# Registered during sign-up, and asked for by e-mail. ------------------------------------------------


@pytest.mark.proves("V1-126", "V1-129", "V1-133", "V1-159")
def test_the_address_of_a_password_sign_up_is_registered_without_another_code(
    server: Server, open_app: OpenApp
) -> None:
    app, address = open_app(server.password_app), new_address()
    mail = Mailbox(server, address)
    started = app.sign_up(username=address, password=PASSWORD, attributes={"displayName": "Ada"})
    signed_up = started.state.do("submitCode", mail.code("sign_up"))
    stopped = signed_up.state.do("signIn", {"scopes": [server.scope]})
    method = method_of(stopped, "email")

    registered = stopped.state.do(
        "challengeAuthMethod", {"authMethodType": method, "verificationContact": address.upper()}
    )

    assert stopped.said == {"isAuthMethodRegistrationRequired"}
    assert method["login_hint"] == address
    assert registered.said == {"isCompleted"}
    assert mail.received("enrol") == 0
    assert api_claims(server, registered)["amr"] == ["pwd", "otp", "mfa"]


@pytest.mark.proves("V1-127", "V1-133")
def test_another_address_than_that_of_the_sign_up_must_be_proven(server: Server, open_app: OpenApp) -> None:
    app, address, contact = open_app(server.password_app), new_address(), new_address()
    mail, other_mail = Mailbox(server, address), Mailbox(server, contact)
    started = app.sign_up(username=address, password=PASSWORD, attributes={"displayName": "Ada"})
    signed_up = started.state.do("submitCode", mail.code("sign_up"))
    stopped = signed_up.state.do("signIn", {"scopes": [server.scope]})

    challenged = stopped.state.do(
        "challengeAuthMethod",
        {"authMethodType": method_of(stopped, "email"), "verificationContact": contact},
    )
    registered = challenged.state.do("submitChallenge", other_mail.code("enrol"))

    assert challenged.said == {"isVerificationRequired"}
    assert registered.said == {"isCompleted"}


@pytest.mark.proves("V1-101", "V1-107", "V1-115", "V1-128", "V1-132")
def test_a_password_user_proves_the_own_mailbox_once_to_register_it_and_each_time_it_is_asked_for(
    server: Server, open_app: OpenApp
) -> None:
    app, address = open_app(server.password_app), new_address()
    password_user(server, address)
    mail = Mailbox(server, address)
    stopped = app.sign_in(username=address, password=PASSWORD, scopes=[server.scope])
    challenged = stopped.state.do(
        "challengeAuthMethod",
        {"authMethodType": method_of(stopped, "email"), "verificationContact": address},
    )
    assert challenged.said == {"isVerificationRequired"}
    registered = challenged.state.do("submitChallenge", mail.code("enrol"))
    registered.account.do("signOut")

    asked = app.sign_in(username=address, scopes=[server.scope])
    stopped = asked.state.do("submitPassword", PASSWORD)
    method = method_of(stopped, "email")
    challenged = stopped.state.do("requestChallenge", method["id"])
    completed = challenged.state.do("submitChallenge", mail.code("mfa"))
    renewed = completed.account.do("getAccessToken", {"forceRefresh": True, "scopes": [server.scope]})

    assert stopped.said == {"isMfaRequired"}
    assert method["login_hint"] == challenged.state.ask("getSentTo") != address
    assert challenged.state.ask("getChannel") == "email"
    assert (completed.said, renewed.said) == ({"isCompleted"}, {"isCompleted"})
    assert api_claims(server, completed)["amr"] == ["pwd", "otp", "mfa"]
