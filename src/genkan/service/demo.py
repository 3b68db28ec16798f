"""
The demo tenant of development mode: two apps, one API, an admin client, one policy that is enabled and three to try.

Data only. Its ids are a contract with other teams' tests and never change.
"""

from __future__ import annotations

from hashlib import sha256

from genkan.engine.messages import Directory
from genkan.model import (
    SECURITY_INFO_API,
    Attribute,
    Client,
    ClientSecret,
    Kind,
    MethodSettings,
    Resource,
    Tenant,
    UserFlow,
)
from genkan.policy.model import (
    Applications,
    AuthenticationContext,
    Conditions,
    CountryLocation,
    GrantControls,
    IpLocation,
    IPv4Range,
    Locations,
    Policy,
    Users,
)
from genkan.service.admin.applications import PERMISSIONS

TENANT = "dev"
TENANT_ID = "aaaaaaaa-0000-4000-8000-000000000001"
OTP_APP = "aaaaaaaa-0000-4000-8000-0000000000a1"
PASSWORD_APP = "aaaaaaaa-0000-4000-8000-0000000000a2"
API = "aaaaaaaa-0000-4000-8000-0000000000b1"
API_URI = "api://genkan-demo"
API_SCOPE = f"{API_URI}/Things.Read"
SECURITY_INFO_SCOPE = f"{SECURITY_INFO_API.uri}/{SECURITY_INFO_API.scopes[0]}"
ADMIN = "aaaaaaaa-0000-4000-8000-0000000000c1"
ADMIN_SECRET = "aaaaaaaa-0000-4000-8000-0000000000c2"
POLICY = "aaaaaaaa-0000-4000-8000-0000000000d1"
ABROAD = "aaaaaaaa-0000-4000-8000-0000000000d2"
STRANGE_NETWORK = "aaaaaaaa-0000-4000-8000-0000000000d3"
GIVING_AWAY = "aaaaaaaa-0000-4000-8000-0000000000d4"
CONTEXT = "c1"
HOME = "aaaaaaaa-0000-4000-8000-0000000000e1"
HOTEL = "aaaaaaaa-0000-4000-8000-0000000000e2"

ANY_LOCALHOST = ("http://localhost", "https://localhost")


def directory(admin_secret: str) -> Directory:
    """The tenant as it is seeded, and as a reset returns it."""
    apps = (
        Client(
            id=OTP_APP,
            name="Demo app with e-mail codes",
            user_flow=UserFlow(first_factor=Kind.EMAIL_OTP),
            origins=ANY_LOCALHOST,
            scopes=(API_SCOPE, SECURITY_INFO_SCOPE),
            single_page=True,
        ),
        Client(
            id=PASSWORD_APP,
            name="Demo app with passwords",
            user_flow=UserFlow(
                first_factor=Kind.PASSWORD,
                attributes=(
                    Attribute(name="displayName", required=True, max_length=256),
                    Attribute(name="city", max_length=128),
                ),
            ),
            origins=ANY_LOCALHOST,
            scopes=(API_SCOPE, SECURITY_INFO_SCOPE),
            single_page=True,
        ),
        Client(
            id=ADMIN,
            name="Demo administration client",
            kind="confidential",
            native=False,
            secrets=(
                ClientSecret(
                    id=ADMIN_SECRET,
                    name="Of development mode",
                    digest=sha256(admin_secret.encode()).digest(),
                    hint=admin_secret[:3],
                ),
            ),
            app_roles=PERMISSIONS,
        ),
    )
    api = Resource(id=API, name="Demo API", uri=API_URI, scopes=("Things.Read",), optional_claims=("xms_cc",))
    return Directory(
        tenant=Tenant(id=TENANT_ID, name=TENANT, aliases=(f"{TENANT}.onmicrosoft.com",)),
        clients={app.id: app for app in apps},
        resources={api.id: api},
        policies=(
            Policy(
                id=POLICY,
                display_name="The demo API needs a second factor",
                state="enabled",
                conditions=Conditions(
                    applications=Applications(include_applications=(API,)),
                    users=Users(include_users=("All",)),
                ),
                grant_controls=GrantControls(operator="OR", built_in_controls=("mfa",)),
            ),
            Policy(
                id=ABROAD,
                display_name="Signing in abroad needs a second factor",
                state="disabled",
                conditions=Conditions(
                    applications=Applications(include_applications=("All",)),
                    users=Users(include_users=("All",)),
                    locations=Locations(include_locations=("All",), exclude_locations=(HOME,)),
                ),
                grant_controls=GrantControls(operator="OR", built_in_controls=("mfa",)),
            ),
            Policy(
                id=STRANGE_NETWORK,
                display_name="The demo API is closed to the hotel network",
                state="enabledForReportingButNotEnforced",
                conditions=Conditions(
                    applications=Applications(include_applications=(API,)),
                    users=Users(include_users=("All",)),
                    locations=Locations(include_locations=(HOTEL,)),
                ),
                grant_controls=GrantControls(operator="OR", built_in_controls=("block",)),
            ),
            Policy(
                id=GIVING_AWAY,
                display_name="Giving something away needs a second factor",
                state="disabled",
                conditions=Conditions(
                    applications=Applications(include_authentication_context_class_references=(CONTEXT,)),
                    users=Users(include_users=("All",)),
                ),
                grant_controls=GrantControls(operator="OR", built_in_controls=("mfa",)),
            ),
        ),
        contexts={
            CONTEXT: AuthenticationContext(
                id=CONTEXT,
                display_name="Giving something away",
                description="What the demo API asks for before a thing changes hands.",
            )
        },
        locations={
            HOME: CountryLocation(
                id=HOME,
                display_name="Germany, and wherever nobody knows",
                countries_and_regions=("DE",),
                include_unknown_countries_and_regions=True,
            ),
            HOTEL: IpLocation(
                id=HOTEL,
                display_name="The hotel network",
                ip_ranges=(IPv4Range(cidr_address="192.0.2.128/25"),),
            ),
        },
        methods={Kind.EMAIL_OTP: MethodSettings(), Kind.SMS_OTP: MethodSettings()},
    )
