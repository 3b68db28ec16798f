"""What a client may ask for, and what is made of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from genkan.model import DIRECTORY, Demand, Reason, Resource
from genkan.tokens.scopes import OIDC, Claims, again, claiming, demand, parse, read_claims
from tests.tokens.world import APP, ORDERS, RESOURCES, THINGS

USUAL = "openid profile offline_access"
READ = "api://things/Things.Read"
WRITE = "api://things/Things.Write"
CLAIMS = '{"access_token":{"acrs":{"value":"c4"}}}'


@pytest.mark.parametrize(
    ("text", "granted", "audience"),
    [
        (None, USUAL, DIRECTORY),
        ("", USUAL, DIRECTORY),
        ("   ", USUAL, DIRECTORY),
        ("openid", USUAL, DIRECTORY),
        ("offline_access profile openid", USUAL, DIRECTORY),
        ("email", f"{USUAL} email", DIRECTORY),
        (READ, f"{USUAL} {READ}", THINGS.id),
        (f"{READ} {READ}  openid openid", f"{USUAL} {READ}", THINGS.id),
        (f"{WRITE} email {READ}", f"{USUAL} email {WRITE} {READ}", THINGS.id),
        ("https://orders.example.com/v1/Read", f"{USUAL} https://orders.example.com/v1/Read", ORDERS.id),
    ],
)
def test_grants(text: str | None, granted: str, audience: str) -> None:
    assert parse(text, APP, RESOURCES) == Demand(scopes=tuple(granted.split(" ")), resource=audience)


@pytest.mark.parametrize(
    ("text", "granted", "asked"),
    [
        (f"{THINGS.id}/Things.Read", READ, f"{THINGS.id}/Things.Read"),
        (f"{THINGS.id.upper()}/Things.Read {READ}", READ, f"{THINGS.id.upper()}/Things.Read"),
        ("api://things/.default", f"{READ} {WRITE}", "api://things/.default"),
        (f"{THINGS.id}/.default {WRITE}", f"{READ} {WRITE}", f"{THINGS.id}/.default"),
    ],
)
def test_words_that_stand_for_scopes_are_remembered_beside_them(text: str, granted: str, asked: str) -> None:
    scopes = tuple(f"{USUAL} {granted}".split(" "))

    assert parse(text, APP, RESOURCES) == Demand(scopes=scopes, resource=THINGS.id, asked=(asked,))


@pytest.mark.proves("TOK-03")
@pytest.mark.parametrize(
    "text",
    [
        f"{READ} https://orders.example.com/v1/Read",
        f"{THINGS.id}/.default {ORDERS.id}/.default",
        "api://things/Things.Purge",
        f"{THINGS.id}/Things.Purge",
    ],
    ids=["two resources", "two resources by id", "not registered for", "not registered for, by id"],
)
def test_one_resource_and_only_what_the_client_is_registered_for(text: str) -> None:
    assert parse(text, APP, RESOURCES) is Reason.INVALID_SCOPE


@pytest.mark.parametrize(
    "text",
    [
        "Things.Read",
        "things.read",
        "api://things/things.read",
        "API://things/Things.Read",
        "api://things/Nothing",
        "api://things/",
        "api://things",
        "api://thingsThings.Read",
        "api://elsewhere/Things.Read",
        "OpenID",
        "openid\tprofile",
        "openid\u00a0profile",
        f"{READ}\n",
        ".default",
        "/.default",
        "phone",
        "<script>",
    ],
)
def test_refuses_words_it_does_not_know(text: str) -> None:
    assert parse(text, APP, RESOURCES) is Reason.INVALID_SCOPE


def test_default_stands_for_nothing_where_the_client_has_nothing() -> None:
    stranger = replace(APP, scopes=())

    assert parse("api://things/.default", stranger, RESOURCES) is Reason.INVALID_SCOPE


def test_a_registration_that_was_withdrawn_counts_no_more() -> None:
    granted = demand(f"{READ} {WRITE}", CLAIMS, APP, RESOURCES)
    assert isinstance(granted, Demand)
    narrower = replace(APP, scopes=(READ,))

    assert again(granted, APP, RESOURCES) == granted
    assert again(granted, narrower, RESOURCES) is Reason.INVALID_SCOPE
    assert again(granted, APP, {}) is Reason.INVALID_SCOPE


def test_a_resource_may_lie_below_another() -> None:
    below = Resource(id="b3", name="Sub", uri="api://things/sub", scopes=("Things.Read",))
    client = replace(APP, scopes=("api://things/sub/Things.Read", READ))

    found = parse("api://things/sub/Things.Read", client, RESOURCES | {below.id: below})

    assert isinstance(found, Demand)
    assert found.resource == below.id


words = st.sampled_from(
    [*sorted(OIDC), READ, WRITE, f"{THINGS.id}/Things.Read", "api://things/.default", "", "x"]
)


@given(st.lists(words))
def test_what_was_granted_is_granted_again(asked: list[str]) -> None:
    found = parse(" ".join(asked), APP, RESOURCES)

    if isinstance(found, Demand):
        assert again(found, APP, RESOURCES) == found
        assert found.scopes[:3] == ("openid", "profile", "offline_access")
        assert len(set(found.scopes)) == len(found.scopes)
        assert set(found.scopes) <= {*OIDC, *APP.scopes}
    else:
        assert "x" in asked


# The `claims` parameter. ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, ()),
        ("", ()),
        ("{}", ()),
        ('{"access_token":{"acrs":{"essential":true,"value":"c4"}}}', ("c4",)),
        ('{"access_token":{"acrs":{"value":"c99"}}}', ("c99",)),
        ('{"access_token":{"acrs":{"values":["c2","c1","c2"]}}}', ("c2", "c1")),
        ('{"access_token":{"acrs":{"value":"c3","values":["c1"]}}}', ("c3", "c1")),
        ('{"id_token":{"acrs":{"essential":true,"value":"c5"}}}', ("c5",)),
        ('{"access_token":{"acrs":{"value":"c1"}},"id_token":{"acrs":{"value":"c1"}}}', ("c1",)),
        ('{"access_token":{"xms_cc":{"values":["cp1"]},"acrs":{"essential":true,"value":"c1"}}}', ("c1",)),
        ('{"access_token":{"xms_cc":{"values":["cp1"]}}}', ()),
        ('{"id_token":{"signin_state":{"essential":false},"login_hint":null}}', ()),
        ('{"access_token":{"acrs":null}}', ()),
        ('{"access_token":{"acrs":{"essential":true}}}', ()),
        ('{"access_token":null,"id_token":null,"userinfo":{"name":null}}', ()),
    ],
)
def test_finds_the_contexts_asked_for(text: str | None, found: tuple[str, ...]) -> None:
    claims = read_claims(text)

    assert isinstance(claims, Claims)
    assert claims.contexts == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"access_token":{"acrs":{"value":"c1"}}}', ()),
        ('{"id_token":{"acrs":{"values":["c2","c2"]}}}', ("c2",)),
        ('{"access_token":{"acrs":{"value":"c1"}},"id_token":{"acrs":{"value":"c2"}}}', ("c2",)),
    ],
)
def test_finds_which_of_them_were_asked_for_in_the_id_token(text: str, found: tuple[str, ...]) -> None:
    claims = read_claims(text)

    assert isinstance(claims, Claims)
    assert claims.id_token_contexts == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"access_token":{"xms_cc":{"values":["cp1"]}}}', ("cp1",)),
        ('{"access_token":{"xms_cc":{"values":["CP1","cp1"]}}}', ("cp1",)),
        ('{"id_token":{"xms_cc":{"value":"cp1"}}}', ("cp1",)),
        ('{"access_token":{"xms_cc":{"values":["cp2","admin"]}}}', ()),
        ('{"access_token":{"xms_cc":null}}', ()),
        ('{"xms_cc":{"values":["cp1"]}}', ()),
    ],
)
def test_finds_what_the_client_says_it_can_do(text: str, found: tuple[str, ...]) -> None:
    claims = read_claims(text)

    assert isinstance(claims, Claims)
    assert claims.capabilities == found


def test_claims_replace_what_they_mention_and_nothing_else() -> None:
    before = Demand(scopes=(READ,), resource=THINGS.id, contexts=("c1",), capabilities=("cp1",))

    assert claiming(before, Claims()) == before
    assert claiming(before, Claims(capabilities=("cp1",))) == before
    after = claiming(before, Claims(contexts=("c2",), id_token_contexts=("c2",)))
    assert after == replace(before, contexts=("c2",), id_token_contexts=("c2",))


@pytest.mark.parametrize("context", ["c100", "c0", "c01", "c", "C1", "c1 ", "1", "", "c\u0661", "c1\n"])
def test_refuses_contexts_that_cannot_be(context: str) -> None:
    text = json.dumps({"access_token": {"acrs": {"values": ["c1", context]}}})

    assert read_claims(text) is Reason.INVALID_CONTEXT


@pytest.mark.parametrize(
    "text",
    [
        " ",
        "c1",
        "[]",
        '"c1"',
        "null",
        "{",
        '{"access_token":[]}',
        '{"access_token":{"acrs":"c1"}}',
        '{"access_token":{"acrs":{"value":1}}}',
        '{"access_token":{"acrs":{"values":"c1"}}}',
        '{"access_token":{"acrs":{"values":[1]}}}',
        '{"access_token":{"acrs":{"value":"c1"}}} trailing',
        '{"x":' + "[" * 10_000,
        "\ud800",
    ],
)
def test_refuses_what_is_no_claims_request(text: str) -> None:
    assert read_claims(text) is Reason.PARAMETER_MALFORMED


def test_both_parameters_make_the_demand() -> None:
    assert demand(READ, CLAIMS, APP, RESOURCES) == Demand(
        scopes=(*USUAL.split(" "), READ), resource=THINGS.id, contexts=("c4",)
    )
    assert demand(None, None, APP, RESOURCES) == parse(None, APP, RESOURCES)


def test_either_parameter_may_be_refused() -> None:
    assert demand("x", CLAIMS, APP, RESOURCES) is Reason.INVALID_SCOPE
    assert demand(READ, "{", APP, RESOURCES) is Reason.PARAMETER_MALFORMED
