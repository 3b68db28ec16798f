"""`genkan signals`: who receives security events, what waits for them, and what none of them took."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genkan.cli.common import CONTEXT, agreed, as_json, deployment, destroys, done, looked_at
from genkan.cli.showing import as_facts, as_lines, as_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genkan.bootstrap import Clock, Office
    from genkan.engine.messages import Directory
    from genkan.engine.transaction import Dead
    from genkan.model import Stream, Transmitter
    from genkan.service.admin.door import Actor, Refusal
    from genkan.store.tenant import Reader


@click.group(context_settings=CONTEXT)
def signals() -> None:
    """
    Receivers of security events (Shared Signals, CAEP, RISC): list, add, pause, remove, and what was not taken.

    \b
    Examples:
      genkan signals add Shop --push https://shop.example.com/events
      genkan signals list
      genkan signals dead
    """


@signals.command("list", context_settings=CONTEXT)
@deployment
@as_json
def list_(data: Path, tenant: str | None, as_json: bool) -> None:
    """
    List the receivers, and how many events wait for each.

    \b
    Examples:
      genkan signals list
    """

    async def look(reader: Reader, _: Clock) -> tuple[Directory, Mapping[str, tuple[int, int]]]:
        return reader.directory(), await reader.waiting_signals()

    directory, waiting = looked_at(data, tenant, look)
    streams = directory.streams.values()
    if as_json:
        as_lines(_as_object(directory, s, waiting) for s in streams)
        return
    as_table(
        ("Receiver", "Delivery", "Status", "Waiting", "Dead", "Id"),
        (
            (
                _called(directory, s),
                s.url if s.delivery == "push" else "poll",
                s.status,
                *waiting.get(s.id, (0, 0)),
                s.id,
            )
            for s in streams
        ),
        "Nobody receives security events. Add a receiver: genkan signals add APP",
    )


@signals.command(context_settings=CONTEXT)
@click.argument("receiver")
@deployment
@as_json
def show(receiver: str, data: Path, tenant: str | None, as_json: bool) -> None:
    """
    Show one receiver. RECEIVER is the name or id of its application, or the id of its stream.

    \b
    Examples:
      genkan signals show Shop
    """

    async def look(reader: Reader, _: Clock) -> tuple[Directory, Mapping[str, tuple[int, int]]]:
        return reader.directory(), await reader.waiting_signals()

    directory, waiting = looked_at(data, tenant, look)
    found = _stream(directory, receiver)
    if as_json:
        as_lines([_as_object(directory, found, waiting)])
        return
    waits, dead = waiting.get(found.id, (0, 0))
    as_facts(
        {
            "Receiver": _called(directory, found),
            "Id": found.id,
            "Application": found.client,
            "Audience": found.audience,
            "Delivery": f"push to {found.url}" if found.delivery == "push" else "poll",
            "Authorization": "a header is sent" if found.authorization else "",
            "About": "everybody but whom it removed" if found.every_subject else "those whom it added",
            "Events": [event.rpartition("/")[2] for event in found.events],
            "Status": found.status + (", by an operator" if found.held else ""),
            "Reason": found.reason,
            "Waiting": waits,
            "Dead": dead,
            "Since": found.created_at,
        }
    )


@signals.command(context_settings=CONTEXT)
@click.argument("app")
@click.option("--push", "url", default="", metavar="URL", help="Push to this https address; else it polls.")
@click.option(
    "--authorization-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    default=None,
    help="A file with the Authorization header to send with each push.",
)
@click.option(
    "--event", "events", multiple=True, metavar="NAME", help="As session-revoked; all where none is named."
)
@click.option("--audience", default="", help="The aud of its events. [the id of the application]")
@click.option("--added-only", is_flag=True, help="Only about people whom it adds.")
@click.option("--email-codes", is_flag=True, help="It knows the credential type email-otp.")
@deployment
@as_json
def add(
    app: str,
    url: str,
    authorization_file: Path | None,
    events: tuple[str, ...],
    audience: str,
    added_only: bool,
    email_codes: bool,
    data: Path,
    tenant: str | None,
    as_json: bool,
) -> None:
    """
    Let an application receive security events. APP is the name or id of a confidential application.

    It may manage its stream itself once it holds the permission SharedSignals.Receive.

    \b
    Examples:
      genkan signals add Shop --push https://shop.example.com/events
      genkan signals add Reports --event session-revoked --event credential-change
      genkan app grant Shop SharedSignals.Receive
    """
    from msgspec import UNSET

    from genkan.engine import signals as words
    from genkan.service.admin import streams

    try:
        wanted = tuple(dict.fromkeys(words.named(event) for event in events))
    except KeyError as error:
        known = ", ".join(event.rpartition("/")[2] for event in words.EVENTS)
        raise click.UsageError(f"There is no event {error.args[0]}. There are {known}.") from None
    header = ""
    if authorization_file is not None:
        if not url:
            raise click.UsageError("--authorization-file goes with --push.")
        header = authorization_file.read_text(encoding="utf-8").strip()
    change = streams.StreamChange(
        delivery="push" if url else "poll",
        url=url,
        authorization=header or UNSET,
        events=wanted or UNSET,
        audience=audience or UNSET,
        every_subject=not added_only,
        email_codes=email_codes,
    )

    async def act(office: Office, actor: Actor) -> Stream | Refusal:
        client = _application(office.store.directory(), app)
        return await streams.add(office.door, actor, client, change, office.seal)

    made = done(data, tenant, act)
    if as_json:
        as_lines([{"id": made.id, "client": made.client, "audience": made.audience}])
        return
    click.echo(f"Added the stream {made.id}.")
    click.echo(f"Its events are for the audience {made.audience}.")


@signals.command(context_settings=CONTEXT)
@click.argument("receiver")
@click.option("--reason", default="", help="Told to the receiver.")
@click.option("--disable", is_flag=True, help="Keep nothing for it meanwhile.")
@deployment
def pause(receiver: str, reason: str, disable: bool, data: Path, tenant: str | None) -> None:
    """
    Send a receiver nothing for now: its events are held for seven days, or with --disable not even kept.

    \b
    Examples:
      genkan signals pause Shop --reason "Being moved"
      genkan signals pause Shop --disable
    """
    _set_status(receiver, "disabled" if disable else "paused", reason, data, tenant)


@signals.command(context_settings=CONTEXT)
@click.argument("receiver")
@deployment
def resume(receiver: str, data: Path, tenant: str | None) -> None:
    """
    Let a receiver have its events again, those that were held first.

    \b
    Examples:
      genkan signals resume Shop
    """
    _set_status(receiver, "enabled", "", data, tenant)


@signals.command(context_settings=CONTEXT)
@click.argument("receiver")
@deployment
@destroys
def remove(receiver: str, data: Path, tenant: str | None, yes: bool, dry_run: bool) -> None:
    """
    Remove a receiver, and what waits for it.

    \b
    Examples:
      genkan signals remove Shop --dry-run
      genkan signals remove Shop --yes
    """
    from genkan.service.admin import streams

    async def look(reader: Reader, _: Clock) -> tuple[str, Stream, int]:
        stream = _stream(reader.directory(), receiver)
        waits, dead = (await reader.waiting_signals()).get(stream.id, (0, 0))
        return _called(reader.directory(), stream), stream, waits + dead

    name, stream, count = looked_at(data, tenant, look)
    if not agreed(f"Remove the receiver {name} and {count} events of it", yes=yes, dry_run=dry_run):
        return
    done(data, tenant, lambda office, actor: streams.remove(office.door, actor, stream.id))
    click.echo(f"Removed the receiver {name}.")


@signals.command(context_settings=CONTEXT)
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@deployment
@as_json
def dead(limit: int, data: Path, tenant: str | None, as_json: bool) -> None:
    """
    Show events that a receiver refused, or did not take in seven days. They are kept for thirty.

    \b
    Examples:
      genkan signals dead
      genkan signals retry
    """

    async def look(reader: Reader, _: Clock) -> tuple[Directory, tuple[Dead, ...]]:
        return reader.directory(), await reader.dead_signals(limit)

    directory, found = looked_at(data, tenant, look)
    if as_json:
        as_lines(
            {
                "jti": one.signal.id,
                "stream": one.stream,
                "event": one.signal.event,
                "subject": one.signal.subject,
                "attempts": one.attempts,
                "at": one.at,
                "why": one.why,
            }
            for one in found
        )
        return
    as_table(
        ("Given up", "Receiver", "Event", "Attempts", "Why", "Id"),
        (
            (
                one.at,
                _called(directory, directory.streams[one.stream]) if one.stream in directory.streams else "",
                one.signal.event.rpartition("/")[2],
                one.attempts,
                one.why,
                one.signal.id,
            )
            for one in found
        ),
        "There are no dead events.",
    )


@signals.command(context_settings=CONTEXT)
@click.argument("id", required=False, default="")
@deployment
def retry(id: str, data: Path, tenant: str | None) -> None:
    """
    Offer dead events to their receivers again: the one of this ID, or all.

    \b
    Examples:
      genkan signals retry
    """
    from genkan.service.admin import streams

    count = done(data, tenant, lambda office, actor: streams.retry(office.door, office.store, actor, id))
    if not count:
        raise click.ClickException("There is no such dead event." if id else "There are no dead events.")
    click.echo(f"Offered again: {count}.")


@signals.command(context_settings=CONTEXT)
@click.argument("name")
@click.option("--issuer", required=True, help="The iss of its events.")
@click.option("--audience", required=True, help="What their aud has to be.")
@click.option(
    "--keys",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    default=None,
    help="A file with its public keys, as a JWK set.",
)
@click.option("--keys-url", default="", metavar="URL", help="Where its keys are published; https.")
@click.option("--keep-sessions", is_flag=True, help="Its events raise risk, and end no session.")
@deployment
@as_json
def trust(
    name: str,
    issuer: str,
    audience: str,
    keys: Path | None,
    keys_url: str,
    keep_sessions: bool,
    data: Path,
    tenant: str | None,
    as_json: bool,
) -> None:
    """
    Hear the security events of somebody else. They may raise risk and end sessions, and never the contrary.

    \b
    Examples:
      genkan signals trust Mail --issuer https://mail.example --audience genkan --keys-url https://mail.example/jwks
    """
    from genkan.model import Transmitter
    from genkan.service.admin import streams

    new = Transmitter(
        id="",
        name=name,
        issuer=issuer,
        audience=audience,
        keys=keys.read_text(encoding="utf-8") if keys is not None else "",
        keys_url=keys_url,
        ends_sessions=not keep_sessions,
    )
    made = done(data, tenant, lambda office, actor: streams.trust(office.door, actor, new))
    if as_json:
        as_lines([{"id": made.id, "name": made.name, "issuer": made.issuer}])
        return
    click.echo(f"Events of {made.issuer} are heard at /ssf/events below the tenant.")


@signals.command(context_settings=CONTEXT)
@deployment
@as_json
def trusted(data: Path, tenant: str | None, as_json: bool) -> None:
    """
    List whose security events are heard.

    \b
    Examples:
      genkan signals trusted
    """

    async def look(reader: Reader, _: Clock) -> list[Transmitter]:
        return list(reader.directory().transmitters.values())

    found = looked_at(data, tenant, look)
    if as_json:
        as_lines(
            {
                "id": one.id,
                "name": one.name,
                "issuer": one.issuer,
                "audience": one.audience,
                "keysUrl": one.keys_url,
                "endsSessions": one.ends_sessions,
            }
            for one in found
        )
        return
    as_table(
        ("Name", "Issuer", "Audience", "Keys", "Ends sessions"),
        ((t.name, t.issuer, t.audience, t.keys_url or "given", t.ends_sessions) for t in found),
        "Nobody else's security events are heard.",
    )


@signals.command(context_settings=CONTEXT)
@click.argument("name")
@deployment
@destroys
def distrust(name: str, data: Path, tenant: str | None, yes: bool, dry_run: bool) -> None:
    """
    Hear somebody's security events no more. NAME is a name, an issuer or an id.

    \b
    Examples:
      genkan signals distrust Mail --dry-run
    """
    from genkan.service.admin import streams

    async def look(reader: Reader, _: Clock) -> Transmitter:
        for one in reader.directory().transmitters.values():
            if name in (one.id, one.name, one.issuer):
                return one
        raise click.ClickException(f"Nobody called {name} is heard.")

    found = looked_at(data, tenant, look)
    if agreed(f"Hear {found.name} no more", yes=yes, dry_run=dry_run):
        done(data, tenant, lambda office, actor: streams.distrust(office.door, actor, found.id))
        click.echo(f"{found.name} is heard no more.")


def _set_status(receiver: str, status: Any, reason: str, data: Path, tenant: str | None) -> None:
    from genkan.service.admin import streams

    async def act(office: Office, actor: Actor) -> Stream | Refusal:
        stream = _stream(office.store.directory(), receiver)
        return await streams.set_status(office.door, actor, stream.id, status, reason)

    changed = done(data, tenant, act)
    click.echo(f"The stream {changed.id} is {changed.status}.")


def _stream(directory: Directory, name: str) -> Stream:
    """The stream that is meant. Raises: `ClickException`."""
    for stream in directory.streams.values():
        client = directory.clients.get(stream.client)
        if name.lower() in (stream.id, stream.client) or (client is not None and client.name == name):
            return stream
    raise click.ClickException(f"Nobody called {name} receives security events.")


def _application(directory: Directory, name: str) -> str:
    """The id of the application that is meant. Raises: `ClickException`."""
    found = [c.id for c in directory.clients.values() if c.name == name or c.id == name.lower()]
    if len(found) != 1:
        why = f"There is no application {name}." if not found else f"Several are called {name}: give its id."
        raise click.ClickException(why)
    return found[0]


def _called(directory: Directory, stream: Stream) -> str:
    client = directory.clients.get(stream.client)
    return client.name if client is not None else stream.client


def _as_object(
    directory: Directory, stream: Stream, waiting: Mapping[str, tuple[int, int]]
) -> dict[str, Any]:
    waits, dead = waiting.get(stream.id, (0, 0))
    return {
        "id": stream.id,
        "client": stream.client,
        "name": _called(directory, stream),
        "audience": stream.audience,
        "delivery": stream.delivery,
        "url": stream.url,
        "events": stream.events,
        "everySubject": stream.every_subject,
        "emailCodes": stream.email_codes,
        "status": stream.status,
        "reason": stream.reason,
        "waiting": waits,
        "dead": dead,
    }
