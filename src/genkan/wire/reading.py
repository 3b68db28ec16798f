"""
Read requests strictly: size, type, duplicates, required fields.

Knows nothing of any endpoint. What cannot be read is a `Refused` value, never an exception.
Source: native-auth-v1 1.2; FLOW-19, AVL-05.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote_plus

import msgspec

from genkan import identifiers
from genkan.engine.messages import Refused
from genkan.model import Identifier, Reason, Scalar

MAX_BODY_BYTES = 64 * 1024
MAX_FIELDS = 64
MAX_ATTRIBUTES = 64
TRIMMED = frozenset(
    {"client_id", "grant_type", "oob", "id", "challenge_type", "continuation_token", "challenge_channel"}
)
"""Single-token values that lose blanks at both ends; a password never does (V1-011)."""

Form = dict[str, str]
_GUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")


def form(body: bytes, query: str, known: frozenset[str]) -> Form | Refused:
    """
    The fields of a form body.

    Refuses: a field that appears twice, or that stands in the query as well; text that is not UTF-8.
    Unknown fields are kept and ignored; a leading `?` or `&` is tolerated.
    """
    try:
        text = body.decode("utf-8").lstrip("?&\r\n ")
        fields: Form = {}
        pairs = text.split("&", MAX_FIELDS)
        if len(pairs) > MAX_FIELDS:
            return Refused(reason=Reason.PARAMETER_MALFORMED, detail="body")
        for pair in pairs:
            name, _, value = pair.partition("=")
            name = _decoded(name)
            if not name:
                continue
            if name in fields:
                return Refused(reason=Reason.PARAMETER_REPEATED, detail=name)
            value = _decoded(value)
            fields[name] = value.strip() if name in TRIMMED else value
        if query:
            for pair in query.split("&"):
                name = _decoded(pair.partition("=")[0])
                if name in known:
                    return Refused(reason=Reason.PARAMETER_REPEATED, detail=name)
    except UnicodeDecodeError:
        return Refused(reason=Reason.PARAMETER_MALFORMED, detail="body")
    return fields


def _decoded(text: str) -> str:
    """Percent-decoded, strictly UTF-8; most values have nothing to decode."""
    return unquote_plus(text, errors="strict") if "%" in text or "+" in text else text


def name(typed: str) -> Identifier | None:
    """Whoever somebody says they are, at a door that takes any name; None where it can be nobody's."""
    return identifiers.email(typed) or identifiers.phone(typed) or identifiers.username(typed)


def is_guid(text: str) -> bool:
    return _GUID.fullmatch(text) is not None


def attributes(text: str) -> Mapping[str, Scalar] | None:
    """The JSON object of names and scalars in the field `attributes`; None when it is anything else (V1-138)."""
    try:
        decoded = msgspec.json.decode(text, type=dict[str, str | bool | int | float | None])
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
    if len(decoded) > MAX_ATTRIBUTES:
        return None
    scalars = {n: str(v) if isinstance(v, float) else v for n, v in decoded.items() if v is not None}
    return scalars
