"""
What an administrator looks for, as values: which people, groups and log entries, in which order, from where on.

Names of properties are Graph's. A filter is a small tree that a store turns into its own language, and that `holds`
judges by itself for what is in memory. Knows nothing of databases or of how a filter is written.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Literal, TypeAlias

from msgspec import Struct

from genkan.model import Group, Subject

Value: TypeAlias = str | int | bool | datetime | None
"""Texts are compared in their folded case."""


class Term(Struct, frozen=True):
    """A property compared with a value; `in` with several of which one fits."""

    name: str
    op: Literal["eq", "ge", "le", "gt", "lt", "startswith", "endswith", "has_word", "in"]
    value: Value | tuple[Value, ...]


class All(Struct, frozen=True):
    """Each of them holds."""

    terms: tuple[Filter, ...]


class Some(Struct, frozen=True):
    """One of them holds at least."""

    terms: tuple[Filter, ...]


class Not(Struct, frozen=True):
    """It does not hold."""

    term: Filter


Filter: TypeAlias = Term | All | Some | Not


class Order(Struct, frozen=True):
    """By which property, and whether the greatest comes first. Equal ones are ordered by id."""

    name: str
    descending: bool = False


class Query(Struct, frozen=True, kw_only=True):
    """One page of a list."""

    where: Filter | None = None
    order: Order | None = None
    """None: by id."""
    after: tuple[str | int, str] | None = None
    """The order's value and the id of the last entry of the page before."""
    limit: int = 100
    count: bool = False
    """Whether to count all that the filter finds."""


class Listed(Struct, frozen=True, kw_only=True):
    """A page of a list."""

    entries: tuple[Subject | Group, ...]
    after: tuple[str | int, str] | None = None
    """Where the next page begins; None when this is the last."""
    count: int | None = None


class AuditQuery(Struct, frozen=True, kw_only=True):
    """Which changes by administrators, newest first; a member that is None asks nothing."""

    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None
    """Rows older than this `seq`."""
    seq: int | None = None
    """This row alone."""
    limit: int = 100


def holds(where: Filter | None, look: Callable[[str], object]) -> bool:
    """Say whether a filter holds; `look` gives the property of a name, folded as `fold` does, several as a tuple."""
    match where:
        case None:
            return True
        case All(terms):
            return all(holds(term, look) for term in terms)
        case Some(terms):
            return any(holds(term, look) for term in terms)
        case Not(term):
            return not holds(term, look)
        case Term(name, op, value):
            found = look(name)
            several = found if isinstance(found, tuple) else (found,)
            return any(_fits(op, fold(one), value) for one in several)


def _fits(op: str, found: object, value: Value | tuple[Value, ...]) -> bool:
    if op == "in":
        return isinstance(value, tuple) and any(found == fold(one) for one in value)
    wanted = fold(value)
    if op == "eq":
        return found == wanted or (wanted is None and found == "")
    if isinstance(found, str) and isinstance(wanted, str):
        match op:
            case "startswith":
                return found.startswith(wanted)
            case "endswith":
                return found.endswith(wanted)
            case "has_word":
                return found.startswith(wanted) or f" {wanted}" in found
    if isinstance(found, (str, int, datetime)) and type(found) is type(wanted):
        match op:
            case "ge":
                return bool(found >= wanted)  # type: ignore[operator]
            case "le":
                return bool(found <= wanted)  # type: ignore[operator]
            case "gt":
                return bool(found > wanted)  # type: ignore[operator]
            case "lt":
                return bool(found < wanted)  # type: ignore[operator]
    return False


def fold(value: object) -> object:
    """Return a text as texts are compared, and anything else as it is."""
    return value.casefold() if isinstance(value, str) else value
