"""What tokens say: no more than they may, and nothing that the evidence does not bear out."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from genkan.model import Evidence, Identifier, Kind, OptionalClaim, Resource
from genkan.tokens import base64url, metadata
from genkan.tokens.claims import (
    ACR_LADDER,
    ADMINISTRATION,
    AMR,
    Issue,
    access_token,
    assurance,
    client_info,
    client_token,
    id_token,
    pairwise,
    with_added,
)
from genkan.tokens.jwt import sign, verify
from genkan.tokens.scopes import parse
from tests.tokens.world import (
    ADDRESS,
    APP,
    BASE_URL,
    ISSUE,
    MAIL_FIRST,
    MAIL_SECOND,
    MAIL_VERIFIED,
    MIKA,
    NOW,
    NUMBER,
    OIDC_DEMAND,
    ORDERS,
    OTHER_APP,
    PASSWORD,
    RESOURCES,
    RING,
    TENANT,
    TEXT_SECOND,
    THINGS,
    THINGS_DEMAND,
    a_key,
)

SECONDS = int(NOW.timestamp())


def written(claims: object) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(msgspec.json.encode(claims))
    return read


# The id token. --------------------------------------------------------------------------------------


def test_an_id_token_says_all_of_this_and_no_more() -> None:
    claims = written(id_token(ISSUE))

    assert claims == {
        "iss": "https://id.example.com/11111111-2222-3333-4444-555555555555/v2.0",
        "aud": APP.id,
        "iat": SECONDS,
        "nbf": SECONDS,
        "exp": SECONDS + 3600,
        "sub": pairwise(ISSUE.pairwise_key, TENANT.id, APP.id, MIKA.id),
        "oid": MIKA.id,
        "tid": TENANT.id,
        "preferred_username": "Mika@example.com",
        "name": "Mika Korhonen",
        "email": "Mika@example.com",
        "ver": "2.0",
        "auth_time": SECONDS - 60,
        "amr": ["pwd", "sms", "mfa"],
        "acr": "urn:genkan:acr:mfa",
        "uti": ISSUE.token_id,
    }


def test_the_address_is_told_only_to_who_asked_for_it() -> None:
    claims = written(id_token(replace(ISSUE, demand=OIDC_DEMAND, resource=None)))

    assert "email" not in claims


@pytest.mark.parametrize("attributes", [{}, {"displayName": ""}, {"displayName": 7}])
def test_who_has_no_name_is_unknown(attributes: dict[str, str | int | bool]) -> None:
    claims = id_token(replace(ISSUE, subject=replace(MIKA, attributes=attributes)))

    assert claims.name == "unknown"


def test_who_has_no_address_is_called_by_another_identifier() -> None:
    by_number = replace(MIKA, identifiers=(NUMBER,))
    nobody = replace(MIKA, identifiers=())

    assert id_token(replace(ISSUE, subject=by_number)).preferred_username == NUMBER.value
    assert id_token(replace(ISSUE, subject=nobody)).preferred_username == "unknown"
    assert "email" not in written(id_token(replace(ISSUE, subject=by_number)))


@pytest.mark.proves("V1-186")
def test_an_alias_does_not_change_the_user_name() -> None:
    alias = Identifier(kind="username", key="mika", value="mika")

    assert id_token(
        replace(ISSUE, subject=replace(MIKA, identifiers=(alias, ADDRESS)))
    ).preferred_username == (ADDRESS.value)


@pytest.mark.proves("V1-187")
def test_sub_is_stable_for_a_client_and_differs_between_two() -> None:
    later = replace(ISSUE, now=NOW + timedelta(days=9), demand=OIDC_DEMAND, resource=None)
    elsewhere = replace(ISSUE, client=OTHER_APP)

    assert id_token(ISSUE).sub == id_token(later).sub == access_token(ISSUE).sub == access_token(later).sub
    assert id_token(elsewhere).sub != id_token(ISSUE).sub


def test_sub_cannot_be_made_without_the_key_and_is_of_one_tenant() -> None:
    ours = pairwise(b"k" * 32, TENANT.id, APP.id, MIKA.id)

    assert pairwise(b"l" * 32, TENANT.id, APP.id, MIKA.id) != ours
    assert pairwise(b"k" * 32, TENANT.id.replace("1", "2"), APP.id, MIKA.id) != ours
    assert len(ours) == 43


# The access token. ----------------------------------------------------------------------------------


@pytest.mark.proves("OA-083", "OA-068")
def test_an_access_token_says_all_of_this_and_no_more() -> None:
    claims = written(access_token(ISSUE))

    assert claims == {
        "iss": "https://id.example.com/11111111-2222-3333-4444-555555555555/v2.0",
        "aud": THINGS.id,
        "iat": SECONDS,
        "nbf": SECONDS,
        "exp": SECONDS + 600,
        "jti": ISSUE.token_id,
        "sub": id_token(ISSUE).sub,
        "oid": MIKA.id,
        "tid": TENANT.id,
        "client_id": APP.id,
        "azp": APP.id,
        "azpacr": "0",
        "scope": "api://things/Things.Read api://things/Things.Write",
        "scp": "Things.Read Things.Write",
        "ver": "2.0",
        "auth_time": SECONDS - 60,
        "amr": ["pwd", "sms", "mfa"],
        "acr": "urn:genkan:acr:mfa",
    }


@pytest.mark.proves("OA-087")
def test_an_access_token_names_nobody() -> None:
    person = replace(MIKA, identifiers=(ADDRESS, NUMBER))

    text = msgspec.json.encode(access_token(replace(ISSUE, subject=person))).decode().lower()

    for told in ("mika", "example.com/mika", "@", "korhonen", "turku", NUMBER.value.lstrip("+")):
        assert told not in text


@pytest.mark.proves("OA-084")
@pytest.mark.parametrize(
    ("asked", "resource", "scp"),
    [
        ("api://things/Things.Read", THINGS, "Things.Read"),
        ("email api://things/.default", THINGS, "Things.Read Things.Write"),
        ("https://orders.example.com/v1/Read openid", ORDERS, "Read"),
        ("email", None, "openid profile offline_access email"),
    ],
)
def test_scope_and_scp_are_what_was_granted_at_the_audience(
    asked: str, resource: Resource | None, scp: str
) -> None:
    demand = parse(asked, APP, RESOURCES)
    assert not isinstance(demand, str)

    claims = access_token(replace(ISSUE, demand=demand, resource=resource))

    assert claims.scp == scp
    prefix = f"{resource.uri}/" if resource else ""
    assert claims.scope.split(" ") == [prefix + word for word in scp.split(" ")]
    assert set(claims.scope.split(" ")) <= set(demand.scopes)


def test_a_scope_may_have_a_slash_in_its_name() -> None:
    demand = replace(THINGS_DEMAND, scopes=("openid", "api://things/Parts/Read"))

    assert access_token(replace(ISSUE, demand=demand)).scp == "Parts/Read"


def test_without_an_api_the_audience_is_the_directory() -> None:
    claims = access_token(replace(ISSUE, demand=OIDC_DEMAND, resource=None))

    assert claims.aud == "00000002-0000-0000-c000-000000000000"


@pytest.mark.parametrize(
    ("demand", "resource"), [(THINGS_DEMAND, ORDERS), (THINGS_DEMAND, None), (OIDC_DEMAND, THINGS)]
)
def test_a_demand_for_another_resource_is_a_fault(demand: Any, resource: Resource | None) -> None:
    with pytest.raises(ValueError, match="not for the resource"):
        access_token(replace(ISSUE, demand=demand, resource=resource))


def test_satisfied_contexts_are_named_where_they_were_asked_for_and_others_are_not() -> None:
    demand = replace(THINGS_DEMAND, contexts=("c1", "c4", "c5"), id_token_contexts=("c5",))
    issue = replace(ISSUE, demand=demand, contexts=("c4", "c5", "c6"))

    assert written(access_token(issue))["acrs"] == ["c4", "c5"], "c6 nobody asked for, c1 is not satisfied"
    assert written(id_token(issue))["acrs"] == ["c5"]


# What an app has opted in to. -------------------------------------------------------------------------


def opted(*, client: tuple[OptionalClaim, ...] = (), api: tuple[OptionalClaim, ...] = ()) -> Issue:
    """What there is to tell: a context nobody asked for, two groups, a capability, an address."""
    return replace(
        ISSUE,
        client=replace(APP, optional_claims=client),
        resource=replace(THINGS, optional_claims=api),
        demand=replace(THINGS_DEMAND, scopes=THINGS_DEMAND.scopes[:3], capabilities=("cp1",)),
        contexts=("c7",),
        groups=frozenset({"b", "a"}),
    )


OPTIONAL: dict[OptionalClaim, object] = {
    "acrs": ["c7"],
    "email": ADDRESS.value,
    "groups": ["a", "b"],
    "xms_cc": ["cp1"],
}


@pytest.mark.parametrize("name", OPTIONAL)
def test_an_optional_claim_stands_in_the_tokens_of_who_opted_in_and_in_no_other(name: OptionalClaim) -> None:
    plain, of_client, of_api = opted(), opted(client=(name,)), opted(api=(name,))

    assert written(id_token(of_client)) == written(id_token(plain)) | {name: OPTIONAL[name]}
    assert written(access_token(of_client)) == written(access_token(plain))
    assert written(access_token(of_api)) == written(access_token(plain)) | {name: OPTIONAL[name]}
    assert written(id_token(of_api)) == written(id_token(plain))
    assert not OPTIONAL.keys() & written(id_token(plain)).keys()
    assert not OPTIONAL.keys() & written(access_token(plain)).keys()


def test_more_than_two_hundred_groups_are_not_listed() -> None:
    issue = opted(client=("groups",), api=("groups",))
    many = replace(issue, groups=frozenset(map(str, range(201))))
    just = replace(issue, groups=frozenset(map(str, range(200))))

    for claims in (written(id_token(many)), written(access_token(many))):
        assert claims["hasgroups"] is True
        assert "groups" not in claims
    assert len(written(id_token(just))["groups"]) == 200
    assert "hasgroups" not in written(id_token(just))
    assert "hasgroups" not in written(id_token(replace(ISSUE, groups=many.groups)))


def test_what_is_not_there_is_not_told_to_who_opted_in() -> None:
    wanted: tuple[OptionalClaim, ...] = ("acrs", "email", "groups", "xms_cc")
    nobody = replace(MIKA, identifiers=(NUMBER,))
    issue = replace(
        opted(client=wanted, api=wanted),
        subject=nobody,
        contexts=(),
        groups=frozenset(),
        demand=THINGS_DEMAND,
    )

    assert not OPTIONAL.keys() & written(id_token(issue)).keys()
    assert not OPTIONAL.keys() & written(access_token(issue)).keys()


def test_the_directory_resource_opts_in_to_nothing() -> None:
    issue = replace(opted(client=("email",)), demand=OIDC_DEMAND, resource=None)

    assert not OPTIONAL.keys() & written(access_token(issue)).keys()


def test_a_confidential_client_is_told_from_a_public_one() -> None:
    assert access_token(replace(ISSUE, client=replace(APP, kind="confidential"))).azpacr == "1"


def test_lives_are_those_of_the_tenant() -> None:
    tenant = replace(
        TENANT, access_token_lifetime=timedelta(minutes=5), id_token_lifetime=timedelta(minutes=20)
    )
    issue = replace(ISSUE, tenant=tenant, now=NOW + timedelta(milliseconds=900))

    assert access_token(issue).exp - SECONDS == 300
    assert id_token(issue).exp - SECONDS == 1200


@pytest.mark.proves("OA-089")
def test_issuer_and_keys_are_those_that_discovery_names() -> None:
    document = metadata.discovery(BASE_URL, TENANT)
    aliased = metadata.discovery(BASE_URL + "/", replace(TENANT, name="other", aliases=()))
    token = sign(id_token(ISSUE), a_key(), "JWT")

    claims = verify(token, RING, typ="JWT", issuer=document.issuer, audience=APP.id, now=NOW)

    assert isinstance(claims, dict)
    assert claims["iss"] == document.issuer == aliased.issuer


@pytest.mark.proves("V1-184")
def test_client_info_names_the_account_as_the_id_token_does() -> None:
    claims = id_token(ISSUE)

    raw = base64url.decode(client_info(MIKA.id, TENANT.id))

    assert raw == f'{{"uid":"{claims.oid}","utid":"{claims.tid}"}}'.encode()


# Assurance. -----------------------------------------------------------------------------------------

OTP, PWD, MFA = ACR_LADDER


@pytest.mark.proves("TOK-04")
@pytest.mark.parametrize(
    ("evidence", "amr", "acr"),
    [
        ([MAIL_FIRST], "otp", OTP),
        ([PASSWORD], "pwd", PWD),
        ([PASSWORD, MAIL_SECOND], "pwd otp mfa", MFA),
        ([PASSWORD, TEXT_SECOND], "pwd sms mfa", MFA),
        ([MAIL_FIRST, TEXT_SECOND], "otp sms mfa", MFA),
        ([MAIL_VERIFIED], "otp", OTP),
        ([MAIL_VERIFIED, TEXT_SECOND], "otp sms mfa", MFA),
        ([MAIL_VERIFIED, PASSWORD], "pwd", PWD),
        ([MAIL_VERIFIED, PASSWORD, MAIL_SECOND], "pwd otp mfa", MFA),
        ([PASSWORD, TEXT_SECOND, MAIL_SECOND], "pwd sms otp mfa", MFA),
        ([PASSWORD, TEXT_SECOND, TEXT_SECOND], "pwd sms mfa", MFA),
    ],
    ids=[
        "e-mail code",
        "password",
        "password and e-mail code",
        "password and text",
        "e-mail code and text",
        "sign-up by e-mail code",
        "the same, a number enrolled",
        "sign-up by password, or its reset",
        "the same, the address enrolled",
        "three factors",
        "a factor twice",
    ],
)
def test_assurance_is_what_was_proven(evidence: list[Evidence], amr: str, acr: str) -> None:
    found = assurance(evidence)

    assert found.amr == tuple(amr.split(" "))
    assert found.acr == acr


@pytest.mark.parametrize(
    "second",
    [
        replace(MAIL_SECOND, place="email:another@example.com"),
        replace(MAIL_SECOND, kind=Kind.SMS_OTP),
    ],
    ids=["the same kind", "the same place"],
)
def test_one_kind_or_one_place_is_one_factor(second: Evidence) -> None:
    found = assurance([MAIL_FIRST, second])

    assert found.acr == OTP
    assert found.amr == ("otp",)
    assert found.auth_time == MAIL_FIRST.at


def test_auth_time_is_the_last_proof_of_a_factor() -> None:
    assert assurance([PASSWORD, TEXT_SECOND]).auth_time == TEXT_SECOND.at
    assert assurance([PASSWORD, replace(MAIL_VERIFIED, at=NOW)]).auth_time == PASSWORD.at


@pytest.mark.parametrize("evidence", [[], [TEXT_SECOND]])
def test_nothing_is_issued_without_a_first_factor(evidence: list[Evidence]) -> None:
    with pytest.raises(ValueError, match="first factor"):
        assurance(evidence)


@given(
    st.lists(
        st.builds(
            Evidence,
            kind=st.sampled_from(list(AMR)),
            place=st.sampled_from([None, ADDRESS.place, NUMBER.place]),
            at=st.datetimes(timezones=st.just(NOW.tzinfo)),
            part=st.sampled_from(["first", "second", "verified"]),
        ),
        min_size=1,
    )
)
def test_words_and_level_never_disagree(evidence: list[Evidence]) -> None:
    if all(e.part == "second" for e in evidence):
        return

    found = assurance(evidence)

    assert len(set(found.amr)) == len(found.amr)
    assert ("mfa" in found.amr) == (found.acr == MFA)
    assert "mfa" not in found.amr or (found.amr[-1] == "mfa" and len(found.amr) >= 3)
    assert found.auth_time in {e.at for e in evidence}


def test_the_token_of_an_administration_client_lives_for_a_second_less_than_an_hour_and_says_what_it_may() -> (
    None
):
    client = replace(APP, app_roles=("User.Read.All",), epoch=3)

    claims = written(
        client_token(issuer="i", tenant=TENANT, client=client, principal="p", token_id="t", now=NOW)
    )

    assert (claims["nbf"], claims["iat"], claims["exp"]) == (SECONDS, SECONDS, SECONDS + 3599)
    assert (claims["aud"], claims["roles"], claims["epoch"]) == (ADMINISTRATION, ["User.Read.All"], 3)
    assert (claims["sub"], claims["oid"], claims["appid"], claims["jti"]) == ("p", "p", APP.id, "t")
    assert not [name for name, value in claims.items() if value in (None, "", [])]


@pytest.mark.proves("WHK-04")
def test_what_an_extension_adds_stands_beside_what_a_token_says_and_never_in_its_place() -> None:
    token = access_token(ISSUE)
    said = {"seat": "12A", "roles_here": ("pilot",), "sub": "another", "AUD": "another", "acr": "another"}

    added = written(with_added(token, replace(ISSUE, claims=said)))

    assert added == {**written(token), "seat": "12A", "roles_here": ["pilot"]}
    assert with_added(token, ISSUE) is token
