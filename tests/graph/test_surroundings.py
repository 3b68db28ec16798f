"""What administrators meet when the server is not at its best: too many requests, and something broken in it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.graph.sdk import EVERYTHING, ODataError, Office, running_office

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("surroundings")]

MOST = 9
GROUP = {"displayName": "Poets", "mailNickname": "poets", "mailEnabled": False, "securityEnabled": True}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """
    A process in which each client may ask nine times in ten seconds, and one of whose groups is damaged.

    Its tenant is as strict as Entra's external ones are.
    """
    folder = tmp_path_factory.mktemp("office") / "data"
    with running_office(folder) as first:
        damaged = first.made("/groups", GROUP)["id"]
        bound = first.client_with("User.Read.All", "Application.ReadWrite.All")
    command("app", "update", bound[0], "--network", "203.0.113.0/24", "--data", str(folder))
    set_in(folder, f"admin_requests={MOST}", "strict_external_tenant=true")
    with closing(sqlite3.connect(folder / "dev.db")) as database, database:
        database.execute("UPDATE directory_group SET body = ? WHERE id = ?", ("{sesame", damaged))
    with running_office(folder) as office:
        office.told |= {"damaged": damaged, "bound": bound}
        yield office


def set_in(folder: Any, *settings: str) -> None:
    """Change settings of the tenant as an operator does, while no server runs."""
    options = [part for setting in settings for part in ("--set", setting)]
    command("tenant", "update", "--data", str(folder), *options)


def command(*words: str) -> None:
    """Run `genkan`."""
    arguments = [sys.executable, "-m", "genkan", *words]
    subprocess.run(arguments, check=True, capture_output=True, timeout=60)


def exhausted(office: Office) -> Any:
    """Ask until it is too much; that answer."""
    for _ in range(2 * MOST):
        answer = office.call("GET", "/groups/x")
        if answer.status_code == 429:
            return answer
    raise AssertionError("nothing was ever too much")


@pytest.mark.proves("GR-020")
async def test_the_sdk_waits_as_long_as_it_is_told_and_asks_again(office: Office) -> None:
    graph = office.graph()
    answer = exhausted(office)
    assert (answer.json()["error"]["code"], 8 <= int(answer.headers["retry-after"]) <= 10) == (
        "TooManyRequests",
        True,
    )
    office.advance(9)
    answer = exhausted(office)
    assert answer.headers["retry-after"] in ("1", "2")
    begun = time.monotonic()
    found = await graph.groups.with_url(f"{office.base}/v1.0/groups?$filter=displayName eq 'None'").get()
    assert found.value == []
    assert time.monotonic() - begun >= 0.9


@pytest.mark.proves("GR-022", "LOG-07")
async def test_something_broken_is_an_error_with_a_code_and_its_cause_stays_in_the_log(
    office: Office,
) -> None:
    office.advance(11)
    with pytest.raises(ODataError) as caught:
        await office.graph().groups.by_group_id(office.told["damaged"]).get()
    error = caught.value
    assert (error.response_status_code, error.error.code) == (500, "InternalServerError")
    request = error.error.inner_error.request_id
    assert str(uuid.UUID(request)) == request

    answer = office.call("GET", f"/groups/{office.told['damaged']}")
    assert answer.status_code == 500
    for inside in ("sesame", "Traceback", "msgspec", "sqlite", ".py", "Decode"):
        assert inside not in answer.text
    assert "Traceback" in office.log
    assert request in office.log
    assert office.call("GET", "/users").status_code == 200


@pytest.mark.proves("GR-078")
@pytest.mark.parametrize(
    "change",
    [
        {
            "grantControls": {
                "operator": "OR",
                "authenticationStrength": {"id": "00000000-0000-0000-0000-000000000002"},
            }
        },
        {
            "conditions": {
                "users": {"includeUsers": ["None"]},
                "applications": {"includeAuthenticationContextClassReferences": ["c1"]},
            }
        },
    ],
)
def test_a_strict_tenant_takes_no_strength_and_no_context(office: Office, change: dict[str, Any]) -> None:
    office.advance(11)
    context = {"displayName": "Money", "isAvailable": True}
    office.call("PATCH", "/identity/conditionalAccess/authenticationContextClassReferences/c1", context)
    document = {
        "displayName": "Strong",
        "state": "enabled",
        "conditions": {
            "users": {"includeUsers": ["None"]},
            "applications": {"includeApplications": ["All"]},
        },
        "grantControls": {"operator": "OR", "builtInControls": ["mfa"]},
        **change,
    }
    answer = office.call("POST", "/identity/conditionalAccess/policies", document)
    assert answer.json()["error"]["message"].startswith("9021: ")


@pytest.mark.proves("ADM-08")
def test_a_secret_that_is_bound_to_networks_is_worth_nothing_elsewhere(office: Office) -> None:
    client, secret = office.told["bound"]
    form = {"client_id": client, "client_secret": secret, "scope": EVERYTHING}

    def moved(address: str | None) -> None:
        assert office.http.post(f"{office.base}/dev/place", json={"address": address}).status_code == 200

    def asked(**more: str) -> tuple[int, list[int]]:
        answer = office.token_call(grant_type="client_credentials", **form | more)
        return answer.status_code, answer.json().get("error_codes", [])

    try:
        moved("203.0.113.7")
        token = office.token(client, secret)
        assert office.call("GET", "/users", token=token).status_code == 200
        for elsewhere in ("203.0.114.7", "2001:db8::7", None):
            moved(elsewhere)
            assert asked() == (403, [53003])
            assert asked(client_secret="wrong") == (401, [7000215]), "who has not proven it learns nothing"
            answer = office.call("GET", "/users", token=token)
            assert (answer.status_code, answer.json()["error"]["code"]) == (
                403,
                "Authorization_RequestDenied",
            )
    finally:
        moved(None)
