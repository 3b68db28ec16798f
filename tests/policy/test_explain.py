"""Sentences that administrators read."""

from __future__ import annotations

import pytest

from genkan.model import Identifier
from genkan.policy.decide import decide
from genkan.policy.explain import explain, what_if
from genkan.policy.model import PersistentBrowser, Policy, SessionControls
from tests.policy.world import a_context, a_frequency, a_policy


def test_a_sign_in_told_as_a_story() -> None:
    policies = [
        a_policy(name="MFA for all", wants="mfa"),
        a_policy(name="Staff", users="U2", wants="block"),
        a_policy(name="Try-out", state="report-only", wants="block"),
        a_policy(name="Old", state="off", wants="block"),
    ]

    story = explain(decide(policies, a_context(has="sms")))

    assert story == (
        "A second factor is needed.",
        "The policy “MFA for all” applied and was not met: it wants a second factor.",
        "The policy “Staff” did not apply: it is not about this person.",
        "The policy “Try-out” only reports; enforced, it would have refused: it blocks.",
        "The policy “Old” did not apply: it is switched off.",
    )


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        (
            a_policy(name="Often", wants=["mfa"], at_most="1 hours"),
            "The policy “Often” applied and was not met: it wants a second factor and it wants a fresh sign-in.",
        ),
        (
            a_policy(name="Broken", wants="prayer"),
            "The policy “Broken” could not be judged: a control is not known.",
        ),
        (
            a_policy(name="Seldom", at_most="4 hours"),
            "The policy “Seldom” applied and was met: it asks for nothing.",
        ),
    ],
)
def test_the_sentence_of_a_policy(policy: Policy, sentence: str) -> None:
    decision = decide([policy], a_context(kind="refresh", first_age="3 hours", has="sms", second="sms"))

    assert explain(decision)[1] == sentence


def test_what_people_read_names_no_policy() -> None:
    decision = decide([a_policy(name="secret plan", wants="block")], a_context())

    assert "secret plan" not in decision.because


def test_what_if_names_every_condition_that_keeps_a_policy_away() -> None:
    policy = a_policy(users="U2", apps="P1", places="JP", sign_in_risk="high", wants="mfa")

    (answer,) = what_if([policy], a_context())

    assert (answer.policy, answer.applies, answer.reasons) == (
        policy,
        False,
        "application,users,location,signInRisk",
    )


def test_what_if_about_a_context_and_about_an_action() -> None:
    policies = [
        a_policy(context="c1", wants="mfa"),
        a_policy(action="urn:user:registersecurityinfo", wants="mfa"),
        a_policy(state="report-only", action="urn:user:registersecurityinfo", wants="mfa"),
        a_policy(state="off", wants="mfa"),
    ]

    in_context = what_if(policies, a_context(asks="c1"))
    on_action = what_if(policies, a_context(asks="c1", kind="user_action"))

    assert [entry.reasons for entry in in_context] == [
        "notSet",
        "userActions",
        "userActions",
        "policyNotEnabled",
    ]
    assert [entry.reasons for entry in on_action] == [
        "authenticationContext",
        "notSet",
        "userActions",
        "policyNotEnabled,application",
    ]


def test_what_if_passes_over_what_cannot_be_told_where_something_else_is_told() -> None:
    policy = a_policy(users="U2", places="net", wants="mfa")

    (answer,) = what_if([policy], a_context(address="a cellar"))

    assert (answer.applies, answer.reasons) == (False, "users")


def test_the_trace_names_the_controls_in_the_words_of_the_log() -> None:
    policy = a_policy(any_of=["mfa", "compliantDevice"], at_most="1 hours")

    (entry,) = decide([policy], a_context(has="sms")).trace

    assert entry.grant_controls == ("Mfa", "RequireCompliantDevice")
    assert entry.session_controls == ("SignInFrequency",)


def test_of_the_session_controls_in_force_the_strictest_count() -> None:
    def policy(**controls: object) -> Policy:
        return Policy(
            display_name="session",
            state="enabled",
            conditions=a_policy(wants="mfa").conditions,
            session_controls=SessionControls(**controls),  # type: ignore[arg-type]
        )

    always = policy(persistent_browser=PersistentBrowser(is_enabled=True, mode="always"))
    never = policy(
        persistent_browser=PersistentBrowser(is_enabled=True, mode="never"),
        sign_in_frequency=a_frequency("2 hours"),
    )
    idle = policy(persistent_browser=PersistentBrowser(is_enabled=False, mode="never"))

    session = decide([always, never], a_context()).session

    assert session.persistent_browser == "never"
    assert decide([always, idle], a_context()).session.persistent_browser == "always"
    assert decide([idle], a_context()).session.persistent_browser is None


def test_an_address_is_open_by_its_place_and_not_by_how_it_is_written() -> None:
    decision = decide([a_policy(wants="mfa")], a_context(account_age="30 days"))
    typed = Identifier("email", "sam@example.com", "Sam@Example.com")

    assert decision.is_open(
        decision.registrable[0], typed, Identifier("email", "sam@example.com", "sam@example.com")
    )
    assert not decision.is_open(decision.registrable[0], typed, None)
