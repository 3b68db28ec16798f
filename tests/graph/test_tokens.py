"""How an administrator's client gets its token, and what every answer and every error has in common."""

from __future__ import annotations

import re
import subprocess
import sys
import uuid
from datetime import datetime

import msal
import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError

from genkan.wire.graph import ROUTES
from tests.graph.sdk import EVERYTHING, ODataError, Office, Static, a_user, an_address
from tests.server import first_factor_by_code, sign_up_by_code

pytestmark = pytest.mark.anyio


async def users(graph) -> int:
    return len((await graph.users.get()).value)


@pytest.mark.proves("GR-001", "GR-003", "GR-005")
async def test_the_recipe_lists_users_over_tls_with_a_private_authority(office: Office) -> None:
    office.a_user()
    assert await users(office.graph()) >= 1


RECIPE = """
import asyncio, sys
from azure.identity import ClientSecretCredential
from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
from msgraph import GraphRequestAdapter, GraphServiceClient

HOST, TENANT, client_id, client_secret = sys.argv[1:]

credential = ClientSecretCredential(
    TENANT, client_id, client_secret, authority=HOST, disable_instance_discovery=True)
auth = AzureIdentityAuthenticationProvider(credential, scopes=["https://graph.microsoft.com/.default"])
adapter = GraphRequestAdapter(auth)
adapter.base_url = f"{HOST}/v1.0"
graph = GraphServiceClient(request_adapter=adapter)

async def main():
    page = await graph.users.get()
    print([u.display_name for u in page.value], page.odata_next_link)

asyncio.run(main())
"""


@pytest.mark.proves("GR-002")
def test_the_recipe_needs_nothing_but_two_variables_of_the_environment(office: Office) -> None:
    arguments = (office.base, "dev", office.admin["client_id"], office.admin["client_secret"])
    environment = {"SSL_CERT_FILE": office.ca_file, "REQUESTS_CA_BUNDLE": office.ca_file}
    done = subprocess.run(
        [sys.executable, "-c", RECIPE, *arguments],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.endswith("None\n")


@pytest.mark.proves("GR-004")
async def test_a_base_url_with_a_slash_at_its_end_works(office: Office) -> None:
    assert await users(office.graph(base_url=f"{office.base}/v1.0/")) >= 0


@pytest.mark.proves("GR-006")
async def test_the_scope_of_the_host_is_accepted_with_and_without_its_port(office: Office) -> None:
    assert await users(office.graph(scopes=[])) >= 0
    assert await users(office.graph(scopes=[f"{office.base}/.default"])) >= 0


@pytest.mark.proves("GR-007", "GR-008")
@pytest.mark.parametrize("by", ["authority", "oidc_authority"])
def test_msal_gets_a_token_by_itself(office: Office, by: str) -> None:
    where = (
        {"authority": f"{office.base}/dev", "instance_discovery": False}
        if by == "authority"
        else {"oidc_authority": f"{office.base}/dev/v2.0"}
    )
    session = requests.Session()
    session.trust_env, session.verify = False, office.ca_file
    office.opened.append(session)
    app = msal.ConfidentialClientApplication(
        office.admin["client_id"],
        client_credential=office.admin["client_secret"],
        http_client=session,
        **where,
    )
    answer = app.acquire_token_for_client([EVERYTHING])
    assert answer["token_type"] == "Bearer"
    assert office.call("GET", "/users", token=answer["access_token"]).status_code == 200


@pytest.mark.proves("GR-009")
def test_the_discovery_document_has_what_clients_insist_on(office: Office) -> None:
    document = office.http.get(f"{office.base}/dev/v2.0/.well-known/openid-configuration").json()
    for member in ("issuer", "token_endpoint", "authorization_endpoint", "jwks_uri"):
        assert document[member].startswith(office.base)
    assert "client_credentials" in document["grant_types_supported"]
    assert {"client_secret_post", "private_key_jwt"} <= set(document["token_endpoint_auth_methods_supported"])


def request(office: Office, **more: str) -> dict[str, str]:
    return {
        "client_id": office.admin["client_id"],
        "client_secret": office.admin["client_secret"],
        "grant_type": "client_credentials",
        "scope": EVERYTHING,
        **more,
    }


@pytest.mark.proves("GR-010")
def test_what_the_sdk_sends_beside_is_passed_over(office: Office) -> None:
    claims = '{"access_token": {"xms_cc": {"values": ["CP1"]}}}'
    answer = office.token_call(**request(office, claims=claims, client_info="1"))
    assert answer.status_code == 200
    assert answer.json().keys() == {"token_type", "expires_in", "ext_expires_in", "access_token"}


@pytest.mark.proves("GR-011")
def test_a_wrong_secret_is_named_as_such_by_azure_identity(office: Office) -> None:
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        office.credential(secret="wrong").get_token(EVERYTHING)


@pytest.mark.proves("GR-012", "GR-013")
@pytest.mark.parametrize(
    ("more", "status", "error", "number"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client", 7000215),
        ({"client_secret": ""}, 401, "invalid_client", 7000215),
        ({"client_id": str(uuid.uuid4())}, 400, "unauthorized_client", 700016),
        ({"scope": "https://graph.microsoft.com/User.Read.All"}, 400, "invalid_scope", 1002012),
        ({"scope": ""}, 400, "invalid_scope", 1002012),
        ({"scope": f"{EVERYTHING} openid"}, 400, "invalid_scope", 1002012),
        ({"scope": "https://other.example/.default"}, 400, "invalid_resource", 500011),
        ({"scope": "api://genkan-demo/.default"}, 400, "invalid_resource", 500011),
        ({"client_assertion": "a.b.c", "client_assertion_type": "what"}, 401, "invalid_client", 700027),
    ],
)
def test_what_gets_no_token(
    office: Office, more: dict[str, str], status: int, error: str, number: int
) -> None:
    answer = office.token_call(**request(office, **more))
    assert (answer.status_code, answer.json()["error"], answer.json()["error_codes"]) == (
        status,
        error,
        [number],
    )


@pytest.mark.proves("GR-012")
def test_a_public_client_cannot_act_for_itself(office: Office) -> None:
    answer = office.token_call(**request(office, client_id=office.otp_app))
    assert (answer.status_code, answer.json()["error_codes"]) == (401, [700025])


def test_without_any_proof_there_is_no_token(office: Office) -> None:
    form = request(office)
    del form["client_secret"]
    answer = office.token_call(**form)
    assert (answer.status_code, answer.json()["error_codes"]) == (401, [7000218])


@pytest.mark.proves("THR-01")
def test_wrong_secrets_are_counted_and_then_even_the_right_one_waits(office: Office) -> None:
    client, secret = office.client_with("User.Read.All")
    for _ in range(20):
        assert office.token_call(**request(office, client_id=client, client_secret="no")).status_code == 401
    answer = office.token_call(**request(office, client_id=client, client_secret=secret))
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
    assert office.token_call(**request(office)).status_code == 200
    office.advance(3601)
    office.__dict__.pop("_token", None)
    assert office.token_call(**request(office, client_id=client, client_secret=secret)).status_code == 200


# The token on the API. ----------------------------------------------------------------------------------------------


@pytest.mark.proves("GR-014", "GR-021")
async def test_without_a_token_the_sdk_raises_an_error_that_it_can_read(office: Office) -> None:
    with pytest.raises(ODataError) as caught:
        await office.graph(Static("none")).users.get()
    error = caught.value
    assert error.response_status_code == 401
    assert error.error is not None
    assert error.error.code == "InvalidAuthenticationToken"
    assert error.error.message
    assert error.error.inner_error is not None
    assert str(uuid.UUID(error.error.inner_error.request_id)) == error.error.inner_error.request_id
    assert isinstance(error.error.inner_error.date, datetime)


@pytest.mark.proves("GR-015")
def test_an_expired_token_is_refused(office: Office) -> None:
    token = office.token()
    assert office.call("GET", "/users", token=token).status_code == 200
    office.advance(3599)
    office.__dict__.pop("_token", None)
    answer = office.call("GET", "/users", token=token)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "InvalidAuthenticationToken")


@pytest.mark.proves("GR-016")
def test_a_customers_token_is_none_for_administration(office: Office) -> None:
    address = an_address()
    sign_up_by_code(office, address)
    tokens = first_factor_by_code(office, address, "openid profile")
    for token in (tokens["access_token"], tokens["id_token"]):
        answer = office.call("GET", "/users", token=token)
        assert answer.status_code in (401, 403)
    answer = office.call("GET", "/users", token=tokens["access_token"])
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "Authorization_RequestDenied")


def test_a_token_for_administration_opens_nothing_for_customers(office: Office) -> None:
    answer = office.post(
        "/oauth2/v2.0/token",
        client_id=office.otp_app,
        grant_type="continuation_token",
        continuation_token=office.token(),
        username="x@example.com",
    )
    assert answer.status == 400


@pytest.mark.parametrize("token", ["x", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "=" * 20_000])
def test_what_is_no_token_is_refused(office: Office, token: str) -> None:
    answer = office.http.get(f"{office.base}/v1.0/users", headers={"authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "InvalidAuthenticationToken")


@pytest.mark.proves("GR-017", "GR-018", "ADM-02")
def test_every_route_refuses_who_lacks_its_permission(office: Office) -> None:
    """For each route a client that holds every permission but those that would open it."""
    from genkan.service.admin.applications import PERMISSIONS
    from genkan.wire.graph.api import allows, holds

    tokens: dict[frozenset[str], str] = {}
    for route in ROUTES:
        opening = {role for permission in route.permissions for role in permission}
        others = frozenset(
            role for role in PERMISSIONS if not any(holds(r, frozenset({role})) for r in opening)
        )
        too_few = [others]
        for permission in route.permissions:  # Where several roles must be held, all but one of them.
            too_few += [others | (set(permission) - {role}) for role in permission if len(permission) > 1]
        path = re.sub(r"{\w+}", str(uuid.UUID(int=1)), route.path)
        body: dict[str, str] | None = None if route.method in ("GET", "DELETE") else {}
        for roles in too_few:
            assert not allows(route, roles)
            if roles not in tokens:
                tokens[roles] = office.token(*office.client_with(*sorted(roles)))
            answer = office.call(route.method, path, body, token=tokens[roles])
            assert (answer.status_code, answer.json()["error"]["code"]) == (
                403,
                "Authorization_RequestDenied",
            ), path
        assert office.call(route.method, path, body).status_code != 403, path


@pytest.mark.proves("ENUM-08")
def test_who_may_not_ask_does_not_learn_what_there_is(office: Office) -> None:
    """Every route that names something, and what there is and is not in its place: the answers are the same."""
    from genkan.wire.graph.api import allows

    address = an_address()
    user = office.a_user(address=address)["id"]
    sign_up_by_code(office, customer := an_address())
    held = frozenset({"AuditLog.Read.All"})
    unauthorised = {
        "nobody": "",
        "garbage": "a.b.c",
        "a customer": first_factor_by_code(office, customer, "openid").ok()["access_token"],
        "another client": office.token(*office.client_with(*held)),
    }
    group = {"displayName": "Staff", "mailEnabled": False, "mailNickname": "staff", "securityEnabled": True}
    known = (
        user,
        office.made("/groups", group)["id"],
    )
    paths = [
        (route.method, [re.sub(r"{\w+}", id, route.path) for id in (str(uuid.UUID(int=1)), *known)])
        for route in ROUTES
        if "{" in route.path and not allows(route, held)
    ]
    paths.append(("GET", [f"/users?$filter=mail eq '{m}'" for m in ("nobody@example.com", address)]))
    assert len(paths) > 40

    for who, token in unauthorised.items():
        for method, named in paths if who == "another client" else paths[::6]:  # Others come to no route.
            answers = set()
            for path in named:
                answer = office.call(method, path, None if method in ("GET", "DELETE") else {}, token=token)
                error = answer.json()["error"]
                answers.add((answer.status_code, error["code"], error["message"], len(answer.content)))
            assert len(answers) == 1, (who, method, named[0], answers)
            assert answers.pop()[0] in (401, 403)


@pytest.mark.proves("GR-018")
async def test_who_may_read_users_may_not_write_them(office: Office) -> None:
    graph = office.graph(office.credential(*office.client_with("User.Read.All")))
    user = office.a_user()
    assert (await graph.users.by_user_id(user["id"]).get()).id == user["id"]
    for act in (
        graph.users.post(a_user()),
        graph.users.by_user_id(user["id"]).patch(a_user()),
        graph.users.by_user_id(user["id"]).delete(),
        graph.users.by_user_id(user["id"]).revoke_sign_in_sessions.post(),
    ):
        with pytest.raises(ODataError) as caught:
            await act
        assert caught.value.response_status_code == 403


@pytest.mark.proves("ADM-02")
def test_a_route_without_a_permission_cannot_be_written_down() -> None:
    from genkan.wire.graph.api import Route

    for permissions in ((), ((),)):
        with pytest.raises(ValueError, match="declares no permission"):
            Route(
                method="GET", path="/open", permissions=permissions, handler=ROUTES[0].handler, summary="All"
            )


def test_nobody_gives_a_client_more_than_they_have(office: Office) -> None:
    """Otherwise whoever registers applications could make themselves anything."""
    from genkan.wire.graph.applications import role_id

    client, secret = office.client_with("Application.ReadWrite.All")
    token = office.token(client, secret)
    at = f"/servicePrincipals(appId='{client}')/appRoleAssignments"
    answer = office.call("POST", at, {"appRoleId": role_id("User.ReadWrite.All")}, token=token)
    assert answer.status_code == 403
    admin = office.admin["client_id"]
    answer = office.call("POST", f"/applications(appId='{admin}')/addPassword", {}, token=token)
    assert answer.status_code == 403
    assert office.call("DELETE", f"/applications(appId='{admin}')", token=token).status_code == 403


@pytest.mark.proves("GR-019")
async def test_the_sdk_recovers_by_itself_when_a_token_was_revoked(office: Office) -> None:
    client, secret = office.client_with("User.Read.All")
    credential = office.credential(client, secret)
    graph = office.graph(credential)
    assert await users(graph) >= 0
    other = office.made(f"/applications(appId='{client}')/addPassword", {})
    gone = office.call("POST", f"/applications(appId='{client}')/removePassword", {"keyId": other["keyId"]})
    assert gone.status_code == 204
    assert await users(graph) >= 0


def test_a_revoked_token_is_answered_with_a_challenge(office: Office) -> None:
    client, secret = office.client_with("User.Read.All", "Group.Read.All")
    token = office.token(client, secret)
    from genkan.wire.graph.applications import role_id

    at = f"/servicePrincipals(appId='{client}')/appRoleAssignments/{role_id('User.Read.All')}"
    assert office.call("DELETE", at).status_code == 204
    answer = office.call("GET", "/groups", token=token)
    assert answer.status_code == 401
    assert 'error="insufficient_claims", claims="' in answer.headers["www-authenticate"]
    again = office.token(client, secret)
    assert office.call("GET", "/groups", token=again).status_code == 200
    assert office.call("GET", "/users", token=again).status_code == 403


# Answers. -----------------------------------------------------------------------------------------------------------


@pytest.mark.proves("GR-023")
async def test_the_details_of_an_error_reach_the_sdk(office: Office) -> None:
    graph, user = office.graph(), a_user()
    await graph.users.post(user)
    with pytest.raises(ODataError) as caught:
        await graph.users.post(user)
    assert caught.value.error is not None
    details = caught.value.error.details or []
    assert [(d.code, d.target) for d in details] == [("ObjectConflict", "identities")]


@pytest.mark.proves("GR-024", "GR-025")
def test_every_answer_has_its_content_type_and_both_ids(office: Office) -> None:
    given = str(uuid.uuid4())
    for route in ROUTES:
        if route.method != "GET" or "{" in route.path:
            continue
        answer = office.call("GET", route.path, client_request_id=given, consistencylevel="eventual")
        assert answer.status_code == 200, (route.path, answer.text)
        kind = "text/plain" if route.path.endswith("$count") else "application/json"
        assert answer.headers["content-type"].startswith(kind)
        assert answer.headers["client-request-id"] == given
        assert str(uuid.UUID(answer.headers["request-id"])) == answer.headers["request-id"]
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.proves("GR-026")
@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nonsense", 404, "ResourceNotFound"),
        ("GET", "/users/x/y/z", 501, "NotImplemented"),
        ("GET", "/sites", 501, "NotImplemented"),
        ("POST", "/$batch", 501, "NotImplemented"),
        ("GET", "/me", 400, "BadRequest"),
        ("PUT", "/users", 405, "Request_BadRequest"),
    ],
)
def test_unknown_paths_say_why(office: Office, method: str, path: str, status: int, code: str) -> None:
    answer = office.call(method, path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_a_body_of_more_than_a_mebibyte_is_refused(office: Office) -> None:
    answer = office.call("POST", "/users", b'{"displayName": "' + b"x" * 1024 * 1024 + b'"}')
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "BadRequest")


# Applications. --------------------------------------------------------------------------------------------------------


def test_an_application_says_which_optional_claims_its_tokens_have(office: Office) -> None:
    one = {"name": "groups", "essential": False, "source": None, "additionalProperties": []}
    uri = f"api://{uuid.uuid4().hex}"
    made = office.made(
        "/applications",
        {
            "displayName": "Orders",
            "identifierUris": [uri],
            "optionalClaims": {"idToken": [one], "accessToken": [one, one | {"name": "acrs"}]},
        },
    )
    at = f"/applications/{made['id']}"

    kept = office.call("GET", at).json()["optionalClaims"]
    refused = office.call("PATCH", at, {"optionalClaims": {"idToken": [one | {"name": "phone"}]}})
    office.call("PATCH", at, {"displayName": "Orders and more"})
    still = office.call("GET", at).json()["optionalClaims"]
    office.call("PATCH", at, {"optionalClaims": None})

    assert [claim["name"] for claim in kept["accessToken"]] == ["groups", "acrs"]
    assert kept["idToken"] == [one]
    assert refused.status_code == 400
    assert "phone" in refused.json()["error"]["message"]
    assert still == kept
    assert office.call("GET", at).json()["optionalClaims"] is None
