"""The logs and risk by the SDK: each row once, newest first, whatever is asked for; nobody writes, nothing leaks."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from kiota_abstractions.base_request_configuration import RequestConfiguration
from msgraph.generated.audit_logs.directory_audits.directory_audits_request_builder import (
    DirectoryAuditsRequestBuilder,
)
from msgraph.generated.audit_logs.sign_ins.sign_ins_request_builder import SignInsRequestBuilder
from msgraph.generated.identity_protection.risk_detections.risk_detections_request_builder import (
    RiskDetectionsRequestBuilder,
)
from msgraph.generated.identity_protection.risky_users.confirm_compromised import (
    confirm_compromised_post_request_body as confirming,
)
from msgraph.generated.identity_protection.risky_users.dismiss.dismiss_post_request_body import (
    DismissPostRequestBody,
)
from msgraph.generated.models.risk_level import RiskLevel
from msgraph.generated.models.risk_state import RiskState

from genkan.wire.graph import ROUTES
from tests.graph.sdk import STRONG, Office, an_address
from tests.server import (
    Reply,
    first_factor_by_code,
    new_address,
    new_number,
    newest,
    register_phone,
    sign_up_by_code,
)

pytestmark = pytest.mark.anyio

SIGN_INS, AUDITS = "/auditLogs/signIns", "/auditLogs/directoryAudits"
DEMO_POLICY = "aaaaaaaa-0000-4000-8000-0000000000d1"


def pages(office: Office, path: str) -> list[list[dict[str, Any]]]:
    """Every page of a list, its links followed."""
    found = []
    following: str | None = path
    while following:
        answer = office.call("GET", following)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        found.append(body["value"])
        link = body.get("@odata.nextLink")
        following = link and f"{urlsplit(link).path.removeprefix('/v1.0')}?{urlsplit(link).query}"
    return found


def test_changes_are_listed_once_each_the_newest_first(office: Office) -> None:
    made = [
        office.made("/groups", {**GROUP, "displayName": f"Group {number}", "mailNickname": f"g{number}"})[
            "id"
        ]
        for number in range(7)
    ]
    wanted = f"{AUDITS}?$top=3&$filter=category eq 'GroupManagement' and operationType eq 'Add'"

    found = pages(office, wanted)

    listed = [row["targetResources"][0]["id"] for page in found for row in page]
    assert listed[:7] == made[::-1]
    assert len(set(listed)) == len(listed)
    assert [len(page) for page in found[:-1]] == [3] * (len(found) - 1)


def test_sign_ins_are_listed_once_each_the_newest_first(office: Office) -> None:
    address = new_address()
    sign_up_by_code(office, address)
    for _ in range(5):
        first_factor_by_code(office, address, "openid").ok()
        office.advance(61)

    for condition in ("", f"&$filter=appId eq '{office.otp_app}'", "&$filter=status/errorCode eq 0"):
        found = pages(office, f"{SIGN_INS}?$top=2{condition}")

        rows = [row for page in found for row in page]
        assert len({row["id"] for row in rows}) == len(rows) >= 5
        assert [row["createdDateTime"] for row in rows] == sorted(
            (row["createdDateTime"] for row in rows), reverse=True
        )
        assert all(len(page) == 2 for page in found[:-1])


@pytest.mark.parametrize("path", [SIGN_INS, AUDITS])
def test_what_nothing_fits_is_one_empty_page(office: Office, path: str) -> None:
    assert pages(office, f"{path}?$filter=correlationId eq 'none'") == [[]]


@pytest.mark.proves("GR-105")
@pytest.mark.parametrize("path", [SIGN_INS, AUDITS])
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE", "PUT"])
def test_nobody_writes_into_a_log(office: Office, path: str, method: str) -> None:
    office.made("/groups", {**GROUP, "displayName": "Poets", "mailNickname": "poets"})
    row = office.call("GET", AUDITS).json()["value"][0]["id"] if path == AUDITS else str(uuid.uuid4())
    for at in (path, f"{path}/{row}"):
        answer = office.call(method, at, {})
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


# Sign-ins. ----------------------------------------------------------------------------------------------------------


def with_two_factors(office: Office) -> tuple[str, str]:
    """An account with a phone, which has just signed in by an e-mail code and a text message: address and number."""
    address, number = new_address(), new_number()
    sign_up_by_code(office, address)
    asked = first_factor_by_code(office, address, office.scope)
    registered = register_phone(office, asked.token, number)
    office.post(
        "/oauth2/v2.0/token",
        client_id=office.otp_app,
        continuation_token=registered.token,
        grant_type="continuation_token",
        scope=office.scope,
    ).ok()
    office.advance(61)
    office.__dict__.pop("_token", None)
    finish(office, number, first_factor_by_code(office, address, office.scope)).ok()
    return address, number


def finish(office: Office, number: str, asked: Reply) -> Reply:
    """Answer the question for a second factor by the code that arrives at a number."""
    client = office.otp_app
    seen = {m["id"] for m in office.messages(number)}
    listed = office.post("/oauth2/v2.0/introspect", client_id=client, continuation_token=asked.token).ok()
    sent = office.post(
        "/oauth2/v2.0/challenge",
        client_id=client,
        continuation_token=listed.token,
        id=listed["methods"][0]["id"],
    ).ok()
    return office.post(
        "/oauth2/v2.0/token",
        client_id=client,
        continuation_token=sent.token,
        grant_type="mfa_oob",
        oob=newest(office, number, "mfa", seen),
        scope=office.scope,
    )


def sign_ins(**parameters: Any) -> RequestConfiguration[Any]:
    """Query options of the sign-in log as the SDK takes them."""
    return RequestConfiguration(
        query_parameters=SignInsRequestBuilder.SignInsRequestBuilderGetQueryParameters(**parameters)
    )


async def person(office: Office, address: str) -> str:
    """The id of whoever has this address."""
    found = office.call("GET", f"/users?$filter=mail eq '{address}'").json()["value"]
    return str(found[0]["id"])


@pytest.mark.proves("GR-099")
async def test_a_finished_sign_in_shows_its_policies_their_results_and_what_was_required(
    office: Office,
) -> None:
    address, _ = with_two_factors(office)
    user = await person(office, address)

    page = await office.graph().audit_logs.sign_ins.get(sign_ins(filter=f"userId eq '{user}'", top=1))

    (entry,) = page.value
    assert entry.user_id == user
    assert (entry.status.error_code, entry.is_interactive, entry.app_id) == (0, True, office.otp_app)
    assert entry.conditional_access_status.value == "success"
    applied = {one.id: one for one in entry.applied_conditional_access_policies}
    assert applied[DEMO_POLICY].result.value == "success"
    assert applied[DEMO_POLICY].enforced_grant_controls == ["Mfa"]
    more = entry.additional_data
    assert more["authenticationRequirement"] == "multiFactorAuthentication"
    assert [
        (step["authenticationMethod"], step["authenticationStepRequirement"], step["succeeded"])
        for step in more["authenticationDetails"]
    ] == [
        ("Email one-time passcode", "Primary authentication", True),
        ("Text message", "Secondary authentication", True),
    ]
    assert more["mfaDetail"]["authMethod"] == "Text message"
    one = await office.graph().audit_logs.sign_ins.by_sign_in_id(entry.id).get()
    assert one.correlation_id == entry.correlation_id


@pytest.mark.proves("GR-100")
async def test_one_persons_sign_ins_since_a_moment_are_found_page_by_page(office: Office) -> None:
    address, other = new_address(), new_address()
    for one in (address, other):
        sign_up_by_code(office, one)
        first_factor_by_code(office, one, "openid").ok()
    office.advance(120)
    office.__dict__.pop("_token", None)
    since = office.http.get(f"{office.base}/dev/clock").json()["now"][:19] + "Z"
    for one in (address, other, address, address):
        first_factor_by_code(office, one, "openid").ok()
        office.advance(61)
    office.__dict__.pop("_token", None)
    user, graph = await person(office, address), office.graph()
    where = f"createdDateTime ge {since} and userId eq '{user}'"

    page = await graph.audit_logs.sign_ins.get(
        sign_ins(filter=where, top=2, orderby=["createdDateTime desc"])
    )
    following = await graph.audit_logs.sign_ins.with_url(page.odata_next_link).get()

    assert [len(page.value), len(following.value), following.odata_next_link] == [2, 1, None]
    rows = [*page.value, *following.value]
    assert {row.user_id for row in rows} == {user}
    assert len({row.id for row in rows}) == 3
    times = [row.created_date_time for row in rows]
    assert times == sorted(times, reverse=True)
    everything = await graph.audit_logs.sign_ins.get(sign_ins(filter=f"userId eq '{user}'"))
    assert len(everything.value) > 3
    elder = f"createdDateTime le {since} and userId eq '{user}'"
    elders = await graph.audit_logs.sign_ins.get(sign_ins(filter=elder))
    assert not {row.id for row in elders.value} & {row.id for row in rows}


@pytest.mark.proves("GR-101")
async def test_who_may_not_read_policies_sees_none_of_them_in_the_log(office: Office) -> None:
    address, _ = with_two_factors(office)
    where = f"userId eq '{await person(office, address)}'"
    for roles, seen in (
        (("AuditLog.Read.All",), False),
        (("AuditLog.Read.All", "Policy.Read.ConditionalAccess"), True),
        (("AuditLog.Read.All", "Policy.Read.All"), True),
    ):
        graph = office.graph(office.credential(*office.client_with(*roles)))
        (entry,) = (await graph.audit_logs.sign_ins.get(sign_ins(filter=where, top=1))).value
        applied = [one.id for one in entry.applied_conditional_access_policies]
        assert (applied == [], DEMO_POLICY in applied) == (not seen, seen)
        single = await graph.audit_logs.sign_ins.by_sign_in_id(entry.id).get()
        assert [one.id for one in single.applied_conditional_access_policies] == applied


@pytest.mark.proves("GR-102", "LOG-01")
async def test_no_secret_and_no_number_in_clear_stands_in_either_log(office: Office) -> None:
    address, number = with_two_factors(office)
    user = await person(office, address)
    at, spaced = f"/users/{user}", f"{number[:3]} {number[3:]}"
    for method, path, body in (
        ("PATCH", at, {"passwordProfile": {"password": STRONG, "forceChangePasswordNextSignIn": False}}),
        ("PATCH", at, {"mobilePhone": spaced, "mail": address}),
        ("PATCH", at, {"passwordProfile": {"password": "qwertyuiop-short", "x": STRONG}}),
        ("POST", f"{at}/authentication/phoneMethods", {"phoneNumber": spaced, "phoneType": "mobile"}),
        ("POST", f"{at}/authentication/emailMethods", {"emailAddress": "ada.other@example.com"}),
    ):
        office.call(method, path, body)
    made = office.made("/applications", {"displayName": "Robot"})
    secret = office.made(f"/applications/{made['id']}/addPassword", {})["secretText"]
    codes = {m["code"] for to in (address, number) for m in office.messages(to) if m.get("code")}
    tokens = {office.token(), office.admin["client_secret"], secret, STRONG, "qwertyuiop-short"}

    written = "".join(office.call("GET", f"{path}?$top=1000").text for path in (SIGN_INS, AUDITS))

    assert len(codes) >= 4
    assert made["id"] in written
    digits = number.removeprefix("+")
    for secret_text in (*codes, *tokens, address, "ada.other@example.com", digits, digits[2:], spaced):
        assert secret_text not in written, "the log says a secret"


# Changes. -----------------------------------------------------------------------------------------------------------


def values(body: Any) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(body, str):
        yield body
    for inner in body.values() if isinstance(body, dict) else body if isinstance(body, list) else ():
        yield from values(inner)


READS = {"/users/{id}/getMemberGroups", "/identity/conditionalAccess/evaluate"}
"""Routes that are asked by POST and change nothing."""


@pytest.mark.proves("GR-103")
def test_every_route_that_writes_leaves_its_entry_also_when_it_is_refused(office: Office) -> None:
    """What the body says is nonsense everywhere, and what the path names is nowhere."""
    writing = [route for route in ROUTES if route.method != "GET" and route.path not in READS]
    assert [route.path for route in writing if route.act is None] == []
    for route in writing:
        path = re.sub(r"{\w+}", lambda _: str(uuid.uuid4()), route.path)
        mine = str(uuid.uuid4())
        body = None if route.method == "DELETE" else {"nonsense": True}
        answer = office.call(route.method, path, body, client_request_id=mine)
        found = office.call("GET", f"{AUDITS}?$filter=correlationId eq '{mine}'").json()["value"]
        assert (answer.status_code >= 400, [row["result"] for row in found]) == (True, ["failure"]), (
            route.method,
            route.path,
            answer.text,
        )
        assert found[0]["initiatedBy"]["app"]["appId"] == office.admin["client_id"]
        assert found[0]["resultReason"]


@pytest.mark.proves("GR-103", "GR-104")
async def test_an_entry_of_the_sdk_says_who_what_before_and_after_and_masks_addresses(office: Office) -> None:
    address, other = an_address(), an_address()
    user = office.a_user(address=address, jobTitle="Poet")["id"]
    mine = str(uuid.uuid4())
    change = {"jobTitle": "Novelist", "passwordProfile": {"password": "nine dry umbrellas 52"}}
    answer = office.call("PATCH", f"/users/{user}", change, client_request_id=mine)
    assert answer.status_code == 204, answer.text
    parameters = DirectoryAuditsRequestBuilder.DirectoryAuditsRequestBuilderGetQueryParameters(
        filter=f"correlationId eq '{mine}'"
    )

    page = await office.graph().audit_logs.directory_audits.get(
        RequestConfiguration(query_parameters=parameters)
    )

    (entry,) = page.value
    assert (entry.activity_display_name, entry.category, entry.operation_type) == (
        "Update user",
        "UserManagement",
        "Update",
    )
    assert entry.result.value == "success"
    assert entry.initiated_by.app.app_id == office.admin["client_id"]
    (target,) = entry.target_resources
    assert target.id == user
    changed = {one.display_name: (one.old_value, one.new_value) for one in target.modified_properties}
    assert changed["jobTitle"] == ('"Poet"', '"Novelist"')
    password = next(value for name, value in changed.items() if "assword" in name)
    assert "umbrellas" not in json.dumps(password)
    office.call("PATCH", f"/users/{user}", {"identities": identities(other)}, client_request_id=mine)
    written = office.call("GET", f"{AUDITS}?$filter=correlationId eq '{mine}'").json()
    assert not any(other in text or address in text for text in values(written))


def identities(address: str) -> list[dict[str, str]]:
    return [{"signInType": "emailAddress", "issuer": "dev.onmicrosoft.com", "issuerAssignedId": address}]


# Risk. --------------------------------------------------------------------------------------------------------------


@pytest.mark.proves("GR-118", "GR-119")
async def test_a_user_confirmed_compromised_is_blocked_by_policy_until_that_is_dismissed(
    office: Office,
) -> None:
    address = new_address()
    sign_up_by_code(office, address)
    user, graph = await person(office, address), office.graph()
    policy = office.made(
        "/identity/conditionalAccess/policies",
        {
            "displayName": "Nobody whose account is taken over",
            "state": "enabled",
            "conditions": {
                "applications": {"includeApplications": ["All"]},
                "users": {"includeUsers": [user]},
                "userRiskLevels": ["high"],
            },
            "grantControls": {"operator": "OR", "builtInControls": ["block"]},
        },
    )
    first_factor_by_code(office, address, "openid").ok()

    risky = graph.identity_protection.risky_users
    await risky.confirm_compromised.post(confirming.ConfirmCompromisedPostRequestBody(user_ids=[user]))
    found = await risky.by_risky_user_id(user).get()
    assert (found.risk_level, found.risk_state) == (RiskLevel.High, RiskState.ConfirmedCompromised)
    assert user in {one.id for one in (await risky.get()).value}
    assert first_factor_by_code(office, address, "openid").error[2] == 53003

    parameters = RiskDetectionsRequestBuilder.RiskDetectionsRequestBuilderGetQueryParameters(
        filter=f"userId eq '{user}'"
    )
    listed = await graph.identity_protection.risk_detections.get(
        RequestConfiguration(query_parameters=parameters)
    )
    assert [(d.user_id, d.risk_event_type) for d in listed.value] == [(user, "adminConfirmedUserCompromised")]
    single = graph.identity_protection.risk_detections.by_risk_detection_id(listed.value[0].id)
    assert (await single.get()).risk_level is RiskLevel.High

    await risky.dismiss.post(DismissPostRequestBody(user_ids=[user]))
    found = await risky.by_risky_user_id(user).get()
    assert (found.risk_level, found.risk_state) == (RiskLevel.None_, RiskState.Dismissed)
    office.advance(timedelta(minutes=2).total_seconds())
    office.__dict__.pop("_token", None)
    first_factor_by_code(office, address, "openid").ok()
    office.call("DELETE", f"/identity/conditionalAccess/policies/{policy['id']}")


GROUP = {"mailEnabled": False, "securityEnabled": True}
