"""
Where a tenant wants it, nobody learns who has an account; and even where not, no more than the wire shows.

How long answers take stands in `test_timing`. Source: ENUM-01, ENUM-02, ENUM-03, ENUM-05 to ENUM-09.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from msgspec.structs import replace

from genkan import identifiers
from genkan.bootstrap import Clock, TenantRuntime
from genkan.engine import budgets
from genkan.engine.flow import AwaitingProof, read_bookmark
from genkan.engine.messages import Count, PutSubject
from genkan.engine.transaction import Lane, Needs, Outgoing, Settled
from genkan.model import Kind
from genkan.risk import rate
from genkan.service import demo
from genkan.service.hashing import Hashing
from genkan.store.sealing import Keys, open_master_key
from genkan.store.sqlite import SqliteStore
from genkan.wire.http import App
from tests.server import Reply, new_number, newest
from tests.wire import strict
from tests.wire.journeys import OPENID, PASSWORD, begun, challenged, first_factor_by_password, proven
from tests.wire.servers import HereServer, StrictServer, World, _Loop, _nothing
from tests.wire.walks import ALL_TYPES, Elsewhere, Reset, SignUp, Walk

WRONG_PASSWORD = "loud badger at dawn"
WRONG_CODE = "00000000"
VOLATILE = {"continuation_token", "trace_id", "correlation_id", "timestamp", "error_description"}
NAMED_BY_REQUEST = {"client-request-id", "x-ms-request-id"}


def an_address() -> str:
    """An address whose mask and length are those of every other one."""
    return f"ada.{uuid4().hex[:12]}.x@example.com"


@pytest.fixture
def uniform(world: World) -> Iterator[World]:
    """A tenant that does not say who has an account."""
    with world.changed(enumeration="uniform"):
        yield world


# Everything that could differ. ------------------------------------------------------------------------


def seen(answer: Reply) -> tuple[Any, ...]:
    """All that somebody outside sees of an answer, less what is random in each."""
    body = {name: value for name, value in answer.body.items() if name not in VOLATILE}
    text = re.sub(r" Trace ID: .*", "", answer.body.get("error_description", ""))
    lengths = {name: len(str(answer.body[name])) for name in VOLATILE & answer.body.keys()}
    headers = {
        name: "…" if name in NAMED_BY_REQUEST else value
        for name, value in answer.headers.items()
        if name != "content-length"
    }
    return (answer.status, list(answer.body), body, text, lengths, headers)


Journey = Callable[[World, str], list[Reply]]


def sign_in(world: World, app: str, name: str, types: str = ALL_TYPES) -> list[Reply]:
    """A sign-in by somebody who can only guess, until its flow is over, and the first step of another."""
    walk = Walk(world, app)
    for _ in range(2):
        walk.token = ""
        walk.post(strict.INITIATE, username=name, challenge_type=types)
        walk.post(strict.CHALLENGE)
        walk.post(strict.CHALLENGE)
        for guess in range(6):
            walk.post(strict.TOKEN, grant_type="password", password=f"{WRONG_PASSWORD} {guess}")
            walk.post(strict.TOKEN, grant_type="oob", oob=f"1234567{guess}")
            walk.post(strict.TOKEN, grant_type="mfa_oob", oob=WRONG_CODE)
        walk.post(strict.CHALLENGE)
        walk.redeem()
        walk.post(strict.INTROSPECT)
        walk.post(strict.REGISTER_INTROSPECT)
    return walk.heard


def by_code(world: World, name: str) -> list[Reply]:
    return sign_in(world, world.otp_app, name)


def by_password(world: World, name: str) -> list[Reply]:
    return sign_in(world, world.password_app, name)


def without_what_it_takes(world: World, name: str) -> list[Reply]:
    return [
        *sign_in(world, world.password_app, name, "oob redirect"),
        *sign_in(world, world.password_app, name, "redirect"),
    ]


def sign_up(world: World, name: str, app: str) -> list[Reply]:
    """A sign-up by somebody who cannot read the mailbox."""
    walk = SignUp(world, app)
    walk.start(name, password="aaaaaaaa")
    walk.start(name, challenge_type="redirect")
    walk.start(name, attributes={"displayName": "x" * 300})
    walk.start(name, attributes={"displayName": "Ada"}, password=PASSWORD)
    walk.supply(displayName="x" * 300)
    walk.supply(displayName="Ada")
    walk.challenge()
    walk.supply(displayName="Ada")
    walk.set_password(PASSWORD)
    for guess in range(6):
        walk.prove(f"1234567{guess}")
    walk.challenge()
    walk.redeem(username=name)
    return walk.heard


def sign_up_by_code(world: World, name: str) -> list[Reply]:
    return sign_up(world, name, world.otp_app)


def sign_up_by_password(world: World, name: str) -> list[Reply]:
    return sign_up(world, name, world.password_app)


def reset(world: World, name: str) -> list[Reply]:
    """A reset by somebody who cannot read the mailbox, and two more, to where they are refused."""
    heard: list[Reply] = []
    for _ in range(4):
        walk = Reset(world, world.password_app)
        walk.start(name)
        walk.challenge()
        walk.challenge()
        for guess in range(6):
            walk.prove(f"1234567{guess}")
        walk.submit(PASSWORD)
        walk.poll()
        walk.challenge()
        walk.redeem(username=name)
        heard += walk.heard
        world.advance(301)
    walk = Reset(world, world.password_app)
    walk.start(name, challenge_type="redirect")
    return heard + walk.heard


def too_many_codes(world: World, name: str) -> list[Reply]:
    heard = []
    for _ in range(3):
        walk = Walk(world, world.otp_app)
        walk.post(strict.INITIATE, username=name, challenge_type=ALL_TYPES)
        for _ in range(3):
            walk.post(strict.CHALLENGE)
        heard += walk.heard
    return heard


def too_many_guesses(world: World, name: str) -> list[Reply]:
    return [answer for _ in range(3) for answer in by_password(world, name)]


def nobody(world: World) -> str:
    return an_address()


def has_code(world: World) -> str:
    world.person(address := an_address())
    return address


def has_password(world: World) -> str:
    world.person(address := an_address(), password=PASSWORD)
    return address


def has_two_factors(world: World) -> str:
    phone, other = (
        identifiers.phone(new_number()),
        identifiers.email(f"other.{uuid4().hex[:8]}@mail.example.org"),
    )
    assert phone is not None
    assert other is not None
    address = an_address()
    world.person(address, password=PASSWORD, seconds=(phone, other), age=timedelta(days=30))
    return address


def is_disabled(world: World) -> str:
    world.person(address := an_address(), password=PASSWORD)
    subject = world.subject(address)
    world.write(PutSubject(replace(subject, status="disabled")))
    return address


def must_change(world: World) -> str:
    world.person(address := an_address(), password=PASSWORD, must_change_password=True)
    return address


Who = Callable[[World], str]
KNOWN: list[tuple[Journey, Who]] = [
    (by_code, has_code),
    (by_password, has_password),
    (by_password, has_two_factors),
    (by_password, is_disabled),
    (by_password, must_change),
    (without_what_it_takes, has_password),
    (too_many_codes, has_code),
    (too_many_guesses, has_password),
    (sign_up_by_code, has_code),
    (sign_up_by_code, has_password),
    (sign_up_by_password, has_password),
    (sign_up_by_password, has_two_factors),
    (sign_up_by_password, is_disabled),
    (reset, has_password),
    (reset, has_code),
    (reset, has_two_factors),
    (reset, is_disabled),
    (reset, must_change),
]
"""Journeys, and those whose journeys must look like nobody's."""


@pytest.mark.parametrize(
    ("journey", "who"), [pytest.param(j, w, id=f"{j.__name__}-{w.__name__}") for j, w in KNOWN]
)
@pytest.mark.proves("ENUM-01", "ENUM-02", "ENUM-03", "ENUM-06")
def test_uniform_known_and_unknown_look_alike_at_every_step(
    uniform: World, journey: Journey, who: Who
) -> None:
    known, unknown = who(uniform), nobody(uniform)

    answers = zip(journey(uniform, known), journey(uniform, unknown), strict=True)

    for step, (one, other) in enumerate(answers):
        assert seen(one) == seen(other), step
        assert one.body.get("error") not in ("user_not_found", "user_already_exists")
        assert 500222 not in one.body.get("error_codes", ())


def a_username() -> str:
    """A username whose mask and length are those of every other one."""
    return f"ada-{uuid4().hex[:8]}-x"


@pytest.mark.parametrize("usernames", [True, False])
@pytest.mark.proves("ENUM-02")
def test_uniform_usernames_are_not_revealed_either(uniform: World, usernames: bool) -> None:
    known, unknown, address = a_username(), a_username(), an_address()
    uniform.person(address, password=PASSWORD, username=known)

    with uniform.changed(usernames=usernames):
        one, other = ([*by_password(uniform, name), *reset(uniform, name)] for name in (known, unknown))

    assert [seen(answer) for answer in one] == [seen(answer) for answer in other]
    labels = {answer.body.get("challenge_target_label") for answer in one} - {None}
    assert labels == {"a***x"}, "derived from what was typed"
    assert (uniform.count(address, "reset_password") > 0) == usernames, "but the code goes to the address"


@pytest.mark.proves("ENUM-02")
def test_uniform_a_decoy_is_challenged_as_newcomers_to_the_app_are(uniform: World) -> None:
    types = [
        challenged(uniform, app, begun(uniform, app, an_address()).token)["challenge_type"]
        for app in (uniform.otp_app, uniform.password_app)
    ]

    assert types == ["oob", "password"]


@pytest.mark.parametrize("who", [nobody, has_code])
@pytest.mark.proves("ENUM-02")
def test_uniform_a_reset_without_an_account_or_a_password_sends_nothing(uniform: World, who: Who) -> None:
    address = who(uniform)
    walk = Reset(uniform, uniform.password_app)
    walk.start(address).ok()

    walk.challenge().ok()

    quiet(uniform)
    assert uniform.messages(address) == []


def quiet(world: World) -> None:
    """Let everything arrive that is on its way: what was sent later is here."""
    address = an_address()
    walk = SignUp(world, world.otp_app)
    walk.start(address).ok()
    walk.send()


@pytest.mark.proves("ENUM-01")
def test_compat_is_the_default_and_says_what_the_clients_of_this_wire_expect(world: World) -> None:
    app = world.password_app
    known, code_user = has_password(world), has_code(world)

    sign_in = Walk(world, app).post(strict.INITIATE, username=nobody(world), challenge_type=ALL_TYPES)
    sign_up = SignUp(world, app).start(known)
    unknown = Reset(world, app).start(nobody(world))
    no_password = Reset(world, app).start(code_user)

    assert sign_in.error == unknown.error == ("user_not_found", "", 50034)
    assert sign_up.error == ("user_already_exists", "", 1003037)
    assert no_password.error == ("invalid_request", "", 500222)


@pytest.mark.proves("ENUM-01")
def test_uniform_whoever_can_prove_it_signs_up_in_and_resets_as_ever(uniform: World) -> None:
    address, new = an_address(), "quiet otter by noon"
    walk = SignUp(uniform, uniform.password_app)
    walk.start(address, password=PASSWORD, attributes={"displayName": "Ada"}).ok()
    walk.prove(walk.send()).ok()
    walk.redeem().ok()

    before = first_factor_by_password(uniform, address, OPENID)
    Reset(uniform, uniform.password_app).done(address, new)
    after = first_factor_by_password(uniform, address, OPENID, new)

    assert (before.status, after.status) == (200, 200)
    coded = has_code(uniform)
    sent = challenged(uniform, uniform.otp_app, begun(uniform, uniform.otp_app, coded).token)
    code = newest(uniform, coded, "sign_in", set())
    assert proven(uniform, uniform.otp_app, sent.token, "oob", code).status == 200


# An account that exists, signed up for again. ---------------------------------------------------------


def notices(world: World, address: str, count: int) -> list[dict[str, Any]]:
    """The notices that have arrived, waited for."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = [m for m in world.messages(address) if m["purpose"] == "notice"]
        if len(found) >= count:
            return found
        time.sleep(0.01)
    raise AssertionError(f"{count} notices never arrived for {address}")


@pytest.mark.parametrize("app", ["otp", "password"])
@pytest.mark.proves("ENUM-03")
def test_uniform_who_signs_up_again_is_told_by_mail_that_there_is_an_account(
    uniform: World, app: str
) -> None:
    address = has_password(uniform)
    walk = SignUp(uniform, uniform.told["apps"][app])
    walk.start(address.upper(), password=PASSWORD).ok()

    walk.challenge().ok()

    (notice,) = notices(uniform, address, 1)
    assert notice["subject"] == "You already have an account"
    assert notice["to"] == address, "as the account has it, however it was typed"
    assert notice["code"] is None
    assert uniform.count(address, "sign_up") == 0


def code_behind(world: World, token: str) -> str:
    """The code that a flow waits for, found by trying all of them with the key of the tenant; six digits only."""
    handle = read_bookmark(token, world._development._tenant.conduct._keys.handle)
    assert handle is not None
    flow = world.run(world.store.read(Needs(flow=handle[0]))).flow
    assert flow is not None
    assert isinstance(flow.stage, AwaitingProof)
    challenge = flow.stage.challenge
    key = world._development._tenant.conduct._keys.code
    for number in range(10**6):
        code = f"{number:06}"
        if hmac.digest(key, (challenge.id + code).encode(), "sha256") == challenge.answer:
            return code
    raise AssertionError("no code fits")


def decoy_of_sign_up(world: World) -> Reply:
    walk = SignUp(world, world.otp_app)
    walk.start(has_code(world)).ok()
    return walk.challenge().ok()


def decoy_of_sign_in(world: World) -> Reply:
    return challenged(world, world.otp_app, begun(world, world.otp_app, nobody(world)).token)


def decoy_of_reset(world: World) -> Reply:
    walk = Reset(world, world.otp_app)
    walk.start(nobody(world)).ok()
    return walk.challenge().ok()


@pytest.mark.parametrize(
    ("decoy", "endpoint"),
    [
        (decoy_of_sign_up, strict.SIGNUP_CONTINUE),
        (decoy_of_sign_in, strict.TOKEN),
        (decoy_of_reset, strict.RESET_CONTINUE),
    ],
    ids=["sign-up", "sign-in", "reset"],
)
@pytest.mark.slow
@pytest.mark.proves("ENUM-02", "ENUM-03")
def test_uniform_no_code_is_ever_right_in_a_decoy(
    uniform: World, decoy: Callable[[World], Reply], endpoint: str
) -> None:
    with uniform.changed(code_length=6):
        sent = decoy(uniform)
        code = code_behind(uniform, sent.token)
        form = {"client_id": uniform.otp_app, "continuation_token": sent.token, "grant_type": "oob"}

        answer = uniform.post_form(endpoint, {**form, "oob": code})

    assert answer.error == ("invalid_grant", "invalid_oob_value", 50181)


@pytest.mark.proves("ENUM-03")
def test_uniform_the_race_for_an_address_is_not_told_to_who_has_not_proven_it(uniform: World) -> None:
    address = an_address()
    first, second = SignUp(uniform, uniform.otp_app), SignUp(uniform, uniform.otp_app)
    first.start(address).ok()
    second.start(address).ok()
    second_code, first_code = second.send(), first.send()
    first.prove(first_code).ok()

    assert second.prove(WRONG_CODE).error == ("invalid_grant", "invalid_oob_value", 50181)
    assert second.prove(second_code).error == ("invalid_grant", "invalid_oob_value", 50181)
    second.challenge().ok()
    assert notices(uniform, address, 1)[0]["subject"] == "You already have an account"


@pytest.mark.proves("ENUM-01")
def test_uniform_nor_is_it_to_who_has_but_mail_says_there_is_an_account(uniform: World) -> None:
    address, app = an_address(), uniform.password_app
    late = SignUp(uniform, app).ready_for_password(address)
    early = SignUp(uniform, app)
    early.start(address, password=PASSWORD, attributes={"displayName": "Ada"}).ok()
    early.prove(early.send()).ok()

    assert late.set_password(WRONG_PASSWORD).error[0] == "attributes_required"
    lost = late.supply(displayName="Eve")

    assert lost.error == ("invalid_request", "", 55200)
    assert notices(uniform, address, 1)[0]["subject"] == "You already have an account"
    assert late.redeem().error[2] == 55200
    assert first_factor_by_password(uniform, address, OPENID).status == 200
    assert first_factor_by_password(uniform, address, OPENID, WRONG_PASSWORD).error[2] == 50126


@pytest.mark.proves("ENUM-02")
def test_uniform_a_decoy_stays_one_when_its_address_gets_an_account_meanwhile(uniform: World) -> None:
    address = an_address()
    asked = challenged(uniform, uniform.password_app, begun(uniform, uniform.password_app, address).token)
    uniform.person(address, password=PASSWORD)

    answer = proven(uniform, uniform.password_app, asked.token, "password", PASSWORD)

    assert answer.error == ("invalid_grant", "", 50126)


# Sending takes no time. -------------------------------------------------------------------------------


class HeldUp:
    """A provider that does not answer before it is let."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.asked = 0
        self.sent: list[Outgoing] = []

    lanes = (Lane(),)

    async def send(self, outgoing: Sequence[Outgoing]) -> Sequence[Settled]:
        self.asked += 1
        await self.opened.wait()
        self.sent += outgoing
        return [Settled(id=row.id, how="sent") for row in outgoing]


@contextmanager
def with_provider(folder: Path, provider: HeldUp) -> Iterator[tuple[StrictServer, _Loop]]:
    """The demo tenant, but its messages leave by this provider."""
    folder.mkdir()
    keys, clock, hashing, loop = Keys(open_master_key(folder / "master.key")), Clock(), Hashing(1), _Loop()
    store = SqliteStore.open(folder / "dev.db", demo.TENANT_ID, keys, clock.now)
    runtime = TenantRuntime(store, demo.TENANT_ID, keys, clock, hashing, HereServer.BASE)
    loop.run(store.replace_directory(demo.directory("secret")))
    loop.run(runtime.start(provider))
    app = App(
        tenants={demo.TENANT: runtime.edge},
        pages={},
        static=lambda *_: None,
        clock=clock.now,
        development=True,
        on_start=_nothing,
        on_stop=_nothing,
    )
    server = HereServer(app, loop, {"base_url": HereServer.BASE})
    try:
        yield server, loop
    finally:
        server.http.close()
        loop.run(runtime.stop())
        hashing.close()
        loop.close()


@pytest.mark.proves("ENUM-05")
def test_an_answer_does_not_wait_for_whoever_delivers_the_message(tmp_path: Path) -> None:
    provider = HeldUp()
    with with_provider(tmp_path / "data", provider) as (server, loop):
        form = {"client_id": demo.OTP_APP}
        start = {**form, "username": an_address(), "challenge_type": "oob redirect"}

        token = server.post_form(strict.SIGNUP_START, start).ok().token
        for _ in range(3):
            sent = server.post_form(strict.SIGNUP_CHALLENGE, {**form, "continuation_token": token})
            assert sent.status == 200, "while nothing can leave"
        assert provider.sent == []

        async def let() -> None:
            provider.opened.set()

        loop.run(let())
        deadline = time.monotonic() + 10
        while len(provider.sent) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)

    assert len(provider.sent) == 3
    assert provider.asked >= 1


# Even where accounts are revealed. --------------------------------------------------------------------


def lock(world: World, address: str, kind: Kind) -> None:
    """As if ten wrong proofs had just been tried."""
    subject = world.subject(address)
    history = (rate.milliseconds(world.now),) * 10
    until = rate.keep_until(history, rate.WRONG_CODES)
    for bucket in budgets.of_method(subject.id, kind):
        world.write(Count(bucket=bucket, history=history, keep_until=until))


@pytest.mark.proves("ENUM-07")
def test_compat_a_password_that_has_to_wait_is_answered_as_a_wrong_one(world: World) -> None:
    free, waiting = has_password(world), has_password(world)
    lock(world, waiting, Kind.PASSWORD)

    wrong = first_factor_by_password(world, free, OPENID, WRONG_PASSWORD)
    wrong_too = first_factor_by_password(world, waiting, OPENID, WRONG_PASSWORD)
    right = first_factor_by_password(world, waiting, OPENID, PASSWORD)

    assert seen(wrong) == seen(wrong_too) == seen(right)
    assert "wait" in right["error_description"], "the words cover both"


@pytest.mark.proves("ENUM-07")
def test_compat_a_code_that_has_to_wait_is_answered_as_a_wrong_one(world: World) -> None:
    app, free, waiting = world.otp_app, has_code(world), has_code(world)
    lock(world, waiting, Kind.EMAIL_OTP)
    tokens = [challenged(world, app, begun(world, app, address).token).token for address in (free, waiting)]
    code = newest(world, waiting, "sign_in", set())

    wrong, wrong_too = (proven(world, app, token, "oob", WRONG_CODE) for token in tokens)
    right = proven(world, app, tokens[1], "oob", code)

    assert seen(wrong) == seen(wrong_too) == seen(right)


@pytest.mark.proves("ENUM-07")
def test_compat_no_second_factor_is_listed_before_the_first_is_proven(world: World) -> None:
    address, app = has_two_factors(world), world.password_app
    walk = Walk(world, app)
    walk.post(strict.INITIATE, username=address, challenge_type=ALL_TYPES).ok()

    answers = [walk.post(strict.INTROSPECT), walk.post(strict.REGISTER_INTROSPECT)]
    walk.post(strict.CHALLENGE).ok()
    answers += [walk.post(strict.INTROSPECT), walk.post(strict.TOKEN, grant_type="mfa_oob", oob=WRONG_CODE)]

    assert [answer.error[2] for answer in answers] == [55200] * 4


@pytest.mark.parametrize("who", [is_disabled, must_change, has_two_factors])
@pytest.mark.proves("ENUM-07")
def test_compat_the_state_of_an_account_is_not_told_to_who_only_guesses(world: World, who: Who) -> None:
    guessed = first_factor_by_password(world, who(world), OPENID, WRONG_PASSWORD)
    ordinary = first_factor_by_password(world, has_password(world), OPENID, WRONG_PASSWORD)

    assert seen(guessed) == seen(ordinary)


def initiated(world: World, client: str, address: str) -> Reply:
    """The answer to a name, asked for from an address of the internet."""
    walk = Walk(Elsewhere(world, client), world.password_app)
    return walk.post(strict.INITIATE, username=address, challenge_type=ALL_TYPES)


NOT_FOUND = ("user_not_found", "", 50034)
EXISTS = ("user_already_exists", "", 1003037)
ANSWERED = ("", "", 0)


@pytest.mark.parametrize(
    ("block", "outside"),
    [("198.51.100.{}", "198.51.101.1"), ("2001:db8:7:{}::1", "2001:db8:8::1")],
    ids=["a /24", "a /48"],
)
@pytest.mark.proves("ENUM-07")
def test_compat_a_block_that_asks_for_too_many_unknown_names_is_told_no_more(
    world: World, block: str, outside: str
) -> None:
    told = [initiated(world, block.format(n), an_address()).error for n in range(1, 21)]
    hidden = [initiated(world, block.format(n), an_address()).error for n in range(21, 24)]
    elsewhere = initiated(world, outside, an_address()).error
    known = has_password(world)
    inside = Elsewhere(world, block.format(99))
    signed_up = SignUp(inside, world.password_app).start(known).error
    started = Reset(inside, world.password_app).start(has_code(world)).error
    signed_in = first_factor_by_password(inside, known, OPENID).status
    world.advance(timedelta(minutes=59).total_seconds())
    still_hidden = initiated(world, block.format(1), an_address()).error
    world.advance(62)
    told_again = initiated(world, block.format(1), an_address()).error

    assert told == [NOT_FOUND] * 20
    assert hidden == [ANSWERED] * 3
    assert elsewhere == NOT_FOUND
    assert signed_up == started == ANSWERED
    assert signed_in == 200, "whoever knows the password is not kept out"
    assert (still_hidden, told_again) == (ANSWERED, NOT_FOUND)


@pytest.mark.proves("ENUM-07")
def test_compat_a_block_that_signs_up_too_many_names_is_not_told_which_are_taken(world: World) -> None:
    client = Elsewhere(world, "198.51.100.9")
    taken, app = [has_password(world) for _ in range(12)], world.password_app
    asked = [
        name for pair in zip(taken[:10], (nobody(world) for _ in range(10)), strict=True) for name in pair
    ]

    told = [SignUp(client, app).start(name).error for name in asked]
    hidden = [SignUp(client, app).start(name).error for name in (taken[10], nobody(world))]
    elsewhere = SignUp(Elsewhere(world, "198.51.101.9"), app).start(taken[11]).error
    walk = SignUp(client, app)
    walk.start(an_address(), password=PASSWORD, attributes={"displayName": "Ada"}).ok()
    newcomer = walk.prove(walk.send())
    sign_in = initiated(world, "198.51.100.9", nobody(world)).error
    world.advance(timedelta(minutes=61).total_seconds())
    told_again = SignUp(client, app).start(taken[11]).error

    assert told == [EXISTS, ANSWERED] * 10
    assert hidden == [ANSWERED] * 2
    assert elsewhere == told_again == EXISTS
    assert newcomer.status == 200, "whoever has a mailbox signs up as ever"
    assert sign_in == NOT_FOUND, "a crowd of newcomers takes nothing from who signs in"


@pytest.mark.proves("ENUM-07")
def test_compat_unknown_names_of_sign_ins_and_resets_count_together(world: World) -> None:
    client = Elsewhere(world, "192.0.2.7")
    for _ in range(10):
        Walk(client, world.otp_app).post(strict.INITIATE, username=an_address(), challenge_type=ALL_TYPES)
        Reset(client, world.otp_app).start(an_address())

    answer = Reset(client, world.otp_app).start(an_address())

    assert answer.error == ANSWERED


@pytest.mark.parametrize(
    "header", ["x-forwarded-for", "forwarded", "x-real-ip", "true-client-ip", "cf-connecting-ip", "client-ip"]
)
@pytest.mark.proves("THR-07")
def test_no_header_makes_a_client_another_one(world: World, header: str) -> None:
    peer = f"203.0.113.{len(header)}"
    form = {"client_id": world.otp_app, "challenge_type": ALL_TYPES}

    def ask(client: str, n: int) -> tuple[str, str, int]:
        said = f"for=198.51.{n}.1;proto=https" if header == "forwarded" else f"198.51.{n}.1"
        return (
            Elsewhere(world, client)
            .post_form(strict.INITIATE, {**form, "username": nobody(world)}, {header: said})
            .error
        )

    told = [ask(peer if n % 2 else f"::ffff:{peer}", n) for n in range(20)]
    hidden = [ask(peer, 20), ask(f"::ffff:{peer}", 21)]
    world.advance(timedelta(minutes=61).total_seconds())

    assert told == [NOT_FOUND] * 20
    assert hidden == [ANSWERED] * 2


@pytest.mark.proves("ENUM-07")
def test_compat_nothing_is_counted_for_the_machine_itself_in_development(world: World) -> None:
    answers = [
        Walk(world, world.otp_app).post(strict.INITIATE, username=an_address(), challenge_type=ALL_TYPES)
        for _ in range(25)
    ]

    assert {answer.error for answer in answers} == {NOT_FOUND}


# Other doors. -----------------------------------------------------------------------------------------


@pytest.mark.proves("ENUM-09")
def test_a_refresh_token_that_is_unknown_is_answered_as_one_of_another_app(world: World) -> None:
    theirs = first_factor_by_password(world, has_password(world), OPENID).ok()["refresh_token"]
    form = {"client_id": world.otp_app, "grant_type": "refresh_token"}
    never_given = "gkr1." + "A" * 64
    no_token = "x"

    answers = [
        world.post_form(strict.TOKEN, {**form, "refresh_token": token})
        for token in (theirs, never_given, no_token)
    ]

    assert {answer.error for answer in answers} == {("invalid_grant", "bad_token", 70000)}
    assert seen(answers[0]) == seen(answers[1]) == seen(answers[2])
    own = {**form, "client_id": world.password_app, "refresh_token": theirs}
    assert world.post_form(strict.TOKEN, own).status == 200, "and it has not been ended by who only had it"
    others = [f"{world.base}/dev/oauth2/v2.0/{name}" for name in ("introspect-token", "revoke")]
    assert [world.http.post(url, data=own).status_code for url in others] == [404] * 2, (
        "they belong here, too"
    )
