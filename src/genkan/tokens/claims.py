"""
Make the claims of id tokens and access tokens, and say how strong the evidence behind them is.

Knows nothing of signing, of flows and of policy: what may be issued has been decided before.
Times in tokens are whole seconds since 1970. Claims are Structs: typed, and written faster than dicts.
Source: native-auth-v1 9.1 to 9.3; oauth-standards A5, A8; RFC 9068, RFC 8176, RFC 9470; OpenID Connect Core 2, 8.1.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from genkan.model import (
    DIRECTORY,
    SECURITY_INFO,
    Assurance,
    Client,
    Demand,
    Evidence,
    Kind,
    OptionalClaim,
    Resource,
    Subject,
    Tenant,
)
from genkan.tokens import base64url
from genkan.tokens.scopes import OIDC

VERSION = "2.0"
"""The shape of our tokens, as MSAL for mobile reads it (native-auth-v1 9.2)."""
MAX_GROUPS = 200
"""Of more groups than these a token says only that there are too many to list (`hasgroups`), as Entra's do."""
NAMELESS = "unknown"
"""The `name` of who has none (native-auth-v1 9.2)."""

ADMINISTRATION = "https://graph.microsoft.com"
"""The audience of tokens for the administration API, and of no other: what its clients ask for."""
CLIENT_TOKEN_LIFETIME = timedelta(seconds=3599)

AMR = {Kind.PASSWORD: "pwd", Kind.EMAIL_OTP: "otp", Kind.SMS_OTP: "sms", Kind.PASSKEY: "pop"}
"""
The RFC 8176 word of each kind of proof (native-auth-v1 9.2). Of a passkey that a key was held, and not by what: without
attestation nobody knows whether it is hardware (`hwk`).
"""
AMR_PRESENCE = "user"
"""Of a passkey: somebody was there and touched it."""
AMR_TWO_FACTORS = "mfa"
ACR_CODE = "urn:genkan:acr:otp"
ACR_PASSWORD = "urn:genkan:acr:pwd"
ACR_TWO_FACTORS = "urn:genkan:acr:mfa"
ACR_LADDER = (ACR_CODE, ACR_PASSWORD, ACR_TWO_FACTORS)
"""From the weakest to the strongest (oauth-standards A5)."""


RESERVED = frozenset(
    """
    acct acr acrs aio alg amr app_displayname appid appidacr at_hash aud auth_time azp azpacr c_hash client_id cnf ctry
    deviceid email email_verified enfpolids epoch exp family_name given_name groups hasgroups iat idp idtyp in_corp
    ipaddr iss jti kid login_hint may_act act name nbf nonce oid onprem_sid platf preferred_username puid pwd_exp
    pwd_url rh role roles s_hash scope scp sid sub tenant_ctry tenant_region_scope tid txn typ upn uti ver wids
    xms_cc xms_tcdt
    """.split()
)
"""Claims with a meaning of their own, which no extension can set (WHK-04)."""

Wanted = tuple[OptionalClaim, ...]


class IdToken(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who signed in, how and when: for the client itself."""

    iss: str
    aud: str
    iat: int
    nbf: int
    exp: int
    sub: str
    oid: str
    tid: str
    preferred_username: str
    name: str
    ver: str
    auth_time: int
    amr: tuple[str, ...]
    acr: str
    uti: str
    email: str = ""
    acrs: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    hasgroups: bool = False
    xms_cc: tuple[str, ...] = ()


class AccessToken(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the client may do at one API. Says nothing personal that the API has not asked for (RFC 9068 section 6)."""

    iss: str
    aud: str
    iat: int
    nbf: int
    exp: int
    jti: str
    sub: str
    oid: str
    tid: str
    client_id: str
    azp: str
    azpacr: Literal["0", "1"]
    scope: str
    scp: str
    ver: str
    auth_time: int
    amr: tuple[str, ...]
    acr: str
    acrs: tuple[str, ...] = ()
    email: str = ""
    epoch: int | UnsetType = UNSET
    """Of a token for the built-in API: the person's (`Subject.epoch`); once that has grown the token is dead."""
    groups: tuple[str, ...] = ()
    hasgroups: bool = False
    xms_cc: tuple[str, ...] = ()


class ClientToken(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a client may do by itself to the tenant that it administers. No person stands behind it."""

    iss: str
    aud: str
    iat: int
    nbf: int
    exp: int
    jti: str
    uti: str
    sub: str
    oid: str
    """The id of its service principal."""
    tid: str
    appid: str
    azp: str
    azpacr: Literal["1", "2"]
    """How the client proved itself: by a secret, or by a certificate (ADM-05)."""
    client_id: str
    idtyp: Literal["app"]
    roles: tuple[str, ...]
    epoch: int
    """The client's (`Client.epoch`): once that has grown the token is dead."""
    ver: str


class Issue(Struct, frozen=True, kw_only=True):
    """What both tokens of one answer are made from."""

    issuer: str
    """`metadata.issuer` of the tenant, never made from a request (TOK-19)."""
    tenant: Tenant
    client: Client
    subject: Subject
    demand: Demand
    """What was granted."""
    resource: Resource | None
    """The API of `demand.resource`; None for the directory resource."""
    assurance: Assurance
    contexts: tuple[str, ...] = ()
    """The authentication contexts that policy found satisfied. What was merely asked for is in the demand."""
    groups: frozenset[str] = frozenset()
    """The subject's, nested ones counted."""
    token_id: str
    """A fresh random id: `jti` of the access token, `uti` of the id token."""
    now: datetime
    claims: Mapping[str, str | tuple[str, ...]] = {}
    """What an extension adds to both tokens."""
    pairwise_key: bytes
    """The tenant's key for pairwise subjects; of no other use (KEY-01)."""


def id_token(issue: Issue) -> IdToken:
    """Make the claims of the id token: those of every app, and the optional ones of this client."""
    wanted = issue.client.optional_claims
    subject, assurance, now = issue.subject, issue.assurance, _seconds(issue.now)
    name = subject.attributes.get("displayName")
    return IdToken(
        iss=issue.issuer,
        aud=issue.client.id,
        iat=now,
        nbf=now,
        exp=now + int(issue.tenant.id_token_lifetime.total_seconds()),
        sub=pairwise(issue.pairwise_key, issue.tenant.id, issue.client.id, subject.id),
        oid=subject.id,
        tid=issue.tenant.id,
        preferred_username=_address(subject) or _any_name(subject),
        name=name if isinstance(name, str) and name else NAMELESS,
        ver=VERSION,
        auth_time=_seconds(assurance.auth_time),
        amr=assurance.amr,
        acr=assurance.acr,
        uti=issue.token_id,
        email=_address(subject) if "email" in (*wanted, *issue.demand.scopes) else "",
        acrs=_contexts(issue, wanted, issue.demand.id_token_contexts),
        groups=_groups(issue, wanted),
        hasgroups=_has_too_many_groups(issue, wanted),
        xms_cc=issue.demand.capabilities if "xms_cc" in wanted else (),
    )


def access_token(issue: Issue) -> AccessToken:
    """
    Make the claims of the access token.

    `scope` holds those granted scopes that mean something to the audience (RFC 9068 section 2.2.3): the API's own,
    fully qualified, and in `scp` the same by their bare names; for the directory resource the OpenID ones in both.

    Raises: `ValueError` where the resource is not that of the demand.
    """
    demand, assurance, now = issue.demand, issue.assurance, _seconds(issue.now)
    wanted = issue.resource.optional_claims if issue.resource else ()
    if (issue.resource.id if issue.resource else DIRECTORY) != demand.resource:
        raise ValueError(f"the demand is for {demand.resource}, not for the resource given")
    if issue.resource is None:
        scope = scp = " ".join(demand.scopes)
    else:
        own = [word for word in demand.scopes if word not in OIDC]
        scope = " ".join(own)
        scp = " ".join(word.removeprefix(issue.resource.uri + "/") for word in own)
    return AccessToken(
        iss=issue.issuer,
        aud=demand.resource,
        iat=now,
        nbf=now,
        exp=now + int(issue.tenant.access_token_lifetime.total_seconds()),
        jti=issue.token_id,
        sub=pairwise(issue.pairwise_key, issue.tenant.id, issue.client.id, issue.subject.id),
        oid=issue.subject.id,
        tid=issue.tenant.id,
        client_id=issue.client.id,
        azp=issue.client.id,
        azpacr="0" if issue.client.kind == "public" else "1",
        scope=scope,
        scp=scp,
        ver=VERSION,
        auth_time=_seconds(assurance.auth_time),
        amr=assurance.amr,
        acr=assurance.acr,
        acrs=_contexts(issue, wanted, demand.contexts),
        email=_address(issue.subject) if "email" in wanted else "",
        epoch=issue.subject.epoch if demand.resource == SECURITY_INFO else UNSET,
        groups=_groups(issue, wanted),
        hasgroups=_has_too_many_groups(issue, wanted),
        xms_cc=demand.capabilities if "xms_cc" in wanted else (),
    )


def client_token(
    *,
    issuer: str,
    tenant: Tenant,
    client: Client,
    principal: str,
    token_id: str,
    now: datetime,
    by_certificate: bool = False,
) -> ClientToken:
    """Make the claims of the token with which a client administers a tenant (admin-graph-api 2)."""
    at = _seconds(now)
    return ClientToken(
        iss=issuer,
        aud=ADMINISTRATION,
        iat=at,
        nbf=at,
        exp=at + int(CLIENT_TOKEN_LIFETIME.total_seconds()),
        jti=token_id,
        uti=token_id,
        sub=principal,
        oid=principal,
        tid=tenant.id,
        appid=client.id,
        azp=client.id,
        azpacr="2" if by_certificate else "1",
        client_id=client.id,
        idtyp="app",
        roles=client.app_roles,
        epoch=client.epoch,
        ver=VERSION,
    )


def with_added(token: IdToken | AccessToken, issue: Issue) -> Struct | dict[str, object]:
    """Add what an extension says; never what has a meaning here, and never in the place of anything (WHK-04)."""
    if not issue.claims:
        return token
    own: dict[str, object] = msgspec.to_builtins(token)
    added = {name: value for name, value in issue.claims.items() if name.lower() not in RESERVED}
    return {**added, **own}


def _contexts(issue: Issue, wanted: Wanted, asked: tuple[str, ...]) -> tuple[str, ...]:
    """The satisfied contexts that were asked for in this token; all of them where the app wants to know unasked."""
    return issue.contexts if "acrs" in wanted else tuple(c for c in issue.contexts if c in asked)


def _groups(issue: Issue, wanted: Wanted) -> tuple[str, ...]:
    is_told = "groups" in wanted and len(issue.groups) <= MAX_GROUPS
    return tuple(sorted(issue.groups)) if is_told else ()


def _has_too_many_groups(issue: Issue, wanted: Wanted) -> bool:
    return "groups" in wanted and len(issue.groups) > MAX_GROUPS


def _address(subject: Subject) -> str:
    return subject.email.value if subject.email else ""


def pairwise(key: bytes, tenant_id: str, client_id: str, subject_id: str) -> str:
    """Return the `sub` of a subject at one client: stable there, and of no use to find them at another (OIDC 8.1)."""
    return base64url.encode(hmac.digest(key, f"{tenant_id}/{client_id}/{subject_id}".encode(), "sha256"))


def client_info(oid: str, tid: str) -> str:
    """Return the `client_info` of an answer, from which MSAL makes the id of the account (native-auth-v1 9.1)."""
    return base64url.encode(msgspec.json.encode({"uid": oid, "utid": tid}))


def assurance(evidence: Sequence[Evidence]) -> Assurance:
    """
    Say how strong the evidence is together.

    The first factor is the proof recorded as `first`; where there is none, the first address `verified`: an account
    that signs in by e-mail code begins with the code of its sign-up. A second factor is a proof recorded as `second`,
    of another kind and another place (FLOW-07); so is, by the engine's record, that of a method enrolled in the flow.
    A passkey is two factors by itself: it is recorded only where the authenticator verified its user (WAN-02).
    Other verified addresses, such as the mailbox of a password reset, prove where somebody can be reached and are no
    factor (SSPR-07).

    Shapes: `amr` has each word once, in the order proven, and ends with `mfa` where two factors were. `auth_time` is
    the latest proof of a factor: the last moment when somebody was there to prove something. It comes from the
    evidence alone, so a refreshed token can neither raise the one nor renew the other (RFC 9470 section 8).
    Raises: `ValueError` without a first factor; nothing may be issued on that.
    """
    first = next((e for e in evidence if e.part == "first"), None)
    first = first or next((e for e in evidence if e.part == "verified"), None)
    if first is None:
        raise ValueError("no first factor was proven")
    second = [e for e in evidence if e.part == "second" and _is_another_factor(e, first)]
    factors = [e for e in evidence if e is first or e in second]
    words = dict.fromkeys(AMR[e.kind] for e in factors)
    has_passkey = any(e.kind is Kind.PASSKEY for e in factors)
    if has_passkey:
        words[AMR_PRESENCE] = None
    if second or has_passkey:
        acr = ACR_TWO_FACTORS
        words[AMR_TWO_FACTORS] = None
    else:
        acr = ACR_PASSWORD if first.kind is Kind.PASSWORD else ACR_CODE
    return Assurance(amr=tuple(words), acr=acr, auth_time=max(e.at for e in factors))


def _is_another_factor(proof: Evidence, first: Evidence) -> bool:
    return proof.kind is not first.kind and (proof.place is None or proof.place != first.place)


def _any_name(subject: Subject) -> str:
    return subject.identifiers[0].value if subject.identifiers else NAMELESS


def _seconds(at: datetime) -> int:
    return int(at.timestamp())
