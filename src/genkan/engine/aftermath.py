"""
What is left of an account, an application or a key once a database has gone back to an earlier day.

Whatever could have been spent, revoked or ended after that day is dead, as far as nobody can say that it was not. What
a journal kept elsewhere tells of the time since is done again; where there is none, the worst is taken for granted.
Pure: values in, values out.
Source: security requirements BKP-02, TIM-03, KEY-04; emergency-protocol 13 (AS-41), 15.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from genkan.engine.emergency.case import LOCKED, NORMAL, Case, Emergency, Held, Parameters
from genkan.engine.messages import (
    Effect,
    PutAuthenticator,
    PutDocument,
    PutEmergency,
    PutReserve,
    PutSigningKey,
    PutSubject,
    RemoveDocument,
)
from genkan.engine.transaction import Change, Loaded
from genkan.model import Authenticator, Client, Kind, Paper, Reserve, Subject

OPERATORS: Final = 5
"""The rank by which an account is held that was in an emergency: an anchor can lift it, and nothing weaker (5.4)."""

What = Literal[
    "begun",
    "missing",
    "held",
    "released",
    "paper",
    "stopped",
    "back",
    "erased",
    "password",
    "gone",
    "key",
    "client",
]
"""
From here on everything is told; some was not, before this; an account is held, and is no more; the codes on paper that
are left; an account that may sign in no more, and again, or is forgotten; a new password; a method that is gone; when a
signing key ends; what an application still proves itself with.
"""


class Noted(Struct, frozen=True, kw_only=True):
    """A line of the journal. It has ids and nothing of anybody."""

    at: datetime
    tenant: str
    what: What
    about: str
    """The account, method, key or application."""
    left: tuple[str, ...] = ()
    """The ids of what can still be used, of `paper` and `client`."""
    until: datetime | None = None
    """Of `key`."""


class Since(Struct, frozen=True):
    """What is known of the time between a backup and now, of one tenant."""

    is_whole: bool = False
    """All of it: nothing was spent or ended that is not told here."""
    last: dict[tuple[What, str], Noted] = field(default_factory=dict)
    """The latest of each kind."""

    @classmethod
    def of(cls, notes: Iterable[Noted], *, is_whole: bool) -> Since:
        last: dict[tuple[What, str], Noted] = {}
        for note in notes:
            kind = PAIRS.get(note.what, note.what)
            before = last.get((kind, note.about))
            if before is None or before.at <= note.at:
                last[kind, note.about] = note
        return cls(is_whole, last)

    def what(self, kind: What, about: str) -> Noted | None:
        """The latest that is told of this kind."""
        return self.last.get((kind, about))

    def erased(self) -> tuple[str, ...]:
        """Accounts that are to be forgotten again."""
        return tuple(sorted(about for kind, about in self.last if kind == "erased"))

    def held(self) -> frozenset[str]:
        """Accounts that were in an emergency at last."""
        return frozenset(about for (kind, about), note in self.last.items() if note.what == "held" == kind)


PAIRS: Final[dict[What, What]] = {"released": "held", "back": "stopped"}
"""What takes another thing back: the later of the two counts."""


# What is noted. -------------------------------------------------------------------------------------


def noted(change: Change, loaded: Loaded, tenant: str) -> Iterator[Noted]:
    """Yield what a change does that a restore must not undo. A change noted and then not committed does no harm."""
    for effect in change.effects:
        for what, about, left, until in _noted(effect, loaded):
            yield Noted(at=loaded.now, tenant=tenant, what=what, about=about, left=left, until=until)


def _noted(effect: Effect, loaded: Loaded) -> Iterator[tuple[What, str, tuple[str, ...], datetime | None]]:
    match effect:
        case PutEmergency(subject=subject, emergency=emergency):
            is_held, was_held = emergency.state in LOCKED, loaded.emergency.state in LOCKED
            if is_held or was_held:
                yield "held" if is_held else "released", subject, (), None
        case PutReserve(reserve=kept):
            before = loaded.reserve if loaded.reserve and loaded.reserve.subject == kept.subject else None
            if before is None or _live(before) != _live(kept):
                yield "paper", kept.subject, _live(kept), None
        case PutSubject(subject=subject) if subject.revision > 0:
            is_active = subject.status == "active"
            was = loaded.subject if loaded.subject and loaded.subject.id == subject.id else None
            if was is None or is_active != (was.status == "active"):
                yield "back" if is_active else "stopped", subject.id, (), None
        case PutAuthenticator(authenticator=method) if method.revision > 0:
            if method.removed_at is not None:
                yield "gone", method.id, (), None
            elif method.kind is Kind.PASSWORD and method.changed_at == loaded.now:
                yield "password", method.subject, (), None
        case PutSigningKey(key=key) if key.retires_at is not None:
            yield "key", key.kid, (), key.retires_at
        case PutDocument(document=Client() as document):
            yield "client", document.id, _proofs(document), None
        case RemoveDocument(kind="client", id=id):
            yield "client", id, (), None


def _live(reserve: Reserve) -> tuple[str, ...]:
    sheets = (reserve.recovery, reserve.freeze)
    return tuple(code.id for sheet in sheets if sheet for code in sheet.codes if code.spent_at is None)


def _proofs(client: Client) -> tuple[str, ...]:
    return (*(s.id for s in client.secrets), *(c.id for c in client.certificates), *client.app_roles)


# What is left. --------------------------------------------------------------------------------------


def subject(before: Subject, since: Since, now: datetime) -> Subject:
    """Nobody is signed in any more, and who was to sign in no more stays so."""
    note = since.what("stopped", before.id)
    is_stopped = note is not None and note.what == "stopped" and before.status == "active"
    return replace(
        before,
        status="disabled" if is_stopped else before.status,
        must_change_password=before.must_change_password or since.what("password", before.id) is not None,
        epoch=epoch(before.epoch, now),
        sessions_from=now,
    )


def epoch(before: int, now: datetime) -> int:
    """
    An epoch that no session, token or flow has, of before the restore or of an earlier one.

    It counts the milliseconds since 1970, which no account comes to by itself.
    """
    return max(before + 1, int(now.timestamp() * 1000))


def client(before: Client, since: Since, now: datetime) -> Client:
    """Its administration tokens are dead, and what it was proven by no more stays gone."""
    note = since.what("client", before.id)
    left = None if note is None else frozenset(note.left)
    return replace(
        before,
        epoch=epoch(before.epoch, now),
        secrets=tuple(s for s in before.secrets if left is None or s.id in left),
        certificates=tuple(c for c in before.certificates if left is None or c.id in left),
        app_roles=tuple(r for r in before.app_roles if left is None or r in left),
    )


def authenticator(before: Authenticator, since: Since, now: datetime) -> Authenticator:
    """What was taken away stays away."""
    if before.removed_at is None and since.what("gone", before.id) is not None:
        return replace(before, state="tombstoned", removed_at=now)
    return before


def reserve(before: Reserve, since: Since, now: datetime) -> Reserve:
    """Codes on paper that may have been spent, or replaced by others, are spent; no question stays open."""
    note = since.what("paper", before.subject)
    if note is None and since.is_whole:
        return replace(before, ceremony=None)
    left = frozenset(note.left) if note is not None and since.is_whole else frozenset[str]()

    def sheet(paper: Paper | None) -> Paper | None:
        if paper is None:
            return None
        return replace(
            paper,
            codes=tuple(
                code if code.spent_at or code.id in left else replace(code, spent_at=now)
                for code in paper.codes
            ),
        )

    return replace(before, recovery=sheet(before.recovery), freeze=sheet(before.freeze), ceremony=None)


def emergency(before: Emergency, id: str, case: str, since: Since, now: datetime) -> Emergency:
    """
    An account that was in an emergency, or is known to have come into one, is frozen, and all claims begin anew.

    What could have been used since is gone: recoveries that waited, votes, objections, tickets. `case` is the id of a
    new case, where there is none.
    """
    told, was_held = since.what("held", id), before.state in LOCKED
    is_as_it_was = since.is_whole and told is None
    if is_as_it_was if was_held else told is None or told.what == "released":
        return replace(before, ticket=None, version=before.version + 1) if before.ticket else before
    earlier = before.case if was_held else None
    until = now + Parameters().hold_strong
    hold = Case(
        id=case,
        opened_at=now,
        operators=OPERATORS,
        hold="strong",
        hold_until=until,
    )
    if earlier is not None:
        hold = replace(
            hold,
            id=earlier.id,
            opened_at=earlier.opened_at,
            hold_until=max(until, earlier.hold_until),
            quiet=earlier.quiet,
            lost=earlier.lost,
            struck=earlier.struck,
            quarantined=earlier.quarantined,
            demoted=earlier.demoted,
            burned=earlier.burned | {i.id for c in earlier.claims for i in c.items},
            must_change=earlier.must_change,
        )
    ended = tuple(h if h.until is not None else replace(h, until=now) for h in before.held)
    return replace(
        before,
        state="frozen",
        version=before.version + 1,
        clock=max(before.clock or now, now),
        case=hold,
        held=(*ended, Held(hold="strong", since=now)),
        watch_until=None,
        ticket=None,
    )


def frozen(id: str, case: str, since: Since, now: datetime) -> Emergency:
    """The emergency of an account of which the backup knew of none."""
    return emergency(NORMAL, id, case, since, now)
