"""Codes by e-mail and SMS: one answer, in time, for the method as it was, kept as nothing but a digest."""

import hmac
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from genkan.factors import otp
from genkan.factors.interface import Right, Wrong
from genkan.model import Authenticator, Challenge, Identifier, Kind, Reason

NOW = datetime(2026, 11, 24, 3, 33, tzinfo=UTC)
KEY = b"k" * 32
CODE = "01234567"
MAILBOX = Identifier("email", "ada@example.com", "Ada@Example.com")
NUMBER = Identifier("phone", "+442079460034", "+442079460034")
WRONG = Wrong(reason=Reason.WRONG_CODE)

anything = st.text(st.characters(codec=None), max_size=30)


def an_authenticator(kind: Kind = Kind.EMAIL_OTP) -> Authenticator:
    target = MAILBOX if kind is Kind.EMAIL_OTP else NUMBER
    return Authenticator(id="a" * 36, subject="s" * 36, kind=kind, target=target, created_at=NOW, revision=3)


def a_challenge(authenticator: Authenticator | None = None, **other: Any) -> Challenge:
    told: dict[str, Any] = {
        "length": len(other.get("code", CODE)),
        "lifetime": timedelta(minutes=5),
        "now": NOW,
        "challenge_id": "c" * 36,
        "code": CODE,
        "key": KEY,
    }
    kind = authenticator.kind if authenticator else Kind.EMAIL_OTP
    target = authenticator.target if authenticator else None
    return otp.issue(kind, target or MAILBOX, authenticator, **{**told, **other})


def test_a_right_code_carries_the_authenticator_as_it_is_after_use() -> None:
    authenticator = an_authenticator()
    challenge = a_challenge(authenticator)
    later = NOW + timedelta(minutes=1)

    verdict = otp.verify(challenge, authenticator, CODE, later, KEY)

    assert verdict == Right(
        challenge=challenge, authenticator=replace(authenticator, last_used_at=later), at=later
    )


def test_an_address_that_is_only_being_proven_needs_no_authenticator() -> None:
    challenge = a_challenge(None)

    verdict = otp.verify(challenge, None, CODE, NOW, KEY)

    assert verdict == Right(challenge=challenge, authenticator=None, at=NOW)


def test_a_challenge_remembers_what_it_was_issued_for() -> None:
    authenticator = an_authenticator(Kind.SMS_OTP)

    challenge = a_challenge(authenticator, lifetime=timedelta(seconds=90))

    assert challenge.kind is Kind.SMS_OTP
    assert challenge.target == NUMBER
    assert (challenge.authenticator, challenge.authenticator_revision) == (authenticator.id, 3)
    assert challenge.length == 8
    assert challenge.expires_at - challenge.issued_at == timedelta(seconds=90)


@pytest.mark.parametrize(
    ("after", "is_right"),
    [
        (timedelta(0), True),
        (timedelta(minutes=5) - timedelta(microseconds=1), True),
        (timedelta(minutes=5), False),
        (timedelta(days=1), False),
    ],
)
def test_a_code_is_good_until_its_lifetime_is_over(after: timedelta, is_right: bool) -> None:
    challenge = a_challenge(None)

    verdict = otp.verify(challenge, None, CODE, NOW + after, KEY)

    assert isinstance(verdict, Right) is is_right


@pytest.mark.proves("OTP-17")
@pytest.mark.parametrize(
    "change",
    [
        lambda a: None,
        lambda a: replace(a, revision=a.revision + 1),
        lambda a: replace(a, target=NUMBER, revision=a.revision + 1),
        lambda a: replace(a, state="quarantined"),
        lambda a: replace(a, state="tombstoned"),
        lambda a: replace(a, kind=Kind.SMS_OTP),
        lambda a: replace(a, id="b" * 36),
    ],
    ids=["gone", "changed", "moved", "quarantined", "removed", "of another kind", "another"],
)
def test_a_code_dies_with_what_it_was_sent_for(
    change: Callable[[Authenticator], Authenticator | None],
) -> None:
    authenticator = an_authenticator()
    challenge = a_challenge(authenticator)

    verdict = otp.verify(challenge, change(authenticator), CODE, NOW, KEY)

    assert verdict == WRONG


def test_a_code_for_an_unregistered_address_is_nothing_to_a_registered_one() -> None:
    challenge = a_challenge(None)

    verdict = otp.verify(challenge, an_authenticator(), CODE, NOW, KEY)

    assert verdict == WRONG


def test_a_code_answers_one_challenge_under_one_key() -> None:
    challenge = a_challenge(None)
    sibling = replace(challenge, id="d" * 36)

    verdicts = {
        otp.verify(sibling, None, CODE, NOW, KEY),
        otp.verify(challenge, None, CODE, NOW, b"l" * 32),
        otp.verify(challenge, None, CODE[::-1], NOW, KEY),
    }

    assert verdicts == {WRONG}


def test_a_challenge_without_an_answer_has_no_right_one() -> None:
    challenge = replace(a_challenge(None), answer=b"")

    verdicts = {otp.verify(challenge, None, text, NOW, KEY) for text in ("", CODE)}

    assert verdicts == {WRONG}


@pytest.mark.proves("OTP-06")
def test_what_is_stored_of_a_code_is_an_hmac_of_challenge_and_code() -> None:
    # RFC 4231 test case 2, cut where the code would begin.
    challenge = a_challenge(None, challenge_id="what do ya want ", code="for nothing?", key=b"Jefe")

    stored = msgspec.json.encode(challenge)

    assert challenge.answer.hex() == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert b"nothing" not in stored


@pytest.mark.proves("OTP-23")
@pytest.mark.parametrize(
    "text",
    [
        CODE,
        "0123 4567",
        " 01234567\t",
        "0123-4567",
        "01 23 45 67",
        "0123\u00a04567",
        "0123\u202f4567",
        "0123\u30004567",
        "0123\u20114567",
        "0123\u20134567",
        "0123－4567",
        "０１２３４５６７",
        "０１２３ 4567",
    ],
)
def test_a_code_may_be_written_wide_or_in_groups(text: str) -> None:
    challenge = a_challenge(None)

    verdict = otp.verify(challenge, None, text, NOW, KEY)

    assert isinstance(verdict, Right)
    assert otp.is_countable(challenge, text)


@pytest.mark.proves("OTP-23")
@pytest.mark.parametrize(
    ("text", "uses_a_try"),
    [
        ("", False),
        (" - ", False),
        ("0123456", False),
        ("012345678", False),
        ("0123456 ", False),
        ("code: 01234567", False),
        ("01234568", True),
        ("abcdefgh", True),
        ("0123.567", True),
        ("٠١٢٣٤٥٦٧", True),  # eight characters, but no spelling of a code that was sent
        ("0123\u2028567", True),
        ("0123\x00567", True),
        ("0123\ud800567", True),
    ],
)
def test_any_other_answer_is_wrong_and_uses_a_try_unless_its_length_is_wrong(
    text: str, uses_a_try: bool
) -> None:
    challenge = a_challenge(None)

    verdict = otp.verify(challenge, None, text, NOW, KEY)

    assert verdict == WRONG
    assert otp.is_countable(challenge, text) is uses_a_try


@settings(max_examples=500, deadline=None)
@given(anything)
def test_no_answer_breaks_the_judge(text: str) -> None:
    challenge = a_challenge(None, code="98765432")

    verdict = otp.verify(challenge, None, text, NOW, KEY)

    assert isinstance(verdict, Right) is (
        "".join(c for c in text if c in "0123456789") == "98765432" and otp.is_countable(challenge, text)
    )


def calls_of(work: Callable[[], object]) -> Counter[str]:
    """Everything that a piece of work calls, by name: what it does, however long the machine takes for it."""
    called: Counter[str] = Counter()

    def note(frame: FrameType, event: str, arg: Any) -> None:
        if event == "call":
            called[frame.f_code.co_qualname] += 1
        elif event == "c_call":
            called[arg.__name__] += 1

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return called


@pytest.mark.proves("OTP-07")
def test_whatever_is_wrong_with_an_answer_the_same_work_is_done_and_compared_in_constant_time() -> None:
    authenticator = an_authenticator()
    challenge = a_challenge(authenticator)
    expired = replace(challenge, expires_at=NOW)
    decoy = replace(challenge, answer=bytes(32))
    changed = replace(authenticator, revision=9)
    quarantined = replace(authenticator, state="quarantined")
    ways: list[tuple[Challenge, Authenticator | None, str]] = [
        (challenge, authenticator, "11111111"),
        (challenge, authenticator, "01234560"),
        (expired, authenticator, CODE),
        (decoy, authenticator, CODE),
        (challenge, changed, CODE),
        (challenge, quarantined, CODE),
        (challenge, None, CODE),
    ]

    work = [
        calls_of(lambda c=c, a=a, text=text: otp.verify(c, a, text, NOW, KEY))  # type: ignore[misc]
        for c, a, text in ways
    ]

    assert work[0][hmac.compare_digest.__name__] == 1
    assert all(done == work[0] for done in work)
