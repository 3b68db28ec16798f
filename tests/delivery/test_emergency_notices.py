"""What owners are told in an emergency: calmly, in full where nobody else reads, and almost nothing elsewhere."""

from __future__ import annotations

import ast
import html
import re
from importlib.resources import files
from typing import Any

import pytest
from msgspec.structs import replace

from genkan.delivery.messages import HARMLESS, LANGUAGES, language, render
from genkan.model import Channel, Message
from tests.delivery.letters import a_message

PAGE = "https://login.example.com/contoso/lost-device"
PROOF = "q2V5c0FyZU5vdEhlcmVCdXRUaGVyZQ"
EMERGENCIES = [name for name in language("en").notices if name.startswith("emergency_")]
TIMES = {"hold_until": "2026-03-07T09:12:45+00:00", "ready_at": "2026-03-05T10:12:45+01:00"}


def a_notice(template: str, **changes: Any) -> Message:
    return a_message("notice", template=f"emergency_{template}", **changes)


LINK = f"{PAGE}?link={PROOF}"


def proving(message: Message, link: str = LINK) -> Message:
    """The message with a link that has power."""
    return replace(message, values={**message.values, "link": link})


def test_every_transition_of_the_protocol_has_words_of_its_own() -> None:
    source = (files("genkan.engine.emergency") / "protocol.py").read_text(encoding="utf-8")
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    moves = [c for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr == "move"]
    actions = {str(a.value) for c in moves for a in c.args[2:3] if isinstance(a, ast.Constant)}
    # `_hold` and `_expire` say what they are told to; the last two are sent by hand.
    actions |= {"contained", "frozen", "by_support", "expired", "released", "report", "not_held", "neutral"}

    assert len(actions) > 25
    assert {f"emergency_{action}" for action in actions} <= set(EMERGENCIES)


def test_a_hold_is_told_like_this() -> None:
    said = render(a_notice("contained", values={"app": "Contoso", **TIMES}), page=PAGE)

    assert said.subject == "Your account is on a security hold"
    assert said.text == (
        "Your account was put on a security hold. Nobody can sign in while it lasts. Nothing was deleted.\n"
        "\n"
        "Application: Contoso\n"
        "On hold until: 7 March 2026, 09:12 UTC\n"
        "Not before: 5 March 2026, 09:12 UTC\n"
        "Time: 4 March 2026, 09:12 UTC\n"
        "\n"
        "Was it not you?\n"
        "If this was not you, open the page for lost devices and end the hold there, with a passkey or security key "
        "that is not on the lost device. Otherwise the hold ends by itself.\n"
        "\n"
        "If it was you, the page for lost devices shows what comes next.\n"
        "\n"
        "The page for lost devices, and for when somebody else may be using your account:\n"
        f"{PAGE}"
    )


def test_a_report_carries_a_link_whose_page_asks_for_a_button() -> None:
    message = a_notice("report")
    with_link = render(proving(message), page=PAGE)

    for body in (with_link.text, html.unescape(with_link.html or "")):
        assert LINK in body
        assert "Opening the page changes nothing, only its button does." in body
        assert body.count(PROOF) == (1 if body is with_link.text else 2)


@pytest.mark.parametrize(
    ("page", "link"),
    [
        ("", LINK),
        (PAGE, ""),
        (PAGE, PAGE),
        (PAGE, f"{PAGE}?link=12345678"),
        (PAGE, f"{PAGE}?link={'a' * 5000}"),
        (PAGE, f'{LINK}"><script>alert(1)</script>'),
        (PAGE, f"{LINK}&x=1"),
        (PAGE, f"https://evil.example/lost-device?link={PROOF}"),
        (PAGE, f"{PAGE}.evil.example?link={PROOF}"),
        (PAGE, f"javascript:alert(1)?link={PROOF}"),
    ],
)
def test_a_report_without_a_good_link_says_where_to_begin_all_the_same(page: str, link: str) -> None:
    message = a_notice("report")
    said = render(proving(message, link), page=page)

    everything = f"{said.text}{said.html}"
    assert "link=" not in everything
    assert "The link works once" not in everything
    assert "<script" not in everything
    assert "begin anew on the page for lost devices" in said.text


@pytest.mark.parametrize("name", LANGUAGES)
def test_a_neutral_notice_says_no_method_no_time_and_no_link_with_power(name: str) -> None:
    message = a_notice("neutral", language=name, values={"app": "Contoso", "method": "+44*****56", **TIMES})
    said = render(proving(message), page=PAGE)

    everything = f"{said.subject}{said.text}{said.html}"
    assert PROOF not in everything
    assert "+44" not in everything
    assert not re.search(r"202\d|\d\d:\d\d|UTC", everything)
    assert set(re.findall(r"https?://[^\s\"<]+", everything)) == {PAGE}


@pytest.mark.parametrize("name", LANGUAGES)
@pytest.mark.parametrize("template", language("en").notices)
def test_a_notice_says_where_to_go_if_it_was_not_the_owner(template: str, name: str) -> None:
    said = render(a_message("notice", template=template, language=name), page=PAGE)

    for body in (said.text, html.unescape(said.html or "")):
        assert (PAGE in body) is (template not in HARMLESS)
        assert (language(name).page in body) is (template not in HARMLESS)


@pytest.mark.parametrize("name", LANGUAGES)
@pytest.mark.parametrize("template", language("en").notices)
def test_a_text_message_never_carries_a_link(template: str, name: str) -> None:
    message = a_message("notice", Channel.SMS, template=template, language=name)

    assert not re.search(r"https?:|www\.|\w\.\w|/", render(proving(message), page=PAGE).text)


@pytest.mark.parametrize("template", EMERGENCIES)
def test_an_emergency_is_told_in_calm_words(template: str) -> None:
    """A security hold; never that somebody near its reader was caught (emergency-protocol 8)."""
    said = render(a_message("notice", template=template), page=PAGE)

    assert not re.search(r"thie[fv]|theft|detect|attack|criminal|near you|!", said.text, re.IGNORECASE)


@pytest.mark.parametrize("given", ["", "soon", "2026-03-07", "2026-03-07T09:12:45", "<b>"])
def test_a_time_that_is_none_is_left_out(given: str) -> None:
    plain = render(a_notice("contained"), page=PAGE)

    assert render(a_notice("contained", values={"hold_until": given}), page=PAGE) == plain


def test_support_is_named_where_support_began_it() -> None:
    assert "It was started by support." in render(a_notice("by_support")).text
