"""
What somebody may see of their own account: who signed in, and what was changed of how it signs in.

Read from the sign-in log and from the methods themselves, which keep when they came, changed and went. It names no
network address, and addresses and numbers are masked, since whoever looks may be somebody else. Pure.
Source: LOG-08; emergency-protocol 8; ENR-12.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final, Literal

from msgspec import Struct

from genkan import identifiers
from genkan.engine.messages import SignIn
from genkan.model import Authenticator, Identifier, Kind, Reserve, Subject

Outcome = Literal["succeeded", "refused", "unfinished"]

OUTCOMES: Final[dict[str, Outcome]] = {"issued": "succeeded", "refused": "refused"}
"""Of a sign-in; every other never came to its end."""


class Told(Struct, frozen=True, kw_only=True):
    """A sign-in, a sign-up or a reset."""

    at: datetime
    purpose: str
    app: str
    outcome: Outcome
    country: str | None
    platform: str
    methods: tuple[Kind, ...]
    """What was proven."""


class Change(Struct, frozen=True, kw_only=True):
    """A change to how an account signs in."""

    at: datetime
    what: Literal[
        "password_set",
        "password_changed",
        "method_added",
        "method_changed",
        "method_removed",
        "sessions_ended",
        "recovery_codes_issued",
        "freeze_code_issued",
    ]
    kind: Kind | None = None
    target: str = ""
    """The address or number, masked."""
    by: Literal["", "sign_up", "registration", "administrator"] = ""
    """Who bound a method, where that is known."""


def told(entry: SignIn) -> Told:
    """A row of the sign-in log as its owner sees it."""
    return Told(
        at=entry.at,
        purpose=entry.purpose,
        app=entry.client_name,
        outcome=OUTCOMES.get(entry.outcome, "unfinished"),
        country=entry.place.country,
        platform=entry.platform,
        methods=tuple(step.kind for step in entry.steps if step.succeeded),
    )


def changes(subject: Subject, methods: Iterable[Authenticator], reserve: Reserve | None) -> Iterator[Change]:
    """Every change that is known of an account, in no order."""
    for method in methods:
        yield from _of_method(method)
    if subject.sessions_from is not None:
        yield Change(at=subject.sessions_from, what="sessions_ended")
    if reserve is not None:
        if reserve.recovery is not None:
            yield Change(at=reserve.recovery.issued_at, what="recovery_codes_issued")
        if reserve.freeze is not None:
            yield Change(at=reserve.freeze.issued_at, what="freeze_code_issued")


def _of_method(method: Authenticator) -> Iterator[Change]:
    kind = method.kind
    if kind is Kind.PASSWORD:
        yield Change(at=method.created_at, what="password_set", kind=kind, by=method.source)
        if method.changed_at is not None:
            yield Change(at=method.changed_at, what="password_changed", kind=kind)
    else:
        first = method.formerly[0].target if method.formerly else method.target
        yield Change(
            at=method.created_at, what="method_added", kind=kind, target=_masked(first), by=method.source
        )
        following = (*(former.target for former in method.formerly[1:]), method.target)
        for former, target in zip(method.formerly, following, strict=True):
            yield Change(at=former.until, what="method_changed", kind=kind, target=_masked(target))
    if method.removed_at is not None:
        yield Change(at=method.removed_at, what="method_removed", kind=kind, target=_masked(method.target))


def _masked(target: Identifier | None) -> str:
    return identifiers.mask(target) if target is not None else ""
