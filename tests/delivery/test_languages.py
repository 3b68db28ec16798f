"""Every language says everything, and a text message in it is as short and as safe as in English."""

from __future__ import annotations

import re
import string
from datetime import timedelta
from typing import Any, get_args

import msgspec
import pytest

from genkan.delivery import messages
from genkan.delivery.messages import LANGUAGES, language, render
from genkan.model import Brand, Channel, MessagePurpose
from tests.delivery.letters import CODE_PURPOSES, a_message
from tests.delivery.test_messages import GSM_7

HASH = "FA+9qCX9VSu"
DOMAIN = "shop.example.com"


def flat(value: Any, path: str = "") -> dict[str, str]:
    """Every text of a language, by where it stands."""
    if isinstance(value, dict):
        return {k: v for name, inner in value.items() for k, v in flat(inner, f"{path}.{name}").items()}
    if isinstance(value, list | tuple):
        return {k: v for n, inner in enumerate(value) for k, v in flat(inner, f"{path}.{n}").items()}
    return {path: value}


def holes(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("name", LANGUAGES)
def test_a_language_says_all_that_english_says_and_fills_in_the_same(name: str) -> None:
    english, other = (flat(msgspec.to_builtins(language(n))) for n in ("en", name))

    assert other.keys() == english.keys()
    assert {k: holes(v) for k, v in other.items()} == {k: holes(v) for k, v in english.items()}
    assert all(text.strip() == text for text in other.values())
    assert [k for k, v in other.items() if not v] == [k for k, v in english.items() if not v]
    assert set(language(name).codes) == set(get_args(MessagePurpose)) - {"notice"}


@pytest.mark.parametrize("name", [n for n in LANGUAGES if n != "en"])
def test_a_translation_leaves_no_sentence_in_english(name: str) -> None:
    english, other = (flat(msgspec.to_builtins(language(n))) for n in ("en", name))

    same = {k for k, v in other.items() if v == english[k] and len(v) > 20 and k != ".moment"}

    assert same == set()


@pytest.mark.proves("MSG-04")
@pytest.mark.parametrize("name", LANGUAGES)
@pytest.mark.parametrize("purpose", CODE_PURPOSES)
def test_a_code_by_text_message_comes_first_and_fits_one_part_in_every_language(
    purpose: str, name: str
) -> None:
    text = render(a_message(purpose, Channel.SMS, language=name, lasts=timedelta(minutes=10))).text

    assert text.startswith("12345678 ")
    assert set(text) <= GSM_7
    assert len(text) <= 160
    assert not re.search(r"https?:|www\.|\w\.\w", text)


@pytest.mark.parametrize("name", LANGUAGES)
@pytest.mark.parametrize("template", language("en").notices)
def test_a_notice_by_text_message_fits_one_part_in_every_language(template: str, name: str) -> None:
    text = render(a_message("notice", Channel.SMS, template=template, language=name)).text

    assert set(text) <= GSM_7
    assert len(text) <= 160


@pytest.mark.parametrize("name", LANGUAGES)
@pytest.mark.parametrize("template", language("en").notices)
def test_every_notice_says_what_to_do_if_it_was_not_the_owner(template: str, name: str) -> None:
    rendered = render(a_message("notice", template=template, language=name))

    words = language(name).notices[template]
    for said in (rendered.text, (rendered.html or "").replace("&#39;", "'")):
        assert language(name).not_you in said
        assert words.otherwise in said
        assert words.if_it_was in said
    assert f'<html lang="{name}">' in (rendered.html or "")


@pytest.mark.parametrize(
    ("person", "tenant", "spoken"),
    [
        ("de", "en", "de"),
        ("de-CH", "en", "de"),
        ("FR-ca", "en", "fr"),
        ("", "es", "es"),
        ("tlh", "es", "es"),
        ("tlh", "xx", "en"),
        ("../../etc/passwd", "en", "en"),
    ],
)
def test_a_person_is_spoken_to_in_their_language_else_the_tenants_else_english(
    person: str, tenant: str, spoken: str
) -> None:
    said = render(a_message("sign_in", language=person), Brand(language=tenant)).subject

    assert said == language(spoken).codes["sign_in"].subject


def test_a_date_is_written_as_people_there_write_it() -> None:
    at = {name: render(a_message("notice", language=name)).text for name in LANGUAGES}

    assert "Time: 4 March 2026, 09:12 UTC" in at["en"]
    assert "Zeit: 4. März 2026, 09:12 UTC" in at["de"]
    assert "Hora: 4 de marzo de 2026, 09:12 UTC" in at["es"]
    assert "Heure: 4 mars 2026, 09:12 UTC" in at["fr"]


# What only machines read. ---------------------------------------------------------------------------


@pytest.mark.proves("OTP-18")
@pytest.mark.parametrize("name", LANGUAGES)
@pytest.mark.parametrize("purpose", CODE_PURPOSES)
def test_a_text_message_ends_with_the_lines_for_android_and_for_the_browser(purpose: str, name: str) -> None:
    values = {"android_hash": HASH, "code_domain": DOMAIN}
    text = render(a_message(purpose, Channel.SMS, values=values, language=name)).text

    first, app_hash, empty, last = text.split("\n")
    assert first == render(a_message(purpose, Channel.SMS, language=name)).text
    assert (app_hash, empty, last) == (HASH, "", f"@{DOMAIN} #12345678")
    # With an origin's line a text has two parts; without it Android's limit of 140 bytes holds.
    assert len(f"{first}\n{app_hash}") <= 140


@pytest.mark.parametrize(
    "values",
    [
        {"code_domain": "https://shop.example.com"},
        {"code_domain": "shop.example.com #00000000"},
        {"code_domain": "shop.example.com\n@evil.example"},
        {"code_domain": "localhost"},
        {"code_domain": "SHOP.example.com"},
        {"android_hash": "FA+9qCX9VS"},
        {"android_hash": "FA+9qCX9VSu\n@evil.example #1"},
        {"android_hash": "FA 9qCX9VSu"},
    ],
)
def test_a_line_that_is_not_of_its_form_is_left_out(values: dict[str, str]) -> None:
    plain = render(a_message("mfa", Channel.SMS)).text

    assert render(a_message("mfa", Channel.SMS, values=values)).text == plain


def test_neither_a_notice_nor_an_email_carries_those_lines() -> None:
    values = {"android_hash": HASH, "code_domain": DOMAIN}
    for message in (a_message("notice", Channel.SMS, values=values), a_message("mfa", values=values)):
        said = render(message)
        assert HASH not in f"{said.text}{said.html}"
        assert DOMAIN not in f"{said.text}{said.html}"


# Branding. ------------------------------------------------------------------------------------------


def test_a_brand_names_the_sender_colours_the_sheet_and_says_whom_to_tell() -> None:
    brand = Brand(name="Contoso", colour="#0b6e4f", contact="security@contoso.example, +44 20 7946 0000")
    rendered = render(a_message("notice", template="method_added", values={"app": "Things"}), brand)

    assert "Application: Contoso" in rendered.text
    assert "security@contoso.example, +44 20 7946 0000" in rendered.text
    assert "border-top:4px solid #0b6e4f" in (rendered.html or "")
    assert "security@contoso.example" in (rendered.html or "")
    assert render(a_message("mfa", values={"app": "Things"}), brand).subject == (
        "Your verification code for Contoso"
    )


@pytest.mark.proves("MSG-01", "MSG-02")
@pytest.mark.parametrize(
    "given",
    ["red;background:url(//evil.example)", "#fff", '#0b6e4f"><script>', "{{7*191}}", "#0b6e4f\r\nBcc: x"],
)
def test_a_colour_that_is_none_is_left_out(given: str) -> None:
    plain = render(a_message("mfa"))

    assert render(a_message("mfa"), Brand(colour=given)) == plain


@pytest.mark.proves("MSG-01", "MSG-02")
@pytest.mark.parametrize(
    "given", ["Contoso\r\nBcc: everybody@example.com", "{{7*191}}", "<script>alert(1)</script>"]
)
def test_a_brand_is_printed_as_text_of_one_line(given: str) -> None:
    rendered = render(a_message("mfa"), Brand(name=given, contact=given))

    assert "\n" not in (rendered.subject or "")
    assert "1337" not in f"{rendered.subject}{rendered.text}{rendered.html}"
    assert "<script" not in (rendered.html or "")
    assert messages._plain(given) in rendered.text
