"""
Read what a client asks tokens for: the parameters `scope` and `claims` of a token request.

Knows the registrations of clients and resources, given as values; nothing of flows, of people or of policy.
Source: RFC 6749 section 3.3, RFC 9068 section 3; native-auth-v1 4.1, 9.3, 9.4 (D14); OpenID Connect Core 5.5;
conditional-access 4.3, 7.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from genkan.model import DIRECTORY, Client, Demand, Reason, Resource

OIDC = frozenset({"openid", "profile", "email", "offline_access"})
ALWAYS_GRANTED = ("openid", "profile", "offline_access")
"""Every native grant has these, asked for or not: MSAL insists on what they bring (native-auth-v1 9.4)."""
EVERY_SCOPE = ".default"
"""Stands for all scopes of a resource that the client is registered for."""

_CONTEXT = re.compile(r"c[1-9][0-9]?")
"""The ids an authentication context may have, `c1` to `c99` (conditional-access 7)."""


class _Wanted(Struct, frozen=True):
    """What is said of one claim (OpenID Connect Core 5.5.1). That it is not essential changes nothing here."""

    value: str | None = None
    values: tuple[str, ...] | None = None


class _Section(Struct, frozen=True):
    acrs: _Wanted | None = None


class _ClaimsParameter(Struct, frozen=True):
    access_token: _Section | None = None
    id_token: _Section | None = None


_read_claims = msgspec.json.Decoder(_ClaimsParameter).decode


def demand(
    scope: str | None, claims: str | None, client: Client, resources: Mapping[str, Resource]
) -> Demand | Reason:
    """
    Return what a token request asks for, from its parameters `scope` and `claims` as they came.

    Refuses: as `parse` and `contexts` do.
    """
    asked = parse(scope, client, resources)
    wanted = contexts(claims)
    if isinstance(asked, Reason):
        return asked
    if isinstance(wanted, Reason):
        return wanted
    return replace(asked, contexts=wanted) if wanted else asked


def parse(text: str | None, client: Client, resources: Mapping[str, Resource]) -> Demand | Reason:
    """
    Return the demand of a `scope` parameter; what is missing or blank asks for the OpenID scopes alone.

    A resource may be named by its URI or by its app id; the answer always has the URI, and beside it what was asked.
    Refuses: `INVALID_SCOPE` for a word that is unknown, or that the client is not registered for, and for two
    resources: a token has one audience (TOK-03).
    """
    oidc = dict.fromkeys(ALWAYS_GRANTED)
    own: dict[str, None] = {}
    asked: dict[str, None] = {}
    audience = DIRECTORY
    for word in (text or "").split(" "):
        if word in OIDC:
            oidc[word] = None
        elif word:
            found = _of_resource(word, client, resources)
            if found is None or audience not in (DIRECTORY, found[0]):
                return Reason.INVALID_SCOPE
            audience = found[0]
            own |= dict.fromkeys(found[1])
            asked[word] = None
    return Demand(
        scopes=(*oidc, *own), resource=audience, asked=tuple(word for word in asked if word not in own)
    )


def again(granted: Demand, client: Client, resources: Mapping[str, Resource]) -> Demand | Reason:
    """
    Return a demand that was granted before, as far as registrations still allow it: for a refresh without `scope`.

    Refuses: `INVALID_SCOPE` when one of its scopes has been withdrawn; the client has to say what it wants instead.
    """
    found = parse(" ".join(granted.scopes), client, resources)
    if isinstance(found, Reason):
        return found
    return replace(found, contexts=granted.contexts, asked=granted.asked)


def _of_resource(
    word: str, client: Client, resources: Mapping[str, Resource]
) -> tuple[str, list[str]] | None:
    """Return the app id and the full scopes that a word stands for; None unless the client may ask for them."""
    for resource in resources.values():
        if word.startswith(resource.uri + "/"):
            name = word[len(resource.uri) + 1 :]
        elif word[: len(resource.id) + 1].lower() == resource.id + "/":
            name = word[len(resource.id) + 1 :]
        else:
            continue
        names = resource.scopes if name == EVERY_SCOPE else (name,) if name in resource.scopes else ()
        granted = [full for full in (f"{resource.uri}/{n}" for n in names) if full in client.scopes]
        if granted:
            return resource.id, granted
    return None


def contexts(text: str | None) -> tuple[str, ...] | Reason:
    """
    Return the authentication contexts that a `claims` parameter asks for, in its order; none when it is missing.

    All that are named must be satisfied, those in `values` too: it is no choice. Other claims are not looked at.
    Refuses: `PARAMETER_MALFORMED` for what is no claims request, `INVALID_CONTEXT` for an id outside `c1` to `c99`.
    """
    if not text:
        return ()
    try:
        parameter = _read_claims(text)
    except (ValueError, RecursionError):
        return Reason.PARAMETER_MALFORMED
    found: dict[str, None] = {}
    for section in (parameter.access_token, parameter.id_token):
        if section is not None and (wanted := section.acrs) is not None:
            if wanted.value is not None:
                found[wanted.value] = None
            found |= dict.fromkeys(wanted.values or ())
    if not all(_CONTEXT.fullmatch(context) for context in found):
        return Reason.INVALID_CONTEXT
    return tuple(found)
