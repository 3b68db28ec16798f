"""
How people sign up: the custom attributes that there are, and the user flows that applications share.

A custom attribute is called `extension_`, the id of an application without hyphens, and a name. One that belongs to no
application of its own stands under an id that follows from the tenant's. A user flow takes the place of what its
applications say themselves; it counts from the next request on.
Source: admin-graph-api 6.1; native-auth-v1 10.1, 10.2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID, uuid5

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from genkan.engine import attributes
from genkan.engine.messages import Directory, PutDocument, RemoveDocument
from genkan.model import Attribute, Kind, SignUpFlow, UserFlow
from genkan.service.admin.door import (
    Act,
    Actor,
    Done,
    Door,
    Refusal,
    Target,
    current,
    differences,
    entropy,
    invalid,
    missing,
)
from genkan.service.ports import View

ADD_ATTRIBUTE = Act("Create custom user attribute", "DirectoryManagement", "Add", "Directory")
UPDATE_ATTRIBUTE = Act("Update custom user attribute", "DirectoryManagement", "Update", "Directory")
DELETE_ATTRIBUTE = Act("Delete custom user attribute", "DirectoryManagement", "Delete", "Directory")
ADD = Act("Add authentication events flow", "Policy", "Add", "Policy")
UPDATE = Act("Update authentication events flow", "Policy", "Update", "Policy")
DELETE = Act("Delete authentication events flow", "Policy", "Delete", "Policy")

BUILT_IN: Final[Mapping[str, tuple[str, int]]] = {
    "email": ("Email Address", 254),
    "displayName": ("Display Name", 256),
    "givenName": ("Given Name", 64),
    "surname": ("Surname", 64),
    "jobTitle": ("Job Title", 128),
    "city": ("City", 128),
    "country": ("Country/Region", 128),
    "state": ("State/Province", 128),
    "postalCode": ("Postal Code", 40),
    "streetAddress": ("Street Address", 1024),
}
"""What everybody may be asked: what it is called, and how long it may be (native-auth-v1 10.2)."""

EMAIL: Final = "email"
"""The address itself, which is no attribute on the wire."""

EXTENSIONS: Final = UUID("a7c0ffee-8f0c-5d7e-9a1f-0f2c4b6d8e10")
"""The name space of the ids under which tenants' own attributes stand."""

MOST_ATTRIBUTES, MOST_FLOWS, MOST_CLIENTS = 250, 100, 500
LONGEST_NAME, LONGEST_DESCRIPTION, LONGEST_LABEL, MOST_OPTIONS = 256, 1024, 256, 200
LONGEST_VALUE: Final = 250

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


# Custom attributes. -------------------------------------------------------------------------------------------------


def extensions_app(tenant: str) -> str:
    """Return the id under which a tenant's own attributes stand."""
    return str(uuid5(EXTENSIONS, tenant))


def called(app_id: str, name: str) -> str:
    """Return what a custom attribute is called: `Loyalty Number` is `extension_…_loyaltyNumber`."""
    first, *others = name.split() or [""]
    if others:
        name = first[:1].lower() + first[1:] + "".join(word[:1].upper() + word[1:] for word in others)
    return f"extension_{app_id.replace('-', '')}_{name}"


def defined(directory: Directory) -> tuple[Attribute, ...]:
    """Return the custom attributes that there are: those of the tenant, and those that an application collects."""
    collected = (a for client in directory.clients.values() for a in directory.user_flow(client).attributes)
    every = (*directory.tenant.custom_attributes, *collected)
    return tuple({a.name.lower(): a for a in reversed(every) if a.name.startswith("extension_")}.values())


async def add_attribute(door: Door, actor: Actor, new: Attribute, app_id: str = "") -> Attribute | Refusal:
    """
    Define a custom attribute. `new.name` is its own part of the name, or a label of which that is made.

    `app_id` is the application that it belongs to; empty: the tenant itself.
    """

    def decide(view: View) -> Done[Attribute] | Refusal:
        tenant = view.directory.tenant
        name = called(app_id or extensions_app(tenant.id), new.name)
        if not _NAME.fullmatch(name.split("_", 2)[2]):
            return invalid(
                "The name of an attribute has letters, digits and blanks, a letter first.", "displayName"
            )
        if len(new.label) > LONGEST_NAME or len(new.description) > LONGEST_DESCRIPTION:
            return invalid("The name or the description is too long.", "displayName")
        if any(name.lower() == known.name.lower() for known in defined(view.directory)):
            return Refusal(
                why="taken",
                text="There is an attribute of this name.",
                code="ObjectConflict",
                target="displayName",
            )
        if len(tenant.custom_attributes) >= MOST_ATTRIBUTES:
            return invalid(f"There are {MOST_ATTRIBUTES} custom attributes at most.")
        made = replace(new, name=name, max_length=LONGEST_VALUE)
        changed = replace(tenant, custom_attributes=(*tenant.custom_attributes, made))
        target = Target(id=name, name=made.label, changes=differences(None, _seen_attribute(made)))
        return Done(made, target, (PutDocument(changed),))

    return await door.act(actor, ADD_ATTRIBUTE, decide)


async def describe_attribute(door: Door, actor: Actor, name: str, description: str) -> Attribute | Refusal:
    """Change what is said of a custom attribute; it stays what it is."""

    def decide(view: View) -> Done[Attribute] | Refusal:
        tenant = view.directory.tenant
        found = _custom(tenant.custom_attributes, name)
        if found is None:
            return missing("custom attribute", name)
        if len(description) > LONGEST_DESCRIPTION:
            return invalid("The description is too long.", "description")
        made = replace(found, description=description)
        every = tuple(made if known is found else known for known in tenant.custom_attributes)
        changes = differences(_seen_attribute(found), _seen_attribute(made))
        return Done(
            made,
            Target(id=made.name, name=made.label, changes=changes),
            (PutDocument(replace(tenant, custom_attributes=every)),),
        )

    return await door.act(actor, UPDATE_ATTRIBUTE, decide, name)


async def remove_attribute(door: Door, actor: Actor, name: str) -> Attribute | Refusal:
    """Take a custom attribute away that no user flow collects. What people have of it stays."""

    def decide(view: View) -> Done[Attribute] | Refusal:
        tenant = view.directory.tenant
        found = _custom(tenant.custom_attributes, name)
        if found is None:
            return missing("custom attribute", name)
        if any(
            a.name == found.name
            for f in view.directory.sign_up_flows.values()
            for a in f.user_flow.attributes
        ):
            return invalid("A user flow collects this attribute: take it out there first.")
        every = tuple(known for known in tenant.custom_attributes if known is not found)
        target = Target(id=found.name, name=found.label, changes=differences(_seen_attribute(found), None))
        return Done(found, target, (PutDocument(replace(tenant, custom_attributes=every)),))

    return await door.act(actor, DELETE_ATTRIBUTE, decide, name)


def _custom(known: tuple[Attribute, ...], name: str) -> Attribute | None:
    return next((one for one in known if one.name.lower() == name.lower()), None)


def _seen_attribute(attribute: Attribute) -> dict[str, Any]:
    return {
        "displayName": attribute.label,
        "description": attribute.description,
        "dataType": "stringCollection" if attribute.several else attribute.type,
    }


# User flows. --------------------------------------------------------------------------------------------------------


class Input(Struct, frozen=True, kw_only=True):
    """How one attribute is collected, as it is written, before it is believed."""

    attribute: str
    kind: str = "text"
    """Graph's `inputType`, in small letters."""
    required: bool = False
    hidden: bool = False
    editable: bool = True
    kept: bool = True
    regex: str | None = None
    default: str | None = None
    options: tuple[str, ...] = ()


class FlowChange(Struct, frozen=True, kw_only=True):
    """What is to be changed, or of a new one what it is; a member that is UNSET stays as it is."""

    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    priority: int | UnsetType = UNSET
    clients: tuple[str, ...] | UnsetType = UNSET
    sign_up: bool | UnsetType = UNSET
    first_factor: Kind | UnsetType = UNSET
    inputs: tuple[Input, ...] | UnsetType = UNSET
    """All that is collected, in its order. It goes with `page`."""
    page: str | UnsetType = UNSET
    on_start: str | UnsetType = UNSET
    on_submit: str | UnsetType = UNSET
    """Extensions that this flow names itself; empty: none."""


async def add(door: Door, actor: Actor, new: FlowChange) -> SignUpFlow | Refusal:
    """Make a user flow. Nobody signs up by it unless it says that they may."""
    id = entropy().guid("sign-up flow")

    def decide(view: View) -> Done[SignUpFlow] | Refusal:
        if len(view.directory.sign_up_flows) >= MOST_FLOWS:
            return invalid(f"There are {MOST_FLOWS} user flows at most.")
        empty = SignUpFlow(id=id, name="", user_flow=UserFlow(sign_up=False), created_at=view.now)
        made = _changed(empty, new, view.directory)
        if isinstance(made, Refusal):
            return made
        target = Target(id=id, name=made.name, changes=differences(None, _seen(made)))
        return Done(made, target, (PutDocument(made),))

    return await door.act(actor, ADD, decide)


async def change(
    door: Door, actor: Actor, id: str, change: FlowChange, expected: str | None = None
) -> SignUpFlow | Refusal:
    """Change a user flow. Whoever is signing up by it goes on by what it says now."""

    def decide(view: View) -> Done[SignUpFlow] | Refusal:
        found = current("user flow", id, view.directory.sign_up_flows.get(id), expected)
        if isinstance(found, Refusal):
            return found
        made = _changed(found, change, view.directory)
        if isinstance(made, Refusal):
            return made
        target = Target(id=id, name=made.name, changes=differences(_seen(found), _seen(made)))
        return Done(made, target, (PutDocument(made),))

    return await door.act(actor, UPDATE, decide, id)


async def attach(
    door: Door, actor: Actor, id: str, app_id: str, *, away: bool = False
) -> SignUpFlow | Refusal:
    """Let an application use a user flow, or no more (`away`): it then goes by what it says itself."""

    def decide(view: View) -> Done[SignUpFlow] | Refusal:
        found = view.directory.sign_up_flows.get(id)
        if found is None:
            return missing("user flow", id)
        if away and app_id not in found.clients:
            return missing("application of this user flow", app_id)
        kept = tuple(client for client in found.clients if client != app_id)
        made = _changed(found, FlowChange(clients=kept if away else (*kept, app_id)), view.directory)
        if isinstance(made, Refusal):
            return made
        target = Target(id=id, name=made.name, changes=differences(_seen(found), _seen(made)))
        return Done(made, target, (PutDocument(made),))

    return await door.act(actor, UPDATE, decide, id)


async def remove(door: Door, actor: Actor, id: str, expected: str | None = None) -> SignUpFlow | Refusal:
    """Delete a user flow. Its applications go by what they say themselves."""

    def decide(view: View) -> Done[SignUpFlow] | Refusal:
        found = current("user flow", id, view.directory.sign_up_flows.get(id), expected)
        if isinstance(found, Refusal):
            return found
        target = Target(id=id, name=found.name, changes=differences(_seen(found), None))
        return Done(found, target, (RemoveDocument("sign_up_flow", id),))

    return await door.act(actor, DELETE, decide, id)


def without(directory: Directory, app_id: str) -> tuple[PutDocument, ...]:
    """Return the user flows anew that an application was in which is there no more."""
    return tuple(
        PutDocument(replace(flow, clients=tuple(c for c in flow.clients if c != app_id)))
        for flow in directory.sign_up_flows.values()
        if app_id in flow.clients
    )


def _changed(flow: SignUpFlow, change: FlowChange, directory: Directory) -> SignUpFlow | Refusal:
    """Return the user flow as it is to be."""
    given: dict[str, Any] = {
        name: value
        for name in ("name", "description", "priority", "page")
        if not isinstance(value := getattr(change, name), UnsetType)
    }
    flow = replace(flow, **given)
    others = [other for other in directory.sign_up_flows.values() if other.id != flow.id]
    if not 0 < len(flow.name.strip()) <= LONGEST_NAME or len(flow.description) > LONGEST_DESCRIPTION:
        return invalid("A user flow has a name, of 256 characters at most.", "displayName")
    if any(other.name.lower() == flow.name.lower() for other in others):
        return Refusal(
            why="taken",
            text="There is a user flow of this name.",
            code="ObjectConflict",
            target="displayName",
        )
    if not 0 <= flow.priority <= 1000:
        return invalid("priority is 0 to 1000.", "priority")
    if not isinstance(change.clients, UnsetType):
        clients = tuple(dict.fromkeys(client.lower() for client in change.clients))
        refused = _refused(clients, others, directory)
        if refused is not None:
            return refused
        flow = replace(flow, clients=clients)
    says = flow.user_flow
    if not isinstance(change.sign_up, UnsetType):
        says = replace(says, sign_up=change.sign_up)
    if not isinstance(change.first_factor, UnsetType):
        says = replace(says, first_factor=change.first_factor)
    for hook, id in (("attributes_start", change.on_start), ("attributes_submit", change.on_submit)):
        if isinstance(id, UnsetType):
            continue
        extension = directory.extensions.get(id)
        if id and (extension is None or extension.hook != hook):
            return invalid("The handler names no extension for this event.", "customExtension")
        says = replace(says, on_start=id) if hook == "attributes_start" else replace(says, on_submit=id)
    if not isinstance(change.inputs, UnsetType):
        collected = _collected(change.inputs, directory)
        if isinstance(collected, Refusal):
            return collected
        says = replace(says, attributes=collected)
    return replace(flow, user_flow=says)


def _refused(clients: tuple[str, ...], others: list[SignUpFlow], directory: Directory) -> Refusal | None:
    if len(clients) > MOST_CLIENTS:
        return invalid(f"A user flow has {MOST_CLIENTS} applications at most.", "conditions")
    for client in clients:
        if client not in directory.clients:
            return invalid(f"There is no application {client[:64]}.", "conditions")
        if any(client in other.clients for other in others):
            return Refusal(
                why="taken",
                text=f"The application {client} is in another user flow.",
                code="ObjectConflict",
                target="conditions",
            )
    return None


def _collected(inputs: tuple[Input, ...], directory: Directory) -> tuple[Attribute, ...] | Refusal:
    """Return what is collected, as sign-up judges it."""
    found: dict[str, Attribute] = {}
    for one in inputs:
        if one.attribute == EMAIL:
            continue
        if one.attribute in found:
            return invalid(f"The attribute {one.attribute} is collected twice.", one.attribute)
        attribute = _attribute(one, directory)
        if isinstance(attribute, Refusal):
            return attribute
        found[attribute.name] = attribute
    return tuple(found.values())


def _attribute(one: Input, directory: Directory) -> Attribute | Refusal:
    known = _custom(directory.tenant.custom_attributes, one.attribute)
    if one.attribute in BUILT_IN:
        known = Attribute(name=one.attribute, max_length=BUILT_IN[one.attribute][1])
    if known is None:
        return invalid(f"There is no attribute {one.attribute[:120]}.", one.attribute[:120])
    chosen = one.kind in ("radiosingleselect", "checkboxmultiselect")
    if one.kind not in ("text", "boolean", "radiosingleselect", "checkboxmultiselect"):
        return invalid("inputType is text, radioSingleSelect, checkboxMultiSelect or boolean.", one.attribute)
    if (one.kind == "boolean") is not (known.type == "boolean") or (chosen and known.type != "string"):
        return invalid(f"{one.attribute} is not of the type that this input is for.", one.attribute)
    if chosen is not bool(one.options) or len(one.options) > MOST_OPTIONS:
        return invalid("Choices have options, and nothing else has.", one.attribute)
    if any(not o or o != o.strip() or "," in o or len(o) > LONGEST_LABEL for o in one.options):
        return invalid("An option has a value without commas, and without blanks around it.", one.attribute)
    if one.regex and known.type == "string" and (why := attributes.why_unreadable(one.regex)) is not None:
        return invalid(f"validationRegEx of {one.attribute} cannot be used: {why}.", one.attribute)
    made = replace(
        known,
        required=one.required,
        regex=one.regex if known.type == "string" and not chosen else None,
        options=one.options,
        several=one.kind == "checkboxmultiselect",
        default=one.default,
        asked=one.editable and not one.hidden,
        kept=one.kept,
    )
    if one.default is not None and attributes.judge_theirs({made.name: one.default}, (made,)).refused:
        return invalid(f"The default of {one.attribute} is no value of it.", one.attribute)
    return made


def _seen(flow: SignUpFlow) -> dict[str, Any]:
    """How the log sees a user flow."""
    return {
        "displayName": flow.name,
        "description": flow.description,
        "priority": flow.priority,
        "includeApplications": flow.clients,
        "isSignUpAllowed": flow.user_flow.sign_up,
        "identityProviders": flow.user_flow.first_factor.value,
        "onAttributeCollectionStart": flow.user_flow.on_start,
        "onAttributeCollectionSubmit": flow.user_flow.on_submit,
        "attributes": [msgspec.to_builtins(attribute) for attribute in flow.user_flow.attributes],
    }
