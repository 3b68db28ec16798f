"""
Custom authentication extensions and event listeners, in Graph's words. Source: admin-graph-api 6.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import UNSET, UnsetType

from genkan.exchange import Response, json_response
from genkan.model import Channel, Extension, Hook, Listener
from genkan.service.admin import extensions
from genkan.service.admin.door import version
from genkan.service.admin.extensions import ExtensionChange, ListenerChange
from genkan.wire.graph import lists
from genkan.wire.graph.answers import Fault, bad
from genkan.wire.graph.api import DONE, Call, Route
from genkan.wire.graph.flows import clients_of
from genkan.wire.graph.odata import Properties
from genkan.wire.graph.permissions import EXTENSIONS_READ, EXTENSIONS_WRITE, FLOWS_READ, FLOWS_WRITE
from genkan.wire.graph.reads import object_of, objects, selected, text, written

EXTENSIONS, LISTENERS = "identity/customAuthenticationExtensions", "identity/authenticationEventListeners"
FILTERS: Properties = {"id": "text", "displayName": "text"}

KINDS: Mapping[str, Hook] = {
    "onOtpSendCustomExtension": "otp_send",
    "onAttributeCollectionStartCustomExtension": "attributes_start",
    "onAttributeCollectionSubmitCustomExtension": "attributes_submit",
    "onTokenIssuanceStartCustomExtension": "token_issuance",
}
"""The extension of each event."""
LISTENER_KINDS: Mapping[str, Hook | Literal["phone_regions"]] = {
    "onEmailOtpSendListener": "otp_send",
    "onAttributeCollectionStartListener": "attributes_start",
    "onAttributeCollectionSubmitListener": "attributes_submit",
    "onTokenIssuanceStartListener": "token_issuance",
    "onPhoneMethodLoadStartListener": "phone_regions",
}
HANDLERS: Mapping[str, str] = {
    "otp_send": "onOtpSendCustomExtensionHandler",
    "attributes_start": "onAttributeCollectionStartCustomExtensionHandler",
    "attributes_submit": "onAttributeCollectionSubmitCustomExtensionHandler",
    "token_issuance": "onTokenIssuanceStartCustomExtensionHandler",
    "phone_regions": "onPhoneMethodLoadStartExternalUsersAuthHandler",
}
WRITABLE = (
    "displayName",
    "description",
    "authenticationConfiguration",
    "endpointConfiguration",
    "clientConfiguration",
    "behaviorOnError",
    "claimsForTokenConfiguration",
)
LISTENER_WRITABLE = ("displayName", "priority", "conditions", "handler", "genkanChannel")
FALLBACK = "fallbackToMicrosoftProviderOnError"
"""When it fails Genkan does what it does without an extension."""
NO_SUCH = (
    "onFraudProtectionLoadStart",
    "onPasswordSubmit",
    "onPasswordMigration",
    "onVerifiedIdClaimValidation",
)
"""How the names of events begin that Graph has and Genkan has not."""


def _kind(body: Mapping[str, Any], kinds: Mapping[str, Any]) -> str:
    """Return the type that a body says it is of. Raises: `Fault`."""
    said = text(body.get("@odata.type"), "@odata.type").lstrip("#").lower()
    for kind in kinds:
        if said == f"microsoft.graph.{kind}".lower():
            return kind
    if any(said.startswith(f"microsoft.graph.{name}".lower()) for name in NO_SUCH):
        raise Fault(501, "NotImplemented", "Graph has this event, and Genkan does not.")
    raise bad(f"@odata.type is #microsoft.graph.{next(iter(kinds))} or of another event.", "@odata.type")


def _number(value: object, name: str) -> int:
    if type(value) is not int:
        raise bad(f"The property {name} is a number.", name)
    return value


def _falls_back(value: object) -> bool:
    said = object_of(value, "behaviorOnError")
    kind = str(said.get("@odata.type", "")).lstrip("#").lower()
    if said and kind not in (
        f"microsoft.graph.{FALLBACK}".lower(),
        "microsoft.graph.customextensionbehavioronerror",
    ):
        raise bad(f"behaviorOnError is #microsoft.graph.{FALLBACK}, or nothing.", "behaviorOnError")
    return kind == f"microsoft.graph.{FALLBACK}".lower()


def _behavior(falls_back: bool | None) -> dict[str, Any] | None:
    return {"@odata.type": f"#microsoft.graph.{FALLBACK}"} if falls_back else None


# Extensions. --------------------------------------------------------------------------------------------------------


def shown(extension: Extension) -> dict[str, Any]:
    """Return an extension as it is shown."""
    kind = next(kind for kind, hook in KINDS.items() if hook == extension.hook)
    more = (
        {"claimsForTokenConfiguration": [{"claimIdInApiResponse": claim} for claim in extension.claims]}
        if extension.hook == "token_issuance"
        else {}
    )
    return {
        "@odata.type": f"#microsoft.graph.{kind}",
        "id": extension.id,
        "displayName": extension.name,
        "description": extension.description or None,
        "authenticationConfiguration": {
            "@odata.type": "#microsoft.graph.azureAdTokenAuthentication",
            "resourceId": extension.resource,
        },
        "endpointConfiguration": {
            "@odata.type": "#microsoft.graph.httpRequestEndpoint",
            "targetUrl": extension.url,
        },
        "clientConfiguration": {
            "timeoutInMilliseconds": extension.timeout,
            "maximumRetries": extension.retries,
        },
        "behaviorOnError": _behavior(extension.falls_back),
        **more,
    }


def _extension(call: Call) -> Extension:
    id = call.params["id"].lower()
    found = call.directory.extensions.get(id)
    if found is None:
        raise Fault(404, "ResourceNotFound", f"There is no custom authentication extension {id[:80]}.")
    return found


def _etag(value: object) -> tuple[str, str]:
    return "etag", f'W/"{version(value)}"'


def _extension_change(body: dict[str, Any], kind: str, current: Extension | None) -> ExtensionChange:
    """Return what a body changes. Raises: `Fault`."""
    given = written(body, kind=kind, writable=WRITABLE, current=shown(current) if current else None)
    configured = written(
        object_of(given.get("clientConfiguration"), "clientConfiguration"),
        kind="customExtensionClientConfiguration",
        writable=("timeoutInMilliseconds", "maximumRetries"),
    )
    return ExtensionChange(
        name=text(given["displayName"], "displayName") if "displayName" in given else UNSET,
        description=text(given["description"] or "", "description") if "description" in given else UNSET,
        url=_inner(given, "endpointConfiguration", "httpRequestEndpoint", "targetUrl"),
        resource=_inner(given, "authenticationConfiguration", "azureAdTokenAuthentication", "resourceId"),
        timeout=_number(configured["timeoutInMilliseconds"], "timeoutInMilliseconds")
        if configured.get("timeoutInMilliseconds") is not None
        else UNSET,
        retries=_number(configured["maximumRetries"], "maximumRetries")
        if configured.get("maximumRetries") is not None
        else UNSET,
        falls_back=_falls_back(given["behaviorOnError"]) if "behaviorOnError" in given else UNSET,
        claims=_claims(given["claimsForTokenConfiguration"])
        if "claimsForTokenConfiguration" in given
        else UNSET,
    )


def _inner(given: dict[str, Any], name: str, kind: str, member: str) -> str | UnsetType:
    if given.get(name) is None:
        return UNSET
    said = written(object_of(given[name], name), kind=kind, writable=(member,))
    return text(said.get(member), member)


def _claims(value: object) -> tuple[str, ...]:
    name = "claimsForTokenConfiguration"
    found = []
    for one in objects(value, name):
        said = written(one, kind="onTokenIssuanceStartReturnClaim", writable=("claimIdInApiResponse",))
        found.append(text(said.get("claimIdInApiResponse"), name))
    return tuple(found)


async def _list(call: Call) -> Response:
    every = [shown(extension) for extension in call.directory.extensions.values()]
    return lists.in_memory(call, EXTENSIONS, every, FILTERS)


async def _get(call: Call) -> Response:
    extension = _extension(call)
    return call.object(EXTENSIONS, selected(shown(extension), call.options.select), _etag(extension))


async def _add(call: Call) -> Response:
    kind = _kind(call.body, KINDS)
    change = _extension_change(call.body, kind, None)
    made = call.unless_refused(await extensions.add(call.door, call.actor, KINDS[kind], change))
    secret = {"genkanSigningSecret": call.tenant.webhook_secret(made)}
    return call.created(EXTENSIONS, {**shown(made), **secret}, _etag(made))


async def _change(call: Call) -> Response:
    extension = _extension(call)
    kind = next(kind for kind, hook in KINDS.items() if hook == extension.hook)
    change = _extension_change(call.body, kind, extension)
    call.unless_refused(await extensions.change(call.door, call.actor, extension.id, change, call.if_match))
    return DONE


async def _rotate(call: Call) -> Response:
    made = call.unless_refused(await extensions.rotate(call.door, call.actor, _extension(call).id))
    context = call.context("microsoft.graph.customAuthenticationExtension")
    return json_response({"@odata.context": context, "genkanSigningSecret": call.tenant.webhook_secret(made)})


async def _remove(call: Call) -> Response:
    id = _extension(call).id
    call.unless_refused(await extensions.remove(call.door, call.actor, id, call.if_match))
    return DONE


# Listeners. ---------------------------------------------------------------------------------------------------------


def shown_listener(listener: Listener) -> dict[str, Any]:
    """Return a listener as it is shown."""
    kind = next(kind for kind, hook in LISTENER_KINDS.items() if hook == listener.hook)
    more = {"genkanChannel": "sms"} if listener.channel is Channel.SMS else {}
    return {
        "@odata.type": f"#microsoft.graph.{kind}",
        "id": listener.id,
        "displayName": listener.name or None,
        "priority": listener.priority,
        "authenticationEventsFlowId": None,
        "conditions": {
            "applications": {"includeApplications": [{"appId": client} for client in listener.clients]}
        },
        "handler": _shown_handler(listener),
        **more,
    }


def _shown_handler(listener: Listener) -> dict[str, Any]:
    kind = {"@odata.type": f"#microsoft.graph.{HANDLERS[listener.hook]}"}
    if listener.hook == "phone_regions":
        return {
            **kind,
            "smsOptions": {
                "includeAdditionalRegions": [int(code) for code in listener.opened],
                "excludeRegions": [int(code) for code in listener.closed],
            },
            "voiceOptions": {"includeAdditionalRegions": [], "excludeRegions": []},
        }
    client = {"timeoutInMilliseconds": listener.timeout, "maximumRetries": listener.retries}
    differs = any(value is not None for value in client.values())
    return {
        **kind,
        "customExtension": {"id": listener.extension},
        "configuration": {
            "clientConfiguration": client if differs else None,
            "behaviorOnError": _behavior(listener.falls_back),
        },
    }


def _listener(call: Call) -> Listener:
    id = call.params["id"].lower()
    found = call.directory.listeners.get(id)
    if found is None:
        raise Fault(404, "ResourceNotFound", f"There is no listener {id[:80]}.")
    return found


def _listener_change(body: dict[str, Any], kind: str, current: Listener | None) -> ListenerChange:
    """Return what a body changes. Raises: `Fault`."""
    hook = LISTENER_KINDS[kind]
    given = written(
        body, kind=kind, writable=LISTENER_WRITABLE, current=shown_listener(current) if current else None
    )
    channel = given.get("genkanChannel")
    if channel not in (None, "email", "sms"):
        raise bad("genkanChannel is email or sms.", "genkanChannel")
    handler = _handled(given["handler"], hook) if given.get("handler") is not None else {}
    return ListenerChange(
        name=text(given["displayName"] or "", "displayName") if "displayName" in given else UNSET,
        priority=_number(given["priority"], "priority") if given.get("priority") is not None else UNSET,
        clients=clients_of(given["conditions"]) if given.get("conditions") is not None else UNSET,
        channel=Channel(channel) if channel is not None else UNSET,
        **handler,
    )


def _handled(value: object, hook: str) -> dict[str, Any]:
    """Return what a handler changes. Raises: `Fault`."""
    if hook == "phone_regions":
        said = written(
            object_of(value, "handler"), kind=HANDLERS[hook], writable=("smsOptions", "voiceOptions")
        )
        return _regions(said)
    said = written(
        object_of(value, "handler"), kind=HANDLERS[hook], writable=("customExtension", "configuration")
    )
    found: dict[str, Any] = {}
    if said.get("customExtension") is not None:
        id = object_of(said["customExtension"], "customExtension").get("id")
        found["extension"] = text(id, "customExtension").lower()
    if "configuration" in said:
        found |= _overwritten(said["configuration"])
    return found


def _overwritten(value: object) -> dict[str, Any]:
    """Return what a listener has otherwise than its extension. Raises: `Fault`."""
    said = written(
        object_of(value, "configuration"),
        kind="customExtensionOverwriteConfiguration",
        writable=("clientConfiguration", "behaviorOnError"),
    )
    client = written(
        object_of(said.get("clientConfiguration"), "clientConfiguration"),
        kind="customExtensionClientConfiguration",
        writable=("timeoutInMilliseconds", "maximumRetries"),
    )

    def number(name: str) -> int | None:
        return None if client.get(name) is None else _number(client[name], name)

    behavior = said.get("behaviorOnError")
    return {
        "timeout": number("timeoutInMilliseconds"),
        "retries": number("maximumRetries"),
        "falls_back": None if behavior is None else _falls_back(behavior),
    }


def _regions(said: dict[str, Any]) -> dict[str, Any]:
    voice = object_of(said.get("voiceOptions"), "voiceOptions")
    if any(voice.get(name) for name in ("includeAdditionalRegions", "excludeRegions")):
        raise bad("Nobody is called: voiceOptions are empty.", "voiceOptions")
    if said.get("smsOptions") is None:
        return {}
    options = written(
        object_of(said["smsOptions"], "smsOptions"),
        kind="smsOptions",
        writable=("includeAdditionalRegions", "excludeRegions", "defaultRegions"),
    )
    if options.get("defaultRegions"):
        raise bad("defaultRegions are not to be written.", "smsOptions")
    return {
        "opened": _codes(options.get("includeAdditionalRegions")),
        "closed": _codes(options.get("excludeRegions")),
    }


def _codes(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise bad("Regions are a list of calling codes.", "smsOptions")
    return tuple(str(_number(code, "smsOptions")) for code in value)


async def _list_listeners(call: Call) -> Response:
    every = [shown_listener(listener) for listener in call.directory.listeners.values()]
    return lists.in_memory(call, LISTENERS, every, FILTERS)


async def _get_listener(call: Call) -> Response:
    listener = _listener(call)
    value = selected(shown_listener(listener), call.options.select)
    return call.object(LISTENERS, value, _etag(listener))


async def _add_listener(call: Call) -> Response:
    kind = _kind(call.body, LISTENER_KINDS)
    change = _listener_change(call.body, kind, None)
    made = call.unless_refused(await extensions.listen(call.door, call.actor, LISTENER_KINDS[kind], change))
    return call.created(LISTENERS, shown_listener(made), _etag(made))


async def _change_listener(call: Call) -> Response:
    listener = _listener(call)
    kind = next(kind for kind, hook in LISTENER_KINDS.items() if hook == listener.hook)
    change = _listener_change(call.body, kind, listener)
    call.unless_refused(
        await extensions.listen_else(call.door, call.actor, listener.id, change, call.if_match)
    )
    return DONE


async def _remove_listener(call: Call) -> Response:
    id = _listener(call).id
    call.unless_refused(await extensions.listen_no_more(call.door, call.actor, id, call.if_match))
    return DONE


def _routes() -> tuple[Route, ...]:
    found: list[Route] = []

    def route(method: Any, path: str, permissions: Any, handler: Any, summary: str, act: Any = None) -> None:
        found.append(Route(method, path, permissions, handler, summary, act, "other"))

    at, one = f"/{EXTENSIONS}", f"/{EXTENSIONS}/{{id}}"
    read, write = EXTENSIONS_READ, EXTENSIONS_WRITE
    route("GET", at, read, _list, "List custom authentication extensions")
    route("POST", at, write, _add, "Add a custom authentication extension", extensions.ADD)
    route("GET", one, read, _get, "Get a custom authentication extension")
    route("PATCH", one, write, _change, "Change a custom authentication extension", extensions.UPDATE)
    route("DELETE", one, write, _remove, "Delete a custom authentication extension", extensions.DELETE)
    rotated = f"{one}/genkanRotateSigningSecret"
    route("POST", rotated, write, _rotate, "Begin a new signing secret", extensions.ROTATE)
    at, one = f"/{LISTENERS}", f"/{LISTENERS}/{{id}}"
    changed, removed = extensions.LISTEN_ELSE, extensions.LISTEN_NO_MORE
    route("GET", at, FLOWS_READ, _list_listeners, "List event listeners")
    route("POST", at, FLOWS_WRITE, _add_listener, "Add an event listener", extensions.LISTEN)
    route("GET", one, FLOWS_READ, _get_listener, "Get an event listener")
    route("PATCH", one, FLOWS_WRITE, _change_listener, "Change an event listener", changed)
    route("DELETE", one, FLOWS_WRITE, _remove_listener, "Delete an event listener", removed)
    return tuple(found)


ROUTES = _routes()
