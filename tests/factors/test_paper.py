"""Codes on paper: how random they are, what is kept of them, and which typing is right."""

from __future__ import annotations

import secrets
from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genkan.factors import paper
from genkan.factors.paper import ALPHABET, LENGTHS, Use, digest, entropy_wanted, spent, verify, written
from genkan.model import Paper, PaperCode

NOW = datetime(2030, 1, 1, tzinfo=UTC)
KEY = b"k" * 32
USES: tuple[Use, ...] = ("recovery", "freeze")


def a_sheet(*texts: str, use: Use = "recovery", subject: str = "ada") -> Paper:
    codes = tuple(
        PaperCode(id=f"c{n}", digest=digest(KEY, subject, use, text)) for n, text in enumerate(texts)
    )
    return Paper(codes=codes, issued_at=NOW)


@pytest.mark.proves("ENR-13")
@pytest.mark.parametrize("use", USES)
def test_every_bit_of_what_was_drawn_is_in_the_code(use: Use) -> None:
    """So a code is as hard to guess as so many random bits: 80 for recovery, 40 to freeze."""
    bits = 8 * entropy_wanted(use)
    plain = written(use, bytes(bits // 8)).text
    flipped = {written(use, (1 << n).to_bytes(bits // 8)).text for n in range(bits)}

    assert bits >= {"recovery": 80, "freeze": 40}[use]
    assert len(flipped | {plain}) == bits + 1
    assert len(set(ALPHABET)) == 32
    assert len(plain.replace("-", "")) == LENGTHS[use]


def test_characters_are_uniform() -> None:
    seen = Counter("".join(written("recovery", secrets.token_bytes(10)).text for _ in range(4000)))
    del seen["-"]

    expected = 4000 * 16 / 32
    chi_square = sum((seen[c] - expected) ** 2 / expected for c in ALPHABET)
    assert chi_square < 75  # 31 degrees of freedom: beyond it once in 30,000 runs.


@pytest.mark.parametrize("size", [0, 9, 11])
def test_any_other_amount_of_randomness_is_a_bug(size: int) -> None:
    with pytest.raises(ValueError, match="10 bytes"):
        written("recovery", bytes(size))


def test_nothing_shows_a_code_that_is_printed_by_mistake() -> None:
    assert "A" not in repr(written("freeze", bytes(5))).replace("Secret(…)", "")


@pytest.mark.parametrize(
    "typed",
    [
        "ABCD-EFGH-JKLM-NPQR",
        "abcd efgh jklm npqr",
        " ABCDEFGHJKLMNPQR\n",
        "ABCD\u2011EFGH\u2013JKLM\u2014NPQR",
        "ＡＢＣＤ－ＥＦＧＨ－ＪＫＬＭ－ＮＰＱＲ".replace("－", "-"),
    ],
)
def test_how_it_is_typed_makes_no_difference(typed: str) -> None:
    found = verify(a_sheet("2222-3333-4444-5555", "ABCD-EFGH-JKLM-NPQR"), typed, KEY, "ada", "recovery")

    assert found is not None
    assert found.id == "c1"


def test_a_code_is_right_at_one_account_for_one_use_under_one_key() -> None:
    sheet = a_sheet("ABCD-EFGH")

    assert verify(sheet, "ABCD-EFGH", KEY, "ada", "recovery")
    assert verify(sheet, "ABCD-EFGH", KEY, "ben", "recovery") is None
    assert verify(sheet, "ABCD-EFGH", KEY, "ada", "freeze") is None
    assert verify(sheet, "ABCD-EFGH", b"l" * 32, "ada", "recovery") is None
    assert verify(None, "ABCD-EFGH", KEY, "ada", "recovery") is None


@pytest.mark.proves("ENR-13")
def test_a_code_that_was_spent_is_never_right_again_and_the_others_are() -> None:
    sheet = a_sheet("AAAA-AAAA", "BBBB-BBBB")
    left = spent(sheet, frozenset({"c0", "no such code"}), NOW)

    assert verify(left, "AAAA-AAAA", KEY, "ada", "recovery") is None
    assert verify(left, "BBBB-BBBB", KEY, "ada", "recovery")
    assert (sheet.left, left.left) == (2, 1)


@given(st.text(max_size=200))
def test_whatever_is_typed_is_judged_and_nothing_but_a_code_is_right(typed: str) -> None:
    assert verify(a_sheet("ABCD-EFGH-JKLM-NPQR"), typed, KEY, "ada", "recovery") is None


def test_what_is_empty_or_endless_is_no_code() -> None:
    blank = Paper(codes=(PaperCode(id="x", digest=digest(KEY, "ada", "recovery", "")),), issued_at=NOW)
    assert verify(a_sheet("ABCD-EFGH"), "", KEY, "ada", "recovery") is None
    assert verify(a_sheet("ABCD-EFGH"), "-" * 100 + "ABCD-EFGH", KEY, "ada", "recovery") is None
    assert verify(blank, "", KEY, "ada", "recovery") is None
    assert paper.RECOVERY_CODES == 10
