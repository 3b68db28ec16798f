"""
What to hand to `navigator.credentials`, as JSON: the same wherever this server asks for a passkey.

Source: WebAuthn Level 3, 5.1.8 and 5.1.9 (the JSON of creation and request options).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from genkan.engine.passkeys import Making
from genkan.factors import passkey
from genkan.tokens import base64url

TIMEOUT: Final = 120_000
"""Milliseconds that somebody at the emergency door has to find their key."""


def creation(making: Making, timeout: int) -> dict[str, Any]:
    """Ask for a passkey to be made, other than those that there are. `timeout` is in milliseconds."""
    return {
        "rp": {"id": making.rp_id, "name": making.rp_name},
        "user": {
            "id": base64url.encode(making.handle),
            "name": making.name,
            "displayName": making.name,
        },
        "challenge": base64url.encode(making.challenge),
        "pubKeyCredParams": [{"type": "public-key", "alg": alg} for alg in passkey.ALGORITHMS],
        "timeout": timeout,
        "excludeCredentials": _descriptors(making.credentials),
        "authenticatorSelection": {"residentKey": "preferred", "userVerification": "required"},
        "attestation": "none",
    }


def request(challenge: bytes, rp_id: str, credentials: Iterable[bytes], timeout: int) -> dict[str, Any]:
    """Ask for a signature of one of these."""
    return {
        "challenge": base64url.encode(challenge),
        "rpId": rp_id,
        "timeout": timeout,
        "allowCredentials": _descriptors(credentials),
        "userVerification": "required",
    }


def _descriptors(credentials: Iterable[bytes]) -> list[dict[str, str]]:
    return [{"type": "public-key", "id": base64url.encode(id)} for id in credentials]
