"""
Conditional Access, in Graph's words: policies, named locations, contexts, strengths, security defaults, the methods
policy, and What-If. Source: conditional-access 2, 4.5, 7, 8, 12; admin-graph-api 5.4, 5.5, 6.6.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import msgspec
from msgspec import UNSET

from genkan.engine.context import Account, context
from genkan.engine.messages import Signals
from genkan.exchange import Response, json_response
from genkan.model import DIRECTORY, Client, Demand, Kind, MethodSettings, Place, Risk
from genkan.policy.explain import WhatIf, what_if
from genkan.policy.model import (
    BUILT_IN_STRENGTHS,
    REGISTER_SECURITY_INFO,
    AuthenticationContext,
    ClientApp,
    NamedLocation,
    Policy,
    Strength,
)
from genkan.service.admin import policies
from genkan.service.admin.door import version
from genkan.service.admin.policies import ContextChange, MethodChange, StrengthChange
from genkan.telemetry import log
from genkan.wire.graph import lists
from genkan.wire.graph.answers import Fault, bad, time
from genkan.wire.graph.api import DONE, Call, Route
from genkan.wire.graph.odata import Properties
from genkan.wire.graph.permissions import (
    CONTEXTS_READ,
    CONTEXTS_WRITE,
    DEFAULTS_READ,
    DEFAULTS_WRITE,
    METHODS_POLICY_READ,
    METHODS_POLICY_WRITE,
    POLICIES_READ,
    POLICIES_WRITE,
    STRENGTHS_READ,
    STRENGTHS_WRITE,
)
from genkan.wire.graph.reads import boolean, object_of, objects, same, selected, text, texts, written

POLICIES = "identity/conditionalAccess/policies"
PLACES = "identity/conditionalAccess/namedLocations"
CONTEXTS = "identity/conditionalAccess/authenticationContextClassReferences"
STRENGTHS = "policies/authenticationStrengthPolicies"
DEFAULTS = "policies/identitySecurityDefaultsEnforcementPolicy"
METHODS = "policies/authenticationMethodsPolicy"

NAMED: Properties = {"id": "text", "displayName": "text", "state": "text", "createdDateTime": "time"}
ORDERS = frozenset({"displayName", "createdDateTime"})


def _etag(value: object) -> tuple[str, str]:
    return "etag", f'W/"{version(value)}"'


def _missing(word: str, id: str) -> Fault:
    return Fault(404, "NotFound", f"There is no {word} with id {id[:80]}.")


# Policies. ----------------------------------------------------------------------------------------------------------


def shown(policy: Policy, strengths: Mapping[str, Strength]) -> dict[str, Any]:
    """Return a policy in its canonical form; a strength that it asks for stands in it whole."""
    value: dict[str, Any] = msgspec.to_builtins(policy)
    value["createdDateTime"] = time(policy.created_date_time)
    value["modifiedDateTime"] = time(policy.modified_date_time)
    grant = value["grantControls"]
    if grant is not None and grant["authenticationStrength"] is not None:
        id = grant["authenticationStrength"]["id"]
        known = BUILT_IN_STRENGTHS.get(id) or strengths.get(id)
        if known is not None:
            grant["authenticationStrength"] = shown_strength(known)
    return value


def _policy(call: Call) -> Policy:
    id = call.params["id"].lower()
    for policy in call.directory.policies:
        if policy.id == id:
            return policy
    raise _missing("conditional access policy", id)


async def _list(call: Call) -> Response:
    every = [shown(policy, call.directory.strengths) for policy in call.directory.policies]
    return lists.in_memory(call, POLICIES, every, NAMED, orderable=ORDERS)


async def _get(call: Call) -> Response:
    policy = _policy(call)
    value = selected(shown(policy, call.directory.strengths), call.options.select)
    return call.object(POLICIES, value, _etag(policy))


async def _add(call: Call) -> Response:
    _check_type(call.body, "conditionalAccessPolicy")
    made = call.unless_refused(await policies.add(call.door, call.actor, _renamed(call.body)))
    _remark(call, made)
    return call.created(POLICIES, shown(made, call.directory.strengths), _etag(made))


async def _change(call: Call) -> Response:
    _check_type(call.body, "conditionalAccessPolicy")
    id = call.params["id"].lower()
    changed = await policies.change(call.door, call.actor, id, _renamed(call.body), call.if_match)
    _remark(call, call.unless_refused(changed))
    return DONE


def _remark(call: Call, policy: Policy) -> None:
    """Tell the operators what the policy's author may have meant otherwise; Graph has no place for it."""
    for remark in policies.remarks(call.directory, policy):
        log.warning("policy.remark", extra={"policy": policy.id, "remark": remark})


async def _remove(call: Call) -> Response:
    id = call.params["id"].lower()
    call.unless_refused(await policies.remove(call.door, call.actor, id, call.if_match))
    return DONE


PARTS = ("displayName", "description", "grantControls", "sessionControls", "conditions", "state")


def _renamed(body: dict[str, Any]) -> dict[str, Any]:
    """Return a document in which what the SDK clears by its Python name has its own name."""
    snake = {"".join("_" + c.lower() if c.isupper() else c for c in name): name for name in PARTS}
    found: dict[str, Any] = {}
    for name, value in body.items():
        if value is None and name in snake:
            found[snake[name]] = None
        elif name == "templateId" or name.startswith("@"):
            continue
        else:
            found[name] = value
    return found


def _check_type(body: Mapping[str, Any], *kinds: str) -> None:
    said = body.get("@odata.type")
    known = {f"microsoft.graph.{kind}".lower() for kind in kinds}
    if said is not None and (not isinstance(said, str) or said.lstrip("#").lower() not in known):
        raise Fault(400, "BadRequest", f"@odata.type is #microsoft.graph.{kinds[0]} here.")


# Named locations. ---------------------------------------------------------------------------------------------------


def shown_place(place: NamedLocation) -> dict[str, Any]:
    """Return a named location as it is shown."""
    value: dict[str, Any] = msgspec.to_builtins(place)
    return value | {
        "createdDateTime": time(place.created_date_time),
        "modifiedDateTime": time(place.modified_date_time),
    }


async def _list_places(call: Call) -> Response:
    every = [shown_place(place) for place in call.directory.locations.values()]
    return lists.in_memory(call, PLACES, every, NAMED, orderable=ORDERS)


async def _get_place(call: Call) -> Response:
    id = call.params["id"].lower()
    place = call.directory.locations.get(id)
    if place is None:
        raise _missing("named location", id)
    return call.object(PLACES, selected(shown_place(place), call.options.select), _etag(place))


async def _add_place(call: Call) -> Response:
    _check_type(call.body, "ipNamedLocation", "countryNamedLocation")
    made = call.unless_refused(await policies.add_place(call.door, call.actor, call.body))
    return call.created(PLACES, shown_place(made), _etag(made))


async def _change_place(call: Call) -> Response:
    if "@odata.type" not in call.body:
        raise bad("The body repeats @odata.type.", "@odata.type")
    _check_type(call.body, "ipNamedLocation", "countryNamedLocation")
    id = call.params["id"].lower()
    call.unless_refused(await policies.change_place(call.door, call.actor, id, call.body, call.if_match))
    return DONE


async def _remove_place(call: Call) -> Response:
    id = call.params["id"].lower()
    call.unless_refused(await policies.remove_place(call.door, call.actor, id, call.if_match))
    return DONE


# Authentication contexts. -------------------------------------------------------------------------------------------


def shown_context(found: AuthenticationContext) -> dict[str, Any]:
    """Return an authentication context as it is shown."""
    value: dict[str, Any] = msgspec.to_builtins(found)
    return value


async def _list_contexts(call: Call) -> Response:
    every = [shown_context(one) for one in call.directory.contexts.values()]
    return lists.in_memory(
        call, CONTEXTS, every, {"id": "text", "displayName": "text", "isAvailable": "bool"}
    )


async def _get_context(call: Call) -> Response:
    id = call.params["id"].lower()
    found = call.directory.contexts.get(id)
    if found is None:
        raise _missing("authentication context", id)
    return call.object(CONTEXTS, shown_context(found), _etag(found))


def _context_change(call: Call, id: str) -> ContextChange:
    given = written(
        call.body,
        kind="authenticationContextClassReference",
        writable=("displayName", "description", "isAvailable"),
        current={"id": id},
    )
    return ContextChange(
        display_name=text(given["displayName"], "displayName") if "displayName" in given else UNSET,
        description=text(given["description"] or "", "description") if "description" in given else UNSET,
        is_available=boolean(given["isAvailable"], "isAvailable") if "isAvailable" in given else UNSET,
    )


async def _put_context(call: Call) -> Response:
    id = call.params["id"].lower()
    call.unless_refused(await policies.put_context(call.door, call.actor, id, _context_change(call, id)))
    return DONE


async def _add_context(call: Call) -> Response:
    id = text(call.body.get("id"), "id").lower()
    change = _context_change(call, call.body["id"])
    made = call.unless_refused(await policies.put_context(call.door, call.actor, id, change, is_new=True))
    return call.created(CONTEXTS, shown_context(made), _etag(made))


async def _remove_context(call: Call) -> Response:
    id = call.params["id"].lower()
    call.unless_refused(await policies.remove_context(call.door, call.actor, id))
    return DONE


# Authentication strengths. ------------------------------------------------------------------------------------------


def shown_strength(strength: Strength) -> dict[str, Any]:
    """Return an authentication strength as it is shown."""
    value: dict[str, Any] = msgspec.to_builtins(strength)
    return value | {"createdDateTime": None, "modifiedDateTime": None, "combinationConfigurations": []}


def _strength(call: Call) -> Strength:
    id = call.params["id"].lower()
    found = BUILT_IN_STRENGTHS.get(id) or call.directory.strengths.get(id)
    if found is None:
        raise _missing("authentication strength", id)
    return found


async def _list_strengths(call: Call) -> Response:
    every = (*BUILT_IN_STRENGTHS.values(), *call.directory.strengths.values())
    filters: Properties = {"id": "text", "displayName": "text", "policyType": "text"}
    return lists.in_memory(call, STRENGTHS, [shown_strength(one) for one in every], filters)


async def _get_strength(call: Call) -> Response:
    found = _strength(call)
    return call.object(STRENGTHS, selected(shown_strength(found), call.options.select), _etag(found))


def _strength_change(call: Call, current: dict[str, Any] | None, *names: str) -> StrengthChange:
    given = written(call.body, kind="authenticationStrengthPolicy", writable=names, current=current)
    return StrengthChange(
        display_name=text(given["displayName"], "displayName") if "displayName" in given else UNSET,
        description=text(given["description"] or "", "description") if "description" in given else UNSET,
        allowed_combinations=texts(given["allowedCombinations"], "allowedCombinations")
        if "allowedCombinations" in given
        else UNSET,
    )


async def _add_strength(call: Call) -> Response:
    body = {n: v for n, v in call.body.items() if n not in ("policyType", "requirementsSatisfied")}
    given = written(
        body,
        kind="authenticationStrengthPolicy",
        writable=("displayName", "description", "allowedCombinations", "combinationConfigurations"),
    )
    if given.get("combinationConfigurations"):
        raise bad("combinationConfigurations are not supported.", "combinationConfigurations")
    change = StrengthChange(
        display_name=text(given.get("displayName"), "displayName"),
        description=text(given.get("description") or "", "description"),
        allowed_combinations=texts(given.get("allowedCombinations"), "allowedCombinations"),
    )
    made = call.unless_refused(await policies.add_strength(call.door, call.actor, change))
    return call.created(STRENGTHS, shown_strength(made), _etag(made))


async def _change_strength(call: Call) -> Response:
    found = _strength(call)
    change = _strength_change(call, shown_strength(found), "displayName", "description")
    call.unless_refused(
        await policies.change_strength(call.door, call.actor, found.id, change, call.if_match)
    )
    return DONE


async def _change_combinations(call: Call) -> Response:
    found = _strength(call)
    change = _strength_change(call, None, "allowedCombinations")
    before, after = call.unless_refused(
        await policies.change_strength(call.door, call.actor, found.id, change)
    )
    return json_response(
        {
            "@odata.context": call.context("microsoft.graph.updateAllowedCombinationsResult"),
            "additionalInformation": None,
            "conditionalAccessReferences": [
                policy.id for policy in policies.users_of_strength(call.directory.policies, found.id)
            ],
            "previousCombinations": before.allowed_combinations,
            "currentCombinations": after.allowed_combinations,
        }
    )


async def _remove_strength(call: Call) -> Response:
    found = _strength(call)
    call.unless_refused(await policies.remove_strength(call.door, call.actor, found.id))
    return DONE


async def _usage(call: Call) -> Response:
    found = _strength(call)
    users = policies.users_of_strength(call.directory.policies, found.id)
    strengths = call.directory.strengths
    asks = found.requirements_satisfied == "mfa"
    return json_response(
        {
            "@odata.context": call.context("microsoft.graph.authenticationStrengthUsage"),
            "mfa": [shown(policy, strengths) for policy in users if asks],
            "none": [shown(policy, strengths) for policy in users if not asks],
        }
    )


# Security defaults. -------------------------------------------------------------------------------------------------


def _defaults(on: bool) -> dict[str, Any]:
    return {
        "id": policies.SECURITY_DEFAULTS_ID,
        "displayName": "Security Defaults",
        "description": "Administrators need a second factor, and no policy can be enabled.",
        "isEnabled": on,
    }


async def _get_defaults(call: Call) -> Response:
    value = _defaults(call.directory.tenant.security_defaults)
    return json_response({"@odata.context": call.context(f"{DEFAULTS}/$entity"), **value})


async def _change_defaults(call: Call) -> Response:
    current = _defaults(call.directory.tenant.security_defaults)
    given = written(
        call.body,
        kind="identitySecurityDefaultsEnforcementPolicy",
        writable=("isEnabled",),
        current=current,
    )
    on = boolean(given.get("isEnabled", current["isEnabled"]), "isEnabled")
    call.unless_refused(await policies.set_security_defaults(call.door, call.actor, on))
    return DONE


# The methods policy. ------------------------------------------------------------------------------------------------

ALL_USERS = "all_users"
OURS: Mapping[str, Kind] = {"email": Kind.EMAIL_OTP, "sms": Kind.SMS_OTP, "fido2": Kind.PASSKEY}
NAMES: Mapping[str, str] = {
    "email": "Email",
    "sms": "Sms",
    "fido2": "Fido2",
    "microsoftauthenticator": "MicrosoftAuthenticator",
    "softwareoath": "SoftwareOath",
    "temporaryaccesspass": "TemporaryAccessPass",
    "voice": "Voice",
    "x509certificate": "X509Certificate",
}
"""Every method that is listed; but for those of `OURS` they are switched off and stay so."""

_NO_METHOD = MethodSettings(enabled=False)


def shown_method(name: str, settings: MethodSettings) -> dict[str, Any]:
    """Return the configuration of a method as it is shown."""
    shown_name = NAMES[name]
    kind = f"{shown_name[0].lower()}{shown_name[1:]}AuthenticationMethodConfiguration"
    target = {"targetType": "group", "isRegistrationRequired": False}
    more = {"isUsableForSignIn": False} if name == "sms" else {}
    included = settings.include_groups or ((ALL_USERS,) if name in OURS else ())
    value: dict[str, Any] = {
        "@odata.type": f"#microsoft.graph.{kind}",
        "id": shown_name,
        "state": "enabled" if settings.enabled else "disabled",
        "excludeTargets": [{"targetType": "group", "id": id} for id in settings.exclude_groups],
        "includeTargets": [{**target, "id": id, **more} for id in included],
    }
    if name == "email":
        value["allowExternalIdToUseEmailOtp"] = "enabled" if settings.enabled else "disabled"
    if name == "fido2":
        value |= {
            "isSelfServiceRegistrationAllowed": True,
            "isAttestationEnforced": False,
            "keyRestrictions": None,
        }
    return value


def _settings(call: Call, name: str) -> MethodSettings:
    return policies.settings_of(call.directory, OURS[name]) if name in OURS else _NO_METHOD


def _shown_methods(call: Call) -> dict[str, Any]:
    return {
        "id": "authenticationMethodsPolicy",
        "displayName": "Authentication Methods Policy",
        "description": "Which methods people may use as second factor.",
        "lastModifiedDateTime": None,
        "policyVersion": "1.5",
        "reconfirmationInDays": None,
        "registrationEnforcement": {"authenticationMethodsRegistrationCampaign": None},
        "authenticationMethodConfigurations": [shown_method(name, _settings(call, name)) for name in NAMES],
    }


def _method_name(word: str) -> str:
    if word.lower() not in NAMES:
        raise _missing("authentication method configuration", word)
    return word.lower()


def _method_change(name: str, body: dict[str, Any], current: dict[str, Any]) -> MethodChange | None:
    """Return what a body changes; None for nothing. Raises: `Fault`."""
    writable = ("state", "includeTargets", "excludeTargets")
    given = written(
        body,
        kind=current["@odata.type"].removeprefix("#microsoft.graph."),
        writable=(*writable, "allowExternalIdToUseEmailOtp") if name == "email" else writable,
        current=current,
    )
    state = given.get("state", current["state"])
    if state not in ("enabled", "disabled"):
        raise bad("state is enabled or disabled.", "state")
    if name not in OURS:
        if state == "enabled":
            raise Fault(501, "NotImplemented", f"The method {NAMES[name]} is not supported.")
        return None
    for target in objects(given.get("includeTargets"), "includeTargets"):
        if name == "sms" and target.get("isUsableForSignIn"):
            raise bad("A text message is no first factor here.", "isUsableForSignIn")
    included = _groups(given["includeTargets"], "includeTargets") if "includeTargets" in given else None
    external = given.get("allowExternalIdToUseEmailOtp")
    if external not in (None, "default", "enabled", "disabled"):
        raise bad(
            "allowExternalIdToUseEmailOtp is default, enabled or disabled.", "allowExternalIdToUseEmailOtp"
        )
    if included == () and "includeTargets" in given:
        raise bad("A method is for somebody: all_users, or groups.", "includeTargets")
    return MethodChange(
        enabled=state == "enabled",
        include_groups=UNSET
        if included is None
        else tuple(id for id in included if id != ALL_USERS)
        if ALL_USERS not in included
        else (),
        exclude_groups=_groups(given["excludeTargets"], "excludeTargets")
        if "excludeTargets" in given
        else UNSET,
    )


def _groups(value: object, name: str) -> tuple[str, ...]:
    found = []
    for group in objects(value, name):
        if group.get("targetType", "group") != "group":
            raise bad("targetType is group.", name)
        found.append(text(group.get("id"), name).lower())
    return tuple(dict.fromkeys(found))


async def _get_methods(call: Call) -> Response:
    value = selected(_shown_methods(call), call.options.select)
    return json_response({"@odata.context": call.context(f"{METHODS}/$entity"), **value})


async def _change_methods(call: Call) -> Response:
    current = _shown_methods(call)
    given = written(
        call.body,
        kind="authenticationMethodsPolicy",
        writable=("authenticationMethodConfigurations", "registrationEnforcement", "reconfirmationInDays"),
        current=current,
    )
    for name in ("registrationEnforcement", "reconfirmationInDays"):
        if name in given and given[name] and not same(current[name], given[name]):
            raise bad(f"The property {name} is not supported.", name)
    changes: dict[Kind, MethodChange | None] = {}
    listed = {one["id"].lower(): one for one in current["authenticationMethodConfigurations"]}
    for one in objects(given.get("authenticationMethodConfigurations"), "authenticationMethodConfigurations"):
        name = _method_name(text(one.get("id"), "id"))
        change = _method_change(name, one, listed[name])
        if change is not None:
            changes[OURS[name]] = change
    call.unless_refused(await policies.change_methods(call.door, call.actor, changes))
    return DONE


def _current_method(call: Call) -> tuple[str, dict[str, Any]]:
    name = _method_name(call.params["method"])
    settings = _settings(call, name)
    return name, shown_method(name, settings)


async def _get_method(call: Call) -> Response:
    _, value = _current_method(call)
    return call.object(f"{METHODS}/authenticationMethodConfigurations", value)


async def _list_methods(call: Call) -> Response:
    every = _shown_methods(call)["authenticationMethodConfigurations"]
    return call.collection(f"{METHODS}/authenticationMethodConfigurations", every)


async def _change_method(call: Call) -> Response:
    name, current = _current_method(call)
    change = _method_change(name, call.body, current)
    changes: dict[Kind, MethodChange | None] = {} if change is None else {OURS[name]: change}
    call.unless_refused(await policies.change_methods(call.door, call.actor, changes))
    return DONE


async def _reset_method(call: Call) -> Response:
    name, _ = _current_method(call)
    changes: dict[Kind, MethodChange | None] = {OURS[name]: None} if name in OURS else {}
    call.unless_refused(await policies.change_methods(call.door, call.actor, changes))
    return DONE


# What-If. -----------------------------------------------------------------------------------------------------------

ACTIONS = {
    "registersecurityinformation": REGISTER_SECURITY_INFO,
    "registerorjoindevices": "urn:user:registerdevice",
}
LEVELS = ("none", "low", "medium", "high", "hidden")


async def _evaluate(call: Call) -> Response:
    """Which policies would apply to a sign-in that somebody imagines."""
    given = written(
        call.body,
        kind="none",
        writable=("signInIdentity", "signInContext", "signInConditions", "appliedPoliciesOnly"),
    )
    identity = object_of(given.get("signInIdentity"), "signInIdentity")
    user = text(identity.get("userId") or "", "userId").lower()
    loaded = await call.store.look(lambda view: view.loaded(user) if view.person(user) is not None else None)
    if loaded is None or loaded.subject is None or loaded.subject.status == "deleted":
        raise bad("signInIdentity names a user by userId who is not there.", "signInIdentity")
    account = Account(subject=loaded.subject, authenticators=loaded.authenticators, groups=loaded.groups)
    about = object_of(given.get("signInContext"), "signInContext")
    kind = str(about.get("@odata.type", "")).rpartition(".")[2].lower()
    conditions = object_of(given.get("signInConditions"), "signInConditions")
    risk = _level(conditions.get("signInRiskLevel"), "signInRiskLevel")
    user_risk = _level(conditions.get("userRiskLevel"), "userRiskLevel")
    subject = msgspec.structs.replace(
        loaded.subject, risk=msgspec.structs.replace(loaded.subject.risk, level=user_risk)
    )
    account = Account(subject=subject, authenticators=loaded.authenticators, groups=loaded.groups)
    signals = _signals(conditions)
    only = boolean(given.get("appliedPoliciesOnly") or False, "appliedPoliciesOnly")
    resources, contexts, action = _targets(kind, about)
    found: dict[str, WhatIf] = {}
    client = Client(id="", name="")  # It is asked about resources alone.
    for resource in resources:
        moment = context(
            call.directory,
            now=call.now,
            kind="user_action" if action else "initial",
            account=account,
            client=client,
            demand=Demand(scopes=(f"{resource}/.default",), resource=resource, contexts=contexts),
            evidence=(),
            signals=signals,
            risk=Risk(level=risk),  # type: ignore[arg-type]
        )
        if action:
            moment = msgspec.structs.replace(moment, user_action=action)
        for one in what_if(call.directory.policies, moment):
            if one.applies or one.policy.id not in found:
                found[one.policy.id] = one
    values = [
        {
            **shown(one.policy, call.directory.strengths),
            "policyApplies": one.applies,
            "analysisReasons": one.reasons,
        }
        for one in found.values()
        if one.applies or not only
    ]
    return call.collection("identity/conditionalAccess/evaluate", values)


def _targets(kind: str, about: dict[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Return resources, contexts and the user action that are asked about. Raises: `Fault`."""
    if kind in ("applicationcontext", ""):
        apps = texts(about.get("includeApplications"), "includeApplications")
        return tuple(app.lower() for app in apps) or (DIRECTORY,), (), ""
    if kind == "authcontext":
        return (DIRECTORY,), (text(about.get("authenticationContextValue"), "signInContext"),), ""
    if kind == "useractioncontext":
        action = ACTIONS.get(text(about.get("userAction"), "signInContext").lower())
        if action is None:
            raise bad("userAction is registerSecurityInformation or registerOrJoinDevices.", "signInContext")
        return (DIRECTORY,), (), action
    raise bad("signInContext is an applicationContext, authContext or userActionContext.", "signInContext")


def _signals(conditions: dict[str, Any]) -> Signals:
    app = conditions.get("clientAppType") or "mobileAppsAndDesktopClients"
    known: dict[str, ClientApp] = {one: one for one in get_args(ClientApp)}
    country = conditions.get("country")
    return Signals(
        address=text(conditions.get("ipAddress") or "", "ipAddress"),
        place=Place(country=text(country, "country").upper() if country else None),
        client_app=known.get(str(app), "other"),
        platform=text(conditions.get("devicePlatform") or "unknown", "devicePlatform"),
    )


def _level(value: object, name: str) -> str:
    if value is None:
        return "none"
    if value not in LEVELS:
        raise bad(f"{name} is one of {', '.join(LEVELS)}.", name)
    return str(value)


def _routes() -> tuple[Route, ...]:
    found: list[Route] = []

    def route(method: Any, path: str, permissions: Any, handler: Any, summary: str, act: Any = None) -> None:
        found.append(Route(method, path, permissions, handler, summary, act, "policy"))

    for at in (f"/{POLICIES}", "/policies/conditionalAccessPolicies"):
        route("GET", at, POLICIES_READ, _list, "List policies")
        route("POST", at, POLICIES_WRITE, _add, "Add a policy", policies.ADD)
        route("GET", at + "/{id}", POLICIES_READ, _get, "Get a policy")
        route("PATCH", at + "/{id}", POLICIES_WRITE, _change, "Change a policy", policies.UPDATE)
        route("DELETE", at + "/{id}", POLICIES_WRITE, _remove, "Delete a policy", policies.DELETE)
    at = f"/{PLACES}"
    route("GET", at, POLICIES_READ, _list_places, "List named locations")
    route("POST", at, POLICIES_WRITE, _add_place, "Add a named location", policies.ADD_PLACE)
    route("GET", at + "/{id}", POLICIES_READ, _get_place, "Get a named location")
    route(
        "PATCH", at + "/{id}", POLICIES_WRITE, _change_place, "Change a named location", policies.UPDATE_PLACE
    )
    route(
        "DELETE",
        at + "/{id}",
        POLICIES_WRITE,
        _remove_place,
        "Delete a named location",
        policies.DELETE_PLACE,
    )
    at, put = f"/{CONTEXTS}", policies.PUT_CONTEXT
    route("GET", at, CONTEXTS_READ, _list_contexts, "List authentication contexts")
    route("POST", at, CONTEXTS_WRITE, _add_context, "Add an authentication context", put)
    route("GET", at + "/{id}", CONTEXTS_READ, _get_context, "Get an authentication context")
    route(
        "PATCH", at + "/{id}", CONTEXTS_WRITE, _put_context, "Make or change an authentication context", put
    )
    route(
        "DELETE",
        at + "/{id}",
        CONTEXTS_WRITE,
        _remove_context,
        "Delete an authentication context",
        policies.DELETE_CONTEXT,
    )
    for at in (f"/{STRENGTHS}", "/identity/conditionalAccess/authenticationStrength/policies"):
        one, changed = at + "/{id}", policies.UPDATE_STRENGTH
        route("GET", at, STRENGTHS_READ, _list_strengths, "List authentication strengths")
        route(
            "POST",
            at,
            STRENGTHS_WRITE,
            _add_strength,
            "Add an authentication strength",
            policies.ADD_STRENGTH,
        )
        route("GET", one, STRENGTHS_READ, _get_strength, "Get an authentication strength")
        route("PATCH", one, STRENGTHS_WRITE, _change_strength, "Change an authentication strength", changed)
        route(
            "DELETE",
            one,
            STRENGTHS_WRITE,
            _remove_strength,
            "Delete an authentication strength",
            policies.DELETE_STRENGTH,
        )
        route(
            "POST",
            f"{one}/updateAllowedCombinations",
            STRENGTHS_WRITE,
            _change_combinations,
            "Change what a strength allows",
            changed,
        )
        route("GET", f"{one}/usage()", STRENGTHS_READ, _usage, "List the policies that ask for a strength")
        route("GET", f"{one}/usage", STRENGTHS_READ, _usage, "List the policies that ask for a strength")
    at, act = f"/{DEFAULTS}", policies.SECURITY_DEFAULTS
    route("GET", at, DEFAULTS_READ, _get_defaults, "Get security defaults")
    route("PATCH", at, DEFAULTS_WRITE, _change_defaults, "Switch security defaults", act)
    at, act = f"/{METHODS}", policies.METHODS
    one = at + "/authenticationMethodConfigurations/{method}"
    route("GET", at, METHODS_POLICY_READ, _get_methods, "Get the methods policy")
    route("PATCH", at, METHODS_POLICY_WRITE, _change_methods, "Change the methods policy", act)
    route(
        "GET",
        f"{at}/authenticationMethodConfigurations",
        METHODS_POLICY_READ,
        _list_methods,
        "List the configurations of methods",
    )
    route("GET", one, METHODS_POLICY_READ, _get_method, "Get the configuration of a method")
    route("PATCH", one, METHODS_POLICY_WRITE, _change_method, "Change the configuration of a method", act)
    route("DELETE", one, METHODS_POLICY_WRITE, _reset_method, "Put a method back to its default", act)
    route(
        "POST",
        "/identity/conditionalAccess/evaluate",
        POLICIES_READ,
        _evaluate,
        "Ask which policies would apply",
    )
    return tuple(found)


ROUTES = _routes()
