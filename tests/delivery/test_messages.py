"""What messages say, and what nobody can make them say."""

from __future__ import annotations

import html
import re
import unicodedata
from datetime import timedelta
from typing import Any

import pytest
from jinja2.exceptions import SecurityError, TemplateError, UndefinedError

from genkan.delivery import messages
from genkan.delivery.messages import Unrenderable, render
from genkan.model import Channel
from tests.delivery.letters import CODE_PURPOSES, a_message

GSM_7 = set(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
"""The basic character set of 3GPP TS 23.038, less the escape: one septet each."""

TEXT_MESSAGES = {
    "sign_in": "12345678 is your code to sign in. It is valid for 5 minutes. Do not share it with anyone.",
    "sign_up": "12345678 is your code to sign up. It is valid for 5 minutes. Do not share it with anyone.",
    "reset_password": "12345678 is your code to reset your password. It is valid for 5 minutes. "
    "Do not share it with anyone.",
    "mfa": "12345678 is your code to finish signing in. It is valid for 5 minutes. Do not share it with anyone.",
    "enrol": "12345678 is your code to confirm this number. It is valid for 5 minutes. Do not share it with anyone.",
    "emergency": "12345678 is your code to protect your account. It is valid for 5 minutes. "
    "Do not share it with anyone.",
}

NOTICES = {
    "method_added": "A new way to sign in was added to your account. Was it not you? "
    "Tell the people who run the service now.",
    "password_changed": "The password of your account was changed. Was it not you? Reset your password now.",
    "account_exists": "Somebody asked for a new account with your number, which has one already. "
    "Was it not you? Ignore this message.",
    "notice": "The security settings of your account have changed. Was it not you? "
    "Tell the people who run the service now.",
}

# 7 * 191 is 1337, which stands nowhere by itself.
INJECTIONS = (
    "{{7*191}}",
    "{% for x in range(7*191) %}{{x}}{% endfor %}{{7*191}}",
    "${7*191}#{7*191}<%= 7*191 %>",
    "{{ code.__class__.__mro__[1].__subclasses__() }}{{7*191}}",
    "{{ self._TemplateReference__context }}{{7*191}}",
    "{{ ''|attr('__class__') }}{{ 7*191|string }}",
    "{{ cycler.__init__.__globals__.os.popen('expr 7 \\* 191').read() }}",
    "<script>alert(1)</script>{{7*191}}",
    '"><img src=x onerror=alert(1)>{#7*191#}',
    "Contoso\r\nBcc: everybody@example.com\r\n\r\n{{7*191}}",
    "Contoso\x00\x0b\x1b[31m\u2028\u202e{{7*191}}",
    "=?UTF-8?Q?=0D=0ABcc:_everybody@example.com?={{7*191}}",
)


def everything(message: Any) -> str:
    rendered = render(message)
    return "\n".join((rendered.subject or "", rendered.text, rendered.html or ""))


# Text messages. -------------------------------------------------------------------------------------


@pytest.mark.proves("MSG-04")
@pytest.mark.parametrize("purpose", CODE_PURPOSES)
def test_a_text_message_says_the_code_first_and_then_what_it_is_for(purpose: str) -> None:
    message = a_message(purpose, Channel.SMS, values={"app": "Contoso", "displayName": "Ada"})

    rendered = render(message)

    assert rendered == messages.Rendered(subject=None, text=TEXT_MESSAGES[purpose], html=None)


@pytest.mark.proves("MSG-04")
@pytest.mark.parametrize("template", NOTICES)
def test_a_notice_by_text_message_is_a_fixed_text(template: str) -> None:
    message = a_message(
        "notice", Channel.SMS, template=template, values={"app": "Contoso", "method": "+44*****56"}
    )

    assert render(message).text == NOTICES[template]


@pytest.mark.proves("MSG-04")
@pytest.mark.parametrize("lasts", [timedelta(seconds=1), timedelta(minutes=5), timedelta(days=9000)])
@pytest.mark.parametrize("purpose", [*CODE_PURPOSES, "notice"])
def test_every_text_message_fits_one_part_of_gsm_7_and_holds_no_link(purpose: str, lasts: timedelta) -> None:
    text = render(a_message(purpose, Channel.SMS, lasts=lasts)).text

    assert set(text) <= GSM_7
    assert len(text) <= 160
    assert not re.search(r"https?:|www\.|\w\.\w", text)


def test_every_notice_by_text_message_fits_one_part() -> None:
    texts = [words.label for words in messages.language("en").notices.values()]

    assert all(set(text) <= GSM_7 and len(text) <= 160 for text in texts)


# E-mails. -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("purpose", CODE_PURPOSES)
def test_an_email_with_a_code_says_the_code_how_long_it_lasts_and_what_to_do_if_it_was_not_you(
    purpose: str,
) -> None:
    rendered = render(a_message(purpose))

    words = messages.language("en").codes[purpose]
    assert rendered.subject == words.subject
    for body in (rendered.text, html.unescape(rendered.html or "")):
        assert "12345678" in body
        assert f"Use this code to {words.purpose}" in body
        assert "valid for 5 minutes" in body
        assert words.otherwise in body


@pytest.mark.parametrize("purpose", CODE_PURPOSES)
def test_the_subject_never_holds_the_code(purpose: str) -> None:
    rendered = render(a_message(purpose, values={"app": "Contoso"}))

    assert "12345678" not in (rendered.subject or "")


def test_the_plain_text_of_an_email_reads_like_this() -> None:
    rendered = render(a_message("sign_in", values={"app": "Contoso Things"}))

    assert rendered.subject == "Your sign-in code for Contoso Things"
    assert rendered.text == (
        "Contoso Things\n"
        "\n"
        "Use this code to sign in:\n"
        "\n"
        "    12345678\n"
        "\n"
        "It is valid for 5 minutes and works once.\n"
        "Enter it only where you asked for it. Nobody who is there to help you will ask you for it.\n"
        "\n"
        "Was it not you?\n"
        "If you are not signing in right now, ignore this message. Nobody gets in without the code."
    )


def test_a_notice_says_what_was_changed_when_and_where() -> None:
    rendered = render(
        a_message("notice", template="method_added", values={"app": "Contoso", "method": "+44*******56"})
    )

    assert rendered.subject == "A new way to sign in was added to your account"
    for body in (rendered.text, html.unescape(rendered.html or "")):
        assert "A new way to prove that it is you was added to your account." in body
        assert "+44*******56" in body
        assert "4 March 2026, 09:12 UTC" in body
        assert "Tell the people who run the service now" in body


@pytest.mark.proves("ENUM-03")
def test_who_signs_up_with_an_address_that_has_an_account_is_told_so_by_mail() -> None:
    rendered = render(a_message("notice", template="account_exists", values={"app": "Contoso"}))

    assert rendered.subject == "You already have an account"
    for body in (rendered.text, html.unescape(rendered.html or "")):
        assert "It has one already, so none was created." in body
        assert "If this was not you, ignore this message." in body
        assert "If it was you, sign in instead." in body
        assert "there is nothing to do" not in body
        assert "Contoso" in body
    assert not re.search(r"\d{6}", rendered.text), "nothing that could be taken for a code"


def test_a_notice_of_an_unknown_kind_is_told_in_general_words() -> None:
    rendered = render(a_message("notice", template="moved_to_the_moon"))

    assert rendered.subject == "The security settings of your account have changed"


@pytest.mark.parametrize(
    ("lasts", "said"),
    [
        (timedelta(seconds=30), "1 minute"),
        (timedelta(seconds=119), "1 minute"),
        (timedelta(minutes=2), "2 minutes"),
        (timedelta(minutes=5, seconds=59), "5 minutes"),
    ],
)
def test_the_time_that_a_code_lasts_is_rounded_down(lasts: timedelta, said: str) -> None:
    assert f"valid for {said} and" in render(a_message(lasts=lasts)).text


@pytest.mark.parametrize("purpose", [*CODE_PURPOSES, "notice"])
def test_an_email_asks_no_host_for_anything(purpose: str) -> None:
    document = render(a_message(purpose)).html or ""

    assert not re.search(r"https?:|//|url\(|src=|<link|<img|<script|@import", document)


# What nobody can make them say. ---------------------------------------------------------------------


@pytest.mark.proves("MSG-02")
@pytest.mark.parametrize("injection", INJECTIONS)
@pytest.mark.parametrize("channel", list(Channel))
@pytest.mark.parametrize(
    "field", ["app", "method", "displayName", "code", "subject", "purpose", "otherwise", "words"]
)
def test_what_stands_in_a_value_is_never_run_and_never_markup(
    field: str, channel: Channel, injection: str
) -> None:
    for purpose in (*CODE_PURPOSES, "notice"):
        rendered = render(a_message(purpose, channel, values={field: injection}))

        said = f"{rendered.subject}\n{rendered.text}\n{rendered.html}"
        assert "1337" not in said
        assert "Undefined" not in said
        assert not re.search("<script|<img", rendered.html or "")


@pytest.mark.proves("MSG-02")
@pytest.mark.parametrize("injection", INJECTIONS)
def test_an_address_or_the_name_of_a_template_is_never_run_either(injection: str) -> None:
    assert everything(a_message("notice", to=injection, template=injection)) == everything(
        a_message("notice")
    )


@pytest.mark.proves("MSG-02")
@pytest.mark.parametrize("code", ["{{7*191}}", "1234 5678", "<b>1</b>", "12\r\n34", "１２３４", ""])
def test_a_code_can_be_nothing_but_letters_and_digits(code: str) -> None:
    with pytest.raises(Unrenderable) as caught:
        render(a_message(code=code))

    assert not code or code not in str(caught.value)


def test_a_code_that_is_missing_is_a_fault() -> None:
    with pytest.raises(Unrenderable):
        render(a_message(code=None))


def test_a_purpose_without_words_is_a_fault() -> None:
    with pytest.raises(Unrenderable):
        render(a_message("birthday"))


@pytest.mark.proves("MSG-02")
@pytest.mark.parametrize(
    "template",
    [
        "{{ code.__class__ }}",
        "{{ code['__class__'] }}",
        "{{ code[0] }}",
        "{{ code.upper() }}",
        "{{ code.format }}",
        "{{ '{0.__class__}'.format(code) }}",
        "{{ self.__init__ }}",
        "{{ self._TemplateReference__context }}",
        "{{ code() }}",
        "{{ unknown }}",
        "{{ range(9) }}",
        "{{ lipsum.__globals__ }}",
        "{{ cycler }}",
        "{{ namespace() }}",
    ],
)
def test_a_template_can_reach_no_attribute_no_call_and_no_global(template: str) -> None:
    compiled = messages._environment().from_string(template)

    with pytest.raises((SecurityError, UndefinedError)):
        compiled.render(code="12345678")


@pytest.mark.proves("MSG-02")
@pytest.mark.parametrize("template", ["{{ code|attr('x') }}", "{{ code|safe }}", "{{ code|map('upper') }}"])
def test_a_template_has_no_filters(template: str) -> None:
    with pytest.raises(TemplateError, match="No filter"):
        messages._environment().from_string(template)


@pytest.mark.proves("MSG-02")
def test_html_is_escaped_whatever_a_template_forgets() -> None:
    rendered = messages._environment().from_string("<p>{{ app }}</p>").render(app="<b>&\"'")

    assert rendered == "<p>&lt;b&gt;&amp;&#34;&#39;</p>"


@pytest.mark.parametrize("injection", INJECTIONS)
def test_a_value_in_a_subject_is_one_line_without_encoded_words(injection: str) -> None:
    subject = render(a_message(values={"app": injection})).subject or ""

    assert not [c for c in subject if unicodedata.category(c)[0] == "C" or c in "\u2028\u2029"]
    assert "=?" not in subject


@pytest.mark.proves("MSG-03")
@pytest.mark.parametrize("channel", list(Channel))
@pytest.mark.parametrize("purpose", [*CODE_PURPOSES, "notice"])
def test_nothing_that_a_person_typed_is_printed(purpose: str, channel: Channel) -> None:
    names = ("displayName", "company", "userAgent", "city", "name")
    typed = dict.fromkeys(names, "Win a phone at evil example")

    assert everything(a_message(purpose, channel, values=typed)) == everything(a_message(purpose, channel))


@pytest.mark.proves("MSG-03")
@pytest.mark.parametrize(
    ("given", "printed"),
    [
        ("https://evil.example/win now", "now"),
        ("Win at HTTPS://EVIL.EXAMPLE", "Win at"),
        ("Go to www.evil.example/a?b", "Go to"),
        ("bit.ly/2x now", "now"),
        ("ｅｖｉｌ．ｃｏｍ now", "now"),
        ("пример.рф now", "now"),
        ("javascript:alert(1) mailto:a@b", ""),
        ("a" * 500, "a" * 64),
        ("Contoso & Söhne (v2.0)", "Contoso & Söhne (v2.0)"),
        ("+44*******56", "+44*******56"),
        ("a***a@ex****e.com", "a***a@ex****e.com"),
    ],
)
def test_a_value_loses_what_looks_like_a_link_and_is_cut_short(given: str, printed: str) -> None:
    rendered = render(a_message("notice", values={"app": given}))

    application = re.search(r"^Application: (.*)$", rendered.text, re.MULTILINE)
    assert (application[1] if application else "") == printed
