"""A route is open to people and closed to pumping; a budget has an end, and says when it comes near."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from genkan.risk import pumping
from genkan.risk.pumping import CLOSED, ENOUGH, GRACE, drawn, is_closed, judge, noted, warning

NOW = datetime(2026, 3, 4, 9, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def play(
    span: timedelta, count: int, share: float, used_after: timedelta, seed: int = 1
) -> tuple[int, list[str]]:
    """
    Codes asked for evenly over a span, of which a share is entered some time after it was sent.

    Returns how many were sent, and the refusals in order. A route that closes stays closed.
    """
    chance, refusals = random.Random(seed), list[str]()
    sent: tuple[int, ...] = ()
    used: tuple[int, ...] = ()
    waiting: list[tuple[datetime, datetime]] = []
    number = 0
    for turn in range(count):
        now = NOW + span * turn / count
        for entered, sent_at in [w for w in waiting if w[0] <= now]:
            waiting.remove((entered, sent_at))
            used = noted(used, sent_at, now)
        verdict = judge(sent, used, now)
        if verdict != "open":
            refusals.append(verdict)
            if verdict == "close":
                break
            continue
        sent = noted(sent, now, now)
        number += 1
        if chance.random() < share:
            waiting.append((now + used_after, now))
    return number, refusals


@pytest.mark.proves("MSG-08")
@pytest.mark.parametrize("span", [timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=50)])
def test_pumping_is_stopped_at_fifty_however_fast_it_comes(span: timedelta) -> None:
    sent, refusals = play(span, 2_000, share=0.0, used_after=20 * SECOND)

    assert sent == ENOUGH == 50
    assert refusals


@pytest.mark.proves("MSG-08")
def test_a_route_whose_codes_had_their_time_is_closed_for_six_hours() -> None:
    sent = tuple(noted((), NOW + n * SECOND, NOW)[0] for n in range(ENOUGH))
    ripe = NOW + ENOUGH * SECOND + GRACE

    assert judge(sent, (), NOW + ENOUGH * SECOND) == "wait"
    assert judge(sent, (), ripe) == "close"
    closed = noted((), ripe, ripe)
    assert is_closed(closed, ripe + CLOSED - SECOND)
    assert not is_closed(closed, ripe + CLOSED)


@pytest.mark.proves("MSG-08")
@pytest.mark.parametrize("share", [0.5, 0.7, 0.95])
@pytest.mark.parametrize(
    ("span", "count"),
    [
        (timedelta(hours=1), 30),
        (timedelta(hours=1), 1_000),
        (timedelta(hours=3), 300),
        (timedelta(minutes=10), 400),
    ],
)
def test_people_are_never_held_up(span: timedelta, count: int, share: float) -> None:
    for seed in range(5):
        assert play(span, count, share, used_after=15 * SECOND, seed=seed) == (count, [])


def test_a_crowd_that_comes_at_once_waits_for_moments_and_is_never_closed_out() -> None:
    sent, refusals = play(timedelta(seconds=60), 1_000, share=0.9, used_after=15 * SECOND)

    assert set(refusals) <= {"wait"}
    assert sent > 600


@pytest.mark.proves("MSG-08")
def test_fraud_among_people_closes_the_route_when_people_are_the_fewer() -> None:
    _, refusals = play(timedelta(minutes=55), 400, share=0.15, used_after=15 * SECOND)

    assert refusals[-1] == "close"


def test_what_is_remembered_of_a_route_has_an_end() -> None:
    history: tuple[int, ...] = ()
    for n in range(3_000):
        history = noted(history, NOW + n * SECOND, NOW + n * SECOND)

    assert len(history) == pumping.KEPT
    assert list(history) == sorted(history)


def test_a_code_is_noted_by_when_it_was_sent() -> None:
    early, late = NOW, NOW + 30 * SECOND

    assert noted(noted((), late, late), early, late) == noted(noted((), early, late), late, late)
    assert noted((), NOW - timedelta(hours=2), NOW) != ()
    assert len(noted(noted((), NOW - timedelta(hours=2), NOW), NOW, NOW)) == 1


# Money. ---------------------------------------------------------------------------------------------


@pytest.mark.proves("MSG-09")
def test_a_budget_is_for_a_day_and_for_a_month() -> None:
    history: tuple[int, ...] = ()
    spent = []
    for day in range(3):
        number = 0
        while (after := drawn(history, 3, 10, 25, NOW + timedelta(days=day))) is not None:
            history, number = after, number + 3
        spent.append(number)

    assert spent == [9, 9, 6]
    assert drawn(history, 1, 10, 25, datetime(2026, 4, 1, tzinfo=UTC)) is not None


def test_a_clock_that_steps_back_opens_no_day_that_was_spent() -> None:
    history = drawn((), 10, 10, 100, NOW)
    assert history is not None

    assert drawn(history, 1, 10, 100, NOW - timedelta(days=1)) is None


def test_no_budget_is_no_end() -> None:
    history: tuple[int, ...] | None = ()
    for _ in range(100):
        assert history is not None
        history = drawn(history, 1_000_000, 0, 0, NOW)

    assert history is not None


def test_a_budget_says_once_that_it_is_low_and_once_that_it_is_spent() -> None:
    history: tuple[int, ...] = ()
    said = []
    while (after := drawn(history, 1, 10, 0, NOW)) is not None:
        said.append(warning(history, after, 10, 0))
        history = after

    assert said == ["", "", "", "", "", "", "", "low", "", "spent"]
