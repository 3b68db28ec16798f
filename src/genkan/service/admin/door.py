"""
The door of administration: an act is decided in the store's batch, and its audit row commits with it.

Decides nothing about any noun. Source: LOG-05; admin-graph-api 5.7.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import asdict

from genkan import identifiers
from genkan.engine import approvals, signals, steps
from genkan.engine.approvals import Control, Person
from genkan.engine.messages import (
    Deliver,
    Effect,
    Emit,
    Entropy,
    Facts,
    PutDocument,
    Record,
    RemoveDocument,
)
from genkan.engine.transaction import Change, Conflict
from genkan.model import Approval, Client, ControlledKind, Subject, Tenant
from genkan.service.hashing import Hashing
from genkan.service.ports import AdminStore, View

T = TypeVar("T")

Why = Literal["missing", "invalid", "taken", "stale", "forbidden", "unsupported", "overloaded"]
"""What kind of no it is."""

Category = Literal[
    "UserManagement",
    "GroupManagement",
    "ApplicationManagement",
    "Policy",
    "Authentication",
    "DirectoryManagement",
]
Operation = Literal["Add", "Update", "Delete", "Assign", "Unassign"]
TargetKind = Literal["User", "Group", "Application", "ServicePrincipal", "Policy", "Directory", "Other"]

SECRET = "***"
"""What the log says of a secret: that there was one."""
ADDRESSES = frozenset({"mail", "mobilePhone", "userPrincipalName", "phoneNumber", "emailAddress"})
"""Properties that are addresses or numbers of a person."""
LONGEST_VALUE = 4096
"""Characters of a value in the log."""


class Actor(Struct, frozen=True, kw_only=True):
    """Who asks for a change."""

    id: str
    """The app id of a client; of an operator at the command line their name there."""
    name: str
    kind: Literal["app", "operator"] = "app"
    address: str = ""
    correlation_id: str = ""
    roles: frozenset[str] = frozenset()
    """Of a client: its application permissions. An operator may do everything."""

    @property
    def person(self) -> Person:
        """Who it is where two have to be two."""
        return Person(key=f"{self.kind}:{self.id}", name=self.name)


class Act(Struct, frozen=True):
    """What was asked for, in Graph's words for the log."""

    name: str
    category: Category
    operation: Operation
    kind: TargetKind


class Refusal(Struct, frozen=True, kw_only=True):
    """No, and nothing has changed. `text` is for the administrator and names no secret."""

    why: Why
    text: str
    code: str = ""
    """A finer word: `ObjectConflict`, or the number of a rule."""
    target: str = ""
    """The property that it is about."""


class Target(Struct, frozen=True, kw_only=True):
    """What was changed, as the log names it."""

    id: str = ""
    name: str = ""
    changes: tuple[tuple[str, Any, Any], ...] = ()
    """(property, before, after), masked already where it has to be."""


class Done(Struct, Generic[T], frozen=True):
    """What an act comes to."""

    answer: T
    target: Target
    effects: tuple[Effect, ...] = ()
    others: tuple[Target, ...] = ()
    """Further objects that it is about."""
    control: Control | None = None
    """Where it takes two administrators: the act that the second one has to agree to (ADM-06)."""


class Door(Struct, frozen=True, kw_only=True):
    """A tenant's way in for administrators."""

    store: AdminStore
    hashing: Hashing
    on_deliver: Callable[[], None]
    """Called after a commit that put a message into the outbox, or a signal beside it."""
    now: Callable[[], datetime]
    """The time, for what is decided outside a step."""

    async def act(
        self, actor: Actor, act: Act, decide: Callable[[View], Done[T] | Refusal], about: str = ""
    ) -> T | Refusal:
        """
        Do what was asked for, or say why not; either way with its row in the log.

        `about` is the id of what it is about, for the log of a refusal. `decide` may be called more than once.
        Raises: `StoreUnavailable`.
        """
        delivers, draw = False, entropy()

        def step(view: View) -> tuple[Change, T | Refusal]:
            nonlocal delivers
            done = decide(view)
            if isinstance(done, Refusal):
                return Change(effects=(_record(actor, act, (Target(id=about),), done),)), done
            targets = (done.target, *done.others)
            approved: Approval | None = None
            if done.control is not None and view.directory.tenant.dual_control:
                agreed = _agreed(view, done.control, actor, draw)
                if isinstance(agreed, _Waits):
                    record = _record(actor, act, targets, agreed.refusal)
                    return Change(effects=(*agreed.effects, record)), agreed.refusal
                approved = agreed
            effects = (*done.effects, *_signals(view, done.effects))
            delivers = any(isinstance(effect, Deliver | Emit) for effect in effects)
            record = _record(actor, act, targets, None, approved)
            if approved is not None:
                effects = (*effects, RemoveDocument("approval", approved.id))
            return Change(effects=(*effects, record)), done.answer

        try:
            answer = await self.store.administer(step)
        except Conflict:  # Such as two that want the same name, in the same moment, time and again.
            refusal = Refusal(why="taken", text="It was changed by somebody else at the same time.")
            return await self.refuse(actor, act, refusal, about)
        if delivers and not isinstance(answer, Refusal):
            self.on_deliver()
        return answer

    async def refuse(self, actor: Actor, act: Act, refusal: Refusal, about: str = "") -> Refusal:
        """Note a refusal that was clear before anything was looked at."""

        def step(_: View) -> tuple[Change, Refusal]:
            return Change(effects=(_record(actor, act, (Target(id=about),), refusal),)), refusal

        return await self.store.administer(step)


def _signals(view: View, effects: Sequence[Effect]) -> tuple[Emit, ...]:
    """What receivers are told of it."""
    return signals.following(
        effects,
        directory=view.directory,
        now=view.now,
        by="admin",
        entropy=entropy(),
        person=view.person,
        methods=view.every_authenticator,
    )


class _Waits(Struct, frozen=True):
    """It is not done yet, and this is put down of it."""

    refusal: Refusal
    effects: tuple[Effect, ...]


def _agreed(view: View, control: Control, actor: Actor, draw: Entropy) -> Approval | _Waits:
    """The word of a second administrator on this very act; else it is put down for one."""
    known, now = view.directory.approvals, view.now
    found = approvals.standing(known, control, actor.person, now)
    if found is not None and found.verdict == "approved":
        return found
    effects: list[Effect] = [RemoveDocument("approval", id) for id in approvals.over(known.values(), now)]
    if found is None:
        asked = approvals.ask(known, control, actor.person, draw.guid("approval"), now)
        if isinstance(asked, str):
            text = f"{approvals.MOST} acts of yours wait for a second administrator already."
            return _Waits(Refusal(why="forbidden", text=text), tuple(effects))
        found = asked
        effects.append(PutDocument(asked))
    if found.verdict == "refused":
        text = f"{found.judge} refused this: {found.reason or 'no reason was given'}."
    else:
        text = (
            f"A second administrator has to approve this: it waits as {found.id}. Do it again, exactly so, when they "
            "have."
        )
    refusal = Refusal(why="forbidden", text=text, code="ApprovalRequired", target=found.id)
    return _Waits(refusal, tuple(effects))


def control(kind: ControlledKind, act: Act, target: Target, state: object = None) -> Control:
    """
    An act that takes two. `state` is what it is done to: where that is another one by then, it is another act.
    """
    return Control(
        kind=kind,
        act=act.name,
        target=target.id,
        name=target.name,
        payload=version((kind, act.name, target.id, target.changes, state)),
        changes=msgspec.json.encode(_changes(target)).decode(),
    )


def _changes(target: Target) -> list[dict[str, str | None]]:
    return [{"name": name, "old": _logged(old), "new": _logged(new)} for name, old, new in target.changes]


def _record(
    actor: Actor,
    act: Act,
    targets: Sequence[Target],
    refused: Refusal | None,
    approved: Approval | None = None,
) -> Record:
    first = targets[0]
    return Record(
        action=act.name,
        category=act.category,
        reason=refused.why if refused else "",
        subject=first.id if act.kind == "User" and first.id else None,
        client=actor.id if actor.kind == "app" else None,
        correlation_id=actor.correlation_id,
        detail={
            "operation": act.operation,
            "actor": {"kind": actor.kind, "id": actor.id, "name": actor.name},
            "targets": [
                {
                    "id": target.id,
                    "name": target.name,
                    "type": act.kind,
                    "changes": _changes(target),
                }
                for target in targets
            ],
            **({"why": refused.text} if refused else {}),
            **({"approved_by": {"id": approved.judged_by, "name": approved.judge}} if approved else {}),
        },
    )


def _logged(value: Any) -> str | None:
    """Return a value as JSON text, which is what Graph keeps."""
    return None if value is None else msgspec.json.encode(value).decode()[:LONGEST_VALUE]


# Words for those who decide. ------------------------------------------------------------------------------------------


def missing(kind: str, id: str) -> Refusal:
    """There is no such thing."""
    return Refusal(
        why="missing",
        text=f"Resource '{id}' does not exist or one of its queried reference-property objects are not present."
        f" It was looked for as {kind}.",
    )


def invalid(text: str, target: str = "", code: str = "") -> Refusal:
    """It cannot be like that."""
    return Refusal(why="invalid", text=text, target=target, code=code)


def stale(expected: str | None, value: object) -> Refusal | None:
    """Refuse where something has been changed since it was read; `expected` None asks for nothing."""
    if expected is None or expected == "*" or expected == version(value):
        return None
    return Refusal(why="stale", text="It was changed since it was read: read it again, and change that.")


def current(kind: str, id: str, found: T | None, expected: str | None = None) -> T | Refusal:
    """What an act is about; refused where it is not there, or is not as it was when `expected` was read."""
    if found is None:
        return missing(kind, id)
    return stale(expected, found) or found


def asked(change: Struct) -> dict[str, Any]:
    """What a change says: its members but for those that are UNSET."""
    return {name: value for name, value in asdict(change).items() if value is not UNSET}


def version(value: object) -> str:
    """Name the state that something is in: another one as soon as anything of it is changed."""
    return hashlib.blake2b(msgspec.json.encode(value), digest_size=12).hexdigest()


def differences(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> tuple[tuple[str, Any, Any], ...]:
    """Name what differs between two states of something, addresses masked; None is before there was, or after."""
    old, new = before or {}, after or {}
    return tuple(
        (name, masked(name, old.get(name)), masked(name, new.get(name)))
        for name in dict.fromkeys((*old, *new))
        if old.get(name) != new.get(name)
    )


def masked(name: str, value: Any) -> Any:
    """Return a property as the log may hold it (LOG-01)."""
    if name not in ADDRESSES or not isinstance(value, str) or not value:
        return value
    known = identifiers.email(value) or identifiers.phone(value) or identifiers.username(value)
    return identifiers.mask(known) if known else SECRET


def domain(tenant: Tenant) -> str:
    """Name the tenant's default domain: the issuer of local identities, and the end of principal names."""
    return tenant.aliases[0] if tenant.aliases else tenant.name


def entropy() -> Entropy:
    """Draw the randomness of one act."""
    return Entropy(os.urandom(32))


def notices(view: View, subject: Subject, draw: Entropy, template: str, **values: str) -> list[Deliver]:
    """Tell the owner of an account what an administrator changed, at each of its mailboxes and numbers (ENR-03)."""
    loaded = view.loaded(subject.id)
    facts = Facts(
        now=view.now,
        directory=view.directory,
        client=None,
        subject=loaded.subject or subject,
        authenticators=loaded.authenticators,
        entropy=draw,
        code_key=b"",
    )
    tenant = view.directory.tenant
    return steps.notices(subject, facts, Client(id="", name=tenant.name), template, **values)


def unique(items: Iterable[T]) -> tuple[T, ...]:
    """Return the items, each once, in their order."""
    return tuple(dict.fromkeys(items))
