"""
Users, in Graph's words. Source: admin-graph-api 5.1.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import UNSET, UnsetType

from genkan import identifiers
from genkan.engine.messages import Directory
from genkan.engine.queries import All, Filter, Query, Some, Term, Value
from genkan.exchange import Response, json_response
from genkan.model import ForeignIdentity, Kind, Scalar, Secret, Subject, Tenant
from genkan.service.admin import flows, people
from genkan.service.admin.door import domain, version
from genkan.service.admin.people import ATTRIBUTES, Identity, NewPerson, PersonChange
from genkan.wire.graph import lists
from genkan.wire.graph.answers import bad, nothing_there, time
from genkan.wire.graph.api import DONE, Call, Route
from genkan.wire.graph.odata import Properties, is_extension, unsupported
from genkan.wire.graph.permissions import (
    GROUPS_READ,
    REVOKE,
    USERS_READ,
    USERS_WRITE,
)
from genkan.wire.graph.reads import boolean, object_of, objects, same, selected, text, written

OF = "users"

DEFAULT = (
    "id",
    "businessPhones",
    "displayName",
    "givenName",
    "jobTitle",
    "mail",
    "mobilePhone",
    "officeLocation",
    "preferredLanguage",
    "surname",
    "userPrincipalName",
)
"""What is shown where nothing is selected."""

WRITABLE = (
    *ATTRIBUTES,
    "accountEnabled",
    "identities",
    "passwordProfile",
)

FILTERS: Properties = {
    "id": "text",
    "displayName": "text",
    "givenName": "text",
    "surname": "text",
    "mail": "text",
    "userPrincipalName": "text",
    "accountEnabled": "bool",
    "userType": "text",
    "creationType": "text",
    "createdDateTime": "time",
    "identities": "texts",
    "extension_": "text",
}
ORDERS = frozenset({"displayName", "userPrincipalName", "createdDateTime"})

NO_EXPIRATION = "DisablePasswordExpiration"
SIGN_IN_TYPES = {"email": people.EMAIL, "username": people.USERNAME}
CONSTANTS = {"userType": "Member", "creationType": "LocalAccount"}


# Shown. -------------------------------------------------------------------------------------------------------------


def principal_name(subject: Subject, tenant: Tenant) -> str:
    """Return the user principal name; it is made from the id unless an administrator has given one."""
    return subject.principal_name or f"{subject.id}@{domain(tenant)}"


def shown(subject: Subject, tenant: Tenant, last_password_change: str | None = None) -> dict[str, Any]:
    """Return a user with every property there is."""
    said, email = subject.attributes, subject.email
    everything: dict[str, Any] = {name: said.get(name) for name in ATTRIBUTES}
    everything |= {
        "id": subject.id,
        "businessPhones": [],
        "mail": said.get("mail") or (email.value if email else None),
        "userPrincipalName": principal_name(subject, tenant),
        "accountEnabled": subject.status == "active",
        "createdDateTime": time(subject.created_at),
        "deletedDateTime": time(subject.deleted_at),
        "creationType": None if subject.principal_name else "LocalAccount",
        "userType": "Member",
        "identities": _identities(subject, tenant),
        "lastPasswordChangeDateTime": last_password_change,
        "otherMails": [],
        "passwordPolicies": NO_EXPIRATION,
        "passwordProfile": None,
        "signInSessionsValidFromDateTime": time(subject.sessions_from or subject.created_at),
    }
    for attribute in tenant.custom_attributes:
        everything[attribute.name] = None
    for name, value in said.items():
        if name.startswith("extension_"):
            everything[name] = value
    return everything


def _identities(subject: Subject, tenant: Tenant) -> list[dict[str, str]]:
    own = [
        {"signInType": SIGN_IN_TYPES[i.kind], "issuer": domain(tenant), "issuerAssignedId": i.value}
        for i in subject.identifiers
        if i.kind in SIGN_IN_TYPES
    ]
    foreign = [
        {"signInType": f.kind, "issuer": f.issuer, "issuerAssignedId": f.value} for f in subject.foreign
    ]
    principal = {
        "signInType": people.PRINCIPAL,
        "issuer": domain(tenant),
        "issuerAssignedId": principal_name(subject, tenant),
    }
    return [*own, *foreign, principal]


def brief(subject: Subject, directory: Directory, select: tuple[str, ...]) -> dict[str, Any]:
    """Return a user as it is shown: what was selected, or the default set. Raises: `Fault`."""
    return selected(shown(subject, directory.tenant), select or DEFAULT, _unknown_extensions(select))


def _unknown_extensions(select: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in select if is_extension(name))


# Found. -------------------------------------------------------------------------------------------------------------


async def find(call: Call, word: str) -> Subject:
    """Return the user of this id or principal name. Raises: `Fault`."""
    tenant = call.directory.tenant
    id, _, end = word.lower().partition("@")
    if end and end != domain(tenant).lower():
        end = ""
        id = word.lower()

    def look(view: Any) -> Subject | None:
        named: Subject | None = view.holder(f"\n{word.lower()}") if "@" in word else None
        return named or (view.person(id) if ("@" in word) == bool(end) else None)

    found = await call.store.look(look)
    if found is None or found.status == "deleted":
        raise nothing_there(word)
    return found


def look_into(directory: Directory, name: str, said: tuple[tuple[str, str, Value], ...]) -> Filter:
    """Return the filter of `identities/any(…)`; both halves of an identity must be named. Raises: `Fault`."""
    if name.lower() != "identities":
        raise unsupported(f"any over {name[:40]} is not supported.")
    given = {member: str(value) for member, _, value in said}
    if set(given) - {"signInType"} != {"issuer", "issuerAssignedId"} or len(given) != len(said):
        raise unsupported("A filter of identities names issuer and issuerAssignedId, both.")
    issuer, value = given["issuer"], given["issuerAssignedId"]
    tenant = directory.tenant
    keys: list[str] = [ForeignIdentity(kind="", issuer=issuer, value=value).key]
    if issuer.lower() in (tenant.name.lower(), tenant.id, *tenant.aliases):
        local, _, end = value.lower().partition("@")
        own = [i.key for i in (identifiers.email(value), identifiers.username(value)) if i is not None]
        principal = (Term("id", "eq", local),) if end == domain(tenant).lower() else ()
        return Some((*(Term("identities", "eq", key) for key in own), *principal))
    return Some(tuple(Term("identities", "eq", key) for key in keys))


def translated(where: Filter | None, tenant: Tenant) -> Filter | None:
    """Return a filter over what the store has columns for: principal names are made from ids."""
    if where is None or not isinstance(where, Term):
        match where:
            case All(terms):
                return All(tuple(t for t in (translated(t, tenant) for t in terms) if t is not None))
            case Some(terms):
                return Some(tuple(t for t in (translated(t, tenant) for t in terms) if t is not None))
            case None:
                return None
            case _:
                inner = translated(where.term, tenant)
                return type(where)(inner) if inner is not None else None
    if where.name in CONSTANTS:
        constant = CONSTANTS[where.name].casefold()
        wanted = where.value if isinstance(where.value, tuple) else (where.value,)
        folded = [str(value).casefold() for value in wanted if value is not None]
        fits = constant.startswith(folded[0]) if where.op == "startswith" and folded else constant in folded
        return All(()) if fits else Some(())
    if where.name == "userPrincipalName":
        return _by_principal(where, tenant)
    return where


def _by_principal(where: Term, tenant: Tenant) -> Filter:
    """A given principal name has a column; one that was made is the id and the domain."""
    given = Term("principalName", where.op, where.value)
    end = f"@{domain(tenant)}".casefold()
    values = where.value if isinstance(where.value, tuple) else (where.value,)
    folded = [str(value).casefold() for value in values]
    is_made = Term("principalName", "eq", "")
    if where.op == "endswith":
        return Some((given, is_made)) if end.endswith(folded[0]) else given
    if where.op == "startswith":
        start, _, rest = folded[0].partition("@")
        ends = folded[0].endswith("@" + rest) and end.startswith("@" + rest) and "@" in folded[0]
        made = Term("id", "eq", start) if ends else Term("id", "startswith", folded[0])
        return Some((given, All((is_made, made))))
    ids = tuple(value.removesuffix(end) for value in folded if value.endswith(end))
    return Some((given, All((is_made, Term("id", "in", ids))))) if ids else given


# Read. --------------------------------------------------------------------------------------------------------------


def _read_identities(value: object) -> tuple[Identity, ...]:
    found = []
    for one in objects(value, "identities"):
        given = written(one, kind="objectIdentity", writable=("signInType", "issuer", "issuerAssignedId"))
        found.append(
            Identity(
                text(given.get("signInType"), "identities"),
                text(given.get("issuer") or "", "identities"),
                text(given.get("issuerAssignedId"), "identities"),
            )
        )
    return tuple(found)


class _Profile:
    """What `passwordProfile` says."""

    def __init__(self, value: object) -> None:
        said = written(
            object_of(value, "passwordProfile"),
            kind="passwordProfile",
            writable=("password", "forceChangePasswordNextSignIn", "forceChangePasswordNextSignInWithMfa"),
        )
        password = said.get("password")
        self.password = Secret(text(password, "password")) if password is not None else None
        force = said.get("forceChangePasswordNextSignIn")
        self.force = boolean(force, "forceChangePasswordNextSignIn") if force is not None else None
        if said.get("forceChangePasswordNextSignInWithMfa"):
            raise bad("forceChangePasswordNextSignInWithMfa is not supported.", "passwordProfile")


def _attributes(given: dict[str, Any], directory: Directory) -> dict[str, Scalar | None]:
    known = {attribute.name.lower(): attribute for attribute in flows.defined(directory)}
    found: dict[str, Scalar | None] = {}
    for name, value in given.items():
        if name in ATTRIBUTES:
            found[name] = None if value is None else text(value, name)
        elif name.lower().startswith("extension_"):
            attribute = known.get(name.lower())
            if attribute is None:
                raise bad(f"The following extension properties are not available: {name[:120]}.", name[:120])
            found[attribute.name] = _of_kind(value, attribute.type, name)
    return found


def _of_kind(value: object, kind: str, name: str) -> Scalar | None:
    if value is None:
        return None
    if kind == "boolean":
        return boolean(value, name)
    if kind == "int64":
        if type(value) is not int:
            raise bad(f"The property {name} is a number.", name)
        return value
    return text(value, name)


async def _create(call: Call) -> Response:
    given = written(
        call.body,
        kind="user",
        writable=(
            *WRITABLE,
            "passwordPolicies",
            "userPrincipalName",
            "userType",
            "otherMails",
            "businessPhones",
        ),
        extensions=True,
    )
    _check_empty(given)
    profile = _Profile(given.get("passwordProfile"))
    identities = _read_identities(given.get("identities"))
    principal = text(given.get("userPrincipalName") or "", "userPrincipalName")
    enabled = given.get("accountEnabled")
    if identities:
        local = [i for i in identities if i.kind.lower() not in (people.FEDERATED, people.PRINCIPAL.lower())]
        if local and profile.password is not None:
            policies = given.get("passwordPolicies")
            if NO_EXPIRATION not in (policies if isinstance(policies, str) else ""):
                raise bad(f"passwordPolicies of a local account contain {NO_EXPIRATION}.", "passwordPolicies")
        if profile.force:
            raise bad(
                "forceChangePasswordNextSignIn is false for a local account.", "forceChangePasswordNextSignIn"
            )
        principal = ""
    else:
        for name in ("accountEnabled", "displayName", "mailNickname", "userPrincipalName", "passwordProfile"):
            if given.get(name) is None:
                raise bad(f"A value is required for property '{name}' of resource 'User'.", name)
    made = call.unless_refused(
        await people.add(
            call.door,
            call.actor,
            NewPerson(
                identities=identities,
                principal_name=principal,
                attributes={n: v for n, v in _attributes(given, call.directory).items() if v is not None},
                password=profile.password,
                enabled=True if enabled is None else boolean(enabled, "accountEnabled"),
                must_change_password=bool(profile.force),
            ),
        )
    )
    tenant = call.directory.tenant
    value = shown(made, tenant)
    wanted = selected(value, (*DEFAULT, "identities", *(n for n in value if n.startswith("extension_"))))
    return call.created(OF, wanted, ("etag", f'W/"{version(made)}"'))


def _check_empty(given: dict[str, Any]) -> None:
    for name in ("otherMails", "businessPhones"):
        if given.get(name):
            raise bad(f"The property {name} is not supported.", name)
    if given.get("userType") not in (None, "Member"):
        raise bad("userType is Member.", "userType")


async def _list(call: Call) -> Response:
    return await _listed(call, deleted=False, of=OF)


async def _listed(call: Call, *, deleted: bool, of: str) -> Response:
    query = _query(call)
    found = await call.store.people(query, deleted=deleted)
    people_ = [one for one in found.entries if isinstance(one, Subject)]
    times = await _password_times(call, people_)
    select = call.options.select or DEFAULT
    tenant = call.directory.tenant
    extensions = _unknown_extensions(select)
    values = [selected(shown(one, tenant, times.get(one.id)), select, extensions) for one in people_]
    return call.collection(of, values, count=found.count, goes_on=found.after)


def _query(call: Call) -> Query:
    directory = call.directory
    query = lists.query(call, FILTERS, ORDERS, lambda name, said: look_into(directory, name, said))
    order = query.order
    if order is not None and order.name == "userPrincipalName":
        order = type(order)("id", order.descending)
    return Query(
        where=translated(query.where, directory.tenant),
        order=order,
        after=query.after,
        limit=query.limit,
        count=query.count,
    )


async def _password_times(call: Call, people_: list[Subject]) -> dict[str, str | None]:
    """Return when passwords were last set, where that was asked for."""
    if "lastpasswordchangedatetime" not in {name.lower() for name in call.options.select}:
        return {}

    def look(view: Any) -> dict[str, str | None]:
        return {one.id: password_time(view.authenticators(one.id)) for one in people_}

    return await call.store.look(look)


def password_time(held: Iterable[Any]) -> str | None:
    """Return when a password was last set."""
    password = next((a for a in held if a.kind is Kind.PASSWORD), None)
    return time(password.changed_at or password.created_at) if password else None


async def _count(call: Call) -> Response:
    directory = call.directory
    query = lists.count_query(call, FILTERS, lambda name, said: look_into(directory, name, said))
    where = translated(query.where, directory.tenant)
    return lists.number(await call.store.people(Query(where=where, limit=1, count=True)))


async def _get(call: Call) -> Response:
    subject = await find(call, call.params["id"])
    times = await _password_times(call, [subject])
    select = call.options.select
    value = shown(subject, call.directory.tenant, times.get(subject.id))
    value = selected(value, select or DEFAULT, _unknown_extensions(select))
    return call.object(OF, value, ("etag", f'W/"{version(subject)}"'))


async def _change(call: Call) -> Response:
    subject = await find(call, call.params["id"])
    held = await call.store.look(lambda view: view.authenticators(subject.id))
    current = shown(subject, call.directory.tenant, password_time(held))
    given = written(call.body, kind="user", writable=WRITABLE, current=current, extensions=True)
    profile = _Profile(given.get("passwordProfile"))
    for name in ("accountEnabled", "identities"):
        if name in given and given[name] is None:
            raise bad(f"The property {name} cannot be cleared.", name)
    identities: tuple[Identity, ...] | UnsetType = UNSET
    if "identities" in given and not same(current["identities"], given["identities"]):
        identities = _read_identities(given["identities"])
    attributes = {
        name: value
        for name, value in _attributes(given, call.directory).items()
        if value != current.get(name)
    }
    if attributes.get("displayName", "") is None:
        raise bad("The property displayName cannot be cleared.", "displayName")
    call.unless_refused(
        await people.change(
            call.door,
            call.actor,
            subject.id,
            PersonChange(
                identities=identities,
                attributes=attributes,
                password=profile.password if profile.password is not None else UNSET,
                must_change_password=profile.force if profile.force is not None else UNSET,
                enabled=boolean(given["accountEnabled"], "accountEnabled")
                if "accountEnabled" in given
                else UNSET,
            ),
            call.if_match,
        )
    )
    return DONE


async def _delete(call: Call) -> Response:
    subject = await find(call, call.params["id"])
    call.unless_refused(await people.remove(call.door, call.actor, subject.id, call.if_match))
    return DONE


async def _revoke(call: Call) -> Response:
    subject = await find(call, call.params["id"])
    call.unless_refused(await people.revoke_sessions(call.door, call.actor, subject.id))
    return json_response({"@odata.context": call.context("Edm.Boolean"), "value": True})


async def _deleted(call: Call) -> Response:
    return await _listed(call, deleted=True, of="directoryObjects")


async def _restore(call: Call) -> Response:
    back = call.unless_refused(await people.restore(call.door, call.actor, call.params["id"].lower()))
    value = {"@odata.type": "#microsoft.graph.user", **brief(back, call.directory, ())}
    return call.object("directoryObjects", value)


async def _member_of(call: Call) -> Response:
    return await _groups_of(call, transitive=False)


async def _transitive_member_of(call: Call) -> Response:
    return await _groups_of(call, transitive=True)


async def _groups_of(call: Call, *, transitive: bool) -> Response:
    from genkan.wire.graph.groups import shown as shown_group

    subject = await find(call, call.params["id"])
    place = call.place()
    size = lists.top(call)
    found = await call.store.groups_of(
        subject.id, after=str(place[0]) if place else "", limit=size + 1, transitive=transitive
    )
    values = [{"@odata.type": "#microsoft.graph.group", **shown_group(group)} for group in found[:size]]
    return call.collection(
        "directoryObjects", values, goes_on=[found[size - 1].id] if len(found) > size else None
    )


async def _member_groups(call: Call) -> Response:
    subject = await find(call, call.params["id"])
    given = written(call.body, kind="directoryObject", writable=("securityEnabledOnly",))
    boolean(given.get("securityEnabledOnly", False), "securityEnabledOnly")
    ids = sorted(await call.store.look(lambda view: view.containing(subject.id)))
    return json_response({"@odata.context": call.context("Collection(Edm.String)"), "value": ids})


ROUTES = (
    Route("GET", "/users", USERS_READ, _list, "List users"),
    Route("POST", "/users", USERS_WRITE, _create, "Create a user", people.ADD),
    Route("GET", "/users/$count", USERS_READ, _count, "Count users"),
    Route("GET", "/users/{id}", USERS_READ, _get, "Get a user"),
    Route("PATCH", "/users/{id}", USERS_WRITE, _change, "Change a user", people.UPDATE),
    Route("DELETE", "/users/{id}", USERS_WRITE, _delete, "Delete a user", people.DELETE),
    Route(
        "POST", "/users/{id}/revokeSignInSessions", REVOKE, _revoke, "End a user's sessions", people.REVOKE
    ),
    Route(
        "POST",
        "/users/{id}/microsoft.graph.revokeSignInSessions",
        REVOKE,
        _revoke,
        "End a user's sessions",
        people.REVOKE,
    ),
    Route(
        "GET",
        "/users/{id}/memberOf",
        (*GROUPS_READ, *USERS_READ),
        _member_of,
        "List the groups that a user is in",
    ),
    Route(
        "GET",
        "/users/{id}/transitiveMemberOf",
        (*GROUPS_READ, *USERS_READ),
        _transitive_member_of,
        "List the groups that a user is in, through others too",
    ),
    Route(
        "POST",
        "/users/{id}/getMemberGroups",
        (*GROUPS_READ, *USERS_READ),
        _member_groups,
        "List the ids of the groups that a user is in",
    ),
    Route("GET", "/directory/deletedItems/microsoft.graph.user", USERS_READ, _deleted, "List deleted users"),
    Route(
        "POST",
        "/directory/deletedItems/{id}/restore",
        USERS_WRITE,
        _restore,
        "Bring back a deleted user",
        people.RESTORE,
    ),
)
