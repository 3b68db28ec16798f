"""
A passkey in a flow: what is asked of it, and whether its answer is right.

Before anything is proven nobody learns by it who has an account, and who a passkey: whoever has none is shown ids all
the same, and an answer costs the same work. An answer counts for the flow, the client, the account and the phase that
it was asked in, since the question stands in the flow; and once, since any answer takes it away.
Decides nothing of what a proof is worth. Source: WAN-01 to WAN-06; emergency-protocol 9.2.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec import Struct

from genkan.engine import steps
from genkan.engine.flow import Flow
from genkan.engine.messages import Facts, Signing
from genkan.factors import passkey
from genkan.factors.passkey import Signed
from genkan.model import Authenticator, Challenge, Client, Kind, Subject, Tenant

LIFETIME: Final = timedelta(minutes=5)
"""How long a question to an authenticator is good (WAN-01)."""


class Making(Struct, frozen=True, kw_only=True):
    """What an authenticator is asked, to make a passkey or to prove one of an account."""

    challenge: bytes
    handle: bytes
    rp_id: str
    rp_name: str
    name: str
    """The account, as its owner knows it; it stays on the authenticator."""
    credentials: tuple[bytes, ...]
    """Those that the account has."""


def rp_id(tenant: Tenant, site: str) -> str:
    """The domain that passkeys are for. `site` is the server's public address."""
    return tenant.passkey_domain or urlsplit(site).hostname or ""


def origin(credential: dict[str, Any], client: Client | None, tenant: Tenant, site: str) -> str:
    """
    The origin at which an authenticator was used, if it is one of the app's or the server's own; else empty.

    `client` None: no app was named.
    """
    said, own = passkey.origin_of(credential), urlsplit(site)
    allowed = (f"{own.scheme}://{own.netloc}", *tenant.passkey_origins)
    is_known = said in allowed or (client is not None and steps.is_origin_of(client, said))
    return said if is_known else ""


def ids(
    subject: Subject | None, held: Iterable[Authenticator], name: str, domain: str, key: bytes
) -> tuple[bytes, ...]:
    """
    Which keys are to be named to somebody who has proven nothing; made up where there are none (WAN-06).

    Every door names the same, or whoever asks at two of them could tell which are made up.
    Shapes: `held` are the subject's, quarantined ones too, or a hold would show; `name` is the place of what was typed.
            The ids made up of an account are those of its address, whatever was typed. `key` is the tenant's for codes.
    """
    if subject is not None and subject.status == "deleted":
        subject, held = None, ()
    found = tuple(
        a.passkey.credential
        for a in held
        if a.passkey is not None and a.passkey.rp_id == domain and a.state != "tombstoned"
    )
    own = subject.email if subject is not None else None
    return found or passkey.decoys(own.place if own else name, key)


def asked(flow: Flow, facts: Facts, method: str | None = None) -> Challenge:
    """A new question. `method` names the passkey that it is put to, where it is put to one."""
    return Challenge(
        id=facts.entropy.guid("challenge"),
        kind=Kind.PASSKEY,
        authenticator=method,
        answer=facts.entropy.take("passkey", passkey.CHALLENGE_BYTES),
        issued_at=facts.now,
        expires_at=min(facts.now + LIFETIME, flow.created_at + facts.directory.tenant.flow_lifetime),
    )


def signing(flow: Flow, challenge: Challenge, facts: Facts) -> Signing:
    """The question, as it is put before anything is proven."""
    assert flow.identifier is not None  # noqa: S101 - nothing is asked before somebody is named
    domain = rp_id(facts.directory.tenant, facts.site)
    subject = facts.subject if flow.subject is not None else None
    held = (facts.held or facts.authenticators) if subject is not None else ()
    return Signing(
        challenge=challenge.answer,
        rp_id=domain,
        credentials=ids(subject, held, flow.identifier.place, domain, facts.code_key),
    )


def signing_by(chosen: Authenticator, challenge: Challenge, facts: Facts) -> Signing:
    """The question, as it is put to one passkey of somebody who has proven a first factor."""
    return Signing(
        challenge=challenge.answer,
        rp_id=rp_id(facts.directory.tenant, facts.site),
        credentials=(chosen.passkey.credential,) if chosen.passkey is not None else (),
    )


def may_use(facts: Facts) -> bool:
    """An administrator has not taken passkeys from this person; where nothing is said of them everybody may."""
    settings = facts.directory.methods.get(Kind.PASSKEY)
    if settings is None:
        return True
    included = not settings.include_groups or not facts.groups.isdisjoint(settings.include_groups)
    return settings.enabled and included and facts.groups.isdisjoint(settings.exclude_groups)


def signed(
    flow: Flow, text: str, challenge: Challenge, client: Client, facts: Facts
) -> tuple[Authenticator, Signed] | None:
    """
    Whose signature this is, and what it shows; None whatever is wrong.

    Where there is no such key the work is done with nobody's. Whether UV and the counter will do is for the caller.
    """
    credential = passkey.read(text) or {}
    tenant = facts.directory.tenant
    id, domain = passkey.id_of(credential), rp_id(tenant, facts.site)
    held = facts.authenticators if not steps.is_decoy(flow, facts) and may_use(facts) else ()
    if challenge.authenticator is not None:
        held = tuple(a for a in held if a.id == challenge.authenticator)
    prover = next((a for a in held if a.passkey is not None and a.passkey.credential == id), None)
    known = prover.passkey if prover is not None and prover.passkey else passkey.nobodys(id, domain)
    at = origin(credential, client, tenant, facts.site)
    found = passkey.signed(credential, known, challenge.answer, at, facts.handle)
    if prover is None or found is None or known.rp_id != domain or challenge.expires_at <= facts.now:
        return None
    return prover, found
