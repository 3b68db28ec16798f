"""
The tenant that the cases are about, and the notation they are written in.

People    U1 is in group G1 · U2 in none · U3 in G2, which is in G1 · ADM holds role R1.
Apps      C is a public client · W a confidential one · P1 and P2 are APIs.
Places    office (trusted) · JP · JP+unknown · net · net6.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from genkan.model import (
    DIRECTORY,
    Authenticator,
    Client,
    Demand,
    Evidence,
    Identifier,
    Kind,
    MethodSettings,
    Purpose,
)
from genkan.policy.model import (
    Applications,
    AuthenticationFlows,
    Conditions,
    Context,
    CountryLocation,
    GrantControls,
    Guests,
    IpLocation,
    IPv4Range,
    IPv6Range,
    Locations,
    NamedLocation,
    Person,
    Platforms,
    Policy,
    SessionControls,
    Settings,
    SignInFrequency,
    Strength,
    StrengthReference,
    Users,
)

NOW = datetime(2031, 3, 4, 5, 6, 7, tzinfo=UTC)

MAILBOX = Identifier("email", "sam@example.com", "sam@example.com")
OTHER_MAILBOX = Identifier("email", "sam@example.org", "sam@example.org")
PHONE = Identifier("phone", "+12025550101", "+12025550101")
OTHER_PHONE = Identifier("phone", "+12025550102", "+12025550102")

PEOPLE = {
    "U1": {"groups": frozenset({"G1"})},
    "U2": {},
    "U3": {"groups": frozenset({"G1", "G2"})},
    "ADM": {"roles": frozenset({"R1"})},
    "GUEST": {"guest": True},
}
CLIENTS = {
    "C": Client(id="C", name="The app"),
    "W": Client(id="W", name="The web site", kind="confidential", native=False),
}
PLACES: dict[str, NamedLocation] = {
    "office": IpLocation(
        display_name="Office",
        is_trusted=True,
        ip_ranges=(IPv4Range(cidr_address="203.0.113.0/24"), IPv6Range(cidr_address="2001:db8:7::/48")),
    ),
    "JP": CountryLocation(display_name="Japan", countries_and_regions=("JP",)),
    "JP+unknown": CountryLocation(
        display_name="Japan, or nobody knows",
        countries_and_regions=("JP",),
        include_unknown_countries_and_regions=True,
    ),
    "net": IpLocation(display_name="A net", ip_ranges=(IPv4Range(cidr_address="198.51.100.0/24"),)),
    "net6": IpLocation(display_name="A new net", ip_ranges=(IPv6Range(cidr_address="2001:db8:1::/48"),)),
}
STRENGTHS = {
    "with e-mail": Strength(
        id="with e-mail", display_name="With e-mail", allowed_combinations=("password,email",)
    ),
    "password": Strength(
        id="password",
        display_name="A password will do",
        requirements_satisfied="none",
        allowed_combinations=("password",),
    ),
}
STATES = {"on": "enabled", "off": "disabled", "report-only": "enabledForReportingButNotEnforced"}


def some(value: str | list[str] | None) -> tuple[Any, ...]:
    """One or several, as the cases write them."""
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)


def a_policy(
    *,
    name: str = "",
    state: str = "on",
    users: str | list[str] | None = None,
    not_users: str | list[str] | None = None,
    groups: str | list[str] | None = None,
    not_groups: str | list[str] | None = None,
    roles: str | list[str] | None = None,
    not_roles: str | list[str] | None = None,
    guests: str | None = None,
    apps: str | list[str] | None = None,
    not_apps: str | list[str] | None = None,
    action: str | None = None,
    context: str | list[str] | None = None,
    clients: str | list[str] = "all",
    platforms: str | list[str] | None = None,
    not_platforms: str | list[str] | None = None,
    places: str | list[str] | None = None,
    not_places: str | list[str] | None = None,
    sign_in_risk: str | list[str] | None = None,
    user_risk: str | list[str] | None = None,
    flow: str | None = None,
    wants: str | list[str] | None = None,
    any_of: list[str] | None = None,
    strength: str | None = None,
    at_most: str | None = None,
    repeats: str = "primaryAndSecondaryAuthentication",
) -> Policy:
    """
    A policy in short.

    `wants` are controls that must all be met, of `any_of` one will do; `at_most` is a sign-in frequency, as `1 hours`.
    Without users and groups it is for everybody, without apps, action and context for everything.
    """
    targets_something = apps is not None or action is not None or context is not None
    names_somebody = users is not None or groups is not None or roles is not None
    has_grant = wants is not None or any_of is not None or strength is not None
    return Policy(
        id=name or "policy",
        display_name=name or "policy",
        state=STATES[state],  # type: ignore[arg-type]
        conditions=Conditions(
            users=Users(
                include_users=some(users) if names_somebody else ("All",),
                exclude_users=some(not_users),
                include_groups=some(groups),
                exclude_groups=some(not_groups),
                include_roles=some(roles),
                exclude_roles=some(not_roles),
                include_guests_or_external_users=Guests(types=guests) if guests else None,
            ),
            applications=Applications(
                include_applications=some(apps) if targets_something else ("All",),
                exclude_applications=some(not_apps),
                include_user_actions=some(action),
                include_authentication_context_class_references=some(context),
            ),
            client_app_types=some(clients),
            platforms=Platforms(include_platforms=some(platforms), exclude_platforms=some(not_platforms))
            if platforms
            else None,
            locations=Locations(include_locations=some(places), exclude_locations=some(not_places))
            if places
            else None,
            sign_in_risk_levels=some(sign_in_risk),
            user_risk_levels=some(user_risk),
            authentication_flows=AuthenticationFlows(transfer_methods=flow) if flow else None,
        ),
        grant_controls=GrantControls(
            operator="OR" if any_of else "AND",
            built_in_controls=some(any_of or wants),
            authentication_strength=StrengthReference(id=strength) if strength else None,
        )
        if has_grant
        else None,
        session_controls=SessionControls(sign_in_frequency=a_frequency(at_most, repeats))
        if at_most
        else None,
    )


def a_frequency(at_most: str, repeats: str = "primaryAndSecondaryAuthentication") -> SignInFrequency:
    if at_most == "every time":
        return SignInFrequency(
            is_enabled=True,
            frequency_interval="everyTime",
            authentication_type=repeats,  # type: ignore[arg-type]
        )
    value, unit = at_most.split()
    return SignInFrequency(
        is_enabled=True,
        type=unit,  # type: ignore[arg-type]
        value=int(value),
        authentication_type=repeats,  # type: ignore[arg-type]
    )


def a_span(text: str) -> timedelta:
    value, unit = text.split()
    return timedelta(**{unit: int(value)})


def a_method(kind: str, *, other: bool = False, **changes: Any) -> Authenticator:
    """`email` is the mailbox of the sign-in address, `sms` the phone; `other` another of each."""
    places = {"email": (MAILBOX, OTHER_MAILBOX), "sms": (PHONE, OTHER_PHONE), "password": (None, None)}
    kinds = {"email": Kind.EMAIL_OTP, "sms": Kind.SMS_OTP, "password": Kind.PASSWORD}
    method = Authenticator(
        id=f"other {kind}" if other else kind,
        subject="U1",
        kind=kinds[kind],
        target=places[kind][other],
        strong=kind != "password",
        created_at=NOW - timedelta(days=1 if other else 2),
    )
    return replace(method, **changes)


METHODS = {
    "email": a_method("email"),
    "other email": a_method("email", other=True),
    "sms": a_method("sms"),
    "other sms": a_method("sms", other=True),
    "weak email": a_method("email", strong=False),
    "lost sms": a_method("sms", state="quarantined"),
    "passkey": Authenticator(id="passkey", subject="U1", kind=Kind.PASSKEY, created_at=NOW),
}
KINDS = {"email": Kind.EMAIL_OTP, "sms": Kind.SMS_OTP, "passkey": Kind.PASSKEY}
METHODS_POLICY = dict.fromkeys(KINDS.values(), MethodSettings())
PLACELESS = {"password": Kind.PASSWORD, "passkey": Kind.PASSKEY, "social": Kind.FEDERATED}


def a_proof(method: str, part: str, at: datetime = NOW) -> Evidence:
    """A right password, or a right code to the place of a method."""
    if (kind := PLACELESS.get(method)) is not None:
        return Evidence(kind=kind, authenticator=method, at=at, part=part)  # type: ignore[arg-type]
    proven = METHODS[method]
    return Evidence(
        kind=proven.kind,
        authenticator=proven.id,
        place=proven.target.place if proven.target else None,
        at=at,
        part=part,  # type: ignore[arg-type]
    )


def a_context(
    *,
    who: str | None = "U1",
    kind: str = "initial",
    purpose: str = "sign_in",
    client: str = "C",
    scopes: str = "openid offline_access",
    asks: str | list[str] | None = None,
    first: str | None = "password",
    first_age: str = "0 minutes",
    verified: str | list[str] | None = None,
    second: str | list[str] | None = None,
    second_age: str = "0 minutes",
    enrolled: bool = False,
    has: str | list[str] | None = None,
    disabled: str | list[str] | None = None,
    account_age: str = "1 hours",
    user_risk: str = "hidden",
    sign_in_risk: str = "hidden",
    address: str = "198.51.100.7",
    country: str = "US",
    platform: str = "unknown",
    client_app: str = "mobileAppsAndDesktopClients",
    baseline: str = "enforce",
    lenient: bool = False,
    security_defaults: bool = False,
    wants_acrs: bool = False,
    groups: list[str] | None = None,
    email_for: str | None = None,
    sms_not_for: str | None = None,
    no_address: bool = False,
    trusted: bool = True,
) -> Context:
    """
    A moment in short.

    `has` are the second factors that are registered; `first`, `verified` and `second` are what has been proven.
    """
    person = None
    if who is not None:
        person = Person(
            id=who,
            created_at=NOW - a_span(account_age),
            sign_in_place=None if no_address else MAILBOX.place,
            risk=user_risk,  # type: ignore[arg-type]
            **PEOPLE.get(who, {}),
        )
        if groups is not None:
            person = replace(person, groups=frozenset(groups))
    words = scopes.split()
    own = [word.split("/")[0] for word in words if "/" in word]
    first_at, second_at = NOW - a_span(first_age), NOW - a_span(second_age)
    methods = dict(METHODS_POLICY)
    for name in some(disabled):
        methods[KINDS[name]] = MethodSettings(enabled=False)
    if email_for is not None:
        methods[Kind.EMAIL_OTP] = MethodSettings(include_groups=(email_for,))
    if sms_not_for is not None:
        methods[Kind.SMS_OTP] = MethodSettings(exclude_groups=(sms_not_for,))
    return Context(
        now=NOW,
        kind=kind,  # type: ignore[arg-type]
        purpose=Purpose(purpose),
        person=person,
        client=CLIENTS[client],
        demand=Demand(scopes=tuple(words), resource=own[0] if own else DIRECTORY, contexts=some(asks)),
        evidence=(
            *(a_proof(name, "verified", first_at) for name in some(verified)),
            *(a_proof(name, "first", first_at) for name in some(first)),
            *(a_proof(name, "second", second_at) for name in some(second)),
        ),
        enrolled=enrolled,
        authenticators=tuple(METHODS[name] for name in some(has)),
        methods=methods,
        client_app=client_app,  # type: ignore[arg-type]
        platform=platform,
        address=address,
        country=country or None,
        sign_in_risk=sign_in_risk,  # type: ignore[arg-type]
        locations={
            name: replace(place, is_trusted=False) if isinstance(place, IpLocation) and not trusted else place
            for name, place in PLACES.items()
        },
        strengths=STRENGTHS,
        security_defaults=security_defaults,
        wants_acrs=wants_acrs,
        settings=Settings(
            baseline_scopes=baseline,  # type: ignore[arg-type]
            jit_when_methods_disabled=lenient,
        ),
    )
