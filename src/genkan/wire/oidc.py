"""
OpenID Connect documents that anybody may read: discovery and the JWK set.

Makes nothing up: `tokens.metadata` and the key ring say what stands in them.
Source: OpenID Connect Discovery 3, RFC 8414 3, RFC 7517 5; native-auth-v1 9.5, 9.6.
"""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from genkan.engine.messages import Directory
from genkan.exchange import Response, json_response
from genkan.tokens import metadata
from genkan.tokens.keys import KeyRing

DISCOVERY = "/v2.0/.well-known/openid-configuration"
DISCOVERY_PLAIN = "/.well-known/openid-configuration"
"""The same document, for MSAL's OIDC protocol mode."""
KEYS = "/discovery/v2.0/keys"

CACHE = ("cache-control", "public, max-age=3600")
"""An hour: far below the day for which a key is published before it signs (KEY-03)."""


def discovery(directory: Directory, base_url: str) -> Response:
    """The discovery document, the same under every alias of the tenant."""
    others = {client.signing_algorithm for client in directory.clients.values()} - {"RS256"}
    document = metadata.discovery(base_url, directory.tenant, ("RS256", *sorted(others)))
    return replace(json_response(document), headers=(CACHE,))


def keys(ring: KeyRing, now: datetime) -> Response:
    """Every key under which a token that is still good may have been signed, and the next one."""
    return replace(json_response(ring.jwks(now)), headers=(CACHE,))
