"""
What the steps of one transaction will be decided on, read for all of them before the first of them runs.

Each step must see what those before it have written. So what they write is noted here: counters are kept as they are
now, and whatever else a step rests on is no longer foreseen once something of it was written; then it is read anew.
Knows no driver and no statement.
Source: docs/decisions/0012-one-writer-at-a-time-on-many-nodes.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from genkan.engine.messages import (
    Count,
    Deliver,
    Detect,
    Effect,
    Emit,
    LogSignIn,
    PutAuthenticator,
    PutEmergency,
    PutFootprint,
    PutGrant,
    PutReserve,
    PutSubject,
    Record,
    RevokeGrants,
)
from genkan.engine.transaction import Change, Loaded, Needs
from genkan.store.sql import keys_of

History = tuple[int, ...]


class Foresight:
    """What is known beforehand in one transaction."""

    def __init__(self) -> None:
        self.histories: dict[str, History] = {}
        """The limits that are known, as they are now."""
        self._loaded: dict[int, tuple[Needs, Loaded]] = {}
        self._flows: set[bytes] = set()
        self._subjects: set[str] = set()
        self._keys: set[str] = set()
        self._has_cases = False
        """A case was opened, or closed, so what was read for an id of one may be nobody's, or somebody else's."""

    def clear(self) -> None:
        """Know nothing any more: the transaction is another, or something was written that is not told apart here."""
        self.histories.clear()
        self._loaded.clear()
        self._flows.clear()
        self._subjects.clear()
        self._keys.clear()
        self._has_cases = False

    def foresee(self, needs: Needs, loaded: Loaded) -> None:
        """Remember what was read for a step, without its limits."""
        self._loaded[id(needs)] = needs, loaded

    def limits(self, found: Mapping[str, History], asked: Iterable[str]) -> None:
        """Remember limits that were read; one that was asked for and not found has no history."""
        for name in asked:
            self.histories[name] = found.get(name, ())

    def take(self, needs: Needs) -> Loaded | None:
        """Return what was foreseen for a step, once; None where it was not, or no longer holds."""
        known = self._loaded.pop(id(needs), None)
        if known is None:
            return None
        loaded = known[1]
        if needs.flow in self._flows or (needs.case is not None and self._has_cases):
            return None
        subjects = (
            loaded.subject and loaded.subject.id,
            loaded.grant and loaded.grant.subject,
            needs.subject,
        )
        if not self._subjects.isdisjoint(subjects):
            return None
        named = loaded.flow.identifier if loaded.flow is not None else None
        if not self._keys.isdisjoint((needs.identifier, named and named.key)):
            return None
        return loaded

    def wrote(self, change: Change) -> None:
        """Note what a step has written."""
        if change.flow is not None:
            self._flows.add(change.flow.id)
        for effect in change.effects:
            self._note(effect)

    def _note(self, effect: Effect) -> None:
        match effect:
            case Count():
                self.histories[effect.bucket] = effect.history
            case Record() | LogSignIn() | Deliver() | Detect() | Emit():
                pass  # No step reads it.
            case PutAuthenticator():
                self._subjects.add(effect.authenticator.subject)
            case PutReserve():
                self._subjects.add(effect.reserve.subject)
            case PutGrant():
                self._subjects.add(effect.grant.subject)
            case RevokeGrants() | PutFootprint():
                self._subjects.add(effect.subject)
            case PutEmergency():
                self._subjects.add(effect.subject)
                self._has_cases = True
            case PutSubject():
                self._subjects.add(effect.subject.id)
                self._keys.update(keys_of(effect.subject))
            case _:
                self._loaded.clear()
