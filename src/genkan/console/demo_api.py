"""
The demo API that the apps of development mode call: whoever has its scope sees what they own, and may give it away.

A resource server as anybody would write one. Of the authorization server it knows the authority and its own app id:
it discovers the rest over HTTP, verifies tokens by the published keys and the library that others use, and has never
heard of a policy. Giving something away needs an authentication context and a recent sign-in; where the token falls
short, the answer says what would help, in the words of RFC 9470 and, to apps that understand it, of MSAL's claims
challenge. Pages of other `localhost` origins may call it.
Source: RFC 6750 section 3, RFC 9068 section 4, RFC 9470 section 3; conditional-access 7.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from genkan.console.asking import Route, Serve, guarded, query
from genkan.exchange import Request, Response, json_response

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

PATH: Final = "/dev/demo-api/things"
SCOPE: Final = "Things.Read"
CONTEXT: Final = "c1"
"""What giving away asks for. Which factors that takes is for the tenant's policies."""
STRONG: Final = "urn:genkan:acr:mfa"
FRESH: Final = timedelta(minutes=5)
"""So long ago, at most, the person may have proven who they are, to give something away."""
SKEW: Final = timedelta(seconds=60)
"""How far two clocks may be apart."""
LONGEST: Final = 64 * 1024
"""Bytes of a document that is fetched."""
KEYS_LAST: Final = timedelta(minutes=5)
MOST_OWNERS: Final = 10_000
THINGS: Final = {"1": "a teapot", "2": "a lantern", "3": "an umbrella"}
"""What everybody owns at first."""

Fetch = Callable[[str], Awaitable[bytes]]
"""GET a URL; the body. Raises whatever kept it from being one."""


class Refused(Exception):
    """No: a status, a word, a sentence, and the challenges that say what would help."""

    def __init__(self, status: int, error: str, description: str, *challenges: str) -> None:
        super().__init__(description)
        self.status, self.error, self.description, self.challenges = status, error, description, challenges


class Discovered(Struct, frozen=True):
    """What the API reads of the discovery document."""

    issuer: str
    jwks_uri: str
    authorization_endpoint: str = ""


class DemoApi:
    """The API, and whose things are whose."""

    def __init__(self, authority: str, audience: str, fetch: Fetch, now: Callable[[], datetime]) -> None:
        self._authority = authority
        self._audience = audience
        self._fetch = fetch
        self._now = now
        self._published: tuple[Discovered, KeySet, datetime] | None = None
        self._given: dict[str, frozenset[str]] = {}
        """Subject → what they gave away."""

    def routes(self) -> list[Route]:
        """Method, exact path, function."""
        return [
            ("GET", PATH, self._behind(self._list)),
            ("DELETE", PATH, self._behind(self._give_away)),
            ("OPTIONS", PATH, guarded(preflight)),
        ]

    def forget(self) -> None:
        """Everybody owns everything again."""
        self._given.clear()

    def _behind(self, serve: Callable[[dict[str, Any], Request], Awaitable[Response]]) -> Serve:
        """The function, behind the check of the access token."""

        async def answer(request: Request) -> Response:
            try:
                token = await self._token(request.headers.get("authorization", ""))
                if SCOPE not in str(token.get("scp", "")).split():
                    raise Refused(
                        403,
                        "insufficient_scope",
                        f"The access token lacks the scope {SCOPE}. Ask for tokens with it.",
                        f'Bearer error="insufficient_scope", scope="{SCOPE}"',
                    )
                response = await serve(token, request)
            except Refused as no:
                told = {"error": no.error, "error_description": no.description}
                response = json_response(
                    told, no.status, *(("www-authenticate", challenge) for challenge in no.challenges)
                )
            return msgspec.structs.replace(
                response, headers=(*response.headers, *_for_pages(request.headers))
            )

        return guarded(answer)

    # What it does.

    async def _list(self, token: dict[str, Any], request: Request) -> Response:
        """`{"things": [{"id", "name"}]}`: what the person owns."""
        query(request)
        return json_response({"things": self._things(token["sub"])})

    async def _give_away(self, token: dict[str, Any], request: Request) -> Response:
        """One thing, `?id=`, is owned no more; answers `{"given_away", "things"}`."""
        id = query(request, "id").get("id", "")
        self._step_up(token)
        owner = token["sub"]
        if id not in {thing["id"] for thing in self._things(owner)}:
            raise Refused(404, "not_found", "You own no such thing. GET lists what you own.")
        if len(self._given) >= MOST_OWNERS:
            self._given.clear()
        self._given[owner] = self._given.get(owner, frozenset()) | {id}
        return json_response({"given_away": THINGS[id], "things": self._things(owner)})

    def _things(self, owner: str) -> list[dict[str, str]]:
        given = self._given.get(owner, frozenset())
        return [{"id": id, "name": name} for id, name in THINGS.items() if id not in given]

    # Whom it lets in.

    async def _token(self, authorization: str) -> dict[str, Any]:
        """
        The claims of a token that is genuine, for this API, and good now.

        Raises: `Refused`, without saying which of these it is not (RFC 6750 section 3.1).
        """
        from joserfc import jwt
        from joserfc.errors import JoseError

        scheme, _, text = authorization.partition(" ")
        if scheme.lower() != "bearer" or not text.strip():
            raise Refused(401, "unauthorized", "Send an access token: `Authorization: Bearer …`.", "Bearer")
        bounds: Any = {name: {"essential": True} for name in ("exp", "iat", "sub", "auth_time")}
        try:
            published, keys = await self._keys(text)
            bounds |= {
                "iss": {"essential": True, "value": published.issuer},
                "aud": {"essential": True, "value": self._audience},
            }
            token = jwt.decode(text.strip(), keys, algorithms=["RS256", "ES256"])
            if str(token.header.get("typ", "")).lower() != "at+jwt":
                raise ValueError("an ID token is no access token")
            registry = jwt.JWTClaimsRegistry(
                int(self._now().timestamp()), int(SKEW.total_seconds()), **bounds
            )
            registry.validate(token.claims)
        except (JoseError, ValueError):
            raise Refused(
                401,
                "invalid_token",
                "The access token is not good here, or not any more. Ask for a new one, for this API.",
                'Bearer error="invalid_token"',
            ) from None
        return dict(token.claims)

    async def _keys(self, text: str) -> tuple[Discovered, KeySet]:
        """
        The published keys; read again when they are old, or when a token names a newer one.

        Raises: `JoseError` or `ValueError` for a token that is none, `Refused` while nobody publishes keys.
        """
        from joserfc import jws
        from joserfc.jwk import KeySet

        now = self._now()
        if self._published is not None:
            published, keys, read_at = self._published
            kid = jws.extract_compact(text.strip().encode()).headers().get("kid")
            known = any(key.kid == kid for key in keys.keys)
            if now - read_at < (KEYS_LAST if known else timedelta(seconds=1)):
                return published, keys
        try:
            document = await self._fetch(f"{self._authority}/v2.0/.well-known/openid-configuration")
            published = msgspec.json.decode(document, type=Discovered)
            keys = KeySet.import_key_set(msgspec.json.decode(await self._fetch(published.jwks_uri)))
        except Exception:  # noqa: BLE001 - whatever kept the keys from being read: the caller may try again
            raise Refused(503, "temporarily_unavailable", "The keys cannot be read. Try again.") from None
        self._published = published, keys, now
        return published, keys

    def _step_up(self, token: dict[str, Any]) -> None:
        """Let only those through who have met the context, and not long ago."""
        acrs, moment = token.get("acrs"), token["auth_time"]
        age = self._now().timestamp() - moment if isinstance(moment, int) else float("inf")
        met = isinstance(acrs, list) and CONTEXT in acrs
        if met and age <= (FRESH + SKEW).total_seconds():
            return
        wanted = (
            f"a sign-in no older than {int(FRESH.total_seconds() / 60)} minutes"
            if met
            else f"the authentication context {CONTEXT}"
        )
        raise Refused(
            401,
            "insufficient_user_authentication",
            f"To give something away this API wants {wanted}. Sign in again with the claims of the challenge.",
            *self._challenges(token),
        )

    def _challenges(self, token: dict[str, Any]) -> Iterator[str]:
        """What would help, in the words of RFC 9470; and in MSAL's, for apps that say they understand them."""
        yield (
            'Bearer error="insufficient_user_authentication", '
            'error_description="Giving something away needs a recent, stronger sign-in", '
            f'acr_values="{STRONG}", max_age="{int(FRESH.total_seconds())}"'
        )
        able = token.get("xms_cc")
        if isinstance(able, list) and "cp1" in (str(word).lower() for word in able):
            asked = {"access_token": {"acrs": {"essential": True, "value": CONTEXT}}}
            claims = base64.b64encode(msgspec.json.encode(asked)).decode()
            at = self._published[0].authorization_endpoint if self._published else ""
            yield (
                f'Bearer realm="", authorization_uri="{at}", client_id="{self._audience}", '
                f'error="insufficient_claims", claims="{claims}", cc_type="authcontext"'
            )


async def preflight(request: Request) -> Response:
    """A browser's question before the call of a page of another origin."""
    return Response(
        status=204,
        headers=(
            ("access-control-allow-methods", "GET, DELETE, OPTIONS"),
            ("access-control-allow-headers", "authorization"),
            *_for_pages(request.headers),
        ),
    )


def _for_pages(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """
    What lets a page of another origin read the answer: `guarded` has let through those of this machine alone.

    Nothing is sent along by a browser by itself: what counts is the token.
    """
    vary = (("vary", "Origin"),)
    if "origin" not in headers:
        return vary
    return (
        *vary,
        ("access-control-allow-origin", headers["origin"]),
        ("access-control-expose-headers", "www-authenticate"),
    )
