"""
Judge the attributes that a sign-up hands in, against the application's user flow.

Pure; knows nothing of flows. An administrator's regular expression is matched by RE2, whose time grows with the text
alone: whatever is written, no text makes it search for long (AVL-06). Source: native-auth-v1 10.1, 10.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from msgspec import Struct

from genkan.model import Attribute, Scalar

MAX_REGEX = 512
"""Characters of an administrator's expression. What this is compiled to takes at most some 50 ms for a whole text."""

MAX_REGEX_INPUT = 1024
"""An administrator's expression never sees more characters than this (AVL-06)."""


MAX_CHOICE = 4096
"""Characters of a choice among options."""


class Judged(Struct, frozen=True, kw_only=True):
    """`accepted` holds the values as they are stored; `refused` names those that are not acceptable."""

    accepted: dict[str, Scalar]
    refused: tuple[str, ...]


def judge(given: Mapping[str, Scalar], wanted: Iterable[Attribute]) -> Judged:
    """
    Accept each value that a person gives and that fits its attribute.

    Names nobody wants are ignored, and so are those that are not the person's to say; an empty text is not given.
    """
    return _judged(given, (attribute for attribute in wanted if attribute.asked))


def judge_theirs(given: Mapping[str, Scalar], wanted: Iterable[Attribute]) -> Judged:
    """The same of what an extension says, which may say them all."""
    return _judged(given, wanted)


def _judged(given: Mapping[str, Scalar], wanted: Iterable[Attribute]) -> Judged:
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
    """The required attributes that have no value yet, and no default."""
    return tuple(a for a in wanted if a.required and a.asked and a.name not in held and a.default is None)


def completed(held: Mapping[str, Scalar], wanted: Iterable[Attribute]) -> dict[str, Scalar]:
    """What is held, and the defaults of what nobody has said anything of."""
    defaults = {a.name: a.default for a in wanted if a.default is not None and a.name not in held}
    return {**judge_theirs(defaults, wanted).accepted, **held}


def kept(held: Mapping[str, Scalar], wanted: Iterable[Attribute]) -> dict[str, Scalar]:
    """What of it becomes part of an account."""
    passing = {attribute.name for attribute in wanted if not attribute.kept}
    return {name: value for name, value in held.items() if name not in passing}


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
    longest = MAX_CHOICE if attribute.options else attribute.max_length
    if len(text) > longest or any(ord(c) < 32 or 0xD800 <= ord(c) <= 0xDFFF for c in text):
        return None
    if attribute.regex and not _matches(attribute.regex, text):
        return None
    return _chosen(text, attribute) if attribute.options else text


def _chosen(text: str, attribute: Attribute) -> str | None:
    """What was chosen of the options, each once and in their order; None where something else is among it."""
    words = text.split(",") if attribute.several else [text]
    chosen = {word.strip() for word in words}
    if not chosen.issubset(attribute.options):
        return None
    return ",".join(option for option in attribute.options if option in chosen)


def _matches(regex: str, text: str) -> bool:
    expression = _expression(regex)
    if len(text) > MAX_REGEX_INPUT or isinstance(expression, str):
        return False  # Nobody can say whether it matches, so it does not.
    return expression.fullmatch(text) is not None


def why_unreadable(regex: str) -> str | None:
    """What is wrong with an administrator's expression; None if nothing is. To be asked before it is stored."""
    expression = _expression(regex)
    return expression if isinstance(expression, str) else None


@lru_cache(maxsize=1024)
def _expression(regex: str) -> Any:
    """The expression, ready to match; or a text that says what is wrong with it."""
    import re2

    if len(regex) > MAX_REGEX:
        return f"a regular expression has at most {MAX_REGEX} characters"
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = 1 << 20
    try:
        return re2.compile(regex, options=options)
    except UnicodeEncodeError:
        return "a regular expression is well-formed Unicode"
    except re2.error as error:
        (what,) = error.args
        return what.decode(errors="replace") if isinstance(what, bytes) else str(what)
