"""
What holds for every endpoint: paths and tenants, forms, headers, statuses, CORS.

Source: native-auth-v1 1.1 to 1.5, 1.10; rows 1 to 28.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlencode
from uuid import UUID, uuid4

import httpx2
import jwt
import pytest

from tests.server import BOTH, Reply, first_factor_by_code, new_number, newest
from tests.store.test_crashes import no_file_may_grow_past
from tests.wire import strict
from tests.wire.journeys import (
    account_by_code,
    account_by_password,
    begun,
    code_sent,
    first_factor_by_password,
    ids,
    proven,
)
from tests.wire.servers import FORM, StrictServer, World, in_process
from tests.wire.walks import Elsewhere

TENANT_ID = "aaaaaaaa-0000-4000-8000-000000000001"
ROOTS = ("/dev", "/dev.onmicrosoft.com", f"/{TENANT_ID}")
"""The tenant by each of its names."""
APP = "http://localhost:5173"
"""A web origin that the demo apps accept."""
GUID = "8f0e4c52-6d0b-4a37-9d0c-1f2e3d4c5b6a"
"""Nobody's."""
STRANGER = "https://evil.example"
MSAL_HEADERS = (
    "client-request-id",
    "x-client-sku",
    "x-client-ver",
    "x-client-os",
    "x-client-cpu",
    "x-client-current-telemetry",
    "x-client-last-telemetry",
)
DOCUMENTS = (
    "/v2.0/.well-known/openid-configuration",
    "/.well-known/openid-configuration",
    "/discovery/v2.0/keys",
)

every_endpoint = pytest.mark.parametrize("endpoint", strict.ENDPOINTS)

# Paths. ---------------------------------------------------------------------------------------------


@every_endpoint
@pytest.mark.proves("V1-001")
def test_every_endpoint_answers_a_post(server: StrictServer, endpoint: str) -> None:
    answer = server.post(endpoint, client_id=server.otp_app)

    assert answer.status == 400
    assert answer["error"] in ("invalid_request", "invalid_grant")


@every_endpoint
@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.proves("V1-002")
def test_every_endpoint_answers_the_same_under_each_name_of_the_tenant(
    server: StrictServer, endpoint: str, root: str
) -> None:
    form = {"client_id": server.otp_app, "continuation_token": "none", "challenge_type": "oob redirect"}
    form |= {"grant_type": "oob", "oob": "12345678", "username": "nobody@example.com"}

    answer = server.post_form(endpoint, form, root=root)

    assert answer.error == server.post_form(endpoint, form).error


@pytest.mark.proves("V1-002")
def test_one_flow_may_use_all_names_of_the_tenant_by_turns(server: StrictServer) -> None:
    address, number = account_by_code(server), new_number()
    token = first_factor_by_code(server, address, server.scope).token

    def step(endpoint: str, root: str, **more: str) -> str:
        form = {"client_id": server.otp_app, "continuation_token": token, **more}
        return server.post_form(endpoint, form, root=root).ok().token

    token = step(strict.REGISTER_INTROSPECT, ROOTS[0])
    token = step(strict.REGISTER_CHALLENGE, ROOTS[1], challenge_type="oob", challenge_target=number)
    code = server.code(number, "enrol")
    token = step(strict.REGISTER_CONTINUE, ROOTS[2], grant_type="oob", oob=code)

    step(strict.TOKEN, ROOTS[1], grant_type="continuation_token")


@pytest.mark.parametrize("root", ["/DEV", "/Dev.OnMicrosoft.Com", f"/{TENANT_ID.upper()}"])
@pytest.mark.proves("V1-003")
def test_the_case_of_the_tenant_does_not_matter(server: StrictServer, root: str) -> None:
    form = {
        "client_id": server.otp_app,
        "username": account_by_code(server),
        "challenge_type": "oob redirect",
    }

    lower = server.post_form(strict.INITIATE, form, root=root)
    upper = server.post_form(strict.INITIATE.upper(), form, root=root)

    assert lower.ok().token
    assert upper.ok().token


@pytest.mark.parametrize("root", ["/dev/", "/dev//", "//dev"])
@pytest.mark.proves("V1-004")
def test_slashes_between_tenant_and_endpoint_collapse(server: StrictServer, root: str) -> None:
    form = {
        "client_id": server.otp_app,
        "username": account_by_code(server),
        "challenge_type": "oob redirect",
    }

    response = server.http.post(f"{server.base}{root}{strict.INITIATE}", data=form)

    strict.check(strict.INITIATE, form, response)
    assert response.status_code == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
@every_endpoint
@pytest.mark.proves("V1-008")
def test_another_method_is_405_with_a_json_body(server: StrictServer, endpoint: str, method: str) -> None:
    response = server.http.request(method, f"{server.base}/dev{endpoint}")

    strict.check(endpoint, {}, response)
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"


@every_endpoint
@pytest.mark.proves("V1-019")
def test_an_unknown_tenant_is_400_with_the_envelope(server: StrictServer, endpoint: str) -> None:
    answer = server.post_form(endpoint, {"client_id": server.otp_app}, root="/nowhere")

    assert answer.status == 400
    assert answer.error == ("invalid_request", "", 90002)


# Forms. ---------------------------------------------------------------------------------------------


@pytest.mark.proves("V1-005")
def test_an_unknown_query_parameter_is_ignored(server: StrictServer) -> None:
    form = {
        "client_id": server.otp_app,
        "username": account_by_code(server),
        "challenge_type": "oob redirect",
    }

    answer = server.post_form(f"{strict.INITIATE}?dc=ESTS-PUB&client-request-id={uuid4()}&x=1&x=2", form)

    assert answer.ok().token


@pytest.mark.proves("V1-006")
def test_an_unknown_body_parameter_is_ignored(server: StrictServer) -> None:
    form = {
        "client_id": server.otp_app,
        "username": account_by_code(server),
        "challenge_type": "oob redirect",
    }

    answer = server.post_form(strict.INITIATE, {**form, "nca": "1", "challenge_channel": "email", "x": ""})

    assert answer.ok().token


@pytest.mark.parametrize("content_type", [f"{FORM};charset=utf-8", f"{FORM}; charset=UTF-8", FORM.upper()])
@pytest.mark.proves("V1-007")
def test_a_charset_in_the_content_type_is_accepted(server: StrictServer, content_type: str) -> None:
    form = {
        "client_id": server.otp_app,
        "username": account_by_code(server),
        "challenge_type": "oob redirect",
    }

    answer = server.post_raw(strict.INITIATE, urlencode(form), content_type)

    assert answer.ok().token


@pytest.mark.parametrize(
    ("name", "second"),
    [
        pytest.param("username", "somebody.else@example.com", marks=pytest.mark.proves("V1-009")),
        pytest.param("challenge_type", "oob password redirect", marks=pytest.mark.proves("V1-009")),
        pytest.param("nonsense", "2", marks=pytest.mark.proves("V1-009")),
        pytest.param("username", None, marks=pytest.mark.proves("V1-010")),
        pytest.param("client_id", None, marks=pytest.mark.proves("V1-010")),
        pytest.param("nonsense", None, marks=pytest.mark.proves("V1-010")),
    ],
)
def test_a_repeated_parameter_is_refused_whatever_its_values(
    server: StrictServer, name: str, second: str | None
) -> None:
    form = {
        "client_id": server.otp_app,
        "username": account_by_code(server),
        "challenge_type": "oob redirect",
    }
    form |= {"nonsense": "1"}

    answer = server.post_raw(strict.INITIATE, urlencode([*form.items(), (name, second or form[name])]))

    assert answer.error == ("invalid_request", "", 90100)
    assert strict.heard(strict.INITIATE, answer.status, answer.body) == strict.Heard.alike("general")


@pytest.mark.proves("V1-010")
def test_a_parameter_of_the_body_that_also_stands_in_the_query_is_refused(server: StrictServer) -> None:
    form = {
        "client_id": server.otp_app,
        "username": account_by_code(server),
        "challenge_type": "oob redirect",
    }

    answer = server.post_raw(f"{strict.INITIATE}?client_id={server.otp_app}", urlencode(form))

    assert answer.error == ("invalid_request", "", 90100)


@pytest.mark.parametrize("leading", ["?", "&", "\r\n&"])
def test_a_leading_question_mark_or_ampersand_is_tolerated(server: StrictServer, leading: str) -> None:
    form = {
        "client_id": server.otp_app,
        "username": account_by_code(server),
        "challenge_type": "oob redirect",
    }

    answer = server.post_raw(strict.INITIATE, leading + urlencode(form))

    assert answer.ok().token


@pytest.mark.proves("V1-011")
def test_blanks_around_a_password_are_part_of_it(server: StrictServer) -> None:
    address = account_by_password(server, "  lively heron at dusk ")

    exact = first_factor_by_password(server, address, "openid", "  lively heron at dusk ")
    trimmed = first_factor_by_password(server, address, "openid", "lively heron at dusk")

    assert exact.status == 200
    assert trimmed.error == ("invalid_grant", "", 50126)


def test_blanks_around_other_single_words_are_not(server: StrictServer) -> None:
    address = account_by_code(server)
    sent, code = code_sent(server, address)

    answer = proven(server, f" {server.otp_app} ", f" {sent.token} ", " oob ", f" {code} ")

    assert answer.status == 200


# Answers of every kind. -----------------------------------------------------------------------------

Ask = Callable[[StrictServer], httpx2.Response]


def success(server: StrictServer) -> httpx2.Response:
    form = {
        "client_id": server.otp_app,
        "username": account_by_code(server),
        "challenge_type": "oob redirect",
    }
    return server.http.post(f"{server.base}/dev{strict.INITIATE}", data=form)


def redirect(server: StrictServer) -> httpx2.Response:
    form = {"client_id": server.otp_app, "username": account_by_code(server), "challenge_type": "redirect"}
    return server.http.post(f"{server.base}/dev{strict.INITIATE}", data=form)


def tokens(server: StrictServer) -> httpx2.Response:
    sent, code = code_sent(server, account_by_code(server))
    form = {"client_id": server.otp_app, "continuation_token": sent.token, "grant_type": "oob", "oob": code}
    return server.http.post(f"{server.base}/dev{strict.TOKEN}", data=form)


def refusal(server: StrictServer) -> httpx2.Response:
    return server.http.post(f"{server.base}/dev{strict.TOKEN}", data={"client_id": server.otp_app})


def signal(server: StrictServer) -> httpx2.Response:
    sent, code = code_sent(server, account_by_code(server))
    form = {"client_id": server.otp_app, "continuation_token": sent.token, "grant_type": "oob", "oob": code}
    return server.http.post(f"{server.base}/dev{strict.TOKEN}", data={**form, "scope": server.scope})


def empty(server: StrictServer) -> httpx2.Response:
    return server.http.post(f"{server.base}/dev{strict.TOKEN}")


def wrong_method(server: StrictServer) -> httpx2.Response:
    return server.http.get(f"{server.base}/dev{strict.TOKEN}")


def wrong_type(server: StrictServer) -> httpx2.Response:
    return server.http.post(f"{server.base}/dev{strict.TOKEN}", json={"client_id": server.otp_app})


def too_large(server: StrictServer) -> httpx2.Response:
    return server.http.post(f"{server.base}/dev{strict.TOKEN}", data={"client_id": "x" * 70_000})


def not_utf8(server: StrictServer) -> httpx2.Response:
    headers = {"content-type": FORM}
    return server.http.post(f"{server.base}/dev{strict.TOKEN}", content=b"client_id=\xff", headers=headers)


def unknown_tenant(server: StrictServer) -> httpx2.Response:
    return server.http.post(f"{server.base}/nowhere{strict.TOKEN}", data={"client_id": server.otp_app})


SUCCESSES = (success, redirect, tokens)
REFUSALS = (refusal, signal, empty, wrong_method, wrong_type, too_large, not_utf8, unknown_tenant)
every_kind = pytest.mark.parametrize("ask", [pytest.param(a, id=a.__name__) for a in (*SUCCESSES, *REFUSALS)])
every_refusal = pytest.mark.parametrize("ask", [pytest.param(a, id=a.__name__) for a in REFUSALS])


@every_kind
@pytest.mark.proves("V1-012")
def test_every_answer_is_a_json_object(server: StrictServer, ask: Ask) -> None:
    response = ask(server)

    assert response.headers["content-type"] == "application/json"
    assert isinstance(response.json(), dict)


@every_kind
@pytest.mark.proves("V1-013")
def test_no_answer_may_be_stored(server: StrictServer, ask: Ask) -> None:
    response = ask(server)

    assert response.headers["cache-control"] == "no-store"
    assert response.headers["pragma"] == "no-cache"


@every_kind
@pytest.mark.proves("V1-018")
def test_no_answer_asks_for_authentication(server: StrictServer, ask: Ask) -> None:
    assert "www-authenticate" not in ask(server).headers


@every_kind
@pytest.mark.proves("V1-012", "V1-013", "V1-018")
def test_every_answer_can_be_read_by_all_sdks(server: StrictServer, ask: Ask) -> None:
    response = ask(server)

    strict.check("/" + response.url.path.split("/", 2)[2], {}, response)


def is_guid(text: str) -> bool:
    return str(UUID(text)) == text


# Names of requests. ---------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [GUID, GUID.upper()])
@pytest.mark.proves("V1-014")
def test_the_clients_request_id_comes_back(server: StrictServer, given: str) -> None:
    form = {
        "client_id": server.otp_app,
        "username": account_by_code(server),
        "challenge_type": "oob redirect",
    }

    success = server.post_form(strict.INITIATE, form, {"client-request-id": given})
    refusal = server.post(strict.TOKEN, {"client-request-id": given}, client_id=server.otp_app)

    assert success.headers["client-request-id"] == given
    assert refusal.headers["client-request-id"] == refusal["correlation_id"] == given


@pytest.mark.proves("V1-015")
def test_without_a_request_id_the_server_makes_one(server: StrictServer) -> None:
    first = server.post(strict.TOKEN, client_id=server.otp_app)
    second = server.post(strict.TOKEN, client_id=server.otp_app)

    assert UUID(first.headers["client-request-id"]).version == 4
    assert first.headers["client-request-id"] == first["correlation_id"]
    assert first["correlation_id"] != second["correlation_id"]


@pytest.mark.parametrize("given", ["", "1", "not a guid", "x" * 4000, f"{{{GUID}}}", GUID.replace("-", "")])
@pytest.mark.proves("V1-016")
def test_a_malformed_request_id_does_no_harm(server: StrictServer, given: str) -> None:
    form = {
        "client_id": server.otp_app,
        "username": account_by_code(server),
        "challenge_type": "oob redirect",
    }

    answer = server.post_form(strict.INITIATE, form, {"client-request-id": given})

    assert answer.ok().token
    assert answer.headers["client-request-id"] != given
    assert is_guid(answer.headers["client-request-id"])


@every_kind
@pytest.mark.proves("V1-017")
def test_every_answer_has_a_trace_id_and_errors_repeat_it(server: StrictServer, ask: Ask) -> None:
    response = ask(server)

    assert is_guid(response.headers["x-ms-request-id"])
    if response.status_code != 200:
        assert response.headers["x-ms-request-id"] == response.json()["trace_id"]


# A fault changes nothing. ---------------------------------------------------------------------------


@pytest.fixture
def damageable(tmp_path: Path) -> Iterator[World]:
    """A world whose database the test may damage."""
    with in_process(tmp_path / "data") as world:
        yield world


@contextmanager
def unreadable_flows(folder: Path) -> Iterator[None]:
    """For a block every flow in the database is damaged."""
    with closing(sqlite3.connect(folder / "data" / "dev.db")) as database:
        flows = database.execute("SELECT body, id FROM flow").fetchall()
        assert flows
        with database:
            database.execute("UPDATE flow SET body = ?", (b"damaged",))
        yield
        with database:
            database.executemany("UPDATE flow SET body = ? WHERE id = ?", flows)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """For a block somebody else holds the database."""
    with closing(sqlite3.connect(folder / "data" / "dev.db", isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("ROLLBACK")


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """For a block the disk has no room for another page of the log."""
    with no_file_may_grow_past((folder / "data" / "dev.db-wal").stat().st_size):
        yield


UNAVAILABLE = ("temporarily_unavailable", "", 90055)


@pytest.mark.parametrize(
    ("trouble", "status", "error"),
    [
        (unreadable_flows, 500, ("server_error", "", 50000)),
        (locked, 503, UNAVAILABLE),
        (full, 503, UNAVAILABLE),
    ],
)
@pytest.mark.proves("V1-020")
def test_what_was_answered_5xx_can_be_repeated_as_it_was(
    damageable: World,
    tmp_path: Path,
    trouble: Callable[[Path], object],
    status: int,
    error: tuple[str, str, int],
) -> None:
    sent, code = code_sent(damageable, account_by_code(damageable))

    with trouble(tmp_path):  # type: ignore[attr-defined]
        failed = proven(damageable, damageable.otp_app, sent.token, "oob", code)
    repeated = proven(damageable, damageable.otp_app, sent.token, "oob", code)

    assert (failed.status, failed.error) == (status, error)
    assert repeated.status == 200


@contextmanager
def no_messages(world: World) -> Iterator[None]:
    """For a block nothing can be sent, by mail or by text message."""
    for failing in (True, False):
        world.http.post(f"{world.base}/dev/delivery", json={"failing": failing}).raise_for_status()
        if failing:
            yield


@pytest.mark.parametrize("trouble", [locked, full, None], ids=["locked", "full", "no messages"])
@pytest.mark.proves("AVL-07")
def test_whoever_is_signed_in_stays_so_while_messages_or_the_database_are_out_of_order(
    damageable: World, tmp_path: Path, trouble: Callable[[Path], object] | None
) -> None:
    """
    What was issued can be verified, for the keys need no database. A refresh needs one: it is told to wait, and the
    same refresh token goes on when the trouble is over (F-02, F-04, F-05, F-11).
    """
    world = damageable
    signed_in = first_factor_by_code(world, account_by_code(world), "openid offline_access").ok()
    form = {"client_id": world.otp_app, "grant_type": "refresh_token"}
    held = signed_in["refresh_token"]

    with trouble(tmp_path) if trouble else no_messages(world):  # type: ignore[attr-defined]
        for document in ("v2.0/.well-known/openid-configuration", "discovery/v2.0/keys"):
            assert world.http.get(f"{world.base}/dev/{document}").status_code == 200
        keys = jwt.PyJWKSet.from_dict(world.http.get(f"{world.base}/dev/discovery/v2.0/keys").json())
        key = keys[strict.jwt(signed_in["access_token"])[0]["kid"]]
        jwt.decode(signed_in["access_token"], key, algorithms=["RS256"], options={"verify_aud": False})
        during = world.post_form(strict.TOKEN, {**form, "refresh_token": held})

    assert during.error == (UNAVAILABLE if trouble else ("", "", 0))
    held = during.body.get("refresh_token", held)
    again = world.post_form(strict.TOKEN, {**form, "refresh_token": held})
    assert again.ok()["token_type"] == "Bearer"


@pytest.mark.parametrize("trouble", [locked, full])
@pytest.mark.proves("THR-09")
def test_while_nothing_can_be_written_a_flow_hears_so_within_a_second_and_then_one_code_arrives(
    damageable: World, tmp_path: Path, trouble: Callable[[Path], object]
) -> None:
    """However often it was asked for meanwhile: nothing is lost of the flow, and nothing is sent twice (F-02, F-11)."""
    address = account_by_code(damageable)
    start = begun(damageable, damageable.otp_app, address)
    form = {"client_id": damageable.otp_app, "continuation_token": start.token}

    with trouble(tmp_path):  # type: ignore[attr-defined]
        began = time.monotonic()
        failed = [damageable.post_form(strict.CHALLENGE, form) for _ in range(3)]
        took = time.monotonic() - began
    sent = damageable.post_form(strict.CHALLENGE, form).ok()
    code = damageable.code(address, "sign_in")

    assert [(answer.status, answer.error) for answer in failed] == [(503, UNAVAILABLE)] * 3
    assert all(int(answer.headers["retry-after"]) > 0 for answer in failed)
    assert took < 3
    assert proven(damageable, damageable.otp_app, sent.token, "oob", code).status == 200
    assert damageable.count(address, "sign_in") == 1


# CORS. ----------------------------------------------------------------------------------------------


def preflight(server: StrictServer, endpoint: str, origin: str, *headers: str) -> httpx2.Response:
    """What a browser asks before the call."""
    return server.http.options(
        f"{server.base}/dev{endpoint}",
        headers={
            "origin": origin,
            "access-control-request-method": "POST",
            "access-control-request-headers": ",".join(headers or MSAL_HEADERS),
        },
    )


def allowed_headers(response: httpx2.Response) -> set[str]:
    return {h.strip().lower() for h in response.headers["access-control-allow-headers"].split(",")}


@every_endpoint
@pytest.mark.proves("V1-021")
def test_a_preflight_from_an_allowed_origin_echoes_it(server: StrictServer, endpoint: str) -> None:
    response = preflight(server, endpoint, APP)

    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == APP
    assert "POST" in response.headers["access-control-allow-methods"]
    assert response.headers["vary"] == "Origin"


@every_endpoint
@pytest.mark.proves("V1-022")
def test_a_preflight_allows_all_headers_of_msal(server: StrictServer, endpoint: str) -> None:
    response = preflight(server, endpoint, APP)

    assert {*MSAL_HEADERS, "content-type"} <= allowed_headers(response)


@pytest.mark.proves("V1-023")
def test_a_preflight_allows_any_further_x_header(server: StrictServer) -> None:
    response = preflight(
        server, strict.INITIATE, APP, "content-type", "x-my-shop", "X-Fraud-Session", "cookie"
    )

    assert {"x-my-shop", "x-fraud-session"} <= allowed_headers(response)
    assert "cookie" not in allowed_headers(response)


@every_endpoint
@pytest.mark.proves("V1-024")
def test_a_preflight_from_a_foreign_origin_allows_nothing(server: StrictServer, endpoint: str) -> None:
    response = preflight(server, endpoint, STRANGER)

    assert not [name for name in response.headers if name.startswith("access-control-allow")]


@pytest.mark.parametrize("origin", [STRANGER, "http://localhost.evil.example", "null", "http://localhost:x"])
@pytest.mark.proves("V1-024")
def test_a_call_from_a_foreign_origin_is_refused_unreadably(server: StrictServer, origin: str) -> None:
    form = {
        "client_id": server.otp_app,
        "username": account_by_code(server),
        "challenge_type": "oob redirect",
    }

    answer = server.post_form(strict.INITIATE, form, {"origin": origin})

    assert answer.error == ("invalid_request", "", 9002326)
    assert "access-control-allow-origin" not in answer.headers


REFUSED_FORMS = {
    "malformed": {"client_id": "x"},
    "unknown client": {"client_id": GUID},
    "no token": {"client_id": "aaaaaaaa-0000-4000-8000-0000000000a1"},
}


@pytest.mark.parametrize("form", REFUSED_FORMS.values(), ids=REFUSED_FORMS)
@every_endpoint
@pytest.mark.proves("V1-025")
def test_errors_can_be_read_by_an_allowed_origin(
    server: StrictServer, endpoint: str, form: dict[str, str]
) -> None:
    answer = server.post_form(endpoint, form, {"origin": APP})

    assert answer.status == 400
    assert answer.headers["access-control-allow-origin"] == APP
    assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize("misuse", [wrong_method, wrong_type, too_large], ids=lambda a: a.__name__)
@pytest.mark.proves("V1-025")
def test_misuse_of_the_transport_can_be_read_too(server: StrictServer, misuse: Ask) -> None:
    server.http.headers["origin"] = APP
    try:
        response = misuse(server)
    finally:
        del server.http.headers["origin"]

    assert response.headers["access-control-allow-origin"] == APP


@pytest.mark.proves("V1-026")
def test_no_answer_allows_credentials(server: StrictServer) -> None:
    form = {
        "client_id": server.otp_app,
        "username": account_by_code(server),
        "challenge_type": "oob redirect",
    }
    origin = {"origin": APP}

    answers = [
        server.post_form(strict.INITIATE, form, origin).headers,
        server.post(strict.TOKEN, origin, client_id=server.otp_app).headers,
        *(preflight(server, endpoint, APP).headers for endpoint in strict.ENDPOINTS),
        *(server.http.get(f"{server.base}/dev{path}", headers=origin).headers for path in DOCUMENTS),
    ]

    assert all(headers["access-control-allow-origin"] == APP for headers in answers)
    assert not any("access-control-allow-credentials" in headers for headers in answers)


@every_endpoint
@pytest.mark.proves("V1-027")
def test_the_trace_id_is_not_exposed(server: StrictServer, endpoint: str) -> None:
    refusal = server.post(endpoint, {"origin": APP}, client_id=server.otp_app)

    for headers in (refusal.headers, preflight(server, endpoint, APP).headers):
        assert "x-ms-request-id" not in headers.get("access-control-expose-headers", "")
    assert "x-ms-request-id" in refusal.headers


@pytest.mark.parametrize("path", DOCUMENTS)
@pytest.mark.proves("V1-028")
def test_discovery_and_keys_can_be_read_by_an_allowed_origin(server: StrictServer, path: str) -> None:
    response = server.http.get(f"{server.base}/dev{path}", headers={"origin": APP})

    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == APP
    assert response.headers["vary"] == "Origin"


@pytest.mark.proves("V1-021", "V1-025")
def test_a_whole_sign_in_works_from_a_browser(server: StrictServer) -> None:
    address = account_by_code(server)
    origin = {"origin": APP, "x-client-sku": "msal.browser", "x-client-os": "", "x-client-cpu": ""}
    seen = ids(server, address)

    form = {"client_id": server.otp_app, "username": address, "challenge_type": "oob redirect"}
    begun = server.post_form(strict.INITIATE, {**form, "capabilities": BOTH}, origin).ok()
    sent = server.post(
        strict.CHALLENGE, origin, client_id=server.otp_app, continuation_token=begun.token
    ).ok()
    form = {"client_id": server.otp_app, "continuation_token": sent.token, "grant_type": "oob"}
    answer = server.post_form(
        strict.TOKEN, {**form, "oob": newest(server, address, "sign_in", seen), "client_info": "1"}, origin
    )

    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == APP


# How fast. ------------------------------------------------------------------------------------------


def hastily(server: StrictServer, endpoint: str, most: int = 60) -> list[Reply]:
    """Answers to the same request sent again and again, up to the first that has to wait."""
    answers: list[Reply] = []
    while len(answers) < most and (not answers or answers[-1].status != 429):
        answers.append(server.post_form(endpoint, {"client_id": server.otp_app}))
    return answers


@every_endpoint
def test_a_tenant_may_limit_how_many_requests_an_address_sends_in_a_second(
    world: World, endpoint: str
) -> None:
    fast, other = (Elsewhere(world, f"2001:db8::{uuid4().hex[:4]}:{n}") for n in (1, 2))

    with world.changed(requests_per_second_per_address=5):
        answers = hastily(fast, endpoint)
        elsewhere = hastily(other, endpoint, most=1)
        world.advance(1)
        later = hastily(fast, endpoint, most=1)

    assert len(answers) > 5, "the sixth at the earliest"
    assert answers[-1].error == ("temporarily_unavailable", "", 90055)
    assert answers[-1].headers["retry-after"] == "1"
    assert (elsewhere[0].status, later[0].status) == (400, 400)


def test_a_tenant_may_limit_how_many_requests_it_answers_in_a_second(world: World) -> None:
    with world.changed(requests_per_second=5):
        answers = hastily(world, strict.TOKEN)
        elsewhere = hastily(Elsewhere(world, "198.51.100.9"), strict.INITIATE, most=1)

    assert answers[-1].status == elsewhere[0].status == 429


def test_nothing_is_limited_unless_a_tenant_wants_it(world: World) -> None:
    assert {answer.status for answer in hastily(Elsewhere(world, "198.51.100.10"), strict.TOKEN)} == {400}
