"""
Applications: registrations, their secrets and certificates, and what they may do.

An application is the model's `Client`, a `Resource` of the same id where it offers an API, or both. Its object id and
that of its service principal follow from its app id, so nothing can drift apart. A secret is shown once.
Nobody gives an application more power than they have: its credentials can be changed, and roles be granted, only by
whoever holds every role that this would open. Source: admin-graph-api 5.3; ADM-04, ADM-08.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from hashlib import sha256
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid5

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from genkan import identifiers
from genkan.engine.approvals import Control
from genkan.engine.messages import Directory, Effect, PutDocument, RemoveDocument
from genkan.model import (
    AppRole,
    Client,
    ClientCertificate,
    ClientSecret,
    OptionalClaim,
    RedirectUris,
    Registration,
    Resource,
)
from genkan.service.admin import extensions, flows
from genkan.service.admin.door import (
    SECRET,
    Act,
    Actor,
    Done,
    Door,
    Refusal,
    Target,
    control,
    current,
    differences,
    entropy,
    invalid,
    missing,
)
from genkan.service.ports import View

ADD = Act("Add application", "ApplicationManagement", "Add", "Application")
UPDATE = Act("Update application", "ApplicationManagement", "Update", "Application")
DELETE = Act("Delete application", "ApplicationManagement", "Delete", "Application")
CREDENTIALS = Act(
    "Update application – Certificates and secrets management",
    "ApplicationManagement",
    "Update",
    "Application",
)
GRANT = Act(
    "Add app role assignment to service principal", "ApplicationManagement", "Assign", "ServicePrincipal"
)
WITHDRAW = Act(
    "Remove app role assignment from service principal",
    "ApplicationManagement",
    "Unassign",
    "ServicePrincipal",
)

PERMISSIONS = (
    *(
        f"{kind}.{access}.All"
        for kind in (
            "Application",
            "Approval",
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
    "CustomAuthenticationExtension.Receive.Payload",
    "IdentityRiskEvent.Read.All",
    "Policy.Read.All",
    "Policy.Read.ConditionalAccess",
    "Policy.ReadWrite.AuthenticationMethod",
    "Policy.ReadWrite.ConditionalAccess",
    "Policy.ReadWrite.SecurityDefaults",
    "SharedSignals.Receive",
    "User.RevokeSessions.All",
)
"""Every application permission that the administration API knows."""

APPROVE = "Approval.ReadWrite.All"
"""Who holds it may be the second administrator."""

OBJECTS = UUID("6f6a1c52-6b0d-5f0e-9a56-3b3f2f6f7a10")
"""The name space of object ids."""
LONGEST_NAME, LONGEST_NOTES = 256, 1024
MOST_REDIRECTS, MOST_SCOPES, MOST_ROLES, MOST_TAGS, MOST_SECRETS, MOST_CERTIFICATES = (
    100,
    1000,
    1000,
    50,
    20,
    20,
)
SECRET_BYTES = 32
SECRET_LIFETIME, LONGEST_SECRET_LIFETIME = timedelta(days=730), timedelta(days=3650)
HINT = 3
"""Characters of a secret that are kept to tell it by."""


class Application(Struct, frozen=True, kw_only=True):
    """An application as an administrator sees it."""

    id: str
    """Its app id, the client id of the wire."""
    client: Client | None
    resource: Resource | None

    @property
    def object_id(self) -> str:
        return _object_id("application", self.id)

    @property
    def principal_id(self) -> str:
        return _object_id("servicePrincipal", self.id)

    @property
    def name(self) -> str:
        return self.client.name if self.client else self.resource.name if self.resource else ""


class ApplicationChange(Struct, frozen=True, kw_only=True):
    """What is to be changed, or of a new one what it is; a member that is UNSET stays as it is."""

    name: str | UnsetType = UNSET
    is_public: bool | UnsetType = UNSET
    is_native: bool | UnsetType = UNSET
    redirect_uris: RedirectUris | UnsetType = UNSET
    uris: tuple[str, ...] | UnsetType = UNSET
    """The identifier of the API it offers: none, or one."""
    scopes: tuple[str, ...] | UnsetType = UNSET
    """Names of the scopes of that API."""
    api: str | UnsetType = UNSET
    """The same with all that Graph says of each, as a JSON list (`oauth2PermissionScopes`)."""
    wants: str | UnsetType = UNSET
    """What it may ask for, as a JSON list (`requiredResourceAccess`)."""
    roles: tuple[AppRole, ...] | UnsetType = UNSET
    notes: str | UnsetType = UNSET
    tags: tuple[str, ...] | UnsetType = UNSET
    certificates: tuple[ClientCertificate, ...] | UnsetType = UNSET
    regions_opened: tuple[str, ...] | UnsetType = UNSET
    """Calling codes that its text messages go to although they are closed by default."""
    regions_closed: tuple[str, ...] | UnsetType = UNSET
    """Calling codes that they do not go to."""
    networks: tuple[str, ...] | UnsetType = UNSET
    """Whence it may act for itself; by the operator alone, for whoever could change it here could lift it."""
    id_token_claims: tuple[OptionalClaim, ...] | UnsetType = UNSET
    """What its ID tokens say beside the usual (`optionalClaims.idToken`)."""
    access_token_claims: tuple[OptionalClaim, ...] | UnsetType = UNSET
    """The same of access tokens for the API that it offers (`optionalClaims.accessToken`)."""


class PermissionScope(Struct, frozen=True, kw_only=True, rename="camel"):
    """A scope of an API, in Graph's words."""

    id: str
    value: str
    admin_consent_display_name: str | None = None
    admin_consent_description: str | None = None
    user_consent_display_name: str | None = None
    user_consent_description: str | None = None
    is_enabled: bool = True
    type: str = "User"


class _Access(Struct, frozen=True, kw_only=True):
    id: str
    type: str = "Scope"


class _Wanted(Struct, frozen=True, kw_only=True, rename="camel"):
    resource_app_id: str
    resource_access: tuple[_Access, ...] = ()


_permission_scopes = msgspec.json.Decoder(tuple[PermissionScope, ...]).decode
_wanted = msgspec.json.Decoder(tuple[_Wanted, ...]).decode


class NewSecret(Struct, frozen=True, kw_only=True):
    """A secret just made. Its text is nowhere else."""

    kept: ClientSecret
    text: str

    def __repr__(self) -> str:
        return "NewSecret(…)"


# Finding. -----------------------------------------------------------------------------------------------------------


def _object_id(kind: str, app_id: str) -> str:
    return str(uuid5(OBJECTS, f"{kind}/{app_id}"))


def all_of(directory: Directory) -> tuple[Application, ...]:
    """Return every application of a tenant, by id."""
    ids = sorted({*directory.clients, *directory.resources})
    return tuple(
        Application(id=id, client=directory.clients.get(id), resource=directory.resources.get(id))
        for id in ids
    )


def by_app_id(directory: Directory, app_id: str) -> Application | None:
    """Return the application of this app id."""
    client, resource = directory.clients.get(app_id), directory.resources.get(app_id)
    return Application(id=app_id, client=client, resource=resource) if client or resource else None


def by_object_id(directory: Directory, id: str) -> Application | None:
    """Return the application that has this object id."""
    return next((a for a in all_of(directory) if a.object_id == id), None)


def principal_of(directory: Directory, id: str) -> Application | None:
    """Return the application whose service principal has this id."""
    return next((a for a in all_of(directory) if a.principal_id == id), None)


def offered(directory: Directory) -> tuple[Application, ...]:
    """Return every application that offers an API: the built-in one too, which nobody can change."""
    return tuple(
        Application(id=api.id, client=directory.clients.get(api.id), resource=api)
        for api in directory.apis.values()
    )


def scopes_of(app: Application) -> tuple[PermissionScope, ...]:
    """Return the scopes of the API that an application offers, with their ids."""
    if app.resource is None:
        return ()
    text = app.client.registration.api if app.client else "[]"
    said = {scope.value: scope for scope in _permission_scopes(text)}
    return tuple(
        said.get(name) or PermissionScope(id=_object_id(f"scope/{name}", app.id), value=name)
        for name in app.resource.scopes
    )


def wants_of(app: Application, directory: Directory) -> str:
    """Return what an application may ask for, as `requiredResourceAccess` says it."""
    if app.client is None:
        return "[]"
    if app.client.registration.wants != "[]":
        return app.client.registration.wants
    wanted = []
    for api in offered(directory):
        access = [
            {"id": scope.id, "type": "Scope"}
            for scope in scopes_of(api)
            if api.resource is not None and f"{api.resource.uri}/{scope.value}" in app.client.scopes
        ]
        if access:
            wanted.append({"resourceAppId": api.id, "resourceAccess": access})
    return msgspec.json.encode(wanted).decode()


# The acts. ----------------------------------------------------------------------------------------------------------


async def add(door: Door, actor: Actor, new: ApplicationChange) -> Application | Refusal:
    """Register an application. It is confidential and not native unless it says so."""
    app_id = entropy().guid("application")

    def decide(view: View) -> Done[Application] | Refusal:
        client = Client(
            id=app_id,
            name="",
            kind="confidential",
            native=False,
            registration=Registration(created_at=view.now),
        )
        changed = _changed(Application(id=app_id, client=client, resource=None), new, view.directory)
        if isinstance(changed, Refusal):
            return changed
        target = Target(id=changed.object_id, name=changed.name, changes=differences(None, _seen(changed)))
        return Done(changed, target, _puts(changed))

    return await door.act(actor, ADD, decide)


async def change(
    door: Door, actor: Actor, app_id: str, change: ApplicationChange, expected: str | None = None
) -> Application | Refusal:
    """Change an application. `expected` is the `version` of it that the caller has seen."""

    def decide(view: View) -> Done[Application] | Refusal:
        found = current("application", app_id, by_app_id(view.directory, app_id), expected)
        if isinstance(found, Refusal):
            return found
        changed = _changed(found, change, view.directory)
        if isinstance(changed, Refusal):
            return changed
        two = None
        if not isinstance(change.certificates, UnsetType) and changed.client and found.client:
            if (weaker := _weaker(actor, found.client.app_roles)) is not None:
                return weaker
            before, after = found.client.certificates, changed.client.certificates
            if {c.id for c in before} - {c.id for c in after}:
                changed = replace(changed, client=replace(changed.client, epoch=changed.client.epoch + 1))
            fresh = sorted(
                {sha256(c.der).hexdigest() for c in after} - {sha256(c.der).hexdigest() for c in before}
            )
            if fresh:
                proves = Target(
                    id=found.object_id, name=found.name, changes=(("keyCredentials", None, fresh),)
                )
                two = _by_two(actor, found.client, CREDENTIALS, proves)
        effects: list[Effect] = list(_puts(changed))
        if found.resource is not None and changed.resource is None:
            effects.append(RemoveDocument("resource", app_id))
        target = Target(
            id=changed.object_id, name=changed.name, changes=differences(_seen(found), _seen(changed))
        )
        return Done(changed, target, tuple(effects), control=two)

    return await door.act(actor, UPDATE, decide, _object_id("application", app_id))


async def remove(door: Door, actor: Actor, app_id: str, expected: str | None = None) -> Application | Refusal:
    """Delete an application and its service principal; nobody signs in to it any more."""

    def decide(view: View) -> Done[Application] | Refusal:
        found = current("application", app_id, by_app_id(view.directory, app_id), expected)
        if isinstance(found, Refusal):
            return found
        if found.client and (weaker := _weaker(actor, found.client.app_roles)) is not None:
            return weaker
        effects: list[Effect] = []
        if found.client is not None:
            effects.append(RemoveDocument("client", app_id))
        if found.resource is not None:
            effects.append(RemoveDocument("resource", app_id))
        effects += (*flows.without(view.directory, app_id), *extensions.without(view.directory, app_id))
        target = Target(id=found.object_id, name=found.name, changes=differences(_seen(found), None))
        return Done(found, target, tuple(effects))

    return await door.act(actor, DELETE, decide, _object_id("application", app_id))


async def add_secret(
    door: Door,
    actor: Actor,
    app_id: str,
    name: str = "",
    *,
    starts_at: datetime | None = None,
    expires_at: datetime | None = None,
) -> NewSecret | Refusal:
    """Make a secret for an application: 256 random bits, for two years unless said otherwise."""
    text = secrets.token_urlsafe(SECRET_BYTES)
    id = entropy().guid("secret")

    def decide(view: View) -> Done[NewSecret] | Refusal:
        found = by_app_id(view.directory, app_id)
        if found is None or found.client is None:
            return missing("application", app_id)
        if (weaker := _weaker(actor, found.client.app_roles)) is not None:
            return weaker
        if len(found.client.secrets) >= MOST_SECRETS:
            return invalid(f"An application has {MOST_SECRETS} secrets at most.", "passwordCredentials")
        begins = starts_at or view.now
        ends = expires_at or begins + SECRET_LIFETIME
        if not begins < ends <= begins + LONGEST_SECRET_LIFETIME or len(name) > LONGEST_NAME:
            return invalid("A secret ends after it begins, within ten years.", "endDateTime")
        kept = ClientSecret(
            id=id,
            name=name,
            digest=sha256(text.encode()).digest(),
            hint=text[:HINT],
            starts_at=begins,
            expires_at=ends,
        )
        changed = replace(found.client, secrets=(*found.client.secrets, kept))
        target = Target(id=found.object_id, name=found.name, changes=(("passwordCredentials", None, id),))
        proves = Target(id=found.object_id, name=found.name, changes=(("passwordCredentials", None, SECRET),))
        two = _by_two(actor, found.client, CREDENTIALS, proves)
        return Done(NewSecret(kept=kept, text=text), target, (PutDocument(changed),), control=two)

    return await door.act(actor, CREDENTIALS, decide, _object_id("application", app_id))


async def remove_secret(door: Door, actor: Actor, app_id: str, secret: str) -> Application | Refusal:
    """Take a secret away. Administration tokens that the application holds are dead at once."""

    def decide(view: View) -> Done[Application] | Refusal:
        found = by_app_id(view.directory, app_id)
        if found is None or found.client is None:
            return missing("application", app_id)
        if (weaker := _weaker(actor, found.client.app_roles)) is not None:
            return weaker
        kept = tuple(s for s in found.client.secrets if s.id != secret)
        if len(kept) == len(found.client.secrets):
            return invalid("No password credential found with this keyId.", "keyId")
        changed = replace(found.client, secrets=kept, epoch=found.client.epoch + 1)
        target = Target(id=found.object_id, name=found.name, changes=(("passwordCredentials", secret, None),))
        return Done(replace(found, client=changed), target, (PutDocument(changed),))

    return await door.act(actor, CREDENTIALS, decide, _object_id("application", app_id))


async def grant_role(door: Door, actor: Actor, app_id: str, role: str) -> Application | Refusal:
    """Let an application do what a permission of the administration API allows."""

    def decide(view: View) -> Done[Application] | Refusal:
        found = by_app_id(view.directory, app_id)
        if found is None or found.client is None:
            return missing("service principal", app_id)
        if (weaker := _weaker(actor, (role,))) is not None:
            return weaker
        if role in found.client.app_roles:
            return invalid("The permission is granted already.", "appRoleId")
        if found.client.kind == "public":
            return invalid("A public client cannot hold permissions of its own.", "principalId")
        changed = replace(found.client, app_roles=(*found.client.app_roles, role))
        target = Target(id=found.principal_id, name=found.name, changes=(("appRoles", None, role),))
        two = control("approvers", GRANT, target) if role == APPROVE else None
        return Done(replace(found, client=changed), target, (PutDocument(changed),), control=two)

    return await door.act(actor, GRANT, decide, _object_id("servicePrincipal", app_id))


async def withdraw_role(door: Door, actor: Actor, app_id: str, role: str) -> Application | Refusal:
    """Take a permission from an application; the tokens it holds are dead at once."""

    def decide(view: View) -> Done[Application] | Refusal:
        found = by_app_id(view.directory, app_id)
        if found is None or found.client is None or role not in found.client.app_roles:
            return missing("app role assignment", role)
        if (weaker := _weaker(actor, found.client.app_roles)) is not None:
            return weaker
        kept = tuple(r for r in found.client.app_roles if r != role)
        changed = replace(found.client, app_roles=kept, epoch=found.client.epoch + 1)
        target = Target(id=found.principal_id, name=found.name, changes=(("appRoles", role, None),))
        return Done(replace(found, client=changed), target, (PutDocument(changed),))

    return await door.act(actor, WITHDRAW, decide, _object_id("servicePrincipal", app_id))


def approvers(directory: Directory) -> tuple[Client, ...]:
    """Return the applications that may be the second administrator."""
    return tuple(client for client in directory.clients.values() if APPROVE in client.app_roles)


def _by_two(actor: Actor, client: Client | None, act: Act, target: Target) -> Control | None:
    """Whoever gives another application that approves a way to prove itself could act as a second administrator."""
    if client is None or APPROVE not in client.app_roles or actor.id == client.id:
        return None
    return control("approvers", act, target)


def _weaker(actor: Actor, roles: tuple[str, ...]) -> Refusal | None:
    """Refuse where somebody would come to more power than they have, by way of another application."""
    if actor.kind == "operator" or actor.roles.issuperset(roles):
        return None
    return Refusal(
        why="forbidden",
        text="This application holds permissions that you do not hold, so you cannot change it.",
    )


# What an application may be. ----------------------------------------------------------------------------------------


def _changed(found: Application, change: ApplicationChange, directory: Directory) -> Application | Refusal:
    client = found.client or Client(id=found.id, name=found.name, kind="confidential", native=False)
    given: dict[str, Any] = {}
    registration = client.registration
    if not isinstance(change.name, UnsetType):
        given["name"] = change.name.strip()
    if not isinstance(change.is_public, UnsetType):
        given["kind"] = "public" if change.is_public else "confidential"
        if change.is_public and client.app_roles:
            return invalid(
                "It holds permissions of its own, so it cannot be public.", "isFallbackPublicClient"
            )
    if not isinstance(change.is_native, UnsetType):
        given["native"] = change.is_native
    if not isinstance(change.wants, UnsetType) and change.wants != wants_of(found, directory):
        resolved = _asks_for(change.wants, directory)
        if isinstance(resolved, Refusal):
            return resolved
        given["scopes"] = resolved
    for name in ("regions_opened", "regions_closed"):
        regions = getattr(change, name)
        if not isinstance(regions, UnsetType):
            given[name] = tuple(dict.fromkeys(regions))
    opened = given.get("regions_opened", client.regions_opened)
    closed = given.get("regions_closed", client.regions_closed)
    if not all(map(identifiers.is_region, (*opened, *closed))) or set(opened) & set(closed):
        return invalid("A region is a calling code, as 44, and is opened or closed, not both.", "smsOptions")
    if not isinstance(change.networks, UnsetType):
        if not all(map(_is_network, change.networks)):
            return invalid("A network is written as 203.0.113.0/24 or 2001:db8::/48.", "networks")
        given["networks"] = change.networks
    if not isinstance(change.id_token_claims, UnsetType):
        given["optional_claims"] = change.id_token_claims
    if not isinstance(change.certificates, UnsetType):
        given["certificates"] = change.certificates
    if not isinstance(change.redirect_uris, UnsetType):
        uris = change.redirect_uris
        every = (*uris.public, *uris.single_page, *uris.web)
        if len(every) > MOST_REDIRECTS or not all(map(_is_uri, every)):
            return invalid(
                f"There are {MOST_REDIRECTS} redirect URIs at most, absolute ones.", "redirectUris"
            )
        registration = replace(registration, redirect_uris=uris)
        if uris.single_page != client.registration.redirect_uris.single_page:
            given["origins"] = tuple(dict.fromkeys(map(_origin, uris.single_page)))
            given["single_page"] = bool(uris.single_page)
    for name in ("wants", "api", "roles", "notes", "tags"):
        value = getattr(change, name)
        if not isinstance(value, UnsetType):
            registration = replace(registration, **{name: value})
    client = replace(client, registration=registration, **given)
    objection = unfit(client)
    if objection is not None:
        return objection
    resource = _resource(found, client, change, directory)
    if isinstance(resource, Refusal):
        return resource
    return Application(id=found.id, client=client, resource=resource)


def unfit(client: Client) -> Refusal | None:
    """Say what no application may be."""
    registration = client.registration
    if not 0 < len(client.name) <= LONGEST_NAME or any(ord(c) < 32 for c in client.name):
        return invalid(f"An application has a displayName of 1 to {LONGEST_NAME} characters.", "displayName")
    if len(registration.notes) > LONGEST_NOTES:
        return invalid(f"notes have {LONGEST_NOTES} characters at most.", "notes")
    if len(registration.tags) > MOST_TAGS or any(len(t) > LONGEST_NAME for t in registration.tags):
        return invalid(f"There are {MOST_TAGS} tags at most.", "tags")
    roles = registration.roles
    if len(roles) > MOST_ROLES or len({r.id for r in roles}) < len(roles):
        return invalid(f"There are {MOST_ROLES} app roles at most, each with an id of its own.", "appRoles")
    if len(client.certificates) > MOST_CERTIFICATES:
        return invalid(f"There are {MOST_CERTIFICATES} certificates at most.", "keyCredentials")
    return None


def _resource(
    found: Application, client: Client, change: ApplicationChange, directory: Directory
) -> Resource | Refusal | None:
    """Return the API that an application offers; none where it has neither an identifier nor a scope."""
    before = found.resource
    uris = change.uris if not isinstance(change.uris, UnsetType) else (before.uri,) if before else ()
    scopes = change.scopes if not isinstance(change.scopes, UnsetType) else before.scopes if before else ()
    if not uris and not scopes:
        return None
    if len(uris) > 1:
        return invalid("An application has one identifierUri at most.", "identifierUris")
    uri = uris[0] if uris else f"api://{found.id}"
    if not _is_uri(uri) or len(uri) > 255:
        return invalid("An identifierUri is an absolute URI.", "identifierUris")
    if any(other.uri == uri and other.id != found.id for other in directory.apis.values()):
        return Refusal(
            why="taken", text="Another application has this identifierUri.", target="identifierUris"
        )
    if len(scopes) > MOST_SCOPES or len(set(scopes)) < len(scopes) or not all(map(_is_scope, scopes)):
        return invalid(f"There are {MOST_SCOPES} scopes at most, each with a name of its own.", "api")
    claims = before.optional_claims if before else ()
    if not isinstance(change.access_token_claims, UnsetType):
        claims = change.access_token_claims
    return Resource(id=found.id, name=client.name, uri=uri, scopes=scopes, optional_claims=claims)


def _asks_for(wants: str, directory: Directory) -> tuple[str, ...] | Refusal:
    """Return the scopes that `requiredResourceAccess` names. Those of APIs that are not here say nothing here."""
    try:
        wanted = _wanted(wants)
    except msgspec.ValidationError:
        return invalid("requiredResourceAccess is a list of APIs and their scopes.", "requiredResourceAccess")
    found: list[str] = []
    for api in wanted:
        app = next((a for a in offered(directory) if a.id == api.resource_app_id), None)
        if app is None or app.resource is None:
            continue
        ids = {access.id for access in api.resource_access if access.type == "Scope"}
        found += [f"{app.resource.uri}/{scope.value}" for scope in scopes_of(app) if scope.id in ids]
    return tuple(dict.fromkeys(found))


def _is_network(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


def _is_uri(text: str) -> bool:
    if len(text) > 2048 or not text.isprintable() or " " in text:
        return False
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme) and bool(parts.netloc or parts.path) and "*" not in parts.netloc


def _origin(uri: str) -> str:
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _is_scope(name: str) -> bool:
    return 0 < len(name) <= 120 and all(33 <= ord(c) <= 126 and c not in '"\\/' for c in name)


def _puts(app: Application) -> tuple[Effect, ...]:
    both = (app.client, app.resource)
    return tuple(PutDocument(document) for document in both if document is not None)


def _seen(app: Application) -> dict[str, Any]:
    """How the log sees an application."""
    client, resource = app.client, app.resource
    seen: dict[str, Any] = {}
    if client is not None:
        registration = client.registration
        seen |= {
            "displayName": client.name,
            "isFallbackPublicClient": client.kind == "public",
            "nativeAuthenticationApisEnabled": "all" if client.native else "none",
            "redirectUris": registration.redirect_uris,
            "requiredResourceAccess": registration.wants,
            "scopes": client.scopes,
            "optionalClaims.idToken": client.optional_claims,
            "networks": client.networks,
            "notes": registration.notes,
            "tags": registration.tags,
            "appRoles": [role.value for role in registration.roles],
            "keyCredentials": [certificate.id for certificate in client.certificates],
        }
    if resource is not None:
        seen |= {
            "identifierUris": [resource.uri],
            "oauth2PermissionScopes": resource.scopes,
            "optionalClaims.accessToken": resource.optional_claims,
        }
    return seen
