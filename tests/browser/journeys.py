"""What browser tests arrange beside the SDK, over plain HTTP, and how they check a token with a library not ours."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from joserfc import jwt
from joserfc.jwk import KeySet

from tests.server import (
    BOTH,
    Reply,
    Server,
    first_factor_by_code,
    newest,
    register_phone,
    sign_up_by_code,
)

PASSWORD = "correct horse battery staple 4711"
ANOTHER_PASSWORD = "seven wooden bridges over cold water"
A_THIRD_PASSWORD = "yellow submarine parked in the garden"

PLAIN_SCOPES = ["openid", "profile", "offline_access"]
"""What the SDK asks for when the app says nothing."""


class Mailbox:
    """What arrives for an address or a number, each code handed out once."""

    def __init__(self, server: Server, to: str) -> None:
        self._server = server
        self._to = to
        self._read: set[str] = set()
        self.skip()

    def code(self, purpose: str) -> str:
        """The next code for a purpose, waited for."""
        code = newest(self._server, self._to, purpose, self._read)
        self.skip()
        return code

    def skip(self) -> None:
        """Count everything so far as read."""
        self._read |= {m["id"] for m in self._server.messages(self._to)}

    def received(self, purpose: str) -> int:
        """How many messages of a purpose there have ever been."""
        return sum(m["purpose"] == purpose for m in self._server.messages(self._to))


def wrong(code: str) -> str:
    """Another code, of the same length."""
    return code[:-1] + str((int(code[-1]) + 1) % 10)


# Accounts. ------------------------------------------------------------------------------------------


def code_user(server: Server, address: str) -> None:
    """An account that signs in by e-mail code."""
    sign_up_by_code(server, address)


def code_user_with_phone(server: Server, address: str, number: str) -> None:
    """The same, with a number registered as second factor."""
    sign_up_by_code(server, address)
    asked = first_factor_by_code(server, address, server.scope)
    assert asked.error[1] == "registration_required", asked.body
    register_phone(server, asked.token, number)


def password_user(server: Server, address: str, password: str = PASSWORD) -> Reply:
    """An account that signs in by password; the answer of the last `continue`."""
    client = server.password_app
    begun = server.post(
        "/signup/v1.0/start",
        client_id=client,
        username=address,
        challenge_type="oob password redirect",
        capabilities=BOTH,
        password=password,
        attributes='{"displayName": "Ada"}',
    ).ok()
    sent = server.post("/signup/v1.0/challenge", client_id=client, continuation_token=begun.token).ok()
    return server.post(
        "/signup/v1.0/continue",
        client_id=client,
        continuation_token=sent.token,
        grant_type="oob",
        oob=server.code(address, "sign_up"),
    ).ok()


# Tokens. --------------------------------------------------------------------------------------------


def clock(server: Server) -> datetime:
    """The server's time."""
    answer = server.http.get(f"{server.base}/dev/clock")
    return datetime.fromisoformat(answer.json()["now"])


def verified(server: Server, token: str, audience: str) -> dict[str, Any]:
    """
    The claims of a token, once its signature, issuer, audience and times are right.

    Everything that it is held against is what the server publishes; the time is the server's own.
    """
    published = server.http.get(f"{server.base}/dev/v2.0/.well-known/openid-configuration").json()
    keys = KeySet.import_key_set(server.http.get(published["jwks_uri"]).json())
    decoded = jwt.decode(token, keys, algorithms=["RS256"])
    jwt.JWTClaimsRegistry(
        now=int(clock(server).timestamp()),
        iss={"essential": True, "value": published["issuer"]},
        aud={"essential": True, "value": audience},
        exp={"essential": True},
        iat={"essential": True},
    ).validate(decoded.claims)
    return dict(decoded.claims)
