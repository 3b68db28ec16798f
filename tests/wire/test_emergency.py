"""The emergency door, over the wire: who gets in, what it costs a guesser, and what a stranger can learn."""

from __future__ import annotations

import concurrent.futures
import json
import time
from datetime import timedelta
from typing import Any

import pytest

from genkan.engine.emergency.asked import SENDS
from genkan.engine.emergency.protocol import FAILURES
from genkan.engine.transaction import Needs
from genkan.identifiers import phone
from genkan.service.demo import SECURITY_INFO_SCOPE
from tests.server import Reply, new_address, new_number, newest
from tests.wire import strict
from tests.wire.authenticator import Key
from tests.wire.claimants import LOST, ROOT, Claimant
from tests.wire.journeys import PASSWORD, code_sent, first_factor_by_password, ids, password_asked, proven
from tests.wire.servers import World
from tests.wire.test_owner import CODES, FREEZE, ask, token
from tests.wire.test_passkeys import ORIGIN, registered

MONTH = timedelta(days=30)
WEEK = 7 * 24 * 3600
PROVEN = {"method": "password", "password": PASSWORD}
NEVER_SENT = "00000000"


def an_owner(
    world: World, password: str | None = PASSWORD, *, second: bool = False, age: timedelta = MONTH
) -> Claimant:
    number = phone(new_number())
    assert number is not None
    world.person(address := new_address(), password=password, seconds=(number,) if second else (), age=age)
    return Claimant(world, address, world.password_app if password else world.otp_app)


def without_ids(reply: Reply) -> Any:
    """What an answer says, less what is different in every one."""
    left_out = {"trace_id", "correlation_id", "timestamp", "error_description", "continuation_token"}
    return {name: value for name, value in reply.body.items() if name not in left_out}


# Reporting. -----------------------------------------------------------------------------------------


@pytest.mark.proves("DT-01", "DT-02")
def test_a_report_tells_the_owner_and_nobody_else_hears_whether_there_is_one(world: World) -> None:
    owner = an_owner(world)
    known = owner.post("report", username=owner.address, reason="device_lost")
    nobody = new_address()
    unknown = owner.post("report", username=nobody, reason="device_lost")

    assert (known.status, known.body) == (unknown.status, unknown.body) == (202, {})
    world.arrived(owner.address, "notice", 1)
    assert world.messages(nobody) == []
    assert owner.emergency.state == "normal"


@pytest.mark.proves("AT-31")
def test_reports_do_not_flood_the_owner(world: World) -> None:
    owner = an_owner(world)
    for _ in range(5):
        assert owner.post("report", username=owner.address).status == 202
    world.arrived(owner.address, "notice", 1)
    assert world.count(owner.address, "notice") == 1


# Containing. ----------------------------------------------------------------------------------------


@pytest.mark.proves("DT-04")
def test_a_code_of_the_mailbox_holds_the_account_at_once(world: World) -> None:
    owner = an_owner(world, second=True)
    signed_in = first_factor_by_password(world, owner.address, world.scope)
    assert signed_in.error[1] == "mfa_required"
    held = owner.contain_by_mail().ok()

    assert (held["state"], held["rank"]) == ("contained", 1)
    assert set(held["quarantined"]) == {"email", "sms"}
    assert owner.emergency.state == "contained"
    world.arrived(owner.address, "notice", 1)
    again = first_factor_by_password(world, owner.address, "openid")
    assert again["challenge_type"] == "redirect"


def test_a_password_holds_it_too_and_sessions_end(world: World) -> None:
    owner = an_owner(world)
    tokens = first_factor_by_password(world, owner.address, "openid offline_access").ok()
    owner.contain_by_password().ok()
    renewed = world.post(
        strict.TOKEN,
        client_id=world.password_app,
        grant_type="refresh_token",
        refresh_token=tokens["refresh_token"],
    )
    assert renewed.error[0] == "invalid_grant"


@pytest.mark.proves("DT-13", "AT-20")
def test_a_code_from_before_the_hold_signs_nobody_in(world: World) -> None:
    owner = an_owner(world, None)
    sent, code = code_sent(world, owner.address)
    owner.contain_by_mail({}).ok()
    late = world.post(
        strict.TOKEN,
        client_id=world.otp_app,
        continuation_token=sent.token,
        grant_type="oob",
        oob=code,
        scope="openid",
    )
    assert "access_token" not in late.body
    assert late.status == 400 or late.body.get("challenge_type") == "redirect"


@pytest.mark.parametrize(
    "proof",
    [
        {"method": "password", "password": "not the password"},
        {"method": "email", "oob": NEVER_SENT},
        {"method": "recovery_code", "code": "ABCD-EFGH-JKLM-NPQR"},
        {"method": "freeze_code", "code": "ABCD-EFGH"},
        {"method": "webauthn", "credential": {"id": "x", "response": {}}},
    ],
    ids=lambda p: p["method"],
)
@pytest.mark.proves("DT-03", "AT-24")
def test_what_is_wrong_is_wrong_in_the_same_words_whether_or_not_there_is_an_account(
    world: World, proof: dict[str, Any]
) -> None:
    owner, nobody = an_owner(world), Claimant(world, new_address())
    answers = []
    for claimant in (owner, nobody):
        challenged = claimant.challenged(proof["method"]).ok()
        refused = claimant.contain(challenged.token, proof)
        answers.append((refused.status, without_ids(refused)))
    assert answers[0] == answers[1]
    assert answers[0][0] == 400
    assert answers[0][1]["error"] == "invalid_grant"
    assert owner.emergency.state == "normal"


@pytest.mark.proves("AT-24", "AT-25")
@pytest.mark.parametrize("method", ["password", "email", "sms", "freeze_code", "recovery_code", "webauthn"])
def test_what_is_asked_is_the_same_for_an_account_and_for_none(world: World, method: str) -> None:
    owner, nobody = an_owner(world), Claimant(world, new_address())
    asked = [without_ids(c.challenged(method).ok()) for c in (owner, nobody)]
    tokens = [c.challenged(method).ok().token for c in (owner, nobody)]
    for answer in asked:
        if "public_key" in answer:
            del answer["public_key"]["challenge"]
            assert answer["public_key"].pop("allowCredentials")
    assert asked[0] == asked[1]
    assert len(tokens[0]) == len(tokens[1])


@pytest.mark.proves("AT-25", "WAN-06")
def test_made_up_passkeys_of_a_name_are_always_the_same(world: World) -> None:
    nobody = Claimant(world, new_address())
    listed = [nobody.challenged("webauthn").ok()["public_key"]["allowCredentials"] for _ in range(2)]
    assert listed[0] == listed[1]
    other = Claimant(world, new_address()).challenged("webauthn").ok()["public_key"]["allowCredentials"]
    assert other != listed[0]


@pytest.mark.proves("DT-70")
@pytest.mark.slow
def test_of_fifty_guesses_at_once_no_more_are_compared_than_may_be(world: World) -> None:
    """The first that were wrong are counted before any is compared, so a burst gains nothing."""
    owner = an_owner(world)
    code = ask(world, "POST", CODES, token(world, owner.address, f"openid {SECURITY_INFO_SCOPE}")).ok()[
        "codes"
    ][0]
    tokens = [owner.started() for _ in range(51)]
    wrong = {"method": "recovery_code", "code": "ABCD-EFGH-JKLM-NPQR"}
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda t: owner.contain(t, wrong).error, tokens[:50]))
    compared = [a for a in answers if a[:2] == ("invalid_grant", "invalid_oob_value")]
    assert len(compared) == FAILURES.windows[0][0]
    assert {a[0] for a in answers if a not in compared} == {"slow_down"}
    right = owner.contain(tokens[50], {"method": "recovery_code", "code": code})
    assert right.error[0] == "slow_down", "not even what is right is compared then"


@pytest.mark.proves("DT-79")
def test_a_guess_is_counted_before_it_is_compared(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever kills the server in the middle of a guess has used it up."""
    owner = an_owner(world)
    endpoint = world._development._tenant.emergency
    subject = world.subject(owner.address).id

    async def dies(need: object) -> None:
        raise MemoryError

    monkeypatch.setattr(endpoint._hashing, "check", dies)
    assert owner.contain_by_password("a guess").status == 500
    monkeypatch.undo()
    bucket = f"{FAILURES.name}/{subject}"
    needs = Needs(subject=subject, buckets=lambda _: (bucket,))
    assert len(world.run(world.store.read(needs)).histories[bucket]) == 1
    assert owner.emergency.state == "normal"


def test_a_right_proof_costs_the_owner_no_guess(world: World) -> None:
    owner = an_owner(world)
    owner.contain_by_password("a slip of the finger")
    for _ in range(5):
        owner.contain_by_password().ok()
    subject = world.subject(owner.address).id
    bucket = f"{FAILURES.name}/{subject}"
    needs = Needs(subject=subject, buckets=lambda _: (bucket,))
    assert len(world.run(world.store.read(needs)).histories[bucket]) == 1


def test_guesses_at_the_door_use_up_none_of_the_guesses_of_sign_in_nor_the_other_way_round(
    world: World,
) -> None:
    owner = an_owner(world)
    for _ in range(4):
        owner.contain_by_password("a guess")
    assert owner.contain_by_password("a guess").error[0] == "slow_down"
    assert first_factor_by_password(world, owner.address, "openid").status == 200


def test_codes_are_not_sent_without_end(world: World) -> None:
    owner = an_owner(world)
    most = SENDS.windows[0][0]
    answers = [owner.challenged("email") for _ in range(most + 1)]
    assert [a.status for a in answers] == [200] * most + [429]
    world.arrived(owner.address, "emergency", most)
    nobody = Claimant(world, new_address())
    assert [nobody.challenged("email").status for _ in range(most + 1)] == [200] * most + [429]


# Keys and tokens. -----------------------------------------------------------------------------------


@pytest.mark.proves("AT-17")
def test_a_captured_request_cannot_be_sent_again(world: World) -> None:
    owner = an_owner(world)
    begun, proof = owner.started(), owner.proof(f"{ROOT}/contain")
    body: dict[str, Any] = {"continuation_token": begun, "proof": PROVEN, "lost": LOST}
    owner.post("contain", proof, **body).ok()
    again = owner.post("contain", proof, **body)
    assert (again.status, again.error[0]) == (401, "invalid_dpop_proof")


def test_a_right_answer_counts_once(world: World) -> None:
    owner = an_owner(world)
    begun, code = owner.code_asked()
    proof = {"method": "email", "oob": code}
    owner.contain(begun, proof).ok()
    assert owner.contain(begun, proof).error[0] == "expired_token"


@pytest.mark.proves("AT-18")
def test_a_token_is_for_its_key_its_app_and_its_time(world: World) -> None:
    owner, thief = an_owner(world), an_owner(world)
    begun, code = owner.code_asked()
    proof = {"method": "email", "oob": code}
    stolen = thief.contain(begun, proof)
    assert (stolen.status, stolen.error[:2]) == (401, ("invalid_dpop_proof", "claim_key_mismatch"))
    owner.client = world.otp_app
    assert owner.contain(begun, proof).error[0] == "expired_token"
    owner.client = world.password_app
    changed = begun[:-8] + ("AAAAAAAA" if not begun.endswith("AAAAAAAA") else "BBBBBBBB")
    assert owner.contain(changed, proof).error[0] == "expired_token"
    world.advance(11 * 60)
    assert owner.contain(begun, proof).error[0] == "expired_token"
    assert owner.emergency.state == "normal"


def test_one_accounts_code_says_nothing_at_another(world: World) -> None:
    owner, victim = an_owner(world), an_owner(world)
    _, code = owner.code_asked()
    challenged = victim.challenged("email").ok()
    assert victim.contain(challenged.token, {"method": "email", "oob": code}).error[1] == "invalid_oob_value"


@pytest.mark.parametrize("header", ["", "rubbish", "a.b.c"])
def test_without_a_proof_of_possession_nothing_is_heard(world: World, header: str) -> None:
    owner = an_owner(world)
    begun = owner.started()
    refused = owner.post("contain", header or "x", continuation_token=begun, proof=PROVEN)
    assert (refused.status, refused.error[0]) == (401, "invalid_dpop_proof")


def test_a_proof_for_another_call_is_none_for_this(world: World) -> None:
    owner = an_owner(world)
    for wrong in (
        owner.proof(f"{ROOT}/status"),
        owner.proof(f"{ROOT}/contain", htm="GET"),
        owner.proof(f"{ROOT}/contain", iat=0),
    ):
        refused = owner.post("contain", wrong, continuation_token=owner.started(), proof=PROVEN)
        assert refused.error[0] == "invalid_dpop_proof"


@pytest.mark.proves("DT-74")
def test_a_case_that_is_not_yours_looks_like_one_that_there_is_not(world: World) -> None:
    owner, thief = an_owner(world), an_owner(world)
    owner.contain_by_password().ok()
    thief.case = owner.case
    answers = []
    for case in (owner.case, "00000000-0000-4000-8000-000000000000"):
        thief.case = case
        for call in ("status", "devices", "extend", "lift", "cancel", "recovery/start", "contest"):
            refused = thief.say(call)
            answers.append((refused.status, without_ids(refused)))
    assert len({json.dumps(a, sort_keys=True) for a in answers}) == 1
    assert answers[0][1]["error"] == "invalid_grant"


# Bad input. -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "body"),
    [
        ("report", {"username": "ada@example.com", "reason": "bored"}),
        ("report", {"username": 7}),
        ("report", {"username": "@"}),
        ("start", {"username": "ada@example.com"}),
        (
            "start",
            {"username": "ada@example.com", "claim_jwk": {"kty": "EC", "crv": "P-256", "x": 1, "y": 2}},
        ),
        ("start", {"username": "ada@example.com", "claim_jwk": {"kty": "oct", "k": "AAAA"}}),
        ("challenge", {"continuation_token": "x", "method": "mind reading"}),
        ("contain", {"continuation_token": "x", "proof": {"method": "password"}}),
        ("contain", {"continuation_token": "x", "proof": {"method": "webauthn", "code": "7"}}),
        ("contain", {"continuation_token": "x", "proof": PROVEN, "and": "more"}),
        ("status", {}),
    ],
)
def test_what_is_malformed_is_refused_as_such(world: World, call: str, body: dict[str, Any]) -> None:
    refused = Claimant(world, "ada@example.com").post(call, **body)
    assert (refused.status, refused.error[0]) == (400, "invalid_request")


@pytest.mark.proves("AT-34")
def test_no_form_of_another_site_can_speak_it(world: World) -> None:
    owner = an_owner(world)
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert owner.post("report", headers=form, username=owner.address).status == 415
    text = {"content-type": "text/plain"}
    assert owner.post("contain", headers=text, continuation_token="x", proof=PROVEN).status == 415
    foreign = owner.post("report", headers={"origin": "https://evil.example"}, username=owner.address)
    assert (foreign.status, foreign.error[0]) == (403, "access_denied")
    asked = world.http.request(
        "OPTIONS",
        f"{world.base}{ROOT}/contain",
        headers={"origin": "https://evil.example", "access-control-request-method": "POST"},
    )
    assert "access-control-allow-origin" not in asked.headers
    own = world.http.request(
        "OPTIONS",
        f"{world.base}{ROOT}/contain",
        headers={"origin": ORIGIN, "access-control-request-method": "POST"},
    )
    assert "dpop" in own.headers["access-control-allow-headers"]


def test_an_app_that_there_is_not_is_refused(world: World) -> None:
    nobody = Claimant(world, "ada@example.com", "00000000-0000-4000-8000-000000000000")
    assert nobody.post("report", username=nobody.address).error[0] == "unauthorized_client"


# A whole way. ---------------------------------------------------------------------------------------


def test_the_owner_sees_how_it_stands_and_holds_it_longer_once(world: World) -> None:
    owner = an_owner(world)
    held = owner.contain_by_password().ok()
    status = owner.say("status").ok()
    assert (status["state"], status["hold_until"]) == ("contained", held["hold_until"])
    assert (status["other_claims"], status["ready_at"]) == (None, None)
    longer = owner.say("extend").ok()
    assert longer["hold_until"] > held["hold_until"]
    assert owner.say("extend").error[:2] == ("access_denied", "trigger_limited")


def test_a_security_key_ends_a_false_alarm(world: World) -> None:
    owner = an_owner(world, age=timedelta())
    key = Key()
    registered(world, token(world, owner.address, f"openid {SECURITY_INFO_SCOPE}"), key)
    world.advance(8 * 24 * 3600)
    ex = Claimant(world, owner.address)
    ex.contain_by_password().ok()

    asked = owner.challenged("webauthn").ok()
    signed = {"method": "webauthn", "credential": key.signed(asked["public_key"], ORIGIN)}
    joined = owner.contain(asked.token, signed, {}).ok()
    assert (joined["case_id"], joined["rank"]) == (ex.case, 6)
    lifted = owner.say("lift").ok()
    assert lifted["state"] == "normal"
    assert lifted["immunity_until"]
    again = ex.contain_by_password()
    assert again.error[:2] == ("access_denied", "trigger_limited")


def test_a_security_key_that_verified_nobody_lifts_nothing(world: World) -> None:
    owner = an_owner(world, age=timedelta())
    key = Key()
    registered(world, token(world, owner.address, f"openid {SECURITY_INFO_SCOPE}"), key)
    world.advance(8 * 24 * 3600)
    owner.contain_by_password().ok()
    asked = owner.say("evidence/begin", type="webauthn").ok()
    key.flags &= ~0x04
    signed = {"method": "webauthn", "credential": key.signed(asked["public_key"], ORIGIN)}
    refused = owner.post("evidence/finish", evidence_id=asked["evidence_id"], proof=signed)
    assert refused.error[:2] == ("invalid_grant", "invalid_assertion")


@pytest.mark.proves("AT-15")
def test_a_freeze_code_holds_and_does_no_more(world: World) -> None:
    owner = an_owner(world)
    own = token(world, owner.address, f"openid {SECURITY_INFO_SCOPE}")
    code = ask(world, "POST", FREEZE, own).ok()["code"]
    held = owner.contain_by_paper(code, "freeze_code").ok()
    assert (held["state"], held["rank"]) == ("contained", 1)
    assert owner.say("recovery/start").error[:2] == ("invalid_grant", "evidence_insufficient")


@pytest.mark.proves("DT-44", "AT-19")
def test_nothing_is_had_back_before_the_wait_is_over_nor_without_having_waited(world: World) -> None:
    owner, paper = with_paper(world)
    owner.contain_by_password().ok()
    early = owner.say("evidence/begin", type="recovery_code").ok()
    skipped = owner.post("recovery/complete", evidence_id=early["evidence_id"], proof=paper)
    assert skipped.error[0] == "invalid_request"

    assert owner.show(paper).ok()["item"] == "RC"
    assert owner.say("recovery/start").ok()["state"] == "recovery_pending"
    soon = owner.complete(paper)
    assert soon.error[0] == "authorization_pending"
    assert "ready" not in json.dumps(soon.body)


def with_paper(world: World, key: Key | None = None) -> tuple[Claimant, dict[str, Any]]:
    """An owner, and a recovery code that they have on paper for long, and perhaps a passkey."""
    owner = an_owner(world, age=timedelta() if key else MONTH)
    own = token(world, owner.address, f"openid {SECURITY_INFO_SCOPE}")
    code = ask(world, "POST", CODES, own).ok()["codes"][3]
    if key is not None:
        registered(world, own, key)
    world.advance(8 * 24 * 3600)
    return owner, {"method": "recovery_code", "code": code}


def recovered(world: World) -> tuple[Claimant, str]:
    """An owner who has the account back, and the ticket."""
    owner, paper = with_paper(world)
    owner.contain_by_password().ok()
    owner.show(paper).ok()
    owner.say("recovery/start").ok()
    world.advance(5 * 24 * 3600)
    return owner, owner.complete(paper).ok().token


def test_the_wait_begins_when_a_notice_has_left_for_a_safe_address(world: World) -> None:
    """With nothing but the mailbox on the lost phone it begins a day later."""
    for lost, began in ((LOST, False), ({}, True)):
        owner, paper = with_paper(world)
        owner.contain_by_password(lost=lost).ok()
        owner.show(paper).ok()
        sent = world.count(owner.address, "notice")
        owner.say("recovery/start").ok()
        world.arrived(owner.address, "notice", sent + 1)
        deadline = time.monotonic() + 5
        while began and time.monotonic() < deadline and not clock_of(owner):
            time.sleep(0.01)
        assert clock_of(owner) == began


def clock_of(owner: Claimant) -> bool:
    case = owner.emergency.case
    assert case is not None
    assert case.recovery is not None
    return case.recovery.clock_from is not None


NEW_PASSWORD = {"method": "password", "password": "a wholly new one of this owner"}


def renewed(owner: Claimant, right: str, proof: dict[str, Any]) -> Reply:
    begun = owner.post("recovery/register/begin", continuation_token=right, method=proof["method"]).ok()
    return owner.post("recovery/register/finish", continuation_token=begun.token, proof=proof)


@pytest.mark.proves("DT-52", "DT-54")
def test_a_recovery_yields_a_ticket_and_no_token(world: World) -> None:
    owner, ticket = recovered(world)
    assert owner.emergency.state == "restored"
    for grant_type in ("continuation_token", "oob", "refresh_token"):
        refused = world.post(
            strict.TOKEN,
            client_id=world.password_app,
            continuation_token=ticket,
            grant_type=grant_type,
            oob="12345678",
            refresh_token=ticket,
            scope="openid",
        )
        assert refused.status == 400
        assert "access_token" not in refused.body


@pytest.mark.proves("DT-55")
def test_a_ticket_is_good_once_and_for_its_key_alone(world: World) -> None:
    owner, ticket = recovered(world)
    thief = Claimant(world, owner.address)
    stolen = thief.post("recovery/redeem", continuation_token=ticket)
    assert stolen.error[1] == "claim_key_mismatch"
    owner.post("recovery/redeem", continuation_token=ticket).ok()
    assert owner.post("recovery/redeem", continuation_token=ticket).error[0] == "invalid_grant"


def test_whoever_has_recovered_registers_new_ways_to_sign_in_and_signs_in_by_them(world: World) -> None:
    owner, ticket = recovered(world)
    right = owner.post("recovery/redeem", continuation_token=ticket).ok().token
    assert first_factor_by_password(world, owner.address, "openid").status == 400

    assert renewed(owner, right, NEW_PASSWORD).ok()["registered"] == "password"
    number = new_number()
    asked = owner.post("recovery/register/begin", continuation_token=right, method="sms", target=number).ok()
    code = newest(world, number, "enrol", set())
    wrong = {"method": "sms", "oob": "00000000"}
    refused = owner.post("recovery/register/finish", continuation_token=asked.token, proof=wrong)
    assert refused.error[1] == "invalid_oob_value"
    proof = {"method": "sms", "oob": code}
    owner.post("recovery/register/finish", continuation_token=asked.token, proof=proof).ok()
    again = owner.post("recovery/register/finish", continuation_token=asked.token, proof=proof)
    assert again.error[0] == "expired_token"
    key = Key()
    making = owner.post("recovery/register/begin", continuation_token=right, method="webauthn").ok()
    made = {"method": "webauthn", "credential": key.made(making["public_key"], ORIGIN)}
    owner.post("recovery/register/finish", continuation_token=making.token, proof=made, name="Key").ok()

    old = first_factor_by_password(world, owner.address, world.scope)
    assert old.status == 400
    signed_in = challenged_by(world, owner.address, NEW_PASSWORD["password"])
    assert signed_in.error[1] == "mfa_required"
    kinds = {a.kind.value for a in owner.loaded().authenticators}
    assert {"password", "sms_otp", "passkey"} <= kinds


def challenged_by(world: World, address: str, password: str) -> Reply:
    asked = password_asked(world, address)
    return proven(world, world.password_app, asked.token, "password", password, world.scope)


@pytest.mark.parametrize("password", ["short", PASSWORD, "password1234"])
def test_a_new_password_is_judged_like_any(world: World, password: str) -> None:
    owner, ticket = recovered(world)
    right = owner.post("recovery/redeem", continuation_token=ticket).ok().token
    refused = renewed(owner, right, {"method": "password", "password": password})
    assert refused.error[0] == "invalid_grant"
    assert refused.error[1].startswith("password_")


def test_after_its_quarter_of_an_hour_nothing_is_registered(world: World) -> None:
    owner, ticket = recovered(world)
    right = owner.post("recovery/redeem", continuation_token=ticket).ok().token
    begun = owner.post("recovery/register/begin", continuation_token=right, method="password").ok()
    world.advance(16 * 60)
    late = owner.post("recovery/register/finish", continuation_token=begun.token, proof=NEW_PASSWORD)
    assert late.error[0] == "expired_token"


@pytest.mark.proves("DT-58")
def test_an_older_anchor_undoes_a_recovery_and_what_it_registered(world: World) -> None:
    key = Key()
    owner, paper = with_paper(world, key)
    thief = Claimant(world, owner.address)
    thief.contain_by_password().ok()
    thief.show(paper).ok()
    thief.say("recovery/start").ok()
    world.advance(5 * 24 * 3600)
    right = thief.post("recovery/redeem", continuation_token=thief.complete(paper).ok().token).ok().token
    renewed(thief, right, NEW_PASSWORD).ok()

    asked = owner.challenged("webauthn").ok()
    signed = {"method": "webauthn", "credential": key.signed(asked["public_key"], ORIGIN)}
    undone = owner.post("undo", continuation_token=asked.token, proof=signed).ok()
    assert undone["state"] == "frozen"
    assert [a for a in owner.loaded().authenticators if a.kind.value == "password"] == []
    refused = renewed_late(thief, right)
    assert refused.error[0] == "invalid_grant"


def renewed_late(owner: Claimant, right: str) -> Reply:
    return owner.post("recovery/register/begin", continuation_token=right, method="password")


@pytest.mark.proves("AT-05")
def test_the_thief_recovers_nothing_from_the_phone(world: World) -> None:
    owner = an_owner(world, second=True)
    owner.contain_by_password().ok()
    thief = Claimant(world, owner.address)
    joined = thief.contain_by_mail().ok()
    assert (joined["case_id"], joined["rank"]) == (owner.case, 0)
    assert thief.say("recovery/start").error[:2] == ("invalid_grant", "evidence_insufficient")
    assert thief.say("lift").error[:2] == ("invalid_grant", "evidence_insufficient")
    assert owner.emergency.state == "contained"


@pytest.mark.proves("DT-78")
def test_notices_and_signals_of_a_hold_are_sent_once_each(world: World) -> None:
    owner = an_owner(world, second=True)
    before = ids(world, owner.address)
    owner.contain_by_password().ok()
    world.arrived(owner.address, "notice", 1)
    assert len([m for m in world.messages(owner.address) if m["id"] not in before]) == 1


# What a stranger can make of it. ---------------------------------------------------------------------


@pytest.mark.proves("AT-22", "AT-23")
@pytest.mark.parametrize("call", ["evidence/finish", "object", "undo", "recovery/complete"])
def test_no_call_compares_more_guesses_than_may_be_wrong_nor_tells_which_was_right(
    world: World, call: str
) -> None:
    """Where there is nothing to say yes to, right and wrong are answered and counted alike."""
    expected: list[Any] = []
    for text in (PASSWORD, "a guess"):
        owner = an_owner(world)
        begun = owner.started()
        proof = {"method": "password", "password": text}
        token_of = "evidence_id" if call in ("evidence/finish", "recovery/complete") else "continuation_token"
        body: dict[str, Any] = {token_of: begun, "proof": proof}
        answers = [without_ids(owner.post(call, **body)) for _ in range(5)]
        told = [(a["error"], a.get("suberror")) for a in answers]
        if text == PASSWORD:
            expected = told
        if call in ("evidence/finish", "recovery/complete"):
            assert told == expected, "right and wrong are one"
            assert [t[0] for t in told[3:]] == ["slow_down"] * 2
        elif text != PASSWORD:
            assert [t[0] for t in told[3:]] == ["slow_down"] * 2


@pytest.mark.proves("AT-24")
@pytest.mark.parametrize("call", ["evidence/finish", "object", "undo", "recovery/complete", "contain"])
def test_a_name_that_is_nobodys_is_slowed_down_like_any(world: World, call: str) -> None:
    token_of = "evidence_id" if call in ("evidence/finish", "recovery/complete") else "continuation_token"
    told = []
    for claimant in (an_owner(world), Claimant(world, new_address())):
        body: dict[str, Any] = {
            token_of: claimant.started(),
            "proof": {"method": "password", "password": "a guess"},
        }
        told.append([without_ids(claimant.post(call, **body)) for _ in range(5)])
    assert told[0] == told[1]


@pytest.mark.proves("AT-24")
@pytest.mark.parametrize("length", [6, 19, 40, 120])
@pytest.mark.parametrize("method", ["email", "sms", "webauthn", "password"])
def test_how_long_a_token_is_says_nothing(world: World, method: str, length: int) -> None:
    number = phone(new_number())
    assert number is not None
    address = f"{'a' * min(length, 50)}{length}{method}@{'b' * max(1, min(length - 50, 60))}.example.com"
    world.person(address, password=PASSWORD, seconds=(number,), age=MONTH)
    known, nobody = Claimant(world, address), Claimant(world, new_address())
    assert len(known.challenged(method).ok().token) == len(nobody.challenged(method).ok().token)


@pytest.mark.proves("AVL-03")
def test_strangers_who_use_up_the_wrong_answers_keep_out_no_security_key(world: World) -> None:
    owner = an_owner(world, age=timedelta())
    key = Key()
    registered(world, token(world, owner.address, f"openid {SECURITY_INFO_SCOPE}"), key)
    world.advance(8 * 24 * 3600)
    thief = Claimant(world, owner.address)
    thief.contain_by_password().ok()
    while thief.contain_by_password("a guess").error[0] != "slow_down":
        pass
    asked = owner.challenged("webauthn").ok()
    signed = {"method": "webauthn", "credential": key.signed(asked["public_key"], ORIGIN)}
    owner.contain(asked.token, signed, {}).ok()
    assert owner.say("lift").ok()["state"] == "normal"
    assert thief.contain_by_password("a guess").error[0] == "slow_down", "and guesses are no more for it"


def test_two_names_of_one_account_do_not_show_that_they_are(world: World) -> None:
    with world.changed(usernames=True):
        world.person(
            address := new_address(), password=PASSWORD, username=(name := new_address()[:12]), age=MONTH
        )
        most = SENDS.windows[0][0]
        assert [Claimant(world, address).challenged("email").status for _ in range(most)] == [200] * most
        assert Claimant(world, name).challenged("email").status == 200


def test_a_recovery_leaves_one_password(world: World) -> None:
    owner, paper = with_paper(world)
    owner.contain_by_mail({}).ok()
    owner.show({"method": "password", "password": PASSWORD}).ok()
    owner.show(paper).ok()
    owner.say("recovery/start").ok()
    world.advance(5 * 24 * 3600)
    right = owner.post("recovery/redeem", continuation_token=owner.complete(paper).ok().token).ok().token
    renewed(owner, right, NEW_PASSWORD).ok()
    assert [a.kind.value for a in owner.loaded().authenticators].count("password") == 1
    assert challenged_by(world, owner.address, PASSWORD).status == 400


@pytest.mark.parametrize("case", ["a\x00b", "a b", "'", "ä"])
def test_what_is_no_id_of_a_case_reaches_no_store(world: World, case: str) -> None:
    owner = an_owner(world)
    owner.case = case
    assert owner.say("status").error[0] == "invalid_request"
