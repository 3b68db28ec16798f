"""`genkan tenant`: the tenants of a deployment, and their settings."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genkan.cli.common import (
    CONTEXT,
    SPANS,
    accepted,
    actor,
    agreed,
    as_json,
    database,
    deployment,
    destroys,
    done,
    looked_at,
    one_sentence,
)
from genkan.cli.showing import as_facts, as_lines, as_table

if TYPE_CHECKING:
    from genkan.bootstrap import Clock, Office
    from genkan.model import Tenant
    from genkan.service.admin.door import Actor
    from genkan.service.admin.first import NewToken
    from genkan.store.tenant import Reader


@click.group(context_settings=CONTEXT)
def tenant() -> None:
    """
    Tenants and their settings.

    \b
    Examples:
      genkan tenant create shop --alias shop.example.com
      genkan tenant show
      genkan tenant update --set enumeration=uniform --set code_lifetime=3m
    """


@tenant.command("list", context_settings=CONTEXT)
@deployment
@as_json
def list_(data: Path, tenant: str | None, as_json: bool) -> None:
    """
    List the tenants of the deployment.

    \b
    Examples:
      genkan tenant list
    """
    from genkan import bootstrap

    place = database()

    async def look() -> list[Tenant]:
        return [
            t
            async for t in bootstrap.tenants(data, place)
            if tenant is None or tenant in (t.id, t.name, *t.aliases)
        ]

    with one_sentence():
        found = asyncio.run(look())
    if as_json:
        as_lines({"id": t.id, "name": t.name, "aliases": t.aliases} for t in found)
        return
    as_table(("Name", "Also", "Id"), ((t.name, t.aliases, t.id) for t in found), "There are no tenants.")


@tenant.command(context_settings=CONTEXT)
@deployment
@as_json
def show(data: Path, tenant: str | None, as_json: bool) -> None:
    """
    Show a tenant and its settings; docs/reference/settings.md says what each means.

    \b
    Examples:
      genkan tenant show
      genkan tenant show --tenant shop --json
    """
    from genkan.service.admin.tenants import SETTINGS

    async def look(reader: Reader, _: Clock) -> Tenant:
        return reader.directory().tenant

    found = looked_at(data, tenant, look)
    values = {name: getattr(found, name) for name in SETTINGS}
    values["foreign_hashes"] = len(found.foreign_hashes)
    if as_json:
        as_lines([{"id": found.id, "name": found.name, "aliases": found.aliases, "settings": values}])
        return
    as_facts({"Name": found.name, "Also": found.aliases, "Id": found.id})
    click.echo()
    as_facts({name: _said(value) for name, value in sorted(values.items())})


@tenant.command(context_settings=CONTEXT)
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", required=True, help="As code_lifetime=3m."
)
@deployment
def update(settings: tuple[str, ...], data: Path, tenant: str | None) -> None:
    """
    Change settings of a tenant. Spans are written as 30s, 10m, 12h or 90d.

    \b
    Examples:
      genkan tenant update --set enumeration=uniform
      genkan tenant update --set password_min_length=15 --set access_token_lifetime=5m
      genkan tenant update --set break_glass=0b6c1a52-6d0f-4d1c-9a40-5f3f1f0a7c11
      genkan tenant update --set foreign_hashes=        nobody is expected any more with an imported hash
    """
    from genkan.service.admin import tenants

    wanted: dict[str, Any] = {}
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError(f"--set wants NAME=VALUE, as code_lifetime=3m, and not {text}.")
        wanted[name.strip()] = _read(name.strip(), value.strip())
    changed = done(data, tenant, lambda office, actor: tenants.change(office.door, actor, wanted))
    for name in wanted:
        value = getattr(changed, name)
        click.echo(f"{name} = {_said(value) if value != () else 'empty'}")


@tenant.command(context_settings=CONTEXT)
@click.argument("name")
@click.option(
    "--alias", "aliases", multiple=True, metavar="NAME", help="A further name, as shop.example.com."
)
@deployment
@as_json
def create(name: str, aliases: tuple[str, ...], data: Path, tenant: str | None, as_json: bool) -> None:
    """
    Create a tenant. NAME is the first segment of its paths: small letters and digits.

    There is nobody in it and no secret. A server that runs already serves it after its next start.

    \b
    Examples:
      genkan tenant create shop
      genkan tenant create shop --alias shop.example.com
      genkan app create Desk --tenant shop
    """
    import uuid

    from genkan import bootstrap
    from genkan.model import Tenant
    from genkan.service.admin import tenants
    from genkan.service.admin.door import Refusal

    if tenant is not None:
        raise click.UsageError("--tenant is not for this: the new tenant is called NAME.")
    new, place = Tenant(id=str(uuid.uuid4()), name=name, aliases=aliases), database()

    async def run() -> Tenant | Refusal:
        async with bootstrap.founding(data, new, place) as office:
            return await tenants.add(office.door, actor(), new)

    with one_sentence():
        made = accepted(asyncio.run(run()))
    if as_json:
        as_lines([{"id": made.id, "name": made.name, "aliases": made.aliases}])
        return
    click.echo(f"Created the tenant {made.name}, {made.id}.")
    click.echo(f"Make its first application: genkan app create NAME --tenant {made.name}")
    click.echo(f"Or let whoever administers it make theirs: genkan tenant bootstrap --tenant {made.name}")


@tenant.command(context_settings=CONTEXT)
@deployment
@as_json
def bootstrap(data: Path, tenant: str | None, as_json: bool) -> None:
    """
    Make the token that makes the first administration client: once, within an hour, from wherever the server is.

    A tenant has no administrator to begin with, and no secret. Whoever shows the token at /TENANT/oauth2/v2.0/register
    gets a client that holds every permission, with a secret that the server makes; or with a certificate of its own.

    \b
    Examples:
      genkan tenant bootstrap --tenant shop
      curl -X POST https://login.example.com/shop/oauth2/v2.0/register -H "Authorization: Bearer TOKEN" \\
        -H "Content-Type: application/json" -d '{"client_name": "Desk"}'
    """
    from genkan.service.admin import first

    async def act(office: Office, actor: Actor) -> tuple[str, NewToken] | Refusal:
        made = await first.issue(office.door, actor)
        return made if isinstance(made, Refusal) else (office.store.directory().tenant.name, made)

    from genkan.service.admin.door import Refusal

    name, made = done(data, tenant, act)
    if as_json:
        as_lines([{"token": made.text, "path": f"/{name}/oauth2/v2.0/register", "expires": made.expires_at}])
        return
    click.echo(f"{made.text}\n")
    click.echo(f"Shown only here, good once and until {made.expires_at:%Y-%m-%d %H:%M} UTC. To use it:\n")
    click.echo(f"  curl -X POST https://login.example.com/{name}/oauth2/v2.0/register \\")
    click.echo('    -H "Authorization: Bearer TOKEN" \\')
    click.echo("""    -H "Content-Type: application/json" -d '{"client_name": "Desk"}'""")


@tenant.command(context_settings=CONTEXT)
@click.argument("name")
@deployment
@destroys
def delete(name: str, data: Path, tenant: str | None, yes: bool, dry_run: bool) -> None:
    """
    Delete a tenant and everything of it: people, applications, policies, keys and both logs. Nothing brings it back.

    Stop the servers that serve it first.

    \b
    Examples:
      genkan tenant delete shop --dry-run
      genkan tenant delete shop --yes
    """
    from genkan import bootstrap
    from genkan.engine.queries import Query
    from genkan.service.admin import tenants

    if tenant not in (None, name):
        raise click.UsageError("--tenant is not for this: the tenant to delete is NAME.")

    async def look(reader: Reader, _: Clock) -> tuple[str, int]:
        people = await reader.people(Query(limit=1, count=True))
        return reader.directory().tenant.name, people.count or 0

    called, people = looked_at(data, name, look)
    if not agreed(f"Delete the tenant {called} with its {people:,} people", yes=yes, dry_run=dry_run):
        return
    done(data, name, lambda office, actor: tenants.allow_removal(office.door, actor))
    place = database()
    with one_sentence():
        asyncio.run(bootstrap.remove_tenant(data, name, place))
    click.echo(f"Deleted the tenant {called}.")


def _read(name: str, value: str) -> Any:
    """A value as it was typed, of the type that the setting has; the act judges it."""
    from genkan.model import Tenant

    kind = type(getattr(Tenant(id="", name=""), name, ""))
    if kind is bool and value.lower() in ("true", "yes", "false", "no"):
        return value.lower() in ("true", "yes")
    if kind is int and re.fullmatch(r"\d{1,9}", value):
        return int(value)
    if kind is timedelta and (span := re.fullmatch(r"(\d{1,6})([smhdw])", value)):
        return timedelta(**{SPANS[span[2]]: int(span[1])})
    if kind is tuple:
        return tuple(filter(None, (part.strip() for part in value.split(","))))
    return value


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, timedelta):
        seconds = int(value.total_seconds())
        for size, word in ((86400, "d"), (3600, "h"), (60, "m")):
            if seconds and seconds % size == 0:
                return f"{seconds // size}{word}"
        return f"{seconds}s"
    return ", ".join(value) if isinstance(value, tuple) else str(value)
