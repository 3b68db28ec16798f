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

CAPABILITIES = frozenset({"cp1"})
"""What a client may say it can do: understand a claims challenge (conditional-access 7). Other words are ignored."""

_CONTEXT = re.compile(r"c[1-9][0-9]?")
"""The ids an authentication context may have, `c1` to `c99` (conditional-access 7)."""


class _Wanted(Struct, frozen=True):
    """What is said of one claim (OpenID Connect Core 5.5.1). That it is not essential changes nothing here."""

    value: str | None = None
    values: tuple[str, ...] | None = None


class _Section(Struct, frozen=True):
    acrs: _Wanted | None = None
    xms_cc: _Wanted | None = None


class _ClaimsParameter(Struct, frozen=True):
    access_token: _Section | None = None
    id_token: _Section | None = None


_read_claims = msgspec.json.Decoder(_ClaimsParameter).decode


class Claims(Struct, frozen=True, kw_only=True):
    """What a `claims` parameter asks for, as far as anybody here looks at it; each as in `Demand`."""

    contexts: tuple[str, ...] = ()
    id_token_contexts: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()


def demand(
    scope: str | None, claims: str | None, client: Client, resources: Mapping[str, Resource]
) -> Demand | Reason:
    """
    Return what a token request asks for, from its parameters `scope` and `claims` as they came.

    Refuses: as `parse` and `read_claims` do.
    """
    asked = parse(scope, client, resources)
    wanted = read_claims(claims)
    if isinstance(asked, Reason):
        return asked
    if isinstance(wanted, Reason):
        return wanted
    return claiming(asked, wanted)


def claiming(demand: Demand, claims: Claims) -> Demand:
    """Return the demand with these claims; what they do not mention stays as it was."""
    if claims.contexts:
        demand = replace(demand, contexts=claims.contexts, id_token_contexts=claims.id_token_contexts)
    return replace(demand, capabilities=claims.capabilities) if claims.capabilities else demand


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
    return replace(granted, scopes=found.scopes, resource=found.resource)


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


def read_claims(text: str | None) -> Claims | Reason:
    """
    Return what a `claims` parameter asks for, contexts in its order; nothing when it is missing.

    All contexts that are named must be satisfied, those in `values` too: it is no choice. Claims that nobody here can
    do anything about are not looked at.
    Refuses: `PARAMETER_MALFORMED` for what is no claims request, `INVALID_CONTEXT` for an id outside `c1` to `c99`.
    """
    if not text:
        return Claims()
    try:
        parameter = _read_claims(text)
    except (ValueError, RecursionError):
        return Reason.PARAMETER_MALFORMED
    access, identity = (parameter.access_token or _Section(), parameter.id_token or _Section())
    in_id_token = _named(identity.acrs)
    contexts = tuple(dict.fromkeys((*_named(access.acrs), *in_id_token)))
    if not all(_CONTEXT.fullmatch(context) for context in contexts):
        return Reason.INVALID_CONTEXT
    said = (word.lower() for word in (*_named(access.xms_cc), *_named(identity.xms_cc)))
    capabilities = tuple(dict.fromkeys(word for word in said if word in CAPABILITIES))
    return Claims(contexts=contexts, id_token_contexts=in_id_token, capabilities=capabilities)


def _named(wanted: _Wanted | None) -> tuple[str, ...]:
    """The values asked for, each once."""
    if wanted is None:
        return ()
    single = () if wanted.value is None else (wanted.value,)
    return tuple(dict.fromkeys((*single, *(wanted.values or ()))))
