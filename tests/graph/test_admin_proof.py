"""What an administration client has proven before it changes anything: lately, or by a certificate (ADM-05)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.graph.sdk import EVERYTHING, Office, running_office
from tests.graph.test_applications import Certified
from tests.graph.test_surroundings import set_in

pytestmark = pytest.mark.xdist_group("surroundings")

GROUP = {"displayName": "Poets", "mailNickname": "poets", "mailEnabled": False, "securityEnabled": True}
READS = ("/users", "/groups", "/applications", "/identity/conditionalAccess/policies")
LOGS = ("/auditLogs/signIns", "/auditLogs/directoryAudits")

Run = Callable[[str], Office]


def writes(office: Office) -> dict[str, tuple[str, str, Any]]:
    """One of each kind of act that the row names: on keys, policies, credentials of people; and what is exported."""
    app = office.made("/applications", {"displayName": "Robot"})["id"]
    person = office.a_user()["id"]
    policy = office.call("GET", "/identity/conditionalAccess/policies").json()["value"][0]["id"]
    phone = {"phoneNumber": "+44 7800900123", "phoneType": "mobile"}
    return {
        "key": ("POST", f"/applications/{app}/addPassword", {}),
        "policy": ("PATCH", f"/identity/conditionalAccess/policies/{policy}", {"state": "disabled"}),
        "credential": ("POST", f"/users/{person}/authentication/phoneMethods", phone),
        "export": ("GET", "/auditLogs/signIns", None),
    }


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A process of a tenant that wants so much proof."""
    folder = tmp_path_factory.mktemp("proof") / "data"
    running: list[Any] = []

    def begin(proof: str) -> Office:
        if running:
            running.pop().__exit__(None, None, None)
        if proof:
            if not folder.exists():
                with running_office(folder):
                    pass
            set_in(folder, f"admin_proof={proof}")
        running.append(running_office(folder))
        return running[0].__enter__()

    yield begin
    for one in running:
        one.__exit__(None, None, None)


@pytest.mark.proves("ADM-05")
def test_what_changes_something_takes_a_proof_of_the_last_ten_minutes(run: Run) -> None:
    office = run("fresh")
    acts, token = writes(office), office.token()
    office.advance(580)
    method, path, body = acts.pop("key")
    assert office.call(method, path, body, token=token).status_code == 200
    office.advance(30)
    for method, path, body in (*acts.values(), ("POST", "/groups", GROUP)):
        answer = office.call(method, path, body, token=token)
        assert answer.status_code == 401, (path, answer.text)
        challenge = answer.headers["www-authenticate"]
        assert 'error="insufficient_claims"' in challenge
        wanted = json.loads(base64.b64decode(challenge.partition('claims="')[2].partition('"')[0]))
        assert wanted["access_token"]["nbf"]["essential"] is True
    for path in READS:
        assert office.call("GET", path, token=token).status_code == 200
    newer = office.token()
    for method, path, body in acts.values():
        assert office.call(method, path, body, token=newer).status_code < 300, path


@pytest.mark.proves("ADM-05")
def test_a_secret_changes_nothing_where_a_certificate_is_wanted(run: Run) -> None:
    office = run("")
    id, secret = office.client_with("Application.Read.All", "Group.ReadWrite.All", "AuditLog.Read.All")
    app = office.call("GET", f"/applications?$filter=appId eq '{id}'").json()["value"][0]["id"]
    certified = Certified("ec")
    key = {"type": "AsymmetricX509Cert", "usage": "Verify", "key": base64.b64encode(certified.der).decode()}
    assert office.call("PATCH", f"/applications/{app}", {"keyCredentials": [key]}).status_code == 204
    office = run("certificate")
    by_secret = office.token(id, secret)
    assert office.call("GET", "/groups", token=by_secret).status_code == 200
    for method, path in (("POST", "/groups"), *(("GET", log) for log in LOGS)):
        answer = office.call(method, path, GROUP if method == "POST" else None, token=by_secret)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "Authorization_RequestDenied")
        assert "client_assertion" in answer.json()["error"]["message"]
    told = office.token_call(
        grant_type="client_credentials",
        client_id=id,
        client_assertion=certified.assertion(office, id),
        client_assertion_type="urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        scope=EVERYTHING,
    )
    by_certificate = told.json()["access_token"]
    assert office.call("POST", "/groups", GROUP, token=by_certificate).status_code == 201
    assert office.call("GET", LOGS[0], token=by_certificate).status_code == 200
    office.advance(601)
    assert office.call("POST", "/groups", GROUP, token=by_certificate).status_code == 401


def test_unless_a_tenant_says_so_a_token_is_enough(run: Run) -> None:
    office = run("")
    token = office.token()
    office.advance(3000)
    assert office.call("POST", "/groups", GROUP, token=token).status_code == 201
