"""
User flows, the attributes that they collect, and extension properties, in Graph's words. Source: admin-graph-api 6.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid5

import msgspec
from msgspec import UNSET, UnsetType

from genkan.engine.messages import Directory
from genkan.exchange import Response
from genkan.model import Attribute, Kind, SignUpFlow
from genkan.service.admin import flows
from genkan.service.admin.door import version
from genkan.service.admin.flows import BUILT_IN, EMAIL, FlowChange, Input
from genkan.wire.graph import applications, lists
from genkan.wire.graph.answers import Fault, bad
from genkan.wire.graph.api import DONE, Area, Call, Route
from genkan.wire.graph.odata import Properties
from genkan.wire.graph.permissions import APPLICATIONS_READ, APPLICATIONS_WRITE, FLOWS_READ, FLOWS_WRITE
from genkan.wire.graph.reads import boolean, check_type, object_of, objects, selected, text, texts, written

ATTRIBUTES, FLOWS = "identity/userFlowAttributes", "identity/authenticationEventsFlows"
KIND = "externalUsersSelfServiceSignUpEventsFlow"
PROVIDERS: Mapping[str, Kind] = {
    "EmailPassword-OAUTH": Kind.PASSWORD,
    "EmailOtpSignup-OAUTH": Kind.EMAIL_OTP,
}
"""Ways to sign up, which decide the first factor."""
PROVIDER_NAMES = {Kind.PASSWORD: "Email with password", Kind.EMAIL_OTP: "Email One Time Passcode"}

FILTERS: Properties = {
    "id": "text",
    "displayName": "text",
    "userFlowAttributeType": "text",
    "dataType": "text",
}


# Attributes. --------------------------------------------------------------------------------------------------------


def _data_type(attribute: Attribute) -> str:
    return "stringCollection" if attribute.several else attribute.type


def shown_attribute(attribute: Attribute) -> dict[str, Any]:
    """Return a custom attribute as it is shown."""
    return {
        "@odata.type": "#microsoft.graph.identityCustomUserFlowAttribute",
        "id": attribute.name,
        "displayName": attribute.label or attribute.name,
        "description": attribute.description or None,
        "userFlowAttributeType": "custom",
        "dataType": _data_type(attribute),
    }


def _built_in(name: str) -> dict[str, Any]:
    return {
        "@odata.type": "#microsoft.graph.identityBuiltInUserFlowAttribute",
        "id": name,
        "displayName": BUILT_IN[name][0],
        "description": None,
        "userFlowAttributeType": "builtIn",
        "dataType": "string",
    }


def _every_attribute(directory: Directory) -> list[dict[str, Any]]:
    custom = directory.tenant.custom_attributes
    return [*map(_built_in, BUILT_IN), *map(shown_attribute, custom)]


def _attribute(call: Call) -> dict[str, Any]:
    id = call.params["id"].lower()
    for one in _every_attribute(call.directory):
        if one["id"].lower() == id:
            return one
    raise Fault(404, "ResourceNotFound", f"There is no attribute {id[:120]}.")


async def _list_attributes(call: Call) -> Response:
    return lists.in_memory(call, ATTRIBUTES, _every_attribute(call.directory), FILTERS)


async def _get_attribute(call: Call) -> Response:
    return call.object(ATTRIBUTES, selected(_attribute(call), call.options.select))


async def _add_attribute(call: Call) -> Response:
    body = dict(call.body)
    for kind in ("identityUserFlowAttribute", "identityCustomUserFlowAttribute"):
        if str(body.get("@odata.type", "")).lstrip("#").lower() == f"microsoft.graph.{kind}".lower():
            del body["@odata.type"]
    given = written(
        body,
        kind="identityUserFlowAttribute",
        writable=("displayName", "description", "dataType", "userFlowAttributeType"),
    )
    if given.get("userFlowAttributeType") not in (None, "custom"):
        raise bad("Only custom attributes can be added.", "userFlowAttributeType")
    label = text(given.get("displayName"), "displayName").strip()
    new = Attribute(
        name=label,
        label=label,
        description=text(given.get("description") or "", "description"),
        **_typed(given.get("dataType"), "dataType"),
    )
    made = call.unless_refused(await flows.add_attribute(call.door, call.actor, new))
    return call.created(ATTRIBUTES, shown_attribute(made))


def _typed(value: object, name: str) -> dict[str, Any]:
    """Return the type of a new attribute. Raises: `Fault`."""
    said = text(value, name).lower()
    known: dict[str, dict[str, Any]] = {
        "string": {"type": "string"},
        "boolean": {"type": "boolean"},
        "int64": {"type": "int64"},
        "integer": {"type": "int64"},
        "largeinteger": {"type": "int64"},
        "stringcollection": {"type": "string", "several": True},
    }
    if said not in known:
        raise bad(f"An attribute of the type {said[:40]} is not supported.", name)
    return known[said]


async def _change_attribute(call: Call) -> Response:
    current = _attribute(call)
    body = {name: value for name, value in call.body.items() if name != "@odata.type"}
    given = written(body, kind="identityUserFlowAttribute", writable=("description",), current=current)
    if "description" in given and given["description"] != current["description"]:
        said = text(given["description"] or "", "description")
        call.unless_refused(await flows.describe_attribute(call.door, call.actor, current["id"], said))
    return DONE


async def _remove_attribute(call: Call) -> Response:
    current = _attribute(call)
    if current["userFlowAttributeType"] != "custom":
        raise bad("A built-in attribute cannot be deleted.", "id")
    call.unless_refused(await flows.remove_attribute(call.door, call.actor, current["id"]))
    return DONE


# Extension properties: the same attributes, as an application's. ------------------------------------------------------

TYPES = {"string": "String", "boolean": "Boolean", "int64": "LargeInteger"}


def _property(attribute: Attribute, app_name: str) -> dict[str, Any]:
    return {
        "id": str(uuid5(flows.EXTENSIONS, attribute.name)),
        "deletedDateTime": None,
        "appDisplayName": app_name,
        "name": attribute.name,
        "dataType": TYPES[attribute.type],
        "isMultiValued": False,
        "isSyncedFromOnPremises": False,
        "targetObjects": ["User"],
    }


def _properties(call: Call) -> list[dict[str, Any]]:
    app = applications.find(call)
    begins = flows.called(app.id, "")
    custom = call.directory.tenant.custom_attributes
    return [_property(one, app.name) for one in custom if one.name.startswith(begins)]


async def _list_properties(call: Call) -> Response:
    return lists.in_memory(call, "extensionProperties", _properties(call), {"id": "text", "name": "text"})


def _property_of(call: Call) -> dict[str, Any]:
    for one in _properties(call):
        if call.params["property"].lower() in (one["id"], one["name"].lower()):
            return one
    raise Fault(404, "Request_ResourceNotFound", "There is no such extension property.")


async def _get_property(call: Call) -> Response:
    return call.object("extensionProperties", _property_of(call))


async def _add_property(call: Call) -> Response:
    app = applications.find(call)
    given = written(
        call.body, kind="extensionProperty", writable=("name", "dataType", "targetObjects", "isMultiValued")
    )
    if given.get("isMultiValued"):
        raise bad("A property with several values is not supported.", "isMultiValued")
    if [kind.lower() for kind in texts(given.get("targetObjects"), "targetObjects")] != ["user"]:
        raise bad("targetObjects is User, and nothing else.", "targetObjects")
    name = text(given.get("name"), "name")
    if " " in name:
        raise bad("A name has no blanks.", "name")
    new = Attribute(name=name, label=name, **_typed(given.get("dataType"), "dataType"))
    made = call.unless_refused(await flows.add_attribute(call.door, call.actor, new, app.id))
    return call.created(f"applications/{app.object_id}/extensionProperties", _property(made, app.name))


async def _remove_property(call: Call) -> Response:
    name = _property_of(call)["name"]
    call.unless_refused(await flows.remove_attribute(call.door, call.actor, name))
    return DONE


# User flows. --------------------------------------------------------------------------------------------------------


def shown(flow: SignUpFlow, directory: Directory) -> dict[str, Any]:
    """Return a user flow as it is shown, with what it leads to."""
    says = flow.user_flow
    page = msgspec.json.decode(flow.page)
    provider = next(id for id, kind in PROVIDERS.items() if kind is says.first_factor)
    known = {one["id"]: one for one in _every_attribute(directory)}
    return {
        "@odata.type": f"#microsoft.graph.{KIND}",
        "id": flow.id,
        "displayName": flow.name,
        "description": flow.description or None,
        "priority": flow.priority,
        "conditions": {
            "applications": {"includeApplications": [_application(client) for client in flow.clients]}
        },
        "onInteractiveAuthFlowStart": {
            "@odata.type": "#microsoft.graph.onInteractiveAuthFlowStartExternalUsersSelfServiceSignUp",
            "isSignUpAllowed": says.sign_up,
        },
        "onAuthenticationMethodLoadStart": {
            "@odata.type": "#microsoft.graph.onAuthenticationMethodLoadStartExternalUsersSelfServiceSignUp",
            "identityProviders": [
                {
                    "@odata.type": "#microsoft.graph.builtInIdentityProvider",
                    "id": provider,
                    "displayName": PROVIDER_NAMES[says.first_factor],
                    "identityProviderType": provider.partition("-")[0],
                }
            ],
        },
        "onAttributeCollection": {
            "@odata.type": "#microsoft.graph.onAttributeCollectionExternalUsersSelfServiceSignUp",
            "attributes": [known[id] for id in page.get("attributes", (EMAIL,)) if id in known],
            "attributeCollectionPage": {"views": page.get("views", [])},
        },
        "onAttributeCollectionStart": _handler("Start", says.on_start),
        "onAttributeCollectionSubmit": _handler("Submit", says.on_submit),
        "onUserCreateStart": {
            "@odata.type": "#microsoft.graph.onUserCreateStartExternalUsersSelfServiceSignUp",
            "userTypeToCreate": "member",
            "accessPackages": [],
        },
    }


def _handler(event: str, extension: str) -> dict[str, Any] | None:
    if not extension:
        return None
    return {
        "@odata.type": f"#microsoft.graph.onAttributeCollection{event}CustomExtensionHandler",
        "customExtension": {"id": extension},
        "configuration": None,
    }


def _handled(given: dict[str, Any], event: str) -> str | UnsetType:
    """Return the extension that a flow names; none where it is cleared. Raises: `Fault`."""
    name = f"onAttributeCollection{event}"
    if name not in given:
        return UNSET
    if given[name] is None:
        return ""
    said = written(
        object_of(given[name], name),
        kind=f"{name}CustomExtensionHandler",
        writable=("customExtension", "configuration"),
    )
    configured = object_of(said.get("configuration"), name)
    if any(value is not None for key, value in configured.items() if "@odata." not in key):
        raise bad("What differs from the extension belongs to a listener.", name)
    return text(object_of(said.get("customExtension"), name).get("id"), name).lower()


def _application(client: str) -> dict[str, Any]:
    return {"@odata.type": "#microsoft.graph.authenticationConditionApplication", "appId": client}


def _flow(call: Call) -> SignUpFlow:
    id = call.params["id"].lower()
    found = call.directory.sign_up_flows.get(id)
    if found is None:
        raise Fault(404, "ResourceNotFound", f"There is no user flow {id[:80]}.")
    return found


def _etag(flow: SignUpFlow) -> tuple[str, str]:
    return "etag", f'W/"{version(flow)}"'


WRITABLE = (
    "displayName",
    "description",
    "priority",
    "conditions",
    "onInteractiveAuthFlowStart",
    "onAuthenticationMethodLoadStart",
    "onAttributeCollection",
    "onAttributeCollectionStart",
    "onAttributeCollectionSubmit",
    "onUserCreateStart",
)


def _change_of(given: dict[str, Any], directory: Directory) -> FlowChange:
    """Return what a body changes. Raises: `Fault`."""
    _check_user_type(given.get("onUserCreateStart"))
    inputs, page = _collection(given, directory)
    return FlowChange(
        name=text(given["displayName"], "displayName") if "displayName" in given else UNSET,
        description=text(given["description"] or "", "description") if "description" in given else UNSET,
        priority=_priority(given["priority"]) if given.get("priority") is not None else UNSET,
        clients=clients_of(given["conditions"]) if given.get("conditions") is not None else UNSET,
        sign_up=_sign_up(given),
        first_factor=_first_factor(given),
        inputs=inputs,
        page=page,
        on_start=_handled(given, "Start"),
        on_submit=_handled(given, "Submit"),
    )


def _priority(value: object) -> int:
    if type(value) is not int:
        raise bad("priority is a number.", "priority")
    return value


def clients_of(value: object) -> tuple[str, ...]:
    """Return the applications of `conditions`, which are objects, or texts as in some samples. Raises: `Fault`."""
    conditions = written(
        object_of(value, "conditions"), kind="authenticationConditions", writable=("applications",)
    )
    said = written(
        object_of(conditions.get("applications"), "conditions"),
        kind="authenticationConditionsApplications",
        writable=("includeApplications", "includeAllApplications"),
    )
    if said.get("includeAllApplications"):
        raise bad("includeAllApplications is not supported: name the applications.", "conditions")
    included = said.get("includeApplications")
    if isinstance(included, list) and all(isinstance(one, str) for one in included):
        return texts(included, "conditions")
    return tuple(client_of(one) for one in objects(included, "conditions"))


def client_of(value: dict[str, Any]) -> str:
    """Return the application of a condition. Raises: `Fault`."""
    said = written(value, kind="authenticationConditionApplication", writable=("appId",))
    return text(said.get("appId"), "appId").lower()


def _sign_up(given: dict[str, Any]) -> bool | UnsetType:
    if given.get("onInteractiveAuthFlowStart") is None:
        return UNSET
    said = written(
        object_of(given["onInteractiveAuthFlowStart"], "onInteractiveAuthFlowStart"),
        kind="onInteractiveAuthFlowStartExternalUsersSelfServiceSignUp",
        writable=("isSignUpAllowed",),
    )
    allowed = said.get("isSignUpAllowed")
    return False if allowed is None else boolean(allowed, "isSignUpAllowed")


def _first_factor(given: dict[str, Any]) -> Kind | UnsetType:
    name = "onAuthenticationMethodLoadStart"
    if given.get(name) is None:
        return UNSET
    said = written(
        object_of(given[name], name),
        kind="onAuthenticationMethodLoadStartExternalUsersSelfServiceSignUp",
        writable=("identityProviders",),
    )
    ids = [text(one.get("id"), "identityProviders") for one in objects(said.get("identityProviders"), name)]
    known = {id.lower(): kind for id, kind in PROVIDERS.items()}
    if len(ids) != 1 or ids[0].lower() not in known:
        words = " or ".join(PROVIDERS)
        raise bad(f"identityProviders is one of {words}; others are not supported.", "identityProviders")
    return known[ids[0].lower()]


def _check_user_type(value: object) -> None:
    said = object_of(value, "onUserCreateStart")
    if said.get("userTypeToCreate") not in (None, "member") or said.get("accessPackages"):
        raise bad("userTypeToCreate is member, and there are no access packages.", "onUserCreateStart")
    if "@odata.type" in said:
        check_type(said["@odata.type"], "onUserCreateStartExternalUsersSelfServiceSignUp")


def _collection(
    given: dict[str, Any], directory: Directory
) -> tuple[tuple[Input, ...], str] | tuple[UnsetType, UnsetType]:
    """Return what is collected, and how it is shown. Raises: `Fault`."""
    name = "onAttributeCollection"
    if given.get(name) is None:
        return UNSET, UNSET
    said = written(
        object_of(given[name], name),
        kind="onAttributeCollectionExternalUsersSelfServiceSignUp",
        writable=("attributes", "attributeCollectionPage", "accessPackages"),
    )
    listed = [text(one.get("id"), name) for one in objects(said.get("attributes"), name)]
    page = object_of(said.get("attributeCollectionPage"), name)
    views = [_view(one) for one in objects(page.get("views"), name)]
    inputs = [_input(one) for view in views for one in view["inputs"]]
    without = {one.attribute for one in inputs} - set(listed) - {EMAIL}
    if without and listed:
        raise bad(f"{min(without)} is shown, and is not among the attributes.", name)
    shown_inputs = {one.attribute for one in inputs}
    bare = [Input(attribute=id) for id in listed if id not in shown_inputs]
    ids = listed or list(dict.fromkeys(one.attribute for one in inputs))
    known = {one["id"].lower(): one["id"] for one in _every_attribute(directory)}
    ids = [known.get(id.lower(), id) for id in ids]
    kept = msgspec.json.encode({"attributes": ids, "views": views}).decode()
    return (*inputs, *bare), kept


def _view(value: dict[str, Any]) -> dict[str, Any]:
    said = written(
        value,
        kind="authenticationAttributeCollectionPageViewConfiguration",
        writable=("title", "description", "inputs"),
    )
    return {
        "title": _line(said.get("title"), "title"),
        "description": _line(said.get("description"), "description"),
        "inputs": [_shown_input(one) for one in objects(said.get("inputs"), "inputs")],
    }


def _line(value: object, name: str) -> str | None:
    said = None if value is None else text(value, name)
    if said is not None and len(said) > flows.LONGEST_DESCRIPTION:
        raise bad(f"The property {name} is too long.", name)
    return said


def _shown_input(value: dict[str, Any]) -> dict[str, Any]:
    """Return an input as it is kept and shown. Raises: `Fault`."""
    said = written(
        value,
        kind="authenticationAttributeCollectionInputConfiguration",
        writable=(
            "attribute",
            "label",
            "inputType",
            "hidden",
            "editable",
            "writeToDirectory",
            "required",
            "validationRegEx",
            "defaultValue",
            "options",
        ),
    )

    def switch(name: str, usual: bool) -> bool:
        return usual if said.get(name) is None else boolean(said[name], name)

    kinds = {"text": "text", "boolean": "boolean"} | {
        kind.lower(): kind for kind in ("radioSingleSelect", "checkboxMultiSelect")
    }
    kind = text(said.get("inputType") or "text", "inputType")
    return {
        "attribute": text(said.get("attribute"), "attribute"),
        "label": _line(said.get("label"), "label"),
        "inputType": kinds.get(kind.lower(), kind),
        "hidden": switch("hidden", False),
        "editable": switch("editable", True),
        "writeToDirectory": switch("writeToDirectory", True),
        "required": switch("required", False),
        "validationRegEx": _line(said.get("validationRegEx"), "validationRegEx"),
        "defaultValue": _line(said.get("defaultValue"), "defaultValue"),
        "options": [
            {"label": _line(one.get("label"), "options"), "value": text(one.get("value"), "options")}
            for one in objects(said.get("options"), "options")
        ],
    }


def _input(shown: Mapping[str, Any]) -> Input:
    return Input(
        attribute=shown["attribute"],
        kind=shown["inputType"].lower(),
        required=shown["required"],
        hidden=shown["hidden"],
        editable=shown["editable"],
        kept=shown["writeToDirectory"],
        regex=shown["validationRegEx"],
        default=shown["defaultValue"],
        options=tuple(one["value"] for one in shown["options"]),
    )


async def _list(call: Call) -> Response:
    every = [shown(flow, call.directory) for flow in call.directory.sign_up_flows.values()]
    return lists.in_memory(call, FLOWS, every, {"id": "text", "displayName": "text"})


async def _get(call: Call) -> Response:
    flow = _flow(call)
    return call.object(FLOWS, selected(shown(flow, call.directory), call.options.select), _etag(flow))


async def _add(call: Call) -> Response:
    given = written(call.body, kind=KIND, writable=WRITABLE)
    if given.get("onAuthenticationMethodLoadStart") is None:
        raise bad("A user flow names its identityProviders.", "onAuthenticationMethodLoadStart")
    change = _change_of(given, call.directory)
    made = call.unless_refused(await flows.add(call.door, call.actor, change))
    return call.created(FLOWS, shown(made, call.directory), _etag(made))


async def _change(call: Call) -> Response:
    flow = _flow(call)
    current = shown(flow, call.directory)
    given = written(call.body, kind=KIND, writable=WRITABLE, current=current)
    change = _change_of(given, call.directory)
    call.unless_refused(await flows.change(call.door, call.actor, flow.id, change, call.if_match))
    return DONE


async def _remove(call: Call) -> Response:
    call.unless_refused(await flows.remove(call.door, call.actor, _flow(call).id, call.if_match))
    return DONE


async def _list_clients(call: Call) -> Response:
    values = [_application(client) for client in _flow(call).clients]
    return lists.in_memory(call, f"{FLOWS}/includeApplications", values, {"appId": "text"})


async def _attach(call: Call) -> Response:
    flow, client = _flow(call), client_of(call.body)
    if client in flow.clients:
        raise bad("The application is in this user flow already.", "appId", "ObjectConflict")
    call.unless_refused(await flows.attach(call.door, call.actor, flow.id, client))
    of = f"{FLOWS}/{flow.id}/conditions/applications/includeApplications"
    return call.created(of, {"id": client, **_application(client)})


async def _detach(call: Call) -> Response:
    flow, client = _flow(call), call.params["app_id"].lower()
    call.unless_refused(await flows.attach(call.door, call.actor, flow.id, client, away=True))
    return DONE


def _routes() -> tuple[Route, ...]:
    found: list[Route] = []

    def route(
        method: Any,
        path: str,
        permissions: Any,
        handler: Any,
        summary: str,
        act: Any = None,
        area: Area = "other",
    ) -> None:
        found.append(Route(method, path, permissions, handler, summary, act, area))

    at, one = f"/{ATTRIBUTES}", f"/{ATTRIBUTES}/{{id}}"
    added, changed, removed = flows.ADD_ATTRIBUTE, flows.UPDATE_ATTRIBUTE, flows.DELETE_ATTRIBUTE
    route("GET", at, FLOWS_READ, _list_attributes, "List attributes")
    route("POST", at, FLOWS_WRITE, _add_attribute, "Define a custom attribute", added)
    route("GET", one, FLOWS_READ, _get_attribute, "Get an attribute")
    route("PATCH", one, FLOWS_WRITE, _change_attribute, "Describe a custom attribute", changed)
    route("DELETE", one, FLOWS_WRITE, _remove_attribute, "Delete a custom attribute", removed)
    for owner in ("/applications/{id}", "/applications(appId='{app_id}')"):
        at, one = f"{owner}/extensionProperties", f"{owner}/extensionProperties/{{property}}"
        read, write = APPLICATIONS_READ, APPLICATIONS_WRITE
        route("GET", at, read, _list_properties, "List extension properties", area="directory")
        route("POST", at, write, _add_property, "Define an extension property", added, "directory")
        route("GET", one, read, _get_property, "Get an extension property", area="directory")
        route("DELETE", one, write, _remove_property, "Delete an extension property", removed, "directory")
    at, one = f"/{FLOWS}", f"/{FLOWS}/{{id}}"
    clients = f"{one}/conditions/applications/includeApplications"
    route("GET", at, FLOWS_READ, _list, "List user flows")
    route("POST", at, FLOWS_WRITE, _add, "Make a user flow", flows.ADD)
    for cast in ("", f"/graph.{KIND}", f"/microsoft.graph.{KIND}"):
        route("GET", one + cast, FLOWS_READ, _get, "Get a user flow")
    route("PATCH", one, FLOWS_WRITE, _change, "Change a user flow", flows.UPDATE)
    route("DELETE", one, FLOWS_WRITE, _remove, "Delete a user flow", flows.DELETE)
    route("GET", clients, FLOWS_READ, _list_clients, "List the applications of a user flow")
    route("POST", clients, FLOWS_WRITE, _attach, "Let an application use a user flow", flows.UPDATE)
    route(
        "DELETE",
        clients + "/{app_id}",
        FLOWS_WRITE,
        _detach,
        "Let an application use a user flow no more",
        flows.UPDATE,
    )
    return tuple(found)


ROUTES = _routes()
