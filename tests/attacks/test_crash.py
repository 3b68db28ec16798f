"""
`kill -9` in the middle of flows: what was answered stays so, and after a restart on the same folder everything goes on.

Over sockets against real processes. What a client was told is the measure: an account that was made is there, a code
that was said to be sent arrives, a try that was used is used, a token that was given works, and time has not run back.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest

from genkan.model import Kind
from tests.attacks.journeys import (
    CHALLENGE,
    INITIATE,
    INTROSPECT,
    PASSWORD,
    REGISTER_CHALLENGE,
    REGISTER_CONTINUE,
    REGISTER_INTROSPECT,
    RESET_CHALLENGE,
    RESET_CONTINUE,
    RESET_POLL,
    RESET_START,
    RESET_SUBMIT,
    SIGNUP_CHALLENGE,
    SIGNUP_CONTINUE,
    SIGNUP_START,
    TOKEN,
    bad_token,
    begin,
    challenged,
    first_factor,
    person,
    second_challenged,
    sign_up,
    token_set,
    with_phone,
)
from tests.attacks.target import Inside, new_number
from tests.attacks.test_races import WRONG_CODE, WRONG_PASSWORD, guesses_counted, subject_of, wrong_codes
from tests.server import BOTH, Reply, Server, new_address, start

TYPES = "oob password redirect"
EXPIRED = ("expired_token", "", 552003)


class Lives:
    """One folder and one port, and the processes that come and go on them. A target like any other."""

    def __init__(self, data: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port: int = free.getsockname()[1]
        self._data = data
        self.server = start(data, port=self._port)

    def die(self) -> None:
        self.server.kill()
        self.server.http.close()
        assert self.server.process.stdout is not None
        self.server.process.stdout.close()

    def live(self) -> None:
        self.server = start(self._data, port=self._port)

    def die_and_live(self) -> None:
        self.die()
        self.live()

    def end(self) -> None:
        if self.server.process.poll() is None:
            self.die()

    @property
    def otp_app(self) -> str:
        return self.server.otp_app

    @property
    def password_app(self) -> str:
        return self.server.password_app

    @property
    def scope(self) -> str:
        return self.server.scope

    def post(self, path: str, headers: Any = None, **form: str) -> Reply:
        return self.server.post(path, headers, **form)

    def get(self, path: str, **query: str) -> Any:
        return self.server.http.get(f"{self.server.base}{path}", params=query).json()

    def advance(self, seconds: float) -> None:
        self.server.advance(seconds)

    def now(self) -> datetime:
        return datetime.fromisoformat(self.get("/dev/clock")["now"])


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Lives]:
    found = Lives(tmp_path / "data")
    try:
        yield found
    finally:
        found.end()
    assert "Traceback" not in found.server.log


# Step by step. --------------------------------------------------------------------------------------


def code_for(lives: Lives, to: str, purpose: str, read: set[str]) -> str:
    """The code of the one message of a purpose that has not been read yet; whoever waits for it waits seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = [m for m in lives.server.messages(to) if m["id"] not in read]
        codes = [m["code"] for m in found if m["purpose"] == purpose]
        read |= {m["id"] for m in found}
        if codes:
            assert len(codes) == 1, found
            return str(codes[0])
        time.sleep(0.02)
    raise AssertionError(f"no {purpose} code for {to} after a restart")


def said(lives: Lives, path: str, **form: str) -> Reply:
    """The answer; and then the process is killed, and another one lives."""
    reply = lives.post(path, None, **form)
    lives.die_and_live()
    return reply


def test_a_person_with_codes_gets_through_although_the_server_is_killed_after_every_answer(
    lives: Lives,
) -> None:
    address, number, read = new_address(), new_number(), set[str]()
    app = {"client_id": lives.otp_app}

    begun = said(
        lives, SIGNUP_START, **app, username=address, challenge_type="oob redirect", capabilities=BOTH
    )
    sent = said(lives, SIGNUP_CHALLENGE, **app, continuation_token=begun.token)
    code = code_for(lives, address, "sign_up", read)
    done = said(lives, SIGNUP_CONTINUE, **app, continuation_token=sent.token, grant_type="oob", oob=code)
    asked = said(
        lives,
        TOKEN,
        **app,
        continuation_token=done.token,
        grant_type="continuation_token",
        scope=lives.scope,
    )
    assert asked.error[1] == "registration_required"
    listed = said(lives, REGISTER_INTROSPECT, **app, continuation_token=asked.token)
    sent = said(
        lives,
        REGISTER_CHALLENGE,
        **app,
        continuation_token=listed.token,
        challenge_type="oob",
        challenge_target=number,
        challenge_channel="sms",
    )
    code = code_for(lives, number, "enrol", read)
    done = said(lives, REGISTER_CONTINUE, **app, continuation_token=sent.token, grant_type="oob", oob=code)
    tokens = said(lives, TOKEN, **app, continuation_token=done.token, grant_type="continuation_token")

    begun = said(lives, INITIATE, **app, username=address, challenge_type="oob redirect", capabilities=BOTH)
    sent = said(lives, CHALLENGE, **app, continuation_token=begun.token)
    code = code_for(lives, address, "sign_in", read)
    asked = said(
        lives, TOKEN, **app, continuation_token=sent.token, grant_type="oob", oob=code, scope=lives.scope
    )
    assert asked.error[1] == "mfa_required"
    listed = said(lives, INTROSPECT, **app, continuation_token=asked.token)
    sent = said(lives, CHALLENGE, **app, continuation_token=listed.token, id=listed["methods"][0]["id"])
    code = code_for(lives, number, "mfa", read)
    again = said(lives, TOKEN, **app, continuation_token=sent.token, grant_type="mfa_oob", oob=code)

    for reply in (tokens, again):
        claims = jwt.decode(reply.ok()["access_token"], options={"verify_signature": False})
        assert set(claims["amr"]) == {"otp", "sms", "mfa"}


def test_a_person_with_a_password_gets_through_although_the_server_is_killed_after_every_answer(
    lives: Lives,
) -> None:
    address, read = new_address(), set[str]()
    app = {"client_id": lives.password_app}
    new = "nine lazy herons near the canal"

    begun = said(lives, SIGNUP_START, **app, username=address, challenge_type=TYPES, capabilities=BOTH)
    sent = said(lives, SIGNUP_CHALLENGE, **app, continuation_token=begun.token)
    code = code_for(lives, address, "sign_up", read)
    asked = said(lives, SIGNUP_CONTINUE, **app, continuation_token=sent.token, grant_type="oob", oob=code)
    asked = said(lives, SIGNUP_CHALLENGE, **app, continuation_token=asked.token)
    asked = said(
        lives,
        SIGNUP_CONTINUE,
        **app,
        continuation_token=asked.token,
        grant_type="password",
        password=PASSWORD,
    )
    done = said(
        lives,
        SIGNUP_CONTINUE,
        **app,
        continuation_token=asked.token,
        grant_type="attributes",
        attributes='{"displayName": "Ada"}',
    )
    said(lives, TOKEN, **app, continuation_token=done.token, grant_type="continuation_token").ok()

    begun = said(lives, RESET_START, **app, username=address, challenge_type="oob redirect")
    sent = said(lives, RESET_CHALLENGE, **app, continuation_token=begun.token)
    code = code_for(lives, address, "reset_password", read)
    proven = said(lives, RESET_CONTINUE, **app, continuation_token=sent.token, grant_type="oob", oob=code)
    kept = said(lives, RESET_SUBMIT, **app, continuation_token=proven.token, new_password=new)
    polled = said(lives, RESET_POLL, **app, continuation_token=kept.token)
    tokens = said(lives, TOKEN, **app, continuation_token=polled.token, grant_type="continuation_token")
    assert token_set(tokens.ok())

    begun = said(lives, INITIATE, **app, username=address, challenge_type=TYPES)
    put = said(lives, CHALLENGE, **app, continuation_token=begun.token)
    old = said(lives, TOKEN, **app, continuation_token=put.token, grant_type="password", password=PASSWORD)
    assert old.error == WRONG_PASSWORD
    assert token_set(
        said(lives, TOKEN, **app, continuation_token=put.token, grant_type="password", password=new)
    )
    assert code_for(lives, address, "notice", read)


# What must not be forgotten. ------------------------------------------------------------------------


@pytest.mark.proves("OTP-09", "OTP-05")
def test_tries_stay_used_over_a_restart(lives: Lives) -> None:
    who = with_phone(lives, person(lives))
    token, code = second_challenged(lives, who, first_factor(lives, who).token)
    form = {"client_id": who.client, "continuation_token": token, "grant_type": "mfa_oob"}
    wrong = wrong_codes(code, 5)

    for guess in wrong:
        assert lives.post(TOKEN, None, **form, oob=guess).error == WRONG_CODE
        lives.die_and_live()

    assert lives.post(TOKEN, None, **form, oob=code).error == bad_token(TOKEN)
    subject = subject_of(lives.server, who.address)
    assert subject is not None
    assert guesses_counted(lives.server, subject, Kind.SMS_OTP) == 5


@pytest.mark.proves("OTP-09")
def test_a_password_that_was_being_compared_when_the_server_was_killed_has_used_its_try(lives: Lives) -> None:
    who = person(lives, lives.password_app)
    token, _ = challenged(lives, who)
    subject = subject_of(lives.server, who.address)
    assert subject is not None
    form = {"client_id": who.client, "continuation_token": token, "grant_type": "password"}

    for round_ in range(4):
        words = [f"wrong {round_} {n}" for n in range(10)]
        shooting = threading.Thread(target=_shoot, args=(lives.server.base, form, words))
        shooting.start()
        time.sleep(0.02 + 0.02 * round_)
        lives.die()
        shooting.join()
        lives.live()

    assert guesses_counted(lives.server, subject, Kind.PASSWORD) <= 5
    for n in range(6):
        lives.post(TOKEN, None, **form, password=f"more {n}")
    assert guesses_counted(lives.server, subject, Kind.PASSWORD) <= 5
    assert not token_set(lives.post(TOKEN, None, **form, password=PASSWORD))


def _shoot(base: str, form: dict[str, str], words: list[str]) -> None:
    """Many passwords at once at a server that may die of it."""

    async def shoot() -> None:
        async with httpx2.AsyncClient(timeout=10) as client:
            waiting = [client.post(f"{base}/dev{TOKEN}", data={**form, "password": word}) for word in words]
            await asyncio.gather(*waiting, return_exceptions=True)

    asyncio.run(shoot())


@pytest.mark.proves("TOK-07", "TOK-06")
def test_a_refresh_whose_answer_died_with_the_server_can_be_repeated_and_reuse_is_still_reuse(
    lives: Lives,
) -> None:
    who, token = sign_up(lives)
    form = {"client_id": who.client, "continuation_token": token, "grant_type": "continuation_token"}
    first = lives.post(TOKEN, None, **form).ok()["refresh_token"]
    refresh = {"client_id": who.client, "grant_type": "refresh_token"}
    second = lives.post(TOKEN, None, **refresh, refresh_token=first).ok()["refresh_token"]

    lives.die_and_live()
    again = lives.post(TOKEN, None, **refresh, refresh_token=first)

    assert again.ok()["refresh_token"] == second
    lives.advance(11)
    assert lives.post(TOKEN, None, **refresh, refresh_token=first).error[2] == 50173
    lives.die_and_live()
    assert lives.post(TOKEN, None, **refresh, refresh_token=second).error[2] == 50173


@pytest.mark.proves("TIM-03")
def test_time_that_was_moved_forward_does_not_run_back_over_restarts(lives: Lives) -> None:
    who = person(lives)
    token, code = challenged(lives, who)
    form = {"client_id": who.client, "continuation_token": token, "grant_type": "oob", "oob": code}

    lives.advance(11 * 60)
    assert lives.post(TOKEN, None, **form).error == EXPIRED
    latest = lives.now()
    for _ in range(3):
        lives.die_and_live()
        assert lives.now() >= latest
        latest = lives.now()
        assert lives.post(TOKEN, None, **form).error in (EXPIRED, bad_token(TOKEN))
        lives.advance(3600)
        latest = max(latest, lives.now())
    lives.die_and_live()

    assert lives.now() >= latest


def test_tokens_of_before_verify_with_the_keys_of_after(lives: Lives) -> None:
    who, token = sign_up(lives)
    form = {"client_id": who.client, "continuation_token": token, "grant_type": "continuation_token"}
    tokens = lives.post(TOKEN, None, **form).ok()

    lives.die_and_live()

    keys = {k["kid"]: jwt.PyJWK(k) for k in lives.get("/dev/discovery/v2.0/keys")["keys"]}
    key = keys[jwt.get_unverified_header(tokens["id_token"])["kid"]]
    claims = jwt.decode(tokens["id_token"], key, algorithms=["RS256"], audience=who.client)
    assert claims["preferred_username"] == who.address


def test_a_first_start_that_is_killed_anywhere_does_not_spoil_the_folder(tmp_path: Path) -> None:
    data = tmp_path / "data"
    command = [sys.executable, "-m", "genkan", "dev", "--port", "0", "--json", "--data", str(data)]

    for number in range(16):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            time.sleep(0.15 + 0.04 * number)
            process.kill()
        if number % 5 == 4:
            shutil.rmtree(data, ignore_errors=True)

    lives = Lives(data)
    try:
        who, token = sign_up(lives)
        form = {"client_id": who.client, "continuation_token": token, "grant_type": "continuation_token"}
        assert token_set(lives.post(TOKEN, None, **form).ok())
    finally:
        lives.end()


@pytest.mark.parametrize("turns", range(4))
def test_a_message_that_comes_while_the_server_is_asked_to_stop_does_not_keep_it_alive(
    here: Inside, turns: int
) -> None:
    worker = here.development._tenant.worker
    assert worker is not None

    async def stop() -> None:
        await asyncio.sleep(0.05)
        worker.wake()
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await worker.stop()

    here.run(stop())


# Under load. ----------------------------------------------------------------------------------------


@dataclass
class Told:
    """What clients were told before the server died."""

    sent: list[str] = field(default_factory=list)
    """Addresses to which a code was said to be on its way."""
    accounts: list[str] = field(default_factory=list)
    refresh: list[str] = field(default_factory=list)
    """The newest refresh token of each session, none of them being renewed when the server died."""
    spent: list[tuple[str, str]] = field(default_factory=list)
    """Tokens that were redeemed: of flows, and the right code that went with them."""
    wrong: list[tuple[str, str, str, int]] = field(default_factory=list)
    """Token, right code, address, and how many wrong codes were told to be wrong."""
    waiting: list[tuple[str, str]] = field(default_factory=list)
    """Token of a sign-up that waits for its code, and its address."""


async def walk(client: httpx2.AsyncClient, base: str, app: str, told: Told, dice: random.Random) -> None:
    """Sign up again and again, each time a little differently, until the server is gone."""

    async def post(path: str, **form: str) -> Reply:
        return Reply.of(await client.post(f"{base}/dev{path}", data={"client_id": app, **form}))

    while True:
        address = new_address()
        begun = await post(SIGNUP_START, username=address, challenge_type="oob redirect")
        sent = await post(SIGNUP_CHALLENGE, continuation_token=begun.ok().token)
        told.sent.append(address)
        told.waiting.append((sent.ok().token, address))
        found = await client.get(f"{base}/dev/inbox/wait", params={"to": address, "timeout": "10"})
        code = found.json()["messages"][0]["code"]
        form = {"continuation_token": sent.token, "grant_type": "oob"}
        if dice.random() < 0.3:
            for number, wrong in enumerate(wrong_codes(code, dice.randint(1, 4)), 1):
                told.waiting = [w for w in told.waiting if w[1] != address]
                await post(SIGNUP_CONTINUE, **form, oob=wrong)
                told.wrong = [w for w in told.wrong if w[0] != sent.token]
                told.wrong.append((sent.token, code, address, number))
            continue
        told.waiting = [w for w in told.waiting if w[1] != address]
        done = await post(SIGNUP_CONTINUE, **form, oob=code)
        told.accounts.append(address)
        told.spent.append((sent.token, code))
        tokens = await post(TOKEN, continuation_token=done.ok().token, grant_type="continuation_token")
        held = tokens.ok()["refresh_token"]
        told.refresh.append(held)
        for _ in range(dice.randint(0, 2)):
            told.refresh.remove(held)
            renewed = await post(TOKEN, grant_type="refresh_token", refresh_token=held)
            held = renewed.ok()["refresh_token"]
            told.refresh.append(held)


def load_until(server: Server, seconds: float, kill: Callable[[], None], dice: random.Random) -> Told:
    """What many clients were told by a server that is killed in the midst of them."""
    told = Told()

    async def run() -> None:
        async with httpx2.AsyncClient(timeout=15) as client:
            walks = [
                asyncio.create_task(
                    walk(client, server.base, server.otp_app, told, random.Random(dice.random()))
                )
                for _ in range(8)
            ]
            await asyncio.sleep(seconds)
            await asyncio.to_thread(kill)
            ended = await asyncio.gather(*walks, return_exceptions=True)
        for end in ended:
            assert isinstance(end, httpx2.TransportError), end

    asyncio.run(run())
    return told


@pytest.mark.parametrize("points", [4, pytest.param(30, marks=pytest.mark.slow)])
def test_nothing_that_was_acknowledged_is_lost_wherever_the_server_is_killed(
    lives: Lives, points: int
) -> None:
    dice = random.Random(points)
    heard = Told()

    for _ in range(points):
        told = load_until(lives.server, dice.uniform(0.05, 0.8), lives.die, dice)
        lives.live()
        check(lives, told)
        heard.sent += told.sent
        heard.accounts += told.accounts
        lives.server.http.delete(f"{lives.server.base}/dev/inbox/messages")

    assert len(heard.sent) > 5 * points
    assert heard.accounts
    for address in heard.accounts[:: max(1, len(heard.accounts) // 20)]:
        begin(lives, INITIATE, lives.otp_app, address).ok()


def check(lives: Lives, told: Told) -> None:
    """Every promise is kept by the process that lives now."""
    app = {"client_id": lives.otp_app}
    deadline = time.monotonic() + 10
    missing = set(told.sent)
    while missing and time.monotonic() < deadline:
        missing -= {m["to"] for m in lives.get("/dev/inbox/messages")["messages"]}
        time.sleep(0.02)
    assert not missing, f"never arrived: {missing}"
    for address in told.accounts:
        begin(lives, INITIATE, lives.otp_app, address).ok()
    for token, code in told.spent:
        used = lives.post(SIGNUP_CONTINUE, None, **app, continuation_token=token, grant_type="oob", oob=code)
        assert used.error == bad_token(SIGNUP_CONTINUE)
    for token in told.refresh:
        lives.post(TOKEN, None, **app, grant_type="refresh_token", refresh_token=token).ok()
    for token, code, address, wrong in told.wrong:
        assert guesses_counted(lives.server, f"email:{address}", Kind.EMAIL_OTP) >= wrong
        form = {**app, "continuation_token": token, "grant_type": "oob"}
        for guess in wrong_codes(code, 5 - wrong):
            lives.post(SIGNUP_CONTINUE, None, **form, oob=guess)
        assert lives.post(SIGNUP_CONTINUE, None, **form, oob=code).error == bad_token(SIGNUP_CONTINUE)
    for token, address in told.waiting:
        (message,) = lives.server.messages(address)
        form = {**app, "continuation_token": token, "grant_type": "oob", "oob": str(message["code"])}
        lives.post(SIGNUP_CONTINUE, None, **form).ok()


@pytest.mark.proves("TIM-03")
def test_a_time_that_was_answered_is_never_taken_back_by_a_kill(lives: Lives) -> None:
    latest = lives.now()

    for number in range(4):
        heard: list[datetime] = []
        pushing = threading.Thread(target=_push_clock, args=(lives.server.base, heard))
        pushing.start()
        time.sleep(0.05 + 0.07 * number)
        lives.die()
        pushing.join()
        lives.live()
        latest = max([latest, *heard])
        assert lives.now() >= latest


def _push_clock(base: str, heard: list[datetime]) -> None:
    with httpx2.Client(timeout=5) as client:
        while True:
            try:
                answer = client.post(f"{base}/dev/clock", json={"advance_seconds": 1.5})
            except httpx2.TransportError:
                return
            heard.append(datetime.fromisoformat(answer.json()["now"]))
