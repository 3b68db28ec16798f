"""How an app is pointed at Genkan: another origin, no proxy, no discovery."""

from __future__ import annotations

import pytest

from tests.browser.journeys import Mailbox
from tests.browser.sdk import AUTHORITY, OpenApp
from tests.server import Server, new_address

pytestmark = pytest.mark.browser


@pytest.mark.proves("V1-202")
def test_the_sdk_refuses_an_authority_without_tls_and_takes_an_api_address_without_it(
    server: Server, open_app: OpenApp
) -> None:
    app = open_app(server.otp_app)
    plain = f"{server.base}/dev"

    with_http_authority = app.create(
        {
            "auth": {"clientId": server.otp_app, "authority": plain},
            "customAuth": {"challengeTypes": ["oob"], "authApiProxyUrl": plain},
        }
    )
    with_http_api = app.create(
        {
            "auth": {"clientId": server.otp_app, "authority": AUTHORITY},
            "customAuth": {"challengeTypes": ["oob"], "authApiProxyUrl": plain},
        }
    )

    assert with_http_authority == {"refused": "authority_uri_insecure"}
    assert with_http_api.keys() == {"id"}
    assert app.open().sign_up(username=new_address()).said == {"isCodeRequired"}


@pytest.mark.proves("V1-021", "V1-022", "V1-201")
def test_a_whole_session_is_these_calls_and_no_other(server: Server, open_app: OpenApp) -> None:
    app, address = open_app(server.otp_app), new_address()
    mail = Mailbox(server, address)

    created = app.calls.endpoints
    with app.watched() as calls:
        started = app.sign_up(username=address)
        signed_up = started.state.do("submitCode", mail.code("sign_up"))
        signed_in = signed_up.state.do("signIn")
        signed_in.account.do("getAccessToken", {"forceRefresh": True})
        signed_in.account.do("signOut")
        asked = app.sign_in(username=address)
        signed_in = asked.state.do("submitCode", mail.code("sign_in"))

    assert signed_in.said == {"isCompleted"}
    assert created == ["/", "/app.js"]
    assert calls.endpoints == [
        "/signup/v1.0/start",
        "/signup/v1.0/challenge",
        "/signup/v1.0/continue",
        "/oauth2/v2.0/token",
        "/oauth2/v2.0/token",
        "/oauth2/v2.0/initiate",
        "/oauth2/v2.0/challenge",
        "/oauth2/v2.0/token",
    ]
    assert {call.origin for call in calls} == {server.base} != {app.calls[0].origin}
    # Were `x-ms-request-id` readable for the page, the SDK would go on with that instead of its own id.
    assert len({call.headers["client-request-id"] for call in calls[:4]}) == 1


@pytest.mark.proves("V1-024")
def test_a_page_of_an_origin_that_is_not_registered_can_read_nothing(
    server: Server, open_app: OpenApp, site_port: int
) -> None:
    app = open_app(server.otp_app, site=f"http://127.0.0.1:{site_port}/")

    refused = app.sign_in(username=new_address())

    assert (refused.said, refused.error.said) == ({"isFailed"}, set())
    assert refused.error.code == "http_request_failed"


@pytest.mark.proves("V1-023")
def test_headers_of_the_apps_own_pass(server: Server, open_app: OpenApp) -> None:
    app = open_app(server.otp_app, headers={"x-fraud-score": "12"})

    started = app.sign_up(username=new_address())

    assert started.said == {"isCodeRequired"}
    assert app.calls[-1].headers["x-fraud-score"] == "12"


@pytest.mark.proves("V1-005")
def test_query_parameters_of_the_apps_own_are_ignored(server: Server, open_app: OpenApp) -> None:
    app = open_app(server.otp_app, query={"dc": "somewhere"})

    started = app.sign_up(username=new_address())

    assert started.said == {"isCodeRequired"}
    assert app.calls[-1].query == {"dc": "somewhere"}


@pytest.mark.proves("V1-002", "V1-003")
@pytest.mark.parametrize(
    "alias", ["DEV", "dev.onmicrosoft.com", "aaaaaaaa-0000-4000-8000-000000000001", "dev/"]
)
def test_every_name_of_the_tenant_will_do(server: Server, open_app: OpenApp, alias: str) -> None:
    app, address = open_app(server.otp_app, api=f"{server.base}/{alias}"), new_address()
    mail = Mailbox(server, address)

    started = app.sign_up(username=address)
    signed_up = started.state.do("submitCode", mail.code("sign_up"))
    signed_in = signed_up.state.do("signIn")

    assert signed_in.said == {"isCompleted"}
