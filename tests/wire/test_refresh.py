"""
The refresh grant: each use replaces the token, and policy is asked anew.

Source: native-auth-v1 2.1, 4.4; conditional-access 5.1, 7, 9; rows 190 to 194; TOK-05, TOK-07, TOK-08, CA-07.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from msgspec.structs import replace

from genkan import identifiers
from genkan.delivery.inbox import Inbox
from genkan.engine.messages import PutSubject
from genkan.engine.transaction import Needs
from genkan.model import Client, Resource
from genkan.policy.model import (
    Applications,
    Conditions,
    GrantControls,
    Policy,
    SessionControls,
    SignInFrequency,
    Users,
)
from genkan.service import demo
from genkan.tokens import grants
from tests.server import Reply, first_factor_by_code, new_address, new_number, newest, register_phone
from tests.wire import strict
from tests.wire.journeys import (
    OPENID,
    PASSWORD,
    account_by_code,
    begun,
    challenged,
    first_factor_by_password,
    ids,
    proven,
    redeemed,
)
from tests.wire.servers import StrictServer, World, two_tenants

UNKNOWN = ("invalid_grant", "bad_token", 70000)
REVOKED = ("invalid_grant", "bad_token", 50173)
EXPIRED = ("invalid_grant", "bad_token", 700082)
NEEDS_FACTOR = ("invalid_grant", "basic_action", 50076)
DAY = timedelta(days=1).total_seconds()

ORDERS = Resource(
    id="aaaaaaaa-0000-4000-8000-0000000000b3",
    name="Orders",
    uri="api://orders",
    scopes=("Read", "Write"),
)
PHONE_APP = Client(
    id="aaaaaaaa-0000-4000-8000-0000000000e4",
    name="An app on phones",
    scopes=(demo.API_SCOPE, "api://orders/Read", "api://orders/Write"),
)
"""Not of a single page, so its sessions last."""


@pytest.fixture
def phones(world: World) -> Iterator[World]:
    """A tenant with that app and a second API that no policy guards."""
    with world.changed(PHONE_APP, ORDERS):
        yield world


def signed_in(server: StrictServer, address: str = "", app: str = "", scope: str = OPENID) -> Reply:
    """The tokens of a sign-in by code."""
    address, app = address or account_by_code(server), app or server.otp_app
    seen = ids(server, address)
    sent = challenged(server, app, begun(server, app, address).token)
    return proven(server, app, sent.token, "oob", newest(server, address, "sign_in", seen), scope).ok()


def signed_in_with_two_factors(server: StrictServer) -> Reply:
    """The tokens of a sign-in in which a phone was registered."""
    asked = first_factor_by_code(server, account_by_code(server), server.scope)
    return redeemed(server, server.otp_app, register_phone(server, asked.token, new_number()).token).ok()


def refresh(server: StrictServer, token: str, app: str = "", **more: str) -> Reply:
    form = {"client_id": app or server.otp_app, "grant_type": "refresh_token", "refresh_token": token}
    return server.post_form(strict.TOKEN, {**form, **more})


# The answer. ----------------------------------------------------------------------------------------


@pytest.mark.proves("V1-190")
def test_msal_js_refreshes_as_it_does(server: StrictServer) -> None:
    address = account_by_code(server)
    tokens = signed_in(server, address)
    uid, utid = strict.decoded(tokens["client_info"]).values()
    request_id = str(uuid4())
    form = {
        "client_id": server.otp_app,
        "scope": OPENID,
        "grant_type": "refresh_token",
        "client_info": "1",
        "x-client-SKU": "msal.js.browser",
        "x-client-VER": "5.30.0",
        "x-ms-lib-capability": "retry-after, h429",
        "x-client-current-telemetry": "5|61,0,,,|,",
        "x-client-last-telemetry": "5|0|||0,0",
        "refresh_token": tokens["refresh_token"],
        "X-AnchorMailbox": f"Oid:{uid}@{utid}",
    }

    response = server.http.post(
        f"{server.base}/dev{strict.TOKEN}?client-request-id={request_id}",
        data=form,
        headers={"content-type": "application/x-www-form-urlencoded;charset=utf-8"},
    )

    strict.check(strict.TOKEN, form, response)
    assert response.status_code == 200
    assert response.headers["client-request-id"] == request_id
    assert response.json()["refresh_token"] != tokens["refresh_token"]


@pytest.mark.proves("V1-190")
def test_the_request_id_of_the_query_is_that_of_an_error_too(server: StrictServer) -> None:
    request_id = str(uuid4())
    form = {"client_id": server.otp_app, "grant_type": "refresh_token", "refresh_token": "gkr1.none"}

    response = server.http.post(f"{server.base}/dev{strict.TOKEN}?client-request-id={request_id}", data=form)

    assert response.json()["correlation_id"] == response.headers["client-request-id"] == request_id


@pytest.mark.parametrize("scope", [None, OPENID, "openid"])
@pytest.mark.proves("V1-191")
def test_a_refresh_answers_with_all_tokens_of_the_same_account(
    server: StrictServer, scope: str | None
) -> None:
    tokens = signed_in(server)

    again = refresh(server, tokens["refresh_token"], **({} if scope is None else {"scope": scope}))

    assert again.ok().body.keys() == tokens.body.keys()
    assert again["client_info"] == tokens["client_info"]
    assert again["scope"] == tokens["scope"]
    before, after = (strict.jwt(answer["id_token"])[1] for answer in (tokens, again))
    for claim in ("iss", "aud", "sub", "oid", "tid", "preferred_username", "name", "amr", "auth_time"):
        assert before[claim] == after[claim], claim


@pytest.mark.proves("V1-191")
def test_a_refresh_neither_raises_assurance_nor_renews_it(server: StrictServer) -> None:
    tokens = signed_in_with_two_factors(server)
    server.advance(3600)

    again = refresh(server, tokens["refresh_token"]).ok()

    before, after = (strict.jwt(answer["access_token"])[1] for answer in (tokens, again))
    assert (after["amr"], after["acr"], after["auth_time"]) == (
        before["amr"],
        before["acr"],
        before["auth_time"],
    )
    assert after["aud"] == server.told["api"]["client_id"], "without a scope it is for what it was for"
    assert after["iat"] >= before["iat"] + 3600


def test_a_name_that_was_changed_is_the_new_one(world: World) -> None:
    world.person(address := new_address(), password=PASSWORD)
    tokens = first_factor_by_password(world, address, OPENID).ok()
    change(world, address, attributes={"displayName": "Countess"})

    again = refresh(world, tokens["refresh_token"], world.password_app).ok()

    assert strict.jwt(again["id_token"])[1]["name"] == "Countess"


def change(world: World, address: str, **members: Any) -> None:
    """Change the account that an address has, as an administrator would."""
    subject = world.subject(address)
    world.write(PutSubject(replace(subject, **members)))


def test_tokens_of_an_es256_app_stay_so(phones: World) -> None:
    with phones.changed(replace(PHONE_APP, signing_algorithm="ES256")):
        tokens = signed_in(phones, app=PHONE_APP.id)

        again = refresh(phones, tokens["refresh_token"], PHONE_APP.id).ok()

    headers = [strict.jwt(again[name])[0]["alg"] for name in ("id_token", "access_token")]
    assert headers == ["ES256", "ES256"]


@pytest.mark.parametrize("minutes", [5, 60])
def test_the_life_of_access_tokens_is_a_setting_of_now(world: World, minutes: int) -> None:
    tokens = signed_in(world)

    with world.changed(access_token_lifetime=timedelta(minutes=minutes)):
        again = refresh(world, tokens["refresh_token"]).ok()

    assert again["expires_in"] == minutes * 60


# Rotation. ------------------------------------------------------------------------------------------


@pytest.mark.proves("TOK-05")
def test_each_use_gives_another_token(server: StrictServer) -> None:
    token = signed_in(server)["refresh_token"]
    seen = {token}

    for _ in range(5):
        token = refresh(server, token).ok()["refresh_token"]
        seen.add(token)

    assert len(seen) == 6
    assert all(len(t) >= 43 for t in seen), "256 bits and more"


@pytest.mark.proves("TOK-07")
def test_a_client_that_lost_the_answer_gets_the_same_successor(server: StrictServer) -> None:
    token = signed_in(server)["refresh_token"]
    lost = refresh(server, token).ok()
    server.advance(8)

    again = refresh(server, token).ok()

    assert again["refresh_token"] == lost["refresh_token"]
    assert again["access_token"] != lost["access_token"]
    assert refresh(server, again["refresh_token"]).status == 200


def test_a_spent_token_used_later_ends_the_session_for_everybody(server: StrictServer) -> None:
    address = account_by_code(server)
    token = signed_in(server, address)["refresh_token"]
    other = signed_in(server, address)["refresh_token"]
    live = refresh(server, token).ok()["refresh_token"]
    server.advance(11)

    stolen = refresh(server, token)

    assert stolen.error == REVOKED
    assert refresh(server, live).error == REVOKED
    assert refresh(server, other).status == 200, "another sign-in is another session"


def test_a_token_of_an_earlier_generation_ends_the_session_at_once(server: StrictServer) -> None:
    first = signed_in(server)["refresh_token"]
    second = refresh(server, first).ok()["refresh_token"]
    third = refresh(server, second).ok()["refresh_token"]

    assert refresh(server, first).error == REVOKED
    assert refresh(server, third).error == REVOKED


def test_the_reuse_is_in_the_audit_trail(world: World) -> None:
    first = signed_in(world)["refresh_token"]
    refresh(world, refresh(world, first).ok()["refresh_token"]).ok()

    answer = refresh(world, first)

    (row,) = world.run(world.store.trail(answer["correlation_id"]))
    assert (row.record.action, row.record.reason) == ("session:renew:refused", "grant_revoked")
    assert first not in str(row)


@pytest.mark.proves("TOK-08", "TOK-07")
def test_a_hundred_refreshes_at_once_have_one_successor(world: World) -> None:
    token = signed_in(world)["refresh_token"]

    with ThreadPoolExecutor(25) as pool:
        answers = list(pool.map(lambda _: refresh(world, token), range(100)))

    assert {answer.status for answer in answers} == {200}
    (successor,) = {answer["refresh_token"] for answer in answers}
    named = grants.read(successor)
    assert named is not None
    held = world.run(world.store.read(Needs(grant=named[0]))).grant
    assert held is not None
    assert held.head == named[1], "one head"
    assert refresh(world, successor).status == 200


@pytest.mark.proves("TOK-05")
def test_only_a_digest_of_the_token_is_stored(world: World) -> None:
    token = signed_in(world)["refresh_token"]

    named = grants.read(token)

    assert named is not None
    held = world.run(world.store.read(Needs(grant=named[0]))).grant
    assert token not in repr(held)
    assert token.removeprefix(grants.PREFIX)[22:] not in repr(held), "nor its secret half"


# Whose it is. ---------------------------------------------------------------------------------------


@pytest.mark.proves("V1-194", "TOK-05")
def test_another_client_gets_nothing_and_ends_nothing(server: StrictServer) -> None:
    token = signed_in(server)["refresh_token"]

    foreign = refresh(server, token, server.password_app)

    assert foreign.error == UNKNOWN
    assert refresh(server, token).status == 200


@pytest.mark.proves("V1-194")
def test_another_client_does_not_get_the_successor_of_a_spent_token_either(server: StrictServer) -> None:
    token = signed_in(server)["refresh_token"]
    live = refresh(server, token).ok()["refresh_token"]
    server.advance(60)

    foreign = refresh(server, token, server.password_app)

    assert foreign.error == UNKNOWN
    assert refresh(server, live).status == 200


def test_another_tenant_knows_nothing_of_it(tmp_path: Path) -> None:
    dev = demo.directory("secret")
    north, south = (
        replace(dev, tenant=replace(dev.tenant, id=f"{digit * 8}{dev.tenant.id[8:]}", name=name, aliases=()))
        for digit, name in (("1", "north"), ("2", "south"))
    )
    with two_tenants(tmp_path / "data", north, south) as houses:
        app, address = demo.OTP_APP, new_address()
        start = {"client_id": app, "username": address, "challenge_type": "oob redirect"}
        token = houses.post_form(strict.SIGNUP_START, start, root="/north").ok().token
        form = {"client_id": app, "continuation_token": token}
        form["continuation_token"] = houses.post_form(strict.SIGNUP_CHALLENGE, form, root="/north").ok().token
        form |= {"grant_type": "oob", "oob": code_in(tmp_path / "data" / "inbox.db", address)}
        done = houses.post_form(strict.SIGNUP_CONTINUE, form, root="/north").ok()
        form = {"client_id": app, "continuation_token": done.token, "grant_type": "continuation_token"}
        tokens = houses.post_form(strict.TOKEN, form, root="/north").ok()
        form = {"client_id": app, "grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}

        foreign = houses.post_form(strict.TOKEN, form, root="/south")
        own = houses.post_form(strict.TOKEN, form, root="/north")

    assert foreign.error == UNKNOWN
    assert own.status == 200


def code_in(path: Path, address: str) -> str:
    """The code that has arrived for an address, read from the file of the inbox."""
    inbox = Inbox(path)
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if found := inbox.messages(to=address):
                return str(found[0].code)
            time.sleep(0.01)
    finally:
        inbox.close()
    raise AssertionError(f"no code arrived for {address}")


@pytest.mark.parametrize(
    "token", ["x", "gkr1.", "gkr1." + "A" * 64, "A" * 5000, "gk1." + "A" * 64, "ключ", "'; DROP TABLE --"]
)
def test_what_is_no_token_is_answered_as_an_unknown_one(server: StrictServer, token: str) -> None:
    assert refresh(server, token).error == UNKNOWN


def test_a_token_changed_in_one_character_ends_at_most_its_own_session(server: StrictServer) -> None:
    address = account_by_code(server)
    token, other = (signed_in(server, address)["refresh_token"] for _ in range(2))
    changed = token[:-1] + ("A" if token[-1] != "A" else "B")

    assert refresh(server, changed).error == REVOKED
    assert refresh(server, other).status == 200


def test_a_refresh_needs_its_token(server: StrictServer) -> None:
    form = {"client_id": server.otp_app, "grant_type": "refresh_token"}

    assert server.post_form(strict.TOKEN, form).error == ("invalid_request", "", 900144)
    assert server.post_form(strict.TOKEN, {**form, "refresh_token": ""}).error[2] == 900144


# Until when. ----------------------------------------------------------------------------------------


@pytest.mark.proves("V1-192")
def test_a_revoked_token_is_told_as_msal_understands_it(world: World) -> None:
    address = account_by_code(world)
    token = signed_in(world, address)["refresh_token"]
    subject = world.subject(address)
    change(world, address, epoch=subject.epoch + 1)

    answer = refresh(world, token)

    assert answer.error == REVOKED
    assert answer.status == 400


@pytest.mark.proves("TOK-05")
def test_the_session_of_a_single_page_ends_after_a_day_however_busy_it_is(server: StrictServer) -> None:
    tokens = signed_in(server)
    assert tokens["refresh_token_expires_in"] == DAY
    for _ in range(3):
        server.advance(DAY / 4)
        tokens = refresh(server, tokens["refresh_token"]).ok()
    assert abs(tokens["refresh_token_expires_in"] - DAY / 4) <= 2

    server.advance(DAY / 4)

    assert refresh(server, tokens["refresh_token"]).error == EXPIRED


@pytest.mark.proves("TOK-05")
def test_any_other_session_ends_after_fourteen_idle_days(phones: World) -> None:
    idle, busy = (signed_in(phones, app=PHONE_APP.id)["refresh_token"] for _ in range(2))
    phones.advance(13 * DAY)
    busy = refresh(phones, busy, PHONE_APP.id).ok()["refresh_token"]

    phones.advance(DAY + 1)

    assert refresh(phones, idle, PHONE_APP.id).error == EXPIRED
    assert refresh(phones, busy, PHONE_APP.id).status == 200


@pytest.mark.proves("TOK-05")
def test_any_other_session_ends_after_ninety_days_however_busy_it_is(phones: World) -> None:
    tokens = signed_in(phones, app=PHONE_APP.id)
    for _ in range(8):
        phones.advance(11 * DAY)
        tokens = refresh(phones, tokens["refresh_token"], PHONE_APP.id).ok()
    phones.advance(2 * DAY - 60)
    last = refresh(phones, tokens["refresh_token"], PHONE_APP.id)
    phones.advance(61)

    late = refresh(phones, last.ok()["refresh_token"], PHONE_APP.id)

    assert "refresh_token_expires_in" not in last.body
    assert late.error == EXPIRED


def test_a_disabled_account_gets_no_more_tokens(world: World) -> None:
    address = account_by_code(world)
    token = signed_in(world, address)["refresh_token"]
    change(world, address, status="disabled")
    refused = refresh(world, token)

    change(world, address, status="active")

    assert refused.error == ("invalid_grant", "bad_token", 50057), "which makes MSAL JS forget the token"
    assert refresh(world, token).status == 200, "the refusal left it as it was"


def test_a_password_that_must_be_changed_stops_the_session(world: World) -> None:
    world.person(address := new_address(), password=PASSWORD)
    token = first_factor_by_password(world, address, OPENID).ok()["refresh_token"]
    change(world, address, must_change_password=True)

    answer = refresh(world, token, world.password_app)

    assert answer.error == ("invalid_grant", "basic_action", 50142)


# Policy. --------------------------------------------------------------------------------------------


def policy(*controls: Any, app: str = "All", contexts: tuple[str, ...] = (), **more: Any) -> Policy:
    """A policy for everybody."""
    applications = (
        Applications(include_authentication_context_class_references=contexts)
        if contexts
        else Applications(include_applications=(app,))
    )
    return Policy(
        id=str(uuid4()),
        display_name="A policy",
        state="enabled",
        conditions=Conditions(applications=applications, users=Users(include_users=("All",))),
        grant_controls=GrantControls(operator="OR", built_in_controls=controls) if controls else None,
        **more,
    )


@pytest.mark.proves("V1-193", "CA-07")
def test_the_scope_of_an_api_that_wants_a_second_factor_needs_a_fresh_sign_in(server: StrictServer) -> None:
    token = signed_in(server)["refresh_token"]

    answer = refresh(server, token, scope=server.scope)

    assert answer.error == NEEDS_FACTOR
    assert "continuation_token" not in answer.body
    assert refresh(server, token, scope=OPENID).status == 200, "the refusal left it as it was"


@pytest.mark.proves("V1-193", "CA-07")
def test_a_policy_that_came_later_holds_for_the_session_that_was_before(world: World) -> None:
    token = signed_in(world)["refresh_token"]

    with world.changed(policy("mfa")):
        refused = refresh(world, token)
    allowed = refresh(world, token)

    assert refused.error == NEEDS_FACTOR
    assert allowed.status == 200


@pytest.mark.proves("CA-07")
def test_a_block_is_told_without_detail_and_never_as_a_redirect(world: World) -> None:
    token = signed_in_with_two_factors(world)["refresh_token"]

    with world.changed(policy("block")):
        answer = refresh(world, token)

    assert answer.error == ("invalid_grant", "message_only", 53003)
    assert answer.status == 400
    assert "challenge_type" not in answer.body


@pytest.mark.parametrize("controls", [("mfa",), ("block",), ("compliantDevice",), ("passwordChange", "mfa")])
def test_no_refresh_starts_a_native_second_factor(world: World, controls: tuple[str, ...]) -> None:
    token = signed_in(world)["refresh_token"]

    with world.changed(policy(*controls)):
        answer = refresh(world, token)

    assert answer.error[1] not in ("mfa_required", "registration_required")
    assert answer.token == ""
    assert answer.status == 400


def test_a_sign_in_that_is_too_old_for_the_policy_is_to_be_done_again(world: World) -> None:
    hourly = SessionControls(
        sign_in_frequency=SignInFrequency(is_enabled=True, type="hours", value=1),
    )
    with world.changed(policy(session_controls=hourly)):
        token = signed_in(world)["refresh_token"]
        world.advance(1800)
        young = refresh(world, token).ok()["refresh_token"]
        world.advance(1801)

        old = refresh(world, young)

    assert old.error == ("invalid_grant", "bad_token", 70043)


@pytest.mark.proves("V1-191")
def test_a_session_with_two_factors_is_good_for_the_guarded_api(server: StrictServer) -> None:
    tokens = signed_in_with_two_factors(server)

    again = refresh(server, tokens["refresh_token"], scope=server.scope).ok()

    assert strict.jwt(again["access_token"])[1]["scp"] == "Things.Read"


# Scopes. --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "audience", "scp"),
    [
        ("api://orders/Read", ORDERS.id, "Read"),
        ("api://orders/Write openid", ORDERS.id, "Write"),
        ("api://orders/.default", ORDERS.id, "Read Write"),
        (f"{ORDERS.id}/Read", ORDERS.id, "Read"),
        ("openid", "00000002-0000-0000-c000-000000000000", OPENID),
    ],
)
def test_one_session_gets_tokens_for_every_api_of_its_app(
    phones: World, scope: str, audience: str, scp: str
) -> None:
    tokens = signed_in(phones, app=PHONE_APP.id, scope="api://orders/Read")

    again = refresh(phones, tokens["refresh_token"], PHONE_APP.id, scope=scope).ok()

    claims = strict.jwt(again["access_token"])[1]
    assert (claims["aud"], claims["scp"]) == (audience, scp)
    assert set(scope.split()) <= set(again["scope"].split()), "MSAL looks for what it asked for"


def test_a_session_returns_to_what_it_was_for_when_no_scope_is_named(phones: World) -> None:
    tokens = signed_in(phones, app=PHONE_APP.id, scope="api://orders/Read")
    other = refresh(phones, tokens["refresh_token"], PHONE_APP.id, scope=OPENID).ok()

    again = refresh(phones, other["refresh_token"], PHONE_APP.id).ok()

    assert again["scope"] == tokens["scope"]


@pytest.mark.parametrize(
    "scope", [f"{demo.API_SCOPE} api://orders/Read", "api://orders/Purge", "api://unknown/Read", "Read"]
)
def test_a_scope_that_cannot_be_granted_leaves_the_token_as_it_was(phones: World, scope: str) -> None:
    token = signed_in(phones, app=PHONE_APP.id)["refresh_token"]

    answer = refresh(phones, token, PHONE_APP.id, scope=scope)

    assert answer.error == ("invalid_scope", "", 70011)
    assert refresh(phones, token, PHONE_APP.id).status == 200


def test_a_scope_that_was_withdrawn_is_not_renewed(phones: World) -> None:
    token = signed_in(phones, app=PHONE_APP.id, scope="api://orders/Write")["refresh_token"]

    with phones.changed(replace(PHONE_APP, scopes=("api://orders/Read",))):
        refused = refresh(phones, token, PHONE_APP.id)
        allowed = refresh(phones, token, PHONE_APP.id, scope="api://orders/Read")

    assert refused.error == ("invalid_scope", "", 70011)
    assert allowed.status == 200


# Authentication contexts. -----------------------------------------------------------------------------


def wanting(context: str) -> str:
    return json.dumps({"access_token": {"acrs": {"essential": True, "value": context}}})


def acrs(answer: Reply) -> list[str]:
    return list(strict.jwt(answer.ok()["access_token"])[1].get("acrs", ()))


@pytest.fixture
def stepping_up(world: World) -> Iterator[World]:
    """A tenant in which the context c4 needs a second factor, and nothing else does."""
    with world.changed(policy("mfa", contexts=("c4",)), without=(demo.POLICY,)):
        yield world


def with_phone(world: World) -> tuple[str, str]:
    """An account with a password and a phone."""
    address, number = new_address(), new_number()
    phone = identifiers.phone(number)
    assert phone is not None
    world.person(address, password=PASSWORD, seconds=(phone,), age=timedelta(days=30))
    return address, number


def stepped_up(world: World, address: str, number: str) -> Reply:
    """The tokens of a sign-in that asked for the context."""
    asked = first_factor_by_password(world, address, world.scope, claims=wanting("c4"))
    assert asked.error[1] == "mfa_required"
    sent = challenged(world, world.password_app, asked.token)
    return proven(world, world.password_app, sent.token, "mfa_oob", world.code(number, "mfa"))


def test_a_context_is_given_at_a_refresh_that_has_its_factors(stepping_up: World) -> None:
    tokens = stepped_up(stepping_up, *with_phone(stepping_up)).ok()

    again = refresh(stepping_up, tokens["refresh_token"], stepping_up.password_app, claims=wanting("c4"))

    assert acrs(tokens) == acrs(again) == ["c4"]


def test_a_context_is_remembered_by_the_session_that_asked_for_it(stepping_up: World) -> None:
    tokens = stepped_up(stepping_up, *with_phone(stepping_up)).ok()

    plain = refresh(stepping_up, tokens["refresh_token"], stepping_up.password_app)
    scoped = refresh(
        stepping_up, plain.ok()["refresh_token"], stepping_up.password_app, scope=stepping_up.scope
    )

    assert acrs(plain) == ["c4"]
    assert acrs(scoped) == [], "what is asked for anew is all that is asked for"


@pytest.mark.parametrize("scope", ["", "api"])
@pytest.mark.proves("V1-193")
def test_a_context_that_lacks_a_factor_needs_a_fresh_sign_in(stepping_up: World, scope: str) -> None:
    address, number = with_phone(stepping_up)
    token = first_factor_by_password(stepping_up, address, stepping_up.scope).ok()["refresh_token"]
    more = {"scope": stepping_up.scope} if scope else {}

    refused = refresh(stepping_up, token, stepping_up.password_app, claims=wanting("c4"), **more)
    fresh = stepped_up(stepping_up, address, number)

    assert refused.error == NEEDS_FACTOR
    assert acrs(fresh) == ["c4"]
    assert acrs(refresh(stepping_up, token, stepping_up.password_app)) == []


@pytest.mark.parametrize(
    "claims", ["{", "[]", '{"access_token": 1}', '{"access_token":{"acrs":{"value":"c100"}}}']
)
def test_claims_that_cannot_be_read_leave_the_token_as_it_was(server: StrictServer, claims: str) -> None:
    token = signed_in(server)["refresh_token"]

    answer = refresh(server, token, claims=claims)

    assert answer.error == ("invalid_request", "", 90100)
    assert refresh(server, token).status == 200
