"""
Judge the attributes that a sign-up hands in, against the application's user flow.

Pure; knows nothing of flows. Source: native-auth-v1 10.1, 10.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from msgspec import Struct

from genkan.model import Attribute, Scalar

MAX_REGEX_INPUT = 1024
"""An administrator's expression never sees more characters than this (AVL-06)."""


class Judged(Struct, frozen=True, kw_only=True):
    """`accepted` holds the values as they are stored; `refused` names those that are not acceptable."""

    accepted: dict[str, Scalar]
    refused: tuple[str, ...]


def judge(given: Mapping[str, Scalar], wanted: Iterable[Attribute]) -> Judged:
    """Accept each given value that fits its attribute. Names nobody wants are ignored; an empty text is not given."""
    accepted: dict[str, Scalar] = {}
    refused: list[str] = []
    for attribute in wanted:
        value = given.get(attribute.name)
        if value is None or (isinstance(value, str) and not value.strip()):
            continue
        fitting = _fit(value, attribute)
        if fitting is None:
            refused.append(attribute.name)
        else:
            accepted[attribute.name] = fitting
    return Judged(accepted=accepted, refused=tuple(refused))


def missing(held: Mapping[str, Scalar], wanted: Iterable[Attribute]) -> tuple[Attribute, ...]:
    """The required attributes that have no value yet."""
    return tuple(a for a in wanted if a.required and a.name not in held)


def _fit(value: Scalar, attribute: Attribute) -> Scalar | None:
    """The value as the attribute's type, or None when it does not fit."""
    if isinstance(value, int) and value.bit_length() > 64:
        return None
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if attribute.type == "boolean":
        return {"true": True, "false": False}.get(text.strip().lower())
    if attribute.type == "int64":
        digits = text.strip()
        if not re.fullmatch(r"-?[0-9]{1,19}", digits) or not -(2**63) <= int(digits) < 2**63:
            return None
        return int(digits)
    if len(text) > attribute.max_length or any(ord(c) < 32 or 0xD800 <= ord(c) <= 0xDFFF for c in text):
        return None
    if attribute.regex and (len(text) > MAX_REGEX_INPUT or not re.fullmatch(attribute.regex, text)):
        return None
    return text
