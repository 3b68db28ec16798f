"""
Mint tokens: the one place that signs, and only for a `Ready` that a step has just decided (FLOW-01), for a client
that has just proven itself, or to say to an extension who asks.

The grant behind them is committed by then. What could still fail, fails before the commit: the keys are loaded and
the claims are values; so an answer 5xx has changed nothing (V1-020).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

from msgspec import Struct

from genkan import metrics
from genkan.engine.messages import Directory, Ready, Signal
from genkan.model import Stream
from genkan.service.clients import Proven
from genkan.tokens import claims, jwt, metadata
from genkan.tokens.keys import KeyRing

EVENTS_SERVICE: Final = "99045fe1-7639-4a75-9d4a-577b6ca3810f"
"""Who asks extensions: what Entra's libraries for receivers look for."""
EXTENSION_TOKEN_LIFETIME: Final = timedelta(minutes=5)


class Tokens(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The success body of the token endpoint, member for member (native-auth-v1 4.1; RFC 6749 5.1)."""

    token_type: str
    scope: str
    expires_in: int
    ext_expires_in: int
    access_token: str
    refresh_token: str
    id_token: str
    client_info: str
    refresh_token_expires_in: int = 0
    """Seconds; said only when the life of the grant is limited more than by default (native-auth-v1 9.3)."""

    def __repr__(self) -> str:
        return "Tokens(…)"


class ClientTokens(Struct, frozen=True, kw_only=True):
    """The success body for a client that acts for itself (RFC 6749 4.4.3): no refresh token."""

    token_type: str
    expires_in: int
    ext_expires_in: int
    access_token: str

    def __repr__(self) -> str:
        return "ClientTokens(…)"


class ReceiverTokens(Struct, frozen=True, kw_only=True):
    """The success body for a receiver of security events (RFC 6749 4.4.3)."""

    token_type: str
    scope: str
    expires_in: int
    access_token: str

    def __repr__(self) -> str:
        return "ReceiverTokens(…)"


class Issuer:
    """Signs for one tenant."""

    def __init__(
        self,
        *,
        base_url: str,
        directory: Callable[[], Directory],
        ring: Callable[[], KeyRing],
        pairwise_key: bytes,
        caller: str = EVENTS_SERVICE,
    ) -> None:
        """`caller` is who asks extensions, as their tokens say."""
        self._directory = directory
        self._ring = ring
        self._pairwise_key = pairwise_key
        self._caller = caller
        self._base_url = base_url

    def mint(self, ready: Ready, now: datetime) -> Tokens:
        """The tokens of a grant that has just been opened or renewed."""
        metrics.TOKENS.labels("person").inc()
        directory = self._directory()
        issue = claims.Issue(
            issuer=metadata.issuer(self._base_url, directory.tenant.id),
            tenant=directory.tenant,
            client=ready.client,
            subject=ready.subject,
            demand=ready.demand,
            resource=directory.apis.get(ready.demand.resource),
            assurance=ready.assurance,
            contexts=ready.contexts,
            groups=ready.groups,
            token_id=ready.token_id,
            claims=ready.claims,
            now=now,
            pairwise_key=self._pairwise_key,
        )
        key = self._ring().signing(ready.client.signing_algorithm, now)
        lifetime = int(directory.tenant.access_token_lifetime.total_seconds())
        return Tokens(
            token_type="Bearer",
            scope=" ".join((*ready.demand.scopes, *ready.demand.asked)),
            expires_in=lifetime,
            ext_expires_in=lifetime,
            access_token=jwt.sign(claims.with_added(claims.access_token(issue), issue), key, "at+jwt"),
            refresh_token=ready.refresh.text,
            id_token=jwt.sign(claims.with_added(claims.id_token(issue), issue), key, "JWT"),
            client_info=claims.client_info(ready.subject.id, directory.tenant.id),
            refresh_token_expires_in=(
                int((ready.grant.expires_at - now).total_seconds()) if ready.client.single_page else 0
            ),
        )

    def for_client(self, proven: Proven, principal: str) -> ClientTokens:
        """The token with which a client administers the tenant. `principal` is the id of its service principal."""
        metrics.TOKENS.labels("client").inc()
        directory, now = self._directory(), proven.now
        claims_ = claims.client_token(
            issuer=metadata.issuer(self._base_url, directory.tenant.id),
            tenant=directory.tenant,
            client=proven.client,
            principal=principal,
            token_id=str(uuid4()),
            now=now,
            by_certificate=proven.by_certificate,
        )
        lifetime = int(claims.CLIENT_TOKEN_LIFETIME.total_seconds())
        return ClientTokens(
            token_type="Bearer",
            expires_in=lifetime,
            ext_expires_in=lifetime,
            access_token=jwt.sign(claims_, self._ring().signing("RS256", now), "at+jwt"),
        )

    def for_receiver(self, proven: Proven, scopes: tuple[str, ...]) -> ReceiverTokens:
        """The token with which a receiver of security events manages its stream, and does nothing else."""
        tenant, now = self._directory().tenant, proven.now
        at, lifetime = int(now.timestamp()), int(claims.CLIENT_TOKEN_LIFETIME.total_seconds())
        claims_ = {
            "iss": metadata.issuer(self._base_url, tenant.id),
            "aud": metadata.signals(self._base_url, tenant.id),
            "iat": at,
            "nbf": at,
            "exp": at + lifetime,
            "jti": str(uuid4()),
            "sub": proven.client.id,
            "client_id": proven.client.id,
            "tid": tenant.id,
            "scope": " ".join(scopes),
            "epoch": proven.client.epoch,
        }
        return ReceiverTokens(
            token_type="Bearer",
            scope=" ".join(scopes),
            expires_in=lifetime,
            access_token=jwt.sign(claims_, self._ring().signing("RS256", now), "at+jwt"),
        )

    def event(self, signal: Signal, stream: Stream, now: datetime) -> str:
        """
        The security event token of a signal for a receiver (RFC 8417; SSF 1.0, 4; CAEP Interoperability Profile 2.6).

        Made anew for each attempt, by the key of now, it says the same each time and has the same `jti`.
        """
        issuer = metadata.issuer(self._base_url, self._directory().tenant.id)
        about = (
            {"format": "iss_sub", "iss": issuer, "sub": signal.subject}
            if signal.subject
            else {"format": "opaque", "id": stream.id}
        )
        claims_ = {
            "iss": issuer,
            "aud": stream.audience,
            "iat": int(signal.at.timestamp()),
            "jti": signal.id,
            "txn": signal.txn,
            "sub_id": about,
            "events": {signal.event: signal.detail},
        }
        return jwt.sign(claims_, self._ring().signing("RS256", now), "secevent+jwt")

    def for_extension(self, app_id: str, now: datetime) -> str:
        """What tells a receiver who asks, and nobody else anything: its audience is the receiver's application."""
        tenant, at = self._directory().tenant, int(now.timestamp())
        claims_ = {
            "iss": metadata.issuer(self._base_url, tenant.id),
            "aud": app_id,
            "iat": at,
            "nbf": at,
            "exp": at + int(EXTENSION_TOKEN_LIFETIME.total_seconds()),
            "jti": str(uuid4()),
            "sub": self._caller,
            "oid": self._caller,
            "tid": tenant.id,
            "azp": self._caller,
            "appid": self._caller,
            "idtyp": "app",
            "ver": claims.VERSION,
        }
        return jwt.sign(claims_, self._ring().signing("RS256", now), "at+jwt")
