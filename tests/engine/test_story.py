"""One sign-in, told from the logs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from genkan.engine.messages import Directory, Record, SignIn
from genkan.engine.story import as_text, tell
from genkan.engine.transaction import Audited
from genkan.model import DIRECTORY, Place, Purpose, Reason, Risk, Tenant
from genkan.policy.model import Applied

START = datetime(2031, 3, 4, 5, 6, 7, tzinfo=UTC)
CORRELATION = "9b1e0000-0000-4000-8000-000000000001"
NOWHERE = Directory(tenant=Tenant(id="t", name="t"))
ASKS = Applied("p1", "MFA outside the office", "enabled", "failure", "mfa", ("Mfa",))
OFF = Applied("p2", "No more phones", "disabled", "notEnabled", "policyNotEnabled")


def an_entry(**changes: object) -> SignIn:
    given: dict[str, object] = {
        "id": "e",
        "at": START,
        "correlation_id": CORRELATION,
        "subject": "5f2a",
        "name": "Mika Sato",
        "client": "c",
        "client_name": "Shop",
        "resource": DIRECTORY,
        "scopes": ("openid",),
        "purpose": Purpose.SIGN_IN,
        "interactive": True,
        "outcome": "mfa",
        "policies": (ASKS, OFF),
        "address": "198.51.100.7",
        "place": Place(country="US"),
        "client_app": "browser",
        "platform": "iOS",
    }
    return SignIn(**{**given, **changes})  # type: ignore[arg-type]


def rows(*actions: tuple[str, str, dict[str, object]]) -> list[Audited]:
    return [
        Audited(
            seq=number,
            at=START + timedelta(seconds=number),
            record=Record(action=action, reason=reason, correlation_id=CORRELATION, detail=detail),
        )
        for number, (action, reason, detail) in enumerate(actions)
    ]


def test_a_story_says_who_it_was_what_happened_and_which_policy_wanted_what() -> None:
    trail = rows(
        ("sign_in:identify:needchoice", "", {}),
        ("sign_in:choose:needproof", "", {}),
        ("sign_in:prove:refused", "wrong_password", {"kind": "password"}),
        ("sign_in:prove:needchoice", "", {"kind": "password", "policies": [list(ASKS_AS_KEPT)]}),
    )

    (story,) = tell([an_entry()], trail, NOWHERE)

    assert story.title == "Sign-in to “Shop” on 2031-03-04 at 05:06:07 UTC"
    assert [event.text for event in story.events] == [
        "A sign-in name was given.",
        "The password was asked for.",
        "The password was wrong.",
        "The password was right; a second factor was asked for.",
    ]
    assert story.events[-1].because == (
        "The policy “MFA outside the office” applied and was not met: it wants a second factor.",
    )
    assert story.ending == "It ended where a second factor was asked for."
    assert story.unconcerned == ("The policy “No more phones” did not apply: it is switched off.",)
    text = as_text([story])
    assert "Mika Sato (5f2a)" in text
    assert "198.51.100.7 (US), with a browser on iOS" in text
    assert "Risk" not in text, "nobody has looked"


ASKS_AS_KEPT: tuple[object, ...] = ("p1", "MFA outside the office", "enabled", "failure", "mfa", ["Mfa"], [])


def test_a_refusal_says_what_policy_said() -> None:
    blocked = an_entry(
        outcome="refused",
        reason=Reason.BLOCKED_BY_POLICY,
        because="Access is blocked here.",
        policies=(ASKS,),
    )

    (story,) = tell([blocked], [], NOWHERE)

    assert story.ending == "It was refused: blocked by policy. Access is blocked here."


def test_a_wrong_password_is_not_explained_by_policies_that_nobody_asked() -> None:
    (story,) = tell([an_entry(outcome="refused", reason=Reason.WRONG_PASSWORD, policies=())], [], NOWHERE)

    assert story.ending == "It was refused: wrong password."


@pytest.mark.parametrize(("answer", "says"), [("block", "said no."), ("silent", "did not say yes in time.")])
def test_why_a_text_message_was_not_sent_is_told(answer: str, says: str) -> None:
    trail = rows(("sign_in:choose:refused", "number_blocked", {"telephony_risk": answer}))

    (story,) = tell([an_entry()], trail, NOWHERE)

    (event,) = story.events
    assert event.text == "The app asked for a challenge; refused: number blocked."
    assert event.because == (f"The service that is asked before a text message {says}",)


def test_risk_is_told_with_its_reasons() -> None:
    entry = an_entry(risk=Risk(level="high", reasons=("impossibleTravel",)), account_risk="medium")

    (story,) = tell([entry], [], NOWHERE)

    told = story.facts.index("Risk          high")
    assert story.facts[told + 1].startswith("              It comes from so far away")
    assert story.facts[told + 1].endswith("(impossibleTravel)")
    assert "Account risk  medium" in story.facts


def test_what_came_to_no_decision_is_told_too() -> None:
    (story,) = tell([], rows(("sign_up:identify:needchoice", "", {})), NOWHERE)

    assert story.title.startswith("Sign-up to ")
    assert story.ending == "It did not come to a decision."


def test_of_a_request_that_nobody_knows_there_is_no_story() -> None:
    assert tell([], [], NOWHERE) == ()


def test_two_requests_under_one_id_are_two_stories() -> None:
    trail = rows(("sign_in:resume:ready", "", {}), ("session:renew:ready", "", {}))
    refresh = an_entry(id="f", interactive=False, outcome="issued", at=START + timedelta(minutes=1))

    first, second = tell([refresh, an_entry(outcome="issued")], trail, NOWHERE)

    assert [e.text for e in first.events] == ["The app asked for tokens; tokens were issued."]
    assert [e.text for e in second.events] == ["The app asked for fresh tokens; tokens were issued."]


@pytest.mark.proves("LOG-06")
def test_a_name_cannot_move_the_cursor_of_who_reads_about_it() -> None:
    forged = an_entry(name="Mika\x1b[2K\r\n09:00:00  Tokens were issued.", client_name="Shop\u202e")

    text = as_text(tell([forged], [], NOWHERE))

    assert all(line.isprintable() for line in text.split("\n"))
    assert "\n09:00:00" not in text
