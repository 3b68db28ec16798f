"""
The limits of an account: a hundred guesses for whoever attacks it, and never a locked door for whoever owns it.

In the application called in this process, since only there requests can come from different addresses.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from genkan.engine.transaction import Needs
from genkan.factors import otp
from genkan.model import Kind
from genkan.risk import rate
from tests.attacks.journeys import (
    ANOTHER_PASSWORD,
    CHALLENGE,
    INITIATE,
    PASSWORD,
    RESET_CHALLENGE,
    RESET_CONTINUE,
    RESET_POLL,
    RESET_START,
    RESET_SUBMIT,
    TOKEN,
    Person,
    begin,
    challenged,
    person,
    prove_first,
    resetting,
    sign_up,
    token_set,
)
from tests.attacks.target import Inside, inside
from tests.attacks.test_races import looking_at, wrong_codes
from tests.server import Reply

OWNER = "198.51.100.7"
STRANGER = "203.0.113.9"
ELSEWHERE = "192.0.2.44"


@pytest.mark.proves("OTP-12")
def test_after_a_hundred_wrong_codes_in_a_row_none_is_judged_any_more(here: Inside) -> None:
    who = person(here)
    judged = 0

    with looking_at(otp.verify) as looked:
        for _ in range(5 * 12):
            here.advance(2 * 3600)
            token, code = challenged(here, who)
            before = looked.times
            for wrong in wrong_codes(code, 4):
                prove_first(here, who, token, wrong, "openid")
            judged += looked.times - before

    assert judged <= 100


@pytest.mark.proves("AVL-01", "AVL-02")
@pytest.mark.parametrize("app", ["otp", "password"])
def test_a_stranger_who_uses_up_the_guesses_does_not_keep_the_owner_out_where_they_signed_in_before(
    here: Inside, app: str
) -> None:
    here.address = OWNER
    who = person(here, here.otp_app if app == "otp" else here.password_app)
    token, proof = challenged(here, who)
    assert token_set(prove_first(here, who, token, proof, "openid"))

    here.address = STRANGER
    for _ in range(3):
        token, proof = challenged(here, who)
        guesses = wrong_codes(proof, 4) if app == "otp" else [f"wrong {n}" for n in range(4)]
        for guess in guesses:
            assert not token_set(prove_first(here, who, token, guess, "openid"))

    here.address = OWNER
    token, proof = challenged(here, who)
    assert token_set(prove_first(here, who, token, proof, "openid"))


@pytest.mark.proves("OTP-14")
def test_after_sixty_the_strangers_lane_is_shut_until_the_owner_signs_in_at_home(here: Inside) -> None:
    who = at_home(here, here.otp_app)
    here.address = STRANGER
    judged = 0
    with looking_at(otp.verify) as looked:
        for _ in range(5 * 12):
            here.advance(2 * 3600)
            token, code = challenged(here, who)
            before = looked.times
            for wrong in wrong_codes(code, 4):
                prove_first(here, who, token, wrong, "openid")
            judged += looked.times - before
    assert judged == 60
    told = here.get("/dev/inbox/messages", to=who.address, limit="200")["messages"]
    assert [m["purpose"] for m in told if "passwords or codes" in m["subject"]] == ["notice"]
    token, code = challenged(here, who)
    assert not token_set(prove_first(here, who, token, code, "openid"))

    here.address = OWNER
    token, code = challenged(here, who)
    assert token_set(prove_first(here, who, token, code, "openid"))

    here.address = STRANGER
    here.advance(25 * 3600)
    token, code = challenged(here, who)
    assert token_set(prove_first(here, who, token, code, "openid")), "that ended the row for everybody"


@pytest.mark.proves("AVL-01")
def test_a_stranger_who_asks_for_code_after_code_does_not_keep_the_owner_from_getting_one(
    here: Inside,
) -> None:
    who = at_home(here, here.otp_app)
    here.advance(3600)
    here.address = STRANGER
    refusals = [asked_for_code(here, who).error for _ in range(6)]
    assert refusals == [("", "", 0)] * 4 + [("invalid_request", "", 701014)] * 2

    here.address = OWNER
    token, code = challenged(here, who)
    assert token_set(prove_first(here, who, token, code, "openid"))


@pytest.mark.proves("AVL-01")
def test_a_stranger_who_begins_reset_after_reset_does_not_keep_the_owner_from_theirs(here: Inside) -> None:
    who = at_home(here, here.password_app)
    here.address = STRANGER
    for _ in range(4):
        begun = begin(here, RESET_START, who.client, who.address).ok()
        here.post(RESET_CHALLENGE, client_id=who.client, continuation_token=begun.token)
        here.advance(600)

    here.address = OWNER
    token, code = resetting(here, who)
    form = {"client_id": who.client, "continuation_token": token, "grant_type": "oob", "oob": code}
    here.post(RESET_CONTINUE, None, **form).ok()


@pytest.mark.proves("OTP-14", "AVL-02")
def test_after_sixty_wrong_passwords_only_the_owners_lane_is_left_and_the_owner_is_told(here: Inside) -> None:
    who = at_home(here, here.password_app)
    here.address = STRANGER
    for number in range(62):
        token, _ = challenged(here, who)
        prove_first(here, who, token, f"wrong {number}", "openid")
        here.advance(3601)
    token, _ = challenged(here, who)
    assert not token_set(prove_first(here, who, token, PASSWORD, "openid"))
    told = here.get("/dev/inbox/messages", to=who.address, limit="200")["messages"]
    assert [m["purpose"] for m in told if "passwords or codes" in m["subject"]] == ["notice"]

    here.address = OWNER
    token, _ = challenged(here, who)
    assert token_set(prove_first(here, who, token, PASSWORD, "openid"))


@pytest.mark.proves("THR-04", "OTP-13")
def test_the_owner_who_signs_in_at_home_does_not_end_the_wait_of_strangers(here: Inside) -> None:
    who = at_home(here, here.password_app)
    here.address = STRANGER
    for _ in range(3):
        token, _ = challenged(here, who)
        for n in range(4):
            prove_first(here, who, token, f"wrong {n}", "openid")
    here.address = OWNER
    token, proof = challenged(here, who)
    assert token_set(prove_first(here, who, token, proof, "openid"))
    here.address = STRANGER
    token, proof = challenged(here, who)
    assert not token_set(prove_first(here, who, token, proof, "openid")), "still to wait, whatever is typed"


@pytest.mark.proves("AVL-08")
def test_an_owner_on_a_new_network_waits_with_the_strangers_or_resets_the_password(here: Inside) -> None:
    """Nothing on the way says why a right password was refused."""
    who = at_home(here, here.password_app)
    here.address = STRANGER
    for number in range(7):
        token, _ = challenged(here, who)
        prove_first(here, who, token, f"wrong {number}", "openid")
    token, _ = challenged(here, who)
    refused = prove_first(here, who, token, "wrong once more", "openid")

    here.address = ELSEWHERE
    token, _ = challenged(here, who)
    waits = prove_first(here, who, token, PASSWORD, "openid")
    assert (waits.error, set(waits.body)) == (refused.error, set(refused.body))

    token, code = resetting(here, who)
    form = {"client_id": who.client, "continuation_token": token}
    proven = here.post(RESET_CONTINUE, None, **form, grant_type="oob", oob=code).ok()
    form["continuation_token"] = proven.token
    submitted = here.post(RESET_SUBMIT, None, **form, new_password=ANOTHER_PASSWORD).ok()
    form["continuation_token"] = submitted.token
    done = here.post(RESET_POLL, None, **form).ok()
    form["continuation_token"] = done.token
    tokens = here.post(TOKEN, None, **form, grant_type="continuation_token", scope="openid")
    assert token_set(tokens)
    token, _ = challenged(here, who)
    assert token_set(prove_first(here, who, token, ANOTHER_PASSWORD, "openid"))


@pytest.mark.proves("THR-02", "THR-03", "THR-05")
def test_passwords_sprayed_from_one_network_end_at_its_limit_whatever_accounts_they_are_tried_at(
    here: Inside,
) -> None:
    """And neither at codes from there, nor at passwords from elsewhere, nor for whoever is at home there."""
    change_tenant(here, wrong_guesses_per_network=6)
    home = at_home(here, here.password_app)
    people = [person(here, here.password_app) for _ in range(5)]
    here.address = "203.0.113.77"
    neighbour = person(here, here.password_app)
    token, _ = challenged(here, neighbour)
    assert token_set(prove_first(here, neighbour, token, PASSWORD, "openid"))

    for turn in range(4):
        for number, who in enumerate(people):
            here.address = f"203.0.113.{10 + number}"
            token, _ = challenged(here, who)
            prove_first(here, who, token, f"sprayed {turn}", "openid")
    here.address = STRANGER
    token, _ = challenged(here, people[4])
    right_but_late = prove_first(here, people[4], token, PASSWORD, "openid")

    assert counted(here, rate.guesses_from_network("203.0.113.0/24", Kind.PASSWORD)) == 6
    assert not token_set(right_but_late)
    token, _ = challenged(here, neighbour)
    assert token_set(prove_first(here, neighbour, token, PASSWORD, "openid"))
    coder = person(here)
    token, code = challenged(here, coder)
    assert token_set(prove_first(here, coder, token, code, "openid"))
    here.address = OWNER
    for who in (home, people[4]):
        token, _ = challenged(here, who)
        assert token_set(prove_first(here, who, token, PASSWORD, "openid"))


@pytest.mark.proves("THR-02")
@pytest.mark.parametrize("setting", ["wrong_guesses_per_app", "wrong_guesses_per_tenant"])
def test_an_app_and_a_tenant_have_budgets_that_strangers_may_use_up_and_who_is_known_does_not_answer_to(
    here: Inside, setting: str
) -> None:
    change_tenant(here, **{setting: 5})
    owner = at_home(here, here.password_app)
    here.address = STRANGER
    other = person(here, here.password_app)
    victims = [person(here, here.password_app) for _ in range(4)]
    for number, who in enumerate(victims * 2):
        here.address = f"203.0.{number}.9"
        token, _ = challenged(here, who)
        prove_first(here, who, token, f"sprayed {number}", "openid")

    here.address = ELSEWHERE
    token, _ = challenged(here, other)
    assert not token_set(prove_first(here, other, token, PASSWORD, "openid"))
    here.address = OWNER
    token, _ = challenged(here, owner)
    assert token_set(prove_first(here, owner, token, PASSWORD, "openid"))
    here.advance(3601)
    here.address = ELSEWHERE
    token, _ = challenged(here, other)
    assert token_set(prove_first(here, other, token, PASSWORD, "openid"))


@pytest.mark.proves("THR-05")
def test_one_password_tried_at_many_accounts_from_everywhere_is_soon_tried_in_vain(here: Inside) -> None:
    change_tenant(here, wrong_guesses_of_one_password=5)
    weak = sign_up(here, here.password_app)[0]
    people = [person(here, here.password_app) for _ in range(9)]
    for number, who in enumerate(people):
        here.address = f"203.0.{number}.9"
        token, _ = challenged(here, who)
        prove_first(here, who, token, "winter of discontent", "openid")

    networks = [rate.guesses_from_network(f"203.0.{n}.0/24", Kind.PASSWORD) for n in range(9)]
    assert [counted(here, network) for network in networks] == [1] * 5 + [0] * 4
    here.address = ELSEWHERE
    token, _ = challenged(here, weak)
    assert token_set(prove_first(here, weak, token, PASSWORD, "openid"))


def test_budgets_are_counted_in_the_database_and_hold_after_a_restart(tmp_path: Path) -> None:
    with inside(tmp_path / "data") as here:
        who = person(here, here.password_app)
        for number in range(6):
            token, _ = challenged(here, who)
            prove_first(here, who, token, f"wrong {number}", "openid")
    with inside(tmp_path / "data") as here:
        token, _ = challenged(here, who)
        assert not token_set(prove_first(here, who, token, PASSWORD, "openid"))


@pytest.mark.proves("THR-09")
@pytest.mark.parametrize("app", ["otp", "password"])
def test_where_the_budgets_cannot_be_written_nothing_is_compared_and_the_answer_comes_within_a_second(
    here: Inside, app: str
) -> None:
    who = person(here, here.otp_app if app == "otp" else here.password_app)
    token, proof = challenged(here, who)
    with closing(sqlite3.connect(here.data / "dev.db", isolation_level=None)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        for _ in range(3):
            began = time.monotonic()
            refused = prove_first(here, who, token, proof, "openid")
            assert time.monotonic() - began < 1
            assert (refused.status, refused.error) == (503, ("temporarily_unavailable", "", 90055))
        stranger.execute("ROLLBACK")

    assert token_set(prove_first(here, who, token, proof, "openid"))


@pytest.mark.proves("AVL-04")
def test_more_passwords_than_anybody_should_wait_for_are_turned_away_and_all_else_goes_on(
    here: Inside,
) -> None:
    who = person(here, here.password_app)
    tokens = [challenged(here, person(here, here.password_app))[0] for _ in range(4)]
    hashing = here.development._hashing
    coder = person(here)
    token, code = challenged(here, coder)

    async def flood() -> list[Reply]:
        hashing._waiting += hashing._limit
        try:
            form = {"client_id": who.client, "grant_type": "password", "password": PASSWORD}
            return [await here.posted(TOKEN, None, continuation_token=t, **form) for t in tokens]
        finally:
            hashing._waiting -= hashing._limit

    assert {(r.status, r.error) for r in here.run(flood())} == {(503, ("temporarily_unavailable", "", 90055))}
    hashing._waiting += hashing._limit
    assert token_set(prove_first(here, coder, token, code, "openid"))
    hashing._waiting -= hashing._limit
    token, _ = challenged(here, who)
    assert token_set(prove_first(here, who, token, PASSWORD, "openid")), "nothing had been spent"


# Means. ---------------------------------------------------------------------------------------------


def at_home(here: Inside, app: str) -> Person:
    """Somebody who has been fully signed in at home."""
    here.address = OWNER
    who = person(here, app)
    token, proof = challenged(here, who)
    assert token_set(prove_first(here, who, token, proof, "openid"))
    return who


def asked_for_code(here: Inside, who: Person) -> Reply:
    begun = begin(here, INITIATE, who.client, who.address).ok()
    return here.post(CHALLENGE, client_id=who.client, continuation_token=begun.token)


def counted(here: Inside, bucket: str) -> int:
    """How many were spent from a budget; what is charged to nobody was not compared with anything."""
    loaded = here.run(here.development._store.read(Needs(buckets=lambda _: (bucket,))))
    return len(loaded.histories[bucket])


def change_tenant(here: Inside, **settings: Any) -> None:
    tenant = here.development._store.directory().tenant
    here.run(here.development._store.put_documents(replace(tenant, **settings)))
