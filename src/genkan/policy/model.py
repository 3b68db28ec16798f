"""
What policies are made of, what a decision is made from, and what it says.

A stored policy is its Graph document: these Structs decode from that JSON and encode back to its canonical form.
Knows nothing of HTTP, storage or the clock, and holds no rule: the rules are in `match` and `decide`.
Source: conditional-access 2, 3, 4.5, 8.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any, Literal, NamedTuple

from msgspec import Struct, field

from genkan.model import (
    Authenticator,
    Client,
    Demand,
    Evidence,
    Identifier,
    Kind,
    MethodSettings,
    Purpose,
    Reason,
    RiskLevel,
)

STRENGTH = "authenticationStrength"
"""The word for a strength among the controls."""

AUTHENTICATION_CONTEXTS = frozenset(f"c{number}" for number in range(1, 100))

REGISTER_SECURITY_INFO = "urn:user:registersecurityinfo"
"""The user action of registering a second factor."""

Condition = Literal[
    "users",
    "application",
    "userActions",
    "authenticationContext",
    "clientApps",
    "devicePlatform",
    "location",
    "signInRisk",
    "userRisk",
    "authenticationFlow",
    "devices",
    "insiderRisk",
    "workloadIdentities",
]
"""What-If's words for the conditions (section 12)."""

State = Literal["enabled", "disabled", "enabledForReportingButNotEnforced"]
ClientApp = Literal["browser", "mobileAppsAndDesktopClients", "other"]
ClientAppType = Literal[
    "all", "browser", "mobileAppsAndDesktopClients", "exchangeActiveSync", "easSupported", "other"
]
PolicyPlatform = Literal["all", "android", "iOS", "windows", "windowsPhone", "macOS", "linux"]
Control = Literal[
    "block",
    "mfa",
    "compliantDevice",
    "domainJoinedDevice",
    "approvedApplication",
    "compliantApplication",
    "passwordChange",
    "riskRemediation",
]


# Policies: the words are Graph's. --------------------------------------------------------------------


class Guests(
    Struct,
    frozen=True,
    kw_only=True,
    rename={"types": "guestOrExternalUserTypes", "tenants": "externalTenants"},
):
    """Which guests are meant. Flags travel as one comma-joined text."""

    types: str
    tenants: dict[str, Any] | None = None


class Users(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, dict=True):
    """For whom a policy is."""

    include_users: tuple[str, ...] = ()
    exclude_users: tuple[str, ...] = ()
    include_groups: tuple[str, ...] = ()
    exclude_groups: tuple[str, ...] = ()
    include_roles: tuple[str, ...] = ()
    exclude_roles: tuple[str, ...] = ()
    include_guests_or_external_users: Guests | None = None
    exclude_guests_or_external_users: Guests | None = None

    @cached_property
    def included(self) -> Assignment:
        return Assignment(
            frozenset(self.include_users),
            frozenset(self.include_groups),
            frozenset(self.include_roles),
            self.include_guests_or_external_users,
        )

    @cached_property
    def excluded(self) -> Assignment | None:
        """None when nobody is excluded."""
        excluded = Assignment(
            frozenset(self.exclude_users),
            frozenset(self.exclude_groups),
            frozenset(self.exclude_roles),
            self.exclude_guests_or_external_users,
        )
        return excluded if any(excluded) else None


class Assignment(NamedTuple):
    """Whom an include or an exclude names; as sets, so that a list of a thousand costs no more than one of three."""

    users: frozenset[str]
    groups: frozenset[str]
    roles: frozenset[str]
    guests: Guests | None


class Applications(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, dict=True):
    """For what a policy is: resources, or a user action, or an authentication context; one of the three."""

    include_applications: tuple[str, ...] = ()
    exclude_applications: tuple[str, ...] = ()
    include_user_actions: tuple[Literal["urn:user:registersecurityinfo", "urn:user:registerdevice"], ...] = ()
    include_authentication_context_class_references: tuple[str, ...] = ()
    application_filter: dict[str, Any] | None = None

    @cached_property
    def included(self) -> frozenset[str]:
        return frozenset(self.include_applications)

    @cached_property
    def excluded(self) -> frozenset[str]:
        return frozenset(self.exclude_applications)


class Platforms(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """On which platforms a policy holds."""

    include_platforms: tuple[PolicyPlatform, ...] = ()
    exclude_platforms: tuple[PolicyPlatform, ...] = ()


class Locations(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Where a policy holds: `All`, `AllTrusted`, or ids of named locations."""

    include_locations: tuple[str, ...] = ()
    exclude_locations: tuple[str, ...] = ()


class AuthenticationFlows(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """How the sign-in reaches the device: a comma-joined text of `none`, `deviceCodeFlow`, `authenticationTransfer`."""

    transfer_methods: str


class Conditions(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, dict=True):
    """When a policy applies. A member that is empty or null is not configured, and so always holds."""

    client_app_types: tuple[ClientAppType, ...] = ("all",)
    sign_in_risk_levels: tuple[RiskLevel, ...] = ()
    user_risk_levels: tuple[RiskLevel, ...] = ()
    service_principal_risk_levels: tuple[RiskLevel, ...] = ()
    platforms: Platforms | None = None
    locations: Locations | None = None
    devices: dict[str, Any] | None = None
    client_applications: dict[str, Any] | None = None
    authentication_flows: AuthenticationFlows | None = None
    insider_risk_levels: str | None = None
    applications: Applications
    users: Users

    @cached_property
    def configured(self) -> tuple[Condition, ...]:
        """What there is to judge, in the order in which it is judged: the cheap and telling ones first."""
        targets, flows = self.applications, self.authentication_flows
        actions, contexts = (
            targets.include_user_actions,
            targets.include_authentication_context_class_references,
        )
        is_configured: dict[Condition, object] = {
            "application": targets.include_applications or not (actions or contexts),
            "userActions": actions,
            "authenticationContext": contexts,
            "users": True,
            "clientApps": "all" not in self.client_app_types,
            "devicePlatform": self.platforms,
            "location": self.locations,
            "signInRisk": self.sign_in_risk_levels,
            "userRisk": self.user_risk_levels,
            "authenticationFlow": flows is not None and flows.transfer_methods not in ("", "none"),
            "devices": self.devices is not None or targets.application_filter is not None,
            "insiderRisk": self.insider_risk_levels is not None,
            "workloadIdentities": self.client_applications is not None or self.service_principal_risk_levels,
        }
        return tuple(word for word, given in is_configured.items() if given)


class StrengthReference(Struct, frozen=True, kw_only=True):
    """Names an authentication strength; of what else Graph sends with it nothing counts."""

    id: str


class GrantControls(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, dict=True):
    """What must be met before tokens are issued."""

    operator: Literal["AND", "OR"]
    built_in_controls: tuple[Control, ...] = ()
    custom_authentication_factors: tuple[str, ...] = ()
    terms_of_use: tuple[str, ...] = ()
    authentication_strength: StrengthReference | None = None

    @cached_property
    def controls(self) -> tuple[str, ...]:
        """All of them in the order they are written; a strength stands among them by the word `STRENGTH`."""
        return self.built_in_controls + (() if self.authentication_strength is None else (STRENGTH,))

    @cached_property
    def alternatives(self) -> tuple[tuple[str, ...], ...]:
        """Each alternative is controls that must be met together."""
        return (self.controls,) if self.operator == "AND" else tuple((control,) for control in self.controls)


class SignInFrequency(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """How old the factors may be when a token is refreshed."""

    is_enabled: bool = False
    type: Literal["hours", "days"] | None = None
    value: int | None = None
    frequency_interval: Literal["timeBased", "everyTime"] = "timeBased"
    authentication_type: Literal["primaryAndSecondaryAuthentication", "secondaryAuthentication"] = (
        "primaryAndSecondaryAuthentication"
    )


class PersistentBrowser(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Whether a browser stays signed in. Kept; without effect on native clients."""

    is_enabled: bool = False
    mode: Literal["always", "never"] | None = None


class Restrictions(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A control that Genkan keeps and gives back, and counts as met."""

    is_enabled: bool = False


class CloudAppSecurity(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Kept and given back; counts as met."""

    is_enabled: bool = False
    cloud_app_security_type: Literal["mcasConfigured", "monitorOnly", "blockDownloads"] | None = None


class SessionControls(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What holds for the session after tokens were issued."""

    application_enforced_restrictions: Restrictions | None = None
    cloud_app_security: CloudAppSecurity | None = None
    disable_resilience_defaults: bool | None = None
    persistent_browser: PersistentBrowser | None = None
    secure_sign_in_session: Restrictions | None = None
    sign_in_frequency: SignInFrequency | None = None


GRANT_WORDS = {
    "block": "Block",
    "mfa": "Mfa",
    "compliantDevice": "RequireCompliantDevice",
    "domainJoinedDevice": "RequireDomainJoinedDevice",
    "approvedApplication": "RequireApprovedApp",
    "compliantApplication": "RequireCompliantApp",
    "passwordChange": "PasswordChange",
    STRENGTH: "AuthenticationStrength",
}
"""How a sign-in log names the controls."""


class Policy(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, dict=True):
    """A Conditional Access policy. Encoded, it is the Graph document (less `@odata.context`)."""

    id: str = ""
    """Empty until it is stored."""
    template_id: None = None
    display_name: str
    description: str | None = None
    created_date_time: datetime | None = None
    """None until it is stored."""
    modified_date_time: datetime | None = None
    state: State
    conditions: Conditions
    grant_controls: GrantControls | None = None
    session_controls: SessionControls | None = None

    @cached_property
    def grant_words(self) -> tuple[str, ...]:
        """Its grant controls as a sign-in log names them."""
        controls = self.grant_controls.controls if self.grant_controls else ()
        return tuple(GRANT_WORDS.get(control, control) for control in controls)

    @cached_property
    def session_words(self) -> tuple[str, ...]:
        """Its session controls as a sign-in log names them."""
        session = self.session_controls or SessionControls()
        controls = {
            "SignInFrequency": session.sign_in_frequency,
            "PersistentBrowser": session.persistent_browser,
            "ApplicationEnforcedRestrictions": session.application_enforced_restrictions,
            "CloudAppSecurity": session.cloud_app_security,
            "SecureSignInSession": session.secure_sign_in_session,
        }
        return tuple(word for word, control in controls.items() if control and control.is_enabled)

    @cached_property
    def controls(self) -> str:
        """All that it asks, as one text: policies that ask the same have the same."""
        return repr((self.grant_controls, self.session_controls))


class Strength(Struct, frozen=True, kw_only=True, rename="camel", dict=True):
    """The combinations of methods that a policy accepts; each is a comma-joined text (`password,sms`)."""

    id: str
    display_name: str
    description: str | None = None
    policy_type: Literal["builtIn", "custom"] = "custom"
    requirements_satisfied: Literal["mfa", "none"] = "mfa"
    allowed_combinations: tuple[str, ...] = ()

    @cached_property
    def combinations(self) -> tuple[frozenset[str], ...]:
        """Each combination as the set of its methods."""
        return tuple(frozenset(words.split(",")) for words in self.allowed_combinations)


PHISHING_RESISTANT_METHODS = ("windowsHelloForBusiness", "fido2", "x509CertificateMultiFactor")
PASSWORDLESS_METHODS = (*PHISHING_RESISTANT_METHODS, "deviceBasedPush")

BUILT_IN_STRENGTHS = {
    strength.id: strength
    for strength in (
        Strength(
            id="00000000-0000-0000-0000-000000000002",
            display_name="Multifactor authentication",
            description="Combinations of methods that are strong together. An e-mail code is in none of them.",
            policy_type="builtIn",
            allowed_combinations=(
                *PASSWORDLESS_METHODS,
                "temporaryAccessPassOneTime",
                "temporaryAccessPassMultiUse",
                "password,microsoftAuthenticatorPush",
                "password,softwareOath",
                "password,hardwareOath",
                "password,sms",
                "password,voice",
                "federatedMultiFactor",
                "microsoftAuthenticatorPush,federatedSingleFactor",
                "softwareOath,federatedSingleFactor",
                "hardwareOath,federatedSingleFactor",
                "sms,federatedSingleFactor",
                "voice,federatedSingleFactor",
            ),
        ),
        Strength(
            id="00000000-0000-0000-0000-000000000003",
            display_name="Passwordless MFA",
            description="Methods that are strong by themselves and need no password.",
            policy_type="builtIn",
            allowed_combinations=PASSWORDLESS_METHODS,
        ),
        Strength(
            id="00000000-0000-0000-0000-000000000004",
            display_name="Phishing-resistant MFA",
            description="Methods whose proof cannot be carried to another site.",
            policy_type="builtIn",
            allowed_combinations=PHISHING_RESISTANT_METHODS,
        ),
    )
}
"""The strengths every tenant has; they cannot be changed."""


# Named locations. ------------------------------------------------------------------------------------


class IPv4Range(
    Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    tag_field="@odata.type",
    tag="#microsoft.graph.iPv4CidrRange",
):
    cidr_address: str


class IPv6Range(
    Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    tag_field="@odata.type",
    tag="#microsoft.graph.iPv6CidrRange",
):
    cidr_address: str


class IpLocation(
    Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    dict=True,
    tag_field="@odata.type",
    tag="#microsoft.graph.ipNamedLocation",
):
    """A place known by its addresses."""

    id: str = ""
    display_name: str
    created_date_time: datetime | None = None
    modified_date_time: datetime | None = None
    is_trusted: bool = False
    ip_ranges: tuple[IPv4Range | IPv6Range, ...] = ()

    @cached_property
    def spans(self) -> dict[int, tuple[list[int], list[int]]]:
        """IP version → where each range starts, and where it and all before it end: for search by halves."""
        networks = [ip_network(r.cidr_address) for r in self.ip_ranges]
        spans: dict[int, tuple[list[int], list[int]]] = {4: ([], []), 6: ([], [])}
        for first, last, version in sorted(
            (int(n.network_address), int(n.broadcast_address), n.version) for n in networks
        ):
            starts, ends = spans[version]
            starts.append(first)
            ends.append(max(last, ends[-1]) if ends else last)
        return spans

    def contains(self, address: IPv4Address | IPv6Address | None) -> bool:
        """True when the address lies in one of the ranges; an unknown address lies nowhere."""
        if address is None:
            return False
        starts, ends = self.spans[address.version]
        before = bisect_right(starts, int(address))
        return before > 0 and int(address) <= ends[before - 1]


class CountryLocation(
    Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    tag_field="@odata.type",
    tag="#microsoft.graph.countryNamedLocation",
):
    """A place known by its countries. It is never trusted."""

    id: str = ""
    display_name: str
    created_date_time: datetime | None = None
    modified_date_time: datetime | None = None
    countries_and_regions: tuple[str, ...] = ()
    country_lookup_method: Literal["clientIpAddress"] = "clientIpAddress"
    include_unknown_countries_and_regions: bool = False

    def contains(self, country: str | None) -> bool:
        """True when the country is listed; an unknown country is inside only when the location says so."""
        if country is None:
            return self.include_unknown_countries_and_regions
        return country in self.countries_and_regions


NamedLocation = IpLocation | CountryLocation


class AuthenticationContext(Struct, frozen=True, kw_only=True, rename="camel"):
    """A name by which APIs ask for more (section 7)."""

    id: str
    """`c1` to `c99`."""
    display_name: str = ""
    description: str = ""
    is_available: bool = True


# What a decision is made from. -----------------------------------------------------------------------


class Person(Struct, frozen=True, kw_only=True):
    """What policies may know of a subject; read afresh for every decision."""

    id: str
    groups: frozenset[str] = frozenset()
    """Nested ones counted."""
    roles: frozenset[str] = frozenset()
    """Directory roles; customers hold none."""
    guest: bool = False
    risk: RiskLevel = "hidden"
    """Of the account."""
    has_leaked_password: bool = False
    """The first factor of this sign-in is a password that is known from a leak (THR-06)."""
    waits_after_reset: bool = False
    """No code is a second factor for now: the one that reset the password may have come to the same phone."""
    created_at: datetime
    sign_in_place: str | None = None
    """The mailbox of the sign-in address (`Identifier.place`)."""


class Settings(Struct, frozen=True, kw_only=True):
    """What a tenant may set about deciding; the defaults are the strict ends."""

    baseline_scopes: Literal["enforce", "legacy"] = "enforce"
    """`legacy`: requests for baseline scopes only escape each policy for all resources that excludes one."""
    jit_when_methods_disabled: bool = False
    """Methods that an administrator has switched off do not keep their owner from registering another."""


class Context(Struct, frozen=True, kw_only=True):
    """
    One moment of one attempt: all that a decision may depend on beside the policies.

    What the client says it can do is not in it: that may choose how a requirement is shown, never whether it
    holds (FLOW-10).
    """

    now: datetime
    kind: Literal["initial", "refresh", "user_action", "client"] = "initial"
    """`client`: a client acts for itself (client credentials); the only kind without a person."""
    purpose: Purpose = Purpose.SIGN_IN
    user_action: str = REGISTER_SECURITY_INFO
    """Which action, when `kind` is `user_action`."""
    person: Person | None
    client: Client
    demand: Demand
    evidence: tuple[Evidence, ...] = ()
    """In the order it was given. The proof of a method enrolled in this flow is of part `second`."""
    enrolled: bool = False
    """A method was registered in this flow; not under risk, though (section 10)."""
    authenticators: tuple[Authenticator, ...] = ()
    """The subject's active ones."""
    methods: Mapping[Kind, MethodSettings] = field(default_factory=dict)
    """A kind that is missing is not enabled."""
    client_app: ClientApp = "mobileAppsAndDesktopClients"
    platform: str = "unknown"
    address: str = ""
    """Of the socket's peer, or what a trusted proxy says of it; empty when unknown."""
    country: str | None = None
    transfer_method: Literal["none", "deviceCodeFlow", "authenticationTransfer"] = "none"
    sign_in_risk: RiskLevel = "hidden"
    """Of this attempt."""
    locations: Mapping[str, NamedLocation] = field(default_factory=dict)
    strengths: Mapping[str, Strength] = field(default_factory=dict)
    """The tenant's own; the built-in ones need not be given."""
    security_defaults: bool = False
    wants_acrs: bool = False
    """The resource opted in to the claim `acrs`: contexts already satisfied are named unasked."""
    settings: Settings = field(default_factory=Settings)


# What a decision says. -------------------------------------------------------------------------------

Outcome = Literal["allow", "block", "deny", "reauth", "mfa", "register", "password_change", "no_method"]
Result = Literal[
    "success",
    "failure",
    "notApplied",
    "notEnabled",
    "unknown",
    "reportOnlySuccess",
    "reportOnlyFailure",
    "reportOnlyNotApplied",
    "reportOnlyInterrupted",
]


class Applied(Struct, frozen=True, array_like=True, gc=False):
    """What became of one policy (section 14). A list where it is kept: a log holds one for every policy."""

    policy: str
    name: str
    state: State
    result: Result
    because: str
    """
    Not applied: the first condition that did not hold, in What-If's word (`users`, `location` …).
    Applied: what it asked for (`mfa`, `block`, `signInFrequency` …), empty for nothing. Unknown: the fault.
    """
    grant_controls: tuple[str, ...] = ()
    session_controls: tuple[str, ...] = ()


class Session(Struct, frozen=True, kw_only=True):
    """The session controls in force, of all applying policies together."""

    sign_in_frequency: timedelta | None = None
    """The shortest; every time is five minutes."""
    persistent_browser: Literal["always", "never"] | None = None


class Decision(Struct, frozen=True, kw_only=True):
    """What the policies want, and why."""

    outcome: Outcome
    reason: Reason | None = None
    """Why the attempt ends here; None while it may go on (`allow`, and `mfa` and `register` within a sign-in)."""
    because: str
    """One sentence for the person. Names no policy: `trace` does, for administrators."""
    usable: tuple[Authenticator, ...] = ()
    """`mfa`: the second factors that will do; SMS before e-mail, then the oldest first. None: only a passkey will."""
    passkeys: tuple[Authenticator, ...] = ()
    """`mfa`: the passkeys that will do, where the app knows how to ask for them; the oldest first."""
    registrable: tuple[Kind, ...] = ()
    """`register`: the kinds that may be enrolled; SMS before e-mail."""
    enrolment_places: Literal["any", "sign_in_address"] = "sign_in_address"
    """Where a method may be enrolled (ENR-02)."""
    spent_places: frozenset[str] = frozenset()
    """Mailboxes and numbers that have counted in this flow and cannot count again (FLOW-07)."""
    requires_mfa: bool = False
    """Some policy rests on more than one factor, met or not (`multiFactorAuthentication` in the log)."""
    acrs: tuple[str, ...] = ()
    """Authentication contexts for the access token."""
    session: Session = field(default_factory=Session)
    trace: tuple[Applied, ...] = ()
    """One entry for every policy; empty when nothing was evaluated, because no first factor was proven."""

    def is_open(self, kind: Kind, target: Identifier, sign_in_address: Identifier | None) -> bool:
        """
        True when this mailbox or number may be enrolled now.

        Source: conditional-access 6.2 `open(m)`; ENR-02, FLOW-07.
        """
        if kind not in self.registrable or target.place in self.spent_places:
            return False
        if self.enrolment_places == "any":
            return True
        return sign_in_address is not None and target.place == sign_in_address.place
