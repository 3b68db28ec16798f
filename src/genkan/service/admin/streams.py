"""
Streams of security events: who receives them, of what, how, about whom; and what becomes of a wish to hear no more.

A receiver manages its own stream, an operator any. Neither learns whether there is a person: an answer about somebody
is the same for nobody. A person who is removed is still told of for a while, and one with whom something is wrong is
not removed at all. Source: SSF 1.0, 8.1, 9.1, 9.3; emergency-protocol 11; WHK-06, WHK-09, ENUM-08.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from genkan import identifiers
from genkan.engine import signals
from genkan.engine.messages import (
    Count,
    Directory,
    Effect,
    Emit,
    Follow,
    PutDocument,
    Record,
    RemoveDocument,
    Signal,
    Silence,
)
from genkan.engine.transaction import Change, Loaded, Needs
from genkan.model import Stream, Subject, Transmitter
from genkan.risk import rate
from genkan.service.admin.door import (
    Act,
    Actor,
    Done,
    Door,
    Refusal,
    Target,
    asked,
    differences,
    entropy,
    invalid,
    missing,
)
from genkan.service.admin.extensions import parts_of
from genkan.service.ports import SignalStore, View

ADD = Act("Add signal stream", "ApplicationManagement", "Add", "Other")
UPDATE = Act("Update signal stream", "ApplicationManagement", "Update", "Other")
DELETE = Act("Delete signal stream", "ApplicationManagement", "Delete", "Other")
FOLLOW = Act("Add subject to signal stream", "ApplicationManagement", "Assign", "Other")
UNFOLLOW = Act("Remove subject from signal stream", "ApplicationManagement", "Unassign", "Other")

RECEIVE: Final = "SharedSignals.Receive"
"""The permission of an application to have a stream."""
READ, MANAGE = "ssf.read", "ssf.manage"
SCOPES: Final = frozenset({READ, MANAGE})
"""Scopes of receivers (CAEP Interoperability Profile 2.7.2). The managing one includes the reading one."""
VERIFY_EVERY: Final = timedelta(seconds=30)
VERIFICATIONS: Final = rate.Limit("verifications of a stream", ((1, VERIFY_EVERY),))
MOST_EVENTS, LONGEST_TEXT, LONGEST_URL, MOST_STREAMS = 64, 256, 2048, 32
LONGEST_STATE: Final = 1024

Status = Literal["enabled", "paused", "disabled"]


class StreamChange(Struct, frozen=True, kw_only=True):
    """What is to be changed; a member that is UNSET stays as it is."""

    delivery: Literal["push", "poll"] | UnsetType = UNSET
    url: str | UnsetType = UNSET
    authorization: str | UnsetType = UNSET
    """The header in clear; empty: none."""
    events: tuple[str, ...] | UnsetType = UNSET
    description: str | UnsetType = UNSET
    every_subject: bool | UnsetType = UNSET
    email_codes: bool | UnsetType = UNSET
    audience: str | UnsetType = UNSET


Seal = Callable[[str, str], bytes]
"""Seals a text for a stream, by its id."""


def of_client(directory: Directory, client: str) -> Stream | None:
    """The stream of an application; None where it has none."""
    return next((stream for stream in directory.streams.values() if stream.client == client), None)


async def add(door: Door, actor: Actor, client: str, change: StreamChange, seal: Seal) -> Stream | Refusal:
    """
    Give an application a stream; refused where it has one (`ObjectConflict`).

    An application has to be confidential, since only such can say who it is.
    """
    draw = entropy()
    id = draw.guid("stream")

    def decide(view: View) -> Done[Stream] | Refusal:
        app = view.directory.clients.get(client)
        if app is None or app.kind != "confidential":
            return invalid("A receiver is a confidential application of this tenant.", "client")
        if of_client(view.directory, client) is not None:
            return Refusal(why="taken", code="ObjectConflict", text="The application has a stream already.")
        if len(view.directory.streams) >= MOST_STREAMS:
            return invalid(f"A tenant has {MOST_STREAMS} streams at most.")
        new = Stream(id=id, client=client, audience=client, events=signals.EVENTS, created_at=view.now)
        made = _changed(new, change, seal)
        if isinstance(made, Refusal):
            return made
        return Done(made, _target(view, None, made), (PutDocument(made),))

    return await door.act(actor, ADD, decide)


async def update(door: Door, actor: Actor, id: str, change: StreamChange, seal: Seal) -> Stream | Refusal:
    """Change a stream. An application changes its own alone; an audience stays for good (SSF 1.0, 8.1.1)."""

    def decide(view: View) -> Done[Stream] | Refusal:
        stream = _known(view, actor, id)
        if isinstance(stream, Refusal):
            return stream
        changed = _changed(stream, change, seal)
        if isinstance(changed, Refusal):
            return changed
        return Done(changed, _target(view, stream, changed), (PutDocument(changed),))

    return await door.act(actor, UPDATE, decide, id)


async def set_status(door: Door, actor: Actor, id: str, status: Status, reason: str = "") -> Stream | Refusal:
    """
    Let a stream flow, hold what it would be sent, or send it nothing.

    What an operator decided the receiver cannot undo, and is told of by an event (SSF 1.0, 8.1.5).
    """
    draw = entropy()

    def decide(view: View) -> Done[Stream] | Refusal:
        stream = _known(view, actor, id)
        if isinstance(stream, Refusal):
            return stream
        if stream.held and actor.kind == "app":
            return Refusal(why="forbidden", text="The operator of this tenant decides on the status.")
        if len(reason) > LONGEST_TEXT or not (reason == "" or reason.isprintable()):
            return invalid(f"A reason is a line of {LONGEST_TEXT} characters at most.", "reason")
        is_ours = actor.kind != "app"
        changed = replace(stream, status=status, reason=reason, held=is_ours and status != "enabled")
        effects: list[Effect] = [PutDocument(changed)]
        if status == "disabled":
            effects.append(Silence(id))
        if is_ours and status != stream.status:
            said = {"status": status, **({"reason": reason} if reason else {})}
            effects.append(
                _about(view, draw.guid("signal"), draw.guid("txn"), signals.STREAM_UPDATED, id, said)
            )
        return Done(changed, _target(view, stream, changed), tuple(effects))

    return await door.act(actor, UPDATE, decide, id)


async def remove(door: Door, actor: Actor, id: str) -> Stream | Refusal:
    """End a stream. What waits for it is forgotten, and about whom it was told, too."""

    def decide(view: View) -> Done[Stream] | Refusal:
        stream = _known(view, actor, id)
        if isinstance(stream, Refusal):
            return stream
        return Done(
            stream, _target(view, stream, None), (RemoveDocument("stream", id), Silence(id, all=True))
        )

    return await door.act(actor, DELETE, decide, id)


async def follow(
    door: Door, actor: Actor, id: str, about: Mapping[str, Any], issuer: str, *, removed: bool = False
) -> bool | Refusal:
    """
    Add a person to a stream, or remove one.

    True, whether or not there is such a person. Who was removed is told of for seven days more; while something is
    wrong with an account nobody removes it, and nobody hears that (WHK-09).
    Refuses: what is no subject identifier (RFC 9493), or of a kind that is not known here.
    """

    def decide(view: View) -> Done[bool] | Refusal:
        stream = _known(view, actor, id)
        if isinstance(stream, Refusal):
            return stream
        name = _name(view, stream)
        found = subject_of(view, about, issuer)
        if isinstance(found, Refusal):
            return found
        if found is None:
            return Done(True, Target(id=id, name=name, changes=(("subject", None, "unknown"),)))
        if removed and signals.incident_of(found) is not None:
            return Done(True, Target(id=id, name=name, changes=(("kept", None, found.id),)))
        until = view.now + signals.REMOVED_FOLLOWS if removed else None
        word = "removed" if removed else "subject"
        return Done(
            True, Target(id=id, name=name, changes=((word, None, found.id),)), (Follow(id, found.id, until),)
        )

    return await door.act(actor, UNFOLLOW if removed else FOLLOW, decide, id)


async def verify(door: Door, actor: Actor, id: str, state: str = "") -> bool | Refusal:
    """
    Send a stream the event by which its receiver sees that all is well (SSF 1.0, 8.1.4).

    Refuses: a stream that is not enabled; one more than in half a minute (`overloaded`).
    """
    draw = entropy()
    bucket = f"signals/verification/{id}"

    def decide(loaded: Loaded) -> tuple[Change, bool | Refusal]:
        stream = loaded.directory.streams.get(id)
        if stream is None or (actor.kind == "app" and stream.client != actor.id):
            return Change(), missing("stream", id)
        if len(state) > LONGEST_STATE:
            return Change(), invalid(f"A state has {LONGEST_STATE} characters at most.", "state")
        if stream.status != "enabled":
            return Change(), invalid(f"The stream is {stream.status}.", "stream_id")
        spent = rate.spend(loaded.histories.get(bucket, ()), VERIFICATIONS, loaded.now)
        if spent is None:
            return Change(), Refusal(
                why="overloaded", text="It was asked for a moment ago; wait and try again."
            )
        said = Signal(
            id=draw.guid("signal"),
            event=signals.VERIFICATION,
            subject="",
            at=loaded.now,
            txn=draw.guid("txn"),
            detail={"state": state} if state else {},
        )
        counted = Count(bucket=bucket, history=spent, keep_until=rate.keep_until(spent, VERIFICATIONS))
        noted = Record(
            action="signal:verification",
            client=actor.id if actor.kind == "app" else None,
            correlation_id=actor.correlation_id,
            detail={"stream": id, "actor": actor.name},
        )
        return Change(effects=(Emit(said, id), counted, noted)), True

    answer = await door.store.run(Needs(buckets=lambda _: (bucket,)), decide)
    if answer is True:
        door.on_deliver()
    return answer


async def retry(door: Door, store: SignalStore, actor: Actor, id: str = "") -> int | Refusal:
    """Offer again what receivers did not take: the event of this id, or all; how many."""
    count = await store.revive_signals(id)
    noted = Record(action="signal:retry", detail={"jti": id, "count": count, "actor": actor.name})
    await door.store.administer(lambda _: (Change(effects=(noted,)), None))
    door.on_deliver()
    return count


# Whom we hear. ------------------------------------------------------------------------------------------------------

TRUST = Act("Add signal transmitter", "ApplicationManagement", "Add", "Other")
DISTRUST = Act("Delete signal transmitter", "ApplicationManagement", "Delete", "Other")
LONGEST_KEYS: Final = 32 * 1024


async def trust(door: Door, actor: Actor, new: Transmitter) -> Transmitter | Refusal:
    """
    Hear the security events of somebody else, who is known by an issuer and by keys. `new.id` is made up.

    Refuses: an issuer that is heard already, or is our own; keys that are none, given both ways or neither.
    """
    draw = entropy()

    def decide(view: View) -> Done[Transmitter] | Refusal:
        made = replace(new, id=draw.guid("transmitter"), created_at=view.now)
        if any(one.issuer == made.issuer for one in view.directory.transmitters.values()):
            return Refusal(why="taken", text="This issuer is heard already: remove it first.")
        if not all(map(_is_line, (made.name, made.issuer, made.audience))):
            return invalid("A transmitter has a name, an issuer and an audience.")
        if bool(made.keys) == bool(made.keys_url):
            return invalid("Give the keys of a transmitter, or the address where they are.", "keys")
        if made.keys_url and _unfit(made.keys_url) is not None:
            return invalid("Keys are fetched from an https address.", "keys")
        if made.keys and not _are_public(made.keys):
            return invalid("The keys are a JWK set of public RSA or P-256 keys.", "keys")
        changes = tuple(
            (name, None, value) for name, value in (("issuer", made.issuer), ("audience", made.audience))
        )
        return Done(made, Target(id=made.id, name=made.name, changes=changes), (PutDocument(made),))

    return await door.act(actor, TRUST, decide)


async def distrust(door: Door, actor: Actor, id: str) -> Transmitter | Refusal:
    """Hear somebody no more."""

    def decide(view: View) -> Done[Transmitter] | Refusal:
        found = view.directory.transmitters.get(id)
        if found is None:
            return missing("transmitter", id)
        return Done(found, Target(id=id, name=found.name), (RemoveDocument("transmitter", id),))

    return await door.act(actor, DISTRUST, decide, id)


def _are_public(text: str) -> bool:
    try:
        keys = msgspec.json.decode(text)["keys"] if len(text) <= LONGEST_KEYS else []
        return bool(keys) and all(k["kty"] in ("RSA", "EC") and not {"d", "k"} & set(k) for k in keys)
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


# About whom. --------------------------------------------------------------------------------------------------------


def subject_of(view: View, about: Mapping[str, Any], issuer: str) -> Subject | Refusal | None:
    """
    Whom a subject identifier means (RFC 9493): by our id, by an address or number, or as somebody else names them.

    Refuses: what is none, or of a format that is not known here.
    """
    match about:
        case {"format": "complex", "user": dict(user)} if user.get("format") != "complex":
            return subject_of(view, user, issuer)
        case {"format": "iss_sub", "iss": str(iss), "sub": str(sub)}:
            if iss == issuer:
                return _active(view.person(sub.lower()))
            return _active(view.holder(f"{iss.lower()}\n{sub.lower()}"))
        case {"format": "opaque", "id": str(id)}:
            return _active(view.person(id.lower()))
        case {"format": "email", "email": str(address)}:
            named = identifiers.email(address)
        case {"format": "phone_number", "phone_number": str(number)}:
            named = identifiers.phone(number)
        case _:
            return invalid("The subject is of no format that is known here.", "subject")
    return _active(view.holder(named.key)) if named is not None else None


def _active(subject: Subject | None) -> Subject | None:
    return subject if subject is not None and subject.status != "deleted" else None


# What a stream may be. ----------------------------------------------------------------------------------------------


def _known(view: View, actor: Actor, id: str) -> Stream | Refusal:
    """A stream, if it is the actor's to change."""
    stream = view.directory.streams.get(id)
    if stream is None or (actor.kind == "app" and stream.client != actor.id):
        return missing("stream", id)
    return stream


def _name(view: View, stream: Stream) -> str:
    client = view.directory.clients.get(stream.client)
    return client.name if client is not None else stream.client


def _target(view: View, before: Stream | None, after: Stream | None) -> Target:
    """A stream as the log of changes names it, and what became another."""
    stream = after or before
    assert stream is not None  # noqa: S101 - one of them is there
    seen = (None if one is None else _seen(one) for one in (before, after))
    return Target(id=stream.id, name=_name(view, stream), changes=differences(*seen))


def _seen(stream: Stream) -> dict[str, Any]:
    """A stream as the log may show it: of its secret only that there is one."""
    return {
        "delivery": stream.delivery,
        "url": stream.url,
        "authorization": "***" if stream.authorization else "",
        "events": stream.events,
        "everySubject": stream.every_subject,
        "status": stream.status,
        "reason": stream.reason,
        "audience": stream.audience,
        "description": stream.description,
    }


def _changed(stream: Stream, change: StreamChange, seal: Seal) -> Stream | Refusal:
    given = asked(change)
    header = given.pop("authorization", UNSET)
    changed = replace(stream, **given)
    if header is not UNSET:
        if len(header) > LONGEST_URL or not (header == "" or (header.isascii() and header.isprintable())):
            return invalid("The authorization header is one line of ASCII.", "delivery")
        changed = replace(changed, authorization=seal(stream.id, header) if header else b"")
    if changed.delivery == "poll":
        changed = replace(changed, url="", authorization=b"")
    elif (wrong := _unfit(changed.url)) is not None:
        return wrong
    if len(changed.events) > MOST_EVENTS or any(not _is_line(event) for event in changed.events):
        return invalid(f"Ask for {MOST_EVENTS} events at most, each by its URI.", "events_requested")
    if not _is_line(changed.audience):
        return invalid("The audience is a line of text.", "aud")
    if changed.description and not _is_line(changed.description):
        return invalid(f"The description is a line of {LONGEST_TEXT} characters at most.", "description")
    return changed


def _is_line(text: str) -> bool:
    return 0 < len(text) <= LONGEST_TEXT and text.isprintable()


def _unfit(url: str) -> Refusal | None:
    """Why nothing is pushed to an address. Whether it is one that may be called is asked at each call (WHK-01)."""
    parts = parts_of(url) if len(url) <= LONGEST_URL else None
    if parts is None or parts[0] != "https":
        return invalid("Events are pushed to an https address.", "delivery")
    return None


def _about(view: View, id: str, txn: str, event: str, stream: str, detail: Mapping[str, Any]) -> Emit:
    """A signal about a stream itself."""
    return Emit(Signal(id=id, event=event, subject="", at=view.now, txn=txn, detail=detail), stream)
