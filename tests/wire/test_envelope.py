"""
How a refusal looks, whatever it refuses.

Source: native-auth-v1 1.5, 1.6, 11.1; rows 29 to 39.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from genkan.model import Client
from tests.server import Reply, first_factor_by_code, new_address
from tests.wire import strict
from tests.wire.journeys import account_by_code, begun, challenged, code_sent, proven, wrong
from tests.wire.servers import StrictServer, World

CORRELATION = "0d6f9f1a-2f52-4cf1-8a68-3c8c4b0b9d11"
BROWSER_ONLY = "aaaaaaaa-0000-4000-8000-0000000000e1"
"""An app that is not enabled for native authentication, where a test registers it."""

every_endpoint = pytest.mark.parametrize("endpoint", strict.ENDPOINTS)

# One refusal of every sort that a demo tenant can be brought to. --------------------------------------


def no_client(server: StrictServer) -> Reply:
    return server.post(strict.INITIATE, username=new_address(), challenge_type="oob redirect")


def unknown_client(server: StrictServer) -> Reply:
    return initiate(server, client_id=BROWSER_ONLY)


def confidential_client(server: StrictServer) -> Reply:
    return initiate(server, client_id=str(server.told["admin"]["client_id"]))


def unknown_person(server: StrictServer) -> Reply:
    return initiate(server)


def no_username(server: StrictServer) -> Reply:
    return initiate(server, username="")


def no_redirect(server: StrictServer) -> Reply:
    return initiate(server, challenge_type="oob")


def unknown_challenge_type(server: StrictServer) -> Reply:
    return initiate(server, challenge_type="oob smoke redirect")


def no_challenge_type(server: StrictServer) -> Reply:
    return initiate(server, challenge_type="")


def bad_token(server: StrictServer) -> Reply:
    return server.post(strict.CHALLENGE, client_id=server.otp_app, continuation_token="gk1.nonsense")


def expired_token(server: StrictServer) -> Reply:
    token = begun(server, server.otp_app, account_by_code(server)).token
    server.advance(601)
    return server.post(strict.CHALLENGE, client_id=server.otp_app, continuation_token=token)


def unknown_grant(server: StrictServer) -> Reply:
    return server.post(strict.TOKEN, client_id=server.otp_app, grant_type="implicit")


def unknown_scope(server: StrictServer) -> Reply:
    sent, code = code_sent(server, account_by_code(server))
    return proven(server, server.otp_app, sent.token, "oob", code, "api://unknown/Read")


def wrong_code(server: StrictServer) -> Reply:
    sent, code = code_sent(server, account_by_code(server))
    return proven(server, server.otp_app, sent.token, "oob", wrong(code))


def enrolment_needed(server: StrictServer) -> Reply:
    return first_factor_by_code(server, account_by_code(server), server.scope)


def region_closed(server: StrictServer) -> Reply:
    token = enrolment_needed(server).token
    form = {"client_id": server.otp_app, "continuation_token": token, "challenge_type": "oob"}
    return server.post_form(strict.REGISTER_CHALLENGE, {**form, "challenge_target": "+79123456789"})


def bad_contact(server: StrictServer) -> Reply:
    token = enrolment_needed(server).token
    form = {"client_id": server.otp_app, "continuation_token": token, "challenge_type": "oob"}
    return server.post_form(strict.REGISTER_CHALLENGE, {**form, "challenge_target": "+123"})


def too_many_codes(server: StrictServer) -> Reply:
    app, token = server.otp_app, begun(server, server.otp_app, account_by_code(server)).token
    for _ in range(5):
        token = challenged(server, app, token).token
    return server.post(strict.CHALLENGE, client_id=app, continuation_token=token)


def person_exists(server: StrictServer) -> Reply:
    form = {
        "client_id": server.otp_app,
        "username": account_by_code(server),
        "challenge_type": "oob redirect",
    }
    return server.post_form(strict.SIGNUP_START, form)


def weak_password(server: StrictServer) -> Reply:
    form = {"client_id": server.password_app, "username": new_address(), "password": "aaaaaaaa"}
    return server.post_form(strict.SIGNUP_START, {**form, "challenge_type": "oob password redirect"})


def no_password(server: StrictServer) -> Reply:
    form = {
        "client_id": server.otp_app,
        "username": account_by_code(server),
        "challenge_type": "oob redirect",
    }
    return server.post_form(strict.RESET_START, form)


def bad_refresh_token(server: StrictServer) -> Reply:
    form = {"client_id": server.otp_app, "grant_type": "refresh_token", "refresh_token": "gkr1.none"}
    return server.post_form(strict.TOKEN, form)


def bad_claims(server: StrictServer) -> Reply:
    form = {"client_id": server.otp_app, "grant_type": "oob", "oob": "12345678", "claims": "{"}
    return server.post_form(strict.TOKEN, {**form, "continuation_token": "gk1.none"})


def repeated(server: StrictServer) -> Reply:
    return server.post_raw(strict.TOKEN, f"client_id={server.otp_app}&scope=openid&scope=profile")


def initiate(server: StrictServer, **changed: str) -> Reply:
    form = {"client_id": server.otp_app, "username": new_address(), "challenge_type": "oob redirect"}
    return server.post_form(strict.INITIATE, form | changed, {"client-request-id": CORRELATION})


Refuse = Callable[[StrictServer], Reply]
REFUSALS: dict[Refuse, tuple[str, str]] = {
    no_client: ("invalid_request", ""),
    unknown_client: ("unauthorized_client", ""),
    confidential_client: ("invalid_client", ""),
    unknown_person: ("user_not_found", ""),
    no_username: ("invalid_request", ""),
    no_redirect: ("unsupported_challenge_type", ""),
    unknown_challenge_type: ("invalid_request", ""),
    no_challenge_type: ("invalid_request", ""),
    bad_token: ("invalid_grant", ""),
    expired_token: ("expired_token", ""),
    unknown_grant: ("unsupported_grant_type", ""),
    unknown_scope: ("invalid_scope", ""),
    wrong_code: ("invalid_grant", "invalid_oob_value"),
    enrolment_needed: ("invalid_grant", "registration_required"),
    region_closed: ("access_denied", "provider_blocked_by_admin"),
    bad_contact: ("invalid_request", ""),
    too_many_codes: ("invalid_request", ""),
    person_exists: ("user_already_exists", ""),
    weak_password: ("invalid_grant", "password_too_weak"),
    no_password: ("invalid_request", ""),
    bad_refresh_token: ("invalid_grant", "bad_token"),
    bad_claims: ("invalid_request", ""),
    repeated: ("invalid_request", ""),
}

every_refusal = pytest.mark.parametrize("refuse", [pytest.param(r, id=r.__name__) for r in REFUSALS])


@every_refusal
@pytest.mark.proves("V1-029")
def test_every_refusal_has_the_six_members(server: StrictServer, refuse: Refuse) -> None:
    answer = refuse(server)

    for name in ("error", "error_description", "error_codes", "timestamp", "trace_id", "correlation_id"):
        assert answer[name]
    assert (answer["error"], answer.body.get("suberror", "")) == REFUSALS[refuse]


@every_refusal
@pytest.mark.proves("V1-030")
def test_every_refusal_has_a_number_first(server: StrictServer, refuse: Refuse) -> None:
    codes = refuse(server)["error_codes"]

    assert isinstance(codes, list)
    assert codes
    assert all(type(code) is int for code in codes)


@every_refusal
@pytest.mark.proves("V1-031")
def test_the_timestamp_is_utc_by_the_servers_clock(server: StrictServer, refuse: Refuse) -> None:
    stamp = refuse(server)["timestamp"]
    now = datetime.fromisoformat(server.http.get(f"{server.base}/dev/clock").json()["now"])

    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", stamp)
    at = datetime.strptime(stamp, "%Y-%m-%d %H:%M:%SZ").replace(tzinfo=UTC)
    assert now - timedelta(seconds=10) < at <= now


@every_endpoint
@pytest.mark.proves("V1-032")
def test_the_correlation_id_is_the_clients(server: StrictServer, endpoint: str) -> None:
    answer = server.post(endpoint, {"client-request-id": CORRELATION}, client_id=server.otp_app)

    assert answer["correlation_id"] == CORRELATION


@every_refusal
@pytest.mark.proves("V1-033")
def test_every_refusal_is_400(server: StrictServer, refuse: Refuse) -> None:
    assert refuse(server).status == 400


@every_refusal
@pytest.mark.proves("V1-034")
def test_no_member_is_null(server: StrictServer, refuse: Refuse) -> None:
    assert None not in refuse(server).body.values()


@every_refusal
@pytest.mark.proves("V1-029")
def test_the_description_names_number_trace_correlation_and_time(
    server: StrictServer, refuse: Refuse
) -> None:
    answer = refuse(server)

    assert answer["error_description"].startswith(f"AADSTS{answer['error_codes'][0]}: ")
    assert answer["error_description"].endswith(
        f" Trace ID: {answer['trace_id']} Correlation ID: {answer['correlation_id']}"
        f" Timestamp: {answer['timestamp']}"
    )
    assert UUID(answer["trace_id"]) != UUID(answer["correlation_id"])


# The client. ----------------------------------------------------------------------------------------


@every_endpoint
@pytest.mark.parametrize(
    "client",
    [
        pytest.param({}, marks=pytest.mark.proves("V1-035")),
        pytest.param({"client_id": ""}, marks=pytest.mark.proves("V1-035")),
        pytest.param({"client_id": "demo"}, marks=pytest.mark.proves("V1-036")),
        pytest.param({"client_id": "aaaaaaaa000040008000000000000a1"}, marks=pytest.mark.proves("V1-036")),
        pytest.param(
            {"client_id": "{aaaaaaaa-0000-4000-8000-0000000000a1}"}, marks=pytest.mark.proves("V1-036")
        ),
    ],
)
def test_a_client_id_that_is_no_guid_is_named_as_sdks_expect(
    server: StrictServer, endpoint: str, client: dict[str, str]
) -> None:
    answer = server.post_form(
        endpoint, {"username": "ada@example.com", "challenge_type": "oob redirect", **client}
    )

    assert answer.error == ("invalid_request", "", 90100)
    assert strict.CLIENT_INVALID in answer["error_description"]
    assert strict.USERNAME_INVALID not in answer["error_description"]


FULL_FORM = {
    "username": "ada@example.com",
    "challenge_type": "oob password redirect",
    "challenge_target": "ada@example.com",
    "continuation_token": "gk1.none",
    "oob": "12345678",
    "new_password": "lively heron at dusk",
}
"""Enough for every endpoint to have something to look at."""


def full_form(endpoint: str, client: str) -> dict[str, str]:
    return {**FULL_FORM, "grant_type": "oob", "client_id": client}


@every_endpoint
@pytest.mark.proves("V1-037")
def test_an_unknown_client_is_unauthorized(server: StrictServer, endpoint: str) -> None:
    answer = server.post_form(endpoint, full_form(endpoint, BROWSER_ONLY))

    assert answer.error == ("unauthorized_client", "", 700016)


@every_endpoint
@pytest.mark.proves("V1-038")
def test_an_app_without_native_authentication_is_told_so(world: World, endpoint: str) -> None:
    app = Client(id=BROWSER_ONLY, name="An app for browsers", native=False)

    with world.changed(app):
        answer = world.post_form(endpoint, full_form(endpoint, app.id))

    assert answer.error == ("invalid_client", "nativeauthapi_disabled", 7000218)


@every_endpoint
@pytest.mark.proves("V1-039")
def test_a_confidential_app_is_no_client_here(server: StrictServer, endpoint: str) -> None:
    answer = server.post_form(endpoint, full_form(endpoint, str(server.told["admin"]["client_id"])))

    assert answer.error == ("invalid_client", "", 7000218)


@pytest.mark.proves("V1-037")
def test_the_case_of_a_client_id_does_not_matter(server: StrictServer) -> None:
    form = {"username": account_by_code(server), "challenge_type": "oob redirect"}

    answer = server.post_form(strict.INITIATE, {**form, "client_id": server.otp_app.upper()})

    assert answer.ok().token
