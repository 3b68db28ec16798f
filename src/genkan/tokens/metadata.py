"""
The documents by which others find us: the discovery document of a tenant, and its issuer.

They follow from configuration alone, never from the address a request came to (TOK-19). The JWK set is
`keys.KeyRing.jwks`.
Source: RFC 8414 section 2, OpenID Connect Discovery 3; native-auth-v1 9.5, 9.6; oauth-standards A9.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from genkan.model import Tenant
from genkan.tokens.claims import ACR_LADDER
from genkan.tokens.keys import Algorithm


class Discovery(Struct, frozen=True, kw_only=True):
    """
    What clients and APIs may know of a tenant. A member stands for something that exists.

    Two name pages that come with the web fallback, and stand here before them because MSAL demands the strings:
    `authorization_endpoint` and `end_session_endpoint`. With the former go `response_types_supported`, which OpenID
    Connect requires, `response_modes_supported` and `code_challenge_methods_supported`.
    """

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    end_session_endpoint: str
    jwks_uri: str
    response_types_supported: tuple[str, ...] = ("code",)
    response_modes_supported: tuple[str, ...] = ("query", "fragment", "form_post")
    grant_types_supported: tuple[str, ...] = ("refresh_token", "client_credentials")
    """Standard ones. The native grants need a continuation token, and a bare `password` is refused (RFC 9700 2.4)."""
    subject_types_supported: tuple[str, ...] = ("pairwise",)
    id_token_signing_alg_values_supported: tuple[Algorithm, ...] = ("RS256",)
    scopes_supported: tuple[str, ...] = ("openid", "profile", "email", "offline_access")
    token_endpoint_auth_methods_supported: tuple[str, ...] = (
        "none",
        "client_secret_post",
        "private_key_jwt",
    )
    claims_supported: tuple[str, ...] = (
        "sub",
        "iss",
        "aud",
        "exp",
        "iat",
        "auth_time",
        "preferred_username",
        "name",
        "oid",
        "tid",
        "ver",
        "email",
        "amr",
        "acr",
        "acrs",
        "groups",
        "xms_cc",
    )
    claims_parameter_supported: bool = True
    acr_values_supported: tuple[str, ...] = ACR_LADDER
    code_challenge_methods_supported: tuple[str, ...] = ("S256",)
    genkan_native_auth: dict[str, bool]
    """Which versions of native authentication this tenant speaks: our own member."""
    genkan_emergency_endpoint: str
    """Where apps say that a device is lost: our own member. Says nothing of any account."""
    genkan_emergency_page: str
    """The page for whoever has no app any more: our own member."""


def issuer(base_url: str, tenant_id: str) -> str:
    """Return the issuer: the same under every alias of the tenant, in tokens and in metadata (RFC 8414 3.3)."""
    return f"{base_url.rstrip('/')}/{tenant_id}/v2.0"


def signals(base_url: str, tenant_id: str) -> str:
    """Return where receivers of security events manage their streams: also the audience of their tokens."""
    return f"{base_url.rstrip('/')}/{tenant_id}/ssf"


class Transmitter(Struct, frozen=True, kw_only=True):
    """What receivers of security events may know of a tenant (SSF 1.0, 7.1)."""

    spec_version: str = "1_0"
    issuer: str
    jwks_uri: str
    delivery_methods_supported: tuple[str, ...] = ("urn:ietf:rfc:8935", "urn:ietf:rfc:8936")
    configuration_endpoint: str
    status_endpoint: str
    add_subject_endpoint: str
    remove_subject_endpoint: str
    verification_endpoint: str
    authorization_schemes: tuple[dict[str, str], ...] = ({"spec_urn": "urn:ietf:rfc:6749"},)
    default_subjects: Literal["ALL"] = "ALL"


def transmitter(base_url: str, tenant_id: str) -> Transmitter:
    """Return the configuration of a tenant as a transmitter of security events."""
    root = signals(base_url, tenant_id)
    return Transmitter(
        issuer=issuer(base_url, tenant_id),
        jwks_uri=f"{base_url.rstrip('/')}/{tenant_id}/discovery/v2.0/keys",
        configuration_endpoint=f"{root}/stream",
        status_endpoint=f"{root}/status",
        add_subject_endpoint=f"{root}/subjects/add",
        remove_subject_endpoint=f"{root}/subjects/remove",
        verification_endpoint=f"{root}/verify",
    )


def discovery(base_url: str, tenant: Tenant, algorithms: tuple[Algorithm, ...] = ("RS256",)) -> Discovery:
    """
    Return the discovery document of a tenant.

    Shapes: `base_url` is the public one, as configured; `algorithms` are those that its applications use.
    """
    root = f"{base_url.rstrip('/')}/{tenant.id}"
    return Discovery(
        issuer=issuer(base_url, tenant.id),
        authorization_endpoint=f"{root}/oauth2/v2.0/authorize",
        token_endpoint=f"{root}/oauth2/v2.0/token",
        end_session_endpoint=f"{root}/oauth2/v2.0/logout",
        jwks_uri=f"{root}/discovery/v2.0/keys",
        id_token_signing_alg_values_supported=algorithms,
        genkan_native_auth={"v1": True},
        genkan_emergency_endpoint=f"{root}/emergency/v1.0",
        genkan_emergency_page=f"{root}/lost-device",
    )
