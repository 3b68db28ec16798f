"""
A small API that lets anybody with its scope look, and asks for more before it destroys something.

It knows nothing of factors and policies. It looks for an authentication context in the access token, and where that is
missing it says so in two ways: as the claims challenge that MSAL understands, and as RFC 9470 has it. The app signs
the person in again with what the challenge says; which factor that takes is for the authorization server's policies.

    python samples/step_up_api/api.py --authority http://localhost:8400/dev

Needs PyJWT and cryptography. Source: RFC 6750 section 3, RFC 9068 section 4, RFC 9470 section 3.
"""

from __future__ import annotations

import argparse
import base64
import json
import time
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import jwt

SCOPE = "Things.Read"
CONTEXT = "c1"
"""The authentication context that deleting asks for. An administrator gives it a policy."""
STRONG = "urn:genkan:acr:mfa"
FRESH_SECONDS = 300
"""How long ago the person may have proven who they are, for deleting."""
SKEW_SECONDS = 60
"""How far two clocks may be apart (RFC 9068 says nothing; a minute is usual)."""

Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class Refused(Exception):
    """No: a status, and the challenges that say what would help."""

    status: str
    challenges: tuple[str, ...]


class Api:
    """The API as a WSGI application (PEP 3333)."""

    def __init__(self, authority: str, audience: str) -> None:
        with urllib.request.urlopen(
            f"{authority}/v2.0/.well-known/openid-configuration", timeout=5
        ) as answer:
            discovered = json.load(answer)
        self._issuer = discovered["issuer"]
        self._authorize = discovered["authorization_endpoint"]
        self._audience = audience
        self._keys = jwt.PyJWKClient(discovered["jwks_uri"])
        self.things = {"1": "a teapot", "2": "a lantern"}

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[[str, Headers], object]
    ) -> Iterable[bytes]:
        headers: Headers = [("content-type", "application/json")]
        try:
            status, body = self._answer(environ)
        except Refused as refused:
            status, body = refused.status, {"error": "not allowed; see WWW-Authenticate"}
            headers += [("WWW-Authenticate", challenge) for challenge in refused.challenges]
        start_response(status, headers)
        return [json.dumps(body).encode()]

    def _answer(self, environ: dict[str, Any]) -> tuple[str, object]:
        token = self._token(environ.get("HTTP_AUTHORIZATION", ""))
        if SCOPE not in token.get("scp", "").split():
            raise Refused("403 Forbidden", (f'Bearer error="insufficient_scope", scope="{SCOPE}"',))
        match (environ["REQUEST_METHOD"], environ["PATH_INFO"].strip("/").split("/")):
            case ("GET", ["things"]):
                return "200 OK", self.things
            case ("DELETE", ["things", id]):
                self._step_up(token)
                return "200 OK", {"deleted": self.things.pop(id, None)}
        return "404 Not Found", {"error": "no such thing"}

    def _token(self, authorization: str) -> dict[str, Any]:
        """The claims of a token that is genuine, for this API, and not over."""
        scheme, _, text = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Refused("401 Unauthorized", ("Bearer",))
        try:
            if jwt.get_unverified_header(text).get("typ", "").lower() != "at+jwt":
                raise jwt.InvalidTokenError("an ID token is no access token")
            key = self._keys.get_signing_key_from_jwt(text)
            claims: dict[str, Any] = jwt.decode(
                text,
                key,
                algorithms=["RS256", "ES256"],
                audience=self._audience,
                issuer=self._issuer,
                leeway=SKEW_SECONDS,
                options={"require": ["exp", "iat", "sub", "auth_time"]},
            )
        except jwt.PyJWTError:
            raise Refused("401 Unauthorized", ('Bearer error="invalid_token"',)) from None
        return claims

    def _step_up(self, token: dict[str, Any]) -> None:
        """Let only those through who have met the context, and not long ago."""
        age = time.time() - token["auth_time"]
        if CONTEXT in token.get("acrs", []) and age <= FRESH_SECONDS + SKEW_SECONDS:
            return
        raise Refused("401 Unauthorized", tuple(self._challenges(token)))

    def _challenges(self, token: dict[str, Any]) -> Iterable[str]:
        """What would help, in the words of RFC 9470; and in MSAL's, for apps that say they understand them."""
        yield (
            'Bearer error="insufficient_user_authentication", '
            'error_description="Deleting needs a second factor", '
            f'acr_values="{STRONG}", max_age="{FRESH_SECONDS}"'
        )
        if "cp1" in (word.lower() for word in token.get("xms_cc", [])):
            asked = {"access_token": {"acrs": {"essential": True, "value": CONTEXT}}}
            claims = base64.b64encode(json.dumps(asked, separators=(",", ":")).encode()).decode()
            yield (
                f'Bearer realm="", authorization_uri="{self._authorize}", client_id="{self._audience}", '
                f'error="insufficient_claims", claims="{claims}", cc_type="authcontext"'
            )


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """An access log would show nothing that the authorization server's does not."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--authority", default="http://localhost:8400/dev", help="Where Genkan is.")
    parser.add_argument(
        "--audience", default="aaaaaaaa-0000-4000-8000-0000000000b1", help="The API's app id."
    )
    parser.add_argument("--port", type=int, default=8500, help="0 picks a free one.")
    given = parser.parse_args()
    api = Api(given.authority, given.audience)
    with make_server("127.0.0.1", given.port, api, handler_class=Quiet) as server:
        print(f"The API listens on http://127.0.0.1:{server.server_port}/things", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
