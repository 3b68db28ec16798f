"""
An authenticator and the browser in front of it, made of `cryptography` and `cbor2` alone.

Shares no code with what judges its answers. Every part of an answer can be made wrong.
Source: WebAuthn Level 3, 5.8.1 (client data), 6.1 (authenticator data), 6.5 (attestation object).
"""

from __future__ import annotations

import base64
import json
import os
from hashlib import sha256
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

UP, UV, BE, BS, AT = 0x01, 0x04, 0x08, 0x10, 0x40


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Key:
    """One credential on one device."""

    def __init__(self, rp_id: str = "localhost", *, synced: bool = False) -> None:
        self.rp_id = rp_id
        self.id = os.urandom(32)
        self.handle = b""
        self.counter = 0
        self.flags = UP | UV | ((BE | BS) if synced else 0)
        self._key = ec.generate_private_key(ec.SECP256R1())

    def made(self, options: dict[str, Any], origin: str, **client: Any) -> dict[str, Any]:
        """The answer to `navigator.credentials.create`."""
        self.handle = base64.urlsafe_b64decode(options["user"]["id"] + "==")
        data = self._client_data("webauthn.create", options["challenge"], origin, client)
        numbers = self._key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)}
        attested = bytes(16) + len(self.id).to_bytes(2) + self.id + cbor2.dumps(cose)
        statement = {"fmt": "none", "attStmt": {}, "authData": self._data(AT) + attested}
        return self._answer(
            {"clientDataJSON": b64(data), "attestationObject": b64(cbor2.dumps(statement))},
            authenticatorAttachment="cross-platform",
        )

    def signed(
        self, options: dict[str, Any], origin: str, *, kind: str = "webauthn.get", **client: Any
    ) -> dict[str, Any]:
        """The answer to `navigator.credentials.get`."""
        self.counter += 1
        data = self._client_data(kind, options["challenge"], origin, client)
        authenticator = self._data()
        signature = self._key.sign(authenticator + sha256(data).digest(), ec.ECDSA(SHA256()))
        return self._answer(
            {
                "clientDataJSON": b64(data),
                "authenticatorData": b64(authenticator),
                "signature": b64(signature),
                "userHandle": b64(self.handle),
            }
        )

    def _data(self, further: int = 0) -> bytes:
        return sha256(self.rp_id.encode()).digest() + bytes([self.flags | further]) + self.counter.to_bytes(4)

    @staticmethod
    def _client_data(kind: str, challenge: str, origin: str, more: dict[str, Any]) -> bytes:
        said = {"type": kind, "challenge": challenge, "origin": origin, "crossOrigin": False, **more}
        return json.dumps(said).encode()

    def _answer(self, response: dict[str, str], **more: str) -> dict[str, Any]:
        return {
            "id": b64(self.id),
            "rawId": b64(self.id),
            "type": "public-key",
            "response": response,
            "clientExtensionResults": {},
            **more,
        }
