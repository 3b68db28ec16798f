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

from tests.graph.sdk import ODataError, Office, running_office

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
    set_in(folder, f"admin_requests={MOST}", "strict_external_tenant=true")
    with closing(sqlite3.connect(folder / "dev.db")) as database, database:
        database.execute("UPDATE directory_group SET body = ? WHERE id = ?", ("{sesame", damaged))
    with running_office(folder) as office:
        office.told["damaged"] = damaged
        yield office


def set_in(folder: Any, *settings: str) -> None:
    """Change settings of the tenant as an operator does, while no server runs."""
    options = [part for setting in settings for part in ("--set", setting)]
    subprocess.run(
        [sys.executable, "-m", "genkan", "tenant", "update", "--data", str(folder), *options],
        check=True,
        capture_output=True,
        timeout=60,
    )


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
