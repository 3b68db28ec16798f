"""
Every refusal there is has its words in this dialect, and they are words that the SDKs can read.

Values only: no server is asked. Source: native-auth-v1 1.6, 11; FLOW-20.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from genkan.engine.messages import Refused
from genkan.exchange import Request
from genkan.model import Reason
from genkan.wire import entra_v1_words
from tests.wire import strict

NOW = datetime(2026, 3, 4, 9, 12, 45, tzinfo=UTC)
TRACE = "7b0b6c0e-5d63-4a55-9a39-0b1d1f6a2c00"
CORRELATION = "0d6f9f1a-2f52-4cf1-8a68-3c8c4b0b9d11"

every_reason = pytest.mark.parametrize("reason", Reason)
every_endpoint = pytest.mark.parametrize("endpoint", strict.ENDPOINTS)

PARSED = {
    Reason.IDENTIFIER_MALFORMED: strict.USERNAME_INVALID,
    Reason.CLIENT_MALFORMED: strict.CLIENT_INVALID,
    Reason.CHALLENGE_TYPE_UNKNOWN: strict.CHALLENGE_TYPE_UNKNOWN,
}
"""The three texts that SDKs look for in a description."""

COMPARED = {
    50126: {Reason.WRONG_PASSWORD},
    50034: {Reason.UNKNOWN_SUBJECT},
    500222: {Reason.NO_PASSWORD},
    50142: {Reason.PASSWORD_MUST_CHANGE, Reason.GRANT_NEEDS_NEW_PASSWORD},
    901001: {Reason.UNKNOWN_METHOD, Reason.TARGET_REFUSED},
    50076: {Reason.FACTOR_REQUIRED},
    400002: {Reason.WRONG_KIND},
}
"""The numbers that SDK code compares (11.2), and what alone may have them."""

PASSWORD_WORDS = {
    "password_too_short",
    "password_too_long",
    "password_too_weak",
    "password_banned",
    "password_recently_used",
    "password_is_invalid",
}

SIGNALS = (
    entra_v1_words.CREDENTIAL_REQUIRED,
    entra_v1_words.ATTRIBUTES_REQUIRED,
    entra_v1_words.VERIFICATION_REQUIRED,
    entra_v1_words.MFA_REQUIRED,
    entra_v1_words.REGISTRATION_REQUIRED,
)


def written(endpoint: str, reason: Reason, detail: str = "") -> tuple[int, strict.Envelope]:
    """Status and envelope of a refusal at an endpoint."""
    request = Request(method="POST", path=endpoint, correlation_id=CORRELATION, trace_id=TRACE)
    response = entra_v1_words.write_refused(request, Refused(reason=reason, detail=detail), NOW)
    return response.status, msgspec.json.decode(response.body, type=strict.Envelope)


def test_every_reason_has_one_entry() -> None:
    assert set(entra_v1_words.ERRORS) == set(Reason)


@every_reason
def test_every_entry_says_something(reason: Reason) -> None:
    error = entra_v1_words.ERRORS[reason]

    assert error.error
    assert error.code > 0
    assert error.text.endswith(".") != (reason in entra_v1_words.NAMED), "a name and the full stop follow"


@every_reason
@pytest.mark.proves("V1-029", "V1-030", "V1-031")
def test_every_refusal_is_an_envelope_at_every_endpoint(reason: Reason) -> None:
    for endpoint in strict.ENDPOINTS:
        _, envelope = written(endpoint, reason)

        described = strict.DESCRIPTION.fullmatch(envelope.error_description)
        assert described
        assert envelope.error_codes == (int(described["code"]),)
        assert envelope.timestamp == described["timestamp"] == "2026-03-04 09:12:45Z"
        assert (envelope.trace_id, envelope.correlation_id) == (TRACE, CORRELATION)
        assert envelope.continuation_token is None


@every_reason
@pytest.mark.proves("V1-033")
def test_every_refusal_is_400_but_for_haste_and_what_is_our_fault(reason: Reason) -> None:
    statuses = {written(endpoint, reason)[0] for endpoint in strict.ENDPOINTS}

    others = {Reason.TOO_MANY_REQUESTS: 429, Reason.OVERLOADED: 503, Reason.FAULT: 500}
    assert statuses == {others.get(reason, 400)}


@every_reason
@pytest.mark.proves("V1-035", "V1-043", "V1-074")
def test_the_three_texts_that_sdks_parse_are_verbatim_and_nowhere_else(reason: Reason) -> None:
    _, envelope = written(strict.INITIATE, reason)

    found = {text for text in PARSED.values() if text in envelope.error_description}

    assert found == ({PARSED[reason]} if reason in PARSED else set())


@pytest.mark.parametrize("reason", PARSED)
def test_the_parsed_texts_come_with_invalid_request(reason: Reason) -> None:
    _, envelope = written(strict.INITIATE, reason)

    assert envelope.words == ("invalid_request", "")
    assert envelope.error_codes[0] == (90023 if reason is Reason.CHALLENGE_TYPE_UNKNOWN else 90100)


@pytest.mark.parametrize("number", COMPARED)
def test_a_number_that_sdks_compare_means_one_thing(number: int) -> None:
    holders = {reason for reason, error in entra_v1_words.ERRORS.items() if error.code == number}

    assert holders == COMPARED[number]


@pytest.mark.proves("V1-083", "V1-098")
def test_android_sees_a_wrong_password_only_where_it_is_one() -> None:
    others = [error for reason, error in entra_v1_words.ERRORS.items() if reason is not Reason.WRONG_PASSWORD]

    assert entra_v1_words.ERRORS[Reason.WRONG_PASSWORD].suberror == ""
    assert 50126 not in {error.code for error in (*others, *SIGNALS)}


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.suberror or signal.error)
def test_every_signal_is_one_that_sdks_know(signal: entra_v1_words.Error) -> None:
    assert (signal.error, signal.suberror) in strict.CONTINUE_SIGNALS
    assert signal.status == 400
    assert signal.code == {
        "credential_required": 55103,
        "attributes_required": 55106,
        "verification_required": 55200,
        "mfa_required": 50076,
        "registration_required": 50079,
    }.get(signal.suberror or signal.error)


@every_reason
def test_no_refusal_passes_for_a_signal(reason: Reason) -> None:
    error = entra_v1_words.ERRORS[reason]

    assert (error.error, error.suberror) not in strict.CONTINUE_SIGNALS


def test_the_six_refusals_of_a_new_password_have_their_six_words() -> None:
    found = {e.suberror: e for e in entra_v1_words.ERRORS.values() if e.suberror.startswith("password_")}

    assert found.keys() == PASSWORD_WORDS
    assert {(e.error, e.code) for e in found.values()} == {("invalid_grant", 399246)}


@every_endpoint
@pytest.mark.proves("V1-063")
def test_an_invalid_token_a_wrong_turn_and_spent_tries_are_worded_alike(endpoint: str) -> None:
    reasons = (Reason.INVALID_HANDLE, Reason.OUT_OF_TURN, Reason.TRIES_EXHAUSTED)

    answers = {msgspec.json.encode(written(endpoint, reason)) for reason in reasons}

    assert len(answers) == 1


@every_endpoint
@pytest.mark.proves("V1-063")
def test_an_invalid_token_is_an_invalid_grant_at_three_endpoints_alone(endpoint: str) -> None:
    _, envelope = written(endpoint, Reason.INVALID_HANDLE)

    is_grant = endpoint in (strict.CHALLENGE, strict.SIGNUP_CHALLENGE, strict.TOKEN)
    assert envelope.words == ("invalid_grant" if is_grant else "invalid_request", "")
    assert envelope.error_codes == (55200,)


@pytest.mark.parametrize("reason", sorted(entra_v1_words.NAMED))
def test_a_parameter_that_is_wrong_is_named(reason: Reason) -> None:
    _, envelope = written(strict.TOKEN, reason, "oob")

    assert " oob. Trace ID" in envelope.error_description


@pytest.mark.parametrize("reason", [Reason.BLOCKED_BY_POLICY, Reason.NO_METHOD, Reason.TELEPHONY_LIMIT])
def test_the_engines_own_sentence_replaces_the_general_one(reason: Reason) -> None:
    _, envelope = written(strict.TOKEN, reason, "Ask the person at the desk.")

    assert (
        f"AADSTS{envelope.error_codes[0]}: Ask the person at the desk. Trace ID" in envelope.error_description
    )
