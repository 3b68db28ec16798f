"""
The rows of the decision table that need a running server: what is shown, what is sent, what changes in the middle.

The others are in `tests/policy/cases`. Source: conditional-access 5, 6, 16.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from msgspec.structs import replace

from genkan import identifiers
from genkan.engine.messages import PutSubject, RevokeGrants
from genkan.model import Identifier, Reason
from genkan.policy.model import (
    IpLocation,
    IPv4Range,
    Locations,
)
from tests.server import Reply, new_address, new_number, newest
from tests.wire import strict
from tests.wire.journeys import (
    OPENID,
    PASSWORD,
    challenged,
    first_factor_by_password,
    ids,
    listed,
    password_asked,
    proven,
    redeemed,
    wrong,
)
from tests.wire.policies import for_everybody
from tests.wire.servers import World
from tests.wire.walks import Elsewhere

BLOCKED = ("invalid_grant", "message_only", 53003)
MFA_REQUIRED = ("invalid_grant", "mfa_required", 50076)


def a_phone(number: str = "") -> Identifier:
    phone = identifiers.phone(number or new_number())
    assert phone is not None
    return phone


def someone(world: World, *seconds: Identifier) -> str:
    """A person with a password, and these second factors."""
    address = new_address()
    world.person(address, password=PASSWORD, seconds=seconds)
    return address


def texted(world: World, address: str, number: str) -> tuple[Reply, str]:
    """A flow whose second code has arrived on the phone, and the code."""
    asked = first_factor_by_password(world, address, OPENID)
    seen = ids(world, number)
    sent = challenged(world, world.password_app, asked.token)
    return sent, newest(world, number, "mfa", seen)


# What is shown. --------------------------------------------------------------------------------------


@pytest.mark.proves("CAP-007")
def test_an_app_that_cannot_ask_for_a_second_factor_gets_the_browser_and_nothing_is_sent(
    world: World,
) -> None:
    phone = a_phone()
    address = someone(world, phone)
    with world.changed(for_everybody("mfa")):
        answer = first_factor_by_password(world, address, OPENID, capabilities="")

    assert (answer.status, answer["challenge_type"]) == (200, "redirect")
    assert "mfa_required" in answer["redirect_reason"]
    assert "access_token" not in answer.body
    assert world.messages(phone.value) == []


@pytest.mark.proves("CAP-008")
def test_an_app_that_cannot_register_one_gets_the_browser(world: World) -> None:
    address = someone(world)
    with world.changed(for_everybody("mfa")):
        answer = first_factor_by_password(world, address, OPENID, capabilities="mfa_required")

    assert (answer.status, answer["challenge_type"]) == (200, "redirect")
    assert "registration_required" in answer["redirect_reason"]


@pytest.mark.proves("CAP-057", "CA-02")
def test_a_policy_that_cannot_be_read_refuses_everybody(world: World) -> None:
    address, name = someone(world), str(uuid4())
    before = world.directory
    execute = world.store._batches.submit
    world.run(
        execute(
            lambda: world.store._batches.writer.execute(
                "INSERT INTO document (kind, id, revision, body) VALUES ('policy', ?, 1, '{\"state\": 7}')",
                (name,),
            )
        )
    )
    world.run(world.store.put_documents(before.tenant))  # Whatever is kept in memory is of yesterday.
    try:
        answer = first_factor_by_password(world, address, OPENID)
        (entry,) = world.sign_ins(address)
    finally:
        world.run(world.store.remove_documents(("policy", name)))

    assert answer.error == BLOCKED
    assert [a.result for a in entry.policies if a.policy == name] == ["unknown"]
    assert first_factor_by_password(world, address, OPENID).status == 200


@pytest.mark.proves("CAP-066", "CAP-067")
@pytest.mark.parametrize("beside", [True, False], ids=["with a mailbox beside it", "alone"])
def test_a_phone_of_a_closed_region_is_listed_and_refused_when_it_is_chosen(
    world: World, beside: bool
) -> None:
    phone, mailbox = a_phone("+2125210" + new_number()[-5:]), identifiers.email(new_address())
    assert mailbox is not None
    address = someone(world, phone, *((mailbox,) if beside else ()))
    with world.changed(for_everybody("mfa")):
        asked = first_factor_by_password(world, address, OPENID)
        methods = {m["challenge_channel"]: m["id"] for m in listed(world, world.password_app, asked.token)}
        form = {"client_id": world.password_app, "continuation_token": asked.token}
        refused = world.post_form(strict.CHALLENGE, {**form, "id": methods["sms"]})
        registering = world.post_form("/register/v1.0/introspect", form)

        assert asked.error == MFA_REQUIRED
        assert set(methods) == ({"sms", "email"} if beside else {"sms"})
        assert refused.error[:2] == ("access_denied", "provider_blocked_by_admin")
        assert registering.error[0] == "invalid_request", "a refusal never opens registration"
        assert world.messages(phone.value) == []
        if beside:
            sent = challenged(world, world.password_app, asked.token, id=methods["email"])
            code = world.code(mailbox.value, "mfa")
            proven(world, world.password_app, sent.token, "mfa_oob", code).ok()


# What does not count. --------------------------------------------------------------------------------


@pytest.mark.proves("CAP-072")
def test_who_has_a_second_factor_must_pass_it_before_another_can_be_registered(world: World) -> None:
    address = someone(world, a_phone())
    with world.changed(for_everybody("mfa")):
        asked = first_factor_by_password(world, address, OPENID)
        answer = world.post(
            "/register/v1.0/introspect", client_id=world.password_app, continuation_token=asked.token
        )

    assert answer.error[0] == "invalid_request"
    assert "methods" not in answer.body


@pytest.mark.proves("CAP-076")
def test_what_one_person_has_proven_is_of_no_use_for_another(world: World) -> None:
    phone, other = a_phone(), a_phone()
    owner, thief = someone(world, phone), someone(world, other)
    with world.changed(for_everybody("mfa")):
        sent, code = texted(world, owner, phone.value)
        stolen = first_factor_by_password(world, thief, OPENID)
        crossed = proven(world, world.password_app, stolen.token, "mfa_oob", code)
        renamed = proven(world, world.password_app, sent.token, "continuation_token", "", username=thief)

        assert crossed.error[0] == "invalid_grant" or crossed.error[0] == "invalid_request"
        assert "access_token" not in {**crossed.body, **renamed.body}
        done = proven(world, world.password_app, sent.token, "mfa_oob", code).ok()
        replayed = redeemed(world, world.password_app, sent.token, username=thief)

    assert done["token_type"] == "Bearer"
    assert replayed.status == 400


@pytest.mark.proves("CAP-077")
def test_a_second_code_does_not_count_before_one_was_asked_for(world: World) -> None:
    address = someone(world, a_phone())
    with world.changed(for_everybody("mfa")):
        asked = first_factor_by_password(world, address, OPENID)
        answer = proven(world, world.password_app, asked.token, "mfa_oob", "12345678")

    assert answer.status == 400
    assert "access_token" not in answer.body


@pytest.mark.proves("CAP-089")
def test_a_forwarded_address_moves_nobody_to_a_trusted_place(world: World) -> None:
    office = IpLocation(
        id=str(uuid4()),
        display_name="Office",
        is_trusted=True,
        ip_ranges=(IPv4Range(cidr_address="203.0.113.0/24"),),
    )
    phone = a_phone()
    address = someone(world, phone)
    outside = Locations(include_locations=("All",), exclude_locations=("AllTrusted",))
    there, elsewhere = Elsewhere(world, "203.0.113.9"), Elsewhere(world, "198.51.100.7")
    forged = (
        {"x-forwarded-for": "203.0.113.9"},
        {"forwarded": "for=203.0.113.9"},
        {"x-real-ip": "203.0.113.9"},
    )
    with world.changed(office, for_everybody("mfa", locations=outside)):
        assert first_factor_by_password(there, address, OPENID).status == 200
        for headers in forged:
            asked = password_asked(elsewhere, address)
            form = {
                "client_id": world.password_app,
                "continuation_token": asked.token,
                "grant_type": "password",
                "password": PASSWORD,
                "scope": OPENID,
            }
            assert elsewhere.post_form(strict.TOKEN, form, headers).error == MFA_REQUIRED


# What changes in the middle. -------------------------------------------------------------------------


@pytest.mark.proves("CAP-078")
def test_a_policy_that_comes_between_the_password_and_the_tokens_counts(world: World) -> None:
    address = someone(world, a_phone())
    asked = password_asked(world, address)
    with world.changed(for_everybody("mfa")):
        answer = proven(world, world.password_app, asked.token, "password", PASSWORD)

    assert answer.error == MFA_REQUIRED


@pytest.mark.proves("CAP-079")
def test_a_block_that_comes_after_the_second_factor_counts(world: World) -> None:
    phone, policy = a_phone(), for_everybody("mfa")
    address = someone(world, phone)
    with world.changed(policy):
        sent, code = texted(world, address, phone.value)
        with world.changed(for_everybody("block", id=policy.id)):
            answer = proven(world, world.password_app, sent.token, "mfa_oob", code)

    assert answer.error == BLOCKED
    assert "continuation_token" not in answer.body


@pytest.mark.proves("CAP-140")
def test_an_account_that_is_disabled_before_its_tokens_are_issued_gets_none(world: World) -> None:
    phone = a_phone()
    address = someone(world, phone)
    with world.changed(for_everybody("mfa")):
        sent, code = texted(world, address, phone.value)
        world.write(PutSubject(replace(world.subject(address), status="disabled")))
        answer = proven(world, world.password_app, sent.token, "mfa_oob", code)

    assert answer.error[2] == 50057
    assert "access_token" not in answer.body


@pytest.mark.proves("CAP-114")
def test_revoked_sessions_are_told_before_any_policy_is_asked(world: World) -> None:
    address = someone(world)
    first = first_factor_by_password(world, address, OPENID).ok()
    subject = world.subject(address)
    world.write(
        PutSubject(replace(subject, epoch=subject.epoch + 1)), RevokeGrants(subject=subject.id, at=world.now)
    )
    with world.changed(for_everybody("block")):
        answer = world.post(
            strict.TOKEN,
            client_id=world.password_app,
            grant_type="refresh_token",
            refresh_token=first["refresh_token"],
        )

    assert answer.error[2] == 50173


@pytest.mark.proves("CA-06")
def test_a_break_glass_account_gets_in_where_everybody_else_is_blocked_and_an_operator_sees_it(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    address, other = someone(world), someone(world)
    id = world.subject(address).id
    block = for_everybody("block")
    users = replace(block.conditions.users, exclude_users=(id,))
    block = replace(block, conditions=replace(block.conditions, users=users))
    with world.changed(block, break_glass=(id,)):
        wrongly = first_factor_by_password(world, address, OPENID, password="not this one")
        assert first_factor_by_password(world, other, OPENID).error == BLOCKED
        assert caplog.records == [], "neither a guess nor anybody else alarms"
        first_factor_by_password(world, address, OPENID).ok()

    assert wrongly.error[2] == 50126
    alarms = [(r.levelname, r.getMessage(), vars(r).get("user")) for r in caplog.records]
    assert alarms == [("ERROR", "break_glass:proven", id), ("ERROR", "break_glass:signed_in", id)]
    rows = world.run(world.store.trail(limit=10_000))
    assert [r.record.subject for r in rows if r.record.action.startswith("break_glass:")] == [id, id]


# What is asked of contexts and limits. ---------------------------------------------------------------


@pytest.mark.proves("CAP-123")
def test_a_context_that_cannot_exist_is_invalid_input(world: World) -> None:
    claims = json.dumps({"access_token": {"acrs": {"essential": True, "value": "c100"}}})
    answer = first_factor_by_password(world, someone(world), OPENID, claims=claims)

    assert answer.error[0] == "invalid_request"


@pytest.mark.proves("CAP-136")
def test_the_sixth_text_of_an_hour_is_too_many_and_the_phone_stays_listed(world: World) -> None:
    phone = a_phone()
    address = someone(world, phone)
    with world.changed(for_everybody("mfa")):
        for _ in range(5):
            texted(world, address, phone.value)
            world.advance(601)
        asked = first_factor_by_password(world, address, OPENID)
        methods = listed(world, world.password_app, asked.token)
        answer = world.post(
            strict.CHALLENGE,
            client_id=world.password_app,
            continuation_token=asked.token,
            id=methods[0]["id"],
        )

    assert [m["challenge_channel"] for m in methods] == ["sms"]
    assert answer.error[2] == 50088
    assert len(world.messages(phone.value)) == 5


@pytest.mark.proves("CAP-138")
def test_after_five_wrong_codes_the_attempt_is_over_and_logged_as_failed(world: World) -> None:
    phone = a_phone()
    address = someone(world, phone)
    with world.changed(for_everybody("mfa")):
        sent, code = texted(world, address, phone.value)
        for _ in range(5):
            proven(world, world.password_app, sent.token, "mfa_oob", wrong(code))
        late = proven(world, world.password_app, sent.token, "mfa_oob", code)
        resent = world.post(strict.CHALLENGE, client_id=world.password_app, continuation_token=sent.token)
        (entry,) = world.sign_ins(address)
        again = first_factor_by_password(world, address, OPENID)

    assert late.status == resent.status == 400
    assert "access_token" not in late.body
    assert again.error == MFA_REQUIRED
    assert (entry.outcome, entry.reason) == ("refused", Reason.TRIES_EXHAUSTED)
    assert [s.succeeded for s in entry.steps] == [True, False, False, False, False, False]


def test_nothing_of_a_policy_is_seen_before_the_first_factor_is_right(world: World) -> None:
    """Two tenants that differ in their policies only give the same answers to a wrong password (16.1, 7)."""
    address = someone(world)

    def refused(**more: Any) -> dict[str, Any]:
        answer = first_factor_by_password(world, address, OPENID, password="not this one", **more)
        return {
            name: value
            for name, value in answer.body.items()
            if name not in ("timestamp", "trace_id", "correlation_id", "error_description")
        }

    without = refused()
    with world.changed(for_everybody("block")):
        assert refused() == without
    with world.changed(for_everybody("mfa")):
        assert refused(capabilities="") == without


@pytest.mark.proves("CA-01")
def test_what_an_app_says_it_can_do_changes_how_a_requirement_is_shown_and_never_whether_it_holds(
    world: World,
) -> None:
    said = ("", "mfa_required", "registration_required", "mfa_required registration_required")
    decided = []
    with world.changed(for_everybody("mfa")):
        for capabilities in said:
            address = someone(world)
            answer = first_factor_by_password(world, address, OPENID, capabilities=capabilities)
            (entry,) = world.sign_ins(address)
            decided.append((entry.requires_mfa, entry.policies))
            assert "access_token" not in answer.body

    assert len(set(decided)) == 1
