"""
Security events as receivers get them: over real HTTP, judged by a stranger who knows the specifications alone.

Source: emergency-protocol 11; SSF 1.0, CAEP 1.0, RISC 1.0, RFC 8935, RFC 8936; WHK-06 to WHK-09, ENUM-08, SSPR-04.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from genkan import identifiers
from genkan.model import Kind, Secret
from genkan.service.admin import people, streams
from genkan.service.admin.door import Actor, Refusal
from tests.receivers import Called, Receiver, Says
from tests.server import new_address, new_number
from tests.wire import strict
from tests.wire.journeys import (
    OPENID,
    PASSWORD,
    account_by_password,
    account_with_phone,
    first_factor_by_password,
    password_asked,
    proven,
)
from tests.wire.policies import for_everybody
from tests.wire.servers import World, in_process
from tests.wire.strangers import CAEP, POLL, PUSH, SSF, Event, Stranger
from tests.wire.walks import Reset

NEW = "quiet otter by noon"
OPERATOR = Actor(id="root", name="root", kind="operator")
TAKES = Says(status=202)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[World]:
    """A tenant whose operator has named the receivers of these tests."""
    dead = f"localhost:{_closed_port()}"
    with in_process(
        tmp_path_factory.mktemp("signals") / "data",
        webhook_hosts=f"localhost:{receiver.port},{dead}",
        webhook_authorities=receiver.ca_file,
    ) as running:
        yield running


@pytest.fixture
def stranger(world: World) -> Iterator[Stranger]:
    """A receiver; its stream is gone after the test."""
    one = Stranger(world)
    yield one
    for stream in list(world.directory.streams.values()):
        world.run(streams.remove(world._development._tenant.door, OPERATOR, stream.id))


def _closed_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def door(world: World) -> Any:
    return world._development._tenant.door


def types(events: list[Event], about: str | None = None) -> list[str]:
    return [event.type.rpartition("/")[2] for event in events if about is None or event.about == about]


def eventually(what: Callable[[], Any], seconds: float = 10) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)
    return found


# What is told. ------------------------------------------------------------------------------------------------------


@pytest.mark.proves("SSPR-04")
def test_a_reset_ends_everything_there_is_and_tells_everybody(world: World, stranger: Stranger) -> None:
    stranger.create()
    address, number = new_address(), new_number()
    phone = identifiers.phone(number)
    assert phone
    world.person(address, password=PASSWORD, seconds=(phone,))
    app = world.password_app
    tokens = first_factor_by_password(world, address, OPENID).ok()
    other = password_asked(world, address)

    reset(world, address)

    form = {"client_id": app, "grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert world.post_form(strict.TOKEN, form).error[0] == "invalid_grant"
    assert proven(world, app, other.token, "password", NEW).error[0] in ("invalid_grant", "expired_token")
    for place in (address, number):
        world.arrived(place, "notice", 1)
    assert types(stranger.poll()) == ["credential-change", "session-revoked"]


@pytest.mark.proves("WHK-06")
def test_a_reset_tells_receivers_of_the_new_password_and_of_the_ended_sessions(
    world: World, stranger: Stranger
) -> None:
    stranger.create()
    address = account_by_password(world)
    subject = world.subject(address).id
    assert stranger.poll() == []  # Nobody is told of an account that only begins.

    reset(world, address)

    told = stranger.poll()
    assert types(told) == ["credential-change", "session-revoked"]
    assert {event.about for event in told} == {subject}
    changed = told[0].members
    assert (changed["credential_type"], changed["change_type"]) == ("password", "update")
    assert changed["initiating_entity"] == "user"
    assert told[0].claims["txn"] == told[1].claims["txn"]
    assert told[0].jti != told[1].jti


@pytest.mark.proves("WHK-06")
def test_a_second_factor_that_somebody_registers_is_told_of(world: World, stranger: Stranger) -> None:
    stranger.create()
    with world.changed(for_everybody("mfa")):
        address, _ = account_with_phone(world)
        told = stranger.poll()

    assert types(told) == ["credential-change"]
    assert told[0].about == world.subject(address).id
    assert (told[0].members["credential_type"], told[0].members["change_type"]) == ("phone-sms", "create")


@pytest.mark.proves("WHK-06")
def test_what_administrators_do_to_an_account_is_told_of(world: World, stranger: Stranger) -> None:
    stranger.create()
    address = new_address()
    world.person(address, password="lively heron at dusk")
    id, admin = world.subject(address).id, Actor(id="root", name="root", kind="operator")
    number = identifiers.phone(new_number())
    other = identifiers.phone(new_number())
    mailbox = identifiers.email(new_address())
    assert number
    assert other
    assert mailbox
    acts: list[tuple[Any, list[str]]] = [
        (lambda: people.revoke_sessions(door(world), admin, id), ["session-revoked"]),
        (lambda: people.add_method(door(world), admin, id, Kind.SMS_OTP, number), ["credential-change"]),
        (lambda: people.change_method(door(world), admin, id, Kind.SMS_OTP, other), ["credential-change"]),
        (lambda: people.remove_method(door(world), admin, id, Kind.SMS_OTP), ["credential-change"]),
        (
            lambda: people.add_method(door(world), admin, id, Kind.EMAIL_OTP, mailbox),
            ["recovery-information-changed"],
        ),
        (
            lambda: people.change(door(world), admin, id, people.PersonChange(must_change_password=True)),
            ["account-credential-change-required"],
        ),
        (
            lambda: people.reset_password(door(world), admin, id, Secret("some green umbrellas 41")),
            ["credential-change", "session-revoked"],
        ),
        (
            lambda: people.set_risk(door(world), admin, id, "compromised"),
            ["risk-level-change", "session-revoked"],
        ),
        (lambda: people.set_risk(door(world), admin, id, "safe"), ["risk-level-change"]),
        (
            lambda: people.change(door(world), admin, id, people.PersonChange(enabled=False)),
            ["account-disabled", "session-revoked"],
        ),
        (
            lambda: people.change(door(world), admin, id, people.PersonChange(enabled=True)),
            ["account-enabled"],
        ),
        (
            lambda: people.change(
                door(world), admin, id, people.PersonChange(attributes={"displayName": "Grace"})
            ),
            [],
        ),
        (lambda: people.remove(door(world), admin, id), ["account-disabled", "session-revoked"]),
        (lambda: people.restore(door(world), admin, id), ["account-enabled"]),
    ]

    for act, expected in acts:
        answer = world.run(act())
        assert not isinstance(answer, Refusal), answer
        told = stranger.drain()
        assert sorted(types(told)) == sorted(expected), expected
        assert {event.about for event in told} <= {id}
        assert {e.members["initiating_entity"] for e in told if e.type.startswith(CAEP)} <= {"admin"}


def test_the_kind_and_the_way_of_a_change_are_told_and_no_address(world: World, stranger: Stranger) -> None:
    stranger.create()
    address, number, other = new_address(), new_number(), new_number()
    world.person(address, password="lively heron at dusk")
    id = world.subject(address).id
    first, second = identifiers.phone(number), identifiers.phone(other)
    assert first
    assert second

    world.run(people.add_method(door(world), OPERATOR, id, Kind.SMS_OTP, first))
    world.run(people.change_method(door(world), OPERATOR, id, Kind.SMS_OTP, second))
    world.run(people.remove_method(door(world), OPERATOR, id, Kind.SMS_OTP))

    told = stranger.poll()
    assert [e.members["change_type"] for e in told] == ["create", "update", "delete"]
    assert {e.members["credential_type"] for e in told} == {"phone-sms"}
    said = str([event.claims for event in told])
    assert number not in said
    assert other not in said
    assert address not in said


def test_who_knows_of_codes_by_e_mail_is_told_of_them_by_their_name(world: World, stranger: Stranger) -> None:
    stranger.create()
    stream = stranger.stream_id
    change = streams.StreamChange(email_codes=True)
    world.run(streams.update(door(world), OPERATOR, stream, change, lambda *_: b""))
    address, mailbox = new_address(), identifiers.email(new_address())
    world.person(address, password="lively heron at dusk")
    assert mailbox

    world.run(people.add_method(door(world), OPERATOR, world.subject(address).id, Kind.EMAIL_OTP, mailbox))

    sets = stranger.asked().json()["sets"]
    (claims,) = (payload(token) for token in sets.values())
    assert claims["events"][CAEP + "credential-change"]["credential_type"] == "email-otp"


def test_a_right_password_changes_nothing_that_is_told(world: World, stranger: Stranger) -> None:
    stranger.create()
    address = account_by_password(world)

    first_factor_by_password(world, address, OPENID)

    assert stranger.poll() == []


@pytest.mark.proves("WHK-06")
def test_nothing_is_told_of_a_change_that_does_not_commit(world: World, stranger: Stranger) -> None:
    stranger.create()
    address = account_by_password(world)
    subject = world.subject(address)
    before = world.run(world.store.waiting_signals())

    def fails(view: Any) -> Any:
        from genkan.engine.messages import PutSubject, RevokeGrants
        from genkan.service.admin.door import Done, Target

        stale = PutSubject(subject.__class__(**{**_members(subject), "revision": subject.revision + 7}))
        return Done(None, Target(id=subject.id), (RevokeGrants(subject=subject.id, at=view.now), stale))

    refused = world.run(door(world).act(OPERATOR, people.REVOKE, fails))

    assert isinstance(refused, Refusal)
    assert world.run(world.store.waiting_signals()) == before
    assert stranger.poll() == []


def _members(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__struct_fields__}


def payload(token: str) -> dict[str, Any]:
    import base64
    import json

    text = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))))


def reset(world: World, address: str) -> None:
    """Reset a forgotten password to a new one."""
    Reset(world, world.password_app).done(address, NEW)


# How it comes: asked for. -------------------------------------------------------------------------------------------


@pytest.mark.proves("WHK-06")
def test_what_is_not_acknowledged_comes_again_and_is_the_same(world: World, stranger: Stranger) -> None:
    stranger.create()
    reset(world, account_by_password(world))

    first, second = stranger.asked(), stranger.asked()
    (one, other) = first.json()["sets"]
    assert first.json() == second.json()
    assert first.json()["moreAvailable"] is False

    assert types(stranger.poll(ack=[one])) == ["session-revoked"]
    assert stranger.poll(ack=[one, "never-heard-of", other]) == []


@pytest.mark.proves("WHK-06")
def test_a_receiver_gets_as_many_events_as_it_asks_for(world: World, stranger: Stranger) -> None:
    stranger.create()
    reset(world, account_by_password(world))

    one = stranger.asked(maxEvents=1).json()
    none = stranger.asked(maxEvents=0).json()

    assert (len(one["sets"]), one["moreAvailable"]) == (1, True)
    assert none == {"sets": {}, "moreAvailable": False}
    mistakes: list[dict[str, Any]] = [
        {"maxEvents": -1},
        {"maxEvents": True},
        {"ack": "x"},
        {"ack": [1]},
        {"setErrs": []},
    ]
    for wrong in mistakes:
        assert stranger.asked(**wrong).status_code == 400


@pytest.mark.proves("WHK-06")
def test_who_asks_when_there_is_nothing_is_answered_as_soon_as_there_is(
    world: World, stranger: Stranger
) -> None:
    import threading

    stranger.create()
    address = new_address()
    world.person(address, password="lively heron at dusk")
    id = world.subject(address).id
    began = time.monotonic()
    later = threading.Timer(0.4, lambda: world.run(people.revoke_sessions(door(world), OPERATOR, id)))
    later.start()

    told = stranger.poll(returnImmediately=False)

    later.join()
    assert types(told) == ["session-revoked"]
    assert 0.3 < time.monotonic() - began < 5


@pytest.mark.proves("WHK-08")
def test_what_a_receiver_cannot_use_is_given_up_seen_and_offered_again(
    world: World, stranger: Stranger
) -> None:
    stranger.create()
    reset(world, account_by_password(world))
    one, other = stranger.asked().json()["sets"]

    left = stranger.poll(setErrs={one: {"err": "invalid_key", "description": "by whom?"}})

    assert [event.jti for event in left] == [other]
    (dead,) = world.run(world.store.dead_signals())
    assert (dead.signal.id, dead.stream) == (one, stranger.stream_id)
    assert "invalid_key" in dead.why
    assert "by whom" not in dead.why
    assert [row for row in trail(world) if row.action == "Give up security event"]
    assert world.run(world.store.revive_signals(one)) == 1
    assert [event.jti for event in stranger.poll()] == [one, other]


@pytest.mark.proves("WHK-08")
def test_what_nobody_takes_in_seven_days_is_given_up(world: World, stranger: Stranger) -> None:
    stranger.create()
    reset(world, account_by_password(world))
    runtime = world._development._tenant

    world.run(world._development.move_to(world.now + timedelta(days=7) - timedelta(minutes=1)))
    world.run(runtime._signals.give_up())
    assert len(stranger.fresh().poll()) == 2
    world.run(world._development.move_to(world.now + timedelta(minutes=2)))
    world.run(runtime._signals.give_up())

    assert stranger.fresh().poll() == []
    assert {dead.why for dead in world.run(world.store.dead_signals())} >= {"nobody took it in 7 days"}


def trail(world: World) -> list[Any]:
    return [row.record for row in world.run(world.store.trail(limit=100_000))]


# How it comes: pushed. ----------------------------------------------------------------------------------------------


@pytest.mark.proves("WHK-06")
def test_events_are_pushed_one_by_one_with_the_header_that_was_asked_for(
    world: World, stranger: Stranger, receiver: Receiver
) -> None:
    receiver.answers["/push"] = TAKES
    header = "Bearer marked-authorization-of-the-receiver"
    made = stranger.create(receiver.url("/push"), header)
    assert made["delivery"] == {"method": PUSH, "endpoint_url": receiver.url("/push")}

    reset(world, account_by_password(world))

    calls: list[Called] = eventually(lambda: len(receiver.of("/push")) == 2 and receiver.of("/push"))
    assert types([stranger.read(call.body.decode()) for call in calls]) == [
        "credential-change",
        "session-revoked",
    ]
    for call in calls:
        assert call.headers["content-type"] == "application/secevent+jwt"
        assert call.headers["accept"] == "application/json"
        assert call.headers["authorization"] == header
    eventually(lambda: world.run(world.store.waiting_signals()) == {})
    assert header not in str(world.directory.streams)


@pytest.mark.proves("WHK-08")
def test_a_receiver_that_is_dead_slow_or_leads_elsewhere_delays_no_other(
    world: World, stranger: Stranger, receiver: Receiver
) -> None:
    others = [Stranger(world) for _ in range(3)]
    receiver.answers |= {
        "/good": TAKES,
        "/slow": Says(status=202, after=4),
        "/elsewhere": Says(status=307, headers={"location": receiver.url("/stolen")}),
        "/stolen": TAKES,
    }
    dead = next(h for h in world._development._surroundings.pinned._allowed if h[1] != receiver.port)
    for one, url in zip(
        others,
        (f"https://localhost:{dead[1]}/x", receiver.url("/slow"), receiver.url("/elsewhere")),
        strict=True,
    ):
        one.create(url)
    stranger.create(receiver.url("/good"))
    addresses = [new_address() for _ in range(5)]
    for address in addresses:
        world.person(address, password="lively heron at dusk")
    began = time.monotonic()

    for address in addresses:
        world.run(people.revoke_sessions(door(world), OPERATOR, world.subject(address).id))

    eventually(lambda: len(receiver.of("/good")) == 5, 3)
    assert time.monotonic() - began < 3
    assert [stranger.read(call.body.decode()).about for call in receiver.of("/good")] == [
        world.subject(address).id for address in addresses
    ]
    eventually(lambda: len(receiver.of("/elsewhere")) > 1)
    assert receiver.of("/stolen") == []
    waiting = world.run(world.store.waiting_signals())
    stream_of = {one.id: one.stream_id for one in others}
    assert waiting[stream_of[others[0].id]] == (5, 0)
    assert waiting[stream_of[others[2].id]] == (5, 0)


@pytest.mark.proves("WHK-08")
def test_what_a_receiver_could_not_take_is_pushed_again_and_is_the_same_event(
    world: World, stranger: Stranger, receiver: Receiver
) -> None:
    receiver.answers["/again"] = [Says(status=503), Says(status=500), TAKES]
    stranger.create(receiver.url("/again"))
    address = new_address()
    world.person(address, password="lively heron at dusk")

    world.run(people.revoke_sessions(door(world), OPERATOR, world.subject(address).id))
    for _ in range(8):  # Its waits grow; they are waited for on the server's clock.
        time.sleep(1.1)
        world.run(world._development.move_to(world.now + timedelta(seconds=20)))
        if len(receiver.of("/again")) == 3:
            break

    calls = eventually(lambda: len(receiver.of("/again")) == 3 and receiver.of("/again"), 15)
    claims = [payload(call.body.decode()) for call in calls]
    assert claims[0] == claims[1] == claims[2]
    eventually(lambda: world.run(world.store.waiting_signals()) == {})


@pytest.mark.proves("WHK-08")
def test_what_a_receiver_refuses_for_good_is_not_pushed_again(
    world: World, stranger: Stranger, receiver: Receiver
) -> None:
    receiver.answers["/refuses"] = [Says(b'{"err": "invalid_audience", "description": "x"}', 400), TAKES]
    stranger.create(receiver.url("/refuses"))

    reset(world, account_by_password(world))

    eventually(lambda: len(receiver.of("/refuses")) == 2)
    eventually(lambda: world.run(world.store.waiting_signals()) == {stranger.stream_id: (0, 1)})
    (dead,) = [d for d in world.run(world.store.dead_signals()) if d.stream == stranger.stream_id]
    assert "invalid_audience" in dead.why


@pytest.mark.proves("WHK-01")
def test_events_go_nowhere_that_the_operator_has_not_opened(world: World, stranger: Stranger) -> None:
    for url in ("https://169.254.169.254/latest", "https://localhost:1/x"):
        stream = stranger.create(url)["stream_id"]
        address = new_address()
        world.person(address, password="lively heron at dusk")
        world.run(people.revoke_sessions(door(world), OPERATOR, world.subject(address).id))
        time.sleep(0.3)
        assert world.run(world.store.waiting_signals())[stream] == (1, 0)
        assert stranger.ask("DELETE", "configuration_endpoint", stream_id=stream).status_code == 204
    for url in (
        "http://hooks.example.com/x",
        "https://user:secret@hooks.example.com/",
        "ftp://x",
        "",
        "https://",
    ):
        delivery = {"method": PUSH, "endpoint_url": url}
        assert stranger.ask("POST", "configuration_endpoint", {"delivery": delivery}).status_code == 400


# Streams. -----------------------------------------------------------------------------------------------------------


@pytest.mark.proves("WHK-06")
def test_a_transmitter_says_what_the_interoperability_profile_wants(world: World, stranger: Stranger) -> None:
    told = stranger.configuration

    assert told["spec_version"] == "1_0"
    assert set(told["delivery_methods_supported"]) == {PUSH, POLL}
    assert {"spec_urn": "urn:ietf:rfc:6749"} in told["authorization_schemes"]
    for name in ("jwks_uri", "configuration_endpoint", "status_endpoint", "verification_endpoint"):
        assert told[name].startswith(world.base)
    plain = world.http.get(f"{world.base}/dev/.well-known/ssf-configuration")
    assert plain.json() == told


@pytest.mark.proves("WHK-06")
def test_a_stream_is_created_read_changed_replaced_and_deleted(world: World, stranger: Stranger) -> None:
    assert stranger.ask("GET", "configuration_endpoint").json() == []
    made = stranger.create(events_requested=[CAEP + "session-revoked", "urn:example:unheard-of"])
    id = made["stream_id"]

    assert made["aud"] == stranger.id
    assert made["events_delivered"] == [CAEP + "session-revoked"]
    assert stranger.ask("GET", "configuration_endpoint", stream_id=id).json() == made
    assert stranger.ask("POST", "configuration_endpoint", {}).status_code == 409
    again = {"stream_id": id, "events_requested": [CAEP + "credential-change"], "aud": stranger.id}
    changed = stranger.ask("PATCH", "configuration_endpoint", again)
    assert changed.status_code == 200
    assert changed.json()["events_delivered"] == [CAEP + "credential-change"]
    theirs = {"stream_id": id, "iss": "https://evil.example"}
    assert stranger.ask("PATCH", "configuration_endpoint", theirs).status_code == 400
    replaced = stranger.ask("PUT", "configuration_endpoint", {"stream_id": id})
    assert replaced.json()["events_requested"] == []
    mistakes: list[Any] = [
        {"stream_id": id, "delivery": {"method": "urn:ietf:rfc:9999"}},
        {"stream_id": id, "events_requested": "all"},
        {"stream_id": id, "events_requested": [7]},
        {"stream_id": 7},
        {},
        [],
    ]
    for wrong in mistakes:
        assert stranger.ask("PATCH", "configuration_endpoint", wrong).status_code == 400, wrong
    assert stranger.ask("DELETE", "configuration_endpoint").status_code == 400
    assert stranger.ask("DELETE", "configuration_endpoint", stream_id=id).status_code == 204
    assert stranger.ask("GET", "configuration_endpoint", stream_id=id).status_code == 404


@pytest.mark.proves("WHK-06")
def test_only_events_that_were_asked_for_come(world: World, stranger: Stranger) -> None:
    stranger.create(events_requested=[CAEP + "session-revoked"])

    reset(world, account_by_password(world))

    assert types(stranger.poll()) == ["session-revoked"]


@pytest.mark.proves("WHK-06")
def test_a_paused_stream_holds_what_a_disabled_one_does_not_even_keep(
    world: World, stranger: Stranger
) -> None:
    id = stranger.create()["stream_id"]

    def status(word: str) -> None:
        answer = stranger.ask("POST", "status_endpoint", {"stream_id": id, "status": word, "reason": "test"})
        assert answer.json() == {"stream_id": id, "status": word, "reason": "test"}
        assert stranger.ask("GET", "status_endpoint", stream_id=id).json()["status"] == word

    status("paused")
    reset(world, account_by_password(world))
    assert stranger.poll() == []
    status("enabled")
    assert types(stranger.drain()) == ["credential-change", "session-revoked"]
    reset(world, account_by_password(world))
    status("disabled")
    assert world.run(world.store.waiting_signals()) == {}
    reset(world, account_by_password(world))
    status("enabled")
    assert stranger.poll() == []
    bad = {"stream_id": id, "status": "off"}
    assert stranger.ask("POST", "status_endpoint", bad).status_code == 400


@pytest.mark.proves("WHK-06")
def test_a_receiver_hears_that_the_operator_has_paused_it_and_cannot_undo_it(
    world: World, stranger: Stranger
) -> None:
    id = stranger.create()["stream_id"]

    world.run(streams.set_status(door(world), OPERATOR, id, "paused", "Being moved"))

    (told,) = stranger.drain()
    assert (told.type, told.members) == (
        SSF + "stream-updated",
        {"status": "paused", "reason": "Being moved"},
    )
    again = stranger.ask("POST", "status_endpoint", {"stream_id": id, "status": "enabled"})
    assert again.status_code == 403
    world.run(streams.set_status(door(world), OPERATOR, id, "enabled"))
    assert stranger.drain()[0].members == {"status": "enabled"}


@pytest.mark.proves("WHK-06")
def test_a_verification_event_comes_back_with_the_state_once_in_half_a_minute(
    world: World, stranger: Stranger
) -> None:
    made = stranger.create()
    asked = {"stream_id": made["stream_id"], "state": "VGhpcyBpcyBh"}

    assert stranger.ask("POST", "verification_endpoint", asked).status_code == 204
    too_soon = stranger.ask("POST", "verification_endpoint", asked)

    (told,) = stranger.drain()
    assert (told.type, told.members) == (SSF + "verification", {"state": "VGhpcyBpcyBh"})
    assert (too_soon.status_code, too_soon.headers["retry-after"]) == (429, "30")
    world.run(world._development.move_to(world.now + timedelta(seconds=made["min_verification_interval"])))
    without = {"stream_id": made["stream_id"]}
    assert stranger.ask("POST", "verification_endpoint", without).status_code == 204
    assert stranger.drain()[0].members == {}


# Who may. -----------------------------------------------------------------------------------------------------------


@pytest.mark.proves("ENUM-08")
def test_nobody_without_the_right_token_gets_an_answer(world: World, stranger: Stranger) -> None:
    id = stranger.create()["stream_id"]
    told = stranger.configuration
    reading = str(stranger.token("ssf.read").json()["access_token"])
    admin = world.told["admin"]
    form = {
        "grant_type": "client_credentials",
        "client_id": admin["client_id"],
        "client_secret": admin["client_secret"],
        "scope": "https://graph.microsoft.com/.default",
    }
    graph = world.http.post(f"{world.base}/dev/oauth2/v2.0/token", data=form).json()["access_token"]
    calls = [
        ("POST", told["configuration_endpoint"], {}),
        ("PATCH", told["configuration_endpoint"], {"stream_id": id}),
        ("PUT", told["configuration_endpoint"], {"stream_id": id}),
        ("DELETE", told["configuration_endpoint"], None),
        ("POST", told["status_endpoint"], {"stream_id": id, "status": "disabled"}),
        ("POST", told["add_subject_endpoint"], {"stream_id": id, "subject": {}}),
        ("POST", told["remove_subject_endpoint"], {"stream_id": id, "subject": {}}),
        ("POST", told["verification_endpoint"], {"stream_id": id}),
    ]

    for method, url, body in calls:
        for token, status in (("", 401), ("nonsense", 401), (graph, 401), (reading, 403)):
            answer = stranger.ask(method, url, body, token)
            assert answer.status_code == status, (method, url, token[:10])
            assert answer.headers["www-authenticate"].startswith("Bearer")
    assert stranger.ask("GET", told["configuration_endpoint"], token=reading).status_code == 200
    assert world.http.get(
        f"{world.base}/v1.0/users", headers={"authorization": f"Bearer {reading}"}
    ).status_code in (
        401,
        403,
    )


@pytest.mark.proves("ENUM-08")
def test_a_token_dies_with_the_permission_and_serves_nobody_elses_stream(
    world: World, stranger: Stranger
) -> None:
    id = stranger.create()["stream_id"]
    other = Stranger(world)
    other.create()

    for method, body, query in (
        ("GET", None, {"stream_id": id}),
        ("PATCH", {"stream_id": id, "events_requested": []}, {}),
        ("DELETE", None, {"stream_id": id}),
    ):
        assert other.ask(method, "configuration_endpoint", body, **query).status_code == 404
    assert other.ask("POST", "status_endpoint", {"stream_id": id, "status": "disabled"}).status_code == 404
    assert Stranger(world, permitted=False).token().status_code == 403
    elsewhere = Stranger(world, networks=("203.0.113.0/24",))
    assert elsewhere.token().json()["error"] == "unauthorized_client"
    stranger.without_permission()
    assert stranger.ask("GET", "configuration_endpoint").status_code == 401


# About whom. --------------------------------------------------------------------------------------------------------


@pytest.mark.proves("WHK-09")
@pytest.mark.proves("ENUM-08")
def test_answers_about_a_subject_are_the_same_for_nobody(world: World, stranger: Stranger) -> None:
    id = stranger.create()["stream_id"]
    address = new_address()
    world.person(address, password="lively heron at dusk")
    issuer = stranger.configuration["issuer"]
    pairs: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"format": "email", "email": address}, {"format": "email", "email": new_address()}),
        (
            {"format": "iss_sub", "iss": issuer, "sub": world.subject(address).id},
            {"format": "iss_sub", "iss": issuer, "sub": "0b6c1a52-6d0f-4d1c-9a40-5f3f1f0a7c11"},
        ),
        ({"format": "opaque", "id": world.subject(address).id}, {"format": "opaque", "id": "nobody"}),
        (
            {"format": "complex", "user": {"format": "email", "email": address}},
            {"format": "complex", "user": {"format": "email", "email": "no address at all"}},
        ),
    ]

    for somebody, nobody in pairs:
        for endpoint, status in (("add_subject_endpoint", 200), ("remove_subject_endpoint", 204)):
            answers = [
                stranger.ask("POST", endpoint, {"stream_id": id, "subject": one})
                for one in (somebody, nobody)
            ]
            assert [answer.status_code for answer in answers] == [status, status]
            assert answers[0].content == answers[1].content == b""
    for wrong in ({"format": "did", "url": "x"}, {"format": "email"}, "ada@example.com", None):
        asked = {"stream_id": id, "subject": wrong}
        assert stranger.ask("POST", "remove_subject_endpoint", asked).status_code == 400


@pytest.mark.proves("WHK-09")
def test_who_was_removed_is_told_of_for_seven_days_more(world: World, stranger: Stranger) -> None:
    id = stranger.create()["stream_id"]
    address = new_address()
    world.person(address, password="lively heron at dusk")
    somebody = world.subject(address).id
    asked = {"stream_id": id, "subject": {"format": "email", "email": address}}

    assert stranger.ask("POST", "remove_subject_endpoint", asked).status_code == 204

    world.run(world._development.move_to(world.now + timedelta(days=7) - timedelta(minutes=5)))
    world.run(people.revoke_sessions(door(world), OPERATOR, somebody))
    assert types(stranger.fresh().drain()) == ["session-revoked"]
    world.run(world._development.move_to(world.now + timedelta(minutes=6)))
    world.run(people.revoke_sessions(door(world), OPERATOR, somebody))
    assert stranger.fresh().drain() == []
    assert stranger.ask("POST", "add_subject_endpoint", asked).status_code == 200
    world.run(people.revoke_sessions(door(world), OPERATOR, somebody))
    assert types(stranger.drain()) == ["session-revoked"]


@pytest.mark.proves("WHK-09")
def test_nobody_with_whom_something_is_wrong_is_silenced(world: World, stranger: Stranger) -> None:
    """Neither by a removal meanwhile, nor by one that was to take effect meanwhile."""
    id = stranger.create()["stream_id"]
    before, meanwhile = new_address(), new_address()
    for address in (before, meanwhile):
        world.person(address, password="lively heron at dusk")
    remove: Callable[[str], dict[str, Any]] = lambda address: {  # noqa: E731
        "stream_id": id,
        "subject": {"format": "email", "email": address},
    }

    assert stranger.ask("POST", "remove_subject_endpoint", remove(before)).status_code == 204
    for address in (before, meanwhile):
        world.run(people.set_risk(door(world), OPERATOR, world.subject(address).id, "compromised"))
    assert stranger.ask("POST", "remove_subject_endpoint", remove(meanwhile)).status_code == 204
    stranger.drain()
    world.run(world._development.move_to(world.now + timedelta(days=8)))

    for address in (before, meanwhile):
        subject = world.subject(address).id
        world.run(people.revoke_sessions(door(world), OPERATOR, subject))
        assert types(stranger.fresh().drain(), subject) == ["session-revoked"]


def test_a_stream_about_chosen_people_is_told_of_those_alone(world: World, stranger: Stranger) -> None:
    id = stranger.create()["stream_id"]
    change = streams.StreamChange(every_subject=False)
    world.run(streams.update(door(world), OPERATOR, id, change, lambda *_: b""))
    chosen, other = new_address(), new_address()
    for address in (chosen, other):
        world.person(address, password="lively heron at dusk")
    asked = {"stream_id": id, "subject": {"format": "email", "email": chosen}}
    assert stranger.ask("POST", "add_subject_endpoint", asked).status_code == 200

    for address in (chosen, other):
        world.run(people.revoke_sessions(door(world), OPERATOR, world.subject(address).id))

    assert [event.about for event in stranger.poll()] == [world.subject(chosen).id]
