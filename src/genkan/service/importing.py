"""
Bring people from another system: each is added at the door of administration, many at a time.

What an import has already brought it knows again by the ids that it gives, so a run that was cut off is simply started
anew, and an export of next week adds those who are new in it. Nothing is written that `people.add` would refuse.
Knows no file and no format. Source: admin-graph-api 5.1; CAN-01, ENUM-04, LOG-05.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncGenerator, Iterable, Sequence
from itertools import islice

from msgspec import Struct
from msgspec.structs import replace

from genkan.engine.flow import guid
from genkan.engine.messages import PutDocument
from genkan.factors import foreign
from genkan.intake.formats import Person, Refused
from genkan.service.admin import people
from genkan.service.admin.door import Act, Actor, Done, Door, Refusal, Target, entropy
from genkan.service.admin.people import EMAIL, FEDERATED, LONGEST_ASSIGNED, USERNAME, Identity, NewPerson
from genkan.service.ports import View

KINDS = Act("Set kinds of imported password hashes", "DirectoryManagement", "Update", "Directory")

AT_ONCE = 1024
"""People that wait for the store together: some of its batches."""

MOST_KINDS = 8
"""Kinds of foreign hashes in a tenant: where accounts are hidden, each password costs the work of all of them."""


class Source(Struct, frozen=True, kw_only=True):
    """Where the people come from."""

    name: str
    """The format's name: with a person's name there it tells them from those of other systems."""
    key: bytes
    """The tenant's key for the ids that are made up."""


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of one record."""

    line: int
    number: int
    refused: str = ""
    """Why nobody was added, in a few words; empty where somebody was."""
    is_known: bool = False
    """They were brought before, and are left as they are."""
    notes: tuple[str, ...] = ()
    """What of the record was left behind."""


async def bring(
    door: Door, actor: Actor, source: Source, found: Iterable[Person | Refused], *, writes: bool = True
) -> AsyncGenerator[list[Outcome], None]:
    """
    Add these people and say of each record what became of it, some records at a time, in their order.

    `writes` False says only what would become of them.
    Raises: `StoreUnavailable`; what was said by then holds.
    """
    records, names = iter(found), _Names()
    while some := list(islice(records, AT_ONCE)):
        outcomes = {
            one.number: Outcome(line=one.line, number=one.number, refused=one.reason)
            for one in some
            if isinstance(one, Refused)
        }
        wanted: list[Person] = []
        for one in some:
            if isinstance(one, Person):
                if (line := names.line_of(one)) is None:
                    wanted.append(one)
                else:
                    outcomes[one.number] = _outcome(one, f"line {line} has the same address or username")
        if writes:
            brought = await _add(door, actor, source, wanted)
        else:
            brought = await _look(door, source, wanted)
        outcomes |= {outcome.number: outcome for outcome in brought}
        yield [outcomes[one.number] for one in some]


class _Names:
    """Which line had a name first."""

    def __init__(self) -> None:
        self._lines: dict[str, int] = {}

    def line_of(self, person: Person) -> int | None:
        """Return the line of somebody who has a name of this person; None makes the names this person's."""
        keys = [name.key for name in (person.email, person.username) if name is not None]
        for key in keys:
            if key in self._lines:
                return self._lines[key]
        self._lines.update(dict.fromkeys(keys, person.line))
        return None


async def _add(door: Door, actor: Actor, source: Source, wanted: Sequence[Person]) -> list[Outcome]:
    """Add those who are not there yet, all in as few transactions as the store makes of them."""
    known = await door.store.look(lambda view: _known(view, source, wanted))
    new = [person for person in wanted if person.number not in known]
    kinds = await _note_kinds(door, actor, new)
    fitting = [person for person in new if _kind(person) in kinds]
    answers = await asyncio.gather(*(people.add(door, actor, _new(person, source)) for person in fitting))
    answered: dict[int, object] = dict(zip((person.number for person in fitting), answers, strict=True))
    answered |= dict.fromkeys(known, None)
    return [
        _outcome(
            person,
            _why(answered[person.number]) if person.number in answered else TOO_MANY,
            is_known=person.number in known,
        )
        for person in wanted
    ]


async def _look(door: Door, source: Source, wanted: Sequence[Person]) -> list[Outcome]:
    """Say what adding them would come to."""

    def at(view: View) -> list[Outcome]:
        known = _known(view, source, wanted)
        kinds = _kinds_with(view.directory.tenant.foreign_hashes, wanted)
        return [
            _outcome(
                person,
                "" if person.number in known else _judged(view, person, source, kinds),
                is_known=person.number in known,
            )
            for person in wanted
        ]

    return await door.store.look(at)


def _judged(view: View, person: Person, source: Source, kinds: frozenset[str]) -> str:
    if _kind(person) not in kinds:
        return TOO_MANY
    new = _new(person, source)
    return _why(people.addition(view, new, new.material, entropy()))


def _known(view: View, source: Source, wanted: Sequence[Person]) -> frozenset[int]:
    return frozenset(person.number for person in wanted if view.person(_id(person, source)) is not None)


def _outcome(person: Person, refused: str, *, is_known: bool = False) -> Outcome:
    return Outcome(
        line=person.line,
        number=person.number,
        refused=refused,
        is_known=is_known,
        notes=() if refused or is_known else person.notes,
    )


def _why(answer: object) -> str:
    if not isinstance(answer, Refusal):
        return ""
    if answer.why == "taken":
        return "somebody here has the same address, username or id already"
    text = answer.text.rstrip(".")
    return text[:1].lower() + text[1:]


# Kinds of hashes. ----------------------------------------------------------------------------------------------------

TOO_MANY = f"its password hash is of yet another kind, and {MOST_KINDS} kinds at most can be kept"


async def _note_kinds(door: Door, actor: Actor, new: Sequence[Person]) -> frozenset[str]:
    """Make the tenant note the kinds of hashes that come, before they come; return those it has now."""
    have = frozenset(door.store.directory().tenant.foreign_hashes)
    if _kinds_with(tuple(have), new) - {""} == have:
        return have | {""}

    def decide(view: View) -> Done[frozenset[str]]:
        before = view.directory.tenant
        kinds = _kinds_with(before.foreign_hashes, new)
        after = replace(before, foreign_hashes=tuple(sorted(kinds - {""})))
        changes = (("foreignHashes", len(before.foreign_hashes), len(after.foreign_hashes)),)
        target = Target(id=before.id, name=before.name, changes=changes)
        return Done(kinds, target, (PutDocument(after),))

    answer = await door.act(actor, KINDS, decide)
    return have | {""} if isinstance(answer, Refusal) else answer


def _kinds_with(have: Sequence[str], new: Sequence[Person]) -> frozenset[str]:
    """Return the kinds that a tenant has, and as many of the new ones as may be; the empty one is what is ours."""
    kinds = dict.fromkeys(("", *have, *map(_kind, new)))
    return frozenset(list(kinds)[: MOST_KINDS + 1])


def _kind(person: Person) -> str:
    return foreign.dummy(person.material) if person.material is not None else ""


# A person. -----------------------------------------------------------------------------------------------------------


def _new(person: Person, source: Source) -> NewPerson:
    names = [
        Identity(kind, "", name.value)
        for kind, name in ((EMAIL, person.email), (USERNAME, person.username))
        if name is not None
    ]
    is_told = person.email is not None and person.source == person.email.key
    if not person.id and not is_told and len(person.source) <= LONGEST_ASSIGNED:
        names.append(Identity(FEDERATED, source.name, person.source))
    return NewPerson(
        identities=tuple(names),
        attributes=person.attributes,
        material=person.material,
        number=person.phone,
        enabled=person.enabled,
        must_change_password=person.must_change_password,
        id=_id(person, source),
        created_at=person.created_at,
    )


def _id(person: Person, source: Source) -> str:
    """Return the id that a person has here: their own GUID, else always the same one, which nobody can foretell."""
    if person.id:
        return person.id
    raw = bytearray(hmac.digest(source.key, f"{source.name}\n{person.source}".encode(), "sha256")[:16])
    raw[6] = raw[6] & 0x0F | 0x80  # RFC 9562 version 8: of our own making
    raw[8] = raw[8] & 0x3F | 0x80
    return guid(bytes(raw))
