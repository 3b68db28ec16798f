"""
What the token endpoint gives out, as an app and an API see it.

Source: native-auth-v1 4.1, 9.1 to 9.4; rows 182 to 189; D14, D15, D16; TOK-03, TOK-21.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from msgspec.structs import replace

from genkan.model import Client, Kind, OptionalClaim, Resource, UserFlow
from genkan.service import demo
from tests.server import Reply, first_factor_by_code, new_address, new_number, newest, register_phone
from tests.wire import strict
from tests.wire.journeys import (
    OPENID,
    PASSWORD,
    account_by_code,
    account_by_password,
    begun,
    challenged,
    code_sent,
    first_factor_by_password,
    ids,
    proven,
    redeemed,
)
from tests.wire.servers import StrictServer, World
from tests.wire.walks import SignUp

DIRECTORY = "00000002-0000-0000-c000-000000000000"
MEMBERS = {
    "token_type",
    "scope",
    "expires_in",
    "ext_expires_in",
    "access_token",
    "refresh_token",
    "id_token",
    "client_info",
}
"""The eight of section 4.1."""
ORDERS = Resource(
    id="aaaaaaaa-0000-4000-8000-0000000000b2",
    name="Orders",
    uri="https://orders.example.com/v1",
    scopes=("Read", "Write", "Purge"),
)
SHOP = Client(
    id="aaaaaaaa-0000-4000-8000-0000000000e3",
    name="A shop",
    user_flow=UserFlow(first_factor=Kind.EMAIL_OTP),
    scopes=(demo.API_SCOPE, f"{ORDERS.uri}/Read", f"{ORDERS.uri}/Write"),
)
"""An app of another kind than the demo apps: on phones, and with two APIs."""


@pytest.fixture
def shop(world: World) -> Iterator[World]:
    """A tenant with that app and its second API."""
    with world.changed(SHOP, ORDERS):
        yield world


def signed_in(server: StrictServer, address: str = "", app: str = "", scope: str = OPENID) -> Reply:
    """The answer to the right code of a sign-in."""
    address, app = address or account_by_code(server), app or server.otp_app
    seen = ids(server, address)
    sent = challenged(server, app, begun(server, app, address).token)
    return proven(server, app, sent.token, "oob", newest(server, address, "sign_in", seen), scope)


def document(server: StrictServer, path: str = "/v2.0/.well-known/openid-configuration") -> dict[str, Any]:
    answer = server.http.get(f"{server.base}/dev{path}")
    assert answer.status_code == 200
    return dict(answer.json())


def verified(server: StrictServer, token: str, audience: str) -> dict[str, Any]:
    """The claims of a token, checked as an API checks them: with the published keys, by somebody else's library."""
    keys = jwt.PyJWKSet.from_dict(document(server, "/discovery/v2.0/keys"))
    header = jwt.get_unverified_header(token)
    now = datetime.fromisoformat(server.http.get(f"{server.base}/dev/clock").json()["now"])
    claims = jwt.decode(
        token,
        keys[header["kid"]],
        algorithms=[header["alg"]],
        audience=audience,
        issuer=document(server)["issuer"],
        options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
    )
    assert claims["nbf"] <= now.timestamp() < claims["exp"]
    return dict(claims)


# The body. ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["code", "password", "sign-up", "second factor"])
@pytest.mark.proves("V1-182", "V1-183")
def test_the_answer_has_all_eight_members(server: StrictServer, by: str) -> None:
    if by == "code":
        answer = signed_in(server)
    elif by == "password":
        answer = first_factor_by_password(server, account_by_password(server), OPENID)
    elif by == "sign-up":
        walk = SignUp(server, server.otp_app)
        walk.start(new_address()).ok()
        walk.prove(walk.send()).ok()
        answer = walk.redeem()
    else:
        asked = first_factor_by_code(server, account_by_code(server), server.scope)
        answer = redeemed(server, server.otp_app, register_phone(server, asked.token, new_number()).token)

    assert answer.status == 200
    assert answer.body.keys() - {"refresh_token_expires_in"} == MEMBERS
    assert answer["token_type"] == "Bearer"
    assert type(answer["expires_in"]) is int
    assert answer["expires_in"] > 0


@pytest.mark.proves("V1-183")
def test_an_access_token_lives_ten_minutes_and_an_id_token_an_hour(server: StrictServer) -> None:
    answer = signed_in(server).ok()

    access, identity = (strict.jwt(answer[name])[1] for name in ("access_token", "id_token"))
    assert answer["expires_in"] == answer["ext_expires_in"] == 600
    assert access["exp"] - access["iat"] == 600
    assert identity["exp"] - identity["iat"] == 3600


@pytest.mark.parametrize("minutes", [5, 60])
def test_the_life_of_access_tokens_is_a_setting(world: World, minutes: int) -> None:
    with world.changed(access_token_lifetime=timedelta(minutes=minutes)):
        answer = signed_in(world).ok()

    access = strict.jwt(answer["access_token"])[1]
    assert answer["expires_in"] == access["exp"] - access["iat"] == minutes * 60


@pytest.mark.proves("V1-184")
def test_d15_client_info_names_the_account_as_the_id_token_does(server: StrictServer) -> None:
    answer = signed_in(server).ok()

    claims = strict.jwt(answer["id_token"])[1]
    assert strict.decoded(answer["client_info"]) == {"uid": claims["oid"], "utid": claims["tid"]}
    assert claims["tid"] == server.told["tenant_id"]


@pytest.mark.parametrize("asked", [None, "1", "true", "0", "false", ""])
@pytest.mark.proves("V1-184")
def test_d16_client_info_is_given_whatever_was_asked(server: StrictServer, asked: str | None) -> None:
    sent, code = code_sent(server, account_by_code(server))

    more = {} if asked is None else {"client_info": asked}
    answer = proven(server, server.otp_app, sent.token, "oob", code, **more)

    assert answer.ok()["client_info"]


@pytest.mark.proves("V1-184")
def test_client_info_is_the_same_at_every_sign_in_and_in_every_app(server: StrictServer) -> None:
    address = account_by_code(server)

    answers = [
        signed_in(server, address, app) for app in (server.otp_app, server.otp_app, server.password_app)
    ]

    assert len({answer.ok()["client_info"] for answer in answers}) == 1


# The id token. --------------------------------------------------------------------------------------


@pytest.mark.proves("V1-185")
def test_an_id_token_is_what_discovery_says_it_is(server: StrictServer) -> None:
    answer = signed_in(server).ok()

    claims = verified(server, answer["id_token"], server.otp_app)

    header = strict.jwt(answer["id_token"])[0]
    assert header["typ"] == "JWT"
    assert header["alg"] in document(server)["id_token_signing_alg_values_supported"]
    assert claims["iss"] == document(server)["issuer"]
    assert claims["aud"] == server.otp_app
    assert claims["ver"] == "2.0"
    with pytest.raises(jwt.InvalidAudienceError):
        verified(server, answer["id_token"], server.password_app)


@pytest.mark.proves("V1-186")
def test_the_user_name_is_the_address_of_the_account(world: World) -> None:
    address, username = new_address(), f"ada-{new_number()[5:]}"
    world.person(address, password=PASSWORD, username=username)

    with world.changed(usernames=True):
        answers = [
            first_factor_by_password(world, name, OPENID) for name in (address, address.upper(), username)
        ]

    names = [strict.jwt(answer.ok()["id_token"])[1]["preferred_username"] for answer in answers]
    assert names == [address] * 3


@pytest.mark.proves("V1-187")
def test_sub_is_stable_for_one_client_and_differs_between_two(server: StrictServer) -> None:
    address = account_by_code(server)

    answers = [
        signed_in(server, address, app) for app in (server.otp_app, server.otp_app, server.password_app)
    ]

    first, again, elsewhere = (
        {strict.jwt(answer.ok()[name])[1]["sub"] for name in ("id_token", "access_token")}
        for answer in answers
    )
    assert len(first) == len(elsewhere) == 1
    assert first == again != elsewhere


def test_two_people_have_two_subs_and_two_ids(server: StrictServer) -> None:
    claims = [strict.jwt(signed_in(server).ok()["id_token"])[1] for _ in range(2)]

    assert claims[0]["sub"] != claims[1]["sub"]
    assert claims[0]["oid"] != claims[1]["oid"]


def test_a_name_is_told_and_whoever_has_none_is_unknown(server: StrictServer) -> None:
    named = first_factor_by_password(server, account_by_password(server), OPENID).ok()
    nameless = signed_in(server).ok()

    assert strict.jwt(named["id_token"])[1]["name"] == "Ada"
    assert strict.jwt(nameless["id_token"])[1]["name"] == "unknown"


def test_the_address_is_told_as_email_when_it_was_asked_for(server: StrictServer) -> None:
    address = account_by_code(server)

    asked = strict.jwt(signed_in(server, address, scope=f"{OPENID} email").ok()["id_token"])[1]
    unasked = strict.jwt(signed_in(server, address).ok()["id_token"])[1]

    assert asked["email"] == address
    assert "email" not in unasked


# The access token. ----------------------------------------------------------------------------------


def test_an_access_token_is_for_one_api_and_names_nobody(server: StrictServer) -> None:
    asked = first_factor_by_code(server, account_by_code(server), server.scope)
    tokens = redeemed(server, server.otp_app, register_phone(server, asked.token, new_number()).token).ok()

    claims = verified(server, tokens["access_token"], server.told["api"]["client_id"])

    assert strict.jwt(tokens["access_token"])[0]["typ"] == "at+jwt"
    assert claims["scp"] == "Things.Read"
    assert claims["azp"] == claims["client_id"] == server.otp_app
    assert claims["azpacr"] == "0"
    assert claims["amr"] == ["otp", "sms", "mfa"]
    assert not {"preferred_username", "name", "email"} & claims.keys()


def test_without_an_api_the_audience_is_the_directory(server: StrictServer) -> None:
    claims = verified(server, signed_in(server).ok()["access_token"], DIRECTORY)

    assert claims["scp"] == OPENID


# Scopes. --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["", "openid", "offline_access", "profile openid", "email", "  openid "])
@pytest.mark.proves("V1-188")
def test_the_scope_always_has_what_msal_looks_for(server: StrictServer, scope: str) -> None:
    answer = signed_in(server, scope=scope)

    assert {"openid", "profile", "offline_access"} <= set(answer.ok()["scope"].split(" "))


@pytest.mark.proves("V1-189")
def test_d14_an_app_that_asks_for_its_own_scope_alone_gets_everything(shop: World) -> None:
    answer = signed_in(shop, app=SHOP.id, scope=f"{ORDERS.uri}/Read")

    assert answer.ok().body.keys() == MEMBERS
    assert set(answer["scope"].split()) == {*OPENID.split(), f"{ORDERS.uri}/Read"}
    assert verified(shop, answer["access_token"], ORDERS.id)["scp"] == "Read"
    assert verified(shop, answer["id_token"], SHOP.id)


def test_all_scopes_of_an_api_can_be_asked_for_at_once(shop: World) -> None:
    answer = signed_in(shop, app=SHOP.id, scope=f"openid {ORDERS.uri}/.default")

    assert {f"{ORDERS.uri}/{name}" for name in ("Read", "Write")} < set(answer["scope"].split())
    assert verified(shop, answer.ok()["access_token"], ORDERS.id)["scp"] == "Read Write", "not Purge"


@pytest.mark.parametrize("scope", [f"{ORDERS.uri}/.default", f"{ORDERS.id}/Read", f"{ORDERS.uri}/Write"])
def test_the_scope_has_each_word_that_was_asked_for_since_msal_looks_for_it(shop: World, scope: str) -> None:
    answer = signed_in(shop, app=SHOP.id, scope=scope).ok()
    form = {"client_id": SHOP.id, "grant_type": "refresh_token", "refresh_token": answer["refresh_token"]}

    again = shop.post_form(strict.TOKEN, form)

    assert scope in answer["scope"].split()
    assert again.ok()["scope"] == answer["scope"]


@pytest.mark.parametrize("written", [ORDERS.id, ORDERS.id.upper()])
def test_an_api_may_be_named_by_its_id(shop: World, written: str) -> None:
    answer = signed_in(shop, app=SHOP.id, scope=f"{written}/Write")

    assert verified(shop, answer.ok()["access_token"], ORDERS.id)["scp"] == "Write"


REFUSED_SCOPES = {
    "two APIs": f"{demo.API_SCOPE} {ORDERS.uri}/Read",
    "two APIs by .default": f"{demo.API_URI}/.default {ORDERS.uri}/.default",
    "not open to the app": f"{ORDERS.uri}/Purge",
    "of no API": "Things.Read",
    "of an unknown API": "api://unknown/Read",
}


@pytest.mark.parametrize("scope", REFUSED_SCOPES.values(), ids=REFUSED_SCOPES)
@pytest.mark.proves("TOK-03", "V1-087")
def test_a_scope_that_cannot_be_granted_is_refused_and_nothing_is_lost(shop: World, scope: str) -> None:
    address = account_by_code(shop)
    sent = challenged(shop, SHOP.id, begun(shop, SHOP.id, address).token)
    code = shop.code(address, "sign_in")

    answer = proven(shop, SHOP.id, sent.token, "oob", code, scope)

    assert answer.error == ("invalid_scope", "", 70011)
    assert proven(shop, SHOP.id, sent.token, "oob", code, OPENID).status == 200


# What an app id is worth. ----------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", strict.ENDPOINTS)
@pytest.mark.proves("TOK-17")
def test_nothing_is_granted_for_knowing_an_app(server: StrictServer, endpoint: str) -> None:
    address = account_by_password(server)
    everything = {
        "username": address,
        "scope": server.scope,
        "challenge_type": "oob password redirect",
        "attributes": "{}",
        "oob": "12345678",
        "password": "loud badger at dawn",
        "new_password": "quiet otter by noon",
        "challenge_target": address,
        "continuation_token": "gk1." + "A" * 64,
        "refresh_token": "gkr1." + "A" * 64,
    }

    answers = [
        server.post_form(endpoint, {"client_id": app, "grant_type": grant, **everything})
        for app in (server.otp_app, server.password_app)
        for grant in ("password", "oob", "mfa_oob", "continuation_token", "refresh_token", "attributes")
    ]

    assert not any({"access_token", "id_token", "refresh_token"} & answer.body.keys() for answer in answers)
    starts = (strict.INITIATE, strict.SIGNUP_START, strict.RESET_START)
    assert endpoint in starts or {answer.status for answer in answers} == {400}
    assert first_factor_by_password(server, address, OPENID).status == 200


# Optional claims. -----------------------------------------------------------------------------------

OPTIONAL: tuple[OptionalClaim, ...] = ("acrs", "email", "groups", "xms_cc")
CLAIMS = json.dumps({"access_token": {"xms_cc": {"values": ["cp1"]}}})
READ_ORDERS = f"{ORDERS.uri}/Read"


def both(answer: Reply) -> list[dict[str, Any]]:
    """What the access token and the id token say beside the usual."""
    tokens = (strict.jwt(answer.ok()[name])[1] for name in ("access_token", "id_token"))
    return [{name: claims[name] for name in OPTIONAL if name in claims} for claims in tokens]


def member(world: World, address: str, *groups: str) -> None:
    """Put somebody into groups."""
    subject = world.subject(address)
    for group in groups:
        world.run(world.store.add_members(group, (subject.id,)))


@pytest.mark.parametrize("opted", [("api",), ("app",), ("api", "app"), ()])
def test_an_app_chooses_what_its_id_tokens_say_and_an_api_what_the_access_tokens_for_it_do(
    shop: World, opted: tuple[str, ...]
) -> None:
    groups = [str(uuid4()), str(uuid4())]
    address = account_by_code(shop)
    member(shop, address, *groups)
    app = replace(SHOP, optional_claims=OPTIONAL if "app" in opted else ())
    api = replace(ORDERS, optional_claims=OPTIONAL if "api" in opted else ())
    everything = {"email": address, "groups": sorted(groups), "xms_cc": ["cp1"]}

    with shop.changed(app, api):
        sent = challenged(shop, app.id, begun(shop, app.id, address).token)
        code = newest(shop, address, "sign_in", set())
        answer = proven(shop, app.id, sent.token, "oob", code, READ_ORDERS, claims=CLAIMS)
        form = {"client_id": app.id, "grant_type": "refresh_token", "refresh_token": answer["refresh_token"]}
        again = shop.post_form(strict.TOKEN, form)

    wanted = [everything if "api" in opted else {}, everything if "app" in opted else {}]
    assert both(answer) == wanted
    assert both(again) == wanted, "a refresh without claims is for what was asked for at first"


def test_who_left_a_group_is_not_said_to_be_in_it_after_the_next_refresh(shop: World) -> None:
    address, group = account_by_code(shop), str(uuid4())
    member(shop, address, group)
    subject = shop.subject(address)

    with shop.changed(replace(ORDERS, optional_claims=("groups",))):
        before = signed_in(shop, address, SHOP.id, READ_ORDERS).ok()
        shop.run(shop.store.remove_members(group, (subject.id,)))
        form = {"client_id": SHOP.id, "grant_type": "refresh_token", "refresh_token": before["refresh_token"]}
        after = shop.post_form(strict.TOKEN, form)

    assert [both(before)[0], both(after)[0]] == [{"groups": [group]}, {}]


def test_contexts_asked_for_in_the_id_token_stand_there_too(shop: World) -> None:
    address = account_by_code(shop)
    claims = {"access_token": {"acrs": {"value": "c1"}}, "id_token": {"acrs": {"value": "c2"}}}
    sent = challenged(shop, SHOP.id, begun(shop, SHOP.id, address).token)
    code = newest(shop, address, "sign_in", set())

    answer = proven(shop, SHOP.id, sent.token, "oob", code, READ_ORDERS, claims=json.dumps(claims))

    assert both(answer) == [{"acrs": ["c1", "c2"]}, {"acrs": ["c2"]}]


# Algorithms, transport. -----------------------------------------------------------------------------


def test_an_app_may_have_its_tokens_signed_by_es256(world: World) -> None:
    app = replace(SHOP, signing_algorithm="ES256", scopes=(demo.API_SCOPE,))

    with world.changed(app):
        tokens = signed_in(world, app=app.id).ok()
        others = signed_in(world).ok()
        supported = document(world)["id_token_signing_alg_values_supported"]
        claims = verified(world, tokens["id_token"], app.id)
        verified(world, tokens["access_token"], DIRECTORY)

    headers = [strict.jwt(tokens[name])[0]["alg"] for name in ("id_token", "access_token")]
    assert headers == ["ES256", "ES256"]
    assert strict.jwt(others["id_token"])[0]["alg"] == "RS256"
    assert supported == ["RS256", "ES256"]
    assert claims["aud"] == app.id


@pytest.mark.proves("TOK-21")
def test_tokens_are_not_kept_by_caches_and_never_stand_in_urls(server: StrictServer) -> None:
    answer = signed_in(server).ok()
    token = answer["refresh_token"]

    url = f"{server.base}/dev{strict.TOKEN}?refresh_token={token}&grant_type=refresh_token"
    in_url = server.http.post(url, data={"client_id": server.otp_app})
    form = {"client_id": server.otp_app, "grant_type": "refresh_token", "refresh_token": token}
    in_body = server.post_form(strict.TOKEN, form)

    assert answer.headers["cache-control"] == in_body.headers["cache-control"] == "no-store"
    assert in_url.status_code == 400
    assert in_url.json()["error"] == "invalid_request"
    assert in_body.status == 200
