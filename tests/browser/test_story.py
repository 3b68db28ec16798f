"""The story that the product is about, told by the SDK from beginning to end."""

from __future__ import annotations

import pytest

from tests.browser.journeys import Mailbox, verified
from tests.browser.sdk import OpenApp
from tests.server import Server, new_address, new_number

pytestmark = pytest.mark.browser


@pytest.mark.proves("V1-107", "V1-114", "V1-115", "V1-116", "V1-123", "V1-130", "V1-132", "V1-133")
@pytest.mark.proves("V1-185", "V1-189", "V1-201")
def test_a_newcomer_signs_in_with_a_code_and_proves_a_phone_once_an_api_asks_for_a_second_factor(
    server: Server, open_app: OpenApp
) -> None:
    app = open_app(server.otp_app)
    address, number = new_address(), new_number()
    mail, phone = Mailbox(server, address), Mailbox(server, number)
    api = str(server.told["api"]["client_id"])

    # Sign up by e-mail code. Nothing more is asked for, because no policy wants more for plain scopes.
    started = app.sign_up(username=address)
    assert started.said == {"isCodeRequired"}
    signed_up = started.state.do("submitCode", mail.code("sign_up"))
    assert signed_up.said == {"isCompleted"}
    signed_in = signed_up.state.do("signIn")
    assert signed_in.said == {"isCompleted"}
    assert signed_in.account.ask("getAccount")["username"] == address
    claims = verified(server, signed_in.account.ask("getIdToken"), server.otp_app)
    assert (claims["preferred_username"], claims["amr"]) == (address, ["otp"])
    assert signed_in.account.do("signOut").said == {"isCompleted"}

    # Ask for the API. There is no second factor yet, so one must be registered, and it cannot be the same mailbox.
    asked = app.sign_in(username=address, scopes=[server.scope])
    assert asked.said == {"isCodeRequired"}
    stopped = asked.state.do("submitCode", mail.code("sign_in"))
    assert stopped.said == {"isAuthMethodRegistrationRequired"}
    [method] = stopped.state.ask("getAuthMethods")
    assert method["challenge_channel"] == "sms"
    challenged = stopped.state.do(
        "challengeAuthMethod", {"authMethodType": method, "verificationContact": number}
    )
    assert challenged.said == {"isVerificationRequired"}
    assert (challenged.state.ask("getChannel"), challenged.state.ask("getSentTo")) == ("sms", number)
    registered = challenged.state.do("submitChallenge", phone.code("enrol"))
    assert registered.said == {"isCompleted"}
    assert "username" not in app.calls[-1].form
    token = registered.account.do("getAccessToken", {"forceRefresh": False, "scopes": [server.scope]})
    claims = verified(server, token.value["accessToken"], api)
    assert (claims["amr"], claims["scp"]) == (["otp", "sms", "mfa"], "Things.Read")
    assert registered.account.do("signOut").said == {"isCompleted"}

    # The next time, elsewhere, the phone is asked for.
    elsewhere = open_app(server.otp_app)
    again = elsewhere.sign_in(username=address, scopes=[server.scope])
    stopped = again.state.do("submitCode", mail.code("sign_in"))
    assert stopped.said == {"isMfaRequired"}
    [method] = stopped.state.ask("getAuthMethods")
    assert (method["challenge_channel"], method["login_hint"]) == ("sms", f"+44*******{number[-2:]}")
    challenged = stopped.state.do("requestChallenge", method["id"])
    assert challenged.said == {"isVerificationRequired"}
    completed = challenged.state.do("submitChallenge", phone.code("mfa"))
    assert completed.said == {"isCompleted"}
    token = completed.account.do("getAccessToken", {"forceRefresh": False, "scopes": [server.scope]})
    claims = verified(server, token.value["accessToken"], api)
    assert (claims["amr"], claims["azp"]) == (["otp", "sms", "mfa"], server.otp_app)
