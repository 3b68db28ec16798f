"""
What nobody may learn from how long an answer takes: who has an account.

Times are judged by distance and by chance, and more than once, so that a busy machine fails no test.
Source: row 205; ENUM-04, ENUM-07.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec import Struct
from msgspec.structs import replace

from genkan.engine import budgets
from genkan.engine.messages import Count, PutSubject
from genkan.model import Kind
from genkan.risk import rate
from tests.server import Reply, new_address
from tests.wire import strict
from tests.wire.journeys import (
    OPENID,
    PASSWORD,
    begun,
    challenged,
    first_factor_by_password,
    password_asked,
    proven,
)
from tests.wire.servers import World
from tests.wire.walks import ALL_TYPES

WRONG_PASSWORD = "loud badger at dawn"


class Compared(Struct, frozen=True):
    """How long two things take, measured in turns."""

    first: float
    second: float
    """Medians, in seconds."""
    p: float
    """How likely ranks so uneven would be if there were no difference (Mann and Whitney)."""

    @property
    def apart(self) -> float:
        return abs(self.first - self.second)

    def differs(self, by: float) -> bool:
        """So far apart, and surely not by chance: on a busy machine medians alone wander."""
        return self.apart >= by and self.p <= SURELY


def compared(
    first: Callable[[], object], second: Callable[[], object], pairs: int, walkers: int = 1
) -> Compared:
    """Measure both in random order, so that whatever else the machine does hits them alike."""
    times: tuple[list[float], list[float]] = ([], [])

    def walk(pairs: int) -> None:
        for _ in range(pairs):
            for which in random.sample((0, 1), 2):
                began = time.perf_counter()
                (first, second)[which]()
                times[which].append(time.perf_counter() - began)

    with ThreadPoolExecutor(walkers) as pool:
        list(pool.map(walk, [pairs // walkers] * walkers))
    pairs = len(times[0])
    ranked = sorted((spent, which) for which in (0, 1) for spent in times[which])
    ranks = sum(rank for rank, (_, which) in enumerate(ranked, 1) if which == 0)
    expected, spread = pairs * (2 * pairs + 1) / 2, math.sqrt(pairs * pairs * (2 * pairs + 1) / 12)
    p = math.erfc(abs(ranks - expected) / spread / math.sqrt(2))
    return Compared(statistics.median(times[0]), statistics.median(times[1]), p)


SURELY = 1e-4
"""So seldom is a difference found where there is none."""
MEASURABLE = 0.005
"""Seconds (ENUM-04)."""

SEPARATED = 0.01
"""The chance below which a difference counts as found (ENUM-04)."""


def is_separated(measure: Callable[[], Compared]) -> bool:
    """
    The two can be told apart: each of three measurements says so.

    One in a hundred says so where there is nothing; three in a row, one in a million.
    """
    found = (measure() for _ in range(3))
    return all(one.p < SEPARATED or one.apart >= MEASURABLE for one in found)


STARTS = {"a sign-in": strict.INITIATE, "a sign-up": strict.SIGNUP_START, "a reset": strict.RESET_START}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("start", "calls"),
    [pytest.param("a sign-in", 10_000), ("a sign-up", 2_000), ("a reset", 2_000)],
)
@pytest.mark.proves("ENUM-04", "V1-205")
def test_uniform_the_first_answer_takes_as_long_whether_there_is_an_account_or_not(
    world: World, start: str, calls: int
) -> None:
    known, strangers = people(world, 30), [new_address() for _ in range(30)]
    form = {"client_id": world.password_app, "challenge_type": ALL_TYPES}

    def named(names: list[str]) -> Callable[[], Reply]:
        return lambda: world.post_form(STARTS[start], {**form, "username": random.choice(names)}).ok()

    with world.changed(enumeration="uniform"):
        measure = lambda: compared(named(known), named(strangers), pairs=calls // 2, walkers=4)  # noqa: E731

        assert not is_separated(measure)


@pytest.mark.slow
@pytest.mark.proves("ENUM-04", "V1-205")
def test_uniform_a_challenge_takes_as_long_whether_there_is_an_account_or_not(world: World) -> None:
    app = world.otp_app

    def asked(make: Callable[[], str]) -> Callable[[], Reply]:
        tokens = iter([begun(world, app, make()).token for _ in range(3 * 200)])
        return lambda: challenged(world, app, next(tokens))

    def account() -> str:
        world.person(address := new_address())
        return address

    with world.changed(enumeration="uniform"):
        known, unknown = asked(account), asked(new_address)

        assert not is_separated(lambda: compared(known, unknown, pairs=200))


def guess(world: World, tokens: Iterator[str]) -> Callable[[], Reply]:
    """A wrong password, each time in the next of these flows."""
    return lambda: proven(world, world.password_app, next(tokens), "password", WRONG_PASSWORD)


def flows(world: World, addresses: list[str]) -> Iterator[str]:
    """Tokens of flows that wait for the passwords of these people, four tries each, in random order."""
    tokens = [password_asked(world, address).token for address in addresses] * 4
    random.shuffle(tokens)
    return iter(tokens)


def people(world: World, count: int) -> list[str]:
    addresses = [new_address() for _ in range(count)]
    for address in addresses:
        world.person(address, password=PASSWORD)
    return addresses


def lock(world: World, address: str) -> None:
    """As if ten wrong passwords had just been tried."""
    subject = world.subject(address)
    history = (rate.milliseconds(world.now),) * 10
    until = rate.keep_until(history, rate.WRONG_CODES)
    for bucket in budgets.of_method(subject.id, Kind.PASSWORD):
        world.write(Count(bucket=bucket, history=history, keep_until=until))


@pytest.mark.slow
@pytest.mark.proves("V1-205")
def test_uniform_a_wrong_password_takes_as_long_whether_there_is_an_account_or_not(world: World) -> None:
    with world.changed(enumeration="uniform"):
        known = flows(world, people(world, 30))
        unknown = flows(world, [new_address() for _ in range(30)])

        found = compared(guess(world, known), guess(world, unknown), pairs=100)

    assert not found.differs(MEASURABLE)


@pytest.mark.slow
@pytest.mark.proves("V1-205")
def test_uniform_a_wrong_code_takes_as_long_whether_there_is_an_account_or_not(world: World) -> None:
    app = world.otp_app

    def coded(addresses: list[str]) -> Iterator[str]:
        tokens = [challenged(world, app, begun(world, app, address).token).token for address in addresses] * 4
        random.shuffle(tokens)
        return iter(tokens)

    with world.changed(enumeration="uniform"):
        addresses = [new_address() for _ in range(50)]
        for address in addresses:
            world.person(address)
        known, unknown = coded(addresses), coded([new_address() for _ in range(50)])

        found = compared(
            lambda: proven(world, app, next(known), "oob", "12345678"),
            lambda: proven(world, app, next(unknown), "oob", "12345678"),
            pairs=180,
        )

    assert not found.differs(MEASURABLE / 10), "there is no hashing here, and so little to hide behind"


@pytest.mark.slow
@pytest.mark.proves("V1-205")
def test_compat_a_wrong_password_takes_as_long_while_the_account_has_to_wait(world: World) -> None:
    free, waiting = people(world, 25), people(world, 25)
    for address in waiting:
        lock(world, address)
    answer = first_factor_by_password(world, waiting[0], OPENID)
    assert answer.error == ("invalid_grant", "", 50126), "the right one is answered as a wrong one, too"

    found = compared(guess(world, flows(world, free)), guess(world, flows(world, waiting)), pairs=90)

    assert not found.differs(MEASURABLE)


@pytest.mark.slow
@pytest.mark.proves("V1-205")
def test_compat_a_wrong_password_takes_as_long_when_the_account_is_disabled(world: World) -> None:
    active, disabled = people(world, 20), people(world, 20)
    for address in disabled:
        subject = world.subject(address)
        world.write(PutSubject(replace(subject, status="disabled")))

    found = compared(guess(world, flows(world, active)), guess(world, flows(world, disabled)), pairs=70)

    assert not found.differs(MEASURABLE)


@pytest.mark.slow
def test_the_measure_finds_a_comparison_that_is_left_out(world: World) -> None:
    known = flows(world, people(world, 10))
    form = {"client_id": world.password_app, "grant_type": "password", "password": WRONG_PASSWORD}

    found = compared(
        guess(world, known),
        lambda: world.post_form(strict.TOKEN, {**form, "continuation_token": "gk1.none"}),
        pairs=30,
    )

    assert found.apart > MEASURABLE
    assert found.p < SURELY
