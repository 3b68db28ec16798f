"""Conditional Access by the SDK: policies, places, contexts, strengths, security defaults, methods, and What-If."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from msgraph.generated.identity.conditional_access.evaluate.evaluate_post_request_body import (
    EvaluatePostRequestBody,
)
from msgraph.generated.models.application_context import ApplicationContext
from msgraph.generated.models.authentication_context_class_reference import (
    AuthenticationContextClassReference,
)
from msgraph.generated.models.authentication_method_state import AuthenticationMethodState
from msgraph.generated.models.authentication_strength_policy import AuthenticationStrengthPolicy
from msgraph.generated.models.conditional_access_applications import ConditionalAccessApplications
from msgraph.generated.models.conditional_access_client_app import ConditionalAccessClientApp
from msgraph.generated.models.conditional_access_condition_set import ConditionalAccessConditionSet
from msgraph.generated.models.conditional_access_grant_control import ConditionalAccessGrantControl
from msgraph.generated.models.conditional_access_grant_controls import ConditionalAccessGrantControls
from msgraph.generated.models.conditional_access_policy import ConditionalAccessPolicy
from msgraph.generated.models.conditional_access_policy_state import ConditionalAccessPolicyState
from msgraph.generated.models.conditional_access_users import ConditionalAccessUsers
from msgraph.generated.models.country_named_location import CountryNamedLocation
from msgraph.generated.models.email_authentication_method_configuration import (
    EmailAuthenticationMethodConfiguration,
)
from msgraph.generated.models.fido2_authentication_method_configuration import (
    Fido2AuthenticationMethodConfiguration,
)
from msgraph.generated.models.i_pv4_cidr_range import IPv4CidrRange
from msgraph.generated.models.identity_security_defaults_enforcement_policy import (
    IdentitySecurityDefaultsEnforcementPolicy,
)
from msgraph.generated.models.ip_named_location import IpNamedLocation
from msgraph.generated.models.sign_in_conditions import SignInConditions
from msgraph.generated.models.sms_authentication_method_configuration import (
    SmsAuthenticationMethodConfiguration,
)
from msgraph.generated.models.user_sign_in import UserSignIn

from tests.graph.sdk import ODataError, Office, an_address
from tests.server import first_factor_by_code, sign_up_by_code

pytestmark = pytest.mark.anyio

EXPORTED = Path(__file__).parents[1] / "policy" / "exported"
POLICIES = "/identity/conditionalAccess/policies"
READ_ONLY = {"/id", "/templateId", "/createdDateTime", "/modifiedDateTime"}
BY_ITS_ID = "/grantControls/authenticationStrength"
"""On write only the strength's id counts (conditional-access 2.3)."""
DEMO_POLICY = "aaaaaaaa-0000-4000-8000-0000000000d1"


def a_policy(**more: Any) -> ConditionalAccessPolicy:
    """The smallest one that the SDK can send, for nobody yet."""
    given: dict[str, Any] = {
        "display_name": "Require MFA",
        "state": ConditionalAccessPolicyState.Enabled,
        "conditions": ConditionalAccessConditionSet(
            client_app_types=[ConditionalAccessClientApp.All],
            applications=ConditionalAccessApplications(include_applications=["All"]),
            users=ConditionalAccessUsers(include_users=["None"]),
        ),
        "grant_controls": ConditionalAccessGrantControls(
            operator="OR", built_in_controls=[ConditionalAccessGrantControl.Mfa]
        ),
    }
    return ConditionalAccessPolicy(**given | more)


def a_document(users: list[str] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "displayName": "A policy",
        "state": "enabled",
        "conditions": {
            "applications": {"includeApplications": ["All"]},
            "users": {"includeUsers": users or ["None"]},
        },
        "grantControls": {"operator": "OR", "builtInControls": ["mfa"]},
        **more,
    }


@pytest.mark.proves("GR-076")
async def test_a_minimal_policy_comes_back_in_its_canonical_form(office: Office) -> None:
    made = await office.graph().identity.conditional_access.policies.post(a_policy())
    value = office.call("GET", f"{POLICIES}/{made.id}").json()
    assert value["createdDateTime"]
    del value["@odata.context"], value["createdDateTime"]
    assert value == {
        "id": made.id,
        "templateId": None,
        "displayName": "Require MFA",
        "description": None,
        "modifiedDateTime": None,
        "state": "enabled",
        "conditions": {
            "clientAppTypes": ["all"],
            "signInRiskLevels": [],
            "userRiskLevels": [],
            "servicePrincipalRiskLevels": [],
            "platforms": None,
            "locations": None,
            "devices": None,
            "clientApplications": None,
            "authenticationFlows": None,
            "insiderRiskLevels": None,
            "applications": {
                "includeApplications": ["All"],
                "excludeApplications": [],
                "includeUserActions": [],
                "includeAuthenticationContextClassReferences": [],
                "applicationFilter": None,
            },
            "users": {
                "includeUsers": ["None"],
                "excludeUsers": [],
                "includeGroups": [],
                "excludeGroups": [],
                "includeRoles": [],
                "excludeRoles": [],
                "includeGuestsOrExternalUsers": None,
                "excludeGuestsOrExternalUsers": None,
            },
        },
        "grantControls": {
            "operator": "OR",
            "builtInControls": ["mfa"],
            "customAuthenticationFactors": [],
            "termsOfUse": [],
            "authenticationStrength": None,
        },
        "sessionControls": None,
    }


@pytest.mark.proves("GR-077")
async def test_every_word_of_the_sdk_for_states_and_controls_comes_back(office: Office) -> None:
    graph = office.graph()
    for state in ConditionalAccessPolicyState:
        made = await graph.identity.conditional_access.policies.post(a_policy(state=state))
        assert made.state is state
    for control in ConditionalAccessGrantControl:
        if control.value in ("passwordChange", "unknownFutureValue", "riskRemediation"):
            continue
        grant = ConditionalAccessGrantControls(operator="OR", built_in_controls=[control])
        made = await graph.identity.conditional_access.policies.post(a_policy(grant_controls=grant))
        assert made.grant_controls.built_in_controls == [control]
    for app in ConditionalAccessClientApp:
        if app.value == "unknownFutureValue":
            continue
        policy = a_policy()
        policy.conditions.client_app_types = [app]
        made = await graph.identity.conditional_access.policies.post(policy)
        assert made.conditions.client_app_types == [app]


def put(path: str, value: Any) -> dict[str, Any]:
    """A document of which one member, named as `conditions.users`, is another; it is taken out where that is None."""
    document = a_document()
    *parts, last = path.split(".")
    target = document
    for part in parts:
        target = target.setdefault(part, {})
    if value is None:
        del target[last]
    else:
        target[last] = value
    return document


def device(**more: Any) -> dict[str, Any]:
    """A policy on the registration of a device."""
    return put("conditions.applications", {"includeUserActions": ["urn:user:registerdevice"]}) | more


MULTIFACTOR = {"id": "00000000-0000-0000-0000-000000000002"}
INVALID: list[tuple[int, int, dict[str, Any]]] = [
    (1, 1007, a_document(state="on")),
    (1, 1007, a_document(grantControls={"operator": "OR", "builtInControls": ["prayer"]})),
    (2, 9002, a_document(displayName=" ")),
    (3, 9003, put("state", None)),
    (4, 9004, put("conditions", None)),
    (4, 9004, put("conditions.applications", None)),
    (5, 9005, put("conditions.users", {})),
    (6, 9006, put("conditions.applications", {"includeApplications": []})),
    (
        7,
        1012,
        put("conditions.applications.includeUserActions", ["urn:user:registersecurityinfo"]),
    ),
    (8, 9008, a_document(users=["All", "None"])),
    (
        9,
        9009,
        put(
            "conditions.users",
            {
                "includeUsers": ["GuestsOrExternalUsers"],
                "includeGuestsOrExternalUsers": {"guestOrExternalUserTypes": "internalGuest"},
            },
        ),
    ),
    (10, 9010, a_document(grantControls=None)),
    (11, 9011, a_document(grantControls={"operator": "OR"})),
    (12, 9012, a_document(grantControls={"builtInControls": ["mfa"]})),
    (13, 9013, a_document(grantControls={"operator": "OR", "builtInControls": ["mfa", "block"]})),
    (14, 9014, a_document(grantControls={"operator": "AND", "builtInControls": ["mfa", "passwordChange"]})),
    (
        15,
        9015,
        a_document(
            grantControls={
                "operator": "AND",
                "builtInControls": ["mfa"],
                "authenticationStrength": MULTIFACTOR,
            }
        ),
    ),
    (16, 9016, device(grantControls={"operator": "OR", "builtInControls": ["block"]})),
    (17, 9017, a_document(users=[str(uuid.uuid4())])),
    (17, 9017, put("conditions.locations", {"includeLocations": [str(uuid.uuid4())]})),
    (18, 9018, put("grantControls.termsOfUse", [str(uuid.uuid4())])),
    (19, 9019, put("conditions.servicePrincipalRiskLevels", ["high"])),
    (20, 9020, put("conditions.insiderRiskLevels", "minor")),
    (20, 9020, put("conditions.moonPhases", ["full"])),
    (
        22,
        9022,
        put("sessionControls", {"signInFrequency": {"isEnabled": True, "type": "hours", "value": 24}}),
    ),
    (
        23,
        9023,
        put("conditions.applications", {"includeAuthenticationContextClassReferences": ["c100"]}),
    ),
]
"""Rows V1 to V23 of the table of validation, their numbers, and what is refused by them as the tenant is."""


@pytest.mark.proves("GR-078")
@pytest.mark.parametrize(("row", "number", "document"), INVALID)
async def test_what_is_no_policy_is_refused_by_its_number(
    office: Office, row: int, number: int, document: dict[str, Any]
) -> None:
    answer = office.call("POST", POLICIES, document)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "BadRequest"), f"V{row}"
    assert error["message"].startswith(f"{number}: "), f"V{row}"


@pytest.mark.proves("GR-078")
def test_no_row_of_validation_is_without_its_refusal() -> None:
    elsewhere = {21, 24, 25}  # A strict tenant, a full one, and security defaults: in tests of their own.
    assert {row for row, *_ in INVALID} | elsewhere == set(range(1, 26))


@pytest.mark.proves("GR-078")
def test_there_are_no_more_policies_than_a_sign_in_can_bear(office: Office) -> None:
    switched_off = a_document(state="disabled")
    made = []
    try:
        while (answer := office.call("POST", POLICIES, switched_off)).status_code == 201:
            made.append(answer.json()["id"])
        assert answer.json()["error"]["message"].startswith("9024: ")
        assert len(office.call("GET", POLICIES).json()["value"]) == 100
        assert office.call("GET", f"{POLICIES}?$count=true&$top=1").json()["@odata.count"] == 195
    finally:
        for id in made:
            office.call("DELETE", f"{POLICIES}/{id}")


@pytest.mark.proves("GR-079", "GR-080", "GR-082")
async def test_a_change_of_one_part_keeps_the_others(office: Office) -> None:
    graph = office.graph()
    user = office.a_user()["id"]
    made = await graph.identity.conditional_access.policies.post(a_policy())
    at = graph.identity.conditional_access.policies.by_conditional_access_policy_id(made.id)
    await at.patch(ConditionalAccessPolicy(state=ConditionalAccessPolicyState.Disabled))
    after = await at.get()
    assert (after.state, after.display_name) == (ConditionalAccessPolicyState.Disabled, "Require MFA")
    assert after.conditions.users.include_users == ["None"]
    office.call(
        "PATCH",
        f"{POLICIES}/{made.id}",
        {"conditions": {"users": {"includeUsers": ["None"], "excludeUsers": [user]}}},
    )
    after = await at.get()
    assert after.conditions.users.exclude_users == [user]
    assert after.conditions.applications.include_applications == ["All"]
    assert after.grant_controls.built_in_controls == [ConditionalAccessGrantControl.Mfa]
    alias = office.call("GET", f"/policies/conditionalAccessPolicies/{made.id}").json()
    assert alias["id"] == made.id


@pytest.mark.proves("GR-081", "GR-083")
async def test_a_policy_holds_at_the_next_sign_in_and_its_end_too(office: Office) -> None:
    address = an_address()
    sign_up_by_code(office, address)
    assert first_factor_by_code(office, address, "openid").status == 200
    found = office.call("GET", "/users", None).json()["value"]
    user = next(one["id"] for one in found if one["mail"] == address)
    policy = a_policy()
    policy.conditions.users.include_users = [user]
    graph = office.graph()
    made = await graph.identity.conditional_access.policies.post(policy)
    assert first_factor_by_code(office, address, "openid").error[1] == "registration_required"
    await graph.identity.conditional_access.policies.by_conditional_access_policy_id(made.id).delete()
    assert first_factor_by_code(office, address, "openid").status == 200


def test_what_an_author_may_have_meant_otherwise_stands_in_the_log(office: Office) -> None:
    applications = {"includeApplications": ["All"], "excludeApplications": [office.otp_app]}
    made = office.made(POLICIES, a_document())
    at = f"{POLICIES}/{made['id']}"
    assert "policy.remark" not in office.log

    assert office.call("PATCH", at, {"conditions": {"applications": applications}}).status_code == 204

    (line,) = [line for line in office.log.splitlines() if "policy.remark" in line]
    assert json.loads(line)["policy"] == made["id"]
    assert f"The application {office.otp_app} is a public client" in json.loads(line)["remark"]


@pytest.mark.proves("CA-03")
def test_a_change_of_policy_holds_at_the_very_next_request_and_at_refresh(office: Office) -> None:
    """On one node; on several it is `tests/nodes` that measures."""
    address = an_address()
    sign_up_by_code(office, address)
    (user,) = office.call("GET", f"/users?$filter=mail eq '{address}'").json()["value"]
    held = first_factor_by_code(office, address, "openid offline_access").ok()["refresh_token"]

    def refreshed() -> int:
        """The number of the refusal, or 0."""
        nonlocal held
        answer = office.post(
            "/oauth2/v2.0/token", client_id=office.otp_app, grant_type="refresh_token", refresh_token=held
        )
        held = answer.body.get("refresh_token", held)
        return answer.error[2]

    assert refreshed() == 0
    block = {"operator": "OR", "builtInControls": ["block"]}
    made = office.made(POLICIES, a_document([user["id"]], grantControls=block))
    at = f"{POLICIES}/{made['id']}"
    for change, expected in (
        ({}, 53003),
        ({"state": "enabledForReportingButNotEnforced"}, 0),
        ({"grantControls": {"operator": "OR", "builtInControls": ["mfa"]}}, 0),
        ({"state": "enabled"}, 50076),
        ({"conditions": {"users": {"includeUsers": ["All"], "excludeUsers": [user["id"]]}}}, 0),
        ({"conditions": {"users": {"includeUsers": [user["id"]]}}}, 50076),
        (None, 0),
    ):
        answer = office.call("DELETE", at) if change is None else office.call("PATCH", at, change)
        assert answer.status_code == 204, answer.text
        assert refreshed() == expected, change


@pytest.mark.parametrize(
    ("name", "sign_in", "result"),
    [
        ("mfa_for_all_users", "registration_required", "failure"),
        ("block_legacy_clients", "Bearer", "notApplied"),
        ("strong_methods_at_risk", "Bearer", "reportOnlyNotApplied"),
    ],
)
def test_a_policy_that_entra_exported_is_posted_as_it_is_and_holds_at_the_next_sign_in(
    office: Office, name: str, sign_in: str, result: str
) -> None:
    text = (EXPORTED / f"{name}.json").read_text(encoding="utf-8")
    address = an_address()
    sign_up_by_code(office, address)
    answer = office.call("POST", POLICIES, text)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    try:
        kept = office.call("GET", f"{POLICIES}/{made['id']}").json()
        asked = first_factor_by_code(office, address, "openid")
        (user,) = office.call("GET", f"/users?$filter=mail eq '{address}'").json()["value"]
        found = office.call("GET", f"/auditLogs/signIns?$filter=userId eq '{user['id']}'").json()
    finally:
        assert office.call("DELETE", f"{POLICIES}/{made['id']}").status_code == 204

    assert (asked.error[1] or asked["token_type"]) == sign_in
    policies = found["value"][0]["appliedConditionalAccessPolicies"]
    assert [one["result"] for one in policies if one["id"] == made["id"]] == [result]
    assert_says(kept, json.loads(text))


def assert_says(kept: dict[str, Any], given: dict[str, Any], at: str = "") -> None:
    """Whatever was given as a value has been kept as it is, but for what the server alone may say."""
    for name, value in given.items():
        where = f"{at}/{name}"
        is_beside_an_id = at == BY_ITS_ID and name != "id"
        if "@odata" in name or value in (None, []) or where in READ_ONLY or is_beside_an_id:
            continue
        if isinstance(value, dict):
            assert_says(kept[name], value, where)
        elif isinstance(value, list):
            assert sorted(kept[name]) == sorted(value), where
        else:
            assert kept[name] == value, where


@pytest.mark.proves("GR-120")
def test_a_change_that_rests_on_something_older_is_refused(office: Office) -> None:
    made = office.made(POLICIES, a_document())
    at = f"{POLICIES}/{made['id']}"
    etag = office.call("GET", at).headers["etag"]
    assert office.call("PATCH", at, {"displayName": "First"}, if_match=etag).status_code == 204
    answer = office.call("PATCH", at, {"displayName": "Second"}, if_match=etag)
    assert (answer.status_code, answer.json()["error"]["code"]) == (412, "PreconditionFailed")
    assert office.call("GET", at).json()["displayName"] == "First"
    assert office.call("DELETE", at, if_match=etag).status_code == 412


# Places. ------------------------------------------------------------------------------------------------------------


@pytest.mark.proves("GR-084", "GR-086")
async def test_places_come_back_as_their_classes_and_a_trusted_one_stays(office: Office) -> None:
    places = office.graph().identity.conditional_access.named_locations
    head = await places.post(
        IpNamedLocation(
            display_name="Head office",
            is_trusted=True,
            ip_ranges=[IPv4CidrRange(cidr_address="203.0.113.0/24")],
        )
    )
    japan = await places.post(CountryNamedLocation(display_name="Japan", countries_and_regions=["JP"]))
    listed = {one.id: one for one in (await places.get()).value}
    assert isinstance(listed[head.id], IpNamedLocation)
    assert isinstance(listed[head.id].ip_ranges[0], IPv4CidrRange)
    assert isinstance(listed[japan.id], CountryNamedLocation)
    with pytest.raises(ODataError) as caught:
        await places.by_named_location_id(head.id).delete()
    assert caught.value.response_status_code == 400
    head.is_trusted = False
    await places.by_named_location_id(head.id).patch(head)
    await places.by_named_location_id(head.id).delete()
    with pytest.raises(ODataError) as caught:
        await places.by_named_location_id(head.id).get()
    assert caught.value.response_status_code == 404


@pytest.mark.proves("GR-085")
@pytest.mark.parametrize(
    "more",
    [
        {"ipRanges": [{"cidrAddress": "203.0.113.0/33"}]},
        {"ipRanges": [{"cidrAddress": "203.0.113.1/24"}]},
        {"ipRanges": [{"cidrAddress": "10.0.0.0/8"}]},
        {"ipRanges": [{"cidrAddress": f"10.{i // 256}.{i % 256}.0/24"} for i in range(2001)]},
        {"ipRanges": []},
        {"@odata.type": "#microsoft.graph.countryNamedLocation", "countriesAndRegions": ["QQ"]},
        {"@odata.type": "#microsoft.graph.countryNamedLocation", "countriesAndRegions": []},
        {
            "@odata.type": "#microsoft.graph.countryNamedLocation",
            "countriesAndRegions": ["JP"],
            "countryLookupMethod": "authenticatorAppGps",
        },
    ],
)
def test_what_is_no_place_is_refused(office: Office, more: dict[str, Any]) -> None:
    body = {"@odata.type": "#microsoft.graph.ipNamedLocation", "displayName": "Nowhere", **more}
    answer = office.call("POST", "/identity/conditionalAccess/namedLocations", body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BadRequest")


# Contexts and strengths. --------------------------------------------------------------------------------------------


@pytest.mark.proves("GR-087")
async def test_a_context_is_made_by_patch_and_stays_while_a_policy_names_it(office: Office) -> None:
    at = office.graph().identity.conditional_access.authentication_context_class_references
    await at.by_authentication_context_class_reference_id("c7").patch(
        AuthenticationContextClassReference(display_name="Money", is_available=True)
    )
    found = await at.by_authentication_context_class_reference_id("c7").get()
    assert (found.id, found.display_name) == ("c7", "Money")
    with pytest.raises(ODataError) as caught:
        await at.by_authentication_context_class_reference_id("c100").patch(
            AuthenticationContextClassReference(display_name="Too much")
        )
    assert caught.value.response_status_code == 400
    document = a_document()
    document["conditions"]["applications"] = {"includeAuthenticationContextClassReferences": ["c7"]}
    policy = office.made(POLICIES, document)
    with pytest.raises(ODataError) as caught:
        await at.by_authentication_context_class_reference_id("c7").delete()
    assert caught.value.response_status_code == 400
    office.call("DELETE", f"{POLICIES}/{policy['id']}")
    await at.by_authentication_context_class_reference_id("c7").delete()


@pytest.mark.proves("GR-088")
async def test_a_strength_of_ones_own_can_be_made_and_those_built_in_stay(office: Office) -> None:
    at = office.graph().policies.authentication_strength_policies
    made = await at.post(
        AuthenticationStrengthPolicy(
            display_name="Ours", additional_data={"allowedCombinations": ["password,sms"]}
        )
    )
    value = office.call("GET", f"/policies/authenticationStrengthPolicies/{made.id}").json()
    assert (value["allowedCombinations"], value["policyType"]) == (["password,sms"], "custom")
    answer = office.call(
        "POST",
        f"/policies/authenticationStrengthPolicies/{made.id}/updateAllowedCombinations",
        {"allowedCombinations": ["password,sms", "fido2"]},
    )
    assert answer.json()["currentCombinations"] == ["password,sms", "fido2"]
    built_in = at.by_authentication_strength_policy_id("00000000-0000-0000-0000-000000000002")
    for act in (built_in.patch(AuthenticationStrengthPolicy(display_name="Mine")), built_in.delete()):
        with pytest.raises(ODataError) as caught:
            await act
        assert caught.value.response_status_code == 400


@pytest.mark.proves("GR-089")
async def test_while_security_defaults_are_on_no_policy_can_be_enabled(office: Office) -> None:
    at = office.graph().policies.identity_security_defaults_enforcement_policy
    await at.patch(IdentitySecurityDefaultsEnforcementPolicy(is_enabled=True))
    try:
        assert (await at.get()).is_enabled is True
        answer = office.call("POST", POLICIES, a_document())
        assert answer.json()["error"]["message"].startswith("9025: ")
    finally:
        await at.patch(IdentitySecurityDefaultsEnforcementPolicy(is_enabled=False))
    assert office.call("POST", POLICIES, a_document()).status_code == 201


# The methods policy. ------------------------------------------------------------------------------------------------


@pytest.mark.proves("GR-092")
async def test_methods_have_their_classes_and_email_switched_off_is_off_at_once(office: Office) -> None:
    graph = office.graph()
    listed = (await graph.policies.authentication_methods_policy.get()).authentication_method_configurations
    kinds = {one.id: type(one) for one in listed}
    assert kinds["Email"] is EmailAuthenticationMethodConfiguration
    assert kinds["Sms"] is SmsAuthenticationMethodConfiguration
    assert kinds["Fido2"] is Fido2AuthenticationMethodConfiguration
    address = an_address()
    sign_up_by_code(office, address)
    asked = first_factor_by_code(office, address, office.scope)
    at = graph.policies.authentication_methods_policy.authentication_method_configurations
    email = at.by_authentication_method_configuration_id("Email")
    sms = at.by_authentication_method_configuration_id("sms")
    off, on = AuthenticationMethodState.Disabled, AuthenticationMethodState.Enabled
    await email.patch(EmailAuthenticationMethodConfiguration(state=off))
    await sms.patch(SmsAuthenticationMethodConfiguration(state=off))
    assert asked.error[1] == "registration_required"
    assert first_factor_by_code(office, address, office.scope).error[1] != "registration_required"
    await sms.patch(SmsAuthenticationMethodConfiguration(state=on))
    await email.delete()
    assert first_factor_by_code(office, address, office.scope).error[1] == "registration_required"


@pytest.mark.proves("GR-093")
def test_a_text_message_is_no_first_factor(office: Office) -> None:
    at = "/policies/authenticationMethodsPolicy/authenticationMethodConfigurations/"
    targets = [{"targetType": "group", "id": "all_users", "isUsableForSignIn": True}]
    assert office.call("PATCH", f"{at}Sms", {"includeTargets": targets}).status_code == 400
    assert office.call("PATCH", f"{at}SoftwareOath", {"state": "enabled"}).status_code == 501


# What-If. -----------------------------------------------------------------------------------------------------------


@pytest.mark.proves("GR-090")
async def test_what_if_says_the_same_on_both_versions(office: Office) -> None:
    user = office.a_user()["id"]
    office.made(POLICIES, a_document(users=[user]))
    body = EvaluatePostRequestBody(
        sign_in_identity=UserSignIn(user_id=user, odata_type="#microsoft.graph.userSignIn"),
        sign_in_context=ApplicationContext(
            include_applications=[office.told["api"]["client_id"]],
            odata_type="#microsoft.graph.applicationContext",
        ),
        sign_in_conditions=SignInConditions(),
        applied_policies_only=True,
    )
    seen = []
    for version in ("v1.0", "beta"):
        found = await office.graph(version=version).identity.conditional_access.evaluate.post(body)
        assert all(one.policy_applies for one in found.value)
        seen.append([(one.id, one.policy_applies) for one in found.value])
    assert seen[0] == seen[1]
    assert DEMO_POLICY in {id for id, _ in seen[0]}


@pytest.mark.proves("GR-091")
@pytest.mark.parametrize(
    ("conditions", "reason"),
    [
        ({"platforms": {"includePlatforms": ["iOS"]}}, "devicePlatform"),
        ({"clientAppTypes": ["browser"]}, "clientApps"),
        ({"signInRiskLevels": ["high"]}, "signInRisk"),
        ({"userRiskLevels": ["high"]}, "userRisk"),
        ({"users": {"includeUsers": ["None"]}}, "users"),
        ({"applications": {"includeApplications": ["aaaaaaaa-0000-4000-8000-0000000000a2"]}}, "application"),
    ],
)
def test_what_if_names_the_condition_that_does_not_hold(
    office: Office, conditions: dict[str, Any], reason: str
) -> None:
    user = office.a_user()["id"]
    document = a_document(users=[user])
    document["conditions"] |= conditions
    made = office.made(POLICIES, document)
    answer = office.call(
        "POST",
        "/identity/conditionalAccess/evaluate",
        {
            "signInIdentity": {"@odata.type": "#microsoft.graph.userSignIn", "userId": user},
            "signInContext": {
                "@odata.type": "#microsoft.graph.applicationContext",
                "includeApplications": [office.told["api"]["client_id"]],
            },
            "signInConditions": {"devicePlatform": "android", "clientAppType": "other"},
        },
    )
    found = next(one for one in answer.json()["value"] if one["id"] == made["id"])
    assert (found["policyApplies"], found["analysisReasons"]) == (False, reason)
