"""Signing in by a passkey: what an app hears that asks for it, what counts as right, and what outsiders learn."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from genkan import identifiers
from genkan.engine import budgets
from genkan.engine.emergency.case import Means
from genkan.engine.messages import Count, PutAuthenticator, PutSubject
from genkan.engine.story import tell
from genkan.engine.transaction import DetectionQuery, Needs
from genkan.model import Kind, MethodSettings, Reason
from genkan.policy.model import GrantControls, StrengthReference
from genkan.risk import rate
from tests.emergency.on_file import contains, decides
from tests.server import BOTH, Reply, new_address
from tests.wire import strict
from tests.wire.authenticator import BE, UP, UV, Key, b64
from tests.wire.claimants import Claimant
from tests.wire.journeys import OPENID, PASSWORD, first_factor_by_password, proven
from tests.wire.policies import for_everybody
from tests.wire.servers import World
from tests.wire.test_owner import ask
from tests.wire.test_passkeys import ORIGIN, PASSKEYS, a_person, every, registered, removed, token
from tests.wire.test_passkeys import begun as ceremony

ALL = "webauthn password oob redirect"
REFUSED = ("invalid_grant", "invalid_assertion", 50181)
GONE = ("invalid_grant", "", 55200)


def started(world: World, address: str, app: str = "", types: str = ALL) -> Reply:
    return world.post(
        strict.INITIATE,
        client_id=app or world.password_app,
        username=address,
        challenge_type=types,
        capabilities=BOTH,
    ).ok()


def asked(world: World, address: str, app: str = "") -> Reply:
    """A sign-in at the moment when a passkey is to sign."""
    app = app or world.password_app
    return again(world, started(world, address, app).token, app)


def again(world: World, token: str, app: str = "", types: str = ALL) -> Reply:
    return world.post(
        strict.CHALLENGE, client_id=app or world.password_app, continuation_token=token, challenge_type=types
    ).ok()


def answered(
    world: World, question: Reply | str, credential: Any, app: str = "", scope: str = OPENID
) -> Reply:
    token = question if isinstance(question, str) else question.token
    text = credential if isinstance(credential, str) else json.dumps(credential)
    return world.post(
        strict.TOKEN,
        client_id=app or world.password_app,
        continuation_token=token,
        grant_type="webauthn",
        credential=text,
        scope=scope,
    )


def signs_in(world: World, address: str, key: Key, app: str = "", scope: str = OPENID) -> Reply:
    question = asked(world, address, app)
    return answered(world, question, key.signed(question["public_key"], ORIGIN), app, scope)


def shown(world: World, address: str) -> list[str]:
    """The ids that whoever knows the name is shown."""
    return [c["id"] for c in asked(world, address)["public_key"]["allowCredentials"]]


def has_passkey(world: World, *, synced: bool = False) -> tuple[str, Key]:
    address, key = a_person(world), Key(synced=synced)
    registered(world, token(world, address), key)
    return address, key


# It works. ------------------------------------------------------------------------------------------


@pytest.mark.proves("WAN-01", "WAN-03", "WAN-07")
@pytest.mark.parametrize("synced", [False, True], ids=["on its device", "synced"])
def test_a_passkey_signs_in_by_itself_and_is_two_factors(world: World, synced: bool) -> None:
    address, key = has_passkey(world, synced=synced)
    question = asked(world, address)
    options = question["public_key"]
    tokens = answered(world, question, key.signed(options, ORIGIN)).ok()
    _, claims = strict.jwt(tokens["id_token"])

    assert question["challenge_type"] == "webauthn"
    assert (options["rpId"], options["userVerification"]) == ("localhost", "required")
    assert options["allowCredentials"] == [{"type": "public-key", "id": b64(key.id)}]
    assert options["timeout"] == 300_000
    assert claims["amr"] == ["pop", "user", "mfa"]
    assert claims["acr"] == "urn:genkan:acr:mfa"
    assert claims["oid"] == world.subject(address).id
    (stored,) = every(world, address)
    assert stored.passkey is not None
    assert (stored.passkey.counter, stored.last_used_at is not None) == (key.counter, True)
    entry = world.sign_ins(address)[0]
    assert [(s.kind, s.part, s.succeeded) for s in entry.steps] == [(Kind.PASSKEY, "first", True)]
    renewed = world.post(
        strict.TOKEN,
        client_id=world.password_app,
        grant_type="refresh_token",
        refresh_token=tokens["refresh_token"],
    ).ok()
    assert strict.jwt(renewed["id_token"])[1]["amr"] == ["pop", "user", "mfa"]


@pytest.mark.proves("CAP-069", "WAN-02")
def test_where_policy_wants_two_factors_a_passkey_is_enough(world: World) -> None:
    address, key = has_passkey(world)
    app = world.otp_app
    by_password = first_factor_by_password(world, address, world.scope)
    tokens = signs_in(world, address, key, app, world.scope).ok()

    assert by_password.error[1] in ("mfa_required", "registration_required")
    assert "mfa" in strict.jwt(tokens["id_token"])[1]["amr"]


@pytest.mark.proves("WAN-07")
def test_an_app_that_does_not_list_it_never_hears_of_it(world: World) -> None:
    address, key = has_passkey(world)
    plain = started(world, address, types="password oob redirect")
    question = again(world, plain.token, types="password oob redirect")
    foreign = key.signed({"challenge": b64(bytes(32))}, ORIGIN)

    assert question.body.keys() == {"continuation_token", "challenge_type"}
    assert question["challenge_type"] == "password"
    assert answered(world, question, foreign).error == ("invalid_grant", "", 400002)
    proven(world, world.password_app, question.token, "password", PASSWORD).ok()


def test_whoever_cannot_use_it_asks_again_without_it(world: World) -> None:
    address, key = has_passkey(world)
    question = asked(world, address)
    crossed = proven(world, world.password_app, question.token, "password", PASSWORD)
    instead = again(world, question.token, types="password oob redirect")
    late = answered(world, instead, key.signed(question["public_key"], ORIGIN))
    back = again(world, instead.token)

    assert crossed.error == ("invalid_grant", "", 400002)
    assert instead["challenge_type"] == "password"
    assert late.error == ("invalid_grant", "", 400002)
    answered(world, back, key.signed(back["public_key"], ORIGIN)).ok()


def test_an_app_for_passkeys_alone_is_sent_to_a_browser_for_all_else(world: World) -> None:
    address = a_person(world)
    question = again(world, started(world, address, types="webauthn redirect").token)
    over = again(world, question.token, types="redirect")

    assert over["challenge_type"] == "redirect"


# As second factor. ----------------------------------------------------------------------------------


def first(world: World, address: str, types: str = ALL) -> Reply:
    """The answer to a right password where policy wants two factors; the app may know of passkeys."""
    begun = started(world, address, types=types)
    asked = again(world, begun.token, types="password oob redirect")
    return proven(world, world.password_app, asked.token, "password", PASSWORD)


def second(world: World, required: Reply, id: str) -> Reply:
    return world.post(
        strict.CHALLENGE,
        client_id=world.password_app,
        continuation_token=required.token,
        id=id,
        challenge_type=ALL,
    ).ok()


def methods(world: World, required: Reply) -> list[dict[str, Any]]:
    form = {"client_id": world.password_app, "continuation_token": required.token}
    return list(world.post_form(strict.INTROSPECT, form).ok()["methods"])


@pytest.fixture
def asks_for_two(world: World) -> Iterator[World]:
    """Every app asks for a second factor, after whatever first one."""
    with world.changed(for_everybody("mfa")):
        yield world


@pytest.mark.proves("WAN-07")
def test_after_a_password_a_passkey_is_listed_beside_the_codes_and_is_the_second_factor(
    asks_for_two: World,
) -> None:
    world = asks_for_two
    address, key = has_passkey(world)
    required = first(world, address)
    listed = methods(world, required)
    (own,) = [m for m in listed if m["challenge_type"] == "webauthn"]
    question = second(world, required, own["id"])
    tokens = answered(world, question, key.signed(question["public_key"], ORIGIN)).ok()

    assert required.error == ("invalid_grant", "mfa_required", 50076)
    assert [m["challenge_type"] for m in listed] == ["oob", "webauthn"]
    assert own == {"id": every(world, address)[0].id, "challenge_type": "webauthn", "login_hint": "Blue key"}
    assert question["public_key"]["allowCredentials"] == [{"type": "public-key", "id": b64(key.id)}]
    assert strict.jwt(tokens["id_token"])[1]["amr"] == ["pwd", "pop", "user", "mfa"]


@pytest.mark.proves("CAP-070")
def test_an_app_that_does_not_know_it_sees_codes_alone_or_is_sent_to_a_browser(asks_for_two: World) -> None:
    world = asks_for_two
    address, _ = has_passkey(world)
    plain = "password oob redirect"
    listed = methods(world, first(world, address, plain))
    without_codes(world, address)
    redirected = first(world, address, plain).ok()
    known = first(world, address)

    assert [m["challenge_type"] for m in listed] == ["oob"]
    assert redirected.body.keys() == {"challenge_type", "redirect_reason"}
    assert known.error[1] == "mfa_required", "and nobody is led to add a phone instead"
    assert [m["challenge_type"] for m in methods(world, known)] == ["webauthn"]


def without_codes(world: World, address: str) -> None:
    """Take away whatever sends codes as second factor."""
    held = world.run(world.store.read(Needs(subject=world.subject(address).id))).authenticators
    for one in held:
        if one.strong and one.target is not None:
            world.write(PutAuthenticator(replace(one, state="tombstoned", removed_at=world.now)))


@pytest.mark.proves("WAN-01", "WAN-02")
def test_as_second_factor_only_the_one_that_was_chosen_counts_and_any_answer_ends_the_question(
    asks_for_two: World,
) -> None:
    world = asks_for_two
    address, key = has_passkey(world)
    other = Key()
    registered(world, token(world, address), other, "Other")
    required = first(world, address)
    named = {m["login_hint"]: m["id"] for m in methods(world, required)}
    question = second(world, required, named["Other"])
    crossed = answered(world, question, key.signed(question["public_key"], ORIGIN))
    late = answered(world, question, other.signed(question["public_key"], ORIGIN))
    by_code = proven(world, world.password_app, question.token, "mfa_oob", "00000000")
    question = second(world, required, named["Other"])
    other.flags = UP
    unverified = answered(world, question, other.signed(question["public_key"], ORIGIN))
    other.flags = UP | UV
    question = second(world, required, named["Blue key"])
    coded = proven(world, world.password_app, question.token, "mfa_oob", "00000000")
    right = answered(world, question, key.signed(question["public_key"], ORIGIN))

    assert crossed.error == unverified.error == REFUSED
    assert late.error == by_code.error == GONE
    assert coded.error == ("invalid_grant", "", 400002)
    right.ok()


def test_a_policy_that_wants_what_resists_phishing_is_met_by_a_passkey_alone(world: World) -> None:
    address, key = has_passkey(world)
    strong = for_everybody()
    controls = GrantControls(
        operator="OR", authentication_strength=StrengthReference(id="00000000-0000-0000-0000-000000000004")
    )
    with world.changed(replace(strong, grant_controls=controls)):
        required = first(world, address)
        listed = methods(world, required)
        question = second(world, required, listed[0]["id"])
        as_second = answered(world, question, key.signed(question["public_key"], ORIGIN))
        as_first = signs_in(world, address, key)
        stock = first(world, address, "password oob redirect")

    assert [m["challenge_type"] for m in listed] == ["webauthn"]
    as_second.ok()
    as_first.ok()
    assert stock["challenge_type"] == "redirect"


# What does not count. -------------------------------------------------------------------------------


def flagged(key: Key, flags: int) -> Key:
    key.flags = flags
    return key


def spoilt(credential: dict[str, Any]) -> dict[str, Any]:
    signature = bytearray(b64d(credential["response"]["signature"]))
    signature[-1] ^= 1
    return {**credential, "response": {**credential["response"], "signature": b64(bytes(signature))}}


def b64d(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "==")


def as_if_of(key: Key, other: Key) -> Key:
    """A key that says it is another."""
    key.id, key.handle = other.id, other.handle
    return key


WRONG: dict[str, Callable[[Key, dict[str, Any]], Any]] = {
    "another challenge": lambda k, o: k.signed({**o, "challenge": b64(bytes(32))}, ORIGIN),
    "another origin": lambda k, o: k.signed(o, "https://evil.example"),
    "an origin that begins alike": lambda k, o: k.signed(o, "http://localhost.evil.example:3000"),
    "no origin": lambda k, o: k.signed(o, ""),
    "another site embeds it": lambda k, o: k.signed(o, ORIGIN, crossOrigin=True),
    "another site on top": lambda k, o: k.signed(o, ORIGIN, topOrigin="https://evil.example"),
    "the type of a registration": lambda k, o: k.signed(o, ORIGIN, kind="webauthn.create"),
    "a registration": lambda k, o: k.made({**o, "user": {"id": b64(k.handle)}}, ORIGIN),
    "nobody was verified": lambda k, o: flagged(k, UP).signed(o, ORIGIN),
    "nobody was there": lambda k, o: flagged(k, UV).signed(o, ORIGIN),
    "of another nature": lambda k, o: flagged(k, UP | UV | BE).signed(o, ORIGIN),
    "another key": lambda k, o: as_if_of(Key(), k).signed(o, ORIGIN),
    "an unknown key": lambda k, o: Key().signed(o, ORIGIN),
    "another domain": lambda k, o: as_if_of(Key("evil.example"), k).signed(o, ORIGIN),
    "another user handle": lambda k, o: {
        **k.signed(o, ORIGIN),
        "response": {**k.signed(o, ORIGIN)["response"], "userHandle": b64(bytes(32))},
    },
    "a spoilt signature": lambda k, o: spoilt(k.signed(o, ORIGIN)),
    "nothing": lambda k, o: {},
    "rubbish": lambda k, o: {"id": 1, "rawId": [], "response": {"clientDataJSON": "💥"}, "type": None},
}


@pytest.mark.proves("WAN-01", "WAN-02", "WAN-05")
@pytest.mark.parametrize("name", WRONG)
def test_an_answer_that_is_not_exactly_right_is_refused_and_ends_the_question(
    world: World, name: str
) -> None:
    address, key = has_passkey(world)
    question = asked(world, address)
    before = key.handle
    refused = answered(world, question, WRONG[name](key, question["public_key"]))
    key.flags, key.handle = UP | UV, before
    late = answered(world, question, key.signed(question["public_key"], ORIGIN))

    assert refused.error == REFUSED, refused.body
    assert refused.status == 400
    assert late.error == GONE
    assert every(world, address)[0].last_used_at is None
    anew = again(world, question.token)
    assert anew["public_key"]["challenge"] != question["public_key"]["challenge"]
    answered(world, anew, key.signed(anew["public_key"], ORIGIN)).ok()


@pytest.mark.proves("WAN-01")
def test_an_answer_counts_once(world: World) -> None:
    address, key = has_passkey(world)
    question = asked(world, address)
    answer = key.signed(question["public_key"], ORIGIN)
    answered(world, question, answer).ok()
    replayed = answered(world, question, answer)
    elsewhere = answered(world, asked(world, address), answer)

    assert replayed.error == GONE
    assert elsewhere.error == REFUSED


@pytest.mark.proves("WAN-01")
def test_a_question_is_of_one_flow_one_app_and_one_account(world: World) -> None:
    mine, key = has_passkey(world)
    theirs, other = has_passkey(world)
    of_me, of_them = asked(world, mine), asked(world, theirs)
    of_other_app = asked(world, mine, world.otp_app)
    newer = asked(world, mine)

    def signed(question: Reply, by: Key) -> dict[str, Any]:
        return by.signed(question["public_key"], ORIGIN)

    # My key cannot answer for them, nor an answer in another of my flows, nor by another app.
    assert answered(world, of_them, signed(of_them, key)).error == REFUSED
    assert answered(world, of_me, signed(newer, key)).error == REFUSED
    assert answered(world, of_other_app, signed(newer, key), world.otp_app).error == REFUSED
    crossed = answered(world, newer, signed(newer, key), world.otp_app)
    assert crossed.error == GONE
    answered(world, newer, signed(newer, key)).ok()
    fresh = again(world, of_them.token)
    answered(world, fresh, signed(fresh, other)).ok()


@pytest.mark.proves("WAN-01")
def test_a_question_lasts_five_minutes(world: World) -> None:
    address, key = has_passkey(world)
    question = asked(world, address)
    world.advance(301)
    assert answered(world, question, key.signed(question["public_key"], ORIGIN)).error == REFUSED
    in_time = asked(world, address)
    world.advance(290)
    answered(world, in_time, key.signed(in_time["public_key"], ORIGIN)).ok()


@pytest.mark.proves("WAN-01")
def test_what_was_signed_to_change_the_account_signs_nobody_in_and_the_other_way_round(
    world: World,
) -> None:
    address, key = has_passkey(world)
    bearer = token(world, address)
    removal = ceremony(world, bearer, "begin-removal")
    question = asked(world, address)
    id = every(world, address)[0].id

    assert answered(world, question, key.signed(removal, ORIGIN)).error == REFUSED
    question = again(world, question.token)
    crossed = removed(world, bearer, id, key.signed(question["public_key"], ORIGIN))
    assert crossed.error[1] == "invalid_assertion"
    assert ask(world, "GET", PASSKEYS, bearer).ok()["passkeys"]


@pytest.mark.proves("WAN-04")
def test_a_counter_that_goes_back_signs_nobody_in_and_is_told_as_a_risk(world: World) -> None:
    address, key = has_passkey(world)
    key.counter = 40
    signs_in(world, address, key).ok()
    key.counter = 7
    refused = signs_in(world, address, key)
    found = world.run(world.store.detections(DetectionQuery(subject=world.subject(address).id)))
    stored = every(world, address)[0].passkey

    assert refused.error == REFUSED
    assert [(d.word, d.level) for d in found] == [("passkeyCounterWentBack", "high")]
    assert stored is not None
    assert stored.counter == 41
    key.counter = 41
    signs_in(world, address, key).ok()


def test_a_passkey_without_a_counter_signs_in_again_and_again(world: World) -> None:
    address, key = has_passkey(world, synced=True)
    for _ in range(2):
        key.counter = -1
        signs_in(world, address, key).ok()


@pytest.mark.parametrize("state", ["tombstoned", "quarantined"])
def test_one_that_was_put_away_since_it_was_asked_signs_nobody_in(world: World, state: Any) -> None:
    address, key = has_passkey(world)
    question = asked(world, address)
    (held,) = every(world, address)
    world.write(PutAuthenticator(replace(held, state=state)))

    assert answered(world, question, key.signed(question["public_key"], ORIGIN)).error == REFUSED


def test_a_flow_is_over_after_five_wrong_answers(world: World) -> None:
    address, key = has_passkey(world)
    question = asked(world, address)
    for _ in range(4):
        assert answered(world, question, {}).error == REFUSED
        question = again(world, question.token)
    assert answered(world, question, {}).error == REFUSED
    more = world.post(
        strict.CHALLENGE,
        client_id=world.password_app,
        continuation_token=question.token,
        challenge_type=ALL,
    )

    assert more.error == GONE
    signs_in(world, address, key).ok()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", ("invalid_request", "", 900144)),
        ("{", ("invalid_request", "", 90100)),
        ("[]", ("invalid_request", "", 90100)),
        ("null", ("invalid_request", "", 90100)),
        ("[" * 9000, ("invalid_request", "", 90100)),
        (json.dumps({"x": "y" * 40_000}), ("invalid_request", "", 90100)),
    ],
    ids=["missing", "broken", "a list", "null", "deep", "long"],
)
def test_what_is_no_credential_changes_nothing(world: World, text: str, error: tuple[str, str, int]) -> None:
    address, key = has_passkey(world)
    question = asked(world, address)

    assert answered(world, question, text).error == error
    answered(world, question, key.signed(question["public_key"], ORIGIN)).ok()


def test_the_state_of_an_account_is_told_only_to_whoever_has_the_key(world: World) -> None:
    address, key = has_passkey(world)
    question = asked(world, address)
    world.write(PutSubject(replace(world.subject(address), status="disabled")))
    guessed = answered(world, question, Key().signed(question["public_key"], ORIGIN))
    question = again(world, question.token)
    right = answered(world, question, key.signed(question["public_key"], ORIGIN))

    assert guessed.error == REFUSED
    assert right.error == ("invalid_grant", "", 50057)


def test_an_administrator_can_take_passkeys_from_people(world: World) -> None:
    address, key = has_passkey(world)
    with world.changed((Kind.PASSKEY, MethodSettings(enabled=False))):
        assert signs_in(world, address, key).error == REFUSED
    signs_in(world, address, key).ok()


# Budgets. -------------------------------------------------------------------------------------------


@pytest.mark.proves("AVL-03")
def test_whatever_others_have_used_up_a_passkey_signs_in(world: World) -> None:
    address, key = has_passkey(world)
    subject, tenant = world.subject(address), world.directory.tenant
    full, until = (rate.milliseconds(world.now),) * 200, world.now + timedelta(days=1)
    target = identifiers.email(address)
    assert target is not None
    names = {
        *(
            b
            for kind in (Kind.PASSWORD, Kind.EMAIL_OTP, Kind.SMS_OTP)
            for b in budgets.of_method(subject.id, kind)
        ),
        *(rate.guesses_in_tenant(kind) for kind in Kind),
        *(rate.guesses_through_app(world.password_app, kind) for kind in Kind),
        *(rate.guesses_from_network(rate.network("127.0.0.1"), kind) for kind in Kind),
        rate.sends(target),
        rate.sends_of_purpose(target, "sign_in"),
        rate.signatures(subject.id, rate.network("198.51.100.7"), is_nobody=False),
    }
    far = (rate.milliseconds(world.now + timedelta(days=3)),)
    pools = {rate.guesses_in_tenant(k) for k in Kind} | {
        rate.guesses_through_app(world.password_app, k) for k in Kind
    }
    for name in names:
        world.write(Count(bucket=name, history=far if name in pools else full, keep_until=until))
    by_password = first_factor_by_password(world, address, OPENID)

    assert tenant.wrong_guesses_per_app
    tokens = signs_in(world, address, key)
    for name in names:
        world.write(Count(bucket=name, history=(), keep_until=world.now))

    assert by_password.error == ("invalid_grant", "", 50126), "the password waits"
    tokens.ok()


def test_wrong_signatures_are_bounded_for_whoever_makes_them_and_for_nobody_else(world: World) -> None:
    address, key = has_passkey(world)
    for _ in range(5):
        question = asked(world, address)
        for _ in range(4):
            assert answered(world, question, {"rawId": b64(key.id)}).error == REFUSED
            question = again(world, question.token)
    assert signs_in(world, address, key).error == REFUSED
    world.advance(3601)
    signs_in(world, address, key).ok()
    for _ in range(3):  # What was right is no guess.
        signs_in(world, address, key).ok()


# What outsiders learn. ------------------------------------------------------------------------------


@pytest.mark.proves("WAN-06", "ENUM-02")
def test_who_has_an_account_or_a_passkey_does_not_show(world: World) -> None:
    with world.changed(enumeration="uniform"):
        nobody, without, (with_one, _) = new_address(), a_person(world), has_passkey(world)
        questions = [asked(world, who) for who in (nobody, without, with_one)]
        answers = [answered(world, q, Key().signed(q["public_key"], ORIGIN)) for q in questions]
        named = [
            answered(world, q, as_if_of(Key(), key_of(q)).signed(q["public_key"], ORIGIN))
            for q in [again(world, q.token) for q in questions]
        ]

        assert {tuple(q["public_key"]) for q in questions} == {tuple(questions[0]["public_key"])}
        assert [a.error for a in (*answers, *named)] == [REFUSED] * 6
        assert len({a.status for a in (*answers, *named)}) == 1
        for name in (nobody, without, with_one):
            assert shown(world, name) == shown(world, name)


def key_of(question: Reply) -> Key:
    """A key of the first id in the list, without its secret."""
    key = Key()
    key.id, key.handle = b64d(question["public_key"]["allowCredentials"][0]["id"]), b""
    return key


@pytest.mark.proves("WAN-06")
def test_made_up_keys_stay_when_an_account_comes_and_are_the_same_by_each_of_its_names(
    world: World,
) -> None:
    address, username = new_address(), f"ada{new_address()[:8]}".replace("-", "").replace(".", "")
    with world.changed(enumeration="uniform", usernames=True):
        before = shown(world, address)
        world.person(address, password=PASSWORD, username=username)

        assert shown(world, address) == before
        assert shown(world, username) == before
        assert shown(world, new_address()) != before


@pytest.mark.proves("WAN-06")
def test_the_emergency_door_names_the_same_keys(world: World) -> None:
    """Else whoever asks at both could tell which of them are made up."""
    with world.changed(enumeration="uniform"):
        for name in (new_address(), a_person(world), has_passkey(world)[0]):
            there = Claimant(world, name).challenged("webauthn").ok()["public_key"]["allowCredentials"]

            assert [c["id"] for c in there] == shown(world, name)


@pytest.mark.proves("WAN-06")
def test_a_hold_does_not_show_in_the_keys_that_are_named(world: World) -> None:
    address, key = has_passkey(world)
    email = identifiers.email(address)
    assert email is not None
    needs = Needs(identifier=email.key, whole=True)
    world.run(world.store.run(needs, decides(contains(means=Means.PASSWORD))))

    assert shown(world, address) == [b64(key.id)]


def test_where_accounts_are_told_an_unknown_name_is_told_as_ever(world: World) -> None:
    refused = world.post(
        strict.INITIATE, client_id=world.password_app, username=new_address(), challenge_type=ALL
    )
    assert refused.error[0] == "user_not_found"


def test_the_audit_says_what_was_tried(world: World) -> None:
    address, key = has_passkey(world)
    question = asked(world, address)
    answered(world, question, {})
    question = again(world, question.token)
    answered(world, question, key.signed(question["public_key"], ORIGIN)).ok()
    entry = world.sign_ins(address)[0]

    assert [(s.kind, s.succeeded) for s in entry.steps] == [(Kind.PASSKEY, False), (Kind.PASSKEY, True)]
    rows = world.run(world.store.trail(entry.correlation_id))
    proofs = [(r.record.reason, r.record.detail.get("kind")) for r in rows if ":prove:" in r.record.action]
    assert proofs == [(Reason.WRONG_PASSKEY, "passkey"), ("", "passkey")]
    (story,) = tell([entry], rows, world.directory)
    told = "\n".join(event.text for event in story.events)
    assert told.count("A passkey was asked for.") == 2
    assert told.index("The passkey was wrong") < told.index("The passkey was right")


# In an emergency. -----------------------------------------------------------------------------------


def held(world: World, *, synced: bool = False, age: int = 8) -> tuple[str, Key]:
    """Somebody whose passkey is so many days old, and whose account a weak proof has contained."""
    address, key = has_passkey(world, synced=synced)
    world.advance(age * 24 * 3600)
    email = identifiers.email(address)
    assert email is not None
    world.run(world.store.run(Needs(identifier=email.key, whole=True), decides(contains())))
    return address, key


def state(world: World, address: str) -> str:
    return world.run(world.store.read(Needs(subject=world.subject(address).id))).emergency.state


@pytest.mark.proves("DT-17")
def test_an_anchor_that_signs_in_lifts_the_hold_and_gets_tokens(world: World) -> None:
    address, key = held(world)
    before = state(world, address)
    tokens = signs_in(world, address, key).ok()
    by_password = first_factor_by_password(world, address, OPENID)
    renewed = world.post(
        strict.TOKEN,
        client_id=world.password_app,
        grant_type="refresh_token",
        refresh_token=tokens["refresh_token"],
    )
    (stored,) = every(world, address)
    kinds = {e.correlation_id: [s.kind for s in e.steps] for e in world.sign_ins(address) if e.interactive}
    flow = next(id for id, proven in kinds.items() if proven == [Kind.PASSKEY])
    rows = [row.record for row in world.run(world.store.trail(flow))]

    assert (before, state(world, address)) == ("contained", "normal")
    # Whoever raised the alarm knew the password; who has the key is not held up by it.
    assert by_password.error == ("invalid_request", "", 50142)
    assert renewed.status == 200
    assert stored.passkey is not None
    assert stored.passkey.counter == key.counter
    assert [r.client for r in rows if r.action == "emergency:lifted"] == [world.password_app]


@pytest.mark.proves("CA-05", "DT-17")
def test_after_the_lift_policy_says_what_it_says_to_everybody(world: World) -> None:
    address, key = held(world)
    with world.changed(for_everybody("block")):
        refused = signs_in(world, address, key)

    assert refused.error[2] == 53003
    assert state(world, address) == "normal"


@pytest.mark.proves("CA-05")
@pytest.mark.parametrize(
    ("synced", "age"), [(True, 8), (False, 3)], ids=["a synced one", "one of three days ago"]
)
def test_no_other_passkey_gets_past_a_hold(world: World, synced: bool, age: int) -> None:
    address, key = held(world, synced=synced, age=age)
    answer = signs_in(world, address, key).ok()

    assert answer["challenge_type"] == "redirect"
    assert state(world, address) == "contained"


@pytest.mark.proves("DT-16")
def test_a_wrong_signature_neither_lifts_nor_learns_of_a_hold(world: World) -> None:
    address, key = held(world)
    question = asked(world, address)
    wrong = answered(world, question, as_if_of(Key(), key).signed(question["public_key"], ORIGIN))
    question = again(world, question.token)
    untouched = answered(world, question, flagged(key, UP).signed(question["public_key"], ORIGIN))

    assert wrong.error == untouched.error == REFUSED
    assert state(world, address) == "contained"
