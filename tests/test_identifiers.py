"""Identifiers: every spelling of a name is one key or none, and a mask shows no more than it may."""

import ast
import itertools
import random
import re
import unicodedata
from pathlib import Path
from typing import Literal

import phonenumbers
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from genkan import identifiers
from genkan.model import Identifier

SOURCES = Path(__file__).parent.parent / "src" / "genkan"

anything = st.text(st.characters(codec=None), max_size=80)  # lone surrogates too

mailbox_like = st.builds(
    lambda local, labels: f"{local}@{'.'.join(labels)}",
    st.text("aZ09.+-_'=?\"( \u212a\u0131", min_size=1, max_size=8),
    st.lists(
        st.one_of(
            st.text("aZ09-K\u212aſßẞıİΣςéÉＫﬁ。．\u00ad\u200d\u0301מ१", min_size=1, max_size=8),
            st.sampled_from(
                ["com", "test", "XN--MNCHEN-3YA", "xn--strae-oqa", "xn--", "xn--a", "münchen", "рф"]
            ),
        ),
        min_size=1,
        max_size=4,
    ),
)

number_like = st.text("+0123456789 ()-.\u00a0\u2011x;,#٣３", max_size=24).map(lambda rest: f"+{rest}")


# E-mail addresses. ----------------------------------------------------------------------------------


@pytest.mark.proves("CAN-02")
@pytest.mark.parametrize(
    ("typed", "key"),
    [
        ("ada@example.com", "ada@example.com"),
        ("Ada.Lovelace@Example.COM", "ada.lovelace@example.com"),
        ("ada+shop@example.com", "ada+shop@example.com"),
        ("a.d.a@gmail.com", "a.d.a@gmail.com"),  # no rules of one provider
        ("o'hara!#$%&*/=^_`{|}~@example.com", "o'hara!#$%&*/=^_`{|}~@example.com"),
        ("ada@münchen.de", "ada@xn--mnchen-3ya.de"),
        ("ada@MÜNCHEN.DE", "ada@xn--mnchen-3ya.de"),
        ("ada@mu\u0308nchen.de", "ada@xn--mnchen-3ya.de"),
        ("ada@XN--MNCHEN-3YA.de", "ada@xn--mnchen-3ya.de"),
        ("ada@straße.de", "ada@xn--strae-oqa.de"),  # not strasse.de: IDNA 2008, not 2003
        ("ada@ΒΌΛΟΣ.com", "ada@xn--nxasmq6b.com"),
        ("ada@почта.рф", "ada@xn--80a1acny.xn--p1ai"),
        ("ada@bücher.test", "ada@xn--bcher-kva.test"),
        ("ada@example.test", "ada@example.test"),
        ("ada@host.localhost", "ada@host.localhost"),
        ("ada@printer.local", "ada@printer.local"),
        ("1@2.co", "1@2.co"),
        (f"{'a' * 64}@example.com", f"{'a' * 64}@example.com"),
        (f"a@{'b' * 63}.com", f"a@{'b' * 63}.com"),
    ],
)
def test_an_address_has_a_lower_case_ascii_key(typed: str, key: str) -> None:
    found = identifiers.email(typed)

    assert found == Identifier("email", key, typed)


@pytest.mark.parametrize("around", [("", " "), ("  ", ""), ("\t", " \t")])
def test_blanks_at_both_ends_are_not_part_of_an_address(around: tuple[str, str]) -> None:
    found = identifiers.email(f"{around[0]}Ada@Example.com{around[1]}")

    assert found == Identifier("email", "ada@example.com", "Ada@Example.com")


@pytest.mark.proves("CAN-06")
@pytest.mark.parametrize(
    "typed",
    [
        "",
        " ",
        "@",
        "ada",
        "ada@",
        "@example.com",
        "ada@@example.com",
        "ada@b@example.com",
        "ada@localhost",
        "ada@example",
        "ada@test",
        "ada@xn--p1ai",
        "ada@рф",
        "ada@example..com",
        "ada@.example.com",
        "ada@example.com.",
        "ada@-example.com",
        "ada@example-.com",
        "ada@ex_ample.com",
        "ada@ab--cd.com",
        "ada@example.123",
        "ada@bücher.123",
        "ada@127.0.0.1",
        "ada@[127.0.0.1]",
        "ada@[IPv6:::1]",
        ".ada@example.com",
        "ada.@example.com",
        "a..da@example.com",
        "Ada <ada@example.com>",
        "<ada@example.com>",
        '"Ada" <ada@example.com>',
        '"ada"@example.com',
        '"ada@example.com"@evil.test',
        '"a b"@example.com',
        "a\\@b@example.com",
        "ada(comment)@example.com",
        "ada@example.com(comment)",
        "(c)ada@example.com",
        "ada@example.com,bob@example.com",
        "ada@example.com, bob@example.com",
        "ada@example.com;bob@example.com",
        "ada@example.com bob@example.com",
        "mailto:ada@example.com",
        "ada b@example.com",
        "ada@exam ple.com",
        "ada@example.com\n",
        "ada@example.com\r\nBcc: bob@example.com",
        "ada\n@example.com",
        "\nada@example.com",
        "ada@example.com\x00",
        "ada\x00@example.com",
        "=?UTF-8?Q?=0A?=@example.com",
        "=?utf-8?q?ada=40evil.test=3e=00?=ada@example.com",
        "ada%0a@example.com\u2028",
        "ada@example.com\u202e",
        "\u202aada@example.com\u202c",
        "ada@\u202eelpmaxe.com",
        "ada@exa\u200fmple.com",
        "adä@example.com",
        "аda@example.com",  # a Cyrillic а
        "ada@example.com\u00a0",
        "ada＠example.com",
        "ada@\ud800.com",
        "\udcffada@example.com",
        "ada@xn--.com",
        "ada@xn--a.com",
        "ada@xn--example-.com",
        f"{'a' * 65}@example.com",
        f"a@{'b' * 64}.com",
        f"a@{'.'.join(['b' * 62] * 4)}.com",
        f"a@{'ü' * 60}.com",
    ],
)
def test_what_is_more_or_less_than_one_plain_address_is_refused(typed: str) -> None:
    found = identifiers.email(typed)

    assert found is None


@pytest.mark.proves("CAN-06")
def test_an_address_has_at_most_254_characters_as_typed_and_as_key() -> None:
    domain = ".".join(["b" * 61] * 3)
    longest = f"{'a' * (254 - len(domain) - 5)}@{domain}.com"
    grows = f"a@{'.'.join(['ü' * 40] * 5)}.de"  # 210 characters, but not as A-labels

    kept, refused, refused_as_key = map(identifiers.email, (longest, f"a{longest}", grows))

    assert len(longest) == 254
    assert kept is not None
    assert refused is None
    assert refused_as_key is None


@pytest.mark.proves("CAN-03")
@settings(max_examples=800, deadline=None)
@given(st.one_of(anything, mailbox_like))
@example("ada@İ.com")
@example("ada@ẞ.de")
@example("ada@ΣΑΣ.gr")
def test_making_an_address_canonical_twice_is_the_same_as_once(text: str) -> None:
    found = identifiers.email(text)

    again = found and identifiers.email(found.key)

    assert found is None or (again is not None and again.key == found.key)


@pytest.mark.proves("CAN-03")
@settings(max_examples=800, deadline=None)
@given(st.one_of(anything, number_like))
def test_making_a_number_canonical_twice_is_the_same_as_once(text: str) -> None:
    found = identifiers.phone(text)

    again = found and identifiers.phone(found.key)

    assert again == found


@pytest.mark.slow
@pytest.mark.proves("CAN-03")
def test_a_million_random_texts_have_one_key_or_none() -> None:
    draw = random.Random(20261124)
    alphabet = [chr(point) for point in range(0x250)] + [chr(draw.randrange(0x110000)) for _ in range(2000)]
    tops = [".com", ".de", ".рф", ".xn--p1ai", ""]
    moved = []

    for turn in range(1_000_000):
        text = "".join(draw.choices(alphabet, k=draw.randint(1, 4)))
        # One in ten is at least shaped like an address; the rest may be anything around its signs.
        typed = f"ada@{text}{draw.choice(tops)}" if turn % 10 == 0 else f"{text}@{text}.com{text}"
        found = identifiers.email(typed)
        if found is not None:
            again = identifiers.email(found.key)
            if again is None or again.key != found.key:
                moved.append(typed)

    assert moved == []


COLLISIONS = [
    # An account, and what some mapping of case, width or form takes for it.
    ("mike@github.com", "m\u0131ke@github.com"),
    ("mike@github.com", "m\u0130ke@github.com"),
    ("mike@github.com", "mi\u212ae@github.com"),
    ("mike@github.com", "ｍｉｋｅ@github.com"),
    ("mike@github.com", "mike@g\u0131thub.com"),
    ("mike@github.com", "mike@G\u0130THUB.com"),
    ("mike@github.com", "mike@g\u2170thub.com"),
    ("mike@github.com", "mike@githu\u1d2e.com"),
    ("mike@github.com", "mike@ｇｉｔｈｕｂ.com"),
    ("mike@github.com", "mike@github。com"),
    ("mike@github.com", "mike@github．com"),
    ("mike@github.com", "mike@github｡com"),
    ("mike@github.com", "mike@git\u00adhub.com"),
    ("mike@github.com", "mike@git\u200bhub.com"),
    ("mike@github.com", "mike@git\u200dhub.com"),
    ("mike@github.com", "mike@git\u2060hub.com"),
    ("mike@github.com", "mike@git\ufe0fhub.com"),
    ("mike@github.com", "mike@github.ⓒom"),
    ("mike@github.com", "mike@github.\u2102om"),
    ("mike@kayak.com", "mike@\u212aaya\u212a.com"),
    ("mike@strasse.de", "mike@straße.de"),
    ("mike@strasse.de", "mike@STRAẞE.de"),
    ("mike@strasse.de", "mike@\u017ftra\u017f\u017fe.de"),
    ("mike@straße.de", "mike@strasse.de"),
    ("mike@office.com", "mike@o\ufb03ce.com"),
    ("mike@first.com", "mike@\ufb01rst.com"),
    ("mike@ijs.nl", "mike@\u0133s.nl"),
    ("mike@12.com", "mike@\u00bd.com"),
    ("mike@1.com", "mike@\u00b9.com"),
    ("mike@example.com", "mike@\u1e9bxample.com"),
    ("ångström@example.com", "\u212bngström@example.com"),
    ("mike@βόλοσ.com", "mike@βόλος.com"),
    ("mike@вода.рф", "mike@boda.рф"),
]


@pytest.mark.proves("CAN-04")
@pytest.mark.parametrize(("account", "alike"), COLLISIONS)
def test_what_only_looks_like_an_account_never_finds_it(account: str, alike: str) -> None:
    theirs, ours = identifiers.email(alike), identifiers.email(account)

    assert theirs is None or ours is None or theirs.key != ours.key


@pytest.mark.proves("CAN-04")
def test_no_single_character_beyond_ascii_makes_another_spelling_of_an_ascii_domain() -> None:
    # Where Unicode keeps its letters with a second form: up to kana, the compatibility forms, mathematics and squares.
    blocks = (range(0x80, 0x3000), range(0xF900, 0x10000), range(0x1D400, 0x1F200))
    others = (chr(point) for point in itertools.chain(*blocks))

    found = {c: identifiers.email(f"mike@a{c}.com") for c in others}

    assert [c for c, made in found.items() if made is not None and "@xn--" not in made.key] == []


@pytest.mark.proves("CAN-04")
@pytest.mark.parametrize("letter", ["é", "Ü", "ñ", "Й", "ẞ", "Å"])
def test_composed_and_decomposed_letters_are_one_domain(letter: str) -> None:
    composed = identifiers.email(f"mike@{letter}x.com")
    decomposed = identifiers.email(f"mike@{unicodedata.normalize('NFD', letter)}x.com")

    assert composed is not None
    assert decomposed is not None
    assert composed.key == decomposed.key


@pytest.mark.proves("CAN-07")
def test_plus_tags_are_accounts_of_their_own_and_count_as_one_mailbox() -> None:
    plain, shop, news = (identifiers.email(f"ada{tag}@example.com") for tag in ("", "+shop", "+news+old"))

    assert plain is not None
    assert shop is not None
    assert news is not None
    assert len({plain.key, shop.key, news.key}) == 3
    assert {identifiers.base(i) for i in (plain, shop, news)} == {"email:ada@example.com"}


def test_a_mailbox_that_is_only_a_tag_counts_as_itself() -> None:
    tag = identifiers.email("+shop@example.com")

    assert tag is not None
    assert identifiers.base(tag) == "email:+shop@example.com"


@pytest.mark.proves("CAN-01")
def test_nothing_but_identifiers_makes_an_identifier_or_changes_its_case() -> None:
    named = re.compile(r"identifier|e_?mail|phone|username|target", re.IGNORECASE)
    found = []

    for path in SOURCES.rglob("*.py"):
        if path.name == "identifiers.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id="Identifier") | ast.Attribute(attr="Identifier")):
                    found.append(f"{path.relative_to(SOURCES)}:{node.lineno}: makes an identifier")
                case ast.Call(
                    func=ast.Attribute(value=value, attr="lower" | "upper" | "casefold" | "swapcase")
                ):
                    is_a_word = (
                        isinstance(value, ast.Name) and value.id.isupper()
                    )  # A constant, such as `EMAIL`.
                    if named.search(ast.unparse(value)) and not is_a_word:
                        found.append(f"{path.relative_to(SOURCES)}:{node.lineno}: changes the case of one")

    assert found == []


# Telephone numbers. ---------------------------------------------------------------------------------


def example_numbers() -> list[phonenumbers.PhoneNumber]:
    """One mobile and one landline number of every numbering plan: some 480 numbers."""
    kinds = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE)
    found = [
        phonenumbers.example_number_for_type(region, kind)
        for region in sorted(phonenumbers.SUPPORTED_REGIONS)
        for kind in kinds
    ]
    return [number for number in found if number is not None]


@pytest.mark.proves("CAN-08")
def test_every_international_way_to_write_a_number_is_one_key() -> None:
    numbers = example_numbers()

    strangers = []
    for number in numbers:
        key = phonenumbers.format_number(number, PhoneNumberFormat.E164)
        written = phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)
        code, _, rest = written.partition(" ")
        spellings = {
            key,
            written,
            f"  {written} ",
            written.replace(" ", "-"),
            written.replace(" ", "."),
            written.replace(" ", "\u00a0"),
            written.replace("-", "\u2011"),
            f"{code} ({rest[:2]}) {rest[2:]}",
        }
        strangers += [s for s in spellings if identifiers.phone(s) != Identifier("phone", key, key)]

    assert len(numbers) >= 450
    assert strangers == []


@pytest.mark.proves("CAN-08")
def test_no_national_extended_or_foreign_way_to_write_a_number_is_taken() -> None:
    numbers = example_numbers()
    arabic = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
    wide = str.maketrans("+0123456789", "＋０１２３４５６７８９")

    taken = []
    for number in numbers:
        key = phonenumbers.format_number(number, PhoneNumberFormat.E164)
        spellings = {
            phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL),
            key[1:],
            f"00{key[1:]}",
            f"+00{key[1:]}",
            f"++{key[1:]}",
            f"{key} x123",
            f"{key};ext=123",
            f"{key}#123",
            f"{key},,123",
            f"tel:{key}",
            f"{key} / {key}",
            key.translate(arabic),
            key.translate(wide),
            f"{key}\n",
            f"{key}\u202c",
        }
        taken += [s for s in spellings if identifiers.phone(s) is not None]

    assert taken == []


@pytest.mark.proves("CAN-08")
@pytest.mark.parametrize(
    ("typed", "key"),
    [
        ("+44 20 7946 0000", "+442079460000"),
        ("+44 (0)20 7946 0000", "+442079460000"),
        ("+44 (020) 7946-0000", "+442079460000"),
        ("+39 06 698 12345", "+390669812345"),  # in Italy the zero is part of the number
        ("+1 (202) 555-0123", "+12025550123"),
        ("+1.202.555.0123", "+12025550123"),
        ("+41\u00a079\u202f123\u201145 67", "+41791234567"),
        ("+", None),
        ("+()", None),
        ("", None),
        ("ada@example.com", None),
        ("020 7946 0000", None),
        ("0044 20 7946 0000", None),
        ("1 202 555 0123", None),
        ("+1 800 FLOWERS", None),
        ("+1 202 555 012", None),
        ("+1 202 555 01234", None),
        ("+1 555 555 5555", None),
        ("+999 123 456 789", None),
        ("+210 123 456 789", None),
        ("+0 123 456 789", None),
        ("+" + "1" * 41, None),
        ("\ud800+442079460000", None),
    ],
)
def test_a_number_is_one_key_or_none(typed: str, key: str | None) -> None:
    found = identifiers.phone(typed)

    assert (found and found.key) == key


@pytest.mark.proves("MSG-06")
def test_numbers_that_cost_more_than_a_message_or_reach_no_person_are_refused() -> None:
    costly = (
        PhoneNumberType.PREMIUM_RATE,
        PhoneNumberType.SHARED_COST,
        PhoneNumberType.TOLL_FREE,
        PhoneNumberType.PAGER,
        PhoneNumberType.VOICEMAIL,
    )
    numbers = [
        phonenumbers.example_number_for_type(region, kind)
        for region in phonenumbers.SUPPORTED_REGIONS
        for kind in costly
    ]
    # Satellite, international freephone, premium and shared cost: codes of no country.
    numbers += [
        phonenumbers.example_number_for_non_geo_entity(code)
        for code in phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS
    ]
    keys = [phonenumbers.format_number(number, PhoneNumberFormat.E164) for number in numbers if number]

    taken = [key for key in keys if identifiers.phone(key) is not None]

    assert len(keys) > 400
    assert taken == []


CLOSED = (
    "7 20 53 62 63 84 92 93 94 95 98 211 212 213 216 218 220 221 222 223 224 225 226 227 228 229 230 231 232 234 235 "
    "237 238 241 242 243 244 245 249 250 251 252 253 254 255 256 257 258 260 261 262 263 265 266 269 290 291 359 373 "
    "374 375 377 380 383 385 386 387 501 502 503 505 508 509 590 591 592 593 670 672 675 678 679 685 686 687 689 690 "
    "691 855 880 961 962 963 964 965 966 967 968 970 971 974 975 976 977 992 993 994 995 996 998 1721 1784 1876"
)


@pytest.mark.proves("MSG-06")
def test_a_number_is_open_unless_the_longest_listed_code_it_begins_with_is_closed() -> None:
    closed = CLOSED.split()
    numbers = [phonenumbers.format_number(number, PhoneNumberFormat.E164) for number in example_numbers()]

    found = {key: identifiers.region_open(Identifier("phone", key, key)) for key in numbers}

    expected = {key: not any(key.startswith(f"+{code}") for code in closed) for key in numbers}
    assert found == expected
    assert found["+12015550123"]
    assert not identifiers.region_open(Identifier("phone", "+18762101234", "+18762101234"))


def test_what_is_no_number_has_no_calling_code_and_no_open_region() -> None:
    address = Identifier("email", "ada@example.com", "ada@example.com")

    assert identifiers.calling_code(address) == ""
    assert not identifiers.region_open(address)


def test_calling_codes_are_those_of_the_numbering_metadata() -> None:
    codes = {
        phonenumbers.format_number(number, PhoneNumberFormat.E164): str(number.country_code)
        for number in example_numbers()
    }

    found = {key: identifiers.calling_code(Identifier("phone", key, key)) for key in codes}

    assert found == codes


# Masks. ---------------------------------------------------------------------------------------------


@pytest.mark.proves("OTP-19")
@pytest.mark.parametrize(
    ("identifier", "shown"),
    [
        (Identifier("email", "ada@example.com", "Ada@Example.com"), "a***a@ex****e.com"),
        (Identifier("email", "ada.lovelace@example.com", ""), "a***e@ex****e.com"),
        (Identifier("email", "al@example.com", ""), "a***@ex****e.com"),
        (Identifier("email", "a@example.com", ""), "***@ex****e.com"),
        (Identifier("email", "ada@mail.example.co.uk", ""), "a***a@ma****o.uk"),
        (Identifier("email", "ada@abcd.de", ""), "a***a@ab****d.de"),
        (Identifier("email", "ada@abc.de", ""), "a***a@ab****.de"),
        (Identifier("email", "ada@ab.de", ""), "a***a@a****.de"),
        (Identifier("email", "ada@a.de", ""), "a***a@****.de"),
        (Identifier("phone", "+442079460034", "+442079460034"), "+44*******34"),
        (Identifier("phone", "+12025550123", ""), "+1*******23"),
        (Identifier("phone", "+3541234567", ""), "+354*******67"),
        (Identifier("phone", "+354123", ""), "+354*******"),
        (Identifier("username", "lovelace", ""), "l***e"),
    ],
)
def test_a_mask_shows_the_ends_and_hides_the_rest(identifier: Identifier, shown: str) -> None:
    assert identifiers.mask(identifier) == shown


@pytest.mark.proves("OTP-19")
@settings(max_examples=300, deadline=None)
@given(st.one_of(anything, mailbox_like))
def test_a_mask_of_anything_hides_at_least_one_character_of_each_part(key: str) -> None:
    local, _, domain = key.partition("@")
    name = domain.rpartition(".")[0] if "." in domain else domain

    shown = identifiers.mask(Identifier("email", key, key))

    local_shown, _, domain_shown = shown.partition("@")
    name_shown = domain_shown.rpartition(".")[0] if "." in domain else domain_shown
    assert "***" in local_shown
    assert len(local_shown) - len("***") <= min(2, max(0, len(local) - 1))
    assert len(name_shown) - len("****") <= min(3, max(0, len(name) - 1))


@pytest.mark.proves("OTP-19")
@settings(max_examples=300, deadline=None)
@given(anything, st.sampled_from(["phone", "username"]))
def test_a_mask_of_any_other_key_shows_two_of_its_characters_at_most(
    key: str, kind: Literal["phone", "username"]
) -> None:
    identifier = Identifier(kind, key, key)

    shown = identifiers.mask(identifier)

    stars = "*******" if kind == "phone" else "***"
    code = f"+{identifiers.calling_code(identifier)}" if kind == "phone" else ""
    assert shown.startswith(code)
    assert stars in shown
    assert len(shown) <= len(code) + len(stars) + 2


@pytest.mark.proves("OTP-19")
@settings(max_examples=300, deadline=None)
@given(st.text("abc", min_size=3, max_size=20), st.text("abc", min_size=4, max_size=20))
def test_masks_of_addresses_that_differ_only_inside_are_the_same(local: str, name: str) -> None:
    short, long = (
        f"{local[0]}{middle}{local[-1]}@{name[:2]}{middle}{name[-1]}.com" for middle in ("x", "xyzzy-plugh")
    )

    masks = {identifiers.mask(Identifier("email", key, key)) for key in (short, long)}

    assert masks == {f"{local[0]}***{local[-1]}@{name[:2]}****{name[-1]}.com"}
