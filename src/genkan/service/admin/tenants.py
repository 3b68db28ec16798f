"""
A tenant's own settings and its signing keys.

What a setting may be stands here, beside its meaning in `model.Tenant`: a value that would switch protection off is
refused, whoever asks. Source: OTP-01, OTP-02, OTP-05, PWD-01, FLOW-16, TOK-05, TOK-20, KEY-03; LOG-05.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from genkan.engine.messages import PutDocument, PutSigningKey
from genkan.model import ControlledKind, Tenant
from genkan.service.admin.applications import APPROVE, approvers
from genkan.service.admin.door import Act, Actor, Done, Door, Refusal, Target, control, invalid
from genkan.service.admin.policies import METHOD_DEFAULTS
from genkan.service.ports import View
from genkan.tokens.claims import CLIENT_TOKEN_LIFETIME
from genkan.tokens.keys import PUBLISHED_BEFORE_USE, Algorithm, KeyRing, SigningKey

ADD = Act("Add organization", "DirectoryManagement", "Add", "Directory")
UPDATE = Act("Update organization", "DirectoryManagement", "Update", "Directory")
DELETE = Act("Delete organization", "DirectoryManagement", "Delete", "Directory")
ROTATE = Act("Rotate signing keys", "DirectoryManagement", "Update", "Directory")

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

PEOPLE = ("ids of people",)
"""What such a setting may be is asked of the database."""

RSA_SIZES = (2048, 3072)

SETTINGS: Mapping[str, tuple[Any, Any] | tuple[str, ...] | None] = {
    "enumeration": ("compat", "uniform"),
    "baseline_scopes": ("enforce", "legacy"),
    "register_when_methods_disabled": None,
    "self_service_reset": None,
    "usernames": None,
    "code_length": (6, 12),
    "code_lifetime": (_MINUTE, 10 * _MINUTE),
    "tries_per_step": (1, 5),
    "flow_idle": (_MINUTE, _HOUR),
    "flow_lifetime": (5 * _MINUTE, 12 * _HOUR),
    "password_min_length": (8, 64),
    "password_min_strength": (0, 4),
    "tell_new_places": None,
    "sms_per_calling_code": (0, 1_000_000),
    "sms_per_calling_code_daily": (0, 1_000_000),
    "sms_per_prefix": (0, 1_000_000),
    "access_token_lifetime": (5 * _MINUTE, _HOUR),
    "id_token_lifetime": (_MINUTE, _DAY),
    "refresh_idle": (_HOUR, 365 * _DAY),
    "refresh_lifetime": (_HOUR, 365 * _DAY),
    "refresh_lifetime_single_page": (_HOUR, _DAY),
    "log_retention": (_DAY, 3650 * _DAY),
    "audit_retention": (30 * _DAY, 36_500 * _DAY),
    "admin_requests": (0, 1_000_000),
    "lenient_queries": None,
    "strict_external_tenant": None,
    "coresidency": ("limited", "strict", "off"),
    "admin_proof": ("any", "fresh", "certificate"),
    "dual_control": None,
    "break_glass": PEOPLE,
    "rsa_bits": RSA_SIZES,
    "foreign_hashes": (),
}
"""What may be set: the words it may be, the least and the greatest; None for yes and no; empty: it may be emptied."""


CONTROLLED: Mapping[str, ControlledKind] = {
    "dual_control": "dual_control",
    "audit_retention": "retention",
    "log_retention": "retention",
}
"""Settings that two administrators change, where the tenant says so."""


async def add(door: Door, actor: Actor, tenant: Tenant) -> Tenant | Refusal:
    """
    Let a database that is empty be that of a tenant, with the methods that a new one has.

    There is nobody in it and no secret: its first application is made by the operator (ADM-01).
    """

    def decide(view: View) -> Done[Tenant] | Refusal:
        if view.directory.clients:
            return invalid("There is a tenant in this database already.")
        target = Target(id=tenant.id, name=tenant.name, changes=(("name", None, tenant.name),))
        methods = tuple(PutDocument(method) for method in METHOD_DEFAULTS.items())
        return Done(tenant, target, (PutDocument(tenant), *methods))

    return await door.act(actor, ADD, decide)


async def change(door: Door, actor: Actor, wanted: Mapping[str, Any]) -> Tenant | Refusal:
    """Change settings. Each value has the type of its field in `model.Tenant`."""

    def decide(view: View) -> Done[Tenant] | Refusal:
        before = view.directory.tenant
        for name, value in wanted.items():
            if (objection := _objection(name, value, view)) is not None:
                return objection
        after = replace(before, **wanted)
        changes = tuple(
            (name, _logged(getattr(before, name)), _logged(getattr(after, name)))
            for name in wanted
            if getattr(before, name) != getattr(after, name)
        )
        target = Target(id=before.id, name=before.name, changes=changes)
        kinds = [kind for name, kind in CONTROLLED.items() if name in {changed for changed, *_ in changes}]
        two = control(kinds[0], UPDATE, target) if kinds else None
        return Done(after, target, (PutDocument(after),), control=two)

    return await door.act(actor, UPDATE, decide)


async def allow_removal(door: Door, actor: Actor) -> Tenant | Refusal:
    """Say whether a tenant may be deleted with everything of it; the word of a second administrator is spent."""

    def decide(view: View) -> Done[Tenant] | Refusal:
        tenant = view.directory.tenant
        target = Target(id=tenant.id, name=tenant.name)
        return Done(tenant, target, control=control("mass_deletion", DELETE, target))

    return await door.act(actor, DELETE, decide)


def _objection(name: str, value: Any, view: View) -> Refusal | None:
    if name == "dual_control" and value is True and not approvers(view.directory):
        return invalid(
            f"First grant {APPROVE} to an application: somebody else has to be able to approve.", name
        )
    if name not in SETTINGS:
        return invalid(f"There is no setting {name}; there are {', '.join(sorted(SETTINGS))}.", name)
    allowed = SETTINGS[name]
    if allowed is None:
        return None if isinstance(value, bool) else invalid(f"{name} is true or false.", name)
    if not allowed:
        return None if not value else invalid(f"{name} can only be emptied.", name)
    if allowed is PEOPLE:
        given = set(value if isinstance(value, tuple) else (value,))
        unknown = given - view.existing("subject", given)
        return invalid(f"Nobody has the id {min(unknown)}.", name) if unknown else None
    if isinstance(allowed[0], str) or allowed is RSA_SIZES:
        return (
            None if value in allowed else invalid(f"{name} is one of {', '.join(map(str, allowed))}.", name)
        )
    least, greatest = allowed
    if type(value) is not type(least) or not least <= value <= greatest:
        return invalid(f"{name} is from {_said(least)} to {_said(greatest)}.", name)
    return None


def _said(value: Any) -> str:
    if not isinstance(value, timedelta):
        return str(value)
    for unit, word in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "m")):
        if value % unit == timedelta(0):
            return f"{value // unit}{word}"
    return f"{int(value.total_seconds())}s"


def _logged(value: Any) -> Any:
    return _said(value) if isinstance(value, timedelta) else value


# Signing keys. ------------------------------------------------------------------------------------------------------


class Rotation(Struct, frozen=True, kw_only=True):
    """New keys, and those that they succeed."""

    made: tuple[SigningKey, ...]
    older: tuple[SigningKey, ...]


async def rotate(
    door: Door,
    actor: Actor,
    keys: Iterable[SigningKey],
    algorithms: Iterable[Algorithm],
    *,
    compromised: bool,
) -> Rotation | Refusal:
    """
    Make a new key for each of these algorithms. It signs after a day, when everybody has seen it (KEY-03).

    With `compromised` it signs at once, and the older ones are believed no more: whoever holds a token signs in again.
    """
    now, bits = await door.store.look(lambda view: (view.now, view.directory.tenant.rsa_bits))
    begins = now if compromised else now + PUBLISHED_BEFORE_USE
    before = KeyRing(tuple(keys)).pruned(now)
    made = [
        SigningKey.generate(algorithm, created_at=now, activates_at=begins, rsa_bits=bits)
        for algorithm in dict.fromkeys(algorithms)
    ]

    def decide(view: View) -> Done[Rotation] | Refusal:
        tenant, ring = view.directory.tenant, before
        longest = max(tenant.access_token_lifetime, tenant.id_token_lifetime, CLIENT_TOKEN_LIFETIME)
        for key in made:
            waiting = (k for k in before.keys if k.algorithm == key.algorithm and k.activates_at > now)
            if not compromised and (next_one := next(waiting, None)) is not None:
                return invalid(
                    f"There is a new {key.algorithm} key already: it signs from "
                    f"{next_one.activates_at:%d %b %H:%M} UTC on."
                )
            ring = ring.joined(key, longest)
        older = tuple(
            replace(key, retires_at=now) if compromised else key
            for key in ring.keys
            if key not in made and key.algorithm in {m.algorithm for m in made}
        )
        changes = tuple(("keys", [k.kid for k in older if k.algorithm == m.algorithm], m.kid) for m in made)
        return Done(
            Rotation(made=tuple(made), older=older),
            Target(id=tenant.id, name=tenant.name, changes=(*changes, ("compromised", None, compromised))),
            tuple(PutSigningKey(key) for key in (*older, *made)),
        )

    return await door.act(actor, ROTATE, decide)
