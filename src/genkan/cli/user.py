"""`genkan user`: the people of a tenant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genkan.cli.common import CONTEXT, agreed, as_json, deployment, destroys, done, looked_at
from genkan.cli.showing import as_facts, as_lines, as_table
from genkan.cli.user_import import import_

if TYPE_CHECKING:
    from genkan.bootstrap import Clock, Office
    from genkan.model import Authenticator, Group, Scalar, Subject
    from genkan.service.admin.door import Actor, Refusal
    from genkan.service.admin.people import PersonChange
    from genkan.service.ports import View
    from genkan.store.tenant import Reader


@click.group(context_settings=CONTEXT)
def user() -> None:
    """
    People: list, show, create, update, delete, and bring them from another system.

    \b
    Examples:
      genkan user list --search ada
      genkan user create ada@example.com --name "Ada Lovelace"
      genkan user import users.csv --from csv --dry-run
    """


user.add_command(import_)


@user.command("list", context_settings=CONTEXT)
@click.option("--search", default="", help="Names and addresses that begin like this.")
@click.option("--limit", type=click.IntRange(1), default=100, help="How many at most. [100]")
@click.option("--deleted", is_flag=True, help="Those who were deleted and can be brought back.")
@deployment
@as_json
def list_(search: str, limit: int, deleted: bool, data: Path, tenant: str | None, as_json: bool) -> None:
    """
    List people.

    \b
    Examples:
      genkan user list
      genkan user list --search lovelace --json
    """
    from genkan.engine.queries import Order, Query, Some, Term

    found: Some | None = None
    if search:
        names = ("displayName", "givenName", "surname", "mail")
        found = Some(tuple(Term(name, "startswith", search) for name in names))

    async def look(reader: Reader, _: Clock) -> tuple[list[Subject], int]:
        after, people, count = None, list[Any](), None
        while len(people) < limit:
            query = Query(
                where=found,
                order=Order("displayName"),
                after=after,
                limit=min(1000, limit - len(people)),
                count=count is None,
            )
            page = await reader.people(query, deleted=deleted)
            people += page.entries
            count, after = page.count if count is None else count, page.after
            if after is None:
                break
        return people, count or 0

    people, count = looked_at(data, tenant, look)
    if as_json:
        as_lines(map(_as_graph, people))
        return
    as_table(
        ("Name", "Signs in by", "State", "Since", "Id"),
        (
            (
                person.attributes.get("displayName", ""),
                [name.value for name in person.identifiers] or person.principal_name,
                person.status,
                person.created_at,
                person.id,
            )
            for person in people
        ),
        "Nobody is there." if not search else "Nobody is called like that.",
    )
    if count > len(people):
        click.echo(
            f"\n{len(people)} of {count}. Show more with --limit {count}, or look for some with --search."
        )


@user.command(context_settings=CONTEXT)
@click.argument("person")
@deployment
@as_json
def show(person: str, data: Path, tenant: str | None, as_json: bool) -> None:
    """
    Show one person: names, properties, how they sign in, and their groups.

    PERSON is an e-mail address, a username or an id.

    \b
    Example:
      genkan user show ada@example.com
    """

    async def look(reader: Reader, _: Clock) -> tuple[Subject, tuple[Authenticator, ...], tuple[Group, ...]]:
        subject = await reader.look(lambda view: found_person(view, person))
        held = await reader.look(lambda view: view.authenticators(subject.id))
        return subject, held, await reader.groups_of(subject.id, limit=1000)

    subject, held, groups = looked_at(data, tenant, look)
    if as_json:
        methods = [{"kind": a.kind, "target": _masked(a), "secondFactor": a.strong} for a in held]
        as_lines([{**_as_graph(subject), "methods": methods, "groups": [g.id for g in groups]}])
        return
    as_facts(
        {
            "Id": subject.id,
            "Signs in by": [name.value for name in subject.identifiers],
            "Also known as": [f"{name.value} ({name.issuer})" for name in subject.foreign],
            "State": subject.status,
            "Must change password": "yes" if subject.must_change_password else "",
            "Risk": "" if subject.risk.state == "none" else f"{subject.risk.level} ({subject.risk.state})",
            "Since": subject.created_at,
            **{f"  {name}": value for name, value in subject.attributes.items()},
            "First factor": [_method(a) for a in held if not a.strong],
            "Second factors": [_method(a) for a in held if a.strong],
            "Groups": [group.name for group in groups],
        }
    )


@user.command(context_settings=CONTEXT)
@click.argument("person")
@deployment
@as_json
def methods(person: str, data: Path, tenant: str | None, as_json: bool) -> None:
    """
    List whatever a person has ever proven themselves by: since when, who bound it, and what is no more.

    \b
    Example:
      genkan user methods ada@example.com
    """

    async def look(reader: Reader, _: Clock) -> tuple[Authenticator, ...]:
        subject = await reader.look(lambda view: found_person(view, person))
        return await reader.look(lambda view: view.every_authenticator(subject.id))

    bound = [one for held in looked_at(data, tenant, look) for one in _ever(held)]
    if as_json:
        as_lines([{**one, "kind": held.kind, "source": held.source, "id": held.id} for held, one in bound])
        return
    as_table(
        ("Method", "To", "Bound by", "Since", "Until"),
        (
            (
                METHODS[held.kind],
                one["target"],
                held.source.replace("_", " "),
                one["since"],
                one["until"] or "",
            )
            for held, one in bound
        ),
        "There are none.",
    )


def _ever(held: Authenticator) -> list[tuple[Authenticator, dict[str, Any]]]:
    """A method at each of the places that its codes have gone to, masked."""
    from genkan import identifiers

    since, found = held.created_at, []
    for before in held.formerly:
        found.append(
            (held, {"target": identifiers.mask(before.target), "since": since, "until": before.until})
        )
        since = before.until
    return [*found, (held, {"target": _masked(held), "since": since, "until": held.removed_at})]


@user.command(context_settings=CONTEXT)
@click.argument("email")
@click.option("--name", default="", help="The display name.")
@click.option("--username", default="", help="A name to sign in by beside the address.")
@click.option("--set", "properties", multiple=True, metavar="NAME=VALUE", help="A property, as city=Paris.")
@click.option(
    "--sign-in-by",
    type=click.Choice(["code", "password"]),
    default="code",
    help="Codes to the address, or a password that the person sets by “forgot password”. [code]",
)
@click.option("--disabled", is_flag=True, help="May not sign in yet.")
@deployment
@as_json
def create(
    email: str,
    name: str,
    username: str,
    properties: tuple[str, ...],
    sign_in_by: str,
    disabled: bool,
    data: Path,
    tenant: str | None,
    as_json: bool,
) -> None:
    """
    Create a person. Nobody but the person ever knows the password.

    \b
    Examples:
      genkan user create ada@example.com --name "Ada Lovelace"
      genkan user create bob@example.com --sign-in-by password --set city=Paris
    """
    from genkan.intake.formats import RESET
    from genkan.service.admin import people
    from genkan.service.admin.people import EMAIL, USERNAME, Identity, NewPerson

    names = [Identity(EMAIL, "", email), *([Identity(USERNAME, "", username)] if username else [])]
    new = NewPerson(
        identities=tuple(names),
        attributes={n: v for n, v in _properties(properties, name).items() if v is not None},
        material=RESET if sign_in_by == "password" else None,
        enabled=not disabled,
    )
    made = done(data, tenant, lambda office, actor: people.add(office.door, actor, new))
    _say(made, "Created", as_json)


@user.command(context_settings=CONTEXT)
@click.argument("person")
@click.option("--name", default=None, help="The display name.")
@click.option("--email", default=None, help="The address to sign in by.")
@click.option("--username", default=None, help="The name to sign in by; empty takes it away.")
@click.option(
    "--set", "properties", multiple=True, metavar="NAME=VALUE", help="A property; empty takes it away."
)
@click.option("--enable/--disable", "enabled", default=None, help="Whether the person may sign in.")
@deployment
@as_json
def update(
    person: str,
    name: str | None,
    email: str | None,
    username: str | None,
    properties: tuple[str, ...],
    enabled: bool | None,
    data: Path,
    tenant: str | None,
    as_json: bool,
) -> None:
    """
    Change a person. Whoever may sign in no more loses every session; the owner is told of another address.

    \b
    Examples:
      genkan user update ada@example.com --name "Ada King" --set city=London
      genkan user update ada@example.com --disable
    """
    from msgspec import UNSET

    from genkan.service.admin import people
    from genkan.service.admin.people import EMAIL, FEDERATED, USERNAME, Identity, PersonChange

    if not properties and all(given is None for given in (name, email, username, enabled)):
        raise click.UsageError(
            "Say what to change: --name, --email, --username, --set, --enable or --disable."
        )

    def change(subject: Subject) -> PersonChange:
        kept: dict[str, str] = {i.kind: i.value for i in subject.identifiers}
        wanted = kept | {k: v for k, v in (("email", email), ("username", username)) if v is not None}
        kinds = {"email": EMAIL, "username": USERNAME}
        names = [Identity(kinds[kind], "", value) for kind, value in wanted.items() if value]
        foreign = [Identity(f.kind or FEDERATED, f.issuer, f.value) for f in subject.foreign]
        return PersonChange(
            identities=UNSET if wanted == kept else (*names, *foreign),
            attributes=_properties(properties, name),
            enabled=UNSET if enabled is None else enabled,
        )

    async def act(office: Office, actor: Actor) -> Subject | Refusal:
        subject = await office.store.look(lambda view: found_person(view, person))
        return await people.change(office.door, actor, subject.id, change(subject))

    _say(done(data, tenant, act), "Changed", as_json)


@user.command(context_settings=CONTEXT)
@click.argument("person")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), default=None, help="A new file. [printed]"
)
@deployment
def export(person: str, output: Path | None, data: Path, tenant: str | None) -> None:
    """
    Print as JSON everything that is kept about a person, for a person who asks: no secret, and nothing of others.

    \b
    Examples:
      genkan user export ada@example.com --output ada.json
    """
    import os

    import msgspec

    async def look(reader: Reader, _: Clock) -> dict[str, Any] | None:
        subject = await reader.look(lambda view: _anybody(view, person))
        return await reader.export(subject.id)

    text = msgspec.json.format(msgspec.json.encode(looked_at(data, tenant, look)), indent=2)
    if output is None:
        click.echo(text)
        return
    try:
        with open(output, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(text + b"\n")
    except OSError as error:
        raise click.ClickException(f"The file {output} cannot be made: {error.strerror}.") from None
    click.echo(f"Wrote {output}.")


@user.command(context_settings=CONTEXT)
@click.argument("person")
@click.option("--erase", is_flag=True, help="For good and at once, also somebody who was deleted already.")
@destroys
@deployment
def delete(person: str, erase: bool, yes: bool, dry_run: bool, data: Path, tenant: str | None) -> None:
    """
    Delete a person. For 30 days `genkan user restore` brings them back; nobody else gets their names so long.

    After that, or at once with --erase, everything of them is gone; the sign-in log goes on to know an id.

    \b
    Examples:
      genkan user delete ada@example.com --dry-run
      genkan user delete ada@example.com --yes
      genkan user delete ada@example.com --erase --yes
    """
    from genkan.service.admin import people

    if erase:
        _erase(person, data, tenant, yes=yes, dry_run=dry_run)
        return
    subject = looked_at(data, tenant, lambda reader, _: reader.look(lambda view: found_person(view, person)))
    if not agreed(f"Delete {_called(subject)} and end all their sessions", yes=yes, dry_run=dry_run):
        return
    done(data, tenant, lambda office, actor: people.remove(office.door, actor, subject.id))
    click.echo(
        f"Deleted {_called(subject)}. Bring them back within 30 days: genkan user restore {subject.id}"
    )


@user.command(context_settings=CONTEXT)
@click.argument("person")
@deployment
def restore(person: str, data: Path, tenant: str | None) -> None:
    """
    Bring back a person who was deleted, by id or address.

    \b
    Examples:
      genkan user restore bob@example.com
    """
    from genkan.service.admin import people

    async def act(office: Office, actor: Actor) -> Subject | Refusal:
        subject = await office.store.look(lambda view: found_person(view, person, deleted=True))
        return await people.restore(office.door, actor, subject.id)

    click.echo(f"Brought back {_called(done(data, tenant, act))}.")


@user.command("sign-out", context_settings=CONTEXT)
@click.argument("person")
@destroys
@deployment
def sign_out(person: str, yes: bool, dry_run: bool, data: Path, tenant: str | None) -> None:
    """
    End every session of a person: refresh tokens issued until now are dead.

    \b
    Examples:
      genkan user sign-out bob@example.com --yes
    """
    from genkan.service.admin import people

    subject = looked_at(data, tenant, lambda reader, _: reader.look(lambda view: found_person(view, person)))
    if agreed(f"End every session of {_called(subject)}", yes=yes, dry_run=dry_run):
        done(data, tenant, lambda office, actor: people.revoke_sessions(office.door, actor, subject.id))
        click.echo(f"Every session of {_called(subject)} has ended.")


@user.command("reset-password", context_settings=CONTEXT)
@click.argument("person")
@destroys
@deployment
def reset_password(person: str, yes: bool, dry_run: bool, data: Path, tenant: str | None) -> None:
    """
    Make a password useless: its owner sets a new one by “forgot password”, and is told of it.

    Nobody but the person ever knows a password; so none can be given here.

    \b
    Examples:
      genkan user reset-password bob@example.com --yes
    """
    import secrets

    from genkan.model import Secret
    from genkan.service.admin import people

    subject = looked_at(data, tenant, lambda reader, _: reader.look(lambda view: found_person(view, person)))
    if subject.email is None:
        raise click.ClickException(
            f"{_called(subject)} has no e-mail address, so nothing could be reset. Give one first: "
            f"genkan user update {subject.id} --email ADDRESS"
        )
    if agreed(
        f"Make the password of {_called(subject)} useless and end all their sessions",
        yes=yes,
        dry_run=dry_run,
    ):
        nobodys = Secret(secrets.token_urlsafe(32))
        done(
            data, tenant, lambda office, actor: people.reset_password(office.door, actor, subject.id, nobodys)
        )
        click.echo(f"{_called(subject)} sets a new password by “forgot password” at the next sign-in.")


def _erase(person: str, data: Path, tenant: str | None, *, yes: bool, dry_run: bool) -> None:
    from genkan.service.admin import people
    from genkan.service.admin.door import Refusal

    subject = looked_at(data, tenant, lambda reader, _: reader.look(lambda view: _anybody(view, person)))
    if not agreed(f"Erase {_called(subject)} and everything of them, for good", yes=yes, dry_run=dry_run):
        return

    async def act(office: Office, actor: Actor) -> Subject | Refusal:
        gone: Subject | Refusal = subject
        if subject.status != "deleted":
            gone = await people.remove(office.door, actor, subject.id)
        if not isinstance(gone, Refusal):
            await office.store.erase(subject.id)
        return gone

    done(data, tenant, act)
    click.echo(f"Erased {subject.id}. Backups made until now have them: keep none for longer than 30 days.")


def _anybody(view: View, person: str) -> Subject:
    """The person that is meant, deleted or not. Raises: `ClickException`."""
    try:
        return found_person(view, person)
    except click.ClickException:
        return found_person(view, person, deleted=True)


# Words. --------------------------------------------------------------------------------------------------------------


def found_person(view: View, person: str, *, deleted: bool = False) -> Subject:
    """The person that is meant. Raises: `ClickException`."""
    from genkan import identifiers

    named = identifiers.email(person) or identifiers.username(person)
    subject = view.person(person.strip().lower()) or (view.holder(named.key) if named else None)
    if subject is None or (subject.status == "deleted") is not deleted:
        where = "--deleted" if deleted else "--search"
        raise click.ClickException(
            f"There is no {'deleted ' if deleted else ''}person {person}. Look with genkan user list {where}."
        )
    return subject


def _properties(given: tuple[str, ...], name: str | None) -> dict[str, Scalar | None]:
    """Properties as they were typed; an empty one is taken away."""
    found: dict[str, Scalar | None] = {}
    if name is not None:
        found["displayName"] = name or None
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise click.UsageError(f"--set wants NAME=VALUE, as city=Paris, and not {text}.")
        found[key.strip()] = value or None
    return found


def _called(subject: Subject) -> str:
    """What an operator calls somebody."""
    return next((name.value for name in subject.identifiers), subject.principal_name or subject.id)


def _say(subject: Subject, what: str, as_json: bool) -> None:
    if as_json:
        as_lines([_as_graph(subject)])
    else:
        click.echo(f"{what} {_called(subject)}, {subject.id}.")


METHODS = {
    "password": "password",
    "email_otp": "e-mail code",
    "sms_otp": "text message",
    "passkey": "passkey",
    "federated": "other provider",
}


def _method(held: Authenticator) -> str:
    return " to ".join(filter(None, (METHODS[held.kind], _masked(held))))


def _masked(held: Authenticator) -> str:
    from genkan import identifiers

    return identifiers.mask(held.target) if held.target is not None else ""


def _as_graph(subject: Subject) -> dict[str, Any]:
    """A person in the words of Microsoft Graph."""
    return dict(_graph_members(subject))


def _graph_members(subject: Subject) -> Iterator[tuple[str, Any]]:
    yield "id", subject.id
    yield "accountEnabled", subject.status == "active"
    yield "createdDateTime", subject.created_at
    if subject.deleted_at is not None:
        yield "deletedDateTime", subject.deleted_at
    kinds = {"email": "emailAddress", "username": "userName"}
    yield (
        "identities",
        [
            *({"signInType": kinds[i.kind], "issuerAssignedId": i.value} for i in subject.identifiers),
            *(
                {"signInType": f.kind, "issuer": f.issuer, "issuerAssignedId": f.value}
                for f in subject.foreign
            ),
        ],
    )
    yield from subject.attributes.items()
