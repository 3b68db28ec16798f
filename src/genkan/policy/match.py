"""
Whether one policy applies to one moment: sign-in, refresh and What-If all ask here.

A policy applies when every condition it configures holds. Knows nothing of evidence, controls or outcomes.
Source: conditional-access 4.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address, ip_address

from msgspec import Struct

from genkan.model import DIRECTORY
from genkan.policy.model import (
    Assignment,
    Condition,
    Conditions,
    Context,
    CountryLocation,
    Guests,
    IpLocation,
    Person,
    Policy,
)

BASELINE_SCOPES = frozenset(
    ("openid", "profile", "email", "offline_access", "User.Read", "https://graph.microsoft.com/User.Read")
)
"""Scopes that open no resource of their own; asked for alone they are access to the directory (4.3)."""


class Fault(Exception):
    """Something cannot be evaluated. Whoever cannot judge must refuse. Its text is our own, fit for the trace."""


def fault_words(fault: Exception) -> str:
    """What may be said of a fault: our own words, or what kind of foreign one it is."""
    return str(fault) if isinstance(fault, Fault) else type(fault).__name__


class View(Struct, frozen=True, dict=True):
    """A context as conditions see it; what is costly is worked out once, and only when a condition asks."""

    context: Context
    contexts: frozenset[str]
    """The authentication contexts asked for."""

    @cached_property
    def is_baseline_only(self) -> bool:
        return BASELINE_SCOPES.issuperset(self.context.demand.scopes)

    @cached_property
    def audiences(self) -> tuple[str, ...]:
        """What the tokens are for: set A of section 4.3."""
        client, demand = self.context.client, self.context.demand
        resource = () if self.is_baseline_only else (demand.resource,)
        is_for_client = client.kind == "confidential" and "openid" in demand.scopes
        return ((*resource, client.id) if is_for_client else resource) or (DIRECTORY,)

    @cached_property
    def targets(self) -> frozenset[str]:
        """The audiences, and the client itself."""
        return frozenset((*self.audiences, self.context.client.id))

    @cached_property
    def address(self) -> IPv4Address | IPv6Address | None:
        """Where the request comes from; IPv4 in IPv6 clothes is unwrapped. Text that is no address is a fault."""
        if not self.context.address:
            return None
        address = ip_address(self.context.address)
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return mapped or address

    @cached_property
    def is_trusted(self) -> bool:
        """The address lies in some trusted location."""
        places = self.context.locations.values()
        return any(isinstance(p, IpLocation) and p.is_trusted and p.contains(self.address) for p in places)


def first_mismatch(policy: Policy, view: View) -> str | None:
    """
    The first condition that keeps the policy from applying, in What-If's words; None when it applies.

    Raises:   whatever a condition that cannot be evaluated raises; the caller takes it for a fault.
    """
    if policy.state != "enabled" and (word := _out_of_force(policy)):
        return word
    for word in policy.conditions.configured:
        if not HOLDS[word](policy.conditions, view):
            return word
    return None


def mismatches(policy: Policy, view: View) -> tuple[str, ...]:
    """All that keeps a policy from applying that does not. What cannot be told is not what keeps it."""
    missed = [_out_of_force(policy)]
    for condition in policy.conditions.configured:
        with suppress(Exception):
            missed.append(None if HOLDS[condition](policy.conditions, view) else condition)
    return tuple(dict.fromkeys(word for word in missed if word))


def _out_of_force(policy: Policy) -> str | None:
    """Policies on user actions are not evaluated in report-only mode (section 5)."""
    if policy.state == "disabled":
        return "policyNotEnabled"
    is_on_action = bool(policy.conditions.applications.include_user_actions)
    return "userActions" if is_on_action and policy.state != "enabled" else None


# The conditions, one each. ----------------------------------------------------------------------------


def users_hold(conditions: Conditions, view: View) -> bool:
    """An exclusion beats every inclusion; a request without a person matches nobody. Source: 4.2."""
    person = view.context.person
    if person is None:
        return False
    users = conditions.users
    included, excluded = users.included, users.excluded
    if "All" not in included.users and not _names(included, person):
        return False
    return excluded is None or not _names(excluded, person)


def _names(assignment: Assignment, person: Person) -> bool:
    users, groups, roles, guests = assignment
    return (
        person.id in users
        or not groups.isdisjoint(person.groups)
        or not roles.isdisjoint(person.roles)
        or (person.guest and _means_guest(users, guests))
    )


def _means_guest(words: frozenset[str], guests: Guests | None) -> bool:
    """Guests here are local accounts: of the structured kinds only `internalGuest` can mean them."""
    return "GuestsOrExternalUsers" in words or (
        guests is not None and "internalGuest" in guests.types.split(",")
    )


def resources_hold(conditions: Conditions, view: View) -> bool:
    """
    Some audience is included and not excluded.

    The client's own id counts only where a policy includes it by name: that is honoured for public clients, too,
    while to exclude one has no effect, since it is nobody's audience.
    Source: 4.3.
    """
    applications, context = conditions.applications, view.context
    include, exclude = applications.included, applications.excluded
    if not include or applications.application_filter is not None:
        raise Fault("what the policy is for cannot be evaluated")
    if context.kind == "user_action":
        return False
    if "All" not in include:
        return not view.targets.isdisjoint(include - exclude if exclude else include)
    if not exclude:
        return True
    if view.is_baseline_only and context.settings.baseline_scopes == "legacy":
        return False
    named = (context.client.id,) if context.client.id in include else ()
    return any(target not in exclude for target in (*view.audiences, *named))


def actions_hold(conditions: Conditions, view: View) -> bool:
    """A policy on user actions matches requests of that action only."""
    context = view.context
    is_named = context.user_action in conditions.applications.include_user_actions
    return is_named and context.kind == "user_action"


def contexts_hold(conditions: Conditions, view: View) -> bool:
    """A policy on authentication contexts matches only requests that ask for one of them."""
    applications = conditions.applications
    is_asked = not view.contexts.isdisjoint(applications.include_authentication_context_class_references)
    return is_asked and any(target not in applications.exclude_applications for target in view.audiences)


def client_apps_hold(conditions: Conditions, view: View) -> bool:
    """The word `all` need not be looked for: with it the condition is not configured."""
    return view.context.client_app in conditions.client_app_types


def platforms_hold(conditions: Conditions, view: View) -> bool:
    """Only `all` catches an unknown platform."""
    platforms, platform = conditions.platforms, view.context.platform
    return platforms is None or (
        ("all" in platforms.include_platforms or platform in platforms.include_platforms)
        and platform not in platforms.exclude_platforms
    )


def locations_hold(conditions: Conditions, view: View) -> bool:
    """Source: 4.5."""
    locations = conditions.locations
    return locations is None or (
        any(_is_in(place, view) for place in locations.include_locations)
        and not any(_is_in(place, view) for place in locations.exclude_locations)
    )


def _is_in(place: str, view: View) -> bool:
    """A location that is not there any more contains nobody."""
    if place == "All":
        return True
    if place == "AllTrusted":
        return view.is_trusted
    match view.context.locations.get(place):
        case IpLocation() as location:
            return location.contains(view.address)
        case CountryLocation() as location:
            return location.contains(view.context.country)
        case _:
            return False


def sign_in_risk_holds(conditions: Conditions, view: View) -> bool:
    """The very level is listed: this is no threshold, and a hidden level matches nothing."""
    level = view.context.sign_in_risk
    return level in conditions.sign_in_risk_levels and level != "hidden"


def user_risk_holds(conditions: Conditions, view: View) -> bool:
    """As the sign-in risk, of the account."""
    person = view.context.person
    level = person.risk if person else "hidden"
    return level in conditions.user_risk_levels and level != "hidden"


def transfer_holds(conditions: Conditions, view: View) -> bool:
    flows = conditions.authentication_flows
    return flows is None or view.context.transfer_method in flows.transfer_methods.split(",")


def cannot_be_told(_conditions: Conditions, _view: View) -> bool:
    """
    A condition that Genkan has no facts for. To pass over it would widen the policy or narrow it.

    It is judged last: where a known condition fails, no unknown one could make the policy apply.
    Source: V20.
    """
    raise Fault("a condition cannot be evaluated")


HOLDS: dict[Condition, Callable[[Conditions, View], bool]] = {
    "users": users_hold,
    "application": resources_hold,
    "userActions": actions_hold,
    "authenticationContext": contexts_hold,
    "clientApps": client_apps_hold,
    "devicePlatform": platforms_hold,
    "location": locations_hold,
    "signInRisk": sign_in_risk_holds,
    "userRisk": user_risk_holds,
    "authenticationFlow": transfer_holds,
    "devices": cannot_be_told,
    "insiderRisk": cannot_be_told,
    "workloadIdentities": cannot_be_told,
}
