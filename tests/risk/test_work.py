"""Puzzles: bound to what they were given out for, for a while, and no harder than they say."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genkan.risk import work

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
KEY, ABOUT, NONCE = b"k" * 32, "app\nsign_in\n192.0.2.0/24\nada@example.com", b"\x07" * 8
BITS = 10


def solved(puzzle: str) -> str:
    bits = int(puzzle.partition(".")[0])
    return next(t for n in itertools.count() if work.is_right(t := f"{puzzle}:{n}", bits))


PUZZLE = work.puzzle(ABOUT, BITS, NONCE, NOW, KEY)
SOLVED = solved(PUZZLE)


def test_a_right_answer_is_one_for_two_minutes() -> None:
    just_before = NOW + work.LIFETIME - timedelta(milliseconds=1)

    assert work.answered(SOLVED, ABOUT, NOW, KEY) == PUZZLE
    assert work.answered(SOLVED, ABOUT, just_before, KEY) == PUZZLE
    assert work.answered(SOLVED, ABOUT, NOW + work.LIFETIME, KEY) is None


@pytest.mark.parametrize(
    ("text", "about", "key"),
    [
        pytest.param(SOLVED, ABOUT + "x", KEY, id="for another name"),
        pytest.param(SOLVED, ABOUT, b"o" * 32, id="of another tenant"),
        pytest.param(f"{PUZZLE}:wrong", ABOUT, KEY, id="a wrong answer"),
        pytest.param(PUZZLE, ABOUT, KEY, id="no answer"),
        pytest.param(f"{PUZZLE}:", ABOUT, KEY, id="an empty answer"),
        pytest.param(SOLVED.replace(f"{BITS}.", "0.", 1), ABOUT, KEY, id="an easier puzzle"),
        pytest.param(SOLVED + "0" * 300, ABOUT, KEY, id="too long"),
        pytest.param("", ABOUT, KEY, id="nothing"),
        pytest.param("1.2.3.4:5", ABOUT, KEY, id="a made-up puzzle"),
    ],
)
def test_anything_else_is_none(text: str, about: str, key: bytes) -> None:
    assert work.answered(text, about, NOW, key) is None


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=300))
def test_no_text_breaks_it(text: str) -> None:
    assert work.answered(text, ABOUT, NOW, KEY) is None


def test_each_bit_doubles_the_work() -> None:
    tried = 4096
    right = [sum(work.is_right(f"{PUZZLE}:{n}", bits) for n in range(tried)) for bits in (0, 1, 4, 8)]

    assert right[0] == tried
    assert 0.45 < right[1] / tried < 0.55
    assert 0.04 < right[2] / tried < 0.09
    assert 4 < right[3] < 36
