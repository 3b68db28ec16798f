"""
Groups and who is in them. A member is a person, an application or another group; a loop is refused.

Source: admin-graph-api 5.2.
"""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from genkan.engine.messages import Join, Leave, PutGroup, RemoveGroup
from genkan.model import Group
from genkan.service.admin.applications import principal_of
from genkan.service.admin.door import (
    Act,
    Actor,
    Done,
    Door,
    Refusal,
    Target,
    asked,
    current,
    differences,
    entropy,
    invalid,
    missing,
)
from genkan.service.ports import View

ADD = Act("Add group", "GroupManagement", "Add", "Group")
UPDATE = Act("Update group", "GroupManagement", "Update", "Group")
DELETE = Act("Delete group", "GroupManagement", "Delete", "Group")
JOIN = Act("Add member to group", "GroupManagement", "Assign", "Group")
LEAVE = Act("Remove member from group", "GroupManagement", "Unassign", "Group")

LONGEST_NAME, LONGEST_DESCRIPTION, LONGEST_NICKNAME = 256, 1024, 64
SEEN = ("name", "description", "nickname")


class GroupChange(Struct, frozen=True, kw_only=True):
    """What is to be changed, or of a new group what it is; a member that is UNSET stays as it is."""

    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    nickname: str | UnsetType = UNSET


async def add(door: Door, actor: Actor, new: GroupChange) -> Group | Refusal:
    """Add a group. Names need not be unique."""
    draw = entropy()

    def decide(view: View) -> Done[Group] | Refusal:
        group = _changed(Group(id=draw.guid("group"), name="", created_at=view.now), new)
        if isinstance(group, Refusal):
            return group
        target = Target(id=group.id, name=group.name, changes=differences(None, _seen(group)))
        return Done(replace(group, revision=1), target, (PutGroup(group),))

    return await door.act(actor, ADD, decide)


async def change(
    door: Door, actor: Actor, id: str, change: GroupChange, expected: str | None = None
) -> Group | Refusal:
    """Change a group. `expected` is the `version` of it that the caller has seen."""

    def decide(view: View) -> Done[Group] | Refusal:
        group = current("group", id, view.group(id), expected)
        if isinstance(group, Refusal):
            return group
        changed = _changed(group, change)
        if isinstance(changed, Refusal):
            return changed
        target = Target(id=id, name=changed.name, changes=differences(_seen(group), _seen(changed)))
        return Done(replace(changed, revision=changed.revision + 1), target, (PutGroup(changed),))

    return await door.act(actor, UPDATE, decide, id)


async def remove(door: Door, actor: Actor, id: str, expected: str | None = None) -> Group | Refusal:
    """Delete a group. Policies that name it match nobody by it from then on."""

    def decide(view: View) -> Done[Group] | Refusal:
        group = current("group", id, view.group(id), expected)
        if isinstance(group, Refusal):
            return group
        target = Target(id=id, name=group.name, changes=differences(_seen(group), None))
        return Done(group, target, (RemoveGroup(id),))

    return await door.act(actor, DELETE, decide, id)


async def join(door: Door, actor: Actor, group: str, member: str) -> Group | Refusal:
    """Put a person, a service principal or a group into a group; it counts at the next decision of policy."""

    def decide(view: View) -> Done[Group] | Refusal:
        found = current("group", group, view.group(group))
        if isinstance(found, Refusal):
            return found
        is_group = view.group(member) is not None
        if not (is_group or view.existing("subject", (member,)) or principal_of(view.directory, member)):
            return missing("directory object", member)
        if view.is_member(member, group):
            return invalid(
                "One or more added object references already exist for the following modified properties: "
                "'members'.",
                "members",
            )
        if is_group and (member == group or member in view.containing(group)):
            return invalid("A group cannot be inside itself, not through other groups either.", "members")
        target = Target(id=group, name=found.name, changes=(("members", None, member),))
        return Done(found, target, (Join(member, group),))

    return await door.act(actor, JOIN, decide, group)


async def leave(door: Door, actor: Actor, group: str, member: str) -> Group | Refusal:
    """Take a member out of a group."""

    def decide(view: View) -> Done[Group] | Refusal:
        found = current("group", group, view.group(group))
        if isinstance(found, Refusal):
            return found
        if not view.is_member(member, group):
            return missing("member", member)
        target = Target(id=group, name=found.name, changes=(("members", member, None),))
        return Done(found, target, (Leave(member, group),))

    return await door.act(actor, LEAVE, decide, group)


def _changed(group: Group, change: GroupChange) -> Group | Refusal:
    changed = replace(group, **asked(change))
    if not 0 < len(changed.name.strip()) <= LONGEST_NAME:
        return invalid(f"A group has a displayName of 1 to {LONGEST_NAME} characters.", "displayName")
    if len(changed.description) > LONGEST_DESCRIPTION:
        return invalid(f"A description has {LONGEST_DESCRIPTION} characters at most.", "description")
    if not 0 < len(changed.nickname) <= LONGEST_NICKNAME or not changed.nickname.isascii():
        return invalid(f"A mailNickname has 1 to {LONGEST_NICKNAME} ASCII characters.", "mailNickname")
    if any(ord(c) < 32 for c in changed.nickname + changed.name):
        return invalid("A name holds no control characters.", "displayName")
    return changed


def _seen(group: Group) -> dict[str, object]:
    return {name: getattr(group, name) for name in SEEN}
