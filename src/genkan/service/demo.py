"""
The demo tenant of development mode: two apps, one API, an admin client, one policy.

Data only. Its ids are a contract with other teams' tests and never change.
"""

from __future__ import annotations

from hashlib import sha256

from genkan.engine.messages import Directory
from genkan.model import Attribute, Client, Kind, MethodSettings, Resource, Tenant, UserFlow
from genkan.policy.model import Applications, Conditions, GrantControls, Policy, Users

TENANT = "dev"
TENANT_ID = "aaaaaaaa-0000-4000-8000-000000000001"
OTP_APP = "aaaaaaaa-0000-4000-8000-0000000000a1"
PASSWORD_APP = "aaaaaaaa-0000-4000-8000-0000000000a2"
API = "aaaaaaaa-0000-4000-8000-0000000000b1"
API_URI = "api://genkan-demo"
API_SCOPE = f"{API_URI}/Things.Read"
ADMIN = "aaaaaaaa-0000-4000-8000-0000000000c1"
POLICY = "aaaaaaaa-0000-4000-8000-0000000000d1"

ANY_LOCALHOST = ("http://localhost", "https://localhost")

ADMIN_ROLES = (
    *(
        f"{kind}.{access}.All"
        for kind in (
            "Application",
            "AuthenticationContext",
            "CustomAuthenticationExtension",
            "Directory",
            "EventListener",
            "Group",
            "GroupMember",
            "IdentityRiskyUser",
            "User",
            "UserAuthenticationMethod",
        )
        for access in ("Read", "ReadWrite")
    ),
    "AuditLog.Read.All",
    "IdentityRiskEvent.Read.All",
    "Policy.Read.All",
    "Policy.Read.ConditionalAccess",
    "Policy.ReadWrite.AuthenticationMethod",
    "Policy.ReadWrite.ConditionalAccess",
    "Policy.ReadWrite.SecurityDefaults",
    "User.RevokeSessions.All",
)
"""Every application permission that the administration API knows."""


def directory(admin_secret: str) -> Directory:
    """The tenant as it is seeded, and as a reset returns it."""
    apps = (
        Client(
            id=OTP_APP,
            name="Demo app with e-mail codes",
            user_flow=UserFlow(first_factor=Kind.EMAIL_OTP),
            origins=ANY_LOCALHOST,
            scopes=(API_SCOPE,),
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
            scopes=(API_SCOPE,),
            single_page=True,
        ),
        Client(
            id=ADMIN,
            name="Demo administration client",
            kind="confidential",
            native=False,
            secret_digest=sha256(admin_secret.encode()).digest(),
            app_roles=ADMIN_ROLES,
        ),
    )
    api = Resource(id=API, name="Demo API", uri=API_URI, scopes=("Things.Read",))
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
        ),
        methods={Kind.EMAIL_OTP: MethodSettings(), Kind.SMS_OTP: MethodSettings()},
    )
