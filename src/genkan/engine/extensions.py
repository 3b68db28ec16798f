"""
When an extension is asked, what, and what its answer may bring about.

Pure: the question goes to the shell (`NeedCall`), which asks and has the same step decided again. An answer counts for
the very question alone, so whatever changes meanwhile is asked anew. It never proves anything: evidence, policy and
the claims that rest on them are not its to say (WHK-04).
Source: admin-graph-api 6.2 to 6.4; conditional-access 13.1.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from genkan import identifiers
from genkan.engine.flow import Flow
from genkan.engine.messages import Adds, Directory, Facts, Fails, GoOn, Heard, Question
from genkan.model import (
    DIRECTORY,
    Attribute,
    Channel,
    Client,
    Demand,
    Extension,
    Hook,
    Identifier,
    Listener,
    Scalar,
    Subject,
)

BAD_BODY = 1003003
"""The number of an answer that cannot be read (admin-graph-api 6.3)."""


def listening(
    directory: Directory, hook: Hook, client: str, channel: Channel = Channel.EMAIL
) -> tuple[Listener, Extension, bool] | None:
    """The listener that is heard for an application, its extension, and whether another might be as well."""
    found = sorted(
        (
            listener
            for listener in directory.listeners.values()
            if listener.hook == hook
            and client in listener.clients
            and listener.extension in directory.extensions
            and (hook != "otp_send" or listener.channel is channel)
        ),
        key=lambda listener: (listener.priority, listener.id),
    )
    if not found:
        return None
    first = found[0]
    is_ambiguous = len(found) > 1 and found[1].priority == first.priority
    return first, _as_heard(directory.extensions[first.extension], first), is_ambiguous


def _as_heard(extension: Extension, listener: Listener) -> Extension:
    """The extension with what differs for this listener."""
    return replace(
        extension,
        timeout=extension.timeout if listener.timeout is None else listener.timeout,
        retries=extension.retries if listener.retries is None else listener.retries,
        falls_back=extension.falls_back if listener.falls_back is None else listener.falls_back,
    )


def about_sign_up(
    hook: Hook,
    flow: Flow,
    client: Client,
    wanted: tuple[Attribute, ...],
    held: Mapping[str, Scalar],
    facts: Facts,
) -> Question | None:
    """What is to be asked at this point of a sign-up, if anything."""
    directory = facts.directory
    user_flow = directory.user_flow(client)
    named = user_flow.on_start if hook == "attributes_start" else user_flow.on_submit
    if (extension := directory.extensions.get(named)) is not None:
        listener, is_ambiguous = "", False
    elif (found := listening(directory, hook, client.id)) is not None:
        listener, extension, is_ambiguous = found[0].id, found[1], found[2]
    else:
        return None
    return Question(
        extension=extension,
        listener=listener,
        is_ambiguous=is_ambiguous,
        client=client.id,
        resource=flow.demand.resource if flow.demand else DIRECTORY,
        identifier=flow.identifier,
        attributes=tuple((attribute, held.get(attribute.name)) for attribute in wanted),
    )


def about_tokens(subject: Subject, client: Client, demand: Demand, facts: Facts) -> Question | None:
    """What is to be asked before tokens are issued, if anything."""
    found = listening(facts.directory, "token_issuance", client.id)
    if found is None:
        return None
    listener, extension, is_ambiguous = found
    return Question(
        extension=extension,
        listener=listener.id,
        is_ambiguous=is_ambiguous,
        client=client.id,
        resource=demand.resource,
        subject=subject,
    )


def answer(question: Question | None, facts: Facts) -> Heard | None:
    """What was answered to this question; to none that there is nothing to add. None: it has yet to be asked."""
    if question is None:
        return GoOn()
    heard = next((heard for asked, heard in facts.heard if asked == question), None)
    if isinstance(heard, Fails) and question.extension.falls_back:
        return GoOn()
    return heard


def claims(question: Question | None, heard: Heard | None) -> Mapping[str, str | tuple[str, ...]]:
    """The claims that enter the tokens: those that an administrator has listed."""
    if question is None or not isinstance(heard, Adds):
        return {}
    return {name: heard.claims[name] for name in question.extension.claims if name in heard.claims}


def sending(facts: Facts, client: Client, channel: Channel) -> dict[str, str]:
    """What a code says of the extension that sends it in our place; nothing where none does."""
    found = listening(facts.directory, "otp_send", client.id, channel)
    if found is None:
        return {}
    return {"listener": found[0].id, "client": client.id, "address": facts.signals.address}


def sender(directory: Directory, listener: str) -> Extension | None:
    """The extension that sends the codes of a listener, if both are still there."""
    found = directory.listeners.get(listener)
    extension = directory.extensions.get(found.extension) if found else None
    return _as_heard(extension, found) if found and extension else None


def region_open(directory: Directory, client: Client, number: Identifier) -> bool:
    """
    Text messages of this application leave to the region of a number (conditional-access 13.1, MSG-06).

    A listener says which regions are opened and closed; where there is none, the application itself.
    """
    heard = [
        listener
        for listener in directory.listeners.values()
        if listener.hook == "phone_regions" and client.id in listener.clients
    ]
    if not heard:
        return identifiers.region_open(number, client.regions_opened, client.regions_closed)
    first = min(heard, key=lambda listener: (listener.priority, listener.id))
    return identifiers.region_open(number, first.opened, first.closed)
