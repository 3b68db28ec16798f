"""The demo API: a resource server that believes a token only as a stranger would, and says what would help."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from genkan.console.demo_api import PATH, DemoApi
from genkan.exchange import Request, Response
from genkan.service import demo
from genkan.tokens import jwt
from genkan.tokens.keys import KeyRing, SigningKey
from tests.server import (
    Server,
    first_factor_by_code,
    new_address,
    new_number,
    register_phone,
    running,
    sign_up_by_code,
)

AUTHORITY = "http://localhost:8400/dev"
ISSUER = "http://localhost:8400/tenant/v2.0"
NOW = datetime(2026, 3, 4, 9, 12, 45, tzinfo=UTC)
MOMENT = int(NOW.timestamp())
GOOD: dict[str, Any] = {
    "iss": ISSUER,
    "aud": demo.API,
    "sub": "ada",
    "iat": MOMENT,
    "nbf": MOMENT,
    "exp": MOMENT + 3600,
    "auth_time": MOMENT,
    "scp": "Things.Read",
}


def a_key(moment: datetime = NOW) -> SigningKey:
    return SigningKey.generate("ES256", created_at=moment, activates_at=moment)


def encoded(text: str) -> str:
    """A part of a token."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


class Published:
    """What the authorization server publishes, and how often it was asked."""

    def __init__(self) -> None:
        self.key = a_key()
        self.now = NOW
        self.asked = 0
        self.up = True
        self.api = DemoApi(AUTHORITY, demo.API, self.fetch, lambda: self.now)
        self.table = {method: serve for method, _, serve in self.api.routes()}

    async def fetch(self, url: str) -> bytes:
        self.asked += 1
        if not self.up:
            raise OSError("nobody listens")
        if url == f"{AUTHORITY}/v2.0/.well-known/openid-configuration":
            return msgspec.json.encode({"issuer": ISSUER, "jwks_uri": "http://localhost:8400/keys"})
        assert url == "http://localhost:8400/keys"
        return msgspec.json.encode(KeyRing((self.key,)).jwks(self.now))

    def token(self, typ: Any = "at+jwt", key: SigningKey | None = None, **claims: Any) -> str:
        """A token as the server signs it, with these claims changed; None takes one away."""
        said = {name: value for name, value in (GOOD | claims).items() if value is not None}
        return jwt.sign(said, key or self.key, typ)

    async def ask(self, token: str | None, method: str = "GET", query: str = "", **headers: str) -> Response:
        """An answer to a call with this access token."""
        sent = {"authorization": f"Bearer {token}", **headers} if token is not None else headers
        return await self.table[method](Request(method=method, path=PATH, query=query, headers=sent))


@pytest.fixture
def published() -> Published:
    return Published()


def challenges(answer: Response) -> dict[str, dict[str, str]]:
    """By its error, the parameters of each challenge."""
    found = [
        dict(re.findall(r'(\w+)="([^"]*)"', text))
        for name, text in answer.headers
        if name == "www-authenticate"
    ]
    return {one.get("error", ""): one for one in found}


# Whom it lets in. -----------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_the_owner_of_a_good_token_sees_what_they_own(published: Published) -> None:
    answer = await published.ask(published.token())

    assert answer.status == 200
    assert [thing["name"] for thing in msgspec.json.decode(answer.body)["things"]] == [
        "a teapot",
        "a lantern",
        "an umbrella",
    ]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "http://localhost:8400/other/v2.0"},
        {"iss": None},
        {"aud": demo.OTP_APP},
        {"aud": None},
        {"exp": MOMENT - 61},
        {"exp": None},
        {"exp": "never"},
        {"nbf": MOMENT + 120},
        {"iat": MOMENT + 120},
        {"sub": None},
        {"auth_time": None},
    ],
    ids=str,
)
async def test_a_token_of_another_issuer_audience_or_time_opens_nothing(
    published: Published, changed: dict[str, Any]
) -> None:
    answer = await published.ask(published.token(**changed))

    assert answer.status == 401
    assert set(challenges(answer)) == {"invalid_token"}


@pytest.mark.anyio
async def test_what_was_not_signed_by_a_published_key_as_an_access_token_opens_nothing(
    published: Published,
) -> None:
    good = published.token()
    header, payload, signature = good.split(".")
    none = encoded('{"alg":"none","typ":"at+jwt"}')
    changed = encoded(json.dumps(GOOD | {"sub": "bo"}))
    bad = [
        published.token(typ="JWT"),
        published.token(key=a_key()),
        f"{header}.{changed}.{signature}",
        f"{header}.{payload}.",
        f"{none}.{payload}.",
        "nonsense",
        "a.b.c",
        "....",
        "é.è.ê",
        '{"alg":"ES256"}',
        "W10.W10.W10",
        f"{encoded('[' * 20_000)}.{payload}.{signature}",
        *(
            f"{encoded(json.dumps(headers))}.{payload}.{signature}"
            for headers in (
                {"alg": "HS256", "typ": "at+jwt", "kid": published.key.kid},
                {"alg": "ES256", "typ": "at+jwt"},
                {"alg": "ES256", "typ": "at+jwt", "kid": [published.key.kid]},
                {"alg": "RS256", "typ": "at+jwt", "kid": published.key.kid},
                {"alg": ["ES256"], "typ": "at+jwt", "kid": published.key.kid},
                {"alg": "ES256", "typ": "at+jwt", "kid": published.key.kid, "crit": ["exp"]},
                {"alg": "ES256", "typ": "at+jwt", "kid": published.key.kid, "b64": False, "crit": ["b64"]},
            )
        ),
    ]

    for token in bad:
        answer = await published.ask(token)
        assert (answer.status, set(challenges(answer))) == (401, {"invalid_token"}), token[:200]
    assert (await published.ask(good)).status == 200


@pytest.mark.anyio
async def test_who_sends_no_token_is_only_told_to_send_one(published: Published) -> None:
    for headers in ({}, {"authorization": "Basic YWRhOmFkYQ=="}, {"authorization": "Bearer "}):
        answer = await published.ask(None, **headers)
        assert (answer.status, challenges(answer)) == (401, {"": {}})
    assert published.asked == 0


@pytest.mark.anyio
async def test_a_token_without_the_scope_is_told_which_one_is_missing(published: Published) -> None:
    for scopes in (None, "", "Things.Write", "things.read"):
        answer = await published.ask(published.token(scp=scopes))
        assert answer.status == 403
        assert challenges(answer)["insufficient_scope"]["scope"] == "Things.Read"


# The keys. ------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_the_keys_are_kept_and_read_again_when_a_token_names_a_newer_one(published: Published) -> None:
    for _ in range(3):
        assert (await published.ask(published.token())).status == 200
    assert published.asked == 2

    published.key = a_key()
    assert (await published.ask(published.token())).status == 401, "not twice within a second"
    assert published.asked == 2
    published.now += timedelta(seconds=1)
    assert (await published.ask(published.token())).status == 200
    assert published.asked == 4


@pytest.mark.anyio
async def test_while_the_keys_cannot_be_read_the_caller_is_asked_to_come_back(published: Published) -> None:
    published.up = False
    assert (await published.ask(published.token())).status == 503
    published.up = True
    assert (await published.ask(published.token())).status == 200


# Giving away. ---------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_giving_away_wants_the_context_and_a_recent_sign_in(published: Published) -> None:
    for short in ({}, {"acrs": ["c2"]}, {"acrs": "c1"}, {"acrs": ["c1"], "auth_time": MOMENT - 361}):
        answer = await published.ask(published.token(**short), "DELETE", "id=1")
        assert answer.status == 401, short
        assert challenges(answer) == {
            "insufficient_user_authentication": {
                "error": "insufficient_user_authentication",
                "error_description": "Giving something away needs a recent, stronger sign-in",
                "acr_values": "urn:genkan:acr:mfa",
                "max_age": "300",
            }
        }

    answer = await published.ask(published.token(acrs=["c1"], auth_time=MOMENT - 300), "DELETE", "id=1")

    assert answer.status == 200
    assert msgspec.json.decode(answer.body)["given_away"] == "a teapot"
    left = msgspec.json.decode((await published.ask(published.token())).body)["things"]
    assert [thing["id"] for thing in left] == ["2", "3"]
    others = msgspec.json.decode((await published.ask(published.token(sub="bo"))).body)["things"]
    assert len(others) == 3, "what is somebody else's stays theirs"
    assert (await published.ask(published.token(acrs=["c1"]), "DELETE", "id=1")).status == 404


@pytest.mark.anyio
async def test_an_app_that_understands_claims_challenges_gets_one(published: Published) -> None:
    answer = await published.ask(published.token(xms_cc=["CP1"]), "DELETE", "id=1")

    asked = challenges(answer)["insufficient_claims"]
    assert json.loads(base64.b64decode(asked["claims"])) == {
        "access_token": {"acrs": {"essential": True, "value": "c1"}}
    }
    assert asked["client_id"] == demo.API


@pytest.mark.anyio
async def test_a_page_of_this_machine_may_call_it_and_no_other(published: Published) -> None:
    here, there = "http://localhost:5173", "https://attacker.example"

    asked = await published.ask(None, "OPTIONS", origin=here)
    answer = await published.ask(published.token(), origin=here)
    refused = await published.ask("nonsense", origin=here)

    assert ("access-control-allow-headers", "authorization") in asked.headers
    for one in (asked, answer, refused):
        assert ("access-control-allow-origin", here) in one.headers
    assert ("access-control-expose-headers", "www-authenticate") in refused.headers
    assert (await published.ask(published.token(), origin=there)).status == 403
    assert (await published.ask(None, "OPTIONS", origin=there)).status == 403


# Over the wire. -------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[(), ("--tls",)], ids=["http", "https"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("api") / "data", *request.param) as started:
        yield started


@pytest.mark.filterwarnings("ignore:`verify=<str>` is deprecated:DeprecationWarning")
def test_tokens_of_the_running_server_are_believed_until_they_end(server: Server) -> None:
    address, number = new_address(), new_number()
    sign_up_by_code(server, address)
    asked = first_factor_by_code(server, address, server.scope)
    verified = register_phone(server, asked.token, number)
    tokens = server.post(
        "/oauth2/v2.0/token",
        client_id=server.otp_app,
        continuation_token=verified.token,
        grant_type="continuation_token",
        scope=server.scope,
    ).ok()
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    url = server.base + PATH

    assert len(server.http.get(url, headers=headers).json()["things"]) == 3
    assert server.http.delete(f"{url}?id=1", headers=headers).status_code == 401
    assert server.http.get(url, headers={"authorization": f"Bearer {tokens['id_token']}"}).status_code == 401
    server.advance(3600 + 61 + 600)
    assert server.http.get(url, headers=headers).status_code == 401
