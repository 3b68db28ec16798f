"""`genkan app`: applications, their secrets, and what they may do."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genkan.cli.common import CONTEXT, agreed, as_json, deployment, destroys, done, looked_at
from genkan.cli.showing import as_facts, as_lines, as_table

if TYPE_CHECKING:
    from datetime import datetime

    from genkan.bootstrap import Office
    from genkan.engine.messages import Directory
    from genkan.service.admin.applications import Application, ApplicationChange
    from genkan.service.admin.door import Actor, Refusal


@click.group(context_settings=CONTEXT)
def app() -> None:
    """
    Applications: list, show, create, update, delete; their secrets and permissions.

    \b
    Examples:
      genkan app create Shop --public --native --origin https://shop.example.com
      genkan app create Orders --api api://orders --offers Orders.Read
      genkan app update Shop --asks api://orders/Orders.Read
    """


def _shape(command: Any) -> Any:
    """The options that say what an application is."""
    for option in reversed(
        (
            click.option(
                "--public/--confidential",
                "is_public",
                default=None,
                help="In people's hands, or with a secret on a server.",
            ),
            click.option(
                "--native/--no-native",
                "is_native",
                default=None,
                help="May sign people in with its own screens.",
            ),
            click.option(
                "--origin",
                "origins",
                multiple=True,
                help="A web origin that may call for it, as https://shop.example.",
            ),
            click.option(
                "--api", default=None, help="The identifier of the API that it offers, as api://orders."
            ),
            click.option("--offers", multiple=True, help="A scope of that API, as Orders.Read."),
            click.option(
                "--asks", multiple=True, help="A scope it may ask for, as api://orders/Orders.Read."
            ),
            click.option(
                "--open-region",
                "opened",
                multiple=True,
                help="A calling code that its texts go to beside those that are open, as 84.",
            ),
            click.option(
                "--close-region",
                "closed",
                multiple=True,
                help="A calling code that they do not go to. none empties either list.",
            ),
            click.option(
                "--network",
                "networks",
                multiple=True,
                help="A network from which it may administer, as 203.0.113.0/24. none: from anywhere.",
            ),
            click.option("--notes", default=None, help="Whatever is worth noting."),
        )
    ):
        command = option(command)
    return command


@app.command("list", context_settings=CONTEXT)
@deployment
@as_json
def list_(data: Path, tenant: str | None, as_json: bool) -> None:
    """
    List the applications.

    \b
    Examples:
      genkan app list
      genkan app list --json | jq -r .appId
    """
    from genkan.service.admin import applications

    directory = looked_at(data, tenant, _directory)
    found = sorted(applications.all_of(directory), key=lambda a: a.name.lower())
    if as_json:
        as_lines(map(_as_graph, found))
        return
    as_table(
        ("Name", "Kind", "API", "App id"),
        ((a.name, _kind(a), a.resource.uri if a.resource else "", a.id) for a in found),
        "There are no applications.",
    )


@app.command(context_settings=CONTEXT)
@click.argument("app")
@deployment
@as_json
def show(app: str, data: Path, tenant: str | None, as_json: bool) -> None:
    """
    Show one application. APP is its name or app id.

    \b
    Examples:
      genkan app show Shop
    """
    directory = looked_at(data, tenant, _directory)
    found = _named(directory, app)
    if as_json:
        as_lines([_as_graph(found)])
        return
    client, resource = found.client, found.resource
    facts: dict[str, Any] = {"Name": found.name, "App id": found.id, "Kind": _kind(found)}
    if client is not None:
        facts |= {
            "First factor": {"password": "password", "email_otp": "e-mail code"}.get(
                directory.user_flow(client).first_factor, ""
            ),
            "Sign-up": "yes" if directory.user_flow(client).sign_up else "no",
            "Origins": client.origins,
            "May ask for": client.scopes,
            "Texts also go to": client.regions_opened,
            "Texts do not go to": client.regions_closed,
            "Administers from": client.networks,
            "Permissions": client.app_roles,
            "Secrets": [_credential(s.name, s.expires_at, s.id, s.hint) for s in client.secrets],
            "Certificates": [_credential(c.name, c.expires_at, c.id) for c in client.certificates],
            "Notes": client.registration.notes,
        }
    if resource is not None:
        facts |= {"Offers the API": resource.uri, "Its scopes": resource.scopes}
    as_facts(facts)


@app.command(context_settings=CONTEXT)
@click.argument("name")
@_shape
@deployment
@as_json
def create(name: str, data: Path, tenant: str | None, as_json: bool, **shape: Any) -> None:
    """
    Create an application. It is confidential and not native unless you say so.

    \b
    Examples:
      genkan app create Shop --public --native --origin https://shop.example.com
      genkan app create Orders --api api://orders --offers Orders.Read --offers Orders.Write
    """
    from genkan.service.admin import applications

    async def act(office: Office, actor: Actor) -> Application | Refusal:
        change = _change(office.store.directory(), name, **shape)
        return await applications.add(office.door, actor, change)

    made = done(data, tenant, act)
    if as_json:
        as_lines([_as_graph(made)])
    else:
        click.echo(f"Created {made.name}, {made.id}.")


@app.command(context_settings=CONTEXT)
@click.argument("app")
@click.option("--name", default=None, help="Another name.")
@_shape
@deployment
@as_json
def update(app: str, name: str | None, data: Path, tenant: str | None, as_json: bool, **shape: Any) -> None:
    """
    Change an application. What is given replaces what was there: name every origin and scope it shall have.

    \b
    Examples:
      genkan app update Shop --asks api://orders/Orders.Read --notes "Ours"
    """
    from genkan.service.admin import applications

    if name is None and all(value in (None, ()) for value in shape.values()):
        raise click.UsageError("Say what to change; genkan app update --help lists it.")

    async def act(office: Office, actor: Actor) -> Application | Refusal:
        directory = office.store.directory()
        change = _change(directory, name, **shape)
        return await applications.change(office.door, actor, _named(directory, app).id, change)

    changed = done(data, tenant, act)
    if as_json:
        as_lines([_as_graph(changed)])
    else:
        click.echo(f"Changed {changed.name}.")


@app.command(context_settings=CONTEXT)
@click.argument("app")
@destroys
@deployment
def delete(app: str, yes: bool, dry_run: bool, data: Path, tenant: str | None) -> None:
    """
    Delete an application. Nobody signs in to it any more, and its tokens are refreshed no more.

    \b
    Examples:
      genkan app delete Shop --dry-run
      genkan app delete Shop --yes
    """
    from genkan.service.admin import applications

    found = _named(looked_at(data, tenant, _directory), app)
    if agreed(f"Delete the application {found.name} ({found.id})", yes=yes, dry_run=dry_run):
        done(data, tenant, lambda office, actor: applications.remove(office.door, actor, found.id))
        click.echo(f"Deleted {found.name}.")


@app.command("add-secret", context_settings=CONTEXT)
@click.argument("app")
@click.option("--name", default="", help="What it is for.")
@click.option("--days", type=click.IntRange(1, 3650), default=730, help="How long it is good. [730]")
@deployment
@as_json
def add_secret(app: str, name: str, days: int, data: Path, tenant: str | None, as_json: bool) -> None:
    """
    Make a secret for a confidential application. It is shown once.

    \b
    Examples:
      genkan app add-secret "Support desk" --days 90
    """
    from genkan.service.admin import applications
    from genkan.service.admin.applications import NewSecret

    async def act(office: Office, actor: Actor) -> NewSecret | Refusal:
        id, now = _named(office.store.directory(), app).id, office.clock.now()
        ends = now + timedelta(days=days)
        return await applications.add_secret(office.door, actor, id, name, starts_at=now, expires_at=ends)

    made = done(data, tenant, act)
    if as_json:
        as_lines([{"keyId": made.kept.id, "secretText": made.text, "endDateTime": made.kept.expires_at}])
    else:
        click.echo(f"{made.text}\n\nKeep it now: it is shown only here. Its id is {made.kept.id}.")


@app.command("remove-secret", context_settings=CONTEXT)
@click.argument("app")
@click.argument("secret")
@destroys
@deployment
def remove_secret(app: str, secret: str, yes: bool, dry_run: bool, data: Path, tenant: str | None) -> None:
    """
    Take a secret away, by its id; administration tokens of the application are dead at once.

    \b
    Examples:
      genkan app show "Support desk"            has the ids of its secrets
      genkan app remove-secret "Support desk" 0b6c1a52-6d0f-4d1c-9a40-5f3f1f0a7c11 --yes
    """
    from genkan.service.admin import applications

    found = _named(looked_at(data, tenant, _directory), app)
    if agreed(f"Remove the secret {secret} of {found.name}", yes=yes, dry_run=dry_run):
        done(
            data,
            tenant,
            lambda office, actor: applications.remove_secret(office.door, actor, found.id, secret),
        )
        click.echo(f"{found.name} has this secret no more.")


@app.command(context_settings=CONTEXT)
@click.argument("app")
@click.argument("permission")
@deployment
def grant(app: str, permission: str, data: Path, tenant: str | None) -> None:
    """
    Let a confidential application do something by the administration API, as User.Read.All.

    \b
    Example:
      genkan app grant "Support desk" User.Read.All
    """
    from genkan.service.admin import applications

    if permission not in applications.PERMISSIONS:
        raise click.ClickException(
            f"There is no permission {permission}: {', '.join(sorted(applications.PERMISSIONS))}."
        )

    async def act(office: Office, actor: Actor) -> Application | Refusal:
        return await applications.grant_role(
            office.door, actor, _named(office.store.directory(), app).id, permission
        )

    click.echo(f"{done(data, tenant, act).name} holds {permission}.")


@app.command(context_settings=CONTEXT)
@click.argument("app")
@click.argument("permission")
@deployment
def withdraw(app: str, permission: str, data: Path, tenant: str | None) -> None:
    """
    Take a permission of the administration API from an application; its tokens are dead at once.

    \b
    Examples:
      genkan app withdraw "Support desk" User.Read.All
    """
    from genkan.service.admin import applications

    async def act(office: Office, actor: Actor) -> Application | Refusal:
        return await applications.withdraw_role(
            office.door, actor, _named(office.store.directory(), app).id, permission
        )

    click.echo(f"{done(data, tenant, act).name} holds {permission} no more.")


async def _directory(reader: Any, _: Any) -> Directory:
    found: Directory = reader.directory()
    return found


def _named(directory: Directory, name: str) -> Application:
    """The application that is meant. Raises: `ClickException`."""
    from genkan.service.admin import applications

    found = [a for a in applications.all_of(directory) if name in (a.id, a.name)]
    if len(found) != 1:
        many = "There is no application" if not found else "Several applications are called"
        raise click.ClickException(f"{many} {name}. Look with genkan app list, and give an app id.")
    return found[0]


def _change(
    directory: Directory,
    name: str | None,
    *,
    is_public: bool | None,
    is_native: bool | None,
    origins: tuple[str, ...],
    api: str | None,
    offers: tuple[str, ...],
    asks: tuple[str, ...],
    opened: tuple[str, ...],
    closed: tuple[str, ...],
    networks: tuple[str, ...],
    notes: str | None,
) -> ApplicationChange:
    from msgspec import UNSET

    from genkan.model import RedirectUris
    from genkan.service.admin.applications import ApplicationChange

    return ApplicationChange(
        name=UNSET if name is None else name,
        is_public=UNSET if is_public is None else is_public,
        is_native=UNSET if is_native is None else is_native,
        redirect_uris=RedirectUris(single_page=origins) if origins else UNSET,
        uris=UNSET if api is None else (api,) if api else (),
        scopes=offers or UNSET,
        wants=_wants(directory, asks) if asks else UNSET,
        regions_opened=_regions(opened),
        regions_closed=_regions(closed),
        networks=() if networks == ("none",) else networks or UNSET,
        notes=UNSET if notes is None else notes,
    )


def _regions(codes: tuple[str, ...]) -> Any:
    """Calling codes, with or without the plus; `none` empties the list."""
    from msgspec import UNSET

    if not codes:
        return UNSET
    return () if codes == ("none",) else tuple(code.strip().removeprefix("+") for code in codes)


def _wants(directory: Directory, asks: tuple[str, ...]) -> str:
    """Scopes by their full names, as Graph writes what an application may ask for. Raises: `ClickException`."""
    import msgspec

    from genkan.service.admin import applications

    known = {
        f"{a.resource.uri}/{scope.value}": (a.id, scope.id)
        for a in applications.offered(directory)
        if a.resource is not None
        for scope in applications.scopes_of(a)
    }
    wanted: dict[str, list[dict[str, str]]] = {}
    for scope in asks:
        if scope not in known:
            raise click.ClickException(
                f"No API offers {scope}: there are {', '.join(sorted(known)) or 'none'}."
            )
        api, id = known[scope]
        wanted.setdefault(api, []).append({"id": id, "type": "Scope"})
    return msgspec.json.encode(
        [{"resourceAppId": api, "resourceAccess": access} for api, access in wanted.items()]
    ).decode()


def _credential(name: str, ends: datetime | None, id: str, hint: str = "") -> str:
    until = f"until {ends:%Y-%m-%d}" if ends else "without end"
    return f"{name or 'unnamed'} {f'{hint}… ' if hint else ''}{until} ({id})"


def _kind(app: Application) -> str:
    if app.client is None:
        return "API"
    return f"{app.client.kind}, native" if app.client.native else app.client.kind


def _as_graph(app: Application) -> dict[str, Any]:
    """An application, in the words of Microsoft Graph where there are any."""
    client, resource = app.client, app.resource
    return {
        "id": app.object_id,
        "appId": app.id,
        "displayName": app.name,
        "isFallbackPublicClient": client is not None and client.kind == "public",
        "nativeAuthenticationApisEnabled": "all" if client is not None and client.native else "none",
        "origins": client.origins if client else (),
        "identifierUris": (resource.uri,) if resource else (),
        "offers": resource.scopes if resource else (),
        "asks": client.scopes if client else (),
        "permissions": client.app_roles if client else (),
        "smsOptions": {
            "includeAdditionalRegions": [int(code) for code in client.regions_opened],
            "excludeRegions": [int(code) for code in client.regions_closed],
        }
        if client
        else None,
        "passwordCredentials": [
            {"keyId": s.id, "displayName": s.name, "hint": s.hint, "endDateTime": s.expires_at}
            for s in (client.secrets if client else ())
        ],
    }
