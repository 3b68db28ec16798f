"""
Groups and their members, in Graph's words. Source: admin-graph-api 5.2.
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from genkan.exchange import Response
from genkan.model import Group, Subject
from genkan.service.admin import groups
from genkan.service.admin.applications import principal_of
from genkan.service.admin.door import version
from genkan.service.admin.groups import GroupChange
from genkan.wire.graph import applications, lists, users
from genkan.wire.graph.answers import Fault, bad, nothing_there, time
from genkan.wire.graph.api import DONE, Call, Route
from genkan.wire.graph.odata import Properties
from genkan.wire.graph.permissions import GROUPS_READ, GROUPS_WRITE, MEMBERS_READ, MEMBERS_WRITE
from genkan.wire.graph.reads import boolean, selected, text, written

OF = "groups"
FILTERS: Properties = {"id": "text", "displayName": "text", "createdDateTime": "time"}
ORDERS = frozenset({"displayName", "createdDateTime"})
WRITABLE = ("displayName", "description", "mailNickname")


def shown(group: Group) -> dict[str, Any]:
    """Return a group as it is shown."""
    return {
        "id": group.id,
        "createdDateTime": time(group.created_at),
        "deletedDateTime": None,
        "description": group.description or None,
        "displayName": group.name,
        "groupTypes": [],
        "mail": None,
        "mailEnabled": False,
        "mailNickname": group.nickname,
        "membershipRule": None,
        "securityEnabled": True,
        "visibility": None,
    }


async def find(call: Call) -> Group:
    """Return the group of the path. Raises: `Fault`."""
    id = call.params["id"].lower()
    found = await call.store.look(lambda view: view.group(id))
    if found is None:
        raise nothing_there(id)
    return found


async def _list(call: Call) -> Response:
    found = await call.store.groups(lists.query(call, FILTERS, ORDERS))
    values = [selected(shown(one), call.options.select) for one in found.entries if isinstance(one, Group)]
    return call.collection(OF, values, count=found.count, goes_on=found.after)


async def _count(call: Call) -> Response:
    return lists.number(await call.store.groups(lists.count_query(call, FILTERS)))


async def _get(call: Call) -> Response:
    group = await find(call)
    return call.object(OF, selected(shown(group), call.options.select), ("etag", f'W/"{version(group)}"'))


async def _create(call: Call) -> Response:
    given = written(
        call.body,
        kind="group",
        writable=(*WRITABLE, "mailEnabled", "securityEnabled", "groupTypes", "visibility"),
    )
    for name in ("displayName", "mailNickname", "mailEnabled", "securityEnabled"):
        if given.get(name) is None:
            raise bad(f"A value is required for property '{name}' of resource 'Group'.", name)
    if boolean(given["mailEnabled"], "mailEnabled") or not boolean(
        given["securityEnabled"], "securityEnabled"
    ):
        raise bad("Groups are security groups: mailEnabled is false and securityEnabled true.", "mailEnabled")
    if given.get("groupTypes"):
        raise bad("groupTypes are empty.", "groupTypes")
    made = call.unless_refused(await groups.add(call.door, call.actor, _change_of(given)))
    return call.created(OF, shown(made), ("etag", f'W/"{version(made)}"'))


def _change_of(given: dict[str, Any]) -> GroupChange:
    for name in ("displayName", "mailNickname"):
        if name in given and given[name] is None:
            raise bad(f"The property {name} cannot be cleared.", name)
    return GroupChange(
        name=text(given["displayName"], "displayName") if "displayName" in given else UNSET,
        description=text(given["description"] or "", "description") if "description" in given else UNSET,
        nickname=text(given["mailNickname"], "mailNickname") if "mailNickname" in given else UNSET,
    )


async def _update(call: Call) -> Response:
    group = await find(call)
    given = written(call.body, kind="group", writable=WRITABLE, current=shown(group))
    call.unless_refused(
        await groups.change(call.door, call.actor, group.id, _change_of(given), call.if_match)
    )
    return DONE


async def _delete(call: Call) -> Response:
    group = await find(call)
    call.unless_refused(await groups.remove(call.door, call.actor, group.id, call.if_match))
    return DONE


# Members. -----------------------------------------------------------------------------------------------------------


async def _members(call: Call) -> Response:
    return await _listed(call, transitive=False)


async def _transitive_members(call: Call) -> Response:
    return await _listed(call, transitive=True)


async def _listed(call: Call, *, transitive: bool) -> Response:
    group = await find(call)
    place, size, said = call.place(), lists.top(call), call.options
    if said.filter or said.order or said.search or said.skip:
        raise Fault(
            400, "Request_UnsupportedQuery", "Members are listed as they are: neither filtered nor sorted."
        )
    lists.check_advanced(call, filter_is_advanced=False)
    found = await call.store.members(
        group.id, after=str(place[0]) if place else "", limit=size + 1, transitive=transitive
    )
    values = [value for id, one in found[:size] if (value := _member(call, id, one)) is not None]
    return call.collection(
        "directoryObjects", values, goes_on=[found[size - 1][0]] if len(found) > size else None
    )


def _member(call: Call, id: str, member: Subject | Group | None) -> dict[str, Any] | None:
    """Return a member with its type; None for one that is gone."""
    if isinstance(member, Subject):
        select = call.options.select
        value = users.shown(member, call.directory.tenant)
        return {
            "@odata.type": "#microsoft.graph.user",
            **{name: value.get(name) for name in ("id", *(select or users.DEFAULT))},
        }
    if isinstance(member, Group):
        return {"@odata.type": "#microsoft.graph.group", **shown(member)}
    app = principal_of(call.directory, id)
    if app is None:
        return None
    return {"@odata.type": "#microsoft.graph.servicePrincipal", **applications.shown_principal(app)}


async def _join(call: Call) -> Response:
    reference = call.body.get("@odata.id")
    if not isinstance(reference, str) or not reference.strip():
        raise bad("The body names the object to be added by @odata.id.", "@odata.id")
    member = reference.rstrip("/").rpartition("/")[2].lower()
    if "@" in member:
        member = (await users.find(call, member)).id
    call.unless_refused(await groups.join(call.door, call.actor, call.params["id"].lower(), member))
    return DONE


async def _leave(call: Call) -> Response:
    call.unless_refused(
        await groups.leave(call.door, call.actor, call.params["id"].lower(), call.params["member"].lower())
    )
    return DONE


ROUTES = (
    Route("GET", "/groups", GROUPS_READ, _list, "List groups"),
    Route("POST", "/groups", GROUPS_WRITE, _create, "Create a group", groups.ADD),
    Route("GET", "/groups/$count", GROUPS_READ, _count, "Count groups"),
    Route("GET", "/groups/{id}", GROUPS_READ, _get, "Get a group"),
    Route("PATCH", "/groups/{id}", GROUPS_WRITE, _update, "Change a group", groups.UPDATE),
    Route("DELETE", "/groups/{id}", GROUPS_WRITE, _delete, "Delete a group", groups.DELETE),
    Route("GET", "/groups/{id}/members", MEMBERS_READ, _members, "List who is in a group"),
    Route(
        "GET",
        "/groups/{id}/transitiveMembers",
        MEMBERS_READ,
        _transitive_members,
        "List who is in a group, through others too",
    ),
    Route(
        "POST", "/groups/{id}/members/$ref", MEMBERS_WRITE, _join, "Put somebody into a group", groups.JOIN
    ),
    Route(
        "DELETE",
        "/groups/{id}/members/{member}/$ref",
        MEMBERS_WRITE,
        _leave,
        "Take somebody out of a group",
        groups.LEAVE,
    ),
)
