"""Passwords: which are refused and why, what is stored of them, and that guessing costs the same everywhere."""

import base64
import sys
import time
import unicodedata
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from itertools import cycle, islice
from types import FrameType
from typing import Any

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from hypothesis import given, settings
from hypothesis import strategies as st

from genkan.factors import password
from genkan.model import Reason, Secret

SALT = b"0123456789abcdef"
GOOD = "correct horse battery staple"
BANNED = files("genkan.factors").joinpath("banned_passwords.txt").read_text(encoding="utf-8").splitlines()

# From the test suite of the Argon2 reference implementation: the password is "password", the salt "somesalt".
REFERENCE = [
    "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
    "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
    "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
]

anything = st.text(st.characters(codec=None), max_size=300)


def judged(text: str, *words: str, min_length: int = 8, min_strength: int = 2) -> Reason | None:
    return password.judge(text, words=words, min_length=min_length, min_strength=min_strength)


# Which are refused. ---------------------------------------------------------------------------------


@pytest.mark.proves("PWD-01")
@pytest.mark.parametrize("min_length", [8, 15])
@pytest.mark.parametrize(
    ("unit", "code_points"),
    [
        (" ", 1),
        ("é", 1),
        ("e\u0301", 1),  # two as typed, one as hashed
        ("漢", 1),
        ("😀", 1),
        ("👩\u200d🚀", 3),
        ("ﬁ", 2),  # one as typed, two as hashed
    ],
)
def test_the_least_length_is_counted_in_code_points_of_what_is_hashed(
    unit: str, code_points: int, min_length: int
) -> None:
    enough = -(-min_length // code_points)

    verdicts = [
        judged(unit * n, min_length=min_length, min_strength=0) for n in (enough - 1, enough, enough + 1)
    ]

    assert verdicts == [Reason.PASSWORD_TOO_SHORT, None, None]


@pytest.mark.proves("PWD-01")
@pytest.mark.parametrize(
    ("length", "refused"), [(64, None), (255, None), (256, None), (257, Reason.PASSWORD_TOO_LONG)]
)
@pytest.mark.parametrize("unit", ["kQ7-", "😀", "漢字"])
def test_up_to_256_code_points_are_taken(unit: str, length: int, refused: Reason | None) -> None:
    text = "".join(islice(cycle(unit), length))

    assert judged(text, min_strength=0) == refused


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("", Reason.PASSWORD_TOO_SHORT),
        ("aaaaaaaaaaaaaaaa", Reason.PASSWORD_TOO_WEAK),
        ("password123", Reason.PASSWORD_TOO_WEAK),
        ("ｐａｓｓｗｏｒｄ１２３", Reason.PASSWORD_TOO_WEAK),  # judged as what is hashed
        ("qwertyuiop", Reason.PASSWORD_TOO_WEAK),
        ("correct\thorse battery", Reason.PASSWORD_INVALID),
        ("correct\nhorse battery", Reason.PASSWORD_INVALID),
        ("correct\x00horse battery", Reason.PASSWORD_INVALID),
        ("correct\x7fhorse battery", Reason.PASSWORD_INVALID),
        ("correct\x85horse battery", Reason.PASSWORD_INVALID),
        ("correct\ud800horse battery", Reason.PASSWORD_INVALID),
        (GOOD, None),
        ("  leading and trailing  ", None),
        ("кот бежит по крыше ночью", None),
        ("🦊🌋📎🪐🎻🧵🫖🪁", None),
        ("only lower case letters here", None),
        ("8302 5519 4427", None),
        ("\u202edrow terces gnol a\u202c", None),  # not pretty, but not control characters
    ],
)
def test_a_password_is_taken_unless_it_is_ill_formed_short_or_easy_to_guess(
    text: str, refused: Reason | None
) -> None:
    assert judged(text) == refused


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("\x00" * 300, Reason.PASSWORD_INVALID),
        ("a" * 300, Reason.PASSWORD_TOO_LONG),
        ("abc", Reason.PASSWORD_TOO_SHORT),
        ("password", Reason.PASSWORD_TOO_WEAK),
    ],
)
def test_of_several_reasons_the_first_in_order_is_given(text: str, refused: Reason) -> None:
    assert judged(text, "abc", "password", text) == refused


@pytest.mark.parametrize("min_strength", [0, 1, 2, 3, 4])
def test_the_threshold_of_strength_is_the_tenants(min_strength: int) -> None:
    by_strength = ["yyyyyyyyx", "sunflowerz", "bluekettle", "purple-horse", "purple horse 74 kettle fog"]

    taken = [text for text in by_strength if judged(text, min_strength=min_strength) is None]

    assert taken == by_strength[min_strength:]


def test_a_long_password_is_as_strong_as_its_strongest_stretch() -> None:
    weak, strong = "a" * 100, "a" * 100 + "purple horse 74 kettle fog"

    verdicts = judged(weak), judged(strong)

    assert verdicts == (Reason.PASSWORD_TOO_WEAK, None)


def test_no_password_keeps_the_estimator_busy() -> None:
    symbols = "4@8({[<369!1|70$5+%2"
    worst = "".join(islice(cycle(symbols), 256))
    judged(GOOD)

    began = time.thread_time()
    verdict = judged(worst, min_strength=5)
    took = time.thread_time() - began

    assert verdict is Reason.PASSWORD_TOO_WEAK
    assert took < 0.3  # without a bound it is a second and more, and nothing else runs meanwhile


@settings(max_examples=300, deadline=None)
@given(anything, st.integers(0, 4))
def test_no_text_breaks_the_judge(text: str, min_strength: int) -> None:
    verdict = judged(text, text, "word", min_strength=min_strength)

    assert verdict is not None


@pytest.mark.proves("PWD-04")
def test_the_block_list_is_long_and_in_the_form_that_is_compared() -> None:
    folded = [unicodedata.normalize("NFKC", entry.casefold()) for entry in BANNED]

    assert len(BANNED) >= 3000
    assert folded == BANNED
    assert sorted(set(BANNED)) == BANNED
    assert min(map(len, BANNED)) >= 8


@pytest.mark.proves("PWD-04")
def test_whatever_is_on_the_block_list_is_refused_in_any_case_and_width() -> None:
    wide = {point: point + 0xFEE0 for point in range(0x21, 0x7F)}

    taken = [
        entry
        for entry in BANNED
        for text in (entry, entry.upper(), entry.translate(wide))
        if judged(text, min_strength=0) is not Reason.PASSWORD_BANNED
    ]

    assert taken == []


@pytest.mark.proves("PWD-04")
def test_a_block_listed_password_that_the_estimate_thinks_strong_is_refused_as_banned() -> None:
    refusals = Counter(judged(entry) for entry in BANNED)

    assert refusals[Reason.PASSWORD_BANNED] > 500
    assert set(refusals) == {Reason.PASSWORD_BANNED, Reason.PASSWORD_TOO_WEAK}


@pytest.mark.proves("PWD-04")
@pytest.mark.parametrize(
    "text",
    [
        "marguerite.fitzgerald@example.com",
        "Marguerite.Fitzgerald@Example.com",
        "ｍarguerite.fitzgerald@example.com",
        "Marguerite Fitzgerald-Straße",
        "MARGUERITE FITZGERALD-STRASSE",
        "Acme Rocket Works",
    ],
)
def test_a_persons_own_names_and_the_tenants_words_are_banned(text: str) -> None:
    words = "Marguerite Fitzgerald-Straße", "marguerite.fitzgerald@example.com", "acme rocket works"

    assert judged(text, *words) is Reason.PASSWORD_BANNED


@pytest.mark.proves("PWD-04")
def test_a_password_that_only_contains_a_banned_word_is_taken() -> None:
    texts = [
        f"{BANNED[5000]} at the river",
        "Marguerite and the otter",
        "the otter of marguerite@example.com",
    ]

    verdicts = [judged(text, "Marguerite", "marguerite@example.com") for text in texts]

    assert verdicts == [None, None, None]


# What is stored, and compared. ----------------------------------------------------------------------


@pytest.mark.proves("PWD-05")
def test_a_password_is_stored_as_argon2id_with_its_parameters_and_its_salt() -> None:
    stored = password.hash_new(GOOD, SALT)

    assert stored.text.startswith("$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$")
    assert len(stored.text.rpartition("$")[2]) == 43
    assert password.verify(stored, GOOD)
    assert not password.needs_rehash(stored)
    assert password.hash_new(GOOD, SALT[::-1]) != stored


@pytest.mark.proves("PWD-05")
@pytest.mark.parametrize("text", REFERENCE)
def test_strings_of_the_reference_implementation_verify(text: str) -> None:
    verdicts = password.verify(Secret(text), "password"), password.verify(Secret(text), "Password")

    assert verdicts == (True, False)


@pytest.mark.proves("PWD-05")
@pytest.mark.parametrize(
    ("text", "is_weaker"),
    [
        (REFERENCE[1], True),
        ("$argon2id$v=19$m=19455,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$" + "A" * 43, True),
        ("$argon2id$v=19$m=19456,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$" + "A" * 43, True),
        ("$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2Rl$" + "A" * 43, True),
        ("$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$" + "A" * 42, True),
        ("$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$" + "A" * 43, False),
        ("$argon2id$v=19$m=65536,t=3,p=4$MDEyMzQ1Njc4OWFiY2RlZg$" + "A" * 43, False),
        ("plain", True),
    ],
)
def test_a_string_weaker_than_todays_is_to_be_made_anew(text: str, is_weaker: bool) -> None:
    assert password.needs_rehash(Secret(text)) is is_weaker


@pytest.mark.parametrize(("text", "salt"), [(GOOD, b""), (GOOD, SALT[:-1]), ("lone \ud800", SALT)])
def test_a_short_salt_or_an_ill_formed_text_is_never_hashed(text: str, salt: bytes) -> None:
    with pytest.raises(ValueError, match=r"salt|surrogates"):
        password.hash_new(text, salt)


@pytest.mark.proves("PWD-03")
@pytest.mark.parametrize(
    ("stored", "typed", "is_right"),
    [
        ("Ålesund, ½ liter", "Ålesund, ½ liter", True),
        ("Ålesund, ½ liter", "A\u030alesund, ½ liter", True),
        ("A\u030alesund, ½ liter", "Ålesund, ½ liter", True),
        ("\u212blesund, ½ liter", "Ålesund, 1⁄2 liter", True),
        ("ｗｉｄｅ　ｐａｓｓ", "wide pass", True),
        ("correct horse", "Correct horse", False),
        ("correct horse", "correct horse ", False),
        ("correct horse", " correct horse", False),
        ("correct horse ", "correct horse", False),
        ("correct\x00horse", "correct", False),
        ("correct\x00horse", "correct\x00horsf", False),
        ("x" * 72 + "y", "x" * 72 + "z", False),
        ("x" * 72 + "y", "x" * 72, False),
        ("😀" * 18 + "y", "😀" * 18, False),
        ("x" * 255 + "y", "x" * 255 + "z", False),
        ("x" * 255 + "y", "x" * 255 + "y", True),
        ("é" * 256, "e\u0301" * 256, True),
        ("correct horse", "correct horse" + "\ud800", False),
        ("correct horse", "correct horse" + "\u0301" * 2000, False),
    ],
)
def test_a_password_is_compared_whole_and_exactly_after_composing(
    stored: str, typed: str, is_right: bool
) -> None:
    material = password.hash_new(stored, SALT)

    assert password.verify(material, typed) is is_right


def test_no_text_keeps_the_comparison_busy() -> None:
    stored = password.hash_new(GOOD, SALT)
    marks = "e" + "\u0301" * 20_000 + "\u0323" * 20_000  # three seconds to compose

    began = time.thread_time()
    verdicts = password.verify(stored, marks), judged(marks), judged(GOOD, marks)
    took = time.thread_time() - began

    assert verdicts == (False, Reason.PASSWORD_TOO_LONG, None)
    assert took < 0.5


def derivations(material: Secret | None, text: str) -> int:
    """How often Argon2 runs to compare these, however the comparison ends."""
    called: Counter[str] = Counter()

    def note(frame: FrameType, event: str, arg: Any) -> None:
        if event == "c_call":
            called[arg.__name__] += 1

    sys.setprofile(note)
    try:
        password.verify(material, text)
    finally:
        sys.setprofile(None)
    return called["derive"]


MALFORMED = [
    "",
    "plain",
    "$2b$12$abcdefghijklmnopqrstuv",
    "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg",
    "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$",
    "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$AAAA",
    "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$" + "A" * 45,
    "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZ$" + "A" * 43,
    "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$" + "A" * 42 + "!",
    "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$" + "A" * 43 + "=",
    "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$" + "A" * 43 + "\n",
    "$argon2id$v=16$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$" + "A" * 43,
    "$argon2i$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$" + "A" * 43,
    "$argon2id$v=19$m=19456,t=0,p=1$MDEyMzQ1Njc4OWFiY2RlZg$" + "A" * 43,
    "$argon2id$v=19$m=19456,t=99,p=1$MDEyMzQ1Njc4OWFiY2RlZg$" + "A" * 43,
    "$argon2id$v=19$m=9999999,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$" + "A" * 43,
    "$argon2id$v=19$m=19456,t=2,p=99$MDEyMzQ1Njc4OWFiY2RlZg$" + "A" * 43,
    "$argon2id$v=19$m=31,t=2,p=4$MDEyMzQ1Njc4OWFiY2RlZg$" + "A" * 43,
    "\ud800",
]


@pytest.mark.proves("PWD-09")
def test_a_person_without_a_password_costs_one_hash_and_as_much_as_a_wrong_one() -> None:
    stored = password.hash_new(GOOD, SALT)
    ways = [
        (stored, GOOD),
        (stored, "wrong"),
        (None, "wrong"),
        (None, GOOD),
        (stored, "\ud800"),
        (stored, "a" * 5000),
    ]

    hashes = [derivations(material, text) for material, text in ways]
    verdicts = [password.verify(material, text) for material, text in ways]

    assert hashes == [1] * len(ways)
    assert verdicts == [True] + [False] * (len(ways) - 1)
    assert cost(None) > 0.5 * cost(stored)
    assert cost(Secret(MALFORMED[0])) > 0.5 * cost(stored)


def cost(material: Secret | None) -> float:
    """The least processor time of five comparisons with a wrong password."""
    took = []
    for _ in range(5):
        began = time.thread_time()
        password.verify(material, "wrong")
        took.append(time.thread_time() - began)
    return min(took)


@pytest.mark.proves("PWD-09")
@pytest.mark.parametrize("text", MALFORMED)
def test_a_stored_string_that_is_none_of_ours_is_wrong_after_one_hash(text: str) -> None:
    material = Secret(text)

    assert derivations(material, GOOD) == 1
    assert not password.verify(material, GOOD)


def test_threads_do_not_disturb_each_other() -> None:
    text = "nine blue otters"
    stored = password.hash_new(text, SALT)

    def work(turn: int) -> tuple[Reason | None, Secret, bool, bool]:
        password._banned.cache_clear()
        return (
            judged(text),
            password.hash_new(text, SALT),
            password.verify(stored, text),
            password.verify(stored, f"{turn}"),
        )

    with ThreadPoolExecutor(4) as pool:
        answers = set(pool.map(work, range(8)))

    assert answers == {(None, stored, True, False)}


@pytest.mark.proves("AVL-04")
@pytest.mark.parametrize(
    ("memory", "passes", "lanes", "is_compared"),
    [
        (8, 1, 1, True),
        (64, 16, 8, True),
        (8, 17, 1, False),
        (72, 1, 9, False),
        (262_145, 1, 1, False),
    ],
)
def test_a_hash_of_our_form_is_compared_if_it_costs_what_is_bearable(
    memory: int, passes: int, lanes: int, is_compared: bool
) -> None:
    salt = b"0123456789abcdef"
    made = Argon2id(salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory).derive(b"hello")
    parts = (base64.b64encode(part).decode().rstrip("=") for part in (salt, made))
    text = f"$argon2id$v=19$m={memory},t={passes},p={lanes}${'$'.join(parts)}"

    assert password.verify(Secret(text), "hello") is is_compared
