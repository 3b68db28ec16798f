"""What nobody should send: any JSON at every route, members of ours that are none of theirs, and ids of others."""

from __future__ import annotations

import re
import uuid
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from genkan import identifiers
from genkan.model import Client, Group, Subject, Tenant
from genkan.service import demo
from genkan.wire.graph import ROUTES
from genkan.wire.graph.api import Route
from scripts import openapi
from tests.graph.sdk import EVERYTHING, Office
from tests.wire.servers import two_tenants

pytestmark = pytest.mark.xdist_group("bodies")

DEMO_POLICY = "aaaaaaaa-0000-4000-8000-0000000000d1"

# Any JSON. ----------------------------------------------------------------------------------------------------------

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(
        ["", "All", "none", "enabled", "2031-03-04T05:06:07Z", "ada@example.com", "+44 7", "\ud83d\ude00"]
    )
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
WRITING = [route for route in ROUTES if route.method in ("POST", "PATCH")]


def known(route: Route) -> list[str]:
    """The properties that the description knows of a body."""
    operation = openapi.operation(route)
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    shapes = [content.get("schema", {}), *content.get("schema", {}).get("anyOf", ())]
    return [name for shape in shapes for name in shape.get("properties", {})]


def bodies(route: Route) -> st.SearchStrategy[Any]:
    """Objects of properties that it knows and of some that it does not; and what is no object."""
    names = st.sampled_from([*known(route), "@odata.type", "id", "display_name", "extension_x"]) | st.text(
        max_size=8
    )
    return st.dictionaries(names, VALUES, max_size=6) | VALUES


@pytest.fixture(scope="module")
def places(office: Office) -> dict[str, str]:
    """What stands in a path for something that is there, by how the path begins."""
    group = {"displayName": "A", "mailNickname": "a", "mailEnabled": False, "securityEnabled": True}
    app = office.made("/applications", {"displayName": "An app"})
    place = {
        "@odata.type": "#microsoft.graph.countryNamedLocation",
        "displayName": "Japan",
        "countriesAndRegions": ["JP"],
    }
    return {
        "/users/": office.a_user()["id"],
        "/groups/": office.made("/groups", group)["id"],
        "/applications/": app["id"],
        "/applications(": app["appId"],
        "/servicePrincipals(": app["appId"],
        "/identity/conditionalAccess/policies/": DEMO_POLICY,
        "/policies/conditionalAccessPolicies/": DEMO_POLICY,
        "/identity/conditionalAccess/namedLocations/": office.made(
            "/identity/conditionalAccess/namedLocations", place
        )["id"],
        "/identity/conditionalAccess/authenticationContextClassReferences/": "c9",
        "/policies/authenticationMethodsPolicy/": "Email",
    }


@pytest.mark.proves("GR-122")
@pytest.mark.parametrize("route", WRITING, ids=lambda route: f"{route.method} {route.path}")
def test_no_json_at_all_breaks_a_route_that_writes(
    office: Office, places: dict[str, str], route: Route
) -> None:
    there = next(
        (id for begins, id in places.items() if route.path.startswith(begins)), str(uuid.UUID(int=1))
    )
    path = re.sub(r"{\w+}", there, route.path, count=1)
    path = re.sub(r"{\w+}", str(uuid.UUID(int=2)), path)

    @given(bodies(route))
    @settings(
        max_examples=6,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def holds(body: Any) -> None:
        answer = office.call(route.method, path, body)
        assert answer.status_code < 500 or answer.status_code == 501, (body, answer.text)
        if answer.status_code >= 400:
            error = answer.json()["error"]
            assert error["code"]
            assert error["message"]

    holds()


def test_after_all_of_that_nothing_was_broken(office: Office) -> None:
    assert "http.fault" not in office.log
    assert "Traceback" not in office.log


# Members of ours. ---------------------------------------------------------------------------------------------------


def camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name)


@pytest.mark.proves("ADM-04")
@pytest.mark.parametrize(
    ("kind", "model", "theirs"),
    [
        ("users", Subject, set()),
        ("groups", Group, {"displayName", "description", "mailNickname"}),
        ("applications", Client, {"optionalClaims"}),
    ],
)
def test_nothing_of_the_model_is_written_but_by_its_name_in_the_interface(
    office: Office, kind: str, model: type, theirs: set[str]
) -> None:
    bodies = {
        "users": None,
        "groups": {"displayName": "A", "mailNickname": "a", "mailEnabled": False, "securityEnabled": True},
        "applications": {"displayName": "An app"},
    }
    body = bodies[kind]
    id = office.a_user()["id"] if body is None else office.made(f"/{kind}", body)["id"]
    at = f"/{kind}/{id}"
    before = office.call("GET", at).json()
    values: tuple[Any, ...] = (1, True, "admin", ["User.ReadWrite.All"], {"level": "none"})

    for field in model.__struct_fields__:  # type: ignore[attr-defined]
        for name in {field, camel(field)} - theirs:
            for value in values:
                answer = office.call("PATCH", at, {name: value})
                assert answer.status_code == 400, (name, value, answer.text)

    assert office.call("GET", at).json() == before


# Ids of others. -----------------------------------------------------------------------------------------------------


class House:
    """One of two tenants, seen by its own administrator."""

    def __init__(self, http: httpx2.Client, base: str, name: str) -> None:
        self.http, self.base = http, base
        form = {
            "grant_type": "client_credentials",
            "client_id": demo.ADMIN,
            "client_secret": f"{name} secret",
        }
        answer = http.post(f"{base}/{name}/oauth2/v2.0/token", data=form | {"scope": EVERYTHING})
        self.token = answer.json()["access_token"]

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        sent = {"authorization": f"Bearer {self.token}", **headers}
        return self.http.request(method, f"{self.base}/v1.0{path}", json=body, headers=sent)

    def made(self, path: str, body: Any) -> str:
        answer = self.call("POST", path, body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])


@pytest.mark.proves("ADM-03")
def test_an_id_of_another_tenant_is_answered_as_one_of_nobody(tmp_path: Any) -> None:
    """At every route with an id, the same words for what the neighbour has as for what nobody has."""
    directories = []
    for number, name in enumerate(("north", "south")):
        tenant = Tenant(id=f"aaaaaaaa-0000-4000-8000-00000000000{number + 5}", name=name)
        directories.append(
            replace(demo.directory(f"{name} secret"), tenant=tenant, policies=(), locations={})
        )
    with two_tenants(tmp_path / "houses", *directories) as server:
        north, south = (House(server.http, server.base, name) for name in ("north", "south"))
        local = {"signInType": "emailAddress", "issuer": "north", "issuerAssignedId": "ada@example.com"}
        group = {"displayName": "A", "mailNickname": "a", "mailEnabled": False, "securityEnabled": True}
        policy = {
            "displayName": "A policy",
            "state": "disabled",
            "conditions": {
                "applications": {"includeApplications": ["All"]},
                "users": {"includeUsers": ["All"]},
            },
            "grantControls": {"operator": "OR", "builtInControls": ["mfa"]},
        }
        place = {
            "@odata.type": "#microsoft.graph.countryNamedLocation",
            "displayName": "Japan",
            "countriesAndRegions": ["JP"],
        }
        at = "/identity/conditionalAccess"
        theirs = {
            "/users": north.made("/users", {"displayName": "Ada", "identities": [local]}),
            "/directory/deletedItems": north.made(
                "/users", {"displayName": "Bo", "identities": [_other(local)]}
            ),
            "/groups": north.made("/groups", group),
            "/applications": north.made("/applications", {"displayName": "An app"}),
            f"{at}/policies": north.made(f"{at}/policies", policy),
            f"{at}/namedLocations": north.made(f"{at}/namedLocations", place),
            "/auditLogs/directoryAudits": north.call("GET", "/auditLogs/directoryAudits").json()["value"][0][
                "id"
            ],
        }
        north.call("DELETE", f"/users/{theirs['/directory/deletedItems']}")
        tried = 0
        for route in ROUTES:
            kind = next((kind for kind in theirs if route.path.startswith(f"{kind}/{{")), None)
            if kind is None:
                continue
            answers = []
            for id in (theirs[kind], str(uuid.UUID(int=7))):
                path = re.sub(r"{\w+}", str(uuid.UUID(int=3)), route.path.replace("{id}", id))
                body: dict[str, str] | None = None if route.method in ("GET", "DELETE") else {}
                answer = south.call(route.method, path, body)
                text = re.sub(r'"innerError".*', "", answer.text).replace(id, "ID")
                answers.append((answer.status_code, text))
            assert answers[0] == answers[1], route.path
            assert answers[0][0] in (400, 404), route.path
            tried += 1
        assert tried > 40
        for kind, id in theirs.items():
            if kind != "/directory/deletedItems":
                assert north.call("GET", f"{kind}/{id}").status_code == 200
                assert south.call("GET", f"{kind}/{id}").status_code == 404


def _other(identity: dict[str, str]) -> dict[str, str]:
    address = identifiers.email("bo@example.com")
    assert address is not None
    return identity | {"issuerAssignedId": address.value}
