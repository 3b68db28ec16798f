"""
The first administration client of a tenant: made by whoever shows a token that the operator had made, once.

There is no account and no secret that a deployment begins with. The token is good for an hour by the store's clock,
for one use, and only while nobody administers the tenant yet; what is kept of it is a digest. Knows no HTTP.
Source: ADM-01; decision 0015.
"""

from __future__ import annotations

import hmac
import secrets
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from genkan.engine.messages import Directory, PutDocument
from genkan.model import BootstrapToken, Client, ClientCertificate, ClientSecret, Registration, Secret
from genkan.service.admin import applications
from genkan.service.admin.applications import HINT, PERMISSIONS, SECRET_BYTES, SECRET_LIFETIME, Application
from genkan.service.admin.door import Act, Actor, Done, Door, Refusal, Target, entropy, invalid
from genkan.service.clients import can_prove
from genkan.service.ports import View

ISSUE = Act("Make bootstrap token", "DirectoryManagement", "Add", "Directory")
REDEEM = Act("Make first administrator", "ApplicationManagement", "Add", "Application")

LIFETIME: Final = timedelta(hours=1)
"""How long a token is good."""
HEARING: Final = frozenset({"CustomAuthenticationExtension.Receive.Payload", "SharedSignals.Receive"})
"""Permissions that administer nothing: whoever holds them is called, or listens."""


class NewToken(Struct, frozen=True, kw_only=True):
    """A token just made. Its text is nowhere else."""

    text: str
    expires_at: datetime

    def __repr__(self) -> str:
        return "NewToken(…)"


class First(Struct, frozen=True, kw_only=True):
    """The first administration client. The text of its secret is nowhere else; None where it has a certificate."""

    client: Client
    secret: str | None

    def __repr__(self) -> str:
        return "First(…)"


def administrator(directory: Directory) -> Client | None:
    """An application that administers the tenant, if there is one."""
    return next((c for c in directory.clients.values() if set(c.app_roles) - HEARING), None)


async def issue(door: Door, actor: Actor) -> NewToken | Refusal:
    """Make the token, in the place of an earlier one."""
    text = secrets.token_urlsafe(SECRET_BYTES)

    def decide(view: View) -> Done[NewToken] | Refusal:
        tenant = view.directory.tenant
        if (somebody := administrator(view.directory)) is not None:
            return invalid(
                f"{somebody.name} administers this tenant already. Make a secret for it with genkan app add-secret, "
                "or another one with genkan app create and genkan app grant."
            )
        ends = view.now + LIFETIME
        kept = BootstrapToken(id=tenant.id, digest=_digest(text), expires_at=ends)
        target = Target(id=tenant.id, name=tenant.name, changes=(("expiresAt", None, ends),))
        return Done(NewToken(text=text, expires_at=ends), target, (PutDocument(kept),))

    return await door.act(actor, ISSUE, decide)


async def redeem(
    door: Door, actor: Actor, shown: Secret, name: str, certificate: ClientCertificate | None
) -> First | Refusal:
    """
    Make the first administration client, which holds every permission: with a certificate, or with a new secret.

    A second use and a late one leave a row in the log; what was never a token of ours leaves none, for anybody can
    send it. Raises: `StoreUnavailable`.
    """
    known = await door.store.look(lambda view: view.directory.bootstrap_token)
    if known is None or not _is_it(known, shown):
        return NO
    draw, text = entropy(), secrets.token_urlsafe(SECRET_BYTES)
    app_id = draw.guid("application")

    def decide(view: View) -> Done[First] | Refusal:
        token, now = view.directory.bootstrap_token, view.now
        if token is None or not _is_it(token, shown) or token.is_used or now >= token.expires_at:
            return NO
        if administrator(view.directory) is not None:
            return NO
        secret = ClientSecret(
            id=draw.guid("secret"),
            name="bootstrap",
            digest=_digest(text),
            hint=text[:HINT],
            starts_at=now,
            expires_at=now + SECRET_LIFETIME,
        )
        client = Client(
            id=app_id,
            name=name,
            kind="confidential",
            native=False,
            app_roles=PERMISSIONS,
            secrets=() if certificate else (secret,),
            certificates=(certificate,) if certificate else (),
            registration=Registration(created_at=now),
        )
        if certificate is not None and not can_prove(certificate, now):
            return invalid("The certificate is not valid now, or its key is neither RSA nor P-256.", "jwks")
        objection = applications.unfit(client)
        if objection is not None:
            return objection
        app = Application(id=app_id, client=client, resource=None)
        credential = ("keyCredentials", certificate.id) if certificate else ("passwordCredentials", secret.id)
        target = Target(
            id=app.object_id,
            name=name,
            changes=(
                ("appId", None, app_id),
                ("appRoles", None, PERMISSIONS),
                (credential[0], None, credential[1]),
            ),
        )
        return Done(
            First(client=client, secret=None if certificate else text),
            target,
            (PutDocument(client), PutDocument(replace(token, is_used=True))),
        )

    return await door.act(actor, REDEEM, decide)


NO: Final = Refusal(
    why="forbidden",
    text="The bootstrap token is not good: it is of another tenant, was used, is older than an hour, or somebody "
    "administers this tenant already. Make another one with genkan tenant bootstrap.",
)


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


def _is_it(token: BootstrapToken, shown: Secret) -> bool:
    return hmac.compare_digest(token.digest, _digest(shown.text))
