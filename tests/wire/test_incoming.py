"""
What others tell of our people: believed only when everything is right, heard once, and only ever tightening.

Source: RFC 8417, RFC 8935; emergency-protocol 11; WHK-07.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from joserfc import jws
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey
from msgspec.structs import replace

from genkan.engine.messages import PutSubject
from genkan.model import AccountRisk, Transmitter
from genkan.service.admin import streams
from genkan.service.admin.door import Actor, Refusal
from tests.receivers import Receiver, Says
from tests.server import new_address
from tests.wire import strict
from tests.wire.journeys import OPENID, PASSWORD, first_factor_by_password
from tests.wire.servers import World, in_process
from tests.wire.strangers import CAEP, RISC, Stranger

OPERATOR = Actor(id="root", name="root", kind="operator")
ISSUER, AUDIENCE = "https://mail.example", "https://genkan.example/ours"
KEY, OTHER = RSAKey.generate_key(2048, {"kid": "one"}), RSAKey.generate_key(2048, {"kid": "two"})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[World]:
    with in_process(
        tmp_path_factory.mktemp("incoming") / "data",
        webhook_hosts=f"localhost:{receiver.port}",
        webhook_authorities=receiver.ca_file,
    ) as running:
        yield running


@pytest.fixture
def heard(world: World) -> Iterator[Transmitter]:
    """Somebody who is heard, by keys that were given."""
    one = trusted(world, keys=public(KEY))
    yield one
    for other in list(world.directory.transmitters.values()):
        world.run(streams.distrust(world._development._tenant.door, OPERATOR, other.id))
    for stream in list(world.directory.streams.values()):
        world.run(streams.remove(world._development._tenant.door, OPERATOR, stream.id))


def trusted(world: World, **more: Any) -> Transmitter:
    new = Transmitter(id="", **{"name": "Mail", "issuer": ISSUER, "audience": AUDIENCE, **more})
    made = world.run(streams.trust(world._development._tenant.door, OPERATOR, new))
    assert not isinstance(made, Refusal), made
    return made


def public(*keys: Any) -> str:
    import json

    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]})


def claims(
    world: World, about: dict[str, Any], event: str, members: Any = None, **more: Any
) -> dict[str, Any]:
    return {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": int(world.now.timestamp()),
        "jti": str(uuid4()),
        "txn": str(uuid4()),
        "sub_id": about,
        "events": {event: {} if members is None else members},
        **more,
    }


def signed(said: dict[str, Any], key: Any = KEY, **header: Any) -> str:
    import json

    protected = {"alg": "RS256", "typ": "secevent+jwt", "kid": key.kid, **header}
    registry = jws.JWSRegistry(
        algorithms=["RS256", "ES256", "PS256", "HS256", "none"], strict_check_header=False
    )
    return str(jws.serialize_compact(protected, json.dumps(said).encode(), key, registry=registry))


def unsigned(said: dict[str, Any]) -> str:
    """A token that says that it needs no signature, up to where that would be."""
    import base64
    import json

    header = {"alg": "none", "typ": "secevent+jwt"}
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in (header, said))
    return ".".join(part.rstrip("=") for part in parts)


def tell(world: World, token: str, type_: str = "application/secevent+jwt") -> httpx2.Response:
    return world.http.post(
        f"{world.base}/dev/ssf/events", content=token.encode(), headers={"content-type": type_}
    )


def hears(world: World, said: dict[str, Any]) -> None:
    answer = tell(world, signed(said))
    assert (answer.status_code, answer.content) == (202, b""), answer.text


def mail(address: str) -> dict[str, Any]:
    return {"format": "email", "email": address}


def somebody(world: World) -> str:
    address = new_address()
    world.person(address, password=PASSWORD)
    return address


@pytest.mark.proves("WHK-07")
@pytest.mark.parametrize(
    ("event", "members", "level", "ends"),
    [
        (CAEP + "session-revoked", {}, "hidden", True),
        (RISC + "sessions-revoked", {}, "hidden", True),
        (RISC + "credential-compromise", {"credential_type": "password"}, "high", True),
        (RISC + "account-disabled", {"reason": "hijacking"}, "high", True),
        (RISC + "account-disabled", {}, "medium", False),
        (RISC + "identifier-recycled", {}, "medium", False),
        (RISC + "recovery-activated", {}, "medium", False),
        (CAEP + "credential-change", {"change_type": "revoke"}, "medium", False),
        (CAEP + "risk-level-change", {"principal": "USER", "current_level": "HIGH"}, "high", False),
        (CAEP + "risk-level-change", {"principal": "USER", "current_level": "LOW"}, "hidden", False),
        (CAEP + "risk-level-change", {"principal": "DEVICE", "current_level": "HIGH"}, "hidden", False),
        (CAEP + "credential-change", {"change_type": "create"}, "hidden", False),
        (RISC + "account-enabled", {}, "hidden", False),
        ("urn:example:unheard-of", {}, "hidden", False),
    ],
)
def test_what_others_say_raises_risk_and_ends_sessions(
    world: World, heard: Transmitter, event: str, members: dict[str, Any], level: str, ends: bool
) -> None:
    address = somebody(world)
    tokens = first_factor_by_password(world, address, OPENID).ok()
    before = world.subject(address)

    hears(world, claims(world, mail(address), event, members))

    after = world.subject(address)
    assert after.risk.level == level
    assert (after.epoch > before.epoch) is ends
    form = {
        "client_id": world.password_app,
        "grant_type": "refresh_token",
        "refresh_token": tokens["refresh_token"],
    }
    assert (world.post_form(strict.TOKEN, form).status != 200) is ends


@pytest.mark.proves("WHK-07")
def test_nothing_that_is_said_loosens_anything(world: World, heard: Transmitter) -> None:
    address = somebody(world)
    subject = world.subject(address)
    confirmed = AccountRisk(level="high", state="confirmedCompromised", updated_at=world.now)
    world.write(PutSubject(replace(subject, risk=confirmed, status="disabled", must_change_password=True)))
    before = world.subject(address)

    for event, members in (
        (CAEP + "risk-level-change", {"principal": "USER", "current_level": "LOW"}),
        (CAEP + "risk-level-change", {"principal": "USER", "current_level": "MEDIUM"}),
        (RISC + "account-enabled", {}),
        (RISC + "recovery-information-changed", {}),
        (CAEP + "credential-change", {"change_type": "create", "credential_type": "password"}),
        (RISC + "account-credential-change-required", {}),
    ):
        hears(world, claims(world, mail(address), event, members))

    assert world.subject(address) == before


@pytest.mark.proves("WHK-07")
def test_an_event_is_heard_once(world: World, heard: Transmitter) -> None:
    address = somebody(world)
    said = claims(world, mail(address), CAEP + "session-revoked")

    hears(world, said)
    first = world.subject(address)
    hears(world, said)
    hears(world, {**said, "jti": str(uuid4())})  # The same change, told by another way.

    assert world.subject(address) == first
    hears(world, {**said, "jti": str(uuid4()), "txn": str(uuid4())})
    assert world.subject(address).epoch == first.epoch + 1


@pytest.mark.proves("WHK-07")
def test_fifty_copies_at_once_are_one(world: World, heard: Transmitter) -> None:
    from concurrent.futures import ThreadPoolExecutor

    address = somebody(world)
    before = world.subject(address).epoch
    token = signed(claims(world, mail(address), CAEP + "session-revoked"))

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: tell(world, token).status_code, range(50)))

    assert set(answers) == {202}
    assert world.subject(address).epoch == before + 1


@pytest.mark.proves("WHK-07")
def test_a_forged_event_changes_nothing(world: World, heard: Transmitter) -> None:
    address = somebody(world)
    before = world.subject(address)
    good = claims(world, mail(address), RISC + "credential-compromise")
    now = int(world.now.timestamp())
    curve = ECKey.generate_key("P-256", {"kid": "one"})
    secret = OctKey.import_key(public(KEY).encode(), {"kid": "one"})
    token = signed(good)
    head, body, signature = token.split(".")
    flipped = signature[:20] + ("A" if signature[20] != "A" else "B") + signature[21:]
    forged = RSAKey.generate_key(2048, {"kid": "one"})
    mistakes: list[tuple[str, str]] = [
        ("invalid_key", signed(good, forged)),
        ("invalid_key", signed(good, OTHER)),
        ("invalid_key", signed(good, curve, alg="ES256")),
        ("invalid_key", f"{head}.{body}.{flipped}"),
        ("invalid_key", f"{head}.{body}."),
        ("invalid_key", f"{signed({**good, 'jti': 'x'}).rsplit('.', 1)[0]}.{signature}"),
        ("invalid_key", signed(good, forged, jwk=forged.as_dict(private=False))),
        ("invalid_request", signed(good, secret, alg="HS256")),
        ("invalid_request", signed(good, typ="JWT")),
        ("invalid_request", signed(good, typ="at+jwt")),
        ("invalid_request", signed(good, crit=["kid"])),
        ("invalid_request", f"{unsigned(good)}."),
        ("invalid_issuer", signed({**good, "iss": "https://evil.example"})),
        ("invalid_issuer", signed({k: v for k, v in good.items() if k != "iss"})),
        ("invalid_audience", signed({**good, "aud": "https://genkan.example/theirs"})),
        ("invalid_audience", signed({k: v for k, v in good.items() if k != "aud"})),
        ("invalid_request", signed({**good, "iat": now - 7 * 86400 - 5})),
        ("invalid_request", signed({**good, "iat": now + 90})),
        ("invalid_request", signed({**good, "iat": "now"})),
        ("invalid_request", signed({k: v for k, v in good.items() if k != "iat"})),
        ("invalid_request", signed({k: v for k, v in good.items() if k != "jti"})),
        ("invalid_request", signed({**good, "jti": ""})),
        ("invalid_request", signed({**good, "jti": "x" * 257})),
        ("invalid_request", signed({**good, "exp": now + 60})),
        ("invalid_request", signed({**good, "sub": "ada"})),
        ("invalid_request", signed({**good, "sub_id": "ada"})),
        ("invalid_request", signed({**good, "events": {}})),
        ("invalid_request", signed({**good, "events": {**good["events"], "urn:x": {}}})),
        ("invalid_request", signed({**good, "events": {"urn:x": 7}})),
        ("invalid_request", "a.b.c"),
        ("invalid_request", "nothing"),
        ("invalid_request", ""),
        ("invalid_request", "." * 40_000),
    ]

    for flaw, mistake in mistakes:
        answer = tell(world, mistake)
        assert (answer.status_code, answer.json()["err"]) == (400, flaw), mistake[:60]
    assert tell(world, token, "application/json").status_code == 400
    assert tell(world, token, "application/jwt").status_code == 400
    assert world.subject(address) == before
    hears(world, good)
    assert world.subject(address) != before


@pytest.mark.proves("WHK-07")
@pytest.mark.proves("ENUM-08")
def test_the_answer_is_the_same_for_nobody_and_for_all_ways_to_name_somebody(
    world: World, heard: Transmitter
) -> None:
    address = somebody(world)
    id = world.subject(address).id
    issuer = Stranger(world).configuration["issuer"]

    for about in (
        mail(new_address()),
        mail("no address"),
        {"format": "iss_sub", "iss": ISSUER, "sub": "their-id"},
        {"format": "did", "url": "did:example:1"},
        {"format": "complex", "user": {"format": "complex"}},
        {},
    ):
        hears(world, claims(world, about, CAEP + "session-revoked"))
    epoch = world.subject(address).epoch
    for number, about in enumerate(
        (
            {"format": "iss_sub", "iss": issuer, "sub": id},
            {"format": "opaque", "id": id},
            {"format": "complex", "user": mail(address.upper()), "device": {"format": "opaque", "id": "x"}},
        )
    ):
        hears(world, claims(world, about, CAEP + "session-revoked"))
        assert world.subject(address).epoch == epoch + number + 1


def test_a_transmitter_that_may_end_no_session_ends_none(world: World, heard: Transmitter) -> None:
    world.run(streams.distrust(world._development._tenant.door, OPERATOR, heard.id))
    trusted(world, keys=public(KEY), ends_sessions=False)
    address = somebody(world)
    before = world.subject(address).epoch

    hears(world, claims(world, mail(address), RISC + "credential-compromise"))

    after = world.subject(address)
    assert (after.epoch, after.risk.level) == (before, "high")


@pytest.mark.proves("WHK-07")
def test_keys_are_fetched_kept_and_fetched_again_when_another_is_named_but_not_all_the_time(
    world: World, heard: Transmitter, receiver: Receiver
) -> None:
    world.run(streams.distrust(world._development._tenant.door, OPERATOR, heard.id))
    receiver.answers["/jwks"] = Says(public(KEY).encode())
    trusted(world, keys_url=receiver.url("/jwks"))
    address = somebody(world)

    for _ in range(3):
        hears(world, claims(world, mail(address), CAEP + "session-revoked"))
    assert len(receiver.of("/jwks")) == 1
    receiver.answers["/jwks"] = Says(public(KEY, OTHER).encode())
    for _ in range(5):
        said = claims(world, mail(address), CAEP + "session-revoked")
        assert tell(world, signed(said, OTHER)).json()["err"] == "invalid_key"
    assert len(receiver.of("/jwks")) == 1
    world.run(world._development.move_to(world.now + timedelta(seconds=61)))
    said = claims(world, mail(address), CAEP + "session-revoked")
    assert tell(world, signed(said, OTHER)).status_code == 202
    assert len(receiver.of("/jwks")) == 2
    receiver.answers["/jwks"] = Says(b"gone", 500)
    world.run(world._development.move_to(world.now + timedelta(minutes=11)))
    hears(world, claims(world, mail(address), CAEP + "session-revoked"))  # What was known is still known.
    said = claims(world, mail(address), CAEP + "session-revoked")
    third = RSAKey.generate_key(2048, {"kid": "three"})
    assert (
        tell(world, signed(said, third)).status_code == 503
    )  # Perhaps it is their next one: nobody can say now.
    asked = len(receiver.of("/jwks"))
    assert [tell(world, signed(said, third)).status_code for _ in range(5)] == [503] * 5
    assert len(receiver.of("/jwks")) == asked  # And nobody is asked time and again.


def test_those_who_come_at_once_to_unknown_keys_wait_for_one_fetch(
    world: World, heard: Transmitter, receiver: Receiver
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    world.run(streams.distrust(world._development._tenant.door, OPERATOR, heard.id))
    receiver.answers["/slow-jwks"] = Says(public(KEY).encode(), after=0.3)
    trusted(world, keys_url=receiver.url("/slow-jwks"))
    address = somebody(world)
    tokens = [signed(claims(world, mail(address), CAEP + "session-revoked")) for _ in range(8)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda token: tell(world, token).status_code, tokens))

    assert answers == [202] * 8
    assert len(receiver.of("/slow-jwks")) == 1


def test_keys_of_nowhere_are_not_fetched(world: World, heard: Transmitter) -> None:
    world.run(streams.distrust(world._development._tenant.door, OPERATOR, heard.id))
    trusted(world, keys_url="https://169.254.169.254/jwks")
    address = somebody(world)
    began = time.monotonic()

    answer = tell(world, signed(claims(world, mail(address), CAEP + "session-revoked")))

    assert (answer.status_code, answer.headers["retry-after"]) == (
        503,
        "60",
    )  # Not refused: it may be told again.
    assert time.monotonic() - began < 3


@pytest.mark.proves("WHK-07")
def test_what_came_from_us_does_not_come_around(world: World, heard: Transmitter) -> None:
    stranger = Stranger(world)
    stranger.create()
    address = somebody(world)

    hears(world, claims(world, mail(address), CAEP + "session-revoked", txn="theirs-1"))

    (told,) = stranger.drain()
    assert told.claims["txn"] == "theirs-1"
    assert told.members["initiating_entity"] == "policy"
    from genkan.service.admin import people

    door = world._development._tenant.door
    world.run(people.revoke_sessions(door, OPERATOR, world.subject(address).id))
    (ours,) = stranger.drain()
    before = world.subject(address)
    hears(world, claims(world, mail(address), CAEP + "session-revoked", txn=ours.claims["txn"]))
    assert world.subject(address) == before
    without = claims(world, mail(address), CAEP + "session-revoked")
    del without["txn"]
    hears(world, without)
    assert world.subject(address).epoch == before.epoch + 1
    assert stranger.drain() == []


def test_who_is_heard_has_an_issuer_an_audience_and_keys(
    world: World, heard: Transmitter, tmp_path: Path
) -> None:
    door = world._development._tenant.door
    base: dict[str, Any] = {
        "name": "Other",
        "issuer": "https://x.example",
        "audience": "y",
        "keys": public(KEY),
    }
    import json

    private = json.dumps(KeySet([KEY]).as_dict(private=True))
    for wrong in (
        {"issuer": ISSUER},
        {"issuer": ""},
        {"audience": ""},
        {"keys": ""},
        {"keys": "{}"},
        {"keys": private},
        {"keys": '{"keys": [{"kty": "oct", "k": "AAAA"}]}'},
        {"keys_url": "https://x.example/jwks"},
        {"keys": "", "keys_url": "http://x.example/jwks"},
    ):
        made = world.run(streams.trust(door, OPERATOR, Transmitter(id="", **{**base, **wrong})))
        assert isinstance(made, Refusal), wrong
    assert set(world.directory.transmitters) == {heard.id}
