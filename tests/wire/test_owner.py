"""What people lay by in peacetime, over the wire: who may, what it costs, and what it says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from msgspec.structs import replace

from genkan.engine import reserve
from genkan.engine.emergency.protocol import FAILURES
from genkan.engine.messages import PutAuthenticator, PutReserve, PutSubject
from genkan.engine.transaction import Needs
from genkan.identifiers import phone
from genkan.model import Authenticator, Kind, Reserve, Secret
from genkan.service.demo import SECURITY_INFO_SCOPE
from tests.server import Reply, new_address, new_number, newest
from tests.wire import strict
from tests.wire.journeys import (
    PASSWORD,
    challenged,
    first_factor_by_password,
    ids,
    listed,
    password_asked,
    proven,
)
from tests.wire.servers import World

ME = "/dev/emergency/v1.0/me"
CODES, FREEZE, READINESS = f"{ME}/recovery-codes", f"{ME}/freeze-code", f"{ME}/emergency-readiness"


def ask(world: World, method: str, path: str, token: str | None, body: Any = None, **headers: str) -> Reply:
    given: dict[str, str] = {n.replace("_", "-"): v for n, v in headers.items()}
    if token is not None:
        given["authorization"] = f"Bearer {token}"
    if method == "POST":
        given.setdefault("content-type", "application/json")
    content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    response = world.http.request(method, world.base + path, headers=given, content=content)
    return Reply.of(response)


def token(world: World, address: str, scope: str = SECURITY_INFO_SCOPE) -> str:
    """A token from a sign-in by password that needs no more."""
    return str(first_factor_by_password(world, address, f"openid {scope}").ok()["access_token"])


def token_by_phone(world: World, address: str, number: str) -> str:
    """The same from a sign-in with a text message for second factor."""
    seen = ids(world, number)
    asked = first_factor_by_password(world, address, f"openid {SECURITY_INFO_SCOPE}")
    assert asked.error == ("invalid_grant", "mfa_required", 50076)
    method = listed(world, world.password_app, asked.token)[0]["id"]
    sent = challenged(world, world.password_app, asked.token, id=method)
    code = newest(world, number, "mfa", seen)
    done = proven(world, world.password_app, sent.token, "oob", code, f"openid {SECURITY_INFO_SCOPE}")
    return str(done.ok()["access_token"])


def kept(world: World, address: str) -> Reserve:
    found = world.run(world.store.read(Needs(subject=world.subject(address).id, reserve=True))).reserve
    assert found is not None
    return found


def shown(world: World, address: str, text: str, failures: tuple[int, ...] = ()) -> bool:
    """Whether a recovery code counts at the emergency door."""
    endpoint = world._development._tenant.edge.owner
    assert endpoint is not None
    subject = world.subject(address).id
    return reserve.shown(
        kept(world, address),
        "recovery",
        Secret(text),
        subject=subject,
        key=endpoint.owner._paper_key,
        failures=failures,
        claim="k",
        id="i",
        now=world.now,
    ).right


def a_person(world: World, *numbers: str) -> str:
    address = new_address()
    world.person(
        address,
        password=PASSWORD,
        seconds=tuple(n for number in numbers if (n := phone(number)) is not None),
        age=timedelta(days=30),
    )
    return address


# What is issued. ------------------------------------------------------------------------------------


@pytest.mark.proves("ENR-13")
def test_recovery_codes_are_shown_once_kept_as_digests_and_told_of_everywhere(world: World) -> None:
    number = new_number()
    address = a_person(world, number)
    issued = ask(world, "POST", CODES, token_by_phone(world, address, number)).ok()
    codes = issued["codes"]

    assert issued["shown_once"] is True
    assert len(set(codes)) == 10
    assert all(len(code.replace("-", "")) == 16 for code in codes)
    raw = world.run(world.store._read(lambda execute: execute("SELECT body FROM reserve", ()).fetchall()))
    assert not any(code in str(raw) or code.replace("-", "") in str(raw) for code in codes)
    for place in (address, number):
        world.arrived(place, "notice", 1)
        assert "recovery codes" in json.dumps(world.messages(place)[0])
        assert not any(code in json.dumps(world.messages(place)) for code in codes)
    assert shown(world, address, codes[3])
    assert not shown(world, address, "AAAA-AAAA-AAAA-AAAA")


@pytest.mark.proves("ENR-13")
def test_a_code_counts_once_and_new_codes_end_the_old_ones(world: World) -> None:
    address = a_person(world)
    first = ask(world, "POST", CODES, token(world, address), {}).ok()["codes"]
    before = kept(world, address)
    used = next(m.id for m in reserve.methods(before))
    world.write(PutReserve(reserve.spent(before, [used], world.now)))

    assert [shown(world, address, code) for code in first].count(False) == 1
    assert used not in {m.id for m in reserve.methods(kept(world, address))}

    second = ask(world, "POST", CODES, token(world, address), {}).ok()["codes"]
    world.arrived(address, "notice", 2)
    assert not any(shown(world, address, code) for code in first)
    assert all(shown(world, address, code) for code in second)


@pytest.mark.proves("THR-01")
def test_nothing_is_compared_once_the_wrong_proofs_of_the_account_are_used_up(world: World) -> None:
    address = a_person(world)
    code = ask(world, "POST", CODES, token(world, address)).ok()["codes"][0]
    now = int(world.now.timestamp() * 1000)
    most = max(count for count, _ in FAILURES.windows)

    assert shown(world, address, code)
    assert not shown(world, address, code, failures=tuple(now for _ in range(most)))


def test_what_was_made_by_means_of_a_phone_says_so(world: World) -> None:
    """So that in an emergency codes that a thief has just made with the phone count for nothing (6.2)."""
    number = new_number()
    address = a_person(world, number)
    ask(world, "POST", CODES, token_by_phone(world, address, number)).ok()
    loaded = world.run(world.store.read(Needs(subject=world.subject(address).id)))
    sms = next(a.id for a in loaded.authenticators if a.kind is Kind.SMS_OTP)

    assert {m.changed_by for m in reserve.methods(kept(world, address))} == {sms}


def test_a_freeze_code_can_freeze_and_says_so(world: World) -> None:
    address = a_person(world)
    issued = ask(world, "POST", FREEZE, token(world, address)).ok()

    assert issued["can"] == ["contain"]
    assert len(issued["code"].replace("-", "")) == 8
    world.arrived(address, "notice", 1)
    assert not shown(world, address, issued["code"])


def test_it_is_done_five_times_a_day_at_most(world: World) -> None:
    address = a_person(world)
    key = token(world, address)
    for _ in range(5):
        ask(world, "POST", FREEZE, key).ok()
    refused = ask(world, "POST", CODES, key)

    assert (refused.status, refused["error"]) == (429, "slow_down")
    assert refused.headers["retry-after"]
    assert kept(world, address).recovery is None


def test_readiness_says_what_is_missing_and_needs_no_fresh_proof(world: World) -> None:
    address = a_person(world)
    key = token(world, address)
    before = ask(world, "GET", READINESS, key).ok()
    ask(world, "POST", CODES, key).ok()
    after = ask(world, "GET", READINESS, key).ok()

    assert before.body == {
        "level": "at_risk",
        "missing": ["anchor", "recovery_codes", "trusted_contacts", "freeze_code"],
        "single_point": "phone",
    }
    assert after["missing"] == ["anchor", "trusted_contacts", "freeze_code"]


# Who may. -------------------------------------------------------------------------------------------


@pytest.mark.proves("SES-08", "ENR-01")
def test_what_was_proven_more_than_ten_minutes_ago_is_not_enough(world: World) -> None:
    address = a_person(world)
    with world.changed(access_token_lifetime=timedelta(hours=1)):
        key = token(world, address)
        world.advance(9 * 60 + 50)
        ask(world, "POST", FREEZE, key).ok()
        world.advance(20)
        refused = ask(world, "POST", FREEZE, key)
        readable = ask(world, "GET", READINESS, key)

    assert (refused.status, refused["error"]) == (401, "insufficient_user_authentication")
    assert 'max_age="600"' in refused.headers["www-authenticate"]
    assert readable.status == 200


@pytest.mark.proves("SES-08")
def test_a_refreshed_token_is_no_fresh_proof(world: World) -> None:
    address = a_person(world)
    tokens = first_factor_by_password(world, address, f"openid {SECURITY_INFO_SCOPE}").ok()
    world.advance(11 * 60)
    renewed = world.post(
        strict.TOKEN,
        client_id=world.password_app,
        grant_type="refresh_token",
        refresh_token=tokens["refresh_token"],
        scope=SECURITY_INFO_SCOPE,
    ).ok()
    refused = ask(world, "POST", CODES, renewed["access_token"])

    assert refused["error"] == "insufficient_user_authentication"


@pytest.mark.proves("ENR-01", "SES-08")
def test_who_has_a_second_factor_shows_it_first(world: World) -> None:
    """Policy asks for it at the sign-in; a token from before the phone was there is refused at the door."""
    number, address = new_number(), new_address()
    world.person(address, password=PASSWORD, age=timedelta(days=30))
    early = token(world, address)
    late = a_person(world, number)
    asked = first_factor_by_password(world, late, f"openid {SECURITY_INFO_SCOPE}")
    subject = world.subject(address)
    world.write(*_with_phone(world, subject.id))
    refused = ask(world, "POST", CODES, early)

    assert asked.error == ("invalid_grant", "mfa_required", 50076)
    assert (refused.status, refused.error[1]) == (401, "mfa_required")
    assert "urn:genkan:acr:mfa" in refused.headers["www-authenticate"]
    ask(world, "POST", CODES, token_by_phone(world, late, number)).ok()


def _with_phone(world: World, subject: str) -> tuple[Any, ...]:
    from uuid import uuid4

    from genkan.engine.messages import PutAuthenticator
    from genkan.model import Authenticator

    number = phone(new_number())
    return (
        PutAuthenticator(
            Authenticator(
                id=str(uuid4()), subject=subject, kind=Kind.SMS_OTP, target=number, created_at=world.now
            )
        ),
    )


def test_a_token_dies_with_the_sessions_of_the_account(world: World) -> None:
    address = a_person(world)
    key = token(world, address)
    subject = world.subject(address)
    world.write(PutSubject(replace(subject, epoch=subject.epoch + 1)))

    for method, path in (("POST", CODES), ("POST", FREEZE), ("GET", READINESS)):
        refused = ask(world, method, path, key)
        assert (refused.status, refused["error"]) == (401, "invalid_token")
    world.write(PutSubject(replace(world.subject(address), status="disabled")))
    assert ask(world, "POST", CODES, key).status == 401


@pytest.mark.proves("TOK-03")
def test_a_token_for_something_else_opens_nothing(world: World) -> None:
    address = a_person(world)
    tokens = first_factor_by_password(world, address, f"openid {SECURITY_INFO_SCOPE}").ok()
    directory_token = first_factor_by_password(world, address, "openid").ok()["access_token"]
    others: Mapping[str, str] = {
        "of the directory": directory_token,
        "an id token": tokens["id_token"],
        "a refresh token": tokens["refresh_token"],
        "nothing": "",
        "rubbish": "a.b.c",
        "another's signature": tokens["access_token"][:-8] + "AAAAAAAA",
    }
    for name, other in others.items():
        refused = ask(world, "POST", CODES, other)
        assert (refused.status, refused["error"]) == (401, "invalid_token"), name
    assert ask(world, "POST", CODES, None).status == 401
    assert ask(world, "POST", CODES, tokens["access_token"]).status == 200


def test_an_app_that_is_not_registered_for_it_gets_no_token_and_one_that_no_longer_is_loses_it(
    world: World,
) -> None:
    address = a_person(world)
    key = token(world, address)
    app = world.directory.clients[world.password_app]
    with world.changed(replace(app, scopes=())):
        refused = first_factor_by_password(world, address, f"openid {SECURITY_INFO_SCOPE}")
        gone = ask(world, "POST", CODES, key)

    assert refused["error"] == "invalid_scope"
    assert gone.status == 401


# What it speaks. ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"codes=10", "application/x-www-form-urlencoded", 415),
        (b"{}", "text/plain", 415),
        (b'{"count": 100}', "application/json", 400),
        (b"[]", "application/json", 400),
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"[" * 5000, "application/json", 400),
    ],
)
def test_what_is_no_such_json_changes_nothing(
    world: World, body: bytes, content_type: str, status: int
) -> None:
    address = a_person(world)
    refused = ask(world, "POST", CODES, token(world, address), body, content_type=content_type)

    assert (refused.status, refused["error"]) == (status, "invalid_request")
    with pytest.raises(AssertionError):
        kept(world, address)


@pytest.mark.proves("BRW-03")
def test_a_browser_may_call_from_an_origin_of_the_app_and_from_no_other(world: World) -> None:
    address = a_person(world)
    key = token(world, address)
    origin = "http://localhost:3000"
    asked = world.http.request(
        "OPTIONS",
        world.base + CODES,
        headers={"origin": origin, "access-control-request-headers": "authorization,content-type"},
    )
    mine = ask(world, "POST", FREEZE, key, origin=origin)
    foreign = ask(world, "POST", FREEZE, key, origin="https://evil.example")

    assert "authorization" in asked.headers["access-control-allow-headers"]
    assert mine.headers["access-control-allow-origin"] == origin
    assert foreign.status == 403
    assert "access-control-allow-origin" not in foreign.headers


def test_other_methods_and_paths_are_not_there(world: World) -> None:
    key = token(world, a_person(world))

    assert ask(world, "GET", CODES, key).status == 405
    assert ask(world, "POST", f"{ME}/nothing", key).status == 404


# The password. --------------------------------------------------------------------------------------

NEW = "a wholly new one of this owner"


def changes_password(world: World, own: str, current: str, new: str = NEW) -> Reply:
    return ask(world, "POST", f"{ME}/password", own, {"current_password": current, "new_password": new})


@pytest.mark.proves("PWD-06")
def test_whoever_knows_the_password_sets_another_and_every_session_ends(world: World) -> None:
    address = a_person(world)
    scope = f"openid offline_access {SECURITY_INFO_SCOPE}"
    elsewhere = first_factor_by_password(world, address, scope).ok()
    own = token(world, address)
    changes_password(world, own, PASSWORD).ok()

    renewed = world.post(
        strict.TOKEN,
        client_id=world.password_app,
        grant_type="refresh_token",
        refresh_token=elsewhere["refresh_token"],
    )
    assert renewed.error[0] == "invalid_grant"
    assert ask(world, "GET", READINESS, own).status == 401, "this session too"
    assert first_factor_by_password(world, address, "openid").status == 400
    asked = password_asked(world, address)
    assert proven(world, world.password_app, asked.token, "password", NEW, "openid").status == 200
    world.arrived(address, "notice", 1)


@pytest.mark.proves("PWD-06")
def test_a_session_alone_sets_no_password(world: World) -> None:
    """Not without the current one, not with an old proof, and not past a second factor that was not shown."""
    address = a_person(world)
    wrong = changes_password(world, token(world, address), "not the password")
    assert wrong.error[:2] == ("invalid_grant", "invalid_password")
    tokens = first_factor_by_password(world, address, f"openid offline_access {SECURITY_INFO_SCOPE}").ok()
    world.advance(11 * 60)
    renewed = world.post(
        strict.TOKEN,
        client_id=world.password_app,
        grant_type="refresh_token",
        refresh_token=tokens["refresh_token"],
        scope=SECURITY_INFO_SCOPE,
    ).ok()
    stale = changes_password(world, renewed["access_token"], PASSWORD)
    assert stale.error[0] == "insufficient_user_authentication"

    by_password_alone = token(world, address)
    number = phone(new_number())
    second = Authenticator(
        id=str(uuid4()),
        subject=world.subject(address).id,
        kind=Kind.SMS_OTP,
        target=number,
        created_at=world.now,
    )
    world.write(PutAuthenticator(second))
    assert changes_password(world, by_password_alone, PASSWORD).error[1] == "mfa_required"
    assert first_factor_by_password(world, address, "openid").status == 200


def test_the_current_password_is_not_guessed_at_with_a_stolen_token(world: World) -> None:
    address = a_person(world)
    own = token(world, address)
    answers = [changes_password(world, own, f"guess {n}").error[0] for n in range(6)]
    assert answers == ["invalid_grant"] * 5 + ["slow_down"]
    assert changes_password(world, own, PASSWORD).error[0] == "slow_down"


@pytest.mark.parametrize("new", ["short", PASSWORD, "password1234"])
def test_a_new_password_must_be_a_good_one(world: World, new: str) -> None:
    own = token(world, address := a_person(world))
    refused = changes_password(world, own, PASSWORD, new)
    assert refused.error[1].startswith("password_")
    assert first_factor_by_password(world, address, "openid").status == 200


def test_who_signs_in_by_code_has_no_password_to_change(world: World) -> None:
    own = token(world, address := a_person(world))
    subject = world.subject(address)
    held = world.run(world.store.read(Needs(subject=subject.id))).authenticators
    gone = [replace(a, state="tombstoned", removed_at=world.now) for a in held if a.kind is Kind.PASSWORD]
    world.write(*(PutAuthenticator(a) for a in gone))
    assert changes_password(world, own, PASSWORD).error[0] == "not_found"
