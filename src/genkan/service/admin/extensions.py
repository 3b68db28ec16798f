"""
Custom authentication extensions, and the listeners that say for which applications they are asked.

An extension belongs to an application: the host of its address is the one in that application's `api://host/app id`,
and it is called only while the application holds the permission to receive. Where it may be reached at all is the
operator's to say, at the time of the call. Source: admin-graph-api 6.2, 6.3; conditional-access 13.1.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from genkan import identifiers
from genkan.engine.messages import Directory, PutDocument, RemoveDocument
from genkan.model import Channel, Extension, Hook, Listener
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
from genkan.tokens.claims import RESERVED

ADD = Act("Add custom authentication extension", "Policy", "Add", "Policy")
UPDATE = Act("Update custom authentication extension", "Policy", "Update", "Policy")
ROTATE = Act("Rotate the signing secret of a custom authentication extension", "Policy", "Update", "Policy")
DELETE = Act("Delete custom authentication extension", "Policy", "Delete", "Policy")
LISTEN = Act("Add authentication event listener", "Policy", "Add", "Policy")
LISTEN_ELSE = Act("Update authentication event listener", "Policy", "Update", "Policy")
LISTEN_NO_MORE = Act("Delete authentication event listener", "Policy", "Delete", "Policy")

MOST_EXTENSIONS, MOST_LISTENERS, MOST_CLIENTS, MOST_CLAIMS, MOST_CODES = 100, 249, 500, 50, 300
LONGEST_NAME, LONGEST_DESCRIPTION, LONGEST_URL = 256, 1024, 2048
SHORTEST_TIMEOUT, LONGEST_TIMEOUT, MOST_RETRIES = 200, 2000, 1
BAD_RESOURCE, BAD_HOST, NOT_HTTPS = "1003014", "1003015", "1003020"
PRIORITIES: Final = range(1001)


class ExtensionChange(Struct, frozen=True, kw_only=True):
    """What is to be changed, or of a new one what it is; a member that is UNSET stays as it is."""

    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    url: str | UnsetType = UNSET
    resource: str | UnsetType = UNSET
    timeout: int | UnsetType = UNSET
    retries: int | UnsetType = UNSET
    falls_back: bool | UnsetType = UNSET
    claims: tuple[str, ...] | UnsetType = UNSET


class ListenerChange(Struct, frozen=True, kw_only=True):
    """The same of a listener."""

    name: str | UnsetType = UNSET
    priority: int | UnsetType = UNSET
    clients: tuple[str, ...] | UnsetType = UNSET
    extension: str | UnsetType = UNSET
    channel: Channel | UnsetType = UNSET
    timeout: int | UnsetType | None = UNSET
    retries: int | UnsetType | None = UNSET
    falls_back: bool | UnsetType | None = UNSET
    opened: tuple[str, ...] | UnsetType = UNSET
    closed: tuple[str, ...] | UnsetType = UNSET


# Extensions. --------------------------------------------------------------------------------------------------------


async def add(door: Door, actor: Actor, hook: Hook, new: ExtensionChange) -> Extension | Refusal:
    """Make an extension. Nobody asks it before a listener or a user flow names it."""
    id = entropy().guid("extension")

    def decide(view: View) -> Done[Extension] | Refusal:
        if len(view.directory.extensions) >= MOST_EXTENSIONS:
            return invalid(f"There are {MOST_EXTENSIONS} custom authentication extensions at most.")
        empty = Extension(id=id, hook=hook, name="", url="", resource="", created_at=view.now)
        made = _changed(empty, new, view.directory)
        if isinstance(made, Refusal):
            return made
        target = Target(id=id, name=made.name, changes=differences(None, _seen(made)))
        return Done(made, target, (PutDocument(made),))

    return await door.act(actor, ADD, decide)


async def change(
    door: Door, actor: Actor, id: str, change: ExtensionChange, expected: str | None = None
) -> Extension | Refusal:
    """Change an extension; the next question goes by what it says then."""

    def decide(view: View) -> Done[Extension] | Refusal:
        found = current("custom authentication extension", id, view.directory.extensions.get(id), expected)
        if isinstance(found, Refusal):
            return found
        made = _changed(found, change, view.directory)
        if isinstance(made, Refusal):
            return made
        target = Target(id=id, name=made.name, changes=differences(_seen(found), _seen(made)))
        return Done(made, target, (PutDocument(made),))

    return await door.act(actor, UPDATE, decide, id)


async def rotate(door: Door, actor: Actor, id: str) -> Extension | Refusal:
    """Begin a new signing secret; the one before signs too for a day."""

    def decide(view: View) -> Done[Extension] | Refusal:
        found = view.directory.extensions.get(id)
        if found is None:
            return missing("custom authentication extension", id)
        made = replace(found, generation=found.generation + 1, rotated_at=view.now)
        changes = (("signingSecret", found.generation, made.generation),)
        return Done(made, Target(id=id, name=made.name, changes=changes), (PutDocument(made),))

    return await door.act(actor, ROTATE, decide, id)


async def remove(door: Door, actor: Actor, id: str, expected: str | None = None) -> Extension | Refusal:
    """Delete an extension that no listener and no user flow names."""

    def decide(view: View) -> Done[Extension] | Refusal:
        directory = view.directory
        found = current("custom authentication extension", id, directory.extensions.get(id), expected)
        if isinstance(found, Refusal):
            return found
        flows = (flow.user_flow for flow in directory.sign_up_flows.values())
        if any(one.extension == id for one in directory.listeners.values()) or any(
            id in (flow.on_start, flow.on_submit) for flow in flows
        ):
            return invalid("A listener or a user flow names this extension: take it out there first.")
        target = Target(id=id, name=found.name, changes=differences(_seen(found), None))
        return Done(found, target, (RemoveDocument("extension", id),))

    return await door.act(actor, DELETE, decide, id)


def _changed(extension: Extension, change: ExtensionChange, directory: Directory) -> Extension | Refusal:
    """Return the extension as it is to be."""
    made = replace(extension, **asked(change))
    if not 0 < len(made.name.strip()) <= LONGEST_NAME or len(made.description) > LONGEST_DESCRIPTION:
        return invalid("An extension has a name, of 256 characters at most.", "displayName")
    if (refused := _refused_address(made, directory)) is not None:
        return refused
    if (refused := _refused_pace(made.timeout, made.retries)) is not None:
        return refused
    if made.claims and made.hook != "token_issuance":
        return invalid("Only an extension of token issuance has claims.", "claimsForTokenConfiguration")
    for claim in made.claims:
        if claim.lower() in RESERVED or not 0 < len(claim) <= 120 or not claim.isprintable():
            return invalid(
                f"The claim {claim[:40]!r} is not an extension's to set.", "claimsForTokenConfiguration"
            )
    if len(made.claims) > MOST_CLAIMS or len(set(made.claims)) < len(made.claims):
        return invalid(f"There are {MOST_CLAIMS} claims at most, each once.", "claimsForTokenConfiguration")
    return made


def _refused_pace(timeout: int | None, retries: int | None) -> Refusal | None:
    """Refuse what is out of bounds; None of a listener is what its extension says."""
    if timeout is not None and not SHORTEST_TIMEOUT <= timeout <= LONGEST_TIMEOUT:
        return invalid(
            f"timeoutInMilliseconds is {SHORTEST_TIMEOUT} to {LONGEST_TIMEOUT}.", "timeoutInMilliseconds"
        )
    if retries is not None and not 0 <= retries <= MOST_RETRIES:
        return invalid(f"maximumRetries is 0 to {MOST_RETRIES}.", "maximumRetries")
    return None


def _refused_address(extension: Extension, directory: Directory) -> Refusal | None:
    url = extension.url
    parts = parts_of(url)
    if parts is None or len(url) > LONGEST_URL:
        return invalid("targetUrl is an absolute address.", "targetUrl")
    scheme, host = parts
    if scheme != "https":
        return invalid("targetUrl begins with https.", "targetUrl", NOT_HTTPS)
    named = parts_of(extension.resource)
    if named is None or named[0] != "api" or not _is_guid(extension.app):
        return invalid("resourceId is api://host/app id.", "resourceId", BAD_RESOURCE)
    if named[1] != host:
        return invalid("The host of targetUrl is the one of resourceId.", "targetUrl", BAD_HOST)
    if extension.app not in directory.clients:
        return invalid("resourceId names no application.", "resourceId", BAD_RESOURCE)
    return None


def parts_of(url: str) -> tuple[str, str] | None:
    """Scheme and host of an address; None for what is none, or has a name and a password in it."""
    if not url.isascii() or not url.isprintable() or any(c in ' \\<>"{}|^`' for c in url):
        return None
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return None
    if not host or parts.username is not None or parts.fragment:
        return None
    return parts.scheme, host


def _is_guid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _seen(extension: Extension) -> dict[str, Any]:
    """How the log sees an extension. Its address may hold a key of the receiver's, and is cut before that."""
    return {
        "displayName": extension.name,
        "description": extension.description,
        "targetUrl": extension.url.partition("?")[0],
        "resourceId": extension.resource,
        "timeoutInMilliseconds": extension.timeout,
        "maximumRetries": extension.retries,
        "fallsBack": extension.falls_back,
        "claimsForTokenConfiguration": extension.claims,
    }


# Listeners. ---------------------------------------------------------------------------------------------------------


async def listen(door: Door, actor: Actor, hook: Hook | str, new: ListenerChange) -> Listener | Refusal:
    """Make a listener; it is heard from the next request on."""
    id = entropy().guid("listener")

    def decide(view: View) -> Done[Listener] | Refusal:
        if len(view.directory.listeners) >= MOST_LISTENERS:
            return invalid(f"There are {MOST_LISTENERS} listeners at most.")
        made = _listening(Listener(id=id, hook=hook, created_at=view.now), new, view.directory)  # type: ignore[arg-type]
        if isinstance(made, Refusal):
            return made
        target = Target(id=id, name=made.name, changes=differences(None, _seen_listener(made)))
        return Done(made, target, (PutDocument(made),))

    return await door.act(actor, LISTEN, decide)


async def listen_else(
    door: Door, actor: Actor, id: str, change: ListenerChange, expected: str | None = None
) -> Listener | Refusal:
    """Change a listener."""

    def decide(view: View) -> Done[Listener] | Refusal:
        found = current("listener", id, view.directory.listeners.get(id), expected)
        if isinstance(found, Refusal):
            return found
        made = _listening(found, change, view.directory)
        if isinstance(made, Refusal):
            return made
        changes = differences(_seen_listener(found), _seen_listener(made))
        return Done(made, Target(id=id, name=made.name, changes=changes), (PutDocument(made),))

    return await door.act(actor, LISTEN_ELSE, decide, id)


async def listen_no_more(
    door: Door, actor: Actor, id: str, expected: str | None = None
) -> Listener | Refusal:
    """Delete a listener. Codes on their way to its extension leave by the providers."""

    def decide(view: View) -> Done[Listener] | Refusal:
        found = current("listener", id, view.directory.listeners.get(id), expected)
        if isinstance(found, Refusal):
            return found
        target = Target(id=id, name=found.name, changes=differences(_seen_listener(found), None))
        return Done(found, target, (RemoveDocument("listener", id),))

    return await door.act(actor, LISTEN_NO_MORE, decide, id)


def without(directory: Directory, app_id: str) -> tuple[PutDocument, ...]:
    """Return the listeners anew that heard of an application which is there no more."""
    return tuple(
        PutDocument(replace(one, clients=tuple(c for c in one.clients if c != app_id)))
        for one in directory.listeners.values()
        if app_id in one.clients
    )


def _listening(listener: Listener, change: ListenerChange, directory: Directory) -> Listener | Refusal:
    """Return the listener as it is to be."""
    made = replace(listener, **asked(change))
    if len(made.name) > LONGEST_NAME:
        return invalid("The name is too long.", "displayName")
    if made.priority not in PRIORITIES:
        return invalid("priority is 0 to 1000.", "priority")
    for client in made.clients:
        if client not in directory.clients:
            return invalid(f"There is no application {client[:64]}.", "conditions")
    if len(made.clients) > MOST_CLIENTS:
        return invalid(f"A listener has {MOST_CLIENTS} applications at most.", "conditions")
    if made.hook == "phone_regions":
        return _refused_codes(made) or made
    extension = directory.extensions.get(made.extension)
    if extension is None or extension.hook != made.hook:
        return invalid("The handler names no extension for this event.", "handler")
    if (refused := _refused_pace(made.timeout, made.retries)) is not None:
        return refused
    if made.channel is Channel.SMS and made.hook != "otp_send":
        return invalid("Only codes leave by text message.", "genkanChannel")
    return made


def _refused_codes(listener: Listener) -> Refusal | None:
    both = (*listener.opened, *listener.closed)
    if len(both) > MOST_CODES or not all(map(identifiers.is_region, both)):
        return invalid("A region is an assigned calling code, a number of four digits at most.", "smsOptions")
    if len(set(both)) < len(both):
        return invalid("A calling code stands in one of the lists, once.", "smsOptions")
    return None


def _seen_listener(listener: Listener) -> dict[str, Any]:
    return {
        "event": listener.hook,
        "displayName": listener.name,
        "priority": listener.priority,
        "includeApplications": listener.clients,
        "customExtension": listener.extension,
        "channel": listener.channel.value,
        "timeoutInMilliseconds": listener.timeout,
        "maximumRetries": listener.retries,
        "fallsBack": listener.falls_back,
        "includeAdditionalRegions": listener.opened,
        "excludeRegions": listener.closed,
    }
