"""
Two administrators for one act: who asked, what exactly, whether a second one agreed, and whether it still counts.

An act is asked for by doing it. It is put down instead, another administrator judges it, and whoever asked does it
again: then it goes through, once, if it is still the same act on the same state. So nothing has to be carried out from
a description of it, and what was approved is what happens. Pure; knows no act, and nothing of how one is asked for.
Source: ADM-06; emergency-protocol 8 (`by`, `approved_by`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from genkan.model import Approval, ControlledKind

LIFETIME: Final = timedelta(hours=24)
"""How long an act waits for a second administrator, and how long their word counts."""
MOST: Final = 20
"""Acts of one administrator that wait at once."""
LONGEST_REASON: Final = 1024


class Person(Struct, frozen=True, kw_only=True):
    """An administrator, as somebody who is one and not another."""

    key: str
    """Their kind and id; two keys are two administrators."""
    name: str


class Control(Struct, frozen=True, kw_only=True):
    """An act that takes two, as exactly as it has to be the same when it is done."""

    kind: ControlledKind
    act: str
    target: str
    name: str
    payload: str
    changes: str


Flaw = Literal["too_many", "refused", "waits", "missing", "own", "judged"]
"""Why it is not done: too many wait; it was refused; it waits. And why a word does not count: there is no such thing
(any more); it is one's own; somebody has judged already."""


def is_live(approval: Approval, now: datetime) -> bool:
    """Say whether it still counts for anything."""
    return now < approval.expires_at


def standing(
    approvals: Mapping[str, Approval], control: Control, by: Person, now: datetime
) -> Approval | None:
    """Return what there is of this very act of this administrator."""
    return next(
        (
            one
            for one in approvals.values()
            if is_live(one, now)
            and one.asked_by == by.key
            and (one.kind, one.act, one.target, one.payload)
            == (control.kind, control.act, control.target, control.payload)
        ),
        None,
    )


def ask(
    approvals: Mapping[str, Approval], control: Control, by: Person, id: str, now: datetime
) -> Approval | Literal["too_many"]:
    """Put an act down for a second administrator; `id` is a fresh one."""
    if sum(is_live(one, now) and one.asked_by == by.key for one in approvals.values()) >= MOST:
        return "too_many"
    return Approval(
        id=id,
        kind=control.kind,
        act=control.act,
        target=control.target,
        name=control.name,
        payload=control.payload,
        changes=control.changes,
        asked_by=by.key,
        asker=by.name,
        asked_at=now,
        expires_at=now + LIFETIME,
    )


def judge(
    approval: Approval | None, verdict: Literal["approved", "refused"], by: Person, reason: str, now: datetime
) -> Approval | Flaw:
    """Let a second administrator say yes or no. Whoever asked may take it back, and never approve it."""
    if approval is None or not is_live(approval, now):
        return "missing"
    if approval.verdict:
        return "judged"
    if verdict == "approved" and by.key == approval.asked_by:
        return "own"
    return replace(approval, verdict=verdict, judged_by=by.key, judge=by.name, judged_at=now, reason=reason)


def over(approvals: Iterable[Approval], now: datetime) -> tuple[str, ...]:
    """Return the ids of those that count for nothing any more."""
    return tuple(one.id for one in approvals if not is_live(one, now))
