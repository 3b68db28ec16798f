"""
Many requests at once: never one guess too many, never one rightful answer too few, never two of what is one.

Over a socket against the real process; where comparisons are counted, in this process, by a profiler that only looks.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from types import FrameType
from typing import Any

import httpx2
import pytest

from genkan.factors import otp, password
from genkan.model import Kind
from genkan.risk import rate
from tests.attacks.journeys import (
    ANOTHER_PASSWORD,
    PASSWORD,
    REGISTER_CONTINUE,
    RESET_CONTINUE,
    RESET_SUBMIT,
    SIGNUP_CHALLENGE,
    SIGNUP_CONTINUE,
    SIGNUP_START,
    TOKEN,
    Person,
    bad_token,
    begin,
    challenged,
    enrolling,
    first_factor,
    person,
    prove_first,
    resetting,
    second_challenged,
    sign_up,
    token_set,
    with_phone,
)
from tests.attacks.target import Inside, Outside, Target, new_number, sending
from tests.server import Reply, Server, new_address

Form = dict[str, str]

WRONG_CODE = ("invalid_grant", "invalid_oob_value", 50181)
WRONG_PASSWORD = ("invalid_grant", "", 50126)
TOO_BUSY = ("temporarily_unavailable", "", 90055)
"""More password work than anybody should wait for: nothing was compared, and nothing spent."""


def at_once(server: Server, path: str, forms: Sequence[Form]) -> list[Reply]:
    """The answers to requests that are under way together, each on a connection of its own, in their order."""

    async def send() -> list[Reply]:
        limits = httpx2.Limits(max_connections=len(forms))
        async with httpx2.AsyncClient(timeout=120, limits=limits) as client:
            waiting = [client.post(f"{server.base}/dev{path}", data=form) for form in forms]
            return [Reply.of(response) for response in await asyncio.gather(*waiting)]

    return asyncio.run(send())


def all_at_once(here: Inside, path: str, forms: Sequence[Form]) -> list[Reply]:
    """The same in this process."""

    async def send() -> list[Reply]:
        return list(await asyncio.gather(*(here.posted(path, None, **form) for form in forms)))

    return here.run(send())


@contextmanager
def database(server: Server) -> Iterator[sqlite3.Connection]:
    """The tenant's database, to be looked at."""
    with closing(sqlite3.connect(f"file:{server.data / 'dev.db'}?mode=ro", uri=True)) as connection:
        yield connection


def subject_of(server: Server, address: str) -> str | None:
    with database(server) as connection:
        row = connection.execute("SELECT subject FROM identifier WHERE key = ?", (address,)).fetchone()
    return row[0] if row else None


def guesses_counted(server: Server, owner: str, kind: Kind) -> int:
    """How many guesses at a method were taken from its budget; `owner` may be an address that is nobody's."""
    bucket = rate.guesses_of_nobody(owner, kind) if ":" in owner else rate.guesses(owner, kind)
    with database(server) as connection:
        row = connection.execute("SELECT history FROM bucket WHERE name = ?", (bucket,)).fetchone()
    return len(json.loads(row[0])) if row else 0


# One of each. ---------------------------------------------------------------------------------------


@pytest.mark.proves("OTP-03", "FLOW-17")
def test_fifty_redemptions_of_one_right_code_give_one_token_set(server: Server, outside: Outside) -> None:
    who = person(outside)
    token, code = challenged(outside, who)
    form = {"client_id": who.client, "continuation_token": token, "grant_type": "oob", "oob": code}

    replies = at_once(server, TOKEN, [form] * 50)

    assert sum(token_set(reply) for reply in replies) == 1
    assert {reply.error for reply in replies if not token_set(reply)} == {bad_token(TOKEN)}
    assert server.post(TOKEN, None, **form).error == bad_token(TOKEN)


def test_fifty_redemptions_of_one_right_password_give_one_token_set(server: Server, outside: Outside) -> None:
    who = person(outside, outside.password_app)
    token, _ = challenged(outside, who)
    form = {
        "client_id": who.client,
        "continuation_token": token,
        "grant_type": "password",
        "password": PASSWORD,
    }

    replies = at_once(server, TOKEN, [form] * 50)

    assert sum(token_set(reply) for reply in replies) == 1
    refused = {reply.error for reply in replies if not token_set(reply)}
    assert refused <= {bad_token(TOKEN), WRONG_PASSWORD}


@pytest.mark.proves("FLOW-17")
def test_fifty_resumes_of_one_sign_up_give_one_token_set(server: Server, outside: Outside) -> None:
    who, token = sign_up(outside)
    form = {"client_id": who.client, "continuation_token": token, "grant_type": "continuation_token"}

    replies = at_once(server, TOKEN, [form] * 50)

    assert sum(token_set(reply) for reply in replies) == 1
    assert {reply.error for reply in replies if not token_set(reply)} == {bad_token(TOKEN)}


@pytest.mark.proves("FLOW-17")
def test_a_hundred_second_factors_at_once_give_one_token_set(server: Server, outside: Outside) -> None:
    who = with_phone(outside, person(outside))
    token, code = second_challenged(outside, who, first_factor(outside, who).token)
    form = {"client_id": who.client, "continuation_token": token, "grant_type": "mfa_oob", "oob": code}

    replies = at_once(server, TOKEN, [form] * 100)

    assert sum(token_set(reply) for reply in replies) == 1


@pytest.mark.proves("V1-154")
def test_twenty_finishes_of_one_sign_up_make_one_account(server: Server, outside: Outside) -> None:
    path, form, code, address = at_sign_up(outside)

    replies = at_once(server, path, [{**form, "oob": code}] * 20)

    assert Counter(reply.status for reply in replies) == {200: 1, 400: 19}
    with database(server) as connection:
        made = connection.execute(
            "SELECT COUNT(*) FROM subject WHERE body LIKE ?", (f'%"{address}"%',)
        ).fetchone()
    assert made == (1,)


@pytest.mark.proves("V1-155", "V1-154")
def test_of_ten_sign_ups_for_one_address_one_makes_the_account_and_the_others_hear_that_it_exists(
    server: Server, outside: Outside
) -> None:
    address = new_address()
    asked = [at_sign_up(outside, address) for _ in range(5)]

    replies = at_once(server, SIGNUP_CONTINUE, [{**form, "oob": code} for _, form, code, _ in asked * 2])

    assert sum(reply.status == 200 for reply in replies) == 1
    others = {reply.error for reply in replies if reply.status != 200}
    assert others == {("user_already_exists", "", 1003037), bad_token(SIGNUP_CONTINUE)}
    assert sum(reply.error[0] == "user_already_exists" for reply in replies) == 4
    with database(server) as connection:
        made = connection.execute(
            "SELECT COUNT(*) FROM subject WHERE body LIKE ?", (f'%"{address}"%',)
        ).fetchone()
    assert made == (1,)


def test_twenty_confirmations_of_one_phone_register_it_once(server: Server, outside: Outside) -> None:
    who = person(outside)
    token, code = enrolling(outside, who, first_factor(outside, who).token, new_number())
    form = {"client_id": who.client, "continuation_token": token, "grant_type": "oob", "oob": code}

    replies = at_once(server, REGISTER_CONTINUE, [form] * 20)

    assert Counter(reply.status for reply in replies) == {200: 1, 400: 19}
    with database(server) as connection:
        (registered,) = connection.execute(
            "SELECT COUNT(*) FROM authenticator WHERE subject = ? AND body LIKE '%sms_otp%'",
            (subject_of(server, who.address),),
        ).fetchone()
    assert registered == 1


def test_two_flows_cannot_both_register_the_first_second_factor(server: Server, outside: Outside) -> None:
    who = person(outside)
    forms = []
    for _ in range(2):
        token, code = enrolling(outside, who, first_factor(outside, who).token, new_number())
        forms.append({"client_id": who.client, "continuation_token": token, "grant_type": "oob", "oob": code})

    replies = at_once(server, REGISTER_CONTINUE, forms)

    assert sorted(reply.status for reply in replies) == [200, 400]


def test_of_two_new_passwords_at_once_one_is_set(server: Server, outside: Outside) -> None:
    who = person(outside, outside.password_app)
    token, code = resetting(outside, who)
    form = {"client_id": who.client, "continuation_token": token, "grant_type": "oob", "oob": code}
    verified = server.post(RESET_CONTINUE, None, **form).ok()
    chosen = [ANOTHER_PASSWORD, "nine lazy herons near the canal"]

    replies = at_once(
        server,
        RESET_SUBMIT,
        [
            {"client_id": who.client, "continuation_token": verified.token, "new_password": word}
            for word in chosen
        ],
    )

    assert sorted(reply.status for reply in replies) == [200, 400]
    won = chosen[[reply.status for reply in replies].index(200)]
    token, _ = challenged(outside, who)
    for word in (*chosen, PASSWORD):
        reply = prove_first(outside, who, token, word, "openid")
        assert token_set(reply) == (word == won)


def test_a_reset_in_the_midst_of_requests_never_shows_a_tenant_without_its_apps(here: Inside) -> None:
    form = {"client_id": here.otp_app, "username": new_address(), "challenge_type": "oob redirect"}

    async def both() -> list[Reply]:
        async def reset() -> None:
            for _ in range(10):
                await here.development.reset()

        async def ask() -> list[Reply]:
            replies = []
            while not resets.done():
                replies.append(await here.posted(SIGNUP_START, None, **form))
            return replies

        resets = asyncio.ensure_future(reset())
        return [reply for replies in await asyncio.gather(*(ask() for _ in range(4))) for reply in replies]

    replies = here.run(both())

    assert len(replies) > 10
    assert {reply.status for reply in replies} == {200}


# Guessing. ------------------------------------------------------------------------------------------


def at_first_code(target: Target) -> tuple[str, Form, str, str]:
    """Where a code is waited for: endpoint, form without the code, the right code, whose guesses these are."""
    who = person(target)
    token, code = challenged(target, who)
    return TOKEN, _form(who, token, "oob"), code, who.address


def at_second_code(target: Target) -> tuple[str, Form, str, str]:
    who = with_phone(target, person(target))
    token, code = second_challenged(target, who, first_factor(target, who).token)
    return TOKEN, _form(who, token, "mfa_oob"), code, who.address


def at_registration(target: Target) -> tuple[str, Form, str, str]:
    who = person(target)
    token, code = enrolling(target, who, first_factor(target, who).token, new_number())
    return REGISTER_CONTINUE, _form(who, token, "oob"), code, who.address


def at_sign_up(target: Target, address: str = "") -> tuple[str, Form, str, str]:
    address = address or new_address()
    begun = begin(target, SIGNUP_START, target.otp_app, address).ok()
    form = {"client_id": target.otp_app, "continuation_token": begun.token}
    sent, code = sending(target, address, "sign_up", lambda: target.post(SIGNUP_CHALLENGE, None, **form))
    return SIGNUP_CONTINUE, {**form, "continuation_token": sent.token, "grant_type": "oob"}, code, address


def at_reset(target: Target) -> tuple[str, Form, str, str]:
    who = person(target, target.password_app)
    token, code = resetting(target, who)
    return RESET_CONTINUE, _form(who, token, "oob"), code, who.address


def _form(who: Person, token: str, grant: str) -> Form:
    return {"client_id": who.client, "continuation_token": token, "grant_type": grant}


def wrong_codes(right: str, many: int) -> list[str]:
    """So many codes that are not the right one."""
    return [f"{(int(right) + number) % 10 ** len(right):0{len(right)}d}" for number in range(1, many + 1)]


STEPS = [
    pytest.param(at_first_code, Kind.EMAIL_OTP, id="first factor"),
    pytest.param(at_second_code, Kind.SMS_OTP, id="second factor"),
    pytest.param(at_registration, Kind.SMS_OTP, id="registration"),
    pytest.param(at_sign_up, Kind.EMAIL_OTP, id="sign-up"),
    pytest.param(at_reset, Kind.EMAIL_OTP, id="reset"),
]
Step = Callable[[Target], tuple[str, Form, str, str]]


@pytest.mark.proves("OTP-08", "OTP-09", "V1-091")
@pytest.mark.parametrize(("step", "kind"), STEPS)
@pytest.mark.parametrize("many", [200, pytest.param(1000, marks=pytest.mark.slow)])
def test_many_wrong_codes_at_once_use_the_tries_of_one_step_and_kill_the_right_code(
    server: Server, outside: Outside, step: Step, kind: Kind, many: int
) -> None:
    path, form, code, address = step(outside)

    replies = at_once(server, path, [{**form, "oob": wrong} for wrong in wrong_codes(code, many)])

    assert Counter(reply.error for reply in replies) == {WRONG_CODE: 5, bad_token(path): many - 5}
    assert guesses_counted(server, subject_of(server, address) or f"email:{address}", kind) == 5
    assert server.post(path, None, **form, oob=code).error == bad_token(path)


@pytest.mark.proves("OTP-08", "OTP-09")
@pytest.mark.parametrize("many", [200, pytest.param(1000, marks=pytest.mark.slow)])
def test_many_wrong_passwords_at_once_use_the_tries_of_one_step_and_end_the_flow(
    server: Server, outside: Outside, many: int
) -> None:
    who = person(outside, outside.password_app)
    token, _ = challenged(outside, who)
    form = _form(who, token, "password")

    replies = at_once(server, TOKEN, [{**form, "password": f"a wrong password {n}"} for n in range(many)])

    assert {reply.error for reply in replies} <= {WRONG_PASSWORD, bad_token(TOKEN)}
    subject = subject_of(server, who.address)
    assert subject is not None
    assert guesses_counted(server, subject, Kind.PASSWORD) == 5
    assert server.post(TOKEN, None, **form, password=PASSWORD).error == bad_token(TOKEN)


class Looked:
    """How often secrets were compared, in every thread: seen by a profiler, so nothing is put in their place."""

    def __init__(self, compare: Callable[..., Any]) -> None:
        self._code = compare.__code__
        self.times = 0

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        # Work without a stored password is done for its time alone (PWD-09); nothing can come of it.
        is_for_show = "material" in frame.f_code.co_varnames and frame.f_locals.get("material") is None
        if event == "call" and frame.f_code is self._code and not is_for_show:
            self.times += 1


@contextmanager
def looking_at(compare: Callable[..., Any]) -> Iterator[Looked]:
    looked, before = Looked(compare), sys.getprofile()
    threading.setprofile(looked)
    sys.setprofile(looked)
    try:
        yield looked
    finally:
        sys.setprofile(before)
        threading.setprofile(None)


@pytest.mark.proves("OTP-08", "OTP-09", "THR-01")
@pytest.mark.parametrize(("step", "kind"), STEPS)
def test_of_many_wrong_codes_no_more_are_compared_than_there_are_tries(
    here: Inside, step: Step, kind: Kind
) -> None:
    path, form, code, _ = step(here)

    with looking_at(otp.verify) as looked:
        all_at_once(here, path, [{**form, "oob": wrong} for wrong in wrong_codes(code, 300)])
        here.post(path, None, **form, oob=code)

    assert looked.times == 5


@pytest.mark.proves("OTP-08", "OTP-09", "THR-01")
def test_of_many_wrong_passwords_no_more_are_compared_than_there_are_tries(here: Inside) -> None:
    with looking_at(password.verify) as looked:
        who = person(here, here.password_app)
        token, _ = challenged(here, who)
        assert looked.times == 0
        form = _form(who, token, "password")

        all_at_once(here, TOKEN, [{**form, "password": f"a wrong password {n}"} for n in range(50)])
        here.post(TOKEN, None, **form, password=PASSWORD)

    assert looked.times == 5


@pytest.mark.proves("OTP-10", "FLOW-17")
@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize(("step", "kind"), STEPS)
def test_a_right_code_among_wrong_ones_within_the_tries_gets_through_once(
    here: Inside, step: Step, kind: Kind, place: int
) -> None:
    path, form, code, _ = step(here)
    guesses = wrong_codes(code, 4)
    guesses.insert(place, code)

    replies = all_at_once(here, path, [{**form, "oob": guess} for guess in guesses])

    assert [reply.status == 200 for reply in replies] == [guess == code for guess in guesses]


@pytest.mark.proves("OTP-10")
@pytest.mark.parametrize("place", range(5))
def test_a_right_password_among_wrong_ones_within_the_tries_gets_through_once(
    server: Server, outside: Outside, place: int
) -> None:
    who = person(outside, outside.password_app)
    token, _ = challenged(outside, who)
    guesses = [f"a wrong password {n}" for n in range(4)]
    guesses.insert(place, PASSWORD)

    replies = at_once(server, TOKEN, [{**_form(who, token, "password"), "password": g} for g in guesses])

    assert [token_set(reply) for reply in replies] == [guess == PASSWORD for guess in guesses]


@pytest.mark.proves("OTP-10")
def test_a_right_code_over_a_socket_among_four_wrong_ones_gets_through_once(
    server: Server, outside: Outside
) -> None:
    path, form, code, _ = at_first_code(outside)

    replies = at_once(server, path, [{**form, "oob": guess} for guess in (*wrong_codes(code, 4), code)])

    assert [token_set(reply) for reply in replies] == [False] * 4 + [True]


@pytest.mark.proves("OTP-11")
@pytest.mark.parametrize("flows", [30, pytest.param(200, marks=pytest.mark.slow)])
def test_passwords_sprayed_over_flows_and_apps_stay_within_the_limit_of_the_account(
    server: Server, outside: Outside, flows: int
) -> None:
    who = person(outside, outside.password_app)
    forms = []
    for number in range(flows):
        client = (outside.password_app, outside.otp_app)[number % 2]
        token, _ = challenged(outside, Person(who.address, client, PASSWORD))
        forms += [
            {**_form(who, token, "password"), "client_id": client, "password": f"wrong {n} of {flows}"}
            for n in range(5)  # Other ones than another test's: a password that many tried is judged no more.
        ]

    replies = at_once(server, TOKEN, forms)

    assert {reply.error for reply in replies} <= {WRONG_PASSWORD, bad_token(TOKEN), TOO_BUSY}
    subject = subject_of(server, who.address)
    assert subject is not None
    assert guesses_counted(server, subject, Kind.PASSWORD) in (6, 7, 8), (
        "six at once, then one may have waited"
    )


@pytest.mark.proves("OTP-11", "ENUM-07")
def test_codes_sprayed_over_flows_stay_within_the_limit_and_then_right_and_wrong_look_alike(
    server: Server, outside: Outside
) -> None:
    who = person(outside)
    flows = [challenged(outside, who) for _ in range(4)]
    forms = [
        {**_form(who, token, "oob"), "oob": wrong}
        for token, code in flows[:3]
        for wrong in wrong_codes(code, 4)
    ]

    at_once(server, TOKEN, forms)

    subject = subject_of(server, who.address)
    assert subject is not None
    assert guesses_counted(server, subject, Kind.EMAIL_OTP) == 10
    token, code = flows[3]
    form = _form(who, token, "oob")
    right = server.post(TOKEN, None, **form, oob=code)
    wrong = server.post(TOKEN, None, **form, oob=wrong_codes(code, 1)[0])
    assert right.error == wrong.error == WRONG_CODE
    assert set(right.body) == set(wrong.body)


@pytest.mark.proves("OTP-11", "OTP-12")
def test_a_patient_attacker_gets_thirty_codes_a_day(here: Inside) -> None:
    with looking_at(otp.verify) as looked:
        who = person(here)
        signed_up = looked.times

        for hours in (1, 1, 1, 1, 9, 9):
            before = looked.times
            for _ in range(3):
                token, code = challenged(here, who)
                for wrong in wrong_codes(code, 4):
                    here.post(TOKEN, None, **_form(who, token, "oob"), oob=wrong)
            assert looked.times - before <= 10
            here.advance(hours * 3600 + 1)

    assert looked.times - signed_up == 30


@pytest.mark.proves("THR-03", "THR-04", "ENUM-07")
def test_wrong_passwords_wait_and_while_they_do_the_right_one_is_answered_as_wrong(here: Inside) -> None:
    who = person(here, here.password_app)

    def attempt(proof: str) -> Reply:
        return prove_first(here, who, challenged(here, who)[0], proof, "openid")

    def until_it_waits() -> None:
        for number in range(6):
            assert attempt(f"wrong {number}").error == WRONG_PASSWORD

    until_it_waits()
    assert attempt(PASSWORD).error == WRONG_PASSWORD
    here.advance(31)
    assert attempt("wrong again").error == WRONG_PASSWORD
    here.advance(31)
    assert attempt(PASSWORD).error == WRONG_PASSWORD, "the wait has doubled"
    here.advance(31)
    assert token_set(attempt(PASSWORD))

    until_it_waits()
    assert attempt(PASSWORD).error == WRONG_PASSWORD, "the success ended the row, and a new one begins"
    token, code = resetting(here, who)
    form = {"client_id": who.client, "continuation_token": token}
    here.post(RESET_CONTINUE, None, **form, grant_type="oob", oob=code).ok()


# Refresh tokens. ------------------------------------------------------------------------------------


def refreshed(target: Target, client: str, token: str) -> Reply:
    return target.post(TOKEN, None, client_id=client, grant_type="refresh_token", refresh_token=token)


def refresh_token(target: Target) -> tuple[str, str]:
    """A client and its refresh token."""
    who, token = sign_up(target)
    form = _form(who, token, "continuation_token")
    return who.client, str(target.post(TOKEN, None, **form).ok()["refresh_token"])


@pytest.mark.proves("TOK-08")
def test_a_hundred_refreshes_of_one_token_have_one_successor(server: Server, outside: Outside) -> None:
    client, first = refresh_token(outside)
    form = {"client_id": client, "grant_type": "refresh_token", "refresh_token": first}

    replies = at_once(server, TOKEN, [form] * 100)

    (second,) = {reply.ok()["refresh_token"] for reply in replies}
    assert second != first
    assert refreshed(outside, client, second).ok()["refresh_token"] not in (first, second)


@pytest.mark.proves("TOK-07")
def test_a_client_that_lost_the_answer_gets_the_same_successor_within_ten_seconds(here: Inside) -> None:
    client, first = refresh_token(here)
    second = refreshed(here, client, first).ok()["refresh_token"]

    here.advance(8)
    again = refreshed(here, client, first)

    assert again.ok()["refresh_token"] == second
    assert refreshed(here, here.password_app, first).error == ("invalid_grant", "bad_token", 70000)
    assert refreshed(here, client, second).status == 200


@pytest.mark.proves("TOK-06", "TOK-07")
def test_a_spent_token_used_after_ten_seconds_ends_the_family(here: Inside) -> None:
    client, first = refresh_token(here)
    second = refreshed(here, client, first).ok()["refresh_token"]

    here.advance(11)
    reused = refreshed(here, client, first)

    assert reused.error == ("invalid_grant", "bad_token", 50173)
    assert refreshed(here, client, second).error == ("invalid_grant", "bad_token", 50173)


@pytest.mark.proves("TOK-06")
def test_a_token_of_two_generations_ago_ends_the_family_at_once(here: Inside) -> None:
    client, first = refresh_token(here)
    second = refreshed(here, client, first).ok()["refresh_token"]
    third = refreshed(here, client, second).ok()["refresh_token"]

    reused = refreshed(here, client, first)

    assert reused.error == ("invalid_grant", "bad_token", 50173)
    assert refreshed(here, client, third).error == ("invalid_grant", "bad_token", 50173)


def test_thief_and_owner_racing_with_old_and_new_tokens_never_hold_two_live_heads(
    server: Server, outside: Outside
) -> None:
    client, first = refresh_token(outside)
    form = {"client_id": client, "grant_type": "refresh_token"}
    chain = [first]

    for _ in range(5):
        replies = at_once(server, TOKEN, [{**form, "refresh_token": token} for token in chain[-2:] * 5])
        given = {reply["refresh_token"] for reply in replies if reply.status == 200}
        assert len(given - set(chain)) <= 1
        chain += sorted(given - set(chain))

    alive = [token for token in chain[:-1] if refreshed(outside, client, token).status == 200]
    assert len(alive) <= 1
