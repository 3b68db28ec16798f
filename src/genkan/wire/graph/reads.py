"""
Read the bodies of Graph's clients, which send whole objects back and clear a property by its Python name.

Says of each property whether it may be written, and refuses what nobody has named: an explicit list of fields for
each noun (ADM-04). Knows no noun. Source: admin-graph-api 3.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from genkan.wire.graph.answers import Fault, bad

_SNAKE = re.compile(r"_([a-z0-9])")


def written(
    body: Mapping[str, Any],
    *,
    kind: str,
    writable: Iterable[str],
    current: Mapping[str, Any] | None = None,
    extensions: bool = False,
) -> dict[str, Any]:
    """
    Return the properties of a body that are to be written, under their own names.

    `current` is the object as it would be shown now: what is read-only may be sent if it is as it is there. A name in
    snake case with null means the property of that name set to null. `kind` is the type, as `user`.
    Raises: `Fault` for any other property, and for another type.
    """
    known = {name.lower(): name for name in writable}
    shown = current or {}
    read_only = {name.lower(): name for name in shown}
    found: dict[str, Any] = {}
    for given, value in body.items():
        name = given
        is_extension = extensions and name.lower().startswith("extension_")
        if name.startswith("@") or "@odata." in name:
            if name == "@odata.type":
                check_type(value, kind)
            continue
        if value is None and name.lower() not in known and not is_extension:
            name = _SNAKE.sub(lambda m: m[1].upper(), name)
        lowered = name.lower()
        if lowered in known:
            found[known[lowered]] = value
        elif is_extension:
            found[name] = value
        elif value is None:
            if lowered in read_only and shown[read_only[lowered]] is not None:
                raise bad(f"Property '{name[:60]}' is read-only and cannot be set.", name[:60])
        elif lowered in read_only:
            if not same(shown[read_only[lowered]], value):
                raise bad(f"Property '{name[:60]}' is read-only and cannot be set.", name[:60])
        else:
            raise bad(f"Invalid property '{name[:60]}'.", name[:60])
    return found


def check_type(value: object, kind: str) -> None:
    """See to it that a type is the one that is meant. Raises: `Fault`."""
    if not isinstance(value, str) or value.lstrip("#").lower() != f"microsoft.graph.{kind}".lower():
        raise bad(f"@odata.type is #microsoft.graph.{kind} here.", "@odata.type")


def same(shown: object, given: object) -> bool:
    """Say whether a value that was sent is the one that was shown; clients write times in their own way."""
    if isinstance(shown, Mapping) and isinstance(given, Mapping):
        plain = {k: v for k, v in given.items() if "@odata." not in k and v is not None}
        return all(k in shown and same(shown[k], v) for k, v in plain.items())
    if isinstance(shown, (list, tuple)) and isinstance(given, (list, tuple)):
        return len(shown) == len(given) and all(same(a, b) for a, b in zip(shown, given, strict=True))
    if isinstance(shown, str) and isinstance(given, str) and shown != given:
        try:
            return datetime.fromisoformat(shown) == datetime.fromisoformat(given)
        except (ValueError, TypeError):
            return False
    return shown == given


def text(value: object, name: str) -> str:
    """Return a text. Raises: `Fault`."""
    if not isinstance(value, str):
        raise bad(f"The property {name} is a text.", name)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise bad(f"The property {name} is no text.", name) from None
    return value


def boolean(value: object, name: str) -> bool:
    """Return a boolean. Raises: `Fault`."""
    if not isinstance(value, bool):
        raise bad(f"The property {name} is true or false.", name)
    return value


def texts(value: object, name: str) -> tuple[str, ...]:
    """Return a list of texts; null is an empty one. Raises: `Fault`."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise bad(f"The property {name} is a list of texts.", name)
    return tuple(text(one, name) for one in value)


def moment(value: object, name: str) -> datetime:
    """Return a time with its zone. Raises: `Fault`."""
    try:
        found = datetime.fromisoformat(text(value, name))
    except ValueError:
        raise bad(f"The property {name} is a time.", name) from None
    if found.tzinfo is None or not 1970 <= found.year <= 9000:
        raise bad(f"The property {name} is a time with its zone.", name)
    return found


def objects(value: object, name: str) -> list[dict[str, Any]]:
    """Return a list of objects; null is an empty one. Raises: `Fault`."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise bad(f"The property {name} is a list of objects.", name)
    return value


def object_of(value: object, name: str) -> dict[str, Any]:
    """Return an object; null is an empty one. Raises: `Fault`."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise bad(f"The property {name} is an object.", name)
    return value


def selected(shown: dict[str, Any], select: tuple[str, ...], also: Iterable[str] = ()) -> dict[str, Any]:
    """
    Return those properties of an object that were asked for, all if none was.

    `also` are properties that there are and that this object has not. Raises: `Fault` for one that there is not.
    """
    if not select:
        return shown
    known = {name.lower(): name for name in (*shown, *also)}
    wanted: dict[str, None] = {}
    for name in select:
        if name.lower() not in known:
            raise Fault(
                400, "Request_BadRequest", f"Could not find a property named '{name[:60]}' in $select."
            )
        wanted[known[name.lower()]] = None
    marks = {name: value for name, value in shown.items() if name.startswith("@")}
    return marks | {name: shown.get(name) for name in wanted}
