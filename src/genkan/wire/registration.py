"""
Where a tenant's first administration client is made: dynamic client registration, for whoever shows the token.

Reads JSON, lets the service judge, writes JSON. Nobody else can register here: the token is that of
`genkan tenant bootstrap`, good once. Source: ADM-01; RFC 7591 3 (the token is its initial access token); RFC 6750 3.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import uuid4

import msgspec
from msgspec import Meta, Struct

from genkan.engine.transaction import StoreUnavailable
from genkan.exchange import Request, Response, json_response
from genkan.model import ClientCertificate, Secret
from genkan.service.admin import first
from genkan.service.admin.door import Actor, Door, Refusal
from genkan.service.clients import read_certificate
from genkan.telemetry import log

PATH: Final = "/oauth2/v2.0/register"
METHODS: Final[Mapping[str, tuple[str, ...]]] = {PATH: ("POST",)}


class Key(Struct, frozen=True, kw_only=True):
    """A public key as a certificate has it (RFC 7517 4.7); what else is said of it the certificate says itself."""

    x5c: Annotated[tuple[str, ...], Meta(min_length=1, max_length=10)]


class Keys(Struct, frozen=True, kw_only=True):
    """A JWK set of one key."""

    keys: Annotated[tuple[Key, ...], Meta(min_length=1, max_length=1)]


class Metadata(Struct, frozen=True, kw_only=True):
    """What the client says of itself (RFC 7591 2). What is not known here is passed over, as the RFC says."""

    client_name: str = "Administration"
    token_endpoint_auth_method: Literal["client_secret_post", "private_key_jwt"] = "client_secret_post"
    grant_types: tuple[Literal["client_credentials"], ...] = ("client_credentials",)
    jwks: Keys | None = None
    """For `private_key_jwt`, and only for it: the client's certificate."""


class Endpoint(Struct, frozen=True, kw_only=True):
    """A tenant's registration endpoint."""

    door: Door

    async def __call__(self, request: Request) -> Response:
        """Answer a request. Never raises."""
        try:
            return await self._register(request)
        except StoreUnavailable:
            log.warning("store.unavailable", extra={"path": request.path})
            return _error(
                503, "temporarily_unavailable", "Too busy; try again in a moment.", ("retry-after", "2")
            )
        except Exception:  # noqa: BLE001 - a fault is an answer too, and never a traceback
            log.exception("http.fault", extra={"path": request.path})
            return _error(500, "server_error", "Something broke on our side; see the log.")

    async def _register(self, request: Request) -> Response:
        if not request.bearer:
            return _error(401, "invalid_token", "Show the bootstrap token.", ("www-authenticate", "Bearer"))
        if request.media_type != "application/json":
            return _error(415, "invalid_client_metadata", "Send the body as application/json.")
        try:
            said = msgspec.json.decode(request.body, type=Metadata)
            certificate = _certificate(said)
        except (ValueError, RecursionError):
            return _error(
                400, "invalid_client_metadata", "The body cannot be read, or asks for what is not offered."
            )
        name = "bootstrap token"
        actor = Actor(
            id=name,
            name=name,
            kind="operator",
            address=request.address,
            correlation_id=request.correlation_id,
        )
        made = await first.redeem(self.door, actor, Secret(request.bearer), said.client_name, certificate)
        if isinstance(made, Refusal):
            if made.why == "forbidden":
                bad = ("www-authenticate", 'Bearer error="invalid_token"')
                return _error(401, "invalid_token", made.text, bad)
            return _error(400, "invalid_client_metadata", made.text)
        return json_response(_shown(made, said), 201)


def _certificate(said: Metadata) -> ClientCertificate | None:
    """Raises: `ValueError`."""
    if (said.jwks is None) is (said.token_endpoint_auth_method == "private_key_jwt"):
        raise ValueError("a certificate goes with private_key_jwt, and with nothing else")
    if said.jwks is None:
        return None
    raw = base64.b64decode(said.jwks.keys[0].x5c[0], validate=True)
    return read_certificate(raw, "bootstrap", str(uuid4()))


def _shown(made: first.First, said: Metadata) -> dict[str, Any]:
    """RFC 7591 3.2.1; the secret is told here and nowhere else."""
    client = made.client
    shown: dict[str, Any] = {
        "client_id": client.id,
        "client_id_issued_at": _seconds(client.registration.created_at),
        "client_name": client.name,
        "grant_types": said.grant_types,
        "token_endpoint_auth_method": said.token_endpoint_auth_method,
    }
    if made.secret is not None:
        ends = _seconds(client.secrets[0].expires_at)
        shown |= {"client_secret": made.secret, "client_secret_expires_at": ends}
    return shown


def _seconds(at: datetime | None) -> int:
    return int(at.timestamp()) if at else 0


def _error(status: int, error: str, text: str, *headers: tuple[str, str]) -> Response:
    return json_response({"error": error, "error_description": text}, status, *headers)
