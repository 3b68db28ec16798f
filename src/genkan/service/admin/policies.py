"""
Conditional Access: policies, named locations, contexts and strengths; which methods there are; tenant switches.

A document is Graph's JSON, decoded. What a policy may say is `policy.validate`'s to judge, on what is there at that
very moment; whatever is written here counts at the next decision, on the next request.
Source: conditional-access 2.6, 4.5, 7, 8, 12; admin-graph-api 5.4, 5.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_network
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from genkan.engine.messages import Directory, PutDocument, RemoveDocument
from genkan.model import Kind, MethodSettings, Tenant
from genkan.policy import validate
from genkan.policy.model import (
    AUTHENTICATION_CONTEXTS,
    BUILT_IN_STRENGTHS,
    PASSWORDLESS_METHODS,
    AuthenticationContext,
    CountryLocation,
    IpLocation,
    NamedLocation,
    Policy,
    Strength,
)
from genkan.service.admin.door import (
    Act,
    Actor,
    Done,
    Door,
    Refusal,
    Target,
    asked,
    control,
    current,
    differences,
    entropy,
    invalid,
    missing,
)
from genkan.service.ports import View

ADD = Act("Add conditional access policy", "Policy", "Add", "Policy")
UPDATE = Act("Update conditional access policy", "Policy", "Update", "Policy")
DELETE = Act("Delete conditional access policy", "Policy", "Delete", "Policy")
ADD_PLACE = Act("Add named location", "Policy", "Add", "Policy")
UPDATE_PLACE = Act("Update named location", "Policy", "Update", "Policy")
DELETE_PLACE = Act("Delete named location", "Policy", "Delete", "Policy")
PUT_CONTEXT = Act("Update authentication context class reference", "Policy", "Update", "Policy")
DELETE_CONTEXT = Act("Delete authentication context class reference", "Policy", "Delete", "Policy")
ADD_STRENGTH = Act("Add authentication strength policy", "Policy", "Add", "Policy")
UPDATE_STRENGTH = Act("Update authentication strength policy", "Policy", "Update", "Policy")
DELETE_STRENGTH = Act("Delete authentication strength policy", "Policy", "Delete", "Policy")
SECURITY_DEFAULTS = Act("Update security defaults", "Policy", "Update", "Policy")
METHODS = Act("Authentication methods policy update", "Policy", "Update", "Policy")

MOST_RANGES, MOST_IP_LOCATIONS, LONGEST_NAME, LONGEST_DESCRIPTION = 2000, 195, 256, 1500
SHORTEST_MASK = 9
"""Bits: a network of /8 or more is refused, of either version."""
MOST_STRENGTHS = 15

COUNTRIES = frozenset(
    """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA
    CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA
    GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP
    KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS
    MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS
    RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW
    TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW
    """.split()
)
"""ISO 3166-1, and XK as Entra has it."""

SECOND = ("microsoftAuthenticatorPush", "softwareOath", "hardwareOath", "sms", "voice", "email")
COMBINATIONS = frozenset(
    (
        *PASSWORDLESS_METHODS,
        "temporaryAccessPassOneTime",
        "temporaryAccessPassMultiUse",
        "federatedMultiFactor",
        "federatedSingleFactor",
        "x509CertificateSingleFactor",
        "password",
        "email",
        "sms",
        *(f"password,{second}" for second in SECOND),
        *(f"{second},federatedSingleFactor" for second in SECOND),
    )
)
"""What a strength may allow."""

PlaceDocument = Mapping[str, Any]


# Policies. ----------------------------------------------------------------------------------------------------------


async def add(door: Door, actor: Actor, document: object) -> Policy | Refusal:
    """Add a policy; the refusal's code is the number of the rule that it breaks."""
    id = entropy().guid("policy")

    def decide(view: View) -> Done[Policy] | Refusal:
        judged = _judged(view, document, beside=None)
        if isinstance(judged, Refusal):
            return judged
        policy = replace(judged, id=id, created_date_time=view.now)
        target = Target(id=id, name=policy.display_name, changes=differences(None, _seen(policy)))
        return Done(policy, target, (PutDocument(policy),))

    return await door.act(actor, ADD, decide)


async def change(
    door: Door, actor: Actor, id: str, patch: object, expected: str | None = None
) -> Policy | Refusal:
    """Change a policy: parts of it member by member, lists whole."""

    def decide(view: View) -> Done[Policy] | Refusal:
        stored = current("conditional access policy", id, policy_of(view, id), expected)
        if isinstance(stored, Refusal):
            return stored
        judged = _judged(view, validate.merge(stored, patch), beside=stored)
        if isinstance(judged, Refusal):
            return judged
        policy = replace(
            judged, id=id, created_date_time=stored.created_date_time, modified_date_time=view.now
        )
        target = Target(id=id, name=policy.display_name, changes=differences(_seen(stored), _seen(policy)))
        bites = {name for name, *_ in target.changes} - {"displayName"}
        two = control("policy", UPDATE, target, stored) if _is_on(stored) and bites else None
        return Done(policy, target, (PutDocument(policy),), control=two)

    return await door.act(actor, UPDATE, decide, id)


async def remove(door: Door, actor: Actor, id: str, expected: str | None = None) -> Policy | Refusal:
    """Delete a policy; the next decision is free of it."""

    def decide(view: View) -> Done[Policy] | Refusal:
        stored = current("conditional access policy", id, policy_of(view, id), expected)
        if isinstance(stored, Refusal):
            return stored
        target = Target(id=id, name=stored.display_name, changes=differences(_seen(stored), None))
        two = control("policy", DELETE, target, stored) if _is_on(stored) else None
        return Done(stored, target, (RemoveDocument("policy", id),), control=two)

    return await door.act(actor, DELETE, decide, id)


def remarks(directory: Directory, policy: Policy) -> tuple[str, ...]:
    """What whoever wrote this policy may have meant otherwise."""
    public = frozenset(c.id for c in directory.clients.values() if c.kind == "public")
    known = validate.Known(public_clients=public, break_glass=frozenset(directory.tenant.break_glass))
    return validate.remarks(policy, known)


def _is_on(policy: Policy) -> bool:
    return policy.state == "enabled"


def policy_of(view: View, id: str) -> Policy | None:
    """Return a policy by its id."""
    return next((policy for policy in view.directory.policies if policy.id == id), None)


def _judged(view: View, document: object, beside: Policy | None) -> Policy | Refusal:
    """Return the policy, validated; an id that has gone since stays in a policy that named it before (V17)."""
    shape = validate.read(document)
    if isinstance(shape, validate.Refusal):
        return _numbered(shape)
    named = validate.references(shape)
    held = validate.references(beside) if beside is not None else {}

    def known(member: str, ids: Iterable[str]) -> frozenset[str]:
        return frozenset(ids) | held.get(member, frozenset())

    directory = view.directory
    found = validate.validate(
        document,
        validate.Known(
            users=known("users", view.existing("subject", named["users"])),
            groups=known("groups", view.existing("group", named["groups"])),
            roles=known("roles", ()),
            applications=known("applications", {*directory.clients, *directory.apis}),
            locations=known("locations", directory.locations),
            strengths=known("strengths", directory.strengths),
            contexts=known("contexts", directory.contexts),
            policies=len(directory.policies) - (beside is not None),
            security_defaults=directory.tenant.security_defaults,
            strict_external_tenant=directory.tenant.strict_external_tenant,
        ),
    )
    return _numbered(found) if isinstance(found, validate.Refusal) else found


def _numbered(refusal: validate.Refusal) -> Refusal:
    return invalid(f"{refusal.number}: {refusal.text}", code=str(refusal.number))


def _seen(policy: Policy) -> dict[str, Any]:
    seen: dict[str, Any] = msgspec.to_builtins(policy)
    return {name: value for name, value in seen.items() if name not in ("id", "modifiedDateTime")}


# Named locations. ---------------------------------------------------------------------------------------------------


async def add_place(door: Door, actor: Actor, document: PlaceDocument) -> NamedLocation | Refusal:
    """Add a named location."""
    id = entropy().guid("location")

    def decide(view: View) -> Done[NamedLocation] | Refusal:
        place = _place(document)
        if isinstance(place, Refusal):
            return place
        ours = sum(isinstance(known, IpLocation) for known in view.directory.locations.values())
        if isinstance(place, IpLocation) and ours >= MOST_IP_LOCATIONS:
            return invalid(f"There are {MOST_IP_LOCATIONS} IP named locations already.")
        place = replace(place, id=id, created_date_time=view.now, modified_date_time=view.now)
        target = Target(id=id, name=place.display_name, changes=differences(None, msgspec.to_builtins(place)))
        return Done(place, target, (PutDocument(place),))

    return await door.act(actor, ADD_PLACE, decide)


async def change_place(
    door: Door, actor: Actor, id: str, patch: PlaceDocument, expected: str | None = None
) -> NamedLocation | Refusal:
    """Change a named location; its type stays."""

    def decide(view: View) -> Done[NamedLocation] | Refusal:
        known = view.directory.locations.get(id)
        stored: NamedLocation | Refusal = current("named location", id, known, expected)
        if isinstance(stored, Refusal):
            return stored
        before: dict[str, Any] = msgspec.to_builtins(stored)
        if patch.get("@odata.type", before["@odata.type"]).lower() != before["@odata.type"].lower():
            return invalid("The type of a named location cannot be changed.", "@odata.type")
        place = _place({**before, **patch, "@odata.type": before["@odata.type"]})
        if isinstance(place, Refusal):
            return place
        place = replace(place, id=id, created_date_time=stored.created_date_time, modified_date_time=view.now)
        changes = differences(
            before, {**msgspec.to_builtins(place), "modifiedDateTime": before["modifiedDateTime"]}
        )
        target = Target(id=id, name=place.display_name, changes=changes)
        is_used = _is_named(filter(_is_on, view.directory.policies), "locations", id)
        two = control("policy", UPDATE_PLACE, target, stored) if is_used else None
        return Done(place, target, (PutDocument(place),), control=two)

    return await door.act(actor, UPDATE_PLACE, decide, id)


async def remove_place(
    door: Door, actor: Actor, id: str, expected: str | None = None
) -> NamedLocation | Refusal:
    """Delete a named location that is not trusted and that no policy names."""

    def decide(view: View) -> Done[NamedLocation] | Refusal:
        known = view.directory.locations.get(id)
        stored: NamedLocation | Refusal = current("named location", id, known, expected)
        if isinstance(stored, Refusal):
            return stored
        if isinstance(stored, IpLocation) and stored.is_trusted:
            return invalid("A trusted named location cannot be deleted: mark it as untrusted first.")
        if _is_named(view.directory.policies, "locations", id):
            return invalid("A policy refers to this named location.")
        changes = differences(msgspec.to_builtins(stored), None)
        target = Target(id=id, name=stored.display_name, changes=changes)
        return Done(stored, target, (RemoveDocument("location", id),))

    return await door.act(actor, DELETE_PLACE, decide, id)


class _Range(Struct, frozen=True, kw_only=True, rename="camel"):
    cidr_address: str


class _Place(Struct, frozen=True, kw_only=True, rename="camel"):
    """A named location as it is written, before it is believed."""

    display_name: str = ""
    is_trusted: bool = False
    ip_ranges: tuple[_Range, ...] = ()
    countries_and_regions: tuple[str, ...] = ()
    include_unknown_countries_and_regions: bool = False
    country_lookup_method: str = "clientIpAddress"


IP, COUNTRY = "#microsoft.graph.ipnamedlocation", "#microsoft.graph.countrynamedlocation"
MEMBERS: Mapping[str, frozenset[str]] = {
    IP: frozenset({"displayName", "isTrusted", "ipRanges"}),
    COUNTRY: frozenset(
        {"displayName", "countriesAndRegions", "includeUnknownCountriesAndRegions", "countryLookupMethod"}
    ),
}


def _place(document: PlaceDocument) -> NamedLocation | Refusal:
    """Return a document as a named location."""
    kind = str(document.get("@odata.type", "")).lower()
    if kind not in MEMBERS:
        return invalid(
            "@odata.type is #microsoft.graph.ipNamedLocation or …countryNamedLocation.", "@odata.type"
        )
    given = {n: v for n, v in document.items() if v is not None and not n.startswith("@")}
    unknown = given.keys() - MEMBERS[kind] - set(validate.READ_ONLY)
    if unknown:
        return invalid(f"A location of this type has no {min(unknown)}.", min(unknown))
    try:
        said = msgspec.convert(given, _Place)
    except msgspec.ValidationError as fault:
        return invalid(f"The body is not a named location: {fault}.")
    if not 0 < len(said.display_name.strip()) <= LONGEST_NAME:
        return invalid(f"displayName has 1 to {LONGEST_NAME} characters.", "displayName")
    return _ip_place(said) if kind == IP else _country_place(said)


def _ip_place(said: _Place) -> IpLocation | Refusal:
    if not 0 < len(said.ip_ranges) <= MOST_RANGES:
        return invalid(f"There are 1 to {MOST_RANGES} ranges.", "ipRanges")
    ranges = []
    for given in said.ip_ranges:
        try:
            network = ip_network(given.cidr_address)
        except ValueError:
            return invalid("A cidrAddress is a network without host bits, as 203.0.113.0/24.", "ipRanges")
        if network.prefixlen < SHORTEST_MASK or "/" not in given.cidr_address:
            return invalid(f"A network has a mask of /{SHORTEST_MASK} or longer.", "ipRanges")
        version = "iPv4CidrRange" if network.version == 4 else "iPv6CidrRange"
        ranges.append({"@odata.type": f"#microsoft.graph.{version}", "cidrAddress": str(network)})
    return msgspec.convert(
        {
            "@odata.type": "#microsoft.graph.ipNamedLocation",
            "displayName": said.display_name,
            "isTrusted": said.is_trusted,
            "ipRanges": ranges,
        },
        IpLocation,
    )


def _country_place(said: _Place) -> CountryLocation | Refusal:
    countries = tuple(dict.fromkeys(country.upper() for country in said.countries_and_regions))
    if not countries and not said.include_unknown_countries_and_regions:
        return invalid("There is no country in it.", "countriesAndRegions")
    unknown = [country for country in countries if country not in COUNTRIES]
    if unknown:
        return invalid(f"There is no country {unknown[0][:10]}.", "countriesAndRegions")
    if said.country_lookup_method != "clientIpAddress":
        return invalid("Countries are looked up by the client's address only.", "countryLookupMethod")
    return CountryLocation(
        display_name=said.display_name,
        countries_and_regions=countries,
        include_unknown_countries_and_regions=said.include_unknown_countries_and_regions,
    )


# Authentication contexts. -------------------------------------------------------------------------------------------


class ContextChange(Struct, frozen=True, kw_only=True, rename="camel"):
    """What is to be changed; a member that is UNSET stays as it is."""

    display_name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    is_available: bool | UnsetType = UNSET


async def put_context(
    door: Door, actor: Actor, id: str, change: ContextChange, *, is_new: bool = False
) -> AuthenticationContext | Refusal:
    """Make an authentication context, or change it. `is_new`: it must not be there yet."""

    def decide(view: View) -> Done[AuthenticationContext] | Refusal:
        if id not in AUTHENTICATION_CONTEXTS:
            return invalid("Authentication contexts are c1 to c99.", "id")
        before = view.directory.contexts.get(id)
        if before is not None and is_new:
            return Refusal(why="taken", text=f"There is an authentication context {id}.", target="id")
        after = replace(before or AuthenticationContext(id=id), **asked(change))
        if not 0 < len(after.display_name.strip()) <= LONGEST_NAME:
            return invalid(f"displayName has 1 to {LONGEST_NAME} characters.", "displayName")
        if len(after.description) > LONGEST_DESCRIPTION:
            return invalid(f"description has {LONGEST_DESCRIPTION} characters at most.", "description")
        old = msgspec.to_builtins(before) if before else None
        target = Target(id=id, name=after.display_name, changes=differences(old, msgspec.to_builtins(after)))
        return Done(after, target, (PutDocument(after),))

    return await door.act(actor, PUT_CONTEXT, decide, id)


async def remove_context(door: Door, actor: Actor, id: str) -> AuthenticationContext | Refusal:
    """Delete an authentication context that no policy names."""

    def decide(view: View) -> Done[AuthenticationContext] | Refusal:
        stored = current("authentication context", id, view.directory.contexts.get(id))
        if isinstance(stored, Refusal):
            return stored
        if _is_named(view.directory.policies, "contexts", id):
            return invalid("A policy refers to this authentication context.")
        changes = differences(msgspec.to_builtins(stored), None)
        target = Target(id=id, name=stored.display_name, changes=changes)
        return Done(stored, target, (RemoveDocument("context", id),))

    return await door.act(actor, DELETE_CONTEXT, decide, id)


# Strengths. ---------------------------------------------------------------------------------------------------------


class StrengthChange(Struct, frozen=True, kw_only=True, rename="camel"):
    """What is to be changed; a member that is UNSET stays as it is."""

    display_name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    allowed_combinations: tuple[str, ...] | UnsetType = UNSET


async def add_strength(door: Door, actor: Actor, new: StrengthChange) -> Strength | Refusal:
    """Make an authentication strength."""
    id = entropy().guid("strength")

    def decide(view: View) -> Done[Strength] | Refusal:
        if len(view.directory.strengths) >= MOST_STRENGTHS:
            return invalid(f"There are {MOST_STRENGTHS} authentication strengths already.")
        strength = _strength(Strength(id=id, display_name=""), new, view)
        if isinstance(strength, Refusal):
            return strength
        changes = differences(None, msgspec.to_builtins(strength))
        target = Target(id=id, name=strength.display_name, changes=changes)
        return Done(strength, target, (PutDocument(strength),))

    return await door.act(actor, ADD_STRENGTH, decide)


async def change_strength(
    door: Door, actor: Actor, id: str, change: StrengthChange, expected: str | None = None
) -> tuple[Strength, Strength] | Refusal:
    """Change an authentication strength; return what it was and what it is. Those built in stay as they are."""

    def decide(view: View) -> Done[tuple[Strength, Strength]] | Refusal:
        if id in BUILT_IN_STRENGTHS:
            return invalid("A built-in authentication strength cannot be changed.")
        stored = current("authentication strength", id, view.directory.strengths.get(id), expected)
        if isinstance(stored, Refusal):
            return stored
        after = _strength(stored, change, view)
        if isinstance(after, Refusal):
            return after
        changes = differences(msgspec.to_builtins(stored), msgspec.to_builtins(after))
        target = Target(id=id, name=after.display_name, changes=changes)
        is_used = any(map(_is_on, users_of_strength(view.directory.policies, id)))
        two = control("policy", UPDATE_STRENGTH, target, stored) if is_used else None
        return Done((stored, after), target, (PutDocument(after),), control=two)

    return await door.act(actor, UPDATE_STRENGTH, decide, id)


async def remove_strength(door: Door, actor: Actor, id: str) -> Strength | Refusal:
    """Delete an authentication strength that no policy names."""

    def decide(view: View) -> Done[Strength] | Refusal:
        if id in BUILT_IN_STRENGTHS:
            return invalid("A built-in authentication strength cannot be deleted.")
        stored = current("authentication strength", id, view.directory.strengths.get(id))
        if isinstance(stored, Refusal):
            return stored
        if _is_named(view.directory.policies, "strengths", id):
            return invalid("A policy refers to this authentication strength.")
        target = Target(
            id=id, name=stored.display_name, changes=differences(msgspec.to_builtins(stored), None)
        )
        return Done(stored, target, (RemoveDocument("strength", id),))

    return await door.act(actor, DELETE_STRENGTH, decide, id)


def _strength(before: Strength, change: StrengthChange, view: View) -> Strength | Refusal:
    after = replace(before, **asked(change))
    if not 0 < len(after.display_name.strip()) <= 30:
        return invalid("displayName has 1 to 30 characters.", "displayName")
    others = (*BUILT_IN_STRENGTHS.values(), *view.directory.strengths.values())
    if any(o.id != after.id and o.display_name.casefold() == after.display_name.casefold() for o in others):
        return Refusal(why="taken", text="Another strength has this displayName.", target="displayName")
    if len(after.description or "") > LONGEST_DESCRIPTION:
        return invalid(f"description has {LONGEST_DESCRIPTION} characters at most.", "description")
    combinations = tuple(dict.fromkeys(after.allowed_combinations))
    unknown = [c for c in combinations if c not in COMBINATIONS]
    if unknown or not combinations:
        return invalid(
            f"{unknown[0][:100]} is no combination of methods."
            if unknown
            else "There is no combination in it.",
            "allowedCombinations",
        )
    weak = any(
        "," not in c and c in ("password", "email", "sms", "federatedSingleFactor") for c in combinations
    )
    return replace(after, allowed_combinations=combinations, requirements_satisfied="none" if weak else "mfa")


def users_of_strength(policies: Iterable[Policy], id: str) -> tuple[Policy, ...]:
    """Return the policies that ask for a strength."""
    return tuple(
        policy
        for policy in policies
        if (grant := policy.grant_controls) is not None
        and grant.authentication_strength is not None
        and grant.authentication_strength.id == id
    )


def _is_named(
    policies: Iterable[Policy], member: Literal["locations", "contexts", "strengths"], id: str
) -> bool:
    return any(id in validate.references(policy)[member] for policy in policies)


# The tenant's own. --------------------------------------------------------------------------------------------------


async def set_security_defaults(door: Door, actor: Actor, on: bool) -> Tenant | Refusal:
    """Switch security defaults on or off; while they are on no policy can be enabled."""

    def decide(view: View) -> Done[Tenant] | Refusal:
        before = view.directory.tenant
        after = replace(before, security_defaults=on)
        changes = differences({"isEnabled": before.security_defaults}, {"isEnabled": on})
        target = Target(id=SECURITY_DEFAULTS_ID, name="Security Defaults", changes=changes)
        two = control("policy", SECURITY_DEFAULTS, target) if before.security_defaults and not on else None
        return Done(after, target, (PutDocument(after),), control=two)

    return await door.act(actor, SECURITY_DEFAULTS, decide, SECURITY_DEFAULTS_ID)


SECURITY_DEFAULTS_ID = "00000000-0000-0000-0000-000000000005"
METHOD_DEFAULTS: Mapping[Kind, MethodSettings] = {
    Kind.EMAIL_OTP: MethodSettings(),
    Kind.SMS_OTP: MethodSettings(enabled=False),
    Kind.PASSKEY: MethodSettings(),
}
"""What a new tenant begins with."""


class MethodChange(Struct, frozen=True, kw_only=True):
    """What is to be changed; a member that is UNSET stays as it is."""

    enabled: bool | UnsetType = UNSET
    include_groups: tuple[str, ...] | UnsetType = UNSET
    """Empty: everybody."""
    exclude_groups: tuple[str, ...] | UnsetType = UNSET


def settings_of(directory: Directory, kind: Kind) -> MethodSettings:
    """Who may use a kind as things are. Where nothing is said of it nobody may, but for passkeys, which all may."""
    return directory.methods.get(kind, MethodSettings(enabled=kind is Kind.PASSKEY))


async def change_methods(
    door: Door, actor: Actor, changes: Mapping[Kind, MethodChange | None]
) -> Mapping[Kind, MethodSettings] | Refusal:
    """Change who may use which kinds of second factor, all at once; None puts a kind back to its default."""

    def decide(view: View) -> Done[Mapping[Kind, MethodSettings]] | Refusal:
        effects, noted, settled = [], [], dict(view.directory.methods)
        for kind, change in changes.items():
            before = settings_of(view.directory, kind)
            after = METHOD_DEFAULTS[kind] if change is None else replace(before, **asked(change))
            named = {*after.include_groups, *after.exclude_groups} - {
                *before.include_groups,
                *before.exclude_groups,
            }
            if unknown := named - view.existing("group", named):
                return missing("group", min(unknown))
            settled[kind] = after
            effects.append(PutDocument((kind, after)))
            noted += [
                (f"{kind.value}.{name}", old, new)
                for name, old, new in differences(msgspec.to_builtins(before), msgspec.to_builtins(after))
            ]
        target = Target(
            id="authenticationMethodsPolicy", name="Authentication Methods Policy", changes=tuple(noted)
        )
        return Done(settled, target, tuple(effects))

    return await door.act(actor, METHODS, decide, "authenticationMethodsPolicy")
