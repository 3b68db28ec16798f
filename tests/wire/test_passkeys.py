"""Passkeys as anchors: what is asked, what is believed, and what is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from genkan import identifiers
from genkan.engine import signals
from genkan.engine.emergency import account
from genkan.engine.emergency.case import Means
from genkan.engine.messages import PutReserve
from genkan.engine.transaction import DetectionQuery, Needs
from genkan.model import Authenticator, Kind, Stream
from genkan.service.demo import SECURITY_INFO_SCOPE
from tests.server import BOTH, Reply, first_factor_by_code, new_address, newest
from tests.wire import strict, test_owner
from tests.wire.authenticator import BE, UP, UV, Key, b64
from tests.wire.journeys import PASSWORD, challenged, first_factor_by_password, ids, proven, redeemed
from tests.wire.servers import World
from tests.wire.test_owner import ME, READINESS, ask, kept

PASSKEYS = f"{ME}/passkeys"
ORIGIN = "http://localhost:3000"


def a_person(world: World) -> str:
    """Somebody with a password and, for second factor, codes to their mailbox."""
    address = new_address()
    mailbox = identifiers.email(address)
    assert mailbox is not None
    world.person(address, password=PASSWORD, seconds=(mailbox,), age=timedelta(days=30))
    return address


def token(world: World, address: str, scope: str = SECURITY_INFO_SCOPE) -> str:
    """A token from a sign-in with both."""
    app, seen = world.password_app, ids(world, address)
    asked = first_factor_by_password(world, address, f"openid {scope}")
    assert asked.error == ("invalid_grant", "mfa_required", 50076)
    sent = challenged(world, app, asked.token)
    code = newest(world, address, "mfa", seen)
    return str(proven(world, app, sent.token, "mfa_oob", code, f"openid {scope}").ok()["access_token"])


def begun(world: World, key: str, what: str = "begin") -> dict[str, Any]:
    options: dict[str, Any] = ask(world, "POST", f"{PASSKEYS}/{what}", key).ok()["public_key"]
    return options


def finished(world: World, token: str, credential: Any, name: str = "Blue key") -> Reply:
    return ask(world, "POST", f"{PASSKEYS}/finish", token, {"credential": credential, "name": name})


def registered(world: World, token: str, key: Key, name: str = "Blue key") -> Reply:
    return finished(world, token, key.made(begun(world, token), ORIGIN), name).ok()


def removed(world: World, token: str, id: str, credential: Any) -> Reply:
    return ask(world, "POST", f"{PASSKEYS}/remove", token, {"id": id, "credential": credential})


def every(world: World, address: str) -> tuple[Authenticator, ...]:
    id = world.subject(address).id
    found: tuple[Authenticator, ...] = world.run(world.store.look(lambda view: view.every_authenticator(id)))
    return tuple(a for a in found if a.kind is Kind.PASSKEY)


def listed(world: World, token: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(world, "GET", PASSKEYS, token).ok()["passkeys"]
    return found


# Registering. ---------------------------------------------------------------------------------------


@pytest.mark.proves("WAN-01", "WAN-02", "WAN-03", "WAN-05")
def test_several_are_registered_named_and_listed_and_the_account_becomes_ready(world: World) -> None:
    address = a_person(world)
    key = token(world, address)
    options = begun(world, key)
    first = finished(world, key, Key().made(options, ORIGIN), "Blue key").ok()
    registered(world, key, Key(synced=True), "Phone")

    assert options["rp"]["id"] == "localhost"
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert len(options["challenge"]) == 43  # 32 bytes
    assert [(p["name"], p["anchor"], p["security_key"]) for p in listed(world, key)] == [
        ("Blue key", True, True),
        ("Phone", False, True),
    ]
    world.arrived(address, "notice", 2)
    again = begun(world, key)
    assert {c["id"] for c in again["excludeCredentials"]} >= {b64(_key_of(world, address, first["id"]))}
    assert again["user"]["id"] == options["user"]["id"]
    assert address not in json.dumps(again["user"]["id"])
    missing = ask(world, "GET", READINESS, key).ok()["missing"]
    assert "second_anchor" in missing
    assert "anchor" not in missing
    registered(world, key, Key())
    assert ask(world, "GET", READINESS, key).ok()["level"] == "ready"


def _key_of(world: World, address: str, id: str) -> bytes:
    found = next(a.passkey for a in every(world, address) if a.id == id)
    assert found is not None
    return found.credential


@pytest.mark.proves("WAN-03")
def test_the_emergency_protocol_sees_which_are_anchors(world: World) -> None:
    address = a_person(world)
    key = token(world, address)
    registered(world, key, Key())
    registered(world, key, Key(synced=True))
    seen = account.methods(world.subject(address), every(world, address))
    methods = [m for m in seen if m.means is Means.PASSKEY]

    assert [m.is_anchor for m in methods] == [True, False]
    assert all(m.changed_by for m in methods)


def test_whoever_has_one_goes_on_signing_in_by_what_else_they_have(world: World) -> None:
    address = a_person(world)
    registered(world, token(world, address), Key())

    again = token(world, address)
    assert listed(world, again)


def flagged(key: Key, flags: int) -> Key:
    key.flags = flags
    return key


WRONG: dict[str, Callable[[Key, dict[str, Any]], Any]] = {
    "another challenge": lambda k, o: k.made({**o, "challenge": b64(bytes(32))}, ORIGIN),
    "another origin": lambda k, o: k.made(o, "https://evil.example"),
    "an origin that begins alike": lambda k, o: k.made(o, "http://localhost.evil.example:3000"),
    "another site embeds it": lambda k, o: k.made(o, ORIGIN, crossOrigin=True),
    "another site on top": lambda k, o: k.made(o, ORIGIN, topOrigin="https://evil.example"),
    "another domain": lambda k, o: Key("evil.example").made(o, ORIGIN),
    "a signature in the place of a key": lambda k, o: k.signed(o, ORIGIN),
    "the type of a signature": lambda k, o: k.made(o, ORIGIN, type="webauthn.get"),
    "nobody was verified": lambda k, o: flagged(k, UP).made(o, ORIGIN),
    "nobody was there": lambda k, o: flagged(k, UV).made(o, ORIGIN),
    "backed up but not eligible": lambda k, o: flagged(k, UP | UV | 0x10).made(o, ORIGIN),
    "nothing": lambda k, o: {},
    "rubbish": lambda k, o: {"id": 1, "rawId": [], "response": {"clientDataJSON": "💥"}, "type": None},
    "rubbish within": lambda k, o: {
        **k.made(o, ORIGIN),
        "response": {**k.made(o, ORIGIN)["response"], "attestationObject": b64(b"\xff\xff\xff")},
    },
}


@pytest.mark.proves("WAN-01", "WAN-02")
@pytest.mark.parametrize("name", WRONG)
def test_an_answer_that_is_not_exactly_right_registers_nothing_and_ends_the_question(
    world: World, name: str
) -> None:
    address = a_person(world)
    key = token(world, address)
    options, device = begun(world, key), Key()
    refused = finished(world, key, WRONG[name](device, options))
    device.flags = UP | UV
    late = finished(world, key, device.made(options, ORIGIN))

    assert (refused.status, *refused.error[:2]) == (400, "invalid_grant", "invalid_assertion"), refused.body
    assert late.error[1] == "invalid_assertion"
    assert every(world, address) == ()


@pytest.mark.proves("WAN-01")
def test_a_question_is_answered_once_within_five_minutes_and_by_its_own_account(world: World) -> None:
    mine, other = a_person(world), a_person(world)
    key, others = token(world, mine), token(world, other)
    options, device = begun(world, key), Key()
    answer = device.made(options, ORIGIN)
    begun(world, others)

    assert finished(world, others, answer).error[1] == "invalid_assertion"
    finished(world, key, answer).ok()
    assert finished(world, key, answer).error[1] == "invalid_assertion"
    old = begun(world, key)
    world.advance(301)
    assert finished(world, key, Key().made(old, ORIGIN)).error[1] == "invalid_assertion"
    replaced, _ = begun(world, key), begun(world, key)
    assert finished(world, key, Key().made(replaced, ORIGIN)).error[1] == "invalid_assertion"


@pytest.mark.proves("WAN-05")
def test_a_credential_is_one_accounts_in_a_tenant(world: World) -> None:
    mine, other = a_person(world), a_person(world)
    device = Key()
    registered(world, token(world, mine), device)
    others = token(world, other)
    refused = finished(world, others, device.made(begun(world, others), ORIGIN))

    assert (refused.status, refused["error"]) == (409, "conflict")
    assert every(world, other) == ()


def test_ten_are_enough(world: World) -> None:
    key = token(world, a_person(world))
    for n in range(10):
        registered(world, key, Key(), f"Key {n}")

    assert ask(world, "POST", f"{PASSKEYS}/begin", key).status == 429


@pytest.mark.parametrize("name", ["", "x" * 65, "two\nlines", 5, None])
def test_a_name_is_one_short_line(world: World, name: Any) -> None:
    key = token(world, a_person(world))
    options = begun(world, key)
    refused = finished(world, key, Key().made(options, ORIGIN), name)

    assert (refused.status, refused["error"]) == (400, "invalid_request")


@pytest.mark.proves("ENR-01", "SES-08")
def test_every_change_takes_a_fresh_proof(world: World) -> None:
    address = a_person(world)
    with world.changed(access_token_lifetime=timedelta(hours=1)):
        key = token(world, address)
        device = Key()
        id = registered(world, key, device)["id"]
        world.advance(11 * 60)
        for path, body in (
            ("begin", {}),
            ("finish", {"credential": {}, "name": "x"}),
            ("rename", {"id": id, "name": "x"}),
            ("begin-removal", {}),
            ("remove", {"id": id, "credential": {}}),
        ):
            refused = ask(world, "POST", f"{PASSKEYS}/{path}", key, body)
            assert refused["error"] == "insufficient_user_authentication", path
        assert [p["name"] for p in listed(world, key)] == ["Blue key"]


@pytest.mark.proves("ENR-01", "ENR-02")
def test_whoever_knows_a_password_alone_registers_no_passkey(world: World) -> None:
    """It would be two factors at once, theirs and for good."""
    old, young = new_address(), new_address()
    world.person(old, password=PASSWORD, age=timedelta(days=2))
    world.person(young, password=PASSWORD)
    first = test_owner.token(world, young)
    registered(world, first, Key())

    # An old account takes none, and one that has a passkey takes no other.
    for bearer in (test_owner.token(world, old), first):
        for path, body in (("begin", {}), ("finish", {"credential": {}, "name": "x"})):
            refused = ask(world, "POST", f"{PASSKEYS}/{path}", bearer, body)
            assert refused.error[:2] == ("insufficient_user_authentication", "mfa_required"), path
    again = first_factor_by_password(world, young, f"openid {SECURITY_INFO_SCOPE}").ok()
    assert again["challenge_type"] == "redirect", "there is a second factor, of which this app knows nothing"


@pytest.mark.proves("ENR-02")
def test_a_code_to_the_sign_in_address_lets_one_be_registered(world: World) -> None:
    by_code, by_reset = new_address(), new_address()
    world.person(by_code, age=timedelta(days=2))
    world.person(by_reset, password=PASSWORD, age=timedelta(days=2))
    scope = f"openid {SECURITY_INFO_SCOPE}"
    one = first_factor_by_code(world, by_code, scope).ok()["access_token"]
    done = reset(world, by_reset, "quiet otter by noon")
    other = redeemed(world, world.password_app, done.token, scope=scope).ok()["access_token"]

    for bearer in (one, other):
        registered(world, bearer, Key())


def stored(world: World, address: str) -> Any:
    return world.store.read(Needs(subject=world.subject(address).id))


def reset(world: World, address: str, new: str) -> Reply:
    """The last answer of a password reset: its token waits to be redeemed."""
    app = world.password_app
    started = world.post(
        strict.RESET_START, client_id=app, username=address, challenge_type="oob redirect", capabilities=BOTH
    ).ok()
    seen = ids(world, address)
    sent = world.post(strict.RESET_CHALLENGE, client_id=app, continuation_token=started.token).ok()
    code = newest(world, address, "reset_password", seen)
    shown = world.post(
        strict.RESET_CONTINUE, client_id=app, continuation_token=sent.token, grant_type="oob", oob=code
    ).ok()
    kept = world.post(
        strict.RESET_SUBMIT, client_id=app, continuation_token=shown.token, new_password=new
    ).ok()
    return world.post(strict.RESET_POLL, client_id=app, continuation_token=kept.token).ok()


# Changing and removing. -----------------------------------------------------------------------------


def test_one_is_renamed_and_nobody_elses(world: World) -> None:
    mine, other = a_person(world), a_person(world)
    key = token(world, mine)
    id = registered(world, key, Key())["id"]

    assert (
        ask(world, "POST", f"{PASSKEYS}/rename", key, {"id": id, "name": "Grün 🔑"}).ok()["name"] == "Grün 🔑"
    )
    refused = ask(world, "POST", f"{PASSKEYS}/rename", token(world, other), {"id": id, "name": "x"})
    assert refused.status == 404
    assert listed(world, key)[0]["name"] == "Grün 🔑"


@pytest.mark.proves("ENR-07", "ENR-12")
def test_an_anchor_is_removed_by_an_anchor_and_stays_on_record(world: World) -> None:
    address = a_person(world)
    key = token(world, address)
    anchor, synced = Key(), Key(synced=True)
    id = registered(world, key, anchor)["id"]
    registered(world, key, synced, "Phone")

    weak = removed(world, key, id, synced.signed(begun(world, key, "begin-removal"), ORIGIN))
    assert weak.error[1] == "invalid_assertion"
    removed(world, key, id, anchor.signed(begun(world, key, "begin-removal"), ORIGIN)).ok()
    assert [p["name"] for p in listed(world, key)] == ["Phone"]
    assert {a.id: a.state for a in every(world, address)}[id] == "tombstoned"
    world.arrived(address, "notice", 3)


@pytest.mark.proves("WAN-02")
def test_without_a_verified_user_or_with_a_registrations_question_nothing_is_removed(world: World) -> None:
    address = a_person(world)
    key = token(world, address)
    anchor = Key()
    id = registered(world, key, anchor)["id"]
    anchor.flags = UP
    unverified = removed(world, key, id, anchor.signed(begun(world, key, "begin-removal"), ORIGIN))
    anchor.flags = UP | UV
    crossed = removed(world, key, id, anchor.signed(begun(world, key), ORIGIN))
    stranger = removed(world, key, id, Key().signed(begun(world, key, "begin-removal"), ORIGIN))
    anchor.flags = UP | UV | BE
    other_nature = removed(world, key, id, anchor.signed(begun(world, key, "begin-removal"), ORIGIN))

    for refused in (unverified, crossed, stranger, other_nature):
        assert refused.error[1] == "invalid_assertion"
    assert len(listed(world, key)) == 1


@pytest.mark.proves("WAN-05")
def test_a_user_handle_of_another_account_is_refused(world: World) -> None:
    address = a_person(world)
    key = token(world, address)
    anchor = Key()
    id = registered(world, key, anchor)["id"]
    anchor.handle = bytes(32)
    refused = removed(world, key, id, anchor.signed(begun(world, key, "begin-removal"), ORIGIN))

    assert refused.error[1] == "invalid_assertion"


@pytest.mark.proves("WAN-04")
def test_a_counter_that_goes_back_is_refused_and_told_as_a_risk(world: World) -> None:
    address = a_person(world)
    key = token(world, address)
    anchor, other = Key(), Key()
    registered(world, key, anchor)
    id = registered(world, key, other, "Other")["id"]
    anchor.counter = 7
    third = registered(world, key, Key(), "Third")["id"]
    removed(world, key, third, anchor.signed(begun(world, key, "begin-removal"), ORIGIN)).ok()
    anchor.counter = 5  # Its answer says 6, after 8 was seen.
    refused = removed(world, key, id, anchor.signed(begun(world, key, "begin-removal"), ORIGIN))
    subject = world.subject(address).id
    found = world.run(world.store.detections(DetectionQuery(subject=subject)))

    assert refused.error[1] == "invalid_assertion"
    assert [(d.word, d.level) for d in found] == [("passkeyCounterWentBack", "high")]
    assert len(listed(world, key)) == 2


def test_codes_stay_when_a_passkey_is_asked_for(world: World) -> None:
    address = a_person(world)
    key = token(world, address)
    ask(world, "POST", f"{ME}/recovery-codes", key).ok()
    before = kept(world, address)
    begun(world, key)

    assert kept(world, address).recovery == before.recovery
    world.write(PutReserve(kept(world, address)))
    assert world.run(world.store.read(Needs(subject=world.subject(address).id))).reserve is None


def test_receivers_of_security_events_hear_of_a_passkey_that_comes_and_goes(world: World) -> None:
    address = a_person(world)
    stream = Stream(id="polled", client="q", audience="q", events=signals.EVENTS)
    with world.changed(stream):
        key, device = token(world, address), Key()
        id = registered(world, key, device)["id"]
        removed(world, key, id, device.signed(begun(world, key, "begin-removal"), ORIGIN)).ok()
        said = [str(one) for one in world.run(world.store.untaken(stream, 10))]

    assert [("create" in one, "delete" in one) for one in said] == [(True, False), (False, True)]
    assert all("fido2-roaming" in one for one in said)
