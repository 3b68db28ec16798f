"""What may become a policy: the rows of the validation table, and what a document looks like once it is one."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from genkan.model import DIRECTORY
from genkan.policy.model import Policy
from genkan.policy.validate import Known, Refusal, merge, references, remarks, validate
from tests.policy.world import NOW

USER = "5f2a3c44-7d1b-4b0f-93f0-6d2b1c0e4a02"
GROUP = "5f2a3c44-7d1b-4b0f-93f0-6d2b1c0e4a03"
ROLE = "5f2a3c44-7d1b-4b0f-93f0-6d2b1c0e4a04"
APP = "7a0f6b1e-22b4-4a0e-8d3c-0d8a6f5e9b01"
PLACE = "7a0f6b1e-22b4-4a0e-8d3c-0d8a6f5e9b02"
STRENGTH = "7a0f6b1e-22b4-4a0e-8d3c-0d8a6f5e9b03"
KNOWN = Known(
    users=frozenset({USER}),
    groups=frozenset({GROUP}),
    roles=frozenset({ROLE}),
    applications=frozenset({APP}),
    public_clients=frozenset({APP}),
    locations=frozenset({PLACE}),
    strengths=frozenset({STRENGTH}),
    contexts=frozenset({"c1"}),
)

SENT_BY_THE_SDK: dict[str, Any] = {
    "@odata.type": "#microsoft.graph.conditionalAccessPolicy",
    "conditions": {
        "applications": {"includeApplications": ["All"]},
        "clientAppTypes": ["all"],
        "users": {"includeUsers": ["All"]},
    },
    "displayName": "Require MFA",
    "grantControls": {"builtInControls": ["mfa"], "operator": "OR"},
    "state": "enabled",
}
PASSWORD_CHANGE: dict[str, Any] = {
    "grantControls": {"builtInControls": ["mfa", "passwordChange"], "operator": "AND"},
    "conditions.userRiskLevels": ["high"],
}
GUESTS = {"guestOrExternalUserTypes": "internalGuest,serviceProvider"}

NEVER = {"persistentBrowser": {"isEnabled": True, "mode": "never"}}

WITHOUT = object()


def a_document(**changes: Any) -> dict[str, Any]:
    """The document above with members put in or taken out; `conditions__users` is the member of a member."""
    document = deepcopy(SENT_BY_THE_SDK)
    for path, value in changes.items():
        *parts, last = path.replace("__", ".").split(".")
        target = document
        for part in parts:
            target = target.setdefault(part, {})
        if value is WITHOUT:
            del target[last]
        else:
            target[last] = value
    return document


def the_number(document: object, known: Known = KNOWN) -> int | None:
    answer = validate(document, known)
    return answer.number if isinstance(answer, Refusal) else None


def a_valid(document: object, known: Known = KNOWN) -> Policy:
    answer = validate(document, known)
    assert isinstance(answer, Policy), answer
    return answer


def test_what_the_sdk_sends_is_a_policy_in_canonical_form() -> None:
    policy = a_valid(SENT_BY_THE_SDK)

    stored = msgspec.structs.replace(policy, id="0b6c1a52-6d0f-4d1c-9a40-5f3f1f0a7c11", created_date_time=NOW)
    assert json.loads(msgspec.json.encode(stored)) == {
        "id": "0b6c1a52-6d0f-4d1c-9a40-5f3f1f0a7c11",
        "templateId": None,
        "displayName": "Require MFA",
        "description": None,
        "createdDateTime": "2031-03-04T05:06:07Z",
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
                "includeUsers": ["All"],
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


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"conditions.clientAppTypes": []},
        {"conditions.clientAppTypes": None},
        {"conditions.platforms": {"includePlatforms": [], "excludePlatforms": []}},
        {"conditions.locations": None},
        {"conditions.agentIdRiskLevels": None, "conditions.users.includeAgents": []},
        {"conditions.applications.includeUserActions": None},
        {"sessionControls": {}},
        {"sessionControls": {"disableResilienceDefaults": None}},
        {"grantControls.operator": "or"},
        {"conditions": {**SENT_BY_THE_SDK["conditions"], "users@odata.context": "https://id.example.com/"}},
        {"id": "mine", "templateId": "yours", "createdDateTime": "long ago", "modifiedDateTime": 7},
    ],
)
def test_what_means_nothing_is_not_kept(given: dict[str, Any]) -> None:
    assert a_valid(a_document(**given)) == a_valid(SENT_BY_THE_SDK)


def test_a_stored_policy_is_read_back_as_it_was_written() -> None:
    policy = a_valid(
        a_document(
            conditions__users__includeGuestsOrExternalUsers={
                **GUESTS,
                "externalTenants": {"@odata.type": "#microsoft.graph.conditionalAccessAllExternalTenants"},
            },
            conditions__users__includeUsers=[],
            conditions__locations={"includeLocations": ["All"], "excludeLocations": ["AllTrusted", PLACE]},
            sessionControls={"signInFrequency": {"isEnabled": True, "type": "hours", "value": 4}},
        )
    )

    written = msgspec.json.encode(policy)

    assert msgspec.json.decode(written, type=Policy) == policy
    assert b"conditionalAccessAllExternalTenants" in written


EVERY_CONTROL = {
    **NEVER,
    "applicationEnforcedRestrictions": {"isEnabled": True},
    "cloudAppSecurity": {"isEnabled": True, "cloudAppSecurityType": "monitorOnly"},
    "secureSignInSession": {"isEnabled": True},
    "signInFrequency": {"isEnabled": True, "type": "hours", "value": 4},
}


@pytest.mark.parametrize(
    "part",
    [
        "conditions",
        "conditions.users",
        "grantControls",
        "sessionControls",
        *(f"sessionControls.{control}" for control in EVERY_CONTROL),
    ],
)
def test_a_stored_policy_with_something_unknown_is_not_read_at_all(part: str) -> None:
    document = json.loads(msgspec.json.encode(a_valid(a_document(sessionControls=EVERY_CONTROL))))
    target = document
    for member in part.split("."):
        target = target[member]
    target["moonPhases"] = ["full"]

    with pytest.raises(msgspec.ValidationError, match="moonPhases"):
        msgspec.convert(document, Policy)


def test_ids_are_compared_without_regard_to_case() -> None:
    policy = a_valid(a_document(conditions__users__excludeUsers=[USER.upper()], displayName=USER.upper()))

    assert policy.conditions.users.exclude_users == (USER,)
    assert policy.display_name == USER.upper()


@pytest.mark.proves("CAV-01")
@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "policy",
        a_document(state="on"),
        a_document(state=["enabled"]),
        a_document(displayName=7),
        a_document(conditions=[]),
        a_document(conditions__users=[]),
        a_document(conditions__users__includeUsers="All"),
        a_document(conditions__users__includeUsers=[1]),
        a_document(conditions__clientAppTypes=["telepathy"]),
        a_document(conditions__signInRiskLevels=["dire"]),
        a_document(conditions__platforms={"includePlatforms": ["amiga"]}),
        a_document(conditions__platforms={"excludePlatforms": ["iOS"]}),
        a_document(conditions__locations={"excludeLocations": ["AllTrusted"]}),
        a_document(conditions__applications__includeUserActions=["urn:user:sing"]),
        a_document(conditions__authenticationFlows={"transferMethods": "deviceCodeFlow,pigeon"}),
        a_document(conditions__insiderRiskLevels="slight", state="disabled"),
        a_document(
            conditions__users__includeGuestsOrExternalUsers={"guestOrExternalUserTypes": "uncle"},
            conditions__users__includeUsers=[],
        ),
        a_document(conditions__users__excludeGuestsOrExternalUsers={}),
        a_document(grantControls="mfa"),
        a_document(grantControls__builtInControls=["prayer"]),
        a_document(grantControls__prayers=["Hail Mary"]),
        a_document(sessionControls=True),
        a_document(sessionControls={"signInFrequency": {"isEnabled": True, "type": "weeks", "value": 1}}),
        a_document(sessionControls={"signInFrequency": {"isEnabled": True, "type": "hours", "value": "1"}}),
        a_document(moonPhases=["full"]),
    ],
)
def test_v1_a_document_of_another_shape(document: object) -> None:
    assert the_number(document) == 1007


@pytest.mark.proves("CAV-02")
@pytest.mark.parametrize("name", [WITHOUT, None, "", "  ", "n" * 257])
def test_v2_a_policy_has_a_name(name: object) -> None:
    assert the_number(a_document(displayName=name)) == 9002
    assert the_number(a_document(displayName="n" * 256)) is None


@pytest.mark.proves("CAV-03")
@pytest.mark.parametrize("state", [WITHOUT, None])
def test_v3_a_policy_has_a_state(state: object) -> None:
    assert the_number(a_document(state=state)) == 9003


@pytest.mark.proves("CAV-04")
@pytest.mark.parametrize("member", ["conditions", "conditions.applications"])
@pytest.mark.parametrize("value", [WITHOUT, None])
def test_v4_a_policy_has_conditions_and_applications(member: str, value: object) -> None:
    assert the_number(a_document(**{member: value})) == 9004


@pytest.mark.proves("CAV-05")
@pytest.mark.parametrize("users", [WITHOUT, {}, {"excludeUsers": [USER]}])
def test_v5_a_policy_is_for_somebody(users: object) -> None:
    assert the_number(a_document(conditions__users=users)) == 9005


@pytest.mark.parametrize(
    "users",
    [
        {"includeUsers": ["None"]},
        {"includeGroups": [GROUP]},
        {"includeRoles": [ROLE]},
        {"includeGuestsOrExternalUsers": GUESTS},
    ],
)
def test_it_may_be_for_anybody(users: object) -> None:
    assert the_number(a_document(conditions__users=users)) is None


@pytest.mark.proves("CAV-06")
@pytest.mark.parametrize("applications", [{}, {"includeApplications": []}, {"excludeApplications": [APP]}])
def test_v6_a_policy_is_for_something(applications: object) -> None:
    assert the_number(a_document(conditions__applications=applications)) == 9006


@pytest.mark.proves("CAV-07")
@pytest.mark.parametrize(
    "applications",
    [
        {"includeApplications": ["All"], "includeUserActions": ["urn:user:registersecurityinfo"]},
        {"includeApplications": ["All"], "includeAuthenticationContextClassReferences": ["c1"]},
        {
            "includeUserActions": ["urn:user:registersecurityinfo"],
            "includeAuthenticationContextClassReferences": ["c1"],
        },
        {"excludeApplications": [APP], "includeUserActions": ["urn:user:registersecurityinfo"]},
    ],
)
def test_v7_a_policy_is_for_one_kind_of_thing(applications: object) -> None:
    assert the_number(a_document(conditions__applications=applications)) == 1012


@pytest.mark.proves("CAV-08")
@pytest.mark.parametrize(
    "change",
    [
        {"conditions.users.includeUsers": ["All", USER]},
        {"conditions.users.includeUsers": [USER, "None"]},
        {"conditions.users.excludeUsers": ["None"]},
        {"conditions.applications.includeApplications": ["None", APP]},
        {"conditions.applications.excludeApplications": ["None"]},
        {"conditions.locations": {"includeLocations": ["All", PLACE]}},
        {"conditions.locations": {"includeLocations": ["All"], "excludeLocations": ["None"]}},
    ],
)
def test_v8_all_and_none_stand_alone(change: dict[str, Any]) -> None:
    assert the_number(a_document(**change)) == 9008


@pytest.mark.proves("CAV-09")
@pytest.mark.parametrize("kind", ["include", "exclude"])
def test_v9_guests_are_named_by_word_or_by_object(kind: str) -> None:
    users = {"includeUsers": [USER], "includeGroups": [GROUP]}
    users[f"{kind}Users"] = ["GuestsOrExternalUsers"]
    document = a_document(conditions__users={**users, f"{kind}GuestsOrExternalUsers": GUESTS})

    assert the_number(document) == 9009
    assert the_number(a_document(conditions__users=users)) is None


@pytest.mark.proves("CAV-10")
@pytest.mark.parametrize(
    "session",
    [
        WITHOUT,
        None,
        {},
        {"signInFrequency": {"isEnabled": False}},
        {"persistentBrowser": {"isEnabled": False, "mode": "never"}},
        {"disableResilienceDefaults": False},
    ],
)
def test_v10_a_policy_controls_something(session: object) -> None:
    document = a_document(sessionControls=session) if session is not WITHOUT else a_document()

    assert the_number({**document, "grantControls": None}) == 9010


@pytest.mark.parametrize(
    "session",
    [
        {"signInFrequency": {"isEnabled": True, "type": "days", "value": 7}},
        {"persistentBrowser": {"isEnabled": True, "mode": "never"}},
        {"applicationEnforcedRestrictions": {"isEnabled": True}},
        {"cloudAppSecurity": {"isEnabled": True, "cloudAppSecurityType": "monitorOnly"}},
        {"secureSignInSession": {"isEnabled": True}},
        {"disableResilienceDefaults": True},
    ],
)
def test_a_session_control_is_enough(session: object) -> None:
    assert the_number(a_document(grantControls=None, sessionControls=session)) is None


@pytest.mark.parametrize(
    "name", ["applicationEnforcedRestrictions", "cloudAppSecurity", "secureSignInSession"]
)
def test_a_session_control_that_nobody_has_switched_on_is_none(name: str) -> None:
    assert the_number(a_document(grantControls=None, sessionControls={name: {}})) == 9010


@pytest.mark.proves("CAV-11")
@pytest.mark.parametrize("grant", [{}, {"operator": "OR"}, {"operator": "OR", "builtInControls": []}])
def test_v11_grant_controls_control_something(grant: object) -> None:
    assert the_number(a_document(grantControls=grant)) == 9011


@pytest.mark.proves("CAV-12")
@pytest.mark.parametrize("operator", [WITHOUT, None, "", "XOR", 7])
def test_v12_the_operator(operator: object) -> None:
    assert the_number(a_document(grantControls__operator=operator)) == 9012


@pytest.mark.proves("CAV-12")
@pytest.mark.parametrize("operator", ["and", "And", "AND"])
def test_v12_the_operator_is_written_in_capitals(operator: str) -> None:
    grant = a_valid(a_document(grantControls__operator=operator)).grant_controls

    assert grant is not None
    assert grant.operator == "AND"


@pytest.mark.proves("CAV-13")
def test_v13_block_stands_alone() -> None:
    assert the_number(a_document(grantControls__builtInControls=["block", "mfa"])) == 9013
    assert the_number(a_document(grantControls__builtInControls=["block"])) is None
    strength = {"operator": "OR", "builtInControls": ["block"], "authenticationStrength": {"id": STRENGTH}}
    assert the_number(a_document(grantControls=strength)) == 9013


@pytest.mark.proves("CAV-14")
@pytest.mark.parametrize(
    "change",
    [
        {"grantControls": {"builtInControls": ["passwordChange"], "operator": "AND"}},
        {"grantControls.operator": "OR"},
        {"grantControls.builtInControls": ["mfa", "passwordChange", "compliantDevice"]},
        {"conditions.userRiskLevels": []},
        {"conditions.applications.includeApplications": [APP]},
        {"conditions.applications.excludeApplications": [APP]},
        {"conditions.clientAppTypes": ["browser"]},
        {"conditions.signInRiskLevels": ["high"]},
        {"conditions.locations": {"includeLocations": ["AllTrusted"]}},
        {"conditions.platforms": {"includePlatforms": ["iOS"]}},
        {
            "conditions.applications": {"includeAuthenticationContextClassReferences": ["c1"]},
        },
    ],
)
def test_v14_a_password_change_wants_mfa_and_user_risk_and_nothing_else(change: dict[str, Any]) -> None:
    assert the_number(a_document(**PASSWORD_CHANGE)) is None

    assert the_number(a_document(**{**deepcopy(PASSWORD_CHANGE), **change})) == 9014


@pytest.mark.proves("CAV-14")
def test_v14_a_strength_does_as_well_as_mfa() -> None:
    grant = {
        "operator": "AND",
        "builtInControls": ["passwordChange"],
        "authenticationStrength": {"id": STRENGTH},
    }

    assert the_number(a_document(**{**PASSWORD_CHANGE, "grantControls": grant})) is None


@pytest.mark.proves("CAV-15")
def test_v15_a_strength_takes_the_place_of_mfa() -> None:
    grant = {"operator": "AND", "builtInControls": ["mfa"], "authenticationStrength": {"id": STRENGTH}}

    assert the_number(a_document(grantControls=grant)) == 9015


@pytest.mark.proves("CAV-16")
@pytest.mark.parametrize(
    "change",
    [
        {"grantControls.builtInControls": ["block"]},
        {"grantControls.builtInControls": ["mfa", "compliantDevice"]},
        {"conditions.clientAppTypes": ["browser"]},
        {"conditions.devices": {"deviceFilter": {"mode": "include", "rule": "x"}}, "state": "disabled"},
    ],
)
def test_v16_registering_a_device_takes_mfa_alone(change: dict[str, Any]) -> None:
    action = {"conditions.applications": {"includeUserActions": ["urn:user:registerdevice"]}}
    assert the_number(a_document(**action)) is None

    assert the_number(a_document(**{**action, **change})) == 9016


@pytest.mark.proves("CAV-17")
@pytest.mark.parametrize(
    ("change", "member"),
    [
        ({"conditions.users.includeUsers": [USER]}, "users"),
        ({"conditions.users.excludeUsers": [USER]}, "users"),
        ({"conditions.users.includeGroups": [GROUP]}, "groups"),
        ({"conditions.users.excludeGroups": [GROUP]}, "groups"),
        ({"conditions.users.excludeRoles": [ROLE]}, "roles"),
        ({"conditions.applications.includeApplications": [APP]}, "applications"),
        ({"conditions.applications.excludeApplications": [APP]}, "applications"),
        ({"conditions.applications": {"includeAuthenticationContextClassReferences": ["c1"]}}, "contexts"),
        ({"conditions.locations": {"includeLocations": [PLACE]}}, "locations"),
        ({"conditions.locations": {"includeLocations": ["All"], "excludeLocations": [PLACE]}}, "locations"),
        ({"grantControls": {"operator": "OR", "authenticationStrength": {"id": STRENGTH}}}, "strengths"),
    ],
)
def test_v17_what_is_named_exists(change: dict[str, Any], member: str) -> None:
    document = a_document(**change)
    assert references(a_valid(document))[member] <= getattr(KNOWN, member)

    assert the_number(document, msgspec.structs.replace(KNOWN, **{member: frozenset()})) == 9017


@pytest.mark.parametrize(
    "change",
    [
        {
            "conditions.users.includeUsers": ["None"],
            "conditions.users.excludeUsers": ["GuestsOrExternalUsers"],
        },
        {"conditions.applications.includeApplications": ["Office365", "MicrosoftAdminPortals", DIRECTORY]},
        {"conditions.locations": {"includeLocations": ["00000000-0000-0000-0000-000000000000"]}},
        {
            "grantControls": {
                "operator": "OR",
                "authenticationStrength": {
                    "id": "00000000-0000-0000-0000-000000000002",
                    "displayName": "Multifactor authentication",
                    "allowedCombinations": ["anything"],
                },
            }
        },
    ],
)
def test_words_and_built_in_things_exist_everywhere(change: dict[str, Any]) -> None:
    assert the_number(a_document(**change), Known()) is None


@pytest.mark.proves("CAV-18")
@pytest.mark.parametrize(
    "grant",
    [
        {"operator": "AND", "builtInControls": ["mfa"], "termsOfUse": [USER]},
        {"operator": "AND", "customAuthenticationFactors": ["duo"]},
        {"operator": "AND", "builtInControls": ["riskRemediation"]},
    ],
)
def test_v18_controls_that_are_not_supported(grant: object) -> None:
    assert the_number(a_document(grantControls=grant)) == 9018


@pytest.mark.proves("CAV-19")
@pytest.mark.parametrize(
    "change",
    [
        {"conditions.clientApplications": {"includeServicePrincipals": ["All"]}},
        {"conditions.clientApplications": {"includeServicePrincipals": ["All"]}, "conditions.users": WITHOUT},
        {"conditions.servicePrincipalRiskLevels": ["high"]},
    ],
)
@pytest.mark.parametrize("state", ["enabled", "disabled"])
def test_v19_policies_are_for_people(change: dict[str, Any], state: str) -> None:
    assert the_number(a_document(**change, state=state)) == 9019


@pytest.mark.proves("CAV-20")
@pytest.mark.parametrize(
    "change",
    [
        {"conditions.devices": {"deviceFilter": {"mode": "include", "rule": "x"}}},
        {"conditions.insiderRiskLevels": "minor,elevated"},
        {"conditions.applications.applicationFilter": {"mode": "include", "rule": "x"}},
    ],
)
def test_v20_what_cannot_be_evaluated_is_kept_only_while_it_is_switched_off(change: dict[str, Any]) -> None:
    assert the_number(a_document(**change)) == 9020
    assert the_number(a_document(**change, state="enabledForReportingButNotEnforced")) == 9020
    assert the_number(a_document(**change, state="disabled")) is None


@pytest.mark.proves("CAV-20")
@pytest.mark.parametrize(
    "change",
    [
        {"conditions.moonPhases": ["full"]},
        {"conditions.users.includeAgents": ["All"]},
        {"conditions.applications.includeGlobalSecureAccess": ["All"]},
    ],
)
@pytest.mark.parametrize("state", ["enabled", "disabled"])
def test_v20_what_is_not_known_is_not_kept_at_all(change: dict[str, Any], state: str) -> None:
    assert the_number(a_document(**change, state=state)) == 9020


@pytest.mark.proves("CAV-21")
@pytest.mark.parametrize(
    "change",
    [
        {"grantControls": {"operator": "OR", "authenticationStrength": {"id": STRENGTH}}},
        {"conditions.applications": {"includeAuthenticationContextClassReferences": ["c1"]}},
    ],
)
def test_v21_a_strict_external_tenant(change: dict[str, Any]) -> None:
    strict = msgspec.structs.replace(KNOWN, strict_external_tenant=True)

    assert the_number(a_document(**change), strict) == 9021
    assert the_number(a_document(**change), KNOWN) is None
    assert the_number(a_document(), strict) is None


@pytest.mark.proves("CAV-22")
@pytest.mark.parametrize(
    ("frequency", "number"),
    [
        ({"type": "hours", "value": 1}, None),
        ({"type": "hours", "value": 23}, None),
        ({"type": "days", "value": 365}, None),
        ({"frequencyInterval": "everyTime"}, None),
        ({"isEnabled": False}, None),
        ({"type": "hours"}, 9022),
        ({"value": 1}, 9022),
        ({"type": "hours", "value": 0}, 9022),
        ({"type": "hours", "value": 24}, 9022),
        ({"type": "days", "value": 366}, 9022),
        ({"frequencyInterval": "everyTime", "value": 1}, 9022),
        ({"frequencyInterval": "everyTime", "type": "hours"}, 9022),
    ],
)
def test_v22_the_sign_in_frequency(frequency: dict[str, Any], number: int | None) -> None:
    session = {"signInFrequency": {"isEnabled": True, **frequency}}

    assert the_number(a_document(sessionControls=session)) == number


@pytest.mark.proves("CAV-23")
@pytest.mark.parametrize("name", ["c0", "c100", "c01", "C1", "mfa", ""])
def test_v23_authentication_contexts_are_c1_to_c99(name: str) -> None:
    applications = {"includeAuthenticationContextClassReferences": [name]}

    assert the_number(a_document(conditions__applications=applications)) == 9023


@pytest.mark.proves("CAV-24")
def test_v24_a_tenant_has_at_most_195_policies() -> None:
    assert the_number(a_document(), msgspec.structs.replace(KNOWN, policies=194)) is None
    assert the_number(a_document(), msgspec.structs.replace(KNOWN, policies=195)) == 9024


@pytest.mark.proves("CAV-25", "CAP-135")
def test_v25_security_defaults_and_enabled_policies_exclude_each_other() -> None:
    with_defaults = msgspec.structs.replace(KNOWN, security_defaults=True)

    assert the_number(a_document(), with_defaults) == 9025
    assert the_number(a_document(state="disabled"), with_defaults) is None
    assert the_number(a_document(state="enabledForReportingButNotEnforced"), with_defaults) is None


def test_a_patch_replaces_members_of_a_part_and_leaves_the_others() -> None:
    stored = msgspec.structs.replace(
        a_valid(
            a_document(
                conditions__users={"includeUsers": ["All"], "excludeUsers": [USER]},
                conditions__locations={"includeLocations": [PLACE]},
            )
        ),
        id="0b6c1a52-6d0f-4d1c-9a40-5f3f1f0a7c11",
        created_date_time=NOW - timedelta(days=1),
    )

    merged = a_valid(
        merge(
            stored,
            {
                "state": "disabled",
                "conditions": {"users": {"includeGroups": [GROUP]}, "signInRiskLevels": ["high"]},
                "grantControls": {"builtInControls": ["block"]},
                "sessionControls": {"persistentBrowser": {"isEnabled": True, "mode": "never"}},
            },
        )
    )

    assert merged == a_valid(
        a_document(
            state="disabled",
            conditions__users={"includeGroups": [GROUP]},
            conditions__locations={"includeLocations": [PLACE]},
            conditions__signInRiskLevels=["high"],
            grantControls__builtInControls=["block"],
            sessionControls={"persistentBrowser": {"isEnabled": True, "mode": "never"}},
        )
    )


def test_a_patch_may_take_a_part_away() -> None:
    stored = a_valid(a_document(sessionControls={"secureSignInSession": {"isEnabled": True}}))

    assert a_valid(merge(stored, {"grantControls": None})).grant_controls is None
    assert the_number(merge(stored, {"conditions": None})) == 9004
    assert the_number(merge(stored, {"displayName": ""})) == 9002


@pytest.mark.parametrize("patch", [None, [], "state"])
def test_a_patch_is_an_object(patch: object) -> None:
    assert the_number(merge(a_valid(a_document()), patch)) == 1007


def test_an_exclusion_without_effect_is_remarked_on() -> None:
    in_vain = a_valid(a_document(conditions__applications__excludeApplications=[APP]))

    assert [APP in remark for remark in remarks(in_vain, KNOWN)] == [True]
    assert remarks(a_valid(a_document()), KNOWN) == ()


@pytest.mark.proves("CA-06")
def test_a_policy_that_would_catch_a_break_glass_account_is_remarked_on() -> None:
    known = replace(KNOWN, break_glass=frozenset({USER}))

    def remarked(**changes: object) -> bool:
        return any(USER in remark for remark in remarks(a_valid(a_document(**changes)), known))

    assert remarked(conditions__users__includeUsers=["All"])
    assert remarked(conditions__users__includeUsers=[USER])
    assert not remarked(conditions__users__includeUsers=["All"], conditions__users__excludeUsers=[USER])
    assert not remarked(conditions__users__includeUsers=["All"], state="disabled")
    assert not remarked(conditions__users__includeUsers=["None"])
