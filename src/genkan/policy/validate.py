"""
Whether a document may become a policy: what Graph's `POST` and `PATCH` of a policy ask before anything is stored.

A refusal is a value with a number; numbers from 9000 are Genkan's own. Knows nothing of HTTP or storage: the caller
says which ids exist. What passes is canonical, and everything in it can be evaluated or is switched off.
Source: conditional-access 2.6 (rows V1 to V25).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from genkan.model import DIRECTORY
from genkan.policy.model import (
    AUTHENTICATION_CONTEXTS,
    BUILT_IN_STRENGTHS,
    STRENGTH,
    Applications,
    AuthenticationFlows,
    Conditions,
    Guests,
    Locations,
    Platforms,
    Policy,
    SessionControls,
    Users,
)

MOST_POLICIES = 195
LONGEST_NAME = 256

READ_ONLY = ("id", "templateId", "createdDateTime", "modifiedDateTime", "deletedDateTime")
"""Members that the server sets; what a client sends for them does not count."""

GUEST_TYPES = frozenset(
    (
        "internalGuest",
        "b2bCollaborationGuest",
        "b2bCollaborationMember",
        "b2bDirectConnectUser",
        "otherExternalUser",
        "serviceProvider",
    )
)
INSIDER_RISKS = frozenset(("minor", "moderate", "elevated"))
TRANSFER_METHODS = frozenset(("none", "deviceCodeFlow", "authenticationTransfer"))

GUEST_WORD = "GuestsOrExternalUsers"
APPLICATION_WORDS = frozenset(("All", "None", "Office365", "MicrosoftAdminPortals"))
LOCATION_WORDS = frozenset(("All", "AllTrusted", "00000000-0000-0000-0000-000000000000"))
"""The last is "MFA trusted IPs" of old: it matches nothing, but exported policies name it (4.5)."""

HOURS, DAYS = range(1, 24), range(1, 366)
"""What a sign-in frequency may be."""

CONDITION_MEMBERS: dict[str, frozenset[str]] = {
    "": frozenset(Conditions.__struct_encode_fields__),
    "users": frozenset(Users.__struct_encode_fields__),
    "applications": frozenset(Applications.__struct_encode_fields__),
    "platforms": frozenset(Platforms.__struct_encode_fields__),
    "locations": frozenset(Locations.__struct_encode_fields__),
}
"""Every member a condition may have, by the part of `conditions` it is in."""

MERGED_PARTS = ("conditions", "grantControls", "sessionControls")

REQUIRED = ("users", "applications")

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class Refusal(Struct, frozen=True):
    """Why a document is no policy."""

    number: int
    text: str


class Known(Struct, frozen=True, kw_only=True):
    """What the tenant has. The ids may be cut down to those that `references` names."""

    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    applications: frozenset[str] = frozenset()
    """App ids of clients and resources."""
    public_clients: frozenset[str] = frozenset()
    break_glass: frozenset[str] = frozenset()
    """People who are to get in when all else fails."""
    locations: frozenset[str] = frozenset()
    strengths: frozenset[str] = frozenset()
    """The tenant's own; the built-in ones are known."""
    contexts: frozenset[str] = frozenset()
    policies: int = 0
    """How many there are, beside the one in question."""
    strict_external_tenant: bool = False
    security_defaults: bool = False


References = Mapping[str, frozenset[str]]


def validate(document: object, known: Known) -> Policy | Refusal:
    """The document as a policy that may be stored, less its id and times; or the first reason why not."""
    policy = read(document)
    if isinstance(policy, Refusal):
        return policy
    return next(_objections(policy, known), policy)


def merge(stored: Policy, patch: object) -> object:
    """
    The document that a `PATCH` makes of a stored policy; it is validated as a new one would be.

    The three parts of a policy are merged member by member; what is below that is replaced whole.
    Source: conditional-access 2.6.
    """
    if not isinstance(patch, dict):
        return patch
    merged: dict[str, Any] = msgspec.to_builtins(stored)
    for member, value in patch.items():
        part = merged.get(member)
        if member in MERGED_PARTS and isinstance(part, dict) and isinstance(value, dict):
            merged[member] = {**part, **value}
        else:
            merged[member] = value
    return merged


def references(policy: Policy) -> References:
    """The ids that must exist, by the member of `Known` that holds them."""
    users, applications = policy.conditions.users, policy.conditions.applications
    places = policy.conditions.locations or Locations()
    grant = policy.grant_controls
    strength = grant.authentication_strength if grant else None
    return {
        "users": frozenset(users.include_users + users.exclude_users) - {"All", "None", GUEST_WORD},
        "groups": frozenset(users.include_groups + users.exclude_groups),
        "roles": frozenset(users.include_roles + users.exclude_roles),
        "applications": frozenset(applications.include_applications + applications.exclude_applications)
        - APPLICATION_WORDS
        - {DIRECTORY},
        "contexts": frozenset(applications.include_authentication_context_class_references),
        "locations": frozenset(places.include_locations + places.exclude_locations) - LOCATION_WORDS,
        "strengths": frozenset({strength.id} if strength else ()) - BUILT_IN_STRENGTHS.keys(),
    }


def remarks(policy: Policy, known: Known) -> tuple[str, ...]:
    """What an administrator may have meant otherwise. Source: conditional-access 4.3; CA-06."""
    without_effect = known.public_clients.intersection(policy.conditions.applications.exclude_applications)
    users = policy.conditions.users
    caught: frozenset[str] = frozenset()
    if policy.state == "enabled" and policy.grant_controls is not None and not users.exclude_groups:
        included = (
            known.break_glass if "All" in users.include_users else known.break_glass & {*users.include_users}
        )
        caught = included.difference(users.exclude_users)
    return (
        *(
            f"The application {client} is a public client, so it is nobody's audience: to exclude it has no effect."
            for client in sorted(without_effect)
        ),
        *(
            f"The account {person} is there for when all else fails, and this policy does not exclude it."
            for person in sorted(caught)
        ),
    )


# The shape of the document. ---------------------------------------------------------------------------


def read(document: object) -> Policy | Refusal:
    """The document as a policy, judged by its shape alone."""
    if not isinstance(document, dict):
        return Refusal(1007, "The body is not an object.")
    tidy = _tidied({member: value for member, value in document.items() if member not in READ_ONLY})
    refusal = next(_misshapen(tidy), None)
    if refusal is not None:
        return refusal
    try:
        return msgspec.convert(_canonical(tidy), Policy)
    except msgspec.ValidationError as fault:
        return Refusal(1007, f"The body is not a policy: {fault}.")


def _tidied(value: Any, member: str = "") -> Any:
    """Without nulls, annotations, and the case of ids: none of them means anything."""
    if member in ("displayName", "description", "externalTenants"):
        return value
    if isinstance(value, dict):
        return {k: _tidied(v, k) for k, v in value.items() if v is not None and "@odata." not in k}
    if isinstance(value, list):
        return [_tidied(item) for item in value if item is not None]
    return value.lower() if isinstance(value, str) and _GUID.fullmatch(value) else value


def _misshapen(tidy: dict[str, Any]) -> Iterator[Refusal]:
    """What has a number of its own, though a look at the shape is enough to see it."""
    name = tidy.get("displayName", "")
    if isinstance(name, str) and not 0 < len(name.strip()) <= LONGEST_NAME:
        yield Refusal(9002, f"displayName must have 1 to {LONGEST_NAME} characters.")
    if "state" not in tidy:
        yield Refusal(9003, "state is missing.")
    conditions = tidy.get("conditions")
    if conditions is None:
        yield Refusal(9004, "conditions are missing.")
    if isinstance(conditions, dict):
        yield from _misshapen_conditions(conditions)
    grant = tidy.get("grantControls")
    if isinstance(grant, dict):
        if not any(value for member, value in grant.items() if member != "operator"):
            yield Refusal(9011, "grantControls are present, but there is no control in them.")
        if str(grant.get("operator")).upper() not in ("AND", "OR"):
            yield Refusal(9012, "The operator of grantControls must be AND or OR.")


def _misshapen_conditions(conditions: dict[str, Any]) -> Iterator[Refusal]:
    if "applications" not in conditions:
        yield Refusal(9004, "conditions.applications are missing.")
    if conditions.get("clientApplications") or conditions.get("servicePrincipalRiskLevels"):
        yield Refusal(9019, "Conditions on workload identities are not supported: policies are for people.")
    if "users" not in conditions:
        yield Refusal(9005, "conditions.users are missing.")
    for part, members in CONDITION_MEMBERS.items():
        given: Any = conditions.get(part) if part else conditions
        for member in given if isinstance(given, dict) else ():
            if member not in members and given[member]:
                yield Refusal(9020, f"The condition {member} is not known.")


def _canonical(tidy: dict[str, Any]) -> dict[str, Any]:
    """The document as Graph would give it back: parts that configure nothing are left out."""
    canonical = dict(tidy)
    conditions: Any = tidy.get("conditions")
    grant: Any = tidy.get("grantControls")
    if isinstance(conditions, dict):
        canonical["conditions"] = _canonical_conditions(conditions)
    if isinstance(grant, dict):
        canonical["grantControls"] = {**grant, "operator": grant["operator"].upper()}
    if _is_empty(tidy.get("sessionControls")):
        del canonical["sessionControls"]
    return canonical


def _canonical_conditions(conditions: dict[str, Any]) -> dict[str, Any]:
    """Less the members that are not known: they are empty, or have been refused."""
    canonical = {}
    for member, value in conditions.items():
        if member in CONDITION_MEMBERS[""] and value != [] and (member in REQUIRED or not _is_empty(value)):
            canonical[member] = value
            if member in CONDITION_MEMBERS and isinstance(value, dict):
                canonical[member] = {k: v for k, v in value.items() if k in CONDITION_MEMBERS[member]}
    return canonical


def _is_empty(value: object) -> bool:
    return isinstance(value, dict) and not any(value.values())


# What a well-shaped document may not say. -------------------------------------------------------------


def _objections(policy: Policy, known: Known) -> Iterator[Refusal]:
    """In the order of the rows; the caller takes the first."""
    yield from _flags(policy)
    yield from _assignments(policy.conditions.users, policy.conditions.applications)
    yield from _conditions(policy.conditions)
    yield from _controls(policy)
    yield from _frequency(policy)
    yield from _tenant(policy, known)


def _flags(policy: Policy) -> Iterator[Refusal]:
    """V1, for texts that are lists of words."""
    conditions, guests = policy.conditions, Guests(types="")
    users, flows = (
        conditions.users,
        conditions.authentication_flows or AuthenticationFlows(transfer_methods=""),
    )
    given = (
        ((users.include_guests_or_external_users or guests).types, GUEST_TYPES),
        ((users.exclude_guests_or_external_users or guests).types, GUEST_TYPES),
        (flows.transfer_methods, TRANSFER_METHODS),
        (conditions.insider_risk_levels or "", INSIDER_RISKS),
    )
    for text, words in given:
        for word in text.split(",") if text else ():
            if word.strip() not in words:
                yield Refusal(1007, f"The word {word} is not known here.")


def _assignments(users: Users, applications: Applications) -> Iterator[Refusal]:
    included_users = users.include_users + users.include_groups + users.include_roles
    if not included_users and users.include_guests_or_external_users is None:
        yield Refusal(9005, "Nobody is included in users.")

    actions = applications.include_user_actions
    contexts = applications.include_authentication_context_class_references
    kinds = [kind for kind in (applications.include_applications, actions, contexts) if kind]
    if not kinds and applications.application_filter is None:
        yield Refusal(9006, "applications includes no application, user action or authentication context.")
    if len(kinds) > 1:
        yield Refusal(
            1012, "Applications, user actions and authentication contexts cannot be included together."
        )
    if actions and applications.exclude_applications:
        yield Refusal(1012, "Applications cannot be excluded from user actions.")

    for include in (users.include_users, applications.include_applications):
        if len(include) > 1 and not {"All", "None"}.isdisjoint(include):
            yield Refusal(9008, "All and None stand alone.")
    if "None" in users.exclude_users + applications.exclude_applications:
        yield Refusal(9008, "None cannot be excluded.")
    for words, guests in (
        (users.include_users, users.include_guests_or_external_users),
        (users.exclude_users, users.exclude_guests_or_external_users),
    ):
        if GUEST_WORD in words and guests is not None:
            yield Refusal(
                9009, f"The word {GUEST_WORD} cannot be combined with an object that says which guests."
            )
    if not AUTHENTICATION_CONTEXTS.issuperset(contexts):
        yield Refusal(9023, "Authentication contexts are c1 to c99.")


def _conditions(conditions: Conditions) -> Iterator[Refusal]:
    """An exclusion from nothing would never apply, which is not what its author meant."""
    platforms, places = conditions.platforms or Platforms(), conditions.locations or Locations()
    if platforms.exclude_platforms and not platforms.include_platforms:
        yield Refusal(1007, "platforms excludes, but includes nothing.")
    if places.exclude_locations and not places.include_locations:
        yield Refusal(1007, "locations excludes, but includes nothing.")
    if "All" in places.include_locations and len(places.include_locations) > 1:
        yield Refusal(9008, "All stands alone.")
    if "None" in places.exclude_locations:
        yield Refusal(9008, "None cannot be excluded.")


def _controls(policy: Policy) -> Iterator[Refusal]:
    grant, session = policy.grant_controls, policy.session_controls
    if grant is None:
        if session is None or not _controls_anything(session):
            yield Refusal(9010, "There is neither a grant control nor a session control.")
        return
    controls = set(grant.controls)
    if "block" in controls and len(controls) > 1:
        yield Refusal(9013, "block stands alone.")
    if "passwordChange" in controls and not _is_password_change(policy):
        yield Refusal(
            9014,
            "passwordChange wants mfa or a strength beside it, joined by AND, for all applications, "
            "under a user risk and no other condition.",
        )
    if {"mfa", STRENGTH} <= controls:
        yield Refusal(9015, "An authentication strength takes the place of mfa.")
    conditions = policy.conditions
    if "urn:user:registerdevice" in conditions.applications.include_user_actions and not (
        controls <= {"mfa"} and {"clientApps", "devices"}.isdisjoint(conditions.configured)
    ):
        yield Refusal(
            9016, "Registering a device takes mfa alone, and no condition on client apps or devices."
        )
    if grant.terms_of_use or grant.custom_authentication_factors or "riskRemediation" in controls:
        yield Refusal(9018, "Terms of use, custom factors and riskRemediation are not supported.")


def _is_password_change(policy: Policy) -> bool:
    """Row V14."""
    grant, applications = policy.grant_controls, policy.conditions.applications
    return (
        grant is not None
        and (grant.operator, set(grant.controls) - {"passwordChange"})
        in (("AND", {"mfa"}), ("AND", {STRENGTH}))
        and policy.conditions.configured == ("application", "users", "userRisk")
        and applications.include_applications == ("All",)
        and not applications.exclude_applications
    )


def _controls_anything(session: SessionControls) -> bool:
    controls = (
        session.application_enforced_restrictions,
        session.cloud_app_security,
        session.persistent_browser,
        session.secure_sign_in_session,
        session.sign_in_frequency,
    )
    return bool(session.disable_resilience_defaults) or any(c is not None and c.is_enabled for c in controls)


def _frequency(policy: Policy) -> Iterator[Refusal]:
    frequency = policy.session_controls.sign_in_frequency if policy.session_controls else None
    if frequency is None or not frequency.is_enabled:
        return
    if frequency.frequency_interval == "everyTime":
        if frequency.value is not None or frequency.type is not None:
            yield Refusal(9022, "A sign-in frequency of everyTime takes no value.")
    elif frequency.value is None or frequency.type is None:
        yield Refusal(9022, "A sign-in frequency needs a value and a type.")
    elif frequency.value not in (HOURS if frequency.type == "hours" else DAYS):
        yield Refusal(9022, "A sign-in frequency is 1 to 23 hours, or 1 to 365 days.")


def _tenant(policy: Policy, known: Known) -> Iterator[Refusal]:
    """What depends on what else there is."""
    named = references(policy)
    missing = sorted(i for member, ids in named.items() for i in ids - getattr(known, member))
    if missing:
        yield Refusal(9017, f"There is no {', '.join(missing)}.")
    conditions = policy.conditions
    is_unknown = {"devices", "insiderRisk"}.intersection(conditions.configured)
    if is_unknown and policy.state != "disabled":
        yield Refusal(
            9020, "A condition cannot be evaluated here; the policy can be kept only while disabled."
        )
    uses_strength = (
        policy.grant_controls is not None and policy.grant_controls.authentication_strength is not None
    )
    if known.strict_external_tenant and (uses_strength or named["contexts"]):
        yield Refusal(9021, "External tenants have no authentication strengths or contexts.")
    if known.policies >= MOST_POLICIES:
        yield Refusal(9024, f"There are {MOST_POLICIES} policies already.")
    if known.security_defaults and policy.state == "enabled":
        yield Refusal(9025, "While security defaults are on, no policy can be enabled.")
