"""
Lists of the administration API: what is in memory filtered here, what is in the store asked of it page by page.

Knows no noun. Source: admin-graph-api 3.4.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from genkan.engine.queries import All, Filter, Listed, Query, fold, holds
from genkan.exchange import Response
from genkan.wire.graph.answers import Fault
from genkan.wire.graph.api import Call
from genkan.wire.graph.odata import Lambda, Properties, order, read_filter, search, unsupported
from genkan.wire.graph.reads import selected

MOST_OBJECTS, DEFAULT_OBJECTS = 999, 100


def top(call: Call, most: int = MOST_OBJECTS, default: int = DEFAULT_OBJECTS) -> int:
    """Return how many entries a page has. Raises: `Fault`."""
    asked = call.options.top
    if asked is None:
        return default
    if not 1 <= asked <= most:
        raise Fault(400, "Request_BadRequest", f"$top is 1 to {most}.")
    return asked


def check_advanced(call: Call, *, filter_is_advanced: bool) -> None:
    """
    See to it that an advanced query says that it is one, as it has to elsewhere.

    Raises: `Fault`.
    """
    said = call.options
    if call.directory.tenant.lenient_queries:
        return
    if said.search and not said.eventual:
        raise unsupported(
            "Request with $search query parameter only works with the header ConsistencyLevel: eventual."
        )
    if said.count and not said.eventual:
        raise unsupported("$count is only supported with the header ConsistencyLevel: eventual.")
    if (filter_is_advanced or (said.filter and said.order)) and not (said.eventual and said.count):
        raise unsupported(
            "Operator is not supported without the header ConsistencyLevel: eventual and $count=true."
        )


def query(
    call: Call, properties: Properties, orderable: frozenset[str], look_into: Lambda | None = None
) -> Query:
    """
    Return the query of a list of directory objects that the store answers.

    Raises: `Fault`.
    """
    said = call.options
    if said.skip or said.expand:
        raise unsupported("$skip and $expand are not supported here.")
    where: Filter | None = None
    advanced = False
    if said.filter:
        where, advanced = read_filter(said.filter, properties, look_into)
    check_advanced(call, filter_is_advanced=advanced)
    if said.search:
        looked = search(said.search)
        where = looked if where is None else All((looked, where))
    place = call.place()
    return Query(
        where=where,
        order=order(said.order, properties, orderable),
        after=(place[0], str(place[1])) if place is not None and len(place) == 2 else None,
        limit=top(call),
        count=said.count,
    )


def count_query(call: Call, properties: Properties, look_into: Lambda | None = None) -> Query:
    """
    Return the query behind `/$count`.

    Raises: `Fault`.
    """
    said = call.options
    if not said.eventual and not call.directory.tenant.lenient_queries:
        raise unsupported("$count is only supported with the header ConsistencyLevel: eventual.")
    where = read_filter(said.filter, properties, look_into).filter if said.filter else None
    if said.search:
        looked = search(said.search)
        where = looked if where is None else All((looked, where))
    return Query(where=where, limit=1, count=True)


def number(listed: Listed) -> Response:
    """The answer of `/$count`."""
    return Response(body=str(listed.count or 0).encode(), content_type="text/plain")


def in_memory(
    call: Call,
    of: str,
    shown: Sequence[dict[str, Any]],
    properties: Properties,
    *,
    orderable: frozenset[str] = frozenset(),
    is_directory: bool = False,
    default: int = DEFAULT_OBJECTS,
) -> Response:
    """
    Answer a list that is in memory. Filters look at the objects as they are shown.

    Raises: `Fault`.
    """
    said = call.options
    if said.expand:
        raise unsupported("$expand is not supported here.")
    found = list(shown)
    advanced = False
    if said.filter:
        where, advanced = read_filter(said.filter, properties)
        found = [one for one in found if holds(where, lambda name, one=one: look(one, name, properties))]  # type: ignore[misc]
    if is_directory:
        check_advanced(call, filter_is_advanced=advanced)
    if said.search:
        where = search(said.search)
        found = [one for one in found if holds(where, lambda name, one=one: look(one, name, properties))]  # type: ignore[misc]
    by = order(said.order, properties, orderable)
    if by is not None:
        found.sort(key=lambda one: _sortable(look(one, by.name, properties)), reverse=by.descending)
    if said.skip and is_directory:
        raise unsupported("$skip is not supported here.")
    place = call.place()
    begin = int(place[0]) if place else said.skip
    size = top(call, default=default)
    page = found[begin : begin + size]
    goes_on = [begin + size] if len(found) > begin + size else None
    return call.collection(
        of,
        [selected(one, said.select) for one in page],
        count=len(found) if said.count else None,
        goes_on=goes_on,
    )


def look(shown: Mapping[str, Any], name: str, properties: Properties) -> object:
    """Return a property of an object as filters compare it; `a/b` is in an object inside."""
    found: Any = shown
    for part in name.split("/"):
        found = found.get(part) if isinstance(found, Mapping) else None
    if properties.get(name) == "time" and isinstance(found, str):
        return datetime.fromisoformat(found)
    if isinstance(found, (list, tuple)):
        return tuple(found) or (None,)
    return found


def _sortable(value: object) -> tuple[bool, Any]:
    return value is not None, fold(value) if value is not None else 0


Page = Callable[[Query], Awaitable[Listed]]
