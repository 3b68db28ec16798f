"""
Applications and service principals, in Graph's words. Source: admin-graph-api 5.3.
"""

from __future__ import annotations

import base64
from typing import Any, get_args
from uuid import UUID, uuid4, uuid5

import msgspec
from msgspec import UNSET, UnsetType

from genkan.engine.messages import Directory
from genkan.exchange import Response, json_response
from genkan.model import AppRole, ClientCertificate, ClientSecret, OptionalClaim, RedirectUris
from genkan.service.admin import applications
from genkan.service.admin.applications import PERMISSIONS, Application, ApplicationChange, scopes_of, wants_of
from genkan.service.admin.door import version
from genkan.service.clients import read_certificate
from genkan.wire.graph import lists
from genkan.wire.graph.answers import bad, nothing_there, time
from genkan.wire.graph.api import DONE, Call, Route
from genkan.wire.graph.odata import Properties
from genkan.wire.graph.permissions import APPLICATIONS_READ, APPLICATIONS_WRITE
from genkan.wire.graph.reads import boolean, moment, object_of, objects, selected, text, texts, written

OF, PRINCIPALS = "applications", "servicePrincipals"

GRAPH = "00000003-0000-0000-c000-000000000000"
"""The app id of the administration API."""
ROLES = UUID("3d6f3c04-0f2f-5b0f-8f0a-1c9f8f1f4c55")
"""The name space of the ids of its roles."""

FILTERS: Properties = {
    "id": "text",
    "appId": "text",
    "displayName": "text",
    "createdDateTime": "time",
    "identifierUris": "texts",
    "tags": "texts",
    "signInAudience": "text",
}
ORDERS = frozenset({"displayName", "createdDateTime"})

WRITABLE = (
    "displayName",
    "isFallbackPublicClient",
    "nativeAuthenticationApisEnabled",
    "publicClient",
    "spa",
    "web",
    "identifierUris",
    "api",
    "requiredResourceAccess",
    "optionalClaims",
    "appRoles",
    "tags",
    "notes",
    "keyCredentials",
    "signInAudience",
)


# Shown. -------------------------------------------------------------------------------------------------------------


def shown(app: Application, directory: Directory) -> dict[str, Any]:
    """Return an application as it is shown."""
    client = app.client
    registration = client.registration if client else None
    uris = registration.redirect_uris if registration else RedirectUris()
    single_page = uris.single_page or (client.origins if client else ())
    return {
        "id": app.object_id,
        "appId": app.id,
        "createdDateTime": time(registration.created_at) if registration else None,
        "deletedDateTime": None,
        "displayName": app.name,
        "description": None,
        "notes": (registration.notes or None) if registration else None,
        "tags": list(registration.tags) if registration else [],
        "signInAudience": "AzureADMyOrg",
        "isFallbackPublicClient": client is not None and client.kind == "public",
        "nativeAuthenticationApisEnabled": "all" if client is not None and client.native else "none",
        "identifierUris": [app.resource.uri] if app.resource else [],
        "publicClient": {"redirectUris": list(uris.public)},
        "spa": {"redirectUris": list(single_page)},
        "web": {"redirectUris": list(uris.web), "homePageUrl": None, "logoutUrl": None},
        "api": {
            "requestedAccessTokenVersion": 2,
            "oauth2PermissionScopes": [msgspec.to_builtins(scope) for scope in scopes_of(app)],
        },
        "requiredResourceAccess": msgspec.json.decode(wants_of(app, directory)),
        "optionalClaims": _optional_claims(app),
        "appRoles": [_role(role) for role in registration.roles] if registration else [],
        "passwordCredentials": [_secret(secret) for secret in client.secrets] if client else [],
        "keyCredentials": [_certificate(c) for c in client.certificates] if client else [],
    }


def _optional_claims(app: Application) -> dict[str, Any] | None:
    """Those of access tokens belong to the API that the application offers, those of ID tokens to the client."""
    of_api = app.resource.optional_claims if app.resource else ()
    of_client = app.client.optional_claims if app.client else ()
    if not of_api and not of_client:
        return None
    parts = {"accessToken": of_api, "idToken": of_client, "saml2Token": ()}
    return {part: [_optional_claim(name) for name in names] for part, names in parts.items()}


def _optional_claim(name: OptionalClaim) -> dict[str, Any]:
    return {"name": name, "essential": False, "source": None, "additionalProperties": []}


def _role(role: AppRole) -> dict[str, Any]:
    return {
        "id": role.id,
        "value": role.value or None,
        "displayName": role.name,
        "description": role.description,
        "allowedMemberTypes": list(role.members),
        "isEnabled": role.is_enabled,
        "origin": "Application",
    }


def _secret(secret: ClientSecret) -> dict[str, Any]:
    return {
        "keyId": secret.id,
        "displayName": secret.name or None,
        "hint": secret.hint or None,
        "startDateTime": time(secret.starts_at),
        "endDateTime": time(secret.expires_at),
        "secretText": None,
        "customKeyIdentifier": None,
    }


def _certificate(certificate: ClientCertificate) -> dict[str, Any]:
    return {
        "keyId": certificate.id,
        "displayName": certificate.name or None,
        "startDateTime": time(certificate.starts_at),
        "endDateTime": time(certificate.expires_at),
        "type": "AsymmetricX509Cert",
        "usage": "Verify",
        "key": None,
        "customKeyIdentifier": None,
    }


def shown_principal(app: Application) -> dict[str, Any]:
    """Return the service principal of an application as it is shown."""
    client = app.client
    return {
        "id": app.principal_id,
        "appId": app.id,
        "appDisplayName": app.name,
        "displayName": app.name,
        "accountEnabled": True,
        "servicePrincipalType": "Application",
        "signInAudience": "AzureADMyOrg",
        "servicePrincipalNames": [app.id, *([app.resource.uri] if app.resource else [])],
        "tags": list(client.registration.tags) if client else [],
        "appRoles": [_role(role) for role in client.registration.roles] if client else [],
        "oauth2PermissionScopes": [msgspec.to_builtins(scope) for scope in scopes_of(app)],
    }


# Found. -------------------------------------------------------------------------------------------------------------


def find(call: Call) -> Application:
    """Return the application of the path, by its object id or its app id. Raises: `Fault`."""
    if "app_id" in call.params:
        word = call.params["app_id"].lower()
        found = applications.by_app_id(call.directory, word)
    else:
        word = call.params["id"].lower()
        found = applications.by_object_id(call.directory, word)
    if found is None:
        raise nothing_there(word)
    return found


def find_principal(call: Call) -> Application:
    """Return the application whose service principal the path names. Raises: `Fault`."""
    if "app_id" in call.params:
        return find(call)
    word = call.params["id"].lower()
    found = applications.principal_of(call.directory, word)
    if found is None:
        raise nothing_there(word)
    return found


# Read. --------------------------------------------------------------------------------------------------------------


def _change_of(given: dict[str, Any], before: Application | None) -> ApplicationChange:
    """Return what a body changes. Raises: `Fault`."""
    if given.get("signInAudience") not in (None, "AzureADMyOrg"):
        raise bad("signInAudience is AzureADMyOrg.", "signInAudience")
    api = object_of(given.get("api"), "api") if "api" in given else {}
    api = {name: value for name, value in api.items() if "@odata." not in name}
    scopes = _scopes(api["oauth2PermissionScopes"]) if "oauth2PermissionScopes" in api else None
    _check_api(api)
    kept = before.client.certificates if before is not None and before.client is not None else ()
    return ApplicationChange(
        name=text(given["displayName"], "displayName") if "displayName" in given else UNSET,
        is_public=boolean(given["isFallbackPublicClient"] or False, "isFallbackPublicClient")
        if "isFallbackPublicClient" in given
        else UNSET,
        is_native=_native(given),
        redirect_uris=_redirects(given, before),
        uris=texts(given["identifierUris"], "identifierUris") if "identifierUris" in given else UNSET,
        scopes=UNSET if scopes is None else tuple(scope["value"] for scope in scopes),
        api=UNSET if scopes is None else msgspec.json.encode(scopes).decode(),
        wants=_wants(given["requiredResourceAccess"]) if "requiredResourceAccess" in given else UNSET,
        roles=_roles(given["appRoles"]) if "appRoles" in given else UNSET,
        notes=text(given["notes"] or "", "notes") if "notes" in given else UNSET,
        tags=texts(given["tags"], "tags") if "tags" in given else UNSET,
        certificates=_certificates(given["keyCredentials"], kept) if "keyCredentials" in given else UNSET,
        id_token_claims=_claims(given, "idToken"),
        access_token_claims=_claims(given, "accessToken"),
    )


def _check_api(api: dict[str, Any]) -> None:
    for name, value in api.items():
        if name == "requestedAccessTokenVersion" and value not in (None, 2):
            raise bad("Access tokens are of version 2.", "api")
        if name not in ("requestedAccessTokenVersion", "oauth2PermissionScopes") and value:
            raise bad(f"Invalid property '{name[:60]}' of api.", "api")


def _native(given: dict[str, Any]) -> bool | UnsetType:
    if "nativeAuthenticationApisEnabled" not in given:
        return UNSET
    said = given["nativeAuthenticationApisEnabled"] or "none"
    if said not in ("none", "all"):
        raise bad("nativeAuthenticationApisEnabled is none or all.", "nativeAuthenticationApisEnabled")
    return bool(said == "all")


def _redirects(given: dict[str, Any], before: Application | None) -> RedirectUris | UnsetType:
    if not {"publicClient", "spa", "web"} & given.keys():
        return UNSET
    uris = before.client.registration.redirect_uris if before and before.client else RedirectUris()
    origins = before.client.origins if before and before.client else ()
    found: dict[str, tuple[str, ...]] = {}
    for name, member in (("public", "publicClient"), ("single_page", "spa"), ("web", "web")):
        part = object_of(given.get(member), member) if member in given else None
        if part is not None and "redirectUris" in part:
            found[name] = texts(part["redirectUris"], member)
    if not uris.single_page and found.get("single_page") == origins:
        del found["single_page"]  # They stand for the origins, and were sent back as they were shown.
    return msgspec.structs.replace(uris, **found)


def _scopes(value: object) -> list[dict[str, Any]]:
    found = []
    for one in objects(value, "api"):
        given = written(
            one,
            kind="permissionScope",
            writable=(
                "id",
                "value",
                "type",
                "isEnabled",
                "origin",
                "adminConsentDisplayName",
                "adminConsentDescription",
                "userConsentDisplayName",
                "userConsentDescription",
            ),
        )
        given.pop("origin", None)
        given["id"] = _guid(given.get("id"), "api")
        given["value"] = text(given.get("value"), "api")
        for name in given:
            if name == "isEnabled":
                boolean(given[name], "api")
            elif given[name] is not None:
                text(given[name], "api")
        found.append({name: item for name, item in given.items() if item is not None})
    return found


def _wants(value: object) -> str:
    wanted = []
    for one in objects(value, "requiredResourceAccess"):
        given = written(one, kind="requiredResourceAccess", writable=("resourceAppId", "resourceAccess"))
        access = []
        for inner in objects(given.get("resourceAccess"), "requiredResourceAccess"):
            said = written(inner, kind="resourceAccess", writable=("id", "type"))
            kind = text(said.get("type"), "requiredResourceAccess")
            access.append({"id": _guid(said.get("id"), "requiredResourceAccess"), "type": kind})
        app_id = _guid(given.get("resourceAppId"), "requiredResourceAccess")
        wanted.append({"resourceAppId": app_id, "resourceAccess": access})
    return msgspec.json.encode(wanted).decode()


def _roles(value: object) -> tuple[AppRole, ...]:
    found = []
    for one in objects(value, "appRoles"):
        given = written(
            one,
            kind="appRole",
            writable=(
                "id",
                "value",
                "displayName",
                "description",
                "allowedMemberTypes",
                "isEnabled",
                "origin",
            ),
        )
        found.append(
            AppRole(
                id=_guid(given.get("id"), "appRoles"),
                value=text(given.get("value") or "", "appRoles"),
                name=text(given.get("displayName") or "", "appRoles"),
                description=text(given.get("description") or "", "appRoles"),
                members=texts(given.get("allowedMemberTypes"), "appRoles"),
                is_enabled=boolean(given.get("isEnabled", True), "appRoles"),
            )
        )
    return tuple(found)


def _certificates(value: object, kept: tuple[ClientCertificate, ...]) -> tuple[ClientCertificate, ...]:
    """Those that are named by their id alone stay; those with a key are new. Raises: `Fault`."""
    known = {certificate.id: certificate for certificate in kept}
    found = []
    for one in objects(value, "keyCredentials"):
        given = {name: item for name, item in one.items() if "@odata." not in name}
        id, key = given.get("keyId"), given.get("key")
        if isinstance(id, str) and id.lower() in known and key is None:
            found.append(known[id.lower()])
            continue
        if given.get("usage") not in (None, "Verify") or given.get("type") not in (
            None,
            "AsymmetricX509Cert",
        ):
            raise bad("A key credential is an AsymmetricX509Cert to Verify.", "keyCredentials")
        try:
            raw = base64.b64decode(text(key, "keyCredentials"), validate=True)
            called = text(given.get("displayName") or "", "keyCredentials")
            found.append(read_certificate(raw, called, str(uuid4())))
        except ValueError:
            raise bad("The key is no certificate.", "keyCredentials") from None
    return tuple(found)


def _claims(given: dict[str, Any], part: str) -> tuple[OptionalClaim, ...] | UnsetType:
    """The optional claims of one kind of token, each once; UNSET where the body says nothing of them."""
    if "optionalClaims" not in given:
        return UNSET
    claims = object_of(given["optionalClaims"], "optionalClaims")
    found: dict[OptionalClaim, None] = {}
    for one in objects(claims.get(part), "optionalClaims"):
        known = next((name for name in get_args(OptionalClaim) if name == one.get("name")), None)
        if known is None:
            named = str(one.get("name"))[:40]
            raise bad(f"The optional claim {named} is not supported.", "optionalClaims")
        found[known] = None
    return tuple(found)


def _guid(value: object, name: str) -> str:
    try:
        return str(UUID(text(value, name)))
    except ValueError:
        raise bad(f"An id in {name} is a GUID.", name) from None


# Applications. ------------------------------------------------------------------------------------------------------


async def _list(call: Call) -> Response:
    every = [shown(app, call.directory) for app in applications.all_of(call.directory)]
    return lists.in_memory(call, OF, every, FILTERS, orderable=ORDERS, is_directory=True)


async def _get(call: Call) -> Response:
    app = find(call)
    value = selected(shown(app, call.directory), call.options.select)
    return call.object(OF, value, ("etag", f'W/"{version(app)}"'))


async def _create(call: Call) -> Response:
    given = written(call.body, kind="application", writable=WRITABLE)
    if given.get("displayName") is None:
        raise bad("A value is required for property 'displayName' of resource 'Application'.", "displayName")
    made = call.unless_refused(await applications.add(call.door, call.actor, _change_of(given, None)))
    return call.created(OF, shown(made, call.directory), ("etag", f'W/"{version(made)}"'))


async def _change(call: Call) -> Response:
    app = find(call)
    current = shown(app, call.directory)
    given = written(call.body, kind="application", writable=WRITABLE, current=current)
    given = {name: value for name, value in given.items() if value != current.get(name)}
    call.unless_refused(
        await applications.change(call.door, call.actor, app.id, _change_of(given, app), call.if_match)
    )
    return DONE


async def _delete(call: Call) -> Response:
    app = find(call)
    call.unless_refused(await applications.remove(call.door, call.actor, app.id, call.if_match))
    return DONE


async def _add_password(call: Call) -> Response:
    app = find_principal(call) if call.request.path.lower().startswith("/service") else find(call)
    given = written(call.body, kind="none", writable=("passwordCredential",))
    said = written(
        object_of(given.get("passwordCredential"), "passwordCredential"),
        kind="passwordCredential",
        writable=("displayName", "startDateTime", "endDateTime"),
    )
    made = call.unless_refused(
        await applications.add_secret(
            call.door,
            call.actor,
            app.id,
            text(said.get("displayName") or "", "displayName"),
            starts_at=moment(said["startDateTime"], "startDateTime") if said.get("startDateTime") else None,
            expires_at=moment(said["endDateTime"], "endDateTime") if said.get("endDateTime") else None,
        )
    )
    return json_response(
        {
            "@odata.context": call.context("microsoft.graph.passwordCredential"),
            **_secret(made.kept),
            "secretText": made.text,
        }
    )


async def _remove_password(call: Call) -> Response:
    app = find_principal(call) if call.request.path.lower().startswith("/service") else find(call)
    given = written(call.body, kind="none", writable=("keyId",))
    key = _guid(given.get("keyId"), "keyId")
    call.unless_refused(await applications.remove_secret(call.door, call.actor, app.id, key))
    return DONE


# Service principals. ------------------------------------------------------------------------------------------------


async def _list_principals(call: Call) -> Response:
    every = [shown_principal(app) for app in applications.all_of(call.directory)]
    filters: Properties = {
        "id": "text",
        "appId": "text",
        "displayName": "text",
        "servicePrincipalType": "text",
        "servicePrincipalNames": "texts",
        "tags": "texts",
    }
    return lists.in_memory(
        call, PRINCIPALS, every, filters, orderable=frozenset({"displayName"}), is_directory=True
    )


async def _get_principal(call: Call) -> Response:
    return call.object(PRINCIPALS, selected(shown_principal(find_principal(call)), call.options.select))


async def _create_principal(call: Call) -> Response:
    """Each application has one from the start, so there is never one to make."""
    given = written(call.body, kind="servicePrincipal", writable=("appId",))
    app = applications.by_app_id(call.directory, _guid(given.get("appId"), "appId"))
    if app is None:
        raise bad("There is no application with this appId.", "appId")
    raise bad(
        "The service principal cannot be created, updated, or restored because the service principal name "
        f"{app.id} is already in use.",
        "appId",
        "ObjectConflict",
    )


def role_id(role: str) -> str:
    """Return the id of a permission of the administration API."""
    return str(uuid5(ROLES, role))


def _assignment(app: Application, role: str) -> dict[str, Any]:
    return {
        "id": f"{role_id(role)}",
        "appRoleId": role_id(role),
        "principalId": app.principal_id,
        "principalDisplayName": app.name,
        "principalType": "ServicePrincipal",
        "resourceId": str(uuid5(ROLES, GRAPH)),
        "resourceDisplayName": "Microsoft Graph",
        "createdDateTime": None,
    }


async def _assignments(call: Call) -> Response:
    app = find_principal(call)
    roles = app.client.app_roles if app.client else ()
    values = [_assignment(app, role) for role in roles]
    return lists.in_memory(call, "appRoleAssignments", values, {"appRoleId": "text"})


async def _assign(call: Call) -> Response:
    app = find_principal(call)
    given = written(call.body, kind="appRoleAssignment", writable=("principalId", "resourceId", "appRoleId"))
    wanted = _guid(given.get("appRoleId"), "appRoleId")
    role = next((name for name in PERMISSIONS if role_id(name) == wanted), None)
    if role is None:
        raise bad("There is no such permission of the administration API.", "appRoleId")
    if (
        given.get("principalId") is not None
        and _guid(given["principalId"], "principalId") != app.principal_id
    ):
        raise bad("principalId is the service principal of the path.", "principalId")
    made = call.unless_refused(await applications.grant_role(call.door, call.actor, app.id, role))
    return call.created(f"servicePrincipals/{app.principal_id}/appRoleAssignments", _assignment(made, role))


async def _unassign(call: Call) -> Response:
    app = find_principal(call)
    wanted = call.params["assignment"].lower()
    role = next((name for name in PERMISSIONS if role_id(name) == wanted), wanted)
    call.unless_refused(await applications.withdraw_role(call.door, call.actor, app.id, role))
    return DONE


def _routes() -> tuple[Route, ...]:
    """The same routes under the object id and under the app id."""
    found = [
        Route("GET", "/applications", APPLICATIONS_READ, _list, "List applications"),
        Route(
            "POST", "/applications", APPLICATIONS_WRITE, _create, "Register an application", applications.ADD
        ),
        Route("GET", "/servicePrincipals", APPLICATIONS_READ, _list_principals, "List service principals"),
        Route(
            "POST",
            "/servicePrincipals",
            APPLICATIONS_WRITE,
            _create_principal,
            "Create a service principal",
            applications.ADD,
        ),
    ]
    for at in ("/applications/{id}", "/applications(appId='{app_id}')"):
        found += [
            Route("GET", at, APPLICATIONS_READ, _get, "Get an application"),
            Route("PATCH", at, APPLICATIONS_WRITE, _change, "Change an application", applications.UPDATE),
            Route("DELETE", at, APPLICATIONS_WRITE, _delete, "Delete an application", applications.DELETE),
        ]
    for at in (
        "/applications/{id}",
        "/applications(appId='{app_id}')",
        "/servicePrincipals/{id}",
        "/servicePrincipals(appId='{app_id}')",
    ):
        found += [
            Route(
                "POST",
                f"{at}/addPassword",
                APPLICATIONS_WRITE,
                _add_password,
                "Make a secret",
                applications.CREDENTIALS,
            ),
            Route(
                "POST",
                f"{at}/removePassword",
                APPLICATIONS_WRITE,
                _remove_password,
                "Take a secret away",
                applications.CREDENTIALS,
            ),
        ]
    for at in ("/servicePrincipals/{id}", "/servicePrincipals(appId='{app_id}')"):
        found += [
            Route("GET", at, APPLICATIONS_READ, _get_principal, "Get a service principal"),
            Route(
                "GET",
                f"{at}/appRoleAssignments",
                APPLICATIONS_READ,
                _assignments,
                "List the permissions that a client holds",
            ),
            Route(
                "POST",
                f"{at}/appRoleAssignments",
                APPLICATIONS_WRITE,
                _assign,
                "Grant a permission to a client",
                applications.GRANT,
            ),
            Route(
                "DELETE",
                at + "/appRoleAssignments/{assignment}",
                APPLICATIONS_WRITE,
                _unassign,
                "Take a permission from a client",
                applications.WITHDRAW,
            ),
        ]
    return tuple(found)


ROUTES = _routes()
