"""`genkan group`: groups, and who is in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genkan.cli.common import CONTEXT, agreed, as_json, deployment, destroys, done, looked_at
from genkan.cli.showing import as_facts, as_lines, as_table
from genkan.cli.user import found_person

if TYPE_CHECKING:
    from genkan.bootstrap import Clock, Office
    from genkan.model import Group, Subject
    from genkan.service.admin.door import Actor, Refusal
    from genkan.store.tenant import Reader


@click.group(context_settings=CONTEXT)
def group() -> None:
    """
    Groups: list, show, create, update, delete, and who is in them.

    \b
    Examples:
      genkan group create Staff --description "Whom policies treat as staff"
      genkan group add-member Staff ada@example.com
    """


@group.command("list", context_settings=CONTEXT)
@deployment
@as_json
def list_(data: Path, tenant: str | None, as_json: bool) -> None:
    """
    List the groups.

    \b
    Examples:
      genkan group list
    """
    groups = looked_at(data, tenant, lambda reader, _: _all(reader))
    if as_json:
        as_lines(map(_as_graph, groups))
        return
    as_table(
        ("Name", "Description", "Id"), ((g.name, g.description, g.id) for g in groups), "There are no groups."
    )


@group.command(context_settings=CONTEXT)
@click.argument("group")
@deployment
@as_json
def show(group: str, data: Path, tenant: str | None, as_json: bool) -> None:
    """
    Show one group and who is in it directly. GROUP is its name or id.

    \b
    Examples:
      genkan group show Staff
    """

    async def look(reader: Reader, _: Clock) -> tuple[Group, list[tuple[str, Subject | Group | None]]]:
        found, members, after = await _named(reader, group), list[Any](), ""
        while some := await reader.members(found.id, after=after, limit=1000):
            members += some
            after = some[-1][0]
        return found, members

    found, members = looked_at(data, tenant, look)
    if as_json:
        as_lines([{**_as_graph(found), "members": [id for id, _ in members]}])
        return
    as_facts(
        {"Name": found.name, "Id": found.id, "Description": found.description, "Since": found.created_at}
    )
    click.echo()
    as_table(("Member", "Id"), ((_called(member), id) for id, member in members), "Nobody is in it.")


@group.command(context_settings=CONTEXT)
@click.argument("name")
@click.option("--description", default="", help="What it is for.")
@deployment
@as_json
def create(name: str, description: str, data: Path, tenant: str | None, as_json: bool) -> None:
    """
    Create a group.

    \b
    Examples:
      genkan group create Staff --description "Whom policies treat as staff"
    """
    from genkan.service.admin import groups
    from genkan.service.admin.groups import GroupChange

    nickname = "".join(c for c in name if c.isascii() and c.isalnum())[:64] or "group"
    new = GroupChange(name=name, description=description, nickname=nickname)
    made = done(data, tenant, lambda office, actor: groups.add(office.door, actor, new))
    if as_json:
        as_lines([_as_graph(made)])
    else:
        click.echo(f"Created {made.name}, {made.id}.")


@group.command(context_settings=CONTEXT)
@click.argument("group")
@click.option("--name", default=None, help="Another name.")
@click.option("--description", default=None, help="What it is for.")
@deployment
@as_json
def update(
    group: str, name: str | None, description: str | None, data: Path, tenant: str | None, as_json: bool
) -> None:
    """
    Change a group. GROUP is its name or id.

    \b
    Examples:
      genkan group update Staff --name Team
    """
    from msgspec import UNSET

    from genkan.service.admin import groups
    from genkan.service.admin.groups import GroupChange

    if name is None and description is None:
        raise click.UsageError("Say what to change: --name or --description.")
    change = GroupChange(
        name=UNSET if name is None else name, description=UNSET if description is None else description
    )

    async def act(office: Office, actor: Actor) -> Group | Refusal:
        return await groups.change(office.door, actor, (await _named(office.store, group)).id, change)

    changed = done(data, tenant, act)
    if as_json:
        as_lines([_as_graph(changed)])
    else:
        click.echo(f"Changed {changed.name}.")


@group.command(context_settings=CONTEXT)
@click.argument("group")
@destroys
@deployment
def delete(group: str, yes: bool, dry_run: bool, data: Path, tenant: str | None) -> None:
    """
    Delete a group. Policies that name it match nobody by it from then on.

    \b
    Examples:
      genkan group delete Staff --dry-run
      genkan group delete Staff --yes
    """
    from genkan.service.admin import groups

    async def look(reader: Reader, _: Clock) -> tuple[Group, list[str]]:
        found = await _named(reader, group)
        policies = reader.directory().policies
        return found, [
            p.display_name
            for p in policies
            if found.id in (*p.conditions.users.include_groups, *p.conditions.users.exclude_groups)
        ]

    found, policies = looked_at(data, tenant, look)
    named = f", which {len(policies)} policies name ({', '.join(policies)})" if policies else ""
    if agreed(f"Delete the group {found.name}{named}", yes=yes, dry_run=dry_run):
        done(data, tenant, lambda office, actor: groups.remove(office.door, actor, found.id))
        click.echo(f"Deleted {found.name}.")


@group.command("add-member", context_settings=CONTEXT)
@click.argument("group")
@click.argument("member")
@deployment
def add_member(group: str, member: str, data: Path, tenant: str | None) -> None:
    """
    Put somebody into a group: a person by address, username or id; another group by name or id.

    \b
    Examples:
      genkan group add-member Staff ada@example.com
      genkan group add-member Everybody Staff
    """
    from genkan.service.admin import groups

    async def act(office: Office, actor: Actor) -> Group | Refusal:
        found, who = await _named(office.store, group), await _member(office.store, member)
        return await groups.join(office.door, actor, found.id, who)

    click.echo(f"{member} is in {done(data, tenant, act).name}.")


@group.command("remove-member", context_settings=CONTEXT)
@click.argument("group")
@click.argument("member")
@deployment
def remove_member(group: str, member: str, data: Path, tenant: str | None) -> None:
    """
    Take somebody out of a group.

    \b
    Examples:
      genkan group remove-member Staff ada@example.com
    """
    from genkan.service.admin import groups

    async def act(office: Office, actor: Actor) -> Group | Refusal:
        found, who = await _named(office.store, group), await _member(office.store, member)
        return await groups.leave(office.door, actor, found.id, who)

    click.echo(f"{member} is in {done(data, tenant, act).name} no more.")


async def _all(reader: Reader) -> list[Group]:
    from genkan.engine.queries import Order, Query

    after, found = None, list[Any]()
    while True:
        page = await reader.groups(Query(order=Order("displayName"), after=after, limit=1000))
        found += page.entries
        after = page.after
        if after is None:
            return found


async def _named(reader: Reader, name: str) -> Group:
    """The group that is meant. Raises: `ClickException`."""
    return _one(await _called_so(reader, name), name)


async def _called_so(reader: Reader, name: str) -> list[Group]:
    return [g for g in await _all(reader) if name in (g.id, g.name)]


def _one(found: list[Group], name: str) -> Group:
    if len(found) != 1:
        many = "There is no group" if not found else "Several groups are called"
        raise click.ClickException(f"{many} {name}. Look with genkan group list, and give an id.")
    return found[0]


async def _member(reader: Reader, member: str) -> str:
    if groups := await _called_so(reader, member):
        return _one(groups, member).id
    return (await reader.look(lambda view: found_person(view, member))).id


def _called(member: Subject | Group | None) -> str:
    from genkan.model import Group

    match member:
        case None:
            return "(an application)"
        case Group(name=name):
            return f"{name} (group)"
        case _:
            return str(member.attributes.get("displayName", "")) or ", ".join(
                i.value for i in member.identifiers
            )


def _as_graph(group: Group) -> dict[str, Any]:
    """A group in the words of Microsoft Graph."""
    return {
        "id": group.id,
        "displayName": group.name,
        "description": group.description,
        "mailNickname": group.nickname,
        "createdDateTime": group.created_at,
    }
